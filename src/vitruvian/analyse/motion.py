"""What changes over time in one person: velocity, angles, how far they go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vitruvian.analyse.angles import Space, facing, measure_deg, names
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.state import SEEN
from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame

VOTE = 0.5  # seconds before and after in which the sides somebody faces are counted


def positions(track: Track, space: Space) -> np.ndarray:
    """(T, K, D) `xy` or `xyz`; `VitruvianError` if there is no `xyz`."""
    if space == "2d":
        return track.xy
    if track.xyz is None:
        raise VitruvianError(
            f"person {track.person} of '{track.source}' has no xyz; use a model that gives metres, "
            "or 2d"
        )
    return track.xyz


def velocity(track: Track, space: Space = "2d") -> np.ndarray:
    """(T, K, D) pixels or metres a second, by the frames' own times; NaN beside what is missing.

    Differences of second order, of first order in the first and the last frame.
    """
    return rate(positions(track, space), track.seconds)


def rate(values: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(T, ...) how (T, ...) values change a second; NaN of one frame alone."""
    if len(seconds) < 2:
        return np.full_like(values, np.nan)
    return np.gradient(values.astype(np.float64), seconds, axis=0).astype(np.float32)


def angles_deg(
    track: Track,
    space: Space = "2d",
    *,
    seen: float = SEEN,
    up: Sequence[float] | None = None,
) -> np.ndarray:
    """(T, A) degrees, a column for each of `angles.names(space)`, as of `angles.angles_deg`.

    In 2D the side somebody faces is the one most often told within half a second.
    """
    toward = facing_over_time(track, seen) if space == "2d" else None
    at = positions(track, space)
    return measure_deg(track.skeleton, at, track.score, space, seen, up, toward)


def facing_over_time(track: Track, seen: float = SEEN, within: float = VOTE) -> np.ndarray:
    """(T,) 1 right, -1 left, NaN: what most frames say no farther than `within` seconds away."""
    says = facing(track.skeleton, track.xy, track.score, seen)
    total = np.concatenate([[0], np.nancumsum(says)])
    # A microsecond more: times are written to that.
    first = np.searchsorted(track.seconds, track.seconds - within - 1e-6)
    end = np.searchsorted(track.seconds, track.seconds + within + 1e-6, side="right")
    sums = np.sign(total[end] - total[first])
    return np.where(sums == 0, np.nan, sums)


def unwrapped_deg(values: np.ndarray) -> np.ndarray:
    """(T, A) degrees without jumps of a full turn; NaN stays, and is jumped over."""
    result = values.astype(np.float64)
    for column in result.T:
        known = np.isfinite(column)
        column[known] = np.unwrap(column[known], period=360)
    return result.astype(np.float32)


def angular_velocity_deg(values: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(T, A) degrees a second, of (T, A) degrees; an angle may pass 180."""
    return rate(unwrapped_deg(values), seconds)


def range_of_motion_deg(values: np.ndarray, trim: float = 0.0) -> np.ndarray:
    """(A, 3) the least, the most and the range of (T, A) degrees; NaN of what was never known.

    `trim`: 0..0.5, so much of the frames is left out at either end: 0.02 leaves out single
    outliers. The range of an angle that passes 180 degrees may be more than 180.
    """
    if not 0 <= trim < 0.5:
        raise VitruvianError(f"trim is {trim:g}, want a part of the frames from 0 to below 0.5")
    result = np.full((values.shape[1], 3), np.nan, np.float32)
    for row, column in zip(result, unwrapped_deg(values).T, strict=True):
        known = column[np.isfinite(column)]
        if len(known):
            low, high = np.quantile(known, [trim, 1 - trim])
            row[:] = low, high, high - low
    return result


COLUMNS = ("source", "person", "index", "time")


def columns(space: Space = "2d") -> tuple[str, ...]:
    """The heads of the columns of `rows`; angles end in `_deg`."""
    return (*COLUMNS, *(f"{name}_deg" for name in names(space)))


def rows(track: Track, values: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """One row of `columns` for each frame of (T, A) degrees; None for what is not known."""
    numbers = np.round(values.astype(np.float64), 4).tolist()
    times = zip(track.index.tolist(), track.seconds.tolist(), numbers, strict=True)
    for index, seconds, angles in times:
        yield (track.source, track.person, index, round(seconds, 6), *known(angles))


def known(numbers: Sequence[float]) -> Iterator[float | None]:
    """None for what is not known."""
    return (None if number != number else number for number in numbers)


def of_picture(frame: Frame, poses: Poses, values: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """The same of (N, A) degrees of everybody in one frame."""
    numbers = np.round(values.astype(np.float64), 4).tolist()
    for person, angles in zip(poses.person.tolist(), numbers, strict=True):
        yield (frame.source, person, frame.index, round(frame.seconds, 6), *known(angles))


EXTENT = (
    *("source", "person", "measure", "unit", "frames", "min", "max", "range", "mean"),
    *("mean_speed", "peak_speed"),
)


class Extent:
    """How far and how fast somebody moved in all, track by track.

    Of angles degrees and degrees a second; of keypoints how fast they were, pixels or metres a
    second. A speed is that of differences between frames: noise counts, smooth before.
    """

    def __init__(self, space: Space, skeleton: Skeleton) -> None:
        """Nothing moved yet."""
        self.space: Space = space
        self.measures = [*names(space), *skeleton.keypoints]
        m = len(self.measures)
        self.least, self.most = np.full(m, np.nan), np.full(m, np.nan)
        self.total, self.frames = np.zeros(m), np.zeros(m, int)
        self.peak, self.way, self.steps = np.full(m, np.nan), np.zeros(m), np.zeros(m, int)

    def add(self, track: Track, values: np.ndarray) -> None:
        """Add (T, A) degrees of a track."""
        a = values.shape[1]
        turned = unwrapped_deg(values)
        limits = range_of_motion_deg(values)
        self.least[:a] = np.fmin(self.least[:a], limits[:, 0])
        self.most[:a] = np.fmax(self.most[:a], limits[:, 1])
        self.total[:a] += np.nansum(turned, axis=0)
        self.frames[:a] += np.isfinite(turned).sum(axis=0)
        at = positions(track, self.space)
        self.frames[a:] += np.isfinite(at).all(axis=-1).sum(axis=0)
        moving = np.linalg.norm(velocity(track, self.space), axis=-1)
        turning = np.abs(angular_velocity_deg(values, track.seconds))
        speed = np.concatenate([turning, moving], axis=1)
        known = np.isfinite(speed)
        self.way += np.where(known, speed, 0).sum(axis=0)
        self.steps += known.sum(axis=0)
        fastest = np.max(speed, axis=0, initial=-np.inf, where=known)
        self.peak = np.fmax(self.peak, np.where(known.any(axis=0), fastest, np.nan))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """One of `EXTENT`, behind source and person, for each measure that was ever known."""
        length = "px" if self.space == "2d" else "m"
        with np.errstate(invalid="ignore", divide="ignore"):
            mean, speed = self.total / self.frames, self.way / self.steps
        for i, measure in enumerate(self.measures):
            if not self.frames[i]:
                continue
            angle = i < len(names(self.space))
            span = (self.least[i], self.most[i], self.most[i] - self.least[i], mean[i])
            numbers = [*(span if angle else [np.nan] * 4), speed[i], self.peak[i]]
            unit = "deg" if angle else length
            yield (measure, unit, int(self.frames[i]), *known(np.round(numbers, 4).tolist()))
