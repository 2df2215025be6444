"""Postures: joint orientations, independent of body shape.

Axes are those of the body model, for a person facing -y: x to their left, y back, z up. A posture
is the rotation of hips, chest and head from the rest pose, and the direction of each limb.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vitruvian.body.skeletons import BLAZEPOSE33

# Limbs in pairs, left and right, from proximal to distal.
LIMBS = ("upper_arm", "forearm", "hand", "thigh", "shin", "foot")
# From these axes to a camera's: x right, y down, z away. A person facing -y faces the camera.
TO_CAMERA = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
FRONT, UP, LEFT = np.array([0.0, -1, 0]), np.array([0.0, 0, 1]), np.array([1.0, 0, 0])

# Start and end landmarks of each limb, of BlazePose's.
_ENDS = {
    "upper_arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
    "hand": ("wrist", "index"),
    "thigh": ("hip", "knee"),
    "shin": ("knee", "ankle"),
    "foot": ("ankle", "foot_index"),
}


@dataclass(frozen=True, eq=False)
class Posture:
    """Joint orientations of one body."""

    hips: np.ndarray  # (3, 3) rotation from the rest pose
    chest: np.ndarray  # (3, 3)
    head: np.ndarray  # (3, 3)
    limbs: np.ndarray  # (6, 2, 3) unit vectors: `LIMBS`, left and right

    def turned(self, rotation: np.ndarray) -> Posture:
        """The whole posture rotated by a (3, 3) rotation."""
        return Posture(
            rotation @ self.hips,
            rotation @ self.chest,
            rotation @ self.head,
            self.limbs @ rotation.T,
        )


def rotation_about(axis: np.ndarray, angle: float) -> np.ndarray:
    """(3, 3) rotation about a unit vector by radians, counter-clockwise seen from its tip."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rotation_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(3, 3) the shortest rotation from one unit vector to another."""
    axis, cos = np.cross(a, b), float(a @ b)
    sin = float(np.linalg.norm(axis))
    if sin < 1e-9:
        if cos > 0:
            return np.eye(3)
        across = np.cross(a, LEFT if abs(a[0]) < 0.9 else UP)
        return rotation_about(across / np.linalg.norm(across), np.pi)
    return rotation_about(axis / sin, float(np.arctan2(sin, cos)))


def interpolate_rotation(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """(3, 3) rotation interpolated between two, by share 0..1 from the first."""
    turn = b @ a.T
    cos = np.clip((np.trace(turn) - 1) / 2, -1, 1)
    angle = float(np.arccos(cos))
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    size = np.linalg.norm(axis)
    return a if size < 1e-6 else rotation_about(axis / size, share * angle) @ a


def normalize(vector: np.ndarray) -> np.ndarray:
    """(..., 3) unit vectors."""
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def _frame(left: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(3, 3) rotation from rest to these directions; `left` exactly."""
    x = normalize(left)
    y = normalize(np.cross(up, x))
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def posture_from_landmarks(xyz: np.ndarray) -> Posture | None:
    """Convert BlazePose's landmarks to a posture.

    Args:
        xyz: (33, 3) metres; x right, y down, z away from the camera.

    Returns:
        The posture, in front of that camera; None if a limb has length 0.
    """
    at = dict(zip(BLAZEPOSE33.keypoints, xyz @ TO_CAMERA, strict=True))
    shoulders = at["left_shoulder"] - at["right_shoulder"]
    hips = at["left_hip"] - at["right_hip"]
    spine = (at["left_shoulder"] + at["right_shoulder"] - at["left_hip"] - at["right_hip"]) / 2
    ears = at["left_ear"] - at["right_ear"]
    gaze = at["nose"] - (at["left_ear"] + at["right_ear"]) / 2
    limbs = [
        [at[f"{side}_{end}"] - at[f"{side}_{start}"] for side in ("left", "right")]
        for start, end in _ENDS.values()
    ]
    parts = np.array([shoulders, hips, spine, ears, gaze, *np.reshape(limbs, (-1, 3))])
    if not np.isfinite(parts).all() or np.linalg.norm(parts, axis=-1).min() < 0.01:
        return None
    head = _frame(ears, np.cross(ears, -gaze))
    return Posture(_frame(hips, spine), _frame(shoulders, spine), head, normalize(np.array(limbs)))


# Random postures. Angles are in degrees: mean and deviation of each joint, by activity.


def _legs(rng: np.random.Generator, doing: str) -> list[tuple[float, float, float]]:
    """For each leg: hip flexion, hip abduction, knee flexion."""
    normal, uniform = rng.normal, rng.uniform
    if doing == "walk":
        first = uniform(5, 35)
        lifted = (first, -uniform(0, 25)) if rng.random() < 0.5 else (-uniform(0, 25), first)
        return [(lift, abs(normal(3, 4)), uniform(0, 60)) for lift in lifted]
    if doing == "sit":
        return [(normal(85, 12), normal(10, 12), normal(80, 25)) for _ in range(2)]
    if doing == "squat":
        return [(normal(100, 18), normal(20, 12), normal(115, 20)) for _ in range(2)]
    if doing == "kneel":
        return [(normal(10 if rng.random() < 0.6 else 80, 12), normal(8, 8), normal(95, 18))] * 2
    if doing == "wild":
        return [(uniform(-30, 120), uniform(-10, 60), uniform(0, 130)) for _ in range(2)]
    return [(normal(2, 7), abs(normal(4, 5)), abs(normal(0, 9))) for _ in range(2)]


# Direction of an upper arm (outward, back, up), its deviation, elbow flexion and its deviation,
# in degrees, and the probability.
_ARMS = (
    ((0.15, 0.0, -1.0), 0.12, 12, 12, 0.28),  # hangs
    ((0.2, -0.1, -1.0), 0.2, 80, 30, 0.22),  # before the belly, to the face
    ((0.1, -1.0, -0.2), 0.3, 30, 30, 0.14),  # ahead
    ((0.4, -0.3, 1.0), 0.35, 40, 35, 0.12),  # above the head
    ((1.0, 0.0, 0.0), 0.35, 30, 35, 0.1),  # out
    ((0.6, 0.5, -0.8), 0.15, 95, 15, 0.05),  # on the hip
    ((0.0, 0.4, -1.0), 0.2, 45, 25, 0.04),  # back
    ((0.3, -0.3, -0.2), 0.8, 60, 45, 0.05),  # anywhere
)
DOING = {"stand": 0.38, "walk": 0.22, "sit": 0.15, "squat": 0.07, "kneel": 0.05, "wild": 0.13}


def random_posture(rng: np.random.Generator) -> Posture:
    """A random posture: standing, walking, sitting, squatting, kneeling, dancing or lying."""
    doing = str(rng.choice(list(DOING), p=list(DOING.values())))
    degrees = np.radians
    bent = rng.normal(8, 10) if doing in ("stand", "walk") else rng.normal(20, 20)
    chest = (
        rotation_about(LEFT, degrees(bent))  # forward: z goes to -y
        @ rotation_about(FRONT, degrees(rng.normal(0, 8)))
        @ rotation_about(UP, degrees(rng.normal(0, 14)))
    )
    head = (
        chest
        @ rotation_about(UP, degrees(rng.normal(0, 28)))
        @ rotation_about(LEFT, degrees(rng.normal(0, 16) - bent / 2))
        @ rotation_about(FRONT, degrees(rng.normal(0, 9)))
    )
    limbs = np.zeros((6, 2, 3))
    for side, (lift, out, knee) in enumerate(_legs(rng, doing)):
        outward = 1 if side == 0 else -1
        thigh = rotation_about(LEFT, -degrees(lift)) @ rotation_about(FRONT, degrees(out) * outward)
        thigh = thigh @ rotation_about(UP, degrees(rng.normal(0, 12)))
        down, front = thigh @ -UP, thigh @ FRONT
        bend = np.clip(degrees(knee), 0, 2.5)
        shin = np.cos(bend) * down - np.sin(bend) * front
        ahead = np.cos(bend) * front + np.sin(bend) * down
        point = degrees(rng.normal(15, 14))
        limbs[3:, side] = down, shin, np.cos(point) * ahead + np.sin(point) * shin
        limbs[:3, side] = _arm(rng, outward)
    limbs[:3] = limbs[:3] @ chest.T
    posture = Posture(np.eye(3), chest, head, normalize(limbs))
    tilt = rng.normal(0, 6, 2)
    if doing == "wild" and rng.random() < 0.5:
        tilt = rng.normal(0, 40, 2)
    if rng.random() < 0.06:  # lying on the back, the belly or a side
        tilt = rng.choice([-90, 90]) + rng.normal(0, 8), rng.normal(0, 20)
        if rng.random() < 0.3:
            tilt = tilt[::-1]
    return posture.turned(
        rotation_about(LEFT, degrees(tilt[0])) @ rotation_about(FRONT, degrees(tilt[1]))
    )


def _arm(rng: np.random.Generator, outward: int) -> np.ndarray:
    """(3, 3) upper arm, forearm and hand, relative to the chest."""
    mean, spread, bend, varies, _ = _ARMS[rng.choice(len(_ARMS), p=[row[-1] for row in _ARMS])]
    mirror = np.array([outward, 1, 1])
    upper = normalize((np.array(mean) + rng.normal(0, spread, 3)) * mirror)
    # The forearm goes forward, inward or up, not back.
    toward = (np.array([-0.4, -1.0, 0.3]) + rng.normal(0, 0.5, 3)) * mirror
    toward = normalize(toward - (toward @ upper) * upper)
    angle = np.radians(np.clip(rng.normal(bend, varies), 0, 145))
    fore = np.cos(angle) * upper + np.sin(angle) * toward
    return np.stack([upper, fore, normalize(fore + rng.normal(0, 0.25, 3))])


Draw = Callable[[np.random.Generator], Posture]


def posture_sampler(xyz: np.ndarray, share: float = 0.7) -> Draw:
    """Sampler that mixes postures of real people with random ones.

    Args:
        xyz: (N, 33, 3) metres, BlazePose's landmarks of N people; x right, y down, z away.
        share: fraction from real people. Half of these keep their original viewpoint; the others
            get a random one. Each is slightly jittered, and mirrored in half of the cases.
    """
    known = [posture for body in xyz if (posture := posture_from_landmarks(body)) is not None]

    def draw(rng: np.random.Generator) -> Posture:
        if not known or rng.random() > share:
            return random_posture(rng).turned(rotation_about(UP, random_heading(rng)))
        posture = known[rng.integers(len(known))]
        if rng.random() < 0.5:
            posture = mirror_posture(posture)
        turn = random_heading(rng) if rng.random() < 0.5 else rng.normal(0, 0.2)
        posture = posture.turned(rotation_about(UP, turn))
        shaken = normalize(posture.limbs + rng.normal(0, 0.08, posture.limbs.shape))
        return Posture(posture.hips, posture.chest, posture.head, shaken)

    return draw


def random_heading(rng: np.random.Generator) -> float:
    """Radians about the vertical: facing the camera more often than away from it."""
    return float(rng.normal(0, 0.8) if rng.random() < 0.5 else rng.uniform(-np.pi, np.pi))


def mirror_posture(posture: Posture) -> Posture:
    """Mirror a posture: left and right exchanged."""
    flip = np.diag([-1.0, 1, 1])
    hips, chest, head = (flip @ p @ flip for p in (posture.hips, posture.chest, posture.head))
    return Posture(hips, chest, head, posture.limbs[:, ::-1] @ flip)
