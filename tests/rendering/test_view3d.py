"""Views in 3D: the floor is under the feet, the camera sees its image, a metre is a metre."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from mpl_toolkits.mplot3d.proj3d import proj_transform
from PIL import Image

from conftest import TOY, refused, stopped
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera, rotation_matrix
from vitruvian.rendering.draw import COLOURS
from vitruvian.rendering.scene import Scene
from vitruvian.rendering.view3d import SIZE, Stage, floor_lines
from vitruvian.verbs import outputs
from vitruvian.verbs.outputs import open_sink

FEET = [k for k, name in enumerate(BLAZEPOSE33.keypoints) if "heel" in name or "foot" in name]
TILTED = rotation_matrix(np.array([-0.3, 0.0, 0.1]))  # from upright axes to a camera's
MOVED = np.block([[TILTED, np.array([[0.2], [1.0], [3.0]])], [np.zeros((1, 3)), np.ones((1, 1))]])


@pytest.fixture
def standing(people, rng: np.random.Generator) -> Callable[..., Poses]:
    """`standing([(x, z)], 1.4)`: people on a floor 1.4 m below the camera, which is held level."""

    def make(places: list[tuple[float, float]], height: float = 1.4, **fields: Any) -> Poses:
        xyz = rng.uniform(-0.3, 0.3, (len(places), 33, 3))
        xyz[..., 1] = rng.uniform(0.2, 1.7, xyz.shape[:2]) - 1.7  # above the floor
        xyz[:, FEET, 1] = 0
        xyz += np.reshape([(x, height, z) for x, z in places], (-1, 1, 3))
        given = {"xyz": xyz.astype(np.float32), "origin": "camera", **fields}
        return people(len(places), BLAZEPOSE33, **given)

    return make


def scene(*pairs: tuple[Frame, Poses]) -> Scene:
    """Of frames and their poses."""
    made = Scene(0.5)
    for pair in pairs:
        made.add(*pair)
    return made


def taken(frame: Frame, camera: Camera) -> Frame:
    """The frame, with a camera."""
    return replace(frame, camera=camera)


# Where everything is


def test_right_away_and_up_of_a_level_camera(frame, standing):
    shown = scene((frame(), standing([(0, 3)])))
    np.testing.assert_allclose(shown.axes, [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-12)


@pytest.mark.parametrize("up", [(0.1, -0.9, -0.4), (1, 0, 0), (0, 0, 1), (0, 0, -3), (0, 1, 0)])
def test_up_is_up_however_the_camera_is_held(up, frame, standing):
    camera = replace(Camera.view((64, 48)), up=np.array(up, float))
    axes = scene((taken(frame(), camera), standing([(0, 3)]))).axes
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    np.testing.assert_allclose(axes @ up, [0, 0, float(np.linalg.norm(up))], atol=1e-12)
    assert (axes @ (0, 0, 1))[0] == pytest.approx(0)  # it looks neither right nor left


def test_the_floor_of_a_tilted_camera_is_level(frame, standing):
    """Whoever stands on it, wherever, has the feet on it."""
    level = standing([(-2, 3), (1, 7), (3, 12)])
    camera = replace(Camera.view((64, 48)), up=TILTED @ (0, -1, 0))
    tilted = replace(level, xyz=(level.xyz @ TILTED.T).astype(np.float32))
    shown = scene((taken(frame(), camera), tilted))
    assert shown.floor == pytest.approx(-1.4, abs=1e-5)
    feet = shown.stand(shown.moments[0])[:, FEET, 2]
    np.testing.assert_allclose(feet, -1.4, atol=1e-5)


def test_the_floor_is_below_the_lowest_foot_that_is_seen(frame, standing):
    poses = standing([(0, 3), (1, 4)])
    poses.xyz[1, FEET[0], 1] += 0.2
    assert scene((frame(), poses)).floor == pytest.approx(-1.6, abs=1e-5)
    poses.score[1, FEET[0]] = 0.2  # guessed
    assert scene((frame(), poses)).floor == pytest.approx(-1.4, abs=1e-5)
    poses.score[:] = 0.2  # all of them: better than nothing
    assert scene((frame(), poses)).floor == pytest.approx(-1.6, abs=1e-5)
    impossible = replace(poses, plausible=np.array([True, False]))
    assert scene((frame(), impossible)).floor == pytest.approx(-1.4, abs=1e-5)


def test_one_foot_in_hundreds_of_frames_is_no_floor(frame, standing):
    pairs = [(frame(i, i / 30), standing([(0, 3)])) for i in range(200)]
    pairs[77][1].xyz[:, FEET[0], 1] += 0.9
    shown = scene(*pairs)
    assert shown.floor == pytest.approx(-1.4, abs=1e-5)
    assert shown.bounds[0, 2] == pytest.approx(-1.4, abs=1e-5)


@pytest.mark.parametrize("bent", [0.0, -0.1])
@pytest.mark.parametrize("in_world", [False, True])
def test_the_corners_of_the_camera_are_those_of_its_picture(bent, in_world, frame, standing):
    camera = replace(Camera.view((64, 48), 70), distortion=np.array([bent]))
    poses = standing([(0, 3), (1, 4)])
    if in_world:
        camera = camera.placed(MOVED)
        poses = replace(poses, world=camera.to_world(poses.xyz))
    shown = scene((taken(frame(), camera), poses))
    assert shown.frustum is not None
    points = shown.frustum @ shown.axes  # back to the axes of the records
    if in_world:
        points = camera.from_world(points)
    np.testing.assert_allclose(points[0], 0, atol=1e-9)
    assert np.ptp(points[1:, 2]) < 1e-9  # all at the same depth, before the nearest person
    assert 0 < points[1, 2] < 2
    corners = camera.project(points[1:])
    np.testing.assert_allclose(corners, [(0, 0), (64, 0), (64, 48), (0, 48)], atol=1e-6)


def test_a_lens_that_shows_nothing_in_the_corners_is_drawn_without(frame, standing):
    camera = replace(Camera.view((64, 48), 70), distortion=np.array([-0.3]))
    pair = standing([(0, 3)])
    bent, straight = (
        scene((taken(frame(), each), pair)) for each in (camera, Camera.view((64, 48), 70))
    )
    assert bent.frustum is not None
    assert straight.frustum is not None
    np.testing.assert_allclose(bent.frustum, straight.frustum)


def test_nobody_knows_the_camera_of_metres_from_the_hips(frame, people):
    assert scene((frame(), people(2, everything=True))).frustum is None


def test_in_the_world_people_stand_where_they_are(frame, standing):
    camera = Camera.view((64, 48)).placed(MOVED)
    poses = standing([(0, 3), (1, 5)])
    poses = replace(poses, world=camera.to_world(poses.xyz))
    shown = scene((taken(frame(), camera), poses))
    assert poses.world is not None
    up = shown.axes[2]
    np.testing.assert_allclose(up, MOVED[:3, :3].T @ camera.up, atol=1e-12)
    np.testing.assert_allclose(shown.stand(shown.moments[0]), poses.world @ shown.axes.T, atol=1e-5)


def test_bodies_without_a_place_stand_side_by_side(frame, people):
    box = np.array([[40, 0, 50, 9], [5, 0, 15, 9], [20, 0, 30, 9]], np.float32)
    poses = people(3, everything=True, box=box, world=None)
    shown = scene((frame(), poses))
    (moment,) = shown.moments
    assert moment.place.tolist() == [2, 0, 1]  # from the left, as in the image
    right = shown.stand(moment)[np.argsort(moment.place), :, 0]
    assert (right[:-1].max(axis=1) < right[1:].min(axis=1)).all()
    np.testing.assert_allclose(
        shown.stand(moment)[..., 1:], (poses.xyz @ shown.axes.T)[..., 1:], atol=1e-6
    )


def test_who_stays_keeps_the_place(frame, people):
    box = np.array([[5, 0, 15, 9], [20, 0, 30, 9], [40, 0, 50, 9]], np.float32)
    poses = people(3, everything=True, box=box, world=None)
    pairs = [poses, poses.take([2, 1]), poses.take([0, 2]), Poses.nobody(TOY, "hips")]
    places = [moment.place.tolist() for moment in scene(*[(frame(), p) for p in pairs]).moments]
    assert places == [[0, 1, 2], [2, 1], [0, 2], []]


def test_frames_of_nobody_say_nothing_of_where_metres_begin(frame, standing):
    somebody = standing([(0, 3)])
    pairs = [Poses.nobody(BLAZEPOSE33, "hips"), somebody, Poses.nobody(BLAZEPOSE33, "hips")]
    shown = scene(*[(frame(i, i / 10), poses) for i, poses in enumerate(pairs)])
    assert shown.space == "camera"
    assert [len(moment.person) for moment in shown.moments] == [0, 1, 0]


# Drawn


def pixels(stage: Stage, panel: int, xyz: np.ndarray) -> np.ndarray:
    """(..., 2) column and row of the image where (..., 3) right, away, up are drawn."""
    axes = stage.panels[panel].axes
    right, away, up = xyz.reshape(-1, 3).T
    x, y, _ = proj_transform(right, away, up, axes.get_proj())
    at = axes.transData.transform(np.stack([x, y], axis=-1))
    return np.stack([at[:, 0], SIZE[1] - at[:, 1]], axis=-1).reshape(*xyz.shape[:-1], 2)


def test_a_metre_is_as_long_in_every_direction(frame, standing):
    """From above, without perspective; and in the box of the other view."""
    stage = Stage(scene((frame(), standing([(-1, 3), (2, 9)]))), timed=False)
    origin, right, away = pixels(stage, 1, np.array([[0, 4, 0], [1, 4, 0], [0, 5, 0]], float))
    np.testing.assert_allclose((right - origin)[1], 0, atol=1e-6)
    np.testing.assert_allclose((away - origin)[0], 0, atol=1e-6)
    assert (right - origin)[0] == pytest.approx((origin - away)[1])
    for panel in stage.panels:
        low, high = np.array(
            [panel.axes.get_xlim(), panel.axes.get_ylim(), panel.axes.get_zlim()]
        ).T
        assert np.ptp((high - low) / panel.axes._box_aspect) < 1e-9


def test_everybody_is_drawn_in_the_colours_of_their_sides(frame, people):
    xyz = np.array([[[0, -0.5, 3], [0.5, 0, 3], [-0.5, 0, 3]]], np.float32)
    xyz = np.concatenate([xyz, xyz + np.array([1.5, 0, 2], np.float32)])
    poses = people(2, xyz=xyz, origin="camera")
    shown = scene((frame(), poses))
    stage = Stage(shown, timed=False)
    image = stage(shown.moments[0])
    assert image.shape == (SIZE[1], SIZE[0], 3)
    for panel in (0, 1):
        at = pixels(stage, panel, shown.stand(shown.moments[0])).astype(int)
        for k, side in ((1, "left"), (2, "right")):
            for x, y in at[:, k]:
                np.testing.assert_allclose(image[y, x], COLOURS[side], atol=2)
    # Without the second person their place is empty.
    alone = stage(scene((frame(), poses.take([0]))).moments[0])
    x, y = pixels(stage, 0, shown.stand(shown.moments[0]))[1, 1].astype(int)
    assert alone[y, x].min() > 150


def test_everything_that_is_drawn_is_in_the_picture(frame, standing):
    shown = scene((frame(), standing([(-4, 3), (2, 15), (0, 4)])))
    stage = Stage(shown, timed=False)
    assert shown.frustum is not None
    everything = np.concatenate([shown.stand(shown.moments[0]).reshape(-1, 3), shown.frustum])
    for panel in (0, 1):
        at = pixels(stage, panel, everything)
        assert (at > (panel * SIZE[0] / 2, 0)).all()
        assert (at < ((panel + 1) * SIZE[0] / 2, SIZE[1])).all()


@pytest.mark.parametrize("n", [0, 1, 9])
def test_words_and_numbers_of_the_axes_do_not_overlap(n, frame, standing, people):
    """Of people far away from the camera, and in a row, from their hips."""
    many = people(max(n, 2), BLAZEPOSE33)
    xyz = np.random.default_rng(2).uniform(-0.4, 0.9, (len(many), 33, 3)).astype(np.float32)
    row = replace(many, xyz=xyz, origin="hips").take(slice(n))
    shown = scene((frame(), row if n else standing([(-4, 3), (2, 15)])))
    for panel in Stage(shown, timed=False).panels:
        numbers, names = list[Any](), list[Any]()
        for axis in (panel.axes.xaxis, panel.axes.yaxis, panel.axes.zaxis):
            low, high = axis.get_view_interval()
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            written = [tick.label1 for tick in ticks if tick.label1.get_text()]
            numbers += [text.get_window_extent().shrunk(0.9, 0.9) for text in written]
            names += [axis.label.get_window_extent()] if axis.label.get_text() else []
        assert len(numbers) > 2
        assert not any(a.overlaps(b) for k, a in enumerate(numbers) for b in numbers[:k])
        between = [np.subtract((a.x0 + a.x1, a.y0 + a.y1), (b.x0 + b.x1, b.y0 + b.y1)) / 2
                   for a in names for b in numbers]  # fmt: skip
        assert np.hypot(*np.array(between).T).min() > 15


def test_lines_of_the_floor_lie_on_it_within_what_is_shown():
    low, high = np.array([-1.2, 0.3, -5]), np.array([2.2, 4.1, 3])
    lines = np.array(list(floor_lines(low, high, -1.4, 1.0)))
    assert len(lines) == 4 + 4  # right -1 0 1 2, away 1 2 3 4
    assert (lines[..., 2] == -1.4).all()
    assert (lines[..., :2] >= low[:2]).all()
    assert (lines[..., :2] <= high[:2]).all()


UNEVEN = [0.0, 0.04, 0.08, 0.2, 0.24]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_has_its_frames_and_times_and_stays_where_it_is(suffix, tmp_path, frame, standing):
    path = tmp_path / f"a_3d{suffix}"
    with open_sink(path) as sink:
        for i, seconds in enumerate(UNEVEN):
            place = [(i - 2.0, 3.0 + i)]
            sink.write(frame(i, 1 + seconds), standing(place) if i != 2 else standing([]))
    assert sink.paths == [path]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    assert [picture.time for picture in pictures] == pytest.approx(UNEVEN, abs=1e-3)
    images = np.array([picture.to_ndarray(format="rgb24") for picture in pictures], int)
    assert images.shape[1:] == (SIZE[1], SIZE[0], 3)
    # Most of it, with the numbers at the axes, is the same in all frames; the people are not.
    apart = np.abs(images - images[2]).max(axis=-1) > 40  # nobody is in the third one
    assert apart.any(axis=(1, 2)).tolist() == [True, True, False, True, True]
    assert apart.mean(axis=(1, 2)).max() < 0.05
    assert not (apart[0] & apart[4]).sum() > 0.5 * apart[0].sum()


def test_a_gif_has_its_frames_and_their_time(tmp_path: Path, frame, standing):
    path = tmp_path / "a_3d.gif"
    times = [*UNEVEN, 0.25, 0.3]  # one of them a hundredth after another: left out
    with open_sink(path) as sink:
        for i, seconds in enumerate(times):
            sink.write(frame(i, seconds), standing([(i / 3, 3)]))
    with Image.open(path) as picture:
        lengths = []
        for i in range(picture.n_frames):  # type: ignore[attr-defined]
            picture.seek(i)
            lengths.append(picture.info["duration"])
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    assert lengths[:-1] == [40, 40, 120, 40, 60]
    assert len(lengths) == 6
    for side in ("left", "right"):
        assert (np.abs(colours - COLOURS[side]).max(axis=-1) < 12).sum() > 20


# Files

VIEWS = ("a.html", "a_3d.png", "a_3d.jpg", "a_3d.mp4", "a_3d.gif")


@pytest.mark.parametrize("name", VIEWS)
def test_names_say_what_is_a_view_in_3d(name):
    assert outputs.format_of(Path(name)) in (outputs.PLOT, outputs.HTML)
    assert outputs.is_file(Path(name))
    assert outputs.format_of(Path("a.png")) is outputs.VIDEO
    assert outputs.format_of(Path("a_3d.csv")).name == "csv"


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_made_when_there_is_something_to_see(name, tmp_path: Path, frame, people):
    with open_sink(tmp_path / "in" / name) as sink:
        pass
    assert sink.paths == list(tmp_path.iterdir()) == []
    with refused("2D keypoints only", "blazepose-full"), open_sink(tmp_path / name) as sink:
        sink.write(frame(), people())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", VIEWS)
def test_what_was_seen_before_the_user_stopped_it_is_a_whole_file(name, tmp_path, frame, people):
    path = tmp_path / name
    path.write_text("mine")
    with refused(f"'{path}' exists"):
        open_sink(path)
    sink = open_sink(path, overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        stopped(sink, (frame(), people(everything=True)))
    assert list(tmp_path.iterdir()) == sink.paths == [path]
    assert path.stat().st_size > 1000


def test_a_picture_in_3d_holds_one_picture(tmp_path: Path, frame, people):
    with refused("holds one image"), open_sink(tmp_path / "a_3d.png") as sink:
        for i in range(2):
            sink.write(frame(i), people(everything=True))


def test_a_gif_must_be_named_as_a_view(tmp_path: Path):
    with refused("'", "name it 'a_3d.gif'"):
        open_sink(tmp_path / "a.gif")


@pytest.mark.parametrize("n", [1, 4, 8])
def test_people_fill_the_picture_however_many_there_are(n):
    """Ink of bones from the left to the right of a view: not a stripe in an empty image."""
    rng = np.random.default_rng(3)
    body = rng.uniform((-0.4, -0.9, -0.2), (0.4, 0.9, 0.2), (1, 33, 3)).astype(np.float32)
    xyz = np.repeat(body, n, axis=0)
    ones = np.ones((n, 33), np.float32)
    box = np.stack([np.arange(n) * 10, np.zeros(n), np.arange(n) * 10 + 9, np.full(n, 9)], axis=1)
    poses = Poses(
        BLAZEPOSE33,
        np.zeros((n, 33, 2), np.float32),
        ones,
        box.astype(np.float32),
        ones[:, 0],
        np.arange(1, n + 1),
        xyz=xyz,
        origin="hips",
    )
    scene = Scene(0.5)
    scene.add(Frame(np.zeros((48, 64, 3), np.uint8)), poses)
    image = Stage(scene, timed=False)(scene.moments[0])
    blue = np.abs(image.astype(int) - COLOURS["left"]).sum(axis=-1) < 30
    tall, wide = (np.ptp(np.flatnonzero(blue.any(axis=axis))) for axis in (1, 0))
    assert wide > image.shape[1] / 2
    assert tall > image.shape[0] / 3
