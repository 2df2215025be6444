"""Every model by name: its files fetched, converted and opened, and who finds the people for it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import chosen
from vitruvian.body.skeletons import skeleton as skeleton_named
from vitruvian.errors import VitruvianError, unknown
from vitruvian.frame import Frame
from vitruvian.models.model import Model, cores
from vitruvian.models.spec import ModelSpec
from vitruvian.models.zoo import CATALOGUE, DEFAULT, DETECTOR, Entry
from vitruvian.weights import checkpoint, download, metrabs_archive
from vitruvian.weights.download import File
from vitruvian.weights.metadata import about

if TYPE_CHECKING:
    from vitruvian.export.export import Exported
    from vitruvian.models import alphapose, metrabs
    from vitruvian.models.top_down import Find, TopDown
    from vitruvian.models.yolopose import YoloPose
    from vitruvian.sources.open import Source

FLAT = {"yolopose", "alphapose"}  # families that know nothing of metres
CHECKPOINTS = (".pt", ".pth")  # of PyTorch
# How tensors of a family's networks begin; YOLOv8-pose's are the others.
_TENSORS = {
    "alphapose": ("preact.", "duc1.", "stage2."),
    "metrabs": ("heatmap_heads.conv_final.",),
}


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
    path = Path(name)
    return is_checkpoint(path) or path.suffix.lower() in (".onnx", ".xml")


def is_checkpoint(path: Path) -> bool:
    """Whether a file is converted once, before it runs: of PyTorch, or an archive of MeTRAbs."""
    return path.suffix.lower() in CHECKPOINTS or metrabs_archive.is_archive(path)


def family(name: str) -> str:
    """Of a model or a file: "blazepose", "yolopose", "alphapose" or "metrabs".

    Raises:
        VitruvianError: no such model, or the file cannot be read.
    """
    if not is_file(name):
        return entry(name).family
    path = Path(name)
    if not path.is_file():
        raise VitruvianError(f"cannot read '{name}': no such file")
    if metrabs_archive.is_archive(path):
        return "metrabs"
    if is_checkpoint(path):
        from vitruvian.models.yolopose import check_checkpoint

        read = checkpoint.read(path)
        for kind, begin in _TENSORS.items():
            if any(name.startswith(begin) for name in read.tensors):
                return kind
        check_checkpoint(read, path)
        return "yolopose"
    kind = about(path).get("family", "yolopose")
    if kind not in ("yolopose", *_TENSORS):
        raise VitruvianError(f"'{name}' is a network of kind '{kind}', which gives no poses")
    return kind


def unnamed_keypoints(name: str) -> set[int]:
    """How many keypoints a file may have, if it does not say what they are called.

    Nothing for a model of the catalogue, and for a file that names them or is of MeTRAbs. A
    checkpoint of YOLOv8-pose says how many numbers there are of a person, 2 or 3 of each keypoint.
    """
    if not is_file(name) or family(name) == "metrabs":
        return set()
    path = Path(name)
    if not is_checkpoint(path):
        said = about(path)
        if "skeleton" in said or "family" in said:
            return set()
        try:
            return {int(json.loads(said.get("kpt_shape", "[17, 3]"))[0])}
        except (ValueError, TypeError, LookupError):
            return set()
    tensors = checkpoint.read(path).tensors
    head = next((t for t in tensors if t.endswith(".cv4.0.2.weight")), None)
    rows = 0 if head is None else len(tensors[head])
    return {rows // numbers for numbers in (2, 3) if rows and rows % numbers == 0}


def in_3d(name: str) -> None:
    """Raise `VitruvianError` if the poses of a model, or file, are in pixels only."""
    if family(name) in FLAT:
        raise VitruvianError(
            f"{name} finds joints in pixels only, not in metres; choose another model, "
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
        converted(path, table, row.decode) if is_checkpoint(path) else path
        for path in download.fetch(files, keep=shelf(), notice=row.notice)
    ]


def converted(
    checkpoint: Path, skeleton: Skeleton | None = None, decode: str | None = None
) -> Path:
    """A checkpoint as a network in the cache folder; made the first time, with torch.

    Args:
        checkpoint: see `vitruvian.export.export.export`.
        skeleton: the same.
        decode: the same.

    Raises:
        VitruvianError: it has to be made, and torch is not installed.
    """
    table = skeleton.to_json() if skeleton else "its own"
    key = f"{download.sha256(checkpoint)} {table} {decode or ''}"
    name = f"{_stem(checkpoint)}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.onnx"
    out = download.cache_folder() / name
    if out.exists():
        return out
    export = _exporter(checkpoint.name)
    print(f"converting {checkpoint.name}, once", file=sys.stderr, flush=True)
    export(checkpoint, out, skeleton=skeleton, decode=decode)
    return out


def _stem(path: Path) -> str:
    """The name of a file without what says its kind: `.tar.gz` is one of them."""
    return path.stem.removesuffix(".tar")


def _exporter(name: str) -> Callable[..., Exported]:
    try:
        from vitruvian.export.export import export
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
    """Write a model or a checkpoint as .onnx or .xml; see `vitruvian.export.export.export`.

    Args:
        name: a model of the catalogue whose weights are a checkpoint, or a .pt, .pth or .tar.gz
            file of any family.
        out: .onnx or .xml.
        imgsz: pixels, the side it runs at by default.
        precision: of the weights: f32, f16, int8.
        skeleton: of its keypoints: a name or a .toml file.
        decode: for AlphaPose, how its maps are read.
        calibrate: for int8, a folder of pictures.
    """
    row = None if is_file(name) else entry(name)
    files = [file for file in row.files if is_checkpoint(Path(file.name))] if row else []
    if row and not files:
        raise VitruvianError(f"{name} is no checkpoint: its file runs as it is")
    if row is None:
        family(name)  # refuses what is of none
    export, table = _exporter(name), None if skeleton is None else _skeleton(skeleton)
    if row is None:
        checkpoint = Path(name)
    else:
        (checkpoint,) = download.fetch(files, notice=row.notice)
        if row.family != "metrabs":  # an archive says so itself
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
            file of YOLOv8-pose, AlphaPose or MeTRAbs, or a .tar.gz of MeTRAbs' authors.
        find: what finds the people for BlazePose, AlphaPose and MeTRAbs: YOLOv8-pose, by a name or
            a file, or a .json file of boxes; BlazePose's detector unless it is given.
        skeleton: of a file's keypoints: a name, a .toml file or a `Skeleton`; COCO's unless the
            file says otherwise. For MeTRAbs, which of the file's skeletons, by name.
        options: those of its family: `Options` of `vitruvian.models.blazepose`, `yolopose`,
            `alphapose` or `metrabs`.

    Raises:
        VitruvianError: no such model or option, a value out of range, or weights not to be had.
    """
    if family(name) == "yolopose":
        if find is not None:
            raise VitruvianError(f"{name} finds people by itself; leave find out")
        return _load_yolo(name, skeleton, options)
    if family(name) == "alphapose":
        return _load_alphapose(name, find or DEFAULT, skeleton, options)
    if family(name) == "metrabs":
        if skeleton is not None:
            options["skeleton"] = skeleton
        return _load_metrabs(name, find or DEFAULT, options)
    if skeleton is not None:
        raise VitruvianError(f"{name} has the skeleton {entry(name).skeleton}; leave skeleton out")
    from vitruvian.models import blazepose

    chosen = blazepose.Options.of(**options)  # a wrong one is refused before anything is fetched
    same = {"device": chosen.device, "precision": chosen.precision, "threads": chosen.threads}
    finder = None
    if find is not None:
        finder = _finder(find, chosen.min_pose_detection_confidence, **same)
    detector, landmarks = pull(name)
    hashes = {path.name: download.sha256(path) for path in (detector, landmarks)}
    model = blazepose.load(detector, landmarks, chosen, name, hashes)
    if finder is not None:
        model.find, model.options["find"] = finder.bodies, find
        model.weights |= finder.weights
    return model


def open_model(model: str | ModelSpec | Model, sources: Sequence[Source], **options: Any) -> Model:
    """A model for these sources, by name or spec, or one that is loaded already.

    For videos BlazePose's networks get half of the cores unless `threads` says otherwise: each
    frame needs the one before, and decoding and writing want the other half. Of YOLOv8, which needs
    no other frame, as many frames are computed side by side as there are cores. AlphaPose's
    networks are so much larger than the rest that they get all cores.

    Args:
        model: `ModelSpec`, or words for `ModelSpec.parse`, or what `load` gave.
        sources: what it is for.
        options: of the model, see `load`; those of a spec itself come first.

    Raises:
        VitruvianError: as `load`; or there are options for a model that is loaded.
    """
    if not isinstance(model, str | ModelSpec):
        if options:
            raise VitruvianError(
                f"the model is loaded already; give {', '.join(options)} to load()"
            )
        return model
    spec = ModelSpec.of(model)
    options = {**options, **spec.options}
    if options.get("threads") is None and any(source.moving for source in sources):
        kind = family(spec.name)
        if kind == "yolopose":
            options.setdefault("streams", cores())
        elif kind == "blazepose":
            options["threads"] = max(1, cores() // 2)
    return load(spec.name, **options)


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
        from vitruvian.models.finders import Detections

        found = Detections(Path(which), conf or 0.0)
        for note in found.notes:
            print(f"vitruvian: {note}", file=sys.stderr, flush=True)
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
    (file,) = download.fetch([DETECTOR], keep=shelf())
    detector = blazepose.open_detector(file, options)
    return _Finder(detector.boxes, detector, {file.name: download.sha256(file)})


def _finder_beside(chosen: alphapose.Options | metrabs.Options, find: str) -> _Finder:
    """Who finds people for a family that runs on either runtime, on the same device."""
    # ONNX Runtime's devices have other names than those of OpenVINO, which runs the finders.
    device = chosen.device if chosen.runtime == "openvino" else "CPU"
    same = {"precision": chosen.precision, "threads": chosen.threads}
    return _finder(find, chosen.conf, device=device, **same)


def _load_alphapose(
    name: str, find: str, skeleton: str | Path | Skeleton | None, options: dict[str, object]
) -> TopDown:
    from vitruvian.models import alphapose

    chosen = alphapose.Options.of(**options)
    path = Path(name)
    if skeleton is not None and not is_checkpoint(path):
        raise VitruvianError(f"{name} says which skeleton it has; leave skeleton out")
    finder = _finder_beside(chosen, find)
    refiner = None
    if not is_file(name):
        _, *files = entry(name).files
        path, *more = _ready(entry(name), files)
        refiner = more[0] if more else None
    else:
        if is_checkpoint(path):
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


def _load_metrabs(name: str, find: str, options: dict[str, object]) -> TopDown:
    from vitruvian.models import metrabs

    chosen = metrabs.Options.of(**options)
    finder = _finder_beside(chosen, find)
    if is_file(name):
        path = Path(name)
        path = converted(path) if is_checkpoint(path) else path
    else:
        _, *files = entry(name).files
        (path,) = _ready(entry(name), files)
    model = metrabs.load(
        path,
        finder.boxes,
        chosen,
        name=_stem(Path(name)) if is_file(name) else name,
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
        if is_checkpoint(path):
            path = converted(path, table)
    return yolopose.load(
        path, chosen, skeleton=table, name=name if not is_file(name) else Path(name).stem
    )


def _skeleton(which: str | Path | Skeleton) -> Skeleton:
    return which if isinstance(which, Skeleton) else chosen(str(which))
