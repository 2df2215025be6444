"""Left/right swaps in a track, see `repair`: which rows and limbs, and exchanging them back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.track import Track
from vitruvian.streams.repaired import LEFT, Options, Repaired, change_at, trunk_length

HINT = 0.08  # trunks, minimum difference in motion of a pair that counts, above noise
LONG = 0.2  # trunks per second, cost of a swap
AGREE = 0.75  # of the pairs of a group that count
BONES = (("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"))  # that seldom cross
WHOLE = 7  # pairs; in a larger group some may disagree, as hands do
STALE = 0.25  # seconds after which the last place of a keypoint is not used
BELOW = {  # words in the names of keypoints below a joint
    "hip": ("knee", "ankle", "heel", "toe", "foot"),
    "knee": ("ankle", "heel", "toe", "foot"),
    "shoulder": ("elbow", "wrist", "hand", "pinky", "index", "thumb", "finger"),
    "elbow": ("wrist", "hand", "pinky", "index", "thumb", "finger"),
}
HAND = "hand"  # the limb of all keypoints of hands
PARTS = {  # words in the names of keypoints -> limb; a pair without any is a limb by itself
    "leg": ("hip", "knee", "ankle", "heel", "toe", "foot"),
    "arm": ("shoulder", "collar", "elbow", "wrist", "hand", "pinky", "index", "thumb", "finger"),
    "head": ("eye", "ear", "mouth", "brow", "jaw", "lip", "nostril"),
}


def mend_swaps(track: Track, options: Options) -> tuple[Track, list[Repaired]]:
    """The track without swaps, and the changes.

    Swaps of limbs first, then of the whole body and of parts below a joint.
    """
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

    words = [{*track.skeleton.keypoints[left].split("_"), limb} for left, _, limb in pairs]
    below = [[bool(each & set(names)) for each in words] for names in BELOW.values()]
    for group in (np.ones(len(pairs), bool), *map(np.array, below)):
        mended, _ = _swap_pairs(track, swapped, pairs)
        more = _found(mended, pairs, group, options)
        swapped ^= _possible(mended, more, pairs)
    return _swap_pairs(track, swapped, pairs)


def mend_hands(track: Track, options: Options) -> tuple[Track, list[Repaired]]:
    """The track with each hand on the side whose wrist is at its root, and the changes.

    Hands whose results were exchanged are exchanged back, as a whole; also where only one was
    found. Wrists are those of the body, whose own swaps are mended before.
    """
    pairs = [pair for pair in _pairs(track.skeleton) if pair[2] == HAND]
    places = [track.skeleton.places.get(f"{side}_wrist", ()) for side in ("left", "right")]
    if not len(track) or not pairs or any(len(own) != 1 for own in places):
        return track, []
    roots, wrists = (track.xy[:, ks] for ks in (list(pairs[0][:2]), [own[0] for own in places]))
    stays, turned = (np.linalg.norm(roots - at, axis=-1) for at in (wrists, wrists[:, ::-1]))
    known = np.isfinite(stays + turned)
    stays, turned = (np.where(known, each, 0).sum(axis=1) for each in (stays, turned))
    wrong = stays - turned > options.apart * trunk_length(track)
    wrong &= stays > options.ratio * turned
    return _swap_pairs(track, np.repeat(wrong[:, None], len(pairs), axis=1), pairs)


def swaps_left(track: Track, options: Options) -> list[Repaired]:
    """Frames where left and right still change places; which half is right is unknown."""
    pairs = [pair[:2] for pair in _pairs(track.skeleton) if pair[2] != HAND]
    if len(track) < 2 or not pairs:
        return []
    gain = _gain(track, pairs)
    both = np.array(pairs)
    return [
        change_at(track, t, LEFT, both.ravel(), np.zeros(1))
        for t in np.flatnonzero(_clear(*gain, options)).tolist()
    ]


def _pairs(skeleton: Skeleton) -> list[tuple[int, int, str]]:
    """Left keypoint, right keypoint, limb; keypoints of a mesh have no sides."""
    pairs, hand = [], skeleton.parts.get("left_hand", ())
    for k, other in enumerate(skeleton.mirror.tolist()):
        if skeleton.sides[k] == "left" and other != k:
            words = skeleton.keypoints[k].split("_")
            limbs = [part for part, names in PARTS.items() if set(names) & set(words)]
            limb = HAND if k in hand else limbs[0] if limbs else skeleton.keypoints[k]
            pairs.append((k, other, limb))
    return pairs


def _before(track: Track, known: np.ndarray) -> np.ndarray:
    """(T,) row of the last known place before each row; -1 if there is none, or it is stale."""
    rows = np.where(known, np.arange(len(known)), -1)
    last = np.concatenate([[-1], np.maximum.accumulate(rows)[:-1]])
    stale = track.seconds - track.seconds[last] > STALE
    return np.where(stale, -1, last)


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
    trunk = trunk_length(track)
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
        changes.append(change_at(track, int(t), "swap", order, moved))
    return replace(track, **values), changes
