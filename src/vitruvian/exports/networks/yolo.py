"""YOLOv8-pose in PyTorch: n, s, m, l, x and x-p6, with the parameter names of the official files.

A backbone with strides 8, 16 and 32 (and 64: p6), a path aggregation neck, and a head that
predicts a bounding box, class scores and K keypoints at every cell of every stride.

Source: our own, from the behaviour of Ultralytics 8.4.190 (specs/yolov8pose.md). Li et al. 2020,
"Generalized Focal Loss" (boxes as distributions).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vitruvian.errors import VitruvianError
from vitruvian.exports.networks.tensors import fill

BINS = 16  # of the distribution of each side of a bounding box, in cells
WIDTHS = (64, 128, 256, 512, 768, 1024)  # channels of strides 2, 4, 8, ..., before scaling
# scale: depth, width, maximum channels before the width is applied
SCALES = {
    "n": (0.33, 0.25, 1024),
    "s": (0.33, 0.50, 1024),
    "m": (0.67, 0.75, 768),
    "l": (1.00, 1.00, 512),
    "x": (1.00, 1.25, 512),
}


@dataclass(frozen=True)
class YoloShape:
    """Configuration of a YOLOv8-pose network."""

    channels: tuple[int, ...]  # of strides 2, 4, 8, 16, 32 (and 64)
    depths: tuple[int, int]  # bottlenecks in a short and in a long stage
    keypoints: int = 17  # K
    numbers: int = 3  # per keypoint: x, y and a score; 2: no score
    classes: int = 1
    keypoint_channels: int = 0  # inside the keypoint branch; 0: as published for these keypoints

    @classmethod
    def of(
        cls,
        scale: str,
        *,
        p6: bool = False,
        keypoints: int = 17,
        numbers: int = 3,
        classes: int = 1,
    ) -> YoloShape:
        """Configuration of a published scale: a key of `SCALES`."""
        depth, width, most = SCALES[scale]
        widths = WIDTHS if p6 else WIDTHS[:4] + WIDTHS[5:]
        channels = tuple(8 * math.ceil(min(c, most) * width / 8) for c in widths)
        depths = (max(round(3 * depth), 1), max(round(6 * depth), 1))
        return cls(channels, depths, keypoints, numbers, classes)

    @classmethod
    def infer(cls, tensors: Mapping[str, np.ndarray], keypoints: int | None = None) -> YoloShape:
        """Infer the configuration from the shapes in a checkpoint.

        Args:
            tensors: by name.
            keypoints: K, if known. 6 numbers per row could be 2 keypoints with a score or 3
                without: if K is unknown, scores are assumed where possible.

        Raises:
            VitruvianError: the tensors are not of a YOLOv8-pose network.
        """

        def size(name: str, axis: int = 0) -> int:
            if name not in tensors or tensors[name].ndim <= axis:
                raise VitruvianError(f"not a YOLOv8-pose network: it has no tensor '{name}'")
            return tensors[name].shape[axis]

        def count(prefix: str) -> int:
            rest = (name[len(prefix) :] for name in tensors if name.startswith(prefix))
            return len({name.split(".")[0] for name in rest})

        head = f"model.{30 if 'model.30.dfl.conv.weight' in tensors else 22}"
        if f"{head}.cv3.0.0.0.conv.weight" in tensors:
            raise VitruvianError(
                "not a YOLOv8 network: it has the head of YOLO11, which is not supported"
            )
        rows = size(f"{head}.cv4.0.2.weight")
        if keypoints is None:
            keypoints = rows // 3 if rows % 3 == 0 else rows // 2
        numbers = rows // max(keypoints, 1)
        if numbers not in (2, 3) or keypoints * numbers != rows:
            raise VitruvianError(
                f"its head gives {rows} numbers for keypoints, want 2 or 3 for each of "
                f"{keypoints}; give the skeleton it was trained with"
            )
        strides = (0, 1, 3, 5, 7, 9) if head == "model.30" else (0, 1, 3, 5, 7)
        channels = tuple(size(f"model.{layer}.conv.weight") for layer in strides)
        inside = size(f"{head}.cv4.0.0.conv.weight")
        return cls(
            channels,
            (count("model.2.m."), count("model.4.m.")),
            keypoints,
            numbers,
            size(f"{head}.cv3.0.2.weight"),
            0 if inside == max(channels[2] // 4, rows) else inside,
        )


class YoloConv(nn.Module):
    """Convolution, batch norm, SiLU; the norm can be folded into the convolution."""

    def __init__(self, inside: int, outside: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
        # Not PyTorch's 1e-5 and 0.1: the reference sets these after creating the network.
        self.bn: nn.Module = nn.BatchNorm2d(outside, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        return nn.functional.silu(self.bn(self.conv(x)))

    def fold(self) -> None:
        """Fold the batch norm into the convolution: same function, for inference only."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv = nn.utils.fuse_conv_bn_eval(self.conv, self.bn)
            self.bn = nn.Identity()


class YoloBottleneck(nn.Module):
    """Two 3x3 convolutions with an optional skip connection."""

    def __init__(self, channels: int, around: bool) -> None:
        super().__init__()
        self.cv1 = YoloConv(channels, channels, 3)
        self.cv2 = YoloConv(channels, channels, 3)
        self.around = around

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        y = self.cv2(self.cv1(x))
        return x + y if self.around else y


class C2f(nn.Module):
    """A stage that concatenates every intermediate result for its last convolution."""

    def __init__(self, inside: int, outside: int, depth: int, around: bool = False) -> None:
        super().__init__()
        self.each = half = outside // 2
        self.cv1 = YoloConv(inside, 2 * half)
        self.cv2 = YoloConv((2 + depth) * half, outside)
        self.m = nn.ModuleList(YoloBottleneck(half, around) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        parts = list(self.cv1(x).split(self.each, 1))
        for bottleneck in self.m:
            parts.append(bottleneck(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class C2(nn.Module):
    """A stage that passes on only the last result: in the neck of p6."""

    def __init__(self, inside: int, outside: int, depth: int) -> None:
        super().__init__()
        self.each = half = outside // 2
        self.cv1 = YoloConv(inside, 2 * half)
        self.cv2 = YoloConv(2 * half, outside)
        self.m = nn.Sequential(*(YoloBottleneck(half, around=False) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        a, b = self.cv1(x).split(self.each, 1)
        return self.cv2(torch.cat((self.m(a), b), 1))


class SPPF(nn.Module):
    """Spatial pyramid pooling: max pooling over 5, 9 and 13 cells."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.cv1 = YoloConv(inside, inside // 2)
        self.cv2 = YoloConv(2 * inside, outside)
        self.m = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(self.m(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class Join(nn.Module):
    """Concatenate the current and an earlier result along the channels."""

    def forward(self, x: Tensor, earlier: Tensor) -> Tensor:
        """(B, C, H, W) and (B, C', H, W) -> (B, C + C', H, W)."""
        return torch.cat((x, earlier), 1)


class DFL(nn.Module):
    """Mean of a distribution over `BINS` bins, as a convolution with fixed weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(BINS, 1, 1, bias=False).requires_grad_(False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.arange(BINS).view(1, BINS, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4 * BINS, A) logits, side by side -> (B, 4, A) cells."""
        bins = self.conv.weight[..., 0]
        return torch.cat([(x.softmax(1) * bins).sum(1, True) for x in x.split(BINS, 1)], 1)


class Pose(nn.Module):
    """Detection head: logits of boxes, classes and keypoints for every cell of every level."""

    def __init__(
        self, shape: YoloShape, channels: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.shape, self.strides = shape, strides
        rows = shape.keypoints * shape.numbers
        c2 = max(16, channels[0] // 4, 4 * BINS)
        c3 = max(channels[0], min(shape.classes, 100))
        c4 = shape.keypoint_channels or max(channels[0] // 4, rows)

        def branch(middle: int, outside: int) -> nn.ModuleList:
            return nn.ModuleList(
                nn.Sequential(
                    YoloConv(c, middle, 3),
                    YoloConv(middle, middle, 3),
                    nn.Conv2d(middle, outside, 1),
                )
                for c in channels
            )

        self.cv2 = branch(c2, 4 * BINS)
        self.cv3 = branch(c3, shape.classes)
        self.dfl = DFL()
        self.cv4 = branch(c4, rows)
        for stride, box, score in zip(strides, self.cv2, self.cv3, strict=True):
            # Initial boxes are two cells wide; scores assume five objects in an image of 640 x 640.
            nn.init.constant_(last_bias(box), 2.0)
            nn.init.constant_(last_bias(score), math.log(5 / shape.classes / (640 / stride) ** 2))

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Raw outputs: (B, 64, A), (B, C, A), (B, K * D, A) logits; (3, A) column, row, stride."""
        branches = (self.cv2, self.cv3, self.cv4)
        rows = [
            torch.cat([part(x) for part in parts], 1).flatten(2)
            for x, *parts in zip(levels, *branches, strict=True)
        ]
        sizes = (4 * BINS, self.shape.classes, self.shape.keypoints * self.shape.numbers)
        cells = torch.cat([grid(*pair) for pair in zip(levels, self.strides, strict=True)], 1)
        boxes, scores, keypoints = torch.cat(rows, 2).split(sizes, 1)
        return boxes, scores, keypoints, cells

    def decode(self, boxes: Tensor, scores: Tensor, keypoints: Tensor, cells: Tensor) -> Tensor:
        """(B, 4 + C + K * D, A) pixels of the input: cx cy w h, scores, then x y (score) each."""
        cell, stride = cells[:2], cells[2:]
        left_top, right_bottom = self.dfl(boxes).split(2, 1)
        low, high = cell + 0.5 - left_top, cell + 0.5 + right_bottom
        box = torch.cat(((low + high) / 2, high - low), 1) * stride
        rows = keypoints.unflatten(1, (self.shape.keypoints, self.shape.numbers))
        # Relative to the corner of the cell, unlike the box.
        xy = (rows[:, :, :2] * 2 + cell) * stride
        rows = torch.cat((xy, rows[:, :, 2:].sigmoid()), 2).flatten(1, 2)
        return torch.cat((box, scores.sigmoid(), rows), 1)


def last_bias(branch: nn.Module) -> Tensor:
    """Bias of the last convolution of a branch of the head."""
    return list(branch.parameters())[-1]


def grid(level: Tensor, stride: int) -> Tensor:
    """(3, A): column, row and stride of every cell of (B, C, H, W), row by row."""
    one = torch.ones_like(level[0, 0])  # cumsum of ones: an exported arange is six operations
    return torch.stack((one.cumsum(1) - 1, one.cumsum(0) - 1, one * stride)).flatten(1)


class Yolo(nn.Module):
    """(B, 3, H, W) RGB, 0..1, sides multiples of `strides[-1]` -> detections, see `Pose.decode`."""

    def __init__(self, shape: YoloShape) -> None:
        super().__init__()
        self.shape = shape
        self.strides = tuple(8 << i for i in range(len(shape.channels) - 2))
        p1, p2, *levels = shape.channels
        short, long = shape.depths
        p6 = len(levels) == 4
        neck = C2 if p6 else C2f

        layers: list[nn.Module] = [
            YoloConv(3, p1, 3, 2),
            YoloConv(p1, p2, 3, 2),
            C2f(p2, p2, short, True),
        ]
        depths = (long, long, *[short] * (len(levels) - 2))
        inside, saved = p2, []
        for c, depth in zip(levels, depths, strict=True):
            layers += [YoloConv(inside, c, 3, 2), C2f(c, c, depth, True)]
            inside = c
            saved.append(len(layers) - 1)
        layers.append(SPPF(inside, inside))
        saved[-1] = len(layers) - 1

        # The earlier result of each `Join`: from the backbone on the way up, from the way up on the
        # way down.
        self.takes: dict[int, int] = {}
        up = [saved[-1]]
        for c, earlier, take in zip(levels[-2::-1], levels[-2::-1], saved[-2::-1], strict=True):
            self.takes[len(layers) + 1] = take
            layers += [nn.Upsample(scale_factor=2.0), Join(), neck(inside + earlier, c, short)]
            inside = c
            up.append(len(layers) - 1)
        self.gives = [up.pop()]
        for c in levels[1:]:
            self.takes[len(layers) + 1] = up.pop()
            layers += [YoloConv(inside, inside, 3, 2), Join(), neck(inside + c, c, short)]
            inside = c
            self.gives.append(len(layers) - 1)
        layers.append(Pose(shape, tuple(levels), self.strides))
        self.model = nn.ModuleList(layers)

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits for training, see `Pose.forward`."""
        results: list[Tensor] = []
        x = images
        for i, layer in enumerate(self.model[:-1]):
            x = layer(x, results[self.takes[i]]) if i in self.takes else layer(x)
            results.append(x)
        return self.model[-1]([results[i] for i in self.gives])

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, 4 + C + K * D, A) pixels of the input, see `Pose.decode`; in training `raw`."""
        if self.training:
            return self.raw(images)
        head = self.model[-1]
        assert isinstance(head, Pose)
        return head.decode(*self.raw(images))

    def fold(self) -> Yolo:
        """Fold all batch norms, see `YoloConv.fold`."""
        for module in self.modules():
            if isinstance(module, YoloConv):
                module.fold()
        return self


def load(tensors: Mapping[str, np.ndarray], keypoints: int | None = None) -> Yolo:
    """The network of a checkpoint, float32, in inference mode; folded if the file is.

    Args:
        tensors: by name: all of the network's, and no others.
        keypoints: K, if known, see `YoloShape.infer`.

    Raises:
        VitruvianError: a tensor is missing, unknown, or of another shape.
    """
    with torch.device("meta"):  # a damaged file allocates no memory
        network = Yolo(YoloShape.infer(tensors, keypoints))
        if not any(".bn." in name for name in tensors):
            network.eval().fold()
    fill(network, tensors, "YOLOv8-pose")
    return network
