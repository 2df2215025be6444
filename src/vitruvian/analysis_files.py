"""What an analysis writes: tables of everything, and pictures, videos and plots of each source."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.analyse import motion
from vitruvian.analyse.angles import Space, available, chosen, names, needs
from vitruvian.analyse.events import Event
from vitruvian.analyse.found import Analyst, Asked, Found, arms_of, head_top, phrase, said
from vitruvian.analyse.view import guessed
from vitruvian.body.track import Tracks
from vitruvian.errors import VitruvianError, shown
from vitruvian.pipeline import again
from vitruvian.sink.annotate import Annotator, Arc, Line, Note
from vitruvian.sink.draw import VISIBLE, draw
from vitruvian.sink.growing import Lines, Rows, csv_lines
from vitruvian.sink.plot import Plot
from vitruvian.sink.video import Video as Film
from vitruvian.sink.video import write_picture
from vitruvian.source import Video

Pairs = Iterator[tuple["Frame", "Poses"]]
Again = Callable[["Source", Pairs], Generator[tuple["Frame", "Poses"], None, None]]
if TYPE_CHECKING:
    from vitruvian.body.poses import Poses
    from vitruvian.body.skeleton import Skeleton
    from vitruvian.body.track import Track
    from vitruvian.frame import Frame
    from vitruvian.predict import Plan
    from vitruvian.source import Source

# Drawn and plotted unless others are chosen.
SHOWN = ("left_knee", "right_knee", "left_elbow", "right_elbow")
FEW = 3  # rules: of no more than these it is also drawn that they do not hold
# Arrow's types of columns; of the others, degrees and shares, float32.
KINDS = {
    **dict.fromkeys(("source", "rule", "side", "state", "space"), "string"),
    **dict.fromkeys(("person", "index", "frames"), "int64"),
    **dict.fromkeys(("time", "start", "end"), "float64"),
}
EVENT = ("source", "person", "rule", "side", "state", "start", "end", "frames", "confidence")


@dataclass(frozen=True)
class Save:
    """What goes into the output folder, and how it is drawn."""

    video: bool = True  # annotated picture or video
    plot: bool = True  # of videos, with angles: angles over time
    parquet: bool = False  # events and angles, besides .csv
    shown: tuple[str, ...] = SHOWN  # angles that are drawn and plotted
    visible: float = VISIBLE


@dataclass
class _Tally:
    """Of one rule."""

    people: set[tuple[str, int]] = field(default_factory=set)  # source and number, of who did it
    seconds: dict[str, float] = field(default_factory=dict)  # side -> how long
    told: int = 0  # states: of a person, and side, in a frame
    unknown: int = 0
    known: bool = False  # whether it could ever be told how far it holds
    short: int = 0  # times that it held for less than `Options.minimum`
    lacks: set[str] = field(default_factory=set)  # points it asked for, and skeletons do not have


class Report:
    """The tables of a whole analysis, and what is said at its end."""

    def __init__(self, out: Path, asked: Asked, save: Save) -> None:
        """Nothing is written yet."""
        self.out, self.asked, self.save = out, asked, save
        self.tallies: dict[str, _Tally] = {name: _Tally() for name in asked.rules}
        self.people: set[tuple[str, int]] = set()
        self.moving = self.nameless = False
        self.pictures: dict[Space, int] = {"2d": 0, "3d": 0}  # people, by where they are measured
        self.skeletons: dict[str, tuple[Skeleton, Space]] = {}  # of people, and of their angles
        self.begun: list[Lines | Rows] = []
        self.space: Space = asked.space or "3d"  # whose columns angles have

    def tables(self) -> list[Path]:
        """Those there will be."""
        rules, angles, more = bool(self.asked.rules), self.asked.angles, self.save.parquet
        wanted = {"events.jsonl": rules, "events.csv": rules, "events.parquet": rules and more}
        wanted |= {"angles.csv": angles, "motion.csv": angles, "angles.parquet": angles and more}
        return [self.out / name for name, wants in wanted.items() if wants]

    def __enter__(self) -> Report:
        events = self._rows("events", EVENT) if self.asked.rules else None
        columns = motion.columns(self.space)
        angles = self._rows("angles", columns) if self.asked.angles else None
        with ExitStack() as stack:
            if self.asked.rules:
                self.jsonl = self._begin(stack, "events.jsonl", ())
                self.events = self._begin_both(stack, "events.csv", EVENT, events)
            if self.asked.angles:
                self.motion = self._begin(stack, "motion.csv", motion.EXTENT)
                self.angles = self._begin_both(stack, "angles.csv", columns, angles)
            self.stack = stack.pop_all()
        return self

    def _rows(self, stem: str, columns: Sequence[str]) -> Rows | None:
        """A table as .parquet, if it is wanted."""
        if not self.save.parquet:
            return None
        kinds = {name: KINDS.get(name, "float32") for name in columns}
        return Rows(self.out / f"{stem}.parquet", kinds, {})

    def _begin(self, stack: ExitStack, name: str, columns: Sequence[str]) -> Lines:
        """A table that is there even if it stays empty."""
        heads = csv_lines([columns]) if columns else ""
        table = stack.enter_context(Lines(self.out / name, heads))
        table.add("")
        self.begun.append(table)
        return table

    def _begin_both(
        self, stack: ExitStack, name: str, columns: Sequence[str], rows: Rows | None
    ) -> Callable[[Iterable[Sequence[Any]]], None]:
        """The same, and as `rows`; what new ones are added with."""
        lines = self._begin(stack, name, columns)
        if rows is not None:
            stack.enter_context(rows).add(())
            self.begun.append(rows)

        def add(new: Iterable[Sequence[Any]]) -> None:
            listed = list(new)
            lines.add(csv_lines(listed))
            if rows is not None:
                rows.add(listed)

        return add

    def __exit__(self, *error: object) -> None:
        self.stack.__exit__(*error)  # type: ignore[arg-type]

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
            self.events([row])
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
            tally.known |= bool(np.isfinite(values).any())
            tally.lacks.update(found.lacks.get(name, ()) if len(values) else ())
        if len(found.poses):
            skeleton = found.poses.skeleton
            self.skeletons.setdefault(skeleton.name, (skeleton, found.space))
        if found.angles is not None and not moving and guessed(found.poses):
            for space in found.spaces:
                self.pictures[space] += 1

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
            line += f", {tally.unknown / max(tally.told, 1):.0%} unknown"
            if tally.short:
                least = self.asked.options.minimum
                line += f"; {tally.short} shorter than {least:g} s not counted, see --minimum"
            yield line

    def remarks(self) -> Iterator[str]:
        """A line for each thing that was chosen, or that could not be worked out."""
        if self.pictures["2d"]:
            yield (
                f"angles of {self.pictures['2d']} people in 2D, who are seen from the side, of "
                f"{self.pictures['3d']} in 3D; --space takes one for all"
            )
        for skeleton, space in self.skeletons.values() if self.asked.angles else ():
            known = available(skeleton, space)
            missing = [name for name in names(space) if name not in known]
            if missing:
                some = f"{len(missing)} of {len(names(space))} angles" if known else "angles"
                yield (
                    f"{some} cannot be worked out of {shown(skeleton.name, 30)}: "
                    f"{shown(', '.join(missing), 180)}"
                )
        for name, tally in self.tallies.items():
            if tally.lacks and not tally.known:
                lacks = shown(", ".join(sorted(tally.lacks)), 100)
                yield f"{name} cannot be told: there is no {lacks}"

    def nothing(self) -> VitruvianError | None:
        """Why nothing at all could be worked out of the people there are; None if something was."""
        rules = [tally for tally in self.tallies.values() if tally.told]
        measured = self.asked.angles and any(available(*one) for one in self.skeletons.values())
        if not self.skeletons or measured or any(one.known or not one.lacks for one in rules):
            return None
        wanted = {name for tally in rules for name in tally.lacks}
        wanted = wanted or {point for name in names(self.space) for point in needs(name)}
        skeleton, _ = next(iter(self.skeletons.values()))
        return VitruvianError(
            f"nothing can be worked out: {shown(skeleton.name, 30)} has keypoints called "
            f"{shown(', '.join(skeleton.keypoints), 80)}, and none of those that are wanted, such "
            f"as {shown(', '.join(sorted(wanted)), 60)}; `vitruvian convert` with --skeleton"
        )

    @property
    def paths(self) -> list[Path]:
        """The tables that have been begun."""
        return [path for table in self.begun for path in table.paths]


class Analysis:
    """A sink for the frames of one source: its share of the tables, its pictures and its plot."""

    def __init__(
        self,
        report: Report,
        asked: Asked,
        each: Plan,
        plot: Path | None,
        pixels: Again = again,
    ) -> None:
        """Nothing is written yet.

        Args:
            report: of the whole analysis.
            asked: as of the report, or what can be told without pixels.
            each: what there will be of the source.
            plot: where, or None.
            pixels: puts them into the frames of a recording, once more.
        """
        self.report, self.asked, self.plan = report, asked, each
        self.tracks, self.annotator = Tracks(), Annotator()
        self.found: Found | None = None
        self.extents: dict[tuple[int, Space, str], motion.Extent] = {}  # the last: of skeletons
        self.up: tuple[float, ...] | None = None
        self.plot = Plot(plot, ()) if plot is not None else None
        films = [Film(path, report.save.visible, self.paint) for path in each.video]
        self.film, self.drawn = films[0] if films else None, True
        source, self.live = each.source, is_live(each.source, drawn=bool(films))
        self.analyst = Analyst(asked, moving=source.moving, live=self.live)
        # Of a recording the frames are settled later than they are read, and are read again then.
        self.waiting: deque[tuple[Frame, Poses]] = deque()
        self.again = pixels(source, iter(self.waiting.popleft, None)) if films else None
        self.made: list[Path] = []

    def __enter__(self) -> Analysis:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Find everything out about a frame, and write it, and those that are settled by it."""
        for settled, found in self.analyst(frame, poses):
            self.settle(settled, found)
        if self.asked.angles and self.plan.source.moving:
            self.up = None if frame.camera is None else tuple(frame.camera.up.tolist())
            self.moved(self.tracks.add(frame, poses))

    def settle(self, frame: Frame, found: Found) -> None:
        """Write what was found in a frame."""
        moving, first, self.found = self.plan.source.moving, self.found is None, found
        if first and found.angles is not None:
            self.shown(found.space)  # raises of what needs metres, where there are none
        self.report.seen(frame, found, moving=moving)
        self.happened(found.events)
        if found.angles is not None and not moving and len(found.poses):
            values = motion.spread(found.angles, found.space, self.report.space)
            self.report.angles(motion.of_picture(frame, found.poses, values, found.spaces))
        if self.film is not None and self.drawn:
            self.drawn = False  # unless it is: what cannot be read or written once is left there
            if frame.pixels is None and self.again is not None:
                self.waiting.append((frame, found.poses))
                frame, _ = next(self.again)
            self.film.write(frame, found.poses)
            self.drawn = True
        elif frame.pixels is not None and frame.source in self.plan.pictures:
            path = self.plan.pictures[frame.source]
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
            space = self.space(track)
            values = motion.angles_deg(track, space, up=self.up if space == "3d" else None)
            among = self.report.space
            self.report.angles(motion.rows(track, values, space, among))
            kind = (track.person, space, track.skeleton.name)
            if kind not in self.extents:
                metres = track.xyz is not None and self.asked.space != "2d"
                self.extents[kind] = motion.Extent(space, track.skeleton, metres)
            self.extents[kind].add(track, values)
            if self.plot is not None:
                self.plot.names = self.shown(among)
                columns = [names(among).index(name) for name in self.plot.names]
                degrees = motion.spread(values, space, among)[:, columns]
                self.plot.add(track.person, track.seconds, degrees, f"angles in {space.upper()}")

    def space(self, track: Track) -> Space:
        """Where the angles of a track are measured, as they are drawn."""
        if self.asked.space is not None:
            return self.asked.space
        seen = self.analyst.views.people.get(track.person)
        return "2d" if track.xyz is None else "3d" if seen is None else seen.space

    def remarks(self) -> Iterator[str]:
        """Lines about what was chosen of a video."""
        name = self.plan.source.name
        if self.live and self.asked.rules:
            yield (
                f"{name} cannot be read again, so what is drawn lags behind what was found, by up "
                f"to {self.asked.options.gap:g} s"
            )
        if self.found is None or not self.asked.angles or self.asked.space is not None:
            return
        people = self.analyst.views.people
        if not people:
            why = (
                "metres are not from the hips"
                if self.found.space == "3d"
                else "there are no metres"
            )
            yield f"{name}: angles in {self.found.space.upper()}: {why}"
        for space in ("2d", "3d"):
            here = [person for person, seen in people.items() if seen.space == space]
            side, known = (
                sum(getattr(people[person], part) for person in here) for part in ("side", "known")
            )
            if here:
                listed = ", ".join(map(str, here[:6])) + (", ..." if here[6:] else "")
                yield (
                    f"{name}: angles of person {listed} in {space.upper()}, seen from the side in "
                    f"{side / max(known, 1):.0%} of the frames; --space takes one for all"
                )

    def shown(self, space: Space) -> tuple[str, ...]:
        """The angles that are drawn and plotted."""
        return chosen(self.report.save.shown, space)

    def paint(self, frame: Frame, poses: Poses, visible: float) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the frame with everybody, what they do, and their angles."""
        assert self.found is not None
        nameless = replace(poses, person=np.full(len(poses), -1))  # the tag has the number
        image = draw(frame, nameless, visible, hidden=True)
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
        try:
            rest, events = self.analyst.close()
            for frame, found in rest:
                self.settle(frame, found)
            self.happened(events)
        finally:
            if self.again is not None:
                self.again.close()
            if self.film is not None:
                self.film.__exit__(*error)
        for rule, times in self.analyst.watch.short.items():
            self.report.tallies.setdefault(rule, _Tally()).short += times
        if self.found is None or self.found.angles is None:
            return
        self.moved(self.tracks.close())
        source = self.tracks.last.source if self.tracks.last is not None else ""
        for (person, *_), extent in sorted(self.extents.items(), key=lambda each: each[0]):
            self.report.went(source, person, extent)
        if self.plot is not None and self.plot.write():
            self.made.append(self.plot.path)

    @property
    def paths(self) -> list[Path]:
        """What has been written, the tables of all sources as well."""
        film = self.film.paths if self.film is not None else []
        return [*self.report.paths, *film, *self.made]


def is_live(source: Source, *, drawn: bool) -> bool:
    """Whether frames must be drawn as they come: they cannot be read a second time."""
    if source.live or not drawn:
        return source.live
    return not (isinstance(source, Video) and Path(source.address).is_file())


def _away(at: np.ndarray, other: np.ndarray, box: np.ndarray) -> float:
    """-1 or 1: on which side of a joint there is room, away from the other side's, or the body."""
    middle = other[0] if np.isfinite(other).all() else box[[0, 2]].mean()
    return 1.0 if at[0] >= middle else -1.0


def _mirrored(name: str) -> str:
    """The same angle of the other side."""
    swap = {"left": "right", "right": "left"}
    side, _, rest = name.partition("_")
    return f"{swap[side]}_{rest}" if side in swap else name
