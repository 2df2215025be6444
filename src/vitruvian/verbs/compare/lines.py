"""Records of a comparison: one line per frame, as from `vitruvian predict`, with the time it took.

Two keys more than in other records: `ms`, and `failed` with the reason why a model failed on a
frame; the header has the skeleton and the inputs. Records of other programs may omit these. Only
the byte offsets of its lines are in memory.

Frames of a video are paired by time, not by index: the other record may have another frame
rate, or count from 1. Images are paired by path, or by a path ending that is unique.
"""

from __future__ import annotations

import shutil
import time
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.documents import unreadable
from vitruvian.errors import VitruvianError, shown
from vitruvian.formats.atomic_file import AtomicFile
from vitruvian.formats.records import Record, drop_frames
from vitruvian.formats.wire import dump, frame_to_dict, header
from vitruvian.frame import Frame
from vitruvian.streams.stream import Stream
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.find import each_frame

SAME = 0.02  # maximum seconds between times of one frame; also below 1/4 step
LATER = 0.1  # seconds that a record may outlast a video: the last frames are often cut off


@dataclass(frozen=True, eq=False)
class FrameResult:
    """The result of one model for one frame."""

    poses: Poses | None  # None: failed, or not run
    ms: float | None = None  # inference time
    failed: str = ""  # the reason of a failure


def write_lines(
    path: Path,
    frames: Iterable[Frame],
    moving: bool,
    load: Callable[[], Any],
    about: dict[str, Any],
    told: tuple[str, int | None],
) -> int:
    """Run a model on frames in order, and write a record.

    Images continue where they were interrupted; a video, in which each frame needs the earlier
    ones, starts over.

    Args:
        path: path of the record.
        frames: frames of one source.
        moving: whether they are frames of a video.
        load: loads the model.
        about: inputs of the record, for its header; see `finished`.
        told: label of the progress bar, and the number of frames.

    Returns:
        The number of frames on which the model failed.
    """
    model = load()
    part, done, failed = AtomicFile(path), set[str](), 0
    unfinished = part.begin(keep=True)
    if not moving:
        if path.is_file() and _about(unfinished) != about:
            shutil.copyfile(path, unfinished)  # it lacks pictures, or some have changed
        done, failed = _there(unfinished, about)
    step = Stream(model, Wanted(confirm=False), moving=moving)
    with unfinished.open("a" if done else "w", encoding="utf-8", newline="") as file:
        if not done:
            file.write(dump(header(model, model.skeleton) | {"compare": about}))

        def results() -> Iterator[tuple[Frame, FrameResult]]:
            warm = False
            for frame in frames:
                if _key(frame, moving) in done:
                    continue
                if not warm:  # the first inference is slow, and not timed
                    warm = True
                    _look(lambda frame: model([frame])[0], frame)
                began = time.perf_counter()
                poses, why = _look(step, frame)
                yield frame, FrameResult(poses, round((time.perf_counter() - began) * 1e3, 3), why)

        def write_line(frame: Frame, result: FrameResult) -> None:
            nonlocal failed
            found = result.poses
            failed += found is None
            said = {"failed": result.failed} if found is None else {"ms": result.ms}
            found = Poses.nobody(model.skeleton) if found is None else found
            file.write(dump(frame_to_dict(frame, found, model.name) | said))
            file.flush()

        name, total = told
        left = None if total is None else total - len(done)
        each_frame(name, left, results(), write_line, behind=False)
    part.finish()
    return failed


def _look(step: Callable[[Frame], Poses], frame: Frame) -> tuple[Poses | None, str]:
    """Poses, or None and the reason.

    Any error of one model is caught and reported, so that hours of work of the others are kept.
    """
    try:
        return step(frame), ""
    except Exception as error:
        kind = "" if isinstance(error, VitruvianError) else f"{type(error).__name__}: "
        return None, f"{kind}{error}".splitlines()[0]


def _about(path: Path) -> dict[str, Any]:
    """The inputs of a record, as in its header; empty if it is none."""
    try:
        about = Record(path).header.get("compare")
    except VitruvianError:
        return {}
    return about if isinstance(about, dict) else {}


def finished(path: Path, about: dict[str, Any]) -> bool:
    """Whether a record exists, of the same input, model and options."""
    return _about(path) == about


def _there(path: Path, about: dict[str, Any]) -> tuple[set[str], int]:
    """The keys of the frames in a record of images, and the number of failures among them.

    Images that have changed since are removed from it; so is a partial last line.
    """
    done, failed, before = set[str](), 0, _about(path)
    if {**before, "sources": None} != {**about, "sources": None}:
        return done, failed
    changed = {old[0] for old in before["sources"] if old not in about["sources"]}
    drop_frames(path, changed, compare=about)
    for line, *_ in Record(path).index():
        done.add(line["source"])
        failed += "failed" in line
    return done, failed


def _key(frame: Frame, moving: bool) -> str:
    """Lookup key of a frame: its file; for a video, also its index."""
    return f"{frame.source}#{frame.index}" if moving else frame.source


def same_files(ours: Iterable[str], theirs: Iterable[str]) -> dict[str, str]:
    """Map ours to theirs: equal paths, or else paths with a common ending that is unique.

    `a/s1/01.jpg` matches `/b/s1/01.jpg`, even beside `s2/01.jpg`; `01.jpg` then matches neither.
    """
    sides = [{name: PurePath(name).parts for name in names} for names in (ours, theirs)]
    found = {name: name for name in sides[0] if name in sides[1]}
    here, there = (_ends(paths) for paths in sides)
    by_end = {parts[-there[name] :]: name for name, parts in sides[1].items()}
    taken = {*found}
    for name, parts in sides[0].items():
        for length in range(1, len(parts) + 1) if name not in found else ():
            other = by_end.get(parts[-length:])
            if other is None or there[other] != length or other in taken:
                continue
            needed = max(length, here[name])
            if sides[1][other][-needed:] == parts[-needed:]:
                found[name] = other
    return found


def _ends(paths: dict[str, tuple[str, ...]]) -> dict[str, int]:
    """Number of path parts, from the end, that make each path unique; too large if none do."""
    left, lengths, length = dict(paths), dict[str, int](), 0
    while left:
        length += 1
        count = Counter(parts[-length:] for parts in left.values())
        for name, parts in list(left.items()):
            if count[parts[-length:]] == 1 or len(parts) <= length:
                lengths[name] = length if count[parts[-length:]] == 1 else length + 1
                del left[name]
    return lengths


@dataclass(frozen=True, eq=False)
class _Frames:
    """The frames of one source in a record, in order."""

    index: array[int]
    seconds: array[float]
    offset: array[int]  # byte offsets of their lines

    @cached_property
    def step(self) -> float:
        """Median seconds between frames; 0 for a single frame."""
        return float(np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else 0.0

    def nearest(self, seconds: float) -> int:
        """The row nearest in time, for rising times."""
        after = min(bisect_left(self.seconds, seconds), len(self.seconds) - 1)
        before = max(after - 1, 0)
        first = abs(self.seconds[before] - seconds) <= abs(self.seconds[after] - seconds)
        return before if first else after


class FrameRecord:
    """A record with lookup of the result of any frame."""

    def __init__(self, path: Path, moving: bool, sources: Iterable[str] = ()) -> None:
        """Index the lines of a record.

        Args:
            path: path of the record.
            moving: whether frames are those of a video.
            sources: sources of all frames that will be looked up.
        """
        self.record, self.moving = Record(path), moving
        find = self.record.header.get("options", {}).get("find")
        self.finder = Path(str(find)).name if find else "its own detector"  # who found the people
        self._at: dict[str, _Frames] = {}
        self._begin = array("q")
        for line, number, offset in self.record.index():
            source, index = line["source"], line["index"]
            new = _Frames(array("q"), array("d"), array("q"))
            own = self._at.setdefault(source, new)
            if moving and own.index and index <= own.index[-1]:
                raise unreadable(
                    path,
                    f"line {number}, frame {index} of '{shown(source)}', comes after frame "
                    f"{own.index[-1]}",
                )
            own.index.append(index)
            own.seconds.append(line["time"])
            own.offset.append(offset)
            self._begin.append(offset)
        self._same = same_files(sources, self._at)
        self._asked: list[float] = []  # seconds of the last two lookups
        self._file = path.open("rb")

    def __len__(self) -> int:
        return len(self._begin)

    def _of(self, source: str) -> _Frames | None:
        """The frames of one of our sources."""
        if source not in self._same:
            self._same |= same_files([source], self._at)
        return self._at.get(self._same.get(source, ""))

    def _find(self, frame: Frame) -> int | None:
        """The byte offset of the line of a frame."""
        own = self._of(frame.source)
        if own is None:
            return None
        if not self.moving:
            return own.offset[0]
        self._asked = [*self._asked[-1:], frame.seconds]
        steps = [*np.diff(self._asked).tolist(), own.step]
        apart = min([SAME, *(abs(step) / 4 for step in steps if step)])
        row = bisect_left(own.index, frame.index)
        known = row < len(own.index) and own.index[row] == frame.index
        if not (known and abs(own.seconds[row] - frame.seconds) <= apart):
            row = own.nearest(frame.seconds)
        return own.offset[row] if abs(own.seconds[row] - frame.seconds) <= apart else None

    def beyond(self, source: str, seconds: float) -> float | None:
        """The end time of the record, if after the last frame of the source, at `seconds`."""
        own = self._of(source)
        if own is None:
            return None
        return own.seconds[-1] if own.seconds[-1] > seconds + LATER + 2 * own.step else None

    def __getitem__(self, frame: Frame) -> FrameResult:
        """The result for a frame."""
        at = self._find(frame)
        if at is None:
            when = f" at {frame.seconds:g} s" if self.moving and self._of(frame.source) else ""
            return FrameResult(None, failed=f"it does not have this frame{when}")
        said, theirs, poses = self._read(at)
        if theirs.size != frame.size:
            wide, tall = theirs.size
            return FrameResult(None, failed=f"it is from an image of {wide} x {tall} pixels")
        if "failed" in said:
            return FrameResult(None, failed=shown(said["failed"], 200))
        ms = said.get("ms")
        if not isinstance(ms, (int, float)) or not 0 <= ms < np.inf:
            ms = None
        return FrameResult(poses, ms)

    def _read(self, at: int) -> tuple[dict[str, Any], Frame, Poses]:
        number = bisect_left(self._begin, at) + 2
        said = self.record.at(self._file, at, number)
        return said, *self.record.frame(said, number)

    def sample(self, most: int) -> list[tuple[Frame, Poses]]:
        """Some of its frames, without pixels, evenly spaced."""
        last = len(self._begin) - 1
        chosen = np.unique(np.linspace(0, max(last, 0), most).astype(int))
        return [self._read(self._begin[i])[1:] for i in chosen if i <= last]

    def __enter__(self) -> FrameRecord:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
