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
from vitruvian.analysis.posture import RULES, Rule, is_of_keypoints
from vitruvian.analysis.rules import parse_rules
from vitruvian.errors import VitruvianError, shown
from vitruvian.formats.atomic_file import writing
from vitruvian.formats.records import Record
from vitruvian.sources.open import Pictures, Source
from vitruvian.sources.record import is_here, of_poses, record_of, runs, sources_of, with_pixels
from vitruvian.streams.run import run
from vitruvian.streams.stream import Stream
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs import outputs
from vitruvian.verbs.analyze_files import Analysis, is_live
from vitruvian.verbs.analyze_report import SHOWN, AnalysisReport
from vitruvian.verbs.find import Faults, Pairs, afterwards, until_error, where, write_source
from vitruvian.verbs.folder import Ledger, as_json, ledger_of
from vitruvian.verbs.output_files import OutputFiles, plan_outputs
from vitruvian.verbs.outputs import Save
from vitruvian.verbs.resume import Resumable, check_resumable

if TYPE_CHECKING:
    from vitruvian.body.poses import Poses
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
    **options: Any,
) -> Iterator[tuple[Frame, Poses, FrameAnalysis]]:
    """Detect posture events and measure angles, frame by frame.

    Frames of files and records come once later frames can no longer change their result: after
    `minimum` and `gap` seconds, with angles up to half a minute, and in batches of up to 64 frames;
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
        options: other options of `run`.

    Returns:
        Tuples of frame, poses and analysis. Events come with the frame at which they are final;
        those still open at the end, with the last frame.

    Raises:
        VitruvianError: as `run`; unknown rule, or a rule that cannot be evaluated on these poses.
    """
    given = {name: v for name, v in (("minimum", minimum), ("gap", gap)) if v is not None}
    happens = replace(when or Options(), **given)
    asked = AnalysisSettings(
        parse_rules(rules) if rules else {}, happens, angles, parse_space(space)
    )
    if (record := record_of(source)) is not None:
        if options:
            raise VitruvianError(f"{', '.join(options)} has no effect on a record; leave it out")
        return _found(_read(record, asked))
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
        for pair in pairs:
            for one in analyst(*pair):
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


def _read(record: Record, asked: AnalysisSettings) -> Iterator[AtomicFile]:
    """The sources of a record, with pixels where rules may need them and the file exists."""
    for source, (moving, pairs) in zip(sources_of(record), runs(record), strict=False):
        here, wants = is_here(source), needs_pixels(asked.rules)
        analyst = Analyst(asked if here or not wants else without_pixels(asked), moving=moving)
        if here and wants:
            yield analyst, source if moving else None, with_pixels(source, pairs)
        else:
            yield analyst, None, pairs


def needs_pixels(rules: Mapping[str, Rule]) -> bool:
    """Whether any of these rules may need pixels: a user's own function may."""
    return not all(map(is_of_keypoints, rules.values()))


# Files


def asked(
    rules: str | None,
    angles: bool,
    angle: str | None,
    space: str | None,
    *,
    minimum: float,
    gap: float,
) -> AnalysisSettings:
    """Parse the settings of the command line.

    Args:
        rules: see `vitruvian.analysis.rules.parse_rules`; None: all, unless angles are requested.
        angles: whether to measure joint angles.
        angle: which angles to show; implies `angles`.
        space: "2d", "3d", or None.
        minimum: seconds, see `Options`.
        gap: seconds, see `Options`.
    """
    measured = angles or angle is not None
    words = rules if rules is not None else "" if measured else "all"
    options, where = Options(minimum=minimum, gap=gap), parse_space(space)
    wanted = table_of_angles.match_angles(angle or (), where or "3d")
    if not set(wanted) <= set(table_of_angles.angle_names("2d")):
        where = "3d"  # some angles exist only in 3D
    return AnalysisSettings(parse_rules(words) if words else {}, options, measured, where)


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


def jobs(
    sources: Sequence[Source],
    model: Model,
    asked: AnalysisSettings,
    *,
    camera: Given | None = None,
    wanted: Wanted = Wanted(),
) -> list[AnalysisJob]:
    """Jobs for sources whose poses a model estimates; see `vitruvian.streams.stream.Stream`."""

    def job(source: Source) -> AnalysisJob:
        def pairs(rest: Source, fault: Callable[[VitruvianError], None]) -> Pairs:
            return Stream(model, wanted, moving=rest.moving, camera=camera).run(rest, fault)

        return AnalysisJob(source, pairs, asked)

    return [job(source) for source in sources]


def jobs_of(
    record: Record, sources: Sequence[Source], asked: AnalysisSettings, save: Save
) -> list[AnalysisJob]:
    """Jobs for a record; `sources` are its `sources_of`."""
    groups = runs(record)

    def job(source: Source) -> AnalysisJob:
        here, wants = is_here(source), needs_pixels(asked.rules)
        drawn = here and "video" in save

        def pairs(rest: Source, fault: Callable[[VitruvianError], None]) -> Pairs:
            try:
                _, run = next(groups, (False, iter(())))
                if isinstance(rest, Pictures):
                    left = {path for _, path in rest.wanted()}
                    run = (pair for pair in run if Path(pair[0].source) in left)
                looked = here and (wants or (drawn and not source.moving))
                yield from with_pixels(source, run) if looked else run
            except VitruvianError as error:
                fault(error)

        missing = ["no annotated copy"] if "video" in save else []
        swapped = [name for name in WITHOUT_PIXELS if name in asked.rules]
        missing += [
            f"{WITHOUT_PIXELS[name]} (from keypoints only) replaces {name}" for name in swapped
        ]
        why = "has no images" if of_poses(source) else "was not found"
        note = f"{source.name} {why}: {', '.join(missing)}"
        if here or not missing:
            note = ""
        own = asked if here else without_pixels(asked)
        return AnalysisJob(source, pairs, own, drawn, note, lambda: next(groups, None))

    return [job(source) for source in sources]


def plans(
    sources: Sequence[Source], report: AnalysisReport, record: Record | None, *, overwrite: bool
) -> list[tuple[OutputFiles, Path | None]]:
    """The output files of each source, and its plot; nothing is written yet.

    Raises:
        VitruvianError: a file exists, would replace an input, or the output is not a folder.
    """
    out, save, name = report.out, report.save, outputs.Names()
    outputs.need_folder(out, "an analysis")
    several = sum(source.moving for source in sources) > 1
    plots: list[Path | None] = [
        out / (f"{name(source.name)}_angles.png" if several else "angles.png")
        if source.moving and "plot" in save and report.asked.angles
        else None
        for source in sources
    ]
    paths = [*report.tables(), *filter(None, plots)]
    if record is not None and record.path.resolve() in [path.resolve() for path in paths]:
        raise VitruvianError(f"'{record.path}' is an input; give another --out")
    outputs.refuse_existing(paths, overwrite, resume=True)
    wanted = replace(save, names=("video",))
    made = (
        plan_outputs(sources, out, wanted, overwrite=overwrite)
        if "video" in save
        else [OutputFiles(source) for source in sources]
    )
    return list(zip(made, plots, strict=True))


def write_analyses(
    jobs: Sequence[AnalysisJob],
    plans: Sequence[tuple[OutputFiles, Path | None]],
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
                for place, (job, (each, plot)) in enumerate(zip(jobs, plans, strict=True)):
                    if place in unit.finished:
                        job.skip()
                        tell(f"{job.source.name}: already complete")
                        continue
                    if job.note:
                        print(job.note, file=sys.stderr, flush=True)
                    planned = each if job.drawn else OutputFiles(each.source)
                    sink, before = Analysis(report, job.asked, planned, plot), fault.count
                    rest = unit.rest(place)
                    pairs = until_error(job.source, job.pairs(rest, fault), fault)
                    on_write = partial(unit.written, place, sink=report)
                    if told := write_source(job.source, pairs, sink, sink, on_write):
                        tell(f"{told} -> {where(sink.paths)}")
                        remarks += sink.remarks()
                    state = "failed" if fault.count > before else "done"
                    copies = [path for path in planned.paths() if path.is_file()]
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
    if (nothing := report.nothing()) is not None:
        fault(nothing)
        return fault.count
    for line in (*remarks, *report.remarks()):
        print(line, file=sys.stderr, flush=True)
    fault.sum_up(len(jobs))
    return fault.count
