"""Map labels from the labelled image to the image as it is now."""

from __future__ import annotations

import numpy as np

OFF = 1.0  # pixels: by so much sizes may differ that were rounded after resizing


def refit(
    labelled: tuple[int, int], picture: tuple[int, int], orientation: int = 1
) -> np.ndarray | None:
    """(2, 3) the map from pixels as they were labelled to those of the image now.

    Args:
        labelled: width and height of the image that was labelled, pixels.
        picture: the same of the picture as it is read now, turned as EXIF says.
        orientation: of EXIF, 1 to 8, by which what was labelled is to be turned.

    Returns:
        None if one is not the other made smaller or larger in proportion.
    """
    width, height = labelled
    turn = np.array(_TURNS.get(orientation, _TURNS[1]), float)
    turn[:, 2] *= [height if turn[0, 1] else width, width if turn[1, 0] else height]
    if turn[0, 1]:
        width, height = height, width
    scale = np.sqrt(picture[0] * picture[1] / (width * height))
    if abs(width * scale - picture[0]) > OFF or abs(height * scale - picture[1]) > OFF:
        return None
    return turn * np.array([[picture[0] / width], [picture[1] / height]])


def apply(by: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(..., 2) points by a (2, 3) map."""
    return xy @ by[:, :2].T + by[:, 2]


def apply_to_boxes(by: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(N, 4) boxes, x0 y0 x1 y1, by a (2, 3) map of quarter turns and scales."""
    ends = apply(by, box.reshape(len(box), 2, 2))
    return np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1)


# What EXIF's orientations do to stored pixels; the last column in widths and heights.
# Source: Exif 2.32, tag 0x0112.
_TURNS = {
    1: ((1, 0, 0), (0, 1, 0)),
    2: ((-1, 0, 1), (0, 1, 0)),
    3: ((-1, 0, 1), (0, -1, 1)),
    4: ((1, 0, 0), (0, -1, 1)),
    5: ((0, 1, 0), (1, 0, 0)),
    6: ((0, -1, 1), (1, 0, 0)),
    7: ((0, -1, 1), (-1, 0, 1)),
    8: ((0, 1, 0), (-1, 0, 1)),
}
