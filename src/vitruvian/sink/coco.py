"""COCO results: a list of people with 17 keypoints, as the COCO evaluator reads it; and back.

Annotations, which have pictures and a skeleton besides, are read as well.

Source: "Data format" and "Results format" of cocodataset.org.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import around
from vitruvian.sink.growing import Text
from vitruvian.sink.records import About
from vitruvian.sink.trc import named


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
            "write .jsonl, or with `vitruvian convert --skeleton coco17` zeros in its place"
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


def read_coco(path: str | Path, fps: float | None = None) -> Iterator[tuple[Frame, Poses]]:
    """People by picture, of results or of annotations.

    Pictures without names are called by their numbers. Several of one name are frames of a video,
    which `fps`, frames a second, gives their times; with it, all are frames of one. A keypoint of
    annotations has the score 1 if it can be seen, 0.5 if it is hidden. Crowds are left out.

    Raises:
        VitruvianError: it is missing, something else, or times are not known.
    """
    path = Path(path)
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        labels = isinstance(read, dict)
        table = _skeleton(path, read["categories"]) if labels else COCO17
        pictures: dict[int, dict[str, Any]] = {}
        for picture in read["images"] if labels else ():
            pictures[picture["id"]] = {**picture, "people": []}
        for each in read["annotations"] if labels else read:
            at = pictures.setdefault(
                each["image_id"], {"file_name": each.get("file_name"), "people": []}
            )
            if not each.get("iscrowd"):
                at["people"].append(_person(each, table, labels))
        stacked = {
            number: (at.get("file_name"), (at.get("width", 0), at.get("height", 0)), at["people"])
            for number, at in pictures.items()
        }
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VitruvianError(
            f"cannot read '{path}': no COCO results or annotations of keypoints ({error!r})"
        ) from None
    names = [name for name, _, _ in stacked.values()]
    moving = fps is not None or (len(names) > 1 and len({*names}) == 1 and names[0] is not None)
    if moving and fps is None:
        raise VitruvianError(f"'{path}' has no times; pass --fps, its frames a second")
    for number in sorted(stacked) if moving else stacked:
        name, size, people = stacked[number]
        seconds = 0.0 if fps is None else number / fps
        source = name or (str(path) if moving else f"{number:012}")
        yield Frame(None, number, seconds, source, size=size), _together(table, people)


def _skeleton(path: Path, categories: list[dict[str, Any]]) -> Skeleton:
    """That of the first category; COCO numbers the ends of bones from 1."""
    keypoints = [str(name) for name in categories[0]["keypoints"]]
    bones = [(a - 1, b - 1) for a, b in categories[0].get("skeleton", ())]
    ours = named(path.stem, keypoints)
    return ours if ours.bones else named(path.stem, keypoints, bones)


def _person(
    each: dict[str, Any], table: Skeleton, labels: bool
) -> tuple[np.ndarray, list[float], float]:
    """(K, 3) x, y, score; x0 y0 x1 y1; and how likely there is a person."""
    points = np.array(each["keypoints"], float).reshape(len(table), 3)
    points[(points[:, 2] == 0) if labels else ~points.any(axis=1)] = (np.nan, np.nan, 0)
    points[:, 2] = points[:, 2] / 2 if labels else points[:, 2].clip(0, 1)
    box = around(points[None, :, :2])[0].tolist()
    if "bbox" in each:
        left, top, wide, tall = (float(value) for value in each["bbox"])
        box = [left, top, left + wide, top + tall]
    return points, box, float(each.get("score", 1.0))


def _together(table: Skeleton, people: list[tuple[np.ndarray, list[float], float]]) -> Poses:
    if not people:
        return Poses.nobody(table)
    points, boxes, scores = (np.array(part, np.float32) for part in zip(*people, strict=True))
    nobody = np.full(len(people), -1, np.int64)
    return Poses(table, points[..., :2], points[..., 2], boxes, scores, nobody)
