"""Pictures of samples and predictions: crops with keypoints, images with boxes."""

from __future__ import annotations

import cv2
import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.frame import Frame
from vitruvian.rendering.draw import draw

SIDE = 320  # pixels, longer side of a drawn image
GREEN = (0, 158, 115)


def draw_person(
    rgb: np.ndarray, xy: np.ndarray, score: np.ndarray, skeleton: Skeleton, visible: float = 0.2
) -> np.ndarray:
    """(H, W, 3) uint8 RGB with the keypoints of one person.

    Args:
        rgb: (H, W, 3) uint8.
        xy: (K, 2) pixels.
        score: (K,) 0..1.
        skeleton: of the keypoints.
        visible: minimum score of those that are drawn.
    """
    height, width = rgb.shape[:2]
    poses = Poses(
        skeleton,
        xy=np.where((score > 0)[:, None], xy, np.nan)[None].astype(np.float32),
        score=score[None].astype(np.float32),
        box=np.array([[0, 0, width, height]], np.float32),
        box_score=np.ones(1, np.float32),
        person=np.full(1, -1, np.int64),
    )
    return draw(Frame(np.ascontiguousarray(rgb)), poses, visible)


def with_boxes(
    image: np.ndarray, boxes: np.ndarray, colour: tuple[int, int, int] = GREEN
) -> np.ndarray:
    """The image, with (N, 4) boxes x0 y0 x1 y1 drawn into it."""
    for x0, y0, x1, y1 in boxes.round().astype(int).tolist():
        cv2.rectangle(image, (x0, y0), (x1, y1), colour, 1)
    return image


def small(image: np.ndarray) -> np.ndarray:
    """The image with a longer side of at most `SIDE`."""
    scale = SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
