r"""Fine-tune yolov8n-pose on eight keypoints, beside Ultralytics: AP, time of an epoch, memory.

    python benchmarks/train_yolo.py ../shared --epochs 20 --imgsz 640 --seeds 3
    python benchmarks/train_yolo.py ../shared --epochs 3 --imgsz 320 --pictures 128 --judged 100

COCO's keypoints are reduced to shoulders, elbows, hips and knees; `data/coco_pictures` to learn
from, `data/coco` to judge with. Both sides get the same pictures, epochs, size, batch, start, and
optimiser rule, take turns, and are judged by the same code (`vitruvian val`'s, on exported
weights). The start has batch norms with the statistics of data: the shared checkpoint has none, as
they were folded when it was made. An epoch is counted without validation; seconds mean little on a
busy machine: there use --together, and compare the time of the processor.

Ours keeps what the checkpoint knows of keypoints with the same names, and theirs begins with a new
head for another number of keypoints: that is part of the comparison. Runs of a few epochs say
nothing about AP, as theirs has not learned its head by then.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from run import environment  # pyright: ignore[reportMissingImports]

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.evaluate import truth
from vitruvian.evaluate.labels import GroundTruth
from vitruvian.evaluate.recorded import poses_on_truth
from vitruvian.evaluate.scores import score_people
from vitruvian.exports.export import export_checkpoint
from vitruvian.frame import Frame
from vitruvian.models import yolopose
from vitruvian.training.data.labelled import Data
from vitruvian.training.fit import fit
from vitruvian.training.task import Figure
from vitruvian.training.tasks.yolopose import YoloRecipe, YoloTask

KEPT = [COCO17[f"{side}_{part}"] for part in ("shoulder", "elbow", "hip", "knee")
        for side in ("left", "right")]  # fmt: skip
EIGHT = Skeleton(
    "eight", "benchmarks/train_yolo.py", tuple(COCO17.keypoints[k] for k in KEPT), (),
    np.full(len(KEPT), np.nan, np.float32),
)  # fmt: skip


def reduced(file: Path, most: int) -> GroundTruth:
    """The labels of a folder, with eight keypoints; of the first pictures only."""
    read = truth.read(file / "person_keypoints.json")
    pictures = [
        replace(
            picture,
            xy=picture.xy[:, KEPT],
            labelled=picture.labelled[:, KEPT],
            weight=None if picture.weight is None else picture.weight[:, KEPT],
        )
        for picture in read.pictures[:most]
    ]
    return replace(read, skeleton=EIGHT, pictures=pictures)


def write_yolo(some: Mapping[str, GroundTruth], folder: Path) -> Path:
    """The same as a YOLO-pose data set; data.yaml."""
    for split, labels in some.items():
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for picture in labels.pictures:
            (folder / "images" / split / picture.path.name).symlink_to(picture.path.resolve())
            size, lines = np.array(picture.size), []
            for i in np.flatnonzero(~picture.crowd):
                low, wide = picture.box[i, :2], picture.box[i, 2:]
                seen = picture.labelled[i][:, None]
                points = np.where(seen, picture.xy[i] / size, 0)
                points = np.concatenate([points, 2 * seen], axis=1)
                row = np.concatenate([(low + wide / 2) / size, wide / size, points.ravel()])
                lines.append("0 " + " ".join(f"{value:.6f}" for value in row) + "\n")
            file = folder / "labels" / split / picture.path.with_suffix(".txt").name
            file.write_text("".join(lines))
    table = f"path: {folder}\ntrain: images/train\nval: images/val\n"
    table += f"kpt_shape: [{len(EIGHT)}, 3]\nflip_idx: {EIGHT.mirror.tolist()}\n"
    data = folder / "data.yaml"
    data.write_text(table + "names: {0: person}\n")
    return data


class TimedTask(YoloTask):
    """Ours, with the time of each epoch."""

    def order(self, epoch: int) -> Sequence[int]:
        """The epoch begins."""
        self.started = time.perf_counter(), time.process_time()
        return super().order(epoch)

    def validate(self, network: nn.Module) -> Mapping[str, Figure]:
        """Say how long the epoch took, instead."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        now = time.perf_counter(), time.process_time()
        seconds, cpu = (b - a for a, b in zip(self.started, now, strict=True))
        print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak}), flush=True)
        return {"none": Figure(0.0)}

    def pictures(self, network: nn.Module) -> Sequence[np.ndarray]:
        """None."""
        return []


def train_ours(job: dict[str, Any]) -> None:
    """Our side, in a process of its own."""
    labels = reduced(Path(job["learn"]), job["pictures"])
    torch.set_num_threads(job["threads"])
    settings = [f"{name}={value}" for name, value in job["settings"].items()]
    settings += ["keep=last", f"threads={job['threads']}", f"precision={job['precision']}"]
    recipe = YoloRecipe().with_settings(settings)
    task = TimedTask(recipe, job["start"], Data(labels, labels))
    fit(task, Path(job["folder"], "ours"), say=lambda line: print(line, file=sys.stderr))
    print(json.dumps({"weights": str(Path(job["folder"], "ours", "weights.pt"))}), flush=True)


def judged(weights: Path, labels: GroundTruth, imgsz: int, folder: Path) -> dict[str, float]:
    """AP of a checkpoint."""
    file = folder / f"{weights.stem}-{time.time_ns()}.onnx"
    export_checkpoint(weights, file, skeleton=EIGHT, imgsz=imgsz)
    model = yolopose.load(file, yolopose.Options(**yolopose.FAMILY.for_ap))
    found = {
        picture.number: poses_on_truth(model([Frame.read(picture.path)])[0], labels)
        for picture in labels.pictures
    }
    numbers = score_people("it", labels, found, [True] * len(EIGHT), resamples=0).overall
    return {name: numbers[name].value for name in ("AP", "AP50")}


def restored(shared: Path, labels: GroundTruth, imgsz: int, folder: Path, python: str) -> str:
    """The shared checkpoint, its batch norms with statistics of data, as Ultralytics saves it."""
    weights = shared / "weights" / "yolov8n-pose.pt"
    plain = replace(labels, skeleton=COCO17, pictures=labels.pictures)
    task = YoloTask(YoloRecipe(imgsz=imgsz), str(weights), Data(plain, plain))
    task.mirror = None  # the labels do not matter, and have eight keypoints
    tensors, start = folder / "tensors.pt", folder / "start.pt"
    torch.save(task.network().state_dict(), tensors)
    job = {"weights": str(weights), "tensors": str(tensors), "start": str(start), "threads": 1}
    ask([python, str(Path(__file__).parent / "peers/ultralytics_train.py")], job | {
        "folder": str(folder)
    })  # fmt: skip
    return str(start)


def ask(command: Sequence[str], job: dict[str, Any]) -> list[dict[str, Any]]:
    """What a side says."""
    done = subprocess.run(
        [*command, json.dumps(job)], stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main() -> None:
    if sys.argv[1] == "--ours":
        train_ours(json.loads(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="f32", help="of ours: f32 or bf16")
    parser.add_argument("--pictures", type=int, default=10**6, help="to learn from, at most")
    parser.add_argument("--judged", type=int, default=10**6, help="pictures to judge with, at most")
    parser.add_argument(
        "--together", action="store_true", help="both sides at the same time: for busy machines"
    )
    parser.add_argument("--python", help="a Python that has Ultralytics")
    asked = parser.parse_args()
    python = asked.python or environment("ultralytics")
    commands = {
        "ours": [sys.executable, __file__, "--ours"],
        "theirs": [python, str(Path(__file__).parent / "peers/ultralytics_train.py")],
    }
    data = asked.shared / "data"
    learn = reduced(data / "coco_pictures", asked.pictures)
    judge = reduced(data / "coco", asked.judged)
    closed = min(10, asked.epochs // 3)
    results: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        table = write_yolo({"train": learn, "val": judge}, folder / "data")
        start = restored(asked.shared, learn, asked.imgsz, folder, python)
        for seed in range(asked.seeds):
            settings = {"epochs": asked.epochs, "imgsz": asked.imgsz, "batch": asked.batch}
            settings |= {"close_mosaic": closed, "seed": seed}
            job = {"settings": settings, "threads": asked.threads, "pictures": asked.pictures}
            job["precision"] = asked.precision
            job |= {"start": start, "weights": start, "data": str(table)}
            job |= {"learn": str(data / "coco_pictures")}
            for side in commands:
                (folder / f"{side}-{seed}").mkdir()
            with ThreadPoolExecutor(2 if asked.together else 1) as pool:
                said = pool.map(
                    lambda side, job=job, seed=seed: ask(
                        commands[side], job | {"folder": str(folder / f"{side}-{seed}")}
                    ),
                    commands,
                )
                rounds = dict(zip(commands, said, strict=True))
            for side, (*epochs, last) in rounds.items():
                row = {k: statistics.median(e[k] for e in epochs) for k in ("seconds", "cpu")}
                row["peak_mb"] = max(e["peak_mb"] for e in epochs)
                row |= judged(Path(last["weights"]), judge, asked.imgsz, folder)
                results[side].append(row)
                print(side, seed, json.dumps({k: round(v, 3) for k, v in row.items()}), flush=True)
    print(f"{'':8} {'ours':>10} {'theirs':>10} {'ratio':>8}")
    for key in ("seconds", "cpu", "peak_mb", "AP", "AP50"):
        ours, theirs = (statistics.mean(r[key] for r in results[s]) for s in ("ours", "theirs"))
        print(f"{key:8} {ours:10.3f} {theirs:10.3f} {ours / theirs if theirs else 0:8.3f}")


if __name__ == "__main__":
    main()
