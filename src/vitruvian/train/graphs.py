"""What each family of networks puts into a file: the graph, its metadata, and how it is checked.

A family is recognised by the names of its tensors. YOLOv8-pose takes pictures (B, 3, H, W) of any
size, 0..1. AlphaPose's networks and OSNet take crops of people as they come, (N, H, W, 3) uint8
RGB, and normalise them in the graph; N is free, H and W are those of their training. MeTRAbs takes
such crops as float32, 0..1, because they are rounded to 8 bits nowhere on the way.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import (
    COCO17,
    HALPE26,
    HALPE68,
    HALPE136,
    HAND21,
    WHOLEBODY133,
    spelled_out,
)
from vitruvian.decode.volume import Volume
from vitruvian.errors import VitruvianError, unknown
from vitruvian.network.checkpoint import Checkpoint
from vitruvian.network.metrabs_archive import Archive, mirror, pack
from vitruvian.train.networks import fastpose, metrabs, refine, reid, vitruvian2d, yolo

Run = Callable[..., tuple[np.ndarray, ...]]
PIXELS, SCORE = 0.05, 1e-3  # how far a runtime may be from torch: 100 times what was seen
PART = 2e-4  # the same for crops, of the largest number: 100 times what was seen
CHECKED = ((1, 3, 256, 128), (3, 3, 128, 320))  # pictures
CROPS = (1, 3)  # how many at a time

# How the maps of AlphaPose are read, see `vitruvian.decode.heatmap`; "combined" is the body by
# argmax, face and hands by integral.
DECODE = ("argmax", "integral", "combined")
# K: the skeleton that AlphaPose's published networks of K keypoints have.
SKELETONS = {len(s): s for s in (COCO17, HAND21, HALPE26, HALPE68, WHOLEBODY133, HALPE136)}
COMBINED = {68, 133, 136}  # K of a body with hands
HEIGHT, WIDTH = 256, 192  # of AlphaPose's crops, pixels


@dataclass(frozen=True, eq=False)
class Graph:
    """A network on its way into a file."""

    family: str
    network: nn.Module  # folded
    about: dict[str, str]  # metadata
    example: tuple[Tensor, ...]  # it is traced with
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: dict[str, dict[int, str]]  # those that are free, of inputs and outputs
    unit: str  # of what `check` returns
    check: Callable[[Run, str], float]  # how far a runtime, by its name, is from torch
    displacement: Callable[[Run, Sequence[np.ndarray]], float] | None = field(default=None)


def graph(
    read: Checkpoint | Archive, *, skeleton: Skeleton | None, decode: str | None, imgsz: int | None
) -> Graph:
    """The graph of a checkpoint of any family; see `vitruvian.train.export.export`.

    Raises:
        VitruvianError: it is of no family, or an argument is not for it.
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
    elif "duc1.conv.weight" in read.tensors:
        family = own
    elif "read.0.weight" in read.tensors:
        family = refinement
    elif any(name.removeprefix("module.").startswith("conv2.0.") for name in read.tensors):
        family = people
    else:
        raise VitruvianError(
            "its tensors are those of no YOLOv8-pose, AlphaPose, OSNet or MeTRAbs network"
        )
    given = {"skeleton": skeleton, "decode": decode, "imgsz": imgsz}
    given = {name: value for name, value in given.items() if value is not None}
    takes = {pictures: {"skeleton", "imgsz"}, crops: {"skeleton", "decode"}}
    for name in given.keys() - takes.get(family, set()):
        raise VitruvianError(f"such a network has no --{name}; leave it out")
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
        skeleton: of its keypoints; None: that of `SKELETONS`.
        decode: how its maps are read, a member of `DECODE`, which a checkpoint does not say. None:
            argmax for the bodies, which are all trained so.
    """
    network = fastpose.load(read.tensors)
    keypoints = network.shape.keypoints
    if skeleton is None and keypoints not in SKELETONS:
        raise VitruvianError(f"it has {keypoints} keypoints of no known skeleton; give --skeleton")
    skeleton = skeleton or SKELETONS[keypoints]
    if keypoints != len(skeleton):
        raise VitruvianError(
            f"it has {keypoints} keypoints, and {skeleton.name} has {len(skeleton)}; give the "
            "skeleton it was trained with"
        )
    if decode is None and keypoints not in (len(COCO17), len(HALPE26)):
        raise VitruvianError(
            f"no checkpoint says how its {keypoints} maps are read; give --decode argmax (trained "
            "on heat maps), integral (regression) or combined"
        )
    decode = decode or "argmax"
    if decode not in DECODE:
        raise unknown("way to decode maps", decode, DECODE)
    if decode == "combined" and keypoints not in COMBINED:
        raise VitruvianError(f"{keypoints} maps are no body with hands; decode is not combined")
    about = {
        "family": "alphapose",
        "task": "pose",
        "imgsz": str([HEIGHT, WIDTH]),
        "skeleton": skeleton.to_json(),
        "decode": decode,
    }
    return of_crops(Normalised(network, fastpose.normalise), about, (HEIGHT, WIDTH), ("maps",))


def people(read: Checkpoint) -> Graph:
    """OSNet-AIN, for re-identification."""
    about = {"family": "reid", "task": "reid", "imgsz": str(list(reid.SIZE))}
    network = Normalised(reid.load(read.tensors), reid.normalise)
    return of_crops(network, about, reid.SIZE, ("embedding",))


def own(read: Checkpoint) -> Graph:
    """vitruvian-2d: maps, and the features that its refinement reads."""
    network = vitruvian2d.Vitruvian2D()
    network.load_state_dict(tensors(read))
    about = {
        "family": "alphapose",
        "task": "pose",
        "imgsz": str([HEIGHT, WIDTH]),
        "skeleton": COCO17.to_json(),
        "decode": "local",
        "antialias": "1",  # it has learned from pictures that had been made smaller
    }
    return of_crops(
        Normalised(network, vitruvian2d.normalise), about, (HEIGHT, WIDTH), ("maps", "features")
    )


def refinement(read: Checkpoint) -> Graph:
    """What moves the keypoints of vitruvian-2d."""
    state = tensors(read)
    channels = state["read.0.weight"].shape[1]
    network = refine.Refine(channels, len(COCO17))
    network.load_state_dict(state)
    network.eval().requires_grad_(False)
    names = ("features", "keypoints", "offset")
    features = torch.zeros(2, channels, HEIGHT // 4, WIDTH // 4)
    return Graph(
        "refine",
        network,
        {"family": "refine", "task": "pose", "skeleton": COCO17.to_json()},
        (features, torch.zeros(2, len(COCO17), 2)),
        names[:2],
        names[2:],
        {name: {0: "people"} for name in names},
        "of the largest number",
        lambda run, name: check_refinement(network, run, name, features.shape[1:]),
    )


def tensors(read: Checkpoint) -> dict[str, Tensor]:
    """The tensors of a checkpoint as torch's own."""
    return {name: torch.from_numpy(np.array(array)) for name, array in read.tensors.items()}


def published(read: Archive) -> Graph:
    """MeTRAbs, of an archive of its authors."""
    config = read.config
    volume = Volume(
        config.side, config.stride, config.depth, config.box, config.centered, config.legacy
    )
    network = metrabs.load(read.tensors, config.depth, config.centered)
    if network.shape.points != len(read.points):
        raise VitruvianError(
            f"its ckpt.pt has {network.shape.points} points, its joint_info.npz {len(read.points)}"
        )
    skeletons = {}
    for name, joints in read.skeletons.items():
        names = tuple(map(spelled_out, joints.names))
        sigmas = np.full(len(names), np.nan, np.float32)
        source = "skeleton_infos.pkl of the published archive"
        table = Skeleton(name or "all", source, names, joints.edges, sigmas)
        skeletons[table.name] = {"indices": joints.indices, "table": table.to_json()}
    about = {
        "points": json.dumps(read.points),
        "mirror": json.dumps(mirror(read.points)),
        "transform": pack(read.transform),
        "skeletons": json.dumps(skeletons),
        "mix": json.dumps(config.mix),
        "weak_perspective": json.dumps(config.weak_perspective),
    }
    return of_bodies(network, volume, about)


def bodies(read: Checkpoint) -> Graph:
    """MeTRAbs, of a checkpoint of our own, see `vitruvian.train.networks.metrabs.save`."""
    volume, skeleton = metrabs.said(read.entries)
    network = metrabs.load(read.tensors, volume.depth, volume.centered)
    if network.shape.points != len(skeleton) or network.shape.backbone.stride != volume.stride:
        raise VitruvianError(
            f"its network has {network.shape.points} points, stride {network.shape.backbone.stride}"
            f", and what it says of itself {len(skeleton)}, {volume.stride}"
        )
    indices = list(range(len(skeleton)))
    about = {
        "points": json.dumps(skeleton.keypoints),
        "mirror": json.dumps(skeleton.mirror.tolist()),
        "skeletons": json.dumps({skeleton.name: {"indices": indices, "table": skeleton.to_json()}}),
        "mix": "0.5",
        "weak_perspective": "false",
    }
    return of_bodies(network, volume, about)


def of_bodies(network: metrabs.Metrabs, volume: Volume, about: dict[str, str]) -> Graph:
    """The graph of MeTRAbs, and what it says of itself, each as JSON.

    Args:
        network: it ends at the maps: what follows is `vitruvian.decode`'s.
        volume: what the maps measure.
        about: "points", names of the maps; "mirror", of each its number on the other side;
            "transform", see `metrabs_archive.pack`, from points to all joints, which are the points
            where it is missing; "skeletons", by name: which joints are its keypoints, and its table
            as `Skeleton.to_json` has it; "mix" and "weak_perspective" of the published settings.
    """
    about = {
        "family": "metrabs",
        "task": "pose",
        "imgsz": str([volume.side] * 2),
        "volume": json.dumps(asdict(volume)),
        **about,
    }
    normalised = Normalised(network, lambda crops: crops.permute(0, 3, 1, 2))
    size = (volume.side, volume.side)
    return of_crops(normalised, about, size, ("logits2d", "logits3d"), torch.float32)


class Normalised(nn.Module):
    """A network that takes crops of people as they come: (N, H, W, 3) RGB."""

    def __init__(self, network: nn.Module, normalise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.normalise = network, normalise

    def forward(self, crops: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the network makes of them."""
        return self.network(self.normalise(crops))


def of_crops(
    network: Normalised,
    about: dict[str, str],
    size: tuple[int, int],
    outputs: tuple[str, ...],
    numbers: torch.dtype = torch.uint8,
) -> Graph:
    """The graph of a network of crops of (height, width): uint8, or float32 of 0..1."""
    network.eval().requires_grad_(False)
    fold(network)
    return Graph(
        about["family"],
        network,
        about,
        (torch.zeros(2, *size, 3, dtype=numbers),),
        ("crops",),
        outputs,
        {name: {0: "people"} for name in ("crops", *outputs)},
        "of the largest number",
        lambda run, name: check_crops(network, run, name, size, numbers),
    )


def fold(network: nn.Module) -> None:
    """Make every batch norm a part of the layer that is named just before it."""
    for module in network.modules():
        for (_, layer), (name, norm) in itertools.pairwise(list(module.named_children())):
            if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                continue
            if isinstance(layer, nn.Sequential):
                layer = layer[-1]
            state = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
            if isinstance(layer, nn.Linear):
                fused = fuse_linear_bn_weights(layer.weight, layer.bias, *state)  # type: ignore[arg-type]
            elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                across = isinstance(layer, nn.ConvTranspose2d)
                fused = fuse_conv_bn_weights(layer.weight, layer.bias, *state, across)  # type: ignore[arg-type]
            else:
                raise TypeError(f"a batch norm after {type(layer).__name__}")
            layer.weight, layer.bias = fused
            setattr(module, name, nn.Identity())


def check_crops(
    network: nn.Module, run: Run, name: str, size: tuple[int, int], numbers: torch.dtype
) -> float:
    """How far a runtime is from torch: at most, of the largest number that torch gives.

    Raises:
        ValueError: too far.
    """
    rng = np.random.default_rng(0)
    worst = 0.0
    for count in CROPS:
        # Smooth colours: noise is like no picture, and rounding can grow in it without end.
        colours = torch.from_numpy(rng.random((count, 3, 8, 8), np.float32) * 255)
        spread = nn.functional.interpolate(colours, size=size, mode="bilinear")
        pixels = spread.permute(0, 2, 3, 1).round().numpy().astype(np.uint8)
        if numbers == torch.float32:
            pixels = pixels / np.float32(255)
        worst = max(worst, off(network, run, pixels))
        if not worst < PART:
            raise ValueError(f"{name} is {worst} of the largest number off torch")
    return worst


def check_refinement(network: nn.Module, run: Run, name: str, shape: Sequence[int]) -> float:
    """See `check_crops`; the features are of this shape.

    Raises:
        ValueError: too far.
    """
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, *shape)).astype(np.float32)
    keypoints = (rng.random((3, len(COCO17), 2)) * (shape[2], shape[1])).astype(np.float32)
    apart = off(network, run, features, keypoints)
    if not apart < PART:
        raise ValueError(f"{name} is {apart} of the largest number off torch")
    return apart


def off(network: nn.Module, run: Run, *inputs: np.ndarray) -> float:
    """How far a runtime is from torch, of the largest number of each output: at most."""
    with torch.no_grad():
        answer = network(*(torch.from_numpy(array) for array in inputs))
    wants = answer if isinstance(answer, tuple) else (answer,)
    pairs = zip(run(*inputs), (want.numpy() for want in wants), strict=True)
    return max(float(np.abs(got - want).max() / np.abs(want).max()) for got, want in pairs)


def trained_at(read: Checkpoint, network: yolo.Yolo) -> int:
    """Pixels: the side of the pictures it was trained with, or the family's usual one."""
    arguments = read.entries.get("train_args")
    imgsz = arguments.get("imgsz") if isinstance(arguments, dict) else None
    if isinstance(imgsz, list | tuple) and imgsz:
        imgsz = imgsz[0]
    usual = 1280 if network.strides[-1] == 64 else 640
    return imgsz if isinstance(imgsz, int) and 32 <= imgsz <= 8192 else usual


def classes(read: Checkpoint, network: yolo.Yolo) -> dict[int, str]:
    """Names of its classes, by number."""
    names = read.attributes.get("names")
    given = names if isinstance(names, dict) else {0: "person"}
    return {i: str(given.get(i, f"class{i}"))[:80] for i in range(network.shape.classes)}


def apart(
    network: yolo.Yolo, run: Run, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far a runtime is from torch, and where there is something.

    Returns:
        (F, P, A) of what is in pixels, (F, S, A) of what is a score, (F, A) torch's best score.
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
    """How far a runtime is from torch: pixels, at most.

    Raises:
        ValueError: too far.
    """
    rng = np.random.default_rng(0)
    worst = 0.0
    for shape in CHECKED:
        pixels, score, _ = apart(network, run, rng.random(shape, np.float32))
        if not (pixels.max() < PIXELS and score.max() < SCORE):
            raise ValueError(f"{name} is {pixels.max()} pixels, {score.max()} in score off torch")
        worst = max(worst, float(pixels.max()))
    return worst


def displacement(network: yolo.Yolo, run: Run, images: Sequence[np.ndarray]) -> float:
    """Pixels, the mean over whatever torch finds in pictures; NaN if it finds nothing."""
    moved = []
    for image in images[:20]:
        pixels, _, best = apart(network, run, image)
        moved.append(pixels.transpose(0, 2, 1)[best > 0.5].ravel())
    moved = np.concatenate(moved)
    return float(moved.mean()) if len(moved) else math.nan
