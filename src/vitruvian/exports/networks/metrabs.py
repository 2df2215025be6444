"""MeTRAbs in PyTorch: a backbone, and heat maps in the crop and in a cube of 2.2 metres.

One 1x1 convolution turns backbone features into P 2D heat maps and P 3D heat maps of D depth
slices. A joint is the mean position under the softmax of its map (soft-argmax): in the crop, and in
a cube of metric size wherever the crop is. The network does not know the camera: absolute poses are
computed in `vitruvian.decode`.

Parameters are named as in the official files if the backbone is an EfficientNetV2.

Source: our own, from the behaviour of MeTRAbs at 8b2b116 (specs/metrabs.md, 1). Sarandi et al.
2021, "MeTRAbs: Metric-Scale Truncation-Robust Heatmaps for Absolute 3D Human Pose Estimation".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from vitruvian.body.skeleton import Skeleton
from vitruvian.decode.volume import Volume
from vitruvian.errors import VitruvianError, unknown
from vitruvian.exports.networks.backbones import MobileNetV3, ResNet, Vit
from vitruvian.exports.networks.efficientnet import SIZES, EfficientNetV2, size
from vitruvian.exports.networks.tensors import fill
from vitruvian.exports.networks.vitruvian3d import BlazePoseEncoder


class Backbone(Protocol):
    """Configuration of a backbone."""

    @property
    def channels(self) -> int:
        """Channels of the features."""
        ...

    @property
    def stride(self) -> int:
        """Pixels of the crop per cell of the features."""
        ...

    def build(self, centred: bool) -> nn.Module:
        """(N, 3, H, W) -1..1 -> (N, channels, H / stride, W / stride)."""
        ...


BACKBONES: dict[str, Backbone] = {
    **{f"efficientnetv2-{name}": shape for name, shape in SIZES.items()},
    "resnet50": ResNet(),
    "mobilenetv3-l": MobileNetV3(),
    "vit-16": Vit(16),
    "vit-32": Vit(32),
    "blazepose-full": BlazePoseEncoder(),
}
HEAD = "heatmap_heads.conv_final"


@dataclass(frozen=True)
class MetrabsShape:
    """Configuration of a MeTRAbs network."""

    backbone: Backbone
    points: int  # P
    depth: int = 8  # D
    # Whether cells of the maps are at the centre of their pixels; not stored in the tensors.
    centered: bool = True

    @classmethod
    def of(cls, backbone: str, points: int, depth: int = 8, centered: bool = True) -> MetrabsShape:
        """Configuration with a backbone of `BACKBONES`."""
        if backbone not in BACKBONES:
            raise unknown("backbone", backbone, BACKBONES)
        return cls(BACKBONES[backbone], points, depth, centered)

    @classmethod
    def infer(
        cls, tensors: Mapping[str, np.ndarray], depth: int = 8, centered: bool = True
    ) -> MetrabsShape:
        """Infer the configuration from the shapes in a checkpoint.

        Raises:
            VitruvianError: the tensors are not of a MeTRAbs network.
        """
        maps = size(tensors, f"{HEAD}.weight")
        points, rest = divmod(maps, 1 + depth)
        if rest:
            raise VitruvianError(
                f"not a MeTRAbs network: {maps} maps are not 1 + {depth} per point; check the depth"
            )
        for kind in (EfficientNetV2, ResNet, MobileNetV3, Vit, BlazePoseEncoder):
            if (backbone := kind.infer(tensors, "backbone.1.")) is not None:
                return cls(backbone, points, depth, centered)
        raise VitruvianError("not a MeTRAbs network: unknown backbone")


class Scale(nn.Module):
    """0..1 to -1..1."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        return x * 2 - 1


class Heads(nn.Module):
    """Heat map head for any features."""

    def __init__(self, channels: int, points: int, depth: int) -> None:
        super().__init__()
        self.points, self.depth = points, depth
        self.conv_final = nn.Conv2d(channels, points * (1 + depth), 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, h, w) -> logits (N, P, h, w) in 2D and (N, P, D, h, w) in 3D, both float32."""
        maps = self.conv_final(features).float()
        flat, deep = maps.split((self.points, self.points * self.depth), 1)
        return flat, deep.unflatten(1, (self.depth, self.points)).transpose(1, 2)


class Metrabs(nn.Module):
    """(N, 3, S, S) RGB 0..1 -> logits in 2D and 3D, see `Heads`."""

    def __init__(self, shape: MetrabsShape) -> None:
        super().__init__()
        self.shape = shape
        self.backbone = nn.Sequential(Scale(), shape.backbone.build(shape.centered))
        self.heatmap_heads = Heads(shape.backbone.channels, shape.points, shape.depth)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) RGB 0..1 -> logits (N, P, h, w) and (N, P, D, h, w)."""
        return self.heatmap_heads(self.backbone(crops))


def soft_argmax_of_tensor(logits: Tensor, axes: int) -> Tensor:
    """Soft-argmax of each map; `vitruvian.decode.heatmap` has it in NumPy.

    Args:
        logits: (N, P, h, w) or (N, P, D, h, w).
        axes: of a map, 2 or 3.

    Returns:
        (N, P, axes) x y or x y z, 0 at the first cell of an axis and 1 at the last.
    """
    weight = logits.flatten(-axes).softmax(-1).view(logits.shape)
    places = []
    for axis in range(axes):  # from the last, x, to the first
        others = [-1 - other for other in range(axes) if other != axis]
        along = weight.sum(others)
        places.append(along @ torch.linspace(0, 1, along.shape[-1]).to(along))
    return torch.stack(places, -1)


def places_of_maps(logits2d: Tensor, logits3d: Tensor, volume: Volume) -> tuple[Tensor, Tensor]:
    """Decode the maps: (N, P, 2) pixels of the crop, (N, P, 3) metres, as defined by `Volume`.

    Args:
        logits2d: (N, P, h, w).
        logits3d: (N, P, D, h, w).
        volume: geometry of the maps.
    """
    flat, deep = soft_argmax_of_tensor(logits2d, 2), soft_argmax_of_tensor(logits3d, 3)
    xy = (deep[..., :2] * volume.span + volume.start) / volume.side
    xyz = torch.cat((xy, deep[..., 2:]), -1) * volume.box
    return flat * volume.span + (volume.start + 0.5), xyz


def load(tensors: Mapping[str, np.ndarray], depth: int = 8, centered: bool = True) -> Metrabs:
    """The network of a checkpoint, float32, in inference mode.

    Args:
        tensors: by name: all of the network's, and no others.
        depth: D.
        centered: whether it uses centred striding.

    Raises:
        VitruvianError: a tensor is missing, unknown, or of another shape.
    """
    with torch.device("meta"):  # a damaged file allocates no memory
        network = Metrabs(MetrabsShape.infer(tensors, depth, centered))
    fill(network, tensors, "MeTRAbs")
    return network


def save(
    network: Metrabs,
    file: Path,
    volume: Volume,
    skeleton: Skeleton,
    antialias: int = 1,
    fill: float = 1.0,
) -> None:
    """Write a checkpoint for `export`, with the settings that its tensors do not hold.

    Args:
        network: a trained network.
        file: .pt file.
        volume: geometry of its maps.
        skeleton: of its points.
        antialias: of its training crops, see `Crop.light`.
        fill: longer side of a person's box, in fractions of the crop's side.
    """
    about: dict[str, object] = {"volume": json.dumps(asdict(volume))}
    about |= {"skeleton": skeleton.to_json(), "antialias": antialias, "fill": fill}
    torch.save({"model": network.state_dict(), **about}, file)


def volume_and_skeleton(entries: Mapping[str, object]) -> tuple[Volume, Skeleton]:
    """Read the settings of a checkpoint written by `save`.

    Raises:
        VitruvianError: it has none, as the authors' ckpt.pt, or was not written by `save`.
    """
    volume, skeleton = entries.get("volume"), entries.get("skeleton")
    if not isinstance(volume, str) or not isinstance(skeleton, str):
        raise VitruvianError(
            "it has no metadata of crops and joints; for a published network give the .tar.gz "
            "that contains ckpt.pt"
        )
    try:
        read = Volume(**json.loads(volume))
        for part in fields(Volume):
            if type(getattr(read, part.name)) is not type(part.default):
                raise TypeError(part.name)
        if min(read.side, read.stride, read.depth) < 1 or read.side % read.stride:
            raise ValueError(f"a crop of {read.side} pixels, cells of {read.stride}")
        return read, Skeleton.from_json(skeleton)
    except (ValueError, TypeError, KeyError) as error:
        raise VitruvianError(f"its metadata of crops and joints is invalid: {error}") from None
