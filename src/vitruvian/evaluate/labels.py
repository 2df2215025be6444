"""Ground truth labels: the people of images, and notes for the reader of scores."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import SKELETONS
from vitruvian.errors import VitruvianError, shown
from vitruvian.evaluate.oks import oks_sigmas
from vitruvian.geometry.camera import Camera
from vitruvian.sources.path_index import PathIndex

# Of a person's box, how much is person, where nobody has outlined them. Source: what Ultralytics
# and faster-coco-eval (`use_area=False`) document for data sets without areas.
FILLED = 0.53
OCCLUDED = 1  # v of a keypoint that is labelled but not visible. Source: cocodataset.org
PERSON = ("person", "people", "human", "pedestrian")  # names of the person class
MOST_KEYPOINTS = 1000  # of a person; no skeleton in use has more (MediaPipe's whole body: 543)
MOST_PIXELS = 1e8  # along a side; what is farther is no place in an image


ONE_OF = 10  # images: the share that is kept apart where there is no validation data


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """The G labelled people of one image."""

    number: int | str  # image_id in COCO results
    path: Path
    xy: np.ndarray  # (G, K, 2) float64 pixels, as they are written; anything where not labelled
    labelled: np.ndarray  # (G, K) bool, visible or not
    box: np.ndarray  # (G, 4) x y width height, pixels
    area: np.ndarray  # (G,) pixels squared, of the person
    crowd: np.ndarray  # (G,) bool, crowd regions (iscrowd)
    head: np.ndarray  # (G,) pixels, the size of the head as PCKh has it; NaN: unknown
    xyz: np.ndarray | None = None  # (G, K, 3) metres from the camera; NaN where not known
    camera: Camera | None = None
    size: tuple[int, int] = (0, 0)  # width and height that was labelled, pixels; 0: unknown
    # (2, 3) from the pixels that were labelled to those of `xy`; None: they are the same
    refitted: np.ndarray | None = None
    weight: np.ndarray | None = None  # (G, K) 0..1, of keypoints in training losses; None: all 1
    occluded: np.ndarray | None = None  # (G, K) bool, labelled but not visible; None: unknown

    def __len__(self) -> int:
        return len(self.box)

    @property
    def apart(self) -> bool:
        """Whether it is one of those kept apart for validation, by its name: always the same."""
        return zlib.crc32(self.path.name.encode(errors="replace")) % ONE_OF == 0

    @property
    def counts(self) -> np.ndarray:
        """(G,) bool, people to find: not a crowd, and with a labelled keypoint."""
        return ~self.crowd & self.labelled.any(axis=1)


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """All images of a data set."""

    source: str
    skeleton: Skeleton
    pictures: list[LabelledPicture]  # by number, as COCO's evaluator goes through them
    sha256: str  # of the labels
    categories: tuple[object, ...] = (1,)  # of people, in COCO results
    notes: list[str] = field(default_factory=list)  # notes for the reader of scores
    faults: list[VitruvianError] = field(default_factory=list)  # images that are left out, and why

    @property
    def solid(self) -> bool:
        """Whether there are 3D joints, in metres."""
        return self.pictures[0].xyz is not None

    @property
    def sigmas(self) -> np.ndarray:
        """(K,) of OKS."""
        return oks_sigmas(self.skeleton)

    @cached_property
    def index(self) -> PathIndex:
        """Finds the image, by its place in the list, that a path of elsewhere means."""
        return PathIndex([str(picture.path) for picture in self.pictures])

    @cached_property
    def names(self) -> dict[int | str, str]:
        """Number of an image -> its name, with folders where names are the same."""
        names = [shown(name, 200) for name in self.index.short()]  # of any bytes, as disks have it
        return {each.number: name for each, name in zip(self.pictures, names, strict=True)}


class OddityCounter:
    """Counts what is left out or replaced, each kind with the first place it was met at."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def __call__(self, what: str, where: object = "") -> None:
        """One more; `what`: a clause that goes on after "12 people: "."""
        self.count[what] += 1
        self._first.setdefault(what, shown(where, 40))

    def lines(self, of: str) -> list[str]:
        """A note for each kind; `of`: what is counted, "people" or "lines"."""
        notes = []
        for what, count in self.count.items():
            where = self._first[what]
            notes.append(f"{count} {of}{f' (first: {where})' if where else ''}: {what}")
        return notes


def parse_number(value: Any) -> float | None:
    """A number as labels have it, also as text; None for anything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, (int, float)) and abs(value) < MOST_PIXELS**2:
        return float(value)  # NaN is not below anything
    return None


def parse_numbers(values: Any, count: int) -> np.ndarray | None:
    """(count,) float64 of a list of as many numbers below `MOST_PIXELS`; None of anything else."""
    if not isinstance(values, (list, tuple)) or len(values) != count:
        return None
    try:
        array = np.array(values, np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    return array if array.shape == (count,) and (np.abs(array) < MOST_PIXELS).all() else None


def labelled_skeleton(names: Any, source: str, bones: Any = (), name: str = "truth") -> Skeleton:
    """The skeleton of keypoints that labels name: one of ours, if it has the same ones.

    Raises:
        ValueError: they are no names, two are the same, or there are too many.
    """
    if not isinstance(names, list) or not all(isinstance(each, (str, int)) for each in names):
        raise ValueError(f"keypoints are {shown(names, 40)}, want a list of names")
    if len(names) > MOST_KEYPOINTS:
        raise ValueError(f"{len(names)} keypoints, want at most {MOST_KEYPOINTS}")
    words = tuple(_spelled(str(each)) for each in names)
    for table in SKELETONS.values():
        if table.keypoints == words:
            return table
    if twice := [word for word, count in Counter(words).items() if count > 1]:
        raise ValueError(f"two keypoints are named '{shown(twice[0], 40)}'")
    k = len(words)
    return Skeleton(name, source, words, _bones(bones, k), np.full(k, np.nan, np.float32))


def _spelled(name: str) -> str:
    """`Left-Shoulder`, `left shoulder` and `leftShoulder` are left_shoulder."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s_-]+", "_", words).lower()


def _bones(pairs: Any, k: int) -> tuple[tuple[int, int], ...]:
    """COCO's pairs of keypoints, numbered from 1; what is none is left out: it is drawn only."""
    bones = []
    for pair in pairs if isinstance(pairs, (list, tuple)) else ():
        if isinstance(pair, (list, tuple)) and len(pair) == 2:
            ends = [int(end) - 1 for end in pair if type(end) is int and 1 <= end <= k]
            bones += [(ends[0], ends[1])] if len(ends) == 2 else []
    return tuple(bones)


def box_around_keypoints(xy: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """(4,) x y width height of the box around the (K, 2) points that are labelled."""
    points = xy[labelled]
    low = points.min(axis=0)
    return np.concatenate([low, points.max(axis=0) - low])


def count_outside(pictures: Sequence[LabelledPicture]) -> tuple[int, int]:
    """How many labelled keypoints lie outside of their images, by a pixel or more; and of all."""
    far = total = 0
    for picture in pictures:
        if all(picture.size):
            points = picture.xy[picture.labelled]
            far += int(((points < -1) | (points > np.add(picture.size, 1))).any(axis=-1).sum())
            total += len(points)
    return far, total
