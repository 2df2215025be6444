"""Training and validation data, as `vitruvian val` reads them, and what should be known of them."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.evaluate import truth as truths
from vitruvian.evaluate.fit import fit_labels_to_pictures
from vitruvian.evaluate.labels import GroundTruth, LabelledPicture, count_outside
from vitruvian.formats.atomic_file import write_whole
from vitruvian.training.task import DataReport

ONE_OF = 10  # pictures: the share that is kept apart where there is no validation data
SMALL = 24.0  # pixels: people whose box has a shorter longer side are pointed out
FEW = 20  # labels of a keypoint below which it is pointed out


class Data(NamedTuple):
    """What a run learns from, and what it is validated with."""

    training: GroundTruth
    validation: GroundTruth


def read_data(
    data: Path,
    validation: Path | None = None,
    *,
    images: Path | None = None,
    skeleton: str | None = None,
) -> Data:
    """Read labelled data in any format of `vitruvian.evaluate.truth`.

    Data sets with splits are read by them. Otherwise, without `validation`, one picture of
    `ONE_OF` is kept apart, chosen by its name.

    Args:
        data: to learn from.
        validation: to validate with.
        images: folder of the images of both; default: next to the labels.
        skeleton: of the keypoints, a name or a .toml file; default: as in the labels.

    Raises:
        VitruvianError: it cannot be read, pictures are missing, the two have other keypoints, or
            too few pictures are left.
    """
    splits = data.is_dir() or data.suffix.lower() in (".jsonl", ".yaml", ".yml")
    training = _checked(truths.read(data, images=images, split="train", skeleton=skeleton))
    if validation is not None or splits:
        where = validation or data
        kept = _checked(truths.read(where, images=images, split="val", skeleton=skeleton))
    else:
        training, kept = _split(training)
    if training.skeleton.keypoints != kept.skeleton.keypoints:
        raise VitruvianError(
            f"'{shown(training.source, 80)}' has the keypoints of {training.skeleton.name}, "
            f"'{shown(kept.source, 80)}' those of {kept.skeleton.name}; use the same for both"
        )
    there = {picture.path.resolve() for picture in kept.pictures}
    both = [picture for picture in training.pictures if picture.path.resolve() in there]
    if both:
        rest = [picture for picture in training.pictures if picture.path.resolve() not in there]
        note = f"{amount(len(both), 'picture')} of the validation data are not learned from"
        training = replace(training, pictures=rest, notes=[*training.notes, note])
    for name, truth in zip(("learn from", "validate with"), (training, kept), strict=True):
        if not any(picture.counts.any() for picture in truth.pictures):
            raise VitruvianError(
                f"no labelled people to {name} in '{shown(truth.source, 80)}'; give other "
                "pictures to --val"
            )
    return Data(training, kept)


def _checked(truth: GroundTruth) -> GroundTruth:
    truths.check_pictures_exist(truth)
    return fit_labels_to_pictures(truth)


def _split(truth: GroundTruth) -> Data:
    """Keep some pictures apart; the same ones each time."""

    def apart(picture: LabelledPicture) -> bool:
        return zlib.crc32(picture.path.name.encode(errors="replace")) % ONE_OF == 0

    people = [picture for picture in truth.pictures if picture.counts.any()]
    if len(people) < 2:
        raise VitruvianError(
            f"'{shown(truth.source, 80)}' has one picture with labelled people; give others to "
            "validate with to --val"
        )
    chosen = {picture.number for picture in truth.pictures if apart(picture)}
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


def write_coco(truth: GroundTruth, file: Path) -> Path:
    """Write 2D labels as COCO keypoint annotations.

    Returns:
        The folder of all pictures.
    """
    table = truth.skeleton
    folder = Path(os.path.commonpath([picture.path.resolve().parent for picture in truth.pictures]))
    rows = []
    for picture in truth.pictures:
        for i in range(len(picture)):
            points = np.where(picture.labelled[i][:, None], picture.xy[i], 0)
            seen = 2 * picture.labelled[i][:, None]
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": picture.number,
                    "category_id": 1,
                    "bbox": picture.box[i].tolist(),
                    "area": float(picture.area[i]),
                    "iscrowd": int(picture.crowd[i]),
                    "num_keypoints": int(picture.labelled[i].sum()),
                    "keypoints": np.concatenate([points, seen], axis=1).ravel().tolist(),
                }
            )
    images = [
        {
            "id": picture.number,
            "file_name": picture.path.resolve().relative_to(folder).as_posix(),
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
    said = {"images": images, "annotations": rows, "categories": [person]}
    write_whole(file, json.dumps(said))
    return folder
