"""Export of each family of networks: graph, metadata and check.

A family is recognised by its tensors' names. YOLOv8-pose takes images (B, 3, H, W) of any size,
0..1. AlphaPose's networks and OSNet take crops of people as uint8, MeTRAbs and BlazePose as
float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import (
    BLAZEPOSE33,
    COCO17,
    HALPE26,
    HALPE68,
    HALPE136,
    HAND21,
    WHOLEBODY133,
)
from vitruvian.errors import VitruvianError, unknown
from vitruvian.exports.graph import (
    CROPS,
    PART,
    Graph,
    Normalised,
    Run,
    of_crops,
    off,
    smooth_crops,
)
from vitruvian.exports.metrabs import bodies, published
from vitruvian.exports.networks import blazepose, fastpose, metrabs, refine, reid, vitruvian2d, yolo
from vitruvian.weights.checkpoint import Checkpoint
from vitruvian.weights.metrabs_archive import Archive

PIXELS, SCORE = 0.05, 1e-3  # tolerances against torch: 100 times the measured differences
# The same for the outputs of BlazePose: pixels, 0..1, 0..1, before the sigmoid, metres; ten times.
LANDMARKS = {"points": 0.05, "presence": 1e-3, "mask": 0.02, "maps": 0.01, "world": 1e-3}
CHECKED = ((1, 3, 256, 128), (3, 3, 128, 320))  # image shapes

# Decoders of AlphaPose's maps, see `vitruvian.decode.heatmap`; "combined" is argmax for the body,
# integral for face and hands.
DECODE = ("argmax", "integral", "combined")
# K: skeleton of AlphaPose's published networks with K keypoints.
SKELETONS = {len(s): s for s in (COCO17, HAND21, HALPE26, HALPE68, WHOLEBODY133, HALPE136)}
HEIGHT, WIDTH = 256, 192  # of AlphaPose's crops, pixels


def graph(
    read: Checkpoint | Archive, *, skeleton: Skeleton | None, decode: str | None, imgsz: int | None
) -> Graph:
    """The graph of a checkpoint of any family; see `vitruvian.exports.export.export_checkpoint`.

    Raises:
        VitruvianError: the family is unknown, or does not accept an argument.
    """
    family: Callable[..., Graph]
    if isinstance(read, Archive):
        family = published
    elif f"{metrabs.HEAD}.weight" in read.tensors:
        family = bodies
    elif any(name.startswith("model.") for name in read.tensors):
        family = pictures
    elif any(name.startswith(("preact.", *fastpose.OTHERS)) for name in read.tensors):
        family = crops
    elif any(name.startswith("regressor.") for name in read.tensors):
        family = landmarks
    elif "duc1.conv.weight" in read.tensors:
        family = own
    elif "read.0.weight" in read.tensors:
        family = refinement
    elif any(name.removeprefix("module.").startswith("conv2.0.") for name in read.tensors):
        family = people
    else:
        raise VitruvianError(
            "its tensors match no YOLOv8-pose, AlphaPose, OSNet, MeTRAbs or BlazePose network"
        )
    given = {"skeleton": skeleton, "decode": decode, "imgsz": imgsz}
    given = {name: value for name, value in given.items() if value is not None}
    takes = {pictures: {"skeleton", "imgsz"}, crops: {"skeleton", "decode"}, own: {"skeleton"}}
    takes[refinement] = {"skeleton"}
    for name in given.keys() - takes.get(family, set()):
        raise VitruvianError(f"this network has no --{name}; leave it out")
    return family(read, **given)


def pictures(read: Checkpoint, skeleton: Skeleton = COCO17, imgsz: int | None = None) -> Graph:
    """YOLOv8-pose."""
    network = yolo.load(read.tensors, len(skeleton)).fold()
    about = {
        "task": "pose",
        "stride": str(network.strides[-1]),
        "imgsz": str([imgsz or trained_at(read, network)] * 2),
        "names": str(classes(read, network)),
        "kpt_shape": str([network.shape.keypoints, network.shape.numbers]),
        "skeleton": skeleton.to_json(),
    }
    return Graph(
        "yolopose",
        network,
        about,
        (torch.zeros(2, 3, 128, 192),),
        ("images",),
        ("output0",),
        {
            "images": {0: "batch", 2: "height", 3: "width"},
            "output0": {0: "batch", 2: "anchors"},
        },
        "px",
        lambda run, name: check_pictures(network, run, name),
        lambda run, images: displacement(network, run, images),
    )


def crops(read: Checkpoint, skeleton: Skeleton | None = None, decode: str | None = None) -> Graph:
    """AlphaPose: FastPose, FastPose-DUC, SimplePose.

    Args:
        read: the checkpoint.
        skeleton: of its keypoints; None: as in `SKELETONS`.
        decode: decoder of its maps, a member of `DECODE`; not stored in a checkpoint. None:
            argmax for bodies, which are all trained for it.
    """
    network = fastpose.load(read.tensors)
    keypoints = network.shape.keypoints
    if skeleton is None and keypoints not in SKELETONS:
        raise VitruvianError(
            f"it has {keypoints} keypoints, which is no known skeleton; give --skeleton"
        )
    skeleton = skeleton or SKELETONS[keypoints]
    need_keypoints(keypoints, skeleton)
    if decode is None and keypoints not in (len(COCO17), len(HALPE26)):
        raise VitruvianError(
            f"the checkpoint does not specify how its {keypoints} heat maps are decoded; give "
            "--decode argmax (trained on heat maps), integral (regression) or combined"
        )
    decode = decode or "argmax"
    if decode not in DECODE:
        raise unknown("decoding of heat maps", decode, DECODE)
    if decode == "combined" and "left_hand" not in skeleton.parts:
        raise VitruvianError(
            f"{keypoints} heat maps are not a body with hands; choose another decode"
        )
    about = {
        "family": "alphapose",
        "task": "pose",
        "imgsz": str([HEIGHT, WIDTH]),
        "skeleton": skeleton.to_json(),
        "decode": decode,
    }
    return of_crops(Normalised(network, fastpose.fastpose_input), about, (HEIGHT, WIDTH), ("maps",))


def need_keypoints(keypoints: int, skeleton: Skeleton) -> None:
    """Raise `VitruvianError` if a network has not as many keypoints as a skeleton."""
    if keypoints != len(skeleton):
        raise VitruvianError(
            f"it has {keypoints} keypoints, and {skeleton.name} has {len(skeleton)}; give the "
            "skeleton it was trained with"
        )


def people(read: Checkpoint) -> Graph:
    """OSNet-AIN, for re-identification."""
    about = {"family": "reid", "task": "reid", "imgsz": str(list(reid.SIZE))}
    network = Normalised(reid.load(read.tensors), reid.osnet_input)
    return of_crops(network, about, reid.SIZE, ("embedding",))


def own(read: Checkpoint, skeleton: Skeleton = COCO17) -> Graph:
    """vitruvian-2d: heat maps, and features for its refinement."""
    state = tensors(read)
    need_keypoints(len(state["conv_out.bias"]), skeleton)
    network = vitruvian2d.from_state(state)
    about = {
        "family": "alphapose",
        "task": "pose",
        "imgsz": str([HEIGHT, WIDTH]),
        "skeleton": skeleton.to_json(),
        "decode": "local",
        "antialias": "1",  # trained on antialiased (downscaled) images
    }
    return of_crops(
        Normalised(network, vitruvian2d.vitruvian2d_input),
        about,
        (HEIGHT, WIDTH),
        ("maps", "features"),
    )


def refinement(read: Checkpoint, skeleton: Skeleton = COCO17) -> Graph:
    """The keypoint refinement of vitruvian-2d."""
    state = tensors(read)
    channels, keypoints = state["read.0.weight"].shape[1], len(state["first"])
    need_keypoints(keypoints, skeleton)
    network = refine.Refine(channels, keypoints)
    network.load_state_dict(state)
    network.eval().requires_grad_(False)
    names = ("features", "keypoints", "offset")
    features = torch.zeros(2, channels, HEIGHT // 4, WIDTH // 4)
    return Graph(
        "refine",
        network,
        {"family": "refine", "task": "pose", "skeleton": skeleton.to_json()},
        (features, torch.zeros(2, keypoints, 2)),
        names[:2],
        names[2:],
        {name: {0: "people"} for name in names},
        "of the largest value",
        lambda run, name: check_refinement(network, run, name, features.shape[1:], keypoints),
    )


def landmarks(read: Checkpoint) -> Graph:
    """BlazePose's landmark network, with inputs and outputs as in the official files."""
    network = blazepose.AsInFiles(blazepose.load(read.tensors)).eval().requires_grad_(False)
    about = {"family": "blazepose", "task": "pose", "skeleton": BLAZEPOSE33.to_json()}
    outputs = blazepose.LandmarkOutputs._fields
    return Graph(
        "blazepose",
        network,
        about,
        (torch.zeros(2, blazepose.SIDE, blazepose.SIDE, 3),),
        ("crops",),
        outputs,
        {name: {0: "people"} for name in ("crops", *outputs)},
        "px",
        lambda run, name: check_landmarks(network, run, name),
    )


def check_landmarks(network: blazepose.AsInFiles, run: Run, name: str) -> float:
    """Maximum difference of landmarks between a runtime and torch, pixels; masks as 0..1.

    Raises:
        ValueError: the difference of an output is too large, see `LANDMARKS`.
    """
    worst = 0.0
    for count in CROPS:
        crops = smooth_crops(count, (blazepose.SIDE, blazepose.SIDE)).astype(np.float32) / 255
        with torch.no_grad():
            wants = network(torch.from_numpy(crops))
        for got, want, part in zip(run(crops), wants, LANDMARKS, strict=True):
            given = torch.from_numpy(got)
            if part == "mask":
                given, want = torch.sigmoid(given), torch.sigmoid(want)
            apart = float((given - want).abs().max())
            if not apart < LANDMARKS[part]:
                raise ValueError(f"{part} of {name} is {apart} different from PyTorch")
            worst = max(worst, apart if part == "points" else 0.0)
    return worst


def tensors(read: Checkpoint) -> dict[str, Tensor]:
    """The tensors of a checkpoint as PyTorch tensors."""
    return {name: torch.from_numpy(np.array(array)) for name, array in read.tensors.items()}


def check_refinement(
    network: refine.Refine, run: Run, name: str, shape: Sequence[int], count: int
) -> float:
    """Check a refinement as `check_crops` does, with features of this shape, `count` keypoints.

    Raises:
        ValueError: the difference is too large.
    """
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, *shape)).astype(np.float32)
    keypoints = (rng.random((3, count, 2)) * (shape[2], shape[1])).astype(np.float32)
    apart = off(network, run, features, keypoints)
    if not apart < PART:
        raise ValueError(f"{name} is {apart} of the largest value different from PyTorch")
    return apart


def trained_at(read: Checkpoint, network: yolo.Yolo) -> int:
    """Image size of training in pixels, or the family's default."""
    arguments = read.entries.get("train_args")
    imgsz = arguments.get("imgsz") if isinstance(arguments, dict) else None
    if isinstance(imgsz, list | tuple) and imgsz:
        imgsz = imgsz[0]
    usual = 1280 if network.strides[-1] == 64 else 640
    return imgsz if isinstance(imgsz, int) and 32 <= imgsz <= 8192 else usual


def classes(read: Checkpoint, network: yolo.Yolo) -> dict[int, str]:
    """Class names by index."""
    names = read.attributes.get("names")
    given = names if isinstance(names, dict) else {0: "person"}
    return {i: str(given.get(i, f"class{i}"))[:80] for i in range(network.shape.classes)}


def apart(
    network: yolo.Yolo, run: Run, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences between a runtime and torch, and where there are detections.

    Returns:
        (F, P, A) in pixels, (F, S, A) of scores, (F, A) torch's best score.
    """
    with torch.no_grad():
        want = network(torch.from_numpy(images)).numpy()
    (rows,) = run(images)
    shape = network.shape
    points = np.arange(shape.keypoints * shape.numbers) % shape.numbers == 2
    score = np.concatenate([np.zeros(4, bool), np.ones(shape.classes, bool), points])
    difference = np.abs(rows - want)
    best = want[:, 4 : 4 + shape.classes].max(axis=1)
    return difference[:, ~score], difference[:, score], best


def check_pictures(network: yolo.Yolo, run: Run, name: str) -> float:
    """Maximum difference between a runtime and torch, pixels.

    Raises:
        ValueError: the difference is too large.
    """
    rng = np.random.default_rng(0)
    worst = 0.0
    for shape in CHECKED:
        pixels, score, _ = apart(network, run, rng.random(shape, np.float32))
        if not (pixels.max() < PIXELS and score.max() < SCORE):
            raise ValueError(
                f"{name} is {pixels.max()} pixels, {score.max()} in score different from PyTorch"
            )
        worst = max(worst, float(pixels.max()))
    return worst


def displacement(network: yolo.Yolo, run: Run, images: Sequence[np.ndarray]) -> float:
    """Mean difference of torch's detections, pixels; NaN if there are none."""
    moved = []
    for image in images[:20]:
        pixels, _, best = apart(network, run, image)
        moved.append(pixels.transpose(0, 2, 1)[best > 0.5].ravel())
    moved = np.concatenate(moved)
    return float(moved.mean()) if len(moved) else math.nan
