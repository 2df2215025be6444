"""Events of live streams: they start after `minimum`, end after `gap`, and so do people."""

from dataclasses import replace

import numpy as np
import pytest

import vitruvian as vit
from bodies import body, seen_as
from vitruvian.analysis.changes import LiveAnalyst
from vitruvian.analysis.events import Options
from vitruvian.analysis.found import AnalysisSettings
from vitruvian.analysis.rules import parse_rules
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame

SIZE = (1280, 720)


def frame(index: int) -> Frame:
    return Frame(None, index, index / 10, "live", size=SIZE)


def somebody(person: int = 1) -> Poses:
    return seen_as(COCO17, body(COCO17), at=(600.0, 350.0), score=0.9, person=person)


def raised(body) -> np.ndarray:
    """A rule for tests: how far the first person's x is beyond 650."""
    return (body.poses.xy[:, 0, 0] > 650).astype(float)


def said(analyst: LiveAnalyst, moments: list[Poses]) -> list[tuple[str, str, int, float, float]]:
    lines = []
    for index, poses in enumerate(moments):
        found, changes = analyst(frame(index), poses)
        assert len(found.poses) == len(poses)
        lines += changes
    lines += analyst.close()
    return [(c.event, c.change, c.person, round(c.time, 3), round(c.known, 3)) for c in lines]


@pytest.mark.parametrize("minimum", [0.0, 0.3])
def test_an_event_is_told_one_frame_and_the_minimum_after_it_begins(minimum):
    here = somebody()
    there = replace(here, xy=here.xy + np.array([100, 0], np.float32))
    nobody = here.take([])
    asked = AnalysisSettings({"raised": raised}, Options(minimum=minimum, gap=0.2))
    moments = [nobody, here, here, there, there, there, there, there, here, here, here, here]
    moments += [nobody] * 4
    assert said(LiveAnalyst(asked), moments) == [
        ("person", "enters", 1, 0.1, 0.1 + minimum),
        ("raised", "starts", 1, 0.3, 0.3 + minimum),
        ("raised", "ends", 1, 0.7, 1.0),  # the first frame more than `gap` after it
        ("person", "leaves", 1, 1.1, 1.4),
    ]


def test_what_is_shorter_than_the_minimum_is_not_told_and_what_lasts_ends_with_the_stream():
    here = somebody()
    there = replace(here, xy=here.xy + np.array([100, 0], np.float32))
    asked = AnalysisSettings({"raised": raised}, Options(minimum=0.3, gap=0.2))
    moments = [here, there, there, here, here, here, here, here, there, there, there, there]
    assert said(LiveAnalyst(asked), moments) == [
        ("person", "enters", 1, 0.0, 0.3),
        ("raised", "starts", 1, 0.8, 1.1),
        ("raised", "ends", 1, 1.1, 1.1),
        ("person", "leaves", 1, 1.1, 1.1),
    ]


def test_people_without_a_track_id_are_no_events():
    asked = AnalysisSettings(parse_rules("seated,arms_raised"), Options(minimum=0.0))
    assert said(LiveAnalyst(asked), [somebody(-1)] * 5) == []


def test_an_event_change_is_a_line_of_json_without_what_is_unknown():
    change = vit.EventChange("arms_raised", "starts", 2, 1.0, 1.25, "left")
    assert change.to_dict() == {
        "event": "arms_raised",
        "change": "starts",
        "person": 2,
        "side": "left",
        "time": 1.0,
        "known": 1.25,
    }
    ended = replace(change, change="ends", lasted=0.5)
    assert ended.to_dict()["lasted"] == 0.5
