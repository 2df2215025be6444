"""What is true: pictures, and where the joints of the people in them are, as data sets have it.

Four kinds, told apart by what is in them; docs/val.md shows each: COCO's keypoint annotations, a
YOLO-pose data set, a .json of joints in metres, and the people.jsonl of `vitruvian synth`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, SKELETONS
from vitruvian.body.skeletons import skeleton as skeleton_named
from vitruvian.errors import VitruvianError
from vitruvian.evaluate import yolo_labels
from vitruvian.evaluate.oks import OTHER_SIGMA, sigmas_of, unpublished
from vitruvian.geometry.camera import Camera

# Of a person's box, how much is person, where nobody has outlined them. Source: what Ultralytics
# and faster-coco-eval (`use_area=False`) document for data sets without areas.
FILLED = 0.53


@dataclass(frozen=True, eq=False)
class Picture:
    """The G people of one picture, as somebody has labelled them."""

    number: int  # as COCO results call it
    path: Path
    xy: np.ndarray  # (G, K, 2) float64 pixels, as they are written; anything where not labelled
    labelled: np.ndarray  # (G, K) bool, visible or not
    box: np.ndarray  # (G, 4) x y width height, pixels
    area: np.ndarray  # (G,) pixels squared, of the person
    crowd: np.ndarray  # (G,) bool, many who were not told apart
    head: np.ndarray  # (G,) pixels, the size of the head as PCKh has it; NaN: nobody knows
    xyz: np.ndarray | None = None  # (G, K, 3) metres from the camera; NaN where not known
    camera: Camera | None = None

    def __len__(self) -> int:
        return len(self.box)


@dataclass(frozen=True, eq=False)
class Truth:
    """All pictures of a data set."""

    source: str
    skeleton: Skeleton
    pictures: list[Picture]  # by number, as COCO's evaluator goes through them
    sha256: str  # of the labels
    category: int = 1  # of people, in COCO results
    notes: list[str] = field(default_factory=list)  # what a reader of scores must know
    faults: list[VitruvianError] = field(
        default_factory=list
    )  # pictures that are left out, and why

    @property
    def solid(self) -> bool:
        """Whether joints are known in metres."""
        return self.pictures[0].xyz is not None

    @property
    def sigmas(self) -> np.ndarray:
        """(K,) of OKS."""
        return sigmas_of(self.skeleton.keypoints)


def read(
    data: Path, *, images: Path | None = None, split: str = "val", skeleton: str | None = None
) -> Truth:
    """A data set.

    Args:
        data: a .json, .jsonl or .yaml file, or the folder of a YOLO-pose data set.
        images: the folder of its pictures; beside the file.
        split: which part of it, where it has parts.
        skeleton: of a YOLO-pose data set that does not name its keypoints; COCO's.

    Raises:
        VitruvianError: it cannot be read, has nobody in it, or pictures are missing.
    """
    kind = data.suffix.lower()
    if data.is_dir() and (data / "people.jsonl").is_file():
        data, kind = data / "people.jsonl", ".jsonl"
    if data.is_dir() or kind in (".yaml", ".yml"):
        truth = _yolo(data, images, split, skeleton)
    elif skeleton is not None:
        raise VitruvianError(f"'{data}' names its keypoints itself; leave skeleton out")
    elif kind == ".jsonl":
        truth = _synthetic(data, images, split)
    else:
        truth = _json(data, images)
    if not any(len(picture) for picture in truth.pictures):
        raise VitruvianError(f"there is nobody in '{data}': nothing to compare with")
    if unknown := unpublished(truth.skeleton.keypoints):
        some = ", ".join(unknown[:5]) + (", ..." if unknown[5:] else "")
        truth.notes.append(f"nobody has published OKS sigmas for {some}: {OTHER_SIGMA} is taken")
    return truth


def need_pictures(truth: Truth) -> None:
    """Raise `VitruvianError` if pictures are not there."""
    missing = [picture.path for picture in truth.pictures if not picture.path.is_file()]
    if missing:
        raise VitruvianError(
            f"cannot read '{missing[0]}': no such file ({len(missing)} of the "
            f"{len(truth.pictures)} pictures of '{truth.source}' are missing); say where they are "
            "with --images"
        )


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror}") from None


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _json(data: Path, images: Path | None) -> Truth:
    text = _text(data)
    try:
        said = json.loads(text)
    except ValueError:
        raise VitruvianError(f"cannot read '{data}': it is no JSON") from None
    if isinstance(said, dict) and {"images", "annotations"} <= said.keys():
        truth = coco(said, data, images)
    elif isinstance(said, dict) and "pictures" in said:
        truth = _metres(said, data, images)
    else:
        raise VitruvianError(
            f"cannot read '{data}': want COCO's annotations (images, annotations, categories) or "
            "joints in metres (pictures); see docs/val.md"
        )
    return replace(truth, sha256=_digest(text))


# COCO


def coco(said: dict[str, Any], data: Path, images: Path | None = None) -> Truth:
    """COCO's keypoint annotations; without a hash.

    Args:
        said: what is in the file.
        data: the file.
        images: the folder of the pictures; else it is looked for beside the file.

    Raises:
        VitruvianError: no keypoints in it, or something else is wrong.
    """
    kinds = [row for row in said.get("categories", []) if row.get("keypoints")]
    if len(kinds) != 1:
        what = (
            f"{len(kinds)} categories of '{data}' have keypoints"
            if kinds
            else (f"no category of '{data}' has keypoints")
        )
        raise VitruvianError(f"{what}, want one; COCO's are in person_keypoints_*.json")
    try:
        skeleton = _table(kinds[0], str(data))
        k = len(skeleton)
        rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in said["annotations"]:
            if row["category_id"] == kinds[0]["id"]:
                rows[row["image_id"]].append(row)
        names = {row["id"]: row.get("file_name", str(row["id"])) for row in said["images"]}
        if not rows:
            raise VitruvianError(f"'{data}' has no annotations of {kinds[0].get('name')}")
        if strange := [number for number in rows if number not in names]:
            raise VitruvianError(f"'{data}' has annotations of no picture: image_id {strange[0]}")
        folder = _beside(data, names[min(names)]) if images is None else images
        pictures = [_labelled(n, folder / names[n], rows.get(n, []), k) for n in sorted(names)]
    except (KeyError, TypeError, ValueError) as error:
        raise VitruvianError(f"cannot read '{data}': {error!r} in what COCO's would have") from None
    truth = Truth(str(data), skeleton, pictures, "", kinds[0]["id"])
    bare = sum("area" not in row for each in rows.values() for row in each)
    if bare:
        truth.notes.append(f"{bare} people have no area: {FILLED} of their box is taken")
    return truth


def _labelled(number: int, path: Path, rows: Sequence[dict[str, Any]], k: int) -> Picture:
    points = np.array([row["keypoints"] for row in rows], np.float64).reshape(len(rows), k, 3)
    box = np.array([row["bbox"] for row in rows], np.float64).reshape(len(rows), 4)
    area = [row.get("area", FILLED * float(b[2] * b[3])) for row, b in zip(rows, box, strict=True)]
    heads = [row.get("bbox_head", (math.nan,) * 4) for row in rows]
    return Picture(
        number,
        path,
        points[..., :2],
        points[..., 2] > 0,
        box,
        np.array(area, np.float64),
        np.array([bool(row.get("iscrowd", 0)) for row in rows], bool),
        # Source: MPII's evaluation, 0.6 times the diagonal of the head's box; PoseTrack's name.
        0.6 * np.array([math.hypot(*head[2:]) for head in heads]),
    )


def _table(category: dict[str, Any], data: str) -> Skeleton:
    """The skeleton of a category: one of ours, if it has the same keypoints."""
    names = tuple(
        name.lower().replace(" ", "_").replace("-", "_") for name in category["keypoints"]
    )
    for table in SKELETONS.values():
        if table.keypoints == names:
            return table
    if len(set(names)) != len(names):
        raise ValueError(f"keypoints {names} with the same name")
    bones = tuple((int(a) - 1, int(b) - 1) for a, b in category.get("skeleton", []))
    return Skeleton(category.get("name", "truth"), data, names, bones, sigmas_of(names))


def _beside(data: Path, name: str) -> Path:
    """The folder of the pictures of an annotation file, as data sets are usually laid out."""
    part = data.stem.rsplit("_", 1)[-1]  # val2017
    above = data.absolute().parent
    places = [above / "images", above, above.parent / part, above.parent / "images" / part]
    places.append(above.parent / "images")
    return next((place for place in places if (place / name).is_file()), places[0])


# YOLO-pose


def _yolo(data: Path, images: Path | None, split: str, skeleton: str | None) -> Truth:
    labels = yolo_labels.read(data, images, split)
    k = labels.shape[0]
    if labels.names is not None:
        table = _table({"keypoints": labels.names}, str(data))
    else:
        table = COCO17 if skeleton is None else skeleton_named(skeleton)
    if len(table) != k:
        raise VitruvianError(
            f"'{data}' has {k} keypoints, {table.name} has {len(table)}; "
            "say which they are with --skeleton"
        )
    pictures = []
    for number, (path, size, people) in enumerate(labels.pictures, 1):
        xy = people.points[..., :2] * size
        box = people.box * np.tile(size, 2)
        box[:, :2] -= box[:, 2:] / 2
        area = FILLED * box[:, 2] * box[:, 3]
        nobody, n = np.zeros(len(box), bool), np.full(len(box), np.nan)
        pictures.append(Picture(number, path, xy, people.points[..., 2] > 0, box, area, nobody, n))
    truth = Truth(str(data), table, pictures, labels.sha256, faults=labels.faults)
    truth.notes.append(f"the labels have no areas: {FILLED} of each box is taken")
    return truth


# Metres


def _metres(said: dict[str, Any], data: Path, images: Path | None) -> Truth:
    """Our own: pictures, cameras, and joints in metres."""
    try:
        which = said["skeleton"]
        table = skeleton_named(which) if isinstance(which, str) else _table(which, str(data))
        folder = data.absolute().parent if images is None else images
        pictures = [
            _solid(i, folder / row["file"], row, row["people"], len(table))
            for i, row in enumerate(said["pictures"], 1)
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise VitruvianError(
            f"cannot read '{data}': {error!r}; docs/val.md shows how joints in metres are written"
        ) from None
    if not pictures:
        raise VitruvianError(f"there are no pictures in '{data}'")
    truth = Truth(str(data), table, _with_heads(pictures, table), "")
    truth.notes.append(f"sizes of people are {FILLED} of the box around their joints")
    return truth


def _synthetic(data: Path, images: Path | None, split: str) -> Truth:
    """The people of `vitruvian synth`, one a picture."""
    text = _text(data)
    try:
        rows = [json.loads(line) for line in text.splitlines()]
        chosen = [row for row in rows if row["split"] == split]
        if not chosen:
            known = ", ".join(sorted({str(row["split"]) for row in rows})) or "none"
            raise VitruvianError(f"'{data}' has no split '{split}'; it has: {known}")
        table = skeleton_named(chosen[0]["skeleton"])
        folder = data.absolute().parent / "crops" if images is None else images
        pictures = [
            _solid(i, folder / row["file"], row, [row], len(table))
            for i, row in enumerate(chosen, 1)
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise VitruvianError(
            f"cannot read '{data}': {error!r}; want the people.jsonl of `vitruvian synth`"
        ) from None
    truth = Truth(f"{data}, {split}", table, _with_heads(pictures, table), _digest(text))
    truth.notes.append(f"sizes of people are {FILLED} of their boxes")
    return truth


def _solid(
    number: int, path: Path, row: dict[str, Any], people: Sequence[dict[str, Any]], k: int
) -> Picture:
    """One picture of people in metres; their pixels are where its camera sees them."""
    unknown = [math.nan] * 3
    xyz = np.array(
        [[unknown if p is None else p for p in person["xyz"]] for person in people], np.float64
    ).reshape(len(people), k, 3)
    width, height = row["size"]
    given = {name: row[name] for name in ("distortion",) if name in row}
    camera = Camera(np.array(row["camera"], np.float64), (width, height), **given)
    xy = camera.project(xyz).astype(np.float64)
    inside = np.all((xy >= 0) & (xy < (width, height)), axis=-1)  # of NaN it is not
    around = np.where(inside[..., None], xy, np.nan)
    low = np.nan_to_num(np.min(around, axis=1, initial=np.inf, where=inside[..., None]), posinf=0)
    high = np.nan_to_num(np.max(around, axis=1, initial=0, where=inside[..., None]))
    boxes = np.concatenate([low, high - low], axis=1)
    box = np.array([p.get("box", b) for p, b in zip(people, boxes, strict=True)], np.float64)
    box = box.reshape(len(people), 4)
    far = np.clip(box[:, :2] + box[:, 2:], 0, (width, height))
    box[:, :2] = np.clip(box[:, :2], 0, (width, height))
    box[:, 2:] = far - box[:, :2]
    n = len(people)
    area, head = FILLED * box[:, 2] * box[:, 3], np.full(n, np.nan)
    crowd = np.zeros(n, bool)
    return Picture(number, path, xy, inside, box, area, crowd, head, xyz, camera)


def _with_heads(pictures: list[Picture], table: Skeleton) -> list[Picture]:
    """With the size of heads, from the top of the head to the neck, where they are labelled."""
    if not {"head_top", "neck"} <= set(table.keypoints):
        return pictures
    ends = [table["head_top"], table["neck"]]

    def size(picture: Picture) -> np.ndarray:
        top, neck = np.moveaxis(picture.xy[:, ends], 1, 0)
        both = picture.labelled[:, ends].all(axis=1)
        return np.where(both, np.linalg.norm(top - neck, axis=-1), np.nan)

    return [replace(picture, head=size(picture)) for picture in pictures]
