"""One-Euro: adaptive low-pass filters per person, in real seconds.

Source: Casiez, Roussel and Vogel 2012, "1€ Filter"; constants and what is filtered in which unit
from MediaPipe's pose_landmark_filtering.pbtxt. Three deviations: the real time between frames, not
1/30 s; all filters of a person are reset when the person was lost (the reference keeps those of
visibility and world landmarks); everyone is smoothed, not only one person; and so are hands and
faces, which are not in the reference.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions

# min_cutoff (Hz), beta; pose_landmark_filtering.pbtxt
IMAGE = (0.05, 80.0)  # landmarks, pixels over the size of the person
WORLD = (0.1, 40.0)  # landmarks, metres
REGION = (0.01, 10.0)  # the two points of the next region, pixels over the size of the person
DERIVATIVE_CUTOFF = 1.0  # Hz, of all three
BODY = ("body", "feet")  # parts of a skeleton that `OneEuro` smooths
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
        if self.seconds is not None and seconds <= self.seconds:
            return value
        self.raw, self.smooth, self.speed = self._next(value, seconds, scale)
        self.seconds = seconds
        return self.smooth

    def ahead(self, value: np.ndarray, seconds: float, scale: float = 1.0) -> np.ndarray:
        """What a call would give; nothing is remembered."""
        if self.seconds is not None and seconds <= self.seconds:
            return value
        return self._next(value, seconds, scale)[1]

    def _next(
        self, value: np.ndarray, seconds: float, scale: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The value, the filtered value, and the filtered speed."""
        if self.seconds is None:
            return value.copy(), value.copy(), np.zeros_like(value)
        elapsed = seconds - self.seconds
        speed = (value - self.raw) * np.float32(scale / elapsed)
        speed = self.speed + np.float32(_weight(DERIVATIVE_CUTOFF, elapsed)) * (speed - self.speed)
        weight = _weight(self.min_cutoff + self.beta * np.abs(speed), elapsed)
        smooth = self.smooth + weight * (value - self.smooth)
        new = np.isnan(smooth)  # missing before: reset
        return value.copy(), np.where(new, value, smooth), np.where(new, np.float32(0), speed)


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
            look = _region(look, hips, top)
        raw = poses if poses.raw is None else poses.raw
        both = ((xy, poses.xy), (depth, poses.depth), (xyz, poses.xyz), (world, poses.world))
        for part in beside_body(poses.skeleton).values():  # see `OneEuroParts`
            score[:, part] = poses.score[:, part]
            for new, old in both:
                if new is not None and old is not None:
                    new[:, part] = old[:, part]
        return replace(
            poses, xy=xy, score=score, xyz=xyz, depth=depth, world=world, look=look, raw=raw
        )

    def next_look(self, frame: Frame, look: Regions) -> Regions:
        """`look` of the poses that a call for this frame will give; nothing is remembered."""
        hips, top = look.centre.copy(), look.tops()
        for i, who in enumerate(look.person.tolist()):
            if who in self.people:
                scale = 1 / max(float(look.size[i].mean()), 1e-6)
                both = np.stack([hips[i], top[i]])
                hips[i], top[i] = self.people[who].region.ahead(both, frame.seconds, scale)
        return _region(look, hips, top)


class _PartFilters:
    """Filters of one hand or face."""

    def __init__(self) -> None:
        self.image = OneEuroFilter(*IMAGE)
        self.metres = {kind: OneEuroFilter(*WORLD) for kind in ("xyz", "world")}


class OneEuroParts:
    """Stream step that smooths hands and faces; one not in a frame is reset.

    As the body, with the part's own size: the mean side of the box around its landmarks. In an
    image with noise, jitter at rest falls from 1.2 to 0.5 % of a hand's size and from 0.4 to 0.1 %
    of a face's; in a window that moves by up to 3 sizes a second, the error stays at 1 to 2 %.
    """

    def __init__(self) -> None:
        self.people: dict[int, dict[str, _PartFilters]] = {}

    def __call__(self, frame: Frame, poses: Poses) -> Poses:
        """The smoothed poses, the input in `raw`; people without a track id are not smoothed.

        Metres are smoothed from the part's first keypoint on, which keeps its place.
        """
        parts = beside_body(poses.skeleton)
        if not parts:
            return poses
        people = poses.person.tolist()
        self.people = {who: self.people.get(who, {}) for who in people if who >= 0}
        changed = {
            name: value.copy()
            for name in ("xy", "depth", "xyz", "world")
            if (value := getattr(poses, name)) is not None
        }
        for i, who in enumerate(people):
            if who < 0:
                continue
            filters, own = self.people[who], dict[str, _PartFilters]()
            for name, part in parts.items():
                xy = poses.xy[i, part]
                if not np.isfinite(xy).all():
                    continue
                own[name] = filters.get(name) or _PartFilters()
                scale = 1 / max(float(np.ptp(xy, axis=0).mean()), 1e-6)
                both = [xy] if poses.depth is None else [xy, poses.depth[i, part, None]]
                both = own[name].image(np.concatenate(both, axis=1), frame.seconds, scale)
                changed["xy"][i, part] = both[:, :2]
                if poses.depth is not None:
                    changed["depth"][i, part] = both[:, 2]
                for kind, smooth in own[name].metres.items():
                    if kind in changed:
                        at = changed[kind][i, part]
                        changed[kind][i, part] = smooth(at - at[0], frame.seconds) + at[0]
            self.people[who] = own
        return replace(poses, raw=poses if poses.raw is None else poses.raw, **changed)


def beside_body(skeleton: Skeleton) -> dict[str, list[int]]:
    """Keypoints of hands and the face."""
    return {name: list(own) for name, own in skeleton.parts.items() if name not in BODY}


def _region(look: Regions, hips: np.ndarray, top: np.ndarray) -> Regions:
    """The regions, moved to smoothed points."""
    smooth = Regions.upright(hips, top, look.score, look.person)
    width, height = np.moveaxis(look.size, -1, 0)  # not all models crop squares
    smooth.size[:, 0] *= np.divide(width, height, out=np.ones_like(width), where=height > 0)
    return smooth
