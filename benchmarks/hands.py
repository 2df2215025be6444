"""Hands and heads in pictures against labels: PCK of keypoints, and the rules of gestures.

    python benchmarks/hands.py ../shared/data [--model holistic] [--peer]
    python benchmarks/hands.py ../shared/data --pockets

PCK: the share of labelled keypoints that are found within 0.1 and 0.2 of the size of the hand, the
longer side of the box around its labelled keypoints (as OneHand10K: Wang et al. 2019, "Mask-Pose
Cascaded CNN for 2D Hand Pose Estimation From Single Color Image", IEEE TCSVT 29). A hand that is
not found counts as wrong. With --peer the same of MediaPipe 0.10.21 Holistic, which knows one
person: also of the hands of that person alone.

Rules: of those it says yes, how many are right, closed around or holding something, or wrong; and
how many of the labelled ones it finds. With --pockets: `hands_in_pockets` by the detector alone,
and as the rule that also uses the hands of the model. tests/analysis/labels/README.md says how
labels were made.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import vitruvian as vit
from peers.run import HERE, environment
from vitruvian.analysis.posture import SIDES, Body, pockets_rule
from vitruvian.analysis.rules import GESTURES, RULES
from vitruvian.body.poses import Poses
from vitruvian.frame import Frame
from vitruvian.models import pockets
from vitruvian.training.data.hands import LabelledPerson, regression_people
from vitruvian.training.tasks.pockets import matching_pose

LABELS = Path(__file__).parent.parent / "tests" / "analysis" / "labels"
NEAR = 0.15  # of the longer side of a person's box, between a label and the person it is of
ON, OFF = 0.6, 0.4  # as `Options` of events
SHARES = (0.1, 0.2)

Found = dict[str, tuple[Frame, Poses]]  # by file


def labels(name: str) -> list[dict[str, str]]:
    with (LABELS / name).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def picture(data: Path, row: dict[str, str]) -> str:
    folder = row.get("folder", "coco_people")
    inside = "crops" if folder == "coco_people" else "images"
    return str(data / folder / inside / row.get("picture", row.get("file", "")))


def nearest(poses: Poses, at: np.ndarray, keypoints: Iterable[str]) -> int | None:
    """The person whose keypoints, on average, are nearest to a label."""
    own = [poses.skeleton[name] for name in keypoints if name in poses.skeleton.places]
    if not len(poses) or not own:
        return None
    middles = np.ma.masked_invalid(poses.xy[:, own]).mean(axis=1).filled(np.nan)
    away = np.linalg.norm(middles - at, axis=1)
    away /= np.maximum((poses.box[:, 2:] - poses.box[:, :2]).max(axis=1), 1)
    row = int(np.nan_to_num(away, nan=np.inf).argmin())
    return row if away[row] < NEAR else None


def labelled_hands(data: Path) -> dict[tuple[str, str, str], dict[str, np.ndarray]]:
    """File, side and number of the hand -> keypoint -> pixels."""
    hands: dict[tuple[str, str, str], dict[str, np.ndarray]] = defaultdict(dict)
    for row in labels("hand_keypoints.csv"):
        at = np.array([float(row["x"]), float(row["y"])])
        hands[picture(data, row), row["side"], row["hand"]][row["keypoint"]] = at
    return hands


def show_pck(name: str, errors: list[np.ndarray]) -> None:
    every = np.concatenate(errors)
    seen = [each for each in errors if np.isfinite(each).all()]
    there = np.concatenate(seen) if seen else np.zeros(0)
    shares = [f"{(every <= share).mean():.2f}" for share in SHARES]
    of_found = [f"{(there <= share).mean():.2f}" for share in SHARES]
    print(f"| {name} | {len(seen)} of {len(errors)} | {' | '.join(shares)} "
          f"| {' | '.join(of_found)} | {np.median(there):.3f} |")  # fmt: skip


def pck(data: Path, model: str, found: Found, peer: bool) -> None:
    hands = labelled_hands(data)
    print(f"\n{len(hands)} hands, {sum(map(len, hands.values()))} keypoints")
    print("| | hands found | PCK@0.1 | PCK@0.2 | of found: PCK@0.1 | PCK@0.2 | median error |")
    print("|---|---|---|---|---|---|---|")
    theirs: dict[str, dict[str, list[list[float]]]] = {}
    if peer:
        script, files = HERE / "mediapipe_holistic.py", sorted({file for file, *_ in hands})
        job = json.dumps({"what": "landmarks", "sources": files})
        python = environment("mediapipe-solutions")
        done = subprocess.run(
            [python, str(script), job], check=True, capture_output=True, text=True
        )
        theirs = json.loads(done.stdout)
    errors, of_one, of_theirs = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    for (file, side, _), points in hands.items():
        places = np.stack(list(points.values()))
        size = np.ptp(places, axis=0).max()
        poses = found[file][1]
        error = np.full(len(points), np.nan)
        row = nearest(poses, points["hand"], [f"{side}_wrist"])
        if row is not None:
            own = [poses.skeleton[f"{side}_{name}"] for name in points]
            error = np.linalg.norm(poses.xy[row, own] - places, axis=1) / size
        errors.append(error)
        if file in theirs:
            theirs_of = theirs[file]
            wrist = np.array(theirs_of.get(f"{side}_wrist", [np.inf, np.inf]))
            error_of = np.full(len(points), np.nan)
            if f"{side}_hand" in theirs_of:
                at = np.array(theirs_of[f"{side}_hand"])
                own = [_number(name) for name in points]
                error_of = np.linalg.norm(at[own] - places, axis=1) / size
            of_theirs.append(error_of)
            if np.linalg.norm(wrist - points["hand"]) < size:  # it looked at this person
                of_one += [np.stack([error, error_of])]
    show_pck(model, errors)
    if peer:
        show_pck("MediaPipe Holistic 0.10.21", of_theirs)
        show_pck(f"{model}, hands of the person that MediaPipe sees", [one[0] for one in of_one])
        show_pck("MediaPipe, the same", [one[1] for one in of_one])


def _number(name: str) -> int:
    """MediaPipe's number of a hand's landmark."""
    finger, _, joint = name.partition("_")
    names = ("thumb", "index", "middle", "ring", "pinky")
    return 0 if finger == "hand" else 4 * names.index(finger) + int(joint)


def degrees(found: Found, flat: bool, rules: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """File -> rule -> degrees."""
    said = {}
    for file, (frame, one) in found.items():
        poses = replace(one, xyz=None, origin=None) if flat else one
        body = Body(poses, frame)
        said[file] = {name: RULES[name](body) for name in rules}
    return said


def judge(data: Path, found: Found, flat: bool, rules: Sequence[str]) -> None:
    said = degrees(found, flat, rules)
    tallies = {name: Counter[str]() for name in rules}

    def count(rule: str, degree: float, label: str) -> None:
        tally, yes = tallies[rule], degree >= ON
        tally.update(all=1, decided=int(yes or degree <= OFF), yes=int(yes))
        tally[f"there {label}"] += 1
        tally[f"yes {label}"] += int(yes)

    for row in labels("hands.csv"):
        file, side = picture(data, row), SIDES.index(row["side"])
        at = np.array([float(row["x"]), float(row["y"])])
        who = nearest(found[file][1], at, [f"{row['side']}_wrist"])
        shows, unsure = row["shows"].split(), row["unsure"].split()
        for rule in rules[:-1]:
            if "all" in unsure or rule in unsure:
                continue
            holds = "closed_on" in shows if rule == "fist" else {"closed_on", "holds"} & {*shows}
            label = "right" if rule in shows else "holds" if holds else "none"
            degree = np.nan if who is None else said[file][rule][who, side]
            count(rule, degree, label)
    for row in labels("heads.csv"):
        if row["looking_away"] != "unsure":
            file, at = picture(data, row), np.array([float(row["x"]), float(row["y"])])
            poses = found[file][1]
            who = nearest(poses, at, ("nose", "left_eye", "right_eye", "left_ear", "right_ear"))
            label = "right" if row["looking_away"] == "yes" else "none"
            degree = np.nan if who is None else said[file]["looking_away"][who]
            count("looking_away", degree, label)
    print("\n| rule | yes | right | holds something | wrong | found | decided |")
    print("|---|---|---|---|---|---|---|")
    for rule, t in tallies.items():
        found_of = f"{t['yes right']} of {t['there right']} | {t['decided']} of {t['all']}"
        states = " | ".join(str(t[f"yes {label}"]) for label in ("right", "holds", "none"))
        print(f"| `{rule}` | {t['yes']} | {states} | {found_of} |")


def judge_found(data: Path, found: Found) -> None:
    """Crops with smaller hands that were looked at where a rule said yes."""
    said, tallies = (
        degrees(found, False, GESTURES),
        {name: Counter[str]() for name in GESTURES[:-1]},
    )
    for row in labels("hands_found.csv"):
        file, side = picture(data, row), SIDES.index(row["side"])
        poses = found[file][1]
        at = np.array([float(row["x"]), float(row["y"])])
        fingers = [f"{row['side']}_{finger}_1" for finger in ("index", "middle", "ring", "pinky")]
        who = nearest(poses, at, fingers)
        if who is not None and said[file][row["rule"]][who, side] >= ON:
            tallies[row["rule"]][row["state"]] += 1
    print(
        "\n| rule | yes | right | holds something | wrong | not sure |\n|---|---|---|---|---|---|"
    )
    for rule, t in tallies.items():
        print(f"| `{rule}` | {t.total()} | {t['yes']} | {t['holds']} | {t['no']} | {t['unsure']} |")


def judge_pockets(data: Path, model: str) -> None:
    """Hands in pockets without and with the presence of hands, on the same people."""
    people: dict[str, list[LabelledPerson]] = defaultdict(list)
    for person in regression_people(data):
        people[str(person.file)].append(person)
    tallies: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for frame, poses in vit.run(list(people), model):
        detector = pockets.hands(frame, poses)
        inside = (
            np.interp(detector.inside, [0, detector.out_to, detector.in_from, 1], [0, OFF, ON, 1]),
            pockets_rule(lambda _frame, _poses, own=detector: own)(Body(poses, frame)),
        )
        for person in people[frame.source]:
            found = matching_pose(poses, person) if len(poses) else None
            same = [] if found is None else (poses.box == found.box).all(axis=1).nonzero()[0]
            group = "pockets" if person.key.startswith("pockets/") else "coco_people"
            for side, label in enumerate(person.labels):
                if label == "unknown":
                    continue
                for way, degrees in zip(("detector", "with hands"), inside, strict=True):
                    degree = degrees[same[0], side] if len(same) else np.nan
                    said = "in" if degree >= ON else "out" if degree <= OFF else "unknown"
                    tally = tallies[group, way]
                    tally.update(all=1, decided=int(said != "unknown"))
                    if said != "unknown":
                        tally.update(hits=int(said == label == "in"), said=int(said == "in"))
                        tally.update(there=int(label == "in"))
    print("| data | | in is right | in pockets, where decided | F1 | decided |")
    print("|---|---|---|---|---|---|")
    for (group, way), t in sorted(tallies.items()):
        f1 = 2 * t["hits"] / max(t["said"] + t["there"], 1)
        decided = f"{t['decided']} of {t['all']}, {t['decided'] / t['all']:.0%}"
        parts = (f"{t['hits']} of {t['said']}", f"{t['hits']} of {t['there']}", f"{f1:.2f}")
        print(f"| {group} | {way} | {' | '.join(parts)} | {decided} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="holistic", help="without hands: looking_away only")
    parser.add_argument("--peer", action="store_true", help="MediaPipe, too")
    parser.add_argument("--pockets", action="store_true", help="hands in pockets instead")
    asked = parser.parse_args()
    data = asked.data.resolve()
    if asked.pockets:
        judge_pockets(data, asked.model)
        return
    names = ("hand_keypoints.csv", "hands.csv", "heads.csv", "hands_found.csv")
    files = sorted({picture(data, row) for name in names for row in labels(name)})
    found: Found = {}
    for frame, poses in vit.run(files, asked.model):
        found[frame.source] = Frame(None, source=frame.source, size=frame.size), poses
    hands = any("left_hand" in poses.skeleton.parts for _, poses in found.values())
    if hands:
        pck(data, asked.model, found, asked.peer)
    for flat in (False, True):
        print("\nin pixels" if flat else "\nas found")
        judge(data, found, flat, GESTURES if hands else GESTURES[-1:])
    if hands:
        judge_found(data, found)


if __name__ == "__main__":
    main()
