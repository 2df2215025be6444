"""The live page in headless Chromium, with a fake camera that shows a film."""

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vitruvian as vit
from conftest import SHARED, absent, need
from toy_yolo import toy_yolo
from vitruvian.analysis.events import Options
from vitruvian.analysis.found import AnalysisSettings
from vitruvian.models.spec import ModelSpec
from vitruvian.verbs.groups import LiveWords
from vitruvian.verbs.live.pictures import ENCODED, SentFrame
from vitruvian.verbs.live.serve import serving

FILM = SHARED / "data/videos/sports2d_demo.mp4"
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--use-fake-device-for-media-stream"),
)
WAIT = 60_000  # ms


def jpegs(path: Path, pictures: Any) -> Path:
    """A film as Chromium's fake camera reads it: JPEG after JPEG."""
    import cv2

    with path.open("wb") as file:
        for bgr in pictures:
            file.write(cv2.imencode(".jpg", bgr)[1].tobytes())
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: Any) -> Iterator[Callable[..., Any]]:
    """`browser(film)` is a page in a browser whose camera shows it; None: cameras are refused."""
    need("playwright")
    for library in ("fastapi", "uvicorn", "websockets"):
        need(library)
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        absent("chromium is not installed")
    opened = dict[Any, Any]()
    with sync_playwright() as playwright:

        def page(film: Path | None, **how: Any) -> Any:
            if film not in opened:
                shows = f"--use-file-for-fake-video-capture={film}"
                own = () if film is None else ("--use-fake-ui-for-media-stream", shows)
                opened[film] = playwright.chromium.launch(
                    executable_path=chromium, args=[*QUIET, *own]
                )
            made = opened[film].new_context(**how).new_page()
            made.set_default_timeout(WAIT)
            made.faults = []
            made.on("pageerror", lambda error: made.faults.append(str(error)))
            return made

        yield page
        for each in opened.values():
            each.close()


@pytest.fixture(scope="module")
def toy(tmp_path_factory: Any) -> Any:
    return vit.load(str(toy_yolo(tmp_path_factory.mktemp("toy") / "toy.xml")))


@pytest.fixture(scope="module")
def blinking(tmp_path_factory: Any) -> Path:
    """A film that is bright for two seconds and dark for two: somebody comes and goes."""
    path = tmp_path_factory.mktemp("film") / "blinking.mjpeg"
    greys = [200] * 60 + [0] * 60
    return jpegs(path, (np.full((480, 480, 3), grey, np.uint8) for grey in greys))


@pytest.fixture(scope="module")
def bright(tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("film") / "bright.mjpeg"
    return jpegs(path, [np.full((480, 480, 3), 200, np.uint8)] * 10)


def serve(model: Any, source: Any = None, **words: Any) -> Any:
    asked = AnalysisSettings({}, Options(minimum=0.1, gap=0.3), angles=True)
    return serving(source, [model], asked, LiveWords(**{"port": 0, **words}))


def until(page: Any, true: str, arg: Any = None) -> None:
    """Wait until an expression is true; Playwright's own wait is stopped by the page's policy."""
    for _ in range(WAIT // 200):
        if page.evaluate(true, arg):
            return
        page.wait_for_timeout(200)
    raise AssertionError(true)


def closed(page: Any) -> None:
    assert page.faults == []
    page.context.close()


def test_people_come_and_go_in_the_list_of_events(toy, browser, blinking):
    with serve(toy) as server:
        page = browser(blinking)
        page.goto(server.url)
        page.wait_for_selector("#log >> text=person 1 enters")
        page.wait_for_selector("#log >> text=person 1 leaves")
        assert page.inner_text("#status") == "connected"
        page.wait_for_selector("#speed >> text=overlay")
        page.wait_for_selector("#flat:visible")  # the toy network is 2D
        closed(page)


def test_two_tabs_at_once_and_a_third_waits_for_its_place(toy, browser, bright):
    with serve(toy, clients=2) as server:
        one, two, three = (browser(bright) for _ in range(3))
        for page in (one, two):
            page.goto(server.url)
            page.wait_for_selector("#log >> text=person 1 enters")
        three.goto(server.url)
        three.wait_for_selector("#notice:visible >> text=busy")
        closed(one)
        three.wait_for_selector("#log >> text=person 1 enters")
        assert not three.is_visible("#notice")
        closed(two)
        closed(three)


def test_a_refused_camera_is_said_in_words(toy, browser):
    with serve(toy) as server:
        page = browser(None)
        page.goto(server.url)
        page.wait_for_selector("#notice:visible >> text=The camera was refused")
        page.wait_for_selector("#notice button:visible")
        closed(page)


def test_viewers_of_a_source_see_it_with_the_skeleton_drawn(toy, browser, bright, video):
    path = video(
        times=[i / 10 for i in range(20)],
        size=(96, 96),
        pictures=[np.full((96, 96, 3), 200, np.uint8)] * 20,
    )
    with serve(toy, path, loop=True) as server:
        page = browser(bright, viewport={"width": 390, "height": 844})  # a phone
        page.goto(server.url)
        page.wait_for_selector("#log >> text=person 1 enters")
        assert page.inner_text("#status") == "clip.mp4"
        assert not page.is_visible("#camera")
        width = "document.documentElement.scrollWidth"
        assert page.evaluate(width) <= 390  # nothing is cut off at the side
        until(page, PAINTED, [0.5, 0.5])
        closed(page)


# Whether the picture is not all grey around a place, in parts of the canvas.
PAINTED = """([x, y]) => {
  const canvas = document.getElementById("picture"), pen = canvas.getContext("2d");
  const [left, top] = [canvas.width * x - 40, canvas.height * y - 40];
  const { data } = pen.getImageData(left, top, 80, 80);
  for (let i = 0; i < data.length; i += 4) if (Math.abs(data[i] - data[i + 2]) > 60) return true;
  return false;
}"""


def test_keys_and_the_record_button(toy, browser, bright, tmp_path):
    with serve(toy, record=tmp_path / "kept") as server:
        page = browser(bright)
        page.goto(server.url)
        page.wait_for_selector("#log >> text=person 1 enters")
        assert page.is_checked("#mirror")  # a camera that shows oneself
        page.keyboard.press("m")
        assert not page.is_checked("#mirror")
        page.keyboard.press("p")
        assert page.input_value("#person") == "1"
        page.keyboard.press("r")
        page.wait_for_selector("#record[aria-pressed=true]")
        page.wait_for_timeout(500)
        page.click("#record")
        page.wait_for_selector("#log >> text=saved: live_")
        closed(page)
    (record,) = (tmp_path / "kept").iterdir()
    assert len(list(vit.read(record))) > 0


def test_the_page_finds_the_server_again(toy, browser, bright):
    with serve(toy) as server:
        port = server.port
        page = browser(bright)
        page.goto(server.url)
        page.wait_for_selector("#log >> text=person 1 enters")
    page.wait_for_selector("#notice:visible >> text=cannot be reached")
    with serve(toy, port=port):
        page.wait_for_selector("#status[data-state=good]")
        page.wait_for_selector("#notice", state="hidden")
        closed(page)


def raw_film(path: Path, pictures: list[Any]) -> Path:
    """BGR pictures as raw video of 30 frames a second, as Chromium's fake camera reads it."""
    import cv2

    height, width = pictures[0].shape[:2]
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W%d H%d F30:1 Ip A1:1 C420jpeg\n" % (width, height))
        for bgr in pictures:
            file.write(b"FRAME\n" + cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420).tobytes())
    return path


class Wire:
    """What a page sends and gets."""

    def __init__(self, page: Any) -> None:
        self.page, self.sent, self.got = page, dict[int, bytes](), list[dict[str, Any]]()
        page.on("websocket", self._watch)

    def _watch(self, socket: Any) -> None:
        def sends(data: Any) -> None:
            if isinstance(data, bytes):
                self.sent[struct.unpack_from("<I", data)[0]] = data

        def receives(data: Any) -> None:
            line = json.loads(data)
            if line["type"] == "poses":
                self.got.append(line)

        socket.on("framesent", sends)
        socket.on("framereceived", receives)

    def until(self, true: Callable[[], bool]) -> None:
        for _ in range(WAIT // 200):
            self.page.wait_for_timeout(200)
            if true():
                return
        raise AssertionError(self.got[-1:])

    def found(self) -> list[tuple[SentFrame, dict[str, Any]]]:
        """Frames with their results, where somebody was found."""
        lines = [line for line in self.got if line["people"]]
        return [(SentFrame.parse(self.sent[line["seq"]]), line) for line in lines]


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.parametrize("kind", [1, ENCODED])
def test_skeletons_are_where_predict_puts_them_and_3d_turns(browser, blazepose, tmp_path, kind):
    """In the camera's own pixels, and in JPEGs by a browser that does not give them."""
    import cv2

    if not FILM.exists():
        absent(f"../shared/{FILM.relative_to(SHARED)} is not here")
    capture, pictures = cv2.VideoCapture(str(FILM)), list[Any]()
    capture.set(cv2.CAP_PROP_POS_FRAMES, 60)
    while len(pictures) < 60:
        pictures.append(cv2.resize(capture.read()[1], (640, 360), interpolation=cv2.INTER_AREA))
    model = blazepose("lite", num_poses=2)
    with serve(model) as server:
        page = browser(raw_film(tmp_path / "film.y4m", pictures))
        if kind == ENCODED:
            page.add_init_script("delete window.MediaStreamTrackProcessor; delete VideoFrame;")
        wire = Wire(page)
        page.goto(server.url)
        page.wait_for_selector("#speed >> text=overlay")
        # A busy machine looks like a slow connection, on which raw pixels are left for JPEGs.
        wire.until(lambda: sum(frame.format == kind for frame, _ in wire.found()) >= 8)
    page.wait_for_selector("#notice:visible >> text=cannot be reached")
    drawn = "document.getElementById('view').toDataURL()"
    before = page.evaluate(drawn)
    page.focus("#view")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(drawn) != before
    closed(page)
    far = list[float]()
    for frame, line in wire.found():
        assert line["size"] == [640, 360]
        if frame.format != kind:
            continue
        (want,) = model([vit.Frame(frame.rgb())])
        for person in line["people"] if len(want) else ():
            xy = np.array([[np.nan] * 2 if at is None else at for at in person["xy"]])
            tall = person["box"][3] - person["box"][1]
            away = np.nanmedian(np.hypot(*np.moveaxis(want.xy - xy, -1, 0)), axis=1)
            far.append(float(away.min() / tall))
    assert len(far) >= 5
    # Of the body's height: smoothing lags by a frame or two, which are far apart on a busy machine.
    assert np.median(far) < 0.15


# The mean colour in the middle of a body, whose picture is in both halves of the canvas.
COLOUR = """() => {
  const canvas = document.getElementById("picture"), pen = canvas.getContext("2d");
  const { data } = pen.getImageData(0.727 * canvas.width, 0.55 * canvas.height, 8, 8);
  const sums = [0, 0, 0];
  data.forEach((value, i) => { if (i % 4 < 3) sums[i % 4] += value / 64; });
  return sums;
}"""


@pytest.mark.weights
@pytest.mark.shared
def test_masks_of_two_people_are_drawn_when_they_are_switched_on(
    browser, blazepose, shared, tmp_path
):
    import cv2

    blazepose("lite")
    one = vit.Frame.read(shared / "data/images/pose.jpg").rgb[:, 256:747, ::-1]
    two = cv2.resize(np.hstack([one, one[:, ::-1]]), (640, 436), interpolation=cv2.INTER_AREA)
    with serve(ModelSpec.parse("blazepose-lite,num_poses=2")) as server:
        page = browser(raw_film(tmp_path / "still.y4m", [two]))
        wire = Wire(page)
        page.goto(server.url)
        until(page, "document.getElementById('person').options.length > 2")
        before = page.evaluate(COLOUR)
        page.keyboard.press("s")
        wire.until(lambda: "mask" in wire.got[-1]["people"][-1])
        first, second = (person["mask"] for person in wire.got[-1]["people"])
        assert first["size"] == second["size"] == [256, 174]
        assert np.abs(np.subtract(page.evaluate(COLOUR), before)).max() > 20
        page.click("#masks")
        wire.until(lambda: "mask" not in wire.got[-1]["people"][0])
        page.wait_for_timeout(200)
        assert np.abs(np.subtract(page.evaluate(COLOUR), before)).max() < 10
        closed(page)
