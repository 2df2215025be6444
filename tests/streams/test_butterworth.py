"""The filter over recordings: what passes, what does not, gaps, uneven times, and memory."""

from dataclasses import replace

import numpy as np
import pytest

from bodies import rotation_about
from conftest import refused
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17, HALPE26, SMPL24
from vitruvian.body.track import tracks
from vitruvian.streams import butterworth
from vitruvian.streams.butterworth import Butterworth, Options, filtered, horizon, smooth
from vitruvian.streams.stream import steps_over_time, through
from vitruvian.streams.wanted import Wanted


def wave(hz: float, seconds: np.ndarray, size: float = 100.0) -> np.ndarray:
    return size * np.sin(2 * np.pi * hz * seconds)


def amplitude(values: np.ndarray, hz: float, seconds: np.ndarray) -> float:
    """Of a wave of that frequency, fitted to the middle half."""
    middle = slice(len(values) // 4, -len(values) // 4)
    turns = 2 * np.pi * hz * seconds[middle]
    waves = np.stack([np.sin(turns), np.cos(turns)], axis=1)
    return float(np.linalg.norm(np.linalg.lstsq(waves, values[middle], rcond=None)[0]))


EVEN = np.arange(600) / 60.0


@pytest.mark.parametrize("order", [2, 4, 8])
@pytest.mark.parametrize("cutoff", [1.0, 6.0, 12.0])
def test_at_the_cutoff_71_percent_pass_and_far_from_it_all_or_nothing(order, cutoff):
    """The frequency response is 1 / (1 + c^2 w^2n), c so that it is 1 / sqrt 2 at the cutoff."""
    options = Options(cutoff, order)
    for factor in (0.25, 0.5, 1.0, 2.0):
        hz = cutoff * factor
        got = amplitude(filtered(EVEN, wave(hz, EVEN), options), hz, EVEN) / 100
        # The bilinear transform bends frequencies: that of the filter is a tangent.
        bent = np.tan(np.pi * hz / 60) / np.tan(np.pi * cutoff / 60)
        want = 1 / (1 + (np.sqrt(2) - 1) * bent**order)
        assert got == pytest.approx(want, abs=0.01)


def test_it_does_not_lag():
    values = wave(2.0, EVEN) + np.random.default_rng(0).normal(0, 5, 600)
    smoothed = filtered(EVEN, values)
    lags = np.arange(-10, 11)
    fits = [
        np.dot(wave(2.0, EVEN)[50:-50], smoothed[50 + lag : len(EVEN) - 50 + lag]) for lag in lags
    ]
    assert lags[int(np.argmax(fits))] == 0


def test_what_does_not_move_and_what_moves_steadily_stay():
    """float32 of a few hundred pixels."""
    line = np.stack([np.full(600, 321.5), 40 + 30 * EVEN], axis=1)
    np.testing.assert_allclose(filtered(EVEN, line), line, atol=1e-3)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10])
def test_short_tracks_stay_finite_and_near(n, rng):
    values = rng.normal(100, 1, (n, 4))
    got = filtered(EVEN[:n], values)
    assert got.shape == values.shape
    assert np.abs(got - values).max() < 6
    if n == 1:
        np.testing.assert_array_equal(got, values.astype("f4"))


def test_uneven_times_are_real_times(rng):
    """A slow wave sampled unevenly comes back as it is and a fast one is gone, by 4 % of it."""
    seconds = np.cumsum(rng.uniform(0.01, 0.03, 500))
    slow, fast = wave(1.0, seconds), wave(18.0, seconds, 10)
    got = filtered(seconds, slow + fast)
    assert np.abs(got - slow)[30:-30].max() < 4
    dropped = np.sort(rng.choice(600, 450, replace=False))  # frames missing from an even video
    got = filtered(EVEN[dropped], wave(1.0, EVEN)[dropped])
    assert np.abs(got - wave(1.0, EVEN)[dropped])[30:-30].max() < 2


def test_short_gaps_are_filled_and_long_ones_are_not():
    values = wave(1.0, EVEN)
    gappy = values.copy()
    gappy[100:110] = np.nan  # 11 steps of a sixtieth: 0.18 s between what is known
    gappy[200:215] = np.nan
    gappy[:5] = gappy[-5:] = np.nan
    got = filtered(EVEN, gappy)
    assert np.isnan(got).sum() == 15 + 5 + 5
    assert np.isnan(got[200:215]).all()
    assert np.abs(got - values)[100:110].max() < 5  # of an amplitude of 100, through a turn of it


def test_the_sides_of_a_long_gap_do_not_know_of_each_other(rng):
    values = rng.normal(0, 1, 600)
    values[200:300] = np.nan
    other = values.copy()
    other[300:] += 1000
    np.testing.assert_array_equal(filtered(EVEN, values)[:200], filtered(EVEN, other)[:200])


def test_nothing_but_gaps_stays_nothing():
    assert np.isnan(filtered(EVEN, np.full((600, 2), np.nan))).all()
    assert filtered(EVEN[:0], np.zeros((0, 17, 2))).shape == (0, 17, 2)


def test_a_cutoff_above_what_the_frames_can_show_is_refused():
    with refused("6 Hz", "12 frames per second", "10", "lower"):
        filtered(np.arange(30) / 10.0, np.zeros(30))
    for options, word in (
        ({"cutoff_hz": 0}, "cutoff_hz"),
        ({"order": 3}, "order"),
        ({"gap": -1}, "gap"),
    ):
        with refused(word):
            Options(**options)


def over_time(pairs, **wanted):
    return through(steps_over_time(Wanted(**wanted)), iter(pairs))


@pytest.mark.parametrize("hz", [1e-9, -1, 0, float("nan"), float("inf")])
def test_a_cutoff_that_is_none_is_refused(hz):
    with refused("cutoff_hz is", "want 0.01 Hz or more"):
        Options(hz)


@pytest.mark.parametrize("rate", [5.0, 10.0, 12.0, 15.0, 30.0])
def test_the_usual_cutoff_is_lowered_to_what_frames_can_show(rate, rng):
    seconds = np.arange(60) / rate
    got = butterworth.lowered(seconds, Options())
    assert got.cutoff_hz == pytest.approx(6.0 if rate > 12 else 0.4 * rate)
    assert np.isfinite(filtered(seconds, rng.normal(0, 1, 60), got)).all()


def test_a_recording_of_12_frames_a_second_is_smoothed_and_it_is_said(people, frame, capsys):
    pairs = [(f, p) for f, p in walk(people, frame, COCO17, rate=12.0)[0]]
    got = list(over_time(pairs, smooth="butterworth"))
    told = capsys.readouterr().err
    assert told == ("vitruvian: frame rate too low for a cutoff of 6 Hz; used 4.8 Hz\n")
    assert len(got) == len(pairs)
    assert any((poses.xy != was.xy).any() for (_, poses), (_, was) in zip(got, pairs, strict=True))
    with refused("cutoff of 6 Hz", "give a lower cutoff"):
        list(over_time(pairs, smooth="butterworth", cutoff_hz=6.0))


@pytest.mark.parametrize("times", [(0, 1, 0.5, 0.2, 2), (0, 0, 0, 0, 0), (0, 0.04, 0.08, 1, 1e9)])
@pytest.mark.parametrize("mend", [True, False])
def test_times_of_any_record_are_smoothed_and_what_falls_is_said(
    times, mend, people, frame, capsys
):
    pairs = [(frame(i, t), people(2, COCO17)) for i, t in enumerate(times)]
    got = list(over_time(pairs, smooth="butterworth", repair=mend))
    assert [f.index for f, _ in got] == [0, 1, 2, 3, 4]
    assert all(np.isfinite(poses.xy).all() for _, poses in got)
    assert capsys.readouterr().err.count("not after") == (times[-1] < 1e9)


def test_the_sides_of_a_hole_in_time_do_not_know_of_each_other(rng):
    """No frames at all for some seconds, as of a camera that stood still, and no NaN between."""
    seconds = np.concatenate([np.arange(90) / 30, 9 + np.arange(90) / 30])
    values = rng.normal(0, 1, 180)
    other = values + np.where(seconds > 5, 1000, 0)
    np.testing.assert_array_equal(filtered(seconds, values)[:90], filtered(seconds, other)[:90])
    apart = np.concatenate(
        [filtered(seconds[:90], values[:90]), filtered(seconds[:90], values[90:])]
    )
    np.testing.assert_allclose(filtered(seconds, values), apart, atol=1e-4)


@pytest.mark.parametrize("last", [0.16, 5.0, 1e5, 1e9, 1e15])
@pytest.mark.parametrize("first", [0.0, 1e-9, 1e-6])
def test_times_far_apart_cost_no_more_than_others(first, last):
    seconds = np.array([-first, 0, 0.04, 0.08, 0.12, last])[0 if first else 1 :]
    got = filtered(seconds, np.arange(len(seconds), dtype=float), Options(1.0))
    assert np.isfinite(got).all()


# Tracks and streams


def walk(people, frame, skeleton, steps: int = 300, rate: float = 30.0, **fields):
    """One or two people who sway, with noise; the second is not always there."""
    rng = np.random.default_rng(3)
    still = people(2, skeleton, **fields)
    pairs, truth = [], []
    for i in range(steps):
        sway = wave(0.7, np.array(i / rate), 10).astype("f4")
        noise = rng.normal(0, 1, still.xy.shape).astype("f4")
        truth.append(still.xy + sway)
        poses = replace(still, xy=still.xy + sway + noise)
        if still.xyz is not None:
            poses = replace(poses, xyz=still.xyz + sway / 100 + noise[..., :1] / 50)
        if 100 <= i < 160:
            poses = poses.take([0])
        pairs.append((frame(i, i / rate), poses))
    return pairs, np.array(truth)


@pytest.mark.parametrize(
    ("skeleton", "everything"),
    [(COCO17, False), (BLAZEPOSE33, True), (HALPE26, False), (SMPL24, True)],
    ids=["yolo", "blazepose", "alphapose", "metrabs"],
)
def test_every_family_is_smoothed_and_its_raw_values_are_kept(people, frame, skeleton, everything):
    pairs, truth = walk(people, frame, skeleton, everything=everything)
    track = next(track for track in tracks(pairs) if track.person == 1)
    got = smooth(track)
    assert got.raw is track
    noise, left = (np.abs(values - truth[:, 0])[10:-10].std() for values in (track.xy, got.xy))
    assert left < noise
    pairs = [(track.xy, got.xy), (track.xyz, got.xyz)]
    assert (got.xyz is not None) == everything
    for raw, smoothed in pairs[: 1 + everything]:
        jitter = [np.abs(np.diff(values, 2, axis=0)).mean() for values in (raw, smoothed)]
        assert jitter[1] < jitter[0] / 3


@pytest.mark.parametrize("how", ["track", "stream"])
def test_metres_in_the_world_are_smoothed_as_those_from_the_camera(people, frame, how):
    """A linear filter does not mind where the camera stands: 1e-4 of metres in float32."""
    rotation, shift = rotation_about(np.array([0, 0.6, 0.8]), 50), np.array([3.0, 1, -2])
    pairs, _ = walk(people, frame, SMPL24, everything=True)
    pairs = [
        (at, replace(poses, world=(poses.xyz @ rotation.T + shift).astype("f4")))
        for at, poses in pairs
    ]
    if how == "stream":
        pairs = list(Butterworth(Options()).through(pairs))
    (track, *_) = tracks(pairs)
    got = track if how == "stream" else smooth(track)
    assert got.world is not None
    assert got.xyz is not None
    assert got.raw is not None
    np.testing.assert_allclose(got.world, got.xyz @ rotation.T + shift, atol=1e-4)
    assert np.abs(got.world - got.raw.world).max() > 0.001


def test_a_filled_keypoint_has_the_lower_score_beside_it(people, frame):
    pairs, _ = walk(people, frame, COCO17)
    (track, *_) = tracks(pairs)
    xy, score = track.xy.copy(), track.score.copy()
    xy[50:53, 4], score[50:53, 4], score[49, 4], score[53, 4] = np.nan, 0, 0.8, 0.6
    got = smooth(replace(track, xy=xy, score=score))
    assert np.isfinite(got.xy[50:53, 4]).all()
    np.testing.assert_allclose(got.score[50:53, 4], 0.6)


@pytest.mark.parametrize("everything", [False, True])
def test_a_stream_is_smoothed_as_the_whole_would_be(people, frame, everything):
    """A millionth of what the filter forgets, of hundreds of pixels, in float32."""
    pairs, _ = walk(people, frame, BLAZEPOSE33, everything=everything)
    whole = {}
    for track in tracks(pairs):
        for index, row in zip(track.index, smooth(track).xy, strict=True):
            whole[track.person, index] = row
    got = list(Butterworth(Options()).through(iter(pairs)))
    assert [frame.index for frame, _ in got] == list(range(len(pairs)))
    for (at, poses), (_, before) in zip(got, pairs, strict=True):
        assert poses.raw is before
        for person, xy in zip(poses.person.tolist(), poses.xy, strict=True):
            np.testing.assert_allclose(xy, whole[person, at.index], atol=2e-3)


def test_a_stream_holds_no_more_than_it_needs(people, frame):
    """However long the recording: what is ahead of what was given is bounded."""
    pairs, _ = walk(people, frame, COCO17, 900)
    taken = []

    def watched():
        for pair in pairs:
            taken.append(pair[0].seconds)
            yield pair

    ahead = [taken[-1] - at.seconds for at, _ in Butterworth(Options()).through(watched())]
    assert max(ahead) <= 2 * horizon(Options()) + 0.1


def test_nobody_one_frame_and_two_sources(people, frame):
    from vitruvian.body.poses import Poses

    assert not list(Butterworth(Options()).through([]))
    ((_, poses),) = Butterworth(Options()).through([(frame(), Poses.nobody(COCO17))])
    assert len(poses) == 0
    one = people(1, COCO17)
    ((_, poses),) = Butterworth(Options()).through([(frame(), one)])
    np.testing.assert_array_equal(poses.xy, one.xy)
    two = [(frame(i, i / 30, source=name), people(1, COCO17)) for name in "ab" for i in range(20)]
    got = list(Butterworth(Options()).through(two))
    assert [at.source for at, _ in got] == ["a"] * 20 + ["b"] * 20


def test_who_has_no_number_is_left_alone(people, frame):
    pairs = [(frame(i, i / 30), people(2, COCO17, person=np.array([-1, 3]))) for i in range(30)]
    for (_, got), (_, before) in zip(Butterworth(Options()).through(pairs), pairs, strict=True):
        np.testing.assert_array_equal(got.xy[0], before.xy[0])
        assert (got.xy[1] != before.xy[1]).any()
