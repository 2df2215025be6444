"""Curves of a training run: losses above, validation figures below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.rendering.film import write_picture

DPI, SIZE = 100, (9.0, 7.0)  # dots per inch, inches


def write_curves(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Plot a training log; the extension of `path` selects the format.

    Args:
        path: file to write.
        lines: one per epoch, with `epoch`, `losses` (term -> value) and, where validated,
            `figures` (name -> value, low, high).
    """
    # No pyplot: it keeps every figure alive and chooses a GUI backend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained")
    validated = [line for line in lines if line["figures"]]
    above: Any = figure.subplots(2 if validated else 1, 1, sharex=True, squeeze=False)[:, 0]
    epochs = [line["epoch"] for line in lines]
    for name in lines[0]["losses"]:
        above[0].plot(epochs, [line["losses"].get(name, np.nan) for line in lines], label=name)
    above[0].set_ylabel("training loss")
    if validated:
        epochs = [line["epoch"] for line in validated]
        for name in validated[0]["figures"]:
            value, low, high = np.array([line["figures"][name] for line in validated]).T
            (curve,) = above[1].plot(epochs, value, ".-", label=name)
            if np.isfinite(low).any():
                look = {"color": curve.get_color(), "alpha": 0.2, "linewidth": 0}
                above[1].fill_between(epochs, low, high, **look)
        above[1].set_ylabel("validation")
    for axes in above:
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    above[-1].set_xlabel("epoch")
    above[-1].xaxis.get_major_locator().set_params(integer=True)
    canvas.draw()
    write_picture(path, np.asarray(canvas.buffer_rgba())[..., :3])
