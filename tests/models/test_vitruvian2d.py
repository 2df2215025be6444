"""The weights that come with vitruvian, on real people."""

import json

import numpy as np
import pytest

import vitruvian as vit
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models import zoo
from vitruvian.weights import download


@pytest.fixture(scope="module")
def model():
    return vit.load("vitruvian-2d")


def test_it_needs_nothing_but_what_comes_with_vitruvian(cache, monkeypatch):
    monkeypatch.setenv("VITRUVIAN_OFFLINE", "1")
    for name in ("vitruvian-2d", "blazepose-full"):
        detector = zoo.entry(name).files[0]
        assert download.find(detector) == download.SHIPPED / detector.name
    model = vit.load("vitruvian-2d", refine="pga", flip=True)
    [poses] = model([Frame(np.zeros((48, 64, 3), np.uint8))])
    assert len(poses) == 0
    assert {path.name for path in cache.iterdir()} <= {"compiled"}


def test_the_files_are_small_enough_to_come_along():
    files = [download.SHIPPED / file.name for file in zoo.entry("vitruvian-2d").files]
    assert sum(path.stat().st_size for path in files) < 15e6


def test_it_says_which_skeleton_and_how_it_is_read(model):
    assert model.skeleton.name == "coco17"
    assert model.options["decode"] == "local"
    assert model.head.antialias == 1


@pytest.mark.shared
@pytest.mark.parametrize("decode", ["local", "argmax"])
def test_it_finds_the_keypoints_of_people_it_has_not_seen(shared, decode):
    """With the true boxes: most visible keypoints within a tenth of the body's size."""
    model, folder = vit.load("vitruvian-2d", decode=decode), shared / "data" / "coco_people"
    lines = (folder / "people.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == "val"][:40]
    near = []
    for row in rows:
        x, y, w, h = row["box"]
        frame = Frame.read(folder / "crops" / row["file"])
        box = np.array([[x, y, x + w, y + h]], np.float32)
        [poses] = model([frame], [Regions.boxes(box, np.ones(1, np.float32))])
        points = np.array(row["keypoints"])
        seen = points[:, 2] == 2
        away = np.linalg.norm(poses.xy[0] - points[:, :2], axis=1)
        near += (away[seen] < 0.1 * max(w, h)).tolist()
    assert np.mean(near) > 0.85


@pytest.mark.shared
@pytest.mark.parametrize("options", [{"flip": True}, {"scales": "0.85,1"}, {"refine": "pga"}])
def test_every_way_to_look_gives_nearly_the_same(model, shared, options):
    frame = Frame.read(shared / "data" / "images" / "pose.jpg")
    look = [model.find([frame])[0]]
    [plain], [other] = model([frame], look), vit.load("vitruvian-2d", **options)([frame], look)
    assert len(plain) == len(other) >= 1
    sure = plain.score[0] > 0.5
    assert sure.any()
    size = np.ptp(plain.box[0].reshape(2, 2), axis=0).max()
    assert np.linalg.norm(plain.xy[0] - other.xy[0], axis=1)[sure].max() < 0.05 * size
