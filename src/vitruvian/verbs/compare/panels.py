"""Panels: results of several models for one frame, side by side, with people and milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import amount
from vitruvian.frame import Frame
from vitruvian.rendering.draw import VISIBLE, draw, with_numbers
from vitruvian.rendering.lettering import Steady
from vitruvian.rendering.scene import Scene
from vitruvian.rendering.view3d import Stage
from vitruvian.verbs.compare.lines import FrameRecord, FrameResult

ROOM = (1920, 1080)  # pixels, for the images of all panels together
ROWS = 1.6  # use several rows if panels become this much wider
NARROWEST = 320  # pixels, minimum width of a panel, so that text fits
STRIP, GAP = 30, 6  # pixels: height of a line of text, and white gap between panels
LETTERS, FONT = 0.55, cv2.FONT_HERSHEY_SIMPLEX
SAMPLED = 200  # frames that set the extent of a 3D view


class StageView:
    """The 3D view of one model's people, frame by frame, with a fixed stage."""

    def __init__(self, moments: Sequence[tuple[Frame, Poses]], visible: float) -> None:
        """Create the stage, large enough for all these frames."""
        self.scene = Scene(visible)
        for frame, poses in moments:
            self.scene.add(frame, poses)
        self.stage = Stage(self.scene, timed=False)

    def __call__(self, frame: Frame, poses: Poses) -> np.ndarray:
        """(H, W, 3) uint8 RGB of one frame, which is not kept."""
        self.scene.add(frame, poses)
        moment = self.scene.moments.pop()
        self.scene.moments = [moment]  # the stage keeps its extent
        return self.stage(moment)


def view(lines: FrameRecord, visible: float = VISIBLE) -> StageView | None:
    """The 3D view of a record; None if it has no metres or no people."""
    sampled = lines.sample(SAMPLED)
    some = [(frame, poses) for frame, poses in sampled if len(poses) and poses.xyz is not None]
    return StageView(some, visible) if some else None


@dataclass(frozen=True)
class Layout:
    """The arrangement of panels: number of columns, and one image size."""

    columns: int
    size: tuple[int, int]  # width and height of the image in a panel, pixels

    @classmethod
    def of(cls, panels: int, picture: tuple[int, int]) -> Layout:
        """One row, or several rows if images become much larger; images are never enlarged.

        Args:
            panels: number of panels.
            picture: width and height of each image, pixels.
        """
        wide, tall = picture

        def scale(columns: int) -> float:
            rows = -(-panels // columns)
            return min(ROOM[0] / columns / wide, ROOM[1] / rows / tall, 1.0)

        worth = max(map(scale, range(1, panels + 1))) / ROWS
        able = [n for n in range(1, panels + 1) if scale(n) >= worth]
        columns = min(able, key=lambda n: (-panels % n, -n))  # fewest gaps, then most columns
        best = max(scale(columns), NARROWEST / wide)
        return cls(columns, (max(round(wide * best), 1), max(round(tall * best), 1)))


def panels(
    frame: Frame,
    labels: Sequence[str],
    results: Sequence[FrameResult],
    views: Sequence[StageView | None],
    visible: float = VISIBLE,
    widths: Sequence[Steady | None] = (),
    finders: Sequence[str] = (),
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: one panel per model, with a 3D view below for models with metres.

    Args:
        frame: the frame.
        labels: names of the models.
        results: results of the models.
        views: their 3D views; None for 2D models.
        visible: 0..1; keypoints with this score or more are drawn.
        widths: line widths of each model, kept from frame to frame of a video.
        finders: who found the people of each model; by default that is left out.
    """
    layout = Layout.of(len(labels), frame.size)
    deep = any(view is not None for view in views)
    every = [None] * len(labels)
    rows = zip(labels, results, views, widths or every, finders or every, strict=True)
    drawn = [_panel(frame, *each, layout.size, visible, deep) for each in rows]
    while len(drawn) % layout.columns:
        drawn.append(np.full_like(drawn[0], 255))
    edge = [(GAP // 2, GAP // 2)] * 2 + [(0, 0)]
    edged = [np.pad(one, edge, constant_values=255) for one in drawn]
    starts = range(0, len(edged), layout.columns)
    return np.concatenate([np.concatenate(edged[i : i + layout.columns], axis=1) for i in starts])


def _panel(
    frame: Frame,
    label: str,
    result: FrameResult,
    view: StageView | None,
    widths: Steady | None,
    finder: str | None,
    size: tuple[int, int],
    visible: float,
    deep: bool,
) -> np.ndarray:
    """The panel of one model: name, image, result, and 3D view if any model has one.

    Args:
        frame: the frame.
        label: name of the model.
        result: its result.
        view: its 3D view.
        widths: its line widths.
        finder: who found the people.
        size: width and height of the image in the panel, pixels.
        visible: minimum score of keypoints drawn.
        deep: whether to add a 3D view, empty for 2D models.
    """
    poses = result.poses
    picture = frame.rgb
    if poses is not None:
        drawn = with_numbers(poses) if widths is None else poses
        picture = draw(frame, drawn, visible, widths=widths)
    how = cv2.INTER_AREA if size[0] < frame.size[0] else cv2.INTER_CUBIC
    parts = [_words(label, size[0]), cv2.resize(picture, size, interpolation=how)]
    found_by = f", found by {finder}" if finder and poses is not None else ""
    parts.append(_words(result_caption(result) + found_by, size[0]))
    if deep:
        flat = (size[0], size[0] // 2)
        if view is None or poses is None or poses.xyz is None:
            words = "no metres" if poses is not None and len(poses) else ""
            shown = np.full((flat[1], flat[0], 3), 255, np.uint8)
            shown[flat[1] // 2 - STRIP // 2 :][:STRIP] = _words(words, size[0])
        else:
            shown = cv2.resize(view(frame, poses), flat, interpolation=cv2.INTER_AREA)
        parts.append(shown)
    return np.concatenate(parts)


def result_caption(result: FrameResult) -> str:
    """Number of people and milliseconds, or the reason of a failure."""
    if result.poses is None:
        return result.failed
    n = len(result.poses)
    people = amount(n, "person", "people") if n else "no people"
    return people if result.ms is None else f"{people}, {result.ms:.0f} ms"


def _words(text: str, wide: int) -> np.ndarray:
    """(STRIP, wide, 3) black text centred on white, shrunk to fit."""
    strip = np.full((STRIP, wide, 3), 255, np.uint8)
    plain = text.encode("ascii", "replace").decode()  # OpenCV's font is ASCII only
    (width, _), _ = cv2.getTextSize(plain, FONT, LETTERS, 1)
    scale = LETTERS * min(1.0, (wide - 8) / max(width, 1))
    (width, height), _ = cv2.getTextSize(plain, FONT, scale, 1)
    at = ((wide - width) // 2, (STRIP + height) // 2)
    cv2.putText(strip, plain, at, FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return strip
