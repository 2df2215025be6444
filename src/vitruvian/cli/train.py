"""The command `train`: learn a model on labelled data."""

from __future__ import annotations

import sys
from pathlib import Path

from vitruvian.cli.command import command
from vitruvian.cli.words import INPUT, MODEL, OUT, OUTPUT, Word


@command(
    model=Word(
        str,
        MODEL,
        "What to train: vitruvian-2d, vitruvian-2d-lite, vitruvian-2d-pga, vitruvian-3d; a "
        "BlazePose model; a YOLOv8-pose or AlphaPose model or checkpoint; a person detector "
        "(vitruvian-find, objectron); or a run.",
        names=("--model", "-m"),
    ),
    data=Word(
        list[Path],
        INPUT,
        "Labelled data: COCO keypoint annotations, a YOLO-pose dataset, joints in metres or a "
        "people.jsonl; repeatable, several are learned from together.",
        names=("--data",),
    ),
    val=Word(
        Path | None,
        INPUT,
        "Validation data, in any format of --data.",
        "the split val of --data, or one image of ten",
    ),
    skeleton=Word(
        str | None, INPUT, "Skeleton of the labels: a name, or a .toml file.", "from the labels"
    ),
    recipe=Word(
        str | None,
        MODEL,
        "Training parameters: a .toml file, or a recipe of this package: "
        "vitruvian-2d, vitruvian-2d-second.",
        "that of the model",
    ),
    settings=Word(
        list[str] | None,
        MODEL,
        "A training parameter, such as --set epochs=50 or --set device=cuda; repeatable.",
        names=("--set",),
    ),
    out=Word(
        Path,
        OUTPUT,
        "Folder of the run, which is then a model: --model RUN, or --find RUN.",
        names=OUT,
    ),
)
def train(
    model: str,
    data: list[Path],
    out: Path,
    val: Path | None = None,
    images: Path | None = None,
    skeleton: str | None = None,
    recipe: str | None = None,
    settings: list[str] | None = None,
    resume: bool = False,
) -> None:
    """Train or fine-tune a model on labelled images."""
    from vitruvian.verbs.train import train as learn

    done = learn(
        model,
        data,
        out,
        val=val,
        images=images,
        skeleton=skeleton,
        recipe=recipe,
        settings=settings,
        resume=resume,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(done.model)
