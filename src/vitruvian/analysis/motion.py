"""Motion of one person over time: velocity, angles, range of motion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vitruvian.analysis.angles import (
    Space,
    angle_definitions,
    angle_names,
    angles_of_points_deg,
    facing_direction,
)
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.state import SEEN
from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame

VOTE = 0.5  # seconds before and after a frame in the majority vote of the facing direction


def track_positions(track: Track, space: Space) -> np.ndarray:
    """(T, K, D) `xy` or `xyz`; `VitruvianError` if there is no `xyz`."""
    if space == "2d":
        return track.xy
    if track.xyz is None:
        raise VitruvianError(
            f"person {track.person} of '{track.source}' has no xyz; use a 3D model, or 2d"
        )
    return track.xyz


def velocity(track: Track, space: Space = "2d") -> np.ndarray:
    """(T, K, D) pixels or metres per second, from frame times; NaN beside missing values.

    Second-order central differences, first order in the first and the last frame.
    """
    return rate_of_change(track_positions(track, space), track.seconds)


def rate_of_change(values: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(T, ...) change of (T, ...) values per second; NaN for a single frame."""
    if len(seconds) < 2:
        return np.full_like(values, np.nan)
    return np.gradient(values.astype(np.float64), seconds, axis=0).astype(np.float32)


def angles_over_time_deg(
    track: Track,
    space: Space = "2d",
    *,
    seen: float = SEEN,
    up: Sequence[float] | None = None,
    parts: bool = False,
) -> np.ndarray:
    """(T, A) degrees, a column for each of `angles.angle_names(space)`, as of `angles.angles_deg`.

    In 2D the facing direction is a majority vote over half a second before and after.
    """
    toward = facing_over_time(track, seen) if space == "2d" else None
    at = track_positions(track, space)
    about = (track.skeleton, at, track.score, space, seen, up, toward)
    return angles_of_points_deg(*about, parts=parts, xy=track.xy)


def facing_over_time(track: Track, seen: float = SEEN, within: float = VOTE) -> np.ndarray:
    """(T,) 1 right, -1 left, NaN: majority vote of the frames within `within` seconds."""
    says = facing_direction(track.skeleton, track.xy, track.score, seen)
    total = np.concatenate([[0], np.nancumsum(says)])
    # One microsecond of tolerance, the precision of written times.
    first = np.searchsorted(track.seconds, track.seconds - within - 1e-6)
    end = np.searchsorted(track.seconds, track.seconds + within + 1e-6, side="right")
    sums = np.sign(total[end] - total[first])
    return np.where(sums == 0, np.nan, sums)


def angular_velocity_deg(values: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(T, A) degrees per second, of (T, A) degrees; handles wrap-around at 180."""
    turned = values.astype(np.float64)
    for column in turned.T:
        known = np.isfinite(column)
        column[known] = np.unwrap(column[known], period=360)
    return rate_of_change(turned, seconds)


def range_of_motion_deg(values: np.ndarray, trim: float = 0.0) -> np.ndarray:
    """(A, 3) minimum, maximum and range of (T, A) degrees; NaN if never known.

    The range is the shortest arc of the circle that holds all values, so at most 360 degrees; the
    maximum of an angle that passes 180 may exceed it. Nothing is accumulated over frames, so turns,
    gaps and their lengths do not matter.

    `trim`: 0..0.5, fraction of the frames ignored at either end: 0.02 ignores single outliers.

    Source: Fisher 1993, "Statistical Analysis of Circular Data", section 2.3.1 (circular range).
    """
    if not 0 <= trim < 0.5:
        raise VitruvianError(
            f"trim is {trim:g}, want a fraction of the frames, from 0 to below 0.5"
        )
    result = np.full((values.shape[1], 3), np.nan, np.float32)
    for row, column in zip(result, values.T.astype(np.float64), strict=True):
        known = np.sort(column[np.isfinite(column)])
        if len(known):
            first, turn = _arc(known, known)
            along = np.concatenate([known[first:], known[:first] + 360]) + turn
            low, high = np.quantile(along, [trim, 1 - trim])
            row[:] = low, high, high - low
    return result


def _arc(low: np.ndarray, high: np.ndarray) -> tuple[int, float]:
    """The shortest arc that holds B intervals on the circle: its first interval, and an offset.

    Args:
        low: (B,) degrees -180..180, increasing, starts of the intervals.
        high: (B,) ends of the intervals.

    Returns:
        Index of the first interval of the arc: those before it are 360 ahead; and 0 or -360, which
        brings the middle of the arc to -180..180.
    """
    gaps = np.concatenate([low[:1] + 360 - high[-1:], low[1:] - high[:-1]])
    first = int(np.argmax(gaps))  # ties: the gap at 180, so nothing changes without wrap-around
    middle = (low[first] + (high[first - 1] + 360 if first else high[-1])) / 2
    return first, -360.0 if middle > 180 else 0.0


COLUMNS = ("source", "person", "index", "time", "space")


def angle_columns(space: Space = "2d", parts: bool = False) -> tuple[str, ...]:
    """Column names of `angle_rows`; angles end in `_deg`."""
    return (*COLUMNS, *(f"{name}_deg" for name in angle_names(space, parts)))


def angle_rows(
    track: Track,
    values: np.ndarray,
    space: Space = "2d",
    among: Space | None = None,
    parts: bool = False,
) -> Iterator[tuple[Any, ...]]:
    """One row of `angle_columns` for each frame of (T, A) degrees; None where unknown.

    Args:
        track: of T frames.
        values: (T, A) degrees, a column for each of `angle_names(space)`.
        space: of the angles.
        among: space that defines the columns; those that `space` does not have are None.
        parts: whether there are columns of fingers and the face; those of `values` may have none.
    """
    wide = widen_columns(values, space, among or space, parts)
    numbers = np.round(wide.astype(np.float64), 4).tolist()
    times = zip(track.index.tolist(), track.seconds.tolist(), numbers, strict=True)
    for index, seconds, angles in times:
        yield (track.source, track.person, index, round(seconds, 6), space, *nan_to_none(angles))


def widen_columns(
    values: np.ndarray, space: Space, among: Space, parts: bool = False
) -> np.ndarray:
    """(T, A) degrees of one space as (T, B), a column for each of `angle_names(among, parts)`.

    `values` may have columns of parts or not.
    """
    wanted, own = angle_names(among, parts), angle_names(space, parts=True)[: values.shape[1]]
    if wanted == own:
        return values
    result = np.full((len(values), len(wanted)), np.nan, values.dtype)
    kept = [column for column, name in enumerate(own) if name in wanted]
    result[:, [wanted.index(own[column]) for column in kept]] = values[:, kept]
    return result


def nan_to_none(numbers: Sequence[float]) -> Iterator[float | None]:
    """Replace NaN by None."""
    return (None if number != number else number for number in numbers)


def picture_angle_rows(
    frame: Frame, poses: Poses, values: np.ndarray, spaces: Sequence[Space]
) -> Iterator[tuple[Any, ...]]:
    """Rows for (N, A) degrees of all people in one frame, and the space of each."""
    numbers = np.round(values.astype(np.float64), 4).tolist()
    for person, space, angles in zip(poses.person.tolist(), spaces, numbers, strict=True):
        yield (
            frame.source,
            person,
            frame.index,
            round(frame.seconds, 6),
            space,
            *nan_to_none(angles),
        )


EXTENT = (
    *("source", "person", "measure", "unit", "frames", "min", "max", "range", "mean"),
    *("mean_speed", "peak_speed", "sd", "space"),
)
BINS = 720  # of half a degree, in the histogram of angles
CIRCULAR = ("swing", "side", "turn", "face")  # kinds of angles that wrap around, -180 to 180
UNIFORM = 0.01  # 0..1, mean resultant length below which there is no mean: uniform


class MotionExtent:
    """Streaming statistics of angles and speeds over all tracks; memory use is constant.

    Angles are in degrees and degrees per second, keypoint speeds in pixels or metres per second.
    Speeds are finite differences: noise adds to them, so smooth before.

    Angles that wrap around have the range of `range_of_motion_deg`, and circular mean and standard
    deviation (Fisher 1993, sections 2.3.1 and 2.3.3; the latter is the square root of -2 ln R, with
    R the mean resultant length).
    """

    def __init__(
        self,
        space: Space,
        skeleton: Skeleton,
        metres: bool | None = None,
        *,
        parts: bool = False,
    ) -> None:
        """Start with no data.

        Args:
            space: of the angles.
            skeleton: of the keypoints.
            metres: whether keypoints are in metres; None: if the angles are 3D.
            parts: whether there are angles of fingers and the face.
        """
        self.space: Space = space
        metres = space == "3d" if metres is None else metres
        self.place: Space = "3d" if metres else "2d"
        self.measures = [*angle_names(space, parts), *skeleton.keypoints]
        a, m = len(angle_names(space, parts)), len(self.measures)
        self.round = np.array([angle.way in CIRCULAR for angle in angle_definitions(space, parts)])
        # Minimum and maximum of each bin; infinite where it is empty.
        self.least, self.most = np.full((a, BINS), np.inf), np.full((a, BINS), -np.inf)
        self.sums = np.zeros((4, a))  # sums of values, squares, cosines and sines
        self.frames = np.zeros(m, int)
        self.peak, self.way, self.steps = np.full(m, np.nan), np.zeros(m), np.zeros(m, int)

    def add(self, track: Track, values: np.ndarray) -> None:
        """Add (T, A) degrees of a track."""
        a = values.shape[1]
        degrees = values.astype(np.float64)
        there = np.isfinite(degrees)
        row, column = np.nonzero(there)
        which = np.clip((degrees[row, column] + 180) / 360 * BINS, 0, BINS - 1).astype(int)
        np.minimum.at(self.least, (column, which), degrees[row, column])
        np.maximum.at(self.most, (column, which), degrees[row, column])
        turned = np.radians(degrees)
        for i, part in enumerate((degrees, degrees**2, np.cos(turned), np.sin(turned))):
            self.sums[i] += np.where(there, part, 0).sum(axis=0)
        self.frames[:a] += there.sum(axis=0)
        at = track_positions(track, self.place)
        self.frames[a:] += np.isfinite(at).all(axis=-1).sum(axis=0)
        moving = np.linalg.norm(velocity(track, self.place), axis=-1)
        turning = np.abs(angular_velocity_deg(values, track.seconds))
        speed = np.concatenate([turning, moving], axis=1)
        known = np.isfinite(speed)
        self.way += np.where(known, speed, 0).sum(axis=0)
        self.steps += known.sum(axis=0)
        fastest = np.max(speed, axis=0, initial=-np.inf, where=known)
        self.peak = np.fmax(self.peak, np.where(known.any(axis=0), fastest, np.nan))

    def _about(self, i: int) -> tuple[float, float, float, float, float]:
        """Minimum, maximum, range, mean and standard deviation of a known angle, degrees."""
        full = np.isfinite(self.least[i])
        low, high = self.least[i][full], self.most[i][full]
        total, squares, cosines, sines = self.sums[:, i] / self.frames[i]
        if not self.round[i]:
            deviation = np.sqrt(max(squares - total**2, 0.0))
            return low[0], high[-1], high[-1] - low[0], total, deviation
        first, turn = _arc(low, high)
        least = low[first] + turn
        most = (high[first - 1] + 360 if first else high[-1]) + turn
        length = float(np.hypot(cosines, sines))
        mean = np.degrees(np.arctan2(sines, cosines))
        mean += 360 * np.round(((least + most) / 2 - mean) / 360)
        deviation = np.degrees(np.sqrt(abs(2 * np.log(np.clip(length, 1e-12, 1)))))
        return least, most, most - least, mean if length >= UNIFORM else np.nan, deviation

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """One row of `EXTENT`, after source and person, for each measure with data."""
        length = "px" if self.place == "2d" else "m"
        with np.errstate(invalid="ignore", divide="ignore"):
            speed = self.way / self.steps
        for i, measure in enumerate(self.measures):
            if not self.frames[i]:
                continue
            angle = i < len(self.round)
            *span, deviation = self._about(i) if angle else [np.nan] * 5
            unit, space = ("deg", self.space) if angle else (length, self.place)
            before = nan_to_none(np.round([*span, speed[i], self.peak[i], deviation], 4).tolist())
            yield (measure, unit, int(self.frames[i]), *before, space)
