"""What is found about everybody in a frame: what they do, and their angles. For one stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vitruvian.analyse.angles import TABLE, Space, angles_deg, chosen, names
from vitruvian.analyse.events import (
    Event,
    Key,
    Options,
    State,
    Watch,
    degrees,
    each,
    in_picture,
)
from vitruvian.analyse.points import Points, unit
from vitruvian.analyse.posture import SIDES, Body, Rule
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
class Asked:
    """What is to be found out."""

    rules: Mapping[str, Rule]
    options: Options = field(default_factory=Options)
    angles: bool = False
    space: Space | None = None  # of the angles; None: 3d where there are metres


@dataclass(frozen=True, eq=False)
class Found:
    """About the N people of a frame."""

    poses: Poses  # in a picture everybody has a number here, from 1 on
    degrees: dict[str, np.ndarray]  # rule -> (N,) 0..1, or (N, 2) of left and right; NaN unknown
    states: dict[Key, State]  # of who has a number; in a video without the doubts of single frames
    angles: np.ndarray | None  # (N, A) degrees, a column for each of `names(space)`
    space: Space
    up: tuple[float, ...] | None = None  # what the angles took for up; None: what is in the picture
    events: list[Event] = field(default_factory=list)  # that are over now; of a picture, all of it

    def state(self, rule: str, side: str = "") -> list[State]:
        """N of them: "yes", "no" or "unknown", which also is too close to call."""
        people = self.poses.person.tolist()
        return [self.states.get(Key(person, rule, side), "unknown") for person in people]

    def angle_deg(self, word: str) -> np.ndarray:
        """(N,) an angle of docs/angles.md, also by the beginning of its name; NaN unknown."""
        if self.angles is None:
            raise VitruvianError(f"{word}: no angles were asked for; pass angles=True")
        (name, *_) = chosen(word, self.space)
        return self.angles[:, names(self.space).index(name)]


class Analyst:
    """Finds it out, frame by frame of one stream, and remembers who does what since when."""

    def __init__(self, asked: Asked, *, moving: bool) -> None:
        """`moving`: whether it is a video; pictures have nothing to do with each other."""
        self.asked, self.moving = asked, moving
        self.watch = Watch(asked.rules, asked.options)

    def __call__(self, frame: Frame, poses: Poses) -> Found:
        """Call once a frame, in order."""
        asked = self.asked
        space: Space = asked.space or ("2d" if poses.xyz is None else "3d")
        if not self.moving:
            poses = replace(poses, person=np.arange(1, len(poses) + 1))
        camera = frame.camera if space == "3d" else None
        up = None if camera is None else tuple(camera.up.tolist())
        angles = angles_deg(poses, space, up=up) if asked.angles else None
        if self.moving:
            held, events = self.watch(frame, poses)
            return Found(poses, held, self.watch.states(), angles, space, up, events)
        held = degrees(asked.rules, Body(poses, frame))
        pairs = list(each(held, poses))
        states: dict[Key, State] = {key: asked.options.state(degree) for key, degree in pairs}
        events = [in_picture(key, degree, frame, asked.options) for key, degree in pairs]
        return Found(poses, held, states, angles, space, up, events)

    def close(self) -> list[Event]:
        """The events that the end of the stream ends."""
        return self.watch.close()


def said(found: Found, person: int, *, everything: bool) -> Iterator[tuple[str, State]]:
    """What is written about somebody, and the state it tells of.

    `everything`: also what somebody does not do, and what is not known.
    """
    for rule, values in found.degrees.items():
        for side in SIDES if values.ndim == 2 else ("",):
            state = found.states.get(Key(person, rule, side))
            if state is not None and (everything or state == "yes"):
                yield phrase(rule, side, state), state


def phrase(rule: str, side: str, state: State) -> str:
    """A state in words, such as "left hand: in pocket"."""
    name = rule.replace("_", " ")
    start = f"{side}: " if side else ""
    yes, no = PHRASES.get(rule, (f"{start}{name}", f"{start}not {name}"))
    if state == "unknown":
        subject = yes.partition(":")[0] if rule in PHRASES else f"{start}{name}"
        return f"{subject.format(side=side)}: unknown"
    return (yes if state == "yes" else no).format(side=side)


_BY_NAME = {angle.name: angle for angle in TABLE}


def arms_of(
    name: str, poses: Poses, up: Sequence[float] = (0.0, -1.0)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where an angle is drawn: (N, 2) each, pixels of the frame.

    Returns:
        The joint; the way in which the angle is zero, NaN if that is no way from there; and the
        way that is measured against it.
    """
    angle = _BY_NAME[name]
    points = Points(poses.skeleton, poses.xy, poses.score, SEEN)
    named = [points[point] for point in angle.points]
    if angle.way == "bend":
        return named[1], named[1] - named[0], named[2] - named[1]
    at, to = named[-2], named[-1] - named[-2]
    if angle.way in ("foot", "tilt", "out", "turn"):
        return at, np.full_like(at, np.nan), to
    trunk = unit(points["mid_shoulder"] - points["mid_hip"])
    axis = trunk if angle.to == "trunk" else np.broadcast_to(np.asarray(up, float), at.shape)
    return at, -axis if angle.down else axis, to


def head_top(poses: Poses) -> np.ndarray:
    """(N,) pixels, about how high up the head goes; NaN unknown. Boxes of keypoints end below."""
    points = Points(poses.skeleton, poses.xy, poses.score, SEEN)
    neck = np.linalg.norm(points["mid_shoulder"] - points["nose"], axis=-1)
    return points["nose"][:, 1] - 0.65 * neck
