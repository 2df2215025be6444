"""BlazePose's landmark network in PyTorch, with the weights of the official .tflite files.

An encoder of inverted residual blocks down to stride 32; a decoder of separable convolutions up to
stride 4, which outputs heat maps; a regressor from the encoder down to one cell, which outputs the
landmarks. The segmentation branch is left out: nothing here trains it. Batch norms are folded into
the convolutions, as in the files.

Source: the operations of pose_landmark_{lite,full}.tflite (MediaPipe 0.10.21), as OpenVINO lists
them; Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking". The heavy size
has another regressor and is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitruvian.errors import VitruvianError, unknown
from vitruvian.network.openvino import convolutions


class InvertedResidual(NamedTuple):
    """An inverted residual block: channels inside and of the output, kernel, stride."""

    inside: int
    outside: int
    kernel: int
    stride: int


class Size(NamedTuple):
    """Configuration of a size of the network."""

    stem: int  # channels of stride 2
    blocks: tuple[InvertedResidual, ...]
    top: int  # channels of stride 32, before decoder and regressor
    decoder: int  # channels of the decoder
    regressor: int  # channels of the regressor
    depths: tuple[int, int]  # its residual blocks of strides 64 and 128


def _size(
    stem: int, widths: Sequence[int], decoder: int, regressor: int, depths: tuple[int, int]
) -> Size:
    """Both sizes have the same blocks: expansion 6 except for the first, of these widths."""
    # Per stage: width, number of blocks, kernel, stride.
    stages = zip(widths, (2, 2, 3, 3, 4), (3, 5, 3, 5, 5), (2, 2, 2, 1, 2), strict=True)
    blocks, before = [], stem
    for width, number, kernel, stride in stages:
        for i in range(number):
            inside = before * (4 if not blocks else 6)
            blocks.append(InvertedResidual(inside, width, kernel, 1 if i else stride))
            before = width
    return Size(stem, tuple(blocks), 6 * before, decoder, regressor, depths)


SIZES = {
    "lite": _size(8, (16, 24, 40, 56, 96), 32, 192, (2, 3)),
    "full": _size(16, (24, 32, 64, 88, 144), 48, 288, (4, 5)),
}
TAPS = (1, 3, 9)  # blocks whose outputs the decoder uses: strides 4, 8 and 16
STEM = 24  # channels of the first convolution, of any size
POINTS = 39  # landmarks, see `vitruvian.models.blazepose`


class BackboneFeatures(NamedTuple):
    """Features of the encoder and decoder for crops of (H, W)."""

    stride4: Tensor  # (N, 24, H/4, W/4), of the full size; the next are also those of its encoder
    stride8: Tensor  # (N, 32, H/8, W/8)
    stride16: Tensor  # (N, 88, H/16, W/16)
    stride32: Tensor  # (N, 864, H/32, W/32)
    decoded: Tensor  # (N, 48, H/4, W/4)


def relu6(x: Tensor) -> Tensor:
    """Clamp to 0..6."""
    return functional.relu6(x)


def same_conv(
    inside: int, outside: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution with bias and symmetric padding."""
    return nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups)


class Inverted(nn.Module):
    """Expand, depthwise convolution, project; with a skip connection if the shapes match."""

    def __init__(self, before: int, block: InvertedResidual) -> None:
        super().__init__()
        self.expand = same_conv(before, block.inside)
        self.depthwise = same_conv(
            block.inside, block.inside, block.kernel, block.stride, block.inside
        )
        self.project = same_conv(block.inside, block.outside)
        self.residual = block.stride == 1 and before == block.outside

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        y = self.project(relu6(self.depthwise(relu6(self.expand(x)))))
        return x + y if self.residual else y


class Separable(nn.Module):
    """Depthwise, then pointwise convolution, each followed by a ReLU6."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.depthwise = same_conv(inside, inside, 3, 1, inside)
        self.pointwise = same_conv(inside, outside)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        return relu6(self.pointwise(relu6(self.depthwise(x))))


class DepthwiseSkip(nn.Module):
    """Separable convolution plus skip connection; for stride 2 the skip is max-pooled."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        # Padded below: at stride 2 the one row and column of zeros come after, not around.
        self.depthwise = nn.Conv2d(channels, channels, 3, stride, 0, groups=channels)
        self.pointwise = same_conv(channels, channels)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / stride, W / stride)."""
        down = self.stride == 2
        y = functional.pad(x, (0, 1, 0, 1) if down else (1, 1, 1, 1))
        y = self.pointwise(relu6(self.depthwise(y)))
        return relu6(y + (functional.max_pool2d(x, 2) if down else x))


class BlazePoseBackbone(nn.Module):
    """Encoder and decoder: the part of BlazePose's landmark network that other heads use."""

    def __init__(self, size: str = "full") -> None:
        super().__init__()
        if size not in SIZES:
            raise unknown("size of BlazePose in PyTorch", size, SIZES)
        self.size = SIZES[size]
        self.stem = same_conv(3, STEM, 3, 2)
        self.depthwise = same_conv(STEM, STEM, 3, 1, STEM)
        self.project = same_conv(STEM, self.size.stem)
        before = [self.size.stem, *(block.outside for block in self.size.blocks)]
        pairs = zip(before, self.size.blocks, strict=False)
        self.blocks = nn.ModuleList(Inverted(*pair) for pair in pairs)
        top, decoder = self.size.top, self.size.decoder
        self.top = same_conv(before[-1], top)
        self.depthwise_top = same_conv(top, top, 3, 1, top)
        taps = [top, *(self.size.blocks[i].outside for i in reversed(TAPS))]
        self.lateral = nn.ModuleList(Separable(channels, decoder) for channels in taps)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, 3, H, W) RGB 0..1, H and W multiples of 32 -> strides 4, 8, 16 and 32."""
        # Strided convolutions are zero-padded on both sides, as PyTorch does.
        x = self.project(relu6(self.depthwise(relu6(self.stem(x)))))
        taps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in TAPS:
                taps.append(x)
        top = relu6(self.depthwise_top(relu6(self.top(x))))
        return taps[0], taps[1], taps[2], top

    def forward(self, x: Tensor) -> BackboneFeatures:
        """(N, 3, H, W) RGB 0..1, H and W multiples of 32."""
        stride4, stride8, stride16, stride32 = self.encode(x)
        y = self.lateral[0](stride32)
        for lateral, tap in zip(list(self.lateral)[1:], (stride16, stride8, stride4), strict=True):
            up = functional.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            y = up + lateral(tap)
        return BackboneFeatures(stride4, stride8, stride16, stride32, y)


class LandmarkNetwork(nn.Module):
    """The landmark network, without segmentation."""

    def __init__(self, size: str = "full") -> None:
        super().__init__()
        self.backbone = BlazePoseBackbone(size)
        kind = self.backbone.size
        self.maps = same_conv(kind.decoder, POINTS)
        self.tail = Separable(kind.top, kind.regressor)
        strides = [2, *[1] * kind.depths[0], 2, *[1] * kind.depths[1]]
        self.residuals = nn.ModuleList(DepthwiseSkip(kind.regressor, stride) for stride in strides)
        self.world = nn.Conv2d(kind.regressor, 3 * POINTS, 2)
        self.presence = nn.Conv2d(kind.regressor, 1, 2)
        self.landmarks = nn.Conv2d(kind.regressor, 5 * POINTS, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, 3, 256, 256) RGB 0..1 -> landmarks, presence, heat maps, metres.

        Returns:
            (N, 195) 39 times x, y, z in pixels of the crop, visibility and presence before the
            sigmoid; (N, 1) presence of the body, 0..1; (N, 39, 64, 64) heat maps before the
            sigmoid; (N, 117) 39 times x, y, z in metres from the hips.
        """
        features = self.backbone(x)
        y = self.tail(features.stride32)
        for residual in self.residuals:
            y = residual(y)
        presence = torch.sigmoid(self.presence(y)).flatten(1)
        maps = self.maps(features.decoded)
        return self.landmarks(y).flatten(1), presence, maps, self.world(y).flatten(1)


def _in_order(network: LandmarkNetwork) -> Iterator[nn.Conv2d | None]:
    """The convolutions in the order of the file; None for those of the segmentation."""

    def of(module: nn.Module) -> Iterator[nn.Conv2d]:
        return (part for part in module.modules() if isinstance(part, nn.Conv2d))

    backbone = network.backbone
    for part in (backbone.stem, backbone.depthwise, backbone.project, backbone.blocks):
        yield from of(part)
    yield from (backbone.top, backbone.depthwise_top)
    yield from of(network.tail)
    yield from of(network.residuals)
    yield network.world
    yield from of(backbone.lateral)
    yield network.maps


def read(file: Path, size: str = "full") -> LandmarkNetwork:
    """Load an official file, pose_landmark_{lite,full}.tflite.

    Raises:
        VitruvianError: the file is of another network.
    """
    network = LandmarkNetwork(size)
    stored = convolutions(file)
    first = list(_in_order(network))
    # Next are the convolutions of the segmentation, then the last two.
    last = [network.presence, network.landmarks]
    pairs = [*zip(first, stored, strict=False), *zip(last, stored[-2:], strict=False)]
    state = network.state_dict()
    names = {module: name for name, module in network.named_modules()}
    for module, (weight, bias) in pairs:
        for part, value in (("weight", weight), ("bias", bias)):
            name = f"{names[module]}.{part}"
            if state[name].shape != value.shape or len(stored) < len(pairs):
                raise VitruvianError(f"cannot read '{file}' as BlazePose {size}: {name} differs")
            state[name] = torch.from_numpy(np.ascontiguousarray(value))
    network.load_state_dict(state)
    return network.eval()
