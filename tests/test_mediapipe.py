"""`vitruvian.mediapipe`: what old programs call, and MediaPipe 0.10.21's own numbers."""

from __future__ import annotations

import copy
import importlib
import pickle
import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vitruvian as vit
import vitruvian.mediapipe as mp
from conftest import absent, refused
from test_layers import loaded
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.mediapipe.follow import Everyone, OnePerson
from vitruvian.mediapipe.framework.formats import landmark_pb2
from vitruvian.mediapipe.tasks import python
from vitruvian.mediapipe.tasks.python import vision
from vitruvian.models.zoo import DETECTOR, entry
from vitruvian.weights import download
from vitruvian.weights.task_bundle import unpack_pose_task

drawing, styles, pose = mp.solutions.drawing_utils, mp.solutions.drawing_styles, mp.solutions.pose
IMAGE, VIDEO, LIVE = vision.RunningMode


@pytest.fixture(scope="session")
def bundle(blazepose: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .task file of the official networks."""
    blazepose("full")
    path = tmp_path_factory.mktemp("task") / "pose_landmarker_full.task"
    detector, landmarks = download.fetch([DETECTOR, *entry("blazepose-full").files[1:]])
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(detector, "pose_detector.tflite")
        archive.write(landmarks, "pose_landmarks_detector.tflite")
    return path


@pytest.fixture(scope="session")
def photo(shared: Path) -> np.ndarray:
    """One person, RGB."""
    return vit.Frame.read(shared / "data/images/pose.jpg").rgb


def options(bundle: Path | str = "a.task", **more: Any) -> vision.PoseLandmarkerOptions:
    base = python.BaseOptions(model_asset_path=str(bundle))
    return vision.PoseLandmarkerOptions(base_options=base, **more)


def image(rgb: np.ndarray) -> mp.Image:
    return mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb)


# Where things are


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("", "solutions"),
        ("", "ImageFormat"),
        ("solutions", "drawing_styles"),
        ("solutions.pose", "Pose"),
        ("python.solutions", "pose"),
        ("python.solutions.pose", "PoseLandmark"),
        ("python.solutions.pose_connections", "POSE_CONNECTIONS"),
        ("python.solutions.drawing_utils", "draw_landmarks"),
        ("framework.formats", "landmark_pb2"),
        ("tasks", "BaseOptions"),
        ("tasks.python", "vision"),
        ("tasks.python.core.base_options", "BaseOptions"),
        ("tasks.python.vision", "PoseLandmarker"),
        ("tasks.python.vision", "drawing_utils"),
        ("tasks.python.vision.pose_landmarker", "PoseLandmarkerOptions"),
        ("tasks.python.vision.core.vision_task_running_mode", "VisionTaskRunningMode"),
        ("tasks.python.vision.core.image_processing_options", "ImageProcessingOptions"),
        ("tasks.python.components.containers", "landmark"),
        ("tasks.python.components.containers.landmark", "NormalizedLandmark"),
    ],
)
def test_modules_are_where_mediapipe_has_them(module, name):
    found = importlib.import_module(f"vitruvian.mediapipe.{module}".rstrip("."))
    assert getattr(found, name) is not None
    reached: Any = mp
    for part in module.split(".") if module else []:
        reached = getattr(reached, part)
    assert getattr(reached, name) is getattr(found, name)


def test_an_alias_can_be_imported_first_and_nothing_heavy_comes_with_it():
    code = "from vitruvian.mediapipe.python.solutions.pose import Pose"
    assert not loaded(code) & {"torch", "openvino", "matplotlib", "google", "mediapipe"}
    code = "import vitruvian.cli.app, sys; assert 'vitruvian.mediapipe' not in sys.modules"
    assert "typer" in loaded(code)


@pytest.mark.parametrize(
    "use",
    [
        lambda: mp.solutions.hands.Hands(),  # type: ignore
        lambda: mp.solutions.face_detection.FaceDetection(),  # type: ignore
        lambda: mp.solutions.objectron.BOX_CONNECTIONS.x,  # type: ignore
        lambda: mp.solutions.face_mesh.FaceMesh(),  # type: ignore
        lambda: vision.HandLandmarker.create_from_options(None),  # type: ignore
        lambda: drawing.draw_detection(np.zeros((4, 4, 3)), None),  # type: ignore
    ],
)
def test_what_is_not_here_says_so_where_it_is_used(use):
    with refused("vitruvian.mediapipe has no", "use MediaPipe itself"):
        use()


def test_a_stand_in_is_no_python_object_of_another_kind():
    assert not hasattr(mp.solutions.face_detection, "__wrapped__")  # type: ignore
    assert not hasattr(vision.HandLandmarker, "__len_hint__")
    assert "not in vitruvian" in repr(vision.HandLandmarker)
    assert not hasattr(mp, "nothing")


def test_landmarks_have_mediapipes_names_and_numbers():
    assert [each.name.lower() for each in pose.PoseLandmark] == list(BLAZEPOSE33.keypoints)
    assert pose.PoseLandmark.LEFT_HIP == 23
    assert len(pose.POSE_CONNECTIONS) == 35
    assert {(27, 31), (11, 23), (9, 10)} < pose.POSE_CONNECTIONS
    assert len(mp.solutions.hands.HAND_CONNECTIONS) == len(mp.solutions.hands.HandLandmark) == 21
    assert {(0, 17), (5, 9), (19, 20)} < mp.solutions.hands.HAND_CONNECTIONS
    face = mp.solutions.face_mesh
    assert (len(face.FACEMESH_CONTOURS), len(face.FACEMESH_IRISES)) == (124, 8)
    assert face.FACEMESH_LIPS | face.FACEMESH_FACE_OVAL < face.FACEMESH_CONTOURS
    edges = mp.solutions.holistic.FACEMESH_TESSELATION
    assert len(edges) == 2556
    assert len({frozenset(edge) for edge in edges}) == 1322
    assert {each for edge in edges for each in edge} == set(range(face.FACEMESH_NUM_LANDMARKS))
    bones = vision.PoseLandmarksConnections.POSE_LANDMARKS
    assert {(bone.start, bone.end) for bone in bones} == pose.POSE_CONNECTIONS


@pytest.mark.shared
def test_connections_of_a_face_are_mediapipes(shared):
    with np.load(shared / "golden/holistic_static.npz") as golden:
        for name in ("tesselation", "contours", "lips", "left_eye", "right_eye", "left_eyebrow",
                     "right_eyebrow", "face_oval", "left_iris", "right_iris"):  # fmt: skip
            found = getattr(mp.solutions.face_mesh, f"FACEMESH_{name.upper()}")
            assert set(found) == {(a, b) for a, b in golden[f"connections/face_{name}"].tolist()}, (
                name
            )


# Messages


def test_a_landmark_is_a_message():
    point = landmark_pb2.NormalizedLandmark(x=0.1, y=1, visibility=np.float32(0.25))
    assert point.x == float(np.float32(0.1))
    assert (point.z, point.presence) == (0, 0)
    assert point.HasField("x")
    assert not point.HasField("presence")
    assert str(point) == "x: 0.1\ny: 1\nvisibility: 0.25\n"
    assert [field.name for field, _ in point.ListFields()] == ["x", "y", "visibility"]
    other = landmark_pb2.NormalizedLandmark()
    other.CopyFrom(point)
    assert other == point
    other.z = 0.463277131
    assert "z: 0.463277131\n" in str(other)
    assert other != point
    other.ClearField("z")
    assert other == point == copy.deepcopy(point) == pickle.loads(pickle.dumps(point))
    assert point != landmark_pb2.Landmark(x=0.1, y=1, visibility=0.25)


def test_a_list_of_landmarks_is_a_message():
    made = landmark_pb2.NormalizedLandmarkList()
    assert made.landmark == []
    point = landmark_pb2.NormalizedLandmark(x=0.5)
    made.landmark.extend([point, point])
    made.landmark.add(x=0.25).y = 2
    point.x = 7  # copies are kept
    assert [each.x for each in made.landmark] == [0.5, 0.5, 0.25]
    assert made.landmark[pose.PoseLandmark.LEFT_EYE_INNER].x == 0.5
    assert len(made.landmark[0:2]) == 2
    assert str(made).endswith("landmark {\n  x: 0.25\n  y: 2\n}\n")
    other = landmark_pb2.NormalizedLandmarkList(landmark=made.landmark)
    assert other == made == copy.deepcopy(made) == pickle.loads(pickle.dumps(made))
    other.landmark[0].x = 3
    assert other != made
    made.CopyFrom(other)
    assert made == other


@pytest.mark.parametrize(
    ("error", "act"),
    [
        (ValueError, lambda p, _: landmark_pb2.Landmark(q=1)),
        (ValueError, lambda p, _: p.HasField("q")),
        (AttributeError, lambda p, _: p.q),
        (AttributeError, lambda p, _: setattr(p, "q", 1)),
        (TypeError, lambda p, _: setattr(p, "x", "a")),
        (TypeError, hash),
        (TypeError, lambda _, many: many.landmark.__setitem__(0, None)),
        (TypeError, lambda _, many: many.landmark.extend([1])),
        (AttributeError, lambda _, many: setattr(many, "landmark", [])),
        (TypeError, lambda _, many: landmark_pb2.LandmarkList().CopyFrom(many)),
        (IndexError, lambda _, many: many.landmark[0]),
        (TypeError, lambda _, many: len(many)),
    ],
)
def test_messages_refuse_what_protocol_buffers_do(error, act):
    given = landmark_pb2.NormalizedLandmark(), landmark_pb2.NormalizedLandmarkList()
    with pytest.raises(error):
        act(given[0]) if act is hash else act(*given)


def test_landmarks_of_tasks_become_messages():
    point = vision.NormalizedLandmark(0.5, 0.25, 0.125, 1.0)
    message = point.to_pb2()
    assert isinstance(message, landmark_pb2.NormalizedLandmark)
    assert not message.HasField("presence")
    assert vision.NormalizedLandmark.create_from_pb2(message).y == 0.25


# Images


def test_images_are_copied_and_read_only(rng):
    rgb = rng.integers(0, 255, (6, 8, 3), np.uint8)
    made = image(rgb[:, ::-1])
    assert (made.width, made.height, made.channels, made.step) == (8, 6, 3, 24)
    np.testing.assert_array_equal(made.numpy_view(), rgb[:, ::-1])
    assert not made.numpy_view().flags.writeable
    assert made[0, 0, 1] == rgb[0, -1, 1]
    assert str(made.image_format) == "ImageFormat.SRGB"
    grey = mp.Image(mp.ImageFormat.GRAY8, rgb[..., :1])
    assert grey.numpy_view().shape == (6, 8)


@pytest.mark.parametrize(
    ("error", "form", "data"),
    [
        (TypeError, "SRGB", None),
        (TypeError, "SRGB", np.zeros((4, 4, 3), np.int32)),
        (RuntimeError, "SRGB", np.zeros((4, 4, 3), np.float32)),
        (ValueError, "SRGB", np.zeros((4, 4), np.uint8)),
        (ValueError, "SRGBA", np.zeros((4, 4, 3), np.uint8)),
        (ValueError, "GRAY8", np.zeros(4, np.uint8)),
    ],
)
def test_what_is_no_image_is_refused(error, form, data):
    with pytest.raises(error):
        mp.Image(image_format=mp.ImageFormat[form], data=data)


def test_image_files_are_read_as_they_are_stored(picture, rng, tmp_path):
    rgb = rng.integers(0, 255, (6, 8, 3), np.uint8)
    read = mp.Image.create_from_file(str(picture("a.png", rgb)))
    np.testing.assert_array_equal(read.numpy_view(), rgb)
    turned = picture("a.jpg", rgb, orientation=6)
    assert mp.Image.create_from_file(str(turned)).width == 8
    grey = mp.Image.create_from_file(str(picture("g.png", rgb[..., 0], "L")))
    assert grey.image_format is mp.ImageFormat.GRAY8
    rgba = np.dstack([rgb, rgb[..., :1]])
    read = mp.Image.create_from_file(str(picture("t.png", rgba, "RGBA")))
    np.testing.assert_array_equal(read.numpy_view(), rgba)
    (tmp_path / "no.png").write_text("no")
    for name in ("no.png", "none.png"):
        with pytest.raises(RuntimeError, match="Image decoding failed"):
            mp.Image.create_from_file(str(tmp_path / name))


# Drawing


def body(**fields: float) -> landmark_pb2.NormalizedLandmarkList:
    """Two landmarks."""
    made = landmark_pb2.NormalizedLandmarkList()
    made.landmark.add(x=0.25, y=0.5, visibility=0.9)
    made.landmark.add(**{"x": 0.75, "y": 0.5, "visibility": 0.9, **fields})
    return made


def test_landmarks_are_drawn_as_discs_with_a_border_on_lines():
    canvas = np.zeros((40, 80, 3), np.uint8)
    drawing.draw_landmarks(canvas, body(), [(0, 1)])
    assert tuple(canvas[20, 40]) == drawing.WHITE_COLOR  # the line
    assert tuple(canvas[20, 18]) == drawing.RED_COLOR
    assert tuple(canvas[20, 16]) == drawing.WHITE_COLOR
    want = canvas.copy()
    canvas[:] = 0
    bone = vision.PoseLandmarksConnections.Connection(0, 1)
    points = [vision.NormalizedLandmark(p.x, p.y, 0, p.visibility) for p in body().landmark]
    vision.drawing_utils.draw_landmarks(canvas, points, [bone])
    np.testing.assert_array_equal(canvas, want)


@pytest.mark.parametrize("hidden", [{"visibility": 0.4}, {"presence": 0.4}, {"x": 1.1}])
def test_what_is_hidden_or_outside_is_not_drawn(hidden):
    canvas = np.zeros((40, 80, 3), np.uint8)
    drawing.draw_landmarks(canvas, body(**hidden), [(0, 1)], None)
    drawing.draw_landmarks(canvas, None, [(0, 1)])
    assert not canvas.any()


def test_styles_colour_the_sides():
    style = styles.get_default_pose_landmarks_style()
    assert list(style) == list(pose.PoseLandmark)
    assert style[pose.PoseLandmark.LEFT_HIP].color == (0, 138, 255)
    assert style[pose.PoseLandmark.RIGHT_HIP].color == (231, 217, 0)
    assert style[pose.PoseLandmark.NOSE] == drawing.DrawingSpec()
    canvas = np.zeros((40, 80, 3), np.uint8)
    drawing.draw_landmarks(canvas, body(), landmark_drawing_spec=style)
    assert (canvas == (0, 138, 255)).all(axis=-1).any()


def test_styles_colour_hands_and_faces():
    style = styles.get_default_hand_landmarks_style()
    assert style[mp.solutions.hands.HandLandmark.THUMB_CMC].color == styles.RED
    assert style[mp.solutions.hands.HandLandmark.PINKY_TIP].color == (192, 101, 21)
    bones = styles.get_default_hand_connections_style()
    assert bones.keys() == mp.solutions.hands.HAND_CONNECTIONS
    assert (bones[5, 9].color, bones[5, 9].thickness) == (styles.GREY, 3)
    assert (bones[5, 6].color, bones[5, 6].thickness) == ((128, 64, 128), 2)
    face = styles.get_default_face_mesh_contours_style()
    assert face.keys() == mp.solutions.face_mesh.FACEMESH_CONTOURS
    count = [sum(each.color == colour for each in face.values())
             for colour in (styles.GREEN, styles.RED, drawing.WHITE_COLOR)]  # fmt: skip
    assert count == [24, 24, 76]
    irises = styles.get_default_face_mesh_iris_connections_style()
    assert {spec.color for spec in irises.values()} == {styles.GREEN, styles.RED}
    assert styles.get_default_face_mesh_tesselation_style().thickness == 1


def test_a_drawing_of_something_else_is_refused():
    with pytest.raises(ValueError, match="three channel"):
        drawing.draw_landmarks(np.zeros((4, 4, 4), np.uint8), body())
    with pytest.raises(ValueError, match="landmark #0 to landmark #2"):
        drawing.draw_landmarks(np.zeros((4, 4, 3), np.uint8), body(), [(0, 2)])


def test_places_are_pixels_inside_the_image():
    at = drawing._normalized_to_pixel_coordinates
    assert at(0.5, 0.999, 10, 10) == (5, 9)
    assert at(1, 0, 10, 10) == (9, 0)
    assert at(1.1, 0, 10, 10) is None


def test_landmarks_are_plotted(monkeypatch):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: None)
    drawing.plot_landmarks(body(), [(0, 1)])
    axes: Any = plt.gcf().axes[0]
    assert (axes.elev, axes.azim, len(axes.lines)) == (10, 10, 1)
    np.testing.assert_allclose(axes.lines[0].get_data_3d(), [[0, 0], [0.25, 0.75], [-0.5, -0.5]])
    plt.close("all")


# Following


class Known:
    """A model of known people: `found` in each frame, and what is there in the regions looked at.

    A person at x has the hips there, and the top of their region 100 pixels above.
    """

    def __init__(self, most: int, *found: list[float], there: Any = lambda frame: None) -> None:
        self.most, self.found, self.there = most, found, there
        self.searched = list[int]()

    @staticmethod
    def regions(xs: list[float]) -> Regions:
        hips = np.array([[x, 200] for x in xs], np.float32).reshape(-1, 2)
        n = len(hips)
        return Regions.upright(hips, hips - [0, 100], np.ones(n), np.full(n, -1))

    def find(self, frames: list[Frame]) -> list[Regions]:
        self.searched.append(frames[0].index)
        return [self.regions(self.found[frames[0].index])]

    def __call__(self, frames: list[Frame], look: list[Regions]) -> list[Poses]:
        seen = self.there(frames[0].index)
        if seen is not None:
            return [seen]
        n = len(look[0])
        xy = np.repeat(look[0].centre[:, None], 33, axis=1)
        box, score = np.zeros((n, 4), np.float32), np.ones(n, np.float32)
        zero = np.zeros((n, 33, 3), np.float32)
        return [
            Poses(
                BLAZEPOSE33, xy, zero[..., 0], box, score, look[0].person, xyz=zero, origin="hips",
                depth=zero[..., 0], look=look[0],
            )
        ]  # fmt: skip


def walk(follow: Any, frames: int, frame: Any) -> list[list[float]]:
    """Where the people are in each frame."""
    return [
        follow(frame(i, i / 30, size=(640, 480)), (i + 1) / 30).xy[:, 0, 0].tolist()
        for i in range(frames)
    ]


def test_solutions_look_for_the_next_person_one_frame_after_the_last_was_lost(frame):
    nobody = Poses.nobody(BLAZEPOSE33, "hips")
    model: Any = Known(1, *[[100.0], [], [], [300.0]], there=lambda i: nobody if i == 2 else None)
    follow = OnePerson(model, follow=True, smooth=True)
    assert walk(follow, 4, frame) == [[100], [100], [], [300]]
    assert model.searched == [0, 3]
    follow.reset()
    assert walk(follow, 1, frame) == [[100]]


def test_solutions_look_at_unrelated_images_afresh(frame):
    model: Any = Known(1, [100.0, 50.0], [200.0], [])
    assert walk(OnePerson(model, follow=False, smooth=True), 3, frame) == [[100], [200], []]
    assert model.searched == [0, 1, 2]


def test_tasks_let_a_detection_replace_who_it_overlaps(frame):
    model: Any = Known(3, [100.0, 500.0], [110.0, 450.0], [])
    assert walk(Everyone(model, 0.5), 3, frame) == [[100, 500], [110, 450], [110, 450]]
    assert model.searched == [0, 1, 2]
    model = Known(2, [100.0, 500.0, 300.0], [])
    assert walk(Everyone(model, 0.5), 2, frame) == [[100, 500], [100, 500]]
    assert model.searched == [0]


def test_tasks_take_30_frames_a_second_after_a_timestamp_of_0(frame):
    moved = Known(1, [100.0], [120.0])
    moved.there = lambda i: None if i == 0 else replace_x(moved, 120)
    slow: Any = [Everyone(moved, 0.5), Everyone(moved, 0.5)]  # type: ignore
    results = []
    for follow, times in zip(slow, [(0.0, 5.0), (1.0, 1 + 1 / 30)], strict=True):
        results.append([follow(frame(i), t).xy[0, 0, 0] for i, t in enumerate(times)][1])
    assert results[0] == pytest.approx(results[1], abs=1e-4)
    assert 100 < results[0] < 120


def replace_x(model: Known, x: float) -> Poses:
    """Somebody there."""
    there, model.there = model.there, lambda i: None
    (poses,) = model([Frame(None)], [model.regions([x])])
    model.there = there
    return poses


@pytest.mark.shared
@pytest.mark.parametrize("clip", ["sports", "window"])
def test_smoothing_is_that_of_mediapipe(clip, shared, frame):
    """Fed with MediaPipe's own landmarks; 1e-6: float32 of values up to 1."""
    with np.load(shared / "golden/holistic_video.npz") as file:
        golden = {name.removeprefix(f"{clip}/"): file[name] for name in file.files if clip in name}
    size = golden["size"].astype(np.float32)

    def there(i: int) -> Poses:
        if not golden["found"][i, 0]:
            return Poses.nobody(BLAZEPOSE33, "hips")
        raw, world = golden["raw_pose"][i], golden["raw_world"][i]
        hips, top = (golden["raw_aux"][i, :, :2] * size).astype(np.float32)
        one, who = np.ones(1, np.float32), np.array([-1])
        return Poses(
            BLAZEPOSE33,
            xy=raw[None, :, :2] * size,
            score=raw[None, :, 3],
            box=np.zeros((1, 4), np.float32),
            box_score=one,
            person=who,
            xyz=world[None, :, :3],
            origin="hips",
            depth=raw[None, :, 2] * size[0],
            look=Regions.upright(hips[None], top[None], one, who),
        )

    model: Any = Known(1, *[[0.0]] * 60, there=there)
    follow = OnePerson(model, follow=True, smooth=True)
    for i in range(60):
        poses = follow(frame(i, size=tuple(golden["size"].tolist())), (i + 1) * pose.STEP)
        assert len(poses) == golden["found"][i, 0]
        if len(poses):
            assert poses.xyz is not None
            assert poses.depth is not None
            places = np.column_stack([poses.xy[0] / size, poses.depth[0] / size[0], poses.score[0]])
            np.testing.assert_allclose(places, golden["pose"][i], atol=1e-6)
            np.testing.assert_allclose(poses.xyz[0], golden["world"][i], atol=1e-6)


# Solutions


@pytest.mark.parametrize(
    ("error", "given"),
    [(ValueError, {"model_complexity": 3}), (TypeError, {"model_complexity": "1"}),
     (TypeError, {"upper_body_only": True})],
)  # fmt: skip
def test_a_pose_that_cannot_be_is_refused(error, given):
    with pytest.raises(error):
        pose.Pose(**given)


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.parametrize("complexity", [0, 1, 2])
def test_pictures_have_mediapipes_landmarks(complexity, shared, blazepose):
    """As in test_parity.py, by the old interface; 2e-3 in the median, for the noise said there."""
    size = ("lite", "full", "heavy")[complexity]
    blazepose(size)
    with np.load(shared / "golden/mediapipe_static.npz") as file:
        golden = {name: file[name] for name in file.files if name.startswith(size)}
    apart = []
    with pose.Pose(static_image_mode=True, model_complexity=complexity) as model:
        for name in sorted({key.split("/")[1] for key in golden}):
            rgb = Frame.read(shared / f"data/coco/images/{name}.jpg").rgb
            result = model.process(rgb)
            assert (result.pose_landmarks is not None) == golden[f"{size}/{name}/found"]
            if result.pose_landmarks is None or result.pose_world_landmarks is None:
                continue
            for what, landmarks in zip(("landmarks", "world"), result, strict=False):
                assert landmarks is not None
                got = [[p.x, p.y, p.z, p.visibility] for p in landmarks.landmark]
                apart.append(np.median(np.abs(got - golden[f"{size}/{name}/{what}"])))
    assert len(apart) >= 14
    assert max(apart) < 2e-3


@pytest.mark.weights
@pytest.mark.shared
def test_a_video_is_followed_and_a_mask_is_given(photo, blazepose):
    blazepose("lite")
    with pose.Pose(model_complexity=0, enable_segmentation=True) as model:
        assert model.process(np.zeros((40, 40, 3), np.uint8)) == (None, None, None)
        model.process(photo)
        found = model.process(photo)
        assert found.pose_landmarks is not None
        nose = found.pose_landmarks.landmark[pose.PoseLandmark.NOSE]
        assert (nose.x, nose.y) == pytest.approx((0.463, 0.430), abs=0.01)
        assert nose.HasField("visibility")
        assert not nose.HasField("presence")
        assert found.segmentation_mask is not None
        assert found.segmentation_mask.shape == photo.shape[:2]
        assert found.segmentation_mask.max() > 0.9
        model.reset()
        assert model.process(image=photo).pose_world_landmarks is not None
        for error, wrong in [
            (ValueError, np.zeros((4, 4, 4), np.uint8)),
            (IndexError, np.zeros((4, 4), np.uint8)),
            (TypeError, np.zeros((4, 4, 3), np.float32)),
            (RuntimeError, np.zeros((0, 4, 3), np.uint8)),
            (AttributeError, None),
        ]:
            with pytest.raises(error):
                model.process(wrong)  # type: ignore
    with pytest.raises(ValueError, match="_graph is None"):
        model.process(photo)
    with pytest.raises(ValueError, match="already None"):
        model.close()


@pytest.mark.weights
@pytest.mark.shared
def test_holistic_gives_hands_and_face_of_mediapipe(shared):
    """As tests/models/test_holistic.py, by the old interface; medians, for the noise said there."""
    with np.load(shared / "golden/holistic_static.npz") as file:
        golden = {name: file[name] for name in file.files if name.startswith("000000")}
        files = {str(file_).rpartition("/")[2][:-4]: str(file_) for file_ in file["files"]}
    stem = next(key.split("/")[0] for key in golden if key.endswith("/found") and golden[key].all())
    rgb = Frame.read(shared / files[stem]).rgb
    try:
        model = mp.solutions.holistic.Holistic(static_image_mode=True)
    except vit.VitruvianError as error:
        return absent(str(error))
    with model:
        result = model.process(rgb)
        assert model.process(np.zeros((40, 40, 3), np.uint8)) == (None,) * 6
    for what, found in [
        ("left_hand", result.left_hand_landmarks),
        ("right_hand", result.right_hand_landmarks),
        ("face", result.face_landmarks),
    ]:
        assert found is not None
        assert not found.landmark[0].HasField("visibility")
        got = [[p.x, p.y, p.z] for p in found.landmark]
        assert np.median(np.abs(got - golden[f"{stem}/{what}"])) < 1e-3
    assert result.pose_landmarks is not None
    assert len(result.pose_landmarks.landmark) == 33


# Tasks


@pytest.mark.parametrize(
    ("error", "given"),
    [
        (ValueError, {"running_mode": LIVE}),
        (ValueError, {"result_callback": print}),
        (ValueError, {"min_pose_presence_confidence": 2.0}),
        (ValueError, {"min_tracking_confidence": -1.0}),
        (RuntimeError, {"num_poses": 0}),
        (TypeError, {"num_poses": 1.5}),
        (RuntimeError, {"bundle": "none.task"}),
        (ValueError, {"bundle": ""}),
    ],
)
def test_a_landmarker_that_cannot_be_is_refused(error, given):
    with pytest.raises(error):
        vision.PoseLandmarker.create_from_options(options(**given))


def test_bundles_of_something_else_are_refused(tmp_path, cache):
    path = tmp_path / "hand.task"
    with refused(str(path), "No such file"):
        unpack_pose_task(path)
    path.write_text("no zip")
    with refused(str(path), "not a zip archive"):
        unpack_pose_task(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hand_detector.tflite", b"")
    with refused(str(path), "no file with name: pose_detector.tflite", "hand_detector.tflite"):
        unpack_pose_task(path)
    with pytest.raises(RuntimeError, match="pose_detector"):
        vision.PoseLandmarker.create_from_model_path(str(path))
    with refused("model_asset_buffer"):
        unpack_pose_task(b"no zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pose_detector.tflite", b"a")
        archive.writestr("pose_landmarks_detector.tflite", b"b")
    detector, landmarks = unpack_pose_task(path)
    assert (detector.read_bytes(), landmarks.read_bytes()) == (b"a", b"b")
    assert detector.parent == landmarks.parent == cache
    detector.write_bytes(b"damaged")
    assert unpack_pose_task(path.read_bytes())[0].read_bytes() == b"a"


@pytest.mark.weights
def test_a_bundle_of_other_networks_is_refused(bundle, tmp_path):
    path = tmp_path / "swapped.task"
    with zipfile.ZipFile(bundle) as good, zipfile.ZipFile(path, "w") as bad:
        one, other = good.namelist()
        bad.writestr(one, good.read(other))
        bad.writestr(other, good.read(one))
    with pytest.raises(RuntimeError, match="another network"):
        vision.PoseLandmarker.create_from_model_path(str(path))
    with zipfile.ZipFile(path, "w") as bad:
        bad.writestr(one, zipfile.ZipFile(bundle).read(one))
        bad.writestr(other, zipfile.ZipFile(bundle).read(one))
    with pytest.raises(RuntimeError, match="another network"):
        vision.PoseLandmarker.create_from_model_path(str(path))


@pytest.mark.weights
@pytest.mark.shared
def test_a_bundle_is_a_model(bundle, photo, blazepose):
    model = vit.load(str(bundle))
    assert model.name == "pose_landmarker_full"
    (ours,), (theirs,) = model([Frame(photo)]), blazepose("full")([Frame(photo)])
    np.testing.assert_array_equal(ours.xy, theirs.xy)


@pytest.mark.weights
@pytest.mark.shared
def test_images_have_landmarks_of_tasks(bundle, photo):
    base = mp.tasks.BaseOptions(model_asset_buffer=bundle.read_bytes())
    asked = replace(options(output_segmentation_masks=True), base_options=base)
    with vision.PoseLandmarker.create_from_options(asked) as task:
        result = task.detect(image(photo))
        (points,), (world,) = result.pose_landmarks, result.pose_world_landmarks
        # MediaPipe 0.10.21's own answer for this picture; see benchmarks/drop_in.py
        assert vars(points[0]) == pytest.approx(
            {"x": 0.46327770, "y": 0.42963362, "z": -0.19282126, "visibility": 0.99999094,
             "presence": 0.99999547}, abs=5e-4
        )  # fmt: skip
        assert (world[0].x, world[0].y) == pytest.approx((-0.117658, -0.577794), abs=2e-3)
        assert result.segmentation_masks is not None
        assert result.segmentation_masks[0].image_format is mp.ImageFormat.VEC32F1
        assert result.segmentation_masks[0].numpy_view().shape == photo.shape[:2]
        none = task.detect(image(np.zeros((50, 50, 3), np.uint8)))
        assert none == vision.PoseLandmarkerResult([], [], None)
        with pytest.raises(ValueError, match="video mode"):
            task.detect_for_video(image(photo), 1)
        for wrong in (photo, None, mp.Image(mp.ImageFormat.GRAY8, photo[..., 0])):
            with pytest.raises(ValueError, match=r"image_format|SRGB"):
                task.detect(wrong)  # type: ignore
        with pytest.raises(ValueError, match="multiple of 90"):
            task.detect(image(photo), vision.ImageProcessingOptions(rotation_degrees=45))
    for act in (lambda: task.detect(image(photo)), task.close):
        with pytest.raises(ValueError, match="currently not running"):
            act()


@pytest.mark.weights
@pytest.mark.shared
def test_timestamps_of_a_video_increase(bundle, photo):
    with vision.PoseLandmarker.create_from_options(options(bundle, running_mode=VIDEO)) as task:
        stamps: Any = (0, np.int64(33))
        for stamp in stamps:
            assert len(task.detect_for_video(image(photo), stamp).pose_landmarks) == 1
        for stamp in (33, 5):
            with pytest.raises(ValueError, match="monotonically increasing"):
                task.detect_for_video(image(photo), stamp)
        with pytest.raises(TypeError):
            task.detect_for_video(image(photo), 66.0)  # type: ignore
        with pytest.raises(ValueError, match="running mode:VIDEO"):
            task.detect(image(photo))


@pytest.mark.weights
@pytest.mark.shared
def test_live_results_come_from_another_thread(bundle, photo):
    got, came = [], threading.Event()

    def callback(result: Any, picture: mp.Image, stamp: int) -> None:
        got.append((len(result.pose_landmarks), picture.width, stamp, threading.current_thread()))
        came.set()

    asked = options(bundle, running_mode=LIVE, result_callback=callback)
    with vision.PoseLandmarker.create_from_options(asked) as task:
        task.detect_async(image(photo), 0)
        assert came.wait(30)
        with pytest.raises(ValueError, match="monotonically increasing"):
            task.detect_async(image(photo), 0)
        task.detect_async(image(np.zeros((40, 30, 3), np.uint8)), 40)
    assert [row[:3] for row in got] == [(1, photo.shape[1], 0), (0, 30, 40)]
    assert all(row[3] is not threading.main_thread() for row in got)


@pytest.mark.weights
@pytest.mark.shared
def test_an_error_of_the_callback_is_raised_by_the_next_call(bundle, photo):
    def callback(*_: object) -> None:
        raise KeyError("mine")

    asked = options(bundle, running_mode=LIVE, result_callback=callback)
    task = vision.PoseLandmarker.create_from_options(asked)
    task.detect_async(image(photo), 0)
    with pytest.raises(KeyError, match="mine"):
        task.close()
