r"""A student of half the size: a few labels alone, or a teacher and unlabelled people as well.

    python benchmarks/distil.py ../shared --out runs/distil

The student is vitruvian-2d-lite, the teacher yolov8n-pose: its training images are others than
those of `data/coco_people`, whose `train` people are the unlabelled ones. `--labels` of them keep
their labels. Both runs are judged on the 224 `val` people, on the boxes that the teacher finds.
What is finished in --out is not done again; how good the teacher's labels are is printed too.

    python benchmarks/distil.py ../shared --scores

prints for some teachers how often a keypoint is right (OKS above 0.5), by its score.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vitruvian as vit
from vitruvian.body.mapping import Mapping
from vitruvian.evaluate import truth
from vitruvian.evaluate.labels import GroundTruth, LabelledPicture
from vitruvian.models.model import skeleton_of
from vitruvian.training.data.labelled import write_coco
from vitruvian.verbs.val import show

COMMON = ["keep=last", "batch=32", "threads=1", "resamples=0"]


def few_of(labels: GroundTruth, count: int) -> GroundTruth:
    """So many pictures, chosen at random."""
    chosen = np.random.default_rng(0).permutation(len(labels.pictures))[:count]
    pictures = [labels.pictures[i] for i in sorted(chosen)]
    return GroundTruth(labels.source, labels.skeleton, pictures, "")


def nearest(boxes: np.ndarray, box: np.ndarray) -> tuple[int, float]:
    """Which of (N, 4) boxes x0 y0 x1 y1 overlaps another most, and the IoU."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    iou = shared / (areas - shared)
    return int(iou.argmax()), float(iou.max())


def corners(box: np.ndarray) -> np.ndarray:
    """(N, 4) x0 y0 x1 y1 of x y width height."""
    return np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)


def similarity(xy: np.ndarray, labels: GroundTruth, picture: LabelledPicture, i: int) -> np.ndarray:
    """(K,) OKS of each keypoint with those of person i."""
    square = ((xy - picture.xy[i]) ** 2).sum(axis=-1)
    return np.exp(-square / (2 * (2 * labels.sigmas) ** 2 * picture.area[i]))


def tell_label_quality(file: Path, labels: GroundTruth) -> None:
    """The teacher's labels beside the true ones of one person in each picture."""
    true = {picture.path.resolve(): picture for picture in labels.pictures}
    found, known, kept, similar = 0, 0, 0, list[float]()
    for picture in truth.read(file).pictures:
        own = true[picture.path.resolve()]
        if not len(picture):
            continue
        i, iou = nearest(corners(picture.box), corners(own.box)[0])
        if iou < 0.5:
            continue
        both = own.labelled[0] & picture.labelled[i]
        found, known, kept = found + 1, known + own.labelled.sum(), kept + both.sum()
        similar += similarity(picture.xy[i], labels, own, 0)[both].tolist()
    values = np.array(similar)
    print(
        f"labels of the teacher: {found / len(true):.0%} of people found, {kept / known:.0%} of "
        f"their labelled keypoints kept, {(values > 0.5).mean():.0%} of these right, mean OKS "
        f"{values.mean():.2f}"
    )


def tell_scores(teachers: Sequence[str], labels: GroundTruth) -> None:
    """How often keypoints of each teacher are right, by score."""
    edges = [0, 0.3, 0.5, 0.7, 1.01]
    for name in teachers:
        model, rows = vit.load(name), list[tuple[float, float]]()
        mapping = Mapping.of(skeleton_of(model), labels.skeleton)
        for picture in labels.pictures[:90]:
            poses = mapping(model([vit.Frame.read(picture.path)])[0])
            for box, xy, score in zip(poses.box, poses.xy, poses.score, strict=True):
                i, iou = nearest(corners(picture.box), box)
                if iou >= 0.5 and not picture.crowd[i]:
                    seen = picture.labelled[i]
                    right = similarity(xy, labels, picture, i) > 0.5
                    rows += zip(score[seen].tolist(), right[seen].tolist(), strict=True)
        score, right = np.array(rows).T
        each = [
            f"{a:g} to {b:g}: {right[(score >= a) & (score < b)].mean():.0%}"
            for a, b in itertools.pairwise(edges)
        ]
        print(f"{name}: {', '.join(each)} right", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/distil"))
    parser.add_argument("--scores", action="store_true")
    parser.add_argument("--teacher", help="default: weights/yolov8n-pose.pt, at 320 pixels")
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=6, help="of the unlabelled people")
    parser.add_argument("--few-epochs", type=int, default=60, help="of the labels alone")
    asked = parser.parse_args()
    weights = asked.shared / "weights" / "yolov8n-pose.pt"
    if asked.scores:
        some = truth.read(asked.shared / "data" / "coco" / "person_keypoints.json")
        tell_scores([str(weights), "vitruvian-2d,flip=true", "blazepose-full,num_poses=100"], some)
        return
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
    tell_label_quality(taught / "teacher" / "train.json", labels)
    find = teacher.partition(",")[0]
    models = [teacher, *(f"{run},find={find}" for run in (alone, taught))]
    result = vit.val(people, models, out=asked.out / "val", overwrite=True)
    print(*show.validation_lines(result), sep="\n")
    best, low, high = (scores.overall["AP"].value for scores in result.scores)
    print(f"{(high - low) / (best - low):.0%} of the gap to the teacher is closed")


if __name__ == "__main__":
    main()
