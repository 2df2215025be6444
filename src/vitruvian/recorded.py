"""A record as a source: people who were found already, once more through what is done over time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitruvian.body.poses import Poses
from vitruvian.documents import parse_json
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.pipeline import again
from vitruvian.sink.records import Made, Record
from vitruvian.source import Span, Video

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
            if path.is_file():
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
            lines = file.read().splitlines()
            if len(lines) > 1 or size >= end:
                break
            size *= 4
    try:
        return parse_json(lines[-1].decode(), path, "its last line")["source"]
    except (VitruvianError, ValueError, LookupError, TypeError):
        raise VitruvianError(
            f"cannot read '{path}': its last line is no frame; it is cut short"
        ) from None


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
    on_note: Callable[[str], None] = warnings.warn,
) -> Iterator[tuple[Frame, Poses]]:
    """What a record holds, with people numbered, mended and smoothed as asked for.

    Args:
        recorded: from `open_record`.
        over: what is done; where it says nothing of smoothing, people stay as they are.
        renumber: whether they are told apart anew; otherwise they keep their numbers.
        pixels: whether frames must have them: the video is read.
        on_repair: gets what was mended.
        on_note: gets in words what was chosen otherwise than usual.
    """
    from vitruvian.track.identify import Identify
    from vitruvian.track.over_time import found

    pairs: Iterable[tuple[Frame, Poses]] = recorded.record
    if renumber or over.repair or over.smooth is not None:
        if renumber:
            identify = Identify()
            pairs = ((frame, identify(frame, found(poses))) for frame, poses in pairs)
        pairs = over.stream(pairs, on_repair, on_note)
    yield from again(Video(str(recorded.video()), Span()), pairs) if pixels else pairs


def made(recorded: Recorded, over: OverTime, *, renumber: bool = False) -> Made:
    """For the header of what comes out."""
    header = recorded.record.header
    done = over.to_dict() if over.smooth is not None or over.repair else {}
    return Made.read(header, **done, **({"numbered": "again"} if renumber else {}))
