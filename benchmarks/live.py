"""The live page against `vit.stream`: time from capture to overlay, and frames a second.

    python benchmarks/live.py --video ../shared/data/videos/sports2d_demo.mp4

In one run and by turns, for each model: `vit.stream` on the frames of a video at 640 x 480, and the
page in headless Chromium, with the server in a process of its own, on loopback. Its fake camera
shows the same frames, as raw video: at 120 a second, faster than the model, and at 30 a second, as
most cameras do. Needs Playwright's Python package, and chromium (or CHROMIUM=...).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

import vitruvian as vit

ARGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--use-fake-device-for-media-stream"),
    "--use-fake-ui-for-media-stream",
)
SPEED = re.compile(r"(\d+) frames/s · (\d+) ms to overlay · model (\d+) ms")


def film(video: Path, count: int = 120) -> list[np.ndarray]:
    """BGR frames of 640 x 480."""
    capture, made = cv2.VideoCapture(str(video)), list[np.ndarray]()
    capture.set(cv2.CAP_PROP_POS_FRAMES, 40)
    while len(made) < count and (read := capture.read())[0]:
        made.append(cv2.resize(read[1], (640, 480), interpolation=cv2.INTER_AREA))
    return made


def raw_film(path: Path, pictures: list[np.ndarray], rate: int) -> Path:
    """As Chromium's fake camera reads it: it takes the rate from the header."""
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W640 H480 F%d:1 Ip A1:1 C420jpeg\n" % rate)
        for bgr in pictures:
            file.write(b"FRAME\n" + cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420).tobytes())
    return path


def stream_ms(model: str, pictures: list[np.ndarray], seconds: float) -> float:
    """Mean time of a frame."""
    stream, count, began = vit.stream(model, fps=30), 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        stream(vit.Frame.bgr(pictures[count % len(pictures)]))
        count += 1
    return 1000 * (time.perf_counter() - began) / count


def page_speed(model: str, film: Path, seconds: float) -> tuple[float, float, float, float]:
    """(frames a second, ms to overlay, ms of the server's work, s from start to first overlay)."""
    line = [sys.executable, "-m", "vitruvian.cli", "live", "--model", model, "--no-browser"]
    began = time.perf_counter()
    server = subprocess.Popen(
        [*line, "--port", "8791"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert server.stderr is not None
    server.stderr.readline()
    ready = time.perf_counter() - began
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        shows = f"--use-file-for-fake-video-capture={film}"
        browser = playwright.chromium.launch(executable_path=chromium, args=[*ARGS, shows])
        page = browser.new_page()
        began = time.perf_counter()
        page.goto("http://localhost:8791/")
        page.wait_for_selector("#speed >> text=overlay")
        first = ready + time.perf_counter() - began
        page.wait_for_timeout(3000)
        seen = []
        for _ in range(round(2 * seconds)):
            page.wait_for_timeout(500)
            if found := SPEED.search(page.inner_text("#speed")):
                seen.append([float(number) for number in found.groups()])
        browser.close()
    server.send_signal(2)
    server.communicate()
    rate, overlay, work = (statistics.median(column) for column in zip(*seen, strict=True))
    return rate, overlay, work, first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["blazepose-full", "blazepose-heavy"])
    parser.add_argument("--rates", nargs="+", type=int, default=[120, 30], help="of the camera")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    pictures = film(words.video)
    with tempfile.TemporaryDirectory() as folder:
        films = {
            rate: raw_film(Path(folder, f"{rate}.y4m"), pictures, rate) for rate in words.rates
        }
        for model in [model for model in words.models for _ in range(words.rounds)]:
            alone = stream_ms(model, pictures, words.seconds)
            print(f"{model}: vit.stream {alone:.1f} ms a frame, {1000 / alone:.1f} a second")
            for camera, path in films.items():
                rate, overlay, work, first = page_speed(model, path, words.seconds)
                most = min(camera, 1000 / alone)
                print(
                    f"    camera of {camera} a second: page {rate:.0f} a second "
                    f"({100 * rate / most:.0f} % of {most:.0f}), {overlay:.0f} ms to overlay "
                    f"({overlay / alone:.2f} x), server's work {work:.0f} ms; first overlay "
                    f"after {first:.1f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
