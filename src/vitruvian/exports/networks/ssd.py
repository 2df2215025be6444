"""The person detector in PyTorch: an SSD on MobileNetV2, with the weights of Objectron's file.

Six layers of strides 16 to 512, each with a row of box offsets and a class for each anchor. Only
people are kept of the 24 classes. Batch norms are folded into the convolutions, as in the file.

Source: the operations of MediaPipe Objectron's object detector as OpenVINO lists them; Sandler et
al. 2018, "MobileNetV2"; Liu et al. 2016, "SSD: Single Shot MultiBox Detector".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitruvian.errors import VitruvianError
from vitruvian.network.openvino import convolutions

# Of the stages of inverted residual blocks: channels, number, stride of the first.
STAGES = ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
STEM, FIRST, TOP = 32, 16, 1280  # channels
EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))  # channels inside and of the output
EARLY = 3  # blocks up to stride 8
TAPPED = 13  # the block whose expansion, of stride 16, is the first layer with anchors
ANCHORS = (3, 6, 6, 6, 6, 6)  # of a cell in each layer
CLASSES, PERSON = 24, 4  # of the file


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: what is odd of it comes below and right.

    That depends on the size of its input; with a `padding` of its own it is `nn.Conv2d`.
    """

    def __init__(
        self, inside: int, outside: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ):
        super().__init__(inside, outside, kernel, stride, groups=groups)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride), rounded up."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if kernel == 1 or self.padding != (0, 0):
            return super().forward(input)
        sides = [int(side) for side in input.shape[:1:-1]]
        more = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in sides]
        if not any(n % 2 for n in more):  # as many on both sides, which needs no copy
            padding = [n // 2 for n in more[::-1]]
            return functional.conv2d(
                input, self.weight, self.bias, self.stride, padding, groups=self.groups
            )
        return super().forward(
            functional.pad(input, [part for n in more for part in (n // 2, n - n // 2)])
        )


def _relu6(x: Tensor) -> Tensor:
    """ReLU6 in place, of what a convolution gives: less memory, faster."""
    return functional.relu6(x, inplace=True)


class Block(nn.Module):
    """Expand sixfold, depthwise convolution, project; with a skip connection where shapes match."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.expand = SameConv(before, 6 * before)
        self.depthwise = SameConv(6 * before, 6 * before, 3, stride, 6 * before)
        self.project = SameConv(6 * before, after)
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> its expansion, and (N, C', H / stride, W / stride)."""
        wide = _relu6(self.expand(x))
        y = self.project(_relu6(self.depthwise(wide)))
        return wide, x + y if self.residual else y


class PersonSsd(nn.Module):
    """Box offsets and the log odds of a person, for each anchor."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, 2)
        self.depthwise = SameConv(STEM, STEM, 3, 1, STEM)
        self.project = SameConv(STEM, FIRST)
        blocks, before = [], FIRST
        for channels, number, stride in STAGES:
            for i in range(number):
                blocks.append(Block(before, channels, 1 if i else stride))
                before = channels
        self.blocks = nn.ModuleList(blocks)
        self.top = SameConv(before, TOP)
        widths = [6 * STAGES[4][0] * 96 // 160, TOP, *(wide for _, wide in EXTRAS)]
        pairs = zip(widths[1:-1], EXTRAS, strict=True)
        self.extras = nn.ModuleList(
            nn.ModuleList((SameConv(inside, thin), SameConv(thin, wide, 3, 2)))
            for inside, (thin, wide) in pairs
        )
        each = list(zip(widths, ANCHORS, strict=True))
        self.boxes = nn.ModuleList(SameConv(width, 4 * number) for width, number in each)
        self.person = nn.ModuleList(SameConv(width, number) for width, number in each)

    def early(self) -> list[nn.Module]:
        """The layers up to stride 8, which have learned what all pictures have in common."""
        return [self.stem, self.depthwise, self.project, *list(self.blocks)[:EARLY]]

    def begin(self, frames: Tensor) -> Tensor:
        """(N, H, W, 3) RGB -1..1 -> (N, C, H / 8, W / 8), what `early` computes."""
        x = frames.permute(0, 3, 1, 2)
        x = self.project(_relu6(self.depthwise(_relu6(self.stem(x)))))
        for block in list(self.blocks)[:EARLY]:
            _, x = block(x)
        return x

    def layers(self, x: Tensor) -> Iterator[Tensor]:
        """(N, C, H / 8, W / 8) of `begin` -> features of strides 16 to 512."""
        for i, block in enumerate(list(self.blocks)[EARLY:], EARLY):
            wide, x = block(x)
            if i == TAPPED - 1:
                yield wide
        x = _relu6(self.top(x))
        yield x
        for extra in self.extras:
            assert isinstance(extra, nn.ModuleList)
            for conv in extra:
                x = _relu6(conv(x))
            yield x

    def finish(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H / 8, W / 8) of `begin` -> as `forward`."""
        rows, logits = [], []
        for layer, box, person in zip(self.layers(x), self.boxes, self.person, strict=True):
            rows.append(box(layer).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)))
            logits.append(person(layer).permute(0, 2, 3, 1).flatten(1).unsqueeze(2))
        return torch.cat(rows, 1), torch.cat(logits, 1)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(N, H, W, 3) RGB -1..1 -> (N, A, 4) y x h w, (N, A, 1) before the sigmoid."""
        return self.finish(self.begin(frames))


def _in_order(network: PersonSsd) -> Iterator[nn.Module]:
    """The convolutions in the order of the file."""
    yield from (network.stem, network.depthwise, network.project)
    classes = iter(network.person)
    for i, block in enumerate(network.blocks):
        assert isinstance(block, Block)
        yield block.expand
        if i == TAPPED - 1:
            yield next(classes)
        yield from (block.depthwise, block.project)
    yield from (network.top, next(classes))
    for extra in network.extras:
        assert isinstance(extra, nn.ModuleList)
        yield from extra
        yield next(classes)
    yield from network.boxes


def read_person_ssd(file: Path) -> PersonSsd:
    """Load Objectron's object detector, with people as its only class.

    Raises:
        VitruvianError: the file is of another network.
    """
    network = PersonSsd()
    modules, stored = list(_in_order(network)), convolutions(file)
    people = {id(module) for module in network.person}
    for module, (weight, bias) in zip(modules, stored, strict=False):
        if id(module) in people:
            weight, bias = weight[PERSON::CLASSES], bias[PERSON::CLASSES]
        values = {"weight": weight, "bias": bias}
        for name, part in module.named_parameters():
            if part.shape != values[name].shape or len(stored) != len(modules):
                raise VitruvianError(f"cannot read '{file}' as an SSD on MobileNetV2")
            part.data = torch.from_numpy(np.ascontiguousarray(values[name]))
    return network.eval()
