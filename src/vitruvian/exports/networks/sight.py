"""Hand visibility at the end of a forearm: a small network on the BlazePose backbone.

The encoder's first blocks, down to stride 16, initialised with the official weights, and a linear
layer over all cells of a patch. See `vitruvian.models.pockets`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitruvian.exports.networks.blazepose import LandmarkNetwork, relu6

BLOCKS = 7  # of the encoder, the last two of stride 16
CELLS = (8, 6)  # of a patch of 128 x 96 pixels at stride 16
WIDTH = 24  # channels per cell


class Sight(nn.Module):
    """(N, 128, 96, 3) uint8 RGB -> (N, 1) log odds that the hand is visible."""

    def __init__(self, whole: LandmarkNetwork) -> None:
        super().__init__()
        backbone = whole.backbone
        self.stem, self.depthwise = backbone.stem, backbone.depthwise
        self.project = backbone.project
        self.blocks = nn.ModuleList(list(backbone.blocks)[:BLOCKS])
        channels = backbone.size.blocks[BLOCKS - 1].outside
        self.norm = nn.BatchNorm2d(channels)
        self.squeeze = nn.Conv2d(channels, WIDTH, 1)
        self.drop = nn.Dropout(0.3)
        self.answer = nn.Linear(WIDTH * CELLS[0] * CELLS[1], 1)
        nn.init.normal_(self.answer.weight, std=0.01)
        nn.init.zeros_(self.answer.bias)

    def frozen(self) -> list[nn.Parameter]:
        """Frozen parameters: everything before the blocks."""
        parts = (self.stem, self.depthwise, self.project)
        return [parameter for part in parts for parameter in part.parameters()]

    def head(self) -> list[nn.Parameter]:
        """Randomly initialised parameters."""
        parts = (self.norm, self.squeeze, self.answer)
        return [parameter for part in parts for parameter in part.parameters()]

    def forward(self, patches: Tensor) -> Tensor:
        """See the class."""
        x = patches.permute(0, 3, 1, 2).float() / 255
        x = self.project(relu6(self.depthwise(relu6(self.stem(x)))))
        for block in self.blocks:
            x = block(x)
        x = torch.relu(self.squeeze(self.norm(x)))
        return self.answer(self.drop(x.flatten(1)))
