"""The same program with `mediapipe` 0.10.21 and with `vitruvian.mediapipe`: numbers and speed.

    python benchmarks/drop_in.py ../shared [--rounds 3] [--frames 120]

The program is `peers/drop_in.py`; both get the same pixels and the same networks. Each round is a
process of each, by turns. For videos a row compares MediaPipe with itself as well, where one number
in a thousand of the pixels is one more or less: what is followed from frame to frame amplifies the
last bit, so this is as near as two runs can be.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from run import bundle, environment  # pyright: ignore[reportMissingImports]

from vitruvian.models.ready import pull

PROGRAM = Path(__file__).parent / "peers" / "drop_in.py"
THEIRS, OURS = "mediapipe", "vitruvian.mediapipe"


def give_networks(python: str) -> None:
    """Put the networks of the other complexities where MediaPipe would download them to."""
    (folder,) = Path(python).parents[1].glob("lib/*/site-packages/mediapipe/modules/pose_landmark")
    for size in ("lite", "heavy"):
        shutil.copy(pull(f"blazepose-{size}")[1], folder)


def frames_of(video: Path, most: int, out: Path, *, twice: bool = False) -> str:
    """A part of a video as an array; `twice`: its middle and the mirror image, for two people."""
    capture, frames = cv2.VideoCapture(str(video)), list[np.ndarray]()
    while len(frames) < most and (read := capture.read())[0]:
        rgb = cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
        near = rgb[:, 200:1200]
        frames.append(np.hstack([near, near[:, ::-1]]) if twice else rgb)
    np.save(out, np.stack(frames))
    return str(out)


Speed = dict[str, float]


def run(python: str, module: str, job: dict[str, Any]) -> tuple[dict[str, np.ndarray], Speed]:
    """The numbers of one run, and its seconds per image, of the clock and of the processor."""
    command = [python, str(PROGRAM), module, json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        sys.exit(f"{module}: {done.stderr[-2000:]}")
    with np.load(job["out"]) as file:
        return {name: file[name] for name in file.files}, json.loads(done.stdout)


def apart(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> str:
    """How far the landmarks of two runs are from each other, where both see as many people."""
    same = a["count"] == b["count"]
    rows = [x[np.repeat(same, x_count)] for x, x_count in (
        (a["image"], a["count"]), (b["image"], b["count"]),
        (a["world"], a["count"]), (b["world"], b["count"]),
    )]  # fmt: skip
    xy = np.abs(rows[0] - rows[1])[..., :2].max(axis=(1, 2))
    world = np.abs(rows[2] - rows[3])[..., :3].max(axis=(1, 2))
    shown = " ".join(
        f"{np.median(x):.1e} {np.percentile(x, 90):.1e} {x.max():.1e}" for x in (xy, world)
    )
    return f"{same.sum()}/{len(same)} {shown}"


def beside(speed: dict[str, list[Speed]]) -> str:
    """Medians of the rounds, milliseconds, and the median ratio of pairs."""
    shown = []
    for what in ("seconds", "cpu"):
        theirs, ours = ([taken[what] for taken in speed[module]] for module in (THEIRS, OURS))
        ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
        medians = (1000 * statistics.median(values) for values in (theirs, ours))
        shown.append(f"{what} {next(medians):.1f} ms, ours {next(medians):.1f} ms, {ratio:.2f}")
    return "; ".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=120, help="of a video")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    asked = parser.parse_args()
    peer = environment("mediapipe-solutions")
    task = bundle("full", peer)
    give_networks(peer)
    data = asked.shared / "data"
    pictures = sorted(map(str, (data / "coco" / "images").glob("*.jpg")))[:60]
    with tempfile.TemporaryDirectory() as folder:
        video = data / "videos" / "sports2d_demo.mp4"
        one = frames_of(video, asked.frames, Path(folder) / "one.npy")
        two = frames_of(video, asked.frames, Path(folder) / "two.npy", twice=True)
        base = {"complexity": 1, "masks": False, "most": 1, "bundle": task, "moving": False}
        rows = {
            "Solutions, images, lite": {"what": "solutions", "sources": pictures, "complexity": 0},
            "Solutions, images, full": {"what": "solutions", "sources": pictures},
            "Solutions, images, heavy": {"what": "solutions", "sources": pictures, "complexity": 2},
            "Solutions, images, masks": {"what": "solutions", "sources": pictures, "masks": True},
            "Tasks, images, 5 people": {"what": "tasks", "sources": pictures, "most": 5},
            "Solutions, video": {"what": "solutions", "sources": [one], "moving": True},
            "Tasks, video": {"what": "tasks", "sources": [one], "moving": True},
            "Tasks, video, 2 people": {
                "what": "tasks",
                "sources": [two],
                "moving": True,
                "most": 2,
            },
        }
        print("row: frames with as many people; apart: xy (image), world (m): median, 9/10, most")
        for name, part in rows.items():
            if asked.only not in name:
                continue
            job = {**base, **part}
            speed: dict[str, list[Speed]] = {THEIRS: [], OURS: []}
            found: dict[str, dict[str, np.ndarray]] = {}
            for _ in range(asked.rounds):
                for module, python in ((THEIRS, peer), (OURS, sys.executable)):
                    job["out"] = str(Path(folder) / "out.npz")
                    found[module], taken = run(python, module, job)
                    speed[module].append(taken)
            mask = np.abs(found[THEIRS]["mask"] - found[OURS]["mask"])
            more = f"; means of masks within {mask.max():.1e}" if mask.size else ""
            print(f"{name}: {apart(found[THEIRS], found[OURS])}{more}; {beside(speed)}", flush=True)
            if job["moving"]:
                touched, _ = run(peer, THEIRS, {**job, "touched": True})
                print(f"  MediaPipe beside itself: {apart(found[THEIRS], touched)}", flush=True)


if __name__ == "__main__":
    main()
