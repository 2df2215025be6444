"""The command `convert`: pose files to other formats."""

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
        ".jsonl (of `vitruvian predict`), .csv, .parquet, .trc, .c3d, .bvh, .json (COCO results or "
        "annotations), .txt (MOT), or a folder of OpenPose JSON.",
        argument="IN",
    ),
    out=Word(
        Path,
        OUTPUT,
        "One of the same formats, by extension (none: a folder of OpenPose JSON; _labels.json: "
        "COCO annotations); .html (interactive 3D viewer), _3d.png, _3d.mp4, _3d.gif (3D view), "
        ".rrd (Rerun); or .mp4, .jpg (annotated; needs the source of IN, at its old path or next "
        "to IN).",
        argument="OUT",
    ),
    form=Word(
        str | None,
        INPUT,
        "Format of IN, if not clear from its name: json, csv, parquet, coco, labels, openpose, "
        "mot, trc, c3d or bvh.",
        names=("--from",),
    ),
    skeleton=Word(
        str | None,
        OUTPUT,
        "Skeleton of OUT, matched by keypoint names: coco17, body_25, ..., a .toml file, or "
        "OpenSim markers (.osim, .xml).",
        "that of IN",
    ),
    person=Word(int | None, INPUT, "Convert only the person with this track id."),
    fps=Word(float | None, INPUT, "Frame rate, for an IN without timestamps."),
    from_up=Word(
        str | None,
        INPUT,
        "Up axis of IN (.trc, .c3d, .bvh): y or z.",
        "as stored in a .c3d, or y",
    ),
    up=Word(str | None, OUTPUT, "Up axis of OUT: y or z.", "y"),
    from_skeleton=Word(
        str | None,
        INPUT,
        "Skeleton of OpenPose JSON: body_25, body_25b, halpe26, ..., or a .toml file.",
        "by the number of keypoints",
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
    """Convert pose files between formats, and report what is lost."""
    from vitruvian.verbs.convert import convert as do
    from vitruvian.verbs.find import where

    how = {"from_up": from_up, "up": up, "skeleton": skeleton, "from_skeleton": from_skeleton}
    done = do(source, out, form=form, person=person, fps=fps, overwrite=overwrite, **how)
    numbers = [person for person in done.people if person >= 0]
    who = f", people {', '.join(map(str, sorted(numbers)))}" if numbers else ""
    print(f"{source}: frames {done.frames}{who} -> {where(done.paths)}")
    for what in ("lost", "derived", "missing", "left_out"):
        if names := getattr(done, what):
            more = f" and {len(names) - MOST} more" if names[MOST:] else ""
            print(f"{what.replace('_', ' ')}: {', '.join(names[:MOST])}{more}")
    for line in done.notes:
        print(f"note: {line}")
