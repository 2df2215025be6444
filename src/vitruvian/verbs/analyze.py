"""Analysis: posture events and joint angles of a source or a record, as files and in Python."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.analysis import angles as table_of_angles
from vitruvian.analysis.angles import Space
from vitruvian.analysis.events import Options
from vitruvian.analysis.found import AnalysisSettings, Analyst, FrameAnalysis
from vitruvian.analysis.posture import Rule, is_of_keypoints
from vitruvian.analysis.rules import RULES, parse_rules
from vitruvian.errors import VitruvianError, shown
from vitruvian.formats.atomic_file import writing
from vitruvian.formats.records import Record
from vitruvian.sources.open import Pictures, Source
from vitruvian.sources.record import is_here, of_poses, record_of, runs, sources_of, with_pixels
from vitruvian.streams.run import run
from vitruvian.streams.stream import Stream
from vitruvian.streams.wanted import OF_RECORDS, Wanted
from vitruvian.verbs import outputs
from vitruvian.verbs.analyze_files import Analysis, AnalysisPlan, is_live
from vitruvian.verbs.analyze_report import SHOWN, AnalysisOutputs, AnalysisReport
from vitruvian.verbs.find import Faults, Pairs, afterwards, until_error, where, write_source
from vitruvian.verbs.folder import Ledger, as_json, ledger_of
from vitruvian.verbs.groups import AnalysisWords
from vitruvian.verbs.output_files import OutputFiles, plan_outputs
from vitruvian.verbs.outputs import Save
from vitruvian.verbs.predict import PeopleHints
from vitruvian.verbs.resume import Resumable, check_resumable
from vitruvian.verbs.track import can_be, over_time

if TYPE_CHECKING:
    from vitruvian.body.poses import Poses
    from vitruvian.body.skeleton import Skeleton
    from vitruvian.frame import Frame
    from vitruvian.models.model import Model
    from vitruvian.streams.stream import Given

# Rule that needs pixels -> its replacement without pixels.
WITHOUT_PIXELS = {"hands_in_pockets": "hands_at_pockets"}


# In Python


def analyze_frames(
    source: str | Path | Sequence[str | Path],
    model: str | Model = "blazepose-full",
    *,
    rules: str | Iterable[str] = "all",
    angles: bool = False,
    space: Space | None = None,
    when: Options | None = None,
    minimum: float | None = None,
    gap: float | None = None,
    on: float | None = None,
    off: float | None = None,
    person: int | str | Sequence[int] | None = None,
    **options: Any,
) -> Iterator[tuple[Frame, Poses, FrameAnalysis]]:
    """Detect posture events and measure angles, frame by frame.

    Frames of files and records come once later frames can no longer change their result: after
    `minimum` and `gap` seconds, with angles up to half a minute, in batches of up to 256 frames;
    their pixels are read again.
    Frames of cameras and streams come at once, and their states lag by up to `gap`.

    Args:
        source: as for `run`, or a record (`.jsonl`).
        model: as for `run`; not needed for a record.
        rules: names from docs/postures.md, `all`, `mine.toml`, `mine.py:function`,
            comma-separated; or empty.
        angles: whether to measure joint angles.
        space: "2d" or "3d" angles; None: 3D where there are metres, but 2D for people seen mostly
            from the side whose metres a model estimates from one image.
        when: thresholds for the start and end of events; None: the defaults of `Options`.
        minimum: seconds, overrides `when`: shorter events are dropped.
        gap: seconds, overrides `when`: shorter interruptions do not end an event.
        on: 0..1, overrides `when`: degree from which an event begins.
        off: 0..1, overrides `when`: degree below which it ends.
        person: track ids of those who are analyzed, such as 3, [1, 3] or "1,3"; None: everybody.
        options: other options of `run`; for a record only `smooth`, `cutoff_hz` and `repair`.

    Returns:
        Tuples of frame, poses and analysis. Events come with the frame at which they are final;
        those still open at the end, with the last frame.

    Raises:
        VitruvianError: as `run`; unknown rule, or a rule that cannot be evaluated on these poses.
    """
    words = {"minimum": minimum, "gap": gap, "on": on, "off": off}
    given = {name: value for name, value in words.items() if value is not None}
    happens = replace(when or Options(), **given)
    people = AnalysisWords(person=person).people()  # type: ignore[arg-type]  # takes numbers, too
    found = parse_rules(rules) if rules else {}
    asked = AnalysisSettings(found, happens, angles, parse_space(space), people)
    if (record := record_of(source)) is not None:
        filters = {name: options.pop(name) for name in OF_RECORDS if name in options}
        if options:
            raise VitruvianError(f"{', '.join(options)} has no effect on a record; leave it out")
        can_be(record, wanted := Wanted(**filters))
        return _found(_read(record, asked, wanted))
    told: list[Source] = []
    pairs = run(source, model, on_source=told.append, **options)

    def part(group: Pairs) -> AtomicFile:
        live = is_live(told[-1], drawn=True)
        analyst = Analyst(asked, moving=told[-1].moving, live=live)
        return analyst, None if live or not analyst.moving else told[-1], group

    return _found(part(group) for _, group in itertools.groupby(pairs, lambda _: len(told)))


# One source: its analyst, the source that pixels are read from again, and its frames.
AtomicFile = tuple[Analyst, "Source | None", Pairs]


def _found(parts: Iterable[AtomicFile]) -> Iterator[tuple[Frame, Poses, FrameAnalysis]]:
    for analyst, pixels, pairs in parts:
        frames = _settled(analyst, pairs)
        for frame, found in frames if pixels is None else with_pixels(pixels, frames):
            yield frame, found.poses, found


def _settled(analyst: Analyst, pairs: Pairs) -> Iterator[tuple[Frame, FrameAnalysis]]:
    """Analyses; events still open at the end go to the last frame. Errors are raised last."""
    held: tuple[Frame, FrameAnalysis] | None = None
    fault: VitruvianError | None = None
    try:
        for frame, poses in pairs:
            for one in analyst(frame, analyst.asked.select(poses)):
                if held is not None:
                    yield held
                held = one
    except VitruvianError as error:
        fault = error
    rest, events = analyst.close()
    for one in rest:
        if held is not None:
            yield held
        held = one
    if held is not None:
        held[1].events.extend(events)
        yield held
    if fault is not None:
        raise fault


# Records


def without_pixels(asked: AnalysisSettings) -> AnalysisSettings:
    """The same settings, with rules that need pixels replaced."""
    swapped = {WITHOUT_PIXELS.get(name, name): rule for name, rule in asked.rules.items()}
    return replace(asked, rules={name: RULES.get(name, rule) for name, rule in swapped.items()})


def _read(record: Record, asked: AnalysisSettings, wanted: Wanted) -> Iterator[AtomicFile]:
    """The sources of a record, with pixels where rules may need them and the file exists."""
    for source, (moving, pairs) in zip(sources_of(record), runs(record), strict=False):
        here, wants = is_here(source), needs_pixels(asked.rules)
        analyst = Analyst(asked if here or not wants else without_pixels(asked), moving=moving)
        pairs = over_time(pairs, wanted) if moving else pairs
        if here and wants:
            yield analyst, source if moving else None, with_pixels(source, pairs)
        else:
            yield analyst, None, pairs


def needs_pixels(rules: Mapping[str, Rule]) -> bool:
    """Whether any of these rules may need pixels: a user's own function may."""
    return not all(map(is_of_keypoints, rules.values()))


# Files


def asked(words: AnalysisWords) -> AnalysisSettings:
    """Parse the options of `analyze`.

    Raises:
        VitruvianError: one is wrong.
    """
    measured = words.angles or words.angle is not None
    rules = words.rules if words.rules is not None else "" if measured else "all"
    options = Options(on=words.on, off=words.off, minimum=words.minimum, gap=words.gap)
    where = parse_space(words.space)
    wanted = table_of_angles.match_angles(words.angle or (), where or "3d")
    if not set(wanted) <= set(table_of_angles.angle_names("2d", parts=True)):
        where = "3d"  # some angles exist only in 3D
    found = parse_rules(rules) if rules else {}
    return AnalysisSettings(found, options, measured, where, words.people())


def parse_space(word: str | None) -> Space | None:
    """The space of angles, 2d or 3d; None: chosen by the poses."""
    if word is None or word == "2d" or word == "3d":
        return word
    raise VitruvianError(f"space is '{shown(word)}', want 2d or 3d")


def match_shown_angles(angle: str | None, asked: AnalysisSettings) -> tuple[str, ...]:
    """The angles to draw and plot, validated."""
    words = SHOWN if angle is None else tuple(angle.split(","))
    table_of_angles.match_angles(words, asked.space or "3d")
    return words


def measures_parts(
    skeleton: Skeleton | None, shown: Sequence[str], asked: AnalysisSettings
) -> bool:
    """Whether the table has angles of fingers and the face: of a skeleton, or that are shown."""
    if skeleton is not None and table_of_angles.has_parts(skeleton):
        return True
    names = table_of_angles.match_angles(shown, asked.space or "3d")
    return not set(names) <= set(table_of_angles.angle_names("3d"))


@dataclass(frozen=True)
class AnalysisJob:
    """One source and its poses."""

    source: Source
    # Its poses, of those frames of the source that are given.
    pairs: Callable[[Source, Callable[[VitruvianError], None]], Pairs]
    asked: AnalysisSettings
    drawn: bool = True  # whether there are pixels to draw on
    note: str = ""  # message for the user
    skip: Callable[[], object] = lambda: None  # skips its poses
    behind: bool = True  # whether poses take time meanwhile


def jobs(
    sources: Sequence[Source],
    model: Model,
    asked: AnalysisSettings,
    *,
    camera: Given | None = None,
    wanted: Wanted = Wanted(),
    hints: PeopleHints | None = None,
) -> list[AnalysisJob]:
    """Jobs for sources whose poses a model estimates; see `vitruvian.streams.stream.Stream`.

    `hints` are told how many people there are.
    """

    def job(source: Source) -> AnalysisJob:
        def pairs(rest: Source, fault: Callable[[VitruvianError], None]) -> Pairs:
            stream = Stream(model, wanted, moving=rest.moving, camera=camera)
            found = stream.run(rest, fault)
            return found if hints is None else hints.watch(rest, found, stream.confirm)

        return AnalysisJob(source, pairs, asked)

    return [job(source) for source in sources]


def jobs_of(
    record: Record,
    sources: Sequence[Source],
    asked: AnalysisSettings,
    save: AnalysisOutputs,
    wanted: Wanted = Wanted(),
) -> list[AnalysisJob]:
    """Jobs for a record; `sources` are its `sources_of`."""
    groups = runs(record)

    def job(source: Source) -> AnalysisJob:
        here, wants = is_here(source), needs_pixels(asked.rules)
        sheet = "sheet" in save and bool(asked.rules)
        drawn = here and ("video" in save or sheet)

        def pairs(rest: Source, fault: Callable[[VitruvianError], None]) -> Pairs:
            try:
                moving, run = next(groups, (False, iter(())))
                run = over_time(run, wanted) if moving else run
                if isinstance(rest, Pictures):
                    left = {path for _, path in rest.wanted()}
                    run = (pair for pair in run if Path(pair[0].source) in left)
                looked = here and (wants or (drawn and not source.moving))
                yield from with_pixels(source, run) if looked else run
            except VitruvianError as error:
                fault(error)

        missing = ["no annotated copy"] * ("video" in save) + ["no contact sheet"] * sheet
        swapped = [name for name in WITHOUT_PIXELS if name in asked.rules]
        missing += [
            f"{WITHOUT_PIXELS[name]} (from keypoints only) replaces {name}" for name in swapped
        ]
        why = "has no images" if of_poses(source) else "was not found"
        note = f"{source.name} {why}: {', '.join(missing)}"
        if here or not missing:
            note = ""
        own = asked if here else without_pixels(asked)
        skip = lambda: next(groups, None)  # noqa: E731
        return AnalysisJob(source, pairs, own, drawn, note, skip, behind=False)

    return [job(source) for source in sources]


def plans(
    sources: Sequence[Source], report: AnalysisReport, record: Record | None, *, overwrite: bool
) -> list[AnalysisPlan]:
    """The output files of each source; nothing is written yet.

    Raises:
        VitruvianError: a file exists, would replace an input, or the output is not a folder.
    """
    out, save, name = report.out, report.save, outputs.Names()
    outputs.need_folder(out, "an analysis")
    several = sum(source.moving for source in sources) > 1
    figures: list[tuple[tuple[Path, ...], tuple[Path, ...]]] = []
    for source in sources:
        stem = f"{name(source.name)}_" if several and source.moving else ""
        kinds = (("timeline", bool(report.asked.rules)), ("angles", report.asked.angles))
        timeline, angles = (
            save.figures(out / f"{stem}{kind}") if wanted and source.moving else ()
            for kind, wanted in kinds
        )
        figures.append((timeline, angles))
    paths = [*report.tables(), *(path for both in figures for each in both for path in each)]
    if record is not None and record.path.resolve() in [path.resolve() for path in paths]:
        raise VitruvianError(f"'{record.path}' is an input; give another --out")
    outputs.refuse_existing(paths, overwrite, resume=True)
    wanted = Save(("video",), save.visible)
    made = (
        plan_outputs(sources, out, wanted, overwrite=overwrite)
        if "video" in save
        else [OutputFiles(source) for source in sources]
    )
    return [AnalysisPlan(each, *both) for each, both in zip(made, figures, strict=True)]


def _chosen(asked: AnalysisSettings, pairs: Pairs, ids: set[int]) -> Pairs:
    """The people who are analyzed; `ids` receives those of everybody."""
    for frame, poses in pairs:
        if asked.people:
            ids.update(poses.person.tolist())
        yield frame, asked.select(poses)


def _absent(asked: AnalysisSettings, ids: set[int]) -> VitruvianError | None:
    """Those who should be analyzed and are in no frame."""
    absent = sorted(set(asked.people) - ids)
    if not absent or not ids:
        return None
    there = shown(", ".join(map(str, sorted(ids - {-1}))) or "none", 80)
    who = ", ".join(map(str, absent))
    return VitruvianError(f"no frame has person {who}; the track ids are {there}")


def write_analyses(
    jobs: Sequence[AnalysisJob],
    plans: Sequence[AnalysisPlan],
    report: AnalysisReport,
    *,
    resume: bool = False,
    of: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
    on_error: Callable[[VitruvianError], None],
    written: list[Path] | None = None,
) -> int:
    """Write the analyses; returns the number of read errors.

    Args:
        jobs: from `jobs` or `jobs_of`.
        plans: from `plans`, for the same sources.
        report: the tables to write.
        resume: continue an interrupted analysis: finished sources and images are skipped, but none
            if there are Parquet tables.
        of: other inputs, such as the model; if they differ, the run is not resumed.
        say: called with one line about each finished source, and one about each rule at the end.
        on_error: called with each read error; the rest is still done.
        written: list that receives the files.
    """
    fault, remarks, own = Faults(on_error), list[str](), list[Path]()
    ids = set[int]()  # of everybody
    sources = [job.source for job in jobs]
    check_resumable(sources, resume)
    ledger = Ledger(
        ledger_of(report.out, "analysis"), report.out, as_json({**report.of(), **(of or {})})
    )
    unit = Resumable(ledger, sources)
    try:
        with (
            afterwards(say) as tell,
            writing(report.out),
            unit.opened(resume=resume, there=report.tables()),
        ):
            if ledger.finished:
                tell(f"'{report.out}' is already complete")
                if written is not None:
                    written += ledger.files()
                return 0
            with report:
                unit.begin(report)
                report.start()
                report.figures = [
                    (plan.files.source.name, (*plan.timeline[:1], *plan.angles[:1]))
                    for plan in plans
                ]
                for place, (job, each) in enumerate(zip(jobs, plans, strict=True)):
                    if place in unit.finished:
                        job.skip()
                        tell(f"{job.source.name}: already complete")
                        continue
                    if job.note:
                        print(job.note, file=sys.stderr, flush=True)
                    plan = each
                    if not job.drawn:
                        plan = replace(each, files=OutputFiles(job.source), pictured=False)
                    sink, before = Analysis(report, job.asked, plan), fault.count
                    rest = unit.rest(place)
                    chosen = _chosen(job.asked, job.pairs(rest, fault), ids)
                    pairs = until_error(job.source, chosen, fault)
                    on_write = partial(unit.written, place, sink=report)
                    how: Any = {"on_write": on_write, "behind": job.behind}
                    how["alone"] = len(jobs) == 1
                    if told := write_source(job.source, pairs, sink, sink, **how):
                        tell(f"{told} -> {where(sink.paths)}")
                        remarks += sink.remarks()
                    state = "failed" if fault.count > before else "done"
                    copies = [path for path in plan.files.paths() if path.is_file()]
                    made = sink.own if job.source.moving else copies
                    unit.mark(place, state, report, made)
                    own += made
            own += unit.files
            unit.finish([*report.paths, *own])
            if written is not None:
                written += [*report.paths, *own]
    except KeyboardInterrupt:
        for line in report.said():
            say(line)
        raise
    for line in report.said():
        say(line)
    if (nothing := report.nothing() or _absent(report.asked, ids)) is not None:
        fault(nothing)
        return fault.count
    for line in (*remarks, *report.remarks()):
        print(line, file=sys.stderr, flush=True)
    fault.sum_up(len(jobs))
    return fault.count
