"""Crops of people as BlazePose's landmark network sees them, with labels of its landmarks.

A region is as in the pipeline, see `vitruvian.models.blazepose`: centred on the hips, upright, with
the size of a circle around the whole body. The two auxiliary landmarks, from which the pipeline
takes the next region, are labelled so that they give this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vitruvian.body.mapping import Mapping
from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.decode import heatmap
from vitruvian.geometry.crop import Crop
from vitruvian.geometry.regions import Regions, turn_in_plane
from vitruvian.models.blazepose import (
    HIPS,
    LANDMARK_SIDE,
    MARGIN,
    POINTS,
    PUBLIC,
    TOP,
)
from vitruvian.models.everyone import squares_around
from vitruvian.training.data.augment import jitter_colours, random_erase
from vitruvian.training.data.people import Person2D

CELLS = 64  # along a side of a heat map
# Radius of the circle around a body, in distances of the farthest labelled keypoint from the hips,
# and at least in torsos. Medians of the official network's regions of 1,000 people of
# ../shared/data/coco_people are 1.15 and 1.74 (a tenth of them below 1.14).
FARTHEST, TORSO = 1.15, 1.6
FLAT = 0.15  # of the farthest distance: shoulders nearer to the hips do not say which way is up
_HIPS = [BLAZEPOSE33["left_hip"], BLAZEPOSE33["right_hip"]]
_SHOULDERS = [BLAZEPOSE33["left_shoulder"], BLAZEPOSE33["right_shoulder"]]
# (39,) index of the landmark on the other side. The last four are two of each hand.
MIRROR = np.array([*BLAZEPOSE33.mirror.tolist(), HIPS, TOP, 37, 38, 35, 36])


@dataclass(frozen=True)
class AlignmentAugment:
    """Augmentation parameters; the first three are inexact alignment, as from frame to frame.

    Source: Bazarevsky et al. 2020, "BlazePose": 10 % scale and shift, simulated occlusions.
    """

    scale: float = 0.1  # largest change of the region's size
    shift: float = 0.1  # largest shift, in sides of the region
    turn_deg: float = 8.0  # standard deviation of the rotation
    rough: float = 0.25  # probability of the square around the bounding box instead
    elsewhere: float = 0.05  # probability of a region beside the person
    mirror: float = 0.5  # probability
    erase: float = 0.3  # probability of a rectangle of one colour


class LandmarkLabels(NamedTuple):
    """Labels of the landmarks of a person; NaN where unknown."""

    xy: np.ndarray  # (39, 2) pixels
    visible: np.ndarray  # (33,) 1 or 0
    xyz: np.ndarray  # (33, 3) metres from the hips; x right, y down, z away
    weight: np.ndarray  # (39,) 0..1, of xy in the losses


class AlignedSample(NamedTuple):
    """A crop, and labels in it."""

    rgb: np.ndarray  # (256, 256, 3) uint8
    labels: LandmarkLabels  # pixels of the crop
    person: bool  # whether it is a region of the person


def landmark_labels(person: Person2D, mapping: Mapping) -> LandmarkLabels:
    """The labels of a person by landmark, with those of the region if hips and shoulders are known.

    Args:
        person: with the keypoints of `mapping.source`.
        mapping: to `BLAZEPOSE33`.
    """
    xy = np.full((POINTS, 2), np.nan)
    visible, xyz = np.full(PUBLIC, np.nan), np.full((PUBLIC, 3), np.nan)
    given, weight = np.broadcast_to(person.weight, len(person.xy)), np.ones(POINTS)
    for k, parts in enumerate(mapping.parts):
        own = list(parts)
        if own and person.seen[own].all():
            xy[k], weight[k] = person.xy[own].mean(axis=0), given[own].min()
            if person.occluded is not None:
                visible[k] = not person.occluded[own].any()
        if own and person.xyz is not None:
            xyz[k] = person.xyz[own].mean(axis=0)
    hips, shoulders = xy[_HIPS].mean(axis=0), xy[_SHOULDERS].mean(axis=0)
    farthest = np.nanmax(np.linalg.norm(xy - hips, axis=-1), initial=0)
    torso = np.linalg.norm(shoulders - hips)
    if torso > FLAT * farthest:  # of NaN it is not
        xy[HIPS] = hips
        xy[TOP] = hips + (shoulders - hips) / torso * max(FARTHEST * farthest, TORSO * torso)
    return LandmarkLabels(xy, visible, xyz - xyz[_HIPS].mean(axis=0), weight)


def labelled_region(labels: LandmarkLabels) -> Regions | None:
    """The region of a person whose hips and shoulders are labelled; else None."""
    hips, top = labels.xy[HIPS].astype(np.float32), labels.xy[TOP].astype(np.float32)
    if np.isnan(top).any():
        return None
    return Regions.upright(hips[None], top[None], np.ones(1, np.float32), np.full(1, -1))


def box_region(box: np.ndarray) -> Regions:
    """(4,) x0 y0 x1 y1 -> where the pipeline looks first, of somebody found by a bounding box."""
    return squares_around(Regions.boxes(box[None], np.ones(1, np.float32)))


def crop_of(region: Regions) -> Crop:
    """The network's view of a region, as in `vitruvian.models.blazepose.Landmarks.crops`."""
    extent = np.repeat(region.size.max() * MARGIN, 2)
    size = (LANDMARK_SIDE, LANDMARK_SIDE)
    return Crop.turned(region.centre[0], extent, region.angle[0], size, centre=0)


def random_region(
    region: Regions, box: np.ndarray, augment: AlignmentAugment, rng: np.random.Generator
) -> tuple[Regions, bool]:
    """A region near that of a person, and whether it is one of the person."""
    kind = rng.random()
    person = kind >= augment.elsewhere
    if person and kind < augment.elsewhere + augment.rough:
        region = box_region(box)
    side = region.size.max()
    factor = 1 + rng.uniform(-augment.scale, augment.scale)
    shift = rng.uniform(-augment.shift, augment.shift, 2)
    if not person:
        direction, factor = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1)
        shift = rng.uniform(0.7, 1.5) * np.array([np.cos(direction), np.sin(direction)])
    turned = region.angle + np.radians(rng.normal(0, augment.turn_deg))
    near = Regions(
        (region.centre + side * shift).astype(np.float32),
        np.full((1, 2), side * factor, np.float32),
        turned.astype(np.float32),
        region.score,
        region.person,
    )
    return near, person


def aligned_sample(
    person: Person2D,
    labels: LandmarkLabels,
    region: Regions,
    augment: AlignmentAugment | None,
    rng: np.random.Generator,
) -> AlignedSample:
    """Crop one person to the network's input.

    Args:
        person: the person.
        labels: see `landmark_labels`.
        region: of the person.
        augment: augmentation; None: the region unchanged.
        rng: random number generator.
    """
    there = True
    if augment is not None:
        region, there = random_region(region, person.box, augment, rng)
    crop = crop_of(region)
    rgb = crop.cut(person.rgb, replicate=True)
    xy, visible, weight = crop.from_frame(labels.xy), labels.visible.copy(), labels.weight
    xyz = turn_in_plane(labels.xyz[None], -region.angle)[0]
    if augment is not None and rng.random() < augment.mirror:
        rgb = np.ascontiguousarray(rgb[:, ::-1])
        xy = (np.array([LANDMARK_SIDE - 1, 0]) + np.array([-1, 1]) * xy)[MIRROR]
        visible, weight = visible[MIRROR[:PUBLIC]], weight[MIRROR]
        xyz = (xyz * np.array([-1, 1, 1]))[MIRROR[:PUBLIC]]
    if augment is not None:
        rgb = jitter_colours(rgb, rng)
        if rng.random() < augment.erase:
            whole, rgb = rgb, random_erase(rgb, rng)
            cells = np.nan_to_num(xy[:PUBLIC], nan=-1).round().astype(int)
            inside = np.all((cells >= 0) & (cells < LANDMARK_SIDE), axis=-1)
            x, y = np.where(inside[:, None], cells, 0).T
            hidden = inside & (rgb[y, x] != whole[y, x]).any(axis=-1)
            visible[hidden & ~np.isnan(visible)] = 0
    return AlignedSample(rgb, LandmarkLabels(xy, visible, xyz, weight), there)


def collate_aligned(samples: Sequence[AlignedSample], sigma: float) -> dict[str, Tensor]:
    """A batch of N crops; 0 where unknown.

    Args:
        samples: the crops.
        sigma: of the target heat maps, cells.

    Returns:
        crops: (N, 3, 256, 256) uint8. xy: (N, 39, 2) pixels. known: (N, 39) 0..1, their weight.
        maps: (N, 39, 64, 64) targets 0..1. visible, seen: (N, 33), and where it is known. xyz: (N,
        33, 3) metres. solid: (N, 33), where they are known. person: (N,).
    """
    person = np.array([sample.person for sample in samples])
    xy, visible, xyz, weight = (
        np.stack(part) for part in zip(*(sample.labels for sample in samples), strict=True)
    )
    known = np.isfinite(xy).all(axis=-1) & person[:, None]
    maps, _ = heatmap.encode(xy / (LANDMARK_SIDE // CELLS), (CELLS, CELLS), sigma, exact=True)
    inside = ((xy >= 0) & (xy < LANDMARK_SIDE)).all(axis=-1)
    rows = {
        "xy": np.nan_to_num(xy),
        "known": known * weight,
        "maps": maps * np.where(known & inside, 1, 0)[..., None, None],  # elsewhere they are empty
        "visible": np.nan_to_num(visible),
        "seen": np.isfinite(visible) & person[:, None],
        "xyz": np.nan_to_num(xyz),
        "solid": np.isfinite(xyz).all(axis=-1) & person[:, None],
        "person": person,
    }
    crops = np.stack([sample.rgb for sample in samples]).transpose(0, 3, 1, 2)
    batch = {name: torch.from_numpy(row.astype(np.float32)) for name, row in rows.items()}
    return {"crops": torch.from_numpy(np.ascontiguousarray(crops)), **batch}
