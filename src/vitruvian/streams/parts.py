"""Hands and faces over one stream: regions follow from frame to frame. The state is here."""

from __future__ import annotations

from vitruvian.body.poses import Poses
from vitruvian.frame import Frame
from vitruvian.models.model import AddParts


class FollowParts:
    """Stream step that adds hands and faces to tracked bodies; call once per frame, in order.

    It needs the pixels of the frame. Bodies are those of the steps before: smoothed ones, as in
    MediaPipe. A hand or face is followed from exactly the previous frame, if its person has the
    same track id there.
    """

    def __init__(self, parts: AddParts) -> None:
        """Start without people."""
        self.parts, self.before = parts, Poses.nobody(parts.skeleton)
        self.size: tuple[int, int] | None = None  # of the last frame

    def __call__(self, frame: Frame, poses: Poses) -> Poses:
        """The bodies with hands and faces."""
        before = self.before if frame.size == self.size else None
        self.before, self.size = self.parts(frame, poses, before), frame.size
        return self.before
