"""Lens distortion: from undistorted X / Z and Y / Z to distorted normalized coordinates.

x' = x g + 2 p1 x y + p2 (r2 + 2 x x) + s1 r2 + s2 r2 r2, and y' likewise with p1 and p2
exchanged and s3, s4, of x = X / Z, y = Y / Z and r2 = x x + y y, where
g = (1 + k1 r2 + k2 r2^2 + k3 r2^3) / (1 + k4 r2 + k5 r2^2 + k6 r2^3).
Source: OpenCV's calib3d module, "rational", "tangential" and "thin prism".
"""

from __future__ import annotations

import numpy as np

FARTHEST = 20.0  # the tangent of 87 degrees off the axis: farther out nothing is projected


def bend(lens: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Distort (..., 2) normalized coordinates X / Z, Y / Z."""
    _, _, p1, p2, _, _, _, _, s1, s2, s3, s4 = lens
    x, y = at[..., 0], at[..., 1]
    r2 = x * x + y * y
    g, _ = _radial(lens, r2)
    bent_x = x * g + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + r2 * (s1 + r2 * s2)
    bent_y = y * g + 2 * p2 * x * y + p1 * (r2 + 2 * y * y) + r2 * (s3 + r2 * s4)
    return np.stack([bent_x, bent_y], axis=-1)


def slope(lens: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(..., 2, 2) Jacobian of `bend`."""
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = lens
    x, y = at[..., 0], at[..., 1]
    r2 = x * x + y * y
    g, below = _radial(lens, r2)
    growth = (k1 + r2 * (2 * k2 + r2 * 3 * k3) - g * (k4 + r2 * (2 * k5 + r2 * 3 * k6))) / below
    prism_x, prism_y = 2 * (s1 + 2 * s2 * r2), 2 * (s3 + 2 * s4 * r2)
    xx = g + 2 * growth * x * x + 2 * p1 * y + 6 * p2 * x + prism_x * x
    xy = 2 * growth * x * y + 2 * p1 * x + 2 * p2 * y + prism_x * y
    yx = 2 * growth * x * y + 2 * p1 * x + 2 * p2 * y + prism_y * x
    yy = g + 2 * growth * y * y + 2 * p2 * x + 6 * p1 * y + prism_y * y
    return np.stack([np.stack([xx, xy], axis=-1), np.stack([yx, yy], axis=-1)], axis=-2)


def reach(lens: np.ndarray) -> float:
    """Radius (of X / Z and Y / Z together) within which the distortion can be inverted.

    Beyond it, the model folds back or has a pole: the smallest such radius in any direction, to
    within 2 %, or 20 if there is none.
    """
    radius = np.geomspace(0.05, FARTHEST, 303)
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    at = radius[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    with np.errstate(all="ignore"):  # poles
        grows = np.linalg.det(slope(lens, at)) > 0
        outward = (bend(lens, at) * at).sum(axis=-1) > 0
    holds = (grows & outward).all(axis=-1)
    return float(radius[-1] if holds.all() else radius[max(int(holds.argmin()) - 1, 0)])


def _radial(lens: np.ndarray, r2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(...) g of (...) r2, and the g's polynomial below the line."""
    k1, k2, _, _, k3, k4, k5, k6, *_ = lens
    below = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    return (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / below, below
