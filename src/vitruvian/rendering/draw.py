"""Draw poses on an image."""

from __future__ import annotations

import functools
import re
from dataclasses import replace

import cv2
import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.state import State, states
from vitruvian.frame import Frame
from vitruvian.rendering.lettering import Steady, blend, lettered

# The subject's left is blue, the right vermilion, the middle grey: Okabe and Ito's colour-blind
# safe palette.
COLOURS = {"left": (0, 114, 178), "right": (213, 94, 0), "": (170, 170, 170)}
VISIBLE = 0.5  # minimum score to draw a keypoint
FINEST = 30  # line widths in the diagonal of a hand
IN_FACE = r"nose|(left|right)_eye(_inner|_outer)?|mouth_(left|right)"
MASK_COLOUR, MASK_SHARE = np.array([0, 158, 115], np.float32), 0.45


def draw(
    frame: Frame,
    poses: Poses,
    visible: float = VISIBLE,
    *,
    hidden: bool = False,
    numbers: bool = True,
    widths: Steady | None = None,
) -> np.ndarray:
    """(H, W, 3) uint8 RGB, a copy of the frame with bones, keypoints and person ids.

    Args:
        frame: the image.
        poses: of this frame.
        visible: 0..1, confidence threshold. Keypoints below it, and missing ones, are not drawn,
            nor are their bones.
        hidden: whether to also draw occluded keypoints (rings, dashed bones) and those out of the
            frame (a triangle on the nearest edge); see `vitruvian.body.state`.
        numbers: whether to write person ids above people.
        widths: line widths kept between the frames of a video, so that they do not flicker.
    """
    image = frame.rgb.copy()
    if poses.mask is not None and len(poses):
        share = poses.mask.max(axis=0)[..., None] * np.float32(MASK_SHARE)
        image = (image + (MASK_COLOUR - image) * share).astype(np.uint8)
    bones, sides = poses.skeleton.bones, poses.skeleton.sides
    state, thicks = states(poses, frame.size), _thicknesses(frame.size, poses, widths)
    for row in range(len(poses)):
        shown = (poses.score[row] >= visible) & np.isfinite(poses.xy[row]).all(axis=-1)
        out = hidden & (state[row] == State.OUT_OF_FRAME)
        rings = hidden & (state[row] >= State.OCCLUDED) & ~shown
        shown &= ~out
        thick = thicks[row]
        fine = _fine(poses.skeleton, poses.xy[row], shown, thick)
        shown &= fine >= 0
        dots = shown & (fine > 0)
        # OpenCV's subpixel drawing takes integers in 1/16 pixel. Its pixel centres are at whole
        # numbers, ours at halves.
        place = np.round((np.nan_to_num(poses.xy[row]) - 0.5) * 16)
        at = [tuple(map(int, point)) for point in np.clip(place, -(1 << 24), 1 << 24)]
        for a, b in bones:
            if shown[a] and shown[b]:
                side = sides[a] if sides[a] == sides[b] else ""
                width = min(fine[a], fine[b])
                if width:
                    edge = width + min(width, 2)
                    cv2.line(image, at[a], at[b], (255, 255, 255), edge, cv2.LINE_AA, 4)
                cv2.line(image, at[a], at[b], COLOURS[side], width or 1, cv2.LINE_AA, 4)
            elif (shown | rings | out)[[a, b]].all() and not out[[a, b]].all():
                side = sides[a] if sides[a] == sides[b] else ""
                _dashes(image, np.array([at[a], at[b]]), COLOURS[side], thick)
        for k in np.flatnonzero(out):
            _outside(image, poses.xy[row, k], COLOURS[sides[k]], thick)
        for k in np.flatnonzero(rings):
            colour, edge = COLOURS[sides[k]], max(1, thick // 2)
            cv2.circle(image, at[k], 16 * (thick + 1), (255, 255, 255), -1, cv2.LINE_AA, 4)
            cv2.circle(image, at[k], 16 * (thick + 1), colour, edge, cv2.LINE_AA, 4)
        for k in np.flatnonzero(dots):
            if fine[k] == thick:
                cv2.circle(image, at[k], 16 * (thick + 1), (255, 255, 255), -1, cv2.LINE_AA, 4)
            cv2.circle(image, at[k], 16 * fine[k], COLOURS[sides[k]], -1, cv2.LINE_AA, 4)
        if numbers and poses.person[row] >= 0 and np.isfinite(poses.box[row]).all():
            _label(image, str(poses.person[row]), poses.box[row], thick)
    return image


def with_numbers(poses: Poses) -> Poses:
    """Several people of an image have numbers from 1, as in its 3D view and for `vitruvian trace`.

    Ids stay as they are, and so does one person alone.
    """
    if len(poses) < 2 or (poses.person >= 0).any():
        return poses
    return replace(poses, person=np.arange(1, len(poses) + 1))


def _thicknesses(size: tuple[int, int], poses: Poses, widths: Steady | None) -> list[int]:
    """Line width in pixels per person: by image size, but thinner for small people."""
    people = np.hypot(*np.nan_to_num(poses.box[:, 2:] - poses.box[:, :2]).T)
    wanted = np.minimum(float(np.hypot(*size)) / 300, people / 100)
    if widths is None:
        return [max(1, round(each)) for each in wanted.tolist()]
    nameless = poses.person < 0
    if nameless.any():  # people without an id share one width, as they cannot be tracked
        wanted[nameless] = np.median(wanted[nameless])
    return list(map(widths, poses.person.tolist(), wanted.tolist()))


def _fine(skeleton: Skeleton, xy: np.ndarray, shown: np.ndarray, thick: int) -> np.ndarray:
    """(K,) line width of each keypoint of a person: of a hand or a face thinner, as it is smaller.

    0: a thin line without dots or an edge. -1: not drawn, as a hand or a face shows it better.
    """
    width = np.full(len(skeleton), thick)
    for part, own in skeleton.parts.items():
        within = xy[list(own)][shown[list(own)]]
        if part in ("body", "feet") or not len(within):
            continue
        extent = float(np.hypot(*np.ptp(within, axis=0)))
        width[list(own)] = min(int(extent / FINEST), max(1, thick - 1))
        if part == "face":
            width[list(own)] = 0
        width[_body_in(skeleton, part)] = -1
    return width


@functools.lru_cache(64)
def _body_in(skeleton: Skeleton, part: str) -> list[int]:
    """Indices of the body's own keypoints inside a hand or a face."""
    side, _, hand = part.rpartition("_")
    inside = rf"{side}_(pinky|index|thumb)" if hand == "hand" else IN_FACE
    body = skeleton.parts.get("body", ())
    return [k for k in body if re.fullmatch(inside, skeleton.keypoints[k])]


def _dashes(image: np.ndarray, ends: np.ndarray, colour: tuple[int, ...], thick: int) -> None:
    """A dashed line; `ends`: (2, 2) in 1/16 pixel."""
    step = 48 * (thick + 1)  # 1/16 pixel, a dash and a gap
    most = 2 * int(np.hypot(*image.shape[:2]) * 16 / step)  # an end may be far outside
    pieces = int(np.clip(np.hypot(*(ends[1] - ends[0])) / step, 1, most))
    along = (np.arange(pieces)[:, None] + (0.25, 0.75)) / pieces
    dashes = ends[0] + (ends[1] - ends[0]) * along[..., None]
    for a, b in np.round(dashes).astype(int).tolist():
        cv2.line(image, a, b, (255, 255, 255), thick + 2, cv2.LINE_AA, 4)
        cv2.line(image, a, b, colour, thick, cv2.LINE_AA, 4)


def _outside(image: np.ndarray, xy: np.ndarray, colour: tuple[int, ...], thick: int) -> None:
    """A triangle on the image edge that points to a keypoint beyond it."""
    far = np.array(image.shape[1::-1], np.float32)
    size = 3 * thick + 2
    tip = np.clip(xy, 1, far - 2)
    way = xy - np.clip(xy, 0, far)
    if not way.any():  # exactly on the edge: point away from the nearest side
        low, high = xy, far - xy
        nearest = int(np.argmin([*low, *high]))
        way = np.eye(2)[nearest % 2] * (-1 if nearest < 2 else 1)
    way = way / np.hypot(*way)
    base, across = tip - way * size, np.array([-way[1], way[0]]) * size * 0.6
    corners = np.round(np.stack([tip, base + across, base - across]) * 16).astype(np.int32)
    cv2.fillPoly(image, [corners], colour, cv2.LINE_AA, 4)
    cv2.polylines(image, [corners], True, (255, 255, 255), 1, cv2.LINE_AA, 4)


def _label(image: np.ndarray, text: str, box: np.ndarray, thick: int) -> None:
    """A person id above the box, or inside it if there is no room above."""
    number = lettered(text, 10 + 6 * thick)
    tall, wide = number.shape[:2]
    x = np.clip(box[[0, 2]].mean() - wide / 2, 0, max(image.shape[1] - wide, 0))
    y = np.clip(box[1] - tall - 2 * thick, 0, max(image.shape[0] - tall, 0))
    blend(image, number, np.array([x, y]))
