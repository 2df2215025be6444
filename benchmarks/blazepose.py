"""BlazePose here and in MediaPipe 0.10.21, side by side on this machine, in one run.

    python benchmarks/blazepose.py [--rounds 5] [--size full] [--precision] [--peer PYTHON]

Each measurement is a process of its own; ours and theirs take turns, and what is printed are
medians over the rounds and the median of the ratios of the pairs. MediaPipe runs in a virtual
environment of its own, which is made in the cache folder the first time, unless --peer names a
Python that has it. The pictures and the video lie in ../shared.

--precision compares what OpenVINO offers instead: time, and how far landmarks move from f32.
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


def precisions(size: str) -> None:
    """Time, and distance of landmarks from f32, of what OpenVINO offers."""
    import vitruvian as vit

    pictures = sorted((DATA / "coco" / "images").glob("*.jpg"))
    frames = [vit.Frame.read(path) for path in pictures]
    exact: list[vit.Poses] = []
    print(f"blazepose-{size} on {len(frames)} pictures: landmarks against f32")
    print(f"{'':16}{'ms':>8}{'CPU ms':>8}{'found':>7}{'px, % of region':>22}{'mm':>14}")
    for precision in ("f32", "f16", "bf16"):
        for threads in (1, 2):
            model = vit.load(f"blazepose-{size}", precision=precision, threads=threads)
            look = model.find(frames)
            [model([f], [r.take([0])]) for f, r in zip(frames[:10], look, strict=False) if len(r)]
            began, cpu = time.perf_counter(), time.process_time()
            got = [model([frame])[0] for frame in frames]
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
            exact = exact or got
            pairs = [(a, b) for a, b in zip(exact, got, strict=True) if len(a) and len(b)]
            share, metres = [], []
            for a, b in pairs:
                assert a.look is not None
                share += (np.linalg.norm(a.xy - b.xy, axis=-1) / a.look.size[0, 0]).ravel().tolist()
                assert a.xyz is not None
                assert b.xyz is not None
                metres += np.linalg.norm(a.xyz - b.xyz, axis=-1).ravel().tolist()
            quantiles = [f"{np.median(share):.3%} (95 %: {np.quantile(share, 0.95):.3%})"]
            quantiles += [f"{np.median(metres) * 1e3:.1f} ({np.quantile(metres, 0.95) * 1e3:.1f})"]
            name = f"{precision}, {threads} threads"
            each, found = 1e3 / len(frames), sum(map(len, got))
            print(f"{name:16}{took * each:8.1f}{cpu * each:8.1f}{found:7}", end="")
            print(f"{quantiles[0]:>22}{quantiles[1]:>14}")


def main() -> None:
    """Read the words."""
    parser = argparse.ArgumentParser(description="BlazePose beside MediaPipe")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", choices=COMPLEXITY, default="full")
    parser.add_argument("--precision", action="store_true")
    parser.add_argument("--peer", help="a Python that has mediapipe 0.10.21")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.job:
        job = json.loads(words.job)
        print(json.dumps((our_video if job["what"] == "video" else our_pictures)(job)))
    elif words.precision:
        precisions(words.size)
    else:
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
        compare(words.rounds, words.size, words.peer or peer_python())


if __name__ == "__main__":
    main()
