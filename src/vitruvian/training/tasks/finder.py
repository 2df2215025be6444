"""The person detector as a task of the training loop: boxes of everybody in whole images.

A person detector, MediaPipe Objectron's, ours, or one of an earlier run, is tuned on whole images
with bounding boxes of everybody. A score becomes an estimate of the IoU of its box, so that of
several boxes of a person the best one survives non-maximum suppression. The first layers stay
frozen.

Sources: Feng et al. 2021, "Task-aligned One-stage Object Detection" (which anchors are
whose, and what their scores should be); Rezatofighi et al. 2019, "Generalized Intersection over
Union".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitruvian.decode import anchors
from vitruvian.evaluate.boxes import score_finder
from vitruvian.exports.export import reread_person_ssd, write_person_ssd
from vitruvian.exports.networks.ssd import PersonSsd, read_person_ssd
from vitruvian.frame import Frame
from vitruvian.models import ready
from vitruvian.models.objectron import SCALES, SIDE, Options, PersonDetector
from vitruvian.network.open import Network
from vitruvian.training.data.boxes import (
    LabelledBoxes,
    Views,
    boxes_of,
    boxes_report,
    training_view,
)
from vitruvian.training.data.draw import small, with_boxes
from vitruvian.training.data.labelled import Data
from vitruvian.training.recipe import Recipe
from vitruvian.training.schedule import keep_freed_memory
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
from vitruvian.training.yolo.views import CachedPictures

REACH = 0.2  # minimum IoU of an anchor with a person
OF_EACH = 8  # maximum number of anchors of a person
LOW = 0.02  # detection threshold of the validation
SHOWN = 12  # validation pictures that are drawn


@dataclass(frozen=True)
class FinderRecipe(Recipe):
    """Training parameters of a person detector."""

    batch: int = 16
    epochs: int = 36
    rate: float = 3e-4
    decay: float = 1e-3
    clip: float = 5.0
    whole: float = Views.whole
    out: float = Views.out
    close: float = Views.close
    aspect: float = Views.aspect
    nobody: float = Views.nobody
    box_weight: float = 2.0  # loss weight of the boxes; the scores have 1
    cache_gb: float = 2.0  # memory for pictures, GB
    resamples: int = 100  # bootstrap resamples of the validation's intervals

    @property
    def views(self) -> Views:
        """How the images are varied."""
        return self.part(Views)


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(N, M) IoU, and shared area relative to that of the first, of (N, 4) and (M, 4) boxes."""
    low, high = torch.max(a[:, None, :2], b[None, :, :2]), torch.min(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clamp(0).prod(-1)
    area_a, area_b = ((box[:, 2:] - box[:, :2]).prod(-1) for box in (a, b))
    union = area_a[:, None] + area_b[None] - shared
    return shared / union.clamp_min(1e-6), shared / area_a[:, None].clamp_min(1e-6)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """(N,) generalised IoU of pairs of boxes."""
    shared = (torch.min(a[:, 2:], b[:, 2:]) - torch.max(a[:, :2], b[:, :2])).clamp(0).prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - shared
    around = (torch.max(a[:, 2:], b[:, 2:]) - torch.min(a[:, :2], b[:, :2])).prod(-1)
    return shared / union.clamp_min(1e-6) - (around - union) / around.clamp_min(1e-6)


class DetectionLoss:
    """Loss of one picture."""

    def __init__(self) -> None:
        self.anchors = torch.from_numpy(anchors.ssd(SIDE, SIDE, SCALES) * np.float32(SIDE))
        middle, half = self.anchors[:, :2], self.anchors[:, 2:] / 2
        self.shapes = torch.cat([middle - half, middle + half], 1)

    def boxes(self, rows: Tensor) -> Tensor:
        """(A, 4) rows y x h w -> x0 y0 x1 y1, pixels; `anchors.decode_ssd` with gradients."""
        anchors = self.anchors.to(rows)
        centre = rows[:, [1, 0]] / 10 * anchors[:, 2:] + anchors[:, :2]
        half = torch.exp((rows[:, [3, 2]] / 5).clamp(-4, 4)) * anchors[:, 2:] / 2
        return torch.cat([centre - half, centre + half], 1)

    def aims(self, box: Tensor, score: Tensor, people: Tensor) -> tuple[Tensor, Tensor]:
        """What each anchor's score should be (A,), and whose it is (A,): the person's index.

        Of the anchors that reach a person, those with the best scores and boxes are theirs: the
        best one should score as much as its box is right, the others in proportion.
        """
        iou, _ = overlap(box, people)
        reach, _ = overlap(self.shapes.to(box), people)
        each = torch.arange(len(people), device=box.device)
        fit = score[:, None].sqrt() * iou.pow(4)
        fit = torch.where(reach > REACH, fit, torch.zeros_like(fit))
        nearest = reach.argmax(0)  # everybody has one anchor at least
        fit[nearest, each] += 1e-6 + 0.05 * iou[nearest, each].pow(4)
        best, index = fit.topk(OF_EACH, 0)
        mine = torch.zeros_like(fit, dtype=torch.bool).scatter_(0, index, best > 1e-7)
        fit, iou = fit * mine, iou * mine
        aim = fit / fit.amax(0).clamp_min(1e-9) * iou.amax(0)
        sure, whose = torch.where(mine, iou + 1e-4, torch.zeros_like(iou)).max(1)
        aim = aim.gather(1, whose[:, None])[:, 0].clamp(0, 1)
        return torch.where(sure > 0, aim, torch.zeros_like(aim)), torch.where(sure > 0, whose, -1)

    def __call__(
        self, rows: Tensor, logits: Tensor, people: Tensor, ignored: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of its scores, of its boxes, and the weight that both are divided by.

        Args:
            rows: (A, 4).
            logits: (A,).
            people: (N, 4) boxes, pixels.
            ignored: (M, 4) regions, pixels.
        """
        box, score = self.boxes(rows), logits.sigmoid()
        aim, weight = torch.zeros_like(logits), 0.75 * score.detach().square()
        of_boxes = rows.sum() * 0
        if len(people):
            aim, whose = self.aims(box.detach(), score.detach(), people)
            own = whose >= 0
            off = 1 - giou(box[own], people[whose[own]])
            of_boxes = (off * (aim[own] + 0.05)).sum()
        if len(ignored):
            inside = overlap(box.detach(), ignored)[1].amax(1) > 0.5
            weight = torch.where(inside, torch.zeros_like(weight), weight)
        weight = torch.where(aim > 0, torch.ones_like(weight), weight)
        loss = functional.binary_cross_entropy_with_logits(logits, aim, weight, reduction="sum")
        return loss, of_boxes, aim.sum()


class FinderTask:
    """Boxes of everybody in whole pictures."""

    lower_is_better = False

    def __init__(self, recipe: FinderRecipe, model: str, data: Data) -> None:
        """Read the pictures.

        Args:
            recipe: training parameters.
            model: the person detector to start from: objectron, vitruvian-find, or the file of an
                earlier run.
            data: images with the boxes of everybody; crowds are ignored.
        """
        self.recipe, self.model, self.data = recipe, model, data
        side = round(SIDE * recipe.close)
        self.training = CachedPictures(data.training.pictures, side, recipe.cache_gb)
        self.measure = DetectionLoss()

    def report(self) -> DataReport:
        """See `Task`."""
        return boxes_report(self.data)

    def order(self, epoch: int) -> Sequence[int]:
        """See `Task`."""
        return shuffled(len(self.training), self.recipe.seed, epoch).tolist()

    def sample(self, index: int, epoch: int) -> LabelledBoxes:
        """See `Task`."""
        rng = sample_rng(self.recipe.seed, epoch, index)
        return training_view(boxes_of(self.training, index), self.recipe.views, rng)

    def collate(self, samples: Sequence[LabelledBoxes]) -> Batch:
        """Images (B, 3, H, W) uint8, and the boxes of people and ignored regions of all."""
        batch = {"images": torch.from_numpy(np.stack([v.rgb for v in samples])).permute(0, 3, 1, 2)}
        for name in ("people", "ignored"):
            each = [getattr(view, name) for view in samples]
            counts = torch.tensor([len(boxes) for boxes in each])
            batch[name] = torch.from_numpy(np.concatenate(each))
            batch[f"{name}_of"] = torch.arange(len(samples)).repeat_interleave(counts)
        return batch

    def draw(self, sample: LabelledBoxes) -> np.ndarray:
        """See `Task`; ignored regions are grey."""
        drawn = with_boxes(sample.rgb.copy(), sample.ignored, (128, 128, 128))
        return with_boxes(drawn, sample.people)

    def network(self) -> nn.Module:
        """See `Task`."""
        own = ready.is_network_file(self.model)
        (file,) = (Path(self.model),) if own else ready.pull(self.model)
        network = (reread_person_ssd if file.suffix == ".onnx" else read_person_ssd)(file)
        keep_freed_memory()
        return network

    def groups(self, network: nn.Module) -> Sequence[Group]:
        """All layers but the first ones."""
        assert isinstance(network, PersonSsd)
        frozen = {id(p) for part in network.early() for p in part.parameters()}
        learned = [p for p in network.parameters() if id(p) not in frozen]
        return [Group(learned, self.recipe.rate, self.recipe.decay)]

    def loss(self, network: Forward, batch: Batch) -> Mapping[str, LossTerm]:
        """Scores and boxes."""
        images = batch["images"].permute(0, 2, 3, 1)
        rows, logits = (part.float() for part in network(images.float() * (2 / 255) - 1))
        parts = [
            self.measure(
                rows[i],
                logits[i, :, 0],
                batch["people"][batch["people_of"] == i],
                batch["ignored"][batch["ignored_of"] == i],
            )
            for i in range(len(images))
        ]
        scores, boxes, weight = (torch.stack(each).sum() for each in zip(*parts, strict=True))
        return {
            "scores": LossTerm(scores, weight),
            "boxes": LossTerm(self.recipe.box_weight * boxes, weight),
        }

    def validate(self, network: nn.Module) -> Mapping[str, Figure]:
        """AP of the boxes at an IoU of 0.5, and the share found at one wrong box per image."""
        find = PersonDetector(run_of(network), Options(conf=LOW))
        figures = score_finder(find, self.data.validation, self.recipe.resamples)
        return {name: Figure(*row) for name, row in figures.items()}

    def pictures(self, network: nn.Module) -> Sequence[np.ndarray]:
        """See `Task`."""
        find, some = PersonDetector(run_of(network)), self.data.validation.pictures
        drawn = []
        for picture in some[:: max(1, len(some) // SHOWN)][:SHOWN]:
            frame = Frame.read(picture.path)
            (look,) = find([frame])
            image = small(frame.rgb)
            drawn.append(with_boxes(image.copy(), look.bounds() * (len(image) / len(frame.rgb))))
        return drawn

    def export(self, network: nn.Module, file: Path) -> None:
        """Write the network, which `--find` takes."""
        assert isinstance(network, PersonSsd)
        write_person_ssd(network, file)


def run_of(network: nn.Module) -> Network:
    """A PyTorch network as one of a runtime."""
    device = next(network.parameters()).device

    def run(*inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        with torch.no_grad():
            outputs = network(torch.from_numpy(inputs[0]).to(device))
        return tuple(each.float().cpu().numpy() for each in outputs)

    return run
