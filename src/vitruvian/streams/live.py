"""Live: frames pushed by a caller; a thread estimates poses in the newest one."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.models.model import Model
from vitruvian.sources.frames import check_order, picture_as_frame
from vitruvian.streams.stream import Given, Stream, seen_by
from vitruvian.streams.wanted import Wanted, check_wanted

if TYPE_CHECKING:
    from vitruvian.body.poses import Poses


class Live:
    """Poses of pushed frames, in real time: old frames are dropped.

    A worker thread estimates the poses and calls `on_result`. A frame that arrives while another
    one waits replaces it, so latency and memory stay bounded. An exception in `on_result` stops
    the thread and is raised at the next `push` or `close`.
    """

    def __init__(
        self,
        model: Model,
        on_result: Callable[[Frame, Poses], None],
        *,
        order: str | None = None,
        wanted: Wanted | None = None,
        camera: Given | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Start the worker thread; `order` as for `vit.live`, the others as for `Stream`.

        `on_end` is called by the thread after the last frame.
        """
        check_order(order)
        check_wanted(wanted or Wanted(), model)
        stream = Stream(model, wanted)
        self._order, self._camera, self._seconds = order, camera, -math.inf
        self.pushed = 0  # frames; those not in `done` were dropped, or wait
        self._newest = Newest(lambda frame: on_result(frame, stream(frame)), on_end)

    @property
    def done(self) -> int:
        """Number of frames whose result was delivered."""
        return self._newest.done

    def push(self, picture: np.ndarray | Frame, seconds: float) -> None:
        """Push a frame; does not block.

        Args:
            picture: a `Frame`, or (H, W, 3) uint8 if `order` was given. Do not modify it
                afterwards.
            seconds: timestamp, greater than that of the previous frame.

        Raises:
            VitruvianError: channel order unknown, timestamps do not increase, the camera has
                another image size, or the stream is closed.
            Exception: raised by `on_result`.
        """
        with self._newest.change:
            self._newest.check()
            if not self._seconds < seconds < math.inf:
                raise VitruvianError(
                    f"the frame at {seconds:g} s came after one at {self._seconds:g} s; "
                    "timestamps must increase"
                )
            frame = picture_as_frame(picture, self._order)
            frame = replace(frame, index=self.pushed, seconds=float(seconds), source="live")
            self._newest.put(frame if self._camera is None else seen_by(self._camera, frame))
            self._seconds = seconds
            self.pushed += 1

    def close(self) -> None:
        """Process the waiting frame, then stop the thread; may be called again."""
        self._newest.close()

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Newest:
    """A thread that handles what it is given, one at a time; what comes next replaces what waits.

    An exception of `handle` stops the thread and is raised by the next `check`, `put` or `close`.
    """

    def __init__(
        self, handle: Callable[[Any], None], on_end: Callable[[], None] = lambda: None
    ) -> None:
        """Start the thread; it calls `on_end` last."""
        self._line = _Line()
        # The thread refers to the line and not to self, so that self can be garbage collected.
        self._thread = threading.Thread(
            target=_work, args=(self._line, handle, on_end), name="vitruvian-live", daemon=True
        )
        self._thread.start()
        weakref.finalize(self, self._line.close)

    @property
    def change(self) -> threading.Condition:
        """A lock, to check and put in one step."""
        return self._line.change

    @property
    def done(self) -> int:
        """How many were handled."""
        return self._line.done

    def check(self) -> None:
        """Raise what `handle` raised, or `VitruvianError` if it is closed."""
        with self.change:
            self._line.check()
            if not self._line.open:
                raise VitruvianError("this live stream is closed; open a new one")

    def put(self, item: Any) -> None:
        """Have this handled next, in place of what waits; does not block."""
        with self.change:
            self.check()
            self._line.waiting = item
            self.change.notify_all()

    def close(self) -> None:
        """Handle what waits, then stop the thread; may be called again."""
        self._line.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        with self.change:
            self._line.check()


class _Line:
    """State shared by `Newest` and its thread: what waits, not None, and an exception."""

    def __init__(self) -> None:
        self.change = threading.Condition(threading.RLock())  # reentrant: gc may call close
        self.waiting: Any = None
        self.error: BaseException | None = None
        self.open, self.done = True, 0

    def close(self) -> None:
        with self.change:
            self.open = False
            self.change.notify_all()

    def check(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error


def _work(line: _Line, handle: Callable[[Any], None], on_end: Callable[[], None]) -> None:
    while True:
        with line.change:
            while line.waiting is None and line.open:
                line.change.wait()
            item, line.waiting = line.waiting, None
        try:
            if item is None:
                on_end()
                return
            handle(item)
        except BaseException as error:
            with line.change:
                line.error, line.open = error, False
            return
        line.done += 1
