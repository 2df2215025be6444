"""Ctrl-C, SIGTERM and SIGHUP end a command between two frames, so that output files are valid.

A signal raises `Interrupted`, a KeyboardInterrupt, at once, except inside `hold_signals`, where
files would be truncated: there it is deferred until the wait for the next frame. A second signal
ends the process immediately; unfinished files stay as .part. (`timeout` and some shells send each
signal twice: repeats within a second are ignored.)
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")
TWICE = 1.0  # seconds
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # those missing on this system are skipped


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to end."""

    def __init__(self, number: int) -> None:
        """`number`: of the signal; the exit code is 128 + number, as in shells."""
        super().__init__(signal.Signals(number).name)
        self.number = number


class _State:
    hold = False  # whether signals are deferred
    kept: int | None = None  # the deferred signal
    received: int | None = None  # the first signal
    since = 0.0  # its time


def handle_signals() -> None:
    """Install the handlers; ignored signals (nohup, background jobs) stay ignored."""
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def received_signal() -> int | None:
    """The number of the first signal, or None."""
    return _State.received


def _stop(number: int, _: object) -> None:
    if _State.received is not None:
        if time.monotonic() - _State.since < TWICE:
            return
        with suppress(OSError):
            os.write(2, b"vitruvian: stopped at once; what is unfinished stays in .part\n")
        os._exit(128 + number)
    _State.received, _State.since = number, time.monotonic()
    if _State.hold:
        _State.kept = number
        return
    raise Interrupted(number)


@contextmanager
def hold_signals(hold: bool = True) -> Iterator[None]:
    """Defer signals until the block ends; `hold=False`: raise them inside."""
    before, _State.hold = _State.hold, hold
    try:
        _raise_kept()
        yield
    finally:
        _State.hold = before
    _raise_kept()


def _raise_kept() -> None:
    if _State.kept is not None and not _State.hold:
        number, _State.kept = _State.kept, None
        raise Interrupted(number)


def interruptible(items: Iterable[T]) -> Iterator[T]:
    """The same items; signals are raised while waiting for the next one."""
    iterator = iter(items)
    while True:
        with hold_signals(False):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item
