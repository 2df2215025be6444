r"""Many clips: `vitruvian batch` beside one `predict` process, Ray, and MediaPipe Solutions.

    python benchmarks/batch.py ../shared/data/videos/sports2d_demo.mp4 --clips 40 --rounds 3

The video is cut into clips, in a temporary folder. Each way is a process (MediaPipe 0.10.21: two,
with half of the clips each, in an environment of its own), started anew, and the ways take turns.
What is printed are seconds of the clock, start included: the median, and the median of the ratios
to `batch` with as many workers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av

from peers.run import environment

HERE = Path(__file__).parent


def cut(video: Path, folder: Path, clips: int, frames: int) -> list[Path]:
    """Clips of so many frames each, one after the other and again from the beginning."""
    made: list[Path] = []
    while len(made) < clips:
        with av.open(str(video)) as source:
            stream = source.streams.video[0]
            pictures = (frame.to_ndarray(format="rgb24") for frame in source.decode(stream))
            rate, before = stream.average_rate, len(made)
            while len(made) < clips:
                some = [picture for picture, _ in zip(pictures, range(frames), strict=False)]
                if len(some) < frames:
                    break
                made.append(folder / f"clip_{len(made):03}.mp4")
                height, width = some[0].shape[:2]
                with av.open(str(made[-1]), "w") as file:
                    out = file.add_stream("libx264", rate=rate)
                    out.width, out.height, out.pix_fmt = width // 2 * 2, height // 2 * 2, "yuv420p"
                    out.options = {"preset": "veryfast", "crf": "20"}
                    for picture in some:
                        part = picture[: out.height, : out.width]
                        file.mux(out.encode(av.VideoFrame.from_ndarray(part.copy(), "rgb24")))
                    file.mux(out.encode())
        if len(made) == before:
            sys.exit(f"'{video}' has fewer than {frames} frames")
    return made


def ours(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "vitruvian.cli", *words], check=True, capture_output=True)


def theirs(clips: Sequence[Path], workers: int) -> None:
    """MediaPipe in so many processes."""
    python, script = environment("mediapipe-solutions"), str(HERE / "peers" / "mediapipe_pose.py")
    running = []
    for i in range(workers):
        some = [str(clip) for clip in clips[i::workers]]
        job = {"what": "video", "sources": some, "complexity": 1, "lines": True}
        running.append(
            subprocess.Popen(
                [python, script, json.dumps(job)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
    if any(process.wait() for process in running):
        sys.exit("MediaPipe failed")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--frames", type=int, default=60, help="of each clip")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--no-peer", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        folder, out = Path(made) / "clips", Path(made) / "out"
        folder.mkdir()
        clips = cut(asked.video, folder, asked.clips, asked.frames)
        where = [str(folder), "--out", str(out), "--save", "json"]
        many = ["batch", *where, "--workers", str(asked.workers)]
        ways: dict[str, Callable[[], None]] = {
            f"batch, {asked.workers} workers": lambda: ours(*many),
            "predict, one process": lambda: ours("predict", *where),
        }
        if not asked.no_ray:
            ways[f"batch on Ray, {asked.workers} workers"] = lambda: ours(*many, "--ray", "local")
        if not asked.no_peer:
            environment("mediapipe-solutions")  # made once, before anything is timed
            ways[f"MediaPipe Solutions, {asked.workers} processes"] = lambda: theirs(
                clips, asked.workers
            )
        took: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(asked.rounds):
            for name in sorted(ways, reverse=turn % 2 == 1):
                shutil.rmtree(out, ignore_errors=True)
                began = time.perf_counter()
                ways[name]()
                took[name].append(time.perf_counter() - began)
                print(f"round {turn + 1}: {name:36} {took[name][-1]:6.1f} s", file=sys.stderr)
        first = next(iter(took))
        for name, seconds in took.items():
            ratio = statistics.median(a / b for a, b in zip(seconds, took[first], strict=True))
            rate = asked.clips * asked.frames / statistics.median(seconds)
            print(
                f"{name:36} {statistics.median(seconds):6.1f} s  {rate:6.1f} frames/s  "
                f"{ratio:.2f} times the time of the first"
            )


if __name__ == "__main__":
    main()
