"""vitruvian-2d in PyTorch: FastPose's head on the backbone of BlazePose's landmark network.

As in FastPose: a pixel shuffle, two blocks of convolution and pixel shuffle, and a final 3x3
convolution. Unlike it, each block also gets the encoder's features of its own stride, and the last
one the decoder's.

Source: Fang et al. 2022, "AlphaPose" (dense upsampling convolution); the backbone is Apache-2.0,
see `vitruvian.exports.networks.blazepose`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitruvian.exports.networks.blazepose import BlazePoseBackbone

KEYPOINTS = 17
SIZE = (192, 256)  # width and height of the crop, pixels: FastPose's
STRIDE = 4  # pixels of the crop per cell of the heat maps
# Size of the backbone -> channels of a block's convolution, before the pixel shuffle. The lite
# network has 1.1 million parameters instead of 2.5, and 0.46 of the multiplications.
WIDTHS = {"full": 256, "lite": 160}


class Answer(NamedTuple):
    """Output of the network."""

    maps: Tensor  # (N, K, h, w) before the sigmoid
    features: Tensor  # (N, C, h, w) last features before the maps, for `Refine`


def vitruvian2d_input(crops: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 RGB -> (N, 3, H, W) 0..1, the input of BlazePose's backbone."""
    return crops.permute(0, 3, 1, 2).float() / 255


class Upsample(nn.Module):
    """Convolution, batch norm, ReLU and pixel shuffle by two."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C' / 4, 2h, 2w)."""
        return functional.pixel_shuffle(torch.relu(self.bn(self.conv(x))), 2)


class Vitruvian2D(nn.Module):
    """Backbone and head; of a size of `WIDTHS`."""

    def __init__(self, keypoints: int = KEYPOINTS, size: str = "full") -> None:
        super().__init__()
        self.backbone = BlazePoseBackbone(size)
        kind, width = self.backbone.size, WIDTHS[size]
        self.duc1 = Upsample(kind.top // 4 + kind.blocks[9].outside, width)
        self.duc2 = Upsample(width // 4 + kind.blocks[3].outside, width)
        self.features = width // 4 + kind.decoder
        self.conv_out = nn.Conv2d(self.features, keypoints, 3, 1, 1)
        # Initial bias: a probability of 0.01 in every cell.
        nn.init.normal_(self.conv_out.weight, std=0.001)
        nn.init.constant_(self.conv_out.bias, -4.6)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Answer:
        """(N, 3, 256, 192) RGB 0..1 -> maps (N, K, 64, 48) and features (N, C, 64, 48)."""
        seen = self.backbone(x)
        y = torch.cat([functional.pixel_shuffle(seen.stride32, 2), seen.stride16], 1)
        y = torch.cat([self.duc1(y), seen.stride8], 1)
        y = torch.cat([self.duc2(y), seen.decoded], 1)
        return Answer(self.conv_out(y), y)

    def head(self) -> list[nn.Parameter]:
        """Parameters of the head."""
        return [p for name, p in self.named_parameters() if not name.startswith("backbone.")]


def from_state(state: Mapping[str, Tensor]) -> Vitruvian2D:
    """The network of these weights, of the size that they have.

    Raises:
        KeyError, RuntimeError: they are those of another network.
    """
    width = len(state["duc1.conv.weight"])
    sizes = [size for size, own in WIDTHS.items() if own == width]
    network = Vitruvian2D(len(state["conv_out.bias"]), *sizes)
    network.load_state_dict(state)
    return network
