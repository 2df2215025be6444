"""What corrections of tracks share: their thresholds, the record of a change, lengths in trunks."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError

TRUNK = 0.29  # of the box height, where no trunk was ever found; for a standing adult
LEFT = "left as it is"  # kind of change: start or end of a swap that is not corrected


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
    distance: float  # pixels that they were moved, mean; 0: one side only was known


def trunk_length(track: Track) -> float:
    """Trunk length, pixels."""
    names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    if all(name in track.skeleton.keypoints for name in names):
        a, b, c, d = (track[name].xy for name in names)
        length = np.linalg.norm((a + b - c - d) / 2, axis=-1)
        if np.isfinite(length).any():
            return max(float(np.nanmedian(length)), 1.0)
    height = track.box[:, 3] - track.box[:, 1]
    return max(TRUNK * float(np.nanmedian(height)), 1.0) if np.isfinite(height).any() else 1.0


def change_at(
    track: Track, t: int, kind: str, keypoints: np.ndarray, moved: np.ndarray
) -> Repaired:
    """The record of a change in row t; `moved` are the pixels of each keypoint."""
    names = tuple(track.skeleton.keypoints[k] for k in sorted(keypoints.tolist()))
    at, mean = int(track.index[t]), float(np.nanmean(moved)) if np.isfinite(moved).any() else 0.0
    return Repaired(at, float(track.seconds[t]), track.person, kind, names, round(mean, 2))
