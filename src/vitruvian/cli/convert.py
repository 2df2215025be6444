"""The command line's part about files of poses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitruvian.cli.words import Overwrite
from vitruvian.errors import MOST


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
            help="Which axis points up in IN, of .trc, .c3d and .bvh: y or z.  "
            "[default: what a .c3d says, or y]",
            show_default=False,
        ),
    ] = None,
    up: Annotated[
        str | None,
        typer.Option(help="The same in OUT.  [default: y]", show_default=False),
    ] = None,
    from_skeleton: Annotated[
        str | None,
        typer.Option(
            help="Whose keypoints IN has, of a folder of OpenPose JSON: body_25, body_25b, "
            "halpe26, ..., or a .toml file.  [default: by their number]",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the poses of IN as OUT, and say what is lost."""
    from vitruvian.body.skeletons import find_skeleton
    from vitruvian.verbs.convert import convert as do

    tables = [
        None if which is None else find_skeleton(which) for which in (skeleton, from_skeleton)
    ]
    how = {"from_up": from_up, "up": up, "skeleton": tables[0], "from_skeleton": tables[1]}
    done = do(source, out, form=form, person=person, fps=fps, overwrite=overwrite, **how)
    where = ", ".join(map(str, done.paths[:4])) if len(done.paths) <= 4 else str(out.parent)
    numbers = [person for person in done.people if person >= 0]
    who = f", people {', '.join(map(str, sorted(numbers)))}" if numbers else ""
    print(f"{source}: frames {done.frames}{who} -> {where}")
    for what in ("lost", "derived", "missing", "left_out"):
        if names := getattr(done, what):
            more = f" and {len(names) - MOST} more" if names[MOST:] else ""
            print(f"{what.replace('_', ' ')}: {', '.join(names[:MOST])}{more}")
    for line in done.notes:
        print(f"note: {line}")
