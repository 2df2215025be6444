"""Named points on an image: how a keypoint moves from stage to stage."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

LEAST = 720  # pixels of the longer side: smaller images are enlarged
# Okabe and Ito's palette, without black and white.
COLOURS = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)),
    *((0, 114, 178), (213, 94, 0), (204, 121, 167)),
)


def marked(
    rgb: np.ndarray, places: Mapping[str, np.ndarray], outline: np.ndarray | None = None
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the image with a ring for each point, and the names on the left.

    Args:
        rgb: (h, w, 3) uint8.
        places: name -> (2,) pixels; NaN is skipped. Later rings are smaller, so that points at
            the same place all show.
        outline: (P, 2) pixels, corners of a polygon to draw.
    """
    by = max(1, -(-LEAST // max(rgb.shape[:2])))
    shown = np.repeat(np.repeat(rgb, by, axis=0), by, axis=1).copy()
    thick = max(1, round(max(shown.shape[:2]) / 700))
    if outline is not None and np.isfinite(outline).all():
        corners = np.round(outline * by).astype(np.int32)
        cv2.polylines(shown, [corners], True, (255, 255, 255), thick, cv2.LINE_AA)
    named = [(name, xy) for name, xy in places.items() if np.isfinite(xy).all()]
    high = 22 * thick
    for i, (name, xy) in enumerate(named):
        colour = COLOURS[i % len(COLOURS)]
        x, y = np.clip(np.round(np.asarray(xy) * by), -30000, 30000).astype(int).tolist()
        cv2.circle(shown, (x, y), (4 + 3 * (len(named) - 1 - i)) * thick, colour, thick + 1)
        at = (8 * thick, (i + 1) * high)
        for ink, wide in (((0, 0, 0), 3 * thick), (colour, thick)):
            cv2.putText(
                shown, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * thick, ink, wide, cv2.LINE_AA
            )
    return shown
