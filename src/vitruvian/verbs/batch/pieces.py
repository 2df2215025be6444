"""Long videos in pieces: where they are cut, and which pieces are done.

A video is cut into pieces that overlap. Workers make a record of each, and one of them joins the
records, see `vitruvian.verbs.batch.join`. Until then they are kept on disk: a folder for each video
with its plan, and in it one for each piece that is done, put into place by renaming. Where results
go to a store, so do pieces, and in the folder is a file for each that names its folder there.
"""

from __future__ import annotations

import json
import os
import shutil
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.errors import amount, shown
from vitruvian.formats.atomic_file import WriteError, why
from vitruvian.sources.video import KeyFrames, Span
from vitruvian.verbs.batch.manifest import Row

AUTO = 300.0  # seconds, length of the pieces where no other is given
# Context on each side of a seam. Tracks are confirmed within 3 s (`streams.confirm.WAIT`) and are
# found again after up to 3 s (`MISSING` there, `coast` of `streams.identify`). Filters need less:
# Butterworth 0.6 s at 6 Hz. benchmarks/batch_pieces.py measures what is left of the difference.
CONTEXT = 5.0  # seconds
LEAST_CONTEXT = 30  # frames of it; `streams.confirm.LEAST_HELD` is 20
SHIFT = 0.1  # of a piece: a key frame that near is where it begins
PLAN = "plan.json"


@dataclass(frozen=True)
class Piece:
    """A part of a video; all seconds of the video."""

    start: float  # of its record
    first: float  # from which on its record is used
    end: float | None  # of its record, exclusive; None: to the end of the video

    def __str__(self) -> str:
        end = "the end" if self.end is None else f"{self.end:g} s"
        return f"{self.start:g} s to {end}"


def cut_pieces(keys: KeyFrames, span: Span, seconds: float) -> tuple[Piece, ...]:
    """Overlapping pieces of about this length; none if there would be only one.

    A piece begins at a key frame if one is near, so that nothing is decoded in vain.

    Args:
        keys: of the video.
        span: what is used of it.
        seconds: wanted length.
    """
    end = min(keys.last, np.inf if span.end is None else span.end)
    context = max(CONTEXT, LEAST_CONTEXT * span.stride * keys.last / max(keys.frames - 1, 1))
    whole = end - span.start
    count = min(round(whole / seconds), int(whole / (2 * context)))
    begins = [span.start]
    for i in range(1, count):
        begin = span.start + whole * i / count - context
        after = bisect_left(keys.times, begin)
        near = min(keys.times[max(after - 1, 0) : after + 1], key=lambda at: abs(at - begin))
        begins.append(near if abs(near - begin) <= SHIFT * whole / count else begin)
    if len(begins) < 2:
        return ()
    ends = [*(begin + 2 * context for begin in begins[1:]), span.end]
    firsts = [0.0, *(begin + context for begin in begins[1:])]
    return tuple(map(Piece, begins, firsts, ends))


def put_folder(made: Path, place: Path, old: Path) -> None:
    """Put a folder that a worker made into place by renaming.

    Args:
        made: the folder.
        place: its new name.
        old: where a folder of that name is moved, and removed.

    Raises:
        WriteError: it cannot be renamed, or is not seen on this machine.
    """
    if not made.is_dir():
        raise WriteError(
            f"what a worker wrote to '{shown(made, 100)}' is not there; give an --out that is the "
            "same folder on all machines"
        )
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(place):
            shutil.rmtree(old, ignore_errors=True)
            place.rename(old)
        made.rename(place)
    except OSError as error:
        raise WriteError(f"cannot write '{shown(place, 100)}': {why(error)}") from None
    shutil.rmtree(old, ignore_errors=True)


@dataclass(eq=False)
class CutVideo:
    """A video that is being done in pieces."""

    row: Row
    folder: Path  # of its plan and its pieces
    sha256: str  # of its content
    pieces: tuple[Piece, ...]
    attempts: Counter[int | None] = field(default_factory=Counter)  # by piece; None: the joining
    failed: bool = False
    made: int = 0  # pieces, in this run
    frames: int = 0  # of them

    @property
    def share(self) -> float:
        """0..1, how much of it was done in this run."""
        return self.made / len(self.pieces)

    def missing(self) -> list[int]:
        """The pieces that are not done."""
        return [i for i in range(len(self.pieces)) if not self.record(i).exists()]

    def record(self, piece: int) -> Path:
        """The folder of a piece that is done, or a file with the name of that in the store."""
        return self.folder / str(piece)

    def records(self) -> list[str]:
        """The folders of all pieces, or their names in the store."""
        every = map(self.record, range(len(self.pieces)))
        return [path.read_text("utf-8") if path.is_file() else str(path) for path in every]


@dataclass(frozen=True)
class BatchTask:
    """What a worker does next: a source, a piece of one, or (`piece` None) its joining."""

    row: Row
    video: CutVideo | None = None  # None: the source
    piece: int | None = None

    @property
    def folder(self) -> str:
        """Name of the folder of this attempt."""
        if self.video is None:
            return f"{self.row.id}-{self.row.attempts}"
        piece = "joined" if self.piece is None else self.piece
        return f"{self.row.id}-{piece}-{self.video.attempts[self.piece]}"

    @property
    def part(self) -> str:
        """In words; empty for a whole source."""
        if self.video is None:
            return ""
        of = len(self.video.pieces)
        if self.piece is None:
            return f"joining {amount(of, 'piece')}"
        return f"piece {self.piece + 1} of {of} ({self.video.pieces[self.piece]})"


class CutVideos:
    """The videos in pieces of a manifest, on disk."""

    def __init__(self, folder: Path, remove: Callable[[str], None]) -> None:
        """Nothing is read yet.

        Args:
            folder: of this manifest alone; need not exist.
            remove: removes what else there is of a video, by the name of its folder.
        """
        self.folder, self._remove_else = folder, remove

    def sweep(self, key: Callable[[int], str]) -> None:
        """Remove what is of no use any more.

        Args:
            key: row id -> what its results depend on; empty if it is done.
        """
        for folder in self.folder.glob("*"):
            plan = self._plan(folder)
            if not folder.name.isdecimal() or plan is None or plan["key"] != key(int(folder.name)):
                self._remove(folder)
        self._tidy()

    def begin(self, row: Row, key: str, sha256: str, pieces: tuple[Piece, ...]) -> list[BatchTask]:
        """Cut a video.

        Args:
            row: the video.
            key: what its results depend on.
            sha256: of its content.
            pieces: its pieces.
        """
        folder = self.folder / str(row.id)
        plan = {"key": key, "sha256": sha256, "pieces": [asdict(piece) for piece in pieces]}
        self._remove(folder)
        try:
            folder.mkdir(parents=True)
            part = folder / f"{PLAN}.part"
            part.write_text(json.dumps(plan), encoding="utf-8")
            part.rename(folder / PLAN)
        except OSError as error:
            raise WriteError(f"cannot write '{shown(folder, 100)}': {why(error)}") from None
        return self.left(row)

    def left(self, row: Row) -> list[BatchTask]:
        """What is to do of a video; nothing if it is not cut."""
        folder = self.folder / str(row.id)
        plan = self._plan(folder)
        if plan is None:
            return []
        pieces = tuple(Piece(**piece) for piece in plan["pieces"])
        video = CutVideo(row, folder, plan["sha256"], pieces)
        return [BatchTask(row, video, i) for i in video.missing()] or [BatchTask(row, video)]

    def next(self, video: CutVideo) -> list[BatchTask]:
        """What is to do when a piece is done: the joining, if it was the last one."""
        return [] if video.missing() else [BatchTask(video.row, video)]

    def forget(self, video: CutVideo) -> None:
        """Remove the pieces of a video that is done."""
        self._remove(video.folder)
        self._tidy()

    def _tidy(self) -> None:
        with suppress(OSError):  # not empty, or not there
            self.folder.rmdir()

    def _remove(self, folder: Path) -> None:
        self._remove_else(folder.name)
        shutil.rmtree(folder, ignore_errors=True)

    def _plan(self, folder: Path) -> dict[str, Any] | None:
        try:
            return json.loads((folder / PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # killed before it was written
            return None
