"""Events: turn the degree to which rules hold in each frame into start and end times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import numpy as np

from vitruvian.analysis.posture import SIDES, Body, Rule
from vitruvian.body.poses import Poses
from vitruvian.body.track import GAP
from vitruvian.errors import VitruvianError, shown
from vitruvian.frame import Frame

State = Literal["yes", "no", "unknown"]
LONGEST = 3600.0  # seconds of `minimum` and `gap`, at most: as much of a recording is looked ahead
WRITTEN = 1e-6  # seconds, to which the times of records are written


@dataclass(frozen=True)
class Options:
    """Thresholds for the start and end of an event."""

    on: float = 0.6  # 0..1, an event starts when the degree reaches this
    off: float = 0.4  # 0..1, and ends when the degree falls below this (hysteresis)
    minimum: float = 0.5  # seconds; shorter events are dropped
    gap: float = 0.5  # seconds; shorter interruptions are bridged

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            most = 1.0 if field.name in ("on", "off") else LONGEST
            if type(value) not in (int, float) or not 0 <= value <= most:
                raise VitruvianError(f"{field.name} is {value!r}, want a number from 0 to {most:g}")
        if self.off > self.on:
            raise VitruvianError(
                f"off is {self.off:g} and on is {self.on:g}; off must not be greater than on "
                "(hysteresis)"
            )

    def state(self, degree: float) -> State:
        """State by a single frame; "unknown" between `off` and `on`."""
        if degree >= self.on:
            return "yes"
        return "no" if degree <= self.off else "unknown"


class StateKey(NamedTuple):
    """Key of a state: person, rule and side."""

    person: int
    rule: str
    side: str = ""  # the subject's "left" or "right"; "" of the whole body


@dataclass(frozen=True)
class Event:
    """An interval in which a rule held for a person; for a still image, the state of a rule."""

    rule: str
    person: int
    start: float  # seconds, the first frame in which it held
    end: float  # seconds, the last one
    confidence: float  # 0..1, mean degree over the frames where it is known; NaN if none
    source: str = ""
    side: str = ""  # the subject's "left" or "right"; "" of the whole body
    state: State = "yes"  # for images also "no" (with the confidence of "no") and "unknown"
    frames: int = 1  # number of frames where the degree is known


@dataclass
class _Going:
    """An event that has not ended."""

    start: float
    held: float  # seconds, the last frame in which it held
    total: float = 0.0
    frames: int = 0
    # Since then: it counts only if it holds again.
    waiting: float = 0.0
    waiting_frames: int = 0

    def add(self, degree: float, seconds: float, holds: bool) -> None:
        if not np.isnan(degree):
            self.waiting += degree
            self.waiting_frames += 1
        if holds:
            self.held = seconds
            self.total += self.waiting
            self.frames += self.waiting_frames
            self.waiting, self.waiting_frames = 0.0, 0


@dataclass
class _Told:
    """The displayed state of a person in the image."""

    state: State
    sure: float  # seconds, the last frame that said so
    seen: float  # seconds, the last frame with the person


class EventDetector:
    """Detects events of one stream. Stateful: keeps the current events of each person.

    It uses past frames only, so `states` lag by up to `gap`; those of `settled.SettledStates` do
    not.
    """

    def __init__(self, rules: Mapping[str, Rule], options: Options = Options()) -> None:
        """Start without people."""
        self.rules, self.options = rules, options
        self.going: dict[StateKey, _Going] = {}
        self.told: dict[StateKey, _Told] = {}
        self.short: dict[str, int] = {}  # rule -> number of events shorter than `minimum`
        self.lacks: dict[str, tuple[str, ...]] = {}  # rule -> points missing from the last skeleton
        self.source = ""
        self.seconds = -np.inf

    def __call__(self, frame: Frame, poses: Poses) -> tuple[dict[str, np.ndarray], list[Event]]:
        """Process the next frame: degree of each rule per person, (N,) or (N, 2), and ended events.

        People without a track id have no events. Another source, or a time that does not increase,
        resets the state.
        """
        ended = []
        if frame.source != self.source or frame.seconds <= self.seconds:
            ended = self.close()
        last, self.source, self.seconds = self.seconds, frame.source, frame.seconds
        body = Body(poses, frame)
        found, self.lacks = rule_degrees(self.rules, body), body.lacks
        here = {key: degree for key, degree in iterate_degrees(found, poses) if key.person >= 0}
        before = frame.seconds - self.options.gap - WRITTEN
        for key, going in list(self.going.items()):
            # From one frame to the next it goes on, however few there are a second.
            near = going.held == last and frame.seconds - last <= GAP
            on = near and here.get(key, np.nan) >= self.options.off
            if going.held < before and not on:
                ended += self._end(key)
        for key, degree in here.items():
            self._take(key, degree)
        for key, told in list(self.told.items()):
            if told.seen < before:
                del self.told[key]
        return found, ended

    def _take(self, key: StateKey, degree: float) -> None:
        self._tell(key, degree)
        going = self.going.get(key)
        if going is None:
            if not degree >= self.options.on:
                return
            going = self.going[key] = _Going(self.seconds, self.seconds)
        going.add(degree, self.seconds, degree >= self.options.off)

    def _tell(self, key: StateKey, degree: float) -> None:
        """Change the displayed state only after the last one has not held for a while."""
        state = self.options.state(degree)
        told = self.told.setdefault(key, _Told(state, self.seconds, self.seconds))
        told.seen = self.seconds
        holds = told.state == "yes" and degree >= self.options.off
        if holds or state == told.state or self.seconds - told.sure > self.options.gap:
            told.state = "yes" if holds else state
            told.sure = self.seconds

    def _end(self, key: StateKey) -> list[Event]:
        going = self.going.pop(key)
        if not self.lasts(going):
            self.short[key.rule] = self.short.get(key.rule, 0) + 1
            return []
        mean = going.total / going.frames
        times = (going.start, going.held, mean, self.source)
        return [Event(key.rule, key.person, *times, key.side, "yes", going.frames)]

    def lasts(self, going: _Going) -> bool:
        """Whether it has lasted for at least `minimum`."""
        return going.held - going.start >= self.options.minimum - WRITTEN

    def states(self) -> dict[StateKey, State]:
        """Current states of all people, for display: without flicker of single frames."""
        return {key: told.state for key, told in self.told.items() if told.seen == self.seconds}

    def close(self) -> list[Event]:
        """End the stream; returns the remaining events."""
        self.told.clear()
        return [event for key in list(self.going) for event in self._end(key)]


def rule_degrees(rules: Mapping[str, Rule], body: Body) -> dict[str, np.ndarray]:
    """Rule -> (N,) or (N, 2) degree; checks the result of user-defined rules."""
    found = {}
    for name, rule in rules.items():
        body.points.lacks.clear()
        found[name] = _checked(name, rule, body)
        body.lacks[name] = tuple(sorted(body.points.lacks))
    return found


def _checked(name: str, rule: Rule, body: Body) -> np.ndarray:
    given, n = rule(body), len(body)
    try:
        good = np.asarray(given).dtype.kind in "biufO"  # numbers, and None for NaN
        values = np.asarray(given, np.float64) if good else np.zeros(0)
        good = good and values.shape in ((n,), (n, len(SIDES)))
        good = good and bool((np.isnan(values) | (abs(values - 0.5) <= 0.5)).all())
    except (TypeError, ValueError, OverflowError):  # words, lists of several lengths, None
        values, good = np.zeros(0), False
    if not good:
        told = given.tolist() if isinstance(given, np.ndarray) else given
        raise VitruvianError(
            f"the rule '{name}' returned {shown(repr(told))} for {n} people; want one number from "
            "0 to 1 (or NaN) per person, or two, left and right"
        )
    return values


def iterate_degrees(
    found: Mapping[str, np.ndarray], poses: Poses
) -> Iterator[tuple[StateKey, float]]:
    """Iterate over the degrees of `rule_degrees`, person by person."""
    for name, values in found.items():
        for person, degree in zip(poses.person.tolist(), values.tolist(), strict=True):
            if values.ndim == 1:
                yield StateKey(person, name), degree
            else:
                for side, one in zip(SIDES, degree, strict=True):
                    yield StateKey(person, name, side), one


def picture_event(
    key: StateKey, degree: float, frame: Frame, options: Options = Options()
) -> Event:
    """The state of a rule in a still image, as an event of one frame."""
    state = options.state(degree)
    sure = {"yes": degree, "no": 1 - degree, "unknown": np.nan}[state]
    at = frame.seconds
    return Event(key.rule, key.person, at, at, float(sure), frame.source, key.side, state)


def events(
    stream: Iterable[tuple[Frame, Poses]],
    rules: Mapping[str, Rule],
    options: Options = Options(),
) -> Iterator[Event]:
    """Events of a stream or a record, each as soon as it has ended."""
    watch = EventDetector(rules, options)
    for frame, poses in stream:
        _, ended = watch(frame, poses)
        yield from ended
    yield from watch.close()
