r"""What a peer finds, as records: for `vitruvian val --results` and `compare --results`.

    python benchmarks/peers/run.py mediapipe-solutions ../shared/data/coco --out solutions.jsonl
    python benchmarks/peers/run.py mediapipe-tasks walk.mp4 --most 5 --out tasks.jsonl
    python benchmarks/peers/run.py ultralytics ../shared/data/coco --weights yolov8n-pose.pt \
        --out ultralytics.jsonl

Each peer runs in a virtual environment of its own, made in the cache folder the first time (unless
--python names one that has it), on the same files as ours, with the options that it has by default
but for --most and --conf. The time of each frame is kept: from the file, or the frame of a video,
to the result. MediaPipe gives no boxes and no score of a person: they are the bounds of its
landmarks, and the mean of their visibility.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17
from vitruvian.frame import Frame
from vitruvian.sources.open import Pictures, VideoFile, open_source
from vitruvian.verbs.outputs import open_sink
from vitruvian.weights.download import cache_folder

HERE = Path(__file__).parent
SOLUTIONS = "mediapipe==0.10.21"
# What each peer needs; Ultralytics without its torchvision, see ultralytics_pose.py.
NEEDS = {
    "mediapipe-solutions": [[SOLUTIONS]],
    "mediapipe-tasks": [["mediapipe==1.2.2"]],
    "ultralytics": [
        ["torch==2.13.0", "numpy", "opencv-python-headless", "pillow", "pyyaml", "psutil"],
        ["requests", "matplotlib", "polars", "openvino"],
        ["--no-deps", "ultralytics"],
    ],
    "pose2sim": [["pose2sim==0.10.49"]],  # see ../triangulate_peer.py
}
FAMILY = {"mediapipe-solutions": BLAZEPOSE33, "mediapipe-tasks": BLAZEPOSE33, "ultralytics": COCO17}
COMPLEXITY = {"lite": 0, "full": 1, "heavy": 2}


@dataclass(frozen=True)
class Peer:
    """What records say of who made them."""

    name: str
    options: dict[str, Any]
    weights: dict[str, str] = field(default_factory=dict)
    runs_on: str = "CPU"


def environment(peer: str) -> str:
    """The Python of a peer's environment; made once."""
    folder = cache_folder() / "peers" / peer
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"making an environment for {peer} in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        for words in NEEDS[peer]:
            subprocess.run([str(python), "-m", "pip", "install", "-q", *words], check=True)
        (folder / "ready").touch()
    return str(python)


def bundle(size: str, solutions: str) -> str:
    """The networks that ours uses as well, as Tasks wants them; made once."""
    from vitruvian.models.ready import pull

    out = cache_folder() / "peers" / f"{size}.task"
    if not out.exists():
        files = [str(path) for path in pull(f"blazepose-{size}")]
        script = str(HERE / "mediapipe_tasks.py")
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([solutions, script, "bundle", *files, str(out)], check=True)
    return str(out)


def lines(command: Sequence[str], asked: str = "") -> Iterator[dict[str, Any]]:
    """What a peer says, line by line.

    Args:
        command: to run.
        asked: what it reads from standard input.
    """
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(asked)
        process.stdin.close()
        yield from map(json.loads, process.stdout)
    if process.returncode:
        sys.exit(f"{command[1]} failed with {process.returncode}")


def poses_of(line: dict[str, Any], peer: str) -> Poses:
    """One frame's people in our terms."""
    skeleton, people = FAMILY[peer], line["people"]
    origin = "hips" if peer.startswith("mediapipe") else None
    if not people:
        return Poses.nobody(skeleton, origin)
    parts = {key: np.array([p[key] for p in people], np.float32) for key in people[0]}
    if "box" not in parts:
        low, high = parts["xy"].min(axis=1), parts["xy"].max(axis=1)
        parts["box"] = np.concatenate([low, high], axis=1)
        parts["box_score"] = parts["score"].mean(axis=1)
    return Poses(skeleton, person=np.full(len(people), -1), origin=origin, **parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=sorted(FAMILY))
    parser.add_argument("source")
    parser.add_argument("--out", type=Path, required=True, help="records, .jsonl")
    parser.add_argument("--size", choices=sorted(COMPLEXITY), default="full", help="of MediaPipe's")
    parser.add_argument("--weights", help="of Ultralytics: a .pt file")
    parser.add_argument("--most", type=int, default=1, help="people, of MediaPipe's Tasks")
    parser.add_argument("--conf", type=float, default=0.25, help="of Ultralytics")
    parser.add_argument("--python", help="a Python that has the peer")
    parser.add_argument("--solutions", help=f"a Python that has {SOLUTIONS}, to make the bundle")
    asked = parser.parse_args()
    peer = asked.peer
    python = asked.python or environment(peer)
    (source,) = open_source(asked.source)
    if isinstance(source, Pictures):
        job: dict[str, Any] = {"what": "pictures", "sources": [str(p) for p in source.paths]}
    elif isinstance(source, VideoFile):
        job = {"what": "video", "sources": [source.address]}
    else:
        sys.exit(f"'{asked.source}' is neither pictures nor a video")
    if peer == "mediapipe-tasks":
        made = bundle(asked.size, asked.solutions or environment("mediapipe-solutions"))
        job |= {"bundle": made, "most": asked.most}
        said = lines([python, str(HERE / "mediapipe_tasks.py"), json.dumps(job)])
    elif peer == "mediapipe-solutions":
        job |= {"complexity": COMPLEXITY[asked.size], "lines": True}
        said = lines([python, str(HERE / "mediapipe_pose.py"), json.dumps(job)])
    else:
        if asked.weights is None:
            parser.error("--weights: which checkpoint?")
        job |= {"model": "torch", "weights": asked.weights, "conf": asked.conf, "lines": True}
        said = lines([python, str(HERE / "ultralytics_pose.py")], json.dumps(job) + "\n")
    seconds = []
    options = {"size": asked.size, "most": asked.most, "conf": asked.conf}
    with open_sink(asked.out, Peer(peer, options)) as sink:
        for line in said:
            size = (line["size"][0], line["size"][1])
            frame = Frame(None, line["index"], line["time"], line["source"], None, size)
            sink.write(frame, poses_of(line, peer))
            seconds.append(line["seconds"])
    spent = 1000 * float(np.median(seconds))
    print(f"{peer}: {len(seconds)} frames, {spent:.1f} ms in the median -> {asked.out}")


if __name__ == "__main__":
    main()
