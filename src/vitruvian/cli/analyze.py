"""The command `analyze`: what people do, and how their joints move."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.model import model_spec
from vitruvian.cli.words import OUT, OUTPUT, Word
from vitruvian.errors import VitruvianError, unknown
from vitruvian.sources.video import Span
from vitruvian.stream.wanted import Wanted
from vitruvian.verbs.groups import (
    AnalysisWords,
    CameraWords,
    MachineWords,
    ModelWords,
    OutputWords,
    given_words,
)

SAVED = ("video", "plot", "parquet")
TABLES = "tables"  # which are written anyway


@command(
    out=Word(Path, OUTPUT, "A folder.", names=OUT),
    save=Word(
        str | None,
        OUTPUT,
        "With commas: tables (events and angles; always), video (annotated video or picture), "
        "plot (of videos: angles over time, .png), parquet (the tables once more).",
        "video,plot",
    ),
)
def analyze(
    source: list[str],
    model: str = "blazepose-full",
    words: ModelWords = ModelWords(),
    span: Span = Span(),
    output: OutputWords = OutputWords(),
    analysis: AnalysisWords = AnalysisWords(),
    wanted: Wanted = Wanted(),
    camera: CameraWords = CameraWords(),
    machine: MachineWords = MachineWords(),
) -> None:
    """Detect what people do, and measure joint angles.

    SOURCE may also be a record (.jsonl) of `vitruvian predict`; then no model runs.
    """
    from vitruvian.models.load import open_model
    from vitruvian.sources.open import open_source
    from vitruvian.sources.record import record_of, sources_of
    from vitruvian.stream.wanted import check_wanted
    from vitruvian.verbs import analyze
    from vitruvian.verbs.analyze_report import Report
    from vitruvian.verbs.folder import made_by, stamped
    from vitruvian.verbs.outputs import Save

    asked = analyze.asked(
        *(analysis.rules, analysis.angles, analysis.angle, analysis.space),
        minimum=analysis.minimum,
        gap=analysis.gap,
    )
    saved = [word for word in map(str.strip, output.words("video,plot")) if word]
    for word in saved:
        if word not in (*SAVED, TABLES):
            raise unknown("file of an analysis", word, (*SAVED, TABLES))
    shown = analyze.shown(analysis.angle, asked)
    save = Save(tuple(name for name in SAVED if name in saved), output.visible)
    report = Report(output.out, asked, save, shown)
    record = record_of(source, span)
    said = given_words(analysis) + ["save"] * ("plot" in saved and output.save is not None)
    if not asked.angles:
        _refuse(said, ("space", "save"), "is of angles; add --angles, or leave it out")
    if not asked.rules:
        _refuse(said, ("minimum", "gap"), "is of rules; name some with --rules, or leave it out")
    if record:
        others = given_words(words, wanted, camera, machine) + ["model"] * (
            model != "blazepose-full"
        )
        why = "is of finding people, and a record has them already; leave it out"
        _refuse(others, others, why)
    sources = sources_of(record) if record else open_source(source, span)
    if not any(each.moving for each in sources):
        _refuse(said, ("save", "minimum", "gap"), "is of videos, and these are pictures")
    plans = analyze.plans(sources, report, record, overwrite=output.replaces)
    of: dict[str, Any] = {"camera": camera.of(), "span": span}
    if record is not None:
        of["record"] = stamped(record.path)
        jobs = analyze.jobs_of(record, sources, asked, save)
    else:
        opened = open_model(model_spec(model, words, machine), sources)
        check_wanted(wanted, opened, sources)
        of |= {**made_by(opened), "wanted": wanted}
        jobs = analyze.jobs(sources, opened, asked, camera=camera.given(), wanted=wanted)
    how = {"resume": output.resumes, "of": of}
    failed(analyze.write(jobs, plans, report, **how, on_error=complain))


def _refuse(said: Sequence[str], names: Sequence[str], why: str) -> None:
    """Raise `VitruvianError` if one of these was said."""
    for name in said:
        if name in names:
            word = "--save plot" if name == "save" else f"--{name.replace('_', '-')}"
            raise VitruvianError(f"{word} {why}")
