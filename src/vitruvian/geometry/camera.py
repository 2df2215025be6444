"""Camera model: projection from metres to pixels and back, position (extrinsics), lens distortion.

Axes are x right, y down, z forward. Pixels are the frame's: the centre of the top left one is
(0.5, 0.5), also for the principal point. Calibration files use (0, 0); their readers
(`geometry/calibration.py`) convert it.

Lens distortion is in `geometry/lens.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.geometry import lens

FILM_DIAGONAL_MM = np.hypot(36, 24)  # of 35 mm film; CIPA DCG-001 compares diagonals
UP = (0.0, -1.0, 0.0)  # of a camera held upright, and MeTRAbs' default for the world
COEFFICIENTS = 12  # of the lens: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4
_NEWTON = 60  # maximum iterations; a real lens needs four
_SETTLED = 1e-13  # normalised: 1e-9 px at a focal length of 10 000
SHAPES_DIFFER = 0.01  # of one image and another: of the ratio of their sides
ASSUMED_DEG = 55.0  # field of view of an unknown camera; MeTRAbs' default
# How a camera is known: by its parameters, a calibration file, its field of view, its focal
# length, EXIF data; or assumed.
KnownBy = Literal["numbers", "file", "fov", "focal", "exif", "assumed"]


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics, lens distortion and extrinsics of a camera."""

    matrix: np.ndarray  # (3, 3) float64 pixels: fx skew cx, 0 fy cy, 0 0 1
    size: tuple[int, int]  # width and height of its images, pixels
    # (12,) float64: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4; fewer may be given, the others are 0
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(COEFFICIENTS))
    extrinsics: np.ndarray | None = None  # (4, 4) float64, world -> camera, metres
    up: np.ndarray = field(default_factory=lambda: np.array(UP))  # (3,) up vector in camera axes
    known_by: KnownBy = "numbers"

    def __post_init__(self) -> None:
        given = np.asarray(self.distortion, np.float64).ravel()
        if len(given) > COEFFICIENTS and not given[COEFFICIENTS:].any():
            given = given[:COEFFICIENTS]
        if len(given) > COEFFICIENTS:
            raise VitruvianError(
                f"a camera has {len(given)} distortion coefficients, want at most {COEFFICIENTS}: "
                "k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4; calibrate without the tilted model"
            )
        whole = np.zeros(COEFFICIENTS)
        whole[: len(given)] = given
        values = {"matrix": ((3, 3), self.matrix), "up": ((3,), self.up)}
        values["distortion"] = ((COEFFICIENTS,), whole)
        if self.extrinsics is not None:
            values["extrinsics"] = ((4, 4), self.extrinsics)
        for name, (shape, value) in values.items():
            array = np.asarray(value, np.float64)
            if array.shape != shape or not np.isfinite(array).all():
                raise VitruvianError(
                    f"a camera's {name} is {array.shape} {array.ravel().tolist()}, "
                    f"want {shape} finite numbers"
                )
            object.__setattr__(self, name, array)
        if not (self.matrix[0, 0] > 0 and self.matrix[1, 1] > 0 and min(self.size) > 0):
            raise VitruvianError(
                f"a camera has focal lengths {self.matrix[0, 0]:g} and {self.matrix[1, 1]:g} and "
                f"images of {self.size[0]} x {self.size[1]} pixels; all must be above 0"
            )
        if self.matrix[1, 0] or self.matrix[2].tolist() != [0, 0, 1]:
            raise VitruvianError(
                f"a camera's matrix is {self.matrix.tolist()}, want fx skew cx, 0 fy cy, 0 0 1"
            )
        if self.extrinsics is not None:
            turned = self.extrinsics[:3, :3]
            if np.abs(turned @ turned.T - np.eye(3)).max() > 1e-3:
                raise VitruvianError(
                    f"a camera's extrinsics are {self.extrinsics.tolist()}, want a rotation and a "
                    "translation in metres, world -> camera"
                )

    # Constructors

    @classmethod
    def view(cls, size: tuple[int, int], view_deg: float | None = None) -> Camera:
        """A camera from its field of view along the longer side of the image.

        None: 55 degrees, the default for unknown cameras.

        Raises:
            VitruvianError: not between 0 and 180 degrees.
        """
        known_by: KnownBy = "assumed" if view_deg is None else "fov"
        view_deg = ASSUMED_DEG if view_deg is None else view_deg
        if not 0 < view_deg < 180:
            raise VitruvianError(
                f"a field of view of {view_deg:g} degrees is out of range; want one between "
                "0 and 180"
            )
        focal = max(size) / 2 / float(np.tan(np.radians(view_deg) / 2))
        return cls.with_focal(size, focal, known_by)

    @classmethod
    def with_focal(cls, size: tuple[int, int], focal: float, known_by: KnownBy = "focal") -> Camera:
        """A camera from its focal length in pixels; the principal point is the image centre."""
        matrix = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
        return cls(matrix, size, known_by=known_by)

    @classmethod
    def with_film_focal(cls, size: tuple[int, int], focal_mm: float) -> Camera:
        """A camera from its 35 mm equivalent focal length, by the diagonal field of view."""
        return cls.with_focal(size, focal_mm * float(np.hypot(*size) / FILM_DIAGONAL_MM))

    @classmethod
    def from_exif(cls, path: str | Path) -> Camera | None:
        """The camera from the EXIF data of an image file; None if it has none.

        See `vitruvian.geometry.calibration.exif`.
        """
        from vitruvian.geometry import calibration

        return calibration.exif(Path(path))

    @classmethod
    def read(
        cls, path: str | Path, name: str | None = None, size: tuple[int, int] | None = None
    ) -> Camera:
        """A camera from a calibration file; see `vitruvian.geometry.calibration_files.read`.

        Args:
            path: of OpenCV, ROS, Kalibr, EasyMocap, Pose2Sim or anipose; "rig.toml:left" is the
                camera of that name in the file.
            name: which, if there are several in the file.
            size: width and height of the images, pixels, for files without them.
        """
        from vitruvian.geometry import calibration, calibration_files

        if name is None:
            path, name = calibration.split(str(path))
        return calibration.choose(calibration_files.read(Path(path), size), name, str(path))

    def placed(self, extrinsics: np.ndarray, world_up: Sequence[float] = UP) -> Camera:
        """The same camera with extrinsics.

        Args:
            extrinsics: (4, 4) world -> camera, metres.
            world_up: (3,) up vector of the world.
        """
        up = np.asarray(extrinsics, np.float64)[:3, :3] @ np.asarray(world_up, np.float64)
        return replace(self, extrinsics=extrinsics, up=up)

    def scaled(self, size: tuple[int, int]) -> Camera:
        """The same camera for images resized to another resolution.

        Raises:
            VitruvianError: that size has another aspect ratio.
        """
        if size == self.size:
            return self
        x, y = size[0] / self.size[0], size[1] / self.size[1]
        if abs(np.log(x / y)) > SHAPES_DIFFER:
            raise VitruvianError(
                f"the camera is calibrated for {self.size[0]} x {self.size[1]} pixels, the image "
                f"has {size[0]} x {size[1]}, another aspect ratio; calibrate for this size"
            )
        return self.stretched(size)

    def stretched(self, size: tuple[int, int]) -> Camera:
        """The same camera for images resized independently in width and height."""
        x, y = size[0] / self.size[0], size[1] / self.size[1]
        return replace(self, matrix=np.diag([x, y, 1]) @ self.matrix, size=size)

    @property
    def distorted(self) -> bool:
        """Whether there is any lens distortion."""
        return bool(self.distortion.any())

    # Between metres and pixels

    def project(self, xyz: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of (..., 3) metres, of the same type.

        NaN behind the camera, and beyond the validity of the distortion model, which would fold
        such points back into the image (see `reach`).
        """
        depth = np.where(xyz[..., 2:] > 0, xyz[..., 2:], np.nan).astype(np.float64)
        return self._pixels(self._bend(xyz[..., :2] / depth)).astype(xyz.dtype)

    def rays(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) pixels -> (..., 2) viewing rays X / Z and Y / Z, of the same type.

        NaN where the distortion model has no inverse: at the edges of strongly distorted images.
        """
        return self._unbend(self._plane(xy)).astype(xy.dtype)

    def back_project(self, xy: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(..., 3) metres of (..., 2) pixels at a depth of (...) metres."""
        rays = self._unbend(self._plane(xy))
        whole = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1)
        return (whole * np.asarray(depth)[..., None]).astype(xy.dtype)

    def undistort(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) distorted -> (..., 2) undistorted pixels; NaN as in `rays`."""
        return self._pixels(self._unbend(self._plane(xy))).astype(xy.dtype)

    def distort(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) undistorted -> (..., 2) distorted pixels; NaN as in `project`."""
        return self._pixels(self._bend(self._plane(xy))).astype(xy.dtype)

    def to_world(self, xyz: np.ndarray) -> np.ndarray:
        """(..., 3) metres, camera -> world coordinates, of the same type."""
        inverse = np.linalg.inv(self._world())
        return (xyz @ inverse[:3, :3].T + inverse[:3, 3]).astype(xyz.dtype)

    def from_world(self, xyz: np.ndarray) -> np.ndarray:
        """(..., 3) metres, world -> camera coordinates, of the same type."""
        matrix = self._world()
        return (xyz @ matrix[:3, :3].T + matrix[:3, 3]).astype(xyz.dtype)

    @cached_property
    def centre(self) -> np.ndarray:
        """(3,) metres, world coordinates of the camera itself."""
        return self.to_world(np.zeros(3))

    @cached_property
    def level(self) -> np.ndarray:
        """(3, 3) smallest rotation from the axes of the world to upright ones, with y down."""
        up = self._world()[:3, :3].T @ self.up
        up = up / np.linalg.norm(up)
        axis = np.cross(up, UP)
        sine, cosine = float(np.linalg.norm(axis)), float(up @ UP)
        if sine < 1e-9:
            return np.eye(3) if cosine > 0 else np.diag([1.0, -1.0, -1.0])
        return rotation_matrix(axis / sine * np.arctan2(sine, cosine))

    def _world(self) -> np.ndarray:
        if self.extrinsics is None:
            raise VitruvianError(
                "the position of this camera is unknown; use a calibration file with its rotation "
                "and translation, or Camera.placed"
            )
        return self.extrinsics

    # Rotated cameras

    def turn(self, rotation: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> Camera:
        """A rotated pinhole camera (no distortion) at the same position.

        Args:
            rotation: (3, 3) from this camera's axes to the new one's; it may mirror.
            matrix: (3, 3) the new intrinsics.
            size: width and height of its images, pixels.
        """
        extrinsics = self.extrinsics
        if extrinsics is not None:
            turned = np.eye(4)
            turned[:3, :3] = rotation
            extrinsics = turned @ extrinsics
        up = rotation @ self.up
        return Camera(matrix, size, extrinsics=extrinsics, up=up, known_by=self.known_by)

    def upright(self, rays: np.ndarray) -> np.ndarray:
        """(..., 3, 3) rotations to upright cameras whose optical axes are (..., 2) rays.

        Its rows are the new axes: z along the ray, x = z times up, y = z times x.
        """
        z = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1).astype(np.float64)
        z /= np.linalg.norm(z, axis=-1, keepdims=True)
        x = np.cross(z, self.up)
        level = np.stack([z[..., 2], np.zeros_like(z[..., 0]), -z[..., 0]], axis=-1)
        # Straight up or down, up is undefined: use the camera's own axes.
        x = np.where(np.linalg.norm(x, axis=-1, keepdims=True) > 1e-9, x, level)
        x /= np.linalg.norm(x, axis=-1, keepdims=True)
        return np.stack([x, np.cross(z, x), z], axis=-2)

    def look_at(
        self,
        box: np.ndarray,
        side: int,
        *,
        roll: float = 0.0,
        scale: float = 1.0,
        mirror: bool = False,
        axis: float | None = None,
    ) -> tuple[np.ndarray, Camera]:
        """An upright camera rotated to a bounding box, whose square image the box just fills.

        Args:
            box: (4,) x0 y0 x1 y1, pixels.
            side: of the square, pixels.
            roll: radians, clockwise roll of the camera; the person appears rolled the other way.
            scale: zoom: 1.1 shows the person 10% larger.
            mirror: flip left and right, after the roll.
            axis: principal point of the new camera, pixels, the same for x and y; by default the
                centre. MeTRAbs: the centre of pixel side / 2, here side / 2 + 0.5.

        Returns:
            rotation: (3, 3) from this camera's axes to the new one's.
            camera: the new one.

        Source: specs/metrabs.md, 5.3 and 5.4.
        """
        x0, y0, x1, y1 = np.asarray(box, np.float64)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        if self.distorted:  # where the distortion model is valid
            x0, x, x1 = np.clip([x0, x, x1], 0, self.size[0])
            y0, y, y1 = np.clip([y0, y, y1], 0, self.size[1])
        rays = self.rays(np.array([(x, y), (x, y0), (x, y1), (x0, y), (x1, y)]))
        if np.isnan(rays).any():
            raise VitruvianError(
                "the camera's distortion cannot be inverted at the bounding box "
                f"{np.round(box, 1).tolist()}; calibrate with points near the image edges"
            )
        rotation = self.upright(rays[0])
        seen = rays @ rotation[:, :2].T + rotation[:, 2]
        flat = seen[:, :2] / seen[:, 2:] @ self.matrix[:2, :2].T
        extent = max(np.linalg.norm(flat[1] - flat[2]), np.linalg.norm(flat[3] - flat[4]))
        matrix = np.eye(3)
        matrix[:2, :2] = self.matrix[:2, :2] * (side / max(extent, 1e-6) * scale)
        matrix[:2, 2] = side / 2 if axis is None else axis
        cos, sin = np.cos(roll), np.sin(roll)
        rotation = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) @ rotation
        if mirror:
            rotation = np.diag([-1.0, 1, 1]) @ rotation
        return rotation, self.turn(rotation, matrix, (side, side))

    # The lens

    @cached_property
    def reach(self) -> float:
        """Radius within which the distortion can be inverted, see `geometry/lens.py`."""
        return lens.reach(self.distortion)

    def _bend(self, at: np.ndarray) -> np.ndarray:
        if not self.distorted:
            return at
        inside = np.linalg.norm(at, axis=-1, keepdims=True) <= self.reach
        at = np.where(inside, at, np.nan)
        return lens.bend(self.distortion, at)

    def _unbend(self, at: np.ndarray) -> np.ndarray:
        """Invert the distortion by Newton's method from the distorted point, within `reach`.

        It starts inside for barrel and outside for pincushion distortion, and so converges to the
        first solution, never to one beyond the fold.
        """
        if not self.distorted:
            return at
        found = np.where(np.isfinite(at), at, 0.0)
        wanted, off = found, np.zeros(found.shape[:-1])
        for _ in range(_NEWTON):
            radius = np.linalg.norm(found, axis=-1, keepdims=True)
            found = found * np.minimum(1, self.reach / np.maximum(radius, 1e-12))
            missing = wanted - lens.bend(self.distortion, found)
            off = np.abs(missing).max(axis=-1)
            if not (off > _SETTLED).any():
                break
            (xx, xy), (yx, yy) = np.moveaxis(lens.slope(self.distortion, found), (-2, -1), (0, 1))
            step = yy * missing[..., 0] - xy * missing[..., 1]
            step = np.stack([step, xx * missing[..., 1] - yx * missing[..., 0]], axis=-1)
            found = found + step / (xx * yy - xy * yx)[..., None]
        known = np.isfinite(at).all(axis=-1) & (off < 1e-10)
        return np.where(known[..., None], found, np.nan)

    def _plane(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) pixels -> (..., 2) normalized coordinates, still distorted."""
        inverse = np.linalg.inv(self.matrix)
        return xy @ inverse[:2, :2].T + inverse[:2, 2]

    def _pixels(self, at: np.ndarray) -> np.ndarray:
        """The inverse of `_plane`."""
        return at @ self.matrix[:2, :2].T + self.matrix[:2, 2]


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """(3, 3) the rotation about a (3,) vector by its length, radians. Source: Rodrigues 1840."""
    angle = float(np.linalg.norm(vector))
    if angle == 0:
        return np.eye(3)
    x, y, z = np.asarray(vector, np.float64) / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """(3,) the axis of a (3, 3) rotation, as long as its angle in radians, 0 to pi."""
    turned = np.asarray(matrix, np.float64)
    # Of the quaternion, by its largest part.
    # Source: Markley 2008, "Unit quaternion from rotation matrix".
    trace = np.trace(turned)
    parts = np.array([trace, *np.diag(turned)])
    i = int(parts.argmax())
    skew = np.array(
        [turned[2, 1] - turned[1, 2], turned[0, 2] - turned[2, 0], turned[1, 0] - turned[0, 1]]
    )
    if i == 0:
        real, vector = 1 + trace, skew
    else:
        a = i - 1
        vector = turned[a] + turned[:, a]
        vector[a] = 1 + 2 * turned[a, a] - trace
        real = skew[a]
    size = float(np.linalg.norm(vector))
    if size < 1e-12:
        return np.zeros(3)
    angle = 2 * np.arctan2(size, real)
    if angle > np.pi:
        angle -= 2 * np.pi
    return vector / size * angle
