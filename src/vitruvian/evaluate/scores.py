"""Metrics of one model against the ground truth, with confidence intervals.

Metrics are 0..1, or metres. Intervals are 95 % bootstrap intervals: images are resampled with
replacement, which tells how much the choice of images matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError
from vitruvian.evaluate import metrics, oks
from vitruvian.evaluate.labels import GroundTruth, LabelledPicture

# OKS threshold for matching a prediction to a person, for all metrics but AP and AR: enough to
# identify the person, where COCO's 0.5 would leave out those whose joints are far off.
SAME = 0.1
PCK_WITHIN = 0.1  # of the longer side of a person's box. Source: Yang & Ramanan 2013, PARSE
PCKH_WITHIN = 0.5  # of the head. Source: Andriluka et al. 2014, MPII
ROOT = ("left_hip", "right_hip")  # their midpoint is the root for MPJPE
ROOTS = (ROOT, ("mid_hip",), ("pelvis",))  # the first that both have
PEOPLE = {"1": (1, 1), "2": (2, 2), "3 to 5": (3, 5), "6 or more": (6, 1 << 30)}  # in an image
COUNTS = ("people", "pictures")
AVERAGE = ("AP", "AP50", "AP75", "AR", "AR50", "AR75")
FLAT = (*AVERAGE, "PCK", "PCKh", "found")
METRES = ("MPJPE", "PA-MPJPE", "N-MPJPE", "absolute MPJPE")
SOLID = (*METRES, "PCK3D", "AUC")
SEED = 0  # of the bootstrap
PCK_CURVE = np.linspace(0, 0.3, 31)  # of the longer side of a person's box
PCK3D_CURVE = np.linspace(0, metrics.PCK_WITHIN, metrics.AUC_STEPS)


class Interval(NamedTuple):
    """A metric with its 95 % interval; NaN if undefined."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True, eq=False)
class PredictedPeople:
    """The D predicted people of an image, with the keypoints of the ground truth."""

    xy: np.ndarray  # (D, K, 2) pixels, NaN where not found
    score: np.ndarray  # (D,) any unit
    xyz: np.ndarray | None = None  # (D, K, 3) metres from the camera


@dataclass(frozen=True)
class ScoreGroup:
    """Metrics of a subset of the people."""

    of: str  # "all", "size", "people in the image"
    name: str
    people: int  # with keypoints
    pictures: int  # they are in
    numbers: dict[str, Interval]


@dataclass(frozen=True, eq=False)
class Scores:
    """All metrics of one model, or one results file."""

    name: str
    keypoints: tuple[str, ...]  # evaluated keypoints
    lacks: tuple[str, ...]  # ground truth keypoints missing from the model: not evaluated
    groups: list[ScoreGroup]  # the first contains everybody
    joints: dict[str, dict[str, float]]  # keypoint -> its metrics
    pictures: list[dict[str, object]]  # one row each
    curves: dict[str, tuple[np.ndarray, np.ndarray]]  # name -> x and y of a plot
    found: dict[int | str, PredictedPeople] = field(repr=False)  # image id -> predicted people

    @property
    def overall(self) -> dict[str, Interval]:
        """Of everybody."""
        return self.groups[0].numbers


def score_people(
    name: str,
    truth: GroundTruth,
    found: Mapping[int | str, PredictedPeople],
    has: Sequence[bool],
    resamples: int = 200,
) -> Scores:
    """Compute the metrics of predictions against the ground truth.

    Args:
        name: of the model.
        truth: the data set.
        found: image id -> predicted people; other images are left out.
        has: (K,) which ground truth keypoints the model has; the others are not evaluated.
        resamples: number of bootstrap resamples for the intervals; 0: no intervals.

    Raises:
        VitruvianError: no keypoint or no image is left.
    """
    known = np.asarray(has, bool)
    if not known.any():
        raise VitruvianError(f"{name} and '{truth.source}' have no keypoint in common")
    pictures = [picture for picture in truth.pictures if picture.number in found]
    if not pictures:
        raise VitruvianError(f"{name} has no results for the images of '{truth.source}'")
    people = _People(truth, pictures, [found[picture.number] for picture in pictures], known)
    draws = np.random.default_rng(SEED).multinomial(
        len(pictures), np.full(len(pictures), 1 / len(pictures)), resamples
    )
    names = truth.skeleton.keypoints
    return Scores(
        name,
        tuple(n for n, k in zip(names, known, strict=True) if k),
        tuple(n for n, k in zip(names, known, strict=True) if not k),
        people.groups(draws.astype(np.float64)),
        people.joints(),
        people.rows(truth.names),
        people.curves(),
        {picture.number: found[picture.number] for picture in pictures},
    )


def average_precision(
    truth: GroundTruth, found: Mapping[int | str, PredictedPeople], has: np.ndarray
) -> float:
    """Average precision alone, over the images with predictions; see `score_people`."""
    both = [(p, found[p.number]) for p in truth.pictures if p.number in found]
    people = _People(truth, [p for p, _ in both], [f for _, f in both], has)
    precision, recall = people.pool.curves(sizes=[0])
    return oks.summarize_ap(precision[0], recall[0])["AP"]


class _People:
    """The N evaluated people of all P images, each with its matched prediction."""

    def __init__(
        self,
        truth: GroundTruth,
        pictures: list[LabelledPicture],
        found: list[PredictedPeople],
        has: np.ndarray,
    ) -> None:
        """Match predictions to people in every image."""
        self.pictures, self.skeleton = pictures, _only(truth.skeleton, has)
        sigmas = truth.sigmas[has]
        matched = [_match(*pair, has, sigmas) for pair in zip(pictures, found, strict=True)]
        self.pool = oks.PrecisionRecall(*zip(*(each.pool for each in matched), strict=True))
        self.picture = np.repeat(np.arange(len(pictures)), [len(each.same) for each in matched])
        self.similar = np.concatenate([each.same for each in matched])
        self.area = np.concatenate([each.area for each in matched])
        self.truth = np.concatenate([each.truth for each in matched])
        off = metrics.mpjpe_absolute(np.concatenate([each.xy for each in matched]), self.truth)
        box, head = (np.concatenate([getattr(m, n) for m in matched]) for n in ("box", "head"))
        self.off = off / box[:, None]  # of the box
        labelled = np.isfinite(self.truth).all(axis=-1)
        heads = metrics.pck(off / head[:, None], self.truth, PCKH_WITHIN)
        near = np.exp(-(off**2) / (2 * (2 * sigmas) ** 2 * self.area[:, None]))
        found_at_all = np.full(labelled.shape, np.nan)
        found_at_all[:, 0] = self.similar > 0
        # (N, K) each, per person and joint; NaN is skipped.
        self.values = {
            "PCK": metrics.pck(self.off, self.truth, PCK_WITHIN),
            "PCKh": np.where(np.isnan(head)[:, None], np.nan, heads),
            "OKS": np.where(labelled, np.nan_to_num(near), np.nan),
            "found": found_at_all,
        }
        if truth.solid:
            solid, xyz = (
                np.concatenate([getattr(m, n) for m in matched]) for n in ("solid", "xyz")
            )
            self._metres(solid, xyz)

    def _metres(self, truth: np.ndarray, found: np.ndarray) -> None:
        self.solid = truth
        self.values["absolute MPJPE"] = metrics.mpjpe_absolute(found, truth)
        self.values["PA-MPJPE"] = metrics.pa_mpjpe(found, truth)
        names = self.skeleton.keypoints
        root = next((root for root in ROOTS if set(root) <= set(names)), None)
        if root is not None:
            relative = metrics.mpjpe(found, truth, self.skeleton, root)
            self.values["MPJPE"] = relative
            self.values["N-MPJPE"] = metrics.n_mpjpe(found, truth, self.skeleton, root)
            self.values["PCK3D"] = metrics.pck(relative, truth)
            self.values["AUC"] = metrics.auc(relative, truth)

    def groups(self, draws: np.ndarray) -> list[ScoreGroup]:
        """Everybody, then by size, then by the number of people in the image."""
        each = np.bincount(self.picture, minlength=len(self.pictures))
        everywhere = np.ones(len(self.pictures), bool)
        everybody = np.ones(len(self.picture), bool)
        found = [self._group("all", "all", draws, 0, everywhere, everybody)]
        for i, (name, (low, high)) in enumerate(oks.SIZES.items()):
            if i:
                some = (self.area >= low) & (self.area <= high)
                found.append(self._group("size", name, draws, i, everywhere, some))
        for name, (low, high) in PEOPLE.items():
            where = (each >= low) & (each <= high)
            some = where[self.picture]
            found.append(self._group("people in the image", name, draws, 0, where, some))
        return found

    def _group(
        self, of: str, name: str, draws: np.ndarray, size: int, where: np.ndarray, who: np.ndarray
    ) -> ScoreGroup:
        def average(weights: np.ndarray) -> list[float]:
            precision, recall = self.pool.curves(weights * where, [size])
            return list(oks.summarize_ap(precision[0], recall[0]).values())

        values = average(np.ones(len(where)))
        drawn = np.array([average(weights) for weights in draws]).reshape(len(draws), len(AVERAGE))
        numbers = {
            name: _number(value, drawn[:, i])
            for i, (name, value) in enumerate(zip(AVERAGE, values, strict=True))
        }
        for name_of, value in self.values.items():
            if name_of in (*FLAT, *SOLID):
                numbers[name_of] = self._mean(value[who], self.picture[who], draws)
        pictures = len(np.unique(self.picture[who]))
        return ScoreGroup(of, name, int(who.sum()), pictures, numbers)

    def _mean(self, values: np.ndarray, picture: np.ndarray, draws: np.ndarray) -> Interval:
        known = ~np.isnan(values)
        sums, counts = (
            np.bincount(picture, part.sum(axis=1), len(self.pictures))
            for part in (np.where(known, values, 0), known)
        )
        if not counts.sum():
            return Interval(float("nan"))
        drawn = (draws @ sums) / np.maximum(draws @ counts, 1e-9)
        return _number(float(sums.sum() / counts.sum()), drawn[draws @ counts > 0])

    def joints(self) -> dict[str, dict[str, float]]:
        """Metrics of each keypoint."""
        labelled = np.asarray(np.isfinite(self.truth).all(axis=-1))
        columns = {
            name: metrics.per_joint(value)
            for name, value in self.values.items()
            if name in ("PCK", "PCKh", "OKS", *SOLID)
        }
        return {
            name: {"people": int(labelled[:, i].sum())}
            | {column: float(value[i]) for column, value in columns.items()}
            for i, name in enumerate(self.skeleton.keypoints)
        }

    def rows(self, called: Mapping[int | str, str]) -> list[dict[str, object]]:
        """Metrics and name of each image."""
        parts = {name: self.values[name] for name in ("PCK", *SOLID) if name in self.values}
        rows: list[dict[str, object]] = []
        for i, picture in enumerate(self.pictures):
            who = self.picture == i
            row: dict[str, object] = {"number": picture.number, "file": called[picture.number]}
            row |= {"people": int(who.sum()), "found": int((self.similar[who] > 0).sum())}
            row["OKS"] = float(self.similar[who].mean()) if who.any() else float("nan")
            rows.append(row | {name: metrics.nan_mean(part[who]) for name, part in parts.items()})
        return rows

    def curves(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Precision-recall curves at two OKS thresholds, and PCK over thresholds."""
        (precision,), _ = self.pool.curves(sizes=[0])
        found = {
            "precision, OKS 0.5": (oks.RECALLS, precision[0]),
            "precision, OKS 0.75": (oks.RECALLS, precision[5]),
            "PCK": (PCK_CURVE, _shares(self.off, self.truth, PCK_CURVE)),
        }
        if "MPJPE" in self.values:
            shares = _shares(self.values["MPJPE"], self.solid, PCK3D_CURVE)
            found["PCK3D"] = (PCK3D_CURVE, shares)
        return found


@dataclass(frozen=True, eq=False)
class _Matched:
    """One image: input of average precision, and the G evaluated people with their matches."""

    pool: tuple[oks.Matches, np.ndarray, np.ndarray]
    same: np.ndarray  # (G,) OKS of the matched prediction; 0 if none
    truth: np.ndarray  # (G, K, 2) pixels, NaN where not labelled
    xy: np.ndarray  # (G, K, 2) pixels, NaN where not found
    area: np.ndarray  # (G,) pixels squared
    box: np.ndarray  # (G,) pixels, the longer side
    head: np.ndarray  # (G,) pixels
    solid: np.ndarray | None  # (G, K, 3) metres
    xyz: np.ndarray | None  # (G, K, 3) metres


def _match(
    picture: LabelledPicture, found: PredictedPeople, has: np.ndarray, sigmas: np.ndarray
) -> _Matched:
    best = np.argsort(-found.score, kind="mergesort")[: oks.MOST]
    xy, true, labelled = found.xy[best][:, has], picture.xy[:, has], picture.labelled[:, has]
    alike = oks.object_keypoint_similarity(xy, true, labelled, picture.box, picture.area, sigmas)
    bare = picture.crowd | ~labelled.any(axis=1)
    low, high = np.array(list(oks.SIZES.values())).T[..., None]  # (A, 1) each
    ignored = bare | (picture.area < low) | (picture.area > high)
    extent = _extent(xy)
    outside = (extent < low) | (extent > high)
    pairs = oks.match_people(alike, ignored, picture.crowd, outside)
    one = oks.match_people(alike, bare[None], picture.crowd, outside[:1], np.array([SAME])).truth[
        0, 0
    ]
    taker = np.full(len(picture), -1)  # index of the prediction matched to each person
    taker[one[one >= 0]] = np.flatnonzero(one >= 0)
    who = np.flatnonzero(~bare)
    taker = taker[who]

    def taken(values: np.ndarray) -> np.ndarray:
        """Rows of the matched predictions, NaN if none."""
        return np.concatenate([values, np.full((1, *values.shape[1:]), np.nan)])[taker]

    solid = picture.xyz is not None
    some = found.xyz if found.xyz is not None else np.full((*found.xy.shape[:2], 3), np.nan)
    return _Matched(
        (pairs, found.score[best], (~ignored).sum(axis=1)),
        np.nan_to_num(taken(alike)[np.arange(len(who)), who]),
        np.where(labelled[who][..., None], true[who], np.nan),
        taken(xy),
        picture.area[who],
        picture.box[who, 2:].max(axis=1, initial=0),
        picture.head[who],
        picture.xyz[who][:, has] if picture.xyz is not None else None,
        taken(some[best][:, has]) if solid else None,
    )


def _only(table: Skeleton, has: np.ndarray) -> Skeleton:
    """A skeleton reduced to some of its keypoints."""
    names = tuple(np.array(table.keypoints)[has].tolist())
    return Skeleton(table.name, table.source, names, (), table.sigmas[has])


def _extent(xy: np.ndarray) -> np.ndarray:
    """(D,) pixels squared of the box around the keypoints that were found."""
    there = ~np.isnan(xy)
    low = np.min(xy, axis=1, initial=np.inf, where=there)
    high = np.max(xy, axis=1, initial=-np.inf, where=there)
    return np.where(there.any(axis=(1, 2)), np.prod(np.maximum(high - low, 0), axis=-1), 0)


def _shares(off: np.ndarray, truth: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """(L,) fraction of the evaluated joints whose error is at most each threshold."""
    return np.array([metrics.nan_mean(metrics.pck(off, truth, limit)) for limit in limits])


def _number(value: float, drawn: np.ndarray) -> Interval:
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Interval(value)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(value, float(low), float(high))
