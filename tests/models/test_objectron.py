"""Person detectors that give boxes: `find="vitruvian-find"` and `"objectron"`."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.decode import anchors
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models import objectron
from vitruvian.models.everyone import Everyone
from vitruvian.models.load import for_pictures, load, open_finder
from vitruvian.models.model import Finder
from vitruvian.models.objectron import SCALES, SIDE, Options, PersonDetector

NO_NETWORK: Any = lambda *_: ()  # noqa: E731


def written_out(rows, logits, size, conf, threshold):
    """Anchors, decoding and suppression in plain loops, from specs/person_finder.md."""
    boxes, place = [], 0
    for layer, cells in enumerate((19, 10, 5, 3, 2, 1)):
        scale = 0.2 + 0.15 * layer
        larger = scale + 0.15 if layer < 5 else 1.0
        shapes = [(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 0.3333)]
        shapes.append((math.sqrt(scale * larger), 1.0))
        if layer == 0:
            shapes = [(0.1, 1.0), (0.2, 2.0), (0.2, 0.5)]
        for i in range(cells):
            for j in range(cells):
                for extent, ratio in shapes:
                    wide, tall = extent * math.sqrt(ratio), extent / math.sqrt(ratio)
                    y, x, h, w = (float(value) for value in rows[place])
                    score = 1 / (1 + math.exp(-float(logits[place])))
                    place += 1
                    if score < conf:
                        continue
                    cy, cx = (i + 0.5) / cells + y / 10 * tall, (j + 0.5) / cells + x / 10 * wide
                    h, w = tall * math.exp(h / 5), wide * math.exp(w / 5)
                    ends = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
                    box = [min(max(v, 0), 1) * size[k % 2] for k, v in enumerate(ends)]
                    if min(box[2] - box[0], box[3] - box[1]) >= 2:
                        boxes.append((score, box))
    assert place == len(rows) == 1917

    def iou(a, b):
        across = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
        shared = across * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
        areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        return shared / (sum(areas) - shared)

    kept = []
    for score, box in sorted(boxes, key=lambda pair: -pair[0]):
        if all(iou(box, other) <= threshold for _, other in kept):
            kept.append((score, box))
    return kept


@pytest.mark.parametrize("classes", [1, 24])
def test_boxes_are_those_of_a_decoder_written_out(classes):
    rng = np.random.default_rng(classes)
    rows = rng.normal(0, 2, (1917, 4)).astype(np.float32)
    logits = rng.normal(-4, 2, (1917, classes)).astype(np.float32)
    own = logits[:, 4 if classes > 1 else 0]
    want = written_out(rows, own, (640, 427), 0.2, 0.5)
    detector = PersonDetector(NO_NETWORK, Options(conf=0.2, num_poses=999))
    got = detector.decode(rows, logits, (640, 427))
    assert len(got) == len(want) > 10
    np.testing.assert_allclose(got.bounds(), [box for _, box in want], atol=0.01)
    np.testing.assert_allclose(got.score, [score for score, _ in want], atol=1e-5)


def test_nobody_is_no_boxes():
    detector = PersonDetector(NO_NETWORK, Options())
    got = detector.decode(
        np.zeros((1917, 4), np.float32), np.full((1917, 1), -9, np.float32), (9, 9)
    )
    assert got.bounds().shape == (0, 4)


def test_anchors_keep_their_size_in_pixels():
    small, whole = anchors.ssd(160, SIDE, SCALES), anchors.ssd(SIDE, SIDE, SCALES)
    assert (len(whole), len(small)) == (1917, 300 + 150 + 54 + 24 + 6 + 6)
    np.testing.assert_allclose(small[0, 2:] * 160, whole[0, 2:] * SIDE, rtol=1e-6)


def test_the_shipped_detector_finds_who_is_there_and_nobody_else(shared):
    find = open_finder("vitruvian-find", "boxes", Options(conf=0.3)).find
    images = shared / "data" / "images"
    frames = [Frame.read(images / "pose.jpg"), Frame(np.full((240, 320, 3), 90, np.uint8))]
    one, nobody = find(frames)
    assert len(nobody) == 0
    (alone,) = find(frames[:1])
    np.testing.assert_array_equal(alone.bounds(), one.bounds())  # batches change nothing


def test_a_glance_in_the_background_shows_the_same(shared):
    finder = open_finder("vitruvian-find", "bodies", Options(conf=0.3))
    assert finder.glance is not None
    bus, zidane = (
        Frame.read(shared / "data" / "images" / f"ultralytics_{name}.jpg")
        for name in ("bus", "zidane")
    )
    first, second = finder.glance(bus), finder.glance(zidane)
    assert len(first()) >= 3  # of four, one is cut off by the edge
    assert len(second()) >= 2


@pytest.mark.weights
def test_objectron_finds_the_people_of_the_bus(shared):
    (found,) = open_finder("objectron", "boxes", Options(conf=0.3)).find(
        [Frame.read(shared / "data" / "images" / "ultralytics_bus.jpg")]
    )
    want = [[49, 393, 216, 901], [221, 400, 343, 864], [678, 368, 808, 881], [754, 380, 810, 846]]
    np.testing.assert_allclose(found.bounds(), want, atol=1)


def test_a_finder_is_no_model():
    with pytest.raises(VitruvianError, match="does not estimate poses; use it as a person detec"):
        load("vitruvian-find")


@pytest.mark.parametrize(
    ("given", "num_poses", "find"),
    [
        ({}, 100, "vitruvian-find"),
        ({"num_poses": 5}, 5, "vitruvian-find"),
        ({"find": "blazepose-full", "num_poses": None}, 100, "blazepose-full"),
        ({"num_poses": 1}, 1, None),  # as MediaPipe
        ({"compat": "solutions", "num_poses": 2}, 2, None),
    ],
)
def test_pictures_are_of_everyone_unless_one_person_is_asked_for(given, num_poses, find):
    options = for_pictures("blazepose-full", given)
    assert (options["num_poses"], options.get("find")) == (num_poses, find)
    assert for_pictures("vitruvian-2d", {"conf": 0.3}) == {"conf": 0.3}


def squares(*rows):
    """Regions of these x, y, side, score."""
    box = np.array([[x, y, x + side, y + side] for x, y, side, _ in rows], np.float32)
    return Regions.boxes(box.reshape(-1, 4), np.array([row[3] for row in rows], np.float32))


class Body:
    """A landmark network that moves every region 10 pixels to the right.

    It sees who is in `blind` only from squares larger than 60 pixels.
    """

    skeleton, network = BLAZEPOSE33, staticmethod(lambda rows: (rows,))

    def __init__(self, blind=()):
        self.blind = blind

    def crops(self, frame, regions):
        return [None] * len(regions)

    def prepare(self, frame, crops):
        return np.zeros((len(crops), 1), np.float32)

    def decode(self, frame, outputs, crops, look):
        look = look.take(~np.isin(look.person, self.blind) | (look.size[:, 0] > 60))
        n = len(look)
        moved = Regions(
            look.centre + np.array([10, 0], np.float32),
            look.size,
            look.angle,
            look.score,
            look.person,
        )
        xy = np.zeros((n, 33, 2), np.float32)
        box = moved.bounds()
        return Poses(BLAZEPOSE33, xy, xy[..., 0], box, look.score, look.person, look=moved)


def everyone(near, finder, head, presence=None):
    """A model of everyone, with `Body` for both heads."""
    own: Any = SimpleNamespace(
        find=lambda frames: [near] * len(frames),
        head=head,
        most=9,
        batch=64,
        name="",
        weights={},
        options={"presence": 0.5},
    )
    return Everyone(own, finder, head, presence)


@pytest.mark.parametrize("glanced", [1, 2, "a part"])
def test_everyone_is_who_is_near_and_then_the_others_once_each(glanced):
    near = squares((10, 10, 60, 0.9))
    boxes = squares((4, 13, 54, 0.8), (200, 20, 60, 0.6))
    seen = squares((10, 10, 60, 0.5), *[(200, 20, 20, 0.4)] * (glanced == 2))
    if glanced == "a part":
        seen = squares((10, 10, 60, 0.5), (60, 60, 12, 0.4))
    others = Finder(lambda frames: [boxes], {}, upright=True, glance=lambda frame: lambda: seen)
    model = everyone(near, others, Body())
    frame = Frame(np.zeros((100, 300, 3), np.uint8))
    (found,) = model.find([frame])
    want = [[40, 40]] if glanced != 2 else [[40, 40], [240, 50]]
    np.testing.assert_allclose(found.centre, want)
    if glanced == 2:
        np.testing.assert_allclose(found.size[1], 66)  # enlarged
        assert (found.person == -1).all()
    (poses,) = model([frame])
    np.testing.assert_allclose(poses.box[:, 0], [20, 217][: len(want)])
    assert (poses.person == -1).all()
    assert objectron.GLANCE < SIDE


def test_who_is_cut_off_is_looked_for_below_the_box():
    boxes = Regions.boxes(
        np.array([[0, 0, 40, 90], [100, 10, 140, 50], [200, 0, 210, 50]], np.float32),
        np.array([0.8, 0.6, 0.6], np.float32),
    )
    others = Finder(lambda frames: [boxes], {}, upright=True, complete=True)
    model = everyone(Regions.none(), others, Body(blind=[1]))
    (found,) = model.find([Frame(np.zeros((100, 300, 3), np.uint8))])
    # Of the second, a square of 1.5 heights shows nobody yet, and one of 2.2 around its lower edge
    # does.
    np.testing.assert_allclose(found.centre, [[30, 45], [130, 50], [215, 25]])
    np.testing.assert_allclose(found.size[:, 0], [99, 88, 55], rtol=1e-6)


@pytest.mark.parametrize(
    ("presence", "want"), [(None, [True, False, False]), (0.1, [True, True, False])]
)
def test_the_second_look_and_the_box_say_together_whether_somebody_is_there(presence, want):
    """Presence is 0.3 of each; one of the three poses is elsewhere."""
    boxes = squares((0, 0, 50, 0.5), (100, 0, 50, 0.3), (200, 0, 50, 0.9))
    box = boxes.bounds() + np.array([[0], [0], [60]], np.float32)
    score, xy = np.full(3, 0.3, np.float32), np.zeros((3, 33, 2), np.float32)
    poses = Poses(BLAZEPOSE33, xy, xy[..., 0], box, score, np.arange(3), look=boxes)
    model = everyone(Regions.none(), Finder(lambda _: [], {}, upright=True), Body(), presence)
    assert model.there(poses, boxes).tolist() == want


@pytest.mark.parametrize(("score", "want"), [(0.5, False), (0.95, True)])
def test_a_hand_is_nobody(score, want):
    """A small box inside of a person's, unless somebody is surely there: a child."""
    boxes = squares((0, 0, 200, 0.9), (20, 0, 50, 0.5))
    score, xy = np.array([0.9, score], np.float32), np.zeros((2, 33, 2), np.float32)
    poses = Poses(BLAZEPOSE33, xy, xy[..., 0], boxes.bounds(), score, np.arange(2), look=boxes)
    model = everyone(Regions.none(), Finder(lambda _: [], {}, upright=True), Body())
    assert model.there(poses, boxes).tolist() == [True, want]


@pytest.mark.weights
def test_boxes_of_a_file_lead_to_bodies(blazepose, tmp_path):
    """Two of four people are listed, one of them down to the hips."""
    blazepose("full")
    picture = Path(__file__).parents[2] / "docs" / "people.jpg"
    rows = [[299, 186, 187, 150], [87, 152, 119, 403]]
    listed = [{"image_id": "people.jpg", "bbox": row, "score": 0.9} for row in rows]
    (tmp_path / "boxes.json").write_text(json.dumps(listed))
    model = load("blazepose-full", find=str(tmp_path / "boxes.json"), num_poses=9)
    (poses,) = model([Frame.read(picture)])
    ankles = poses.xy[:, 27:29].mean(axis=1)
    np.testing.assert_allclose(ankles, [[400, 480], [130, 530]], atol=50)


@pytest.mark.weights
def test_who_sits_is_one_person(blazepose):
    """Two regions, hardly overlapping, lead to the person on the right: one pose is kept."""
    blazepose("full")
    picture = Path(__file__).parents[2] / "docs" / "people.jpg"
    (poses,) = load("blazepose-full", **for_pictures("blazepose-full", {}))([Frame.read(picture)])
    middle = np.sort((poses.box[:, 0] + poses.box[:, 2]) / 2)
    np.testing.assert_allclose(middle, [130, 386, 644, 844], atol=20)


def test_a_raised_hand_is_nobody():
    """Of the person on the left, it has a box of its own."""
    picture = Frame.read(Path(__file__).parents[2] / "docs" / "people.jpg")
    model = load("vitruvian-2d")
    (boxes,) = model.find([picture])  # type: ignore[union-attr]
    (poses,) = model([picture])
    hand = boxes.bounds()[(boxes.centre < (100, 200)).all(axis=1)]
    np.testing.assert_allclose(hand, [[54, 114, 90, 210]], atol=2)
    middle = np.sort((poses.box[:, 0] + poses.box[:, 2]) / 2)
    np.testing.assert_allclose(middle, [147, 387, 631, 838], atol=20)
