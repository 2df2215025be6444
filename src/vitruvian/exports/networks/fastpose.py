"""AlphaPose's networks in PyTorch: FastPose, FastPose-DUC, SimplePose; named as in their files.

A residual network down to stride 32, then upsampling to stride 4, with a heat map per keypoint:
raw logits, no activation. FastPose upsamples by pixel shuffle ("dense upsampling convolution"),
SimplePose by transposed convolutions. Blocks may use deformable convolutions, in plain PyTorch.

Source: our own, from the behaviour of AlphaPose at c60106d1 (specs/alphapose.md, 2). Fang et al.
2022, "AlphaPose"; He et al. 2016 (residual networks); Hu et al. 2018 (squeeze and excitation);
Dai et al. 2017 and Zhu et al. 2019 (deformable convolutions); Xiao et al. 2018 (SimplePose).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitruvian.errors import VitruvianError
from vitruvian.exports.networks.tensors import fill

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # blocks of each stage
FAMILIES = {"fastpose": "FastPose", "duc": "FastPose-DUC", "simplepose": "SimplePose"}
# Other AlphaPose networks, by the prefix of a parameter name that only they have.
OTHERS = {
    "stage2.": "HRNet",
    "transition1.": "HRNet",
    "duc_dense": "FastPose-DUC-Dense",
    "conv_out_dense": "FastPose-DUC-Dense",
}
WIDEST = 1024  # maximum channels of the first convolution; published networks have 64
DUC = (4, 2, 1)  # convolutions of each stage of FastPose-DUC


@dataclass(frozen=True)
class FastShape:
    """Configuration of an AlphaPose network."""

    family: Literal["fastpose", "duc", "simplepose"] = "fastpose"
    depth: int = 50  # a key of `DEPTHS`
    keypoints: int = 17  # K
    channels: int = 128  # inputs of the last convolution; FastPose 128 or 256, the others 256
    squeeze: bool = True  # squeeze and excitation in the first block of each stage
    shuffle: bool = False  # strides of 2 as pixel unshuffle ("ShuffleResnet")
    deform: Literal["no", "plain", "modulated"] = "no"  # in stages 2 to 4
    width: int = 64  # channels of the first convolution; all published networks have 64

    @classmethod
    def infer(cls, tensors: Mapping[str, np.ndarray]) -> FastShape:
        """Infer the configuration from the names and shapes in a checkpoint.

        Raises:
            VitruvianError: the tensors are not of such a network.
        """

        def size(name: str, axis: int = 0) -> int:
            if name not in tensors or tensors[name].ndim <= axis or not tensors[name].size:
                raise VitruvianError(f"not an AlphaPose network: it has no tensor '{name}'")
            return tensors[name].shape[axis]

        def count(prefix: str) -> int:
            rest = (name[len(prefix) :] for name in tensors if name.startswith(prefix))
            return len({name.split(".")[0] for name in rest})

        for start, name in OTHERS.items():
            if any(tensor.startswith(start) for tensor in tensors):
                raise VitruvianError(f"it is AlphaPose's {name}, which is not supported")
        width = size("preact.conv1.weight")
        if width > WIDEST:
            raise VitruvianError(
                f"not an AlphaPose network: {width} channels in the first convolution"
            )
        stages = tuple(count(f"preact.layer{i}.") for i in (1, 2, 3, 4))
        depth = next((depth for depth, blocks in DEPTHS.items() if blocks == stages), None)
        if depth is None or "preact.layer1.0.conv3.weight" not in tensors:
            known = ", ".join(map(str, DEPTHS))
            raise VitruvianError(
                f"not an AlphaPose network: stages of {stages} blocks are not a known "
                f"ResNet ({known})"
            )
        offsets = "preact.layer2.0.conv2_offset.weight"
        deform = (
            {18: "plain", 27: "modulated"}.get(size(offsets), "") if offsets in tensors else "no"
        )
        if not deform:
            raise VitruvianError(
                f"not an AlphaPose network: {size(offsets)} convolution offsets, want 18 or 27"
            )
        simple = "deconv_layers.0.weight" in tensors
        family = "simplepose" if simple else "duc" if "duc3.1.weight" in tensors else "fastpose"
        last = "final_layer.weight" if simple else "conv_out.weight"
        return cls(
            family,
            depth,
            size(last),
            size(last, 1),
            "preact.layer1.0.se.fc.0.weight" in tensors,
            "preact.layer2.0.conv2.1.weight" in tensors,
            deform,  # type: ignore[arg-type]
            width,
        )


def deform_conv(
    x: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None = None, *, stride: int = 1
) -> Tensor:
    """Deformable 3 x 3 convolution, padding 1: each of the nine taps has an offset per position.

    Bilinear interpolation between pixels; 0 outside of the image.

    Args:
        x: (N, C, H, W).
        weight: (O, C, 3, 3).
        offset: (N, 18, H', W') pixels; tap t = 3 i + j of row i and column j is shifted by channel
            2 t down and by 2 t + 1 to the right.
        mask: (N, 9, H', W'), a factor for each tap; None is 1.
        stride: pixels.

    Returns:
        (N, O, H', W').

    Source: the convention of `torchvision.ops.deform_conv2d`, with one group.
    """
    one = torch.ones_like(offset[:1, :1])  # cumsum of ones: an exported arange is six operations
    tap = torch.arange(9, device=x.device).view(1, 9, 1, 1)
    row = offset[:, 0::2] + (one.cumsum(2) - 1) * stride - 1 + tap // 3
    column = offset[:, 1::2] + (one.cumsum(3) - 1) * stride - 1 + tap % 3
    # Pixel i of n is at (2 i + 1) / n - 1 for `grid_sample`. The nine taps of a position become
    # 3 x 3 pixels of an image three times as large, for an ordinary convolution.
    height, width = x.shape[2], x.shape[3]
    where = torch.cat(
        (
            F.pixel_shuffle((2 * column + 1) / width - 1, 3),
            F.pixel_shuffle((2 * row + 1) / height - 1, 3),
        ),
        1,
    ).permute(0, 2, 3, 1)
    seen = F.grid_sample(x, where, mode="bilinear", padding_mode="zeros", align_corners=False)
    if mask is not None:
        seen = seen * F.pixel_shuffle(mask, 3)
    return F.conv2d(seen, weight, stride=3)


class Deformable(nn.Conv2d):
    """A deformable 3 x 3 convolution, see `deform_conv`."""

    def forward(  # type: ignore[override]
        self, x: Tensor, offset: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """(N, C, H, W), and the offsets of `deform_conv` -> (N, O, H', W')."""
        seen = deform_conv(x, self.weight, offset, mask, stride=self.stride[0])
        return seen if self.bias is None else seen + self.bias.view(1, -1, 1, 1)


class SqueezeExcitation(nn.Module):
    """Squeeze and excitation: a factor per channel, from all channel means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Reduction ratio 1: no reduction.
        self.fc = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class FastPoseBlock(nn.Module):
    """A residual bottleneck with an expansion of four."""

    def __init__(
        self,
        inside: int,
        planes: int,
        stride: int,
        shape: FastShape,
        *,
        first: bool,
        deform: bool,
    ) -> None:
        super().__init__()
        outside = 4 * planes
        self.conv1 = nn.Conv2d(inside, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2_offset = None
        self.modulated = shape.deform == "modulated"
        if deform:
            offsets = 27 if self.modulated else 18
            self.conv2_offset = nn.Conv2d(planes, offsets, 3, stride, 1)
            nn.init.zeros_(self.conv2_offset.weight)  # starts as an ordinary convolution
            nn.init.zeros_(self.conv2_offset.bias)  # type: ignore[arg-type]
            self.conv2 = Deformable(planes, planes, 3, stride, 1, bias=False)
        elif shape.shuffle and stride == 2:
            spread = nn.Conv2d(4 * planes, planes, 3, 1, 1, bias=False)
            self.conv2 = nn.Sequential(nn.PixelUnshuffle(2), spread)
        else:
            self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outside, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outside)
        self.se = SqueezeExcitation(outside) if first and shape.squeeze else None
        self.downsample = None
        if first:
            across = nn.Conv2d(inside, outside, 1, stride, bias=False)
            self.downsample = nn.Sequential(across, nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 * planes, H / stride, W / stride)."""
        inner = F.relu(self.bn1(self.conv1(x)))
        if self.conv2_offset is None:
            inner = self.conv2(inner)
        else:
            told = self.conv2_offset(inner)
            mask = told[:, 18:].sigmoid() if self.modulated else None
            inner = self.conv2(inner, told[:, :18], mask)
        inner = F.relu(self.bn2(inner))
        inner = self.bn3(self.conv3(inner))
        if self.se is not None:
            inner = self.se(inner)
        return F.relu(inner + (x if self.downsample is None else self.downsample(x)))


def fast_stage(number: int, shape: FastShape) -> nn.Sequential:
    """The blocks of stage 0, 1, 2 or 3."""
    planes, layers = shape.width << number, []
    for i in range(DEPTHS[shape.depth][number]):
        first = i == 0
        inside = 4 * planes if not first else 2 * planes if number else shape.width
        # Without squeeze and excitation only the first block of a stage is deformable.
        deform = shape.deform != "no" and number > 0 and (first or shape.squeeze)
        stride = 2 if first and number else 1
        layers.append(FastPoseBlock(inside, planes, stride, shape, first=first, deform=deform))
    return nn.Sequential(*layers)


class FastPoseBackbone(nn.Module):
    """A residual network without classifier."""

    def __init__(self, shape: FastShape) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, shape.width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(shape.width)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            fast_stage(i, shape) for i in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 32 * width, H / 32, W / 32)."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class Up(nn.Module):
    """Dense upsampling convolution: twice the size, a quarter of the computed channels."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O / 4, 2 * H, 2 * W) for O outside."""
        return F.pixel_shuffle(F.relu(self.bn(self.conv(x))), 2)


class FastPose(nn.Module):
    """Crops, see `fastpose_input`, to a heat map of logits for every keypoint."""

    def __init__(self, shape: FastShape) -> None:
        super().__init__()
        self.shape = shape
        self.preact = FastPoseBackbone(shape)
        self.duc1 = Up(8 * shape.width, 16 * shape.width)
        self.duc2 = Up(4 * shape.width, 4 * shape.channels)
        self.conv_out = nn.Conv2d(shape.channels, shape.keypoints, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, K, H / 4, W / 4)."""
        return self.conv_out(self.duc2(self.duc1(F.pixel_shuffle(self.preact(x), 2))))


def dense(inside: int, outside: int, convolutions: int) -> nn.Sequential:
    """A stage of FastPose-DUC: pixel shuffle, then convolutions, the last with more channels."""
    layers: list[nn.Module] = [nn.PixelShuffle(2)]
    for c in (*[inside // 4] * (convolutions - 1), outside):
        convolution = nn.Conv2d(inside // 4, c, 3, 1, 1, bias=False)
        layers += [convolution, nn.BatchNorm2d(c), nn.ReLU()]
    return nn.Sequential(*layers)


class FastPoseDuc(nn.Module):
    """FastPose with more convolutions in the upsampling ("421"), see `FastPose`."""

    def __init__(self, shape: FastShape) -> None:
        super().__init__()
        self.shape = shape
        self.preact = FastPoseBackbone(shape)
        width = shape.width
        self.duc1 = dense(32 * width, 16 * width, DUC[0])
        self.duc2 = dense(16 * width, 8 * width, DUC[1])
        self.duc3 = dense(8 * width, shape.channels, DUC[2])
        self.conv_out = nn.Conv2d(shape.channels, shape.keypoints, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, K, H / 4, W / 4)."""
        return self.conv_out(self.duc3(self.duc2(self.duc1(self.preact(x)))))


class SimplePose(nn.Module):
    """A residual network and three transposed convolutions, see `FastPose`."""

    def __init__(self, shape: FastShape) -> None:
        super().__init__()
        self.shape = shape
        self.preact = FastPoseBackbone(shape)
        layers: list[nn.Module] = []
        for inside in (32 * shape.width, shape.channels, shape.channels):
            up = nn.ConvTranspose2d(inside, shape.channels, 4, 2, 1, bias=False)
            layers += [up, nn.BatchNorm2d(shape.channels), nn.ReLU()]
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(shape.channels, shape.keypoints, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, K, H / 4, W / 4)."""
        return self.final_layer(self.deconv_layers(self.preact(x)))


Network = FastPose | FastPoseDuc | SimplePose


def build(shape: FastShape) -> Network:
    """The network of a configuration with random weights: nothing is downloaded."""
    return {"fastpose": FastPose, "duc": FastPoseDuc, "simplepose": SimplePose}[shape.family](shape)


# RGB, of 0..1. ImageNet's means in BGR order: all of AlphaPose is trained this way.
MEAN = (0.406, 0.457, 0.480)


def fastpose_input(crops: Tensor) -> Tensor:
    """(N, H, W, 3) RGB, 0..255, of any type -> (N, 3, H, W) float32, the networks' input."""
    scaled = crops.float() / 255
    return torch.stack([scaled[..., i] - mean for i, mean in enumerate(MEAN)], 1)


def load(tensors: Mapping[str, np.ndarray]) -> Network:
    """The network of a checkpoint, float32, in inference mode.

    Args:
        tensors: by name: all of the network's, and no others; batch norm counters
            (`num_batches_tracked`) may be missing.

    Raises:
        VitruvianError: a tensor is missing, unknown, or of another shape.
    """
    with torch.device("meta"):  # a damaged file allocates no memory
        network = build(shape := FastShape.infer(tensors))
    fill(network, tensors, FAMILIES[shape.family], counters=True)
    return network
