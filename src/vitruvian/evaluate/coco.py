"""COCO results, made by whomever, beside the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.evaluate.scores import Found, score
from vitruvian.evaluate.truth import Truth, coco


def average_precision(truth: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, float]:
    """AP, AP50, AP75, AR, AR50 and AR75 of COCO results.

    Args:
        truth: what is in a file of COCO's keypoint annotations.
        results: what is in a file of COCO results.
    """
    known = coco(truth, Path("annotations"))
    found = found_in(results, known, "results")
    numbers = score("results", known, found, [True] * len(known.skeleton), resamples=0).overall
    return {name: number.value for name, number in numbers.items()}


def results_of(file: Path, truth: Truth, notes: list[str] | None = None) -> dict[int, Found]:
    """Who is found by a file of COCO results; nobody in pictures that it does not name.

    Args:
        file: .json, a list of image_id, category_id, keypoints (K times x y score) and score.
        truth: the data set that it is about.
        notes: gets a line if it is about other pictures as well.

    Raises:
        VitruvianError: it cannot be read, or is about other pictures or keypoints.
    """
    try:
        rows = json.loads(file.read_bytes())
    except OSError as error:
        raise VitruvianError(f"cannot read '{file}': {error.strerror}") from None
    except ValueError:
        raise VitruvianError(f"cannot read '{file}': it is no JSON") from None
    return found_in(rows, truth, str(file), notes)


def found_in(
    rows: list[dict[str, Any]], truth: Truth, file: str, notes: list[str] | None = None
) -> dict[int, Found]:
    """The same of what was in the file."""
    k = len(truth.skeleton)
    people: dict[int, list[list[float]]] = {picture.number: [] for picture in truth.pictures}
    strange = 0
    try:
        for row in rows:
            if row.get("category_id", truth.category) != truth.category:
                continue
            if row["image_id"] not in people:
                strange += 1
                continue
            if len(row["keypoints"]) != 3 * k:
                raise VitruvianError(
                    f"'{file}' has {len(row['keypoints']) // 3} keypoints a person, "
                    f"'{truth.source}' has {k}"
                )
            people[row["image_id"]].append([*row["keypoints"], row["score"]])
        arrays = {n: np.array(r, np.float64).reshape(len(r), 3 * k + 1) for n, r in people.items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise VitruvianError(
            f"cannot read '{file}': want COCO results, a list of "
            '{"image_id": ..., "category_id": 1, "keypoints": [x, y, score, ...], "score": ...}'
        ) from None
    if strange and not any(map(len, people.values())):
        raise VitruvianError(f"'{file}' is about other pictures than '{truth.source}'")
    if strange and notes is not None:
        notes.append(f"'{file}': {strange} people in other pictures are left out")
    return {
        number: Found(each[:, :-1].reshape(len(each), k, 3)[..., :2], each[:, -1])
        for number, each in arrays.items()
    }
