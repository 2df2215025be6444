"""Evaluate vitruvian-2d: `python -m vitruvian.train.score weights.pt DATA`.

COCO's keypoint AP of the validation people, with ground-truth boxes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vitruvian.body.skeletons import COCO17
from vitruvian.decode import heatmap
from vitruvian.evaluate import coco
from vitruvian.exports.networks.vitruvian2d import SIZE, STRIDE, Vitruvian2D
from vitruvian.train.data import people
from vitruvian.train.data.augment import person_crop

# For maps before the sigmoid, which keeps the brightest cell; values after it are never 0.
DECODE: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "integral": heatmap.integral,
    "argmax": lambda maps: heatmap.argmax(heatmap.sigmoid(maps)),
    "local": lambda maps: heatmap.local(heatmap.sigmoid(maps)),
}


def as_tensor(array: np.ndarray) -> Tensor:
    """Convert an array to a tensor."""
    return torch.from_numpy(np.ascontiguousarray(array))


def predict_heatmaps(network: nn.Module, crops: np.ndarray, flip: bool = False) -> np.ndarray:
    """(N, 3, H, W) RGB 0..1 -> (N, K, h, w) before the sigmoid; with `flip` a mean of two."""
    with torch.no_grad():
        x = as_tensor(crops).contiguous(memory_format=torch.channels_last)
        maps = network(x).maps.numpy()
        if flip:  # probabilities are averaged, as in `vitruvian.models.alphapose`
            other = heatmap.mirrored(network(x.flip(-1)).maps.numpy(), COCO17.mirror, shift=True)
            mean = (heatmap.sigmoid(maps) + heatmap.sigmoid(other)) / 2
            maps = np.log(mean) - np.log1p(-mean)
    return maps


def validation_ap(
    network: nn.Module, some: list[people.Person2D], decode: str = "local", flip: bool = False
) -> float:
    """OKS-AP with ground-truth boxes: COCO's evaluator, each person as an image of their own."""
    decoder = DECODE[decode]
    results, truth = [], []
    for start in range(0, len(some), 32):
        chosen = some[start : start + 32]
        crops = people.collate_2d(chosen, SIZE, STRIDE, None, np.random.default_rng(0)).crops
        maps = predict_heatmaps(network, crops, flip)
        xy, score = decoder(maps)
        for i, person in enumerate(chosen):
            at = person_crop(person.box, SIZE).to_frame(np.nan_to_num(xy[i]) * STRIDE)
            number = len(truth) + 1
            common = {"image_id": number, "category_id": 1}
            truth.append(coco_annotation(person, number))
            rows = np.concatenate([at, score[i][:, None]], 1)
            mean = float(score[i].mean())
            results.append({**common, "keypoints": rows.ravel().tolist(), "score": mean})
    return keypoint_ap(truth, results)


def coco_annotation(person: people.Person2D, number: int) -> dict:
    """COCO annotation of a person in the image with this number."""
    points = np.concatenate([person.xy, 2.0 * person.seen[:, None]], 1)
    return {
        "image_id": number,
        "category_id": 1,
        "id": number,
        "area": person.area,
        "bbox": person.box.tolist(),
        "iscrowd": 0,
        "num_keypoints": int(person.seen.sum()),
        "keypoints": points.ravel().tolist(),
    }


def keypoint_ap(truth: list[dict], results: list[dict]) -> float:
    """COCO's keypoint AP.

    Args:
        truth: as `coco_annotation`.
        results: in COCO's format.
    """
    people = {"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}
    images = [{"id": number} for number in {row["image_id"] for row in truth}]
    said = {"images": images, "annotations": truth, "categories": [people]}
    return coco.coco_average_precision(said, results)["AP"]


def main() -> None:
    """Command-line entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("data", type=Path, help="see `vitruvian.train.data.people.read`")
    asked = parser.parse_args()
    network = Vitruvian2D().eval()
    network.load_state_dict(torch.load(asked.weights, weights_only=True))
    validation = people.read(asked.data, "val")
    for decode in DECODE:
        plain, both = (validation_ap(network, validation, decode, flip) for flip in (False, True))
        print(f"{decode:9} {plain:.3f}, with flip {both:.3f}")


if __name__ == "__main__":
    main()
