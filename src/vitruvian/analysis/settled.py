"""Final states of a recording: "yes" in exactly the frames of an event, without lag.

The states of a frame are final once later frames cannot change them: after at most `minimum` and
`gap` seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vitruvian.analysis.degrees import StateKey
from vitruvian.analysis.events import WRITTEN, Event, EventDetector, State


@dataclass
class _Line:
    """One thing that one person may do, over time."""

    rows: deque[tuple[float, State]] = field(default_factory=deque)  # what frames say, not settled
    events: list[tuple[float, float]] = field(default_factory=list)  # that may cover those
    before: tuple[float, State] | None = None  # the frame that was settled last
    unknown: float | None = None  # seconds, since when it is not known


class SettledStates:
    """Final states of one stream, some frames behind its `EventDetector`."""

    def __init__(self, watch: EventDetector) -> None:
        """`watch` is called with each frame; tell of what it said with `add`."""
        self.watch = watch
        self.lines: dict[StateKey, _Line] = {}

    def add(self, says: Mapping[StateKey, State], ended: Iterable[Event]) -> None:
        """What the newest frame alone says, and the events that are over by now."""
        now, gap = self.watch.seconds, self.watch.options.gap + WRITTEN
        for event in ended:
            line = self.lines.get(StateKey(event.person, event.rule, event.side))
            if line is not None:
                line.events.append((event.start, event.end))
        for key, line in list(self.lines.items()) if self.lines.keys() - says.keys() else ():
            gone = line.before is not None and now - line.before[0] > gap
            if gone and not line.rows and key not in self.watch.going:
                del self.lines[key]
        for key, state in says.items():
            self.lines.setdefault(key, _Line()).rows.append((now, state))

    def take(self, keys: Iterable[StateKey], *, over: bool) -> dict[StateKey, State] | None:
        """The states of the oldest frame that was not taken; None if they may still change.

        `keys` are those of the frame; `over`: whether the stream is.
        """
        states: dict[StateKey, State] = {}
        for key in keys:
            state = self._state(self.lines[key], key, over)
            if state is None:
                return None
            states[key] = state
        for key, state in states.items():
            line = self.lines[key]
            at, said = line.rows.popleft()
            doubt = said == "unknown" and state != "yes"
            line.unknown = None if not doubt else at if line.unknown is None else line.unknown
            line.before = (at, state)
            line.events = [event for event in line.events if event[1] > at]
        return states

    def _state(self, line: _Line, key: StateKey, over: bool) -> State | None:
        at, said = line.rows[0]
        if line.events and any(start <= at <= end for start, end in line.events):
            return "yes"
        going = self.watch.going.get(key)
        if said == "no" and going is None and not line.events:
            return "no"
        if going is not None and going.start <= at:
            return "yes" if at <= going.held and self.watch.lasts(going) else None
        return self._doubt(line, over) if said == "unknown" else "no"

    def _doubt(self, line: _Line, over: bool) -> State | None:
        """A doubt beside a "no" that lasts no longer than `gap` is none."""
        gap, at = self.watch.options.gap + WRITTEN, line.rows[0][0]
        before = line.before if line.before and at - line.before[0] <= gap else None
        first = at if before is None or line.unknown is None else line.unknown
        last, beside = at, {before[1]} if before else set[State]()
        for seconds, said in line.rows:
            if seconds - last > gap:
                break  # was not there
            if said != "unknown":
                beside.add(said)
                break
            last = seconds
            if last - first > gap:
                return "unknown"
        else:
            if not over and self.watch.seconds - first <= gap:
                return None
        return "no" if "no" in beside else "unknown"
