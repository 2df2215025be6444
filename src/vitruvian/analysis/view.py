"""From where somebody is seen, and so where their angles are best measured: in the picture, or 3D.

Metres that a model guesses from one picture are least sure along the line of sight. Of who is seen
from the side the limbs move across it, in the plane of the picture, and 2D is right; of who is seen
from the front or from behind they move along it, and only 3D has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vitruvian.analysis.angles import FROM_THE_SIDE, Space, apparent_shoulder_width
from vitruvian.body.poses import Poses
from vitruvian.frame import Frame

DECIDED = 30.0  # seconds from when somebody was first seen, after which it is decided
GONE = 2.0  # seconds without being seen after which it is, too
MOST = 0.5  # part of the frames from the side, from which on angles are in 2D


def depth_is_estimated(poses: Poses) -> bool:
    """Whether metres are a model's guess of depth from one picture, and pixels are there as well.

    Metres from the hips are, and those of BlazePose (which alone has `depth`) put before a camera.
    Those of several cameras, of markers and of MeTRAbs, which measures depth itself, are not.
    """
    if poses.xyz is None or (len(poses) and not np.isfinite(poses.xy).any()):
        return False
    return poses.origin == "hips" or poses.depth is not None


def is_side_view(poses: Poses) -> np.ndarray:
    """(N,) 1 of who is seen from the side, 0 who is not, NaN unknown.

    From the side the shoulders are less than `FROM_THE_SIDE` of the trunk's length apart, across
    the trunk, in the picture.
    """
    width = apparent_shoulder_width(poses)
    return np.where(np.isfinite(width), (width < FROM_THE_SIDE).astype(float), np.nan)


@dataclass
class ViewHistory:
    """How somebody was seen so far."""

    first: float  # seconds
    last: float
    side: int = 0  # frames from the side
    known: int = 0  # frames that tell
    decided: bool = False

    @property
    def part(self) -> float:
        """0..1, of the frames that tell those from the side; NaN if none does."""
        return self.side / self.known if self.known else np.nan

    @property
    def space(self) -> Space:
        """Where angles are measured."""
        return "2d" if self.part >= MOST else "3d"


class ViewTracker:
    """Of everybody in one recording, by number, where their angles are measured."""

    def __init__(self) -> None:
        """Nobody was seen yet."""
        self.people: dict[int, ViewHistory] = {}

    def add(self, frame: Frame, poses: Poses) -> None:
        """Take a frame, in order, in which metres are guessed."""
        now = frame.seconds
        for person, side in zip(poses.person.tolist(), is_side_view(poses), strict=True):
            seen = self.people.setdefault(person, ViewHistory(now, now))
            seen.decided |= now - seen.first > DECIDED
            seen.last = now
            if not seen.decided and np.isfinite(side):
                seen.side, seen.known = seen.side + int(side), seen.known + 1
        for seen in self.people.values():
            seen.decided |= now - seen.last > GONE

    def decided(self, people: list[int]) -> bool:
        """Whether it is, of all of these."""
        return all(self.people[person].decided for person in people)
