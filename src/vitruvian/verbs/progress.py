"""How far a long job is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 5.0  # seconds between two lines where there is no terminal


@contextmanager
def progress(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """What is called with how many are done; it writes to standard error.

    Args:
        name: of the job.
        total: how many there are to do; None: nobody knows.
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
