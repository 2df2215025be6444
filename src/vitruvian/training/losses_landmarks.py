"""Losses of BlazePose's landmark network: labels where there are any, else a frozen teacher.

Source: Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking": heat maps and
offsets, which train the features that a regressor then uses; Hinton et al. 2015, "Distilling the
Knowledge in a Neural Network". The paper gives no formulas: those here are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from vitruvian.exports.networks.blazepose import POINTS, SIDE, LandmarkOutputs
from vitruvian.models.blazepose import PUBLIC
from vitruvian.training.losses import heatmap_bce_loss
from vitruvian.training.task import LossTerm

REACH = 2  # cells to each side of a landmark whose offsets are learned
# Pixels: mean distance of the teacher's landmarks from the labels at which what it says of the
# others counts exp(-1). A tenth of the body.
AGREES = 20.0
# Presence of somebody whose landmarks are all wrong, above the pipeline's threshold: presence is
# also the score that poses are ranked by.
LEAST = 0.6


@dataclass(frozen=True)
class LandmarkWeights:
    """Weights of the loss terms."""

    heat: float = 1.0
    offsets: float = 1.0
    points: float = 10.0
    depth: float = 3.0
    seen: float = 0.2
    there: float = 0.2
    world: float = 10.0  # of metres of the teacher
    metres: float = 50.0  # of metres that are labelled
    mask: float = 1.0
    kept: float = 0.5  # of landmarks without labels, relative to those with


class Supervised(NamedTuple):
    """Outputs in training: of the network, and offsets."""

    landmarks: LandmarkOutputs  # masks of some crops only, the first
    offsets: Tensor  # (N, 78, 64, 64) from each cell to 39 landmarks, x y in cells


def landmark_losses(
    own: Supervised, taught: LandmarkOutputs, batch: Mapping[str, Tensor], weights: LandmarkWeights
) -> dict[str, LossTerm]:
    """Loss terms of a batch, see `vitruvian.training.data.aligned.collate_aligned`.

    Heat maps, offsets, and landmarks in the crop (L1, in sides) learn from labels, and landmarks
    without from the teacher, as far as it agrees with the labels. Metres learn from labels (mean
    squared) or else from the teacher (distance); visibility and presence (cross entropy) likewise;
    depth (L1) and masks (cross entropy) from the teacher. Presence of a labelled body is learned as
    how near its landmarks are to the labels; elsewhere it is the teacher's.

    Args:
        own: of the network.
        taught: of the teacher, for the same crops.
        batch: labels.
        weights: of the terms.
    """
    n = len(batch["xy"])
    got, want = (each.points.float().reshape(n, POINTS, 5) for each in (own.landmarks, taught))
    known, person = batch["known"], batch["person"][:, None]
    away = torch.linalg.vector_norm(want[..., :2] - batch["xy"], dim=-1)
    agrees = torch.exp(-(away * known).sum(1) / known.sum(1).clamp_min(1) / AGREES)
    trust = person * agrees[:, None] * (known == 0)
    trust = weights.kept * trust * torch.sigmoid(want[..., 4])

    use = known + trust
    xy = torch.where(known[..., None] > 0, batch["xy"], want[..., :2])
    points = ((got[..., :2] - xy).abs().sum(-1) * use).sum() / SIDE
    known_map = known[..., None, None] > 0
    target = torch.where(known_map, batch["maps"], torch.sigmoid(taught.maps.float()))
    heat = heatmap_bce_loss(own.landmarks.maps, target, use)
    offsets, cells = offset_loss(own.offsets, batch["xy"], known)
    depth = ((got[..., 2] - want[..., 2]).abs() * person).sum() / SIDE

    visible, present = torch.sigmoid(want[:, :PUBLIC, 3]), torch.sigmoid(want[:, :PUBLIC, 4])
    visible = torch.where(batch["seen"] > 0, batch["visible"], visible)
    inside = ((batch["xy"] >= 0) & (batch["xy"] < SIDE)).all(-1)[:, :PUBLIC].float()
    present = torch.where(known[:, :PUBLIC] > 0, inside, present)
    both = torch.stack([visible, present], -1)
    seen = (bce(got[:, :PUBLIC, 3:], both, reduction="none").sum(-1) * person).sum()
    off = torch.linalg.vector_norm(got[..., :2].detach() - batch["xy"], dim=-1)
    right = torch.exp(-(off * known).sum(1) / known.sum(1).clamp_min(1) / AGREES)[:, None]
    somebody = torch.sigmoid(taught.presence.float())
    somebody = torch.where(person > 0, LEAST + (1 - LEAST) * right, somebody)
    there = bce(own.landmarks.presence.float(), somebody, reduction="sum")

    metres, kept = (
        each.world.float().reshape(n, POINTS, 3)[:, :PUBLIC] for each in (own.landmarks, taught)
    )
    solid = batch["solid"]
    apart = torch.linalg.vector_norm(metres - kept, dim=-1) * person * (1 - solid)
    wrong = (metres - batch["xyz"]).square().sum(-1) * solid
    masks = own.landmarks.mask.float()
    mask = bce(masks, torch.sigmoid(taught.mask.float()), reduction="sum")
    people, used = person.sum(), use.sum()
    return {
        "heat": LossTerm(weights.heat * heat * used.clamp_min(1), used),
        "offsets": LossTerm(weights.offsets * offsets, cells),
        "points": LossTerm(weights.points * points, used),
        "depth": LossTerm(weights.depth * depth, people * POINTS),
        "seen": LossTerm(weights.seen * seen, people * PUBLIC),
        "there": LossTerm(weights.there * there, float(n)),
        "world": LossTerm(weights.world * apart.sum(), people * PUBLIC),
        "metres": LossTerm(weights.metres * wrong.sum(), solid.sum()),
        "mask": LossTerm(weights.mask * mask, float(masks.numel())),
    }


def offset_loss(offsets: Tensor, xy: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """L1 of the offsets in the cells around each known landmark, `REACH` to each side.

    Args:
        offsets: (N, 2 K, h, w) x y of each landmark, in cells from each cell.
        xy: (N, K, 2) pixels of the input.
        known: (N, K) 0..1, weight of the landmark.

    Returns:
        () the sum, in cells, and the weight of all cells.
    """
    n, k = known.shape
    height, width = offsets.shape[-2:]
    at = xy * (width / SIDE)
    steps = torch.arange(-REACH, REACH + 1, device=xy.device)
    around = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).reshape(-1, 2)
    cells = at.round()[:, :, None] + around  # (N, K, 25, 2)
    size = torch.tensor([width, height], device=xy.device)
    use = ((cells >= 0) & (cells < size)).all(-1) * known[..., None]
    cells = torch.minimum(cells.clamp_min(0), size - 1)
    flat = (cells[..., 1] * width + cells[..., 0]).long()[:, :, None].expand(-1, -1, 2, -1)
    found = offsets.float().reshape(n, k, 2, height * width).gather(-1, flat).transpose(-1, -2)
    off = (found - (at[:, :, None] - cells)).abs().sum(-1)
    return (off * use).sum(), use.sum()
