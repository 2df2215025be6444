"""Training data of a person detector: images with bounding boxes, and views of them.

A view has the size of the network's input: a whole image, scaled, moved and mirrored; or a part of
one where nobody is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from vitruvian.errors import amount, shown
from vitruvian.evaluate.boxes import people_and_crowds
from vitruvian.models.objectron import SIDE
from vitruvian.training.data.augment import jitter_colours
from vitruvian.training.data.labelled import Data
from vitruvian.training.task import DataReport
from vitruvian.training.yolo.views import CachedPictures

SEEN, LEAST = 0.3, 4.0  # minimum part, and side in pixels, of a person inside the view
GREY = (114, 114, 114)  # outside the image
SMALL = 0.05  # of the image's longer side: smaller people are pointed out


@dataclass(frozen=True)
class Views:
    """How views are drawn."""

    whole: float = 0.25  # share of images that keep their scale and aspect ratio
    out: float = 0.65  # smallest scale, relative to the whole image
    close: float = 1.6  # largest scale
    aspect: float = 0.2  # largest change of the aspect ratio's logarithm
    nobody: float = 0.15  # share of views without people


class LabelledBoxes(NamedTuple):
    """An image with boxes, x0 y0 x1 y1 pixels."""

    rgb: np.ndarray  # (H, W, 3) uint8
    people: np.ndarray  # (N, 4) float32
    ignored: np.ndarray  # (M, 4) float32: crowds, and people of whom little is seen


def boxes_of(pictures: CachedPictures, index: int) -> LabelledBoxes:
    """An image and its boxes; crowds are ignored regions."""
    rgb, scale = pictures[index]
    people, ignored = (
        (box * np.tile(scale, 2)).astype(np.float32)
        for box in people_and_crowds(pictures.labelled[index])
    )
    return LabelledBoxes(rgb, people, ignored)


def boxes_report(data: Data) -> DataReport:
    """What the data is: images, people, crowds, sizes; and what should be looked at."""
    lines, suspicious = list[str](), list[str]()
    for name, truth in zip(("learn from", "validate with"), data, strict=True):
        pairs = [people_and_crowds(picture) for picture in truth.pictures]
        size = np.concatenate(
            [
                np.full(len(people), max(each.size))
                for each, (people, _) in zip(truth.pictures, pairs, strict=True)
            ]
        )
        box = np.concatenate([people for people, _ in pairs])
        extent = (box[:, 2:] - box[:, :2]).max(axis=1)
        low, middle, high = np.percentile(extent, [5, 50, 95])
        alone = sum(not len(people) for people, _ in pairs)
        crowds = sum(len(crowd) for _, crowd in pairs)
        lines.append(
            f"{name} '{shown(truth.source, 100)}': {amount(len(pairs), 'picture')}, "
            f"{alone} of them without people, {amount(len(box), 'person', 'people')}, "
            f"{amount(crowds, 'crowd')} (ignored regions); longer side of a person {middle:.0f} px "
            f"(5 % below {low:.0f}, 5 % above {high:.0f})"
        )
        suspicious += [*truth.notes, *map(str, truth.faults)]
        if small := int((extent < size * SMALL).sum()):
            suspicious.append(
                f"{name}: {amount(small, 'person', 'people')} below a twentieth of the picture"
            )
    return DataReport(data.training.sha256, lines, suspicious)


def training_view(picture: LabelledBoxes, views: Views, rng: np.random.Generator) -> LabelledBoxes:
    """A random view of the image, at times one without people."""
    if rng.random() < views.nobody:
        return nobody_view(picture, rng)
    return random_view(picture, views, rng)


def random_view(picture: LabelledBoxes, views: Views, rng: np.random.Generator) -> LabelledBoxes:
    """The image in the size of the network's input: scaled, moved, mirrored, other colours."""
    height, width = picture.rgb.shape[:2]
    zoom = np.exp(rng.uniform(np.log(views.out), np.log(views.close)))
    aspect = np.exp(rng.uniform(-views.aspect, views.aspect) / 2)
    if rng.random() < views.whole:
        zoom = aspect = 1.0
    scale = SIDE / np.array([width, height]) * zoom * (aspect, 1 / aspect)
    free = SIDE - scale * (width, height)
    shift = rng.uniform(np.minimum(free, 0), np.maximum(free, 0))
    if rng.random() < 0.5:
        scale[0], shift[0] = -scale[0], SIDE - shift[0]
    matrix = np.column_stack([np.diag(scale), shift])
    rgb = cv2.warpAffine(picture.rgb, matrix, (SIDE, SIDE), borderValue=GREY)
    kinds: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for boxes, person in ((picture.people, True), (picture.ignored, False)):
        for corners in boxes.reshape(-1, 2, 2) * scale + shift:
            box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
            inside = np.clip(box, 0, SIDE)
            sides = inside[2:] - inside[:2]
            if not (sides > 0).all():
                continue
            seen = np.prod(sides) / np.prod(box[2:] - box[:2]) >= SEEN and sides.min() >= LEAST
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
