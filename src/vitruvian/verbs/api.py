"""The commands as Python functions, with the same names, options and defaults.

Options are keywords, `predict("match.mp4", stride=2, save="video,csv")`, or whole dataclasses,
`span=Span(stride=2)`; see `vitruvian.verbs.groups`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.errors import VitruvianError, note
from vitruvian.sources.video import Span
from vitruvian.streams.wanted import OF_RECORDS, Wanted
from vitruvian.verbs.asked import asked_model
from vitruvian.verbs.groups import (
    AnalysisWords,
    CameraWords,
    FaultList,
    MachineWords,
    ModelWords,
    Outcome,
    OutputWords,
    given_words,
    quiet,
    verb,
)

if TYPE_CHECKING:
    from vitruvian.models.model import Model
    from vitruvian.models.spec import ModelSpec

    Words = str | Path | Sequence[str | Path]
    OneModel = str | ModelSpec | Model

MODEL = "blazepose-full"
SEVERAL = 5  # num_poses of `track` for models whose default is one person
OnError = Callable[[VitruvianError], None] | None


@verb
def predict(
    source: Words,
    model: OneModel = MODEL,
    words: ModelWords = ModelWords(),
    span: Span = Span(),
    output: OutputWords = OutputWords(),
    wanted: Wanted = Wanted(),
    camera: CameraWords = CameraWords(),
    machine: MachineWords = MachineWords(),
    *,
    say: Callable[[str], None] = quiet,
    on_error: OnError = None,
) -> Outcome:
    """Detect people, estimate their 2D and 3D keypoints, and write them.

    Words of a group are keywords of their own: `stride=2` is `span=Span(stride=2)`.

    Args:
        source: image, folder, glob pattern, video, webcam (`camera:0`), stream address, `sample`,
            or a list of these.
        model: model name or file, with options after commas, or a model from `load`.
        words: options of the model: `find`, `num_poses`, `conf`, `skeleton`.
        span: which frames: `start`, `end` (seconds), `stride`, `max_frames`.
        output: `out`, `save`, `visible`, `resume`, `overwrite`.
        wanted: tracking and smoothing: `track`, `smooth`, `cutoff_hz`, `repair`, `detect_every`,
            `same_from`; and `absolute`.
        camera: `camera`, `fov_deg`, `focal` (pixels) or `focal_mm`.
        machine: `device`, `threads`, `precision`.
        say: called with one line about each source.
        on_error: called with each read error. Without it, errors are raised at the end.

    Raises:
        VitruvianError: unknown source, model or option, a file exists, or cannot be read.
    """
    from vitruvian.models.load import need_metres, open_model
    from vitruvian.sources.open import open_source
    from vitruvian.streams.wanted import check_wanted
    from vitruvian.verbs.output_files import plan_outputs
    from vitruvian.verbs.outputs import Save, needs_metres
    from vitruvian.verbs.predict import write_poses

    save = Save.parse(output.save, visible=output.visible)
    asked = asked_model(model, words, machine, heatmaps=True if "heatmaps" in save else None)
    how: dict[str, Any] = {"camera": camera.given(), "wanted": wanted, "say": say}
    sources = open_source(source, span)
    if needs_metres(output.path, save):
        need_metres(asked.name)
    there = {"overwrite": output.replaces, "repair": wanted.repair}
    plans = plan_outputs(sources, output.path, save, **there)
    opened = open_model(asked, sources)
    check_wanted(wanted, opened, sources)
    faults, files = FaultList(on_error), list[Path]()
    how |= {"most_said": words.num_poses is not None, "written": files}
    how |= {"resume": output.resumes, "of": {"camera": camera.of(), "span": span}}
    write_poses(plans, opened, output.path, save, **how, on_error=faults.tell)
    return faults.outcome(files)


@verb
def track(
    source: Words,
    model: OneModel = MODEL,
    words: ModelWords = ModelWords(),
    span: Span = Span(),
    output: OutputWords = OutputWords(out=Path("tracks")),
    wanted: Wanted = Wanted(),
    again: bool = False,
    camera: CameraWords = CameraWords(),
    machine: MachineWords = MachineWords(),
    *,
    say: Callable[[str], None] = quiet,
    on_error: OnError = None,
) -> Outcome:
    """Track people: each person keeps one track id through the video.

    Reports when each person is visible. SOURCE may be a .jsonl file of `predict`; then no model
    runs.

    Args:
        source: video, folder, webcam (`camera:0`) or stream address; or one `.jsonl` file.
        model: as for `predict`, and so are the other groups.
        words: the same.
        span: the same.
        output: the same.
        wanted: the same; for `.jsonl` only `smooth`, `cutoff_hz` and `repair`.
        again: for `.jsonl`: reassign track ids, by motion and pose.
        camera: as for `predict`.
        machine: the same.
        say: called with one line about each source and each person.
        on_error: as for `predict`.

    Raises:
        VitruvianError: as `predict`; or an option has no effect on a record.
    """
    from vitruvian.models.load import family_of, open_model
    from vitruvian.models.spec import ModelSpec
    from vitruvian.sources.open import open_source
    from vitruvian.sources.record import open_record
    from vitruvian.streams.wanted import check_wanted
    from vitruvian.verbs.output_files import plan_outputs
    from vitruvian.verbs.outputs import Save
    from vitruvian.verbs.predict import track_record, write_poses
    from vitruvian.verbs.track import can_be

    if wanted.track is False:
        raise VitruvianError("track assigns track ids; leave --no-track out, or use `predict`")
    said = given_words(words, span, camera, machine) + ["model"] * (model != MODEL)
    said += [name for name in given_words(wanted) if name not in OF_RECORDS]
    record = _one_record(source, said, again)
    default = "video,json,mot" if record is None else "json,mot"
    save = Save.parse(output.save, default, visible=output.visible)
    how: dict[str, Any] = {"overwrite": output.replaces, "repair": wanted.repair}
    faults, files = FaultList(on_error), list[Path]()
    if record is not None:
        if "heatmaps" in save:
            raise VitruvianError("a record has no heat maps; leave heatmaps out of --save")
        recorded = open_record(record)
        can_be(recorded.record, wanted, renumber=again)
        plans = plan_outputs([recorded], output.path, save, **how)
        how = {"renumber": again, "resume": output.resumes, "say": say, "written": files}
        track_record(plans, output.path, save, wanted, **how)
        return faults.outcome(files)
    asked = asked_model(model, words, machine, heatmaps=True if "heatmaps" in save else None)
    if isinstance(asked, ModelSpec) and family_of(asked.name).one_person:
        asked = asked.with_defaults(num_poses=SEVERAL)
    given, sources = camera.given(), open_source(source, span)
    if not any(each.moving for each in sources):
        raise VitruvianError("there are only images; track needs a video")
    plans = plan_outputs(sources, output.path, save, **how)
    opened = open_model(asked, sources)
    check_wanted(wanted, opened, sources)
    how = {"camera": given, "wanted": wanted, "who": True, "say": say}
    how |= {"most_said": words.num_poses is not None, "written": files}
    how |= {"resume": output.resumes, "of": {"camera": camera.of(), "span": span}}
    write_poses(plans, opened, output.path, save, **how, on_error=faults.tell)
    return faults.outcome(files)


def _one_record(source: Words, said: Sequence[str], again: bool) -> str | None:
    """The path of the record given as source; None if there is none."""
    all_of = [source] if isinstance(source, (str, Path)) else source
    records = [str(word) for word in all_of if Path(word).suffix.lower() == ".jsonl"]
    if not records and again:
        raise VitruvianError("--again is for records; a video has no track ids yet")
    if not records:
        return None
    if len(all_of) > 1:
        raise VitruvianError(f"'{records[0]}' is a record; give one record and no other source")
    for name in said:
        raise VitruvianError(
            f"'{records[0]}' is a record, so no model runs; leave --{name.replace('_', '-')} out"
        )
    return records[0]


@verb
def analyze(
    source: Words,
    model: OneModel = MODEL,
    words: ModelWords = ModelWords(),
    span: Span = Span(),
    output: OutputWords = OutputWords(),
    analysis: AnalysisWords = AnalysisWords(),
    wanted: Wanted = Wanted(),
    camera: CameraWords = CameraWords(),
    machine: MachineWords = MachineWords(),
    *,
    say: Callable[[str], None] = quiet,
    on_error: OnError = None,
) -> Outcome:
    """Detect events with rules, and measure joint angles.

    SOURCE may also be a .jsonl file of `vitruvian predict`; then no model runs.

    Args:
        source: as for `predict`, or one `.jsonl` file.
        model: as for `predict`, and so are the other groups.
        words: the same.
        span: the same.
        output: the same; `save` takes tables, video, plot, pdf, svg, sheet, html and parquet.
        analysis: `rules`, `angles`, `angle`, `space`, `minimum`, `gap`, `on`, `off`, `person`.
        wanted: as for `predict`; for `.jsonl` only `smooth`, `cutoff_hz` and `repair`.
        camera: as for `predict`.
        machine: the same.
        say: called with one line about each source and each rule.
        on_error: as for `predict`.

    Raises:
        VitruvianError: as `predict`; unknown rule or angle; or an option has no effect.
    """
    from vitruvian import __version__
    from vitruvian.models.load import open_model
    from vitruvian.sources.open import open_source
    from vitruvian.sources.record import record_of, sources_of
    from vitruvian.streams.wanted import check_wanted
    from vitruvian.verbs import analyze as work
    from vitruvian.verbs.analyze_report import AnalysisOutputs, AnalysisReport
    from vitruvian.verbs.folder import made_by, stamped
    from vitruvian.verbs.predict import PeopleHints
    from vitruvian.verbs.track import can_be

    asked = work.asked(analysis)
    saved = output.words("video,plot,sheet")
    save = AnalysisOutputs.parse(saved, output.visible)
    shown = work.match_shown_angles(analysis.angle, asked)
    report = AnalysisReport(output.path, asked, save, shown)
    record = record_of(source, span)
    said = given_words(analysis)
    said += [f"save {word.strip()}" for word in saved] if output.save is not None else []
    if not asked.angles:
        _refuse(said, ("space",), "is for angles; add --angles, or leave it out")
    if not asked.rules:
        rules = ("minimum", "gap", "on", "off", "save sheet")
        _refuse(said, rules, "is for rules; add --rules, or leave it out")
    if record:
        others = given_words(words, camera, machine) + ["model"] * (model != MODEL)
        others += [name for name in given_words(wanted) if name not in OF_RECORDS]
        _refuse(others, others, "is for a model, and no model runs on a record; leave it out")
        can_be(record, wanted)
    told = model if record else asked_model(model, words, machine)
    hints: PeopleHints | None = None
    sources = sources_of(record) if record else open_source(source, span)
    if not any(each.moving for each in sources):
        over_time = ("save plot", "save pdf", "save svg", "minimum", "gap", "person")
        _refuse(said, over_time, "is for videos, and these are images")
    plans = work.plans(sources, report, record, overwrite=output.replaces)
    given = camera.given()
    of: dict[str, Any] = {"camera": camera.of(), "span": span, "wanted": wanted}
    if record is not None:
        of["record"] = stamped(record.path)
        report.model, report.version = (
            str(record.header.get(k, "")) for k in ("model", "vitruvian")
        )
        jobs, skeleton = work.jobs_of(record, sources, asked, save, wanted), record.skeleton
    else:
        opened = open_model(told, sources)
        check_wanted(wanted, opened, sources)
        of |= made_by(opened)
        report.model, report.version = opened.name, __version__
        hints = PeopleHints(opened, words.num_poses is not None)
        jobs = work.jobs(sources, opened, asked, camera=given, wanted=wanted, hints=hints)
        skeleton = getattr(opened, "skeleton", None)  # a custom model may not say
    report.parts = work.measures_parts(skeleton, shown, asked)
    faults, files = FaultList(on_error), list[Path]()
    how = {"resume": output.resumes, "of": of, "say": say, "written": files}
    work.write_analyses(jobs, plans, report, **how, on_error=faults.tell)
    for hint in () if hints is None else hints.hints():
        note(hint)
    return faults.outcome(files)


def _refuse(said: Sequence[str], names: Sequence[str], why: str) -> None:
    """Raise `VitruvianError` if one of these options was given."""
    for name in said:
        if name in names:
            raise VitruvianError(f"--{name.replace('_', '-')} {why}")
