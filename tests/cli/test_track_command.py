"""People over time, end to end: words of the command line and of Python, records, and `track`."""

import csv
import gc
import json
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vitruvian as vit
from bodies import body, seen_as
from conftest import grey, refused, stream_defaults, streamed
from recordings import swapped, told, walking
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17
from vitruvian.body.state import State, states
from vitruvian.body.track import Track, tracks
from vitruvian.cli.app import app
from vitruvian.errors import VitruvianError
from vitruvian.formats.mot import read_mot
from vitruvian.formats.wire import frame_to_dict, from_dict, with_options
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.sources.open import open_source
from vitruvian.sources.threads import reread
from vitruvian.streams import repair
from vitruvian.streams.repaired import Repaired
from vitruvian.streams.stream import steps_over_time, through
from vitruvian.streams.wanted import SMOOTH, Wanted
from vitruvian.verbs.output_files import plan_outputs
from vitruvian.verbs.outputs import Save
from vitruvian.verbs.predict import write_poses

WAYS = ("one-euro", "butterworth")


@cache
def walk(skeleton: Skeleton = COCO17) -> Track:
    """Four seconds, seen almost from the front."""
    return walking(skeleton, turn=15)


class Walker:
    """A model for one who walks, of whom the poses of each frame are known beforehand."""

    name, weights, runs_on = "walker", dict[str, str](), "nothing"

    def __init__(self, track=None, *, flat: bool = False, gone=(), **options) -> None:
        track = walk() if track is None else track
        self.poses = [track.poses(row) for row in range(len(track))]
        if flat:
            self.poses = [replace(poses, xyz=None, origin=None) for poses in self.poses]
        self.gone, self.options = set(gone), options
        self.wanted = stream_defaults(self.options)

    def __call__(self, frames, look=None):
        return [self.people(frame.index) for frame in frames]

    def people(self, index: int) -> Poses:
        poses = self.poses[index % len(self.poses)]
        if index in self.gone:
            return Poses.nobody(poses.skeleton, poses.origin)
        return replace(poses, person=np.full(len(poses), -1))


@dataclass(frozen=True)
class Clip:
    """Frames of a video that have no pixels to look at, but for a number."""

    count_of: int = 120
    live: bool = False
    moving: bool = True
    name: str = "clip"

    def __iter__(self):
        for i in range(self.count_of):
            yield Frame(np.full((480, 640, 3), i % 256, np.uint8), i, i / 30, "clip")

    def count(self):
        return self.count_of


def wrong(error: VitruvianError) -> None:
    raise error


def over(smooth: str | None = None, cutoff_hz: float | None = None, **more: bool) -> Wanted:
    return Wanted(smooth=smooth, cutoff_hz=cutoff_hz, **more)


# What is asked for


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ({"smooth": "buterworth"}, ("did you mean 'butterworth'",)),
        ({"smooth": "one-euro", "cutoff_hz": 3.0}, ("cutoff_hz (3)",)),
        ({"smooth": "butterworth", "cutoff_hz": 0.0}, ("cutoff_hz is 0",)),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(words, parts):
    with refused(*parts):
        Wanted(**words)


def test_true_and_false_are_words_of_python():
    assert Wanted(smooth=True).smooth == "one-euro"
    assert Wanted(smooth=False).smooth == "no"
    assert Wanted().smooth is None


def test_a_cutoff_frequency_chooses_the_filter_that_has_one():
    assert Wanted(cutoff_hz=3.0).smooth == "butterworth"


@pytest.mark.parametrize("asked", [{"smooth": "butterworth"}, {"repair": True}])
def test_what_is_live_cannot_wait_for_what_comes_later(asked, monkeypatch):
    monkeypatch.setattr("vitruvian.sources.open.open_source", lambda *_, **__: [Clip(live=True)])
    with refused("clip is live", "one-euro"):
        vit.run("camera:0", Walker(), **asked)
    with refused("one-euro"):
        vit.live(Walker(), lambda *_: None, smooth="butterworth")


def test_pictures_masks_and_people_without_numbers_are_refused(picture):
    with refused("only images"):
        vit.run(picture("a.png"), Walker(), repair=True)
    model = Walker()
    model.wanted = stream_defaults({"track": False})
    with refused("track ids"):
        vit.run(picture("a.png"), model, smooth="one-euro")


@pytest.mark.parametrize("option", ["masks", "heatmaps"])
def test_what_is_as_large_as_a_picture_is_not_kept(option, video):
    with refused(option, "one-euro"):
        vit.run(video(), Walker(**{option: True}), smooth="butterworth")


# What comes out of the loop


@pytest.mark.parametrize("flat", [True, False], ids=["pixels", "metres"])
@pytest.mark.parametrize("smooth", WAYS)
def test_every_way_smooths_pixels_and_metres_and_keeps_what_was_found(smooth, flat):
    model, noise = Walker(flat=flat), np.random.default_rng(0)
    model.poses = [
        replace(p, xy=p.xy + noise.normal(0, 2, p.xy.shape).astype("f4")) for p in model.poses
    ]
    got = [poses for _, poses in streamed(Clip(), model, wrong, wanted=over(smooth))]
    assert len(got) == 120
    for i, poses in enumerate(got):
        assert poses.raw is not None
        np.testing.assert_array_equal(poses.raw.xy, model.poses[i].xy)
        assert poses.person.tolist() == poses.raw.person.tolist() == [1]
        assert (poses.xyz is None) == (poses.raw.xyz is None) == flat
    jitter = [
        np.abs(np.diff([getattr(p, part).xy[0] for p in rows], 2, axis=0)).mean()
        for rows, part in ((got, "raw"), ([Holder(p) for p in got], "poses"))
    ]
    assert jitter[1] < jitter[0] * (0.9 if smooth == "one-euro" else 0.6)


@dataclass
class Holder:
    poses: Poses


def test_butterworth_does_not_lag_where_one_euro_does():
    sway = [seen_as(COCO17, np.add(body(COCO17), (0.4 * np.sin(i / 5), 0, 0))) for i in range(120)]
    lag = {}
    for way in WAYS:
        model = Walker()
        model.poses = sway
        rows = list(streamed(Clip(), model, wrong, wanted=over(way)))[20:100]
        smooth, found = (
            np.array([getattr(p, "xy")[0, 5, 0] for p in rows_])  # noqa: B009
            for rows_ in ([p for _, p in rows], [p.raw for _, p in rows if p.raw is not None])
        )
        speed = np.gradient(found)
        lag[way] = -float(((smooth - found) * speed).sum() / (speed**2).sum())  # frames
    assert abs(lag["butterworth"]) < 0.02
    assert lag["one-euro"] > 0.05


def test_pixels_come_again_and_are_those_of_the_frame():
    for frame, poses in streamed(Clip(), Walker(), wrong, wanted=over("butterworth", repair=True)):
        assert frame.rgb[0, 0, 0] == frame.index % 256
        assert len(poses) == 1
    bare = streamed(Clip(), Walker(), wrong, wanted=over("butterworth"), pixels=False)
    assert all(frame.pixels is None for frame, _ in bare)


def test_pixels_are_never_kept_for_as_long_as_poses_are():
    alive: list[weakref.ref] = []

    class Watched(Clip):
        def __iter__(self):
            for frame in super().__iter__():
                assert isinstance(frame.pixels, np.ndarray)
                alive.append(weakref.ref(frame.pixels))
                yield frame

    most = 0
    for frame, _ in streamed(
        Watched(450), Walker(), wrong, wanted=over("butterworth", repair=True)
    ):
        if frame.index % 50 == 0:
            gc.collect()
            most = max(most, sum(ref() is not None for ref in alive))
    assert 0 < most < 25  # two readers, four frames ahead each, and those at work


def test_what_is_held_does_not_grow_with_the_recording():
    ahead, taken = [], []

    class Seen(Walker):
        def __call__(self, frames, look=None):
            taken.append(frames[0].seconds)
            return super().__call__(frames, look)

    for frame, _ in streamed(Clip(600), Seen(), wrong, wanted=over("butterworth", repair=True)):
        ahead.append(taken[-1] - frame.seconds)
    assert max(ahead) < 9


def test_a_source_that_gives_other_frames_when_read_again_is_one_line():
    pairs = [(Frame(None, i, i / 30, "a.ts", size=(640, 480)), Walker().people(i)) for i in (0, 9)]
    with refused("a.ts", "frame 9", "save it to a file"):
        list(reread(Clip(5), pairs))
    with refused("a.ts", "frame 0 of 320 x 240"):
        list(reread(Clip(5), [(Frame(None, 0, 0, "a.ts", size=(320, 240)), pairs[0][1])]))


def test_swaps_are_mended_before_they_are_smoothed_and_each_is_told():
    clean = walk()
    bad, want = swapped(clean, range(40, 45), "leg")
    changes: list[Repaired] = []
    how = {"wanted": over("one-euro", repair=True), "on_repair": changes.append}
    got = [poses for _, poses in streamed(Clip(), Walker(bad), wrong, **how)]
    assert told(changes, "swap") == want
    knee = COCO17["left_knee"]
    for i in range(40, 45):
        found = got[i].raw
        assert found is not None
        np.testing.assert_array_equal(found.xy[0], bad.xy[i])
        assert np.abs(got[i].xy[0, knee] - clean.xy[i, knee]).max() < 12
        assert np.abs(got[i].xy[0, knee] - bad.xy[i, knee]).max() > 15


def test_without_smoothing_only_what_was_mended_differs_from_what_was_found():
    bad, _ = swapped(walk(), range(40, 45), "arm")
    got = [
        poses for _, poses in streamed(Clip(), Walker(bad), wrong, wanted=over("no", repair=True))
    ]
    assert [i for i, poses in enumerate(got) if poses.raw is not None] == [*range(40, 45)]


def test_a_stream_is_mended_as_the_whole_would_be(rng, frame):
    """Swaps of some frames, here and there through twenty seconds."""
    track = walking(COCO17, turn=15, steps=600)
    start = 0
    while (start := start + int(rng.integers(20, 90))) < 580:
        limb = str(rng.choice(["leg", "arm", "body"]))
        track, _ = swapped(track, range(start, start + int(rng.integers(1, 15))), limb)
        start += 15
    mended, want = repair.repair(track)
    assert len(want) > 20
    changes: list[Repaired] = []
    pairs = [(frame(i, track.seconds[i]), track.poses(i)) for i in range(len(track))]
    got = list(repair.Repair(changes.append).through(iter(pairs)))
    assert {(c.index, c.kind, c.keypoints) for c in changes} == {
        (c.index, c.kind, c.keypoints) for c in want
    }
    for row, (_, poses) in enumerate(got):
        np.testing.assert_array_equal(poses.xy[0], mended.xy[row])


def test_what_a_track_does_not_hold_is_exchanged_as_well(people, frame):
    clean = walk(BLAZEPOSE33)
    bad, _ = swapped(clean, range(40, 44), "body")
    presence = np.linspace(0.5, 1, 33, dtype=np.float32)[None]
    pairs = []
    for i in range(len(bad)):
        order = BLAZEPOSE33.mirror if 40 <= i < 44 else np.arange(33)
        poses = replace(bad.poses(i), presence=presence[:, order], depth=10 * presence[:, order])
        pairs.append((frame(i, bad.seconds[i]), poses))
    for _, poses in repair.Repair().through(pairs):
        np.testing.assert_array_equal(poses.presence, presence)
        np.testing.assert_array_equal(poses.depth, 10 * presence)


def test_where_frames_become_few_nothing_breaks_off(frame):
    """A video that stands still for a while: two frames a second, which 6 Hz cannot be told of."""
    even = np.arange(300) / 30
    seconds = np.concatenate([even, 10.5 + np.arange(60) / 2, 41 + even])
    pairs = [(frame(i, s), Walker().poses[i % 120]) for i, s in enumerate(seconds)]
    got = list(through(steps_over_time(over("butterworth")), pairs))
    assert [at.seconds for at, _ in got] == seconds.tolist()
    assert all(np.isfinite(poses.xy).all() for _, poses in got)
    slow = [np.abs(p.xy - p.raw.xy).max() for _, p in got[320:340] if p.raw is not None]
    assert max(slow) < 20
    with refused("12 frames per second", "got 2"):
        list(through(steps_over_time(over("butterworth", cutoff_hz=6.0)), pairs[310:330]))


@pytest.mark.parametrize("smooth", SMOOTH)
def test_one_frame_and_nobody_are_ordinary(smooth):
    ((_, poses),) = streamed(Clip(1), Walker(), wrong, wanted=over(smooth, repair=True))
    np.testing.assert_array_equal(poses.xy, Walker().poses[0].xy)
    nobody = Walker(gone=range(120))
    got = list(streamed(Clip(), nobody, wrong, wanted=over(smooth, repair=True)))
    assert [len(poses) for _, poses in got] == [0] * 120


def test_in_front_of_a_camera_the_raw_metres_are_kept_too():
    camera = Camera.view((640, 480), 60)
    world = replace(camera, extrinsics=np.eye(4))
    for smooth in WAYS:
        how = {"wanted": over(smooth, absolute=True), "camera": lambda _: world}
        for _, poses in streamed(Clip(60), Walker(), wrong, **how):
            assert poses.origin == "camera"
            assert poses.raw is not None
            assert poses.raw.origin == "camera"
            one: Any
            for one in (poses, poses.raw):
                np.testing.assert_allclose(one.world, one.xyz, atol=1e-5)


# Records


@pytest.mark.parametrize("skeleton", [COCO17, BLAZEPOSE33], ids=lambda s: s.name)
@pytest.mark.parametrize("smooth", WAYS)
@pytest.mark.parametrize("flat", [True, False], ids=["pixels", "metres"])
def test_a_record_gives_back_what_was_found_and_what_was_smoothed(smooth, flat, skeleton, tmp_path):
    path, model = tmp_path / "a.jsonl", Walker(walk(skeleton), flat=flat)
    pairs = list(streamed(Clip(), model, wrong, wanted=over(smooth)))
    with vit.open_sink(path, with_options(model, **over(smooth).to_dict())) as sink:
        for pair in pairs:
            sink.write(*pair)
    record = vit.read(path)
    assert record.header["options"]["smooth"] == smooth
    for (_, poses), (_, before) in zip(record, pairs, strict=True):
        both: Any = ((poses, before), (poses.raw, before.raw))
        for got, want in both:
            np.testing.assert_allclose(got.xy, want.xy, atol=1e-4)
            np.testing.assert_allclose(got.score, want.score, atol=1e-6)
            np.testing.assert_array_equal(got.person, want.person)
            if not flat:
                np.testing.assert_allclose(got.xyz, want.xyz, atol=1e-6)
    (track, *_) = tracks(record)
    assert track.raw is not None
    assert (track.raw.xy != track.xy).any()


def test_raw_values_are_written_where_they_differ_and_come_back_whole(people, frame):
    poses: Any = people(2, COCO17, everything=True)
    raw: Any = replace(poses, xy=poses.xy + 1, world=None, plausible=~poses.plausible)
    line = json.loads(json.dumps(frame_to_dict(frame(), replace(poses, raw=raw))))
    assert line["people"][0]["raw"].keys() == {"xy", "world", "plausible"}
    _, back = from_dict(line)
    assert back.raw is not None
    np.testing.assert_allclose(back.raw.xy, raw.xy, atol=1e-4)
    np.testing.assert_array_equal(back.raw.plausible, raw.plausible)
    np.testing.assert_allclose(back.raw.box, raw.box, atol=1e-4)
    assert back.raw.world is None
    same = json.loads(json.dumps(frame_to_dict(frame(), replace(poses, raw=poses))))
    assert same["people"][0]["raw"] == {}
    _, back = from_dict(same)
    assert back.raw is not None
    assert "raw" not in frame_to_dict(frame(), poses)["people"][0]


def test_states_of_joints_are_in_records_and_in_tables(people, frame, tmp_path):
    poses = people(1, score=np.array([[0.9, 0.4, 0.1]], np.float32))
    want = states(poses, (64, 48))[0].tolist()
    assert frame_to_dict(frame(), poses)["people"][0]["state"] == want
    with vit.open_sink(tmp_path / "a.csv") as sink:
        sink.write(frame(), poses)
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == [State(state).name.lower() for state in want]


# Into files


def written(
    source: object, model: Walker, out: Path, asked: Wanted, save: str | None = None
) -> list[str]:
    """The lines that are said when it is done."""
    sources, lines = open_source(str(source)), list[str]()
    chosen = Save.parse(save, "video,json,mot")
    plans = plan_outputs(sources, out, chosen, overwrite=False, repair=asked.repair)
    faults = write_poses(
        plans, model, out, chosen, wanted=asked, who=True, say=lines.append, on_error=wrong
    )
    assert faults == 0
    return lines


def frames_of(path: Path) -> list[tuple[float, np.ndarray]]:
    """Seconds and (H, W, 3) RGB."""
    (source,) = open_source(path)
    return [(f.seconds, f.rgb) for f in source if isinstance(f, Frame)]


@pytest.mark.parametrize("turn", [0, 90])
def test_the_annotated_video_has_its_own_frames_at_its_own_times(turn, video, tmp_path):
    """Also one that a phone took upright, of frames at uneven times, at a path with spaces."""
    rng = np.random.default_rng(5)
    times = np.round(np.cumsum(rng.uniform(0.02, 0.05, 90)), 3)
    clip = video("my clip.mp4", times, size=(320, 240), clockwise_deg=turn)
    clip = clip.rename(tmp_path / "a b" / clip.name) if (tmp_path / "a b").mkdir() is None else clip
    nobody = Walker(gone=range(500))
    written(clip, nobody, tmp_path / "out put", over("butterworth", repair=True))
    shown = frames_of(tmp_path / "out put" / "my clip.mp4")
    (first, *_) = shown
    assert first[1].shape[:2] == ((320, 240) if turn else (240, 320))
    np.testing.assert_allclose([s for s, _ in shown], times - times[0], atol=1e-4)
    for i, (_, rgb) in enumerate(shown):
        assert abs(float(rgb.mean()) - grey(i)) < 4


def test_who_comes_and_goes_is_told_and_no_number_is_used_twice(video, tmp_path):
    """Gone for ten seconds, and the last one to stay, alone, for a while."""
    clip = video("clip.mp4", np.arange(480) / 30, size=(640, 480))
    walker = Walker(gone=range(60, 400))
    lines = written(clip, walker, tmp_path / "out", over("butterworth", repair=True))
    assert lines[0].startswith("clip.mp4: 480 frames, 2 people")
    assert lines[1:3] == [
        "person 1: 0.00 to 1.97 s, 60 frames, found in 100 % of the frames between",
        "person 2: 13.33 to 15.97 s, 80 frames, found in 100 % of the frames between",
    ]
    found = [(i, *ids.tolist()) for i, ids, _, _ in read_mot(tmp_path / "out" / "clip.txt")]
    assert found == [*((i, 1) for i in range(60)), *((i, 2) for i in range(400, 480))]


def test_what_was_mended_is_listed_and_counted(video, tmp_path):
    track = walk()
    for rows, limb in ((range(20, 24), "leg"), (range(60, 63), "arm"), (range(80, 81), "leg")):
        track, _ = swapped(track, rows, limb)
    clip = video("clip.mp4", np.arange(120) / 30, size=(640, 480))
    lines = written(clip, Walker(track), tmp_path / "out", over("no", repair=True), "json,mot")
    file = tmp_path / "out" / "clip_repairs.csv"
    assert lines[-1] == f"repaired 3 swaps -> {file}"
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [int(row["index"]) for row in rows] == [20, 21, 22, 23, 60, 61, 62, 80]
    assert rows[0]["kind"] == "swap"
    assert "left_knee" in rows[0]["keypoints"].split()
    assert float(rows[0]["distance"]) > 1


def test_nothing_mended_is_said_too(video, tmp_path):
    clip = video("clip.mp4", np.arange(120) / 30, size=(640, 480))
    out = tmp_path / "poses.jsonl"
    plans = plan_outputs(open_source(clip), out, Save.parse(None), overwrite=False, repair=True)
    lines: list[str] = []
    asked = over(repair=True)
    write_poses(
        plans, Walker(), out, Save.parse(None), wanted=asked, say=lines.append, on_error=wrong
    )
    assert lines[-1] == f"repaired nothing -> {tmp_path / 'poses_repairs.csv'}"
    assert len((tmp_path / "poses_repairs.csv").read_text().splitlines()) == 1


@pytest.mark.parametrize("at", [250, 470])
def test_who_stops_it_keeps_valid_files_of_what_was_done(at, video, tmp_path, capsys):
    clip = video("clip.mp4", np.arange(480) / 30, size=(320, 240))

    class Stopped(Walker):
        def people(self, index):
            if index == at:
                raise KeyboardInterrupt
            return super().people(index)

    with pytest.raises(KeyboardInterrupt):
        written(clip, Stopped(), tmp_path / "out", over("butterworth", repair=True))
    assert "stopped; clip.mp4" in capsys.readouterr().err
    done = list(vit.read(tmp_path / "out" / "clip.jsonl"))
    assert 0 < len(done) < at
    assert [frame.index for frame, _ in done] == list(range(len(done)))
    assert all(poses.raw is not None for _, poses in done)
    assert len(frames_of(tmp_path / "out" / "clip.mp4")) == len(done)
    assert not list((tmp_path / "out").glob("*.part"))


def test_one_file_has_no_room_for_what_lies_beside_it(video, tmp_path):
    sources = open_source([video("a.mp4"), video("b.mp4")])
    with refused("one file", "give a folder"):
        plan_outputs(sources, tmp_path / "a.jsonl", Save.parse(None), overwrite=False, repair=True)
    with refused("mot", "give a folder"):
        plan_outputs(sources[:1], tmp_path / "a.jsonl", Save.parse("mot"), overwrite=False)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a_repairs.csv").write_text("mine")
    with refused("a_repairs.csv", "--overwrite"):
        plan_outputs(sources[:1], tmp_path / "out", Save.parse(None), overwrite=False, repair=True)


# The command, on records: no weights are needed


@pytest.fixture
def command(monkeypatch, capsys) -> Callable[..., list[str]]:
    """`command("track", ..., cwd=folder)`: the lines that are said."""

    def run(*words: object, cwd: Path) -> list[str]:
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        app([str(word) for word in words], standalone_mode=False)
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def recorded(tmp_path, video) -> Path:
    """The record of somebody who walks, with legs exchanged in five frames, and its video."""
    folder = tmp_path / "a b"
    folder.mkdir()
    clip = video("walk.mp4", np.arange(120) / 30, size=(640, 480))
    clip = clip.rename(folder / clip.name)
    bad, _ = swapped(walk(), range(40, 45), "leg")
    model = Walker(bad)
    with vit.open_sink(folder / "poses.jsonl", model) as sink:
        for frame, poses in streamed(open_source(clip)[0], model, wrong):
            sink.write(replace(frame, source="walk.mp4"), poses)
    return folder


def test_a_record_is_mended_smoothed_and_drawn(recorded, command):
    words = ("track", "poses.jsonl", "--smooth", "butterworth", "--cutoff-hz", "5", "--repair")
    summary, who, mended = command(*words, "--save", "video,json,mot", cwd=recorded)
    assert summary.startswith("poses.jsonl: 120 frames, 1 person, ")
    assert who == "person 1: 0.00 to 3.97 s, 120 frames, found in 100 % of the frames between"
    assert mended == f"repaired 1 swap -> {Path('tracks') / 'poses_repairs.csv'}"
    got = vit.read(recorded / "tracks" / "poses.jsonl")
    wanted = {"smooth": "butterworth", "cutoff_hz": 5.0, "repair": True}
    assert wanted.items() <= got.header["options"].items()
    assert got.header["model"] == "walker"
    for (frame, poses), (_, before) in zip(got, vit.read(recorded / "poses.jsonl"), strict=True):
        assert frame.source == "walk.mp4"
        assert poses.raw is not None
        np.testing.assert_array_equal(poses.raw.xy, before.xy)
    shown = frames_of(recorded / "tracks" / "poses.mp4")
    assert [len(shown), shown[0][1].shape] == [120, (480, 640, 3)]
    assert (recorded / "tracks" / "poses.txt").exists()
    with refused("exists", "--overwrite"):
        command(*words, cwd=recorded)
    assert command(*words, "--overwrite", cwd=recorded)[1:] == [who, mended]


def test_smoothing_again_begins_with_what_was_found(recorded, command):
    command("track", "poses.jsonl", "--smooth", "one-euro", "--out", "a", cwd=recorded)
    command("track", "poses.jsonl", "--smooth", "butterworth", "--out", "b", cwd=recorded)
    command("track", "a/poses.jsonl", "--smooth", "butterworth", "--out", "c", cwd=recorded)
    b, c = (list(vit.read(recorded / name / "poses.jsonl")) for name in "bc")
    for (_, once), (_, poses) in zip(b, c, strict=True):
        np.testing.assert_allclose(poses.xy, once.xy, atol=2e-4)
    command("track", "a/poses.jsonl", "--smooth", "no", "--out", "d", cwd=recorded)
    before = vit.read(recorded / "poses.jsonl")
    for (_, poses), (_, found) in zip(vit.read(recorded / "d/poses.jsonl"), before, strict=True):
        assert poses.raw is None
        np.testing.assert_array_equal(poses.xy, found.xy)
    with refused("choose the smoothing of the result"):
        command("track", "a/poses.jsonl", "--repair", "--out", "e", cwd=recorded)
    assert not (recorded / "e").exists()


def test_numbers_stay_unless_people_are_told_apart_anew(recorded, command):
    path = recorded / "seven.jsonl"
    with vit.open_sink(path) as sink:
        for frame, poses in vit.read(recorded / "poses.jsonl"):
            sink.write(frame, replace(poses, person=np.array([7])))
    kept = command("track", path.name, "--out", "kept", cwd=recorded)
    assert kept[1].startswith("person 7: 0.00 to 3.97 s")
    anew = command("track", path.name, "--again", "--out", "anew", cwd=recorded)
    assert anew[1].startswith("person 1: 0.00 to 3.97 s")
    assert vit.read(recorded / "anew" / path.name).header["options"]["numbered"] == "again"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("poses.jsonl", "--model", "yolov8n-pose"), ("no model runs", "leave --model out")),
        (("poses.jsonl", "--start", "2"), ("leave --start out",)),
        (("poses.jsonl", "walk.mp4"), ("is a record; give one record",)),
        (("walk.mp4", "--again"), ("--again is for records",)),
        (("poses.jsonl", "--out", "poses.jsonl", "--overwrite"), ("is an input",)),
        (("poses.jsonl", "--smooth", "buterworth"), ("did you mean 'butterworth'",)),
        (("missing.jsonl",), ("cannot read 'missing.jsonl'",)),
        (("two.jsonl",), ("refers to several sources, 'a.mp4'", "one video")),
        (("empty.jsonl",), ("holds no frames",)),
        (
            ("alone.jsonl", "--save", "video"),
            ("'gone.mp4', which does not exist", "leave video out of --save"),
        ),
        (("poses.jsonl", "--save", "heatmaps"), ("a record has no heat maps",)),
        (("sample",), ("only images",)),
    ],
)
def test_what_track_cannot_do_is_one_line(words, parts, recorded, command):
    pairs = list(vit.read(recorded / "poses.jsonl"))[:4]
    for name, sources in (("two", ("a.mp4", "b.mp4")), ("alone", ("gone.mp4",))):
        with vit.open_sink(recorded / f"{name}.jsonl") as sink:
            for source in sources:
                for at, poses in pairs:
                    sink.write(replace(at, source=source), poses)
    header = (recorded / "poses.jsonl").read_text().splitlines()[0]
    (recorded / "empty.jsonl").write_text(header + "\n")
    with refused(*parts):
        command("track", *words, cwd=recorded)
    assert not (recorded / "tracks").exists()


def test_a_record_of_nobody_is_done(recorded, frame, command):
    with vit.open_sink(recorded / "nobody.jsonl") as sink:
        for i in range(5):
            sink.write(frame(i, i / 30), Poses.nobody(COCO17))
    words = ("--smooth", "butterworth", "--repair")
    (said, mended) = command("track", "nobody.jsonl", *words, cwd=recorded)
    assert said.startswith("nobody.jsonl: 5 frames, 0 people")
    assert mended.startswith("repaired nothing")
    assert (recorded / "tracks" / "nobody.txt").read_text() == ""


@pytest.mark.weights
@pytest.mark.shared
def test_track_follows_several_people_of_a_video(blazepose, shared, tmp_path, command):
    blazepose("full")
    source = shared / "data" / "videos" / "sports2d_demo.mp4"
    words = ("track", source, "--start", "2", "--end", "2.5", "--smooth", "butterworth")
    said = command(*words, "--offline", cwd=tmp_path)
    assert said[1].startswith("person 1: 2.00 to ")
    record = vit.read(tmp_path / "tracks" / "sports2d_demo.jsonl")
    assert record.header["options"]["num_poses"] == 5
    assert record.header["options"]["smooth"] == "butterworth"
    changed = []
    for _, poses in record:
        assert poses.raw is not None
        assert poses.raw.xyz is not None
        changed.append((poses.raw.xyz != poses.xyz).any())
    assert all(changed[1:-1])  # the first and the last place of somebody stay
    assert len(frames_of(tmp_path / "tracks" / "sports2d_demo.mp4")) == len(list(record))
