"""The command `trace`: one keypoint after every stage of the pipeline."""

from __future__ import annotations

from pathlib import Path

from vitruvian.cli.command import command
from vitruvian.cli.words import INPUT, OUT, OUTPUT, Word


@command(
    source=Word(str, INPUT, "Image, video, or sample (a built-in portrait).", argument="SOURCE"),
    keypoint=Word(str, INPUT, "Keypoint name, such as left_shoulder.", names=("--keypoint", "-k")),
    frame=Word(int, INPUT, "Frame index, from 0."),
    person=Word(int | None, INPUT, "Track ID; in images, a number from 1.", "highest score"),
    out=Word(
        Path | None, OUTPUT, "Folder for the table and images of the crop and heat map.", names=OUT
    ),
)
def trace(
    source: str,
    keypoint: str,
    model: str = "blazepose-full",
    frame: int = 0,
    person: int | None = None,
    find: str | None = None,
    num_poses: int | None = None,
    conf: float | None = None,
    smooth: str | None = None,
    cutoff_hz: float | None = None,
    repair: bool = False,
    absolute: bool = False,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Trace one keypoint through every stage of the pipeline."""
    from vitruvian.verbs.trace import trace as do

    said = {"find": find, "num_poses": num_poses, "conf": conf, "smooth": smooth}
    said |= {"cutoff_hz": cutoff_hz, "repair": repair, "absolute": absolute}
    options = {name: value for name, value in said.items() if value is not None}
    how = {"frame": frame, "person": person, "out": out, "overwrite": overwrite}
    result = do(source, keypoint, model, **how, **options)
    print(f"{result.keypoint} of person {result.person} in frame {frame} of {source}, {model}")
    print(result.table())
