"""Which way people face: towards the camera, away from it, or aside.

Decided from the body, not from the face alone: models place a nose on the back of a head, and
BlazePose is sure of it (score 0.99). Shoulders and hips are reliable: of a person from the front
the left ones are on the right of the image. Where the face says otherwise, it is not known.

Measured on `benchmarks/events.py`'s six people seen from behind (intel_one_by_one_person.mp4),
`facing` is below -0.8 in 99 % of the frames by all models; a man who jumps facing the camera
(sports2d_demo.mp4) has a median of 0.9 to 1.
"""

from __future__ import annotations

import numpy as np

from vitruvian.body.poses import Poses

ACROSS = 1.1  # distance of the shoulders plus that of the hips from the front, in trunk lengths
OBLIQUE = 0.3  # |facing| above which somebody is not seen from the side: less than 72 degrees
AGREE = 0.15  # trunk lengths: shoulders and hips that contradict each other by more are doubtful
HEAD = 0.3  # distance of the ears from the front, in trunk lengths
# Difference between head and body from which one of them is wrong, of who is seen from the side and
# of others, who may look aside. It is below 0.7 in 99 % of the frames of those videos.
NECK = (0.7, 1.2)
NO_NOSE = 0.3  # score of the nose below which a head with an ear is seen from behind
EAR = 0.5  # score from which an ear is there
EARS = 0.3  # difference of their scores from which one ear is on the near side
DEEP = 0.1  # metres that one shoulder is nearer than the other, from which its side is near
NOSE = 0.08  # trunk lengths, nose before the ears across the trunk, from which a head is in profile
SHOULDERS = 1.3  # shoulder widths that are as long as a trunk


def trunk_axes(poses: Poses) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The trunk of N people in the image.

    Returns:
        (N, 2) unit vector from hips to shoulders; (N, 2) unit vector 90 degrees clockwise of it,
        the image's right of upright people; (N,) pixels, its length or 1.3 shoulder widths if that
        is longer. NaN where shoulders or hips are not found.
    """
    shoulders, hips = _pair(poses, "shoulder"), _pair(poses, "hip")
    trunk = (shoulders[:, 0] + shoulders[:, 1]) / 2 - (hips[:, 0] + hips[:, 1]) / 2
    across = shoulders[:, 0] - shoulders[:, 1]
    length = np.sqrt(np.add.reduce(trunk * trunk, axis=-1))
    width = np.sqrt(np.add.reduce(across * across, axis=-1))
    up = trunk / np.maximum(length, 1e-9)[:, None]
    return up, np.stack([-up[:, 1], up[:, 0]], axis=-1), np.maximum(length, SHOULDERS * width)


def facing(
    poses: Poses, axes: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """(N,) 1 for who faces the camera, -1 for who faces away, about 0 from the side; NaN unknown.

    Unknown also if shoulders and hips, or they and the face, contradict each other. `axes` are
    those of `trunk_axes`, if they are known.
    """
    _, right, scale = trunk_axes(poses) if axes is None else axes
    scale = np.maximum(scale, 1e-9)
    pairs = np.stack([_pair(poses, name) for name in ("shoulder", "hip", "ear")])
    shoulders, hips, ears = (
        np.add.reduce((pairs[:, :, 0] - pairs[:, :, 1]) * right, axis=-1) / scale
    )
    toward = np.clip((shoulders + hips) / ACROSS, -1, 1)
    with np.errstate(invalid="ignore"):
        doubt = (shoulders * hips < 0) & (np.minimum(abs(shoulders), abs(hips)) > AGREE)
        neck = np.where(abs(toward) < OBLIQUE, *NECK)
        doubt |= np.abs(np.clip(ears / HEAD, -1, 1) - toward) > neck
        doubt |= (toward >= OBLIQUE) & _from_behind(poses)
    return np.where(doubt, np.nan, toward)


def near_side(poses: Poses) -> np.ndarray:
    """(N,) 0 if the left side is nearer to the camera, 1 if the right is; NaN unknown.

    By metres, else by which ear is seen, else by where the nose points; of use from the side.
    """
    near = np.full(len(poses), np.nan)
    if poses.xyz is not None:
        sides = _pair(poses, "shoulder", poses.xyz) + _pair(poses, "hip", poses.xyz)
        deeper = sides[:, 0, 2] - sides[:, 1, 2]
        near = np.where(deeper < -DEEP, 0.0, np.where(deeper > DEEP, 1.0, np.nan))
    if not {"nose", "left_ear", "right_ear"} <= set(poses.skeleton.keypoints):
        return near
    left, right = (poses.score[:, poses.skeleton[f"{side}_ear"]] for side in ("left", "right"))
    by_ear = np.where(left - right > EARS, 0.0, np.where(right - left > EARS, 1.0, np.nan))
    _, across, scale = trunk_axes(poses)
    nose = poses.xy[:, poses.skeleton["nose"]] - _pair(poses, "ear").mean(axis=1)
    along = (nose * across).sum(axis=-1) / np.maximum(scale, 1e-9)
    by_nose = np.where(along > NOSE, 1.0, np.where(along < -NOSE, 0.0, np.nan))
    near = np.where(np.isnan(near), by_ear, near)
    return np.where(np.isnan(near), by_nose, near)


def _from_behind(poses: Poses) -> np.ndarray:
    """(N,) bool, whether scores say so of the head, as those of YOLOv8 do."""
    names = ("nose", "left_ear", "right_ear")
    if poses.presence is not None or not set(names) <= set(poses.skeleton.keypoints):
        return np.zeros(len(poses), bool)
    nose, *ears = (poses.score[:, poses.skeleton[name]] for name in names)
    return (nose < NO_NOSE) & (np.maximum(*ears) >= EAR)


def _pair(poses: Poses, name: str, at: np.ndarray | None = None) -> np.ndarray:
    """(N, 2, D) of the left and of the right, pixels or `at`; NaN if the skeleton has none."""
    at = poses.xy if at is None else at
    own = poses.skeleton.places
    sides = [own.get(f"{side}_{name}") for side in ("left", "right")]
    if None in sides:
        return np.full((len(poses), 2, at.shape[-1]), np.nan)
    if all(len(side or ()) == 1 for side in sides):
        return at[:, [k for side in sides for k in side or ()]].astype(float)
    return np.stack([at[:, list(side or ())].mean(axis=1) for side in sides], axis=1, dtype=float)
