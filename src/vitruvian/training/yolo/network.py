"""YOLOv8-pose networks to train: from scratch or a checkpoint, also with other keypoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError, shown
from vitruvian.exports.export import read_onnx_tensors
from vitruvian.exports.networks import yolo
from vitruvian.exports.networks.yolo import BINS, SCALES, Yolo, YoloConv, YoloShape
from vitruvian.models import yolopose
from vitruvian.models.ready import is_network_file, pull
from vitruvian.weights import checkpoint
from vitruvian.weights.metadata import about

NAMES = {
    **{f"yolov8{scale}-pose": (scale, False) for scale in SCALES},
    "yolov8x-pose-p6": ("x", True),
}


def scratch_network(name: str, skeleton: Skeleton) -> Yolo:
    """An untrained network of a published scale: a key of `NAMES`."""
    scale, p6 = NAMES[name]
    return Yolo(YoloShape.of(scale, p6=p6, keypoints=len(skeleton)))


def pretrained_weights(model: str, skeleton: Skeleton) -> tuple[dict[str, np.ndarray], Skeleton]:
    """Tensors by name, and the skeleton of a model.

    Args:
        model: a name of the catalogue; a checkpoint, .pt; or an exported network, .onnx.
        skeleton: of the data: that of a checkpoint with as many keypoints. Checkpoints do not name
            keypoints; others have COCO's.

    Raises:
        VitruvianError: it cannot be read, or has neither as many keypoints.
    """
    file = Path(model) if is_network_file(model) else pull(model)[0]
    if file.suffix.lower() == ".onnx":
        names = read_onnx_tensors(file)
        tensors = {name: value for name, value in names.items() if name.startswith("model.")}
        head = max((int(name.split(".")[1]) for name in tensors), default=0)
        bins = np.arange(BINS, dtype=np.float32).reshape(1, BINS, 1, 1)
        tensors[f"model.{head}.dfl.conv.weight"] = bins  # a constant in the file
        if "skeleton" in (metadata := about(file)):
            return tensors, Skeleton.from_json(metadata["skeleton"])
    else:
        read = checkpoint.read(file)
        yolopose.check_checkpoint(read, file)
        tensors = read.tensors
    rows = [len(value) for name, value in tensors.items() if name.endswith(".cv4.0.2.bias")]
    for known in (skeleton, COCO17):
        if rows == [3 * len(known)]:
            return tensors, known
    raise VitruvianError(
        f"'{shown(model, 80)}' has {sum(rows) // 3} keypoints, the data {len(skeleton)}; start "
        f"from a checkpoint with these, or with COCO's {len(COCO17)}"
    )


def pretrained_network(
    tensors: Mapping[str, np.ndarray], known: Skeleton, skeleton: Skeleton
) -> Yolo:
    """A pretrained network, to be trained for the keypoints of a skeleton.

    Keypoints that the checkpoint has, by name, keep their weights; others begin as the midpoint of
    all. Folded batch norms come back, see `restore_norms`.

    Args:
        tensors: by name.
        known: its skeleton.
        skeleton: of the new network.

    Raises:
        VitruvianError: it is no YOLOv8-pose network with scores of keypoints and a single class.
    """
    before = yolo.load(tensors, len(known))
    shape = before.shape
    if shape.classes != 1 or shape.numbers != 3:
        raise VitruvianError(
            f"the checkpoint has {shape.classes} classes and {shape.numbers} numbers per keypoint; "
            "only one class and 3 numbers can be trained"
        )
    unfold(before)
    if skeleton.keypoints == known.keypoints:
        return before.requires_grad_(True)
    inside = before.state_dict()[f"model.{len(before.model) - 1}.cv4.0.0.conv.weight"].shape[0]
    network = Yolo(replace(shape, keypoints=len(skeleton), keypoint_channels=inside))
    rows = torch.tensor(_rows(known, skeleton))
    state = before.state_dict()
    for name, value in network.state_dict().items():
        if value.shape != state[name].shape:  # the last layers of the keypoint branch
            old = state[name].unflatten(0, (len(known), 3))
            state[name] = torch.einsum("nk,k...->n...", rows, old).flatten(0, 1)
    network.load_state_dict(state)
    return network


def _rows(known: Skeleton, skeleton: Skeleton) -> list[list[float]]:
    """(K', K) weights of the known keypoints in each of the others."""
    weights = []
    for name in skeleton.keypoints:
        own = known.places.get(name, range(len(known)))
        weights.append([(k in own) / len(own) for k in range(len(known))])
    return weights


def unfold(network: Yolo) -> None:
    """Put a batch norm that does nothing after each folded convolution."""
    for module in network.modules():
        if isinstance(module, YoloConv) and not isinstance(module.bn, nn.BatchNorm2d):
            old = module.conv
            assert isinstance(old, nn.Conv2d)
            assert old.bias is not None
            fresh = YoloConv(old.in_channels, old.out_channels, old.kernel_size[0], old.stride[0])
            norm = fresh.bn
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_var is not None
            fresh.conv.weight = old.weight
            norm.bias = nn.Parameter(old.bias.detach().clone())
            norm.running_var.fill_(1 - norm.eps)
            module.conv, module.bn = fresh.conv, norm.eval()


def are_folded(network: nn.Module) -> bool:
    """Whether batch norms have never seen data: folded ones that were put back."""
    means = [name for name in network.state_dict() if name.endswith("running_mean")]
    return not any(bool(network.get_buffer(name).any()) for name in means)


@torch.no_grad()
def restore_norms(network: nn.Module, images: Tensor) -> None:
    """Give batch norms the statistics of images; the network's function remains the same.

    In training a batch norm normalises by the batch, so one that was folded would undo what it
    has learned.

    Args:
        network: in evaluation mode.
        images: (B, 3, H, W) RGB, 0..1, a batch of training.
    """

    def restore(norm: nn.Module, inputs: Any) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        mean, var = norm.running_mean, norm.running_var
        assert mean is not None
        assert var is not None
        scale = norm.weight / (var + norm.eps).sqrt()
        shift = norm.bias - mean * scale
        now_var, now = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
        mean.copy_(now)
        var.copy_(now_var)
        norm.weight.copy_(scale * (now_var + norm.eps).sqrt())
        norm.bias.copy_(shift + now * scale)

    hooks = [
        module.register_forward_pre_hook(restore)
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    network.eval()(images)
    for hook in hooks:
        hook.remove()


class NormSilu(torch.autograd.Function):
    """Batch norm of a batch, then SiLU, of which only the input is kept for the backward pass.

    The two modules also keep what is between them: a third of a network's memory in training.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor,
        momentum: float, eps: float,
    ) -> Tensor:  # fmt: skip
        """(B, C, H, W) -> the same shape; updates the running `mean` and `var`."""
        y, own_mean, own_inverse = torch.native_batch_norm(
            x, weight, bias, mean, var, True, momentum, eps
        )
        ctx.save_for_backward(x, weight, bias, own_mean, own_inverse)
        ctx.eps = eps
        return functional.silu(y, inplace=True)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:  # type: ignore[override]
        """Gradients of x, weight and bias."""
        x, weight, bias, mean, inverse = ctx.saved_tensors
        scale = weight * inverse
        shift = bias - mean * scale
        y = torch.addcmul(shift[:, None, None], x, scale[:, None, None]).to(x.dtype)
        of_y = torch.ops.aten.silu_backward(grads[0], y)
        of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            of_y, x, weight, None, None, mean, inverse, True, ctx.eps, [True, True, True]
        )
        return of_x, of_weight, of_bias, None, None, None, None


def save_memory(network: Yolo) -> None:
    """Compute batch norms and SiLU in one, in training; see `NormSilu`."""

    def forward(module: YoloConv, before: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        norm = module.bn
        if not module.training or not isinstance(norm, nn.BatchNorm2d):
            return before(x)
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
        return NormSilu.apply(
            module.conv(x), norm.weight, norm.bias, norm.running_mean, norm.running_var,
            norm.momentum, norm.eps,
        )  # fmt: skip

    for module in network.modules():
        if isinstance(module, YoloConv):
            module.forward = partial(forward, module, module.forward)  # type: ignore[method-assign]
