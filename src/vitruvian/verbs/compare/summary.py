"""The report of a comparison: one page with tables, plots and images, see `show.report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vitruvian.analysis.angles import Space, angle_names
from vitruvian.frame import Frame
from vitruvian.rendering.report import COLOURS, HtmlReport, legend_above, plot
from vitruvian.verbs.benchmark import machine
from vitruvian.verbs.compare.lines import FrameResult
from vitruvian.verbs.compare.result import Comparison
from vitruvian.verbs.compare.tally import Pair, SourceTally

WIDE = 1280  # pixels, maximum width of an image in the page
PLOTTED = 6  # angles of a pair whose differences are plotted: those most often known
FEWEST = 3  # minimum number of differences for a plot and for limits


@dataclass
class Chapter:
    """The results of one source."""

    name: str
    tally: SourceTally
    shown: tuple[str, np.ndarray] | None = None  # the middle frame of a video, or the first image
    missing: dict[str, tuple[int, str]] = field(default_factory=dict)  # label -> failures, why
    finders: Sequence[str] = ()  # who found the people of each side

    def add(self, frame: Frame, results: Sequence[FrameResult], picture: np.ndarray) -> None:
        """Add a frame that the tally has counted."""
        moving, number = self.tally.moving, self.tally.done - 1
        what = f"frame {frame.index}" if moving else Path(frame.source).name
        if number in (0, self.tally.frames // 2 if moving else 0):
            self.shown = (_when(frame, moving), _small(picture))
        for side, result in zip(self.tally.sides, results, strict=True):
            if result.poses is None:
                count, why = self.missing.get(side.label, (0, f"{what}: {result.failed}"))
                self.missing[side.label] = (count + 1, why)


def _small(picture: np.ndarray) -> np.ndarray:
    tall, wide = picture.shape[:2]
    if wide <= WIDE:
        return picture
    return cv2.resize(picture, (WIDE, tall * WIDE // wide), interpolation=cv2.INTER_AREA)


def _when(frame: Frame, moving: bool) -> str:
    return f"{frame.seconds:.2f} s, frame {frame.index}" if moving else Path(frame.source).name


def write_comparison(chapters: Sequence[Chapter], result: Comparison, path: Path) -> None:
    """Write the page.

    Args:
        chapters: results of each source.
        result: of `compare`.
        path: path of the page.
    """
    labels = [side.label for side in chapters[0].tally.sides] if chapters else []
    page = HtmlReport(f"Comparison of {', '.join(labels)}")
    for line in machine.machine_lines(result.machine):
        page.paragraph(line)
    if result.faults:
        page.heading("Errors")
        for fault in result.faults:
            page.paragraph(fault)
    for chapter in chapters:
        _chapter(page, chapter)
    page.heading("Method")
    for words in HOW:
        page.paragraph(words)
    page.write(path)


HOW = (
    "Milliseconds are the time of a model with its tracking, one frame at a time, without reading "
    "and drawing; a warm-up run on the first frame is not counted. `vitruvian benchmark` measures "
    "speed more carefully.",
    "People are matched by the highest OKS over the joints that both skeletons have, by name. "
    "Disagreement is 1 - OKS, and 1 for a person that only one of the two models finds, averaged "
    "over people. Joint distances are in percent of the person's size (the square root of the "
    "mean area of both bounding boxes), over joints that both models found. None of this says "
    "which model is right.",
    "Limits of agreement are the mean difference and 1.96 standard deviations on either side "
    "(Bland and Altman 1986). Frames of one video are not independent, so the limits for other "
    "videos are wider.",
)


def _chapter(page: HtmlReport, chapter: Chapter) -> None:
    tally = chapter.tally
    page.heading(chapter.name)
    columns = ("model", "frames", "without a result", "people per frame", "ms, median", "ms, p95")
    page.table(columns, [list(astuple(side.summary())) for side in tally.sides])
    pairs = [(side.label, name) for side, name in zip(tally.sides, chapter.finders, strict=False)]
    if pairs:
        page.paragraph(
            f"People found by: {'; '.join(f'{label}: {name}' for label, name in pairs)}."
        )
    if chapter.shown is not None:
        page.picture(chapter.shown[1], chapter.shown[0])
    kind = "The whole video" if tally.moving else "Each image"
    if tally.done > 1:
        page.paragraph(f"{kind} is in a file beside this page.")
    if tally.filled.sum() > 1:
        _over_time(page, tally)
    for pair in tally.pairs.values():
        page.heading(f"{chapter.name}: {' and '.join(pair.labels)}")
        _pair(page, tally, pair)
    if tally.moments.kept and tally.done > 1:
        page.heading(f"{chapter.name}: the greatest disagreements")
        for moment in tally.moments.kept:
            words = f"{_when(moment.frame, tally.moving)}: disagreement {moment.disagreement:.2f}"
            page.picture(_small(moment.picture), words)


def _time(tally: SourceTally) -> str:
    return "seconds" if tally.moving else "image"


def _over_time(page: HtmlReport, tally: SourceTally) -> None:
    """Plot people and milliseconds of all models, and disagreement of all pairs, over time."""
    shown = tally.filled
    at = tally.at.values[shown]
    drawing = plot(9, 6.5)
    people, took, apart = drawing.subplots(3, sharex=True)
    for number, side in enumerate(tally.sides):
        look = _look(tally, number, side.label)
        people.plot(at, side.found.values[shown], **look)
        if side.ms:
            took.plot(at, side.took.values[shown], **look)
    for number, pair in enumerate(tally.pairs.values()):
        look = _look(tally, number, " and ".join(pair.labels))
        apart.plot(at, pair.disagreement.values[shown], **look)
    people.set(ylabel="people", ylim=(-0.2, None))
    usual = [p95 for side in tally.sides if (p95 := side.summary().ms_p95) is not None]
    took.set(ylabel="milliseconds", ylim=(0, 1.5 * max(usual) if usual else None))
    apart.set(ylabel="disagreement", ylim=(-0.03, 1.03), xlabel=_time(tally))
    if not tally.moving:
        apart.locator_params(axis="x", integer=True)
    for axes in (people, apart):
        legend_above(axes)
    page.figure(
        drawing, "People found, milliseconds per frame, and disagreement of each pair of models."
    )


def _look(tally: SourceTally, number: int, label: str) -> dict[str, Any]:
    """Plot style of a line; independent images are points.

    Later points are smaller, so that none hides another.
    """
    look: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "label": label}
    if tally.moving:
        return look | {"linewidth": 1.2}
    return look | {"linestyle": "", "marker": "o", "markersize": max(8 - 2 * number, 2)}


def _pair(page: HtmlReport, tally: SourceTally, pair: Pair) -> None:
    """Agreement of two models."""
    first, second = pair.labels
    page.table(
        ("frames", "found by both", f"only {first}", f"only {second}", "disagreement"),
        [[pair.frames, pair.both, *pair.only, pair.summary().disagreement]],
    )
    if not pair.joints:
        page.paragraph("The skeletons have no joint name in common.")
        return
    known = np.flatnonzero(pair.steps.sum(axis=1))
    if not len(known):
        page.paragraph("No joint was found by both models.")
        return
    drawing = plot(9, 1.2 + 0.2 * len(known))
    bars, *over = drawing.subplots(1, 2 if tally.filled.sum() > 1 else 1, squeeze=False).ravel()
    rows = np.arange(len(known))
    bars.barh(rows, pair.quantile(0.95)[known], color="0.85", label="95 % below")
    bars.barh(rows, pair.quantile(0.5)[known], color=COLOURS[0], label="median")
    bars.set_yticks(rows, [pair.joints[k] for k in known], fontsize="small")
    bars.set(ylim=(len(known) - 0.5, -0.5), xlabel="% of the person's size")
    bars.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize="x-small")
    for axes in over:
        _joints_over_time(axes, tally, pair.percent.values[:, known])
    white = "; white: not found" if over else ""
    page.figure(drawing, f"Distance between the joints of {first} and {second}{white}.")
    for space, sums in pair.angles.items():
        if sums.count.max() >= FEWEST:
            _angles(page, pair, space)


def _joints_over_time(axes: Any, tally: SourceTally, values: np.ndarray) -> None:
    """(B, J) percent as a heat map: one row per joint, one column per time."""
    at, values = tally.at.values[tally.filled], values[tally.filled]
    half = (at[-1] - at[0]) / (len(at) - 1) / 2  # `at` are column centres
    extent = (at[0] - half, at[-1] + half, values.shape[1] - 0.5, -0.5)
    most = float(np.nanquantile(values, 0.98)) or 1.0
    how: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "extent": extent}
    shade = axes.imshow(values.T, cmap="viridis", vmin=0, vmax=most, **how)
    axes.set(yticks=[], xlabel=_time(tally))
    if not tally.moving:
        axes.locator_params(axis="x", integer=True)
    axes.figure.colorbar(shade, ax=axes, label="% of the person's size")


def _angles(page: HtmlReport, pair: Pair, space: Space) -> None:
    """Bias and limits of agreement of each angle, and Bland-Altman plots of some."""
    sums, (first, second) = pair.angles[space], pair.labels
    called = angle_names(space)
    known = np.flatnonzero(sums.count >= FEWEST)
    low, high = sums.limits
    page.table(
        (f"angle, {space.upper()}", "differences", "bias", "deviation", "low", "high"),
        [
            [called[k], int(sums.count[k]), *(round(float(part[k]), 1)
             for part in (sums.bias, sums.deviation, low, high))]
            for k in known
        ],
    )  # fmt: skip
    page.paragraph(
        f"In degrees, {second} minus {first}: mean (bias), standard deviation, and the limits "
        "that contain 95 % of the differences."
    )
    most = sorted(known[np.argsort(-sums.count[known], kind="stable")][:PLOTTED])
    across = min(3, len(most))
    drawing = plot(9, 2.6 * -(-len(most) // across))
    panes = drawing.subplots(-(-len(most) // across), across, squeeze=False).ravel()
    for axes in panes[len(most) :]:
        axes.set_axis_off()
    for axes, k in zip(panes, most, strict=False):
        mean, apart = np.array(sums.points[k]).T
        axes.scatter(mean, apart, s=6, color=COLOURS[0], alpha=0.4, linewidths=0)
        axes.axhline(sums.bias[k], color="0.2", linewidth=1)
        for edge in (low[k], high[k]):
            axes.axhline(edge, color=COLOURS[1], linewidth=1, linestyle="--")
        axes.set_title(called[k], fontsize="small")
        axes.tick_params(labelsize="x-small")
    drawing.supxlabel("mean of both, degrees", fontsize="small")
    drawing.supylabel("difference, degrees", fontsize="small")
    page.figure(
        drawing,
        f"{space.upper()} angles of {first} and {second}: bias (grey) and limits (dashed).",
    )
