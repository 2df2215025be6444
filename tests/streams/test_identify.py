"""Who is who: laws of motion and of identities, and stories of people who come, go and meet."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from conftest import TOY, refused
from vitruvian.body.poses import Poses
from vitruvian.body.similar import oks
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17
from vitruvian.frame import Frame
from vitruvian.geometry.assignment import assignment
from vitruvian.geometry.regions import Regions
from vitruvian.streams.identify import Identify, Options
from vitruvian.streams.kalman import (
    ASPECT,
    ASPECT_SEEN,
    ASPECT_SPEED,
    PLACE,
    RATE,
    SPEED,
    KalmanBoxes,
)

SIZE = (1000, 600)  # pixels


def at(seconds: float, index: int = 0) -> Frame:
    """A frame of that moment, without pixels."""
    return Frame(None, index, seconds, "made up", size=SIZE)


# A body of COCO's keypoints in a box of 1 x 1, looking to the right and to the left.
RIGHT = np.random.default_rng(5).uniform(0.05, 0.95, (17, 2))
LEFT = RIGHT * [-1, 1] + [1, 0]


def bodies(*people: tuple[float, float], shapes: Iterable[np.ndarray] = (), **fields: Any) -> Poses:
    """People of 80 x 200 pixels whose boxes have their middles there."""
    n = len(people)
    middle = np.array(people, np.float32).reshape(n, 2)
    half = np.array([40, 100])
    box = np.concatenate([middle - half, middle + half], axis=1)
    shape = np.array([*shapes][:n] or [RIGHT] * n).reshape(n, 17, 2)
    given: dict[str, Any] = {
        "xy": (box[:, None, :2] + shape * [80, 200]).astype(np.float32),
        "score": np.full((n, 17), 0.9, np.float32),
        "box": box,
        "box_score": (0.9 - 0.01 * np.arange(n)).astype(np.float32),
        **fields,
    }
    return Poses(COCO17, person=np.full(n, -1), **given)


def numbers(identify: Identify, frames: Iterable[tuple[float, Poses]]) -> list[list[int]]:
    """Those of the people of every frame."""
    return [identify(at(seconds), poses).person.tolist() for seconds, poses in frames]


# KalmanBoxes


def test_two_short_steps_are_one_long_step():
    """Of boxes that keep their height, which the noise is measured by."""
    motion = KalmanBoxes.start(np.array([[10, 20, 50, 120]]))
    motion = replace(motion, speed=np.array([[30.0, -20, 0, 0]]))
    once, twice = motion.after(0.5), motion.after(0.2).after(0.3)
    np.testing.assert_allclose(twice.place, once.place)
    np.testing.assert_allclose(twice.spread, once.spread)
    np.testing.assert_allclose(once.place[0, :2], [30 + 15, 70 - 10])


def test_the_filter_is_the_kalman_filter_of_deepsort():
    """The same as with matrices of 8 x 8, if the continuous noise is taken for that of a step."""
    motion = KalmanBoxes.start(np.array([[100, 100, 140, 200]]))
    mean, step = np.array([*motion.place[0], 0, 0, 0, 0]), 1 / RATE
    height = mean[3]
    stds = [PLACE * height, PLACE * height, ASPECT, PLACE * height]
    drift = [SPEED * height, SPEED * height, ASPECT_SPEED, SPEED * height]
    start = [2 * stds[0], 2 * stds[1], ASPECT, 2 * stds[3]]
    cov = np.diag(np.square([*start, *(10 * drift[0], 10 * drift[1], ASPECT_SPEED, 10 * drift[3])]))
    forward = np.eye(8)
    forward[range(4), range(4, 8)] = 1  # speeds a frame
    for i in range(1, 6):
        box = np.array([[100 + 3 * i, 100, 140 + 3 * i, 200]])
        height = mean[3]
        noise = np.square([PLACE * height, PLACE * height, ASPECT, PLACE * height])
        turns = np.square([SPEED * height, SPEED * height, ASPECT_SPEED, SPEED * height])
        cov = forward @ cov @ forward.T + np.diag([*(noise + turns / 3), *turns])
        cov[range(4), range(4, 8)] += turns / 2
        cov[range(4, 8), range(4)] += turns / 2
        mean = forward @ mean
        motion = motion.after(step)
        np.testing.assert_allclose(motion.place[0], mean[:4], atol=1e-9)
        np.testing.assert_allclose(motion.spread[0, 0], np.diag(cov)[:4], rtol=1e-9)

        seen = np.array([box[0, [0, 2]].mean(), 150, 0.4, 100])
        innovation = cov[:4, :4] + np.diag(
            np.square([PLACE * height, PLACE * height, ASPECT_SEEN, PLACE * height])
        )
        want = (seen - mean[:4]) ** 2 / np.diag(innovation)
        np.testing.assert_allclose(motion.distance(box)[0, 0], want, atol=1e-9)
        gain = cov[:, :4] @ np.linalg.inv(innovation)
        mean, cov = mean + gain @ (seen - mean[:4]), cov - gain @ innovation @ gain.T
        motion = motion.seen(box)
        np.testing.assert_allclose(motion.place[0], mean[:4], atol=1e-9)
        np.testing.assert_allclose(motion.speed[0], mean[4:] * RATE, atol=1e-9)
    assert motion.speed[0, 0] > 45  # of 90 pixels a second


def test_half_a_box_does_not_throw_the_motion_off():
    """Legs that vanish behind something do not make a person fly."""
    whole, upper = np.array([[100, 100, 180, 300]]), np.array([[100, 100, 180, 180]])
    motion = KalmanBoxes.start(whole)
    for _ in range(20):
        motion = motion.after(1 / 30).seen(whole)
    motion = motion.after(1 / 30).seen(upper)
    assert abs(motion.speed[0, 1]) < 40  # pixels a second; the middle has moved by 60 at once


def test_a_box_without_a_size_has_a_motion():
    motion = KalmanBoxes.start(np.array([[5, 5, 5, 5]])).after(1.0).seen(np.array([[6, 5, 6, 5]]))
    assert np.isfinite(motion.place).all()
    assert np.isfinite(motion.box()).all()


# Similarity of poses


def test_a_pose_is_like_itself_and_unlike_one_elsewhere():
    two = bodies((100, 200), (400, 200))
    got = oks(two.xy, two.score, two.box, two.xy, two.score, COCO17)
    np.testing.assert_allclose(got, np.eye(2), atol=1e-6)


def test_oks_is_that_of_coco():
    """A body whose keypoints are all d aside: exp(-d^2 / (2 area (2 sigma)^2)), averaged."""
    one, other = bodies((100, 200)), bodies((104, 200))
    want = np.exp(-(4**2) / (2 * 80 * 200 * (2 * COCO17.sigmas.astype(float)) ** 2)).mean()
    got = oks(one.xy, one.score, one.box, other.xy, other.score, COCO17)
    np.testing.assert_allclose(got, [[want]], rtol=1e-4)


def test_what_is_missing_says_nothing():
    one = bodies((100, 200))
    half = one.xy.copy()
    half[:, :9] = np.nan
    got = oks(one.xy, one.score, one.box, half, one.score, COCO17)
    np.testing.assert_allclose(got, [[1]])
    nothing = np.full_like(half, np.nan)
    assert np.isnan(oks(one.xy, one.score, one.box, nothing, one.score, COCO17)).all()
    assert np.isnan(oks(one.xy, one.score, one.box, half, one.score * 0, COCO17)).all()


@pytest.mark.parametrize("skeleton", [TOY, BLAZEPOSE33], ids=lambda skeleton: skeleton.name)
def test_a_skeleton_needs_no_published_sigmas(skeleton, rng):
    xy, score = rng.uniform(0, 100, (2, len(skeleton), 2)), np.ones((2, len(skeleton)))
    got = oks(xy, score, np.array([[0, 0, 100, 100]] * 2), xy, score, skeleton)
    np.testing.assert_allclose(np.diag(got), 1)
    assert (got <= 1).all()


# Laws


def walk(
    rng: np.random.Generator, people: int, steps: int, rate: float = 20
) -> list[tuple[float, Poses]]:
    """People who walk about on lines of their own, some missing at times, in any order."""
    start, pace = rng.uniform(100, 900, people), rng.uniform(-80, 80, people)
    frames = []
    for i in range(steps):
        there = np.flatnonzero(rng.random(people) < 0.9)
        places = [(float(start[k] + pace[k] * i / rate), 100.0 + 90 * k) for k in there]
        score = rng.uniform(0.3, 0.9, len(there))
        frames.append((i / rate, bodies(*places, box_score=score)))
    return frames


def test_the_order_of_the_detections_does_not_matter(rng):
    one, other = Identify(), Identify()
    for seconds, poses in walk(rng, 5, 60):
        order = rng.permutation(len(poses))
        straight, mixed = one(at(seconds), poses), other(at(seconds), poses.take(order))
        np.testing.assert_array_equal(mixed.person, straight.person[order])
        np.testing.assert_array_equal(mixed.box, straight.box[order])


def test_numbers_are_from_1_without_holes_and_once_in_a_frame(rng):
    got = numbers(Identify(), walk(rng, 5, 60))
    for frame in got:
        named = [number for number in frame if number != -1]
        assert len(set(named)) == len(named)
        assert all(number >= 1 for number in named)
    every = set().union(*got) - {-1}
    assert every == set(range(1, len(every) + 1))


def test_it_says_the_same_every_time(rng):
    frames = walk(rng, 5, 60)
    assert numbers(Identify(), frames) == numbers(Identify(), frames)


def test_only_the_numbers_change(people: Callable[..., Any]):
    poses = people(2, everything=True)
    got = Identify()(at(0.0), poses)
    assert got.xy is poses.xy
    assert got.mask is poses.mask
    assert got.look is not None
    assert got.person.tolist() == got.look.person.tolist()
    assert sorted(got.person) == [1, 2]
    assert got.person.dtype == np.int64


@pytest.mark.parametrize("rate", [5, 10, 30, 60])
def test_who_walks_keeps_the_number_at_every_frame_rate(rate):
    frames = [(i / rate, bodies((100 + 250 * i / rate, 300))) for i in range(3 * rate)]
    assert numbers(Identify(), frames) == [[1]] * len(frames)


# Stories


def meeting(rate: float, *, gone: float = 0.0) -> list[tuple[float, Poses, list[str]]]:
    """One walks right, one left, and they pass each other after two seconds.

    The one behind is not seen for `gone` seconds in the middle.
    """
    frames = []
    for i in range(int(4 * rate)):
        t = i / rate
        seen = ["right", "left"] if abs(t - 2) >= gone / 2 else ["left"]
        places = {"right": (300 + 100 * t, 300.0), "left": (700 - 100 * t, 310.0)}
        shapes = {"right": RIGHT, "left": LEFT}
        poses = bodies(*(places[who] for who in seen), shapes=[shapes[who] for who in seen])
        frames.append((t, poses, seen))
    return frames


@pytest.mark.parametrize("rate", [5, 15, 30, 60])
@pytest.mark.parametrize("gone", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("pose", [0.0, 0.5])
def test_two_who_pass_each_other_keep_their_numbers(rate, gone, pose):
    identify, known = Identify(Options(pose=pose)), {}
    for seconds, poses, seen in meeting(rate, gone=gone):
        got = dict(zip(seen, identify(at(seconds), poses).person.tolist(), strict=True))
        known = known or got
        assert got.items() <= known.items(), seconds
    assert sorted(known.values()) == [1, 2]


@pytest.mark.parametrize("rate", [5, 30])
@pytest.mark.parametrize("away", [0.2, 0.5, 1.0, 2.0])
def test_who_is_hidden_for_a_moment_comes_back_under_the_same_number(away, rate):
    frames = []
    for i in range(int(6 * rate)):
        t = i / rate
        walker = [] if 2 <= t < 2 + away else [(100 + 100 * t, 300)]
        frames.append((t, bodies(*walker, (900, 400))))
    got = numbers(Identify(), frames)
    assert got[0] == got[-1] == [1, 2]
    assert set().union(*got) == {1, 2}


def leaving(back: float) -> list[tuple[float, Poses]]:
    """Somebody walks out of the frame to the right, and comes back there so much later."""
    out = [(i / 20, bodies((900 + 100 * i / 20, 300))) for i in range(21)]
    gone = [(i / 20, bodies()) for i in range(21, 21 + int(20 * back))]
    start = gone[-1][0]
    return [*out, *gone, *((start + i / 20, bodies((1000 - 5 * i, 300))) for i in range(1, 21))]


def test_who_left_comes_back_as_someone_new_where_nothing_tells():
    got = numbers(Identify(), leaving(3.0))
    assert got[:21] == [[1]] * 21
    assert got[-20:] == [[2]] * 20


def looks(frame: Frame, poses: Poses) -> np.ndarray:
    """What people look like: here, the direction that their bodies are made for."""
    first = (poses.xy[:, :, 0] - poses.box[:, None, 0]) / 80
    return first - 0.5


def test_appearance_says_who_has_come_back():
    got = numbers(Identify(appearance=looks), leaving(3.0))
    assert set().union(*got) == {1}


def test_after_a_while_nobody_is_remembered():
    assert numbers(Identify(Options(forget=2.5), looks), leaving(3.0))[-1] == [2]


def test_somebody_else_is_not_taken_for_who_left():
    frames = leaving(1.0)
    other = [(t, replace(p, xy=bodies((float(p.box[0, 0]) + 40, 300), shapes=[LEFT]).xy))
             for t, p in frames[-20:]]  # fmt: skip
    assert numbers(Identify(appearance=looks), [*frames[:-20], *other])[-1] == [2]


@pytest.mark.parametrize(("different", "last"), [(0.05, [2]), (2, [1])])
def test_a_strict_threshold_for_returns_need_not_stand_in_the_way_of_motion(different, last):
    """Somebody walks into the shade, and is not found in one frame there."""

    def in_the_light(frame: Frame, poses: Poses) -> np.ndarray:
        return np.repeat([[1.0, 2.0 if frame.seconds > 1 else 0.0]], len(poses), axis=0)

    frames = [(i / 10, bodies((300 + i, 300)) if i != 10 else bodies()) for i in range(20)]
    strict = Options(appearance=0.05, different=different)
    assert numbers(Identify(strict, in_the_light), frames)[-1] == last


def test_appearance_tells_what_motion_cannot():
    """Two meet behind something and turn back: motion takes each for the other."""
    frames = []
    for i in range(120):
        t = i / 30
        aside = 30 + 100 * abs(t - 2)
        poses = bodies((500 - aside, 300), (500 + aside, 300), shapes=[RIGHT, LEFT])
        frames.append((t, poses if abs(t - 2) > 0.4 else bodies()))
    assert numbers(Identify(), frames)[-1] == [2, 1]
    assert numbers(Identify(appearance=looks), frames)[-1] == [1, 2]


def test_appearance_may_be_unknown_of_some():
    """Rows of NaN and of zeros say nothing, and spoil nothing."""

    def sometimes(frame: Frame, poses: Poses) -> np.ndarray:
        rows = looks(frame, poses)
        rows[:: 1 + round(frame.seconds * 30) % 2] *= np.nan if frame.seconds < 1 else 0
        return rows

    frames = [(i / 30, bodies((300, 300), (500, 300), shapes=[RIGHT, LEFT])) for i in range(60)]
    assert numbers(Identify(appearance=sometimes), frames) == [[1, 2]] * 60


@pytest.mark.parametrize("rows", [np.zeros(2), np.zeros((1, 8))])
def test_appearance_must_say_something_of_everyone(rows):
    with refused("appearance gave", "for 2 people", "one row per person"):
        Identify(appearance=lambda frame, poses: rows)(at(0.0), bodies((1, 1), (300, 300)))


def test_appearance_must_always_be_as_long():
    identify = Identify(appearance=lambda frame, poses: np.ones((1, 8 + frame.index)))
    identify(at(0.0), bodies((100, 300)))
    with refused("of 8 in every frame"):
        identify(at(0.1, 1), bodies((100, 300)))


def test_after_a_cut_all_are_new():
    before = [(i / 30, bodies((200, 300), (400, 300))) for i in range(30)]
    after = [(i / 30, bodies((620, 350), (800, 350), (60, 400))) for i in range(30, 60)]
    got = numbers(Identify(), [*before, *after])
    assert got[29] == [1, 2]
    assert got[30] == got[59] == [3, 4, 5]
    # And nobody of the old scene is found in the new one, where motion would have it.
    later = bodies((620, 350), (800, 350), (60, 400), (230, 300))
    identify = Identify()
    numbers(identify, [*before, *after[:10]])
    assert identify(at(1.4), later).person.tolist() == [3, 4, 5, 6]


def test_nobody_in_the_frame_is_an_ordinary_answer():
    got = numbers(Identify(), [(0.0, bodies()), (0.1, bodies((200, 300))), (0.2, bodies())])
    assert got == [[], [1], []]
    assert len(Identify()(at(0.0), Poses.nobody(COCO17, "hips")).person) == 0


def test_one_frame_is_enough_for_numbers():
    assert numbers(Identify(), [(0.0, bodies((200, 300), (500, 300)))]) == [[1, 2]]


def test_after_a_long_gap_in_time_all_are_new_and_after_a_short_one_they_are_not():
    there = bodies((200, 300))
    assert numbers(Identify(), [(0.0, there), (5.0, there), (14.0, there)]) == [[1], [1], [2]]


@pytest.mark.parametrize("step", [0.0, -1.0])
def test_time_that_does_not_go_on_is_the_same_moment(step):
    frames = [(i * step, bodies((200 + 2 * i, 300), (600, 300))) for i in range(20)]
    assert numbers(Identify(), frames) == [[1, 2]] * 20


def test_poses_without_keypoints_are_told_apart_by_their_boxes():
    nothing = np.full((2, 17, 2), np.nan)
    places = [((200 + 3 * i, 300), (700 - 3 * i, 300)) for i in range(60)]
    frames = [(i / 30, bodies(*two, xy=nothing)) for i, two in enumerate(places)]
    assert numbers(Identify(), frames) == [[1, 2]] * 60


def test_who_has_no_box_gets_no_number():
    poses = bodies((200, 300), (500, 300))
    box = poses.box.copy()
    box[0] = np.nan
    assert numbers(Identify(), [(0.0, replace(poses, box=box))]) == [[-1, 1]]


def test_a_tiny_person_is_a_person():
    def speck(x: float) -> Poses:
        poses = bodies((x, 300))
        return replace(poses, box=np.array([[x, 300, x, 300]], np.float32), xy=poses.xy * 0 + x)

    assert numbers(Identify(), [(i / 30, speck(50 + 0.1 * i)) for i in range(30)]) == [[1]] * 30


def test_who_is_seen_faintly_once_gets_no_number_and_seen_twice_gets_one():
    faint = {"box_score": np.array([0.3], np.float32)}
    once = [(0.0, bodies((200, 300), **faint)), (0.1, bodies()), (0.2, bodies((600, 300)))]
    assert numbers(Identify(), once) == [[-1], [], [1]]
    twice = [(i / 10, bodies((200 + i, 300), **faint)) for i in range(3)]
    assert numbers(Identify(), twice) == [[-1], [1], [1]]


@pytest.mark.parametrize("before", [0, 5])
def test_who_is_found_twice_is_there_once(before):
    """Also where the two were known as two before: that is what a meeting looks like."""
    twice, once = (
        bodies((200, 300), (205, 303), (500, 300), (503, 300)),
        bodies((200, 300), (500, 300)),
    )
    identify = Identify()
    for i in range(before):
        identify(at(i / 30), once)
    for i in range(3):
        got = identify(at((before + i) / 30), twice)
        assert got.person.tolist() == [1, 2]
        np.testing.assert_array_equal(got.xy, twice.xy[[0, 2]])


def test_half_of_somebody_found_beside_the_whole_is_nobody():
    """YOLOv8n gives arms and head as somebody, with a box a quarter as large (pose2sim cam04)."""
    whole = bodies((200, 300))
    half = replace(whole, box=whole.box - [[0, 0, 0, 60]], box_score=np.full(1, 0.4, np.float32))
    seen = half.score * (half.xy[..., 1] < half.box[:, 3])
    both = Poses.join(whole, replace(half, score=seen.astype(np.float32)))
    assert numbers(Identify(), [(i / 30, both) for i in range(3)]) == [[1]] * 3


def test_memory_does_not_grow_with_the_length_of_a_stream():
    """Somebody new every two seconds of twenty minutes; only the last eight seconds are kept."""
    identify, most = Identify(appearance=lambda frame, poses: np.eye(700)[[frame.index]]), 0
    for i in range(600):
        identify(at(2.0 * i, i), bodies((100 + 17 * (i * 37 % 47), 300)))
        assert identify.people is not None
        most = max(most, len(identify.people))
    assert identify.given > 500
    assert most <= 5


def test_even_if_time_stands_still_memory_is_bounded(monkeypatch, rng):
    monkeypatch.setattr(sys.modules[Identify.__module__], "MOST_LOST", 20)
    identify = Identify(appearance=lambda frame, poses: rng.normal(0, 1, (len(poses), 64)))
    for _ in range(60):
        identify(at(0.0), bodies(tuple(rng.uniform(0, 1e6, 2))))
    assert identify.people is not None
    assert len(identify.people) == 21
    assert identify.people.number[0] == identify.given  # the last ones are kept
    assert identify.people.number.min() == identify.given - 20


def test_who_is_found_again_under_a_new_number_is_not_kept_twice():
    identify = Identify()
    numbers(identify, [(i / 30, bodies((200, 300))) for i in range(30)])
    # Too far off to be believed, and then where the first was.
    back = [(1 + i / 30, bodies((500 - min(10 * i, 300), 300))) for i in range(60)]
    assert numbers(identify, back)[-1] == [2]
    assert identify.people is not None
    assert identify.people.number.tolist() == [2]


def test_regions_of_the_next_frame_get_the_numbers_too():
    poses = bodies((200, 300))
    poses = replace(poses, look=Regions.boxes(poses.box, poses.box_score))
    got = Identify()(at(0.0), poses)
    assert got.look is not None
    assert got.look.person.tolist() == [1]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"forget": -1}, "forget is -1, want a number from 0"),
        ({"coast": "long"}, "coast is 'long', want a number from 0"),
        ({"pose": 1.5}, "pose is 1.5, want a number from 0 to 1"),
        ({"sure": True}, "sure is True, want a number from 0 to 1"),
        ({"reach": float("nan")}, "reach is nan, want a number from 0"),
    ],
)
def test_wrong_options_are_refused(wrong, words):
    with refused(words):
        Options(**wrong)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 3), (5, 2), (4, 6), (0, 2), (2, 0)])
def test_assignments_cost_the_least(shape: tuple[int, int], rng):
    from scipy.optimize import linear_sum_assignment

    for decimals in (1, 8):  # with equal costs, and without
        for _ in range(100):
            cost = np.round(rng.uniform(0, 2, shape), decimals)
            cost[rng.random(shape) < 0.3] = np.nan
            chosen = assignment(cost, 10 + np.arange(shape[1]), most=1)
            rows = np.flatnonzero(chosen >= 0)
            assert len(set(chosen[rows])) == len(rows)
            known = np.where(cost < 1, cost, 1)
            least = known[linear_sum_assignment(known)].sum()
            paid = cost[rows, chosen[rows] - 10]
            assert (paid < 1).all()
            assert paid.sum() + min(shape) - len(rows) == pytest.approx(least)
