"""Agreement of two models: matched people, distances of their joints, and their angles.

People are matched by OKS (object keypoint similarity) of the joints that both skeletons have,
by name, so that the total OKS is highest. A joint counts if both models have detected it.
Distances are in percent of the person's size, the side of a square with the mean area of the two
bounding boxes: the same pixels are a larger error for a small person.

Source: Kuhn 1955 for the matching; COCO keypoint evaluation for OKS, with box area for mask area;
Bland and Altman 1986, "Statistical methods for assessing agreement between two methods of clinical
measurement", The Lancet 327, for bias and limits of agreement.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np

from vitruvian.analysis.angles import Space, angle_names, angles_deg
from vitruvian.body.poses import Poses
from vitruvian.body.similar import oks
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.body.state import SEEN

ALIKE = 0.1  # OKS from which two may match; of different people it is hardly above 0
POINTS = 400  # maximum in a Bland-Altman plot
LIMITS = 1.96  # standard deviations to either side that hold 95 % of a normal distribution


@dataclass(frozen=True, eq=False)
class Common:
    """The J joints that two skeletons have under the same names."""

    skeleton: Skeleton  # with COCO's sigmas for COCO joints; no bones
    a: np.ndarray  # (J,) indices in the first
    b: np.ndarray  # (J,) indices in the second

    @classmethod
    def of(cls, a: Skeleton, b: Skeleton) -> Common:
        """The common joints, in the order of the first skeleton."""
        both = tuple(name for name in a.keypoints if name in b.keypoints)
        coco = dict(zip(COCO17.keypoints, COCO17.sigmas.tolist(), strict=True))
        sigmas = np.array([coco.get(name, nan) for name in both], np.float32)
        source = f"joints of both {a.name} and {b.name}; COCO sigmas"
        numbers = (np.array([one[name] for name in both], int) for one in (a, b))
        return cls(Skeleton(f"{a.name} & {b.name}", source, both, (), sigmas), *numbers)


@dataclass(frozen=True, eq=False)
class Pairing:
    """The people of two models in one frame, M of them matched."""

    people: tuple[int, int]  # number of people of each model
    rows: np.ndarray  # (M, 2) indices of matched people
    alike: np.ndarray  # (M,) 0..1, OKS
    pixels: np.ndarray  # (M, J) distance of joints; NaN if either model lacks the joint
    percent: np.ndarray  # (M, J) the same, in percent of the person's size

    @property
    def disagreement(self) -> float:
        """0 for the same people in the same poses, 1 for nothing in common.

        One minus the mean OKS; a person found by only one model counts as 1.
        """
        most = max(self.people)
        return 1 - float(self.alike.sum()) / most if most else 0.0


def pair(a: Poses, b: Poses, common: Common) -> Pairing:
    """Match the people of two models in one frame.

    Args:
        a: N people of the first model.
        b: M people of the second model.
        common: the joints of both skeletons.
    """
    xy, score = (a.xy[:, common.a], b.xy[:, common.b]), (a.score[:, common.a], b.score[:, common.b])
    both, rows = np.zeros((len(a), len(b))), np.zeros((0, 2), int)
    if both.size and len(common.a):
        from scipy.optimize import linear_sum_assignment

        there = oks(xy[0], score[0], a.box, xy[1], score[1], common.skeleton)
        back = oks(xy[1], score[1], b.box, xy[0], score[0], common.skeleton)
        both = np.nan_to_num((there + back.T) / 2)  # OKS depends on whose boxes: mean of both
        rows = np.stack(linear_sum_assignment(both, maximize=True), axis=-1)
        rows = rows[both[rows[:, 0], rows[:, 1]] >= ALIKE]
    i, j = rows[:, 0], rows[:, 1]
    apart = np.linalg.norm(xy[0][i] - xy[1][j], axis=-1).astype(np.float64)
    apart[(score[0][i] < SEEN) | (score[1][j] < SEEN)] = np.nan
    size = np.sqrt((_area(a.box[i]) + _area(b.box[j])) / 2)
    percent = 100 * apart / np.maximum(size, 1)[:, None]
    return Pairing((len(a), len(b)), rows, both[i, j], apart, percent)


def _area(box: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=1)


def angles_apart(a: Poses, b: Poses, pairing: Pairing, space: Space) -> np.ndarray:
    """(M, A, 2) degrees: each of `angle_names(space)` of both models, for matched people.

    The second is shifted by full turns to within 180 degrees of the first. NaN if unknown.
    """
    if not len(pairing.rows):
        return np.zeros((0, len(angle_names(space)), 2))
    first = angles_deg(a.take(pairing.rows[:, 0]), space).astype(np.float64)
    second = angles_deg(b.take(pairing.rows[:, 1]), space).astype(np.float64)
    second = first + (second - first + 180) % 360 - 180
    return np.stack([first, second], axis=-1)


class BlandAltman:
    """Bias and limits of agreement of A quantities measured by two methods, computed online.

    It keeps running sums, and a random sample of the values for plots, at a fixed size.
    """

    def __init__(self, quantities: int) -> None:
        self.count = np.zeros(quantities, int)
        self._mean, self._square = np.zeros(quantities), np.zeros(quantities)
        self.points: list[list[tuple[float, float]]] = [[] for _ in range(quantities)]
        self._chance = np.random.default_rng(0)

    def add(self, values: np.ndarray) -> None:
        """(M, A, 2) values of both methods; NaN is skipped."""
        for row in values:
            known = np.isfinite(row).all(axis=-1)
            apart = np.where(known, row[:, 1] - row[:, 0], 0)
            # Welford's algorithm: running mean, and sum of squared differences.
            self.count += known
            before = apart - self._mean
            self._mean += np.where(known, before / np.maximum(self.count, 1), 0)
            self._square += np.where(known, before * (apart - self._mean), 0)
            for k in np.flatnonzero(known):
                self._keep(int(k), (float(row[k].mean()), float(apart[k])))

    def _keep(self, k: int, point: tuple[float, float]) -> None:
        """Reservoir sampling: every value is equally likely to be in the sample."""
        if len(self.points[k]) < POINTS:
            self.points[k].append(point)
        elif (place := int(self._chance.integers(self.count[k]))) < POINTS:
            self.points[k][place] = point

    @property
    def bias(self) -> np.ndarray:
        """(A,) mean of second minus first; NaN without values."""
        return np.where(self.count > 0, self._mean, np.nan)

    @property
    def deviation(self) -> np.ndarray:
        """(A,) standard deviation of the differences; NaN for fewer than two."""
        return np.sqrt(np.where(self.count > 1, self._square / np.maximum(self.count - 1, 1), nan))

    @property
    def limits(self) -> np.ndarray:
        """(2, A) range of 95 % of the differences, if they are normally distributed."""
        return np.stack([self.bias - LIMITS * self.deviation, self.bias + LIMITS * self.deviation])
