"""Our files after other programs had them, files of other programs, and files that are odd."""

import copy
import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import vitruvian as vit
from conftest import TOY, need, refused
from samples import SAVED, joined
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, HALPE26, SMPL24
from vitruvian.body.state import State, states
from vitruvian.body.track import tracks
from vitruvian.cli.app import app
from vitruvian.errors import LONGEST, VitruvianError
from vitruvian.formats.coco import coco_labels
from vitruvian.formats.mot import read_mot
from vitruvian.frame import Frame
from vitruvian.sources.open import open_source
from vitruvian.sources.record import open_record
from vitruvian.sources.threads import reread
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.compare.lines import FrameRecord, same_files
from vitruvian.verbs.convert import convert
from vitruvian.verbs.output_files import plan_outputs
from vitruvian.verbs.outputs import Save, can_hold
from vitruvian.verbs.track import over_again

People = Callable[..., Poses]
Frames = Callable[..., Frame]


def write(path: Path, *pairs: tuple[Frame, Poses]) -> Path:
    with vit.open_sink(path, overwrite=True) as sink:
        for frame, poses in pairs:
            sink.write(frame, poses)
    return path


def read(path: Path, **how: Any) -> list[tuple[Frame, Poses]]:
    return list(vit.read(path, **how))


def alike(got: Poses, want: Poses) -> None:
    """Assert that a table gave back what went into it."""
    assert got.skeleton == want.skeleton
    for part in ("xy", "score", "xyz", "error", "plausible", "person"):
        np.testing.assert_allclose(getattr(got, part), getattr(want, part), atol=1e-4)


# Skeletons


@pytest.mark.parametrize("way", [copy.deepcopy, lambda poses: pickle.loads(pickle.dumps(poses))])
def test_poses_of_another_process_are_of_the_same_skeleton(way, tmp_path, people, frame):
    pairs = [(frame(i, i / 10), people(1, person=np.array([1]))) for i in range(4)]
    sent = [(at, poses if i % 2 else way(poses)) for i, (at, poses) in enumerate(pairs)]
    assert [len(track) for track in tracks(sent)] == [4]
    assert len(read(write(tmp_path / "a.jsonl", *sent))) == 4
    assert sent[0][1].skeleton == TOY
    assert {TOY: 1}[sent[0][1].skeleton] == 1
    metres = [(at, replace(poses, xyz=np.ones((1, 3, 3), np.float32), origin="camera"))
              for at, poses in sent]  # fmt: skip
    write(tmp_path / "a.trc", *metres)


def test_skeletons_that_differ_are_not_equal():
    assert TOY != COCO17
    assert replace(TOY, bones=()) != TOY
    assert replace(TOY, sigmas=TOY.sigmas + 1) != TOY
    assert replace(TOY, source="elsewhere") == TOY
    assert TOY != "toy"


def test_a_keypoint_without_another_side_is_its_own_mirror():
    one = Skeleton.table("one", "", ("nose", "", 0.1), ("left_hand", "nose", 0.1))
    assert one.mirror.tolist() == [0, 1]


# Tables


def tabled(path: Path) -> tuple[list[str], Poses]:
    """A table of three frames with two people; its lines, and who is in each frame."""
    rng = np.random.default_rng(0)
    xy = rng.uniform(1, 99, (2, 17, 2)).astype(np.float32)
    poses = Poses(
        COCO17, xy, np.full((2, 17), 0.5, np.float32), np.ones((2, 4), np.float32),
        np.ones(2, np.float32), np.array([1, 2]), xyz=rng.normal(size=(2, 17, 3)).astype("f4"),
        origin="camera", error=np.ones(2, np.float32), plausible=np.array([True, False]),
    )  # fmt: skip
    write(path, *((Frame(None, i, i / 30, "v.mp4", size=(99, 99)), poses) for i in range(3)))
    return path.read_text().splitlines() if path.suffix == ".csv" else [], poses


@pytest.mark.parametrize("how", SAVED)
def test_a_table_is_read_as_other_programs_save_it(how, tmp_path):
    rows, want = tabled(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(SAVED[how](rows).encode())
    pairs = read(tmp_path / "b.csv")
    assert [frame.index for frame, _ in pairs] == [0, 1, 2]
    for frame, poses in pairs:
        assert frame.source == "v.mp4"
        order = np.argsort(poses.person)
        alike(poses.take(order), want)


def test_a_keypoint_without_a_row_was_not_found(tmp_path):
    rows, want = tabled(tmp_path / "a.csv")
    gone = [row for row in rows if not row.startswith("v.mp4,1,0.033333,1,nose")]
    assert len(gone) == len(rows) - 1
    (tmp_path / "b.csv").write_text(joined(gone))
    _, (_, poses), _ = read(tmp_path / "b.csv")
    assert poses.skeleton == COCO17
    assert np.isnan(poses["nose"].xy).all(axis=-1).tolist() == [True, False]
    assert poses["nose"].score.tolist() == [0, 0.5]
    assert poses.box_score.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(poses.xy[:, 1:], want.xy[:, 1:], atol=1e-4)


def test_a_parquet_table_is_read_after_pandas_had_it(tmp_path):
    need("pyarrow")
    pandas = pytest.importorskip("pandas")
    _, want = tabled(tmp_path / "a.parquet")
    table = pandas.read_parquet(tmp_path / "a.parquet").sort_values("keypoint")
    table["person"] = table["person"].astype(float)
    table["source"] = table["source"].astype("category")
    table.to_parquet(tmp_path / "b.parquet")
    pairs = read(tmp_path / "b.parquet")
    assert [frame.index for frame, _ in pairs] == [0, 1, 2]
    for _, poses in pairs:
        alike(poses.take(np.argsort(poses.person)), want)


HEAD = "source,index,time,person,keypoint,x,y,score\n"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["v,0,0,1,nose,inf,1,1"], ["row 2", "not finite"]),
        (["v,0,0,1,nose,1,1,1", "v,1,x,1,nose,1,1,1"], ["row 3, time: 'x', want a number"]),
        (["v,0,00:00.5,1,nose,1,1,1"], ["row 2, time: '00:00.5'"]),
        (["v,0,0,1.5,nose,1,1,1"], ["row 2, person: '1.5', want a whole number"]),
        (["v,0,0,99999999999999999999,nose,1,1,1"], ["row 2, person"]),
        (["v,0,0,1,nose,01.Mai,1,1"], ["row 2, x: '01.Mai', want a number"]),
        (["v,0,0,1,nose,1_000,1,1"], ["row 2, x: '1_000'"]),
        (['v,0,0,1,nose,"1,000",1,1'], ["row 2, x: '1,000'"]),
        (["v,0,0,1,,1,1,1"], ["row 2, keypoint: ''"]),
        (["v,0,0,1,nose,1,1,1"] * 2, ["row 3 repeats nose of person 1"]),
        (["v,0,0,1,nose,1,1,1,9"], ["row 2 has 9 fields, want 8"]),
        (["v" * 200_000 + ",0,0,1,nose,1,1,1"], ["field larger than field limit"]),
        (["v,1,0.1,1,nose,1,1,1", "v,2,0.1,1,nose,1,1,1"], ["frames 1 and 2 are both at 0.1 s"]),
        (
            [f"v,0,0,-1,{name},1,1,1" for name in ("nose", "left_eye") for _ in range(2)],
            ["without ids", "cannot tell people apart"],
        ),
    ],
)
def test_what_can_be_read_in_more_than_one_way_is_refused_with_its_row(rows, words, tmp_path):
    (tmp_path / "a.csv").write_text(HEAD + joined(rows))
    with refused("a.csv", *words):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("words", ["JA", "2", "maybe"])
def test_what_is_no_truth_value_is_not_false(words, tmp_path):
    rows, _ = tabled(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text(joined(rows).replace("True", words))
    with refused("plausible", words, "want true or false"):
        read(tmp_path / "b.csv")


def test_a_table_that_is_not_utf_8_says_in_which_line(tmp_path):
    (tmp_path / "a.csv").write_bytes(HEAD.encode() + b"caf\xe9,0,0,1,nose,1,1,1\n")
    with refused("a.csv", "line 2 is not UTF-8", "save it as UTF-8"):
        read(tmp_path / "a.csv")


def test_a_name_that_is_not_utf_8_opens_again_from_a_record_and_is_text_elsewhere(tmp_path, people):
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    at = Frame(None, 0, 0.0, name, size=(9, 9))
    found = people(1, COCO17, person=np.array([1]))
    assert read(write(tmp_path / "a.jsonl", (at, found)))[0][0].source == name
    assert read(write(tmp_path / "a.csv", (at, found)))[0][0].source == r"caf\udce9.jpg"
    (entry,) = json.loads(write(tmp_path / "a.json", (at, found)).read_text("utf-8"))
    assert entry["file_name"] == r"caf\udce9.jpg"
    need("pyarrow")
    assert read(write(tmp_path / "a.parquet", (at, found)))[0][0].source == r"caf\udce9.jpg"


# Records


LINE = {
    "source": "v.mp4", "index": 0, "time": 0.0, "size": [64, 48], "camera": None, "model": "",
    "skeleton": "toy", "origin": None,
    "people": [{"person": 1, "box": [0, 0, 9, 9], "box_score": 1, "xy": [[1, 2], None, [3, 4]],
                "score": [1, 0, 1]}],
}  # fmt: skip


def recorded(path: Path, *lines: Any, **about: Any) -> Path:
    head = {"schema": 1, "skeleton": json.loads(TOY.to_json()), **about}
    path.write_text(joined([json.dumps(line) for line in (head, *lines)]))
    return path


def person(**parts: Any) -> dict[str, Any]:
    return {**LINE, "people": [{**LINE["people"][0], **parts}]}


@pytest.mark.parametrize(
    "line",
    [
        *({**LINE, "index": value} for value in ("x", None, 1.5, True, 10**30)),
        *({**LINE, "time": value} for value in ("0", None, True, [1], math.inf, 10**400, 1e18)),
        *({**LINE, "size": value} for value in ([None, 3], 3, [1], [-1, 2], [1.5, 2], ["a", 1])),
        *({**LINE, "source": value} for value in (1.5, None, [1])),
        *({**LINE, "origin": value} for value in ([1], "moon", 1)),
        *({**LINE, "camera": value} for value in (1, [], {"x": 1}, {"matrix": "x"})),
        *({**LINE, "people": value} for value in ([[1]], 1, {}, [None])),
        *({**LINE, "skeleton": value} for value in (1, [1], "none")),
        *(person(person=value) for value in ("1", 1.5, 10**30, None)),
        *(person(xy=value) for value in (None, [], 3, "abc", [[1, 2]] * 2, [["1", "2"]] * 3)),
        *(person(xy=[[value, 1], None, None]) for value in (1e300, math.nan, None, "x", 10**30)),
        *(person(plausible=value) for value in (1, "yes")),
        *(person(raw=value) for value in (1, {"xy": None})),
        {key: value for key, value in LINE.items() if key != "time"},
        [1],
        None,
    ],
    ids=str,
)
def test_what_is_no_frame_of_a_record_is_one_line(line, tmp_path):
    with refused("a.jsonl", "line 2"):
        read(recorded(tmp_path / "a.jsonl", line))


def test_numbers_that_are_infinite_only_when_read_are_refused(tmp_path):
    path = recorded(tmp_path / "a.jsonl", LINE)
    path.write_text(path.read_text().replace("[[1, 2], null", "[[1e999, 2], null"))
    with refused("line 2", "not finite"):
        read(path)


@pytest.mark.parametrize(
    "about",
    [
        {"options": "x"}, {"weights": [1]}, {"model": {}}, {"skeleton": 1}, {"skeleton": {}},
        {"skeleton": {**json.loads(TOY.to_json()), "bones": [[0, 9]]}},
        {"skeleton": {**json.loads(TOY.to_json()), "sigmas": ["x", 1, 1]}},
        {"skeleton": {**json.loads(TOY.to_json()), "keypoints": ["a", "a", "b"]}},
    ],
    ids=str,
)  # fmt: skip
def test_an_odd_header_is_one_line(about, tmp_path):
    with refused("a.jsonl", "header"):
        vit.read(recorded(tmp_path / "a.jsonl", LINE, **about))


def test_a_line_that_is_deep_or_without_end_is_one_line(tmp_path, monkeypatch):
    path = recorded(tmp_path / "a.jsonl", LINE)
    path.write_text(path.read_text() + "[" * 100_000 + "]" * 100_000 + "\n")
    with refused("line 3 is nested too deeply"):
        read(path)
    endless = tmp_path / "z.jsonl"
    endless.symlink_to("/dev/zero")
    with refused("line 1 has more than 64 MB"):
        vit.read(endless)


@pytest.mark.parametrize("odd", [b"\xff\n", b"[" * 100_000 + b"\n", b'{"source":1}\n'])
def test_an_odd_line_of_a_record_is_one_line_of_analyze(odd, tmp_path):
    path = recorded(tmp_path / "a.jsonl", *({**LINE, "index": i, "time": i} for i in range(3)))
    path.write_bytes(path.read_bytes() + odd)
    done = CliRunner().invoke(app, ["analyze", str(path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "cannot read" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("rate", "fits"), [(10, True), (20, False)], ids=["the same video", "at another rate"]
)
def test_a_video_of_another_rate_is_not_the_one_a_record_is_of(rate, fits, frame, people):
    pairs = [(replace(frame(i, 0.04 + i / 10), pixels=None), people()) for i in range(5)]
    source = [frame(i, i / rate) for i in range(5)]
    if fits:
        assert len(list(reread(source, pairs))) == 5
        return
    with refused("has no frame 1 of 64 x 48 at 0.14 s"):
        list(reread(source, pairs))


@pytest.mark.parametrize("times", [(0, 1, 0.5), (0, 0, 0)])
def test_people_of_a_record_whose_times_do_not_rise_are_not_smoothed(times, tmp_path):
    lines = [{**LINE, "index": i, "time": t} for i, t in enumerate(times)]
    record = open_record(recorded(tmp_path / "a.jsonl", *lines))
    with refused("increasing timestamps"):
        list(over_again(record, Wanted(smooth="butterworth")))
    assert len(list(over_again(record, Wanted()))) == 3


def test_a_record_with_another_video_in_its_middle_is_not_of_one(tmp_path):
    lines = [{**LINE, "index": i, "time": i, "source": s} for i, s in enumerate("aba")]
    with refused("frame 1 of 'b' is in a record of 'a'"):
        list(over_again(open_record(recorded(tmp_path / "a.jsonl", *lines)), Wanted()))


def test_a_pause_of_years_is_not_filtered_across(tmp_path):
    times = [0, 0.04, 0.08, 0.12, 1e9, 1e9 + 0.04]
    lines = [{**LINE, "index": i, "time": t} for i, t in enumerate(times)]
    record = open_record(recorded(tmp_path / "a.jsonl", *lines))
    assert len(list(over_again(record, Wanted(smooth="butterworth", repair=True)))) == 6


# MOT


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1,1,11,21,5,6,1,1,0.5\n1,2,1,1,5,5,0,1,1\n1,3,1,1,5,5,1,3,1\n", [(0, 1, 1.0)]),
        ("1,1,11,21,5,6,0.5,-1,-1,-1\r\n", [(0, 1, 0.5)]),
        ("1 1 11 21 5 6 0.5\n", [(0, 1, 0.5)]),
        ("1, 1.0, 11, 21, 5, 6, 0.5\n", [(0, 1, 0.5)]),
        ("1;1;11,0;21,0;5;6;0,5\n", [(0, 1, 0.5)]),
        ("1\t1\t11\t21\t5\t6\n", [(0, 1, 1.0)]),
        ("frame,id,left,top,width,height,conf\n1,1,11,21,5,6,0.5\n", [(0, 1, 0.5)]),
        ("0,1,11,21,5,6,0.5\n1,1,11,21,5,6,0.5\n", [(0, 1, 0.5), (1, 1, 0.5)]),
        ("2,-1,11,21,5,6,-0.4\n", [(1, -1, -0.4)]),
        ("1,7,11,21,5,6,-1,-1,-1,-1\n\n", [(0, 7, 1.0)]),
        ("\ufeff1,7,11,21,5,6,-1,-1,-1\n", [(0, 7, 1.0)]),
    ],
)
def test_mot_text_of_others_is_read(text, want, tmp_path):
    (tmp_path / "a.txt").write_text(text, newline="")
    found = list(read_mot(tmp_path / "a.txt"))
    got = [(at, *numbers.tolist(), *scores.round(6).tolist()) for at, numbers, _, scores in found]
    np.testing.assert_allclose(got, want, rtol=1e-6)
    for _, _, boxes, _ in found:
        assert boxes.tolist() == [[10, 20, 15, 26]]


def test_rows_of_mot_text_that_do_not_count_are_said(tmp_path):
    (tmp_path / "a.txt").write_text("0,1,1,1,5,5,1,1,1\n0,2,1,1,5,5,0,1,1\n0,3,1,1,5,5,1,3,1\n")
    reading = vit.read(tmp_path / "a.txt", fps=30)
    assert sum(len(poses) for _, poses in reading) == 1
    left, counted = reading.notes  # type: ignore[union-attr]
    assert "ignored 2 rows" in left
    assert "at 0" in counted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inf,1,1,1,1,1,1\n", "line 1 has a number that is not finite"),
        ("nan,1,1,1,1,1,1\n", "line 1 has a number that is not finite"),
        ("1,1,1,1,1e300,1,1\n", "too large"),
        ("1.5,1,1,1,1,1,1\n", "want whole numbers"),
        ("1,1,1,1,-1,1,1\n", "a bounding box of -1 x 1 pixels"),
        ("1,1,1,1,1,1,1\n1,1,2,2,2,2,1\n", "id 1 is twice in frame 1"),
        ("1,1,1,1,1,1,x\n", "line 1 is not a list of numbers"),
        ("1,1,1,1,1,1,1,3,1\n", "all rows are ignored"),
    ],
)
def test_odd_mot_text_is_refused(text, words, tmp_path):
    (tmp_path / "a.txt").write_text(text)
    with refused("a.txt", words):
        list(read_mot(tmp_path / "a.txt"))


@pytest.mark.parametrize("fps", [math.nan, math.inf, 0, -1])
def test_a_rate_that_is_none_is_refused(fps, tmp_path):
    (tmp_path / "a.txt").write_text("1,1,1,1,1,1,1\n")
    with refused("fps is"):
        read(tmp_path / "a.txt", fps=fps)


# COCO


POINTS = [value for i in range(17) for value in (10.0 + i, 20.0 + i, 2)]
CATEGORY = {"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}
ROW = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": POINTS, "bbox": [5, 5, 40, 40]}


def labelled(
    *rows: dict[str, Any], categories: Any = (CATEGORY,), number: Any = 1, **image: Any
) -> dict[str, Any]:
    picture = {"id": number, "file_name": "a.jpg", "width": 64, "height": 48, **image}
    return {"images": [picture], "annotations": list(rows), "categories": list(categories)}


CAR = {"id": 2, "name": "car"}
PARTIAL = {
    "no keypoints": labelled(ROW, {key: ROW[key] for key in ROW if key != "keypoints"}),
    "empty keypoints": labelled(ROW, {**ROW, "keypoints": []}),
    "null keypoints": labelled(ROW, {**ROW, "keypoints": None}),
    "a car": labelled(ROW, {**ROW, "category_id": 2}, categories=[CATEGORY, CAR]),
    "a car first": labelled(ROW, {**ROW, "category_id": 2}, categories=[CAR, CATEGORY]),
    "another number": labelled({**ROW, "category_id": 5}, categories=[CAR, {**CATEGORY, "id": 5}]),
    "no box": labelled({**ROW, "bbox": None}),
    "ids are text": labelled({**ROW, "image_id": "f_1"}, number="f_1"),
    "ids are floats": labelled({**ROW, "image_id": 1.0}),
    "bones from 0": labelled(ROW, categories=[{**CATEGORY, "skeleton": [[0, 1], [15, 16]]}]),
    "bones of nothing": labelled(ROW, categories=[{**CATEGORY, "skeleton": [[1, 99]]}]),
}


@pytest.mark.parametrize("how", PARTIAL)
def test_an_odd_row_of_coco_labels_costs_that_row_alone(how, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(PARTIAL[how]))
    reading = vit.read(path)
    ((frame, poses),) = reading
    assert (frame.source, frame.size, len(poses)) == ("a.jpg", (64, 48), 1)
    np.testing.assert_array_equal(poses.xy[0, :, 0], np.arange(10, 27))
    left = len(PARTIAL[how]["annotations"]) - 1
    assert len(reading.notes) == left + (how == "bones of nothing")  # type: ignore[union-attr]


def labelled_images(path: Path, people: People, stop: int = 4, mark: bool = False) -> list:
    """Four images, written as COCO labels until `stop`, and then resumed if `mark`."""
    pairs = []
    for i, count in enumerate([2, 0, 1, 3]):
        poses = people(count, HALPE26)
        if count:
            poses.xy[0, 4], poses.score[0, 4], poses.score[0, 5] = np.nan, 0, 0.35
        pairs.append((Frame(None, i, 0.0, f"p/{i}ü.jpg", size=(640, 480)), poses))
    size = 0
    sink = coco_labels(path)
    with sink:
        for pair in pairs[:stop]:
            sink.write(*pair)
        if mark:
            size = sink.mark()
            sink.write(*pairs[stop])  # lost
    if mark:
        sink = coco_labels(path)
        with sink:
            sink.go_on(size, [frame for frame, _ in pairs[:stop]])
            for pair in pairs[stop:]:
                sink.write(*pair)
    return pairs


def test_coco_labels_are_what_coco_tools_and_we_read(tmp_path, people):
    """FiftyOne and CVAT ask for sizes, unique ids, and a category with keypoints and skeleton."""
    file = tmp_path / "a_labels.json"
    pairs = labelled_images(file, people)
    read = json.loads(file.read_text())
    images, rows, (person,) = read["images"], read["annotations"], read["categories"]
    assert [(row["file_name"], row["width"], row["height"]) for row in images] == [
        (f"p/{i}ü.jpg", 640, 480) for i in range(4)
    ]
    assert [row["id"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["image_id"] for row in rows] == [0, 0, 2, 3, 3, 3]
    assert person["keypoints"] == list(HALPE26.keypoints)
    assert person["skeleton"] == [[a + 1, b + 1] for a, b in HALPE26.bones]
    for row in rows:
        seen = np.array(row["keypoints"]).reshape(-1, 3)
        assert row["num_keypoints"] == (seen[:, 2] > 0).sum()
        assert not seen[seen[:, 2] == 0].any()
        np.testing.assert_allclose(row["area"], row["bbox"][2] * row["bbox"][3], atol=0.01)
    first = np.array(rows[0]["keypoints"]).reshape(-1, 3)
    assert first[4].tolist() == [0, 0, 0]
    assert first[5, 2] == 1
    for (frame, want), (_, poses) in zip(vit.read(file), pairs, strict=True):
        assert frame.size == (640, 480)
        assert want.skeleton == HALPE26
        np.testing.assert_array_equal(states(want, (640, 480)) == State.OCCLUDED,
                                      states(poses, (640, 480)) == State.OCCLUDED)  # fmt: skip
        there = states(poses, (640, 480)) >= State.OCCLUDED
        np.testing.assert_allclose(want.xy[there], poses.xy[there], atol=0.006)
        np.testing.assert_allclose(want.box, poses.box, atol=0.02)
        np.testing.assert_allclose(want.box_score, poses.box_score, atol=1e-6)
    tools = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    index = tools.COCO(str(file))
    assert len(index.getAnnIds(imgIds=3, catIds=index.getCatIds("person"))) == 3
    whole = file.read_bytes()
    labelled_images(tmp_path / "b_labels.json", people, stop=3, mark=True)
    assert len(json.loads((tmp_path / "b_labels.json").read_text())["annotations"]) == 6
    convert(file, tmp_path / "c.jsonl")
    convert(tmp_path / "c.jsonl", tmp_path / "c_labels.json")
    assert (tmp_path / "c_labels.json").read_bytes() == whole


def test_coco_labels_are_of_images(tmp_path, people):
    with refused("has no size"), coco_labels(tmp_path / "a_labels.json") as sink:
        sink.write(Frame(None, 0, 0.0, "a.jpg"), people(1, COCO17))
    with refused("several frames", "ffmpeg"), coco_labels(tmp_path / "b_labels.json") as sink:
        for i in range(2):
            sink.write(Frame(None, i, i / 30, "a.mp4", size=(64, 48)), people(1, COCO17))


def test_convert_says_what_it_leaves_out(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(PARTIAL["a car"]))
    words = ["convert", str(tmp_path / "a.json"), str(tmp_path / "b.jsonl")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert "ignored 1 row: other categories" in done.stdout


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("ids", ["{}.jpg", "frame_{:06}.png"])
def test_alphapose_numbers_frames_by_name(ids, encoding, tmp_path):
    rows = [{"image_id": ids.format(i), "category_id": 1, "keypoints": POINTS, "score": 3.1,
             "box": [1, 2, 3, 4], "idx": 7} for i in (0, 2, 10)]  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding=encoding)
    assert [frame.source for frame, _ in vit.read(tmp_path / "a.json")] == [
        ids.format(i) for i in (0, 2, 10)
    ]
    pairs = read(tmp_path / "a.json", fps=10)
    assert [(frame.index, frame.seconds) for frame, _ in pairs] == [(0, 0), (2, 0.2), (10, 1)]
    assert len({frame.source for frame, _ in pairs}) == 1
    assert pairs[0][1].box.tolist() == [[1, 2, 4, 6]]
    assert [len(track) for track in tracks(pairs)] == [3]


@pytest.mark.parametrize(
    ("name", "want"),
    [(r"s1\a.jpg", "s1/a.jpg"), ("../../a.jpg", "a.jpg"), (r"..\..\x\a.jpg", "x/a.jpg")],
)
def test_a_picture_of_a_coco_file_is_in_its_folder(name, want, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(labelled(ROW, file_name=name)))
    assert read(tmp_path / "a.json")[0][0].source == want


@pytest.mark.parametrize(
    "value",
    [
        labelled(ROW, width="x"), labelled(ROW, file_name=[1]), labelled(ROW, categories=[]),
        labelled(ROW, categories=[3]), {**labelled(ROW), "categories": 3},
        labelled(ROW, number=None),
        labelled({**ROW, "keypoints": ["x"] * 51}), labelled({**ROW, "keypoints": [1, 2, 2]}),
        labelled({**ROW, "bbox": [1, 2, 3]}), labelled({**ROW, "bbox": [1e300, 0, 1e300, 0]}),
        labelled({**ROW, "image_id": [1]}), labelled({**ROW, "score": "x"}), [3], 3,
        labelled({key: ROW[key] for key in ROW if key != "keypoints"}),
        labelled(ROW, categories=[CATEGORY, {"id": 2, "name": "person", "keypoints": ["a"]}]),
        labelled(ROW, categories=[{"id": 1, "keypoints": ["a", "a"]}]),
    ],
    ids=lambda value: json.dumps(value)[-60:],
)  # fmt: skip
def test_what_is_no_coco_file_of_keypoints_is_one_line(value, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(value))
    with refused("a.json", "not COCO keypoint results or annotations"):
        read(tmp_path / "a.json")


def ids_of(path: Path, people: People, *frames: Frame, **how: Any) -> list[tuple[int, str]]:
    with vit.open_sink(path, **how) as sink:
        for each in frames:
            sink.write(each, people(1, COCO17, person=np.array([1])))
    return [(row["image_id"], row["file_name"]) for row in json.loads(path.read_text())]


@pytest.mark.parametrize(
    "names",
    [
        ("2.jpg", "a.jpg", "b.jpg"),
        ("s1/0001.jpg", "s2/0001.jpg"),
        ("1.jpg", "01.jpg"),
        ("b.jpg", "0.jpg", "a.jpg"),
        ("9" * 30 + ".jpg", "8" * 30 + ".jpg"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_no_two_pictures_have_one_image_id(names, known, tmp_path, people):
    frames = [Frame(None, i, 0.0, name, size=(64, 48)) for i, name in enumerate(names)]
    pictures = [Path(name) for name in names] if known else ()
    found = ids_of(tmp_path / "a.json", people, *frames, pictures=pictures)
    assert len({number for number, _ in found}) == len(names)
    assert [name for _, name in found] == list(names)
    if known and "0.jpg" in names:
        assert (0, "0.jpg") in found  # who is called by a number has it, wherever it comes


def test_frames_of_a_video_called_by_a_number_have_numbers_of_their_own(tmp_path, people):
    frames = [Frame(None, i, i / 10, "0001.mp4", size=(64, 48)) for i in range(3)]
    assert ids_of(tmp_path / "a.json", people, *frames) == [(i, "0001.mp4") for i in range(3)]


@pytest.mark.parametrize("kind", [".json", ".txt"])
def test_two_videos_are_not_mixed_in_one_file(kind, tmp_path, people):
    poses = people(1, COCO17, person=np.array([1]))
    with refused("cannot hold 'b.mp4' as well"), vit.open_sink(tmp_path / f"a{kind}") as sink:
        for name in ("a.mp4", "b.mp4"):
            for i in range(2):
                sink.write(Frame(None, i, i / 10, name, size=(64, 48)), poses)


@pytest.mark.parametrize("kind", [".json", ".txt"])
def test_two_videos_for_one_file_are_refused_before_anything_runs(kind, tmp_path, video):
    sources = open_source([str(video("a.mp4")), str(video("b.mp4"))])
    with refused(f"a{kind}", "give"):
        plan_outputs(sources, tmp_path / f"a{kind}", Save.parse(None), overwrite=False)


def test_numbered_boxes_of_a_picture_are_refused_before_anything_runs(tmp_path, picture):
    with refused("a.txt", "people with track ids of one video"):
        plan_outputs(
            open_source(str(picture("a.png"))),
            tmp_path / "a.txt",
            Save.parse(None),
            overwrite=False,
        )


@pytest.mark.parametrize(
    ("out", "save"),
    [
        ("a.json", Save.parse(None)),
        ("out", Save.parse("json,coco")),
        ("out", Save.parse(" openpose, ")),
        ("a.bvh", Save.parse(None)),
    ],
)
def test_what_a_file_cannot_hold_is_refused_before_anything_runs(out, save):
    strange = Skeleton.table("strange", "", ("snout", "", 0.1), ("tail", "", 0.1))
    with refused("strange"):
        can_hold(Path(out), save, strange)
    can_hold(Path("a.jsonl"), save, strange)
    can_hold(Path(out), save, COCO17 if "bvh" not in out else SMPL24)


# Records beside a source


@pytest.mark.parametrize(
    ("ours", "theirs", "want"),
    [
        (["d/1.jpg"], ["/x/1.jpg"], {"d/1.jpg": "/x/1.jpg"}),
        (
            ["d/s1/1.jpg", "d/s2/1.jpg", "d/s3/1.jpg"],
            ["/x/s2/1.jpg", "/x/s1/1.jpg"],
            {"d/s1/1.jpg": "/x/s1/1.jpg", "d/s2/1.jpg": "/x/s2/1.jpg"},
        ),
        (["1.jpg"], ["s1/1.jpg", "s2/1.jpg"], {}),
        (["s1/1.jpg", "s2/1.jpg"], ["1.jpg"], {}),
        (["1.jpg"], ["1.jpg", "s2/1.jpg"], {"1.jpg": "1.jpg"}),
        ([], [], {}),
    ],
)
def test_pictures_are_the_same_by_the_end_of_their_paths_that_is_unique(ours, theirs, want):
    assert same_files(ours, theirs) == want


def looked_up(path: Path, times: list[float], *, first: int = 0, ask: list[float]) -> list[Any]:
    """The people of the line that `FrameRecord` gives for frames at `ask`; None for none."""
    rows = [{**person(xy=[[i, 0]] * 3), "index": first + i, "time": t}
            for i, t in enumerate(times)]  # fmt: skip
    with FrameRecord(recorded(path, *rows), True, ["v.mp4"]) as lines:
        found = [lines[Frame(None, i, t, "v.mp4", size=(64, 48))] for i, t in enumerate(ask)]
    return [None if one.poses is None else round(float(one.poses.xy[0, 0, 0])) for one in found]


@pytest.mark.parametrize(
    ("times", "first", "ask", "want"),
    [
        ([i / 30 for i in range(30)], 0, [0, 0.1, 0.2, 0.3], [0, 3, 6, 9]),
        ([round(i / 30, 3) for i in range(30)], 1, [i / 30 for i in range(5)], [0, 1, 2, 3, 4]),
        ([0, 0.1, 0.2], 0, [0, 1 / 30, 2 / 30, 0.1], [0, None, None, 1]),
        ([1 / 30, 4 / 30], 0, [0, 0.1], [None, None]),
        ([2.0, 2.1, 2.2], 60, [0, 0.1, 0.2], [None] * 3),
        ([0, 0, 0], 0, [0, 0.1, 0.2], [0, None, None]),
        ([0, 0.1, 0.1, 0.2], 0, [0, 0.1, 0.1, 0.2], [0, 1, 2, 3]),
    ],
)
def test_frames_are_paired_by_time(times, first, ask, want, tmp_path):
    assert looked_up(tmp_path / "a.jsonl", times, first=first, ask=ask) == want


def test_a_record_that_ends_after_the_video_says_so(tmp_path):
    rows = [{**LINE, "index": i, "time": i / 10} for i in range(30)]
    with FrameRecord(recorded(tmp_path / "a.jsonl", *rows), True) as lines:
        assert lines.beyond("v.mp4", 2.9) is None
        assert lines.beyond("v.mp4", 1.0) == pytest.approx(2.9)
        assert lines.beyond("other.mp4", 1.0) is None


def test_a_full_disk_in_compare_is_one_line(tmp_path, picture, monkeypatch):
    from vitruvian.verbs.compare import compare as module

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "load", lambda name: SimpleNamespace())
    monkeypatch.setattr(module, "write_lines", full)
    with refused("cannot write to", "No space left on device"):
        models = ["blazepose-lite", "blazepose-full"]
        module.compare(str(picture("a.png")), models, tmp_path / "out")


def test_no_error_is_longer_than_a_line(tmp_path):
    (tmp_path / "a.csv").write_text(HEAD + f"v,0,0,1,nose,{'x' * 5000},1,1\n")
    with pytest.raises(VitruvianError) as caught:
        convert(tmp_path / "a.csv", tmp_path / "b.jsonl")
    assert len(str(caught.value)) <= LONGEST
