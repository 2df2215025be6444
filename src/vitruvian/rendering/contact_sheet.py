"""Contact sheet: small pictures of people with captions, by the hundred on a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.frame import Frame
from vitruvian.geometry.crop import Crop
from vitruvian.rendering.draw import COLOURS
from vitruvian.rendering.lettering import font

CELL = (210, 280)  # pixels, width and height of a picture
COLUMNS, MOST = 10, 100  # pictures side by side, and on a page at most
MARGIN = 0.12  # of a person's extent, shown around it
LEAST = 32  # pixels of the frame, width of a picture at least
GAP, TEXT, HEAD = 8, 13, 18  # pixels: between pictures; letters of captions and of headings
STEP = 16  # pixels from one line of a caption to the next
INK, GREY, DARK = (30, 30, 30), (110, 110, 110), 60


@dataclass(frozen=True, eq=False)
class SheetCell:
    """A picture with its caption."""

    heading: str  # pictures in a row with the same heading stay together
    lines: tuple[str, ...]
    jpeg: bytes


def around_person(poses: Poses, row: int, size: tuple[int, int]) -> Crop | None:
    """The part of a frame around a person, in the size of a cell; None without a place.

    It lies inside a frame of `size`, width and height, where it fits.
    """
    points = poses.xy[row][np.isfinite(poses.xy[row]).all(axis=-1) & (poses.score[row] > 0)]
    corners = np.concatenate([poses.box[row].reshape(2, 2), points])
    corners = corners[np.isfinite(corners).all(axis=-1)]
    if not len(corners):
        return None
    low, high = corners.min(axis=0), corners.max(axis=0)
    wide, tall = (high - low) * (1 + 2 * MARGIN)
    wide = max(wide, tall * CELL[0] / CELL[1], LEAST)
    extent = np.array([wide, wide * CELL[1] / CELL[0]], np.float32)
    half, far = extent / 2, np.array(size, np.float32)
    inside = np.clip((low + high) / 2, np.minimum(half, far / 2), np.maximum(far - half, far / 2))
    return Crop.turned(inside, extent, 0.0, CELL, centre=0.5)


def sharpness(rgb: np.ndarray) -> float:
    """0..1, how sharp (H, W, 3) uint8 is: 0.5 for a variance of the Laplacian of 100."""
    import cv2

    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    variance = float(cv2.Laplacian(grey, cv2.CV_32F).var())
    return variance / (variance + 100)


def person_cell(frame: Frame, poses: Poses, row: int, visible: float) -> tuple[np.ndarray, float]:
    """A picture of a person with the skeleton drawn thinly, and its `sharpness`.

    Args:
        frame: with pixels.
        poses: of this frame.
        row: of the person.
        visible: 0..1, minimum score of the keypoints that are drawn.

    Returns:
        (280, 210, 3) uint8 RGB.
    """
    import cv2

    crop = around_person(poses, row, frame.size)
    if crop is None:
        return np.full((CELL[1], CELL[0], 3), DARK, np.uint8), 0.0
    picture = frame.cut(crop, antialias=1)
    sharp = sharpness(picture)
    shown = (poses.score[row] >= visible) & np.isfinite(poses.xy[row]).all(axis=-1)
    # In 1/16 pixel, which OpenCV's drawing takes; its pixel centres are at whole numbers.
    at = np.round((np.nan_to_num(crop.from_frame(poses.xy[row])) - 0.5) * 16)
    ends = np.clip(at, -(1 << 20), 1 << 20).astype(int).tolist()
    sides = poses.skeleton.sides
    for a, b in poses.skeleton.bones:
        if shown[a] and shown[b]:
            colour = COLOURS[sides[a] if sides[a] == sides[b] else ""]
            cv2.line(picture, ends[a], ends[b], colour, 1, cv2.LINE_AA, 4)
    return picture, sharp


def sheet_pages(cells: Iterable[SheetCell]) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 RGB pages of at most `MOST` cells, a row for each `COLUMNS` of them."""
    page: list[list[SheetCell]] = []  # rows
    count = 0
    for cell in cells:
        if count == MOST:
            yield _drawn(page)
            page, count = [], 0
        if not page or len(page[-1]) == COLUMNS or page[-1][0].heading != cell.heading:
            page.append([])
        page[-1].append(cell)
        count += 1
    if page:
        yield _drawn(page)


def _drawn(rows: Sequence[Sequence[SheetCell]]) -> np.ndarray:
    import cv2
    from PIL import Image, ImageDraw

    columns = max(len(row) for row in rows)
    heads = [i == 0 or row[0].heading != rows[i - 1][0].heading for i, row in enumerate(rows)]
    tall = [CELL[1] + STEP * max(len(cell.lines) for cell in row) + 2 * GAP for row in rows]
    total = sum(tall) + sum(heads) * (HEAD + 2 * GAP) + GAP
    page = np.full((total, columns * (CELL[0] + GAP) + GAP, 3), 255, np.uint8)
    letters, y = list[tuple[int, int, str, int, tuple[int, int, int]]](), GAP
    for row, head, step in zip(rows, heads, tall, strict=True):
        if head:
            letters.append((GAP, y, row[0].heading, HEAD, INK))
            y += HEAD + 2 * GAP
        for column, cell in enumerate(row):
            x = GAP + column * (CELL[0] + GAP)
            picture = cv2.imdecode(np.frombuffer(cell.jpeg, np.uint8), cv2.IMREAD_COLOR)
            if picture is not None and picture.shape[:2] == CELL[::-1]:
                page[y : y + CELL[1], x : x + CELL[0]] = picture[..., ::-1]
            for line, text in enumerate(cell.lines):
                below = y + CELL[1] + 3 + STEP * line
                letters.append((x, below, text, TEXT, GREY if line else INK))
        y += step
    image = Image.fromarray(page)
    paint = ImageDraw.Draw(image)
    for x, y, text, size, ink in letters:
        wide = page.shape[1] if size == HEAD else CELL[0]
        paint.text((x, y), fitted(text, size, wide), ink, font=font(size))
    return np.asarray(image)


@lru_cache(1024)
def fitted(text: str, size: int, wide: int) -> str:
    """The text, with its middle left out if it is wider than so many pixels."""
    if font(size).getlength(text) <= wide:
        return text
    for kept in range(len(text) - 1, 0, -1):
        short = f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"
        if font(size).getlength(short) <= wide:
            return short
    return "..."
