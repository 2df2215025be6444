"""The command line's part about how good models are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vitruvian.cli.words import (
    Device,
    Find,
    Offline,
    Option,
    Overwrite,
    Precision,
    Resume,
    Threads,
    complain,
    go_offline,
    options_of,
)


def val(
    data: Annotated[
        Path,
        typer.Option(
            help="COCO keypoint annotations (.json), a YOLO-pose data set (data.yaml or its "
            "folder), joints in metres (.json), or people.jsonl of `vitruvian synth`."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="A folder; a run that was stopped goes on in it."),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A name from `vitruvian models list`; repeatable."),
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file of COCO results, or a record (.jsonl), that anybody made; repeatable."
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="The folder of the pictures.  [default: beside the data]"),
    ] = None,
    split: Annotated[str, typer.Option(help="Which part of the data, where it has parts.")] = "val",
    skeleton: Annotated[
        str | None,
        typer.Option(
            help="Of the labels' keypoints, and of your own network's: a name, or a .toml file.  "
            "[default: as the labels say, or else coco17]",
            show_default=False,
        ),
    ] = None,
    common: Annotated[
        bool,
        typer.Option("--common", help="Score all models on the keypoints that all of them have."),
    ] = False,
    resamples: Annotated[
        int, typer.Option(help="How often pictures are drawn anew, for intervals of 95 %.")
    ] = 200,
    find: Find = None,
    num_poses: Annotated[
        int | None,
        typer.Option(
            help="People in a picture, at most; 20 count.  [default: BlazePose 20, others as "
            "`predict` has it]",
            show_default=False,
        ),
    ] = None,
    conf: Annotated[
        float | None,
        typer.Option(
            help="0..1: from where a person counts.  [default: YOLOv8 0.001, others as `predict` "
            "has it]",
            show_default=False,
        ),
    ] = None,
    device: Device = "CPU",
    threads: Threads = None,
    precision: Precision = "f32",
    option: Option = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    offline: Offline = False,
) -> None:
    """Say how good models are on pictures whose truth is known: AP, PCK, MPJPE and more."""
    go_offline(offline)
    from vitruvian.models.load import family_of
    from vitruvian.verbs.val import show, val

    flags = {"num_poses": num_poses, "conf": conf}
    same = {"device": device, "threads": threads, "precision": precision}

    def options(name: str) -> dict[str, object]:
        finder = {"find": find} if family_of(name).takes("find") else {}
        return options_of(name, flags, option, **same, **finder)

    result = val.val(
        data,
        [(name, options(name)) for name in model or []],
        results=results or [],
        images=images,
        split=split,
        skeleton=skeleton,
        common=common,
        out=out,
        overwrite=overwrite,
        resume=resume,
        resamples=resamples,
        say=lambda line: print(line, file=sys.stderr, flush=True),
        complain=complain,
    )
    print(*show.lines(result), sep="\n")
    print(*show.write(result, out), sep="\n")
    if result.faults:
        raise typer.Exit(1)
