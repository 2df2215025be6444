"""Live: pictures that are pushed when they come, and people found in the newest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry import calibration
from vitruvian.geometry.camera import Camera
from vitruvian.pipeline import Given, Model, chosen, in_front, open_model, seen_by, steps

if TYPE_CHECKING:
    from vitruvian.body.poses import Poses


def live(
    model: str | Model,
    on_result: Callable[[Frame, Poses], None],
    *,
    camera: Camera | str | Path | None = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    absolute: bool = False,
    smooth: str | bool | None = None,
    **options: Any,
) -> Live:
    """Find people in pictures that are pushed, see `Live`.

    `options` are those of `load`; what comes before them is as in `run`.
    """
    given = calibration.given(camera, fov_deg=fov_deg, focal=focal, focal_mm=focal_mm)
    opened = open_model(model, [], **options)
    return Live(opened, on_result, camera=given, absolute=absolute, smooth=smooth)


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
        smooth: str | bool | None = None,
    ) -> None:
        """Start with an open stream and no pictures; camera, absolute and smooth as for `run`."""
        from vitruvian.track.over_time import OverTime

        over = OverTime.of(smooth, None, repair=False)
        if over.offline:
            raise VitruvianError(
                f"smooth {over.smooth} wants what comes later, and this is live; take one-euro"
            )
        self._found = steps(model, chosen(model, over).smooth == "one-euro")
        self._put = in_front(model, absolute)
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
                self._on_result(frame, self._put(frame, self._found(frame)))
            except BaseException as error:
                with self._change:
                    self._error, self._open = error, False
                return
            self.done += 1
