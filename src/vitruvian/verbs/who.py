"""A line about each person of a video: first and last time, and share of frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitruvian.body.poses import Poses
from vitruvian.errors import amount
from vitruvian.frame import Frame


@dataclass
class _Stay:
    """Frames of one person, counted among the frames processed."""

    first: int  # index of the frame
    first_seconds: float
    last: int = 0
    last_seconds: float = 0.0
    found: int = 0  # number of frames


class People:
    """A sink that only counts people. People without a track id are not counted."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.frames = 0
        self.stays: dict[int, _Stay] = {}

    def __enter__(self) -> People:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Count the people in a frame."""
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
        """One line for each track id: first and last time, and share of the frames between."""
        lines = []
        for person, stay in sorted(self.stays.items()):
            share = 100 * stay.found // (stay.last - stay.first + 1)
            times = f"{stay.first_seconds:.2f} to {stay.last_seconds:.2f} s"
            many = amount(stay.found, "frame")
            lines.append(
                f"person {person}: {times}, {many}, found in {share} % of the frames between"
            )
        return lines
