"""Processor time of `vitruvian triangulate` and of Pose2Sim's triangulation on the same files.

    python benchmarks/triangulate_peer.py ../shared/data/pose2sim [--frames 1000] [--rounds 3]

The OpenPose files of Pose2Sim's demo (four cameras, 100 frames) are repeated to and fro.
Both run as programs, by turns, with one thread, the same largest reprojection error, and the
options that they have by default otherwise, but that Pose2Sim takes all frames and writes no
.c3d, and find their modules compiled. The first, short recording tells how long they take to start.

Pose2Sim runs in an environment of its own, see `peers/run.py`, unless --python names one that has
it. It triangulates the first person of each file, ours everybody.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from peers.run import environment

FPS = 60
SHORT = 10  # frames
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TRIANGULATE = "from Pose2Sim import Pose2Sim; Pose2Sim.triangulation('Config.toml')"
PROJECT = """
[project]
multi_person = false
frame_rate = {fps}
frame_range = 'all'
[pose]
pose_model = 'BODY_25B'
[triangulation]
reproj_error_threshold_triangulation = {error}
make_c3d = false
"""


def project(folder: Path, data: Path, frames: int, error: float) -> None:
    """A Pose2Sim project with the demo's poses, `frames` of each camera."""
    (folder / "calibration").mkdir(parents=True)
    shutil.copy(data / "calibration" / "Calib_qualisys.toml", folder / "calibration")
    (folder / "Config.toml").write_text(PROJECT.format(fps=FPS, error=error))
    for path in sorted((data / "single_balancing" / "openpose_body25b").glob("cam*.json")):
        demo = json.loads(path.read_text())
        there = [*demo, *demo[-2:0:-1]]  # and back
        view = folder / "pose" / f"{path.stem}_json"
        view.mkdir(parents=True)
        for i in range(frames):
            people = [
                {
                    "person_id": [-1],
                    "pose_keypoints_2d": person["pose_keypoints_2d"],
                    **{f"{part}_keypoints_2d": [] for part in ("face", "hand_left", "hand_right")},
                }
                for person in there[i % len(there)]["people"]
            ]
            file = view / f"{path.stem}_{i:012}_keypoints.json"
            file.write_text(json.dumps({"version": 1.3, "people": people}, separators=(",", ":")))


def cpu_seconds(command: Sequence[str], folder: Path) -> float:
    """Processor time of a program that runs in that folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONDONTWRITEBYTECODE": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if run.returncode:
        sys.exit(f"{command[0]} failed with {run.returncode}:\n{run.stdout}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pose2sim", type=Path, help="folder of the demo")
    parser.add_argument("--python", help="a Python that has Pose2Sim")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-error", type=float, default=38, help="pixels")
    asked = parser.parse_args()
    peer = [asked.python or environment("pose2sim"), "-c", TRIANGULATE]
    with tempfile.TemporaryDirectory() as name:
        spent = {}
        for frames in (SHORT, asked.frames):
            folder = Path(name) / str(frames)
            project(folder, asked.pose2sim, frames, asked.max_error)
            views = sorted(f"pose/{path.name}" for path in (folder / "pose").iterdir())
            ours = [sys.executable, "-m", "vitruvian.cli", "triangulate", *views]
            ours += ["--rig", "calibration/Calib_qualisys.toml", "--fps", str(FPS)]
            ours += ["--max-error", str(asked.max_error), "--out", "ours.trc", "--overwrite"]
            rounds = [
                (cpu_seconds(peer, folder), cpu_seconds(ours, folder)) for _ in range(asked.rounds)
            ]
            spent[frames] = [statistics.median(each) for each in zip(*rounds, strict=True)]
            theirs, own = spent[frames]
            print(f"{frames} frames: Pose2Sim, ours, seconds: {rounds}")
            print(f"  medians {theirs:.2f} and {own:.2f}: {theirs / own:.1f} times less")
    theirs, own = (long - short for short, long in zip(*spent.values(), strict=True))
    print(f"without start-up {theirs:.2f} and {own:.2f}: {theirs / own:.1f} times less")


if __name__ == "__main__":
    main()
