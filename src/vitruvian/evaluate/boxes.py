"""Accuracy of a person detector's bounding boxes."""

from collections.abc import Sequence

import numpy as np

from vitruvian.geometry.boxes import iou, share_inside


def box_precision(
    found: Sequence[tuple[np.ndarray, np.ndarray]], known: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[float, float]:
    """Average precision at an IoU of 0.5, and the share found at one wrong box per image.

    Args:
        found: (D, 4) boxes and (D,) scores of each image.
        known: (N, 4) people and (M, 4) ignored regions of each image. A box that is no person's,
            and half or more inside such a region, does not count.
    """
    scores, rights = [np.zeros(0)], [np.zeros(0, bool)]
    for (box, score), (people, ignored) in zip(found, known, strict=True):
        order = np.argsort(-score, kind="stable")
        box, score = box[order], score[order]
        alike, right = iou(box, people), np.zeros(len(box), bool)
        inside = share_inside(box, ignored)
        counts = np.asarray(inside.max(axis=1, initial=0) < 0.5)
        for i in range(len(box)):
            best = alike[i].argmax() if len(people) else 0
            if len(people) and alike[i, best] >= 0.5:
                right[i] = counts[i] = True
                alike[:, best] = 0  # everybody is found once
        scores.append(score[counts])
        rights.append(right[counts])
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.concatenate(rights)[order]
    total = max(sum(len(people) for people, _ in known), 1)
    recall = np.cumsum(right) / total
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at_one = recall[np.cumsum(~right) <= len(known)]
    return float((best * right).sum() / total), float(at_one[-1]) if len(at_one) else 0.0
