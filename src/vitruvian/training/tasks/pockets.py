"""Train the hands-in-pockets detector: python -m vitruvian.training.tasks.pockets --help.

Two steps, both reproducible from a seed. `Sight` learns to tell visible from hidden hands, on
images of visible hands and the same hands covered (`training/data/cover.py`); it sees no pocket
labels and nobody from the second step. Then a logistic regression is fitted to labelled hands
(`labels/hands_in_pockets.csv` and the labels of data/pockets): it weighs the output of `Sight` and
the arm geometry in the poses of several models. Both are written to the folder `--out`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.body.skeletons import skeleton as skeleton_named
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models import pockets
from vitruvian.models.load import family_of, load
from vitruvian.models.pockets import Arms
from vitruvian.models.ready import pull
from vitruvian.models.zoo import entry
from vitruvian.network.open import Network
from vitruvian.network.openvino import OpenVino
from vitruvian.training.data.hands import (
    TRUNK,
    LabelledPerson,
    read_coco_hands,
    read_labels,
    regression_people,
    torso_length,
)
from vitruvian.training.tasks.sight import export_sight, sight_patches, train_sight

MODELS = ("vitruvian-2d", "yolov8n-pose", "blazepose-full", "blazepose-heavy")
CLOSE = 0.5  # torso lengths: maximum mean distance of shoulders and hips for a match
L2 = 3.0  # L2 regularisation of the regression weights, features in standard deviations
SHARE = 0.38  # share of hands in pockets in the total sample weight
OUT_TO, IN_FROM = 0.4, 0.66  # probabilities between them are undecided
AS_MANY = 2.5  # effective number of other hands per hand in a pocket: many are near duplicates


def poses_of_people(
    name: str, people: Sequence[LabelledPerson], folder: Path
) -> dict[str, np.ndarray]:
    """Poses of a model for each person: (K, 8) x, y, score, presence, depth and metres.

    YOLO and BlazePose run on the whole image; if BlazePose misses a person, and always for
    vitruvian-2d, the annotated bounding box is used. People without a detection are left out.
    Results are cached in `folder`.
    """
    kept = folder / f"{name}.npz"
    if kept.exists():
        stored = np.load(kept)
        return dict(zip(stored["keys"].tolist(), stored["values"], strict=True))
    family = family_of(name)
    model = load(name, num_poses=4) if family.one_person else load(name)
    rows: dict[str, np.ndarray] = {}
    for person in people:
        frame = Frame.read(person.file)
        found = None if name == "vitruvian-2d" else matching_pose(model([frame])[0], person)
        if found is None and family.wants != "nothing":
            box = Regions.boxes(person.box[None], np.ones(1, np.float32))
            look = box.squares() if family.wants == "bodies" else box
            found = matching_pose(model([frame], [look])[0], person)
        if found is not None:
            rows[person.key] = pack_pose(found)
    np.savez(kept, keys=np.array(list(rows)), values=np.stack(list(rows.values())))
    return rows


def model_skeleton(name: str) -> Skeleton:
    """Skeleton of a model in `MODELS`."""
    return skeleton_named(entry(name).skeleton)


def matching_pose(poses: Poses, person: LabelledPerson) -> Poses | None:
    """The pose nearest to this person's labelled shoulders and hips, of N poses."""
    names = [COCO17.keypoints[i] for i in TRUNK]
    at = [poses.skeleton[name] for name in names]
    known = person.points[TRUNK, 2] > 0
    if not len(poses) or not known.any():
        return None
    height = person.box[3] - person.box[1]
    size = max(float(np.nan_to_num(torso_length(person.points), nan=height / 3)), 1.0)
    apart = np.linalg.norm(poses.xy[:, at] - person.points[TRUNK, :2], axis=-1)[:, known]
    apart = np.nan_to_num(apart.mean(axis=1), nan=np.inf) / size
    best = int(np.argmin(apart))
    return poses.take([best]) if apart[best] < CLOSE else None


def pack_pose(poses: Poses) -> np.ndarray:
    """(K, 8) float32 of one person; NaN where the model has no output."""
    k = len(poses.skeleton)
    rest = [
        np.full((k, n), np.nan) if part is None else part[0].reshape(k, n)
        for part, n in ((poses.presence, 1), (poses.depth, 1), (poses.xyz, 3))
    ]
    return np.concatenate([poses.xy[0], poses.score[0][:, None], *rest], 1).astype(np.float32)


def unpack_pose(row: np.ndarray, skeleton: Skeleton) -> Poses:
    """Inverse of `pack_pose`: poses of one person."""
    points = np.where(np.isfinite(row[:, :2]), row[:, :2], np.nan)
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    metres = row[None, :, 5:8] if np.isfinite(row[:, 5:8]).all() else None
    return Poses(
        skeleton,
        xy=row[None, :, :2],
        score=row[None, :, 2],
        box=np.concatenate([low, high])[None].astype(np.float32),
        box_score=np.ones(1, np.float32),
        person=np.full(1, -1, np.int64),
        xyz=metres,
        origin=None if metres is None else "hips",
        depth=row[None, :, 4] if np.isfinite(row[:, 4]).all() else None,
    )


@dataclass(frozen=True, eq=False)
class HandTable:
    """M visible hands as seen by one model."""

    features: np.ndarray  # (M, F) see `pockets.FEATURES`
    inside: np.ndarray  # (M,) bool: the label
    picture: np.ndarray  # (M,) int, image number: groups for cross-validation
    held: np.ndarray  # (M,) bool: held out, of data/pockets
    hand: list[tuple[str, int]]  # M pairs of person key and side

    def take(self, which: np.ndarray) -> HandTable:
        """Select hands by a boolean mask."""
        hand = [self.hand[i] for i in np.flatnonzero(which)]
        parts = (self.features, self.inside, self.picture, self.held)
        features, inside, picture, held = (part[which] for part in parts)
        return HandTable(features, inside, picture, held, hand)


def hand_table(
    people: Sequence[LabelledPerson],
    rows: dict[str, np.ndarray],
    skeleton: Skeleton,
    sight: Network,
) -> HandTable:
    """Features and labels of the labelled hands for one model; hands out of view are left out."""
    parts: list[tuple[np.ndarray, bool, int, bool]] = []
    hand: list[tuple[str, int]] = []
    for person in people:
        if person.key not in rows:
            continue
        frame = Frame.read(person.file)
        arms = Arms.of(unpack_pose(rows[person.key], skeleton))
        known = pockets.arms_in_view(arms, frame.size)
        known &= np.array(person.labels) != "unknown"
        if not known.any():
            continue
        seen = np.zeros(known.shape, np.float32)
        cut = pockets.cut(frame, pockets.patches(arms, known), known)
        seen[known] = sight(cut)[0][:, 0]
        features = pockets.evidence(pockets.geometry(arms), seen)
        for side in np.flatnonzero(known[0]):
            label, held = person.labels[side] == "in", person.key.startswith("pockets/")
            parts.append((features[0, side], label, person.picture, held))
            hand.append((person.key, int(side)))
    features, inside, picture, held = (np.array(part) for part in zip(*parts, strict=True))
    return HandTable(features, inside, picture, held, hand)


def concatenate_tables(tables: Sequence[HandTable]) -> HandTable:
    """Concatenate tables."""
    names = ("features", "inside", "picture", "held")
    parts = [np.concatenate([getattr(part, name) for part in tables]) for name in names]
    hand = [hand for part in tables for hand in part.hand]
    return HandTable(parts[0], parts[1], parts[2], parts[3], hand)


def fit_logistic_regression(rows: HandTable) -> tuple[np.ndarray, float]:
    """(F,) weights and bias of a logistic regression, positives weighted to a share of `SHARE`."""
    mean, deviation = rows.features.mean(axis=0), rows.features.std(axis=0) + 1e-6
    x = ((rows.features - mean) / deviation).astype(np.float64)
    sign = np.where(rows.inside, 1.0, -1.0)
    number = max(int(rows.inside.sum()), 1)
    one = np.where(rows.inside, SHARE / number, (1 - SHARE) / max((~rows.inside).sum(), 1))
    one = one * AS_MANY * number

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ theta[:-1] + theta[-1])
        slope = -one * sign * np.exp(-np.logaddexp(0, margin))
        total = (one * np.logaddexp(0, -margin)).sum() + L2 / 2 * (theta[:-1] ** 2).sum()
        return float(total), np.append(x.T @ slope + L2 * theta[:-1], slope.sum())

    theta = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    weight = theta[:-1] / deviation
    return weight.astype(np.float32), float(theta[-1] - (mean * weight).sum())


def assign_folds(tables: dict[str, HandTable], number: int = 8, seed: int = 0) -> dict[int, int]:
    """Image -> cross-validation fold."""
    pictures = np.unique(np.concatenate([part.picture for part in tables.values()]))
    drawn = np.random.default_rng(seed).integers(number, size=len(pictures))
    return dict(zip(pictures.tolist(), drawn.tolist(), strict=True))


def cross_validated_log_odds(
    tables: dict[str, HandTable], number: int = 8, seed: int = 0
) -> list[np.ndarray]:
    """Out-of-fold log odds of the hands of each table."""
    fold = assign_folds(tables, number, seed)
    of = [
        np.array([fold[picture] for picture in part.picture.tolist()]) for part in tables.values()
    ]
    odds = [np.zeros(len(part.inside), np.float32) for part in tables.values()]
    for i in range(number):
        pairs = list(zip(tables.values(), of, strict=True))
        weight, bias = fit_logistic_regression(
            concatenate_tables([part.take(of_part != i) for part, of_part in pairs])
        )
        for mine, (part, of_part) in zip(odds, pairs, strict=True):
            mine[of_part == i] = part.features[of_part == i] @ weight + bias
    return odds


def settled_chances(
    people: Sequence[LabelledPerson],
    tables: dict[str, HandTable],
    rows: dict[str, dict[str, np.ndarray]],
    odds: Sequence[np.ndarray],
) -> dict[str, np.ndarray]:
    """(M,) probabilities for each model, settled with those of vitruvian-2d; NaN: unknown.

    As in `pockets.hands`.

    Args:
        people: whose hands.
        tables: of each model.
        rows: from `poses_of_people`, of each model.
        odds: (M,) log odds of the hands of each table.
    """
    sizes = {person.key: Frame.read(person.file).size for person in people}
    read = {name: _readings(name, part, rows[name], one, sizes)
            for (name, part), one in zip(tables.items(), odds, strict=True)}  # fmt: skip
    settled: dict[str, np.ndarray] = {}
    for name, part in tables.items():
        said: dict[str, np.ndarray] = {}
        for key, (first, chance) in read[name].items():
            second, again = read["vitruvian-2d"].get(key, (first, chance))
            both = np.stack([chance, np.where(np.isnan(again), chance, again)])
            said[key] = pockets.settle_hands(first, second, both, OUT_TO, IN_FROM)[0]
        settled[name] = np.array([said[key][side] for key, side in part.hand])
    return settled


def _readings(
    name: str,
    part: HandTable,
    rows: dict[str, np.ndarray],
    odds: np.ndarray,
    sizes: dict[str, tuple[int, int]],
) -> dict[str, tuple[pockets.HandReading, np.ndarray]]:
    """Of each person in a table, with (1, 2) probabilities."""
    column, found = pockets.FEATURES.index("hand in sight"), dict[str, list[np.ndarray]]()
    for (key, side), features, one in zip(part.hand, part.features, odds, strict=True):
        sight, chance = found.setdefault(key, [np.full((1, 2), np.nan), np.full((1, 2), np.nan)])
        sight[0, side], chance[0, side] = features[column], 1 / (1 + np.exp(-one))
    skeleton = model_skeleton(name)
    return {
        key: (pockets.HandReading(unpack_pose(rows[key], skeleton), sizes[key], sight), chance)
        for key, (sight, chance) in found.items()
    }


def main() -> None:
    """Train and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="has pockets and coco_people")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--backbone", type=Path, help="pose_landmark_full.tflite")
    parser.add_argument("--steps", type=int, default=600, help="of 32 patches")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    people = regression_people(asked.data)
    file = asked.out / "hand_in_sight.onnx"
    if not file.exists():
        backbone = asked.backbone or pull("blazepose-full")[-1]
        used = {person.picture for person in people}
        kept = {name for (name, _), row in read_labels().items() if row[0] != "out"}
        others = [
            person
            for person in read_coco_hands(asked.data / "coco_people")
            if person.picture not in used and person.key.removeprefix("coco/") not in kept
        ]
        kinds = sight_patches(others, np.random.default_rng(asked.seed))
        print(*(f"{len(patches)} {kind}" for kind, patches in kinds.items()), flush=True)
        network = train_sight(kinds, backbone, asked.steps, asked.seed)
        export_sight(network, file)
    sight = OpenVino(file)
    tables = {}
    for name in MODELS:
        rows = poses_of_people(name, people, asked.out)
        tables[name] = hand_table(people, rows, model_skeleton(name), sight)
        print(name, len(tables[name].inside), "hands", flush=True)
    weight, bias = fit_logistic_regression(concatenate_tables(list(tables.values())))
    numbers = {name: round(float(w), 5) for name, w in zip(pockets.FEATURES, weight, strict=True)}
    made = {"weights": numbers, "bias": round(bias, 5), "out_to": OUT_TO, "in_from": IN_FROM}
    text = json.dumps(made, indent=1)
    (asked.out / "hands_in_pockets.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
