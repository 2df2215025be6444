"""Heat maps as an image: one panel per joint, over the network's input crop."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import cv2
import numpy as np

from vitruvian.rendering.film import write_picture

WIDTH = 1600  # of the whole image, pixels; less for few joints
PANEL = 260  # maximum panel width, pixels
COLUMNS = 12  # maximum panels per row
GAP = 8  # between panels, pixels
FONT = cv2.FONT_HERSHEY_SIMPLEX
INK, PALE = (20, 20, 20), (150, 150, 150)
DIM = 0.75  # brightness of the crop, so that the map stands out


def write_heatmaps(
    path: Path,
    crop: np.ndarray,
    heat: np.ndarray,
    names: Sequence[str],
    xy: np.ndarray,
    score: np.ndarray,
) -> None:
    """Write the image of `heatmaps`; the extension selects the format."""
    write_picture(path, heatmaps(crop, heat, names, xy, score))


def heatmaps(
    crop: np.ndarray, heat: np.ndarray, names: Sequence[str], xy: np.ndarray, score: np.ndarray
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: for each joint its name, score, heat map and decoded place (a cross).

    A panel is the grey crop under one map: transparent at 0, yellow at that map's own maximum.
    The height of the maximum is in the score, not the colour.

    Args:
        crop: (h, w, 3) uint8 RGB, the network's input.
        heat: (K, h', w') the decoded maps: raw for an arg-max network, after the sigmoid for an
            integral network.
        names: of K keypoints.
        xy: (K, 2) in heat map cells; NaN for joints not found. Cell i is at the centre of crop
            pixel i w / w', as in AlphaPose: (i w / w' + 0.5).
        score: (K,).
    """
    columns = min(COLUMNS, ceil(sqrt(2 * len(names))), len(names))
    width = min(PANEL, (WIDTH - GAP) // columns - GAP)
    height = round(width * crop.shape[0] / crop.shape[1])
    font, line = _font(names, width)
    across, down = width + GAP, height + 2 * line + GAP
    rows = -(-len(names) // columns)
    page = np.full((rows * down + GAP, columns * across + GAP, 3), 255, np.uint8)

    grey = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    under = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA) * np.float32(DIM)
    per_pixel = np.array([width, height]) / crop.shape[1::-1]
    per_cell = np.array([width, height]) / heat.shape[:0:-1]
    first = (per_pixel - 1) / 2  # cell 0 in OpenCV's pixels, whose centres are whole numbers
    for joint, name in enumerate(names):
        left, top = GAP + joint % columns * across, GAP + joint // columns * down
        found = bool(np.isfinite(xy[joint]).all())
        ink = INK if found else PALE
        for row, text in enumerate([name, f"{score[joint]:.2f}" if found else "not found"], 1):
            at = (left, top + row * line - line // 3)
            cv2.putText(page, text, at, FONT, font, ink, 1, cv2.LINE_AA)
        panel = _panel(under, heat[joint], per_cell, first)
        if found:
            _cross(panel, xy[joint] * per_cell + first)
        page[top + 2 * line :][:height, left : left + width] = panel
    return page


def _font(names: Sequence[str], width: int) -> tuple[float, int]:
    """Font scale at which the longest name fits a panel, and line height in pixels."""
    longest = max(cv2.getTextSize(name, FONT, 1, 1)[0][0] for name in names)
    scale = min(0.55, (width - GAP) / longest)
    return scale, round(36 * scale) + 2


def _panel(
    under: np.ndarray, heat: np.ndarray, per_cell: np.ndarray, first: np.ndarray
) -> np.ndarray:
    """(h, w, 3) uint8, the map over the crop."""
    to_cell = np.column_stack([np.diag(1 / per_cell), -first / per_cell])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    peak = max(float(heat.max()), np.finfo(np.float32).tiny)
    share = cv2.warpAffine(
        np.clip(heat / peak, 0, 1).astype(np.float32),
        to_cell,
        under.shape[1::-1],
        flags=flags,
        borderMode=cv2.BORDER_REPLICATE,
    )
    colour = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return (under + (colour - under) * np.sqrt(share)[..., None]).astype(np.uint8)


def _cross(panel: np.ndarray, place: np.ndarray) -> None:
    """A cross with an open centre; `place` in OpenCV's pixels."""
    arms = panel.shape[1] * np.array([0.03, 0.08])
    for colour, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        for way in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            # OpenCV's subpixel drawing takes integers in 1/16 pixel.
            ends = np.clip(place + arms[:, None] * way, -1e4, 1e4) * 16
            start, end = (tuple(map(int, point)) for point in np.round(ends))
            cv2.line(panel, start, end, colour, thick, cv2.LINE_AA, 4)
