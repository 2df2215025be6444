"""One-Euro: adaptive low-pass filters per person, in real seconds.

Source: Casiez, Roussel and Vogel 2012, "1€ Filter"; constants and what is filtered in which unit
from MediaPipe's pose_landmark_filtering.pbtxt. Three deviations: the real time between frames, not
1/30 s; all filters of a person are reset when the person was lost (the reference keeps those of
visibility and world landmarks); everyone is smoothed, not only one person.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions

# min_cutoff (Hz), beta; pose_landmark_filtering.pbtxt
IMAGE = (0.05, 80.0)  # landmarks, pixels over the size of the person
WORLD = (0.1, 40.0)  # landmarks, metres
REGION = (0.01, 10.0)  # the two points of the next region, pixels over the size of the person
DERIVATIVE_CUTOFF = 1.0  # Hz, of all three
VISIBILITY = 0.1  # weight of a new value at VISIBILITY_RATE
VISIBILITY_RATE = 30.0  # Hz; the reference assumes 30 frames/s for every video


class OneEuroFilter:
    """A low-pass filter whose cutoff rises with speed: no jitter at rest, little lag in motion."""

    def __init__(self, min_cutoff: float, beta: float) -> None:
        """`min_cutoff`: Hz at rest. `beta`: Hz added per unit of speed."""
        self.min_cutoff, self.beta = min_cutoff, beta
        self.seconds: float | None = None

    def __call__(self, value: np.ndarray, seconds: float, scale: float = 1.0) -> np.ndarray:
        """The filtered value, same shape; each element is filtered separately.

        Args:
            value: any shape, the same in every call.
            seconds: time; a value not later than the last one is returned unfiltered.
            scale: factor on speeds: 1 / size makes them sizes per second.
        """
        if self.seconds is None:
            self.raw, self.smooth, self.speed = value.copy(), value.copy(), np.zeros_like(value)
        else:
            if seconds <= self.seconds:
                return value
            elapsed = seconds - self.seconds
            speed = (value - self.raw) * np.float32(scale / elapsed)
            self.speed += np.float32(_weight(DERIVATIVE_CUTOFF, elapsed)) * (speed - self.speed)
            weight = _weight(self.min_cutoff + self.beta * np.abs(self.speed), elapsed)
            smooth = self.smooth + weight * (value - self.smooth)
            new = np.isnan(smooth)  # missing before: reset
            self.speed = np.where(new, np.float32(0), self.speed)
            self.raw, self.smooth = value.copy(), np.where(new, value, smooth)
        self.seconds = seconds
        return self.smooth


def _weight(cutoff: np.ndarray | float, elapsed: float) -> np.ndarray:
    """Weight of a new value in a first-order low-pass filter. cutoff: Hz; elapsed: seconds."""
    return np.asarray(1 / (1 + 1 / np.float32(2 * np.pi * elapsed) / np.float32(cutoff)))


class _Filters:
    """Filters of one person."""

    def __init__(self) -> None:
        self.image, self.region = OneEuroFilter(*IMAGE), OneEuroFilter(*REGION)
        self.metres, self.world = OneEuroFilter(*WORLD), OneEuroFilter(*WORLD)
        self.score: np.ndarray | None = None
        self.seconds = 0.0

    def visibility(self, score: np.ndarray, seconds: float) -> np.ndarray:
        """(K,) 0..1, low-passed."""
        if self.score is None:
            self.score = score.copy()
        elif seconds > self.seconds:
            weight = 1 - (1 - VISIBILITY) ** ((seconds - self.seconds) * VISIBILITY_RATE)
            self.score = self.score + np.float32(weight) * (score - self.score)
        self.seconds = seconds
        return self.score


class OneEuro:
    """Stream step that smooths all people; people not in a frame are reset."""

    def __init__(self) -> None:
        self.people: dict[int, _Filters] = {}

    def forget(self, person: int) -> None:
        """Reset a person who was lost, even if found again in the same frame."""
        self.people.pop(person, None)

    def __call__(self, frame: Frame, poses: Poses) -> Poses:
        """The smoothed poses, the input in `raw`; people without a track id are not smoothed.

        A person's size is that of the next region, or of the box where there is none.
        """
        seconds = frame.seconds
        people = poses.person.tolist()
        self.people = {who: self.people.get(who) or _Filters() for who in people if who >= 0}
        if not self.people:
            return poses
        xy, score = poses.xy.copy(), poses.score.copy()
        xyz = None if poses.xyz is None else poses.xyz.copy()
        world = None if poses.world is None else poses.world.copy()
        depth = None if poses.depth is None else poses.depth.copy()
        look = poses.look
        around = Regions.boxes(poses.box, poses.box_score) if look is None else look
        hips, top = around.centre.copy(), around.tops()
        for i, who in enumerate(people):
            if who < 0:
                continue
            filters = self.people[who]
            scale = 1 / max(float(around.size[i].mean()), 1e-6)
            both = xy[i] if depth is None else np.column_stack([xy[i], depth[i]])
            both = filters.image(both, seconds, scale)
            xy[i] = both[:, :2]
            if depth is not None:
                depth[i] = both[:, 2]
            if xyz is not None:
                xyz[i] = filters.metres(xyz[i], seconds)
            if world is not None:
                world[i] = filters.world(world[i], seconds)
            score[i] = filters.visibility(score[i], seconds)
            hips[i], top[i] = filters.region(np.stack([hips[i], top[i]]), seconds, scale)
        if look is not None:
            smooth = Regions.upright(hips, top, look.score, look.person)
            width, height = np.moveaxis(look.size, -1, 0)  # not all models crop squares
            smooth.size[:, 0] *= np.divide(width, height, out=np.ones_like(width), where=height > 0)
            look = smooth
        raw = poses if poses.raw is None else poses.raw
        return replace(
            poses, xy=xy, score=score, xyz=xyz, depth=depth, world=world, look=look, raw=raw
        )
