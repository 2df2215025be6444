"""Follow: a top-down model over one stream. The state is here; the model has none.

Each person's crop comes from the landmarks in the previous frame, so the detector seldom runs.
`Identify` assigns the track ids in each frame: the crop of an occluded person may show another
person, and a lost person who is found again keeps the id. Deliberate differences from MediaPipe's
Tasks: a person keeps a track id and its place in the result; a new detection never replaces a
followed person; a lost person is looked for again in the same frame; with more poses asked for than
there are people, the detector runs every `every` frames, not in each; smoothing works for any
number of people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.similar import each_once
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import iou
from vitruvian.geometry.regions import Regions
from vitruvian.models.top_down import Started


@runtime_checkable
class Followed(Protocol):
    """A top-down model whose poses give the region to crop in the next frame."""

    most: int

    def find(self, frames: Sequence[Frame], /) -> list[Regions]:
        """Person regions in each frame, highest score first."""
        ...

    def __call__(
        self, frames: Sequence[Frame], look: Sequence[Regions] | None = None, /
    ) -> list[Poses]:
        """The people of each frame, in those regions and in their order."""
        ...

    def start(self, frame: Frame, look: Regions, /) -> Started:
        """Begin to look at those regions; the network runs in the background."""
        ...


class Follow:
    """Crops around each person of one stream, and new detections; it assigns no track ids.

    The caller sets `look`, the regions for the next frame: `Stream` does, after its steps have
    assigned ids and smoothed the poses.
    """

    def __init__(
        self,
        model: Followed,
        *,
        every: int = 5,
        overlap: float = 0.5,
        on_lost: Callable[[int], None] = lambda person: None,
    ) -> None:
        """Start without people.

        Args:
            model: see `Followed`; at most `model.most` people are followed.
            every: minimum number of frames between detections while anyone is followed.
            overlap: regions with an IoU above it are the same person; so are similar poses, see
                `alike`.
            on_lost: gets the id of a person not found in their region, even if found elsewhere in
                the same frame.
        """
        self.model, self.every, self.overlap, self.on_lost = model, every, overlap, on_lost
        self.look = Regions.none()
        self.seconds: float | None = None
        self.size: tuple[int, int] | None = None  # of the last frame
        self.since = 0  # frames since the last detection
        self.early: Started | None = None  # the next frame, by a guess of its regions

    def __call__(
        self,
        frame: Frame,
        coming: Callable[[], Frame | None] = lambda: None,
        next_look: Callable[[Frame, Regions], Regions] = lambda frame, look: look,
    ) -> Poses:
        """The people of this frame; `person` is the id of the region, -1: a new person.

        With `coming`, the network already runs on the next frame while this one is decoded, given
        ids, smoothed and written. Its regions are guessed, from two points of each person; where
        the true ones then differ in a bit, it is done again, so that results are the same.

        Args:
            frame: the frame.
            coming: the next frame, None: unknown, or there is none.
            next_look: regions of this frame's poses -> those for the next frame, as the steps of
                the stream will make them.

        Raises:
            VitruvianError: the frame is not later than the one before.
        """
        if self.seconds is not None and not frame.seconds > self.seconds:
            raise VitruvianError(
                f"frame {frame.index} of '{frame.source}' is at {frame.seconds:g} s, which is not "
                f"after {self.seconds:g} s; timestamps of a stream must increase"
            )
        self.seconds = frame.seconds
        if frame.size != self.size:
            self._resized(frame.size)
        self.since += 1
        run = self._started(frame)
        full = len(self.look) == self.model.most
        if len(self.look) and (full or self.since < self.every):
            then = coming()
            if then is not None and then.size == frame.size:
                run.prepare(then)
                due = run.next_look()
                if due is not None:
                    self.early = self.model.start(then, next_look(frame, due))
        poses = self._apart(run.poses())
        lost = np.setdiff1d(self.look.person, poses.person).tolist()
        wanted = len(poses) < self.model.most
        if wanted and (lost or not len(poses) or self.since >= self.every):
            poses = self._apart(Poses.join(poses, self._new(frame, poses)))
        for person in lost:
            self.on_lost(person)
        return poses

    def _started(self, frame: Frame) -> Started:
        """The frame in the network, from early on if the guess was right."""
        early, self.early = self.early, None
        if early is not None:
            if early.frame is frame and _same(early.look, self.look):
                return early
            early.next_look()  # its buffers are in use until it is done
        return self.model.start(frame, self.look)

    def _resized(self, size: tuple[int, int]) -> None:
        """Rescale the regions to another frame size of the same scene."""
        before, self.size = self.size, size
        if before is None:
            return
        scale = np.divide(size, before).astype(np.float32)
        look = self.look
        self.look = replace(look, centre=look.centre * scale, size=look.size * scale.mean())
        for person in look.person.tolist():
            self.on_lost(person)

    def _new(self, frame: Frame, known: Poses) -> Poses:
        """People not followed yet."""
        self.since = 0
        (found,) = self.model.find([frame])
        if known.look is not None and len(known):
            near = iou(found.bounds(), known.look.bounds()).max(axis=1) > self.overlap
            found = found.take(np.flatnonzero(~near))
        (poses,) = self.model([frame], [found.take(slice(self.model.most - len(known)))])
        return poses

    def _apart(self, poses: Poses) -> Poses:
        """Without duplicates: the followed person whose region moved least is kept.

        Of two regions that lead to one person, the nearer one is theirs.
        """
        if poses.look is None or len(poses) < 2:
            return poses
        moved = np.full(len(poses), np.inf)
        for i, who in enumerate(poses.person.tolist()):
            before = np.flatnonzero(self.look.person == who)
            if who >= 0 and len(before):
                moved[i] = np.linalg.norm(poses.look.centre[i] - self.look.centre[before[0]])
        return each_once(poses, self.overlap, np.argsort(moved, kind="stable"))


def _same(a: Regions, b: Regions) -> bool:
    """Whether they lead to the same crops, bit for bit."""
    names = ("person", "centre", "size", "angle")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)
