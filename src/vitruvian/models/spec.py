"""A model that stands beside others: its name, the options it gets, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitruvian.errors import VitruvianError


@dataclass(frozen=True, eq=False)
class Contender:
    """One model with options; several may be of the same model."""

    label: str  # what it is called in tables and panels
    name: str  # in the catalogue, or a file
    options: Mapping[str, Any] = field(default_factory=dict)


def contenders(models: Sequence[str | Contender]) -> list[Contender]:
    """Names, files and contenders as contenders, no two of one label.

    Raises:
        VitruvianError: two have the same label, or there is none.
    """
    if not models:
        raise VitruvianError("there is no model; give --model at least once")
    found: list[Contender] = []
    for model in models:
        one = model if isinstance(model, Contender) else Contender(_short(model), model)
        if one.label in (other.label for other in found):
            raise VitruvianError(
                f"two models are called '{one.label}'; leave one out, or give it another option"
            )
        found.append(one)
    return found


def _short(name: str) -> str:
    """A file without its folder; names of the catalogue have none."""
    return Path(name).name
