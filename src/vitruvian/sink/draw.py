"""Draw: poses over the picture."""

from __future__ import annotations

import cv2
import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.frame import Frame

# The subject's left is blue, the right vermilion, the middle grey: told apart by everyone,
# Okabe and Ito's palette.
COLOURS = {"left": (0, 114, 178), "right": (213, 94, 0), "": (170, 170, 170)}
VISIBLE = 0.5  # score from which a keypoint is drawn
MASK_COLOUR, MASK_SHARE = np.array([0, 158, 115], np.float32), 0.45


def draw(frame: Frame, poses: Poses, visible: float = VISIBLE) -> np.ndarray:
    """(H, W, 3) uint8 RGB, a copy of the frame with everyone's bones, keypoints and numbers.

    Args:
        frame: the picture.
        poses: of this frame.
        visible: 0..1; a keypoint of a lower score is drawn neither as a point nor as the end of a
            bone, and so is one that was not found.
    """
    image = frame.rgb.copy()
    if poses.mask is not None and len(poses):
        share = poses.mask.max(axis=0)[..., None] * np.float32(MASK_SHARE)
        image = (image + (MASK_COLOUR - image) * share).astype(np.uint8)
    bones, sides = poses.skeleton.bones, poses.skeleton.sides
    for row in range(len(poses)):
        shown = (poses.score[row] >= visible) & np.isfinite(poses.xy[row]).all(axis=-1)
        thick = _thickness(frame.size, poses.box[row])
        # Sixteenths of a pixel: OpenCV draws between pixels if it is given whole numbers of them.
        # Its pixels have their centres at whole numbers, ours at halves.
        place = np.round((np.nan_to_num(poses.xy[row]) - 0.5) * 16)
        at = [tuple(map(int, point)) for point in np.clip(place, -(1 << 24), 1 << 24)]
        for a, b in bones:
            if shown[a] and shown[b]:
                side = sides[a] if sides[a] == sides[b] else ""
                cv2.line(image, at[a], at[b], (255, 255, 255), thick + 2, cv2.LINE_AA, 4)
                cv2.line(image, at[a], at[b], COLOURS[side], thick, cv2.LINE_AA, 4)
        for k in np.flatnonzero(shown):
            cv2.circle(image, at[k], 16 * (thick + 1), (255, 255, 255), -1, cv2.LINE_AA, 4)
            cv2.circle(image, at[k], 16 * thick, COLOURS[sides[k]], -1, cv2.LINE_AA, 4)
        if poses.person[row] >= 0 and np.isfinite(poses.box[row]).all():
            _label(image, str(poses.person[row]), poses.box[row], thick)
    return image


def _thickness(size: tuple[int, int], box: np.ndarray) -> int:
    """Of lines, pixels: for the picture, but thinner for a person who is small in it."""
    person = float(np.hypot(*np.nan_to_num(box[2:] - box[:2])))
    return max(1, round(min(float(np.hypot(*size)) / 300, person / 100)))


def _label(image: np.ndarray, text: str, box: np.ndarray, thick: int) -> None:
    """A person's number above the box, or inside it where there is no room above."""
    scale, font = 0.25 + 0.2 * thick, cv2.FONT_HERSHEY_SIMPLEX
    (width, height), _ = cv2.getTextSize(text, font, scale, thick)
    x = int(np.clip(box[[0, 2]].mean() - width / 2, 0, max(image.shape[1] - width, 0)))
    y = int(max(box[1] - height, height + thick))
    cv2.putText(image, text, (x, y), font, scale, (255, 255, 255), thick + 2, cv2.LINE_AA)
    cv2.putText(image, text, (x, y), font, scale, (0, 0, 0), thick, cv2.LINE_AA)
