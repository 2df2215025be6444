"""How well distance comes back from 2D and 3D joints: made-up people, cameras, noise, half bodies.

    python benchmarks/absolute.py [--people 400] [--seed 0]

Articulated bodies of 17 joints stand 2 to 8 m before cameras of 40 to 90 degrees, anywhere in the
picture. A turned camera looks at the part of them that is not cut off. What a perfect network
would say of its crop of 256 pixels gets noise and goes into `vitruvian.decode.absolute`. No
network takes part: this is the error of the recovery alone.

The table has the median error in depth of the hips in millimetres, by the way of scaling; and the
median distance of all joints from where they are, of the default way.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from vitruvian.decode import absolute
from vitruvian.geometry.camera import Camera, rotation_matrix

SIDE = 256
SIZE = (1280, 960)
# Joint: what it hangs on, where from there in metres (x right, y down, z away, the person facing
# the camera), how far it turns there in degrees. About 1.75 m from top to toe.
BODY = {
    "pelvis": ("", (0, 0, 0), 15),
    "right_hip": ("pelvis", (-0.1, 0.05, 0), 35),
    "right_knee": ("right_hip", (0, 0.43, 0), 30),
    "right_ankle": ("right_knee", (0, 0.43, 0), 0),
    "left_hip": ("pelvis", (0.1, 0.05, 0), 35),
    "left_knee": ("left_hip", (0, 0.43, 0), 30),
    "left_ankle": ("left_knee", (0, 0.43, 0), 0),
    "spine": ("pelvis", (0, -0.25, 0), 12),
    "neck": ("spine", (0, -0.27, 0), 15),
    "nose": ("neck", (0, -0.12, -0.08), 0),
    "top": ("neck", (0, -0.24, 0), 0),
    "left_shoulder": ("neck", (0.17, 0.04, 0), 50),
    "left_elbow": ("left_shoulder", (0.05, 0.28, 0), 50),
    "left_wrist": ("left_elbow", (0, 0.25, 0), 0),
    "right_shoulder": ("neck", (-0.17, 0.04, 0), 50),
    "right_elbow": ("right_shoulder", (-0.05, 0.28, 0), 50),
    "right_wrist": ("right_elbow", (0, 0.25, 0), 0),
}
NAMES = tuple(BODY)
LEGS = {name for name in NAMES if name.endswith(("knee", "ankle"))}
CUTS: dict[str, set[str]] = {  # what is not in the picture
    "nothing": set(),
    "below the knees": {"left_ankle", "right_ankle"},
    "below the hips": LEGS,
    "below the chest": {*LEGS, "left_hip", "right_hip", "pelvis", "left_wrist", "right_wrist"},
}


@dataclass(frozen=True)
class Noise:
    """Standard deviations of what a network gets wrong."""

    pixels: float = 0.0  # of the crop
    shape: float = 0.0  # metres, each joint by itself
    size: float = 0.0  # 0..1, the whole body: how tall somebody is cannot be seen


NOISES = {
    "none": Noise(),
    "2 px, 20 mm": Noise(2, 0.02),
    "4 px, 50 mm": Noise(4, 0.05),
    "2 px, 20 mm, 5 % of size": Noise(2, 0.02, 0.05),
}


def body(rng: np.random.Generator) -> np.ndarray:
    """(17, 3) metres from the hips."""
    place: dict[str, np.ndarray] = {}
    turn: dict[str, np.ndarray] = {}
    for name, (parent, offset, turn_deg) in BODY.items():
        own = rotation_matrix(np.radians(rng.normal(0, turn_deg + 1e-3, 3)))
        if not parent:
            own = own @ rotation_matrix(np.array([0, rng.uniform(-np.pi, np.pi), 0]))
        before = turn.get(parent, np.eye(3))
        place[name] = place.get(parent, np.zeros(3)) + before @ np.array(offset)
        turn[name] = before @ own
    return np.stack([place[name] for name in NAMES]) * rng.normal(1, 0.07)


@dataclass(frozen=True)
class Scene:
    """One person before one camera, and the camera turned to what is seen of them."""

    truth: np.ndarray  # (17, 3) metres along the turned camera's axes
    xy: np.ndarray  # (17, 2) pixels of the crop
    turned: Camera
    back: np.ndarray  # (3, 3) from the turned camera's axes to the camera's


def scene(cut: set[str], rng: np.random.Generator) -> Scene:
    """A random person; the box is around what is not cut off."""
    camera = Camera.view(SIZE, rng.uniform(40, 90))
    middle = camera.back_project(rng.uniform(0.2, 0.8, 2) * SIZE, np.array(rng.uniform(2, 8)))
    xyz = body(rng) + middle
    shown = camera.project(xyz[[name not in cut for name in NAMES]])
    low, high = shown.min(axis=0), shown.max(axis=0)
    margin = 0.1 * (high - low).max()
    box = np.concatenate([low - margin, high + margin])
    if cut:
        box[3] = high[1]  # the picture ends there
    rotation, turned = camera.look_at(box, SIDE, axis=SIDE / 2 + 0.5)
    truth = xyz @ rotation.T
    return Scene(truth, turned.project(truth), turned, rotation.T)


def measure(cut: set[str], noise: Noise, people: int, seed: int) -> list[float]:
    """Median errors, metres: depth alone, in batches of 8, as if flat; and all joints."""
    rng = np.random.default_rng(seed)
    scenes = [scene(cut, rng) for _ in range(people)]
    limits = absolute.view_limits(SIDE)
    truth = np.stack([s.truth for s in scenes])
    # A heat map has no place beyond the middles of its first and last cells.
    xy = np.stack([s.xy for s in scenes]) + rng.normal(0, noise.pixels, (people, len(NAMES), 2))
    xy = np.clip(xy, 16.5, SIDE - 15.5)
    inside = absolute.within_view(xy, limits)
    rays = np.stack([s.turned.rays(points) for s, points in zip(scenes, xy, strict=True)])
    shape = truth - truth.mean(axis=1, keepdims=True)
    shape = shape * rng.normal(1, noise.size, (people, 1, 1))
    shape = shape + rng.normal(0, noise.shape, shape.shape) + (1.1, 1.1, 1.1)  # middle of the cube
    back = np.stack([s.back for s in scenes])

    def in_camera(xyz: np.ndarray) -> np.ndarray:
        return np.einsum("nij,nkj->nki", back, xyz)

    def depth_error(found: np.ndarray) -> float:
        return float(np.nanmedian(np.abs(in_camera(found)[:, 0, 2] - in_camera(truth)[:, 0, 2])))

    alone = absolute.absolute_pose(rays, shape, inside)
    eights = np.array_split(np.arange(people), max(people // 8, 1))
    together = [
        absolute.absolute_pose(rays[i], shape[i], inside[i], batch_rms=True) for i in eights
    ]
    flat = absolute.absolute_pose(rays, shape, inside, weak=True)
    joints = float(np.median(np.linalg.norm(alone - truth, axis=-1)))
    return [*(depth_error(found) for found in (alone, np.concatenate(together), flat)), joints]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--people", type=int, default=400, help="in each row")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    print("| cut off | noise | depth, mm | batches of 8, mm | flat, mm | all joints, mm |")
    print("|---|---|---|---|---|---|")
    for cut, names in CUTS.items():
        for noise, what in NOISES.items():
            found = measure(names, what, words.people, words.seed)
            print(f"| {cut} | {noise} | " + " | ".join(f"{1000 * x:.0f}" for x in found) + " |")


if __name__ == "__main__":
    main()
