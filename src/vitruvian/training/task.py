"""What a family of models gives to the training loop, `vitruvian.training.fit`.

To make a family trainable, write a class with the members of `Task` (nothing has to be inherited),
made from `(recipe, model, data)`: `model` is the name or file to start from, `data` a
`vitruvian.training.data.labelled.Data`; and a `Recipe` with the fields of its own. Add both to
`vitruvian.training.trainable`. The loop does the rest: batches, devices, processes, precision,
learning rates, moving average, checkpoints, logs, early stop. Rules:

- A sample depends on its index, the epoch and `recipe.seed` only (`sample_rng`), so that a run that
  is resumed, or distributed to several processes, sees the same samples.
- A loss term is a sum and what it is divided by (`LossTerm`), so that a batch distributed to
  several processes has the same loss.
- `loss` gets the network as a function; it computes in the recipe's precision. Convert its outputs
  with `.float()` before sensitive arithmetic. Random numbers of PyTorch are seeded at every step.
- `validate` and `export` get the moving average of the weights, in evaluation mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor, nn

from vitruvian.training.recipe import Recipe

Batch = dict[str, Tensor]
Forward = Callable[..., Any]  # the network, in training


class LossTerm(NamedTuple):
    """A loss term: a sum over the samples of a batch, and what it is divided by."""

    total: Tensor  # () times the term's weight in the loss
    number: Tensor | float  # of samples, keypoints, ...: less than 1 counts as 1


class Figure(NamedTuple):
    """A validation figure with its 95 % interval; NaN: no interval."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, eq=False)
class Group:
    """Parameters with a learning rate of their own; those in no group are frozen."""

    parameters: Sequence[nn.Parameter]
    rate: float  # after the warm-up
    decay: float = 0.0  # weight decay
    since: int = 0  # first epoch in which they learn
    first_rate: float = 0.0  # learning rate at the start of the warm-up


@dataclass(frozen=True)
class DataReport:
    """What a task learns from, for the reader of the run."""

    sha256: str  # of the labels, to recognise the data
    lines: list[str] = field(default_factory=list)  # people, keypoints, sizes
    suspicious: list[str] = field(default_factory=list)  # what should be looked at


class Task(Protocol):
    """What a training run learns, and from what."""

    @property
    def recipe(self) -> Recipe:
        """Parameters of the run."""
        ...

    @property
    def lower_is_better(self) -> bool:
        """Whether the first figure of `validate` is an error; otherwise it is an accuracy."""
        ...

    def report(self) -> DataReport:
        """What the data is; called once, before the first step."""
        ...

    def order(self, epoch: int) -> Sequence[int]:
        """Indices of the samples of an epoch, in order; see `shuffled`."""
        ...

    def sample(self, index: int, epoch: int) -> Any:
        """One augmented sample; see `sample_rng`."""
        ...

    def collate(self, samples: Sequence[Any]) -> Batch:
        """A batch of samples: tensors by name, on the CPU. Images may be uint8."""
        ...

    def draw(self, sample: Any) -> np.ndarray:
        """(H, W, 3) uint8 RGB: what the network sees, with the targets drawn."""
        ...

    def network(self) -> nn.Module:
        """The network before training."""
        ...

    def groups(self, network: nn.Module) -> Sequence[Group]:
        """The parameters that learn."""
        ...

    def loss(self, network: Forward, batch: Batch) -> Mapping[str, LossTerm]:
        """Loss terms of a batch, which are added up."""
        ...

    def validate(self, network: nn.Module) -> Mapping[str, Figure]:
        """Figures on the validation data; the first decides which weights are the best."""
        ...

    def pictures(self, network: nn.Module) -> Sequence[np.ndarray]:
        """(H, W, 3) uint8 RGB each: predictions on a few fixed validation pictures."""
        ...

    def export(self, network: nn.Module, file: Path) -> None:
        """Write a checked .onnx file that `vitruvian.load` opens, and what belongs to it."""
        ...


def sample_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers of one sample."""
    return np.random.default_rng([seed, epoch, index])


def shuffled(count: int, seed: int, epoch: int) -> np.ndarray:
    """(count,) int: every sample once, in an order of the epoch's own."""
    return np.random.default_rng([seed, epoch]).permutation(count)
