"""The command line's part about files of poses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vitruvian.cli_words import Overwrite


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="Records (.jsonl), .csv, .parquet, .trc, .c3d, .bvh, .json (COCO results or "
            "annotations), .txt (MOT), or a folder of OpenPose JSON.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="The same, by its extension; a name without one is a folder of OpenPose JSON.",
        ),
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="What IN is, where its name does not tell: records, csv, parquet, coco, openpose, "
            "mot, trc, c3d or bvh.",
            show_default=False,
        ),
    ] = None,
    skeleton: Annotated[
        str | None,
        typer.Option(
            help="Whose keypoints are written, found by their names: coco17, body_25, ..., or a "
            ".toml file.",
            show_default=False,
        ),
    ] = None,
    person: Annotated[
        int | None,
        typer.Option(help="Only the person of this number.", show_default=False),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Frames a second, of an IN without times.", show_default=False),
    ] = None,
    from_up: Annotated[
        str | None,
        typer.Option(
            help="Which axis points up in IN, of .trc, .c3d and .bvh: y or z.  [default: y]",
            show_default=False,
        ),
    ] = None,
    up: Annotated[
        str | None,
        typer.Option(help="The same in OUT.  [default: y]", show_default=False),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the poses of IN as OUT, and say what is lost."""
    from vitruvian.body.skeletons import chosen
    from vitruvian.convert import convert as do

    table = None if skeleton is None else chosen(skeleton)
    axes = {"from_up": from_up, "up": up}
    done = do(
        source, out, form=form, skeleton=table, person=person, fps=fps, overwrite=overwrite, **axes
    )
    where = ", ".join(map(str, done.paths[:4])) if len(done.paths) <= 4 else str(out.parent)
    numbers = [person for person in done.people if person >= 0]
    who = f", people {', '.join(map(str, sorted(numbers)))}" if numbers else ""
    print(f"{source}: frames {done.frames}{who} -> {where}")
    for note in done.notes:
        print(note, file=sys.stderr)
    for what in ("lost", "derived", "missing"):
        if getattr(done, what):
            print(f"{what}: {', '.join(getattr(done, what))}")
