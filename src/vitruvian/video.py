"""Videos: decoded with their real time stamps, and made RGB only where they are looked at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame

STREAMS = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "srt://")
# What FFmpeg may take a file or a stream for. Not among them: playlists (concat, hls, dash), which
# name other files and hosts.
FORMATS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,mxf,mjpeg,mpjpeg,yuv4mpegpipe,"
    "h264,hevc,av1,obu,ivf,jpeg_pipe,png_pipe,rtsp,rtp,sdp,wav,aac,mp3"
)
STREAM_TIMEOUT = 10  # seconds without an answer before a stream is given up


LATEST = 1e9  # seconds, thirty years: no video is as long, and time stamps are 64 bits


@dataclass(frozen=True)
class Span:
    """Which frames of a source are wanted."""

    start: float = 0.0  # seconds
    end: float | None = None  # seconds, not included; None: to the end
    stride: int = 1  # every so manieth frame
    most: int | None = None  # frames at most

    def __post_init__(self) -> None:
        if not 0 <= self.start <= LATEST:
            raise VitruvianError(f"start is {self.start:g}, want seconds from 0 to {LATEST:g}")
        if self.end is not None and not self.end > self.start:
            raise VitruvianError(f"end is {self.end:g} s, want more than start ({self.start:g} s)")
        if self.stride < 1:
            raise VitruvianError(f"stride is {self.stride}, want a whole number from 1")
        if self.most is not None and self.most < 1:
            raise VitruvianError(f"max_frames is {self.most}, want a whole number from 1")


@dataclass(frozen=True)
class Video:
    """A video file, or a stream from the network."""

    address: str
    span: Span
    moving = True

    @property
    def live(self) -> bool:
        """A stream is; a file, also one that is fetched over http, is not."""
        return self.address.startswith(tuple(s for s in STREAMS if not s.startswith("http")))

    @property
    def name(self) -> str:
        """The last part of the address."""
        return Path(self.address.split("?")[0]).name or self.address

    def _open(self) -> Any:
        import av
        from av.error import EOFError as EndOfFile
        from av.error import FFmpegError, InvalidDataError

        # Nothing but what the address itself says may be opened: a playlist in a file must not
        # make us read other files or ask other hosts.
        network = self.address.startswith(STREAMS)
        protocols = "tcp,tls,udp,rtp,http,https,httpproxy,rtmp,srt,crypto" if network else "file"
        options = {"protocol_whitelist": protocols, "format_whitelist": FORMATS}
        if self.address.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"
        try:
            container = av.open(
                self.address, options=options, timeout=STREAM_TIMEOUT if network else None
            )
        except (FFmpegError, OSError) as error:
            why = getattr(error, "strerror", None) or str(error)
            if isinstance(error, (InvalidDataError, EndOfFile)):
                why = "it is no video, or it is cut short or damaged"
            raise VitruvianError(f"cannot read '{self.address}': {why}") from None
        if not container.streams.video:
            container.close()
            raise VitruvianError(f"cannot read '{self.address}': it has no video stream")
        return container

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        from av.error import FFmpegError, InvalidDataError

        try:
            container = self._open()
        except VitruvianError as error:
            yield error
            return
        span, given, faults = self.span, 0, 0
        with container:
            stream = container.streams.video[0]
            # A second decoding thread makes HD video slower here and takes processor time from
            # the networks (benchmarks/blazepose.py); larger pictures need it.
            width, height = stream.codec_context.width, stream.codec_context.height
            stream.thread_type = "AUTO" if width * height > 1920 * 1088 else "NONE"
            index, seconds = -1, -1.0
            zero, reached, converter = self._zero(container, stream), 0.0, _Converter(stream)
            if span.start > 0 and stream.duration:
                index = self._seek(container, stream, zero + span.start) - 1
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets)
                    if packet.pts is not None:
                        end = float((packet.pts + (packet.duration or 0)) * stream.time_base)
                        reached = max(reached, end)
                    decoded = packet.decode()
                except StopIteration:
                    break
                except InvalidDataError:
                    faults, index = faults + 1, index + 1  # it has a number, also when it is lost
                    continue
                except (FFmpegError, OSError) as error:
                    yield VitruvianError(f"'{self.address}' broke off after {seconds:g} s: {error}")
                    return
                for picture in decoded:
                    index += 1
                    # Raw streams carry no time stamps; then there is nothing but the frame rate.
                    at = picture.time - zero if picture.time is not None else None
                    last, seconds = seconds, at if at is not None else index / self._rate(stream)
                    if span.end is not None and seconds >= span.end:
                        return
                    if seconds < span.start or index % span.stride or seconds <= last:
                        continue
                    yield Frame(_Coded(picture, converter), index, seconds, self.address)
                    given += 1
                    if given == span.most:
                        return
        if faults:
            yield VitruvianError(
                f"'{self.address}' is cut short or damaged: {faults} packets could not be decoded; "
                f"{index + 1 - faults} frames could"
            )
        elif index < 0:
            yield VitruvianError(f"cannot read '{self.address}': it has no frames")
        elif reached < (whole := self._whole(stream)) - 0.5:
            yield VitruvianError(
                f"'{self.address}' is cut short: it ends after {reached:g} s of {whole:g} s"
            )
        elif not given and seconds < span.start:
            yield VitruvianError(
                f"'{self.address}' has no frames from {span.start:g} s on: it ends at {seconds:g} s"
            )

    @staticmethod
    def _zero(container: Any, stream: Any) -> float:
        """When the first frame is shown, by the clock of the file, seconds."""
        first = stream.start_time
        if first is None and container.format.name == "matroska,webm":
            first = next((p.pts for p in container.demux(stream) if p.pts is not None), 0)
            container.seek(0)
        return float((first or 0) * stream.time_base)

    @staticmethod
    def _whole(stream: Any) -> float:
        """How long it should be, seconds, by Matroska's tag; 0 where there is none."""
        try:
            hours, minutes, seconds = map(float, stream.metadata.get("DURATION", "").split(":"))
        except ValueError:
            return 0.0
        return hours * 3600 + minutes * 60 + seconds

    @staticmethod
    def _rate(stream: Any) -> float:
        return float(stream.average_rate or stream.guessed_rate or 25)

    @staticmethod
    def _seek(container: Any, stream: Any, seconds: float) -> int:
        """Go to the last key frame before a time; returns the number of the frame there.

        Frames are counted by reading the file without decoding it, so that a frame has the same
        number however it was reached.
        """
        times = sorted(
            packet.pts
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None
        )
        target = int(seconds / stream.time_base)
        container.seek(target, stream=stream)
        for packet in container.demux(stream):
            if packet.pts is not None:
                first = packet.pts
                break
        else:
            return 0
        container.seek(target, stream=stream)
        return sum(time < first for time in times)

    def count(self) -> int | None:
        """From the container's header; None for a stream."""
        if self.live:
            return self.span.most
        try:
            container = self._open()
        except VitruvianError:
            return None
        with container:
            stream = container.streams.video[0]
            rate = self._rate(stream)
            frames = stream.frames or (container.duration or 0) / 1e6 * rate
            if self.span.end is not None:
                frames = min(frames, self.span.end * rate)
            frames = int(max(frames - self.span.start * rate, 0)) // self.span.stride
            return min(frames, self.span.most or frames) or None


class _Converter:
    """Makes the pictures of one stream RGB, or parts of them without touching the rest."""

    # Of these every pixel becomes RGB by itself, so a part is the same as in the whole.
    FORMATS = ("yuv420p", "yuvj420p", "nv12")
    STEP = 64  # pixels; parts have few sizes, for each new one takes FFmpeg a while to prepare

    def __init__(self, stream: Any) -> None:
        from av.video.reformatter import VideoReformatter

        self.stream, self.graph = stream, None
        self.locks = {"whole": threading.Lock(), "part": threading.Lock()}
        self.reformatters = {name: VideoReformatter() for name in self.locks}

    def _begin(self) -> None:
        from av.filter import Graph

        self.graph = Graph()
        self.source = self.graph.add_buffer(template=self.stream)
        self.crop = self.graph.add("crop", "w=2:h=2:x=0:y=0")
        self.sink = self.graph.add("buffersink")
        self.source.link_to(self.crop)
        self.crop.link_to(self.sink)
        self.graph.configure()

    def rgb(self, picture: Any) -> np.ndarray:
        """(H, W, 3) uint8, all of a picture."""
        with self.locks["whole"]:
            convert = self.reformatters["whole"].reformat
            return convert(picture, format="rgb24", threads=1).to_ndarray()

    def part(self, picture: Any, x: int, y: int, width: int, height: int) -> np.ndarray:
        """(height, width, 3) uint8, from column x and row y on; all four are even."""
        with self.locks["part"]:
            if self.graph is None:
                self._begin()
            for name, value in (("w", width), ("h", height), ("x", x), ("y", y)):
                self.crop.process_command(name, str(value))
            self.source.push(picture)
            cut: Any = self.sink.pull()
            convert = self.reformatters["part"].reformat
            return convert(cut, format="rgb24", threads=1).to_ndarray()


class _Coded:
    """A decoded picture of a video, turned as the video says: phones film sideways."""

    def __init__(self, picture: Any, converter: _Converter) -> None:
        self.picture, self.converter = picture, converter
        size = picture.width, picture.height
        self.size: tuple[int, int] = size[::-1] if picture.rotation in (90, -90) else size

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        import cv2

        rgb = self.converter.rgb(self.picture)
        turns = {
            90: cv2.ROTATE_90_COUNTERCLOCKWISE,
            -90: cv2.ROTATE_90_CLOCKWISE,
            180: cv2.ROTATE_180,
            -180: cv2.ROTATE_180,
        }
        turn = turns.get(self.picture.rotation)
        return rgb if turn is None else cv2.rotate(rgb, turn)

    def part(self, box: np.ndarray) -> tuple[np.ndarray, tuple[int, int]] | None:
        """As `Frame.part`; None where it is not exact, or hardly less than everything."""
        width, height = self.size
        known = self.picture.format.name in _Converter.FORMATS and not self.picture.rotation
        if not known or width % 2 or height % 2:
            return None
        # Two pixels around, for the neighbours that sampling looks at; even, as the colours are.
        sides, step = np.array(self.size), _Converter.STEP
        low = np.clip(box[:2] - 2, 0, sides - 2).astype(int) // 2 * 2
        high = np.clip(box[2:] + 2, low + 2, sides).astype(int) + 1
        extent = np.minimum((high - low + step - 1) // step * step, sides)
        (x, y), (w, h) = np.minimum(low, sides - extent).tolist(), extent.tolist()
        if w * h > width * height / 2:
            return None
        return self.converter.part(self.picture, x, y, w, h), (x, y)
