"""Confirm: track ids only for tracks that have proved to be a person (track confirmation).

Detectors also find people in the foot of a table, in a head close to the camera, or twice where
there is one. Such ghosts have high scores, but no body: the lengths of their bones change at
random, while those of a person hardly do in a quarter of a second, however fast the person moves.
So each sighting is evidence for a person or against, and a track is confirmed by a sequential test:
by their sum, which does not fall far below 0 (Wald 1945; Page 1954, "Continuous inspection
schemes"). Where nothing is against, that takes 0.7 seconds.

A recording is held back for up to `WAIT` seconds where somebody is not confirmed yet: who is
confirmed has the track id from the first sighting on, and all others are left out. In a live stream
poses come at once, and `person` is -1 until the track is confirmed.

A person lost and found again near that place gets the previous id, where `Identify` gave a new one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.similar import alike
from vitruvian.errors import amount, note
from vitruvian.frame import Frame
from vitruvian.streams.identify import MOST_LOST
from vitruvian.streams.one_euro import beside_body
from vitruvian.streams.windows import Pair

# Maximum change of the bones of a person, see `bone_change`, between sightings 0.3 s apart. Those
# who walk and jump in ../shared/data/videos/sports2d_demo.mp4 are below in 63 to 95 % of them
# (BlazePose, YOLOv8n), what BlazePose finds in the foot of a table in 0 to 32 %.
STEADY = 0.15
# The same where BlazePose is certain that somebody is there: bones of who turns or balances, seen
# from the side, are foreshortened. In cam02 of Pose2Sim's single-person demo 29 % of sightings are
# below `STEADY`; this limit and those of 0.25 and 0.35 keep the person, and find as many people in
# ../shared/data/videos. `CERTAIN` is the minimum box score for it: in intel_one_by_one_person.mp4
# 96 % of the sightings of people are above, 3 % of those of a table's foot (blazepose-full; lite 89
# and 3 %, heavy 94 and 15 %).
TURNING, CERTAIN = 0.3, 0.995
# Minimum mean score of the better half of the keypoints; the other half of a body may be hidden.
# vitruvian-2d, 80 pictures of ../shared/data/coco_pictures, conf 0.2: 88 % of 168 right detections
# are above it, 32 % of 122 wrong ones.
FAINT = 0.3
# Minimum box score of BlazePose, which is the probability that somebody is in the crop. With people
# found by vitruvian-find, 60 of those pictures: 88 % of 77 right ones are above, 1 of 14 others.
PRESENT = 0.9
FOR = 2  # what a sighting for a person adds; one against takes 1
NEEDED = 10  # the sum from which a track is confirmed
LOWEST = -4  # what it does not fall below, so that a person may take over the track of a ghost
SOON = 0.09  # seconds; sightings at shorter intervals than this are no new evidence
APART = 0.25  # seconds, minimum between two sightings that are compared
KEPT = 8  # sightings of a track, for that
SHORT = 0.7  # seconds; 5 sightings after the first `APART`: a shorter clip cannot tell
FEW = NEEDED // FOR + 1  # frames; neither can so many
WAIT = 3.0  # seconds that a recording is held back
LEAST_HELD = 20  # frames of it, at low frame rates
MOST_HELD = 1000  # frames of it, where timestamps stand still
PIXELS = 256e6  # bytes of pixels that are held back; beyond that, the source is read a second time
YUV = 1.5  # bytes per pixel of a video: 8 bits, 4:2:0
GONE = 0.5  # seconds unseen after which a track must be confirmed again, by one sighting
MISSING = 3.0  # seconds, maximum absence after which somebody new may be the person lost
PACE = 2.0  # heights per second, maximum speed meanwhile: 3.5 m/s, running
NEAR = 0.5  # heights, and as far as that at once
SHRINKS = 0.8  # what remains of a height after a second
LIKE = 2.0  # maximum ratio of the two heights: who crouches is half as tall
EDGE = 0.02  # of the frame: who is lost or found this close to its edge may have left or come in


@dataclass(eq=False)
class _Track:
    """What is known about a track of `Identify`."""

    seen: float  # seconds, of the last sighting
    last: deque[tuple[float, Poses]]  # sightings `SOON` apart, at these seconds
    height: float  # pixels, longer side of the box, the largest lately
    credit: int = 0  # the sum of the sequential test
    good: bool = False  # whether the last sighting was for a person
    open: float = -np.inf  # seconds from which on it is not confirmed; inf: it is
    there: float = -np.inf  # seconds, of the last sighting while confirmed
    box: np.ndarray | None = None  # (4,) then
    again: tuple[_Track, float] | None = None  # a lost person who may be the same; `there` then
    number: int = 0  # track id given to it; 0: none yet

    @property
    def sure(self) -> bool:
        """Whether it is confirmed now."""
        return self.open == np.inf

    def add(self, now: float, one: Poses, *, twice: bool) -> None:
        """Add a sighting, and what it says together with an earlier one.

        `twice`: whether it shows somebody else a second time.
        """
        if self.last and 0 < now - self.last[-1][0] < SOON:
            return
        for seconds, before in reversed(self.last):
            if not 0 < now - seconds < APART:
                change = bone_change(one, before)
                certain = one.presence is not None and one.box_score[0] >= CERTAIN
                against = twice or change > (TURNING if certain else STEADY) or _faint(one)
                step = -1 if against else FOR
                self.credit, self.good = max(self.credit + step, LOWEST), not against
                break
        self.last.append((now, one))


class Confirm:
    """Numbers confirmed people from 1, in order of appearance; call it once per frame, in order.

    Its input has the ids of `Identify`, with `sure` 0.
    """

    def __init__(self, *, by_number: bool = False) -> None:
        """`by_number`: whether people come out sorted by track id, not in input order."""
        self.by_number = by_number
        self.tracks: dict[int, _Track] = {}  # by the id of `Identify`; last seen last
        self.given = 0  # track ids so far
        self.before = -np.inf  # seconds of the last frame

    def __call__(self, frame: Frame, poses: Poses) -> Poses:
        """The same poses at once; `person` is -1 where the track is not confirmed yet."""
        self._see(frame, poses)
        return self._named(frame, poses, everyone=True)

    def through(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """The frames of a recording with confirmed people only, held back where needed.

        Where the pixels of the frames held back would need more memory than `PIXELS`, the first
        ones come without pixels. In a recording of at most `FEW` frames or `SHORT`
        seconds, nobody is left out.
        """
        held: deque[Pair] = deque()
        frames, first, last = 0, None, 0.0
        for frame, poses in pairs:
            frames, last = frames + 1, frame.seconds
            first = last if first is None else first
            self._see(frame, poses)
            held.append((frame, poses))
            while held and self._due(held, frame.seconds):
                yield self._out(held.popleft())
            if held:
                held[-1] = replace(frame), poses  # without pixels converted to RGB
                _strip(held)
        short = frames <= FEW or last - (first or 0.0) <= SHORT
        for one in self.tracks.values():
            one.open = np.inf if short or one.credit > 0 else one.open
        while held:
            yield self._out(held.popleft(), everyone=short)
        if self.tracks and not self.given:
            note(
                f"none of the {amount(len(self.tracks), 'person', 'people')} found is confirmed as "
                "one, as bones change too much or scores are too low; all are left out: to keep "
                "them, pass --no-confirm (confirm=False)"
            )

    def _due(self, held: deque[Pair], now: float) -> bool:
        """Whether the first frame held back need not wait any longer."""
        (frame, poses), waited = held[0], len(held) - 1
        late = waited >= LEAST_HELD and now - frame.seconds > WAIT
        if late or waited >= MOST_HELD:
            return True
        known = (self.tracks.get(who) for who in poses.person.tolist() if who >= 0)
        return all(one is not None and frame.seconds < one.open for one in known)

    def _out(self, pair: Pair, *, everyone: bool = False) -> Pair:
        frame, poses = pair
        return frame, self._named(frame, poses, everyone=everyone)

    def _see(self, frame: Frame, poses: Poses) -> None:
        """Add the evidence of a frame."""
        found = _body(poses if poses.raw is None else poses.raw)
        now, twice = frame.seconds, self._twice(poses)
        for row, who in enumerate(poses.person.tolist()):
            if who < 0:
                continue
            box = poses.box[row]
            side = max(float((box[2:] - box[:2]).max()), 1.0)
            one = self.tracks.pop(who, None) or _Track(now, deque(maxlen=KEPT), side)
            if one.sure and one.seen != self.before and now - one.seen > GONE:
                one.open, one.good, one.credit = now, False, 0
                one.last.clear()
            one.add(now, found.take([row]), twice=twice[row])
            one.height = max(side, one.height * SHRINKS ** max(now - one.seen, 0.0))
            if not one.sure:
                if one.box is None and one.good and (lost := self._lost(one, frame.size)):
                    one.again = lost, lost.there
                back = one.good and (one.again is not None or one.box is not None)
                one.open = np.inf if back or one.credit >= NEEDED else one.open
            if one.sure:
                one.there, one.box = now, box
            one.seen = now
            self.tracks[who] = one
        self.before = now
        while len(self.tracks) > MOST_LOST + len(poses):
            del self.tracks[next(iter(self.tracks))]

    def _named(self, frame: Frame, poses: Poses, *, everyone: bool) -> Poses:
        """The poses with their track ids; without those who have none, except for `everyone`."""
        number, twice = np.full(len(poses), -1, np.int64), self._twice(poses)
        for row in np.argsort(poses.person, kind="stable").tolist():
            one = self.tracks.get(int(poses.person[row]))
            if one is None or not frame.seconds < one.open:
                continue
            if not one.number and not twice[row]:
                one.number = self._number(one, frame)
            number[row] = one.number or -1
        keep = np.arange(len(poses))
        if not everyone:
            keep = np.flatnonzero((number > 0) | (poses.person < 0))
        if self.by_number:
            keep = keep[np.argsort(np.where(number[keep] > 0, number[keep], np.inf), kind="stable")]
        named = _with_ids(poses, number)
        return named if np.array_equal(keep, np.arange(len(poses))) else named.take(keep)

    def _number(self, one: _Track, frame: Frame) -> int:
        """The id of the lost person who is the same, or else a new one; 0: both are there."""
        if one.again is not None:
            lost, seen = one.again
            if lost.number and lost.there == seen:
                if frame.seconds <= seen:
                    return 0
                number, lost.number = lost.number, 0
                return number
        self.given += 1
        return self.given

    def _twice(self, poses: Poses) -> np.ndarray:
        """(N,) bool, whether somebody is somebody else found twice, who is better known."""
        known = [self.tracks.get(who) for who in poses.person.tolist()]
        if len(poses) < 2 or all(one is not None and one.number for one in known):
            return np.zeros(len(poses), bool)
        same = alike(poses)
        rank = [(one.number > 0, one.sure) if one else (False, False) for one in known]
        order = sorted(range(len(poses)), key=lambda i: (*rank[i], poses.box_score[i]))
        place = np.argsort(order)
        return np.any((same | same.T) & (place[:, None] < place), axis=1)

    def _lost(self, one: _Track, size: tuple[int, int]) -> _Track | None:
        """Of the people lost lately the nearest who may be this one, see `MISSING`."""
        best, lost = np.inf, None
        for other in self.tracks.values():
            if not other.number or not 1 / LIKE <= one.height / other.height <= LIKE:
                continue
            since = next((each for each in one.last if each[0] > other.there), None)
            before = other.box
            if since is None or before is None or since[0] - other.there > MISSING:
                continue
            gap, box = since[0] - other.there, since[1].box[0]
            apart = float(np.linalg.norm(box[:2] + box[2:] - before[:2] - before[2:])) / 2
            reach = other.height * (NEAR + PACE * gap)
            if not (_inside(box, size) and _inside(before, size)):
                reach = other.height * NEAR if gap <= GONE else 0.0
            if apart < best and apart <= reach:
                best, lost = apart, other
        return lost


def bone_change(one: Poses, other: Poses) -> float:
    """How much the lengths of bones differ between two poses, as a share of all; NaN: unknown.

    Each is of one person, N = 1. Both are scaled to the same sum of lengths; each bone has the
    weight of its least certain end. So 0 is the same body in any place, size and attitude in the
    image plane.
    """
    ends = np.array(one.skeleton.bones, np.int64).reshape(-1, 2)
    weight = np.minimum(one.score[0, ends].min(axis=1), other.score[0, ends].min(axis=1))
    a, b = (
        np.linalg.norm(np.diff(each.xy[0, ends], axis=1)[:, 0], axis=1) for each in (one, other)
    )
    known = np.isfinite(a) & np.isfinite(b) & (weight > 0)
    a, b = weight[known] * a[known], weight[known] * b[known]
    if not a.sum() > 0 or not b.sum() > 0:
        return np.nan
    return float(np.abs(a / a.sum() - b / b.sum()).sum())


def _body(poses: Poses) -> Poses:
    """Without hands and face: they move otherwise than bones, and many are not found."""
    parts = poses.skeleton.parts
    if not beside_body(poses.skeleton) or "body" not in parts:
        return poses
    kept = sorted((*parts["body"], *parts.get("feet", ())))
    return poses.with_keypoints(poses.skeleton.only(kept, f"{poses.skeleton.name}_body"), kept)


def _faint(one: Poses) -> bool:
    """Whether scores say that hardly anybody is there."""
    if one.presence is not None and one.box_score[0] < PRESENT:
        return True
    known = np.sort(one.score[0][np.isfinite(one.score[0])])
    return len(known) > 0 and float(known[len(known) // 2 :].mean()) < FAINT


def _with_ids(poses: Poses, person: np.ndarray) -> Poses:
    """The poses with these track ids, everywhere."""
    raw = None if poses.raw is None else _with_ids(poses.raw, person)
    look = None if poses.look is None else replace(poses.look, person=person)
    return replace(poses, person=person, raw=raw, look=look)


def _strip(held: deque[Pair]) -> None:
    """Leave out the pixels of the first frames if all together are too large."""
    room = PIXELS
    for i in range(len(held) - 1, -1, -1):
        frame, poses = held[i]
        if frame.pixels is None:
            return
        if not isinstance(frame.pixels, np.ndarray):  # arrays are the caller's, who keeps them
            room -= YUV * frame.size[0] * frame.size[1]
        if room < 0:
            held[i] = replace(frame, pixels=None), poses


def _inside(box: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether a box is not at the edge of the frame."""
    margin = EDGE * np.array(size)
    return bool((box[:2] > margin).all() and (box[2:] < size - margin).all())
