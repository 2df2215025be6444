"""Landmarks as tasks give them, and rectangles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from vitruvian.mediapipe.framework.formats import landmark_pb2


@dataclass
class Landmark:
    """A point: metres, from the middle of the hips; visibility and presence 0..1."""

    MESSAGE: ClassVar[type[landmark_pb2.Landmark]] = landmark_pb2.Landmark

    x: float | None = None
    y: float | None = None
    z: float | None = None
    visibility: float | None = None
    presence: float | None = None

    def to_pb2(self) -> Any:
        """The same as a message."""
        return self.MESSAGE(**vars(self))

    @classmethod
    def create_from_pb2(cls, pb2_obj: Any) -> Self:
        """From a message."""
        return cls(**{name: getattr(pb2_obj, name) for name in pb2_obj.FIELDS})


@dataclass
class NormalizedLandmark(Landmark):
    """A point of an image: x and y in widths and heights, z in widths."""

    MESSAGE = landmark_pb2.NormalizedLandmark


@dataclass
class Rect:
    """A rectangle, 0..1 of an image."""

    left: float
    top: float
    right: float
    bottom: float
