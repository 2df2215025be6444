"""Loss functions of 3D networks. Distances and losses are in metres.

Poses are (N, K, 3) metres from the camera after `vitruvian.training.reconstruction`: gradients flow
through the absolute position. `valid` is (N, K) bool; a mean over nothing is 0.

Source: Sarandi et al. 2021, "MeTRAbs", with the weights and limits of its released code
(specs/metrabs.md, 3). `squared_distance_loss` trains hip-relative metres, as BlazePose gives them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vitruvian.decode.absolute import view_limits
from vitruvian.training.reconstruction import project_points

BOX = 2.2  # metres, side of the cube of the network's 3D output; side of its crop in pixels
ABSOLUTE = 0.1  # weight of the absolute loss, from this step on
ABSOLUTE_FROM = 5000
FLAT = 0.2  # weight of images with 2D labels only
FAR = 10.0  # metres; beyond, depth errors are relative to the distance
NEAR = 0.3  # metres; true joints nearer than this are ignored
WIDE = -20.0  # strides of border: true joints up to 20 strides outside the crop still count
STRIDE = 32


def root_relative_loss(
    found: Tensor, truth: Tensor, valid: Tensor, root: int | None = None
) -> Tensor:
    """Root-relative pose error: mean absolute difference, independent of position.

    Args:
        found: (N, K, 3) metres.
        truth: (N, K, 3) metres.
        valid: (N, K) bool.
        root: index of the keypoint that both are relative to; by default the mean of the valid
            ones. People without any are left out.
    """
    truth = _known(truth, valid)
    if root is None:
        weight = valid.to(found.dtype)[..., None]
        count = weight.sum(1, keepdim=True).clamp_min(1)
        middles = [(pose * weight).sum(1, keepdim=True) / count for pose in (found, truth)]
    else:
        middles = [pose[:, root : root + 1] for pose in (found, truth)]
        valid = valid & valid[:, root : root + 1]
    return _mean(((found - middles[0]) - (truth - middles[1])).abs().mean(-1), valid)


def absolute_loss(found: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Absolute position error: a third each for x, y and z, z weighted less from 10 m on.

    Args:
        found: (N, K, 3) metres from the camera.
        truth: (N, K, 3) metres from the camera.
        valid: (N, K) bool; of those, joints nearer than 0.3 m are left out.
    """
    truth = _known(truth, valid)
    off = (found - truth).abs()
    depth = off[..., 2] * (FAR / truth[..., 2].abs().clamp_min(FAR))
    return _mean((off[..., 0] + off[..., 1] + depth) / 3, valid & (truth[..., 2] > NEAR))


def absolute_loss_weight(step: int) -> float:
    """Weight of `absolute_loss` at a step, from 0: none until poses are roughly learned."""
    return ABSOLUTE if step > ABSOLUTE_FROM else 0.0


def projection_loss(
    found: Tensor,
    truth: Tensor,
    valid: Tensor,
    matrix: Tensor,
    side: int,
    *,
    centred: bool = True,
    stride: int = STRIDE,
) -> Tensor:
    """Reprojection error, in metres at the crop's scale.

    Only joints whose prediction is in view, where heat maps are reliable, and whose ground truth is
    in or near the crop.

    Args:
        found: (N, K, 3) metres from the camera.
        truth: (N, K, 3) metres from the camera.
        valid: (N, K) bool; of those, joints nearer than 0.3 m are left out.
        matrix: (N, 3, 3) intrinsics of the crops.
        side: of the crops, pixels.
        centred: see `vitruvian.decode.absolute.view_limits`.
        stride: the same.
    """
    truth = _known(truth, valid)
    valid = valid & (truth[..., 2] > NEAR) & (found[..., 2] > 1e-3)
    return _in_crop(
        project_points(found, matrix), project_points(truth, matrix), valid, side, centred, stride
    )


def projection_loss_2d(
    found: Tensor,
    truth: Tensor,
    valid: Tensor,
    matrix: Tensor,
    side: int,
    groups: Tensor | None = None,
    *,
    centred: bool = True,
    stride: int = STRIDE,
) -> Tensor:
    """The same for images with 2D labels only.

    Args:
        found: (N, K, 3) metres from the camera.
        truth: (N, J, 2) pixels of the crop.
        valid: (N, J) bool.
        matrix: (N, 3, 3) intrinsics of the crops.
        side: of the crops, pixels.
        groups: (J, K) which keypoints make up each labelled joint, see `joint_groups`; by default
            they are the keypoints themselves.
        centred: see `vitruvian.decode.absolute.view_limits`.
        stride: the same.
    """
    seen = project_points(found, matrix)
    ahead = found[..., 2] > 1e-3
    if groups is not None:
        seen = groups @ seen
        ahead = ((groups > 0).to(seen.dtype) @ (~ahead).to(seen.dtype)[..., None])[..., 0] == 0
    truth = _known(truth, valid)
    return _in_crop(seen, truth, valid & ahead, side, centred, stride)


def joint_groups(labelled: Sequence[str], keypoints: Sequence[str]) -> Tensor:
    """Map keypoints to labelled joints: the mean of those whose names begin with the joint's name.

    Datasets define joints differently. `left_wrist` is the mean of `left_wrist`,
    `left_wrist_h36m` and so on.

    Args:
        labelled: J names.
        keypoints: K names.

    Returns:
        (J, K) float32, each row sums to 1.
    """
    rows = [[float(name.startswith(wanted)) for name in keypoints] for wanted in labelled]
    weight = torch.tensor(rows).reshape(len(labelled), len(keypoints))
    missing = [name for name, row in zip(labelled, weight, strict=True) if not row.any()]
    if missing:
        raise ValueError(f"no keypoint name begins with {', '.join(missing)}")
    return weight / weight.sum(-1, keepdim=True)


def metrabs_loss(
    shape: Tensor, place: Tensor, seen: Tensor, seen_flat: Tensor | float, step: int
) -> Tensor:
    """Total loss of one step with MeTRAbs' weights.

    `root_relative_loss` + `projection_loss` + `absolute_loss` by its schedule + 0.2
    `projection_loss_2d`.

    Args:
        shape: `root_relative_loss`.
        place: `absolute_loss`.
        seen: `projection_loss`.
        seen_flat: `projection_loss_2d`, of the images with 2D labels only.
        step: from 0.
    """
    return shape + seen + absolute_loss_weight(step) * place + FLAT * seen_flat


def softmax_heatmap_loss(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Softmax cross entropy of 2D heat maps at the cells around the true joints.

    The mean position under a softmax does not constrain its shape; this loss does.

    Args:
        logits: (N, K, h, w).
        target: (N, K, 2) cells, 0 at the centre of the first one.
        valid: (N, K) bool.
    """
    h, w = logits.shape[2:]
    off = [
        (torch.arange(n, device=logits.device) - target[..., i, None]).square() / 2
        for i, n in enumerate((w, h))
    ]
    drawn = torch.softmax(-(off[0][:, :, None] + off[1][..., None]).flatten(2), -1)
    each = -(drawn * logits.flatten(2).log_softmax(-1)).sum(-1)
    return _mean(each, valid)


def teacher_loss(found: Tensor, truth: Tensor, valid: Tensor, tolerance: float = 0.1) -> Tensor:
    """`root_relative_loss` against a teacher, tolerant of errors in body size.

    Args:
        found: (N, K, 3) metres.
        truth: (N, K, 3) metres, pseudo-labels of the teacher.
        valid: (N, K) bool.
        tolerance: maximum relative rescaling of the teacher's bodies.
    """
    weight = valid.to(found.dtype)[..., None]
    count = weight.sum(1, keepdim=True).clamp_min(1)
    truth = _known(truth, valid)
    a, b = (pose - (pose * weight).sum(1, keepdim=True) / count for pose in (found, truth))
    dot = (a.detach() * b * weight).sum((1, 2))
    size = dot / (b.square() * weight).sum((1, 2)).clamp_min(1e-6)
    size = size.clamp(1 - tolerance, 1 + tolerance)[:, None, None]
    return _mean((a - size * b).abs().mean(-1), valid)


def squared_distance_loss(found: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean squared distance of hip-relative joints, metres squared.

    Args:
        found: (N, K, 3) metres from the hips.
        truth: (N, K, 3) metres from the hips.
        weight: (N, K) 0..1, confidence of the truth; 0 ignores a keypoint.
    """
    off = (found - _known(truth, weight > 0)).square().sum(-1)
    return (off * weight).sum() / weight.sum().clamp_min(1e-6)


def _known(truth: Tensor, valid: Tensor) -> Tensor:
    """Zeros where unknown: a masked NaN would still return through the gradient."""
    return torch.where(valid[..., None], truth, 0)


def _mean(each: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid, each, 0).sum() / valid.sum().clamp_min(1)


def _in_crop(
    seen: Tensor, truth: Tensor, valid: Tensor, side: int, centred: bool, stride: int
) -> Tensor:
    """Mean absolute difference of (N, K, 2) pixels, in metres of the 2.2 m that the crop spans."""
    for pixels, (low, high) in (
        (seen, view_limits(side, stride, centred=centred)),
        (truth, view_limits(side, stride, centred=centred, border=WIDE)),
    ):
        valid = valid & ((pixels >= low) & (pixels <= high)).all(-1)
    return _mean((seen - truth).abs().mean(-1), valid) * (BOX / side)
