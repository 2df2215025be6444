"""Calibration: lenses and places of cameras from rendered boards, places from made-up people."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import boards
import rigs
import vitruvian as vit
from commands import command, one_line
from vitruvian.errors import VitruvianError
from vitruvian.geometry import calibration_files
from vitruvian.geometry.camera import Camera, rotation_matrix, rotation_vector
from vitruvian.geometry.rig_toml import rig_toml
from vitruvian.multiview.boards import Board, BoardFinder, calibrate_lens, place_by_board
from vitruvian.multiview.bundle import Bundle, _Problem
from vitruvian.multiview.people_rig import Known, place_cameras
from vitruvian.multiview.sync import Offset

SIZE = (640, 480)
LENS = Camera(
    np.array([[650.0, 0, 323.2], [0, 652, 238.4], [0, 0, 1]]),
    SIZE,
    np.array([-0.12, 0.05, 1e-3, 0]),
)
CHESSBOARD = Board.of("chessboard:7x6", 30, None, None)
CHARUCO = Board.of("charuco:7x5", 60, 45, "4x4_50")
SHOULDERS = Known(0.38, ("left_shoulder", "right_shoulder"))


def bouncing(seconds, **more):
    """(T, 17, 3) a walker who also bends the knees now and then, as people do."""
    body = rigs.walker(seconds, **more)
    body[..., 2] *= (1 - 0.06 * np.sin(3.1 * seconds + np.sin(seconds)) ** 2)[:, None]
    return body


def views_of(people, cameras, seconds, noise=2.0, seed=0):
    rng = np.random.default_rng(seed)
    return [
        rigs.seen(camera, f"cam{i}", people, seconds, rng, noise=noise)
        for i, camera in enumerate(cameras)
    ]


def relative(cameras):
    """(V, 3, 3) rotations from the first camera, and (V,) distances from it."""
    turns = np.stack([c.extrinsics[:3, :3] for c in cameras])
    centres = np.stack([c.centre for c in cameras])
    turned = turns @ turns[0].T
    return turned, np.linalg.norm(centres - centres[0], axis=1)


def assert_alike(found, truth, share, degrees):
    (a, far), (b, true_far) = relative(found), relative(truth)
    np.testing.assert_allclose(far[1:], true_far[1:], rtol=share)
    cosine = (np.einsum("vij,vij->v", a, b) - 1) / 2
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < degrees


# From people


@pytest.mark.parametrize(("count", "noise"), [(2, 1.0), (3, 2.0), (4, 2.0)])
def test_people_place_cameras(count, noise):
    """Distances of cameras within 1 %, rotations within 0.3 degrees."""
    cameras, seconds = rigs.cameras(count), np.arange(120) / 12
    views = views_of(rigs.walker(seconds)[None], cameras, seconds, noise)
    views = [replace(v, camera=replace(v.camera, extrinsics=None)) for v in views]
    placing = place_cameras(views, SHOULDERS)
    assert_alike(placing.cameras, cameras, 0.01, 0.3)
    far = relative(placing.cameras)[1] - relative(cameras)[1]
    assert (np.abs(far)[1:] < 4 * placing.place[1:]).all()
    assert all(0.3 * noise < np.median(errors) < 1.5 * noise for errors in placing.errors)
    # z is up, and the floor is below the people.
    heights = [camera.centre[2] for camera in placing.cameras]
    np.testing.assert_allclose(heights, 1.5 + 0.1 * np.arange(count), atol=0.2)


def test_two_people_and_exchanged_sides_place_cameras():
    cameras, seconds = rigs.cameras(3), np.arange(80) / 8
    two = np.stack([rigs.walker(seconds), rigs.walker(seconds, 1.0, 2.5)])
    views = views_of(two, cameras, seconds)
    views[1] = rigs.swap_sides(views[1], slice(30, 60))
    assert_alike(place_cameras(views, SHOULDERS).cameras, cameras, 0.01, 0.3)


def test_focal_lengths_are_estimated():
    cameras, seconds = rigs.cameras(4), np.arange(120) / 12
    views = views_of(rigs.walker(seconds)[None], cameras, seconds, noise=1.0)
    guessed = [replace(view, camera=Camera.view(rigs.SIZE, 65.0)) for view in views]
    assert guessed[0].camera.matrix[0, 0] == pytest.approx(1005, abs=1)
    placing = place_cameras(guessed, SHOULDERS, zooms=True)
    for camera, off in zip(placing.cameras, placing.zoom, strict=True):
        assert camera.matrix[0, 0] == pytest.approx(900, rel=0.015)
        assert 0 < off < 0.02
    assert_alike(placing.cameras, cameras, 0.02, 1)


def test_a_clock_is_found_without_a_rig():
    cameras, seconds = rigs.cameras(3), np.arange(300) / 30
    views = views_of(bouncing(seconds)[None], cameras, seconds)
    late = rigs.seen(
        cameras[1], "cam1", bouncing(seconds + 0.43)[None], seconds, np.random.default_rng(7)
    )
    placing = place_cameras([views[0], late, views[2]], SHOULDERS, find_offsets=3.0)
    assert placing.offsets[1] is not None
    assert placing.offsets[1].seconds == pytest.approx(0.43, abs=0.2 / 30)
    assert_alike(placing.cameras, cameras, 0.01, 0.3)


def test_a_body_height_gives_the_scale():
    """Of the made-up body, by the proportions that are said."""
    cameras, seconds = rigs.cameras(3), np.zeros(60) + np.arange(60) / 10
    views = views_of(rigs.walker(seconds)[None], cameras, seconds, noise=0.5)
    body = rigs.walker(seconds)
    chain = sum(
        np.median(np.linalg.norm(body[:, a] - body[:, b], axis=-1)) for a, b in ((13, 15), (11, 13))
    ) + np.median(np.linalg.norm(body[:, 5:7].mean(1) - body[:, 11:13].mean(1), axis=-1))
    placing = place_cameras(views, Known(float(chain) / 0.779))
    assert_alike(placing.cameras, cameras, 0.01, 0.3)
    assert "Winter" in placing.told[0]
    assert placing.place[1] > 0.03 * relative(cameras)[1][1]


def test_views_that_share_nothing_are_refused():
    cameras, seconds = rigs.cameras(2), np.arange(60) / 20
    one = views_of(rigs.walker(seconds)[None], cameras[:1], seconds)
    other = views_of(rigs.walker(seconds)[None], cameras[1:], seconds + 100)
    with pytest.raises(VitruvianError, match="share 60 keypoints"):
        place_cameras(one + other, SHOULDERS)


def test_the_slopes_of_the_bundle_are_those_of_its_residuals():
    rng = np.random.default_rng(0)
    turns = np.stack([np.eye(3), *(rotation_matrix(rng.normal(0, 0.5, 3)) for _ in range(2))])
    bundle = Bundle(
        turns, np.array([[0, 0, 0], [1.0, 0, 0.2], [0, 1.0, 0.1]]), np.ones(3),
        np.full((3, 2), 800.0), rng.normal((0, 0, 4), 0.3, (4, 3)), np.repeat([0, 1, 2], 4),
        np.tile(np.arange(4), 3), rng.normal(0, 0.1, (12, 2)), rng.uniform(0.5, 1, 12),
        np.array([[0, 1, 0], [2, 3, 1]]),
    )  # fmt: skip
    problem = _Problem(bundle, True)
    x = problem.x + rng.normal(0, 0.02, problem.size)
    steps = 1e-6 * np.eye(problem.size)
    slopes = [(problem.residuals(x + s) - problem.residuals(x - s)) / 2e-6 for s in steps]
    np.testing.assert_allclose(problem.slopes(x).toarray(), np.transpose(slopes), atol=1e-4)


# From boards


@pytest.fixture(scope="module")
def rays():
    return boards.fine_rays(LENS)


@pytest.mark.parametrize("board", [CHESSBOARD, CHARUCO], ids=["chessboard", "charuco"])
def test_a_board_gives_the_lens(board, rays):
    """Corners without a bias: half a pixel is where it belongs.

    ChArUco corners as OpenCV leaves them are 0.08 off here (root mean square).
    """
    rng, finder = np.random.default_rng(1), BoardFinder(board)
    views, off = [], []
    for i in range(14):
        pose = boards.placed(rng, board, 2.1 * board.columns * board.square)
        view = finder(boards.rendered(rays, board, *pose), i)
        if view is not None:
            views.append(view)
            true = LENS.project(board.corners @ pose[0].T + pose[1])
            off.append(view.xy - true[view.ids])
    assert len(views) > 9
    assert np.abs(np.concatenate(off).mean(axis=0)).max() < 0.02
    assert np.sqrt((np.concatenate(off) ** 2).mean()) < 0.07
    lens = calibrate_lens(views, board, SIZE, "cam")
    np.testing.assert_allclose(lens.camera.matrix, LENS.matrix, rtol=5e-3, atol=2)
    assert np.sqrt((lens.errors**2).mean()) < 0.1
    assert lens.focal_off < 0.01


def test_charuco_corners_are_the_same_in_all_versions_of_opencv(rays):
    """Before 4.14 they are half a pixel further (findings/opencv_charuco_half_pixel.sh)."""
    finder = BoardFinder(CHARUCO)
    pose = boards.placed(np.random.default_rng(1), CHARUCO, 1.2)
    image = boards.rendered(rays, CHARUCO, *pose)
    found = finder(image, 0)
    assert found is not None
    (form, detector), *_ = finder.detectors.items()

    def older(grey):
        corners, *more = detector.detectBoard(grey)
        return corners + 0.5, *more

    finder.detectors = {form: SimpleNamespace(detectBoard=older)}
    then = finder(image, 0)
    assert then is not None
    np.testing.assert_array_equal(then.ids, found.ids)
    np.testing.assert_allclose(then.xy, found.xy, atol=0.02)  # of REFINED, 0.001 a step


def test_few_and_frontal_views_are_warned_about(rays):
    rng, finder = np.random.default_rng(2), BoardFinder(CHARUCO)
    poses = [boards.placed(rng, CHARUCO, 1.0, tilt=0.05) for _ in range(6)]
    views = [finder(boards.rendered(rays, CHARUCO, *pose), 0) for pose in poses]
    lens = calibrate_lens([view for view in views if view], CHARUCO, SIZE, "left")
    said = " ".join(lens.warnings)
    for word in ("left: 6 views", "want 60 %", "tilt the board"):
        assert word in said
    with pytest.raises(VitruvianError, match="found in 1 image of 'left'"):
        calibrate_lens(views[:1], CHARUCO, SIZE, "left")  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def board_rig(tmp_path_factory):
    """Folders of images of three cameras that see a board, and the cameras."""
    folder, rng = tmp_path_factory.mktemp("boards"), np.random.default_rng(3)
    cameras = [replace(LENS, extrinsics=c.extrinsics, up=c.up) for c in rigs.cameras(3, radius=1.3)]
    rays = boards.fine_rays(LENS)
    z = np.array([0, 0, 0.9]) - np.mean([camera.centre for camera in cameras], axis=0)
    z /= np.linalg.norm(z)
    x = np.cross([0, 0, -1.0], z)
    x /= np.linalg.norm(x)
    facing = np.stack([x, np.cross(z, x), z], axis=1)
    for n in range(10):
        turn = facing @ rotation_matrix(rng.uniform(-0.4, 0.4, 3))
        place = (
            np.array([0, 0, 0.9]) + rng.uniform(-0.3, 0.3, 3) - turn @ CHARUCO.corners.mean(axis=0)
        )
        for i, camera in enumerate(cameras):
            assert camera.extrinsics is not None
            own = camera.extrinsics[:3, :3] @ turn
            image = boards.rendered(rays, CHARUCO, own, camera.from_world(place))
            path = folder / f"cam{i}" / f"{n:02}.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), image)
    lenses = {f"cam{i}": replace(camera, extrinsics=None) for i, camera in enumerate(cameras)}
    (folder / "lenses.toml").write_text(rig_toml(lenses, {}))
    return folder, cameras


WORDS = ("--board", "charuco:7x5", "--square-mm", 60, "--marker-mm", 45, "--dictionary", "4x4_50")


def test_one_board_places_several_cameras(board_rig):
    folder, truth = board_rig
    sources = [folder / f"cam{i}" for i in range(3)]
    out = folder / "rig.toml"
    lens = ("--intrinsics", folder / "lenses.toml")
    done = command("calibrate", *sources, *WORDS, *lens, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "1 m from cam0" not in done.stdout.splitlines()[0]
    assert "scale: from the squares of the board" in done.stdout
    assert "rig_setup.png" in done.stdout
    found = list(calibration_files.read(out).values())
    assert_alike(found, truth, 0.005, 0.2)
    for name in ("rig_coverage.png", "rig_setup.png"):
        picture = cv2.imread(str(folder / name))
        assert picture is not None
        assert picture.std() > 10
    again = command("calibrate", *sources, *WORDS, *lens, "--out", out)
    one_line(again, "exists (and 2 more); pass --overwrite")


def test_the_floor_is_where_the_board_lies(board_rig):
    folder, truth = board_rig
    sources = [folder / f"cam{i}" for i in range(3)]
    done = vit.calibrate(
        sources, board="charuco:7x5", square_mm=60, marker_mm=45, dictionary="4x4_50",
        intrinsics=folder / "lenses.toml", up="board", out=folder / "floor.toml",
    )  # fmt: skip
    assert done.placing is not None
    first = done.placing.world[: len(CHARUCO.corners)]
    np.testing.assert_allclose(first[:, 2], 0, atol=1e-3)
    assert_alike(done.placing.cameras, truth, 0.005, 0.2)
    for camera in done.placing.cameras:  # they look at its front
        assert camera.centre[2] > 0


def test_boards_of_other_times_are_refused(board_rig, tmp_path):
    folder, _ = board_rig
    for n, path in enumerate(sorted((folder / "cam1").glob("*.png"))):
        (tmp_path / f"{(n * 7 + 3) % 10:02}.png").write_bytes(path.read_bytes())
    sources = [folder / "cam0", tmp_path]
    with pytest.raises(VitruvianError, match="do not see the same board at the same time"):
        vit.calibrate(
            sources, board="charuco:7x5", square_mm=60, marker_mm=45, dictionary="4x4_50",
            intrinsics=folder / "lenses.toml", cameras="cam0,cam1", out=tmp_path / "rig.toml",
        )  # fmt: skip
    assert not (tmp_path / "rig.toml").exists()
    done = vit.calibrate(
        sources, board="charuco:7x5", square_mm=60, marker_mm=45, dictionary="4x4_50",
        cameras="cam0,cam1", place=False, out=tmp_path / "lenses.toml",
    )  # fmt: skip
    assert done.placing is None
    assert list(calibration_files.read(tmp_path / "lenses.toml")) == ["cam0", "cam1"]
    assert [path.name for path in done.files] == ["lenses.toml", "lenses_coverage.png"]


# The verb and the command


def test_records_of_people_become_a_rig_that_triangulates(tmp_path):
    seconds = np.arange(120) / 20
    truth = rigs.write(tmp_path, 3, seconds)
    sources = [tmp_path / f"cam0{i}.jsonl" for i in (1, 2, 3)]
    length = "left_shoulder,right_shoulder=0.38"
    lines = []
    done = vit.calibrate(
        sources, intrinsics=tmp_path / "rig.toml", length=length, out=tmp_path / "own.toml",
        say=lines.append,
    )  # fmt: skip
    assert list(done.cameras) == ["cam_01", "cam_02", "cam_03"]
    assert_alike(
        done.cameras.values(), calibration_files.read(tmp_path / "rig.toml").values(), 0.01, 0.3
    )
    assert any(line.startswith("up: from ankles to shoulders") for line in lines)
    found = vit.triangulate(sources, tmp_path / "own.toml", out=tmp_path / "walk.trc")
    (person,) = found.recording.people
    for a, b in ((0, 15), (5, 16), (9, 10)):
        ours = np.linalg.norm(person.world[:, a] - person.world[:, b], axis=-1)
        true = np.linalg.norm(truth[:, a] - truth[:, b], axis=-1)
        assert np.nanmedian(ours / true) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "what gives the scale"),
        ({"height": 178}, "height is 178, want metres"),
        ({"length": "left_hip=0.4"}, "want two keypoints or cameras"),
        ({"length": "left_hip,nose_tip=0.4"}, "no length between 'left_hip' and 'nose_tip'"),
        ({"height": 1.8, "up": "board"}, "up is 'board', want people or an axis"),
        ({"height": 1.8, "out": "rig.json"}, "written as .toml, not 'rig.json'"),
        ({"height": 1.8, "sync": "1"}, "seconds of 2 views"),
        ({"board": "9x6"}, "want chessboard:9x6"),
        ({"board": "chessboard:9x6"}, "measure a square of the printed board and give --square-mm"),
        ({"board": "charuco:5x7", "square_mm": 30}, "give --marker-mm"),
        ({"board": "charuco:5x7", "square_mm": 30, "marker_mm": 31}, "do not fit into squares"),
        ({"board": "charuco:5x7", "square_mm": 30, "marker_mm": 20}, "give --dictionary"),
        (
            {"board": "charuco:5x7", "square_mm": 30, "marker_mm": 20, "dictionary": "4x4_51"},
            "did you mean '4x4_50'",
        ),
        ({"board": "chessboard:9x6", "square_mm": 30, "height": 1.8}, "leave out --height"),
    ],
)
def test_wrong_words(tmp_path, words, message):
    rigs.write(tmp_path, 2, np.arange(8) / 10)
    sources = [tmp_path / "cam01.jsonl", tmp_path / "cam02.jsonl"]
    words = {"out": tmp_path / "x.toml", **words}
    with pytest.raises(VitruvianError, match=message):
        vit.calibrate(sources, **words)
    assert not (tmp_path / "x.toml").exists()


def test_an_offset_that_was_not_found_places_no_camera(tmp_path, monkeypatch):
    assert "not sure" in str(Offset(0.1, 0.2))
    assert "not sure" not in str(Offset(0.1, 0.1))
    rigs.write(tmp_path, 2, np.arange(8) / 10)
    placing = SimpleNamespace(
        cameras=rigs.cameras(2), offsets=[Offset(0.0, 0.0), Offset(0.7, 0.73)]
    )
    monkeypatch.setattr("vitruvian.verbs.calibrate.place_cameras", lambda *_, **__: placing)
    sources = [tmp_path / "cam01.jsonl", tmp_path / "cam02.jsonl"]
    with pytest.raises(
        VitruvianError, match=r"its offset was not found \(sharpness 0.73\).*--sync"
    ):
        vit.calibrate(sources, height=1.8, sync="movement", out=tmp_path / "rig_2.toml")
    assert not (tmp_path / "rig_2.toml").exists()


def test_a_chessboard_that_looks_the_same_upside_down_is_refused_for_several_cameras():
    board = Board.of("chessboard:7x7", 30, None, None)
    with pytest.raises(VitruvianError, match="looks the same upside down"):
        place_by_board([LENS, LENS], [[], []], board, ["a", "b"], 0.1, "-y")


def test_a_rotation_vector_is_undone_by_its_matrix():
    rng = np.random.default_rng(0)
    for angle in (0.0, 1e-9, 0.3, 3.0, np.pi - 1e-7, np.pi):
        axis = rng.normal(size=3)
        turned = rotation_matrix(axis / np.linalg.norm(axis) * angle)
        np.testing.assert_allclose(rotation_matrix(rotation_vector(turned)), turned, atol=1e-8)


def test_a_rig_is_read_as_it_was_written(tmp_path):
    cameras = {f"cam {i}": camera for i, camera in enumerate(rigs.cameras(2))}
    path = tmp_path / "rig.toml"
    path.write_text(rig_toml(cameras, {"from": 'a "board"'}))
    for name, camera in calibration_files.read(path).items():
        np.testing.assert_allclose(camera.matrix, cameras[name].matrix, atol=1e-9)
        points = np.eye(3)
        there = cameras[name].from_world(points)
        np.testing.assert_allclose(camera.from_world(points), there, atol=1e-9)
        np.testing.assert_allclose(camera.up, cameras[name].up, atol=1e-9)
