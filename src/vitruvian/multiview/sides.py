"""Left and right exchanged in a view: found where the views contradict each other, and mended.

Mirrored keypoints are taken in groups (legs, arms, head), as networks exchange whole groups. Two
views agree if a keypoint of one lies near the epipolar line of the same keypoint of the other, and
contradict each other if it lies nearer to that of its mirror image. This tells which views differ,
not which are right: the fewer are exchanged, unless the body would jump from one frame to the next,
or the hips or the head would face the other way than the shoulders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.multiview.triangulation import Rig, triangulate_points

CAP = 3.0  # largest distance of a keypoint from an epipolar line that counts, in `near`
EXCHANGE = 1.0  # what an exchange costs, in `near` of each pair of keypoints
CHANGE = 0.5  # what another exchange than in the frame before costs, the same
JUMP = 0.25  # metres; a larger movement from frame to frame costs no more
PER_METRE = 40.0  # what a movement costs, in `near` of each pair of keypoints
ENOUGH = 10  # frames that tell how long a bone is
STEADY = 0.02  # metres; no bone is measured better
TELLS = 0.15  # of its length: a bone that usually deviates by more tells nothing
STRANGE = 8.0  # times its usual deviation; a stranger bone counts no more
GROUPS = {
    "legs": ("hip", "knee", "ankle", "heel", "toe", "foot"),
    "arms": ("shoulder", "elbow", "wrist", "hand", "thumb", "index", "pinky"),
    "head": ("eye", "ear", "mouth"),
}


def groups(skeleton: Skeleton) -> list[np.ndarray]:
    """(P, 2) indices of mirrored keypoints, left and right, of each group of a skeleton."""
    found: dict[str, list[tuple[int, int]]] = {}
    for a, b in enumerate(skeleton.mirror.tolist()):
        if a >= b:
            continue
        name = skeleton.keypoints[a]
        words = (key for key, parts in GROUPS.items() if any(part in name for part in parts))
        found.setdefault(next(words, "others"), []).append((a, b))
    return [np.array(pairs) for pairs in found.values()]


def line_distance(rig: Rig, u: int, v: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(...) pixels, the mean distance of points from the epipolar lines of each other."""
    return np.abs(signed_line_distance(rig, u, v, a, b))


def signed_line_distance(rig: Rig, u: int, v: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(...) pixels, the same, positive on one side of the lines and negative on the other.

    Args:
        rig: the cameras.
        u: the view of `a`.
        v: the view of `b`.
        a: (..., 2) normalized coordinates.
        b: (..., 2) the same.
    """
    e = rig.epipolar(u, v)
    xa, ya, xb, yb = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    # The lines of `a` in the other image, and of `b`.
    x, y = e[0, 0] * xa + e[0, 1] * ya + e[0, 2], e[1, 0] * xa + e[1, 1] * ya + e[1, 2]
    off = xb * x + yb * y + (e[2, 0] * xa + e[2, 1] * ya + e[2, 2])
    there = 1 / _steepness(x, y, rig.focal[v])
    x, y = e[0, 0] * xb + e[1, 0] * yb + e[2, 0], e[0, 1] * xb + e[1, 1] * yb + e[2, 1]
    return off / 2 * (1 / _steepness(x, y, rig.focal[u]) + there)


def _steepness(x: np.ndarray, y: np.ndarray, focal: np.ndarray) -> np.ndarray:
    """(...) by how much the value of a line (x, y, z) grows with each pixel away from it."""
    x, y = x / focal[0], y / focal[1]
    return np.maximum(np.sqrt(x * x + y * y), 1e-12)


def exchanged(
    rig: Rig, skeleton: Skeleton, at: np.ndarray, weight: np.ndarray, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The order of keypoints that makes the views of one person agree.

    Args:
        rig: the V cameras.
        skeleton: of the K keypoints.
        at: (T, V, K, 2) normalized coordinates; NaN where missing.
        weight: (T, V, K) scores.
        near: (V,) pixels, how far off a keypoint usually is at most.

    Returns:
        order: (T, V, K) indices of the keypoints of each view.
        swapped: (T, V) bool, where any group is exchanged.
    """
    t, views, k = weight.shape
    order = np.broadcast_to(np.arange(k), (t, views, k)).copy()
    swapped = np.zeros((t, views), bool)
    found = [_Group.of(rig, skeleton, pairs, at, weight, near) for pairs in groups(skeleton)]
    if not any(group.signs.any() for group in found):
        return order, swapped
    turned = _steady(rig, skeleton, found, at, weight, near)
    for group, turn in zip(found, turned.T, strict=True):
        signs = (group.signs ^ turn[:, None]) & (group.counted > 0)
        rows, which = np.nonzero(signs)
        for a, b in group.pairs:
            order[rows, which, a], order[rows, which, b] = b, a
        swapped |= signs
    return order, swapped


@dataclass(frozen=True, eq=False)
class _Group:
    """Mirrored keypoints that are exchanged together."""

    pairs: np.ndarray  # (P, 2) left, right
    counted: np.ndarray  # (T, V) scores of pairs that a view has both of
    signs: np.ndarray  # (T, V) bool, the views that differ from the others

    @classmethod
    def of(
        cls,
        rig: Rig,
        skeleton: Skeleton,
        pairs: np.ndarray,
        at: np.ndarray,
        weight: np.ndarray,
        near: np.ndarray,
    ) -> _Group:
        t, views, _ = weight.shape
        left, right = pairs.T
        there = np.isfinite(at).all(axis=-1)
        weight = np.where(there, weight, 0)
        scale = float(near.mean())
        both = np.minimum(weight[:, :, left], weight[:, :, right])  # (T, V, P)
        patterns = np.array([(False, *rest) for rest in product((False, True), repeat=views - 1)])
        cost = np.zeros((t, len(patterns)))
        for u, v in combinations(range(views), 2):
            trust = np.minimum(both[:, u], both[:, v])
            cap = CAP * scale
            off = [
                np.where(trust > 0, line_distance(rig, u, v, at[:, u][:, i], at[:, v][:, j]), 0)
                for i, j in ((left, left), (right, right), (left, right), (right, left))
            ]
            ll, rr, lr, rl = (np.minimum(each, cap) for each in off)
            gain = (trust * (lr + rl - ll - rr)).sum(axis=1) / scale
            cost += np.where(patterns[:, u] == patterns[:, v], 0.0, gain[:, None])
        if views == 2:
            cost += _strange_lengths(rig, skeleton, pairs, at, weight, near)
        # Which pattern, up to exchanging all views: views without both keypoints do not count.
        counted = both.sum(axis=2)
        few = np.minimum(counted @ patterns.T, counted @ ~patterns.T)
        return cls(pairs, counted, patterns[_path(cost + 2 * EXCHANGE * few)])


def _in_3d(
    rig: Rig,
    pairs: np.ndarray,
    at: np.ndarray,
    weight: np.ndarray,
    near: np.ndarray,
    signs: np.ndarray,
) -> np.ndarray:
    """(T, 2, P, 3) metres of left and right, with left and right exchanged where (T, V) signs."""
    left, right = pairs.T
    t, views, _ = weight.shape

    def ordered(values: np.ndarray) -> np.ndarray:
        a, b = values[:, :, left], values[:, :, right]
        mask = signs.reshape(*signs.shape, *([1] * (values.ndim - 2)))
        return np.concatenate([np.where(mask, b, a), np.where(mask, a, b)], axis=2)

    points, scores = ordered(at), ordered(weight)
    flat = points.transpose(0, 2, 1, 3).reshape(-1, views, 2)
    found = triangulate_points(rig, flat, scores.transpose(0, 2, 1).reshape(-1, views), near)
    return found.world.reshape(t, 2, len(pairs), 3)


def _strange_lengths(
    rig: Rig,
    skeleton: Skeleton,
    pairs: np.ndarray,
    at: np.ndarray,
    weight: np.ndarray,
    near: np.ndarray,
) -> np.ndarray:
    """(T, 2) how unusual bones are, as they are and with the second of two views exchanged.

    Epipolar lines of two cameras at one height are level and cannot tell left from right; but the
    left shoulder of one view and the right one of the other meet in front of or behind the body.
    """
    place = {int(k): (side, p) for p, pair in enumerate(pairs) for side, k in enumerate(pair)}
    bones = [(place[a], place[b]) for a, b in skeleton.bones if a in place and b in place]
    cost = np.zeros((len(at), 2))
    ways = [
        _in_3d(rig, pairs, at, weight, 2 * near, np.broadcast_to([False, second], weight.shape[:2]))
        for second in (False, True)
    ]
    for (side, p), (other, q) in bones:
        far = np.stack([np.linalg.norm(w[:, side, p] - w[:, other, q], axis=-1) for w in ways], 1)
        if not _tells(far[:, 0]):
            continue
        strange = np.abs(far - np.nanmedian(far[:, 0]))
        usual = max(float(np.nanmedian(strange[:, 0])), STEADY)
        both = np.isfinite(far).all(axis=1, keepdims=True)
        cost += np.where(both, np.minimum(strange / usual, STRANGE), 0)
    return cost


def _tells(length: np.ndarray) -> bool:
    """Whether (T,) metres between two keypoints vary so little that they tell left from right."""
    known = length[np.isfinite(length)]
    if len(known) < ENOUGH:
        return False
    usual = float(np.median(known))
    return float(np.median(np.abs(known - usual))) <= TELLS * usual


def _path(cost: np.ndarray) -> np.ndarray:
    """(T,) the states of the cheapest path through (T, S) costs, where a change costs `CHANGE`."""
    t = len(cost)
    least = cost.argmin(axis=1)
    if (least == least[0]).all():
        return least
    total, stays = cost[0].copy(), np.zeros(cost.shape, bool)
    lowest = np.zeros(t, np.int64)
    for i in range(1, t):
        lowest[i] = total.argmin()
        reached = total[lowest[i]] + CHANGE
        stays[i] = total <= reached
        total = np.where(stays[i], total, reached) + cost[i]
    states = np.zeros(t, np.int64)
    states[-1] = total.argmin()
    for i in range(t - 1, 0, -1):
        states[i - 1] = states[i] if stays[i, states[i]] else lowest[i]
    return states


def _steady(
    rig: Rig,
    skeleton: Skeleton,
    found: Sequence[_Group],
    at: np.ndarray,
    weight: np.ndarray,
    near: np.ndarray,
) -> np.ndarray:
    """(T, G) bool, whether all views of a group are exchanged besides: the cheapest path (Viterbi).

    Groups without a view that differs stay as they are, and tell which way the body faces.
    """
    free = [bool(group.signs.any()) for group in found]
    states = np.array(list(product(*((False, True) if each else (False,) for each in free))))
    t, changes = len(at), states[:, None] != states  # (S, S, G)
    cost, stays, turns = np.zeros((t, len(states))), np.zeros(t), np.zeros((t, len(found)))
    facing: dict[str, tuple[int, np.ndarray]] = {}
    for g, group in enumerate(found):
        world = _in_3d(rig, group.pairs, at, weight, near, group.signs)
        for pair, (left, _) in enumerate(group.pairs):
            part, across = skeleton.keypoints[left], world[:, 1, pair] - world[:, 0, pair]
            if _tells(np.linalg.norm(across, axis=-1)):
                facing[part.removeprefix("left_")] = g, np.nan_to_num(across)
        if free[g]:
            flips = [(group.counted * side).sum(axis=1) for side in (group.signs, ~group.signs)]
            cost += 2 * EXCHANGE * np.stack(flips, axis=1)[:, states[:, g].astype(int)]
            same, other = _jumps(world)
            stays += same
            turns[:, g] = other - same
    for one, two in (("shoulder", "hip"), ("shoulder", "ear"), ("shoulder", "eye")):
        if one in facing and two in facing:
            (a, across), (b, other) = facing[one], facing[two]
            length = np.linalg.norm(across, axis=1)
            along = (across * other).sum(axis=1) / np.maximum(length, 1e-9)
            opposite = np.where(states[:, a] ^ states[:, b], along[:, None], -along[:, None])
            cost += PER_METRE * np.maximum(opposite, 0)
    total, came = cost[0], np.zeros((t, len(states)), np.int64)
    for i in range(1, t):
        ways = total[:, None] + stays[i] + changes @ turns[i]
        came[i] = ways.argmin(axis=0)
        total = ways.min(axis=0) + cost[i]
    path = np.zeros(t, np.int64)
    path[-1] = int(total.argmin())
    for i in range(t - 1, 0, -1):
        path[i - 1] = came[i, path[i]]
    return states[path]


def _jumps(world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T,) what it costs that (T, 2, P, 3) are where they last were, and on the other side."""
    t, pairs = len(world), np.arange(world.shape[2])
    seen = np.isfinite(world[:, 0] + world[:, 1]).all(axis=2)  # (T, P)
    last = np.maximum.accumulate(np.where(seen, np.arange(t)[:, None], -1), axis=0)
    last = np.concatenate([np.full((1, len(pairs)), -1), last[:-1]])
    before = world[np.maximum(last, 0), :, pairs].transpose(0, 2, 1, 3)
    before = np.where((last >= 0)[:, None, :, None], before, np.nan)
    costs = list[np.ndarray]()
    for was in (before, before[:, ::-1]):
        moved = np.nan_to_num(np.linalg.norm(world - was, axis=-1), nan=JUMP)
        costs.append(PER_METRE * moved.clip(0, JUMP).sum(axis=2).sum(axis=1))
    return costs[0], costs[1]
