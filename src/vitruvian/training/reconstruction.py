"""`vitruvian.decode.absolute` in PyTorch, differentiable: absolute joint positions for losses.

The gradient flows through the least squares solution: a joint's 2D and 3D move the whole body.
A test checks this against the NumPy version.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitruvian.decode.absolute import LEAST, MIX, RIDGE


def camera_rays(xy: Tensor, matrix: Tensor) -> Tensor:
    """X / Z and Y / Z of pixels; a pinhole camera without distortion.

    Args:
        xy: (N, K, 2) pixels.
        matrix: (N, 3, 3) intrinsics of the crops, one per person.

    Returns:
        (N, K, 2).
    """
    centred = xy - matrix[:, None, :2, 2]
    return torch.linalg.solve(matrix[:, None, :2, :2], centred[..., None])[..., 0]


def project_points(xyz: Tensor, matrix: Tensor, nearest: float = 1e-3) -> Tensor:
    """Project points in front of a pinhole camera to pixels.

    Args:
        xyz: (N, K, 3) metres.
        matrix: (N, 3, 3).
        nearest: metres; smaller or negative depths are clamped to this, without stopping gradients.

    Returns:
        (N, K, 2).
    """
    plane = xyz[..., :2] / xyz[..., 2:].clamp_min(nearest)
    return plane @ matrix[:, :2, :2].mT + matrix[:, None, :2, 2]


def perspective_translation(
    rays: Tensor, xyz: Tensor, weight: Tensor, *, batch_rms: bool = False
) -> Tensor:
    """Translation to add to `xyz`; see `vitruvian.decode.absolute.shift`.

    Args:
        rays: (N, K, 2).
        xyz: (N, K, 3) metres.
        weight: (N, K) 0..1.
        batch_rms: whether all people share one scale.

    Returns:
        (N, 3) metres, dtype of `xyz`; solved in float64.
    """
    n, x = rays.double(), xyz.double()
    b = n * x[..., 2:] - x[..., :2]
    over = (0, 1, 2) if batch_rms else (1, 2)
    ray_rms = n.square().mean(over, keepdim=True).clamp_min(1e-18).sqrt()
    shift_rms = b.square().mean(over, keepdim=True).clamp_min(1e-18).sqrt()
    n, b = n / ray_rms, b / shift_rms
    square = (weight.double() + LEAST).square()
    total = square.sum(1)
    cross = -(square[..., None] * n).sum(1)
    corner = (square * n.square().sum(-1)).sum(1)
    none = torch.zeros_like(total)
    rows = [(total, none, cross[:, 0]), (none, total, cross[:, 1])]
    rows.append((cross[:, 0], cross[:, 1], corner))
    left = torch.stack([torch.stack(row, -1) for row in rows], -2)
    right = (square[..., None] * b).sum(1)
    right = torch.cat([right, -(square * (n * b).sum(-1)).sum(1, keepdim=True)], -1)
    scaled = torch.linalg.solve(
        left + RIDGE * torch.eye(3, dtype=left.dtype, device=left.device), right
    )
    unit = torch.cat([shift_rms, shift_rms, shift_rms / ray_rms], -1).reshape(-1, 3)
    return (scaled * unit).to(xyz.dtype)


def weak_perspective_translation(rays: Tensor, xyz: Tensor, inside: Tensor) -> Tensor:
    """Translation by weak perspective; see `vitruvian.decode.absolute.weak_shift`.

    Args:
        rays: (N, K, 2).
        xyz: (N, K, 3) metres.
        inside: (N, K) bool.

    Returns:
        (N, 3) metres; meaningless with fewer than two joints in view.
    """
    weight = inside.to(xyz.dtype)[..., None]
    count = weight.sum(1).clamp_min(1)
    ray_mean, xyz_mean = (rays * weight).sum(1) / count, (xyz * weight).sum(1) / count

    def spread(values: Tensor, mean: Tensor) -> Tensor:
        off = ((values - mean[:, None]) * weight).square().sum((1, 2))[:, None]
        return (off / (2 * count) + 1e-10).sqrt().clamp_min(1e-5)

    depth = spread(xyz[..., :2], xyz_mean[:, :2]) / spread(rays, ray_mean)
    return torch.cat([ray_mean, torch.ones_like(depth)], -1) * depth - xyz_mean


def reconstruct_absolute(
    rays: Tensor,
    xyz: Tensor,
    inside: Tensor,
    *,
    mix: Tensor | float = MIX,
    weak: bool = False,
    batch_rms: bool = False,
) -> Tensor:
    """Absolute joint positions; see `vitruvian.decode.absolute.absolute_pose`.

    Args:
        rays: (N, K, 2).
        xyz: (N, K, 3) metres, any origin.
        inside: (N, K) bool.
        mix: 0..1, weight of 3D for joints in view; (N,) in training, where MeTRAbs draws it
            anew for each person.
        weak: see `absolute_pose`.
        batch_rms: see `absolute_pose`.

    Returns:
        (N, K, 3) metres.
    """
    if weak:
        by = weak_perspective_translation(rays, xyz, inside)
    else:
        by = perspective_translation(rays, xyz, inside.to(xyz.dtype), batch_rms=batch_rms)
    placed = xyz + by[:, None]
    on_ray = torch.cat([rays, torch.ones_like(rays[..., :1])], -1) * placed[..., 2:]
    share = torch.as_tensor(mix, dtype=xyz.dtype, device=xyz.device).reshape(-1, 1, 1)
    return torch.where(inside[..., None], share * placed + (1 - share) * on_ray, placed)
