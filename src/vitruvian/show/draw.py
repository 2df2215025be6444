"""Draw: poses over the picture."""

from __future__ import annotations

import cv2
import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.state import State, states
from vitruvian.frame import Frame
from vitruvian.show.lettering import Steady, blend, lettered

# The subject's left is blue, the right vermilion, the middle grey: told apart by everyone,
# Okabe and Ito's palette.
COLOURS = {"left": (0, 114, 178), "right": (213, 94, 0), "": (170, 170, 170)}
VISIBLE = 0.5  # score from which a keypoint is drawn
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
    """(H, W, 3) uint8 RGB, a copy of the frame with everyone's bones, keypoints and numbers.

    Args:
        frame: the picture.
        poses: of this frame.
        visible: 0..1; a keypoint of a lower score is drawn neither as a point nor as the end of a
            bone, and so is one that was not found.
        hidden: whether to draw also what is occluded, as rings and dashes, and what is out of the
            frame, as a triangle on the edge next to it; see `vitruvian.body.state`.
        numbers: whether people's numbers are written above them.
        widths: of lines, kept for the next frame of a video, where they stay what they are.
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
        # Sixteenths of a pixel: OpenCV draws between pixels if it is given whole numbers of them.
        # Its pixels have their centres at whole numbers, ours at halves.
        place = np.round((np.nan_to_num(poses.xy[row]) - 0.5) * 16)
        at = [tuple(map(int, point)) for point in np.clip(place, -(1 << 24), 1 << 24)]
        for a, b in bones:
            if shown[a] and shown[b]:
                side = sides[a] if sides[a] == sides[b] else ""
                cv2.line(image, at[a], at[b], (255, 255, 255), thick + 2, cv2.LINE_AA, 4)
                cv2.line(image, at[a], at[b], COLOURS[side], thick, cv2.LINE_AA, 4)
            elif (shown | rings | out)[[a, b]].all() and not out[[a, b]].all():
                side = sides[a] if sides[a] == sides[b] else ""
                _dashes(image, np.array([at[a], at[b]]), COLOURS[side], thick)
        for k in np.flatnonzero(out):
            _outside(image, poses.xy[row, k], COLOURS[sides[k]], thick)
        for k in np.flatnonzero(rings):
            colour, edge = COLOURS[sides[k]], max(1, thick // 2)
            cv2.circle(image, at[k], 16 * (thick + 1), (255, 255, 255), -1, cv2.LINE_AA, 4)
            cv2.circle(image, at[k], 16 * (thick + 1), colour, edge, cv2.LINE_AA, 4)
        for k in np.flatnonzero(shown):
            cv2.circle(image, at[k], 16 * (thick + 1), (255, 255, 255), -1, cv2.LINE_AA, 4)
            cv2.circle(image, at[k], 16 * thick, COLOURS[sides[k]], -1, cv2.LINE_AA, 4)
        if numbers and poses.person[row] >= 0 and np.isfinite(poses.box[row]).all():
            _label(image, str(poses.person[row]), poses.box[row], thick)
    return image


def _thicknesses(size: tuple[int, int], poses: Poses, widths: Steady | None) -> list[int]:
    """Of lines, pixels, a person: for the picture, but thinner for a person who is small in it."""
    people = np.hypot(*np.nan_to_num(poses.box[:, 2:] - poses.box[:, :2]).T)
    wanted = np.minimum(float(np.hypot(*size)) / 300, people / 100)
    if widths is None:
        return [max(1, round(each)) for each in wanted.tolist()]
    nameless = poses.person < 0
    if nameless.any():  # nobody knows who is who in the next frame: all of them have the same
        wanted[nameless] = np.median(wanted[nameless])
    return list(map(widths, poses.person.tolist(), wanted.tolist()))


def _dashes(image: np.ndarray, ends: np.ndarray, colour: tuple[int, ...], thick: int) -> None:
    """Half a line, in pieces; `ends`: (2, 2) sixteenths of a pixel."""
    step = 48 * (thick + 1)  # sixteenths of a pixel, a dash and a gap
    most = 2 * int(np.hypot(*image.shape[:2]) * 16 / step)  # an end may be far outside
    pieces = int(np.clip(np.hypot(*(ends[1] - ends[0])) / step, 1, most))
    along = (np.arange(pieces)[:, None] + (0.25, 0.75)) / pieces
    dashes = ends[0] + (ends[1] - ends[0]) * along[..., None]
    for a, b in np.round(dashes).astype(int).tolist():
        cv2.line(image, a, b, (255, 255, 255), thick + 2, cv2.LINE_AA, 4)
        cv2.line(image, a, b, colour, thick, cv2.LINE_AA, 4)


def _outside(image: np.ndarray, xy: np.ndarray, colour: tuple[int, ...], thick: int) -> None:
    """A triangle on the edge of the picture that points to what is beyond it."""
    far = np.array(image.shape[1::-1], np.float32)
    size = 3 * thick + 2
    tip = np.clip(xy, 1, far - 2)
    way = xy - np.clip(xy, 0, far)
    if not way.any():  # a faint place on the edge itself: away from the nearest side
        low, high = xy, far - xy
        nearest = int(np.argmin([*low, *high]))
        way = np.eye(2)[nearest % 2] * (-1 if nearest < 2 else 1)
    way = way / np.hypot(*way)
    base, across = tip - way * size, np.array([-way[1], way[0]]) * size * 0.6
    corners = np.round(np.stack([tip, base + across, base - across]) * 16).astype(np.int32)
    cv2.fillPoly(image, [corners], colour, cv2.LINE_AA, 4)
    cv2.polylines(image, [corners], True, (255, 255, 255), 1, cv2.LINE_AA, 4)


def _label(image: np.ndarray, text: str, box: np.ndarray, thick: int) -> None:
    """A person's number above the box, or inside it where there is no room above."""
    number = lettered(text, 10 + 6 * thick)
    tall, wide = number.shape[:2]
    x = np.clip(box[[0, 2]].mean() - wide / 2, 0, max(image.shape[1] - wide, 0))
    y = np.clip(box[1] - tall - 2 * thick, 0, max(image.shape[0] - tall, 0))
    blend(image, number, np.array([x, y]))
