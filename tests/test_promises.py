"""What is promised whatever happens: nothing is lost, nobody is told, one bad file ends no run."""

from __future__ import annotations

import errno
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vitruvian as vit
from commands import started
from conftest import TOY, absent, refused
from vitruvian import stopping
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.cli import terminal
from vitruvian.errors import VitruvianError
from vitruvian.formats import atomic_file as parts
from vitruvian.formats.atomic_file import AtomicFile, WriteError, alone_in, write_whole, writing
from vitruvian.frame import Frame
from vitruvian.models.options import StreamDefaults
from vitruvian.sources import threads
from vitruvian.sources.open import Span
from vitruvian.sources.video import VideoFile
from vitruvian.verbs.output_files import plan_outputs
from vitruvian.verbs.outputs import Save, open_sink
from vitruvian.verbs.predict import write_poses
from vitruvian.weights import download

fcntl = pytest.importorskip("fcntl", reason="files are locked this way on Unix only")
OFFLINE = {**os.environ, "VITRUVIAN_OFFLINE": "1"}
GROWING = (".jsonl", ".csv", ".json", ".parquet", ".mp4", ".mkv", ".rrd")


def sink_of(path: Path) -> Any:
    """A sink, or a skip where its library is missing."""
    if path.suffix == ".rrd" and importlib.util.find_spec("rerun") is None:
        absent("rerun is not installed (the rerun extra)")
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
    return open_sink(path, overwrite=True)


# Two writers


@pytest.mark.parametrize("suffix", GROWING)
def test_the_second_writer_of_a_file_is_refused(suffix, tmp_path: Path, people, frame):
    path = tmp_path / f"a{suffix}"
    with sink_of(path) as first:
        first.write(frame(0), people(1, COCO17))
        with refused(f"{path}", "another process is writing it", "--out"), sink_of(path) as second:
            second.write(frame(0), people(1, COCO17))
        first.write(frame(1, 0.1), people(1, COCO17))
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_behind_is_taken_over(tmp_path: Path, people, frame):
    path = tmp_path / "a.csv"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from vitruvian.formats.atomic_file import AtomicFile\n"
        "AtomicFile(Path(sys.argv[1])).begin().write_text('half a li')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a.csv.part").read_text() == "half a li"
    with open_sink(path) as sink:
        sink.write(frame(), people(1, COCO17))
    assert list(tmp_path.iterdir()) == [path]
    assert "half a li" not in path.read_text()


def test_a_file_that_somebody_else_has_finished_meanwhile_is_not_replaced(tmp_path: Path):
    path = tmp_path / "a.txt"
    ours = AtomicFile(path)
    late = AtomicFile(path)
    ours.begin().write_text("ours")
    path.write_text("theirs")
    with refused("another process wrote it in the meantime"):
        ours.finish()
    with refused("another process wrote it in the meantime"):
        late.begin()
    assert path.read_text() == "theirs"
    write_whole(path, "asked for later")  # who comes after it may replace it
    assert path.read_text() == "asked for later"


def test_a_folder_that_is_being_worked_in_is_refused_to_others(tmp_path: Path):
    folder = tmp_path / "new"
    with alone_in(folder), refused("another process is writing there"), alone_in(folder):
        pass
    with alone_in(folder):
        pass


def test_where_there_are_no_locks_unfinished_files_have_names_of_their_own(tmp_path, monkeypatch):
    def none(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(parts.fcntl, "flock", none)
    path = tmp_path / "a.txt"
    one = AtomicFile(path)
    one.begin().write_text("whole")
    assert str(os.getpid()) in one.unfinished.name
    one.finish()
    assert path.read_text() == "whole"


# Odd places


def test_devices_pipes_and_folders_are_not_replaced(tmp_path: Path):
    os.mkfifo(tmp_path / "a.jsonl")
    (tmp_path / "b.csv").symlink_to(os.devnull)
    (tmp_path / "c.mp4").mkdir()
    for name, kind in (("a.jsonl", "pipe"), ("b.csv", "device"), ("c.mp4", "folder")):
        with refused("it is a", kind):
            AtomicFile(tmp_path / name).begin()
    assert not list(tmp_path.glob("*.part"))


def test_a_link_stays_a_link(tmp_path: Path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "a.txt", tmp_path / "a.txt"
    link.symlink_to(target)
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize("length", [200, 251, 255])
def test_names_may_be_as_long_as_the_file_system_lets_them(length, tmp_path: Path):
    path = tmp_path / ("ä" * ((length - 5) // 2)).ljust((length - 5) // 2 + length % 2, "a")
    path = path.with_name(path.name + ".txt")
    write_whole(path, "whole")
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_removed_meanwhile_is_told(tmp_path: Path, people, frame):
    path = tmp_path / "out" / "a.jsonl"
    with refused("a.jsonl", "removed while writing"), open_sink(path) as sink:
        sink.write(frame(), people())
        shutil.rmtree(path.parent)


# Full disks: a limit on the size of files stands for them


@pytest.mark.parametrize("suffix", [*GROWING, ".html", "_3d.gif"])
def test_a_full_disk_is_never_told_as_done(suffix, tmp_path: Path, people, frame, rng):
    """A limit just below what is needed: only the very last bytes do not fit."""
    resource = pytest.importorskip("resource")
    if suffix == ".rrd" and importlib.util.find_spec("rerun") is None:
        absent("rerun is not installed (the rerun extra)")
    xyz = rng.normal(0, 0.5, (1, 17, 3)).astype(np.float32)
    body = people(1, COCO17, xyz=xyz, origin="hips")

    def write(path: Path) -> None:
        with sink_of(path) as sink:
            for i in range(4):
                sink.write(frame(i, i / 10, grey=40 * i), body)

    write(tmp_path / f"a{suffix}")
    size = (tmp_path / f"a{suffix}").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # How large a recording of Rerun becomes is not the same each time.
    last = [] if suffix == ".rrd" else [size - 30]
    for limit in (0, 40, size // 2, *last):
        path = tmp_path / f"b{suffix}"
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises((OSError, VitruvianError)) as caught:
                write(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert "File too large" in str(caught.value)
        assert not path.exists()
        path.with_name(path.name + ".part").unlink(missing_ok=True)


def test_after_a_write_that_failed_a_film_is_not_written_to_again(
    tmp_path, monkeypatch, frame, people
):
    """PyAV 18.1 and FFmpeg end the process there, without a word."""
    sink: Any = open_sink(tmp_path / "a.mp4")
    tried: list[object] = []

    class Full:
        def mux(self, packets: object) -> None:
            tried.append(packets)
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            tried.append("closed")

    def write() -> None:
        with sink:
            sink.write(frame(), people())
            sink.film.container.close()
            sink.film.container = Full()
            with suppress(OSError):
                sink.write(frame(1, 0.1), people())
            sink.write(frame(2, 0.2), people())

    with pytest.raises(OSError, match="No space left"):
        write()
    assert len(tried) == 2
    assert tried[-1] == "closed"
    assert not (tmp_path / "a.mp4").exists()


def test_disk_errors_are_one_line_and_say_where_the_rest_is(tmp_path):
    with refused("cannot write to 'out'", "Disk quota exceeded", ".part"), writing(Path("out")):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    with refused("cannot write to 'out'", "of a library"), writing(Path("out")):
        raise OSError("of a library\nand where in its source")


# Ctrl-C, SIGTERM, SIGHUP


@pytest.fixture
def signals(monkeypatch) -> Iterator[None]:
    """Ours, and the old ones afterwards; a second one, however late, does not end pytest."""
    names = [getattr(signal, name) for name in stopping.SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in names}
    monkeypatch.setattr(stopping, "TWICE", float("inf"))
    for name, value in {"hold": False, "kept": None, "received": None, "since": 0.0}.items():
        monkeypatch.setattr(stopping._State, name, value)
    for number in names:
        signal.signal(number, signal.SIG_DFL)  # in the background some are ignored
    stopping.handle_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_waits_for_the_next_frame(name, signals):
    number, seen = getattr(signal, name), []

    def loop() -> None:
        with stopping.hold_signals():
            for item in stopping.interruptible([1, 2, 3]):
                if item == 2:
                    signal.raise_signal(number)
                    signal.raise_signal(number)  # `timeout` sends it twice
                seen.append(item)

    with pytest.raises(stopping.Interrupted) as caught:
        loop()
    assert seen == [1, 2]
    assert caught.value.number == stopping.received_signal() == number


def test_a_signal_while_files_are_closed_comes_when_they_are(signals):
    done = []

    def close() -> None:
        with stopping.hold_signals():
            signal.raise_signal(signal.SIGTERM)
            done.append("closed")
        done.append("never")

    with pytest.raises(stopping.Interrupted):
        close()
    assert done == ["closed"]


def test_a_film_that_was_interrupted_as_it_began_leaves_nothing(
    tmp_path, monkeypatch, people, frame
):
    import av

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(av, "open", interrupted)
    with pytest.raises(KeyboardInterrupt), open_sink(tmp_path / "a.mp4") as sink:
        sink.write(frame(), people())
    assert not list(tmp_path.iterdir())


@pytest.mark.weights
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_leaves_valid_files_of_what_was_done(name, blazepose, video, tmp_path):
    blazepose("lite")
    clip, out = video("clip.mp4", [i / 30 for i in range(3000)]), tmp_path / "out"
    number = getattr(signal, name)
    words = ("predict", clip, "--model", "blazepose-lite", "--out", out)
    with started(*words, env=OFFLINE) as process:
        while not list(out.glob("*.jsonl.part")) or not list(out.glob("*.mp4.part")):
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert said.endswith("vitruvian: stopped\n")
    assert sorted(path.name for path in out.glob("[!.]*")) == ["clip.jsonl", "clip.mp4"]
    frames = len(list(vit.read(out / "clip.jsonl")))
    assert 0 < frames < 3000
    assert sum(1 for _ in vit.open_source(out / "clip.mp4")[0]) == frames


# Standard output and error


def test_what_is_printed_costs_no_files(monkeypatch):
    """A disk that is full is told at the end; a reader who has seen enough is not."""
    for number, fault in ((errno.ENOSPC, "No space left on device"), (errno.EPIPE, "")):
        raw = terminal._Forgiving(1)

        def fail(*_: object, number: int = number) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(terminal.os, "write", fail)
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(raw)))
        print("a line")
        print("another")
        assert terminal.StandardStreams(raw).fault() == fault


@pytest.mark.parametrize("closed", ["0>&- 1>&- 2>&-", "1>/dev/full", "2>&-"])
def test_closed_outputs_do_not_get_into_files(closed, tmp_path):
    line = f'"{sys.executable}" -m vitruvian.cli models list {closed}'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == ("full" in closed), done.stderr
    assert "Traceback" not in done.stderr
    assert ("cannot write to standard output" in done.stderr) == ("full" in closed)


@pytest.mark.parametrize("words", [("predict", ""), ("predict", "sample", "--out", "")])
def test_a_variable_of_the_shell_that_is_not_set_is_told(words, monkeypatch, capsys, tmp_path):
    from vitruvian.cli import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vitruvian", *words])
    assert app._run() == 1
    assert "an argument is empty" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# One bad file


class Bad:
    """A source, or a model, as they are where a file is odd."""

    name, moving, live = "bad.mp4", True, False
    address = "bad.mp4"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(np.zeros((48, 64, 3), np.uint8), 0, 0.0, self.name)
        raise self.error

    def count(self) -> int:
        raise self.error


class Nobody:
    """A model that finds nobody."""

    name, weights, options, runs_on, skeleton = "nobody", {}, {}, "CPU", TOY
    wanted = StreamDefaults(track=False)

    def __call__(self, frames, look=None, /):
        return [Poses.nobody(TOY) for _ in frames]


@pytest.mark.parametrize(
    "error",
    [
        UnicodeDecodeError("utf-8", b"caf\xe9", 3, 4, "unexpected end of data"),
        OSError(errno.EIO, "Input/output error"),
        ValueError("unknown codec"),
        OverflowError("too large"),
        MemoryError(),
        VitruvianError("it is odd"),
    ],
)
def test_one_bad_source_stops_no_long_run(error, video, tmp_path, capsys):
    good = VideoFile(str(video("good.mp4")), Span())
    sources: Any = [Bad(error), good, Bad(error)]
    out, told = tmp_path / "out", []
    model: Any = Nobody()
    plans = plan_outputs(sources, out, Save.parse(None), overwrite=False)
    assert write_poses(plans, model, out, Save.parse(None), on_error=told.append) == 2
    assert len(told) == 3
    assert "2 inputs could not be read" in str(told[-1])
    assert all("cannot write" not in str(each) for each in told)
    frames = {path.name: len(list(vit.read(path))) for path in out.glob("*.jsonl")}
    assert frames == {"bad.jsonl": 1, "good.jsonl": 5, "bad_2.jsonl": 1}
    assert "good.mp4: 5 frames" in capsys.readouterr().out


def test_a_frame_that_cannot_be_decoded_is_of_its_source(tmp_path):
    class Coded:
        size = (64, 48)

        def rgb(self) -> np.ndarray:
            raise OSError(errno.EINVAL, "Invalid argument")

        part = rgb

    frame = Frame(Coded(), 7, 0.1, "odd.mp4")  # type: ignore[arg-type]
    with refused("cannot decode frame 7 of 'odd.mp4'"), writing(tmp_path):
        _ = frame.rgb


def test_a_full_disk_does_end_it(tmp_path, video, monkeypatch):
    sources: Any = [VideoFile(str(video(name)), Span()) for name in ("a.mp4", "b.mp4")]
    told, model, out = [], Nobody(), tmp_path / "out"
    plans = plan_outputs(sources, out, Save.parse(None), overwrite=False)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vitruvian.formats.growing.GrowingText.add", full)
    with pytest.raises(WriteError, match="No space left on device"):
        write_poses(plans, model, out, Save.parse(None), on_error=told.append)  # type: ignore[arg-type]
    assert not told
    assert not list(out.glob("b*"))


def test_a_file_that_could_not_be_finished_is_not_told_as_written(tmp_path, video, monkeypatch):
    model, out, said = Nobody(), tmp_path / "all.jsonl", list[str]()
    plans = plan_outputs([VideoFile(str(video()), Span())], out, Save.parse(None), overwrite=True)
    how: Any = {"say": said.append, "on_error": said.append}
    write_poses(plans, model, out, Save.parse(None), **how)  # type: ignore[arg-type]
    assert said == [f"{said[0].split(' -> ')[0]} -> {out}"]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vitruvian.formats.atomic_file.AtomicFile.finish", full)
    said.clear()
    with pytest.raises(WriteError, match="No space left on device"):
        write_poses(plans, model, out, Save.parse(None), **how)  # type: ignore[arg-type]
    assert not said


def test_a_source_that_cannot_be_counted_is_read_all_the_same():
    source: Any = Bad(ValueError("odd"))
    assert threads.count_of(source) is None
    frames = list(threads.readable(source))
    assert isinstance(frames[0], Frame)
    assert "bad.mp4" in str(frames[1])


# Nobody is told

WATCHED = """
import os, sys
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print("SOCKET", event, args, file=sys.__stderr__, flush=True)
        os._exit(77)
sys.addaudithook(watch)
"""
IN_PYTHON = """
from pathlib import Path
from vitruvian.network.onnxruntime import OnnxRuntime
from vitruvian.network.openvino import OpenVino
here = Path(sys.argv[1])
OpenVino(here), OnnxRuntime(here)
import vitruvian.formats.libraries
from vitruvian.exports.export import import_nncf
import_nncf()
for name in ("pandas", "xarray", "supervision", "rerun", "matplotlib.pyplot", "ezc3d"):
    __import__(name)
import time
time.sleep(3)
"""
AS_COMMAND = "from vitruvian.cli.app import main\nsys.argv[0] = 'vitruvian'\nmain()\n"
JOBS = {
    "predict": ("predict", "{clip}", "--out", "out", "--save", "video,json,parquet,plot"),
    "predict with ONNX Runtime": (
        *("predict", "{clip}", "--model", "vitruvian-2d,runtime=onnxruntime"),
        *("--find", "boxes.json", "--out", "o.jsonl"),
    ),
    "analyze": ("analyze", "{clip}", "--angles", "--out", "out"),
    "compare": (
        *(
            "compare",
            "{clip}",
            "--model",
            "blazepose-full",
            "--model",
            "blazepose-full,num_poses=2",
        ),
        *("--out", "out"),
    ),
    "track": ("track", "{clip}", "--smooth", "butterworth", "--repair", "--out", "out"),
    "convert": ("convert", "record.jsonl", "record.csv"),
    "val": (
        *("val", "--data", "truth.json", "--model", "vitruvian-2d,runtime=onnxruntime"),
        *("--out", "out"),
    ),
    "benchmark": (
        *(
            "benchmark",
            "--model",
            "vitruvian-2d",
            "--people",
            "1",
            "--rounds",
            "1",
            "--warm-up",
            "0",
        ),
        *("--frames", "2", "--seconds", "1", "--out", "b.json"),
    ),
    "models list": ("models", "list"),
    "doctor": ("doctor",),
}


def quiet(code: str, *words: object, tmp_path: Path) -> None:
    """Run it where every look into the network is seen, and look at what it leaves at home."""
    home = tmp_path / "home"
    home.mkdir()
    own = {"HOME": str(home), "TMPDIR": str(home), "VITRUVIAN_CACHE": str(download.cache_folder())}
    environment = {
        k: v for k, v in OFFLINE.items() if k not in ("ORT_DISABLE_TELEMETRY", "NNCF_CI")
    }
    line = [sys.executable, "-c", WATCHED + code, *map(str, words)]
    traced = (
        shutil.which("strace") is not None
        and subprocess.run(
            ["strace", "-o", os.devnull, "true"], capture_output=True, check=False
        ).returncode
        == 0
    )
    if traced:  # it sees what native libraries do, too
        trace = tmp_path / "trace"
        line = ["strace", "-f", "-qq", "-e", "trace=connect,sendto", "-o", str(trace), *line]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment | own
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert "SOCKET" not in done.stderr
    left = {path.relative_to(home).parts[:2] for path in home.rglob("*") if path.is_file()}
    assert left <= {(".cache", "matplotlib")}, left  # its list of fonts
    if traced:
        asked = [s for s in (tmp_path / "trace").read_text().splitlines() if "AF_INET" in s]
        assert not asked


@pytest.mark.weights
@pytest.mark.parametrize("job", JOBS)
def test_no_command_asks_the_network_or_leaves_files_at_home(
    job, blazepose, video, picture, tmp_path
):
    blazepose("full")
    if "ONNX" in job:
        pytest.importorskip("onnxruntime")
    clip = video("clip.mp4", [0.0, 0.1, 0.2])
    (tmp_path / "boxes.json").write_text("[]")
    picture("a.png", np.full((48, 64, 3), 128, np.uint8))
    person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [9, 9, 2] * 17}
    person |= {"bbox": [4, 4, 30, 40], "area": 900, "iscrowd": 0}
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}
    said = {"images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}]}
    said |= {"annotations": [person], "categories": [category]}
    (tmp_path / "truth.json").write_text(json.dumps(said))
    with vit.open_sink(tmp_path / "record.jsonl") as sink:
        sink.write(Frame(None, 0, 0.0, "v.mp4", size=(64, 48)), Poses.nobody(COCO17))
    words = [word.format(clip=clip) for word in JOBS[job]]
    quiet(AS_COMMAND, *words, tmp_path=tmp_path)


def test_no_library_asks_the_network_or_leaves_files_at_home(tmp_path):
    """ONNX Runtime 1.32 does both, some seconds after its import, unless it is told not to."""
    for name in ("torch", "onnxruntime", "nncf", "pandas", "xarray", "supervision", "rerun"):
        if importlib.util.find_spec(name) is None:
            absent(f"{name} is not installed (the dev extra)")
    network = download.SHIPPED / "hand_in_sight.onnx"
    quiet(IN_PYTHON, network, tmp_path=tmp_path)


def test_importing_vitruvian_changes_nothing_around_it():
    code = (
        "import os, signal, sys\nbefore = dict(os.environ), signal.getsignal(signal.SIGINT)\n"
        "import vitruvian\n"
        "assert before == (dict(os.environ), signal.getsignal(signal.SIGINT))\n"
        "vitruvian.open_sink, vitruvian.run\n"
        "assert not {'torch', 'onnxruntime', 'openvino', 'matplotlib'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


# Downloads that were killed


def test_what_killed_downloads_left_behind_goes_at_the_next(cache: Path):
    old, used, fresh = (cache / f"{download.FETCH}{name}" for name in ("old", "used", "fresh"))
    for folder in (old, used, fresh):
        folder.mkdir(parents=True)
        (folder / "archive").write_text("half of it")
    past = time.time() - 3600
    for folder in (old, used):
        os.utime(folder, (past, past))
    with download._in_use(used):
        download._sweep(cache)
    assert {path.name for path in cache.iterdir()} == {used.name, fresh.name}
