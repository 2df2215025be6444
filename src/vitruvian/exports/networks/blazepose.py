"""BlazePose's landmark network in PyTorch, with the weights of the official .tflite files.

An encoder of inverted residual blocks down to stride 32; a decoder of separable convolutions up to
stride 4, which outputs heat maps; a regressor down to one cell, which outputs the landmarks; a
segmentation branch from the decoder up to the input's size. Batch norms are folded into the
convolutions, as in the files.

The regressor of the heavy size starts from the decoder and takes features of the encoder on its
way, as in the paper; that of the others starts from the encoder's last features.

Source: the operations of pose_landmark_{lite,full,heavy}.tflite (MediaPipe 0.10.21), as OpenVINO
lists them; Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking", whose
gradients do not pass from the regressor to the features that the heat maps are learned with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitruvian.errors import VitruvianError, unknown
from vitruvian.exports.networks.tensors import fill
from vitruvian.network.openvino import convolutions


class InvertedResidual(NamedTuple):
    """An inverted residual block: channels inside and of the output, kernel, stride."""

    inside: int
    outside: int
    kernel: int
    stride: int


class RegressorStage(NamedTuple):
    """A stage of the regressor: a residual block of stride 2, others, then features of a tap."""

    channels: int
    depth: int  # residual blocks after the first
    tap: int | None = None  # index of the encoder's features in `BackboneFeatures`


class Size(NamedTuple):
    """Configuration of a size of the network."""

    stem: int  # channels of stride 2
    blocks: tuple[InvertedResidual, ...]
    taps: tuple[int, int, int]  # blocks whose outputs the decoder uses: strides 4, 8 and 16
    top: int  # channels of stride 32, before decoder and regressor
    decoder: int  # channels of the decoder
    tail: int  # channels of the regressor's first layers, from the top; 0: it starts at the decoder
    stages: tuple[RegressorStage, ...]  # of the regressor


def _size(
    stem: int,
    widths: Sequence[int],
    depths: Sequence[int],
    narrow: int,
    decoder: int,
    tail: int,
    stages: Sequence[tuple[int, ...]],
) -> Size:
    """All sizes have the same stages, and expansion 6 except for the first `narrow` blocks: 4."""
    # Per stage: width, number of blocks, kernel, stride.
    parts = zip(widths, depths, (3, 5, 3, 5, 5), (2, 2, 2, 1, 2), strict=True)
    blocks, before = [], stem
    for width, number, kernel, stride in parts:
        for i in range(number):
            inside = before * (4 if len(blocks) < narrow else 6)
            blocks.append(InvertedResidual(inside, width, kernel, 1 if i else stride))
            before = width
    ends = np.cumsum(depths) - 1
    taps = int(ends[0]), int(ends[1]), int(ends[3])
    regressor = tuple(RegressorStage(*stage) for stage in stages)
    return Size(stem, tuple(blocks), taps, 6 * before, decoder, tail, regressor)


_HEAVY = ((96, 6, 2), (192, 7, 3), (288, 7, 4), (288, 7), (288, 7))
SIZES = {
    "lite": _size(8, (16, 24, 40, 56, 96), (2, 2, 3, 3, 4), 1, 32, 192, ((192, 2), (192, 3))),
    "full": _size(16, (24, 32, 64, 88, 144), (2, 2, 3, 3, 4), 1, 48, 288, ((288, 4), (288, 5))),
    "heavy": _size(24, (32, 56, 112, 160, 272), (4, 4, 6, 6, 8), 2, 48, 0, _HEAVY),
}
STEM = 24  # channels of the first convolution, of any size
SIDE = 256  # pixels of the input
POINTS = 39  # landmarks, see `vitruvian.models.blazepose`


class BackboneFeatures(NamedTuple):
    """Features of the encoder and decoder for crops of (H, W)."""

    stride2: Tensor  # (N, 16, H/2, W/2), of the full size, as the next are
    stride4: Tensor  # (N, 24, H/4, W/4)
    stride8: Tensor  # (N, 32, H/8, W/8)
    stride16: Tensor  # (N, 88, H/16, W/16)
    stride32: Tensor  # (N, 864, H/32, W/32)
    decoded: Tensor  # (N, 48, H/4, W/4)


relu6 = functional.relu6


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
    """Separable convolution plus skip connection.

    The skip is max-pooled for stride 2, and its additional channels are 0.
    """

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        # Padded below: at stride 2 the one row and column of zeros come after, not around.
        self.depthwise = nn.Conv2d(inside, inside, 3, stride, 0, groups=inside)
        self.pointwise = same_conv(inside, outside)
        self.stride, self.more = stride, outside - inside

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        down = self.stride == 2
        y = functional.pad(x, (0, 1, 0, 1) if down else (1, 1, 1, 1))
        y = self.pointwise(relu6(self.depthwise(y)))
        skip = functional.max_pool2d(x, 2) if down else x
        return relu6(y + functional.pad(skip, (0, 0, 0, 0, 0, self.more)))


def twice(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2 H, 2 W), bilinear."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


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
        taps = [top, *(self.size.blocks[i].outside for i in reversed(self.size.taps))]
        self.lateral = nn.ModuleList(Separable(channels, decoder) for channels in taps)

    def early(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) RGB 0..1, H and W multiples of 32 -> strides 2, 4 and 8."""
        # Strided convolutions are zero-padded on both sides, as PyTorch does.
        x = self.project(relu6(self.depthwise(relu6(self.stem(x)))))
        stride2, (first, second, _) = x, self.size.taps
        for block in self.blocks[: first + 1]:
            x = block(x)
        stride4 = x
        for block in self.blocks[first + 1 : second + 1]:
            x = block(x)
        return stride2, stride4, x

    def late(self, stride8: Tensor) -> tuple[Tensor, Tensor]:
        """Features of stride 8 -> strides 16 and 32."""
        _, second, third = self.size.taps
        x = stride8
        for block in self.blocks[second + 1 : third + 1]:
            x = block(x)
        stride16 = x
        for block in self.blocks[third + 1 :]:
            x = block(x)
        return stride16, relu6(self.depthwise_top(relu6(self.top(x))))

    def decode(self, early: tuple[Tensor, Tensor, Tensor]) -> BackboneFeatures:
        """All features from those of `early`."""
        stride2, stride4, stride8 = early
        stride16, stride32 = self.late(stride8)
        y = self.lateral[0](stride32)
        for lateral, tap in zip(list(self.lateral)[1:], (stride16, stride8, stride4), strict=True):
            y = twice(y) + lateral(tap)
        return BackboneFeatures(stride2, stride4, stride8, stride16, stride32, y)

    def forward(self, x: Tensor) -> BackboneFeatures:
        """(N, 3, H, W) RGB 0..1, H and W multiples of 32."""
        return self.decode(self.early(x))


class Regressor(nn.Module):
    """From features of the backbone down to one cell; see the module's head."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        channels = (size.stem, *(size.blocks[i].outside for i in size.taps), size.top)
        self.stages = size.stages
        self.tail = Separable(size.top, size.tail) if size.tail else None
        self.residuals, self.lateral = nn.ModuleList(), nn.ModuleList()
        before = size.tail or size.decoder
        for stage in size.stages:
            first = DepthwiseSkip(before, stage.channels, 2)
            rest = (DepthwiseSkip(stage.channels, stage.channels) for _ in range(stage.depth))
            self.residuals.append(nn.Sequential(first, *rest))
            if stage.tap is not None:
                self.lateral.append(Separable(channels[stage.tap], stage.channels))
            before = stage.channels
        self.channels = before

    def forward(self, features: BackboneFeatures) -> Tensor:
        """Features of (H, W) pixels -> (N, C, H / 128, W / 128)."""
        y = features.decoded if self.tail is None else self.tail(features.stride32)
        lateral = iter(self.lateral)
        for stage, residuals in zip(self.stages, self.residuals, strict=True):
            y = residuals(y)
            if stage.tap is not None:
                y = y + next(lateral)(features[stage.tap])
        return y


class Segmentation(nn.Module):
    """The segmentation branch."""

    def __init__(self, size: Size, width: int = 8) -> None:
        super().__init__()
        self.decoded = Separable(size.decoder, width)
        layer = DepthwiseSkip if size.stem == width else Separable
        self.stride2 = layer(size.stem, width)
        self.fine = nn.Sequential(DepthwiseSkip(width, width), DepthwiseSkip(width, width))
        self.finest = nn.Sequential(DepthwiseSkip(width, width), DepthwiseSkip(width, width))
        self.mask = same_conv(width, 1, 3)

    def forward(self, features: BackboneFeatures) -> Tensor:
        """Features of (H, W) pixels -> (N, 1, H, W) before the sigmoid."""
        y = twice(self.decoded(features.decoded)) + self.stride2(features.stride2)
        return self.mask(self.finest(twice(self.fine(y))))


class LandmarkOutputs(NamedTuple):
    """Outputs of the landmark network for N crops, in the order of the official files."""

    points: Tensor  # (N, 195) 39 times x y z in pixels, visibility and presence before the sigmoid
    presence: Tensor  # (N, 1) of the body; before the sigmoid, in the files after it
    mask: Tensor  # (N, 1, 256, 256) before the sigmoid
    maps: Tensor  # (N, 39, 64, 64) heat maps before the sigmoid
    world: Tensor  # (N, 117) 39 times x y z in metres from the hips


class LandmarkNetwork(nn.Module):
    """The landmark network."""

    def __init__(self, size: str = "full") -> None:
        super().__init__()
        self.backbone = BlazePoseBackbone(size)
        kind = self.backbone.size
        self.maps = same_conv(kind.decoder, POINTS)
        self.regressor = Regressor(kind)
        self.world = nn.Conv2d(self.regressor.channels, 3 * POINTS, 2)
        self.presence = nn.Conv2d(self.regressor.channels, 1, 2)
        self.landmarks = nn.Conv2d(self.regressor.channels, 5 * POINTS, 2)
        self.segmentation = Segmentation(kind)

    def forward(self, x: Tensor) -> LandmarkOutputs:
        """(N, 3, 256, 256) RGB 0..1 -> landmarks."""
        return self.answer(self.backbone(x))

    def answer(self, features: BackboneFeatures, masks: int | None = None) -> LandmarkOutputs:
        """LandmarkOutputs from features of N crops.

        Only the heat maps have gradients with respect to the features.

        Args:
            features: of the backbone.
            masks: how many crops, from the first on, get a mask; None: all.
        """
        given = BackboneFeatures(*(each.detach() for each in features))
        y = self.regressor(given)
        return LandmarkOutputs(
            self.landmarks(y).flatten(1),
            self.presence(y).flatten(1),
            self.segmentation(BackboneFeatures(*(each[:masks] for each in given))),
            self.maps(features.decoded),
            self.world(y).flatten(1),
        )


class AsInFiles(nn.Module):
    """The landmark network with the inputs and outputs of the official files: channels last."""

    def __init__(self, network: LandmarkNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> LandmarkOutputs:
        """(N, 256, 256, 3) RGB 0..1 -> landmarks, with (N, H, W, C) mask and heat maps."""
        given = self.network(crops.permute(0, 3, 1, 2))
        mask, maps = given.mask.permute(0, 2, 3, 1), given.maps.permute(0, 2, 3, 1)
        return given._replace(presence=torch.sigmoid(given.presence), mask=mask, maps=maps)


def _in_order(network: LandmarkNetwork) -> Iterator[nn.Conv2d]:
    """The convolutions in the order of the file."""
    backbone, regressor = network.backbone, network.regressor
    parts: list[nn.Module] = [backbone.stem, backbone.depthwise, backbone.project, backbone.blocks]
    parts += [backbone.top, backbone.depthwise_top]
    regress: list[nn.Module] = []
    lateral = iter(regressor.lateral)
    for stage, residuals in zip(regressor.stages, regressor.residuals, strict=True):
        regress += [residuals, *([] if stage.tap is None else [next(lateral)])]
    first = backbone.lateral if regressor.tail is None else regressor.tail
    parts += [first, *regress, network.world]
    parts += [] if regressor.tail is None else [backbone.lateral]
    parts += [network.maps, network.segmentation, network.presence, network.landmarks]
    for part in parts:
        yield from (module for module in part.modules() if isinstance(module, nn.Conv2d))


def read(file: Path, size: str = "full") -> LandmarkNetwork:
    """Load an official file, pose_landmark_{lite,full,heavy}.tflite.

    Raises:
        VitruvianError: the file is of another network.
    """
    network = LandmarkNetwork(size)
    stored, want = convolutions(file), list(_in_order(network))
    state = network.state_dict()
    names = {module: name for name, module in network.named_modules()}
    for module, (weight, bias) in zip(want, stored, strict=False):
        for part, value in (("weight", weight), ("bias", bias)):
            name = f"{names[module]}.{part}"
            if state[name].shape != value.shape:
                raise VitruvianError(f"cannot read '{file}' as BlazePose {size}: {name} differs")
            state[name] = torch.from_numpy(np.ascontiguousarray(value))
    if len(stored) != len(want):
        raise VitruvianError(f"cannot read '{file}' as BlazePose {size}: it has other layers")
    network.load_state_dict(state)
    return network.eval()


def load(tensors: Mapping[str, np.ndarray]) -> LandmarkNetwork:
    """Load the weights of a training run: its weights.pt.

    Raises:
        VitruvianError: they are of another network.
    """
    stem = len(tensors.get("backbone.project.bias", ()))
    size = next((name for name, kind in SIZES.items() if kind.stem == stem), "")
    if not size:
        raise VitruvianError(f"not a BlazePose network of size {', '.join(SIZES)}")
    with torch.device("meta"):
        network = LandmarkNetwork(size)
    fill(network, tensors, f"BlazePose {size}")
    return network
