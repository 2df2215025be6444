"""Repair: left and right exchanged for a moment, and keypoints that jump away and back, mended.

Only what is clear, and never silently: every change is in the list that comes with the track, and
what came in is its `raw`. Lengths are in trunks (middle of the shoulders to middle of the hips, the
median of the track), so that they hold for people of any size in the picture.

- Swap: from one frame to the next, keypoints of a pair fit where the other one was, and not where
  they were themselves; and back, within `swap` seconds. Who really turns round passes through a
  moment in which left and right are at one place, so nothing ever fits better exchanged. Pairs too
  close together to tell go with the rest of their limb if that is exchanged, and they fit so.
- Jump: a keypoint is far off the line from where it was before to where it is after, and off it in
  one step, within `jump` seconds. It is put on that line.

A swap that begins or ends outside the track has one end only, and is left: which half is right
cannot be told from motion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError

TRUNK = 0.29  # of the height of the box, where no trunk was ever seen; of a standing adult
HINT = 0.08  # trunks, by how much less a pair moves, at both ends, that goes with its limb: noise
STALE = 0.25  # seconds after which a place says nothing of where a keypoint should be
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
    if not len(track):
        return track, []
    trunk, pairs = _trunk(track), _pairs(track.skeleton)
    turns: list[np.ndarray] = []  # of each pair (T,): how much less it moves if exchanged, trunks
    spans: list[list[tuple[int, int]]] = []  # of each pair: first row exchanged, first row not
    for left, right, _ in pairs:
        both = track.xy[:, [left, right]]
        last = _before(track, np.all(np.isfinite(both), axis=(1, 2)))
        was = np.where((last >= 0)[:, None, None], both[last], np.nan)
        stays = np.linalg.norm(both - was, axis=-1).sum(axis=-1) / trunk
        turned = np.linalg.norm(both - was[:, ::-1], axis=-1).sum(axis=-1) / trunk
        turns.append(stays - turned)
        clear = (stays - turned > options.apart) & (stays > options.ratio * turned)
        spans.append(list(_couples(track, np.flatnonzero(clear), options.swap)))
    swapped = np.zeros((len(track), len(pairs)), bool)
    for p, own in enumerate(spans):
        for start, end in own:
            swapped[start:end, p] = True
    _join_limbs(swapped, spans, turns, [limb for *_, limb in pairs], options)
    for p, (left, right, _) in enumerate(pairs):  # where neither was found nothing is exchanged
        swapped[:, p] &= np.isfinite(track.xy[:, [left, right]]).any(axis=(1, 2))
    return _exchange(track, swapped, pairs)


def _couples(track: Track, turns: np.ndarray, longest: float) -> Iterator[tuple[int, int]]:
    """Rows at which a pair is exchanged and exchanged back, soon enough."""
    i = 0
    while i + 1 < len(turns):
        start, end = int(turns[i]), int(turns[i + 1])
        if track.seconds[end] - track.seconds[start] <= longest:
            yield start, end
            i += 2
        else:
            i += 1


def _join_limbs(
    swapped: np.ndarray,
    spans: list[list[tuple[int, int]]],
    turns: list[np.ndarray],
    limbs: list[str],
    options: Options,
) -> None:
    """Pairs that cannot be told go with those of their limb that are exchanged, if they fit so."""
    for p, own in enumerate(spans):
        for start, end in own:
            for q, limb in enumerate(limbs):
                if limb != limbs[p] or swapped[start:end, q].any():
                    continue
                ends = turns[q][[start, end]]
                if ends.sum() > HINT and ends.min() > -options.apart:
                    swapped[start:end, q] = True


def _exchange(
    track: Track, swapped: np.ndarray, pairs: list[tuple[int, int, str]]
) -> tuple[Track, list[Change]]:
    rows = np.flatnonzero(swapped.any(axis=1))
    if not len(rows):
        return track, []
    xy, score = track.xy.copy(), track.score.copy()
    xyz = None if track.xyz is None else track.xyz.copy()
    changes = []
    for t in rows:
        which = [pairs[p] for p in np.flatnonzero(swapped[t])]
        order = np.array([k for left, right, _ in which for k in (left, right)])
        other = np.array([k for left, right, _ in which for k in (right, left)])
        for values in (xy, score, *(() if xyz is None else (xyz,))):
            values[t, order] = values[t, other]
        moved = np.linalg.norm(track.xy[t, order] - track.xy[t, other], axis=-1)
        changes.append(_change(track, int(t), "swap", order, moved))
    return replace(track, xy=xy, score=score, xyz=xyz), changes


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
        i = 1
        while i < len(rows) - 1:
            end = _back(at, when, i, far, options)
            for j in range(i, end):
                share = (when[j] - when[i - 1]) / (when[end] - when[i - 1])
                line[rows[j], k] = at[i - 1] + share * (at[end] - at[i - 1])
                weight[rows[j], k] = share
                ends[rows[j], k] = rows[i - 1], rows[end]
            i = max(end, i + 1)
    return _put(track, line, weight, ends)


def _back(at: np.ndarray, when: np.ndarray, i: int, far: float, options: Options) -> int:
    """The first row after a jump that begins at row i; i if none does."""
    start, end = i - 1, i + 1
    while end < len(at) and when[end] - when[start] <= options.jump + 1e-6:
        share = (when[i:end] - when[start]) / (when[end] - when[start])
        line = at[start] + share[:, None] * (at[end] - at[start])
        off = float(np.linalg.norm(at[i:end] - line, axis=-1).min())
        step = np.linalg.norm(at[end] - at[start]) / (end - start)
        if off > far and step < options.step * off:
            return end
        end += 1
    return i


def _put(
    track: Track, line: np.ndarray, weight: np.ndarray, ends: np.ndarray
) -> tuple[Track, list[Change]]:
    jumped = np.all(np.isfinite(line), axis=-1)
    if not jumped.any():
        return track, []
    xy, score = np.where(jumped[..., None], line, track.xy), track.score.copy()
    xyz = None if track.xyz is None else track.xyz.copy()
    for t, k in zip(*np.nonzero(jumped), strict=True):
        a, b = ends[t, k]
        score[t, k] = min(track.score[t, k], track.score[a, k], track.score[b, k])
        if xyz is not None and track.xyz is not None:
            xyz[t, k] = track.xyz[a, k] + weight[t, k] * (track.xyz[b, k] - track.xyz[a, k])
    changes = []
    for t in np.flatnonzero(jumped.any(axis=1)):
        which = np.flatnonzero(jumped[t])
        moved = np.linalg.norm(xy[t, which] - track.xy[t, which], axis=-1)
        changes.append(_change(track, int(t), "jump", which, moved))
    return replace(track, xy=xy, score=score, xyz=xyz), changes
