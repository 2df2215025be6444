"""Recordings for Rerun, read again with its own reader."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from conftest import TOY, absent, refused, stopped
from vitruvian.body.poses import Poses
from vitruvian.errors import pip_install
from vitruvian.geometry.camera import Camera
from vitruvian.verbs.outputs import open_sink


@pytest.fixture
def rerun() -> None:
    if importlib.util.find_spec("rerun") is None:
        absent("rerun is not installed (the rerun extra)")


def entities(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Entity -> its rows: components, and `frame` and `time` in seconds where they are timed."""
    from rerun.chunk import RrdReader  # pyright: ignore[reportMissingImports]

    found: dict[str, list[dict[str, Any]]] = {}
    for chunk in RrdReader(str(path)).stream():
        batch = chunk.to_record_batch()
        for row in range(batch.num_rows):
            values: dict[str, Any] = {}
            for name in batch.schema.names:
                cell = batch.column(name)[row]
                if name == "time":
                    values["time"] = cell.value / 1e9
                elif name != "log_time" and not name.startswith("rerun.") and cell.is_valid:
                    values[name.split(":")[-1]] = cell.as_py()
            found.setdefault(chunk.entity_path, []).append(values)
    for rows in found.values():
        rows.sort(key=lambda values: values.get("frame", -1))
    return found


def written(path: Path, *pairs) -> dict[str, list[dict[str, Any]]]:
    with open_sink(path) as sink:
        for pair in pairs:
            sink.write(*pair)
    assert sink.paths == list(path.parent.iterdir()) == [path]
    return entities(path)


def test_everything_is_there_at_its_time(rerun, tmp_path: Path, people, frame, rng):
    camera = Camera.view((64, 48), 70)
    first = people(2, origin="camera", xyz=rng.normal(0, 1, (2, 3, 3)).astype(np.float32))
    second = first.take([1])
    second.xyz[0, 2] = np.nan
    second.score[0, 1] = 0.1
    pairs = [(frame(3, 0.25), first), (frame(4, 0.5), second)]
    pairs = [(replace(each, camera=camera), poses) for each, poses in pairs]
    found = written(tmp_path / "a.rrd", *pairs)
    joints = found["/scene/people/2/joints"]
    assert [(row["frame"], row["time"]) for row in joints] == [(3, 0.25), (4, 0.5)]
    np.testing.assert_allclose(joints[0]["positions"], first.xyz[1])
    assert joints[0]["keypoint_ids"] == [0, 1, 2]
    assert joints[1]["keypoint_ids"] == [0]  # neither what is missing nor what is guessed
    flat = found["/scene/camera/people/2/joints"]
    np.testing.assert_allclose(flat[0]["positions"], first.xy[1])
    bones = found["/scene/people/1/bones"][0]["strips"]
    np.testing.assert_allclose(bones, first.xyz[0][np.array(TOY.bones)])
    gone = found["/scene/people/1"]
    assert [(row["frame"], row["is_recursive"]) for row in gone] == [(4, [True])]
    (pinhole, _) = found["/scene/camera"]
    matrix = np.reshape(pinhole["image_from_camera"], (3, 3)).T  # by columns
    np.testing.assert_allclose(matrix, camera.matrix, rtol=1e-6)
    np.testing.assert_allclose(pinhole["resolution"], [(64, 48)])
    image = found["/scene/camera/image"][1]
    data = np.frombuffer(bytes(image["blob"][0]), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None
    np.testing.assert_allclose(picture, 100, atol=3)
    ((described,),) = found["/"][0]["context"]
    joint = described["class_description"]["keypoint_annotations"][1]
    assert (joint["id"], joint["label"]) == (1, "left_hand")
    assert joint["color"] >> 8 == 0x0072B2


def test_in_the_world_the_camera_stands_where_it_stood(rerun, tmp_path: Path, people, frame):
    extrinsics = np.array([[0, -1, 0, 0.5], [1, 0, 0, 1], [0, 0, 1, 3], [0, 0, 0, 1]], float)
    camera = Camera.view((64, 48)).placed(extrinsics)
    poses = people(xyz=np.ones((1, 3, 3), np.float32), origin="camera")
    poses = replace(poses, world=camera.to_world(poses.xyz))
    found = written(tmp_path / "a.rrd", (replace(frame(), camera=camera), poses))
    np.testing.assert_allclose(found["/scene/people/1/joints"][0]["positions"], poses.world[0])
    place = next(row for row in found["/scene/camera"] if "translation" in row)
    turned = np.reshape(place["mat3x3"], (3, 3)).T
    np.testing.assert_allclose(turned @ (0, 0, 0) + place["translation"][0], (-1, 0.5, -3))
    np.testing.assert_allclose(turned, extrinsics[:3, :3].T, atol=1e-6)


def test_pixels_alone_are_recorded_too(rerun, tmp_path: Path, people, frame):
    found = written(tmp_path / "a.rrd", (frame(), people()), (frame(1, 0.1), Poses.nobody(TOY)))
    assert {"/picture/image", "/picture/people/1/joints", "/picture/people/1/bones"} <= found.keys()
    assert not any(entity.startswith("/scene/") for entity in found)


def test_a_recording_that_was_stopped_can_be_read(rerun, tmp_path: Path, people, frame):
    sink = open_sink(tmp_path / "a.rrd")
    with pytest.raises(KeyboardInterrupt):
        stopped(sink, (frame(), people(everything=True)))
    assert "/scene/people/1/joints" in entities(tmp_path / "a.rrd")
    with open_sink(tmp_path / "b.rrd") as nothing:
        pass
    assert nothing.paths == []
    assert [path.name for path in tmp_path.iterdir()] == ["a.rrd"]


def test_without_the_extra_it_says_how_to_install_it(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with refused("a.rrd' needs rerun", pip_install("rerun")):
        open_sink(tmp_path / "a.rrd")
