"""The command `trace`: one keypoint after every stage of the pipeline."""

from __future__ import annotations

from pathlib import Path

from vitruvian.cli.command import command
from vitruvian.cli.words import INPUT, OUT, OUTPUT, Word
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.groups import CameraWords, MachineWords, ModelWords


@command(
    source=Word(str, INPUT, "Image, video, or sample (a built-in portrait).", argument="SOURCE"),
    keypoint=Word(str, INPUT, "Keypoint name, such as left_shoulder.", names=("--keypoint", "-k")),
    frame=Word(int, INPUT, "Frame index, from 0."),
    person=Word(int | None, INPUT, "Track id; in images, a number from 1.", "highest score"),
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
    words: ModelWords = ModelWords(),
    out: Path | None = None,
    overwrite: bool = False,
    wanted: Wanted = Wanted(),
    camera: CameraWords = CameraWords(),
    machine: MachineWords = MachineWords(),
) -> None:
    """Trace one keypoint through every stage of the pipeline."""
    from vitruvian.verbs.find import where
    from vitruvian.verbs.trace import trace as do

    how = {"frame": frame, "person": person, "words": words, "out": out, "overwrite": overwrite}
    how |= {"wanted": wanted, "camera": camera, "machine": machine}
    result = do(source, keypoint, model, **how)
    print(f"{result.keypoint} of person {result.person} in frame {frame} of {source}, {model}")
    print(result.table())
    if result.paths:
        print(f"-> {where(result.paths)}")
