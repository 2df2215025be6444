"""Repetitions of a movement: the cycles of a joint angle, and mean and spread over them.

A cycle goes from one maximum of an angle to the next: steps of the knee, squats, jumping jacks. All
angles of a person are averaged over the cycles of one of them, the reference, so that their phases
can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST = 3  # cycles; fewer are no repetition
LEAST_RANGE = 10.0  # degrees between the 2nd and the 98th percentile; less is noise
PROMINENCE = 0.4  # of that range: how far a maximum rises above the minima beside it
SHORTEST = 0.4  # seconds of a cycle
SPIKE = 0.2  # seconds of the median filter: half as long are swaps of left and right, not maxima
ALIKE = (2 / 3, 3 / 2)  # of the median duration: other cycles are pauses, or two in one
UNKNOWN = 0.2  # of the frames of a cycle that may be unknown
PERCENT = np.arange(101)  # of a cycle, where mean and spread are computed


def find_cycles(seconds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(C, 2) start and end of the cycles of an angle, seconds; C is 0 or at least `LEAST`.

    Args:
        seconds: (T,) increasing.
        values: (T,) degrees; NaN where unknown.
    """
    from scipy.ndimage import median_filter
    from scipy.signal import find_peaks

    nothing = np.zeros((0, 2))
    known = np.isfinite(values)
    if known.sum() < 4 * LEAST:
        return nothing
    step = float(np.median(np.diff(seconds)))
    low, high = np.percentile(values[known], [2, 98])
    if high - low < LEAST_RANGE or step <= 0:
        return nothing
    even = np.arange(seconds[known][0], seconds[known][-1] + step / 2, step)
    filled = np.interp(even, seconds[known], values[known])
    filled = median_filter(filled, 2 * round(SPIKE / step / 2) + 1, mode="nearest")
    apart = max(1, round(SHORTEST / step))
    peaks, _ = find_peaks(filled, prominence=PROMINENCE * (high - low), distance=apart)
    cycles = np.stack([even[peaks[:-1]], even[peaks[1:]]], axis=-1)
    if len(cycles) < LEAST:
        return nothing
    length = cycles[:, 1] - cycles[:, 0]
    alike = length / np.median(length)
    inside = [known[(seconds >= start) & (seconds <= end)] for start, end in cycles]
    gaps = np.array([1 - rows.mean() if len(rows) else 1.0 for rows in inside])
    good = cycles[(alike >= ALIKE[0]) & (alike <= ALIKE[1]) & (gaps <= UNKNOWN)]
    return good if len(good) >= LEAST else nothing


@dataclass(frozen=True)
class Cycle:
    """One cycle of one angle."""

    number: int  # of the cycle of this person, from 1
    reference: str  # the angle whose maxima begin and end it
    angle: str
    start: float  # seconds
    end: float
    minimum: float  # degrees; NaN if unknown
    maximum: float


class Repetitions:
    """The cycles of one person over all tracks, in constant memory."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names`: of the A angles."""
        self.names, self.reference, self.count = tuple(names), "", 0
        shape = (len(self.names), len(PERCENT))
        self.known = np.zeros(shape, np.int64)
        self.mean, self.squares = np.zeros(shape), np.zeros(shape)

    def add(self, seconds: np.ndarray, values: np.ndarray) -> list[Cycle]:
        """The cycles of a track of (T,) seconds and (T, A) degrees, angle by angle."""
        turned = values.astype(np.float64)
        for column in turned.T:
            known = np.isfinite(column)
            column[known] = np.unwrap(column[known], period=360)
        reference, cycles = self._cycles(seconds, turned)
        self.reference, found = reference or self.reference, list[Cycle]()
        for start, end in cycles:
            self.count += 1
            rows = turned[(seconds >= start) & (seconds <= end)]
            at = np.interp(PERCENT / 100, [0, 1], [start, end])
            curves = np.stack([np.interp(at, seconds, column) for column in turned.T])
            turns = np.zeros(len(self.names))  # whole ones, by which cycles must not differ
            for i in np.flatnonzero(np.isfinite(rows).any(axis=0)):
                before = self.mean[i].mean() if self.known[i].all() else 0.0
                turns[i] = 360 * np.round((np.nanmean(rows[:, i]) - before) / 360)
            self._average(curves - turns[:, None])
            for name, column in zip(self.names, (rows - turns).T, strict=True):
                known = column[np.isfinite(column)]
                low, high = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
                found.append(Cycle(self.count, self.reference, name, start, end, low, high))
        return found

    def _cycles(self, seconds: np.ndarray, values: np.ndarray) -> tuple[str, np.ndarray]:
        """The reference, and its cycles: the angle of the largest range that has any."""
        ranges = np.full(len(self.names), -1.0)
        for i, column in enumerate(values.T):
            if np.isfinite(column).mean() >= 0.5:
                ranges[i] = np.ptp(np.nanpercentile(column, [2, 98]))
        order = [int(i) for i in np.argsort(-ranges) if ranges[i] >= 0]
        if self.reference:
            order = [self.names.index(self.reference)]
        for i in order:
            cycles = find_cycles(seconds, values[:, i])
            if len(cycles):
                return self.names[i], cycles
        return "", np.zeros((0, 2))

    def _average(self, curves: np.ndarray) -> None:
        """Add (A, 101) degrees. Source: Welford 1962, Technometrics 4."""
        known = np.isfinite(curves)
        self.known += known
        away = np.where(known, curves - self.mean, 0)
        self.mean += away / np.maximum(self.known, 1)
        self.squares += np.where(known, away * (curves - self.mean), 0)

    def spread(self) -> tuple[np.ndarray, np.ndarray]:
        """(A, 101) mean and standard deviation, degrees; NaN where fewer than `LEAST` are known."""
        enough = self.known >= LEAST
        deviation = np.sqrt(self.squares / np.maximum(self.known - 1, 1))
        return np.where(enough, self.mean, np.nan), np.where(enough, deviation, np.nan)
