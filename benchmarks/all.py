r"""Every speed that docs/performance.md claims, beside its peer, on this machine, as one table.

    python benchmarks/all.py [--rounds 5] [--only video,start] [--base REVISION]

Each measurement is a process of its own. Ours and the peer take turns, and what is printed are
medians over the rounds and medians of the ratios of pairs: the peer's time by ours (above 1: ours
is faster), and our CPU time by the peer's. --base measures an earlier commit of this repository in
place of the peers: the guard against getting slower, by hand and before a release. Peers are
installed in the cache folder the first time; MediaPipe's newer package runs without network (it
reports to its maker). Pictures, videos and weights lie in ../shared.
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
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from run import bundle, environment  # pyright: ignore[reportMissingImports]

from vitruvian.weights.download import cache_folder

HERE = Path(__file__).parent
SHARED = HERE.parent.parent / "shared"
DATA, YOLO = SHARED / "data", SHARED / "weights" / "yolov8n-pose.pt"
SPORTS = DATA / "videos" / "sports2d_demo.mp4"
Result = dict[str, Any]
Side = Callable[[], Result]


@dataclass(frozen=True)
class Row:
    """A kind of work: ours, and its peer."""

    name: str
    ours: Result  # the job of `ours.py`
    peer: str = ""  # "": only beside an earlier commit
    theirs: Side | None = None
    figure: str = "seconds"


def run(command: Sequence[str | Path], **environ: str) -> Result:
    """One measurement in a process of its own, with the seconds of the whole process."""
    began = time.perf_counter()
    # Compiled modules are kept, as they are where either is installed.
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        env={**kept, **environ},
    )
    whole = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{command[1]}: {done.stderr[-2000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "whole": whole}


def ours(job: Result, source: Path) -> Result:
    """Our side, from a tree of sources."""
    return run([sys.executable, HERE / "ours.py", json.dumps(job)], PYTHONPATH=str(source))


def solutions(job: Result) -> Side:
    """MediaPipe 0.10.21 Solutions."""
    python = environment("mediapipe-solutions")
    return lambda: run([python, HERE / "peers" / "mediapipe_pose.py", json.dumps(job)])


def tasks(video: Path, most: int, folder: Path) -> Side:
    """MediaPipe's Tasks, without network."""
    python, file = (
        environment("mediapipe-tasks"),
        bundle("full", environment("mediapipe-solutions")),
    )
    job = {"what": "video", "sources": [str(video)], "bundle": file, "most": most}
    job["out"] = str(folder / "tasks.jsonl")
    alone = ["unshare", "--net"] if shutil.which("unshare") and os.geteuid() == 0 else []
    script = HERE / "peers" / "mediapipe_tasks.py"
    return lambda: run([*alone, python, script, json.dumps(job)])


def ultralytics(model: str, sources: Sequence[str], most: int | None = None) -> Side:
    """Ultralytics: what it answers the second time, warmed up by the first."""
    python, weights = environment("ultralytics"), cache_folder() / "peers" / YOLO.name
    shutil.copy(YOLO, weights)  # its export is written beside it
    ask = {"model": model, "weights": str(weights), "sources": list(sources), "most": most}
    code = json.dumps(ask) + "\n"

    def side() -> Result:
        done = subprocess.run(
            [python, str(HERE / "peers" / "ultralytics_pose.py")],
            input=code * 2,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])

    return side


def beside(video: Path, out: Path, frames: int = 180) -> Path:
    """Four times the person of a video, at different times, beside each other: 1080 x 480."""
    import av
    import cv2
    import numpy as np

    import vitruvian as vit

    pairs = [(f, p) for f, p in vit.run(video, "blazepose-full", max_frames=frames) if len(p)]
    boxes = np.array([poses.box[0] for _, poses in pairs])
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    kernel = np.ones(31) / 31  # the camera follows slowly
    middle = np.stack(
        [np.convolve(np.pad(m, 15, "edge"), kernel, "valid") for m in middle.T], axis=1
    )
    height = 1.2 * (boxes[:, 3] - boxes[:, 1]).max()
    cut = []
    for (frame, _), (x, y) in zip(pairs, middle, strict=True):
        scale = 480 / height
        shift = np.array([[scale, 0, 135 - scale * x], [0, scale, 240 - scale * y]])
        cut.append(cv2.warpAffine(frame.rgb, shift, (270, 480), borderMode=cv2.BORDER_REPLICATE))
    with av.open(str(out), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 1080, 480, "yuv420p"
        stream.options = {"crf": "18"}
        for i in range(frames):
            row = np.concatenate([cut[(i + shift) % len(cut)] for shift in (0, 15, 30, 45)], axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(row, format="rgb24")))
        container.mux(stream.encode(None))
    return out


def large(video: Path, out: Path, frames: int = 60) -> Path:
    """A video in 3840 x 2160, HEVC."""
    import av

    with av.open(str(video)) as given, av.open(str(out), "w") as container:
        stream = container.add_stream("libx265", rate=30)
        stream.width, stream.height, stream.pix_fmt = 3840, 2160, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "24", "x265-params": "log-level=none"}
        for i, frame in enumerate(given.decode(video=0)):
            if i == frames:
                break
            made = frame.reformat(3840, 2160, "yuv420p")
            made.pts = None
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))
    return out


def rows(folder: Path) -> list[Row]:
    """All kinds of work; what the peers need is made or installed when they are asked first."""
    coco = sorted(map(str, (DATA / "coco" / "images").glob("*.jpg")))
    bus = str(DATA / "images" / "ultralytics_bus.jpg")
    many = folder / "many"
    many.mkdir()
    for i in range(1000):
        (many / f"{i:04}.jpg").symlink_to(coco[i % len(coco)])
    four, uhd = folder / "four.mp4", folder / "uhd.mp4"
    film = {"what": "video", "model": "blazepose-full", "source": str(SPORTS), "first": bus}
    their = {"what": "video", "video": str(SPORTS), "complexity": 1, "out": str(folder / "a.jsonl")}
    still = {"what": "pictures", "model": "blazepose-full", "sources": coco}
    yolo = {"what": "pictures", "model": str(YOLO), "sources": coco[:40]}
    same = {"what": "video", "model": str(YOLO), "source": str(SPORTS), "first": bus}
    return [
        Row("video", film, "MediaPipe 0.10.21 Solutions", lambda: solutions(their)()),
        Row("video-tasks", film, "MediaPipe 1.2.2 Tasks", lambda: tasks(SPORTS, 1, folder)()),
        Row(
            "video-four",
            {**film, "source": str(four), "options": {"num_poses": 4}},
            "MediaPipe 1.2.2 Tasks, num_poses 4",
            lambda: tasks(four, 4, folder)(),
        ),
        Row(
            "pictures",
            still,
            "MediaPipe 0.10.21 Solutions, static",
            lambda: solutions({"what": "pictures", "pictures": coco, "complexity": 1})(),
        ),
        Row(
            "yolo-pictures",
            yolo,
            "Ultralytics, PyTorch",
            lambda: ultralytics("pytorch", coco[:40])(),
        ),
        Row(
            "yolo-pictures-export",
            yolo,
            "Ultralytics, its OpenVINO export (bf16 where the processor has it)",
            lambda: ultralytics("openvino", coco[:40])(),
        ),
        Row(
            "yolo-pictures-bf16",
            {**yolo, "options": {"precision": "bf16"}},
            "Ultralytics, its OpenVINO export (bf16)",
            lambda: ultralytics("openvino", coco[:40])(),
        ),
        Row(
            "yolo-video",
            same,
            "Ultralytics stream, PyTorch",
            lambda: ultralytics("pytorch", [str(SPORTS)])(),
        ),
        Row(
            "yolo-video-export",
            same,
            "Ultralytics stream, its OpenVINO export",
            lambda: ultralytics("openvino", [str(SPORTS)])(),
        ),
        Row(
            "start",
            {"what": "start", "model": "blazepose-full", "sources": [bus]},
            "MediaPipe 0.10.21 Solutions",
            lambda: solutions({"what": "pictures", "pictures": [bus], "complexity": 1})(),
            "whole",
        ),
        Row(
            "people-20",
            {
                "what": "people",
                "model": "vitruvian-2d",
                "sources": [bus],
                "people": 20,
                "frames": 5,
            },
        ),
        Row("folder-blazepose", {**film, "source": str(many), "options": {"num_poses": 1}}),
        Row("folder-yolo", {**same, "source": str(many)}),
        Row("uhd", {**film, "source": str(uhd)}),
    ]


def checkout(revision: str, folder: Path) -> Path:
    """The sources of an earlier commit."""
    tree = folder / "base"
    command = ["git", "-C", str(HERE.parent), "worktree", "add", "--detach", str(tree), revision]
    subprocess.run(command, check=True, capture_output=True)
    return tree


def measure(row: Row, rounds: int, base: Path | None) -> None:
    """Take turns, and print a line."""
    theirs = row.theirs if base is None else lambda: ours(row.ours, base / "src")
    if theirs is None:
        return
    pairs: list[tuple[Result, Result]] = []
    for turn in range(rounds):
        sides = [lambda: ours(row.ours, HERE.parent / "src"), theirs]
        both = [side() for side in (sides if turn % 2 == 0 else sides[::-1])]
        pairs.append(tuple(both if turn % 2 == 0 else both[::-1]))  # type: ignore[arg-type]

    def each(result: Result, figure: str) -> float:
        per = 1 if row.figure == "whole" else max(result["frames"], 1)
        return result.get(figure, float("nan")) / per * 1e3

    def median(side: int, figure: str) -> float:
        return statistics.median(each(pair[side], figure) for pair in pairs)

    faster = statistics.median(each(b, row.figure) / each(a, row.figure) for a, b in pairs)
    # The CPU time of a whole process is known on our side only.
    same = row.figure != "whole" or base is not None
    nothing = float("nan")
    busy = statistics.median(each(a, "cpu") / each(b, "cpu") if same else nothing for a, b in pairs)
    memory = [
        statistics.median(pair[i].get("rss_mb", float("nan")) for pair in pairs) for i in (0, 1)
    ]
    peer = row.peer if base is None else "base"
    print(
        f"| {row.name} | {peer} | {median(0, row.figure):.1f} | {median(1, row.figure):.1f} "
        f"| **{faster:.2f}** | {median(0, 'cpu'):.1f} | {median(1, 'cpu'):.1f} | {busy:.2f} "
        f"| {memory[0]:.0f} | {memory[1]:.0f} |",
        flush=True,
    )


def main() -> None:
    """Read the words, and measure."""
    parser = argparse.ArgumentParser(description="All speeds beside their peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="names of rows, with commas")
    parser.add_argument("--base", help="a commit to measure in place of the peers")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = rows(folder)
        names = words.only.split(",") if words.only else [row.name for row in known]
        if unknown := set(names) - {row.name for row in known}:
            parser.error(f"no row {', '.join(unknown)}; choose of {[row.name for row in known]}")
        chosen = [row for row in known if row.name in names]
        # In a process of its own: measured ones begin with the peak memory of this one.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            if "video-four" in names:
                pool.submit(beside, SPORTS, folder / "four.mp4").result()
            if "uhd" in names:
                pool.submit(large, SPORTS, folder / "uhd.mp4").result()
        base = checkout(words.base, folder) if words.base else None
        try:
            load = os.getloadavg()[0]
            print(
                f"{os.cpu_count()} cores, load {load:.2f} before, {words.rounds} rounds; ms a frame"
            )
            print(
                "| work | peer | ours | peer | times as fast | CPU ours | CPU peer | ratio "
                "| MB ours | MB peer |"
            )
            print("|---|---|---|---|---|---|---|---|---|---|")
            for row in chosen:
                measure(row, words.rounds, base)
        finally:
            if base is not None:
                remove = ["git", "-C", str(HERE.parent), "worktree", "remove", "--force", str(base)]
                subprocess.run(remove, check=True)


if __name__ == "__main__":
    main()
