r"""Everyone in a picture: boxes, OKS-AP and people found, and the time that finding takes.

    python benchmarks/finder.py ../shared/data/coco --yolo yolov8n-pose

First the boxes of people with labelled keypoints: AP at an IoU of 0.5, and the share found at one
wrong box per image. Then poses by finder on whole pictures, no true boxes; options are those of
`vitruvian val`. Then times of one picture, the least of `--times`, taken by turns: finding beside
all of --yolo (a YOLOv8-pose model or file), and a picture with one person by the default settings
beside BlazePose's own detector.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.evaluate import truth
from vitruvian.evaluate.boxes import box_precision
from vitruvian.frame import Frame
from vitruvian.models import objectron
from vitruvian.models.load import for_pictures, load, open_finder
from vitruvian.sources.open import open_source
from vitruvian.verbs.val.val import ready, val

FINDERS = ("vitruvian-find", "objectron")
ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("vitruvian-2d", {}),
    ("vitruvian-2d", {"find": "objectron"}),
    ("vitruvian-2d", {"find": "blazepose-full", "conf": 0.5}),
    ("vitruvian-3d", {}),
    ("blazepose-full", {}),
    ("blazepose-full", {"find": "blazepose-full"}),
)


def boxes(name: str, data: Path) -> tuple[float, float]:
    """See `box_precision`; people without keypoints and crowds are ignored."""
    find = open_finder(name, "boxes", objectron.Options(conf=0.05)).find
    found: list[tuple[np.ndarray, np.ndarray]] = []
    known: list[tuple[np.ndarray, np.ndarray]] = []
    for picture in truth.read(data / "person_keypoints.json").pictures:
        (look,) = find([Frame.read(picture.path)])
        found.append((look.bounds(), look.score))
        box = np.concatenate([picture.box[:, :2], picture.box[:, :2] + picture.box[:, 2:]], axis=1)
        known.append((box[picture.counts], box[~picture.counts]))
    return box_precision(found, known)


def least(calls: dict[str, Callable[[], object]], times: int) -> dict[str, float]:
    """Milliseconds of each call, the least of so many, taken by turns."""
    best = dict.fromkeys(calls, float("inf"))
    for turn in range(times + 2):  # the first two warm up
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn >= 2:
                best[name] = min(best[name], 1000 * (time.perf_counter() - began))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="coco of the shared data")
    parser.add_argument("--yolo", help="a YOLOv8-pose model or file")
    parser.add_argument("--times", type=int, default=30)
    asked = parser.parse_args()
    images = asked.data / "images"
    for name in FINDERS:
        ap, found = boxes(name, asked.data)
        print(f"{name:15} boxes: AP50 {ap:.3f}  found {found:.3f}", flush=True)
    for name, options in ROWS:
        model = ready(name, **options)
        annotations = asked.data / "person_keypoints.json"
        overall = val(annotations, [model], images=images, resamples=0).scores[0].overall
        values = "  ".join(f"{key} {overall[key].value:.3f}" for key in ("AP", "AR", "found"))
        print(f"{name:15} {model.options.get('find', 'its own'):15} {values}", flush=True)
    frames = (Frame.read(path) for path in sorted(images.iterdir()))
    frame = next(frame for frame in frames if frame.size == (640, 427))
    portrait = open_source("sample")[0].paths[0]  # type: ignore[attr-defined]
    find = open_finder("vitruvian-find", "boxes", objectron.Options()).find
    every = load("blazepose-full", **for_pictures("blazepose-full", {}))
    one = load("blazepose-full")
    calls: dict[str, Callable[[], object]] = {
        "finding, 640 x 427": lambda: find([frame]),
        "one person, default": lambda: every([Frame.read(portrait)]),
        "one person, num_poses 1": lambda: one([Frame.read(portrait)]),
    }
    if asked.yolo:
        yolo = load(asked.yolo)
        calls[asked.yolo] = lambda: yolo([frame])
    for name, milliseconds in least(calls, asked.times).items():
        print(f"{name:30} {milliseconds:.1f} ms")


if __name__ == "__main__":
    main()
