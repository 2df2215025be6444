"""Re-identification in PyTorch: an embedding for each image of a person.

Two networks that are easily confused:

- `Osnet`, OSNet-AIN x1.0, is what AlphaPose's released tracker runs; torchreid's published
  weights load into it. Embeddings have 512 numbers.
- `PoseGuided` is the pose-guided attention (PGA) of AlphaPose's paper: keypoint heat maps weight
  a re-identification feature map. Embeddings have 128 numbers. No weights are published, and the
  released tracker does not use it.

Source: our own, from the behaviour of AlphaPose at c60106d1 (specs/alphapose.md, 6) and from the
papers: Zhou et al. 2021, "Learning Generalisable Omni-Scale Representations for Person
Re-Identification"; Fang et al. 2022, "AlphaPose".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitruvian.errors import VitruvianError
from vitruvian.exports.networks.tensors import fill

CHANNELS = (64, 256, 384, 512)  # of the stem and of each stage
STREAMS = 4  # streams of a block: receptive fields of 3, 5, 7 and 9 pixels
# Whether each of the two blocks of a stage has instance normalisation: from the paper's
# architecture search, as in the names of the published files.
INSTANCE = ((True, True), (False, True), (True, False))
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, RGB, of 0..1
SIZE = (256, 128)  # height and width of training images


class Instance(nn.Module):
    """Instance normalisation: mean 0 and standard deviation 1 per channel and image.

    `torch.nn.InstanceNorm2d`, whose export to ONNX complains.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        x = x - x.mean((2, 3), keepdim=True)
        x = x / (x.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class ConvNormRelu(nn.Module):
    """Convolution without bias, optional normalisation, ReLU unless linear."""

    def __init__(
        self,
        inside: int,
        outside: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
        if norm is not None:
            self.bn = norm(outside)
        self.norm, self.linear = norm is not None, linear

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, H / stride, W / stride)."""
        x = self.conv(x)
        if self.norm:
            x = self.bn(x)
        return x if self.linear else F.relu(x)


class Light(nn.Module):
    """A 3 x 3 convolution as a pointwise and a depthwise one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        return F.relu(self.bn(self.conv2(self.conv1(x))))


class ScaleStream(nn.Module):
    """A chain of light convolutions: the deeper, the larger the receptive field."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[Light(channels) for _ in range(depth)])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        return self.layers(x)


class Gate(nn.Module):
    """Channel attention: a factor per channel from all channel means; shared within a block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        return x * self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()


class OSNetBlock(nn.Module):
    """A residual bottleneck with streams of several scales."""

    def __init__(self, inside: int, outside: int, *, instance: bool) -> None:
        super().__init__()
        middle = outside // 4
        self.conv1 = ConvNormRelu(inside, middle)
        self.conv2 = nn.ModuleList([ScaleStream(middle, depth + 1) for depth in range(STREAMS)])
        self.gate = Gate(middle)
        norm = None if instance else nn.BatchNorm2d
        self.conv3 = ConvNormRelu(middle, outside, norm=norm, linear=True)
        self.downsample = ConvNormRelu(inside, outside, linear=True) if inside != outside else None
        self.IN = Instance(outside) if instance else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, H, W)."""
        inner = self.conv1(x)
        first, *others = (self.gate(stream(inner)) for stream in self.conv2)
        for other in others:
            first = first + other
        inner = self.conv3(first)
        if self.IN is not None:
            inner = self.IN(inner)
        return F.relu(inner + (x if self.downsample is None else self.downsample(x)))


def osnet_stage(number: int) -> nn.Sequential:
    """The two blocks of stage 0, 1 or 2."""
    inside, outside = CHANNELS[number : number + 2]
    first, second = INSTANCE[number]
    return nn.Sequential(
        OSNetBlock(inside, outside, instance=first), OSNetBlock(outside, outside, instance=second)
    )


class Osnet(nn.Module):
    """OSNet-AIN x1.0: crops, see `osnet_input`, to embeddings of length 1."""

    def __init__(self, identities: int = 0) -> None:
        """Create the network.

        Args:
            identities: number of people in its training; published files include that classifier,
                which is not run. 0: no classifier.
        """
        super().__init__()
        self.conv1 = ConvNormRelu(3, CHANNELS[0], 7, 2, norm=Instance)
        self.conv2 = osnet_stage(0)
        self.pool2 = nn.Sequential(ConvNormRelu(CHANNELS[1], CHANNELS[1]))
        self.conv3 = osnet_stage(1)
        self.pool3 = nn.Sequential(ConvNormRelu(CHANNELS[2], CHANNELS[2]))
        self.conv4 = osnet_stage(2)
        inside = CHANNELS[3]
        self.conv5 = ConvNormRelu(inside, inside)
        self.fc = nn.Sequential(nn.Linear(inside, inside), nn.BatchNorm1d(inside), nn.ReLU())
        if identities:
            self.classifier = nn.Linear(inside, identities)

    def features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 512, H / 16, W / 16)."""
        x = self.conv2(F.max_pool2d(self.conv1(x), 3, 2, 1))
        x = self.conv3(F.avg_pool2d(self.pool2(x), 2))
        return self.conv5(self.conv4(F.avg_pool2d(self.pool3(x), 2)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 512)."""
        return F.normalize(self.fc(self.features(x).mean((2, 3))))


class PoseGuided(nn.Module):
    """The paper's pose-guided attention: embeddings weighted by keypoint heat maps.

    With m the feature map, A the attention: m_wid = m * A + m, then a linear layer to 128 numbers.
    From the paper: A comes from the keypoint heat maps by a simple convolution and has the size of
    m; the embedding has 128 numbers. Our choice, where the paper says nothing: the 3 x 3
    convolution starts at 0, so that nothing is weighted at first; heat maps are averaged to the
    size of m; m_wid is averaged over its pixels; the embedding has length 1.
    """

    def __init__(self, keypoints: int, channels: int = 512, numbers: int = 128) -> None:
        super().__init__()
        self.attend = nn.Conv2d(keypoints, channels, 3, 1, 1)
        nn.init.zeros_(self.attend.weight)
        nn.init.zeros_(self.attend.bias)  # type: ignore[arg-type]
        self.fc = nn.Linear(channels, numbers)

    def weigh(self, features: Tensor, maps: Tensor) -> Tensor:
        """(N, C, h, w) features weighted by (N, K, H, W) maps of 0..1, H and W multiples."""
        kernel = (maps.shape[2] // features.shape[2], maps.shape[3] // features.shape[3])
        attention = self.attend(F.avg_pool2d(maps, kernel))
        return features * attention + features

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:
        """(N, C, h, w), (N, K, H, W) -> (N, 128) of length 1."""
        return F.normalize(self.fc(self.weigh(features, maps).mean((2, 3))))


def osnet_input(crops: Tensor) -> Tensor:
    """(N, H, W, 3) RGB, 0..255, of any type -> (N, 3, H, W) float32, OSNet's input."""
    scaled, each = crops.float() / 255, enumerate(zip(MEAN, SPREAD, strict=True))
    return torch.stack([(scaled[..., i] - mean) / spread for i, (mean, spread) in each], 1)


def load(tensors: Mapping[str, np.ndarray]) -> Osnet:
    """OSNet-AIN from a checkpoint, float32, in inference mode.

    Args:
        tensors: by name: all of the network's, and no others, optionally all prefixed "module.";
            the classifier and the batch norm counters may be missing.

    Raises:
        VitruvianError: a tensor is missing, unknown, or of another shape.
    """
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    if "classifier.weight" in tensors and tensors["classifier.weight"].ndim != 2:
        raise VitruvianError("not an OSNet-AIN network: its classifier is not a matrix")
    people = len(tensors["classifier.weight"]) if "classifier.weight" in tensors else 0
    with torch.device("meta"):  # a damaged file allocates no memory
        network = Osnet(people)
    fill(network, tensors, "OSNet-AIN", counters=True)
    return network
