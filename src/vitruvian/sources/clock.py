"""Frame numbers and timestamps of a video: strictly increasing, even if its timestamps are not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from typing import Any

BACK = 0.25  # seconds; a larger step back in time starts another recording
SAME = 1e-6  # seconds; frames closer than this have the same time
CROWDED = 8  # consecutive frames whose timestamps do not increase
TRIED = 48  # packets decoded to check that each gives one frame


@dataclass
class FrameClock:
    """Counts frames in presentation order, and gives their times."""

    step: float  # seconds between frames; the header's until two are known
    index: int = -1  # of the last frame
    seconds: float = -1.0  # of the last frame, from the first one on
    zero: float | None = None  # the timestamp of 0 s
    early: int = 0  # frames whose timestamp is not later than the one before
    row: int = 0  # consecutive ones, up to now
    joined: tuple[int, float, float] | None = None  # index, time before, time by its timestamp

    def tick(self, stamp: float | None) -> None:
        """Count one frame.

        If timestamps run back by more than `BACK`, another recording begins, and time continues. A
        frame not later than the one before is put between that and the next, in half of the time
        left; after more than `CROWDED` of those timestamps are ignored, and time continues too.

        Args:
            stamp: timestamp, seconds on the clock of the file; None: it has none.
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
    """Where decoding starts for frames from some time on."""

    packet: int  # number of the first packet to decode
    first: int  # timestamp of the first frame to keep; those before are dropped
    clock: FrameClock  # before that frame


class UntoldError(Exception):
    """Packets do not tell where frames are: some have no timestamp, no frame, or two."""


def find_seek_point(
    packets: Iterable[Any], unit: Fraction, start: float, clock: FrameClock
) -> SeekPoint | None:
    """The key frame to start at for all frames from `start` on, found without decoding the rest.

    Args:
        packets: as for `seek_points`.
        unit: time base of their timestamps, seconds.
        start: seconds.
        clock: at zero.

    Returns:
        None if packets do not tell.
    """
    found = None
    try:
        for point, after in seek_points(packets, unit, clock):
            found = point
            if after.seconds >= start:
                break
    except UntoldError:
        return None
    return found


def seek_points(
    packets: Iterable[Any], unit: Fraction, clock: FrameClock
) -> Iterator[tuple[SeekPoint, FrameClock]]:
    """Where decoding can start, and the clock after the frames up to the next such place.

    No seeking: in MPEG streams FFmpeg seeks to places between key frames. Files are read from the
    beginning, and packets are counted, so that a frame has the same number and time however it was
    reached.

    Args:
        packets: of the video, none empty, in decoding order.
        unit: time base of their timestamps, seconds.
        clock: at zero.

    Raises:
        UntoldError: see there.
    """
    packets = iter(packets)
    tried = list(islice(packets, TRIED))
    if len(tried) < TRIED or any(packet.pts is None for packet in tried):
        raise UntoldError
    shown = [picture.pts for packet in tried for picture in packet.decode()]
    if not shown:
        raise UntoldError
    # Packets before the first frame refer to frames that were cut off, and give none.
    begun = sorted(p.pts for p in tried if not p.is_discard and p.pts >= shown[0])
    if shown != begun[: len(shown)]:
        raise UntoldError

    group: list[int] = []  # timestamps from one key frame to the next
    key, key_stamp, before = 0, 0, 0

    def point() -> SeekPoint:
        # Frames shown before their key frame refer to the previous group.
        first = min(group)
        return SeekPoint(key if first >= key_stamp else before, first, clock)

    for number, packet in enumerate(chain(tried, packets)):
        if packet.pts is None:
            raise UntoldError
        if packet.is_keyframe:
            if group:
                after = _counted(group, unit, clock)
                yield point(), after
                clock, before = after, key
                group = []
            key, key_stamp = number, packet.pts
        if not packet.is_discard and packet.pts >= (shown[0] if number < TRIED else packet.pts):
            group.append(packet.pts)
    if group:
        yield point(), _counted(group, unit, clock)


def _counted(group: list[int], unit: Fraction, clock: FrameClock) -> FrameClock:
    """The clock after these timestamps."""
    clock = copy(clock)
    for stamp in sorted(group):
        clock.tick(frame_seconds(stamp, unit))
    return clock


def frame_seconds(stamp: int, unit: Fraction) -> float:
    """Seconds, as PyAV computes them for frames."""
    return float(stamp) * unit.numerator / unit.denominator
