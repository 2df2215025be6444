"""Labelled people of chance, and a model that says what it is told to."""

from pathlib import Path
from typing import Any

import numpy as np

from conftest import stream_defaults
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17

K = len(COCO17)


class Known:
    """A model that says what it is told to, for each image by its name."""

    name = "known"
    weights: dict[str, str] = {}  # noqa: RUF012
    runs_on = "nothing"

    def __init__(self, poses: dict[str, Poses], skeleton=COCO17, **options: Any) -> None:
        self.poses, self.skeleton, self.options = poses, skeleton, {"track": False, **options}
        self.wanted = stream_defaults(self.options)
        self.seen: list[str] = []
        self.stop_at: str | None = None

    def __call__(self, frames, look=None):
        names = [Path(frame.source).name for frame in frames]
        if self.stop_at in names:
            raise KeyboardInterrupt
        self.seen += names
        return [self.poses[name] for name in names]


def body(rng: np.random.Generator, n: int, k: int = K) -> np.ndarray:
    """(n, k, 2) pixels of people in an image of 640 x 480."""
    middle = rng.uniform((120, 120), (500, 360), (n, 1, 2))
    return middle + rng.normal(0, 40, (n, k, 2))


def poses(xy: np.ndarray, score: np.ndarray | float = 1.0, table=COCO17, **more: Any) -> Poses:
    n = len(xy)
    return Poses(
        table,
        xy.astype(np.float32),
        np.ones(xy.shape[:2], np.float32),
        np.concatenate([xy.min(axis=1), xy.max(axis=1)], axis=1).astype(np.float32),
        np.broadcast_to(np.float32(score), n).copy(),
        np.full(n, -1),
        **more,
    )


def annotations(people: dict[str, np.ndarray], names=COCO17.keypoints) -> dict[str, Any]:
    """COCO's, of file name -> (N, K, 2) pixels, everything labelled."""
    images = [{"id": i, "file_name": name} for i, name in enumerate(people, 1)]
    rows: list[dict[str, Any]] = []
    for i, xy in enumerate(people.values(), 1):
        for one in xy:
            low, size = one.min(axis=0), np.ptp(one, axis=0)
            points = np.column_stack([one, np.full(len(one), 2.0)])
            row = {"image_id": i, "id": len(rows) + 1, "category_id": 1, "iscrowd": 0}
            row |= {"bbox": [*low.tolist(), *size.tolist()], "area": float(np.prod(size)) / 2}
            row |= {"keypoints": points.ravel().tolist(), "num_keypoints": len(one)}
            rows.append(row)
    category = {"id": 1, "name": "person", "keypoints": list(names)}
    return {"images": images, "annotations": rows, "categories": [category]}


def found_by(people: dict[str, np.ndarray], **options: Any) -> Known:
    return Known({name: poses(xy) for name, xy in people.items()}, **options)
