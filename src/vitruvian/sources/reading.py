"""One pass over a video: decoded frames in presentation order, each with its timestamp."""

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

# Raw bitstreams without a container: FFmpeg makes up timestamps at 25 frames per second.
RAW = ("h264", "hevc", "mpegvideo", "obu", "mjpeg", "mpjpeg", "jpeg_pipe", "png_pipe")
ASSUMED_RATE = 25.0  # frames per second without timestamps or frame rate; FFmpeg's default
LARGEST = 178_956_970  # pixels of a frame; Pillow's limit too
INTER = (2, 3)  # AV_PICTURE_TYPE_P and _B: frames that refer to others


class SeekMissedError(Exception):
    """Decoding from a key frame did not give the expected frames."""


class FrameDecoder:
    """Yields PyAV frames and their pixel aspect ratio (width / height); `clock` has the time."""

    def __init__(
        self, container: Any, stream: Any, mark: SeekPoint | None, note: Callable[[str], None]
    ) -> None:
        """`note` gets messages about the file: assumptions and oddities."""
        self.container, self.stream, self.note = container, stream, note
        self.raw = container.format.name in RAW
        self.begun = False
        self.skip, self.first = (0, None) if mark is None else (mark.packet, mark.first)
        self.clock = FrameClock(1 / header_frame_rate(stream)) if mark is None else mark.clock
        self.faults, self.why, self.broke = 0, "", ""  # bad packets; last reason; of the file
        self.reached = 0.0  # seconds, by the clock of the file
        # AVI and some others have no timestamps: frames are as regular as packets.
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
                        f"seems to be several joined recordings: at frame {index} time jumps back "
                        f"from {before:g} to {after:g} s; time is continued from there"
                    )
                aspect = self._aspect(picture)
                self._look(picture, aspect)
                yield picture, aspect
        if self.first is not None:
            raise SeekMissedError

    def _packets(self) -> Iterator[Any]:
        """From the mark on, without empty packets: to the decoder, one of those is the end."""
        packets, number = self.container.demux(self.stream), 0
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except Exception as error:  # PyAV raises many types, and Python's own
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
            self.clock.index += 1  # a lost frame keeps its number
            if self.sent:
                self.sent.popleft()
            return []
        self._note_aspect(packet)
        return pictures

    def _is_before(self, picture: Any) -> bool:
        """Whether a frame comes before the first one to keep."""
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
        """Timestamp, seconds on the clock of the file; None if there is none."""
        index = self.clock.index + 1
        if self.raw:
            own = float(self.stream.codec_context.framerate or 0)
            if index == 1 and not own:
                self.note(
                    f"has no timestamps and no frame rate: {ASSUMED_RATE:g} frames per second are "
                    "assumed; remux it to .mp4 or .mkv"
                )
            return index / (own or ASSUMED_RATE)
        if self.sent is not None:
            return self.sent.popleft() if self.sent else None
        if index == 1 and picture.pts is None:
            self.note(f"has no timestamps: {1 / self.clock.step:g} frames per second are assumed")
        return picture.time

    def _begin_aspects(self) -> None:
        """The container's aspect ratio overrides the codec's, as in FFmpeg and players."""
        self.aspect: Fraction | None = self.stream.sample_aspect_ratio
        coded = self.stream.codec_context.sample_aspect_ratio
        self.by_file = bool(self.aspect) and self.aspect != coded
        self.aspect_before, self.aspect_since = self.aspect, None

    def _note_aspect(self, packet: Any) -> None:
        """Broadcasts change it at a key frame; frames come out later than packets."""
        now = self.stream.codec_context.sample_aspect_ratio
        if now and now != self.aspect and not self.by_file:
            self.aspect_before, self.aspect_since, self.aspect = self.aspect, packet.pts, now

    def _aspect(self, picture: Any) -> Fraction | None:
        since = self.aspect_since
        earlier = since is not None and picture.pts is not None and picture.pts < since
        return self.aspect_before if earlier else self.aspect

    def _look(self, picture: Any, aspect: Fraction | None) -> None:
        """Report oddities of a frame whose size or format differs from the one before.

        Raises:
            VitruvianError: it is too large, or cannot be converted to RGB.
        """
        size = display_width(picture.width, aspect), picture.height
        kind = *size, picture.format.name, aspect
        if kind == self.kind:
            return
        before, self.kind = self.kind, kind
        if max(size) > LONGEST_SIDE or size[0] * size[1] > LARGEST:
            raise VitruvianError(
                f"its images are {size[0]} x {size[1]} pixels, want at most {LONGEST_SIDE} along "
                f"a side and {LARGEST} in all; make it smaller first"
            )
        if before is None or before[2] != kind[2]:
            _can_be_rgb(kind[2])
        if before is not None and before[:2] != kind[:2]:
            self.note(
                f"changes from {before[0]} x {before[1]} to {size[0]} x {size[1]} pixels at frame "
                f"{self.clock.index} ({self.clock.seconds:g} s); people may get new track ids "
                "there"
            )
        if aspect and not plausible_aspect(aspect):
            self.note(
                f"has an invalid pixel aspect ratio of {float(aspect):g}; square pixels are assumed"
            )
        if before is None and picture.interlaced_frame:
            self.note(
                "is interlaced, which lowers accuracy for moving people; deinterlace it first"
            )


def _can_be_rgb(pixels: str) -> None:
    from av import VideoFrame

    try:
        VideoFrame(16, 16, pixels).reformat(format="rgb24")
    except Exception:
        raise VitruvianError(
            f"its pixels are '{pixels}', which FFmpeg cannot convert to RGB; convert it to H.264"
        ) from None


def header_frame_rate(stream: Any) -> float:
    """Frames per second by the header, or `ASSUMED_RATE`."""
    return float(stream.average_rate or stream.guessed_rate or ASSUMED_RATE)


def ffmpeg_reason(error: Exception) -> str:
    """FFmpeg's error message."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
