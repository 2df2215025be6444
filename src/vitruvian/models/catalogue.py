"""Every model by name: its files, where they come from, and their licence. A row adds a model."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import skeleton as skeleton_named
from vitruvian.errors import VitruvianError, unknown
from vitruvian.frame import Frame
from vitruvian.network import weights
from vitruvian.network.weights import File, Package, Source

if TYPE_CHECKING:
    from vitruvian.models.top_down import TopDown
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


@dataclass(frozen=True)
class Entry:
    """One model."""

    name: str
    family: str
    skeleton: str
    gives: str  # what its poses hold
    files: tuple[File, ...]
    licence: str  # of the weights
    about: str

    @property
    def notice(self) -> str:
        """What has to be said of the licence when the weights are fetched; mostly nothing."""
        if self.licence == "Apache-2.0":
            return ""
        return f"the weights of {self.name} are under {self.licence}: see their authors' terms"


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
    )
}
DEFAULT = "blazepose-full"


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
    return Path(name).suffix.lower() in (".pt", ".pth", ".onnx", ".xml")


def family(name: str) -> str:
    """Of a model or a file: "blazepose" or "yolopose"."""
    return "yolopose" if is_file(name) else entry(name).family


def pull(name: str) -> list[Path]:
    """The files a model runs from; what is missing is fetched, and converted if need be.

    Raises:
        VitruvianError: no such model, weights not to be had, or what converts them is missing.
    """
    row = entry(name)
    paths = weights.fetch(row.files, keep=shelf(), notice=row.notice)
    return [converted(path) if path.suffix == ".pt" else path for path in paths]


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
        name: a YOLOv8 model of the catalogue, or a .pt or .pth file of any family.
        out: .onnx or .xml.
        imgsz: pixels, the side it runs at by default.
        precision: of the weights: f32, f16, int8.
        skeleton: of its keypoints: a name or a .toml file.
        decode: for AlphaPose, how its maps are read.
        calibrate: for int8, a folder of pictures.
    """
    if not is_file(name) and family(name) != "yolopose":
        raise VitruvianError(f"{name} is no checkpoint: its official file runs as it is")
    export, table = _exporter(name), None if skeleton is None else _skeleton(skeleton)
    if is_file(name):
        checkpoint = Path(name)
    else:
        row = entry(name)
        (checkpoint,) = weights.fetch(row.files, notice=row.notice)
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
        name: a row of the catalogue, see `vitruvian models list`, or a .pt, .onnx or .xml file of
            YOLOv8-pose.
        find: another model that finds the people for it, instead of its own detector.
        skeleton: of a file's keypoints: a name, a .toml file or a `Skeleton`; COCO's unless the
            file says otherwise.
        options: those of its family, `vitruvian.models.blazepose.Options` or
            `vitruvian.models.yolopose.Options`.

    Raises:
        VitruvianError: no such model or option, a value out of range, or weights not to be had.
    """
    if family(name) == "yolopose":
        if find is not None:
            raise VitruvianError(f"{name} finds people by itself; leave find out")
        return _load_yolo(name, skeleton, options)
    if skeleton is not None:
        raise VitruvianError(f"{name} has the skeleton {entry(name).skeleton}; leave skeleton out")
    from vitruvian.models import blazepose

    chosen = blazepose.Options.of(**options)  # a wrong one is refused before anything is fetched
    if find is not None and family(find) != "yolopose":
        raise VitruvianError(f"find is '{find}', want a model that finds people: YOLOv8-pose")
    detector, landmarks = pull(name)
    hashes = {path.name: weights.sha256(path) for path in (detector, landmarks)}
    model = blazepose.load(detector, landmarks, chosen, name, hashes)
    if find is not None:
        same = {"device": chosen.device, "precision": chosen.precision, "threads": chosen.threads}
        finder = _load_yolo(find, None, {"conf": chosen.min_pose_detection_confidence, **same})
        model.find, model.options["find"] = finder.bodies, find
        model.weights |= finder.weights
    return model


def _load_yolo(
    name: str, skeleton: str | Path | Skeleton | None, options: dict[str, object]
) -> YoloPose:
    from vitruvian.models import yolopose

    chosen = yolopose.Options.of(**options)
    table = skeleton if skeleton is None or isinstance(skeleton, Skeleton) else _skeleton(skeleton)
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


def _skeleton(which: str | Path) -> Skeleton:
    if Path(which).suffix.lower() == ".toml":
        return Skeleton.read(Path(which))
    return skeleton_named(str(which))
