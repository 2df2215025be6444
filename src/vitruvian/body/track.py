"""Track: one person over time. The input of all analysis over time; `tracks` makes them from poses.

Recordings may be hours long: `tracks` takes frames one by one and yields each track as soon as it
ends, so that memory holds only the people present, each for at most `longest` seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from vitruvian.body.poses import Joint, Origin, Poses
from vitruvian.body.skeleton import Skeleton

GAP = 2.0  # seconds without a detection after which a track ends
LONGEST = 600.0  # maximum seconds of a track, which is then split: 40 MB of BlazePose
_SHAPES: dict[str, tuple[str | int, ...]] = {
    "seconds": ("T",),
    "index": ("T",),
    "xy": ("T", "K", 2),
    "score": ("T", "K"),
    "box": ("T", 4),
    "xyz": ("T", "K", 3),
    "world": ("T", "K", 3),
}
_ROWS = ("xy", "score", "box", "xyz", "world")  # fields copied from a frame's poses


class FrameTime(Protocol):
    """The attributes of a `Frame` that are needed here."""

    @property
    def index(self) -> int:
        """Frame number in its source."""
        ...

    @property
    def seconds(self) -> float:
        """Since the start of the source."""
        ...

    @property
    def source(self) -> str:
        """File, camera or URL."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        ...


@dataclass(frozen=True, eq=False)
class Track:
    """One person in T consecutive frames of a stream; NaN in frames without the person."""

    skeleton: Skeleton
    person: int  # track id, as in `Poses.person`
    seconds: np.ndarray  # (T,) float64, increasing
    index: np.ndarray  # (T,) int64 of the frames
    xy: np.ndarray  # (T, K, 2) pixels; NaN where not found
    score: np.ndarray  # (T, K) 0..1; 0 in a frame without the person
    box: np.ndarray  # (T, 4) x0 y0 x1 y1, pixels
    xyz: np.ndarray | None = None  # (T, K, 3) metres
    origin: Origin | None = None  # origin of xyz
    world: np.ndarray | None = None  # (T, K, 3) metres, world coordinates, if known
    source: str = ""
    size: tuple[int, int] = (0, 0)  # width and height of the frames
    raw: Track | None = None  # the same before smoothing or repair

    def __post_init__(self) -> None:
        known: dict[str | int, int] = {"T": len(self.seconds), "K": len(self.skeleton)}
        for name, shape in _SHAPES.items():
            value, want = getattr(self, name), tuple(known.get(axis, axis) for axis in shape)
            if value is not None and value.shape != want:
                raise ValueError(
                    f"Track.{name} is {value.shape}, want {want} for {self.skeleton.name}"
                )
        if (self.xyz is None) != (self.origin is None):
            raise ValueError(
                "Track.xyz and Track.origin must be given together (metres relative to the origin)"
            )

    def __len__(self) -> int:
        return len(self.seconds)

    def __getitem__(self, keypoint: str) -> Joint:
        """One keypoint over time: `track["left_wrist"].xy` is (T, 2) pixels."""
        k = self.skeleton[keypoint]
        return Joint(self.xy[:, k], self.score[:, k], None if self.xyz is None else self.xyz[:, k])

    @property
    def present(self) -> np.ndarray:
        """(T,) bool, whether the person was detected in the frame."""
        found = np.any(np.isfinite(self.xy), axis=(1, 2))
        return found if self.xyz is None else found | np.any(np.isfinite(self.xyz), axis=(1, 2))

    @property
    def places(self) -> dict[str, np.ndarray]:
        """The coordinate arrays that exist, by field name: xy, xyz, world."""
        every = {"xy": self.xy, "xyz": self.xyz, "world": self.world}
        return {name: values for name, values in every.items() if values is not None}

    def take(self, rows: slice | np.ndarray) -> Track:
        """A subset of the frames."""
        parts = {name: getattr(self, name) for name in _SHAPES}
        raw = None if self.raw is None else self.raw.take(rows)
        some = {name: value[rows] for name, value in parts.items() if value is not None}
        return replace(self, raw=raw, **some)

    def poses(self, row: int) -> Poses:
        """The person in one frame as `Poses` with N = 1; N = 0 if not detected there."""
        if not self.take(slice(row, row + 1)).present.all():
            return Poses.nobody(self.skeleton, self.origin)
        return Poses(
            self.skeleton,
            xy=self.xy[row : row + 1],
            score=self.score[row : row + 1],
            box=self.box[row : row + 1],
            box_score=np.ones(1, np.float32),
            person=np.array([self.person]),
            xyz=None if self.xyz is None else self.xyz[row : row + 1],
            origin=self.origin,
            world=None if self.world is None else self.world[row : row + 1],
            raw=None if self.raw is None else self.raw.poses(row),
        )


class _Growing:
    """An unfinished track: one row per frame, `None` for frames without the person."""

    def __init__(self) -> None:
        self.moments: list[tuple[int, float]] = []
        self.rows: list[dict[str, np.ndarray] | None] = []
        self.raw: list[dict[str, np.ndarray] | None] = []
        self.seen = 0  # rows up to and including the last one with the person

    def add(self, moment: tuple[int, float], poses: Poses, row: int | None) -> None:
        self.moments.append(moment)
        self.rows.append(None if row is None else _row(poses, row))
        raw = poses.raw
        self.raw.append(None if row is None or raw is None else _row(raw, row))
        if row is not None:
            self.seen = len(self.rows)

    def track(self, person: int, skeleton: Skeleton, about: FrameTime) -> Track:
        moments = self.moments[: self.seen]

        def stack(rows: list[dict[str, np.ndarray] | None]) -> dict[str, np.ndarray]:
            found = [row for row in rows if row is not None]
            names = [name for name in _ROWS if all(name in row for row in found)]
            gap = {name: np.full_like(found[0][name], np.nan) for name in names}
            stacked = {name: np.stack([(row or gap)[name] for row in rows]) for name in names}
            return {**stacked, "score": np.nan_to_num(stacked["score"])}

        parts: dict[str, Any] = stack(self.rows[: self.seen])
        track = Track(
            skeleton,
            person,
            np.array([seconds for _, seconds in moments], np.float64),
            np.array([index for index, _ in moments], np.int64),
            origin=self.origin if "xyz" in parts else None,
            source=about.source,
            size=about.size,
            **parts,
        )
        if any(row is not None for row in self.raw[: self.seen]):
            raw: dict[str, Any] = stack(
                [raw or row for raw, row in zip(self.raw, self.rows, strict=True)][: self.seen]
            )
            track = replace(track, raw=replace(track, **raw))
        return track

    origin: Origin | None = None


def _row(poses: Poses, row: int) -> dict[str, np.ndarray]:
    parts = {name: getattr(poses, name) for name in _ROWS}
    return {name: part[row].copy() for name, part in parts.items() if part is not None}


class Tracks:
    """Collects the tracks of a stream. People without a track id are ignored."""

    def __init__(self, *, gap: float = GAP, longest: float = LONGEST) -> None:
        """Start without people.

        Args:
            gap: seconds; a person who returns later starts a new track with the same id.
            longest: seconds; longer tracks are split.
        """
        self.gap, self.longest = gap, longest
        self.growing: dict[int, _Growing] = {}
        self.last: FrameTime | None = None
        self.skeleton: Skeleton | None = None

    def add(self, frame: FrameTime, poses: Poses) -> list[Track]:
        """Add the next frame; returns the tracks that have ended."""
        last, over = self.last, list[Track]()
        another = last is not None and (
            frame.source != last.source or not frame.seconds > last.seconds
        )
        if another or (self.skeleton is not None and poses.skeleton != self.skeleton):
            over = self.close()
        self.skeleton = poses.skeleton
        for person, one in sorted(self.growing.items()):
            began, seen = one.moments[0][1], one.moments[one.seen - 1][1]
            if frame.seconds - seen > self.gap or frame.seconds - began > self.longest:
                over.append(self._over(person))
        here = {who: row for row, who in enumerate(poses.person.tolist()) if who >= 0}
        for person in {*self.growing, *here}:
            one = self.growing.setdefault(person, _Growing())
            one.origin = poses.origin
            one.add((frame.index, frame.seconds), poses, here.get(person))
        self.last = frame
        return over

    def _over(self, person: int) -> Track:
        assert self.skeleton is not None
        assert self.last is not None
        return self.growing.pop(person).track(person, self.skeleton, self.last)

    def close(self) -> list[Track]:
        """End the stream; returns the remaining tracks."""
        return [self._over(person) for person in sorted(self.growing)]


def tracks(
    stream: Iterable[tuple[FrameTime, Poses]], *, gap: float = GAP, longest: float = LONGEST
) -> Iterator[Track]:
    """Tracks from frames and tracked poses in order, of a stream or a record."""
    growing = Tracks(gap=gap, longest=longest)
    for frame, poses in stream:
        yield from growing.add(frame, poses)
    yield from growing.close()
