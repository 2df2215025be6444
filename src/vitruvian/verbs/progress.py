"""Progress of a long job: a bar on a terminal or in a notebook, else a line every few seconds."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vitruvian.rendering.notebook import CellOutput, in_notebook

EVERY = 5.0  # seconds between two lines without a terminal
IN_CELL = 0.2  # seconds between two states of the bar in a notebook


@contextmanager
def progress(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number done; progress goes to standard error.

    Args:
        name: label of the job.
        total: number of items; None: unknown.
    """
    if in_notebook():
        with _cell_bar(name, total) as cell:
            yield cell
        return
    if not sys.stderr.isatty():
        began = last = time.monotonic()

        def line(done: int) -> None:
            nonlocal last
            if (now := time.monotonic()) - last >= EVERY:
                last = now
                print(_line(name, done, total, now - began), file=sys.stderr, flush=True)

        yield line
        return

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    rate = TextColumn("{task.fields[rate]:.1f}/s")
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, rate=0.0)

        def advance(done: int) -> None:
            bar.update(task, completed=done, rate=done / max(time.monotonic() - began, 1e-3))

        yield advance


def _line(name: str, done: int, total: int | None, seconds: float) -> str:
    """How far a job is, in words."""
    rate = done / max(seconds, 1e-3)
    left = "" if total is None else f" of {total}"
    left += f", {(total - done) / rate:.0f} s left" if total and rate and done < total else ""
    return f"{name}: {done}{left}, {rate:.1f}/s"


@contextmanager
def _cell_bar(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar below the cell of a notebook; it stays there, with the last number."""
    output, began, last, now = CellOutput(), time.monotonic(), 0.0, 0

    def show() -> None:
        text = _line(name, now, total, time.monotonic() - began)
        state = f'value="{now}" max="{total}"' if total else ""
        bar = f'<progress style="width: 20em" {state}></progress> {html.escape(text)}'
        output.show({"text/html": bar, "text/plain": text})

    def advance(done: int) -> None:
        nonlocal last, now
        now = done
        if time.monotonic() - last >= IN_CELL:
            last = time.monotonic()
            show()

    yield advance
    total = total or now
    show()
