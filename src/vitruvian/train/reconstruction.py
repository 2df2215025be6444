"""`vitruvian.decode.absolute` with gradients: where joints are, for a loss to say how far off.

The gradient goes through the least squares: a joint's 2D and 3D move the whole body. A test holds
this to the NumPy one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitruvian.decode.absolute import LEAST, MIX, RIDGE


def camera_rays(xy: Tensor, matrix: Tensor) -> Tensor:
    """X / Z and Y / Z of pixels; a camera without a lens.

    Args:
        xy: (N, K, 2) pixels.
        matrix: (N, 3, 3) intrinsics, one a person: of the crop.

    Returns:
        (N, K, 2).
    """
    centred = xy - matrix[:, None, :2, 2]
    return torch.linalg.solve(matrix[:, None, :2, :2], centred[..., None])[..., 0]


def project_points(xyz: Tensor, matrix: Tensor, nearest: float = 1e-3) -> Tensor:
    """Pixels of what is in front of a camera without a lens.

    Args:
        xyz: (N, K, 3) metres.
        matrix: (N, 3, 3).
        nearest: metres; what is nearer, or behind, is divided by this, and its gradient goes on.

    Returns:
        (N, K, 2).
    """
    plane = xyz[..., :2] / xyz[..., 2:].clamp_min(nearest)
    return plane @ matrix[:, :2, :2].mT + matrix[:, None, :2, 2]


def perspective_translation(
    rays: Tensor, xyz: Tensor, weight: Tensor, *, batch_rms: bool = False
) -> Tensor:
    """What has to be added to `xyz`; see `vitruvian.decode.absolute.shift`.

    Args:
        rays: (N, K, 2).
        xyz: (N, K, 3) metres.
        weight: (N, K) 0..1.
        batch_rms: whether all people are scaled alike.

    Returns:
        (N, 3) metres, of the type of `xyz`; solved in float64.
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
    """By the sizes alone; see `vitruvian.decode.absolute.weak_shift`.

    Args:
        rays: (N, K, 2).
        xyz: (N, K, 3) metres.
        inside: (N, K) bool.

    Returns:
        (N, 3) metres; with fewer than two joints in view it means nothing.
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
    """Where the joints are, from the camera; see `vitruvian.decode.absolute.absolute_pose`.

    Args:
        rays: (N, K, 2).
        xyz: (N, K, 3) metres from anywhere.
        inside: (N, K) bool.
        mix: 0..1, the share of the 3D in joints in view; (N,) in training, where MeTRAbs draws
            it anew for each person.
        weak: see there.
        batch_rms: see there.

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
