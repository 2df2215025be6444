"""Every model by name: its files, where they come from, and their licence. A row adds a model."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import skeleton as skeleton_named
from vitruvian.errors import VitruvianError, unknown
from vitruvian.frame import Frame
from vitruvian.network import checkpoint, weights
from vitruvian.network.about import about
from vitruvian.network.weights import File, Package, Source

if TYPE_CHECKING:
    from vitruvian.models.top_down import Find, TopDown
    from vitruvian.models.yolopose import YoloPose
    from vitruvian.train.export import Exported

_WHEEL = Package("pypi", "mediapipe", "0.10.21", 35_622_638)
_NPM = Package("npm", "@mediapipe/pose", "0.5.1675469404", 40_985_403)


def _task(size: str) -> Package:
    """MediaPipe's own bundle, the last resort: nobody has published a hash of what is in it."""
    bucket = "https://storage.googleapis.com/mediapipe-models/pose_landmarker"
    address = f"{bucket}/pose_landmarker_{size}/float16/1/pose_landmarker_{size}.task"
    return Package("url", address, "", None)


def _landmarks(size: str, sha256: str, size_bytes: int) -> File:
    name = f"pose_landmark_{size}.tflite"
    wheel = [Source(_WHEEL, f"mediapipe/modules/pose_landmark/{name}")] if size == "full" else []
    npm = Source(_NPM, f"package/{name}")
    task = Source(_task(size), "pose_landmarks_detector.tflite", checked=False)
    return File(name, sha256, size_bytes, (*wheel, npm, task))


_DETECTOR = File(
    "pose_detection.tflite",
    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    2_959_046,
    (
        Source(_WHEEL, "mediapipe/modules/pose_detection/pose_detection.tflite"),
        Source(_task("full"), "pose_detector.tflite", checked=False),
    ),
)


_RESEARCH = "AlphaPose non-commercial research licence"
# What a licence says that has to be known before its weights are used.
TERMS = {
    _RESEARCH: "for academic, non-profit, non-commercial internal research only; not to be passed "
    "on, sublicensed or sold; the whole text is in https://github.com/MVIG-SJTU/AlphaPose, LICENSE",
}


@dataclass(frozen=True)
class Entry:
    """One model."""

    name: str
    family: str
    skeleton: str
    gives: str  # what its poses hold
    # BlazePose: detector, landmarks. AlphaPose: detector, maps, and what refines where there is.
    files: tuple[File, ...]
    licence: str  # of the weights
    about: str
    decode: str | None = None  # how its maps are read, where a checkpoint does not say: AlphaPose

    @property
    def notice(self) -> str:
        """What has to be said of the licence when the weights are fetched; mostly nothing."""
        if self.licence == "Apache-2.0":
            return ""
        terms = TERMS.get(self.licence, "see their authors' terms")
        return f"the weights of {self.name} are under {self.licence}: {terms}"


def _blazepose(size: str, landmarks: File, about: str) -> Entry:
    files = (_DETECTOR, landmarks)
    gives = "2D pixels, 3D metres from the hips, masks"
    return Entry(f"blazepose-{size}", "blazepose", "blazepose33", gives, files, "Apache-2.0", about)


def _yolo(size: str, about: str) -> Entry:
    """A checkpoint of Ultralytics' own release; nobody has published hashes of these."""
    scale, _, p6 = size.partition("-")
    name = f"yolov8{scale}-pose{'-' + p6 if p6 else ''}"
    release = "https://github.com/ultralytics/assets/releases/download/v8.3.0"
    package = Package("url", f"{release}/{name}.pt", "", None)
    file = File(f"{name}.pt", None, None, (Source(package, ""),))
    gives = "2D pixels and boxes of everyone"
    return Entry(name, "yolopose", "coco17", gives, (file,), "AGPL-3.0", about)


# AlphaPose's model zoo (specs/alphapose.md 1): name, skeleton, how its maps are read, the id of
# Google Drive, and AP as its authors give it, with a flip test: COCO's, Halpe's, COCO-WholeBody's.
_ZOO = """
fastpose-r50                           coco17       argmax   1kQhnMRURFiy7NsdS8EFL-8vtqEXOgECn 72.0
fastpose-dcn-r50                       coco17       argmax   1zUz9YIk6eALCbZrukxD7kQ554nhi1pVv 72.8
fastpose-duc-r152                      coco17       argmax   1kfyedqyn8exjbbNmYq8XGd2EooQjPtF9 73.3
fastpose-duc-shuffle-r50               coco17       argmax   1RlnL_YnnmgOM4L9L2szFdUnTjwptqtL- 72.4
simplepose-r50                         coco17       argmax   1nxyfUbvWDaaT9eDM7Y31ScSVPlGy6gfw 70.6
fastpose-r50-halpe26                   halpe26      argmax   1S-ROA28de-1zvLv-hVfPFJ5tFBYOSITb -
fastpose-r50-multi136                  halpe136     integral 1Bb3kPoFFt-M0Y3ceqNO8DTXi1iNDd4gI 50.1
fastpose-dcn-r50-multi136              halpe136     combined 1wX1Z2ZOoysgSNovlgiEtJKpbR8tUBWYR 49.8
fastpose-dcn-r50-halpe68               halpe68      combined 14Qn9gxm-EVzqFi7v25Y5TqKIvrFLy_BR -
fastpose-dcn-r50-hand21                hand21       integral 1MntndimlUP5Hxef1UN9ZDMBVglfA606J -
fastpose-r50-halpe136-heatmap          halpe136     argmax   1LbKM2TOxKdpIZoDxCo6ldmOf62pw6z8A 41.7
fastpose-r50-halpe136                  halpe136     integral 1_10JYI3O-VbrAiONfL36UxLf9UXMoUYA 44.1
fastpose-dcn-r50-halpe136              halpe136     integral 1S49aDYGVjEJpx4MnFu7TFzzsbp7Si6h_ 46.2
fastpose-dcn-r50-halpe136-combined     halpe136     combined 1jt-V1Zh-eYgX_-2mrBTV9Ip6z7JjApEC 45.4
fastpose-dcn-r50-halpe136-hands        halpe136     combined 1nL2KYqxSnSZH8c7PRr_d9KEFxCEiyjAR 47.2
fastpose-r152-halpe136                 halpe136     integral 1zZotfE3WsBe1BxKimlK56wwJuK9E4EDs 45.1
fastpose-r50-wholebody133              wholebody133 integral 1WQlwRw7KiKBI2Wyb-lvnQX29R29NbhLz 55.4
fastpose-dcn-r50-wholebody133          wholebody133 integral 10MgWM4rMORVaHNPyswal7RtrsehVV79X 57.7
fastpose-r50-wholebody133-combined     wholebody133 combined 14wrc9q96bYqUc2efT8p8XzdTvLm-LwUT 57.8
fastpose-dcn-r50-wholebody133-combined wholebody133 combined 1aP0nYujw32H-VoJBVsXS-DsBBY-UwI8Y 58.2
fastpose-r152-wholebody133             wholebody133 integral 1ktBwkG1KL3_iFbPXAh5gua0zX92p-1KV 56.9
"""


def _alphapose(net: str, skeleton: str, decode: str, drive: str, ap: str) -> Entry:
    """A checkpoint of AlphaPose's model zoo; nobody has published hashes of these."""
    about = "no AP published" if ap == "-" else f"AP {ap} by its authors"
    name = f"alphapose-{net}"
    file = File(f"{name}.pth", None, None, (Source(Package("gdrive", drive, "", None), ""),))
    files, gives = (_DETECTOR, file), "2D pixels"
    return Entry(name, "alphapose", skeleton, gives, files, _RESEARCH, about, decode)


# They come with vitruvian, in the folder `files`.
_OURS = (
    File(
        "vitruvian-2d.onnx",
        "2e751dd81b75226acba9fd5faa34be7b54403b4a932a1d1835a20bc599f5005d",
        5_139_715,
        (),
    ),
    File(
        "vitruvian-2d-pga.onnx",
        "7e08e0f48925eeb7be3573187d75e8ea443b50bb5cb6b5e1202d1341ed6b1c3b",
        141_493,
        (),
    ),
)

CATALOGUE = {
    entry.name: entry
    for entry in (
        _blazepose(
            "lite",
            _landmarks(
                "lite",
                "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
                2_819_824,
            ),
            "the fastest",
        ),
        _blazepose(
            "full",
            _landmarks(
                "full",
                "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
                6_440_512,
            ),
            "the default",
        ),
        _blazepose(
            "heavy",
            _landmarks(
                "heavy",
                "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
                27_709_200,
            ),
            "the most accurate",
        ),
        _yolo("n", "the smallest"),
        _yolo("s", "small"),
        _yolo("m", "middle"),
        _yolo("l", "large"),
        _yolo("x", "the largest for 640 pixels"),
        _yolo("x-p6", "the largest, for 1280 pixels"),
        Entry(
            "vitruvian-2d",
            "alphapose",
            "coco17",
            "2D pixels",
            (_DETECTOR, *_OURS),
            "Apache-2.0",
            "our own, comes with vitruvian: docs/vitruvian-2d.md",
        ),
        *(_alphapose(*row.split()) for row in _ZOO.strip().splitlines()),
    )
}
DEFAULT = "blazepose-full"
FLAT = {"yolopose", "alphapose"}  # families that know nothing of metres
CHECKPOINTS = (".pt", ".pth")  # of PyTorch; they are converted once
_ALPHAPOSE = ("preact.", "duc1.", "stage2.")  # how tensors of its networks begin


def entry(name: str) -> Entry:
    """The model's row; `VitruvianError` with the nearest name if there is none."""
    if name not in CATALOGUE:
        raise unknown("model", name, CATALOGUE)
    return CATALOGUE[name]


def shelf() -> list[File]:
    """Every file of every model, once."""
    return list({file.name: file for row in CATALOGUE.values() for file in row.files}.values())


def is_file(name: str) -> bool:
    """Whether the name of a model is that of a file: a checkpoint or an exported network."""
    return Path(name).suffix.lower() in (*CHECKPOINTS, ".onnx", ".xml")


def family(name: str) -> str:
    """Of a model or a file: "blazepose", "yolopose" or "alphapose".

    Raises:
        VitruvianError: no such model, or the file cannot be read.
    """
    if not is_file(name):
        return entry(name).family
    path = Path(name)
    if not path.is_file():
        raise VitruvianError(f"cannot read '{name}': no such file")
    if path.suffix.lower() in CHECKPOINTS:
        tensors = checkpoint.read(path).tensors
        return "alphapose" if any(name.startswith(_ALPHAPOSE) for name in tensors) else "yolopose"
    kind = about(path).get("family", "yolopose")
    if kind not in ("yolopose", "alphapose"):
        raise VitruvianError(f"'{name}' is a network of kind '{kind}', which gives no poses")
    return kind


def in_3d(name: str) -> None:
    """Raise `VitruvianError` if the poses of a model, or file, are in pixels only."""
    if family(name) in FLAT:
        raise VitruvianError(
            f"{name} finds joints in pixels only, which are not shown in 3D; choose another model, "
            f"such as {DEFAULT}"
        )


def pull(name: str) -> list[Path]:
    """The files a model runs from; what is missing is fetched, and converted if need be.

    Raises:
        VitruvianError: no such model, weights not to be had, or what converts them is missing.
    """
    return _ready(entry(name), entry(name).files)


def _ready(row: Entry, files: Sequence[File]) -> list[Path]:
    """Some of a model's files, fetched and converted."""
    table = skeleton_named(row.skeleton) if row.decode else None
    return [
        converted(path, table, row.decode) if path.suffix in CHECKPOINTS else path
        for path in weights.fetch(files, keep=shelf(), notice=row.notice)
    ]


def converted(
    checkpoint: Path, skeleton: Skeleton | None = None, decode: str | None = None
) -> Path:
    """A checkpoint as a network in the cache folder; made the first time, with torch.

    Args:
        checkpoint: see `vitruvian.train.export.export`.
        skeleton: the same.
        decode: the same.

    Raises:
        VitruvianError: it has to be made, and torch is not installed.
    """
    table = skeleton.to_json() if skeleton else "its own"
    key = f"{weights.sha256(checkpoint)} {table} {decode or ''}"
    name = f"{checkpoint.stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.onnx"
    out = weights.cache_folder() / name
    if out.exists():
        return out
    export = _exporter(checkpoint.name)
    print(f"converting {checkpoint.name}, once", file=sys.stderr, flush=True)
    export(checkpoint, out, skeleton=skeleton, decode=decode)
    return out


def _exporter(name: str) -> Callable[..., Exported]:
    try:
        from vitruvian.train.export import export
    except ImportError as error:
        raise VitruvianError(
            f"{name} has to be converted once, which needs {error.name}; "
            "install it with: pip install 'vitruvian[train]'"
        ) from None
    return export


def export_file(
    name: str,
    out: Path,
    *,
    imgsz: int | None = None,
    precision: str = "f32",
    skeleton: str | None = None,
    decode: str | None = None,
    calibrate: Path | None = None,
) -> Exported:
    """Write a model or a checkpoint as .onnx or .xml; see `vitruvian.train.export.export`.

    Args:
        name: a YOLOv8 or AlphaPose model of the catalogue, or a .pt or .pth file of any family.
        out: .onnx or .xml.
        imgsz: pixels, the side it runs at by default.
        precision: of the weights: f32, f16, int8.
        skeleton: of its keypoints: a name or a .toml file.
        decode: for AlphaPose, how its maps are read.
        calibrate: for int8, a folder of pictures.
    """
    if not is_file(name) and family(name) == "blazepose":
        raise VitruvianError(f"{name} is no checkpoint: its official file runs as it is")
    export, table = _exporter(name), None if skeleton is None else _skeleton(skeleton)
    if is_file(name):
        checkpoint = Path(name)
    else:
        row = entry(name)
        files = [file for file in row.files if Path(file.name).suffix in CHECKPOINTS]
        (checkpoint,) = weights.fetch(files, notice=row.notice)
        table, decode = table or skeleton_named(row.skeleton), decode or row.decode
    inputs: list[np.ndarray] = []
    if calibrate is not None:
        model = _load_yolo(str(checkpoint), table, {})
        pictures = sorted(p for p in calibrate.glob("*") if p.suffix.lower() in (".jpg", ".png"))
        if not pictures:
            raise VitruvianError(f"no .jpg or .png in '{calibrate}' to calibrate with")
        frames = [Frame.read(path) for path in pictures[:300]]
        inputs = [model.prepare([frame], [model.letterbox(frame)]) for frame in frames]
    return export(
        checkpoint,
        out,
        imgsz=imgsz,
        precision=precision,
        skeleton=table,
        decode=decode,
        calibration=inputs,
    )


def load(
    name: str = DEFAULT,
    *,
    find: str | None = None,
    skeleton: str | Path | Skeleton | None = None,
    **options: object,
) -> TopDown | YoloPose:
    """A model, ready to run; its weights are fetched if they are not in the cache.

    Args:
        name: a row of the catalogue, see `vitruvian models list`, or a .pt, .pth, .onnx or .xml
            file of YOLOv8-pose or AlphaPose.
        find: what finds the people for BlazePose and AlphaPose: YOLOv8-pose, by a name or a file,
            or a .json file of boxes; BlazePose's detector unless it is given.
        skeleton: of a file's keypoints: a name, a .toml file or a `Skeleton`; COCO's unless the
            file says otherwise.
        options: those of its family: `Options` of `vitruvian.models.blazepose`, `yolopose` or
            `alphapose`.

    Raises:
        VitruvianError: no such model or option, a value out of range, or weights not to be had.
    """
    if family(name) == "yolopose":
        if find is not None:
            raise VitruvianError(f"{name} finds people by itself; leave find out")
        return _load_yolo(name, skeleton, options)
    if family(name) == "alphapose":
        return _load_alphapose(name, find or DEFAULT, skeleton, options)
    if skeleton is not None:
        raise VitruvianError(f"{name} has the skeleton {entry(name).skeleton}; leave skeleton out")
    from vitruvian.models import blazepose

    chosen = blazepose.Options.of(**options)  # a wrong one is refused before anything is fetched
    same = {"device": chosen.device, "precision": chosen.precision, "threads": chosen.threads}
    finder = None
    if find is not None:
        finder = _finder(find, chosen.min_pose_detection_confidence, **same)
    detector, landmarks = pull(name)
    hashes = {path.name: weights.sha256(path) for path in (detector, landmarks)}
    model = blazepose.load(detector, landmarks, chosen, name, hashes)
    if finder is not None:
        model.find, model.options["find"] = finder.bodies, find
        model.weights |= finder.weights
    return model


@dataclass(frozen=True)
class _Finder:
    """Who finds people for a top-down model."""

    boxes: Find  # rectangles around people: for AlphaPose
    bodies: Find  # squares around whole bodies: for BlazePose
    weights: dict[str, str]  # file -> SHA-256


def _finder(which: str, conf: float | None, **same: object) -> _Finder:
    """YOLOv8-pose, BlazePose's detector, or a file of boxes.

    Args:
        which: a model of the catalogue, a file of YOLOv8-pose, or a .json file.
        conf: 0..1, a person counts from here; None: as its family has it.
        same: options that all networks share.
    """
    if Path(which).suffix.lower() == ".json":
        from vitruvian.models.detections import Detections

        found = Detections(Path(which), conf or 0.0)
        return _Finder(found.find, found.bodies, found.weights)
    kind = family(which)
    if kind == "yolopose":
        yolo = _load_yolo(which, None, same if conf is None else {"conf": conf, **same})
        return _Finder(yolo.find, yolo.bodies, yolo.weights)
    if kind != "blazepose":
        raise VitruvianError(
            f"find is '{which}', want what finds people: YOLOv8-pose, BlazePose, or a .json file"
        )
    from vitruvian.models import blazepose

    least = {} if conf is None else {"min_pose_detection_confidence": conf}
    options = blazepose.Options.of(**least, **same)
    (file,) = weights.fetch([_DETECTOR], keep=shelf())
    detector = blazepose.open_detector(file, options)
    return _Finder(detector.boxes, detector, {file.name: weights.sha256(file)})


def _load_alphapose(
    name: str, find: str, skeleton: str | Path | Skeleton | None, options: dict[str, object]
) -> TopDown:
    from vitruvian.models import alphapose

    chosen = alphapose.Options.of(**options)
    path = Path(name)
    if skeleton is not None and path.suffix.lower() not in CHECKPOINTS:
        raise VitruvianError(f"{name} says which skeleton it has; leave skeleton out")
    # ONNX Runtime's devices have other names than those of OpenVINO, which runs the finders.
    device = chosen.device if chosen.runtime == "openvino" else "CPU"
    finder = _finder(
        find, chosen.conf, device=device, precision=chosen.precision, threads=chosen.threads
    )
    refiner = None
    if not is_file(name):
        _, *files = entry(name).files
        path, *more = _ready(entry(name), files)
        refiner = more[0] if more else None
    else:
        if path.suffix.lower() in CHECKPOINTS:
            table = None if skeleton is None else _skeleton(skeleton)
            path = converted(path, table, chosen.decode)
        beside = Path(name).with_name(f"{Path(name).stem}-pga.onnx")
        refiner = beside if beside.is_file() else None
    model = alphapose.load(
        path,
        finder.boxes,
        chosen,
        refiner=refiner,
        name=Path(name).stem if is_file(name) else name,
        weights=finder.weights,
    )
    model.options["find"] = find
    return model


def _load_yolo(
    name: str, skeleton: str | Path | Skeleton | None, options: dict[str, object]
) -> YoloPose:
    from vitruvian.models import yolopose

    chosen = yolopose.Options.of(**options)
    table = None if skeleton is None else _skeleton(skeleton)
    if not is_file(name):
        (path,) = pull(name)
    else:
        path = Path(name)
        if not path.is_file():
            raise VitruvianError(f"cannot read '{name}': no such file")
        if path.suffix.lower() in (".pt", ".pth"):
            path = converted(path, table)
    return yolopose.load(
        path, chosen, skeleton=table, name=name if not is_file(name) else Path(name).stem
    )


def _skeleton(which: str | Path | Skeleton) -> Skeleton:
    if isinstance(which, Skeleton):
        return which
    if Path(which).suffix.lower() == ".toml":
        return Skeleton.read(Path(which))
    return skeleton_named(str(which))
