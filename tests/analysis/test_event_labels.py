"""The labels of videos and pictures: what `benchmarks/events.py` reads is well formed."""

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vitruvian.analysis.rules import GESTURES, LESSER, RULES
from vitruvian.body.skeletons import HAND21

LABELS = Path(__file__).parent / "labels"
SIDED = {"arms_raised", "hands_on_hips", "using_phone", "hands_in_pockets"}


def rows(name: str) -> list[dict[str, str]]:
    with (LABELS / name).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("name", ["states.csv", "pictures.csv"])
def test_a_label_is_of_a_rule_and_of_a_side_where_it_has_sides(name):
    for row in rows(name):
        assert row["rule"] in RULES.keys() - set(LESSER)
        assert row["side"] in (("left", "right") if row["rule"] in SIDED else ("",)), row
        assert row["sure"] in ("yes", "no")


def test_a_crop_has_one_label_of_a_rule():
    labels = rows("crops.csv")
    assert len({(row["file"], row["rule"]) for row in labels}) == len(labels)
    assert {row["rule"] for row in labels} <= RULES.keys() - set(LESSER)
    assert {row["state"] for row in labels} == {"yes", "no", "unsure"}


def test_labels_of_hands_and_heads_are_of_gestures():
    shapes = {*GESTURES} - {"looking_away"}
    for row in rows("hands.csv"):
        assert set(row["shows"].split()) <= {*shapes, "closed_on", "holds"}, row
        assert set(row["unsure"].split()) <= {*shapes, "all"}, row
        assert row["side"] in ("left", "right")
        assert float(row["x"]) >= 0
        assert float(row["y"]) >= 0
    assert {row["looking_away"] for row in rows("heads.csv")} == {"yes", "no", "unsure"}
    for row in rows("hands_found.csv"):
        assert row["rule"] in shapes
        assert row["state"] in ("yes", "no", "holds", "unsure")


def test_keypoints_of_a_hand_occur_once_and_are_near_each_other():
    hands: dict[str, dict[str, tuple[float, float]]] = {}
    for row in rows("hand_keypoints.csv"):
        own = hands.setdefault(row["hand"], {})
        assert row["keypoint"] not in own
        assert row["keypoint"] in HAND21.places
        own[row["keypoint"]] = float(row["x"]), float(row["y"])
    assert len(hands) >= 30
    for own in hands.values():
        assert "hand" in own
        sizes = np.ptp(np.array(list(own.values())), axis=0)
        assert 20 < sizes.max() < 250  # pixels


def test_states_have_a_time_in_which_the_person_is_there():
    there: dict[tuple[str, str], list[float]] = {}
    for row in rows("people.csv"):
        there.setdefault((row["video"], row["person"]), []).append(float(row["seconds"]))
    for times in there.values():
        assert times == sorted(times)
    for row in rows("states.csv"):
        times = there[row["video"], row["person"]]
        assert float(row["start"]) < float(row["end"])
        assert times[0] - 1 < float(row["start"]), row
        assert float(row["end"]) < times[-1] + 1, row
        assert row["state"] in ("yes", "no", "hidden")


def test_states_of_one_person_do_not_overlap():
    found: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for row in rows("states.csv"):
        key = (row["video"], row["person"], row["rule"], row["side"])
        found.setdefault(key, []).append((float(row["start"]), float(row["end"])))
    for key, spans in found.items():
        spans.sort()
        for (_, end), (start, _) in pairwise(spans):
            assert end <= start, key
