"""Convert poses from one skeleton to another, by the names of keypoints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitruvian.body.names import known_names
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import IN_MESH
from vitruvian.errors import VitruvianError

# What is not there by its own name: other names of the place, or the two it is the middle of.
ALIASES = {
    "left_big_toe": ("left_foot_index",),
    "right_big_toe": ("right_foot_index",),
    "left_foot_index": ("left_big_toe",),
    "right_foot_index": ("right_big_toe",),
    "mid_hip": ("pelvis",),
    "pelvis": ("mid_hip",),
}
_HIPS = ("left_hip", "right_hip")
MIDDLES = {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": _HIPS, "pelvis": _HIPS}


@dataclass(frozen=True)
class Mapping:
    """Where the keypoints of `target` come from; calling it gives poses of that skeleton.

    A point that is derived has the lower score, and the larger error, of the two it is the middle
    of. What is missing is NaN, with the score 0. Data sets do not agree where a hip or a neck is:
    what is taken is still where the source has it.
    """

    source: Skeleton
    target: Skeleton
    parts: tuple[tuple[int, ...], ...]  # of each its numbers in `source`; of several the middle

    @classmethod
    def of(cls, source: Skeleton, target: Skeleton) -> Mapping:
        """The way from one to the other; both may have the names of other programs.

        Raises:
            VitruvianError: they have no keypoint in common.
        """
        known, parts = source.places, []
        # A body has some keypoints of a face, too: from a mesh to a face, the mesh's are taken.
        mesh = IN_MESH if "face_0" in known and "chin" in target.keypoints else {}
        for name, word in zip(target.keypoints, known_names(target.keypoints), strict=True):
            ways = (mesh.get(name, name), name, word, *ALIASES.get(word, ()))
            own = next((way for way in ways if way in known), None)
            middle = MIDDLES.get(word, ())
            if own is not None:
                parts.append(known[own])
            elif middle and all(part in known for part in middle):
                parts.append(tuple(k for part in middle for k in known[part]))
            else:
                parts.append(())
        if not any(parts):
            raise VitruvianError(
                f"{source.name} and {target.name} have no keypoint in common; the first has "
                f"{', '.join(source.keypoints[:8]) or 'none'}"
            )
        return cls(source, target, tuple(parts))

    @property
    def derived(self) -> list[str]:
        """Keypoints of `target` that are midpoints of others."""
        return self._names(2, 4)

    @property
    def missing(self) -> list[str]:
        """Keypoints of `target` that `source` does not have."""
        return self._names(0, 0)

    @property
    def left_out(self) -> list[str]:
        """Keypoints of `source` that `target` does not use."""
        used = {k for own in self.parts for k in own}
        return [name for k, name in enumerate(self.source.keypoints) if k not in used]

    def _names(self, least: int, most: int) -> list[str]:
        pairs = zip(self.target.keypoints, self.parts, strict=True)
        return [name for name, own in pairs if least <= len(own) <= most]

    def __call__(self, poses: Poses) -> Poses:
        """The same people with the keypoints of `target`."""
        if self.source == self.target:
            return poses
        made: dict[str, Any] = {"skeleton": self.target, "maps": None, "seen": None}
        for name in ("xy", "xyz", "world", "depth"):
            made[name] = self._picked(getattr(poses, name), np.mean, np.nan)
        for name in ("score", "presence"):
            made[name] = self._picked(getattr(poses, name), np.min, 0.0)
        for name in ("reprojection", "uncertainty"):
            made[name] = self._picked(getattr(poses, name), np.max, np.nan)
        made["views"] = self._picked(poses.views, np.min, 0)
        made["raw"] = None if poses.raw is None else self(poses.raw)
        return replace(poses, **made)

    def _picked(self, values: np.ndarray | None, join: Any, missing: float) -> np.ndarray | None:
        """(N, K of target, ...) of (N, K of source, ...)."""
        if values is None:
            return None
        shape = (len(values), len(self.target), *values.shape[2:])
        picked = np.full(shape, missing, values.dtype)
        for k, own in enumerate(self.parts):
            if own:
                picked[:, k] = join(values[:, list(own)], axis=1)
        return picked
