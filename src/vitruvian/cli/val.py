"""The command `val`: accuracy of models on labelled data."""

from __future__ import annotations

import sys
from pathlib import Path

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.words import INPUT, MODEL, MODELS, OUT, OUTPUT, Word
from vitruvian.verbs.groups import MachineWords, ModelWords


@command(
    model=MODELS,
    results=Word(
        list[Path] | None,
        INPUT,
        "Existing results of any program: COCO results (.json) or .jsonl; repeatable.",
    ),
    skeleton=Word(
        str | None,
        MODEL,
        "Skeleton of the labels, and of a custom network: a name, or a .toml file.",
        "from the labels, or coco17",
    ),
    num_poses="BlazePose 20, YOLOv8 300, others 100; 20 are evaluated",
    conf="YOLOv8 0.001, others as in `predict`",
    out=Word(Path, OUTPUT, "Output folder.", names=OUT),
)
def val(
    data: Path,
    model: list[str] | None = None,
    results: list[Path] | None = None,
    images: Path | None = None,
    split: str = "val",
    common: bool = False,
    resamples: int = 200,
    words: ModelWords = ModelWords(),
    out: Path = Path("val"),
    resume: bool = False,
    overwrite: bool = False,
    machine: MachineWords = MachineWords(),
) -> None:
    """Evaluate models on labelled data: AP, PCK, MPJPE and more."""
    from vitruvian.verbs.val import show, val

    result = val.val(
        data,
        model,
        results=results,
        images=images,
        split=split,
        common=common,
        resamples=resamples,
        words=words,
        out=out,
        resume=resume,
        overwrite=overwrite,
        machine=machine,
        say=lambda line: print(line, file=sys.stderr, flush=True),
        on_error=complain,
    )
    print(*show.validation_lines(result), sep="\n")
    print(*show.write_validation(result, out), sep="\n")
    failed(len(result.faults))
