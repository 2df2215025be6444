"""What networks with 3D are trained with. Distances are in metres, and so are the losses.

Poses are (N, K, 3) metres from the camera after `vitruvian.train.reconstruction`, so gradients go
through where a body was put. `valid` is (N, K) bool; a mean over nothing is 0.

Source: Sarandi et al. 2021, "MeTRAbs", with the weights and limits of its released code
(specs/metrabs.md, 3). `squared_distance_loss` trains hip-relative metres, as BlazePose gives them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vitruvian.decode.absolute import view_limits
from vitruvian.train.reconstruction import project_points

BOX = 2.2  # metres along a side of what the network's 3D can say; its crop's side in pixels
ABSOLUTE = 0.1  # weight of the absolute loss, from this step on
ABSOLUTE_FROM = 5000
FLAT = 0.2  # weight of pictures with 2D only
FAR = 10.0  # metres; errors in depth beyond count in proportion to the distance
NEAR = 0.3  # metres; true joints nearer than this are beside the camera, not before it
WIDE = -20.0  # strides of border: true joints up to 20 strides beside the crop still count
STRIDE = 32


def root_relative_loss(
    found: Tensor, truth: Tensor, valid: Tensor, root: int | None = None
) -> Tensor:
    """How wrong a body's shape is, wherever it stands: mean absolute difference.

    Args:
        found: (N, K, 3) metres.
        truth: (N, K, 3) metres.
        valid: (N, K) bool.
        root: the keypoint that both are measured from; by default the mean of the valid ones.
            Who has none is left out.
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
    """How wrong a body's place is: a third each for x, y and z, z less from 10 m on.

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
    """Weight of `absolute_loss` at a step, from 0: none until the shape is roughly learned."""
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
    """How far joints are from where they should be seen, as metres at the crop's scale.

    Only joints whose prediction lies in view, where heat maps can say it, and whose truth lies in
    the crop or near it.

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
    """The same for pictures of which only 2D is known.

    Args:
        found: (N, K, 3) metres from the camera.
        truth: (N, J, 2) pixels of the crop.
        valid: (N, J) bool.
        matrix: (N, 3, 3) intrinsics of the crops.
        side: of the crops, pixels.
        groups: (J, K) which keypoints make up each labelled one, see `joint_groups`; by default
            the labelled ones are the keypoints.
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
    """Which keypoints are a labelled joint: those whose names begin with its name, averaged.

    Data sets do not agree on where a wrist is. `left_wrist` is the mean of `left_wrist`,
    `left_wrist_h36m` and so on.

    Args:
        labelled: J names.
        keypoints: K names.

    Returns:
        (J, K) float32, each row's sum is 1.
    """
    rows = [[float(name.startswith(wanted)) for name in keypoints] for wanted in labelled]
    weight = torch.tensor(rows).reshape(len(labelled), len(keypoints))
    missing = [name for name, row in zip(labelled, weight, strict=True) if not row.any()]
    if missing:
        raise ValueError(f"no keypoint's name begins with {', '.join(missing)}")
    return weight / weight.sum(-1, keepdim=True)


def metrabs_loss(
    shape: Tensor, place: Tensor, seen: Tensor, seen_flat: Tensor | float, step: int
) -> Tensor:
    """Total loss of one step, MeTRAbs' weights.

    `root_relative_loss` + `projection_loss` + `absolute_loss` by its schedule + 0.2
    `projection_loss_2d`.

    Args:
        shape: `root_relative_loss`.
        place: `absolute_loss`.
        seen: `projection_loss`.
        seen_flat: `projection_loss_2d`, of the pictures of which only 2D is known.
        step: from 0.
    """
    return shape + seen + absolute_loss_weight(step) * place + FLAT * seen_flat


def softmax_heatmap_loss(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """How unlikely 2D maps make the cells around the true joints: cross entropy of their softmax.

    The mean place under a map's softmax says nothing of its shape: this draws it around the joint.

    Args:
        logits: (N, K, h, w).
        target: (N, K, 2) cells, 0 in the middle of the first one.
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
    """As `root_relative_loss`, of a teacher whose bodies may be a little too large or too small.

    Args:
        found: (N, K, 3) metres.
        truth: (N, K, 3) metres, as the teacher says.
        valid: (N, K) bool.
        tolerance: by how much of their size its bodies may be made to fit.
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
    """Mean squared distance of joints from the hips, metres squared.

    Args:
        found: (N, K, 3) metres from the hips.
        truth: (N, K, 3) metres from the hips.
        weight: (N, K) 0..1, how far the truth is believed; 0 leaves a keypoint out.
    """
    off = (found - _known(truth, weight > 0)).square().sum(-1)
    return (off * weight).sum() / weight.sum().clamp_min(1e-6)


def _known(truth: Tensor, valid: Tensor) -> Tensor:
    """Zeros where nothing is known: a NaN would come back through the gradient of what it masks."""
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
