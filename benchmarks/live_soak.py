"""Soak test of the live page's server: cameras of many clients at once, some of them hostile.

    python benchmarks/live_soak.py --video ../shared/data/videos/sports2d_demo.mp4 --minutes 20

Starts `vitruvian live` as a process of its own and sends frames from as many clients as asked, over
loopback, each as the page does: at most two frames on their way, JPEGs or raw pixels. Prints, over
time, memory, threads and open files of the server, and at the end how many results each client got.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import cv2
import psutil
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from vitruvian.verbs.live.pictures import HEADER

Picture = tuple[tuple[int, int, int, int], bytes]  # the end of its header, and its data


def frames(video: Path, raw: bool, count: int = 30) -> list[Picture]:
    """640 x 360, JPEG or I420."""
    capture, made = cv2.VideoCapture(str(video)), list[Picture]()
    while len(made) < count and (read := capture.read())[0]:
        small = cv2.resize(read[1], (640, 360), interpolation=cv2.INTER_AREA)
        if raw:
            made.append(((1, 0, 640, 360), cv2.cvtColor(small, cv2.COLOR_BGR2YUV_I420).tobytes()))
        else:
            made.append(((0, 0, 0, 0), cv2.imencode(".jpg", small)[1].tobytes()))
    return made


async def client(
    url: str, pictures: list[Picture], end: float, results: list[int], who: int
) -> None:
    """One camera; it connects again every half minute or so, as tabs that come and go."""
    number = 0
    while time.monotonic() < end:
        stop = min(end, time.monotonic() + random.uniform(20, 40))
        try:
            async with connect(url, compression=None, proxy=None) as socket:
                ahead = 0
                while time.monotonic() < stop:
                    while ahead < 2:
                        at, picture = time.monotonic(), pictures[number % len(pictures)]
                        await socket.send(HEADER.pack(number, at, *picture[0]) + picture[1])
                        number, ahead = number + 1, ahead + 1
                    line = json.loads(await asyncio.wait_for(socket.recv(), 60))
                    if line["type"] == "poses":
                        results[who] += 1
                        ahead = number - 1 - line["seq"]
        except ConnectionClosed:
            await asyncio.sleep(0.5)


async def hostile(url: str, picture: Picture, end: float) -> None:
    """Sends what makes no sense, and reads nothing."""
    while time.monotonic() < end:
        try:
            async with connect(url, compression=None, proxy=None) as socket:
                how, data = picture
                for size in (3, 100, len(data) // 2, len(data), 3 << 20):
                    await socket.send(HEADER.pack(1, 1.0, *how) + (data * 40)[:size])
                    await asyncio.sleep(0.3)
        except ConnectionClosed:
            await asyncio.sleep(0.5)


async def watch(
    process: psutil.Process, end: float, every: float, seen: list[tuple[float, int, int]]
) -> None:
    """(MB, threads, files) of the server over time, printed as they are measured."""
    began = time.monotonic()
    while time.monotonic() < end:
        await asyncio.sleep(every)
        now = process.memory_info().rss / 1e6, process.num_threads(), process.num_fds()
        seen.append(now)
        at = time.monotonic() - began
        print(f"{at:6.0f} s  {now[0]:7.1f} MB  {now[1]} threads  {now[2]} files", flush=True)


async def soak(words: argparse.Namespace, url: str, process: psutil.Process) -> None:
    kinds = [frames(words.video, raw) for raw in (False, True)]  # of clients, by turns
    end = time.monotonic() + 60 * words.minutes
    results = [0] * words.clients
    every = 60 * words.minutes / 12
    seen = list[tuple[float, int, int]]()
    await asyncio.gather(
        watch(process, end, every, seen),
        *(client(url, kinds[who % 2], end, results, who) for who in range(words.clients)),
        hostile(url, kinds[0][0], end),
    )
    half = seen[len(seen) // 2]
    print(f"results a client: least {min(results)}, most {max(results)}, all {sum(results)}")
    print(f"memory, second half: {half[0]:.1f} -> {seen[-1][0]:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--model", default="blazepose-lite")
    parser.add_argument("--port", type=int, default=8790)
    words = parser.parse_args()
    line = [sys.executable, "-m", "vitruvian.cli", "live", "--model", words.model, "--no-browser"]
    line += ["--clients", str(words.clients + 1), "--port", str(words.port)]
    server = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert server.stderr is not None
    print(server.stderr.readline().strip())
    try:
        asyncio.run(soak(words, f"ws://localhost:{words.port}/ws", psutil.Process(server.pid)))
    finally:
        server.send_signal(2)
        said = server.communicate()[1]
        print(f"exit code after Ctrl-C: {server.returncode}; {len(said)} characters of notes")


if __name__ == "__main__":
    main()
