"""Left and right exchanged in a view: found where the views contradict each other, and mended.

Mirrored keypoints are taken in groups (legs, arms, head), as networks exchange whole groups. Two
views agree if a keypoint of one lies near the epipolar line of the same keypoint of the other, and
contradict each other if it lies nearer to that of its mirror image. This tells which views differ,
not which are right: the fewer are exchanged, unless the body would jump from one frame to the next.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.multiview.triangulation import Rig, triangulate_points

CAP = 3.0  # largest distance of a keypoint from an epipolar line that counts, in `near`
EXCHANGE = 1.0  # what an exchange costs, in `near` of each pair of keypoints
CHANGE = 0.5  # what another exchange than in the frame before costs, the same
JUMP = 0.25  # metres; a larger movement from frame to frame costs no more
PER_METRE = 40.0  # what a movement costs, in `near` of each pair of keypoints
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
    for pairs in groups(skeleton):
        signs = _signs(rig, pairs, at, weight, near)
        rows, which = np.nonzero(signs)
        for a, b in pairs:
            order[rows, which, a], order[rows, which, b] = b, a
        swapped |= signs
    return order, swapped


def _signs(
    rig: Rig, pairs: np.ndarray, at: np.ndarray, weight: np.ndarray, near: np.ndarray
) -> np.ndarray:
    """(T, V) bool, whether a group of mirrored pairs is exchanged."""
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
    # Which pattern, up to exchanging all views: views without both keypoints do not count.
    counted = both.sum(axis=2)  # (T, V)
    few = np.minimum(counted @ patterns.T, counted @ ~patterns.T)
    signs = patterns[_path(cost + 2 * EXCHANGE * few)]
    flips = np.stack([(counted * signs).sum(axis=1), (counted * ~signs).sum(axis=1)], axis=1)
    turned = _steady(rig, pairs, at, weight, near, signs, 2 * EXCHANGE * flips)
    return (signs ^ turned[:, None]) & (counted > 0)


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
    pairs: np.ndarray,
    at: np.ndarray,
    weight: np.ndarray,
    near: np.ndarray,
    signs: np.ndarray,
    flips: np.ndarray,
) -> np.ndarray:
    """(T,) bool, whether all views are exchanged besides: the cheapest path (Viterbi).

    Args:
        rig: the V cameras.
        pairs: (P, 2) mirrored keypoints.
        at: (T, V, K, 2) normalized coordinates.
        weight: (T, V, K) scores.
        near: (V,) pixels.
        signs: (T, V) bool, the views that differ from the others.
        flips: (T, 2) what it costs as it is, and with all views exchanged.
    """
    if not signs.any():
        return np.zeros(len(at), bool)
    left, right = pairs.T
    t, views, _ = weight.shape

    def ordered(values: np.ndarray) -> np.ndarray:
        a, b = values[:, :, left], values[:, :, right]
        mask = signs.reshape(t, views, *([1] * (values.ndim - 2)))
        return np.concatenate([np.where(mask, b, a), np.where(mask, a, b)], axis=2)

    points, scores = ordered(at), ordered(weight)
    flat = points.transpose(0, 2, 1, 3).reshape(-1, views, 2)
    found = triangulate_points(rig, flat, scores.transpose(0, 2, 1).reshape(-1, views), near)
    world = found.world.reshape(t, 2, len(pairs), 3)
    before = np.full((2, len(pairs), 3), np.nan)  # last seen, in the order of `world`
    cost, came = flips[0].copy(), np.zeros((t, 2), np.int64)
    for i in range(1, t):
        seen = np.isfinite(world[i - 1]).all(axis=(0, 2))
        before[:, seen] = world[i - 1][:, seen]
        moved = np.nan_to_num(np.linalg.norm(world[i] - before, axis=-1), nan=JUMP).clip(0, JUMP)
        crossed = np.linalg.norm(world[i] - before[::-1], axis=-1)
        crossed = np.nan_to_num(crossed, nan=JUMP).clip(0, JUMP)
        same, other = PER_METRE * moved.sum(), PER_METRE * crossed.sum()
        ways = cost[:, None] + np.array([[same, other], [other, same]])
        came[i] = ways.argmin(axis=0)
        cost = ways.min(axis=0) + flips[i]
    turned = np.zeros(t, np.int64)
    turned[-1] = int(cost.argmin())
    for i in range(t - 1, 0, -1):
        turned[i - 1] = came[i, turned[i]]
    return turned.astype(bool)
