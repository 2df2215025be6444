"""Postures: rules on bodies that do it and that do not, events over time, a user's own rules."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import vitruvian
from bodies import body, seen_as, turned
from conftest import refused
from vitruvian.analysis import rules as own
from vitruvian.analysis.degrees import BatchedDegrees, StateKey, frame_degrees
from vitruvian.analysis.events import SAMPLE, Event, EventDetector, Options, Sample, events
from vitruvian.analysis.posture import Body, all_known, all_of, any_of, pockets_rule
from vitruvian.analysis.rules import LESSER, RULES
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.models.pockets import Hands

GEOMETRY = {name: rule for name, rule in RULES.items() if name != "hands_in_pockets"}
CHAIR = {"hip": 85.0, "knee": 85.0}
AKIMBO = {"shoulder_out": 45.0, "elbow": 85.0}
DOES = {
    "standing": ({}, set()),
    "walking": ({"left_hip": 25.0, "right_hip": -20.0, "right_knee": 20.0, "elbow": 20.0}, set()),
    "on a chair": (CHAIR, {"seated"}),
    "crouching": ({"hip": 100.0, "knee": 130.0, "trunk": 15.0}, {"seated"}),
    "bowing": ({"trunk": 45.0, "hip": 45.0}, {"leaning"}),
    "leaning back": ({"trunk": -35.0, "hip": -35.0}, {"leaning"}),
    "hands up": ({"shoulder": 165.0}, {"arms_raised"}),
    "one hand up": ({"left_shoulder": 150.0, "left_elbow": 20.0}, {"arms_raised"}),
    "arms forward": ({"shoulder": 90.0}, set()),
    "calling": ({"left_shoulder": 70.0, "left_elbow": 150.0}, {"using_phone"}),
    "reading": ({"elbow": 95.0, "neck": 40.0, "shoulder": 10.0}, set()),
}


def posture(space: str, turn: float, **angles: float) -> Body:
    poses = seen_as(COCO17, turned(body(COCO17, **angles), "up", turn))
    return Body(flat(poses) if space == "2d" else poses)


def flat(poses: Poses) -> Poses:
    """The same without metres."""
    return replace(poses, xyz=None, origin=None)


def holding(seen: Body) -> set[str]:
    degrees = {name: rule(seen) for name, rule in GEOMETRY.items() if name not in LESSER}
    return {name for name, degree in degrees.items() if np.any(degree[0] >= 0.6)}


@pytest.mark.parametrize("turn", [0, 35, 90, 180, 270])
@pytest.mark.parametrize("does", DOES)
def test_rules_hold_for_who_does_it_from_everywhere_with_metres(does, turn):
    angles, want = DOES[does]
    assert holding(posture("3d", turn, **angles)) == want


@pytest.mark.parametrize("turn", [90, -90])
@pytest.mark.parametrize("does", DOES)
def test_rules_hold_for_who_does_it_from_the_side_in_pixels(does, turn):
    angles, want = DOES[does]
    assert holding(posture("2d", turn, **angles)) == want


def test_sitting_is_seen_from_the_front_in_pixels_too():
    assert holding(posture("2d", 0, **CHAIR)) == {"seated"}
    assert holding(posture("2d", 0)) == set()


@pytest.mark.parametrize("space", ["2d", "3d"])
@pytest.mark.parametrize("side", [-90, 90])
def test_who_lies_lies_on_either_side(space, side):
    xyz = turned(body(COCO17), "forward", side)
    poses = seen_as(COCO17, xyz)
    assert holding(Body(poses if space == "3d" else flat(poses))) == {"lying"}


def test_a_camera_that_looks_down_knows_what_is_up():
    """It is 30 degrees up the wall; without that, who leans back stands upright."""
    back = {"trunk": -30.0, "hip": -30.0}
    down = turned(body(COCO17, **back), "left", 30)
    camera = replace(Camera.view((640, 480)), up=turned(np.array([0.0, -1, 0]), "left", 30))
    poses = seen_as(COCO17, down)
    assert holding(Body(poses)) == set()
    assert holding(Body(poses, Frame(None, camera=camera))) == {"leaning"}


def test_a_body_that_is_tilted_with_its_legs_does_not_lean():
    """The camera is turned, or looks down, and does not say so."""
    for about in ("left", "forward"):
        for angle in (-30, 30):
            assert holding(Body(seen_as(COCO17, turned(body(COCO17), about, angle)))) == set()


def test_who_bends_far_over_does_not_lie():
    assert "lying" not in holding(posture("3d", 90, trunk=85, hip=85))


def arms(skeleton: Skeleton, places: dict[str, tuple[float, float, float]]) -> Poses:
    """Who stands, facing the camera, with some keypoints elsewhere: out, up, forward of the hip."""
    xyz = body(skeleton)
    for name, (out, up, forward) in places.items():
        sign = 1 if name.startswith("left") else -1
        xyz[skeleton[name]] = xyz[skeleton[f"{name.split('_')[0]}_hip"]] + (
            *(sign * out, -up),
            -forward,
        )
    return seen_as(skeleton, xyz)


@pytest.mark.parametrize("space", ["2d", "3d"])
def test_hands_on_hips_are_at_the_side_with_the_elbow_out(space):
    akimbo = {"elbow": (0.3, 0.26, 0), "wrist": (0.1, 0.1, 0.02)}
    clasped = {"elbow": (0.15, 0.22, 0), "wrist": (-0.1, 0.12, 0.15)}
    for left, right, want in ((akimbo, akimbo, 1), (akimbo, {}, np.nan), (clasped, clasped, 0)):
        hands = {f"left_{part}": at for part, at in left.items()}
        poses = arms(COCO17, hands | {f"right_{part}": at for part, at in right.items()})
        seen = Body(poses if space == "3d" else flat(poses))
        assert GEOMETRY["hands_on_hips"](seen)[0, 0] == pytest.approx(want, nan_ok=True)
        assert holding(seen) == ({"hands_on_hips"} if want == 1 else set())


@pytest.mark.parametrize("turn", [0, 90])
def test_who_sits_back_does_not_lean_and_who_bends_low_does_not_lie(turn):
    back = {"hip": 65.0, "knee": 70.0, "trunk": -35.0}
    assert holding(posture("3d", turn, **back)) <= {"seated"}
    assert "lying" not in holding(posture("3d", turn, hip=60.0, knee=80.0, trunk=70.0))


def test_what_is_held_before_a_bent_head_is_not_known():
    seen = posture("2d", 90, elbow=95.0, neck=40.0, shoulder=10.0)
    assert np.isnan(GEOMETRY["using_phone"](seen)).any()


def test_knees_of_who_is_cut_off_at_the_thighs_are_not_believed():
    poses = seen_as(COCO17, turned(body(COCO17, **CHAIR), "up", 90))
    score = poses.score.copy()
    score[:, [COCO17[name] for name in ("right_knee", "left_ankle", "right_ankle")]] = 0.1
    assert GEOMETRY["seated"](Body(poses)) > 0.6
    assert np.isnan(GEOMETRY["seated"](Body(replace(poses, score=score))))


def test_the_original_rule_measures_from_shoulder_to_hand_in_shoulder_widths():
    """Shoulders are 0.34 m apart here: a hand 0.6 widths away, 0.2 m, is on the line."""
    near = RULES["hands_near_body"]
    for name, forward, want in (
        ("hanging", 0.0, 1),
        ("before", 0.5, 0),
        ("on the line", 0.17, 0.5),
    ):
        parts = ("wrist", "index", "pinky", "thumb")
        hand = {f"{s}_{p}": (0.05, 0.0, forward) for s in ("left", "right") for p in parts}
        got = near(Body(arms(BLAZEPOSE33, hand)))
        assert got[0] == pytest.approx(want, abs=0.01), name  # of both hands
    aside = {"left_wrist": (0.45, 0.4, 0.0), "right_wrist": (0.45, 0.4, 0.0)}
    assert near(Body(arms(COCO17, aside))).tolist() == [[0, 0]]
    assert np.isnan(near(Body(flat(arms(COCO17, aside))))).all()


# What is not known


@pytest.mark.parametrize("name", GEOMETRY)
@pytest.mark.parametrize("space", ["2d", "3d"])
def test_a_rule_does_not_know_what_it_cannot_see(name, space):
    poses = seen_as(COCO17, body(COCO17), score=0.1)
    assert np.isnan(GEOMETRY[name](Body(poses if space == "3d" else flat(poses)))).all()


@pytest.mark.parametrize("name", GEOMETRY)
def test_a_rule_of_nobody_is_nothing(name):
    for origin in (None, "hips"):
        degree = GEOMETRY[name](Body(Poses.nobody(COCO17, origin)))
        assert degree.shape in ((0,), (0, 2))


def test_whether_somebody_without_legs_lies_is_not_known():
    score = np.full(17, 0.9)
    score[COCO17["left_knee"] :] = 0
    level = seen_as(COCO17, turned(body(COCO17), "forward", 90), score=score)
    assert np.isnan(RULES["lying"](Body(level))[0])
    assert RULES["lying"](Body(seen_as(COCO17, body(COCO17), score=score)))[0] == 0


def test_degrees_are_put_together_with_what_is_not_known():
    a, b = np.array([0.2, 0, np.nan, np.nan, 1]), np.array([0.7, np.nan, 0.5, np.nan, np.nan])
    np.testing.assert_array_equal(all_of(a, b), [0.2, 0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(any_of(a, b), [0.7, np.nan, 0.5, np.nan, 1])
    np.testing.assert_array_equal(all_known(a, b), [0.2, 0, 0.5, np.nan, 1])


def test_hands_in_pockets_are_what_the_detector_says():
    inside = np.array([[0.9, np.nan], [np.nan, np.nan], [0.1, 0.2], [0.0, np.nan], [0.5, 0.3]])
    rule = pockets_rule(lambda frame, poses: Hands(inside, 0.4, 0.6))
    poses = seen_as(COCO17, np.stack([body(COCO17)] * 5))
    np.testing.assert_allclose(rule(Body(poses, Frame(None))), inside)
    strict = pockets_rule(lambda frame, poses: Hands(inside, 0.6, 0.95))
    assert (np.nan_to_num(strict(Body(poses, Frame(None)))) < 0.6).all()
    with refused("hands_in_pockets", "frame"):
        rule(Body(poses))


@pytest.mark.shared
def test_a_hand_in_a_pocket_is_found_in_a_picture(shared):
    """By the detector that comes with vitruvian, and its own network for the poses."""
    frame = Frame.read(shared / "data" / "images" / "ultralytics_bus.jpg")
    (poses,) = vitruvian.load("vitruvian-2d")([frame])
    degree = RULES["hands_in_pockets"](Body(poses, frame))
    assert degree.shape == (len(poses), 2)
    assert np.isfinite(degree).any()


def test_without_pixels_a_hand_at_the_hip_is_all_that_can_be_told():
    at_hip = {"left_elbow": (0.15, 0.22, 0), "left_wrist": (0.02, 0.0, 0.02)}
    degree = RULES["hands_at_pockets"](Body(flat(arms(COCO17, at_hip))))
    raised = RULES["hands_at_pockets"](Body(flat(posture("3d", 0, shoulder=90).poses)))
    assert degree[0, 0] == 1
    assert raised.tolist() == [[0, 0]]


def test_a_rule_of_either_side_says_which_one_it_is():
    one = posture("3d", 0, left_shoulder=150.0, left_elbow=20.0)
    assert (RULES["arms_raised"](one)[0] >= 0.6).tolist() == [True, False]
    calling = posture("3d", 0, right_shoulder=70.0, right_elbow=150.0)
    assert (RULES["using_phone"](calling)[0] >= 0.6).tolist() == [False, True]


def test_an_unknown_rule_is_refused():
    assert list(own.parse_rules("seated, lying")) == ["seated", "lying"]
    assert set(own.parse_rules(["all"])) == RULES.keys() - set(LESSER)
    with refused("no rule named 'seatted'", "did you mean 'seated'"):
        own.parse_rules("lying,seatted")
    with refused("no rules given", "seated", "all"):
        own.parse_rules(" , ")


# Events


def acted(degrees: Mapping[int, Sequence[float | None]], rate: float = 10.0):
    """Frames in which a rule holds so far for each person; None: not in the frame."""
    length = len(next(iter(degrees.values())))
    told: list[list[float]] = []

    def stream():
        for i in range(length):
            here = {who: row[i] for who, row in degrees.items() if row[i] is not None}
            told.append([float(value) for value in here.values()])  # type: ignore[arg-type]
            poses = seen_as(COCO17, np.stack([body(COCO17)] * len(here))) if here else None
            if poses is None:
                yield Frame(None, i, i / rate, "clip.mp4"), Poses.nobody(COCO17)
            else:
                poses.person[:] = list(here)
                yield Frame(None, i, i / rate, "clip.mp4"), poses

    return stream(), {"rule": lambda body: np.array(told[-1])}


def found(degrees, **options) -> list[tuple[int, float, float]]:
    got = events(*acted(degrees), Options(**options))
    return [(e.person, round(e.start, 3), round(e.end, 3)) for e in got]


def test_an_event_lasts_from_the_first_frame_to_the_last():
    assert found({1: [0.0] * 5 + [1.0] * 10 + [0.0] * 10}) == [(1, 0.5, 1.4)]


def test_what_lasts_for_a_moment_did_not_happen():
    assert found({1: [0.0] * 5 + [1.0] * 4 + [0.0] * 20}) == []


def test_an_event_needs_more_to_begin_than_to_go_on():
    wavering = [0.5] * 10 + [0.7, 0.45] * 8 + [0.3] * 10
    assert found({1: wavering}) == [(1, 1.0, 2.5)]
    assert found({1: [0.5] * 30}) == []


def test_an_event_has_its_evidence_in_most_of_its_frames():
    nan = float("nan")
    moment = [1.0] + [0.45] * 20 + [0.0] * 10
    assert found({1: moment}) == []
    assert found({1: [1.0, nan, nan, nan] * 10}) == []
    assert found({1: [1.0] * 6 + [nan] * 4 + [1.0] + [nan] * 4 + [1.0] * 9}) == [(1, 0.0, 2.3)]
    assert found({1: [1.0] * 6 + [0.5] * 30}) == [(1, 0.0, 1.1)]


def test_an_event_goes_on_through_a_short_doubt_and_not_through_a_long_one():
    nan = float("nan")
    assert found({1: [1.0] * 8 + [nan] * 4 + [1.0] * 8}) == [(1, 0.0, 1.9)]
    assert found({1: [1.0] * 8 + [0.0] * 4 + [1.0] * 8}) == [(1, 0.0, 1.9)]
    assert found({1: [1.0] * 8 + [nan] * 7 + [1.0] * 8}) == [(1, 0.0, 0.7), (1, 1.5, 2.2)]


def test_who_leaves_and_comes_back_has_two_events():
    assert found({1: [1.0] * 8 + [None] * 10 + [1.0] * 8}) == [(1, 0.0, 0.7), (1, 1.8, 2.5)]


def test_people_have_events_of_their_own():
    degrees = {1: [1.0] * 12 + [0.0] * 12, 2: [0.0] * 6 + [1.0] * 18}
    assert sorted(found(degrees)) == [(1, 0.0, 1.1), (2, 0.6, 2.3)]


def test_who_has_no_number_has_no_events():
    assert found({-1: [1.0] * 20}) == []


def test_an_event_says_how_sure_it_is_of_the_frames_that_belong_to_it():
    stream, rule = acted({1: [0.0] * 3 + [0.6, 0.8, 1.0, 0.2, 1.0, 0.9] + [0.1] * 20})
    (event,) = events(stream, rule, Options(minimum=0.1))
    assert event == Event(
        *("rule", 1, 0.3, 0.8, event.confidence, "clip.mp4"),
        frames=6,
        evidence="held in 83% of 6 frames",
    )
    assert event.confidence == pytest.approx(4.5 / 6)


def test_evidence_says_how_often_it_held_and_what_was_measured_then():
    """Medians and shares are of the frames in which it holds; left and right have their own."""
    degrees = [1.0] * 6 + [np.nan] * 2 + [1.0] * 2 + [0.0] * 20
    stream, rule = acted({1: degrees})

    def mine(body):
        i = body.frame.index
        body.note("height {:.1f} trunks", np.full(len(body), i if degrees[i] == 1 else 99))
        body.note("hand seen", np.full(len(body), i % 2 == 0))
        body.note("bent {:.0f}°", np.array([[10.0, 70.0]] * len(body)))
        body.note("left only {:.0f}", np.full(len(body), 3), "left")
        return np.stack([rule["rule"](body), np.full(len(body), i < 9)], axis=-1)

    left, right = sorted(events(stream, {"mine": mine}), key=lambda event: event.side)
    held = "held in 80% of 10 frames, unknown in 20%"
    assert (
        left.evidence
        == f"{held}; height 3.5 trunks; hand seen in 50% of frames; bent 10°; left only 3"
    )
    assert (
        right.evidence
        == "held in 100% of 9 frames; height 4.0 trunks; hand seen in 56% of frames; bent 70°"
    )


def test_a_long_event_keeps_a_bounded_number_of_measures():
    kept = Sample()
    for i in range(100_000):
        kept.add(i)
    assert SAMPLE / 2 <= len(kept.values) <= SAMPLE
    assert np.median(kept.values) == pytest.approx(50_000, rel=0.01)


@pytest.mark.parametrize(
    ("words", "values", "side"),
    [("{", 0, ""), ("{} {}", 0, ""), ("{name}", 0, ""), ("bent {:d}", 0, ""), ("a", [0, 0], ""),
     ("a", 0, "up")],
)  # fmt: skip
def test_a_note_that_cannot_be_said_is_refused(words, values, side):
    one = Body(seen_as(COCO17, body(COCO17)))
    with refused("note(", "want words"):
        one.note(words, np.broadcast_to(values, np.shape(values) or 1), side)


def test_frames_in_batches_have_the_degrees_and_notes_of_single_frames():
    """Also where people come and go, and where the size or the kind of poses changes."""
    rng, pairs = np.random.default_rng(3), []
    for i in range(150):
        count = int(rng.integers(0, 4))
        hips, arms = rng.uniform(0, 90, count), rng.uniform(0, 170, count)
        does = [{"hip": a, "shoulder": b} for a, b in zip(hips, arms, strict=True)]
        bodies = [seen_as(COCO17, body(COCO17, **one), person=n) for n, one in enumerate(does)]
        poses = Poses.join(*bodies) if bodies else Poses.nobody(COCO17)
        if i // 20 % 2 and len(poses):
            poses = replace(poses, xyz=None, origin=None)
        pairs.append((Frame(None, i, i / 10, "a", size=(640, 480 + i // 70)), poses))
    batched = BatchedDegrees(GEOMETRY)
    together = [one for pair in pairs for one in batched(*pair)] + batched.flush()
    assert [one.frame.index for one in together] == list(range(150))
    for one, (frame, poses) in zip(together, pairs, strict=True):
        alone = frame_degrees(GEOMETRY, frame, poses)
        assert list(one.degrees) == list(alone.degrees)
        for name, values in alone.degrees.items():
            np.testing.assert_allclose(one.degrees[name], values, atol=1e-12)
        for key in alone.by_key():
            said = [(note.words, value) for note, value in alone.evidence(key)]
            again = [(note.words, value) for note, value in one.evidence(key)]
            assert [words for words, _ in said] == [words for words, _ in again]
            np.testing.assert_allclose([v for _, v in said], [v for _, v in again])


def test_an_event_is_told_as_soon_as_it_is_over_and_nothing_else_is_kept():
    stream, rule = acted({1: [1.0] * 10 + [0.0] * 200})
    watch, when = EventDetector(rule), []
    for frame, poses in stream:
        _, ended = watch(frame, poses)
        when += [frame.seconds for _ in ended]
        assert len(watch.going) <= 1
    assert when == [pytest.approx(1.5, abs=0.11)]
    assert not watch.going
    assert not watch.close()


def test_what_somebody_does_now_is_told_to_who_draws_it():
    stream, rule = acted({1: [1.0] * 10, 2: [0.0] * 10})
    watch = EventDetector(rule)
    shown = [watch(*pair) and watch.states() for pair in stream]
    assert shown[9] == {StateKey(1, "rule"): "yes", StateKey(2, "rule"): "no"}


def test_what_is_shown_of_somebody_does_not_flicker():
    nan = float("nan")
    degrees = [0.0] * 6 + [nan] * 3 + [0.0] * 3 + [1.0] * 20 + [nan] * 4 + [0.5] * 3 + [nan] * 9
    stream, rule = acted({1: degrees})
    watch = EventDetector(rule)
    shown = [watch(*pair) and watch.states()[StateKey(1, "rule")] for pair in stream]
    changes = [(i, b) for i, (a, b) in enumerate(pairwise(shown)) if a != b]
    assert shown[0] == "no"
    assert [state for _, state in changes] == ["yes", "unknown"]
    assert degrees[changes[0][0]] == 1
    assert np.isnan(degrees[changes[1][0]])


def test_left_and_right_have_events_of_their_own():
    stream, _ = acted({1: [1.0] * 20})
    both = {"hands": lambda body: np.array([[1.0, 0.0]] * len(body))}
    (event,) = events(stream, both)
    assert (event.rule, event.side, event.frames) == ("hands", "left", 20)


def test_another_source_begins_anew():
    stream, _ = acted({1: [1.0] * 20})
    pairs = [
        (replace(frame, source="a.mp4" if frame.index < 10 else "b.mp4"), poses)
        for frame, poses in stream
    ]
    told = {"rule": lambda body: np.ones(len(body))}
    assert [event.source for event in events(pairs, told)] == ["a.mp4", "b.mp4"]


def test_one_frame_and_no_frame_have_no_events():
    assert not list(events([], GEOMETRY))
    assert not list(events([(Frame(None), seen_as(COCO17, body(COCO17, **CHAIR)))], GEOMETRY))


def test_real_rules_make_events():
    sits = [seen_as(COCO17, body(COCO17, hip=a, knee=a)) for a in [0] * 20 + [85] * 40 + [0] * 20]
    pairs = [(Frame(None, i, i / 20, "a"), poses) for i, poses in enumerate(sits)]
    (event,) = events(pairs, {name: rule for name, rule in GEOMETRY.items() if name not in LESSER})
    assert (event.rule, event.start, event.end) == ("seated", 1.0, pytest.approx(2.95))
    assert event.confidence == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on": 2.0}, ("on is 2.0", "0 to 1")),
        ({"gap": -1.0}, ("gap is -1.0",)),
        ({"on": 0.3, "off": 0.5}, ("off is 0.5", "on is 0.3")),
    ],
)
def test_wrong_options_are_refused(options, words):
    with refused(*words):
        Options(**options)


@pytest.mark.parametrize(
    "gives",
    [
        *(np.zeros(3), np.array([1.5]), 1.0, None, "yes", [[1.0], [1.0, 2.0]], {"a": 1}),
        *(np.array(["x"]), np.array([1j]), np.array([-np.inf]), [10**400], "x" * 9999),
    ],
)
def test_a_rule_that_gives_something_else_is_refused(gives):
    watch = EventDetector({"mine": lambda body: gives})
    with refused("the rule 'mine' returned", "1 people"):
        watch(Frame(None), seen_as(COCO17, body(COCO17)))


# A user's own rules

SQUAT = """
[rules.deep_squat]
all = [
    { angle = "left_knee_flexion", above = 90 },
    { angle = "trunk_tilt", below = 45, soft = 10 },
]
[rules.hand_at_ear]
any = [{ distance = ["left_wrist", "left_ear"], below = 0.4 }]
"""


def test_a_users_rules_are_read_from_a_file(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(SQUAT)
    read = own.read(path)
    assert list(read) == ["deep_squat", "hand_at_ear"]
    for knee, want in ((120, 1), (90, 0.5), (60, 0)):
        got = read["deep_squat"](posture("3d", 20, knee=knee, hip=knee))
        assert got[0] == pytest.approx(want, abs=0.01)
    calling = posture("3d", 0, left_shoulder=70, left_elbow=150)
    assert read["hand_at_ear"](calling)[0] > 0.9
    assert read["hand_at_ear"](posture("3d", 0))[0] == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules = 3", ("rules is 3",)),
        ("", ("rules is None", "table")),
        ("[rulez.a]\nall = []", ("no entry named 'rulez'",)),
        ("[rules.a]\nall = []", ("rules.a.all is []",)),
        ("[rules.a]\nsome = [1]", ("rules.a: no entry named 'some'",)),
        ("[rules.seated]\nall = [{angle = 'trunk_tilt', above = 1}]", ("rules.seated", "already")),
        ("[rules.a]\nall = [3]", ("rules.a.all[0] is 3",)),
        ("[rules.a]\nall = [{angle = 'trunk_tlt', above = 1}]", ("all[0]", "'trunk_tilt'?")),
        ("[rules.a]\nall = [{angle = 'trunk_tilt'}]", ("all[0] has neither above nor below",)),
        ("[rules.a]\nall = [{angle = 'trunk_tilt', above = 'x'}]", ("all[0].above is 'x'",)),
        ("[rules.a]\nall = [{angle = 'trunk_tilt', above = 1, soft = 0}]", ("all[0].soft is 0",)),
        ("[rules.a]\nall = [{above = 1}]", ("all[0] wants either angle or distance",)),
        (
            "[rules.a]\nall = [{distance = ['nose'], above = 1}]",
            ("all[0].distance", "two point names"),
        ),
        ("[rules.a]\nall = [{distance = ['nose', 'knee'], above = 1}]", ("no point named 'knee'",)),
        ("[rules.a]\nall = [1]\nany = [1]", ("rules.a has both all and any",)),
        ("[rules.a]\nall = [{angle = [1], above = 1}]", ("all[0].angle is [1]",)),
        ("[rules.a]\nall = [{distance = [[1], [2]], above = 1}]", ("all[0].distance has [1]",)),
        (
            "[rules.a]\nall = [{angle = 'trunk_tilt', above = nan}]",
            ("not valid TOML", "not finite"),
        ),
        ("[rules.a]\nall = [{angle = 'trunk_tilt', above = 1e308}]", ("above is 1e+308", "1000")),
        ("[rules.a]\nall = " + "[" * 5000 + "]" * 5000, ("nested too deeply",)),
        ("[rules.'']\nall = [1]", ("invalid rule name ''",)),
        (f"[rules.{'a' * 999}]\nall = [1]", ("invalid rule name 'aaa", "60 characters")),
        ("[rules.a]\nall = '" + "x" * 9999 + "'", ("rules.a.all is 'xxx",)),
        ("[rules", ("cannot read",)),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_in_a_line(text, words, tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with refused("rules.toml", *words):
        own.read(path)


def test_a_file_of_rules_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_bytes(b"\xff\xfe[rules.a]")
    with refused("rules.toml", "line 1 is not UTF-8"):
        own.read(path)


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit(3)",
        "1 / 0",
        "def",
        "import sys\ndef mine(body):\n    sys.exit()",
        "def mine(body):\n    return mine(body)",
        "def mine(body, more):\n    return 1",
        "def mine(body):\n    return ['x'] * len(body)",
    ],
)
def test_a_rule_in_python_that_goes_wrong_is_one_line(code, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(code)
    with refused("mine"):
        rules = own.parse_rules(f"{path}:mine")
        EventDetector(rules)(Frame(None), seen_as(COCO17, body(COCO17)))


def test_a_missing_file_of_rules_is_refused(tmp_path):
    with refused("nothing.toml", "No such file"):
        own.read(tmp_path / "nothing.toml")


# Real images


@pytest.mark.weights
@pytest.mark.shared
def test_nobody_at_the_bus_sits_lies_or_raises_an_arm(blazepose, shared):
    frame = Frame.read(shared / "data" / "images" / "ultralytics_bus.jpg")
    (poses,) = blazepose("full", num_poses=4)([frame])
    assert len(poses) >= 1
    for name in ("seated", "lying", "arms_raised"):
        degree = RULES[name](Body(poses, frame))
        assert not (degree >= 0.6).any(), name


def test_a_hand_at_the_ear_is_not_raised_and_one_above_the_head_is():
    xyz = body(COCO17, left_shoulder_out=70.0, left_elbow=0.0)
    at_ear, high = xyz.copy(), xyz.copy()
    shoulder = xyz[COCO17["left_shoulder"]]
    for made, wrist in ((at_ear, (0.0, -0.17, 0.1)), (high, (0.0, -0.38, 0.0))):
        made[COCO17["left_wrist"]] = shoulder + wrist
        made[COCO17["left_elbow"]] = shoulder + np.array([0.24, -0.05, 0.0])
    for made, held in ((at_ear, 0.0), (high, 1.0)):
        poses = replace(seen_as(COCO17, made), xyz=None, origin=None)
        assert RULES["arms_raised"](Body(poses))[0, 0] == pytest.approx(held, abs=0.3)
