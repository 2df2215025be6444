"""Analysis of one stream: states (rules), events and joint angles of each person in each frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import takewhile

import numpy as np

from vitruvian.analysis.angles import (
    TABLE,
    Space,
    angle_names,
    angles_of_points_deg,
    body_coordinates,
    facing_of_points,
    has_parts,
    match_angles,
)
from vitruvian.analysis.degrees import BatchedDegrees, FrameDegrees, StateKey, frame_degrees
from vitruvian.analysis.events import (
    WRITTEN,
    Event,
    EventDetector,
    Options,
    State,
    picture_event,
)
from vitruvian.analysis.motion import VOTE
from vitruvian.analysis.points import BodyPoints, unit_vectors
from vitruvian.analysis.posture import SIDES, Rule
from vitruvian.analysis.settled import SettledStates
from vitruvian.analysis.view import ViewTracker, depth_is_estimated, is_side_view
from vitruvian.body.poses import Poses
from vitruvian.body.state import SEEN
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame

# Labels for a rule that holds and that does not; for other rules their name is used.
PHRASES = {
    "hands_in_pockets": ("{side} hand: in pocket", "{side} hand: out"),
    "hands_at_pockets": ("{side} hand: at pocket", "{side} hand: not at pocket"),
    "hands_near_body": ("{side} hand: near body", "{side} hand: away"),
    "hands_on_hips": ("{side} hand: on hip", "{side} hand: not on hip"),
    "arms_raised": ("{side} arm: raised", "{side} arm: not raised"),
    "using_phone": ("{side} hand: phone", "{side} hand: no phone"),
    "pinch": ("{side} hand: pinch", "{side} hand: no pinch"),
    "fist": ("{side} hand: fist", "{side} hand: no fist"),
    "pointing": ("{side} hand: pointing", "{side} hand: not pointing"),
    "open_palm": ("{side} hand: open palm", "{side} hand: no open palm"),
}


@dataclass(frozen=True)
class AnalysisSettings:
    """What to analyse."""

    rules: Mapping[str, Rule]
    options: Options = field(default_factory=Options)
    angles: bool = False
    space: Space | None = None  # of the angles, 2D or 3D; None: chosen by `analysis/view.py`
    people: tuple[int, ...] = ()  # track ids of those who are analysed; empty: everybody

    def select(self, poses: Poses) -> Poses:
        """Those of the people who are analysed."""
        if not self.people or np.isin(poses.person, self.people).all():
            return poses
        return poses.take(np.isin(poses.person, self.people))


@dataclass(frozen=True, eq=False)
class FrameAnalysis:
    """Analysis of the N people in a frame."""

    poses: Poses  # in still images people are numbered from 1
    degrees: dict[str, np.ndarray]  # rule -> (N,) 0..1, or (N, 2) of left and right; NaN unknown
    states: dict[
        StateKey, State
    ]  # of tracked people; "yes" in every frame of an event; live with a delay
    angles: np.ndarray | None  # (N, A) degrees, one column per name in `angle_names(space, parts)`
    space: Space
    up: tuple[float, ...] | None = None  # up vector of 3D angles; None: image up
    events: list[Event] = field(default_factory=list)  # ended by this frame; for images, all
    spaces: tuple[Space, ...] = ()  # N: space of each person's angles; may mix "2d" and "3d"
    lacks: dict[str, tuple[str, ...]] = field(default_factory=dict)  # rule -> missing points

    def state(self, rule: str, side: str = "") -> list[State]:
        """State of each of the N people: "yes", "no" or "unknown" (also for degrees in between)."""
        people = self.poses.person.tolist()
        return [self.states.get(StateKey(person, rule, side), "unknown") for person in people]

    def angle_deg(self, word: str) -> np.ndarray:
        """(N,) an angle of docs/angles.md, by its name or a prefix of it; NaN if unknown."""
        if self.angles is None:
            raise VitruvianError(f"{word}: angles were not computed; pass angles=True")
        (name, *_) = match_angles(word, self.space)
        names = angle_names(self.space, has_parts(self.poses.skeleton))
        if name not in names:
            return np.full(len(self.poses), np.nan, np.float32)
        return self.angles[:, names.index(name)]


Pairs = list[tuple[Frame, FrameAnalysis]]


@dataclass(eq=False)
class _Waiting:
    """A frame of a recording whose states are not final yet."""

    frame: Frame  # without pixels
    poses: Poses
    degrees: dict[str, np.ndarray]
    says: dict[StateKey, State]  # states by this frame alone
    events: list[Event]
    lacks: dict[str, tuple[str, ...]]


class Analyst:
    """Analyses one stream, frame by frame. Stateful: keeps the current events of each person.

    Frames of a recording are returned in batches (`BatchedDegrees`), with a delay of
    `Options.minimum` and `gap` seconds, when later frames cannot change their states any more, and
    with angles until the view (side or front, `analysis/view.py`) is decided; they come without
    pixels, to save memory. In live
    streams, and with masks or heat maps, which are too large to keep, frames are returned at once
    with the states of `EventDetector.states`.
    """

    def __init__(self, asked: AnalysisSettings, *, moving: bool, live: bool = False) -> None:
        """`moving`: whether it is a video; still images are independent of each other."""
        self.asked, self.moving, self.live = asked, moving, live
        self.watch = EventDetector(asked.rules, asked.options)
        self.settled, self.views, self.toward = SettledStates(self.watch), ViewTracker(), _Toward()
        self.waiting: deque[_Waiting] = deque()
        self.batch = BatchedDegrees(asked.rules)

    def __call__(self, frame: Frame, poses: Poses) -> Pairs:
        """Process the next frame; returns the frames that are final, with their analysis."""
        if not self.moving:
            return [(frame, self._picture(frame, poses))]
        heavy = poses.mask is not None or poses.maps is not None
        if not (self.live or heavy):
            return [pair for one in self.batch(frame, poses) for pair in self._add(one)]
        before: Pairs = []
        if not self.live:
            before, _ = self.close()
            self.live, self.toward = True, _Toward()
        held, events = self.watch(frame, poses)
        self._see(frame, poses)
        states, lacks = self.watch.states(), self.watch.lacks
        return [*before, (frame, self._found(frame, poses, held, states, events, lacks))]

    def _see(self, frame: Frame, poses: Poses) -> None:
        """Which way people face, and how they are seen."""
        if self.asked.angles:
            points = BodyPoints(poses.skeleton, poses.xy, poses.score, SEEN)
            self.toward.add(frame, poses, points)
            if depth_is_estimated(poses):
                self.views.add(frame, poses, points)

    def _add(self, one: FrameDegrees) -> Pairs:
        """A frame of a recording; returns the frames that are final now."""
        done: Pairs = []
        frame, poses, held = one.frame, one.poses, one.degrees
        last = self.waiting[-1].frame if self.waiting else frame
        if last is not frame and (frame.source != last.source or not frame.seconds > last.seconds):
            done = self._finish()
            self.toward = _Toward()
        degrees = one.by_key()
        if min(poses.person.tolist(), default=0) < 0:
            degrees = {key: degree for key, degree in degrees.items() if key.person >= 0}
        events = self.watch.add(one, degrees)
        self._see(frame, poses)
        state = self.asked.options.state
        says: dict[StateKey, State] = {key: state(degree) for key, degree in degrees.items()}
        self.settled.add(says, events)
        self.waiting.append(_Waiting(frame, poses, held, says, events, one.lacks))
        return [*done, *self._ready(frame.seconds, over=False)]

    def _finish(self) -> Pairs:
        """The frames of a source that is over."""
        events = self.watch.close()
        self.settled.add({}, events)
        self.waiting[-1].events.extend(events)
        return list(self._ready(np.inf, over=True))

    def close(self) -> tuple[Pairs, list[Event]]:
        """End the stream: the remaining frames; the remaining events only if there are no frames.

        Otherwise the events come with the last frame.
        """
        done = [pair for one in self.batch.flush() for pair in self._add(one)]
        if not self.waiting:
            return done, self.watch.close()
        return [*done, *self._finish()], []

    def _ready(self, now: float, *, over: bool) -> Iterator[tuple[Frame, FrameAnalysis]]:
        while self.waiting:
            one = self.waiting[0]
            if self.asked.angles and not over:
                people = one.poses.person.tolist() if depth_is_estimated(one.poses) else []
                free = self.asked.space is not None or self.views.decided(people)
                if not free or now - one.frame.seconds <= VOTE + WRITTEN:
                    return
            states = self.settled.take(one.says, over=over)
            if states is None:
                return
            self.waiting.popleft()
            about = (one.degrees, states, one.events, one.lacks)
            yield one.frame, self._found(one.frame, one.poses, *about)

    def _picture(self, frame: Frame, poses: Poses) -> FrameAnalysis:
        poses = replace(poses, person=np.arange(1, len(poses) + 1))
        options, one = self.asked.options, frame_degrees(self.asked.rules, frame, poses)
        degrees = one.by_key()
        states: dict[StateKey, State] = {key: options.state(d) for key, d in degrees.items()}
        events = [picture_event(key, one, degree, options) for key, degree in degrees.items()]
        return self._found(frame, poses, one.degrees, states, events, one.lacks)

    def _found(
        self,
        frame: Frame,
        poses: Poses,
        held: dict[str, np.ndarray],
        states: dict[StateKey, State],
        events: list[Event],
        lacks: dict[str, tuple[str, ...]],
    ) -> FrameAnalysis:
        space: Space = self.asked.space or ("2d" if poses.xyz is None else "3d")
        camera = frame.camera if space == "3d" else None
        up = None if camera is None else tuple(camera.up.tolist())
        spaces = self._spaces(poses, space)
        angles = None
        if self.asked.angles:
            parts = has_parts(poses.skeleton)
            angles = np.full((len(poses), len(angle_names(space, parts))), np.nan, np.float32)
            for one in dict.fromkeys(spaces):
                rows = np.flatnonzero([each == one for each in spaces])
                people = poses.person[rows].tolist()
                known = self.toward.at(frame, people) if one == "2d" and self.moving else None
                angles[np.ix_(rows, _columns(one, space, parts))] = angles_of_points_deg(
                    *(poses.skeleton, body_coordinates(poses, one)[rows], poses.score[rows], one),
                    up=up if one == "3d" else None,
                    facing=known,
                    parts=parts,
                    xy=poses.xy[rows],
                )
        return FrameAnalysis(poses, held, states, angles, space, up, events, spaces, lacks)

    def _spaces(self, poses: Poses, space: Space) -> tuple[Space, ...]:
        """The space, 2D or 3D, of each person's angles."""
        if self.asked.space is not None or not self.asked.angles or not depth_is_estimated(poses):
            return (space,) * len(poses)
        if self.moving:
            return tuple(self.views.people[person].space for person in poses.person.tolist())
        points = BodyPoints(poses.skeleton, poses.xy, poses.score, SEEN)
        return tuple("2d" if side == 1 else "3d" for side in is_side_view(points))


@cache
def _columns(of: Space, space: Space, parts: bool) -> np.ndarray:
    """(A,) the columns of the angles of a space among those of another one that has them all."""
    return np.array([angle_names(space, parts).index(name) for name in angle_names(of, parts)])


class _Toward:
    """Facing direction of each person: majority of the frames within `VOTE` seconds.

    As in `motion.facing_over_time`; in live streams, of past frames only.
    """

    def __init__(self) -> None:
        self.says: dict[int, deque[tuple[float, float]]] = {}  # 1 right, -1 left; NaN is skipped
        self.far = VOTE + WRITTEN

    def add(self, frame: Frame, poses: Poses, points: BodyPoints) -> None:
        sides = facing_of_points(points).tolist()
        for person, side in zip(poses.person.tolist(), sides, strict=True):
            if side == side:
                self.says.setdefault(person, deque()).append((frame.seconds, side))

    def at(self, frame: Frame, people: Sequence[int]) -> np.ndarray:
        """(N,) 1 right, -1 left, NaN unknown. Call in order of time: old frames are dropped."""
        now, sums = frame.seconds, []
        for person in people:
            says = self.says.get(person, deque())
            while says and says[0][0] < now - self.far:
                says.popleft()
            near = takewhile(lambda one: one[0] <= now + self.far, says)
            sums.append(np.sign(sum(side for _, side in near)) or np.nan)
        return np.array(sums, float)


def state_label(
    found: FrameAnalysis, person: int, *, everything: bool
) -> Iterator[tuple[str, State]]:
    """Labels of a person's states, each with its state.

    `everything`: also for the states "no" and "unknown".
    """
    for rule, values in found.degrees.items():
        for side in SIDES if values.ndim == 2 else ("",):
            state = found.states.get(StateKey(person, rule, side))
            if state is not None and (everything or state == "yes"):
                yield state_phrase(rule, side, state), state


def state_phrase(rule: str, side: str, state: State) -> str:
    """A state as a label, such as "left hand: in pocket"."""
    name = rule.replace("_", " ")
    start = f"{side}: " if side else ""
    yes, no = PHRASES.get(rule, (f"{start}{name}", f"{start}not {name}"))
    if state == "unknown":
        subject = yes.partition(":")[0] if rule in PHRASES else f"{start}{name}"
        return f"{subject.format(side=side)}: unknown"
    return (yes if state == "yes" else no).format(side=side)


_BY_NAME = {angle.name: angle for angle in TABLE}


def angle_arms(
    name: str, poses: Poses, up: Sequence[float] = (0.0, -1.0)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Geometry for drawing an angle: (N, 2) each, pixels of the frame.

    Returns:
        The vertex; the direction of angle zero, NaN if it has none; and the measured direction.
    """
    angle = _BY_NAME[name]
    points = BodyPoints(poses.skeleton, poses.xy, poses.score, SEEN)
    if angle.way == "face":
        nowhere = np.full_like(poses.xy[:, 0], np.nan, float)
        return points["nose"], nowhere, nowhere
    named = [points[point] for point in angle.points]
    if angle.way == "bend":
        return named[1], named[1] - named[0], named[2] - named[1]
    at, to = named[-2], named[-1] - named[-2]
    if angle.way == "spread":
        return named[2], named[1] - named[0], named[3] - named[2]
    if angle.way in ("foot", "tilt", "out", "turn"):
        return at, np.full_like(at, np.nan), to
    trunk = unit_vectors(points["mid_shoulder"] - points["mid_hip"])
    axis = trunk if angle.to == "trunk" else np.broadcast_to(np.asarray(up, float), at.shape)
    return at, -axis if angle.down else axis, to


def head_top_y(poses: Poses) -> np.ndarray:
    """(N,) pixels, approximate y of the top of the head, above all keypoints; NaN if unknown."""
    points = BodyPoints(poses.skeleton, poses.xy, poses.score, SEEN)
    neck = np.linalg.norm(points["mid_shoulder"] - points["nose"], axis=-1)
    return points["nose"][:, 1] - 0.65 * neck
