"""Bundle adjustment: cameras, points and bone lengths that fit the observed pixels best.

The first camera is the origin, and the distance of the second one stays. Large residuals count less
(soft L1), so that a wrong keypoint does not decide.

Source: Triggs et al. 2000, "Bundle adjustment: a modern synthesis".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from vitruvian.geometry.camera import rotation_matrix

BONE = 0.1  # standard deviation of the logarithm of a bone's length: models move their joints
FOCAL = 0.3  # the same of a focal length that is estimated, against the first guess
STEPS = 40
KEPT = 1e4  # weight of the distance that stays
LARGE = 2.0  # standard deviations from which a residual counts less
SETTLED = 1e-5  # of the cost: a step that gains less is the last
NEAREST = 1e-3  # depth of a point that got behind a camera


@dataclass(frozen=True, eq=False)
class Bundle:
    """V cameras and P points, and what was seen of them; the first camera is the origin."""

    rotation: np.ndarray  # (V, 3, 3) first camera -> camera
    shift: np.ndarray  # (V, 3) of the same
    zoom: np.ndarray  # (V,) focal length / assumed focal length
    focal: np.ndarray  # (V, 2) pixels, assumed
    points: np.ndarray  # (P, 3)
    camera: np.ndarray  # (M,) of each observation
    point: np.ndarray  # (M,) the same
    at: np.ndarray  # (M, 2) normalized coordinates, with the assumed focal length
    weight: np.ndarray  # (M,) 0..1
    bones: np.ndarray  # (B, 3) first and last point, and the number of its length
    noise: float = 2.0  # pixels, standard deviation of an observation of weight 1

    def residuals(self) -> np.ndarray:
        """(M, 2) pixels."""
        seen = self.seen()
        flat = seen[:, :2] / np.maximum(seen[:, 2:], NEAREST)
        return (flat * self.zoom[self.camera, None] - self.at) * self.focal[self.camera]

    def seen(self) -> np.ndarray:
        """(M, 3) the points of the observations, from their cameras."""
        turned = self.rotation[self.camera] @ self.points[self.point][:, :, None]
        return turned[..., 0] + self.shift[self.camera]


@dataclass(frozen=True, eq=False)
class Adjusted:
    """The result of a bundle adjustment; standard deviations are from geometry and noise."""

    bundle: Bundle
    cost: float
    lengths: np.ndarray  # (L,) of the bones
    turn: np.ndarray  # (V,) radians, standard deviation of the rotation
    place: np.ndarray  # (V,) the same of the position
    zoom: np.ndarray  # (V,) the same of the zoom


class _Problem:
    """Parameters, residuals and their slopes.

    Parameters: rotation vector and shift of each camera but the first; logarithms of the zooms, if
    they are wanted; points; logarithms of the lengths.
    """

    def __init__(self, start: Bundle, zooms: bool) -> None:
        self.start = start
        self.v = len(start.shift)
        bones = start.bones if len(start.bones) else np.zeros((0, 3), int)
        self.first, self.last, self.which = bones.T
        lengths = int(self.which.max()) + 1 if len(bones) else 0
        self.zooms = self.v if zooms else 0
        self.at_zoom = 6 * (self.v - 1)
        self.at_point = self.at_zoom + self.zooms
        self.at_length = self.at_point + 3 * len(start.points)
        self.size = self.at_length + lengths
        self.root = np.sqrt(start.weight) / start.noise
        self.kept = float(np.linalg.norm(start.shift[1]))
        x = np.zeros(self.size)
        x[: self.at_zoom].reshape(-1, 6)[:, 3:] = start.shift[1:]
        x[self.at_point : self.at_length] = start.points.ravel()
        log = np.log(np.maximum(np.linalg.norm(self.lines(x), axis=1), 1e-9))
        x[self.at_length :] = [np.median(log[self.which == n]) for n in range(lengths)]
        self.x = x

    def lines(self, x: np.ndarray) -> np.ndarray:
        """(B, 3) from one end of each bone to the other."""
        points = x[self.at_point : self.at_length].reshape(-1, 3)
        return points[self.last] - points[self.first]

    def bundle(self, x: np.ndarray) -> Bundle:
        pose, rotation = x[: self.at_zoom].reshape(-1, 6), self.start.rotation
        turned = [rotation_matrix(w) @ r for w, r in zip(pose[:, :3], rotation[1:], strict=True)]
        zoom = self.start.zoom.copy()
        if self.zooms:
            zoom *= np.exp(x[self.at_zoom : self.at_point])
        return replace(
            self.start,
            rotation=np.stack([rotation[0], *turned]),
            shift=np.concatenate([self.start.shift[:1], pose[:, 3:]]),
            zoom=zoom,
            points=x[self.at_point : self.at_length].reshape(-1, 3),
        )

    def residuals(self, x: np.ndarray) -> np.ndarray:
        pixels = self.bundle(x).residuals() * self.root[:, None]
        far = np.maximum(np.linalg.norm(self.lines(x), axis=1), 1e-9)
        bones = (np.log(far) - x[self.at_length :][self.which]) / BONE
        kept = KEPT * np.log(np.linalg.norm(x[3:6]) / self.kept)
        prior = x[self.at_zoom : self.at_point] / FOCAL
        return np.concatenate([pixels.ravel(), bones, [kept], prior])

    def slopes(self, x: np.ndarray) -> Any:
        bundle = self.bundle(x)
        m, camera = len(bundle.camera), bundle.camera
        seen = bundle.seen()
        depth = np.maximum(seen[:, 2], NEAREST)
        flat = seen[:, :2] / depth[:, None]
        scale = bundle.focal[camera] * self.root[:, None]
        steep = np.zeros((m, 2, 3))  # residuals against the place in the camera
        steep[:, 0, 0] = steep[:, 1, 1] = 1
        steep[:, :, 2] = -flat
        steep *= (bundle.zoom[camera] / depth)[:, None, None] * scale[:, :, None]
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # rows, columns, values

        def add(some: np.ndarray, column: np.ndarray, what: np.ndarray) -> None:
            """(S, 2, C) slopes of some observations, in C columns from (S,) `column` on."""
            row = 2 * some[:, None, None] + np.arange(2)[:, None]
            whole = column[:, None, None] + np.arange(what.shape[2])
            rows, columns = (np.broadcast_to(each, what.shape).ravel() for each in (row, whole))
            parts.append((rows, columns, what.ravel()))

        every, moving = np.arange(m), np.flatnonzero(camera > 0)
        add(every, self.at_point + 3 * bundle.point, steep @ bundle.rotation[camera])
        number = camera[moving] - 1
        spins = [_left_jacobian(w) for w in x[: self.at_zoom].reshape(-1, 6)[:, :3]]
        turned = _cross(seen[moving] - bundle.shift[camera[moving]])
        add(moving, 6 * number, -steep[moving] @ turned @ np.stack(spins)[number])
        add(moving, 6 * number + 3, steep[moving])
        if self.zooms:
            zoomed = flat * bundle.zoom[camera, None] * scale
            add(every, self.at_zoom + camera, zoomed[..., None])
        line = self.lines(x)
        unit = line / np.maximum((line**2).sum(axis=1, keepdims=True), 1e-12) / BONE
        row = 2 * m + np.arange(len(line))
        for ends, sign in ((self.last, 1.0), (self.first, -1.0)):
            column = self.at_point + 3 * ends[:, None] + np.arange(3)
            parts.append((np.repeat(row, 3), column.ravel(), (sign * unit).ravel()))
        parts.append((row, self.at_length + self.which, np.full(len(line), -1 / BONE)))
        base = 2 * m + len(line)
        kept = KEPT * x[3:6] / (x[3:6] @ x[3:6])
        parts.append((np.full(3, base), np.arange(3, 6), kept))
        some = np.arange(self.zooms)
        parts.append((base + 1 + some, self.at_zoom + some, np.full(self.zooms, 1 / FOCAL)))
        rows, columns, values = (np.concatenate(each) for each in zip(*parts, strict=True))
        shape = base + 1 + self.zooms, self.size
        return sparse.csr_matrix((values, (rows, columns)), shape)


def adjusted(start: Bundle, *, zooms: bool = False, steps: int = STEPS) -> Adjusted:
    """Fit cameras and points: Levenberg-Marquardt with sparse normal equations.

    `scipy.optimize.least_squares` solves sparse steps by LSMR only, which stops far from the
    minimum of such problems.

    Args:
        start: the first guess.
        zooms: estimate focal lengths, too.
        steps: at most.
    """
    problem = _Problem(start, zooms)
    x, damping = problem.x, 1e-4
    residual = problem.residuals(x)
    cost = _cost(residual)
    for _ in range(steps):
        slopes, weight = problem.slopes(x), _trust(residual)
        weighted = sparse.diags(weight) @ slopes
        normal, pull = (slopes.T @ weighted).tocsc(), weighted.T @ residual
        diagonal = sparse.diags(np.maximum(normal.diagonal(), 1e-9))
        before = cost
        for _ in range(8):
            step = _solved(normal + damping * diagonal, pull, problem.at_point)
            tried = problem.residuals(x - step)
            if _cost(tried) < cost:
                x, residual, cost, damping = x - step, tried, _cost(tried), damping / 10
                break
            damping *= 10
        if before - cost < SETTLED * before:
            break
    lengths = np.exp(x[problem.at_length :])
    return Adjusted(problem.bundle(x), cost, lengths, *_spread(problem, x, residual))


def _solved(normal: Any, right: np.ndarray, last: int) -> np.ndarray:
    """Solve the symmetric system; the first `last` unknowns, which all points need, come last."""
    order = np.roll(np.arange(len(right)), -last)
    normal = normal.tocsc()[order][:, order]
    how = {"permc_spec": "NATURAL", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    solved = np.empty_like(right)
    solved[order] = splu(normal, **how).solve(right[order])
    return solved


def _cost(residual: np.ndarray) -> float:
    return float(2 * (np.sqrt(1 + (residual / LARGE) ** 2) - 1).sum()) * LARGE**2


def _trust(residual: np.ndarray) -> np.ndarray:
    """Weights of residuals: 1 if they are small, less if they are large (soft L1)."""
    return 1 / np.sqrt(1 + (residual / LARGE) ** 2)


def _spread(
    problem: _Problem, x: np.ndarray, residual: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(V,) standard deviations of rotations, positions and zooms."""
    slopes = problem.slopes(x)
    weighted = sparse.diags(_trust(residual)) @ slopes
    normal = (slopes.T @ weighted).tocsc() + 1e-12 * sparse.eye(problem.size, format="csc")
    count = problem.at_point
    wanted = np.zeros((problem.size, count))
    wanted[:count] = np.eye(count)
    covariance = _solved(normal, wanted, count)[:count]
    bundle = problem.bundle(x)
    turn, place, zoom = np.zeros(problem.v), np.zeros(problem.v), np.zeros(problem.v)
    for i in range(1, problem.v):
        at = slice(6 * i - 6, 6 * i)
        part = covariance[at, at]
        turn[i] = np.sqrt(np.trace(part[:3, :3]))
        # c = -R^T t: against a small turn w, R^T [t]x w.
        across = np.hstack([_cross(bundle.shift[i][None])[0], -np.eye(3)])
        across = bundle.rotation[i].T @ across
        place[i] = np.sqrt(np.trace(across @ part @ across.T))
    if problem.zooms:
        zoom = np.sqrt(np.diag(covariance)[problem.at_zoom :])
    return turn, place, zoom


def _cross(vector: np.ndarray) -> np.ndarray:
    """(S, 3, 3) matrices that take the cross product with (S, 3) vectors."""
    x, y, z = vector.T
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.moveaxis(np.array(rows), -1, 0)


def _left_jacobian(vector: np.ndarray) -> np.ndarray:
    """(3, 3) small turn of the rotated, against a change of the (3,) rotation vector.

    Source: Barfoot 2017, "State estimation for robotics", 7.77.
    """
    angle = float(np.linalg.norm(vector))
    turn = _cross(vector[None])[0]
    if angle < 1e-6:
        return np.eye(3) + turn / 2
    cosine, sine = (1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    return np.eye(3) + cosine * turn + sine * turn @ turn
