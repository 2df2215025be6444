"""Anchor points: a detector's outputs are offsets from them."""

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
