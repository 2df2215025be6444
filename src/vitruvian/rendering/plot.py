"""Plot of joint angles over time, and over the cycles of a movement; posture events below."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.rendering.draw import COLOURS
from vitruvian.rendering.report import plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 4000  # per line, at most; more are merged, so that memory is bounded
PEOPLE = 12  # people shown, at most: those who were there longest
LEAST = 1.0  # seconds that a person must have been there
KEPT = 4 * PEOPLE  # people kept in memory until the final selection
WIDE, TALL = 7.2, 1.7  # inches: two columns of a journal; of a panel
LETTERS = 8  # points, size of the letters
DASHES = ("-", "--", ":", "-.")
MIDDLE = ((0, 0, 0), (120, 94, 240), (0, 158, 115), (230, 159, 0))  # for angles without a side


class Series:
    """Min-max decimation of (A,) values over time, in bounded memory."""

    def __init__(self) -> None:
        """Start empty."""
        self.every = 1  # values per point
        self.count = 0
        self.seconds: list[float] = []
        self.low: list[np.ndarray] = []
        self.high: list[np.ndarray] = []

    def add(self, seconds: float, values: np.ndarray) -> None:
        """Add (A,) values; NaN is a gap."""
        if self.count % self.every:
            self.low[-1] = np.fmin(self.low[-1], values)
            self.high[-1] = np.fmax(self.high[-1], values)
        else:
            self.seconds.append(seconds)
            self.low.append(values)
            self.high.append(values)
        self.count += 1
        if len(self.seconds) > POINTS and self.count % self.every == 0:
            self._halve()

    def _halve(self) -> None:
        whole = len(self.seconds) // 2 * 2
        rest = (self.low[whole:], self.high[whole:])
        low = [np.fmin(a, b) for a, b in zip(self.low[0:whole:2], self.low[1:whole:2], strict=True)]
        high = [
            np.fmax(a, b) for a, b in zip(self.high[0:whole:2], self.high[1:whole:2], strict=True)
        ]
        self.seconds = self.seconds[::2]
        self.low, self.high = [*low, *rest[0]], [*high, *rest[1]]
        # A leftover point holds half as many values as a point does from now on.
        self.count = len(self.seconds) * 2 * self.every - (self.every if rest[0] else 0)
        self.every *= 2


Band = tuple[str, str, float, float]  # event, side, start and end in seconds


@dataclass
class Cyclic:
    """Mean and spread of a person's angles over their cycles."""

    reference: str  # the angle whose maxima begin and end a cycle
    count: int  # cycles
    mean: np.ndarray  # (A, P) degrees from 0 to 100 % of a cycle; NaN where unknown
    deviation: np.ndarray  # (A, P) degrees, standard deviation


@dataclass
class Shown:
    """The data of one person."""

    series: Series = field(default_factory=Series)
    bands: list[Band] = field(default_factory=list)
    cycles: Cyclic | None = None
    about: str = ""
    seconds: float = 0.0  # how long the person was there


class Plot:
    """Collects angles and events of one source, and plots them: a panel for each person."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names`: of the A angles."""
        self.names = tuple(names)
        self.people: dict[int, Shown] = {}

    def add(
        self, person: int, seconds: Iterable[float], values: np.ndarray, about: str = ""
    ) -> None:
        """Add (T, A) degrees of a person, after a gap; `about` goes into the title."""
        shown, times = self._of(person), [float(at) for at in seconds]
        series, shown.about = shown.series, about
        shown.seconds += times[-1] - times[0] if times else 0.0
        for row, (at, degrees) in enumerate(zip(times, values, strict=True)):
            if row == 0 and series.count:
                series.add(at, np.full_like(degrees, np.nan))
            series.add(at, degrees)

    def band(self, person: int, what: str, side: str, start: float, end: float) -> None:
        """Add an event from `start` to `end`, seconds; `side`: left, right or ""."""
        self._of(person).bands.append((what, side, start, end))

    def cycles(self, person: int, cycles: Cyclic) -> None:
        """Set the mean and the spread of a person's angles."""
        self._of(person).cycles = cycles

    def _of(self, person: int) -> Shown:
        """The data of a person; beyond `KEPT` people, the shortest is dropped."""
        shown = self.people.pop(person, None) or Shown()
        if len(self.people) >= KEPT:
            del self.people[min(self.people, key=self._long)]
        self.people[person] = shown
        return shown

    def _long(self, person: int) -> tuple[float, int]:
        shown = self.people[person]
        return shown.seconds, shown.series.count

    def figure(self) -> Figure | None:
        """The figure; None if nobody was there for `LEAST` seconds."""
        there = [person for person, one in self.people.items() if one.seconds >= LEAST]
        chosen = sorted(sorted(there, key=self._long, reverse=True)[:PEOPLE])
        if not chosen:
            return None
        rows: list[float] = []
        for person in chosen:
            names = {(what, side) for what, side, *_ in self.people[person].bands}
            rows += [TALL, 0.05 + 0.13 * len(names)] if names else [TALL]
        figure = plot(WIDE, sum(rows) + 0.7 + 0.3 * len(chosen))
        repeats = any(self.people[person].cycles for person in chosen)
        widths: Any = [2.2, 1] if repeats else [1]
        shape = (len(rows), len(widths))
        grid: Any = figure.add_gridspec(*shape, height_ratios=rows, width_ratios=widths)
        row, first = 0, None
        for person in chosen:
            shown = self.people[person]
            panel = figure.add_subplot(grid[row, 0], sharex=first)
            first = first or panel
            self._lines(panel, shown.series)
            said = (f"person {person}", shown.about, "" if repeats else "no cycles")
            panel.set_title(", ".join(filter(None, said)), loc="left", fontsize=LETTERS, pad=3)
            if repeats:
                beside = figure.add_subplot(grid[row : row + 1 + bool(shown.bands), 1])
                self._repetitions(beside, shown.cycles)
            row += 1
            if shown.bands:
                bands = figure.add_subplot(grid[row, 0], sharex=first)
                _bands(bands, shown.bands)
                panel.tick_params(labelbottom=False)
                panel, row = bands, row + 1
            panel.tick_params(labelbottom=True, bottom=True)
            if person == chosen[-1]:
                panel.set_xlabel("seconds", fontsize=LETTERS)
        assert first is not None
        handles, labels = first.get_legend_handles_labels()
        columns = len(labels) if len(labels) <= 4 else 3
        how: Any = {"ncols": columns, "frameon": False, "fontsize": LETTERS}
        figure.legend(handles, labels, loc="outside upper center", **how)
        return figure

    def _repetitions(self, axes: Any, cycles: Cyclic | None) -> None:
        """Plot mean and standard deviation from 0 to 100 % of a cycle."""
        if cycles is None:
            axes.set_axis_off()
            said = "no cycles:\nno angle repeats\nat least 3 times"
            axes.text(0.5, 0.5, said, ha="center", va="center", fontsize=LETTERS, color="0.4")
            return
        percent = np.linspace(0, 100, cycles.mean.shape[1])
        for column, (mean, spread) in enumerate(zip(cycles.mean, cycles.deviation, strict=True)):
            look = self._look(column)
            band = mean - spread, mean + spread
            axes.fill_between(percent, *band, color=look["color"], alpha=0.2, linewidth=0)
            axes.plot(percent, mean, **look)
        _style(axes)
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of the cycle", fontsize=LETTERS)
        words = f"mean \N{PLUS-MINUS SIGN} SD, n = {cycles.count}"
        title = f"{words}\ncycles of {cycles.reference.replace('_', ' ')}"
        axes.set_title(title, loc="left", fontsize=LETTERS, pad=3)

    def _look(self, column: int) -> dict[str, Any]:
        """Left blue, right vermilion, the same dash for the same joint."""
        name, joints = self.names[column], list[str]()
        for each in self.names[: column + 1]:
            joint = _without_side(each)
            joints += [joint] if joint not in joints else []
        number = joints.index(_without_side(name))
        side = name.partition("_")[0]
        rgb = COLOURS[side] if side in ("left", "right") else MIDDLE[number % len(MIDDLE)]
        colour = [part / 255 for part in rgb]
        return {"color": colour, "linestyle": DASHES[number % len(DASHES)], "linewidth": 1.0}

    def _lines(self, axes: Any, series: Series) -> None:
        """Plot the angles over time; gaps stay gaps."""
        for column, name in enumerate(self.names):
            look = self._look(column)
            low, high = (np.array(v)[:, column] for v in (series.low, series.high))
            seconds, low, high = _turns(np.array(series.seconds), low, high)
            there = np.pad(np.isfinite(high), 1)
            alone = there[1:-1] & ~there[:-2] & ~there[2:]  # a line needs two points
            axes.plot(seconds, (low + high) / 2, label=name.replace("_", " "), **look)
            if alone.any():
                axes.plot(seconds[alone], high[alone], ".", color=look["color"], markersize=2)
            if series.every > 1:
                band: Any = {"color": look["color"], "alpha": 0.25, "linewidth": 0}
                axes.fill_between(seconds, low, high, **band)
        axes.set_ylabel("degrees", fontsize=LETTERS)
        _style(axes)


def _without_side(name: str) -> str:
    """A joint's name, the same for left and right."""
    side, _, joint = name.partition("_")
    return joint if side in ("left", "right") else name


def _style(axes: Any) -> None:
    """A zero line, a light grid, small letters."""
    axes.axhline(0, color="0.35", linewidth=0.6, zorder=1)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.tick_params(labelsize=LETTERS - 1)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _turns(
    seconds: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same (T,) with a gap where an angle wraps around at 180 degrees."""
    with np.errstate(invalid="ignore"):
        after = np.flatnonzero(np.abs(np.diff((low + high) / 2)) > 180) + 1
    middle = (seconds[after] + seconds[after - 1]) / 2
    low, high = (np.insert(values, after, np.nan) for values in (low, high))
    return np.insert(seconds, after, middle), low, high


def _bands(axes: Any, bands: Sequence[Band]) -> None:
    """A horizontal bar for each event type and side."""
    names = sorted({(what, side) for what, side, *_ in bands})
    for row, (name, side) in enumerate(names):
        colour = [part / 255 for part in (COLOURS[side] if side else MIDDLE[2])]
        times = [(start, end - start) for what, s, start, end in bands if (what, s) == (name, side)]
        axes.broken_barh(times, (row + 0.1, 0.8), color=colour, alpha=0.8)
    axes.set_yticks([row + 0.5 for row in range(len(names))])
    axes.set_yticklabels([textwrap.shorten(name, 24, placeholder="...") for name, _ in names])
    axes.set_ylim(len(names), 0)
    axes.tick_params(left=False, bottom=False, labelbottom=False, labelsize=LETTERS - 2)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
