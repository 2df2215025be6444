"""Coordinates of MeTRAbs' heat maps: a square of the crop in 2D, a cube of 2.2 metres in 3D.

The first cell of an axis is place 0, the last is place 1 (`heatmap.soft_argmax_2d`, `_3d`).
MeTRAbs counts the centre of the top-left pixel as (0, 0), we as (0.5, 0.5): only what is given out
in pixels differs.

Source: our own, from the behaviour of MeTRAbs at 8b2b116 (specs/metrabs.md, 1.4).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Volume:
    """How the cells of the maps lie in the crop and in the cube."""

    side: int = 256  # pixels of the crop
    stride: int = 32  # pixels of the crop a cell
    depth: int = 8  # cells of the cube from front to back
    box: float = 2.2  # metres along a side of the cube; the published networks'
    centered: bool = True  # whether the network strides centred
    # Whether the pixels are moved as if it did where it does not: the published S at 256 pixels.
    legacy: bool = False

    @property
    def span(self) -> int:
        """Pixels from the centre of the first cell to that of the last."""
        return (self.side - 1) // self.stride * self.stride

    @property
    def start(self) -> int:
        """Pixels from the centre of the crop's first pixel to that of the first cell."""
        return self.stride // 2 * (self.centered + self.legacy)

    def pixels(self, place: np.ndarray) -> np.ndarray:
        """(..., 2) places on a 2D map -> (..., 2) pixels of the crop."""
        return place * np.float32(self.span) + np.float32(self.start + 0.5)

    def metres(self, place: np.ndarray) -> np.ndarray:
        """(..., 3) places in the cube -> (..., 3) metres, from a corner of it that is nowhere.

        Only differences between joints mean something: where the body is, `absolute` finds out.
        """
        scale = np.array([self.span / self.side, self.span / self.side, 1], np.float32)
        shift = np.array([self.start / self.side, self.start / self.side, 0], np.float32)
        return (place * scale + shift) * np.float32(self.box)
