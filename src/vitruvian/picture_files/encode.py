"""Encode pixels as an image file in memory."""

from __future__ import annotations

import numpy as np


def encode_picture(
    rgb: np.ndarray, kind: str, longest: int | None = None, quality: int | None = None
) -> bytes:
    """(H, W, 3) uint8 RGB as the bytes of an image file.

    Args:
        rgb: the image.
        kind: ".png" or ".jpg".
        longest: pixels of the longer side; larger images are made smaller.
        quality: 0..100, of a JPEG.
    """
    import cv2

    larger = 1.0 if longest is None else max(rgb.shape[:2]) / longest
    if larger > 1:
        size = max(round(rgb.shape[1] / larger), 1), max(round(rgb.shape[0] / larger), 1)
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    how = [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(kind, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), how)
    return data.tobytes()
