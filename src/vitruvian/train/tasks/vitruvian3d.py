"""Train vitruvian-3d: `python -m vitruvian.train.tasks.vitruvian3d --synth A --coco B --out C`.

MeTRAbs heads on the BlazePose backbone. Each batch mixes synthetic people with exact 3D ground
truth and real people with 2D labels and 3D pseudo-labels of a teacher. The final weights are an
exponential moving average. Interrupted runs resume from `state.pt` in the output folder.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import swa_utils

from vitruvian.body.skeletons import HALPE26
from vitruvian.decode.absolute import view_limits
from vitruvian.decode.volume import Volume
from vitruvian.exports.networks import blazepose, metrabs
from vitruvian.models import ready
from vitruvian.sources.threads import Prefetch
from vitruvian.train import losses3d, reconstruction
from vitruvian.train.data import people3d
from vitruvian.train.recipe import TomlRecipe
from vitruvian.train.schedule import (
    channels_last,
    depthwise_in_float32,
    ema,
    keep_freed_memory,
    learning_rate,
    rescale_weights,
    restore_weights,
)

FROZEN_BLOCKS = 3  # of the encoder, up to stride 8: most of its backward pass
# 192 pixels: a CPU trains on twice as many people as at 256. 2.5 m: arms above the head.
VOLUME = Volume(side=192, stride=16, depth=8, box=2.5)


@dataclass(frozen=True)
class Recipe3D(TomlRecipe):
    """Training parameters; a TOML file with the same names overrides them."""

    seed: int = 0
    steps: int = 15600
    head_steps: int = 300  # first steps, with a frozen backbone
    synthetic: int = 24  # synthetic people per batch
    real: int = 8
    head_rate: float = 1e-3
    backbone_rate: float = 2e-3  # relative to the weights of a channel: `rescale_weights`
    decay: float = 0.02  # weight decay
    average: float = 0.998  # decay of the moving average, per step
    shape: float = 3.0  # loss weight of root-relative poses
    direct: float = 1.0  # loss weight of the coordinates of the 2D heat maps
    heat: float = 0.02  # loss weight of the 2D heat maps
    absolute: float = 0.2  # loss weight of absolute positions
    absolute_from: int = 300  # first step with the absolute loss
    flat: float = 0.5  # loss weight of 2D labels of real people
    teacher: float = 1.5  # loss weight of the teacher's pseudo-labels


def initial_network_3d() -> metrabs.Metrabs:
    """The network before training: official backbone weights, untrained heads."""
    shape = metrabs.MetrabsShape.of("blazepose-full", len(HALPE26), VOLUME.depth, VOLUME.centered)
    network = metrabs.Metrabs(shape)
    nn.init.normal_(network.heatmap_heads.conv_final.weight, std=0.01)
    encoder = blazepose_encoder(network)
    official = blazepose.read(ready.pull("blazepose-full")[1]).backbone.state_dict()
    encoder.load_state_dict({k: v for k, v in official.items() if not k.startswith("lateral.")})
    return network


def blazepose_encoder(network: metrabs.Metrabs) -> blazepose.BlazePoseBackbone:
    """The BlazePose encoder of the network."""
    encoder = network.backbone[1].encoder
    assert isinstance(encoder, blazepose.BlazePoseBackbone)
    return encoder


def as_tensor(array: np.ndarray) -> Tensor:
    """Convert an array to a tensor."""
    return torch.from_numpy(np.ascontiguousarray(array))


def image_tensor(crops: np.ndarray) -> Tensor:
    """(N, S, S, 3) uint8 -> (N, 3, S, S) 0..1."""
    return as_tensor(crops).permute(0, 3, 1, 2).float() / 255


def predicted_joints(
    flat: Tensor, deep: Tensor, matrix: Tensor, volume: Volume, mix: Tensor | float
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode the maps: (N, K, 2) pixels, (N, K, 3) metres, (N, K, 3) metres from the camera."""
    xy, xyz = metrabs.places_of_maps(flat, deep, volume)
    low, high = view_limits(volume.side, volume.stride, centred=volume.centered)
    inside = ((xy >= low) & (xy <= high)).all(-1)
    found = reconstruction.reconstruct_absolute(
        reconstruction.camera_rays(xy, matrix), xyz, inside, mix=mix
    )
    return xy, xyz, found


def training_loss_3d(
    recipe: Recipe3D, flat: Tensor, deep: Tensor, made: people3d.Batch3D, volume: Volume, step: int
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch, and its terms."""
    matrix, target, truth = as_tensor(made.matrix), as_tensor(made.xy), as_tensor(made.xyz)
    known, solid, exact = as_tensor(made.flat), as_tensor(made.solid), as_tensor(made.exact)
    side, stride = volume.side, volume.stride
    xy, xyz, found = predicted_joints(flat, deep, matrix, volume, torch.rand(len(matrix)))
    low, high = view_limits(side, stride, border=0.25)
    inside = known & ((target >= low) & (target <= high)).all(-1)
    off = (xy - target).abs().mean(-1)
    direct = torch.where(inside, off, 0).sum() / inside.sum().clamp_min(1) * (losses3d.BOX / side)
    cells = (target - volume.start - 0.5) / stride
    heat = losses3d.softmax_heatmap_loss(flat, cells, inside)
    e, r = exact, ~exact
    at = {"centred": volume.centered, "stride": stride}
    shape = losses3d.root_relative_loss(found[e], truth[e], solid[e])
    seen = losses3d.projection_loss(found[e], truth[e], solid[e], matrix[e], side, **at)
    place = losses3d.absolute_loss(found[e], truth[e], solid[e])
    level = losses3d.projection_loss_2d(found[r], target[r], known[r], matrix[r], side, **at)
    taught = losses3d.teacher_loss(xyz[r], truth[r], solid[r])
    parts = {
        "shape": recipe.shape * shape,
        "seen": seen,
        "place": place * (recipe.absolute if step >= recipe.absolute_from else 0.0),
        "direct": recipe.direct * direct,
        "heat": recipe.heat * heat,
        "flat": recipe.flat * level,
        "taught": recipe.teacher * taught,
    }
    total = torch.stack(list(parts.values())).sum()
    return total, {name: float(part.detach()) for name, part in parts.items()}


def batches_3d(
    recipe: Recipe3D, made: list[people3d.Person3D], real: list[people3d.Person3D], first: int
) -> Iterator[people3d.Batch3D]:
    """Training batches from step `first` on: each depends on the seed and the step only."""
    augment = people3d.Augment3D()
    for step in range(first, recipe.steps):
        rng = np.random.default_rng([recipe.seed, step])
        some = [made[i] for i in rng.choice(len(made), recipe.synthetic, replace=False)]
        some += [real[i] for i in rng.choice(len(real), recipe.real, replace=False)]
        yield people3d.collate_3d(some, VOLUME.side, augment, rng)


def train_3d(
    recipe: Recipe3D,
    synth: list[Path],
    coco: Path,
    taught: Path,
    out: Path,
    minutes: float = math.inf,
) -> Path | None:
    """Train, or resume an interrupted run.

    Args:
        recipe: training parameters.
        synth: folders of synthetic people, see `vitruvian.train.synth.synth`.
        coco: folder of real people, see `vitruvian.train.data.people`.
        taught: pseudo-labels of the teacher, see `vitruvian.train.data.teacher`.
        out: folder for recipe.toml, log.jsonl, state.pt, weights.pt.
        minutes: stop after this time; the run can be resumed.

    Returns:
        Path of weights.pt, or None if stopped before the end.
    """
    out.mkdir(parents=True, exist_ok=True)
    recipe.write(out / "recipe.toml")
    torch.manual_seed(recipe.seed)
    network = channels_last(initial_network_3d())
    encoder = blazepose_encoder(network)
    for module in (
        encoder.stem,
        encoder.depthwise,
        encoder.project,
        *encoder.blocks[:FROZEN_BLOCKS],
    ):
        module.requires_grad_(False)
    rescale_weights(encoder)
    keep = ema(recipe.average)
    average = swa_utils.AveragedModel(network, multi_avg_fn=keep, use_buffers=True)
    depthwise_in_float32(network)
    keep_freed_memory()
    backbone = [p for p in encoder.parameters() if p.requires_grad]
    others = {id(p) for p in encoder.parameters()}
    head = [p for p in network.parameters() if id(p) not in others]
    optimiser = torch.optim.AdamW(
        [
            {"params": head, "most": recipe.head_rate},
            {"params": backbone, "most": recipe.backbone_rate, "weight_decay": 0.0},
        ],
        lr=recipe.head_rate,
        weight_decay=recipe.decay,
    )
    made = [person for folder in synth for person in people3d.read_synthetic(folder, "train")]
    real = people3d.read_with_teacher(coco, "train", taught)
    first, state_file = 0, out / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    began = time.monotonic()
    totals: dict[str, float] = {}
    network.train()
    step = first
    for step, some in enumerate(Prefetch(batches_3d(recipe, made, real, first)), first):
        only_head = step < recipe.head_steps
        for p in backbone:
            p.requires_grad_(not only_head)
        for group, since in zip(optimiser.param_groups, (0, recipe.head_steps), strict=True):
            group["lr"] = group["most"] * learning_rate(step, since, recipe.steps)
        x = image_tensor(some.crops).contiguous(memory_format=torch.channels_last)
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        with torch.autocast(x.device.type, torch.bfloat16):
            flat, deep = network(x)
        loss, parts = training_loss_3d(recipe, flat, deep, some, VOLUME, step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        average.update_parameters(network)
        totals = {name: totals.get(name, 0.0) + part for name, part in parts.items()}
        stop = time.monotonic() - began > 60 * minutes
        if (step + 1) % 100 == 0:
            line = {"step": step + 1, "seconds": round(time.monotonic() - began)}
            line |= {name: round(total / 100, 4) for name, total in totals.items()}  # type: ignore[misc]
            totals = {}
            print(json.dumps(line), flush=True)
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if (step + 1) % 200 == 0 or stop or step + 1 == recipe.steps:
            state = {
                "network": network.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step + 1,
            }
            torch.save(state, out / "fresh.pt")
            (out / "fresh.pt").replace(state_file)
        if stop:
            break
    if step + 1 < recipe.steps:
        return None
    return write_checkpoint(average.module, out / "weights.pt")


def write_checkpoint(network: nn.Module, file: Path) -> Path:
    """Write a trained network as a checkpoint that `vitruvian export` takes."""
    assert isinstance(network, metrabs.Metrabs)
    restore_weights(network)
    network.requires_grad_(False).eval()
    metrabs.save(network, file, VOLUME, HALPE26, fill=people3d.FILL)
    return file


def main() -> None:
    """Command-line entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--synth", type=Path, nargs="+", required=True)
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--taught", type=Path, required=True, help="from train.data.teacher")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    recipe = Recipe3D() if asked.recipe is None else Recipe3D.read(asked.recipe)
    done = train_3d(recipe, asked.synth, asked.coco, asked.taught, asked.out, asked.minutes)
    print(done or "stopped; run the same command again to resume")


if __name__ == "__main__":
    main()
