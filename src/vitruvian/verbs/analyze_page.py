"""The report of an analysis as one HTML page, made of its files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from vitruvian.errors import amount
from vitruvian.rendering.report import HtmlReport
from vitruvian.verbs.analyze_sheet import EventSheet

ROWS = 1000  # events in the table, at most
CELLS = 500  # pictures, at most
FIGURES = 20  # sources whose figures are shown, at most
COLUMNS = ("source", "person", "rule", "side", "start", "end", "confidence", "evidence")
NUMBERS = ("start", "end", "confidence")


def write_page(
    path: Path,
    said: Iterable[str],
    events: Path | None,
    figures: Sequence[tuple[str, Sequence[Path]]],
    sheet: EventSheet | None,
) -> None:
    """Write the page.

    Args:
        path: of the page.
        said: lines about the model and each rule.
        events: the table of events (.csv), if there is one.
        figures: of each source its name and its figures (.png); those that exist are shown.
        sheet: pictures of events, if there are any.
    """
    page = HtmlReport("Analysis")
    for line in said:
        page.paragraph(line)
    shown = [(name, [each for each in paths if each.is_file()]) for name, paths in figures]
    shown = [(name, paths) for name, paths in shown if paths]
    for name, paths in shown[:FIGURES]:
        page.heading(name)
        for each in paths:
            page.image(each.read_bytes(), "png", each.stem.rpartition("_")[2].capitalize())
    if len(shown) > FIGURES:
        page.paragraph(f"Figures of {amount(len(shown) - FIGURES, 'more source')} are files.")
    if sheet is not None:
        cells = list(islice(sheet.cells(), CELLS + 1))
        if cells:
            page.heading("Contact sheet")
            page.paragraph("The clearest frame of each event, by rule.")
            page.cells([(cell.jpeg, cell.lines) for cell in cells[:CELLS]])
        if len(cells) > CELLS:
            page.paragraph(f"The first {CELLS} of them; all are in sheet_1.jpg and so on.")
    if events is not None and events.is_file():
        page.heading("Events")
        _table(page, events)
    page.write(path)


def _table(page: HtmlReport, path: Path) -> None:
    """The events; of images, which have a row for every state, those that hold."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        hold = (row for row in csv.DictReader(file) if row["state"] == "yes")
        rows = list(islice(hold, ROWS + 1))
    over_time = any(row["start"] != row["end"] for row in rows)
    names = [name for name in COLUMNS if over_time or name not in ("start", "end")]
    if rows:
        page.table(names, [[_cell(name, row[name]) for name in names] for row in rows[:ROWS]])
    if len(rows) > ROWS:
        page.paragraph(f"The first {ROWS} events; all are in {path.name}.")
    if not rows:
        page.paragraph("There are none.")


def _cell(name: str, text: str) -> object:
    """The text of a table; times and confidence as numbers, the source without its folder."""
    if name in NUMBERS:
        return round(float(text), 3) if text else None
    return Path(text).name if name == "source" else text
