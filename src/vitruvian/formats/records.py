"""Read and write records: `.jsonl` files of poses, one JSON line per frame.

The first line is a header: schema, version, model, hashes of its weights, options, skeleton. Each
other line is a frame, see `vitruvian.formats.wire`. Writers may add their own keys to any line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import SKELETONS
from vitruvian.documents import LONGEST_LINE, WHOLE, parse_json, read_lines, unreadable
from vitruvian.errors import VitruvianError, shown
from vitruvian.formats.atomic_file import AtomicFile
from vitruvian.formats.growing import Text
from vitruvian.formats.wire import (
    SCHEMA,
    Provenance,
    described,
    dump,
    frame_to_dict,
    from_dict,
    from_dicts,
    header,
)
from vitruvian.frame import Frame

_BOM = b"\xef\xbb\xbf"  # UTF-8 byte order mark, which some editors write
BATCH = 64  # lines that are decoded at once
_TAIL = 1 << 16  # bytes read first to find the last line


class Record:
    """A `.jsonl` file: iterate over pairs of frame and poses; `header`: model and options."""

    def __init__(self, path: str | Path) -> None:
        """Open it and read the header.

        Raises:
            VitruvianError: it is missing, or no record of this version.
        """
        self.path = Path(path)
        with closing(read_lines(self.path)) as lines:
            self.header = self._parse(next(lines, ""), 1)
        if self.header.get("schema") != SCHEMA:
            raise VitruvianError(
                f"cannot read '{shown(path, 100)}': its first line is not a header of schema "
                f"{SCHEMA}; records are written by `vitruvian predict --out poses.jsonl`"
            )
        for name, kind in {"options": dict, "weights": dict, "model": str, "runs_on": str}.items():
            if not isinstance(self.header.get(name, kind()), kind):
                raise unreadable(path, f"its header has {name} {shown(self.header[name])}")
        try:
            self.skeleton = described(self.header.get("skeleton"))
        except (ValueError, TypeError, KeyError) as error:
            raise unreadable(path, f"its header has no valid skeleton ({error!r})") from None

    def __iter__(self) -> Iterator[tuple[Frame, Poses]]:
        for lines in self._batches():
            found = None
            with suppress(VitruvianError):
                parsed = [self._parse(line, number) for number, line in lines]
                found = from_dicts(parsed, self.skeleton)
            if found is not None:
                yield from found
                continue
            for number, line in lines:  # one by one, as far as they are valid
                yield self.frame(self._parse(line, number), number)

    def _batches(self) -> Iterator[list[tuple[int, str]]]:
        """The same as `_lines`, some at once; the first one alone."""
        lines, most = list[tuple[int, str]](), 1
        try:
            for each in self._lines():
                lines.append(each)
                if len(lines) == most:
                    yield lines
                    lines, most = [], BATCH
        except VitruvianError:
            yield lines
            raise
        yield lines

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Number, from 2, and text of the lines after the header."""
        with closing(read_lines(self.path)) as lines:
            next(lines, None)
            yield from enumerate(lines, 2)

    def _parse(self, line: str, number: int) -> dict[str, Any]:
        """A line as JSON; frame numbers are checked where they are used.

        Raises:
            VitruvianError: it is no JSON object.
        """
        value = parse_json(line, self.path, f"line {number}", quick=number > 1)
        if not isinstance(value, dict):
            raise unreadable(self.path, f"line {number} is not a JSON object")
        return value

    def frame(self, line: dict[str, Any], number: int) -> tuple[Frame, Poses]:
        """The frame, without pixels, and the poses of a line.

        Raises:
            VitruvianError: invalid frame.
        """
        try:
            return from_dict(line, self.skeleton)
        except VitruvianError as error:
            raise unreadable(self.path, f"line {number} is not a frame ({error})") from None

    def index(self) -> Iterator[tuple[dict[str, Any], int, int]]:
        """Each line as JSON, without decoding poses: the line, its number, its byte offset.

        `source`, `index` and `time` are checked for their types; `at` reads a line again.

        Raises:
            VitruvianError: invalid frame.
        """
        with closing(read_lines(self.path)) as lines:
            offset = len(next(lines, "").encode()) + len(_BOM) * self._has_bom()
            for number, text in enumerate(lines, 2):
                line = self._parse(text, number)
                source, index, seconds = (line.get(name) for name in ("source", "index", "time"))
                whole = type(index) is int and abs(index) < WHOLE
                if not (isinstance(source, str) and whole and type(seconds) in (int, float)):
                    raise unreadable(self.path, f"line {number} is not a frame")
                yield line, number, offset
                offset += len(text) if text.isascii() else len(text.encode())

    def _has_bom(self) -> bool:
        with self.path.open("rb") as file:
            return file.read(len(_BOM)) == _BOM

    def at(self, file: IO[bytes], offset: int, number: int) -> dict[str, Any]:
        """The line at a byte offset from `index`, read from an open file."""
        file.seek(offset)
        return self._decoded(file.readline(LONGEST_LINE), number)

    def _decoded(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            return self._parse(line.decode("utf-8"), number)
        except UnicodeDecodeError:
            raise unreadable(self.path, f"line {number} is not UTF-8 text") from None

    def sources(self) -> Iterator[str]:
        """The source of each line, without full parsing; stops at an invalid line."""
        start = '{"source":'
        with suppress(VitruvianError, ValueError, KeyError, TypeError, RecursionError):
            for _, line in self._lines():
                if line.startswith(start):  # our own lines: no need to parse the rest
                    yield str(json.JSONDecoder().raw_decode(line[len(start) :].lstrip())[0])
                    continue
                name = parse_json(line, "")["source"]
                if not isinstance(name, str):
                    return
                yield name

    def last(self) -> dict[str, Any]:
        """The last line, read from the end of the file.

        Raises:
            VitruvianError: it is no frame: the file is truncated or has no frames.
        """
        with self.path.open("rb") as file:
            end, size = file.seek(0, os.SEEK_END), _TAIL
            while True:
                file.seek(max(0, end - size))
                lines = file.read(size).splitlines()
                if len(lines) > 1 or size >= min(end, LONGEST_LINE):
                    break
                size *= 4
        try:
            line = self._decoded(lines[-1], 2)
        except VitruvianError:
            line = {}
        if not isinstance(line.get("source"), str):
            raise unreadable(self.path, "its last line is incomplete; the file is truncated")
        return line

    @property
    def finished(self) -> bool:
        """Whether the last line is complete; a killed writer may leave a partial line."""
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def append(self) -> IO[str]:
        """Open it to append lines; a partial line left by a killed writer is removed.

        Raises:
            OSError: it cannot be written.
        """
        if not self.finished:
            with self.path.open("rb+") as file:
                file.truncate(file.read().rfind(b"\n") + 1)
        return self.path.open("a", encoding="utf-8", newline="")


def read(path: str | Path) -> Record:
    """Read a `.jsonl` file: `for frame, poses in vit.read("out.jsonl")`."""
    return Record(path)


def drop_frames(path: Path, sources: Collection[str], **header: Any) -> None:
    """Rewrite a record without the frames of some sources, and without a partial last line.

    Args:
        path: path of the record.
        sources: their names.
        header: keys of the header to be replaced.
    """
    part = AtomicFile(path)
    with path.open("rb") as old, part.begin().open("wb") as new:
        for number, line in enumerate(line for line in old if line.endswith(b"\n")):
            if not number:
                new.write(dump({**json.loads(line), **header}).encode())
            elif json.loads(line)["source"] not in sources:
                new.write(line)
    part.finish()


class JsonLines(Text):
    """A sink for a `.jsonl` file: a header, and a line for each frame."""

    def __init__(self, path: Path, model: Provenance | None) -> None:
        super().__init__(path, "", self._line)
        self.model = model
        self.skeleton: Skeleton | None = None  # in the header

    def _line(self, frame: Frame, poses: Poses) -> str:
        table = poses.skeleton
        line = dump(frame_to_dict(frame, poses, "" if self.model is None else self.model.name))
        if self.skeleton is None:
            self.skeleton = table
            return dump(header(self.model, table)) + line
        if table != self.skeleton and SKELETONS.get(table.name) != table:
            raise VitruvianError(
                f"'{self.part.path}' has the skeleton {self.skeleton.name}, but frame "
                f"{frame.index} of '{frame.source}' has {table.name}; write it to another file"
            )
        return line

    def go_on(self, mark: int, frames: Sequence[Frame] = ()) -> None:
        """As `Text`; keeps the header."""
        super().go_on(mark, frames)
        if mark:
            self.skeleton = Record(self.part.unfinished).skeleton


def json_lines(path: Path, model: Provenance | None) -> Text:
    """A sink that writes a `.jsonl` file."""
    return JsonLines(path, model)
