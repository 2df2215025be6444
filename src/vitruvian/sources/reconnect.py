"""A live source that goes away is opened again, with increasing waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from vitruvian.errors import VitruvianError, note
from vitruvian.frame import Frame
from vitruvian.sources.video import Span, VideoFile
from vitruvian.sources.webcam import Webcam

if TYPE_CHECKING:
    from vitruvian.sources.open import Source

BACK_OFF = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds until a lost source is opened again


def _noted(state: str, why: str) -> None:
    note(f"{why}; opening it again until Ctrl-C" if state == "lost" else why)


def reconnecting(
    source: Source, stop: threading.Event, tell: Callable[[str, str], None] = _noted
) -> Iterator[Frame | VitruvianError]:
    """Frames of a source; a live one that had frames and is lost is opened again.

    Indices and times go on: the time in which it was away counts. Its span holds for all of it.
    An address that gives one frame and ends is an image, and not opened again.

    Args:
        source: from `open_source`.
        stop: ends a wait, and with it the frames.
        tell: called with "lost" and the reason, once, and with "running" when it is back.
    """
    if not (source.live and isinstance(source, VideoFile | Webcam)):
        yield from source
        return
    span, given, failed, away, frames = source.span, 0, 0, False, 0
    last: Frame | None = None
    arrived = 0.0
    every = replace(source, span=Span(stride=span.stride))
    while not stop.is_set():
        error, begun, later, number = None, False, 0.0, 0
        for frame in every:
            now = time.monotonic()
            if isinstance(frame, VitruvianError):
                error = frame
                break
            if not begun:
                begun = True
                if last is not None:
                    away = False
                    later = last.seconds + (now - arrived) - frame.seconds
                    number = last.index + span.stride - frame.index
                    tell("running", f"{source.name} is back after {now - arrived:.0f} s")
            arrived, frames = now, frames + 1
            if number and last is not None:
                seconds = max(frame.seconds + later, last.seconds + 1e-6)
                frame = replace(frame, index=frame.index + number, seconds=seconds)
            last, seconds = frame, frame.seconds
            if span.end is not None and seconds >= span.end:
                return
            if seconds >= span.start:
                yield frame
                given += 1
            if given == span.max_frames:
                return
        if last is None:  # it never had a frame
            if error is not None:
                yield error
            return
        if frames == 1 and error is None:
            note(f"{source.name} is one image, not a stream")
            return
        if not away:
            away = True
            tell("lost", str(error or f"{source.name} has ended"))
        failed = 0 if begun else failed + 1
        stop.wait(BACK_OFF[min(failed, len(BACK_OFF) - 1)])
        if span.end is not None and last.seconds + time.monotonic() - arrived >= span.end:
            return
