"""One pass over a video: its pictures in the order in which they are shown, each with its time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from typing import Any

from vitruvian.errors import VitruvianError
from vitruvian.frame import LONGEST_SIDE
from vitruvian.sources.clock import FrameClock, SeekPoint, frame_seconds
from vitruvian.sources.coded import display_width, plausible_aspect

# What is only coded pictures, one after the other: FFmpeg makes up time stamps of 25 a second.
RAW = ("h264", "hevc", "mpegvideo", "obu", "mjpeg", "mpjpeg", "jpeg_pipe", "png_pipe")
ASSUMED_RATE = 25.0  # frames a second of what has no time stamps and does not say; FFmpeg's default
LARGEST = 178_956_970  # pixels of a picture; Pillow's limit too
INTER = (2, 3)  # AV_PICTURE_TYPE_P and _B: pictures that refer to others


class SeekMissedError(Exception):
    """What decoding from a key frame on gives is not what there is."""


class FrameDecoder:
    """Yields a picture of FFmpeg, and width through height of its pixels; `clock` has its time."""

    def __init__(
        self, container: Any, stream: Any, mark: SeekPoint | None, note: Callable[[str], None]
    ) -> None:
        """`note` is told what is assumed, as what is said of the file."""
        self.container, self.stream, self.note = container, stream, note
        self.raw = container.format.name in RAW
        self.begun = False
        self.skip, self.first = (0, None) if mark is None else (mark.packet, mark.first)
        self.clock = FrameClock(1 / header_frame_rate(stream)) if mark is None else mark.clock
        self.faults, self.why, self.broke = 0, "", ""  # packets; of the last one; of the file
        self.reached = 0.0  # seconds, by the clock of the file
        # AVI has no time stamps, nor have some others: pictures come as regularly as packets.
        self.sent = deque[float | None]() if container.format.name == "avi" else None
        self.kind: tuple[object, ...] | None = None
        self._begin_aspects()

    def __iter__(self) -> Iterator[tuple[Any, Fraction | None]]:
        from av import Packet

        end = Packet()
        end.stream, end.time_base = self.stream, self.stream.time_base
        for packet in chain(self._packets(), [end]):
            for picture in self._decode(packet):
                if self._is_before(picture):
                    continue
                self.clock.tick(self._stamp(picture))
                if self.clock.joined is not None:
                    index, before, after = self.clock.joined
                    self.note(
                        f"seems to be several recordings joined: at frame {index} its time runs "
                        f"back from {before:g} to {after:g} s; it is counted on from there"
                    )
                aspect = self._aspect(picture)
                self._look(picture, aspect)
                yield picture, aspect
        if self.first is not None:
            raise SeekMissedError

    def _packets(self) -> Iterator[Any]:
        """From the mark on, without empty ones: to the decoder one of those is the end."""
        packets, number = self.container.demux(self.stream), 0
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except Exception as error:  # PyAV has many kinds, and passes on those of Python
                self.broke = ffmpeg_reason(error)
                return
            if not packet.size:
                continue
            number += 1
            if number <= self.skip:
                continue
            if packet.pts is not None:
                last = packet.pts + (packet.duration or 0)
                self.reached = max(self.reached, frame_seconds(last, self.stream.time_base))
            elif number == 1 and packet.dts is not None and not self.raw:
                self.sent = deque()
            if self.sent is not None:
                at = packet.dts
                self.sent.append(None if at is None else frame_seconds(at, self.stream.time_base))
            yield packet

    def _decode(self, packet: Any) -> list[Any]:
        try:
            pictures = packet.decode()
        except Exception as error:
            if self.first is not None:
                raise SeekMissedError from None
            self.faults, self.why = self.faults + 1, ffmpeg_reason(error)
            self.clock.index += 1  # it has a number, also when it is lost
            if self.sent:
                self.sent.popleft()
            return []
        self._note_aspect(packet)
        return pictures

    def _is_before(self, picture: Any) -> bool:
        """Whether a picture comes before the first one that counts."""
        first = self.first
        if first is None:
            return False
        late = picture.pts is None or picture.pts > first
        if late or (not self.begun and picture.pict_type in INTER):
            raise SeekMissedError
        self.begun = True
        if picture.pts is not None and picture.pts < first:
            if self.sent:
                self.sent.popleft()
            return True
        self.first = None
        return False

    def _stamp(self, picture: Any) -> float | None:
        """When it is shown, seconds on the clock of the file; None if nobody says."""
        index = self.clock.index + 1
        if self.raw:
            own = float(self.stream.codec_context.framerate or 0)
            if index == 1 and not own:
                self.note(
                    f"has no time stamps and does not say its frame rate: {ASSUMED_RATE:g} frames "
                    "a second are assumed; put it into a file that says, .mp4 or .mkv"
                )
            return index / (own or ASSUMED_RATE)
        if self.sent is not None:
            return self.sent.popleft() if self.sent else None
        if index == 1 and picture.pts is None:
            self.note(f"has no time stamps: {1 / self.clock.step:g} frames a second are assumed")
        return picture.time

    def _begin_aspects(self) -> None:
        """The file's word goes before the coded pictures', as FFmpeg's and players have it."""
        self.aspect: Fraction | None = self.stream.sample_aspect_ratio
        coded = self.stream.codec_context.sample_aspect_ratio
        self.by_file = bool(self.aspect) and self.aspect != coded
        self.aspect_before, self.aspect_since = self.aspect, None

    def _note_aspect(self, packet: Any) -> None:
        """Television changes it from one key frame on; pictures come out later than packets."""
        now = self.stream.codec_context.sample_aspect_ratio
        if now and now != self.aspect and not self.by_file:
            self.aspect_before, self.aspect_since, self.aspect = self.aspect, packet.pts, now

    def _aspect(self, picture: Any) -> Fraction | None:
        since = self.aspect_since
        earlier = since is not None and picture.pts is not None and picture.pts < since
        return self.aspect_before if earlier else self.aspect

    def _look(self, picture: Any, aspect: Fraction | None) -> None:
        """Say what is odd about a picture that is another kind than the one before.

        Raises:
            VitruvianError: it cannot be made RGB.
        """
        size = display_width(picture.width, aspect), picture.height
        kind = *size, picture.format.name, aspect
        if kind == self.kind:
            return
        before, self.kind = self.kind, kind
        if max(size) > LONGEST_SIDE or size[0] * size[1] > LARGEST:
            raise VitruvianError(
                f"its pictures are {size[0]} x {size[1]} pixels, want at most {LONGEST_SIDE} along "
                f"a side and {LARGEST} in all; make it smaller first"
            )
        if before is None or before[2] != kind[2]:
            _can_be_rgb(kind[2])
        if before is not None and before[:2] != kind[:2]:
            self.note(
                f"changes from {before[0]} x {before[1]} to {size[0]} x {size[1]} pixels at frame "
                f"{self.clock.index} ({self.clock.seconds:g} s); people may get new numbers there"
            )
        if aspect and not plausible_aspect(aspect):
            self.note(
                f"says that its pixels are {float(aspect):g} times as wide as high, which cannot "
                "be; they are taken for square"
            )
        if before is None and picture.interlaced_frame:
            self.note(
                "is interlaced: what moves is combed, and found less well; deinterlace it first"
            )


def _can_be_rgb(pixels: str) -> None:
    from av import VideoFrame

    try:
        VideoFrame(16, 16, pixels).reformat(format="rgb24")
    except Exception:
        raise VitruvianError(
            f"its pixels are '{pixels}', which FFmpeg does not make RGB; convert it to H.264"
        ) from None


def header_frame_rate(stream: Any) -> float:
    """Frames a second, by the header, as far as it says."""
    return float(stream.average_rate or stream.guessed_rate or ASSUMED_RATE)


def ffmpeg_reason(error: Exception) -> str:
    """Why, in FFmpeg's words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
