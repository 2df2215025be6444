"""Repair: left and right exchanged for a moment, and keypoints that jump away and back, mended.

Only what is clear, and never silently: every change is in the list that comes with the track, and
what came in is its `raw`. Lengths are in trunks (middle of the shoulders to middle of the hips, the
median of the track), so that they hold for people of any size in the picture.

- Swap: from one frame to the next, keypoints of a pair fit where the other one was, and not where
  they were themselves; and back, within `swap` seconds. Of all courses the likeliest is taken.
  Who really turns round passes through a moment in which left and right are at one place, so
  nothing ever fits better exchanged. The body is looked at as a whole first, then by limbs, then
  by pairs: many say more than one.
- Jump: a keypoint is far off the line from where it was before to where it is after, and off it in
  one step, within `jump` seconds. It is put on that line.

A swap that begins or ends outside the track has one end only, and is left: which half is right
cannot be told from motion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError
from vitruvian.track.windows import Pair, changed, put, windows

TRUNK = 0.29  # of the height of the box, where no trunk was ever seen; of a standing adult
HINT = 0.08  # trunks; by how much less a pair must move to say anything, beside noise
LONG = 0.2  # trunks a second
AGREE = 0.75  # of the pairs of a group that say something
STALE = 0.25  # seconds after which a place says nothing of where a keypoint should be
REACH = 3.0  # seconds; what is farther away has no part in what is mended, see `stream`
PARTS = {  # words in the names of keypoints -> limb; what has none of them is a limb by itself
    "leg": ("hip", "knee", "ankle", "heel", "toe", "foot"),
    "arm": ("shoulder", "collar", "elbow", "wrist", "hand", "pinky", "index", "thumb", "finger"),
    "head": ("eye", "ear", "mouth", "brow", "jaw", "lip", "nostril"),
}


@dataclass(frozen=True)
class Options:
    """What is clear."""

    swap: float = 1.0  # seconds, a longer one is not mended
    apart: float = 0.25  # trunks, by how much less a pair moves in all if exchanged
    ratio: float = 3.0  # and how many times less
    jump: float = 0.12  # seconds between the places before and after
    far: float = 0.35  # trunks, off the line between those two
    step: float = 0.5  # of that, the line may be long for each frame it lasts

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) not in (int, float) or not value >= 0:
                raise VitruvianError(f"{field.name} is {value!r}, want a number from 0")


@dataclass(frozen=True)
class Change:
    """What was mended in one frame."""

    index: int  # of the frame
    seconds: float
    person: int
    kind: str  # "swap" or "jump"
    keypoints: tuple[str, ...]
    distance: float  # pixels that they were moved, on average


def repair(track: Track, options: Options = Options()) -> tuple[Track, list[Change]]:
    """The track mended, with that which came in as `raw`, and what was changed, by time."""
    mended, swaps = _swaps(track, options)
    mended, jumps = _jumps(mended, options)
    changes = sorted([*swaps, *jumps], key=lambda change: (change.index, change.kind))
    return (replace(mended, raw=track) if changes else track), changes


def stream(
    pairs: Iterable[Pair],
    tell: Callable[[Change], None] = lambda change: None,
    options: Options = Options(),
) -> Iterator[Pair]:
    """The same frames with poses mended, `raw` beside those that were; of any length.

    Args:
        pairs: frames of a recording in order, with numbered people.
        tell: gets every change, before the frame it is in is given.
        options: what is clear.
    """
    for window, part in windows(pairs, REACH):
        found: dict[int, list[Change]] = {}

        def mend(track: Track, found: dict[int, list[Change]] = found) -> Track:
            mended, changes = repair(track, options)
            for change in changes:
                found.setdefault(change.index, []).append(change)
            return mended

        people = changed(window, mend)
        for i in part:
            frame, poses = window[i]
            for change in (here := found.get(frame.index, [])):
                tell(change)
            yield frame, _exchanged(put(poses, i, people), here) if here else poses


def _exchanged(poses: Poses, changes: list[Change]) -> Poses:
    """With what a track does not have exchanged as well: BlazePose's depth and presence."""
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
    """Pixels."""
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
        if skeleton.sides[k] == "left":
            words = skeleton.keypoints[k].split("_")
            limbs = [part for part, names in PARTS.items() if set(names) & set(words)]
            pairs.append((k, other, limbs[0] if limbs else skeleton.keypoints[k]))
    return pairs


def _before(track: Track, known: np.ndarray) -> np.ndarray:
    """(T,) the row of the last known place before each row; -1 if there is none, or it is stale."""
    rows = np.where(known, np.arange(len(known)), -1)
    last = np.concatenate([[-1], np.maximum.accumulate(rows)[:-1]])
    stale = track.seconds - track.seconds[last] > STALE
    return np.where(stale, -1, last)


def _swaps(track: Track, options: Options) -> tuple[Track, list[Change]]:
    """First of the whole body, then of limbs, then of single pairs, in what is left."""
    pairs = _pairs(track.skeleton)
    limbs = [limb for *_, limb in pairs]
    groups = [
        list(range(len(pairs))),
        *([p for p, limb in enumerate(limbs) if limb == name] for name in dict.fromkeys(limbs)),
        *([p] for p in range(len(pairs))),
    ]
    swapped = np.zeros((len(track), len(pairs)), bool)
    mended = track
    for group in groups if len(track) else []:
        found = _swapped(mended, [pairs[p][:2] for p in group], options)
        if found.any():
            swapped[:, group] ^= found
            mended, _ = _exchange(track, swapped, pairs)
    return _exchange(track, swapped, pairs)


def _swapped(track: Track, pairs: list[tuple[int, int]], options: Options) -> np.ndarray:
    """(T, pairs) bool, where a group of pairs is exchanged, all that can be told together.

    How much less each moves if exchanged, in trunks, counts up to 1: nothing is known of those that
    jump. At one end at least three of four pairs agree, and those of which both ends together say
    nothing, or one the opposite, stay.
    """
    stays, turned = (np.full((len(track), len(pairs)), np.nan) for _ in range(2))
    known = np.zeros((len(track), len(pairs)), bool)
    trunk = _trunk(track)
    for p, pair in enumerate(pairs):
        both = track.xy[:, pair]
        known[:, p] = np.any(np.isfinite(both), axis=(1, 2))
        last = _before(track, np.all(np.isfinite(both), axis=(1, 2)))
        was = np.where((last >= 0)[:, None, None], both[last], np.nan)
        stays[:, p] = np.linalg.norm(both - was, axis=-1).sum(axis=-1) / trunk
        turned[:, p] = np.linalg.norm(both - was[:, ::-1], axis=-1).sum(axis=-1) / trunk
    gain = np.nan_to_num(np.clip(stays - turned, -1, 1))
    told = np.abs(gain) > HINT
    count = np.maximum(told.sum(axis=1), 1)
    mean = np.where(told, gain, 0).sum(axis=1) / count
    clear = mean > options.apart
    clear &= np.nansum(np.minimum(stays, 2), axis=1) > options.ratio * np.nansum(
        np.minimum(turned, 2), axis=1
    )
    clear &= (gain > HINT).sum(axis=1) >= AGREE * count
    swapped = np.zeros_like(known)
    for start, end in _couples(track.seconds, mean, options):
        ends = gain[[start, end]]
        if clear[start] or clear[end]:
            which = (ends.sum(axis=0) > HINT) & (ends.min(axis=0) > -options.apart)
            swapped[start:end] |= which & known[start:end]
    return swapped


def _couples(seconds: np.ndarray, gain: np.ndarray, options: Options) -> Iterator[tuple[int, int]]:
    """First rows exchanged and first rows not, of the likeliest course of being so or not.

    Changing over at a row gains what is moved less there and costs `apart`; to be exchanged costs
    `LONG` a second, so that of two courses that fit the shorter swaps are taken. (Viterbi 1967)
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


def _exchange(
    track: Track, swapped: np.ndarray, pairs: list[tuple[int, int, str]]
) -> tuple[Track, list[Change]]:
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


def _change(track: Track, t: int, kind: str, keypoints: np.ndarray, moved: np.ndarray) -> Change:
    names = tuple(track.skeleton.keypoints[k] for k in sorted(keypoints.tolist()))
    at, mean = int(track.index[t]), float(np.nanmean(moved))
    return Change(at, float(track.seconds[t]), track.person, kind, names, round(mean, 2))


def _jumps(track: Track, options: Options) -> tuple[Track, list[Change]]:
    if len(track) < 3:
        return track, []
    far = options.far * _trunk(track)
    line = np.full_like(track.xy, np.nan)  # where to put what jumps
    weight = np.zeros(track.score.shape)  # how far along the line
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
    """(R,) of (R, 2) places: the first row after a jump that begins at a row; that row if none."""
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
) -> tuple[Track, list[Change]]:
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
