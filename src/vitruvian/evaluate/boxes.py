"""Accuracy of a person detector's bounding boxes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vitruvian.evaluate.labels import GroundTruth, LabelledPicture
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import iou, share_inside
from vitruvian.models.model import Find


class MatchedBoxes(NamedTuple):
    """The boxes found in one image that count, by descending score."""

    score: np.ndarray  # (D,)
    right: np.ndarray  # (D,) bool, a person's
    people: int  # in the image


def match_boxes(
    box: np.ndarray, score: np.ndarray, people: np.ndarray, ignored: np.ndarray
) -> MatchedBoxes:
    """Match the boxes of one image to its people, at an IoU of 0.5.

    Args:
        box: (D, 4) x0 y0 x1 y1.
        score: (D,).
        people: (N, 4).
        ignored: (M, 4) regions: a box that is no person's, and half or more inside one, does not
            count.
    """
    order = np.argsort(-score, kind="stable")
    box, score = box[order], score[order]
    alike, right = iou(box, people), np.zeros(len(box), bool)
    counts = np.asarray(share_inside(box, ignored).max(axis=1, initial=0) < 0.5)
    for i in range(len(box)):
        best = alike[i].argmax() if len(people) else 0
        if len(people) and alike[i, best] >= 0.5:
            right[i] = counts[i] = True
            alike[:, best] = 0  # everybody is found once
    return MatchedBoxes(score[counts], right[counts], len(people))


def precision_of_matches(images: Sequence[MatchedBoxes]) -> tuple[float, float]:
    """Average precision, and the share found at one wrong box per image."""
    score = np.concatenate([np.zeros(0), *(image.score for image in images)])
    right = np.concatenate([np.zeros(0, bool), *(image.right for image in images)])
    right = right[np.argsort(-score, kind="stable")]
    total = max(sum(image.people for image in images), 1)
    recall = np.cumsum(right) / total
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at_one = recall[np.cumsum(~right) <= len(images)]
    return float((best * right).sum() / total), float(at_one[-1]) if len(at_one) else 0.0


def box_precision(
    found: Sequence[tuple[np.ndarray, np.ndarray]], known: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[float, float]:
    """Average precision at an IoU of 0.5, and the share found at one wrong box per image.

    Args:
        found: (D, 4) boxes and (D,) scores of each image.
        known: (N, 4) people and (M, 4) ignored regions of each image, see `match_boxes`.
    """
    pairs = zip(found, known, strict=True)
    return precision_of_matches([match_boxes(*boxes, *people) for boxes, people in pairs])


def people_and_crowds(picture: LabelledPicture) -> tuple[np.ndarray, np.ndarray]:
    """(N, 4) people, with or without keypoints, and (M, 4) crowds: x0 y0 x1 y1, pixels."""
    box = np.concatenate([picture.box[:, :2], picture.box[:, :2] + picture.box[:, 2:]], axis=1)
    large = (picture.box[:, 2:] > 0).all(axis=1)
    return box[large & ~picture.crowd], box[large & picture.crowd]


def score_finder(
    find: Find, truth: GroundTruth, resamples: int
) -> dict[str, tuple[float, float, float]]:
    """`precision_of_matches` of a person detector on labelled images, of everybody in them.

    Args:
        find: the detector.
        truth: images; crowds are ignored regions.
        resamples: of the images, for 95 % intervals; 0: none, they are NaN.

    Returns:
        AP50 and found: value, low and high.
    """
    matches = []
    for picture in truth.pictures:
        (look,) = find([Frame.read(picture.path)])
        matches.append(match_boxes(look.bounds(), look.score, *people_and_crowds(picture)))
    values = np.array(precision_of_matches(matches))
    draws = np.random.default_rng(0).integers(len(matches), size=(resamples, len(matches)))
    some = [precision_of_matches([matches[i] for i in row]) for row in draws]
    ends = np.percentile(some, [2.5, 97.5], axis=0) if some else np.full((2, 2), np.nan)
    rows = zip(("AP50", "found"), np.stack([values, *ends], axis=1).tolist(), strict=True)
    return {name: (row[0], row[1], row[2]) for name, row in rows}
