"""Compare: who is who across models, laws of agreement, panels, records that go on, a story."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from commands import command
from conftest import TOY, grey, refused, stream_defaults
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17
from vitruvian.errors import VitruvianError
from vitruvian.formats.records import json_lines, read
from vitruvian.frame import Frame
from vitruvian.sources.open import Span
from vitruvian.verbs.benchmark import machine
from vitruvian.verbs.compare import compare as module
from vitruvian.verbs.compare.agreement import (
    LIMITS,
    POINTS,
    BlandAltman,
    Common,
    angles_apart,
    pair,
)
from vitruvian.verbs.compare.compare import compare
from vitruvian.verbs.compare.lines import FrameRecord, FrameResult
from vitruvian.verbs.compare.panels import GAP, ROOM, STRIP, Layout, panels, result_caption, view
from vitruvian.verbs.compare.result import Comparison
from vitruvian.verbs.compare.summary import Chapter, write_comparison
from vitruvian.verbs.compare.tally import MOMENTS, Moments, SourceTally

BODY = np.random.default_rng(3).uniform(0.1, 0.9, (17, 2)).astype(np.float32)


def bodies(*corners: tuple[float, float], size: float = 100, **fields: Any) -> Poses:
    """People of COCO's keypoints in squares with these top left corners."""
    n = len(corners)
    low = np.array(corners, np.float32).reshape(n, 2)
    given: dict[str, Any] = {
        "xy": low[:, None] + BODY * size,
        "score": np.full((n, 17), 0.9, np.float32),
        "box": np.concatenate([low, low + size], axis=1).astype(np.float32),
        "box_score": np.full(n, 0.9, np.float32),
        "person": np.full(n, -1),
        **fields,
    }
    return Poses(COCO17, **given)


COMMON = Common.of(COCO17, COCO17)
# Who is who, and how far apart


def test_joints_are_matched_by_name():
    common = Common.of(BLAZEPOSE33, COCO17)
    assert common.skeleton.keypoints[:3] == ("nose", "left_eye", "right_eye")
    assert len(common.a) == 17
    for name, a, b in zip(common.skeleton.keypoints, common.a, common.b, strict=True):
        assert BLAZEPOSE33.keypoints[a] == COCO17.keypoints[b] == name
    np.testing.assert_array_equal(common.skeleton.sigmas, COCO17.sigmas[common.b])


def test_the_same_people_in_another_order_agree_in_everything():
    a, b = bodies((0, 0), (300, 0), (600, 50)), bodies((600, 50), (0, 0), (300, 0))
    found = pair(a, b, COMMON)
    assert {tuple(row) for row in found.rows.tolist()} == {(0, 1), (1, 2), (2, 0)}
    assert found.disagreement == pytest.approx(0)
    np.testing.assert_array_equal(found.percent, 0)


def test_nobody_agrees_with_nobody_and_somebody_alone_is_all_disagreement():
    nobody = Poses.nobody(COCO17)
    assert pair(nobody, nobody, COMMON).disagreement == 0
    for found in (pair(bodies((0, 0)), nobody, COMMON), pair(nobody, bodies((0, 0)), COMMON)):
        assert found.disagreement == 1
        assert found.percent.shape == (0, 17)


def test_people_far_from_each_other_are_not_the_same():
    found = pair(bodies((0, 0)), bodies((500, 0)), COMMON)
    assert len(found.rows) == 0
    assert found.disagreement == 1


def test_people_together_are_most_alike_not_each_by_itself():
    """The first of a is nearest to the first of b, which the second of a needs more."""
    a, b = bodies((0, 0), (12, 0)), bodies((6, 0), (-8, 0))
    assert {tuple(row) for row in pair(a, b, COMMON).rows.tolist()} == {(0, 1), (1, 0)}


def test_distances_are_in_percent_of_the_size_and_swap_with_the_models():
    a, b = bodies((0, 0)), bodies((3, 4))
    found, back = pair(a, b, COMMON), pair(b, a, COMMON)
    np.testing.assert_allclose(found.pixels, 5, rtol=1e-5)
    np.testing.assert_allclose(found.percent, 5, rtol=1e-5)
    np.testing.assert_allclose(back.percent, found.percent)
    assert back.disagreement == pytest.approx(found.disagreement)
    twice = pair(bodies((0, 0), size=200), bodies((6, 8), size=200), COMMON)
    np.testing.assert_allclose(twice.percent, found.percent, rtol=1e-5)


def test_a_joint_that_one_has_not_seen_does_not_count():
    score = np.full((1, 17), 0.9, np.float32)
    score[0, 5] = 0.1
    xy = bodies((0, 0)).xy.copy()
    xy[0, 6] = np.nan
    found = pair(bodies((0, 0)), bodies((0, 0), score=score, xy=xy), COMMON)
    assert np.flatnonzero(np.isnan(found.percent[0])).tolist() == [5, 6]
    assert found.disagreement == pytest.approx(0)


def test_skeletons_without_a_common_joint_match_nobody(people):
    paw = Skeleton.table("paw", "this test", ("wrist", "", 0.1))
    found = pair(people(2), people(1, paw), Common.of(TOY, paw))
    assert found.rows.shape == (0, 2)
    assert found.disagreement == 1


# Bland and Altman


def test_bias_and_limits_are_those_of_the_differences(rng):
    values = rng.normal(0, 10, (500, 2, 2))
    values[..., 1] = values[..., 0] + rng.normal(3, 2, (500, 2))
    values[::7, 1, 0] = np.nan
    sums = BlandAltman(2)
    for part in np.array_split(values, 9):
        sums.add(part)
    apart = values[..., 1] - values[..., 0]
    np.testing.assert_array_equal(sums.count, np.isfinite(apart).sum(axis=0))
    np.testing.assert_allclose(sums.bias, np.nanmean(apart, axis=0))
    np.testing.assert_allclose(sums.deviation, np.nanstd(apart, axis=0, ddof=1))
    width = np.nanstd(apart, axis=0, ddof=1) * LIMITS
    mean = np.nanmean(apart, axis=0)
    np.testing.assert_allclose(sums.limits, np.stack([mean - width, mean + width]))


def test_of_many_values_a_fair_sample_is_kept():
    sums = BlandAltman(1)
    for i in range(5000):
        sums.add(np.array([[[i, i]]], float))
    kept = np.array([mean for mean, _ in sums.points[0]])
    assert len(kept) == POINTS
    assert abs(kept.mean() - 2500) < 4 * 5000 / np.sqrt(12 * POINTS)


def test_of_nothing_and_of_one_value_there_are_no_limits():
    sums = BlandAltman(2)
    sums.add(np.array([[[1, 3], [np.nan, 1]]]))
    assert sums.bias[0] == 2
    assert np.isnan(sums.bias[1])
    assert np.isnan(sums.limits).all()


def test_angles_are_apart_by_less_than_half_a_turn(rng):
    a, b = bodies((0, 0)), bodies((0, 0), xy=bodies((0, 0)).xy + rng.normal(0, 9, (1, 17, 2)))
    apart = angles_apart(a, b, pair(a, b, COMMON), "2d")
    assert np.isfinite(apart).any()
    difference = np.diff(apart, axis=-1)
    assert np.nanmax(np.abs(difference)) <= 180
    nobody = Poses.nobody(COCO17)
    assert angles_apart(nobody, b, pair(nobody, b, COMMON), "2d").shape[0] == 0


# Panels


@pytest.mark.parametrize(
    ("count", "picture", "columns"),
    [
        (2, (1920, 1080), 2),
        (3, (1280, 720), 3),
        (4, (1280, 720), 2),
        (3, (1080, 1920), 3),
        (1, (64, 48), 1),
        (6, (1280, 720), 3),
    ],
)
def test_panels_are_side_by_side_while_there_is_room(count, picture, columns):
    layout = Layout.of(count, picture)
    assert layout.columns == columns
    assert layout.size[0] * columns <= ROOM[0]
    assert layout.size[0] / layout.size[1] == pytest.approx(picture[0] / picture[1], rel=0.02)


def test_every_panel_has_its_picture_and_three_of_four_leave_a_white_one(frame):
    seen = frame(size=(640, 480), grey=50)
    results = [FrameResult(Poses.nobody(COCO17), 3.0)] * 5
    whole = panels(seen, list("abcde"), results, [None] * 5)
    wide, tall = Layout.of(5, (640, 480)).size
    assert whole.shape == (2 * (tall + 2 * STRIP + GAP), 3 * (wide + GAP), 3)
    middles = [whole[STRIP + tall // 2, GAP // 2 + wide // 2 + i * (wide + GAP)] for i in range(3)]
    assert all((middle == 50).all() for middle in middles)
    assert (whole[-tall // 2, -wide // 2] == 255).all()


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (FrameResult(Poses.nobody(COCO17), 12.4), "no people, 12 ms"),
        (FrameResult(bodies((0, 0)), 9.6), "1 person, 10 ms"),
        (FrameResult(bodies((0, 0), (9, 9))), "2 people"),
        (FrameResult(None, failed="it broke"), "it broke"),
    ],
)
def test_what_is_said_under_a_panel(result, words):
    assert result_caption(result) == words


def test_metres_are_shown_under_the_pictures_also_of_a_moment_with_nobody(people, frame, tmp_path):
    path = tmp_path / "a.jsonl"
    with json_lines(path, None) as sink:
        for i in range(3):
            sink.write(frame(i, i / 10), people(1 + i % 2, everything=True))
        sink.write(frame(3, 0.3), Poses.nobody(TOY, "hips"))
    with FrameRecord(path, True) as lines:
        stage = view(lines)
        assert stage is not None
        drawn = [
            panels(at, ["long " * 40, "b"], [lines[at], FrameResult(bodies())], [stage, None])
            for at in (frame(i, i / 10) for i in range(4))
        ]
    wide, tall = Layout.of(2, (64, 48)).size
    assert drawn[0].shape[0] == tall + 2 * STRIP + GAP + wide // 2
    under = [one[tall + 2 * STRIP + GAP :, : wide // 2].astype(int) for one in drawn]
    assert np.abs(under[0] - under[1]).max() > 50  # other people
    assert np.abs(under[0] - under[3]).max() > 50  # nobody


# Summing up


def test_a_tally_counts_people_milliseconds_and_who_is_alone(frame):
    tally = SourceTally(["a", "b"], 4, True, 0.4)
    small = np.zeros((1, 1, 3), np.uint8)
    for i in range(4):
        a = FrameResult(bodies((0, 0), (300, 0)), 10.0 + i)
        b = FrameResult(bodies((3, 4)), 5.0) if i < 3 else FrameResult(None, failed="it broke")
        line = tally.add(frame(i, i / 10), [a, b], lambda: small)
        assert len(line["pairs"]) == (i < 3)
    said = tally.summary("clip.mp4")
    assert asdict(said.models[0]) == {
        "model": "a", "frames": 4, "failed": 0, "people_a_frame": 2, "ms_median": 11.5,
        "ms_p95": pytest.approx(12.85),
    }  # fmt: skip
    assert said.models[1].failed == 1
    assert said.models[1].people_a_frame == 1
    (one,) = said.pairs
    assert (one.frames, one.both, one.only_first, one.only_second) == (3, 3, 3, 0)
    nose = one.joints_percent["nose"].median
    assert nose == pytest.approx(5, abs=0.2)
    assert 0.5 < one.disagreement < 0.7
    assert json.loads(json.dumps(asdict(said)))["pairs"][0]["joints_percent"]["nose"] == {
        "median": nose, "p95": one.joints_percent["nose"].p95
    }  # fmt: skip


def test_quantiles_from_steps_are_those_of_the_distances(frame, rng):
    tally = SourceTally(["a", "b"], 300, True, 10)
    apart = rng.exponential(4, 300)
    for i, far in enumerate(apart):
        both = [FrameResult(bodies((0, 0))), FrameResult(bodies((float(far), 0)))]
        tally.add(frame(i, i / 30), both, lambda: np.zeros((1, 1, 3), np.uint8))
    (found,) = tally.pairs.values()
    both_found = apart[apart < 40]
    for share in (0.5, 0.95):
        want = np.quantile(both_found, share)
        np.testing.assert_allclose(found.quantile(share), want, atol=0.5)


def test_the_greatest_disagreements_are_kept_some_time_apart(frame):
    moments = Moments(0.5)
    values = np.abs(np.sin(np.arange(300) / 7)) * np.linspace(0.2, 1, 300)
    drawn: list[int] = []

    def draw(i: int) -> np.ndarray:
        drawn.append(i)
        return np.full((1, 1, 3), i % 256, np.uint8)

    for i, value in enumerate(values):
        moments.add(float(value), frame(i, i / 30), lambda i=i: draw(i))
    kept = [moment.frame.seconds for moment in moments.kept]
    assert len(kept) == MOMENTS
    assert min(np.diff(sorted(kept))) >= 0.5
    assert moments.kept[0].disagreement == values.max()
    assert [m.disagreement for m in moments.kept] == sorted(
        (m.disagreement for m in moments.kept), reverse=True
    )
    assert all(moment.frame.pixels is None for moment in moments.kept)
    assert len(drawn) < 300
    assert [m.picture[0, 0, 0] for m in moments.kept] == [m.frame.index % 256 for m in moments.kept]


def test_where_all_agree_there_is_no_moment(frame):
    moments = Moments(0)
    moments.add(0.0, frame(), lambda: pytest.fail("drawn"))
    assert moments.kept == []


# The whole


class Fake:
    """A model that finds one person, somewhere else in each model; `breaks` says where it fails."""

    skeleton, runs_on = COCO17, "a test"

    def __init__(self, name: str, breaks: Callable[[Frame], None]) -> None:
        self.name, self.weights, self.options = name, {}, {"track": False}
        self.wanted = stream_defaults(self.options)
        self.breaks, self.seen = breaks, list[str]()

    def __call__(self, frames: Sequence[Frame], look: object = None) -> list[Poses]:
        (frame,) = frames
        self.seen.append(f"{Path(frame.source).name} {frame.index}")
        self.breaks(frame)
        return [bodies((float(len(self.name)), 0), size=min(frame.size) / 2)]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Fake]:
    """Models are made up; here are those that were loaded. `broken` fails on b.png."""
    made: list[Fake] = []

    def breaks(frame: Frame) -> None:
        if Path(frame.source).name == "b.png":
            raise RuntimeError("too hard\nfor it")

    def load(name: str, **options: Any) -> Fake:
        if name == "missing":
            raise VitruvianError("its weights cannot be had")
        made.append(Fake(name, breaks if name == "broken" else lambda frame: None))
        return made[-1]

    monkeypatch.setattr(module, "load", load)
    monkeypatch.setattr(module, "check_options", lambda name, **options: None)
    monkeypatch.setattr(module, "for_pictures", lambda name, options: dict(options))
    return made


def pictures(picture: Callable[..., Path]) -> Path:
    """A folder with a space in its name, of images of different sizes."""
    path = Path()
    for i, (name, size) in enumerate({"a": (60, 80), "b": (90, 40), "c": (50, 50)}.items()):
        path = picture(f"my images/{name}.png", np.full((*size, 3), 40 * i + 40, np.uint8))
    return path.parent


def opened(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    return image


def test_a_folder_of_different_sizes_is_compared(loaded, picture, tmp_path):
    out = tmp_path / "out of it"
    numbers = compare(pictures(picture), ["one", "three"], out)
    assert {path.name for path in out.iterdir()} == {
        ".vitruvian", "a.jpg", "b.jpg", "c.jpg", "comparison.json", "pictures - disagreement.jsonl",
        "records", "report.html",
    }  # fmt: skip
    assert json.loads((out / "comparison.json").read_text()) == asdict(numbers)
    assert numbers.sources[0].pairs[0].both == 3
    wide, tall = Layout.of(2, (80, 60)).size
    image = opened(out / "a.jpg")
    assert image.shape == (tall + 2 * STRIP + GAP, 2 * (wide + GAP), 3)
    lines = [
        json.loads(x) for x in (out / "pictures - disagreement.jsonl").read_text().splitlines()
    ]
    assert [Path(line["source"]).name for line in lines] == ["a.png", "b.png", "c.png"]
    records = sorted((out / "records").iterdir())
    assert [r.name for r in records] == ["pictures - one.jsonl", "pictures - three.jsonl"]
    assert [len(poses) for _, poses in read(records[0])] == [1, 1, 1]


def test_options_that_are_paths_stay_in_the_names_of_records(loaded, picture, tmp_path):
    models = ["one,find=/a/b.onnx,num_poses=3", "two,find=/a/b.onnx,num_poses=3"]
    compare(pictures(picture), models, tmp_path / "out")
    names = [path.name for path in sorted((tmp_path / "out/records").glob("*.jsonl"))]
    assert [name.split("(")[0] for name in names] == ["pictures - one ", "pictures - two "]


def test_the_report_needs_nothing_from_elsewhere(loaded, picture, tmp_path):
    compare(pictures(picture), ["one", "<three>"], tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text()
    assert "&lt;three&gt;" in page
    assert "<three>" not in page
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', outside)
    assert page.count("data:image/jpeg") == 4  # the first image, and three moments
    assert page.count("<svg") == 3  # over time, joints, angles


def test_what_is_there_is_not_made_again_and_a_model_can_be_added(loaded, picture, tmp_path):
    folder, out = pictures(picture), tmp_path / "out"
    first = compare(folder, ["one", "three"], out)
    assert [model.name for model in loaded] == ["one", "three"]
    with refused("exists; pass --resume", "--overwrite", "another --out"):
        compare(folder, ["one", "three"], out)
    second = compare(folder, ["one", "three"], out, resume=True)
    assert len(loaded) == 2
    assert first.sources == second.sources
    third = compare(folder, ["one", "three", "another"], out, resume=True)
    assert [model.name for model in loaded] == ["one", "three", "another"]
    assert len(third.sources[0].pairs) == 3
    assert compare(folder, ["one", "three", "another"], out, resume=True) == third  # finished
    record = out / "records/pictures - one.jsonl"
    whole = record.read_text().splitlines(keepends=True)
    record.write_text("".join(whole[:-1]) + whole[-1][:20])  # cut off
    picture("my images/a.png", np.full((60, 80, 3), 9, np.uint8))  # changed
    compare(folder, ["one", "three"], out, resume=True)
    assert [model.seen for model in loaded[3:]] == [  # the first once more to warm up
        ["a.png 0", "a.png 0", "c.png 2"],
        ["a.png 0", "a.png 0"],
    ]
    lines = record.read_text().splitlines(keepends=True)
    assert lines[1] == whole[2]  # b.png is as it was
    assert opened(out / "a.jpg").shape[1] > 600
    picture("my images/d.png", np.full((60, 80, 3), 9, np.uint8))
    with refused("was made with different sources, without", "d.png", "--overwrite"):
        compare(folder, ["one", "three"], out, resume=True)
    compare(folder, ["one", "three"], out, overwrite=True)
    assert len(loaded) == 7


def test_an_interrupted_run_goes_on_where_it_was(loaded, picture, tmp_path, monkeypatch):
    folder, out = pictures(picture), tmp_path / "out"
    original = Fake.__call__

    def stop(self: Fake, frames: Sequence[Frame], look: object = None) -> list[Poses]:
        if self.name == "three" and Path(frames[0].source).name == "b.png":
            raise KeyboardInterrupt
        return original(self, frames, look)

    monkeypatch.setattr(Fake, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        compare(folder, ["one", "three"], out)
    monkeypatch.setattr(Fake, "__call__", original)
    part = out / "records/pictures - three.jsonl.part"
    with part.open("a") as file:
        file.write('{"source": "half a li')  # as if it had been cut off while writing
    loaded.clear()
    compare(folder, ["one", "three"], out, resume=True)
    (model,) = loaded
    assert model.name == "three"
    assert model.seen == ["b.png 1", "b.png 1", "c.png 2"]  # the first once more to warm up
    names = [Path(frame.source).name for frame, _ in read(part.with_suffix(""))]
    assert names == ["a.png", "b.png", "c.png"]


def test_a_model_that_fails_on_a_picture_is_said_and_the_rest_is_done(loaded, picture, tmp_path):
    told: list[VitruvianError] = []
    out = tmp_path / "out"
    numbers = compare(pictures(picture), ["one", "broken"], out, on_error=told.append)
    (error,) = told
    assert "broken has no result for 1 of 3 frames" in str(error)
    assert "b.png: RuntimeError: too hard" in str(error)
    assert numbers.sources[0].models[1].failed == 1
    assert numbers.sources[0].pairs[0].frames == 2
    assert opened(out / "b.jpg").shape[1] > 600
    assert "RuntimeError: too hard" in (out / "report.html").read_text()
    again: list[VitruvianError] = []
    compare(pictures(picture), ["one", "broken"], out, overwrite=True, on_error=again.append)
    assert list(map(str, again)) == list(map(str, told))
    with refused("RuntimeError: too hard"):
        compare(pictures(picture), ["one", "broken"], tmp_path / "other")


def test_a_model_that_cannot_be_had_does_not_stop_the_others(loaded, picture, tmp_path):
    told: list[VitruvianError] = []
    numbers = compare(
        pictures(picture), ["one", "missing", "two"], tmp_path / "out", on_error=told.append
    )
    assert [str(error) for error in told] == ["missing, my images: its weights cannot be had"]
    assert [each.model for each in numbers.sources[0].models] == ["one", "two"]


def test_a_picture_that_cannot_be_read_is_said_once(loaded, picture, tmp_path):
    folder = pictures(picture)
    (folder / "aa.jpg").write_bytes(b"no picture")
    told: list[VitruvianError] = []
    numbers = compare(folder, ["one", "two"], tmp_path / "out", on_error=told.append)
    assert len(told) == 1
    assert "aa.jpg" in str(told[0])
    assert numbers.sources[0].frames == 3


@pytest.mark.parametrize(("frames", "turn"), [(5, 0), (1, 0), (3, 90)])
def test_a_video_becomes_a_video_with_the_same_times(loaded, video, tmp_path, frames, turn):
    import av

    times = [0.0, 0.1, 0.3, 0.4, 0.5][:frames]
    clip = video("a clip.mp4", times, clockwise_deg=turn)
    out = tmp_path / "out"
    numbers = compare(clip, ["one", "three"], out)
    size = (48, 64) if turn else (64, 48)
    wide, tall = Layout.of(2, size).size
    with av.open(str(out / "a clip.mp4")) as made:
        shown = list(made.decode(video=0))
    assert [round(float(frame.time or 0), 3) for frame in shown] == times
    assert abs(shown[0].width - 2 * (wide + GAP)) <= 1
    assert abs(shown[0].height - (tall + 2 * STRIP + GAP)) <= 1
    lowest = shown[-1].to_ndarray(format="rgb24")[STRIP + tall - 8, wide // 2 - 20 : wide // 2]
    assert abs(int(np.median(lowest)) - grey(frames - 1)) < 8
    assert numbers.sources[0].frames == frames
    page = (out / "report.html").read_text()
    assert (">seconds<" in page) == (frames > 1)


def test_records_of_others_stand_beside_ours(loaded, video, tmp_path):
    clip = video("clip.mp4")
    theirs = tmp_path / "peer.jsonl"
    with json_lines(theirs, None) as sink:
        for i in (0, 1, 3, 4):
            pixels = np.zeros((48, 64, 3), np.uint8)
            sink.write(Frame(pixels, i, i / 10, "/elsewhere/clip.mp4"), bodies((3, 0), size=24))
    told: list[VitruvianError] = []
    numbers = compare(clip, ["one"], tmp_path / "out", results=[theirs], on_error=told.append)
    assert ["peer has no result for 1 of 5 frames" in str(error) for error in told] == [True]
    ours, peer = numbers.sources[0].models
    assert (peer.model, peer.failed, peer.ms_median) == ("peer", 1, None)
    (both,) = numbers.sources[0].pairs
    assert (both.frames, both.both, both.disagreement) == (4, 4, 0)
    assert ours.ms_median is not None


def test_a_record_that_goes_on_longer_is_compared_as_far_as_the_source_goes(
    loaded, video, tmp_path
):
    theirs = tmp_path / "peer.jsonl"
    with json_lines(theirs, None) as sink:
        for i in range(400):
            sink.write(Frame(None, i, i / 10, "clip.mp4", size=(64, 48)), bodies((3, 0), size=24))
    out = tmp_path / "out"
    numbers = compare(video("clip.mp4"), ["one"], out, results=[theirs], span=Span(max_frames=3))
    assert numbers.sources[0].frames == 3
    assert (out / "report.html").read_text().count("<svg") == 3


def test_a_video_that_ends_early_is_compared_as_far_as_it_goes(frame, tmp_path):
    tally = SourceTally(["a", "b"], 100, True, 10)
    chapter = Chapter("clip.mp4", tally)
    small = np.zeros((9, 16, 3), np.uint8)
    for i in range(4):
        both = [FrameResult(bodies((0, 0)), 1.0), FrameResult(bodies((i, 0)), 2.0)]
        tally.add(frame(i, i / 10), both, lambda: small)
        chapter.add(frame(i, i / 10), both, small)
    said = Comparison({}, machine.describe(), [], [])
    write_comparison([chapter], said, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("<svg") == 3
    assert chapter.shown is not None


def test_a_record_of_pictures_of_another_size_is_not_compared(loaded, video, tmp_path, people):
    theirs = tmp_path / "peer.jsonl"
    with json_lines(theirs, None) as sink:
        sink.write(Frame(None, 0, 0, "clip.mp4", size=(32, 24)), people(1, COCO17))
    told: list[VitruvianError] = []
    compare(video("clip.mp4", [0.0]), ["one"], tmp_path / "out", results=[theirs],
            on_error=told.append)  # fmt: skip
    assert "from an image of 32 x 24 pixels" in str(told[0])


def test_what_cannot_be_compared_is_refused(loaded, picture, tmp_path):
    folder = pictures(picture)
    with refused("a comparison needs two sides"):
        compare(folder, ["one"], tmp_path / "out")
    with refused("two models are named 'one'"):
        compare(folder, ["one", "one"], tmp_path / "out")
    with refused("is in", "would be replaced"):
        compare(folder, ["one", "two"], folder, overwrite=True)
    with refused("cannot be compared"):
        compare("camera:0", ["one", "two"], tmp_path / "out")
    with refused("cannot read", "none.jsonl"):
        compare(folder, ["one"], tmp_path / "out", results=[tmp_path / "none.jsonl"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with refused("is not empty and not a comparison"):
        compare(folder, ["one", "two"], tmp_path / "full")
    with refused("is one file, a comparison writes several"):
        compare(folder, ["one", "two"], tmp_path / "full/mine.txt")
    assert not loaded
    assert not (tmp_path / "out").exists()
    with refused("its weights cannot be had"):
        compare(folder, ["missing", "missing,conf=0.3"], tmp_path / "out")


def test_a_record_that_is_none_says_which_line(tmp_path, frame, people):
    path = tmp_path / "a.jsonl"
    with json_lines(path, None) as sink:
        sink.write(frame(), people())
    path.write_text(path.read_text() + '{"source": "a"}\n')
    with refused("a.jsonl", "line 3 is not a frame"):
        FrameRecord(path, True)


def test_a_record_whose_frames_are_out_of_order_is_refused(tmp_path, frame, people):
    path = tmp_path / "a.jsonl"
    with json_lines(path, None) as sink:
        for i in (0, 2, 1):
            sink.write(frame(i), people())
    with refused("line 4, frame 1 of 'clip.mp4', comes after frame 2"):
        FrameRecord(path, True)


def test_one_command_compares_two_networks(tmp_path):
    """With weights that come with vitruvian: 2D, with a mirror, and 3D; a portrait and nobody."""
    import vitruvian as vit

    folder = tmp_path / "two images"
    folder.mkdir()
    portrait = vit.open_source("sample")[0].paths[0]  # type: ignore[attr-defined]
    (folder / "a.jpg").write_bytes(portrait.read_bytes())
    cv2.imwrite(str(folder / "nobody.png"), np.full((120, 160, 3), 127, np.uint8))
    out = tmp_path / "out"
    words = ["compare", folder, "--out", out, "--offline"]
    for model in ("vitruvian-2d", "vitruvian-2d,flip=true", "vitruvian-3d"):
        words += ["--model", model]
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"2 frames compared -> {out / 'report.html'}\n")
    numbers = json.loads((out / "comparison.json").read_text())["sources"][0]
    mirrored, *_ = numbers["pairs"]
    assert mirrored["second"] == "vitruvian-2d (flip=true)"
    assert (mirrored["frames"], mirrored["both"]) == (2, 1)
    assert 0 < mirrored["joints_percent"]["nose"]["median"] < 5
    assert 0 < mirrored["disagreement"] < 0.1
    assert [side["people_a_frame"] for side in numbers["models"]] == [0.5, 0.5, 0.5]
    assert opened(out / "nobody.jpg").shape[0] < opened(out / "a.jpg").shape[0]
