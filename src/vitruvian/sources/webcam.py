"""Webcam: a camera of this machine, through OpenCV."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.sources.video import Span


@dataclass(frozen=True)
class Webcam:
    """A webcam, by its OpenCV index; endless."""

    number: int
    span: Span
    moving = True
    live = True

    @property
    def name(self) -> str:
        """Such as `camera:0`."""
        return f"camera:{self.number}"

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        import cv2

        device = cv2.VideoCapture(self.number)
        try:
            if not device.isOpened():
                yield VitruvianError(
                    f"cannot open {self.name}: no such camera, or another program is using it"
                )
                return
            began, given, index = time.monotonic(), 0, -1
            while self.span.max_frames is None or given < self.span.max_frames:
                ok, bgr = device.read()
                seconds = time.monotonic() - began
                if not ok:
                    yield VitruvianError(
                        f"{self.name} returned no more frames after {seconds:.1f} s"
                    )
                    return
                index += 1
                if self.span.end is not None and seconds >= self.span.end:
                    return
                if seconds >= self.span.start and index % self.span.stride == 0:
                    yield Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), index, seconds, self.name)
                    given += 1
        finally:
            device.release()

    def count(self) -> int | None:
        """`max_frames`, or None: unknown."""
        return self.span.max_frames
