"""Stages: how long each part of a model takes, frame by frame, without the model knowing.

Every family is made of the same parts under the same names: `network` (and AlphaPose's `refiner`),
what makes its input (`letterbox`, `crops`, `prepare`) and what reads its output (`decode`). For as
long as it is watched, each of them is wrapped on the object itself, and taken off afterwards.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Name of an attribute -> stage it is.
PARTS = {
    "network": "network",
    "refiner": "network",
    "letterbox": "preprocess",
    "crops": "preprocess",
    "prepare": "preprocess",
    "decode": "decode",
}
# In their order. `other` is what a model does between them: choosing, following, smoothing.
STAGES = ("read", "preprocess", "network", "decode", "other", "draw")


class Stopwatch:
    """Seconds of stages. Of one inside another, those of the inner are not the outer's too."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Counts while it lasts."""
        self._turn()
        self._running.append(stage)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def _turn(self) -> None:
        now = time.perf_counter()
        if self._running:
            self._seconds[self._running[-1]] += now - self._since
        self._since = now

    def take(self) -> dict[str, float]:
        """Seconds of each of `STAGES` since it was last asked."""
        taken, self._seconds = self._seconds, defaultdict(float)
        return {stage: taken[stage] for stage in STAGES}


class _Timed:
    """A part and a stopwatch; else it is as the part."""

    def __init__(self, part: Callable[..., Any], stage: str, watch: Stopwatch) -> None:
        self._part, self._stage, self._watch = part, stage, watch

    def __call__(self, *given: Any, **named: Any) -> Any:
        with self._watch(self._stage):
            return self._part(*given, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


@contextmanager
def watched(model: Any, watch: Stopwatch) -> Iterator[None]:
    """While it lasts, the parts of a model, and of its person finder, count their seconds."""
    changed: list[tuple[Any, str, Any]] = []
    try:
        for part in parts(model):
            for name, stage in PARTS.items():
                inner = getattr(part, name, None)
                if callable(inner):
                    changed.append((part, name, vars(part).get(name)))
                    setattr(part, name, _Timed(inner, stage, watch))
        yield
    finally:
        for part, name, before in changed:
            if before is None:  # a method: the class has it
                delattr(part, name)
            else:
                setattr(part, name, before)


def parts(model: Any) -> list[Any]:
    """The objects that a model is made of: itself, its head, and who finds the people for it."""
    find = vars(model).get("find")  # of `TopDown`; YOLOv8's is a method, and its own
    owner = getattr(find, "__self__", find)
    found = [model, getattr(model, "head", None), owner]
    return [part for part in found if part is not None and hasattr(part, "__dict__")]
