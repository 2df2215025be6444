"""Resume the files of an interrupted run.

Images continue where they stopped; a video, in which each frame needs the earlier ones, starts
over. Files that cannot be continued, such as Parquet, start over with all their sources. A
`Ledger` holds the progress. A sink is resumable if it has `mark()`, its state,
`can_go_on(mark)`, whether its files are still there, and `go_on(mark, frames)`, which continues
from there, given the frames already written.

Images that have changed since are done again, and if their files are joined, the others' poses
are taken from the record among them, so that no model runs on them again. Without a record,
everything from the first changed source on is done again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, amount, note, shown
from vitruvian.formats.growing import GrowingText
from vitruvian.formats.openpose import OpenPose
from vitruvian.formats.records import JsonLines, Record
from vitruvian.frame import Frame
from vitruvian.sources.open import Pictures, Source
from vitruvian.verbs.folder import OTHER_OUT, Ledger, identity
from vitruvian.verbs.outputs import EachPicture, Several

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

    def wanted(self) -> Sequence[tuple[int, Path]]:
        return [pair for pair in super().wanted() if pair[0] not in self.done]


@dataclass
class Resumable:
    """Files that are written together, and their progress for each source."""

    ledger: Ledger
    sources: Sequence[Source]
    finished: set[int] = field(default_factory=set)  # indices of sources
    _done: dict[int, set[int]] = field(default_factory=dict)  # indices of images, by source
    files: list[Path] = field(default_factory=list)  # own files of the finished sources
    _mark: Any = None  # state of the sinks to continue from
    _last: float = 0.0

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
        self.ledger.open(resume=resume, overwrite=not resume, there=there, again=True)
        new = not self.ledger.marks
        try:
            yield
        finally:
            self.ledger.close(remove=new and not any(self._done.values()))

    def finish(self, paths: Iterable[Path]) -> None:
        """Mark everything as finished, if it is."""
        if len(self.finished) == len(self.sources):
            self.ledger.finish(paths)

    def begin(self, sink: Any) -> None:
        """Continue the files of a sink if a run was interrupted; else start them."""
        parts = _parts(sink)
        before = self.ledger.marks
        kept = self._restore(before)
        if again := self._again(parts):
            if self._refill(parts, again):
                return
            self._cut(again)  # nothing is left of a single video
        elif self.ledger.changed or len(kept) < len(before):
            self.ledger.restart(kept)
        marks: list[Any] = self._mark or []
        alone = len(self.sources) == 1 and self.sources[0].moving
        if (
            not alone
            and len(marks) == len(parts)
            and all(hasattr(part, "go_on") for part in parts)
            and all(part.can_go_on(mark) for part, mark in zip(parts, marks, strict=True))
        ):
            frames = list(self._frames())
            for part, mark in zip(parts, marks, strict=True):
                part.go_on(mark, frames)
            return
        if self.finished or any(self._done.values()):
            note(f"'{shown(self.ledger.about, 100)}' cannot be continued; starting over")
        self._forget()
        if self.ledger.marks:
            self.ledger.restart()

    def _forget(self) -> None:
        self.finished, self._done, self._mark, self.files = set(), {}, None, []

    def _restore(self, marks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Restore the marks of the previous run; returns those that are kept."""
        self._forget()
        kept = list[dict[str, Any]]()
        try:
            for mark in marks:
                if "finished" in mark:
                    continue
                if not self._add(mark):
                    break
                kept.append(mark)
        except (KeyError, IndexError, TypeError, ValueError):
            raise VitruvianError(
                f"'{shown(self.ledger.path, 100)}' is damaged, so the progress is unknown; "
                f"{OTHER_OUT}"
            ) from None
        return kept

    def _add(self, mark: dict[str, Any]) -> bool:
        """Restore a mark; False if later ones are dropped, and their sources are retried."""
        place, state = mark["source"], mark["state"]
        moving = self.sources[place].moving
        if state == "failed" and moving:
            return not mark["frames"]
        self._mark = mark["sinks"]
        if state == "done":
            self.finished.add(place)
        if not moving:
            self._done[place] = set(_spread(mark["frames"]))
        folder = self.ledger.path.parent
        self.files += [Path(os.path.normpath(folder / name)) for name in mark.get("files", ())]
        return True

    def _again(self, parts: Sequence[Any]) -> list[str]:
        """The names of sources that are done, but changed since, or their own files are gone."""
        changed, gone = self.ledger.changed, set[Path]()
        if self.ledger.marks:
            gone = {path for path, there in self.ledger.files().items() if not there}
        if not (changed or gone):
            return []
        lost = {
            source
            for part in parts
            if isinstance(part, EachPicture)
            for source, files in part.files.items()
            if not gone.isdisjoint(path for _, path in files)
        }
        again = dict[str, None]()
        for place, source in enumerate(self.sources):
            if isinstance(source, Pictures):
                names = [str(source.paths[index]) for index in sorted(self._done.get(place, ()))]
            else:
                names = [identity([source])[0][0]] if place in self.finished else []
            again |= dict.fromkeys(name for name in names if name in changed or name in lost)
        return list(again)

    def _refill(self, parts: Sequence[Any], again: Collection[str]) -> bool:
        """Fill the files of images anew from their record, without those to be done again.

        Returns:
            False, if there is no record, or if something cannot be made of it.
        """
        places = [i for i, part in enumerate(parts) if isinstance(part, JsonLines)]
        (source, *others), marks = self.sources, self._mark or []
        if others or not isinstance(source, Pictures) or len(marks) != len(parts) or not places:
            return False
        if not all(isinstance(part, (GrowingText, EachPicture, OpenPose)) for part in parts):
            return False
        path = parts[places[0]].kept(marks[places[0]])
        if path is None:
            return False
        todo, known = set(again), list[tuple[Frame, Poses]]()
        wanted = {
            str(source.paths[i]): i for i in self._done[0] if str(source.paths[i]) not in todo
        }
        with suppress(VitruvianError):  # half a line at the end of an unfinished file
            for frame, poses in Record(path):
                if wanted.get(frame.source) == frame.index:
                    known.append((frame, poses))
        self.ledger.say_again(again)
        self._forget()
        self.ledger.restart()
        for part in parts:
            if isinstance(part, EachPicture):
                part.go_on(None, [frame for frame, _ in known])
                continue
            for frame, poses in known:
                part.write(frame, poses)
        self._done[0] = {frame.index for frame, _ in known}
        self.mark(0, "open", Several(parts))
        return True

    def _cut(self, again: Collection[str]) -> None:
        """Keep what was marked before the first of these sources was done."""
        kept, names = list[dict[str, Any]](), set(again)
        for mark in self.ledger.marks:
            if "finished" in mark:
                continue
            source = self.sources[mark["source"]]
            if isinstance(source, Pictures):
                done = {str(source.paths[index]) for index in _spread(mark["frames"])}
            else:
                done = {identity([source])[0][0]}
            if not names.isdisjoint(done):
                break
            kept.append(mark)
        alone = len(self.sources) == 1 and not isinstance(self.sources[0], Pictures)
        self.ledger.say_again(again, "" if alone else ", and so is everything after it")
        self.ledger.restart(kept)
        self._restore(kept)

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
        if len(done) < source.count():
            note(f"{source.name} resumes: {len(done)} of {amount(source.count(), 'image')} done")
        return _Rest(source.paths, source.span, frozenset(done))

    def written(self, place: int, frame: Frame, sink: Any) -> None:
        """Record that a frame was written; images are marked every `EVERY` seconds."""
        source, done = self.sources[place], self._done.setdefault(place, set())
        done.add(_index(source, frame) if isinstance(source, Pictures) else 0)
        now = time.monotonic()
        if not source.moving and now - self._last >= EVERY:
            self._last = now
            self.mark(place, "open", sink)

    def mark(self, place: int, state: str, sink: Any, files: Iterable[Path] = ()) -> None:
        """Mark the state of a source: "open", "done", or "failed" in part; and its own files."""
        parts = _parts(sink)
        can = all(hasattr(part, "mark") for part in parts)
        sinks = [part.mark() for part in parts] if can else None
        frames = _ranges(self._done.get(place, set()))
        own = [os.path.relpath(path, self.ledger.path.parent) for path in files]
        more = {"files": own} if own else {}
        self.ledger.mark(source=place, state=state, frames=frames, sinks=sinks, **more)
        if state == "done":
            self.finished.add(place)


def _parts(sink: Any) -> list[Any]:
    """The innermost sinks, at any depth of nesting."""
    if isinstance(sink, Several):
        return [part for each in sink.sinks for part in _parts(each)]
    return [sink]


def _index(source: Pictures, frame: Frame) -> int:
    """The index of an image; in a record, its frame may have been counted otherwise."""
    if frame.index < len(source.paths) and str(source.paths[frame.index]) == frame.source:
        return frame.index
    return source.paths.index(Path(frame.source))


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
