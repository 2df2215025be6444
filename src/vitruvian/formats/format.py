"""File formats: names and suffixes, what they store and need, how to read and write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.formats.markers import Note
from vitruvian.formats.records import Record
from vitruvian.formats.wire import Provenance
from vitruvian.frame import Frame

Pairs = Iterator[tuple[Frame, Poses]]
# What one file can store: any sources; one source; one image or video; one video; ...
Room = Literal["anything", "source", "picture or video", "video", "pictures", "pictures or a video"]


class Sink(Protocol):
    """A pose writer."""

    @property
    def paths(self) -> list[Path]:
        """The files written."""
        ...

    def __enter__(self) -> Sink: ...

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write the poses of a frame."""
        ...

    def __exit__(self, *_: object) -> None: ...


class Reading:
    """Poses of a file: iterate over pairs of frame and poses; `header`: model and options.

    `notes` are lines about assumptions and omissions in what has been read so far.
    """

    def __init__(
        self, pairs: Callable[[Note], Pairs], header: dict[str, Any] | None = None
    ) -> None:
        """`pairs` restarts at each call."""
        self.header, self.pairs = header or {}, pairs
        self.notes: list[str] = []

    def __iter__(self) -> Pairs:
        self.notes.clear()
        return self.pairs(self._note)

    def _note(self, line: str) -> None:
        if line not in self.notes:
            self.notes.append(line)


@dataclass(frozen=True)
class ReadOptions:
    """Metadata that third-party files do not store."""

    fps: float | None = None  # frames per second
    up: str | None = None  # the axis that points up, y or z
    skeleton: Skeleton | None = None  # of its keypoints


@dataclass(frozen=True)
class WriteOptions:
    """Options of a writer."""

    model: Provenance | None = None  # source of the poses
    visible: float = 0.5  # 0..1, confidence threshold for drawing
    up: str = "y"  # the axis that points up, y or z
    pictures: tuple[Path, ...] = ()  # all that will be written, if known
    moving: bool = False  # whether these are video frames


@dataclass(frozen=True)
class Format:
    """A file or folder format.

    To add one, write a module that reads and writes it, and add a row: in `formats/table.py`, or
    in `verbs/outputs.py` if it is visual. `--save`, `--out`, `convert` and docs/files.md
    use these rows.
    """

    name: str  # in `--save` and `--from`
    ends: tuple[str, ...]  # file suffixes; the first is used in output folders
    about: str
    units: str
    holds: tuple[str, ...]  # of `table.HOLDS`
    needs: tuple[tuple[str, ...], ...]  # to write it: at least one of each
    write: Callable[[Path, WriteOptions], Sink]
    read: Callable[[Path, ReadOptions], Reading | Record] | None = None
    of_picture: tuple[str, ...] = ()  # `ends` for a single image, if different
    room: Room = "anything"  # in one file
    asks: tuple[str, ...] = ()  # fields of `ReadOptions` that it may need
    folder: bool = False  # one file per frame, or per person and frame
    one_person: bool = False  # one file per person, see `formats.one_person`
    frames: bool = False  # whether it shows the input frames
    check: Callable[[Skeleton], object] | None = None  # raises if a skeleton is unsupported

    @property
    def suffix(self) -> str:
        """File suffix; "" for a folder."""
        return "" if self.folder else self.ends[0]

    @property
    def called(self) -> str:
        """Display name for users."""
        return self.suffix or self.about.partition(",")[0]
