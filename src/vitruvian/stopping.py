"""Ctrl-C, SIGTERM and SIGHUP end a command between two frames, so that its files are whole.

A signal is raised as `Interrupted`, a KeyboardInterrupt, at once; but not where files would be cut,
see `hold_signals`: there it is kept until the next frame is waited for. A second signal ends the
process where it is; what is unfinished then stays beside its place, in .part. (`timeout` and some
shells send each signal twice: what comes within a second counts as one.)
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
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # those that this system has


class Interrupted(KeyboardInterrupt):
    """The user, or the system, wants the command to end."""

    def __init__(self, number: int) -> None:
        """`number`: of the signal; the exit code is 128 more, as shells have it."""
        super().__init__(signal.Signals(number).name)
        self.number = number


class _State:
    hold = False  # whether a signal is kept
    kept: int | None = None  # the signal that is kept
    received: int | None = None  # the first signal
    since = 0.0  # when it came


def handle_signals() -> None:
    """From now on; signals that are ignored (nohup, jobs in the background) stay so."""
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def received_signal() -> int | None:
    """The number of the first signal; None: there was none."""
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
    """Signals are kept inside, until it ends; or, if `hold` is False, raised again."""
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
    """The same items; a signal may come while the next one is waited for."""
    iterator = iter(items)
    while True:
        with hold_signals(False):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item
