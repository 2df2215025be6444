"""Everyone: a model that follows bodies, here BlazePose, with a finder of upright boxes.

Its own detector finds people near the camera. Boxes lead it to all others: its landmark network
looks at squares around them, and the two auxiliary landmarks of its output give the regions, where
the hips are and which way is up.

Thresholds are chosen on 128 pictures of `../shared/data/coco_pictures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.similar import each_once, is_limb
from vitruvian.frame import Frame, checked
from vitruvian.geometry.boxes import iou, nms, over_smaller
from vitruvian.geometry.regions import Regions
from vitruvian.models.model import Find, Finder
from vitruvian.models.top_down import Head, TopDown

# Side of squares around boxes, in their longer sides: of somebody who is bent, or cut off by the
# edge of the frame, the hips are elsewhere.
ROUGH = 1.1
# If a look from there shows nobody, somebody is cut off by the box at the knees or the hips: where
# the hips are, from the top, and the side of the square around the body, in heights of the box.
PARTS = ((0.67, 1.5), (1.0, 2.2))
UPRIGHT = 0.8  # height of such a box, in widths
FIRST = 0.1  # threshold of pose presence at the first look
# Somebody is there if the second look and the box agree: sum of their scores, and IoU of the box
# of the pose with it. With a presence of 0.5 instead, 64 % of the people are found, and 84 poses
# are wrong; so it is 66 % and 79, without `PARTS` 58 % and 44.
SURE, SAME_PLACE = 0.7, 0.1
# See `is_limb`; and the sum of their scores from which a child is no limb.
SMALL, CERTAIN = 0.15, 1.4
NEAR = 0.5  # of the frame's shorter side: size of a person who may be alone
PART = 0.6  # of a box, inside another: a part of the same person, at a glance
APART = 0.9  # two regions with a larger IoU are one person; so are similar poses


class Everyone(TopDown):
    """A top-down model with a finder of boxes beside its own detector.

    One person who is near and, at a glance, alone is found by its own detector only.
    """

    def __init__(
        self, near: TopDown, others: Finder, lenient: Head, presence: float | None = None
    ) -> None:
        """Put them together.

        Args:
            near: the model, with the detector of people near the camera.
            others: the finder of boxes. If it knows all people, the detector is not asked.
            lenient: the head of `near` with a threshold of pose presence of at most `FIRST`.
            presence: 0..1, threshold of pose presence of who is found by boxes, in place of
                `SURE`.
        """
        super().__init__(
            self._regions,
            near.head,
            near.most,
            batch=near.batch,
            name=near.name,
            weights={**near.weights, **others.weights},
            options=near.options,
        )
        self.near: Find | None = None if others.complete else near.find
        self.others, self.presence = others, presence
        self.own = near.options["presence"]  # of who is near
        self.lenient = TopDown(near.find, lenient, near.most, batch=near.batch)

    def __call__(
        self, frames: Sequence[Frame], look: Sequence[Regions] | None = None
    ) -> list[Poses]:
        """Everyone in each frame, or the people in those regions; see `TopDown`."""
        if look is not None:
            return super().__call__(frames, look)
        return [self._everyone(frame) for frame in checked(frames)]

    def _everyone(self, frame: Frame) -> Poses:
        every, boxes = self._find(frame)
        if boxes is None:
            (poses,) = super().__call__([frame], [every.take(slice(self.most))])
            return poses
        (poses,) = self.lenient([frame], [every.take(slice(2 * self.most))])
        poses = poses.take(self.there(poses, boxes))
        if poses.look is not None:
            look = _new(poses.look)
            poses = replace(poses, person=look.person, look=look)
        return each_once(poses, APART).take(slice(self.most))

    def there(self, poses: Poses, boxes: Regions) -> np.ndarray:
        """(N,) bool, whether somebody is there.

        Args:
            poses: `person` is the row of their box, or -1.
            boxes: of the finder.
        """
        found = np.flatnonzero(poses.person >= 0)
        box, score = poses.box.copy(), np.ones(len(poses), np.float32)
        box[found] = boxes.bounds()[poses.person[found]]
        score[found] = boxes.score[poses.person[found]]
        sure = score + poses.box_score
        there = poses.box_score > (self.own if self.presence is None else self.presence)
        if self.presence is None:
            there[found] = sure[found] > SURE
        there[found] &= np.diagonal(iou(poses.box[found], box[found])) >= SAME_PLACE
        rows = np.flatnonzero(there)
        limb = is_limb(box[rows], poses.box[rows], sure[rows], SMALL) & (sure[rows] < CERTAIN)
        there[rows[limb]] = False
        return there

    def _regions(self, frames: Sequence[Frame]) -> list[Regions]:
        """Regions of each frame: those of its own detector first, each by descending score."""
        return [_new(self._find(frame)[0]) for frame in frames]

    def _find(self, frame: Frame) -> tuple[Regions, Regions | None]:
        """Regions, where `person` is the row of their box, or -1; boxes, None: not looked for."""
        near = Regions.none()
        if self.near is not None:
            # Computed while the input of the detector is made.
            glance = None if self.others.glance is None else self.others.glance(frame)
            (near,) = self.near([frame])
            seen = None if glance is None else glance()
            if seen is not None and _alone(frame, near, seen):
                return near, None
        (boxes,) = self.others.find([frame])
        every = Regions.join(near, self._aligned(frame, boxes))
        ranks = np.arange(len(every), 0, -1, dtype=np.float32)
        return every.take(np.sort(nms(every.bounds(), ranks, APART, len(every)))), boxes

    def _aligned(self, frame: Frame, boxes: Regions) -> Regions:
        """The regions of bodies to which a look at boxes leads, in the order of the boxes."""
        left = replace(boxes, person=np.arange(len(boxes)))
        found = Regions.none()
        for guess in (squares_around, *(partial(_part, *part) for part in PARTS)):
            (poses,) = self.lenient([frame], [guess(left)])
            if poses.look is not None:
                found = Regions.join(found, poses.look)
            tall = left.size[:, 1] >= UPRIGHT * left.size[:, 0]
            left = left.take(tall & ~np.isin(left.person, poses.person))
            if not len(left):
                break
        return found.take(np.argsort(found.person, kind="stable"))


def squares_around(boxes: Regions) -> Regions:
    """Squares around whole bodies in boxes."""
    squares = boxes.squares()
    return replace(squares, size=squares.size * np.float32(ROUGH))


def _part(hips: float, side: float, boxes: Regions) -> Regions:
    """Squares around bodies of which boxes show the upper part; see `PARTS`."""
    height = boxes.size[:, 1:]
    centre = boxes.centre + height * np.array([0, hips - 0.5], np.float32)
    return replace(boxes, centre=centre, size=np.repeat(height * np.float32(side), 2, axis=1))


def _alone(frame: Frame, near: Regions, seen: Regions) -> bool:
    """Whether one person is near, and a glance shows nobody else."""
    if len(near) != 1 or near.size.max() < NEAR * min(frame.size):
        return False
    return len(nms(seen.bounds(), seen.score, PART, 2, over_smaller)) <= 1


def _new(people: Regions) -> Regions:
    """The regions, of people without ids."""
    return replace(people, person=np.full(len(people), -1, np.int64))
