"""Stream: stateful processing of one video or live stream: tracking, smoothing, 3D placement.

A source is processed in a pipeline of threads: one prefetches frames, the caller's thread runs the
model, and, where files are written, one writes. The queues between them are bounded, so memory use
does not depend on the length of a video.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, note
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.geometry.regions import Regions
from vitruvian.models.model import InParts, Model, Streamed
from vitruvian.sources.frames import FrameMaker
from vitruvian.sources.reconnect import reconnecting
from vitruvian.sources.threads import Prefetch, readable, reread
from vitruvian.streams import butterworth, identify
from vitruvian.streams.butterworth import Butterworth
from vitruvian.streams.confirm import Confirm
from vitruvian.streams.follow import Follow, Followed
from vitruvian.streams.identify import Identify
from vitruvian.streams.one_euro import OneEuro, OneEuroParts, beside_body
from vitruvian.streams.parts import FollowParts
from vitruvian.streams.placement import Place
from vitruvian.streams.repair import Repair
from vitruvian.streams.repaired import Repaired
from vitruvian.streams.wanted import Wanted, defaults
from vitruvian.streams.windows import Pair

if TYPE_CHECKING:
    from vitruvian.sources.open import Source

SAME_FROM = 0.5  # default IoU threshold of `Wanted.same_from`
Given = Callable[[tuple[int, int]], Camera]  # image size -> camera; see `calibration.given`
Step = Callable[[Frame, Poses], Poses]


@runtime_checkable
class WantsFuture(Protocol):
    """An offline step: it needs later frames, so it processes a whole recording, in order."""

    def through(self, pairs: Iterable[Pair], /) -> Iterator[Pair]:
        """The same frames with a delay of some seconds, without pixels."""
        ...


class Stream:
    """The state of one stream: tracks, filters and regions. Call it with each frame in order.

    `find` detects the people of a frame. `steps` lists everything that may change a keypoint after
    that, in order: each step is `(frame, poses) -> poses`, or `WantsFuture` (recordings only).
    """

    def __init__(
        self,
        model: Model,
        wanted: Wanted | None = None,
        *,
        moving: bool = True,
        camera: Given | None = None,
        make: FrameMaker | None = None,
        on_repair: Callable[[Repaired], None] = lambda change: None,
        on_step: Callable[[str, Frame, Poses], None] | None = None,
    ) -> None:
        """Create an empty state.

        Args:
            model: the pose model.
            wanted: tracking, smoothing, repair and origin of 3D coordinates; None: the defaults of
                the model family.
            moving: whether frames are consecutive in time; otherwise no state is kept.
            camera: from `calibration.given`; None: the camera stored with each frame.
            make: assigns index and time to frames of the caller; None: frames have both.
            on_repair: called with each correction.
            on_step: called with (name, frame, poses) after the model and after each step.
        """
        self.make = make
        self.moving, self.camera = moving, camera
        self.wanted = wanted = (wanted or Wanted()).or_else(defaults(model))
        tracked = moving and bool(wanted.track)
        over_time = steps_over_time(wanted, on_repair) if tracked else []
        parts: list[Step | WantsFuture] = []
        own = getattr(model, "skeleton", None)
        in_parts = isinstance(model, InParts)
        if not (model.parts.smoothed if in_parts else own is None or beside_body(own)):
            over_time = [step for step in over_time if not isinstance(step, OneEuroParts)]
        if tracked and in_parts:  # bodies are followed, smoothed, then the rest
            parts, model = [FollowParts(model.parts)], model.body
        self.model = model
        followed = tracked and wanted.detect_every is not None and isinstance(model, Followed)
        steady = not (tracked and wanted.offline) or wanted.smooth == "one-euro"
        place = Place(place=wanted.absolute, steady=steady)
        # The model is run on the regions of tracked people, so its output already has their IDs.
        sure = 0 if followed or wanted.confirm else identify.Options().sure
        who = Identify(identify.Options(sure=sure), by_number=followed)
        # Smoothed bodies get their parts; but before steps that take its pixels from the frame.
        soon = 0 if wanted.offline else len(over_time[:1])
        self.steps: list[Step | WantsFuture] = [
            *([who] * tracked),
            *(*over_time[:soon], *parts, *over_time[soon:]),
            place,
        ]
        # After those steps that need no later frames: the others are for confirmed people.
        self.confirm = Confirm(by_number=followed) if tracked and wanted.confirm else None
        self.on_step = on_step
        if on_step is not None:
            self.steps = [_told(step, on_step) for step in self.steps]
        late = next((i for i, s in enumerate(self.steps) if isinstance(s, WantsFuture)), None)
        self._later = [] if late is None else self.steps[late:]
        self._now = [step for step in self.steps[:late] if not isinstance(step, WantsFuture)]
        self.find: Callable[[Frame], Poses] = lambda frame: model([frame])[0]
        if followed and wanted.detect_every is not None and isinstance(model, Followed):
            at_once = [] if wanted.offline else over_time
            forget = next((s.forget for s in at_once if isinstance(s, OneEuro)), lambda who: None)
            same = SAME_FROM if wanted.same_from is None else wanted.same_from
            self.find = Follow(model, every=wanted.detect_every, overlap=same, on_lost=forget)

    def __call__(self, frame: Frame | np.ndarray, seconds: float | None = None) -> Poses:
        """The poses of the next frame.

        Args:
            frame: a `Frame`, or, for `vit.stream` with `order`, an array.
            seconds: timestamp of the frame; for its default see `vit.stream`.

        Raises:
            VitruvianError: not a frame, timestamps do not increase, the camera has another image
                size, a step needs later frames, or `absolute` with a model without 3D.
        """
        if self.make is not None or not isinstance(frame, Frame):
            self.make = self.make or FrameMaker()
            frame = self.make(frame, seconds)
        if self.camera is not None:
            frame = seen_by(self.camera, frame)
        if self._later:
            raise VitruvianError(
                f"{self.wanted.asked} needs future frames; use smooth one-euro without repair, or "
                "vit.run for a recording"
            )
        poses = self._frame(frame, self.find(frame))
        if self.confirm is None:
            return poses
        return self._told("Confirm", frame, self.confirm(frame, poses))

    def _told(self, name: str, frame: Frame, poses: Poses) -> Poses:
        if self.on_step is not None:
            self.on_step(name, frame, poses)
        return poses

    def _frame(self, frame: Frame, poses: Poses) -> Poses:
        """The poses of the next frame after all online steps."""
        if self.wanted.absolute and poses.xyz is None:
            raise _no_metres(self.model)
        self._told("model", frame, poses)
        for step in self._now:
            poses = step(frame, poses)
        if isinstance(self.find, Follow):
            self.find.look = Regions.none() if poses.look is None else poses.look
        return poses

    def run(
        self, source: Source, on_error: Callable[[VitruvianError], None], *, pixels: bool = True
    ) -> Iterator[Pair]:
        """Every frame of a source with its poses; read errors go to `on_error`.

        Where a person is not confirmed yet, a recording is held back for up to 3 seconds, see
        `Confirm`. Offline steps have a delay of some seconds. Pixels are not buffered for that
        long: if they are needed, the source is decoded a second time.

        Args:
            source: from `open_source`.
            on_error: called with the error if a frame, or the rest of a source, cannot be read.
            pixels: whether frames need their pixels, also after offline steps.
        """
        pairs = self._pairs(source, on_error)
        if self._later or not pixels:
            pairs = ((replace(frame, pixels=None), poses) for frame, poses in pairs)
        if self.confirm is not None:
            pairs = self._confirmed(self.confirm, source, pairs)
        if self._later:
            pairs = through(self._later, pairs)
        yield from reread(source, pairs) if pixels else pairs

    def _confirmed(self, confirm: Confirm, source: Source, pairs: Iterator[Pair]) -> Iterator[Pair]:
        """With confirmed people only where the source is known as a whole, see `Confirm`."""
        large = any(self.model.options.get(name) for name in ("masks", "heatmaps"))
        if source.live or getattr(source, "once", False) or large:
            done = ((frame, confirm(frame, poses)) for frame, poses in pairs)
        else:
            done = confirm.through(pairs)
        for frame, poses in done:
            yield frame, self._told("Confirm", frame, poses)

    def _pairs(self, source: Source, on_error: Callable[[VitruvianError], None]) -> Iterator[Pair]:
        """Every frame with its poses after all online steps."""
        waiting: deque[Frame] = deque()

        def frames() -> Iterator[Frame]:
            stop = threading.Event()
            pictures = readable(reconnecting(source, stop))
            for frame in Prefetch(pictures, newest=source.live, stop=stop):
                if isinstance(frame, VitruvianError):
                    on_error(frame)
                    continue
                if self.camera is not None:
                    try:
                        frame = seen_by(self.camera, frame)
                    except VitruvianError as error:
                        on_error(error)
                        if source.moving:
                            return  # all frames of a video have the same size
                        continue
                waiting.append(frame)
                yield frame

        one_by_one = source.live or self.on_step is not None
        if isinstance(self.find, Follow) and not one_by_one:
            found = self._followed(self.find, frames())
        elif isinstance(self.model, Streamed) and not (isinstance(self.find, Follow) or one_by_one):
            found = self.model.stream(frames())  # several frames in parallel
        else:
            found = map(self.find, frames())
        for poses in found:
            frame = waiting.popleft()
            yield frame, self._frame(frame, poses)

    def _followed(self, find: Follow, frames: Iterator[Frame]) -> Iterator[Poses]:
        """The people of each frame; the network begins with the next one early."""
        ahead: deque[Frame | None] = deque()

        def coming() -> Frame | None:
            ahead.append(next(frames, None))
            return ahead[0]

        while (frame := ahead.popleft() if ahead else next(frames, None)) is not None:
            yield find(frame, coming, self._next_look)

    def _next_look(self, frame: Frame, look: Regions) -> Regions:
        """Regions for the next frame, as the steps will make them if everyone keeps their id."""
        look = look.take(np.argsort(look.person))
        for step in self._now:
            if isinstance(step, OneEuro):
                look = step.next_look(frame, look)
        return look


def _told(
    step: Step | WantsFuture, on_step: Callable[[str, Frame, Poses], None]
) -> Step | WantsFuture:
    """The step, with each result reported to `on_step`."""
    if isinstance(step, WantsFuture):
        return _ToldLater(step, on_step)
    name = type(step).__name__

    def now(frame: Frame, poses: Poses) -> Poses:
        poses = step(frame, poses)
        on_step(name, frame, poses)
        return poses

    return now


class _ToldLater:
    """An offline step, with each result reported to `on_step`."""

    def __init__(self, step: WantsFuture, on_step: Callable[[str, Frame, Poses], None]) -> None:
        self.step, self.on_step = step, on_step

    def through(self, pairs: Iterable[Pair], /) -> Iterator[Pair]:
        for frame, poses in self.step.through(pairs):
            self.on_step(type(self.step).__name__, frame, poses)
            yield frame, poses


def steps_over_time(
    wanted: Wanted, on_repair: Callable[[Repaired], None] = lambda change: None
) -> list[Step | WantsFuture]:
    """New repair and smoothing steps for tracked people, in order."""
    steps: list[Step | WantsFuture] = [Repair(on_repair)] if wanted.repair else []
    if wanted.smooth == "butterworth":
        hz = wanted.cutoff_hz
        steps.append(Butterworth(None if hz is None else butterworth.Options(hz)))
    elif wanted.smooth == "one-euro":
        steps += [OneEuro(), OneEuroParts()]
    return steps


def through(steps: Sequence[Step | WantsFuture], pairs: Iterable[Pair]) -> Iterator[Pair]:
    """The frames of one recording after some steps.

    Offline steps buffer frames for some seconds: pass frames without pixels.
    """
    if any(isinstance(step, WantsFuture) for step in steps):
        pairs = _in_order(pairs)
    for step in steps:
        pairs = step.through(pairs) if isinstance(step, WantsFuture) else _each(step, pairs)
    yield from pairs


def _each(step: Step, pairs: Iterable[Pair]) -> Iterator[Pair]:
    return ((frame, step(frame, poses)) for frame, poses in pairs)


def _in_order(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """The same pairs; notes where timestamps do not increase, which splits the filtered signal."""
    last, told = None, False
    for frame, poses in pairs:
        same = last is not None and last.source == frame.source
        if last is not None and same and not told and not frame.seconds > last.seconds:
            told = True
            note(
                f"frame {frame.index} of '{frame.source}' is at {frame.seconds:g} s, not after "
                f"{last.seconds:g} s; the parts before and after are processed separately"
            )
        last = frame
        yield frame, poses


def _no_metres(model: Model) -> VitruvianError:
    from vitruvian.models.zoo import CATALOGUE

    able = ", ".join(row.name for row in CATALOGUE.values() if "3D" in row.gives)
    return VitruvianError(
        f"{model.name} gives no 3D coordinates, which absolute needs; leave absolute out, or use "
        f"one of {able}"
    )


def seen_by(camera: Given, frame: Frame) -> Frame:
    """The frame with its camera.

    A video with non-square pixels may be calibrated at its display size, or at its stored size,
    as OpenCV reads it.

    Raises:
        VitruvianError: the camera has another image size.
    """
    try:
        return replace(frame, camera=camera(frame.size))
    except VitruvianError as error:
        stored = getattr(frame.pixels, "stored", frame.size)
        if stored != frame.size:
            with suppress(VitruvianError):
                return replace(frame, camera=camera(stored).stretched(frame.size))
        raise VitruvianError(f"cannot use '{frame.source}': {error}") from None
