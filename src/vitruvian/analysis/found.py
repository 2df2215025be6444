"""What is found about everybody in a frame: what they do, and their angles. For one stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

import numpy as np

from vitruvian.analysis.angles import (
    TABLE,
    Space,
    angle_names,
    angles_of_points_deg,
    body_coordinates,
    facing_direction,
    match_angles,
)
from vitruvian.analysis.events import (
    WRITTEN,
    Event,
    EventDetector,
    Options,
    State,
    StateKey,
    iterate_degrees,
    picture_event,
    rule_degrees,
)
from vitruvian.analysis.motion import VOTE
from vitruvian.analysis.points import BodyPoints, unit_vectors
from vitruvian.analysis.posture import SIDES, Body, Rule
from vitruvian.analysis.settled import SettledStates
from vitruvian.analysis.view import ViewTracker, depth_is_estimated, is_side_view
from vitruvian.body.poses import Poses
from vitruvian.body.state import SEEN
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame

# How it is said that a rule holds, and that it does not; of the others it is their name.
PHRASES = {
    "hands_in_pockets": ("{side} hand: in pocket", "{side} hand: out"),
    "hands_at_pockets": ("{side} hand: at pocket", "{side} hand: not at pocket"),
    "hands_near_body": ("{side} hand: near body", "{side} hand: away"),
    "hands_on_hips": ("{side} hand: on hip", "{side} hand: not on hip"),
    "arms_raised": ("{side} arm: raised", "{side} arm: not raised"),
    "using_phone": ("{side} hand: phone", "{side} hand: no phone"),
}


@dataclass(frozen=True)
class AnalysisSettings:
    """What is to be found out."""

    rules: Mapping[str, Rule]
    options: Options = field(default_factory=Options)
    angles: bool = False
    space: Space | None = None  # of the angles; None: as `analysis/view.py` finds best


@dataclass(frozen=True, eq=False)
class FrameAnalysis:
    """About the N people of a frame."""

    poses: Poses  # in a picture everybody has a number here, from 1 on
    degrees: dict[str, np.ndarray]  # rule -> (N,) 0..1, or (N, 2) of left and right; NaN unknown
    states: dict[
        StateKey, State
    ]  # of who has a number; "yes" in every frame of an event; live, later
    angles: np.ndarray | None  # (N, A) degrees, a column for each of `angle_names(space)`
    space: Space
    up: tuple[float, ...] | None = None  # what angles in 3D took for up; None: as in the picture
    events: list[Event] = field(default_factory=list)  # that are over now; of a picture, all of it
    spaces: tuple[Space, ...] = ()  # N: where angles were measured, "2d" also among those of "3d"
    lacks: dict[str, tuple[str, ...]] = field(default_factory=dict)  # rule -> points there are not

    def state(self, rule: str, side: str = "") -> list[State]:
        """N of them: "yes", "no" or "unknown", which also is too close to call."""
        people = self.poses.person.tolist()
        return [self.states.get(StateKey(person, rule, side), "unknown") for person in people]

    def angle_deg(self, word: str) -> np.ndarray:
        """(N,) an angle of docs/angles.md, also by the beginning of its name; NaN unknown."""
        if self.angles is None:
            raise VitruvianError(f"{word}: no angles were asked for; pass angles=True")
        (name, *_) = match_angles(word, self.space)
        return self.angles[:, angle_names(self.space).index(name)]


Pairs = list[tuple[Frame, FrameAnalysis]]


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A frame of a recording of which not everything is settled."""

    frame: Frame  # without pixels
    poses: Poses
    degrees: dict[str, np.ndarray]
    says: dict[StateKey, State]  # what this frame alone says
    events: list[Event]
    lacks: dict[str, tuple[str, ...]]


class Analyst:
    """Finds it out, frame by frame of one stream, and remembers who does what since when.

    Of a recording a frame is given when nothing that comes later can change what is said of it,
    `Options.minimum` and `gap` seconds behind, and with angles until it is known how people are
    seen, see `analysis/view.py`; without its pixels, which nobody keeps for so long. Live, and
    where masks or heat maps are asked for, which nobody keeps either, it is given at once, and
    states are those of `EventDetector.states`.
    """

    def __init__(self, asked: AnalysisSettings, *, moving: bool, live: bool = False) -> None:
        """`moving`: whether it is a video; pictures have nothing to do with each other."""
        self.asked, self.moving, self.live = asked, moving, live
        self.watch = EventDetector(asked.rules, asked.options)
        self.settled, self.views, self.toward = SettledStates(self.watch), ViewTracker(), _Toward()
        self.waiting: deque[_Waiting] = deque()

    def __call__(self, frame: Frame, poses: Poses) -> Pairs:
        """Call once a frame, in order; the frames that are settled by now, and what was found."""
        if not self.moving:
            return [(frame, self._picture(frame, poses))]
        done: Pairs = []
        heavy = poses.mask is not None or poses.maps is not None
        last = self.waiting[-1].frame if self.waiting else frame
        anew = last is not frame and (
            frame.source != last.source or not frame.seconds > last.seconds
        )
        if anew or (heavy and not self.live):
            done, _ = self.close()
            self.toward = _Toward()
        self.live |= heavy
        held, events = self.watch(frame, poses)
        lacks = self.watch.lacks
        if self.asked.angles:
            self.toward.add(frame, poses)
            if depth_is_estimated(poses):
                self.views.add(frame, poses)
        if self.live:
            found = self._found(frame, poses, held, self.watch.states(), events, lacks)
            return [*done, (frame, found)]
        state = self.asked.options.state
        pairs = iterate_degrees(held, poses)
        says: dict[StateKey, State] = {key: state(one) for key, one in pairs if key.person >= 0}
        self.settled.add(says, events)
        bare = replace(frame, pixels=None)
        self.waiting.append(_Waiting(bare, poses, held, says, events, lacks))
        return [*done, *self._ready(frame.seconds, over=False)]

    def close(self) -> tuple[Pairs, list[Event]]:
        """The frames that were not settled; and the events that the end ends, if it gives none.

        Otherwise they come with the last frame.
        """
        events = self.watch.close()
        if not self.waiting:
            return [], events
        self.settled.add({}, events)
        self.waiting[-1].events.extend(events)
        return list(self._ready(np.inf, over=True)), []

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
        body, options = Body(poses, frame), self.asked.options
        held = rule_degrees(self.asked.rules, body)
        pairs = list(iterate_degrees(held, poses))
        states: dict[StateKey, State] = {key: options.state(degree) for key, degree in pairs}
        events = [picture_event(key, degree, frame, options) for key, degree in pairs]
        return self._found(frame, poses, held, states, events, body.lacks)

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
            angles = np.full((len(poses), len(angle_names(space))), np.nan, np.float32)
            for one in dict.fromkeys(spaces):
                rows = np.flatnonzero([each == one for each in spaces])
                some = poses.take(rows)
                columns = np.array([angle_names(space).index(name) for name in angle_names(one)])
                known = self.toward.at(frame, some) if one == "2d" and self.moving else None
                angles[np.ix_(rows, columns)] = angles_of_points_deg(
                    *(some.skeleton, body_coordinates(some, one), some.score, one),
                    up=up if one == "3d" else None,
                    facing=known,
                )
        return FrameAnalysis(poses, held, states, angles, space, up, events, spaces, lacks)

    def _spaces(self, poses: Poses, space: Space) -> tuple[Space, ...]:
        """Where each of N people is measured."""
        if self.asked.space is not None or not self.asked.angles or not depth_is_estimated(poses):
            return (space,) * len(poses)
        if self.moving:
            return tuple(self.views.people[person].space for person in poses.person.tolist())
        return tuple("2d" if side == 1 else "3d" for side in is_side_view(poses))


class _Toward:
    """Which side everybody faces: what most frames say no farther away than `VOTE` seconds.

    As `motion.facing_over_time` has it; live, of those before.
    """

    def __init__(self) -> None:
        self.says: dict[int, deque[tuple[float, float]]] = {}  # 1 right, -1 left; NaN is left out
        self.far = VOTE + WRITTEN

    def add(self, frame: Frame, poses: Poses) -> None:
        sides = facing_direction(poses.skeleton, poses.xy, poses.score).tolist()
        for person, side in zip(poses.person.tolist(), sides, strict=True):
            if side == side:
                self.says.setdefault(person, deque()).append((frame.seconds, side))

    def at(self, frame: Frame, poses: Poses) -> np.ndarray:
        """(N,) 1 right, -1 left, NaN. Call in order: what is too old is forgotten."""
        now, sums = frame.seconds, []
        for person in poses.person.tolist():
            says = self.says.get(person, deque())
            while says and says[0][0] < now - self.far:
                says.popleft()
            near = takewhile(lambda one: one[0] <= now + self.far, says)
            sums.append(np.sign(sum(side for _, side in near)) or np.nan)
        return np.array(sums, float)


def state_label(
    found: FrameAnalysis, person: int, *, everything: bool
) -> Iterator[tuple[str, State]]:
    """What is written about somebody, and the state it tells of.

    `everything`: also what somebody does not do, and what is not known.
    """
    for rule, values in found.degrees.items():
        for side in SIDES if values.ndim == 2 else ("",):
            state = found.states.get(StateKey(person, rule, side))
            if state is not None and (everything or state == "yes"):
                yield state_phrase(rule, side, state), state


def state_phrase(rule: str, side: str, state: State) -> str:
    """A state in words, such as "left hand: in pocket"."""
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
    """Where an angle is drawn: (N, 2) each, pixels of the frame.

    Returns:
        The joint; the way in which the angle is zero, NaN if that is no way from there; and the
        way that is measured against it.
    """
    angle = _BY_NAME[name]
    points = BodyPoints(poses.skeleton, poses.xy, poses.score, SEEN)
    named = [points[point] for point in angle.points]
    if angle.way == "bend":
        return named[1], named[1] - named[0], named[2] - named[1]
    at, to = named[-2], named[-1] - named[-2]
    if angle.way in ("foot", "tilt", "out", "turn"):
        return at, np.full_like(at, np.nan), to
    trunk = unit_vectors(points["mid_shoulder"] - points["mid_hip"])
    axis = trunk if angle.to == "trunk" else np.broadcast_to(np.asarray(up, float), at.shape)
    return at, -axis if angle.down else axis, to


def head_top_y(poses: Poses) -> np.ndarray:
    """(N,) pixels, about how high up the head goes; NaN unknown. Boxes of keypoints end below."""
    points = BodyPoints(poses.skeleton, poses.xy, poses.score, SEEN)
    neck = np.linalg.norm(points["mid_shoulder"] - points["nose"], axis=-1)
    return points["nose"][:, 1] - 0.65 * neck
