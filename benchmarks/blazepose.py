"""BlazePose here and in MediaPipe 0.10.21, side by side on this machine, in one run.

    python benchmarks/blazepose.py [--rounds 5] [--size full] [--peer PYTHON]

Each measurement is a process of its own; ours and theirs take turns, and what is printed are
medians over the rounds and the median of the ratios of the pairs. MediaPipe runs in a virtual
environment of its own, which is made in the cache folder the first time, unless --peer names a
Python that has it. The pictures and the video lie in ../shared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
DATA = HERE.parent.parent / "shared" / "data"
COMPLEXITY = {"lite": 0, "full": 1, "heavy": 2}
MEDIAPIPE = "mediapipe==0.10.21"


def peer_python() -> str:
    """A Python that has MediaPipe; made once, in the cache folder."""
    from vitruvian.weights.download import cache_folder

    folder = cache_folder() / "peers" / MEDIAPIPE
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", MEDIAPIPE], check=True)
    return str(python)


def ask(python: str, script: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    done = subprocess.run(
        [python, str(script), *(["--job"] if script == Path(__file__) else []), json.dumps(job)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def our_video(job: dict[str, Any]) -> dict[str, Any]:
    """What `vitruvian predict VIDEO --out X.jsonl` does once the model is loaded."""
    from vitruvian import open_source
    from vitruvian.models.load import open_model
    from vitruvian.verbs.output_files import plan_outputs
    from vitruvian.verbs.outputs import Save
    from vitruvian.verbs.predict import write_poses

    sources = open_source(job["video"])
    model = open_model(f"blazepose-{job['size']}", sources, **job["options"])
    out, save = Path(job["out"]), Save.parse(None)
    plans = plan_outputs(sources, out, save, overwrite=True)
    began, cpu, faults = time.perf_counter(), time.process_time(), []
    write_poses(plans, model, out, save, say=lambda _: None, on_error=faults.append)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    lines = [json.loads(line) for line in out.read_text().splitlines()[1:]]
    found = sum(bool(line["people"]) for line in lines)
    return report(took, cpu, len(lines), found)


def our_pictures(job: dict[str, Any]) -> dict[str, Any]:
    """Each picture on its own, from file to poses; the first one warms up."""
    import vitruvian as vit

    model = vit.load(f"blazepose-{job['size']}", **job["options"])
    model([vit.Frame.read(job["pictures"][0])])
    times, found = [], 0
    began, cpu = time.perf_counter(), time.process_time()
    for path in job["pictures"]:
        start = time.perf_counter()
        (poses,) = model([vit.Frame.read(path)])
        times.append(time.perf_counter() - start)
        found += len(poses)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {**report(took, cpu, len(times), found), "times": times}


def report(took: float, cpu: float, frames: int, found: int) -> dict[str, Any]:
    """As the peer's script reports it."""
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"frames": frames, "found": found, "seconds": took, "cpu": cpu, "rss_mb": rss}


def compare(rounds: int, size: str, peer: str) -> None:
    """Take turns and print ratios."""
    video = str(DATA / "videos" / "sports2d_demo.mp4")
    pictures = sorted(map(str, (DATA / "coco" / "images").glob("*.jpg")))
    with tempfile.TemporaryDirectory() as folder:
        for what in ("video", "pictures"):
            job: dict[str, Any] = {"what": what, "video": video, "pictures": pictures, "size": size}
            job |= {"complexity": COMPLEXITY[size], "options": {}}
            ours, theirs = [], []
            for _ in range(rounds):
                job["out"] = str(Path(folder) / "ours.jsonl")
                ours.append(ask(sys.executable, Path(__file__), job))
                job["out"] = str(Path(folder) / "theirs.jsonl")
                theirs.append(ask(peer, HERE / "peers" / "mediapipe_pose.py", job))
            print(f"\n{what}, blazepose-{size}, {ours[0]['frames']} frames, {rounds} rounds")
            table(ours, theirs)
            if what == "video":
                agreement(Path(folder))


def table(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """A line for each figure: ours, theirs, ratio."""

    def median(runs: list[dict[str, Any]], figure: Any) -> float:
        return statistics.median(figure(run) for run in runs)

    figures = {
        "ms a frame": lambda run: run["seconds"] / run["frames"] * 1e3,
        "CPU ms a frame": lambda run: run["cpu"] / run["frames"] * 1e3,
        "memory, MB": lambda run: run["rss_mb"],
        "frames with a person": lambda run: run["found"],
    }
    if "times" in ours[0]:
        figures["median ms a picture"] = lambda run: statistics.median(run["times"]) * 1e3
    print(f"{'':24}{'vitruvian':>12}{'MediaPipe':>12}{'ratio':>8}")
    for name, figure in figures.items():
        ratio = statistics.median(figure(a) / figure(b) for a, b in zip(ours, theirs, strict=True))
        print(f"{name:24}{median(ours, figure):12.2f}{median(theirs, figure):12.2f}{ratio:8.2f}")
    speed = statistics.median(
        b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True)
    )
    print(f"{speed:.2f} times MediaPipe's frames a second")


def agreement(folder: Path) -> None:
    """How far apart both runs' landmarks are: following makes small differences grow."""
    both = []
    for name in ("ours", "theirs"):
        lines = (folder / f"{name}.jsonl").read_text().splitlines()
        frames = [json.loads(line) for line in lines]
        both.append({f["index"]: f["people"][0] for f in frames if f.get("people")})
    shared = sorted(both[0].keys() & both[1].keys())
    xy = [np.array([people[i]["xy"] for i in shared]) for people in both]
    xyz = [np.array([people[i]["xyz"] for i in shared]) for people in both]
    apart, metres = (np.linalg.norm(a - b, axis=-1) for a, b in (xy, xyz))
    height = np.ptp(xy[0][..., 1], axis=1, keepdims=True)
    print(
        f"landmarks apart in {len(shared)} frames: median {np.median(apart):.2f} px "
        f"({np.median(apart / height):.2%} of the height), {np.median(metres) * 1e3:.1f} mm"
    )


def main() -> None:
    """Read the words."""
    parser = argparse.ArgumentParser(description="BlazePose beside MediaPipe")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", choices=COMPLEXITY, default="full")
    parser.add_argument("--peer", help="a Python that has mediapipe 0.10.21")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.job:
        job = json.loads(words.job)
        print(json.dumps((our_video if job["what"] == "video" else our_pictures)(job)))
    else:
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
        compare(words.rounds, words.size, words.peer or peer_python())


if __name__ == "__main__":
    main()
