"""Angles: the table, its laws, and bodies whose angles are known."""

from dataclasses import replace

import numpy as np
import pytest

from bodies import LEFT, body, rotation_about, seen_as, turned
from conftest import refused
from vitruvian.analysis.angles import (
    TABLE,
    angle_definitions,
    angle_names,
    angles_deg,
    available_angles,
    facing_direction,
)
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17, HALPE26, SKELETONS

BODIES = {
    name: table_ for name, table_ in SKELETONS.items() if "left_knee" in table_.keypoints
}  # all but a hand
every_body = pytest.mark.parametrize("skeleton", BODIES.values(), ids=BODIES)
both = pytest.mark.parametrize("space", ["2d", "3d"])
SEATED = {"hip": 80.0, "knee": 85.0, "ankle": 5.0, "trunk": 10.0, "neck": 12.0}
WALKING = {
    **{"left_hip": 30.0, "right_hip": -12.0, "left_knee": 8.0, "right_knee": 35.0},
    **{"left_shoulder": -20.0, "right_shoulder": 25.0, "elbow": 20.0, "trunk": 5.0},
    **{"left_ankle": 4.0, "right_ankle": -15.0, "neck": 8.0, "left_hip_out": 4.0},
}


def from_the_side(skeleton, **angles: float) -> Poses:
    """A body that faces the right of the image."""
    return seen_as(skeleton, turned(body(skeleton, **angles), "up", 90))


def measured(poses: Poses, space, **options) -> dict[str, float]:
    (row,) = angles_deg(poses, space, **options)
    return dict(zip(angle_names(space), row.tolist(), strict=True))


@both
@pytest.mark.parametrize("skeleton", [COCO17, BLAZEPOSE33, HALPE26], ids=lambda s: s.name)
def test_who_stands_straight_has_all_zeros(skeleton, space):
    """1e-3 degrees: float32 of a few hundred pixels."""
    got = measured(from_the_side(skeleton), space)
    for name in available_angles(skeleton, space):
        if space == "2d" and table_row(name).view == "front":
            assert np.isnan(got[name])  # from the side the line of the shoulders is a point
        else:
            assert got[name] == pytest.approx(0, abs=1e-3), name


KNOWN = [
    ({"knee": 40}, {"left_knee_flexion": 40, "right_knee_flexion": 40, "left_shank": -40}),
    ({"left_knee": 90}, {"left_knee_flexion": 90, "right_knee_flexion": 0}),
    ({"hip": 70}, {"left_hip_flexion": 70, "left_thigh": 70, "right_knee_flexion": 0}),
    ({"hip": -20}, {"left_hip_flexion": -20, "right_thigh": -20}),
    ({"ankle": 12}, {"left_ankle_dorsiflexion": 12, "left_foot": 12}),
    ({"ankle": -30}, {"right_ankle_dorsiflexion": -30, "right_foot": -30}),
    ({"trunk": 25}, {"trunk_lean": 25, "trunk_tilt": 25, "left_hip_flexion": 0, "left_thigh": -25}),
    ({"trunk": -15}, {"trunk_lean": -15, "trunk_tilt": 15}),
    ({"shoulder": 120}, {"left_shoulder_flexion": 120, "left_shoulder_elevation": 120}),
    ({"shoulder": -30}, {"right_shoulder_flexion": -30, "right_shoulder_elevation": 30}),
    ({"elbow": 75}, {"left_elbow_flexion": 75, "left_forearm": 75, "left_upper_arm": 0}),
    ({"neck": 20}, {"neck_flexion": 20, "head_pitch": -20}),
    ({"hip": 90, "knee": 90}, {"left_thigh": 90, "left_shank": 0, "left_foot": 0}),
]


@both
@pytest.mark.parametrize(("given", "want"), KNOWN, ids=lambda value: "-".join(value))
def test_known_poses_have_their_angles(given, want, space):
    got = measured(from_the_side(BLAZEPOSE33, **given), space)
    for name, value in want.items():
        assert got[name] == pytest.approx(value, abs=0.01), name


@pytest.mark.parametrize("turn", [0, 30, 90, 150, 270])
def test_abduction_is_outward_on_both_sides_however_one_stands(turn):
    """3D; the arms are lifted forward as well, which the other angle tells."""
    xyz = turned(body(COCO17, hip_out=25, shoulder_out=40, shoulder=20), "up", turn)
    got = measured(seen_as(COCO17, xyz), "3d")
    for side in ("left", "right"):
        assert got[f"{side}_hip_abduction"] == pytest.approx(25, abs=0.01)
        assert got[f"{side}_shoulder_abduction"] == pytest.approx(40, abs=0.01)
        assert got[f"{side}_shoulder_flexion"] == pytest.approx(20, abs=0.01)


def test_an_arm_straight_out_has_elevation_but_no_flexion():
    got = measured(seen_as(COCO17, body(COCO17, shoulder_out=90)), "3d")
    assert np.isnan(got["left_shoulder_flexion"])
    assert got["left_shoulder_elevation"] == pytest.approx(90, abs=0.01)
    assert got["left_shoulder_abduction"] == pytest.approx(90, abs=0.01)


def test_leaning_to_the_left_is_positive_from_the_front_and_from_behind():
    for turn in (0, 180):
        xyz = turned(turned(body(COCO17), "forward", 20), "up", turn)
        lean = measured(seen_as(COCO17, xyz), "2d")["trunk_side_lean"]
        space = measured(seen_as(COCO17, xyz), "3d")["trunk_side_lean"]
        assert lean == pytest.approx(space, abs=0.01)
        want = (xyz[5] + xyz[6] - xyz[11] - xyz[12]) @ (xyz[11] - xyz[12])
        assert np.sign(lean) == np.sign(want)
        assert abs(lean) == pytest.approx(20, abs=0.01)


def test_a_head_turned_to_the_left_is_positive():
    xyz = body(COCO17)
    head = [COCO17[name] for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]
    middle = xyz[head[3:]].mean(axis=0)
    xyz[head] = turned(xyz[head] - middle, "up", 35) + middle
    got = measured(seen_as(COCO17, xyz), "3d")
    assert got["head_turn"] == pytest.approx(35 * np.sign((xyz[0] - middle) @ LEFT), abs=0.01)
    assert got["head_turn"] > 0


# Laws


def moved(poses: Poses, rotation: np.ndarray, scale: float) -> Poses:
    assert poses.xyz is not None
    return replace(poses, xyz=((poses.xyz * scale) @ rotation.T + (0.3, -0.2, 2.5)).astype("f4"))


@every_body
@pytest.mark.parametrize("pose", [SEATED, WALKING], ids=["seated", "walking"])
def test_rigid_motion_and_scale_leave_angles_alone(skeleton, pose, rng):
    """0.02 degrees: float32 of metres at 2.5 m from the origin, over a foot of 0.2 m."""
    still = seen_as(skeleton, body(skeleton, **pose))
    axis = rng.normal(size=3)
    rotation = rotation_about(axis / np.linalg.norm(axis), 130)
    other = moved(still, rotation, 1.7)
    up = tuple(rotation @ (0, -1, 0))
    np.testing.assert_allclose(
        angles_deg(other, "3d", up=up), angles_deg(still, "3d"), atol=0.02, rtol=0
    )
    # Without being told where up has gone, angles inside the body are still the same.
    inside = [i for i, angle in enumerate(angle_definitions("3d")) if angle.to != "vertical"]
    np.testing.assert_allclose(
        angles_deg(other, "3d")[:, inside], angles_deg(still, "3d")[:, inside], atol=0.02, rtol=0
    )


@every_body
@pytest.mark.parametrize("pose", [SEATED, WALKING], ids=["seated", "walking"])
def test_turning_moving_and_scaling_a_picture_leave_angles_alone(skeleton, pose):
    still = from_the_side(skeleton, **pose)
    turn = np.radians(40)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    other = replace(still, xy=(still.xy * 1.7 @ rotation.T + 900).astype(np.float32))
    up = tuple(rotation @ (0, -1))
    want = angles_deg(still, "2d")
    np.testing.assert_allclose(angles_deg(other, "2d", up=up), want, atol=0.02, rtol=0)
    turned_with = [i for i, angle in enumerate(angle_definitions("2d")) if angle.to != "vertical"]
    got = angles_deg(other, "2d")
    np.testing.assert_allclose(got[:, turned_with], want[:, turned_with], atol=0.02, rtol=0)


@every_body
@both
@pytest.mark.parametrize("turn", [0, 20, 90], ids=["front", "oblique", "side"])
def test_a_mirrored_person_has_the_same_angles_on_the_other_side(skeleton, space, turn):
    poses = seen_as(skeleton, turned(body(skeleton, **WALKING), "up", turn))
    assert poses.xyz is not None
    other = replace(
        poses,
        xy=(np.array([640, 0], np.float32) + poses.xy * (-1, 1))[:, skeleton.mirror].astype("f4"),
        xyz=(poses.xyz * (-1, 1, 1))[:, skeleton.mirror].astype("f4"),
    )
    swap = {"left": "right", "right": "left"}
    got, want = measured(other, space), measured(poses, space)
    for angle in angle_definitions(space):
        mirrored = "_".join(swap.get(word, word) for word in angle.name.split("_"))
        sign = -1 if angle.odd else 1
        assert got[mirrored] == pytest.approx(sign * want[angle.name], abs=0.01, nan_ok=True)


@pytest.mark.parametrize("skeleton", [COCO17, BLAZEPOSE33, HALPE26], ids=lambda s: s.name)
def test_walking_left_and_walking_right_have_the_same_angles(skeleton):
    right = seen_as(skeleton, turned(body(skeleton, **WALKING), "up", 90))
    left = seen_as(skeleton, turned(body(skeleton, **WALKING), "up", -90))
    args = (skeleton, right.xy, right.score)
    assert facing_direction(*args) == -facing_direction(skeleton, left.xy, left.score)
    np.testing.assert_allclose(
        angles_deg(left, "2d"), angles_deg(right, "2d"), atol=0.01, rtol=0, equal_nan=True
    )


def test_forward_cannot_be_told_from_the_front():
    poses = seen_as(BLAZEPOSE33, body(BLAZEPOSE33, **SEATED))
    assert np.isnan(facing_direction(BLAZEPOSE33, poses.xy, poses.score)).all()
    got = measured(poses, "2d")
    for angle in angle_definitions("2d"):
        if angle.view == "side":
            assert np.isnan(got[angle.name])
    assert np.isfinite([got["trunk_tilt"], got["left_elbow_flexion"]]).all()


# What is missing


@every_body
@both
def test_what_a_skeleton_lacks_is_nan_and_what_it_has_is_not(skeleton, space):
    poses = seen_as(skeleton, turned(body(skeleton, **WALKING), "up", 80))
    known = set(available_angles(skeleton, space))
    for name, value in measured(poses, space).items():
        if name not in known:
            assert np.isnan(value), name
        elif table_row(name).view != "front" and space == "3d":
            assert np.isfinite(value), name


def table_row(name: str):
    return next(angle for angle in TABLE if angle.name == name)


@both
@pytest.mark.parametrize("how", ["nan", "score"])
def test_an_angle_is_nan_without_one_of_its_points(how, space):
    poses = from_the_side(BLAZEPOSE33, **WALKING)
    k = BLAZEPOSE33["left_knee"]
    if how == "score":
        poses.score[:, k] = 0.2
    else:
        assert poses.xyz is not None
        poses.xy[:, k] = poses.xyz[:, k] = np.nan
    got = measured(poses, space)
    gone = {name for name, value in got.items() if np.isnan(value)}
    whole = measured(from_the_side(BLAZEPOSE33, **WALKING), space)
    before = {name for name, value in whole.items() if np.isnan(value)}
    hip = {"left_hip_flexion", "left_thigh", "left_shank"}
    want = {"left_knee_flexion", "left_ankle_dorsiflexion", *hip}
    assert gone - before == want | ({"left_hip_abduction"} if space == "3d" else set())


@both
@every_body
def test_nobody_has_no_angles(skeleton, space):
    assert angles_deg(Poses.nobody(skeleton, "hips"), space).shape == (0, len(angle_names(space)))


def test_there_are_no_3d_angles_without_metres(people):
    with refused("3D angles", "coco17", "2d"):
        angles_deg(people(1, COCO17), "3d")


def test_values_stay_in_the_range_of_the_table(rng):
    xyz = rng.normal(0, 0.4, (500, len(BLAZEPOSE33), 3))
    for space in ("2d", "3d"):
        values = angles_deg(seen_as(BLAZEPOSE33, xyz), space)
        for column, angle in zip(values.T, angle_definitions(space), strict=True):
            low, high = angle.range_deg
            assert np.nanmin(column) >= low - 1e-3, angle.name
            assert np.nanmax(column) <= high + 1e-3, angle.name


def test_names_occur_once():
    assert len({angle.name for angle in TABLE}) == len(TABLE)
