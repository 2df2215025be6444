"""The command `benchmark`: how fast models are on this machine."""

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
        "Pictures, a folder or a video; without it, pictures made of the built-in portrait.",
        argument="SOURCE",
    ),
    model=MODELS,
    people=Word(str, INPUT, "How many people there are in pictures that are made."),
    size=Word(str | None, MODEL, "Input sizes of YOLOv8, pixels: such as 320,640."),
    threads=Word(str | None, MACHINE, "Of the networks: such as 1,2."),
    precision=Word(str | None, MACHINE, "Inside the networks: such as f32,bf16."),
    rounds=Word(int, ROUNDS, "In which the models take turns."),
    frames=Word(int, ROUNDS, "Of a round, at most."),
    seconds=Word(float, ROUNDS, "Of each part of a round, at most."),
    warm_up=Word(int, ROUNDS, "Frames before each round, not counted."),
    out=Word(Path | None, OUTPUT, "A .json file of all numbers.", names=OUT),
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

    Each stage, frames per second, peak memory and start-up time.
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
    print(bench.table(result))
    for case, why in result["failed"].items():
        complain(VitruvianError(f"{case}: {why}"))
    failed(bool(result["failed"]))
