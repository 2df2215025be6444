"""The model card of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from vitruvian.evaluate.boxes import score_finder
from vitruvian.evaluate.labels import GroundTruth
from vitruvian.models.load import open_finder
from vitruvian.models.objectron import Options
from vitruvian.models.ready import short_name
from vitruvian.models.spec import network_of_run
from vitruvian.training.fit import Progress, interval
from vitruvian.training.task import Figure, Task

LOW = 0.02  # detection threshold for average precision of boxes
RESAMPLES = 200  # for intervals, as `vitruvian val`
BESIDE = ("model.onnx", "weights.pt", "recipe.toml", "curves.png", "data.png", "val/report.html")


def model_card(
    task: Task, model: str, progress: Progress, report: Sequence[str], folder: Path
) -> str:
    """README.md of a run, in Markdown.

    Args:
        task: what was learned.
        model: it started from.
        progress: of the finished run.
        report: lines of `vitruvian val`, or the boxes of person detectors; empty: none.
        folder: of the run; some of its files are listed.
    """
    files = [name for name in BESIDE if (folder / name).exists()]
    recipe, data = task.recipe, task.report()
    line = progress.kept_line(recipe.keep)
    usual = type(recipe)()
    changed = [
        f"{each.name} = {getattr(recipe, each.name)}"
        for each in fields(recipe)
        if getattr(recipe, each.name) != getattr(usual, each.name)
    ]
    chosen = "the last"
    if recipe.keep == "best":
        chosen = "the best on the validation data, so its figures are slightly high"
    parts = [
        f"# {model}, trained",
        "",
        "| | |",
        "|---|---|",
        f"| started from | {model} |",
        *(f"| data | {line} |" for line in data.lines),
        f"| data, SHA-256 of the labels | {data.sha256} |",
        f"| recipe | {', '.join(changed) or 'the defaults'} (all in recipe.toml) |",
        f"| seed | {recipe.seed} |",
        f"| trained | {progress.step} steps, {len(progress.lines)} epochs, "
        f"{progress.hours:.2f} hours on {recipe.device} |",
        f"| weights | of epoch {line['epoch']}, {chosen} |",
        f"| memory | {max(each['memory_gb'] for each in progress.lines):.1f} GB |",
        "",
        "## Figures",
        "",
        "On the validation data, with the labelled boxes where the network needs some; 95 % "
        "intervals from resampled pictures.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {interval(Figure(*row))} |" for name, row in line["figures"].items()),
    ]
    if report:
        parts += ["", "The exported networks as `--model` or `--find` run them:", ""]
        parts += ["```text", *report, "```"]
    if data.suspicious:
        parts += ["", "## To know about the data", "", *(f"- {each}" for each in data.suspicious)]
    parts += ["", "## Files", "", *(f"- {name}" for name in files), ""]
    return "\n".join(parts)


def box_lines(finders: Sequence[str], truth: GroundTruth) -> list[str]:
    """A table of person detectors on labelled boxes."""
    width = max(len(short_name(network_of_run(name))) for name in finders)
    lines = [f"{'':{width}}   AP50                     found"]
    for name in finders:
        find = open_finder(name, "boxes", Options(conf=LOW)).find
        rows = score_finder(find, truth, RESAMPLES).values()
        values = "  ".join(f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in rows)
        lines.append(f"{short_name(network_of_run(name)):{width}}  {values}")
    return lines
