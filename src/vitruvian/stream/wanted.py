"""Over time: what a user asks to be done with people once they have numbers.

One-Euro knows the past only, and so is for streams. Butterworth and repair want what comes later as
well, and so are for recordings: they run some seconds behind what finds the people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, note, unknown
from vitruvian.stream import butterworth, repair
from vitruvian.stream.one_euro import Smooth
from vitruvian.stream.windows import Pair

SMOOTH = ("one-euro", "butterworth", "no")


@dataclass(frozen=True)
class OverTime:
    """What is done with people over time: swaps and jumps mended first, and then smoothed."""

    smooth: str | None = None  # one of SMOOTH; None: as it is anyway
    cutoff_hz: float | None = None  # of butterworth; None: its own default
    repair: bool = False

    def __post_init__(self) -> None:
        if self.smooth is not None and self.smooth not in SMOOTH:
            raise unknown("smoothing", str(self.smooth), SMOOTH)
        if self.cutoff_hz is not None:
            if self.smooth != "butterworth":
                raise VitruvianError(
                    f"cutoff_hz ({self.cutoff_hz:g}) is Butterworth's; take smooth butterworth"
                )
            butterworth.Options(self.cutoff_hz)

    @classmethod
    def of(cls, smooth: str | bool | None, cutoff_hz: float | None, repair: bool) -> OverTime:
        """The same, with True for one-euro and False for no."""
        words = {True: "one-euro", False: "no"}
        return cls(words[smooth] if isinstance(smooth, bool) else smooth, cutoff_hz, repair)

    @property
    def offline(self) -> bool:
        """Whether it wants what comes later."""
        return self.repair or self.smooth == "butterworth"

    @property
    def asked(self) -> str:
        """What wants what comes later, or numbers, in words; "" for nothing."""
        smooth = "" if self.smooth in (None, "no") else f"smooth {self.smooth}"
        return " and ".join(word for word in (smooth, "repair" * self.repair) if word)

    def or_else(self, smooth: bool) -> OverTime:
        """Smoothed with One-Euro, or not at all, where nothing is said of it."""
        if self.smooth is not None:
            return self
        return OverTime("one-euro" if smooth else "no", None, self.repair)

    def to_dict(self) -> dict[str, object]:
        """For the header of a record, among the options."""
        filter_hz = self.cutoff_hz or butterworth.Options().cutoff_hz
        cutoff = {"cutoff_hz": filter_hz} if self.smooth == "butterworth" else {}
        return {"smooth": self.smooth, **cutoff, "repair": self.repair}

    def stream(
        self,
        pairs: Iterable[Pair],
        on_repair: Callable[[repair.Change], None] = lambda change: None,
    ) -> Iterator[Pair]:
        """The frames of one recording with what was found in them, mended and smoothed.

        What was smoothed before begins anew from its `raw`. Frames are held for some seconds: give
        them without pixels. A cutoff that nobody asked for is lowered where frames are too few
        for it, which is said.
        """
        pairs = ((frame, found(poses)) for frame, poses in pairs)
        if self.offline:
            pairs = _in_order(pairs)
        if self.repair:
            pairs = repair.stream(pairs, on_repair)
        if self.smooth == "butterworth":
            if self.cutoff_hz is None:

                def lower(hz: float) -> None:
                    usual = butterworth.Options().cutoff_hz
                    note(
                        f"too few frames a second for Butterworth's {usual:g} Hz; "
                        f"smoothed with {hz:.3g} Hz"
                    )

                pairs = butterworth.stream(pairs, lower=lower)
            else:
                pairs = butterworth.stream(pairs, butterworth.Options(self.cutoff_hz))
        elif self.smooth == "one-euro":
            one_euro = Smooth()
            pairs = ((frame, one_euro(poses, frame.seconds)) for frame, poses in pairs)
        yield from pairs


def _in_order(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """The same; says so where time does not go on, which ends what is filtered together."""
    last, told = None, False
    for frame, poses in pairs:
        same = last is not None and last.source == frame.source
        if last is not None and same and not told and not frame.seconds > last.seconds:
            told = True
            note(
                f"frame {frame.index} of '{frame.source}' is at {frame.seconds:g} s, not after "
                f"{last.seconds:g} s; what is before and after such frames is done by itself"
            )
        last = frame
        yield frame, poses


def found(poses: Poses) -> Poses:
    """The poses before smoothing and repair."""
    return poses if poses.raw is None else poses.raw
