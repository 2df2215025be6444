"""Follow: a top-down model over one stream. It alone remembers; the model does not.

Each person's landmarks in the last frame say where to look in this one, so the detector seldom
runs. Who they are, `Identify` says, in each frame anew: the region of somebody who is hidden may
lead to somebody else, and who is found again is who was lost. Where this differs from MediaPipe's
Tasks, on purpose: a person has a number that stays, and keeps its place in the result; a new
detection never replaces someone who is followed; a lost person is looked for again in the same
frame; with more poses asked for than there are people, the detector runs once in `every` frames and
not in each; smoothing works for any number of people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import iou
from vitruvian.geometry.regions import Regions
from vitruvian.stream.identify import alike


@runtime_checkable
class Followed(Protocol):
    """What can be followed: a top-down model whose poses say where to look next."""

    most: int

    def find(self, frames: Sequence[Frame], /) -> list[Regions]:
        """Regions of each frame, the likeliest first."""
        ...

    def __call__(
        self, frames: Sequence[Frame], look: Sequence[Regions] | None = None, /
    ) -> list[Poses]:
        """The people of each frame, looked for in those places, in their order."""
        ...


class Follow:
    """Where to look for each person of one stream, and who is new; it gives nobody a number.

    Whoever calls it says in `look` where to look in the next frame: `Stream` does, when its steps
    have numbered and smoothed what was found.
    """

    def __init__(
        self,
        model: Followed,
        *,
        every: int = 5,
        overlap: float = 0.5,
        on_lost: Callable[[int], None] = lambda person: None,
    ) -> None:
        """Start with nobody.

        Args:
            model: see `Followed`; `model.most` people are followed at most.
            every: frames, at least, from one detection to the next while anybody is followed.
            overlap: regions with an IoU above it show the same person, and so do poses that are
                alike.
            on_lost: gets the number of who is not where they were looked for, even if they are
                found elsewhere in the same frame.
        """
        self.model, self.every, self.overlap, self.on_lost = model, every, overlap, on_lost
        self.look = Regions.none()
        self.seconds: float | None = None
        self.size: tuple[int, int] | None = None  # of the last frame
        self.since = 0  # frames since the last detection

    def __call__(self, frame: Frame) -> Poses:
        """The people of this frame; `person` says whose region it was, -1 for who is new.

        Raises:
            VitruvianError: the frame is not later than the one before.
        """
        if self.seconds is not None and not frame.seconds > self.seconds:
            raise VitruvianError(
                f"frame {frame.index} of '{frame.source}' is at {frame.seconds:g} s, which is not "
                f"after {self.seconds:g} s; frames of a stream must come in order, each once"
            )
        self.seconds = frame.seconds
        if frame.size != self.size:
            self._resized(frame.size)
        self.since += 1
        (known,) = self.model([frame], [self.look])
        poses = self._apart(known)
        lost = np.setdiff1d(self.look.person, poses.person).tolist()
        wanted = len(poses) < self.model.most
        if wanted and (lost or not len(poses) or self.since >= self.every):
            poses = self._apart(Poses.join(poses, self._new(frame, poses)))
        for person in lost:
            self.on_lost(person)
        return poses

    def _resized(self, size: tuple[int, int]) -> None:
        """Look for the same people in pictures of another size, which show the same place."""
        before, self.size = self.size, size
        if before is None:
            return
        scale = np.divide(size, before).astype(np.float32)
        look = self.look
        self.look = replace(look, centre=look.centre * scale, size=look.size * scale.mean())
        for person in look.person.tolist():
            self.on_lost(person)

    def _new(self, frame: Frame, known: Poses) -> Poses:
        """People who are not followed."""
        self.since = 0
        (found,) = self.model.find([frame])
        if known.look is not None and len(known):
            near = iou(found.bounds(), known.look.bounds()).max(axis=1) > self.overlap
            found = found.take(np.flatnonzero(~near))
        (poses,) = self.model([frame], [found.take(slice(self.model.most - len(known)))])
        return poses

    def _apart(self, poses: Poses) -> Poses:
        """One of those who turn out to be the same: who was followed, and has moved least.

        Of two regions that lead to one person, that one was sought in the nearer.
        """
        if poses.look is None or len(poses) < 2:
            return poses
        moved = np.full(len(poses), np.inf)
        for i, who in enumerate(poses.person.tolist()):
            before = np.flatnonzero(self.look.person == who)
            if who >= 0 and len(before):
                moved[i] = np.linalg.norm(poses.look.centre[i] - self.look.centre[before[0]])
        bounds = poses.look.bounds()
        same = (iou(bounds, bounds) > self.overlap) | alike(poses)
        keep: list[int] = []
        for i in np.argsort(moved, kind="stable").tolist():
            if not same[keep, i].any():
                keep.append(i)
        return poses.take(sorted(keep))
