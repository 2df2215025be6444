"""Training recipes: the parameters of a run as a TOML file or a dataclass with the same names."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from vitruvian.documents import read_toml, unreadable
from vitruvian.errors import shown, unknown


@dataclass(frozen=True)
class TomlRecipe:
    """Base class of recipes: every field has a default, which a TOML file can override."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a recipe from a TOML file; missing fields keep their defaults.

        Raises:
            VitruvianError: the file cannot be read or has unknown fields.
        """
        given = read_toml(path)
        known = {field.name: type(field.default) for field in fields(cls)}
        for name, value in given.items():
            if name not in known:
                raise unknown("entry of a recipe", name, known)
            if not isinstance(value, known[name]):
                raise unreadable(
                    path, f"{name} is {shown(repr(value))}, want {known[name].__name__}"
                )
        return cls(**given)

    def write(self, path: Path) -> None:
        """Write all fields to a TOML file, to be kept beside the weights."""
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in asdict(self).items()]
        path.write_text("".join(lines), encoding="utf-8")
