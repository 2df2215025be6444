"""A record as a source: people who were found already, once more through what is done over time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitruvian.body.poses import Poses
from vitruvian.documents import LONGEST_LINE, unreadable
from vitruvian.errors import VitruvianError, shown
from vitruvian.frame import Frame
from vitruvian.pipeline import again
from vitruvian.sink.records import Made, Record, parse_line
from vitruvian.source import Span, of_file

if TYPE_CHECKING:
    from vitruvian.track.over_time import OverTime
    from vitruvian.track.repair import Change


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
            "the record, or leave --save-video out"
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


def _of_one(recorded: Recorded, rising: bool) -> Iterator[tuple[Frame, Poses]]:
    """Its frames.

    Raises:
        VitruvianError: one is of another source; or, if times must be `rising`, they do not.
    """
    last: Frame | None = None
    for frame, poses in recorded.record:
        about = f"'{shown(recorded.name)}': frame {frame.index} of '{shown(frame.source)}'"
        if frame.source != recorded.source:
            raise VitruvianError(
                f"{about} is among those of '{shown(recorded.source)}'; give a record of one video"
            )
        if rising and last is not None and not frame.seconds > last.seconds:
            raise VitruvianError(
                f"{about} is at {frame.seconds:g} s, after {last.seconds:g} s; people can be "
                "numbered, smoothed and mended only where times rise"
            )
        last = frame
        yield frame, poses


def can_be(recorded: Recorded, over: OverTime, *, renumber: bool) -> None:
    """Raise `VitruvianError` if it is not said how who was smoothed shall be after a change."""
    if over.smooth is not None or not (over.repair or renumber):
        return
    options = recorded.record.header.get("options", {})
    somebody = (poses for _, poses in recorded.record if (poses.person >= 0).any())
    first = next(somebody, None)
    if first is None:
        return
    if first.raw is not None or options.get("smooth", "no") not in ("no", False):
        raise VitruvianError(
            f"'{recorded.name}' holds people who were smoothed; say how they shall be smoothed "
            "afterwards: --smooth one-euro, butterworth or no"
        )


def over_again(
    recorded: Recorded,
    over: OverTime,
    *,
    renumber: bool = False,
    pixels: bool = False,
    on_repair: Callable[[Change], None] = lambda change: None,
) -> Iterator[tuple[Frame, Poses]]:
    """What a record holds, with people numbered, mended and smoothed as asked for.

    Args:
        recorded: from `open_record`.
        over: what is done; where it says nothing of smoothing, people stay as they are.
        renumber: whether they are told apart anew; otherwise they keep their numbers.
        pixels: whether frames must have them: the video is read.
        on_repair: gets what was mended.
    """
    from vitruvian.track.identify import Identify
    from vitruvian.track.over_time import found

    changed = renumber or over.repair or over.smooth is not None
    pairs: Iterable[tuple[Frame, Poses]] = _of_one(recorded, rising=changed)
    if changed:
        if renumber:
            identify = Identify()
            pairs = ((frame, identify(frame, found(poses))) for frame, poses in pairs)
        pairs = over.stream(pairs, on_repair)
    yield from again(of_file(str(recorded.video()), Span()), pairs) if pixels else pairs


def made(recorded: Recorded, over: OverTime, *, renumber: bool = False) -> Made:
    """For the header of what comes out."""
    header = recorded.record.header
    done = over.to_dict() if over.smooth is not None or over.repair else {}
    return Made.read(header, **done, **({"numbered": "again"} if renumber else {}))
