"""The command `analyze`: rule-based events and joint angles."""

from __future__ import annotations

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.words import OUT, OUTPUT, Word
from vitruvian.sources.video import Span
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.groups import (
    AnalysisWords,
    CameraWords,
    MachineWords,
    ModelWords,
    OutputWords,
)


@command(
    out=Word(str, OUTPUT, "Output folder.", names=OUT),
    save=Word(
        str | None,
        OUTPUT,
        "Outputs, comma-separated: tables (events and angles as .csv; always written), video "
        "(annotated video or image), plot (videos: timeline of events, angles; .png), pdf, svg "
        "(the plots), sheet (each event's clearest frame), html (report of all of it), parquet "
        "(the tables).",
        "video,plot,sheet",
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
    """Detect events with rules, and measure joint angles.

    SOURCE may also be a .jsonl file of `vitruvian predict`; then no model runs.
    """
    from vitruvian.verbs import api

    groups = {"words": words, "span": span, "output": output, "analysis": analysis}
    groups |= {"wanted": wanted, "camera": camera, "machine": machine}
    done = api.analyze(source, model, **groups, say=print, on_error=complain)
    failed(len(done.faults))
