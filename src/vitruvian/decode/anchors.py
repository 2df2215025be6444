"""Anchor points: a detector's outputs are offsets from them."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def points(grids: tuple[tuple[int, int], ...]) -> np.ndarray:
    """(A, 2) float32, 0..1 of the input: the centres of grid cells, row by row.

    Args:
        grids: (cells along a side, anchors in each cell), in the order of the network's rows.
    """
    parts: list[np.ndarray] = []
    for cells, each in grids:
        middle = (np.arange(cells, dtype=np.float32) + np.float32(0.5)) / np.float32(cells)
        y, x = np.meshgrid(middle, middle, indexing="ij")
        parts.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=-1), each, axis=0))
    return np.concatenate(parts)


def decode(rows: np.ndarray, anchors: np.ndarray, side: int) -> np.ndarray:
    """(A, 4 + D) corners and points of (A, 4 + D) rows of x y w h and D point coordinates.

    Args:
        rows: (A, 4 + D) pixels of the input, offsets from the anchors (w and h are sizes).
        anchors: (A, 2) 0..1 of the input.
        side: of the input, pixels.

    Returns:
        (A, 4 + D): x0 y0 x1 y1 and D point coordinates, 0..1 of the input.

    Source: MediaPipe TfLiteTensorsToDetectionsCalculator with reverse_output_order, all scales
        equal to the input's side and anchors of size 1 (pose_detection.pbtxt).
    """
    scaled = rows / np.float32(side)
    centre, half = scaled[:, :2] + anchors, scaled[:, 2:4] / 2
    pairs = scaled[:, 4:].reshape(len(rows), (rows.shape[1] - 4) // 2, 2) + anchors[:, None]
    return np.concatenate(
        [centre - half, centre + half, pairs.reshape(len(rows), rows.shape[1] - 4)], axis=-1
    )


def ssd(side: int, trained: int, scales: Sequence[float]) -> np.ndarray:
    """(A, 4) float32 x y w h, 0..1 of a square input: the anchor boxes of an SSD.

    The first layer has stride 16, each of the others twice the one before. The lowest has a square
    of scale 0.1 and two boxes of its scale; the others five boxes of their scale and a square of
    the geometric mean with the next. Boxes have a size in pixels, also for another input.

    Args:
        side: of the input, pixels.
        trained: of the input that the scales are fractions of, pixels.
        scales: of the layers.

    Source: Liu et al. 2016, "SSD: Single Shot MultiBox Detector", 2.2; the grid of
        specs/person_finder.md.
    """
    cells, parts = -(-side // 16), []
    for layer, (scale, larger) in enumerate(pairwise([*scales, 1.0])):
        shapes = [(ratio, scale) for ratio in (1, 2, 0.5, 3, 0.3333)]
        shapes.append((1, (scale * larger) ** 0.5))
        if layer == 0:
            shapes = [(1, 0.1), (2, scale), (0.5, scale)]
        ratio, size = np.array(shapes, np.float32).T
        extent = np.stack([size * np.sqrt(ratio), size / np.sqrt(ratio)], axis=-1) * trained / side
        centre = points(((cells, len(shapes)),))
        parts.append(np.concatenate([centre, np.tile(extent, (cells * cells, 1))], axis=1))
        cells = -(-cells // 2)
    return np.concatenate(parts).astype(np.float32)


def decode_ssd(rows: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """(A, 4) x0 y0 x1 y1, 0..1 of the input, of (A, 4) rows y x h w relative to `ssd` anchors."""
    centre = rows[:, 1::-1] / 10 * anchors[:, 2:] + anchors[:, :2]
    half = np.exp(rows[:, :1:-1] / 5) * anchors[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)
