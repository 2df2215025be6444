"""A command: a function whose groups are spread over options, with help in titled parts."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

from vitruvian.cli.words import MACHINE, TITLES, WORDS, Word
from vitruvian.errors import VitruvianError
from vitruvian.verbs.groups import flat_parameters, gather

OFFLINE = Word(bool, MACHINE, "Never use the network, as VITRUVIAN_OFFLINE=1 does.")


def command(
    function: Callable[..., None], *, offline: bool = True, **defaults: str
) -> Callable[..., None]:
    """The function as typer takes it: each field of its groups is an option.

    Args:
        function: a command; its parameters, and the fields of its groups, are in `WORDS`, unless
            they are annotated for typer themselves.
        offline: whether `--offline` is among the options.
        **defaults: what help tells of options whose default is None.
    """
    annotated = inspect.signature(function, eval_str=True).parameters
    parameters = []
    for name, each in flat_parameters(function).items():
        own = annotated[name].annotation if name in annotated else None
        if hasattr(own, "__metadata__"):
            kind = own
        else:
            kind = WORDS[name].annotation(name, each.default, defaults.get(name, ""))
        parameters.append(each.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
    if offline:
        kind = OFFLINE.annotation("offline", default=False)
        only = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter("offline", only, default=False, annotation=kind))

    def flat(**words: Any) -> None:
        if words.pop("offline", False):
            os.environ["VITRUVIAN_OFFLINE"] = "1"
        function(**gather(function, words))

    flat.__name__, flat.__doc__ = function.__name__, function.__doc__
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {each.name: each.annotation for each in parameters}
    return flat


class TitledHelp(TyperCommand):
    """A command whose help has a title over each part: Input, Model, Output, ..."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options under their titles."""
        parts: dict[str, list[tuple[str, str]]] = {title: [] for title in TITLES}
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx)
            title = getattr(each, "rich_help_panel", None) or TITLES[-1]
            if record is not None:
                parts.setdefault(title, []).append(record)
        for title, records in parts.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records, col_max=26)


def complain(error: VitruvianError) -> None:
    """One line to standard error."""
    print(f"vitruvian: {error}", file=sys.stderr, flush=True)


def failed(faults: int | bool) -> None:
    """Exit code 1 if anything went wrong."""
    if faults:
        raise typer.Exit(1)
