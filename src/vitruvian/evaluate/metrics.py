"""How far 3D joints are from the truth. Metres in, metres out, (N, K) a joint of a person.

| function | what is forgiven | usually called |
|---|---|---|
| `mpjpe_absolute` | nothing: where people stand counts | absolute MPJPE, MPJPE without alignment |
| `depth_error` | all but the distance from the camera; signed | depth error |
| `mpjpe` | where the root stands | MPJPE, "protocol 1" |
| `n_mpjpe` | where the root stands, and size | N-MPJPE |
| `pa_mpjpe` | place, size and rotation of the whole body | PA-MPJPE, P-MPJPE, "protocol 2" |

Each is (N, K); `nan_mean`, `per_joint` and `per_person` sum them up, and `pck` and `auc` turn those
of `mpjpe` (or any other) into hits. What the truth does not have (NaN) is not counted. What was not
found is NaN in distances, so that means are of what was found, and a miss in `pck` and `auc`: give
both, or a method that stays silent looks best.
"""

from __future__ import annotations

import numpy as np

from vitruvian.body.skeleton import Skeleton

Root = str | tuple[str, ...]  # a keypoint, or several whose mean it is: ("left_hip", "right_hip")
PCK_WITHIN = 0.15  # metres. Source: Mehta et al. 2017, "Monocular 3D Human Pose Estimation In The
# Wild Using Improved CNN Supervision" (MPI-INF-3DHP): half the size of a head
AUC_STEPS = 31  # thresholds from 0 to `PCK_WITHIN`, 5 mm apart. Source: the same data set's script


def mpjpe_absolute(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute MPJPE: how far joints are from the true ones, as they stand.

    Args:
        found: (N, K, 3) metres from the camera, or in the world.
        truth: (N, K, 3) metres from the same.

    Returns:
        (N, K) metres.
    """
    return np.linalg.norm(found - truth, axis=-1)


def depth_error(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How much too far from the camera joints are; below 0 they are too near.

    Args:
        found: (N, K, 3) metres from the camera.
        truth: (N, K, 3) metres from the camera.

    Returns:
        (N, K) metres along the camera's axis.
    """
    return found[..., 2] - truth[..., 2]


def mpjpe(found: np.ndarray, truth: np.ndarray, skeleton: Skeleton, root: Root) -> np.ndarray:
    """MPJPE: how far joints are from the true ones once both roots are in the same place.

    Args:
        found: (N, K, 3) metres.
        truth: (N, K, 3) metres.
        skeleton: of both.
        root: which keypoint, or the mean of which; nobody agrees on it, so it has no default.

    Returns:
        (N, K) metres; NaN for people of whom either root is missing.

    Source: Ionescu et al. 2014, "Human3.6M".
    """
    return mpjpe_absolute(_from_root(found, skeleton, root), _from_root(truth, skeleton, root))


def n_mpjpe(found: np.ndarray, truth: np.ndarray, skeleton: Skeleton, root: Root) -> np.ndarray:
    """N-MPJPE: as `mpjpe`, the found body made larger or smaller as suits it best.

    The best is in the sense of least squares, of the joints that both have.

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
    """PA-MPJPE: the found body moved, turned and scaled as suits it best, never mirrored.

    Args:
        found: (N, K, 3) metres.
        truth: (N, K, 3) metres.

    Returns:
        (N, K) metres; NaN for people of whom fewer than three joints are in both.

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
    """Which joints are at most so far off: PCK3D, when averaged.

    Args:
        distance: (N, K) metres; of `mpjpe` as in MPI-INF-3DHP, or any other.
        truth: (N, K, 3), for which joints count.
        within: metres.

    Returns:
        (N, K) 1 for a hit, 0 for a miss or where nothing was found, NaN where there is no truth.
    """
    hit = np.where(np.isnan(distance), np.inf, distance) <= within
    return np.where(np.all(np.isfinite(truth), axis=-1), hit, np.nan)


def auc(
    distance: np.ndarray, truth: np.ndarray, within: float = PCK_WITHIN, steps: int = AUC_STEPS
) -> np.ndarray:
    """`pck` averaged over thresholds from 0 on: the area under its curve, when averaged.

    Args:
        distance: (N, K) metres.
        truth: (N, K, 3), for which joints count.
        within: metres, the last threshold.
        steps: how many thresholds, 0 and the last among them.

    Returns:
        (N, K) 0..1; NaN where there is no truth.
    """
    limits = np.linspace(0, within, steps)
    return np.mean([pck(distance, truth, limit) for limit in limits], axis=0)


def nan_mean(values: np.ndarray) -> float:
    """Of everything that is not NaN; NaN of nothing."""
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
