"""Repetitions: cycles of an angle, mean and spread over them."""

import numpy as np
import pytest

from vitruvian.analysis.cycles import LEAST, PERCENT, Repetitions, find_cycles

NAN = float("nan")


def bends(count: float, every: float = 1.0, rate: float = 30.0, most: float = 60.0):
    """Seconds and degrees of a knee that bends so many times; it begins straight."""
    seconds = np.arange(round(count * every * rate)) / rate
    return seconds, most * (1 - np.cos(2 * np.pi * seconds / every)) / 2


@pytest.mark.parametrize("rate", [10.0, 30.0, 120.0])
@pytest.mark.parametrize("every", [0.7, 1.0, 3.0])
def test_a_cycle_goes_from_one_maximum_to_the_next(every, rate):
    seconds, values = bends(8, every, rate)
    cycles = find_cycles(seconds, values)
    assert len(cycles) == 7
    np.testing.assert_allclose(cycles[:, 0], every * (np.arange(7) + 0.5), atol=1.01 / rate)
    np.testing.assert_array_equal(cycles[1:, 0], cycles[:-1, 1])


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(0),
        np.zeros(1),
        np.full(300, NAN),
        np.full(300, 40.0),
        40 + np.random.default_rng(0).normal(0, 1, 300),
        bends(3)[1],
        bends(8, most=8.0)[1],
        np.linspace(0, 90, 300),
    ],
)
def test_what_does_not_repeat_at_least_three_times_has_none(values):
    assert find_cycles(np.arange(len(values)) / 30, values).shape == (0, 2)


def test_noise_swaps_and_small_bends_between_are_no_cycles():
    """As of walking: the knee also bends a little while it carries the body."""
    seconds, values = bends(8)
    values = values + 9 * (1 + np.sin(4 * np.pi * seconds + 1))
    values = values + np.random.default_rng(1).normal(0, 1.5, len(values))
    values[[65, 66, 125, 126]] += 50  # two frames each, as where left and right are swapped
    assert len(find_cycles(seconds, values)) == 7


def test_pauses_and_gaps_are_left_out():
    seconds, values = bends(12)
    rest = np.concatenate([values[:120], np.zeros(150), values[120:]])
    cycles = find_cycles(np.arange(len(rest)) / 30, rest)
    assert len(cycles) == 10
    np.testing.assert_allclose(cycles[:, 1] - cycles[:, 0], 1, atol=0.1)
    values[200:220] = NAN  # between 6.7 and 7.3 s
    cycles = find_cycles(seconds, values)
    assert len(cycles) == 9
    assert not ((cycles[:, 0] < 6.9) & (cycles[:, 1] > 7.1)).any()


def test_frames_need_not_be_evenly_spaced():
    seconds = np.sort(np.random.default_rng(2).uniform(0, 10, 400))
    cycles = find_cycles(seconds, -60 * np.cos(2 * np.pi * seconds))
    assert len(cycles) == 9
    np.testing.assert_allclose(cycles[:, 0], np.arange(9) + 0.5, atol=0.06)


def test_all_angles_are_averaged_over_the_cycles_of_the_largest_that_repeats():
    seconds, knee = bends(9)
    elbow = 20 + 10 * np.sin(2 * np.pi * seconds)
    fall = np.linspace(0, 170, len(seconds))  # a larger range, but it does not repeat
    found = Repetitions(("trunk", "elbow", "knee"))
    cycles = found.add(seconds, np.stack([fall, elbow, knee], axis=-1))
    assert found.reference == "knee"
    assert found.count == 8
    assert [(one.number, one.angle) for one in cycles[:3]] == [
        *((1, "trunk"), (1, "elbow"), (1, "knee")),
    ]
    assert cycles[2].minimum == pytest.approx(0, abs=1)
    assert cycles[2].maximum == pytest.approx(60, abs=1)
    mean, deviation = found.spread()
    phase = 2 * np.pi * PERCENT / 100
    np.testing.assert_allclose(mean[2], 30 + 30 * np.cos(phase), atol=1)
    np.testing.assert_allclose(mean[1], 20 - 10 * np.sin(phase), atol=1.5)
    assert deviation[2].max() < 1
    assert deviation[0].min() > 30  # of what goes on falling


def test_tracks_add_up_and_the_reference_stays():
    """The same as NumPy's over all cycles; and what is unknown does not count."""
    rng, found, curves = np.random.default_rng(5), Repetitions(("left", "right")), []
    for _ in range(4):
        seconds, values = bends(5, most=rng.uniform(30, 90))
        right = np.where(rng.random(len(values)) < 0.1, NAN, values / 2)
        both = np.stack([values, right], axis=-1)
        for one in found.add(seconds, both)[::2]:
            at = one.start + (one.end - one.start) * PERCENT / 100
            curves.append([np.interp(at, seconds, column) for column in both.T])
    assert (found.reference, found.count) == ("left", 16)
    mean, deviation = found.spread()
    np.testing.assert_allclose(mean, np.nanmean(curves, axis=0), atol=1e-9)
    np.testing.assert_allclose(deviation, np.nanstd(curves, axis=0, ddof=1), atol=1e-9)


def test_fewer_known_values_than_that_have_no_mean():
    seconds, values = bends(6)
    hidden = np.full_like(values, NAN)
    hidden[60:75] = 5  # in one cycle
    found = Repetitions(("knee", "ankle"))
    rows = found.add(seconds, np.stack([values, hidden], axis=-1))
    assert found.count >= LEAST
    mean, _ = found.spread()
    assert np.isfinite(mean[0]).all()
    assert np.isnan(mean[1]).all()
    assert np.isnan(rows[1].minimum)


def test_an_angle_that_passes_180_has_no_jump_in_its_mean():
    """An arm that swings all round, and one that swings about straight up."""
    seconds = np.arange(300) / 30
    round_ = (360 * seconds + 180) % 360 - 180
    above = (180 + 30 * np.sin(2 * np.pi * seconds) + 180) % 360 - 180
    found = Repetitions(("above", "round"))
    found.add(seconds, np.stack([above, round_], axis=-1))
    assert found.reference == "above"
    mean, deviation = found.spread()
    assert np.ptp(mean[0]) == pytest.approx(60, abs=1)
    assert np.ptp(mean[1]) == pytest.approx(360, abs=8)
    assert deviation.max() < 8
