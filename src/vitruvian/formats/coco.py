"""Read and write COCO results and annotations.

Results are a list of people with 17 keypoints, for the COCO evaluator. Annotations have images
and a category with any keypoints and skeleton, as FiftyOne, CVAT and `vitruvian train` read them.

Source: "Data format" and "Results format" of cocodataset.org; docs/output.md of AlphaPose for its
`image_id`, a file name, and `idx`, a track id.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.body.state import State, states
from vitruvian.documents import WHOLE, read_json, unreadable
from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.formats.growing import Text
from vitruvian.formats.markers import Note
from vitruvian.formats.tables import utf8
from vitruvian.formats.trc import named
from vitruvian.formats.wire import LARGEST, LARGEST_SIDE, Provenance
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import box_around

PICTURES = {  # image suffixes, whose names may be numbers; others are videos
    *("", ".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"),
    *(".heic", ".heif", ".avif", ".jp2", ".pbm", ".pgm", ".ppm", ".pnm", ".exr", ".hdr"),
}
OCCLUDED = 0.4  # score of a keypoint annotated as not visible: `body.state` calls it occluded
ONE_VIDEO = (
    "COCO results hold images, or one video with the frame index as image_id; give a folder and "
    "--save coco"
)


def need_coco17(skeleton: Skeleton) -> None:
    """Raise `VitruvianError` if a skeleton lacks a COCO keypoint."""
    missing = [name for name in COCO17.keypoints if name not in skeleton.keypoints]
    if missing:
        raise VitruvianError(
            f"COCO results need {missing[0]}, which {skeleton.name} does not have; write .jsonl, "
            "or run `vitruvian convert --skeleton coco17`, which writes zeros for it"
        )


def results(
    frame: Frame, poses: Poses, image_id: int | None = None, file_name: str = ""
) -> list[dict[str, Any]]:
    """COCO results of a frame, one per person.

    Keypoints are mapped to COCO's by name. The third value of a keypoint is its score; a missing
    keypoint is 0, 0, 0, as in COCO. `image_id` defaults to the number in the file name (as in
    COCO's images), otherwise to the frame index; `file_name` defaults to that of the source.

    Raises:
        VitruvianError: the skeleton lacks a COCO keypoint.
    """
    need_coco17(poses.skeleton)
    order = [poses.skeleton[name] for name in COCO17.keypoints]
    points = np.concatenate([poses.xy[:, order], poses.score[:, order, None]], axis=-1)
    points[np.isnan(points).any(axis=-1)] = 0
    points = np.round(points.astype(float), 4).reshape(len(poses), 51)
    corner, far = poses.box[:, :2], poses.box[:, 2:]
    boxes = np.round(np.nan_to_num(np.concatenate([corner, far - corner], axis=1)).astype(float), 4)
    if image_id is None:
        number = _number_of(frame.source)
        image_id = frame.index if number is None else number
    return [
        {
            "image_id": image_id,
            "file_name": utf8(file_name or Path(frame.source).name),
            "category_id": 1,
            "keypoints": keypoints,
            "bbox": box,
            "score": round(float(score), 6),
        }
        for keypoints, box, score in zip(
            points.tolist(), boxes.tolist(), poses.box_score, strict=True
        )
    ]


def _number_of(source: str) -> int | None:
    """The number in an image's file name; None for videos and other names."""
    path = Path(source)
    if path.suffix.lower() not in PICTURES or not path.stem.isdecimal() or len(path.stem) > 18:
        return None
    return int(path.stem)


class _Images:
    """Assigns a unique `image_id` and a `file_name` to each image, or frame of one video."""

    def __init__(self, path: Path, pictures: Sequence[Path]) -> None:
        """`pictures`: all that will be written, if known."""
        self.path = path
        folders = {picture.parent for picture in pictures}
        self.root = os.path.commonpath(folders) if folders else None
        # Images with a number as name keep it as id; others get the free ids.
        numbers = (_number_of(str(picture)) for picture in pictures)
        self.reserved = {number for number in numbers if number is not None}
        self.given: dict[tuple[str, int], int] = {}
        self.taken: set[int] = set()
        self.sources: dict[str, int] = {}  # -> frame count
        self.free = 0

    def __call__(self, frame: Frame) -> tuple[int, str]:
        key = (frame.source, frame.index)
        if key not in self.given:
            self.sources[frame.source] = self.sources.get(frame.source, 0) + 1
            if len(self.sources) > 1 and max(self.sources.values()) > 1:
                raise VitruvianError(
                    f"'{self.path}' cannot hold '{shown(frame.source)}' as well: {ONE_VIDEO}"
                )
            number = _number_of(frame.source)
            wanted = frame.index if number is None else number
            if wanted in self.taken or (number is None and wanted in self.reserved):
                while self.free in self.taken or self.free in self.reserved:
                    self.free += 1
                wanted = self.free
            self.given[key] = wanted
            self.taken.add(wanted)
        return self.given[key], self._name(Path(frame.source))

    def _name(self, source: Path) -> str:
        """Path relative to the common root of all images, to tell equal file names apart."""
        if self.root is not None and source.is_relative_to(self.root):
            return source.relative_to(self.root).as_posix()
        picture = source.suffix.lower() in PICTURES
        return source.as_posix() if picture and not source.is_absolute() else source.name


class _CocoResults(Text):
    def __init__(self, path: Path, pictures: Sequence[Path]) -> None:
        super().__init__(path, "[\n", self._entries, "\n]\n")
        self.images, self.empty = _Images(path, pictures), True

    def _entries(self, frame: Frame, poses: Poses) -> str:
        entries = results(frame, poses, *self.images(frame))
        text = "".join(",\n" + json.dumps(entry) for entry in entries)
        if self.empty and entries:
            self.empty, text = False, text[2:]
        return text

    def go_on(self, mark: int, frames: Sequence[Frame] = ()) -> None:
        """As `Text`; earlier images keep their ids."""
        super().go_on(mark, frames)
        self.empty = mark <= len(self.start)
        for frame in frames:
            self.images(frame)


def coco_results(path: Path, model: Provenance | None, pictures: Sequence[Path] = ()) -> Text:
    """A sink for COCO results (`.json`); `pictures`: all that will be written, if known."""
    return _CocoResults(path, pictures)


class _CocoLabels(Text):
    """COCO annotations, one person a line; the images, also those without people, at the end."""

    def __init__(self, path: Path, pictures: Sequence[Path]) -> None:
        super().__init__(path, "", self._rows)
        self.images, self.skeleton, self.people = _Images(path, pictures), None, 0
        self.rows: dict[str, dict[str, Any]] = {}  # file name -> image

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write the people of an image.

        Raises:
            VitruvianError: it has no name or size, is a frame of a video, or has another skeleton.
        """
        if self.skeleton is None:
            self.skeleton = poses.skeleton
            self.start = f'{{"categories": [{json.dumps(_category(poses.skeleton))}],\n'
            self.start += '"annotations": ['
        elif poses.skeleton != self.skeleton:
            raise VitruvianError(f"'{self.part.path}' holds one skeleton, got another")
        super().write(frame, poses)

    def _rows(self, frame: Frame, poses: Poses) -> str:
        image_id = self._image(frame)
        text = ""
        for row in labels(frame, poses):
            self.people += 1
            row = {"id": self.people, "image_id": image_id, "category_id": 1, **row}
            text += ("," if self.people > 1 else "") + "\n" + json.dumps(row)
        return text

    def _image(self, frame: Frame) -> int:
        path, source = self.part.path, shown(frame.source, 100)
        if not frame.source or not all(frame.size):
            lacks = f"'{source}' has no size" if frame.source else "one has no name"
            raise VitruvianError(
                f"'{path}' needs the name and the size of each image, and {lacks}; start from the "
                "records (.jsonl) of `vitruvian predict`"
            )
        image_id, name = self.images(frame)
        if name in self.rows:
            raise VitruvianError(
                f"'{path}' holds images, and '{source}' has several frames; extract them first, "
                "such as by ffmpeg, and give the folder"
            )
        width, height = frame.size
        row = {"id": image_id, "file_name": utf8(name), "width": width, "height": height}
        self.rows[name] = row
        return image_id

    def go_on(self, mark: int, frames: Sequence[Frame] = ()) -> None:
        """As `Text`; earlier images and people keep their ids."""
        super().go_on(mark, frames)
        for frame in frames:
            self._image(frame)
        if mark:
            with self.part.unfinished.open(encoding="utf-8") as file:
                self.people = sum(line.startswith('{"id"') for line in file)

    def __exit__(self, *error: object) -> None:
        images = ",\n".join(json.dumps(row) for row in self.rows.values())
        self.end = f'\n],\n"images": [\n{images}\n]}}\n'
        super().__exit__(*error)


def _category(skeleton: Skeleton) -> dict[str, Any]:
    bones = [[a + 1, b + 1] for a, b in skeleton.bones]  # COCO counts from 1
    keypoints = {"keypoints": list(skeleton.keypoints), "skeleton": bones}
    return {"id": 1, "name": "person", "supercategory": "person", **keypoints}


def labels(frame: Frame, poses: Poses) -> list[dict[str, Any]]:
    """COCO annotations of a frame, one per person, without ids.

    A keypoint that is visible has 2, an occluded one 1 (`body.state`); others are 0, 0, 0. `area`
    is that of the bounding box; `score` its confidence, which COCO's own annotations lack.
    """
    state = states(poses, frame.size)
    seen = np.where(state == State.VISIBLE, 2, np.where(state == State.OCCLUDED, 1, 0))
    at = np.round(np.where(seen[..., None] > 0, poses.xy, 0).astype(float), 2).tolist()
    rows = []
    for i, (x0, y0, x1, y1) in enumerate(poses.box.astype(float).tolist()):
        points = [(*xy, v) for xy, v in zip(at[i], seen[i].tolist(), strict=True)]
        box = [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)]
        row = {"bbox": box, "area": round(box[2] * box[3], 2), "iscrowd": 0}
        row |= {"num_keypoints": int((seen[i] > 0).sum()), "keypoints": [*chain(*points)]}
        rows.append(row | {"score": round(float(poses.box_score[i]), 6)})
    return rows


def coco_labels(path: Path, pictures: Sequence[Path] = ()) -> Text:
    """A sink for COCO annotations (`_labels.json`); `pictures`: all images, if known."""
    return _CocoLabels(path, pictures)


def read_coco(
    path: str | Path, fps: float | None = None, note: Note = lambda _: None
) -> Iterator[tuple[Frame, Poses]]:
    """Read the poses of each image, from COCO results or annotations.

    Images without a file name are named by their id. Images that share one name are video frames,
    timed by `fps`, frames per second; with `fps`, all are frames of one video. Annotated keypoints
    have score 1 if visible, `OCCLUDED` if not. Crowds, other categories, and people without
    keypoints are skipped; `note` gets their counts.

    Raises:
        VitruvianError: it is missing, not COCO, or `fps` is needed.
    """
    path = Path(path)
    read = read_json(path)
    try:
        table, pictures = _pictures(path, read, note)
    except KeyError as error:
        raise unreadable(path, f"{NONE} (it has no {error})") from None
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise unreadable(path, f"{NONE} ({error})") from None
    names = {picture.name for picture in pictures}
    if fps is None and len(pictures) > 1 and len(names) == 1 and names != {""}:
        raise VitruvianError(f"'{path}' has no timestamps; give its frame rate with --fps")
    if fps is None:
        for picture in pictures:
            source = picture.name or f"{picture.number:012}"
            yield Frame(None, picture.number, 0.0, source, size=picture.size), picture.poses(table)
        return
    source = names.pop() if len(names) == 1 else ""
    frames: dict[int, _Picture] = {}
    for picture in pictures:
        number = picture.frame
        if number is None or number < 0 or number in frames:
            why = "is not a frame index" if number is None or number < 0 else "occurs twice"
            raise unreadable(path, f"image_id {shown(picture.id)} {why}; leave out --fps")
        frames[number] = picture
    for number, picture in sorted(frames.items()):
        frame = Frame(None, number, number / fps, source or str(path), size=picture.size)
        yield frame, picture.poses(table)


NONE = "not COCO keypoint results or annotations"
Person = tuple[np.ndarray, list[float], float, int]  # (K, 3) x, y, score; box; score; number


@dataclass
class _Picture:
    """One image or video frame, and the people in it."""

    id: int | str  # AlphaPose: file names
    order: int  # index in the file
    name: str = ""
    size: tuple[int, int] = (0, 0)
    people: list[Person] = field(default_factory=list)

    @property
    def frame(self) -> int | None:
        """Its frame index in a video: the last number of a name."""
        if isinstance(self.id, int):
            return self.id
        numbers = re.findall(r"[0-9]+", PurePosixPath(self.id).stem)
        return int(numbers[-1]) if numbers and len(numbers[-1]) <= 18 else None

    @property
    def number(self) -> int:
        """Its id as an image."""
        if isinstance(self.id, int):
            return self.id
        stem = PurePosixPath(self.id).stem
        return int(stem) if stem.isdecimal() and len(stem) <= 18 else self.order

    def poses(self, table: Skeleton) -> Poses:
        """The poses."""
        if not self.people:
            return Poses.nobody(table)
        points, boxes, scores, numbers = zip(*self.people, strict=True)
        person = np.array(numbers, np.int64)
        if len({*numbers}) < len(numbers):  # AlphaPose without tracking: all are 0
            person[:] = -1
        xys = np.array(points, np.float32)
        boxes, scores = np.array(boxes, np.float32), np.array(scores, np.float32)
        return Poses(table, xys[..., :2], xys[..., 2], boxes, scores, person)


def _pictures(path: Path, read: Any, note: Note) -> tuple[Skeleton, list[_Picture]]:
    """The skeleton of a file, and all its images."""
    labels = isinstance(read, dict)
    if not labels and not isinstance(read, list):
        raise TypeError("want a list or an object")
    table, people = _skeleton(path, read["categories"], note) if labels else (COCO17, None)
    pictures: dict[int | str, _Picture] = {}
    for row in read["images"] if labels else ():
        number = _id(row["id"])
        if number in pictures:
            raise ValueError(f"two images have the id {shown(number)}")
        size = (_side(row, "width"), _side(row, "height"))
        pictures[number] = _Picture(number, len(pictures), _name(row.get("file_name")), size)
    left = dict.fromkeys(("other categories", "no keypoints", "crowds"), 0)
    for at, row in enumerate(read["annotations"] if labels else read):
        number = _id(row["image_id"])
        if number not in pictures:
            name = row.get("file_name") or (number if isinstance(number, str) else None)
            pictures[number] = _Picture(number, len(pictures), _name(name))
        if people is not None and row.get("category_id") not in (*people, None):
            left["other categories"] += 1
        elif row.get("iscrowd"):
            left["crowds"] += 1
        elif not row.get("keypoints"):
            left["no keypoints"] += 1
        else:
            try:
                pictures[number].people.append(_person(row, table, labels))
            except (ValueError, TypeError) as error:
                raise ValueError(f"row {at + 1}, of image_id {shown(number)}: {error}") from None
    if left["no keypoints"] and not any(picture.people for picture in pictures.values()):
        raise ValueError("none of its rows has keypoints")
    for why, count in left.items():
        if count:
            note(f"'{path}': ignored {amount(count, 'row')}: {why}")
    return table, list(pictures.values())


def _skeleton(
    path: Path, categories: list[dict[str, Any]], note: Note
) -> tuple[Skeleton, list[Any]]:
    """Skeleton of `person`, or of the only categories with keypoints; and their category ids.

    COCO's bones count keypoints from 1, some tools from 0.
    """
    able = [each for each in categories if each.get("keypoints")]
    people = [each for each in able if each.get("name") == "person"] or able
    if not people:
        raise ValueError("no category has keypoints")
    keypoints = people[0]["keypoints"]
    if any(each["keypoints"] != keypoints for each in people):
        raise ValueError("categories have different keypoints; keep one")
    if not isinstance(keypoints, list) or not all(isinstance(name, str) for name in keypoints):
        raise TypeError("keypoint names are not a list of strings")
    twice = next((name for name in keypoints if keypoints.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two keypoints are named '{shown(twice)}'")
    bones = [tuple(bone) for bone in people[0].get("skeleton") or ()]
    ends = [end for bone in bones for end in bone]
    first = 0 if 0 in ends else 1
    if not all(len(bone) == 2 for bone in bones) or not all(
        type(end) is int and first <= end < first + len(keypoints) for end in ends
    ):
        note(f"'{path}': its skeleton has bones between unknown keypoints; ignored")
        bones = []
    ours = named(path.stem, keypoints)
    if not ours.bones:
        ours = named(path.stem, keypoints, [(a - first, b - first) for a, b in bones])
    return ours, [each.get("id") for each in people]


def _id(value: Any) -> int | str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas turns integers into floats
    if type(value) is not int and not isinstance(value, str):
        raise TypeError(f"{shown(value)} is not an image id")
    if isinstance(value, int) and abs(value) >= WHOLE:
        raise ValueError(f"{shown(value)} is not an image id")
    return value


def _name(value: Any) -> str:
    """A file name with forward slashes and without `..`."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{shown(value)} is not a file name")
    path = PurePosixPath(value.replace("\\", "/"))
    return str(PurePosixPath(*(part for part in path.parts if part != ".."))) if value else ""


def _side(row: dict[str, Any], name: str) -> int:
    value = row.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {shown(value)}, want pixels")
    if value != int(value) or not 0 <= value <= LARGEST_SIDE:
        raise ValueError(f"{name} is {shown(value)}, want pixels")
    return int(value)


def _person(row: dict[str, Any], table: Skeleton, labels: bool) -> Person:
    points = _numbers(row["keypoints"], "keypoints")
    if points.size != 3 * len(table):
        raise ValueError(f"{points.size} numbers in keypoints, want 3 * {len(table)}")
    points = points.astype(float).reshape(-1, 3)
    points[(points[:, 2] == 0) if labels else ~points.any(axis=1)] = (np.nan, np.nan, 0)
    if labels:
        points[:, 2] = np.where(points[:, 2] == 1, OCCLUDED, points[:, 2] / 2)
    points[:, 2] = points[:, 2].clip(0, 1)
    box, given = box_around(points[None, :, :2])[0].tolist(), row.get("bbox") or row.get("box")
    if given:
        values = _numbers(given, "bbox")
        if values.shape != (4,):
            raise ValueError(f"bbox is {shown(given)}, want left, top, width, height")
        left, top, wide, tall = values.tolist()
        box = [left, top, left + wide, top + tall]
    score = row.get("score")
    who = row.get("track_id", row.get("idx"))  # PoseTrack, AlphaPose
    number = who if type(who) is int and 0 <= who < WHOLE else -1
    return points, box, float(_numbers([1.0 if score is None else score], "score")[0]), number


def _numbers(values: Any, name: str) -> np.ndarray:
    array = np.array(values)
    if array.dtype.kind not in "fiu" or (np.abs(array) > LARGEST).any():
        raise TypeError(f"{name} has a value that is not a number, or too large")
    return array
