"""Typer commands from functions that take dataclasses: one option per field, help in sections."""

from __future__ import annotations

import difflib
import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from vitruvian.cli.words import MACHINE, TITLES, WORDS, Word
from vitruvian.errors import VitruvianError, shown
from vitruvian.verbs.groups import flat_parameters, gather

OFFLINE = Word(bool, MACHINE, "Never download anything; same as VITRUVIAN_OFFLINE=1.")
Command = Callable[..., None]
# Click's, of which some releases of Typer have a copy of their own.
USAGE_ERROR: Any = typer.BadParameter.__base__


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
        flat.__signature__ = inspect.Signature(parameters)
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
        """Read the words.

        Raises:
            VitruvianError: one is unknown or missing; one line, with the right word if it is near.
        """
        known = {
            name for each in self.get_params(ctx) for name in (*each.opts, *each.secondary_opts)
        }
        with _one_line(ctx, known):
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


class Commands(TyperGroup):
    """A group of commands; its name alone shows the help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words before the name of a command.

        Raises:
            VitruvianError: as `TitledHelp.parse_args`.
        """
        with _one_line(ctx, {name for each in self.get_params(ctx) for name in each.opts}):
            return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of this name.

        Raises:
            VitruvianError: there is none.
        """
        name, known = args[0], self.list_commands(ctx)
        if name not in known:
            raise _usage_error(ctx, f"no command '{shown(name)}'", _nearest(name, known))
        return super().resolve_command(ctx, args)


@contextmanager
def _one_line(ctx: Any, known: Collection[str]) -> Iterator[None]:
    """Inside, Click's four lines about wrong words become one line; `known`: all options."""
    try:
        yield
    except USAGE_ERROR as error:
        name = getattr(error, "option_name", "")
        if not name or name in known:
            text = error.format_message().rstrip(".")
            raise _usage_error(ctx, text[:1].lower() + text[1:]) from None
        way_out = _instead(name.removeprefix("--"), known) if name.startswith("--") else ""
        way_out = f"use {way_out}" if way_out else _nearest(name, known)
        raise _usage_error(ctx, f"no option {shown(name)}", way_out) from None


def _usage_error(ctx: Any, what: str, way_out: str = "") -> VitruvianError:
    """An error of the words themselves: the command, what is wrong, and the way out."""
    command = ctx.command_path.partition(" ")[2]
    what = f"{command}: {what}" if command else what
    way_out = f"{way_out}{'' if way_out[-1] == '?' else ';'} " if way_out else ""
    return VitruvianError(f"{what}; {way_out}see {ctx.command_path} --help")


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else ""


def _instead(name: str, known: Collection[str]) -> str:
    """How an option that a command has not is written, if it is a format or a model's option."""
    from vitruvian.models.load import FAMILIES
    from vitruvian.verbs.outputs import SAVED

    kind, _, saved = name.partition("-")
    if name == "show":
        return "`vitruvian live SOURCE`, which shows poses in a browser"
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
