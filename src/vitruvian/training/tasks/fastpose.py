"""AlphaPose's networks (FastPose, FastPose-DUC, SimplePose) as a task of the training loop.

Any skeleton. Three losses, named by the decoder that inference then uses: `argmax` (squared error
of heat maps), `integral` (symmetric integral regression after a normalisation in two steps), and
`combined` for whole bodies (heat maps of the body, regression of face and hands). Crops are
augmented by proposals of a simulated detector, and half bodies.

Source: Fang et al. 2022, "AlphaPose", and the behaviour of its released training
(specs/alphapose.md, 3 and 7). Deviations: colours are augmented and rectangles erased; a labelled
keypoint outside the crop has an empty heat map instead of none; the learning rate decays along a
cosine, and proposals are simulated from the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import skeleton as skeleton_named
from vitruvian.errors import VitruvianError, shown, unknown
from vitruvian.exports.export import export_checkpoint
from vitruvian.exports.families import DECODE, SKELETONS
from vitruvian.exports.networks import fastpose
from vitruvian.exports.networks.fastpose import FastShape, fastpose_input
from vitruvian.exports.networks.vitruvian2d import SIZE
from vitruvian.models.alphapose import DECODE as DECODERS
from vitruvian.models.alphapose import Joints, face_and_hands
from vitruvian.models.ready import is_checkpoint, is_network_file
from vitruvian.models.spec import RUN_NETWORK
from vitruvian.models.zoo import entry, shelf
from vitruvian.training import losses
from vitruvian.training.data.labelled import Data
from vitruvian.training.data.people import CropSample, collate_crops
from vitruvian.training.task import Batch, Forward, Group, LossTerm
from vitruvian.training.tasks.crops import CELLS, CropRecipe, CropTask
from vitruvian.weights import checkpoint, download
from vitruvian.weights.metadata import about

HEAT = (17, 26)  # keypoints of published networks that are all decoded by argmax
FRESH = 0.001  # standard deviation of the initial weights of an untrained last layer
BODY_WEIGHT = 2.0  # of body and feet in pure regression of whole bodies: the released code


@dataclass(frozen=True)
class FastPoseRecipe(CropRecipe):
    """Training parameters of AlphaPose's networks."""

    start: str = "model"  # or scratch; or a file of a ResNet as torchvision names its tensors
    decode: str = ""  # argmax, integral, combined: loss and decoder; empty: as the model's
    width: int = 64  # channels of the first convolution; with start scratch
    backbone_rate: float = 1e-4  # learning rate of the ResNet, unless from scratch
    decay: float = 0.0
    symmetric: bool = True  # symmetric gradient of the integral regression


class FastPoseTask(CropTask[FastPoseRecipe]):
    """Heat maps, or coordinates, of single people."""

    ANTIALIAS = 0  # AlphaPose's crops

    def __init__(self, recipe: FastPoseRecipe, model: str, data: Data) -> None:
        """Read the people, and what to start from.

        Args:
            recipe: training parameters.
            model: a name of the catalogue, a checkpoint of AlphaPose's format, or the network of
                an earlier run; from scratch a name of the catalogue, whose layers are taken.
            data: labelled people.

        Raises:
            VitruvianError: the model cannot be read, or its decoder is not known.
        """
        super().__init__(recipe, model, data)
        self.known = pretrained(model) if recipe.start == "model" else None
        hands = face_and_hands(self.skeleton)
        usual = "combined" if hands else "argmax"
        decode = recipe.decode or (usual if self.known is None else self.known.decode)
        if not decode:
            raise VitruvianError(
                f"'{shown(model, 80)}' does not say how its heat maps are decoded; say it with "
                "--set decode=argmax (trained on heat maps), integral (regression) or combined"
            )
        if decode not in DECODE:
            raise unknown("decoder", decode, DECODE)
        if decode == "combined" and not hands:
            raise VitruvianError(
                f"decode is combined, which is for faces and hands; {self.skeleton.name} has none: "
                "use argmax or integral"
            )
        self.decode, self.hands = decode, hands
        self.head = Joints(
            lambda *rows: rows, skeleton=self.skeleton, size=SIZE, decode=decode, trained=decode
        )

    def collate(self, samples: Sequence[CropSample]) -> Batch:
        """Crops, targets around the nearest cell, and which of them are known."""
        return collate_crops(samples, CELLS, self.recipe.sigma, exact=False)

    def network(self) -> nn.Module:
        """See `Task`."""
        if self.known is not None:
            return with_keypoints(self.known, self.skeleton)
        recipe = self.recipe
        start = recipe.start
        if start != "scratch" and not Path(start).is_file():
            raise VitruvianError(
                f"start is '{shown(start, 80)}', want model, scratch, or the file of a ResNet"
            )
        network = fastpose.build(shape_of(self.model, len(self.skeleton), recipe.width))
        nn.init.normal_(last_layer(network).weight, std=FRESH)
        if start != "scratch":
            read_resnet(network, Path(start))
        return network

    def groups(self, network: nn.Module) -> Sequence[Group]:
        """The ResNet, and the layers above."""
        recipe = self.recipe
        if recipe.start == "scratch":
            return [Group(list(network.parameters()), recipe.rate, recipe.decay)]
        kinds: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in network.named_parameters():
            kinds[name.startswith("preact.")].append(parameter)
        return [
            Group(kinds[False], recipe.rate, recipe.decay),
            Group(kinds[True], recipe.backbone_rate, recipe.decay),
        ]

    def loss(self, network: Forward, batch: Batch) -> Mapping[str, LossTerm]:
        """Of the heat maps, the coordinates, or both."""
        maps = network(fastpose_input(batch["crops"].permute(0, 2, 3, 1))).float()
        count, weight = len(maps), batch["weight"]
        amplitude = losses.AMPLITUDE if self.recipe.symmetric else None
        if self.decode == "argmax":
            heat = losses.heatmap_mse_loss(maps, batch["maps"], batch["known"])
            return {"heat": LossTerm(heat * count, count)}
        if self.decode == "combined":
            both = losses.whole_body_loss(
                maps, batch["maps"], batch["xy"], weight, self.hands, amplitude
            )
            return {"whole body": LossTerm(both * count, count)}
        if self.hands:
            weight = weight.clone()
            weight[:, : -self.hands] *= BODY_WEIGHT
        xy = losses.expected_position(maps, amplitude)
        points = losses.coordinate_l1_loss(xy, batch["xy"], weight, CELLS)
        return {"points": LossTerm(points * count, count)}

    def predict(self, network: nn.Module, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `CropTask`."""
        device = next(network.parameters()).device
        with torch.no_grad():
            x = fastpose_input(torch.from_numpy(np.ascontiguousarray(crops)).to(device))
            maps = network(x).float().cpu().numpy()
        cells, score = DECODERS[self.decode](maps, self.head.heat(maps), self.skeleton, False)
        return cells, np.clip(score, 0, 1)

    def export(self, network: nn.Module, file: Path) -> None:
        """Write the network, and the weights.pt that it is made of, in AlphaPose's format."""
        weights = file.with_name("weights.pt")
        torch.save(network.state_dict(), weights)
        export_checkpoint(weights, file, skeleton=self.skeleton, decode=self.decode)


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A network to start from."""

    tensors: Mapping[str, np.ndarray]  # by name
    skeleton: Skeleton | None  # of its keypoints; None: unknown
    decode: str  # decoder of its maps; empty: unknown


def pretrained(model: str) -> Pretrained:
    """Read a network to start from; see `FastPoseTask`.

    Raises:
        VitruvianError: it cannot be read.
    """
    file, table, decode = Path(model), None, ""
    if not is_network_file(model):
        row = entry(model)
        (file,) = download.fetch(row.files[1:], keep=shelf(), notice=row.notice)
        table, decode = skeleton_named(row.skeleton), row.decode or ""
    elif not is_checkpoint(file):
        metadata, weights = about(file), file.with_name("weights.pt")
        if file.name != RUN_NETWORK or not weights.is_file():
            raise VitruvianError(
                f"'{shown(model, 80)}' is an exported network, which cannot be trained; give the "
                "folder of a training run, or a checkpoint"
            )
        table, decode = Skeleton.from_json(metadata["skeleton"]), metadata["decode"]
        file = weights
    tensors = checkpoint.read(file).tensors
    if table is None:
        keypoints = FastShape.infer(tensors).keypoints
        table, decode = SKELETONS.get(keypoints), "argmax" if keypoints in HEAT else ""
    return Pretrained(tensors, table, decode)


def shape_of(model: str, keypoints: int, width: int) -> FastShape:
    """The layers of a published network, for other keypoints.

    Args:
        model: its name in the catalogue, or a checkpoint, whose layers are as wide as they are.
        keypoints: K.
        width: channels of the first convolution; published networks have 64.
    """
    if is_network_file(model):
        return replace(FastShape.infer(pretrained(model).tensors), keypoints=keypoints)
    words = model.split("-")
    family = "duc" if "duc" in words else "simplepose" if "simplepose" in words else "fastpose"
    depth = next(int(word[1:]) for word in words if word[1:].isdigit() and word[0] == "r")
    narrow = family == "fastpose" and keypoints <= max(HEAT)
    return FastShape(
        family,
        depth,
        keypoints,
        channels=(128 if narrow else 256) * width // 64,
        squeeze=family != "simplepose",
        shuffle="shuffle" in words,
        deform="plain" if "dcn" in words else "no",
        width=width,
    )


def last_layer(network: nn.Module) -> nn.Conv2d:
    """The convolution with an output for each keypoint."""
    last = network.final_layer if hasattr(network, "final_layer") else network.conv_out
    assert isinstance(last, nn.Conv2d)
    return last


def with_keypoints(known: Pretrained, skeleton: Skeleton) -> nn.Module:
    """A pretrained network for the keypoints of a skeleton; those it has, by name, stay.

    Raises:
        VitruvianError: it does not say which keypoints it has, and has another number.
    """
    network = fastpose.load(known.tensors).requires_grad_(True)
    old = last_layer(network)
    if known.skeleton is None and old.out_channels != len(skeleton):
        raise VitruvianError(
            f"the model has {old.out_channels} keypoints, which is no known skeleton, and the data "
            f"{len(skeleton)}; give data with the same keypoints"
        )
    if known.skeleton is None or known.skeleton.keypoints == skeleton.keypoints:
        return network
    fresh = nn.Conv2d(old.in_channels, len(skeleton), old.kernel_size, padding=old.padding)  # type: ignore[arg-type]
    nn.init.normal_(fresh.weight, std=FRESH)
    with torch.no_grad():
        for i, name in enumerate(skeleton.keypoints):
            if len(where := known.skeleton.places.get(name, ())) == 1:
                fresh.weight[i], fresh.bias[i] = old.weight[where[0]], old.bias[where[0]]  # type: ignore[index]
    setattr(network, "final_layer" if hasattr(network, "final_layer") else "conv_out", fresh)
    network.shape = replace(network.shape, keypoints=len(skeleton))
    return network


def read_resnet(network: nn.Module, file: Path) -> None:
    """Fill the residual network with the weights of a classifier of the same depth.

    Args:
        network: of 64 channels in the first convolution.
        file: a checkpoint with torchvision's names: conv1.weight, layer1.0.conv1.weight, ...

    Raises:
        VitruvianError: it is of another network.
    """
    tensors, state = checkpoint.read(file).tensors, network.state_dict()
    wanted = [n for n in state if n.startswith("preact.") and ".se." not in n]
    for name in wanted:
        given = tensors.get(name.removeprefix("preact."))
        if given is None and name.endswith("num_batches_tracked"):
            continue
        if given is None or given.shape != state[name].shape:
            raise VitruvianError(
                f"'{shown(file, 80)}' is no ResNet of the model's depth and torchvision's names: "
                f"{name.removeprefix('preact.')} is missing or of another shape"
            )
        state[name] = torch.from_numpy(np.array(given))
    network.load_state_dict(state)
