"""Crop: an invertible map from the frame to a network's input.

The centre of the top left pixel is (0.5, 0.5). OpenCV counts it as (0, 0); the difference is
absorbed in `Crop.cut`, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from vitruvian.geometry.camera import Camera

GAMMA = 2.2  # light is a picture's value, 0..1, to this power. Source: specs/metrabs.md, 5.5
_FAR = -(1 << 20)  # in 32nds of a pixel: the farthest that 16 bits hold, outside every frame


@dataclass(frozen=True, eq=False)
class Crop:
    """The region of a frame that is a network's input, as a homography."""

    # (3, 3) float64, homogeneous: pixels of the input -> of the frame; what lies behind the
    # camera gets a third coordinate below 0
    from_input: np.ndarray
    size: tuple[int, int]  # width and height of the input, pixels
    # Where the centre of the top left pixel is taken to be when sampling: 0.5, which is where it
    # is, or 0, half a pixel off, as the references of BlazePose and AlphaPose do, whose networks
    # are trained so. There is no default: each family says what its network wants.
    centre: float
    lens: Camera | None = None  # bends the frame: `from_input` then leads to `lens.undistort`ed px

    @classmethod
    def turned(
        cls,
        middle: np.ndarray,
        extent: np.ndarray,
        angle: float,
        size: tuple[int, int],
        *,
        centre: float,
    ) -> Crop:
        """A crop of a (rotated) rectangle of the frame.

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
    def letterbox(cls, frame: tuple[int, int], size: tuple[int, int], *, centre: float) -> Crop:
        """A letterbox: the whole frame, scaled to fit and centred, with padding.

        Args:
            frame: width and height of the frame, pixels.
            size: width and height of the input, pixels.
            centre: see `Crop.centre`.
        """
        scale = max(frame[0] / size[0], frame[1] / size[1])
        middle, extent = np.array(frame, np.float32) / 2, np.array(size, np.float32) * scale
        return cls.turned(middle, extent, 0.0, size, centre=centre)

    @classmethod
    def turned_camera(cls, camera: Camera, rotation: np.ndarray, turned: Camera) -> Crop:
        """A crop by a rotated pinhole camera (no distortion) at the same position.

        Args:
            camera: the frame's.
            rotation: (3, 3) from its axes to the turned one's, see `Camera.look_at`.
            turned: the turned one, see `Camera.look_at`; its image is the network's input.
        """
        matrix = camera.matrix @ np.linalg.inv(rotation) @ np.linalg.inv(turned.matrix)
        return cls(matrix, turned.size, 0.5, lens=camera if camera.distorted else None)

    @cached_property
    def to_input(self) -> np.ndarray:
        """(3, 3) float64, homogeneous: pixels of the frame -> pixels of the input."""
        return np.linalg.inv(self.from_input)

    @cached_property
    def _indices(self) -> np.ndarray:
        """`from_input` in array indices, as OpenCV expects."""
        shift = np.array([[1, 0, self.centre], [0, 1, self.centre], [0, 0, 1]])
        back = np.array([[1, 0, -self.centre], [0, 1, -self.centre], [0, 0, 1]])
        return back @ self.from_input @ shift

    def bounds(self) -> np.ndarray:
        """(4,) x0 y0 x1 y1, pixels of the frame: axis-aligned bounding box of the crop."""
        edge = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64) * self.size
        if self.lens is not None:  # the edges are curved, and the corners not the extremes
            part = np.linspace(0, 1, 32, endpoint=False)[:, None]
            after = np.roll(edge, -1, axis=0)
            edge = np.concatenate([a + part * (b - a) for a, b in zip(edge, after, strict=True)])
        seen = self.to_frame(edge)
        if np.isnan(seen).any():  # it extends beyond the lens's field of view
            return np.array([-np.inf, -np.inf, np.inf, np.inf])
        return np.concatenate([seen.min(axis=0), seen.max(axis=0)])

    def within(self, corner: tuple[int, int]) -> Crop:
        """The same crop of a part of the frame that starts at this column and row."""
        if corner == (0, 0):
            return self
        return self._of(np.array([[1, 0, -corner[0]], [0, 1, -corner[1]], [0, 0, 1]]))

    def _of(self, part: np.ndarray) -> Crop:
        """The same crop of a frame shifted and scaled by a (3, 3) matrix."""
        lens = self.lens and replace(self.lens, matrix=part @ self.lens.matrix)
        return replace(self, from_input=part @ self.from_input, lens=lens)

    def cut(self, image: np.ndarray, *, replicate: bool = False, antialias: int = 0) -> np.ndarray:
        """Sample the crop: (H, W, C) -> (height, width, C), bilinear.

        Outside the frame it is black, or with `replicate` the nearest border pixel.

        Sampled at the nearest 1/32 of a pixel, which is what `cv2.warpPerspective` did before
        OpenCV 5 and what the networks' references do: 5 is more exact, and moves BlazePose's
        landmarks by up to a hundredth of the image. `cv2.remap` gives the same in all versions.

        Args:
            image: any type that OpenCV samples.
            replicate: see above.
            antialias: 0 does nothing against aliasing, as the references of most networks. 1
                halves the frame first, as often as it stays finer than the crop; 2 or more also
                samples so many times along each side of a pixel. See `light`.
        """
        if antialias:
            finer, image = self._shrunk(image, antialias)
            return self._averaged(finer.cut(image, replicate=replicate))
        border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
        return cv2.remap(image, *self._grid(), cv2.INTER_LINEAR, borderMode=border)

    def light(self, image: np.ndarray, gamma: float = 1.0, antialias: int = 1) -> np.ndarray:
        """(H, W, 3) uint8 -> (height, width, 3) float32 0..1 of this crop, mixed as light is.

        Pixels are averaged as amounts of light (their values to the power of 2.2), and sampled
        exactly, bilinear; what lies outside the frame is black.

        Args:
            image: RGB.
            gamma: of the result: 1 looks like the frame, less is brighter.
            antialias: see `cut`; at least 1.

        Source: specs/metrabs.md, 5.5. Deviations: the reference never makes the frame smaller
        than a quarter, which aliases from crops of eight times the input's size on, and the last
        row and column of a frame of odd size are repeated, not dropped.
        """
        finer, image = self._shrunk(image, antialias, (np.arange(256) / 255) ** GAMMA)
        return self._averaged(_sample(image, finer._places())) ** np.float32(gamma / GAMMA)

    def _shrunk(
        self, image: np.ndarray, antialias: int, values: np.ndarray | None = None
    ) -> tuple[Crop, np.ndarray]:
        """What is needed of a frame, halved until a crop `antialias` times as fine fits it.

        A pixel of the input is as many of the frame wide as the determinant says: of a turned
        camera that is the ratio of the focal lengths, as in MeTRAbs.

        Args:
            image: (H, W, C).
            antialias: at least 1.
            values: (256,) what the values of a uint8 image become first.

        Returns:
            The finer crop of the smaller frame, and the smaller frame.
        """
        width = np.sqrt(np.abs(np.linalg.det(self.from_input))) / antialias
        step = 2 ** max(int(np.floor(np.log2(width))), 0)
        sides = np.array(image.shape[1::-1])
        bounds = np.floor(self.bounds() / step)
        # Two of the smaller pixels around, for the neighbours that sampling looks at.
        low = np.clip(bounds[:2] - 2, 0, (sides - 1) // step).astype(int) * step
        high = np.clip(bounds[2:] + 3, low // step + 1, -(-sides // step)).astype(int)
        (left, top), (right, bottom) = low, high * step
        image = image[top:bottom, left:right]
        if values is not None:
            image = cv2.LUT(np.ascontiguousarray(image), values.astype(np.float32)[None])
        if step > 1:
            missing = bottom - top - image.shape[0], right - left - image.shape[1]
            image = cv2.copyMakeBorder(image, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
            smaller = (right - left) // step, (bottom - top) // step
            image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
        crop = self.within((int(left), int(top)))._of(self._scaling(1 / step))
        size = self.size[0] * antialias, self.size[1] * antialias
        matrix = crop.from_input @ self._scaling(1 / antialias)
        return replace(crop, from_input=matrix, size=size), image

    def _scaling(self, factor: float) -> np.ndarray:
        """(3, 3) from pixels to pixels of another size, edge on edge."""
        shift = (0.5 - self.centre) * (factor - 1)
        return np.array([[factor, 0, shift], [0, factor, shift], [0, 0, 1]])

    def _averaged(self, cut: np.ndarray) -> np.ndarray:
        """What a finer crop cut, in this crop's size: the mean of each pixel's samples."""
        if (cut.shape[1], cut.shape[0]) == self.size:
            return cut
        return cv2.resize(cut, self.size, interpolation=cv2.INTER_AREA)

    def _places(self) -> np.ndarray:
        """(height, width, 2) float64: array indices of the frame that each cell shows."""
        cells = np.stack(np.meshgrid(*(np.arange(side) for side in self.size)), axis=-1)
        return self.to_frame(cells + self.centre) - self.centre

    def _grid(self) -> tuple[np.ndarray, np.ndarray]:
        """OpenCV's fixed-point maps: (height, width, 2) whole pixels, (height, width) 32nds."""
        width, height = self.size
        if self.lens is None:
            matrix = self._indices * 32
            x, y = np.arange(width), np.arange(height)[:, None]
            column, row = (self._axis(matrix[i], x, y) for i in (0, 1))
        else:
            places = np.nan_to_num(self._places() * 32, nan=_FAR)
            column, row = np.moveaxis(np.clip(np.rint(places), _FAR, -_FAR - 1), -1, 0).astype(int)
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
            depth = third[0] * x + (third[1] * y + third[2])
            at = np.where(depth > 0, at / np.maximum(depth, 1e-9), 2 * _FAR)
        np.rint(at, out=at)
        # Corners are the extremes. What does not fit in 16 bits is far outside the frame.
        if np.abs(at[:: len(y) - 1 or 1, :: len(x) - 1 or 1]).max() >= -_FAR:
            np.clip(at, _FAR, -_FAR - 1, out=at)
        return at.astype(np.int32)

    def paste(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(height, width) of this crop -> (H, W) of a frame of `size`, bilinear, 0 outside."""
        if self.lens is None:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            return cv2.warpPerspective(image, np.linalg.inv(self._indices), size, flags=flags)
        cells = np.stack(np.meshgrid(*(np.arange(side) for side in size)), axis=-1)
        places = self.from_frame(cells + self.centre) - self.centre
        return _sample(image[..., None], places)[..., 0].astype(image.dtype)

    def to_frame(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the input -> (..., 2) pixels of the frame; NaN behind the camera."""
        straight = _transform(self.from_input, xy)
        return straight if self.lens is None else self.lens.distort(straight)

    def from_frame(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the frame -> (..., 2) pixels of the input; NaN behind the camera."""
        straight = xy if self.lens is None else self.lens.undistort(xy)
        return _transform(self.to_input, straight)


def _transform(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    x, y = xy[..., 0], xy[..., 1]
    across, down, depth = (row[0] * x + row[1] * y + row[2] for row in matrix)
    depth = np.where(depth > 0, depth, np.nan)
    return np.stack([across / depth, down / depth], axis=-1).astype(xy.dtype)


def _sample(image: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(h, w, C) float32 of (H, W, C) at (h, w, 2) array indices, bilinear, 0 outside and at NaN."""
    at = np.clip(np.nan_to_num(at, nan=_FAR), _FAR // 32, -_FAR // 32 - 2)
    first = np.floor(at)
    (dx, dy), cell = np.moveaxis((at - first).astype(np.float32), -1, 0), first.astype(np.int16)
    image = image.astype(np.float32, copy=False)

    def pixel(right: int, down: int) -> np.ndarray:
        """(h, w, C) the neighbours so many columns and rows on, as they are."""
        there = cell + np.array([right, down], np.int16)
        found = cv2.remap(image, there, np.empty(0), cv2.INTER_NEAREST, borderValue=0)
        return found.reshape(*cell.shape[:2], -1)

    dx, dy = dx[..., None], dy[..., None]
    above = pixel(0, 0) * (1 - dx) + pixel(1, 0) * dx
    below = pixel(0, 1) * (1 - dx) + pixel(1, 1) * dx
    return above * (1 - dy) + below * dy
