"""A network on its way into a file: what it says of itself, and how it is checked.

Crops of people are (N, H, W, 3) RGB as they come, normalised in the graph; N is free, H and W are
those of the network's training.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

Run = Callable[..., tuple[np.ndarray, ...]]
PART = 2e-4  # how far a runtime may be from torch, of the largest number: 100 times what was seen
CROPS = (1, 3)  # how many at a time


@dataclass(frozen=True, eq=False)
class Graph:
    """A network on its way into a file."""

    family: str
    network: nn.Module  # folded
    about: dict[str, str]  # metadata
    example: tuple[Tensor, ...]  # it is traced with
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: dict[str, dict[int, str]]  # those that are free, of inputs and outputs
    unit: str  # of what `check` returns
    check: Callable[[Run, str], float]  # how far a runtime, by its name, is from torch
    displacement: Callable[[Run, Sequence[np.ndarray]], float] | None = field(default=None)


class Normalised(nn.Module):
    """A network that takes crops of people as they come: (N, H, W, 3) RGB."""

    def __init__(self, network: nn.Module, normalise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.normalise = network, normalise

    def forward(self, crops: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the network makes of them."""
        return self.network(self.normalise(crops))


def of_crops(
    network: Normalised,
    about: dict[str, str],
    size: tuple[int, int],
    outputs: tuple[str, ...],
    numbers: torch.dtype = torch.uint8,
) -> Graph:
    """The graph of a network of crops of (height, width): uint8, or float32 of 0..1."""
    network.eval().requires_grad_(False)
    fold(network)
    return Graph(
        about["family"],
        network,
        about,
        (torch.zeros(2, *size, 3, dtype=numbers),),
        ("crops",),
        outputs,
        {name: {0: "people"} for name in ("crops", *outputs)},
        "of the largest number",
        lambda run, name: check_crops(network, run, name, size, numbers),
    )


def fold(network: nn.Module) -> None:
    """Make every batch norm a part of the layer that is named just before it."""
    for module in network.modules():
        for (_, layer), (name, norm) in itertools.pairwise(list(module.named_children())):
            if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                continue
            if isinstance(layer, nn.Sequential):
                layer = layer[-1]
            state = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
            if isinstance(layer, nn.Linear):
                fused = fuse_linear_bn_weights(layer.weight, layer.bias, *state)  # type: ignore[arg-type]
            elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                across = isinstance(layer, nn.ConvTranspose2d)
                fused = fuse_conv_bn_weights(layer.weight, layer.bias, *state, across)  # type: ignore[arg-type]
            else:
                raise TypeError(f"a batch norm after {type(layer).__name__}")
            layer.weight, layer.bias = fused
            setattr(module, name, nn.Identity())


def check_crops(
    network: nn.Module, run: Run, name: str, size: tuple[int, int], numbers: torch.dtype
) -> float:
    """How far a runtime is from torch: at most, of the largest number that torch gives.

    Raises:
        ValueError: too far.
    """
    rng = np.random.default_rng(0)
    worst = 0.0
    for count in CROPS:
        # Smooth colours: noise is like no picture, and rounding can grow in it without end.
        colours = torch.from_numpy(rng.random((count, 3, 8, 8), np.float32) * 255)
        spread = nn.functional.interpolate(colours, size=size, mode="bilinear")
        pixels = spread.permute(0, 2, 3, 1).round().numpy().astype(np.uint8)
        if numbers == torch.float32:
            pixels = pixels / np.float32(255)
        worst = max(worst, off(network, run, pixels))
        if not worst < PART:
            raise ValueError(f"{name} is {worst} of the largest value away from PyTorch")
    return worst


def off(network: nn.Module, run: Run, *inputs: np.ndarray) -> float:
    """How far a runtime is from torch, of the largest number of each output: at most."""
    with torch.no_grad():
        answer = network(*(torch.from_numpy(array) for array in inputs))
    wants = answer if isinstance(answer, tuple) else (answer,)
    pairs = zip(run(*inputs), (want.numpy() for want in wants), strict=True)
    return max(float(np.abs(got - want).max() / np.abs(want).max()) for got, want in pairs)
