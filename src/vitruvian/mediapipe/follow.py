"""People from frame to frame as MediaPipe 0.10.21 follows and smooths them, quirks included.

`vitruvian.streams` does it better: see `streams/follow.py` and `streams/one_euro.py`. Whoever
changes one line of an old program wants its numbers, so this is the reference's behaviour.

Source: specs of MediaPipe 0.10.21: pose_landmark_cpu.pbtxt, pose_landmark_filtering.pbtxt and the
graph of the Pose Landmarker task; verified against the package, see tests/test_mediapipe.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import iou
from vitruvian.geometry.regions import Regions
from vitruvian.models.blazepose import MARGIN
from vitruvian.models.top_down import TopDown
from vitruvian.streams.one_euro import IMAGE, REGION, VISIBILITY, WORLD, OneEuroFilter

SMALLEST = 1e-6  # pixels; nobody so small is smoothed


class _Smoothed:
    """The filters of one person.

    Where nobody is found, only those of image landmarks and of the next region start again.
    """

    def __init__(self) -> None:
        self.world = OneEuroFilter(*WORLD)
        self.visible: np.ndarray | None = None
        self.lost()

    def lost(self) -> None:
        self.image, self.region = OneEuroFilter(*IMAGE), OneEuroFilter(*REGION)

    def __call__(self, poses: Poses, seconds: float, size: float) -> Poses:
        """Smooth the one person. `size`: pixels, which speeds are measured in."""
        assert poses.xyz is not None
        assert poses.depth is not None
        both = np.column_stack([poses.xy[0], poses.depth[0]])
        if size > SMALLEST:
            both = self.image(both, seconds, 1 / size)
        visible, weight = poses.score[0], np.float32(VISIBILITY)
        if self.visible is not None:
            visible = weight * visible + (1 - weight) * self.visible
        self.visible = visible
        return replace(
            poses,
            xy=both[None, :, :2],
            depth=both[None, :, 2],
            xyz=self.world(poses.xyz[0], seconds)[None],
            score=visible[None],
        )


class OnePerson:
    """Solutions: the person who is found first is followed until lost, and then the next one.

    Nobody is looked for in the frame where a person is lost.
    """

    def __init__(self, model: TopDown, *, follow: bool, smooth: bool) -> None:
        """`follow`: whether images are frames of a video. `smooth`: landmarks, too."""
        self.model, self.follow, self.smooth = model, follow, smooth
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        self.look, self.filters = Regions.none(), _Smoothed()

    def __call__(self, frame: Frame, seconds: float) -> Poses:
        """The person in this frame, or nobody."""
        look = self.look
        if not len(look):
            look = self.model.find([frame])[0].take(slice(1))
        (poses,) = self.model([frame], [look])
        if not self.follow:
            return poses
        if poses.look is None or not len(poses):
            self.look = Regions.none()
            self.filters.lost()
            return poses
        size, look = float(poses.look.size[0].mean()), poses.look
        if size > SMALLEST:
            points = np.stack([look.centre[0], look.tops()[0]])
            points = self.filters.region(points, seconds, 1 / size)
            look = Regions.upright(points[:1], points[1:], look.score, look.person)
        self.look = look.take(look.size[:, 0] > 0)
        return self.filters(poses, seconds, size) if self.smooth else poses


class Everyone:
    """Tasks: several people, of whom a new detection replaces those it overlaps.

    People are looked for in every frame with less than the wanted number of them. They have no ids,
    and are smoothed only where one is wanted.
    """

    def __init__(self, model: TopDown, overlap: float) -> None:
        """`overlap`: 0..1, IoU above which a region replaces another one."""
        self.model, self.overlap = model, overlap
        self.look, self.filters = Regions.none(), _Smoothed()
        self.last: float | None = None
        self.shift = 0.0

    def __call__(self, frame: Frame, seconds: float) -> Poses:
        """The people in this frame; `seconds` increase."""
        if self.last == 0:  # the reference's filters then assume 30 frames per second
            self.shift = 1 / 30 - seconds
        self.last = seconds
        look, most = self.look, self.model.most
        if len(look) < most:
            found = self.model.find([frame])[0].take(slice(most))
            look = self._latest(Regions.join(look, found), frame).take(slice(most))
        (poses,) = self.model([frame], [look])
        if poses.look is None or not len(poses):
            self.look = Regions.none()
            self.filters.lost()
            return poses
        self.look = poses.look.take(poses.look.size[:, 0] > 0)
        if most > 1:
            return poses
        size = float(poses.look.size[0].mean() * MARGIN)
        return self.filters(poses, seconds + self.shift, size)

    def _latest(self, look: Regions, frame: Frame) -> Regions:
        """Without those that a later one overlaps; their rotation does not count."""
        half = look.size.max(axis=1, initial=0)[:, None] * MARGIN / 2
        boxes = np.concatenate([look.centre - half, look.centre + half], axis=1)
        shared, kept = iou(boxes, boxes), list[int]()
        for i in range(len(look)):
            kept = [k for k in kept if not shared[i, k] > self.overlap] + [i]
        return look.take(kept)
