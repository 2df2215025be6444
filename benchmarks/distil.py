r"""A student of half the size: a few labels alone, or a teacher and unlabelled people as well.

    python benchmarks/distil.py ../shared --out runs/distil

The student is vitruvian-2d-lite, the teacher yolov8n-pose: its training images are others than
those of `data/coco_people`, whose `train` people are the unlabelled ones. `--labels` of them keep
their labels. Both runs are judged on the 224 `val` people, on the boxes that the teacher finds.
What is finished in --out is not done again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import vitruvian as vit
from vitruvian.evaluate import truth
from vitruvian.evaluate.labels import GroundTruth
from vitruvian.training.data.labelled import write_coco
from vitruvian.verbs.val import show

COMMON = ["keep=last", "batch=32", "threads=1", "resamples=0"]


def few_of(labels: GroundTruth, count: int) -> GroundTruth:
    """So many pictures, chosen at random."""
    chosen = np.random.default_rng(0).permutation(len(labels.pictures))[:count]
    pictures = [labels.pictures[i] for i in sorted(chosen)]
    return GroundTruth(labels.source, labels.skeleton, pictures, "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--teacher", help="default: weights/yolov8n-pose.pt, at 320 pixels")
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=6, help="of the unlabelled people")
    parser.add_argument("--few-epochs", type=int, default=60, help="of the labels alone")
    asked = parser.parse_args()
    weights = asked.shared / "weights" / "yolov8n-pose.pt"
    teacher = asked.teacher or f"{weights},imgsz=320"
    people, few = asked.shared / "data" / "coco_people", asked.out / "few.json"
    labels = truth.read(people, split="train")
    asked.out.mkdir(parents=True, exist_ok=True)
    write_coco(few_of(labels, asked.labels), few)
    alone, taught = asked.out / "alone", asked.out / "taught"
    if not (alone / "README.md").exists():
        own = [f"epochs={asked.few_epochs}", "head_epochs=20", "warmup=20", "validate_every=20"]
        vit.train(
            "vitruvian-2d-lite", few, alone, val=people, settings=[*COMMON, *own],
            resume=(alone / "state.pt").exists(), say=print,
        )  # fmt: skip
    if not (taught / "README.md").exists():
        own = [f"epochs={asked.epochs}", "head_epochs=1", "validate_every=2"]
        vit.distil(
            teacher, "vitruvian-2d-lite", [picture.path for picture in labels.pictures], taught,
            labels=few, val=people, settings=[*COMMON, *own],
            resume=(taught / "teacher").exists(), say=print,
        )  # fmt: skip
    find = teacher.partition(",")[0]
    models = [teacher, *(f"{run},find={find}" for run in (alone, taught))]
    result = vit.val(people, models, out=asked.out / "val", overwrite=True)
    print(*show.validation_lines(result), sep="\n")
    best, low, high = (scores.overall["AP"].value for scores in result.scores)
    print(f"{(high - low) / (best - low):.0%} of the gap to the teacher is closed")


if __name__ == "__main__":
    main()
