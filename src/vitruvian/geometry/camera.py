"""A pinhole camera: from metres in front of it to pixels, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics without distortion. Axes: x right, y down, z forward."""

    matrix: np.ndarray  # (3, 3) float64 pixels: fx 0 cx, 0 fy cy, 0 0 1
    size: tuple[int, int]  # width and height of its pictures, pixels

    @classmethod
    def view(cls, size: tuple[int, int], view_deg: float = 55.0) -> Camera:
        """A camera known only by its field of view, across the longer side of the picture.

        55 degrees is what is assumed of a camera nobody knows. Source: MeTRAbs' default.
        """
        focal = max(size) / 2 / np.tan(np.radians(view_deg) / 2)
        matrix = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
        return cls(matrix, size)

    def project(self, xyz: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of (..., 3) metres; NaN for what is not in front of the camera."""
        depth = np.where(xyz[..., 2:] > 0, xyz[..., 2:], np.nan)
        return (xyz / depth) @ self.matrix.T[:, :2]

    def back_project(self, xy: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(..., 3) metres of (..., 2) pixels at (...) metres along the camera's axis."""
        ray = (
            np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1) @ np.linalg.inv(self.matrix).T
        )
        return ray * depth[..., None]
