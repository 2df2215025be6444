"""Streaming writers: lines of text and rows of tables, written incrementally.

A file appears only when complete, see `vitruvian.formats.atomic_file`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, pip_install
from vitruvian.formats.atomic_file import NO_TEXT, AtomicFile
from vitruvian.frame import Frame


class GrowingText:
    """Incremental writer of a text file."""

    def __init__(self, path: Path, start: str, end: str = "") -> None:
        """`start` is the header, `end` the footer of the file."""
        self.part, self.start, self.end = AtomicFile(path), start, end
        self.file: IO[str] | None = None
        self.whole = True  # so far; not after a full disk

    def __enter__(self) -> Self:
        return self

    def add(self, lines: str) -> None:
        """Append lines."""
        if self.file is None:
            path = self.part.begin()
            self.file = path.open("w", encoding="utf-8", errors=NO_TEXT, newline="")
            lines = self.start + lines
        try:
            self.file.write(lines)
        except OSError:
            self.whole = False
            raise

    def mark(self) -> int:
        """Its size in bytes, to resume from if killed."""
        if self.file is None:
            return 0
        self.file.flush()
        return self.file.buffer.tell()  # type: ignore[attr-defined]

    def kept(self, mark: int) -> Path | None:
        """The file that has what was written up to `mark`: unfinished, or under its final name."""
        for path in (self.part.unfinished, self.part.path):
            if path.is_file() and path.stat().st_size >= mark:
                return path
        return None

    def can_go_on(self, mark: int) -> bool:
        """Whether what was written up to `mark` is still there."""
        return not mark or self.kept(mark) is not None

    def go_on(self, mark: int, frames: Sequence[Frame] = ()) -> None:
        """Resume: keep what a killed or stopped run wrote up to `mark`, and append.

        Args:
            mark: its size in bytes.
            frames: frames already written, no pixels.
        """
        if not mark:
            return
        before = self.kept(mark)
        path = self.part.begin(keep=True)
        if before is not None and before != path:  # stopped: it was renamed
            shutil.copyfile(before, path)
        os.truncate(path, mark)
        self.file = path.open("a", encoding="utf-8", errors=NO_TEXT, newline="")

    def __exit__(self, *_: object) -> None:
        try:
            if self.file is not None:
                if self.whole:
                    self.file.write(self.end)
                self.file.close()  # may raise on a full disk too: then the file is incomplete
                if self.whole:
                    self.part.finish()
        finally:
            self.part.leave()

    @property
    def paths(self) -> list[Path]:
        """The files written."""
        return [self.part.path] if self.file is not None else []


class Text(GrowingText):
    """A text file with some lines for each frame."""

    def __init__(
        self, path: Path, start: str, lines: Callable[[Frame, Poses], str], end: str = ""
    ) -> None:
        """`start` is the header, `lines` formats one frame, `end` is the footer."""
        super().__init__(path, start, end)
        self.lines = lines

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write a frame's lines."""
        self.add(self.lines(frame, poses))


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV lines; None is an empty field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def as_text(value: Any) -> Any:
    """A value of a text column as valid UTF-8."""
    return value.encode("utf-8", NO_TEXT).decode() if isinstance(value, str) else value


class Rows:
    """Incremental writer of `.parquet` files; needs the `table` extra."""

    CELLS = 1 << 20  # values buffered before they are written

    def __init__(self, path: Path, kinds: Mapping[str, str], about: Mapping[str, Any]) -> None:
        """`kinds`: column -> Arrow type name. `about`: metadata of the file."""
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise VitruvianError(
                f"'{path}' needs pyarrow; install it with: {pip_install('table')}"
            ) from None
        self.arrow, self.part = pyarrow, AtomicFile(path)
        self.schema = pyarrow.schema(list(kinds.items()))
        self.schema = self.schema.with_metadata({"vitruvian": json.dumps(about)})
        self.kept: list[Any] = []  # not yet written
        self.cells = 0  # of it
        self.writer: Any = None

    def __enter__(self) -> Self:
        return self

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Append rows."""
        rows = list(rows)
        self.keep(rows, len(rows))

    def keep(self, items: Iterable[Any], rows: int) -> None:
        """Append what `columns` makes so many rows of."""
        if self.writer is None:
            self.writer = self.arrow.parquet.ParquetWriter(self.part.begin(), self.schema)
            self.whole = True  # so far; not after a full disk
        self.kept.extend(items)
        self.cells += rows * len(self.schema)
        if self.cells >= self.CELLS:
            self._flush()

    def columns(self) -> list[Any]:
        """The Arrow arrays of what is kept."""
        columns = list(zip(*self.kept, strict=True)) or [()] * len(self.schema)
        return [
            self.arrow.array(map(as_text, column) if field.type == "string" else column, field.type)
            for column, field in zip(columns, self.schema, strict=True)
        ]

    def _flush(self) -> None:
        try:
            table = self.arrow.Table.from_arrays(self.columns(), schema=self.schema)
            self.writer.write_table(table)
        except OSError:
            self.whole = False
            raise
        self.kept, self.cells = [], 0

    def __exit__(self, *_: object) -> None:
        try:
            if self.writer is not None and self.whole:
                self._flush()
                self.writer.close()
                self.part.finish()
        finally:
            self.part.leave()

    @property
    def paths(self) -> list[Path]:
        """The files written."""
        return [self.part.path] if self.writer is not None else []
