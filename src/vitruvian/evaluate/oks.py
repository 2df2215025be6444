"""COCO's keypoint average precision, with cheap bootstrap resampling of the images.

OKS of every prediction with every person of the image (`object_keypoint_similarity`), greedy
matching by descending score (`match_people`), and accumulation over all images
(`PrecisionRecall`). Matches of an image do not depend on other images, so that resampling needs
no new matching, which is why this is implemented here: faster-coco-eval does not expose its
matches to Python, and pycocotools takes seconds to compute them; its numbers are the same to 1e-9
(tests/verbs/test_val.py).

Source: the COCO keypoint task, https://cocodataset.org/#keypoints-eval; cocoapi 8c9bcc3,
    PythonAPI/pycocotools/cocoeval.py, for the order of ties and for ignored people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, HALPE26, SKELETONS

MOST = 20  # maximum number of predictions per image, by score
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of OKS
RECALLS = np.linspace(0, 1, 101)
# Area ranges of COCO, pixels squared. People outside of a range are ignored.
SIZES = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
OTHER_SIGMA = 0.08  # of keypoints without a published sigma: that of Halpe's spine
_SIGMAS = {
    name: float(str(sigma))  # 0.026, as published, not the nearest float32
    for table in (HALPE26, COCO17)
    for name, sigma in zip(table.keypoints, table.sigmas, strict=True)
}
_TINY = np.spacing(1)


def oks_sigmas(table: Skeleton) -> np.ndarray:
    """(K,) float64 OKS standard deviations; `OTHER_SIGMA` where there is none.

    For a custom skeleton its own sigmas, if given; otherwise the published ones, by name.
    """
    own = _own(table)
    pairs = zip(table.keypoints, own, strict=True)
    return np.array([_SIGMAS.get(name, OTHER_SIGMA) if s is None else s for name, s in pairs])


def keypoints_without_sigma(table: Skeleton) -> list[str]:
    """The keypoints without a sigma."""
    pairs = zip(table.keypoints, _own(table), strict=True)
    return [name for name, sigma in pairs if sigma is None and name not in _SIGMAS]


def _own(table: Skeleton) -> list[float | None]:
    """The sigmas of a custom skeleton; built-in ones are looked up by name."""
    if SKELETONS.get(table.name) is table:
        return [None] * len(table)
    own = [float(str(np.float32(sigma))) for sigma in table.sigmas]  # 0.1, not the nearest float32
    return [None if np.isnan(sigma) else sigma for sigma in own]


def object_keypoint_similarity(
    found: np.ndarray,
    truth: np.ndarray,
    labelled: np.ndarray,
    box: np.ndarray,
    area: np.ndarray,
    sigmas: np.ndarray,
) -> np.ndarray:
    """(D, G) object keypoint similarity (OKS), 0..1, of D predictions and G people.

    For a person without labelled keypoints: whether the prediction lies within twice the box.

    Args:
        found: (D, K, 2) pixels; a missing keypoint, NaN, is infinitely far away.
        truth: (G, K, 2) pixels.
        labelled: (G, K) bool, labelled keypoints, which are evaluated.
        box: (G, 4) x y width height, pixels.
        area: (G,) pixels squared.
        sigmas: (K,).
    """
    off = found[:, None] - truth[None]
    bare = np.asarray(~labelled.any(axis=1))
    if bare.any():
        low, high = box[bare, :2] - box[bare, 2:], box[bare, :2] + 2 * box[bare, 2:]
        at = found[:, None]
        off[:, bare] = np.maximum(low[:, None] - at, 0) + np.maximum(at - high[:, None], 0)
    scale = (2 * sigmas) ** 2 * 2 * (area + _TINY)[:, None]
    near = np.exp(-(off**2).sum(axis=-1) / scale)
    counts = labelled | bare[:, None]
    return np.where(counts & ~np.isnan(near), near, 0).sum(axis=-1) / counts.sum(axis=1)


@dataclass(frozen=True, eq=False)
class Matches:
    """Matches of D predictions to G people, for A area ranges and T thresholds."""

    truth: np.ndarray  # (A, T, D) index of the matched person, or -1
    left_out: np.ndarray  # (A, T, D) bool, ignored predictions


def match_people(
    oks: np.ndarray,
    ignored: np.ndarray,
    crowd: np.ndarray,
    outside: np.ndarray,
    thresholds: np.ndarray = THRESHOLDS,
) -> Matches:
    """Greedy matching: each prediction, by descending score, takes the most similar free person.

    Args:
        oks: (D, G) of predictions by descending score.
        ignored: (A, G) bool, people to ignore; matched only if there is no other.
        crowd: (G,) bool, crowd regions among them, which can be matched repeatedly.
        outside: (A, D) bool, predictions outside of the area range: ignored if unmatched.
        thresholds: (T,) minimum OKS of a match.
    """
    shape = (len(ignored), len(thresholds))
    truth = np.full((*shape, len(oks)), -1)
    free = np.ones((*shape, oks.shape[1]), bool)
    rows = np.ix_(*map(np.arange, shape))
    least = np.minimum(thresholds, 1 - 1e-10)
    for d in np.flatnonzero(oks.max(axis=1, initial=-1) >= least.min()):
        near = free & (oks[d] >= least[:, None])
        wanted = near & ~ignored[:, None]
        near = np.where(wanted.any(axis=-1, keepdims=True), wanted, near)
        value = np.where(near, oks[d], -1)[..., ::-1]
        best = oks.shape[1] - 1 - value.argmax(axis=-1)  # the last of ties
        some = near.any(axis=-1)
        truth[..., d] = np.where(some, best, -1)
        free[(*rows, best)] &= ~some | crowd[best]
    taken = (
        np.take_along_axis(
            np.broadcast_to(ignored[:, None], free.shape), np.maximum(truth, 0), axis=-1
        )
        if oks.shape[1]
        else np.zeros(truth.shape, bool)
    )
    return Matches(truth, np.where(truth >= 0, taken, outside[:, None]))


class PrecisionRecall:
    """Matches of all images, sorted by descending score."""

    def __init__(
        self, pairs: Sequence[Matches], scores: Sequence[np.ndarray], wanted: Sequence[np.ndarray]
    ) -> None:
        """Collect the matches of P images.

        Args:
            pairs: matches of each image.
            scores: (D,) scores of the predictions of each image.
            wanted: (A,) number of people to find in each image.
        """
        self.wanted = np.array(wanted, np.float64)  # (P, A)
        score = np.concatenate(scores)
        order = np.argsort(-score, kind="mergesort")
        picture = np.repeat(np.arange(len(scores)), [len(each) for each in scores])
        self.picture = picture[order]  # (D,)
        hit = np.concatenate([each.truth for each in pairs], axis=-1)[..., order] >= 0
        out = np.concatenate([each.left_out for each in pairs], axis=-1)[..., order]
        # Of each size and threshold: who is hit, who is left out, and how many of these are before
        # each hit. One sum over all found people then serves all thresholds.
        self._rows = [
            [_rows(h & ~o, o) for h, o in zip(*each, strict=True)]
            for each in zip(hit, out, strict=True)
        ]

    def curves(
        self, weights: np.ndarray | None = None, sizes: Sequence[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Precision-recall curves, and maximum recall.

        Args:
            weights: (P,) weight of each image, from resampling; default 1.
            sizes: indices of area ranges; default all.

        Returns:
            (A, T, 101) precision at `RECALLS`; NaN if there is nobody to find.
            (A, T) recall.
        """
        weights = np.ones(len(self.wanted)) if weights is None else weights
        sizes = range(len(self._rows)) if sizes is None else sizes
        each = weights[self.picture]
        everybody = np.cumsum(each)
        shape = (len(sizes), len(self._rows[0]))
        precision = np.full((*shape, len(RECALLS)), np.nan)
        recall = np.full(shape, np.nan)
        for i, size in enumerate(sizes):
            total = weights @ self.wanted[:, size]
            if not total:
                continue
            for t, (hits, out, before) in enumerate(self._rows[size]):
                seen = everybody[hits] - np.append(0, np.cumsum(each[out]))[before]
                right = np.cumsum(each[hits])
                best = np.maximum.accumulate((right / (seen + _TINY))[::-1])[::-1]
                at = np.searchsorted(right / total, RECALLS, side="left")
                precision[i, t] = np.append(best, 0)[at]
                recall[i, t] = right[-1] / total if len(right) else 0
        return precision, recall


def _rows(hit: np.ndarray, left_out: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hits, out = np.flatnonzero(hit), np.flatnonzero(left_out)
    return hits, out, np.searchsorted(out, hits)


def summarize_ap(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    """COCO's metrics of one area range: AP, AP50, AP75, AR, AR50, AR75; NaN if undefined.

    Args:
        precision: (T, 101) of `PrecisionRecall.curves`.
        recall: (T,) the same.
    """
    at = {"": slice(None), "50": slice(0, 1), "75": slice(5, 6)}
    numbers = {f"AP{name}": float(precision[which].mean()) for name, which in at.items()}
    return numbers | {f"AR{name}": float(recall[which].mean()) for name, which in at.items()}
