"""Event changes: events that start and end, and people who enter and leave, while a stream runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vitruvian.analysis.degrees import FrameDegrees
from vitruvian.analysis.events import Event, EventDetector
from vitruvian.analysis.found import AnalysisSettings, Analyst, FrameAnalysis
from vitruvian.body.poses import Poses
from vitruvian.frame import Frame

PERSON = "person"  # name of the event that lasts as long as a person is there


@dataclass(frozen=True)
class EventChange:
    """An event that starts or ends, or a person who enters or leaves.

    The start is known `minimum` seconds after it, the end `gap` seconds after it.
    """

    event: str  # name of a rule, or "person"
    change: Literal["starts", "ends", "enters", "leaves"]
    person: int
    time: float  # seconds, of the first frame in which it held, or of the last one
    known: float  # seconds, of the frame at which it was known
    side: str = ""  # the subject's "left" or "right"; "" of the whole body
    lasted: float | None = None  # seconds; None at its start

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: without what is not known; times to 1/1000000."""
        line: dict[str, Any] = {"event": self.event, "change": self.change, "person": self.person}
        if self.side:
            line["side"] = self.side
        line |= {"time": round(self.time, 6), "known": round(self.known, 6)}
        return line if self.lasted is None else {**line, "lasted": round(self.lasted, 6)}


class LiveAnalyst:
    """Analyzes one live stream; tells events as they start and end. Stateful."""

    def __init__(self, asked: AnalysisSettings) -> None:
        """Start without people."""
        self.analyst = Analyst(asked, moving=True, live=True)
        self.people = EventDetector({}, asked.options)

    def __call__(self, frame: Frame, poses: Poses) -> tuple[FrameAnalysis, list[EventChange]]:
        """The analysis of the next frame, and what changed with it.

        Only people with a track id count.
        """
        ((_, found),) = self.analyst(frame, poses)
        there = FrameDegrees(frame, poses, {PERSON: np.ones(len(poses))})
        left = self.people.add(there, there.by_key())
        now = frame.seconds
        changes = [
            *_starts(self.people.begun(), now),
            *_ends(found.events, now),
            *_starts(self.analyst.watch.begun(), now),
            *_ends(left, now),
        ]
        return found, changes

    def close(self) -> list[EventChange]:
        """End the stream: what still lasts ends now."""
        now = self.people.seconds
        _, events = self.analyst.close()
        return [*_ends(events, now), *_ends(self.people.close(), now)]


def _starts(events: Iterable[Event], now: float) -> list[EventChange]:
    return [_change(event, "starts", event.start, now) for event in events]


def _ends(events: Iterable[Event], now: float) -> list[EventChange]:
    return [_change(event, "ends", event.end, now, event.end - event.start) for event in events]


def _change(
    event: Event,
    change: Literal["starts", "ends"],
    time: float,
    now: float,
    lasted: float | None = None,
) -> EventChange:
    word = change
    if event.rule == PERSON:
        word = "enters" if change == "starts" else "leaves"
    return EventChange(event.rule, word, event.person, time, now, event.side, lasted)
