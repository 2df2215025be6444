"""Gestures of hands and heads: rules on hands of known geometry, and on turned heads."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vitruvian as vit
from bodies import body, rotation_about, seen_as, turned
from conftest import refused
from recordings import recorded
from vitruvian.analysis.angles import angle_names, angles_deg, available_angles, match_angles
from vitruvian.analysis.degrees import StateKey, frame_degrees
from vitruvian.analysis.events import picture_event
from vitruvian.analysis.hands import FINGERS
from vitruvian.analysis.head import (
    FACE_POINTS,
    HEAD_SHAPE,
    MESH_POINTS,
    MESH_SHAPE,
    face_deg,
    turned_from_camera_deg,
)
from vitruvian.analysis.posture import Body, pockets_rule
from vitruvian.analysis.rules import GESTURES, RULES, parse_rules
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, FACE70, HOLISTIC, WHOLEBODY133
from vitruvian.frame import Frame
from vitruvian.models.pockets import Hands

HANDS = HOLISTIC[True, 0]
OF_HANDS = GESTURES[:-1]
# Finger -> degrees of its three joints; and of the thumb, of CMC, MCP and IP.
STRAIGHT: dict[str, float] = dict.fromkeys(FINGERS, 5.0)
CLOSED: dict[str, float] = {**dict.fromkeys(FINGERS, 75.0), "thumb": 20.0}
SHOWS: dict[str, dict[str, float]] = {
    "open_palm": STRAIGHT,
    "fist": CLOSED,
    "pointing": {**CLOSED, "index": 5.0},
    "nothing": dict.fromkeys(FINGERS, 32.0),
}
# Of an adult's left hand with its palm to the camera, metres: right in the image and up from the
# wrist to each finger's base, direction of the finger, length of its three bones.
BASES = {
    "thumb": (-0.025, 0.025, -50, (0.045, 0.035, 0.03)),
    "index": (-0.025, 0.09, -5, (0.04, 0.025, 0.02)),
    "middle": (0.0, 0.095, 0, (0.045, 0.028, 0.02)),
    "ring": (0.02, 0.09, 4, (0.04, 0.026, 0.02)),
    "pinky": (0.038, 0.08, 8, (0.032, 0.02, 0.018)),
}


def hand(bends: dict[str, float], side: str = "left", *, back: bool = False) -> np.ndarray:
    """(21, 3) metres from the wrist, fingers up, of a hand that shows its palm or its back."""
    points = [np.zeros(3)]
    for finger, (x, up, aside, bones) in BASES.items():
        at = np.array([x, -up, 0.0])
        along = rotation_about(np.array([0, 0, 1.0]), aside) @ np.array([0, -1.0, 0])
        points.append(at)
        across = np.cross([0, 0, -1.0], along)
        for bone in bones:
            along = rotation_about(across, -bends[finger]) @ along
            at = at + bone * along
            points.append(at)
    found = np.stack(points)
    if side == "right":
        found[:, 0] *= -1
    return found * (-1, 1, -1) if back else found


def person(shown: np.ndarray, side: str = "left", scale: float = 400.0) -> Poses:
    """Who holds up one hand; the other one was not found."""
    skeleton = HANDS
    xyz = body(skeleton, **{f"{side}_shoulder": 60.0, f"{side}_elbow": 100.0})
    for each in ("left", "right"):
        own = list(skeleton.parts[f"{each}_hand"])
        xyz[own] = np.nan if each != side else xyz[skeleton[f"{side}_wrist"]] + shown
    poses = seen_as(skeleton, xyz, scale=scale, at=(400.0, 500.0))
    return replace(poses, score=np.where(np.isnan(poses.xy[..., 0]), 0, poses.score + 0.09))


def holding(poses: Poses, side: str = "left", size: tuple[int, int] = (1000, 1000)) -> set[str]:
    at = ("left", "right").index(side)
    seen = Body(poses, Frame(None, size=size))
    degrees = {name: RULES[name](seen)[0] for name in OF_HANDS}
    assert all(np.isnan(degree[1 - at]) for degree in degrees.values())
    return {name for name, degree in degrees.items() if degree[at] >= 0.6}


def known(poses: Poses, size: tuple[int, int] = (1000, 1000)) -> bool:
    seen = Body(poses, Frame(None, size=size))
    return any(np.isfinite(RULES[name](seen)).any() for name in OF_HANDS)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("shows", SHOWS)
def test_a_hand_shows_what_it_does_in_metres(shows, side):
    assert holding(person(hand(SHOWS[shows], side), side), side) == {shows} - {"nothing"}


def test_the_back_of_an_open_hand_is_no_open_palm_and_its_edge_is_not_known():
    assert holding(person(hand(STRAIGHT, back=True))) == set()
    edge = hand(STRAIGHT) @ rotation_about(np.array([0, 1.0, 0]), 89).T
    assert np.isnan(RULES["open_palm"](Body(person(edge)))[0, 0])


def test_flat_hands_in_pixels_show_it_too():
    flat = replace(person(hand(STRAIGHT)), xyz=None, origin=None)
    assert holding(flat) == {"open_palm"}


def test_tips_that_meet_are_a_pinch_and_tips_at_a_closed_index_are_none():
    shown = hand(dict.fromkeys(FINGERS, 30.0))
    shown[4] = shown[8] + (0.01, 0, 0)
    assert holding(person(shown)) == {"pinch"}
    closed = hand(CLOSED)
    closed[4] = closed[8] + (0.01, 0, 0)
    assert holding(person(closed)) == {"fist"}


@pytest.mark.parametrize(
    "wrong", ["small", "uncertain", "elsewhere", "cut off", "too large", "missing tip"]
)
def test_a_hand_that_cannot_be_what_it_seems_is_not_known(wrong):
    poses, own = person(hand(CLOSED)), list(HANDS.parts["left_hand"])
    assert known(poses)
    score, xy, size = poses.score.copy(), poses.xy.copy(), (1000, 1000)
    if wrong == "small":
        poses = person(hand(CLOSED), scale=90)
    elif wrong == "uncertain":
        score[:, own] = 0.6
    elif wrong == "elsewhere":
        xy[:, own] += 150
    elif wrong == "cut off":
        size = (1000, int(np.nanmax(xy[0, own, 1])) - 5)
    elif wrong == "too large":
        xy[:, own] = xy[:, own[:1]] + 5 * (xy[:, own] - xy[:, own[:1]])
    else:
        score[:, own[-1]] = 0
    if wrong != "small":
        poses = replace(poses, score=score, xy=xy)
    assert not known(poses, size)


def test_one_hand_that_was_found_for_both_is_that_of_the_nearer_wrist():
    poses = person(hand(CLOSED))
    assert poses.xyz is not None
    xy, xyz, score = poses.xy.copy(), poses.xyz.copy(), poses.score.copy()
    left, right = (list(HANDS.parts[f"{side}_hand"]) for side in ("left", "right"))
    for array in (xy, xyz, score):
        array[:, right] = array[:, left]
    xy[:, HANDS["right_wrist"]] = xy[:, HANDS["left_wrist"]] + 20
    degree = RULES["fist"](Body(replace(poses, xy=xy, xyz=xyz, score=score)))
    assert degree[0, 0] == 1
    assert np.isnan(degree[0, 1])


@pytest.mark.parametrize(
    ("inside", "score", "want"),
    [
        (np.nan, 0.99, 0.0),
        (0.5, 0.99, 0.0),
        (np.nan, 0.8, np.nan),
        (0.9, 0.99, 1.0),
        (0.1, 0.8, 0.1),
    ],
)
def test_a_hand_that_is_found_is_in_no_pocket_where_the_detector_does_not_know(inside, score, want):
    rule = pockets_rule(lambda frame, poses: Hands(np.full((1, 2), inside), 0.4, 0.6))
    poses, frame = person(hand(STRAIGHT)), Frame(None, size=(1000, 1000))
    poses = replace(poses, score=np.where(poses.score > 0, np.float32(score), 0))
    degree = rule(Body(poses, frame))[0]
    assert degree[0] == pytest.approx(want, abs=0.34, nan_ok=True)
    assert np.isnan(degree[1]) == np.isnan(inside)


def test_evidence_is_in_words():
    frame = Frame(None, source="a.jpg", size=(1000, 1000))
    one = frame_degrees({"fist": RULES["fist"]}, frame, person(hand(CLOSED)))
    event = picture_event(StateKey(1, "fist", "left"), one, 1.0)
    assert event.evidence.startswith("straightest finger bent ")
    assert "palms from the wrist" in event.evidence


def test_who_has_no_hands_is_told_which_model_has_them(tmp_path, shared):
    picture = shared / "data" / "images" / "pose.jpg"
    with refused("fist, pinch: there are no hands; add --hands, or use --model holistic"):
        vit.analyze(picture, "vitruvian-2d", rules="fist,pinch", out=tmp_path)


def test_gestures_are_rules_by_one_name_and_no_part_of_all():
    assert tuple(parse_rules("gestures")) == GESTURES
    assert not set(GESTURES) & set(parse_rules("all"))


# Angles


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("turn", [0, 60, 180])
def test_fingers_are_bent_as_they_were_made(turn, side):
    bends = {"thumb": 10.0, "index": 20.0, "middle": 40.0, "ring": 60.0, "pinky": 80.0}
    shown = hand(bends, side) @ rotation_about(np.array([0, 1.0, 0]), turn).T
    poses = person(shown, side)
    row = angles_deg(poses, "3d", parts=True)[0]
    got = dict(zip(angle_names("3d", parts=True), row.tolist(), strict=True))
    for finger in FINGERS[1:]:
        for joint in ("pip", "dip"):
            assert got[f"{side}_{finger}_{joint}_flexion"] == pytest.approx(bends[finger], abs=0.1)
        # From the line of the wrist and the knuckle, which is not the finger's own.
        assert got[f"{side}_{finger}_mcp_flexion"] == pytest.approx(bends[finger], abs=22)
    assert got[f"{side}_thumb_ip_flexion"] == pytest.approx(10, abs=0.1)
    assert got[f"{side}_thumb_index_spread"] > 20
    assert all(np.isnan(got[name]) for name in got if name.startswith(_other(side) + "_index"))


def _other(side: str) -> str:
    return {"left": "right", "right": "left"}[side]


def test_straight_fingers_spread_by_what_lies_between_them():
    row = angles_deg(person(hand(dict.fromkeys(FINGERS, 0.0))), "2d", parts=True)[0]
    got = dict(zip(angle_names("2d", parts=True), row.tolist(), strict=True))
    assert got["left_index_middle_spread"] == pytest.approx(5, abs=0.3)
    assert got["left_middle_ring_spread"] == pytest.approx(4, abs=0.3)
    assert got["left_ring_pinky_spread"] == pytest.approx(4, abs=0.3)


def test_only_skeletons_with_parts_have_angles_of_parts():
    body_only = set(angle_names("3d"))
    assert set(available_angles(COCO17, "3d")) <= body_only
    fingers = set(available_angles(HANDS, "3d")) - body_only
    assert len(fingers) == 2 * (5 * 3 + 4)
    assert {"face_yaw", "face_pitch"} <= set(available_angles(HOLISTIC[False, 468], "2d"))
    assert {"face_yaw", "left_ring_dip_flexion"} <= set(available_angles(WHOLEBODY133, "2d"))
    assert match_angles("index_pip,face_yaw") == (
        *("left_index_pip_flexion", "right_index_pip_flexion", "face_yaw"),
    )


def test_angles_of_fingers_are_in_the_table_of_a_record_with_hands(tmp_path):
    poses = person(hand(STRAIGHT))
    for name, one in (("hands", poses), ("body", seen_as(COCO17, body(COCO17)))):
        record = recorded(tmp_path / f"{name}.jsonl", [one] * 3)
        vit.analyze(record, angles=True, rules="", save="tables", out=tmp_path / name)
    with (tmp_path / "hands" / "angles.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 3
    assert float(rows[0]["left_index_pip_flexion_deg"]) == pytest.approx(5, abs=0.1)
    assert rows[0]["right_index_pip_flexion_deg"] == ""
    assert "left_index_pip_flexion" not in (tmp_path / "body" / "angles.csv").read_text()
    assert "left_index_pip_flexion" in (tmp_path / "hands" / "motion.csv").read_text()


# Heads


def head(yaw: float, pitch: float, roll: float, shape: np.ndarray) -> np.ndarray:
    """(P, 2) pixels of a shape of x left, y up, z forward; rolled, pitched up, turned left."""
    facing = np.asarray(shape, float) * (1, -1, -1)  # who faces the camera
    turn = rotation_about(np.array([0, 0, 1.0]), roll)
    turn = rotation_about(np.array([1.0, 0, 0]), -pitch) @ turn
    turn = rotation_about(np.array([0, -1.0, 0]), yaw) @ turn
    return (facing @ turn.T)[:, :2] * 5 + 300


def with_head(skeleton: Skeleton, names: tuple[str, ...], at: np.ndarray) -> Poses:
    poses = seen_as(skeleton, body(skeleton), at=(300, 400), scale=300)
    xy = poses.xy.copy()
    xy[:, [skeleton[name] for name in names]] = at
    if names[0] != "nose":
        xy[:, skeleton["nose"]] = at[0]
    return replace(poses, xy=xy, xyz=None, origin=None)


ANGLES = [(0, 0, 0), (30, 0, 0), (-40, 0, 0), (0, 25, 0), (0, -25, 0), (0, 0, 20), (25, 15, -10)]


@pytest.mark.parametrize("names", [MESH_POINTS, FACE_POINTS])
@pytest.mark.parametrize("want", ANGLES)
def test_a_face_tells_yaw_pitch_and_roll(want, names):
    skeleton = HOLISTIC[False, 468] if names == MESH_POINTS else WHOLEBODY133
    poses = with_head(
        skeleton, names, head(want[0], want[1], want[2], np.array(list(MESH_SHAPE.values())))
    )
    np.testing.assert_allclose(face_deg(Body(poses).points)[:, 0], want, atol=0.1)


@pytest.mark.parametrize("yaw", [-80, -50, -10, 0, 10, 50, 80])
def test_nose_eyes_and_ears_tell_whether_a_head_is_turned(yaw):
    names = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    poses = with_head(COCO17, names, head(yaw, 0, 0, HEAD_SHAPE))
    seen = Body(poses)
    assert turned_from_camera_deg(seen)[0] == pytest.approx(abs(yaw), abs=6)
    assert (RULES["looking_away"](seen)[0] >= 0.6) == (abs(yaw) > 40)


def test_who_is_seen_from_behind_looks_away_without_a_number():
    poses = seen_as(COCO17, turned(body(COCO17), "up", 180), scale=300)
    score = poses.score.copy()
    score[:, COCO17["nose"]] = 0.1
    poses = replace(poses, score=score, xyz=None, origin=None)
    one = frame_degrees({"looking_away": RULES["looking_away"]}, Frame(None, source="a.jpg"), poses)
    event = picture_event(StateKey(1, "looking_away"), one, one.degrees["looking_away"][0])
    assert event.state == "yes"
    assert event.evidence == "seen from behind: yes"


def test_a_mesh_on_the_cheek_is_no_face():
    at = head(0, 0, 0, np.array(list(MESH_SHAPE.values())))
    poses = with_head(HOLISTIC[False, 468], MESH_POINTS, at)
    xy = poses.xy.copy()
    xy[:, poses.skeleton["nose"]] += 60
    assert np.isnan(face_deg(Body(replace(poses, xy=xy)).points)).all()


def test_of_nobody_and_of_no_head_nothing_is_known():
    for name in GESTURES:
        assert RULES[name](Body(Poses.nobody(HANDS, "hips"))).shape[0] == 0
    poses = seen_as(FACE70, np.zeros((70, 3)))
    assert np.isnan(RULES["looking_away"](Body(poses))).all()


# Pictures


def test_what_hands_show_in_a_picture(shared, tmp_path):
    from vitruvian.weights.download import cache_folder

    if not (Path(cache_folder()) / "hand_landmark_full.tflite").exists():
        pytest.skip("no weights of hands")
    picture = shared / "data" / "coco" / "images" / "000000180560.jpg"
    vit.analyze(picture, "holistic", rules="pointing", save="tables", out=tmp_path)
    rows = (tmp_path / "events.csv").read_text()
    assert ",pointing,right,yes," in rows
