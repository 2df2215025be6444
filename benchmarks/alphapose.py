r"""AlphaPose's FastPose-R50: crops a second beside PyTorch, and milliseconds a picture.

    python benchmarks/alphapose.py ../shared/data/coco --find yolov8n-pose

The network has seeded weights: what it finds means nothing, how long it takes does. First the
network alone through OpenVINO against the same weights in plain PyTorch, with as many threads, in
turns. Then whole pictures, from pixels to merged poses: COCO pictures, whose annotated boxes are
repeated until there are 1, 5 and 20 people (moved, as pose NMS merges what is the same), with the
finder run on each picture, so that its time counts. Pose NMS compares everybody, and then drops
them for their low scores. Needs the extra train.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vitruvian.exports.export import export_checkpoint
from vitruvian.exports.networks import fastpose
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.load import load
from vitruvian.models.top_down import TopDown

PEOPLE = (1, 5, 20)


def turns(rounds: int, runs: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of each run in each round; they take turns, and the first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def alone(file: Path, network: fastpose.Network, threads: int, rounds: int, crops: int) -> None:
    """Print crops a second of the network alone."""
    import torch

    from vitruvian.network.openvino import OpenVino

    torch.set_num_threads(threads)
    network.eval()
    for batch in (1, 8, crops):
        rows = np.random.default_rng(0).integers(0, 256, (batch, 256, 192, 3), np.uint8)
        runs = {}
        for precision in ("f32", "bf16"):
            opened = OpenVino(file, threads=threads, precision=precision)
            runs[f"OpenVINO {precision}"] = lambda opened=opened, rows=rows: opened(rows)

        @torch.inference_mode()
        def plain(rows: np.ndarray = rows) -> np.ndarray:
            return network(fastpose.fastpose_input(torch.from_numpy(rows))).numpy()

        runs["PyTorch f32"] = plain
        far = np.abs(runs["OpenVINO f32"]()[0] - plain()).max()
        print(f"{batch} crops at a time, {threads} threads; f32 apart by {far:.1g}")
        times = turns(rounds, runs)
        base = statistics.median(times["PyTorch f32"])
        for name, each in times.items():
            median = statistics.median(each)
            print(f"  {name:14} {batch / median:6.1f} crops/s  {base / median:.2f} times PyTorch")


def pictures(data: Path, most: int) -> list[tuple[Frame, np.ndarray]]:
    """Pictures with their annotated people, (N, 4) x0 y0 x1 y1."""
    read = json.loads((data / "person_keypoints.json").read_text())
    found = []
    for image in read["images"]:
        rows = [a["bbox"] for a in read["annotations"] if a["image_id"] == image["id"]]
        if rows and len(found) < most:
            box = np.array(rows, np.float32)
            box[:, 2:] += box[:, :2]
            found.append((Frame.read(data / "images" / image["file_name"]), box))
    return found


def repeated(box: np.ndarray, people: int, size: tuple[int, int]) -> Regions:
    """That many boxes: the annotated ones again and again, each time somewhere else."""
    rng = np.random.default_rng(0)
    rows = np.resize(box, (people, 4))
    shift = rng.uniform(-0.5, 0.5, (people, 2)).astype(np.float32) * np.array(size, np.float32)
    shift[: len(box)] = 0
    return Regions.boxes(rows + np.tile(shift, 2), np.ones(people, np.float32))


def whole(model: TopDown, data: Sequence[tuple[Frame, np.ndarray]], rounds: int) -> None:
    """Print milliseconds of a picture for some numbers of people, the finder's among them."""
    finder = model.find
    boxes = {id(frame): box for frame, box in data}
    for people in PEOPLE:

        def find(frames: Sequence[Frame], people: int = people) -> list[Regions]:
            finder(frames)
            return [repeated(boxes[id(frame)], people, frame.size) for frame in frames]

        model.find = find
        runs = {
            "finder": lambda: [finder([frame]) for frame, _ in data],
            "all": lambda: [model([frame]) for frame, _ in data],
        }
        times = {
            name: statistics.median(each) / len(data) * 1e3
            for name, each in turns(rounds, runs).items()
        }
        print(f"{people:3} people: {times['all']:6.0f} ms a picture, finder {times['finder']:.0f}")
    model.find = finder


def main() -> None:
    """Read the arguments, make the network, time it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="the folder with person_keypoints.json and images")
    parser.add_argument("--find", default="yolov8n-pose")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--crops", type=int, default=20, help="of the largest batch")
    chosen = parser.parse_args()

    import torch

    torch.manual_seed(0)
    network = fastpose.build(fastpose.FastShape())
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, "seeded.pth")
        torch.save(network.state_dict(), checkpoint)
        file = Path(folder, "seeded.onnx")
        export_checkpoint(checkpoint, file)
        alone(file, network, chosen.threads, chosen.rounds, chosen.crops)
        model = load(str(file), find=chosen.find, threads=chosen.threads)
        assert isinstance(model, TopDown)
        whole(model, pictures(chosen.data, chosen.pictures), chosen.rounds)


if __name__ == "__main__":
    main()
