"""The list of what was mended: a `.csv` file, a row for each person, kind and frame."""

from __future__ import annotations

import csv
import io
from collections import deque
from pathlib import Path
from typing import Protocol

from vitruvian.body.poses import Poses
from vitruvian.formats.growing import Text
from vitruvian.frame import Frame

LEFT = "left as it is"  # the kind of what was seen and not mended
COLUMNS = ("source", "index", "time", "person", "kind", "keypoints", "distance")


class RepairRow(Protocol):
    """What was mended in one frame; `vitruvian.stream.repair` has such."""

    @property
    def index(self) -> int:
        """Of the frame."""
        ...

    @property
    def person(self) -> int:
        """Who."""
        ...

    @property
    def kind(self) -> str:
        """What was wrong: a swap or a jump; or what is left."""
        ...

    @property
    def keypoints(self) -> tuple[str, ...]:
        """What was moved."""
        ...

    @property
    def distance(self) -> float:
        """Pixels that they were moved, on average."""
        ...


class Changes:
    """A sink for changes, which are told before the frames they are in are written.

    One that lasts for several frames in a row is counted once, by `counts`.
    """

    def __init__(self, path: Path) -> None:
        self.told: deque[RepairRow] = deque()
        self.counts: dict[str, int] = {}
        self.before: list[RepairRow] = []  # in the frame before
        self.text = Text(path, ",".join(COLUMNS) + "\n", self._lines)

    def tell(self, change: RepairRow) -> None:
        """Take a change."""
        self.told.append(change)

    def __enter__(self) -> Changes:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write those of a frame."""
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
        """What has been written."""
        return self.text.paths

    def __str__(self) -> str:
        """What was mended, and where the list of it is."""
        counts = dict(self.counts)
        left = counts.pop(LEFT, 0)
        many = [f"{n} {kind}{'s' * (n != 1)}" for kind, n in sorted(counts.items())[::-1]]
        some = f"{left} change{'s' * (left != 1)} of left and right {LEFT}"
        mended = f"mended {', '.join(many) or 'nothing'}"
        return f"{mended}{f', {some}' if left else ''} -> {self.text.part.path}"
