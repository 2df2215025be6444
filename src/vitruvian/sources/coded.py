"""Decoded video frames, and their conversion to RGB as players show them.

Rotated and flipped by their display matrix, stretched where pixels are not square; the whole frame,
or a crop of it without converting the rest.
"""

from __future__ import annotations

import struct
import threading
from collections import deque
from fractions import Fraction
from typing import Any

import numpy as np

# In these formats each pixel is converted independently, so a crop equals that of the whole.
FORMATS = ("yuv420p", "yuvj420p", "nv12")
STEP = 64  # pixels; crops have few sizes, as FFmpeg takes time to prepare each new one
MOST_PARTS = 8  # kept, one for each person looked at
NEARLY_SQUARE = 0.01  # tolerance of square pixels: encoders round the aspect ratio
# Maximum pixel aspect ratio; half-width PAL, wide, has 2.9. Beyond, the file is wrong.
WIDEST = 4


class RgbConverter:
    """Converts frames of one stream to RGB, or crops of them without converting the rest.

    It uses frames only, never their stream, so that frames may outlive their file.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self.locks = {"whole": threading.Lock(), "part": threading.Lock()}
        self.reformatters = {name: VideoReformatter() for name in self.locks}
        self.graph: Any = None
        self.made_for: tuple[int, int, str] | None = None  # frames that the graph crops
        self.turns: dict[tuple[int, int, int], tuple[bool, bool, bool]] = {}

    def turn(self, picture: Any) -> tuple[bool, bool, bool]:
        """See `display_rotation`; read once for each size and angle.

        In PyAV 18.1 a frame whose side data was read is part of a reference cycle: its pixels stay
        in memory until Python's garbage collector happens to run (findings/pyav_side_data.sh).
        """
        kind = picture.width, picture.height, picture.rotation
        if kind not in self.turns:
            self.turns[kind] = display_rotation(picture)
        return self.turns[kind]

    def _begin(self, width: int, height: int, pixels: str) -> None:
        from av.filter import Graph

        self.graph = Graph()
        clock = Fraction(1, 1000)  # not used
        self.source = self.graph.add_buffer(
            width=width, height=height, format=pixels, time_base=clock
        )
        self.crop = self.graph.add("crop", "w=2:h=2:x=0:y=0")
        self.sink = self.graph.add("buffersink")
        self.source.link_to(self.crop)
        self.crop.link_to(self.sink)
        self.graph.configure()

    def rgb(self, picture: Any) -> np.ndarray:
        """(H, W, 3) uint8, the whole frame."""
        with self.locks["whole"]:
            convert = self.reformatters["whole"].reformat
            return convert(picture, format="rgb24", threads=1).to_ndarray()

    def part(self, picture: Any, x: int, y: int, width: int, height: int) -> np.ndarray:
        """(height, width, 3) uint8, crop from column x and row y on; all four are even."""
        with self.locks["part"]:
            kind = picture.width, picture.height, picture.format.name
            if kind != self.made_for:
                self._begin(*kind)
                self.made_for = kind
            for name, value in (("w", width), ("h", height), ("x", x), ("y", y)):
                self.crop.process_command(name, str(value))
            self.source.push(picture)
            cut: Any = self.sink.pull()
            convert = self.reformatters["part"].reformat
            return convert(cut, format="rgb24", threads=1).to_ndarray()


def display_width(width: int, aspect: Fraction | None) -> int:
    """Display width of a frame in square pixels; `width` if the aspect ratio is unknown.

    Args:
        width: stored pixels.
        aspect: pixel aspect ratio, width / height; None: unknown.
    """
    if not aspect or not plausible_aspect(aspect) or abs(aspect - 1) < NEARLY_SQUARE:
        return width
    return max(1, round(width * aspect))


def plausible_aspect(aspect: Fraction | None) -> bool:
    """Whether a pixel aspect ratio is plausible, or unknown."""
    return not aspect or 1 / WIDEST <= aspect <= WIDEST


def display_rotation(picture: Any) -> tuple[bool, bool, bool]:
    """Rotation of a frame: whether to transpose, then to flip left-right, then to flip up-down.

    From its display matrix: (x, y) is shown at (a x + c y, b x + d y), up to a shift. Angles are
    rounded to the nearest multiple of 90 degrees.

    Source: libavutil/display.h of FFmpeg: the nine numbers are a b u, c d v, x y w.
    """
    try:
        matrix = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV gives no side data at all if one type is unknown to it
        quarters = round(picture.rotation / 90) % 4  # counterclockwise
        return (quarters % 2 == 1, quarters in (2, 3), quarters in (1, 2))
    if matrix is None:
        return False, False, False
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


class DecodedFrame:
    """A decoded frame, converted to RGB on access; a `vitruvian.frame.Coded`."""

    def __init__(
        self, picture: Any, converter: RgbConverter, aspect: Fraction | None = None
    ) -> None:
        self.picture, self.converter = picture, converter
        self.parts = deque[tuple[np.ndarray, tuple[int, int]]](maxlen=MOST_PARTS)  # converted
        self.turn = converter.turn(picture)
        self.wide = display_width(picture.width, aspect)
        across = self.turn[0]
        width, height = picture.width, picture.height
        self.size: tuple[int, int] = (height, self.wide) if across else (self.wide, height)
        # Size in stored pixels, which other programs take for square.
        self.stored: tuple[int, int] = (height, width) if across else (width, height)

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        import cv2

        rgb = self.converter.rgb(self.picture)
        if self.wide != self.picture.width:
            how = cv2.INTER_LINEAR if self.wide > self.picture.width else cv2.INTER_AREA
            rgb = cv2.resize(rgb, (self.wide, self.picture.height), interpolation=how)
        across, sideways, upside_down = self.turn
        if across:
            rgb = cv2.transpose(rgb)
        if sideways or upside_down:
            rgb = cv2.flip(rgb, -1 if sideways and upside_down else int(sideways))
        return rgb

    def part(self, box: np.ndarray) -> tuple[np.ndarray, tuple[int, int]] | None:
        """As `Frame.part`; None if not exact, or more than half of the frame."""
        width, height = self.size
        as_stored = self.wide == self.picture.width and not any(self.turn)
        known = as_stored and self.picture.format.name in FORMATS
        if not known or width % 2 or height % 2:
            return None
        # Two pixels of margin for interpolation; even, for chroma subsampling.
        sides, step = np.array(self.size), STEP
        low = np.clip(box[:2] - 2, 0, sides - 2).astype(int) // 2 * 2
        high = np.clip(box[2:] + 2, low + 2, sides).astype(int) + 1
        for rgb, corner in self.parts:
            if (low >= corner).all() and (high - corner <= (rgb.shape[1], rgb.shape[0])).all():
                return rgb, corner
        extent = np.minimum((high - low + step - 1) // step * step, sides)
        (x, y), (w, h) = np.minimum(low, sides - extent).tolist(), extent.tolist()
        if w * h > width * height / 2:
            return None
        self.parts.append((self.converter.part(self.picture, x, y, w, h), (x, y)))
        return self.parts[-1]
