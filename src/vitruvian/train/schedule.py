"""How networks with BlazePose's backbone are tuned: the pace of each weight, of each step."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

Net = TypeVar("Net", bound=nn.Module)


class ScaledParameter(nn.Module):
    """A parameter as a fixed scale times what is learned."""

    scale: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, learned: Tensor) -> Tensor:
        """The parameter."""
        return learned * self.scale

    def right_inverse(self, parameter: Tensor) -> Tensor:
        """What is learned."""
        return parameter / self.scale


def rescale_weights(backbone: nn.Module) -> None:
    """Let all numbers of the backbone be learned at the same pace.

    With its batch norms folded, the weights of one channel are 10^5 times those of another, and
    Adam moves all by as much: the small ones would be lost within an epoch. So each output channel
    is learned relative to its own size, and biases relative to those of their layer.
    """
    for module in list(backbone.modules()):
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
            square = module.weight.detach().square()
            size = square.mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-6)
            parametrize.register_parametrization(module, "weight", ScaledParameter(size))
            if module.bias is not None:
                size = module.bias.detach().square().mean().sqrt().clamp_min(1e-6)
                parametrize.register_parametrization(module, "bias", ScaledParameter(size))


def restore_weights(network: nn.Module) -> None:
    """Undo `rescale_weights`: the parameters as they are."""
    for module in list(network.modules()):
        for name in ("weight", "bias") if parametrize.is_parametrized(module) else ():
            parametrize.remove_parametrizations(module, name)


def channels_last(network: Net) -> Net:
    """The network, its weights laid out as a CPU is quickest with: by half again."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def keep_freed_memory() -> None:
    """Let freed memory stay with the process, where the C library is glibc.

    It gives large blocks back at once, and asking the kernel for them anew is 0.4 of a step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    trim_threshold, mmap_max = -1, -4  # names of malloc.h
    mallopt(trim_threshold, -1)
    mallopt(mmap_max, 0)


def depthwise_in_float32(network: nn.Module) -> None:
    """Let convolutions of single channels compute in float32, also under autocast.

    Their backward pass in bfloat16 takes a CPU twice as long as that in float32; for all others it
    is the other way round.
    """

    def forward(before: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return before(x.float())

    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            module.forward = partial(forward, module.forward)  # type: ignore[method-assign]


def ema(average: float) -> Callable[[Any, Any, Any], None]:
    """How a moving average follows the weights: quickly at first, as it begins with nothing.

    Args:
        average: what is kept of it at each step, later on.
    """

    @torch.no_grad()
    def update(averages: list[Tensor], current: list[Tensor], steps: Tensor) -> None:
        keep = min(average, (1 + float(steps)) / (10 + float(steps)))
        for kept, fresh in zip(averages, current, strict=True):
            if kept.is_floating_point():
                kept.lerp_(fresh, 1 - keep)
            else:
                kept.copy_(fresh)

    return update


def learning_rate(step: int, since: int, steps: int) -> float:
    """0..1 of the learning rate: 100 steps of rise from `since`, and half a cosine over all."""
    if step < since:
        return 0.0
    warm = min((step - since + 1) / 100, 1.0)
    return warm * (0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)
