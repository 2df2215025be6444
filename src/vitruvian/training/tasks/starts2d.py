"""The networks that training of vitruvian-2d starts from, and their predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.decode import heatmap
from vitruvian.errors import VitruvianError, shown
from vitruvian.exports.export import read_onnx_tensors
from vitruvian.exports.networks import blazepose
from vitruvian.exports.networks.vitruvian2d import Upsample, Vitruvian2D, from_state
from vitruvian.models import ready
from vitruvian.models.spec import RUN_NETWORK, ModelSpec
from vitruvian.weights.metadata import about

FROZEN_BLOCKS = 3  # of the encoder, up to stride 8: two thirds of its backward pass


def images(crops: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) 0..1."""
    x = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float() * (1 / 255)
    return x.contiguous(memory_format=torch.channels_last)


def load_trained(weights: Path) -> Vitruvian2D:
    """Load the network with the weights of a run.

    Raises:
        VitruvianError: it cannot be read.
    """
    try:
        network = from_state(torch.load(weights, weights_only=True))
    except Exception as error:  # torch raises many kinds
        why = shown((str(error) or type(error).__name__).splitlines()[0], 100)
        raise VitruvianError(
            f"cannot read '{shown(weights, 80)}': {why}; want the weights.pt of a run"
        ) from None
    return network.eval().requires_grad_(False)


def frozen_first_layers(network: Vitruvian2D) -> Vitruvian2D:
    """The network with the first layers of its backbone frozen."""
    backbone = network.backbone
    for part in (backbone.stem, backbone.depthwise, backbone.project):
        part.requires_grad_(False)
    for block in list(backbone.blocks)[:FROZEN_BLOCKS]:
        block.requires_grad_(False)
    return network


def with_official_backbone(keypoints: int, size: str = "full") -> Vitruvian2D:
    """The network with the weights of BlazePose's backbone, and an untrained head."""
    network = Vitruvian2D(keypoints, size)
    landmarks = ready.pull(f"blazepose-{size}")[1]
    network.backbone.load_state_dict(blazepose.read(landmarks, size).backbone.state_dict())
    return network


def teacher_network(which: str) -> Vitruvian2D:
    """The network "vitruvian-2d" as released, or that of a weights.pt, for inference.

    Raises:
        VitruvianError: the file cannot be read.
    """
    if which == "vitruvian-2d":
        return released_network(COCO17).eval().requires_grad_(False)
    return load_trained(Path(which))


def released_network(skeleton: Skeleton) -> Vitruvian2D:
    """The network with the released weights; maps of keypoints it does not have are untrained.

    Its batch norms change nothing: in the file they are folded into the convolutions.
    """
    tensors = {
        name.removeprefix("network."): torch.from_numpy(array)
        for name, array in read_onnx_tensors(released_file()).items()
    }
    network = Vitruvian2D(len(skeleton))
    state = network.state_dict()
    state |= {name: tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    for i, name in enumerate(COCO17.keypoints):
        if len(where := skeleton.places.get(name, ())) == 1:
            for part in ("conv_out.weight", "conv_out.bias"):
                state[part][where[0]] = tensors[part][i]
    parts = {name: part for name, part in network.named_modules() if isinstance(part, Upsample)}
    for name, part in parts.items():
        state[f"{name}.conv.weight"] = tensors[f"{name}.conv.weight"]
        state[f"{name}.bn.running_var"].fill_(1 - part.bn.eps)
        state[f"{name}.bn.bias"] = tensors[f"{name}.conv.bias"]
    network.load_state_dict(state)
    return network


def with_released_weights(skeleton: Skeleton, crops: Tensor) -> Vitruvian2D:
    """The released network, its batch norms made again from the statistics of some people.

    Args:
        skeleton: of the network's keypoints.
        crops: (N, 3, H, W) 0..1, the people.
    """
    network = released_network(skeleton).eval()
    parts = {name: part for name, part in network.named_modules() if isinstance(part, Upsample)}
    seen: dict[str, Tensor] = {}
    hooks = [
        part.conv.register_forward_hook(
            lambda _, __, output, name=name: seen.update({name: output})
        )
        for name, part in parts.items()
    ]
    with torch.no_grad():
        network(crops)
    for hook in hooks:
        hook.remove()
    for name, part in parts.items():
        variance, mean = torch.var_mean(seen[name], (0, 2, 3))
        with torch.no_grad():
            part.bn.bias.add_(mean)
            part.bn.weight.copy_((variance + part.bn.eps).sqrt())
        part.bn.running_mean, part.bn.running_var = mean, variance
    return network


def released_file() -> Path:
    """The released network, .onnx."""
    return next(file for file in ready.pull("vitruvian-2d") if file.name == "vitruvian-2d.onnx")


def predict_keypoints(network: Vitruvian2D, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W, 3) uint8 -> (N, K, 2) cells and (N, K) scores, as the exported network has them."""
    device = next(network.parameters()).device
    with torch.no_grad():
        maps = network(images(crops).to(device)).maps.float().cpu().numpy()
    return heatmap.local(heatmap.sigmoid(maps))


def weights_of_maps(teacher: object, table: Skeleton) -> str:
    """`Recipe2D.teacher` for a teacher that is a vitruvian-2d of the same keypoints; "": none."""
    if not isinstance(teacher, str | ModelSpec):
        return ""
    name = ModelSpec.of(teacher).name
    if name == "vitruvian-2d":
        return name if table.keypoints == COCO17.keypoints else ""
    weights = Path(name).with_name("weights.pt")
    if Path(name).name != RUN_NETWORK or not weights.is_file():
        return ""
    metadata = about(Path(name))
    own = metadata.get("family") == "alphapose" and metadata.get("decode") == "local"
    same = own and Skeleton.from_json(metadata["skeleton"]).keypoints == table.keypoints
    return str(weights) if same else ""
