"""The command `distil`: train a student on what a teacher finds in unlabelled images."""

from __future__ import annotations

import sys
from pathlib import Path

from vitruvian.cli.command import command
from vitruvian.cli.words import INPUT, MODEL, OUT, OUTPUT, Word


@command(
    teacher=Word(
        str,
        MODEL,
        "Any model or file, with options after commas: yolov8n-pose, vitruvian-2d,conf=0.5. "
        "Mirrored views are averaged where the model has that (flip).",
    ),
    student=Word(
        str,
        MODEL,
        "What to train: vitruvian-2d-lite (half of vitruvian-2d), or any 2D model of `train`.",
    ),
    data=Word(
        list[str],
        INPUT,
        "Unlabelled images and videos: folder, glob pattern ('*.jpg') or file; repeatable.",
    ),
    labels=Word(
        Path | None,
        INPUT,
        "Labelled people to learn from as well, in any format of `train --data`.",
    ),
    val=Word(
        Path | None,
        INPUT,
        "Labelled people to validate with.",
        "one image of ten and the end of each video, against the teacher",
    ),
    stride=Word(
        int, INPUT, "Of videos, use every n-th frame; near-duplicates among these are skipped."
    ),
    sure=Word(float, MODEL, "Score from which a keypoint of the teacher is kept, 0..1."),
    skeleton=Word(
        str | None,
        MODEL,
        "Skeleton of the student: a name, or a .toml file. Keypoints are matched by name.",
        "that of --labels, or the student's own",
    ),
    recipe=Word(
        str | None,
        MODEL,
        "Training parameters: a .toml file, or a recipe of this package: "
        "vitruvian-2d, vitruvian-2d-second.",
        "that of the student",
    ),
    settings=Word(
        list[str] | None,
        MODEL,
        "A training parameter, such as --set epochs=50 or --set device=cuda; repeatable.",
        names=("--set",),
    ),
    out=Word(Path, OUTPUT, "Folder of the run, which is then a model: --model RUN.", names=OUT),
)
def distil(
    teacher: str,
    student: str,
    data: list[str],
    out: Path,
    labels: Path | None = None,
    val: Path | None = None,
    stride: int = 10,
    sure: float = 0.5,
    skeleton: str | None = None,
    recipe: str | None = None,
    settings: list[str] | None = None,
    resume: bool = False,
) -> None:
    """Train a student on what a teacher finds in unlabelled images."""
    from vitruvian.verbs.distil import distil as learn

    done = learn(
        teacher,
        student,
        data,
        out,
        labels=labels,
        val=val,
        stride=stride,
        sure=sure,
        skeleton=skeleton,
        recipe=recipe,
        settings=settings,
        resume=resume,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(done.model)
