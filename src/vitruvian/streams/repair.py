"""Repair: corrects short left/right swaps and keypoints that jump away and back (outliers).

Only clear errors, and never silently: every change is in the list that comes with the track, and
the input is its `raw`. Lengths are in trunks (shoulder center to hip center, median of the track),
so that they hold for people of any size in the image.

- Swap: from one frame to the next, keypoints of a left/right pair fit the previous place of the
  other side, not their own; and back, within `swap` seconds. The most likely sequence is taken.
  A real turn of the body passes through a moment where left and right coincide, so that exchanging
  them never fits better. First arms, legs and head are checked, then the whole body, then limbs
  below a joint, always as a whole: an ankle is not swapped without its toes. A limb is not swapped
  against the evidence of its own joints, or if trunk or legs would then cross more often.
- Jump: a keypoint is far off the line between its places before and after, and leaves it in one
  step, within `jump` seconds. It is interpolated on that line.

A swap that begins or ends outside the track has one end only, and is kept: motion does not tell
which half is right. So is one that lasts too long. Both are in the list, as `LEFT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError
from vitruvian.streams.windows import Pair, changed, put, windows

TRUNK = 0.29  # of the box height, where no trunk was ever found; for a standing adult
HINT = 0.08  # trunks, minimum difference in motion of a pair that counts, above noise
LONG = 0.2  # trunks per second, cost of a swap
AGREE = 0.75  # of the pairs of a group that count
BONES = (("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"))  # that seldom cross
WHOLE = 7  # pairs; in a larger group some may disagree, as hands do
STALE = 0.25  # seconds after which the last place of a keypoint is not used
REACH = 3.0  # seconds of context on both sides
LEFT = "not changed"  # kind of change: start or end of a swap that is not corrected
BELOW = {  # words in the names of keypoints below a joint
    "hip": ("knee", "ankle", "heel", "toe", "foot"),
    "knee": ("ankle", "heel", "toe", "foot"),
    "shoulder": ("elbow", "wrist", "hand", "pinky", "index", "thumb", "finger"),
    "elbow": ("wrist", "hand", "pinky", "index", "thumb", "finger"),
}
PARTS = {  # words in the names of keypoints -> limb; a pair without any is a limb by itself
    "leg": ("hip", "knee", "ankle", "heel", "toe", "foot"),
    "arm": ("shoulder", "collar", "elbow", "wrist", "hand", "pinky", "index", "thumb", "finger"),
    "head": ("eye", "ear", "mouth", "brow", "jaw", "lip", "nostril"),
}


@dataclass(frozen=True)
class Options:
    """Thresholds."""

    swap: float = 1.0  # seconds, maximum length of a swap
    apart: float = 0.25  # trunks, minimum by which a pair moves less if exchanged
    ratio: float = 3.0  # and minimum ratio of the two
    jump: float = 0.12  # seconds, maximum between the places before and after
    far: float = 0.35  # trunks, minimum distance from the line between those two
    step: float = 0.5  # of that, maximum length of the line per frame

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) not in (int, float) or not value >= 0:
                raise VitruvianError(f"{field.name} is {value!r}, want a number from 0")


@dataclass(frozen=True)
class Repaired:
    """One change in one frame."""

    index: int  # of the frame
    seconds: float
    person: int
    kind: str  # "swap" or "jump"; LEFT: start or end of a swap that is not corrected
    keypoints: tuple[str, ...]
    distance: float  # pixels that they were moved, mean


def repair(track: Track, options: Options = Options()) -> tuple[Track, list[Repaired]]:
    """The corrected track, with the input as `raw`, and the list of changes, by time."""
    mended, swaps = _swaps(track, options)
    mended, jumps = _jumps(mended, options)
    changed = [*swaps, *jumps]
    changes = sorted([*changed, *_left(mended, options)], key=lambda c: (c.index, c.kind))
    return (replace(mended, raw=track) if changed else track), changes


class Repair:
    """Stream step that corrects swaps and jumps; it needs future frames, see `WantsFuture`."""

    def __init__(
        self,
        on_repair: Callable[[Repaired], None] = lambda change: None,
        options: Options = Options(),
    ) -> None:
        """`on_repair` gets every change, before its frame is yielded."""
        self.on_repair, self.options = on_repair, options

    def through(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """The same frames with corrected poses, the input in their `raw`; any length of recording.

        Args:
            pairs: frames of a recording in order, people with track ids.
        """
        for window, part in windows(pairs, REACH):
            changes: dict[int, list[Repaired]] = {}  # by the index of their frame
            people = changed(window, partial(self._mend, changes))
            for i in part:
                frame, poses = window[i]
                for change in (here := changes.get(frame.index, [])):
                    self.on_repair(change)
                mended = any(change.kind != LEFT for change in here)
                yield (
                    frame,
                    _swap_depth(put(poses, i, people), here) if mended else poses,
                )

    def _mend(self, changes: dict[int, list[Repaired]], track: Track) -> Track:
        mended, new = repair(track, self.options)
        for change in new:
            changes.setdefault(change.index, []).append(change)
        return mended


def _swap_depth(poses: Poses, changes: list[Repaired]) -> Poses:
    """With fields that a track lacks swapped as well: BlazePose's depth and presence."""
    names = [n for n in ("depth", "presence") if getattr(poses, n) is not None]
    values: dict[str, Any] = {name: getattr(poses, name).copy() for name in names}
    for change in changes if names else []:
        if change.kind == "swap":
            ks = np.array([poses.skeleton[name] for name in change.keypoints])
            rows = poses.person == change.person
            for each in values.values():
                each[np.ix_(rows, ks)] = each[np.ix_(rows, poses.skeleton.mirror[ks])]
    return replace(poses, **values)


def _trunk(track: Track) -> float:
    """Trunk length, pixels."""
    names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    if all(name in track.skeleton.keypoints for name in names):
        a, b, c, d = (track[name].xy for name in names)
        length = np.linalg.norm((a + b - c - d) / 2, axis=-1)
        if np.isfinite(length).any():
            return max(float(np.nanmedian(length)), 1.0)
    height = track.box[:, 3] - track.box[:, 1]
    return max(TRUNK * float(np.nanmedian(height)), 1.0) if np.isfinite(height).any() else 1.0


def _pairs(skeleton: Skeleton) -> list[tuple[int, int, str]]:
    """Left keypoint, right keypoint, limb."""
    pairs = []
    for k, other in enumerate(skeleton.mirror.tolist()):
        if skeleton.sides[k] == "left" and other != k:
            words = skeleton.keypoints[k].split("_")
            limbs = [part for part, names in PARTS.items() if set(names) & set(words)]
            pairs.append((k, other, limbs[0] if limbs else skeleton.keypoints[k]))
    return pairs


def _before(track: Track, known: np.ndarray) -> np.ndarray:
    """(T,) row of the last known place before each row; -1 if there is none, or it is stale."""
    rows = np.where(known, np.arange(len(known)), -1)
    last = np.concatenate([[-1], np.maximum.accumulate(rows)[:-1]])
    stale = track.seconds - track.seconds[last] > STALE
    return np.where(stale, -1, last)


def _swaps(track: Track, options: Options) -> tuple[Track, list[Repaired]]:
    """Swaps of limbs first, then of the whole body and of parts below a joint."""
    pairs = _pairs(track.skeleton)
    limbs = [limb for *_, limb in pairs]
    swapped = np.zeros((len(track), len(pairs)), bool)
    if not len(track) or not pairs:
        return track, []
    groups = {name: np.array([limb == name for limb in limbs]) for name in (*limbs, "arm", "leg")}
    for group in groups.values():
        swapped |= _found(track, pairs, group, options)
    # Arms and legs swapped means the whole body is.
    whole = np.all([swapped[:, groups[name]].any(axis=1) for name in ("arm", "leg")], axis=0)
    swapped |= whole[:, None] & _known(track, pairs)
    swapped = _possible(track, swapped, pairs)

    words = [set(track.skeleton.keypoints[left].split("_")) for left, *_ in pairs]
    below = [[bool(each & set(names)) for each in words] for names in BELOW.values()]
    for group in (np.ones(len(pairs), bool), *map(np.array, below)):
        mended, _ = _swap_pairs(track, swapped, pairs)
        more = _found(mended, pairs, group, options)
        swapped ^= _possible(mended, more, pairs)
    return _swap_pairs(track, swapped, pairs)


def _known(track: Track, pairs: list[tuple[int, int, str]]) -> np.ndarray:
    """(T, pairs) bool, whether a keypoint of the pair is known."""
    there = np.any(np.isfinite(track.xy), axis=-1)
    return np.stack([there[:, [left, right]].any(axis=1) for left, right, _ in pairs], axis=1)


def _found(
    track: Track, pairs: list[tuple[int, int, str]], group: np.ndarray, options: Options
) -> np.ndarray:
    """(T, pairs) bool, where a whole group of pairs, (pairs,) bool, is swapped."""
    swapped = np.zeros((len(track), len(pairs)), bool)
    if not group.any():
        return swapped
    gain = _gain(track, [pairs[p][:2] for p in np.flatnonzero(group)])
    clear, known = _clear(*gain, options), _known(track, pairs)
    for start, end in _couples(track.seconds, _mean(gain[0]), options):
        if (clear[start] or clear[end]) and not _against(gain[0][[start, end]], options):
            swapped[start:end] |= known[start:end] & group
    return swapped


def _possible(track: Track, swapped: np.ndarray, pairs: list[tuple[int, int, str]]) -> np.ndarray:
    """`swapped`, (T, pairs) bool, without runs of rows where bones would cross more often."""
    rows = np.flatnonzero(swapped.any(axis=1))
    trial, _ = _swap_pairs(track, swapped, pairs)
    possible = swapped.copy()
    for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
        if len(run) and _twist(trial, run[0], run[-1] + 1) > _twist(track, run[0], run[-1] + 1):
            possible[run] = False
    return possible


def _gain(track: Track, pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How much less pairs move if swapped; their motion if not swapped, and if swapped.

    All are (T, pairs), in trunks. The first is clipped to -1..1 to limit the effect of jumps.
    """
    stays, turned = (np.full((len(track), len(pairs)), np.nan) for _ in range(2))
    trunk = _trunk(track)
    for p, pair in enumerate(pairs):
        both = track.xy[:, pair]
        last = _before(track, np.all(np.isfinite(both), axis=(1, 2)))
        was = np.where((last >= 0)[:, None, None], both[last], np.nan)
        stays[:, p] = np.linalg.norm(both - was, axis=-1).sum(axis=-1) / trunk
        turned[:, p] = np.linalg.norm(both - was[:, ::-1], axis=-1).sum(axis=-1) / trunk
    return np.nan_to_num(np.clip(stays - turned, -1, 1)), stays, turned


def _mean(gain: np.ndarray) -> np.ndarray:
    """(T,) mean of (T, pairs), over pairs above `HINT`."""
    told = np.abs(gain) > HINT
    return np.where(told, gain, 0).sum(axis=1) / np.maximum(told.sum(axis=1), 1)


def _clear(gain: np.ndarray, stays: np.ndarray, turned: np.ndarray, options: Options) -> np.ndarray:
    """(T,) bool, whether left and right change places there; `AGREE` of the pairs agree."""
    count = np.maximum((np.abs(gain) > HINT).sum(axis=1), 1)
    clear = _mean(gain) > options.apart
    clear &= np.nansum(np.minimum(stays, 2), axis=1) > options.ratio * np.nansum(
        np.minimum(turned, 2), axis=1
    )
    return clear & ((gain > HINT).sum(axis=1) >= AGREE * count)


def _against(ends: np.ndarray, options: Options) -> bool:
    """Whether too many pairs, (2, pairs) at both ends, disagree: in a limb, any."""
    against = (ends.sum(axis=0) < -options.apart).sum()
    return against > (1 - AGREE) * ends.shape[1] if ends.shape[1] > WHOLE else against > 0


def _twist(track: Track, start: int, end: int) -> int:
    """How often in those rows a trunk or leg bone crosses that of the other side."""

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        (ux, uy), (vx, vy) = (q - p).T, (r - p).T
        return ux * vy - uy * vx

    count = 0
    for upper, lower in BONES:
        names = [f"{which}_{name}" for name in (upper, lower) for which in ("left", "right")]
        if all(name in track.skeleton.keypoints for name in names):
            a, b, c, d = (track[name].xy[start:end] for name in names)
            crossed = (side(a, c, b) * side(a, c, d) < 0) & (side(b, d, a) * side(b, d, c) < 0)
            count += int(crossed.sum())
    return count


def _left(track: Track, options: Options) -> list[Repaired]:
    """Frames where left and right still change places; which half is right is unknown."""
    pairs = [pair[:2] for pair in _pairs(track.skeleton)]
    if len(track) < 2 or not pairs:
        return []
    gain = _gain(track, pairs)
    both = np.array(pairs)
    return [
        _change(track, t, LEFT, both.ravel(), np.zeros(1))
        for t in np.flatnonzero(_clear(*gain, options)).tolist()
    ]


def _couples(seconds: np.ndarray, gain: np.ndarray, options: Options) -> Iterator[tuple[int, int]]:
    """First rows swapped and first rows no longer so, by the most likely sequence (Viterbi 1967).

    A change of state at a row gains the reduction in motion and costs `apart`; the swapped state
    costs `LONG` per second, so that of two sequences that fit, the shorter swaps are taken.
    """
    best, back = [0.0, -np.inf], np.zeros((len(gain), 2), bool)
    for t in range(1, len(gain)):
        change = gain[t] - options.apart
        cost = LONG * (seconds[t] - seconds[t - 1])
        back[t] = best[1] + change > best[0], best[0] + change > best[1]
        best = [
            max(best[0], best[1] + change),
            max(best[1], best[0] + change) - cost,
        ]
    state = np.zeros(len(gain) + 1, bool)
    state[-2] = best[1] > best[0]
    for t in range(len(gain) - 1, 0, -1):
        state[t - 1] = state[t] ^ back[t, int(state[t])]
    starts = np.flatnonzero(state[1:] & ~state[:-1]) + 1
    for start in starts[starts < len(gain)].tolist():
        end = start + int(np.argmin(state[start:]))
        if end < len(gain) and seconds[end] - seconds[start] <= options.swap:
            yield start, end


def _swap_pairs(
    track: Track, swapped: np.ndarray, pairs: list[tuple[int, int, str]]
) -> tuple[Track, list[Repaired]]:
    rows = np.flatnonzero(swapped.any(axis=1))
    if not len(rows):
        return track, []
    values: dict[str, Any] = {"score": track.score.copy()}
    values |= {name: at.copy() for name, at in track.places.items()}
    changes = []
    for t in rows:
        which = [pairs[p] for p in np.flatnonzero(swapped[t])]
        order = np.array([k for left, right, _ in which for k in (left, right)])
        other = np.array([k for left, right, _ in which for k in (right, left)])
        for each in values.values():
            each[t, order] = each[t, other]
        moved = np.linalg.norm(track.xy[t, order] - track.xy[t, other], axis=-1)
        changes.append(_change(track, int(t), "swap", order, moved))
    return replace(track, **values), changes


def _change(track: Track, t: int, kind: str, keypoints: np.ndarray, moved: np.ndarray) -> Repaired:
    names = tuple(track.skeleton.keypoints[k] for k in sorted(keypoints.tolist()))
    at, mean = int(track.index[t]), float(np.nanmean(moved))
    return Repaired(at, float(track.seconds[t]), track.person, kind, names, round(mean, 2))


def _jumps(track: Track, options: Options) -> tuple[Track, list[Repaired]]:
    if len(track) < 3:
        return track, []
    far = options.far * _trunk(track)
    line = np.full_like(track.xy, np.nan)  # interpolated places
    weight = np.zeros(track.score.shape)  # 0..1 along the line
    ends = np.zeros((*track.score.shape, 2), np.int64)
    for k in range(len(track.skeleton)):
        rows = np.flatnonzero(np.isfinite(track.xy[:, k]).all(axis=-1))
        at, when = track.xy[rows, k], track.seconds[rows]
        backs, i = _backs(at, when, far, options), 1
        while i < len(rows) - 1:
            end = int(backs[i])
            for j in range(i, end):
                share = (when[j] - when[i - 1]) / (when[end] - when[i - 1])
                line[rows[j], k] = at[i - 1] + share * (at[end] - at[i - 1])
                weight[rows[j], k] = share
                ends[rows[j], k] = rows[i - 1], rows[end]
            i = max(end, i + 1)
    return _put(track, line, weight, ends)


def _backs(at: np.ndarray, when: np.ndarray, far: float, options: Options) -> np.ndarray:
    """(R,) of (R, 2) places: first row after a jump that begins at a row; that row if none."""
    backs = np.arange(len(at))
    for lasts in range(1, len(at) - 1):  # rows
        i = np.arange(1, len(at) - lasts)
        start, end = i - 1, i + lasts
        span = when[end] - when[start]
        soon = span <= options.jump + 1e-6
        if not soon.any():
            break
        way, off = at[end] - at[start], np.full(len(i), np.inf)
        for j in range(lasts):
            share = (when[i + j] - when[start]) / span
            off = np.minimum(
                off, np.linalg.norm(at[i + j] - at[start] - share[:, None] * way, axis=-1)
            )
        step = np.linalg.norm(way, axis=-1) / (lasts + 1)
        found = soon & (off > far) & (step < options.step * off) & (backs[i] == i)
        backs[i[found]] = end[found]
    return backs


def _put(
    track: Track, line: np.ndarray, weight: np.ndarray, ends: np.ndarray
) -> tuple[Track, list[Repaired]]:
    jumped = np.all(np.isfinite(line), axis=-1)
    if not jumped.any():
        return track, []
    xy, score = np.where(jumped[..., None], line, track.xy), track.score.copy()
    metres: dict[str, Any] = {name: at.copy() for name, at in track.places.items() if name != "xy"}
    for t, k in zip(*np.nonzero(jumped), strict=True):
        a, b = ends[t, k]
        score[t, k] = min(track.score[t, k], track.score[a, k], track.score[b, k])
        for name, at in metres.items():
            was = track.places[name]
            at[t, k] = was[a, k] + weight[t, k] * (was[b, k] - was[a, k])
    changes = []
    for t in np.flatnonzero(jumped.any(axis=1)):
        which = np.flatnonzero(jumped[t])
        moved = np.linalg.norm(xy[t, which] - track.xy[t, which], axis=-1)
        changes.append(_change(track, int(t), "jump", which, moved))
    return replace(track, xy=xy, score=score, **metres), changes
