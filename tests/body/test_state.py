"""Visible, occluded, out of the frame, not found: the same words for every family."""

import numpy as np
import pytest

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17, HALPE26, SMPL24
from vitruvian.body.state import State, states
from vitruvian.frame import Frame

SIZE = (640, 480)
INSIDE, OUTSIDE, EDGE, NOWHERE = (300, 200), (300, 530), (300, 478), (np.nan, np.nan)


def one(skeleton: Skeleton, xy, score: float, presence: float | None = None) -> int:
    """The state of a first keypoint that is so, in a person whose others are visible."""
    k = len(skeleton)
    points, scores = np.full((1, k, 2), 250, np.float32), np.full((1, k), 0.99, np.float32)
    points[0, 0], scores[0, 0] = xy, score
    present = None
    if presence is not None:
        present = np.full((1, k), 0.99, np.float32)
        present[0, 0] = presence
    box, ones = np.array([[0, 0, 500, 400]], np.float32), np.ones(1, np.float32)
    who = np.ones(1, np.int64)
    poses = Poses(skeleton, points, scores, box, ones, who, presence=present)
    row = states(poses, SIZE)[0]
    assert row.dtype == np.uint8
    assert (row[1:] == State.VISIBLE).all()
    return row[0]


BLAZEPOSE = [
    (INSIDE, 0.9, 0.99, State.VISIBLE),
    (INSIDE, 0.2, 0.99, State.OCCLUDED),
    (INSIDE, 0.001, 0.99, State.OCCLUDED),  # it is there, says presence, and hidden
    (INSIDE, 0.4, 0.1, State.OUT_OF_FRAME),
    (OUTSIDE, 0.9, 0.9, State.OUT_OF_FRAME),
    (EDGE, 0.2, 0.9, State.OCCLUDED),
    (NOWHERE, 0.9, 0.9, State.NOT_FOUND),
]


@pytest.mark.parametrize(("xy", "score", "presence", "want"), BLAZEPOSE)
def test_blazepose_says_what_is_hidden_and_what_is_there(xy, score, presence, want):
    assert one(BLAZEPOSE33, xy, score, presence) == want


OTHERS = [
    (INSIDE, 0.9, State.VISIBLE),
    (INSIDE, 0.4, State.OCCLUDED),
    (INSIDE, 0.1, State.NOT_FOUND),
    (NOWHERE, 0.0, State.NOT_FOUND),
]


@pytest.mark.parametrize("skeleton", [COCO17, HALPE26, SMPL24], ids=["yolo", "alpha", "metrabs"])
@pytest.mark.parametrize(("xy", "score", "want"), OTHERS)
def test_a_score_alone_says_how_well_it_is_known(skeleton, xy, score, want):
    assert one(skeleton, xy, score) == want


def test_yolo_clips_to_the_picture_so_a_faint_place_on_its_edge_is_beyond_it():
    assert one(COCO17, EDGE, 0.1) == State.OUT_OF_FRAME
    assert one(COCO17, (300, 480), 0.2) == State.OUT_OF_FRAME
    assert one(COCO17, EDGE, 0.9) == State.VISIBLE
    assert one(COCO17, EDGE, 0.4) == State.OCCLUDED


@pytest.mark.parametrize("skeleton", [HALPE26, SMPL24], ids=["alpha", "metrabs"])
@pytest.mark.parametrize("score", [0.05, 0.9])
def test_a_place_outside_the_picture_is_out_of_it(skeleton, score):
    """AlphaPose sees a box that may reach beyond; MeTRAbs knows the body and the camera."""
    assert one(skeleton, OUTSIDE, score) == State.OUT_OF_FRAME


def test_nobody_has_no_states():
    assert states(Poses.nobody(COCO17), SIZE).shape == (0, 17)


@pytest.mark.weights
@pytest.mark.shared
def test_the_legs_of_who_is_cut_off_at_the_waist_are_out_of_frame(blazepose, shared):
    """Zidane's image ends at the waist of both men."""
    path = shared / "data" / "images" / "ultralytics_zidane.jpg"
    frame = Frame.read(path)
    (poses,) = blazepose("full", num_poses=2)([frame])
    for row in states(poses, frame.size):
        named = dict(zip(poses.skeleton.keypoints, row.tolist(), strict=True))
        assert named["nose"] == State.VISIBLE
        assert {named["left_knee"], named["right_ankle"]} == {State.OUT_OF_FRAME}
