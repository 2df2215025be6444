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
    inside = ((cell >= 0) & (cell < size)).all(axis=-1)
    cell = np.where(inside[..., None], cell, 0).astype(np.int64)

    reach = np.arange(-((window - 1) // 2), (window - 1) // 2 + 1)
    rows = cell[..., 1, None] + reach  # (N, K, window)
    columns = cell[..., 0, None] + reach
    on_map = ((rows >= 0) & (rows < height))[..., :, None] & (
        (columns >= 0) & (columns < width)
    )[..., None, :]
    person = np.arange(n)[:, None, None, None]
    channel = np.arange(k)[None, :, None, None]
    near = logits[
        person,
        np.clip(rows, 0, height - 1)[..., :, None],
        np.clip(columns, 0, width - 1)[..., None, :],
        channel,
    ]  # (N, K, window, window)
    weight = np.where(on_map, sigmoid(near), np.float32(0))

    total = weight.sum(axis=(-2, -1))
    use = inside & (weight.max(axis=(-2, -1), initial=0) >= 0.5)
    safe = np.where(use, total, 1)
    x = (weight * columns[..., None, :]).sum(axis=(-2, -1)) / safe / width
    y = (weight * rows[..., :, None]).sum(axis=(-2, -1)) / safe / height
    return np.where(use[..., None], np.stack([x, y], axis=-1), xy).astype(np.float32)
