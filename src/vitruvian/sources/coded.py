"""Pictures of a video as they are decoded, and how they become RGB as players show them.

Turned and mirrored as their display matrix says, widened where their pixels are not square; all of
a picture, or a part of it without touching the rest.
"""

from __future__ import annotations

import struct
import threading
from fractions import Fraction
from typing import Any

import numpy as np

# Of these every pixel becomes RGB by itself, so a part is the same as in the whole.
FORMATS = ("yuv420p", "yuvj420p", "nv12")
STEP = 64  # pixels; parts have few sizes, for each new one takes FFmpeg a while to prepare
NEARLY_SQUARE = 0.01  # pixels as wide as high up to this: encoders round the shape of a picture
# Pixels as wide as high, and up to this many times; half-width PAL, wide: 2.9. Beyond, it is a
# mistake of who wrote the file.
WIDEST = 4


class RgbConverter:
    """Makes the pictures of one stream RGB, or parts of them without touching the rest.

    It asks pictures for what it needs, never their stream, so that they may outlive their file.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self.locks = {"whole": threading.Lock(), "part": threading.Lock()}
        self.reformatters = {name: VideoReformatter() for name in self.locks}
        self.graph: Any = None
        self.made_for: tuple[int, int, str] | None = None  # of what the graph cuts parts

    def _begin(self, width: int, height: int, pixels: str) -> None:
        from av.filter import Graph

        self.graph = Graph()
        clock = Fraction(1, 1000)  # nobody looks at it
        self.source = self.graph.add_buffer(
            width=width, height=height, format=pixels, time_base=clock
        )
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
    """How many square pixels wide a picture is; as many as it has where nothing can be told.

    Args:
        width: its pixels.
        aspect: width of a pixel through its height; None: unknown.
    """
    if not aspect or not plausible_aspect(aspect) or abs(aspect - 1) < NEARLY_SQUARE:
        return width
    return max(1, round(width * aspect))


def plausible_aspect(aspect: Fraction | None) -> bool:
    """Whether pixels are of this shape, or nothing is said of it."""
    return not aspect or 1 / WIDEST <= aspect <= WIDEST


def display_rotation(picture: Any) -> tuple[bool, bool, bool]:
    """How a picture is held: whether rows become columns, then left right, then the top bottom.

    From its display matrix: what is at (x, y) is shown at (a x + c y, b x + d y), up to a shift.
    Other angles than quarters of a turn are taken for the nearest one.

    Source: libavutil/display.h of FFmpeg: the nine numbers are a b u, c d v, x y w.
    """
    try:
        matrix = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV has no name for another thing beside it, and gives none of them
        quarters = round(picture.rotation / 90) % 4  # against the clock
        return (quarters % 2 == 1, quarters in (2, 3), quarters in (1, 2))
    if matrix is None:
        return False, False, False
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


class DecodedFrame:
    """A decoded picture, RGB where it is looked at; a `vitruvian.frame.Coded`."""

    def __init__(
        self, picture: Any, converter: RgbConverter, aspect: Fraction | None = None
    ) -> None:
        self.picture, self.converter = picture, converter
        self.turn = display_rotation(picture)
        self.wide = display_width(picture.width, aspect)
        across = self.turn[0]
        width, height = picture.width, picture.height
        self.size: tuple[int, int] = (height, self.wide) if across else (self.wide, height)
        # The same in the pixels of the file, which others take for square.
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
        """As `Frame.part`; None where it is not exact, or hardly less than everything."""
        width, height = self.size
        as_stored = self.wide == self.picture.width and not any(self.turn)
        known = as_stored and self.picture.format.name in FORMATS
        if not known or width % 2 or height % 2:
            return None
        # Two pixels around, for the neighbours that sampling looks at; even, as the colours are.
        sides, step = np.array(self.size), STEP
        low = np.clip(box[:2] - 2, 0, sides - 2).astype(int) // 2 * 2
        high = np.clip(box[2:] + 2, low + 2, sides).astype(int) + 1
        extent = np.minimum((high - low + step - 1) // step * step, sides)
        (x, y), (w, h) = np.minimum(low, sides - extent).tolist(), extent.tolist()
        if w * h > width * height / 2:
            return None
        return self.converter.part(self.picture, x, y, w, h), (x, y)
