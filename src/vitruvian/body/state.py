"""State of a keypoint: visible, occluded, out of frame or not found.

One definition for all families, derived from their scores:

- visible: the model is sure of it. YOLOv8, AlphaPose and MeTRAbs say how sure they are of a place,
  and are mostly sure of what annotators could place although it is hidden, so some of that is
  "visible" too; BlazePose says whether it is hidden.
- occluded: inside the image, with a place that is a guess.
- out of frame: its place is outside the image; BlazePose's presence says so; or there is a faint
  place on the very edge, where what lies outside is put by models that do not look beyond it.
- not found: without a place, or with a score too low to mean that there is one. BlazePose, whose
  presence says that it is there, has no such thing.

The thresholds were measured on 150 images of COCO val2017 (`benchmarks/states.py`). Below SEEN
are 1 % of the keypoints annotated as visible, 7 % of the hidden and 60 % of those not annotated,
with YOLOv8n; places with such a score are off by twice as much as those with one above VISIBLE
(with BlazePose by almost four times). VISIBLE is what is drawn as sure everywhere here: 3 % of the
visible are below it (BlazePose 7 %), 14 % (28 %) of the hidden, 75 % (48 %) of the others. Below
PRESENT are 0.6 % of the visible and 34 % of the others. AlphaPose and MeTRAbs have not been
measured.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from vitruvian.body.poses import Poses

SEEN = 0.3  # 0..1, score from which there is something, if the model gives no presence
VISIBLE = 0.5  # 0..1, score from which it is visible
PRESENT = 0.5  # 0..1, presence from which it is inside the image
EDGE = 0.01  # of the longer side of the image: how near its border a faint place is on the edge


class State(IntEnum):
    """State of a keypoint; a higher value is better known."""

    NOT_FOUND = 0
    OUT_OF_FRAME = 1
    OCCLUDED = 2
    VISIBLE = 3


def states(poses: Poses, size: tuple[int, int]) -> np.ndarray:
    """(N, K) uint8, values of `State`.

    Args:
        poses: of any family; those before smoothing, or after.
        size: width and height of the frame, pixels.
    """
    state = np.where(poses.score >= VISIBLE, State.VISIBLE, State.OCCLUDED)
    if poses.presence is None:
        state = np.where(poses.score < SEEN, State.NOT_FOUND, state)
    state = np.where(_out_of_frame(poses, size, on_edge(poses, size)), State.OUT_OF_FRAME, state)
    return np.where(np.isnan(poses.xy).any(axis=-1), State.NOT_FOUND, state).astype(np.uint8)


def _out_of_frame(poses: Poses, size: tuple[int, int], edge: np.ndarray) -> np.ndarray:
    """(N, K) bool, of keypoints that have a place; `edge` as of `on_edge`."""
    with np.errstate(invalid="ignore"):
        beyond = (poses.xy < 0) | (poses.xy > np.array(size, np.float32))
    outside = beyond[..., 0] | beyond[..., 1]
    if poses.presence is None:
        return outside | (edge & (poses.score < SEEN))
    return outside | (poses.presence < PRESENT)


def guessed(poses: Poses, size: tuple[int, int]) -> np.ndarray:
    """(N, K) bool: out of the frame, or on its edge and not visible; also some without a place."""
    edge = on_edge(poses, size)
    return _out_of_frame(poses, size, edge) | (edge & (poses.score < VISIBLE))


def on_edge(poses: Poses, size: tuple[int, int]) -> np.ndarray:
    """(N, K) bool, whether a place is on the very edge of the image, or outside."""
    margin = EDGE * max(size)
    with np.errstate(invalid="ignore"):
        far = np.array(size, np.float32) - margin
        near = (poses.xy < margin) | (poses.xy > far)
    return near[..., 0] | near[..., 1]
