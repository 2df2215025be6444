"""Degrees of rules, with what they were decided by: of one frame, or of many frames at once.

NumPy calls for two people cost as much as for many. Rules of keypoints alone
(`posture.of_keypoints`) treat each person by itself, so the people of several frames go through
them together. Others may read pixels and see one frame at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from vitruvian.analysis.posture import SIDES, Body, Evidence, Rule, is_of_keypoints
from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, shown
from vitruvian.frame import Frame

BATCH = 256  # frames
# Fields of `Poses` that some have and others have not.
_OPTIONAL = ("xyz", "presence", "depth", "world", "error", "plausible")
_FIELDS = ("xy", "score", "box", "box_score", "person", *_OPTIONAL)


class StateKey(NamedTuple):
    """Key of a state: person, rule and side."""

    person: int
    rule: str
    side: str = ""  # the subject's "left" or "right"; "" of the whole body


@dataclass(eq=False)
class _Notes:
    """What rules noted of the people from some row on."""

    by_rule: Mapping[str, tuple[Evidence, ...]] = field(default_factory=dict)
    first: int = 0


@dataclass(eq=False)
class FrameDegrees:
    """The degrees of all rules in one frame."""

    frame: Frame
    poses: Poses
    degrees: dict[str, np.ndarray]  # rule -> (N,) 0..1, or (N, 2) of left and right; NaN unknown
    lacks: dict[str, tuple[str, ...]] = field(default_factory=dict)  # rule -> missing points
    notes: tuple[_Notes, ...] = ()

    def by_key(self) -> dict[StateKey, float]:
        """The degrees by person, rule and side; of people without a track id, the last one's."""
        kinds = tuple((name, values.ndim == 2) for name, values in self.degrees.items())
        keys = _state_keys(tuple(self.poses.person.tolist()), kinds)
        return dict(zip(keys, self._flat(), strict=True))

    def _flat(self) -> list[float]:
        return [degree for values in self.degrees.values() for degree in values.ravel().tolist()]

    def evidence(self, key: StateKey) -> Iterator[tuple[Evidence, float]]:
        """What the rule noted of a person and side in this frame."""
        row = self.poses.person.tolist().index(key.person)
        for notes in self.notes:
            for note in notes.by_rule.get(key.rule, ()):
                if note.side and note.side != key.side:
                    continue
                value = note.values[notes.first + row]
                if note.values.ndim == 1:
                    yield note, float(value)
                elif key.side:
                    yield note, float(value[SIDES.index(key.side)])
                else:
                    yield note, float(value.mean())


@lru_cache(256)
def _state_keys(
    people: tuple[int, ...], rules: tuple[tuple[str, bool], ...]
) -> tuple[StateKey, ...]:
    """The keys of all degrees, rule by rule and person by person."""
    return tuple(
        StateKey(person, rule, side)
        for rule, sided in rules
        for person in people
        for side in (SIDES if sided else ("",))
    )


def frame_degrees(rules: Mapping[str, Rule], frame: Frame, poses: Poses) -> FrameDegrees:
    """Evaluate rules on one frame."""
    body = Body(poses, frame)
    found = rule_degrees(rules, body)
    return FrameDegrees(frame, poses, found, body.lacks, (_Notes(body.notes),))


def rule_degrees(rules: Mapping[str, Rule], body: Body) -> dict[str, np.ndarray]:
    """Rule -> (N,) or (N, 2) degree; checks the result of user-defined rules."""
    found = {}
    for name, rule in rules.items():
        body.points.lacks.clear()
        body.noted.clear()
        found[name] = _checked(name, rule, body)
        body.keep(rule, found[name])
        body.lacks[name], body.notes[name] = tuple(sorted(body.points.lacks)), tuple(body.noted)
    return found


def _checked(name: str, rule: Rule, body: Body) -> np.ndarray:
    given, n = rule(body), len(body)
    try:
        good = np.asarray(given).dtype.kind in "biufO"  # numbers, and None for NaN
        values = np.asarray(given, np.float64) if good else np.zeros(0)
        good = good and values.shape in ((n,), (n, len(SIDES)))
        good = good and not (abs(values - 0.5) > 0.5).any()
    except (TypeError, ValueError, OverflowError):  # words, lists of several lengths, None
        values, good = np.zeros(0), False
    if not good:
        told = given.tolist() if isinstance(given, np.ndarray) else given
        raise VitruvianError(
            f"the rule '{name}' returned {shown(repr(told))} for {n} people; want one number from "
            "0 to 1 (or NaN) per person, or two, left and right"
        )
    return values


class BatchedDegrees:
    """Evaluates rules on the frames of a recording, which come out in batches, without pixels."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        """Start without frames."""
        self.rules = rules
        self.alone = {name: rule for name, rule in rules.items() if not is_of_keypoints(rule)}
        self.together = {name: rule for name, rule in rules.items() if name not in self.alone}
        self.waiting: list[FrameDegrees] = []
        self.kind: tuple[Any, ...] = ()  # of the waiting frames: what one `Body` has in common

    def __call__(self, frame: Frame, poses: Poses) -> list[FrameDegrees]:
        """Add the next frame; returns those that are done."""
        done: list[FrameDegrees] = []
        if len(poses):
            camera = None if frame.camera is None else tuple(frame.camera.up.tolist())
            lacks = tuple(getattr(poses, name) is None for name in _OPTIONAL)
            kind = (poses.skeleton, poses.origin, frame.size, camera, lacks)
            done = self.flush() if kind != self.kind else []
            self.kind = kind
        one = FrameDegrees(frame, poses, {})
        if self.alone:
            one = frame_degrees(self.alone, frame, poses)
        if frame.pixels is not None:
            one.frame = replace(frame, pixels=None)
        self.waiting.append(one)
        return done + (self.flush() if len(self.waiting) >= BATCH else [])

    def flush(self) -> list[FrameDegrees]:
        """The waiting frames."""
        done, self.waiting = self.waiting, []
        if done and self.together:
            body = _body_of(done)
            found, first = rule_degrees(self.together, body), 0
            for one in done:
                rows = slice(first, first + len(one.poses))
                both = one.degrees | {name: values[rows] for name, values in found.items()}
                one.degrees = {name: both[name] for name in self.rules}
                one.lacks = one.lacks | body.lacks
                one.notes = (*one.notes, _Notes(body.notes, first))
                first = rows.stop
        return done


def _body_of(frames: list[FrameDegrees]) -> Body:
    """The people of several frames, as if they were in the first one with people."""
    first, *more = [one for one in frames if len(one.poses)] or frames[:1]
    if not more:
        return Body(first.poses, first.frame)
    every = [first.poses, *(one.poses for one in more)]
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(poses, name) for poses in every])
        for name in _FIELDS
        if getattr(first.poses, name) is not None
    }
    return Body(Poses(first.poses.skeleton, origin=first.poses.origin, **joined), first.frame)
