"""A network prepared for export: metadata and check.

Crops of people are (N, H, W, 3) RGB, normalised in the graph; N is dynamic, H and W are those of
training.
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
PART = 2e-4  # tolerance relative to the largest value: 100 times the measured difference
CROPS = (1, 3)  # batch sizes of the check


@dataclass(frozen=True, eq=False)
class Graph:
    """A network prepared for export."""

    family: str
    network: nn.Module  # with folded batch norms
    about: dict[str, str]  # metadata
    example: tuple[Tensor, ...]  # inputs for tracing
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: dict[str, dict[int, str]]  # dynamic axes of inputs and outputs
    unit: str  # of what `check` returns
    check: Callable[[Run, str], float]  # difference of a runtime, by name, from torch
    displacement: Callable[[Run, Sequence[np.ndarray]], float] | None = field(default=None)


class Normalised(nn.Module):
    """A network with normalisation, for raw crops of people: (N, H, W, 3) RGB."""

    def __init__(self, network: nn.Module, normalise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.normalise = network, normalise

    def forward(self, crops: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Outputs for raw crops."""
        return self.network(self.normalise(crops))


def of_crops(
    network: Normalised,
    about: dict[str, str],
    size: tuple[int, int],
    outputs: tuple[str, ...],
    numbers: torch.dtype = torch.uint8,
) -> Graph:
    """The graph of a network for crops of (height, width): uint8, or float32 of 0..1."""
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
        "of the largest value",
        lambda run, name: check_crops(network, run, name, size, numbers),
    )


def fold(network: nn.Module) -> None:
    """Fold every batch norm into the layer named just before it."""
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
    """Maximum difference between a runtime and torch, relative to torch's largest value.

    Raises:
        ValueError: the difference is too large.
    """
    worst = 0.0
    for count in CROPS:
        pixels = smooth_crops(count, size)
        if numbers == torch.float32:
            pixels = pixels / np.float32(255)
        worst = max(worst, off(network, run, pixels))
        if not worst < PART:
            raise ValueError(f"{name} is {worst} of the largest value different from PyTorch")
    return worst


def smooth_crops(count: int, size: tuple[int, int]) -> np.ndarray:
    """(count, *size, 3) uint8: random colours, smooth: on noise, rounding errors can grow."""
    rng = np.random.default_rng(count)
    colours = torch.from_numpy(rng.random((count, 3, 8, 8), np.float32) * 255)
    spread = nn.functional.interpolate(colours, size=size, mode="bilinear")
    return spread.permute(0, 2, 3, 1).round().numpy().astype(np.uint8)


def off(network: nn.Module, run: Run, *inputs: np.ndarray) -> float:
    """Maximum difference between a runtime and torch, relative to each output's largest value."""
    with torch.no_grad():
        answer = network(*(torch.from_numpy(array) for array in inputs))
    wants = answer if isinstance(answer, tuple) else (answer,)
    pairs = zip(run(*inputs), (want.numpy() for want in wants), strict=True)
    return max(float(np.abs(got - want).max() / np.abs(want).max()) for got, want in pairs)
