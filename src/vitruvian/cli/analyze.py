"""The command `analyze`: what people do, and how their joints move."""

from __future__ import annotations

from pathlib import Path

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.words import OUT, OUTPUT, Word
from vitruvian.sources.video import Span
from vitruvian.stream.wanted import Wanted
from vitruvian.verbs.groups import (
    AnalysisWords,
    CameraWords,
    MachineWords,
    ModelWords,
    OutputWords,
)


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
    from vitruvian.verbs import api

    groups = {"words": words, "span": span, "output": output, "analysis": analysis}
    groups |= {"wanted": wanted, "camera": camera, "machine": machine}
    done = api.analyze(source, model, **groups, say=print, on_error=complain)
    failed(len(done.faults))
