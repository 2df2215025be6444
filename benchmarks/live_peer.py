"""Results a second of `vit.live` and `vit.stream`, and of MediaPipe's LIVE_STREAM, in one run.

    python benchmarks/live_peer.py --video ../shared/data/videos/sports2d_demo.mp4

By turns, on the same frames of 640 x 480, with the same networks: MediaPipe's Tasks of 0.10.21 in
Python (`PoseLandmarker`, LIVE_STREAM) in an environment of its own, see `peers/run.py`, and ours,
both for one person, with the options that they have by default. A frame always waits while another
one is worked on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import vitruvian as vit
from live import film, stream_ms
from peers.run import bundle, environment, lines

HERE = Path(__file__).parent


def peer(python: str, networks: str, frames: Path, seconds: float) -> dict[str, float]:
    """What MediaPipe reaches."""
    job = {"what": "live", "bundle": networks, "most": 1, "frames": str(frames)}
    script = str(HERE / "peers/mediapipe_tasks.py")
    (told,) = lines([python, script, json.dumps({**job, "seconds": seconds})])
    return told


def ours(model: str, pictures: np.ndarray, seconds: float) -> dict[str, float]:
    """What `vit.live` reaches."""
    room, found = threading.Semaphore(2), list[tuple[float, int]]()

    def on_result(frame: vit.Frame, poses: vit.Poses) -> None:
        found.append((time.perf_counter(), len(poses)))
        room.release()

    with vit.live(model, on_result, order="rgb", confirm=False) as live:
        pushed, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            room.acquire(timeout=0.5)  # no result comes for a frame that is dropped
            live.push(pictures[pushed % len(pictures)], (pushed := pushed + 1) / 30)
    rate = (len(found) - 1) / (found[-1][0] - found[0][0])
    return {"rate": rate, "people": sum(n for _, n in found), "results": len(found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", default=["lite", "full", "heavy"])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    bgr = film(words.video)
    rgb = np.ascontiguousarray(np.stack(bgr)[..., ::-1])
    python = environment("mediapipe-solutions")
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder, "frames.npy")
        np.save(frames, rgb)
        for size in words.sizes:
            name, networks = f"blazepose-{size}", bundle(size, python)
            rates: dict[str, list[float]] = {"MediaPipe": [], "vit.live": [], "vit.stream": []}
            people = list[float]()
            for _ in range(words.rounds):
                theirs = peer(python, networks, frames, words.seconds)
                mine = ours(name, rgb, words.seconds)
                rates["MediaPipe"].append(theirs["rate"])
                rates["vit.live"].append(mine["rate"])
                rates["vit.stream"].append(1000 / stream_ms(name, bgr, words.seconds))
                people = [each["people"] / each["results"] for each in (theirs, mine)]
            middle = {who: statistics.median(each) for who, each in rates.items()}
            print(
                f"{name}: results a second "
                + ", ".join(
                    f"{who} {middle[who]:.1f} ({min(each):.1f} to {max(each):.1f})"
                    for who, each in rates.items()
                )
                + f"; vit.live / MediaPipe {middle['vit.live'] / middle['MediaPipe']:.2f}; "
                f"people a frame {people[0]:.2f} and {people[1]:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
