"""The loop: source -> model -> steps -> (frame, poses), and the threads around it.

Three things go on at once: a thread reads ahead, the caller's thread runs the model, and, where
sinks are used, a thread writes behind. The queues between them are short, so memory does not grow
with the length of a video.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry import calibration
from vitruvian.geometry.camera import Camera
from vitruvian.geometry.regions import Regions
from vitruvian.threads import Ahead

if TYPE_CHECKING:
    from vitruvian.source import Source


class Model(Protocol):
    """What every family is: a function from frames to poses that remembers nothing."""

    name: str  # in the catalogue
    weights: dict[str, str]  # file -> SHA-256
    options: dict[str, Any]  # it was loaded with

    @property
    def runs_on(self) -> str:
        """The device, or provider, that truly computes it."""
        ...

    def __call__(
        self, frames: Sequence[Frame], look: Sequence[Regions] | None = None, /
    ) -> list[Poses]:
        """Everyone in each frame; `look` says where to look for them, if it is known."""
        ...


@runtime_checkable
class Streamed(Protocol):
    """A model for which frames are independent, so that several are computed side by side."""

    def stream(self, frames: Iterable[Frame], /) -> Iterator[Poses]:
        """Everyone in each frame, in order."""
        ...


Given = Callable[[tuple[int, int]], Camera]  # of pictures of a size; see `calibration.given`


def steps(model: Model, *, absolute: bool = False) -> Callable[[Frame], Poses]:
    """A model and a fresh memory: poses of one frame after the other of one stream."""
    from vitruvian.track.follow import Follow, Followed

    options, put = model.options, in_front(model, absolute)
    # What a detector need not find in every frame is followed from one to the next.
    if isinstance(model, Followed) and options.get("detect_every") and options.get("track", True):
        follow = Follow(
            model,
            every=options["detect_every"],
            overlap=options["min_tracking_confidence"],
            smooth=options["smooth"],
        )
        return lambda frame: put(frame, follow(frame))
    after = numbered(model)
    return lambda frame: put(frame, after(frame, model([frame])[0]))


def numbered(model: Model) -> Callable[[Frame, Poses], Poses]:
    """A fresh memory for poses that were found frame by frame: who is who, and smoothing."""
    if not model.options.get("track", True):
        return lambda frame, poses: poses
    from vitruvian.track.identify import Identify
    from vitruvian.track.smooth import Smooth

    identify = Identify()
    if not model.options.get("smooth", False):
        return identify
    smooth = Smooth()
    return lambda frame, poses: smooth(identify(frame, poses), frame.seconds)


def in_front(model: Model, absolute: bool) -> Callable[[Frame, Poses], Poses]:
    """A fresh memory for where people stand; with `absolute`, everyone is put before the camera."""
    from vitruvian.track.absolute import Absolute

    step = Absolute(place=absolute)

    def put(frame: Frame, poses: Poses) -> Poses:
        if absolute and poses.xyz is None:
            from vitruvian.models.catalogue import CATALOGUE

            able = ", ".join(row.name for row in CATALOGUE.values() if "3D" in row.gives)
            raise VitruvianError(
                f"{model.name} gives no 3D, so nobody can be put in front of the camera; "
                f"leave absolute out, or take one of {able}"
            )
        return step(frame, poses)

    return put


def results(
    source: Source,
    model: Model,
    on_error: Callable[[VitruvianError], None],
    *,
    camera: Given | None = None,
    absolute: bool = False,
) -> Iterator[tuple[Frame, Poses]]:
    """Every frame of a source with its poses; what cannot be read goes to `on_error`.

    Args:
        source: from `open_source`.
        model: what finds the people.
        on_error: gets why a frame, or the rest of a source, is left out.
        camera: from `calibration.given`; without it, frames have the cameras they came with.
        absolute: whether people are put in front of it, see `run`.
    """
    waiting: deque[Frame] = deque()

    def frames() -> Iterator[Frame]:
        for frame in Ahead(source, newest=source.live):
            if isinstance(frame, VitruvianError):
                on_error(frame)
                continue
            if camera is not None:
                try:
                    frame = seen_by(camera, frame)
                except VitruvianError as error:
                    on_error(error)
                    if source.moving:
                        return  # its other frames are as large
                    continue
            waiting.append(frame)
            yield frame

    put = in_front(model, absolute)
    if isinstance(model, Streamed) and not source.live:
        after = numbered(model) if source.moving else lambda _, poses: poses
        for poses in model.stream(frames()):
            frame = waiting.popleft()
            yield frame, put(frame, after(frame, poses))
        return
    if source.moving:
        step = steps(model, absolute=absolute)
    else:
        step = lambda frame: put(frame, model([frame])[0])  # noqa: E731
    for poses in map(step, frames()):
        yield waiting.popleft(), poses


def seen_by(camera: Given, frame: Frame) -> Frame:
    """The frame, with the camera it is of.

    Raises:
        VitruvianError: the camera's pictures have another shape.
    """
    try:
        return replace(frame, camera=camera(frame.size))
    except VitruvianError as error:
        raise VitruvianError(f"cannot use '{frame.source}': {error}") from None


def open_model(model: str | Model, sources: Sequence[Source], **options: Any) -> Model:
    """A model for these sources, by name, or one that is loaded already.

    For videos BlazePose's networks get half of the cores unless `threads` says otherwise: each
    frame needs the one before, and decoding and writing want the other half. Of YOLOv8, which needs
    no other frame, as many frames are computed side by side as there are cores. AlphaPose's
    networks are so much larger than the rest that they get all cores.
    """
    from vitruvian.models.catalogue import family, load

    if not isinstance(model, str):
        if options:
            raise VitruvianError(
                f"the model is loaded already; give {', '.join(options)} to load()"
            )
        return model
    if options.get("threads") is None and any(source.moving for source in sources):
        kind = family(model)
        if kind == "yolopose":
            options.setdefault("streams", cores())
        elif kind == "blazepose":
            options["threads"] = max(1, cores() // 2)
    return load(model, **options)


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    source: str | Path | Sequence[str | Path],
    model: str | Model = "blazepose-full",
    *,
    start: float = 0.0,
    end: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
    camera: Camera | str | Path | None = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    absolute: bool = False,
    on_error: Callable[[VitruvianError], None] | None = None,
    **options: Any,
) -> Iterator[tuple[Frame, Poses]]:
    """Find the people in a source, frame by frame.

    Args:
        source: picture, folder, pattern, video, `camera:0`, stream address, `sample`, or several.
        model: a name of the catalogue, or a model from `load`.
        start: seconds, where to begin in a video.
        end: seconds, where to stop in a video.
        stride: every so manieth frame.
        max_frames: of each source.
        camera: that all of it was taken with, or its calibration file, see `Camera.read`. Without
            any, photographs say themselves, and otherwise 55 degrees are assumed.
        fov_deg: instead, the camera's field of view, across the longer side.
        focal: instead, its focal length, pixels.
        focal_mm: instead, its focal length on 35 mm film.
        absolute: whether metres are to be from the camera, also of models that give them from the
            hips: people are put where body and picture agree, see `vitruvian.track.absolute`.
        on_error: is told what cannot be read. Without it, the rest is done first, and then raised.
        options: of the model, see `vitruvian.models.blazepose.Options`.

    Returns:
        Pairs of frame and poses. In videos and streams people are told apart: `poses.person` is the
        same for the same person, unless `track=False`. Pictures have nothing to do with each other.

    Raises:
        VitruvianError: no such source or model, a wrong option, or something could not be read.
    """
    from vitruvian.source import Span, open_source

    given = calibration.given(camera, fov_deg=fov_deg, focal=focal, focal_mm=focal_mm)
    sources = open_source(source, Span(start, end, stride, max_frames))
    opened = open_model(model, sources, **options)
    faults: list[VitruvianError] = []

    def everything() -> Iterator[tuple[Frame, Poses]]:
        for each in sources:
            told = on_error or faults.append
            yield from results(each, opened, told, camera=given, absolute=absolute)
        if faults:
            more = f" (and {len(faults) - 1} more like it)" if len(faults) > 1 else ""
            raise VitruvianError(f"{faults[0]}{more}")

    return everything()


def live(
    model: str | Model,
    on_result: Callable[[Frame, Poses], None],
    *,
    camera: Camera | str | Path | None = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    absolute: bool = False,
    **options: Any,
) -> Live:
    """Find people in pictures that are pushed, see `Live`.

    `options` are those of `load`; what comes before them is as in `run`.
    """
    given = calibration.given(camera, fov_deg=fov_deg, focal=focal, focal_mm=focal_mm)
    opened = open_model(model, [], **options)
    return Live(opened, on_result, camera=given, absolute=absolute)


class Live:
    """Poses of pictures that come when they come; the newest wins.

    Pictures are pushed, a thread finds the people, and `on_result` is called in that thread. A
    picture that arrives while another waits takes its place, so that no delay and no memory builds
    up. An exception in `on_result` stops the thread and is raised at the next `push` or `close`.
    """

    def __init__(
        self,
        model: Model,
        on_result: Callable[[Frame, Poses], None],
        *,
        camera: Given | None = None,
        absolute: bool = False,
    ) -> None:
        """Start with an open stream and no pictures; camera and absolute as for `results`."""
        self._step = steps(model, absolute=absolute)
        self._on_result, self._camera = on_result, camera
        self._change = threading.Condition()
        self._waiting: Frame | None = None
        self._error: BaseException | None = None
        self._open = True
        self._seconds = -np.inf
        self.pushed = self.done = 0  # pictures; the difference has been dropped, or waits
        self._thread = threading.Thread(target=self._work, name="vitruvian-live", daemon=True)
        self._thread.start()

    def push(self, rgb: np.ndarray, seconds: float) -> None:
        """Offer a picture; returns at once.

        Args:
            rgb: (H, W, 3) uint8. It must not be changed afterwards.
            seconds: when it was taken, later than the one before.

        Raises:
            VitruvianError: it is not later, the camera's pictures have another shape, or this is
                closed.
            Exception: whatever `on_result` raised.
        """
        with self._change:
            self._check()
            if not self._open:
                raise VitruvianError("this live stream is closed; open a new one")
            if not seconds > self._seconds:
                raise VitruvianError(
                    f"a picture at {seconds:g} s came after one at {self._seconds:g} s; "
                    "time stamps must increase"
                )
            frame = Frame(rgb, self.pushed, float(seconds), "live")
            self._waiting = frame if self._camera is None else seen_by(self._camera, frame)
            self._seconds = seconds
            self.pushed += 1
            self._change.notify_all()

    def close(self) -> None:
        """Finish the picture that waits, then stop; may be called again."""
        with self._change:
            self._open = False
            self._change.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        with self._change:
            self._check()

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _work(self) -> None:
        while True:
            with self._change:
                while self._waiting is None and self._open:
                    self._change.wait()
                frame, self._waiting = self._waiting, None
            if frame is None:
                return
            try:
                self._on_result(frame, self._step(frame))
            except BaseException as error:
                with self._change:
                    self._error, self._open = error, False
                return
            self.done += 1
