"""Poses: the people in one frame. The result type of every model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

import numpy as np

from vitruvian.body.poses_html import html_table
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import amount
from vitruvian.geometry.regions import Regions

Origin = Literal["camera", "hips"]
IDS = 8  # track ids that the short text lists
# Shapes of the arrays of Poses; N people, K keypoints, other axes have any length.
_SHAPES: dict[str, tuple[str | int, ...]] = {
    "box_score": ("N",),
    "xy": ("N", "K", 2),
    "score": ("N", "K"),
    "box": ("N", 4),
    "person": ("N",),
    "xyz": ("N", "K", 3),
    "mask": ("N", "H", "W"),
    "presence": ("N", "K"),
    "depth": ("N", "K"),
    "maps": ("N", "K", "H", "W"),
    "world": ("N", "K", 3),
    "error": ("N",),
    "plausible": ("N",),
    "reprojection": ("N", "K"),
    "uncertainty": ("N", "K"),
    "views": ("N", "K"),
}


@lru_cache(256)
def _wanted_shapes(n: int, k: int) -> list[tuple[str, tuple[str | int, ...]]]:
    """The shape of each array of N people with K keypoints; axes of any length are letters."""
    known: dict[str | int, int] = {"N": n, "K": k}
    return [(name, tuple(known.get(axis, axis) for axis in axes)) for name, axes in _SHAPES.items()]


# What other programs call a part of their result -> how it is written here.
_ELSEWHERE = {
    "keypoints": "poses.xy, poses.score, or poses['left_wrist'].xy",
    "landmarks": "poses.xy (pixels), poses['left_wrist'].xy",
    "pose_landmarks": "poses.xy (pixels), poses['left_wrist'].xy",
    "world_landmarks": "poses.xyz (metres)",
    "pose_world_landmarks": "poses.xyz (metres)",
    "visibility": "poses.score",
    "segmentation_masks": "poses.mask, with masks=True",
    "segmentation_mask": "poses.mask, with masks=True",
    "masks": "poses.mask, with masks=True",
    "boxes": "poses.box (x0 y0 x1 y1), poses.box_score",
    "xyxy": "poses.box (x0 y0 x1 y1)",
    "conf": "poses.score of keypoints, poses.box_score of people",
    "scores": "poses.score of keypoints, poses.box_score of people",
    "id": "poses.person",
    "ids": "poses.person",
    "plot": "vit.draw(frame, poses)",
    "face_landmarks": 'poses.part("face").xy (pixels)',
    "left_hand_landmarks": 'poses.part("left_hand").xy (pixels)',
    "right_hand_landmarks": 'poses.part("right_hand").xy (pixels)',
    "left_hand_world_landmarks": 'poses.part("left_hand").xyz (metres)',
    "right_hand_world_landmarks": 'poses.part("right_hand").xyz (metres)',
}


@dataclass(frozen=True, eq=False)
class Joint:
    """One keypoint of N people, as `poses["left_wrist"]` gives it."""

    xy: np.ndarray  # (N, 2) pixels of the whole frame
    score: np.ndarray  # (N,) 0..1
    xyz: np.ndarray | None  # (N, 3) metres, relative to `Poses.origin`


@dataclass(frozen=True, eq=False)
class Poses:
    """The N people of one frame, each with the K keypoints of one skeleton.

    A keypoint that was not found is NaN, never (0, 0), which is a valid position. Hands and faces
    are parts of the one skeleton, see `part`: one that was not found is NaN, with score 0.
    An empty frame has N = 0, without any special case: `xy` is then (0, K, 2).
    """

    skeleton: Skeleton
    xy: np.ndarray  # (N, K, 2) pixels of the whole frame; (0, 0) is its top left corner
    score: np.ndarray  # (N, K) 0..1, confidence of each keypoint, as given by the model
    box: np.ndarray  # (N, 4) bounding box x0 y0 x1 y1, pixels
    box_score: np.ndarray  # (N,) 0..1, confidence of the detection
    person: np.ndarray  # (N,) int64, track id, the same in all frames; -1 without tracking
    xyz: np.ndarray | None = None  # (N, K, 3) metres; x right, y down, z away from the camera
    origin: Origin | None = None  # origin of xyz
    mask: np.ndarray | None = None  # (N, H, W) 0..1, segmentation of the whole frame, on request
    presence: np.ndarray | None = None  # (N, K) 0..1, probability of being in the frame: BlazePose
    depth: np.ndarray | None = None  # (N, K) pixels, not metric: BlazePose's image z, 0 at the hips
    world: np.ndarray | None = (
        None  # (N, K, 3) metres, world coordinates, if the camera's position is known
    )
    error: np.ndarray | None = None  # (N,) pixels, mean reprojection error of xyz: absolute
    plausible: np.ndarray | None = (
        None  # (N,) bool, whether xyz is anatomically plausible: absolute
    )
    reprojection: np.ndarray | None = None  # (N, K) pixels, root mean square over views: several
    uncertainty: np.ndarray | None = None  # (N, K) metres, standard deviation of world: several
    views: np.ndarray | None = None  # (N, K) number of views that agree: several cameras
    look: Regions | None = None  # regions of the same N people in the next frame
    raw: Poses | None = None  # the same poses before smoothing, if smoothed
    maps: np.ndarray | None = None  # (N, K, h, w) heat maps, 0 where nothing is; on request
    seen: Regions | None = None  # regions of the frame that the heat maps cover

    def __post_init__(self) -> None:
        for name, want in _wanted_shapes(len(self.box_score), len(self.skeleton)):
            value = getattr(self, name)
            if value is None or value.shape == want:
                continue
            pairs = zip(want, value.shape, strict=False)
            free = all(isinstance(axis, str) or axis == got for axis, got in pairs)
            if value.ndim != len(want) or not free:
                size = f"({', '.join(map(str, want))}{',' if len(want) == 1 else ''})"
                raise ValueError(
                    f"Poses.{name} is {value.shape}, want {size} for {self.skeleton.name}"
                )
        if (self.xyz is None) != (self.origin is None):
            raise ValueError(
                "Poses.xyz and Poses.origin must be given together (metres relative to the origin)"
            )
        for name in ("look", "seen"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self):
                raise ValueError(f"Poses.{name} has {len(value)} regions, want {len(self)}")

    @classmethod
    def nobody(cls, skeleton: Skeleton, origin: Origin | None = None) -> Poses:
        """Poses of an empty frame (N = 0); with an origin, also in 3D."""
        k = len(skeleton)
        return cls(
            skeleton,
            xy=np.zeros((0, k, 2), np.float32),
            score=np.zeros((0, k), np.float32),
            box=np.zeros((0, 4), np.float32),
            box_score=np.zeros(0, np.float32),
            person=np.zeros(0, np.int64),
            xyz=None if origin is None else np.zeros((0, k, 3), np.float32),
            origin=origin,
            look=Regions.none(),
        )

    @classmethod
    def join(cls, *parts: Poses) -> Poses:
        """Concatenate poses of the same model and frame."""
        people = [part for part in parts if len(part)] or [parts[0]]
        if len(people) == 1:
            return people[0]
        joined: dict[str, Any] = {}
        for field in fields(cls):
            values = [getattr(part, field.name) for part in people]
            if isinstance(values[0], np.ndarray):
                joined[field.name] = np.concatenate(values)
            elif isinstance(values[0], (Regions, Poses)):
                joined[field.name] = type(values[0]).join(*values)
        return replace(people[0], **joined)

    def __len__(self) -> int:
        return len(self.box_score)

    def __repr__(self) -> str:
        parts = [amount(len(self), "person", "people"), self.skeleton.name]
        if self.xyz is not None:
            parts.append(f"xyz in metres from the {self.origin}")
        parts += [name for name in ("mask", "maps", "world") if getattr(self, name) is not None]
        ids = [str(person) for person in self.person.tolist() if person >= 0]
        if ids:
            parts.append(f"ids {', '.join(ids[:IDS])}{', ...' if ids[IDS:] else ''}")
        return f"Poses({', '.join(parts)})"

    def _repr_html_(self) -> str:
        return html_table(self)

    if not TYPE_CHECKING:  # a type checker would take any name

        def __getattr__(self, name: str) -> NoReturn:
            way_out = f"; write {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
            raise AttributeError(f"Poses has no {name!r}{way_out}", name=name, obj=self)

    @overload
    def __getitem__(self, which: str) -> Joint: ...
    @overload
    def __getitem__(self, which: int | slice | list[int] | np.ndarray) -> Poses: ...
    def __getitem__(self, which: str | int | slice | list[int] | np.ndarray) -> Joint | Poses:
        """One keypoint of all people, by name, or a subset of the people, by index.

        `poses["left_wrist"].xy` is (N, 2) pixels; `poses[0]` is `Poses` of the first person
        alone (N = 1), with the keypoints `poses[0].xy[0]`, the same as `poses.xy[0]`.
        """
        if not isinstance(which, str):
            if isinstance(which, (int, np.integer)):
                if not -len(self) <= which < len(self):
                    raise IndexError(f"no person {which}; there are {len(self)} people")
                which = [int(which)]
            return self.take(which)
        k = self.skeleton[which]
        return Joint(self.xy[:, k], self.score[:, k], None if self.xyz is None else self.xyz[:, k])

    def __iter__(self) -> Iterator[Poses]:
        """Iterate over the people, each as `Poses` with N = 1."""
        return (self.take([row]) for row in range(len(self)))

    def part(self, name: str) -> Poses:
        """The same people with the keypoints of one part of their skeleton.

        `poses.part("left_hand").xy` is (N, 21, 2) pixels, NaN where that hand was not found; see
        `Skeleton.parts`. Boxes and scores of people stay theirs.

        Raises:
            VitruvianError: the skeleton has no such part.
        """
        return self.with_keypoints(self.skeleton.part(name), self.skeleton.parts[name])

    def with_keypoints(self, skeleton: Skeleton, which: Sequence[int]) -> Poses:
        """The same people with some of their keypoints, by number: those of `skeleton`."""
        own, picked = list(which), dict[str, Any]()
        for field, axes in _SHAPES.items():
            value = getattr(self, field)
            if value is not None and "K" in axes:
                picked[field] = value[:, own]
        raw = None if self.raw is None else self.raw.with_keypoints(skeleton, own)
        return replace(self, skeleton=skeleton, raw=raw, **picked)

    def take(self, people: np.ndarray | list[int] | slice) -> Poses:
        """A subset of the people, by indices, a slice or a boolean mask."""
        parts: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                parts[field.name] = value[people]
            elif isinstance(value, (Regions, Poses)):
                parts[field.name] = value.take(people)
        return replace(self, **parts)
