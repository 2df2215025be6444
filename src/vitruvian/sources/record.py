"""A record as a source: people who were found already, once more through what is done over time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitruvian.documents import LONGEST_LINE, unreadable
from vitruvian.errors import VitruvianError
from vitruvian.formats.records import Record, parse_line
from vitruvian.frame import Frame

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Recorded:
    """The record of one video."""

    record: Record
    source: str  # what it tells of
    moving = True
    live = False

    @property
    def name(self) -> str:
        """The file."""
        return self.record.path.name

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        """The frames it tells of, without pixels."""
        for frame, _ in self.record:
            yield frame

    def count(self) -> None:
        """Nobody knows."""

    def video(self) -> Path:
        """The video it tells of, where it was, or beside the record.

        Raises:
            VitruvianError: it is at neither place.
        """
        places = (Path(self.source), self.record.path.with_name(Path(self.source).name))
        for path in places:
            if os.path.isfile(path):  # noqa: PTH113  # no error for odd names
                return path
        raise VitruvianError(
            f"'{self.name}' tells of '{self.source}', which is not there; put it beside "
            "the record, or leave video out of --save"
        )


def open_record(path: str | Path) -> Recorded:
    """A record of one video or stream.

    Raises:
        VitruvianError: it is no record, it holds no frames, or it tells of several sources.
    """
    record = Record(path)
    first = next(iter(record), None)
    if first is None:
        raise VitruvianError(f"'{path}' holds no frames")
    last = _last_source(record.path)
    if last != first[0].source:
        raise VitruvianError(
            f"'{path}' tells of '{first[0].source}' and of others, to '{last}'; "
            "give a record of one video"
        )
    return Recorded(record, first[0].source)


def _last_source(path: Path) -> str:
    """What the last line of a record tells of."""
    with path.open("rb") as file:
        end, size = file.seek(0, os.SEEK_END), 1 << 16
        while True:
            file.seek(max(0, end - size))
            lines = file.read(size).splitlines()
            if len(lines) > 1 or size >= min(end, LONGEST_LINE):
                break
            size *= 4
    try:
        source = parse_line(lines[-1].decode("utf-8"), path, 2)["source"]
    except (VitruvianError, UnicodeDecodeError, KeyError):
        source = None
    if not isinstance(source, str):
        raise unreadable(path, "its last line is no frame; it is cut short")
    return source
