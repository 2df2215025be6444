"""Bounding boxes: IoU and non-maximum suppression (NMS).

A box is x0 y0 x1 y1, in any one unit.
"""

from collections.abc import Callable

import numpy as np


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) intersection over union of (N, 4) and (M, 4) boxes; 0 where they do not meet."""
    shared, area_a, area_b = _areas(a, b)
    union = area_a + area_b - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def over_smaller(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) intersection of (N, 4) and (M, 4) boxes over the smaller area: 1 where one is inside.

    0 where they do not meet.
    """
    shared, *areas = _areas(a, b)
    smaller = np.minimum(*areas)
    return np.divide(shared, smaller, out=np.zeros_like(shared), where=smaller > 0)


def share_inside(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) how much of each of (N, 4) boxes is inside each of (M, 4), 0..1."""
    shared, area, _ = _areas(a, b)
    return np.divide(shared, area, out=np.zeros_like(shared), where=area > 0)


def _areas(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, M) areas of intersections, (N, 1) and (1, M) areas of boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    size = np.maximum(high - low, 0)
    return size[..., 0] * size[..., 1], box_area(a)[:, None], box_area(b)[None, :]


def box_area(box: np.ndarray) -> np.ndarray:
    """(N,) area of (N, 4) boxes."""
    size = box[:, 2:] - box[:, :2]
    return size[:, 0] * size[:, 1]


def weighted_nms(
    rows: np.ndarray, score: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted NMS: groups of overlapping detections, each averaged into one; best first.

    Args:
        rows: (N, 4 + D): x0 y0 x1 y1 and D more coordinates that are averaged with them.
        score: (N,) weights, positive.
        threshold: a row joins the best one left if their IoU is greater than this.

    Returns:
        (M, 4 + D) averages weighted by score, and (M,) the best score of each group.

    Source: BlazeFace (Bazarevsky et al. 2019, section 3.4, "tie resolution"); MediaPipe
        NonMaxSuppressionCalculator with WEIGHTED: the average is taken in float32, in order of
        falling score, and it stops once a group is empty (a best box without an area).
    """
    order = np.argsort(-score, kind="stable")
    rows, score = rows[order], score[order]
    merged: list[np.ndarray] = []
    best: list[float] = []
    while len(rows):
        near = iou(rows[:1, :4], rows[:, :4])[0] > threshold
        if not near.any():
            merged.append(rows[0])
            best.append(score[0])
            break
        weight = score[near, None]
        merged.append(np.cumsum(rows[near] * weight, axis=0)[-1] / np.cumsum(weight)[-1])
        best.append(score[0])
        rows, score = rows[~near], score[~near]
    return (
        np.array(merged, rows.dtype).reshape(len(merged), rows.shape[1]),
        np.array(best, score.dtype),
    )


def nms(
    box: np.ndarray,
    score: np.ndarray,
    threshold: float,
    most: int,
    overlap: Callable[[np.ndarray, np.ndarray], np.ndarray] = iou,
) -> np.ndarray:
    """Non-maximum suppression: (M,) indices of the kept boxes by descending score.

    Args:
        box: (N, 4) x0 y0 x1 y1.
        score: (N,); of two that are equal, the earlier counts as the better.
        threshold: a box is hidden by a better one that is kept if their IoU is greater than this.
        most: maximum number of boxes kept.
        overlap: instead of the IoU.
    """
    order = np.argsort(-score, kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < most:
        kept.append(int(order[0]))
        order = order[1:]
        order = order[overlap(box[kept[-1:]], box[order])[0] <= threshold]
    return np.array(kept, np.int64)


def box_around(points: np.ndarray) -> np.ndarray:
    """(N, 4) float32 boxes around (N, K, 2) points; NaN if no point is known."""
    low = np.fmin.reduce(points, axis=1, initial=np.inf)
    high = np.fmax.reduce(points, axis=1, initial=-np.inf)
    box = np.concatenate([low, high], axis=1).astype(np.float32)
    return np.where(np.isfinite(box), box, np.float32(np.nan))
