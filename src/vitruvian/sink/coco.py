"""COCO results: a list of people with 17 keypoints, as the COCO evaluator reads it."""

from __future__ import annotations

import json
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.sink.records import About, Text


def results(frame: Frame, poses: Poses) -> list[dict[str, Any]]:
    """One entry a person.

    Keypoints are mapped onto COCO's by name. The third value of a keypoint is its score; one that
    was not found is 0, 0, 0, as COCO has it. `image_id` is the number the file is called by
    (COCO's pictures are), otherwise the number of the frame.

    Raises:
        VitruvianError: the skeleton lacks a keypoint of COCO's.
    """
    missing = [name for name in COCO17.keypoints if name not in poses.skeleton.keypoints]
    if missing:
        raise VitruvianError(
            f"COCO results need {missing[0]}, which {poses.skeleton.name} does not have; "
            "write .jsonl instead"
        )
    order = [poses.skeleton[name] for name in COCO17.keypoints]
    points = np.concatenate([poses.xy[:, order], poses.score[:, order, None]], axis=-1)
    points[np.isnan(points).any(axis=-1)] = 0
    points = np.round(points.astype(float), 4).reshape(len(poses), 51)
    corner, far = poses.box[:, :2], poses.box[:, 2:]
    boxes = np.round(np.nan_to_num(np.concatenate([corner, far - corner], axis=1)).astype(float), 4)
    path = Path(frame.source)
    return [
        {
            "image_id": int(path.stem) if path.stem.isdecimal() else frame.index,
            "file_name": path.name,
            "category_id": 1,
            "keypoints": keypoints,
            "bbox": box,
            "score": round(float(score), 6),
        }
        for keypoints, box, score in zip(
            points.tolist(), boxes.tolist(), poses.box_score, strict=True
        )
    ]


def coco_results(path: Path, model: About | None) -> Text:
    """A `.json` file of COCO results."""
    between = chain([""], repeat(",\n"))

    def lines(frame: Frame, poses: Poses) -> str:
        return "".join(next(between) + json.dumps(entry) for entry in results(frame, poses))

    return Text(path, "[\n", lines, "\n]\n")
