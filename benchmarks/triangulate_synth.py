"""Several cameras against the truth: videos of synthetic people, whose joints are known.

    python benchmarks/triangulate_synth.py [--people 2] [--frames 60] [--out DIR]
        [--model vitruvian-2d --model .../yolov8n-pose.pt] [--single vitruvian-3d]

People of `vitruvian synth` go from posture to posture on a stage that four cameras see, at 15
frames/s and 640 x 480 pixels. The videos are triangulated, by four cameras and by each pair; and
one camera of each is given to a model of metric 3D, whose distance comes from the focal length.
Prints how far the 12 joints of limbs, and hips and shoulders, are from the truth, in the world.
vitruvian-2d and vitruvian-3d have seen such people in training, YOLOv8 has not. Needs the extra
`synth`. Videos that are there are used again.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np

import vitruvian as vit
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import HALPE26
from vitruvian.geometry.camera import Camera
from vitruvian.geometry.rig_toml import rig_toml
from vitruvian.training.synth import render
from vitruvian.training.synth.bodies import BodyModel
from vitruvian.training.synth.postures import (
    UP,
    Posture,
    interpolate_rotation,
    normalize,
    random_posture,
    rotation_about,
)

RATE, SIZE, FOCAL, RADIUS = 15, (640, 480), 560.0, 4.5
HOLD = 12  # frames from one posture to the next
FARTHEST = 1.0  # metres that somebody who was found is from a true person at most (median)
JOINTS = [
    f"{side}_{part}"
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
]


def rig() -> dict[str, Camera]:
    """Four cameras around the stage, 1.4 to 2 m high; z up."""
    cameras = {}
    for i, degrees in enumerate((20, 105, 200, 290)):
        angle = np.radians(degrees)
        centre = np.array([RADIUS * np.cos(angle), RADIUS * np.sin(angle), 1.4 + 0.2 * i])
        z = normalize(np.array([0, 0, 0.9]) - centre)
        x = normalize(np.cross(z, UP))
        extrinsics = np.eye(4)
        extrinsics[:3, :3] = np.stack([x, np.cross(z, x), z])
        extrinsics[:3, 3] = -extrinsics[:3, :3] @ centre
        cameras[f"cam{i + 1}"] = Camera.with_focal(SIZE, FOCAL).placed(extrinsics, (0, 0, 1))
    return cameras


def _between(a: Posture, b: Posture, share: float) -> Posture:
    hips, chest, head = (
        interpolate_rotation(getattr(a, part), getattr(b, part), share)
        for part in ("hips", "chest", "head")
    )
    return Posture(hips, chest, head, normalize(a.limbs * (1 - share) + b.limbs * share))


def room(rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) float32 linear light: a wall with a few pictures, and a floor."""
    image = np.tile(rng.uniform(0.2, 0.7, 3), (SIZE[1], SIZE[0], 1)).astype(np.float32)
    for _ in range(4):
        x, y, w, h = rng.integers(0, SIZE[0]), rng.integers(0, 200), *rng.integers(30, 140, 2)
        image[y : y + h, x : x + w] = rng.uniform(0, 0.9, 3)
    image[int(rng.uniform(240, 300)) :] = rng.uniform(0.05, 0.5, 3)
    return cv2.GaussianBlur(image, (0, 0), 1.5)


def paint(
    picture: np.ndarray,
    camera: Camera,
    vertices: np.ndarray,
    faces: np.ndarray,
    look: render.Appearance,
) -> None:
    """Draw a body of (V, 3) metres of the world over a (H, W, 3) picture of linear light."""
    seen = camera.from_world(vertices).astype(np.float32)
    xy = camera.project(seen)
    left, top = np.maximum(np.floor(xy.min(0)).astype(int) - 8, 0)
    right, bottom = np.minimum(np.ceil(xy.max(0)).astype(int) + 8, camera.size)
    if right <= left or bottom <= top:
        return
    matrix = camera.matrix - [[0, 0, left], [0, 0, top], [0, 0, 0]]
    rgb, covers, _ = render.render_body(seen, faces, look, matrix, (right - left, bottom - top))
    soft = cv2.GaussianBlur(covers, (3, 3), 0.7)[..., None]
    spread = cv2.GaussianBlur(rgb * covers[..., None], (3, 3), 0.7) / np.maximum(soft, 1e-3)
    part = picture[top:bottom, left:right]
    part[:] = spread * soft + part * (1 - soft)


def stage(folder: Path, people: int, frames: int, seed: int = 0) -> np.ndarray:
    """Videos cam1.mp4, ..., rig.toml and truth.npy, the (P, T, 26, 3) joints in the world."""
    if (folder / "truth.npy").exists():
        return np.load(folder / "truth.npy")
    rng, bodies, cameras = np.random.default_rng(seed), BodyModel(), rig()
    cast = []
    for p in range(people):
        heading = rng.uniform(0, 2 * np.pi)
        postures = list[Posture]()
        while len(postures) < frames // HOLD + 2:
            made = random_posture(rng)
            if made.hips[2, 2] > 0.9:  # nobody lies or falls
                heading += rng.normal(0, 0.5)
                postures.append(made.turned(rotation_about(UP, heading)))
        shape = bodies.shape(rng)[1]
        look = render.random_appearance(bodies.posed(postures[0], shape).rest, bodies.part, rng)
        around = 2 * np.pi * p / people
        cast.append((postures, shape, look, around))
    behind = [room(rng) for _ in cameras]
    light = normalize(np.array([0.4, -0.3, 1.0]))
    truth = np.zeros((people, frames, len(HALPE26), 3))
    outputs = []
    for name in cameras:
        container = av.open(str(folder / f"{name}.mp4"), "w")
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "18"}
        outputs.append((container, stream))
    for t in range(frames):
        meshes = []
        for p, (postures, shape, look, around) in enumerate(cast):
            step, share = divmod(t / HOLD, 1)
            smooth = share * share * (3 - 2 * share)
            posture = _between(postures[int(step)], postures[int(step) + 1], smooth)
            body = bodies.posed(posture, shape)
            angle = around + 0.25 * np.sin(2 * np.pi * t / 90)
            place = np.array([0.75 * np.cos(angle), 0.75 * np.sin(angle), 0.0])
            place[2] = -body.vertices[:, 2].min()
            truth[p, t] = body.keypoints + place
            meshes.append((body.vertices + place, look, place))
        for (container, stream), camera, image in zip(
            outputs, cameras.values(), behind, strict=True
        ):
            picture = image.copy()
            order = sorted(meshes, key=lambda m: -np.linalg.norm(m[2] - camera.centre))
            for vertices, look, _ in order:  # the farthest first
                turned = camera.from_world(light + camera.centre)
                lit = replace(look, light=turned.astype(np.float32))
                paint(picture, camera, vertices, bodies.faces, lit)
            picture = np.clip(picture, 0, 1) ** (1 / 2.2) * 255 + rng.normal(0, 3, picture.shape)
            frame = av.VideoFrame.from_ndarray(np.clip(picture, 0, 255).astype(np.uint8), "rgb24")
            container.mux(stream.encode(frame))
    for container, stream in outputs:
        container.mux(stream.encode())
        container.close()
    (folder / "rig.toml").write_text(rig_toml(cameras, {}))
    np.save(folder / "truth.npy", truth)
    return truth


def told(what: str, pairs: Sequence[Poses], truth: np.ndarray) -> None:
    """Print how far people are from the truth: to each true one belongs the nearest found."""
    joints = [HALPE26.keypoints.index(name) for name in JOINTS]
    want = truth[:, :, joints]
    hips = [JOINTS.index("left_hip"), JOINTS.index("right_hip")]
    off, from_hips = np.full(want.shape[:3], np.nan), np.full(want.shape[:3], np.nan)
    owner = np.full(want.shape[:2], -1)
    for t, poses in enumerate(pairs):
        if not len(poses) or poses.world is None:
            continue
        have = poses.world[:, [poses.skeleton.keypoints.index(name) for name in JOINTS]]
        far = np.linalg.norm(have[None] - want[:, t, None], axis=-1)  # (P, N, J)
        middle = np.where(np.isfinite(far).any(-1), np.nanmedian(far, axis=-1), np.inf)
        for _ in range(min(middle.shape)):
            p, n = np.unravel_index(np.argmin(middle), middle.shape)
            if middle[p, n] > FARTHEST:
                break
            off[p, t], owner[p, t] = far[p, n], poses.person[n]
            own = have[n] - want[p, t]
            from_hips[p, t] = np.linalg.norm(own - own[hips].mean(axis=0), axis=-1)
            middle[p], middle[:, n] = np.inf, np.inf
    exchanged = sum(
        int((np.diff(ids[ids >= 0]) != 0).sum()) for ids in owner
    )  # an id that goes over to the other person changes for both
    print(
        f"{what}: {1000 * np.nanmedian(off):.1f} mm (median), {1000 * np.nanmean(off):.1f} mm "
        f"(mean), with the hips in one place {1000 * np.nanmedian(from_hips):.1f} mm (median), "
        f"{100 * np.isfinite(off).mean():.1f} % of joints, ids change {exchanged} times",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--single", action="append", default=[])
    parser.add_argument("--out", type=Path, help="folder that is kept")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = asked.out or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        truth = stage(folder, asked.people, asked.frames, asked.seed)
        cameras = list(rig())
        for model in asked.model or ["vitruvian-2d"]:
            records = []
            for camera in cameras:
                record = folder / f"{Path(model).stem}-{camera}.jsonl"
                if not record.exists():
                    vit.predict(
                        folder / f"{camera}.mp4", model=model, out=record, track=True, smooth="no"
                    )
                records.append(record)
            sets = [tuple(range(4)), *itertools.combinations(range(4), 2)]
            for chosen in sets:
                out = folder / "triangulated.jsonl"
                vit.triangulate(
                    [records[i] for i in chosen],
                    folder / "rig.toml",
                    cameras=[cameras[i] for i in chosen],
                    out=out,
                    overwrite=True,
                )
                names = ", ".join(cameras[i] for i in chosen)
                told(f"{Path(model).stem}, {names}", [p for _, p in vit.read(out)], truth)
        for model in asked.single:
            for camera in cameras:
                record = folder / f"{Path(model).stem}-{camera}-3d.jsonl"
                if not record.exists():
                    vit.predict(
                        folder / f"{camera}.mp4",
                        model=model,
                        out=record,
                        absolute=True,
                        camera=f"{folder / 'rig.toml'}:{camera}",
                        track=True,
                    )
                told(f"{Path(model).stem}, {camera}", [p for _, p in vit.read(record)], truth)


if __name__ == "__main__":
    main()
