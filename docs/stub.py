"""The stub of the package, `src/vitruvian/__init__.pyi`: what editors and type checkers read.

The names of the package are loaded when they are first used, and the parameters of verbs come from
groups (`vitruvian.verbs.groups`); a tool that does not run the code sees neither.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections import defaultdict
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import vitruvian
from vitruvian.verbs.groups import flat_parameters, is_group

HEAD = '''\
"""The public names of vitruvian, for editors and type checkers.

Made by `python docs/generate.py` from the functions themselves.
"""

'''


def stub() -> str:
    """The text of the stub: each verb with all its keywords, the other names as imports."""
    needed, verbs = defaultdict[str, set[str]](set), list[str]()
    for name, module in vitruvian._PUBLIC.items():
        value = getattr(vitruvian, name)
        if inspect.isfunction(value) and hasattr(value, "__wrapped__"):
            verbs.append(_verb(inspect.unwrap(value), needed))
        else:
            needed[f"vitruvian.{module}"].add(f"{name} as {name}")
    lines = [
        f"from {module} import {', '.join(sorted(needed[module]))}" for module in sorted(needed)
    ]
    known = ["__version__: str", "__all__: list[str]", "_PUBLIC: dict[str, str]"]
    return HEAD + "\n".join([*lines, "", *known, "", *verbs])


def _verb(function: Callable[..., Any], needed: dict[str, set[str]]) -> str:
    """A function that takes flat keywords, or whole groups; adds what must be imported."""
    groups = {
        name: type(each.default)
        for name, each in inspect.signature(function).parameters.items()
        if is_group(each)
    }
    homes = {field.name: kind for kind in groups.values() for field in fields(kind)}
    first, named = list[str](), list[str]()
    for name, each in flat_parameters(function).items():
        _need(each.annotation, homes.get(name, function).__module__, needed)
        whole = groups.pop(name, None)  # `camera` is a group with a field of that name
        kind = each.annotation if whole is None else f"{each.annotation} | {whole.__name__}"
        if whole is not None:
            _need(whole.__name__, whole.__module__, needed)
        default = "" if each.default is each.empty else f" = {_default(each.default, needed)}"
        part = named if each.kind is each.KEYWORD_ONLY else first
        part.append(f"{name}: {kind}{default}")
    for name, whole in groups.items():
        _need(whole.__name__, whole.__module__, needed)
        named.append(f"{name}: {whole.__name__} = ...")
    returns = function.__annotations__["return"]
    _need(returns, function.__module__, needed)
    body = "".join(f"    {line},\n" for line in [*first, "*", *named])
    said = textwrap.indent(inspect.cleandoc(function.__doc__ or ""), "    ").lstrip()
    return f'def {function.__name__}(\n{body}) -> {returns}:\n    """{said}\n    """\n'


def _default(value: Any, needed: dict[str, set[str]]) -> str:
    if isinstance(value, Path):
        needed["pathlib"].add("Path")
        return f"Path({str(value)!r})"
    return "..." if callable(value) else repr(value)


def _need(annotation: str, module: str, needed: dict[str, set[str]]) -> None:
    """Add the names that an annotation of a module has, each from where it is defined."""
    for node in ast.walk(ast.parse(annotation)):
        if isinstance(node, ast.Name) and node.id not in {*vars(builtins), *vitruvian._PUBLIC}:
            home = module
            while node.id in (homes := _homes(home)):
                home = homes[node.id]
            needed[home].add(node.id)


@cache
def _homes(module: str) -> dict[str, str]:
    """Name -> the module that a module of ours imports it from."""
    if not module.startswith("vitruvian"):
        return {}
    tree = ast.parse(inspect.getsource(import_module(module)))
    return {
        name.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    }
