"""Train `Sight`, which tells visible from hidden hands; see `vitruvian.training.tasks.pockets`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.crop import Crop
from vitruvian.models import pockets
from vitruvian.models.pockets import SIDES, Arms
from vitruvian.network.open import Network
from vitruvian.network.openvino import OpenVino
from vitruvian.training.data.cover import AROUND, WIDE, covered_patch
from vitruvian.training.data.hands import LabelledPerson, labelled_pose, wrist_to_hip

NEAR, NONE = 0.6, 0.75  # torso lengths from wrist to hip: hand at the hip; no hand at the hip
LEAST = 42.0  # minimum body scale of training samples, pixels


def widen_crop(crop: Crop) -> Crop:
    """Crop of a patch with its margin."""
    shift = np.array([[1, 0, -AROUND[0]], [0, 1, -AROUND[1]], [0, 0, 1]])
    return replace(crop, from_input=crop.from_input @ shift, size=WIDE)


def sight_patches(
    people: Iterable[LabelledPerson], rng: np.random.Generator
) -> dict[str, list[np.ndarray]]:
    """(208, 160, 3) uint8 patches with margin, by kind; see `cover.covered_patch`."""
    kinds: dict[str, list[np.ndarray]] = {"near": [], "far": [], "none": []}
    for person in people:
        poses = labelled_pose(person)
        arms = Arms.of(poses)
        away = np.nan_to_num(wrist_to_hip(person.points))
        if not arms.scale[0, 0] >= LEAST:
            continue
        frame = Frame.read(person.file)
        visible = [[person.points[COCO17[f"{side}_wrist"], 2] == 2 for side in SIDES]]
        there = np.isfinite(arms.xy).all(axis=(2, 3)) & np.array(visible)
        bare = np.full((1, 2), bool((away > NONE).all())) & np.isfinite(arms.xy).all(axis=(2, 3))
        pretended = replace(arms, xy=hanging_arms(arms, rng))
        for where, known in ((arms, there), (pretended, bare)):
            for crop, side in zip(pockets.patches(where, known), np.nonzero(known)[1], strict=True):
                image = widen_crop(crop).cut(frame.rgb, antialias=1)
                kind = "near" if away[side] < NEAR else "far"
                kinds["none" if where is pretended else kind].append(
                    np.ascontiguousarray(image[:, ::-1] if side else image)
                )
    return kinds


def hanging_arms(arms: Arms, rng: np.random.Generator) -> np.ndarray:
    """(N, 2, 4, 2) arms that hang down, wrists at about the height of pockets."""
    xy, scale = arms.xy.copy(), arms.scale[:, None]
    noise = rng.normal(0, 0.12, (*xy.shape[:2], 2, 2)).astype(np.float32)
    xy[:, :, pockets.WRIST] = xy[:, :, pockets.HIP] + noise[:, :, 0] * scale
    above = xy[:, :, pockets.WRIST] - 0.5 * scale * arms.down
    xy[:, :, pockets.ELBOW] = above + noise[:, :, 1] * scale
    return xy


def train_sight(
    kinds: dict[str, list[np.ndarray]],
    backbone: Path,
    steps: int,
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> Any:
    """Train `Sight` to tell visible from covered hands.

    Args:
        kinds: see `sight_patches`.
        backbone: pose_landmark_full.tflite, the initial weights.
        steps: training steps, each a batch of 32 patches: 20 near, 6 far, 6 none.
        seed: random seed.
        report: called with a log line every 50 steps.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from vitruvian.exports.networks import blazepose
    from vitruvian.exports.networks.sight import Sight
    from vitruvian.training.schedule import learning_rate, rescale_weights, restore_weights

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Sight(blazepose.read(backbone))
    rescale_weights(network.blocks)
    for parameter in network.frozen():
        parameter.requires_grad_(False)
    groups = [
        {"params": network.head(), "lr": 2e-3},
        {"params": list(network.blocks.parameters()), "lr": 3e-4},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: learning_rate(step, 0, steps)
    )
    losses: list[float] = []
    network.train()
    for step in range(steps):
        rows = [
            covered_patch(kinds[kind][rng.integers(len(kinds[kind]))], kind, rng)
            for kind, number in (("near", 20), ("far", 6), ("none", 6))
            for _ in range(number)
        ]
        patches = torch.from_numpy(np.stack([row[0] for row in rows]))
        seen = torch.tensor([[row[1]] for row in rows])
        loss = binary_cross_entropy_with_logits(network(patches), seen)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            report(f"step {step + 1} of {steps}: loss {np.mean(losses[-50:]):.3f}")
    restore_weights(network)
    return network.eval()


def export_sight(network: Any, out: Path) -> None:
    """Export to ONNX with float16 weights.

    Raises:
        VitruvianError: outputs of the runtime and of PyTorch differ.
    """
    import torch

    from vitruvian.exports.export import to_onnx
    from vitruvian.exports.graph import Graph

    network.half().float()  # round the weights to float16 as the file does
    shape = (2, pockets.PATCH[1], pockets.PATCH[0], 3)
    patches = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0))
    patches = patches.to(torch.uint8)

    def check(run: Network, name: str) -> float:
        with torch.no_grad():
            return float(np.abs(run(patches.numpy())[0] - network(patches).numpy()).max())

    axes = {"patches": {0: "hands"}, "seen": {0: "hands"}}
    about = {"family": "sight"}
    made = Graph(
        "sight", network, about, (patches,), ("patches",), ("seen",), axes, "log odds", check
    )
    out.write_bytes(to_onnx(made, half=True).SerializeToString())
    apart = made.check(OpenVino(out), "openvino")
    if apart > 0.01:
        raise VitruvianError(f"'{out}': OpenVINO's log odds are {apart:.3f} from PyTorch's")
