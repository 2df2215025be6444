"""Evaluate COCO results files against the ground truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.documents import read_json
from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.evaluate.coco_labels import parse_coco
from vitruvian.evaluate.labels import GroundTruth, OddityCounter, parse_number, parse_numbers
from vitruvian.evaluate.scores import PredictedPeople, score_people
from vitruvian.geometry.labelled import apply
from vitruvian.models.finders import VIDEOS
from vitruvian.sources.path_index import PathIndex, path_parts

FORM = (
    'want COCO results, a list of {"image_id": ..., "category_id": 1, "keypoints": [x, y, score, '
    '...], "score": ...}'
)


def coco_average_precision(
    truth: dict[str, Any], results: list[dict[str, Any]]
) -> dict[str, float]:
    """AP, AP50, AP75, AR, AR50 and AR75 of COCO results.

    Args:
        truth: what is in a file of COCO's keypoint annotations.
        results: what is in a file of COCO results.
    """
    known = parse_coco(truth, Path("annotations"))
    found = results_to_people(results, known, "results")
    numbers = score_people(
        "results", known, found, [True] * len(known.skeleton), resamples=0
    ).overall
    return {name: number.value for name, number in numbers.items()}


def read_results(
    file: Path, truth: GroundTruth, notes: list[str] | None = None
) -> dict[int | str, PredictedPeople]:
    """Read the predicted people from a COCO results file; none in images that it does not list.

    Args:
        file: .json, a list of image_id, category_id, keypoints (K times x y score) and score.
        truth: the data set that it refers to.
        notes: gets a line about what was assumed, and what is left out.

    Raises:
        VitruvianError: it cannot be read, or refers to other images or keypoints.
    """
    return results_to_people(read_json(file), truth, str(file), notes)


def results_to_people(
    rows: Any, truth: GroundTruth, file: str, notes: list[str] | None = None
) -> dict[int | str, PredictedPeople]:
    """The same of what was in the file."""
    notes, file = [] if notes is None else notes, shown(file, 60)
    if not isinstance(rows, list) or (rows and not any(isinstance(row, dict) for row in rows)):
        raise VitruvianError(f"cannot read '{file}': {FORM}")
    k, odd = len(truth.skeleton), OddityCounter()
    lengths: Counter[int] = Counter()
    good: list[tuple[dict[str, Any], np.ndarray]] = []  # row; (3 K + 1,) x y score, and the score
    for i, row in enumerate(rows, 1):
        values = _values(row, k)
        if values is not None:
            good.append((row, values))
            continue
        odd("ignored, want image_id, keypoints and score", f"row {i}")
        points = row.get("keypoints") if isinstance(row, dict) else None
        lengths[len(points) if isinstance(points, list) else 0] += 1
    if odd.count and not good:
        most = max(lengths, key=lambda n: lengths[n])
        if most and most % 3 == 0 and most != 3 * k:
            raise VitruvianError(
                f"'{file}' has {most // 3} keypoints a person, '{shown(truth.source, 60)}' has {k}"
            )
        raise VitruvianError(f"cannot read '{file}': {FORM}")
    ours = _of_people(good, truth, file, notes)
    places = _places([row for row, _ in ours], truth, file, notes)
    people: dict[int | str, list[np.ndarray]] = {p.number: [] for p in truth.pictures}
    for (_, values), number in zip(ours, places, strict=True):
        if number is not None:
            people[number].append(values)
    strange = sum(number is None for number in places)
    if strange and strange == len(places):
        raise VitruvianError(
            f"'{file}' refers to other images than '{shown(truth.source, 60)}': its image_id "
            f"values look like {shown(ours[0][0].get('image_id'), 30)}, want for example "
            f"{shown(truth.pictures[0].number, 30)}"
        )
    if strange:
        notes.append(f"'{file}': ignored: {amount(strange, 'person', 'people')} in other images")
    notes += [f"'{file}': {line}" for line in odd.lines("rows")]
    full = [p for p in truth.pictures if p.counts.any()]
    silent = sum(not people[p.number] for p in full)
    if places and 2 * silent > len(full):
        notes.append(
            f"'{file}' has no results for {silent} of {len(full)} images with people; they count "
            "as missed"
        )
    found = {}
    for picture in truth.pictures:
        each = np.array(people[picture.number]).reshape(-1, 3 * k + 1)
        xy = each[:, :-1].reshape(len(each), k, 3)[..., :2]
        if picture.refitted is not None:  # results are of the pixels that were labelled
            xy = apply(picture.refitted, xy)
        found[picture.number] = PredictedPeople(xy, each[:, -1])
    return found


def _values(row: Any, k: int) -> np.ndarray | None:
    """(3 K + 1,) x y score of each keypoint, and the person's score; None of an odd row."""
    if not isinstance(row, dict) or not isinstance(row.get("keypoints"), list):
        return None
    points = row["keypoints"]
    if all(isinstance(point, list) for point in points):
        points = [value for point in points for value in point]
    values = parse_numbers([0 if value is None else value for value in points], 3 * k)
    likely = parse_number(row.get("score"))
    if values is None or likely is None or row.get("image_id", row.get("file_name")) is None:
        return None
    return np.append(values, likely)


Rows = list[tuple[dict[str, Any], np.ndarray]]


def _of_people(rows: Rows, truth: GroundTruth, file: str, notes: list[str]) -> Rows:
    """Those of the category of people."""
    wanted = {str(category) for category in truth.categories}
    people = shown(" or ".join(sorted(wanted)), 40)
    kinds = [row.get("category_id") for row, _ in rows]
    counts = Counter(str(kind) for kind in kinds if kind is not None)
    others = shown(", ".join(sorted(counts.keys() - wanted)), 40)
    if len(counts) > 1 and not wanted & counts.keys():
        raise VitruvianError(
            f"'{file}' has results for categories {others}, but people in "
            f"'{shown(truth.source, 60)}' are {people}"
        )
    if counts and not wanted & counts.keys():
        notes.append(
            f"'{file}': person is category {others} in the results and {people} in the ground "
            "truth; treated as the same"
        )
        return rows
    left = [
        row for row, kind in zip(rows, kinds, strict=True) if kind is None or str(kind) in wanted
    ]
    if len(left) < len(rows):
        gone = amount(len(rows) - len(left), "row")
        notes.append(f"'{file}': ignored: {gone} of category {others}")
    return left


def _places(
    rows: list[dict[str, Any]], truth: GroundTruth, file: str, notes: list[str]
) -> list[int | str | None]:
    """Which image of the truth each row is about: by its file_name, or else its image_id."""
    by_id = {str(picture.number): picture for picture in truth.pictures}
    ids = [by_id.get(_key(row.get("image_id"))) for row in rows]
    names = [_file_name(row) for row in rows]
    known = list(dict.fromkeys(name for name in names if name))
    try:
        by_name = dict(zip(known, truth.index.assign(known), strict=True))
    except VitruvianError:  # several images of one name: their ids must tell
        for name, picture in zip(names, ids, strict=True):
            if name and (picture is None or path_parts(name)[-1:] != (picture.path.name,)):
                raise
        by_name = {}
    if all(place is None for place in by_name.values()):
        by_name, names = {}, [None] * len(rows)
    words = [row["image_id"] for row in rows if isinstance(row.get("image_id"), str)]
    by_word = _by_word([w for w in dict.fromkeys(words) if w not in by_id], truth)
    places: list[int | str | None] = []
    differ = 0
    for row, name, picture in zip(rows, names, ids, strict=True):
        place = by_name.get(name) if name in by_name else by_word.get(str(row.get("image_id")))
        if place is not None:
            differ += picture is not None and picture is not truth.pictures[place]
            picture = truth.pictures[place]
        elif name in by_name:
            picture = None
        places.append(None if picture is None else picture.number)
    if differ:
        notes.append(
            f"'{file}': image_id and file_name of {differ} rows refer to different images; "
            "file_name is used"
        )
    return places


def _key(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _file_name(row: dict[str, Any]) -> str | None:
    """Of an image; frames of a video share one, and have numbers."""
    name = row.get("file_name")
    if not isinstance(name, str) or not path_parts(name) or Path(name).suffix.lower() in VIDEOS:
        return None
    return name


def _by_word(words: list[str], truth: GroundTruth) -> dict[str, int | None]:
    """The images that texts in place of image_id mean: names with or without extension."""
    by_word = dict(zip(words, truth.index.assign(words), strict=True))
    bare = [word for word in words if by_word[word] is None]
    stems = PathIndex([str(picture.path.with_suffix("")) for picture in truth.pictures])
    return by_word | dict(zip(bare, stems.assign(bare), strict=True))
