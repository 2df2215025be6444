"""Events: from how far rules hold in each frame to when they began and when they ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np

from vitruvian.analyse.posture import Body, Rule
from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame


@dataclass(frozen=True)
class Options:
    """When something has begun, and when it is over."""

    on: float = 0.6  # 0..1, a rule that holds so far has begun to
    off: float = 0.4  # 0..1, and goes on to hold as long as it does not hold less than this
    minimum: float = 0.5  # seconds; what lasts for less did not happen
    gap: float = 0.5  # seconds; for so long it may not hold, or not be known, and yet go on

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            most = 1.0 if field.name in ("on", "off") else np.inf
            if type(value) not in (int, float) or not 0 <= value <= most:
                want = "0 to 1" if most == 1 else "0"
                raise VitruvianError(f"{field.name} is {value!r}, want a number from {want}")
        if self.off > self.on:
            raise VitruvianError(
                f"off is {self.off:g} and on is {self.on:g}; what has begun to hold must not be "
                "over at once: want off no higher than on"
            )


@dataclass(frozen=True)
class Event:
    """Something somebody did for a while."""

    rule: str
    person: int
    start: float  # seconds, the first frame in which it held
    end: float  # seconds, the last one
    confidence: float  # 0..1, how far it held on average, of the frames that tell
    source: str = ""


@dataclass
class _Going:
    """An event that is not over."""

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


class Watch:
    """Rules over one stream. It remembers who does what now, and since when."""

    def __init__(self, rules: Mapping[str, Rule], options: Options = Options()) -> None:
        """Start with nobody."""
        self.rules, self.options = rules, options
        self.going: dict[tuple[int, str], _Going] = {}
        self.source = ""
        self.seconds = -np.inf

    def __call__(self, frame: Frame, poses: Poses) -> tuple[dict[str, np.ndarray], list[Event]]:
        """How far each rule holds for each person, (N,), and the events that are now over.

        Call once a frame, in order. Who has no number has no events. Another source, or a time that
        is not later, begins anew.
        """
        ended = []
        if frame.source != self.source or frame.seconds <= self.seconds:
            ended = self.close()
        self.source, self.seconds = frame.source, frame.seconds
        body = Body(poses, frame)
        degrees = {name: _checked(name, rule, body) for name, rule in self.rules.items()}
        for name, values in degrees.items():
            for person, degree in zip(poses.person.tolist(), values.tolist(), strict=True):
                if person >= 0:
                    self._take(person, name, degree)
        late = [
            key
            for key, going in self.going.items()
            if frame.seconds - going.held > self.options.gap
        ]
        return degrees, ended + [event for key in late for event in self._end(key)]

    def _take(self, person: int, name: str, degree: float) -> None:
        going = self.going.get((person, name))
        if going is not None and self.seconds - going.held > self.options.gap:
            return  # it is over, and ends with this frame
        if going is None:
            if not degree >= self.options.on:
                return
            going = self.going[person, name] = _Going(self.seconds, self.seconds)
        going.add(degree, self.seconds, degree >= self.options.off)

    def _end(self, key: tuple[int, str]) -> list[Event]:
        person, name = key
        going = self.going.pop(key)
        if going.held - going.start < self.options.minimum:
            return []
        mean = going.total / going.frames
        return [Event(name, person, going.start, going.held, mean, self.source)]

    def doing(self) -> dict[int, list[str]]:
        """What each person does now, and has done for long enough: for who draws it."""
        now: dict[int, list[str]] = {}
        for (person, name), going in self.going.items():
            if self.seconds - going.start >= self.options.minimum:
                now.setdefault(person, []).append(name)
        return now

    def close(self) -> list[Event]:
        """The events that the end of the stream ends."""
        return [event for key in list(self.going) for event in self._end(key)]


def _checked(name: str, rule: Rule, body: Body) -> np.ndarray:
    """(N,) float; what a user's own rule gave must be that, too."""
    values = np.asarray(rule(body), np.float64)
    if values.shape != (len(body),) or not (np.isnan(values) | (abs(values - 0.5) <= 0.5)).all():
        raise VitruvianError(
            f"the rule '{name}' gave {values.tolist()!s:.60} for {len(body)} people; want for each "
            "a number from 0 to 1, or NaN"
        )
    return values


def events(
    stream: Iterable[tuple[Frame, Poses]],
    rules: Mapping[str, Rule],
    options: Options = Options(),
) -> Iterator[Event]:
    """The events of a stream, each as soon as it is over: of a pipeline's results, or a record."""
    watch = Watch(rules, options)
    for frame, poses in stream:
        _, ended = watch(frame, poses)
        yield from ended
    yield from watch.close()
