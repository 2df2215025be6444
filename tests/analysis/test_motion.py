"""One person over time: tracks are cut from poses, and what is measured on them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

import vitruvian
from bodies import body, seen_as, turned
from conftest import TOY, refused
from recordings import one_track
from vitruvian.analysis import motion
from vitruvian.analysis.angles import angle_names
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17
from vitruvian.body.track import Track, tracks


def stream(people, frame, present: Mapping[int, Sequence[int]], frames: int, rate: float = 10.0):
    """Frames in which person `who` is seen at the numbers of `present[who]`."""
    for i in range(frames):
        here = [who for who, when in present.items() if i in when]
        yield frame(i, i / rate), people(len(here), person=np.array(here, np.int64))


# Cutting


def test_everyone_has_a_track_from_the_first_to_the_last_sighting(people, frame):
    present = {1: range(0, 20), 2: range(5, 12)}
    found = {track.person: track for track in tracks(stream(people, frame, present, 20))}
    assert {who: track.index.tolist() for who, track in found.items()} == {
        who: list(when) for who, when in present.items()
    }
    assert found[2].seconds[0] == pytest.approx(0.5)
    assert found[2].size == (64, 48)
    assert found[2].source == "clip.mp4"


def test_a_frame_without_the_person_is_a_row_of_nan(people, frame):
    present = {1: [0, 1, 2, 5, 6]}
    (track,) = tracks(stream(people, frame, present, 8))
    assert track.index.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert track.present.tolist() == [True, True, True, False, False, True, True]
    assert np.isnan(track.xy[3:5]).all()
    assert (track.score[3:5] == 0).all()


def test_who_comes_back_late_has_another_track_with_the_same_number(people, frame):
    present = {1: [*range(5), *range(40, 45)]}
    first, second = tracks(stream(people, frame, present, 50), gap=2.0)
    assert (first.person, second.person) == (1, 1)
    assert (first.index[-1], second.index[0]) == (4, 40)


def test_a_track_is_given_when_it_is_over_and_not_at_the_end(people, frame):
    taken = []

    def watched():
        for pair in stream(people, frame, {1: range(3), 2: range(100)}, 100):
            taken.append(pair[0].index)
            yield pair

    first = next(tracks(watched(), gap=1.0))
    assert first.person == 1
    assert max(taken) < 20


def test_memory_does_not_grow_with_the_recording(people, frame):
    """What lasts for long comes in parts that follow each other without a hole."""
    parts = list(tracks(stream(people, frame, {1: range(1000)}, 1000), longest=10.0))
    assert max(len(part) for part in parts) <= 101
    assert np.concatenate([part.index for part in parts]).tolist() == list(range(1000))


def test_another_source_is_another_track(people, frame):
    pairs = [
        *((frame(i, i / 10), people(1)) for i in range(5)),
        *((frame(i, i / 10, source="b.mp4"), people(1)) for i in range(4)),
    ]
    assert [(t.source, len(t)) for t in tracks(pairs)] == [("clip.mp4", 5), ("b.mp4", 4)]


def test_who_has_no_number_has_no_track(people, frame):
    assert not list(tracks([(frame(), people(2, person=np.full(2, -1)))]))
    assert not list(tracks([]))
    assert not list(tracks([(frame(), Poses.nobody(TOY))]))


def test_one_frame_is_a_track(people, frame):
    (track,) = tracks([(frame(3, 0.1), people(1, everything=True))])
    assert len(track) == 1
    assert track.xyz is not None
    assert np.isnan(motion.velocity(track)).all()


def test_a_track_gives_back_the_poses_it_was_made_of(people, frame):
    before = [people(2, everything=True) for _ in range(4)]
    for track in tracks((frame(i, i / 10), poses) for i, poses in enumerate(before)):
        for i, poses in enumerate(before):
            back = track.poses(i)
            assert back.person.tolist() == [track.person]
            for name in ("xy", "score", "box", "xyz"):
                want = getattr(poses, name)[track.person - 1]
                np.testing.assert_array_equal(getattr(back, name)[0], want)


def test_raw_values_are_kept(people, frame):
    def smoothed():
        for i in range(4):
            raw = people(1)
            yield frame(i, i / 10), replace(raw, xy=raw.xy + 1, raw=raw)

    (track,) = tracks(smoothed())
    assert track.raw is not None
    np.testing.assert_allclose(track.xy, track.raw.xy + 1)


def test_a_record_gives_tracks(people, frame, tmp_path):
    path = tmp_path / "a.jsonl"
    poses = [people(2, COCO17) for _ in range(5)]
    with vitruvian.open_sink(path) as sink:
        for i, each in enumerate(poses):
            sink.write(frame(i, i / 30), each)
    first, second = tracks(vitruvian.read(path))
    np.testing.assert_allclose(first.xy[2], poses[2].xy[0], atol=1e-4)
    assert second.person == 2


def test_shapes_are_checked(people, frame):
    (track,) = tracks([(frame(), people(1))])
    with pytest.raises(ValueError, match=r"Track.score is \(2, 3\), want \(1, 3\) for toy"):
        replace(track, score=np.zeros((2, 3)))


# Measuring


def test_the_velocity_of_steady_motion_is_exact_at_uneven_times(rng):
    seconds = np.cumsum(rng.uniform(0.02, 0.06, 30))
    still = seen_as(COCO17, body(COCO17)).xy[0]
    moving = still + seconds[:, None, None] * np.array([40.0, -15.0])
    poses = [replace(seen_as(COCO17, body(COCO17)), xy=xy[None].astype("f4")) for xy in moving]
    got = motion.velocity(one_track(poses, seconds=seconds))
    np.testing.assert_allclose(got, np.broadcast_to([40.0, -15.0], got.shape), atol=0.01)


def squats(count: int = 3, rate: float = 30.0, turn: float = 90.0) -> tuple[Track, np.ndarray]:
    """Knees bent from 0 to 100 degrees and back, `count` times, a second each."""
    knee = 50 - 50 * np.cos(2 * np.pi * np.arange(round(count * rate) + 1) / rate)
    poses = [
        seen_as(BLAZEPOSE33, turned(body(BLAZEPOSE33, knee=k, hip=k / 2), "up", turn)) for k in knee
    ]
    return one_track(poses, rate), knee


@pytest.mark.parametrize("space", ["2d", "3d"])
def test_squats_have_the_range_and_the_speed_they_have(space):
    track, knee = squats()
    values = motion.angles_over_time_deg(track, space)
    column = angle_names(space).index("left_knee_flexion")
    np.testing.assert_allclose(values[:, column], knee, atol=0.05)
    low, high, extent = motion.range_of_motion_deg(values)[column]
    assert (low, high, extent) == pytest.approx((0, 100, 100), abs=0.05)
    # Fastest halfway, 2 pi times 50 degrees a second. At 30 Hz a central difference is 0.7 % short,
    # and half a frame away from there the speed is 0.6 % less.
    speed = motion.angular_velocity_deg(values, track.seconds)[:, column]
    assert np.nanmax(speed) == pytest.approx(100 * np.pi, rel=0.015)


def test_range_of_motion_leaves_out_outliers_if_asked():
    values = np.concatenate([np.linspace(0, 90, 99), [170]])[:, None]
    assert motion.range_of_motion_deg(values)[0, 2] == pytest.approx(170)
    assert motion.range_of_motion_deg(values, trim=0.02)[0, 2] < 90
    with refused("trim", "0.5"):
        motion.range_of_motion_deg(values, trim=0.5)


def test_an_angle_that_passes_180_does_not_jump():
    around = (np.arange(0, 300, 10.0) + 180) % 360 - 180
    values = np.stack([around, np.where(np.arange(30) == 7, np.nan, around)], axis=1)
    assert motion.range_of_motion_deg(values)[:, 2] == pytest.approx([290, 290])
    speed = motion.angular_velocity_deg(values, np.arange(30) / 10)
    np.testing.assert_allclose(speed[:, 0], 100, atol=1e-3)


def wrapped(values: np.ndarray) -> np.ndarray:
    """(T, 1) the same in -180..180."""
    return ((np.asarray(values, float) + 180) % 360 - 180)[:, None]


@pytest.mark.parametrize("turn", [0, 45, 175, 180, -90, 720])
def test_a_range_is_that_of_the_values_whichever_way_they_are_turned(turn, rng):
    for spread in (5.0, 100.0, 250.0, 340.0):
        values = rng.permutation(np.concatenate([[0, spread], np.arange(0, spread, 3)]))
        ((low, high, extent),) = motion.range_of_motion_deg(wrapped(values + turn))
        assert extent == pytest.approx(spread, abs=1e-3)
        assert high - low == pytest.approx(extent, abs=1e-3)
        assert -180 <= (low + high) / 2 <= 180
        assert (low - turn) % 360 == pytest.approx(0, abs=1e-3) or (
            (low - turn) % 360 == pytest.approx(360, abs=1e-3)
        )


def test_a_range_is_never_more_than_a_turn(rng):
    """However often somebody turns: what was counted from frame to frame became 367 and more."""
    many = wrapped(np.cumsum(rng.normal(2, 20, 5000)))
    assert motion.range_of_motion_deg(many)[0, 2] <= 360


def limb(values: np.ndarray, seconds: np.ndarray, column: str) -> motion.MotionExtent:
    """An extent of one person of whom one angle is known, in parts of 30 frames."""
    degrees = np.full((len(values), len(angle_names("3d"))), np.nan, np.float32)
    degrees[:, angle_names("3d").index(column)] = values[:, 0]
    extent = motion.MotionExtent("3d", COCO17)
    poses = [seen_as(COCO17, body(COCO17))] * len(values)
    for start in range(0, len(values), 30):
        part = slice(start, start + 30)
        extent.add(one_track(poses[part], seconds=seconds[part]), degrees[part])
    return extent


def about(extent: motion.MotionExtent, measure: str) -> dict[str, float]:
    (row,) = [row for row in extent.rows() if row[0] == measure]
    return dict(zip(motion.EXTENT[2:], row, strict=True))


def test_who_comes_back_with_the_arm_on_the_other_side_of_up_has_moved_it_little():
    """30 frames before and after 4 s away: 8 degrees this side of straight up, and that side."""
    sway = 8 * (1 - np.arange(30) / 20)
    values = wrapped(np.concatenate([180 + sway, 180 - sway]))
    seconds = np.concatenate([np.arange(30), np.arange(150, 180)]) / 30
    row = about(limb(values, seconds, "left_forearm"), "left_forearm")
    assert row["range"] == pytest.approx(16, abs=0.01)
    assert (row["min"], row["max"]) == pytest.approx((172, 188), abs=0.01)
    assert row["mean"] == pytest.approx(180, abs=0.01)
    assert row["space"] == "3d"


@pytest.mark.parametrize("centre", [0.0, 60.0, 179.0, -120.0])
def test_mean_and_deviation_of_a_direction_are_those_of_the_circle(centre, rng):
    """Against SciPy's circmean and circstd, of parts that are put together."""
    from scipy.stats import circmean, circstd

    values = wrapped(centre + rng.gamma(2, 15, 1000))
    row = about(limb(values, np.arange(1000) / 30, "left_thigh"), "left_thigh")
    mean = circmean(values[:, 0], high=180, low=-180)
    assert (row["mean"] - mean + 180) % 360 - 180 == pytest.approx(0, abs=0.01)
    assert row["sd"] == pytest.approx(circstd(values[:, 0], high=180, low=-180), abs=0.01)
    assert row["min"] <= row["mean"] <= row["max"]
    extent = motion.range_of_motion_deg(values)[0]
    assert (row["min"], row["max"], row["range"]) == pytest.approx(extent.tolist(), abs=0.01)


def test_an_angle_that_does_not_go_round_has_the_plain_mean_and_deviation(rng):
    values = rng.uniform(0, 170, (400, 1))
    row = about(limb(values, np.arange(400) / 30, "left_knee_flexion"), "left_knee_flexion")
    assert row["mean"] == pytest.approx(values.mean(), abs=0.01)
    assert row["sd"] == pytest.approx(values.std(), abs=0.01)
    assert (row["min"], row["max"]) == pytest.approx((values.min(), values.max()), abs=0.01)


def test_an_arm_that_circles_for_long_has_a_range_of_a_turn_and_no_mean():
    values = wrapped(np.arange(0, 360 * 50, 7.0))
    row = about(limb(values, np.arange(len(values)) / 30, "left_forearm"), "left_forearm")
    assert 350 < row["range"] <= 360
    assert row["mean"] is None
    assert row["mean_speed"] == pytest.approx(210, rel=1e-3)


def test_range_of_motion_of_what_was_never_known_is_nan():
    assert np.isnan(motion.range_of_motion_deg(np.full((4, 2), np.nan))).all()
    assert motion.range_of_motion_deg(np.zeros((0, 2))).shape == (2, 3)


def test_a_moment_of_doubt_does_not_change_the_side_somebody_faces():
    track, _ = squats(1)
    xy = track.xy.copy()
    feet = [BLAZEPOSE33[f"{side}_foot_index"] for side in ("left", "right")]
    heels = [BLAZEPOSE33[f"{side}_heel"] for side in ("left", "right")]
    xy[15, feet], xy[15, heels] = xy[15, heels].copy(), xy[15, feet].copy()
    said = motion.facing_over_time(replace(track, xy=xy))
    assert (said == 1).all()


def test_who_turns_round_faces_the_other_side():
    turns = np.concatenate([np.full(30, 90.0), np.linspace(90, -90, 16), np.full(30, -90.0)])
    poses = [seen_as(BLAZEPOSE33, turned(body(BLAZEPOSE33), "up", turn)) for turn in turns.tolist()]
    said = motion.facing_over_time(one_track(poses))
    assert (said[:25] == 1).all()
    assert (said[-25:] == -1).all()
    assert (np.abs(np.diff(said[np.isfinite(said)])) > 0).sum() == 1


def test_rows_have_a_column_for_each_head():
    track, knee = squats(1)
    rows = list(motion.angle_rows(track, motion.angles_over_time_deg(track)))
    heads = motion.angle_columns()
    assert len(rows) == len(track)
    assert {len(row) for row in rows} == {len(heads)}
    row = dict(zip(heads, rows[15], strict=True))
    assert (row["source"], row["person"], row["index"]) == ("clip.mp4", 1, 15)
    assert row["left_knee_flexion_deg"] == pytest.approx(knee[15], abs=0.05)
    assert row["trunk_side_lean_deg"] is None


def test_there_is_no_3d_motion_without_metres(people, frame):
    (track,) = tracks([(frame(), people(1, COCO17))])
    with refused("person 1", "clip.mp4", "2d"):
        motion.velocity(track, "3d")
