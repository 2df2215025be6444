"""Stages: time of each part of a model, frame by frame, without changes to the model.

Every family has the same parts under the same names: `network` (and AlphaPose's `refiner`),
its preprocessing (`letterbox`, `crops`, `prepare`) and its postprocessing (`decode`). While a
model is watched, each part is wrapped on the object itself, and unwrapped afterwards.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Attribute name -> stage.
PARTS = {
    "network": "network",
    **dict.fromkeys(("refiner", "recrop", "landmarks", "detector", "mesh"), "network"),
    "letterbox": "preprocess",
    "crops": "preprocess",
    "prepare": "preprocess",
    "decode": "decode",
}
# In order. `other` is the model's work between them: selection, tracking, smoothing.
STAGES = ("read", "preprocess", "network", "decode", "other", "draw")


class Stopwatch:
    """Seconds of each stage. Time of a nested stage does not count for the outer one."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count time while the context is open."""
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
        """Seconds of each of `STAGES` since the last call."""
        taken, self._seconds = self._seconds, defaultdict(float)
        return {stage: taken[stage] for stage in STAGES}


class _Timed:
    """A part with a stopwatch; otherwise it behaves as the part."""

    def __init__(self, part: Callable[..., Any], stage: str, watch: Stopwatch) -> None:
        self._part, self._stage, self._watch = part, stage, watch

    def __call__(self, *given: Any, **named: Any) -> Any:
        with self._watch(self._stage):
            return self._part(*given, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


@contextmanager
def watched(model: Any, watch: Stopwatch) -> Iterator[None]:
    """Time the parts of a model, and of its person detector, while the context is open."""
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
            if before is None:  # a method: defined by the class
                delattr(part, name)
            else:
                setattr(part, name, before)


def parts(model: Any) -> list[Any]:
    """The objects that a model consists of: itself, its head, and its person detector.

    Of one of whole bodies: those of its body, hands and face.
    """
    added = getattr(model, "parts", None)
    more = [getattr(added, name, None) for name in ("hands", "face")]
    model = getattr(model, "body", model)
    find = vars(model).get("find")  # of `TopDown`; YOLOv8's is a method of its own
    owner = getattr(find, "__self__", find)
    found = [model, getattr(model, "head", None), owner, *more]
    return [part for part in found if part is not None and hasattr(part, "__dict__")]
