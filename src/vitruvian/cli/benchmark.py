"""The command `benchmark`: speed and memory of models on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.words import INPUT, MACHINE, MODEL, MODELS, OUT, OUTPUT, ROUNDS, Word
from vitruvian.errors import VitruvianError


@command(
    source=Word(
        str | None,
        INPUT,
        "Image, folder or video; by default, images composed from the built-in portrait.",
        argument="SOURCE",
    ),
    model=MODELS,
    people=Word(str, INPUT, "Number of people in the composed images, comma-separated."),
    size=Word(str | None, MODEL, "YOLOv8: input sizes, pixels, such as 320,640."),
    threads=Word(str | None, MACHINE, "Numbers of inference threads, such as 1,2."),
    precision=Word(str | None, MACHINE, "Inference precisions, such as f32,bf16."),
    rounds=Word(int, ROUNDS, "Number of rounds; models alternate within a round."),
    frames=Word(int, ROUNDS, "Maximum number of frames per round."),
    seconds=Word(float, ROUNDS, "Maximum duration of each part of a round."),
    warm_up=Word(int, ROUNDS, "Warm-up frames before each round, not timed."),
    out=Word(Path | None, OUTPUT, "Write all results to this .json file.", names=OUT),
)
def benchmark(
    source: str | None = None,
    model: list[str] | None = None,
    people: str = "1,5,20",
    size: str | None = None,
    threads: str | None = None,
    precision: str | None = None,
    rounds: int = 3,
    frames: int = 30,
    seconds: float = 10,
    warm_up: int = 25,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Measure the speed and memory of models on this machine.

    Reports latency per stage, frames per second, peak memory and start-up time.
    """
    from vitruvian.verbs.benchmark import benchmark as bench

    result = bench.benchmark(
        model,
        source,
        people=people,
        size=size,
        threads=threads,
        precision=precision,
        plan=bench.Plan(rounds, frames, seconds, warm_up),
        out=out,
        overwrite=overwrite,
        resume=resume,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(bench.benchmark_table(result))
    for case, why in result.failed.items():
        complain(VitruvianError(f"{case}: {why}"))
    failed(len(result.failed))
