"""COCO's average precision of keypoints, where pictures can be drawn anew without matching anew.

Every found person is compared with every true one of the picture (`object_keypoint_similarity`),
they are paired, the likeliest first (`match_people`), and the pairs of all pictures are summed up
(`PrecisionRecall`). The pairs of a picture do not depend on other pictures: that makes intervals by
resampling cheap, and is why this is written out here. faster-coco-eval keeps its pairs where Python
cannot read them, pycocotools takes seconds to make them; its numbers are the same to 1e-9
(tests/verbs/test_val.py).

Source: the COCO keypoint task, https://cocodataset.org/#keypoints-eval; cocoapi 8c9bcc3,
    PythonAPI/pycocotools/cocoeval.py, for the order of ties and for what is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, HALPE26, SKELETONS

MOST = 20  # people found in a picture, the likeliest: no more are counted
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of similarity
RECALLS = np.linspace(0, 1, 101)
# Pixels squared, of who is counted: COCO's areas. Others are neither asked for nor held against.
SIZES = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
OTHER_SIGMA = 0.08  # of a keypoint for which nobody has published one: that of Halpe's spine
_SIGMAS = {
    name: float(str(sigma))  # 0.026, as published, not the nearest float32
    for table in (HALPE26, COCO17)
    for name, sigma in zip(table.keypoints, table.sigmas, strict=True)
}
_TINY = np.spacing(1)


def oks_sigmas(table: Skeleton) -> np.ndarray:
    """(K,) float64 OKS standard deviations; `OTHER_SIGMA` where there is none.

    Those of a skeleton of the user's own, where it has them; else the published ones, by name.
    """
    own = _own(table)
    pairs = zip(table.keypoints, own, strict=True)
    return np.array([_SIGMAS.get(name, OTHER_SIGMA) if s is None else s for name, s in pairs])


def keypoints_without_sigma(table: Skeleton) -> list[str]:
    """The keypoints for which nobody has said a sigma."""
    pairs = zip(table.keypoints, _own(table), strict=True)
    return [name for name, sigma in pairs if sigma is None and name not in _SIGMAS]


def _own(table: Skeleton) -> list[float | None]:
    """The sigmas that a skeleton of the user's own says; ours are looked up by name."""
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
    """(D, G) object keypoint similarity, 0..1, of D found people and G true ones.

    Of a person without labels it says whether the found one lies within twice the size of the box.

    Args:
        found: (D, K, 2) pixels; a keypoint that was not found, NaN, is as far away as can be.
        truth: (G, K, 2) pixels.
        labelled: (G, K) bool, which keypoints count.
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
    """Who of D found people is who of G true ones, for A sizes and T thresholds."""

    truth: np.ndarray  # (A, T, D) the number of the true person, or -1
    left_out: np.ndarray  # (A, T, D) bool, found people who are not held against the method


def match_people(
    oks: np.ndarray,
    ignored: np.ndarray,
    crowd: np.ndarray,
    outside: np.ndarray,
    thresholds: np.ndarray = THRESHOLDS,
) -> Matches:
    """Pair people: each found one, the likeliest first, takes the most similar who is still free.

    Args:
        oks: (D, G) of found people, the likeliest first.
        ignored: (A, G) bool, true people whom nobody has to find; taken if nobody else is there.
        crowd: (G,) bool, of them, those who may be taken again and again.
        outside: (A, D) bool, found people of another size: left out where they are nobody.
        thresholds: (T,) pairs are at least so similar.
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
        best = oks.shape[1] - 1 - value.argmax(axis=-1)  # of equals, the last
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
    """The pairs of all pictures, sorted by how likely found people are."""

    def __init__(
        self, pairs: Sequence[Matches], scores: Sequence[np.ndarray], wanted: Sequence[np.ndarray]
    ) -> None:
        """Put pictures together, P of them.

        Args:
            pairs: of each.
            scores: (D,) of each, of its found people.
            wanted: (A,) of each, how many true people are to be found.
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
        """Precision over recall, and recall in the end.

        Args:
            weights: (P,) how often each picture counts; once each.
            sizes: which of the A; all.

        Returns:
            (A, T, 101) precision at `RECALLS`; NaN where nobody is to be found.
            (A, T) the share of the people that is found.
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
    """COCO's numbers of one size: AP, AP50, AP75, AR, AR50, AR75; NaN where nobody is wanted.

    Args:
        precision: (T, 101) of `PrecisionRecall.curves`.
        recall: (T,) the same.
    """
    at = {"": slice(None), "50": slice(0, 1), "75": slice(5, 6)}
    numbers = {f"AP{name}": float(precision[which].mean()) for name, which in at.items()}
    return numbers | {f"AR{name}": float(recall[which].mean()) for name, which in at.items()}
