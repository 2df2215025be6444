"""AlphaPose: crops, views, decoding into the frame, finders, files, and a command end to end.

Networks here are painted: a keypoint is a spot of its own colour, and its map is that colour.
"""

import json
import sys
import types
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import vitruvian as vit
from commands import command
from conftest import TOY, refused
from vitruvian.body.skeletons import COCO17
from vitruvian.errors import pip_install
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.alphapose import Joints, Options
from vitruvian.models.finders import Detections
from vitruvian.models.load import load
from vitruvian.models.top_down import TopDown
from vitruvian.models.zoo import CATALOGUE, entry
from vitruvian.streams.stream import Stream
from vitruvian.streams.wanted import Wanted
from vitruvian.weights.metadata import about

SIZE = (192, 256)  # of the crop, pixels
SPOT = 0.06  # of the height of the box: the standard deviation of a spot


def painted(points: np.ndarray, sigma: float, size: tuple[int, int] = (640, 480)) -> Frame:
    """A frame with (N, 3, 2) spots at those column and row numbers: nose red, left hand green."""
    x, y = np.arange(size[0]), np.arange(size[1])[:, None]
    away = [[(x - a) ** 2 + (y - b) ** 2 for a, b in person] for person in points]
    light = np.exp(-np.array(away) / (2 * sigma**2)).max(axis=0)
    return Frame(np.round(255 * np.moveaxis(light, 0, -1)).astype(np.uint8))


def colours(rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """(N, 256, 192, 3) crops -> (N, 3, 64, 48): each colour at the pixel of each cell, 0..1."""
    return (np.ascontiguousarray(np.moveaxis(rows[:, ::4, ::4], -1, 1)).astype(np.float32) / 255,)


def logits(rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same for a network whose maps are read by their mean: the sigmoid is the colour."""
    (maps,) = colours(rows)
    return (np.log(maps + 1e-9) - np.log1p(1e-9 - maps + 1e-6),)


def handed(rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """A network that tells left from right by where a hand is: the left one is right of the nose.

    Whatever colour it has, for in a mirror it has the other one's.
    """
    (maps,) = colours(rows)
    hands = maps[:, 1:].max(axis=1)
    right = np.arange(48) > 24  # the mirror of cell i is cell 48 - i, so that 24 is the middle
    return (np.stack([maps[:, 0], hands * right, hands * ~right], axis=1),)


def boxes(*rows: tuple[float, float, float, float]) -> Regions:
    box = np.array(rows, np.float32).reshape(len(rows), 4)
    return Regions.boxes(box, np.full(len(box), 0.9, np.float32))


def head(network: Any = colours, decode: str = "argmax", **given: object) -> Joints:
    return Joints(network, Options.of(**given), TOY, size=SIZE, decode=decode)


def model(regions: Regions, network: Any = colours, decode: str = "argmax", **given) -> TopDown:
    read = head(network, decode, **given)
    return TopDown(lambda frames: [regions] * len(frames), read, 100, batch=read.options.batch)


BLANK = Frame(np.zeros((480, 640, 3), np.uint8))  # where a crop is does not depend on it
ONE = (200.0, 100.0, 320.0, 400.0)
SPOTS = np.array([[[262.0, 130.0], [300.0, 260.0], [215.0, 251.0]]])  # in that box
CELL = 300 * 1.25 / 64  # pixels of the frame that a cell of its map covers


def test_the_crop_of_the_worked_example():
    """Specs/alphapose.md 4: box (100, 50, 200, 350) -> (9.375, 12.5, 290.625, 387.5)."""
    (crop,) = head().crops(BLANK, boxes((100, 50, 200, 350)))
    np.testing.assert_allclose(crop.bounds(), (9.375, 12.5, 290.625, 387.5), atol=1e-4)


@pytest.mark.parametrize(
    ("box", "size"),
    [((0, 0, 300, 100), (375, 500)), ((0, 0, 30, 400), (375, 500)), ((0, 0, 75, 100), None)],
)
def test_a_crop_is_three_to_four_whatever_the_box(box, size):
    (crop,) = head().crops(BLANK, boxes(box))
    x0, y0, x1, y1 = crop.bounds()
    assert (x1 - x0) / (y1 - y0) == pytest.approx(0.75)
    np.testing.assert_allclose(((x0 + x1) / 2, (y0 + y1) / 2), np.array(box[2:]) / 2, atol=1e-4)
    if size:
        np.testing.assert_allclose((x1 - x0, y1 - y0), size, atol=1e-3)


@pytest.mark.parametrize("scale", [0.75, 1.0, 1.25])
def test_the_way_back_is_one_scale_about_the_middle(scale):
    """Specs/alphapose.md 3: X = cx + (u - W / 2) w / W and Y = cy + (v - H / 2) w / W."""
    crops = head(scales=[1.0, 0.75, 1.25]).crops(BLANK, boxes((100, 50, 200, 350)))
    crop = crops[[1.0, 0.75, 1.25].index(scale)]
    u, v = np.random.default_rng(0).uniform((0, 0), (48, 64), (9, 2)).T
    width = 281.25 / scale
    want = np.stack([150 + (u - 24) * width / 48, 200 + (v - 32) * width / 48], -1)
    np.testing.assert_allclose(crop.to_frame(np.stack([u, v], -1) * 4), want, atol=1e-3)


def test_what_is_outside_the_frame_is_black():
    frame = Frame(np.full((100, 100, 3), 200, np.uint8))
    crops = head().crops(BLANK, boxes((-60, -80, 0, 0), (900, 900, 960, 980), (20, 20, 80, 80)))
    rows = head().prepare(frame, crops)
    assert rows.dtype == np.uint8
    assert rows.shape == (3, 256, 192, 3)
    assert rows[0, 0, 0].max() == 0
    assert rows[0, -1, -1].min() == 200
    assert rows[1].max() == 0


@pytest.mark.parametrize(
    ("decode", "network", "cells"), [("argmax", colours, 0.5), ("integral", logits, 0.05)]
)
def test_a_keypoint_is_where_it_was_painted(decode, network, cells):
    """To the half of a cell that an arg-max may be off, and far better for the mean of the map."""
    (poses,) = model(boxes(ONE), network, decode)([painted(SPOTS, SPOT * 300)])
    np.testing.assert_allclose(poses.xy, SPOTS, atol=cells * CELL)
    assert (poses.score > 0.9).all()
    np.testing.assert_allclose(poses.box, [ONE])
    assert poses.skeleton is TOY


@pytest.mark.parametrize("turns", [0.3, -1.2, np.pi])
def test_a_turned_body_is_seen_upright(turns):
    """A region of BlazePose's detector: the crop is turned with it, and the keypoints back."""
    cos, sin = np.cos(turns), np.sin(turns)
    middle = np.array([320.0, 240.0])
    spots = middle + (SPOTS - (260, 250)) * 0.7 @ np.array([[cos, sin], [-sin, cos]])
    square = Regions(
        middle[None].astype(np.float32),
        np.full((1, 2), 210, np.float32),
        np.array([turns], np.float32),
        np.ones(1, np.float32),
        np.full(1, -1),
    )
    seen: list[np.ndarray] = []

    def network(rows: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(rows)
        return colours(rows)

    (poses,) = model(square.boxes_of_bodies(), network)([painted(spots, SPOT * 210)])
    np.testing.assert_allclose(poses.xy, spots, atol=0.5 * 210 * 1.25 / 64)
    nose = np.unravel_index(seen[0][0, ..., 0].argmax(), (256, 192))
    np.testing.assert_allclose(nose, (128 - 120 * 0.7 / (210 * 1.25) * 256, 97), atol=2)


def test_a_body_is_three_quarters_of_its_circle_wide():
    square = boxes((0, 0, 200, 200))
    (crop,) = head().crops(BLANK, square.boxes_of_bodies())
    np.testing.assert_allclose(crop.bounds(), (6.25, -25, 193.75, 225), atol=1e-4)


def test_looking_in_a_mirror_as_well_finds_the_same():
    """Of a network that is as good at the mirror. The mirror's cells lie a quarter of a cell off,
    see `mirrored`; half of that is left in the mean. A peak may change to the cell beside it.
    """
    frame = painted(SPOTS, SPOT * 300)
    (plain,) = model(boxes(ONE), handed)([frame])
    (both,) = model(boxes(ONE), handed, flip=True)([frame])
    np.testing.assert_allclose(plain.xy[0, 1:], SPOTS[0, 1:], atol=0.5 * CELL)
    np.testing.assert_allclose(both.xy, SPOTS, atol=(0.5 + 0.25) * CELL)
    np.testing.assert_allclose(both.score, plain.score, atol=0.02)


def test_a_mirror_symmetric_network_gives_identical_maps_of_both_views():
    """Maps that do not depend on the image: views only differ by what `mirrored` undoes."""
    rng = np.random.default_rng(1)
    half = rng.random((3, 64, 25), np.float32)
    maps = np.concatenate([half, half[..., -2:0:-1]], axis=-1)  # of cell i and of cell 48 - i
    maps[2] = maps[1]

    def network(rows: np.ndarray) -> tuple[np.ndarray, ...]:
        return (np.repeat(maps[None], len(rows), axis=0),)

    def merged(**given) -> np.ndarray:
        read = head(network, **given)
        return read.merge(
            network(read.prepare(painted(SPOTS, 9), read.crops(BLANK, boxes(ONE))))[0]
        )

    np.testing.assert_array_equal(merged()[..., 1:], merged(flip=True)[..., 1:])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scales", [(1, 0.75), (0.75, 1, 1.25), (1, 2.0)])
def test_a_spot_is_in_the_same_place_at_every_scale(scales, flip):
    """Each scale's maps alone, resampled, give the place again; so does their mean."""
    frame, regions = painted(SPOTS, SPOT * 300), boxes(ONE)
    (poses,) = model(regions, logits, "integral", scales=scales)([frame])
    np.testing.assert_allclose(poses.xy, SPOTS, atol=0.15 * CELL)
    (poses,) = model(regions, handed, scales=scales, flip=flip)([frame])
    np.testing.assert_allclose(poses.xy, SPOTS, atol=0.75 * CELL)


def test_what_only_some_scales_show_is_the_mean_of_those():
    read = head(scales=(1, 2.0))
    maps = np.stack([np.full((3, 64, 48), 1.0), np.full((3, 64, 48), 3.0)]).astype(np.float32)
    merged = read.merge(maps)
    assert merged.shape == (1, 3, 64, 48)
    np.testing.assert_allclose(merged[0, :, 16:48, 12:36], 2)
    np.testing.assert_allclose(merged[0, :, :16], 1)
    np.testing.assert_allclose(merged[0, :, :, 36:], 1)


def test_many_people_of_many_frames_go_through_together_in_bounded_batches():
    people = np.array([[x, 40, x + 60, 190] for x in range(0, 560, 80)], np.float32)
    spots = people[:, None, :2] + [[30, 20], [50, 80], [10, 80]]
    seen: list[int] = []

    def network(rows: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(len(rows))
        return colours(rows)

    # Some spots of a neighbour lie in the crop: where two are as bright, the first one counts.
    given: dict[str, Any] = {"flip": True, "scales": (1, 1.25), "pose_nms": False}
    frames = [painted(spots, SPOT * 150), painted(spots[:, ::-1], SPOT * 150)]
    many = model(boxes(*people.tolist()), network, batch=16, **given)(frames)
    assert seen == [16, 16, 16, 8]
    for poses, frame in zip(many, frames, strict=True):
        for i, row in enumerate(people.tolist()):
            (alone,) = model(boxes(row), network, **given)([frame])
            np.testing.assert_array_equal(poses.xy[i], alone.xy[0])


def test_frames_of_other_sizes_and_with_nobody_go_through_together():
    found = [boxes(ONE), boxes(), boxes((20, 20, 50, 80))]
    frames = [painted(SPOTS, 18), painted(SPOTS, 18), painted(SPOTS / 5, 3.6, (120, 90))]
    both = TopDown(lambda _: found, head(), 100)(frames)
    assert [len(poses) for poses in both] == [1, 0, 1]
    np.testing.assert_allclose(both[0].xy, SPOTS, atol=CELL)
    assert both[1].xy.shape == (0, 3, 2)


@pytest.mark.parametrize("given", [{}, {"flip": True, "scales": [1, 1.25]}, {"pose_nms": False}])
def test_nobody_is_an_ordinary_answer(given):
    (poses,) = model(boxes(), **given)([painted(SPOTS, 18)])
    assert poses.xy.shape == (0, 3, 2)
    assert model(boxes(), **given)([]) == []


def test_a_person_outside_of_the_picture_is_not_there():
    (poses,) = model(boxes((2000, 2000, 2100, 2300)))([painted(SPOTS, 18)])
    assert len(poses) == 0


def test_a_keypoint_that_is_not_found_is_nan_and_not_a_corner():
    spots = SPOTS.copy()
    spots[0, 2] = (5000, 5000)
    frame = painted(spots, 18)
    (poses,) = model(boxes(ONE))([frame])
    assert np.isnan(poses.xy[0, 2]).all()
    assert poses.score[0, 2] == 0
    np.testing.assert_allclose(poses.xy[0, :2], spots[0, :2], atol=CELL)
    (theirs,) = model(boxes(ONE), compat="alphapose")([frame])
    corner = head().crops(BLANK, boxes(ONE))[0].bounds()[:2]
    np.testing.assert_allclose(theirs.xy[0, 2], corner, atol=1e-3)


def test_a_person_at_the_border_keeps_the_keypoints_that_are_inside():
    spots = np.array([[[3.0, 100.0], [20.0, 200.0], [-30.0, 200.0]]])
    (poses,) = model(boxes((-60, 50, 60, 350)))([painted(spots, 18)])
    np.testing.assert_allclose(poses.xy[0, :2], spots[0, :2], atol=CELL)


@pytest.mark.parametrize("pose_nms", [True, False])
def test_boxes_of_the_same_person_are_one_person(pose_nms):
    """Seventeen keypoints, of which a pose has to share five with another to be the same."""
    at = np.random.default_rng(2).integers(4, 44, (17, 2))

    def network(rows: np.ndarray) -> tuple[np.ndarray, ...]:
        maps = np.full((len(rows), 17, 64, 48), -1, np.float32)
        maps[:, np.arange(17), at[:, 1], at[:, 0]] = np.linspace(0.9, 0.8, len(rows))[:, None]
        return (maps,)

    read = Joints(network, Options.of(pose_nms=pose_nms), COCO17)
    near = [np.add(ONE, i).tolist() for i in (0, 1, 2)]
    far = np.add(ONE, (250, 0, 250, 0)).tolist()
    (poses,) = TopDown(lambda _: [boxes(*near, far)], read, 100)([painted(SPOTS, 18)])
    assert len(poses) == (2 if pose_nms else 4)
    if pose_nms:
        np.testing.assert_allclose(poses.box, [ONE, far])
        # Three poses a pixel from one to the next, whose scores weigh the mean.
        weight = np.linspace(0.9, 0.8, 4)[:3]
        (first,) = TopDown(lambda _: [boxes(ONE)], read, 100)([painted(SPOTS, 18)])
        moved = (weight * [0, 1, 2]).sum() / weight.sum()
        np.testing.assert_allclose(poses.xy[0], first.xy[0] + moved, atol=1e-3)


def test_the_score_of_a_person_is_the_reference_s_as_a_part_of_one():
    frame = painted(SPOTS, SPOT * 300)
    (ours,), (theirs,) = (
        model(boxes(ONE), compat=compat)([frame]) for compat in ("fixed", "alphapose")
    )
    want = theirs.score.mean() + 0.9 + 1.25 * theirs.score.max()
    np.testing.assert_allclose(theirs.box_score, want, rtol=1e-6)
    np.testing.assert_allclose(ours.box_score, want / 3.25, rtol=1e-6)


def test_heat_maps_are_kept_where_asked_for_with_what_they_cover():
    frame = painted(SPOTS, SPOT * 300)
    (poses,) = model(boxes(ONE), logits, "integral", heatmaps=True)([frame])
    assert poses.maps is not None
    assert poses.seen is not None
    np.testing.assert_allclose(poses.maps.max(axis=(2, 3)), poses.score)
    np.testing.assert_allclose(poses.seen.bounds(), [head().crops(BLANK, boxes(ONE))[0].bounds()])
    (poses,) = model(boxes(ONE))([frame])
    assert poses.maps is None
    assert poses.seen is None


@pytest.mark.parametrize("decode", ["argmax", "local", "integral"])
def test_logits_are_read_as_what_they_stand_for_whichever_way(decode):
    """A place that is three tenths likely is found, with that score: its logit is below 0."""

    def doubtful(rows: np.ndarray) -> tuple[np.ndarray]:
        (maps,) = logits(rows)
        peak = maps.max(axis=(2, 3), keepdims=True)
        return (maps - peak + np.float32(np.log(0.3 / 0.7)),)

    read = Joints(doubtful, Options.of(), TOY, size=SIZE, decode=decode, trained="local")
    found = TopDown(lambda frames: [boxes(ONE)] * len(frames), read, 100)
    (poses,) = found([painted(SPOTS, SPOT * 300)])
    np.testing.assert_allclose(poses.score, 0.3, atol=1e-3)
    np.testing.assert_allclose(poses.xy, SPOTS, atol=0.5 * CELL)


@pytest.mark.parametrize("given", [{}, {"flip": True}, {"scales": (0.5, 1, 2), "flip": True}])
def test_refinement_moves_each_keypoint_by_the_mean_of_its_views(given):
    """One cell to the right in a view is one to the left in its mirror, and twice in half of it."""
    flip, scales = "flip" in given, given.get("scales", (1,))
    moves = np.array([[1, 0], [0, 2], [0, 2]], np.float32)

    def features(rows: np.ndarray) -> tuple[np.ndarray, ...]:
        row = np.arange(len(rows)) % 2 == 0 if flip else np.ones(len(rows))
        return (*handed(rows), np.ones((len(rows), 5, 8, 6), np.float32) * row[:, None, None, None])

    def told(found: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(cells)
        mirror = found[:, 0, 0, 0] == 0
        sign = np.where(mirror[:, None, None], np.array([-1, 1], np.float32), 1)
        return (moves * sign,)

    seen: list[np.ndarray] = []
    options = Options.of(refine="pga", **given)
    read = Joints(features, options, TOY, size=SIZE, refiner=told)
    frame = painted(SPOTS, SPOT * 300)
    (moved,) = TopDown(lambda _: [boxes(ONE)], read, 9)([frame])
    (plain,) = model(boxes(ONE), handed, **given)([frame])
    share = np.mean([1 / scale for scale in scales])
    np.testing.assert_allclose(moved.xy - plain.xy, moves[None] * share * CELL, atol=2e-3)
    (cells,) = seen
    assert cells.shape == (len(scales) * (1 + flip), 3, 2)
    if flip and len(scales) == 1:  # pixel 4 i of a row is pixel 191 - 4 i of its mirror
        np.testing.assert_allclose(cells[1], np.abs([47.75, 0] - cells[0])[[0, 2, 1]], atol=1e-4)


def test_refinement_leaves_what_was_not_found():
    spots = SPOTS.copy()
    spots[0, 2] = (5000, 5000)

    def features(rows: np.ndarray) -> tuple[np.ndarray, ...]:
        return (*colours(rows), np.zeros((len(rows), 1, 2, 2), np.float32))

    def told(_: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, ...]:
        assert np.isfinite(cells).all()
        return (np.ones_like(cells),)

    read = Joints(features, Options(refine="pga"), TOY, size=SIZE, refiner=told)
    (poses,) = TopDown(lambda _: [boxes(ONE)], read, 9)([painted(spots, 18)])
    assert np.isnan(poses.xy[0, 2]).all()
    assert np.isfinite(poses.xy[0, :2]).all()


def test_refinement_without_features_is_refused():
    read = Joints(colours, Options(refine="pga"), TOY, size=SIZE, refiner=lambda _, cells: (cells,))
    with refused("refine needs features"):
        TopDown(lambda _: [boxes(ONE)], read, 9)([painted(SPOTS, 18)])


def test_following_finds_who_moves_as_finding_in_each_frame_does():
    """A person who walks, found once: the region goes along by the keypoints."""
    asked: list[int] = []

    def find(frames) -> list[Regions]:
        asked.append(frames[0].index)
        step = 6 * frames[0].index
        return [boxes(tuple(np.add(ONE, (step, 0, step, 0))))]

    def shown(i: int) -> Frame:
        frame = painted(np.add(SPOTS, (6 * i, 0)), SPOT * 300)
        return Frame(frame.rgb, i, i / 10)

    follow = Stream(TopDown(find, head(), 1), Wanted(smooth=False, detect_every=100, confirm=False))
    for i in range(20):
        poses = follow(shown(i))
        assert poses.person.tolist() == [1]
        np.testing.assert_allclose(poses.xy, np.add(SPOTS, (6 * i, 0)), atol=0.5 * CELL)
    assert asked == [0]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"flips": True}, "no AlphaPose option named 'flips'; did you mean 'flip'?"),
        ({"num_poses": 0}, "num_poses is 0, want a whole number from 1"),
        ({"batch": True}, "batch is True, want a whole number from 1"),
        ({"threads": 0}, "threads is 0"),
        ({"conf": 2}, "conf is 2, want a number from 0 to 1"),
        ({"min_tracking_confidence": None}, "min_tracking_confidence is None"),
        ({"flip": "yes"}, "flip is 'yes', want True or False"),
        ({"scales": "0.75,much"}, "scales is ('0.75,much',), want distinct numbers"),
        ({"scales": (0.75, 1.25)}, "including 1"),
        ({"scales": (1, 1.0)}, "want distinct numbers"),
        ({"scales": ()}, "want distinct numbers"),
        ({"scales": 9}, "from 0.25 to 4"),
        ({"refine": "pgaa"}, "no refine named 'pgaa'; did you mean 'pga'?"),
        ({"decode": "softmax"}, "no decode named 'softmax'"),
        ({"compat": "fix"}, "did you mean 'fixed'?"),
        ({"min_box_area": -1}, "min_box_area is -1"),
        ({"min_box_area": 9, "pose_nms": False}, "leave pose_nms on"),
        ({"runtime": "torch"}, "no runtime named 'torch'"),
        ({"runtime": "onnxruntime", "precision": "bf16"}, "use f32, or runtime openvino"),
    ],
)
def test_a_wrong_option_is_one_clear_line_before_anything_is_fetched(given, line, cache):
    with refused(line):
        load("alphapose-fastpose-r50", **given)
    assert not cache.exists()


def test_scales_are_read_as_they_are_typed():
    assert Options.of(scales="0.75,1,1.25").scales == (0.75, 1.0, 1.25)
    assert Options.of(scales=[1, 2]).scales == (1, 2)
    assert Options.of(scales=1).scales == (1,)


# Detections in a file.


@pytest.fixture
def written(tmp_path: Path):
    def write(value: object, name: str = "boxes.json") -> Path:
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    return write


def at(source: str, index: int = 0) -> Frame:
    return Frame(np.zeros((4, 4, 3), np.uint8), index, source=source)


def test_results_are_found_by_the_number_of_the_picture(written):
    rows = [
        {"image_id": 42, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 42, "category_id": 1, "bbox": [5, 6, 7, 8], "score": 0.9},
        {"image_id": 42, "category_id": 2, "bbox": [0, 0, 9, 9], "score": 1.0},
        {"image_id": 7, "bbox": [0, 0, 9, 9], "score": 0.2},
    ]
    found = Detections(written(rows)).find([at("x/000042.jpg"), at("7.png"), at("9.png")])
    np.testing.assert_array_equal(found[0].bounds(), [[5, 6, 12, 14], [1, 2, 4, 6]])
    np.testing.assert_allclose(found[0].score, [0.9, 0.5])
    assert [len(regions) for regions in found] == [2, 1, 0]
    assert len(Detections(written(rows), 0.6).find([at("42.jpg")])[0]) == 1


def test_what_our_own_results_say_is_found_again(written, people, tmp_path):
    """Also of a video, whose frames share a name and have numbers of their own."""
    poses = people(2, COCO17)
    frames = [Frame(np.zeros((48, 64, 3), np.uint8), i, i / 10, "clip.mp4") for i in (3, 4)]
    with vit.open_sink(tmp_path / "r.json") as sink:
        sink.write(frames[0], poses)
        sink.write(at("b.jpg", 7), poses.take([0]))
    frames += [at("other.mp4", 3), at("b.jpg", 0)]
    found = Detections(tmp_path / "r.json").find(frames)
    assert [len(regions) for regions in found] == [2, 0, 0, 1]
    order = np.argsort(-poses.box_score)
    np.testing.assert_allclose(found[0].bounds(), poses.box[order], atol=1e-3)


def test_annotations_and_paths_are_found_by_the_name_of_the_picture(written):
    annotations = {
        "images": [{"id": 3, "file_name": "a/b.jpg"}, {"id": 4, "file_name": "empty.jpg"}],
        "annotations": [
            {"image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0},
            {"image_id": 3, "category_id": 1, "bbox": [1, 2, 30, 4], "iscrowd": 1},
        ],
    }
    read = Detections(written(annotations))
    assert [len(regions) for regions in read.find([at("z/b.jpg"), at("empty.jpg")])] == [1, 0]
    with refused("has no entry for image 'c.jpg'"):
        read.find([at("c.jpg")])
    listed = [{"image_id": "x/b.jpg", "bbox": [1, 2, 3, 4], "score": 0.5, "idx": 0}]
    (found,) = Detections(written(listed)).find([at("y/b.jpg")])
    np.testing.assert_array_equal(found.bounds(), [[1, 2, 4, 6]])


def test_pictures_of_one_name_are_told_apart_by_their_folders(written):
    """Also with the separators of Windows, the paths of another machine, and addresses."""
    form = ("s{}/1.jpg", "s{}\\1.jpg", "C:\\d\\s{}\\1.jpg", "/x/s{}/1.jpg", "http://a/s{}/1.jpg?b")
    for each in form:
        images = [{"id": i, "file_name": each.format(i)} for i in range(3)]
        rows = [
            {"image_id": i, "category_id": 1, "bbox": [i, 2, 3, 4]}
            for i in range(3)
            for _ in range(i)
        ]
        read = Detections(written({"images": images, "annotations": rows}))
        found = read.find([at(f"data/s{i}/1.jpg") for i in range(3)])
        assert [len(regions) for regions in found] == [0, 1, 2]
        with refused("ambiguous", "include folders"):
            read.find([at("1.jpg")])
        with refused("has no entry for image '2.jpg'"):
            read.find([at("s1/2.jpg")])


def test_one_picture_of_a_file_is_not_taken_for_two(written, tmp_path):
    rows = [{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]
    read = Detections(written(rows))
    assert len(read.find([at("s1/000001.jpg")])[0]) == 1
    assert len(read.find([at("s1/000001.jpg")])[0]) == 1
    with refused("'s1/000001.jpg' and 's2/000001.jpg' would both be '1'"):
        read.find([at("s2/000001.jpg")])
    twice = {"images": [{"id": i, "file_name": "a.jpg"} for i in (1, 2)], "annotations": []}
    with refused("two images 'a.jpg', 1 and 2"):
        Detections(written(twice))


def test_odd_rows_of_boxes_are_left_out_and_said(written):
    rows = [
        {"image_id": "1", "bbox": [1, 2, 3, 4], "score": 1},
        *(None, {"image_id": 1}, {"image_id": 1, "bbox": None, "score": 1}),
        {"image_id": None, "bbox": [1, 2, 3, 4], "score": 1},
    ]
    read = Detections(written(rows))
    assert len(read.find([at("1.jpg")])[0]) == 1
    assert "ignored 4 rows" in read.notes[0]


def test_people_of_another_category_are_said(written):
    car = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}
    car["annotations"] = [
        {"image_id": 1, "category_id": i, "bbox": [1, 2, 3, 4 * i]} for i in (1, 2)
    ]
    car["categories"] = [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}]
    (found,) = Detections(written(car)).find([at("a.jpg")])
    np.testing.assert_array_equal(found.bounds(), [[1, 2, 4, 10]])
    zero = [{"image_id": 1, "category_id": 0, "bbox": [1, 2, 3, 4], "score": 1}]
    read = Detections(written(zero))
    assert "category 0, the only one, is treated as people" in read.notes[0]
    with refused("category 2, 3, but none of people"):
        Detections(written([{**zero[0], "category_id": i} for i in (2, 3)]))


def test_boxes_of_a_picture_that_was_resized_or_turned_since_are_moved(written, picture):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    path = picture("stored.png", np.zeros((6, 8, 3), np.uint8)).with_name("a.jpg")
    Image.new("RGB", (8, 6)).save(path, exif=exif.tobytes())
    row = {"image_id": 1, "category_id": 1, "bbox": [2, 0, 4, 4]}
    for size, want in (((8, 6), [2, 2, 6, 6]), ((12, 16), [1, 0, 3, 2])):
        image = {"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}
        read = Detections(written({"images": [image], "annotations": [row]}))
        (found,) = read.find([Frame(np.zeros((8, 6, 3), np.uint8), source=str(path))])
        np.testing.assert_allclose(found.bounds(), [want])
    image = {"id": 1, "file_name": "a.jpg", "width": 20, "height": 6}
    read = Detections(written({"images": [image], "annotations": [row]}))
    with refused("is 6 x 8", "are for 20 x 6"):
        read.find([Frame(np.zeros((8, 6, 3), np.uint8), source=str(path))])


def test_a_box_without_a_size_is_nobody(written):
    rows = [{"image_id": 1, "bbox": [1, 2, 0, 4], "score": 1}]
    assert len(Detections(written(rows)).find([at("1.jpg")])[0]) == 0


@pytest.mark.parametrize(
    "text",
    [
        *("3", '"a"', "[3]", "{}", "[null]", '[{"image_id": 3}]'),
        '{"images": [], "annotations": 3}',
        '[{"image_id": 3, "bbox": [1, 2, 3], "score": 1}]',
        '[{"image_id": null, "bbox": [1, 2, 3, 4], "score": 1}]',
    ],
)
def test_a_file_of_something_else_is_refused(written, text):
    with refused("cannot read", "boxes.json", "want COCO annotations"):
        Detections(written(text))


def test_boxes_of_no_json_or_of_no_number_are_refused(written):
    for text in ("", "{", "[" * 100000, '[{"image_id": 3, "bbox": [1, 2, 3, NaN], "score": 1}]'):
        with refused("cannot read", "boxes.json"):
            Detections(written(text))


def test_a_file_of_boxes_that_is_not_there_is_refused(tmp_path):
    with refused("cannot read", "No such file"):
        Detections(tmp_path / "none.json")


def test_who_finds_nobody_cannot_be_asked_to(cache):
    with refused("find is 'alphapose-fastpose-r50', want a person detector"):
        load("alphapose-fastpose-dcn-r50", find="alphapose-fastpose-r50")


# The catalogue and its files.

ROWS = [row for row in CATALOGUE.values() if row.licence.startswith("AlphaPose")]


def test_the_zoo_is_all_there():
    assert len(ROWS) == 21
    drive = [row.files[1].sources[0].package.name for row in ROWS]
    assert len(set(drive)) == len(drive)
    assert all(len(name) == 33 for name in drive)
    keypoints = {row.skeleton for row in ROWS}
    assert keypoints == {"coco17", "halpe26", "halpe68", "halpe136", "wholebody133", "hand21"}


class Drive(types.ModuleType):
    """A stand-in for gdown: gives bytes, None, or an exception."""

    def __init__(self, gives: object) -> None:
        super().__init__("gdown")
        self.gives, self.asked = gives, list[str]()

    def download(self, *, id: str, output: str, quiet: bool) -> str | None:
        self.asked.append(id)
        if isinstance(self.gives, Exception):
            raise self.gives
        if self.gives is None:
            return None
        assert isinstance(self.gives, bytes)
        Path(output).write_bytes(self.gives)
        return output


def fetched(monkeypatch, gives: object) -> tuple[Drive, Any]:
    from vitruvian.weights import download

    drive = Drive(gives)
    monkeypatch.setitem(sys.modules, "gdown", drive)
    row = entry("alphapose-fastpose-r50")
    return drive, lambda: download.fetch(row.files[1:], notice=row.notice)


def test_weights_come_from_google_drive_after_the_licence_was_shown(cache, monkeypatch, capsys):
    drive, fetch = fetched(monkeypatch, b"weights")
    (path,) = fetch()
    assert path == cache / "alphapose-fastpose-r50.pth"
    assert path.read_bytes() == b"weights"
    assert drive.asked == ["1kQhnMRURFiy7NsdS8EFL-8vtqEXOgECn"]
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert "non-commercial" in first
    assert "not to be redistributed" in first
    assert second.startswith("fetching https://drive.google.com/file/d/1kQhn")


@pytest.mark.parametrize(
    ("gives", "why"),
    [(None, "download quota exceeded"), (RuntimeError("no\npermission"), "no permission")],
)
def test_what_google_drive_does_not_give_is_one_line(cache, monkeypatch, gives, why):
    _, fetch = fetched(monkeypatch, gives)
    with refused("cannot download alphapose-fastpose-r50.pth", why, "manually", str(cache)):
        fetch()


def test_without_gdown_it_is_said_how_to_install_it(cache, monkeypatch):
    _, fetch = fetched(monkeypatch, b"")
    monkeypatch.setitem(sys.modules, "gdown", None)
    with refused(f"gdown is not installed; {pip_install('alphapose')}"):
        fetch()


# A seeded network through files, runtimes and the command line.


def network_of(folder: Path, keypoints: int = 17, width: int = 8) -> Path:
    """A FastPose-R50 of seeded numbers as AlphaPose saves one; narrow, to be quick."""
    torch = pytest.importorskip("torch", reason="torch is not installed (the train extra)")
    pytest.importorskip("onnx", reason="onnx is not installed (the train extra)")
    from vitruvian.exports.networks import fastpose

    torch.manual_seed(0)
    network = fastpose.build(fastpose.FastShape(keypoints=keypoints, width=width))
    path = folder / "my fastpose.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    return network_of(tmp_path_factory.mktemp("a folder with spaces ü"))


@pytest.fixture(scope="session")
def exported(checkpoint, tmp_path_factory) -> Path:
    from vitruvian.verbs.export import export as export_file

    out = checkpoint.with_name("net.onnx")
    export_file(str(checkpoint), out)
    export_file(str(checkpoint), out.with_suffix(".xml"))
    return out


def test_a_file_says_what_it_is_without_being_opened(exported):
    for file in (exported, exported.with_suffix(".xml")):
        said = about(file)
        assert said["family"] == "alphapose"
        assert said["decode"] == "argmax"
        assert json.loads(said["skeleton"])["name"] == "coco17"


def test_a_damaged_file_is_refused(tmp_path, exported):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(exported.read_bytes()[:-50])
    (tmp_path / "a.xml").write_text("<net><rt_info></net>")
    (tmp_path / "b.xml").write_text('<?xml version="1.0" encoding="none"?><net/>')
    # A key of 2 ** 62 bytes, of which nothing is read into memory.
    (tmp_path / "c.onnx").write_bytes(b"\x72\x0a\x0a" + b"\xff" * 8 + b"\x3f")
    for name in ("cut.onnx", "a.xml", "b.xml", "c.onnx"):
        with refused("cannot open", name):
            about(tmp_path / name)
    with refused("cannot read", "no such file"):
        load(str(tmp_path / "none.onnx"))


def test_a_network_of_another_kind_is_refused(tmp_path):
    """Metadata as protobuf has it: field 14 of the model, in it key (1) and value (2)."""
    entry = b"\x0a\x06family\x12\x04reid"
    (tmp_path / "other.onnx").write_bytes(b"\x08\x08\x72" + bytes([len(entry)]) + entry)
    with refused("other.onnx' is a network of kind 'reid', which does not estimate poses"):
        load(str(tmp_path / "other.onnx"))


def test_both_runtimes_and_both_kinds_of_files_give_the_same(exported, written):
    """Seeded numbers mean nothing, but are the same: where a peak is close to another it may jump,
    so that single keypoints are left out.
    """
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    rows = [{"image_id": 1, "bbox": [20, 10, 60, 90], "score": 1}] * 3
    boxes = str(written(rows))
    frame = Frame(
        np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8), source="1.jpg"
    )
    models = [
        load(str(exported), find=boxes, pose_nms=False),
        load(str(exported.with_suffix(".xml")), find=boxes, pose_nms=False),
        load(str(exported), find=boxes, pose_nms=False, runtime="onnxruntime"),
    ]
    first, *others = (each([frame])[0] for each in models)
    assert len(first) == 3
    for other in others:
        np.testing.assert_allclose(other.score, first.score, atol=1e-4)
        apart = np.linalg.norm(other.xy - first.xy, axis=-1)
        assert np.nanmedian(apart) < 1e-3
    assert models[0].weights.keys() == {"net.onnx", "boxes.json"}
    assert all(len(digest) == 64 for digest in models[0].weights.values())


def test_a_file_without_a_network_that_refines_says_so(exported, written):
    boxes = str(written([]))
    with refused("net has no refinement network; leave refine out"):
        load(str(exported), find=boxes, refine="pga")


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"skeleton": "halpe26"}, ("has a fixed skeleton",)),
        ({"decode": "combined"}, ("for faces and hands, which coco17 does not have",)),
        ({"decode": "integral"}, ("trained for argmax", "use argmax or local")),
    ],
)
def test_what_does_not_go_with_the_file_is_refused(exported, written, given, parts):
    with refused(*parts):
        load(str(exported), find=str(written([])), **given)


@pytest.mark.parametrize("name", ["blazepose-full", "yolov8n-pose"])
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("flip", "flip=true"),
        ("scales", "scales=0.75,1"),
        ("refine", "refine=pga"),
        ("pose_nms", "pose_nms=false"),
    ],
)
def test_options_of_this_family_are_refused_by_others(name, option, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("predict", "sample", "--offline", "--model", f"{name},{words}")
    assert done.returncode == 1
    assert f"named '{option}'" in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_command_from_the_checkpoint_to_heat_maps(checkpoint, written, picture, tmp_path):
    """Converted once, run on a folder with one image of one pixel, drawn, and read back."""
    folder = tmp_path / "in"
    rng = np.random.default_rng(0)
    for name, size in (("in/1.png", (90, 120)), ("in/2.png", (1, 1)), ("in/3.png", (50, 50))):
        picture(name, rng.integers(0, 255, (*size, 3), np.uint8))
    rows = [
        {"image_id": 1, "bbox": [10, 10, 40, 70], "score": 0.9},
        {"image_id": 1, "bbox": [60, 10, 40, 70], "score": 0.8},
        {"image_id": 2, "bbox": [0, 0, 1, 1], "score": 0.8},
    ]
    out, maps = tmp_path / "out", tmp_path / "out" / "poses_heatmaps"
    words = ["predict", folder, "--offline", "--find", written(rows), "--out", out]
    words += ["--model", f"{checkpoint},flip=true,scales=0.75,1,pose_nms=false"]
    done = command(*words, "--save", "json,heatmaps")
    assert done.returncode == 0, done.stderr
    assert "3 images, 3 people" in done.stdout
    found = [poses for _, poses in vit.read(out / "poses.jsonl")]
    assert [len(poses) for poses in found] == [2, 1, 0]
    assert sorted(path.name for path in maps.iterdir()) == ["1_1.png", "1_2.png", "2_1.png"]
    panels = cv2.imread(str(maps / "1_1.png"))
    assert panels is not None
    assert panels.std() > 10
    again = command(*words, "--save", "heatmaps", "--overwrite")
    assert again.returncode == 0
    assert "converting" not in again.stderr
    full = command(*words, "--save", "heatmaps")
    assert full.returncode == 1
    assert "exists" in full.stderr
    assert "--overwrite" in full.stderr
