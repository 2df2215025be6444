"""vitruvian-3d's backbone for the MeTRAbs head: the encoder of BlazePose's landmark network.

Stride-32 features, upsampled by pixel shuffle, are concatenated with those of stride 16, followed
by two convolutions: stride 16, 256 channels. The head is in
`vitruvian.exports.networks.metrabs`.

Source: the backbone is Apache-2.0, see `vitruvian.exports.networks.blazepose`; the sub-pixel
convolution is that of Fang et al. 2022, "AlphaPose".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitruvian.exports.networks import blazepose
from vitruvian.exports.networks.efficientnet import size

TAP = 9  # index of the last encoder block of stride 16


@dataclass(frozen=True)
class BlazePoseEncoder:
    """BlazePose's encoder, full size, and a neck."""

    channels: int = 256
    stride: int = 16

    def build(self, centred: bool) -> nn.Module:
        """(N, 3, H, W) -1..1 -> (N, channels, H / 16, W / 16), with any alignment of cells."""
        del centred  # the neck learns it
        return Encoder(self.channels)

    @classmethod
    def infer(cls, tensors: Mapping[str, np.ndarray], prefix: str) -> BlazePoseEncoder | None:
        """Infer from the shapes in a checkpoint; None if it has another backbone."""
        if f"{prefix}neck.0.weight" not in tensors:
            return None
        return cls(size(tensors, f"{prefix}neck.0.weight"))


class Encoder(nn.Module):
    """The encoder, without the decoder, and the neck."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder = blazepose.BlazePoseBackbone("full")
        del self.encoder.lateral  # the decoder's
        kind = self.encoder.size
        both = kind.top // 4 + kind.blocks[TAP].outside
        layers: list[nn.Module] = []
        for inside in (both, channels):
            layers.append(nn.Conv2d(inside, channels, 3, 1, 1, bias=False))
            layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.ReLU())
        self.neck = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -1..1, H and W multiples of 32 -> (N, channels, H / 16, W / 16)."""
        _, _, stride8 = self.encoder.early((x + 1) / 2)
        stride16, stride32 = self.encoder.late(stride8)
        return self.neck(torch.cat([functional.pixel_shuffle(stride32, 2), stride16], 1))
