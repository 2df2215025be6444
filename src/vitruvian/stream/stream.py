"""Stream: the memory of one stream. Frames in; numbered, smoothed, placed poses out.

Three things go on at once while a source is read: a thread reads ahead, the caller's thread runs
the model, and, where files are written, a thread writes behind. The queues between them are short,
so memory does not grow with the length of a video.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, note
from vitruvian.frame import Frame
from vitruvian.geometry import calibration
from vitruvian.geometry.camera import Camera
from vitruvian.geometry.regions import Regions
from vitruvian.models.model import Model, Streamed
from vitruvian.sources.frames import FrameMaker
from vitruvian.sources.threads import Prefetch, readable, reread
from vitruvian.stream import butterworth, identify
from vitruvian.stream.butterworth import Butterworth
from vitruvian.stream.follow import Follow, Followed
from vitruvian.stream.identify import Identify
from vitruvian.stream.one_euro import OneEuro
from vitruvian.stream.placement import Place
from vitruvian.stream.repair import Change, Repair
from vitruvian.stream.wanted import Wanted, check_wanted, defaults
from vitruvian.stream.windows import Pair

if TYPE_CHECKING:
    from vitruvian.sources.open import Source

SAME_FROM = 0.5  # IoU, where nothing else is said
Given = Callable[[tuple[int, int]], Camera]  # of pictures of a size; see `calibration.given`
Step = Callable[[Frame, Poses], Poses]


@runtime_checkable
class WantsFuture(Protocol):
    """A step that needs frames after the one it changes: it gets all of a recording, in order."""

    def through(self, pairs: Iterable[Pair], /) -> Iterator[Pair]:
        """The same frames, some seconds behind. They come without pixels."""
        ...


class Stream:
    """The memory of one stream: frames in; numbered, smoothed, placed poses out.

    `find` says who is in a frame. `steps` are all that may move a keypoint after that, in this
    order: each is `(frame, poses) -> poses`, or wants the future and is for recordings only.
    """

    def __init__(
        self,
        model: Model,
        wanted: Wanted | None = None,
        *,
        moving: bool = True,
        camera: Given | None = None,
        make: FrameMaker | None = None,
        on_repair: Callable[[Change], None] = lambda change: None,
        on_step: Callable[[str, Frame, Poses], None] | None = None,
    ) -> None:
        """Start with nobody.

        Args:
            model: what finds the people.
            wanted: what is done over time, and where metres are from; None: as usual.
            moving: whether frames follow each other in time; otherwise nothing is remembered.
            camera: of the frames, from `calibration.given`; None: the cameras they came with.
            make: counts and times frames that a caller has read; None: they say it themselves.
            on_repair: gets what was mended.
            on_step: gets what the model, and then each step, made of a frame, with its name.
        """
        self.make = make
        self.model, self.moving, self.camera = model, moving, camera
        self.wanted = wanted = (wanted or Wanted()).or_else(defaults(model))
        tracked = moving and bool(wanted.track)
        followed = tracked and wanted.detect_every is not None and isinstance(model, Followed)
        over_time = steps_over_time(wanted, on_repair) if tracked else []
        steady = not (tracked and wanted.offline) or wanted.smooth == "one-euro"
        place = Place(place=wanted.absolute, steady=steady)
        # Where people were is where they are looked for: such a model says itself who is there.
        who = Identify(identify.Options(sure=0), by_number=True) if followed else Identify()
        self.steps: list[Step | WantsFuture] = [*([who] * tracked), *over_time, place]
        self.on_step = on_step
        if on_step is not None:
            self.steps = [_told(step, on_step) for step in self.steps]
        late = next((i for i, s in enumerate(self.steps) if isinstance(s, WantsFuture)), None)
        self._later = [] if late is None else self.steps[late:]
        self._now: list[Step] = self.steps[:late]  # type: ignore[assignment]
        self.find: Callable[[Frame], Poses] = lambda frame: model([frame])[0]
        if followed and wanted.detect_every is not None and isinstance(model, Followed):
            at_once = [] if wanted.offline else over_time
            forget = next((s.forget for s in at_once if isinstance(s, OneEuro)), lambda who: None)
            same = SAME_FROM if wanted.same_from is None else wanted.same_from
            self.find = Follow(model, every=wanted.detect_every, overlap=same, on_lost=forget)

    def __call__(self, frame: Frame | np.ndarray, seconds: float | None = None) -> Poses:
        """The people of the next frame.

        Args:
            frame: a `Frame`; of `vit.stream` also an array, if it knows the order of its channels.
            seconds: when it was taken; see `vit.stream` for what is assumed where nobody says so.

        Raises:
            VitruvianError: it is no frame, it is not later than the one before, the camera's
                pictures have another shape, a step wants what comes later, or the model gives no
                metres to place.
        """
        if self.make is not None or not isinstance(frame, Frame):
            self.make = self.make or FrameMaker()
            frame = self.make(frame, seconds)
        if self.camera is not None:
            frame = seen_by(self.camera, frame)
        if self._later:
            raise VitruvianError(
                f"{self.wanted.asked} wants what comes later; take smooth one-euro, without "
                "repair, or let vit.run read the whole recording"
            )
        return self._frame(frame, self.find(frame))

    def _frame(self, frame: Frame, poses: Poses) -> Poses:
        """What was found in the next frame, after all steps that need no other frame."""
        if self.wanted.absolute and poses.xyz is None:
            raise _no_metres(self.model)
        if self.on_step is not None:
            self.on_step("model", frame, poses)
        for step in self._now:
            poses = step(frame, poses)
        if isinstance(self.find, Follow):
            self.find.look = Regions.none() if poses.look is None else poses.look
        return poses

    def run(
        self, source: Source, on_error: Callable[[VitruvianError], None], *, pixels: bool = True
    ) -> Iterator[Pair]:
        """Every frame of a source with its poses; what cannot be read goes to `on_error`.

        What wants the future runs some seconds behind. No pixels are kept for that long: where they
        are wanted, the source is read a second time, as far behind.

        Args:
            source: from `open_source`.
            on_error: gets why a frame, or the rest of a source, is left out.
            pixels: whether frames must have them, also those of recordings that are repaired.
        """
        pairs = self._pairs(source, on_error)
        if not self._later:
            yield from pairs
            return
        bare = ((replace(frame, pixels=None), poses) for frame, poses in pairs)
        done = through(self._later, bare)
        yield from reread(source, done) if pixels else done

    def _pairs(self, source: Source, on_error: Callable[[VitruvianError], None]) -> Iterator[Pair]:
        """Every frame with its poses, after all steps that need no other frame."""
        waiting: deque[Frame] = deque()

        def frames() -> Iterator[Frame]:
            for frame in Prefetch(readable(source), newest=source.live):
                if isinstance(frame, VitruvianError):
                    on_error(frame)
                    continue
                if self.camera is not None:
                    try:
                        frame = seen_by(self.camera, frame)
                    except VitruvianError as error:
                        on_error(error)
                        if source.moving:
                            return  # its other frames are as large
                        continue
                waiting.append(frame)
                yield frame

        # Frames of a model that needs no other frame are computed side by side.
        model = None if source.live else self.model
        found = model.stream(frames()) if isinstance(model, Streamed) else map(self.find, frames())
        for poses in found:
            frame = waiting.popleft()
            yield frame, self._frame(frame, poses)


def _told(
    step: Step | WantsFuture, on_step: Callable[[str, Frame, Poses], None]
) -> Step | WantsFuture:
    """The same step, of which each result is told."""
    name = type(step).__name__

    def now(frame: Frame, poses: Poses) -> Poses:
        poses = step(frame, poses)  # type: ignore[operator]
        on_step(name, frame, poses)
        return poses

    return _ToldLater(step, on_step) if isinstance(step, WantsFuture) else now


class _ToldLater:
    """A step that wants the future, of which each result is told."""

    def __init__(self, step: WantsFuture, on_step: Callable[[str, Frame, Poses], None]) -> None:
        self.step, self.on_step = step, on_step

    def through(self, pairs: Iterable[Pair], /) -> Iterator[Pair]:
        for frame, poses in self.step.through(pairs):
            self.on_step(type(self.step).__name__, frame, poses)
            yield frame, poses


def steps_over_time(
    wanted: Wanted, on_repair: Callable[[Change], None] = lambda change: None
) -> list[Step | WantsFuture]:
    """Fresh steps that mend and smooth people who are numbered, in their order."""
    steps: list[Step | WantsFuture] = [Repair(on_repair)] if wanted.repair else []
    if wanted.smooth == "butterworth":
        hz = wanted.cutoff_hz
        steps.append(Butterworth(None if hz is None else butterworth.Options(hz)))
    elif wanted.smooth == "one-euro":
        steps.append(OneEuro())
    return steps


def through(steps: Sequence[Step | WantsFuture], pairs: Iterable[Pair]) -> Iterator[Pair]:
    """The frames of one recording after some steps; those that want the future run behind.

    Such frames are held for some seconds: give them without pixels.
    """
    if any(isinstance(step, WantsFuture) for step in steps):
        pairs = _in_order(pairs)
    for step in steps:
        pairs = step.through(pairs) if isinstance(step, WantsFuture) else _each(step, pairs)
    yield from pairs


def _each(step: Step, pairs: Iterable[Pair]) -> Iterator[Pair]:
    return ((frame, step(frame, poses)) for frame, poses in pairs)


def _in_order(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """The same; says so where time does not go on, which ends what is filtered together."""
    last, told = None, False
    for frame, poses in pairs:
        same = last is not None and last.source == frame.source
        if last is not None and same and not told and not frame.seconds > last.seconds:
            told = True
            note(
                f"frame {frame.index} of '{frame.source}' is at {frame.seconds:g} s, not after "
                f"{last.seconds:g} s; what is before and after such frames is done by itself"
            )
        last = frame
        yield frame, poses


def _no_metres(model: Model) -> VitruvianError:
    from vitruvian.models.zoo import CATALOGUE

    able = ", ".join(row.name for row in CATALOGUE.values() if "3D" in row.gives)
    return VitruvianError(
        f"{model.name} gives no 3D, so nobody can be put in front of the camera; "
        f"leave absolute out, or take one of {able}"
    )


def seen_by(camera: Given, frame: Frame) -> Frame:
    """The frame, with the camera it is of.

    A video whose pixels are not square may be calibrated as it is shown, or as it is stored, which
    is how OpenCV reads it.

    Raises:
        VitruvianError: the camera's pictures have another shape.
    """
    try:
        return replace(frame, camera=camera(frame.size))
    except VitruvianError as error:
        stored = getattr(frame.pixels, "stored", frame.size)
        if stored != frame.size:
            with suppress(VitruvianError):
                return replace(frame, camera=camera(stored).stretched(frame.size))
        raise VitruvianError(f"cannot use '{frame.source}': {error}") from None


def stream(
    model: str | Model = "blazepose-full",
    *,
    fps: float | None = None,
    order: str | None = None,
    camera: Camera | str | Path | None = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    **options: Any,
) -> Stream:
    """Find the people in frames that you read yourself, one after the other of one video.

        stream = vit.stream("blazepose-full", num_poses=2)
        while (read := capture.read())[0]:  # cv2.VideoCapture
            poses = stream(vit.Frame.bgr(read[1]))

    It remembers who is where, so that people keep their numbers, are followed and smoothed as by
    `run`; what `load` gives remembers nothing. A stream is for one video: open one for each.

    Args:
        model: a name of the catalogue, or a model from `load`.
        fps: frames a second. Frames that have `seconds`, and `stream(frame, seconds)`, need none.
            Without either, the clock says when a frame is taken: right for a camera, not for a file
            that is read as quickly as can be.
        order: of the channels of arrays, "bgr" as OpenCV has it or "rgb", so that `stream(array)`
            does without `Frame.bgr(array)` and `Frame(array)`.
        camera: that took the frames, or its calibration file, see `Camera.read`.
        fov_deg: instead, the camera's field of view, across the longer side.
        focal: instead, its focal length, pixels.
        focal_mm: instead, its focal length on 35 mm film.
        options: of the model; and `track`, `smooth`, `absolute`, `detect_every`, `same_from`, see
            `vitruvian.stream.wanted.Wanted`.

    Raises:
        VitruvianError: no such model or option, or one that wants what comes later.
    """
    from vitruvian.models.load import open_model

    given = calibration.given(camera, fov_deg=fov_deg, focal=focal, focal_mm=focal_mm)
    make = FrameMaker(fps=fps, order=order)
    wanted, options = Wanted.split(options)
    opened = open_model(model, [], **options)
    check_wanted(wanted, opened)
    return Stream(opened, wanted, camera=given, make=make)


def run(
    source: Any,
    model: str | Model = "blazepose-full",
    *,
    fps: float | None = None,
    order: str | None = None,
    start: float = 0.0,
    end: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
    camera: Camera | str | Path | None = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    absolute: bool = False,
    smooth: str | bool | None = None,
    cutoff_hz: float | None = None,
    repair: bool = False,
    on_repair: Callable[[Change], None] = lambda change: None,
    on_error: Callable[[VitruvianError], None] | None = None,
    on_source: Callable[[Source], None] = lambda source: None,
    **options: Any,
) -> Iterator[tuple[Frame, Poses]]:
    """Find the people in a source, frame by frame.

    Args:
        source: picture, folder, pattern, video, `camera:0` or 0, stream address, `sample`, or
            several. Or what you have read yourself: a `Frame` or an array; a list of them, which is
            one video; or a generator of them, read a few frames ahead in another thread.
        model: a name of the catalogue, or a model from `load`.
        fps: of frames that do not say themselves when they were taken, frames a second. A list
            needs it; a generator goes by the clock without it.
        order: of the channels of arrays: "bgr", as OpenCV has it, or "rgb".
        start: seconds, where to begin in a video.
        end: seconds, where to stop in a video.
        stride: every n-th frame.
        max_frames: of each source.
        camera: that all of it was taken with, or its calibration file, see `Camera.read`. Without
            any, photographs say themselves, and otherwise 55 degrees are assumed.
        fov_deg: instead, the camera's field of view, across the longer side.
        focal: instead, its focal length, pixels.
        focal_mm: instead, its focal length on 35 mm film.
        absolute: whether metres are to be from the camera, also of models that give them from the
            hips: people are put where body and picture agree, see `vitruvian.stream.placement`.
        smooth: who is numbered: "one-euro" (or True), "butterworth", which runs some seconds behind
            and is not for live sources, or "no" (False). Unless it is given, as the model does.
        cutoff_hz: of Butterworth; 6 unless it is given, or less where frames are too few for it.
        repair: whether left and right exchanged for a moment, and short jumps, are mended; not of
            live sources.
        on_repair: is told of each change, before the frame it is in comes.
        on_error: is told what cannot be read. Without it, the rest is done first, and then raised.
        on_source: is told of each source before its first frame.
        options: of the model, see `vitruvian.models.load.load`.

    Returns:
        Pairs of frame and poses. In videos and streams people are told apart: `poses.person` is the
        same for the same person, unless `track=False`. Pictures have nothing to do with each other.

    Raises:
        VitruvianError: no such source or model, a wrong option, or something could not be read.
    """
    from vitruvian.models.load import open_model
    from vitruvian.sources.open import Span, open_source

    said = {"smooth": smooth, "cutoff_hz": cutoff_hz, "repair": repair, "absolute": absolute}
    wanted, options = Wanted.split(options | said)
    given = calibration.given(camera, fov_deg=fov_deg, focal=focal, focal_mm=focal_mm)
    sources = open_source(source, Span(start, end, stride, max_frames), fps=fps, order=order)
    opened = open_model(model, sources, **options)
    check_wanted(wanted, opened, sources)
    faults: list[VitruvianError] = []

    def everything() -> Iterator[tuple[Frame, Poses]]:
        for each in sources:
            told = on_error or faults.append
            on_source(each)
            one = Stream(opened, wanted, moving=each.moving, camera=given, on_repair=on_repair)
            yield from one.run(each, told)
        if faults:
            more = f" (and {len(faults) - 1} more like it)" if len(faults) > 1 else ""
            raise VitruvianError(f"{faults[0]}{more}")

    return everything()
