"""Heat maps: one map a keypoint, brightest where it is."""

import numpy as np


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Any shape -> 0..1 of the same shape, without overflow however large the logits."""
    return (np.tanh(logits / 2) + 1) / 2


def refine(xy: np.ndarray, logits: np.ndarray, window: int) -> np.ndarray:
    """Points moved to the centre of mass of the heat map around them.

    A point outside its map stays where it is, and so does one with nothing as bright as 0.5 in
    its window.

    Args:
        xy: (N, K, 2) float32, 0..1 of the network's input.
        logits: (N, h, w, K) heat maps before the sigmoid, channels last as the network gives them.
        window: cells along a side of the square looked at, odd; cells off the map do not count.

    Returns:
        (N, K, 2) float32, 0..1 of the input. Cell j counts as j / w, not (j + 0.5) / w: the
        reference does, and its networks are trained with that.

    Source: MediaPipe RefineLandmarksFromHeatmapCalculator: kernel_size, and
        min_confidence_to_refine 0.5.
    """
    n, height, width, k = logits.shape
    size = np.array([width, height], np.float32)
    cell = np.trunc(xy * size)
    inside = np.all((cell >= 0) & (cell < size), axis=-1)
    cell = np.where(inside[..., None], cell, 0).astype(np.int64)

    reach = np.arange(-((window - 1) // 2), (window - 1) // 2 + 1)
    near = cell[..., None, :] + reach[:, None]  # (N, K, window, 2): columns and rows looked at
    on_map = (near >= 0) & (near < size)
    near = np.where(on_map, near, 0)
    columns, rows = near[..., 0], near[..., 1]
    first = (np.arange(n) * (height * width * k))[:, None, None, None]
    cells = rows[..., :, None] * width + columns[..., None, :]  # (N, K, window, window)
    weight = sigmoid(logits.ravel()[first + cells * k + np.arange(k)[:, None, None]])
    weight *= on_map[..., 1][..., :, None] & on_map[..., 0][..., None, :]

    by_column, by_row = weight.sum(axis=-2), weight.sum(axis=-1)
    use = inside & (weight.max(axis=(-2, -1), initial=0) >= 0.5)
    total = np.where(use, by_row.sum(axis=-1), 1)
    x = (by_column * columns).sum(axis=-1) / total / width
    y = (by_row * rows).sum(axis=-1) / total / height
    return np.where(use[..., None], np.stack([x, y], axis=-1), xy).astype(np.float32)
