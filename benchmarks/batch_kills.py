"""Kill a batch again and again: nothing may be lost, half-written or left behind.

    python benchmarks/batch_kills.py [--points 200] [--clips 12] [--model FILE] [--seed 0] [--url]

Makes clips, some of them so long that they are done in pieces, and runs `vitruvian batch` over
them once, undisturbed. Then, into another folder, it starts a batch and kills (SIGKILL) one of its
workers or the driver itself, which of both by chance, at a random moment: half of the drivers at
any time, all others after workers have begun. Where all is done before, it begins a new folder.
Each time nothing of it may keep running, and each result that is in place must be that of the
undisturbed run, byte for byte. In the end one undisturbed start must complete every folder.

It prints how many were killed, and how many in the middle of work: attempts that a driver repeated
because the worker had died, and drivers that left sources `running`.

With --url the folder is given as file://, so that workers upload; then only folders with a
_SUCCESS count.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import psutil

from vitruvian.verbs.batch.workers import DIED

WORKERS = 2
LONG = 4  # every n-th clip is long
CUT = 15  # seconds of a piece


def film(path: Path, frames: int, rate: int, seed: int) -> None:
    """A clip of 64 x 48 pixels whose brightness changes; `rate` in frames/s."""
    grey = np.random.default_rng(seed).integers(60, 250, frames)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = 64, 48
        stream.options = {"preset": "ultrafast"}
        for level in grey:
            picture = np.full((48, 64, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def start(clips: Path, out: Path, model: str, more: list[str]) -> subprocess.Popen[bytes]:
    """A batch in the background."""
    place = out.as_uri() if "--state" in more else str(out)
    words = ["batch", str(clips), "--model", model, "--out", place, "--rules", "seated"]
    words += ["--workers", str(WORKERS), "--quiet", "--save", "json", *more]
    words += ["--cut", str(CUT), "--log", str(log_of(out))]
    line = [sys.executable, "-m", "vitruvian.cli", *words]
    quiet, more_environment = subprocess.DEVNULL, {"TMPDIR": str(temporary(out))}
    return subprocess.Popen(line, stdout=quiet, stderr=quiet, env=os.environ | more_environment)


def temporary(out: Path) -> Path:
    """The folder for temporary files."""
    return out.parent / "temporary"


def log_of(out: Path) -> Path:
    """Where a batch logs what it does."""
    return out.with_suffix(".jsonl")


def repeated(out: Path) -> int:
    """How often a worker's death cost an attempt."""
    with log_of(out).open(encoding="utf-8") as lines:
        return sum(DIED in json.loads(line).get("error", "") for line in lines)


def running(out: Path) -> int:
    """How many sources a driver left in the middle of the work."""
    by_url = (out.parent / "state").glob(f"*-{out.name}-*/batch.sqlite")
    manifest = next(by_url, out / ".vitruvian" / "batch.sqlite")
    try:
        base = sqlite3.connect(f"{manifest.as_uri()}?mode=ro", uri=True)
        with closing(base):
            return base.execute("SELECT count(*) FROM sources WHERE state = 'running'").fetchone()[
                0
            ]
    except sqlite3.OperationalError:  # it is not made yet
        return 0


def results(out: Path) -> dict[str, bytes]:
    """Every file of the results, by its path."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".vitruvian" not in path.parts
    }


def ended(processes: list[psutil.Process]) -> None:
    """Wait for the end of processes.

    Raises:
        AssertionError: one keeps running.
    """
    alive = psutil.wait_procs(processes, 30)[1]
    assert not alive, f"still running: {[p.cmdline() for p in alive]}"


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it has started."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def is_worker(process: psutil.Process) -> bool:
    """Whether it is one that works on sources."""
    try:
        words = " ".join(process.cmdline())
        return "spawn_main" in words or words.startswith("ray::")
    except psutil.Error:
        return False


def disturb(run: subprocess.Popen[bytes], out: Path, whole: float, chance: random.Random) -> str:
    """Kill a worker or the driver at a random moment.

    Returns:
        What was killed: `worker`, `driver`, `driver at work`, or `nothing`.

    Args:
        run: the driver.
        out: its folder.
        whole: seconds of an undisturbed run.
        chance: what is random.
    """
    driver, kind = psutil.Process(run.pid), chance.choice(["worker", "driver"])
    at_work = kind == "worker" or chance.random() < 0.5
    work, by_url = out / ".vitruvian" / "batch-work", "vitruvian-batch-*/*"
    while at_work and run.poll() is None:
        if any(work.glob("*/*")) or any(temporary(out).glob(by_url)):
            break
        time.sleep(0.01)
    until = time.monotonic() + chance.uniform(0, whole / 3 if at_work else whole)
    while time.monotonic() < until and run.poll() is None:
        time.sleep(0.01)
    every = family(driver)
    workers = [p for p in every if is_worker(p)]
    if run.poll() is not None or (kind == "worker" and not workers):
        return "nothing"
    if kind == "worker":
        chance.choice(workers).kill()
        return kind
    run.kill()
    run.wait()
    ended([p for p in every if p.pid != run.pid])
    return f"{kind} at work" if workers and running(out) else kind


def check_places(out: Path, want: dict[str, bytes]) -> None:
    """Each folder that is in place is whole, and as it is undisturbed."""
    got = results(out)
    by_url = any(name.endswith("/_SUCCESS") for name in want)
    for folder in {name.split("/")[0] for name in got}:
        if by_url and f"{folder}/_SUCCESS" not in got:
            continue
        its = {n: text for n, text in got.items() if n.startswith(f"{folder}/")}
        whole = {n: text for n, text in want.items() if n.startswith(f"{folder}/")}
        assert its == whole, f"{folder} is not what it is in an undisturbed run: {sorted(its)}"


def check_end(out: Path, want: dict[str, bytes]) -> None:
    """Everything is done, right, and nothing else is there."""
    assert results(out) == want, "the results are not those of an undisturbed run"
    base = sqlite3.connect(out / ".vitruvian" / "batch.sqlite")
    states = Counter(state for (state,) in base.execute("SELECT state FROM sources"))
    base.close()
    assert set(states) == {"done"}, states
    assert not any(temporary(out).glob("vitruvian-*")), "temporary files are left"
    left = sorted(path.name for path in (out / ".vitruvian").iterdir())
    assert left in (["batch.lock", "batch.sqlite"], ["batch.claim", "batch.sqlite"]), left


def kills(folder: Path, points: int, clips: int, model: str, seed: int, more: list[str]) -> str:
    """Kill at that many points; a line about them.

    Raises:
        AssertionError: something was lost, or is left.
    """
    chance, films = random.Random(seed), folder / "clips"
    films.mkdir()
    temporary(films).mkdir()
    for i in range(clips):
        frames, rate = (
            (chance.randint(200, 300), 5) if i % LONG == 0 else (chance.randint(20, 60), 30)
        )
        film(films / f"{i:02}.mp4", frames, rate, seed + i)
    undisturbed, out = folder / "undisturbed", folder / "killed"
    began = time.monotonic()
    assert start(films, undisturbed, model, more).wait() == 0
    whole = time.monotonic() - began  # seconds of a run
    want, killed = results(undisturbed), Counter[str]()
    assert len({name.split("/")[0] for name in want}) == clips
    with log_of(undisturbed).open(encoding="utf-8") as lines:
        assert any(json.loads(line).get("part") for line in lines), "nothing was done in pieces"
    while killed.total() - killed["nothing"] < points:
        run = start(films, out, model, more)
        everyone = family(psutil.Process(run.pid))
        # Workers may be killed several times in one run, the driver once.
        while killed.total() - killed["nothing"] < points:
            what = disturb(run, out, whole, chance)
            killed[what] += 1
            everyone += family(psutil.Process(run.pid)) if what == "worker" else []
            if what != "worker":
                break
        run.wait()
        ended(everyone)
        check_places(out, want)
        if len(results(out)) == len(want):
            assert start(films, out, model, more).wait() == 0
            check_end(out, want)
            shutil.rmtree(out)
    assert start(films, out, model, more).wait() == 0
    check_end(out, want)
    killed["driver"] += killed["driver at work"]
    killed["worker at work"] = repeated(out)
    return json.dumps({"points": points, **dict(sorted(killed.items())), "clips": clips})


def main() -> None:
    """Read the words, kill."""
    parser = argparse.ArgumentParser(description="Kill a batch again and again")
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--model", default="blazepose-lite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ray", action="store_true", help="workers on a Ray of its own")
    parser.add_argument("--url", action="store_true", help="give the folder as a URL")
    words = parser.parse_args()
    more = ["--ray", "local"] if words.ray else []
    with tempfile.TemporaryDirectory() as folder:
        more += ["--state", f"{folder}/state"] if words.url else []
        print(kills(Path(folder), words.points, words.clips, words.model, words.seed, more))


if __name__ == "__main__":
    main()
