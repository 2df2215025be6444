"""Threads around the inference loop: prefetching frames, and writing in the background."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from vitruvian.errors import VitruvianError, shown
from vitruvian.frame import Frame

if TYPE_CHECKING:
    from vitruvian.sources.open import Source

AHEAD = 4  # queue size, frames
DRIFT = 0.05  # seconds, maximum time difference of a source read again: else it is another one
T = TypeVar("T")


class Prefetch(Generic[T]):
    """Prefetches items of an iterable in a thread.

    With `newest`, items that were not consumed in time are replaced by newer ones, for live
    sources. An exception in the thread is raised in the consumer.
    """

    def __init__(
        self, items: Iterable[T], *, newest: bool = False, stop: threading.Event | None = None
    ) -> None:
        """Start to read; `stop` is set when the consumer has stopped."""
        self._queue: queue.Queue[tuple[str, T | BaseException | None]]
        self._queue = queue.Queue(1 if newest else AHEAD)
        self._items, self._newest, self._stop = items, newest, stop or threading.Event()
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
        """False if the consumer has stopped."""
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


class BackgroundWriter:
    """Calls a function in a background thread, in order, through a bounded queue.

    An exception there is raised at the next call, or at the end; later calls are ignored.
    """

    def __init__(self, act: Callable[..., None]) -> None:
        self._act = act
        self._queue: queue.Queue[tuple | None] = queue.Queue(AHEAD)
        self._error: BaseException | None = None
        self._failed = False
        self._thread = threading.Thread(target=self._work, name="vitruvian-write", daemon=True)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if not self._failed:
                try:
                    self._act(*item)
                except BaseException as error:
                    self._error, self._failed = error, True

    def __enter__(self) -> BackgroundWriter:
        self._thread.start()
        return self

    def __call__(self, *item: object) -> None:
        """Enqueue a call."""
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


def readable(
    source: Iterable[Frame | VitruvianError],
) -> Iterator[Frame | VitruvianError]:
    """Frames of a source; an exception in it is yielded as a `VitruvianError`, at the end.

    Libraries raise any exception for bad files, and one file must not end a long run.
    """
    try:
        yield from source
    except VitruvianError as error:
        yield error
    except Exception as error:
        fault = f"{type(error).__name__}: {shown(error, 150)}"
        name = shown(getattr(source, "name", "the source"), 80)
        yield VitruvianError(f"cannot read '{name}': {fault}")


def count_of(source: Source) -> int | None:
    """Number of frames of a source; None if unknown, or if its file cannot be read."""
    try:
        return source.count()
    except Exception:  # reported when it is read
        return None


def reread(
    source: Iterable[Frame | VitruvianError],
    pairs: Iterable[tuple[Frame, T]],
    other: T | None = None,
) -> Generator[tuple[Frame, T], None, None]:
    """The same pairs with pixels: the source is read again in parallel, from the first without.

    Args:
        source: of the frames.
        pairs: frames in their order, some or all of them without pixels.
        other: what belongs to frames that are not among them; None: those are left out.

    Raises:
        VitruvianError: it does not give the same frames again.
    """
    ahead: Prefetch[Frame | VitruvianError] | None = None
    good, behind, name = iter(list[Frame]()), None, ""
    try:
        for bare, poses in pairs:
            name = bare.source
            if bare.pixels is not None:
                yield bare, poses
                continue
            if ahead is None:
                ahead = Prefetch(readable(source))
                good = (frame for frame in ahead if not isinstance(frame, VitruvianError))
            for frame in good:
                if frame.index >= bare.index:
                    break
                if other is not None:
                    yield replace(frame, source=name), other
            else:
                frame = None
            same = frame is not None and frame.index == bare.index
            if frame is not None and same:
                same = frame.size == bare.size or not all(bare.size)  # tables have no frame size
            if frame is not None and same:
                late = frame.seconds - bare.seconds
                behind = late if behind is None else behind
                same = abs(late - behind) < DRIFT
            if frame is None or not same:
                raise VitruvianError(
                    f"'{bare.source}' has no frame {bare.index} of {bare.size[0]} x "
                    f"{bare.size[1]} at {bare.seconds:g} s when it is read again; save it to a "
                    "file first, or write no images"
                )
            yield replace(bare, pixels=frame.pixels, size=frame.size), poses
        if other is not None:
            for frame in good:
                yield replace(frame, source=name), other
    finally:
        if ahead is not None:
            ahead.close()
