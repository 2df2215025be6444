"""Records as sources: the videos or images of a record, and its frames with pixels reloaded."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.formats.records import Record
from vitruvian.formats.table import FORMATS
from vitruvian.frame import Frame
from vitruvian.picture_files.content import page_of
from vitruvian.sources.open import Pictures, Source, Span, VideoFile, is_picture, of_file
from vitruvian.sources.threads import reread

T = TypeVar("T")


@dataclass(frozen=True)
class Recorded:
    """The record of one video, as a source."""

    record: Record
    source: str  # path of the video in the record
    moving = True
    live = False

    @property
    def name(self) -> str:
        """The file name of the record."""
        return self.record.path.name

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        """Its frames, without pixels."""
        for frame, _ in self.record:
            yield frame

    def count(self) -> None:
        """Unknown without reading it."""

    def video(self) -> Path:
        """The video it was made of, at its recorded path or beside the record.

        Raises:
            VitruvianError: it is in neither place.
        """
        places = (Path(self.source), self.record.path.with_name(Path(self.source).name))
        for path in places:
            if os.path.isfile(path):  # noqa: PTH113  # no error for odd names
                return path
        raise VitruvianError(
            f"'{self.name}' refers to '{self.source}', which does not exist; put it next to the "
            "record, or leave video out of --save"
        )


def open_record(path: str | Path) -> Recorded:
    """A record of one video or stream.

    Raises:
        VitruvianError: it is no record, has no frames, or is of several sources.
    """
    record = Record(path)
    first = next(iter(record), None)
    if first is None:
        raise VitruvianError(f"'{path}' holds no frames")
    last = record.last()["source"]
    if last != first[0].source:
        raise VitruvianError(
            f"'{path}' refers to several sources, '{first[0].source}' to '{last}'; give a record "
            "of one video"
        )
    return Recorded(record, first[0].source)


def record_of(source: str | Path | Sequence[str | Path], span: Span | None = None) -> Record | None:
    """The record given as source; None for other sources.

    Raises:
        VitruvianError: it is invalid, not the only source, or `span` is set.
    """
    words = [str(word) for word in ([source] if isinstance(source, (str, Path)) else source)]
    saved = [word for word in words if word.lower().endswith(".jsonl")]
    if saved and len(words) > 1:
        raise VitruvianError(f"'{saved[0]}' is a record; give it as the only source")
    if saved and span not in (None, Span()):
        raise VitruvianError(
            f"'{saved[0]}' is a record and is analyzed completely; leave start, end, stride and "
            "max_frames out"
        )
    return Record(saved[0]) if saved else None


def sources_of(record: Record) -> list[Source]:
    """Sources of a record, in its order; none is opened.

    Raises:
        VitruvianError: it has no frames.
    """
    sources: list[Source] = []
    for name, group in itertools.groupby(record.sources(), lru_cache(1)(_run_of)):
        if name:
            sources.append(of_file(name, Span()))
        else:
            sources.append(Pictures(tuple(map(Path, dict.fromkeys(group))), Span()))
    if not sources and next(iter(record), None) is None:  # or raises its own error
        raise VitruvianError(f"'{record.path}' holds no frames")
    return sources


def runs(
    pairs: Iterable[tuple[Frame, Poses]],
) -> Iterator[tuple[bool, Iterator[tuple[Frame, Poses]]]]:
    """Whether it is a video, and its frames, for each of `sources_of`."""
    run_of = lru_cache(1)(_run_of)  # reads the file's content
    for name, group in itertools.groupby(pairs, lambda pair: run_of(pair[0].source)):
        yield bool(name), group


def _run_of(source: str) -> str:
    """Group key of the frames of one source: consecutive images are one."""
    return "" if is_picture(source) else source


def is_here(source: Source) -> bool:
    """Whether the files of a source exist, with pixels to read."""
    if isinstance(source, Pictures):
        return all(os.path.isfile(page_of(path)[0]) for path in source.paths)  # noqa: PTH113
    # Not Path.is_file, which raises for invalid names.
    film = isinstance(source, VideoFile) and os.path.isfile(source.address)  # noqa: PTH113
    return film and not of_poses(source)


def of_poses(source: Source) -> bool:
    """Whether it is a file of another program with poses only: `walk.trc`."""
    return Path(source.name).suffix.lower() in {row.suffix for row in FORMATS.values()} - {""}


def with_pixels(
    source: Source, pairs: Iterable[tuple[Frame, T]]
) -> Generator[tuple[Frame, T], None, None]:
    """Adds pixels to frames without any, by reading their source again.

    Raises:
        VitruvianError: the source does not match the frames.
    """
    if source.moving:
        yield from reread(source, pairs)
        return
    for frame, value in pairs:
        read = Frame.read(frame.source, frame.index)
        if read.size != frame.size:
            raise VitruvianError(
                f"'{frame.source}' is {read.size[0]} x {read.size[1]} pixels, and was "
                f"{frame.size[0]} x {frame.size[1]} in the record; give the same file, or write "
                "no images"
            )
        yield replace(frame, pixels=read.pixels), value
