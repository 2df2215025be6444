"""Placement: people put in front of the camera, for models that know their joints from the hips.

Where a person's joints are seen, and how they lie to each other in metres, says where the person
stands, once the camera is known (`decode/absolute.py`). How far away comes out least steady: of
somebody 200 pixels tall, one pixel more or less is half a percent of the distance. So for who is
smoothed, the distance is smoothed as well; the body is moved along the line of sight, so that it
stays where it is seen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.decode.absolute import in_box, place_body, reprojection
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.stream.one_euro import OneEuroFilter

# Of the side of a person's box: 17 cm on somebody upright, so that body, picture and camera cannot
# all be right. BlazePose on two videos: 0.02 in the middle, at most 0.06, and 0.09 for people of 60
# pixels.
IMPLAUSIBLE = 0.1
# min_cutoff (Hz), beta (Hz, for moving by the whole distance in a second). Chosen with
# benchmarks/in_front.py: of four views of somebody 3.3 m away, 60 frames/s, the distance changes by
# 4 to 7 mm from frame to frame, as it truly does (6 to 9 mm), where it changed by 13 to 25 mm; and
# who walks is 10 to 80 ms late. With beta 40 it changes by a third more, with 10 who walks is twice
# as late.
DISTANCE = (0.1, 20.0)


class Place:
    """The step of a stream that puts people in front of the camera.

    Who stands there already, as the model says it, is left there, but for smoothing: where poses
    have been smoothed (`raw`), so is the distance.
    """

    def __init__(self, *, place: bool = True, steady: bool = True) -> None:
        """Start with nobody.

        Args:
            place: whether people are put there at all whose metres are from the hips.
            steady: whether the distance of who was smoothed is. It lags by a little: not where a
                recording is filtered both ways.
        """
        self.place, self.steady = place, steady
        self.distance: dict[int, OneEuroFilter] = {}  # of each person

    def __call__(self, frame: Frame, poses: Poses) -> Poses:
        """The poses of a frame; of a stream, call once a frame, in order."""
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
    """People of a model with metres from the hips, put in front of the camera of their frame.

    Nobody has a part in where somebody else is put. Who cannot be put anywhere is NaN there, and
    not plausible.
    """
    assert poses.xyz is not None
    put = place_body(camera, poses.xy, poses.xyz, poses.score)
    raw = None if poses.raw is None else placed(camera, poses.raw)
    return _judged(camera, replace(poses, xyz=put.xyz, origin="camera", raw=raw))


def _judged(camera: Camera, poses: Poses) -> Poses:
    """With what is to be said of people who were put where they are."""
    assert poses.xyz is not None
    error = reprojection(camera, poses.xyz, poses.xy, poses.score)
    side = (poses.box[:, 2:] - poses.box[:, :2]).max(axis=1, initial=0)
    fits = (error < IMPLAUSIBLE * side) & in_box(camera.project(poses.xyz), poses.box)
    return _in_world(camera, replace(poses, error=error, plausible=fits))


def _in_world(camera: Camera, poses: Poses) -> Poses:
    """In the world as well, where it is known where the camera stands in it."""
    if camera.extrinsics is None or poses.xyz is None:
        return poses
    raw = None if poses.raw is None else _in_world(camera, poses.raw)
    return replace(poses, world=camera.to_world(poses.xyz), raw=raw)
