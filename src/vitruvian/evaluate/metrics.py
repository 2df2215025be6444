"""3D error metrics, in metres, (N, K) per person and joint.

| function | alignment | usual name |
|---|---|---|
| `mpjpe_absolute` | none: absolute position matters | absolute MPJPE, MPJPE without alignment |
| `depth_error` | none: distance from the camera only; signed | depth error |
| `mpjpe` | root position | MPJPE, "protocol 1" |
| `n_mpjpe` | root position and scale | N-MPJPE |
| `pa_mpjpe` | position, scale and rotation (Procrustes) | PA-MPJPE, P-MPJPE, "protocol 2" |

Each is (N, K); `nan_mean`, `per_joint` and `per_person` average them, and `pck` and `auc` turn
distances into hit rates. Joints without ground truth (NaN) are ignored. Joints that were not found
are NaN in distances, so that means are over found joints only, and a miss in `pck` and `auc`; so
report both, otherwise a method that rarely predicts scores best.
"""

from __future__ import annotations

import numpy as np

from vitruvian.body.skeleton import Skeleton

Root = str | tuple[str, ...]  # a keypoint, or several whose mean it is: ("left_hip", "right_hip")
PCK_WITHIN = 0.15  # metres. Source: Mehta et al. 2017, "Monocular 3D Human Pose Estimation In The
# Wild Using Improved CNN Supervision" (MPI-INF-3DHP): half the size of a head
AUC_STEPS = 31  # thresholds from 0 to `PCK_WITHIN`, 5 mm apart. Source: the same data set's script


def mpjpe_absolute(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute MPJPE: distance of joints from the ground truth, without alignment.

    Args:
        found: (N, K, 3) metres from the camera, or in the world.
        truth: (N, K, 3) metres from the same.

    Returns:
        (N, K) metres.
    """
    return np.linalg.norm(found - truth, axis=-1)


def depth_error(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Signed depth error: positive if a joint is too far from the camera.

    Args:
        found: (N, K, 3) metres from the camera.
        truth: (N, K, 3) metres from the camera.

    Returns:
        (N, K) metres along the camera's axis.
    """
    return found[..., 2] - truth[..., 2]


def mpjpe(found: np.ndarray, truth: np.ndarray, skeleton: Skeleton, root: Root) -> np.ndarray:
    """MPJPE: distance of joints from the ground truth after aligning the roots.

    Args:
        found: (N, K, 3) metres.
        truth: (N, K, 3) metres.
        skeleton: of both.
        root: root keypoint, or several whose mean it is; no default, as conventions differ.

    Returns:
        (N, K) metres; NaN for people without a root in both.

    Source: Ionescu et al. 2014, "Human3.6M".
    """
    return mpjpe_absolute(_from_root(found, skeleton, root), _from_root(truth, skeleton, root))


def n_mpjpe(found: np.ndarray, truth: np.ndarray, skeleton: Skeleton, root: Root) -> np.ndarray:
    """N-MPJPE: as `mpjpe`, after scaling the prediction.

    The scale is the least-squares fit over the joints that both have.

    Args:
        found: (N, K, 3) metres.
        truth: (N, K, 3) metres.
        skeleton: of both.
        root: see `mpjpe`.

    Returns:
        (N, K) metres; NaN as in `mpjpe`, and where all joints found are in one place.

    Source: Rhodin et al. 2018, "Unsupervised Geometry-Aware Representation for 3D Human Pose
        Estimation".
    """
    found, truth = _from_root(found, skeleton, root), _from_root(truth, skeleton, root)
    over = (found * found + 0 * truth, found * truth)
    below, above = (np.nansum(part, axis=(1, 2), keepdims=True) for part in over)
    return mpjpe_absolute(found * (above / np.where(below > 0, below, np.nan)), truth)


def pa_mpjpe(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """PA-MPJPE: error after Procrustes alignment (translation, rotation, scale; no mirroring).

    Args:
        found: (N, K, 3) metres.
        truth: (N, K, 3) metres.

    Returns:
        (N, K) metres; NaN for people with fewer than three joints in both.

    Source: Gower 1975, "Generalized Procrustes analysis"; the rotation after Umeyama 1991.
    """
    both = np.all(np.isfinite(found), axis=-1) & np.all(np.isfinite(truth), axis=-1)
    weight = both[..., None] / np.maximum(both.sum(axis=1), 1)[:, None, None]

    def centred(pose: np.ndarray) -> np.ndarray:
        """(N, K, 3) from the mean of the joints that both have; 0 for others."""
        pose = np.where(both[..., None], pose, 0).astype(np.float64)
        return np.where(both[..., None], pose - (pose * weight).sum(axis=1, keepdims=True), 0)

    a, b = centred(found), centred(truth)
    u, sizes, vt = np.linalg.svd(np.einsum("nki,nkj->nij", a, b))
    sign = np.ones((len(a), 3))
    sign[:, 2] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1, 1)  # else a mirror
    turned = np.einsum("nki,nij,nj,njl->nkl", a, u, sign, vt)
    size = (a**2).sum(axis=(1, 2))
    enough = (both.sum(axis=1) >= 3) & (size > 0)
    scale = (sizes * sign).sum(axis=1) / np.where(enough, size, np.nan)
    return np.where(both, mpjpe_absolute(turned * scale[:, None, None], b), np.nan)


def pck(distance: np.ndarray, truth: np.ndarray, within: float = PCK_WITHIN) -> np.ndarray:
    """Whether each joint is within a distance; the mean is PCK3D.

    Args:
        distance: (N, K) metres; of `mpjpe` as in MPI-INF-3DHP, or any other.
        truth: (N, K, 3), whose NaN are ignored.
        within: metres.

    Returns:
        (N, K) 1 for a hit, 0 for a miss or where nothing was found, NaN where there is no truth.
    """
    hit = np.where(np.isnan(distance), np.inf, distance) <= within
    return np.where(np.all(np.isfinite(truth), axis=-1), hit, np.nan)


def auc(
    distance: np.ndarray, truth: np.ndarray, within: float = PCK_WITHIN, steps: int = AUC_STEPS
) -> np.ndarray:
    """`pck` averaged over thresholds; the mean is the area under the PCK curve (AUC).

    Args:
        distance: (N, K) metres.
        truth: (N, K, 3), whose NaN are ignored.
        within: metres, the last threshold.
        steps: number of thresholds, including 0 and the last.

    Returns:
        (N, K) 0..1; NaN where there is no truth.
    """
    limits = np.linspace(0, within, steps)
    return np.mean([pck(distance, truth, limit) for limit in limits], axis=0)


def nan_mean(values: np.ndarray) -> float:
    """Mean of all values that are not NaN; NaN if there are none."""
    return float(_mean(values.reshape(1, values.size))[0])


def per_joint(values: np.ndarray) -> np.ndarray:
    """(N, K) -> (K,) the mean over people who have the joint; NaN where nobody has."""
    return _mean(values.T)


def per_person(values: np.ndarray) -> np.ndarray:
    """(N, K) -> (N,) the mean over the joints a person has; NaN where there is none."""
    return _mean(values)


def _mean(values: np.ndarray) -> np.ndarray:
    """(A, B) -> (A,) over B, of what is not NaN."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    sums = np.where(known, values, 0).sum(axis=1, dtype=np.float64)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)


def _from_root(xyz: np.ndarray, skeleton: Skeleton, root: Root) -> np.ndarray:
    names = (root,) if isinstance(root, str) else root
    return xyz - xyz[:, [skeleton[name] for name in names]].mean(axis=1, keepdims=True)
