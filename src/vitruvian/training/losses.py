"""Loss functions of heat map networks.

Maps are (N, K, h, w) before the sigmoid, coordinates are in cells of the map (cell i is at i, as
in `vitruvian.decode.heatmap`), and a weight of 0 ignores a keypoint.

Source: Fang et al. 2022, "AlphaPose" (symmetric integral keypoint regression), the constants of
its released code where they differ from the paper's (specs/alphapose.md, 3 and 7); Hinton et al.
2015, "Distilling the Knowledge in a Neural Network".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

AMPLITUDE = 2.0  # of the symmetric gradient, cells: the released code. The paper says size / 8.


class SymmetricExpectation(torch.autograd.Function):
    """The mean position of a distribution over cells, with a gradient of constant magnitude.

    The true gradient of sum(i * p_i) with respect to p_i is i, and after normalisation i minus the
    mean: largest at cells far away, near 0 at the peak. Here it is -amplitude before the mean and
    +amplitude from the mean on, for every cell.
    """

    @staticmethod
    def forward(ctx: Any, p: Tensor, amplitude: float) -> Tensor:
        """(..., cells) probabilities -> (...) mean, in cells."""
        cells = torch.arange(p.shape[-1], dtype=p.dtype, device=p.device)
        mean = (p * cells).sum(-1)
        ctx.save_for_backward(mean, cells)
        ctx.amplitude = amplitude
        return mean

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        """(...) -> (..., cells)."""
        mean, cells = ctx.saved_tensors
        sign = 1.0 - 2.0 * (cells < mean[..., None]).to(mean.dtype)
        return upstream[0][..., None] * sign * ctx.amplitude, None


def expected_position(maps: Tensor, amplitude: float | None = AMPLITUDE) -> Tensor:
    """Keypoint positions of heat maps: two-step normalisation, then the mean position.

    Args:
        maps: (N, K, h, w) before the sigmoid.
        amplitude: of the symmetric gradient, cells; None: the true gradient.

    Returns:
        (N, K, 2) x and y, cells of the map. `vitruvian.decode.heatmap.integral` is the same in
        NumPy.
    """
    confidence = torch.sigmoid(maps.float())
    p = confidence / confidence.sum((-2, -1), keepdim=True).clamp_min(1e-6)
    marginals = p.sum(-2), p.sum(-1)  # over rows: along x; over columns: along y
    if amplitude is None:
        mean = [
            (line * torch.arange(line.shape[-1], dtype=p.dtype, device=p.device)).sum(-1)
            for line in marginals
        ]
    else:
        mean = [SymmetricExpectation.apply(line, amplitude) for line in marginals]
    return torch.stack(mean, -1)


def coordinate_l1_loss(xy: Tensor, target: Tensor, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """L1 distance of coordinates, in fractions of the map size, summed over keypoints.

    Args:
        xy: (N, K, 2) cells, see `expected_position`.
        target: (N, K, 2) cells.
        weight: (N, K).
        size: width and height of the map, cells.

    Returns:
        () mean over the N.
    """
    fraction = (xy - target).abs() / xy.new_tensor(size)
    return (fraction.sum(-1) * weight).sum() / len(xy)


def heatmap_mse_loss(maps: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Half the mean squared error of heat maps, FastPose's loss: no sigmoid.

    Args:
        maps: (N, K, h, w).
        target: (N, K, h, w), see `vitruvian.decode.heatmap.encode`.
        weight: (N, K), applied to both.
    """
    scale = weight[..., None, None]
    return 0.5 * functional.mse_loss(maps * scale, target * scale)


def heatmap_bce_loss(maps: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Binary cross entropy per cell, minus that of a perfect prediction; for integral maps.

    Squared error after the sigmoid has no gradient where the network is confidently wrong.

    Args:
        maps: (N, K, h, w) before the sigmoid.
        target: (N, K, h, w), 0..1.
        weight: (N, K).

    Returns:
        () sum over a map's cells, mean over weighted keypoints.
    """
    maps = maps.float()
    loss = functional.binary_cross_entropy_with_logits(maps, target, reduction="none")
    least = functional.binary_cross_entropy(target, target, reduction="none")
    each = (loss - least).sum((-2, -1))
    return (each * weight).sum() / weight.sum().clamp_min(1)


def whole_body_loss(
    maps: Tensor,
    target_maps: Tensor,
    target: Tensor,
    weight: Tensor,
    tail: int,
    amplitude: float | None = AMPLITUDE,
) -> Tensor:
    """Loss of whole-body networks: heat maps of body and feet, coordinates of face and hands.

    Args:
        maps: (N, K, h, w).
        target_maps: (N, K, h, w).
        target: (N, K, 2) cells.
        weight: (N, K).
        tail: number of last keypoints with a coordinate loss: 110 of 133 or 136, 42 of 68.
        amplitude: see `expected_position`.

    Returns:
        () 100 `heatmap_mse_loss` + 0.01 `coordinate_l1_loss`, the weights of the released code.
    """
    body = maps.shape[1] - tail
    height, width = maps.shape[-2:]
    heat = heatmap_mse_loss(maps[:, :body], target_maps[:, :body], weight[:, :body])
    xy = expected_position(maps[:, body:], amplitude)
    points = coordinate_l1_loss(xy, target[:, body:], weight[:, body:], (width, height))
    return 100 * heat + 0.01 * points


def distillation_loss(
    maps: Tensor, xy: Tensor, teacher_maps: Tensor, teacher_xy: Tensor, weight: Tensor
) -> Tensor:
    """Distillation loss: cross entropy of the heat maps, L1 of the coordinates.

    Args:
        maps: (N, K, h, w) the student's, before the sigmoid.
        xy: (N, K, 2) the student's, cells.
        teacher_maps: (N, K, h, w) the teacher's, before the sigmoid.
        teacher_xy: (N, K, 2) the teacher's, cells.
        weight: (N, K) confidence in the teacher, 0..1.

    Returns:
        () sum of both.
    """
    height, width = maps.shape[-2:]
    heat = heatmap_bce_loss(maps, torch.sigmoid(teacher_maps.float()).detach(), weight)
    points = coordinate_l1_loss(xy, teacher_xy.detach(), weight, (width, height))
    return heat + points
