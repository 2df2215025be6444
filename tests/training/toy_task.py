"""A tiny task for tests of the training loop: learn which way a picture is brighter.

`python toy_task.py OUT [name=value ...]` trains it; it waits between steps if WAIT (seconds) is
set, so that a test can kill it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vitruvian.training.fit import fit
from vitruvian.training.recipe import Recipe
from vitruvian.training.task import (
    Batch,
    DataReport,
    Figure,
    Forward,
    Group,
    LossTerm,
    sample_rng,
    shuffled,
)


@dataclass(frozen=True)
class ToyRecipe(Recipe):
    """Few steps, and several epochs."""

    batch: int = 8
    epochs: int = 4
    rate: float = 0.01
    decay: float = 0.01
    warmup: int = 3
    dropout: float = 0.0
    break_at: int = -1  # sample from which on the target is not a number


class Toy:
    """Both sums of the pixels, left and right, from noisy pictures."""

    lower_is_better = True

    def __init__(self, recipe: ToyRecipe, samples: int = 64) -> None:
        self.recipe, self.samples, self.exported = recipe, samples, 0

    def report(self) -> DataReport:
        return DataReport("toy", [f"{self.samples} pictures"], ["one is odd"])

    def order(self, epoch: int) -> Sequence[int]:
        return shuffled(self.samples, self.recipe.seed, epoch).tolist()

    def sample(self, index: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        rng = sample_rng(self.recipe.seed, epoch, index)
        image = np.random.default_rng(index).random((3, 8, 8), np.float32)
        image += rng.normal(0, 0.1, image.shape).astype(np.float32)
        target = np.array([image[..., :4].mean(), image[..., 4:].mean()])
        if 0 <= self.recipe.break_at <= index and epoch:
            target[:] = np.nan
        return image, target.astype(np.float32)

    def collate(self, samples: Sequence[Any]) -> Batch:
        images, targets = (np.stack(part) for part in zip(*samples, strict=True))
        return {"images": torch.from_numpy(images), "targets": torch.from_numpy(targets)}

    def draw(self, sample: Any) -> np.ndarray:
        return (sample[0].transpose(1, 2, 0).clip(0, 1) * 255).astype(np.uint8)

    def network(self) -> nn.Module:
        return nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Dropout(self.recipe.dropout)),
            nn.Linear(512, 2),
        )

    def groups(self, network: nn.Module) -> Sequence[Group]:
        assert isinstance(network, nn.Sequential)
        head = Group([*network[4].parameters()], self.recipe.rate, self.recipe.decay)
        return [head, Group([*network[0].parameters()], self.recipe.rate, since=1)]

    def loss(self, network: Forward, batch: Batch) -> Mapping[str, LossTerm]:
        if wait := os.environ.get("WAIT"):
            time.sleep(float(wait))
        off = network(batch["images"]).float() - batch["targets"]
        bright = batch["targets"] > 0.5
        return {
            "square": LossTerm(off.square().sum(), len(off)),
            "bright": LossTerm((off.abs() * bright).sum(), bright.sum()),
        }

    def validate(self, network: nn.Module) -> Mapping[str, Figure]:
        batch = self.collate([self.sample(index, 1000) for index in range(8)])
        off = (network(batch["images"]) - batch["targets"]).abs().mean()
        return {"error": Figure(float(off), float(off) - 0.01, float(off) + 0.01)}

    def pictures(self, network: nn.Module) -> Sequence[np.ndarray]:
        return [self.draw(self.sample(0, 0))]

    def export(self, network: nn.Module, file: Path) -> None:
        self.exported += 1
        file.write_bytes(b"exported")


if __name__ == "__main__":
    torch.set_num_threads(1)
    resume = (Path(sys.argv[1]) / "state.pt").exists()
    fit(Toy(ToyRecipe().with_settings(sys.argv[2:])), Path(sys.argv[1]), resume=resume)
