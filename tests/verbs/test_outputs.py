"""What is written can be read again, in whole files or none, and drawing shows what was found."""

import csv
import errno
import io
import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vitruvian
from conftest import TOY, refused, stopped
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17, SKELETONS
from vitruvian.errors import VitruvianError
from vitruvian.formats.coco import results
from vitruvian.formats.records import read
from vitruvian.formats.tables import COLUMNS, Parquet
from vitruvian.formats.wire import frame_to_dict, from_dict, header
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.rendering.draw import COLOURS, draw, with_numbers
from vitruvian.sources.open import Pictures, Source, Span, open_source
from vitruvian.verbs import outputs
from vitruvian.verbs.output_files import plan_outputs
from vitruvian.verbs.outputs import (
    SAVED,
    Names,
    Save,
    Several,
    format_of,
    is_file,
    open_sink,
    refuse_existing,
)

Frames = Callable[..., Any]  # makes a Frame
People = Callable[..., Any]  # makes Poses
EVERY_FILE = (".jsonl", ".csv", ".parquet", ".json", ".txt", ".png", *outputs.VIDEOS)
every_skeleton = pytest.mark.parametrize("table", SKELETONS.values(), ids=SKELETONS)


@dataclass
class Model:
    """What a header tells of a model."""

    name: str = "toy-model"
    weights: dict[str, str] = field(default_factory=lambda: {"toy.tflite": "abc"})
    options: dict[str, int] = field(default_factory=lambda: {"num_poses": 2})
    runs_on: str = "CPU"


def write(path: Path, *pairs: tuple[Frame, Poses], **options) -> Path:
    """All of it into one file."""
    with open_sink(path, Model(), **options) as sink:
        for pair in pairs:
            sink.write(*pair)
    assert sink.paths == [path]
    return path


# Records


def same(got: Poses, want: Poses) -> None:
    """Equal up to half of the last decimal that is written, and float32's own rounding."""
    assert got.skeleton is want.skeleton
    assert got.origin == want.origin
    np.testing.assert_array_equal(got.person, want.person)
    for name, most in {
        "xy": 0.5e-4,
        "box": 0.5e-4,
        "depth": 0.5e-4,
        "score": 0.5e-6,
        "box_score": 0.5e-6,
        "presence": 0.5e-6,
        "xyz": 0.5e-6,
        "world": 0.5e-6,
        "error": 0.5e-4,
        "plausible": 0,
    }.items():
        value, expected = getattr(got, name), getattr(want, name)
        assert (value is None) == (expected is None), name
        if expected is not None:
            np.testing.assert_allclose(value, expected, rtol=2e-7, atol=most, err_msg=name)
            assert value.dtype == (bool if name == "plausible" else np.float32)


@every_skeleton
@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("everything", [False, True])
def test_what_is_recorded_is_read_again(
    table, n, everything, tmp_path: Path, people: People, frame: Frames
):
    if n:
        poses = people(n, table, everything=everything)
    else:
        poses = Poses.nobody(table, "hips" if everything else None)
    path = write(tmp_path / "a.jsonl", (frame(3, 0.123456), poses), (frame(4, 0.2), poses))
    (first, got), (second, again) = read(path)
    for each in (got, again):
        same(each, poses)
    assert (first.index, first.seconds, first.size, first.source) == (
        3,
        0.123456,
        (64, 48),
        "clip.mp4",
    )
    assert (second.index, second.seconds) == (4, 0.2)


def test_what_is_missing_is_null_in_the_file_and_nan_when_read(tmp_path, people: People, frame):
    poses = people(2, BLAZEPOSE33, everything=True)
    poses.xy[0, 5] = poses.xyz[0, 5] = np.nan
    poses.xyz[1, 7] = poses.score[1, 2] = poses.presence[0, 0] = poses.depth[1, 1] = np.nan
    path = write(tmp_path / "a.jsonl", (frame(), poses))
    text = path.read_text()
    assert "NaN" not in text
    line = json.loads(text.splitlines()[1])["people"]
    assert line[0]["xy"][5] is line[0]["xyz"][5] is line[1]["score"][2] is None
    assert line[0]["xy"][4] is not None
    ((_, got),) = read(path)
    same(got, poses)  # NaN equals NaN there, and nothing else


CAMERAS = {
    "assumed": Camera.view((64, 48)),
    "fov": Camera.view((64, 48), 70),
    "file": Camera(
        np.array([[901 / 7, 0.1, 650 / 9], [0, 910 / 7, 350 / 9], [0, 0, 1]]),
        (64, 48),
        np.array([-0.28, 0.09, 1e-3]),
        known_by="file",
    ).placed(np.array([(0, 1, 0, 0.1), (0, 0, -1, 2), (-1, 0, 0, 1 / 3), (0, 0, 0, 1)]), (0, 0, 1)),
}


@pytest.mark.parametrize("name", CAMERAS)
def test_the_camera_is_read_again_to_the_last_bit(name, tmp_path, people: People, frame: Frames):
    camera, poses = CAMERAS[name], people(2, BLAZEPOSE33, everything=True)
    path = write(tmp_path / "a.jsonl", (replace(frame(), camera=camera), poses))
    ((read_again, _),) = read(path)
    for part in ("matrix", "distortion", "extrinsics", "up"):
        np.testing.assert_array_equal(getattr(read_again.camera, part), getattr(camera, part), part)
    assert read_again.camera is not None
    assert (read_again.camera.size, read_again.camera.known_by) == ((64, 48), name)
    ahead = np.linspace(0.5, 3, 33 * 3).reshape(33, 3)
    np.testing.assert_array_equal(read_again.camera.project(ahead), camera.project(ahead))


def test_a_line_says_which_camera_was_assumed_where_it_matters(people: People, frame: Frames):
    """Metres from the camera rest on one, pixels and metres from the hips do not."""
    poses = people(1, BLAZEPOSE33, everything=True)
    assert frame_to_dict(frame(), poses)["camera"] is None
    line = frame_to_dict(frame(), replace(poses, origin="camera"))
    assert line["camera"]["known_by"] == "assumed"
    assert line["camera"]["matrix"] == CAMERAS["assumed"].matrix.tolist()
    assert line["camera"]["extrinsics"] is None
    assert from_dict(line)[1].origin == "camera"


def test_who_could_be_put_nowhere_is_null(tmp_path, people: People, frame: Frames):
    poses = people(2, BLAZEPOSE33, everything=True, origin="camera")
    for values in (poses.xyz, poses.world, poses.error):
        values[1] = np.nan
    path = write(tmp_path / "a.jsonl", (frame(), poses))
    line = json.loads(path.read_text().splitlines()[1])["people"][1]
    assert line["error"] is None
    assert line["world"] == line["xyz"] == [None] * 33
    assert line["plausible"] is False
    same(next(iter(read(path)))[1], poses)


def test_somebody_of_whom_nothing_was_found_survives(tmp_path, people: People, frame):
    nowhere = np.full((1, 33, 2), np.nan, np.float32)
    poses = people(1, BLAZEPOSE33, xy=nowhere, box=np.full((1, 4), np.nan, np.float32))
    ((_, got),) = read(write(tmp_path / "a.jsonl", (frame(), poses)))
    same(got, poses)


def test_the_header_says_what_made_it(tmp_path: Path, people: People, frame: Frames):
    record = read(write(tmp_path / "a.jsonl", (frame(), people(1, COCO17))))
    assert record.header == {
        "schema": 1,
        "vitruvian": vitruvian.__version__,
        "model": "toy-model",
        "weights": {"toy.tflite": "abc"},
        "options": {"num_poses": 2},
        "runs_on": "CPU",
        "skeleton": json.loads(COCO17.to_json()),
    }
    assert header(None) == {"schema": 1, "vitruvian": vitruvian.__version__}


def test_a_line_stands_for_itself(people: People, frame: Frames):
    line = json.loads(json.dumps(frame_to_dict(frame(7, 0.25), people(1, COCO17), "toy-model")))
    assert {
        name: line[name] for name in ("source", "index", "time", "size", "model", "skeleton")
    } == {
        "source": "clip.mp4",
        "index": 7,
        "time": 0.25,
        "size": [64, 48],
        "model": "toy-model",
        "skeleton": "coco17",
    }
    assert set(line["people"][0]) == {"person", "box", "box_score", "xy", "score", "state"}
    assert from_dict(line)[0].index == 7


def test_a_record_can_be_read_twice(tmp_path: Path, people: People, frame: Frames):
    record = read(write(tmp_path / "a.jsonl", (frame(), people(1, COCO17))))
    assert len(list(record)) == len(list(record)) == 1


KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "all alike": lambda i: {},
    "everything": lambda i: {"everything": True},
    "metres in some": lambda i: {"everything": i % 7 == 0},
    "smoothed": lambda i: {"raw": i % 2 == 0},
    "missing points": lambda i: {"gap": i % 3 == 0},
    "errors of some": lambda i: {"error": i % 3 == 0},
    "skeletons": lambda i: {"skeleton": (COCO17, BLAZEPOSE33)[i > 80]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_lines_that_are_decoded_at_once_are_as_one_by_one(
    kind, tmp_path: Path, people: People, frame: Frames
):
    pairs = []
    for i in range(150):
        how = KINDS[kind](i)
        table = how.get("skeleton", COCO17)
        poses = people(i % 3, table, everything=how.get("everything", False))
        if how.get("gap") and len(poses):
            poses.xy[0, 3] = np.nan
        if how.get("raw"):
            poses = replace(poses, raw=replace(poses, xy=poses.xy + 1))
        if how.get("error"):
            poses = replace(poses, error=np.full(len(poses), 2.5, np.float32))
        pairs.append((frame(i, i / 10), poses))
    record = read(write(tmp_path / "a.jsonl", *pairs))
    lines = [json.loads(line) for line in record.path.read_text().splitlines()[1:]]
    found = list(record)
    assert len(found) == len(lines)
    for (one, poses), line in zip(found, lines, strict=True):
        other, alone = from_dict(line, record.skeleton)
        assert (one.index, one.seconds, one.source, one.size) == (
            *(other.index, other.seconds, other.source, other.size),
        )
        assert frame_to_dict(one, poses, "toy-model") == frame_to_dict(other, alone, "toy-model")
        assert (poses.origin, poses.skeleton) == (alone.origin, alone.skeleton)
        for each in fields(Poses):
            value, want = getattr(poses, each.name), getattr(alone, each.name)
            assert (value is None) == (want is None), each.name
            if isinstance(want, np.ndarray):
                assert (value.dtype, value.shape) == (want.dtype, want.shape)


@pytest.mark.parametrize("number", [2, 3, 66, 67, 100, 151])
def test_all_lines_before_a_damaged_one_are_read(
    number, tmp_path: Path, people: People, frame: Frames
):
    path = write(tmp_path / "a.jsonl", *[(frame(i), people(2, COCO17)) for i in range(150)])
    lines = path.read_bytes().splitlines()
    for broken in (b"{", b"\xff", lines[number - 1].replace(b'"xy":[[', b'"xy":[[1,2],[', 1)):
        path.write_bytes(b"\n".join([*lines[: number - 1], broken, *lines[number:]]))
        indices: list[int] = []
        with refused(f"line {number}"):
            for one, _ in read(path):
                indices.append(one.index)  # kept when it is refused
        assert indices == list(range(number - 2))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda line: line[: len(line) // 2], "line 3 is not valid JSON"),
        (lambda line: "[1, 2]", "line 3 is not a JSON"),
        (lambda line: "{}", "line 3 is not a frame"),
        (lambda line: "", "line 3 is not valid JSON"),
        (lambda line: line.replace("coco17", "coco71"), "coco71"),
        (lambda line: line.replace('"score"', '"scores"'), "line 3 is not a frame"),
        (lambda line: line.replace('"xy":[[', '"xy":[[1,2],['), "line 3 is not a frame"),
    ],
    ids=["cut short", "a list", "empty object", "blank", "skeleton", "a key", "points"],
)
def test_a_damaged_line_is_one_clear_error_after_the_good_ones(
    broken, said, tmp_path: Path, people: People, frame: Frames
):
    path = write(tmp_path / "a.jsonl", *[(frame(i), people(1, COCO17)) for i in range(3)])
    lines = path.read_text().splitlines()
    lines[2] = broken(lines[2])
    path.write_text("\n".join(lines))
    pairs = iter(read(path))
    assert next(pairs)[0].index == 0
    with refused(said):
        next(pairs)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "line 1 is not valid JSON"),
        (b'{"schema": 99}\n', "not a header of schema 1"),
        (b'{"people": []}\n', "not a header of schema 1"),
        (b"hello\n", "line 1 is not valid JSON"),
        (b"\xff\xd8\xff\xe0", "is not UTF-8 text"),
    ],
    ids=["empty", "newer schema", "no schema", "text", "an image"],
)
def test_what_is_no_record_is_one_clear_line(data, said, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    with refused(str(path), said):
        read(path)


def test_a_missing_record_is_one_clear_line(tmp_path: Path):
    with refused("cannot read", "none.jsonl"):
        read(tmp_path / "none.jsonl")
    with refused("cannot read"):
        read(tmp_path)


# Tables


def csv_rows(path: Path) -> list[dict[str, str]]:
    """Of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("cells", [1, 99, 1 << 20])
@pytest.mark.parametrize("everything", [False, True])
def test_csv_and_parquet_hold_the_same_rows(
    cells, everything, tmp_path: Path, people: People, frame: Frames, monkeypatch
):
    """Numbers of parquet are float32: 6e-8 of their size, half a unit of a number's last place."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    monkeypatch.setattr(Parquet, "CELLS", cells)
    poses = people(2, everything=everything)
    poses.xy[0, 1] = np.nan
    pairs = [(frame(0), poses), (frame(1, 0.1), Poses.nobody(TOY)), (frame(2, 0.2), people(1))]
    text = csv_rows(write(tmp_path / "a.csv", *pairs))
    table = parquet.read_table(write(tmp_path / "a.parquet", *pairs))
    assert tuple(text[0]) == tuple(table.column_names) == COLUMNS
    assert len(text) == table.num_rows == 9  # three people, three keypoints each
    for row, other in zip(text, table.to_pylist(), strict=True):
        for name in COLUMNS:
            if row[name] == "":
                assert other[name] is None, name
            elif isinstance(other[name], (str, bool)):
                assert row[name] == str(other[name])
            else:
                assert float(row[name]) == pytest.approx(other[name], rel=6e-8), name
    assert (text[1]["x"], text[1]["keypoint"], text[1]["person"]) == ("", "left_hand", "1")
    for name in ("x_m", "x_world_m", "origin", "error", "plausible"):
        assert (text[0][name] == "") != everything, name
    if everything:
        assert (text[0]["origin"], text[3]["plausible"]) == ("hips", "False")
        np.testing.assert_allclose(float(text[4]["z_world_m"]), poses.world[1, 1, 2], atol=0.5e-6)
    np.testing.assert_allclose(float(text[0]["x"]), poses.xy[0, 0, 0], atol=0.5e-4)
    about = json.loads(table.schema.metadata[b"vitruvian"])
    assert about == header(Model())


def test_tables_of_nobody_have_their_columns(tmp_path: Path, frame: Frames):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    pair = frame(), Poses.nobody(TOY)
    assert write(tmp_path / "a.csv", pair).read_text() == ",".join(COLUMNS) + "\n"
    table = parquet.read_table(write(tmp_path / "a.parquet", pair))
    assert (table.num_rows, tuple(table.column_names)) == (0, COLUMNS)


def test_a_comma_in_a_file_name_is_no_column(tmp_path: Path, people: People, frame: Frames):
    source = 'a, "b"\n.mp4'
    (row, *_) = csv_rows(write(tmp_path / "a.csv", (frame(source=source), people())))
    assert row["source"] == source


# COCO


@pytest.mark.parametrize(
    "table",
    [table for table in SKELETONS.values() if set(COCO17.keypoints) <= set(table.keypoints)],
    ids=lambda table: table.name,
)
def test_coco_results_have_coco_s_keypoints_in_coco_s_order(table, people: People, frame: Frames):
    poses = people(2, table)
    entries = results(frame(5), poses)
    for row, entry in enumerate(entries):
        triples = np.array(entry["keypoints"]).reshape(17, 3)
        for (x, y, score), name in zip(triples, COCO17.keypoints, strict=True):
            joint = poses[name]
            np.testing.assert_allclose((x, y), joint.xy[row], atol=0.5e-4 + 1e-5)
            np.testing.assert_allclose(score, joint.score[row], atol=0.5e-4 + 1e-6)
        x0, y0, x1, y1 = poses.box[row]
        np.testing.assert_allclose(entry["bbox"], [x0, y0, x1 - x0, y1 - y0], atol=1e-4)
        assert (entry["category_id"], entry["image_id"]) == (1, 5)
        assert entry["score"] == pytest.approx(poses.box_score[row], abs=1e-6)


@pytest.mark.parametrize(
    ("source", "image"),
    [("in/000000000785.jpg", 785), ("person_12.jpg", 5), ("match.mp4", 5), ("7.png", 7)],
)
def test_the_number_of_a_coco_picture_is_its_name(source, image, people: People, frame: Frames):
    (entry,) = results(frame(5, source=source), people(1, COCO17))
    assert (entry["image_id"], entry["file_name"]) == (image, Path(source).name)


def test_a_missing_keypoint_is_three_zeros_in_coco(people: People, frame: Frames):
    poses = people(1, COCO17)
    poses.xy[0, 3] = poses.score[0, 3] = np.nan
    poses.xy[0, 4] = np.nan  # not found: its score is of no use to anyone
    keypoints = results(frame(), poses)[0]["keypoints"]
    assert keypoints[9:12] == keypoints[12:15] == [0, 0, 0]
    assert 0 not in keypoints[:9]


@pytest.mark.parametrize("numbers", [[], [0], [0, 0], [1], [2, 0, 3], [0, 1]], ids=str)
def test_coco_files_are_valid_json_however_many_people_there_are(
    numbers, tmp_path: Path, people: People, frame: Frames
):
    pairs = [
        (frame(i), people(n, COCO17) if n else Poses.nobody(COCO17)) for i, n in enumerate(numbers)
    ]
    if not numbers:
        pairs = [(frame(), Poses.nobody(COCO17))]
    entries = json.loads(write(tmp_path / "a.json", *pairs).read_text())
    want = [i for i, n in enumerate(numbers) for _ in range(n)]
    assert [entry["image_id"] for entry in entries] == want


def test_a_skeleton_that_coco_does_not_know_is_one_clear_line(
    tmp_path: Path, people: People, frame: Frames
):
    sink = open_sink(tmp_path / "a.json")
    with refused("COCO results need left_eye, which toy does not have", ".jsonl"), sink:
        sink.write(frame(), people())
    assert list(tmp_path.iterdir()) == []  # and not an empty result


# Drawing


def visible(people: People, **fields) -> Poses:
    """One person of the toy skeleton with no number: nothing is drawn but bones and keypoints."""
    xy = np.array([[[32, 10], [10, 30], [50, 30]]], np.float32)
    score = np.full((1, 3), 0.9, np.float32)
    return people(1, **{"xy": xy, "score": score, "person": np.array([-1]), **fields})


def test_keypoints_have_the_colour_of_their_side(people: People, frame: Frames):
    poses = visible(people)
    image = draw(frame(), poses)
    for (x, y), side in zip(poses.xy[0].astype(int), TOY.sides, strict=True):
        assert tuple(image[y, x]) == COLOURS[side]
    assert TOY.sides == ("", "left", "right")


def test_drawing_leaves_the_frame_alone(people: People, frame: Frames):
    picture = frame()
    drawn = draw(picture, visible(people))
    assert (picture.rgb == 100).all()
    assert (drawn != 100).any()


def test_nobody_is_drawn_as_nothing(frame: Frames):
    np.testing.assert_array_equal(draw(frame(), Poses.nobody(TOY, "hips")), frame().rgb)


def test_what_is_not_sure_is_not_drawn(people: People, frame: Frames):
    score = np.array([[0.49, 0.1, 0.0]], np.float32)
    np.testing.assert_array_equal(draw(frame(), visible(people, score=score)), frame().rgb)
    assert (draw(frame(), visible(people, score=score), visible=0.49) != 100).any()


def test_a_bone_needs_both_ends(people: People, frame: Frames):
    """Nose alone: nothing changes away from it, so there is no half of a bone."""
    score = np.array([[0.9, 0.1, np.nan]], np.float32)
    image = draw(frame(), visible(people, score=score))
    changed = np.argwhere((image != 100).any(axis=-1)) + 0.5
    assert len(changed)
    assert np.linalg.norm(changed - (10, 32), axis=1).max() < 5


def test_what_is_missing_is_drawn_nowhere_least_of_all_in_the_corner(people: People, frame: Frames):
    poses = visible(people)
    poses.xy[0, 1] = np.nan
    image = draw(frame(), poses)
    np.testing.assert_array_equal(image[:8, :20], 100)
    changed = (image != 100).any(axis=-1)
    assert not changed[:, :27].any()  # all that is left of the nose is the missing hand's
    poses.xy[:] = np.nan
    np.testing.assert_array_equal(draw(frame(), poses), frame().rgb)


def test_somebody_of_whom_nothing_is_known_is_drawn_as_nothing(people: People, frame: Frames):
    nowhere = np.full((1, 3, 2), np.nan, np.float32)
    poses = people(1, xy=nowhere, box=np.full((1, 4), np.nan, np.float32))
    np.testing.assert_array_equal(draw(frame(), poses), frame().rgb)


@pytest.mark.parametrize("far", [-1e9, -100, 1000, 1e9])
def test_what_is_outside_the_frame_does_no_harm(far, people: People, frame: Frames):
    xy = np.full((1, 3, 2), far, np.float32)
    poses = visible(people, xy=xy)
    np.testing.assert_array_equal(draw(frame(), poses), frame().rgb)
    assert draw(frame(), replace(poses, person=np.array([12]))).shape == (48, 64, 3)


def test_a_mask_tints_what_it_covers_and_nothing_else(people: People, frame: Frames):
    mask = np.zeros((1, 48, 64), np.float32)
    mask[:, :, 40:] = 1
    unseen = np.zeros((1, 3), np.float32)
    image = draw(frame(grey=200), visible(people, mask=mask, score=unseen))
    np.testing.assert_array_equal(image[:, :40], 200)
    tint = image[0, 50].astype(int)
    assert (image[:, 40:] == image[0, 50]).all()
    assert tint[1] > tint[0]  # green
    assert tint.max() < 200


def test_a_number_is_written_for_who_is_followed(people: People, frame: Frames):
    poses = visible(people, score=np.zeros((1, 3), np.float32))
    assert (draw(frame(), replace(poses, person=np.array([3]))) != 100).any()


# Videos


def shown(path: Path) -> list[Any]:
    """The frames of a video, read again; errors are among them, and no frames."""
    return [each for source in open_source(path) for each in source]


UNEVEN = (0.0, 0.04, 0.14, 0.15, 0.4, 0.41, 0.77, 1.2, 1.25, 1.9)


@pytest.mark.parametrize("suffix", outputs.VIDEOS)
@pytest.mark.parametrize("first", [0.0, 5.0])
def test_time_stamps_survive(suffix, first, tmp_path: Path, people: People, frame: Frames):
    pairs = [(frame(i, first + t, grey=30 + 20 * i), people()) for i, t in enumerate(UNEVEN)]
    path = write(tmp_path / f"a{suffix}", *pairs, visible=1.0)
    frames = shown(path)
    # 1 ms is Matroska's clock; .mp4's is finer.
    np.testing.assert_allclose([each.seconds for each in frames], UNEVEN, atol=1e-3)
    for each in frames:  # the lower edge is free of people and of their numbers
        np.testing.assert_allclose(each.rgb[-1].astype(float), 30 + 20 * each.index, atol=4)


def test_colours_survive(tmp_path: Path, frame: Frames):
    pixels = np.full((48, 64, 3), (200, 60, 120), np.uint8)
    path = write(tmp_path / "a.mp4", (Frame(pixels), Poses.nobody(TOY)))
    (got,) = shown(path)
    np.testing.assert_allclose(got.rgb.astype(float), pixels, atol=4)


@pytest.mark.parametrize("size", [(63, 47), (64, 47), (1, 1), (2, 2), (17, 200)])
def test_an_odd_size_is_filled_up_by_a_pixel(size, tmp_path: Path, frame: Frames):
    """H.264 with 4:2:0 colour wants even sides."""
    path = write(tmp_path / "a.mp4", (frame(size=size), Poses.nobody(TOY)))
    (got,) = shown(path)
    assert got.size == tuple(side + side % 2 for side in size)
    np.testing.assert_allclose(got.rgb.astype(float), 100, atol=4)


def test_frames_at_the_same_time_are_all_written(tmp_path: Path, frame: Frames):
    pairs = [(frame(i, 0.0), Poses.nobody(TOY)) for i in range(3)]
    assert len(shown(write(tmp_path / "a.mp4", *pairs))) == 3


def test_a_frame_of_another_size_and_source_is_one_clear_line_and_the_rest_is_kept(
    tmp_path: Path, frame: Frames
):
    """A video that changes its size in mid-film is fitted in, see test_video.py."""
    path = tmp_path / "a.mp4"
    other = replace(frame(1, 0.1, size=(48, 64)), source="b.mp4")
    with refused("is 64 x 48, but frame 1", "is 48 x 64"), open_sink(path) as sink:
        sink.write(frame(0), Poses.nobody(TOY))
        sink.write(other, Poses.nobody(TOY))
    assert [each.size for each in shown(path)] == [(64, 48)]


# Files


@pytest.mark.parametrize("suffix", EVERY_FILE)
def test_nothing_is_made_if_nothing_is_written(suffix, tmp_path: Path):
    with open_sink(tmp_path / "in" / f"a{suffix}") as sink:
        pass
    assert list(tmp_path.iterdir()) == []
    assert sink.paths == []


@pytest.mark.parametrize("suffix", EVERY_FILE)
def test_one_file_is_made_and_nothing_beside_it(
    suffix, tmp_path: Path, people: People, frame: Frames
):
    path = write(tmp_path / "new" / "folder" / f"a b ü{suffix}", (frame(), people(1, COCO17)))
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_size > 10


@pytest.mark.parametrize("suffix", EVERY_FILE)
def test_an_existing_file_is_refused_unless_it_may_be_overwritten(
    suffix, tmp_path: Path, people: People, frame: Frames
):
    path = tmp_path / f"a{suffix}"
    path.write_text("mine")
    with refused(f"'{path}' exists", "--overwrite"):
        open_sink(path)
    assert path.read_text() == "mine"
    write(path, (frame(), people(1, COCO17)), overwrite=True)
    assert path.read_bytes() != b"mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet", ".json", ".mp4", ".mkv"])
def test_what_was_written_before_an_exception_is_a_valid_file(
    suffix, tmp_path: Path, people: People, frame: Frames
):
    path = tmp_path / f"a{suffix}"
    pairs = [(frame(i, i / 10), people(1, COCO17)) for i in range(3)]
    with pytest.raises(KeyboardInterrupt):
        stopped(open_sink(path), *pairs)
    assert list(tmp_path.iterdir()) == [path]
    how_many = {
        ".jsonl": lambda: len(list(read(path))),
        ".csv": lambda: len(csv_rows(path)) / 17,
        ".json": lambda: len(json.loads(path.read_text())),
        ".parquet": lambda: pytest.importorskip("pyarrow.parquet").read_table(path).num_rows / 17,
        ".mp4": lambda: len(shown(path)),
        ".mkv": lambda: len(shown(path)),
    }
    assert how_many[suffix]() == 3


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".json"])
def test_a_text_that_did_not_fit_on_the_disk_is_never_taken_for_a_whole_one(
    suffix, tmp_path: Path, people: People, frame: Frames
):
    """Also where closing it goes well: what did not fit is dropped by then."""

    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    sink: Any = open_sink(tmp_path / f"a{suffix}")
    pair = frame(), people(1, COCO17)
    sink.write(*pair)
    sink.file.close()
    sink.file = Full()
    with pytest.raises(OSError, match="No space left"), sink:
        sink.write(*pair)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}.part"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path, people: People, frame):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with open_sink(path, overwrite=True) as sink:
        sink.write(frame(), people())
        assert path.read_text() == "old"
    assert path.read_text() != "old"


@pytest.mark.parametrize("name", ["a.avi", "a.docx", "a", "a.", ".mp4"])
def test_an_unknown_extension_is_told_the_known_ones(name, tmp_path: Path):
    with refused(f"cannot write '{tmp_path / name}'", ".jsonl", ".parquet", ".mp4", ".png"):
        open_sink(tmp_path / name)


@pytest.mark.parametrize("suffix", EVERY_FILE)
def test_a_folder_that_cannot_be_made_is_one_clear_line(suffix, tmp_path: Path, people, frame):
    (tmp_path / "file").touch()
    sink = open_sink(tmp_path / "file" / f"a{suffix}")
    with refused("cannot write", f"a{suffix}"), sink:
        sink.write(frame(), people(1, COCO17))


@pytest.mark.parametrize("suffix", outputs.PICTURES)
def test_a_picture_is_written_as_it_was_drawn(
    suffix, tmp_path: Path, people: People, frame: Frames
):
    poses = visible(people)
    path = write(tmp_path / f"a{suffix}", (frame(), poses))
    got, want = Frame.read(path).rgb.astype(int), draw(frame(), poses).astype(int)
    # On average: lossy ones blur the thin lines, but must not swap red and blue.
    assert np.abs(got - want).mean() < (8 if suffix in (".jpg", ".jpeg", ".webp") else 1e-9)


def test_a_picture_file_holds_one_picture(tmp_path: Path, frame: Frames):
    with refused("holds one image"), open_sink(tmp_path / "a.png") as sink:
        for i in range(2):
            sink.write(frame(i), Poses.nobody(TOY))


def test_names_of_files_are_free_and_have_no_awkward_characters():
    name = Names()
    given = ["a.mp4", "a.mov", "A.avi", "a_2.mp4", "rtsp://cam/live?x=1", "..", "", "Ü b (1).png"]
    names = [name(each) for each in given]
    assert names[:3] == ["a", "a_2", "A_3"]
    assert names[-1] == "Ü b (1)"
    assert len({each.lower() for each in names}) == len(names)
    assert not any(set(each) & set('/\\:?*"<>|') or each in ("", ".", "..") for each in names)


def test_a_file_is_told_from_a_folder_by_its_extension(tmp_path: Path):
    (tmp_path / "a.mp4").mkdir()
    assert is_file(Path("a.MP4"))
    assert is_file(Path("a.jsonl"))
    assert not is_file(Path("out"))
    assert not is_file(Path("v1.2"))
    assert not is_file(tmp_path / "a.mp4")


def test_files_in_the_way_are_counted(tmp_path: Path):
    paths = [tmp_path / name for name in "abc"]
    refuse_existing(paths, overwrite=False)
    for path in paths[1:]:
        path.touch()
    with refused(f"'{paths[1]}' exists (and 1 more)"):
        refuse_existing(paths, overwrite=False)
    refuse_existing(paths, overwrite=True)


def test_several_sinks_are_all_closed_also_if_one_fails(tmp_path: Path, people: People, frame):
    paths = [tmp_path / "a.jsonl", tmp_path / "a.csv", tmp_path / "a.mp4"]
    sink = Several([open_sink(path) for path in paths])
    with pytest.raises(KeyboardInterrupt):
        stopped(sink, (frame(), people()))
    assert sink.paths == paths
    assert sorted(tmp_path.iterdir()) == sorted(paths)


# --save


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (None, ("video", "json")),
        ("", ()),
        (" , ", ()),
        ("video, csv", ("video", "csv")),
        ("mot,mot,trc,mot", ("mot", "trc")),
        ("rerun,heatmaps,html", ("rerun", "heatmaps", "html")),
    ],
)
def test_save_is_a_list_of_formats_with_commas(words, want):
    save = Save.parse(words)
    assert save.names == want
    assert [row.name for row in save.formats()] == [name for name in SAVED if name in want]
    assert save.chosen == (words is not None)
    assert all(name in save for name in want)
    assert "bvh" not in save


@pytest.mark.parametrize(
    ("words", "way_out"),
    [("vidoe", "video"), ("JSON", "known"), ("parket", "parquet"), ("jpg", "")],
)
def test_a_format_that_nobody_knows_is_told_the_nearest(words, way_out):
    with refused(f"no format to save named '{words}'", way_out):
        Save.parse(f"video,{words}")


def test_where_few_formats_are_possible_others_are_refused():
    with refused("no format to save named 'trc'", "plot"):
        Save.parse("video,trc", among=("video", "plot"))


def test_every_format_that_can_be_saved_is_known_by_the_name_of_its_file():
    for row in SAVED.values():
        for end in () if row.folder else (*row.ends, *row.of_picture):
            assert format_of(Path(f"A{end}")) is row
            assert format_of(Path(f"A{end.upper()}")) is row


@pytest.fixture
def pictures(picture) -> Source:
    paths = [picture(name, np.zeros((48, 64, 3), np.uint8)) for name in ("a.png", "b.png")]
    return Pictures(tuple(map(Path, paths)), Span())


@pytest.mark.parametrize(
    "words", [None, "json", "video,json", "plot,html", "trc,csv", "video,plot"]
)
def test_a_folder_gets_what_is_named_of_each_picture(words, pictures, tmp_path, people, frame):
    save, out = Save.parse(words), tmp_path / "out"
    (plan,) = plan_outputs([pictures], out, save, overwrite=False)
    with plan.open(Model(), save) as sink:
        a, b = (str(path) for path in pictures.paths)
        sink.write(frame(source=a), people(1, everything=True))
        sink.write(frame(source=b), Poses.nobody(TOY, "hips"))  # nobody: an empty page, no 3D view
    names, want = save.names if words else ("video", "json", "plot"), set[str]()
    want |= {"a.jpg", "b.jpg"} if "video" in names else set()
    want |= {"poses.jsonl"} if "json" in names else set()
    want |= {"a_3d.png"} if "plot" in names else set()
    want |= {"a_3d.html", "b_3d.html"} if "html" in names else set()
    want |= {"a.trc", "poses.csv"} if "trc" in names else set()
    assert {path.name for path in out.iterdir()} == {path.name for path in sink.paths} == want
    assert want <= {path.name for path in plan.paths()}


def test_without_metres_a_folder_gets_no_view_unless_it_was_asked_for(
    pictures, tmp_path, people, frame
):
    for words in (None, "video,plot"):
        save, out = Save.parse(words), tmp_path / str(words)
        (plan,) = plan_outputs([pictures], out, save, overwrite=False)
        with (
            pytest.raises(VitruvianError, match="2D keypoints only") if words else nullcontext(),
            plan.open(Model(), save) as sink,
        ):
            sink.write(frame(source=str(pictures.paths[0])), people())
        assert "a.jpg" in [path.name for path in out.iterdir()]
        assert "a_3d.png" not in [path.name for path in out.iterdir()]


# What can be read, and stays


@pytest.mark.parametrize("grey", [0, 40, 128, 200, 255])
@pytest.mark.parametrize("thick", [1, 3, 7])
def test_a_number_can_be_read_on_dark_and_light(grey, thick):
    """It has ink and edge of its own: both are there, and one is far from any background.

    OpenCV 5.0's putText leaves nothing of such an edge (findings/pictures_puttext.sh).
    """
    from vitruvian.rendering.draw import _label

    image = np.full((120, 160, 3), grey, np.uint8)
    _label(image, "8", np.array([40, 90, 100, 119]), thick)
    assert (np.abs(image.astype(int) - grey) > 90).any(axis=-1).sum() > 8 * thick
    assert image.max() > 235
    assert image.min() < 40 or grey < 40


@pytest.mark.parametrize(
    ("ids", "drawn"), [((), ()), ((-1,), (-1,)), ((-1, -1, -1), (1, 2, 3)), ((4, -1), (4, -1))]
)
def test_several_people_of_an_image_have_numbers(ids, drawn, people):
    """Those of its 3D view, and of `vitruvian trace --person`."""
    poses = replace(people(len(ids)), person=np.array(ids, int))
    assert with_numbers(poses).person.tolist() == list(drawn)


def test_a_number_is_whole_where_there_is_no_room_above():
    from vitruvian.rendering.draw import _label
    from vitruvian.rendering.lettering import lettered

    image = np.full((60, 80, 3), 128, np.uint8)
    _label(image, "12", np.array([0, -5, 10, 40]), 2)
    shown, whole = (image != 128).any(axis=-1).sum(), (lettered("12", 22)[..., 3] > 8).sum()
    assert shown >= 0.9 * whole


def test_widths_of_lines_stay_while_a_person_moves_and_follow_who_comes_near():
    from vitruvian.rendering.lettering import Steady

    moving = 300 * (1 + 0.12 * np.sin(np.arange(100)))  # the box of who swings arms and legs
    steady = Steady()
    assert len({steady(1, size / 100) for size in moving}) == 1
    coming = [steady(2, size / 100) for size in np.linspace(100, 900, 200)]
    assert coming == sorted(coming)
    assert (coming[0], coming[-1] >= 7) == (1, True)


def test_drawn_lines_of_a_video_keep_their_width(people: People, frame: Frames):
    from vitruvian.rendering.draw import _thicknesses
    from vitruvian.rendering.lettering import Steady

    for person in (3, -1):
        widths, alone = Steady(), set()
        kept = set()
        for far in (235, 265, 240, 260):  # 2.35 to 2.65 pixels are wanted
            box = np.array([[0, 0, far * 0.6, far * 0.8]], np.float32)
            poses = people(1, box=box, person=np.array([person]))
            kept |= set(_thicknesses((1920, 1080), poses, widths))
            alone |= set(_thicknesses((1920, 1080), poses, None))
        assert (len(kept), len(alone)) == (1, 2)
