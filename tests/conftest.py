"""What the tests share: a seeded generator, tiny images and videos, toy people, real weights.

Nothing here needs the network, but for `blazepose`: it fetches weights that are not in the cache.
"""

from __future__ import annotations

import io
import os
import re
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# Read by NumPy and torch as they are imported, here and in processes that tests start: where
# pytest-xdist has a worker a core, more threads would wait for each other, and burn it.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest

import vitruvian
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError
from vitruvian.formats.format import Sink
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.options import StreamDefaults
from vitruvian.models.zoo import entry
from vitruvian.network.onnxruntime import OnnxRuntime
from vitruvian.network.openvino import OpenVino
from vitruvian.streams.stream import Stream
from vitruvian.weights import download

SHARED = Path(__file__).parents[2] / "shared"
TOY = Skeleton.table(
    "toy",
    "tests/conftest.py",
    ("nose", "", 0.1),
    ("left_hand", "nose", 0.1),
    ("right_hand", "nose left_hand", 0.1),
)


def absent(why: str) -> None:
    """Skip the test, or fail it where everything must be there (the CI)."""
    if os.environ.get("VITRUVIAN_REQUIRE_WEIGHTS") == "1":
        pytest.fail(f"VITRUVIAN_REQUIRE_WEIGHTS=1, but {why}")
    pytest.skip(why)


def need(library: str) -> None:
    """Skip the test where an extra is not installed, but in the CI, where all of them are."""
    try:
        __import__(library)
    except ImportError:
        absent(f"{library} is not installed")


def runtimes(file: Path) -> list[OpenVino | OnnxRuntime]:
    """A network file in each runtime that opens it."""
    opened: list[OpenVino | OnnxRuntime] = [OpenVino(file)]
    if file.suffix == ".onnx":
        need("onnxruntime")
        opened.append(OnnxRuntime(file))
    return opened


@contextmanager
def refused(*words: str) -> Iterator[None]:
    """What happens inside is refused with a VitruvianError: one line, with these words in it."""
    with pytest.raises(VitruvianError) as caught:
        yield
    is_one_line(caught.value, *words)


def stream_defaults(options: Mapping[str, Any]) -> StreamDefaults:
    """What streams of a toy model with these options do."""
    names = StreamDefaults.names()
    return StreamDefaults(**{name: options[name] for name in names if name in options})


def streamed(
    source: Any,
    model: Any,
    on_error: Callable[[VitruvianError], None],
    *,
    pixels: bool = True,
    **how: Any,
) -> Iterator[tuple[Frame, Poses]]:
    """Every frame of a source with its poses, by a fresh `Stream` with these arguments."""
    return Stream(model, moving=source.moving, **how).run(source, on_error, pixels=pixels)


@contextmanager
def noted(pattern: str) -> Iterator[None]:
    """What happens inside says, in a line to standard error, what this pattern matches."""
    with redirect_stderr(io.StringIO()) as said:
        yield
    assert re.search(pattern, said.getvalue()), said.getvalue()


def is_one_line(error: object, *words: str) -> None:
    """Assert that this is a VitruvianError as the user wants it."""
    assert isinstance(error, VitruvianError)
    assert "\n" not in str(error)
    for word in words:
        assert word in str(error)


def stopped(sink: Sink, *pairs: tuple[Frame, Poses]) -> None:
    """All of it into a sink, and then the user presses Ctrl-C."""
    with sink:
        for pair in pairs:
            sink.write(*pair)
        raise KeyboardInterrupt


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Skipped tests counted by reason: what was not tested is said."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"not tested: {number} for {reason}", yellow=True)


@pytest.fixture(autouse=True)
def offline_ends_with_the_test() -> Iterator[None]:
    """Commands that run in this process set it for good with `--offline`."""
    before = os.environ.get("VITRUVIAN_OFFLINE")
    yield
    os.environ.pop("VITRUVIAN_OFFLINE", None)
    if before is not None:
        os.environ["VITRUVIAN_OFFLINE"] = before


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder: nothing may depend on where it is run."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers in every run."""
    return np.random.default_rng(20)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of images, videos and goldens beside the repository; mark the test `shared`."""
    if not SHARED.is_dir():
        absent("the shared images and goldens are not here")
    return SHARED


@pytest.fixture(scope="session")
def blazepose() -> Callable[..., Any]:
    """`blazepose("full", num_poses=2)` is a model, loaded once; mark the test `weights`."""
    models: dict[str, Any] = {}
    missing: dict[str, str] = {}  # asked for once: a registry out of reach is slow to say so

    def load(size: str = "full", **options: Any) -> Any:
        name = f"blazepose-{size}"
        if name not in missing:
            try:
                download.fetch(entry(name).files)
                missing[name] = ""
            except VitruvianError as error:
                missing[name] = f"{name} cannot be had: {error}"
        if missing[name]:
            absent(missing[name])
        key = f"{name} {sorted(options.items())}"
        if key not in models:
            models[key] = vitruvian.load(name, **options)
        return models[key]

    return load


@pytest.fixture(scope="session")
def torch() -> Any:
    torch = pytest.importorskip("torch", reason="torch is not installed (the train extra)")
    pytest.importorskip("onnx", reason="onnx is not installed (the train extra)")
    return torch


@pytest.fixture(scope="session")
def metrabs(torch: Any) -> Any:
    from vitruvian.exports.networks import metrabs

    return metrabs


@pytest.fixture(scope="session")
def metrabs_golden() -> dict[str, np.ndarray]:
    """What MeTRAbs' authors' code gives for two images of noise and the weights of `seeded`."""
    file = SHARED / "golden/metrabs_centered.npz"
    if not file.exists():
        absent("../shared/golden/metrabs_centered.npz is not here")
    read = np.load(file)
    return {name.removeprefix("centered/"): read[name] for name in read.files}


def _numbers(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weight rule of the golden file, at the end of specs/metrabs.md."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key == "heatmap_heads.conv_final.weight":
        joints, depth, channels = 24, 8, 1280
        gain = np.linspace(3, 14, joints)
        flat = rng.standard_normal((joints, channels)) / np.sqrt(channels) * gain[:, None]
        noise = rng.standard_normal((depth, joints, channels)) / np.sqrt(channels)
        deep = flat + 0.3 * noise * gain[None, :, None]
        made = np.concatenate([flat, deep.reshape(depth * joints, channels)]).reshape(shape)
    elif len(shape) == 4:
        made = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif len(shape) == 1 and key.endswith(".weight"):
        made = rng.uniform(0.8, 1.2, shape)
    else:
        made = 0.1 * rng.standard_normal(shape)
    return made.astype(np.float32)


@pytest.fixture(scope="session")
def seeded(
    torch: Any, metrabs: Any, metrabs_golden: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The tensors of MeTRAbs' golden network, S with 24 points."""
    with torch.device("meta"):
        network = metrabs.Metrabs(metrabs.MetrabsShape.of("efficientnetv2-s", 24))
    tensors = {}
    for key, value in network.state_dict().items():
        if f"bn/{key}" in metrabs_golden:
            tensors[key] = metrabs_golden[f"bn/{key}"]
        elif key.endswith("num_batches_tracked"):
            tensors[key] = np.zeros((), np.int64)
        else:
            tensors[key] = _numbers(key, tuple(value.shape))
    total = sum(np.abs(v).sum(dtype=float) for k, v in tensors.items() if "running" not in k)
    assert total == pytest.approx(metrabs_golden["weight_checksum_abs_sum"], rel=1e-9)
    return tensors


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for weights, and no other."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("VITRUVIAN_CACHE", str(folder))
    monkeypatch.delenv("VITRUVIAN_OFFLINE", raising=False)
    return folder


@pytest.fixture
def people(rng: np.random.Generator) -> Callable[..., Poses]:
    """`people(2)` are two visible people somewhere in a 64 x 48 frame; `people(2, xy=...)`, there.

    `everything=True` also gives them all fields that records keep, and a mask.
    """

    def make(
        n: int = 1, skeleton: Skeleton = TOY, *, everything: bool = False, **fields: Any
    ) -> Poses:
        k = len(skeleton)
        given: dict[str, Any] = {
            "xy": rng.uniform(4, 44, (n, k, 2)).astype(np.float32),
            "score": rng.uniform(0.6, 1, (n, k)).astype(np.float32),
            "box_score": rng.uniform(0.5, 1, n).astype(np.float32),
            "person": np.arange(1, n + 1),
        }
        if everything:
            given |= {
                "xyz": rng.normal(0, 0.5, (n, k, 3)).astype(np.float32),
                "origin": "hips",
                "presence": rng.uniform(0, 1, (n, k)).astype(np.float32),
                "depth": rng.normal(0, 20, (n, k)).astype(np.float32),
                "mask": rng.uniform(0, 1, (n, 48, 64)).astype(np.float32),
                "world": rng.normal(0, 3, (n, k, 3)).astype(np.float32),
                "error": rng.uniform(0, 9, n).astype(np.float32),
                "plausible": np.arange(n) % 2 == 0,
            }
        given |= fields
        xy = given["xy"]
        if "box" not in given:
            low = np.min(xy, axis=1, initial=np.inf, where=~np.isnan(xy))
            high = np.max(xy, axis=1, initial=-np.inf, where=~np.isnan(xy))
            given["box"] = np.concatenate([low, high], axis=1).astype(np.float32)
        if everything and "look" not in given:
            look = Regions.boxes(given["box"], given["box_score"])
            given["look"] = Regions(look.centre, look.size, look.angle, look.score, given["person"])
        return Poses(skeleton, **given)

    return make


@pytest.fixture
def frame() -> Callable[..., Frame]:
    """`frame(3, 0.1)`: a grey frame, number 3, at 0.1 s; 64 x 48 unless `size` says otherwise."""

    def make(
        index: int = 0,
        seconds: float = 0.0,
        *,
        size: tuple[int, int] = (64, 48),
        grey: int = 100,
        source: str = "clip.mp4",
    ) -> Frame:
        return Frame(np.full((size[1], size[0], 3), grey, np.uint8), index, seconds, source)

    return make


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """`picture("a.png", values)` writes values as an image of a Pillow mode; returns the path."""
    from PIL import Image

    def make(
        name: str,
        values: np.ndarray | None = None,
        mode: str = "RGB",
        *,
        orientation: int | None = None,
        **options: Any,
    ) -> Path:
        if values is None:
            values = np.full((6, 8, 3), 128, np.uint8)
        image = Image.frombytes(
            mode, (values.shape[1], values.shape[0]), np.ascontiguousarray(values).tobytes()
        )
        if orientation is not None:
            exif = Image.Exif()
            exif[0x0112] = orientation  # the tag Orientation
            options["exif"] = exif
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        return path

    return make


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """`video("a.mp4", times)` writes a video with a frame at each time, seconds.

    Frame i is as grey as `grey(i)`, so that a frame can be told from the next. `pictures` are shown
    instead if given; `clockwise_deg` is how players are told to turn them (.mp4 only).
    """
    import av

    def make(
        name: str = "clip.mp4",
        times: Iterable[float] = (0.0, 0.1, 0.2, 0.3, 0.4),
        *,
        size: tuple[int, int] = (64, 48),
        pictures: Sequence[np.ndarray] | None = None,
        clockwise_deg: int = 0,
        key_every: int = 5,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.options = {"g": str(key_every), "crf": "10", "preset": "ultrafast"}
            stream.codec_context.time_base = Fraction(1, 1000)
            for i, seconds in enumerate(times):
                values = np.full((size[1], size[0], 3), grey(i), np.uint8)
                if pictures is not None:
                    values = pictures[i]
                shown = av.VideoFrame.from_ndarray(values, format="rgb24")
                shown.pts, shown.time_base = round(seconds * 1000), Fraction(1, 1000)
                container.mux(stream.encode(shown))
            container.mux(stream.encode(None))
        if clockwise_deg:
            _turn(path, clockwise_deg)
        return path

    return make


def grey(index: int) -> int:
    """0..255, how grey the video factory paints a frame; ten grey values from one to the next."""
    return 30 + 10 * (index % 20)


def _turn(path: Path, clockwise_deg: int) -> None:
    """Write a rotation into the track header (`tkhd`, ISO 14496-12 8.3.2) of an .mp4."""
    a, b, c, d = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[clockwise_deg]
    data = bytearray(path.read_bytes())
    box = data.index(b"tkhd")
    assert data[box + 4] == 0  # version: 1 has longer times before the matrix
    numbers = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    data[box + 44 : box + 80] = b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)
    path.write_bytes(data)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """`serve({"/a.zip": data})` is the address of a web server on this machine that has it.

    Data may also be a redirection: an address, as text. Parts of files (`Range`) can be asked for.
    """
    monkeypatch.setenv("no_proxy", "*")
    files: dict[str, bytes | str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            if isinstance(data, str):
                self.send_response(302)
                self.send_header("Location", data)
                self.end_headers()
                return
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            with suppress(ConnectionError):  # who has seen enough hangs up
                self.wfile.write(data[start:])

        def log_message(self, format: str, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(0.01))
    thread.start()

    def add(more: dict[str, bytes | str]) -> str:
        files.update(more)
        return f"http://127.0.0.1:{server.server_port}"

    yield add
    server.shutdown()
    thread.join()
    server.server_close()
