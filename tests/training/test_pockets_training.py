"""How the detector of hands in pockets is trained; see also `tests/models/test_pockets.py`."""

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import refused
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.models import pockets
from vitruvian.network.openvino import OpenVino
from vitruvian.training.data import cover, hands
from vitruvian.training.data.hands import LabelledPerson
from vitruvian.training.tasks import pockets as training
from vitruvian.training.tasks import sight
from vitruvian.training.tasks.pockets import HandTable


def person(labels=("in", "out"), **moved):
    """Somebody from the front, as COCO labels them."""
    points = np.full((17, 3), 2, np.float32)
    places = {
        "left_shoulder": (200, 120),
        "right_shoulder": (120, 120),
        "left_elbow": (222, 190),
        "right_elbow": (98, 190),
        "left_wrist": (210, 250),
        "right_wrist": (110, 250),
        "left_hip": (185, 250),
        "right_hip": (135, 250),
    } | moved
    for name, place in places.items():
        points[COCO17[name], : len(place)] = place
    box = np.array([90, 30, 230, 450], np.float32)
    return LabelledPerson("coco/000000000001_2.jpg", Path("nowhere"), 1, points, box, labels)


def table(number, pictures, rng, inside=None):
    """Hands of which only the first feature tells anything."""
    inside = rng.random(number) < 0.3 if inside is None else inside
    features = rng.normal(size=(number, len(pockets.FEATURES))).astype(np.float32)
    features[:, 0] += 4 * inside
    hand = [(f"coco/{i}.jpg", 0) for i in range(number)]
    return HandTable(features, inside, np.arange(number) % pictures, np.zeros(number, bool), hand)


def test_a_cover_hides_the_middle_and_nothing_far_from_it(rng):
    image = rng.integers(0, 256, (cover.WIDE[1], cover.WIDE[0], 3), dtype=np.uint8)
    covered = cover.cover_hand(image, np.array([80.0, 100.0]), np.array([20.0, 30.0]), rng)
    changed = np.abs(covered.astype(int) - image.astype(int)).max(axis=2) > 8
    assert changed[95:115, 70:90].mean() > 0.8
    assert not changed[:50].any()
    assert not changed[150:].any()
    assert not changed[:, :45].any()
    assert not changed[:, 115:].any()


@pytest.mark.parametrize(("kind", "likely"), [("near", 0.5), ("far", 0.65), ("none", 0.0)])
def test_examples_are_patches_and_as_often_covered_as_they_should(rng, kind, likely):
    wide = rng.integers(0, 256, (cover.WIDE[1], cover.WIDE[0], 3), dtype=np.uint8)
    rows = [cover.covered_patch(wide, kind, rng) for _ in range(60)]
    assert {row[0].shape for row in rows} == {(128, 96, 3)}
    assert {row[0].dtype for row in rows} == {np.dtype(np.uint8)}
    assert abs(np.mean([row[1] > 0.9 for row in rows]) - likely) < 0.2
    assert {row[1] for row in rows} <= {0.0, cover.PARTLY, 1.0}


def test_distances_of_wrists_are_in_torso_lengths():
    away = hands.wrist_to_hip(person(left_wrist=(185, 120)).points)
    np.testing.assert_allclose(away, [1, 25 / 130], atol=1e-5)
    unlabelled = hands.wrist_to_hip(person(left_wrist=(0, 0, 0)).points)
    assert np.isnan(unlabelled[0])


def test_arms_are_pretended_where_pockets_are(rng):
    arms = pockets.Arms.of(hands.labelled_pose(person()))
    xy = sight.hanging_arms(arms, rng)
    apart = np.linalg.norm(xy[:, :, pockets.WRIST] - arms.xy[:, :, pockets.HIP], axis=-1)
    assert (apart < 0.6 * arms.scale).all()
    assert (xy[:, :, pockets.ELBOW, 1] < xy[:, :, pockets.WRIST, 1]).all()


def test_regression_finds_what_tells_and_ignores_the_rest(rng):
    rows = table(400, 50, rng)
    weight, bias = training.fit_logistic_regression(rows)
    odds = rows.features @ weight + bias
    assert ((odds > 0) == rows.inside).mean() > 0.93
    assert abs(weight[0]) > 3 * np.abs(weight[1:]).max()


def test_no_picture_is_on_both_sides(rng, monkeypatch):
    tables = {"a": table(90, 30, rng), "b": table(60, 30, rng)}
    seen = []

    def regress(rows):
        seen.append(set(rows.picture.tolist()))
        return np.zeros(rows.features.shape[1], np.float32), 0.0

    monkeypatch.setattr(training, "fit_logistic_regression", regress)
    fold = training.assign_folds(tables, number=5)
    odds = training.cross_validated_log_odds(tables, number=5)
    assert [len(part) for part in odds] == [90, 60]
    for i, learned in enumerate(seen):
        assert learned == {picture for picture, of in fold.items() if of != i}


def test_chances_are_settled_with_those_of_the_second_reading(rng, tmp_path):
    file = tmp_path / "a.png"
    assert cv2.imwrite(str(file), np.zeros((480, 320, 3), np.uint8))
    people = [replace(person(), key=f"coco/{i}.jpg", file=file) for i in range(2)]
    rows = {each.key: training.pack_pose(hands.labelled_pose(each)) for each in people}
    first, both = {people[0].key: rows[people[0].key]}, rows
    tables = {"vitruvian-2d": table(1, 1, rng), "yolov8n-pose": table(2, 1, rng)}
    odds = [np.array([-np.log(3)]), np.array([-np.log(9), -np.log(9)])]
    settle = {"vitruvian-2d": first, "yolov8n-pose": both}
    chances = training.settled_chances(people, tables, settle, odds)
    np.testing.assert_allclose(chances["yolov8n-pose"], [(0.1 + 0.25) / 2, 0.1])
    np.testing.assert_allclose(chances["vitruvian-2d"], [0.25])


def test_a_person_is_found_by_shoulders_and_hips_or_not_at_all():
    one = person()
    poses = hands.labelled_pose(one)
    other = hands.labelled_pose(person(left_hip=(385, 250), right_hip=(335, 250)))
    both = Poses.join(other, poses)
    found = training.matching_pose(both, one)
    assert found is not None
    np.testing.assert_array_equal(found.xy, poses.xy)
    assert training.matching_pose(other.take([]), one) is None
    moved = training.unpack_pose(training.pack_pose(poses), COCO17)
    np.testing.assert_array_equal(moved.xy, poses.xy)


def test_labels_that_say_something_else_are_refused(tmp_path):
    file = tmp_path / "labels.csv"
    rows = [["file", "hand", "label", "weighed"], ["1_2.jpg", "left", "perhaps", "no"]]
    with file.open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    with refused("perhaps", "unknown"):
        hands.read_labels(file)


def test_the_network_is_the_same_in_its_file(tmp_path):
    """One step on noise, written as float16, run by OpenVINO: `export_sight` compares them."""
    torch = pytest.importorskip("torch")
    from vitruvian.exports.networks.blazepose import LandmarkNetwork
    from vitruvian.exports.networks.sight import Sight

    torch.manual_seed(0)
    network = Sight(LandmarkNetwork("full")).eval()
    file = tmp_path / "sight.onnx"
    sight.export_sight(network, file)
    (answer,) = OpenVino(file)(np.zeros((3, 128, 96, 3), np.uint8))
    assert answer.shape == (3, 1)
