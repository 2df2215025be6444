"""The refinement of vitruvian-2d as a task: offsets of keypoints from the features around them.

`vitruvian train --model vitruvian-2d-pga --set of=RUN` writes RUN/model-pga.onnx beside the network
of the run RUN, which `--model RUN,refine=pga` then uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vitruvian.errors import VitruvianError
from vitruvian.exports.export import export_checkpoint
from vitruvian.exports.networks.refine import Refine
from vitruvian.exports.networks.vitruvian2d import SIZE, STRIDE
from vitruvian.models.spec import RUN_NETWORK
from vitruvian.training import losses
from vitruvian.training.data.labelled import Data
from vitruvian.training.data.people import CropSample, collate_crops, training_sample
from vitruvian.training.task import Batch, Figure, Forward, Group, LossTerm
from vitruvian.training.tasks.crops import CELLS
from vitruvian.training.tasks.starts2d import load_trained
from vitruvian.training.tasks.vitruvian2d import Recipe2D, Vitruvian2DTask


@dataclass(frozen=True)
class RefinementRecipe(Recipe2D):
    """Training parameters of the refinement."""

    of: str = ""  # the run whose keypoints are refined
    epochs: int = 3
    clip: float = 0.0
    ema: float = 0.0


class RefinementTask(Vitruvian2DTask):
    """Offsets of the keypoints of a network that stays as it is."""

    lower_is_better = True

    def __init__(self, recipe: RefinementRecipe, model: str, data: Data) -> None:
        """Read the network and the people; see `Vitruvian2DTask`."""
        if not recipe.of:
            raise VitruvianError("no network to refine; give a run with --set of=RUN")
        super().__init__(recipe, model, data)
        self.base = load_trained(Path(recipe.of, "weights.pt"))
        if self.base.conv_out.out_channels != len(self.skeleton):
            raise VitruvianError(
                f"'{recipe.of}' has {self.base.conv_out.out_channels} keypoints, the data "
                f"{len(self.skeleton)}; give the data it was trained on"
            )

    def network(self) -> nn.Module:
        """See `Task`."""
        return Refine(self.base.features, len(self.skeleton))

    def groups(self, network: nn.Module) -> Sequence[Group]:
        """See `Task`."""
        return [Group(list(network.parameters()), self.recipe.rate, self.recipe.decay)]

    def errors(self, network: Forward, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Sums of the L1 errors of keypoints before and after, cells, and their number."""
        device = batch["xy"].device
        with torch.no_grad():
            maps, features = self.base.to(device)(batch["crops"].float() * (1 / 255))
            xy = losses.expected_position(maps)
        weight = batch["weight"]

        def total(points: Tensor) -> Tensor:
            return ((points - batch["xy"]).abs().sum(-1) * weight).sum()

        return total(xy), total(xy + network(features, xy).float()), weight.sum()

    def loss(self, network: Forward, batch: Batch) -> Mapping[str, LossTerm]:
        """Mean L1 error of keypoints after the refinement, cells."""
        _, after, number = self.errors(network, batch)
        return {"cells": LossTerm(after, number)}

    def validate(self, network: nn.Module) -> Mapping[str, Figure]:
        """Mean L1 error of keypoints after and before the refinement, cells."""
        device, still = next(network.parameters()).device, np.random.default_rng(0)
        sums = np.zeros(3)
        for start in range(0, len(self.kept), self.recipe.batch):
            some: list[CropSample] = [
                training_sample(self.kept[i], SIZE, STRIDE, None, still, self.skeleton)
                for i in range(start, min(start + self.recipe.batch, len(self.kept)))
            ]
            batch = collate_crops(some, CELLS, self.recipe.sigma)
            moved = {name: part.to(device) for name, part in batch.items()}
            with torch.no_grad():
                sums += [float(part) for part in self.errors(network, moved)]
        number = max(sums[2], 1)
        return {"cells": Figure(sums[1] / number), "cells before": Figure(sums[0] / number)}

    def pictures(self, network: nn.Module) -> Sequence[np.ndarray]:
        """None: they would look the same."""
        return []

    def export(self, network: nn.Module, file: Path) -> None:
        """Write the network, also beside the one whose keypoints it refines."""
        weights = file.with_name("weights.pt")
        torch.save(network.state_dict(), weights)
        assert isinstance(self.recipe, RefinementRecipe)
        beside = Path(self.recipe.of, RUN_NETWORK)
        for out in (file, beside.with_name(f"{beside.stem}-pga.onnx")):
            export_checkpoint(weights, out, skeleton=self.skeleton)
