"""Coordinates of MeTRAbs' heat maps: a square of the crop in 2D, a cube of 2.2 metres in 3D.

Positions run from 0 at the first cell of an axis to 1 at the last (`heatmap.soft_argmax_2d`,
`_3d`). MeTRAbs puts the centre of the top-left pixel at (0, 0), we at (0.5, 0.5): only outputs in
pixels differ.

Source: our own, from the behaviour of MeTRAbs at 8b2b116 (specs/metrabs.md, 1.4).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Volume:
    """Geometry of the heat maps in the crop and in the cube."""

    side: int = 256  # pixels of the crop
    stride: int = 32  # pixels of the crop per cell
    depth: int = 8  # cells of the cube along z
    box: float = 2.2  # metres along a side of the cube; as in the published networks
    centered: bool = True  # whether the network uses centred striding
    # Whether to shift pixels as if it did when it does not: the published S at 256 pixels.
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
        """(..., 2) positions on a 2D map -> (..., 2) pixels of the crop."""
        return place * np.float32(self.span) + np.float32(self.start + 0.5)

    def metres(self, place: np.ndarray) -> np.ndarray:
        """(..., 3) positions in the cube -> (..., 3) metres, with an arbitrary origin.

        Only differences between joints are meaningful; `absolute` computes the translation.
        """
        scale = np.array([self.span / self.side, self.span / self.side, 1], np.float32)
        shift = np.array([self.start / self.side, self.start / self.side, 0], np.float32)
        return (place * scale + shift) * np.float32(self.box)
