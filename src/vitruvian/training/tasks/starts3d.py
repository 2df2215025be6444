"""The networks that training of vitruvian-3d starts from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from vitruvian.body.skeletons import HALPE26
from vitruvian.decode.volume import Volume
from vitruvian.errors import VitruvianError, shown
from vitruvian.exports.export import read_onnx_tensors
from vitruvian.exports.networks import blazepose, metrabs
from vitruvian.models import ready
from vitruvian.training.yolo.network import restore_norms
from vitruvian.weights import checkpoint

# 192 pixels: a CPU trains on twice as many people as at 256. 2.5 m: arms above the head.
VOLUME = Volume(side=192, stride=16, depth=8, box=2.5)
SHAPE = metrabs.MetrabsShape.of("blazepose-full", len(HALPE26), VOLUME.depth, VOLUME.centered)


def trained_network_3d(weights: str) -> metrabs.Metrabs:
    """The network of an earlier run, from its weights.pt.

    Raises:
        VitruvianError: it cannot be read, or is of another network.
    """
    if not Path(weights).is_file():
        raise VitruvianError(
            f"start is '{shown(weights, 80)}', want released, backbone or a weights.pt"
        )
    tensors = checkpoint.read(Path(weights)).tensors
    network = metrabs.load(tensors, VOLUME.depth, VOLUME.centered)
    if network.shape != SHAPE:
        raise VitruvianError(
            f"'{shown(weights, 80)}' is of another network than vitruvian-3d's; give the "
            "weights.pt of a run of that"
        )
    return network.requires_grad_(True)


def released_network_3d(crops: Tensor) -> metrabs.Metrabs:
    """The network with the released weights.

    Args:
        crops: (N, 3, S, S) 0..1, a batch of training. In the file, batch norms are folded into
            convolutions: they are made again from the statistics of these people.
    """
    tensors = {
        name.removeprefix("network."): torch.from_numpy(array)
        for name, array in read_onnx_tensors(released_file_3d()).items()
    }
    network = metrabs.Metrabs(SHAPE)
    state = network.state_dict()
    for name in state:
        if name in tensors:
            state[name] = tensors[name]
    norms = [n for n, part in network.named_modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        above, _, number = norm.rpartition(".")
        state[f"{norm}.bias"] = tensors[f"{above}.{int(number) - 1}.bias"]
        state[f"{norm}.running_var"] -= network.get_submodule(norm).eps  # type: ignore[operator]
    network.load_state_dict(state)
    restore_norms(network, crops)
    return network


def released_file_3d() -> Path:
    """The released network, .onnx."""
    return next(file for file in ready.pull("vitruvian-3d") if file.name == "vitruvian-3d.onnx")


def initial_network_3d() -> metrabs.Metrabs:
    """The network before training: official backbone weights, untrained heads."""
    network = metrabs.Metrabs(SHAPE)
    nn.init.normal_(network.heatmap_heads.conv_final.weight, std=0.01)
    encoder = blazepose_encoder(network)
    official = blazepose.read(ready.pull("blazepose-full")[1]).backbone.state_dict()
    encoder.load_state_dict({k: v for k, v in official.items() if not k.startswith("lateral.")})
    return network


def blazepose_encoder(network: metrabs.Metrabs) -> blazepose.BlazePoseBackbone:
    """The BlazePose encoder of the network."""
    encoder = network.backbone[1].encoder
    assert isinstance(encoder, blazepose.BlazePoseBackbone)
    return encoder
