"""The command `compare`: where models disagree."""

from __future__ import annotations

from pathlib import Path

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.words import MODELS, OUT, OUTPUT, Word
from vitruvian.sources.video import Span
from vitruvian.verbs.groups import CameraWords


@command(
    model=MODELS,
    out=Word(Path, OUTPUT, "A folder.", names=OUT),
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
    """Run several models side by side, and report where they differ.

    Writes panels side by side, disagreement.jsonl, comparison.json and report.html. Records that
    are in the folder are not made again.
    """
    from vitruvian.verbs.compare.compare import compare as do

    numbers = do(
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
    frames = sum(each["frames"] for each in numbers["sources"])
    print(f"{frames} frames compared -> {out / 'report.html'}")
    failed(bool(numbers["faults"]))
