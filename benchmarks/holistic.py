"""Hands and faces here and in MediaPipe 0.10.21 (Holistic), side by side, in one run.

    python benchmarks/holistic.py [--rounds 3] [--frames 150] [--peer PYTHON]

Each measurement is a process of its own; ours and theirs take turns. What is timed begins with a
loaded model and ends with the last result; decoding counts, writing does not. The video is a window
that moves over a picture of a person with both hands and the face in view, and four of them; the
pictures are those of COCO in ../shared with one person in MediaPipe's eyes.
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
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from peers.run import environment

HERE = Path(__file__).parent
DATA = HERE.parent.parent / "shared" / "data"
PERSON = DATA / "coco" / "images" / "000000172877.jpg"
WINDOW = 560, 420  # pixels
PARTS = ("left_hand", "right_hand", "face")


def make_videos(folder: Path, frames: int) -> tuple[str, str]:
    """Videos of one person, and of four beside and below each other."""
    picture = cv2.imread(str(PERSON))
    assert picture is not None
    free = np.array([picture.shape[1] - WINDOW[0], picture.shape[0] - WINDOW[1]])
    names = str(folder / "one.mp4"), str(folder / "four.mp4")
    code = cv2.VideoWriter.fourcc(*"mp4v")
    sizes = WINDOW, (2 * WINDOW[0], 2 * WINDOW[1])
    films = [cv2.VideoWriter(name, code, 30, size) for name, size in zip(names, sizes, strict=True)]
    for t in range(frames):
        x, y = np.round(free * (0.5 + 0.5 * np.sin([t / 13, t / 19]))).astype(int)
        one = picture[y : y + WINDOW[1], x : x + WINDOW[0]]
        films[0].write(one)
        films[1].write(np.tile(one, (2, 2, 1)))
    for film in films:
        film.release()
    return names


def ours(job: dict[str, Any]) -> dict[str, Any]:
    """As the peer's script reports it."""
    import vitruvian as vit
    from vitruvian.models.load import open_model

    options = {"refine_face_landmarks": job["refined"], **job["options"]}
    moving = job["what"] == "video"
    sources = vit.open_source(job["sources"][0]) if moving else []
    model = open_model("holistic", sources, **options)
    first = next(iter(sources[0])) if moving else vit.Frame.read(job["sources"][0])
    assert isinstance(first, vit.Frame)
    model([first])
    pictures = (model([vit.Frame.read(path)])[0] for path in job["sources"])
    every = (poses for _, poses in vit.run(job["sources"][0], model)) if moving else pictures
    found, count = dict.fromkeys(("pose", *PARTS), 0), 0
    began, cpu = time.perf_counter(), time.process_time()
    for poses in every:
        count += 1
        found["pose"] += len(poses)
        for part in PARTS:
            found[part] += int((poses.part(part).score[:, 0] > 0).sum())
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"frames": count, "found": found, "seconds": took, "cpu": cpu, "rss_mb": rss}


def ask(words: list[str], job: dict[str, Any]) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    done = subprocess.run([*words, json.dumps(job)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def figures(runs: list[dict[str, Any]]) -> tuple[float, float]:
    """Medians of the time and the CPU time of a frame, ms."""
    return tuple(
        statistics.median(run[name] / run["frames"] * 1e3 for run in runs)
        for name in ("seconds", "cpu")
    )  # type: ignore[return-value]


def compare(rounds: int, frames: int, peer: str) -> None:
    """Take turns and print ratios."""
    us = [sys.executable, str(Path(__file__)), "--job"]
    them = [peer, str(HERE / "peers" / "mediapipe_holistic.py")]
    with tempfile.TemporaryDirectory() as folder:
        one, four = make_videos(Path(folder), frames)
        pictures = [str(PERSON)] * 40
        for refined in (False, True):
            for what, sources in (("video", [one]), ("pictures", pictures)):
                job = {"what": what, "sources": sources, "refined": refined}
                job["options"] = {"num_poses": 1}
                runs: list[list[dict[str, Any]]] = [[], []]
                for _ in range(rounds):
                    runs[0].append(ask(us, job))
                    runs[1].append(ask(them, job))
                (ms, cpu), (peer_ms, peer_cpu) = figures(runs[0]), figures(runs[1])
                print(
                    f"{what}{', refined' * refined}: {ms:.1f} ms and {cpu:.1f} ms CPU a frame, "
                    f"MediaPipe {peer_ms:.1f} and {peer_cpu:.1f}: {peer_ms / ms:.2f} times its "
                    f"frames a second, {cpu / peer_cpu:.2f} of its CPU; found "
                    f"{runs[0][0]['found']}, {runs[1][0]['found']}",
                    flush=True,
                )
        crowd = [[], []]
        for _ in range(rounds):
            for i, most in enumerate((1, 4)):
                job = {"what": "video", "sources": [four], "refined": False}
                crowd[i].append(ask(us, {**job, "options": {"num_poses": most}}))
        (ms, cpu), (four_ms, four_cpu) = figures(crowd[0]), figures(crowd[1])
        print(
            f"four people: {four_ms:.1f} ms and {four_cpu:.1f} ms CPU, one of them {ms:.1f} and "
            f"{cpu:.1f}: {four_ms / ms:.2f} times, CPU {four_cpu / cpu:.2f} times; found "
            f"{crowd[1][0]['found']}"
        )


def main() -> None:
    """Read the words."""
    parser = argparse.ArgumentParser(description="Holistic beside MediaPipe")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--peer", help="a Python that has mediapipe 0.10.21")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.job:
        print(json.dumps(ours(json.loads(words.job))))
    else:
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
        compare(words.rounds, words.frames, words.peer or environment("mediapipe-solutions"))


if __name__ == "__main__":
    main()
