"""The command `convert`: files of poses into other formats."""

from __future__ import annotations

from pathlib import Path

from vitruvian.cli.command import command
from vitruvian.cli.words import INPUT, OUTPUT, Word
from vitruvian.errors import MOST


@command(
    offline=False,
    source=Word(
        Path,
        INPUT,
        "Records (.jsonl), .csv, .parquet, .trc, .c3d, .bvh, .json (COCO results or annotations), "
        ".txt (MOT), or a folder of OpenPose JSON.",
        argument="IN",
    ),
    out=Word(
        Path,
        OUTPUT,
        "The same, by its extension (no extension: a folder of OpenPose JSON); or .html, _3d.png, "
        "_3d.mp4, _3d.gif (3D view), .rrd; or .mp4, .jpg (annotated), where the source of IN is "
        "where it was, or beside IN.",
        argument="OUT",
    ),
    form=Word(
        str | None,
        INPUT,
        "Format of IN, where its name does not tell: json, csv, parquet, coco, openpose, mot, "
        "trc, c3d or bvh.",
        names=("--from",),
    ),
    skeleton=Word(
        str | None,
        OUTPUT,
        "Keypoints that are written, found by their names: coco17, body_25, ..., or a .toml file.",
        "those of IN",
    ),
    person=Word(int | None, INPUT, "Only the person of this number."),
    fps=Word(float | None, INPUT, "Frames per second, of an IN without times."),
    from_up=Word(
        str | None,
        INPUT,
        "Axis that points up in IN, of .trc, .c3d and .bvh: y or z.",
        "what a .c3d says, or y",
    ),
    up=Word(str | None, OUTPUT, "Axis that points up in OUT: y or z.", "y"),
    from_skeleton=Word(
        str | None,
        INPUT,
        "Keypoints of a folder of OpenPose JSON: body_25, body_25b, halpe26, ..., or a .toml file.",
        "by their number",
    ),
)
def convert(
    source: Path,
    out: Path,
    form: str | None = None,
    skeleton: str | None = None,
    person: int | None = None,
    fps: float | None = None,
    from_up: str | None = None,
    up: str | None = None,
    from_skeleton: str | None = None,
    overwrite: bool = False,
) -> None:
    """Convert files of poses between formats, and say what is lost."""
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
