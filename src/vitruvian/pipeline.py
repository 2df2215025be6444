"""The loop: source -> model -> steps -> (frame, poses), and the threads around it.

Three things go on at once: a thread reads ahead, the caller's thread runs the model, and, where
sinks are used, a thread writes behind. The queues between them are short, so memory does not grow
with the length of a video.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions

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


AHEAD = 4  # frames read ahead, and written behind
T = TypeVar("T")


class Ahead(Generic[T]):
    """Takes items from an iterable in a thread of its own, a few ahead of who wants them.

    With `newest`, items nobody was there to take are dropped for newer ones: of a camera the latest
    picture is wanted. An exception in the thread is raised where the items are taken.
    """

    def __init__(self, items: Iterable[T], *, newest: bool = False) -> None:
        self._queue: queue.Queue[tuple[str, T | BaseException | None]]
        self._queue = queue.Queue(1 if newest else AHEAD)
        self._items, self._newest, self._stop = items, newest, threading.Event()
        self._thread = threading.Thread(target=self._read, name="vitruvian-read", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for item in self._items:
                if not self._put(("item", item), drop=self._newest):
                    return
            self._put(("end", None))
        except BaseException as error:
            self._put(("error", error))

    def _put(self, entry: tuple[str, T | BaseException | None], drop: bool = False) -> bool:
        """False if nobody wants any more."""
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=0 if drop else 0.1)
                return True
            except queue.Full:
                if drop:
                    self._take_one()
        return False

    def _take_one(self) -> None:
        with suppress(queue.Empty):
            self._queue.get_nowait()

    def __iter__(self) -> Iterator[T]:
        try:
            while True:
                kind, item = self._queue.get()
                if kind == "end":
                    return
                if kind == "error":
                    raise item  # type: ignore[misc]
                yield item  # type: ignore[misc]
        finally:
            self.close()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._take_one()
        self._thread.join(timeout=5)


class Behind:
    """Does things in a thread of its own, in order, a few behind who asked for them.

    An exception there is raised at the next call, or at the end.
    """

    def __init__(self, act: Callable[..., None]) -> None:
        self._act = act
        self._queue: queue.Queue[tuple | None] = queue.Queue(AHEAD)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="vitruvian-write", daemon=True)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._act(*item)
                except BaseException as error:
                    self._error = error

    def __enter__(self) -> Behind:
        self._thread.start()
        return self

    def __call__(self, *item: object) -> None:
        """Do it soon."""
        self._check()
        self._queue.put(item)

    def _check(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __exit__(self, kind: object, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if kind is None:
            self._check()


def steps(model: Model) -> Callable[[Frame], Poses]:
    """A model and a fresh memory: poses of one frame after the other of one stream."""
    from vitruvian.track.follow import Follow, Followed

    options = model.options
    # What a detector need not find in every frame is followed from one to the next.
    if isinstance(model, Followed) and options.get("detect_every") and options.get("track", True):
        return Follow(
            model,
            every=options["detect_every"],
            overlap=options["min_tracking_confidence"],
            smooth=options["smooth"],
        )
    after = numbered(model)
    return lambda frame: after(frame, model([frame])[0])


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


def results(
    source: Source, model: Model, on_error: Callable[[VitruvianError], None]
) -> Iterator[tuple[Frame, Poses]]:
    """Every frame of a source with its poses; what cannot be read goes to `on_error`."""
    waiting: deque[Frame] = deque()

    def frames() -> Iterator[Frame]:
        for frame in Ahead(source, newest=source.live):
            if isinstance(frame, VitruvianError):
                on_error(frame)
            else:
                waiting.append(frame)
                yield frame

    if isinstance(model, Streamed) and not source.live:
        after = numbered(model) if source.moving else lambda _, poses: poses
        for poses in model.stream(frames()):
            frame = waiting.popleft()
            yield frame, after(frame, poses)
        return
    step = steps(model) if source.moving else lambda frame: model([frame])[0]
    for poses in map(step, frames()):
        yield waiting.popleft(), poses


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
        on_error: is told what cannot be read. Without it, the rest is done first, and then raised.
        options: of the model, see `vitruvian.models.blazepose.Options`.

    Returns:
        Pairs of frame and poses. In videos and streams people are told apart: `poses.person` is the
        same for the same person, unless `track=False`. Pictures have nothing to do with each other.

    Raises:
        VitruvianError: no such source or model, a wrong option, or something could not be read.
    """
    from vitruvian.source import Span, open_source

    sources = open_source(source, Span(start, end, stride, max_frames))
    opened = open_model(model, sources, **options)
    faults: list[VitruvianError] = []

    def everything() -> Iterator[tuple[Frame, Poses]]:
        for each in sources:
            yield from results(each, opened, on_error or faults.append)
        if faults:
            more = f" (and {len(faults) - 1} more like it)" if len(faults) > 1 else ""
            raise VitruvianError(f"{faults[0]}{more}")

    return everything()


def live(model: str | Model, on_result: Callable[[Frame, Poses], None], **options: Any) -> Live:
    """Find people in pictures that are pushed, see `Live`; `options` are those of `load`."""
    return Live(open_model(model, [], **options), on_result)


class Live:
    """Poses of pictures that come when they come; the newest wins.

    Pictures are pushed, a thread finds the people, and `on_result` is called in that thread. A
    picture that arrives while another waits takes its place, so that no delay and no memory builds
    up. An exception in `on_result` stops the thread and is raised at the next `push` or `close`.
    """

    def __init__(self, model: Model, on_result: Callable[[Frame, Poses], None]) -> None:
        """Start with an open stream and no pictures."""
        self._step = steps(model)
        self._on_result = on_result
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
            VitruvianError: it is not later, or this is closed.
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
            self._waiting = Frame(rgb, self.pushed, float(seconds), "live")
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
