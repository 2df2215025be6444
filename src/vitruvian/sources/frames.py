"""Frames of a caller: images read by other code, numbered, with increasing times."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.errors import VitruvianError, shown
from vitruvian.frame import Frame
from vitruvian.sources.video import Span

ORDERS = ("rgb", "bgr")
NAME = "frames"


class FrameMaker:
    """Makes frames from images of one stream that other code reads, one by one.

    The channel order of an array, RGB or BGR (OpenCV), is given by `order`, or by the caller with
    `Frame(rgb)` or `Frame.bgr(array)`. The time of a frame without `seconds` comes from `fps`, or
    else from the system clock.
    """

    def __init__(self, *, fps: float | None = None, order: str | None = None) -> None:
        """Start at frame 0.

        Args:
            fps: frames per second.
            order: "rgb" or "bgr", channel order of arrays.

        Raises:
            VitruvianError: one of them is invalid.
        """
        if fps is not None and not (isinstance(fps, (int, float)) and 0 < fps < 1e6):
            raise VitruvianError(
                f"fps is {fps!r}, want frames per second; OpenCV gives 0 if unknown: then leave "
                "fps out, and the wall clock is used"
            )
        check_order(order)
        self.fps, self.order = fps, order
        self.count = 0
        self.last: float | None = None  # seconds of the frame before
        self.timed = False  # whether the caller gives the times of frames
        self.began = 0.0

    def __call__(self, picture: Any, seconds: float | None = None) -> Frame:
        """The next frame.

        Args:
            picture: a `Frame`, or (H, W, 3) uint8 if the channel order is known.
            seconds: its time, instead of its own `seconds`.

        Raises:
            VitruvianError: it is neither, or it is not later than the one before.
        """
        frame = picture_as_frame(picture, self.order)
        if seconds is None:
            seconds = self._seconds(frame)
        else:
            self.timed = True
        if not (self.last is None or seconds > self.last):
            raise VitruvianError(
                f"frame {self.count} is at {seconds:g} s, which is not after {self.last:g} s; "
                "timestamps of a stream must increase; open a new stream for another video"
            )
        index = frame.index or self.count
        self.last, self.count = float(seconds), self.count + 1
        source = frame.source or NAME
        return replace(frame, index=index, seconds=float(seconds), source=source)

    def _seconds(self, frame: Frame) -> float:
        """Time since the first frame."""
        self.timed = self.timed or frame.seconds != 0
        if self.timed:
            return frame.seconds
        if self.fps is not None:
            return self.count / self.fps
        now = time.monotonic()
        if self.last is None:
            self.began = now
            return 0.0
        return max(now - self.began, self.last + 1e-6)


def check_order(order: str | None) -> None:
    """Raise `VitruvianError` for an invalid channel order."""
    if order not in (None, *ORDERS):
        raise VitruvianError(f"order is {order!r}, want 'rgb', or 'bgr' (OpenCV)")


def picture_as_frame(picture: Any, order: str | None) -> Frame:
    """A frame from a frame, or from an array of known channel order.

    Raises:
        VitruvianError: it is something else, or the channel order is unknown.
    """
    if isinstance(picture, Frame):
        return picture
    if isinstance(picture, np.ndarray):
        if order is None:
            raise VitruvianError(
                "the channel order of an array is unknown: use Frame.bgr(array) for OpenCV, "
                "Frame(array) for RGB, or order='bgr' or order='rgb'"
            )
        return Frame.bgr(picture) if order == "bgr" else Frame(picture)
    got = type(picture).__name__
    if picture is None:
        way_out = (
            "cv2.VideoCapture.read() returns None at the end of a video, or if it cannot be read"
        )
    elif isinstance(picture, (str, Path)):
        way_out = f"write vit.Frame.read({shown(str(picture), 60)!r})"
    elif hasattr(picture, "convert"):  # of PIL
        way_out = "write vit.Frame(np.array(image.convert('RGB')))"
    else:
        way_out = "use vit.Frame.bgr(array) for BGR (OpenCV), vit.Frame(array) for RGB"
    raise VitruvianError(f"a stream wants a vit.Frame, got {got}; {way_out}")


class CallerFrames:
    """A source of frames or arrays from a list or an iterator of the caller."""

    live = False
    name = NAME

    def __init__(
        self,
        pictures: Iterable[Any],
        span: Span,
        *,
        fps: float | None = None,
        order: str | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            pictures: a list (one video, if more than one), or an iterable to be read once.
            span: frames to process.
            fps: frames per second.
            order: "rgb" or "bgr", channel order of arrays.

        Raises:
            VitruvianError: the frames of a list have no times.
        """
        self.pictures, self.span, self.fps, self.order = pictures, span, fps, order
        several = isinstance(pictures, Sequence)
        self.once = not several
        self.moving = not several or len(pictures) > 1
        FrameMaker(fps=fps, order=order)
        timed = several and any(isinstance(p, Frame) and p.seconds for p in pictures)
        if several and self.moving and fps is None and not timed:
            raise VitruvianError(
                f"{len(pictures)} frames form one video without timestamps; give fps=30 (frames "
                "per second), or call model(frames) for independent images"
            )

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        make, given, span = FrameMaker(fps=self.fps, order=self.order), 0, self.span
        for number, picture in enumerate(self.pictures):
            frame = make(picture)
            if span.end is not None and frame.seconds >= span.end:
                return
            if frame.seconds >= span.start and number % span.stride == 0:
                yield frame
                given += 1
                if given == span.max_frames:
                    return

    def count(self) -> int | None:
        """Number of frames; `max_frames` if it is unknown."""
        span = self.span
        if span.start or span.end is not None or not isinstance(self.pictures, Sequence):
            return span.max_frames
        return min(
            len(range(0, len(self.pictures), span.stride)), span.max_frames or len(self.pictures)
        )
