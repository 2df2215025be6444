"""Read COCO keypoint annotations, from COCO and from labelling tools.

Invalid values are skipped or replaced, counted, and reported: CVAT, Label Studio and others write
no area, people without keypoints, cars beside people, and image paths of another machine.

Source: "Data format" of cocodataset.org.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError, shown
from vitruvian.evaluate.labels import (
    FILLED,
    OCCLUDED,
    PERSON,
    GroundTruth,
    LabelledPicture,
    OddityCounter,
    box_around_keypoints,
    labelled_skeleton,
    parse_number,
    parse_numbers,
)
from vitruvian.sources.path_index import find_below, path_parts

LOOKED_FOR = 20  # images to check when searching for their folder


def parse_coco(
    said: Mapping[str, Any],
    data: Path,
    images: Path | None = None,
    skeleton: Skeleton | None = None,
    boxes: bool = False,
) -> GroundTruth:
    """Parse COCO keypoint annotations; without a hash.

    Args:
        said: parsed content of the file.
        data: path of the file.
        images: image folder; by default it is searched beside the file.
        skeleton: of the keypoints, overrides the names in the file.
        boxes: whether bounding boxes are enough: people need no keypoints.

    Raises:
        VitruvianError: it has no keypoints, or is invalid.
    """
    odd, notes = OddityCounter(), _notes(said)
    categories, pictures, annotations = (
        _rows(said, key, data, odd) for key in ("categories", "images", "annotations")
    )
    named = [row for row in categories if str(row.get("name")).lower() in PERSON]
    if boxes and named and not any(row.get("keypoints") for row in categories):
        kinds, table = named, skeleton or COCO17
    else:
        kinds = _people(categories, annotations, data, skeleton, notes)
        table = skeleton or _skeleton(kinds[0], data)
    ids = {str(row.get("id")) for row in kinds}
    names = _names(pictures, data)
    rows: dict[str, list[_Person]] = defaultdict(list)
    others = set()
    for row in annotations:
        category = row.get("category_id")
        if str(category) not in ids and not (category is None and len(categories) == 1):
            others.add(str(category))
        elif str(row.get("image_id")) not in names:
            odd("ignored, their image is not listed", f"image_id {row.get('image_id')}")
        elif (person := _person(row, len(table), odd, boxes)) is not None:
            rows[str(row.get("image_id"))].append(person)
    if not rows:
        why = next(iter(odd.lines("rows")), f"no annotations of {kinds[0].get('name')}")
        raise VitruvianError(f"no labelled people in '{data}': {why}")
    if others:
        called = {str(row.get("id")): str(row.get("name")) for row in categories}
        what = ", ".join(sorted({called.get(each, f"category {each}") for each in others})[:5])
        notes.append(f"annotations of {shown(what, 100)} are ignored")
    folder = _beside(data, [name for _, name, _ in names.values()]) if images is None else images
    found = []
    for key in sorted(names, key=lambda key: _order(names[key][0])):
        number, name, size = names[key]
        path = Path(name)
        if images is not None or not (path.is_absolute() and os.path.isfile(name)):  # noqa: PTH113
            path = find_below(folder, name)
        found.append(_picture(number, path, size, rows.get(key, []), len(table)))
    categories = tuple(row.get("id") for row in kinds)
    return GroundTruth(str(data), table, found, "", categories, [*notes, *odd.lines("rows")])


def _notes(said: Mapping[str, Any]) -> list[str]:
    """Notes of whoever wrote the file, as `vitruvian.training.data.labelled.write_coco` does."""
    info = said.get("info")
    notes = info.get("notes") if isinstance(info, dict) else None
    return [shown(note, 300) for note in notes if note] if isinstance(notes, list) else []


def _rows(
    said: Mapping[str, Any], key: str, data: Path, odd: OddityCounter
) -> list[dict[str, Any]]:
    rows = said.get(key, [])
    if not isinstance(rows, list):
        raise VitruvianError(f"cannot read '{data}': {key} is not a list; want COCO annotations")
    for row in rows:
        if not isinstance(row, dict):
            odd(f"entries of {key} ignored, not JSON objects", row)
    return [row for row in rows if isinstance(row, dict)]


# Categories and keypoint names


def _people(
    categories: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    data: Path,
    skeleton: Skeleton | None,
    notes: list[str],
) -> list[dict[str, Any]]:
    """The categories of people: those with keypoints."""
    used = {str(row.get("category_id")) for row in annotations if row.get("keypoints")}
    kinds = [row for row in categories if row.get("keypoints")]
    if not kinds and skeleton is not None:  # names are given, the categories have none
        kinds = [row for row in categories if str(row.get("id")) in used]
    if not kinds:
        raise VitruvianError(
            f"no category of '{data}' has keypoints; COCO's are in person_keypoints_*.json; for a "
            "file without keypoint names give --skeleton"
        )
    if len(kinds) > 1:
        named = [row for row in kinds if str(row.get("name")).lower() in PERSON]
        kinds = named or [row for row in kinds if str(row.get("id")) in used] or kinds
    if len(kinds) > 1 and skeleton is None:
        first = _skeleton(kinds[0], data).keypoints
        if any(_skeleton(row, data).keypoints != first for row in kinds):
            some = shown(", ".join(str(row.get("name")) for row in kinds), 80)
            raise VitruvianError(
                f"{len(kinds)} categories of '{data}' have keypoints ({some}) and none is named "
                "person; remove the others from the file"
            )
    if len(kinds) > 1:
        some = ", ".join(str(row.get("name")) for row in kinds)
        notes.append(f"{shown(some, 100)} have the same keypoints; all are treated as people")
    return kinds


def _skeleton(category: dict[str, Any], data: Path) -> Skeleton:
    """Skeleton of a category: a built-in one, if it has the same keypoints."""
    name, bones = str(category.get("name", "truth")), category.get("skeleton", [])
    try:
        return labelled_skeleton(category["keypoints"], str(data), bones, shown(name, 40))
    except ValueError as error:
        raise VitruvianError(
            f"cannot read '{data}': category '{shown(name, 40)}': {error}"
        ) from None


# Images


def _names(
    pictures: list[dict[str, Any]], data: Path
) -> dict[str, tuple[int | str, str, tuple[int, int]]]:
    """Image id as text -> id, file name, and size.

    Raises:
        VitruvianError: two images have the same id.
    """
    names: dict[str, tuple[int | str, str, tuple[int, int]]] = {}
    for row in pictures:
        number = row.get("id")
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        if not isinstance(number, (int, str)) or isinstance(number, bool):
            raise VitruvianError(
                f"cannot read '{data}': image id {shown(number, 40)} is invalid, want a number or "
                "string"
            )
        name = row.get("file_name") or row.get("coco_url")
        name = name if isinstance(name, str) and path_parts(name) else str(number)
        first = names.setdefault(str(number), (number, name, _size(row)))
        if path_parts(first[1]) != path_parts(name):
            raise VitruvianError(
                f"two images in '{data}' have the id {shown(number, 20)}, '{shown(first[1], 60)}' "
                f"and '{shown(name, 60)}'; make ids unique"
            )
    return names


def _size(row: dict[str, Any]) -> tuple[int, int]:
    """Width and height in the file; 0, 0 if missing."""
    sides = [parse_number(row.get(key)) for key in ("width", "height")]
    whole = [int(side) if side is not None and 1 <= side < 1e6 else 0 for side in sides]
    return (whole[0], whole[1]) if all(whole) else (0, 0)


def _order(number: int | str) -> tuple[bool, int, str]:
    """Sort key: numbers first, then text."""
    return (False, number, "") if isinstance(number, int) else (True, 0, number)


def _beside(data: Path, names: list[str]) -> Path:
    """The image folder of an annotation file, from common dataset layouts."""
    part = data.stem.rsplit("_", 1)[-1]  # val2017
    above = data.absolute().parent
    places = [above / "images", above, above.parent / part, above.parent / "images" / part]
    places += [above.parent / "images", above.parent]
    some = names[:: max(1, len(names) // LOOKED_FOR)]

    def there(folder: Path) -> int:
        return sum(os.path.isfile(find_below(folder, name)) for name in some)  # noqa: PTH113

    return max(places, key=there)  # the first of those with most images


# People


class _Person:
    """One annotation."""

    def __init__(
        self,
        points: np.ndarray,
        box: np.ndarray,
        area: float,
        crowd: bool,
        head: float,
        weight: np.ndarray,
    ) -> None:
        self.points = points  # (K, 3) x y v
        self.box = box  # (4,) x y width height
        self.area, self.crowd, self.head = area, crowd, head
        self.weight = weight  # (K,) 0..1


def _person(row: dict[str, Any], k: int, odd: OddityCounter, boxes: bool = False) -> _Person | None:
    """An annotation, with missing values replaced; None if nothing is usable."""
    where = f"annotation {row.get('id')}"
    bare = boxes and not row.get("keypoints")
    points = np.zeros((k, 3)) if bare else _points(row, k, odd, where)
    labelled = points[:, 2] > 0
    box = parse_numbers(row.get("bbox"), 4)
    if box is not None and (box[2:] < 0).any():
        box = None
    if labelled.any() and (box is None or not box[2:].any()):
        odd("people without a bounding box; the box around the keypoints is used", where)
        box = box_around_keypoints(points[:, :2], labelled)
    if box is None:
        odd("ignored, no bounding box and no keypoints", where)
        return None
    area = parse_number(row.get("area"))
    if area is None or area <= 0:
        if labelled.any():
            odd(f"people without an area, {FILLED} of the box area is used", where)
        area = FILLED * float(box[2] * box[3])
    crowd = parse_number(row.get("iscrowd", 0)) or 0
    # Source: MPII's evaluation, 0.6 times the diagonal of the head's box; PoseTrack's name.
    head = parse_numbers(row.get("bbox_head"), 4)
    size = math.nan if head is None else 0.6 * math.hypot(*head[2:])
    # Our own: how sure the teacher is whose labels they are, see `vitruvian.verbs.distil`.
    weight = parse_numbers(row.get("keypoint_weights", [1] * k), k)
    if weight is None or not ((weight >= 0) & (weight <= 1)).all():
        odd(f"keypoint_weights are not {k} numbers from 0 to 1; ignored", where)
        weight = np.ones(k)
    return _Person(points, box, area, bool(crowd), size, weight)


def _points(row: dict[str, Any], k: int, odd: OddityCounter, where: str) -> np.ndarray:
    """(K, 3) x y v; nothing is labelled if the annotation has no keypoints."""
    said = row.get("keypoints")
    if not isinstance(said, list) or not said:
        odd("people without keypoints, not evaluated", where)
        return np.zeros((k, 3))
    if any(isinstance(value, list) for value in said):
        said = [value for part in said for value in (part if isinstance(part, list) else [part])]
    said = [0 if value is None else value for value in said]
    points = parse_numbers(said, 3 * k)
    if points is None:
        what = f"{len(said)} values" if len(said) != 3 * k else "values that are not numbers"
        odd(f"keypoints are {what}, want {3 * k} numbers; not evaluated", where)
        return np.zeros((k, 3))
    points = points.reshape(k, 3)
    if not (points[:, 2] > 0).any() and points[:, :2].any():
        odd("all keypoints have v = 0 (not labelled); not evaluated", where)
    return points


def _picture(
    number: int | str, path: Path, size: tuple[int, int], people: list[_Person], k: int
) -> LabelledPicture:
    n = len(people)
    points = np.array([each.points for each in people]).reshape(n, k, 3)
    return LabelledPicture(
        number,
        path,
        points[..., :2],
        points[..., 2] > 0,
        np.array([each.box for each in people], np.float64).reshape(n, 4),
        np.array([each.area for each in people], np.float64),
        np.array([each.crowd for each in people], bool),
        np.array([each.head for each in people], np.float64),
        size=size,
        weight=np.array([each.weight for each in people], np.float32).reshape(n, k),
        occluded=points[..., 2] == OCCLUDED,
    )
