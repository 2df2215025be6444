"""Train vitruvian-2d: `python -m vitruvian.train.tasks.vitruvian2d --data FOLDER --out FOLDER`.

First the head on a frozen backbone, then both; the first layers of the backbone, most of the work
on a CPU, stay frozen. The final weights are an exponential moving average. Interrupted runs resume
from `state.pt` in the output folder.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import swa_utils

from vitruvian.body.skeletons import COCO17
from vitruvian.exports.networks import blazepose
from vitruvian.exports.networks.refine import Refine
from vitruvian.exports.networks.vitruvian2d import KEYPOINTS, SIZE, STRIDE, Vitruvian2D
from vitruvian.models import ready
from vitruvian.train import losses
from vitruvian.train.data import people
from vitruvian.train.data.augment import Augment
from vitruvian.train.recipe import TomlRecipe
from vitruvian.train.schedule import (
    channels_last,
    ema,
    learning_rate,
    rescale_weights,
    restore_weights,
)
from vitruvian.train.score import as_tensor, validation_ap

FROZEN_BLOCKS = 3  # of the encoder, up to stride 8: two thirds of its backward pass


@dataclass(frozen=True)
class Recipe2D(TomlRecipe):
    """Training parameters; a TOML file with the same names overrides them."""

    seed: int = 0
    batch: int = 32
    start: str = ""  # a weights.pt of this network to start from instead of the official backbone
    stop: int = 0  # stop after this many epochs, resumable; 0: run to the end
    head_epochs: int = 4  # first epochs, with a frozen backbone
    epochs: int = 30  # total number of epochs
    head_rate: float = 1e-3
    backbone_rate: float = 2e-3  # relative to the weights of a channel: `rescale_weights`
    decay: float = 0.02  # weight decay
    average: float = 0.998  # decay of the moving average, per step
    sigma: float = 2.0  # of the target heat maps, cells
    point_weight: float = 1.0  # loss weight of the coordinates; the heat maps have 1
    symmetric: bool = True  # symmetric gradient of the coordinates
    teacher: str = ""  # a weights.pt of this network to distil from
    teacher_weight: float = 0.5  # loss weight of distillation; the ground truth has 1
    only_head: bool = False  # keep the backbone frozen throughout
    scale: float = 0.3
    turn_deg: float = 40.0
    half_body: float = 0.3
    proposal: float = 0.5
    refine_epochs: int = 3  # epochs of the refinement, after all others

    @property
    def augment(self) -> Augment:
        """Data augmentation of this recipe."""
        return Augment(
            scale=self.scale,
            turn_deg=self.turn_deg,
            half_body=self.half_body,
            proposal=self.proposal,
        )


def teacher_heatmaps(teacher: nn.Module, x: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, K, h, w) before the sigmoid: the mean over x and x mirrored.

    In bfloat16: precise enough for distillation.
    """
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        maps, other = teacher(x).maps.float(), teacher(x.flip(-1)).maps.float()
    return (maps + other[:, COCO17.mirror].flip(-1)) / 2


def training_loss_2d(
    recipe: Recipe2D, maps: Tensor, made: people.Batch2D, taught: Tensor | None = None
) -> Tensor:
    """Loss of heat maps and coordinates against ground truth and, if given, the teacher's maps."""
    amplitude = losses.AMPLITUDE if recipe.symmetric else None
    heat = losses.heatmap_bce_loss(maps, as_tensor(made.maps), as_tensor(made.known))
    xy = losses.expected_position(maps, amplitude)
    cells = (SIZE[0] // STRIDE, SIZE[1] // STRIDE)
    weight = as_tensor(made.weight)
    points = losses.coordinate_l1_loss(xy, as_tensor(made.xy), weight, cells)
    loss = heat + recipe.point_weight * points
    if taught is not None:
        # Where the teacher is confident: all keypoints, also unlabelled ones.
        sure = torch.sigmoid(taught).amax((-2, -1))
        at = losses.expected_position(taught)
        loss = loss + recipe.teacher_weight * losses.distillation_loss(maps, xy, taught, at, sure)
    return loss


def train_2d(recipe: Recipe2D, data: Path, out: Path, minutes: float = math.inf) -> float:
    """Train, or resume an interrupted run.

    Args:
        recipe: training parameters.
        data: see `people.read`.
        out: folder for recipe.toml, log.jsonl, state.pt, weights.pt.
        minutes: stop after this time; the run can be resumed.

    Returns:
        OKS-AP on the validation people.
    """
    out.mkdir(parents=True, exist_ok=True)
    recipe.write(out / "recipe.toml")
    torch.manual_seed(recipe.seed)
    network = channels_last(initial_network_2d())
    if recipe.start:
        network.load_state_dict(torch.load(recipe.start, weights_only=True))
    frozen = [network.backbone.stem, network.backbone.depthwise, network.backbone.project]
    frozen += list(network.backbone.blocks)[:FROZEN_BLOCKS]
    for module in frozen:
        module.requires_grad_(False)
    rescale_weights(network.backbone)
    average = swa_utils.AveragedModel(network, multi_avg_fn=ema(recipe.average), use_buffers=True)
    head = network.head()
    backbone = [p for p in network.backbone.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": head, "most": recipe.head_rate},
            {"params": backbone, "most": recipe.backbone_rate, "weight_decay": 0.0},
        ],
        lr=recipe.head_rate,
        weight_decay=recipe.decay,
    )
    training, validation = people.read(data, "train"), people.read(data, "val")
    steps = len(training) // recipe.batch
    teacher = None
    if recipe.teacher:
        teacher = load_trained(Path(recipe.teacher))
    first = 0
    state_file = out / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["epoch"]
    began = time.monotonic()
    ap = math.nan
    for epoch in range(first, recipe.stop or recipe.epochs):
        rng = np.random.default_rng([recipe.seed, epoch])
        only_head = recipe.only_head or epoch < recipe.head_epochs
        for p in backbone:
            p.requires_grad_(not only_head)
        network.train()
        total, start = 0.0, time.monotonic()
        made = people.shuffled_batches(
            training, recipe.batch, SIZE, STRIDE, recipe.augment, rng, recipe.sigma
        )
        for step, some in enumerate(made):
            at = epoch * steps + step
            for group, since in zip(optimiser.param_groups, (0, recipe.head_epochs), strict=True):
                group["lr"] = group["most"] * learning_rate(
                    at, since * steps, recipe.epochs * steps
                )
            x = as_tensor(some.crops).contiguous(memory_format=torch.channels_last)
            taught = None if teacher is None else teacher_heatmaps(teacher, x)
            loss = training_loss_2d(recipe, network(x).maps, some, taught)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 20.0)
            optimiser.step()
            average.update_parameters(network)
            total += float(loss.detach())
        average.eval()
        ap = validation_ap(average.module, validation)
        mean = validation_ap(average.module, validation, "integral")
        line = {
            "epoch": epoch + 1,
            "loss": total / steps,
            "ap": ap,
            "ap_integral": mean,
            "seconds": time.monotonic() - start,
        }
        print(json.dumps(line), flush=True)
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        state = {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "epoch": epoch + 1,
        }
        torch.save(state, out / "fresh.pt")
        (out / "fresh.pt").replace(state_file)
        if time.monotonic() - began > 60 * minutes:
            break
    final = average.module
    restore_weights(final)
    torch.save(final.state_dict(), out / "weights.pt")
    return ap


def train_refinement(recipe: Recipe2D, data: Path, out: Path) -> tuple[float, float]:
    """Train a refinement for the network that `train_2d` wrote to the same folder.

    Args:
        recipe: training parameters; `refine_epochs` passes over augmented people.
        data: see `people.read`.
        out: folder with weights.pt; refine.pt is written there.

    Returns:
        Mean L1 error of the validation keypoints, cells, before and after.
    """
    torch.manual_seed(recipe.seed)
    network = load_trained(out / "weights.pt")
    refiner = Refine(network.features, KEYPOINTS)
    optimiser = torch.optim.AdamW(refiner.parameters(), 1e-3, weight_decay=recipe.decay)
    training, validation = people.read(data, "train"), people.read(data, "val")
    steps = len(training) // recipe.batch
    for epoch in range(recipe.refine_epochs):
        rng = np.random.default_rng([recipe.seed, 1, epoch])
        made = people.shuffled_batches(training, recipe.batch, SIZE, STRIDE, recipe.augment, rng)
        for step, some in enumerate(made):
            optimiser.param_groups[0]["lr"] = 1e-3 * learning_rate(
                epoch * steps + step, 0, recipe.refine_epochs * steps
            )
            _, after = refinement_errors(network, refiner, some)
            optimiser.zero_grad(set_to_none=True)
            after.backward()
            optimiser.step()
    refiner.eval()
    with torch.no_grad():
        whole = people.collate_2d(validation, SIZE, STRIDE, None, np.random.default_rng(0))
        before, after = refinement_errors(network, refiner, whole)
    torch.save(refiner.state_dict(), out / "refine.pt")
    return float(before), float(after)


def refinement_errors(
    network: Vitruvian2D, refiner: Refine, some: people.Batch2D
) -> tuple[Tensor, Tensor]:
    """Mean L1 error of keypoints, cells, before and after the refinement."""
    with torch.no_grad():
        maps, features = network(
            as_tensor(some.crops).contiguous(memory_format=torch.channels_last)
        )
        xy = losses.expected_position(maps)
    weight, truth = as_tensor(some.weight), as_tensor(some.xy)

    def mean(points: Tensor) -> Tensor:
        return ((points - truth).abs().sum(-1) * weight).sum() / weight.sum().clamp_min(1)

    return mean(xy), mean(xy + refiner(features, xy))


def load_trained(weights: Path) -> Vitruvian2D:
    """Load the network with weights written by `train_2d`."""
    network = Vitruvian2D()
    network.load_state_dict(torch.load(weights, weights_only=True))
    return channels_last(network.eval().requires_grad_(False))


def initial_network_2d() -> Vitruvian2D:
    """The network before training: official backbone weights, untrained head."""
    network = Vitruvian2D()
    landmarks = ready.pull("blazepose-full")[1]
    network.backbone.load_state_dict(blazepose.read(landmarks).backbone.state_dict())
    return network


def main() -> None:
    """Command-line entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--refine", action="store_true", help="then train the refinement")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    recipe = Recipe2D() if asked.recipe is None else Recipe2D.read(asked.recipe)
    print(asdict(recipe))
    print({"ap": train_2d(recipe, asked.data, asked.out, asked.minutes)})
    if asked.refine:
        print({"cells": train_refinement(recipe, asked.data, asked.out)})


if __name__ == "__main__":
    main()
