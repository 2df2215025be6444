"""Pictures of a calibration: where in the images corners or keypoints were, and the set-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.geometry.camera import Camera
from vitruvian.rendering.film import write_picture

DPI = 110
PANEL = 4.2  # inches
MOST = 6000  # points of a panel
AXIS = 0.35  # metres, of the drawn cameras


@dataclass(frozen=True, eq=False)
class SeenPoints:
    """What one camera saw."""

    name: str
    camera: Camera
    xy: np.ndarray  # (M, 2) pixels
    errors: np.ndarray  # (M,) pixels
    coverage: float  # 0..1
    cells: tuple[int, int]  # in which it is counted
    image: np.ndarray | None = None  # (H, W, 3) a frame


def write_coverage(path: Path, seen: Sequence[SeenPoints]) -> None:
    """A panel per camera: points coloured by their reprojection error; cells without any, red."""
    columns = min(len(seen), 4)
    rows = -(-len(seen) // columns)
    ratio = float(np.median([each.camera.size[1] / each.camera.size[0] for each in seen]))
    size = (PANEL * columns + 0.9, PANEL * ratio * rows + 0.7 * rows + 0.3)
    figure, canvas = _figure(size)
    panels: Any = figure.subplots(rows, columns, squeeze=False)
    most = float(np.percentile(np.concatenate([each.errors for each in seen]), 95))
    shown = None
    for axes, each in zip(panels.ravel(), seen, strict=False):
        width, height = each.camera.size
        if each.image is not None:
            axes.imshow(each.image, extent=(0, width, height, 0), alpha=0.45)
        some = slice(None, None, max(1, len(each.xy) // MOST))
        look = {"s": 5, "c": each.errors[some], "cmap": "viridis", "vmin": 0, "vmax": most}
        shown = axes.scatter(*each.xy[some].T, linewidths=0, **look)
        across, down = each.cells
        counts, _, _ = np.histogram2d(*each.xy.T, bins=each.cells, range=((0, width), (0, height)))
        for i, j in np.argwhere(counts == 0):
            where = (i * width / across, j * height / down)
            _rectangle(axes, where, width / across, height / down)
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xticks=(), yticks=())
        axes.set_title(
            f"{each.name}: {len(each.xy)} points, {np.median(each.errors):.2f} px (median), "
            f"{100 * each.coverage:.0f} % covered",
            fontsize=8,
        )
    for axes in panels.ravel()[len(seen) :]:
        axes.axis("off")
    bar = figure.colorbar(shown, ax=panels, shrink=0.7, pad=0.01)
    bar.set_label("reprojection error, pixels", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    _write(path, canvas)


def write_setup(path: Path, cameras: dict[str, Camera], points: np.ndarray) -> None:
    """The rig from above and from the side, metres: cameras, and where points were seen.

    Args:
        path: file to write.
        cameras: by name, with extrinsics in a world with z up.
        points: (M, 3) metres.
    """
    figure, canvas = _figure((11.0, 5.2))
    above, side = figure.subplots(1, 2)
    low, high = np.percentile(points, [1, 99], axis=0)
    near = points[((points >= low) & (points <= high)).all(axis=1)]
    near = near[:: max(1, len(near) // MOST)]
    for axes, (a, b), labels in (
        (above, (0, 1), ("x, metres", "y, metres")),
        (side, (0, 2), ("x, metres", "z (up), metres")),
    ):
        axes.scatter(near[:, a], near[:, b], s=2, color="0.6", linewidths=0)
        for n, (name, camera) in enumerate(cameras.items()):
            assert camera.extrinsics is not None
            turned, centre = camera.extrinsics[:3, :3], camera.centre
            half = np.array(camera.size) / 2 / np.diag(camera.matrix)[:2]
            ends = np.array([[x, y, 1] for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))], float)
            ends[:, :2] *= half
            ends = AXIS * ends @ turned + centre
            colour = f"C{n}"
            for i in range(4):
                for line in ((centre, ends[i]), (ends[i], ends[i - 1])):
                    axes.plot(*np.array(line)[:, [a, b]].T, color=colour, linewidth=1)
            reach = centre + turned[2] * 2
            axes.plot(*np.array([centre, reach])[:, [a, b]].T, ":", color=colour, linewidth=0.8)
            axes.annotate(
                name, centre[[a, b]], fontsize=8, xytext=(4, 4), textcoords="offset points"
            )
        axes.set(xlabel=labels[0], ylabel=labels[1], aspect="equal")
        axes.grid(alpha=0.3)
    above.set_title("from above", fontsize=9)
    side.set_title("from the side", fontsize=9)
    side.axhline(0, color="0.3", linewidth=0.8)
    _write(path, canvas)


def _figure(size: tuple[float, float]) -> tuple[Any, Any]:
    # No pyplot: it keeps every figure alive and chooses a GUI backend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained")
    return figure, canvas


def _rectangle(axes: Any, where: tuple[float, float], width: float, height: float) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle(where, width, height, facecolor="tab:red", alpha=0.12, linewidth=0))


def _write(path: Path, canvas: Any) -> None:
    canvas.draw()
    write_picture(path, np.asarray(canvas.buffer_rgba())[..., :3])
