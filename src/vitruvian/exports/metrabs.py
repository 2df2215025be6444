"""Export of MeTRAbs: heat maps, and the metadata to decode them.

The input is float32 crops, 0..1, since they are never rounded to 8 bits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import SKELETONS, spelled_out
from vitruvian.decode.volume import Volume
from vitruvian.errors import VitruvianError
from vitruvian.exports.graph import Graph, Normalised, of_crops
from vitruvian.exports.networks import metrabs
from vitruvian.weights.checkpoint import Checkpoint
from vitruvian.weights.metadata import pack_matrix
from vitruvian.weights.metrabs_archive import Archive

SAME = {"pelvis": "mid_hip"}  # other names of a joint


def published(read: Archive) -> Graph:
    """MeTRAbs, from an archive of its authors."""
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
        "mirror": json.dumps(mirror_by_names(read.points)),
        "transform": pack_matrix(read.transform),
        "skeletons": json.dumps(skeletons),
        "mix": json.dumps(config.mix),
        "weak_perspective": json.dumps(config.weak_perspective),
    }
    return of_bodies(network, volume, about)


def mirror_by_names(names: Sequence[str]) -> tuple[int, ...]:
    """Left-right swap of points by the first letter of their names, l or r.

    Points without a partner map to themselves.
    """
    number = {name: i for i, name in enumerate(names)}
    swap = {"l": "r", "r": "l"}
    return tuple(
        number.get(swap.get(name[:1], name[:1]) + name[1:], i) for i, name in enumerate(names)
    )


def bodies(read: Checkpoint) -> Graph:
    """MeTRAbs, from our own checkpoint, see `vitruvian.exports.networks.metrabs.save`."""
    volume, skeleton = metrabs.volume_and_skeleton(read.entries)
    network = metrabs.load(read.tensors, volume.depth, volume.centered)
    if network.shape.points != len(skeleton) or network.shape.backbone.stride != volume.stride:
        raise VitruvianError(
            f"its network has {network.shape.points} points and stride "
            f"{network.shape.backbone.stride}, its metadata {len(skeleton)} and {volume.stride}"
        )
    antialias = read.entries.get("antialias", 1)
    if type(antialias) is not int or antialias < 1:
        raise VitruvianError(f"its antialias is {antialias!r}, want a whole number from 1")
    fill = read.entries.get("fill", 1.0)
    if type(fill) is not float or not 0.1 <= fill <= 2:
        raise VitruvianError(f"its fill is {fill!r}, want 0.1 to 2 of the crop side")
    about = {
        "points": json.dumps(skeleton.keypoints),
        "mirror": json.dumps(skeleton.mirror.tolist()),
        "skeletons": json.dumps(sub_skeletons(skeleton)),
        "mix": "0.5",
        "weak_perspective": "false",
        "antialias": str(antialias),
        "fill": str(fill),
    }
    return of_bodies(network, volume, about)


def sub_skeletons(skeleton: Skeleton) -> dict[str, dict[str, object]]:
    """A skeleton and its sub-skeletons by name: keypoint indices and table."""
    names = skeleton.keypoints
    known = {**SAME, **dict(zip(names, names, strict=True))}
    found: dict[str, dict[str, object]] = {}
    for table in (skeleton, *SKELETONS.values()):
        if {known.get(name) for name in table.keypoints} <= set(names):
            indices = [skeleton[known[name]] for name in table.keypoints]
            found.setdefault(table.name, {"indices": indices, "table": table.to_json()})
    return found


def of_bodies(network: metrabs.Metrabs, volume: Volume, about: dict[str, str]) -> Graph:
    """The graph of MeTRAbs and its metadata, each entry as JSON.

    Args:
        network: it outputs heat maps; decoding is in `vitruvian.decode`.
        volume: geometry of the maps.
        about: "points", names of the maps; "mirror", index of each map's mirror image; "transform",
            see `metadata.pack_matrix`, from points to all joints; if missing, joints are the
            points; "skeletons", by name: joint indices of its keypoints, and its table from
            `Skeleton.to_json`; "mix" and "weak_perspective" of the published settings; "antialias"
            of the training crops, and "fill", size of a person's box in fractions of the crop, both
            1 if missing.
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
