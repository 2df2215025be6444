"""Synthetic people with exact ground truth: images, and one line of `people.jsonl` for each.

Fields of a line: file, split, size, box (x y w h), skeleton, keypoints (26 times x y v in pixels:
v 2 visible, 1 hidden, as in COCO), xyz (26 times three metres from the camera; x right, y down, z
away), camera (3 x 3 matrix, pixels from the image corner), age in years, height in metres, shape
(the body model's parameters). Every 15th person is of the split "val".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vitruvian.body.skeletons import HALPE26
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.training.data import teacher
from vitruvian.training.synth import render
from vitruvian.training.synth.bodies import BodyModel
from vitruvian.training.synth.postures import (
    TO_CAMERA,
    UP,
    Draw,
    Posture,
    posture_sampler,
    random_heading,
    random_posture,
    rotation_about,
)

SIZE = 320  # image size, pixels
FILLS = (0.55, 0.82)  # range of the box size, in fractions of the image size
NEAR, FAR = 1.2, 9.0  # distance in metres to a person 1.7 m tall
CLOSE = 0.12  # probability that only a part of the body is in the image
HIDDEN = 0.15  # metres of body in front of a joint that hide it
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 88]
EVERY = 15  # every n-th person is for validation


@dataclass(frozen=True, eq=False)
class SyntheticPerson:
    """One synthetic person."""

    rgb: np.ndarray  # (H, W, 3) uint8
    xy: np.ndarray  # (26, 2) float32 pixels
    seen: np.ndarray  # (26,) bool, in the image and not hidden
    xyz: np.ndarray  # (26, 3) float32 metres from the camera
    box: np.ndarray  # (4,) float32 x0 y0 x1 y1, pixels, of the whole body
    camera: Camera
    age: float  # years
    height: float  # metres, when standing
    shape: dict[str, float]  # the body model's parameters, most of them 0..1


class Studio:
    """Generator of synthetic people."""

    def __init__(self, backgrounds: Sequence[Path] = (), postures: np.ndarray | None = None):
        """Load the body model.

        Args:
            backgrounds: images to use as backgrounds; by default painted ones.
            postures: (N, 33, 3) metres, BlazePose's landmarks of real people to take postures
                from, mixed with random ones.
        """
        self.bodies = BodyModel()
        self.backgrounds = list(backgrounds)
        self.draw: Draw = posture_sampler(postures) if postures is not None else _by_chance

    def make(self, rng: np.random.Generator) -> SyntheticPerson:
        """Generate one person; deterministic for the same `rng`."""
        age, shape = self.bodies.shape(rng)
        curl = tuple(rng.uniform(0, 0.9, 2))
        body = self.bodies.posed(self.draw(rng), shape, (curl[0], curl[1]))
        # The camera: random distance, tilted as hand-held cameras are.
        tilt, roll = np.radians(rng.normal(8, 14)), np.radians(rng.normal(0, 4))
        height = body.height
        distance = NEAR * (FAR / NEAR) ** rng.random() * max(height, 0.9) / 1.7
        turn = (
            rotation_about(np.array([0, 0, 1.0]), roll)
            @ rotation_about(np.array([1.0, 0, 0]), tilt)
            @ TO_CAMERA
        )
        middle = (body.vertices.min(axis=0) + body.vertices.max(axis=0)) / 2
        side = np.tan(np.radians(rng.normal(0, 12, 2).clip(-28, 28)))  # off the optical axis
        place = np.array([side[0], side[1], 1]) * distance
        vertices = ((body.vertices - middle) @ turn.T + place).astype(np.float32)
        joints = ((body.keypoints - middle) @ turn.T + place).astype(np.float32)
        nearest = vertices[:, 2].min()
        if nearest < 0.4:  # a hand in the lens
            push = np.float32(0.4 - nearest)
            vertices[:, 2] += push
            joints[:, 2] += push
        camera, box = self._camera(vertices, rng)
        look = render.random_appearance(body.rest, self.bodies.part, rng)
        rgb, covers, mesh = render.render_body(
            vertices, self.bodies.faces, look, camera.matrix, camera.size
        )
        xy = camera.project(joints)
        seen = self._seen(joints, xy, mesh)
        picture = self._compose(rgb, covers, rng)
        return SyntheticPerson(picture, xy, seen, joints, box, camera, age, height, shape)

    def _camera(self, vertices: np.ndarray, rng: np.random.Generator) -> tuple[Camera, np.ndarray]:
        """A camera that sees the body, or a part of it, and the body's bounding box."""
        plane = vertices[:, :2] / vertices[:, 2:]
        low, high = plane.min(axis=0), plane.max(axis=0)
        share = rng.uniform(*FILLS)
        middle, extent = (low + high) / 2, (high - low).max()
        if rng.random() < CLOSE:
            share = rng.uniform(1.0, 1.8)
            middle = low + rng.uniform(0.2, 0.8, 2) * (high - low)
        else:
            middle = middle + rng.uniform(-0.5, 0.5, 2) * (1 / share - 1) * 0.6 * extent
        focal = SIZE * share / extent
        corner = middle * focal - SIZE / 2
        matrix = np.array([[focal, 0, -corner[0]], [0, focal, -corner[1]], [0, 0, 1]])
        box = np.concatenate([low, high]) * focal - np.tile(corner, 2)
        return Camera(matrix, (SIZE, SIZE)), box.astype(np.float32)

    def _seen(self, joints: np.ndarray, xy: np.ndarray, mesh: render.Mesh) -> np.ndarray:
        """(26,) bool, whether each joint is in the image and not occluded by the body."""
        reach = np.linalg.norm(joints, axis=-1)
        _, far = mesh.cast(np.zeros_like(joints), joints / reach[:, None])
        inside = np.all((xy >= 0) & (xy < SIZE), axis=-1)
        return inside & (far > reach - HIDDEN)

    def _compose(self, rgb: np.ndarray, covers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Composite the person and a background as a camera would; (H, W, 3) uint8."""
        behind = (self._background(rng).astype(np.float32) / 255) ** 2.2
        soft = cv2.GaussianBlur(covers, (3, 3), 0.7)[..., None]
        # Light bleeds over edges; rays do not.
        spread = cv2.GaussianBlur(rgb * covers[..., None], (3, 3), 0.7)
        spread = spread / np.maximum(cv2.GaussianBlur(covers, (3, 3), 0.7), 1e-3)[..., None]
        image = spread * soft + behind * (1 - soft)
        image = np.clip(image, 0, 1) ** (1 / 2.2) * 255
        if rng.random() < 0.5:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3))
        image += rng.normal(0, rng.uniform(0, 6), image.shape)
        return np.clip(image, 0, 255).astype(np.uint8)

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """(H, W, 3) uint8: a random part of an image, or a painted one."""
        if self.backgrounds and rng.random() < 0.85:
            path = self.backgrounds[rng.integers(len(self.backgrounds))]
            image = Frame.read(path).rgb
            side = int(min(image.shape[:2]) * rng.uniform(0.6, 1))
            y, x = (int(rng.integers(0, n - side + 1)) for n in image.shape[:2])
            image = cv2.resize(image[y : y + side, x : x + side], (SIZE, SIZE))
            return image[:, ::-1] if rng.random() < 0.5 else image
        return painted_background(rng)


def painted_background(rng: np.random.Generator) -> np.ndarray:
    """A painted background: colour gradients, a floor, and objects; uint8."""
    cells = int(rng.integers(2, 9))
    image = cv2.resize(
        rng.integers(0, 256, (cells, cells, 3)).astype(np.float32),
        (SIZE, SIZE),
        interpolation=cv2.INTER_CUBIC,
    )
    image = image * rng.uniform(0.2, 1) + rng.uniform(0, 120, 3)
    if rng.random() < 0.6:
        floor = int(SIZE * rng.uniform(0.5, 0.95))
        image[floor:] = image[floor:] * 0.3 + rng.uniform(0, 200, 3)
    for _ in range(int(rng.integers(0, 14))):
        corner, end = rng.integers(0, SIZE, 2), rng.integers(0, SIZE, 2)
        colour = [float(c) for c in rng.integers(0, 256, 3)]
        if rng.random() < 0.5:
            cv2.rectangle(image, corner.tolist(), end.tolist(), colour, -1)
        else:
            thick = int(rng.integers(2, 30))
            cv2.line(image, corner.tolist(), end.tolist(), colour, thick)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 6))
    grain = cv2.resize(rng.normal(0, rng.uniform(2, 25), (SIZE // 2, SIZE // 2, 3)), (SIZE, SIZE))
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def _by_chance(rng: np.random.Generator) -> Posture:
    return random_posture(rng).turned(rotation_about(UP, random_heading(rng)))


def people_row(made: SyntheticPerson, file: str, split: str) -> dict[str, object]:
    """The `people.jsonl` entry of one person."""
    v = np.where(made.seen, 2.0, 1.0)
    x0, y0, x1, y1 = (round(float(n), 2) for n in made.box)
    return {
        "file": file,
        "split": split,
        "size": list(made.camera.size),
        "box": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
        "skeleton": HALPE26.name,
        "keypoints": np.column_stack([made.xy, v]).round(2).tolist(),
        "xyz": made.xyz.round(4).tolist(),
        "camera": made.camera.matrix.round(4).tolist(),
        "age": round(made.age, 1),
        "height": round(made.height, 3),
        "shape": {name: round(value, 4) for name, value in made.shape.items()},
    }


def make_people(
    people: int,
    out: Path,
    *,
    seed: int = 0,
    backgrounds: Sequence[Path] = (),
    postures: np.ndarray | None = None,
    tell: Callable[[int], None] = lambda _: None,
) -> Path:
    """Write a dataset of synthetic people; an interrupted run with the same seed is resumed.

    Args:
        people: number of people.
        out: folder for people.jsonl and the images in `crops`.
        seed: random seed; each person depends only on it and on their index.
        backgrounds: images to use as backgrounds.
        postures: see `Studio`.
        tell: called with the number of people so far, after each.

    Returns:
        The path of people.jsonl.

    Raises:
        VitruvianError: `people` is below 1, it cannot be written, or `out` has another seed.
    """
    if people < 1:
        raise VitruvianError(f"--people is {people}, want 1 or more")
    table, before = out / "people.jsonl", ""
    try:
        before = table.read_text(encoding="utf-8") if table.exists() else ""
        (out / "crops").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VitruvianError(f"cannot write to '{out}': {error.strerror}") from None
    whole = before[: before.rfind("\n") + 1]  # an incomplete last line is written again
    done = whole.splitlines()
    if done and not Path(json.loads(done[0])["file"]).stem.startswith(f"{seed}-"):
        raise VitruvianError(
            f"'{table}' was made with another --seed; give the same --seed, or another --out"
        )
    studio = Studio(backgrounds, postures)
    table.write_text(whole, encoding="utf-8")
    with table.open("a", encoding="utf-8") as lines:
        for number in range(len(done), people):
            made = studio.make(np.random.default_rng([seed, number]))
            file = f"{seed}-{number:06d}.jpg"
            picture = cv2.cvtColor(made.rgb, cv2.COLOR_RGB2BGR)
            if not cv2.imwrite(str(out / "crops" / file), picture, _JPEG):
                raise VitruvianError(f"cannot write '{out / 'crops' / file}'; is the disk full?")
            split = "val" if number % EVERY == EVERY - 1 else "train"
            lines.write(json.dumps(people_row(made, file, split)) + "\n")
            lines.flush()
            tell(number + 1)
    return table


def background_pictures(folder: Path) -> list[Path]:
    """The images of a folder, to use as backgrounds.

    Raises:
        VitruvianError: there are none.
    """
    found = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not found:
        raise VitruvianError(f"no .jpg or .png in '{folder}' to use as backgrounds")
    return found


def read_postures(file: Path) -> np.ndarray:
    """(N, 33, 3) metres, landmarks of people for whom `vitruvian.training.data.teacher` was right.

    Raises:
        VitruvianError: it cannot be read.
    """
    taught = teacher.read(file)
    return taught.xyz[taught.agrees]
