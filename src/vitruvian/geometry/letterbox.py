"""Letterbox: a whole frame in a network's input, resized to whole pixels, with bars beside it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vitruvian.geometry.crop import Crop


@dataclass(frozen=True, eq=False)
class Letterbox:
    """Letterbox of a frame in the input: scaled to fit, with padding."""

    inner: tuple[int, int]  # width and height of the frame in the input, pixels
    corner: tuple[int, int]  # its left and top there, pixels
    back: Crop  # the way back to the frame

    @classmethod
    def fit(
        cls, frame: tuple[int, int], size: tuple[int, int], stride: int, rect: bool
    ) -> Letterbox:
        """Fit a frame into the input.

        The way in and the way back round apart, as the reference does: what the network gives is
        mapped by a scale for each axis that is worked out anew from the size of the input.

        Args:
            frame: width and height, pixels.
            size: width and height that the input has at most, pixels.
            stride: pixels.
            rect: bars only up to the next multiple of the stride, so that the input is smaller.
        """
        inner = _scaled(frame, size)
        bars = [whole - part for whole, part in zip(size, inner, strict=True)]
        if rect:
            bars = [bar % stride for bar in bars]
        corner = (round(bars[0] / 2 - 0.1), round(bars[1] / 2 - 0.1))
        canvas = (inner[0] + bars[0], inner[1] + bars[1])
        again = _scaled(frame, canvas)
        from_input = np.eye(3)
        for axis in (0, 1):
            bar = round((canvas[axis] - again[axis]) / 2 - 0.1)
            from_input[axis, axis] = frame[axis] / again[axis]
            from_input[axis, 2] = -bar * from_input[axis, axis]
        return cls(inner, corner, Crop(from_input, canvas, 0.5))


def _scaled(frame: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of a frame made to fit into a size, whole pixels, at least one."""
    (w, h), (width, height) = frame, size
    scale = min(height / h, width / w)
    return max(round(w * scale), 1), max(round(h * scale), 1)


def letterboxed(
    image: np.ndarray,
    inner: tuple[int, int],
    corner: tuple[int, int],
    size: tuple[int, int],
    fill: int,
) -> np.ndarray:
    """(H, W, C) resized to whole pixels and put on a plain canvas (height, width, C).

    Unlike `Crop.cut` there are no fractions of pixels, and the picture's edge does not fade.

    Args:
        image: any type that OpenCV resizes.
        inner: width and height of the picture on the canvas, pixels; bilinear.
        corner: left and top of the picture on the canvas, pixels.
        size: width and height of the canvas, pixels.
        fill: of the canvas.
    """
    canvas = np.full((size[1], size[0], image.shape[2]), fill, image.dtype)
    if (image.shape[1], image.shape[0]) != inner:
        image = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR)
    (left, top), (width, height) = corner, inner
    canvas[top : top + height, left : left + width] = image
    return canvas
