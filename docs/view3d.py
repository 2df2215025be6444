"""Three synthetic people walking, for the figures of docs/view3d.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.rendering.page import Page
from vitruvian.rendering.view3d import View3D

SIZE = (1280, 720)
HEIGHT, DOWN = 1.5, np.radians(8)  # of the camera above the floor, metres; how far it looks down
# Where they start, right and away, metres; where they go, metres a second; where in a stride.
WALKERS = (((-1.6, 4.2), (1.1, 0.2), 0.0), ((1.5, 5.2), (-0.9, -0.5), 2.0), ((0.2, 7), (0, -1), 4))
PACE = 5.5  # radians of a stride a second


def walker(stride: float) -> np.ndarray:
    """(17, 3) metres: left, ahead and up of the place on the floor where somebody walks."""
    at: dict[str, Any] = {"nose": (0, 0.14, 1.62)}
    for side, sign in (("left", 1), ("right", -1)):
        swing = 0.45 * sign * np.sin(stride)
        bend = 0.35 + 0.35 * sign * np.cos(stride)
        hip, shoulder = np.array([0.11 * sign, 0, 0.93]), np.array([0.19 * sign, 0, 1.42])
        knee = hip + 0.43 * np.array([0, np.sin(swing), -np.cos(swing)])
        shin = swing - bend
        at[f"{side}_eye"], at[f"{side}_ear"] = (0.03 * sign, 0.12, 1.66), (0.08 * sign, 0.03, 1.64)
        at[f"{side}_hip"], at[f"{side}_shoulder"], at[f"{side}_knee"] = hip, shoulder, knee
        at[f"{side}_ankle"] = knee + 0.42 * np.array([0, np.sin(shin), -np.cos(shin)])
        elbow = shoulder + 0.28 * np.array([0.15 * sign, -np.sin(swing), -np.cos(swing)])
        at[f"{side}_elbow"] = elbow
        at[f"{side}_wrist"] = elbow + 0.25 * np.array(
            [0, np.sin(0.5 - swing), -np.cos(0.5 - swing)]
        )
    body = np.array([at[name] for name in COCO17.keypoints], float)
    body[:, 2] -= min(at["left_ankle"][2], at["right_ankle"][2]) - 0.08  # one foot on the floor
    return body


def walk(frames: int, rate: float) -> Iterator[tuple[Frame, Poses]]:
    """Frames and poses as a model with metres from the camera gives them."""
    turned = np.array(
        [[1, 0, 0], [0, np.cos(DOWN), np.sin(DOWN)], [0, -np.sin(DOWN), np.cos(DOWN)]]
    )
    camera = replace(Camera.view(SIZE), up=turned.T @ (0, -1, 0))
    for index in range(frames):
        seconds = index / rate
        bodies = []
        for start, speed, stride in WALKERS:
            body = walker(stride + PACE * seconds)
            ahead = np.array(speed) / np.hypot(*speed)
            left = np.array([-ahead[1], ahead[0]])
            floor = body[:, :1] * left + body[:, 1:2] * ahead
            floor += np.array(start) + np.array(speed) * seconds
            bodies.append(np.stack([floor[:, 0], HEIGHT - body[:, 2], floor[:, 1]], axis=-1))
        xyz = (np.array(bodies) @ turned).astype(np.float32)
        xy = camera.project(xyz)
        n, k = xy.shape[:2]
        box = np.concatenate([xy.min(axis=1), xy.max(axis=1)], axis=1)
        ones = np.ones((n, k), np.float32)
        numbers = np.arange(1, n + 1)
        poses = Poses(COCO17, xy, ones, box, ones[:, 0], numbers, xyz=xyz, origin="camera")
        frame = Frame(None, index, seconds, "three who walk.mp4", camera, SIZE)
        yield frame, poses


def picture(path: Path) -> None:
    """As `--save plot` draws an image."""
    _fill(View3D(path, moving=False), 1)


def moving(path: Path) -> None:
    """As `--out walk_3d.gif` draws a video."""
    _fill(View3D(path), 20, 18)


def page(path: Path) -> None:
    """As `--save html` writes a video."""
    _fill(Page(path), 90, 30)


def _fill(sink: View3D | Page, frames: int, rate: float = 1.0) -> None:
    with sink:
        for frame, poses in walk(frames, rate):
            sink.write(frame, poses)
