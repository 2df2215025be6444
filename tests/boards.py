"""Calibration boards as a camera sees them, rendered with OpenCV's own drawings."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from vitruvian.geometry.camera import Camera, rotation_matrix
from vitruvian.multiview.boards import Board

SCALE = 60  # pixels of the drawing for a square
MARGIN = 1.0  # squares of white around it
FINE = 2  # rays through a pixel, across and down


def drawing(board: Board) -> np.ndarray:
    """(H, W) of the whole board with a margin."""
    across, down = board.columns, board.rows
    if board.marker:
        inner = board.charuco().generateImage((across * SCALE, down * SCALE))
    else:
        across, down = across + 1, down + 1
        y, x = np.mgrid[: down * SCALE, : across * SCALE] // SCALE
        inner = np.where((x + y) % 2 == 0, 0, 255).astype(np.uint8)
    return cv2.copyMakeBorder(inner, SCALE, SCALE, SCALE, SCALE, cv2.BORDER_CONSTANT, value=255)


def fine_rays(camera: Camera) -> np.ndarray:
    """(2 H, 2 W, 3) the rays of `rendered`."""
    width, height = camera.size
    x, y = (np.arange(width * FINE) + 0.5) / FINE, (np.arange(height * FINE) + 0.5) / FINE
    rays = camera.rays(np.stack(np.meshgrid(x, y), axis=-1))
    return np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1).astype(np.float32)


def rendered(rays: np.ndarray, board: Board, turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """(H, W, 3) what a camera sees of a board: x = turn @ corner + shift, metres.

    Each pixel is the mean of 2 x 2 `fine_rays` through it.
    """
    depth = (turn[:, 2] @ shift) / (rays @ turn[:, 2].astype(np.float32))
    at = (rays * depth[..., None] - shift) @ turn[:, :2]  # metres on the board
    first = 0 if board.marker else -board.square  # where the drawing's first square begins
    pixels = ((at - first) / board.square + MARGIN) * SCALE - 0.5
    pixels[depth <= 0] = -1e4
    how: Any = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": 120}
    remap: Any = cv2.remap  # typed without the None that it takes
    seen = remap(drawing(board), pixels.astype(np.float32), None, cv2.INTER_LINEAR, **how)
    height, width = rays.shape[0] // FINE, rays.shape[1] // FINE
    grey = cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA)
    return np.repeat(grey[..., None], 3, axis=2)


def placed(
    rng: np.random.Generator, board: Board, distance: float, tilt: float = 0.6
) -> tuple[np.ndarray, np.ndarray]:
    """A random pose of a board in front of a camera."""
    turn = rotation_matrix(np.array([*rng.uniform(-tilt, tilt, 2), rng.uniform(-0.3, 0.3)]))
    far = distance * rng.uniform(0.8, 1.5)
    middle = np.array([*rng.uniform(-0.35, 0.35, 2) * far * (1, 0.6), far])
    return turn, middle - turn @ board.corners.mean(axis=0)
