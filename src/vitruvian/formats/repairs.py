"""Log of repaired keypoints: a `.csv` file, one row per person, kind and frame."""

from __future__ import annotations

import csv
import io
from collections import deque
from pathlib import Path
from typing import Protocol

from vitruvian.body.poses import Poses
from vitruvian.errors import amount
from vitruvian.formats.growing import Text
from vitruvian.frame import Frame

LEFT = "left as it is"  # kind of a fault found but not repaired
COLUMNS = ("source", "index", "time", "person", "kind", "keypoints", "distance")


class RepairRow(Protocol):
    """A repair in one frame, as from `vitruvian.streams.repair`."""

    @property
    def index(self) -> int:
        """Frame index."""
        ...

    @property
    def person(self) -> int:
        """Track id."""
        ...

    @property
    def kind(self) -> str:
        """The fault: a swap or a jump, or one left as it is."""
        ...

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Those that moved."""
        ...

    @property
    def distance(self) -> float:
        """Mean displacement in pixels."""
        ...


class Changes:
    """A sink for repairs, passed to `tell` before their frames are written.

    `counts` counts a repair over consecutive frames once.
    """

    def __init__(self, path: Path) -> None:
        self.told: deque[RepairRow] = deque()
        self.counts: dict[str, int] = {}
        self.before: list[RepairRow] = []  # previous frame
        self.text = Text(path, ",".join(COLUMNS) + "\n", self._lines)

    def tell(self, change: RepairRow) -> None:
        """Queue a repair."""
        self.told.append(change)

    def __enter__(self) -> Changes:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write a frame's repairs."""
        self.text.write(frame, poses)

    def _lines(self, frame: Frame, _: Poses) -> str:
        here: list[RepairRow] = []
        while self.told and self.told[0].index == frame.index:
            here.append(self.told.popleft())
        for change in here:
            goes_on = any(
                (old.person, old.kind) == (change.person, change.kind)
                and set(old.keypoints) & set(change.keypoints)
                for old in self.before
            )
            self.counts[change.kind] = self.counts.get(change.kind, 0) + (not goes_on)
        self.before = here
        text, start = io.StringIO(), (frame.source, frame.index, round(frame.seconds, 6))
        csv.writer(text, lineterminator="\n").writerows(
            (*start, c.person, c.kind, " ".join(c.keypoints), c.distance) for c in here
        )
        return text.getvalue()

    def __exit__(self, *error: object) -> None:
        self.text.__exit__(*error)

    @property
    def paths(self) -> list[Path]:
        """The files written."""
        return self.text.paths

    def __str__(self) -> str:
        """Summary of the repairs, and the path."""
        counts = dict(self.counts)
        left = counts.pop(LEFT, 0)
        many = [amount(n, kind) for kind, n in sorted(counts.items())[::-1]]
        some = f"{left} change{'s' * (left != 1)} of left and right {LEFT}"
        mended = f"repaired {', '.join(many) or 'nothing'}"
        return f"{mended}{f', {some}' if left else ''} -> {self.text.part.path}"
