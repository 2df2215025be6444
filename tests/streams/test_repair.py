"""Left and right exchanged, and jumps: what is clear is mended, what is real is left alone."""

from dataclasses import replace

import numpy as np
import pytest

from bodies import body, seen_as, turned
from conftest import refused
from recordings import LIMBS, RATE, one_track, swapped, told, walking
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17, HALPE26, with_parts
from vitruvian.body.track import Track
from vitruvian.streams.repair import repair
from vitruvian.streams.repaired import LEFT, Options


def spinning(skeleton: Skeleton, seconds: float) -> Track:
    """Who turns round once in so many seconds."""
    count = round(seconds * RATE)
    rng, poses = np.random.default_rng(2), []
    for i in range(count):
        one = seen_as(skeleton, turned(body(skeleton, elbow=30), "up", 360 * i / count))
        poses.append(replace(one, xy=(one.xy + rng.normal(0, 0.5, one.xy.shape)).astype("f4")))
    return one_track(poses, RATE)


@pytest.mark.parametrize("skeleton", [COCO17, BLAZEPOSE33, HALPE26], ids=lambda s: s.name)
@pytest.mark.parametrize("limb", LIMBS)
@pytest.mark.parametrize("length", [1, 2, 5, 20])
def test_clear_swaps_are_all_found_and_nothing_else(skeleton, limb, length):
    """Precision and recall 1.0: seen from the front, where left and right are apart."""
    clean = walking(skeleton, turn=15)
    wrong, want = swapped(clean, range(40, 40 + length), limb)
    mended, changes = repair(wrong)
    assert told(changes, "swap") == want
    assert told(changes, "jump") == set()
    np.testing.assert_array_equal(mended.xy, clean.xy)
    np.testing.assert_array_equal(mended.score, clean.score)
    assert mended.xyz is not None
    assert clean.xyz is not None
    np.testing.assert_array_equal(mended.xyz, clean.xyz)
    assert mended.raw is wrong


def test_legs_exchanged_from_the_side_are_found_where_they_are_apart():
    clean = walking(COCO17, turn=90)
    apart = int(np.argmax(np.abs(clean["left_ankle"].xy - clean["right_ankle"].xy)[30:60, 0])) + 30
    wrong, want = swapped(clean, range(apart, apart + 2), "lower leg")
    mended, changes = repair(wrong)
    hips = {(t, f"{side}_hip") for t, _ in want for side in ("left", "right")}
    assert want <= told(changes, "swap") <= want | hips  # which are at one place from there
    ks = [COCO17[f"{side}_{name}"] for side in ("left", "right") for name in ("knee", "ankle")]
    np.testing.assert_array_equal(mended.xy[:, ks], clean.xy[:, ks])
    assert np.abs(mended.xy - clean.xy).max() < 10


def with_hands(track: Track) -> Track:
    """With both hands, 20 pixels long, hanging from the wrists."""
    whole = with_parts(track.skeleton, True, 0)
    hang = np.stack([np.arange(21) % 5, np.arange(21)], axis=-1).astype("f4")
    parts = [track[f"{side}_wrist"].xy[:, None] + hang for side in ("left", "right")]
    values = {"xy": np.concatenate([track.xy, *parts], axis=1)}
    score = np.repeat(np.array([[0.8] * 21 + [0.6] * 21], np.float32), len(track), axis=0)
    values["score"] = np.concatenate([track.score, score], axis=1)
    if track.xyz is not None:
        values["xyz"] = np.concatenate([track.xyz, np.full((len(track), 42, 3), np.nan)], axis=1)
    return replace(track, skeleton=whole, **values)


def hands_exchanged(track: Track, rows: range) -> Track:
    xy, score = track.xy.copy(), track.score.copy()
    parts = track.skeleton.parts
    here, there = (np.array([*parts[a], *parts[b]]) for a, b in (HANDS, HANDS[::-1]))
    for values in (xy, score):
        values[rows[0] : rows[-1] + 1, here] = values[rows[0] : rows[-1] + 1, there]
    return replace(track, xy=xy, score=score)


HANDS = ("left_hand", "right_hand")


@pytest.mark.parametrize("skeleton", [COCO17, BLAZEPOSE33], ids=lambda s: s.name)
@pytest.mark.parametrize("length", [1, 5, 50])
def test_exchanged_hands_are_put_on_their_sides(skeleton, length):
    """Also for longer than a swap of limbs may last: the wrists tell."""
    clean = with_hands(walking(skeleton, turn=15))
    assert repair(clean)[1] == []
    rows = range(30, 30 + length)
    mended, changes = repair(hands_exchanged(clean, rows))
    np.testing.assert_array_equal(mended.xy, clean.xy)
    np.testing.assert_array_equal(mended.score, clean.score)
    names = [clean.skeleton.keypoints[k] for part in HANDS for k in clean.skeleton.parts[part]]
    assert told(changes, "swap") == {(t, name) for t in rows for name in names}


def test_a_hand_alone_goes_to_the_wrist_it_hangs_from():
    clean = with_hands(walking(COCO17, turn=15))
    xy = clean.xy.copy()
    xy[40:, list(clean.skeleton.parts["right_hand"])] = np.nan
    alone = replace(clean, xy=xy)
    mended, changes = repair(hands_exchanged(alone, range(50, 53)))
    np.testing.assert_array_equal(mended.xy, alone.xy)
    assert {change.index for change in changes if change.kind == "swap"} == {50, 51, 52}


@pytest.mark.parametrize("limb", ["arms", "all"])
def test_hands_are_swapped_with_the_arms_that_they_follow(limb):
    clean = with_hands(walking(COCO17, turn=15))
    names = [n for n in COCO17.keypoints if n.endswith(("shoulder", "elbow", "wrist"))]
    if limb == "all":
        names = [n for n in COCO17.keypoints if n != "nose"]
    xy, ks = clean.xy.copy(), np.array([clean.skeleton[n] for n in names])
    for t in range(40, 45):
        xy[t, ks] = xy[t, clean.skeleton.mirror[ks]]
    wrong = hands_exchanged(replace(clean, xy=xy), range(40, 45))
    mended, changes = repair(wrong)
    assert changes
    np.testing.assert_array_equal(mended.xy, clean.xy)


def test_crossed_arms_keep_their_hands():
    clean = with_hands(walking(COCO17, turn=15))
    xy = clean.xy.copy()
    hands = [list(clean.skeleton.parts[part]) for part in HANDS]
    wrists = [clean.skeleton[f"{side}_wrist"] for side in ("left", "right")]
    across = xy[:, wrists[1]] - xy[:, wrists[0]]
    for own, wrist, way in zip(hands, wrists, (1, -1), strict=True):
        xy[:, [*own, wrist]] += way * across[:, None]
    crossed = replace(clean, xy=xy)
    mended, changes = repair(crossed)
    assert [change for change in changes if change.kind == "swap"] == []
    assert mended is crossed


@pytest.mark.parametrize("skeleton", [COCO17, BLAZEPOSE33], ids=lambda s: s.name)
@pytest.mark.parametrize("frames", [1, 2])
def test_clear_jumps_are_all_found_and_nothing_else(skeleton, frames):
    clean = walking(skeleton)
    xy, want = clean.xy.copy(), set()
    for t, name in ((20, "left_wrist"), (50, "right_ankle"), (50, "nose"), (90, "left_knee")):
        for i in range(frames):
            xy[t + i, skeleton[name]] += (70, -60)
            want.add((t + i, name))
    mended, changes = repair(replace(clean, xy=xy))
    assert told(changes, "jump") == want
    assert told(changes, "swap") == set()
    # Put on the line between its neighbours, which is off by how its way bends.
    assert np.abs(mended.xy - clean.xy).max() < 15
    assert all(60 < change.distance < 110 for change in changes)


@pytest.mark.parametrize("turn", [0, 15, 60, 90, 180])
@pytest.mark.parametrize("skeleton", [COCO17, BLAZEPOSE33, HALPE26], ids=lambda s: s.name)
def test_clean_walking_is_left_alone(skeleton, turn):
    track = walking(skeleton, turn, noise=1.5)
    mended, changes = repair(track)
    assert changes == []
    assert mended is track


@pytest.mark.parametrize("seconds", [0.7, 1.5, 4.0])
def test_who_really_turns_round_is_left_alone(seconds):
    assert repair(spinning(BLAZEPOSE33, seconds))[1] == []


def test_fast_waving_is_left_alone():
    """Three times a second, 80 pixels either way: 50 pixels a frame, but it turns softly."""
    track = walking(COCO17)
    xy = track.xy.copy()
    xy[:, COCO17["left_wrist"], 0] += 80 * np.sin(2 * np.pi * 3 * track.seconds)
    assert repair(replace(track, xy=xy))[1] == []


def test_a_swap_without_an_end_is_left():
    """And it is said where it begins, and where one that lasts too long does and ends."""
    wrong, _ = swapped(walking(COCO17, 15), range(60, 120), "body")
    mended, changes = repair(wrong)
    assert mended is wrong
    assert [(c.index, c.kind, c.distance) for c in changes] == [(60, LEFT, 0)]
    long, _ = swapped(walking(COCO17, 15), range(30, 90), "body")
    assert [(c.index, c.kind) for c in repair(long)[1]] == [(30, LEFT), (90, LEFT)]
    changes = repair(long, Options(swap=3.0))[1]
    assert [(c.index, c.kind) for c in changes] == [(i, "swap") for i in range(30, 90)]


@pytest.mark.parametrize("skeleton", [COCO17, BLAZEPOSE33, HALPE26], ids=lambda s: s.name)
@pytest.mark.parametrize("turn", [15, 40, 165])
def test_no_body_is_made_whose_bones_cross(skeleton, turn):
    """Arms a frame longer than legs, and one swap soon after the other, as BlazePose has them."""
    clean = walking(skeleton, turn)
    wrong, _ = swapped(clean, range(40, 42), "body")
    wrong, _ = swapped(wrong, range(42, 43), "arm")
    wrong, _ = swapped(wrong, range(49, 52), "body")
    wrong, _ = swapped(wrong, range(52, 53), "arm")
    mended, changes = repair(wrong)
    assert {c.kind for c in changes} == {"swap"}
    np.testing.assert_array_equal(mended.xy[:, 5:], clean.xy[:, 5:])


def test_a_skeleton_of_one_side_or_of_none_is_left_alone():
    for names in (["left_wrist"], ["nose"], ["left_wrist", "left_hip", "nose"], ["right_knee"]):
        poses = walking(COCO17)
        skeleton = Skeleton.table("one", "a test", *((name, "", 0.1) for name in names))
        ks = [COCO17[name] for name in names]
        parts = {"xy": poses.xy[:, ks], "score": poses.score[:, ks], "xyz": None, "origin": None}
        track = replace(poses, skeleton=skeleton, **parts)
        mended, changes = repair(track)
        assert mended is track
        assert changes == []


def test_what_is_missing_is_left_missing_and_does_not_hide_a_swap():
    clean = walking(COCO17, 15)
    clean.xy[45:48] = np.nan
    wrong, want = swapped(clean, range(40, 50), "leg")
    mended, changes = repair(wrong)
    assert told(changes, "swap") == {(t, name) for t, name in want if t not in (45, 46, 47)}
    assert np.isnan(mended.xy[45:48]).all()


def test_a_change_says_who_when_what_and_how_far():
    clean = walking(COCO17, 15)
    wrong, _ = swapped(clean, range(40, 41), "lower leg")
    (change,) = repair(wrong)[1]
    assert (change.index, change.person, change.kind) == (40, 1, "swap")
    assert change.seconds == pytest.approx(40 / RATE)
    assert change.keypoints == ("left_knee", "right_knee", "left_ankle", "right_ankle")
    ks = [COCO17[name] for name in change.keypoints]
    moved = np.linalg.norm(wrong.xy[40, ks] - clean.xy[40, ks], axis=-1)
    assert change.distance == pytest.approx(moved.mean(), abs=0.01)


def test_metres_in_the_world_are_mended_too():
    clean = walking(COCO17, 15)
    assert clean.xyz is not None
    world, nose = clean.xyz + np.float32(2), COCO17["nose"]
    parts = ("hip", "knee", "ankle")
    ks = np.array([COCO17[f"{side}_{part}"] for part in parts for side in ("left", "right")])
    wrong, places = world.copy(), swapped(clean, range(40, 43), "leg")[0].xy
    for t in range(40, 43):
        wrong[t, ks] = wrong[t, COCO17.mirror[ks]]
    assert (wrong != world).any()
    mended, _ = repair(replace(clean, xy=places, world=wrong))
    np.testing.assert_array_equal(mended.places["world"], world)
    far, off = clean.xy.copy(), world.copy()
    far[70, nose] += 90
    off[70, nose] += 0.4
    mended, _ = repair(replace(clean, xy=far, world=off))
    assert np.abs(mended.places["world"] - world).max() < 0.05


@pytest.mark.parametrize("length", [0, 1, 2])
def test_short_tracks_are_left_alone(length):
    track = walking(COCO17, steps=5).take(slice(length))
    assert repair(track) == (track, [])


def test_wrong_options_are_refused():
    with refused("far is -1"):
        Options(far=-1)
