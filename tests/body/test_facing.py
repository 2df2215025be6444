"""Which way people face, on bodies that are turned, and what makes it doubtful."""

from dataclasses import replace

import numpy as np
import pytest

from bodies import body, seen_as, turned
from vitruvian.body.facing import facing, near_side, trunk_axes
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17, HALPE26


def seen(turn: float, skeleton: Skeleton = COCO17, **angles: float) -> Poses:
    """Somebody turned to the left by an angle, in pixels."""
    poses = seen_as(skeleton, turned(body(skeleton, **angles), "up", turn))
    return replace(poses, xyz=None, origin=None)


@pytest.mark.parametrize("skeleton", [COCO17, BLAZEPOSE33, HALPE26], ids=lambda s: s.name)
@pytest.mark.parametrize("turn", range(-180, 180, 30))
def test_facing_is_the_cosine_of_the_turn(skeleton, turn):
    assert facing(seen(turn, skeleton))[0] == pytest.approx(np.cos(np.radians(turn)), abs=0.1)


@pytest.mark.parametrize("about", ["left", "forward"])
def test_facing_is_that_of_the_body_however_it_lies(about):
    lying = seen_as(COCO17, turned(body(COCO17), about, 60))
    assert facing(lying)[0] > 0.85


@pytest.mark.parametrize("metres", [True, False])
@pytest.mark.parametrize(("turn", "near"), [(90, 1), (60, 1), (-90, 0), (-120, 0)])
def test_the_near_side_is_told_by_metres_or_by_the_nose(metres, turn, near):
    poses = seen_as(COCO17, turned(body(COCO17), "up", turn))
    poses = poses if metres else seen(turn)
    assert near_side(poses).tolist() == [near]


def test_the_near_ear_is_the_one_that_is_seen():
    poses = seen(180)  # the nose is before the ears, on the other side
    poses.score[0, COCO17["right_ear"]] = 0.2
    assert near_side(poses).tolist() == [0]


def test_a_head_that_faces_the_other_way_is_doubtful():
    """A model has swapped left and right of the body, but not of the head."""
    poses = seen(0)
    swapped = poses.xy.copy()
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        pair = [COCO17[f"left_{name}"], COCO17[f"right_{name}"]]
        swapped[:, pair] = swapped[:, pair[::-1]]
    assert np.isnan(facing(replace(poses, xy=swapped))).all()
    hips = poses.xy.copy()
    pair = [COCO17["left_hip"], COCO17["right_hip"]]
    hips[:, pair] = hips[:, pair[::-1]]
    assert np.isnan(facing(replace(poses, xy=hips))).all()


def test_ears_without_a_nose_are_seen_from_behind():
    poses = seen(0)
    poses.score[0, COCO17["nose"]] = 0.1
    assert np.isnan(facing(poses)).all()
    behind = seen(180)
    behind.score[0, COCO17["nose"]] = 0.1
    assert facing(behind)[0] < -0.9


def test_who_has_no_trunk_faces_nowhere():
    feet = Skeleton.table("feet", "tests", ("left_ankle", "", 0.1), ("right_ankle", "", 0.1))
    poses = seen_as(feet, body(feet))
    assert np.isnan(facing(poses)).all()
    assert np.isnan(near_side(replace(poses, xyz=None, origin=None))).all()
    assert np.isnan(trunk_axes(poses)[2]).all()
    nobody = Poses.nobody(COCO17, "hips")
    assert facing(nobody).shape == near_side(nobody).shape == (0,)
