"""Words that several commands of the command line share."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from vitruvian.errors import VitruvianError

Offline = Annotated[
    bool, typer.Option("--offline", help="Never touch the network; like VITRUVIAN_OFFLINE=1.")
]


def complain(error: VitruvianError) -> None:
    """One line to standard error."""
    print(f"vitruvian: {error}", file=sys.stderr, flush=True)


def go_offline(wanted: bool) -> None:
    """Never touch the network from here on, if that is wanted."""
    if wanted:
        os.environ["VITRUVIAN_OFFLINE"] = "1"
