"""View of a person (side, front or back), which decides between angles in 2D and in 3D.

Depth that a model estimates from one image is least certain along the line of sight. In a side
view the limbs move in the image plane, and 2D angles are right; in a front or back view they move
along the line of sight, and only 3D angles show that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vitruvian.analysis.angles import FROM_THE_SIDE, Space, apparent_shoulder_width
from vitruvian.analysis.points import BodyPoints
from vitruvian.body.poses import Poses
from vitruvian.frame import Frame

DECIDED = 30.0  # seconds after a person was first seen, after which it is decided
GONE = 2.0  # seconds without a detection, after which it is decided too
MOST = 0.5  # fraction of side-view frames from which angles are measured in 2D


def depth_is_estimated(poses: Poses) -> bool:
    """Whether xyz is monocular depth estimated by the model, and xy exists as well.

    Metres from the hips are, and those of BlazePose (which alone has `depth`) put before a camera.
    Those of several cameras, of markers and of MeTRAbs, which measures depth itself, are not.
    """
    if poses.xyz is None or (len(poses) and not np.isfinite(poses.xy).any()):
        return False
    return poses.origin == "hips" or poses.depth is not None


def is_side_view(points: BodyPoints) -> np.ndarray:
    """(N,) 1 for a side view, 0 for others, NaN unknown; of points in pixels.

    From the side the shoulders are less than `FROM_THE_SIDE` of the trunk's length apart, across
    the trunk, in the image.
    """
    width = apparent_shoulder_width(points)
    return np.where(np.isfinite(width), (width < FROM_THE_SIDE).astype(float), np.nan)


@dataclass
class ViewHistory:
    """Counts of a person's views so far."""

    first: float  # seconds
    last: float
    side: int = 0  # side-view frames
    known: int = 0  # frames with a known view
    decided: bool = False

    @property
    def part(self) -> float:
        """0..1, fraction of side-view frames among those with a known view; NaN if none."""
        return self.side / self.known if self.known else np.nan

    @property
    def space(self) -> Space:
        """Where angles are measured."""
        return "2d" if self.part >= MOST else "3d"


class ViewTracker:
    """Decides for each track id of a recording whether angles are measured in 2D or 3D."""

    def __init__(self) -> None:
        """Start without people."""
        self.people: dict[int, ViewHistory] = {}

    def add(self, frame: Frame, poses: Poses, points: BodyPoints) -> None:
        """Add the next frame, with estimated depth; its points in pixels."""
        now = frame.seconds
        for person, side in zip(poses.person.tolist(), is_side_view(points), strict=True):
            seen = self.people.setdefault(person, ViewHistory(now, now))
            seen.decided |= now - seen.first > DECIDED
            seen.last = now
            if not seen.decided and np.isfinite(side):
                seen.side, seen.known = seen.side + int(side), seen.known + 1
        for seen in self.people.values():
            seen.decided |= now - seen.last > GONE

    def decided(self, people: list[int]) -> bool:
        """Whether it is decided for all of these people."""
        return all(self.people[person].decided for person in people)
