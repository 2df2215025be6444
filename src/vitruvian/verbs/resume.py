"""Resume: files of a run that was stopped go on where it was.

Pictures go on where they were; a video, in which each frame needs those before, is begun anew.
Files that cannot be continued, such as Parquet, are begun anew with all of their sources. How far
files are, a `Ledger` says. A sink can be continued if it has `mark()`, how far it is, and
`go_on(mark, frames)`, from there, with the frames that are in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitruvian.errors import VitruvianError, note
from vitruvian.frame import Frame
from vitruvian.sources.open import Pictures, Source
from vitruvian.verbs.folder import Ledger, identity
from vitruvian.verbs.outputs import Several

EVERY = 1.0  # seconds between two marks of pictures


def check_resumable(sources: Iterable[Source], resume: bool) -> None:
    """Raise `VitruvianError` if one of the sources will not be there again."""
    live = next((source for source in sources if source.live), None) if resume else None
    if live is not None:
        raise VitruvianError(f"{live.name} is live, so it cannot be resumed; leave --resume out")


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
    by_picture: bool = True  # whether pictures go on where they were, as videos do not
    finished: set[int] = field(default_factory=set)  # places of sources
    _done: dict[int, set[int]] = field(default_factory=dict)  # of pictures, by source
    _mark: Any = None  # of the sinks, from which they go on
    _last: float = 0.0
    _whole: bool = False
    keep: bool = True  # whether the ledger stays when everything is finished

    @contextmanager
    def opened(self, *, resume: bool, there: Iterable[Path] = ()) -> Iterator[None]:
        """Around the work: the ledger is locked, and is not left behind for nothing.

        Args:
            resume: whether what is there is continued; otherwise it is replaced.
            there: files that are not to be lost where it is not known what they are of.

        Raises:
            VitruvianError: as `Ledger.open`.
        """
        self.ledger.of["sources"] = identity(self.sources)
        self.ledger.open(resume=resume, overwrite=not resume, there=there)
        self.keep = resume or self.ledger.inside
        try:
            yield
        finally:
            nothing = not self.ledger.marks and not any(self._done.values())
            self.ledger.close(remove=nothing or (self._whole and not self.keep))

    def finish(self, paths: Iterable[Path]) -> None:
        """Say that everything is done, if it is."""
        if len(self.finished) == len(self.sources):
            self.ledger.finish(paths)
            self._whole = True

    def begin(self, sink: Any) -> None:
        """Go on with the files of a sink, if a run was stopped; or begin them."""
        self._restore()
        parts = _parts(sink)
        marks: list[Any] = self._mark or []
        if marks and len(marks) == len(parts) and all(hasattr(part, "go_on") for part in parts):
            frames = list(self._frames())
            for part, mark in zip(parts, marks, strict=True):
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
            moving = self.sources[place].moving or not self.by_picture
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
            if not isinstance(source, Pictures):
                continue
            for index in sorted(done):
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

    def mark_source(self, place: int, *, failed: bool, written: bool, sink: Any) -> None:
        """Say that a source is over: all of it is written, or what could be read of it."""
        self._done.setdefault(place, set()).update([0] * written)
        self.mark(place, "failed" if failed else "done", sink)


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
