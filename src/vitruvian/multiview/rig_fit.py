"""Whether the rig fits what its cameras see: keypoints lie on epipolar lines, but for noise.

A wrong place, lens or clock moves all keypoints of a view to one side of the lines of the others.
The camera without which the others fit is the wrong one. What moves keypoints along the lines, such
as a turn to the side of one of two level cameras, cannot be seen.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

from vitruvian.multiview.sides import signed_line_distance
from vitruvian.multiview.triangulation import Rig

ASKED = 2000  # keypoints of each pair of views, spread over the recording
ENOUGH = 100  # of them that two views share
MAD = 1.4826  # standard deviation / median absolute deviation of normal numbers
LEAST = 1 / 1000  # of the focal length, twice what a usual board leaves (docs/rig.md, 0.5 px)


class Beside(NamedTuple):
    """How far keypoints are beside the epipolar lines of other views; NaN for too few."""

    offset: np.ndarray  # (V, V) pixels, symmetric, the median to one side
    spread: np.ndarray  # (V, V) pixels, standard deviation around it, without outliers

    def wrong(self, focal: float) -> tuple[int | None, list[tuple[int, int]]]:
        """The camera that does not fit, if it is one, and all pairs that do not fit each other.

        Two views do not if the offset is larger than the spread, which is noise.

        Args:
            focal: pixels.
        """
        with np.errstate(invalid="ignore"):
            off = (self.offset > self.spread) & (self.offset > LEAST * focal)
        pairs = [(int(u), int(v)) for u, v in np.argwhere(np.triu(off))]
        size = np.nan_to_num(self.offset)
        if not pairs or len(size) < 3:
            return None, pairs
        without = [np.delete(np.delete(size, c, 0), c, 1).max() for c in range(len(size))]
        best = int(np.argmin(without))
        others = np.sort(np.delete(without, best))
        alone = without[best] < size.max() / 2 < others[0]
        return best if alone else None, pairs


def beside_lines(rig: Rig, at: np.ndarray, weight: np.ndarray) -> Beside:
    """Of each pair of views of a person.

    Args:
        rig: the V cameras.
        at: (T, V, K, 2) normalized coordinates, left and right mended.
        weight: (T, V, K) scores, 0 where missing.
    """
    count = len(rig)
    offset, spread = np.full((count, count), np.nan), np.full((count, count), np.nan)
    there = np.isfinite(at).all(axis=-1) & (weight > 0)
    for u, v in combinations(range(count), 2):
        t, k = np.nonzero(there[:, u] & there[:, v])
        if len(t) < ENOUGH:
            continue
        step = -(-len(t) // ASKED)
        t, k = t[::step], k[::step]
        far = signed_line_distance(rig, u, v, at[t, u, k], at[t, v, k])
        middle = np.median(far)
        offset[[u, v], [v, u]] = abs(middle)
        spread[[u, v], [v, u]] = MAD * np.median(np.abs(far - middle))
    return Beside(offset, spread)
