"""A format: how its files are called, what they hold and need, how they are read and written."""

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
# What one file has room for: any sources; one source; one picture or video; one video; ...
Room = Literal["anything", "source", "picture or video", "video", "pictures or a video"]


class Sink(Protocol):
    """Where poses go."""

    @property
    def paths(self) -> list[Path]:
        """What has been written."""
        ...

    def __enter__(self) -> Sink: ...

    def write(self, frame: Frame, poses: Poses) -> None:
        """Take the poses of one frame."""
        ...

    def __exit__(self, *_: object) -> None: ...


class Reading:
    """Poses of a file: `header` says what made them, iterating gives pairs of frame and poses.

    `notes` are lines about what was assumed and what was left out, of what has been read so far.
    """

    def __init__(
        self, pairs: Callable[[Note], Pairs], header: dict[str, Any] | None = None
    ) -> None:
        """`pairs` begins anew at each call."""
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
    """What a file of another program does not say itself."""

    fps: float | None = None  # frames a second
    up: str | None = None  # the axis that points up, y or z
    skeleton: Skeleton | None = None  # whose keypoints it has


@dataclass(frozen=True)
class WriteOptions:
    """What a writer may be told."""

    model: Provenance | None = None  # what made the poses
    visible: float = 0.5  # 0..1, the score from which keypoints are drawn
    up: str = "y"  # the axis that points up, y or z
    pictures: tuple[Path, ...] = ()  # all that will be written, if that is known
    moving: bool = False  # whether they are frames of a video


@dataclass(frozen=True)
class Format:
    """A kind of file, or of folder.

    A new one is a file that reads and writes it, and a row: in `formats/table.py`, or in
    `verbs/outputs.py` if it is to be looked at. `--save`, `--out`, `convert` and docs/files.md
    follow from the rows.
    """

    name: str  # in `--save` and `--from`
    ends: tuple[str, ...]  # how names of its files end; in an output folder as the first
    about: str
    units: str
    holds: tuple[str, ...]  # of `table.HOLDS`
    needs: tuple[tuple[str, ...], ...]  # of each one at least, to be written
    write: Callable[[Path, WriteOptions], Sink]
    read: Callable[[Path, ReadOptions], Reading | Record] | None = None
    of_picture: tuple[str, ...] = ()  # `ends` of a single picture, where they are others
    room: Room = "anything"  # in one file
    asks: tuple[str, ...] = ()  # fields of `ReadOptions` that reading it may need
    folder: bool = False  # with a file for each frame, or person of a frame
    one_person: bool = False  # a file for each person, see `formats.one_person`
    frames: bool = False  # whether the pictures themselves are shown
    check: Callable[[Skeleton], object] | None = None  # raises where it cannot hold a skeleton

    @property
    def suffix(self) -> str:
        """How names of its files end; "" of a folder."""
        return "" if self.folder else self.ends[0]

    @property
    def called(self) -> str:
        """As a user would say it."""
        return self.suffix or self.about.partition(",")[0]
