"""Resume the files of an interrupted run.

Images continue where they stopped; a video, in which each frame needs the earlier ones, starts
over. Files that cannot be continued, such as Parquet, start over with all their sources. A
`Ledger` holds the progress. A sink is resumable if it has `mark()`, its state, and
`go_on(mark, frames)`, which continues from there, given the frames already written.
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

EVERY = 1.0  # seconds between two marks of images


def check_resumable(sources: Iterable[Source], resume: bool) -> None:
    """Raise `VitruvianError` if a source cannot be read again, such as a live stream."""
    live = next((source for source in sources if source.live), None) if resume else None
    if live is not None:
        raise VitruvianError(f"{live.name} is live, so it cannot be resumed; leave --resume out")


@dataclass(frozen=True)
class _Rest(Pictures):
    """Images that are not done yet."""

    done: frozenset[int] = frozenset()

    def _wanted(self) -> Sequence[tuple[int, Path]]:
        return [pair for pair in super()._wanted() if pair[0] not in self.done]


@dataclass
class Resumable:
    """Files that are written together, and their progress for each source."""

    ledger: Ledger
    sources: Sequence[Source]
    by_picture: bool = True  # whether images continue; videos start over
    finished: set[int] = field(default_factory=set)  # indices of sources
    _done: dict[int, set[int]] = field(default_factory=dict)  # indices of images, by source
    _mark: Any = None  # state of the sinks to continue from
    _last: float = 0.0
    _whole: bool = False
    keep: bool = True  # whether to keep the ledger at the end

    @contextmanager
    def opened(self, *, resume: bool, there: Iterable[Path] = ()) -> Iterator[None]:
        """Context of the work: the ledger is locked, and removed again if nothing was written.

        Args:
            resume: continue existing files; otherwise they are replaced.
            there: files that must not be lost if their inputs are unknown.

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
        """Mark everything as finished, if it is."""
        if len(self.finished) == len(self.sources):
            self.ledger.finish(paths)
            self._whole = True

    def begin(self, sink: Any) -> None:
        """Continue the files of a sink if a run was interrupted; else start them."""
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
        """Restore the marks of the previous run."""
        for mark in self.ledger.marks:
            if "finished" in mark:
                continue
            place, state = mark["source"], mark["state"]
            moving = self.sources[place].moving or not self.by_picture
            if state == "failed" and moving:
                if mark["frames"]:
                    return  # later marks are dropped, and it is retried
                continue
            self._mark = mark["sinks"]
            if state == "done":
                self.finished.add(place)
            if not moving:
                self._done[place] = set(_spread(mark["frames"]))

    def _frames(self) -> Iterator[Frame]:
        """The images already done, without pixels."""
        for place, done in sorted(self._done.items()):
            source = self.sources[place]
            if not isinstance(source, Pictures):
                continue
            for index in sorted(done):
                yield Frame(None, index, 0.0, str(source.paths[index]), size=(1, 1))

    def rest(self, place: int) -> Source:
        """What is left to do of an unfinished source."""
        source, done = self.sources[place], self._done.get(place)
        if not done or not isinstance(source, Pictures):
            return source
        note(f"{source.name} goes on: {len(done)} of {source.count()} images are done")
        return _Rest(source.paths, source.span, frozenset(done))

    def written(self, place: int, frame: Frame, sink: Any) -> None:
        """Record that a frame was written; images are marked every `EVERY` seconds."""
        done = self._done.setdefault(place, set())
        done.add(frame.index if not self.sources[place].moving else 0)
        now = time.monotonic()
        if not self.sources[place].moving and now - self._last >= EVERY:
            self._last = now
            self.mark(place, "open", sink)

    def mark(self, place: int, state: str, sink: Any) -> None:
        """Mark the state of a source: "open", "done", or "failed" in part."""
        parts = _parts(sink)
        can = all(hasattr(part, "mark") for part in parts)
        sinks = [part.mark() for part in parts] if can else None
        frames = _ranges(self._done.get(place, set()))
        self.ledger.mark(source=place, state=state, frames=frames, sinks=sinks)
        if state == "done":
            self.finished.add(place)

    def mark_source(self, place: int, *, failed: bool, written: bool, sink: Any) -> None:
        """Mark the end of a source: all of it is written, or all that could be read."""
        self._done.setdefault(place, set()).update([0] * written)
        self.mark(place, "failed" if failed else "done", sink)


def _parts(sink: Any) -> list[Any]:
    """The innermost sinks, at any depth of nesting."""
    if isinstance(sink, Several):
        return [part for each in sink.sinks for part in _parts(each)]
    return [sink]


def _ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Integers as (first, last) ranges of consecutive numbers."""
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
