"""Resident memory of a long run: constant, however long the video.

    python benchmarks/memory.py [--frames 36000]

Makes a video of a person who walks back and forth (the built-in portrait, moved), runs
`vitruvian predict` on it into an annotated video and records, and prints the resident size as it
goes: after the first tenth, and the largest after it. Two hours at 30 frames/s are 216,000 frames.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

import vitruvian as vit

SIZE = (320, 240)


def film(path: Path, frames: int) -> None:
    """A video of that many frames."""
    import cv2

    portrait = vit.Frame.read(vit.open_source("sample")[0].paths[0]).rgb  # type: ignore[attr-defined]
    person = cv2.resize(portrait, (200, 234), interpolation=cv2.INTER_AREA)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height = SIZE
        stream.options = {"preset": "ultrafast"}
        stream.codec_context.time_base = Fraction(1, 30)
        for i in range(frames):
            picture = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
            x = round(60 + 60 * np.sin(i / 40))
            picture[6:, x : x + 200] = person
            shown = av.VideoFrame.from_ndarray(picture, format="rgb24")
            shown.pts = i
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))


def resident_mb(process: int) -> float:
    """Resident size now."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Make the video, run, watch."""
    parser = argparse.ArgumentParser(description="Resident memory of a long run")
    parser.add_argument("--frames", type=int, default=36_000)
    frames = parser.parse_args().frames
    with tempfile.TemporaryDirectory() as folder:
        video, out = Path(folder) / "long.mp4", Path(folder) / "out"
        film(video, frames)
        line = [sys.executable, "-m", "vitruvian.cli", "predict", str(video), "--out", str(out)]
        with subprocess.Popen([*line, "--model", "blazepose-lite"]) as process:
            sizes = []
            while process.poll() is None:
                try:
                    sizes.append(resident_mb(process.pid))
                except (OSError, IndexError):
                    break
                time.sleep(0.25)
        settled = len(sizes) // 10
        before, after = sizes[settled], max(sizes[settled:])
        print(
            f"{frames} frames: {before:.0f} MB after a tenth, at most {after:.0f} MB from then on"
        )
        print("MB as it went:", *(f"{size:.0f}" for size in sizes[:: max(len(sizes) // 12, 1)]))


if __name__ == "__main__":
    main()
