"""The loop of every verb: the frames of a source, with what was found in them, into files.

Sources come one after the other. There is progress, what cannot be read is told and the rest done,
Ctrl-C ends between two frames, and a `Ledger` says how far the files are, so that a run that was
stopped goes on (`resume`). Pictures go on where they were; a video, in which each frame needs those
before, is begun anew. Files that cannot be continued, such as Parquet, are begun anew with all of
their sources.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, note, shown
from vitruvian.frame import Frame
from vitruvian.sources.open import Pictures, Source
from vitruvian.sources.threads import BackgroundWriter, count_of
from vitruvian.stopping import interruptible
from vitruvian.verbs.folder import Ledger
from vitruvian.verbs.outputs import Several
from vitruvian.verbs.progress import progress

T = TypeVar("T")
Pairs = Iterator[tuple[Frame, Poses]]
EVERY = 1.0  # seconds between two marks of pictures


# The loop


def each_frame(
    name: str,
    total: int | None,
    pairs: Iterable[tuple[Frame, T]],
    write: Callable[[Frame, T], None],
    *,
    behind: bool = True,
) -> None:
    """Write every pair, with progress; Ctrl-C comes between two of them.

    Args:
        name: for the line of progress.
        total: how many there will be; None: unknown.
        pairs: frames, and what was found in them.
        write: takes each pair.
        behind: whether it does so in a thread of its own, while the next pair is computed.
    """
    with progress(name, total) as tick:
        if behind:
            with BackgroundWriter(write) as later:
                for done, pair in enumerate(interruptible(pairs), 1):
                    later(*pair)
                    tick(done)
            return
        for done, pair in enumerate(interruptible(pairs), 1):
            write(*pair)
            tick(done)


@dataclass
class Counted:
    """How much was found in a source."""

    source: Source
    frames: int = 0
    people: int = 0
    began: float = field(default_factory=time.perf_counter)

    def add(self, poses: Poses) -> None:
        """Count the poses of another frame."""
        self.frames += 1
        if not self.source.moving:
            self.people += len(poses)
            return
        # The highest number; or most in a frame, where people have none.
        numbers = poses.person.tolist()
        most = max(numbers, default=-1)
        self.people = max(self.people, most if most > 0 else len(numbers))

    def __str__(self) -> str:
        what, rate = "frame" if self.source.moving else "picture", self.frames / self._seconds()
        return (
            f"{self.source.name}: {amount(self.frames, what)}, "
            f"{amount(self.people, 'person', 'people')}, {rate:.3g} {what}s/s"
        )

    def _seconds(self) -> float:
        return max(time.perf_counter() - self.began, 1e-9)


def write_source(
    source: Source,
    pairs: Pairs,
    sink: Any,
    closed: Any,
    on_write: Callable[[Frame], None] = lambda frame: None,
    on_end: Callable[[], None] = lambda: None,
) -> str:
    """Write one source; returns what was done in a line, or "" for nothing.

    Args:
        source: where frames come from.
        pairs: every frame with its poses.
        sink: where they go.
        closed: the part of it that is closed at the end.
        on_write: is told of each frame that was written, in the thread that writes.
        on_end: is called before the files are closed, also if the user has stopped it.
    """
    found = Counted(source)

    def counted() -> Pairs:
        for frame, poses in pairs:
            yield frame, poses
            found.add(poses)

    def write(frame: Frame, poses: Poses) -> None:
        sink.write(frame, poses)
        on_write(frame)

    try:
        with closed:
            try:
                each_frame(source.name, count_of(source), counted(), write)
            finally:
                on_end()
    except KeyboardInterrupt:
        if found.frames:
            done = where(sink.paths)
            print(f"stopped; {source.name}: {found.frames} frames -> {done}", file=sys.stderr)
        raise
    return str(found) if found.frames else ""


# Files that are written together


@dataclass(frozen=True)
class _Rest(Pictures):
    """Pictures without those that are done."""

    done: frozenset[int] = frozenset()

    def _wanted(self) -> Sequence[tuple[int, Path]]:
        return [pair for pair in super()._wanted() if pair[0] not in self.done]


@dataclass
class Resumable:
    """Files that are written together, and how far they are, source by source."""

    ledger: Ledger
    sources: Sequence[Source]
    finished: set[int] = field(default_factory=set)  # places of sources
    _done: dict[int, set[int]] = field(default_factory=dict)  # of pictures, by source
    _mark: Any = None  # of the sinks, from which they go on
    _last: float = 0.0

    def begin(self, sink: Any) -> None:
        """Go on with the files of a sink, if a run was stopped; or begin them."""
        self._restore()
        parts = _parts(sink)
        can = self._mark is not None and all(hasattr(part, "go_on") for part in parts)
        if can and len(self._mark) == len(parts):
            frames = list(self._frames())
            for part, mark in zip(parts, self._mark, strict=True):
                part.go_on(mark, frames)
            return
        if self.finished:
            note(f"'{self.ledger.about}' cannot be continued, and is begun anew")
        self.finished, self._done = set(), {}

    def _restore(self) -> None:
        """What the marks of the run before say."""
        for mark in self.ledger.marks:
            if "finished" in mark:
                continue
            place, state = mark["source"], mark["state"]
            moving = self.sources[place].moving
            if state == "failed" and moving:
                if mark["frames"]:
                    return  # what is behind it cannot be kept: it is tried again
                continue
            self._mark = mark["sinks"]
            if state == "done":
                self.finished.add(place)
            if not moving:
                self._done[place] = set(_spread(mark["frames"]))

    def _frames(self) -> Iterator[Frame]:
        """The pictures that are done, without pixels."""
        for place, done in sorted(self._done.items()):
            source = self.sources[place]
            for index in sorted(done) if isinstance(source, Pictures) else ():
                yield Frame(None, index, 0.0, str(source.paths[index]), size=(1, 1))

    def rest(self, place: int) -> Source:
        """What is still to be done of a source that is not finished."""
        source, done = self.sources[place], self._done.get(place)
        if not done or not isinstance(source, Pictures):
            return source
        note(f"{source.name} goes on: {len(done)} of {source.count()} pictures are done")
        return _Rest(source.paths, source.span, frozenset(done))

    def written(self, place: int, frame: Frame, sink: Any) -> None:
        """A frame of a source was written; of pictures that is marked now and then."""
        done = self._done.setdefault(place, set())
        done.add(frame.index if not self.sources[place].moving else 0)
        now = time.monotonic()
        if not self.sources[place].moving and now - self._last >= EVERY:
            self._last = now
            self.mark(place, "open", sink)

    def mark(self, place: int, state: str, sink: Any) -> None:
        """Say how far a source is: "open", "done", or "failed" in part."""
        parts = _parts(sink)
        can = all(hasattr(part, "mark") for part in parts)
        sinks = [part.mark() for part in parts] if can else None
        frames = _ranges(self._done.get(place, set()))
        self.ledger.mark(source=place, state=state, frames=frames, sinks=sinks)
        if state == "done":
            self.finished.add(place)


def _parts(sink: Any) -> list[Any]:
    """The sinks of several, at any depth."""
    if isinstance(sink, Several):
        return [part for each in sink.sinks for part in _parts(each)]
    return [sink]


def _ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Whole numbers as first and last of those that follow each other."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges


def _spread(ranges: Iterable[Sequence[int]]) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)


# What is told


@contextmanager
def afterwards(say: Callable[[str], None], wait: bool = True) -> Iterator[Callable[[str], None]]:
    """Lines about files are said when these are whole, at the end, and not if that goes wrong."""
    lines: list[str] = []
    try:
        yield lines.append if wait else say
    except KeyboardInterrupt:
        for line in lines:
            say(line)
        raise
    for line in lines:
        say(line)


class Faults:
    """Tells of what cannot be read, and counts it."""

    def __init__(self, on_error: Callable[[VitruvianError], None]) -> None:
        """Nothing is wrong yet."""
        self.on_error, self.count = on_error, 0

    def __call__(self, error: VitruvianError) -> None:
        """Another one."""
        self.count += 1
        self.on_error(error)

    def sum_up(self, sources: int) -> None:
        """After a run through several sources, whose lines may be long gone: how many faults."""
        if self.count and sources > 1:
            what = "thing" if self.count == 1 else "things"
            self.on_error(
                VitruvianError(
                    f"{self.count} {what} could not be read, see above; the rest is done"
                )
            )


def all_of(source: Source, pairs: Pairs, fault: Callable[[VitruvianError], None]) -> Pairs:
    """The same pairs; what ends them early goes to `fault`, so that the next source is done."""
    try:
        yield from pairs
    except VitruvianError as error:
        fault(error)
    except (OSError, MemoryError) as error:
        why = str(error) or "there is not enough memory"
        fault(VitruvianError(f"cannot read '{shown(source.name, 80)}': {shown(why, 150)}"))


def amount(number: int, one: str, many: str = "") -> str:
    """A number and what it is of: `3 people`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def where(paths: Sequence[Path]) -> str:
    """A few file names, or their folder and how many."""
    if len(paths) <= 4:
        return ", ".join(str(path) for path in paths) or "nothing"
    return f"{paths[0].parent} ({len(paths)} files)"
