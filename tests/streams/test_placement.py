"""People put in front of the camera: where they stand, how steadily, and of frames of any kind."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import vitruvian as vit
from conftest import refused, stream_defaults, streamed
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry import calibration
from vitruvian.geometry.camera import Camera, rotation_matrix
from vitruvian.sources.open import Pictures, Span
from vitruvian.streams.live import Live
from vitruvian.streams.placement import Place, placed
from vitruvian.streams.wanted import Wanted

SIZE = (1280, 720)
HIPS = [BLAZEPOSE33["left_hip"], BLAZEPOSE33["right_hip"]]
# 2.2 m above the floor, looking 20 degrees down along the world's y axis; z is up there.
TILT = np.radians(20)
WORLD = np.eye(4)
WORLD[:3, :3] = [
    (1, 0, 0),
    (0, -np.sin(TILT), -np.cos(TILT)),
    (0, np.cos(TILT), -np.sin(TILT)),
]
WORLD[:3, 3] = -WORLD[:3, :3] @ (0, 0, 2.2)
CAMERA = Camera(
    np.array([[1100.0, 0, 660], [0, 1090, 350], [0, 0, 1]]),
    SIZE,
    np.array([-0.12, 0.03, 1e-3, -1e-3]),
).placed(WORLD, (0, 0, 1))


def crowd(rng: np.random.Generator, n: int, middle: np.ndarray | None = None) -> np.ndarray:
    """(n, 33, 3) metres from the camera: bodies of about 0.5 x 1.7 x 0.4 m, all in the image."""
    if middle is None:
        middle = rng.uniform((-0.3, -0.1, 1), (0.3, 0.1, 1), (n, 3)) * rng.uniform(3, 9, (n, 1))
    bodies = rng.uniform((-0.25, -0.85, -0.2), (0.25, 0.85, 0.2), (n, 33, 3))
    bodies[:, HIPS] = (0.12, 0, 0), (-0.12, 0, 0)
    bodies -= bodies.mean(axis=1, keepdims=True)
    return bodies + np.asarray(middle)[:, None]


def along(ray: np.ndarray) -> np.ndarray:
    """(3, 3) the shortest rotation of a (3,) direction onto the z axis."""
    ray = ray / np.linalg.norm(ray)
    axis = np.cross(ray, (0, 0, 1))
    return rotation_matrix(axis / np.linalg.norm(axis) * np.arccos(ray[2]))


def found(there: np.ndarray, camera: Camera = CAMERA, **more) -> Poses:
    """What a perfect model says of people: pixels, and metres from the hips as its crop sees them.

    A crop's axis is the line to the person, so that is where their z is.
    """
    n = len(there)
    places = zip(there, there.mean(axis=1), there[:, HIPS].mean(axis=1), strict=True)
    turned = [(body - hips) @ along(middle).T for body, middle, hips in places]
    xyz = np.array(turned, np.float32).reshape(n, 33, 3)
    xy = camera.project(there).astype(np.float32)
    low, high = xy.min(axis=1, initial=1e9), xy.max(axis=1, initial=-1e9)
    box = np.concatenate([low, high], axis=1).astype(np.float32)
    given = {"score": np.ones((n, 33), np.float32), "person": np.arange(1, n + 1), **more}
    return Poses(BLAZEPOSE33, xy, box=box, box_score=np.ones(n), xyz=xyz, origin="hips", **given)


def seen(camera: Camera | None = CAMERA, seconds: float = 0.0) -> Frame:
    """A frame without pixels."""
    return Frame(None, int(seconds * 30), seconds, "clip", camera, SIZE)


def stand(poses: Poses, camera: Camera | None = CAMERA) -> Any:
    """The poses of an image, put in front of its camera; `Any`: all their fields are there."""
    return Place()(seen(camera), poses)


# Where they stand


def test_people_are_put_where_they_stand(rng):
    """The pull towards depth 0 that keeps the solver calm costs a percent, see test_absolute."""
    there = crowd(rng, 20)
    got = stand(found(there))
    assert got.origin == "camera"
    np.testing.assert_allclose(got.xyz[..., 2], there[..., 2], rtol=0.02)
    np.testing.assert_allclose(got.xyz[..., :2], there[..., :2], atol=0.05)
    assert got.plausible.all()
    assert (got.error < 1.5).all()
    assert got.raw is None
    assert got.xyz.dtype == got.error.dtype == got.world.dtype == np.float32


def test_the_world_is_the_calibration_file_s(rng):
    """Two metres ahead on the floor is two metres ahead on the floor."""
    feet = np.array([[0.5, 6.0, 0.0]])
    there = crowd(rng, 1, CAMERA.from_world(feet))
    got = stand(found(there))
    np.testing.assert_allclose(got.world.mean(axis=1), feet, atol=0.1)
    np.testing.assert_allclose(CAMERA.from_world(got.world), got.xyz, atol=1e-5)
    nowhere = replace(CAMERA, extrinsics=None)
    assert stand(found(there), nowhere).world is None


def test_without_a_camera_55_degrees_are_assumed(rng):
    there = crowd(rng, 3)
    poses = found(there, Camera.view(SIZE))
    np.testing.assert_allclose(stand(poses, None).xyz, there, rtol=0.02, atol=0.05)


def test_depth_scales_with_the_focal_length(rng):
    """What docs/cameras.md promises of a camera nobody knows: twice the focal length, twice it."""
    camera = Camera.with_focal(SIZE, 1000)
    poses = found(crowd(rng, 10), camera)
    near, far = (
        stand(poses, Camera.with_focal(SIZE, focal)).xyz[:, HIPS].mean(axis=1)
        for focal in (1000, 2000)
    )
    # Not exactly: a larger focal length also means less perspective within the body.
    np.testing.assert_allclose(far[:, 2] / near[:, 2], 2, rtol=0.05)
    np.testing.assert_allclose(far[:, :2], near[:, :2], atol=0.1)


def test_nobody_has_a_part_in_where_somebody_else_is_put(rng):
    poses = found(crowd(rng, 6))
    together = stand(poses)
    for i in range(6):
        alone = stand(poses.take([i]))
        for name in ("xyz", "error", "plausible", "world"):
            got, want = getattr(together, name)[i], getattr(alone, name)[0]
            np.testing.assert_allclose(got, want, rtol=1e-6, err_msg=name)


def test_nobody_is_nobody_in_front_of_the_camera_too():
    got = stand(Poses.nobody(BLAZEPOSE33, "hips"))
    assert (len(got), got.origin) == (0, "camera")
    assert (got.xyz.shape, got.world.shape) == ((0, 33, 3), (0, 33, 3))
    assert (got.error.shape, got.plausible.shape) == ((0,), (0,))


def test_who_cannot_be_put_anywhere_is_nowhere_and_not_plausible(rng):
    poses = found(crowd(rng, 3))
    poses.xy[0] = np.nan
    poses.xy[1] = np.array(SIZE) - poses.xy[1]  # only a body behind the camera looks so
    got = stand(poses)
    np.testing.assert_array_equal(np.isnan(got.xyz).all(axis=(1, 2)), [True, True, False])
    np.testing.assert_array_equal(np.isnan(got.error), [True, True, False])
    assert got.plausible.tolist() == [False, False, True]
    assert np.isnan(got.world[:2]).all()


@pytest.mark.parametrize(("share", "believed"), [(0.02, True), (0.25, False)])
def test_a_body_that_does_not_fit_its_picture_is_not_plausible(share, believed, rng):
    """Joints are seen so far off, of the side of the box, in each direction."""
    poses = found(crowd(rng, 8))
    side = (poses.box[:, 2:] - poses.box[:, :2]).max(axis=1)
    off = rng.normal(0, share, poses.xy.shape) * side[:, None, None]
    got = stand(replace(poses, xy=(poses.xy + off).astype(np.float32)))
    assert (got.plausible == believed).all()


def test_a_picture_of_one_pixel_is_no_trouble():
    frame = Frame(np.zeros((1, 1, 3), np.uint8))
    poses = found(crowd(np.random.default_rng(0), 1), Camera.view((1, 1)))
    step: Any = Place()
    assert np.isfinite(step(frame, poses).xyz).all()
    got = step(frame, replace(poses, xy=np.full_like(poses.xy, 0.5)))  # all in one place
    assert got.plausible.tolist() == [False]


def test_who_stands_in_front_of_the_camera_already_is_left_there(rng):
    there = crowd(rng, 2).astype(np.float32)
    poses = replace(found(there), xyz=there, origin="camera", error=np.ones(2, np.float32))
    got = stand(poses)
    assert got.xyz is there
    assert got.error is poses.error
    assert got.plausible is None
    np.testing.assert_allclose(got.world, CAMERA.to_world(there))


def test_metres_from_the_hips_stay_so_unless_asked_for(rng):
    poses = found(crowd(rng, 2))
    assert Place(place=False)(seen(), poses) is poses
    flat = replace(poses, xyz=None, origin=None)
    assert stand(flat) is flat


# How steadily


def walk(
    rng: np.random.Generator, seconds: np.ndarray, speed: float = 0.0, jitter: float = 0.01
) -> Iterator[tuple[float, Any, float]]:
    """Poses of one person who stands, or walks towards the camera from 7 m on, and the truth.

    `jitter`: of the size that is seen, which is what makes distances jump.
    """
    body = crowd(rng, 1, np.array([[0.3, 0.1, 0.0]]))
    for at in seconds:
        there = body + np.array([0, 0, 7 - speed * at])
        poses = found(there)
        middle = poses.xy[:, HIPS].mean(axis=1, keepdims=True)
        poses.xy[:] = middle + (poses.xy - middle) * (1 + rng.normal(0, jitter))
        yield at, replace(poses, raw=poses), float(np.linalg.norm(there[0, HIPS].mean(axis=0)))


def distance(poses: Any) -> float:
    return float(np.linalg.norm(poses.xyz[0, HIPS].mean(axis=0)))


def test_a_distance_that_was_smoothed_jumps_less(rng):
    step: Any = Place()
    steady, jumpy = [], []
    for at, poses, _ in walk(rng, np.arange(120) / 30):
        got = step(seen(seconds=at), poses)
        steady.append(distance(got))
        jumpy.append(distance(got.raw))
        assert got.raw.origin == "camera"
        # Moved along the line of sight: a person stays where they are seen.
        assert got.error[0] < got.raw.error[0] + 2
    changes = [np.median(np.abs(np.diff(values))) for values in (jumpy, steady)]
    assert changes[0] > 0.05
    assert changes[1] < 0.35 * changes[0]
    assert np.std(steady) < 0.8 * np.std(jumpy)


def test_who_walks_is_hardly_late(rng):
    """At 1.4 m/s; 50 ms are 70 mm."""
    step: Any = Place()
    late = []
    for at, poses, truth in walk(rng, np.arange(90) / 30, speed=1.4, jitter=0.0):
        got = step(seen(seconds=at), poses)
        late.append(distance(got) - distance(got.raw))
        assert distance(got) == pytest.approx(truth, rel=0.03)
    assert 0 < np.mean(late[30:]) < 0.1


def test_smoothing_starts_anew_after_somebody_was_nowhere(rng):
    frames = list(walk(rng, np.arange(20) / 30, jitter=0.0))
    step: Any = Place()
    for i, (at, poses, _) in enumerate(frames):
        if i == 10:
            poses = replace(poses, xy=np.full_like(poses.xy, np.nan))
        if i > 10:  # twice as near, all at once
            poses = found(crowd(rng, 1, np.array([[0.1, 0.1, 3.5]])))
        got = step(seen(seconds=at), replace(poses, raw=poses))
        assert np.isnan(got.xyz).all() == (i == 10)
        if i == 11:
            assert distance(got) == pytest.approx(distance(got.raw), rel=1e-5)


def test_everyone_is_smoothed_by_themselves_and_who_has_no_number_not_at_all(rng):
    step: Any = Place()
    alone: Any = Place()
    got: Any = None
    ways = zip(walk(rng, np.arange(30) / 30), walk(rng, np.arange(30) / 30, 1.0), strict=True)
    for (at, one, _), (_, other, _) in ways:
        both = Poses.join(
            one, replace(other, person=np.array([2])), replace(one, person=one.person - 2)
        )
        got = step(seen(seconds=at), replace(both, raw=both))
        want = alone(seen(seconds=at), one)
        np.testing.assert_allclose(got.xyz[0], want.xyz[0], rtol=1e-5)
        np.testing.assert_array_equal(got.xyz[2], got.raw.xyz[2])
    assert not np.allclose(got.xyz[1], got.raw.xyz[1])


def test_one_who_stands_there_already_is_smoothed_if_poses_were(rng):
    step: Any = Place()
    got: Any = None
    was: Any = None
    for at, poses, _ in walk(rng, np.arange(30) / 30):
        was = placed(CAMERA, replace(poses, raw=None))
        got = step(seen(seconds=at), replace(was, raw=was))
    assert distance(got) != distance(was)
    np.testing.assert_allclose(CAMERA.to_world(got.xyz), got.world, atol=1e-5)
    assert got.error is was.error  # what the model says of itself


# In the loop


class Knows:
    """A model that knows where people are, and finds them perfectly."""

    name, weights, runs_on = "knows", dict[str, str](), "nothing"

    def __init__(self, there: np.ndarray, camera: Camera = CAMERA, **options) -> None:
        self.there, self.camera, self.options = there, camera, options
        self.wanted = stream_defaults(self.options)
        self.cameras: list[Camera | None] = []

    def __call__(self, frames, look=None):
        self.cameras += [frame.camera for frame in frames]
        nobody = np.full(len(self.there), -1)
        return [found(self.there, self.camera, person=nobody) for _ in frames]


class Flat(Knows):
    name = "flat"

    def __call__(self, frames, look=None):
        return [Poses.nobody(COCO17) for _ in frames]


@dataclass(frozen=True)
class Clip:
    """Ten frames; half of them, if `sizes` are two, of each size."""

    moving: bool = True
    live: bool = False
    name: str = "clip"
    sizes: tuple[tuple[int, int], ...] = (SIZE,)

    def __iter__(self):
        for i in range(10):
            yield Frame(None, i, i / 30, f"clip{i}", size=self.sizes[i % len(self.sizes)])

    def count(self):
        return 10


def all_of(source, model, *, absolute=False, **how) -> tuple[list[tuple[Any, Any]], list[str]]:
    """The results, and what was complained about."""
    faults: list[VitruvianError] = []
    how["wanted"] = Wanted(absolute=absolute)
    return list(streamed(source, model, faults.append, **how)), [str(fault) for fault in faults]


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("options", [{}, {"smooth": True}, {"track": False}])
def test_people_are_put_there_in_videos_and_in_pictures(moving, options, rng):
    there = crowd(rng, 3)
    model = Knows(there, **options)
    pairs, faults = all_of(Clip(moving), model, camera=CAMERA.scaled, absolute=True)
    assert (len(pairs), faults) == (10, [])
    for frame, poses in pairs:
        assert frame.camera is CAMERA
        assert poses.origin == "camera"
        np.testing.assert_allclose(poses.xyz[..., 2], there[..., 2], rtol=0.02)
    assert all(camera is CAMERA for camera in model.cameras)
    (first, *_), _ = all_of(Clip(moving), model)
    assert first[1].origin == "hips"


def test_a_model_without_3d_is_refused_and_others_are_named(rng):
    with refused("flat gives no 3D", "blazepose-full", "leave absolute out"):
        all_of(Clip(), Flat(crowd(rng, 1)), absolute=True)
    with pytest.raises(VitruvianError) as caught:
        all_of(Clip(moving=False), Flat(crowd(rng, 1)), absolute=True)
    assert "yolo" not in str(caught.value)
    assert len(all_of(Clip(), Flat(crowd(rng, 1)))[0]) == 10


def test_frames_of_any_size_have_the_same_field_of_view(rng):
    clip = Clip(moving=False, sizes=(SIZE, (480, 640)))
    pairs, faults = all_of(clip, Knows(crowd(rng, 1)), camera=calibration.given(fov_deg=90))
    assert faults == []
    for frame, _ in pairs:
        assert frame.camera.size == frame.size
        assert frame.camera.matrix[0, 0] == pytest.approx(max(frame.size) / 2)
        assert frame.camera.known_by == "fov"


def test_a_picture_of_another_shape_is_left_out_and_the_rest_is_done(rng):
    clip = Clip(moving=False, sizes=((640, 360), (480, 640)))
    pairs, faults = all_of(clip, Knows(crowd(rng, 1)), camera=calibration.given(CAMERA))
    assert [frame.index for frame, _ in pairs] == [0, 2, 4, 6, 8]
    assert len(faults) == 5
    assert "cannot use 'clip1': the camera is calibrated for 1280 x 720" in faults[0]
    # Half as large is the same camera.
    np.testing.assert_allclose(pairs[0][0].camera.matrix[:2], CAMERA.matrix[:2] / 2)


def test_a_video_of_another_shape_is_complained_about_once(rng):
    clip = Clip(sizes=((480, 640),))
    pairs, faults = all_of(clip, Knows(crowd(rng, 1)), camera=calibration.given(CAMERA))
    assert (pairs, len(faults)) == ([], 1)


def ran(source: object, model: object, **how: Any) -> list[tuple[Any, Any]]:
    """What `vit.run` gives."""
    run: Any = vit.run
    return list(run(source, model, **how))


def test_a_photograph_keeps_its_camera_unless_another_is_given(picture, rng):
    from PIL import Image

    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 36
    path = picture("a.jpg", np.zeros((240, 360, 3), np.uint8), exif=exif)
    source = Pictures((path, picture("b.png")), Span())
    pairs, _ = all_of(source, Knows(crowd(rng, 1)))
    assert [getattr(frame.camera, "known_by", None) for frame, _ in pairs] == ["exif", None]
    assert pairs[0][0].camera.matrix[0, 0] == pytest.approx(360)
    pairs, _ = all_of(source, Knows(crowd(rng, 1)), camera=calibration.given(focal=99))
    assert [frame.camera.matrix[0, 0] for frame, _ in pairs] == [99, 99]


def test_live_pictures_have_the_camera_too(rng):
    there, got, done = crowd(rng, 1), [], threading.Event()

    def on_result(frame, poses):
        got.append((frame, poses))
        done.set()

    model = Knows(there, track=False)
    with Live(
        model, on_result, camera=CAMERA.scaled, order="rgb", wanted=Wanted(absolute=True)
    ) as live:
        live.push(np.zeros((720, 1280, 3), np.uint8), 0.0)
        assert done.wait(10)
        with refused("cannot use 'live': the camera is calibrated for"):
            live.push(np.zeros((720, 720, 3), np.uint8), 1.0)
    ((frame, poses),) = got
    assert frame.camera is CAMERA
    np.testing.assert_allclose(poses.xyz[..., 2], there[..., 2], rtol=0.02)


def test_python_has_the_words_of_the_command_line(picture, rng):
    model, path = Knows(crowd(rng, 1), Camera.view((8, 6), 70)), picture("a.png")
    for words, focal in (({"fov_deg": 70}, None), ({"focal": 5.0}, 5.0), ({}, None)):
        ((frame, poses),) = ran(path, model, absolute=True, **words)
        assert poses.origin == "camera"
        if focal is not None:
            assert frame.camera.matrix[0, 0] == focal
    ((_, poses),) = ran(path, model, fov_deg=70, absolute=True)
    np.testing.assert_allclose(poses.xyz[..., 2], model.there[..., 2], rtol=0.02)
    with refused("fov_deg and focal"):
        vit.run(path, model, fov_deg=70, focal=5)
    with refused("fov_deg and focal"):
        vit.live(model, lambda *_: None, fov_deg=70, focal=5)


# With networks


@pytest.mark.weights
@pytest.mark.shared
def test_following_is_not_disturbed(blazepose, shared):
    """The same people, numbers, pixels and regions, with and without."""
    video = shared / "data" / "videos" / "sports2d_demo.mp4"
    both = [
        ran(video, blazepose("lite", num_poses=2), start=1.9, max_frames=12, absolute=on)
        for on in (False, True)
    ]
    for (_, before), (_, after) in zip(*both, strict=True):
        for name in ("xy", "score", "box", "person"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
        np.testing.assert_array_equal(before.look.centre, after.look.centre)
        assert (before.origin, after.origin) == ("hips", "camera")


@pytest.mark.weights
@pytest.mark.shared
def test_somebody_who_fills_the_picture_is_three_metres_away(blazepose, shared):
    """A woman of, say, 1.7 m lies 440 px long in an image of 1000 x 667 of unknown origin."""
    ((frame, poses),) = ran(shared / "data/images/pose.jpg", blazepose("full"), absolute=True)
    assert frame.camera is None
    assert poses.plausible.tolist() == [True]
    assert 2 < poses["left_hip"].xyz[0, 2] < 4.5
    assert poses.error[0] < 0.05 * (poses.box[0, 2:] - poses.box[0, :2]).max()
    back = Camera.view(frame.size).project(poses.xyz[0])
    seen_well = poses.score[0] > 0.9
    assert np.median(np.linalg.norm(back - poses.xy[0], axis=1)[seen_well]) < 12


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_four_cameras_see_a_person_where_the_person_is(blazepose, shared, number):
    """Pose2Sim's demo, triangulated: the hips are found within half a metre, 3.3 m away.

    One view alone knows neither how tall somebody is nor, by more than 0.1 to 0.2 m, how far. A
    wrong axis, sign or unit makes it metres.
    """
    folder = shared / "data" / "pose2sim"
    trial = folder / "single_balancing" / "trc" / "S00_P00_T01_BalancingTrial_0-100.trc"
    lines = trial.read_text().splitlines()
    names = [name for name in lines[3].split("\t")[2:] if name]
    row = np.array([float(x) for x in lines[5].split("\t")[2:65]]).reshape(-1, 3)
    hips = row[[names.index("RHip"), names.index("LHip")]].mean(axis=0)[[2, 0, 1]]
    pairs = ran(
        folder / "single_balancing" / "videos" / f"cam0{number}.mp4",
        blazepose("full"),
        camera=f"{folder / 'calibration' / 'Calib_qualisys.toml'}:cam_0{number}",
        max_frames=1,
        absolute=True,
    )
    ((frame, poses),) = pairs
    assert frame.camera.known_by == "file"
    assert poses.plausible.tolist() == [True]
    assert np.linalg.norm(poses.world[0, HIPS].mean(axis=0) - hips) < 0.5


@pytest.mark.weights
@pytest.mark.shared
def test_a_portrait_picture_is_looked_at_along_its_longer_side(blazepose, shared):
    """The same image on its side: the same distance, as the field of view is the same."""
    frame = Frame.read(shared / "data/images/pose.jpg")
    turned = Frame(np.ascontiguousarray(np.rot90(frame.rgb)))
    model = blazepose("full")
    far = [Place()(each, model([each])[0]) for each in (frame, turned)]
    assert distance(far[1]) == pytest.approx(distance(far[0]), rel=0.15)
