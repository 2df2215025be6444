"""Progress of a long job: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 5.0  # seconds between two lines without a terminal


@contextmanager
def progress(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number done; progress goes to standard error.

    Args:
        name: label of the job.
        total: number of items; None: unknown.
    """
    if not sys.stderr.isatty():
        began = last = time.monotonic()

        def line(done: int) -> None:
            nonlocal last
            if (now := time.monotonic()) - last >= EVERY:
                last, rate = now, done / (now - began)
                left = "" if total is None else f" of {total}, {(total - done) / rate:.0f} s left"
                print(f"{name}: {done}{left}, {rate:.1f}/s", file=sys.stderr, flush=True)

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
