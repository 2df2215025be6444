"""What decides a training run, as a TOML file and as a dataclass of the same names."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from vitruvian.documents import read_toml, unreadable
from vitruvian.errors import shown, unknown


@dataclass(frozen=True)
class TomlRecipe:
    """A recipe: every field has a default, and a TOML file of the same names overrides it."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """A recipe from a TOML file; what it does not say is as it is here.

        Raises:
            VitruvianError: it cannot be read, or says something unknown.
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
        """All of it, to be kept beside the weights."""
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in asdict(self).items()]
        path.write_text("".join(lines), encoding="utf-8")
