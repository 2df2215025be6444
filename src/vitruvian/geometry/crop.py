"""A crop is a map from the frame to a network's input that knows the way back.

The centre of the top left pixel is (0.5, 0.5). OpenCV counts it as (0, 0); the difference is
absorbed in `Crop.cut`, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class Crop:
    """What a network sees of a frame."""

    from_input: np.ndarray  # (3, 3) float64, homogeneous: pixels of the input -> of the frame
    size: tuple[int, int]  # width and height of the input, pixels
    centre: float = 0.5  # where a pixel's centre is taken to be when sampling; MediaPipe: 0

    @classmethod
    def turned(
        cls,
        middle: np.ndarray,
        extent: np.ndarray,
        angle: float,
        size: tuple[int, int],
        centre: float = 0.5,
    ) -> Crop:
        """A rectangle of the frame, turned or not, that fills the input.

        Args:
            middle: (2,) pixels of the frame.
            extent: (2,) pixels of the frame, width and height along the rectangle's own axes.
            angle: radians, clockwise as seen.
            size: width and height of the input, pixels.
            centre: see `Crop.centre`.
        """
        # Angle and corners in the reference's own steps and precision (degrees by way of
        # float32(angle * 180), then cv2.RotatedRect::points): worth 1e-4 in BlazePose's outputs,
        # and OpenCV's versions differ in the last bit.
        turn = float(np.float32(float(np.float32(angle * np.float32(180))) / np.pi)) * np.pi / 180
        cos, sin = np.float32(np.cos(turn)) / 2, np.float32(np.sin(turn)) / 2
        (x, y), (w, h) = middle.astype(np.float32), extent.astype(np.float32)
        left, top = float(x + sin * h - cos * w), float(y - cos * h - sin * w)
        bottom_left = float(x - sin * h - cos * w), float(y + cos * h - sin * w)
        right, right_y = float(2 * x) - bottom_left[0], float(2 * y) - bottom_left[1]
        across = (right - left) / size[0], (right_y - top) / size[0]
        down = (bottom_left[0] - left) / size[1], (bottom_left[1] - top) / size[1]
        rows = [[across[0], down[0], left], [across[1], down[1], top], [0, 0, 1]]
        return cls(np.array(rows), size, centre)

    @classmethod
    def letterbox(cls, frame: tuple[int, int], size: tuple[int, int], centre: float = 0.5) -> Crop:
        """The whole frame in the middle of the input, as large as it goes, bars around it.

        Args:
            frame: width and height of the frame, pixels.
            size: width and height of the input, pixels.
            centre: see `Crop.centre`.
        """
        scale = max(frame[0] / size[0], frame[1] / size[1])
        middle, extent = np.array(frame, np.float32) / 2, np.array(size, np.float32) * scale
        return cls.turned(middle, extent, 0.0, size, centre)

    @cached_property
    def to_input(self) -> np.ndarray:
        """(3, 3) float64, homogeneous: pixels of the frame -> pixels of the input."""
        return np.linalg.inv(self.from_input)

    @cached_property
    def _indices(self) -> np.ndarray:
        """`from_input` between array indices, which is what OpenCV wants."""
        shift = np.array([[1, 0, self.centre], [0, 1, self.centre], [0, 0, 1]])
        back = np.array([[1, 0, -self.centre], [0, 1, -self.centre], [0, 0, 1]])
        return back @ self.from_input @ shift

    def bounds(self) -> np.ndarray:
        """(4,) x0 y0 x1 y1, pixels of the frame: the upright box around what the crop shows."""
        width, height = self.size
        corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
        seen = self.to_frame(corners)
        return np.concatenate([seen.min(axis=0), seen.max(axis=0)])

    def within(self, corner: tuple[int, int]) -> Crop:
        """The same crop of a part of the frame that begins at this column and row."""
        if corner == (0, 0):
            return self
        shift = np.array([[1, 0, -corner[0]], [0, 1, -corner[1]], [0, 0, 1]])
        return Crop(shift @ self.from_input, self.size, self.centre)

    def cut(self, image: np.ndarray, *, replicate: bool = False) -> np.ndarray:
        """(H, W, C) -> (height, width, C) of this crop, bilinear, nothing done against aliasing.

        What lies outside the frame is black, or with `replicate` the nearest pixel at its edge.

        Sampled at the nearest 1/32 of a pixel, which is what `cv2.warpPerspective` did before
        OpenCV 5 and what the networks' references do: 5 is more exact, and moves BlazePose's
        landmarks by up to a hundredth of the picture. `cv2.remap` gives the same in all versions.
        """
        border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
        return cv2.remap(image, *self._grid(), cv2.INTER_LINEAR, borderMode=border)

    def _grid(self) -> tuple[np.ndarray, np.ndarray]:
        """OpenCV's fixed-point maps: (height, width, 2) whole pixels, (height, width) 32nds."""
        width, height = self.size
        matrix = self._indices * 32
        x, y = np.arange(width), np.arange(height)[:, None]
        column, row = (self._axis(matrix[i], x, y) for i in (0, 1))
        # In place, and 16 bits at a time: these maps are made for every crop, and do not fit the
        # cache beside a network.
        part = (row.astype(np.uint16) & 31) << 5
        part |= column.astype(np.uint16) & 31
        # Two 16-bit numbers at once: the row in the upper half, the column in the lower one.
        row >>= 5
        row <<= 16
        column >>= 5
        column &= 0xFFFF
        row |= column
        return row.astype("<i4", copy=False).view("<i2").reshape(height, width, 2), part

    def _axis(self, line: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(height, width) int32: one coordinate of each cell, in 32nds of a pixel of the frame."""
        at = line[0] * x + (line[1] * y + line[2])
        third = self._indices[2]
        if third[0] or third[1]:  # a homography
            at /= third[0] * x + (third[1] * y + third[2])
        np.rint(at, out=at)
        # Corners are the extremes. What does not fit in 16 bits is far outside the frame.
        if np.abs(at[:: len(y) - 1 or 1, :: len(x) - 1 or 1]).max() >= 1 << 20:
            np.clip(at, -(1 << 20), (1 << 20) - 1, out=at)
        return at.astype(np.int32)

    def paste(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(height, width) of this crop -> (H, W) of a frame of `size`, bilinear, 0 outside."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(image, np.linalg.inv(self._indices), size, flags=flags)

    def to_frame(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the input -> (..., 2) pixels of the frame."""
        return _transform(self.from_input, xy)

    def from_frame(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the frame -> (..., 2) pixels of the input."""
        return _transform(self.to_input, xy)


def _transform(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    homogeneous = xy @ matrix[:, :2].T + matrix[:, 2]
    return (homogeneous[..., :2] / homogeneous[..., 2:]).astype(xy.dtype)


def place(
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
