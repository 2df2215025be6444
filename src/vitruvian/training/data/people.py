"""2D training data: people with keypoints, each with the part of an image around them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from vitruvian.body.skeleton import Skeleton
from vitruvian.decode import heatmap
from vitruvian.errors import VitruvianError
from vitruvian.evaluate.labels import GroundTruth
from vitruvian.frame import Frame
from vitruvian.training.data.augment import (
    Augment,
    blur_small,
    cut_person,
    jitter_colours,
    person_crop,
    random_crop,
    random_erase,
    upper_body,
)

WHOLE = 640  # pixels: pictures up to this longer side are kept whole
AROUND = 1.3  # half of what is kept of larger ones around a person, in longer sides of the box
FINE = 512.0  # pixels: longer side of a person's box in what is kept of larger pictures


@dataclass(frozen=True, eq=False)
class Person2D:
    """One person and the image around them."""

    rgb: np.ndarray  # (H, W, 3) uint8
    box: np.ndarray  # (4,) x0 y0 x1 y1, pixels of `rgb`
    area: float  # area of the person in pixels, which scales COCO's OKS
    xy: np.ndarray  # (K, 2) pixels
    seen: np.ndarray  # (K,) bool: labelled, whether visible or not
    file: str
    weight: np.ndarray | float = 1.0  # (K,) 0..1, of keypoints in the losses
    occluded: np.ndarray | None = None  # (K,) bool: labelled, but not visible; None: unknown
    xyz: np.ndarray | None = None  # (K, 3) metres from the camera, NaN where unknown


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


class PeopleOfPictures(Sequence[Person2D]):
    """The people of a data set with labelled keypoints, with the part of the picture around them.

    What was read stays in memory up to a limit; beyond, pictures are read each time.
    """

    def __init__(self, truth: GroundTruth, cache_gb: float) -> None:
        """Read the people.

        Args:
            truth: the data set, in pixels of the pictures on disk.
            cache_gb: memory for pictures, GB.
        """
        self.truth = truth
        self._who = [
            (picture, int(row))
            for picture in truth.pictures
            for row in np.flatnonzero(picture.counts)
        ]
        self._room = cache_gb * 1e9
        self._kept: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._who)

    def number(self, index: int) -> int | str:
        """The number of a person's picture."""
        return self._who[index][0].number

    def box(self, index: int) -> np.ndarray:
        """(4,) x0 y0 x1 y1 of a person, pixels of the picture."""
        picture, row = self._who[index]
        x, y, w, h = picture.box[row]
        return np.array([x, y, x + w, y + h], np.float32)

    def __getitem__(self, index: int) -> Person2D:  # type: ignore[override]
        """A person."""
        picture, row = self._who[index]
        box = self.box(index)
        seen, area = picture.labelled[row], float(picture.area[row])
        xy = np.where(seen[:, None], picture.xy[row], 0).astype(np.float32)
        whole = max(picture.size) <= WHOLE
        corner, step = (np.zeros(2), 1) if whole else _part(box)
        key = str(picture.path) if whole else f"{picture.path} {row}"
        rgb = self._kept.get(key)
        if rgb is None:
            rgb = Frame.read(picture.path).rgb
            if not whole:
                side = int(2 * AROUND * (box[2:] - box[:2]).max())
                left, top = corner.astype(int)
                rgb = rgb[top : top + side, left : left + side]
                if step > 1:
                    smaller = max(1, rgb.shape[1] // step), max(1, rgb.shape[0] // step)
                    rgb = rgb[: smaller[1] * step, : smaller[0] * step]
                    rgb = cv2.resize(rgb, smaller, interpolation=cv2.INTER_AREA)
            if rgb.nbytes < self._room:
                self._room -= rgb.nbytes
                self._kept[key] = np.ascontiguousarray(rgb)
        if not whole:  # positions are pixel indices, see `Crop.centre`
            box = ((box - np.tile(corner, 2) + 0.5) / step - 0.5).astype(np.float32)
            xy = ((xy - corner + 0.5) / step - 0.5).astype(np.float32)
        weight = 1.0 if picture.weight is None else picture.weight[row]
        hidden = None if picture.occluded is None else picture.occluded[row]
        xyz = None if picture.xyz is None else picture.xyz[row]
        return Person2D(rgb, box, area / step**2, xy, seen, picture.path.name, weight, hidden, xyz)


def _part(box: np.ndarray) -> tuple[np.ndarray, int]:
    """The corner of what is kept around a person, whole pixels, and how much smaller it is."""
    extent = float((box[2:] - box[:2]).max())
    corner = np.maximum(np.floor((box[:2] + box[2:]) / 2 - AROUND * extent), 0)
    return corner, max(1, int(extent / FINE))


@dataclass(frozen=True, eq=False)
class CropSample:
    """A crop of one person."""

    rgb: np.ndarray  # (H, W, 3) uint8
    xy: np.ndarray  # (K, 2) cells of the heat map
    weight: np.ndarray  # (K,) float32 0..1, in the losses; 0: not labelled


def person_crop_of(person: Person2D, size: tuple[int, int], antialias: int = 1) -> np.ndarray:
    """(H, W, 3) uint8: the crop of a person that inference sees."""
    return person_crop(person.box, size).cut(person.rgb, antialias=antialias)


def training_sample(
    person: Person2D,
    size: tuple[int, int],
    stride: int,
    augment: Augment | None,
    rng: np.random.Generator,
    skeleton: Skeleton,
    *,
    plain: bool = False,
    antialias: int = 1,
) -> CropSample:
    """Crop one person to the network's input.

    Args:
        person: the person.
        size: width and height of the crop, pixels.
        stride: pixels of the crop per cell of the heat map.
        augment: augmentation; None: the bounding box unchanged.
        rng: random number generator.
        skeleton: of the keypoints.
        plain: no colour augmentation.
        antialias: see `Crop.cut`.
    """
    rgb, box, seen = person.rgb, person.box, person.seen
    if augment is None:
        look, mirror = person_crop(box, size), False
    else:
        if rng.random() < augment.cut:
            rgb, box, seen = cut_person(rgb, box, person.xy, seen, rng)
        upper = upper_body(skeleton)
        look, mirror = random_crop(box, person.xy, seen, size, augment, rng, upper)
    rgb = look.cut(rgb, antialias=antialias)
    xy = look.from_frame(person.xy) / stride
    weight = np.asarray(seen * person.weight, np.float32)
    if mirror:
        # Crop and heat map count positions as pixel indices (`Crop.centre` 0).
        width = size[0]
        rgb = rgb[:, ::-1]
        xy = (np.array([(width - 1) / stride, 0]) + np.array([-1, 1]) * xy)[skeleton.mirror]
        weight = weight[skeleton.mirror]
    if augment is not None and rng.random() < augment.blur:
        rgb = blur_small(np.ascontiguousarray(rgb), rng)
    if augment is not None and not plain:
        rgb = jitter_colours(rgb, rng)
        if rng.random() < 0.3:
            rgb = random_erase(rgb, rng)
    return CropSample(rgb, xy.astype(np.float32), weight)


def collate_crops(
    samples: Sequence[CropSample], cells: tuple[int, int], sigma: float, *, exact: bool = True
) -> dict[str, Tensor]:
    """A batch of N crops.

    Args:
        samples: the crops.
        cells: of a heat map, across and down.
        sigma: of the target heat maps, cells.
        exact: see `heatmap.encode`.

    Returns:
        crops: (N, 3, H, W) uint8. xy: (N, K, 2) cells. weight: (N, K) 0..1, 0 where not labelled or
        outside. maps: (N, K, h, w) targets 0..1. known: (N, K) weight of the map, also if empty.
    """
    crops = np.stack([sample.rgb for sample in samples]).transpose(0, 3, 1, 2)
    xy = np.stack([sample.xy for sample in samples])
    known = np.stack([sample.weight for sample in samples])
    inside = np.all((xy >= 0) & (xy <= np.array(cells) - 1), axis=-1)
    maps, _ = heatmap.encode(xy, cells, sigma, exact=exact)
    # A labelled keypoint outside has an empty map; that of an unlabelled one is unknown.
    maps = maps * ((known > 0) & inside)[..., None, None]
    rows = {"crops": crops, "xy": xy, "weight": known * inside, "maps": maps, "known": known}
    return {
        name: torch.from_numpy(np.ascontiguousarray(row if name == "crops" else np.float32(row)))
        for name, row in rows.items()
    }
