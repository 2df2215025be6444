"""Encode and decode heat maps: one map per keypoint, with its maximum at the keypoint.

Maps are (N, K, h, w) float32, channels first, except in `refine`, whose network has them last.
Positions on a map are x y in cells, and cell i is at i, not i + 0.5: each family defines where that
is in the network's input. `soft_argmax_2d` and `_3d` use 0..1 from the first cell to the last.

Source of `argmax` to `encode`: the behaviour of AlphaPose c60106d (specs/alphapose.md 3, 4, 7);
two-step normalisation is arXiv 2211.03375's.
"""

from collections.abc import Sequence

import numpy as np


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Any shape -> 0..1 of the same shape, with full precision for small values.

    Clamped at exp(-88), near the smallest float32, so it never overflows.
    """
    return 1 / (1 + np.exp(np.minimum(-logits, 88)))


def argmax(maps: np.ndarray, compat: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The maximum of each map, shifted a quarter of a cell toward the larger neighbours.

    Only if it is at least two cells from every edge: left or right toward the brighter of the two
    adjacent cells, up or down in the same way, not at all if they are equal.

    Args:
        maps: (N, K, h, w), raw output of the network.
        compat: whether a map without any value above 0 gives (0, 0), as in the reference. By
            default it gives NaN: the keypoint was not found.

    Returns:
        xy: (N, K, 2) cells.
        score: (N, K) raw value of the brightest cell, which may be outside 0..1.
    """
    n, k, height, width = maps.shape
    flat = maps.reshape(n, k, height * width)
    cell = flat.argmax(axis=-1)
    score = np.take_along_axis(flat, cell[..., None], axis=-1)[..., 0]
    y, x = np.divmod(cell, width)
    inner = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    found = score > 0
    cell = np.where(inner, cell, 0)  # neighbours are not read where it is not shifted
    last = height * width - 1

    def brighter(step: int) -> np.ndarray:
        """(N, K) -1, 0 or 1: the brighter of the cells a step before and after."""
        sides = np.stack([np.maximum(cell - step, 0), np.minimum(cell + step, last)], axis=-1)
        before, after = np.moveaxis(np.take_along_axis(flat, sides, axis=-1), -1, 0)
        return np.sign(after - before)

    xy = np.stack([x, y], axis=-1).astype(np.float32)
    shift = np.stack([brighter(1), brighter(width)], axis=-1)
    xy += np.where(inner[..., None], np.float32(0.25) * shift, 0)
    return np.where(found[..., None], xy, 0 if compat else np.nan).astype(np.float32), score


def soft_argmax(maps: np.ndarray, compat: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Soft-argmax: the mean position under the softmax of each map.

    Args:
        maps: (N, K, h, w) logits.
        compat: whether every score is 1, as in the reference.

    Returns:
        xy: (N, K, 2) cells.
        score: (N, K) 0..1, the largest probability of a cell; lower for a wide peak, not only
            for an uncertain one.
    """
    weight = np.exp(maps - maps.max(axis=(-2, -1), keepdims=True))
    xy = _mean_place(weight)
    if compat:
        return xy, np.ones(maps.shape[:2], np.float32)
    return xy, (1 / weight.sum(axis=(-2, -1))).astype(np.float32)


def soft_argmax_2d(maps: np.ndarray) -> np.ndarray:
    """Soft-argmax with normalized positions: the first cell is 0, the last is 1.

    Args:
        maps: (N, K, h, w) logits.

    Returns:
        (N, K, 2) x y, 0..1; see `vitruvian.decode.volume` for pixels.

    Source: specs/metrabs.md 1.4, as `soft_argmax_3d`.
    """
    n, k, height, width = maps.shape
    return soft_argmax_3d(maps.reshape(n, k, 1, height, width))[..., :2]


def soft_argmax_3d(maps: np.ndarray) -> np.ndarray:
    """Soft-argmax of 3D heat maps with normalized positions.

    Args:
        maps: (N, K, d, h, w) logits.

    Returns:
        (N, K, 3) x y z, 0..1; 0 along an axis of one cell.
    """
    weight = np.exp(maps - maps.max(axis=(-3, -2, -1), keepdims=True))
    by_slice, by_cell = weight.sum(axis=(-2, -1)), weight.sum(axis=-3)
    along = by_cell.sum(axis=-2), by_cell.sum(axis=-1), by_slice
    cells = (np.linspace(0, 1, by.shape[-1], dtype=by.dtype) for by in along)
    places = np.stack([by @ cell for by, cell in zip(along, cells, strict=True)], axis=-1)
    return (places / by_slice.sum(axis=-1)[..., None]).astype(np.float32)


def concentration(maps: np.ndarray) -> np.ndarray:
    """Concentration of the softmax of each map: from 1, a single peak, to 0, a flat map.

    1 minus the standard deviation of x and y together, relative to that of a flat map. The variance
    f (1 - f) of a position between two cells, f and 1 - f away from them, is subtracted from both.

    Args:
        maps: (N, K, h, w) logits.

    Returns:
        (N, K) float32, 0..1. Not a calibrated probability. 0.5 is a peak of half the width of the
            map's own.
    """
    weight = np.exp(maps - maps.max(axis=(-2, -1), keepdims=True))
    variance, most = np.zeros(maps.shape[:2], np.float32), 0.0
    for axis in (-1, -2):
        along = weight.sum(axis=-3 - axis)
        along /= along.sum(axis=-1, keepdims=True)
        cells = np.arange(along.shape[-1], dtype=np.float32)
        mean = along @ cells
        part = mean - np.floor(mean)
        spread = (along * (cells - mean[..., None]) ** 2).sum(axis=-1)
        variance += np.maximum(spread - part * (1 - part), 0)
        most += (len(cells) ** 2 - (1 if len(cells) % 2 else 4)) / 12
    return 1 - np.minimum(np.sqrt(variance / np.float32(max(most, 1e-9))), 1)


def integral(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean position by two-step normalisation: the sigmoid of each cell, divided by their sum.

    The sigmoid is the network's confidence in each cell, whatever the width of the peak; divided by
    its sum it is a probability, whose mean is the position.

    Args:
        maps: (N, K, h, w) logits.

    Returns:
        xy: (N, K, 2) cells.
        score: (N, K) 0..1, the largest sigmoid.
    """
    weight = sigmoid(maps)
    return _mean_place(weight), np.max(weight, axis=(-2, -1))


def local(maps: np.ndarray, reach: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Mean position around the maximum of each map, weighted by the square of the map.

    Between `argmax`, with a resolution of a quarter of a cell, and `integral`, which is biased by
    values far from the peak. Ours: the most accurate decoder of vitruvian-2d's maps.

    Args:
        maps: (N, K, h, w); values below 0 count as 0.
        reach: cells to each side of the brightest one.

    Returns:
        xy: (N, K, 2) cells; NaN if no value is above 0.
        score: (N, K) value of the brightest cell.
    """
    n, k, height, width = maps.shape
    flat = maps.reshape(n, k, height * width)
    cell = flat.argmax(axis=-1)
    score = np.take_along_axis(flat, cell[..., None], axis=-1)[..., 0]
    middle = np.stack(np.divmod(cell, width), axis=-1)  # row, column
    near = [
        np.abs(np.arange(size) - middle[..., axis, None]) <= reach
        for axis, size in enumerate((height, width))
    ]
    weight = np.maximum(maps, 0) ** 2 * (near[0][..., :, None] & near[1][..., None, :])
    found = score > 0
    weight = np.where(found[..., None, None], weight, np.float32(1))  # no division by 0
    return np.where(found[..., None], _mean_place(weight), np.nan).astype(np.float32), score


def _mean_place(weight: np.ndarray) -> np.ndarray:
    """(N, K, 2) cells, the mean under (N, K, h, w) weights of any sum above 0."""
    by_column, by_row = weight.sum(axis=-2), weight.sum(axis=-1)
    x, y = (by @ np.arange(by.shape[-1], dtype=by.dtype) for by in (by_column, by_row))
    return (np.stack([x, y], axis=-1) / by_row.sum(axis=-1)[..., None]).astype(np.float32)


def combined(maps: np.ndarray, tail: int, compat: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """`argmax` for the body's maps, `integral` for the face's and the hands'.

    Args:
        maps: (N, K, h, w), raw output of the network.
        tail: number of last maps that are of the face and the hands: 110 of 133 or 136, 42 of 68.
        compat: see `argmax`.

    Returns:
        xy: (N, K, 2) cells.
        score: (N, K) of the decoder of each map.
    """
    body = maps.shape[1] - tail
    parts = argmax(maps[:, :body], compat), integral(maps[:, body:])
    xy, score = (np.concatenate(pair, axis=1) for pair in zip(*parts, strict=True))
    return xy, score


def mirrored(maps: np.ndarray, mirror: np.ndarray, shift: bool) -> np.ndarray:
    """Flip the heat maps of a mirrored crop back to the original crop.

    With s input columns per map column, and map column i at input column i s in both crops,
    flipping leaves the map (s - 1) / s of a column too far left. Shifted right by one it is 1 / s
    too far right: for s = 4, 0.25 of a column instead of 0.75.

    Args:
        maps: (N, K, h, w) of the mirrored crop.
        mirror: (K,) index of the keypoint on the other side, `Skeleton.mirror`.
        shift: whether to shift the maps right by one cell; column 0 stays as it is.

    Returns:
        (N, K, h, w), a copy. The reference shifts in place, over columns that it has yet to read;
            we do not.
    """
    back = maps[:, mirror, :, ::-1]
    if shift:
        back = np.concatenate([back[..., :1], back[..., :-1]], axis=-1)
    return np.ascontiguousarray(back)


def encode(
    xy: np.ndarray, size: tuple[int, int], sigma: float = 2.0, exact: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Encode keypoints as target heat maps, Gaussians of height 1, with the weight of each map.

    Args:
        xy: (N, K, 2) cells. NaN is an unlabelled keypoint.
        size: (width, height) of the maps, cells.
        sigma: of the Gaussian, cells.
        exact: whether it is centred on `xy`. By default it is centred on the nearest cell,
            int(xy + 0.5), and cut off at 3 sigma to each side, as in the reference.

    Returns:
        maps: (N, K, h, w) float32, 0..1, not logits.
        weight: (N, K) float32, 1, or 0 if unlabelled or the map is outside the 3 sigma.
    """
    known = np.all(np.isfinite(xy), axis=-1)
    middle = np.where(known[..., None], xy, 0).astype(np.float32)
    cell = np.trunc(middle + np.float32(0.5))
    reach = int(3 * sigma)
    inside = (cell >= -reach) & (cell <= np.array(size) - 1 + reach)
    weight = (known & inside.all(axis=-1)).astype(np.float32)

    def bell(axis: int) -> np.ndarray:
        """(N, K, width or height)."""
        cells = np.arange(size[axis], dtype=np.float32)
        away = cells - (middle if exact else cell)[..., axis, None]
        value = np.exp(-(away**2) / np.float32(2 * sigma**2))
        return value if exact else np.where(np.abs(away) <= reach, value, 0)

    columns, rows = bell(0) * weight[..., None], bell(1)
    return rows[..., :, None] * columns[..., None, :], weight


def refine(
    xy: np.ndarray, logits: np.ndarray, window: int, which: Sequence[int] | None = None
) -> np.ndarray:
    """Refine points to the centre of mass of the heat map around them.

    A point outside its map is unchanged, as is one without a value of 0.5 or more in its window.

    Args:
        xy: (N, K, 2) float32, 0..1 of the network's input.
        logits: (N, h, w, M) heat maps before the sigmoid, channels last as in the network's output.
        window: cells along a side of the square window, odd; cells off the map are ignored.
        which: (K,) the points' maps; None: all M = K.

    Returns:
        (N, K, 2) float32, 0..1 of the input. Cell j is at j / w, not (j + 0.5) / w: as in the
            reference, whose networks are trained with that.

    Source: MediaPipe RefineLandmarksFromHeatmapCalculator: kernel_size, and
        min_confidence_to_refine 0.5.
    """
    n, height, width, k = logits.shape
    size = np.array([width, height], np.float32)
    cell = np.trunc(xy * size)
    inside = np.all((cell >= 0) & (cell < size), axis=-1)
    cell = np.where(inside[..., None], cell, 0).astype(np.int64)

    reach = np.arange(-((window - 1) // 2), (window - 1) // 2 + 1)
    near = cell[..., None, :] + reach[:, None]  # (N, K, window, 2): columns and rows
    on_map = (near >= 0) & (near < size)
    near = np.where(on_map, near, 0)
    columns, rows = near[..., 0], near[..., 1]
    first = (np.arange(n) * (height * width * k))[:, None, None, None]
    cells = rows[..., :, None] * width + columns[..., None, :]  # (N, K, window, window)
    maps = np.arange(k) if which is None else np.array(which)
    weight = sigmoid(logits.ravel()[first + cells * k + maps[:, None, None]])
    weight *= on_map[..., 1][..., :, None] & on_map[..., 0][..., None, :]

    by_column, by_row = weight.sum(axis=-2), weight.sum(axis=-1)
    use = inside & (weight.max(axis=(-2, -1), initial=0) >= 0.5)
    total = np.where(use, by_row.sum(axis=-1), 1)
    x = (by_column * columns).sum(axis=-1) / total / width
    y = (by_row * rows).sum(axis=-1) / total / height
    return np.where(use[..., None], np.stack([x, y], axis=-1), xy).astype(np.float32)
