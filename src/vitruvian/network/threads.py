"""Cores, and what runs on several of them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """How many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def imap(
    function: Callable[[Item], Result], items: Iterable[Item], streams: int
) -> Iterator[Result]:
    """Map a function over items in order, with networks of so many streams.

    One thread more than that computes, so that each stream has work while Python has some.
    """
    flying: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(streams + 1) as pool:
        try:
            for item in items:
                flying.append(pool.submit(function, item))
                if len(flying) > streams + 1:  # one more than can run, so that no thread is idle
                    yield flying.popleft().result()
            while flying:
                yield flying.popleft().result()
        finally:
            for future in flying:
                future.cancel()
