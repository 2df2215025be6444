"""Annotations drawn on an image: a label beside each person, and angles at their joints.

Text size scales with the image and is never below 12 pixels. Labels avoid heads and each other
where there is room, and keep their position from frame to frame in a video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from vitruvian.rendering.lettering import Steady, blend, font, lettered

# Okabe and Ito's colour-blind safe palette.
STATES = {"yes": (0, 158, 115), "no": (150, 150, 150), "unknown": (230, 159, 0), "": (0, 0, 0)}
PEOPLE = ((86, 180, 233), (240, 228, 66), (204, 121, 167), (0, 158, 115), (230, 159, 0))
ANGLE = (240, 228, 66)
SMALLEST = 12  # pixels, minimum text height
DARK, OPAQUE = np.array([20, 20, 20], np.float32), 0.75  # of labels
FEW = 3  # with at most this many rules, "does not hold" is drawn as well
BESIDE = 3  # the first `_places` of a label have a leader line to the head


@dataclass(frozen=True)
class Line:
    """A label line."""

    text: str
    state: str  # "yes", "no" or "unknown"; each has its own colour and marker


@dataclass(frozen=True, eq=False)
class Arc:
    """An angle at a joint."""

    at: np.ndarray  # (2,) pixels
    zero: np.ndarray  # (2,) pixels from `at`, where the angle is 0; NaN: text only
    to: np.ndarray  # (2,) pixels from `at`, the measured direction
    text: str
    aside: float = 0.0  # side of the text: -1 left, 1 right, 0 opposite the angle


@dataclass(frozen=True, eq=False)
class Note:
    """The annotations of one person."""

    person: int
    box: np.ndarray  # (4,) x0 y0 x1 y1, pixels, including the head
    lines: tuple[Line, ...]
    arcs: tuple[Arc, ...] = ()


class Annotator:
    """Draws notes on the frames of one source, with stable label positions."""

    def __init__(self) -> None:
        """Start empty."""
        self.last: dict[int, int] = {}
        self.steady = Steady()

    def __call__(self, image: np.ndarray, notes: Sequence[Note]) -> None:
        """Draw on (H, W, 3) uint8 RGB."""
        notes = [note for note in notes if np.isfinite(note.box).all()]
        sizes = [self.steady(note.person, _text_size(image, note.box), SMALLEST) for note in notes]
        for note, size in zip(notes, sizes, strict=True):
            for arc in note.arcs:
                _draw_arc(image, arc, size)
        taken: list[np.ndarray] = []
        last: dict[int, int] = {}
        for note, size in zip(notes, sizes, strict=True):
            tag = _tag(note.person, note.lines, size)
            others = [other.box for other in notes if other is not note]
            place, last[note.person] = self._place(image, note, tag, taken, others)
            taken.append(place)
            if last[note.person] < BESIDE:
                _lead(image, note, place, size)
            blend(image, tag, place)
        self.last = last

    def _place(
        self,
        image: np.ndarray,
        note: Note,
        tag: np.ndarray,
        taken: list[np.ndarray],
        others: list[np.ndarray],
    ) -> tuple[np.ndarray, int]:
        """(4,) the label box with the least overlap, and its index in `_places`."""
        x0, y0, x1, y1 = note.box
        head = np.array([x0, y0, x1, y0 + 0.3 * (y1 - y0)])
        area = float(tag.shape[0] * tag.shape[1])
        places = _places(note.box, tag.shape[1], tag.shape[0], image.shape)
        costs = []
        for number, place in enumerate(places):
            heads = [np.array([b[0], b[1], b[2], b[1] + 0.3 * (b[3] - b[1])]) for b in others]
            cost = 6.0 * sum(_overlap(place, one) for one in taken) + 3 * _overlap(place, head)
            cost += sum(2 * _overlap(place, one) for one in heads)
            cost += sum(0.5 * _overlap(place, one) for one in others)
            cost = (cost + 0.4 * _overlap(place, note.box)) / area + 0.02 * number
            costs.append(cost - 0.3 * (self.last.get(note.person) == number))
        best = int(np.argmin(costs))
        return places[best], best


def _text_size(image: np.ndarray, box: np.ndarray) -> float:
    """Text height in pixels: by image size, but smaller for small people."""
    person = float(max(box[2] - box[0], box[3] - box[1]))
    return max(SMALLEST, min(float(np.hypot(*image.shape[:2])) / 75, person / 10))


def _places(box: np.ndarray, wide: int, tall: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    """(4,) of a label above, right of, left of, below, and inside a box at top and bottom."""
    x0, y0, x1, y1 = box
    middle, gap = (x0 + x1 - wide) / 2, 4
    corners = [
        *((middle, y0 - tall - gap), (x1 + gap, y0), (x0 - wide - gap, y0)),
        *((middle, y1 + gap), (x0, y0), (middle, y1 - tall)),
    ]
    limit = np.maximum(np.array([shape[1] - wide, shape[0] - tall]), 0)
    corners = np.clip(np.array(corners), 0, limit).astype(int)
    return [np.array([x, y, x + wide, y + tall]) for x, y in corners]


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection area of two boxes."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return float(np.prod(np.maximum(sides, 0)))


@lru_cache(256)
def _tag(person: int, lines: tuple[Line, ...], size: int) -> np.ndarray:
    """(h, w, 4) uint8 RGBA: the person number, then one row per line."""
    from PIL import Image, ImageDraw

    letters, pad, step = font(size), size // 2, round(size * 1.35)
    said = [(f"person {person}", "")] if person >= 0 else []
    said += [(line.text, line.state) for line in lines]
    ruler = ImageDraw.Draw(Image.new("L", (1, 1)))
    mark = size  # width of the marker before a line
    wide = max([ruler.textlength(t, font=letters) + (mark if s else 0) for t, s in said] or [0])
    extent = (round(wide) + 3 * pad, step * len(said) + pad)
    tag = Image.new("RGBA", extent, (*DARK.astype(int).tolist(), round(255 * OPAQUE)))
    paint = ImageDraw.Draw(tag)
    paint.rectangle((0, 0, max(size // 5, 2), extent[1]), PEOPLE[max(person, 0) % len(PEOPLE)])
    for row, (text, state) in enumerate(said):
        x, y = round(1.5 * pad), pad // 2 + row * step
        if state:
            _sign(paint, state, (x, y + round(0.32 * size)), round(0.62 * size))
            x += mark
        colour = (255, 255, 255) if state in ("yes", "") else (205, 205, 205)
        paint.text((x, y), text, colour, font=letters)
    return np.asarray(tag)


def _sign(paint: Any, state: str, corner: tuple[int, int], size: int) -> None:
    """A filled square for yes, an empty one for no, a circle for unknown."""
    x, y = corner
    box, colour, line = (x, y, x + size, y + size), STATES[state], max(size // 5, 1)
    if state == "yes":
        paint.rectangle(box, colour)
    elif state == "no":
        paint.rectangle(box, None, colour, line)
    else:
        paint.ellipse(box, None, colour, line)


def _lead(image: np.ndarray, note: Note, place: np.ndarray, size: int) -> None:
    """A leader line from a label to the person's head, if they are apart."""
    x0, y0, x1, _ = note.box
    target = np.array([(x0 + x1) / 2, max(y0, 0.0)])
    start = np.clip(target, place[:2], place[2:])
    if np.hypot(*(target - start)) < 1.5 * size:
        return
    a, b = np.round(np.stack([start, target])).astype(int).tolist()
    colour = PEOPLE[max(note.person, 0) % len(PEOPLE)]
    cv2.line(image, a, b, (20, 20, 20), max(size // 6, 1) + 2, cv2.LINE_AA)
    cv2.line(image, a, b, colour, max(size // 6, 1), cv2.LINE_AA)


def _draw_arc(image: np.ndarray, arc: Arc, size: int) -> None:
    """A wedge from zero to the angle, with its value as text beside it."""
    if not np.isfinite(arc.at).all() or not np.isfinite(arc.to).all():
        return
    way = arc.to / max(float(np.hypot(*arc.to)), 1e-6)
    radius = float(np.clip(0.4 * np.hypot(*arc.to), 0.8 * size, 3 * size))
    if np.isfinite(arc.zero).all():
        start, end = (float(np.arctan2(v[1], v[0])) for v in (arc.zero, arc.to))
        turn = (end - start + np.pi) % (2 * np.pi) - np.pi
        angles = start + turn * np.linspace(0, 1, 2 + int(abs(turn) * 16))
        curve = arc.at + radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        wedge = np.round((np.concatenate([[arc.at], curve]) - 0.5) * 16).astype(np.int32)
        thick = max(size // 8, 1)
        low = np.maximum(np.floor(wedge.min(axis=0) / 16).astype(int) - thick, 0)
        high = np.ceil(wedge.max(axis=0) / 16).astype(int) + thick + 1
        part = image[low[1] : high[1], low[0] : high[0]]
        if part.size:
            filled = part.copy()
            cv2.fillPoly(filled, [wedge - 16 * low.astype(np.int32)], ANGLE, cv2.LINE_AA, 4)
            part[:] = cv2.addWeighted(filled, 0.4, part, 0.6, 0)
        for colour, more in (((20, 20, 20), 2), (ANGLE, 0)):
            cv2.polylines(image, [wedge[:2]], False, colour, thick + more, cv2.LINE_AA, 4)
            cv2.polylines(image, [wedge[1:]], False, colour, thick + more, cv2.LINE_AA, 4)
        middle = angles[len(angles) // 2]
        way = -np.array([np.cos(middle), np.sin(middle)])  # opposite the wedge
    if arc.aside:
        way = np.array([arc.aside, 0.0])
    told = lettered(arc.text, max(round(0.85 * size), SMALLEST), ANGLE)
    sides = np.array([told.shape[1], told.shape[0]])
    away = (0.5 * size + 0.5 * float(np.abs(way) @ sides)) * way
    blend(image, told, np.concatenate([arc.at + away - sides / 2, [0, 0]]))
