"""Cameras: lenses against OpenCV, and files of every kind against what was written into them."""

import json
from typing import Any

import cv2
import numpy as np
import pytest

from conftest import noted, refused
from samples import ANIPOSE
from vitruvian.frame import Frame
from vitruvian.geometry import calibration, calibration_files
from vitruvian.geometry.camera import UP, Camera, rotation_matrix

SIZE = (1280, 720)
MATRIX = np.array([[900.0, 0, 650], [0, 910, 350], [0, 0, 1]])
LENSES = {
    "none": [],
    "four": [-0.28, 0.09, 1e-3, -2e-3],
    "five": [-0.31, 0.12, -1e-3, 5e-4, -0.02],
    "pincushion": [0.2, 0.05, 0, 0, 0.01],
    "rational": [1.1, 0.4, 1e-3, -5e-4, 0.02, 1.5, 0.6, 0.05],
    "thin prism": [-0.1, 0.02, 1e-3, 2e-3, 0, 0.02, -0.01, 0, 2e-3, -1e-3, -3e-3, 1e-3],
}


def cameras() -> list[Camera]:
    return [Camera(MATRIX, SIZE, np.array(lens)) for lens in LENSES.values()]


def corners_and(rng: np.random.Generator, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(1004, 2) pixels everywhere in an image, its corners among them."""
    ends = [(0, 0), (size[0], 0), (0, size[1]), size]
    return np.concatenate([rng.uniform(0, 1, (1000, 2)) * size, np.array(ends, float)])


def in_opencv(camera: Camera) -> np.ndarray:
    """(3, 3) intrinsics as OpenCV counts: the centre of the top left pixel is (0, 0)."""
    return camera.matrix - 0.5 * np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]])


# The lens


@pytest.mark.parametrize("camera", cameras(), ids=LENSES)
def test_projecting_is_opencv_s(camera: Camera, rng):
    ahead = np.concatenate([rng.uniform(-0.6, 0.6, (200, 2)), np.ones((200, 1))], axis=1)
    xyz = ahead * rng.uniform(0.5, 10, (200, 1))
    still = np.zeros(3)
    want, _ = cv2.projectPoints(xyz, still, still, in_opencv(camera), camera.distortion)
    # The same formula in float64.
    np.testing.assert_allclose(camera.project(xyz), want[:, 0] + 0.5, atol=1e-9)


@pytest.mark.parametrize("camera", cameras(), ids=LENSES)
def test_undistorting_undoes_the_lens_everywhere_in_the_picture(camera: Camera, rng):
    """To 1e-6 px, which is the promise; it stops at 1e-13 of the plane, 1e-10 px."""
    xy = corners_and(rng)
    rays = camera.rays(xy)
    xyz = np.concatenate([rays, np.ones_like(rays[:, :1])], axis=1)
    np.testing.assert_allclose(camera.project(xyz), xy, atol=1e-6)
    np.testing.assert_allclose(camera.distort(camera.undistort(xy)), xy, atol=1e-6)
    depth = rng.uniform(1, 9, len(xy))
    back = camera.back_project(xy, depth)
    np.testing.assert_allclose(back[:, 2], depth)
    np.testing.assert_allclose(camera.project(back), xy, atol=1e-6)


@pytest.mark.parametrize("camera", cameras(), ids=LENSES)
def test_undistorting_is_opencv_s(camera: Camera, rng):
    """OpenCV is asked to iterate until it has 1e-12 of the plane as well: 1e-9 px here."""
    xy = corners_and(rng)
    criteria = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 500, 1e-12)
    matrix = in_opencv(camera)
    undistort: Any = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)  # before OpenCV 5
    want = undistort(
        xy[:, None] - 0.5, matrix, camera.distortion, R=np.eye(3), P=matrix, criteria=criteria
    )
    np.testing.assert_allclose(camera.undistort(xy), want[:, 0] + 0.5, atol=1e-6)


def test_a_lens_that_folds_back_has_no_way_back_beyond_the_fold():
    # x (1 - 0.3 x^2) grows until x = 1 / sqrt(0.9) = 1.054, where it is 0.7027; then it shrinks.
    camera = Camera(Camera.with_focal((2000, 2000), 1000).matrix, (2000, 2000), np.array([-0.3]))
    assert camera.reach == pytest.approx(1 / np.sqrt(0.9), rel=0.02)
    assert camera.reach <= 1 / np.sqrt(0.9)
    xy = 1000 + np.array([(690.0, 0), (0, -700), (710, 0), (600, 600)])
    lost = np.isnan(camera.rays(xy)).any(axis=1)
    np.testing.assert_array_equal(lost, [False, False, True, True])
    # What is far to the side would be drawn into the image by the formula alone.
    far = camera.project(np.array([[0.9, 0, 1], [1.2, 0, 1], [3, 0, 1]]))
    np.testing.assert_array_equal(np.isnan(far[:, 0]), [False, True, True])
    np.testing.assert_allclose(far[0], [1000 + 900 * (1 - 0.3 * 0.81), 1000])


def test_a_lens_with_a_pole_ends_before_it():
    camera = Camera(MATRIX, SIZE, np.array([0, 0, 0, 0, 0, -0.25]))  # 1 / (1 - r^2 / 4)
    assert 1.9 < camera.reach <= 2
    assert np.isnan(camera.project(np.array([2.1, 0, 1]))).all()


def test_points_keep_their_type_and_nobody_has_none():
    for camera in cameras():
        placed = camera.placed(np.eye(4))
        for there in (camera.project, placed.to_world, placed.from_world):
            assert there(np.ones((2, 5, 3), np.float32)).dtype == np.float32
            assert len(there(np.zeros((0, 5, 3)))) == 0
        for there in (camera.rays, camera.undistort, camera.distort):
            assert there(np.full((2, 5, 2), 300, np.float32)).dtype == np.float32
            assert there(np.zeros((0, 5, 2))).shape == (0, 5, 2)
        missing = np.array([[np.nan, 3], [600, 300]])
        np.testing.assert_array_equal(np.isnan(camera.rays(missing)).any(axis=1), [True, False])


# Ways to know a camera


def test_a_film_focal_length_has_the_same_diagonal_view():
    """A 50 mm lens on film sees 2 atan(43.27 / 100) = 46.8 degrees from corner to corner."""
    for size in ((3000, 2000), (4000, 3000), (3000, 4000)):
        camera = Camera.with_film_focal(size, 50)
        corner, middle = camera.rays(np.array([(0.0, 0.0), np.array(size) / 2]))
        np.testing.assert_allclose(2 * np.degrees(np.arctan(np.linalg.norm(corner))), 46.79, 0.001)
        np.testing.assert_allclose(middle, 0, atol=1e-12)


def test_a_scaled_camera_sees_the_same(rng):
    camera = Camera(MATRIX, SIZE, np.array(LENSES["five"]))
    xyz = np.array([0.2, -0.1, 1.0]) * rng.uniform(1, 5, (20, 1))
    half = camera.scaled((640, 360))
    np.testing.assert_allclose(half.project(xyz), camera.project(xyz) / 2, atol=1e-9)
    assert camera.scaled(SIZE) is camera
    with refused("1280 x 720", "640 x 480", "another aspect ratio"):
        camera.scaled((640, 480))


def test_the_world_and_the_camera_undo_each_other(rng):
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = rotation_matrix(np.array([0.3, -1.2, 0.4]))
    extrinsics[:3, 3] = 0.1, 2, 3
    camera = Camera.view(SIZE).placed(extrinsics, (0, 0, 1))
    xyz = rng.normal(0, 3, (4, 5, 3))
    np.testing.assert_allclose(camera.to_world(camera.from_world(xyz)), xyz, atol=1e-12)
    np.testing.assert_allclose(camera.from_world(np.zeros(3)), (0.1, 2, 3))
    up = camera.from_world(np.array([0, 0, 1.0])) - camera.from_world(np.zeros(3))
    np.testing.assert_allclose(camera.up, up, atol=1e-12)
    with refused("position of this camera is unknown"):
        Camera.view(SIZE).to_world(xyz)


def test_a_rotation_vector_is_opencv_s(rng):
    for vector in (np.zeros(3), *rng.normal(0, 1.5, (20, 3))):
        np.testing.assert_allclose(rotation_matrix(vector), cv2.Rodrigues(vector)[0], atol=1e-12)


@pytest.mark.parametrize(
    ("words", "make"),
    [
        (("180", "degrees"), lambda: Camera.view(SIZE, 180)),
        (("focal", "-3"), lambda: Camera.with_focal(SIZE, -3)),
        (("0 x 720",), lambda: Camera.view((0, 720))),
        (("matrix", "(2, 2)"), lambda: Camera(np.eye(2), SIZE)),
        (("matrix", "fx skew cx"), lambda: Camera(MATRIX.T, SIZE)),
        (("matrix", "nan"), lambda: Camera(MATRIX * np.nan, SIZE)),
        (("13 distortion",), lambda: Camera(MATRIX, SIZE, np.ones(13))),
        (("extrinsics", "(3, 4)"), lambda: Camera(MATRIX, SIZE, extrinsics=np.eye(4)[:3])),
        (("extrinsics", "rotation"), lambda: Camera(MATRIX, SIZE, extrinsics=2 * np.eye(4))),
    ],
)
def test_what_is_no_camera_is_refused(words, make):
    with refused(*words):
        make()


def test_coefficients_of_the_tilted_model_are_taken_where_nothing_is_tilted():
    camera = Camera(MATRIX, SIZE, np.array([*LENSES["thin prism"], 0, 0]))
    np.testing.assert_array_equal(camera.distortion, LENSES["thin prism"])


# Photographs


def photograph(tmp_path, size=(400, 300), orientation=1, **photo):
    from PIL import Image
    from PIL.TiffImagePlugin import IFDRational

    tags = {"FocalLengthIn35mmFilm": 0xA405, "FocalLength": 0x920A, "PixelXDimension": 0xA002}
    tags |= {
        "PixelYDimension": 0xA003,
        "FocalPlaneXResolution": 0xA20E,
        "FocalPlaneResolutionUnit": 0xA210,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    inner = exif.get_ifd(0x8769)
    for name, value in photo.items():
        inner[tags[name]] = IFDRational(*value) if isinstance(value, tuple) else value
    path = tmp_path / "photograph.jpg"
    Image.new("RGB", size).save(path, exif=exif)
    return path


def test_a_photograph_says_its_focal_length_on_film(tmp_path):
    camera = Camera.from_exif(photograph(tmp_path, FocalLengthIn35mmFilm=26, FocalLength=(43, 10)))
    assert camera is not None
    assert camera.size == (400, 300)
    # 26 mm over the diagonals: 500 px to 43.27 mm.
    assert camera.matrix[0, 0] == pytest.approx(26 * 500 / np.hypot(36, 24))


def test_a_photograph_taken_upright_is_turned_as_it_is_read(tmp_path):
    path = photograph(tmp_path, orientation=6, FocalLengthIn35mmFilm=26)
    camera = Camera.from_exif(path)
    assert camera is not None
    assert camera.size == (300, 400) == Frame.read(path).size
    np.testing.assert_array_equal(camera.matrix[:2, 2], (150, 200))


@pytest.mark.parametrize(
    ("unit", "density"), [(2, (127, 1)), (3, (50, 1)), (4, (5, 1)), (None, (127, 1))]
)
def test_a_photograph_says_how_dense_its_sensor_is(tmp_path, unit, density):
    """5 pixels a millimetre: 20 mm are 100 px; the image was made half as wide since."""
    photo = {"FocalLength": (20, 1), "FocalPlaneXResolution": density, "PixelXDimension": 800}
    if unit:
        photo["FocalPlaneResolutionUnit"] = unit
    camera = Camera.from_exif(photograph(tmp_path, **photo))
    assert camera is not None
    assert camera.matrix[0, 0] == pytest.approx(50)


def test_a_picture_that_says_nothing_has_no_camera(tmp_path, picture):
    assert Camera.from_exif(picture("plain.png")) is None
    assert Camera.from_exif(photograph(tmp_path, FocalLengthIn35mmFilm=0)) is None
    assert Camera.from_exif(photograph(tmp_path, FocalLength=(5, 1))) is None
    assert (
        Camera.from_exif(photograph(tmp_path, FocalLength=(5, 0), FocalLengthIn35mmFilm=0)) is None
    )


@pytest.mark.parametrize(("orientation", "size"), [(1, (400, 300)), (6, (300, 400))])
def test_a_photograph_that_is_read_brings_its_camera(tmp_path, orientation, size):
    path = photograph(tmp_path, orientation=orientation, FocalLengthIn35mmFilm=28)
    frame = Frame.read(path)
    assert frame.camera is not None
    assert frame.size == frame.camera.size == size
    assert frame.camera.known_by == "exif"
    focal = 28 * 500 / np.hypot(36, 24)
    want = [[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]]
    np.testing.assert_allclose(frame.camera.matrix, want)
    assert Frame.read(photograph(tmp_path)).camera is None


@pytest.mark.parametrize(
    ("whole", "known"),
    [((800, 600), True), ((600, 800), True), ((800, 500), False), ((400, 400), False)],
    ids=["made smaller", "turned by a program", "cut above", "cut at the sides"],
)
def test_a_photograph_that_was_cut_does_not_say(tmp_path, whole, known):
    """Of 300 x 400 pixels; its EXIF data still have the whole."""
    photo = {"PixelXDimension": whole[0], "PixelYDimension": whole[1]}
    path = photograph(tmp_path, size=(300, 400), FocalLengthIn35mmFilm=28, **photo)
    assert (Camera.from_exif(path) is not None) == known
    # By the sensor: 5 pixels a millimetre, 20 mm are 100 px, and then 50.
    photo |= {"FocalLength": (20, 1), "FocalPlaneXResolution": (127, 1)}
    camera = Camera.from_exif(photograph(tmp_path, size=(300, 400), **photo))
    assert camera.matrix[0, 0] == pytest.approx(50) if camera and known else camera is None


@pytest.mark.parametrize("film_mm", [1, 60000])
def test_a_focal_length_that_no_lens_has_is_not_believed(tmp_path, film_mm):
    path = photograph(tmp_path, FocalLengthIn35mmFilm=film_mm)
    assert Camera.from_exif(path) is None
    assert Frame.read(path).camera is None


def test_damaged_exif_data_do_no_harm(tmp_path, rng):
    path = photograph(tmp_path, orientation=6, FocalLengthIn35mmFilm=28, FocalLength=(43, 10))
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    end = path.read_bytes().index(b"\xff\xdb")  # the picture's own tables begin
    cameras = 0
    for _ in range(200):
        data = whole.copy()
        data[rng.integers(30, end, 3)] = rng.integers(0, 256, 3)
        path.write_bytes(data.tobytes())
        cameras += Frame.read(path).camera is not None
    assert 0 < cameras < 200


def test_a_png_is_not_unpacked_twice_to_look_for_exif_data(picture, monkeypatch):
    from PIL.PngImagePlugin import PngImageFile

    def unpacked(_):
        raise AssertionError("it is unpacked")

    path = picture("plain.png")
    monkeypatch.setattr(PngImageFile, "load", unpacked)
    assert Frame.read(path).camera is None


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "words.jpg").write_text("words")
    with refused("words.jpg", "not an image"):
        Camera.from_exif(tmp_path / "words.jpg")
    with refused("absent.jpg", "No such file"):
        Camera.from_exif(tmp_path / "absent.jpg")


# Calibration files


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
@pytest.mark.parametrize("lens", LENSES)
def test_a_file_of_opencv_s_is_read_back(tmp_path, suffix, lens):
    """Written by OpenCV itself: it counts from the centre of the first pixel, so 0.5 is added."""
    path = tmp_path / f"camera{suffix}"
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    file.write("calibration_time", "Mon 12 Jan 2026 10:11:12")
    file.write("image_width", SIZE[0])
    file.write("image_height", SIZE[1])
    file.write("flags", 6)
    file.write("camera_matrix", MATRIX)
    if lens != "none":
        file.write("distortion_coefficients", np.array(LENSES[lens])[:, None])
    file.write("avg_reprojection_error", 0.3281)
    file.release()
    camera = Camera.read(path)
    assert camera.size == SIZE
    want = MATRIX + 0.5 * np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_allclose(camera.matrix, want, rtol=1e-12)
    np.testing.assert_allclose(camera.distortion[: len(LENSES[lens])], LENSES[lens], rtol=1e-12)
    assert camera.distorted == (lens != "none")
    assert camera.extrinsics is None


def test_a_file_of_opencv_s_with_a_place_is_read_back(tmp_path, rng):
    """OpenCV 5.0 gives flat arrays a tag of their own, see findings/opencv5-filestorage-*.sh."""
    vector, away = rng.normal(0, 1, (2, 3))
    path = tmp_path / "camera.yml"
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in {"K": MATRIX, "rvec": vector, "tvec": away}.items():
        file.write(name, value)
    file.release()
    with refused("camera.yml", "has no image size", "image_width"):
        Camera.read(path)
    with noted("metres are assumed"):
        camera = Camera.read(path, size=SIZE)
    xyz = rng.normal(0, 1, (30, 3)) @ np.diag([1, 1, 0.1]) + (0, 0, 5)
    world = camera.to_world(xyz)
    want, _ = cv2.projectPoints(world, vector, away, MATRIX, None)
    np.testing.assert_allclose(camera.project(xyz), want[:, 0] + 0.5, atol=1e-8)
    np.testing.assert_array_equal(camera.up, [0, -1, 0])  # nobody knows what is up in that world


def test_plain_json_and_ros_are_read_too(tmp_path):
    (tmp_path / "a.json").write_text(
        json.dumps({"mtx": MATRIX.tolist(), "dist": [[0.1, 0.2, 0, 0, 0]], "image_size": SIZE})
    )
    rows = ", ".join(f"{value:g}." if value == 0 else f"{value}" for value in MATRIX.ravel())
    (tmp_path / "b.yaml").write_text(
        f"# of a robot\nimage_width: {SIZE[0]}\nimage_height: {SIZE[1]}\ncamera_name: front\n"
        f"camera_matrix:\n  rows: 3\n  cols: 3\n  data: [{rows}]\ndistortion_model: plumb_bob\n"
        "distortion_coefficients:\n  rows: 1\n  cols: 5\n  data: [0.1, 2e-1,\n    0, 0, 0]\n"
    )
    for name in ("a.json", "b.yaml"):
        camera = Camera.read(tmp_path / name)
        assert camera.size == SIZE
        np.testing.assert_allclose(camera.matrix[:, 2], MATRIX[:, 2] + (0.5, 0.5, 0))
        np.testing.assert_allclose(camera.distortion[:3], (0.1, 0.2, 0))


K = "[9, 0, 1, 0, 9, 1, 0, 0, 1]"
FISHEYES = [  # as OpenCV's sample, ROS and Kalibr write it
    "fisheye_model: 1",
    'distortion_model: "equidistant"',
    "distortion_model: fisheye",
    "distortion_model: kannala_brandt",
    "camera_model: omni",
    "camera_model: ds",
    "xi: 1.2",
]
UNSAID = """[cam]
matrix = [[9, 0, 1], [0, 9, 1], [0, 0, 1]]
size = [2, 2]
rotation = [0, 0, 0]
translation = [-0.3, 0, 2]
"""
TWO = """
[left]
size = [1280.0, 720.0]
matrix = [[900.0, 0.0, 650.0], [0.0, 910.0, 350.0], [0.0, 0.0, 1.0]]
distortions = [-0.1, 0.0, 0.0, 0.0]
rotation = [1.5707963267948966, 0.0, 0.0]
translation = [0.0, 1.5, 4.0]
fisheye = false

[right]
size = [1280.0, 720.0]
matrix = [[900.0, 0.0, 650.0], [0.0, 910.0, 350.0], [0.0, 0.0, 1.0]]
distortions = [-0.1, 0.0, 0.0, 0.0]
fisheye = true

[metadata]
adjusted = false
"""


def test_a_file_of_several_cameras_wants_to_know_which(tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(TWO.replace("fisheye = true", "fisheye = false"))
    with refused("2 cameras", "left, right"):
        Camera.read(path)
    with refused("'lift'", "did you mean 'left'"):
        Camera.read(path, "lift")
    camera = Camera.read(path, "left")
    assert camera.extrinsics is not None
    # A quarter turn about x: the world's z, which is up, is the camera's -y.
    np.testing.assert_allclose(camera.up, [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(camera.from_world(np.array([0, 1, 1.7])), [0, -0.2, 5], atol=1e-12)
    assert Camera.read(path, "right").extrinsics is None


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.xml", "<a/>", ["no camera in it"]),
        ("a.txt", "", [".toml", ".yaml", ".xml"]),
        ("a.toml", TWO, ["right", "fisheye"]),
        ("a.toml", "[cam", ["a.toml", "not valid TOML"]),
        ("a.toml", "[metadata]\nerror = 0.0", ["no camera in it"]),
        ("a.json", "{", ["a.json"]),
        ("a.json", "[1, 2]", ["no camera in it"]),
        ("a.json", '{"K": [1, 2, 3], "size": [2, 2]}', ["camera matrix", "9 numbers"]),
        ("a.json", '{"K": "words", "size": [2, 2]}', ["camera matrix", "words"]),
        ("a.json", '{"K": [[9,0,1],[0,9,1],[0,0,1]], "size": [2]}', ["image size", "2 numbers"]),
        ("a.json", '{"K": [[-9,0,1],[0,9,1],[0,0,1]], "size": [2, 2]}', ["a.json", "above 0"]),
        (
            "a.json",
            '{"K": [[9,0,1],[0,9,1],[0,0,1]], "size": [2, 2], "R": [1, 2], "T": [0, 0, 0]}',
            ["rotation", "3 or 9"],
        ),
        ("a.yaml", "camera_matrix: [1, 2\n- 3", ["a.yaml", "line"]),
        ("a.yaml", "K: [9,0,1,0,9,1,0,0,1]\ndistortion_model: equidistant", ["fisheye"]),
        ("a.yaml", "", ["no camera in it"]),
        *((f"a{n}.yaml", f"K: {K}\n{line}", ["fisheye"]) for n, line in enumerate(FISHEYES)),
        ("a.yaml", f"K: {K}\ndistortion_model: of_next_year", ["distortion model 'of_next_year'"]),
        ("a.json", f'{{"K": {K}, "size": [1e18, 480]}}', ["images are 1e+18 x 480"]),
        ("a.json", f'{{"K": {K}, "size": [NaN, 480]}}', ["a number that is not finite"]),
        ("a.json", f'{{"K": {K}, "size": [null, 480]}}', ["image size", "2 numbers"]),
        ("a.toml", UNSAID.replace("-0.3", "0.3") + 'units = "ell"', ["unit 'ell'", "m, cm, mm"]),
        ("a.toml", UNSAID + 'up = "north"', ["up 'north'", "-z"]),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with refused(name, *words):
        Camera.read(tmp_path / name)


def test_one_of_several_cameras_is_named_after_a_colon(tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(TWO.replace("fisheye = true", ""))
    with refused("2 cameras", f"such as '{path}:left'"):
        Camera.read(path)
    assert Camera.read(f"{path}:left").extrinsics is not None
    assert Camera.read(f"{path}:right").extrinsics is None
    with refused("did you mean 'left'"):
        Camera.read(f"{path}:lift")
    with refused("none.toml:left", "cannot read"):
        Camera.read("none.toml:left")
    # A colon may be part of a file's name, as of a drive's.
    odd = tmp_path / "a:b.toml"
    odd.write_text(TWO.replace("fisheye = true", ""))
    assert Camera.read(f"{odd}:left").extrinsics is not None


# Who wrote it is told by what it says, never by its name


def test_translations_without_a_unit_are_metres_and_that_is_said(tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(UNSAID)
    with noted(r"up to 2\).*metres are assumed.*units = \"mm\""):
        camera = Camera.read(path)
    np.testing.assert_allclose(camera.to_world(np.zeros(3)), [0.3, 0, -2])
    np.testing.assert_array_equal(camera.up, UP)  # unknown: the camera is taken to be upright


def test_translations_that_cannot_be_metres_give_no_place(tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(UNSAID.replace("2]", "2000.0]").replace("-0.3", "-300.0"))
    with noted("cannot be metres; camera positions are ignored"):
        assert Camera.read(path).extrinsics is None


def test_a_calibration_without_a_size_is_of_the_first_picture_and_that_is_said(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"mtx": MATRIX.tolist(), "dist": [[0.1, 0.2, 0, 0, 0]]}))
    with refused("has no image size", "image_width"):
        Camera.read(path)
    camera = calibration.given(path)
    assert camera is not None
    with noted("640 x 480 of the first image is assumed"):
        assert camera((640, 480)).matrix[0, 0] == MATRIX[0, 0]
    assert camera((320, 240)).matrix[0, 0] == pytest.approx(MATRIX[0, 0] / 2)
    with refused("another aspect ratio"):
        camera((480, 640))


@pytest.mark.parametrize(("unit", "metres"), [("mm", 1e-3), ("Centimeters", 1e-2), ("m", 1)])
@pytest.mark.parametrize("where", ["", "[metadata]\n"])
def test_a_file_can_say_its_unit_and_what_is_up(tmp_path, unit, metres, where):
    path = tmp_path / "rig.toml"
    path.write_text(
        f'{UNSAID}{where}units = "{unit}"\nup = "-y"\n'.replace("[0, 0, 0]", "[0, 1, 0]")
    )
    camera = Camera.read(path)
    assert camera.extrinsics is not None
    np.testing.assert_allclose(camera.extrinsics[:3, 3], np.array([-0.3, 0, 2]) * metres)
    np.testing.assert_allclose(camera.up, [0, -1, 0], atol=1e-12)


def test_a_camera_of_anipose_has_the_name_inside_its_table_and_that_of_it(tmp_path):
    path = tmp_path / "calibration.toml"
    path.write_text('units = "mm"\n' + ANIPOSE + "[metadata]\nadjusted = false\nerror = 0.4\n")
    cameras = calibration_files.read(path)
    assert list(cameras) == ["left", "right"]
    for word, x in (("left", -0.3), ("cam_0", -0.3), ("right", -0.299), ("cam_1", -0.299)):
        camera = Camera.read(f"{path}:{word}")
        assert camera.extrinsics is not None
        assert camera.extrinsics[0, 3] == pytest.approx(x)
        np.testing.assert_array_equal(camera.up, UP)  # not z, which is Pose2Sim's
    with refused("'lift'", "did you mean 'left'"):
        Camera.read(f"{path}:lift")


def test_twelve_cameras_of_anipose_are_in_the_order_of_their_numbers(tmp_path):
    """Its tables are sorted as text: cam_10 before cam_2."""
    tables = ANIPOSE.split("[cam_1]")[0]
    order = sorted(f"cam_{i}" for i in range(12))
    path = tmp_path / "calibration.toml"
    each = [
        tables.replace("[cam_0]", f"[{key}]").replace('"left"', f'"view {key[4:]}"')
        for key in order
    ]
    path.write_text('units = "mm"\n' + "".join(each))
    assert order[2] == "cam_10"
    assert list(calibration_files.read(path)) == [f"view {i}" for i in range(12)]


def test_where_the_centre_of_a_pixel_is_can_be_said(tmp_path, capsys):
    """OpenCV before 4.14 puts corners of ChArUco boards half a pixel further.

    findings/opencv_charuco_half_pixel.sh
    """
    path = tmp_path / "calibration.toml"
    path.write_text('units = "mm"\n' + ANIPOSE)
    assert calibration_files.read(path)["left"].matrix[0, 2] == 320.5
    assert "add the line pixel_centre = 0.5" in capsys.readouterr().err
    path.write_text('units = "mm"\npixel_centre = 0.5\n' + ANIPOSE)
    assert calibration_files.read(path)["left"].matrix[:2, 2].tolist() == [320, 240]
    assert not capsys.readouterr().err
    path.write_text('units = "mm"\npixel_centre = 1\n' + ANIPOSE)
    with refused("pixel_centre 1", "want 0 or 0.5"):
        calibration_files.read(path)


# As `CameraArray.to_toml` of Caliscope 0.11.8 writes it; of camera 1, only the lens is known, or it
# is one to be ignored: findings/caliscope_ignore_is_not_saved.sh.
CALISCOPE = """[cameras.0]
cam_id = 0
rotation_count = 1
error = 0.3
grid_count = 20
fisheye = false
size = [1280, 720]
matrix = [[900.0, 0.0, 643.0], [0.0, 905.0, 356.0], [0.0, 0.0, 1.0]]
distortions = [-0.2, 0.08, 0.001, -0.002, 0.01]
translation = [0.1, -0.2, 3.0]
rotation = [0.1, 0.3, 0.05]

[cameras.1]
cam_id = 1
rotation_count = 0
fisheye = false
size = [1280, 720]
matrix = [[901.0, 0.0, 643.0], [0.0, 906.0, 356.0], [0.0, 0.0, 1.0]]
distortions = [-0.2, 0.08, 0.001, -0.002, 0.01]
"""


def test_a_camera_of_caliscope_projects_as_there(tmp_path, capsys):
    path = tmp_path / "camera_array.toml"
    path.write_text('units = "m"\n' + CALISCOPE)
    cameras = calibration_files.read(path)
    assert list(cameras) == ["0", "1"]
    assert "add the line pixel_centre = 0.5" in capsys.readouterr().err
    camera = cameras["0"]
    assert camera.size == (1280, 720)  # as in the file, whatever its rotation_count
    assert camera.extrinsics is not None
    assert cameras["1"].extrinsics is None
    xyz = np.array([[0.1, 0.2, 0.3], [-0.4, 0.1, 0.5], [0.3, -0.3, -0.2]])
    # Its `undistort_points` of these are where its `normalized_projection_matrix` has `xyz`.
    theirs = np.array([[719.1372, 349.9153], [608.9439, 312.9122], [754.5752, 202.5542]])
    np.testing.assert_allclose(camera.project(camera.from_world(xyz)) - 0.5, theirs, atol=1e-3)


QUALISYS = """<?xml version='1.0' encoding='ASCII'?>
<calibration created="2024-01-01" type="regular"><results std-dev="0.5"/><cameras>
<camera active="1" serial="21401"><fov_video left="0" top="0" right="1919" bottom="1079"/>
<transform x="1000" y="-2000" z="1500" r11="1" r12="0" r13="0" r21="0" r22="0" r23="1"
 r31="0" r32="-1" r33="0"/>
<intrinsic focalLengthU="96000" focalLengthV="96064" centerPointU="61440" centerPointV="34560"
 radialDistortion1="-0.05" radialDistortion2="0.1" tangentalDistortion1="0.001"
 tangentalDistortion2="0.002"/></camera></cameras></calibration>
"""


def test_a_camera_of_qualisys(tmp_path):
    """64ths of a pixel, millimetres, z up; it looks along -z of its own axes, here along y.

    Lens coefficients have no unit: no 64ths (findings/pose2sim_qualisys_lens.sh).
    """
    path = tmp_path / "walk.qca.txt"
    path.write_text(QUALISYS)
    camera = Camera.read(path)
    assert camera.size == (1920, 1080)
    np.testing.assert_allclose(camera.matrix, [[1500, 0, 960.5], [0, 1501, 540.5], [0, 0, 1]])
    np.testing.assert_allclose(camera.distortion[:4], [-0.05, 0.1, 0.001, 0.002])
    np.testing.assert_allclose(camera.centre, [1, -2, 1.5], atol=1e-12)
    np.testing.assert_allclose(camera.from_world(np.array([1.0, 1, 2])), [0, -0.5, 3], atol=1e-12)
    np.testing.assert_allclose(camera.up, [0, -1, 0], atol=1e-12)
    path.write_text(QUALISYS.replace('type="regular"', 'up="y"'))
    np.testing.assert_allclose(Camera.read(path).up, [0, 0, 1], atol=1e-12)
    for old, new, said in (
        ("focalLengthU", "focalLength", "not all of focalLengthU"),
        ("<cameras>", "<camera>", "is not valid XML"),
        ("calibration", "calibrations", "no Qualisys calibration"),
    ):
        path.write_text(QUALISYS.replace(old, new))
        with refused(said):
            Camera.read(path)


@pytest.mark.shared
def test_a_calibration_of_qualisys_is_that_which_pose2sim_made_of_it(shared):
    folder = shared / "data" / "pose2sim" / "calibration"
    own = calibration_files.read(folder / "Calib.qca.txt")
    theirs = calibration_files.read(folder / "Calib_qualisys.toml")
    assert list(own) == list(theirs)
    for name, camera in own.items():
        np.testing.assert_allclose(camera.matrix, theirs[name].matrix, atol=1e-6)
        points = np.eye(3)
        np.testing.assert_allclose(
            camera.from_world(points), theirs[name].from_world(points), atol=1e-6
        )


VICON = """<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<Cameras SOURCE="Nexus 2.16" VERSION="2.0">
  <Camera DEVICEID="2107" NAME="" SENSOR_SIZE="2048 1088" TYPE="Vantage" USERID="1"/>
  <Camera DEVICEID="5143" NAME="Left" PIXEL_ASPECT_RATIO="1" SENSOR_SIZE="1920 1200" USERID="2">
    <KeyFrames>
      <KeyFrame FOCAL_LENGTH="2000" FRAME="0" ORIENTATION="0.5 -0.5 0.5 0.5"
       PIXEL_ASPECT_RATIO_CORRECTION="1" POSITION="-4000 200 1500" PRINCIPAL_POINT="950 610"
       VICON_RADIAL="0 0" VICON_RADIAL2="Vicon3Parameter 950 610 2e-08 1e-15 0"/>
    </KeyFrames>
  </Camera>
</Cameras>
"""


def test_a_camera_of_vicon(tmp_path, capsys):
    """Millimetres, z up; it looks along x of the world from x = -4 m."""
    path = tmp_path / "walk.xcp"
    path.write_text(VICON)
    (name,) = cameras = calibration_files.read(path)
    assert name == "5143"
    assert cameras["Left"] is cameras["5143"]
    assert "millimetres and z up" in capsys.readouterr().err
    camera = cameras["5143"]
    assert camera.size == (1920, 1200)
    np.testing.assert_allclose(camera.matrix, [[2000, 0, 950.5], [0, 2000, 610.5], [0, 0, 1]])
    np.testing.assert_allclose(camera.centre, [-4, 0.2, 1.5], atol=1e-12)
    np.testing.assert_allclose(camera.up, [0, -1, 0], atol=1e-12)
    # To the right is -y of the world.
    np.testing.assert_allclose(
        camera.from_world(np.array([0.0, -0.8, 2.5])), [1, -1, 4], atol=1e-12
    )
    # Vicon's lens corrects pixels: by 1 + 2e-8 r^2 + 1e-15 r^4 at 500 pixels from its centre.
    ray = camera.rays(np.array([[950.5 + 300, 610.5 - 400]]))[0]
    np.testing.assert_allclose(ray, np.array([0.15, -0.2]) * (1 + 0.005 + 6.25e-5), atol=1e-7)
    path.write_text(VICON.replace("<Cameras", '<Cameras up="y"'))
    np.testing.assert_allclose(Camera.read(path).up, [-1, 0, 0], atol=1e-12)
    path.write_text(VICON.replace('VICON_RADIAL2="Vicon3Parameter 950 610 2e-08 1e-15 0"', ""))
    assert not Camera.read(path).distorted


def test_lenses_of_vicon_that_are_corrections_around_the_principal_point_are_fitted(tmp_path):
    """To thousandths of a pixel, even those that move the corners by an eighth."""
    path = tmp_path / "walk.xcp"
    for k1 in (1e-7, 1e-8, -3e-8):
        path.write_text(VICON.replace("2e-08 1e-15", f"{k1} 0"))
        camera = Camera.read(path)
        seen = np.array([[0, 0], [1920, 0], [700, 900], [1920, 1200.0]])
        off = seen - [950.5, 610.5]
        straight = off * (1 + k1 * (off**2).sum(1, keepdims=True))
        np.testing.assert_allclose(camera.rays(seen) * 2000, straight, atol=2e-3)
        np.testing.assert_allclose(camera.distort(camera.undistort(seen)), seen, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<Cameras ", "<Camera ", "is not valid XML"),
        ("Cameras", "cameras", "no Vicon calibration"),
        ('"0.5 -0.5 0.5 0.5"', '"0.5 -0.5 0.5"', "ORIENTATION of camera 5143"),
        ('"0.5 -0.5 0.5 0.5"', '"0 0 0 0"', "5143 is not calibrated"),
        ('"1920 1200"', '"1920 x"', "SENSOR_SIZE of camera 5143 is '1920 x', want 2 numbers"),
        ('PIXEL_ASPECT_RATIO="1"', 'PIXEL_ASPECT_RATIO="1.1"', "is 1.1, want 1"),
        ("Vicon3Parameter", "Fisheye", "is Fisheye, want Vicon3Parameter"),
        ("2e-08 1e-15 0", "2e-08", "VICON_RADIAL2 of camera 5143"),
        ("2e-08", "-2e-06", "pixels from OpenCV's models"),  # it folds the image
        ("</KeyFrames>", '<KeyFrame FRAME="9"/></KeyFrames>', "moves: it has 2 key frames"),
        ("KeyFrames", "Nothing", "no camera in it"),
    ],
)
def test_calibrations_of_vicon_that_cannot_be_used(old, new, said, tmp_path):
    path = tmp_path / "walk.xcp"
    path.write_text(VICON.replace(old, new))
    with refused(said):
        calibration_files.read(path)


def test_names_inside_tables_that_are_those_of_other_tables_win(tmp_path):
    path = tmp_path / "calibration.toml"
    text = ANIPOSE.replace('"left"', '"cam_1"').replace('"right"', '"cam_0"')
    path.write_text('units = "mm"\n' + text)
    assert Camera.read(f"{path}:cam_1").to_world(np.zeros(3)) is not None
    cameras = calibration_files.read(path)
    assert cameras["cam_1"].extrinsics[0, 3] == pytest.approx(-0.3)  # type: ignore[index]
    path.write_text('units = "mm"\n' + ANIPOSE.replace('"left"', '"right"'))
    assert list(calibration_files.read(path)) == ["cam_0", "cam_1"]


def opencv_file(path, **values):
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in values.items():
        file.write(name, value)
    file.release()


@pytest.mark.parametrize("suffix", [".yml", ".json", ".xml"])
def test_the_motion_of_a_stereo_pair_is_the_second_camera_s(tmp_path, suffix, rng):
    """cv2.stereoCalibrate's R and T: x2 = R x1 + T. R1, R2 are of images made level."""
    path, turn, shift = tmp_path / f"stereo{suffix}", rotation_matrix(rng.normal(0, 1, 3)), 0.4
    lens = np.array([[0.1, 0.01, 0, 0, 0]])
    opencv_file(path, M1=MATRIX, D1=lens, M2=MATRIX + np.diag([5.0, 0, 0]), D2=2 * lens, R=turn,
        T=np.array([[shift], [0], [0]]), R1=np.eye(3) * 7, P1=np.eye(3, 4), image_width=SIZE[0],
        image_height=SIZE[1])  # fmt: skip
    with refused("2 cameras", "1, 2"), noted("metres are assumed"):
        Camera.read(path)
    with noted("metres are assumed"):
        first, second = calibration_files.read(path).values()
    assert first.extrinsics is not None
    assert second.extrinsics is not None
    np.testing.assert_array_equal(first.extrinsics, np.eye(4))
    np.testing.assert_allclose(second.extrinsics[:3, :3], turn)
    np.testing.assert_allclose(second.extrinsics[:3, 3], [shift, 0, 0])
    assert second.matrix[0, 0] == MATRIX[0, 0] + 5
    assert second.distortion[0] == pytest.approx(0.2)


def test_two_cameras_with_sides_in_their_names_are_a_pair(tmp_path):
    k = MATRIX.tolist()
    pair = {"K_left": k, "dist_left": [0.1], "K_right": k, "dist_right": [0.2], "units": "m"}
    pair |= {"R": np.eye(3).tolist(), "T": [-0.1, 0, 0], "image_size": SIZE}
    (tmp_path / "a.json").write_text(json.dumps(pair))
    nested = {side: {"K": k, "dist": [0.1], "size": SIZE} for side in ("left", "right")}
    (tmp_path / "b.json").write_text(
        json.dumps({**nested, "R": pair["R"], "T": pair["T"], "units": "m"})
    )
    for name in ("a.json", "b.json"):
        cameras = calibration_files.read(tmp_path / name)
        assert list(cameras) == ["left", "right"]
        np.testing.assert_allclose(cameras["right"].from_world(np.zeros(3)), [-0.1, 0, 0])
        np.testing.assert_allclose(cameras["left"].from_world(np.zeros(3)), [0, 0, 0])


def test_a_rig_of_kalibr_is_a_chain_in_metres(tmp_path):
    path = tmp_path / "rig-camchain.yaml"
    step = np.eye(4)
    step[0, 3] = -0.11
    camera = """{name}:
  camera_model: pinhole
  distortion_coeffs: [-0.28, 0.07, 0.0002, 1.0e-05]
  distortion_model: {model}
  intrinsics: [458.654, 457.296, 367.215, 248.375]
  resolution: [752, 480]
  rostopic: /cam/image_raw
"""
    chain = f"  T_cn_cnm1: {step.tolist()}\n"
    text = camera.format(name="cam0", model="radtan") + camera.format(name="cam1", model="radtan")
    text += chain + camera.format(name="cam2", model="radtan") + chain
    path.write_text(text)
    cameras = calibration_files.read(path)
    assert list(cameras) == ["cam0", "cam1", "cam2"]
    np.testing.assert_allclose(cameras["cam2"].from_world(np.zeros(3)), [-0.22, 0, 0])
    np.testing.assert_allclose(cameras["cam0"].matrix[:, 2], [367.715, 248.875, 1])
    assert cameras["cam0"].matrix[1, 1] == 457.296
    path.write_text(text.replace("radtan", "equidistant"))
    with refused("cam0", "fisheye"):
        calibration_files.read(path)


def test_the_two_files_of_easymocap_are_one_calibration(tmp_path):
    vector, shift = np.array([[0.1], [0.2], [0.3]]), np.array([[0.5], [1.0], [3.0]])
    lens = np.array([[0.1, 0.0, 0.0, 0.0, 0.0]])
    known = {"K_1": MATRIX, "dist_1": lens, "H_1": SIZE[1], "W_1": SIZE[0], "K_b": MATRIX}
    opencv_file(tmp_path / "intri.yml", **known, dist_b=lens, H_b=SIZE[1], W_b=SIZE[0])
    opencv_file(
        tmp_path / "extri.yml", R_1=vector, Rot_1=rotation_matrix(vector.ravel()), T_1=shift
    )
    for name in ("intri.yml", "extri.yml"):
        with noted("metres are assumed"):
            cameras = calibration_files.read(tmp_path / name)
        assert list(cameras) == ["1", "b"]
        np.testing.assert_allclose(cameras["1"].from_world(np.zeros(3)), [0.5, 1, 3])
        assert cameras["1"].size == SIZE
        assert cameras["b"].extrinsics is None


def test_cameras_in_a_list_have_their_names(tmp_path):
    """CMU Panoptic's: centimetres, which the file does not say."""
    one = {"name": "00_01", "type": "hd", "resolution": SIZE, "K": MATRIX.tolist()}
    one |= {"distCoef": [0.1, 0, 0, 0, 0], "R": np.eye(3).tolist(), "t": [[0], [0], [250]]}
    (tmp_path / "a.json").write_text(json.dumps({"cameras": [one, {**one, "name": "00_02"}]}))
    with noted("cannot be metres"):
        cameras = calibration_files.read(tmp_path / "a.json")
    assert list(cameras) == ["00_01", "00_02"]
    (tmp_path / "a.json").write_text(json.dumps({"cameras": [one], "units": "cm"}))
    np.testing.assert_allclose(
        Camera.read(tmp_path / "a.json").from_world(np.zeros(3)), [0, 0, 2.5]
    )


# What is given on the command line


def test_a_camera_can_be_given_in_four_ways(tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(TWO.replace("fisheye = true", ""))
    left = Camera.read(path, "left")
    size = (640, 360)
    for camera, focal, known_by in (
        (calibration.given(left), 450, "file"),
        (calibration.given(f"{path}:left"), 450, "file"),
        (calibration.given(Camera(MATRIX, SIZE)), 450, "numbers"),
        (calibration.given(fov_deg=90), 320, "fov"),
        (calibration.given(focal=777), 777, "focal"),
        (calibration.given(focal_mm=36), 36 * np.hypot(*size) / np.hypot(36, 24), "focal"),
    ):
        assert camera is not None
        assert camera(size).size == size
        assert camera(size).matrix[0, 0] == pytest.approx(focal)
        assert camera(size).known_by == known_by
        assert camera(size) is camera(size)  # its lens is looked into once
    assert calibration.given() is None
    assert Camera.view(size).known_by == "assumed"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"fov_deg": 55, "focal": 900}, ["fov_deg and focal", "give one of them"]),
        ({"camera": "rig.toml", "focal_mm": 28}, ["camera and focal_mm"]),
        ({"fov_deg": 180}, ["180 degrees", "between 0 and 180"]),
        ({"fov_deg": float("nan")}, ["nan degrees"]),
        ({"focal": 0}, ["focal is 0", "above 0"]),
        ({"focal": float("inf")}, ["focal is inf"]),
        ({"focal_mm": -28}, ["focal_mm is -28"]),
        ({"camera": "rig.toml"}, ["rig.toml", "No such file"]),
        ({"camera": "photo.jpg"}, ["photo.jpg", ".toml, .json, .yaml, .yml"]),
    ],
)
def test_a_camera_that_cannot_be_is_refused_before_anything_is_done(
    words, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with refused(*said):
        calibration.given(**words)


def test_pictures_of_another_shape_are_refused():
    camera = calibration.given(Camera(MATRIX, SIZE))
    assert camera is not None
    with refused("1280 x 720", "640 x 480", "another aspect ratio"):
        camera((640, 480))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with refused("none.toml", "No such file"):
        Camera.read(tmp_path / "none.toml")


# Four real cameras

# fmt: off
BODY_25B = [
    "Nose", "LEye", "REye", "LEar", "REar", "LShoulder", "RShoulder", "LElbow", "RElbow", "LWrist",
    "RWrist", "LHip", "RHip", "LKnee", "RKnee", "LAnkle", "RAnkle", "Neck", "Head", "LBigToe",
    "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel",
]
# fmt: on


@pytest.mark.shared
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_triangulated_person_is_seen_where_openpose_saw_them(shared, number):
    """Pose2Sim's demo: 100 frames, 21 joints, metres with Y up; the world is (z, x, y) of them.

    OpenPose's own points scatter by about 10 px here: the median is 8 to 17 px in the four
    cameras. A wrong axis, sign or unit anywhere makes it hundreds.
    """
    folder = shared / "data" / "pose2sim"
    camera = Camera.read(folder / "calibration" / "Calib_qualisys.toml", f"cam_0{number}")
    trial = folder / "single_balancing" / "trc" / "S00_P00_T01_BalancingTrial_0-100.trc"
    lines = trial.read_text().splitlines()
    names = [name for name in lines[3].split("\t")[2:] if name]
    rows = [[float(x) for x in line.split("\t")[2:65]] for line in lines[5:] if line.strip()]
    body = np.array(rows).reshape(len(rows), len(names), 3)
    xy = camera.project(camera.from_world(body[..., [2, 0, 1]]))
    found = json.loads(
        (folder / f"single_balancing/openpose_body25b/cam0{number}.json").read_text()
    )
    order = [BODY_25B.index(name) for name in names]
    medians = []
    for joints, frame in zip(xy, found, strict=True):
        people = [np.reshape(p["pose_keypoints_2d"], (25, 3))[order] for p in frame["people"]]
        off = [np.where(p[:, 2] > 0.1, np.hypot(*(p[:, :2] - joints).T), np.nan) for p in people]
        medians.append(min(np.nanmedian(distance) for distance in off))
    assert 3 < np.median(medians) < 22


def test_the_cameras_of_a_file_have_its_names(tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(TWO.replace("fisheye = true", ""))
    assert list(calibration_files.read(path)) == ["left", "right"]
