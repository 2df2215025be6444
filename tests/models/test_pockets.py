"""Hands in pockets: the features, the detector, the labels, and how it is trained."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vitruvian as vit
from conftest import TOY, refused
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17
from vitruvian.frame import Frame
from vitruvian.models import pockets
from vitruvian.models.pockets import Arms, Hands, PocketDetector

SIZE = (320, 480)  # width and height of the images here
STORED = [[0.6823, 0.8592]]  # what the detector said of `standing` in noise when it was made


def standing(skeleton=COCO17, **moved):
    """One person from the front; keypoints by name can be put elsewhere."""
    at = {
        "nose": (160, 60),
        "left_shoulder": (200, 120),
        "right_shoulder": (120, 120),
        "left_elbow": (222, 190),
        "right_elbow": (98, 190),
        "left_wrist": (210, 250),
        "right_wrist": (110, 250),
        "left_hip": (185, 250),
        "right_hip": (135, 250),
        "left_knee": (185, 350),
        "right_knee": (135, 350),
    } | moved
    xy = np.full((1, len(skeleton), 2), 160, np.float32)
    for name, place in at.items():
        xy[0, skeleton[name]] = place
    return Poses(
        skeleton,
        xy=xy,
        score=np.full((1, len(skeleton)), 0.9, np.float32),
        box=np.array([[90, 30, 230, 450]], np.float32),
        box_score=np.ones(1, np.float32),
        person=np.full(1, -1, np.int64),
    )


def mirrored(poses):
    """The same people in a mirror: their left is right, and x runs backwards."""
    order = poses.skeleton.mirror
    xy = poses.xy[:, order] * np.array([-1, 1], np.float32) + np.array([SIZE[0], 0], np.float32)
    return replace(poses, xy=xy, score=poses.score[:, order])


def detector(sight=0.0):
    """One whose networks are made up: a hand is in sight or not, and nobody can be read again."""
    return PocketDetector(
        lambda patches: (np.full((len(patches), 1), sight, np.float32),),
        lambda crops: (np.full((len(crops), 17, 64, 48), -20, np.float32),),
        np.array([4, 0, 0, 0, 0, 0, -1, 0], np.float32),
        -1.0,
        0.4,
        0.6,
    )


@pytest.fixture
def picture(rng):
    """Noise, coarse enough to be resampled."""
    small = rng.integers(0, 256, (SIZE[1] // 16, SIZE[0] // 16, 3), dtype=np.uint8)
    return Frame(np.repeat(np.repeat(small, 16, axis=0), 16, axis=1))


def test_geometry_is_the_same_at_any_size_and_place():
    poses = standing(left_wrist=(190, 245))
    table = pockets.geometry(Arms.of(poses))
    moved = replace(poses, xy=poses.xy * 2.5 + np.array([40, -70], np.float32))
    np.testing.assert_allclose(pockets.geometry(Arms.of(moved)), table, atol=1e-4)


def test_geometry_is_the_same_however_the_picture_is_turned():
    poses = standing(left_wrist=(190, 245))
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]], np.float32)
    table = pockets.geometry(Arms.of(replace(poses, xy=poses.xy @ turn)))
    np.testing.assert_allclose(table, pockets.geometry(Arms.of(poses)), atol=1e-4)


def test_a_mirror_swaps_the_hands_and_changes_nothing_else():
    poses = standing(left_wrist=(190, 245), right_elbow=(80, 180))
    table = pockets.geometry(Arms.of(poses))
    other = pockets.geometry(Arms.of(mirrored(poses)))
    np.testing.assert_allclose(other[:, ::-1], table, atol=1e-4)
    assert np.abs(table[:, 0] - table[:, 1]).max() > 0.1


def test_a_hand_at_the_hip_looks_different_from_a_raised_one():
    poses = standing(right_wrist=(90, 120), right_elbow=(80, 160))
    table = pockets.geometry(Arms.of(poses))[0]
    at_hip, down = (pockets.GEOMETRY.index(name) for name in ("wrist at hip", "forearm down"))
    assert table[0, at_hip] > 0.7 > 0.01 > table[1, at_hip]
    assert table[0, down] > 0.9 > -0.9 > table[1, down]
    near = pockets.at_pocket_line(poses)[0]
    assert near[0] > 0.7
    assert near[1] == 0


def test_patches_of_a_mirrored_picture_are_those_of_the_other_hand(picture):
    """The picture's pixels are sampled at the nearest 1/32: a few values of 255 are by chance."""
    poses, known = standing(), np.ones((1, 2), bool)
    arms = Arms.of(poses)
    here = pockets.cut(picture, pockets.patches(arms, known), known)
    arms = Arms.of(mirrored(poses))
    flipped = Frame(np.ascontiguousarray(picture.rgb[:, ::-1]))
    there = pockets.cut(flipped, pockets.patches(arms, known), known)
    apart = np.abs(here.astype(int) - there[::-1].astype(int))
    assert here.std() > 30
    assert apart.mean() < 3


def test_the_middle_of_a_patch_lies_beyond_the_wrist_on_the_forearm():
    arms = Arms.of(standing(left_elbow=(210, 190), left_wrist=(210, 250)))
    crop, _ = pockets.patches(arms, np.ones((1, 2), bool))
    middle = crop.to_frame(np.array(pockets.PATCH) / 2)
    assert abs(middle[0] - 210) < 3
    assert 255 < middle[1] < 280
    above = crop.to_frame(np.array([pockets.PATCH[0] / 2, 0]))
    assert above[1] < 250
    assert abs(above[0] - 210) < 3


def test_a_visible_hand_is_out_and_one_that_cannot_be_seen_is_in(picture):
    poses = standing()
    assert pockets.hands(picture, poses, detector(sight=4.0)).state.tolist() == [["out", "out"]]
    assert pockets.hands(picture, poses, detector(sight=-2.0)).state.tolist() == [["in", "in"]]


@pytest.mark.parametrize(
    "moved",
    [
        {"left_wrist": (330, 250)},
        {"left_hip": (185, 500)},
        {"left_wrist": (np.nan, np.nan)},
        {"left_elbow": (np.nan, np.nan)},
    ],
    ids=["wrist beside the frame", "hip below it", "no wrist", "no elbow"],
)
def test_a_hand_out_of_view_is_unknown(picture, moved):
    found = pockets.hands(picture, standing(**moved), detector(sight=-2.0))
    assert np.isnan(found.inside[0, 0])
    trunk = "left_hip" not in moved
    assert found.state[0].tolist() == ["unknown", "in" if trunk else "unknown"]


def test_a_keypoint_with_no_score_is_not_in_view(picture):
    poses = standing()
    poses.score[0, COCO17["right_wrist"]] = 0.001
    assert pockets.hands(picture, poses, detector()).state[0, 1] == "unknown"


def test_too_close_to_call_is_unknown_but_has_a_chance():
    hands = Hands(np.array([[0.5, 0.4], [0.6, np.nan]], np.float32), 0.4, 0.6)
    assert hands.state.tolist() == [["unknown", "out"], ["in", "unknown"]]


@pytest.mark.parametrize("skeleton", [COCO17, BLAZEPOSE33], ids=lambda skeleton: skeleton.name)
def test_nobody_has_no_hands(picture, skeleton):
    found = pockets.hands(picture, Poses.nobody(skeleton), detector())
    assert found.inside.shape == found.state.shape == (0, 2)


def test_a_skeleton_without_hips_is_refused(picture):
    with refused("left_shoulder", "toy"):
        pockets.hands(picture, Poses.nobody(TOY), detector())


def test_a_second_reading_counts_half(picture):
    """Where vitruvian-2d sees the wrists elsewhere, the chance is between both answers."""

    def reader(crops):
        maps = np.full((len(crops), 17, 64, 48), -20, np.float32)
        for name in ("shoulder", "elbow", "wrist", "hip"):
            row = {"shoulder": 10, "elbow": 20, "wrist": 12, "hip": 30}[name]
            maps[:, COCO17[f"left_{name}"], row, 30] = 20
            maps[:, COCO17[f"right_{name}"], row, 18] = 20
        return (maps,)

    by = detector(sight=-2.0)
    alone = pockets.hands(picture, standing(), by).inside
    both = pockets.hands(picture, standing(), replace(by, reader=reader)).inside
    assert (both < alone - 0.1).all()
    assert (both > alone / 2 - 0.01).all()


def test_the_detector_that_comes_with_vitruvian_gives_what_it_gave(picture):
    """Both networks run; 0.01 is more than OpenVINO's versions differ by."""
    by = pockets.detector()
    first, second = (by.log_odds(reading) for reading in by.look(picture, standing()))
    both = np.stack([first, np.where(np.isnan(second), first, second)])
    chances = (1 / (1 + np.exp(-both))).mean(axis=0)
    np.testing.assert_allclose(chances, STORED, atol=0.01)


def from_behind(**moved):
    """The same person seen from behind: left and right change places."""
    places = {"left_ear": (175, 60), "right_ear": (145, 60)}
    poses = standing(COCO17, **places)
    flipped = replace(mirrored(poses), xy=mirrored(poses).xy[:, COCO17.mirror])
    for name, place in moved.items():
        flipped.xy[0, COCO17[name]] = place
    return flipped


VIEWS = {
    "from the front": (standing(), [pockets.OPEN, pockets.OPEN]),
    "from behind": (from_behind(), [pockets.HIDDEN, pockets.HIDDEN]),
    "from behind, a hand beside the body": (
        from_behind(left_wrist=(80, 250)),
        [pockets.ASIDE, pockets.HIDDEN],
    ),
}


@pytest.mark.parametrize("view", VIEWS)
def test_what_can_be_seen_of_a_hand_depends_on_which_way_the_person_faces(view):
    poses, want = VIEWS[view]
    assert pockets.hand_view(poses)[0].tolist() == want


def test_from_the_side_the_far_hand_is_hidden_by_the_body():
    side = {"left_shoulder": (165, 120), "right_shoulder": (155, 120)}
    side |= {"left_hip": (162, 250), "right_hip": (158, 250)}
    side |= {"left_elbow": (160, 190), "right_elbow": (160, 190)}
    side |= {"left_ear": (150, 60), "right_ear": (150, 60), "nose": (175, 60)}  # faces right
    side |= {"left_wrist": (165, 250), "right_wrist": (165, 250)}
    assert pockets.hand_view(standing(COCO17, **side))[0].tolist() == [pockets.HIDDEN, pockets.OPEN]
    ahead = side | {"left_wrist": (225, 220)}
    assert pockets.hand_view(standing(COCO17, **ahead))[0].tolist() == [pockets.ASIDE, pockets.OPEN]


def settled(chances, sight=0.0, poses=None, second=None, size=SIZE):
    """The state of the left hand by two readings."""
    readings = [
        pockets.HandReading(one, size, np.full((1, 2), sight))
        for one in (poses or standing(), second or poses or standing())
    ]
    both = np.array([[[chances[0], 0.5]], [[chances[1], 0.5]]])
    inside = pockets.settle_hands(readings[0], readings[1], both, 0.4, 0.58)
    return Hands(inside, 0.4, 0.58).state[0, 0]


def test_a_hand_is_in_a_pocket_only_where_all_evidence_says_so():
    assert settled((0.9, 0.8)) == "in"
    assert settled((0.9, 0.45)) == "unknown"  # both readings
    assert settled((0.9, 0.8), sight=4.0) == "unknown"  # a hand in plain sight
    sits = standing(left_knee=(205, 270), right_knee=(115, 270))
    assert settled((0.9, 0.8), poses=sits) == "unknown"  # it may be in the lap
    hidden = standing()
    hidden.score[0, COCO17["left_knee"]] = 0.1
    assert settled((0.9, 0.8), poses=hidden) == "unknown"  # behind a table
    assert settled((0.9, 0.8), poses=hidden, size=(320, 340)) == "in"  # outside the frame
    assert settled((0.9, 0.8), poses=from_behind()) == "unknown"
    assert settled((0.9, 0.8), second=from_behind()) == "unknown"
    small = replace(standing(), xy=standing().xy * 0.25)
    assert settled((0.9, 0.8), poses=small) == "unknown"


def test_a_hand_is_out_where_it_is_seen():
    assert settled((0.1, 0.2)) == "out"
    assert settled((0.1, 0.2), poses=from_behind()) == "unknown"
    assert settled((0.1, 0.2), poses=from_behind(), sight=2.0) == "out"
    assert settled((0.1, 0.2), poses=from_behind(left_wrist=(60, 250))) == "out"


def test_the_weights_are_a_table_of_all_features():
    table = json.loads((pockets.FILES / "hands_in_pockets.json").read_text())
    assert tuple(table["weights"]) == pockets.FEATURES
    assert 0 < table["out_to"] < table["in_from"] < 1
    assert (pockets.FILES / "hand_in_sight.onnx").stat().st_size < 1_000_000


LABELS = Path(vit.__file__).parent / "training" / "labels" / "hands_in_pockets.csv"


def test_the_labels_are_well_formed():
    rows = list(csv.DictReader(LABELS.read_text().splitlines()))
    keys = [(row["file"], row["hand"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert sorted(keys) == keys
    assert {row["hand"] for row in rows} == {"left", "right"}
    assert {row["label"] for row in rows} == {"in", "out", "unknown"}
    for row in rows:
        image, person = row["file"].removesuffix(".jpg").split("_")
        assert len(image) == 12
        assert image.isdigit()
        assert person.isdigit()
    assert all(row["weighed"] == "yes" for row in rows if row["label"] == "in")


def test_the_labels_are_of_people_who_are_there(shared):
    lines = (shared / "data" / "coco_people" / "people.jsonl").read_text().splitlines()
    known = {row["file"]: row["keypoints"] for row in map(json.loads, lines)}
    for row in csv.DictReader(LABELS.read_text().splitlines()):
        wrist = known[row["file"]][COCO17[f"{row['hand']}_wrist"]]
        assert wrist[2] > 0
