"""Figures as files: PNG with 300 dots per inch, PDF and SVG with text as text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.formats.atomic_file import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 300
FIGURES = (".png", ".pdf", ".svg")


def write_figure(figure: Figure | None, paths: Sequence[Path]) -> Sequence[Path]:
    """Write a figure of `report.plot` to files of `FIGURES`; the same figure, the same bytes.

    Returns:
        The files; none for None: then those of an earlier run are deleted.
    """
    import matplotlib

    if figure is None:
        for path in paths:
            path.unlink(missing_ok=True)
        return ()

    how: Any = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "vitruvian"}
    for path in paths:
        data, kind = io.BytesIO(), path.suffix[1:]
        dates: Any = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
        with matplotlib.rc_context(how):
            figure.savefig(data, format=kind, dpi=DPI, metadata=dates)
        write_whole(path, data.getvalue())
    return paths
