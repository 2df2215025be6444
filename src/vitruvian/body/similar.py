"""How similar poses are, and poses of one person."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.geometry.boxes import box_area, iou, over_smaller

# Minimum OKS (IoU without keypoints) of duplicate detections. In 150 + 384 COCO images, no two
# people with ten or more labelled keypoints reach it, except those labelled twice; YOLOv8n's
# duplicates have 0.5 to 0.96.
DOUBLE = 0.5
# A part of somebody, such as the legs, found as a person of its own: what share of its box is in
# the box of the whole, at most what share of that it is, and its minimum OKS with the whole. Of
# 1770 pairs of people in those images, 17 look like that, 12 of which are people labelled twice.
# Parts that vitruvian-2d finds of one person in ../shared/data/videos/sports2d_demo.mp4 have 0.29
# to 0.8.
INSIDE, SMALLER, PART = 0.75, 0.5, 0.25
# The face, found as a head that is nobody else's: keypoints of the names that all skeletons with
# faces share.
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
LIMB = 0.3  # minimum part of a limb's box inside of the body's
SIGMA = 0.07  # OKS sigma for skeletons without published sigmas: COCO's average


def oks(
    xy: np.ndarray,
    score: np.ndarray,
    box: np.ndarray,
    other: np.ndarray,
    other_score: np.ndarray,
    skeleton: Skeleton,
) -> np.ndarray:
    """(T, M) object keypoint similarity (OKS), 0..1; NaN without shared keypoints.

    Keypoints are weighted by the lower of their two scores.

    Args:
        xy: (T, K, 2) pixels, NaN where not found.
        score: (T, K) 0..1.
        box: (T, 4) x0 y0 x1 y1 of the same; distances are normalized by their areas.
        other: (M, K, 2) pixels.
        other_score: (M, K).
        skeleton: of both; keypoints without a sigma get the mean of those that have one.

    Source: COCO keypoint evaluation, with the area of the box for that of the mask.
    """
    area = np.maximum(box_area(box), 1)
    off = xy[:, None] - other[None]
    off *= off
    square = off[..., 0] + off[..., 1]
    close = np.exp(-square / (2 * area[:, None, None] * _falloff(skeleton)))
    weight = np.minimum(score[:, None], other_score[None])
    unknown = np.isnan(close) | np.isnan(weight)
    weight[unknown] = close[unknown] = 0
    total, shared = weight.sum(axis=-1), (weight * close).sum(axis=-1)
    return np.divide(shared, total, out=np.full(total.shape, np.nan), where=total > 0)


@lru_cache(64)
def _falloff(skeleton: Skeleton) -> np.ndarray:
    """(K,) of OKS: (2 sigma)^2."""
    known = skeleton.sigmas[~np.isnan(skeleton.sigmas)]
    mean = known.mean() if len(known) else SIGMA
    return (2 * np.where(np.isnan(skeleton.sigmas), mean, skeleton.sigmas)) ** 2


def similarity(poses: Poses) -> np.ndarray:
    """(N, N) OKS with the box of the row; IoU without shared keypoints."""
    box = poses.box
    same = oks(poses.xy, poses.score, box, poses.xy, poses.score, poses.skeleton)
    unknown = np.isnan(same)
    return np.where(unknown, iou(box, box), same) if unknown.any() else same


def alike(poses: Poses, least: float = DOUBLE) -> np.ndarray:
    """(N, N) bool, whether rows, of higher score than columns, show the same person."""
    return similarity(poses) >= least


def is_part(poses: Poses) -> np.ndarray:
    """(N,) bool, whether a row shows a part of another one with a higher score, see `PART`.

    Or the other one is the part: then the row's box is far too large for its pose.
    """
    box, n = poses.box, len(poses)
    if n < 2:
        return np.zeros(n, bool)
    area = box_area(box)
    sizes = area[:, None], area
    inside = np.minimum(*sizes) <= SMALLER * np.maximum(*sizes)
    inside &= poses.box_score[:, None] > poses.box_score
    if inside.any():
        inside &= over_smaller(box, box) >= INSIDE
    if not inside.any():
        return np.zeros(n, bool)
    same = oks(poses.xy, poses.score, box, poses.xy, poses.score, poses.skeleton)
    return np.any(inside & (same >= PART), axis=0)


def same_head(poses: Poses, near: float) -> np.ndarray:
    """(N, N) bool, whether two poses claim one head.

    Args:
        poses: all False if their skeleton has none of `HEAD`.
        near: maximum distance between the centres of their heads, in the size of the larger one.
    """
    index = [i for i, name in enumerate(poses.skeleton.keypoints) if name in HEAD]
    if not index or not len(poses):
        return np.zeros((len(poses), len(poses)), bool)
    head = poses.xy[:, index]
    size = np.linalg.norm(head.max(axis=1) - head.min(axis=1), axis=-1)
    centre = head.mean(axis=1)
    away = np.linalg.norm(centre[:, None] - centre, axis=-1)
    return away < near * np.maximum(size[:, None], size)  # NaN: False


def each_once(
    poses: Poses, overlap: float, order: np.ndarray | None = None, head: float = 0.0
) -> Poses:
    """The poses without those of a person who is there already.

    Args:
        poses: with `look`, the regions that they lead to.
        overlap: of two regions with a larger IoU one is kept; so it is of similar poses, see
            `alike`.
        order: (N,) who is kept: the first of each in this order; None: as they are.
        head: two poses whose heads are nearer are one person, see `same_head`; 0: not looked at.
    """
    if poses.look is None or len(poses) < 2:
        return poses
    bounds = poses.look.bounds()
    same = (iou(bounds, bounds) > overlap) | alike(poses) | same_head(poses, head)
    keep: list[int] = []
    for i in range(len(poses)) if order is None else order.tolist():
        if not same[keep, i].any():
            keep.append(i)
    return poses.take(sorted(keep))


def is_limb(box: np.ndarray, body: np.ndarray, sure: np.ndarray, small: float) -> np.ndarray:
    """(N,) bool, whether a box shows a hand or the head of a surer person, rather than somebody.

    Args:
        box: (N, 4) x0 y0 x1 y1, of the finder.
        body: (N, 4) of the whole person.
        sure: (N,) how certain it is that somebody is there.
        small: maximum area of a limb's box, relative to the body's.
    """
    area, whole = box_area(box), box_area(body)
    inside = (over_smaller(box, body) >= LIMB) & (area[:, None] < small * whole)
    return np.any(inside & (sure > sure[:, None]), axis=1)
