"""Training and validation data, as `vitruvian val` reads them, and what should be known of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.evaluate import truth as truths
from vitruvian.evaluate.fit import fit_labels_to_pictures
from vitruvian.evaluate.labels import GroundTruth, LabelledPicture, count_outside
from vitruvian.formats.atomic_file import write_whole
from vitruvian.training.task import DataReport

SMALL = 24.0  # pixels: people whose box has a shorter longer side are pointed out
FEW = 20  # labels of a keypoint below which it is pointed out


class Data(NamedTuple):
    """What a run learns from, and what it is validated with."""

    training: GroundTruth
    validation: GroundTruth


def read_data(
    data: Path | Sequence[Path],
    validation: Path | None = None,
    *,
    images: Path | None = None,
    skeleton: str | None = None,
    boxes: bool = False,
) -> Data:
    """Read labelled data in any format of `vitruvian.evaluate.truth`.

    Data sets with splits are read by them. Otherwise, without `validation`, one picture of
    ten is kept apart, chosen by its name. Several data sets are learned from together.

    Args:
        data: to learn from, one data set or several with the same keypoints.
        validation: to validate with.
        images: folder of the images of all; default: next to the labels.
        skeleton: of the keypoints, a name or a .toml file; default: as in the labels.
        boxes: whether bounding boxes are enough: people need no keypoints.

    Raises:
        VitruvianError: it cannot be read, pictures are missing, the sets have other keypoints, or
            too few pictures are left.
    """
    files = [data] if isinstance(data, Path) else list(data)

    def read(file: Path, split: str) -> GroundTruth:
        how: dict[str, Any] = {"images": images, "skeleton": skeleton, "boxes": boxes}
        return _checked(truths.read(file, split=split, **how))

    training, kept = list[GroundTruth](), list[GroundTruth]()
    for file in files:
        truth = read(file, "train")
        if validation is None and not _has_splits(file):
            truth, apart = _split(truth, boxes)
            kept.append(apart)
        elif validation is None:
            kept.append(read(file, "val"))
        training.append(truth)
    if validation is not None:
        kept = [read(validation, "val")]
    return _apart(_joined([*training, *kept], len(training)), boxes)


def _has_splits(data: Path) -> bool:
    return data.is_dir() or data.suffix.lower() in (".jsonl", ".yaml", ".yml")


def _joined(truths: Sequence[GroundTruth], count: int) -> Data:
    """Data sets as one: the first `count` to learn from, the others to validate with."""
    first = truths[0]
    for other in truths[1:]:
        if other.skeleton.keypoints != first.skeleton.keypoints:
            raise VitruvianError(
                f"'{shown(first.source, 80)}' has the keypoints of {first.skeleton.name}, "
                f"'{shown(other.source, 80)}' those of {other.skeleton.name}; use the same for all"
            )
        if other.solid != first.solid:
            raise VitruvianError(
                f"'{shown(first.source, 80)}' and '{shown(other.source, 80)}' are not both joints "
                "in metres; give one kind"
            )
    return Data(_as_one(truths[:count]), _as_one(truths[count:]))


def _as_one(some: Sequence[GroundTruth]) -> GroundTruth:
    """Data sets as one; pictures that are in several are taken from the first."""
    if len(some) == 1:
        return some[0]
    pictures, notes = dict[Path, LabelledPicture](), list[str]()
    for truth in some:
        before = len(pictures)
        for picture in truth.pictures:
            place = picture.path.resolve()
            pictures.setdefault(place, replace(picture, number=len(pictures) + 1))
        if again := len(truth.pictures) - (len(pictures) - before):
            notes.append(f"'{shown(truth.source, 80)}': {amount(again, 'picture')} also before it")
    return GroundTruth(
        " + ".join(truth.source for truth in some),
        some[0].skeleton,
        list(pictures.values()),
        hashlib.sha256("".join(truth.sha256 for truth in some).encode()).hexdigest(),
        notes=[*(note for truth in some for note in truth.notes), *notes],
        faults=[fault for truth in some for fault in truth.faults],
    )


def _apart(data: Data, boxes: bool) -> Data:
    """The data without the pictures of the validation data among those to learn from."""
    training, kept = data
    there = {picture.path.resolve() for picture in kept.pictures}
    both = [picture for picture in training.pictures if picture.path.resolve() in there]
    if both:
        rest = [picture for picture in training.pictures if picture.path.resolve() not in there]
        note = f"{amount(len(both), 'picture')} of the validation data are not learned from"
        training = replace(training, pictures=rest, notes=[*training.notes, note])
    for name, truth in zip(("learn from", "validate with"), (training, kept), strict=True):
        if not any(_has_people(picture, boxes) for picture in truth.pictures):
            raise VitruvianError(
                f"no labelled people to {name} in '{shown(truth.source, 80)}'; give other "
                "pictures to --val"
            )
    return Data(training, kept)


def _checked(truth: GroundTruth) -> GroundTruth:
    truths.check_pictures_exist(truth)
    return fit_labels_to_pictures(truth)


def _has_people(picture: LabelledPicture, boxes: bool) -> bool:
    """Whether somebody is in a picture of whom there are keypoints, or a box."""
    return bool((~picture.crowd if boxes else picture.counts).any())


def _split(truth: GroundTruth, boxes: bool) -> Data:
    """Keep some pictures apart; the same ones each time."""
    people = [picture for picture in truth.pictures if _has_people(picture, boxes)]
    if len(people) < 2:
        raise VitruvianError(
            f"'{shown(truth.source, 80)}' has one picture with labelled people; give others to "
            "validate with to --val"
        )
    chosen = {picture.number for picture in truth.pictures if picture.apart}
    if not any(picture.number in chosen for picture in people):
        chosen = {people[0].number}
    if all(picture.number in chosen for picture in people):
        chosen.discard(people[-1].number)
    kept = [picture for picture in truth.pictures if picture.number in chosen]
    rest = [picture for picture in truth.pictures if picture.number not in chosen]
    note = f"no validation data: {amount(len(kept), 'picture')} of {len(truth.pictures)} kept apart"
    training = replace(truth, pictures=rest, notes=[*truth.notes, note])
    return Data(training, replace(truth, pictures=kept, notes=[]))


def data_report(data: Data) -> DataReport:
    """What the data is: pictures, people, keypoints, sizes; and what should be looked at."""
    lines, suspicious = list[str](), list[str]()
    for name, truth in zip(("learn from", "validate with"), data, strict=True):
        some, table = truth.pictures, truth.skeleton
        people = sum(len(picture) - int(picture.crowd.sum()) for picture in some)
        used = [(picture, picture.counts) for picture in some]
        labelled = np.concatenate([picture.labelled[which] for picture, which in used])
        extent = np.concatenate([picture.box[which, 2:].max(axis=1) for picture, which in used])
        low, middle, high = np.percentile(extent, [5, 50, 95])
        lines.append(
            f"{name} '{shown(truth.source, 100)}': {amount(len(some), 'picture')}, "
            f"{amount(people, 'person', 'people')}, {len(labelled)} with keypoints, "
            f"{labelled.sum() / len(labelled):.1f} of {len(table)} each ({table.name}); longer "
            f"side of a person {middle:.0f} px (5 % below {low:.0f}, 5 % above {high:.0f})"
        )
        suspicious += [*truth.notes, *map(str, truth.faults)]
        crowds = sum(int(picture.crowd.sum()) for picture in some)
        if crowds:
            suspicious.append(f"{name}: {amount(crowds, 'crowd')} not used")
        if bare := people - len(labelled):
            suspicious.append(f"{name}: {amount(bare, 'person', 'people')} without keypoints")
        if small := int((extent < SMALL).sum()):
            suspicious.append(f"{name}: {amount(small, 'person', 'people')} below {SMALL:.0f} px")
        outside, total = count_outside(some)
        if outside:
            suspicious.append(
                f"{name}: {outside} of {total} keypoints lie outside of their picture"
            )
        counts = labelled.sum(axis=0)
        rare = [f"{table.keypoints[k]} {counts[k]}" for k in np.flatnonzero(counts < FEW)]
        if rare:
            suspicious.append(f"{name}: few labels of {', '.join(rare)}")
    return DataReport(data.training.sha256, lines, suspicious)


def write_coco(truth: GroundTruth, file: Path) -> None:
    """Write 2D labels as COCO keypoint annotations, with absolute paths of the pictures.

    Notes and weights of keypoints are added, in entries of our own.
    """
    table = truth.skeleton
    rows = []
    for picture in truth.pictures:
        for i in range(len(picture)):
            points = np.where(picture.labelled[i][:, None], picture.xy[i], 0)
            seen = 2 * picture.labelled[i][:, None]
            row = {
                "id": len(rows) + 1,
                "image_id": picture.number,
                "category_id": 1,
                "bbox": picture.box[i].tolist(),
                "area": float(picture.area[i]),
                "iscrowd": int(picture.crowd[i]),
                "num_keypoints": int(picture.labelled[i].sum()),
                "keypoints": np.concatenate([points, seen], axis=1).ravel().tolist(),
            }
            if picture.weight is not None and (picture.weight[i] < 1).any():
                row["keypoint_weights"] = picture.weight[i].astype(float).round(4).tolist()
            rows.append(row)
    images = [
        {
            "id": picture.number,
            "file_name": picture.path.absolute().as_posix(),
            "width": picture.size[0],
            "height": picture.size[1],
        }
        for picture in truth.pictures
    ]
    person = {
        "id": 1,
        "name": "person",
        "keypoints": list(table.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in table.bones],
    }
    said: dict[str, object] = {"images": images, "annotations": rows, "categories": [person]}
    said["info"] = {"notes": truth.notes}
    write_whole(file, json.dumps(said))


def write_metres(truth: GroundTruth, file: Path) -> None:
    """Write joints in metres, see docs/val.md, with absolute paths of the pictures."""
    rows = []
    for picture in truth.pictures:
        assert picture.xyz is not None
        assert picture.camera is not None
        people = [
            {
                "xyz": [joint.tolist() if np.isfinite(joint).all() else None for joint in xyz],
                "box": box.tolist(),
            }
            for xyz, box in zip(picture.xyz.astype(float), picture.box.astype(float), strict=True)
        ]
        row = {"file": picture.path.absolute().as_posix(), "size": list(picture.size)}
        row |= {"camera": picture.camera.matrix.tolist(), "people": people}
        if picture.camera.distortion is not None and len(picture.camera.distortion):
            row["distortion"] = np.asarray(picture.camera.distortion, float).tolist()
        rows.append(row)
    table = {"keypoints": list(truth.skeleton.keypoints)}
    write_whole(file, json.dumps({"skeleton": table, "pictures": rows}))
