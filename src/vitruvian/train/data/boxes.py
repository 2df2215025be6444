"""Training data of a person detector: images with bounding boxes, and views of them.

A view has the size of the network's input: a whole image, scaled, moved and mirrored; a part of one
where nobody is; or a mosaic of crops around single people, of whose surroundings nothing is known.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.evaluate import truth
from vitruvian.frame import Frame
from vitruvian.models.objectron import SIDE
from vitruvian.train.data.augment import jitter_colours

SEEN, LEAST = 0.3, 4.0  # minimum part, and side in pixels, of a person inside the view
GREY = (114, 114, 114)  # outside the image
TILES, SHARES = (1, 2, 3), (0.35, 0.45, 0.2)  # crops along a side of a mosaic, and how often
FIT = (0.7, 1.6)  # size of a crop, relative to its tile


@dataclass(frozen=True)
class Views:
    """How views are drawn."""

    whole: float = 0.25  # share of images that keep their scale and aspect ratio
    out: float = 0.65  # smallest scale, relative to the whole image
    close: float = 1.6  # largest scale
    aspect: float = 0.2  # largest change of the aspect ratio's logarithm
    nobody: float = 0.15  # share of views without people
    mosaic: float = 0.35  # share of mosaics, if there are crops


class LabelledBoxes(NamedTuple):
    """An image with boxes, x0 y0 x1 y1 pixels."""

    rgb: np.ndarray  # (H, W, 3) uint8
    people: np.ndarray  # (N, 4) float32
    # (M, 4) float32: crowds, people of whom little is seen, and what nobody has looked at
    ignored: np.ndarray
    number: int | str = 0  # of the image


class PersonCrop(NamedTuple):
    """A file that shows a person with labelled box, and maybe others."""

    path: Path
    box: np.ndarray  # (4,) float32 x0 y0 x1 y1, pixels

    def read(self) -> LabelledBoxes:
        """The image; outside the person nothing is known."""
        rgb = Frame.read(self.path).rgb
        whole = np.array([[0, 0, rgb.shape[1], rgb.shape[0]]], np.float32)
        return LabelledBoxes(rgb, self.box[None], whole)


def read_boxes(data: Path) -> list[LabelledBoxes]:
    """Read the images of a folder with images/ and person_keypoints.json, as COCO has them.

    Raises:
        VitruvianError: a file cannot be read.
    """
    pictures = truth.read(data / "person_keypoints.json").pictures
    box = [np.concatenate([p.box[:, :2], p.box[:, :2] + p.box[:, 2:]], axis=1) for p in pictures]
    return [
        LabelledBoxes(
            Frame.read(picture.path).rgb,
            every[~picture.crowd].astype(np.float32),
            every[picture.crowd].astype(np.float32),
            picture.number,
        )
        for picture, every in zip(pictures, box, strict=True)
    ]


def read_crops(folder: Path, without: Collection[int | str]) -> list[PersonCrop]:
    """The training people of a folder as `vitruvian.train.data.people.read` takes it.

    Args:
        folder: with people.jsonl, and the images in crops.
        without: numbers of images whose people are left out.

    Raises:
        VitruvianError: people.jsonl cannot be read.
    """
    try:
        lines = (folder / "people.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise VitruvianError(f"cannot read people of '{folder}': {error.strerror}") from None
    crops = []
    for row in map(json.loads, lines):
        if row["split"] == "train" and row["image_id"] not in without:
            x, y, w, h = row["box"]
            box = np.array([x, y, x + w, y + h], np.float32)
            crops.append(PersonCrop(folder / "crops" / row["file"], box))
    return crops


def training_view(
    picture: LabelledBoxes, crops: Sequence[PersonCrop], views: Views, rng: np.random.Generator
) -> LabelledBoxes:
    """A random view of the image; at times one without people, or a mosaic of crops instead."""
    draw = rng.random()
    if draw < views.nobody:
        return nobody_view(picture, rng)
    if crops and draw < views.nobody + views.mosaic:
        return mosaic_view(crops, rng)
    return random_view(picture, views, rng)


def random_view(picture: LabelledBoxes, views: Views, rng: np.random.Generator) -> LabelledBoxes:
    """The image in the size of the network's input: scaled, moved, mirrored, other colours."""
    height, width = picture.rgb.shape[:2]
    zoom = np.exp(rng.uniform(np.log(views.out), np.log(views.close)))
    aspect = np.exp(rng.uniform(-views.aspect, views.aspect) / 2)
    if rng.random() < views.whole:
        zoom = aspect = 1.0
    scale = SIDE / np.array([width, height]) * zoom * (aspect, 1 / aspect)
    return _moved(picture, scale, (SIDE, SIDE), rng)


def mosaic_view(crops: Sequence[PersonCrop], rng: np.random.Generator) -> LabelledBoxes:
    """A view of 1, 4 or 9 random crops side by side."""
    tiles = int(rng.choice(TILES, p=SHARES))
    aspect = np.exp(rng.uniform(-0.35, 0.35) / 2)  # whole images are stretched to a square
    edges = np.linspace(0, SIDE, tiles + 1) + rng.uniform(-20, 20, (2, tiles + 1)) / tiles
    edges[:, [0, -1]] = 0, SIDE
    across, down = edges.astype(int)
    rgb = np.empty((SIDE, SIDE, 3), np.uint8)
    people: list[np.ndarray] = []
    ignored: list[np.ndarray] = []
    for top, bottom in pairwise(down):
        for left, right in pairwise(across):
            crop = crops[int(rng.integers(len(crops)))].read()
            size = right - left, bottom - top
            plain = np.array(crop.rgb.shape[1::-1]) * (aspect, 1 / aspect)
            fit = np.min(size / plain) * np.exp(rng.uniform(*np.log(FIT)))
            part = _moved(crop, fit * np.array([aspect, 1 / aspect]), size, rng)
            rgb[top:bottom, left:right] = part.rgb
            offset = np.array([left, top] * 2, np.float32)
            people.append(part.people + offset)
            ignored.append(part.ignored + offset)
    return LabelledBoxes(rgb, np.concatenate(people), np.concatenate(ignored))


def _moved(
    picture: LabelledBoxes, scale: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> LabelledBoxes:
    """The image scaled to a random place inside the size, or over it; mirrored, other colours."""
    sides = np.array(size)
    free = sides - scale * picture.rgb.shape[1::-1]
    shift = rng.uniform(np.minimum(free, 0), np.maximum(free, 0))
    if rng.random() < 0.5:
        scale, shift = scale * (-1, 1), np.array([sides[0] - shift[0], shift[1]])
    matrix = np.column_stack([np.diag(scale), shift])
    rgb = cv2.warpAffine(picture.rgb, matrix, size, borderValue=GREY)
    kinds: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for boxes, person in ((picture.people, True), (picture.ignored, False)):
        for corners in boxes.reshape(-1, 2, 2) * scale + shift:
            box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
            inside = np.clip(box, 0, np.tile(sides, 2))
            extent = inside[2:] - inside[:2]
            if not (extent > 0).all():
                continue
            seen = np.prod(extent) / np.prod(box[2:] - box[:2]) >= SEEN and extent.min() >= LEAST
            kinds[person and bool(seen)].append(inside)
    people, ignored = (
        np.reshape(kinds[kind], (-1, 4)).astype(np.float32) for kind in (True, False)
    )
    return LabelledBoxes(jitter_colours(rgb, rng), people, ignored)


def nobody_view(picture: LabelledBoxes, rng: np.random.Generator) -> LabelledBoxes:
    """A part of the image where nobody is; if there is none, and at times, plain colour."""
    taken = np.concatenate([picture.people, picture.ignored])
    none, sides = np.zeros((0, 4), np.float32), np.array(picture.rgb.shape[1::-1])
    for _ in range(20):
        share = rng.uniform(0.25, 0.7, 2)
        low = rng.uniform(0, 1 - share) * sides
        high = low + share * sides
        if not ((taken[:, :2] < high) & (taken[:, 2:] > low)).all(axis=1).any():
            (left, top), (right, bottom) = low.astype(int), high.astype(int)
            part = cv2.resize(picture.rgb[top:bottom, left:right], (SIDE, SIDE))
            if rng.random() < 0.75:
                return LabelledBoxes(part, none, none)
            break
    rgb = np.full((SIDE, SIDE, 3), rng.uniform(0, 255, 3))
    rgb += np.linspace(-1, 1, SIDE)[:, None, None] * rng.uniform(-60, 60, 3)
    rgb += rng.normal(0, rng.uniform(0, 20), rgb.shape)
    if rng.random() < 0.4:
        rgb[:] = rng.integers(0, 256)
    return LabelledBoxes(np.clip(rgb, 0, 255).astype(np.uint8), none, none)
