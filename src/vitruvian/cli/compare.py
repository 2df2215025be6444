"""The command `compare`: several models on the same source, and where they disagree."""

from __future__ import annotations

from pathlib import Path

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.words import MODELS, OUT, OUTPUT, Word
from vitruvian.errors import amount
from vitruvian.sources.video import Span
from vitruvian.verbs.groups import CameraWords


@command(
    model=MODELS,
    out=Word(Path, OUTPUT, "Output folder.", names=OUT),
)
def compare(
    source: list[str],
    model: list[str] | None = None,
    results: list[Path] | None = None,
    span: Span = Span(),
    out: Path = Path("comparison"),
    visible: float = 0.5,
    resume: bool = False,
    overwrite: bool = False,
    camera: CameraWords = CameraWords(),
) -> None:
    """Compare models side by side, and report where they disagree.

    Writes side-by-side panels, disagreement.jsonl, comparison.json and report.html. Results that
    are already in the folder are reused.
    """
    from vitruvian.verbs.compare.compare import compare as do

    result = do(
        source,
        model,
        out,
        results=results,
        span=span,
        camera=camera,
        visible=visible,
        resume=resume,
        overwrite=overwrite,
        on_error=complain,
    )
    frames = amount(sum(each.frames for each in result.sources), "frame")
    print(f"{frames} compared -> {out / 'report.html'}")
    failed(len(result.faults))
