"""Train the person detector: `python -m vitruvian.train.tasks.finder --data FOLDER --out FILE`.

MediaPipe Objectron's object detector is tuned on whole pictures with bounding boxes of everybody.
A score becomes an estimate of the IoU of its box, so that of several boxes of a person the best
one survives non-maximum suppression. The first layers stay frozen; the weights that are written
are an exponential moving average.

Sources: Feng et al. 2021, "Task-aligned One-stage Object Detection" (which anchors are
whose, and what their scores should be); Rezatofighi et al. 2019, "Generalized Intersection over
Union".
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import swa_utils

from vitruvian.decode import anchors
from vitruvian.errors import VitruvianError
from vitruvian.evaluate import truth
from vitruvian.exports.export import write_person_ssd
from vitruvian.exports.networks.ssd import PersonSsd, read_person_ssd
from vitruvian.frame import Frame
from vitruvian.models import ready
from vitruvian.models.objectron import SCALES, SIDE
from vitruvian.train.data.augment import jitter_colours
from vitruvian.train.recipe import TomlRecipe
from vitruvian.train.schedule import channels_last, ema, learning_rate

SEEN, LEAST = 0.3, 4.0  # minimum part, and side in pixels, of a person inside the augmented picture
REACH = 0.2  # minimum IoU of an anchor with a person
OF_EACH = 8  # maximum number of anchors of a person


@dataclass(frozen=True)
class FinderRecipe(TomlRecipe):
    """Training parameters; a TOML file with the same names overrides them."""

    seed: int = 0
    batch: int = 16
    epochs: int = 36
    rate: float = 3e-4
    decay: float = 1e-3  # weight decay
    average: float = 0.998  # decay of the moving average, per step
    whole: float = 0.25  # share of pictures that keep their scale and aspect ratio
    out: float = 0.65  # smallest scale, relative to the whole picture
    close: float = 1.6  # largest scale
    aspect: float = 0.2  # largest change of the aspect ratio's logarithm
    nobody: float = 0.15  # share of parts of pictures where nobody is, and of plain ones
    box_weight: float = 2.0  # loss weight of the boxes; the scores have 1


class LabelledBoxes(NamedTuple):
    """A picture with boxes, x0 y0 x1 y1 pixels."""

    rgb: np.ndarray  # (H, W, 3) uint8
    people: np.ndarray  # (N, 4) float32
    ignored: np.ndarray  # (M, 4) float32: crowds, and people of whom little is seen


def read_boxes(data: Path) -> list[LabelledBoxes]:
    """Read the pictures of a folder with images/ and person_keypoints.json, as COCO has them.

    Raises:
        VitruvianError: a file cannot be read.
    """
    pictures = truth.read(data / "person_keypoints.json").pictures
    box = [np.concatenate([p.box[:, :2], p.box[:, :2] + p.box[:, 2:]], axis=1) for p in pictures]
    return [
        LabelledBoxes(
            Frame.read(picture.path).rgb,
            every[~picture.crowd].astype(np.float32),
            every[picture.crowd].astype(np.float32),
        )
        for picture, every in zip(pictures, box, strict=True)
    ]


def random_view(
    picture: LabelledBoxes, recipe: FinderRecipe, rng: np.random.Generator
) -> LabelledBoxes:
    """The picture in the size of the network's input: scaled, moved, mirrored, other colours."""
    height, width = picture.rgb.shape[:2]
    zoom = np.exp(rng.uniform(np.log(recipe.out), np.log(recipe.close)))
    aspect = np.exp(rng.uniform(-recipe.aspect, recipe.aspect) / 2)
    if rng.random() < recipe.whole:
        zoom = aspect = 1.0
    scale = SIDE / np.array([width, height]) * zoom * (aspect, 1 / aspect)
    free = SIDE - scale * (width, height)
    shift = rng.uniform(np.minimum(free, 0), np.maximum(free, 0))
    if rng.random() < 0.5:
        scale[0], shift[0] = -scale[0], SIDE - shift[0]
    matrix = np.column_stack([np.diag(scale), shift])
    rgb = cv2.warpAffine(picture.rgb, matrix, (SIDE, SIDE), borderValue=(114, 114, 114))
    kinds: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for boxes, person in ((picture.people, True), (picture.ignored, False)):
        for corners in boxes.reshape(-1, 2, 2) * scale + shift:
            box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
            inside = np.clip(box, 0, SIDE)
            sides = inside[2:] - inside[:2]
            if not (sides > 0).all():
                continue
            seen = np.prod(sides) / np.prod(box[2:] - box[:2]) >= SEEN and sides.min() >= LEAST
            kinds[person and bool(seen)].append(inside)
    people, ignored = (
        np.reshape(kinds[kind], (-1, 4)).astype(np.float32) for kind in (True, False)
    )
    return LabelledBoxes(jitter_colours(rgb, rng), people, ignored)


def nobody_view(picture: LabelledBoxes, rng: np.random.Generator) -> LabelledBoxes:
    """A part of the picture where nobody is; if there is none, and at times, plain colour."""
    taken = np.concatenate([picture.people, picture.ignored])
    none, sides = np.zeros((0, 4), np.float32), np.array(picture.rgb.shape[1::-1])
    for _ in range(20):
        share = rng.uniform(0.25, 0.7, 2)
        low = rng.uniform(0, 1 - share) * sides
        high = low + share * sides
        if not ((taken[:, :2] < high) & (taken[:, 2:] > low)).all(axis=1).any():
            (left, top), (right, bottom) = low.astype(int), high.astype(int)
            part = cv2.resize(picture.rgb[top:bottom, left:right], (SIDE, SIDE))
            if rng.random() < 0.75:
                return LabelledBoxes(part, none, none)
            break
    rgb = np.full((SIDE, SIDE, 3), rng.uniform(0, 255, 3))
    rgb += np.linspace(-1, 1, SIDE)[:, None, None] * rng.uniform(-60, 60, 3)
    rgb += rng.normal(0, rng.uniform(0, 20), rgb.shape)
    if rng.random() < 0.4:
        rgb[:] = rng.integers(0, 256)
    return LabelledBoxes(np.clip(rgb, 0, 255).astype(np.uint8), none, none)


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
    """Loss of one picture: of its scores, of its boxes, and the weight that both are divided by."""

    def __init__(self) -> None:
        self.anchors = torch.from_numpy(anchors.ssd(SIDE, SIDE, SCALES) * np.float32(SIDE))
        middle, half = self.anchors[:, :2], self.anchors[:, 2:] / 2
        self.shapes = torch.cat([middle - half, middle + half], 1)

    def boxes(self, rows: Tensor) -> Tensor:
        """(A, 4) rows y x h w -> x0 y0 x1 y1, pixels; `anchors.decode_ssd` with gradients."""
        centre = rows[:, [1, 0]] / 10 * self.anchors[:, 2:] + self.anchors[:, :2]
        half = torch.exp((rows[:, [3, 2]] / 5).clamp(-4, 4)) * self.anchors[:, 2:] / 2
        return torch.cat([centre - half, centre + half], 1)

    def aims(self, box: Tensor, score: Tensor, people: Tensor) -> tuple[Tensor, Tensor]:
        """What each anchor's score should be (A,), and whose it is (A,): the person's index.

        Of the anchors that reach a person, those with the best scores and boxes are theirs: the
        best one should score as much as its box is right, the others in proportion.
        """
        iou, _ = overlap(box, people)
        reach, _ = overlap(self.shapes, people)
        each = torch.arange(len(people))
        fit = score[:, None].sqrt() * iou.pow(4)
        fit = torch.where(reach > REACH, fit, torch.zeros_like(fit))
        nearest = reach.argmax(0)  # everybody has one anchor at least
        fit[nearest, each] += 1e-6 + 0.05 * iou[nearest, each].pow(4)
        best, index = fit.topk(OF_EACH, 0)
        mine = torch.zeros_like(fit, dtype=torch.bool).scatter_(0, index, best > 1e-7)
        fit, iou = fit * mine, iou * mine
        aim = fit / fit.amax(0).clamp_min(1e-9) * iou.amax(0)
        sure, whose = torch.where(mine, iou + 1e-4, torch.zeros_like(iou)).max(1)
        aim = aim[torch.arange(len(aim)), whose].clamp(0, 1)
        return torch.where(sure > 0, aim, torch.zeros_like(aim)), torch.where(sure > 0, whose, -1)

    def __call__(
        self, rows: Tensor, logits: Tensor, people: Tensor, ignored: Tensor
    ) -> tuple[Tensor, Tensor, float]:
        """Of (A, 4) rows and (A,) logits."""
        box, score = self.boxes(rows), logits.sigmoid()
        aim, weight = torch.zeros_like(logits), 0.75 * score.detach().square()
        of_boxes, whose = rows.sum() * 0, torch.full((len(rows),), -1)
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
        return loss, of_boxes, float(aim.sum())


def train_finder(recipe: FinderRecipe, data: Path) -> PersonSsd:
    """Train the person detector on the pictures of a folder; see `read_boxes`."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    pictures, measure = read_boxes(data), DetectionLoss()
    (file,) = ready.pull("objectron")
    network = channels_last(read_person_ssd(file)).train()
    for part in network.early():
        part.requires_grad_(False)
    average = swa_utils.AveragedModel(network, multi_avg_fn=ema(recipe.average))
    learned = [each for each in network.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(learned, recipe.rate, weight_decay=recipe.decay)
    steps = len(pictures) // recipe.batch
    if not steps:
        raise VitruvianError(
            f"'{data}' has {len(pictures)} images, want at least a batch of {recipe.batch}; set "
            "batch in the recipe"
        )
    for epoch in range(recipe.epochs):
        order, total = rng.permutation(len(pictures)), 0.0
        for step in range(steps):
            which = order[step * recipe.batch : (step + 1) * recipe.batch]
            some = [
                nobody_view(pictures[i], rng)
                if rng.random() < recipe.nobody
                else random_view(pictures[i], recipe, rng)
                for i in which
            ]
            rate = learning_rate(epoch * steps + step, 0, recipe.epochs * steps)
            optimiser.param_groups[0]["lr"] = recipe.rate * rate
            frames = torch.from_numpy(np.stack([each.rgb for each in some])).float() * (2 / 255) - 1
            rows, logits = network(frames)
            parts = [
                measure(rows[i], logits[i, :, 0], *map(torch.from_numpy, each[1:]))
                for i, each in enumerate(some)
            ]
            total_loss = torch.stack(
                [part[0] + recipe.box_weight * part[1] for part in parts]
            ).sum()
            loss = total_loss / max(sum(part[2] for part in parts), 1.0)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(learned, 5.0)
            optimiser.step()
            average.update_parameters(network)
            total += float(loss.detach())
        print(json.dumps({"epoch": epoch + 1, "loss": total / steps}), flush=True)
    network.load_state_dict(average.module.state_dict())
    return network.eval()


def main() -> None:
    """Command-line entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help=".onnx")
    parser.add_argument("--recipe", type=Path)
    asked = parser.parse_args()
    recipe = FinderRecipe() if asked.recipe is None else FinderRecipe.read(asked.recipe)
    write_person_ssd(train_finder(recipe, asked.data), asked.out)


if __name__ == "__main__":
    main()
