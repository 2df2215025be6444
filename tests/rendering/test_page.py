"""The page of a view in 3D: what is in it, and what its script makes of that in JavaScript."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import TOY, absent, refused
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.geometry.camera import Camera
from vitruvian.rendering.page import MISSING, TEMPLATE, in_mm
from vitruvian.verbs.outputs import open_sink

SIZE = (64, 48)


def written(path: Path, *pairs) -> Path:
    with open_sink(path, overwrite=True) as sink:
        for pair in pairs:
            sink.write(*pair)
    assert sink.paths == [path]
    return path


class Tags(HTMLParser):
    """The tags of a page, and the text in each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.scripts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and data.strip():
            self.scripts.append(data)


def scene(path: Path) -> dict[str, Any]:
    """What is in a page."""
    return json.loads(Tags(path.read_text(encoding="utf-8")).scripts[0])


def run(path: Path, expression: str) -> Any:
    """The value of an expression of JavaScript, in the page."""
    node = shutil.which("node")
    if node is None:
        absent("node is not installed")
    line = [str(node), str(Path(__file__).with_name("page.mjs")), str(path), expression]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def seen_by(camera: Camera, rng: np.random.Generator, n: int, k: int = 3) -> dict[str, Any]:
    """Joints all over the image, and where they are."""
    xy = (rng.uniform(0.1, 0.9, (n, k, 2)) * camera.size).astype(np.float32)
    depth = rng.uniform(2, 6, (n, 1)) + rng.uniform(-0.3, 0.3, (n, k))
    return {"xy": xy, "xyz": camera.back_project(xy, depth.astype(np.float32)), "origin": "camera"}


# What is in it


@pytest.mark.parametrize("far", [0.0, 40.0, 5000.0])
def test_metres_come_back_to_half_a_millimetre(far, rng: np.random.Generator):
    xyz = rng.normal(0, 0.6, (50, 33, 3)) + rng.uniform(-far, far, (50, 1, 3))
    xyz[3], xyz[4, 1:], xyz[5, ::2] = np.nan, np.nan, np.nan
    middles, joints = in_mm(xyz)
    assert np.abs(np.where(joints == MISSING, 0, joints)).max() < 8000
    again = np.where(joints == MISSING, np.nan, middles[:, None] + joints) / 1000
    np.testing.assert_allclose(again, xyz, atol=0.0005 + 1e-9)  # NaN where NaN was


def test_a_joint_too_far_from_its_body_is_missing_and_harms_no_other():
    xyz = np.zeros((1, 4, 3))
    xyz[0, 3] = 100.0
    _, joints = in_mm(xyz)
    assert (joints == MISSING).all()  # its middle is 50 m away from all of them
    xyz[0, 3] = 60.0
    middles, joints = in_mm(xyz)
    np.testing.assert_array_equal(middles[:, None] + joints, xyz * 1000)


def test_a_name_cannot_break_out_of_the_page(tmp_path: Path, people, frame):
    evil = "<script>alert(1)<!-- & \u2028 '\" __SCENE__ </title><img src=x>"
    names = ("</script><b onload=x>", "<!--")
    table = Skeleton("toy", "here", names, ((0, 1),), np.full(2, 0.1, np.float32))
    poses = people(1, table, xyz=np.zeros((1, 2, 3), np.float32), origin="hips")
    plain = people(1, xyz=np.zeros((1, 3, 3), np.float32), origin="hips")
    path = written(tmp_path / "a.html", (frame(source=evil), poses))
    other = written(tmp_path / "b.html", (frame(), plain))
    tags, usual = (Tags(each.read_text(encoding="utf-8")) for each in (path, other))
    assert tags.tags == usual.tags
    assert tags.attributes == usual.attributes
    assert scene(path)["source"] == Path(evil).name
    assert scene(path)["keypoints"] == list(names)


def test_the_page_asks_nobody_for_anything():
    text = TEMPLATE.read_text()
    assert not re.search(r"https?:|//\w+\.\w|@import|\burl\(|fetch\(|XMLHttp|WebSocket", text)
    assert not {"src", "href", "action"} & set(Tags(text).attributes)
    assert "default-src 'none'" in text  # the browser is told to hold it to that


def test_a_minute_of_a_person_is_below_a_megabyte(tmp_path: Path, people, frame):
    poses = people(1, BLAZEPOSE33, everything=True)
    pairs = [(frame(i, i / 30), poses) for i in range(300)]
    size = written(tmp_path / "a.html", *pairs).stat().st_size
    assert (size - TEMPLATE.stat().st_size) * 6 < 0.7e6


def test_a_page_holds_one_picture_or_video(tmp_path: Path, people, frame):
    poses = people(everything=True)
    with refused("'", "holds one image or video"), open_sink(tmp_path / "a.html") as sink:
        sink.write(frame(source="a.jpg"), poses)
        sink.write(frame(source="b.jpg"), poses)


def test_pixels_alone_are_refused_at_the_first_frame(tmp_path: Path, people, frame):
    with refused("2D keypoints only", "blazepose-full"), open_sink(tmp_path / "a.html") as sink:
        sink.write(frame(), people())
    assert list(tmp_path.iterdir()) == []


# What its script makes of it


def test_the_page_has_everybody_where_they_are(tmp_path: Path, people, frame, rng):
    camera = Camera.view(SIZE)
    pairs = [
        (frame(i, i / 10), people(n, **seen_by(camera, rng, n))) for i, n in enumerate((2, 0, 3))
    ]
    pairs[2][1].xyz[1, 2] = np.nan
    path = written(tmp_path / "a.html", *pairs)
    every = (
        "[0, 1, 2].flatMap((f) => crowd(f)).map(({body}) => [0, 1, 2].map((k) => metres(body, k)))"
    )
    got = np.array([[xyz or [np.nan] * 3 for xyz in body] for body in run(path, every)], np.float64)
    want = np.concatenate([poses.xyz for _, poses in pairs])
    np.testing.assert_allclose(got, want, atol=0.0005 + 1e-6)  # and float32 itself
    standing = run(path, "crowd(2)[0].at[1]")
    x, y, z = pairs[2][1].xyz[0, 1]
    np.testing.assert_allclose(standing, (x, z, -y), atol=0.0005 + 1e-6)


def test_through_its_camera_people_are_seen_as_in_the_picture(tmp_path: Path, people, frame, rng):
    """800 pixels of the canvas for 64 of the image; a millimetre at 2 m is 0.4 of them."""
    poses = people(2, **seen_by(Camera.view(SIZE), rng, 2))
    path = written(tmp_path / "a.html", (frame(size=SIZE), poses))
    look = 'get("camera").onclick(); later(1); seen.map(({x, y, body, k}) => [body, k, x, y])'
    for body, k, x, y in run(path, look):
        np.testing.assert_allclose((x, y), poses.xy[body, k] * 800 / 64, atol=0.5)


def test_left_is_blue_and_everybody_has_a_number(tmp_path: Path, people, frame, rng):
    poses = people(2, **seen_by(Camera.view(SIZE), rng, 2), person=np.array([4, 7]))
    path = written(tmp_path / "a.html", (frame(), poses))
    drawn = run(path, "drawn")
    assert [text for text, _, _ in drawn["texts"]] == ["camera", "4", "7"]
    sides = sorted(colour for _, _, colour in drawn["dots"])
    assert sides == sorted(["--middle", "--left", "--right"] * 2)
    where = {(round(x, 3), round(y, 3)): colour for x, y, colour in drawn["dots"]}
    for x, y, k in run(path, "seen.map(({x, y, k}) => [x, y, k])"):
        side = TOY.sides[k] or "middle"
        assert where[round(x, 3), round(y, 3)] == f"--{side}"
    bones = [line for line in drawn["lines"] if line[4] in ("--middle", "--left", "--right")]
    assert len(bones) == 2 * len(TOY.bones)


def test_what_is_missing_is_not_drawn(tmp_path: Path, people, frame, rng):
    fields = seen_by(Camera.view(SIZE), rng, 2)
    fields["xyz"][0], fields["xyz"][1, 1] = np.nan, np.nan
    path = written(tmp_path / "a.html", (frame(), people(2, **fields)))
    drawn = run(path, "drawn")
    assert len(drawn["dots"]) == 2
    assert [text for text, _, _ in drawn["texts"]] == ["camera", "2"]


def test_time_goes_by_as_fast_as_it_did(tmp_path: Path, people, frame):
    times = [3.0, 3.04, 3.5, 3.52, 4.0]
    poses = people(everything=True)
    path = written(tmp_path / "a.html", *[(frame(i, t), poses) for i, t in enumerate(times)])
    play = 'get("play").onclick(); [0, 100, 490, 505, 600, 900, 1300].map((t) => {later(t); '
    play += "return state.frame;})"
    # 0.1 s after the start is frame 1, and so on; at 1.25 s, a frame after the last, it goes round.
    assert run(path, play) == [0, 1, 1, 2, 3, 3, 0]
    slow = 'get("speed").value = "0.5"; ' + play
    assert run(path, slow) == [0, 1, 1, 1, 1, 1, 3]
    slide = 'get("slider").value = 0.51; get("slider").oninput(); state.frame'
    assert run(path, slide) == 2
    assert run(path, 'get("clock").textContent') == "3.00 / 4.00 s, frame 0"
    keys = '["ArrowRight", "ArrowRight", "End", "ArrowRight", "Home", "ArrowLeft"].map((key) => '
    keys += "{window.onkeydown({key, target: {}, preventDefault() {}}); return state.frame;})"
    assert run(path, keys) == [1, 2, 4, 4, 0, 0]


def test_a_picture_has_no_time(tmp_path: Path, people, frame):
    path = written(tmp_path / "a.html", (frame(), people(everything=True)))
    shown = '["film", "keys", "following", "camera"].map((id) => get(id).hidden)'
    assert run(path, shown) == [True] * 4  # measured from the hips, nobody knows the camera


DRAG = """
const event = (pointerId, x, y, more) => ({pointerId, offsetX: x, offsetY: y, buttons: 1,
  pointerType: "mouse", preventDefault() {}, ...more});
"""


def test_dragging_turns_and_moves_and_the_wheel_zooms(tmp_path: Path, people, frame):
    path = written(tmp_path / "a.html", (frame(), people(everything=True)))
    start = run(path, "view")
    turned = run(
        path,
        DRAG + "canvas.onpointerdown(event(1, 10, 10)); canvas.onpointermove(event(1, 60, 30));"
        "canvas.onpointerup(event(1, 60, 30)); view",
    )
    assert turned["azimuth"] - start["azimuth"] == pytest.approx(0.4)
    assert turned["elevation"] - start["elevation"] == pytest.approx(0.16)
    # What is in the middle follows the pointer by as many pixels as it moves.
    moved = run(
        path,
        DRAG + "const at = [...view.target]; canvas.onpointerdown(event(1, 10, 10));"
        "canvas.onpointermove(event(1, 60, 30, {shiftKey: true})); const to = projection();"
        "const {x, y} = to.place(at); [x, y]",
    )
    assert moved == pytest.approx([400 + 50, 300 + 20])
    wheel = "canvas.onwheel({preventDefault() {}, deltaY: 100, deltaMode: 0}); view.distance"
    assert run(path, wheel) > start["distance"]
    pinch = run(
        path,
        DRAG + "canvas.onpointerdown(event(1, 100, 100)); canvas.onpointerdown(event(2, 200, 100));"
        "canvas.onpointermove(event(2, 300, 100)); view.distance",
    )
    assert pinch == pytest.approx(start["distance"] / 2)
    back = run(path, wheel + "; canvas.ondblclick(); view")
    assert back == start


def test_the_pointer_over_a_joint_says_its_name_and_metres(tmp_path: Path, people, frame, rng):
    poses = people(2, **seen_by(Camera.view(SIZE), rng, 2), person=np.array([4, 7]))
    poses.score[1, 2] = 0.75
    path = written(tmp_path / "a.html", (frame(), poses))
    over = "const at = seen.find(({name, k}) => name === '7' && k === 2);"
    over += DRAG + "canvas.onpointermove(event(1, at.x + 2, at.y)); later(1); get('tip')"
    tip = run(path, over)
    x, y, z = poses.xyz[1, 2]
    assert not tip["hidden"]
    first, second, third = tip["textContent"].splitlines()
    assert first == "right_hand, person 7"
    np.testing.assert_allclose(
        [float(word) for word in re.findall(r"-?\d+\.\d+", second)], (x, y, z), atol=0.0011
    )
    assert third == "score 0.75"
    away = over.replace("at.x + 2", "-500")
    assert run(path, away)["hidden"]


def test_who_is_followed_stays_in_the_middle(tmp_path: Path, people, frame, rng):
    fields = seen_by(Camera.view(SIZE), rng, 2)
    first = people(2, **fields)
    second = replace(first, xyz=first.xyz + np.array([[[0.5, 0.0, 1.0]], [[0.0, 0.0, 0.0]]], "f4"))
    path = written(tmp_path / "a.html", (frame(0), first), (frame(1, 0.1), second))
    follow = 'get("person").value = "1"; get("person").onchange(); get("follow").checked = true;'
    follow += 'get("follow").onchange(); [0, 1].map((f) => {go(f); const {middle} = crowd(f)[0];'
    follow += "const {x, y} = projection().place(middle); return [x, y];})"
    np.testing.assert_allclose(run(path, follow), [[400, 300], [400, 300]], atol=1e-6)
    assert run(path, 'get("person").children.map((option) => option.value)') == ["1", "2"]


def test_lines_behind_the_viewer_are_cut(tmp_path: Path, people, frame, rng):
    """In the middle of it all: what is drawn is finite, and the floor is still there."""
    poses = people(2, **seen_by(Camera.view(SIZE), rng, 2))
    path = written(tmp_path / "a.html", (frame(), poses))
    inside = "view.distance = 0.1; wanted(); later(1); drawn.lines"
    lines = run(path, inside)
    assert any(line[4] == "--grid" for line in lines)
    assert np.isfinite(np.array([line[:4] for line in lines], np.float64)).all()


def test_nobody_at_all_is_a_page_too(tmp_path: Path, frame):
    pairs = [(frame(i, i / 10), Poses.nobody(TOY, "camera")) for i in range(2)]
    path = written(tmp_path / "a.html", *pairs)
    assert run(path, "state.frame") == 0
    assert run(path, "go(1); later(1); [drawn.dots.length, drawn.lines.length > 8]") == [0, True]
