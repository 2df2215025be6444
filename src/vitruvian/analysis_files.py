"""What an analysis writes: tables of everything, and pictures, videos and plots of each source."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.analyse import motion
from vitruvian.analyse.angles import Space, chosen, names
from vitruvian.analyse.events import Event
from vitruvian.analyse.found import Analyst, Asked, Found, arms_of, head_top, phrase, said
from vitruvian.body.track import Tracks
from vitruvian.errors import VitruvianError
from vitruvian.sink.annotate import Annotator, Arc, Line, Note
from vitruvian.sink.draw import VISIBLE, draw
from vitruvian.sink.growing import Lines, Rows, csv_lines
from vitruvian.sink.lettering import Steady
from vitruvian.sink.plot import Plot
from vitruvian.sink.video import Video as Film
from vitruvian.sink.video import write_picture

if TYPE_CHECKING:
    from vitruvian.body.poses import Poses
    from vitruvian.body.track import Track
    from vitruvian.frame import Frame
    from vitruvian.predict import Plan

# Drawn and plotted unless others are chosen.
SHOWN = ("left_knee", "right_knee", "left_elbow", "right_elbow")
FEW = 3  # rules: of no more than these it is also drawn that they do not hold
EVENT = ("source", "person", "rule", "side", "state", "start", "end", "frames", "confidence")


@dataclass(frozen=True)
class Save:
    """What goes into the output folder, and how it is drawn."""

    video: bool = True  # annotated picture or video
    plot: bool = True  # of videos, with angles: angles over time
    parquet: bool = False  # angles, besides .csv
    shown: tuple[str, ...] = SHOWN  # angles that are drawn and plotted
    visible: float = VISIBLE


@dataclass
class _Tally:
    """Of one rule."""

    people: set[tuple[str, int]] = field(default_factory=set)  # source and number, of who did it
    seconds: dict[str, float] = field(default_factory=dict)  # side -> how long
    told: int = 0  # states: of a person, and side, in a frame
    unknown: int = 0


class Report:
    """The tables of a whole analysis, and what is said at its end."""

    def __init__(self, out: Path, asked: Asked, save: Save) -> None:
        """Nothing is written yet."""
        self.out, self.asked, self.save = out, asked, save
        self.tallies: dict[str, _Tally] = {name: _Tally() for name in asked.rules}
        self.people: set[tuple[str, int]] = set()
        self.moving = self.nameless = False
        self.begun: list[Lines | Rows] = []
        self.angles: Lines | None = None
        self.columns: Rows | None = None
        self.space: Space | None = None

    def tables(self) -> list[Path]:
        """Those there will be."""
        wanted = {"events.jsonl": bool(self.asked.rules), "events.csv": bool(self.asked.rules)}
        wanted |= {"angles.csv": self.asked.angles, "motion.csv": self.asked.angles}
        wanted["angles.parquet"] = self.asked.angles and self.save.parquet
        return [self.out / name for name, wants in wanted.items() if wants]

    def __enter__(self) -> Report:
        self.stack = ExitStack()
        if self.asked.rules:
            self.jsonl, self.csv = self._begin("events.jsonl", ()), self._begin("events.csv", EVENT)
        if self.asked.angles:
            self.motion = self._begin("motion.csv", motion.EXTENT)
        return self

    def _begin(self, name: str, columns: Sequence[str]) -> Lines:
        """A table that is there even if it stays empty."""
        table = self.stack.enter_context(
            Lines(self.out / name, csv_lines([columns]) if columns else "")
        )
        table.add("")
        self.begun.append(table)
        return table

    def __exit__(self, *error: object) -> None:
        if self.asked.angles and self.space is None:  # there was nobody: an answer, too
            self.measured(self.asked.space or "2d", ())
        self.stack.__exit__(*error)  # type: ignore[arg-type]

    def measured(self, space: Space, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of `motion.columns`; all of one space."""
        if self.space is None:
            self.space, heads = space, motion.columns(space)
            self.angles = self._begin("angles.csv", heads)
            if self.save.parquet:
                kinds = {"source": "string", "person": "int64", "index": "int64", "time": "float64"}
                columns = {head: kinds.get(head, "float32") for head in heads}
                path = self.out / "angles.parquet"
                self.columns = self.stack.enter_context(Rows(path, columns, {"space": space}))
                self.begun.append(self.columns)
        elif space != self.space:
            raise VitruvianError(
                f"angles in {self.space} and in {space} do not go into one table; pass --space 2d"
            )
        listed = list(rows)
        assert self.angles is not None
        self.angles.add(csv_lines(listed))
        if self.columns is not None:
            self.columns.add(listed)

    def went(self, source: str, person: int, extent: motion.Extent) -> None:
        """Write how far somebody moved."""
        rows = ((source, person, *row) for row in extent.rows())
        self.motion.add(csv_lines(rows))

    def happened(self, events: Iterable[Event]) -> None:
        """Write events, and count them."""
        for event in events:
            sure = None if event.confidence != event.confidence else round(event.confidence, 4)
            times = (round(event.start, 6), round(event.end, 6))
            about = (event.source, event.person, event.rule, event.side, event.state)
            row = (*about, *times, event.frames, sure)
            self.jsonl.add(json.dumps(dict(zip(EVENT, row, strict=True))) + "\n")
            self.csv.add(csv_lines([row]))
            if event.state == "yes":
                tally = self.tallies.setdefault(event.rule, _Tally())
                tally.people.add((event.source, event.person))
                seconds = tally.seconds.get(event.side, 0.0) + event.end - event.start
                tally.seconds[event.side] = seconds

    def seen(self, frame: Frame, found: Found, *, moving: bool) -> None:
        """Count who is there, and what is not known of them."""
        self.moving |= moving
        numbers = [person for person in found.poses.person.tolist() if person >= 0]
        self.nameless |= len(numbers) < len(found.poses)
        self.people.update((frame.source, person) for person in numbers)
        for name, values in found.degrees.items():
            tally = self.tallies.setdefault(name, _Tally())
            states = [self.asked.options.state(degree) for degree in values.ravel().tolist()]
            tally.told += len(states)
            tally.unknown += states.count("unknown")

    def said(self) -> Iterator[str]:
        """A line for each rule."""
        if self.nameless and not self.people:
            yield "people have no numbers, so nothing lasts: find them again without --no-track"
        for name, tally in self.tallies.items():
            if not tally.told and self.people:
                continue  # another one stood in for it
            line = f"{name}: {len(tally.people)} of {len(self.people)} people"
            if self.moving:
                parts = [f"{side} {s:.1f} s".strip() for side, s in sorted(tally.seconds.items())]
                line += ", " + (" and ".join(parts) or "0.0 s")
            yield f"{line}, {tally.unknown / max(tally.told, 1):.0%} unknown"

    @property
    def paths(self) -> list[Path]:
        """The tables that have been begun."""
        return [path for table in self.begun for path in table.paths]


class Analysis:
    """A sink for the frames of one source: its share of the tables, its pictures and its plot."""

    def __init__(self, report: Report, asked: Asked, each: Plan, plot: Path | None) -> None:
        """`asked`: as of the report, or what can be told without pixels."""
        self.report, self.asked, self.plan = report, asked, each
        self.analyst = Analyst(asked, moving=each.source.moving)
        self.tracks, self.annotator, self.widths = Tracks(), Annotator(), Steady()
        self.found: Found | None = None
        self.up: Sequence[float] | None = None
        self.extents: dict[int, motion.Extent] = {}
        self.plot = Plot(plot, ()) if plot is not None else None
        films = [Film(path, report.save.visible, self.paint) for path in each.video]
        self.film = films[0] if films else None
        self.made: list[Path] = []

    def __enter__(self) -> Analysis:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Find everything out about a frame, and write it."""
        found = self.found = self.analyst(frame, poses)
        self.up = found.up
        moving = self.plan.source.moving
        self.report.seen(frame, found, moving=moving)
        self.happened(found.events)
        if found.angles is not None and moving:
            self.moved(self.tracks.add(frame, found.poses))
        elif found.angles is not None and len(found.poses):
            self.report.measured(found.space, motion.of_picture(frame, found.poses, found.angles))
        if frame.pixels is None:
            return
        if self.film is not None:
            self.film.write(frame, found.poses)
        elif (path := self.plan.pictures.get(frame.source)) is not None:
            write_picture(path, self.paint(frame, found.poses, self.report.save.visible))
            self.made.append(path)

    def happened(self, events: Sequence[Event]) -> None:
        """Into the tables, and onto the plot."""
        self.report.happened(events)
        if self.plot is not None:
            for event in events:
                what = phrase(event.rule, event.side, "yes")
                self.plot.band(event.person, what, event.side, event.start, event.end)

    def moved(self, tracks: Iterable[Track]) -> None:
        """Angles, and how people moved, of tracks that are over."""
        for track in tracks:
            space: Space = self.asked.space or ("2d" if track.xyz is None else "3d")
            values = motion.angles_deg(track, space, up=self.up)
            self.report.measured(space, motion.rows(track, values))
            extent = self.extents.setdefault(track.person, motion.Extent(space, track.skeleton))
            extent.add(track, values)
            if self.plot is not None:
                self.plot.names = self.shown(space)
                columns = [names(space).index(name) for name in self.plot.names]
                self.plot.add(track.person, track.seconds, values[:, columns])

    def shown(self, space: Space) -> tuple[str, ...]:
        """The angles that are drawn and plotted."""
        return chosen(self.report.save.shown, space)

    def paint(self, frame: Frame, poses: Poses, visible: float) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the frame with everybody, what they do, and their angles."""
        assert self.found is not None
        # The tag has the number. Pictures, unlike frames of a video, have nobody in common.
        widths = self.widths if self.plan.source.moving else None
        image = draw(frame, poses, visible, hidden=True, numbers=False, widths=widths)
        self.annotator(image, list(self.notes(self.found)))
        return image

    def notes(self, found: Found) -> Iterator[Note]:
        """What is said about everybody."""
        poses, few = found.poses, len(found.degrees) <= FEW
        shown = self.shown(found.space) if found.angles is not None else ()
        drawn = {name: arms_of(name, poses) for name in shown}
        beside = {name: arms_of(_mirrored(name), poses)[0] for name in shown}
        top = head_top(poses)
        for row, person in enumerate(poses.person.tolist()):
            lines = tuple(Line(*pair) for pair in said(found, person, everything=few))
            arcs = []
            box = poses.box[row].copy()
            box[1] = np.fmin(box[1], top[row])
            for name, (at, zero, to) in drawn.items():
                value = found.angle_deg(name)[row]
                if np.isfinite(value):
                    sided = _mirrored(name) != name
                    aside = _away(at[row], beside[name][row], box) if sided else 0.0
                    arcs.append(Arc(at[row], zero[row], to[row], f"{value:.0f}°", aside))
            yield Note(person, box, lines, tuple(arcs))

    def __exit__(self, *error: object) -> None:
        if self.film is not None:
            self.film.__exit__(*error)
        self.happened(self.analyst.close())
        if self.found is None or self.found.angles is None:
            return
        self.moved(self.tracks.close())
        source = self.tracks.last.source if self.tracks.last is not None else ""
        for person, extent in sorted(self.extents.items()):
            self.report.went(source, person, extent)
        if self.plot is not None and self.plot.write():
            self.made.append(self.plot.path)

    @property
    def paths(self) -> list[Path]:
        """What has been written, the tables of all sources as well."""
        film = self.film.paths if self.film is not None else []
        return [*self.report.paths, *film, *self.made]


def _away(at: np.ndarray, other: np.ndarray, box: np.ndarray) -> float:
    """-1 or 1: on which side of a joint there is room, away from the other side's, or the body."""
    middle = other[0] if np.isfinite(other).all() else box[[0, 2]].mean()
    return 1.0 if at[0] >= middle else -1.0


def _mirrored(name: str) -> str:
    """The same angle of the other side."""
    swap = {"left": "right", "right": "left"}
    side, _, rest = name.partition("_")
    return f"{swap[side]}_{rest}" if side in swap else name
