"""Trace: what each stage and step made of one keypoint, by the very code of `run` and `predict`."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vitruvian as vit
from conftest import need, refused
from vitruvian.decode import heatmap
from vitruvian.rendering.points import marked

SHIPPED = ["vitruvian-2d", "vitruvian-3d"]


def last(source: Any, keypoint: str, model: Any, frame: int, **options: Any) -> tuple[Any, Any]:
    """Place and score of a keypoint of the first person, as `run` gives them."""
    pairs = vit.run(source, model, **options)
    poses = next(poses for at, poses in pairs if at.index == frame)
    joint = poses[keypoint]
    return joint.xy[0], joint.score[0]


@pytest.fixture(params=["blazepose", *SHIPPED])
def model(request: pytest.FixtureRequest, blazepose: Any) -> Any:
    if request.param == "blazepose":
        return blazepose("lite")
    return vit.load(request.param, find="blazepose-lite")


def test_a_picture_is_traced_to_what_run_finds(model, tmp_path):
    traced = vit.trace("sample", "left_shoulder", model, out=tmp_path)
    xy, score = last("sample", "left_shoulder", model, 0)
    np.testing.assert_array_equal(traced.stages[-1].frame, xy)
    assert traced.stages[-1].score == pytest.approx(float(score))
    names = [stage.name for stage in traced.stages]
    assert names[:3] == ["region", "crop", "heat map"]
    assert names[-4:] == ["decoded", "suppression", "model", "Place"]
    assert traced.map is not None
    assert traced.crop is not None
    by = {stage.name: stage for stage in traced.stages}
    np.testing.assert_allclose(by["decoded"].frame, xy, atol=1e-2)
    np.testing.assert_allclose(traced.crop.to_frame(by["decoded"].crop), xy, atol=1e-2)
    assert np.linalg.norm(by["heat map"].frame - xy) < 120
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["crop.png", "frame.png", "heatmap.png", "trace.csv"]
    assert sorted(path.name for path in traced.paths) == files
    rows = list(csv.DictReader((tmp_path / "trace.csv").read_text().splitlines()))
    assert [row["stage"] for row in rows] == names
    assert float(rows[-1]["frame_x"]) == pytest.approx(float(xy[0]))
    with refused("trace.csv", "exists"):
        vit.trace("sample", "left_shoulder", model, out=tmp_path)


def test_a_trace_leaves_the_model_as_it_was(model):
    before, refine = dict(vars(model.head)), heatmap.refine
    vit.trace("sample", "nose", model)
    assert dict(vars(model.head)) == before
    assert heatmap.refine is refine


def moving(tmp_path: Path, count: int = 12) -> list[vit.Frame]:
    """The portrait, moved to the right."""
    (frame,) = vit.open_source("sample")[0]
    rgb = frame.rgb  # type: ignore[union-attr]
    rgb = rgb[::2, ::2]
    return [vit.Frame(np.roll(rgb, 2 * i, axis=1), i, i / 30) for i in range(count)]


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, ["Identify", "OneEuro", "Place", "Confirm"]),
        ({"smooth": False}, ["Identify", "Place", "Confirm"]),
        ({"smooth": False, "confirm": False}, ["Identify", "Place"]),
        ({"track": False}, ["Place"]),
        ({"absolute": True}, ["Identify", "OneEuro", "Place", "Confirm"]),
        (
            {"smooth": "butterworth", "repair": True},
            ["Identify", "Confirm", "Repair", "Butterworth", "Place"],
        ),
    ],
    ids=str,
)
def test_each_step_of_a_stream_is_told(options, steps, blazepose, tmp_path):
    model, frames = blazepose("lite"), moving(tmp_path)
    traced = vit.trace(frames, "left_shoulder", model, frame=8, **options)
    names = [stage.name for stage in traced.stages]
    assert names[names.index("model") + 1 :] == steps
    xy, _ = last(frames, "left_shoulder", model, 8, **options)
    np.testing.assert_array_equal(traced.stages[-1].frame, xy)


def test_a_filter_is_seen_to_move_the_keypoint(blazepose, tmp_path):
    traced = vit.trace(moving(tmp_path), "left_shoulder", blazepose("lite"), frame=8)
    by = {stage.name: stage.frame for stage in traced.stages}
    np.testing.assert_array_equal(by["model"], by["Identify"])
    assert (by["Identify"] != by["OneEuro"]).any()
    region = next(stage for stage in traced.stages if stage.name == "region")
    assert region.about.startswith("last region of person 1")


def test_the_table_ends_with_what_predict_writes(blazepose, tmp_path):
    from commands import command

    model = blazepose("lite")
    done = command("predict", "sample", "-m", "blazepose-lite", "-o", str(tmp_path / "a.jsonl"))
    assert done.returncode == 0, done.stderr
    line = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[1])
    traced = vit.trace("sample", "left_shoulder", model)
    k = model.skeleton["left_shoulder"]
    np.testing.assert_allclose(traced.stages[-1].frame, line["people"][0]["xy"][k], atol=0.01)
    folder = str(tmp_path / "traced")
    told = command("trace", "sample", "-m", "blazepose-lite", "-k", "left_shoulder", "-o", folder)
    assert told.returncode == 0, told.stderr
    assert traced.table() in told.stdout
    assert told.stdout.splitlines()[-1].startswith(f"-> {folder}/trace.csv, ")


@pytest.mark.parametrize(
    ("keypoint", "options", "words"),
    [
        ("left_nee", {}, ("did you mean 'left_knee'",)),
        ("nose", {"frame": 7}, ("has no frame 7", "the last is 0")),
        ("nose", {"person": 4}, ("no person 4", "known: 1")),
        ("nose", {"model": "blazepose-lite", "conf": 1.0}, ("nobody was found in frame 0", "conf")),
    ],
    ids=str,
)
def test_what_cannot_be_traced_is_one_line(keypoint, options, words, blazepose):
    model = options.pop("model", None) or blazepose("lite")
    with refused(*words):
        vit.trace("sample", keypoint, model, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"frame": -1}, "frame is -1, want a whole number from 0"),
        ({"person": 0}, "person is 0, want a whole number from 1"),
        ({"frame": 3}, "'clip.mp4' has no frame 3; the last is 2"),
        ({"out": "a.csv"}, "'a.csv' is one file, a trace writes several"),
        ({}, "no model named 'none'"),
    ],
    ids=str,
)
def test_what_is_not_there_is_refused_before_a_model_is_opened(options, said, video):
    clip = video("clip.mp4", [0, 0.1, 0.2])
    with refused(said):
        vit.trace(clip, "nose", "none", **options)


@pytest.mark.shared
def test_yolo_is_traced_through_its_letterbox(shared):
    need("onnx")  # to convert the checkpoint
    model = vit.load(str(shared / "weights/yolov8n-pose.pt"))
    traced = vit.trace("sample", "left_shoulder", model)
    xy, _ = last("sample", "left_shoulder", model, 0)
    names = [stage.name for stage in traced.stages]
    assert names == ["crop", "box", "network", "decoded", "suppression", "model", "Place"]
    np.testing.assert_array_equal(traced.stages[-1].frame, xy)
    np.testing.assert_allclose(traced.stages[2].frame, xy, atol=1e-3)


def test_points_are_marked_where_they_are():
    picture = marked(np.zeros((72, 72, 3), np.uint8), {"a": np.array([50.0, 60.0])})
    assert picture.shape == (720, 720, 3)
    y, x = np.nonzero(picture[200:].any(axis=-1))
    assert (x.mean(), y.mean() + 200) == pytest.approx((500, 600), abs=1)
