"""YOLOv8-pose as a task of the training loop: whole pictures, any skeleton, all scales.

`vitruvian train --model yolov8n-pose` starts from published weights, whose keypoints are kept where
they have the same names; with `start = "scratch"` from random ones.

Source: specs/yolov8pose.md, 4.3 (the behaviour of Ultralytics 8.4.190): optimiser, warm-up, moving
average and augmentation. Deviations: for long runs SGD, as in 8.3, not MuSGD; as many batches are
accumulated in the warm-up as later; the learning rate decays with steps, not epochs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, shown
from vitruvian.evaluate.oks import oks_sigmas
from vitruvian.evaluate.recorded import poses_on_truth
from vitruvian.evaluate.scores import score_people
from vitruvian.exports.export import export_checkpoint
from vitruvian.exports.networks.yolo import Yolo
from vitruvian.frame import Frame
from vitruvian.models import yolopose
from vitruvian.rendering.draw import draw
from vitruvian.training.data.draw import small, with_boxes
from vitruvian.training.data.labelled import Data, data_report
from vitruvian.training.recipe import Recipe
from vitruvian.training.task import (
    Batch,
    DataReport,
    Figure,
    Forward,
    Group,
    LossTerm,
    sample_rng,
    shuffled,
)
from vitruvian.training.yolo.loss import Gains, TargetPeople, pose_losses
from vitruvian.training.yolo.network import (
    NAMES,
    are_folded,
    pretrained_network,
    pretrained_weights,
    restore_norms,
    save_memory,
    scratch_network,
)
from vitruvian.training.yolo.views import (
    CachedPictures,
    View,
    ViewAugment,
    augmented_view,
)

NOMINAL = 64  # pictures per step: of which decay and the clipped norm of the gradient are
LONG = 10_000  # iterations of `NOMINAL` pictures from which SGD is used
SHOWN = 12  # validation pictures that are drawn
STATISTICS = 16  # pictures to restore batch norms with


@dataclass(frozen=True)
class YoloRecipe(Recipe):
    """Training parameters of YOLOv8-pose."""

    auto: bool = True  # choose optimiser, rate, momentum, warm-up and accumulation by the data
    start: str = "model"  # or scratch
    imgsz: int = 640  # pixels, side of the input
    batch: int = 16
    accumulate: int = 4
    epochs: int = 100
    optimiser: str = "sgd"
    rate: float = 0.01
    bias_rate: float = 0.1  # of biases at the start of the warm-up
    momentum: float = 0.937
    warmup_momentum: float = 0.8
    decay: float = 5e-4  # weight decay of convolutions, at 64 pictures per step
    schedule: str = "linear"
    final: float = 0.01
    clip: float = 10.0  # of the gradient of the sum over the pictures of a step
    ema: float = 0.9999
    ema_ramp: float = 2000.0
    patience: int = 100
    close_mosaic: int = 10  # last epochs without mosaics
    mosaic: float = 1.0
    scale: float = 0.5
    shift: float = 0.1
    turn_deg: float = 0.0
    mirror: float = 0.5
    hue: float = 0.015
    saturation: float = 0.7
    brightness: float = 0.4
    box_gain: float = 7.5
    pose_gain: float = 12.0
    kobj_gain: float = 1.0
    cls_gain: float = 0.5
    dfl_gain: float = 1.5
    cache_gb: float = 2.0  # memory for pictures, GB
    resamples: int = 100  # bootstrap resamples of the validation's intervals

    def augment(self, epoch: int) -> ViewAugment:
        """Data augmentation of an epoch."""
        augment = self.part(ViewAugment)
        closed = epoch >= self.epochs - self.close_mosaic
        return replace(augment, mosaic=0.0) if closed else augment

    def for_pictures(self, count: int) -> YoloRecipe:
        """The recipe for so many pictures, if it is `auto`.

        Warm-up of three epochs; AdamW for runs of up to `LONG` iterations, SGD for longer ones.
        """
        if not self.auto:
            return self
        batch = min(self.batch, max(count, 1))
        # As many batches per step as leave fewest pictures out of an epoch.
        batches, most = max(count // batch, 1), max(round(NOMINAL / batch), 1)
        accumulate = max(range(1, min(most, batches) + 1), key=lambda n: (batches // n * n, n))
        warmup = 3 * max(count // (batch * accumulate), 1)
        common = replace(
            self, batch=batch, accumulate=accumulate, warmup=warmup, momentum=0.9, bias_rate=0.0
        )
        if math.ceil(count / max(batch, NOMINAL)) * self.epochs > LONG:
            return replace(common, optimiser="sgd", rate=0.01)
        return replace(common, optimiser="adamw", rate=0.002)  # 0.002 * 5 / (4 + classes)


class YoloTask:
    """Boxes and keypoints of everybody in whole pictures."""

    lower_is_better = False

    def __init__(self, recipe: YoloRecipe, model: str, data: Data) -> None:
        """Read the pictures.

        Args:
            recipe: training parameters.
            model: see `pretrained_weights`; or the name of a scale, to start from scratch.
            data: labelled people.
        """
        if recipe.imgsz % 32 or recipe.imgsz < 32:
            raise VitruvianError(f"imgsz is {recipe.imgsz}, want a multiple of 32")
        self.recipe = recipe.for_pictures(len(data.training.pictures))
        self.model, self.data = model, data
        self.skeleton = data.training.skeleton
        self.sigmas = torch.from_numpy(oks_sigmas(self.skeleton)).float()
        self.gains = Gains(
            *(getattr(recipe, f"{name}_gain") for name in ("box", "pose", "kobj", "cls", "dfl"))
        )
        self.training = CachedPictures(data.training.pictures, recipe.imgsz, recipe.cache_gb)
        # Without left and right nobody knows which keypoints trade places in a mirror.
        self.mirror = self.skeleton.mirror if any(self.skeleton.sides) else None

    def report(self) -> DataReport:
        """See `Task`."""
        report = data_report(self.data)
        if self.mirror is None:
            report.suspicious.append("no keypoint is of the left or right: views are not mirrored")
        return report

    def order(self, epoch: int) -> Sequence[int]:
        """See `Task`."""
        return shuffled(len(self.training), self.recipe.seed, epoch).tolist()

    def sample(self, index: int, epoch: int) -> View:
        """See `Task`."""
        rng = sample_rng(self.recipe.seed, epoch, index)
        return augmented_view(self.training, index, self.recipe.augment(epoch), self.mirror, rng)

    def collate(self, samples: Sequence[View]) -> Batch:
        """Images (B, 3, H, W) uint8, and of all their people picture, box and points."""
        counts = [len(view.box) for view in samples]
        return {
            "images": torch.from_numpy(np.stack([view.rgb for view in samples])).permute(
                0, 3, 1, 2
            ),
            "picture": torch.arange(len(samples)).repeat_interleave(torch.tensor(counts)),
            "box": torch.from_numpy(np.concatenate([view.box for view in samples])),
            "points": torch.from_numpy(np.concatenate([view.points for view in samples])),
        }

    def draw(self, sample: View) -> np.ndarray:
        """See `Task`."""
        n = len(sample.box)
        poses = Poses(
            self.skeleton,
            xy=np.where(sample.points[..., 2:] > 0, sample.points[..., :2], np.float32(np.nan)),
            score=sample.points[..., 2],
            box=sample.box,
            box_score=np.ones(n, np.float32),
            person=np.full(n, -1, np.int64),
        )
        return small(with_boxes(draw(Frame(sample.rgb), poses), sample.box))

    def network(self) -> nn.Module:
        """See `Task`."""
        if self.recipe.start == "scratch":
            name = Path(self.model).name.removesuffix(".pt")
            if name not in NAMES:
                raise VitruvianError(
                    f"'{shown(name, 80)}' names no scale to start from scratch; use one of "
                    f"{', '.join(NAMES)}"
                )
            network = scratch_network(name, self.skeleton)
        elif self.recipe.start != "model":
            raise VitruvianError(
                f"start is '{shown(self.recipe.start, 80)}', want model or scratch"
            )
        else:
            weights, known = pretrained_weights(self.model, self.skeleton)
            network = pretrained_network(weights, known, self.skeleton)
            if are_folded(network):
                every = max(1, len(self.training) // STATISTICS)
                some = range(0, len(self.training), every)[:STATISTICS]
                images = self.collate([self.sample(i, 0) for i in some])["images"]
                restore_norms(network, images.float() / 255)
        save_memory(network)
        return network

    def groups(self, network: nn.Module) -> Sequence[Group]:
        """Convolutions, with weight decay; norms; biases."""
        recipe = self.recipe
        decay = recipe.decay * recipe.batch * recipe.accumulate / NOMINAL
        kinds: dict[str, list[nn.Parameter]] = {"conv": [], "norm": [], "bias": []}
        for name, parameter in network.named_parameters():
            if ".dfl." not in name:
                kind = "bias" if name.endswith("bias") else "norm" if ".bn." in name else "conv"
                kinds[kind].append(parameter)
        return [
            Group(kinds["conv"], recipe.rate, decay),
            Group(kinds["norm"], recipe.rate),
            Group(kinds["bias"], recipe.rate, first_rate=recipe.bias_rate),
        ]

    def loss(self, network: Forward, batch: Batch) -> Mapping[str, LossTerm]:
        """Box, keypoints, their scores, scores, and distributions of sides."""
        picture = batch["picture"]
        people = TargetPeople(picture, torch.zeros_like(picture), batch["box"], batch["points"])
        raw = network(batch["images"].float() * (1 / 255))
        terms = pose_losses(raw, people, self.sigmas.to(picture.device), self.gains)
        scale = self.recipe.batch * self.recipe.accumulate
        return {name: LossTerm(*steeper(*term, scale)) for name, term in terms.items()}

    # Validation

    def predictor(self, network: nn.Module) -> yolopose.YoloPose:
        """The network as the model that it will be."""
        assert isinstance(network, Yolo)
        options = yolopose.Options(**yolopose.FAMILY.for_ap, imgsz=self.recipe.imgsz)
        stride = network.strides[-1]
        return yolopose.YoloPose(
            TorchNetwork(network), options, skeleton=self.skeleton, stride=stride
        )

    def validate(self, network: nn.Module) -> Mapping[str, Figure]:
        """OKS-AP of everybody."""
        model, found = self.predictor(network), {}
        truth = self.data.validation
        for picture in truth.pictures:
            (poses,) = model([Frame.read(picture.path)])
            found[picture.number] = poses_on_truth(poses, truth)
        has = [True] * len(self.skeleton)
        scores = score_people(self.model, truth, found, has, self.recipe.resamples)
        return {name: Figure(*scores.overall[name]) for name in ("AP", "AP50", "AR")}

    def pictures(self, network: nn.Module) -> Sequence[np.ndarray]:
        """See `Task`."""
        model, some = self.predictor(network), self.data.validation.pictures
        drawn = []
        for picture in some[:: max(1, len(some) // SHOWN)][:SHOWN]:
            frame = Frame.read(picture.path)
            (poses,) = model([frame])
            poses = poses.take(np.flatnonzero(poses.box_score > yolopose.Options().conf))
            drawn.append(small(with_boxes(draw(frame, poses), poses.box)))
        return drawn

    def export(self, network: nn.Module, file: Path) -> None:
        """Write the network, and the weights.pt that it is made of."""
        weights = file.with_name("weights.pt")
        torch.save(network.state_dict(), weights)
        export_checkpoint(weights, file, skeleton=self.skeleton, imgsz=self.recipe.imgsz)


class TorchNetwork:
    """A PyTorch network as one of a runtime."""

    input_shape: tuple[int | None, ...] = (None, 3, None, None)
    runs_on = "PyTorch"

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.device = next(network.parameters()).device

    @torch.no_grad()
    def __call__(self, rows: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """See `yolopose.Runtime`."""
        images = torch.from_numpy(rows).to(self.device, memory_format=torch.channels_last)
        return (self.network(images).cpu().numpy(),)


def steeper(total: Tensor, number: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """A loss term with the same value and a gradient that is larger by a factor.

    The reference learns from the sum over the pictures of a step, which is shown as a mean.
    """
    return total * scale - (total * (scale - 1)).detach(), number
