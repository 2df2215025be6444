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

    to_input: np.ndarray  # (3, 3) float64, homogeneous: pixels of the frame -> pixels of the input
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
        width, height = size
        # Angle and corners in the reference's own steps and precision (degrees by way of
        # float32(angle * 180), then cv2.RotatedRect::points): worth 1e-4 in BlazePose's outputs,
        # and OpenCV's versions differ in the last bit.
        angle_deg = float(np.float32(float(np.float32(angle * np.float32(180))) / np.pi))
        cos, sin = (f(angle_deg * np.pi / 180).astype(np.float32) / 2 for f in (np.cos, np.sin))
        (x, y), (w, h) = middle.astype(np.float32), extent.astype(np.float32)
        bottom_left = (x - sin * h - cos * w, y + cos * h - sin * w)
        top_left = (x + sin * h - cos * w, y - cos * h - sin * w)
        top_right = (2 * x - bottom_left[0], 2 * y - bottom_left[1])
        corners = np.array([(*bottom_left, 1), (*top_left, 1), (*top_right, 1)], np.float64)
        inside = np.array([[0, height, 1], [0, 0, 1], [width, 0, 1]], np.float64)
        return cls(np.linalg.solve(corners, inside).T, size, centre)

    @classmethod
    def letterbox(
        cls, frame: tuple[int, int], size: tuple[int, int], centre: float = 0.5
    ) -> Crop:
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
    def _from_input(self) -> np.ndarray:
        return np.linalg.inv(self.to_input)

    @cached_property
    def _indices(self) -> np.ndarray:
        """`to_input` between array indices, which is what OpenCV wants."""
        shift = np.array([[1, 0, self.centre], [0, 1, self.centre], [0, 0, 1]])
        return np.linalg.inv(shift) @ self.to_input @ shift

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
        back = np.linalg.inv(self._indices)
        back *= 32 / back[2, 2]
        x, y = np.arange(width)[None, :], np.arange(height)[:, None]
        at = [back[i, 0] * x + (back[i, 1] * y + back[i, 2]) for i in (0, 1)]
        if np.abs(back[2, :2]).max() * max(self.size) > 1e-9 * 32:  # a homography, not affine
            depth = (back[2, 0] * x + (back[2, 1] * y + back[2, 2])) / 32
            at = [axis / depth for axis in at]
        column, row = (np.rint(axis, out=axis).astype(np.int32) for axis in at)
        whole = np.empty((height, width, 2), np.int16)
        np.right_shift(column, 5, out=whole[..., 0], casting="unsafe")
        np.right_shift(row, 5, out=whole[..., 1], casting="unsafe")
        part = ((row & 31) << 5 | (column & 31)).astype(np.uint16)
        return whole, part

    def paste(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(height, width) of this crop -> (H, W) of a frame of `size`, bilinear, 0 outside."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(image, self._indices, size, flags=flags)

    def to_frame(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the input -> (..., 2) pixels of the frame."""
        return _transform(self._from_input, xy)

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
