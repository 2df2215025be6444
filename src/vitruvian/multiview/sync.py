"""How much later the clock of a view starts: found from the movement of people.

With the right offset, moving keypoints lie on the epipolar lines of the other views. All offsets
are tried in steps of two frames, and the best are refined to parts of a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from vitruvian.multiview.sides import line_distance
from vitruvian.multiview.triangulation import Rig

COARSE = 2  # frames between two offsets that are tried first
BEST = 5  # of them that are refined
FRAMES = 400  # that offsets are judged with, at most
STEP = 0.25  # frames between two offsets that are tried last; the best is between them
CAP = 3.0  # largest distance of a keypoint that counts, in `near`
FLAT = 0.3  # sharpness from which an offset is not known
# From which it is not sure. Without a rig, in ../shared/data/pose2sim/single_balancing, whose
# clocks agree, offsets of 0.16 to 0.28 are wrong by 0 to 0.1 s, those of 0.1 by one or two frames.
DOUBTED = 0.15
LEAST_OVERLAP = 0.3  # of the shorter view
LEAST_FRAMES = 20  # in which speeds are compared
CORRELATED = 0.3  # correlation of speeds from which an offset is known
SMOOTH = 0.3  # seconds over which speeds are averaged
STILL = 2e-3  # of the focal length: a movement that is noise
APART = 0.4  # seconds: another peak of the correlation


@dataclass(frozen=True, eq=False)
class Seen:
    """What a view saw of one tracked person, at its own times."""

    seconds: np.ndarray  # (T,) increasing
    at: np.ndarray  # (T, K, 2) normalized coordinates, NaN where missing
    weight: np.ndarray  # (T, K) scores

    def resampled(self, times: np.ndarray, longest: float) -> tuple[np.ndarray, np.ndarray]:
        """(M, K, 2) and (M, K) at (M,) times, between two frames at most `longest` s apart."""
        after = np.searchsorted(self.seconds, times).clip(1, max(len(self.seconds) - 1, 1))
        if len(self.seconds) == 1:
            exact = np.abs(times - self.seconds[0]) < 1e-4
            at = np.where(exact[:, None, None], self.at[0], np.nan)
            return at, np.where(exact[:, None], self.weight[0], 0.0)
        before = after - 1
        gap = self.seconds[after] - self.seconds[before]
        part = (times - self.seconds[before]) / gap
        part = np.where(np.abs(part) * gap < 1e-4, 0.0, part)
        part = np.where(np.abs(part - 1) * gap < 1e-4, 1.0, part)
        inside = (part >= 0) & (part <= 1) & ((gap <= longest) | (part == 0) | (part == 1))
        part = part[:, None]
        first, second = self.at[before], self.at[after]
        first = np.where((part == 1)[..., None], second, first)  # exactly there: only that one
        second = np.where((part == 0)[..., None], first, second)
        at = first + part[..., None] * (second - first)
        weight = (1 - part) * self.weight[before] + part * self.weight[after]
        return np.where(inside[:, None, None], at, np.nan), np.where(inside[:, None], weight, 0.0)


@dataclass(frozen=True)
class Offset:
    """Found for a view."""

    seconds: float  # to be added to the times of the view
    sharpness: float  # squares of distances, here against the median elsewhere: 0 sharp, 1 flat

    def __str__(self) -> str:
        """For people to read."""
        doubt = ", not sure: a clap or a jump that all see helps" * (self.sharpness > DOUBTED)
        return (
            f"offset {self.seconds:+.3f} s, sharpness {self.sharpness:.2f} (0 sharp, 1 flat){doubt}"
        )


def find_offset(
    rig: Rig,
    views: Sequence[Sequence[Seen]],
    mirror: np.ndarray,
    near: np.ndarray,
    longest: float,
) -> list[Offset | None]:
    """Offsets of all views against the first; None where nothing moves, or nobody is seen.

    Args:
        rig: the cameras.
        views: of each view, the people that it saw.
        mirror: (K,) the keypoint of the other side: in a frame, sides may be exchanged.
        near: (V,) pixels, how far off a keypoint usually is at most.
        longest: seconds, the largest offset that is looked for.
    """
    found: list[Offset | None] = [Offset(0.0, 0.0)]
    for v in range(1, len(views)):
        # Against all views that are known already.
        known = [(u, base.seconds) for u, base in enumerate(found) if base is not None]
        known = [(u, base) for u, base in known if views[u] and views[v]]
        best = _against(rig, known, v, views, mirror, near, longest) if known else None
        found.append(None if best is None or best.sharpness > FLAT else best)
    return found


def _frame_time(views: Sequence[Seen]) -> float:
    steps = [np.diff(each.seconds) for each in views if len(each.seconds) > 1]
    return float(np.median(np.concatenate(steps))) if steps else 0.04


def _against(
    rig: Rig,
    known: Sequence[tuple[int, float]],
    v: int,
    views: Sequence[Sequence[Seen]],
    mirror: np.ndarray,
    near: np.ndarray,
    longest: float,
) -> Offset | None:
    """The offset of view v, against views whose offsets are known."""
    frame = max(_frame_time(views[u]) for u in (v, *(u for u, _ in known)))
    judged = dict[float, float]()

    def cost(offset: float) -> float:
        key = round(offset, 6)
        if key not in judged:
            each = [
                _cost(
                    rig,
                    (u, v),
                    views[u],
                    views[v],
                    mirror,
                    offset - base,
                    float(near[[u, v]].mean()),
                )
                for u, base in known
            ]
            some = [value for value in each if np.isfinite(value)]
            judged[key] = float(np.mean(some)) if some else np.inf
        return judged[key]

    tried = np.arange(-longest, longest + frame, COARSE * frame)
    costs = np.array([cost(offset) for offset in (*tried, 0.0)])
    if not np.isfinite(costs).any():
        return None
    usual = float(np.median(costs[np.isfinite(costs)]))
    lowest = np.argsort(costs)[:BEST]
    starts = [float(offset) for offset in np.append(tried, 0.0)[lowest]]
    around = [start + step * frame for start in starts for step in (-1, 0, 1)]
    best = min(around, key=cost)
    fine = [best + step * STEP * frame for step in range(-8, 9)]
    values = np.array([cost(offset) for offset in fine])
    if not np.isfinite(values).all():
        return Offset(best, cost(best) / max(usual, 1e-9))
    i = int(values.argmin())
    low, high = max(0, i - 4), min(len(fine), i + 5)
    bend, slope, _ = np.polyfit(np.array(fine[low:high]) - fine[i], values[low:high], 2)
    shift = -slope / (2 * bend) if bend > 0 else 0.0
    shift = float(np.clip(shift, -frame, frame))
    return Offset(float(fine[i] + shift), float(values[i]) / max(usual, 1e-9))


def _cost(
    rig: Rig,
    pair: tuple[int, int],
    first: Sequence[Seen],
    second: Sequence[Seen],
    mirror: np.ndarray,
    offset: float,
    scale: float,
) -> float:
    """Mean square of the distances from epipolar lines, with an offset; infinite without any."""
    longest = 1.6 * _frame_time(second)
    lowest = dict[int, float]()  # of each of the first: that of who is the same, of the second
    for (n, a), b in product(enumerate(first), second):
        some = slice(None, None, max(1, len(a.seconds) // FRAMES))
        times, at, weight = a.seconds[some], a.at[some], a.weight[some]
        other, other_weight = b.resampled(times - offset, longest)
        ways = list[np.ndarray]()
        for order in (slice(None), mirror):  # as it is, and with left and right exchanged
            to, trust = other[:, order], np.minimum(weight, other_weight[:, order])
            there = (trust > 0) & np.isfinite(at).all(axis=-1) & np.isfinite(to).all(axis=-1)
            off = line_distance(rig, *pair, np.nan_to_num(at), np.nan_to_num(to)) / scale
            off = np.where(there, np.minimum(off, CAP) ** 2, 0) * trust
            with np.errstate(invalid="ignore"):
                ways.append(off.sum(axis=1) / (trust * there).sum(axis=1))
        each = np.fmin(*ways)
        each = each[np.isfinite(each)]
        if len(each) >= max(3, LEAST_OVERLAP * len(times)):
            lowest[n] = min(lowest.get(n, np.inf), float(each.mean()))
    return float(np.mean([*lowest.values()])) if lowest else np.inf


def speed_offset(first: Sequence[Seen], second: Sequence[Seen], longest: float) -> Offset | None:
    """How much later the second view starts, by the correlation of the movements of keypoints.

    Of their vertical velocities, which cameras all around see alike, or else their speeds. It
    needs no rig, and is good to a frame or two; None if nothing correlates.

    Args:
        first: the people that one view saw.
        second: those of the other, maybe in another order.
        longest: seconds, the largest offset that is looked for.
    """
    step = _frame_time([*first, *second])
    best: tuple[float, Offset] | None = None
    for a, b in product(first, second):
        (start_a, *one), (start_b, *two) = (_movement(each, step) for each in (a, b))
        for x, y in zip(one, two, strict=True):
            found = _correlation(x, y, round((start_b - start_a) / step), round(longest / step))
            if not np.isfinite(found).any():
                continue
            at = int(np.nanargmax(found))
            far = np.abs(np.arange(len(found)) - at) * step > APART
            other = np.nanmax(np.append(found[far], 0.0))
            offset = Offset((at - len(found) // 2) * step, max(0.0, float(other / found[at])))
            if found[at] > CORRELATED and (best is None or found[at] - other > best[0]):
                best = float(found[at] - other), offset
    return None if best is None else best[1]


def _correlation(x: np.ndarray, y: np.ndarray, begins: int, most: int) -> np.ndarray:
    """(2 most + 1,) correlation of (T, K) and (U, K) if the clock of `y` starts n steps later.

    `begins`: steps by which its first value comes later, by its own clock.
    """
    found = np.full(2 * most + 1, np.nan)
    for n in range(-most, most + 1):
        late = begins + n
        low, high = max(0, late), min(len(x), len(y) + late)
        if high - low < max(LEAST_FRAMES, LEAST_OVERLAP * min(len(x), len(y))):
            continue
        a, b = x[low:high], y[low - late : high - late]
        both = np.isfinite(a) & np.isfinite(b)
        if both.sum() < LEAST_FRAMES:
            continue
        a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
        found[n + most] = a @ b / max(np.sqrt((a @ a) * (b @ b)), 1e-12)
    return found


def _movement(seen: Seen, step: float) -> tuple[float, np.ndarray, np.ndarray]:
    """First time; (T, K) vertical velocities; (T, K) logarithms of speeds; in even steps."""
    times = np.arange(seen.seconds[0], seen.seconds[-1] + step / 2, step)
    at, _ = seen.resampled(times, 1.6 * step + 1e-6)
    half = max(1, round(SMOOTH / step / 2))
    if len(at) <= 4 * half:
        return float(times[0]), np.zeros((0, at.shape[1])), np.zeros((0, at.shape[1]))
    # The difference of two means, of the time before and of that after.
    total = np.cumsum(np.concatenate([np.zeros_like(at[:1]), np.nan_to_num(at)]), axis=0)
    lost = np.cumsum(np.concatenate([np.zeros((1, at.shape[1])), np.isnan(at[..., 0])]), axis=0)
    before, middle, after = (total[i : len(total) - 2 * half + i] for i in (0, half, 2 * half))
    moved = (after - 2 * middle + before) / half
    moved[lost[2 * half :] - lost[: -2 * half] > 0] = np.nan
    with np.errstate(divide="ignore"):
        speed = np.log(np.linalg.norm(moved, axis=-1) + STILL)
    return float(times[0]), moved[..., 1], speed
