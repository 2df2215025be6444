"""Refine keypoints from the features around them: the attention of the project's own study.

A Gaussian around each detected keypoint weights the feature map, from which a small network
predicts an offset. Not the paper's pose-guided attention, which weights features for
re-identification (`vitruvian.exports.networks.reid`).

Source: the study that vitruvian starts from: attention exp(-((x-xi)^2 + (y-yi)^2) / (2 sigma^2)).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIGMA = 2.0  # of the attention, cells: as in the targets
INSIDE = 32  # channels


class Refine(nn.Module):
    """Predict offsets of keypoints from features and keypoints."""

    def __init__(self, features: int, keypoints: int, sigma: float = SIGMA) -> None:
        """Create the network.

        Args:
            features: channels of the feature map, C.
            keypoints: K.
            sigma: of the attention, cells.
        """
        super().__init__()
        self.sigma = sigma
        self.read = nn.Sequential(
            nn.Conv2d(features, INSIDE, 1), nn.ReLU(), nn.Conv2d(INSIDE, INSIDE, 3, 1, 1), nn.ReLU()
        )
        # Separate layers for each keypoint: a wrist is not a nose. The last starts at 0.
        self.first = nn.Parameter(torch.randn(keypoints, 3 * INSIDE, INSIDE) / (3 * INSIDE) ** 0.5)
        self.first_bias = nn.Parameter(torch.zeros(keypoints, INSIDE))
        self.last = nn.Parameter(torch.zeros(keypoints, INSIDE, 2))

    def attention(self, keypoints: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Gaussians around keypoints, and the distance of each cell from them.

        Args:
            keypoints: (N, K, 2) cells.
            height: of the map, cells.
            width: of the map, cells.

        Returns:
            (N, K, h, w) 0..1 and (N, K, 2, h, w) in sigmas.
        """
        x = torch.arange(width, dtype=keypoints.dtype, device=keypoints.device)
        y = torch.arange(height, dtype=keypoints.dtype, device=keypoints.device)
        across = (x - keypoints[..., :1]) / self.sigma  # (N, K, w)
        down = (y - keypoints[..., 1:]) / self.sigma  # (N, K, h)
        across, down = across[..., None, :], down[..., :, None]
        squares = across**2 + down**2
        flat = torch.zeros_like(squares)
        return torch.exp(-squares / 2), torch.stack([across + flat, down + flat], 2)

    def forward(self, features: Tensor, keypoints: Tensor) -> Tensor:
        """Predict the offsets.

        Args:
            features: (N, C, h, w).
            keypoints: (N, K, 2) cells.

        Returns:
            (N, K, 2) cells to add to the keypoints, at most two sigmas along each axis.
        """
        seen = self.read(features)
        weight, away = self.attention(keypoints, features.shape[-2], features.shape[-1])
        # The weighted mean of the features, and their weighted offsets along x and y.
        looks = torch.cat([weight[:, :, None], weight[:, :, None] * away], 2)  # (N, K, 3, h, w)
        looks = looks / (2 * torch.pi * self.sigma**2)
        pooled = torch.einsum("nkmhw,nchw->nkmc", looks, seen).flatten(2)
        hidden = torch.einsum("nkp,kpq->nkq", pooled, self.first) + self.first_bias
        offset = torch.einsum("nkq,kqd->nkd", torch.relu(hidden), self.last)
        return 2 * self.sigma * torch.tanh(offset)
