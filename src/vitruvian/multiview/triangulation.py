"""Points in metres from their pixels in several calibrated views, robust to a wrong view.

A point begins as the place nearest to the rays of all its views, weighted by the scores, and is
refined by Gauss-Newton until the weighted reprojection error, in pixels of undistorted images, is
least. Where a view is farther off than `max_error`, every pair of views proposes a point, the one
that most of the score agrees with wins, and views that do not agree are left out.

Source: Hartley & Zisserman 2004, "Multiple CameraView Geometry in Computer Vision", 12.2 to 12.5;
Fischler & Bolles 1981, "Random sample consensus" (here all pairs, none at random).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.geometry.camera import Camera

STEPS = 4  # of Gauss-Newton; it converges in two or three
SETTLED = 1e-5  # metres
CHUNK = 1 << 14  # points at once
LEAST_ANGLE = np.radians(2.0)  # between two rays that propose a point
PRIOR = 4.0  # degrees of freedom that the noise of the whole recording counts for
NEAREST = 0.05  # metres in front of a camera


@dataclass(frozen=True, eq=False)
class Rig:
    """The V cameras as arrays."""

    rotation: np.ndarray  # (V, 3, 3) world -> camera
    shift: np.ndarray  # (V, 3) metres, of the same
    focal: np.ndarray  # (V, 2) pixels

    @classmethod
    def of(cls, cameras: Sequence[Camera]) -> Rig:
        """Of cameras with extrinsics.

        Raises:
            VitruvianError: the position of one is unknown.
        """
        placed = [camera.extrinsics for camera in cameras]
        if any(each is None for each in placed):
            raise VitruvianError(
                "the position of a camera is unknown; use a calibration file with the rotation and "
                "translation of all, or Camera.placed"
            )
        matrices = np.stack([each for each in placed if each is not None])
        focal = np.stack([np.diag(camera.matrix)[:2] for camera in cameras])
        return cls(matrices[:, :3, :3], matrices[:, :3, 3], focal)

    def __len__(self) -> int:
        return len(self.shift)

    @property
    def centres(self) -> np.ndarray:
        """(V, 3) metres, world coordinates of the cameras."""
        return -np.einsum("vij,vi->vj", self.rotation, self.shift)

    def epipolar(self, u: int, v: int) -> np.ndarray:
        """(3, 3) essential matrix: p_v^T E p_u = 0 of normalized coordinates."""
        turned = self.rotation[v] @ self.rotation[u].T
        x, y, z = self.shift[v] - turned @ self.shift[u]
        return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ turned


class Points(NamedTuple):
    """M points, and how well they are known; NaN where fewer than two views agree."""

    world: np.ndarray  # (M, 3) metres
    error: np.ndarray  # (M,) pixels, weighted root mean square of the reprojection errors
    uncertainty: np.ndarray  # (M,) metres, standard deviation of the place
    used: np.ndarray  # (M, V) bool, the views that agree
    noise: float  # pixels, standard deviation of a keypoint with weight 1


def undistorted(cameras: Sequence[Camera], xy: np.ndarray) -> np.ndarray:
    """(..., V, K, 2) pixels of each view -> normalized coordinates X / Z, Y / Z, float64."""
    found = np.full(xy.shape, np.nan)
    for v, camera in enumerate(cameras):
        found[..., v, :, :] = camera.rays(xy[..., v, :, :].astype(np.float64))
    return found


def triangulate_points(
    rig: Rig, at: np.ndarray, weight: np.ndarray, max_error: np.ndarray, noise: float | None = None
) -> Points:
    """Triangulate M points.

    Args:
        rig: the V cameras.
        at: (M, V, 2) normalized coordinates; NaN where a view has none.
        weight: (M, V) 0..1 scores; a view with 0 is left out.
        max_error: (V,) pixels: a view that is farther off does not agree.
        noise: pixels, standard deviation of a keypoint with weight 1; None: the median of these.
    """
    parts = [
        _some(rig, at[i : i + CHUNK], weight[i : i + CHUNK], max_error)
        for i in range(0, len(at), CHUNK)
    ]
    if not parts:
        parts = [_some(rig, at, weight, max_error)]
    world, square, normal, used = (np.concatenate(each) for each in zip(*parts, strict=True))
    free = np.maximum(2 * used.sum(axis=1) - 3, 1)
    known = np.isfinite(world[:, 0])
    if noise is None:
        noise = float(np.sqrt(np.median((square / free)[known]))) if known.any() else 1.0
    variance = (square + PRIOR * noise**2) / (free + PRIOR)
    error, spread = np.full(len(world), np.nan), np.full(len(world), np.nan)
    weights = np.where(used, weight, 0).sum(axis=1)
    error[known] = np.sqrt(square[known] / weights[known])
    spread[known] = np.sqrt(variance[known] * _trace_of_inverse(normal[known]))
    return Points(world, error, spread, used, noise)


Some = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _some(rig: Rig, at: np.ndarray, weight: np.ndarray, max_error: np.ndarray) -> Some:
    """(M, 3) points; (M,) weighted squares of residuals; (M, 3, 3) normal matrices; (M, V) used."""
    there = np.isfinite(at).all(axis=-1) & (weight > 0)
    at = np.where(there[..., None], at, 0.0)
    weight = np.where(there, weight, 0.0)
    enough = there.sum(axis=1) >= 2
    rays = np.concatenate([at, np.ones_like(at[..., :1])], axis=-1)
    rays = (rays.transpose(1, 0, 2) @ rig.rotation).transpose(1, 0, 2)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    used = there & enough[:, None]
    world = _refined(rig, at, weight * used, _nearest(rig, rays, weight * used))
    off = _off(rig, at, world)
    rows = np.flatnonzero(enough & ((off > max_error) & used).any(axis=1))
    if len(rows):
        first, agree = _agreed(rig, at[rows], rays[rows], weight[rows], max_error)
        for _ in range(2):  # a view at the border joins or leaves once
            first = _refined(rig, at[rows], weight[rows] * agree, first)
            agree = (_off(rig, at[rows], first) <= max_error) & there[rows]
            agree &= (agree.sum(axis=1) >= 2)[:, None]
        world[rows] = _refined(rig, at[rows], weight[rows] * agree, first)
        used[rows] = agree
    lost = used.sum(axis=1) < 2
    residual, slope, depth = _residuals(rig, at, world)
    lost |= ((depth < NEAREST) & used).any(axis=1)
    used[lost] = False
    world[lost] = np.nan
    square = (weight * used * (residual**2).sum(axis=-1)).sum(axis=1)
    return world, square, _normal(slope, weight * used), used


def _nearest(rig: Rig, rays: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(M, 3) the places nearest to (M, V, 3) rays."""
    across = np.eye(3) - rays[..., :, None] * rays[..., None, :]
    across *= weight[..., None, None]
    left = across.sum(axis=1)
    right = (across @ rig.centres[:, :, None]).sum(axis=1)[..., 0]
    return _solved(left, right)


def _solved(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(M, 3) solutions of (M, 3, 3) symmetric systems; almost singular ones are held back."""
    size = np.trace(left, axis1=1, axis2=2)[:, None, None]
    left = left + (1e-12 * size + 1e-30) * np.eye(3)
    return np.linalg.solve(left, right[..., None])[..., 0]


def _trace_of_inverse(a: np.ndarray) -> np.ndarray:
    """(M,) of (M, 3, 3) symmetric matrices: the principal minors over the determinant."""
    xx, yy, zz, xy, xz, yz = (
        a[:, i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    )
    first, second, third = yy * zz - yz * yz, xx * zz - xz * xz, xx * yy - xy * xy
    whole = xx * first - xy * (xy * zz - xz * yz) + xz * (xy * yz - xz * yy)
    return (first + second + third) / whole


def _residuals(
    rig: Rig, at: np.ndarray, world: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(M, V, 2) residuals and (M, V, 2, 3) their slopes, pixels; (M, V) depth, metres."""
    seen = (world @ rig.rotation.reshape(-1, 3).T).reshape(len(world), -1, 3) + rig.shift
    depth = seen[..., 2]
    safe = np.where(np.abs(depth) > 1e-6, depth, 1e-6)
    flat = seen[..., :2] / safe[..., None]
    slope = rig.rotation[:, :2] - flat[..., None] * rig.rotation[:, None, 2]
    slope *= (rig.focal / safe[..., None])[..., None]
    return (flat - at) * rig.focal, slope, depth


def _off(rig: Rig, at: np.ndarray, world: np.ndarray) -> np.ndarray:
    """(M, V) reprojection errors, pixels; infinite behind a camera."""
    seen = (world @ rig.rotation.reshape(-1, 3).T).reshape(len(world), -1, 3) + rig.shift
    depth = seen[..., 2]
    safe = np.where(np.abs(depth) > 1e-6, depth, 1e-6)
    x, y = ((seen[..., i] / safe - at[..., i]) * rig.focal[:, i] for i in (0, 1))
    return np.where(depth >= NEAREST, np.sqrt(x * x + y * y), np.inf)


def _normal(slope: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(M, 3, 3) of (M, V, 2, 3) slopes and (M, V) weights."""
    rows = slope.reshape(len(slope), -1, 3)
    weighted = rows * np.repeat(weight, 2, axis=1)[..., None]
    return rows.transpose(0, 2, 1) @ weighted


def _refined(rig: Rig, at: np.ndarray, weight: np.ndarray, world: np.ndarray) -> np.ndarray:
    """(M, 3) points whose weighted squares of residuals are least; unknown ones as they were."""
    rows, world = np.flatnonzero((weight > 0).sum(axis=1) >= 2), world.copy()
    for _ in range(STEPS):
        if not len(rows):
            break
        if len(rows) == len(at):
            here, much, place = at, weight, world
        else:
            here, much, place = at[rows], weight[rows], world[rows]
        residual, slope, _ = _residuals(rig, here, place)
        weighted = (residual * much[..., None]).reshape(len(slope), 1, -1)
        pull = (weighted @ slope.reshape(len(slope), -1, 3))[:, 0]
        step = _solved(_normal(slope, much), pull)
        size = np.linalg.norm(step, axis=1, keepdims=True)
        step *= np.minimum(1.0, 1.0 / np.maximum(size, 1e-12))  # a metre at most
        world[rows] = place - step
        rows = rows[size[:, 0] > SETTLED]
    return world


def _agreed(
    rig: Rig, at: np.ndarray, rays: np.ndarray, weight: np.ndarray, max_error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(M, 3) points that most of the score agrees with, and (M, V) which views agree."""
    there = weight > 0
    best, world = np.full(len(at), -np.inf), np.zeros((len(at), 3))
    agree = np.zeros(there.shape, bool)
    for u, v in combinations(range(len(rig)), 2):
        both = there[:, u] & there[:, v]
        across = (rays[:, u] * rays[:, v]).sum(axis=-1)
        rows = np.flatnonzero(both & (np.abs(across) < np.cos(LEAST_ANGLE)))
        if not len(rows):
            continue
        pair = np.zeros((len(rows), len(rig)))
        pair[:, u], pair[:, v] = weight[rows, u], weight[rows, v]
        found = _refined(rig, at[rows], pair, _nearest(rig, rays[rows], pair))
        off = _off(rig, at[rows], found)
        near = (off <= max_error) & there[rows]
        gain = (weight[rows] * near * (1 - 0.5 * (off / max_error).clip(0, 1) ** 2)).sum(axis=1)
        gain[near.sum(axis=1) < 2] = -np.inf
        better = gain > best[rows]
        chosen = rows[better]
        best[chosen], world[chosen], agree[chosen] = gain[better], found[better], near[better]
    return world, agree
