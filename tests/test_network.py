"""Networks are functions of N rows, whatever N is. Tiny ones, built here with OpenVINO itself."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from conftest import refused
from vitruvian.models import zoo
from vitruvian.network.openvino import (
    PRECISIONS,
    OpenVino,
    _note_precision,
    import_openvino,
    openvino_core,
)
from vitruvian.weights import compiled, download


def file(path: Path, build: Callable) -> Path:
    """The file of a network with one input, (1, 4), and the outputs that `build(op, x)` gives."""
    openvino = import_openvino()
    import openvino.opset13 as op

    x = op.parameter([1, 4], np.float32, name="x")
    model = openvino.Model(list(build(op, x)), [x])
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Outputs: the rows doubled, (N, 4); their sums, (N, 1); each row as a square, (N, 2, 2)."""

    def build(op, x):
        yield op.multiply(x, op.constant(np.float32(2)))
        yield op.reduce_sum(x, op.constant([1]), keep_dims=True)
        yield op.reshape(x, op.constant([-1, 2, 2]), special_zero=False)

    return file(tmp_path / "toy.xml", build)


@pytest.fixture
def folding(tmp_path: Path) -> Path:
    """One row whatever comes in, as BlazePose's detector does: (1, N, 4)."""

    def build(op, x):
        yield op.reshape(x, op.constant([1, -1, 4]), special_zero=False)

    return file(tmp_path / "folding.xml", build)


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("batch", [True, False])
def test_n_rows_in_are_n_rows_out(n: int, batch: bool, toy: Path, rng):
    rows = rng.normal(size=(n, 4)).astype(np.float32)
    doubled, sums, squares = OpenVino(toy, batch=batch)(rows)
    np.testing.assert_array_equal(doubled, rows * 2)
    np.testing.assert_allclose(sums, rows.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(squares, rows.reshape(n, 2, 2))
    assert {output.dtype for output in (doubled, sums, squares)} == {np.dtype(np.float32)}


def test_three_at_once_are_three_single_runs(toy: Path, rng):
    network, rows = OpenVino(toy), rng.normal(size=(3, 4)).astype(np.float32)
    single = [network(rows[i : i + 1]) for i in range(3)]
    for together, apart in zip(network(rows), zip(*single, strict=True), strict=True):
        np.testing.assert_array_equal(together, np.concatenate(apart))


def test_results_are_the_caller_s_to_keep(toy: Path):
    """The infer request is used again; what it gave before must not change under the caller."""
    network = OpenVino(toy)
    first = network(np.ones((1, 4), np.float32))[0]
    network(np.zeros((1, 4), np.float32))
    np.testing.assert_array_equal(first, 2)
    first[:] = 5
    np.testing.assert_array_equal(network(np.ones((1, 4), np.float32))[0], 2)


@pytest.mark.parametrize("outputs", [[0], [2, 0], [1]])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_only_the_outputs_asked_for_come_back_in_that_order(outputs, n, toy: Path, rng):
    rows = rng.normal(size=(n, 4)).astype(np.float32)
    for got, want in zip(
        OpenVino(toy, outputs=outputs)(rows),
        [OpenVino(toy)(rows)[i] for i in outputs],
        strict=True,
    ):
        np.testing.assert_array_equal(got, want)


def test_a_network_that_folds_its_batch_is_caught(folding: Path):
    """Where rows are a batch; a processor computes them side by side."""
    with pytest.raises(ValueError, match=r"folding.xml: 3 rows in, \[\(1, 3, 4\)\] out"):
        OpenVino(folding, device="AUTO")(np.ones((3, 4), np.float32))


def test_a_network_that_folds_its_batch_can_be_run_row_by_row(folding: Path, rng):
    rows = rng.normal(size=(3, 4)).astype(np.float32)
    for network in (OpenVino(folding), OpenVino(folding, device="AUTO", batch=False)):
        np.testing.assert_array_equal(network(rows)[0], rows[:, None])


def test_a_device_with_batches_gives_the_same(toy: Path, rng):
    """Also for frequent batch sizes, which are compiled on their own, and more of them than are."""
    network = OpenVino(toy, device="AUTO")
    for n in (*[3] * 25, *[2] * 25, *[5] * 25, 1, 3):
        rows = rng.normal(size=(n, 4)).astype(np.float32)
        np.testing.assert_array_equal(network(rows)[0], rows * 2)


@pytest.mark.parametrize("batch", [True, False])
def test_threads_may_call_it_at_once(batch: bool, toy: Path, rng):
    """Also the first batch of several, which is compiled when it comes."""
    network = OpenVino(toy, batch=batch, threads=1)
    inputs = [rng.normal(size=(n, 4)).astype(np.float32) for n in [1, 3, 2, 1, 0] * 20]
    with ThreadPoolExecutor(4) as pool:
        for rows, (doubled, *_) in zip(inputs, pool.map(network, inputs), strict=True):
            np.testing.assert_array_equal(doubled, rows * 2)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_opens_and_one_that_the_processor_lacks_is_said(
    precision: str, toy: Path, capsys: pytest.CaptureFixture[str]
):
    """Ones and twos are exact in all of them; whether it rounds depends on the processor.

    OpenVINO computes in f32 without a word where the processor lacks what is asked for, and in bf16
    for f16 where it has only that (2026.4.1).
    """
    _note_precision.cache_clear()
    has = {"f32", *openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")}
    network, _ = (OpenVino(toy, precision=precision) for _ in range(2))
    np.testing.assert_array_equal(network(np.ones((2, 4), np.float32))[0], 2)
    there = precision == "f32" or {"bf16": "BF16", "f16": "FP16"}[precision] in has
    used = precision if there else "bf16" if precision == "f16" and "BF16" in has else "f32"
    assert network.precision == used
    assert ("" if used == "f32" else f"in {used}") in network.runs_on
    lines = capsys.readouterr().err.splitlines()
    assert lines == (
        [] if there else [f"vitruvian: CPU has no {precision} here: networks run in {used}"]
    )


def test_a_device_or_precision_that_is_not_there_is_one_clear_line(toy: Path):
    with refused("no device named 'TPU'", "CPU"):
        OpenVino(toy, device="TPU")
    with refused("no precision named 'f61'", "did you mean 'f16'?"):
        OpenVino(toy, precision="f61")


@pytest.mark.parametrize("device", ["CPU", "AUTO", "AUTO:CPU"])
def test_it_says_what_it_runs_on(device: str, toy: Path):
    assert "CPU" in OpenVino(toy, device=device).runs_on


def test_openvino_is_imported_without_its_telemetry(tmp_path: Path):
    """`import openvino` alone sends an event to Google and writes an id into the home folder."""
    code = (
        "import sys\n"
        "from vitruvian.network.openvino import import_openvino\n"
        "openvino = import_openvino()\n"
        "openvino.Core()\n"
        "assert import_openvino() is openvino\n"
        "assert None not in sys.modules.values()\n"
        "assert 'openvino' in sys.modules\n"
        "assert not [name for name in sys.modules if 'telemetry' in name]\n"
    )
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **home}, check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.weights
def test_the_real_landmark_network_takes_a_batch_and_the_real_detector_does_not(blazepose, rng):
    """DESIGN.md, section 8: three at once are three single runs; three folded are (1, 6762, 12)."""
    blazepose("full")
    detector, landmarks = download.fetch(zoo.entry("blazepose-full").files)
    network = OpenVino(landmarks, outputs=[0, 1, 4])
    rows = rng.uniform(0, 1, (3, 256, 256, 3)).astype(np.float32)
    single = [network(rows[i : i + 1]) for i in range(3)]
    for together, apart in zip(network(rows), zip(*single, strict=True), strict=True):
        np.testing.assert_array_equal(together, np.concatenate(apart))
    with pytest.raises(ValueError, match=r"3 rows in, .*\(1, 6762, 12\)"):
        OpenVino(detector, device="AUTO")(np.zeros((3, 224, 224, 3), np.float32))


def test_threads_whose_first_calls_meet_do_not_wait_for_each_other(toy: Path):
    """In a new Python, where each opens a network of its own.

    OpenVINO's table of number types must be there before: without that, 7 of 12 runs of eight
    threads that asked for it at once never ended (2026.4.1).
    """
    code = f"""
import sys, threading
import numpy as np
from pathlib import Path
from vitruvian.network.openvino import OpenVino
together, done = threading.Barrier(8), []
def first():
    together.wait()
    done.append(OpenVino(Path({str(toy)!r}), streams=2)(np.ones((1, 4), np.float32)))
sys.setswitchinterval(1e-7)
threads = [threading.Thread(target=first) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(done) == 8
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_compiled_network_is_used_again_unless_it_is_damaged(toy, cache, rng, monkeypatch):
    """A flipped byte in OpenVINO's own cache (`CACHE_DIR`, 2026.4.1) gives other numbers."""
    monkeypatch.setattr(compiled, "SMALLEST", 0)
    rows, many = rng.normal(size=(1, 4)).astype(np.float32), np.ones((3, 4), np.float32)
    first = [*OpenVino(toy)(rows), *OpenVino(toy)(many)]
    made = []
    monkeypatch.setattr(OpenVino, "_made", lambda self, shapes: made.append(shapes))
    network = OpenVino(toy)
    for a, b in zip([*network(rows), *network(many)], first, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not made
    assert "CPU" in network.runs_on
    monkeypatch.undo()
    monkeypatch.setattr(compiled, "SMALLEST", 0)
    monkeypatch.setenv("VITRUVIAN_CACHE", str(cache))
    for path in (cache / "compiled").iterdir():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    for a, b in zip(OpenVino(toy)(rows), first, strict=False):
        np.testing.assert_array_equal(a, b)
    # Another network of the same name.
    other = file(toy.with_name("other.xml"), lambda op, x: [op.multiply(x, op.constant(rows))])
    for suffix in (".xml", ".bin"):
        other.with_suffix(suffix).replace(toy.with_suffix(suffix))
    np.testing.assert_array_equal(OpenVino(toy)(rows)[0], rows * rows)


def test_networks_run_where_nothing_can_be_kept(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "SMALLEST", 0)
    (tmp_path / "file").touch()
    monkeypatch.setenv("VITRUVIAN_CACHE", str(tmp_path / "file"))
    assert (OpenVino(toy)(np.ones((1, 4), np.float32))[0] == 2).all()


def test_compiled_networks_unused_for_longest_make_room(cache, monkeypatch):
    monkeypatch.setattr(compiled, "SMALLEST", 0)
    monkeypatch.setattr(compiled, "MOST", 3000)
    for i, name in enumerate("abcd"):
        compiled.write(name, bytes(900))
        os.utime(cache / "compiled" / name, (i, i))
        if name == "c":
            assert compiled.read("a") == bytes(900)  # used
    assert sorted(path.name for path in (cache / "compiled").iterdir()) == ["a", "c", "d"]


def test_results_of_networks_started_early_are_their_own(toy):
    network = OpenVino(toy)
    waits = [network.start(np.full((n, 4), n, np.float32)) for n in (1, 2, 1, 2, 3)]
    for n, wait in zip((1, 2, 1, 2, 3), waits, strict=True):
        np.testing.assert_array_equal(wait()[0], np.full((n, 4), 2 * n))


def test_a_signal_is_heard_after_networks_are_gone(toy: Path):
    """A process of its own: it was a segmentation fault."""
    code = (
        "import signal, sys\nfrom pathlib import Path\n"
        "from vitruvian.network.openvino import OpenVino\n"
        "first, second = (OpenVino(Path(sys.argv[1])) for _ in range(2))\n"
        "del first\ndel second\n"
        "signal.signal(signal.SIGINT, lambda *_: print('heard'))\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    line = [sys.executable, "-c", code, str(toy)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n")
