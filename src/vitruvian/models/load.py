"""Load any model by name: its family, its options and its person detector."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import HOLISTIC, as_skeleton
from vitruvian.errors import VitruvianError
from vitruvian.models import alphapose, blazepose, metrabs, objectron, yolopose
from vitruvian.models.finders import Detections
from vitruvian.models.holistic import WholeBody, add_parts
from vitruvian.models.model import Family, Finder, Model
from vitruvian.models.options import PoseOptions, StreamDefaults
from vitruvian.models.ready import is_checkpoint, is_network_file
from vitruvian.models.spec import ModelSpec, network_of_run
from vitruvian.models.zoo import CATALOGUE, DEFAULT, entry
from vitruvian.network.threads import cores
from vitruvian.sources.threads import count_of
from vitruvian.weights import checkpoint, metrabs_archive
from vitruvian.weights.metadata import about
from vitruvian.weights.task_bundle import is_task_bundle

if TYPE_CHECKING:
    from vitruvian.models.top_down import TopDown
    from vitruvian.models.yolopose import YoloPose
    from vitruvian.sources.open import Source

FAMILIES = {
    family.name: family
    for family in (
        *(blazepose.FAMILY, yolopose.FAMILY, alphapose.FAMILY, metrabs.FAMILY),
        objectron.FAMILY,
    )
}
UNNAMED = yolopose.FAMILY  # of files that do not say: all but ours, and Ultralytics' own exports


def family_of(name: str) -> Family:
    """The family of a model of the catalogue, or of a file.

    Raises:
        VitruvianError: no such model, or the file cannot be read.
    """
    if not is_network_file(name):
        return FAMILIES[entry(name).family]
    path = Path(name)
    if not path.is_file():
        raise VitruvianError(f"cannot read '{name}': no such file")
    if metrabs_archive.is_archive(path):
        return metrabs.FAMILY
    if is_task_bundle(path):
        return blazepose.FAMILY
    if is_checkpoint(path):
        read = checkpoint.read(path)
        for family in FAMILIES.values():
            if any(tensor.startswith(family.tensors) for tensor in read.tensors):
                return family
        UNNAMED.check(read, path)
        return UNNAMED
    kind = about(path).get("family", UNNAMED.name)
    if kind not in FAMILIES:
        raise VitruvianError(
            f"'{name}' is a network of kind '{kind}', which does not estimate poses"
        )
    return FAMILIES[kind]


def unnamed_keypoints(name: str) -> set[int]:
    """How many keypoints a file may have, if it does not say what they are called.

    Nothing for a model of the catalogue, and for a file that names them or is of MeTRAbs. A
    checkpoint of YOLOv8-pose says how many numbers there are of a person, 2 or 3 of each keypoint.
    """
    if not is_network_file(name) or family_of(name) is metrabs.FAMILY:
        return set()
    path = Path(name)
    if is_task_bundle(path):
        return set()
    if not is_checkpoint(path):
        metadata = about(path)
        if "skeleton" in metadata or "family" in metadata:
            return set()
        try:
            return {int(json.loads(metadata.get("kpt_shape", "[17, 3]"))[0])}
        except (ValueError, TypeError, LookupError):
            return set()
    tensors = checkpoint.read(path).tensors
    head = next((t for t in tensors if t.endswith(".cv4.0.2.weight")), None)
    rows = 0 if head is None else len(tensors[head])
    return {rows // numbers for numbers in (2, 3) if rows and rows % numbers == 0}


def need_metres(name: str) -> None:
    """Raise `VitruvianError` if a model, or file, has no 3D poses in metres."""
    if not family_of(name).metres:
        raise VitruvianError(
            f"{name} gives 2D keypoints only; choose a 3D model, such as {DEFAULT}"
        )


def finds_near(model: Model) -> bool:
    """Whether the person detector of a model only detects people near the camera."""
    find = model.options.get("find")
    if find is None and isinstance(getattr(model, "head", None), blazepose.Landmarks):
        return True  # also of a training run, whose name is of no row
    row = CATALOGUE.get(str(find or model.name))
    return row is not None and FAMILIES[row.family].finds_near


def load(
    name: str | ModelSpec = DEFAULT,
    *,
    find: str | None = None,
    skeleton: str | Path | Skeleton | None = None,
    **options: Any,
) -> TopDown | WholeBody | YoloPose:
    """Load a model; its weights are downloaded if they are not in the cache.

    Args:
        name: a row of the catalogue, see `vitruvian models list`, or a .pt, .pth, .onnx or .xml
            file of YOLOv8-pose, AlphaPose, MeTRAbs, or BlazePose as it was trained, a .tar.gz of
            MeTRAbs' authors, or a .task bundle of MediaPipe's Pose Landmarker; with options after
            commas, see `ModelSpec.parse`, which take precedence.
        find: person detector for BlazePose, AlphaPose and MeTRAbs: vitruvian-find, objectron,
            BlazePose, YOLOv8-pose, by name or file, the folder of a training run of one, or a .json
            file of bounding boxes; default:
            BlazePose's own for BlazePose, vitruvian-find for the others.
        skeleton: of a file's keypoints: a name, a .toml file or a `Skeleton`; default: as in the
            file, or else COCO's. For MeTRAbs, the name of one of the file's skeletons.
        options: those of its family: `Options` of `vitruvian.models.blazepose`, `yolopose`,
            `alphapose` or `metrabs`; and what its streams do, see
            `vitruvian.models.options.StreamDefaults`.

    Raises:
        VitruvianError: unknown model or option, a value out of range, or weights not available.
    """
    spec = ModelSpec.of(name)
    name, given = spec.name, {"find": find, "skeleton": skeleton, **options, **spec.options}
    family, chosen, wanted = check_options(name, **given)
    find = given["find"] or family.found_by
    finder = None if find is None else open_finder(find, family.wants, chosen)
    model = family.load(name, chosen, given["skeleton"], finder)
    if chosen.hands or chosen.face:
        model = add_parts(model, chosen)
    model.wanted = wanted
    model.options |= family.recorded(wanted)
    if find is not None:
        model.options["find"] = find
    return model


def check_options(
    name: str,
    *,
    find: str | None = None,
    skeleton: str | Path | Skeleton | None = None,
    **options: Any,
) -> tuple[Family, Any, StreamDefaults]:
    """The family of a model, its options, and those of its streams, before anything is opened.

    Raises:
        VitruvianError: as `load`, but for what only opening the files shows.
    """
    family = family_of(name)
    if "skeleton" in family.options.names():
        options |= {} if skeleton is None else {"skeleton": skeleton}
    elif as_skeleton(skeleton) is not None and family is blazepose.FAMILY:
        raise VitruvianError(
            f"{name} has the skeleton {blazepose.Landmarks.skeleton.name}; leave skeleton out"
        )
    chosen, wanted = family.read(options)
    if find is not None and family.wants == "nothing":
        raise VitruvianError(f"{name} has no separate person detector; leave find out")
    if find is not None:
        _check_finder(find)
    if isinstance(chosen, PoseOptions):
        chosen = _with_parts_of_name(name, chosen)
    return family, chosen, wanted


def _with_parts_of_name(name: str, options: PoseOptions) -> PoseOptions:
    """The options, with what the model's name says of hands and faces.

    Raises:
        VitruvianError: a refined face, but none.
    """
    whole = not is_network_file(name) and entry(name).skeleton in {
        table.name for table in HOLISTIC.values()
    }
    hands, face = (whole if on is None else on for on in (options.hands, options.face))
    if options.refine_face and not face:
        raise VitruvianError(
            "refine_face_landmarks needs a face, which is not looked for; add face=true"
        )
    return replace(options, hands=hands, face=face)


def _check_finder(which: str) -> Family | None:
    """The family of a person detector, or of that of a training run; None: a file of boxes.

    Raises:
        VitruvianError: no such model or file, or it finds nobody.
    """
    if Path(which).suffix.lower() == ".json":
        if not Path(which).exists():
            raise VitruvianError(f"cannot read '{which}': no such file")
        return None
    family = family_of(network_of_run(which))
    if family.finder is None:
        raise VitruvianError(
            f"find is '{which}', want a person detector: vitruvian-find, objectron, YOLOv8-pose, "
            "BlazePose, or a .json file"
        )
    return family


def open_model(model: str | ModelSpec | Model, sources: Sequence[Source], **options: Any) -> Model:
    """Open a model for these sources, by name or spec, or use one that is already loaded.

    In videos, a model that follows one person from frame to frame (BlazePose) gets half of the
    cores, unless `threads` says otherwise: each frame needs the one before, and decoding and
    writing want the rest. Where frames are unrelated (the other families; a folder of images), as
    many are computed in parallel as there are cores, but not of live sources, where the next
    poses shall be there soonest.

    Args:
        model: `ModelSpec`, or words for `ModelSpec.parse`, or what `load` gave.
        sources: what it is for.
        options: of the model, see `load`; those of a spec itself come first.

    Raises:
        VitruvianError: as `load`; or there are options for a model that is loaded.
    """
    if not isinstance(model, str | ModelSpec):
        if not hasattr(model, "wanted"):
            raise VitruvianError(
                f"{type(model).__name__} is not a model; give a name of `vitruvian models list`, "
                "a file, or the result of vit.load"
            )
        if options:
            raise VitruvianError(
                f"the model is loaded already; give {', '.join(options)} to load()"
            )
        return model
    spec = ModelSpec.of(model)
    options = {**options, **spec.options}
    moving = any(source.moving for source in sources)
    if sources and not moving:
        options = for_pictures(spec.name, options)
    several = moving or sum(count_of(source) or 2 for source in sources) > 1
    if options.get("threads") is None and several:
        if not (moving and family_of(spec.name).wanted.detect_every):
            if not any(source.live for source in sources):
                options.setdefault("streams", cores())
        elif (options.get("num_poses") or 1) == 1:
            options["threads"] = max(1, cores() // 2)
    return load(spec.name, **options)


def for_pictures(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a model for unrelated pictures: everyone.

    Unless one person is asked for, or another program's results.
    """
    given = {each: value for each, value in options.items() if value is not None}
    if given.get("num_poses") == 1 or "compat" in given:
        return given
    return {**family_of(name).for_pictures, **given}


def open_finder(which: str, wants: str, options: Any) -> Finder:
    """Open a person detector: a model, or a file of bounding boxes.

    Args:
        which: a model of the catalogue, a file of one, the folder of a training run, or a .json
            file.
        wants: "boxes" around people, or "bodies", squares around whole bodies.
        options: those of who asks: `conf`, from where a person counts (None: as the finder's family
            has it), and device, precision and threads.

    Raises:
        VitruvianError: it finds nobody, or as `load`.
    """
    family = _check_finder(which)
    if family is None:
        detections = Detections(Path(which), options.conf or 0.0)
        for note in detections.notes:
            print(f"vitruvian: {note}", file=sys.stderr, flush=True)
        return Finder(detections.find, detections.weights, upright=True, complete=True)
    assert family.finder is not None
    # ONNX Runtime's devices have other names than those of OpenVINO, which runs the finders.
    device = options.device if getattr(options, "runtime", "openvino") == "openvino" else "CPU"
    same = {name: getattr(options, name) for name in ("precision", "threads", "streams")}
    same["device"] = device
    least = {} if options.conf is None else {"conf": options.conf}
    return family.finder(network_of_run(which), wants, family.options.of(**least, **same))
