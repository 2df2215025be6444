"""Body points by name for any skeleton: keypoints, and midpoints of keypoints."""

from __future__ import annotations

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
}


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
        self.lacks: set[str] = set()  # requested points that the skeleton does not have
        self.at = np.where((score >= seen)[..., None], at, np.nan).astype(np.float64)
        self._found: dict[str, np.ndarray] = {}

    def has(self, name: str) -> bool:
        """Whether the skeleton has the keypoints of this point."""
        return self._way(name) is not None

    def _way(self, name: str) -> tuple[str, ...] | None:
        """The keypoints it is the middle of; None if the skeleton does not have them."""
        ways = POINTS.get(name, ((name,),))
        known = self.skeleton.places
        return next((way for way in ways if all(part in known for part in way)), None)

    def __getitem__(self, name: str) -> np.ndarray:
        if name in self._found:
            return self._found[name]
        way = self._way(name)
        if way is None:
            self.lacks.add(name)
            return np.full(self.at.shape[::2], np.nan)
        own = self.skeleton.places
        parts = np.stack([self.at[:, list(own[part])].mean(axis=1) for part in way])
        found = self._found[name] = parts.mean(axis=0)
        found.flags.writeable = False
        return found


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """(N, D) of length 1; NaN where there is no direction."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.full_like(vectors, np.nan), where=length > 1e-9)


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) of (N, D) and (N, D)."""
    return (a * b).sum(axis=-1)
