r"""Hands in pockets: precision, recall and F1 of each rule, by hand and by person.

    python -m vitruvian.training.tasks.pockets --data ../shared/data --out runs/pockets
    python benchmarks/pockets.py ../shared/data runs/pockets

For the poses of each model: the original rule and a hand-tuned one, with fitted thresholds, and the
detector. "cv" is cross-validation in which no picture is on both sides; "transfer" learns from
data/coco_people only and is tested on data/pockets; "coco" are the former's hands in
cross-validation, of which 3 in 100 are in pockets. A hand without a decision counts for nothing but
the share; one of a person whom the model does not find has none. The network that looks for hands
has seen neither these people nor their pictures.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vitruvian.analysis.posture import Body, shoulder_to_hand
from vitruvian.body.poses import Poses
from vitruvian.models import pockets
from vitruvian.network.openvino import OpenVino
from vitruvian.training.data.hands import LabelledPerson, regression_people
from vitruvian.training.tasks import pockets as training
from vitruvian.training.tasks.pockets import HandTable

Key = tuple[str, int]  # a person and a side
ACROSS, DEEP = np.linspace(0.1, 1.5, 15), np.linspace(0.2, 3, 8)  # thresholds that are tried
LEVELS = np.linspace(0.05, 0.95, 19)


def scores(truth: dict[Key, bool], said: dict[Key, str]) -> str:
    """Precision, recall and F1 where there is a decision, and the share that has one."""
    decided = {key: said[key] == "in" for key in truth if said.get(key, "unknown") != "unknown"}
    hits = sum(truth[key] and found for key, found in decided.items())
    found, there = sum(decided.values()), sum(truth[key] for key in decided)
    precision, recall = hits / max(found, 1), hits / max(there, 1)
    f1 = 2 * hits / max(found + there, 1)
    share = len(decided) / max(len(truth), 1)
    return f"{precision:5.2f} {recall:5.2f} {f1:5.2f} {share:5.2f}"


def by_person(hands: dict[Key, str]) -> dict[Key, str]:
    """In if either hand is, out if both are, else unknown."""
    people: dict[str, list[str]] = {}
    for (person, _), state in hands.items():
        people.setdefault(person, []).append(state)
    both = {
        person: "in" if "in" in states else "out" if set(states) == {"out"} else "unknown"
        for person, states in people.items()
    }
    return {(person, 0): state for person, state in both.items()}


def show(name: str, people: list[LabelledPerson], said: dict[Key, str]) -> None:
    """One line: hands, then people."""
    labels = {(p.key, side): label for p in people for side, label in enumerate(p.labels)}
    sides = {key: said.get(key, "unknown") for key in labels}
    columns = []
    for truth, answer in ((labels, sides), (by_person(labels), by_person(sides))):
        known = {key: label == "in" for key, label in truth.items() if label != "unknown"}
        columns.append(scores(known, answer))
    print(f"{name:42} {'   '.join(columns)}", flush=True)


def fitted(
    people: list[LabelledPerson],
    tried: list[Callable[[LabelledPerson], np.ndarray]],
    fold: dict[int, int],
    others: Sequence[LabelledPerson] = (),
) -> dict[Key, str]:
    """What the best of some rules says of each fold, best on the other folds.

    Args:
        people: whose hands.
        tried: rules: person -> (2,) bool; empty if the model did not find them.
        fold: of each picture.
        others: who is told, in people's stead, by the rule that is best on all of these.
    """
    answers = [{p.key: rule(p) for p in (*people, *others)} for rule in tried]

    def best(learned: list[LabelledPerson]) -> dict[str, np.ndarray]:
        def f1(answer: dict[str, np.ndarray]) -> float:
            pairs = [
                (bool(inside), person.labels[side] == "in")
                for person in learned
                for side, inside in enumerate(answer[person.key])
                if person.labels[side] != "unknown"
            ]
            hits = sum(a and b for a, b in pairs)
            return 2 * hits / max(sum(a + b for a, b in pairs), 1)

        return max(answers, key=f1)

    groups: list[tuple[dict[str, np.ndarray], Sequence[LabelledPerson]]] = [(best(people), others)]
    if not others:
        groups = [
            (
                best([p for p in people if fold[p.picture] != i]),
                [p for p in people if fold[p.picture] == i],
            )
            for i in set(fold.values())
        ]
    return {
        (person.key, side): "in" if inside else "out"
        for answer, told in groups
        for person in told
        for side, inside in enumerate(answer[person.key])
    }


def states(part: HandTable, chances: np.ndarray) -> dict[Key, str]:
    """What the detector says, with the thresholds it comes with."""
    hands = pockets.Hands(chances, training.OUT_TO, training.IN_FROM)
    return dict(zip(part.hand, hands.state.tolist(), strict=True))


def beside_shoulder(poses: Poses) -> np.ndarray:
    """(2, 1) or (2, 2) of one person: shoulder widths in x, and in z where there is a depth."""
    if poses.xyz is None and poses.depth is not None:
        image = np.concatenate([poses.xy, poses.depth[..., None]], axis=-1)
        poses = replace(poses, xyz=image, origin="hips")
    return shoulder_to_hand(Body(poses, seen=0))[0][:, ::2]


def rules(
    rows: dict[str, np.ndarray], name: str
) -> tuple[
    list[Callable[[LabelledPerson], np.ndarray]], list[Callable[[LabelledPerson], np.ndarray]]
]:
    """The original rule and the hand-tuned one on a model's poses, with all thresholds tried."""
    skeleton = training.model_skeleton(name)
    poses = {key: training.unpack_pose(row, skeleton) for key, row in rows.items()}
    nobody = np.zeros(0, bool)
    apart = {key: beside_shoulder(one) for key, one in poses.items()}

    def original(across: float, deep: float) -> Callable[[LabelledPerson], np.ndarray]:
        limits = np.array([across, deep])

        def rule(person: LabelledPerson) -> np.ndarray:
            beside = apart.get(person.key)
            return nobody if beside is None else np.all(beside < limits[: len(beside[0])], axis=-1)

        return rule

    def hand_set(level: float) -> Callable[[LabelledPerson], np.ndarray]:
        return lambda person: (
            pockets.at_pocket_line(poses[person.key])[0] > level if person.key in poses else nobody
        )

    depths = DEEP if name.startswith("blazepose") else DEEP[:1]
    pairs = [original(float(a), float(d)) for a, d in itertools.product(ACROSS, depths)]
    return pairs, [hand_set(float(level)) for level in LEVELS]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="has pockets and coco_people")
    parser.add_argument("runs", type=Path, help="what the training made")
    asked = parser.parse_args()
    people = regression_people(asked.data)
    held = [person for person in people if person.key.startswith("pockets/")]
    rest = [person for person in people if person not in held]
    sight = OpenVino(asked.runs / "hand_in_sight.onnx")
    rows = {name: training.poses_of_people(name, people, asked.runs) for name in training.MODELS}
    tables = {
        name: training.hand_table(people, found, training.model_skeleton(name), sight)
        for name, found in rows.items()
    }
    fold = training.assign_folds(tables)
    fold |= {person.picture: 0 for person in people if person.picture not in fold}
    chances = training.settled_chances(
        people, tables, rows, training.cross_validated_log_odds(tables)
    )
    learned = training.concatenate_tables([part.take(~part.held) for part in tables.values()])
    weight, bias = training.fit_logistic_regression(learned)
    odds = [part.features @ weight + bias for part in tables.values()]
    transferred = training.settled_chances(people, tables, rows, odds)
    print(f"{'':42} {'of hands':>23}   {'of people':>23}")
    print(f"{'':42} {'   '.join(['prec. rec.    F1 share'] * 2)}")
    for name in training.MODELS:
        original, hand_set = rules(rows[name], name)
        print(name)
        show("  original rule, fitted, cv", held, fitted(held, original, fold))
        show("  hand-tuned rule, fitted, cv", held, fitted(held, hand_set, fold))
        show("  detector, cv", held, states(tables[name], chances[name]))
        show("  detector, transfer", held, states(tables[name], transferred[name]))
        show("  hand-tuned rule, fitted, coco", rest, fitted(held, hand_set, fold, rest))
        show("  detector, coco, cv", rest, states(tables[name], chances[name]))
    print("wrong, by subtype, in cross-validation (of all models):")
    wrong: dict[str, list[int]] = {}
    for person in held:
        for name, part in tables.items():
            said = states(part, chances[name])
            for side, label in enumerate(person.labels):
                state = said.get((person.key, side), "unknown")
                if label != "unknown":
                    count = wrong.setdefault(f"{person.kind}, hand {label}", [0, 0, 0])
                    count[0 if state == label else 2 if state == "unknown" else 1] += 1
    for kind, (right, not_right, unknown) in sorted(wrong.items()):
        print(f"  {kind:36} right {right:3}  wrong {not_right:3}  unknown {unknown:3}")


if __name__ == "__main__":
    main()
