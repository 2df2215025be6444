"""Time-series plot: joint angles per person, with posture events below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.show.draw import COLOURS
from vitruvian.show.film import write_picture

POINTS = 4000  # per line, at most; more are merged, so that memory is bounded
PEOPLE = 6  # people shown: those with the most frames
KEPT = 4 * PEOPLE  # people kept in memory until the final selection
DPI, WIDE = 100, 12.0  # dots per inch, inches
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
class Shown:
    """The data of one person."""

    series: Series = field(default_factory=Series)
    bands: list[Band] = field(default_factory=list)
    about: str = ""


class Plot:
    """Collects angles and events of one source, and plots them."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        """`names`: of the A angles."""
        self.path, self.names = path, tuple(names)
        self.people: dict[int, Shown] = {}

    def add(
        self, person: int, seconds: Iterable[float], values: np.ndarray, about: str = ""
    ) -> None:
        """Add (T, A) degrees of a person, after a gap; `about` goes into the title."""
        shown = self._of(person)
        series, shown.about = shown.series, about
        for row, (at, degrees) in enumerate(zip(seconds, values, strict=True)):
            if row == 0 and series.count:
                series.add(float(at), np.full_like(degrees, np.nan))
            series.add(float(at), degrees)

    def band(self, person: int, what: str, side: str, start: float, end: float) -> None:
        """Add an event from `start` to `end`, seconds; `side`: left, right or ""."""
        self._of(person).bands.append((what, side, start, end))

    def _of(self, person: int) -> Shown:
        """The data of a person; beyond `KEPT` people, the shortest is dropped."""
        shown = self.people.pop(person, None) or Shown()
        if len(self.people) >= KEPT:
            del self.people[min(self.people, key=self._long)]
        self.people[person] = shown
        return shown

    def _long(self, person: int) -> int:
        return self.people[person].series.count

    def write(self) -> bool:
        """Draw and write the plot; False if there is nothing to draw."""
        # No pyplot: it keeps every figure alive and chooses a GUI backend.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        there = [person for person in self.people if self._long(person)]
        chosen = sorted(sorted(there, key=self._long, reverse=True)[:PEOPLE])
        if not chosen:
            return False
        rows: list[float] = []
        for person in chosen:
            names = {what for what, *_ in self.people[person].bands}
            rows += [2.4, 0.1 + 0.22 * len(names)] if names else [2.4]
        figure = Figure(figsize=(WIDE, sum(rows) + 1.3 + 0.25 * len(chosen)), dpi=DPI)
        canvas = FigureCanvasAgg(figure)
        figure.set_layout_engine("constrained")
        axes: Any = figure.subplots(
            len(rows), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": rows}
        )[:, 0]
        panels = iter(axes)
        for person in chosen:
            shown, panel = self.people[person], next(panels)
            self._lines(panel, shown.series)
            title = ", ".join(filter(None, (f"person {person}", shown.about)))
            panel.set_title(title, loc="left", fontsize=10, pad=3)
            if shown.bands:
                _bands(next(panels), shown.bands)
        axes[-1].set_xlabel("seconds")
        axes[-1].tick_params(labelbottom=True, bottom=True)
        handles, labels = axes[0].get_legend_handles_labels()
        columns = min(len(labels), 5)
        figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False)
        canvas.draw()
        write_picture(self.path, np.asarray(canvas.buffer_rgba())[..., :3])
        return True

    def _lines(self, axes: Any, series: Series) -> None:
        """Plot the angles; left blue, right vermilion, same dash for the same joint."""
        joints = list[str]()
        for column, name in enumerate(self.names):
            side = next((s for s in ("left", "right") if name.startswith(f"{s}_")), "")
            joint = name.removeprefix(f"{side}_") if side else name
            joints += [joint] if joint not in joints else []
            number = joints.index(joint)
            rgb = COLOURS[side] if side else MIDDLE[number % len(MIDDLE)]
            colour = [part / 255 for part in rgb]
            look = {"color": colour, "linestyle": DASHES[number % len(DASHES)], "linewidth": 1.4}
            low, high = (np.array(v)[:, column] for v in (series.low, series.high))
            seconds, low, high = _turns(np.array(series.seconds), low, high)
            alone = np.isfinite(high) & ~np.isfinite(np.roll(high, 1)) & ~np.isfinite(
                np.roll(high, -1)
            )  # fmt: skip
            axes.plot(seconds, (low + high) / 2, label=name.replace("_", " "), **look)
            if alone.any() or len(seconds) == 1:  # a line needs two points
                axes.plot(seconds, high, ".", color=colour)
            if series.every > 1:
                axes.fill_between(seconds, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.set_ylabel("degrees")
        axes.grid(alpha=0.3)


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
    axes.set_yticklabels([name for name, _ in names], fontsize=8)
    axes.set_ylim(len(names), 0)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
