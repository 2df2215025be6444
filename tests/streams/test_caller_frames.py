"""Frames that a caller reads: `vit.stream`, and what `vit.run` takes beside names of files."""

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

import vitruvian as vit
from conftest import TOY, refused, stream_defaults
from vitruvian.body.poses import Poses

BLUE = np.zeros((48, 64, 3), np.uint8)  # as OpenCV has it
BLUE[..., 0] = 255


class Seer:
    """A model that finds one person, and keeps the frames it was shown."""

    name, runs_on = "seer", "CPU"

    def __init__(self) -> None:
        self.weights, self.options, self.frames = {}, {}, list[vit.Frame]()
        self.wanted = stream_defaults({})

    def __call__(self, frames: Any, look: Any = None) -> list[Poses]:
        self.frames += frames
        one = Poses.nobody(TOY)
        xy = np.full((1, 3, 2), 20, np.float32)
        score, box = np.ones((1, 3), np.float32), np.array([[10, 10, 40, 40]], np.float32)
        who = np.full(1, -1)
        return [Poses(one.skeleton, xy, score, box, np.ones(1, np.float32), who) for _ in frames]


def seconds_of(model: Seer) -> list[float]:
    return [frame.seconds for frame in model.frames]


def test_what_opencv_read_is_rgb_for_the_model():
    model = Seer()
    stream = vit.stream(model, fps=10, confirm=False)
    *_, poses = [stream(vit.Frame.bgr(BLUE)) for _ in range(3)]
    assert poses.person.tolist() == [1]
    assert seconds_of(model) == pytest.approx([0, 0.1, 0.2])
    assert [frame.index for frame in model.frames] == [0, 1, 2]
    assert model.frames[0].rgb[0, 0].tolist() == [0, 0, 255]


def test_arrays_of_a_known_order_are_frames():
    model = Seer()
    vit.stream(model, fps=10, order="bgr")(BLUE)
    vit.stream(model, fps=10, order="rgb")(BLUE)
    assert [frame.rgb[0, 0].tolist() for frame in model.frames] == [[0, 0, 255], [255, 0, 0]]


@pytest.mark.parametrize("times", [(0.0, 0.5, 0.6), (7.0, 7.1, 9.0)])
@pytest.mark.parametrize("beside", [True, False])
def test_times_that_are_given_are_kept(times, beside):
    model = Seer()
    stream = vit.stream(model, fps=10)
    for t in times:
        if beside:
            stream(vit.Frame(BLUE), t)
        else:
            stream(vit.Frame(BLUE, seconds=t))
    assert seconds_of(model) == list(times)


def test_without_any_times_the_clock_says_when(monkeypatch):
    times = iter([100.0, 100.25, 100.25, 101.0])
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    model = Seer()
    stream = vit.stream(model)
    for _ in range(4):
        stream(vit.Frame(BLUE))
    assert seconds_of(model) == pytest.approx([0, 0.25, 0.25, 1.0], abs=1e-5)
    assert (np.diff(seconds_of(model)) > 0).all()


@pytest.mark.parametrize("again", [1.0, 0.5, 0.0])
def test_times_that_do_not_go_on_are_refused(again):
    stream = vit.stream(Seer())
    stream(vit.Frame(BLUE, seconds=1.0))
    with refused("frame 1 is at", "not after 1 s", "open a new stream"):
        stream(vit.Frame(BLUE, seconds=again))


def test_frames_may_change_their_size():
    model = Seer()
    stream = vit.stream(model, fps=10)
    for side in (40, 80):
        poses = stream(vit.Frame.bgr(np.zeros((side, side, 3), np.uint8)))
    assert len(poses) == 1


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4), np.uint8), ("(4, 4) uint8", "grey", "np.stack")),
        (np.zeros((4, 4, 1), np.uint8), ("(4, 4, 1)", "grey")),
        (np.zeros((4, 4, 3), np.float32), ("float32", "(255 * array)")),
        (np.zeros((4, 4, 3), np.uint16), ("uint16", "8 bits")),
        (np.zeros((4, 4, 4), np.uint8), ("(4, 4, 4)", "[..., :3]")),
        (np.zeros((3, 9, 9), np.uint8), ("(3, 9, 9)", "moveaxis")),
        (np.zeros((0, 4, 3), np.uint8), ("(0, 4, 3)", "empty")),
        (np.zeros((2, 4, 4, 3), np.uint8), ("(2, 4, 4, 3)", "several")),
        (np.zeros(4, np.uint8), ("(4,)", "Frame.read")),
        (None, ("NoneType",)),
    ],
    ids=lambda value: None,
)
@pytest.mark.parametrize("how", ["Frame", "Frame.bgr"])
def test_what_is_no_picture_says_what_to_write(how, array, words):
    make: Any = vit.Frame if how == "Frame" else vit.Frame.bgr
    if how == "Frame" and array is None:
        return  # a frame of a record, without pixels
    with refused(f"a {how} wants (H, W, 3) uint8 {'RGB' if how == 'Frame' else 'BGR'}", *words):
        make(array)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (BLUE, ("Frame.bgr(array)", "order='bgr'")),
        (None, ("NoneType", "VideoCapture")),
        ("a.jpg", ("str", "vit.Frame.read('a.jpg')")),
        (3, ("int", "vit.Frame.bgr(array)")),
    ],
    ids=lambda value: None,
)
def test_a_stream_says_what_it_wants(given, words):
    with refused(*words):
        vit.stream(Seer())(given)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fps": 0.0}, ("fps is 0.0", "leave fps out")),
        ({"order": "gbr"}, ("order is 'gbr'", "'bgr'")),
        ({"smooth": "butterworth"}, ("smooth butterworth", "one-euro")),
        ({"repair": True}, ("repair", "one-euro")),
        ({"detect_every": 3}, ("detect_every", "seer does not")),
    ],
    ids=lambda value: None,
)
def test_what_a_stream_cannot_do_is_one_line(options, words):
    with refused(*words):
        vit.stream(Seer(), **options)


def test_a_stream_is_open_beside_the_folder_of_that_name():
    import vitruvian.streams.live  # noqa: F401  # hangs the folder on its package

    assert callable(vit.stream)


def one_by_one(number: int) -> Iterator[vit.Frame]:
    for _ in range(number):
        yield vit.Frame.bgr(BLUE)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda: one_by_one(5), {"fps": 10}),
        (lambda: [vit.Frame(BLUE)] * 5, {"fps": 10}),
        (lambda: [BLUE] * 5, {"fps": 10, "order": "bgr"}),
        (lambda: np.stack([BLUE] * 5), {"fps": 10, "order": "rgb"}),
        (lambda: (BLUE for _ in range(5)), {"fps": 10, "order": "rgb"}),
        (lambda: [vit.Frame(BLUE, seconds=i / 10) for i in range(5)], {}),
    ],
)
def test_run_takes_frames_and_arrays_as_one_video(make, options):
    pairs = list(vit.run(make(), Seer(), **options))
    assert [frame.seconds for frame, _ in pairs] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    # A generator is not known as a whole, so the id comes when it is earned.
    who = -1 if isinstance(make(), Iterator) else 1
    assert [poses.person.tolist() for _, poses in pairs] == [[who]] * 5


def test_a_part_of_the_frames_can_be_asked_for():
    frames = [vit.Frame(BLUE)] * 20
    got = [frame.index for frame, _ in vit.run(frames, Seer(), fps=10, start=0.45, stride=2)]
    assert got == [6, 8, 10, 12, 14, 16, 18]
    assert len(list(vit.run(frames, Seer(), fps=10, end=0.45))) == 5
    assert len(list(vit.run(one_by_one(20), Seer(), fps=10, max_frames=3))) == 3


@pytest.mark.parametrize("one", [vit.Frame(BLUE), [vit.Frame(BLUE)]])
def test_one_frame_is_a_picture(one):
    ((_, poses),) = vit.run(one, Seer())
    assert poses.person.tolist() == [-1]


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ([vit.Frame(BLUE)] * 2, {}, ("2 frames", "fps=30", "model(frames)")),
        ([vit.Frame(BLUE), "a.jpg"], {}, ("mixed",)),
        (-1, {}, ("-1 is not a camera",)),
        (1.5, {}, ("float is not a source",)),
        (cv2.VideoCapture(), {}, ("VideoCapture is not a source", "vit.stream")),
        (iter(()), {}, ("no sources",)),
        ("sample", {"fps": 30}, ("fps is for frames",)),
        ("sample", {"order": "bgr"}, ("order is for frames",)),
    ],
    ids=lambda value: None,
)
def test_what_run_cannot_take_is_one_line(source, options, words):
    with refused(*words):
        vit.run(source, Seer(), **options)


def test_what_comes_one_by_one_cannot_be_read_twice():
    with refused("repair", "read only once", "give a list"):
        vit.run(one_by_one(3), Seer(), fps=10, repair=True)
    assert len(list(vit.run([vit.Frame(BLUE)] * 9, Seer(), fps=10, repair=True))) == 9


def test_a_number_is_a_camera():
    (source,) = vit.open_source(2)
    assert (source.name, source.live) == ("camera:2", True)


@pytest.mark.parametrize(("order", "picture"), [(None, vit.Frame.bgr(BLUE)), ("bgr", BLUE)])
def test_a_pushed_frame_may_be_of_opencv(order, picture):
    model = Seer()
    with vit.live(model, lambda *_: None, order=order) as live:
        live.push(picture, 0.5)
    assert model.frames[0].rgb[0, 0].tolist() == [0, 0, 255]
    assert seconds_of(model) == [0.5]
    with refused("order is 'gbr'"):
        vit.live(model, lambda *_: None, order="gbr")
    with vit.live(model, lambda *_: None) as live, refused("channel order"):
        live.push(BLUE, 0.5)


def test_people_are_taken_by_their_rows_and_one_after_the_other(people):
    poses = people(3, everything=True)
    np.testing.assert_array_equal(poses[1].xy[0], poses.xy[1])
    np.testing.assert_array_equal(poses[-1].xy[0], poses.xy[2])
    assert len(poses[:2]) == 2
    assert [len(person) for person in poses] == [1, 1, 1]
    np.testing.assert_array_equal([person.xy[0] for person in poses], poses.xy)
    with pytest.raises(IndexError, match="no person 3; there are 3"):
        _ = poses[3]


def test_a_name_of_another_program_is_told_what_to_write(people):
    poses = people(1)
    said = {"keypoints": "poses.xy", "boxes": "poses.box", "pose_landmarks": "poses.xy"}
    said |= {"landmarks": "poses.xy", "conf": "poses.box_score", "nothing": "no 'nothing'$"}
    for name, words in said.items():
        with pytest.raises(AttributeError, match=words):
            getattr(poses, name)
    assert copy.deepcopy(poses).xy.tolist() == pickle.loads(pickle.dumps(poses)).xy.tolist()


@pytest.mark.shared
def test_a_loop_around_opencv_finds_what_run_finds(shared, blazepose):
    """A man walks; frame by frame, without a memory, he is found in half of them."""
    (path,) = shared.rglob("sports2d_demo.mp4")
    capture, model = cv2.VideoCapture(str(path)), blazepose("lite")
    stream, found = vit.stream(model, fps=capture.get(cv2.CAP_PROP_FPS)), 0
    for _ in range(40):
        found += len(stream(vit.Frame.bgr(capture.read()[1]))) > 0
    assert found >= sum(len(poses) > 0 for _, poses in vit.run(path, model, max_frames=40)) > 20
