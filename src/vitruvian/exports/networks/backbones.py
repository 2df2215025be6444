"""Other backbones for the MeTRAbs head: ResNet-50, MobileNetV3-L, a compact vision transformer.

Each outputs one feature map of stride 32, or 16 for the transformer. The first two have the
parameter names of torchvision's models (MobileNetV3's of its `features`), so that their published
ImageNet weights load; the transformer is our own.

Source: He et al. 2016, "Deep Residual Learning", with the stride in the 3x3 convolution ("v1.5");
Howard et al. 2019, "Searching for MobileNetV3", table 1; Dosovitskiy et al. 2021, "An Image is
Worth 16x16 Words"; Xiao et al. 2021, "Early Convolutions Help Transformers See Better".
Centred striding as in specs/metrabs.md, 1.5.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitruvian.errors import VitruvianError
from vitruvian.exports.networks.efficientnet import (
    Centred,
    MBConv,
    SqueezeExcite,
    conv_norm,
    count,
    size,
)

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB, of 0..1


# ResNet


@dataclass(frozen=True)
class ResNet:
    """Configuration of a residual network of bottlenecks; by default ResNet-50."""

    depths: tuple[int, int, int, int] = (3, 4, 6, 3)  # blocks of each stage
    width: int = 64  # channels of the first convolution
    stride: int = 32

    @property
    def channels(self) -> int:
        """Channels of the features."""
        return 32 * self.width

    def build(self, centred: bool) -> nn.Module:
        """(N, 3, H, W) -1..1 -> (N, channels, H / 32, W / 32)."""
        return ResNetFeatures(self, centred)

    @classmethod
    def infer(cls, tensors: Mapping[str, np.ndarray], prefix: str) -> ResNet | None:
        """Infer from the shapes in a checkpoint; None if it has another backbone."""
        if f"{prefix}layer1.0.conv3.weight" not in tensors:
            return None
        one, two, three, four = (count(tensors, f"{prefix}layer{i}.") for i in (1, 2, 3, 4))
        return cls((one, two, three, four), size(tensors, f"{prefix}conv1.weight"))


class Bottleneck(nn.Module):
    """A residual bottleneck with an expansion of four."""

    def __init__(self, inside: int, planes: int, stride: int, *, first: bool, centred: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        kind = Centred if centred and stride == 2 else nn.Conv2d
        self.conv2 = kind(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = None
        if first:
            across = nn.Conv2d(inside, 4 * planes, 1, stride, bias=False)
            self.downsample = nn.Sequential(across, nn.BatchNorm2d(4 * planes))
        self.moved = kind is Centred

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 * planes, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        if self.downsample is not None:
            x = self.downsample(x[:, :, 1:, 1:] if self.moved else x)
        return F.relu(x + y)


def resnet_stage(number: int, shape: ResNet, centred: bool) -> nn.Sequential:
    """The blocks of stage 0, 1, 2 or 3; the last stage uses centred striding."""
    planes, blocks = shape.width << number, []
    for i in range(shape.depths[number]):
        inside = 4 * planes if i else 2 * planes if number else planes
        stride, moved = 2 if number and not i else 1, centred and number == 3
        blocks.append(Bottleneck(inside, planes, stride, first=not i, centred=moved))
    return nn.Sequential(*blocks)


class ResNetFeatures(nn.Module):
    """A residual network without classifier."""

    def __init__(self, shape: ResNet, centred: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, shape.width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(shape.width)
        stages = (resnet_stage(number, shape, centred) for number in range(4))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -1..1 -> (N, 32 * width, H / 32, W / 32)."""
        each = enumerate(zip(MEAN, SPREAD, strict=True))  # as in the training of these networks
        x = torch.stack([((x[:, i] + 1) / 2 - mean) / spread for i, (mean, spread) in each], 1)
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


# MobileNetV3

# Per block of the large one: kernel, channels inside, outside, squeeze, hard swish, stride.
BLOCKS = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)


@dataclass(frozen=True)
class MobileNetV3:
    """MobileNetV3-L with its last 1x1 convolution, which the classifier has after pooling."""

    channels: int = 1280
    stride: int = 32

    def build(self, centred: bool) -> nn.Module:
        """(N, 3, H, W) -1..1 -> (N, channels, H / 32, W / 32)."""
        layers: list[nn.Module] = [conv_norm(3, 16, 3, 2, activation=nn.Hardswish)]
        last = max(i for i, row in enumerate(BLOCKS) if row[-1] == 2)
        before = 16
        for i, (kernel, inside, outside, squeeze, hard, stride) in enumerate(BLOCKS):
            act = nn.Hardswish if hard else nn.ReLU
            inner: list[nn.Module] = []
            if inside != before:
                inner.append(conv_norm(before, inside, activation=act))
            centre = centred and i == last
            inner.append(
                conv_norm(
                    inside, inside, kernel, stride, groups=inside, centred=centre, activation=act
                )
            )
            if squeeze:
                inner.append(SqueezeExcite(inside, _eighths(inside // 4), F.relu, F.hardsigmoid))
            inner.append(conv_norm(inside, outside, activation=None))
            layers.append(MBConv(nn.Sequential(*inner), stride == 1 and before == outside))
            before = outside
        layers.append(conv_norm(before, 6 * before, activation=nn.Hardswish))
        wide = nn.Conv2d(6 * before, self.channels, 1)
        return nn.Sequential(*layers, nn.Sequential(wide, nn.Hardswish()))

    @classmethod
    def infer(cls, tensors: Mapping[str, np.ndarray], prefix: str) -> MobileNetV3 | None:
        """Infer from the shapes in a checkpoint; None if it has another backbone."""
        if f"{prefix}1.block.0.0.weight" not in tensors:
            return None
        return cls(size(tensors, f"{prefix}{len(BLOCKS) + 2}.0.weight"))


def _eighths(channels: int) -> int:
    """The nearest multiple of 8, but at least 0.9 of `channels` (the paper's implementation)."""
    nearest = max(8, (channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


# Vision transformer

HEAD = 64  # channels per attention head: not stored in files, the same in all published networks
WAVES = (0.5, 16)  # minimum and maximum cycles per crop; 16: one per two of 32 cells


@dataclass(frozen=True)
class Vit:
    """Configuration of a vision transformer with a convolutional stem."""

    stride: int = 16  # or 32
    channels: int = 384  # a multiple of `HEAD`
    depth: int = 8  # blocks

    def build(self, centred: bool) -> nn.Module:
        """(N, 3, H, W) -1..1 -> (N, channels, H / stride, W / stride)."""
        return Transformer(self, centred)

    @classmethod
    def infer(cls, tensors: Mapping[str, np.ndarray], prefix: str) -> Vit | None:
        """Infer from the shapes in a checkpoint; None if it has another backbone."""
        if f"{prefix}blocks.0.qkv.weight" not in tensors:
            return None
        halvings = count(tensors, f"{prefix}stem.") - 1
        channels = size(tensors, f"{prefix}norm.weight")
        if halvings not in (4, 5) or channels % HEAD:
            raise VitruvianError(
                f"unknown transformer: it halves {halvings} times, want 4 or 5, and has "
                f"{channels} channels, want a multiple of {HEAD}"
            )
        return cls(1 << halvings, channels, count(tensors, f"{prefix}blocks."))


class Layer(nn.Module):
    """Attention, then a two-layer MLP, both with skip connections."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // HEAD
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, cells, C) -> the same."""
        parts = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, HEAD)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        x = x + self.project(seen.transpose(1, 2).reshape(x.shape))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))


class Transformer(nn.Module):
    """A vision transformer without classifier or class token."""

    waves: Tensor  # (C / 4) radians per crop

    def __init__(self, shape: Vit, centred: bool) -> None:
        super().__init__()
        halvings = shape.stride.bit_length() - 1
        widths = [3, *(max(shape.channels >> i, 16) for i in range(halvings, 0, -1))]
        stem: list[nn.Module] = []
        for i, (inside, outside) in enumerate(itertools.pairwise(widths), 1):
            stem.append(conv_norm(inside, outside, 3, 2, centred=centred and i == halvings))
        self.stem = nn.Sequential(*stem, nn.Conv2d(widths[-1], shape.channels, 1))
        low, high = map(math.log2, WAVES)
        waves = 2 * math.pi * torch.logspace(low, high, shape.channels // 4, 2)
        self.register_buffer("waves", waves)
        self.blocks = nn.Sequential(*(Layer(shape.channels) for _ in range(shape.depth)))
        self.norm = nn.LayerNorm(shape.channels)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -1..1 -> (N, C, H / stride, W / stride)."""
        x = self.stem(x)
        x = x + self.places(x)
        y = self.norm(self.blocks(x.flatten(2).transpose(1, 2)))
        return y.transpose(1, 2).reshape(x.shape)

    def places(self, x: Tensor) -> Tensor:
        """(1, C, H, W) sinusoidal position encoding of the cells of (N, C, H, W).

        A quarter each of sines and cosines of x and y, in fractions of the crop: crops of 256 and
        384 pixels show a person at the same relative size and have the same frequencies, with a
        coarser or finer sampling.
        """
        one = torch.ones_like(x[:1, :1])  # cumsum of ones: an exported arange is six operations
        across = [(one.cumsum(axis) - 0.5) / one.sum(axis, keepdim=True) for axis in (3, 2)]
        phases = [place * self.waves.view(1, -1, 1, 1) for place in across]
        return torch.cat([wave for phase in phases for wave in (phase.sin(), phase.cos())], 1)
