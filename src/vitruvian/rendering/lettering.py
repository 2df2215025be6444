"""Outlined text on images, readable on dark and light backgrounds.

Drawn with Pillow: the thickness of OpenCV's putText depends on its version, and since 5.0 an
outline drawn as thicker text below does not show.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

DARK, LIGHT = (20, 20, 20), (255, 255, 255)


@lru_cache(256)
def font(size: int) -> Any:
    """Pillow's default font, height in pixels."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


@lru_cache(512)
def lettered(text: str, size: int, ink: tuple[int, int, int] = LIGHT) -> np.ndarray:
    """(h, w, 4) uint8 RGBA: text with a dark outline."""
    from PIL import Image, ImageDraw

    letters, edge = font(size), max(size // 7, 1)
    ruler = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = ruler.textbbox((0, 0), text, font=letters, stroke_width=edge)
    made = Image.new("RGBA", (round(right - left) + 2, round(bottom - top) + 2), (*DARK, 0))
    paint = ImageDraw.Draw(made)
    place = (1 - left, 1 - top)
    paint.text(place, text, ink, font=letters, stroke_width=edge, stroke_fill=DARK)
    return np.asarray(made)


def blend(image: np.ndarray, above: np.ndarray, place: np.ndarray) -> None:
    """Alpha-blend an RGBA image onto another, clipped; `place`: its x and y."""
    (x, y), (height, width) = place[:2].astype(int), image.shape[:2]
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + above.shape[1], width), min(y + above.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return
    part = above[y0 - y : y1 - y, x0 - x : x1 - x]
    share = part[..., 3:].astype(np.float32) / 255
    under = image[y0:y1, x0:x1]
    under[:] = np.round(under + (part[..., :3] - under.astype(np.float32)) * share)


class Steady:
    """Drawing sizes per person, with hysteresis: stable over a video's frames."""

    def __init__(self) -> None:
        """Start empty."""
        self.last: dict[int, int] = {}

    def __call__(self, person: int, wanted: float, least: int = 1) -> int:
        """The size for a person, whole pixels near `wanted`."""
        last = self.last.get(person)
        if last is None or abs(wanted - last) > max(0.8, 0.3 * last):
            last = max(least, round(wanted))
        self.last[person] = last
        return last
