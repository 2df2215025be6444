"""Yaw, pitch and roll of a head from keypoints in pixels, by a rigid head of known shape.

The frame is the camera's, along the line of sight to the head: 0, 0, 0 faces the camera, upright in
the image. Yaw is positive to the subject's left, pitch up, roll towards the subject's left
shoulder; the head is rolled first, then pitched, then turned. Projection is taken for a scaled
orthographic one, as a head is small beside its distance.

Source of the shape: canonical_face_model.obj of MediaPipe 0.10.21 (Apache-2.0), centimetres, x to
the subject's left, y up, z forward. Ears are by eye: they are behind the edge of that mesh.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from vitruvian.analysis.points import lengths
from vitruvian.body.facing import OBLIQUE
from vitruvian.body.skeletons import IN_MESH

if TYPE_CHECKING:
    from vitruvian.analysis.points import BodyPoints
    from vitruvian.analysis.posture import Body

# Landmark of the mesh -> where it is; the others are mirrored.
MESH_SHAPE = {
    4: (0, -0.463, 7.587),
    2: (0, -2.089, 6.058),
    168: (0, 3.271, 5.236),
    152: (0, -9.403, 4.264),
    33: (-4.446, 2.664, 3.173),
    133: (-1.856, 2.585, 3.758),
    263: (4.446, 2.664, 3.173),
    362: (1.856, 2.585, 3.758),
    61: (-2.456, -4.343, 4.284),
    291: (2.456, -4.343, 4.284),
    98: (-1.406, -1.714, 5.241),
    327: (1.406, -1.714, 5.241),
    234: (-7.664, 0.673, -2.436),
    454: (7.664, 0.673, -2.436),
}
_SHAPE = np.array(list(MESH_SHAPE.values()), float)
MESH_POINTS = tuple(f"face_{k}" for k in MESH_SHAPE)
# The same places among the 68 keypoints of a face; "" if it is none.
_NAMES = {mesh: name for name, mesh in IN_MESH.items()}
FACE_POINTS = tuple(_NAMES[name] for name in MESH_POINTS)
FACE_DEG = ("face_yaw", "face_pitch", "face_roll")  # rows of `face_deg`
POINTS_OF_HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
HEAD_SHAPE = np.array([(0, -0.5, 7.5), (3.15, 2.6, 3.5), (-3.15, 2.6, 3.5), (7.6, 0.7, -3.5),
                  (-7.6, 0.7, -3.5)], float)  # fmt: skip
UPRIGHT = 30.0  # degrees, standard deviation of pitch and roll that is assumed of a head
ERROR = 0.8  # centimetres, the same of five keypoints
LEAST = 3  # of five keypoints, the fewest
SMALLEST = 4.0  # pixels, between the outermost keypoints of the smallest head
BEHIND = 150.0  # degrees, what is said of a head seen from behind
ON_NOSE = 0.25  # of the longer side of a face, that its nose may be from the body's
WORST = 2.5  # centimetres, root mean square error above which five keypoints are no head


def has_face(points: BodyPoints) -> bool:
    """Whether a skeleton has a face mesh, or the 68 keypoints of a face."""
    return points.has(MESH_POINTS[0]) or points.has(FACE_POINTS[0])


def face_deg(points: BodyPoints) -> np.ndarray:
    """(3, N) degrees: yaw, pitch and roll, of points in pixels; NaN without a face.

    A mesh that is not where the body
    has its nose is none: of heads in profile it may lie on the cheek.
    """
    if not has_face(points):
        return np.full((len(FACE_DEG), len(points.at)), np.nan)
    at = points.stack(MESH_POINTS if points.has(MESH_POINTS[0]) else FACE_POINTS)
    size = np.ptp(at, axis=0).max(axis=-1)
    with np.errstate(invalid="ignore"):
        none = size < SMALLEST
        if points.has("nose"):
            none |= lengths(at[0] - points["nose"]) > ON_NOSE * size
    return np.where(none, np.nan, _angles_deg(_rotations(at)))


def _rotations(at: np.ndarray) -> np.ndarray:
    """(N, 2, 3) right and down in the image of the head's axes, from (P, N, 2) pixels."""
    shape = _SHAPE - _SHAPE.mean(axis=0)
    centred = at - at.mean(axis=0)
    fit = np.einsum("dp,pnc->ncd", np.linalg.pinv(shape), centred)  # affine, least squares
    found = np.full(fit.shape, np.nan)
    known = np.isfinite(fit).all(axis=(1, 2))
    if known.any():
        left, _, right = np.linalg.svd(fit[known], full_matrices=False)
        found[known] = left @ right  # the nearest orthonormal rows
    return found


def _angles_deg(rows: np.ndarray) -> np.ndarray:
    """(3, N) yaw, pitch, roll from (N, 2, 3) right and down components of left, up and forward."""
    (left_x, up_x, ahead_x), (left_y, up_y, ahead_y) = rows.transpose(1, 2, 0)
    toward = up_x * left_y - left_x * up_y  # the third row: towards the camera, of forward
    yaw = np.arctan2(ahead_x, toward)
    pitch = np.arcsin(np.clip(-ahead_y, -1, 1))
    roll = np.arctan2(left_y, -up_y)
    return np.degrees(np.stack([yaw, pitch, roll]))


def turned_from_camera_deg(body: Body) -> np.ndarray:
    """(N,) 0..180 degrees between where a head faces and the line to the camera; NaN unknown.

    By the face, or by nose, eyes and ears: then from behind, by trunk and scores, it is `BEHIND`.
    """
    points = body.in_pixels.points
    found = np.full(len(body), np.nan)
    if has_face(points):
        yaw, pitch, _ = np.radians(face_deg(points))
        found = np.degrees(np.arccos(np.cos(yaw) * np.cos(pitch)))
    rest = np.isnan(found)
    if rest.any():
        found[rest] = _by_five(points.stack(POINTS_OF_HEAD))[rest]
    behind = (body.facing <= -OBLIQUE) & rest
    return np.where(behind, BEHIND, found)


@cache
def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(G, 2, 5) places of the five keypoints of heads that are turned; (G,) degrees; (G,) costs."""
    yaw, pitch = (
        part.ravel()
        for part in np.meshgrid(
            np.radians(np.arange(-120, 121, 5)), np.radians(np.arange(-60, 61, 5))
        )
    )
    x, y, z = HEAD_SHAPE.T[:, None]
    # Pitched up about x, then turned to the left; y and z of the camera are down and away.
    up = y * np.cos(pitch[:, None]) + z * np.sin(pitch[:, None])
    ahead = z * np.cos(pitch[:, None]) - y * np.sin(pitch[:, None])
    right = x * np.cos(yaw[:, None]) + ahead * np.sin(yaw[:, None])
    turned = np.degrees(np.arccos(np.cos(yaw) * np.cos(pitch)))
    return np.stack([right, -up], axis=1), turned, (np.degrees(pitch) / UPRIGHT) ** 2


def _by_five(at: np.ndarray) -> np.ndarray:
    """(N,) degrees from (5, N, 2) pixels of nose, eyes and ears, some NaN."""
    shapes, turned, costs = _grid()
    known = np.isfinite(at).all(axis=-1)  # (5, N)
    found = np.full(at.shape[1], np.nan)
    for seen in np.unique(known, axis=1).T:
        if seen.sum() < LEAST or not seen[0]:
            continue
        rows = np.flatnonzero((known == seen[:, None]).all(axis=0))
        pixels = at[seen][:, rows].transpose(1, 0, 2)
        pixels = pixels - pixels.mean(axis=1, keepdims=True)
        model = shapes[:, :, seen] - shapes[:, :, seen].mean(axis=2, keepdims=True)
        q = pixels[..., 0] + 1j * pixels[..., 1]  # (M, P)
        p = model[:, 0] + 1j * model[:, 1]  # (G, P)
        scale = (q @ p.conj().T) / (np.abs(p) ** 2).sum(axis=1)  # with the roll, pixels / cm
        residual = (np.abs(q) ** 2).sum(axis=1)[:, None] - np.abs(scale) ** 2 * (
            np.abs(p) ** 2
        ).sum(axis=1)
        error = np.maximum(residual, 0) / np.maximum(np.abs(scale), 1e-9) ** 2
        cost = error / ERROR**2 + costs + (np.degrees(np.angle(scale)) / UPRIGHT) ** 2
        best = cost.argmin(axis=1)
        each = np.arange(len(rows))
        size = np.ptp(pixels, axis=1).max(axis=1)
        good = np.sqrt(error[each, best] / seen.sum()) < WORST
        found[rows] = np.where((size >= SMALLEST) & good, turned[best], np.nan)
    return found
