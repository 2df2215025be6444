"""A batch on Ray: two workers of this machine, and two machines of which one is lost."""

import json
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from commands import process, started, wait_for
from conftest import absent
from toy_yolo import toy_yolo
from vitruvian.verbs.batch import on_ray
from vitruvian.verbs.batch.work import RECORD

# Ray takes seconds to start, so few tests do much each.


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    if find_spec("ray") is None:
        absent("ray is not installed (the batch extra)")
    return toy_yolo(tmp_path_factory.mktemp("toy") / "toy.xml")


def words(toy: Path, tmp_path: Path, *more: object) -> list[object]:
    every = ["batch", tmp_path / "in", "--model", toy, "--out", tmp_path / "out", "--save", "json"]
    return [*every, "--rules", "seated", *more]


def clips(video, tmp_path: Path, number: int, frames: int) -> None:
    (tmp_path / "in").mkdir()
    for i in range(number):
        video(f"in/{i}.mp4", [k / 30 for k in range(frames)])


def lines_of(out: Path) -> dict[str, int]:
    """Lines of each record, of the results."""
    return {p.parent.name: len(p.read_text().splitlines()) for p in out.glob(f"*.mp4/{RECORD}")}


def test_ray_gives_what_processes_give_and_says_nothing_of_its_own(toy, video, tmp_path):
    clips(video, tmp_path, 3, 20)
    on_ray = process(*words(toy, tmp_path, "--ray", "local", "--workers", 2))
    assert on_ray.returncode == 0, on_ray.stderr
    assert "3 sources, 3 done" in on_ray.stdout
    assert len(on_ray.stdout.splitlines()) == 1
    for line in on_ray.stderr.splitlines():
        assert line == "3 sources: 3 new" or " of 3 sources, " in line
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.jsonl")}
    here = process(*words(toy, tmp_path, "--workers", 1, "--overwrite"))
    assert "3 to be done again" in here.stderr
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.jsonl")} == before


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_as_without_ray_also_after_the_loss_of_a_worker(
    name, toy, video, tmp_path
):
    clips(video, tmp_path, 6, 100)
    out = tmp_path / "out"
    every = words(toy, tmp_path, "--ray", "local", "--workers", 2, "--log", tmp_path / "log.jsonl")

    def workers() -> list[psutil.Process]:
        found = []
        for child in psutil.Process(running.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                found += [child] if child.name().endswith(".mp4") else []
        return found

    with started(*every) as running:
        wait_for(lambda: len(workers()) == 2)
        workers()[0].kill()
        wait_for(lambda: "retry" in (tmp_path / "log.jsonl").read_text() and lines_of(out) != {})
        children = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(getattr(signal, name))
        printed, said = running.communicate(timeout=100)
    assert running.returncode == 128 + getattr(signal, name)
    assert printed == ""
    assert said.splitlines()[-1] == "vitruvian: stopped"
    for line in said.splitlines()[:-1]:
        assert line == "6 sources: 6 new" or " of 6 sources, " in line
    assert psutil.wait_procs(children, 30)[1] == []
    left = {path.name for path in (out / ".vitruvian").iterdir()}
    assert left == {"batch.lock", "batch.sqlite"}
    done = process(*words(toy, tmp_path, "--workers", 1))
    assert done.returncode == 0
    assert len(lines_of(out)) == 6
    assert len(set(lines_of(out).values())) == 1


def test_actors_upload_themselves(toy, video, tmp_path):
    clips(video, tmp_path, 2, 20)
    out = (tmp_path / "store").as_uri()
    more = ["--ray", "local", "--workers", 1, "--state", tmp_path / "state"]
    done = process(*words(toy, tmp_path, *more, "--out", out))
    assert done.returncode == 0, done.stderr
    assert set(lines_of(tmp_path / "store")) == {"0.mp4", "1.mp4"}
    for name in ("0.mp4", "1.mp4"):
        files = json.loads((tmp_path / "store" / name / "_SUCCESS").read_text())["files"]
        assert {*files, "_SUCCESS"} == {p.name for p in (tmp_path / "store" / name).iterdir()}


TWO = """
import json, sys, threading, time
from pathlib import Path
import vitruvian as vit
import vitruvian.verbs.batch.on_ray
import ray
from ray._common.usage import usage_lib
from ray.cluster_utils import Cluster

assert not usage_lib.usage_stats_enabled()
source, model, out = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
names = []

def lose():
    until = time.monotonic() + 200
    # Until there are two folders in the making: one of each machine.
    while time.monotonic() < until and len([*Path(out).glob(".vitruvian/batch-work/*/*")]) < 2:
        time.sleep(0.01)
    names.extend(node["NodeID"] for node in ray.nodes() if node["Alive"])
    cluster.remove_node(second, allow_graceful=False)

thread = threading.Thread(target=lose)
thread.start()
done = vit.batch(source, model, out=out, ray=cluster.address, save="json", log="log.jsonl")
thread.join()
print(json.dumps({"sources": done.sources, "done": done.done, "failed": dict(done.failed),
                  "nodes": len(names), "connected": ray.is_initialized()}))
cluster.shutdown()
"""


def test_a_lost_machine_loses_only_what_it_was_doing(toy, video, tmp_path):
    clips(video, tmp_path, 6, 100)
    (tmp_path / "two.py").write_text(TWO)
    line = [sys.executable, "two.py", str(tmp_path / "in"), str(toy), str(tmp_path / "out")]
    done = subprocess.run(
        line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == {"sources": 6, "done": 6, "failed": {}, "nodes": 2, "connected": False}
    assert len(set(lines_of(tmp_path / "out").values())) == 1
    assert len(lines_of(tmp_path / "out")) == 6
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["state"] for row in log if row["state"] != "done"] == ["retry"]


def test_a_cluster_that_does_not_answer_is_one_line(toy, video, tmp_path):
    clips(video, tmp_path, 1, 5)
    done = process(*words(toy, tmp_path, "--ray", "nosuch", "--quiet"))
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith("vitruvian: cannot connect to Ray at 'nosuch'")


def test_signals_stay_ours_while_ray_starts():
    """ray.init takes SIGTERM and keeps it (Ray 2.60.0, findings/ray_sigterm_handler.sh)."""
    before, got = signal.getsignal(signal.SIGTERM), list[int]()
    try:
        signal.signal(signal.SIGTERM, lambda number, _: got.append(number))
        with on_ray._own_signals():
            signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
            signal.raise_signal(signal.SIGTERM)
        assert got == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
