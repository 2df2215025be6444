"""Who was there: a line about each person of a video, from when to when."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitruvian.body.poses import Poses
from vitruvian.frame import Frame


@dataclass
class _Stay:
    """Of one person, by frames of the source that were looked at."""

    first: int  # which of them
    first_seconds: float
    last: int = 0
    last_seconds: float = 0.0
    found: int = 0  # frames


class People:
    """A sink that writes nothing: it counts. Who has no number is not counted."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.frames = 0
        self.stays: dict[int, _Stay] = {}

    def __enter__(self) -> People:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Count those in a frame."""
        for person in poses.person.tolist():
            if person < 0:
                continue
            stay = self.stays.setdefault(person, _Stay(self.frames, frame.seconds))
            stay.last, stay.last_seconds = self.frames, frame.seconds
            stay.found += 1
        self.frames += 1

    def __exit__(self, *_: object) -> None:
        pass

    def lines(self) -> list[str]:
        """One for each, by number: from when to when, and in how many of the frames between."""
        lines = []
        for person, stay in sorted(self.stays.items()):
            share = 100 * stay.found // (stay.last - stay.first + 1)
            times = f"{stay.first_seconds:.2f} to {stay.last_seconds:.2f} s"
            many = f"{stay.found} frame{'s' * (stay.found != 1)}"
            lines.append(f"person {person}: {times}, {many}, found in {share} % of those between")
        return lines
