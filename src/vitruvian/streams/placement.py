"""Placement: absolute positions in camera space, for models with hip-relative (root-relative) 3D.

2D keypoints, root-relative 3D keypoints in metres and the camera give a person's position
(`decode/absolute.py`). Depth is its noisiest part: for a person 200 pixels tall, one pixel is half
a percent of the distance. So if poses are smoothed, the distance is smoothed as well; the body is
moved along the line of sight, so its projection stays in place.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.decode.absolute import in_box, place_body, reprojection
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.streams.one_euro import BODY, OneEuroFilter

# Reprojection error, of the longer side of the box: 17 cm for somebody upright, so body, image and
# camera do not fit. BlazePose on two videos: median 0.02, at most 0.06; 0.09 for people of 60
# pixels.
IMPLAUSIBLE = 0.1
# min_cutoff (Hz), beta (Hz, for moving by the whole distance in a second). Chosen with
# benchmarks/in_front.py: in four views of a person 3.3 m away, 60 frames/s, the distance changes by
# 4 to 7 mm per frame, before smoothing 13 to 25 mm, ground truth 6 to 9 mm; lag when walking is 10
# to 80 ms. Beta 40: a third more change; beta 10: twice the lag.
DISTANCE = (0.1, 20.0)


class Place:
    """Stream step that places people in camera space.

    Absolute positions from the model are kept, except for smoothing: where poses have been smoothed
    (`raw`), so is the distance.
    """

    def __init__(self, *, place: bool = True, steady: bool = True) -> None:
        """Start without people.

        Args:
            place: whether people with root-relative metres are placed.
            steady: whether the distance is smoothed where poses are. It lags a little: not for a
                recording filtered forward and backward.
        """
        self.place, self.steady = place, steady
        self.distance: dict[int, OneEuroFilter] = {}  # of each person

    def __call__(self, frame: Frame, poses: Poses) -> Poses:
        """The poses of a frame; in a stream, call once per frame, in order."""
        if poses.xyz is None or (poses.origin == "hips" and not self.place):
            return poses
        camera = frame.camera or Camera.view(frame.size)
        put = poses.origin == "hips"
        if put:
            poses = placed(camera, poses)
        if not self.steady or poses.raw is None or poses.xyz is None:
            return _in_world(camera, poses)
        poses = replace(poses, xyz=self._steady(poses, poses.xyz, frame.seconds))
        return _judged(camera, poses) if put else _in_world(camera, poses)

    def _steady(self, poses: Poses, xyz: np.ndarray, seconds: float) -> np.ndarray:
        """(N, K, 3) metres, at a smoothed distance along the line to the hips; NaN stays NaN."""
        names = poses.skeleton.keypoints
        hips = [k for k, name in enumerate(names) if name in ("left_hip", "right_hip")]
        middle = xyz[:, hips or slice(None)].mean(axis=1)
        far = np.linalg.norm(middle, axis=1)
        people, moved = poses.person.tolist(), xyz.copy()
        self.distance = {
            who: self.distance.get(who) or OneEuroFilter(*DISTANCE)
            for who, there in zip(people, np.isfinite(far), strict=True)
            if who >= 0 and there
        }
        for i, who in enumerate(people):
            if who in self.distance:
                steady = self.distance[who](far[i : i + 1], seconds, float(1 / far[i]))
                moved[i] += (steady / far[i] - 1) * middle[i]
        return moved


def placed(camera: Camera, poses: Poses) -> Poses:
    """People with root-relative metres placed in the camera space of their frame.

    Each person is placed independently. A person who cannot be placed is NaN, and not plausible.
    """
    assert poses.xyz is not None
    put = place_body(camera, poses.xy, poses.xyz, _believed(poses))
    raw = None if poses.raw is None else placed(camera, poses.raw)
    return _judged(camera, replace(poses, xyz=put.xyz, origin="camera", raw=raw))


def _judged(camera: Camera, poses: Poses) -> Poses:
    """With reprojection error and plausibility of placed people."""
    assert poses.xyz is not None
    error = reprojection(camera, poses.xyz, poses.xy, _believed(poses))
    side = (poses.box[:, 2:] - poses.box[:, :2]).max(axis=1, initial=0)
    fits = (error < IMPLAUSIBLE * side) & in_box(camera.project(poses.xyz), poses.box)
    return _in_world(camera, replace(poses, error=error, plausible=fits))


def _believed(poses: Poses) -> np.ndarray:
    """(N, K) 0..1, scores of the body; 0 of hands and faces, which have more keypoints than it."""
    added = [k for part, own in poses.skeleton.parts.items() if part not in BODY for k in own]
    if not added:
        return poses.score
    score = poses.score.copy()
    score[:, added] = 0
    return score


def _in_world(camera: Camera, poses: Poses) -> Poses:
    """With world coordinates too, where the camera has extrinsics."""
    if camera.extrinsics is None or poses.xyz is None:
        return poses
    raw = None if poses.raw is None else _in_world(camera, poses.raw)
    return replace(poses, world=camera.to_world(poses.xyz), raw=raw)
