"""The numbers and times of a video's frames: strictly increasing, whatever its time stamps do."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from typing import Any

BACK = 0.25  # seconds that time may run back before another recording is taken to begin
SAME = 1e-6  # seconds between frames that are at one time
CROWDED = 8  # pictures one after the other with time stamps that are no later
TRIED = 48  # packets of which it is seen whether each gives one picture


@dataclass
class FrameClock:
    """Counts pictures in the order in which they are shown, and says when that is."""

    step: float  # seconds from one to the next, until two are known
    index: int = -1  # of the last one
    seconds: float = -1.0  # when the last one is shown, from the first one on
    zero: float | None = None  # the time stamp that would be 0 s
    early: int = 0  # pictures that are no later than the one before, by their time stamps
    row: int = 0  # of them, since one that is
    joined: tuple[int, float, float] | None = None  # index, time before, time by its time stamp

    def tick(self, stamp: float | None) -> None:
        """Count one.

        Where stamps run back by more than `BACK` another recording begins, and time goes on. One
        that is no later than the one before is put between that and the next, in half the time
        that is left; after many of those, stamps say nothing, and time goes on, too.

        Args:
            stamp: its time stamp, seconds on the clock of the file; None: it has none.
        """
        self.index += 1
        following = 0.0 if self.seconds < 0 else self.seconds + self.step
        if stamp is None:
            self.seconds = following
            return
        if self.zero is None:
            self.zero = stamp - following
        seconds = stamp - self.zero
        if seconds < self.seconds - BACK:
            self.joined = self.joined or (self.index, self.seconds, seconds)
            self.zero, seconds = stamp - following, following
        elif seconds < self.seconds + SAME:
            self.early, self.row = self.early + 1, self.row + 1
            crowded = self.row > CROWDED
            self.seconds = following if crowded else self.seconds + self.step / 2**self.row
            return
        elif self.seconds >= 0 and not self.row:
            self.step = seconds - self.seconds
        self.seconds, self.row = seconds, 0


@dataclass(frozen=True)
class SeekPoint:
    """Where decoding begins for pictures from some time on."""

    packet: int  # number of the first one that is decoded
    first: int  # time stamp of the first picture that counts; those before are dropped
    clock: FrameClock  # before that picture


def find_seek_point(
    packets: Iterable[Any], unit: Fraction, start: float, clock: FrameClock
) -> SeekPoint | None:
    """The key frame to begin at for all pictures from `start` on, found without decoding the rest.

    No seeking: in MPEG streams FFmpeg's goes to places between key frames. Files are read from
    their beginning, and packets are counted, so that a frame has the same number and time however
    it was reached.

    Args:
        packets: of the video, none empty, in the order of decoding.
        unit: of their time stamps, seconds.
        start: seconds.
        clock: at zero.

    Returns:
        None where packets do not tell: some have no time stamp, or no picture, or two.
    """
    packets = iter(packets)
    tried = list(islice(packets, TRIED))
    if len(tried) < TRIED or any(packet.pts is None for packet in tried):
        return None
    shown = [picture.pts for packet in tried for picture in packet.decode()]
    if not shown:
        return None
    # What is before the first picture refers to what was cut off, and gives none.
    begun = sorted(p.pts for p in tried if not p.is_discard and p.pts >= shown[0])
    if shown != begun[: len(shown)]:
        return None

    group: list[int] = []  # time stamps from one key frame to the next
    key, key_stamp, before = 0, 0, 0
    for number, packet in enumerate(chain(tried, packets)):
        if packet.pts is None:
            return None
        if packet.is_keyframe:
            if group:
                after = _counted(group, unit, clock)
                if after.seconds >= start:
                    break
                clock, before = after, key
                group = []
            key, key_stamp = number, packet.pts
        if not packet.is_discard and packet.pts >= (shown[0] if number < TRIED else packet.pts):
            group.append(packet.pts)
    if not group:
        return None
    # Pictures shown before their key frame refer to the group before.
    first = min(group)
    return SeekPoint(key if first >= key_stamp else before, first, clock)


def _counted(group: list[int], unit: Fraction, clock: FrameClock) -> FrameClock:
    """The clock after these time stamps."""
    clock = copy(clock)
    for stamp in sorted(group):
        clock.tick(frame_seconds(stamp, unit))
    return clock


def frame_seconds(stamp: int, unit: Fraction) -> float:
    """As PyAV computes it for pictures."""
    return float(stamp) * unit.numerator / unit.denominator
