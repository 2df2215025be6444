"""The command `batch`: thousands of images and videos."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from vitruvian.cli.command import command, failed
from vitruvian.cli.words import INPUT, OUT, OUTPUT, Word
from vitruvian.sources.video import Span
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.groups import (
    AnalysisWords,
    BatchWords,
    CameraWords,
    MachineWords,
    ModelWords,
    OutputWords,
)


@command(
    source=Word(
        list[str],
        INPUT,
        "Images, videos, folders, patterns, - (paths from standard input), lists (.txt), tables "
        "(.csv, .parquet: path, and start, end, camera, fov_deg, name), or URLs (s3://, gs://).",
        argument="SOURCE",
    ),
    out=Word(
        str,
        OUTPUT,
        "Output folder, or its URL (s3://bucket/results, gs://); each source gets a folder in it.",
        names=OUT,
    ),
    save="json,parquet",
    rules="none",
    resume=Word(bool, OUTPUT, "Has no effect: a batch always continues."),
    overwrite=Word(bool, OUTPUT, "Do everything again."),
    quiet=Word(bool, OUTPUT, "Print nothing but failures and the result."),
    threads="those of --cpus-per-worker",
)
def batch(
    source: list[str],
    model: str = "blazepose-full",
    words: ModelWords = ModelWords(),
    span: Span = Span(),
    output: OutputWords = OutputWords(out=Path("batch")),
    how: BatchWords = BatchWords(),
    analysis: AnalysisWords = AnalysisWords(),
    wanted: Wanted = Wanted(),
    camera: CameraWords = CameraWords(),
    machine: MachineWords = MachineWords(),
    quiet: bool = False,
) -> None:
    """Process thousands of files, on all cores or on Ray.

    Each source gets a folder with what predict and analyze write. A second run does only what is
    missing, has changed, or was made with other settings.
    """
    from vitruvian.verbs.batch.batch import batch as work

    def say(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    groups: dict[str, Any] = {"words": words, "span": span, "output": output, "how": how}
    groups |= {"analysis": analysis, "wanted": wanted, "camera": camera, "machine": machine}
    done = work(source, model, **groups, say=say)
    for name, why in done.failed.items():
        print(f"vitruvian: {name}: {why}", file=sys.stderr, flush=True)
    print(done)
    failed(done.failures + done.faulty)
