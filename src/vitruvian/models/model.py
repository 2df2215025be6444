"""What a model is: a function from frames to poses that remembers nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from vitruvian.body.poses import Poses
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions


class Model(Protocol):
    """What every family gives."""

    name: str  # in the catalogue
    weights: dict[str, str]  # file -> SHA-256
    options: dict[str, Any]  # it was loaded with

    @property
    def runs_on(self) -> str:
        """The device, or provider, that truly computes it."""
        ...

    def __call__(
        self, frames: Sequence[Frame], look: Sequence[Regions] | None = None, /
    ) -> list[Poses]:
        """Everyone in each frame; `look` says where to look for them, if it is known."""
        ...


@runtime_checkable
class Streamed(Protocol):
    """A model for which frames are independent, so that several are computed in parallel."""

    def stream(self, frames: Iterable[Frame], /) -> Iterator[Poses]:
        """Everyone in each frame, in order."""
        ...


def cores() -> int:
    """How many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
