r"""Everyone in a picture: boxes, OKS-AP and people found, and the time that finding takes.

    python benchmarks/finder.py ../shared/data/coco --yolo yolov8n-pose

First the boxes of people with labelled keypoints: AP at an IoU of 0.5, and the share found at one
wrong box per image. Then poses by finder on whole pictures, no true boxes; options are those of
`vitruvian val`. Then times of one picture, the least of `--times`, taken by turns: finding, beside
all of --yolo (a YOLOv8-pose model or file). Last, pictures with one person near the camera by the
default settings, relative to num_poses 1: wall time (least) and processor time (median), reading
included, and the medians over the pictures.
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

CLOSE = 200  # pixels: height of a person near the camera, in pictures of 300 to 480


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


def by_turns(calls: dict[str, Callable[[], object]], times: int) -> dict[str, np.ndarray]:
    """(times, 2) milliseconds of each call, wall and processor time, taken by turns."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for turn in range(times + 2):  # the first two warm up
        for name in sorted(calls, reverse=turn % 2 == 1):
            began = time.perf_counter(), time.process_time()
            calls[name]()
            ended = time.perf_counter(), time.process_time()
            if turn >= 2:
                took[name].append((ended[0] - began[0], ended[1] - began[1]))
    return {name: 1000 * np.array(rows) for name, rows in took.items()}


def one_person(data: Path, times: int) -> None:
    """Print the cost of looking for others in pictures with one person near the camera."""
    pictures = truth.read(data / "person_keypoints.json", images=data / "images").pictures
    near = [each.path for each in pictures if len(each.box) == 1 and each.box[0, 3] > CLOSE]
    every = load("blazepose-full", **for_pictures("blazepose-full", {}))
    one = load("blazepose-full")
    ratios: list[np.ndarray] = []
    for path in [*open_source("sample")[0].paths, *near]:  # type: ignore[attr-defined]
        if len(every([Frame.read(path)])[0]) != 1 or len(one([Frame.read(path)])[0]) != 1:
            continue
        took = by_turns(
            {
                "default": lambda path=path: every([Frame.read(path)]),
                "num_poses 1": lambda path=path: one([Frame.read(path)]),
            },
            times,
        )
        least, middle = ({n: f(t, axis=0) for n, t in took.items()} for f in (np.min, np.median))
        wall, cpu = ((of["default"] / of["num_poses 1"])[i] for i, of in ((0, least), (1, middle)))
        ratios.append(np.array([wall, cpu]))
        print(f"{path.name:24} {least['default'][0]:6.1f} ms  wall {wall:.2f}  processor {cpu:.2f}")
    wall, cpu = np.median(ratios, axis=0)
    print(f"{f'{len(ratios)} pictures of one':24} {'':10} wall {wall:.2f}  processor {cpu:.2f}")


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
    find = open_finder("vitruvian-find", "boxes", objectron.Options()).find
    calls: dict[str, Callable[[], object]] = {"finding, 640 x 427": lambda: find([frame])}
    if asked.yolo:
        yolo = load(asked.yolo)
        calls[asked.yolo] = lambda: yolo([frame])
    for name, times in by_turns(calls, asked.times).items():
        print(f"{name:30} {times[:, 0].min():.1f} ms")
    one_person(asked.data, asked.times)


if __name__ == "__main__":
    main()
