"""Following and smoothing: the paper's filter, and stories of people who come, go and meet."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from math import pi
from typing import Any

import numpy as np
import pytest

from conftest import TOY, refused
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.options import StreamDefaults
from vitruvian.models.top_down import Started
from vitruvian.streams.identify import Identify
from vitruvian.streams.one_euro import IMAGE, REGION, VISIBILITY, WORLD, OneEuro, OneEuroFilter
from vitruvian.streams.stream import Stream
from vitruvian.streams.wanted import Wanted

People = Callable[..., Any]  # makes Poses
Frames = Callable[..., Any]  # makes a Frame


# The filter


class Scalar:
    """One number, with Python's doubles: specs/blazepose.md 6.2, which is Casiez et al. 2012."""

    def __init__(self, min_cutoff: float, beta: float) -> None:
        self.min_cutoff, self.beta, self.last = min_cutoff, beta, None

    def __call__(self, value: float, seconds: float, scale: float = 1.0) -> float:
        if self.last is None:
            self.speed, self.smooth = 0.0, value
        else:
            rate = 1 / (seconds - self.last)
            speed = (value - self.raw) * scale * rate
            self.speed += self.alpha(1.0, rate) * (speed - self.speed)
            cutoff = self.min_cutoff + self.beta * abs(self.speed)
            self.smooth += self.alpha(cutoff, rate) * (value - self.smooth)
        self.raw, self.last = value, seconds
        return self.smooth

    @staticmethod
    def alpha(cutoff: float, rate: float) -> float:
        return 1 / (1 + (1 / (2 * pi * cutoff)) / (1 / rate))


def uneven(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n,) seconds between 5 and 100 ms apart."""
    return np.cumsum(rng.uniform(0.005, 0.1, n))


@pytest.mark.parametrize("constants", [IMAGE, WORLD, REGION, (1.0, 0.0)], ids=str)
@pytest.mark.parametrize("scale", [1.0, 1 / 300])
def test_every_element_is_filtered_as_the_paper_says(constants, scale, rng):
    """1e-4: thirty steps in float32, each worth 6e-8 of values of a few hundred."""
    values = (rng.normal(300, 40, (30, 2, 3)) + np.arange(30)[:, None, None]).astype(np.float32)
    ours, theirs = OneEuroFilter(*constants), [Scalar(*constants) for _ in range(6)]
    for value, seconds in zip(values, uneven(rng, 30), strict=True):
        want = [one(float(v), seconds, scale) for one, v in zip(theirs, value.ravel(), strict=True)]
        got = ours(value, seconds, scale)
        np.testing.assert_allclose(got.ravel(), want, rtol=1e-6, atol=1e-4)
        assert got.dtype == np.float32


def test_the_first_value_passes():
    value = np.array([3.5, -2], np.float32)
    np.testing.assert_array_equal(OneEuroFilter(*IMAGE)(value, 7.0), value)


def test_what_does_not_move_stays():
    one, value = OneEuroFilter(*IMAGE), np.array([3.5, -2], np.float32)
    for seconds in (0.0, 0.1, 0.13, 5.0):
        np.testing.assert_array_equal(one(value, seconds), value)


@pytest.mark.parametrize("seconds", [1.0, 0.9])
def test_at_a_time_that_is_not_later_the_value_comes_back_as_it_is(seconds):
    one, other = OneEuroFilter(*IMAGE), OneEuroFilter(*IMAGE)
    for each in (one, other):
        each(np.zeros(1, np.float32), 0.9)
        each(np.ones(1, np.float32), 1.0)
    np.testing.assert_array_equal(one(np.full(1, 7, np.float32), seconds), 7)
    # And it has changed nothing.
    np.testing.assert_array_equal(
        one(np.full(1, 2, np.float32), 1.1), other(np.full(1, 2, np.float32), 1.1)
    )


def test_noise_is_damped_and_a_step_is_followed(rng):
    one = OneEuroFilter(*WORLD)
    noise = rng.normal(0, 0.002, 100).astype(np.float32)
    smooth = np.array([one(noise[i : i + 1], i / 30)[0] for i in range(100)])
    assert smooth[20:].std() < noise[20:].std() / 2
    after = [one(np.ones(1, np.float32), (100 + i) / 30)[0] for i in range(30)]
    assert after[-1] > 0.95


def test_a_point_that_was_missing_for_a_moment_comes_back():
    """NaN is how a missing keypoint is written; it must not stay in the filter for good."""
    one, there = OneEuroFilter(*IMAGE), np.ones(1, np.float32)
    one(there, 0.0)
    assert np.isnan(one(there * np.nan, 0.1)).all()
    assert np.isfinite(one(there, 0.2)).all()
    assert np.isfinite(one(there, 0.3)).all()


# Smoothing people


def smoother() -> Callable[[Poses, float], Poses]:
    """A fresh step, for poses of frames at some seconds."""
    step = OneEuro()
    return lambda poses, seconds: step(Frame(None, seconds=seconds), poses)


def stream(people: People, n: int, steps: int = 12) -> list[Any]:
    """The same n people in every frame, jittering; their regions are 30 px wide."""

    def look(poses: Any) -> Regions:
        top = poses.look.centre - np.array([0, 15], np.float32)
        return Regions.upright(poses.look.centre, top, poses.look.score, poses.person)

    frames = [people(n, everything=True) for _ in range(steps)]
    return [replace(poses, look=look(poses)) for poses in frames]


PARTS = ("xy", "xyz", "depth", "score")


def test_without_a_next_region_the_box_says_how_large_a_person_is(people: People, rng):
    box = np.array([[0, 0, 40, 20]], np.float32)  # as large as the regions of `stream`
    smooth, other = smoother(), smoother()
    for poses, seconds in zip(stream(people, 1), uneven(rng, 12), strict=True):
        want, got = other(poses, seconds), smooth(replace(poses, look=None, box=box), seconds)
        np.testing.assert_array_equal(got.xy, want.xy)
        assert got.look is None
        assert got.raw is not None


def test_who_has_no_number_is_not_smoothed(people: People, rng):
    """And two without a number are not taken for one person."""
    smooth, alone = smoother(), smoother()
    for poses, seconds in zip(stream(people, 3), uneven(rng, 12), strict=True):
        some = replace(poses, person=np.array([-1, 7, -1]))
        got = smooth(some, seconds)
        np.testing.assert_array_equal(got.xy[[0, 2]], poses.xy[[0, 2]])
        np.testing.assert_array_equal(got.xy[1:2], alone(some.take([1]), seconds).xy)


def test_every_part_of_a_person_is_smoothed_by_its_own_filter(people: People, rng):
    """Pixels over the person's size for image and region, metres in 3D, a low-pass for scores."""
    poses, times, smooth = stream(people, 1), uneven(rng, 12), smoother()
    image = [Scalar(*IMAGE) for _ in range(9)]  # x and y of three keypoints, then depth
    world = [Scalar(*WORLD) for _ in range(9)]
    region = [Scalar(*REGION) for _ in range(4)]
    score, before = poses[0].score[0].astype(float), times[0]
    for each, seconds in zip(poses, times, strict=True):
        got: Any = smooth(each, seconds)
        scale = 1 / 30
        points = [*each.xy[0].ravel(), *each.depth[0]]
        want = [one(float(v), seconds, scale) for one, v in zip(image, points, strict=True)]
        np.testing.assert_allclose([*got.xy[0].ravel(), *got.depth[0]], want, atol=1e-4)
        want = [one(float(v), seconds) for one, v in zip(world, each.xyz[0].ravel(), strict=True)]
        np.testing.assert_allclose(got.xyz[0].ravel(), want, atol=1e-5)
        ends = [*each.look.centre[0], *each.look.tops()[0]]
        want = [one(float(v), seconds, scale) for one, v in zip(region, ends, strict=True)]
        np.testing.assert_allclose([*got.look.centre[0], *got.look.tops()[0]], want, atol=1e-3)
        score += (1 - (1 - VISIBILITY) ** (30 * (seconds - before))) * (each.score[0] - score)
        np.testing.assert_allclose(got.score[0], score, atol=1e-5)
        before = seconds


@pytest.mark.parametrize("depth", [True, False])
def test_xy_is_smoothed_the_same_with_depth_and_without(depth, people: People, rng):
    poses, times = stream(people, 2), uneven(rng, 12)
    one, other = smoother(), smoother()
    for each, seconds in zip(poses, times, strict=True):
        bare = replace(each, depth=each.depth if depth else None)
        np.testing.assert_array_equal(other(bare, seconds).xy, one(each, seconds).xy)


@pytest.mark.parametrize("rate", [6, 15, 30, 60])
def test_scores_rise_as_fast_at_every_frame_rate(rate, people: People):
    """A second at 1 after a second at 0: 1 - 0.9 ** 30, what the reference has at 30 frames/s."""
    smooth, (poses,) = smoother(), stream(people, 1, 1)
    smooth(replace(poses, score=np.zeros((1, 3), np.float32)), 0.0)
    there = replace(poses, score=np.ones((1, 3), np.float32))
    got = [smooth(there, (i + 1) / rate).score for i in range(rate)]
    np.testing.assert_allclose(got[-1], 1 - 0.9**30, atol=1e-5)


def test_what_was_measured_is_kept_beside_what_was_smoothed(people: People):
    smooth: Any = smoother()
    for i, poses in enumerate(stream(people, 2, 4)):
        before = {
            field.name: np.copy(getattr(poses, field.name))
            for field in fields(poses)
            if isinstance(getattr(poses, field.name), np.ndarray)
        }
        got = smooth(poses, i / 30)
        assert got.raw is poses
        for name, value in before.items():
            np.testing.assert_array_equal(getattr(poses, name), value, name)
        np.testing.assert_array_equal(got.person, poses.person)
        np.testing.assert_array_equal(got.look.person, poses.look.person)


def test_results_are_the_caller_s_to_change(people: People):
    """The filters' memory is their own."""
    one, other = smoother(), smoother()
    for i, poses in enumerate(stream(people, 1, 4)):
        spoilt, kept = one(poses, i / 30), other(poses, i / 30)
        for name in PARTS:
            np.testing.assert_array_equal(getattr(spoilt, name), getattr(kept, name), name)
            getattr(spoilt, name)[:] = 1e3


def test_people_do_not_influence_each_other(people: People):
    """Together, also in changing order, they are smoothed as each would be alone."""
    together, alone = smoother(), [smoother(), smoother(), smoother()]
    for i, poses in enumerate(stream(people, 3)):
        order = [(i + k) % 3 for k in range(3)]
        got = together(poses.take(order), i / 30)
        for row, who in enumerate(order):
            single = alone[who](poses.take([who]), i / 30)
            for name in PARTS:
                np.testing.assert_array_equal(
                    getattr(got, name)[row], getattr(single, name)[0], name
                )


def test_whoever_was_lost_starts_anew(people: People):
    """All filters do, not only those of the picture: the reference forgets to, we do not."""
    smooth, poses = smoother(), stream(people, 2, 6)
    for i in range(3):
        smooth(poses[i], i / 30)
    smooth(poses[3].take([0]), 3 / 30)  # the second one is gone
    got: Any = smooth(poses[4], 4 / 30)
    for name in PARTS:
        value, raw = getattr(got, name), getattr(poses[4], name)
        np.testing.assert_array_equal(value[1], raw[1], name)
        assert (value[0] != raw[0]).any(), name
    np.testing.assert_allclose(got.look.tops()[1], poses[4].look.tops()[1], atol=1e-4)


def test_nobody_is_smoothed_to_nobody(people: People):
    smooth: Any = smoother()
    (poses,) = stream(people, 1, 1)
    smooth(poses, 0.0)
    assert len(smooth(Poses.nobody(TOY, "hips"), 0.1)) == 0
    np.testing.assert_array_equal(smooth(poses, 0.2).xy, poses.xy)


# Following

SIDE = 40.0  # pixels, of everyone's region
SIZE = (640, 480)  # of the frames
HALF = np.array([10, 20], np.float32)  # of the sides of a box
Place = tuple[float, float]


class Street:
    """A model that sees a plan: for each frame, who is where. It counts how it is asked.

    Landmarks go to the nearest person within `SIDE` of the middle of a region, as a network's do.
    `detects(i)` is what the detector says in frame i; everyone who is there.
    """

    def __init__(self, *plan: Sequence[Place], most: int = 2) -> None:
        self.plan, self.most, self.wanted = plan, most, StreamDefaults()
        self.found_in: list[int] = []
        self.looked: list[int] = []  # regions that the landmark network got, call by call
        self.detects: Callable[[int], Sequence[Place]] = lambda i: plan[i]

    @staticmethod
    def regions(places: np.ndarray, person: np.ndarray) -> Regions:
        n = len(places)
        score = np.linspace(0.9, 0.8, n, dtype=np.float32)
        return Regions.upright(places, places - np.array([0, SIDE / 2], np.float32), score, person)

    def find(self, frames) -> list[Regions]:
        (frame,) = frames
        self.found_in.append(frame.index)
        places = np.array(self.detects(frame.index), np.float32).reshape(-1, 2)
        return [self.regions(places, np.full(len(places), -1))]

    def start(self, frame, look) -> Started:
        return Started(frame, look, lambda: None, lambda: self([frame], [look])[0])

    def __call__(self, frames, look=None) -> list[Poses]:
        (frame,), (regions,) = frames, look or [Regions.none()]
        self.looked.append(len(regions))
        people = np.array(self.plan[frame.index], np.float32).reshape(-1, 2)
        if not len(people) or not len(regions):
            return [Poses.nobody(TOY)]
        away = np.linalg.norm(regions.centre[:, None] - people[None], axis=-1)
        there = away.min(axis=1) < SIDE
        nearest, person = people[away.argmin(axis=1)][there], regions.person[there]
        n = len(nearest)
        return [
            Poses(
                TOY,
                xy=np.repeat(nearest[:, None], 3, axis=1),
                score=np.ones((n, 3), np.float32),
                box=np.concatenate([nearest - HALF, nearest + HALF], axis=1),
                box_score=np.ones(n, np.float32),
                person=person,
                look=self.regions(nearest, person),
            )
        ]


def following(model: Street, **wanted: Any) -> Stream:
    """A stream that looks for people where they were, and smooths them."""
    return Stream(model, Wanted(**{"smooth": True, "detect_every": 5, "confirm": False, **wanted}))  # type: ignore[arg-type]


def numbers(model: Street, frame: Frames, **options) -> list[list[int]]:
    """Who is in each frame of the plan."""
    follow = following(model, **{"smooth": False, **options})
    return [follow(frame(i, i / 30, size=SIZE)).person.tolist() for i in range(len(model.plan))]


A, B, C = (100.0, 100.0), (300.0, 100.0), (500.0, 100.0)


def test_everybody_gets_a_number_from_one_and_keeps_it(frame: Frames):
    plan = [[(100 + 3 * i, 100), (300 - 2 * i, 100 + 2 * i)] for i in range(12)]
    assert numbers(Street(*plan), frame) == [[1, 2]] * 12


def test_a_number_is_never_used_again(frame: Frames):
    """Not even for somebody who appears where another was, long after."""
    model = Street([A, B], *[[A]] * 300, [A, B], [A, B], most=2)
    got = numbers(model, frame, detect_every=1)
    assert (got[0], got[1], got[-1]) == ([1, 2], [1], [1, 3])


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("away", [1, 20, 60])
def test_who_is_hidden_for_a_moment_comes_back_under_the_same_number(away, every, frame: Frames):
    """Three people, of whom two are out of sight, one after the other."""
    plan = [[A, B, C]] * 10 + [[A, C]] * away + [[A, B, C]] * 10 + [[B, C]] * away
    got = numbers(Street(*plan, *[[A, B, C]] * 10, most=3), frame, detect_every=every)
    assert got[9] == got[19 + away] == got[-1] == [1, 2, 3]
    assert got[10] == [1, 3]
    assert got[20 + away] == [2, 3]
    assert {who for row in got for who in row} == {1, 2, 3}


@pytest.mark.parametrize("first", [0, 1])
def test_a_region_that_leads_to_somebody_else_takes_no_number_along(first, frame: Frames):
    """One walks behind another, whom both regions show for a while; the other stays who that is."""
    still, ways = (220.0, 100.0), [(100.0 + 2 * i, 100.0) for i in range(120)]
    there = [[still] if abs(way[0] - 220) < 24 else [way, still] for way in ways]
    model = Street(*[each[:: 1 - 2 * first] for each in there], most=2)
    follow: Any = following(model, smooth=False, detect_every=1)
    walks = stays = -1
    for i, way in enumerate(ways):
        poses = follow(frame(i, i / 30, size=SIZE))
        if i == 0:
            walks, stays = poses.person[np.argsort(poses.xy[:, 0, 0])].tolist()
        where = dict(zip(poses.person.tolist(), poses.xy[:, 0, 0].tolist(), strict=True))
        assert where == ({stays: 220.0} if len(there[i]) == 1 else {walks: way[0], stays: 220.0})


def test_two_who_are_followed_onto_one_body_are_one(frame: Frames):
    """Poses tell, where the regions of the next frame are far from each other."""

    class Apart(Street):
        def __call__(self, frames, look=None) -> list[Poses]:
            (poses,) = super().__call__(frames, look)
            far = np.arange(len(poses))[:, None] * np.array([[30.0, 0]], np.float32)
            if poses.look is None:
                return [poses]
            return [replace(poses, look=replace(poses.look, centre=poses.look.centre + far))]

    model = Apart(*[[A]] * 6, most=2)
    model.detects = lambda i: [A, (A[0] + 30, A[1])]
    assert numbers(model, frame, detect_every=1) == [[1]] * 6


def test_people_stay_in_order_and_newcomers_come_last(frame: Frames):
    """Whatever order the detector has them in."""
    model = Street([A, B], [B], [C, B, A], [A, B, C], most=3)
    assert numbers(model, frame, detect_every=1) == [[1, 2], [2], [1, 2, 3], [1, 2, 3]]


def test_the_detector_rests_while_everyone_asked_for_is_followed(frame: Frames):
    model = Street(*[[A, B, C]] * 20, most=2)
    assert numbers(model, frame) == [[1, 2]] * 20
    assert model.found_in == [0]


@pytest.mark.parametrize("every", [1, 3, 5])
def test_with_fewer_people_than_asked_for_it_runs_once_in_a_while(every, frame: Frames):
    model = Street(*[[A]] * 16, most=2)
    assert numbers(model, frame, detect_every=every) == [[1]] * 16
    assert model.found_in == list(range(0, 16, every))


def test_with_nobody_it_runs_in_every_frame(frame: Frames):
    model = Street([], [], [], [A], [A], most=1)
    assert numbers(model, frame) == [[], [], [], [1], [1]]
    assert model.found_in == [0, 1, 2, 3]


def test_when_somebody_is_lost_it_runs_at_once(frame: Frames):
    model = Street(*[[A, B]] * 3, *[[A]] * 12, most=2)
    numbers(model, frame)
    assert model.found_in == [0, 3, 8, 13]


def test_somebody_who_jumps_is_found_again_in_the_same_frame(frame: Frames):
    model = Street([A], [A], [C], [C], most=1)
    assert numbers(model, frame) == [[1], [1], [2], [2]]


def test_a_newcomer_is_found_within_so_many_frames(frame: Frames):
    model = Street(*[[A]] * 7, *[[B, A]] * 10, most=2)
    got = numbers(model, frame, detect_every=5)
    assert got[9] == [1]
    assert got[10:] == [[1, 2]] * 7


def test_a_new_detection_replaces_nobody_who_is_followed(frame: Frames):
    """Neither one on top of the person, nor one that overlaps less but leads to the same body."""
    for off in (3, 30):
        model = Street(*[[A]] * 6, most=2)
        model.detects = lambda i, off=off: [A] if i == 0 else [(A[0] + off, A[1])]
        assert numbers(model, frame, detect_every=1) == [[1]] * 6
    assert model.looked[:4] == [0, 1, 1, 1]  # one look at who is known, one at the detection


def test_a_detection_of_somebody_known_is_not_even_looked_at(frame: Frames):
    model = Street(*[[A]] * 4, most=2)
    numbers(model, frame, detect_every=1)
    assert model.looked == [0, 1, *[1, 0] * 3]


def test_two_regions_that_become_one_are_one_of_the_two(frame: Frames):
    """Two people meet, and the landmarks of both go to the one in front."""
    plan = [[(100 + 2 * i, 100), (220 - 2 * i, 100)] for i in range(28)]
    got = numbers(Street(*plan, *[[(155, 100)]] * 3, most=2), frame)
    assert got[:20] == [[1, 2]] * 20
    assert all(row in ([1], [2]) for row in got[28:])


def test_somebody_between_two_who_become_one_is_left_alone(frame: Frames):
    plan = [[(100 + 2 * i, 100), B, (220 - 2 * i, 100)] for i in range(28)]
    got = numbers(Street(*plan, *[[(155, 100), B]] * 2, most=3), frame)
    assert got[:20] == [[1, 2, 3]] * 20
    assert all(len(row) == 2 for row in got[28:])


def test_no_more_are_followed_than_asked_for_and_the_likeliest_first(frame: Frames):
    model = Street([A, B, C], [A, B, C], [B, C], [A, B, C], most=2)
    follow: Any = following(model, smooth=False)
    poses = [follow(frame(i, i / 30)) for i in range(4)]
    assert [each.person.tolist() for each in poses] == [[1, 2], [1, 2], [2, 3], [2, 3]]
    np.testing.assert_array_equal(poses[-1]["nose"].xy, [B, C])


def test_numbers_are_also_those_of_the_next_regions(frame: Frames):
    follow: Any = following(Street([A], [A, B], [B], most=2), detect_every=1)
    for i in range(3):
        poses = follow(frame(i, i / 30))
        np.testing.assert_array_equal(poses.look.person, poses.person)
        np.testing.assert_array_equal(follow.find.look.person, poses.person)


@pytest.mark.parametrize("seconds", [0.5, 0.4, float("nan")])
def test_time_must_go_on(seconds, frame: Frames):
    follow: Any = following(Street(*[[A]] * 3))
    follow(frame(0, 0.5))
    with refused("frame 1 of 'clip.mp4'", "0.5 s", "must increase"):
        follow(frame(1, seconds))


def test_people_are_followed_into_pictures_of_another_size(frame: Frames):
    """A stream that becomes half as large shows the same people at half the place."""
    x, y = A
    follow: Any = following(Street([A], [A], [(x / 2, y / 2)], most=1), detect_every=9)
    follow(frame(0, 0.0, size=(640, 480)))
    follow(frame(1, 0.1, size=(640, 480)))
    poses = follow(frame(2, 0.2, size=(320, 240)))
    assert poses.person.tolist() == [1]
    np.testing.assert_array_equal(poses["nose"].xy, [(x / 2, y / 2)])


@pytest.mark.parametrize("by", [(0.5, 0.5), (3.0, 3.0), (1.5, 1.0)])
def test_people_keep_their_numbers_in_pictures_of_another_size(by, people: People, frame: Frames):
    identify, poses = Identify(), people(2, COCO17)
    size = (640, 480)
    numbers = identify(frame(0, 0.0, size=size), poses).person.tolist()
    scaled = replace(
        poses, xy=poses.xy * np.float32(by), box=poses.box * np.tile(np.float32(by), 2)
    )
    size = int(640 * by[0]), int(480 * by[1])
    assert identify(frame(1, 0.1, size=size), scaled).person.tolist() == numbers


def test_following_smooths_and_forgets_with_the_person(frame: Frames):
    """Somebody new passes unfiltered; somebody followed lags behind what was measured."""
    follow: Any = following(Street([A], [(104, 100)], [B], most=1))
    first, second, third = (follow(frame(i, i / 30)) for i in range(3))
    np.testing.assert_array_equal(first.xy, first.raw.xy)
    np.testing.assert_array_equal(second.raw["nose"].xy, [(104, 100)])
    assert 100 < second["nose"].xy[0, 0] < 104
    np.testing.assert_array_equal(third["nose"].xy, [B])
    assert third.person.tolist() == [2]


def test_smoothing_can_be_left_out(frame: Frames):
    follow: Any = following(Street([A], [(104, 100)], most=1), smooth=False)
    follow(frame(0, 0.0))
    poses = follow(frame(1, 0.1))
    assert poses.raw is None
    np.testing.assert_array_equal(poses["nose"].xy, [(104, 100)])


def test_two_streams_know_nothing_of_each_other(frame: Frames):
    model = Street(*[[A]] * 3, most=1)
    one, other = following(model), following(model)
    for i in range(3):
        assert one(frame(i, i / 30)).person.tolist() == [1]
        assert other(frame(i, i / 30)).person.tolist() == [1]


def test_metres_in_the_world_are_smoothed_too(people):
    """By filters of their own: shifted metres have the same speeds."""
    smooth, got = smoother(), list[Any]()
    for i in range(10):
        poses = people(1, everything=True)
        got.append(smooth(replace(poses, world=poses.xyz + np.float32(3)), i / 30))
    assert (got[-1].xyz != got[-1].raw.xyz).any()
    np.testing.assert_allclose(got[-1].world, got[-1].xyz + 3, atol=1e-5)
