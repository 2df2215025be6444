"""EfficientNetV2 in PyTorch, S, M and L, without classifier; and helpers of other backbones.

Strided convolutions with symmetric padding shift cells toward the top left: at stride 32 cell i is
centred on pixel 32 i. `Centred` shifts the window of the last of them by one of its inputs, 16
pixels at stride 16, so that every cell is at the centre of its pixels ("centred striding").

Names, padding and norms are those of torchvision's `efficientnet_v2_*().features`.

Source: our own, from the behaviour of MeTRAbs at 8b2b116 (specs/metrabs.md, 1.2). Tan and Le 2021,
"EfficientNetV2: Smaller Models and Faster Training", table 4; Huang et al. 2016 (stochastic depth).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitruvian.errors import VitruvianError

# Per stage, all sizes: fused (one 3x3 convolution in place of two), expansion, stride.
STAGES = (
    (True, 1, 1),
    (True, 4, 2),
    (True, 4, 2),
    (False, 4, 2),
    (False, 6, 1),
    (False, 6, 2),
    (False, 6, 1),  # not in S
)
CENTRED = 5  # the last stage with stride 2
DROPPED = 0.2  # stochastic depth: drop probability of the last block, 0 for the first


@dataclass(frozen=True)
class EfficientNetV2:
    """Configuration of an EfficientNetV2."""

    widths: tuple[int, ...]  # channels of the first convolution, and of each stage
    depths: tuple[int, ...]  # blocks of each stage
    channels: int = 1280  # of the features
    stride: int = 32

    def build(self, centred: bool) -> nn.Module:
        """(N, 3, H, W) -1..1 -> (N, channels, H / 32, W / 32)."""
        return EfficientNetFeatures(self, centred)

    @classmethod
    def infer(cls, tensors: Mapping[str, np.ndarray], prefix: str) -> EfficientNetV2 | None:
        """Infer from the shapes in a checkpoint; None if it has another backbone."""
        if f"{prefix}1.0.block.0.0.weight" not in tensors:
            return None
        depths = []
        while blocks := count(tensors, f"{prefix}{len(depths) + 1}."):
            depths.append(blocks)
        last = depths.pop()  # a convolution and its norm
        if len(depths) not in (6, 7) or last != 2:
            raise VitruvianError(f"not an EfficientNetV2: it has {len(depths)} stages, want 6 or 7")
        widths = [size(tensors, f"{prefix}0.0.weight")]
        for i, (depth, stage) in enumerate(zip(depths, STAGES, strict=False), 1):
            part = 0 if stage[:2] == (True, 1) else 1 if stage[0] else 3
            widths.append(size(tensors, f"{prefix}{i}.{depth - 1}.block.{part}.0.weight"))
        return cls(
            tuple(widths), tuple(depths), size(tensors, f"{prefix}{len(depths) + 1}.0.weight")
        )


SIZES = {
    "s": EfficientNetV2((24, 24, 48, 64, 128, 160, 256), (2, 4, 4, 6, 9, 15)),
    "m": EfficientNetV2((24, 24, 48, 80, 160, 176, 304, 512), (3, 5, 5, 7, 14, 18, 5)),
    "l": EfficientNetV2((32, 32, 64, 96, 192, 224, 384, 640), (4, 7, 7, 10, 19, 25, 7)),
}


def size(tensors: Mapping[str, np.ndarray], name: str, axis: int = 0) -> int:
    """Length of an axis of a tensor; `VitruvianError` if it is missing or implausibly long.

    It limits the size of network that a damaged file can request.
    """
    if name not in tensors or not axis < tensors[name].ndim:
        raise VitruvianError(f"not a MeTRAbs network: it has no tensor '{name}'")
    if not 0 < (length := tensors[name].shape[axis]) < 100_000:
        raise VitruvianError(f"not a MeTRAbs network: its '{name}' has length {length}")
    return length


def count(tensors: Mapping[str, np.ndarray], prefix: str) -> int:
    """Count the parts below a name."""
    rest = (name[len(prefix) :] for name in tensors if name.startswith(prefix))
    return len({name.split(".")[0] for name in rest})


class Centred(nn.Conv2d):
    """A convolution of stride 2 with its window shifted right and down by one of its inputs."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / 2, W / 2)."""
        # Symmetric padding by one more, then the first row and column are dropped: asymmetric
        # padding takes a dozen operations in an exported graph.
        padding = self.kernel_size[0] // 2 + 1
        x = F.conv2d(input, self.weight, self.bias, self.stride, padding, 1, self.groups)
        return x[:, :, 1:, 1:]


def conv_norm(
    inside: int,
    outside: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    centred: bool = False,
    activation: Callable[[], nn.Module] | None = nn.SiLU,
) -> nn.Sequential:
    """Convolution, batch norm and an optional activation."""
    kind = Centred if centred and stride == 2 else nn.Conv2d
    layer = kind(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(outside, eps=1e-3)  # not PyTorch's 1e-5
    return nn.Sequential(layer, norm, *([activation()] if activation else []))


class SqueezeExcite(nn.Module):
    """Squeeze and excitation: a factor per channel, from all channel means."""

    def __init__(
        self,
        channels: int,
        squeezed: int,
        inner: Callable[[Tensor], Tensor] = F.silu,
        gate: Callable[[Tensor], Tensor] = torch.sigmoid,
    ) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.inner, self.gate = inner, gate

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        return x * self.gate(self.fc2(self.inner(self.fc1(x.mean((2, 3), keepdim=True)))))


class MBConv(nn.Module):
    """Inverted residual, with a skip connection if input and output have the same shape."""

    def __init__(self, inner: nn.Sequential, around: bool, dropped: float = 0.0) -> None:
        super().__init__()
        self.block = inner
        self.around, self.dropped = around, dropped

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        y = self.block(x)
        if not self.around:
            return y
        if self.training and self.dropped:  # stochastic depth: whole crops, not single values
            kept = torch.rand(len(y), 1, 1, 1, device=y.device) >= self.dropped
            y = y * kept / (1 - self.dropped)
        return x + y


def block(
    inside: int, outside: int, stage: int, *, first: bool, centred: bool, dropped: float
) -> MBConv:
    """A block of a stage."""
    fused, expand, stride = STAGES[stage]
    stride, middle = stride if first else 1, expand * inside
    if fused and expand == 1:
        layers = [conv_norm(inside, outside, 3, stride)]
    elif fused:
        layers = [conv_norm(inside, middle, 3, stride), conv_norm(middle, outside, activation=None)]
    else:
        layers = [
            conv_norm(inside, middle),
            conv_norm(middle, middle, 3, stride, groups=middle, centred=centred),
            SqueezeExcite(middle, max(inside // 4, 1)),
            conv_norm(middle, outside, activation=None),
        ]
    return MBConv(nn.Sequential(*layers), stride == 1 and inside == outside, dropped)


class EfficientNetFeatures(nn.Sequential):
    """(N, 3, H, W) -1..1, H and W multiples of 32 -> (N, C, H / 32, W / 32)."""

    def __init__(self, shape: EfficientNetV2, centred: bool) -> None:
        layers: list[nn.Module] = [conv_norm(3, shape.widths[0], 3, 2)]
        made, total = 0, sum(shape.depths)
        for stage, depth in enumerate(shape.depths):
            inside, outside = shape.widths[stage : stage + 2]
            blocks = []
            for i in range(depth):
                blocks.append(
                    block(
                        outside if i else inside,
                        outside,
                        stage,
                        first=i == 0,
                        centred=centred and stage == CENTRED,
                        dropped=DROPPED * made / total,
                    )
                )
                made += 1
            layers.append(nn.Sequential(*blocks))
        super().__init__(*layers, conv_norm(shape.widths[-1], shape.channels))
