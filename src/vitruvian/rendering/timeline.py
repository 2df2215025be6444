"""Timeline of posture events: people down, time across, states in colour."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.rendering.annotate import FEW, STATES
from vitruvian.rendering.report import plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PEOPLE = 40  # people shown, at most: those with the longest events, then those there longest
FEW_PEOPLE = 12  # up to so many and `FEW` rules, rows without events are drawn as well
KEPT = 3 * PEOPLE  # people kept in memory until then
BINS = 2000  # of a row, at most; they double in length as time goes on, so memory is bounded
STEP = 1 / 64  # seconds of a bin at first
GAP = 2.0  # seconds for which a state is drawn, at most, until the next frame
CODES = ("absent", "no", "unknown", "yes")  # of the states; the highest of a bin is drawn
COLOURS = {"no": (205, 205, 205), "unknown": STATES["unknown"], "yes": STATES["yes"]}
LETTERS = 8  # points
WIDE, ROW = 9.0, 0.16  # inches
NAME = 34  # letters of the name of a row

Row = tuple[str, str]  # a rule, and a side or ""
Key = tuple[int, str, str]  # a person, and a row


@dataclass
class _Person:
    """The states of one person in each bin."""

    rows: dict[Row, np.ndarray] = field(default_factory=dict)  # (BINS,) uint8 of CODES
    events: dict[Row, float] = field(default_factory=dict)  # seconds

    def at_best(self) -> np.ndarray:
        """(BINS,) "no" where some rule says so, "unknown" where none does."""
        lines = np.stack(list(self.rows.values()))
        no = (lines == CODES.index("no")).any(axis=0)
        there = np.where(no, CODES.index("no"), CODES.index("unknown"))
        return np.where(lines.any(axis=0), there, 0).astype(np.uint8)


class Timeline:
    """Collects the final states of one source, and draws them."""

    def __init__(self, title: str, words: Callable[[str, str], str]) -> None:
        """Start empty. `words`: the name of a row, from a rule and a side."""
        self.title, self.words, self.step, self.start = title, words, STEP, 0.0
        self.people: dict[int, _Person] = {}
        self.dropped = 0  # people who are not kept
        self.last: float | None = None  # seconds of the last frame
        self.open: dict[Key, tuple[str, float]] = {}  # state, and since when
        self.end = 0.0

    def add(self, seconds: float, states: Mapping[Any, str]) -> None:
        """Add the states in the next frame, by `Key`: "yes", "no" or "unknown"."""
        if self.last is None:
            self.start = seconds
        elif seconds <= self.last:
            return  # the source has begun anew: there is no place for it on one axis
        elif seconds - self.last > GAP:
            self._close(list(self.open), self.last + GAP)
        for key, state in states.items():
            before = self.open.get(key)
            if before is None or before[0] != state:
                if before is not None:
                    self._draw(key, *before, seconds)
                self.open[key] = state, seconds
        if len(self.open) > len(states):
            self._close(list(self.open.keys() - states.keys()), seconds)
        self.last = seconds

    def event(self, key: Key, start: float, end: float) -> None:
        """Add an event: its row is drawn."""
        events = self._of(key[0]).events
        events[key[1:]] = events.get(key[1:], 0.0) + end - start

    def _close(self, keys: Iterable[Key], until: float) -> None:
        for key in keys:
            self._draw(key, *self.open.pop(key), until)

    def _draw(self, key: Key, state: str, since: float, until: float) -> None:
        """Draw a state into the bins of its row."""
        self.end = max(self.end, until)
        while until - self.start > BINS * self.step:
            self._double()
        line = self._of(key[0]).rows.setdefault(key[1:], np.zeros(BINS, np.uint8))
        first = int((since - self.start) / self.step)
        bins = slice(first, max(first + 1, int((until - self.start) / self.step)))
        line[bins] = np.maximum(line[bins], CODES.index(state))

    def _double(self) -> None:
        self.step *= 2
        for person in self.people.values():
            for line in person.rows.values():
                line[: BINS // 2] = line.reshape(-1, 2).max(axis=1)
                line[BINS // 2 :] = 0

    def _of(self, number: int) -> _Person:
        """The data of a person; beyond `KEPT` people, the least important one is dropped."""
        person = self.people.get(number)
        if person is None:
            if len(self.people) >= KEPT:
                del self.people[min(self.people, key=self._weight)]
                self.dropped += 1
            person = self.people[number] = _Person()
        return person

    def _weight(self, number: int) -> tuple[float, int]:
        person = self.people[number]
        there = max((np.count_nonzero(line) for line in person.rows.values()), default=0)
        return sum(person.events.values()), int(there)

    def figure(self) -> Figure | None:
        """The figure; None if there was nobody."""
        if self.last is not None:
            self._close(list(self.open), self.last + self.step)
        there = [number for number, person in self.people.items() if person.rows]
        chosen = sorted(sorted(there, key=self._weight, reverse=True)[:PEOPLE])
        if not chosen:
            return None
        rules = {rule for number in chosen for rule, _ in self.people[number].rows}
        few = len(rules) <= FEW and len(chosen) <= FEW_PEOPLE
        lines: list[tuple[int, str, np.ndarray]] = []
        for number in chosen:
            person = self.people[number]
            shown = person.rows.keys() if few else person.events.keys() & person.rows.keys()
            for row in sorted(shown):
                name = textwrap.shorten(self.words(*row), NAME, placeholder="...")
                lines.append((number, name, person.rows[row]))
            if not person.events and not few:
                lines.append((number, "no events", person.at_best()))
        return self._drawn(lines, len(chosen))

    def _drawn(self, lines: list[tuple[int, str, np.ndarray]], people: int) -> Figure:
        """Draw rows of a person, a name and (BINS,) codes."""
        figure = plot(WIDE, 0.9 + ROW * len(lines) + 0.06 * people)
        axes: Any = figure.subplots()
        place, before, ticks, names = 0.0, -1, list[float](), list[str]()
        for number, words, line in lines:
            if number != before:
                if place:
                    place += 0.4
                    axes.axhline(place - 0.2, color="0.8", linewidth=0.5)
                words = f"person {number}   {words}"
            self._runs(axes, place, line)
            ticks.append(place + 0.5)
            names.append(words)
            place, before = place + 1, number
        axes.set_yticks(ticks, names, fontsize=LETTERS - 1)
        axes.set_ylim(place + 0.1, -0.1)
        axes.set_xlim(self.start, max(self.end, self.start + self.step))
        axes.set_xlabel("seconds", fontsize=LETTERS)
        axes.tick_params(axis="x", labelsize=LETTERS - 1)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", alpha=0.3, linewidth=0.5)
        axes.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        self._legend(figure, people)
        return figure

    def _runs(self, axes: Any, place: float, line: np.ndarray) -> None:
        """A row: a bar for each run of bins of the same state."""
        ends = np.flatnonzero(np.diff(line, prepend=255, append=255))
        for code, state in enumerate(CODES):
            pairs = [(a, b) for a, b in pairwise(ends.tolist()) if code and line[a] == code]
            runs = [(self.start + a * self.step, (b - a) * self.step) for a, b in pairs]
            if runs:
                colour = [part / 255 for part in COLOURS[state]]
                axes.broken_barh(runs, (place + 0.1, 0.8), color=colour, linewidth=0)

    def _legend(self, figure: Figure, shown: int) -> None:
        from matplotlib.patches import Patch

        handles = list[Any]()
        for state in ("yes", "unknown", "no"):
            colour: Any = [part / 255 for part in COLOURS[state]]
            handles.append(Patch(color=colour, label=state))
        handles.append(Patch(facecolor="white", edgecolor="0.7", linewidth=0.5, label="not there"))
        more = len(self.people) + self.dropped - shown
        title = self.title + (f" ({more} more people)" if more else "")
        how: Any = {"ncols": 4, "frameon": False, "fontsize": LETTERS, "title_fontsize": LETTERS}
        figure.legend(handles=handles, loc="outside upper center", title=title or None, **how)
