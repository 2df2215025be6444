"""Events: turn the degree to which rules hold in each frame into start and end times.

An event begins where its rule holds by `Options.on`, and goes on while it holds by `Options.off`,
through interruptions of up to `Options.gap`. In at least half of its frames, those where nothing is
known included, the rule holds by `Options.on`: a moment of evidence in a long doubt is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np

from vitruvian.analysis.degrees import BatchedDegrees, FrameDegrees, StateKey, frame_degrees
from vitruvian.analysis.posture import Evidence, Rule
from vitruvian.body.poses import Poses
from vitruvian.body.track import GAP
from vitruvian.errors import VitruvianError, amount
from vitruvian.frame import Frame

State = Literal["yes", "no", "unknown"]
LONGEST = 3600.0  # seconds of `minimum` and `gap`, at most: as much of a recording is looked ahead
SAMPLE = 1000  # values of each measure that are kept of an event, at most
WRITTEN = 1e-6  # seconds, to which the times of records are written


@dataclass(frozen=True)
class Options:
    """Thresholds for the start and end of an event."""

    on: float = 0.6  # 0..1, an event starts when the degree reaches this
    off: float = 0.4  # 0..1, and ends when the degree falls below this (hysteresis)
    minimum: float = 0.5  # seconds; shorter events are dropped
    gap: float = 0.5  # seconds; shorter interruptions are bridged

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            most = 1.0 if each.name in ("on", "off") else LONGEST
            if type(value) not in (int, float) or not 0 <= value <= most:
                raise VitruvianError(f"{each.name} is {value!r}, want a number from 0 to {most:g}")
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
    evidence: str = ""  # in words: how often it held, and what was measured


class Sample:
    """At most `SAMPLE` of many values, evenly spaced."""

    def __init__(self) -> None:
        """Start empty."""
        self.values: list[float] = []
        self.every, self.count = 1, 0

    def add(self, value: float) -> None:
        """Add the next value."""
        if self.count % self.every == 0:
            self.values.append(value)
            if len(self.values) > SAMPLE:
                self.values, self.every = self.values[::2], 2 * self.every
        self.count += 1


@dataclass(frozen=True)
class _Counts:
    """Frames of an event."""

    frames: int = 0
    known: int = 0  # where the degree is known
    held: int = 0  # where it is at least `Options.off`
    clear: int = 0  # where it is at least `Options.on`
    total: float = 0.0  # sum of the known degrees

    def add(self, degree: float, options: Options) -> _Counts:
        known = degree == degree
        return _Counts(
            self.frames + 1,
            self.known + known,
            self.held + (degree >= options.off),
            self.clear + (degree >= options.on),
            self.total + (degree if known else 0.0),
        )


@dataclass
class _Going:
    """An event that has not ended."""

    start: float
    held: float  # seconds, the last frame in which it held
    counts: _Counts = field(default_factory=_Counts)  # up to then
    so_far: _Counts = field(default_factory=_Counts)  # up to now; it counts only if it holds again
    notes: dict[str, Sample] = field(default_factory=dict)  # words -> values
    begun: bool = False  # whether `EventDetector.begun` gave it

    def add(self, degree: float, seconds: float, options: Options) -> None:
        self.so_far = self.so_far.add(degree, options)
        if degree >= options.off and 2 * self.so_far.clear >= self.so_far.frames:
            self.held, self.counts = seconds, self.so_far

    def note(self, evidence: Iterable[tuple[Evidence, float]]) -> None:
        """Keep what was measured in a frame in which it holds."""
        for note, value in evidence:
            if value == value:
                if note.words not in self.notes:
                    self.notes[note.words] = Sample()
                self.notes[note.words].add(value)

    def evidence(self) -> str:
        """In words: in how many frames it held, and what was measured in those."""
        counts = self.counts
        said = f"held in {counts.held / counts.frames:.0%} of {amount(counts.frames, 'frame')}"
        if counts.known < counts.frames:
            said += f", unknown in {1 - counts.known / counts.frames:.0%}"
        parts = (note_in_words(words, each.values) for words, each in self.notes.items())
        return "; ".join((said, *parts))


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
        one = frame_degrees(self.rules, frame, poses)
        degrees = one.by_key()
        ended, self.lacks = self.add(one, degrees), one.lacks
        for key, degree in degrees.items():
            if key.person >= 0:
                self._tell(key, degree)
        before = frame.seconds - self.options.gap - WRITTEN
        self.told = {key: told for key, told in self.told.items() if told.seen >= before}
        return one.degrees, ended

    def add(self, one: FrameDegrees, degrees: Mapping[StateKey, float]) -> list[Event]:
        """The same for recordings, given the degrees: the events that have ended."""
        ended, frame = list[Event](), one.frame
        if frame.source != self.source or frame.seconds <= self.seconds:
            ended = self.close()
        last, self.source, self.seconds = self.seconds, frame.source, frame.seconds
        before = frame.seconds - self.options.gap - WRITTEN
        for key, going in list(self.going.items()):
            # From one frame to the next it goes on, however few there are a second.
            near = going.held == last and frame.seconds - last <= GAP
            on = near and degrees.get(key, np.nan) >= self.options.off
            if going.held < before and not on:
                ended += self._end(key)
        for key, degree in degrees.items():
            going = self.going.get(key)
            if going is None:
                if not degree >= self.options.on or key.person < 0:
                    continue
                going = self.going[key] = _Going(self.seconds, self.seconds)
            going.add(degree, self.seconds, self.options)
            if degree >= self.options.off:
                going.note(one.evidence(key))
        return ended

    def _tell(self, key: StateKey, degree: float) -> None:
        """Change the displayed state after the last one has not held for a while.

        "yes" is displayed once the event has lasted for the minimum.
        """
        state, going = self.options.state(degree), self.going.get(key)
        if state == "yes" and (going is None or not self.lasts(going)):
            state = "unknown"
        told = self.told.setdefault(key, _Told(state, self.seconds, self.seconds))
        told.seen = self.seconds
        holds = told.state == "yes" and degree >= self.options.off
        over = self.seconds - told.sure > self.options.gap
        if holds or state in ("yes", told.state) or over:
            told.state = "yes" if holds else state
            told.sure = self.seconds

    def _end(self, key: StateKey) -> list[Event]:
        going = self.going.pop(key)
        if not self.lasts(going):
            self.short[key.rule] = self.short.get(key.rule, 0) + 1
            return []
        return [self._event(key, going)]

    def _event(self, key: StateKey, going: _Going) -> Event:
        mean = going.counts.total / going.counts.known
        times = (going.start, going.held, mean, self.source)
        about = (key.side, "yes", going.counts.known, going.evidence())
        return Event(key.rule, key.person, *times, *about)

    def begun(self) -> list[Event]:
        """Events that have just reached `minimum`, each once, as far as they are known."""
        new = [
            (key, going)
            for key, going in self.going.items()
            if not going.begun and self.lasts(going)
        ]
        for _, going in new:
            going.begun = True
        return [self._event(key, going) for key, going in new]

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


def note_in_words(words: str, values: Sequence[float]) -> str:
    """A note of a rule over the frames of an event, or in one image; see `Body.note`."""
    if "{" in words:
        return words.format(float(np.median(values)))
    if len(values) == 1:
        return f"{words}: {'yes' if values[0] else 'no'}"
    return f"{words} in {np.mean(values):.0%} of frames"


def picture_event(
    key: StateKey, one: FrameDegrees, degree: float, options: Options = Options()
) -> Event:
    """The state of a rule in a still image, as an event of one frame."""
    frame = one.frame
    state = options.state(degree)
    sure = {"yes": degree, "no": 1 - degree, "unknown": np.nan}[state]
    at = frame.seconds
    notes = [note_in_words(n.words, [v]) for n, v in one.evidence(key) if v == v]
    about = (frame.source, key.side, state)
    return Event(key.rule, key.person, at, at, float(sure), *about, evidence="; ".join(notes))


def events(
    stream: Iterable[tuple[Frame, Poses]],
    rules: Mapping[str, Rule],
    options: Options = Options(),
) -> Iterator[Event]:
    """Events of a stream, each as soon as it has ended; of a record, without pixels, in batches."""
    watch, batch = EventDetector(rules, options), BatchedDegrees(rules)
    for frame, poses in stream:
        for one in batch(frame, poses) if frame.pixels is None else ():
            yield from watch.add(one, one.by_key())
        if frame.pixels is not None:
            yield from watch(frame, poses)[1]
    for one in batch.flush():
        yield from watch.add(one, one.by_key())
    yield from watch.close()
