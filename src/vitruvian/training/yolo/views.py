"""Augmented views of pictures with everybody in them: mosaics, scaled, moved, mirrored, recoloured.

Each picture is warped directly into its place in the view: one interpolation, and no canvas of
twice the size. Pixel coordinates start at the corner of the image, as those of `YoloPose`.

Source: specs/yolov8pose.md, 4.3 (the behaviour of Ultralytics 8.4.190). Unlike there, the warp has
pixel centres at halves, and no canvas clips the pictures of a mosaic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from vitruvian.evaluate.labels import LabelledPicture
from vitruvian.frame import Frame
from vitruvian.geometry.labelled import apply

FILL = 114  # grey, as of the letterbox
# People stay in a view if the sides of their box there have 2 pixels, a tenth of the area is
# inside, and the longer side is less than 100 times the shorter.
LEAST_SIDE, LEAST_PART, MOST_ASPECT = 2.0, 0.1, 100.0


@dataclass(frozen=True)
class ViewAugment:
    """Augmentation parameters; `ViewAugment(0, 0, 0, 0, 0, 0, 0, 0)` letterboxes."""

    mosaic: float = 1.0  # probability of four pictures
    scale: float = 0.5  # largest change of the factor 1
    shift: float = 0.1  # largest, relative to the view
    turn_deg: float = 0.0  # largest
    mirror: float = 0.5  # probability
    hue: float = 0.015  # largest change, of half a turn of the colour circle
    saturation: float = 0.7  # largest change of the factor 1
    brightness: float = 0.4  # largest change of the factor 1


class View(NamedTuple):
    """What the network sees, and who is there; pixels of the view."""

    rgb: np.ndarray  # (H, W, 3) uint8
    box: np.ndarray  # (N, 4) float32 x0 y0 x1 y1
    points: np.ndarray  # (N, K, 3) float32 x y and weight 0..1, 0 where not labelled


class CachedPictures:
    """Labelled pictures, resized so that the longer side is that of the view, decoded once."""

    def __init__(self, labelled: Sequence[LabelledPicture], side: int, cache_gb: float) -> None:
        """Keep decoded pictures until the memory is full; others are decoded each time.

        Args:
            labelled: with labels in pixels of the files.
            side: of the view, pixels.
            cache_gb: memory for decoded pictures, GB.
        """
        self.labelled, self.side = labelled, side
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._left = cache_gb * 1e9

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8 with the longer side `side`, and (2,) the scale of its x and y."""
        if index in self._kept:
            return self._kept[index]
        rgb = Frame.read(Path(self.labelled[index].path)).rgb
        size = np.array(rgb.shape[1::-1])
        inner = np.maximum(np.round(size * (self.side / size.max())), 1).astype(int)
        if (inner != size).any():
            rgb = cv2.resize(rgb, inner.tolist(), interpolation=cv2.INTER_LINEAR)
        found = np.ascontiguousarray(rgb), inner / size
        if rgb.nbytes <= self._left:
            self._left -= rgb.nbytes
            self._kept[index] = found
        return found


def augmented_view(
    pictures: CachedPictures,
    index: int,
    augment: ViewAugment,
    mirror: np.ndarray | None,
    rng: np.random.Generator,
) -> View:
    """A square view of a picture, with three others around it if it is a mosaic.

    Args:
        pictures: to choose the others from.
        index: of the first picture.
        augment: augmentation parameters.
        mirror: (K,) index of each keypoint's left-right counterpart; None: views are not mirrored.
        rng: random numbers.
    """
    side = pictures.side
    chosen = [index]
    if rng.random() < augment.mosaic:
        chosen += rng.integers(0, len(pictures), 3).tolist()
    corners = _mosaic(pictures, chosen, rng) if len(chosen) == 4 else _centred(pictures, index)
    middle = np.full(2, side if len(chosen) == 4 else side / 2)
    mirrored = mirror is not None and bool(rng.random() < augment.mirror)
    to_view = _random_map(side, middle, augment, mirrored, rng)
    rgb = np.full((side, side, 3), FILL, np.uint8)
    parts = []
    for i, corner in zip(chosen, corners, strict=True):
        picture, scale = pictures[i]
        by = to_view @ np.array([[1, 0, corner[0]], [0, 1, corner[1]], [0, 0, 1.0]])
        _paste(picture, by, rgb)
        by = by @ np.diag([*scale, 1.0])
        parts.append(_people(pictures.labelled[i], by, side, mirror if mirrored else None))
    return View(
        jitter_hsv(rgb, augment, rng),
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
    )


def letterboxed_view(pictures: CachedPictures, index: int) -> View:
    """The whole picture, as inference sees it."""
    none = ViewAugment(*[0.0] * 8)
    return augmented_view(pictures, index, none, None, np.random.default_rng(0))


def _mosaic(
    pictures: CachedPictures, chosen: Sequence[int], rng: np.random.Generator
) -> np.ndarray:
    """(4, 2) left and top of pictures around a random centre, on a plane of twice the side."""
    centre = np.round(rng.uniform(pictures.side / 2, pictures.side * 3 / 2, 2))
    sizes = np.array([pictures[i][0].shape[1::-1] for i in chosen])
    return centre - sizes * [[1, 1], [0, 1], [1, 0], [0, 0]]


def _centred(pictures: CachedPictures, index: int) -> np.ndarray:
    """(1, 2) left and top of one picture in the middle of a view; whole pixels."""
    size = np.array(pictures[index][0].shape[1::-1])
    return np.round((pictures.side - size) / 2 - 0.1)[None]


def _random_map(
    side: int, middle: np.ndarray, augment: ViewAugment, mirrored: bool, rng: np.random.Generator
) -> np.ndarray:
    """(3, 3) from the plane around `middle` to the view, pixels."""
    turn = np.radians(rng.uniform(-augment.turn_deg, augment.turn_deg))
    scale = rng.uniform(1 - augment.scale, 1 + augment.scale)
    shift = side * rng.uniform(0.5 - augment.shift, 0.5 + augment.shift, 2)
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    by = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    by[:2, 2] = shift - by[:2, :2] @ middle
    return np.array([[-1, 0, side], [0, 1, 0], [0, 0, 1.0]]) @ by if mirrored else by


def _paste(picture: np.ndarray, by: np.ndarray, view: np.ndarray) -> None:
    """Warp a picture into its part of the view, bilinear; nothing else there changes."""
    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    ends = apply(by[:2], corners)
    low = np.clip(np.floor(ends.min(axis=0)), 0, view.shape[0]).astype(int)
    high = np.clip(np.ceil(ends.max(axis=0)), 0, view.shape[0]).astype(int)
    if (high <= low).any():
        return
    part = view[low[1] : high[1], low[0] : high[0]]
    matrix = by[:2].copy()
    # OpenCV's pixel centres are at whole numbers, ours at halves.
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5 - low
    size = (high - low).tolist()
    drawn = cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    if matrix[0, 1]:  # turned: only where the picture is
        inside = cv2.warpAffine(
            np.full(picture.shape[:2], 255, np.uint8), matrix, size, flags=cv2.INTER_NEAREST
        )
        cv2.copyTo(drawn, inside, part)
    else:
        part[:] = drawn


def _people(
    picture: LabelledPicture, by: np.ndarray, side: int, mirror: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and keypoints of those who are in the view; crowds are left out."""
    own = ~picture.crowd
    low, size = picture.box[own, :2], picture.box[own, 2:]
    corners = low[:, None] + size[:, None] * [[0, 0], [1, 0], [0, 1], [1, 1]]
    ends = apply(by[:2], corners)
    box = np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1)
    whole = abs(np.linalg.det(by[:2, :2])) * size.prod(axis=1)
    box = np.clip(box, 0, side)
    sides = box[:, 2:] - box[:, :2]
    narrow, wide = sides.min(axis=1), sides.max(axis=1)
    seen = (narrow > LEAST_SIDE) & (sides.prod(axis=1) > LEAST_PART * whole)
    seen &= wide < MOST_ASPECT * np.maximum(narrow, 1e-9)
    points = np.zeros((int(seen.sum()), *picture.xy.shape[1:2], 3), np.float32)
    there = picture.labelled[own][seen]
    xy = apply(by[:2], np.where(there[..., None], picture.xy[own][seen], 0))
    there &= ((xy >= 0) & (xy <= side)).all(axis=-1)
    points[..., :2] = np.where(there[..., None], xy, 0)
    points[..., 2] = there if picture.weight is None else there * picture.weight[own][seen]
    if mirror is not None:
        points = points[:, mirror]
    return box[seen].astype(np.float32), points


def jitter_hsv(rgb: np.ndarray, augment: ViewAugment, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 with another hue, saturation and brightness."""
    turn, *gain = rng.uniform(-1, 1, 3) * (augment.hue, augment.saturation, augment.brightness)
    levels = np.arange(256)
    tables = [(levels + turn * 180) % 180, *(np.clip(levels * (1 + g), 0, 255) for g in gain)]
    if not any([turn, *gain]):
        return rgb
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    hsv = cv2.LUT(hsv, np.stack(tables, axis=-1).astype(np.uint8)[None])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
