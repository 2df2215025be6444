"""The summary of a folder of batches: summary.html and summary.json, of all shards together."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.errors import amount
from vitruvian.formats.atomic_file import WriteError, write_whole
from vitruvian.rendering.report import COLOURS, HtmlReport, legend_above, plot
from vitruvian.verbs.batch.manifest import DONE, FAILED, read_manifests
from vitruvian.verbs.batch.reports import duration
from vitruvian.verbs.folder import LEDGERS

if TYPE_CHECKING:
    from vitruvian.rendering.report import Figure

NAMES = ("summary.html", "summary.json")
LISTED = 1000  # failures in the JSON file; SHOWN of them on the page
SHOWN = 100
SLOWEST = 20
BINS = 60  # of a time axis, at most
TRIES = 20  # a second in all: shards that end together write one after the other


@dataclass
class Summary:
    """What became of all sources of a folder."""

    sources: int = 0
    states: dict[str, int] = field(default_factory=dict)  # todo, running, check, done, failed
    frames: int = 0
    people: int = 0
    seconds: float = 0.0  # of work, of all workers together
    frames_per_second: float | None = None  # of one worker
    events: dict[str, int] = field(default_factory=dict)  # by rule
    event_seconds: dict[str, float] = field(default_factory=dict)  # by rule, how long in all
    failures: list[dict[str, Any]] = field(default_factory=list)
    in_part: list[dict[str, Any]] = field(default_factory=list)  # done, but parts were unreadable
    slowest: list[dict[str, Any]] = field(default_factory=list)
    # Rule -> events that begin in each part of `bin_seconds` of the sources.
    over_time: dict[str, list[int]] = field(default_factory=dict)
    bin_seconds: float = 1.0


def summarize(
    manifests: Path, events: Callable[[Sequence[str]], Iterable[dict[str, Any]]]
) -> Summary:
    """The summary of a batch, of all its shards.

    Args:
        manifests: their folder.
        events: the events of sources, by their names.

    Raises:
        VitruvianError: a manifest cannot be read.
    """
    summary, states, begins = Summary(), Counter[str](), list[tuple[str, float]]()
    eventful = list[str]()

    def timed() -> Iterator[tuple[float, str, int]]:
        """Seconds, name and frames of what is done; everything else is counted on the way."""
        for row in read_manifests(manifests):
            name, state = row["name"], row["state"]
            states[state] += 1
            about = {key: row[key] for key in ("name", "error", "attempts")}
            about["path"] = json.loads(row["paths"])[0]
            if state == FAILED and len(summary.failures) < LISTED:
                summary.failures.append(about)
            if state != DONE:
                continue
            if row["error"] and len(summary.in_part) < LISTED:
                summary.in_part.append(about)
            summary.frames += row["frames"]
            summary.people += row["people"]
            summary.seconds += row["seconds"]
            if row["events"]:
                eventful.append(name)
            yield row["seconds"], name, row["frames"]

    slowest = nlargest(SLOWEST, timed())
    summary.slowest = [{"name": n, "seconds": s, "frames": frames} for s, n, frames in slowest]
    summary.states, summary.sources = dict(sorted(states.items())), states.total()
    if summary.seconds:
        summary.frames_per_second = summary.frames / summary.seconds
    for event in events(eventful):
        rule = event["rule"]
        if event["state"] != "yes":  # of images; also "no" and "unknown"
            continue
        summary.events[rule] = summary.events.get(rule, 0) + 1
        start, end = event["start"], event["end"]
        summary.event_seconds[rule] = summary.event_seconds.get(rule, 0) + end - start
        if end > start:  # not of an image
            begins.append((rule, start))
    latest = max((start for _, start in begins), default=0.0)
    summary.bin_seconds = max(1.0, float(math.ceil((latest + 1) / BINS)))
    bins = int(latest // summary.bin_seconds) + 1
    for rule, start in begins:
        counts = summary.over_time.setdefault(rule, [0] * bins)
        counts[int(start // summary.bin_seconds)] += 1
    return summary


def read_events(text: str) -> Iterator[dict[str, Any]]:
    """The events of a file of them."""
    return map(json.loads, text.splitlines())


def folder_events(out: Path) -> Callable[[Sequence[str]], Iterator[dict[str, Any]]]:
    """What reads the events of sources whose results are in a folder."""

    def events(names: Sequence[str]) -> Iterator[dict[str, Any]]:
        for name in names:
            file = out / name / "events.jsonl"
            if file.is_file():
                yield from read_events(file.read_text(encoding="utf-8"))

    return events


def summary_files(title: str, summary: Summary) -> dict[str, str]:
    """The page and the JSON file, by name."""
    texts = (summary_page(title, summary).html(), json.dumps(asdict(summary), indent=1) + "\n")
    return dict(zip(NAMES, texts, strict=True))


def write_summary(out: Path) -> list[Path]:
    """Write the page and the JSON file of a folder; returns their paths.

    Raises:
        VitruvianError: a manifest cannot be read, or the files cannot be written.
    """
    summary = summarize(out / LEDGERS, folder_events(out))
    for name, text in summary_files(out.name, summary).items():
        for left in reversed(range(TRIES)):
            try:
                write_whole(out / name, text)
                break
            except WriteError:
                if not left:
                    raise
                time.sleep(1 / TRIES)
    return [out / name for name in NAMES]


def summary_page(title: str, summary: Summary) -> HtmlReport:
    """The page: counts, failures, events, and the slowest sources; `title`: of the place."""
    page = HtmlReport(f"Batch in {title}")
    speed = summary.frames_per_second
    page.paragraph(
        f"{amount(summary.sources, 'source')}, {summary.frames:,} frames in "
        f"{duration(summary.seconds)} of work"
        + (f": {speed:.3g} frames/s for each worker." if speed else ".")
    )
    page.table(["state", "sources"], [*summary.states.items()])
    for title, rows in (("Failed", summary.failures), ("Done in part", summary.in_part)):
        if rows:
            page.heading(title)
            some = [[row["path"], row["error"], row["attempts"]] for row in rows[:SHOWN]]
            page.table(["source", "reason", "attempts"], some)
        if len(rows) > SHOWN:
            page.paragraph(f"The first {SHOWN}; more are in {NAMES[1]}.")
    if summary.events:
        page.heading("Events")
        rows = [
            [rule, n, round(summary.event_seconds[rule], 1)] for rule, n in summary.events.items()
        ]
        page.table(["rule", "events", "seconds in all"], rows)
        if summary.over_time:
            page.figure(_over_time(summary), "When events begin, from the start of each video")
    if summary.slowest:
        page.heading("Slowest sources")
        rows = [[row["name"], round(row["seconds"], 1), row["frames"]] for row in summary.slowest]
        page.table(["source", "seconds", "frames"], rows)
    return page


def _over_time(summary: Summary) -> Figure:
    """Events that begin in each part of the time, one line for each rule."""
    drawing = plot(10.5, 3.6)
    axes = drawing.subplots()
    for i, (rule, counts) in enumerate(summary.over_time.items()):
        at = [k * summary.bin_seconds for k in range(len(counts) + 1)]
        axes.stairs(counts, at, color=COLOURS[i % len(COLOURS)], label=rule, linewidth=1.5)
    axes.set(xlabel="time in the video, seconds", ylabel="events", ylim=(0, None))
    axes.locator_params(axis="y", integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    legend_above(axes)
    return drawing
