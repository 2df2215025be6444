"""Tally: running statistics of models over the frames of one source.

Memory hardly grows with the length of the source: time is split into at most `BINS` bins,
distances are counted in histograms, and only the greatest disagreements keep their images. Each
frame adds four bytes per model.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from vitruvian.analysis.angles import Space, angle_names
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.verbs.compare.agreement import BlandAltman, Common, Pairing, angles_apart, pair
from vitruvian.verbs.compare.lines import FrameResult
from vitruvian.verbs.compare.result import (
    AngleAgreement,
    JointDistances,
    ModelSummary,
    MomentSummary,
    PairSummary,
    SourceSummary,
)

BINS = 300  # maximum number of time bins, for plots
STEPS, STEP = 400, 0.25  # distance histogram, percent of a person's size; last bin: overflow
MOMENTS = 10  # number of greatest disagreements
SPACES: tuple[Space, ...] = ("2d", "3d")


class Mean:
    """Mean values per bin, (B, ...)."""

    def __init__(self, *shape: int) -> None:
        self.sum, self.count = np.zeros(shape), np.zeros(shape, int)

    def add(self, where: int, values: np.ndarray | float) -> None:
        """Add values to a bin; NaN is skipped."""
        known = np.isfinite(values)
        self.sum[where] += np.where(known, values, 0)
        self.count[where] += known

    @property
    def values(self) -> np.ndarray:
        """(B, ...) NaN for empty bins."""
        return np.where(self.count > 0, self.sum / np.maximum(self.count, 1), np.nan)


class ModelTally:
    """Statistics of one model: number of people, and inference time."""

    def __init__(self, label: str, bins: int) -> None:
        self.label, self.frames, self.failed, self.people = label, 0, 0, 0
        self.found, self.took, self.ms = Mean(bins), Mean(bins), array("f")

    def add(self, where: int, result: FrameResult) -> None:
        """Add one frame to its time bin."""
        self.frames += 1
        self.failed += result.poses is None
        if result.poses is None:
            return
        self.people += len(result.poses)
        self.found.add(where, len(result.poses))
        if result.ms is not None:
            self.ms.append(result.ms)
            self.took.add(where, result.ms)

    def summary(self) -> ModelSummary:
        """The statistics."""
        ms = np.array(self.ms)
        median, p95 = np.quantile(ms, [0.5, 0.95]).round(3).tolist() if len(ms) else (None, None)
        seen = self.frames - self.failed
        people = round(self.people / seen, 3) if seen else None
        return ModelSummary(self.label, self.frames, self.failed, people, median, p95)


class Pair:
    """Statistics of two models: matched people, and differences of their joints and angles."""

    def __init__(self, labels: tuple[str, str], a: Skeleton, b: Skeleton, bins: int) -> None:
        self.labels, self.skeletons, self.common = labels, (a, b), Common.of(a, b)
        self.joints = self.common.skeleton.keypoints
        self.frames = self.both = 0
        self.only = [0, 0]  # people that only the first, or only the second, has found
        self.disagreement, self.percent = Mean(bins), Mean(bins, len(self.joints))
        self.steps = np.zeros((len(self.joints), STEPS + 1), int)
        self.angles: dict[Space, BlandAltman] = {
            s: BlandAltman(len(angle_names(s))) for s in SPACES
        }

    def add(self, where: int, a: Poses, b: Poses) -> Pairing:
        """Add one frame to its time bin.

        Raises:
            VitruvianError: the skeleton changes within a record.
        """
        for label, poses, known in zip(self.labels, (a, b), self.skeletons, strict=True):
            if poses.skeleton != known:
                raise VitruvianError(
                    f"'{label}' changes from {known.name} to {poses.skeleton.name}; a record has "
                    "one skeleton only"
                )
        found = pair(a, b, self.common)
        self.frames += 1
        self.both += len(found.rows)
        self.only = [n + all_ - len(found.rows)
                     for n, all_ in zip(self.only, found.people, strict=True)]  # fmt: skip
        self.disagreement.add(where, found.disagreement)
        for row in found.percent:
            self.percent.add(where, row)
            known = np.flatnonzero(np.isfinite(row))
            self.steps[known, np.minimum(row[known] / STEP, STEPS).astype(int)] += 1
        for space, sums in self.angles.items():
            if space == "2d" or (a.xyz is not None and b.xyz is not None):
                sums.add(angles_apart(a, b, found, space))
        return found

    def quantile(self, share: float) -> np.ndarray:
        """(J,) quantile of distances, percent of a person's size; NaN without any."""
        total = self.steps.sum(axis=1)
        first = np.argmax(self.steps.cumsum(axis=1) >= share * total[:, None], axis=1)
        return np.where(total > 0, (first + 0.5) * STEP, np.nan)

    def summary(self) -> PairSummary:
        """The statistics."""
        median, p95 = self.quantile(0.5), self.quantile(0.95)
        angles: dict[Space, dict[str, AngleAgreement]] = {}
        for space, sums in self.angles.items():
            parts = (sums.count, sums.bias, sums.deviation, *sums.limits)
            angles[space] = {
                name: AngleAgreement(*row)
                for name, *row in zip(
                    angle_names(space), *(_plain(part) for part in parts), strict=True
                )
                if row[0]
            }
        mean = self.disagreement.sum.sum() / max(self.frames, 1)
        rows = zip(_plain(median), _plain(p95), strict=True)
        joints = {name: JointDistances(*row) for name, row in zip(self.joints, rows, strict=True)}
        return PairSummary(
            *self.labels,
            *(self.frames, self.both, self.only[0], self.only[1]),
            round(float(mean), 4),
            joints,
            angles,
        )


def _plain(values: np.ndarray) -> list[Any]:
    """Numbers for JSON; None for NaN."""
    return [None if value != value else round(value, 3) for value in values.tolist()]


@dataclass(frozen=True, eq=False)
class DisagreementFrame:
    """One frame in which models disagree."""

    disagreement: float  # 0..1
    frame: Frame  # without pixels
    picture: np.ndarray  # (H, W, 3) uint8 RGB


class Moments:
    """The frames of greatest disagreement, some time apart."""

    def __init__(self, apart: float) -> None:
        """`apart`: minimum seconds between two; 0 for images, which have no time."""
        self.apart, self.kept = apart, list[DisagreementFrame]()

    def add(self, disagreement: float, frame: Frame, picture: Callable[[], np.ndarray]) -> None:
        """Add a frame; its image is drawn only if it ranks among the greatest so far."""
        if not disagreement > 0:
            return
        near = [m for m in self.kept if abs(m.frame.seconds - frame.seconds) < self.apart]
        if any(moment.disagreement >= disagreement for moment in near):
            return
        kept = [moment for moment in self.kept if moment not in near]
        if len(kept) == MOMENTS:
            least = min(kept, key=lambda moment: moment.disagreement)
            if least.disagreement >= disagreement:
                return
            kept.remove(least)
        plain = Frame(None, frame.index, frame.seconds, frame.source, size=frame.size)
        self.kept = [*kept, DisagreementFrame(disagreement, plain, picture())]
        self.kept.sort(key=lambda moment: -moment.disagreement)


class SourceTally:
    """All statistics of one source."""

    def __init__(self, labels: Sequence[str], frames: int, moving: bool, seconds: float) -> None:
        """Start empty.

        Args:
            labels: names of the models.
            frames: approximate number of frames, for the bin size.
            moving: whether they are frames of a video.
            seconds: approximate duration.
        """
        self.frames, self.moving = max(frames, 1), moving
        self.bins = min(self.frames, BINS)
        self.sides = [ModelTally(label, self.bins) for label in labels]
        self.pairs: dict[tuple[int, int], Pair] = {}
        self.moments = Moments(min(1.0, seconds / (2 * MOMENTS)) if moving else 0.0)
        self.at = Mean(self.bins)  # seconds, or the image index
        self.done = 0

    def add(
        self, frame: Frame, results: Sequence[FrameResult], picture: Callable[[], np.ndarray]
    ) -> dict[str, Any]:
        """Add one frame.

        Args:
            frame: with or without pixels.
            results: result of each model.
            picture: draws its panels.

        Returns:
            Disagreement of each pair of models, one line ready for JSON.
        """
        where = min(self.done * self.bins // self.frames, self.bins - 1)
        self.at.add(where, frame.seconds if self.moving else self.done + 1)
        self.done += 1
        for side, result in zip(self.sides, results, strict=True):
            side.add(where, result)
        lines, apart = [], []
        for (i, one), (j, other) in combinations(enumerate(results), 2):
            if one.poses is None or other.poses is None:
                continue
            if (i, j) not in self.pairs:
                labels = (self.sides[i].label, self.sides[j].label)
                tables = (one.poses.skeleton, other.poses.skeleton)
                self.pairs[i, j] = Pair(labels, *tables, self.bins)
            pair = self.pairs[i, j]
            found = pair.add(where, one.poses, other.poses)
            apart.append(found.disagreement)
            lines.append(_line(pair, found))
        if apart:
            self.moments.add(float(np.mean(apart)), frame, picture)
        return {
            "source": frame.source,
            "index": frame.index,
            "time": round(frame.seconds, 6),
            "pairs": lines,
        }

    @property
    def filled(self) -> np.ndarray:
        """(B,) bool, bins with frames: a video may be shorter than expected."""
        return self.at.count > 0

    def summary(self, source: str) -> SourceSummary:
        """All statistics of the source of that name."""
        models = [side.summary() for side in self.sides]
        pairs = [pair.summary() for pair in self.pairs.values()]
        moments = [
            MomentSummary(at.source, at.index, round(at.seconds, 6), round(moment.disagreement, 4))
            for moment in self.moments.kept
            for at in (moment.frame,)
        ]
        return SourceSummary(source, self.done, models, pairs, moments)


def _line(pair: Pair, found: Pairing) -> dict[str, Any]:
    """Disagreement of one pair in one frame; each joint's mean over matched people."""
    means = Mean(1, len(pair.joints))
    for row in found.percent:
        means.add(0, row)
    return {
        "first": pair.labels[0],
        "second": pair.labels[1],
        "people": list(found.people),
        "both": len(found.rows),
        "disagreement": round(found.disagreement, 4),
        "percent": dict(zip(pair.joints, _plain(means.values[0]), strict=True)),
    }
