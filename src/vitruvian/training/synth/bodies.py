"""Body meshes of all shapes and ages in any posture, with 3D keypoints in metres.

Source: the `anny` body model (Apache-2.0, MakeHuman's CC0 assets) and its joint regressor for
COCO's keypoints and the feet, to which the top of the head, the neck and the middle of the hips are
added. Nothing is downloaded or unpickled from elsewhere: all data is in the package.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import warp

warp.config.log_level = logging.ERROR  # no banner; must be set before the body model initialises it
import anny  # noqa: E402
from anny.keypoints import KeypointsRegressor  # noqa: E402
from anny.shape_distribution import SimpleShapeDistribution  # noqa: E402

from vitruvian.body.skeletons import HALPE26  # noqa: E402
from vitruvian.training.synth.postures import (  # noqa: E402
    LIMBS,
    Posture,
    interpolate_rotation,
    normalize,
    rotation_about,
    rotation_between,
)

GROWN_UP = 0.82  # share of people of 18 or more; the others are 4 to 17
# The bones of each rotated limb, and the bone at whose head it ends.
_BONES = {
    "upper_arm": ("upperarm01", "lowerarm01"),
    "forearm": ("lowerarm01", "wrist"),
    "hand": ("wrist", "finger3-1"),
    "thigh": ("upperleg01", "lowerleg01"),
    "shin": ("lowerleg01", "foot"),
    "foot": ("foot", "toe3-1"),
}
_CLOTHES = {  # parts of the body, by prefixes of their bones' names
    "skin": ("wrist", "finger", "metacarpal", "neck", "head", "eye"),
    "shirt": ("spine", "clavicle", "shoulder"),
    "sleeve": ("upperarm",),
    "cuff": ("lowerarm",),
    "trousers": ("root", "pelvis", "upperleg"),
    "leg": ("lowerleg",),
    "shoe": ("foot", "toe"),
}
PARTS = (*_CLOTHES, "hair")


@dataclass(frozen=True, eq=False)
class PosedBody:
    """One body in one posture; facing -y, x to its left, y back, z up."""

    vertices: np.ndarray  # (V, 3) float32 metres
    keypoints: np.ndarray  # (26, 3) float32 metres, Halpe's
    rest: np.ndarray  # (V, 3) float32 metres, the vertices of the same body at rest
    height: float  # metres


class BodyModel:
    """The parametric body model."""

    def __init__(self) -> None:
        """Load the model; the first time on a machine this takes a minute."""
        self.model = anny.Anny().to(dtype=torch.float32)
        self.coco = KeypointsRegressor.coco(self.model)
        self.faces = self.model.faces.numpy().astype(np.int32)  # (F, 3)
        self.bones = {name: i for i, name in enumerate(self.model.bone_labels)}

    @cached_property
    def part(self) -> np.ndarray:
        """(V,) index in `PARTS` of each vertex."""
        weights = self.model.vertex_bone_weights.numpy()
        bone = np.take_along_axis(
            self.model.vertex_bone_indices.numpy(), weights.argmax(axis=1)[:, None], axis=1
        )[:, 0]
        of_bone = [
            next(i for i, begins in enumerate(_CLOTHES.values()) if name.startswith(begins))
            for name in self.model.bone_labels
        ]
        part = np.array(of_bone)[bone]
        at = self.model.template_vertices.numpy()
        eyes = [self.bones["eye.L"], self.bones["eye.R"]]
        level = self.model.template_bone_heads[eyes].mean(0).numpy()
        # Hair: of the head, above the brows or behind the ears.
        above = at[:, 2] > level[2] + 0.05 * np.ptp(at[:, 2]) / 1.7
        behind = (at[:, 1] > level[1] + 0.1) & (at[:, 2] > level[2] - 0.06)
        head = [i for name, i in self.bones.items() if name.startswith(("head", "eye"))]
        part[np.isin(bone, head) & (above | behind)] = PARTS.index("hair")
        return part

    def shape(self, rng: np.random.Generator) -> tuple[float, dict[str, float]]:
        """A random age in years, and the model's shape parameters."""
        torch.manual_seed(int(rng.integers(2**31)))
        low, high = (18.0, 80.0) if rng.random() < GROWN_UP else (4.0, 18.0)
        ages = torch.distributions.Uniform(torch.tensor(low), torch.tensor(high))
        age, numbers = SimpleShapeDistribution(self.model, ages).sample(1)
        return float(age), {name: float(value) for name, value in numbers.items()}

    def posed(
        self, posture: Posture, shape: dict[str, float], curl: tuple[float, float] = (0.0, 0.0)
    ) -> PosedBody:
        """The body in a posture, with the hip joint at the origin.

        Args:
            posture: joint orientations.
            shape: shape parameters, see `shape`.
            curl: radians, flexion of each finger joint of the left and right hand.
        """
        numbers = {name: torch.tensor([value]) for name, value in shape.items()}
        rest = torch.eye(4)[None, None].repeat(1, self.model.bone_count, 1, 1)
        with torch.no_grad():
            out = self.model(pose_parameters=rest, phenotype_kwargs=numbers)
            bones = out["rest_bone_poses"][0].numpy()
            turns = self._turns(posture, bones[:, :3, 3], curl)
            pose = np.tile(np.eye(4, dtype=np.float32), (len(turns), 1, 1))
            pose[:, :3, :3] = turns @ bones[:, :3, :3]
            posed = self.model(
                pose_parameters=torch.from_numpy(pose)[None],
                phenotype_kwargs=numbers,
                pose_parameterization="world-orient",
            )
            coco = self.coco(posed)[0].numpy()
        vertices, at_rest = posed["vertices"][0].numpy(), out["rest_vertices"][0].numpy()
        heads = posed["bone_poses"][0, :, :3, 3].numpy()
        points = {name: coco[i] for i, name in enumerate(self.coco.labels)}
        points["head_top"] = vertices[at_rest[:, 2].argmax()]
        points["neck"] = heads[self.bones["neck01"]]
        points["mid_hip"] = (points["left_hip"] + points["right_hip"]) / 2
        keypoints = np.stack([points[name] for name in HALPE26.keypoints])
        return PosedBody(
            vertices, keypoints.astype(np.float32), at_rest, float(np.ptp(at_rest[:, 2]))
        )

    def _turns(self, posture: Posture, at: np.ndarray, curl: tuple[float, float]) -> np.ndarray:
        """(B, 3, 3) rotation of each bone from rest; `at`: (B, 3) its head at rest."""
        own: dict[str, np.ndarray] = {"root": posture.hips, "head": posture.head}
        for i in range(5):  # the spine, bottom to top
            own[f"spine0{5 - i}"] = interpolate_rotation(posture.hips, posture.chest, (i + 1) / 5)
        for i in (1, 2, 3):
            own[f"neck0{i}"] = interpolate_rotation(posture.chest, posture.head, i / 4)
        for side, mark in enumerate("LR"):
            for first, base in ((0, posture.chest), (3, posture.hips)):
                turn = base
                for limb in range(first, first + 3):
                    start, end = (f"{name}.{mark}" for name in _BONES[LIMBS[limb]])
                    rest = normalize(at[self.bones[end]] - at[self.bones[start]])
                    turn = rotation_between(turn @ rest, posture.limbs[limb, side]) @ turn
                    own[start] = turn
            # A raised arm lifts the shoulder with it, by a quarter of the angle.
            start, end = (at[self.bones[f"{name}.{mark}"]] for name in _BONES["upper_arm"])
            hangs = posture.chest @ normalize(end - start)
            lifted = rotation_between(hangs, posture.limbs[0, side])
            own[f"shoulder01.{mark}"] = (
                interpolate_rotation(np.eye(3), lifted, 0.25) @ posture.chest
            )
        turns = np.zeros((len(self.bones), 3, 3))
        for name, i in self.bones.items():  # parents before children
            parent = int(self.model.bone_parents[i])
            turns[i] = own[name] if name in own else turns[parent]
            if name.startswith("finger") and not name.startswith("finger1"):
                side = "LR".index(name[-1])
                across = at[self.bones[f"finger5-1.{name[-1]}"]]
                across = normalize(across - at[self.bones[f"finger2-1.{name[-1]}"]])
                bent = curl[side] * (1 if side == 0 else -1)
                turns[i] = turns[parent] @ rotation_about(across, bent)
        return turns
