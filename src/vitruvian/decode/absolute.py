"""Absolute 3D pose from 2D joints and a relative 3D pose: metres from the camera.

A network gives K joints in pixels (2D) and, relative to an unknown origin, in metres (3D). The
translation t puts each joint X + t on the viewing ray n of its 2D position:
(X + t)_xy = n (X + t)_z. Two equations per joint, three unknowns, solved by least squares. No root
joint needs to be visible, and half of the body may be outside the image.

Rays are (N, K, 2), X / Z and Y / Z of the camera's axes, as `Camera.rays` gives them.

Source: Sarandi et al. 2021, "MeTRAbs" (arXiv 2007.07227), with the constants of its released code
(specs/metrabs.md, 2). Deviations: each person is scaled separately, so that depth does not
depend on the other people; joints that are NaN are ignored and stay NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitruvian.geometry.camera import Camera

LEAST = 1e-4  # weight of a joint out of view: allows a solution if none is in view
RIDGE = 0.01  # regularisation of the scaled shift: 0.1 squared
BORDER = 0.75  # strides at the edge where 2D heat maps are unreliable
MIX = 0.5  # weight of the 3D position of a joint in view, against its ray
# For duplicate bodies: distance in metres of similarity 0, and threshold of mean similarity.
# Source: specs/metrabs.md, 5.9: the reference uses the farthest quarter of joints.
SAME_REACH, SAME = 0.3, 0.4
# Limb lengths of a person of 1.7 metres. Source: Drillis and Contini 1966, "Body segment
# parameters", as fractions of the height.
LENGTHS = {
    ("shoulder", "elbow"): 0.186 * 1.7,
    ("elbow", "wrist"): 0.146 * 1.7,
    ("hip", "knee"): 0.245 * 1.7,
    ("knee", "ankle"): 0.246 * 1.7,
}


@dataclass(frozen=True, eq=False)
class Placed:
    """People placed in front of a camera."""

    xyz: (
        np.ndarray
    )  # (N, K, 3) float32 metres from the camera; NaN for people that cannot be placed
    error: np.ndarray  # (N,) float32 pixels, mean reprojection error


def view_limits(
    side: int, stride: int = 32, *, centred: bool = True, border: float = BORDER
) -> tuple[float, float]:
    """Range of reliable 2D joints along both axes, pixels of the network's input.

    Args:
        side: of the input, pixels.
        stride: of its heat maps, pixels.
        centred: whether the network uses centred striding. Otherwise its view extends to the left
            as if the image began half a stride earlier.
        border: strides at the edge.
    """
    shift = 0.5 if centred else 0.5 - stride / 2  # the reference has pixel centres at whole numbers
    return border * stride + shift, side - border * stride + shift


def within_view(xy: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """(..., 2) pixels of the input -> (...) bool, see `view_limits`; False for NaN."""
    return np.all((xy >= limits[0]) & (xy <= limits[1]), axis=-1)


def shift(
    rays: np.ndarray, xyz: np.ndarray, weight: np.ndarray, *, batch_rms: bool = False
) -> np.ndarray:
    """The translation that puts the joints of `xyz` on their rays.

    Args:
        rays: (N, K, 2).
        xyz: (N, K, 3) metres, or any unit.
        weight: (N, K) 0..1, weight of the ray of each joint.
        batch_rms: whether all people share one scale, as in the reference: depth then depends on
            the other people, by up to a centimetre.

    Returns:
        (N, 3) float64, in the unit of `xyz`; NaN for a person without any joint.
    """
    n, b, known = _equations(rays, xyz)

    def rms(values: np.ndarray) -> np.ndarray:
        """(N, 1, 1) root mean square of known x and y."""
        square, count = (values**2).sum(axis=(1, 2)), 2 * known.sum(axis=1)
        if batch_rms:
            square, count = np.full_like(square, square.sum()), np.full_like(count, count.sum())
        return np.maximum(np.sqrt(square / np.maximum(count, 1)), 1e-9).reshape(-1, 1, 1)

    ray_rms, shift_rms = rms(n), rms(b)
    n, b = n / ray_rms, b / shift_rms
    # The normal equations of rows [1 0 -n_x] and [0 1 -n_y], each times its joint's weight.
    square = ((weight + LEAST) * known) ** 2
    sums = np.einsum("nk,nki->ni", square, n)
    left = np.zeros((len(n), 3, 3))
    left[:, 0, 0] = left[:, 1, 1] = square.sum(axis=1)
    left[:, :2, 2] = left[:, 2, :2] = -sums
    left[:, 2, 2] = np.einsum("nk,nki->n", square, n**2)
    right = np.zeros((len(n), 3))
    right[:, :2] = np.einsum("nk,nki->ni", square, b)
    right[:, 2] = -np.einsum("nk,nki->n", square, n * b)
    scaled = np.linalg.solve(left + RIDGE * np.eye(3), right[..., None])[..., 0]
    scaled *= shift_rms[:, 0]
    scaled[:, 2:] /= ray_rms[:, 0]
    return np.where(known.any(axis=1, keepdims=True), scaled, np.nan)


def weak_shift(rays: np.ndarray, xyz: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """As `shift`, by weak perspective, from sizes alone. Used in the first steps of training.

    Depth is the ratio of the joints' spread in metres to that of their rays; joints out of view
    are ignored.

    Args:
        rays: (N, K, 2).
        xyz: (N, K, 3) metres.
        inside: (N, K) bool.

    Returns:
        (N, 3) float64 metres; NaN for a person with fewer than two joints in view.
    """
    known = inside & np.all(np.isfinite(rays), axis=-1) & np.all(np.isfinite(xyz), axis=-1)
    weight = known[..., None].astype(np.float64)
    count = np.maximum(weight.sum(axis=1), 1)
    n, x = (np.where(known[..., None], part, 0).astype(np.float64) for part in (rays, xyz))
    ray_mean, xyz_mean = n.sum(axis=1) / count, x.sum(axis=1) / count

    def spread(values: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """(N, 1) standard deviation of x and y together."""
        off = ((values - mean[:, None]) * weight) ** 2
        return np.maximum(np.sqrt(off.sum(axis=(1, 2))[:, None] / (2 * count) + 1e-10), 1e-5)

    depth = spread(x[..., :2], xyz_mean[:, :2]) / spread(n, ray_mean)
    ahead = np.concatenate([ray_mean, np.ones_like(depth)], axis=1) * depth
    return np.where(known.sum(axis=1)[:, None] > 1, ahead - xyz_mean, np.nan)


def absolute_pose(
    rays: np.ndarray,
    xyz: np.ndarray,
    inside: np.ndarray,
    *,
    mix: float = MIX,
    weak: bool = False,
    batch_rms: bool = False,
) -> np.ndarray:
    """Absolute position of the joints, relative to the camera.

    Joints out of view are the translated 3D joints. Joints in view are a weighted mean of these
    and of the point on their ray at the same depth.

    Args:
        rays: (N, K, 2).
        xyz: (N, K, 3) metres, any origin.
        inside: (N, K) bool, whether the ray of a joint is reliable, see `within_view`.
        mix: 0..1, weight of 3D for joints in view.
        weak: whether to compute the shift with `weak_shift`.
        batch_rms: see `shift`.

    Returns:
        (N, K, 3) float32 metres.
    """
    if weak:
        by = weak_shift(rays, xyz, inside)
    else:
        by = shift(rays, xyz, inside.astype(np.float64), batch_rms=batch_rms)
    placed = xyz + by[:, None]
    on_ray = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1) * placed[..., 2:]
    mixed = mix * placed + (1 - mix) * on_ray
    return np.where(inside[..., None], mixed, placed).astype(np.float32)


def place_body(
    camera: Camera,
    xy: np.ndarray,
    xyz: np.ndarray,
    weight: np.ndarray,
    *,
    along_ray: bool = True,
    mix: float = 1.0,
) -> Placed:
    """Absolute poses for any model with 3D in metres.

    The solver works best for a person on the camera's axis, so the camera is first turned to each,
    by the shortest rotation, since a network's upright direction is the image's, not the world's.

    Args:
        camera: of the frame.
        xy: (N, K, 2) pixels of the frame.
        xyz: (N, K, 3) metres, any origin in the body, such as the hips; axes as the camera's.
        weight: (N, K) 0..1, confidence of `xy`, such as BlazePose's visibility.
        along_ray: whether z of `xyz` is along the line of sight to the person, as for a network
            that sees a crop and not its position in the frame: in three of the four cameras of
            Pose2Sim's demo BlazePose's reprojection error is lower that way, in the fourth equal.
            Otherwise z is along the camera's axis.
        mix: 0..1, weight of 3D for joints by their weight; 1 only translates bodies.

    Returns:
        xyz: as `absolute_pose`; NaN for people who would be behind the camera, on average.
        error: weighted reprojection error. Large if 2D, 3D and camera do not agree.
    """
    known = np.all(np.isfinite(xy), axis=-1) & np.all(np.isfinite(xyz), axis=-1)
    rays = camera.rays(xy.astype(np.float64))
    known &= np.all(np.isfinite(rays), axis=-1)
    weight = np.where(known, np.clip(np.nan_to_num(weight, nan=0.0), 0, 1), 0)
    believed = (weight + LEAST * known)[..., None]
    total = np.maximum(believed.sum(axis=1), LEAST)
    middle = (np.where(known[..., None], rays, 0) * believed).sum(axis=1) / total
    rotation = _toward(middle)
    whole = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1)
    turned = np.einsum("nij,nkj->nki", rotation, whole)
    # Points 90 degrees or more from the body's direction are outside the turned image.
    turned = turned[..., :2] / np.where(turned[..., 2:] > 1e-3, turned[..., 2:], np.nan)
    body = xyz.astype(np.float64)
    if not along_ray:
        body = np.einsum("nij,nkj->nki", rotation, body)
    body = body + shift(turned, body, weight)[:, None]
    moved = np.einsum("nji,nkj->nki", rotation, body)
    depth = (np.where(known, moved[..., 2], 0) * believed[..., 0]).sum(axis=1)
    moved = np.where((depth > 0)[:, None, None], moved, np.nan)
    error = reprojection(camera, moved, xy, weight)
    if mix < 1:
        share = (1 - mix) * weight[..., None]
        moved = (1 - share) * moved + share * np.where(known[..., None], whole, 0) * moved[..., 2:]
    return Placed(moved.astype(np.float32), error)


def reprojection(camera: Camera, xyz: np.ndarray, xy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean reprojection error of people, in pixels.

    Args:
        camera: of the frame.
        xyz: (N, K, 3) metres from the camera.
        xy: (N, K, 2) pixels of the frame, where the joints are seen.
        weight: (N, K) 0..1, confidence of `xy`.

    Returns:
        (N,) float32 pixels, the weighted mean over the joints; NaN for people without a position.
    """
    off = np.linalg.norm(camera.project(xyz.astype(np.float64)) - xy, axis=-1)
    known = np.isfinite(off)
    counted = np.where(known, np.clip(np.nan_to_num(weight, nan=0.0), 0, 1) + LEAST, 0)
    sums = (np.where(known, off, 0) * counted).sum(axis=1), counted.sum(axis=1)
    mean = np.divide(*sums, out=np.full(len(xy), np.nan), where=sums[1] > 0)
    return mean.astype(np.float32)


# Plausibility: the reference's three tests (specs/metrabs.md, 5.9).


def limbs(keypoints: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Limbs of a skeleton with a known typical length, found by the names of their ends.

    Args:
        keypoints: K names.

    Returns:
        bones: (B, 2) keypoint indices; B may be 0.
        length: (B,) metres, see `LENGTHS`.
    """
    number = {name: k for k, name in enumerate(keypoints)}
    found = [
        (number[f"{side}_{above}"], number[f"{side}_{below}"], length)
        for side in ("left", "right")
        for (above, below), length in LENGTHS.items()
        if {f"{side}_{above}", f"{side}_{below}"} <= number.keys()
    ]
    rows = np.reshape(found, (-1, 3))
    return rows[:, :2].astype(np.int64), rows[:, 2]


def bones_fit(
    xyz: np.ndarray, bones: np.ndarray | tuple[tuple[int, int], ...], length: np.ndarray
) -> np.ndarray:
    """Whether all bone lengths are plausible.

    A bone fails if below a tenth or above three times its typical length, and more than 0.3 m off.

    Args:
        xyz: (N, K, 3) metres.
        bones: (B, 2) keypoint indices, as `Skeleton.bones`.
        length: (B,) metres, typical lengths.

    Returns:
        (N,) bool. Bones with a NaN end are ignored.
    """
    ends = np.asarray(bones, np.int64).reshape(-1, 2)
    found = np.linalg.norm(xyz[:, ends[:, 0]] - xyz[:, ends[:, 1]], axis=-1)
    wrong = ((found < 0.1 * length) | (found > 3 * length)) & (np.abs(found - length) > 0.3)
    return ~wrong.any(axis=1)


def views_agree(xyz: np.ndarray) -> np.ndarray:
    """Whether several views (test-time augmentation) of the same people agree.

    Views are scaled to the same size as seen from the camera (root mean square of all coordinates),
    since they differ most in distance. More than a quarter of the joints must then deviate by less
    than 0.2 m; a single view always agrees.

    Args:
        xyz: (A, N, K, 3) metres from the camera, of A views; without NaN.

    Returns:
        (N,) bool.
    """
    size = np.sqrt((xyz**2).mean(axis=(2, 3), keepdims=True))
    common = np.sqrt((size**2).mean(axis=0, keepdims=True))
    alike = xyz * (common / np.maximum(size, 1e-9))
    stray = np.sqrt(((alike - alike.mean(axis=0)) ** 2).sum(axis=-1).mean(axis=0))
    return (stray < 0.2).sum(axis=1) > xyz.shape[2] // 4


def in_box(xy: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Whether the bounding box of the joints covers more than half of the detected box.

    Args:
        xy: (N, K, 2) pixels.
        box: (N, 4) x0 y0 x1 y1, pixels.

    Returns:
        (N,) bool; False for a person without any joint.
    """
    seen = np.isfinite(xy)
    low = np.min(xy, axis=1, initial=np.inf, where=seen)
    high = np.max(xy, axis=1, initial=-np.inf, where=seen)
    low, high = np.maximum(low, box[:, :2]), np.minimum(high, box[:, 2:])
    common = np.maximum(high - low, 0).prod(axis=1)
    return common > 0.5 * (box[:, 2:] - box[:, :2]).prod(axis=1)


def unique(xyz: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Non-maximum suppression by 3D pose, for detectors with several boxes per person.

    Both bodies of a pair are scaled to the same size as seen from the camera, as in `views_agree`,
    since the same person in two boxes differs most in distance. Their similarity is the mean of
    max(0, 1 - d / 0.3 m) over the quarter of the joints with the largest distance; above 0.4 the
    one with the lower score is removed. A joint that is NaN in one of them counts as infinitely
    far.

    Args:
        xyz: (N, K, 3) metres from the camera.
        score: (N,) the higher one is kept.

    Returns:
        (M,) int64, indices of those kept, in their order.
    """
    found = np.isfinite(xyz)
    squares = np.where(found, np.square(xyz, dtype=np.float64), 0).sum(axis=(1, 2))
    size = np.sqrt(squares / np.maximum(found.sum(axis=(1, 2)), 1)) + 1e-9
    order, kept = np.argsort(-np.nan_to_num(score), kind="stable"), list[int]()
    for one in order:
        others = np.array(kept, np.int64)
        common = np.sqrt((size[one] ** 2 + size[others] ** 2) / 2)
        mine = xyz[one] * (common / size[one])[:, None, None]
        theirs = xyz[others] * (common / size[others])[:, None, None]
        apart = np.linalg.norm(mine - theirs, axis=-1)
        apart = np.sort(np.where(np.isfinite(apart), apart, np.inf), axis=1)
        worst = apart[:, -max(xyz.shape[1] // 4, 1) :]
        likeness = np.maximum(1 - worst / SAME_REACH, 0).mean(axis=1)
        if not (likeness > SAME).any():
            kept.append(int(one))
    return np.sort(np.array(kept, np.int64))


def _toward(rays: np.ndarray) -> np.ndarray:
    """(N, 3, 3) shortest rotations that turn (N, 2) rays onto the z axis."""
    z = np.concatenate([rays, np.ones_like(rays[:, :1])], axis=-1).astype(np.float64)
    x, y, z = (z / np.linalg.norm(z, axis=-1, keepdims=True)).T
    rows = [
        (1 - x * x / (1 + z), -x * y / (1 + z), -x),
        (-x * y / (1 + z), 1 - y * y / (1 + z), -y),
    ]
    rows.append((x, y, z))
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _equations(rays: np.ndarray, xyz: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rays and right-hand sides, both (N, K, 2) float64 and 0 where unknown, and (N, K) known."""
    known = np.all(np.isfinite(rays), axis=-1) & np.all(np.isfinite(xyz), axis=-1)
    n, x = (np.where(known[..., None], part, 0).astype(np.float64) for part in (rays, xyz))
    return n, n * x[..., 2:] - x[..., :2], known
