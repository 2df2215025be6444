"""The live page's server: what is served, to whom, and that hostile clients harm nobody else."""

import http.client
import io
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import vitruvian as vit
from commands import command, started
from conftest import need, refused
from mjpeg import hanging_up
from toy_yolo import toy_yolo
from vitruvian.analysis.events import Options
from vitruvian.analysis.found import AnalysisSettings
from vitruvian.errors import pip_install
from vitruvian.models.spec import ModelSpec
from vitruvian.sources import reconnect
from vitruvian.verbs.groups import LiveWords
from vitruvian.verbs.live import triggers
from vitruvian.verbs.live.live_stream import run_lengths
from vitruvian.verbs.live.pictures import HEADER, LARGEST_MESSAGE, SentFrame
from vitruvian.verbs.live.serve import serving

BRIGHT, DARK = 100, 0  # grey: the toy network finds somebody, and nobody


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    for library in ("fastapi", "uvicorn", "websockets", "pythonosc"):
        need(library)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: Any) -> Path:
    return toy_yolo(tmp_path_factory.mktemp("toy") / "toy.xml")


@pytest.fixture(scope="module")
def model(toy: Path) -> Any:
    return vit.load(str(toy))


def bright(body: Any) -> np.ndarray:
    """A rule for tests: the toy network puts people further right in bright frames."""
    return (body.poses.xy[:, 0, 0] > 16.8).astype(float)


@contextmanager
def server(
    model: Any, source: Any = None, rules: Any = None, when: Options | None = None, **words: Any
) -> Iterator[Any]:
    """A server with the toy network on a free port."""
    on_event = words.pop("on_event", None)
    asked = AnalysisSettings(rules or {}, when or Options(), angles=True)
    live = LiveWords(port=0, **words)
    before = {thread.name for thread in threading.enumerate()}
    with serving(source, [model], asked, live, on_event=on_event) as serves:
        yield serves
    left = {t.name for t in threading.enumerate()} - before
    assert not {name for name in left if name.startswith("vitruvian")}


def jpeg(grey: int = BRIGHT, size: tuple[int, int] = (48, 48), kind: str = "JPEG", **how) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (grey, grey, grey)).save(out, kind, **how)
    return out.getvalue()


def coded(number: int, data: bytes, seconds: float | None = None, *raw: int) -> bytes:
    """A message; `raw`: format, full range, width and height."""
    seconds = number / 10 if seconds is None else seconds
    return HEADER.pack(number, seconds, *(raw or (0, 0, 0, 0))) + data


def planes(size: tuple[int, int], y: int = BRIGHT, u: int = 128, v: int = 128) -> bytes:
    """I420 of one colour."""
    pixels = size[0] * size[1]
    return bytes([y]) * pixels + bytes([u]) * (pixels // 4) + bytes([v]) * (pixels // 4)


class Client:
    """A page, as far as the server knows."""

    def __init__(self, serves: Any, query: str = "", **how: Any) -> None:
        from websockets.sync.client import connect

        url = f"ws://127.0.0.1:{serves.port}/ws{query}"
        self.opening = connect(
            url, compression=None, max_size=None, max_queue=None, proxy=None, **how
        )

    def send(self, message: Any) -> None:
        self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    def read(self, *kinds: str) -> dict[str, Any]:
        """The next message of these kinds; images are in `picture`."""
        while True:
            message = self.socket.recv(timeout=8)
            if isinstance(message, bytes):
                end = 4 + struct.unpack_from("<I", message)[0]
                line = json.loads(message[4:end]) | {"picture": message[end:]}
            else:
                line = json.loads(message)
            if line["type"] in kinds:
                return line

    def __enter__(self) -> "Client":
        self.socket = self.opening.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.opening.__exit__(None, None, None)


def get(serves: Any, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", serves.port, timeout=8)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


# HTTP


def test_the_page_needs_nothing_from_elsewhere_and_forbids_it(model):
    with server(model) as serves:
        page = get(serves, "/")
        assert page.status == 200
        assert b"vitruvian" in page.body  # type: ignore[attr-defined]
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        for name in ("app", "camera", "chart", "connection", "overlay", "view3d"):
            script = get(serves, f"/{name}.js")
            assert script.status == 200, name
            assert script.headers["Content-Type"].startswith("text/javascript")
        folder = Path(triggers.__file__).parent / "page"
        text = "".join(path.read_text() for path in folder.iterdir())
        assert "http://" not in text
        assert "https:" not in text.replace("by https://", "")


@pytest.mark.parametrize(
    "path",
    ["/../server.py", "/..%2fserver.py", "/server.py", "/docs", "/openapi.json", "/page/app.js"],
)
def test_no_other_path_is_answered(model, path):
    with server(model) as serves:
        answer = get(serves, path)
        assert answer.status == 404
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert get(serves, "/", "POST").status == 405


def test_on_loopback_only_names_of_this_machine_are_answered(model):
    with server(model) as serves:
        for host in ("localhost:1", "127.0.0.1", "[::1]:8000"):
            assert get(serves, "/", Host=host).status == 200
        for host in ("evil.example", "127.0.0.1.evil.example", "192.168.1.1", "[", ""):
            assert get(serves, "/", Host=host).status == 403, host
        own = f"127.0.0.1:{serves.port}"
        assert get(serves, "/", Host=own, Origin=f"http://{own}").status == 200
        assert get(serves, "/", Host=own, Origin="http://evil.example").status == 403


def test_another_sites_page_gets_no_web_socket(model):
    from websockets.exceptions import InvalidStatus

    with server(model) as serves:
        with pytest.raises(InvalidStatus, match="403"):
            Client(serves, origin="http://evil.example")
        with Client(serves, origin=f"http://127.0.0.1:{serves.port}") as client:
            assert client.read("hello")["source"] is None


def test_on_another_address_everything_needs_the_token(model):
    from websockets.exceptions import InvalidStatus

    with server(model, host="0.0.0.0") as serves:
        assert serves.token in serves.url
        assert get(serves, "/", Host="anything").status == 403
        assert get(serves, "/?token=wrong").status == 403
        assert get(serves, f"/?token={serves.token}", Host="living-room.lan").status == 200
        for query in ("", "?token=", f"?token={serves.token}x", "?token=%ff"):
            with pytest.raises(InvalidStatus, match="403"):
                Client(serves, query).__enter__()
        with Client(serves, f"?token={serves.token}") as client:
            client.read("hello")


HOME = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
SOCKET = HOME.replace(b"/ ", b"/ws ") + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
HOSTILE_HTTP = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": HOME + b"Host: evil.example\r\n\r\n",
    "long path": HOME.replace(b"/ ", b"/" + b"a" * 100_000 + b" ") + b"\r\n",
    "long header": HOME + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": HOME + b"X: a\r\n" * 20_000 + b"\r\n",
    "negative length": HOME.replace(b"GET", b"POST") + b"Content-Length: -1\r\n\r\n",
    "two lengths": HOME + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "wrong chunks": HOME + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "another method": HOME.replace(b"GET", b"BREW") + b"\r\n",
    "another server": HOME.replace(b"/ ", b"http://evil.example/x ") + b"\r\n",
    "path out of the folder": HOME.replace(b"/ ", b"/%2e%2e/%2e%2e/etc/passwd ") + b"\r\n",
    "not UTF-8": HOME.replace(b"/ ", b"/%ff%fe?token=%ff ") + b"\r\n",
    "web socket without key": SOCKET + b"Sec-WebSocket-Version: 13\r\n\r\n",
    "old web socket": SOCKET + b"Sec-WebSocket-Version: 1\r\nSec-WebSocket-Key: YQ==\r\n\r\n",
}


def test_hostile_requests_give_nothing_away_and_others_are_served_on(model):
    """Hand-made: the server has no schema from which a fuzzer could make any.

    A header of any length is read, up to uvicorn's limits, but not used.
    """
    with server(model) as serves:
        for kind, request in HOSTILE_HTTP.items():
            address = "127.0.0.1", serves.port
            # It need not be read to its end.
            with suppress(ConnectionError), socket.create_connection(address, timeout=8) as raw:
                raw.sendall(request)
                raw.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: raw.recv(65536), b""))
                harmless = kind in ("another version", "long header", "many headers")
                want = b"HTTP/1.1 200 " if harmless else b"HTTP/1.1 4"
                assert answer.startswith(want), (kind, answer[:200])
            assert get(serves, "/").status == 200, kind


# Frames of a browser's camera


def test_a_frame_comes_back_as_poses_with_its_number(model):
    with server(model) as serves, Client(serves) as client:
        hello = client.read("hello")
        assert hello["record"] is False
        client.send(coded(7, jpeg()))
        about = client.read("model")
        assert about["skeleton"]["keypoints"][0] == "nose"
        assert about["skeleton"]["parts"] == {}  # neither hands nor a face
        poses = client.read("poses")
        assert (poses["seq"], poses["index"], poses["size"]) == (7, 0, [48, 48])
        (person,) = poses["people"]
        want = model([vit.Frame(np.full((48, 48, 3), BRIGHT, np.uint8))])[0]
        np.testing.assert_allclose(person["xy"], want.xy[0], atol=0.01)
        found = client.read("found")
        (their,) = found["people"]
        assert (found["frame"], found["time"], their["person"]) == (0, 0, person["person"])
        assert len(their["angles"]) == len(about["angles"][found["space"]])
        client.send(coded(8, jpeg(DARK, kind="WEBP")))
        assert client.read("poses")["people"] == []


HOSTILE = {
    "truncated": lambda: coded(1, jpeg()[:-60]),
    "no image": lambda: coded(1, b"\xff\xd8" + bytes(500)),
    "another format": lambda: coded(1, jpeg(kind="PNG")),
    "progressive": lambda: coded(1, jpeg(progressive=True)),
    "huge": lambda: coded(1, jpeg(size=(8000, 8000), quality=1)),
    "no header": lambda: b"\x01\x02",
    "no time": lambda: coded(1, jpeg(), float("nan")),
    "endless time": lambda: coded(1, jpeg(), float("inf")),
    "short raw": lambda: coded(1, planes((48, 48))[:-1], None, 1, 0, 48, 48),
    "long raw": lambda: coded(1, planes((48, 48)) + b"0", None, 2, 0, 48, 48),
    "rows with gaps": lambda: coded(1, planes((64, 48)), None, 1, 0, 48, 48),
    "raw without size": lambda: coded(1, planes((48, 48)), None, 1, 0, 0, 0),
    "raw without height": lambda: coded(1, planes((48, 48)), None, 2, 0, 48, 0),
    "odd raw": lambda: coded(1, bytes(47 * 47 * 3 // 2), None, 1, 0, 47, 47),
    "huge raw": lambda: coded(1, planes((48, 48)), None, 1, 0, 65534, 65534),
    "unknown format": lambda: coded(1, planes((48, 48)), None, 3, 0, 48, 48),
    "unknown range": lambda: coded(1, planes((48, 48)), None, 1, 2, 48, 48),
    "header only": lambda: coded(1, b"", None, 1, 0, 48, 48),
    "text": lambda: "hello",
    "other json": lambda: "[1, 2]",
    "deep json": lambda: "[" * 4000,
    "long text": lambda: " " * 100_000,
    "no choice": lambda: '{"type": "choose", "model": {}}',
    "unknown model": lambda: '{"type": "choose", "model": "../../etc/passwd"}',
    "record": lambda: '{"type": "record", "on": true}',
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_makes_no_sense_is_refused_and_everybody_is_served_on(model, kind):
    with server(model) as serves, Client(serves) as good, Client(serves) as bad:
        bad.send(HOSTILE[kind]())
        assert bad.read("refused")["why"]
        for client in (good, bad):
            client.send(coded(2, jpeg()))
            assert client.read("poses")["seq"] == 2


def test_a_message_that_is_too_large_ends_that_connection_only(model):
    from websockets.exceptions import ConnectionClosed

    with server(model) as serves, Client(serves) as good, Client(serves) as bad:
        bad.send(bytes(LARGEST_MESSAGE + 1))
        with pytest.raises(ConnectionClosed) as closed:
            bad.read("poses")
        # None: what the client was still sending was refused before it read the reason.
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
        good.send(coded(2, jpeg()))
        assert good.read("poses")["seq"] == 2


def test_times_that_go_back_are_refused(model):
    with server(model) as serves, Client(serves) as client:
        client.send(coded(1, jpeg(), 5.0))
        client.read("poses")
        client.send(coded(2, jpeg(), 4.0))
        assert "increase" in client.read("refused")["why"]
        client.send(coded(3, jpeg(), 6.0))
        assert client.read("poses")["time"] == 1.0


class Held:
    """A model that waits until it is let go on."""

    def __init__(self, model: Any) -> None:
        self.model, self.go, self.calls = model, threading.Semaphore(0), 0
        self.name, self.weights, self.options = model.name, model.weights, model.options
        self.wanted, self.runs_on = model.wanted, "CPU"

    def __call__(self, frames: Any, look: Any = None) -> Any:
        self.calls += 1
        assert self.go.acquire(timeout=8)
        return self.model(frames)


def wait_for(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_newest_frame_wins(model):
    held = Held(model)
    with server(held) as serves, Client(serves) as client:
        client.send(coded(1, jpeg()))
        wait_for(lambda: held.calls == 1)
        for number in range(2, 20):
            client.send(coded(number, jpeg()))
        client.send('{"type": "nothing"}')
        client.read("refused")  # so all of them have arrived
        for _ in range(2):
            held.go.release()
        assert [client.read("poses")["seq"] for _ in range(2)] == [1, 19]
        assert held.calls == 2


def test_cameras_take_turns_however_much_one_sends(model):
    held = Held(model)
    with server(held) as serves, Client(serves) as calm, Client(serves) as flood:
        flood.send(coded(1, jpeg()))
        wait_for(lambda: held.calls == 1)
        calm.send(coded(1, jpeg()))
        for number in range(2, 40):
            flood.send(coded(number, jpeg()))
        for _ in range(2):
            held.go.release()
        assert calm.read("poses")["seq"] == 1
        assert held.calls <= 3  # at most one more of the other, which waits now
        held.go.release(50)


def test_a_server_without_a_free_place_says_so_until_one_is_free(model):
    from websockets.exceptions import ConnectionClosed

    with server(model, clients=1) as serves:
        with Client(serves) as first:
            first.read("hello")
            with Client(serves) as second:
                assert second.read("busy")["clients"] == 1
                with pytest.raises(ConnectionClosed) as closed:
                    second.read("hello")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
        wait_for(lambda: not serves.clients.cameras)
        with Client(serves) as third:
            third.read("hello")


def test_an_error_of_the_model_ends_that_camera_and_is_no_secret(model, capfd):
    from websockets.exceptions import ConnectionClosed

    broken = Held(model)
    broken.go.release()
    with server(broken) as serves, Client(serves) as client:
        client.send(coded(1, jpeg()))
        client.read("poses")
        broken.model = None
        broken.go.release()
        client.send(coded(2, jpeg()))
        assert "log" in client.read("refused")["why"]
        with pytest.raises(ConnectionClosed):
            client.read("poses")
        broken.model = model
        broken.go.release(5)
        with Client(serves) as other:
            other.send(coded(1, jpeg()))
            assert other.read("poses")["seq"] == 1
    assert "TypeError" in capfd.readouterr().err


def test_a_client_chooses_smoothing(model):
    with server(model) as serves, Client(serves) as client:
        name = client.read("hello")["models"][0]["name"]
        client.send(coded(1, jpeg()))
        assert client.read("model")["smooth"] is True
        client.send({"type": "choose", "model": name, "smooth": False})
        client.send(coded(2, jpeg()))
        assert client.read("model")["smooth"] is False
        client.send({"type": "choose", "model": name, "people": 2})
        assert "not offered" in client.read("refused")["why"]


def test_a_recording_is_made_where_the_server_says_and_only_then(model, tmp_path):
    folder = tmp_path / "kept"
    with server(model, record=folder, record_video=True) as serves, Client(serves) as client:
        assert client.read("hello")["record"] is True
        client.send(coded(1, jpeg()))
        client.read("poses")
        assert list(folder.iterdir()) == []
        client.send({"type": "record", "on": True})
        assert len(client.read("recording")["files"]) == 2
        for number in (2, 3):
            client.send(coded(number, jpeg()))
            client.read("poses")
        client.send({"type": "record", "on": False})
        saved = client.read("recording")["saved"]
        client.send(coded(4, jpeg()))
        client.read("poses")
    assert sorted(saved) == sorted(path.name for path in folder.iterdir())
    (record,) = folder.glob("*.jsonl")
    frames = [frame.index for frame, _ in vit.read(record)]
    assert frames == [1, 2]


def test_a_coded_frame_is_its_header_and_an_image():
    frame = SentFrame.parse(coded(5, jpeg(40, (16, 8)), 2.5))
    assert (frame.number, frame.seconds) == (5, 2.5)
    assert frame.rgb().shape == (8, 16, 3)
    assert frame.rgb().mean() == pytest.approx(40, abs=1)


@pytest.mark.parametrize("full", [0, 1])
@pytest.mark.parametrize("kind", [1, 2])
def test_raw_pixels_are_converted_by_bt601(kind, full):
    """Against the standard's own matrix; 3 levels: OpenCV rounds, and U and V are halved."""
    rng, (width, height) = np.random.default_rng(0), (32, 18)
    small = rng.integers(0, 256, (height // 2, width // 2, 3))
    rgb = small.repeat(2, 0).repeat(2, 1) / 255
    y = rgb @ (0.299, 0.587, 0.114)
    u, v = (rgb[..., 2] - y) / 1.772, (rgb[..., 0] - y) / 1.402
    top, bottom, middle = (255, 255, 0) if full else (219, 224, 16)
    levels = [np.round(top * y + middle)] + [
        np.round(bottom * part[::2, ::2] + 128) for part in (u, v)
    ]
    bright, *colours = (np.clip(part, 0, 255).astype(np.uint8) for part in levels)
    colours = np.stack(colours, axis=-1 if kind == 2 else 0)
    message = coded(3, bright.tobytes() + colours.tobytes(), 0.5, kind, full, width, height)
    frame = SentFrame.parse(message)
    assert (frame.number, frame.seconds, frame.size) == (3, 0.5, (32, 18))
    np.testing.assert_allclose(frame.rgb(), 255 * rgb, atol=3)


def test_raw_frames_give_the_same_poses_as_encoded_ones(model):
    with server(model) as serves, Client(serves) as client:
        client.send(coded(1, jpeg(130, quality=100)))
        want = client.read("poses")
        limited = round(130 * 219 / 255 + 16)
        client.send(coded(2, planes((48, 48), limited), None, 1, 0, 48, 48))
        got = client.read("poses")
        assert got["size"] == want["size"]
        np.testing.assert_allclose(got["people"][0]["xy"], want["people"][0]["xy"], atol=0.05)


def test_run_lengths_are_the_mask():
    rng = np.random.default_rng(0)
    for mask in (rng.random((20, 30)), np.zeros((4, 6)), np.ones((4, 6))):
        told = run_lengths(mask.astype(np.float32))
        width, height = told["size"]
        inside = np.arange(len(told["runs"])) % 2
        flat = np.repeat(inside, told["runs"])
        assert (flat.reshape(height, width) == (mask > 0.5)).all()
    assert run_lengths(np.ones((480, 640), np.float32)) == {
        "size": (256, 192),
        "runs": [0, 256 * 192],
    }


@pytest.mark.weights
@pytest.mark.shared
def test_masks_come_when_they_are_chosen_and_lie_on_the_person(blazepose, shared):
    path = shared / "data/images/pose.jpg"
    frame, out = vit.Frame.read(path), io.BytesIO()
    Image.fromarray(frame.rgb).save(out, "JPEG", quality=95)
    data, want = out.getvalue(), blazepose("lite", masks=True)([frame])[0].mask
    spec = ModelSpec.parse("blazepose-lite")
    with server(spec) as serves, Client(serves) as client:
        assert client.read("hello")["models"][0]["masks"]
        client.send(coded(1, data))
        assert client.read("model")["masks"] is False
        assert "mask" not in client.read("poses")["people"][0]
        client.send({"type": "choose", "model": spec.label, "masks": True})
        client.send(coded(2, data))
        assert client.read("model")["masks"] is True
        told = client.read("poses")["people"][0]["mask"]
    width, height = told["size"]
    got = np.repeat(np.arange(len(told["runs"])) % 2, told["runs"]).reshape(height, width)
    inside = cv2.resize(want[0], (width, height)) > 0.5
    assert (inside & (got == 1)).sum() > 0.95 * (inside | (got == 1)).sum()


def test_masks_are_not_offered_by_models_without(model):
    with server(model) as serves, Client(serves) as client:
        (offer,) = client.read("hello")["models"]
        assert offer["masks"] is False
        client.send({"type": "choose", "model": offer["name"], "masks": True})
        assert "not offered" in client.read("refused")["why"]


# A source of the server


def test_viewers_of_a_video_share_one_inference_and_acknowledge(model, video):
    path = video(times=[i / 20 for i in range(40)], pictures=None)
    held = Held(model)
    held.go.release(10_000)
    with server(held, path) as serves, Client(serves) as one, Client(serves) as two:
        assert one.read("hello")["source"] == "clip.mp4"
        first = one.read("poses")
        with Image.open(io.BytesIO(first["picture"])) as shown:
            assert shown.size == tuple(first["size"])
        two.read("poses")
        one.send({"type": "ack"})
        ended = one.read("source")
        assert (ended["state"], ended["why"]) == (
            "ended",
            "clip.mp4 has ended; --loop plays it again and again",
        )
        assert held.calls <= 40
        two.read("poses")
        two.read("source")
        while two.read("event")["change"] != "leaves":
            pass
        with pytest.raises(TimeoutError):  # who acknowledges nothing gets two images
            two.socket.recv(timeout=0.2)
        two.send(coded(1, jpeg()))
        assert "camera of its own" in two.read("refused")["why"]
        with Client(serves) as late:
            assert late.read("source")["state"] == "ended"


def test_what_lasts_ends_with_the_source(model, video):
    """Not with the server: a lamp that an event has switched on goes off."""
    path = video(times=[i / 20 for i in range(20)], pictures=None)
    told = list[Any]()
    with server(model, path, on_event=told.append) as serves, Client(serves) as client:
        assert client.read("source")["state"] == "ended"
        wait_for(lambda: [each["change"] for each in told] == ["enters", "leaves"])
        with Client(serves) as late:
            late.read("source")
    assert [each["change"] for each in told] == ["enters", "leaves"]


def test_a_video_plays_at_its_own_pace_and_again_if_asked(model, video):
    path = video(times=[0.0, 0.1, 0.2, 0.3])
    times = []
    began = time.monotonic()
    with server(model, path, loop=True) as serves, Client(serves) as client:
        while len(times) < 8:
            times.append(client.read("poses")["time"])
            client.send({"type": "ack"})
    assert time.monotonic() - began > 0.4
    assert times == sorted(set(times))


def test_only_one_camera_stream_or_video_is_a_source(model, picture, tmp_path, video):
    with refused("not one camera"), server(model, picture("a.png")):
        pass
    with refused("no such file"), server(model, tmp_path / "none.mp4"):
        pass
    broken = video("broken.mp4")
    broken.write_bytes(broken.read_bytes()[:200])
    with refused("broken.mp4"), server(model, broken):
        pass


def test_an_address_in_use_is_one_line(model):
    with server(model) as serves, refused("in use", "--port"):
        asked = AnalysisSettings({})
        with serving(None, [model], asked, LiveWords(port=serves.port)):
            pass
    with refused("cannot listen on"), server(model, host="192.0.2.1"):
        pass


def test_a_wrong_certificate_is_one_line(model, tmp_path):
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    with refused("certificate"), server(model, certfile=wrong):
        pass
    with refused("certificate"), server(model, certfile=tmp_path / "none.pem"):
        pass


def test_a_camera_over_http_is_live_and_opened_again(model, monkeypatch):
    """Multipart JPEG that ends after a second: its times are those of arrival."""
    monkeypatch.setattr(reconnect, "BACK_OFF", (0.05,))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("VITRUVIAN_OFFLINE", raising=False)
    times = []
    with (
        hanging_up() as (address, connections),
        server(model, address) as serves,
        Client(serves) as client,
    ):
        while len(connections) < 3:
            times.append(client.read("poses")["time"])
            client.send({"type": "ack"})
    assert times == sorted(set(times))


# Triggers


def play(serves: Any, greys: list[int]) -> None:
    """Send these frames, each after the poses of the one before."""
    with Client(serves) as client:
        for number, grey in enumerate(greys, 1):
            client.send(coded(number, jpeg(grey)))
            client.read("poses")


def test_every_trigger_gets_every_event(model, tmp_path):
    from pythonosc.dispatcher import Dispatcher
    from pythonosc.osc_server import BlockingOSCUDPServer

    posted, played, called = list[Any](), list[Any](), list[Any]()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:
            pass

    router = Dispatcher()
    router.set_default_handler(lambda *message: played.append(message))
    hook, osc = HTTPServer(("127.0.0.1", 0), Hook), BlockingOSCUDPServer(("127.0.0.1", 0), router)
    threads = [threading.Thread(target=each.serve_forever) for each in (hook, osc)]
    for thread in threads:
        thread.start()
    out = tmp_path / "run.jsonl"
    words = {
        "webhook": f"http://127.0.0.1:{hook.server_port}/x",
        "osc": f"127.0.0.1:{osc.server_address[1]}",
        "run": f"cat >> {out}",
    }
    rules, when = {"bright": bright}, Options(minimum=0.1, gap=0.1)
    with server(model, rules=rules, when=when, on_event=called.append, **words) as serves:
        play(serves, [BRIGHT] * 4 + [200] * 4 + [DARK] * 4)
        wait_for(lambda: len(called) == 4)
    wait_for(lambda: len(played) == 4 and len(posted) == 4)
    for each in (hook, osc):
        each.shutdown()
        each.server_close()
    for thread in threads:
        thread.join()
    told = [(line["event"], line["change"], line["person"]) for line in called]
    assert told == [
        ("person", "enters", 1),
        ("bright", "starts", 1),
        ("bright", "ends", 1),
        ("person", "leaves", 1),
    ]
    assert called == posted == [json.loads(line) for line in out.read_text().splitlines()]
    assert played[1] == ("/vitruvian/bright", 1, 1, "", 1)
    assert played[3] == ("/vitruvian/person", 0, 1, "", 1)


def test_a_webhook_that_does_not_answer_delays_no_frame(model, monkeypatch, capfd):
    monkeypatch.setattr(triggers, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        hook = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        when = Options(minimum=0.0, gap=0.0)
        with server(model, rules={"bright": bright}, when=when, webhook=hook) as serves:
            play(serves, [BRIGHT, 200, BRIGHT, 200, DARK] * 4)
    said = capfd.readouterr().err
    assert "webhook" in said
    assert "the stream goes on" in said


def test_a_trigger_drops_the_oldest_events_and_says_so_once(capfd):
    go, got = threading.Event(), list[Any]()
    trigger = triggers.Trigger("it", lambda line: (go.wait(20), got.append(line["n"])))
    for number in range(triggers.MOST + 20):
        trigger({"n": number})
        if not number:
            wait_for(lambda: not trigger._waiting)
    go.set()
    trigger.close()
    assert got == [0, *range(20, triggers.MOST + 20)]
    assert capfd.readouterr().err.count("too slow") == 1


def test_wrong_addresses_of_triggers_are_refused(model):
    for name, value in [("webhook", "ftp://a"), ("webhook", "http://"), ("osc", "9000")]:
        words: dict[str, Any] = {name: value}
        with refused(name), server(model, **words):
            pass


# vit.live


def test_pushed_frames_are_analyzed(model):
    seen, events = list[Any](), list[vit.EventChange]()
    with vit.live(
        model,
        lambda frame, poses, found: seen.append((frame.index, len(poses), found.angles.shape[0])),
        order="rgb",
        rules="arms_raised",
        angles=True,
        minimum=0.0,
        confirm=False,
        on_event=events.append,
    ) as live:
        for index in range(4):
            live.push(np.full((48, 48, 3), BRIGHT, np.uint8), index / 10)
            wait_for(lambda: live.done > index)  # noqa: B023
    assert seen == [(index, 1, 1) for index in range(4)]
    people = [(e.change, e.time) for e in events if e.event == "person"]
    assert people == [("enters", 0.0), ("leaves", 0.3)]


# The command


def test_the_command_ends_with_0_after_ctrl_c_and_writes_events(toy, video):
    path = video(times=[i / 10 for i in range(30)], pictures=None)
    words = ("live", path, "--model", toy, "--port", 0, "--minimum", 0.1, "--no-browser")
    running = started(*words)
    assert running.stderr is not None
    assert running.stdout is not None
    first = running.stderr.readline()
    assert "open http://localhost:" in first
    line = json.loads(running.stdout.readline())
    assert (line["event"], line["change"]) == ("person", "enters")
    running.send_signal(2)
    out, err = running.communicate(timeout=8)
    assert running.returncode == 0, err
    assert "Traceback" not in err
    assert json.loads(out.splitlines()[-1])["change"] in ("leaves", "ends")


def test_errors_of_the_command_are_one_line(toy, tmp_path):
    for words, why in [
        (("live", tmp_path / "none.mp4"), "no such file"),
        (("live", "--rules", "standing_on_one_leg"), "no rule named"),
        (("live", "--clients", 0), "clients is 0"),
        (("live", "--port", 70000), "port is 70000"),
        (("live", "--smooth", "butterworth", "--port", 0), "future frames"),
        (("live", "--keyfile", "a.pem"), "certfile"),
    ]:
        done = command(*words, "--model", toy)
        assert done.returncode == 1, words
        assert why in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_missing_extra_is_one_line(toy, monkeypatch):
    for name in ("uvicorn", "vitruvian.verbs.live.server"):
        monkeypatch.setitem(sys.modules, name, None) if name == "uvicorn" else (
            monkeypatch.delitem(sys.modules, name, raising=False)
        )
    done = command("live", "--model", toy, "--port", 0)
    assert done.returncode == 1
    assert pip_install("live") in done.stderr
