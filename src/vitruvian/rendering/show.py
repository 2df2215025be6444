"""`vit.show`: a frame with its poses, in a notebook or in a window."""

from __future__ import annotations

from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.picture_files.encode import encode_picture
from vitruvian.rendering.draw import VISIBLE, draw, with_numbers
from vitruvian.rendering.notebook import CellOutput, cell_number, in_notebook

IN_CELL = 960  # pixels, the longer side of a picture in a cell, which the notebook stores
QUALITY = 90  # of its JPEG
TITLE, LARGEST, DPI = "vitruvian", 1280, 100  # of the window: its longer side, pixels

_outputs: dict[int, CellOutput] = {}  # of the cell that shows moving pictures


def show(
    frame: Frame,
    poses: Poses | None = None,
    visible: float = VISIBLE,
    *,
    wait: float | None = None,
) -> None:
    """Show a frame with bones, keypoints and person ids: in a notebook below the cell, or a window.

        for frame, poses in vit.run("match.mp4"):
            vit.show(frame, poses, wait=0)

    Args:
        frame: the image.
        poses: of this frame; None: the image alone.
        visible: 0..1, confidence threshold of keypoints, as for `draw`.
        wait: seconds after which it returns, for loops: the next picture replaces this one.
            None: it returns once the window is closed; a notebook keeps the picture.

    Raises:
        VitruvianError: there is no display.
    """
    rgb = frame.rgb if poses is None else draw(frame, with_numbers(poses), visible)
    if not in_notebook():
        _show_in_window(rgb, wait)
        return
    output = CellOutput()
    if wait is not None:
        if cell_number() not in _outputs:
            _outputs.clear()
        output = _outputs.setdefault(cell_number(), output)
    output.show({"image/jpeg": encode_picture(rgb, ".jpg", IN_CELL, QUALITY)})


def _show_in_window(rgb: np.ndarray, wait: float | None) -> None:
    """Show (H, W, 3) uint8 RGB in the one window that matplotlib opens for this.

    Raises:
        VitruvianError: there is no display.
    """
    from matplotlib import pyplot

    is_open = pyplot.fignum_exists(TITLE)
    sides = np.array(rgb.shape[1::-1]) * min(1, LARGEST / max(rgb.shape)) / DPI
    figure: Any = pyplot.figure(TITLE, figsize=tuple(sides), dpi=DPI)
    if figure.canvas.required_interactive_framework is None:
        pyplot.close(figure)
        raise VitruvianError(
            "vit.show has no display here; write vit.draw(frame, poses) to a file, use vit.predict "
            "with out=, or `vitruvian live` for a page in the browser"
        )
    if is_open and figure.axes and figure.axes[0].images[0].get_array().shape == rgb.shape:
        figure.axes[0].images[0].set_data(rgb)
    else:
        figure.clear()
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.imshow(rgb)
    if wait is None:
        pyplot.show(block=True)
    else:
        pyplot.pause(max(wait, 1e-3))
