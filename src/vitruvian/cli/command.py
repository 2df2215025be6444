"""Typer commands from functions that take dataclasses: one option per field, help in sections."""

from __future__ import annotations

import inspect
import itertools
import os
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

from vitruvian.cli.words import MACHINE, TITLES, WORDS, Word
from vitruvian.errors import VitruvianError
from vitruvian.verbs.groups import flat_parameters, gather

OFFLINE = Word(bool, MACHINE, "Never download anything; same as VITRUVIAN_OFFLINE=1.")
Command = Callable[..., None]


def command(*, offline: bool = True, **own: Word | str) -> Callable[[Command], Command]:
    """Decorate a function for typer: each field of its dataclasses becomes an option.

    Args:
        offline: add the option `--offline`.
        **own: options that differ from `WORDS`. A string replaces only the default that the help
            shows.
    """

    def decorate(function: Command) -> Command:
        parameters = list(flat_parameters(function).values())
        if offline:
            only = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter("offline", only, default=False))
        parameters = [_annotated(each, own.get(each.name)) for each in parameters]

        def flat(**words: Any) -> None:
            if words.pop("offline", False):
                os.environ["VITRUVIAN_OFFLINE"] = "1"
            function(**gather(function, words))

        flat.__name__, flat.__doc__ = function.__name__, function.__doc__
        flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        flat.__annotations__ = {each.name: each.annotation for each in parameters}
        return flat

    return decorate


def _annotated(parameter: inspect.Parameter, own: Word | str | None) -> inspect.Parameter:
    """The parameter with the annotation that typer reads."""
    name, default = parameter.name, parameter.default
    word = own if isinstance(own, Word) else OFFLINE if name == "offline" else WORDS[name]
    kind = word.annotation(name, default, own if isinstance(own, str) else "")
    return parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY)


class TitledHelp(TyperCommand):
    """A command whose help is divided into sections: Input, Model, Output, ..."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words; where an unknown option is one of a model or of --save, say so.

        Raises:
            VitruvianError: it is.
        """
        known = {
            name for each in self.get_params(ctx) for name in (*each.opts, *each.secondary_opts)
        }
        for word in itertools.takewhile(lambda word: word != "--", args):
            name = word.partition("=")[0]
            if name.startswith("--") and name not in known and (way := _instead(name[2:], known)):
                raise VitruvianError(f"no option {name}; use {way}")
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options by section."""
        parts: dict[str, list[tuple[str, str]]] = {title: [] for title in TITLES}
        untitled: list[tuple[str, str]] = []
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx)
            if record is None:
                continue
            if each.param_type_name == "argument":
                record = (each.metavar or record[0], record[1])
            title = getattr(each, "rich_help_panel", None)
            (untitled if title is None else parts[title]).append(record)
        shown = [title for title, records in parts.items() if records]
        parts.setdefault(shown[-1] if shown else "Options", []).extend(untitled)
        for title, records in parts.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records, col_max=26)


def _instead(name: str, known: set[str]) -> str:
    """How an option that a command has not is written, if it is a format or a model's option."""
    from vitruvian.models.load import FAMILIES
    from vitruvian.verbs.outputs import SAVED

    kind, _, saved = name.partition("-")
    if kind == "save" and saved in SAVED and "--save" in known:
        return f"--save {saved}, or with others --save json,{saved}"
    own = name.removeprefix("no-").replace("-", "_")
    if "--model" in known and (own == "option" or any(f.takes(own) for f in FAMILIES.values())):
        option = "option=VALUE" if own == "option" else f"{own}=VALUE"
        return f"--model NAME,{option}"
    return ""


def complain(error: VitruvianError) -> None:
    """Print an error as one line to standard error."""
    print(f"vitruvian: {error}", file=sys.stderr, flush=True)


def failed(faults: int | bool) -> None:
    """Exit with code 1 if there were errors."""
    if faults:
        raise typer.Exit(1)
