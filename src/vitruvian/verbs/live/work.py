"""The one thread that estimates poses for all live streams, and the reader of a source."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from vitruvian.errors import VitruvianError, note
from vitruvian.frame import Frame
from vitruvian.sources.reconnect import reconnecting
from vitruvian.verbs.live.live_stream import Choice, LiveStream, Setup
from vitruvian.verbs.live.pictures import SentFrame, encode_jpeg, message_json, packed
from vitruvian.verbs.live.triggers import BEGINS

if TYPE_CHECKING:
    from vitruvian.body.poses import Poses
    from vitruvian.sources.open import Source
    from vitruvian.verbs.live.outbox import Outbox

T = TypeVar("T")
Analysis = Callable[[], None]


@dataclass
class Waiting:
    """A frame that waits for the worker."""

    arrived: float  # of `time.perf_counter`
    frame: SentFrame | Frame
    decoded: Future[np.ndarray] | None  # of a client's frame

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8 of a client's frame.

        Raises:
            VitruvianError: it is damaged.
        """
        assert self.decoded is not None
        return self.decoded.result()

    def drop(self) -> None:
        """Do not decode it, if that has not begun."""
        if self.decoded is not None:
            self.decoded.cancel()


class Session:
    """One live stream: its newest frame, its state, and who gets the results."""

    def __init__(self, setup: Setup, number: int) -> None:
        """Start without frames; `number`: of the stream."""
        self.setup, self.number = setup, number
        self.outboxes: list[Outbox] = []
        # For who comes later: the last message about the model, and the starts of what lasts.
        self.about: dict[str, Any] | None = None
        self.going: dict[tuple[object, ...], dict[str, Any]] = {}
        self.frame: Waiting | None = None  # the newest
        self.jobs: deque[Callable[[], None]] = deque(maxlen=8)
        self.ended = self.failed = False
        self._stream: LiveStream | None = None
        self._count, self._begun, self._last = 0, 0.0, -1.0

    def send(self, message: dict[str, Any]) -> None:
        """Send a message that must not get lost to all clients."""
        if message["type"] == "model":
            self.about = message
        if message["type"] == "event":
            key = message["event"], message["person"], message.get("side")
            if message["change"] in BEGINS:
                self.going[key] = message
            else:
                self.going.pop(key, None)
        text = message_json(message)
        for outbox in tuple(self.outboxes):
            outbox.note(text)

    def do(self, job: Callable[[], T]) -> T | None:
        """Run a job; its error goes to the clients, and ends no other stream."""
        try:
            return job()
        except VitruvianError as error:
            self.send({"type": "refused", "why": str(error)})
        except Exception:
            traceback.print_exc()
            self.failed = True
            self.send({"type": "refused", "why": "an error of the server; its log has it"})
            for outbox in tuple(self.outboxes):
                outbox.close(1011)
        return None

    @property
    def stream(self) -> LiveStream:
        """Its state; made by the worker."""
        if self._stream is None:
            self._stream = LiveStream(self.setup, self.number, self.setup.models.first, self.send)
        return self._stream

    def choose(self, choice: Choice) -> None:
        """Take another model."""
        self.stream.choose(choice)

    def record(self, on: bool) -> None:
        """Start or stop a recording."""
        if on:
            self.stream.start_recording()
        else:
            self.stream.stop_recording()

    def end(self) -> None:
        """End it: the events that last, and the recording."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def work(self, waiting: Waiting, early: float, beside: ThreadPoolExecutor) -> Analysis | None:
        """Estimate the poses of a frame and send them.

        Args:
            waiting: the frame.
            early: seconds that it has waited; negative: that the worker waited for it.
            beside: runs what can be done at the same time.

        Returns:
            The rest of the work: the analysis of the frame.
        """
        began, coded = time.perf_counter(), waiting.frame
        if isinstance(coded, Frame):
            jpeg = beside.submit(lambda: encode_jpeg(coded.rgb)) if self.outboxes else None
            poses, message = self.stream(coded)
            message["ms"] = _ms(began)
            if jpeg is not None:
                data = packed(message_json(message), jpeg.result())
                for outbox in tuple(self.outboxes):
                    outbox.newest(data)
            return partial(self.analyze, coded, poses)
        rest = None
        try:
            frame = self._frame(coded, waiting.rgb())
            poses, message = self.stream(frame)
            rest = partial(self.analyze, frame, poses)
        except VitruvianError as error:
            message = {"type": "refused", "why": str(error)}
        message |= {"seq": coded.number, "early": round(early * 1000, 2), "ms": _ms(began)}
        for outbox in tuple(self.outboxes):
            outbox.newest(message_json(message))
        return rest

    def analyze(self, frame: Frame, poses: Poses) -> None:
        """Send what the people of a frame do."""
        text = message_json(self.stream.analyze(frame, poses))
        for outbox in tuple(self.outboxes):
            outbox.found(text)

    def _frame(self, coded: SentFrame, rgb: np.ndarray) -> Frame:
        """The decoded frame of a client, its time counted from the first one.

        Raises:
            VitruvianError: it is not later than the one before.
        """
        if not self._count:
            self._begun = coded.seconds
        seconds = coded.seconds - self._begun
        if not seconds > self._last:
            raise VitruvianError("the capture times of frames must increase")
        frame = Frame(rgb, self._count, seconds, "browser")
        self._count, self._last = self._count + 1, seconds
        return frame


def _ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)


class LiveWorker:
    """One thread that estimates poses for all sessions in turn, of the newest frame of each.

    Two more work beside it, so that it waits for the networks only: one decodes the next frame of
    a client, or encodes the picture for viewers; one analyzes the frame before.
    """

    def __init__(self) -> None:
        """Start the thread."""
        self._sessions: deque[Session] = deque()
        self._change, self._open = threading.Condition(), True
        self._pictures = ThreadPoolExecutor(1, "vitruvian-pictures")
        self._analyses = ThreadPoolExecutor(1, "vitruvian-analyze")
        self._thread = threading.Thread(target=self._work, name="vitruvian-live", daemon=True)
        self._thread.start()

    def add(self, session: Session) -> None:
        """Work for another session."""
        with self._change:
            self._sessions.append(session)

    def frame(self, session: Session, frame: SentFrame | Frame) -> None:
        """Give a frame; one that waits is replaced."""
        rgb = self._pictures.submit(frame.rgb) if isinstance(frame, SentFrame) else None
        with self._change:
            if session.frame is not None:
                session.frame.drop()
            session.frame = Waiting(time.perf_counter(), frame, rgb)
            self._change.notify()

    def job(self, session: Session, job: Callable[[], None]) -> None:
        """Give something else to do before the next frame."""
        with self._change:
            session.jobs.append(job)
            self._change.notify()

    def end(self, session: Session) -> None:
        """End the events of a session, and its recording; its waiting frame is dropped."""
        with self._change:
            if session.frame is not None:
                session.frame.drop()
            session.frame = None
            session.jobs.append(session.end)
            self._change.notify()

    def remove(self, session: Session) -> None:
        """End a session, and forget it."""
        with self._change:
            session.ended = True
            self.end(session)

    def close(self) -> None:
        """End all sessions, and the threads."""
        for session in tuple(self._sessions):
            self.remove(session)
        with self._change:
            self._open = False
            self._change.notify()
        self._thread.join()
        self._analyses.shutdown()
        self._pictures.shutdown(cancel_futures=True)

    def _next(self) -> Session | None:
        for _ in range(len(self._sessions)):
            session = self._sessions[0]
            self._sessions.rotate(-1)
            if session.jobs or session.frame is not None:
                return session
        return None

    def _work(self) -> None:
        free, analysis = time.perf_counter(), Future[None]()
        analysis.set_result(None)
        while True:
            with self._change:
                while (session := self._next()) is None and self._open:
                    self._change.wait()
                if session is None:
                    return
                jobs, waiting = tuple(session.jobs), session.frame
                session.jobs.clear()
                session.frame = None
                if session.ended:
                    self._sessions.remove(session)
            for job in jobs:
                analysis.result()
                session.do(job)
            if waiting is not None and not (session.ended or session.failed):
                now, arrived = time.perf_counter(), waiting.arrived
                early = now - arrived if arrived < free else free - arrived
                rest = session.do(partial(session.work, waiting, early, self._pictures))
                analysis.result()
                if rest is not None:
                    analysis = self._analyses.submit(session.do, rest)
            free = time.perf_counter()


class Reader:
    """A thread that reads a source and gives its frames to a session.

    A video file comes at its own pace. A camera or stream that is lost is opened again.
    """

    def __init__(
        self,
        source: Source,
        give: Callable[[Frame], None],
        send: Callable[[dict], None],
        loop: bool,
    ) -> None:
        """Start to read.

        Args:
            source: from `open_source`.
            give: called with each frame; times and indices increase.
            send: called with a message when the source is lost, back or at its end.
            loop: whether a file starts again at its end.

        Raises:
            VitruvianError: it cannot be opened.
        """
        self.source, self._give, self._send, self._loop = source, give, send, loop
        self.state: dict[str, Any] = {"type": "source", "state": "running"}
        self._stop, self._first = threading.Event(), threading.Event()
        self._error: VitruvianError | None = None
        self._count, self._last = 0, 0.0
        self._thread = threading.Thread(target=self._read, name="vitruvian-read", daemon=True)
        self._thread.start()
        self._first.wait()
        if self._error is not None:
            raise self._error

    def _read(self) -> None:
        try:
            self._read_all()
        except Exception as error:  # libraries raise any exception for bad files
            self._error = self._error or VitruvianError(
                f"cannot read '{self.source.name}': {error}"
            )
            self._tell("ended", str(self._error))
        finally:
            self._first.set()

    def _read_all(self) -> None:
        while not self._stop.is_set():
            error = self._read_once()
            if not self._count:
                self._error = error or VitruvianError(f"'{self.source.name}' has no frames")
                return
            if error is None and self._loop and not self.source.live:
                continue
            if not self._stop.is_set():
                over = f"{self.source.name} has ended"
                over += "" if self.source.live else "; --loop plays it again and again"
                self._tell("ended", str(error) if error else over)
            return

    def _read_once(self) -> VitruvianError | None:
        """Read the source to its end; returns its error."""
        began, start, offset = time.monotonic(), None, 0.0
        for frame in reconnecting(self.source, self._stop, self._tell):
            if self._stop.is_set():
                return None
            if isinstance(frame, VitruvianError):
                return frame
            if start is None:  # a file that starts again goes on where it was
                start = frame.seconds
                offset = self._last + 1e-3 if self._count else 0.0
            if not self.source.live:
                self._stop.wait(max(0.0, began + frame.seconds - start - time.monotonic()))
            seconds = max(offset + frame.seconds - start, self._last + 1e-6)
            self._give(replace(frame, index=self._count, seconds=seconds))
            self._count, self._last = self._count + 1, seconds
            self._first.set()
        return None

    def _tell(self, state: str, why: str) -> None:
        self.state = {"type": "source", "state": state, "why": why}
        note(f"{why}; opening it again" if state == "lost" else why)
        self._send(self.state)

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(timeout=5)
