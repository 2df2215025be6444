"""Regions, boxes, crops and cameras: closed forms, ways back, and the reference's formulas."""

from math import atan2, floor, pi

import numpy as np
import pytest

from vitruvian.geometry.boxes import iou, nms, over_smaller, weighted_nms
from vitruvian.geometry.camera import Camera
from vitruvian.geometry.crop import Crop
from vitruvian.geometry.regions import Regions

Rng = np.random.Generator


def bodies(rng: Rng, n: int = 50) -> Regions:
    """Squares around random bodies, turned every way."""
    hips, top = rng.uniform(-50, 700, (2, n, 2)).astype(np.float32)
    return Regions.upright(hips, top, rng.uniform(0, 1, n), np.arange(n))


# Regions


def test_regions_are_those_of_the_reference(rng: Rng):
    """specs/blazepose.md, section 4, with Python's doubles; the measured difference there is 1e-7.

    1e-3 px and 1e-5 rad: float32 resolves 6e-5 at 700 px, and sums a few such.
    """
    hips, top = rng.uniform(-50, 700, (2, 50, 2)).astype(np.float32)
    regions = Regions.upright(hips, top, np.ones(50), np.full(50, -1))
    for i, ((x0, y0), (x1, y1)) in enumerate(zip(hips.tolist(), top.tolist(), strict=True)):
        angle = pi / 2 - atan2(-(y1 - y0), x1 - x0)
        angle -= 2 * pi * floor((angle + pi) / (2 * pi))
        side = 2 * ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        np.testing.assert_allclose(regions.size[i], side, atol=1e-3)
        np.testing.assert_allclose(regions.angle[i], angle, atol=1e-5)
        np.testing.assert_array_equal(regions.centre[i], hips[i])
    assert regions.angle.dtype == np.float32


@pytest.mark.parametrize(
    ("top", "angle"),
    [((0, -1), 0), ((1, 0), pi / 2), ((-1, 0), -pi / 2), ((1, -1), pi / 4), ((0, 1), -pi)],
)
def test_the_angle_is_clockwise_from_upright(top, angle):
    at = np.array([top], np.float32)
    region = Regions.upright(np.zeros_like(at), at, np.ones(1), np.zeros(1))
    np.testing.assert_allclose(region.angle, angle, atol=1e-6)


def test_the_tops_of_regions_are_the_way_back(rng: Rng):
    hips, top = rng.uniform(-50, 700, (2, 50, 2)).astype(np.float32)
    regions = Regions.upright(hips, top, np.ones(50), np.zeros(50))
    # 1e-3 px: an angle in float32 (1.2e-7 of pi) at an arm of up to 1000 px.
    np.testing.assert_allclose(regions.tops(), top, atol=1e-3)


def test_corners_start_bottom_left_and_go_round_as_the_person_sees_it():
    one, two = np.ones(2), np.array([1, 2])
    lying = Regions(
        np.array([[10.0, 20], [10, 20]]),
        np.array([[4.0, 8], [4, 8]]),
        np.array([0, pi / 2]),
        one,
        two,
    )
    upright, turned = lying.corners()
    np.testing.assert_allclose(upright, [[8, 24], [8, 16], [12, 16], [12, 24]])
    # A quarter turn clockwise: the person's up is the frame's right.
    np.testing.assert_allclose(turned, [[6, 18], [14, 18], [14, 22], [6, 22]], atol=1e-12)
    np.testing.assert_allclose(lying.bounds(), [[8, 16, 12, 24], [6, 18, 14, 22]], atol=1e-12)


def test_boxes_and_bounds_undo_each_other(rng: Rng):
    low = rng.uniform(0, 100, (7, 2))
    box = np.concatenate([low, low + rng.uniform(1, 50, (7, 2))], axis=1)
    np.testing.assert_allclose(Regions.boxes(box, np.ones(7)).bounds(), box)


def test_bounds_hold_all_corners(rng: Rng):
    regions = bodies(rng)
    corners, bounds = regions.corners(), regions.bounds()[:, None]
    assert (corners >= bounds[..., :2]).all()
    assert (corners <= bounds[..., 2:]).all()
    # As long as their sides, whichever way they are turned.
    sides = np.linalg.norm(np.diff(corners, axis=1), axis=-1)
    np.testing.assert_allclose(sides, np.tile(regions.size[:, :1], 3), rtol=1e-5)


def test_joining_regions_undoes_taking_them(rng: Rng):
    regions = bodies(rng, 5)
    joined = Regions.join(regions.take(slice(2)), Regions.none(), regions.take([2, 3, 4]))
    for name in ("centre", "size", "angle", "score", "person"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(regions, name), name)


def test_nowhere_to_look_is_an_ordinary_answer():
    nowhere = Regions.none()
    assert len(nowhere) == len(Regions.join(nowhere, nowhere)) == 0
    shapes = nowhere.corners().shape, nowhere.bounds().shape, nowhere.tops().shape
    assert shapes == ((0, 4, 2), (0, 4), (0, 2))


# Boxes


@pytest.mark.parametrize(
    ("other", "want"),
    [
        ((0, 0, 2, 2), 1),  # itself
        ((1, 0, 3, 2), 2 / 6),  # half of each
        ((1, 1, 3, 3), 1 / 7),
        ((0, 0, 1, 1), 1 / 4),  # inside
        ((2, 0, 4, 2), 0),  # side by side
        ((5, 5, 6, 6), 0),
        ((1, 1, 1, 1), 0),  # a point
    ],
)
def test_overlap_has_its_closed_form(other, want):
    a, b = np.array([[0.0, 0, 2, 2]]), np.array([other], float)
    assert iou(a, b)[0, 0] == iou(b, a)[0, 0] == pytest.approx(want)


def test_overlap_of_nothing_is_nothing():
    none, two = np.zeros((0, 4)), np.array([[0.0, 0, 0, 0], [0, 0, 0, 0]])
    assert iou(none, two).shape == (0, 2)
    assert iou(two, none).shape == (2, 0)
    np.testing.assert_array_equal(iou(two, two), 0)  # without an area: no division by zero
    np.testing.assert_array_equal(over_smaller(two, two), 0)


def test_a_box_inside_another_is_hidden_by_the_area_of_the_smaller():
    box = np.array([[0, 0, 10, 10], [5, 5, 8, 8], [8, 0, 12, 10], [20, 0, 30, 10]], np.float32)
    np.testing.assert_allclose(over_smaller(box[:1], box), [[1, 1, 0.5, 0]])
    score = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    assert nms(box, score, 0.6, 9, over_smaller).tolist() == [0, 2, 3]
    assert nms(box, score, 0.6, 9).tolist() == [0, 1, 2, 3]


def test_overlapping_detections_become_their_average_weighted_by_score():
    rows = np.array(
        [[0, 0, 2, 2, 10, 20], [50, 50, 60, 60, 1, 2], [0, 0, 2, 1, 40, 80]], np.float32
    )
    merged, score = weighted_nms(rows, np.array([0.6, 0.7, 0.9], np.float32), 0.3)
    # Best first; the second is (0.9 * the third + 0.6 * the first) / 1.5.
    want = [[0, 0, 2, 1.4, 28, 56], [50, 50, 60, 60, 1, 2]]
    np.testing.assert_allclose(merged, want, rtol=1e-6)
    np.testing.assert_array_equal(score, np.array([0.9, 0.7], np.float32))
    assert merged.dtype == score.dtype == np.float32


def test_only_what_overlaps_the_best_is_averaged_with_it():
    """A chain: the second overlaps the first and the third, which do not overlap each other."""
    rows = np.array([[0.0, 0, 4, 1], [2, 0, 6, 1], [4, 0, 8, 1]])
    merged, score = weighted_nms(rows, np.array([0.9, 0.6, 0.8]), 0.3)
    np.testing.assert_allclose(merged, [[0.8, 0, 4.8, 1], [4, 0, 8, 1]])
    np.testing.assert_array_equal(score, [0.9, 0.8])


def test_an_overlap_of_just_the_threshold_stays_two():
    rows = np.array([[0.0, 0, 2, 1], [0, 0, 1, 1]])  # IoU 1/2, exactly
    score = np.array([0.9, 0.5])
    assert len(weighted_nms(rows, score, 0.5)[0]) == 2
    assert len(weighted_nms(rows, score, np.nextafter(0.5, 0))[0]) == 1


def test_no_detections_stay_none():
    merged, score = weighted_nms(np.zeros((0, 12), np.float32), np.zeros(0, np.float32), 0.5)
    assert merged.shape == (0, 12)
    assert score.shape == (0,)


def test_a_best_box_without_an_area_ends_the_search():
    """As in the reference: it overlaps nothing, not even itself, so its group is empty."""
    rows = np.array([[0.0, 0, 2, 2], [5, 5, 5, 5], [9, 9, 10, 10]])
    merged, score = weighted_nms(rows, np.array([0.9, 0.8, 0.7]), 0.5)
    np.testing.assert_array_equal(merged, rows[:2])
    np.testing.assert_array_equal(score, [0.9, 0.8])


# Crops


def crops(rng: Rng) -> list[Crop]:
    """One of each way to make one, of a 640 x 480 frame."""
    homography = np.array([[1.1, 0.1, 20], [-0.05, 0.9, 30], [1e-4, -2e-4, 1]])
    middle, extent = rng.uniform(100, 300, (2, 2)).astype(np.float32)
    return [
        Crop.letterbox((640, 480), (224, 224), centre=0),
        Crop.letterbox((480, 640), (256, 192), centre=0.5),
        Crop.turned(middle, extent, 0.7, (256, 256), centre=0),
        Crop.turned(middle, extent, -2.5, (192, 256), centre=0.5),
        Crop(homography, (128, 128), 0.5),
    ]


@pytest.mark.parametrize("which", range(5))
def test_a_crop_undoes_itself(which: int, rng: Rng):
    crop = crops(rng)[which]
    points = rng.uniform(0, 640, (20, 3, 2))
    # Two 3 x 3 products in float64 at a few hundred px: 1e-9 is a thousand times their rounding.
    np.testing.assert_allclose(crop.to_frame(crop.from_frame(points)), points, atol=1e-9)
    np.testing.assert_allclose(crop.from_frame(crop.to_frame(points)), points, atol=1e-9)


def test_points_keep_their_type_and_nobody_has_none(rng: Rng):
    for crop in crops(rng):
        assert crop.to_frame(np.zeros((0, 33, 2), np.float32)).shape == (0, 33, 2)
        assert crop.to_frame(np.zeros((2, 2), np.float32)).dtype == np.float32
        assert np.isnan(crop.to_frame(np.full((1, 2), np.nan))).all()


def test_the_corners_of_a_turned_crop_are_those_of_its_region(rng: Rng):
    """Within 1e-3 px: the corners are made of float32 sines, as the reference's are."""
    regions = bodies(rng)
    inner = np.array([[0.0, 256], [0, 0], [256, 0], [256, 256]])
    for centre, size, angle, want in zip(
        regions.centre, regions.size, regions.angle, regions.corners(), strict=True
    ):
        crop = Crop.turned(centre, size, angle, (256, 256), centre=0.5)
        np.testing.assert_allclose(crop.to_frame(inner), want, atol=1e-3)


@pytest.mark.parametrize(
    ("frame", "corner"), [((640, 320), (0, 56)), ((320, 640), (56, 0)), ((100, 100), (0, 0))]
)
def test_a_letterbox_holds_the_whole_frame_in_its_middle(frame, corner):
    crop = Crop.letterbox(frame, (224, 224), centre=0.5)
    np.testing.assert_allclose(crop.from_frame(np.zeros(2)), corner, atol=1e-4)
    far = 224 - np.array(corner)
    np.testing.assert_allclose(crop.from_frame(np.array(frame, float)), far, atol=1e-4)


@pytest.mark.parametrize("frame", [(64, 32), (32, 64)])
def test_a_letterbox_is_black_beside_the_frame_and_only_there(frame):
    image = np.full((frame[1], frame[0], 3), 200, np.uint8)
    cut = Crop.letterbox(frame, (32, 32), centre=0.5).cut(image)
    rows = cut if frame[0] > frame[1] else cut.transpose(1, 0, 2)  # bars above and below
    np.testing.assert_array_equal(rows[8:24], 200)
    np.testing.assert_array_equal(rows[:8], 0)
    np.testing.assert_array_equal(rows[24:], 0)


def coordinates(width: int, height: int) -> np.ndarray:
    """(H, W, 3) float32: each pixel holds x and y of its own centre, and nothing."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([x, y, 0 * x], axis=-1).astype(np.float32)


@pytest.mark.parametrize("angle", [0, 0.3, -1.2, 3])
@pytest.mark.parametrize("side", [37, 90])
def test_a_picture_of_its_own_coordinates_comes_back_holding_frame_coordinates(angle, side):
    """The half pixel, made visible: with it wrong every value is off by up to 0.5 px.

    OpenCV samples at the nearest 1/32 px, so values may be 1/64 px off, and a little rounding.
    """
    middle, extent = np.array([103.3, 88.7], np.float32), np.full(2, side, np.float32)
    crop = Crop.turned(middle, extent, angle, (48, 48), centre=0.5)
    cut = crop.cut(coordinates(200, 180))
    want = crop.to_frame(coordinates(48, 48)[..., :2].astype(float))
    np.testing.assert_allclose(cut[..., :2], want, atol=1 / 64 + 1e-3)


def test_the_same_holds_for_a_homography():
    crop = Crop(np.array([[1.5, 0.1, 40], [-0.1, 1.4, 50], [8e-4, -5e-4, 1]]), (48, 48), 0.5)
    cut = crop.cut(coordinates(200, 180))
    want = crop.to_frame(coordinates(48, 48)[..., :2].astype(float))
    np.testing.assert_allclose(cut[..., :2], want, atol=1 / 64 + 1e-3)


def test_centre_zero_samples_half_a_pixel_off_as_mediapipe_does():
    """Index i of the crop is index i * scale of the frame: specs/blazepose.md, section 2, 4."""
    image = coordinates(64, 64)
    whole = np.array([32, 32], np.float32), np.array([64, 64], np.float32), 0.0, (16, 16)
    want = np.arange(16) * 4
    np.testing.assert_array_equal(Crop.turned(*whole, centre=0).cut(image)[0, :, 0], want + 0.5)
    np.testing.assert_array_equal(Crop.turned(*whole, centre=0.5).cut(image)[0, :, 0], want + 2)


def test_outside_the_frame_is_black_or_repeats_its_edge():
    image = np.full((10, 10, 3), 50, np.uint8)
    image[:, 0], image[:, -1] = 90, 150
    # Twice as large as the frame, whole pixels on whole pixels.
    crop = Crop.turned(np.array([5, 5]), np.array([20, 20]), 0.0, (20, 20), centre=0.5)
    black, edge = crop.cut(image), crop.cut(image, replicate=True)
    for cut in (black, edge):
        np.testing.assert_array_equal(cut[5:15, 5:15], image)
    assert black[:5].max() == black[:, :5].max() == black[:, 15:].max() == 0
    np.testing.assert_array_equal(edge[:, :5], 90)
    np.testing.assert_array_equal(edge[:, 15:], 150)
    np.testing.assert_array_equal(edge[0, 6:14], 50)


def fixed_point(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`cv2.warpPerspective` of OpenCV 4 for uint8, written out, one pixel after the other.

    Positions are rounded to 1/32 px, weights to 1/32768, sums to the nearest whole number.
    Source: OpenCV 4.x imgproc, warpPerspective (INTER_BITS 5) and initInterTab2D (COEF_BITS 15).
    """
    height, width = image.shape[:2]
    out = np.zeros((size[1], size[0], image.shape[2]), np.uint8)
    for v in range(size[1]):
        for u in range(size[0]):
            x, y, w = matrix @ (u, v, 1)
            column, row = (int(np.rint(32 * axis / w)) for axis in (x, y))
            total = np.zeros(image.shape[2])
            for dy in (0, 1):
                for dx in (0, 1):
                    i, j = (row >> 5) + dy, (column >> 5) + dx
                    weight = abs(1 - dx - (column & 31) / 32) * abs(1 - dy - (row & 31) / 32)
                    if 0 <= i < height and 0 <= j < width:
                        total += round(weight * 32768) * image[i, j].astype(float)
            out[v, u] = np.floor(total / 32768 + 0.5)
    return out


@pytest.mark.parametrize(
    "crop",
    [
        Crop.turned(np.array([20, 15]), np.array([37, 37]), 0.0, (24, 24), centre=0),
        Crop.turned(np.array([20.3, 14.8]), np.array([29, 29]), 0.6, (24, 24), centre=0),
        Crop.turned(np.array([11, 25]), np.array([70, 50]), -2.0, (24, 20), centre=0.5),
        Crop(np.array([[1.5, 0.1, 2], [-0.1, 1.4, 3], [8e-3, -5e-3, 1]]), (24, 24), 0.5),
    ],
    ids=["upright", "turned", "half outside", "homography"],
)
def test_a_cut_is_opencv_4_s_fixed_point_warp(crop: Crop, rng: Rng):
    image = rng.integers(0, 256, (30, 40, 3), np.uint8)
    half = np.array([[1, 0, crop.centre], [0, 1, crop.centre], [0, 0, 1]])
    want = fixed_point(image, np.linalg.inv(half) @ crop.from_input @ half, crop.size)
    np.testing.assert_array_equal(crop.cut(image), want)


@pytest.mark.parametrize("replicate", [False, True])
def test_a_crop_far_away_sees_nothing_or_the_edge(replicate):
    """OpenCV's 16-bit positions must not wrap around to the image."""
    image = np.full((10, 10, 3), 70, np.uint8)
    for middle in ((1e6, 5), (-1e6, 5), (5, 1e6), (65541, 5), (5, -65531)):
        crop = Crop.turned(np.array(middle), np.array([8, 8]), 0.0, (8, 8), centre=0.5)
        assert set(crop.cut(image, replicate=replicate).ravel()) == {70 if replicate else 0}


def test_pasting_puts_a_crop_back_where_it_was_cut():
    """On a slope of 1 per px: 1/64 px from OpenCV's grid at the most, twice (there and back)."""
    x = coordinates(120, 100)[..., 0]
    crop = Crop.turned(np.array([60, 50]), np.array([50, 50]), 0.5, (100, 100), centre=0.5)
    back = crop.paste(crop.cut(x[..., None]), (120, 100))
    assert back.shape == (100, 120)
    inside = np.linalg.norm(coordinates(120, 100)[..., :2] - (60, 50), axis=-1) < 24
    np.testing.assert_allclose(back[inside], x[inside], atol=2 / 64 + 1e-2)
    outside = np.linalg.norm(coordinates(120, 100)[..., :2] - (60, 50), axis=-1) > 37
    np.testing.assert_array_equal(back[outside], 0)


# Camera


def test_projecting_undoes_back_projecting(rng: Rng):
    camera = Camera.view((1280, 720))
    xy, depth = rng.uniform(0, 720, (5, 33, 2)), rng.uniform(0.5, 10, (5, 33))
    xyz = camera.back_project(xy, depth)
    np.testing.assert_allclose(xyz[..., 2], depth)
    np.testing.assert_allclose(camera.project(xyz), xy, atol=1e-9)


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280)])
def test_the_field_of_view_spans_the_longer_side(size):
    camera = Camera.view(size, 90)
    half = np.array([size[0] > size[1], size[1] > size[0]], float)  # at 90 degrees, 1 m at 1 m
    edge = camera.project(np.array([*half, 1.0]))
    np.testing.assert_allclose(edge, np.array(size) / 2 * (1 + half))
    np.testing.assert_allclose(camera.project(np.array([0, 0, 3.0])), np.array(size) / 2)


def test_what_is_behind_a_camera_is_nowhere_in_its_picture():
    camera = Camera.view((640, 480))
    xyz = np.array([[0.1, 0.1, 1], [0.1, 0.1, 0], [0.1, 0.1, -1]])
    np.testing.assert_array_equal(np.isnan(camera.project(xyz)[:, 0]), [False, True, True])
    assert camera.project(np.zeros((0, 3))).shape == (0, 2)
