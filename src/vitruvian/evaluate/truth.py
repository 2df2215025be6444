"""Ground truth: images with annotated people, from data sets.

Four formats, recognised by their content and shown in docs/val.md: COCO's keypoint annotations, a
YOLO-pose data set, a .json of joints in metres, and the people.jsonl of `vitruvian synth`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, as_skeleton
from vitruvian.body.skeletons import skeleton as skeleton_named
from vitruvian.documents import parse_json, read_bytes, read_json, read_text
from vitruvian.errors import VitruvianError, shown
from vitruvian.evaluate import doubts, yolo_labels
from vitruvian.evaluate.coco_labels import parse_coco
from vitruvian.evaluate.labels import (
    FILLED,
    OCCLUDED,
    GroundTruth,
    LabelledPicture,
    labelled_skeleton,
    parse_number,
    parse_numbers,
)
from vitruvian.evaluate.oks import OTHER_SIGMA, keypoints_without_sigma
from vitruvian.geometry.camera import Camera
from vitruvian.sources.path_index import find_below


def read(
    data: Path,
    *,
    images: Path | None = None,
    split: str = "val",
    skeleton: str | None = None,
    boxes: bool = False,
) -> GroundTruth:
    """Read a data set.

    Args:
        data: a .json, .jsonl or .yaml file, or the folder of a YOLO-pose data set.
        images: the folder of its images; default: next to the file.
        split: which split (train, val, test), if it has splits.
        skeleton: of the labels' keypoints, a name or a .toml file; default: as in the labels, or
            else COCO's.
        boxes: whether bounding boxes are enough: people need no keypoints.

    Raises:
        VitruvianError: it cannot be read, or contains no labelled person.
    """
    kind, table = data.suffix.lower(), as_skeleton(skeleton)
    if data.is_dir() and (data / "people.jsonl").is_file():
        data, kind = data / "people.jsonl", ".jsonl"
    if data.is_dir() or kind in (".yaml", ".yml"):
        truth = _yolo(data, images, split, table)
    elif kind == ".jsonl":
        truth = _people(data, images, split, table)
    else:
        truth = _json(data, images, table, boxes)
    if boxes:
        if not any((~picture.crowd).any() for picture in truth.pictures):
            raise VitruvianError(f"no people in '{data}': all are crowds")
        return truth
    if not any(picture.counts.any() for picture in truth.pictures):
        why = next(iter(truth.notes), "no keypoints are labelled, or all are crowds")
        raise VitruvianError(f"no people to evaluate in '{data}': {why}")
    if (truth.sigmas <= 0).any():
        raise VitruvianError(f"the OKS sigmas of {truth.skeleton.name} must be above 0")
    truth.notes.extend(doubts.suspicious_labels(truth))
    if unknown := keypoints_without_sigma(truth.skeleton):
        some = ", ".join(unknown[:5]) + (", ..." if unknown[5:] else "")
        truth.notes.append(f"no published OKS sigmas for {some}: {OTHER_SIGMA} is used")
    return truth


def check_pictures_exist(truth: GroundTruth) -> None:
    """Raise `VitruvianError` if images are missing, or two are the same file."""
    missing = [p.path for p in truth.pictures if not os.path.isfile(p.path)]  # noqa: PTH113
    if missing:
        raise VitruvianError(
            f"cannot read '{shown(missing[0], 100)}': no such file ({len(missing)} of the "
            f"{len(truth.pictures)} images of '{shown(truth.source, 60)}' are missing); give "
            "their folder with --images"
        )
    taken: dict[Path, int | str] = {}
    for picture in truth.pictures:
        first = taken.setdefault(picture.path, picture.number)
        if first != picture.number:
            raise VitruvianError(
                f"two images of '{shown(truth.source, 60)}', {shown(first, 20)} and "
                f"{shown(picture.number, 20)}, would both be '{shown(picture.path, 80)}'; rename "
                "one"
            )


def _digest(file: Path) -> str:
    return hashlib.sha256(read_bytes(file)).hexdigest()


def _json(data: Path, images: Path | None, skeleton: Skeleton | None, boxes: bool) -> GroundTruth:
    said = read_json(data)
    if isinstance(said, dict) and {"images", "annotations"} <= said.keys():
        truth = parse_coco(said, data, images, skeleton, boxes)
    elif isinstance(said, dict) and "pictures" in said:
        truth = _metres(said, data, images, skeleton)
    else:
        raise VitruvianError(
            f"cannot read '{data}': want COCO's annotations (images, annotations, categories) or "
            "joints in metres (images); see docs/val.md"
        )
    return replace(truth, sha256=_digest(data))


# YOLO-pose


def _yolo(data: Path, images: Path | None, split: str, skeleton: Skeleton | None) -> GroundTruth:
    labels = yolo_labels.read(data, images, split)
    k, table = labels.shape[0], skeleton
    if table is None and labels.names is not None:
        try:
            table = labelled_skeleton(labels.names, str(data))
        except ValueError as error:
            raise VitruvianError(f"cannot read '{data}': kpt_names: {error}") from None
    table = table or COCO17
    if len(table) != k:
        raise VitruvianError(
            f"'{data}' has {k} keypoints, {table.name} has {len(table)}; name them with --skeleton"
        )
    pictures = []
    for number, (path, size, people) in enumerate(labels.pictures, 1):
        xy = people.points[..., :2] * size
        box = people.box * np.tile(size, 2)
        box[:, :2] -= box[:, 2:] / 2
        area = FILLED * box[:, 2] * box[:, 3]
        nobody, n = np.zeros(len(box), bool), np.full(len(box), np.nan)
        seen, hidden = people.points[..., 2] > 0, people.points[..., 2] == OCCLUDED
        people_of = (xy, seen, box, area, nobody, n)
        known = hidden if labels.shape[1] == 3 else None  # of two numbers, v is not said
        pictures.append(LabelledPicture(number, path, *people_of, size=size, occluded=known))
    truth = GroundTruth(str(data), table, pictures, labels.sha256, faults=labels.faults)
    truth.notes.append(f"the labels have no areas; {FILLED} of the box area is used")
    truth.notes.extend(labels.notes)
    return truth


# Metres


def _metres(
    said: dict[str, Any], data: Path, images: Path | None, skeleton: Skeleton | None
) -> GroundTruth:
    """Our own: images, cameras, and joints in metres."""
    form = "docs/val.md describes the format"
    table, which = skeleton, said.get("skeleton")
    if table is None and isinstance(which, str):
        table = skeleton_named(which)
    try:
        if table is None:
            names = which.get("keypoints") if isinstance(which, dict) else which
            table = labelled_skeleton(names, str(data))
    except ValueError as error:
        raise VitruvianError(f"cannot read '{data}': {error}; {form}") from None
    folder = data.absolute().parent if images is None else images
    rows = said["pictures"]
    if not isinstance(rows, list) or not rows:
        raise VitruvianError(f"no images in '{data}'; {form}")
    pictures = []
    for i, row in enumerate(rows, 1):
        people = row.get("people") if isinstance(row, dict) else None
        one = _solid(i, folder, row, people, len(table), f"cannot read '{data}'", form)
        path = Path(row["file"])
        if images is None and path.is_absolute() and os.path.isfile(path):  # noqa: PTH113
            one = replace(one, path=path)
        pictures.append(one)
    truth = GroundTruth(str(data), table, _with_heads(pictures, table), "")
    truth.notes.append(f"person size is {FILLED} of the box around the joints")
    return truth


def _people(data: Path, images: Path | None, split: str, skeleton: Skeleton | None) -> GroundTruth:
    """A people.jsonl, one person an image: those of `vitruvian synth`, or with 2D keypoints."""
    form = "want people.jsonl, see docs/val.md"
    rows = []
    for number, line in enumerate(read_text(data).splitlines(), 1):
        row = parse_json(line, data, f"line {number}")
        if not isinstance(row, dict) or "split" not in row:
            raise VitruvianError(f"cannot read '{data}': line {number} has no split; {form}")
        rows.append(row)
    some = [row for row in rows if row["split"] == split]
    if not some:
        known = ", ".join(sorted({shown(row["split"], 20) for row in rows})[:8]) or "none"
        raise VitruvianError(f"'{data}' has no split '{split}'; it has: {known}")
    table = skeleton or skeleton_named(shown(some[0].get("skeleton", COCO17.name)))
    folder = data.absolute().parent / "crops" if images is None else images
    one = _solid_person if "xyz" in some[0] else _flat_person
    pictures = [
        one(i, folder, row, len(table), f"cannot read '{data}'", form)
        for i, row in enumerate(some, 1)
    ]
    truth = GroundTruth(f"{data}, {split}", table, _with_heads(pictures, table), _digest(data))
    if truth.solid:
        truth.notes.append(f"person size is {FILLED} of the bounding box")
    return truth


def _solid_person(
    number: int, folder: Path, row: dict[str, Any], k: int, failed: str, form: str
) -> LabelledPicture:
    return _solid(number, folder, row, [row], k, failed, form)


def _flat_person(
    number: int, folder: Path, row: dict[str, Any], k: int, failed: str, form: str
) -> LabelledPicture:
    """One person with keypoints x y v, pixels."""
    box, area, size = (
        *(parse_numbers(row.get("box"), 4), parse_number(row.get("area"))),
        parse_numbers(row.get("size", [0, 0]), 2),
    )
    flat = [value for point in row.get("keypoints") or [] for value in np.ravel(point).tolist()]
    points = parse_numbers(flat, 3 * k)
    wrong = [
        name
        for name, there in (
            ("file", isinstance(row.get("file"), str)),
            ("box (four numbers)", box is not None),
            (f"keypoints ({k} times x y v)", points is not None),
            ("size (two numbers)", size is not None),
        )
        if not there
    ]
    if wrong or box is None or points is None or size is None:
        raise VitruvianError(f"{failed}: person {number} lacks {wrong[0]}; {form}")
    points = points.reshape(1, k, 3)
    area = FILLED * box[2] * box[3] if area is None else area
    width, height = size.astype(int).tolist()
    return LabelledPicture(
        number,
        find_below(folder, row["file"]),
        points[..., :2],
        points[..., 2] > 0,
        box[None],
        np.array([area]),
        np.zeros(1, bool),
        np.full(1, np.nan),
        size=(width, height),
        occluded=points[..., 2] == OCCLUDED,
    )


def _solid(
    number: int, folder: Path, row: Any, people: Any, k: int, failed: str, form: str
) -> LabelledPicture:
    """One image of people in metres; their pixels are where its camera sees them."""

    def want(there: bool, what: str) -> None:
        if not there:
            raise VitruvianError(f"{failed}: image {number} lacks {what}; {form}")

    want(isinstance(row, dict) and isinstance(row.get("file"), str), "file")
    want(isinstance(people, list) and all(isinstance(p, dict) for p in people), "people")
    size, n = parse_numbers(row.get("size"), 2), len(people)
    want(size is not None and bool((size >= 1).all()), "size (two numbers)")
    assert size is not None
    width, height = int(size[0]), int(size[1])
    solid, boxes = np.full((n, k, 3), np.nan), np.full((n, 4), np.nan)
    for i, person in enumerate(people):
        joints = person.get("xyz")
        want(isinstance(joints, list) and len(joints) == k, f"xyz ({k} joints)")
        for j, joint in enumerate(joints):
            at = None if joint is None else parse_numbers(joint, 3)
            want(joint is None or at is not None, f"three numbers for joint {j}")
            solid[i, j] = np.nan if at is None else at
        box = parse_numbers(person["box"], 4) if "box" in person else np.full(4, np.nan)
        want(box is not None, "box (four numbers)")
        boxes[i] = box
    matrix = row.get("camera")
    matrix = [parse_numbers(part, 3) for part in matrix] if isinstance(matrix, list) else []
    want(len(matrix) == 3 and all(part is not None for part in matrix), "camera (3 x 3 numbers)")
    given = {}
    if row.get("distortion") is not None:
        lens = row["distortion"]
        given["distortion"] = parse_numbers(lens, len(lens) if isinstance(lens, list) else 0)
        want(given["distortion"] is not None, "distortion (numbers)")
    try:
        camera = Camera(np.array(matrix, np.float64), (width, height), **given)
    except (ValueError, TypeError) as error:
        raise VitruvianError(f"{failed}: image {number}: {error}") from None
    with np.errstate(all="ignore"):  # of a joint in the camera's plane
        xy = camera.project(solid).astype(np.float64)
    xy[~np.isfinite(xy)] = np.nan
    inside_it = np.all((xy >= 0) & (xy < (width, height)), axis=-1)  # of NaN it is not
    there = inside_it[..., None]
    around = np.where(there, xy, np.nan)
    low = np.nan_to_num(np.min(around, axis=1, initial=np.inf, where=there), posinf=0)
    high = np.nan_to_num(np.max(around, axis=1, initial=0, where=there))
    box = np.where(np.isnan(boxes), np.concatenate([low, high - low], axis=1), boxes)
    far = np.clip(box[:, :2] + box[:, 2:], 0, (width, height))
    box[:, :2] = np.clip(box[:, :2], 0, (width, height))
    box[:, 2:] = far - box[:, :2]
    area, head = FILLED * box[:, 2] * box[:, 3], np.full(n, np.nan)
    path, crowd = find_below(folder, row["file"]), np.zeros(n, bool)
    people_of = (xy, inside_it, box, area, crowd, head, solid, camera)
    return LabelledPicture(number, path, *people_of, size=(width, height))


def _with_heads(pictures: list[LabelledPicture], table: Skeleton) -> list[LabelledPicture]:
    """With the size of heads, from the top of the head to the neck, where they are labelled."""
    if not {"head_top", "neck"} <= set(table.keypoints):
        return pictures
    ends = [table["head_top"], table["neck"]]

    def size(picture: LabelledPicture) -> np.ndarray:
        top, neck = np.moveaxis(picture.xy[:, ends], 1, 0)
        both = picture.labelled[:, ends].all(axis=1)
        return np.where(both, np.linalg.norm(top - neck, axis=-1), np.nan)

    return [replace(picture, head=size(picture)) for picture in pictures]
