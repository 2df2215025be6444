"""`mp.solutions.drawing_utils`: landmarks drawn on images, as MediaPipe 0.10.21 draws them.

Landmarks and connections are taken as Solutions have them, and as Tasks do: a list of landmarks,
connections with `start` and `end`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vitruvian.mediapipe.absent import Absent, absent

Colour = tuple[int, int, int]  # 0..255, BGR where images are

WHITE_COLOR = (224, 224, 224)
BLACK_COLOR = (0, 0, 0)
RED_COLOR = (0, 0, 255)
GREEN_COLOR = (0, 128, 0)
BLUE_COLOR = (255, 0, 0)
LEAST = 0.5  # visibility and presence, where they are known, of what is drawn


@dataclass
class DrawingSpec:
    """How to draw: thickness and radius in pixels."""

    color: Colour = WHITE_COLOR
    thickness: int = 2
    circle_radius: int = 2


_RED, _WHITE = DrawingSpec(RED_COLOR), DrawingSpec()
_THICK_RED, _THICK_BLACK = DrawingSpec(RED_COLOR, 5), DrawingSpec(BLACK_COLOR, 5)


def _normalized_to_pixel_coordinates(
    normalized_x: float, normalized_y: float, image_width: int, image_height: int
) -> tuple[int, int] | None:
    """The pixel of a place in 0..1 of an image; None outside of it."""
    place = []
    for value, size in ((normalized_x, image_width), (normalized_y, image_height)):
        if not (0 < value < 1 or math.isclose(value, 0) or math.isclose(value, 1)):
            return None
        place.append(min(math.floor(value * size), size - 1))
    return place[0], place[1]


def _points(landmarks: Any) -> Sequence[Any]:
    return getattr(landmarks, "landmark", landmarks)


def _known(point: Any, name: str) -> bool:
    has = getattr(point, "HasField", None)
    return getattr(point, name) is not None if has is None else has(name)


def _is_drawn(point: Any) -> bool:
    names = ("visibility", "presence")
    return not any(_known(point, name) and getattr(point, name) < LEAST for name in names)


def _pairs(connections: Iterable[Any], count: int) -> list[tuple[int, int]]:
    """The two landmarks of each connection."""
    pairs = [(each.start, each.end) if hasattr(each, "start") else each for each in connections]
    for start, end in pairs:
        if not (0 <= start < count and 0 <= end < count):
            raise ValueError(
                "Landmark index is out of range. Invalid connection from landmark "
                f"#{start} to landmark #{end}."
            )
    return pairs


def draw_landmarks(
    image: np.ndarray,
    landmark_list: Any,
    connections: Iterable[Any] | None = None,
    landmark_drawing_spec: DrawingSpec | Mapping[int, DrawingSpec] | None = _RED,
    connection_drawing_spec: DrawingSpec | Mapping[Any, DrawingSpec] = _WHITE,
    is_drawing_landmarks: bool = True,
) -> None:
    """Draw landmarks and their connections on an image, in place.

    Args:
        image: (H, W, 3) uint8.
        landmark_list: of the image, in 0..1; None or empty: nothing is drawn.
        connections: pairs of landmarks.
        landmark_drawing_spec: of all landmarks or of each; None: they are not drawn.
        connection_drawing_spec: of all connections or of each.
        is_drawing_landmarks: whether to draw landmarks, too.

    Raises:
        ValueError: the image has not 3 channels, or a connection has a landmark that is not there.
    """
    if not landmark_list:
        return
    if image.shape[2] != 3:
        raise ValueError("Input image must contain three channel bgr data.")
    points, (height, width) = _points(landmark_list), image.shape[:2]
    at = {
        i: place
        for i, point in enumerate(points)
        if _is_drawn(point)
        and (place := _normalized_to_pixel_coordinates(point.x, point.y, width, height))
    }
    for pair in _pairs(connections or (), len(points)):
        if pair[0] in at and pair[1] in at:
            spec = connection_drawing_spec
            spec = spec[pair] if isinstance(spec, Mapping) else spec
            cv2.line(image, at[pair[0]], at[pair[1]], spec.color, spec.thickness)
    if not is_drawing_landmarks or not landmark_drawing_spec:
        return
    for i, place in at.items():
        spec = landmark_drawing_spec
        spec = spec[i] if isinstance(spec, Mapping) else spec
        border = max(spec.circle_radius + 1, int(spec.circle_radius * 1.2))
        cv2.circle(image, place, border, WHITE_COLOR, spec.thickness)
        cv2.circle(image, place, spec.circle_radius, spec.color, spec.thickness)


def plot_landmarks(
    landmark_list: Any,
    connections: Iterable[Any] | None = None,
    landmark_drawing_spec: DrawingSpec = _THICK_RED,
    connection_drawing_spec: DrawingSpec = _THICK_BLACK,
    elevation: int = 10,
    azimuth: int = 10,
) -> None:
    """Show landmarks and their connections in 3D, with matplotlib.

    Args:
        landmark_list: in metres; None or empty: nothing is shown.
        connections: pairs of landmarks.
        landmark_drawing_spec: of landmarks; its thickness is that of their outlines.
        connection_drawing_spec: of connections.
        elevation: degrees.
        azimuth: degrees.

    Raises:
        ValueError: a connection has a landmark that is not there.
    """
    if not landmark_list:
        return
    import matplotlib.pyplot as plt

    axes: Any = plt.figure(figsize=(10, 10)).add_subplot(projection="3d")
    axes.view_init(elev=elevation, azim=azimuth)
    points = _points(landmark_list)
    # Away from the camera, to its right, up.
    at = {i: (-p.z, p.x, -p.y) for i, p in enumerate(points) if _is_drawn(p)}
    colour, line = (
        tuple(value / 255 for value in reversed(spec.color))
        for spec in (landmark_drawing_spec, connection_drawing_spec)
    )
    if at:
        axes.scatter3D(
            *zip(*at.values(), strict=True), color=colour, linewidth=landmark_drawing_spec.thickness
        )
    for start, end in _pairs(connections or (), len(points)):
        if start in at and end in at:
            ends = zip(at[start], at[end], strict=True)
            axes.plot3D(*ends, color=line, linewidth=connection_drawing_spec.thickness)
    plt.show()


def __getattr__(name: str) -> Absent:
    return absent(__name__, name)
