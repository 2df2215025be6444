"""The tables of an analysis, and its summary."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.analysis import motion
from vitruvian.analysis.angles import (
    Space,
    angle_names,
    available_angles,
    expected_angles,
    match_angles,
    required_points,
)
from vitruvian.analysis.cycles import Cycle
from vitruvian.analysis.events import Event
from vitruvian.analysis.found import AnalysisSettings, FrameAnalysis
from vitruvian.analysis.view import depth_is_estimated
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError, amount, shown, unknown
from vitruvian.formats.growing import GrowingText, Rows, csv_lines
from vitruvian.rendering.figures import FIGURES
from vitruvian.verbs.analyze_page import write_page
from vitruvian.verbs.analyze_sheet import EventSheet
from vitruvian.verbs.groups import VISIBLE
from vitruvian.verbs.outputs import check_visible

if TYPE_CHECKING:
    from vitruvian.frame import Frame

# Drawn and plotted by default.
SHOWN = ("left_knee", "right_knee", "left_elbow", "right_elbow")
# Arrow column types; other columns, degrees and shares, are float32.
KINDS = {
    **dict.fromkeys(("source", "model", "version", "rule", "side", "state", "evidence"), "string"),
    "space": "string",
    **dict.fromkeys(("person", "index", "frames"), "int64"),
    **dict.fromkeys(("time", "start", "end"), "float64"),
}
# What is written beside the tables, on request.
OUTPUTS = ("video", "plot", "pdf", "svg", "sheet", "html", "parquet")
TABLES = "tables"  # always written
NO_HANDS = "there are no hands; add --hands, or use --model holistic"
CYCLES = (
    *("source", "person", "cycle", "reference", "angle", "start", "end"),
    *("minimum", "maximum", "range"),
)
EVENT = (
    *("source", "model", "version", "person", "rule", "side", "state", "start", "end", "frames"),
    *("confidence", "evidence"),
)


@dataclass(frozen=True)
class AnalysisOutputs:
    """The files of an analysis, and the minimum score of keypoints that are drawn."""

    names: tuple[str, ...] = ()  # of OUTPUTS
    visible: float = VISIBLE  # 0..1

    @classmethod
    def parse(cls, words: Iterable[str] | str, visible: float = VISIBLE) -> AnalysisOutputs:
        """Parse names, comma-separated or not; the page comes with the plots and the sheet.

        Raises:
            VitruvianError: unknown name.
        """
        words = words.split(",") if isinstance(words, str) else words
        names = [name for name in map(str.strip, words) if name]
        for name in names:
            if name in ("csv", "json"):
                raise VitruvianError(
                    f"the tables (.csv, .jsonl) are always written; leave {name} out"
                )
            if name not in (*OUTPUTS, TABLES):
                raise unknown("file of an analysis", name, (*OUTPUTS, TABLES))
        check_visible(visible)
        names += ["plot", "sheet"] if "html" in names else []
        return cls(tuple(name for name in OUTPUTS if name in names), visible)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def figures(self, stem: Path) -> tuple[Path, ...]:
        """The files of a figure."""
        kinds = [
            kind for kind in FIGURES if kind[1:] in self or (kind == ".png" and "plot" in self)
        ]
        return tuple(stem.with_name(stem.name + kind) for kind in kinds)


@dataclass
class RuleTally:
    """Counts of one rule."""

    people: set[int] = field(default_factory=set)  # of the current source, where it held
    before: int = 0  # people of earlier sources
    seconds: dict[str, float] = field(default_factory=dict)  # side -> duration
    told: int = 0  # states: one per person and side in a frame
    unknown: int = 0
    known: bool = False  # whether its score could ever be computed
    short: int = 0  # number of times that it held for less than `Options.minimum`
    lacks: set[str] = field(default_factory=set)  # keypoints that it needs and skeletons lack

    @property
    def needs_hands(self) -> bool:
        """Whether it could not be computed as there are no fingers."""
        return not self.known and "left_index_1" in self.lacks


class AnalysisReport:
    """The tables of a whole analysis, and its summary."""

    def __init__(
        self,
        out: Path,
        asked: AnalysisSettings,
        save: AnalysisOutputs,
        shown: tuple[str, ...] = SHOWN,
        *,
        parts: bool = False,
    ) -> None:
        """Nothing is written yet.

        Args:
            out: folder.
            asked: what to analyse.
            save: what is written beside the tables.
            shown: angles that are drawn and plotted.
            parts: whether the table has columns of fingers and the face.
        """
        self.parts = parts
        self.out, self.asked, self.save, self.shown = out, asked, save, shown
        self.model = self.version = ""  # of the poses, and of vitruvian when it made them
        self.tallies: dict[str, RuleTally] = {name: RuleTally() for name in asked.rules}
        self.people: set[int] = set()  # of the current source, or picture
        self.before = 0  # people of earlier ones
        self.moving = self.nameless = False
        self.pictures: dict[Space, int] = {"2d": 0, "3d": 0}  # people, by space of their angles
        self.skeletons: dict[str, tuple[Skeleton, Space]] = {}  # of people, and of their angles
        self.begun: list[GrowingText | Rows] = []
        self.space: Space = asked.space or "3d"  # sets the columns of the angles table
        self.sheet = EventSheet(out) if "sheet" in save and asked.rules else None
        self.page = out / "report.html" if "html" in save else None
        self.figures: list[tuple[str, Sequence[Path]]] = []  # of each source, for the page
        self.written: list[Path] = []  # the page

    def tables(self) -> list[Path]:
        """The paths of the tables, the first page of the contact sheet and the report."""
        rules, angles, more = bool(self.asked.rules), self.asked.angles, "parquet" in self.save
        wanted = {"events.jsonl": rules, "events.csv": rules, "events.parquet": rules and more}
        wanted |= {"angles.csv": angles, "motion.csv": angles, "cycles.csv": angles}
        wanted |= {"angles.parquet": angles and more}
        wanted |= {"sheet_1.jpg": self.sheet is not None, "report.html": self.page is not None}
        return [self.out / name for name, wants in wanted.items() if wants]

    def __enter__(self) -> AnalysisReport:
        events = self._rows("events", EVENT) if self.asked.rules else None
        columns = motion.angle_columns(self.space, self.parts)
        angles = self._rows("angles", columns) if self.asked.angles else None
        with ExitStack() as stack:
            if self.asked.rules:
                self.jsonl = self._begin(stack, "events.jsonl", ())
                self.events = self._begin_both(stack, "events.csv", EVENT, events)
            if self.asked.angles:
                self.motion = self._begin(stack, "motion.csv", motion.EXTENT)
                self.cycles = self._begin(stack, "cycles.csv", CYCLES)
                self.angles = self._begin_both(stack, "angles.csv", columns, angles)
            if self.sheet is not None:
                self.begun.append(stack.enter_context(self.sheet.kept))
            self.stack = stack.pop_all()
        return self

    def _rows(self, stem: str, columns: Sequence[str]) -> Rows | None:
        """The rows of a .parquet table, if requested."""
        if "parquet" not in self.save:
            return None
        kinds = {name: KINDS.get(name, "float32") for name in columns}
        return Rows(self.out / f"{stem}.parquet", kinds, {})

    def _begin(self, stack: ExitStack, name: str, columns: Sequence[str]) -> GrowingText:
        """Start a table, which exists even if it stays empty."""
        heads = csv_lines([columns]) if columns else ""
        table = stack.enter_context(GrowingText(self.out / name, heads))
        self.begun.append(table)
        return table

    def _begin_both(
        self, stack: ExitStack, name: str, columns: Sequence[str], rows: Rows | None
    ) -> Callable[[Iterable[Sequence[Any]]], None]:
        """Start a table as text and as `rows`; returns the function that adds rows."""
        lines = self._begin(stack, name, columns)
        if rows is not None:
            stack.enter_context(rows)
            self.begun.append(rows)

        def add(new: Iterable[Sequence[Any]]) -> None:
            listed = list(new)
            lines.add(csv_lines(listed))
            if rows is not None:
                rows.add(listed)

        return add

    def __exit__(self, *error: Any) -> None:
        self.stack.__exit__(*error)
        if error[0] is not None and not issubclass(error[0], KeyboardInterrupt):
            return
        if self.sheet is not None:
            self.sheet.write()
        if self.page is not None:
            events = self.out / "events.csv" if self.asked.rules else None
            made_by = f"Poses of {self.model}, vitruvian {self.version}." if self.model else ""
            said = (made_by, *self.said()) if made_by else self.said()
            write_page(self.page, said, events, self.figures, self.sheet)
            self.written = [self.page]

    def start(self) -> None:
        """Start the tables, which exist even if they stay empty."""
        for table in self.begun:
            table.add("")

    def of(self) -> dict[str, Any]:
        """What the files depend on besides poses."""
        asked = self.asked
        wanted = {"rules": list(asked.rules), "events": asked.options, "angles": asked.angles}
        wanted |= {
            "people": asked.people,
            "space": asked.space,
            "shown": self.shown,
            "save": self.save.names,
        }
        return wanted | {"visible": self.save.visible}

    def mark(self) -> dict[str, Any] | None:
        """The state to resume from, ready for JSON; None if it cannot, with Parquet tables.

        The current source, or picture, ends.
        """
        self.end()
        sizes = [table.mark() for table in self.begun if isinstance(table, GrowingText)]
        if len(sizes) < len(self.begun):
            return None
        tallies = {
            name: {**vars(tally), "people": [], "lacks": sorted(tally.lacks)}
            for name, tally in self.tallies.items()
        }
        skeletons = [(table.to_json(), space) for table, space in self.skeletons.values()]
        return {
            "sizes": sizes,
            "tallies": tallies,
            "skeletons": skeletons,
            **{name: getattr(self, name) for name in ("before", "moving", "nameless", "pictures")},
        }

    def can_go_on(self, mark: dict[str, Any]) -> bool:
        """Whether what the tables held at a `mark` is still there."""
        tables = [table for table in self.begun if isinstance(table, GrowingText)]
        return all(map(GrowingText.can_go_on, tables, mark["sizes"]))

    def go_on(self, mark: dict[str, Any], frames: Sequence[Frame] = ()) -> None:
        """Resume from a `mark`."""
        for table, size in zip(self.begun, mark["sizes"], strict=True):
            assert isinstance(table, GrowingText)
            table.go_on(size)
        for name, tally in mark["tallies"].items():
            self.tallies[name] = RuleTally(**{**tally, "people": set(), "lacks": {*tally["lacks"]}})
        for text, space in mark["skeletons"]:
            table = Skeleton.from_json(text)
            self.skeletons[table.name] = (table, space)
        self.before, self.moving, self.nameless = mark["before"], mark["moving"], mark["nameless"]
        self.pictures = mark["pictures"]

    def went(self, source: str, person: int, extent: motion.MotionExtent) -> None:
        """Write how far a person moved."""
        rows = ((source, person, *row) for row in extent.rows())
        self.motion.add(csv_lines(rows))

    def repeated(self, source: str, person: int, cycles: Iterable[Cycle]) -> None:
        """Write the cycles of a person's angles."""
        rows = []
        for each in cycles:
            extent = (each.minimum, each.maximum, each.maximum - each.minimum)
            about = (source, person, each.number, each.reference, each.angle)
            times = (round(each.start, 6), round(each.end, 6))
            rows.append((*about, *times, *motion.nan_to_none([round(v, 4) for v in extent])))
        self.cycles.add(csv_lines(rows))

    def happened(self, events: Iterable[Event]) -> None:
        """Write and count events."""
        for event in events:
            sure = None if event.confidence != event.confidence else round(event.confidence, 4)
            times = (round(event.start, 6), round(event.end, 6))
            about = (event.source, self.model, self.version)
            what = (event.person, event.rule, event.side, event.state)
            row = (*about, *what, *times, event.frames, sure, event.evidence)
            self.jsonl.add(json.dumps(dict(zip(EVENT, row, strict=True))) + "\n")
            self.events([row])
            if event.state == "yes":
                tally = self.tallies.setdefault(event.rule, RuleTally())
                tally.people.add(event.person)
                seconds = tally.seconds.get(event.side, 0.0) + event.end - event.start
                tally.seconds[event.side] = seconds

    def end(self) -> None:
        """End a source, or picture: the same number in the next one is somebody else."""
        for tally in (self, *self.tallies.values()):
            tally.before, tally.people = tally.before + len(tally.people), set()

    def seen(self, frame: Frame, found: FrameAnalysis, *, moving: bool) -> None:
        """Count people in a frame, and their unknown states."""
        self.moving |= moving
        numbers = [person for person in found.poses.person.tolist() if person >= 0]
        self.nameless |= len(numbers) < len(found.poses)
        self.people.update(numbers)
        on, off = self.asked.options.on, self.asked.options.off
        for name, values in found.degrees.items():
            tally = self.tallies.setdefault(name, RuleTally())
            degrees = values.ravel().tolist()
            tally.told += len(degrees)
            tally.unknown += sum(not (degree <= off or degree >= on) for degree in degrees)
            tally.known |= any(degree == degree for degree in degrees)
            tally.lacks.update(found.lacks.get(name, ()) if len(values) else ())
        if len(found.poses):
            skeleton = found.poses.skeleton
            self.skeletons.setdefault(skeleton.name, (skeleton, found.space))
        if found.angles is not None and not moving and depth_is_estimated(found.poses):
            for space in found.spaces:
                self.pictures[space] += 1

    def said(self) -> Iterator[str]:
        """One line about each rule."""
        self.end()
        if self.nameless and not self.before:
            yield "no track ids, so there are no events; run the model without --no-track"
        for name, tally in self.tallies.items():
            if not tally.told and self.before:
                continue  # another rule replaced it
            line = f"{name}: {tally.before} of {amount(self.before, 'person', 'people')}"
            if self.moving:
                parts = [f"{side} {s:.1f} s".strip() for side, s in sorted(tally.seconds.items())]
                line += ", " + (" and ".join(parts) or "0.0 s")
            line += f", {tally.unknown / max(tally.told, 1):.0%} unknown"
            if tally.short:
                least = self.asked.options.minimum
                line += f"; {tally.short} shorter than {least:g} s not counted, see --minimum"
            yield line

    def remarks(self) -> Iterator[str]:
        """One line about each choice, and each thing that could not be computed."""
        if self.pictures["2d"] and self.asked.space is None:
            yield (
                f"angles in 2D for {amount(self.pictures['2d'], 'person', 'people')} seen from "
                f"the side, in 3D for {self.pictures['3d']}; --space sets one for all"
            )
        for skeleton, space in self.skeletons.values() if self.asked.angles else ():
            known = available_angles(skeleton, space)
            wanted = expected_angles(skeleton, space, match_angles(self.shown, space))
            missing = [name for name in wanted if name not in known]
            if missing:
                some = f"{len(missing)} of {len(wanted)} angles" if known else "angles"
                yield (
                    f"{some} cannot be computed from {shown(skeleton.name, 30)}: "
                    f"{shown(', '.join(missing), 180)}"
                )
        if of_hands := [name for name, tally in self.tallies.items() if tally.needs_hands]:
            yield f"{', '.join(of_hands)}: {NO_HANDS}"
        for name, tally in self.tallies.items():
            if tally.lacks and not tally.known and not tally.needs_hands:
                lacks = shown(", ".join(sorted(tally.lacks)), 100)
                yield f"{name} cannot be evaluated: there is no {lacks}"

    def nothing(self) -> VitruvianError | None:
        """Why nothing could be computed for any person; None if something was."""
        rules = [tally for tally in self.tallies.values() if tally.told]
        measured = self.asked.angles and any(
            available_angles(*one) for one in self.skeletons.values()
        )
        if not self.skeletons or measured or any(one.known or not one.lacks for one in rules):
            return None
        if rules and all(one.needs_hands for one in rules):
            names = ", ".join(name for name, tally in self.tallies.items() if tally.needs_hands)
            return VitruvianError(f"nothing can be computed: {names}: {NO_HANDS}")
        wanted = {name for tally in rules for name in tally.lacks}
        wanted = wanted or {
            point for name in angle_names(self.space) for point in required_points(name)
        }
        skeleton, _ = next(iter(self.skeletons.values()))
        return VitruvianError(
            f"nothing can be computed: {shown(skeleton.name, 30)} has keypoints "
            f"{shown(', '.join(skeleton.keypoints), 80)}, but none of those needed, such as "
            f"{shown(', '.join(sorted(wanted)), 60)}; change the skeleton with `vitruvian convert "
            "--skeleton`"
        )

    @property
    def paths(self) -> list[Path]:
        """The tables started so far, the contact sheet and the page."""
        sheet = self.sheet.paths if self.sheet is not None else []
        kept = self.sheet.kept if self.sheet is not None else None
        tables = [path for table in self.begun if table is not kept for path in table.paths]
        return [*tables, *sheet, *self.written]
