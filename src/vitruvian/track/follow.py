"""Follow: a top-down model over one stream. It alone remembers; the model does not.

Each person's landmarks in the last frame say where to look in this one, so the detector seldom
runs. Where this differs from MediaPipe's Tasks, on purpose: a person has a number that stays, and
keeps its place in the result; a new detection never replaces someone who is followed; a lost person
is looked for again in the same frame; with more poses asked for than there are people, the detector
runs once in `every` frames and not in each; smoothing works for any number of people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import iou
from vitruvian.geometry.regions import Regions
from vitruvian.track.smooth import Smooth


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
    """The people of one stream, each with a number from 1 that is never given to anyone else."""

    def __init__(
        self, model: Followed, *, every: int = 5, overlap: float = 0.5, smooth: bool = True
    ) -> None:
        """Start with nobody.

        Args:
            model: see `Followed`; `model.most` people are followed at most.
            every: frames, at least, from one detection to the next while anybody is followed.
            overlap: regions with an IoU above it show the same person.
            smooth: One-Euro filters, see `track/smooth.py`.
        """
        self.model, self.every, self.overlap = model, every, overlap
        self.smooth = Smooth() if smooth else None
        self.look = Regions.none()
        self.seconds: float | None = None
        self.size: tuple[int, int] | None = None  # of the last frame
        self.since = 0  # frames since the last detection
        self.people = 0  # numbers given so far

    def __call__(self, frame: Frame) -> Poses:
        """The poses of this frame; call once a frame, in order.

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
        lost = self.look.take(np.flatnonzero(~np.isin(self.look.person, poses.person)))
        for person in lost.person.tolist():
            if self.smooth is not None:
                self.smooth.forget(person)
        wanted = len(poses) < self.model.most
        if wanted and (len(lost) or not len(poses) or self.since >= self.every):
            poses = self._join(poses, self._new(frame, poses, lost))
        if self.smooth is not None:
            poses = self.smooth(poses, frame.seconds)
        self.look = Regions.none() if poses.look is None else poses.look
        return poses

    def _resized(self, size: tuple[int, int]) -> None:
        """Look for the same people in pictures of another size, which show the same place."""
        before, self.size = self.size, size
        if before is None:
            return
        scale = np.divide(size, before).astype(np.float32)
        look = self.look
        self.look = replace(look, centre=look.centre * scale, size=look.size * scale.mean())
        if self.smooth is not None:
            for person in look.person.tolist():
                self.smooth.forget(person)

    def _new(self, frame: Frame, known: Poses, lost: Regions) -> Poses:
        """People who are not followed; who is found where one was just lost is that one."""
        self.since = 0
        (found,) = self.model.find([frame])
        if known.look is not None and len(known):
            near = iou(found.bounds(), known.look.bounds()).max(axis=1) > self.overlap
            found = found.take(np.flatnonzero(~near))
        if len(lost) and len(found):
            near = iou(lost.bounds(), found.bounds())
            person = found.person.copy()
            for who, row in zip(lost.person, near, strict=True):
                best = int(np.argmax(np.where(person < 0, row, -1)))
                if row[best] > self.overlap and person[best] < 0:
                    person[best] = who
            found = replace(found, person=person)
        (poses,) = self.model([frame], [found.take(slice(self.model.most - len(known)))])
        return poses

    def _join(self, known: Poses, new: Poses) -> Poses:
        """Both by their numbers; the new get new ones, unless they turn out to be someone known."""
        both = self._apart(Poses.join(known, new))
        person = both.person.copy()
        fresh = person < 0
        person[fresh] = self.people + 1 + np.arange(fresh.sum())
        self.people += int(fresh.sum())
        look = None if both.look is None else replace(both.look, person=person)
        return replace(both, person=person, look=look).take(np.argsort(person))

    def _apart(self, poses: Poses) -> Poses:
        """Without those whose next region overlaps that of somebody before them."""
        if poses.look is None or len(poses) < 2:
            return poses
        near = iou(poses.look.bounds(), poses.look.bounds()) > self.overlap
        keep: list[int] = []
        for i in range(len(poses)):
            if not near[keep, i].any():
                keep.append(i)
        return poses.take(keep)
