"""2D training data: images of one person each, with COCO's 17 keypoints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitruvian.body.skeletons import COCO17
from vitruvian.decode import heatmap
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.sources.threads import Prefetch
from vitruvian.train.data.augment import (
    Augment,
    jitter_colours,
    person_crop,
    random_crop,
    random_erase,
)


@dataclass(frozen=True, eq=False)
class Person2D:
    """One person and the image around them."""

    rgb: np.ndarray  # (H, W, 3) uint8
    box: np.ndarray  # (4,) x0 y0 x1 y1, pixels of `rgb`
    area: float  # area of the person in pixels, which scales COCO's OKS
    xy: np.ndarray  # (17, 2) pixels
    seen: np.ndarray  # (17,) bool: labelled, whether visible or not
    file: str


def read(folder: Path, split: str) -> list[Person2D]:
    """Read the people of a dataset folder: `people.jsonl` and the images in `crops`.

    Each line has file, split, box (x y w h), area and keypoints (17 times x y v), in pixels.

    Raises:
        VitruvianError: no such folder, or no person of that split in it.
    """
    try:
        lines = (folder / "people.jsonl").read_text().splitlines()
    except OSError as error:
        raise VitruvianError(f"cannot read people of '{folder}': {error.strerror}") from None
    people = []
    for line in lines:
        row = json.loads(line)
        if row["split"] != split:
            continue
        points = np.array(row["keypoints"], np.float32)
        x, y, w, h = row["box"]
        box = np.array([x, y, x + w, y + h], np.float32)
        rgb = Frame.read(folder / "crops" / row["file"]).rgb
        seen = points[:, 2] > 0
        people.append(Person2D(rgb, box, row["area"], points[:, :2], seen, row["file"]))
    if not people:
        raise VitruvianError(f"no person of the split '{split}' in '{folder}'")
    return people


@dataclass(frozen=True, eq=False)
class Batch2D:
    """A batch of N network inputs and targets."""

    crops: np.ndarray  # (N, 3, H, W) float32, RGB 0..1
    xy: np.ndarray  # (N, 17, 2) float32, cells of the heat map
    weight: np.ndarray  # (N, 17) float32: 1 labelled and inside the crop
    maps: np.ndarray  # (N, 17, h, w) float32, 0..1
    known: np.ndarray  # (N, 17) float32: 1 where the heat map is known, also if empty


def training_sample(
    person: Person2D,
    size: tuple[int, int],
    stride: int,
    augment: Augment | None,
    rng: np.random.Generator,
    *,
    plain: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crop one person to the network's input.

    Args:
        person: the person.
        size: width and height of the crop, pixels.
        stride: pixels of the crop per cell of the heat map.
        augment: augmentation; None: the bounding box unchanged.
        rng: random number generator.
        plain: no colour augmentation.

    Returns:
        (H, W, 3) uint8, (17, 2) cells, (17,) bool labelled.
    """
    if augment is None:
        look, mirror = person_crop(person.box, size), False
    else:
        look, mirror = random_crop(person.box, person.xy, person.seen, size, augment, rng)
    rgb = look.cut(person.rgb)
    xy = look.from_frame(person.xy) / stride
    seen = person.seen
    if mirror:
        # Crop and heat map count positions as pixel indices (`Crop.centre` 0).
        width = size[0]
        rgb = rgb[:, ::-1]
        xy = (np.array([(width - 1) / stride, 0]) + np.array([-1, 1]) * xy)[COCO17.mirror]
        seen = seen[COCO17.mirror]
    if augment is not None and not plain:
        rgb = jitter_colours(rgb, rng)
        if rng.random() < 0.3:
            rgb = random_erase(rgb, rng)
    return rgb, xy.astype(np.float32), seen


def collate_2d(
    people: list[Person2D],
    size: tuple[int, int],
    stride: int,
    augment: Augment | None,
    rng: np.random.Generator,
    sigma: float = 2.0,
) -> Batch2D:
    """Collate people into a batch; see `training_sample`."""
    rows = [training_sample(person, size, stride, augment, rng) for person in people]
    crops = np.stack([row[0] for row in rows]).transpose(0, 3, 1, 2) * np.float32(1 / 255)
    xy, seen = np.stack([row[1] for row in rows]), np.stack([row[2] for row in rows])
    cells = (size[0] // stride, size[1] // stride)
    inside = np.all((xy >= 0) & (xy <= np.array(cells) - 1), axis=-1)
    maps, _ = heatmap.encode(xy, cells, sigma, exact=True)
    there = seen & inside
    maps = maps * there[..., None, None]
    # A labelled keypoint outside has an empty map; that of an unlabelled one is unknown.
    return Batch2D(crops, xy, there.astype(np.float32), maps, seen.astype(np.float32))


def shuffled_batches(
    people: list[Person2D],
    number: int,
    size: tuple[int, int],
    stride: int,
    augment: Augment,
    rng: np.random.Generator,
    sigma: float = 2.0,
) -> Iterator[Batch2D]:
    """One shuffled epoch in batches of `number`, prefetched in a thread."""
    order = rng.permutation(len(people))
    starts = range(0, len(order) - number + 1, number)
    chosen = ([people[i] for i in order[start : start + number]] for start in starts)
    return iter(Prefetch(collate_2d(some, size, stride, augment, rng, sigma) for some in chosen))
