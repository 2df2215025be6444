"""Output cells of notebooks: Jupyter, and what speaks its protocol (VS Code, Colab)."""

from __future__ import annotations

import sys
from typing import Any


def in_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook; IPython in a terminal has none."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def cell_number() -> int:
    """The number of the cell that runs."""
    from IPython.core.getipython import get_ipython

    return get_ipython().execution_count  # pyright: ignore[reportOptionalMemberAccess]


class CellOutput:
    """One output of a cell; what is shown later replaces what was there."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, forms: dict[str, str | bytes]) -> None:
        """Show something; `forms`: MIME type -> content, of which the richest is taken."""
        from IPython.display import display

        if self._handle is None:
            self._handle = display(forms, raw=True, display_id=True)
        else:
            self._handle.update(forms, raw=True)
