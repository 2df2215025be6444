"""Records of a comparison: a line a frame, as `vitruvian predict` writes, and how long it took.

Two keys more than in other records: `ms`, and `failed` with the reason where a model gave up on a
frame; the header has the skeleton and what was looked at. Other programs may leave all that out. A
record is found again by where its lines begin, so that only these numbers are in memory.
"""

from __future__ import annotations

import json
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.pipeline import steps
from vitruvian.sink.part import Part
from vitruvian.sink.records import Record, dump, from_dict, header, to_dict


@dataclass(frozen=True, eq=False)
class Result:
    """What one model says of one frame."""

    poses: Poses | None  # None: nothing, because it failed or was not asked
    ms: float | None = None  # how long it took
    failed: str = ""  # why there is nothing


def write(
    path: Path,
    frames: Iterable[Frame],
    moving: bool,
    load: Callable[[], Any],
    about: dict[str, Any],
    tick: Callable[[int], None],
) -> int:
    """Let a model look at frames, one after the other, and write a record of it.

    Pictures go on where they were interrupted; a video, in which each frame needs those before, is
    begun anew.

    Args:
        path: of the record.
        frames: of one source.
        moving: whether they follow each other.
        load: gives the model.
        about: what the record is of, for its header; see `finished`.
        tick: called with the number of frames done.

    Returns:
        Of how many frames the model gave nothing.
    """
    model = load()
    part, done, failed = Part(path), set[str](), 0
    unfinished = part.begin(keep=True)
    if not moving and finished(unfinished, about):
        done, failed = _mend(unfinished)
    step = steps(model) if moving else lambda frame: model([frame])[0]
    with unfinished.open("a" if done else "w", encoding="utf-8", newline="") as file:
        if not done:
            file.write(dump(header(model, model.skeleton) | {"compare": about}))
        warm = False
        for number, frame in enumerate(frames):
            if _key(frame, moving) in done:
                continue
            if not warm:  # the first look at anything is slow, and not counted
                warm = True
                _look(lambda frame: model([frame])[0], frame)
            began = time.perf_counter()
            poses, why = _look(step, frame)
            ms = round((time.perf_counter() - began) * 1e3, 3)
            said: dict[str, Any] = {"ms": ms} if poses is not None else {"failed": why}
            failed += poses is None
            found = Poses.nobody(model.skeleton) if poses is None else poses
            file.write(dump(to_dict(frame, found, model.name) | said))
            file.flush()
            tick(number + 1)
    part.finish()
    return failed


def _look(step: Callable[[Frame], Poses], frame: Frame) -> tuple[Poses | None, str]:
    """Poses, or None and why not.

    Anything may go wrong in one of many models: it is said, and the others' hours of work are kept.
    """
    try:
        return step(frame), ""
    except Exception as error:
        kind = "" if isinstance(error, VitruvianError) else f"{type(error).__name__}: "
        return None, f"{kind}{error}".splitlines()[0]


def finished(path: Path, about: dict[str, Any]) -> bool:
    """Whether a record is there, and of the same thing, by the same model with the same options."""
    try:
        return Record(path).header.get("compare") == json.loads(json.dumps(about))
    except VitruvianError:
        return False


def _mend(path: Path) -> tuple[set[str], int]:
    """Cut off a line that was not finished.

    Returns:
        The keys of the frames that are there, and how many of them are failures.
    """
    done, failed, end = set[str](), 0, 0
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if not line.endswith(b"\n"):
                break
            end += len(line)
            if number:
                said = json.loads(line)
                done.add(said["source"])
                failed += "failed" in said
    with path.open("rb+") as file:
        file.truncate(end)
    return done, failed


def _key(frame: Frame, moving: bool) -> str:
    """What a frame is found by: its file; in a video also which one it is."""
    return f"{frame.source}#{frame.index}" if moving else frame.source


class Lines:
    """A record, to be asked for the result of any frame."""

    def __init__(self, path: Path, moving: bool) -> None:
        """Find where its lines begin.

        Args:
            path: of a record.
            moving: whether frames are those of a video.
        """
        self.record, self.moving = Record(path), moving
        # Of each source: numbers of frames, and where their lines begin.
        self._at: dict[str, tuple[array[int], array[int]]] = {}
        self._begin, offset = array("q"), 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if number > 1:
                    source, index = self._json(line, number)
                    indices, offsets = self._at.setdefault(source, (array("q"), array("q")))
                    if moving and indices and index <= indices[-1]:
                        raise VitruvianError(
                            f"cannot read '{path}': line {number} is of frame {index} of "
                            f"'{source}', and comes after frame {indices[-1]}"
                        )
                    indices.append(index)
                    offsets.append(offset)
                    self._begin.append(offset)
                offset += len(line)
        for source in list(self._at):  # other programs may have called it by another path
            self._at.setdefault(Path(source).name, self._at[source])
        self._file = path.open("rb")

    def _json(self, line: bytes, number: int) -> tuple[str, int]:
        """Source and number of a line's frame."""
        try:
            said = json.loads(line)
            return str(said["source"]), int(said["index"])
        except (ValueError, TypeError, KeyError):
            raise VitruvianError(
                f"cannot read '{self.record.path}': line {number} is no frame"
            ) from None

    def __len__(self) -> int:
        return len(self._begin)

    def _find(self, frame: Frame) -> int | None:
        """Where the line of a frame begins."""
        name = Path(frame.source).name
        indices, offsets = self._at.get(frame.source, self._at.get(name, ((), ())))
        at = bisect_left(indices, frame.index) if self.moving else 0
        if at >= len(indices) or (self.moving and indices[at] != frame.index):
            return None
        return offsets[at]

    def __getitem__(self, frame: Frame) -> Result:
        """What it says of a frame."""
        at = self._find(frame)
        if at is None:
            return Result(None, failed="it has no such frame")
        said, _, poses = self._read(at)
        if tuple(said["size"]) != frame.size:
            wide, tall = said["size"]
            return Result(None, failed=f"it is of a picture of {wide} x {tall} pixels")
        if "failed" in said:
            return Result(None, failed=said["failed"])
        return Result(poses, said.get("ms"))

    def _read(self, at: int) -> tuple[dict[str, Any], Frame, Poses]:
        self._file.seek(at)
        said = json.loads(self._file.readline())
        try:
            return said, *from_dict(said, self.record.skeleton)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise VitruvianError(
                f"cannot read '{self.record.path}': a line is no frame ({error})"
            ) from None

    def sample(self, most: int) -> list[tuple[Frame, Poses]]:
        """Some of its frames, without pixels, evenly through the record."""
        last = len(self._begin) - 1
        chosen = np.unique(np.linspace(0, max(last, 0), most).astype(int))
        return [self._read(self._begin[i])[1:] for i in chosen if i <= last]

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
