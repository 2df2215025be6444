"""3D metrics against closed forms: known shifts, turns, sizes, and joints that are missing."""

import numpy as np
import pytest

from conftest import TOY, refused
from vitruvian.body.skeletons import COCO17
from vitruvian.evaluate import metrics
from vitruvian.geometry.camera import rotation_matrix

HIPS = ("left_hip", "right_hip")


@pytest.fixture
def truth(rng) -> np.ndarray:
    """(5, 17, 3) metres."""
    return rng.normal(0, (0.2, 0.5, 0.2), (5, 17, 3)) + np.array([0, 0, 4])


def relative(found, truth, root=HIPS):
    return metrics.mpjpe(found, truth, COCO17, root)


def test_the_truth_is_nothing_away_from_itself(truth):
    for distance in (
        metrics.mpjpe_absolute(truth, truth),
        metrics.depth_error(truth, truth),
        relative(truth, truth),
        metrics.n_mpjpe(truth, truth, COCO17, HIPS),
        metrics.pa_mpjpe(truth, truth),
    ):
        assert distance.shape == (5, 17)
        np.testing.assert_allclose(distance, 0, atol=1e-12)


def test_a_known_offset_is_the_absolute_error_and_forgiven_by_the_others(truth):
    found = truth + np.array([0.3, 0, 0.4])
    np.testing.assert_allclose(metrics.mpjpe_absolute(found, truth), 0.5)
    np.testing.assert_allclose(metrics.depth_error(found, truth), 0.4)
    np.testing.assert_allclose(metrics.depth_error(truth, found), -0.4)
    np.testing.assert_allclose(relative(found, truth), 0, atol=1e-12)
    np.testing.assert_allclose(metrics.pa_mpjpe(found, truth), 0, atol=1e-12)


def test_the_root_is_the_one_that_is_named(truth):
    """Only the nose is 0.1 m off: from the nose, everything else is."""
    found = truth.copy()
    nose = COCO17["nose"]
    found[:, nose, 1] += 0.1
    from_hips, from_nose = relative(found, truth), relative(found, truth, "nose")
    np.testing.assert_allclose(from_hips[:, nose], 0.1)
    np.testing.assert_allclose(np.delete(from_hips, nose, axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(from_nose[:, nose], 0, atol=1e-12)
    np.testing.assert_allclose(np.delete(from_nose, nose, axis=1), 0.1)
    with refused("pelvis", "coco17"):
        relative(found, truth, "pelvis")


@pytest.mark.parametrize("size", [0.5, 1.2])
def test_a_known_size_is_forgiven_by_the_scaled_error_but_not_by_the_relative(truth, size):
    found = size * truth
    root = truth[:, [COCO17[name] for name in HIPS]].mean(axis=1, keepdims=True)
    arm = np.linalg.norm(truth - root, axis=-1)
    np.testing.assert_allclose(relative(found, truth), abs(size - 1) * arm)
    np.testing.assert_allclose(metrics.n_mpjpe(found, truth, COCO17, HIPS), 0, atol=1e-12)


def test_a_known_turn_is_forgiven_only_when_aligned(truth):
    """Half a turn about y through the root: a joint moves by twice its distance from the axis."""
    root = truth[:, [COCO17[name] for name in HIPS]].mean(axis=1, keepdims=True)
    found = (truth - root) * (-1, 1, -1) + root
    want = 2 * np.linalg.norm((truth - root)[..., [0, 2]], axis=-1)
    np.testing.assert_allclose(relative(found, truth), want, atol=1e-12)
    assert metrics.n_mpjpe(found, truth, COCO17, HIPS).mean() > 0.1
    np.testing.assert_allclose(metrics.pa_mpjpe(found, truth), 0, atol=1e-12)


def test_any_place_turn_and_size_is_forgiven_when_aligned(truth, rng):
    rotation = rotation_matrix(rng.normal(0, 1, 3))
    found = 0.7 * truth @ rotation.T + rng.normal(0, 2, (5, 1, 3))
    np.testing.assert_allclose(metrics.pa_mpjpe(found, truth), 0, atol=1e-12)


def test_a_mirrored_body_is_not_forgiven(truth):
    """Left and right exchanged: no rotation makes that good, unless the body is flat."""
    found = truth * (-1, 1, 1)
    assert metrics.per_person(metrics.pa_mpjpe(found, truth)).min() > 0.03
    flat = truth * (1, 1, 0)
    np.testing.assert_allclose(metrics.pa_mpjpe(flat * (-1, 1, 1), flat), 0, atol=1e-12)


def test_the_aligned_error_is_that_of_scipy_s_procrustes(truth, rng):
    """It scales both to norm 1, and returns the sum of squares; it may mirror, so noise is low."""
    scipy = pytest.importorskip("scipy.spatial")
    found = truth @ rotation_matrix(rng.normal(0, 1, 3)).T + rng.normal(0, 0.03, truth.shape)
    got = metrics.pa_mpjpe(found, truth)
    for one, true, distance in zip(found, truth, got, strict=True):
        norm = np.sum((true - true.mean(axis=0)) ** 2)
        assert np.sum(distance**2) / norm == pytest.approx(scipy.procrustes(true, one)[2])


def test_the_scaled_size_is_the_best_one(truth, rng):
    found = truth + rng.normal(0, 0.1, truth.shape)
    best = (metrics.n_mpjpe(found, truth, COCO17, HIPS) ** 2).sum(axis=1)
    for size in (0.9, 0.99, 1.01, 1.1):
        scaled = metrics.n_mpjpe(found * size, truth, COCO17, HIPS)
        np.testing.assert_allclose((scaled**2).sum(axis=1), best)  # given another size to start
        assert ((relative(found * size, truth) ** 2).sum(axis=1) >= best - 1e-12).all()


def test_hits_are_counted_up_to_and_with_the_limit():
    truth = np.zeros((1, 4, 3))
    distance = np.array([[0.0, 0.15, 0.151, 0.05]])
    np.testing.assert_array_equal(metrics.pck(distance, truth), [[1, 1, 0, 1]])
    assert metrics.nan_mean(metrics.pck(distance, truth)) == 0.75


def test_the_area_is_the_mean_over_31_limits():
    """5 mm apart: a joint d off is a hit from the limit ceil(d / 5 mm) on, so 31 less that many."""
    truth = np.zeros((1, 5, 3))
    distance = np.array([[0.0, 0.0049, 0.0751, 0.1499, 0.2]])
    want = np.array([[31, 30, 15, 1, 0]]) / 31
    np.testing.assert_allclose(metrics.auc(distance, truth), want)


def test_what_the_truth_lacks_is_not_counted_and_what_is_not_found_is_a_miss(truth):
    found = truth.copy()
    missing = truth.copy()
    missing[:, 3] = np.nan
    found[0, 5] = np.nan
    found[1] = np.nan
    distance = relative(found, missing)
    nan = np.isnan(distance)
    assert nan[:, 3].all()
    assert nan[0, 5]
    assert nan[1].all()
    assert nan.sum() == 5 + 1 + 16
    hits = metrics.pck(distance, missing)
    assert np.isnan(hits[:, 3]).all()
    assert hits[0, 5] == 0
    np.testing.assert_array_equal(metrics.per_person(hits), [15 / 16, 0, 1, 1, 1])
    assert metrics.nan_mean(hits) == (15 + 0 + 48) / 80
    area = metrics.auc(distance, missing)
    assert area[0, 5] == 0
    assert np.isnan(area[0, 3])
    np.testing.assert_array_equal(np.isnan(metrics.per_person(distance)), np.arange(5) == 1)
    np.testing.assert_array_equal(np.isnan(metrics.per_joint(distance)), np.arange(17) == 3)


def test_joints_that_are_missing_do_not_disturb_the_others(truth, rng):
    """The alignment of those that both have is as if there were no others."""
    found = truth + rng.normal(0, 0.05, truth.shape)
    found[:, 4], truth[:, 6] = np.nan, np.nan
    kept = np.delete(np.arange(17), [4, 6])
    for way in (metrics.pa_mpjpe, lambda a, b: metrics.mpjpe_absolute(a, b)):
        both = way(found, truth)
        np.testing.assert_allclose(both[:, kept], way(found[:, kept], truth[:, kept]))
        assert np.isnan(both[:, [4, 6]]).all()
    size = metrics.n_mpjpe(found, truth, COCO17, HIPS)[:, kept]
    root = [COCO17[name] for name in HIPS]
    a, b = (pose - pose[:, root].mean(axis=1, keepdims=True) for pose in (found, truth))
    a, b = a[:, kept], b[:, kept]
    best = (a * b).sum(axis=(1, 2)) / (a * a).sum(axis=(1, 2))
    np.testing.assert_allclose(size, np.linalg.norm(a * best[:, None, None] - b, axis=-1))


def test_two_joints_say_nothing_about_a_body_and_a_point_has_no_size(truth):
    two = truth.copy()
    two[:, 2:] = np.nan
    assert np.isnan(metrics.pa_mpjpe(two, truth)).all()
    point = np.ones_like(truth)
    assert np.isnan(metrics.pa_mpjpe(point, truth)).all()
    assert np.isnan(metrics.n_mpjpe(point, truth, COCO17, HIPS)).all()


def test_nobody_has_no_error_and_no_mean():
    nobody = np.zeros((0, 3, 3), np.float32)
    for distance in (
        metrics.mpjpe_absolute(nobody, nobody),
        metrics.depth_error(nobody, nobody),
        metrics.mpjpe(nobody, nobody, TOY, "nose"),
        metrics.n_mpjpe(nobody, nobody, TOY, "nose"),
        metrics.pa_mpjpe(nobody, nobody),
    ):
        assert distance.shape == (0, 3)
        assert metrics.pck(distance, nobody).shape == metrics.auc(distance, nobody).shape == (0, 3)
        assert np.isnan(metrics.nan_mean(distance))
        assert np.isnan(metrics.per_joint(distance)).tolist() == [True] * 3
        assert metrics.per_person(distance).shape == (0,)


def test_means_are_of_what_is_there():
    values = np.array([[1.0, np.nan, 3], [5, np.nan, np.nan]])
    assert metrics.nan_mean(values) == 3
    np.testing.assert_array_equal(metrics.per_joint(values), [3, np.nan, 3])
    np.testing.assert_array_equal(metrics.per_person(values), [2, 5])
