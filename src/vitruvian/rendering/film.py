"""Annotated images and videos."""

from __future__ import annotations

import errno
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, shown
from vitruvian.formats.atomic_file import AtomicFile, write_whole
from vitruvian.frame import Frame
from vitruvian.rendering.draw import COLOURS, VISIBLE, draw, with_numbers
from vitruvian.rendering.lettering import Steady

CLOCK = 90_000  # ticks per second, MPEG's time base: exact enough for every frame rate


def write_picture(path: Path, rgb: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB; the extension selects the format."""
    import cv2

    ok, data = cv2.imencode(path.suffix, np.ascontiguousarray(rgb[..., ::-1]))
    if not ok:
        raise VitruvianError(f"cannot write '{path}': OpenCV cannot make {path.suffix} images")
    write_whole(path, data.tobytes())


class AnnotatedPicture:
    """An image file of one annotated frame."""

    def __init__(self, path: Path, visible: float = VISIBLE) -> None:
        self.path, self.visible, self.paths = path, visible, list[Path]()

    def __enter__(self) -> AnnotatedPicture:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Draw and write a frame."""
        if self.paths:
            raise VitruvianError(f"'{self.path}' holds one image; for more give a folder")
        write_picture(self.path, draw(frame, with_numbers(poses), self.visible))
        self.paths.append(self.path)

    def __exit__(self, *_: object) -> None:
        pass


class VideoWriter:
    """Writes H.264 or GIF with variable frame times; the file is valid also when interrupted.

    GIF times are in 1/100 s, and players treat a delay of 1 as 10: frames less than 2/100 s after
    the previous one are dropped.
    """

    def __init__(self, path: Path) -> None:
        self.part, self.gif = AtomicFile(path), path.suffix.lower() == ".gif"
        self.container: Any = None
        self.whole = False  # whether it has at least one frame, and no write failed
        self.error: OSError | None = None  # the first one

    def __enter__(self) -> VideoWriter:
        return self

    def _begin(self, size: tuple[int, int], seconds: float) -> None:
        import av

        kinds = {".mkv": "matroska", ".gif": "gif"}
        kind = kinds.get(self.part.path.suffix.lower(), "mp4")
        container: Any = av.open(str(self.part.begin()), "w", format=kind)
        self.stream = container.add_stream("gif" if self.gif else "libx264", rate=30)
        self.first, self.last = seconds, -1
        self.stream.width, self.stream.height = size
        self.clock = 100 if self.gif else CLOCK
        self.stream.codec_context.time_base = Fraction(1, self.clock)
        if self.gif:
            self.stream.pix_fmt = "pal8"
        else:
            self.stream.width, self.stream.height = (side + side % 2 for side in size)
            self.stream.pix_fmt = "yuv420p"
            self.stream.options = {"preset": "veryfast", "crf": "20"}
            # BT.709, tagged: otherwise players guess, and colours shift.
            for name in ("colorspace", "color_primaries", "color_trc"):
                setattr(self.stream.codec_context, name, 1)
        self.container = container  # from here on it has to be closed

    def add(self, rgb: np.ndarray, seconds: float) -> None:
        """Add (H, W, 3) uint8 RGB, the size of the first frame."""
        if self.container is None:
            self._begin((rgb.shape[1], rgb.shape[0]), seconds)
        at = round((seconds - self.first) * self.clock)
        if self.gif and self.last >= 0 and at < self.last + 2:
            return
        picture = _in_colours(rgb) if self.gif else _in_planes(rgb)
        picture.pts = max(at, self.last + 1)
        picture.time_base = Fraction(1, self.clock)
        self.last = picture.pts
        self._mux(picture)

    def _mux(self, picture: Any) -> None:
        """Encode and write a frame; None flushes the encoder.

        Raises:
            OSError: such as a full disk. Write nothing after it: PyAV 18.1 and FFmpeg crash the
                process if the header could not be written.
            VitruvianError: the encoder rejects the frame.
        """
        from av.error import FFmpegError

        if self.error is not None:
            raise self.error
        whole, self.whole = self.whole, False
        try:
            self.container.mux(self.stream.encode(picture))
        except (FFmpegError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in errno.errorcode:
                self.error = error
                raise
            size = f"{self.stream.width} x {self.stream.height}"
            path, fault = shown(self.part.path, 100), shown(error, 100)
            raise VitruvianError(f"cannot write '{path}': no video of {size}: {fault}") from None
        self.whole = whole or picture is not None

    def __exit__(self, *_: object) -> None:
        try:
            if self.container is None:
                self.part.drop()
                return
            try:
                if self.whole:
                    self._mux(None)
            finally:
                try:
                    self.container.close()
                except OSError:
                    if self.whole:  # otherwise it was raised before
                        raise
            if self.whole:
                self.part.finish()
        finally:
            self.part.leave()


def _fitted(rgb: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Letterbox (H, W, 3) uint8 RGB: resized to fit and centred on black."""
    import cv2

    scale = min(shape[0] / rgb.shape[0], shape[1] / rgb.shape[1])
    height, width = (max(1, round(scale * side)) for side in rgb.shape[:2])
    out = np.zeros(shape, np.uint8)
    y, x = (shape[0] - height) // 2, (shape[1] - width) // 2
    out[y : y + height, x : x + width] = cv2.resize(
        rgb, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    return out


def _in_planes(rgb: np.ndarray) -> Any:
    """An H.264 frame: YUV 4:2:0, padded to even sides."""
    import av

    height, width = rgb.shape[:2]
    if height % 2 or width % 2:
        rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    return picture.reformat(format="yuv420p", dst_colorspace="ITU709")


def _in_colours(rgb: np.ndarray) -> Any:
    """A GIF frame: 256 colours and an index per pixel.

    All frames share one palette, so that only changed pixels are written: greys, and the left and
    right colours of the 3D views on white.
    """
    import av
    from PIL import Image

    greys = np.linspace((0, 0, 0), (255, 255, 255), 32)
    blends = [np.linspace(COLOURS[side], (255, 255, 255), 112) for side in ("left", "right")]
    colours = np.round(np.concatenate([greys, *blends])).astype(np.uint8)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.ravel().tolist())
    picture = Image.fromarray(rgb).quantize(palette=palette, dither=Image.Dither.NONE)
    opaque = np.full((256, 1), 255, np.uint8)
    both: Any = np.asarray(picture), np.concatenate([opaque, colours], axis=1)
    return av.VideoFrame.from_ndarray(both, format="pal8")


class AnnotatedVideo:
    """An annotated video that keeps the source's timestamps."""

    def __init__(
        self,
        path: Path,
        visible: float = VISIBLE,
        paint: Callable[..., np.ndarray] | None = None,
    ) -> None:
        """`paint` renders a frame as (H, W, 3) uint8 RGB; default `draw`."""
        self.path, self.visible, self.paths = path, visible, list[Path]()
        self.paint = paint or partial(draw, widths=Steady())
        self.film, self.size, self.source = VideoWriter(path), (0, 0), ""
        self.shape: tuple[int, ...] = ()  # of the output frames

    def __enter__(self) -> AnnotatedVideo:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Draw and add a frame."""
        if not self.paths:
            self.size, self.source = frame.size, frame.source
        if frame.size != self.size and frame.source != self.source:
            raise VitruvianError(
                f"'{self.path}' is {self.size[0]} x {self.size[1]}, but frame {frame.index} "
                f"of '{frame.source}' is {frame.size[0]} x {frame.size[1]}; give a folder"
            )
        shown = self.paint(frame, poses, self.visible)
        # A video has one size: frames of another size are letterboxed.
        self.shape = self.shape or shown.shape
        fits = shown.shape == self.shape
        self.film.add(shown if fits else _fitted(shown, self.shape), frame.seconds)
        self.paths = [self.path]

    def __exit__(self, *error: object) -> None:
        self.film.__exit__(*error)
