"""Identify: track ids from frame to frame, by motion, pose and optionally appearance (re-id).

Multi-stage data association, strongest evidence first: each stage matches the tracks and detections
still unmatched, by minimum total cost (Hungarian method).

1. appearance with a little motion, gated by motion: all tracks with an id
2. pose and bounding box overlap: tracks seen recently
3. motion alone, by the box center: tracks seen recently
4. box overlap: tracks seen recently, and those seen once with a score too low for an id
5. unmatched detections start new tracks

Source: Fang et al. 2022, "AlphaPose: Whole-Body Regional Multi-Person Pose Estimation and Tracking
in Real-Time", and its code as specs/alphapose.md 6 describes it: the fusion of stage 1, the
thresholds of 1 and 4, the running average of appearance, how long lost tracks are kept. Deviations:
time is in seconds, not frames; poses are used, unlike in that code; stage 3 and the rules for cuts,
duplicates and new ids are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.similar import DOUBLE, is_part, oks, similarity
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.assignment import assignment
from vitruvian.geometry.boxes import iou
from vitruvian.streams.kalman import CHI2_2, CHI2_4, KalmanBoxes, box_place

Appearance = Callable[[Frame, Poses], np.ndarray]  # (N, D) one embedding per person; NaN: unknown

MOTION_SHARE = 0.02  # of the squared Mahalanobis distance in stage 1; the rest is appearance
APPEARANCE_KEPT = 0.9  # weight of the old appearance in its running average
UNSEEN = 0.1  # extra cost in stages 2 and 3 for tracks not in the last frame
ONCE = 0.3  # minimum IoU of stage 4
TWICE = 0.8  # minimum OKS of a duplicate of somebody who is tracked already, see `DOUBLE`
COVERED = 0.85  # IoU with a newer track from which a lost track is dropped as the same person
MOST_LOST = 1000  # lost tracks kept, the latest; none expire while timestamps stand still


@dataclass(frozen=True)
class Options:
    """Tracker options."""

    forget: float = 8.0  # seconds unseen after which a track ends; a return gets a new id
    coast: float = 3.0  # seconds for which motion predicts the place of an unseen person
    reach: float = 1.0  # heights, maximum distance from the predicted place in stage 3
    appearance: float = 0.4  # maximum cost of stage 1, about the cosine distance
    different: float = 0.4  # cosine distance above which motion and pose match nobody unseen
    similar: float = 0.2  # 0..1, minimum similarity of stage 2: weighted mean of OKS and IoU
    pose: float = 0.5  # 0..1, weight of OKS in it
    sure: float = 0.5  # 0..1, minimum box score for an id at once; others when seen again

    def __post_init__(self) -> None:
        for field in fields(self):
            value, most = getattr(self, field.name), 1 if field.name in SHARES else np.inf
            if type(value) not in (int, float) or not 0 <= value <= most:
                want = "0 to 1" if field.name in SHARES else "0"
                raise VitruvianError(f"{field.name} is {value!r}, want a number from {want}")


SHARES = ("similar", "pose", "sure")


@dataclass(frozen=True, eq=False)
class _People:
    """T tracks as last seen."""

    number: np.ndarray  # (T,) int64 track ids from 1; 0: seen once, no id yet
    motion: KalmanBoxes  # now
    box: np.ndarray  # (T, 4)
    xy: np.ndarray  # (T, K, 2)
    score: np.ndarray  # (T, K)
    look: np.ndarray  # (T, D) embeddings of length 1; NaN: unknown
    since: np.ndarray  # (T,) seconds, first seen
    seen: np.ndarray  # (T,) seconds, last seen
    adrift: np.ndarray  # (T,) bool, motion prediction is void: out of the frame, or after a cut

    def __len__(self) -> int:
        return len(self.number)

    def take(self, which: np.ndarray | slice) -> _People:
        """A subset: row indices, a slice, or a boolean mask."""
        if isinstance(which, np.ndarray) and which.dtype == bool and which.all():
            return self
        some = {name: getattr(self, name)[which] for name in _ROWS}
        return _People(motion=self.motion.take(which), **some)

    @classmethod
    def join(cls, *parts: _People) -> _People:
        """Concatenate, in this order."""
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ROWS}
        return cls(motion=KalmanBoxes.join(*(part.motion for part in parts)), **joined)


_ROWS = tuple(field.name for field in fields(_People) if field.name != "motion")


class Identify:
    """Tracks the people of one stream; track ids count from 1 and are never reused."""

    def __init__(
        self,
        options: Options = Options(),
        appearance: Appearance | None = None,
        *,
        by_number: bool = False,
    ) -> None:
        """Start without tracks.

        Args:
            options: see `Options`.
            appearance: gives appearance embeddings, compared by cosine distance.
            by_number: whether people come out sorted by track id, not in input order.
        """
        self.options, self.appearance, self.by_number = options, appearance, by_number
        self.people: _People | None = None
        self.given = 0  # track ids so far
        self.clock = 0.0  # elapsed seconds of the stream
        self.last: float | None = None  # seconds of the last frame
        self.size: tuple[int, int] | None = None  # of the last frame, pixels

    def __call__(self, frame: Frame, poses: Poses) -> Poses:
        """The poses with track ids in `person`; call once per frame, in order.

        Of duplicate detections the one with the higher score stays, and of somebody and a part of
        the same person the whole. `person` is -1 without an id:
        a low score and seen for the first time, or no box. A frame not later than the previous one
        is taken to be at the same time.
        """
        before = self.clock
        if self.last is not None:
            self.clock += max(0.0, frame.seconds - self.last)
        self.last = frame.seconds
        self._resized(frame.size)
        boxed = np.all(np.isfinite(poses.box), axis=1)
        rows = _likeliest_first(poses, boxed)
        rows = rows[~is_part(poses)[rows]]
        similar = np.eye(len(rows))
        if len(rows) > 1:
            similar = similarity(poses)[rows[:, None], rows]
        once = _others(similar >= TWICE, np.zeros(0, np.int64), np.arange(len(rows)))
        rows, similar = rows[once], similar[once[:, None], once]
        found = self._found(frame, poses, rows)
        people = self._remembered(found, before)
        match = self._match(people, found, poses.skeleton, before)

        matched = match[match >= 0]
        again = _again(people.take(match >= 0), found.take(matched))
        left = _others(similar >= DOUBLE, matched, _unmatched(len(found), match))
        which = np.concatenate([matched, left])
        present = _People.join(again, found.take(left)) if len(left) else again
        # An id needs two sightings, or a high score; higher scores come first.
        believed = (which[:, None] != left).all(axis=1)
        believed |= poses.box_score[rows[which]] >= self.options.sure
        fresh = np.flatnonzero(believed & (present.number == 0))
        fresh = fresh[np.argsort(which[fresh])]
        present.number[fresh] = self.given + 1 + np.arange(len(fresh))
        self.given += len(fresh)

        self.people = present
        gone = (match < 0) & (people.number > 0)
        if gone.any():
            lost = people.take(gone)
            cut = not len(again) and len(left) > 0 and (lost.seen == before).sum() > 1
            self.people = _People.join(present, _lost(lost, present, cut, frame.size))
        person = np.full(len(poses), -1, np.int64)
        person[rows[which]] = np.where(present.number > 0, present.number, -1)
        look = None if poses.look is None else replace(poses.look, person=person)
        kept = ~boxed
        kept[rows[which]] = True
        numbered = replace(poses, person=person, look=look)
        if self.by_number:
            some = np.flatnonzero(kept)
            return numbered.take(some[np.argsort(person[some])])
        return numbered if kept.all() else numbered.take(kept)

    def _resized(self, size: tuple[int, int]) -> None:
        """Rescale the tracks to another frame size of the same scene."""
        before, self.size = self.size, size
        if before in (None, size) or self.people is None or not all((*before, *size)):
            return
        by = np.divide(size, before)
        people = self.people
        self.people = replace(
            people,
            motion=people.motion.scaled(*by),
            box=people.box * np.tile(by, 2).astype(np.float32),
            xy=people.xy * by.astype(np.float32),
        )

    def _found(self, frame: Frame, poses: Poses, rows: np.ndarray) -> _People:
        """The detections in those rows, as tracks without ids."""
        look = np.zeros((len(poses), 0))
        if self.appearance is not None:
            look = np.asarray(self.appearance(frame, poses), np.float64)
            width = None if self.people is None else self.people.look.shape[1]
            if look.ndim != 2 or len(look) != len(poses) or width not in (None, look.shape[1]):
                raise VitruvianError(
                    f"appearance gave {look.shape} for {len(poses)} people; want one row per "
                    f"person, of {'one length' if width is None else width} in every frame"
                )
        box, n = poses.box[rows], len(rows)
        return _People(
            number=np.zeros(n, np.int64),
            motion=KalmanBoxes.start(box),
            box=box,
            xy=poses.xy[rows],
            score=poses.score[rows],
            look=_unit(look[rows]),
            since=np.full(n, self.clock),
            seen=np.full(n, self.clock),
            adrift=np.zeros(n, bool),
        )

    def _remembered(self, found: _People, before: float) -> _People:
        """The tracks predicted to now, without those that can no longer match."""
        people = found.take(slice(0)) if self.people is None else self.people
        unseen = self.clock - people.seen
        findable = np.isfinite(people.look).any(axis=1) | self._lately(people, before)
        people = people.take((unseen <= self.options.forget) & findable)
        return replace(people, motion=people.motion.after(self.clock - before))

    def _lately(self, people: _People, before: float) -> np.ndarray:
        """(T,) whether motion predicts their place."""
        coasting = self.clock - people.seen <= self.options.coast
        return ~people.adrift & (coasting | (people.seen == before))

    def _match(
        self, people: _People, found: _People, skeleton: Skeleton, before: float
    ) -> np.ndarray:
        """(T,) detection matched to each track, -1: none."""
        options = self.options
        match = np.full(len(people), -1, np.int64)
        if not len(people) or not len(found):
            return match

        def stage(who: np.ndarray, cost: Callable[[], np.ndarray], most: float) -> None:
            rows = np.flatnonzero(who & (match < 0))
            if len(rows) and len(free := _unmatched(len(found), match)):
                match[rows] = assignment(cost()[rows[:, None], free], free, most)

        named, lately = people.number > 0, self._lately(people, before)
        absent = UNSEEN * (people.seen < before)[:, None]
        unlike = _unlike(people, found)

        def by_appearance() -> np.ndarray:
            off = people.motion.distance(found.box).sum(axis=2)
            cost = (1 - MOTION_SHARE) * unlike + MOTION_SHARE * off
            return np.where(off <= CHI2_4, cost, np.nan)

        if unlike.size and not np.isnan(unlike).all():
            stage(named, by_appearance, options.appearance)

        # A track not in the last frame is not matched to a detection that looks different.
        different = unlike > options.different
        other = (absent > 0) & different

        def by_pose() -> np.ndarray:
            alike = _alike(people, found, skeleton, options.pose)
            return np.where(other, np.nan, 1 - alike + absent)

        stage(named & lately, by_pose, 1 - options.similar)

        def by_motion() -> np.ndarray:
            step = (found.motion.place[None] - people.motion.place[:, None])[..., :2]
            apart = np.linalg.norm(step, axis=2) / people.motion.place[:, 3:]
            off = people.motion.distance(found.box)[..., :2].sum(axis=2)
            near = (off <= CHI2_2) & (apart <= options.reach) & ~different
            return np.where(near, apart + absent, np.nan)

        stage(named & lately, by_motion, options.reach + UNSEEN)

        def by_box() -> np.ndarray:
            overlap = iou(people.motion.box(), found.motion.box())
            return np.where(other, np.nan, 1 - overlap)

        stage(~named | lately, by_box, 1 - ONCE)
        return match


def _again(people: _People, found: _People) -> _People:
    """Tracks updated with their detections, row by row."""
    look = found.look
    if look.size:
        look = APPEARANCE_KEPT * people.look + (1 - APPEARANCE_KEPT) * look
        look = np.where(np.isnan(found.look), people.look, look)
        look = _unit(np.where(np.isnan(people.look), found.look, look))
    return replace(
        found,
        number=people.number.copy(),
        motion=people.motion.seen(found.box),
        look=look,
        since=people.since,
    )


def _likeliest_first(poses: Poses, boxed: np.ndarray) -> np.ndarray:
    """Rows with a box, (N,) bool, by score: results do not depend on the order of detections."""
    rows = np.flatnonzero(boxed)
    return rows[np.lexsort((*poses.box[rows].T, -poses.box_score[rows]))]


def _unit(look: np.ndarray) -> np.ndarray:
    """(N, D) scaled to length 1; NaN where impossible."""
    if not look.size:
        return look
    length = np.linalg.norm(look, axis=1, keepdims=True)
    return np.divide(look, length, out=np.full_like(look, np.nan), where=length > 0)


def _unlike(people: _People, found: _People) -> np.ndarray:
    """(T, M) cosine distance of appearance, NaN where unknown."""
    if not people.look.shape[1]:
        return np.full((len(people), len(found)), np.nan)
    return 1 - people.look @ found.look.T


def _alike(people: _People, found: _People, skeleton: Skeleton, share: float) -> np.ndarray:
    """(T, M) 0..1: mean of OKS and IoU with the predicted pose and box, OKS weighted by `share`.

    IoU alone without shared keypoints.
    """
    box = people.motion.box()
    overlap = iou(box, found.motion.box())
    if not share or not overlap.size:
        return overlap
    # The pose moves and scales with the box.
    was = box_place(people.box)
    grown = people.motion.place[:, 3] / was[:, 3]
    xy = (people.xy - was[:, None, :2]) * grown[:, None, None] + people.motion.place[:, None, :2]
    similar = oks(xy, people.score, box, found.xy, found.score, skeleton)
    return np.where(np.isnan(similar), overlap, share * similar + (1 - share) * overlap)


def _others(same: np.ndarray, matched: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Those left over, without duplicates of matched or higher-scored detections.

    Args:
        same: (N, N) bool, see `alike`.
        matched: some of the N.
        left: others of them.
    """
    kept, alike = matched.tolist(), same.T.tolist()
    for row in left.tolist():
        if not any(alike[row][other] for other in kept):
            kept.append(row)
    return np.array(kept[len(matched) :], np.int64)


def _unmatched(n: int, match: np.ndarray) -> np.ndarray:
    """Those of n that are not in `match`, in order."""
    free = np.ones(n, bool)
    free[match[match >= 0]] = False
    return np.flatnonzero(free)


def _lost(lost: _People, present: _People, cut: bool, size: tuple[int, int]) -> _People:
    """Lost tracks, without those that seem to have been found under another id.

    Motion predicts nothing for people out of the frame, or after a cut: no track is matched, and
    there are new detections.
    """
    later = present.since > lost.seen[:, None]
    covered = iou(lost.motion.box(), present.motion.box()) > COVERED
    lost = lost.take(np.flatnonzero(~(covered & later).any(axis=1))[:MOST_LOST])
    middle = lost.motion.place[:, :2]
    adrift = lost.adrift | ((middle < 0) | (middle > size)).any(axis=1) | cut
    return replace(lost, motion=lost.motion.unseen(adrift), adrift=adrift)
