"""Train the person detector: `python -m vitruvian.training.tasks.finder --data DATA --out RUN`.

A person detector, MediaPipe Objectron's or ours, is tuned on whole images with bounding boxes of
everybody. A score becomes an estimate of the IoU of its box, so that of several boxes of a person
the best one survives non-maximum suppression. The first layers stay frozen, and compute their
features in a thread of their own. The weights that are written are an exponential moving average.
Interrupted runs resume from `state.pt` in the output folder.

Sources: Feng et al. 2021, "Task-aligned One-stage Object Detection" (which anchors are
whose, and what their scores should be); Rezatofighi et al. 2019, "Generalized Intersection over
Union".
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import swa_utils

from vitruvian.decode import anchors
from vitruvian.errors import VitruvianError
from vitruvian.evaluate.boxes import box_precision
from vitruvian.exports.export import reread_person_ssd, write_person_ssd
from vitruvian.exports.networks.ssd import PersonSsd, read_person_ssd
from vitruvian.formats.atomic_file import write_whole
from vitruvian.frame import Frame
from vitruvian.models import ready
from vitruvian.models.objectron import SCALES, SIDE, Options, PersonDetector
from vitruvian.sources.threads import Prefetch
from vitruvian.training.data.boxes import (
    LabelledBoxes,
    Views,
    read_boxes,
    training_view,
)
from vitruvian.training.recipe import TomlRecipe
from vitruvian.training.schedule import channels_last, ema, keep_freed_memory, learning_rate

REACH = 0.2  # minimum IoU of an anchor with a person
OF_EACH = 8  # maximum number of anchors of a person


@dataclass(frozen=True)
class FinderRecipe(TomlRecipe):
    """Training parameters; a TOML file with the same names overrides them."""

    seed: int = 0
    batch: int = 16
    start: str = "objectron"  # the person detector whose weights are tuned; or vitruvian-find
    epochs: int = 36
    rate: float = 3e-4
    decay: float = 1e-3  # weight decay
    average: float = 0.998  # decay of the moving average, per step
    apart: int = 8  # one of so many images is kept apart for validation; 0: none
    whole: float = Views.whole
    out: float = Views.out
    close: float = Views.close
    aspect: float = Views.aspect
    nobody: float = Views.nobody
    box_weight: float = 2.0  # loss weight of the boxes; the scores have 1

    @property
    def views(self) -> Views:
        """How the images are varied."""
        return Views(**{field.name: getattr(self, field.name) for field in fields(Views)})


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


class Batch(NamedTuple):
    """Views as the learned layers see them."""

    features: Tensor  # (B, C, H / 8, W / 8), of `PersonSsd.begin`
    people: list[Tensor]  # B times (N, 4), as in `LabelledBoxes`
    ignored: list[Tensor]  # B times (M, 4)


def as_frames(rgb: Sequence[np.ndarray]) -> Tensor:
    """(B, H, W, 3) -1..1 of B images."""
    return torch.from_numpy(np.stack(rgb)).float() * (2 / 255) - 1


def batches(
    recipe: FinderRecipe,
    pictures: Sequence[LabelledBoxes],
    network: PersonSsd,
    epoch: int,
) -> Iterator[Batch]:
    """Random views of all images; which ones depends on the seed and the epoch alone."""
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(pictures))
    for step in range(len(pictures) // recipe.batch):
        rng = np.random.default_rng([recipe.seed, epoch, step])
        which = order[step * recipe.batch : (step + 1) * recipe.batch]
        some = [training_view(pictures[i], recipe.views, rng) for i in which]
        with torch.no_grad():
            features = network.begin(as_frames([view.rgb for view in some]))
        boxes = [[torch.from_numpy(each) for each in (v.people, v.ignored)] for v in some]
        people, ignored = (list(each) for each in zip(*boxes, strict=True))
        yield Batch(features, people, ignored)


def batch_loss(measure: DetectionLoss, network: PersonSsd, some: Batch, weight: float) -> Tensor:
    """Mean loss of a batch; `weight` is that of the boxes."""
    rows, logits = network.finish(some.features)
    each = zip(rows, logits[..., 0], some.people, some.ignored, strict=True)
    parts = [measure(*parts) for parts in each]
    total = torch.stack([scores + weight * boxes for scores, boxes, _ in parts]).sum()
    return total / max(sum(part[2] for part in parts), 1.0)


def validate(network: PersonSsd, pictures: Sequence[LabelledBoxes]) -> tuple[float, float]:
    """AP of the boxes at an IoU of 0.5, and the share of people found at a wrong box per image."""

    def run(*inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        with torch.no_grad():
            return tuple(each.numpy() for each in network(torch.from_numpy(inputs[0])))

    find = PersonDetector(run, Options(conf=0.02))
    found = [find([Frame(picture.rgb)])[0] for picture in pictures]
    return box_precision(
        [(each.bounds(), each.score) for each in found],
        [(picture.people, picture.ignored) for picture in pictures],
    )


def train_finder(
    recipe: FinderRecipe,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
) -> PersonSsd:
    """Train the person detector, or resume an interrupted run.

    Args:
        recipe: training parameters.
        data: folder of images with everybody in them; see `read_boxes`.
        out: folder for recipe.toml, log.jsonl and state.pt, which is written after each epoch.
        resume: continue what is in `out`.

    Raises:
        VitruvianError: too few images; or `out` has a run, and `resume` is not set.
    """
    torch.manual_seed(recipe.seed)
    everything, measure = read_boxes(data), DetectionLoss()
    apart = everything[:: recipe.apart] if recipe.apart else []
    taken = {picture.number for picture in apart}
    pictures = [picture for picture in everything if picture.number not in taken]
    steps = len(pictures) // recipe.batch
    if not steps:
        raise VitruvianError(
            f"'{data}' has {len(pictures)} images, want at least a batch of {recipe.batch}; set "
            "batch in the recipe"
        )
    (file,) = ready.pull(recipe.start)
    read = reread_person_ssd if file.suffix == ".onnx" else read_person_ssd
    network = channels_last(read(file)).train()
    for part in network.early():
        part.requires_grad_(False)
    average = swa_utils.AveragedModel(network, multi_avg_fn=ema(recipe.average))
    learned = [each for each in network.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(learned, recipe.rate, weight_decay=recipe.decay)
    out.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []  # of the log, one an epoch
    state_file = out / "state.pt"
    if state_file.exists() and not resume:
        raise VitruvianError(f"'{out}' has a run already; give another --out, or --resume")
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        if state["recipe"] != asdict(recipe):
            raise VitruvianError(f"'{out}' is a run of another recipe; give another --out")
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        lines = state["lines"]
    recipe.write(out / "recipe.toml")
    for epoch in range(len(lines), recipe.epochs):
        total, began = 0.0, time.monotonic()
        made = Prefetch(batches(recipe, pictures, network, epoch))
        for step, some in enumerate(made):
            rate = learning_rate(epoch * steps + step, 0, recipe.epochs * steps)
            optimiser.param_groups[0]["lr"] = recipe.rate * rate
            loss = batch_loss(measure, network, some, recipe.box_weight)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(learned, 5.0)
            optimiser.step()
            average.update_parameters(network)
            total += float(loss.detach())
        line = {"epoch": epoch + 1, "loss": round(total / steps, 4)}
        if apart:
            assert isinstance(average.module, PersonSsd)
            ap, share = validate(average.module, apart)
            line |= {"ap50": round(ap, 4), "found": round(share, 4)}
        line["seconds"] = round(time.monotonic() - began)
        print(json.dumps(line), flush=True)
        lines.append(json.dumps(line) + "\n")
        state = {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "lines": lines,
            "recipe": asdict(recipe),
        }
        torch.save(state, out / "fresh.pt")
        (out / "fresh.pt").replace(state_file)
        write_whole(out / "log.jsonl", "".join(lines))
    network.load_state_dict(average.module.state_dict())
    return network.eval()


def main() -> None:
    """Command-line entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="images with everybody in them")
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--threads", type=int, default=1, help="beside one that makes the views")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_freed_memory()
    recipe = FinderRecipe() if asked.recipe is None else FinderRecipe.read(asked.recipe)
    network = train_finder(recipe, asked.data, asked.out, resume=asked.resume)
    write_person_ssd(network, asked.out / "vitruvian-find.onnx")


if __name__ == "__main__":
    main()
