"""A user's folder for the tutorial of training: a few images with labels of four keypoints."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

NAMES = ("nose", "left_wrist", "right_wrist", "hat")
DOTS = np.array([[0, -35], [-20, 5], [20, 5], [0, -55]])  # from the middle of a person
COLOURS = ((250, 60, 60), (60, 250, 60), (60, 60, 250), (250, 250, 60))


def make_mine(folder: Path, pictures: int = 10) -> Path:
    """mine/images, mine/labels.json and mine.toml in a folder; two people an image.

    People are ellipses with a coloured dot at each keypoint.
    """
    rng = np.random.default_rng(0)
    (folder / "mine" / "images").mkdir(parents=True)
    images, rows = [], []
    for i in range(pictures):
        rgb = rng.integers(90, 130, (160, 200, 3), np.uint8)
        for middle in (55, 145):
            x, y = middle + rng.integers(-8, 8), 85 + rng.integers(-8, 8)
            cv2.ellipse(rgb, (int(x), int(y)), (26, 60), 0, 0, 360, (190, 170, 160), -1)
            points = DOTS + np.array([x, y])
            points += rng.integers(-3, 4, points.shape)
            for point, colour in zip(points.tolist(), COLOURS, strict=True):
                cv2.circle(rgb, point, 4, colour, -1)
            keypoints = np.concatenate([points, np.full((4, 1), 2)], axis=1)
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": i + 1,
                    "category_id": 1,
                    "bbox": [int(x) - 28, int(y) - 62, 56, 124],
                    "area": 4900,
                    "iscrowd": 0,
                    "keypoints": keypoints.ravel().tolist(),
                }
            )
        cv2.imwrite(str(folder / "mine" / "images" / f"{i}.png"), rgb[..., ::-1])
        images.append({"id": i + 1, "file_name": f"{i}.png", "width": 200, "height": 160})
    person = {"id": 1, "name": "person", "keypoints": list(NAMES)}
    said = {"images": images, "annotations": rows, "categories": [person]}
    (folder / "mine" / "labels.json").write_text(json.dumps(said))
    table = ", ".join(f'["{name}", ""]' for name in NAMES)
    (folder / "mine.toml").write_text(f'name = "mine"\nkeypoints = [{table}]\n')
    return folder / "mine"
