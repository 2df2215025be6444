"""Ultralytics, as `yolo.py` and `run.py` ask for it: run by the Python of its own environment.

Reads one JSON command a line, answers with one JSON line, or with one for each frame. It needs `pip
install --no-deps ultralytics` and torch, numpy, opencv-python-headless, pillow, pyyaml, psutil,
requests, matplotlib, polars (and openvino for its own export). torchvision is not needed:
Ultralytics asks only for its version and its suppression, and both stand here. With the few boxes
of ordinary pictures that costs well under a millisecond more than torchvision's own.
"""

import importlib.metadata
import json
import os
import sys
import time
import types
from pathlib import Path
from typing import TextIO

os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}

import cv2
import torch


def nms(box: torch.Tensor, score: torch.Tensor, threshold: float) -> torch.Tensor:
    """What torchvision.ops.nms gives."""
    order = score.argsort(descending=True, stable=True)
    area = (box[:, 2:] - box[:, :2]).prod(1)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(box[best, :2], box[order, :2])
        high = torch.minimum(box[best, 2:], box[order, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        order = order[shared / (area[best] + area[order] - shared) <= threshold]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.long)


version = importlib.metadata.version
importlib.metadata.version = lambda name: "0.28.0" if name == "torchvision" else version(name)
torchvision, ops = types.ModuleType("torchvision"), types.ModuleType("torchvision.ops")
vars(ops)["nms"], vars(torchvision)["ops"] = nms, ops
sys.modules |= {"torchvision": torchvision, "torchvision.ops": ops}

from ultralytics import YOLO  # noqa: E402  # pyright: ignore[reportMissingImports]


def lines(model: YOLO, source: str, options: dict[str, object], answers: TextIO) -> None:
    """Each frame of a source as a line of JSON: people, and the seconds that they took."""
    began, rate = time.perf_counter(), 0.0
    if (capture := cv2.VideoCapture(source)).isOpened():
        rate = capture.get(cv2.CAP_PROP_FPS)
    for index, result in enumerate(model.predict(source, stream=True, **options)):
        people = [
            {"box": box[:4], "box_score": box[4], "xy": [p[:2] for p in points]}
            | {"score": [p[2] for p in points]}
            for box, points in zip(
                result.boxes.data.tolist(), result.keypoints.data.tolist(), strict=True
            )
        ]
        height, width = result.orig_shape
        said = {"source": source, "index": index, "time": index / rate if rate else 0.0}
        said |= {"size": [width, height], "people": people, "seconds": time.perf_counter() - began}
        print(json.dumps(said), file=answers, flush=True)
        began = time.perf_counter()


def main() -> None:
    """Answer commands until there are no more."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever else is printed
    models: dict[str, YOLO] = {}
    for line in sys.stdin:
        ask = json.loads(line)
        if ask["model"] not in models:
            weights = Path(ask["weights"])
            if ask["model"] == "openvino":
                weights = YOLO(weights).export(format="openvino", imgsz=640)
            models[ask["model"]] = YOLO(weights, task="pose")
        model = models[ask["model"]]
        options = {"verbose": False, "imgsz": 640, "conf": ask.get("conf", 0.25), "iou": 0.7}
        if ask.get("lines"):
            for source in ask["sources"]:
                lines(model, source, options, answers)
            continue
        found, count, start = [], 0, time.perf_counter()
        for source in ask["sources"]:
            for result in model.predict(source, stream=True, **options):
                count += 1
                if ask.get("keep"):
                    found.append([result.boxes.data.tolist(), result.keypoints.data.tolist()])
                if count == ask.get("most"):
                    break
        answer = {"seconds": time.perf_counter() - start, "frames": count, "found": found}
        answer |= {"threads": torch.get_num_threads()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
