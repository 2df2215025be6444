"""The result of `compare`; `comparison.json` is the same, field by field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitruvian.analysis.angles import Space
from vitruvian.documents import read_json, unreadable
from vitruvian.verbs.benchmark.machine import MachineFacts


@dataclass(frozen=True)
class ModelSummary:
    """One model, or record, over the frames of one source."""

    model: str
    frames: int
    failed: int  # frames without a result
    people_a_frame: float | None  # mean over the frames with a result; None: there is none
    ms_median: float | None  # milliseconds of a frame; None: unknown
    ms_p95: float | None  # the same, 95th percentile


@dataclass(frozen=True)
class JointDistances:
    """Distances of one joint in two models, percent of the person's size; None without any."""

    median: float | None
    p95: float | None


@dataclass(frozen=True)
class AngleAgreement:
    """One angle of the second model minus that of the first, degrees (Bland and Altman 1986)."""

    count: int  # differences
    bias: float  # mean
    deviation: float | None  # standard deviation; None for a single difference
    low: float | None  # 95 % of the differences are between low and high
    high: float | None


@dataclass(frozen=True)
class PairSummary:
    """Two models over the frames of one source."""

    first: str
    second: str
    frames: int  # in which both have a result
    both: int  # people found by both, over all frames
    only_first: int  # people found by the first alone
    only_second: int
    disagreement: float  # 0..1, mean over the frames
    joints_percent: dict[str, JointDistances]  # by keypoint
    angles_deg: dict[Space, dict[str, AngleAgreement]]  # by "2d" and "3d", then by angle


@dataclass(frozen=True)
class MomentSummary:
    """A frame in which models disagree most."""

    source: str
    index: int
    time: float  # seconds
    disagreement: float  # 0..1, mean over the pairs of models


@dataclass(frozen=True)
class SourceSummary:
    """Everything about one source."""

    source: str
    frames: int
    models: list[ModelSummary]
    pairs: list[PairSummary]
    moments: list[MomentSummary]  # greatest disagreement first


@dataclass(frozen=True)
class Comparison:
    """Models side by side on the same sources."""

    about: dict[str, Any]  # inputs: sources, span, camera
    machine: MachineFacts
    faults: list[str]  # errors; everything else was compared
    sources: list[SourceSummary]

    @staticmethod
    def read(path: Path) -> Comparison:
        """Read a `comparison.json`.

        Raises:
            VitruvianError: it is no such file.
        """
        said = read_json(path)
        try:
            sources = [_source(**each) for each in said["sources"]]
            return Comparison(
                said["about"], MachineFacts(**said["machine"]), said["faults"], sources
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise unreadable(path, f"it is not a comparison ({error})") from None


def _source(models: Any, pairs: Any, moments: Any, **more: Any) -> SourceSummary:
    return SourceSummary(
        models=[ModelSummary(**each) for each in models],
        pairs=[_pair(**each) for each in pairs],
        moments=[MomentSummary(**each) for each in moments],
        **more,
    )


def _pair(joints_percent: Any, angles_deg: Any, **more: Any) -> PairSummary:
    angles = {
        space: {name: AngleAgreement(**each) for name, each in by_angle.items()}
        for space, by_angle in angles_deg.items()
    }
    joints = {name: JointDistances(**each) for name, each in joints_percent.items()}
    return PairSummary(joints_percent=joints, angles_deg=angles, **more)
