"""What may tell people apart: colours, and features of networks; see `appearance.py`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import vitruvian as vit
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame
from vitruvian.geometry.letterbox import letterboxed
from vitruvian.geometry.regions import Regions
from vitruvian.models import objectron
from vitruvian.models.ready import converted, pull
from vitruvian.network.openvino import openvino_core

Looks = dict[str, np.ndarray]  # candidate -> numbers
# A layer: name of an operation, or pixels a cell and channels of the last residual sum.
Layer = str | tuple[int, int]
SEEN = 0.3  # score of a keypoint
# Pairs of keypoints between which a part of the body lies.
LIMBS = {
    "arms": (("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow")),
    "thighs": (("left_hip", "left_knee"), ("right_hip", "right_knee")),
    "shins": (("left_knee", "left_ankle"), ("right_knee", "right_ankle")),
}
PARTS = ("torso", "head", *LIMBS)


@dataclass
class Sighting:
    """One person in one frame, by eye the same as all others of this name."""

    who: str
    frame: Frame
    poses: Poses  # N = 1


def parts(poses: Poses, fine: int = 4) -> dict[str, np.ndarray]:
    """Part of somebody's body -> (M, 2) places on it, pixels; without those that are not seen."""
    xy = {
        name: at.astype(float)
        for name, at, score in zip(
            poses.skeleton.keypoints, poses.xy[0], poses.score[0], strict=True
        )
        if score >= SEEN and np.isfinite(at).all()
    }
    places = {}
    shoulders = [xy[n] for n in ("left_shoulder", "right_shoulder") if n in xy]
    hips = [xy[n] for n in ("left_hip", "right_hip") if n in xy]
    if shoulders and hips:
        top, bottom = np.mean(shoulders, axis=0), np.mean(hips, axis=0)
        wide = [np.linalg.norm(pair[0] - pair[1]) for pair in (shoulders, hips) if len(pair) == 2]
        half = 0.4 * max(*wide, 0.35 * np.linalg.norm(bottom - top), 0)  # seen from the side
        places["torso"] = between(top, bottom, half, fine)
    head = [xy[n] for n in ("nose", "left_eye", "right_eye", "left_ear", "right_ear") if n in xy]
    if head:
        side = 0.03 * (poses.box[0, 3] - poses.box[0, 1])
        middle, up = np.mean(head, axis=0), np.array([0, side])
        places["head"] = between(middle - up, middle + up, side, fine)
    for part, pairs in LIMBS.items():
        ends = [(xy[a], xy[b]) for a, b in pairs if a in xy and b in xy]
        if ends:
            lines = [between(a, b, 0.1 * np.linalg.norm(b - a), fine) for a, b in ends]
            places[part] = np.concatenate(lines)
    return places


def between(start: np.ndarray, end: np.ndarray, half: Any, fine: int) -> np.ndarray:
    """(fine * fine, 2) places on a strip from start to end, of this half width."""
    along = end - start
    across = np.array([-along[1], along[0]]) / max(np.linalg.norm(along), 1e-6) * half
    t, u = np.linspace(0.1, 0.9, fine), np.linspace(-1, 1, fine)
    grid = start + t[:, None, None] * along + u[:, None] * across
    return grid.reshape(-1, 2)


def sample(maps: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(M, C) values of (C, h, w) at (M, 2) places in cells, bilinear; the edge goes on outside."""
    last = np.array(maps.shape[:0:-1]) - 1
    at = np.clip(at - 0.5, 0, last)  # the middle of the first cell is (0.5, 0.5)
    low = np.minimum(at.astype(int), np.maximum(last - 1, 0))
    (x, y), (right, down) = low.T, (at - low).T
    x1, y1 = np.minimum(low + 1, last).T
    upper = maps[:, y, x] * (1 - right) + maps[:, y, x1] * right
    lower = maps[:, y1, x] * (1 - right) + maps[:, y1, x1] * right
    return (upper * (1 - down) + lower * down).T


def histogram(values: np.ndarray, bins: int, low: float, high: float) -> np.ndarray:
    """(bins,) share of the values around each bin, linear between neighbours; the square root."""
    at = np.clip((values - low) / (high - low), 0, 1) * (bins - 1)
    return np.sqrt(np.maximum(1 - np.abs(at[:, None] - np.arange(bins)), 0).mean(axis=0))


def colours(one: Sighting) -> Looks:
    """What needs no network: histograms of the box as in docs/start.md, and of parts."""
    x0, y0, x1, y1 = one.poses.box[0].clip(0).astype(int)
    cut = one.frame.rgb[y0 : y1 + 1, x0 : x1 + 1].reshape(-1, 3)
    box = np.concatenate([np.histogram(c, 16, (0, 256))[0] for c in cut.T])
    rows = np.full((len(PARTS), 28), np.nan)
    for part, at in parts(one.poses, fine=12).items():
        x, y = np.clip(at, 0, np.array(one.frame.size) - 1).astype(int).T
        rgb = one.frame.rgb[None, y, x].astype(np.float32) / 255
        light, red, yellow = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0].T
        rows[PARTS.index(part)] = np.concatenate(
            [
                histogram(light, 8, 0, 100),  # L*, then a* and b*, which clothes seldom exceed
                histogram(red, 10, -40, 40),
                histogram(yellow, 10, -40, 40),
            ]
        )
    return {"colours, box": box, "colours, torso": rows[0], "colours, five parts": rows.ravel()}


# Sighting -> input of a network, its width and height, and from pixels of the frame to its own.
View = Callable[[Sighting], tuple[np.ndarray, tuple[int, int], Callable[[np.ndarray], np.ndarray]]]


class Layers:
    """Means of a network's layers over the parts of a body."""

    def __init__(self, name: str, file: Path, view: View, layers: Sequence[Layer], whole: bool):
        self.name, self.file, self.view, self.layers = name, file, view, layers
        self.whole = whole  # whether the network sees the whole frame at once
        self.compiled: dict[tuple[int, ...], Any] = {}
        self.last: tuple[Frame | None, list[np.ndarray]] = None, []
        self.pooling: list[float] = []  # seconds of each sighting

    def __call__(self, one: Sighting) -> Looks:
        """All layers; NaN for parts that are not seen."""
        inputs, size, to_input = self.view(one)
        if not self.whole or self.last[0] is not one.frame:
            self.last = one.frame, self.run(inputs, size)
        began = time.perf_counter()
        places = {part: to_input(at) for part, at in parts(one.poses).items()}
        looks: Looks = {}
        for layer, maps in zip(self.layers, self.last[1], strict=True):
            channels, height, width = maps.shape
            rows = np.full((len(PARTS), channels), np.nan)
            for part, at in places.items():
                cells = at * np.divide((width, height), size)
                rows[PARTS.index(part)] = sample(maps, cells).mean(axis=0)
            where = layer if isinstance(layer, str) else f"stride {layer[0]}"
            looks[f"{self.name}, {where}, {channels} channels"] = rows.ravel()
        self.pooling.append((time.perf_counter() - began) / len(self.layers))
        return looks

    def run(self, inputs: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
        """(C, h, w) of each layer."""
        if inputs.shape not in self.compiled:
            core = openvino_core()
            network = core.read_model(self.file)
            network.reshape({network.inputs[0]: list(inputs.shape)})
            chosen: dict[Layer, Any] = {}
            for node in network.get_ordered_ops():
                chosen[node.get_friendly_name()] = node.output(0) if node.outputs() else None
                if node.get_type_name() == "Add" and not any(map(constant, node.input_values())):
                    shape = list(node.output(0).shape)
                    if len(shape) == 4:
                        chosen[round(size[0] / shape[3]), shape[1]] = node.output(0)
            outputs = [chosen[layer] for layer in self.layers]
            model = type(network)(outputs, network.get_parameters())
            exact = {"INFERENCE_PRECISION_HINT": "f32"}
            self.compiled[inputs.shape] = core.compile_model(model, "CPU", exact)
        results = self.compiled[inputs.shape](inputs)
        return [np.array(results[i][0]) for i in range(len(self.layers))]


def constant(value: Any) -> bool:
    """Whether an output of a network's operation does not depend on its input."""
    node = value.get_node()
    kind = node.get_type_name()
    return kind == "Constant" or (kind != "Parameter" and all(map(constant, node.input_values())))


def networks(yolo: Path | None) -> list[Layers]:
    """The pose networks and the finder, with layers from fine to coarse."""

    def crops(head: Any, square: bool) -> View:
        def view(one: Sighting) -> Any:
            around = Regions.boxes(one.poses.box, one.poses.box_score)
            (crop,) = head.crops(one.frame, around.squares() if square else around)
            inputs = head.prepare(one.frame, [crop])
            return inputs, inputs.shape[2:0:-1], lambda at: crop.from_frame(at)

        return view

    def stretched(one: Sighting) -> Any:
        size = (objectron.SIDE, objectron.SIDE)
        inputs = letterboxed(one.frame.rgb, size, (0, 0), size, 0)[None] * np.float32(2 / 255) - 1
        return inputs, size, lambda at: at * np.divide(size, one.frame.size)

    ours: Any = vit.load("vitruvian-2d")
    blaze: Any = vit.load("blazepose-full")
    encoder: list[Layer] = [(4, 24), (8, 32), (16, 64), (16, 88), (32, 144)]
    found = [
        Layers(
            "vitruvian-2d",
            pull("vitruvian-2d")[1],
            crops(ours.head, False),
            [*encoder, "features"],
            False,
        ),
        Layers(
            "blazepose-full", pull("blazepose-full")[1], crops(blaze.head, True), encoder, False
        ),
        Layers(
            "vitruvian-find",
            pull("vitruvian-find")[0],
            stretched,
            ["/blocks.1/Add", "/blocks.4/Add", "/blocks.11/Add", "/top/Conv"],
            True,
        ),
    ]
    if yolo is not None:
        model: Any = vit.load(str(yolo))

        def letterboxes(one: Sighting) -> Any:
            box = model.letterbox(one.frame)
            inputs = model.prepare([one.frame], [box])
            return inputs, inputs.shape[:1:-1], lambda at: box.back.from_frame(at)

        layers = [f"/model.{i}/cv2/Mul" for i in (2, 4, 6, 9, 15, 18, 21)]
        file = converted(yolo, None)
        found.append(Layers("yolov8n-pose", file, letterboxes, layers, True))
    return found


def coco_people(data: Path, split: str, most: int) -> list[Sighting]:
    """People of COCO, with their labels as poses."""
    rows: list[Sighting] = []
    folder = data / "coco_people"
    for line in (folder / "people.jsonl").read_text().splitlines():
        row = json.loads(line)
        keypoints = np.array(row["keypoints"], np.float32)
        if row["split"] != split or len(rows) == most or row["area"] < 3000:
            continue
        x, y, width, height = row["box"]
        poses = Poses(
            COCO17,
            xy=keypoints[None, :, :2],
            score=np.minimum(keypoints[None, :, 2], 1),
            box=np.array([[x, y, x + width, y + height]], np.float32),
            box_score=np.ones(1, np.float32),
            person=np.full(1, -1),
        )
        if "torso" in parts(poses):
            rows.append(Sighting(row["file"], Frame.read(folder / "crops" / row["file"]), poses))
    return rows
