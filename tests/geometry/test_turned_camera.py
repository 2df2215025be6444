"""Cameras turned to a person, what they see, and crops that do not alias."""

import numpy as np
import pytest

from vitruvian.geometry.camera import Camera
from vitruvian.geometry.crop import GAMMA, Crop

SIZE = (640, 480)
BENT = np.array([-0.25, 0.06, 2e-3, -1e-3, 0.0])
BOXES = np.array([(250, 150, 390, 330), (20, 60, 150, 400), (500, 300, 640, 480)], float)


def camera(lens: np.ndarray | None = None) -> Camera:
    matrix = np.array([[520.0, 0, 310], [0, 530, 250], [0, 0, 1]])
    return Camera(matrix, SIZE, np.zeros(5) if lens is None else lens)


def crop_of(there: Camera, box: np.ndarray, side: int = 128, **how) -> Crop:
    return Crop.turned_camera(there, *there.look_at(box, side, **how))


def coordinates(width: int, height: int) -> np.ndarray:
    """(H, W, 3) float32: each pixel holds x and y of its own centre, and 1."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)


@pytest.mark.parametrize("lens", [None, BENT], ids=["straight", "bent"])
@pytest.mark.parametrize("box", BOXES)
def test_the_box_just_fills_the_turned_camera_s_picture(box, lens):
    rotation, turned = camera(lens).look_at(box, 256)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    crop = Crop.turned_camera(camera(lens), rotation, turned)
    x0, y0, x1, y1 = box
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    middle, top, bottom, left, right = crop.from_frame(
        np.array([(x, y), (x, y0), (x, y1), (x0, y), (x1, y)])
    )
    np.testing.assert_allclose(middle, (128, 128), atol=1e-6)
    sides = np.linalg.norm(top - bottom), np.linalg.norm(left - right)
    assert max(sides) == pytest.approx(256, abs=1e-6)


@pytest.mark.parametrize("lens", [None, BENT], ids=["straight", "bent"])
def test_a_crop_shows_what_the_turned_camera_projects(lens, rng):
    """The picture's map and the camera's projection are two ways to the same pixel."""
    there = camera(lens)
    for box in BOXES:
        for how in ({}, {"roll": 0.4, "scale": 1.1, "mirror": True, "axis": 64.5}):
            rotation, turned = there.look_at(box, 128, **how)
            crop = Crop.turned_camera(there, rotation, turned)
            xyz = there.back_project(rng.uniform(box[:2], box[2:], (50, 2)), rng.uniform(1, 9, 50))
            want = turned.project(xyz @ rotation.T)
            np.testing.assert_allclose(crop.from_frame(there.project(xyz)), want, atol=1e-6)
            np.testing.assert_allclose(crop.to_frame(want), there.project(xyz), atol=1e-6)


def test_up_stays_up_and_level_stays_level():
    """Above the middle of the box is above the middle of the crop, wherever the box is."""
    there = camera()
    for box in BOXES:
        rotation, turned = there.look_at(box, 128)
        x, y = (box[:2] + box[2:]) / 2
        xyz = there.back_project(np.array([[x, y]]), np.array([3.0]))[0]
        middle, above = turned.project(np.stack([xyz, xyz + np.array([0, -0.1, 0])]) @ rotation.T)
        np.testing.assert_allclose(middle, (64, 64), atol=1e-9)
        assert above[0] == pytest.approx(64)
        assert above[1] < 63


def test_a_tilted_camera_s_crops_are_turned_upright():
    """A camera on its side, as its extrinsics say: up in the world is up in the crop."""
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]  # the world's z is the camera's x
    there = camera().placed(extrinsics, (0, 0, 1))
    np.testing.assert_allclose(there.up, (1, 0, 0))
    rotation, turned = there.look_at(BOXES[1], 128)
    xyz = there.back_project(np.array([[85.0, 230]]), np.array([3.0]))[0]
    middle, above = turned.project(np.stack([xyz, xyz + 0.1 * there.up]) @ rotation.T)
    assert above[1] < middle[1] - 1
    assert above[0] == pytest.approx(middle[0])
    # And the turned camera knows where it stands: the same point of the world.
    world = there.to_world(xyz[None])
    np.testing.assert_allclose(turned.project(turned.from_world(world))[0], middle, atol=1e-9)
    np.testing.assert_allclose(turned.up, rotation @ there.up)


def test_looking_straight_up_is_level_as_the_camera_is():
    there = Camera(camera().matrix, SIZE, up=np.array([0, 0, 1.0]))
    rotation, _ = there.look_at(np.array([300.0, 240, 320, 260]), 64)
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-12)


def test_roll_turns_the_person_the_other_way_and_scale_enlarges():
    there, box = Camera.view(SIZE), BOXES[0]
    plain = there.look_at(box, 128)
    rolled = there.look_at(box, 128, roll=0.5)
    point = there.back_project(np.array([320.0, 170]), np.array(2.0))
    where = [turned.project(rotation @ point) - 64 for rotation, turned in (plain, rolled)]
    angle = [np.arctan2(y, x) for x, y in where]
    assert angle[0] - angle[1] == pytest.approx(0.5, abs=1e-9)
    large = there.look_at(box, 128, scale=1.25)
    np.testing.assert_allclose(large[1].project(large[0] @ point) - 64, 1.25 * where[0])
    mirrored = there.look_at(box, 128, mirror=True)
    np.testing.assert_allclose(mirrored[1].project(mirrored[0] @ point) - 64, where[0] * (-1, 1))


@pytest.mark.parametrize("lens", [None, BENT], ids=["straight", "bent"])
@pytest.mark.parametrize("box", BOXES[:2])
def test_a_picture_of_its_own_coordinates_comes_back_holding_frame_coordinates(box, lens):
    """1/64 px: OpenCV samples at the nearest 32nd. Only where the crop lies inside the frame."""
    crop = crop_of(camera(lens), box, roll=0.2)
    cut = crop.cut(coordinates(*SIZE))
    inside = cut[..., 2] == 1
    assert inside.mean() > 0.6
    want = crop.to_frame(coordinates(*crop.size)[..., :2].astype(float))
    np.testing.assert_allclose(cut[inside][:, :2], want[inside], atol=1 / 64 + 1e-3)


@pytest.mark.parametrize("lens", [None, BENT], ids=["straight", "bent"])
def test_a_crop_of_a_part_is_that_of_the_whole(lens, rng):
    image = rng.integers(0, 256, (480, 640, 3), np.uint8)
    crop = crop_of(camera(lens), BOXES[0])
    x0, y0, x1, y1 = crop.bounds()
    left, top = int(x0) - 2, int(y0) - 2
    part = image[top : int(y1) + 3, left : int(x1) + 3]
    np.testing.assert_array_equal(crop.within((left, top)).cut(part), crop.cut(image))


def test_what_lies_behind_the_camera_is_not_seen():
    """A image 150 degrees wide: a camera turned to its edge also looks behind the first one."""
    there = Camera.view((600, 600), 150)
    crop = crop_of(there, np.array([0.0, 200, 500, 400]), 64, scale=0.2)
    image = np.full((600, 600, 3), 200, np.uint8)
    seen = np.isfinite(crop.to_frame(coordinates(64, 64)[..., :2])).all(axis=-1)
    assert 0 < seen.mean() < 1
    cut = crop.cut(image)
    assert not cut[~seen].any()
    assert (cut == 200).any()


def test_pasting_undoes_cutting_through_a_lens():
    frame = np.clip(coordinates(*SIZE)[..., 0] / 3, 0, 255)
    crop = crop_of(camera(BENT), BOXES[0], 200)
    back = crop.paste(crop.cut(frame[..., None]), SIZE)
    assert back.shape == frame.shape
    inner = np.s_[180:300, 285:355]
    np.testing.assert_allclose(back[inner], frame[inner], atol=0.05)
    assert not back[:100].any()


def test_a_box_where_the_lens_cannot_be_undone_says_so():
    from conftest import refused

    folding = Camera(camera().matrix, SIZE, np.array([-3.0]))
    with refused("distortion cannot be inverted", "600"):
        folding.look_at(np.array([600.0, 20, 640, 60]), 64)


# Aliasing


def square(width: float, side: int = 64) -> Crop:
    """A square of the frame in its middle."""
    return Crop.turned(np.array([256.0, 256]), np.full(2, width), 0.0, (side, side), centre=0.5)


def test_by_default_nothing_is_done_against_aliasing(rng):
    image = rng.integers(0, 256, (512, 512, 3), np.uint8)
    np.testing.assert_array_equal(square(500).cut(image, antialias=0), square(500).cut(image))


@pytest.mark.parametrize("antialias", [1, 2, 4])
@pytest.mark.parametrize("width", [40, 100, 250, 500])
def test_a_smaller_frame_holds_the_same_coordinates(width, antialias):
    """Halving keeps edges on edges: half a pixel wrong would show as half a pixel here."""
    crop = square(width)
    cut = crop.cut(coordinates(512, 512), antialias=antialias)
    want = crop.to_frame(coordinates(64, 64)[..., :2].astype(float))
    # 1/64 of a pixel of the smaller frame, which is at most eight of the larger one.
    np.testing.assert_allclose(cut[..., :2], want, atol=8 / 64 + 1e-3)


def test_so_it_does_where_pixels_are_counted_from_their_corners():
    crop = Crop.turned(np.array([256, 256]), np.array([400, 400]), 0.3, (64, 64), centre=0)
    plain, smooth = crop.cut(coordinates(512, 512)), crop.cut(coordinates(512, 512), antialias=1)
    np.testing.assert_allclose(smooth, plain, atol=5 / 64)
    fine = crop.cut(coordinates(512, 512), antialias=3)
    np.testing.assert_allclose(fine, plain, atol=5 / 64)


def test_a_fine_pattern_becomes_grey_instead_of_a_coarse_one():
    """Stripes of one pixel, 7.8 to a pixel of the crop: sampled, they come back as any stripes."""
    image = np.zeros((512, 512, 3), np.uint8)
    image[:, ::2] = 255
    assert square(500).cut(image).std() > 50
    smooth = square(500).cut(image, antialias=1)
    assert smooth.std() < 1
    assert abs(smooth.mean() - 127.5) < 1


@pytest.mark.parametrize(("antialias", "most"), [(1, 0.36), (2, 0.36), (4, 0.25)])
def test_noise_is_averaged_as_much_as_the_crop_is_smaller(antialias, most, rng):
    """Four times smaller: a perfect average of 16 pixels leaves a quarter of the noise.

    Two bilinear samples along each side leave (2 / 3) of it each way, halved: a third. So does one
    from a frame of half the size.
    """
    image = rng.normal(0, 1, (512, 512, 1)).astype(np.float32)
    left = square(255).cut(image, antialias=antialias).std()
    assert 0.2 < left < most
    assert square(255).cut(image).std() > 0.6


def test_a_frame_of_odd_size_loses_nothing_at_its_edge():
    image = np.full((101, 203, 3), 80, np.uint8)
    crop = Crop.turned(np.array([101.5, 50.5]), np.array([203, 101]), 0.0, (29, 14), centre=0.5)
    np.testing.assert_array_equal(crop.cut(image, antialias=1), 80)


@pytest.mark.parametrize("middle", [(-900, 50), (5000, 20), (20, -800), (20, 9e5)])
def test_a_smooth_crop_beside_the_frame_is_black_or_its_edge(middle):
    image = np.full((90, 90, 3), 70, np.uint8)
    crop = Crop.turned(np.array(middle), np.array([400, 400]), 0.0, (64, 64), centre=0.5)
    assert not crop.cut(image, antialias=1).any()
    assert not crop.light(image).any()
    assert (crop.cut(image, antialias=1, replicate=True) == 70).all()


def test_a_smooth_crop_that_reaches_behind_the_camera_is_cut_too():
    there = Camera.view((600, 600), 150)
    crop = crop_of(there, np.array([0.0, 200, 500, 400]), 64, scale=0.2)
    image = np.full((600, 600, 3), 200, np.uint8)
    smooth = crop.cut(image, antialias=1)
    seen = np.isfinite(crop.to_frame(coordinates(64, 64)[..., :2])).all(axis=-1)
    assert not smooth[~seen].any()
    # The frame's edge fades over a wider pixel.
    assert ((smooth > 0) == (crop.cut(image) > 0)).mean() > 0.99


# Light


def test_light_is_averaged_not_values():
    """Black and white stripes give half the light, which looks like 0.5 to the 1 / 2.2: 0.73."""
    image = np.zeros((512, 512, 3), np.uint8)
    image[:, ::2] = 255
    cut = square(250).light(image)
    assert cut.dtype == np.float32
    assert cut.shape == (64, 64, 3)
    np.testing.assert_allclose(cut, 0.5 ** (1 / GAMMA), atol=0.01)


@pytest.mark.parametrize("gamma", [0.6, 0.8, 1.0])
def test_gamma_brightens_and_1_is_as_it_was(gamma):
    image = np.full((512, 512, 3), 100, np.uint8)
    np.testing.assert_allclose(square(60).light(image, gamma), (100 / 255) ** gamma, rtol=1e-5)


@pytest.mark.parametrize("lens", [None, BENT], ids=["straight", "bent"])
@pytest.mark.parametrize("antialias", [1, 2, 3])
def test_light_is_sampled_exactly(lens, antialias, rng):
    """Against the formula, one point after the other, in an image enlarged (nothing is halved)."""
    image = rng.integers(0, 256, (480, 640, 3), np.uint8)
    crop = crop_of(camera(lens), np.array([600.0, 200, 645, 240]), 48 * antialias)
    part = Crop(crop.from_input, crop.size, 0.5, lens=crop.lens)
    linear = np.zeros((482, 642, 3))
    linear[1:-1, 1:-1] = (image / 255) ** 2.2
    at = part.to_frame(coordinates(*part.size)[..., :2].astype(float)) + 0.5  # of the framed one
    at = np.clip(at, 0, (641, 481))
    low = np.minimum(at.astype(int), (640, 480))
    (dx, dy), (x, y) = np.moveaxis(at - low, -1, 0)[..., None], np.moveaxis(low, -1, 0)
    rows = [linear[j, x] * (1 - dx) + linear[j, x + 1] * dx for j in (y, y + 1)]
    want = (rows[0] * (1 - dy) + rows[1] * dy).reshape(48, antialias, 48, antialias, 3)
    want = want.mean(axis=(1, 3))
    coarse = crop.from_input @ np.diag([antialias, antialias, 1.0])
    got = Crop(coarse, (48, 48), 0.5, lens=crop.lens).light(image, 0.7, antialias)
    np.testing.assert_allclose(got ** (2.2 / 0.7), want, atol=2e-5)  # float32
    assert (want == 0).any()  # some of it is beside the frame
