"""What a view in 3D shows: bodies over time, in metres, the floor under them, the camera.

A view's axes are right, away from the camera along the floor, and up. They are those of the records
(x right, y down, z away), or of the world, turned so that up is up however the camera was held.
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

FEET = {"ankle", "heel", "foot", "toe"}  # words in names of joints
STRAY = 0.01  # the share of bodies, at either end, that may lie outside of what is shown
SIDE_BY_SIDE = 0.3  # metres between bodies of which nobody knows where they stand


@dataclass(frozen=True, eq=False)
class SceneFrame:
    """Everybody in one frame."""

    index: int
    seconds: float
    person: np.ndarray  # (N,) as in Poses
    xyz: np.ndarray  # (N, K, 3) float32 metres, the axes of the scene
    score: np.ndarray  # (N, K) 0..1
    counts: np.ndarray  # (N,) bool, whether the body can be so
    place: np.ndarray  # (N,) int, in the row of bodies side by side; 0 where they stand somewhere

    def name(self, row: int) -> str:
        """A person's number; where there is none, the place in the record, from 1."""
        return str(self.person[row] if self.person[row] >= 0 else row + 1)


@dataclass
class Scene:
    """Everybody over time. Frames are added; then everything else is known."""

    visible: float  # 0..1, the score from which a joint is believed
    moments: list[SceneFrame] = field(default_factory=list)
    source: str = ""

    def add(self, frame: Frame, poses: Poses) -> None:
        """Take the poses of one frame.

        Raises:
            VitruvianError: they are in pixels only.
        """
        if not any(len(moment.person) for moment in self.moments):
            self._begin(frame, poses)  # nobody's poses say little: somebody's say it again
        xyz = poses.world if self.space == "world" and len(poses) else poses.xyz
        if xyz is None:
            raise VitruvianError(
                f"there is nothing to show in 3D: frame {frame.index} of '{frame.source}' has "
                "joints in pixels only; choose another model, such as blazepose-full"
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
        self.pictured = all(frame.size)  # files of markers tell of no picture
        size = frame.size if self.pictured else (1, 1)
        self.camera = (frame.camera or Camera.view(size)).scaled(size)

    def _places(self, poses: Poses) -> np.ndarray:
        """(N,) who was there keeps the place; others get free ones, from the left as they are."""
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

    # Where everything is

    @cached_property
    def axes(self) -> np.ndarray:
        """(3, 3) float64: right, away and up, in the axes of `SceneFrame.xyz`."""
        up = self.camera.up / np.linalg.norm(self.camera.up)
        right = self.camera.upright(np.zeros(2))[0]  # level, whichever way it looks
        right = right - up * (right @ up)
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(up, right), up])
        if self.space == "world" and self.camera.extrinsics is not None:
            axes = axes @ self.camera.extrinsics[:3, :3]
        return axes

    @cached_property
    def spacing(self) -> float:
        """Metres from one place to the next, where bodies are shown side by side."""
        right = self._all(lambda moment: moment.xyz @ self.axes[0])
        if not len(right):
            return 0.0
        wide = np.nanmax(right, axis=1) - np.nanmin(right, axis=1)
        return float(np.quantile(wide, 1 - STRAY, method="higher")) + SIDE_BY_SIDE

    @cached_property
    def places(self) -> int:
        """How many bodies stand side by side, at most."""
        return max((int(m.place.max()) + 1 for m in self.moments if len(m.place)), default=1)

    def stand(self, moment: SceneFrame) -> np.ndarray:
        """(N, K, 3) right, away and up, metres; those of unknown places side by side."""
        standing = moment.xyz @ self.axes.T
        if self.space == "hips":
            shift = (moment.place - (self.places - 1) / 2) * self.spacing
            standing[..., 0] += shift[:, None]
        return standing

    @cached_property
    def floor(self) -> float:
        """How high the floor is, metres along up: where the lowest feet are.

        Feet that are seen, of bodies that can be so, where there are any. Of many frames, the
        lowest hundredth may lie below: a foot found wrongly is no floor.
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
        """(5, 3) right, away and up, metres: the camera, and how far its picture's corners reach.

        Corners are the picture's: top left, top right, bottom right, bottom left, all at the same
        depth, a quarter of how far away people are. None where nobody knows where the camera is.
        """
        camera, located = self.camera, self.camera.extrinsics is not None
        if self.space == "hips" or (self.space == "world" and not located) or not self.pictured:
            return None
        w, h = camera.size
        corners = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float64)
        rays = camera.rays(corners)
        if np.isnan(rays).any():  # a lens that shows nothing there
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
        """(2, 3) the lowest and highest right, away and up, metres, of all that is shown."""
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
        """`of` of each moment, of bodies that can be so, if any can, and of which a joint is known.

        For a moment it is (N, ...), for all (B, ...).
        """
        values = np.concatenate([of(moment) for moment in self.moments])
        known = [np.isfinite(moment.xyz).any(axis=(1, 2)) for moment in self.moments]
        known = np.concatenate(known)
        counted = known & np.concatenate([moment.counts for moment in self.moments])
        return values[counted if counted.any() else known]
