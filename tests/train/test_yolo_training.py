"""Training of YOLOv8-pose: the reference's losses, who gets which cell, views with their labels."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SHARED, absent, need

need("torch")

import torch

from vitruvian.body.skeletons import COCO17
from vitruvian.evaluate.oks import oks_sigmas
from vitruvian.exports.networks import yolo
from vitruvian.train.yolo import loss
from vitruvian.weights import checkpoint

WEIGHTS = SHARED / "weights" / "yolov8n-pose.pt"
GOLDEN = SHARED / "golden" / "yolo_pose_loss.npz"


@pytest.fixture(scope="module")
def official():
    if not WEIGHTS.exists():
        absent(f"there is no {WEIGHTS}")
    return yolo.load(checkpoint.read(WEIGHTS).tensors)


def test_losses_and_gradients_are_the_references(official):
    """Five terms on four pictures, and the norms of seven gradients, to four decimals."""
    if not GOLDEN.exists():
        absent(f"there is no {GOLDEN}")
    golden = np.load(GOLDEN)
    size = golden["images"].shape[1]
    xywh, points = golden["boxes_xywh"] * size, golden["keypoints"] * (size, size, 1)
    box = np.concatenate([xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, :2] + xywh[:, 2:] / 2], axis=1)
    people = loss.People(
        torch.from_numpy(golden["batch_idx"]),
        torch.zeros(len(box), dtype=torch.int64),
        torch.from_numpy(box).float(),
        torch.from_numpy(points).float(),
    )
    images = torch.from_numpy(golden["images"]).permute(0, 3, 1, 2).float() / 255
    sigmas = torch.from_numpy(oks_sigmas(COCO17)).float()
    for parameter in official.parameters():
        parameter.requires_grad_(True)
    terms = loss.pose_losses(official.raw(images), people, sigmas, loss.Gains())
    assert list(terms) == ["box", "pose", "kobj", "cls", "dfl"]
    assert [term.item() for term in terms.values()] == pytest.approx(golden["items"], abs=5e-5)
    total = sum(terms.values()) * len(images)
    assert total.item() == pytest.approx(float(golden["total"]), abs=1e-3)
    official.zero_grad()
    total.backward()
    named = dict(official.named_parameters())
    norms = [named[name].grad.norm().item() for name in golden["gradient_names"]]
    assert norms == pytest.approx(golden["gradient_norms"], rel=1e-4)
