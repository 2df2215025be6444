"""Rigs and walking people, made up, for the tests of several cameras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import vitruvian as vit
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.multiview.recording import CameraView

SIZE = (1280, 720)
# Standing, metres: x to the person's left, z up.
BODY = {
    "nose": (0, 0.1, 1.6), "eye": (0.03, 0.09, 1.64), "ear": (0.07, 0, 1.62),
    "shoulder": (0.19, 0, 1.42), "elbow": (0.25, -0.02, 1.12), "wrist": (0.27, 0.05, 0.88),
    "hip": (0.1, 0, 0.92), "knee": (0.11, 0.02, 0.5), "ankle": (0.11, -0.03, 0.09),
}  # fmt: skip


def cameras(count: int, radius: float = 4.0) -> list[Camera]:
    """Placed cameras in a circle around the origin of a world with z up, 1.5 m high."""
    placed = []
    for i in range(count):
        angle = (2 * np.pi / count if count > 3 else 1.2) * i + 0.3
        centre = np.array([radius * np.cos(angle), radius * np.sin(angle), 1.5 + 0.1 * i])
        z = np.array([0, 0, 0.9]) - centre
        z /= np.linalg.norm(z)
        x = np.cross(z, [0, 0, 1.0])
        x /= np.linalg.norm(x)
        rotation = np.stack([x, np.cross(z, x), z])
        extrinsics = np.eye(4)
        extrinsics[:3, :3], extrinsics[:3, 3] = rotation, -rotation @ centre
        camera = Camera.with_focal(SIZE, 900.0)
        placed.append(camera.placed(extrinsics, (0, 0, 1)))
    return placed


def walker(seconds: np.ndarray, phase: float = 0.0, around: float = 0.0) -> np.ndarray:
    """(T, 17, 3) metres of a person who walks to and fro and swings arms and legs."""
    turn = 0.5 * np.sin(0.7 * seconds + phase) + around
    place = np.stack(
        [0.9 * np.cos(0.5 * seconds + around), 0.9 * np.sin(0.6 * seconds + around)], axis=-1
    )
    return body(seconds, place, turn, phase)


def body(
    seconds: np.ndarray,
    place: np.ndarray,
    turn: np.ndarray,
    phase: float = 0.0,
    *,
    swing: float = 1.0,
    sits: bool = False,
    size: float = 1.0,
) -> np.ndarray:
    """(T, 17, 3) metres of a person at (T, 2) places, turned by (T,) radians from facing +y."""
    found = np.zeros((len(seconds), 17, 3))
    moved = swing * np.sin(2 * np.pi * 0.9 * seconds + phase)
    for k, name in enumerate(COCO17.keypoints):
        side = 1 if name.startswith("left") else -1
        part = name.split("_")[-1]
        x, y, z = BODY[part]
        if sits:
            z -= 0.45 * (part not in ("knee", "ankle"))
            y += 0.45 * (part in ("knee", "ankle"))
        found[:, k] = (side * x, y, z) if name != "nose" else (x, y, z)
        reach = {"wrist": 0.3, "elbow": 0.15, "knee": -0.15, "ankle": -0.3}
        found[:, k, 1] += side * reach.get(part, 0) * moved
    c, s = np.cos(turn), np.sin(turn)
    rotated = np.stack(
        [c[:, None] * found[..., 0] - s[:, None] * found[..., 1],
         s[:, None] * found[..., 0] + c[:, None] * found[..., 1], found[..., 2]], axis=-1,
    )  # fmt: skip
    rotated *= size
    rotated[..., :2] += place[:, None]
    return rotated


def seen(
    camera: Camera,
    name: str,
    people: np.ndarray,
    seconds: np.ndarray,
    rng: np.random.Generator,
    *,
    noise: float = 2.0,
    missing: float = 0.0,
    ids: np.ndarray | None = None,
) -> CameraView:
    """What a camera sees of (P, T, 17, 3) people: pixels with noise; ids (P, T) of them."""
    pairs = []
    for i, time in enumerate(seconds):
        xy = camera.project(camera.from_world(people[:, i]))
        xy = (xy + rng.normal(0, noise, xy.shape)).astype(np.float32)
        score = np.full(xy.shape[:2], 0.9, np.float32)
        gone = rng.random(score.shape) < missing
        xy[gone], score[gone] = np.nan, 0
        n = len(people)
        box = np.concatenate([np.nanmin(xy, axis=1), np.nanmax(xy, axis=1)], axis=1)
        number = np.arange(n) if ids is None else ids[:, i]
        poses = Poses(COCO17, xy, score, box, np.full(n, 0.9, np.float32), number.astype(np.int64))
        pairs.append((Frame(None, i, float(time), f"{name}.mp4", size=SIZE), poses))
    return CameraView(name, camera, pairs)


def swap_sides(
    view: CameraView, frames: slice | list[int], names: tuple[str, ...] = ()
) -> CameraView:
    """The same view with left and right exchanged in some frames, of all or some keypoints."""
    rows = set(range(len(view.pairs))[frames] if isinstance(frames, slice) else frames)
    order = np.arange(17)
    for k, name in enumerate(COCO17.keypoints):
        if not names or any(part in name for part in names):
            order[k] = COCO17.mirror[k]
    pairs = []
    for i, (frame, poses) in enumerate(view.pairs):
        if i in rows:
            poses = replace(poses, xy=poses.xy[:, order], score=poses.score[:, order])
        pairs.append((frame, poses))
    return CameraView(view.name, view.camera, pairs)


def write(folder: Path, count: int, seconds: np.ndarray) -> np.ndarray:
    """Records cam01.jsonl, ... of a walker, and rig.toml as Pose2Sim writes it; (T, 17, 3)."""
    truth, placed, lines = walker(seconds), cameras(count), list[str]()
    for i, camera in enumerate(placed, 1):
        assert camera.extrinsics is not None
        rotation = camera.extrinsics[:3, :3]
        angle = np.arccos((np.trace(rotation) - 1) / 2)
        turned = rotation - rotation.T
        axis = np.array([turned[2, 1], turned[0, 2], turned[1, 0]]) / (2 * np.sin(angle))
        matrix = camera.matrix.copy()
        matrix[:2, 2] -= 0.5  # of the file: the centre of the first pixel is 0
        lines += [
            f"[cam_0{i}]",
            f'name = "cam_0{i}"',
            f"size = {[float(side) for side in camera.size]}",
            f"matrix = {matrix.tolist()}",
            "distortions = [0.0, 0.0, 0.0, 0.0]",
            f"rotation = {(axis * angle).tolist()}",
            f"translation = {camera.extrinsics[:3, 3].tolist()}",
            "fisheye = false",
        ]
        rng = np.random.default_rng(i)
        with vit.open_sink(folder / f"cam0{i}.jsonl") as sink:
            for frame, poses in seen(camera, f"cam0{i}", truth[None], seconds, rng).pairs:
                sink.write(frame, poses)
    (folder / "rig.toml").write_text("\n".join(lines) + "\n")
    return truth
