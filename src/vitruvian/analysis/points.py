"""Body points by name for any skeleton: keypoints, and midpoints of keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.state import SEEN

# Name -> alternatives, best first; each is the midpoint of its keypoints. Any keypoint of a
# skeleton is also a point by its own name.
POINTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "mid_hip": (("left_hip", "right_hip"),),
    "mid_shoulder": (("left_shoulder", "right_shoulder"),),
    "mid_ear": (("left_ear", "right_ear"),),
    "mid_knee": (("left_knee", "right_knee"),),
    "mid_ankle": (("left_ankle", "right_ankle"),),
    "left_toe": (("left_big_toe",), ("left_foot_index",), ("left_toe",)),
    "right_toe": (("right_big_toe",), ("right_foot_index",), ("right_toe",)),
    "left_finger": (("left_index",), ("left_middle_1",), ("left_hand",)),
    "right_finger": (("right_index",), ("right_middle_1",), ("right_hand",)),
    "left_hand_root": (("left_hand",), ("left_wrist",)),
    "right_hand_root": (("right_hand",), ("right_wrist",)),
}


class _Lookup:
    """Where the points of a skeleton are among its keypoints, each looked up once."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self._points: dict[str, tuple[int, int, int, int] | None] = {}
        self._stacks: dict[tuple[str, ...], tuple[np.ndarray, tuple[str, ...]]] = {}

    def point(self, name: str) -> tuple[int, int, int, int] | None:
        """The keypoints of a point: the middle of the middles of two pairs, often all the same.

        None if the skeleton does not have them.
        """
        if name not in self._points:
            known, self._points[name] = self.skeleton.places, None
            for way in POINTS.get(name, ((name,),)):
                if all(part in known for part in way):
                    first, last = known[way[0]], known[way[-1]]
                    self._points[name] = first[0], first[-1], last[0], last[-1]
                    break
        return self._points[name]

    def stack(self, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
        """(4, P) keypoints of points, or (1, P) of keypoints alone; and the points missing.

        K for missing ones.
        """
        if names not in self._stacks:
            found = [self.point(name) for name in names]
            missing = tuple(name for name, own in zip(names, found, strict=True) if own is None)
            nowhere = (len(self.skeleton),) * 4
            rows = np.array([own or nowhere for own in found], np.intp).reshape(-1, 4).T
            self._stacks[names] = rows[: 1 if (rows == rows[0]).all() else 4], missing
        return self._stacks[names]


_lookup = lru_cache(64)(_Lookup)


class BodyPoints:
    """Points of N bodies: `points["mid_hip"]` is (N, D), NaN where it is not known."""

    def __init__(
        self, skeleton: Skeleton, at: np.ndarray, score: np.ndarray, seen: float = SEEN
    ) -> None:
        """Use the keypoints above a score threshold.

        Args:
            skeleton: of the K keypoints.
            at: (N, K, D) where they are, in pixels or metres.
            score: (N, K) 0..1.
            seen: score below which a keypoint is not known.
        """
        self.skeleton = skeleton
        self._lookup = _lookup(skeleton)
        self.lacks: set[str] = set()  # requested points that the skeleton does not have
        self.at = np.where((score >= seen)[..., None], at, np.nan).astype(np.float64)
        self._found: dict[str | tuple[str, ...], np.ndarray] = {}
        self._rows: np.ndarray | None = None  # (K + 1, N, D), the last row NaN

    def has(self, name: str) -> bool:
        """Whether the skeleton has the keypoints of this point."""
        return self._lookup.point(name) is not None

    def need(self, names: tuple[str, ...]) -> None:
        """Note which of these points the skeleton does not have, in `lacks`."""
        self.lacks.update(self._lookup.stack(names)[1])

    def __getitem__(self, name: str) -> np.ndarray:
        if name in self._found:
            return self._found[name]
        own = self._lookup.point(name)
        if own is None:
            self.lacks.add(name)
            return np.full(self.at.shape[::2], np.nan)
        a, b, c, d = own
        if a == b == c == d:
            found = self.at[:, a]
        else:
            found = ((self.at[:, a] + self.at[:, b]) / 2 + (self.at[:, c] + self.at[:, d]) / 2) / 2
        self._found[name] = found
        found.flags.writeable = False
        return found

    def stack(self, names: Sequence[str]) -> np.ndarray:
        """(P, N, D) several points at once."""
        key = tuple(names)
        rows, missing = self._lookup.stack(key)
        self.lacks.update(missing)
        if key in self._found:
            return self._found[key]
        if self._rows is None:
            self._rows = np.full((self.at.shape[1] + 1, *self.at.shape[::2]), np.nan)
            self._rows[:-1] = self.at.swapaxes(0, 1)
        if len(rows) == 1:
            found = self._rows[rows[0]]
        else:
            a, b, c, d = self._rows[rows]
            found = ((a + b) / 2 + (c + d) / 2) / 2
        self._found[key] = found
        found.flags.writeable = False
        return found


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """(..., D) of length 1; NaN where there is no direction."""
    length = np.sqrt(np.add.reduce(vectors * vectors, axis=-1, keepdims=True))
    return vectors / np.where(length > 1e-9, length, np.nan)


def lengths(vectors: np.ndarray) -> np.ndarray:
    """(...) the lengths of (..., D)."""
    return np.sqrt(np.add.reduce(vectors * vectors, axis=-1))


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(...) of (..., D) and (..., D)."""
    return np.add.reduce(a * b, axis=-1)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(..., 3) of (..., 3) and (..., 3): `np.cross` without its checks."""
    a, b = np.broadcast_arrays(a, b)
    found = np.empty(a.shape)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        np.subtract(a[..., j] * b[..., k], a[..., k] * b[..., j], out=found[..., i])
    return found
