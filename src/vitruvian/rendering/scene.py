"""The content of a 3D view: bodies over time in metres, the floor, the camera.

Axes: right, away from the camera along the floor, and up. They are the axes of the poses (x right,
y down, z away) or of the world, rotated so that up is vertical for a tilted camera too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera

FEET = {"ankle", "heel", "foot", "toe"}  # words in joint names
STRAY = 0.01  # share of bodies at either end that may be out of view: outliers
SIDE_BY_SIDE = 0.3  # metres between bodies of unknown position


@dataclass(frozen=True, eq=False)
class SceneFrame:
    """The people of one frame."""

    index: int
    seconds: float
    person: np.ndarray  # (N,) as in Poses
    xyz: np.ndarray  # (N, K, 3) float32 metres, the axes of the scene
    score: np.ndarray  # (N, K) 0..1
    counts: np.ndarray  # (N,) bool, whether the pose is plausible
    place: np.ndarray  # (N,) int, slot in the side-by-side row; 0 if the position is known

    def name(self, row: int) -> str:
        """The person id; without one, the row, from 1."""
        return str(self.person[row] if self.person[row] >= 0 else row + 1)


@dataclass
class Scene:
    """People over time. Add all frames before reading other attributes."""

    visible: float  # 0..1, confidence threshold of a joint
    moments: list[SceneFrame] = field(default_factory=list)
    source: str = ""

    def add(self, frame: Frame, poses: Poses) -> None:
        """Add the poses of one frame.

        Raises:
            VitruvianError: they are in pixels only.
        """
        if not any(len(moment.person) for moment in self.moments):
            self._begin(frame, poses)  # empty poses may lack the space: set it again
        xyz = poses.world if self.space == "world" and len(poses) else poses.xyz
        if xyz is None:
            raise VitruvianError(
                f"nothing to show in 3D: frame {frame.index} of '{frame.source}' has 2D keypoints "
                "only; choose a 3D model, such as blazepose-full"
            )
        n = len(poses)
        counts = np.ones(n, bool) if poses.plausible is None else poses.plausible
        place = self._places(poses) if self.space == "hips" else np.zeros(n, np.int64)
        score = np.nan_to_num(poses.score)
        moment = SceneFrame(frame.index, frame.seconds, poses.person, xyz, score, counts, place)
        self.moments.append(moment)

    def _begin(self, frame: Frame, poses: Poses) -> None:
        self.source, self.skeleton = frame.source, poses.skeleton
        self.space = "world" if poses.world is not None else poses.origin
        self.pictured = all(frame.size)  # marker files have no image
        size = frame.size if self.pictured else (1, 1)
        self.camera = (frame.camera or Camera.view(size)).scaled(size)

    def _places(self, poses: Poses) -> np.ndarray:
        """(N,) slots: people keep theirs, new ones get free slots from left to right."""
        held: dict[int, int] = {}
        for last in self.moments[-1:]:
            held = dict(zip(last.person.tolist(), last.place.tolist(), strict=True))
        place = np.array([held.get(p, -1) if p >= 0 else -1 for p in poses.person.tolist()], int)
        free = iter(sorted(set(range(len(poses) + len(held))) - set(place.tolist())))
        middle = (poses.box[:, 0] + poses.box[:, 2]) / 2
        for row in np.argsort(middle, kind="stable"):
            if place[row] < 0:
                place[row] = next(free)
        return place

    # Geometry

    @cached_property
    def axes(self) -> np.ndarray:
        """(3, 3) float64: right, away and up, in the axes of `SceneFrame.xyz`."""
        up = self.camera.up / np.linalg.norm(self.camera.up)
        right = self.camera.upright(np.zeros(2))[0]  # horizontal, whichever way the camera looks
        right = right - up * (right @ up)
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(up, right), up])
        if self.space == "world" and self.camera.extrinsics is not None:
            axes = axes @ self.camera.extrinsics[:3, :3]
        return axes

    @cached_property
    def spacing(self) -> float:
        """Metres between slots, where bodies are shown side by side."""
        right = self._all(lambda moment: moment.xyz @ self.axes[0])
        if not len(right):
            return 0.0
        wide = np.nanmax(right, axis=1) - np.nanmin(right, axis=1)
        return float(np.quantile(wide, 1 - STRAY, method="higher")) + SIDE_BY_SIDE

    @cached_property
    def places(self) -> int:
        """Maximum number of bodies side by side."""
        return max((int(m.place.max()) + 1 for m in self.moments if len(m.place)), default=1)

    def stand(self, moment: SceneFrame) -> np.ndarray:
        """(N, K, 3) right, away and up, metres; side by side if positions are unknown."""
        standing = moment.xyz @ self.axes.T
        if self.space == "hips":
            shift = (moment.place - (self.places - 1) / 2) * self.spacing
            standing[..., 0] += shift[:, None]
        return standing

    @cached_property
    def floor(self) -> float:
        """Height of the floor, metres along up: the lowest feet.

        Visible feet of plausible poses, if there are any. The lowest 1 % of bodies may be below it:
        wrong detections.
        """
        feet = [k for k, name in enumerate(self.skeleton.keypoints) if FEET & {*name.split("_")}]
        feet = feet or list(range(len(self.skeleton)))
        height = self._all(lambda moment: (moment.xyz @ self.axes[2])[:, feet])
        seen = self._all(lambda moment: moment.score[:, feet] >= self.visible)
        height = np.where(np.isfinite(height), height, np.inf)
        for each in (np.where(seen, height, np.inf), height):
            lowest = each.min(axis=1, initial=np.inf)
            if np.isfinite(lowest).any():
                lowest = lowest[np.isfinite(lowest)]
                return float(np.quantile(lowest, STRAY, method="lower"))
        return -1.0

    @cached_property
    def frustum(self) -> np.ndarray | None:
        """(5, 3) right, away and up, metres: the camera centre and the image corners.

        Corners: top left, top right, bottom right, bottom left, at a quarter of the median depth of
        people. None if the camera's pose is unknown.
        """
        camera, located = self.camera, self.camera.extrinsics is not None
        if self.space == "hips" or (self.space == "world" and not located) or not self.pictured:
            return None
        w, h = camera.size
        corners = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float64)
        rays = camera.rays(corners)
        if np.isnan(rays).any():  # the lens does not cover the corners
            rays = replace(camera, distortion=np.zeros(0)).rays(corners)
        points = np.zeros((5, 3))
        points[1:] = np.concatenate([rays, np.ones((4, 1))], axis=1)
        if self.space == "world":
            middles = self._all(lambda moment: camera.from_world(moment.xyz)[..., 2])
        else:
            middles = self._all(lambda moment: moment.xyz[..., 2])
        far = float(np.median(np.nanmedian(middles, axis=1))) if len(middles) else 1.0
        points *= max(far, 0.4) / 4
        if self.space == "world":
            points = camera.to_world(points)
        return points @ self.axes.T

    @cached_property
    def bounds(self) -> np.ndarray:
        """(2, 3) minimum and maximum right, away and up, metres, of the view."""
        bodies = self._all(self.stand)
        if len(bodies):
            low, high = np.nanmin(bodies, axis=1), np.nanmax(bodies, axis=1)
            low = np.quantile(low, STRAY, axis=0, method="lower")
            shown = [low, np.quantile(high, 1 - STRAY, axis=0, method="higher")]
        else:
            shown = [np.array([-0.5, -0.5, self.floor]), np.array([0.5, 0.5, self.floor + 1])]
        whole = np.concatenate([shown, *([] if self.frustum is None else [self.frustum])])
        low, high = whole.min(axis=0), whole.max(axis=0)
        return np.stack([np.minimum(low, (np.inf, np.inf, self.floor)), high])

    def _all(self, of: Callable[[SceneFrame], np.ndarray]) -> np.ndarray:
        """`of` of all moments, for bodies with a known joint and, if any are, plausible poses.

        (N, ...) per moment becomes (B, ...).
        """
        values = np.concatenate([of(moment) for moment in self.moments])
        known = [np.isfinite(moment.xyz).any(axis=(1, 2)) for moment in self.moments]
        known = np.concatenate(known)
        counted = known & np.concatenate([moment.counts for moment in self.moments])
        return values[counted if counted.any() else known]
