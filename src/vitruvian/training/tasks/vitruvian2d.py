"""vitruvian-2d as a task of the training loop: heat maps of single people, any skeleton.

First the head on a frozen backbone, then both; the first layers of the backbone, most of the work
on a CPU, stay frozen. `vitruvian train --model vitruvian-2d` starts from the released weights,
whose keypoints are kept where they have the same names; with `start = "backbone"`, as the released
ones did, from the backbone of BlazePose's official network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError, shown, unknown
from vitruvian.exports.export import export_checkpoint
from vitruvian.exports.networks.vitruvian2d import SIZE, WIDTHS, Vitruvian2D
from vitruvian.models.ready import is_network_file
from vitruvian.training import losses
from vitruvian.training.data.labelled import Data
from vitruvian.training.data.people import (
    person_crop_of,
)
from vitruvian.training.schedule import rescale_weights
from vitruvian.training.task import (
    Batch,
    Forward,
    Group,
    LossTerm,
)
from vitruvian.training.tasks.crops import CELLS, CropRecipe, CropTask
from vitruvian.training.tasks.starts2d import (
    frozen_first_layers,
    images,
    load_trained,
    predict_keypoints,
    teacher_network,
    with_official_backbone,
    with_released_weights,
)

STARTS = ("released", "backbone")


@dataclass(frozen=True)
class Recipe2D(CropRecipe):
    """Training parameters of vitruvian-2d."""

    start: str = "released"  # or backbone; or a weights.pt of an earlier run
    size: str = "full"  # or lite, half of it: with start backbone
    head_epochs: int = 4  # first epochs, with a frozen backbone
    only_head: bool = False  # keep the backbone frozen throughout
    backbone_rate: float = 2e-3  # relative to the weights of a channel: `rescale_weights`
    point_weight: float = 1.0  # loss weight of the coordinates; the heat maps have 1
    symmetric: bool = True  # symmetric gradient of the coordinates
    teacher: str = ""  # vitruvian-2d, or a weights.pt of it: heat maps to distil from
    teacher_weight: float = 0.5  # loss weight of distillation; the ground truth has 1


class Vitruvian2DTask(CropTask[Recipe2D]):
    """Heat maps of single people."""

    def __init__(self, recipe: Recipe2D, model: str, data: Data) -> None:
        """Read the people.

        Args:
            recipe: training parameters.
            model: "vitruvian-2d", "vitruvian-2d-lite", or the network of an earlier run.
            data: labelled people.
        """
        super().__init__(recipe, model, data)
        self.teacher = teacher_network(recipe.teacher) if recipe.teacher else None

    def network(self) -> nn.Module:
        """See `Task`."""
        start, size = self.recipe.start, self.recipe.size
        if start == "released" and is_network_file(self.model):  # of an earlier run
            start = str(Path(self.model).with_name("weights.pt"))
        if size not in WIDTHS:
            raise unknown("size of vitruvian-2d", size, WIDTHS)
        if start == "released" and size != "full":
            raise VitruvianError(
                f"there are no released weights of size {size}; start from BlazePose's with --set "
                "start=backbone"
            )
        if start == "backbone":
            network = with_official_backbone(len(self.skeleton), size)
        elif start == "released":
            some = range(0, len(self.people), max(1, len(self.people) // 64))
            crops = np.stack([person_crop_of(self.people[i], SIZE) for i in some])
            network = with_released_weights(self.skeleton, images(crops))
        elif Path(start).is_file():
            network = load_trained(Path(start)).requires_grad_(True)
            if network.conv_out.out_channels != len(self.skeleton):
                raise VitruvianError(
                    f"'{shown(start, 80)}' has {network.conv_out.out_channels} keypoints, the "
                    f"data {len(self.skeleton)}; start from the released weights"
                )
        else:
            raise VitruvianError(
                f"start is '{shown(start, 80)}', want {' or '.join(STARTS)} or a weights.pt"
            )
        rescale_weights(frozen_first_layers(network).backbone)
        return network

    def groups(self, network: nn.Module) -> Sequence[Group]:
        """Head and backbone."""
        assert isinstance(network, Vitruvian2D)
        recipe = self.recipe
        backbone = [p for p in network.backbone.parameters() if p.requires_grad]
        groups = [Group(network.head(), recipe.rate, recipe.decay)]
        if not recipe.only_head:
            groups.append(Group(backbone, recipe.backbone_rate, since=recipe.head_epochs))
        return groups

    def loss(self, network: Forward, batch: Batch) -> Mapping[str, LossTerm]:
        """Heat maps and coordinates against the labels and, if given, the teacher's."""
        recipe = self.recipe
        x = batch["crops"].float() * (1 / 255)
        maps = network(x).maps.float()
        weight, known = batch["weight"], batch["known"]
        xy = losses.expected_position(maps, losses.AMPLITUDE if recipe.symmetric else None)
        count = len(maps)
        heat = losses.heatmap_bce_loss(maps, batch["maps"], known)
        points = losses.coordinate_l1_loss(xy, batch["xy"], weight, CELLS)
        terms = {
            "heat": LossTerm(heat * known.sum().clamp_min(1), known.sum()),
            "points": LossTerm(recipe.point_weight * points * count, count),
        }
        if self.teacher is not None:
            # Where the teacher is confident: all keypoints, also unlabelled ones.
            taught = teacher_heatmaps(self.teacher.to(x.device), x, self.skeleton)
            sure = torch.sigmoid(taught).amax((-2, -1))
            at = losses.expected_position(taught)
            loss = losses.distillation_loss(maps, xy, taught, at, sure)
            terms["taught"] = LossTerm(recipe.teacher_weight * loss * count, count)
        return terms

    def predict(self, network: nn.Module, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `CropTask`."""
        assert isinstance(network, Vitruvian2D)
        return predict_keypoints(network, crops)

    def export(self, network: nn.Module, file: Path) -> None:
        """Write the network, and the weights.pt that it is made of."""
        weights = file.with_name("weights.pt")
        torch.save(network.state_dict(), weights)
        export_checkpoint(weights, file, skeleton=self.skeleton)


def teacher_heatmaps(teacher: nn.Module, x: Tensor, skeleton: Skeleton) -> Tensor:
    """(N, 3, H, W) -> (N, K, h, w) before the sigmoid: the mean over x and x mirrored.

    In bfloat16: precise enough for distillation.
    """
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16):
        maps, other = teacher(x).maps.float(), teacher(x.flip(-1)).maps.float()
    return (maps + other[:, skeleton.mirror.tolist()].flip(-1)) / 2
