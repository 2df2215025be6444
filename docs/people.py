"""Draw the figure of README: four rendered people, and their poses in 2D and 3D.

    pip install '.[synth]'
    python docs/people.py                    # with --find yolov8n-pose
    python docs/people.py yolov8n-pose.pt    # with a checkpoint of your own as the detector

The people are synthetic: the `anny` body model of `vitruvian synth` (Apache-2.0; MakeHuman's CC0
assets). Writes docs/people.jpg (the image) and docs/people_poses.jpg (the figure).
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import vitruvian as vit
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.rendering.draw import with_numbers
from vitruvian.training.synth import render
from vitruvian.training.synth.bodies import BodyModel
from vitruvian.training.synth.postures import (
    FRONT,
    LEFT,
    TO_CAMERA,
    UP,
    Posture,
    normalize,
    rotation_about,
)

HERE = Path(__file__).parent
PICTURE = HERE / "people.jpg"
SIZE, FOV_DEG = (960, 580), 50.0  # pixels, degrees
HEIGHT = 1.15  # metres of the camera above the floor
WALL = 9.0  # metres from the camera
LIGHT = normalize(np.array([0.55, -1.0, -0.65])).astype(
    np.float32
)  # toward it; x right, y down, z away
# Degrees: how far each arm is lifted outward and its elbow bent, each thigh lifted forward and its
# knee bent (left, right); how the body is turned; metres right and away; seed of shape and clothes.
PEOPLE = (
    (((12, 15), (150, 30)), ((0, 0), (3, 4)), -12, (-1.5, 4.6), 21),
    (((25, 60), (20, 70)), ((28, 12), (-18, 25)), 48, (-0.5, 5.5), 4),
    (((140, 8), (142, 10)), ((2, 0), (2, 0)), 10, (0.75, 4.9), 33),
    (((50, 95), (50, 95)), ((72, 95), (72, 95)), -25, (1.85, 5.2), 12),
)


def posture(arms: tuple, legs: tuple, turn: float) -> Posture:
    """Arms beside the body, legs ahead of it."""
    limbs = np.zeros((6, 2, 3))
    for side, (outward, (lift, elbow), (thigh, knee)) in enumerate(
        zip((1, -1), arms, legs, strict=True)
    ):
        lifted = rotation_about(FRONT, outward * np.radians(lift))
        upper = lifted @ -UP
        toward = FRONT if lift < 90 else normalize(UP - 0.4 * outward * LEFT)
        toward = normalize(toward - (toward @ upper) * upper)
        bend = np.radians(elbow)
        fore = np.cos(bend) * upper + np.sin(bend) * toward
        limbs[:3, side] = upper, fore, fore
        up = rotation_about(LEFT, -np.radians(thigh)) @ rotation_about(
            FRONT, outward * np.radians(6)
        )
        shin = rotation_about(LEFT, -np.radians(thigh - knee)) @ rotation_about(
            FRONT, outward * np.radians(4)
        )
        limbs[3:, side] = up @ -UP, shin @ -UP, normalize(FRONT - 0.25 * UP)
    lean = rotation_about(LEFT, np.radians(22 if min(legs[0][0], legs[1][0]) > 50 else 3))
    limbs[:3] = limbs[:3] @ lean.T
    return Posture(np.eye(3), lean, np.eye(3), limbs).turned(rotation_about(UP, np.radians(turn)))


def scene() -> np.ndarray:
    """(H, W, 3) uint8 RGB: the rendered people."""
    camera = Camera.view(SIZE, FOV_DEG)
    bodies = BodyModel()
    width, height = SIZE
    focal, cy = camera.matrix[0, 0], camera.matrix[1, 2]
    rows = np.arange(height)[:, None] + 0.5
    edge = cy + focal * HEIGHT / WALL
    wall = np.array([0.62, 0.66, 0.7]) * (0.75 + 0.25 * rows / edge)[..., None]
    floor = np.array([0.45, 0.42, 0.38]) * (0.8 + 0.35 * (rows - edge) / (height - edge))[..., None]
    image = np.broadcast_to(
        np.where(rows[..., None] < edge, wall, floor), (height, width, 3)
    ).copy()
    drawn = []
    for arms, legs, turn, place, seed in PEOPLE:
        rng = np.random.default_rng(seed)
        _, shape = bodies.shape(rng)
        shape["age"] = max(shape.get("age", 0.7), 0.65)  # grown up
        body = bodies.posed(posture(arms, legs, turn), shape, (0.3, 0.3))
        vertices = body.vertices @ TO_CAMERA.T
        vertices += np.array([place[0], HEIGHT - vertices[:, 1].max(), place[1]])
        look = replace(
            render.random_appearance(body.rest, bodies.part, rng),
            light=LIGHT,
            ambient=0.45,
            strength=1.25,
        )
        shade(image, vertices, camera)
        drawn.append((place[1], vertices.astype(np.float32), look))
    for _, vertices, look in sorted(drawn, key=lambda each: -each[0]):
        big = np.diag([2.0, 2.0, 1.0]) @ camera.matrix  # four rays a pixel
        rgb, covers, _ = render.render_body(
            vertices, bodies.faces, look, big, (2 * width, 2 * height)
        )
        covers = covers[..., None]
        rgb = cv2.resize(rgb * covers, SIZE, interpolation=cv2.INTER_AREA)
        covers = cv2.resize(covers, SIZE, interpolation=cv2.INTER_AREA)[..., None]
        image = rgb + image * (1 - covers)
    image = np.clip(image, 0, 1) ** (1 / 2.2) * 255
    image += np.random.default_rng(0).normal(0, 2, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def shade(image: np.ndarray, vertices: np.ndarray, camera: Camera) -> None:
    """Darken the floor where a body keeps the light away."""
    down = (HEIGHT - vertices[:, 1:2]) / -LIGHT[1]
    foot = vertices - down * LIGHT
    foot = foot[(foot[:, 2] < WALL) & (foot[:, 2] > 0.5)]
    x, y = camera.project(foot[None].astype(np.float32))[0].T
    inside = (x >= 0) & (x < image.shape[1]) & (y >= 0) & (y < image.shape[0])
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[y[inside].astype(int), x[inside].astype(int)] = 255
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 3)
    image *= 1 - 0.45 * soft[..., None]


def figure(picture: Path, find: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB: poses over the image, and beside it in 3D."""
    model = vit.load("vitruvian-3d", find=find)
    frame = replace(Frame.read(picture), camera=Camera.view(SIZE, FOV_DEG))
    [poses] = model([frame])
    left = vit.draw(frame, with_numbers(poses))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people_3d.png"
        with vit.open_sink(path) as sink:
            sink.write(frame, poses)
        right = Frame.read(path).rgb
    right = right[150:550, 30 : right.shape[1] // 2 + 10]  # its first panel, from behind the camera
    scale = SIZE[1] / len(right)
    right = cv2.resize(right, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return np.hstack([left, right])


if __name__ == "__main__":
    rgb = scene()
    cv2.imwrite(str(PICTURE), rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    found = figure(PICTURE, *(sys.argv[1:] or ["yolov8n-pose"]))
    out = HERE / "people_poses.jpg"
    cv2.imwrite(str(out), found[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
