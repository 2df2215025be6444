"""Loss of YOLOv8-pose: assignment of cells to people, and five terms.

The terms: bounding boxes (CIoU, and the distribution of each side), class scores, keypoints (1 -
OKS) and their visibility.

Sources: specs/yolov8pose.md, 4 (the behaviour of Ultralytics 8.4.190); Feng et al. 2021,
"Task-aligned One-stage Object Detection"; Zheng et al. 2020, "Distance-IoU Loss" (CIoU); Li et
al. 2020, "Generalized Focal Loss" (boxes as distributions); Maji et al. 2022, "YOLO-Pose" (OKS).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from vitruvian.exports.networks.yolo import BINS

SCORE_POWER, IOU_POWER = 0.5, 6.0  # of the metric that assigns cells
CELLS_EACH = 10  # maximum number of cells of a person
SMALLEST = 16.0  # pixels; smaller sides of a person are taken as this when cells are assigned
LAST_BIN = BINS - 1.01  # largest target of a side, cells: the bin after it exists


class TargetPeople(NamedTuple):
    """The N people of a batch, in pixels of the network's input."""

    picture: Tensor  # (N,) int64, index in the batch
    kind: Tensor  # (N,) int64, class
    box: Tensor  # (N, 4) x0 y0 x1 y1
    points: Tensor  # (N, K, 3) x y and weight 0..1 of its loss; 0: not labelled


class Assigned(NamedTuple):
    """The F cells that are assigned to people."""

    picture: Tensor  # (F,) int64, index in the batch
    cell: Tensor  # (F,) int64
    person: Tensor  # (F,) int64, row of `TargetPeople`
    score: Tensor  # (F,) target score, 0..1


@dataclass(frozen=True)
class Gains:
    """Weights of the terms."""

    box: float = 7.5
    pose: float = 12.0
    kobj: float = 1.0
    cls: float = 0.5
    dfl: float = 1.5


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """(...) complete IoU of (..., 4) boxes x0 y0 x1 y1."""
    eps = 1e-7  # added as in the reference: to heights, union and diagonal
    aw, ah = a[..., 2] - a[..., 0], a[..., 3] - a[..., 1] + eps
    bw, bh = b[..., 2] - b[..., 0], b[..., 3] - b[..., 1] + eps
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(0).prod(-1)
    iou = shared / (aw * ah + bw * bh - shared + eps)
    low, high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    diagonal = (high - low).square().sum(-1) + eps
    apart = (b[..., :2] + b[..., 2:] - a[..., :2] - a[..., 2:]).square().sum(-1) / 4
    aspect = (torch.atan(bw / bh) - torch.atan(aw / ah)).square() * (4 / math.pi**2)
    with torch.no_grad():
        alpha = aspect / (aspect - iou + (1 + eps))
    return iou - apart / diagonal - alpha * aspect


@torch.no_grad()
def assign_cells(scores: Tensor, boxes: Tensor, cells: Tensor, people: TargetPeople) -> Assigned:
    """Task-aligned assignment: each person gets the cells that detect them best.

    The metric of a cell whose centre is inside the bounding box of a person is score^0.5 CIoU^6;
    the ten best cells are theirs. A cell of several people goes to the one with the highest CIoU.
    The target score is the metric, scaled so that its maximum is the person's highest CIoU.

    Args:
        scores: (B, C, A) logits.
        boxes: (B, 4, A) x0 y0 x1 y1, pixels.
        cells: (3, A) column, row and stride.
        people: of the batch.
    """
    n = len(people.box)
    x, y = (cells[:2] + 0.5) * cells[2]
    middle = (people.box[:, :2] + people.box[:, 2:]) / 2
    sides = people.box[:, 2:] - people.box[:, :2]
    half = sides.where(sides >= SMALLEST, sides.new_tensor(SMALLEST)) / 2
    (x0, y0), (x1, y1) = (middle - half).T[..., None], (middle + half).T[..., None]
    inside = (x > x0) & (x < x1) & (y > y0) & (y < y1)  # (N, A)
    person, cell = inside.nonzero(as_tuple=True)  # pairs, in the order of people
    picture = people.picture[person]
    iou = ciou(people.box[person], boxes[picture, :, cell]).clamp(0)
    score = scores[picture, people.kind[person], cell].sigmoid()
    metric = score.pow(SCORE_POWER) * iou.pow(IOU_POWER)

    counts = torch.bincount(person, minlength=n)
    first = counts.cumsum(0) - counts
    rank = torch.arange(len(person), device=person.device) - first[person]
    most = max([CELLS_EACH, *counts.tolist()])
    rows = metric.new_zeros(n, most)
    rows[person, rank] = metric
    best, index = rows.topk(CELLS_EACH, 1)
    pairs = (first[:, None] + index)[best > 0]
    pairs = pairs[iou[pairs].argsort(descending=True, stable=True)]
    where = picture[pairs] * len(x) + cell[pairs]
    order = where.argsort(stable=True)
    fresh = torch.ones_like(where, dtype=torch.bool)
    fresh[1:] = where[order][1:] != where[order][:-1]
    pairs = pairs[order[fresh]]

    person, iou, metric = person[pairs], iou[pairs], metric[pairs]
    best_iou = iou.new_zeros(n).scatter_reduce(0, person, iou, "amax")
    best = metric.new_zeros(n).scatter_reduce(0, person, metric, "amax")
    score = metric * (best_iou / (best + 1e-9))[person]
    return Assigned(picture[pairs], cell[pairs], person, score)


def side_distances(logits: Tensor) -> Tensor:
    """(..., 4, A) mean distance of each side from its cell's centre, cells, of (..., 64, A)."""
    bins = torch.arange(BINS, dtype=logits.dtype, device=logits.device)
    return torch.einsum("...sba,b->...sa", logits.unflatten(-2, (4, BINS)).softmax(-2), bins)


def pose_losses(
    raw: tuple[Tensor, Tensor, Tensor, Tensor], people: TargetPeople, sigmas: Tensor, gains: Gains
) -> dict[str, tuple[Tensor, Tensor]]:
    """The weighted terms box, pose, kobj, cls and dfl: sums, and what they are divided by.

    Args:
        raw: outputs of `vitruvian.exports.networks.yolo.Yolo.raw`.
        people: of the batch.
        sigmas: (K,) of OKS.
        gains: weights of the terms.
    """
    distributions, scores, rows, cells = (each.float() for each in raw)
    centre, stride = cells[:2] + 0.5, cells[2]
    with torch.no_grad():
        left_top, right_bottom = side_distances(distributions).split(2, 1)
        boxes = torch.cat((centre - left_top, centre + right_bottom), 1) * stride
    own = assign_cells(scores, boxes, cells, people)
    target = torch.zeros_like(scores)
    target[own.picture, people.kind[own.person], own.cell] = own.score
    cls = functional.binary_cross_entropy_with_logits(scores, target, reduction="sum")

    # Of the assigned cells, in cells.
    stride, at = stride[own.cell, None], cells[:2, own.cell].T
    truth = people.box[own.person] / stride
    logits = distributions[own.picture, :, own.cell]
    left_top, right_bottom = side_distances(logits[..., None])[..., 0].split(2, 1)
    found = torch.cat((at + 0.5 - left_top, at + 0.5 + right_bottom), 1)
    box = ((1 - ciou(found, truth)) * own.score).sum()

    aim = torch.cat((at + 0.5 - truth[:, :2], truth[:, 2:] - at - 0.5), 1).clamp(0, LAST_BIN)
    low = aim.floor()
    bins = torch.stack((low, low + 1), -1).long()
    near = logits.unflatten(1, (4, BINS)).log_softmax(-1).gather(-1, bins)
    near = near[..., 0] * (low + 1 - aim) + near[..., 1] * (aim - low)
    dfl = -(near.mean(-1) * own.score).sum()

    points = people.points[own.person]
    answer = rows[own.picture, :, own.cell].unflatten(1, (points.shape[1], -1))
    weight = points[..., 2]
    seen = (weight > 0).float()
    off = answer[..., :2] * 2 + at[:, None] - points[..., :2] / stride[..., None]
    area = (truth[:, 2:] - truth[:, :2]).prod(-1)[:, None]
    spread = (2 * sigmas).square() * (area + 1e-9) * 2
    similar = torch.exp(-off.square().sum(-1) / spread)
    each = seen.shape[1] / (seen.sum(-1, keepdim=True) + 1e-9)
    pose = (each * (1 - similar) * weight).sum()
    kobj = pose.new_zeros(())
    if answer.shape[-1] == 3:
        kobj = functional.binary_cross_entropy_with_logits(answer[..., 2], seen, reduction="sum")

    total, count = own.score.sum(), pose.new_tensor(float(seen.numel()))
    return {
        "box": (gains.box * box, total),
        "pose": (gains.pose * pose, count),
        "kobj": (gains.kobj * kobj, count),
        "cls": (gains.cls * cls, total),
        "dfl": (gains.dfl * dfl, total),
    }
