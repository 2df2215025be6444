"""Person detections from a file instead of a person detector.

Three JSON formats: COCO annotations (`images` and `annotations`), COCO results (a list), and
AlphaPose's `--detfile` (a list whose `image_id` is a path).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.documents import read_json
from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.frame import Frame, exif_orientation
from vitruvian.geometry.labelled import apply_to_boxes, refit
from vitruvian.geometry.regions import Regions
from vitruvian.sources.path_index import PathIndex, path_parts
from vitruvian.weights.download import sha256

PERSON = 1  # COCO category id
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm")  # one name for many frames
MOST = 1e8  # pixels; larger values are invalid
FORM = (
    'want COCO annotations, or a list of {"image_id": ..., "bbox": [x, y, width, height], '
    '"score": ...}'
)


class Detections:
    """Returns the detections of each frame from a file, above a confidence threshold."""

    def __init__(self, file: Path, conf: float = 0.0) -> None:
        """Read a file.

        Args:
            file: .json, see above; bounding boxes are x, y, width, height in pixels.
            conf: 0..1, confidence threshold. Annotations have a score of 1.

        Raises:
            VitruvianError: it is missing, or in none of the formats.
        """
        self.file, self.conf = file, conf
        self.notes: list[str] = []  # assumptions, and skipped rows
        # Image name (None if the file has only numbers) -> frame number (None if the name is
        # enough) -> rows of a bounding box and its score.
        self._rows: dict[str | None, dict[int | None, list[list[float]]]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}  # of images, if the file tells
        self._odd = 0
        read = read_json(file)
        if isinstance(read, dict):
            self._annotations(read)
        else:
            self._results(read)
        boxes = [row for each in self._rows.values() for rows in each.values() for row in rows]
        if self._odd and not boxes:
            raise self._unreadable()
        if self._odd:
            self.notes.append(f"'{file}': ignored {amount(self._odd, 'row')}, want numbers in bbox")
        self._said = isinstance(read, dict)  # annotations list their images; results do not
        self._index = PathIndex([name for name in self._rows if name is not None])
        self._used: dict[str | int, str] = {}  # name or number in the file -> source matched to it
        self.weights = {file.name: sha256(file)}

    def _unreadable(self) -> VitruvianError:
        return VitruvianError(f"cannot read '{shown(self.file, 100)}': {FORM}")

    def _annotations(self, read: dict[str, Any]) -> None:
        images, people = read.get("images"), read.get("annotations")
        if not isinstance(images, list) or not isinstance(people, list):
            raise self._unreadable()
        names: dict[str, tuple[str, int | None]] = {}  # id -> name and frame number
        ids: dict[tuple[str, int | None], object] = {}
        for image in images:
            if not isinstance(image, dict) or "id" not in image:
                raise self._unreadable()
            name = image.get("file_name") or image.get("coco_url") or str(image["id"])
            if not isinstance(name, str) or not path_parts(name):
                raise self._unreadable()
            number = _number(image["id"]) if _is_video(name) else None
            first = ids.setdefault((name, number), image["id"])
            if first != image["id"]:
                raise VitruvianError(
                    f"'{shown(self.file, 80)}' has two images '{shown(name, 60)}', "
                    f"{shown(first, 20)} and {shown(image['id'], 20)}; rename one"
                )
            names[_key(image["id"])] = name, number
            self._rows.setdefault(name, {}).setdefault(number, [])
            sides = [_number(image.get(side)) or 0 for side in ("width", "height")]
            if all(0 < side < MOST for side in sides):
                self._sizes[name] = (sides[0], sides[1])
        for row in self._of_people(people, read.get("categories")):
            place, box = names.get(_key(row.get("image_id"))), _box(row.get("bbox"))
            if place is None or box is None:
                self._odd += 1
            elif not row.get("iscrowd"):
                self._rows[place[0]][place[1]].append([*box, 1.0])

    def _results(self, read: Any) -> None:
        if not isinstance(read, list):
            raise self._unreadable()
        for row in self._of_people(read, None):
            box, score = _box(row.get("bbox")), row.get("score")
            name, number = _place(row)
            good = isinstance(score, (int, float)) and abs(score) < MOST
            good = good and (name is not None or number is not None)
            if box is None or not good:
                self._odd += 1
            else:
                rows = self._rows.setdefault(name, {}).setdefault(number, [])
                rows.append([*box, float(score or 0)])

    def _of_people(self, rows: list[Any], categories: Any) -> list[dict[str, Any]]:
        """Rows of the person category: named "person", or with keypoints, or 1, or the only one."""
        good = [row for row in rows if isinstance(row, dict)]
        self._odd += len(rows) - len(good)
        kinds = {_key(row["category_id"]) for row in good if row.get("category_id") is not None}
        known = categories if isinstance(categories, list) else []
        known = [row for row in known if isinstance(row, dict)]
        people = [row for row in known if str(row.get("name")).lower() == "person"]
        people = people or [row for row in known if row.get("keypoints")]
        ids = {_key(row.get("id")) for row in people} or {str(PERSON)}
        if kinds and not kinds & ids:
            some, file = shown(", ".join(sorted(kinds)), 40), shown(self.file, 80)
            if len(kinds) > 1 or len(known) > 1:
                raise VitruvianError(
                    f"'{file}' has boxes of category {some}, but none of people "
                    f"({shown(', '.join(sorted(ids)), 20)}); name one of its categories person"
                )
            self.notes.append(f"'{file}': category {some}, the only one, is treated as people")
            return good
        return [r for r in good if r.get("category_id") is None or _key(r["category_id"]) in ids]

    def find(self, frames: Sequence[Frame]) -> list[Regions]:
        """The bounding boxes of each frame, highest score first.

        Raises:
            VitruvianError: the file has no entry for an image, or several of that name.
        """
        return [self._of(frame) for frame in frames]

    def _of(self, frame: Frame) -> Regions:
        path = Path(frame.source)
        # As in COCO results: an image's number is its name, or else its index in the source.
        number = None if _is_video(frame.source) else _number(path.stem)
        number = frame.index if number is None else number
        place = self._index.find(frame.source)
        name = None if place is None else self._index.paths[place]
        if name is None and self._said:
            raise VitruvianError(
                f"'{shown(self.file, 80)}' has no entry for image '{shown(path.name, 60)}'; give "
                "a complete file"
            )
        rows = list(self._rows.get(None, {}).get(number, ()))
        if rows:
            self._once(number, frame.source)
        if name is not None:
            self._once(name, frame.source)
            some = self._rows[name]
            rows += [*some.get(number, ()), *some.get(None, ())]
        found = _boxes(rows, self.conf)
        found = found[np.argsort(-found[:, 4], kind="stable")]
        box = self._refitted(found[:, :4], name, frame)
        return Regions.boxes(box.astype(np.float32), found[:, 4].astype(np.float32))

    def _once(self, what: str | int, source: str) -> None:
        """Raise `VitruvianError` if it was matched to another image before."""
        first = self._used.setdefault(what, source)
        if path_parts(first) != path_parts(source) and not _same_file(first, source):
            raise VitruvianError(
                f"'{shown(first, 60)}' and '{shown(source, 60)}' would both be "
                f"'{shown(what, 60)}' of '{shown(self.file, 60)}'; include their folders in the "
                "names"
            )

    def _refitted(self, box: np.ndarray, name: str | None, frame: Frame) -> np.ndarray:
        """Boxes rescaled to the frame, if they are for another image size."""
        size = frame.size if name is None else self._sizes.get(name, frame.size)
        if size == frame.size or not all(frame.size) or not len(box):
            return box
        by = refit(size, frame.size)
        if by is None:
            by = refit(size, frame.size, exif_orientation(Path(frame.source)))
        if by is None:
            raise VitruvianError(
                f"'{shown(frame.source, 80)}' is {frame.size[0]} x {frame.size[1]}, its bounding "
                f"boxes in '{shown(self.file, 60)}' are for {size[0]} x {size[1]}; use the "
                "labelled images"
            )
        return apply_to_boxes(by, box)


def _same_file(a: str, b: str) -> bool:
    try:
        return os.path.realpath(a) == os.path.realpath(b)
    except ValueError:  # a null character
        return False


def _key(value: Any) -> str:
    """A number or its text, as text."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(value: Any) -> int | None:
    """An integer from a number or text; else None."""
    if isinstance(value, bool):
        return None
    text = _key(value)
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _is_video(name: str) -> bool:
    return Path(name).suffix.lower() in VIDEOS


def _place(row: dict[str, Any]) -> tuple[str | None, int | None]:
    """Image name and frame number of a result; the number only for videos or without a name."""
    which = row.get("image_id")
    number = _number(which)
    name = row.get("file_name", which if isinstance(which, str) and number is None else None)
    if not isinstance(name, str) or not path_parts(name):
        return None, number
    return name, number if _is_video(name) else None


def _box(value: Any) -> list[float] | None:
    """A bounding box of four numbers, or None."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    numbers = [each for each in value if type(each) in (int, float) and abs(each) < MOST]
    return [float(each) for each in numbers] if len(numbers) == 4 else None


def _boxes(rows: list[list[float]], conf: float) -> np.ndarray:
    """(N, 5) x0 y0 x1 y1 and score, from x y width height and score."""
    box = np.array(rows, np.float64).reshape(len(rows), 5)
    box[:, 2:4] += box[:, :2]
    return box[(box[:, 4] >= conf) & (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])]
