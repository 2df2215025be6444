"""People with hands labelled as in a pocket or not: data/pockets, and people of COCO."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError
from vitruvian.models.pockets import SIDES

LABELS = Path(__file__).parents[1] / "labels" / "hands_in_pockets.csv"
STATES = ("in", "out", "unknown")
TRUNK = [COCO17[f"{side}_{name}"] for name in ("shoulder", "hip") for side in SIDES]
FAR = 0.65  # torso lengths from wrist to hip; beyond, the hand is not in a pocket


@dataclass(frozen=True, eq=False)
class LabelledPerson:
    """One person with labelled hands."""

    key: str  # "pockets/..." or "coco/...", unique
    file: Path
    picture: int  # COCO image number: groups for cross-validation
    points: np.ndarray  # (17, 3) x, y in pixels, and whether labelled
    box: np.ndarray  # (4,) x0 y0 x1 y1
    labels: tuple[str, str]  # of the left and right hand, of `STATES`
    kind: str = ""  # "at_sides", "phone_or_camera" and so on, where known


def read_labels(file: Path = LABELS) -> dict[tuple[str, str], tuple[str, bool]]:
    """(file, side) -> label, and whether the regression is trained on that person.

    Raises:
        VitruvianError: a line is invalid.
    """
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        want = {"hand": SIDES, "label": STATES, "weighed": ("yes", "no")}
        for name, known in want.items():
            if row.get(name) not in known:
                raise VitruvianError(f"'{file}' has {name} {row.get(name)!r}, want one of {known}")
    return {(row["file"], row["hand"]): (row["label"], row["weighed"] == "yes") for row in rows}


def read_pockets(folder: Path) -> list[LabelledPerson]:
    """Read the people of data/pockets."""
    states = {"1": "in", "0": "out", "-1": "unknown"}
    people = []
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            triples = [triple.split(",") for triple in row["keypoints"].split()]
            x, y, w, h = (float(row[name]) for name in "xywh")
            people.append(
                LabelledPerson(
                    f"pockets/{row['file']}#{row['person']}",
                    folder / "images" / row["file"],
                    int(Path(row["file"]).stem),
                    np.array(triples, np.float32),
                    np.array([x, y, x + w, y + h], np.float32),
                    (states[row["left_in_pocket"]], states[row["right_in_pocket"]]),
                    row["subtype"],
                )
            )
    return people


def read_coco_hands(folder: Path) -> list[LabelledPerson]:
    """Read all people of data/coco_people; wrists far from the hip are labelled as out."""
    labels = read_labels()
    people = []
    for line in (folder / "people.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        x, y, w, h = row["box"]
        points = np.array(row["keypoints"], np.float32)
        away = wrist_to_hip(points)
        known = []
        for i, side in enumerate(SIDES):
            far = away[i] > FAR and points[COCO17[f"{side}_wrist"], 2] == 2
            known.append(labels.get((row["file"], side), ("out" if far else "unknown",))[0])
        people.append(
            LabelledPerson(
                f"coco/{row['file']}",
                folder / "crops" / row["file"],
                row["image_id"],
                points,
                np.array([x, y, x + w, y + h], np.float32),
                (known[0], known[1]),
            )
        )
    return people


def torso_length(points: np.ndarray) -> float:
    """Pixels between the centres of the labelled shoulders and hips; NaN if missing."""
    known = np.where(points[TRUNK, 2:] > 0, points[TRUNK, :2], np.nan).reshape(2, 2, 2)
    if np.isnan(known).all(axis=(1, 2)).any():
        return float("nan")
    shoulders, hips = np.nanmean(known, axis=1)
    return float(np.linalg.norm(shoulders - hips))


def wrist_to_hip(points: np.ndarray) -> np.ndarray:
    """(2,) torso lengths from each wrist to its hip, or to the other one; NaN if missing."""
    away = []
    for i, side in enumerate(SIDES):
        names = (f"{side}_hip", f"{SIDES[1 - i]}_hip")
        hips = [points[COCO17[name]] for name in names if points[COCO17[name], 2] > 0]
        wrist = points[COCO17[f"{side}_wrist"]]
        known = hips and wrist[2] > 0
        away.append(np.linalg.norm(wrist[:2] - hips[0][:2]) if known else np.nan)
    return np.array(away) / max(torso_length(points), 1.0)


def regression_people(data: Path) -> list[LabelledPerson]:
    """Training people of the regression: data/pockets, and those marked `weighed` in the labels.

    The latter are all people with a hand in a pocket, and a fixed random sample of 550 others.
    """
    weighed = {file for (file, _), row in read_labels().items() if row[1]}
    crops = read_coco_hands(data / "coco_people")
    kept = [person for person in crops if person.key.removeprefix("coco/") in weighed]
    return [*read_pockets(data / "pockets"), *kept]


def labelled_pose(person: LabelledPerson) -> Poses:
    """The annotated keypoints as poses of one person."""
    known = person.points[:, 2] > 0
    xy = np.where(known[:, None], person.points[:, :2], np.nan)[None].astype(np.float32)
    box, one = person.box[None], np.ones(1, np.float32)
    return Poses(COCO17, xy, known[None].astype(np.float32), box, one, np.zeros(1, np.int64))
