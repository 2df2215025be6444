"""The command line's part about several models: how fast they are, and where they disagree."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vitruvian.cli.words import (
    CameraFile,
    End,
    FovDeg,
    MaxFrames,
    Offline,
    Overwrite,
    Resume,
    Sources,
    Start,
    Stride,
    Visible,
    complain,
    go_offline,
)
from vitruvian.errors import VitruvianError
from vitruvian.models.spec import ModelSpec

ModelOption = typer.Option(
    "--model",
    "-m",
    help="A name from `vitruvian models list`, or a file; repeatable. Options of its own behind "
    "commas: blazepose-full,find=yolov8n-pose,num_poses=5.",
    show_default=False,
)


def numbers(words: str | None, option: str) -> list[int]:
    """`320,640` as numbers; none for nothing."""
    try:
        return [int(word) for word in words.split(",")] if words else []
    except ValueError:
        raise VitruvianError(f"--{option} is '{words}', want numbers such as 1,2") from None


def benchmark(
    model: Annotated[list[str], ModelOption],
    source: Annotated[
        str | None,
        typer.Argument(
            help="Pictures, a folder or a video; without it, pictures made of the built-in "
            "portrait.",
            show_default=False,
        ),
    ] = None,
    people: Annotated[str, typer.Option(help="How many in the pictures that are made.")] = "1,5,20",
    size: Annotated[
        str | None, typer.Option(help="Pixels, of YOLOv8's: such as 320,640.", show_default=False)
    ] = None,
    threads: Annotated[
        str | None, typer.Option(help="Of the networks: such as 1,2.", show_default=False)
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="Inside the networks: such as f32,bf16.", show_default=False),
    ] = None,
    rounds: Annotated[int, typer.Option(help="In which the models take turns.")] = 3,
    frames: Annotated[int, typer.Option(help="Of a round, at most.")] = 30,
    seconds: Annotated[float, typer.Option(help="That each part of a round takes, at most.")] = 10,
    warm_up: Annotated[int, typer.Option(help="Frames before each round, not counted.")] = 25,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A name that ends with .json.", show_default=False),
    ] = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    offline: Offline = False,
) -> None:
    """Measure models beside each other: each stage, frames a second, memory, start."""
    go_offline(offline)
    from vitruvian.verbs.benchmark import benchmark as bench

    result = bench.benchmark(
        [ModelSpec.parse(words) for words in model],
        source,
        people=numbers(people, "people"),
        sizes=numbers(size, "size"),
        threads=numbers(threads, "threads"),
        precisions=precision.split(",") if precision else [],
        plan=bench.Plan(rounds, frames, seconds, warm_up),
        out=out,
        overwrite=overwrite,
        resume=resume,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(bench.table(result))
    for case, why in result["failed"].items():
        complain(VitruvianError(f"{case}: {why}"))
    if result["failed"]:
        raise typer.Exit(1)


def compare(
    source: Sources,
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder.")],
    model: Annotated[list[str] | None, ModelOption] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            help="Records (.jsonl) of the same source, made before or by another program; "
            "repeatable.",
            show_default=False,
        ),
    ] = None,
    visible: Visible = 0.5,
    camera: CameraFile = None,
    fov_deg: FovDeg = None,
    start: Start = 0.0,
    end: End = None,
    stride: Stride = 1,
    max_frames: MaxFrames = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    offline: Offline = False,
) -> None:
    """Look at SOURCE with several models: panels side by side, where they disagree, a report."""
    go_offline(offline)
    from vitruvian.sources.open import Span
    from vitruvian.verbs.compare.compare import compare as do

    numbers = do(
        source,
        [ModelSpec.parse(words) for words in model or []],
        out,
        results=results or [],
        span=Span(start, end, stride, max_frames),
        camera=camera,
        fov_deg=fov_deg,
        visible=visible,
        overwrite=overwrite,
        resume=resume,
        on_error=complain,
    )
    frames = sum(each["frames"] for each in numbers["sources"])
    print(f"{frames} frames compared -> {out / 'report.html'}")
    if numbers["faults"]:
        raise typer.Exit(1)
