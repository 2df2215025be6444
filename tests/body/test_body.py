"""Skeletons are consistent tables, and Poses keeps its own shapes."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from conftest import TOY
from vitruvian.body.poses import Poses
from vitruvian.body.similar import is_limb
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import (
    BLAZEPOSE33,
    COCO17,
    HALPE26,
    HALPE68,
    HALPE136,
    HAND21,
    SKELETONS,
    WHOLEBODY133,
    skeleton,
)
from vitruvian.errors import VitruvianError
from vitruvian.geometry.regions import Regions

People = Callable[..., Any]  # makes Poses
every_skeleton = pytest.mark.parametrize("table", SKELETONS.values(), ids=SKELETONS)


@every_skeleton
def test_mirroring_twice_changes_nothing(table: Skeleton):
    np.testing.assert_array_equal(table.mirror[table.mirror], np.arange(len(table)))


@every_skeleton
def test_the_mirror_swaps_left_and_right_and_keeps_the_middle(table: Skeleton):
    swapped = {"left": "right", "right": "left", "": ""}
    assert [swapped[side] for side in table.sides] == [table.sides[k] for k in table.mirror]
    middle = [k for k, side in enumerate(table.sides) if not side]
    assert table.mirror[middle].tolist() == middle


@every_skeleton
def test_names_and_bones_occur_once(table: Skeleton):
    assert len(set(table.keypoints)) == len(table)
    assert len({frozenset(bone) for bone in table.bones}) == len(table.bones)
    assert all(a != b for a, b in table.bones)
    assert len(table.sigmas) == len(table)


@every_skeleton
def test_every_bone_has_its_mirror_image(table: Skeleton):
    bones = {frozenset(bone) for bone in table.bones}
    assert {frozenset(int(table.mirror[k]) for k in bone) for bone in bones} == bones


@every_skeleton
def test_a_keypoint_is_found_by_its_name(table: Skeleton):
    assert [table[name] for name in table.keypoints] == list(range(len(table)))
    assert skeleton(table.name) is table


def test_blazepose_has_the_edges_of_the_reference():
    """The list in specs/blazepose.md 1.3, which is MediaPipe's POSE_CONNECTIONS."""
    listed = (
        "0-1 1-2 2-3 3-7 0-4 4-5 5-6 6-8 9-10 11-12 11-13 13-15 15-17 15-19 15-21 17-19 12-14 "
        "14-16 16-18 16-20 16-22 18-20 11-23 12-24 23-24 23-25 24-26 25-27 26-28 27-29 28-30 "
        "29-31 30-32 27-31 28-32"
    )
    want = {frozenset(map(int, edge.split("-"))) for edge in listed.split()}
    assert {frozenset(bone) for bone in BLAZEPOSE33.bones} == want
    assert len(BLAZEPOSE33.bones) == 35


def test_coco_has_the_edges_of_its_annotation_file():
    """The category's `skeleton` in person_keypoints_val2017.json, which counts from 1."""
    listed = (
        "16-14 14-12 17-15 15-13 12-13 6-12 7-13 6-7 6-8 7-9 8-10 9-11 2-3 1-2 1-3 2-4 3-5 4-6 5-7"
    )
    want = {frozenset(int(k) - 1 for k in edge.split("-")) for edge in listed.split()}
    assert {frozenset(bone) for bone in COCO17.bones} == want
    assert (COCO17["left_knee"], COCO17["right_ankle"]) == (13, 16)


def test_halpe_has_the_order_and_the_limbs_of_the_spec():
    """specs/alphapose.md 10."""
    assert HALPE26.keypoints[:17] == COCO17.keypoints
    assert HALPE26.keypoints[17:] == (
        *("head_top", "neck", "mid_hip", "left_big_toe", "right_big_toe"),
        *("left_small_toe", "right_small_toe", "left_heel", "right_heel"),
    )
    listed = (
        "0-1 0-2 1-3 2-4 5-18 6-18 5-7 7-9 6-8 8-10 17-18 18-19 19-11 19-12 11-13 12-14 13-15 "
        "14-16 20-24 21-25 23-25 22-24 15-24 16-25"
    )
    want = {frozenset(map(int, limb.split("-"))) for limb in listed.split()}
    assert {frozenset(bone) for bone in HALPE26.bones} == want


def pairs(table: Skeleton) -> set[tuple[int, int]]:
    """The pairs that the mirror swaps, smaller number first."""
    return {(k, int(other)) for k, other in enumerate(table.mirror) if k < other}


def test_mirror_pairs_are_those_of_the_spec():
    """specs/alphapose.md 10, where the face is numbered as in 136 keypoints."""
    body = {(k, k + 1) for k in range(1, 16, 2)}
    halpe = body | {(20, 21), (22, 23), (24, 25)}
    jaw_and_brows = {(26 + i, 42 - i) for i in range(8)} | {(43 + i, 52 - i) for i in range(5)}
    rest = "57-61 58-60 62-71 63-70 64-69 65-68 66-73 67-72 74-80 75-79 76-78 81-85 82-84 86-90"
    face = jaw_and_brows | {
        (int(a), int(b)) for a, b in (pair.split("-") for pair in [*rest.split(), "87-89", "91-93"])
    }
    assert pairs(COCO17) == body
    assert pairs(HALPE26) == halpe
    assert pairs(HALPE68) == halpe | {(k, k + 21) for k in range(26, 47)}
    assert pairs(HALPE136) == halpe | face | {(k, k + 21) for k in range(94, 115)}
    feet = {(17, 20), (18, 21), (19, 22)}
    moved = {(a - 3, b - 3) for a, b in face}
    assert pairs(WHOLEBODY133) == body | feet | moved | {(k, k + 21) for k in range(91, 112)}
    assert pairs(HAND21) == set()


def test_the_tables_share_their_parts():
    body, face, hands = HALPE26.keypoints, HALPE136.keypoints[26:94], HALPE136.keypoints[94:]
    assert HALPE68.keypoints == (*body, *hands)
    assert WHOLEBODY133.keypoints[:17] == COCO17.keypoints
    assert WHOLEBODY133.keypoints[23:] == (*face, *hands)
    assert set(WHOLEBODY133.keypoints[17:23]) == set(body[20:])
    assert tuple(f"left_{name}" for name in HAND21.keypoints) == hands[:21]
    face_of = {frozenset((a - 26, b - 26)) for a, b in HALPE136.bones if 26 <= a < 94}
    assert face_of == {frozenset((a - 23, b - 23)) for a, b in WHOLEBODY133.bones if 23 <= a < 91}
    assert len(face_of) == 16 + 4 + 4 + 3 + 4 + 6 + 6 + 12 + 8


def test_the_hand_has_five_fingers_of_four_bones():
    tips = [k for k in range(21) if not any(k == a for a, _ in HAND21.bones)]
    assert [HAND21.keypoints[k] for k in tips] == [
        f"{finger}_4" for finger in ("thumb", "index", "middle", "ring", "pinky")
    ]
    assert len(HAND21.bones) == 20
    for table in (HALPE68, HALPE136, WHOLEBODY133):
        for side in ("left", "right"):
            assert (table[f"{side}_wrist"], table[f"{side}_hand"]) in table.bones


def test_sigmas_are_those_of_the_evaluators():
    """specs/alphapose.md 5e for Halpe; the first and last of each part for COCO-WholeBody."""
    np.testing.assert_array_equal(HALPE136.sigmas[:17], COCO17.sigmas)
    np.testing.assert_allclose(HALPE136.sigmas[17:], [0.08] * 3 + [0.089] * 6 + [0.025] * 110)
    np.testing.assert_array_equal(HALPE68.sigmas, HALPE136.sigmas[[*range(26), *range(94, 136)]])
    np.testing.assert_array_equal(WHOLEBODY133.sigmas[:17], COCO17.sigmas)
    ends = WHOLEBODY133.sigmas[[17, 22, 23, 90, 91, 111, 112, 132]]
    np.testing.assert_allclose(ends, [0.068, 0.094, 0.042, 0.008, 0.029, 0.031, 0.029, 0.031])
    np.testing.assert_array_equal(WHOLEBODY133.sigmas[91:112], HAND21.sigmas)


def test_an_unknown_keypoint_is_told_the_nearest_one():
    with pytest.raises(VitruvianError, match=r"keypoint of coco17.*did you mean 'left_knee'\?"):
        COCO17["left_kne"]


def test_an_unknown_skeleton_is_told_the_nearest_or_all():
    with pytest.raises(VitruvianError, match="did you mean 'coco17'"):
        skeleton("coco71")
    with pytest.raises(
        VitruvianError, match="known: blazepose33, body_135, body_25, body_25b, coco17"
    ):
        skeleton("xyz")


ARRAYS = ["xy", "score", "box", "person", "xyz", "mask", "presence", "depth"]


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_of_another_number_of_people_is_refused(name: str, people: People):
    poses = people(2, everything=True)
    with pytest.raises(ValueError, match=rf"Poses.{name} is \(1.*want \(2.*toy"):
        replace(poses, **{name: getattr(poses, name)[:1]})


@pytest.mark.parametrize("name", ["xy", "score", "xyz", "presence", "depth"])
def test_an_array_of_another_number_of_keypoints_is_refused(name: str, people: People):
    poses = people(2, everything=True)
    with pytest.raises(ValueError, match=rf"Poses.{name} is \(2, 2.*want \(2, 3"):
        replace(poses, **{name: getattr(poses, name)[:, :2]})


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_with_an_axis_too_many_is_refused(name: str, people: People):
    poses = people(2, everything=True)
    with pytest.raises(ValueError, match=f"Poses.{name} is"):
        replace(poses, **{name: getattr(poses, name)[..., None]})


def test_metres_need_an_origin_and_regions_a_person_each(people: People):
    poses = people(2, everything=True)
    with pytest.raises(ValueError, match="given together"):
        replace(poses, origin=None)
    with pytest.raises(ValueError, match="given together"):
        replace(poses, xyz=None)
    with pytest.raises(ValueError, match="look has 0 regions, want 2"):
        replace(poses, look=Regions.none())


@every_skeleton
@pytest.mark.parametrize("origin", [None, "hips", "camera"])
def test_nobody_is_an_ordinary_answer(table: Skeleton, origin):
    poses = Poses.nobody(table, origin)
    assert len(poses) == 0
    assert poses.xy.shape == (0, len(table), 2)
    assert (poses.xyz is None) == (origin is None)
    assert poses[table.keypoints[0]].xy.shape == (0, 2)
    assert len(poses.take([])) == len(poses.take(np.zeros(0, bool))) == 0


def test_a_joint_is_that_keypoint_of_everybody(people: People):
    poses = people(3, everything=True)
    joint = poses["left_hand"]
    np.testing.assert_array_equal(joint.xy, poses.xy[:, 1])
    np.testing.assert_array_equal(joint.score, poses.score[:, 1])
    np.testing.assert_array_equal(joint.xyz, poses.xyz[:, 1])
    assert people(3)["left_hand"].xyz is None
    with pytest.raises(VitruvianError, match="left_hand"):
        poses["left_han"]


def everything_in(poses: Any) -> dict[str, np.ndarray]:
    """Every array that poses hold, also those in their regions."""
    held = {field.name: getattr(poses, field.name) for field in fields(poses)}
    arrays = {name: value for name, value in held.items() if isinstance(value, np.ndarray)}
    return arrays | {"looks at": poses.look.centre, "for": poses.look.person}


@pytest.mark.parametrize("which", [[2, 0], slice(1, 3), np.array([True, False, True]), []])
def test_taking_people_takes_everything_they_have(which, people: People):
    poses = people(3, everything=True, raw=people(3, everything=True))
    taken = poses.take(which)
    for part, whole in ((taken, poses), (taken.raw, poses.raw)):
        for name, value in everything_in(part).items():
            np.testing.assert_array_equal(value, everything_in(whole)[name][which], name)
    assert (taken.skeleton, taken.origin) == (poses.skeleton, "hips")


def test_joining_undoes_taking(people: People):
    poses = people(3, everything=True, raw=people(3, everything=True))
    joined: Any = Poses.join(poses.take([0]), poses.take([]), poses.take([1, 2]))
    for name, value in everything_in(joined).items():
        np.testing.assert_array_equal(value, everything_in(poses)[name], name)
    np.testing.assert_array_equal(joined.raw.xy, poses.raw.xy)


def test_joining_nobody_with_somebody_is_somebody(people: People):
    nobody, somebody = Poses.nobody(TOY, "hips"), people(2, everything=True)
    for parts in ((nobody, somebody), (somebody, nobody), (somebody,)):
        np.testing.assert_array_equal(Poses.join(*parts).xy, somebody.xy)
    assert len(Poses.join(nobody, nobody)) == 0


def test_a_limb_is_small_inside_of_a_surer_body():
    box = np.array([[0, 0, 20, 20], [0, 0, 100, 100], [90, 90, 110, 110], [0, 0, 40, 40.0]])
    sure = np.array([0.5, 0.9, 0.5, 0.5])
    # The third is a quarter inside, and the fourth is large.
    assert is_limb(box, box, sure, 0.1).tolist() == [True, False, False, False]
    assert is_limb(box, box, 1 - sure, 0.1).tolist() == [False] * 4
    assert is_limb(box[:0], box[:0], sure[:0], 0.1).shape == (0,)
