"""Videos: decoded with their real timestamps, converted to RGB only when pixels are used."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vitruvian.errors import VitruvianError, amount, note
from vitruvian.frame import Frame
from vitruvian.sources.clock import (
    FrameClock,
    SeekPoint,
    find_seek_point,
    frame_seconds,
    seek_points,
)
from vitruvian.sources.coded import DecodedFrame, RgbConverter
from vitruvian.sources.reading import (
    LARGEST,
    RAW,
    FrameDecoder,
    SeekMissedError,
    ffmpeg_reason,
    header_frame_rate,
)

STREAMS = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "srt://")
# Allowed FFmpeg formats. Excluded: playlists (concat, hls, dash) and session descriptions (sdp),
# which name other files and hosts.
FORMATS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,mxf,mjpeg,mpjpeg,yuv4mpegpipe,"
    "h264,hevc,av1,obu,ivf,jpeg_pipe,png_pipe,wav,aac,mp3"
)
# Extensions of what is a file over HTTP, too.
FILES = frozenset([
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
])  # fmt: skip
UNTIMED = ("mpjpeg", "mjpeg", "image2", "jpeg_pipe")  # formats without timestamps
STREAM_TIMEOUT = 10  # seconds without an answer
COVERS = 1 << 10 | 1 << 11  # AV_DISPOSITION_ATTACHED_PIC and _TIMED_THUMBNAILS of FFmpeg


LATEST = 1e9  # seconds, thirty years: no video is as long, and timestamps have 64 bits


@dataclass(frozen=True)
class Span:
    """The frames to process: start and end time, stride and maximum number."""

    start: float = 0.0  # seconds
    end: float | None = None  # seconds, exclusive; None: to the end
    stride: int = 1  # every n-th frame
    max_frames: int | None = None  # of each source

    def __post_init__(self) -> None:
        if not 0 <= self.start <= LATEST:
            raise VitruvianError(f"start is {self.start:g}, want seconds from 0 to {LATEST:g}")
        if self.end is not None and not self.end > self.start:
            raise VitruvianError(f"end is {self.end:g} s, want more than start ({self.start:g} s)")
        if self.stride < 1:
            raise VitruvianError(f"stride is {self.stride}, want a whole number from 1")
        if self.max_frames is not None and self.max_frames < 1:
            raise VitruvianError(f"max_frames is {self.max_frames}, want a whole number from 1")


@dataclass(frozen=True)
class KeyFrames:
    """Where decoding of a video can start."""

    times: tuple[float, ...]  # seconds, of the first frame from each key frame on
    frames: int  # of the video
    last: float  # seconds, of the last frame


@dataclass(frozen=True)
class VideoFile:
    """A video file, or a network stream."""

    address: str
    span: Span
    moving = True
    _said: set[str] = field(default_factory=set, compare=False, repr=False)
    _jpegs: list[bool] = field(default_factory=list, compare=False, repr=False)

    @property
    def live(self) -> bool:
        """True for a stream; false for a file, also one over HTTP, where cameras send JPEGs.

        What an address over HTTP without the extension of a video is, is asked once.
        """
        if not self.address.startswith(("http://", "https://")):
            return self._network
        if Path(urlsplit(self.address).path).suffix.lower() in FILES:
            return False
        if not self._jpegs:
            try:
                container, _ = self._open()
            except VitruvianError:  # reading meets the same error, and reports it
                return False
            with container:
                self._jpegs.append(container.format.name in UNTIMED)
        return self._jpegs[0]

    @property
    def _network(self) -> bool:
        return self.address.startswith(STREAMS)

    @property
    def _again(self) -> bool:
        """Whether it can be read twice."""
        return self._network or os.path.isfile(self.address)  # noqa: PTH113  # no error for odd names

    @property
    def name(self) -> str:
        """The last part of the address."""
        path = self.address.split("?")[0] if self._network else self.address
        return Path(path).name or self.address

    def _remark(self, message: str) -> None:
        """Print a message once."""
        if message not in self._said:
            self._said.add(message)
            note(f"'{self.address}' {message}")

    def _open(self) -> tuple[Any, Any]:
        """Container and video stream.

        Raises:
            VitruvianError: there is none that can be decoded.
        """
        import av
        from av.error import ArgumentError, InvalidDataError
        from av.error import EOFError as EndOfFile

        # Only the address itself may be opened: a playlist in a file must not make us read other
        # files or contact other hosts. `file:` keeps a name with a colon from being a protocol.
        protocols, formats, address = "file", FORMATS, f"file:{self.address}"
        if self._network:
            self._may_be_asked()
            protocols = "tcp,tls,udp,rtp,http,https,httpproxy,rtmp,srt,crypto"
            formats, address = f"{FORMATS},image2,rtsp", self.address
        options = {"protocol_whitelist": protocols, "format_whitelist": formats}
        options |= {"max_pixels": str(LARGEST), "pattern_type": "none"}
        if self.address.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"
        how: dict[str, Any] = {"options": options}
        if self._network:
            how["timeout"] = STREAM_TIMEOUT
        if int(av.__version__.split(".")[0]) < 19:  # later versions keep any encoding
            how["metadata_errors"] = "replace"
        try:
            container = av.open(address, **how)
            return container, self._choose(container)
        except VitruvianError:
            raise
        except Exception as error:  # PyAV raises many types, and Python's own
            why = ffmpeg_reason(error)
            if isinstance(error, (InvalidDataError, EndOfFile)):
                why = "it is not a video, or it is truncated or damaged"
            elif isinstance(error, ArgumentError):
                why = "its format is not supported; neither are playlists, which open other files"
            raise VitruvianError(f"cannot read '{self.address}': {why}") from None

    def _may_be_asked(self) -> None:
        from vitruvian.weights.download import offline

        if offline():
            raise VitruvianError(
                f"cannot read '{self.address}': network access is disabled by --offline or "
                "VITRUVIAN_OFFLINE; remove it, or give a file"
            )

    def _choose(self, container: Any) -> Any:
        """The video stream: no cover image; the default stream, or else the largest.

        Raises:
            VitruvianError: there is none that can be decoded.
        """
        from av.container.core import Flags

        moving = [s for s in container.streams.video if not s.disposition.value & COVERS]
        streams = [stream for stream in moving if stream.codec_context is not None]
        if not streams:
            why = "it has no video stream"
            if moving:
                why = "FFmpeg has no decoder for its codec; convert it to H.264"
            elif container.streams.video:
                why += ", only a cover image"
            raise VitruvianError(f"cannot read '{self.address}': {why}")

        def rank(stream: Any) -> tuple[int, int]:
            return stream.disposition.value & 1, stream.width * stream.height

        chosen = max(streams, key=rank)
        if len(streams) > 1:
            which = f"{streams.index(chosen) + 1} ({chosen.width} x {chosen.height})"
            self._remark(f"has {len(streams)} video streams; stream {which} is used")
        # A second decoding thread makes HD video slower here and takes CPU time from the
        # networks (benchmarks/blazepose.py); larger frames need it.
        chosen.thread_type = "AUTO" if chosen.width * chosen.height > 1920 * 1088 else "NONE"
        chosen.codec_context.options = {"max_pixels": str(LARGEST)}
        if container.format.name in RAW:
            chosen.codec_context.framerate = 0  # from the stream itself, not FFmpeg's guess
        if container.format.name in ("avi", "matroska,webm"):
            # Timestamps that FFmpeg generates where they are missing are wrong at B-frames.
            container.flags &= ~Flags.gen_pts.value
        return chosen

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        try:
            mark = self._mark() if self.span.start > 0 else None
            try:
                yield from self._read(mark)
            except SeekMissedError:
                yield from self._read(None)
        except VitruvianError as error:
            yield error

    def _mark(self) -> SeekPoint | None:
        """Where to start decoding; None: at the beginning."""
        if self.live or not self._again:
            return None  # it cannot be read twice
        container, stream = self._open()
        with container:
            if not _can_seek(container, stream):
                return None
            clock = FrameClock(1 / header_frame_rate(stream))
            packets = (packet for packet in container.demux(stream) if packet.size)
            try:
                return find_seek_point(packets, stream.time_base, self.span.start, clock)
            except Exception:  # reading meets the same error, and reports it
                return None

    def key_frames(self) -> KeyFrames | None:
        """Where decoding can start, by reading the file without decoding it.

        Returns:
            None if that is unknown, as for a stream, or if the file cannot be read to its end.

        Raises:
            VitruvianError: it cannot be opened.
        """
        if self.live or not self._again:
            return None
        container, stream = self._open()
        times, unit = list[float](), stream.time_base
        with container:
            if not _can_seek(container, stream):
                return None
            clock = FrameClock(1 / header_frame_rate(stream))
            packets = (packet for packet in container.demux(stream) if packet.size)
            try:
                for point, after in seek_points(packets, unit, clock):
                    clock = after
                    first = copy(point.clock)
                    first.tick(frame_seconds(point.first, unit))
                    times.append(first.seconds)
            except Exception:  # reading meets the same error, and reports it
                return None
        return KeyFrames(tuple(times), clock.index + 1, clock.seconds) if times else None

    def _read(self, mark: SeekPoint | None) -> Iterator[Frame]:
        """The frames of the span.

        Raises:
            VitruvianError: it cannot be read, or not to the end.
            SeekMissedError: decoding cannot start at the mark; nothing was yielded yet.
        """
        span, given = self.span, 0
        container, stream = self._open()
        with container:
            reading = FrameDecoder(container, stream, mark, self._remark)
            arrives = self.live and container.format.name in UNTIMED
            began: float | None = None
            converter, clock = RgbConverter(), reading.clock
            try:
                for picture, aspect in reading:
                    seconds = clock.seconds
                    if arrives:
                        now = time.monotonic()
                        began = now if began is None else began
                        seconds = now - began
                    if span.end is not None and seconds >= span.end:
                        return
                    if seconds < span.start or clock.index % span.stride:
                        continue
                    coded = DecodedFrame(picture, converter, aspect)
                    yield Frame(coded, clock.index, seconds, self.address)
                    given += 1
                    if given == span.max_frames:
                        return
            except VitruvianError as error:
                raise VitruvianError(f"cannot read '{self.address}': {error}") from None
            finally:
                if clock.early:
                    self._remark(
                        f"has {amount(clock.early, 'frame')} whose timestamps do not increase; "
                        "they are interpolated"
                    )
            self._check(reading, whole=_whole(stream), given=given)

    def _check(self, reading: FrameDecoder, whole: float, given: int) -> None:
        """Raise `VitruvianError` if the video, read to its end, was incomplete."""
        index, seconds, faults = reading.clock.index, reading.clock.seconds, reading.faults
        if reading.broke and index >= 0:
            raise VitruvianError(
                f"'{self.address}' ended early after {max(seconds, 0):g} s: {reading.broke}"
            )
        if seconds < 0:
            why = reading.broke or reading.why
            raise VitruvianError(
                f"cannot read '{self.address}': it has no frames" + (f" ({why})" if why else "")
            )
        if faults:
            packets = amount(faults, "packet")
            raise VitruvianError(
                f"'{self.address}' is cut short or damaged: {packets} could not be decoded; "
                f"{amount(index + 1 - faults, 'frame')} decoded"
            )
        if reading.reached < whole - 0.5:
            raise VitruvianError(
                f"'{self.address}' is cut short: it ends after {reading.reached:g} s of {whole:g} s"
            )
        if not given and seconds < self.span.start:
            raise VitruvianError(
                f"'{self.address}' has no frames from {self.span.start:g} s on: it ends at "
                f"{seconds:g} s"
            )

    def count(self) -> int | None:
        """Number of frames by the container's header; None if unknown, as for a stream."""
        if self.live:
            return self.span.max_frames
        if not self._again:
            return None  # it can be read only once
        try:
            container, stream = self._open()
        except VitruvianError:
            return None
        with container:
            if container.format.name in RAW:
                return self.span.max_frames
            per_second = header_frame_rate(stream)
            frames = stream.frames or (container.duration or 0) / 1e6 * per_second
            if self.span.end is not None:
                frames = min(frames, self.span.end * per_second)
            frames = int(max(frames - self.span.start * per_second, 0)) // self.span.stride
            return min(frames, self.span.max_frames or frames) or None


def _can_seek(container: Any, stream: Any) -> bool:
    """Whether timestamps of packets are those of frames."""
    reordered = stream.codec_context.has_b_frames and container.format.name == "avi"
    return not (container.format.name in RAW or reordered)


def _whole(stream: Any) -> float:
    """Expected duration, seconds, by Matroska's tag; 0 if there is none."""
    try:
        hours, minutes, seconds = map(float, stream.metadata.get("DURATION", "").split(":"))
    except ValueError:
        return 0.0
    return hours * 3600 + minutes * 60 + seconds
