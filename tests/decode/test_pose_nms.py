"""Pose NMS: the numbers of specs/alphapose.md 5, its rules written out as loops, and laws."""

from dataclasses import replace
from math import dist, exp, tanh

import numpy as np
import pytest

from vitruvian.body.skeletons import HALPE136, WHOLEBODY133
from vitruvian.decode.pose_nms import (
    BODY,
    WHOLE_BODY,
    BodyPart,
    Kept,
    Settings,
    pose_nms,
    whole_body,
)

Rng = np.random.Generator
People = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # xy, score, box, box_score


def parts_of(k: int) -> tuple[BodyPart, ...]:
    """Of the whole body of k keypoints."""
    return whole_body({133: WHOLEBODY133, 136: HALPE136}[k].parts)


def copies(n: int, k: int, rng: Rng, score: float = 0.8) -> People:
    """The same person n times."""
    xy = np.repeat(rng.uniform(50, 250, (1, k, 2)), n, axis=0)
    box = np.tile([50.0, 50, 250, 250], (n, 1))
    arrays = xy, np.full((n, k), score), box, np.full(n, 0.9)
    return tuple(array.astype(np.float32) for array in arrays)  # type: ignore[return-value]


def crowd(people: int, each: int, k: int, rng: Rng, noise: float) -> People:
    """People who stand apart, each found several times, in no order; scores from 0 to 1."""
    whose = rng.permutation(np.repeat(np.arange(people), each))
    base = rng.uniform(0, 150, (people, k, 2)) + np.arange(people)[:, None, None] * [70, 10]
    xy = (base[whose] + rng.normal(0, noise, (len(whose), k, 2))).astype(np.float32)
    score = rng.uniform(0, 1, (len(whose), k)).astype(np.float32)
    score[rng.random(score.shape) < 0.1] = 0
    box = np.concatenate([xy.min(axis=1), xy.max(axis=1)], axis=-1)
    return xy, score, box, rng.uniform(0.3, 1, len(whose)).astype(np.float32)


def as_specified(xy, score, box, box_score, settings: Settings, whole: bool):
    """specs/alphapose.md 5b to 5d, one keypoint after the other, with Python's doubles.

    Returns (pick, merged xy, merged score, person's score, ids merged) of each that is kept.
    """
    n, k = score.shape
    score = [[float(s) or 1e-5 for s in row] for row in score]
    left, kept = list(range(n)), []
    while left:
        i = max(left, key=lambda j: sum(score[j]) / k)
        r = settings.alpha * max(box[i][2] - box[i][0], box[i][3] - box[i][1])
        gone = []
        for j in left:
            d = [dist(xy[i][p], xy[j][p]) for p in range(k)]
            s = [
                tanh(score[i][p] / settings.delta1) * tanh(score[j][p] / settings.delta1)
                if d[p] <= 1
                else 0
                for p in range(k)
            ]
            if whole:
                face, hand = k - 110, k - 42
                parts = [(0, face, 1, 1, 1), (face, hand, 1.9, 1, 1), (hand, k, 0.55, 0.1, 1.5)]
                likeness = 0.0
                for start, end, far, says, near in parts:
                    low = [score[j][p] < settings.score for p in range(k)]
                    span = range(start, end)
                    e = [0 if low[p] else exp(-d[p] / (settings.delta2 * far)) for p in span]
                    likeness += says * sum(s[p] for p in span if low[p]) / (end - start)
                    likeness += settings.mu * near * sum(e) / (end - start)
                fixed = [1] * 26 + [1.9] * 68 + [0.55] * (k - 94)
                matches = sum(d[p] <= min(r, 7) * fixed[p] for p in range(k))
                sure = sum(s > settings.score / 2 for s in score[i])
                enough = 2 * len(left) * sure >= 2
                matches = matches * k / (4 * len(left) * sure) if enough else 0
            else:
                likeness = sum(s) + settings.mu * sum(exp(-d / settings.delta2) for d in d)
                matches = sum(d <= min(r, 7) for d in d)
            if likeness > settings.gamma or matches >= settings.match or j == i:
                gone.append(j)
        left = [j for j in left if j not in gone]
        if max(score[i]) < settings.score:
            continue
        place, value = np.zeros((k, 2)), np.zeros(k)
        for p in range(k):
            use = [j for j in gone if dist(xy[i][p], xy[j][p]) <= min(r, 15)]
            total = sum(score[j][p] for j in use)
            for j in use:
                place[p] += score[j][p] / total * xy[j][p]
                value[p] += score[j][p] / total * score[j][p]
        area = 1.5**2 * np.prod(place.max(axis=0) - place.min(axis=0))
        if value.max() >= settings.score and area >= settings.min_area:
            person = value.mean() + box_score[i] + 1.25 * value.max()
            kept.append((i, place, value, person, gone))
    return kept


def is_what_the_spec_says(got: Kept, want: list) -> None:
    """Pixels to 1e-3: of thousands of them, float32 keeps 1e-4."""
    assert got.index.tolist() == [row[0] for row in want]
    assert [group.tolist() for group in got.merged] == [row[4] for row in want]
    for m, (_, place, value, person, _) in enumerate(want):
        np.testing.assert_allclose(got.xy[m], place, atol=1e-3)
        np.testing.assert_allclose(got.score[m], value, atol=1e-5)
        np.testing.assert_allclose(got.proposal_score[m], person, atol=1e-5)


@pytest.mark.parametrize("k", [17, 21, 26, 68, 133, 136])
@pytest.mark.parametrize("settings", [BODY, WHOLE_BODY], ids=["body", "whole body"])
@pytest.mark.parametrize("noise", [0.5, 4, 12])
def test_compat_does_what_the_spec_says(k, settings, noise, rng: Rng):
    whole = k > 100
    people = crowd(3, 3, k, rng, noise)
    want = as_specified(*people, settings, whole)
    got = pose_nms(*people, settings, parts_of(k) if whole else (), compat=True)
    is_what_the_spec_says(got, want)
    assert 3 <= len(want) <= 9


def test_the_settings_are_those_of_the_spec():
    """specs/alphapose.md 5a, in its order."""
    for settings, want in (
        (BODY, (1, 1.7, 2.65, 22.48, 0.3, 5, 0.1)),
        (WHOLE_BODY, (1, 1.65, 8.0, 3.6, 0.01, 3, 0.15)),
    ):
        names = ("delta1", "mu", "delta2", "gamma", "score", "match", "alpha")
        assert tuple(getattr(settings, name) for name in names) == want


@pytest.mark.parametrize(("gamma", "left"), [(36.3, 1), (36.5, 2)])
def test_two_equal_poses_of_score_0_8_are_alike_by_36_4(gamma, left, rng: Rng):
    """17 tanh(0.8)^2 + 17 * 1.7; without `match`, which they have anyway."""
    settings = Settings(gamma=gamma, match=18)
    assert 17 * tanh(0.8) ** 2 + 17 * 1.7 == pytest.approx(36.4, abs=0.01)
    assert len(pose_nms(*copies(2, 17, rng), settings).index) == left


@pytest.mark.parametrize(("n", "left"), [(1, 1), (6, 1), (7, 2), (8, 3), (12, 7), (20, 15)])
def test_many_copies_of_a_whole_body_survive_the_reference_only(n, left, rng: Rng):
    """specs/alphapose.md 5d. The other constants of the reference leave one, and so do we."""
    people, parts = copies(n, 136, rng), parts_of(136)
    assert len(pose_nms(*people, BODY, parts, compat=True).index) == left
    assert len(pose_nms(*people, WHOLE_BODY, parts, compat=True).index) == 1
    for settings in (BODY, WHOLE_BODY):
        for k in (133, 136):
            got = pose_nms(*copies(n, k, rng), settings, parts_of(k))
            assert got.index.tolist() == [0]
            assert got.merged[0].tolist() == list(range(n))


@pytest.mark.parametrize("k", [17, 136])
@pytest.mark.parametrize("settings", [BODY, WHOLE_BODY], ids=["body", "whole body"])
def test_bystanders_change_nothing(k, settings, rng: Rng):
    """What is kept of two people is kept of them in a crowd: by default, not in compat."""
    people = crowd(2, 2, k, rng, 3)
    far = tuple(a + np.float32(5000) if a.ndim > 1 and a.shape[-1] < 5 else a for a in people)
    xy, score, box, box_score = map(np.concatenate, zip(people, far, strict=True))
    parts = parts_of(k) if k > 100 else ()
    alone, among = (
        pose_nms(*people, settings, parts),
        pose_nms(xy, score, box, box_score, settings, parts),
    )
    assert [group.tolist() for group in alone.merged] == [
        group.tolist() for group in among.merged if group[0] < 4
    ]


def test_two_whole_bodies_alone_are_as_in_the_reference(rng: Rng):
    """None of whose keypoints are within a pixel, where scores count in a different way."""
    same = set()
    for spread in np.linspace(8, 30, 40):
        xy, score, box, box_score = copies(2, 136, rng)
        turn = rng.uniform(0, 2 * np.pi, 136)
        far = rng.uniform(1.1, spread, 136)
        xy[1] += np.stack([far * np.cos(turn), far * np.sin(turn)], axis=-1).astype(np.float32)
        kept = [
            len(pose_nms(xy, score, box, box_score, BODY, parts_of(136), compat=compat).index)
            for compat in (False, True)
        ]
        assert kept[0] == kept[1]
        same.add(kept[0])
    assert same == {1, 2}


def first(people: People, settings: Settings, compat: bool) -> int:
    """How many whole bodies are the same as the first that is kept, itself among them."""
    return len(pose_nms(*people, settings, parts_of(people[1].shape[1]), compat).merged[0])


def test_which_scores_of_a_whole_body_count_is_the_other_way_round_in_compat(rng: Rng):
    """Equal places, scores 0.8 and s: 2.1 tanh(0.8) tanh(s) if they count, 3.5 * 1.7 if s does."""
    for s, compat, want in (
        (0.2, True, 2.1 * tanh(0.8) * tanh(0.2)),
        (0.2, False, 0),
        (0.7, True, 3.5 * 1.7),
        (0.7, False, 3.5 * 1.7 + 2.1 * tanh(0.8) * tanh(0.7)),
    ):
        people = copies(2, 136, rng)
        people[1][1] = s
        assert first(people, Settings(gamma=want + 0.01, match=1e9), compat) == 1
        if want:
            assert first(people, Settings(gamma=want - 0.01, match=1e9), compat) == 2


def test_of_133_keypoints_the_reference_takes_three_of_a_hand_for_the_face(rng: Rng):
    """91 to 93, here 5 pixels apart: more than 0.55 * 7, less than 1.9 * 7."""
    people = copies(2, 133, rng)
    people[0][1] += 100
    people[0][1, 91:94] -= [95, 100]
    few = Settings(gamma=1e9, match=3 / 8)
    assert first(people, few, compat=True) == 2
    assert first(people, few, compat=False) == 1


@pytest.mark.parametrize("k", [17, 136])
@pytest.mark.parametrize("compat", [False, True])
def test_the_order_of_people_does_not_matter(k, compat, rng: Rng):
    people, parts = crowd(3, 3, k, rng, 2), parts_of(k) if k > 100 else ()
    order = rng.permutation(9)
    one = pose_nms(*people, parts=parts, compat=compat)
    xy, score, box, box_score = (array[order] for array in people)
    other = pose_nms(xy, score, box, box_score, parts=parts, compat=compat)
    assert one.index.tolist() == order[other.index].tolist()
    assert [set(group) for group in one.merged] == [set(order[group]) for group in other.merged]
    np.testing.assert_allclose(one.xy, other.xy, atol=1e-3)
    np.testing.assert_allclose(one.proposal_score, other.proposal_score, atol=1e-5)


@pytest.mark.parametrize("k", [17, 26, 133, 136])
@pytest.mark.parametrize("compat", [False, True])
def test_two_people_stay_two(k, compat, rng: Rng):
    xy, score, box, box_score = copies(2, k, rng)
    xy[1] += 30
    got = pose_nms(xy, score, box, box_score, parts=parts_of(k) if k > 100 else (), compat=compat)
    assert got.index.tolist() == [0, 1]
    np.testing.assert_allclose(got.xy, xy, atol=1e-4)
    np.testing.assert_allclose(got.score, score, atol=1e-6)
    np.testing.assert_array_equal(got.box, box)
    np.testing.assert_allclose(got.proposal_score, 0.8 + 0.9 + 1.25 * 0.8, atol=1e-6)


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("k", [17, 136])
@pytest.mark.parametrize("compat", [False, True])
def test_nobody_and_somebody_alone_are_themselves(n, k, compat, rng: Rng):
    people = copies(n, k, rng)
    got = pose_nms(*people, parts=parts_of(k) if k > 100 else (), compat=compat)
    assert got.index.tolist() == list(range(n))
    held = got.xy, got.score, got.box, got.box_score
    for one, other in zip(held, people, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
        assert one.dtype == np.float32
    assert (len(got.proposal_score), len(got.merged)) == (n, n)


def test_a_keypoint_is_the_mean_of_what_is_near_it():
    """By hand: scores 0.9 and 0.3 weigh 3 to 1; the far keypoint of the other does not count."""
    xy = np.tile(np.arange(17.0)[:, None] * [20, 10], (2, 1, 1)).astype(np.float32)
    xy[1, 0] += [4, 0]
    xy[1, 1] += [0, 16]
    score = np.full((2, 17), 0.9, np.float32)
    score[1] = 0.3
    box = np.tile(np.array([0, 0, 320, 160], np.float32), (2, 1))
    got = pose_nms(xy, score, box, np.ones(2, np.float32))
    assert got.merged[0].tolist() == [0, 1]
    np.testing.assert_allclose(got.xy[0, 0], [1, 0], atol=1e-5)
    np.testing.assert_allclose(got.xy[0, 1:], xy[0, 1:], atol=1e-5)
    np.testing.assert_allclose(got.score[0, [0, 1]], [0.9 * 0.75 + 0.3 * 0.25, 0.9], atol=1e-6)


def test_low_scores_and_small_poses_are_dropped(rng: Rng):
    xy, score, box, box_score = copies(2, 17, rng)
    xy[1] = xy[1] / 50 + 1000  # 4 by 4 pixels
    assert pose_nms(xy, score, box, box_score).index.tolist() == [0, 1]
    area = float(np.prod(np.ptp(xy[1], axis=0))) * 1.5**2
    for share, left in ((0.99, [0, 1]), (1.01, [0])):
        settings = Settings(min_area=area * share)
        assert pose_nms(xy, score, box, box_score, settings).index.tolist() == left
    score[0] = 0.29
    assert pose_nms(xy, score, box, box_score).index.tolist() == [1]
    score[0, 3] = 0.31
    assert pose_nms(xy, score, box, box_score).index.tolist() == [1, 0]


# Keypoints that were not found


@pytest.mark.parametrize("k", [17, 136])
@pytest.mark.parametrize("found", [1, 4, 10])
def test_copies_with_few_keypoints_are_one_too(k, found, rng: Rng):
    people = copies(9, k, rng)
    people[0][:, found:] = np.nan
    alike = replace(WHOLE_BODY if k > 100 else BODY, match=1e9)
    for settings in (BODY, WHOLE_BODY, alike, replace(BODY, gamma=1e9)):
        got = pose_nms(*people, settings, parts_of(k) if k > 100 else ())
        assert got.index.tolist() == [0]
        np.testing.assert_allclose(got.xy[0, :found], people[0][0, :found], rtol=1e-6)
        assert np.isnan(got.xy[0, found:]).all()


@pytest.mark.parametrize("k", [17, 136])
def test_the_kept_pose_says_which_keypoints_there_are(k, rng: Rng):
    """A keypoint that only the other has is far from nothing: it is not taken over."""
    xy, score, box, box_score = copies(2, k, rng)
    score[0] = 0.9
    xy[0, 2] = xy[1, 5] = np.nan
    score[1, 5] = np.nan
    got = pose_nms(xy, score, box, box_score, parts=parts_of(k) if k > 100 else ())
    assert got.merged[0].tolist() == [0, 1]
    assert np.flatnonzero(np.isnan(got.xy[0, :, 0])).tolist() == [2]
    np.testing.assert_allclose(got.score[0, [5, 2]], [0.9, 1e-5], rtol=1e-6)


@pytest.mark.parametrize("k", [17, 136])
def test_people_without_any_keypoint_are_nobody(k, rng: Rng):
    people = copies(3, k, rng)
    people[0][:] = np.nan
    assert len(pose_nms(*people, parts=parts_of(k) if k > 100 else ()).index) == 0


def test_a_body_with_all_keypoints_is_as_in_the_reference(rng: Rng):
    xy, score, box, box_score = crowd(4, 3, 17, rng, 3)
    score = np.maximum(score, 0.01)
    one, other = (pose_nms(xy, score, box, box_score, compat=compat) for compat in (False, True))
    assert [group.tolist() for group in one.merged] == [group.tolist() for group in other.merged]
    np.testing.assert_array_equal(one.xy, other.xy)
