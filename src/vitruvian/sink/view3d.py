"""A 3D view of one person, as a picture: metres, equal axes, up is up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.sink.draw import COLOURS, VISIBLE
from vitruvian.sink.part import Part


def plot(poses: Poses, path: Path, row: int = 0, visible: float = VISIBLE) -> None:
    """Draw one person's `xyz` into a picture file, from the front and from the side.

    Args:
        poses: with `xyz`, metres.
        path: .png, .jpg, .pdf or .svg.
        row: which of the people.
        visible: 0..1; what has a lower score is drawn thin and pale: the network guesses it.
    """
    # The object interface: pyplot would keep every figure alive, and choose a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    assert poses.xyz is not None
    xyz, shown = poses.xyz[row], poses.score[row] >= visible
    x, y, z = xyz[:, 0], xyz[:, 2], -xyz[:, 1]  # right, away from the camera, up
    reach = max(float(np.max(np.nanmax(xyz, axis=0) - np.nanmin(xyz, axis=0))) / 2, 0.1) * 1.1
    middle = [(np.nanmin(axis) + np.nanmax(axis)) / 2 for axis in (x, y, z)]

    figure = Figure(figsize=(11, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    for column, (azimuth_deg, title) in enumerate(
        [(-90, "from the camera"), (-20, "from the side")]
    ):
        axes = figure.add_subplot(1, 2, column + 1, projection="3d", computed_zorder=False)
        for a, b in poses.skeleton.bones:
            sides = poses.skeleton.sides
            side = sides[a] if sides[a] == sides[b] else ""
            sure = shown[a] and shown[b]
            colour = np.array(COLOURS[side]) / 255
            width, alpha = (3.0, 1.0) if sure else (1.0, 0.45)
            ends = ([axis[a], axis[b]] for axis in (x, y, z))
            axes.plot(*ends, color=colour, linewidth=width, alpha=alpha)
        colours = np.array([COLOURS[side] for side in poses.skeleton.sides]) / 255
        axes.scatter(x[shown], y[shown], z[shown], c=colours[shown], s=14, depthshade=False)
        axes.scatter(x[~shown], y[~shown], z[~shown], c=colours[~shown], s=6, alpha=0.45)
        limits = [(centre - reach, centre + reach) for centre in middle]
        axes.set(xlim=limits[0], ylim=limits[1], zlim=limits[2], title=title)
        axes.set(xlabel="right, m", ylabel="away, m", zlabel="up, m")
        axes.set_box_aspect((1, 1, 1))
        axes.view_init(elev=8, azim=azimuth_deg)
        if azimuth_deg == -90:  # seen end on, the numbers of this axis lie on top of each other
            axes.set(yticklabels=[], ylabel="")
    where = {"hips": "metres from the middle of the hips", "camera": "metres from the camera"}
    who = f"person {poses.person[row]}" if poses.person[row] >= 0 else f"person {row + 1}"
    figure.suptitle(f"{who} of {len(poses)}: {where[poses.origin or 'hips']}; left blue, right red")
    part = Part(path)
    figure.savefig(part.begin(), dpi=110, format=path.suffix.lstrip("."))
    part.finish()
