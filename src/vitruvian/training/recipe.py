"""Training recipes: the parameters of a run as a TOML file or a dataclass with the same names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from vitruvian.documents import read_toml
from vitruvian.errors import VitruvianError, shown, unknown
from vitruvian.models.spec import parse_options

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    P = TypeVar("P", bound=DataclassInstance)

DEVICES = ("cpu", "cuda", "mps")
PRECISIONS = ("f32", "bf16")
OPTIMISERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "linear")
KEEPS = ("best", "last")


@dataclass(frozen=True)
class TomlRecipe:
    """Base class of recipes: every field has a default, which a TOML file can override."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a recipe from a TOML file; missing fields keep their defaults.

        Raises:
            VitruvianError: the file cannot be read, has unknown fields, or values of other types.
        """
        return cls().changed(read_toml(path), f"'{path}': ")

    def changed(self, given: dict[str, Any], where: str = "") -> Self:
        """The same recipe with other values of some fields.

        Args:
            given: field -> value.
            where: they are written, for messages.

        Raises:
            VitruvianError: an unknown field, or a value of another type.
        """
        known = {field.name: type(field.default) for field in fields(self)}
        values = dict(given)
        for name, value in given.items():
            if name not in known:
                raise unknown("entry of a recipe", name, known)
            want = known[name]
            if want is float and type(value) is int:
                values[name] = float(value)
            elif type(value) is not want:
                raise VitruvianError(f"{where}{name} is {shown(repr(value))}, want {want.__name__}")
        return replace(self, **values)

    def with_settings(self, settings: Iterable[str]) -> Self:
        """With `name=value` pairs as of the option `--set`.

        Raises:
            VitruvianError: a pair has no `=`, or as `changed`.
        """
        return self.changed(parse_options(settings), "--set: ")

    def part(self, kind: type[P]) -> P:
        """The fields of this recipe that another dataclass has, too, as one of those."""
        names = {field.name for field in fields(self)}
        own = (field.name for field in fields(kind) if field.name in names)
        return kind(**{name: getattr(self, name) for name in own})

    def write(self, path: Path) -> None:
        """Write all fields to a TOML file, to be kept beside the weights."""
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in asdict(self).items()]
        path.write_text("".join(lines), encoding="utf-8")


@dataclass(frozen=True)
class Recipe(TomlRecipe):
    """What every training run has; recipes of tasks add their own fields.

    An epoch is a pass over the data, a step an update of the weights. A step uses `batch` samples
    of each process, `accumulate` times.
    """

    seed: int = 0
    batch: int = 32  # samples per process and forward pass
    accumulate: int = 1  # forward passes per step
    epochs: int = 30
    optimiser: str = "adamw"  # or sgd, with Nesterov momentum
    rate: float = 1e-3  # learning rate after the warm-up
    schedule: str = "cosine"  # or linear: decay of the learning rate after the warm-up
    final: float = 0.02  # learning rate at the end, relative to `rate`
    warmup: int = 100  # steps of a linear warm-up
    momentum: float = 0.9  # of SGD; the first beta of AdamW
    warmup_momentum: float = 0.9  # momentum at the start of the warm-up
    decay: float = 0.02  # weight decay
    clip: float = 20.0  # maximum norm of the gradient; 0: not clipped
    ema: float = 0.998  # decay per step of the moving average of the weights; 0: none
    ema_ramp: float = 0.0  # steps in which that decay is reached to 1 - 1/e; 0: (1 + n) / (10 + n)
    patience: int = 0  # epochs without a better figure before training stops; 0: never
    keep: str = "best"  # weights that are exported: best of the validations, or last
    device: str = "cpu"  # or cuda, mps
    precision: str = "f32"  # of the network in training: f32 or bf16
    threads: int = 0  # of the CPU; 0: one per core
    workers: int = 0  # processes that prepare samples; 0: a thread
    validate_every: int = 1  # epochs
    checkpoint_every: float = 300.0  # seconds
    tensorboard: bool = False  # write event files for TensorBoard as well

    def __post_init__(self) -> None:
        for name, known in (
            ("device", DEVICES),
            ("precision", PRECISIONS),
            ("optimiser", OPTIMISERS),
            ("schedule", SCHEDULES),
            ("keep", KEEPS),
        ):
            if getattr(self, name) not in known:
                raise VitruvianError(
                    f"{name} is '{shown(getattr(self, name))}', want {' or '.join(known)}"
                )
        for name in ("batch", "accumulate", "epochs", "validate_every"):
            if getattr(self, name) < 1:
                raise VitruvianError(f"{name} is {getattr(self, name)}, want a number from 1")
        if not self.rate > 0:
            raise VitruvianError(f"rate is {self.rate}, want a number above 0")
        if not 0 <= self.ema < 1:
            raise VitruvianError(f"ema is {self.ema}, want 0 to below 1")
