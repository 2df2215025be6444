"""Track, repair and smooth the people of a record again; no model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, shown
from vitruvian.formats.wire import Provenance, from_header
from vitruvian.frame import Frame
from vitruvian.sources.open import Span, of_file
from vitruvian.sources.record import Recorded, with_pixels

if TYPE_CHECKING:
    from vitruvian.formats.records import Record
    from vitruvian.streams.repaired import Repaired
    from vitruvian.streams.wanted import Wanted


def _of_one(recorded: Recorded, rising: bool) -> Iterator[tuple[Frame, Poses]]:
    """The frames of a record of one source.

    Raises:
        VitruvianError: it has several sources; or times do not rise, if they must be `rising`.
    """
    last: Frame | None = None
    for frame, poses in recorded.record:
        about = f"'{shown(recorded.name)}': frame {frame.index} of '{shown(frame.source)}'"
        if frame.source != recorded.source:
            raise VitruvianError(
                f"{about} is in a record of '{shown(recorded.source)}'; give a record of one video"
            )
        if rising and last is not None and not frame.seconds > last.seconds:
            raise VitruvianError(
                f"{about} is at {frame.seconds:g} s, after {last.seconds:g} s; tracking, "
                "smoothing and repair need increasing timestamps"
            )
        last = frame
        yield frame, poses


def can_be(record: Record, wanted: Wanted, *, renumber: bool = False) -> None:
    """Raise `VitruvianError` if smoothed poses would change and no smoothing option is set."""
    if wanted.smooth is not None or not (wanted.repair or renumber):
        return
    options = record.header.get("options", {})
    somebody = (poses for _, poses in record if (poses.person >= 0).any())
    first = next(somebody, None)
    if first is None:
        return
    if first.raw is not None or options.get("smooth", "no") not in ("no", False):
        raise VitruvianError(
            f"'{record.path}' is smoothed; choose the smoothing of the result: --smooth "
            "one-euro, butterworth or no"
        )


def over_time(
    pairs: Iterable[tuple[Frame, Poses]],
    wanted: Wanted,
    on_repair: Callable[[Repaired], None] = lambda change: None,
) -> Iterator[tuple[Frame, Poses]]:
    """The poses of one video of a record, repaired and smoothed if that is wanted."""
    from vitruvian.streams.stream import steps_over_time, through

    if wanted.smooth is None and not wanted.repair:
        return iter(pairs)
    return through([_before_smoothing, *steps_over_time(wanted, on_repair)], pairs)


def over_again(
    recorded: Recorded,
    wanted: Wanted,
    *,
    renumber: bool = False,
    pixels: bool = False,
    on_repair: Callable[[Repaired], None] = lambda change: None,
) -> Iterator[tuple[Frame, Poses]]:
    """The poses of a record, tracked, repaired and smoothed again.

    Args:
        recorded: from `open_record`.
        wanted: the processing; without a smoothing option, poses stay as they are.
        renumber: assign new track ids; otherwise ids are kept.
        pixels: whether frames need pixels: the video is read.
        on_repair: called with each repair.
    """
    from vitruvian.streams.confirm import Confirm
    from vitruvian.streams.identify import Identify, Options
    from vitruvian.streams.stream import through

    changed = renumber or wanted.repair or wanted.smooth is not None
    pairs: Iterable[tuple[Frame, Poses]] = _of_one(recorded, rising=changed)
    if renumber:
        who = [Identify(Options(sure=0)), Confirm()] if wanted.confirm else [Identify()]
        pairs = through([_before_smoothing, *who], pairs)
    pairs = over_time(pairs, wanted, on_repair)
    yield from with_pixels(of_file(str(recorded.video()), Span()), pairs) if pixels else pairs


def _before_smoothing(_: Frame, poses: Poses) -> Poses:
    """The poses before smoothing and repair."""
    return poses if poses.raw is None else poses.raw


def made(recorded: Recorded, wanted: Wanted, *, renumber: bool = False) -> Provenance:
    """Provenance for the header of the output."""
    header = recorded.record.header
    done = wanted.to_dict() if wanted.smooth is not None or wanted.repair else {}
    done.pop("confirm", None)
    again = {"numbered": "again", "confirm": wanted.confirm} if renumber else {}
    return from_header(header, **done, **again)
