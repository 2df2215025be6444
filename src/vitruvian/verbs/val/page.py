"""The report of a validation: tables, plots and the worst images, in one HTML file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitruvian.errors import amount
from vitruvian.evaluate import scores
from vitruvian.evaluate.scores import Interval, Scores
from vitruvian.rendering.report import COLOURS, HtmlReport, legend_above, plot
from vitruvian.verbs.val.val import Validation

if TYPE_CHECKING:
    from vitruvian.rendering.report import Figure

IN_MM = frozenset(scores.METRES)
MEANING = (
    "AP, AR: COCO's average precision and recall of keypoints, by object keypoint similarity "
    "(OKS) from 0.5 to 0.95; AP50 and AP75 at an OKS of 0.5 and 0.75. Small: an area of the "
    "person below 32 x 32 pixels, medium: below 96 x 96, large: above.",
    f"found: the share of the people with a detection of OKS {scores.SAME} or more; the metrics "
    "below compare these pairs.",
    f"PCK: the share of the labelled keypoints found within {scores.PCK_WITHIN} of the longer "
    f"side of the person's bounding box; PCKh: within {scores.PCKH_WITHIN} of the head size. "
    "Keypoints of people who were not found are misses.",
    "MPJPE: the mean joint distance after alignment of the hip centres; PA-MPJPE: after alignment "
    "of position, rotation and scale; N-MPJPE: of position and scale; absolute MPJPE: without "
    "alignment. All over the people who were found. PCK3D: the share of the joints within 150 mm, "
    "AUC: its mean from 0 to 150 mm; joints of people who were not found are misses.",
)


def columns(result: Validation) -> list[str]:
    """The available metrics, in table order."""
    known = {
        name for each in result.scores for name, n in each.overall.items() if n.value == n.value
    }
    return [name for name in (*scores.FLAT, *scores.SOLID) if name in known]


def validation_table(
    result: Validation, *, brief: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Header and rows: one model each, metrics with intervals; `brief`: only of AP and MPJPE."""
    names = columns(result)
    head = ["model", *(title(name) for name in names)]
    rows = []
    for each in result.scores:
        row = [each.name]
        for name in names:
            number = each.overall.get(name, Interval(math.nan))
            alone = brief and name not in ("AP", "MPJPE")
            row.append(
                format_interval(
                    name, Interval(number.value) if alone else number, " " if brief else "\n"
                )
            )
        rows.append(row)
    return head, rows


def title(name: str) -> str:
    """Column title of a metric."""
    return f"{name}, mm" if name in IN_MM else name


def format_interval(name: str, number: Interval, between: str = "\n") -> str:
    """A metric, with its interval if it has one."""
    if math.isnan(number.value):
        return "\N{EN DASH}"
    scale, form = (1000, ".1f") if name in IN_MM else (1, ".3f")
    text = f"{number.value * scale:{form}}"
    if math.isnan(number.low):
        return text
    return f"{text}{between}({number.low * scale:{form}} to {number.high * scale:{form}})"


def validation_report(result: Validation, sheets: Mapping[str, np.ndarray | None]) -> HtmlReport:
    """The report: tables, plots, and the worst images."""
    truth = result.truth
    page = HtmlReport(f"Validation on {Path(truth.source).name}")
    kind = "joints in metres" if truth.solid else "keypoints in pixels"
    page.paragraph(
        f"{amount(len(truth.pictures), 'image')} of {truth.source}, {kind}, {len(truth.skeleton)} "
        f"of {truth.skeleton.name}. In brackets: 95 % intervals (bootstrap over images)."
    )
    page.table(*validation_table(result))
    for note in result.notes:
        page.paragraph(f"Note: {note}.")
    page.heading("Comparison of models")
    for name, caption in (("AP", "OKS-AP"), ("MPJPE", "MPJPE, mm")):
        if name in columns(result):
            page.figure(
                _bars(result, name),
                f"{caption}: by size, and by number of people in the image",
            )
    page.figure(_curves(result), "Precision over recall, and share of joints within a distance")
    page.heading("Keypoints")
    for name in ("PCK", "MPJPE"):
        if any(name in joint for each in result.scores for joint in each.joints.values()):
            page.figure(_joints(result, name), f"{name} per keypoint")
    for each in result.scores:
        page.heading(each.name)
        _tables(page, each, columns(result))
        picture = sheets[each.name]
        if picture is not None:
            page.picture(picture, f"The worst images: ground truth, and keypoints of {each.name}")
    page.heading("Metrics")
    for words in MEANING:
        page.paragraph(words)
    return page


def _tables(page: HtmlReport, each: Scores, names: Sequence[str]) -> None:
    head = ["", *scores.COUNTS, *(title(name) for name in names)]
    rows: list[list[object]] = []
    for group in each.groups:
        if not group.people:
            continue
        words = group.name if group.of == "all" else f"{group.of}: {group.name}"
        numbers = [format_interval(n, group.numbers.get(n, Interval(math.nan))) for n in names]
        rows.append([words, group.people, group.pictures, *numbers])
    page.table(head, rows)
    first = next(iter(each.joints.values()))
    keys = ["people", *(k for k in ("OKS", *scores.FLAT, *scores.SOLID) if k in first)]
    keys = [k for k in keys if any(numbers[k] == numbers[k] for numbers in each.joints.values())]
    rows = [
        [joint, *(_shown(key, numbers[key]) for key in keys)]
        for joint, numbers in each.joints.items()
    ]
    page.table(["keypoint", *(title(key) for key in keys)], rows)


def _shown(name: str, value: float) -> float | int | None:
    if value != value:
        return None
    return round(value * 1000) if name in IN_MM else value


def _bars(result: Validation, name: str) -> Figure:
    """Bar chart: one group for each category, one bar for each model, with intervals."""
    groups = [g for g in result.scores[0].groups if g.people]
    drawing = plot(10.5, 3.6)
    axes = drawing.subplots()
    asked = {(g.of, g.name) for g in groups}
    share = 0.8 / len(result.scores)
    scale = 1000 if name in IN_MM else 1
    for i, each in enumerate(result.scores):
        found = [g for g in each.groups if (g.of, g.name) in asked]
        numbers = [g.numbers.get(name, Interval(math.nan)) for g in found]
        value, low, high = (np.array(part, float) * scale for part in zip(*numbers, strict=True))
        at = np.arange(len(found)) + (i - (len(result.scores) - 1) / 2) * share
        ends = np.nan_to_num(np.maximum([value - low, high - value], 0))
        colour = COLOURS[i % len(COLOURS)]
        axes.bar(at, value, share * 0.95, yerr=ends, color=colour, ecolor="0.4", label=each.name)
    words = {"people in the image": "\nin the image"}
    axes.set_xticks(range(len(groups)), [g.name + words.get(g.of, "") for g in groups])
    axes.set_ylabel(title(name))
    axes.spines[["top", "right"]].set_visible(False)
    legend_above(axes)
    return drawing


def _curves(result: Validation) -> Figure:
    names = [*result.scores[0].curves]
    drawing = plot(10.5, 3.2)
    panels = drawing.subplots(1, len(names))
    below = {"PCK": "of the longer side of the bounding box", "PCK3D": "metres"}
    for axes, name in zip(panels, names, strict=True):
        for i, each in enumerate(result.scores):
            if name in each.curves:
                axes.plot(*each.curves[name], color=COLOURS[i % len(COLOURS)], label=each.name)
        axes.set(title=name, xlabel=below.get(name, "recall"), ylim=(0, 1.02))
        axes.grid(color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
    legend_above(panels[0], drawing)
    return drawing


def _joints(result: Validation, name: str) -> Figure:
    """Dot plot over the keypoints, one series for each model."""
    joints = result.truth.skeleton.keypoints
    drawing = plot(10.5, 4.2)
    axes = drawing.subplots()
    scale = 1000 if name in IN_MM else 1
    for i, each in enumerate(result.scores):
        values = [each.joints.get(j, {}).get(name, math.nan) * scale for j in joints]
        axes.plot(values, "o-", color=COLOURS[i % len(COLOURS)], linewidth=1, label=each.name)
    axes.set_xticks(
        range(len(joints)), [j.replace("_", " ") for j in joints], rotation=60, ha="right"
    )
    axes.set_ylabel(title(name))
    axes.grid(axis="y", color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    legend_above(axes)
    return drawing
