"""Model specification: name, options, and a label for tables and panels."""

from __future__ import annotations

import os
import re
from ast import literal_eval
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitruvian.errors import VitruvianError, shown

_NEXT = re.compile(r",(?=\s*\w+\s*=)")  # a comma before the next `name=`
RUN_NETWORK = "model.onnx"  # in the folder of a training run, see `vitruvian.training.folder`
_WORDS = {"true": "True", "false": "False", "none": "None"}


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """A model with options; several specs may share a model."""

    label: str  # shown in tables and panels
    name: str  # of the catalogue, or a file
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> ModelSpec:
        """Parse `NAME` or `NAME,option=value,...`, such as `yolov8n-pose,conf=0.4`.

        A part without `=` continues the previous value: in `vitruvian-2d,flip=true,scales=0.75,1`
        the scales are 0.75 and 1. Values are Python literals, or else strings.

        Raises:
            VitruvianError: a part before the first option has no `=`.
        """
        if os.path.isfile(text):  # noqa: PTH113  # no error for names that are too long
            return cls(Path(text).name, text)
        if os.path.isdir(text):  # noqa: PTH112
            return cls(Path(text).name, network_of_run(text))
        name, *options = (part.strip() for part in _NEXT.split(text))
        if "," in name and not os.path.isfile(name):  # noqa: PTH113
            name, _, part = name.partition(",")
            raise VitruvianError(f"'{part}' is not an option; write name=value")
        label = f"{Path(name).name} ({' '.join(options)})" if options else Path(name).name
        if os.path.isdir(name):  # noqa: PTH112
            name = network_of_run(name)
        return cls(label, name, parse_options(options))

    @classmethod
    def of(cls, model: str | Path | ModelSpec) -> ModelSpec:
        """A spec from a spec, a file, or text for `parse`."""
        return model if isinstance(model, ModelSpec) else cls.parse(str(model))

    def with_defaults(self, **options: Any) -> ModelSpec:
        """With default options added; None and options already set are skipped."""
        given = {name: value for name, value in options.items() if value is not None}
        return ModelSpec(self.label, self.name, {**given, **self.options})


def network_of_run(folder: str) -> str:
    """The network in the folder of a training run; a folder without one as is.

    Raises:
        VitruvianError: the run is not finished.
    """
    file = Path(folder, RUN_NETWORK)
    if not file.is_file() and Path(folder, "state.pt").is_file():
        raise VitruvianError(
            f"the run in '{shown(folder, 100)}' is not finished; continue it with `vitruvian "
            "train --resume`"
        )
    return str(file) if file.is_file() else folder


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Parse `name=value` pairs; values are Python literals, or else strings.

    Raises:
        VitruvianError: a pair has no `=`.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = (part.strip() for part in pair.partition("="))
        if not sign:
            raise VitruvianError(f"'{pair}' is not an option; write name=value")
        try:
            options[name] = literal_eval(_WORDS.get(value.lower(), value))
        except (ValueError, SyntaxError):
            options[name] = value
    return options


def model_specs(models: Sequence[str | Path | ModelSpec]) -> list[ModelSpec]:
    """Convert names, files and specs to specs with unique labels.

    Raises:
        VitruvianError: two have the same label, or the list is empty.
    """
    if not models:
        raise VitruvianError("no model; give --model at least once")
    specs: list[ModelSpec] = []
    for spec in map(ModelSpec.of, models):
        if spec.label in (other.label for other in specs):
            raise VitruvianError(
                f"two models are named '{spec.label}'; remove one, or change an option"
            )
        specs.append(spec)
    return specs
