"""Parametric pose NMS: of duplicate poses one is kept, and the others are merged into it.

Source: Fang et al. 2017 (RMPE), arXiv 2211.03375, and the behaviour of AlphaPose c60106d
(specs/alphapose.md 5), which differs from both papers: the criterion is "larger than gamma", and
every distance is in pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

HERE, NEAR, MERGED = 1.0, 7.0, 15.0  # pixels: maximum distance to count scores, to match, to merge
TINY = 1e-5  # replaces scores and counts of 0 in divisors


@dataclass(frozen=True)
class Settings:
    """Criteria for duplicate poses, and thresholds for the poses to keep.

    `gamma` applies to a sum over keypoints for a body (17 of them give at most 17 (1 + mu)), but to
    means over parts for a whole body (at most 2.1 + 3.5 mu): with BODY only `match` decides there.
    """

    delta1: float = 1.0  # scale of scores: a score of this counts tanh(1)
    mu: float = 1.7  # weight of the distance term
    delta2: float = 2.65  # pixels at which the distance term is 1 / e
    gamma: float = 22.48  # similarity above which a pose is a duplicate
    match: float = 5.0  # matching keypoints, of 17, that make it a duplicate
    alpha: float = 0.1  # maximum distance of matching keypoints, of the longer side of the box
    score: float = 0.3  # minimum for the best keypoint of a pose
    min_area: float = 0.0  # pixels squared, of 1.5 times the keypoints' bounding box


BODY = Settings()
# For the reference's whole-body networks that are not trained on heat maps alone.
WHOLE_BODY = Settings(mu=1.65, delta2=8.0, gamma=3.6, match=3.0, alpha=0.15, score=0.01)


@dataclass(frozen=True)
class BodyPart:
    """Keypoints of a whole body that are compared separately."""

    keypoints: slice
    reach: float  # scale of distances, relative to the body's
    score: float  # weight of scores
    near: float  # weight of distances


def whole_body(parts: Mapping[str, Sequence[int]]) -> tuple[BodyPart, ...]:
    """Body and feet, face, and hands of a whole body; see `Skeleton.parts`.

    All whole-body skeletons have them in this order.
    """
    face, hands = min(parts["face"]), min(parts["left_hand"])
    return (
        BodyPart(slice(0, face), 1.0, 1.0, 1.0),
        BodyPart(slice(face, hands), 1.9, 1.0, 1.0),
        BodyPart(slice(hands, max(parts["right_hand"]) + 1), 0.55, 0.1, 1.5),
    )


@dataclass(frozen=True, eq=False)
class Kept:
    """The M of N people that are kept, by descending mean score."""

    index: np.ndarray  # (M,) int64, which of the N
    xy: np.ndarray  # (M, K, 2) pixels, merged
    score: np.ndarray  # (M, K) merged
    box: np.ndarray  # (M, 4) x0 y0 x1 y1 pixels, unchanged
    box_score: np.ndarray  # (M,) unchanged
    proposal_score: np.ndarray  # (M,) mean + 1.25 largest of the scores + that of the box
    merged: tuple[np.ndarray, ...]  # M times int64, indices of the N merged into it, and its own


def pose_nms(
    xy: np.ndarray,
    score: np.ndarray,
    box: np.ndarray,
    box_score: np.ndarray,
    settings: Settings = BODY,
    parts: tuple[BodyPart, ...] = (),
    compat: bool = False,
) -> Kept:
    """Merge duplicate poses, which result from overlapping detections, into one per person.

    The pose with the highest mean score is kept, its duplicates are merged into it, and so on with
    the rest. Pose j is a duplicate of the kept pose i if their similarity is above `gamma`, or if
    at least `match` of their keypoints match: those within `alpha` of i's box and 7 pixels. The
    similarity, with d pixels between two keypoints and s their scores, is

        sum of tanh(s_i / delta1) tanh(s_j / delta1) where d <= 1, + mu sum of exp(-d / delta2)

    or, for a whole body, means over its parts. A merged keypoint is the mean over all duplicates
    within `alpha` of i's box and 15 pixels, weighted by score, and so is its score. Last, poses of
    low scores or a small area are dropped.

    Differences from the reference, unless `compat`:

    - Whether two poses are duplicates does not depend on others. In the reference a match of a
      whole body counts K / (4 n V), for n poses left and V keypoints of i above half of `score`,
      and of 20 copies of a pose 15 are kept. Here n is 2, as there if only the two are left.
    - Scores of a whole body count if j's is at least `score`; in the reference if it is below. Face
      and hands match in `parts`; in the reference from keypoints 26 and 94 on, of 133 as well.
    - Keypoints may be NaN. They match nothing, merge with nothing and stay NaN; similarity and
      matches are relative to the keypoints that i has. Scores <= 0 and those of NaN keypoints
      count as 0.00001; in the reference only those of exactly 0.

    Args:
        xy: (N, K, 2) pixels of the frame; NaN where not found.
        score: (N, K).
        box: (N, 4) x0 y0 x1 y1 pixels, of the detector, without margin.
        box_score: (N,).
        settings: BODY or WHOLE_BODY, or others.
        parts: `whole_body` for a whole body; empty for a body, or a body with hands or feet.
        compat: whether to reproduce the reference, which does not support NaN.
    """
    found = np.all(np.isfinite(xy), axis=-1)
    usable = score != 0 if compat else found & (score > 0)
    sure = np.where(usable, score, TINY).astype(np.float32)
    rank = sure.mean(axis=1)
    alike = _Alike(settings, parts, score.shape[1], compat)

    left, index, merged = np.arange(len(score)), list[int](), list[np.ndarray]()
    places, values = list[np.ndarray](), list[np.ndarray]()
    while len(left):
        i = left[rank[left].argmax()]
        reach = settings.alpha * float((box[i, 2:] - box[i, :2]).max())
        away = np.sqrt(((xy[left] - xy[i]) ** 2).sum(axis=-1))
        away = np.where(np.isnan(away), np.inf, away)
        goes = alike(away, sure[left], sure[i], found[i], reach) | (left == i)
        group, away, left = left[goes], away[goes], left[~goes]

        use = away <= min(reach, MERGED)  # (duplicates, K)
        own = np.any(use, axis=0)  # true at least where i has the keypoint
        weight = np.where(use, sure[group], 0)
        weight /= np.where(own, weight.sum(axis=0), 1)
        place = (weight[..., None] * np.where(use[..., None], xy[group], 0)).sum(axis=0)
        value = np.where(own, (weight * sure[group]).sum(axis=0), sure[i])
        if not own.any() or min(sure[i].max(), value.max()) < settings.score:
            continue
        if 1.5**2 * float(np.prod(np.ptp(place[own], axis=0))) < settings.min_area:
            continue
        index.append(int(i))
        merged.append(group)
        places.append(np.where(own[:, None], place, np.nan))
        values.append(value)

    kept = np.array(index, np.int64)
    value = np.array(values, np.float32).reshape(len(kept), score.shape[1])
    return Kept(
        kept,
        np.array(places, np.float32).reshape(len(kept), *xy.shape[1:]),
        value,
        box[kept],
        box_score[kept],
        value.mean(axis=1) + box_score[kept] + 1.25 * value.max(axis=1, initial=0),
        tuple(merged),
    )


class _Alike:
    """Decides which poses are duplicates of a kept one; see `pose_nms`."""

    def __init__(
        self, settings: Settings, parts: tuple[BodyPart, ...], k: int, compat: bool
    ) -> None:
        self.settings, self.whole, self.compat = settings, bool(parts), compat
        self.far, self.says, self.near = np.ones(k), np.ones(k), np.ones(k)  # (K,) of `BodyPart`
        for part in parts:
            size = len(range(k)[part.keypoints])
            self.far[part.keypoints] = part.reach
            self.says[part.keypoints] = part.score / size
            self.near[part.keypoints] = part.near / size
        self.far_to_match = self.far
        if parts and compat:  # as if for 136 keypoints, whatever K
            self.far_to_match = np.repeat([part.reach for part in parts], [26, 68, k - 94])

    def __call__(
        self,
        away: np.ndarray,
        others: np.ndarray,
        kept: np.ndarray,
        found: np.ndarray,
        reach: float,
    ) -> np.ndarray:
        """(L,) bool, duplicate or not.

        Args:
            away: (L, K) pixels, from the kept pose's keypoints; infinite if missing.
            others: (L, K) scores.
            kept: (K,) scores.
            found: (K,) which keypoints the kept pose has.
            reach: pixels, `alpha` of the kept pose's box.
        """
        settings, k = self.settings, len(kept)
        sure = np.tanh(kept / settings.delta1) * np.tanh(others / settings.delta1) * (away <= HERE)
        close = np.exp(-away / (settings.delta2 * self.far))
        matches = (away <= min(reach, NEAR) * self.far_to_match).sum(axis=1)
        share = 1.0 if self.compat else max(self.near[found].sum() / self.near.sum(), TINY)
        if self.whole:
            counts = others >= settings.score
            close *= counts
            sure *= ~counts if self.compat else counts
            certain = int((kept > settings.score / 2).sum())
            poses = len(others) if self.compat else 2
            matches = matches * (k / (4 * poses * certain) if certain else 0)
        elif not self.compat:
            matches = matches / share
        likeness = (sure @ self.says + settings.mu * (close @ self.near)) / share
        return (likeness > settings.gamma) | (matches >= settings.match)
