"""The labels of videos and pictures: what `benchmarks/events.py` reads is well formed."""

import csv
from itertools import pairwise
from pathlib import Path

import pytest

from vitruvian.analysis.posture import LESSER, RULES

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
