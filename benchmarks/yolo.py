r"""YOLOv8-pose beside Ultralytics with the same weights: accuracy on COCO, and speed, as ratios.

    python benchmarks/yolo.py ../shared/weights/yolov8n-pose.pt ../shared/data \
        --reference ULTRALYTICS_ENVIRONMENT/bin/python

Both sides are asked in turns, in processes that stay open, for the same pictures (from the file to
the keypoints) and the same video. Needs the extra train; `peers/ultralytics_pose.py` says
what the other environment needs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.evaluate import coco

OURS: dict[str, dict[str, object]] = {
    "openvino f32": {},
    "openvino bf16": {"precision": "bf16"},
    "onnxruntime": {"runtime": "onnxruntime"},
}
INT8 = "openvino int8"  # with --calibration only


class Side:
    """A process that answers commands."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, **command: object) -> dict[str, Any]:
        """One answer."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps(command), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} stopped; run it by hand to see why")
        return json.loads(line)


def frames(sources: Sequence[str], most: int | None) -> Iterator[Any]:
    """The frames of pictures and videos."""
    import av

    from vitruvian.frame import Frame

    for source in sources:
        if not source.endswith(".mp4"):
            yield Frame.read(source)
            continue
        with av.open(source) as container:
            container.streams.video[0].thread_type = "AUTO"
            for i, frame in enumerate(container.decode(video=0)):
                if i == most:
                    break
                yield Frame(frame.to_ndarray(format="rgb24"), i)


def answer_for_us() -> None:
    """Our side: answer commands until there are no more."""
    from vitruvian.models import yolopose

    models: dict[str, yolopose.YoloPose] = {}
    for line in sys.stdin:
        ask = json.loads(line)
        name = json.dumps([ask["options"], ask["file"]])
        if name not in models:
            options = yolopose.Options.of(**ask["options"])
            models[name] = yolopose.load(Path(ask["file"]), options)
        model, found, count = models[name], [], 0
        start = time.perf_counter()
        pictures = frames(ask["sources"], ask.get("most"))
        many = ask["options"].get("streams", 1) > 1
        results = model.stream(pictures) if many else (model([frame])[0] for frame in pictures)
        for poses in results:
            count += 1
            if ask.get("keep"):
                box = np.concatenate([poses.box, poses.box_score[:, None]], axis=1)
                points = np.concatenate([poses.xy, poses.score[..., None]], axis=-1)
                found.append([box.tolist(), points.tolist()])
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "frames": count, "found": found}), flush=True)


def average_precision(annotations: Path, found: dict[int, list[Any]]) -> float:
    """OKS-AP of the keypoints of each picture, by its number in the annotations."""
    results = [
        {
            "image_id": image,
            "category_id": 1,
            "score": box[4],
            "keypoints": np.reshape(points, -1).tolist(),
        }
        for image, (boxes, people) in found.items()
        for box, points in zip(boxes, people, strict=True)
    ]
    return coco.coco_average_precision(json.loads(annotations.read_text()), results)["AP"]


def accuracy(
    data: Path, weights: Path, files: dict[str, Path], ours: Side, reference: Side
) -> None:
    """Print OKS-AP of both sides, and how far apart they are."""
    annotations = data / "coco/person_keypoints.json"
    images = json.loads(annotations.read_text())["images"]
    sources = [str(data / "coco/images" / image["file_name"]) for image in images]
    same: dict[str, object] = {"sources": sources, "conf": 0.001, "keep": True}
    theirs = reference.ask(model="pytorch", weights=str(weights), **same)["found"]
    numbers = [image["id"] for image in images]
    base = average_precision(annotations, dict(zip(numbers, theirs, strict=True)))
    print(f"OKS-AP, {len(images)} pictures: Ultralytics {base:.4f}")
    for name, file in files.items():
        chosen = {**OURS.get(name, {}), "conf": 0.001}
        found = ours.ask(file=str(file), options=chosen, sources=sources, keep=True)["found"]
        got = average_precision(annotations, dict(zip(numbers, found, strict=True)))
        print(f"  {name:16} {got:.4f} ({got - base:+.4f})")


def speed(
    data: Path,
    weights: Path,
    files: dict[str, Path],
    ours: Side,
    reference: Side,
    rounds: int,
    most: int,
) -> None:
    """Print milliseconds a frame of both sides, and ratios to Ultralytics in PyTorch."""
    pictures = sorted(str(path) for path in (data / "coco/images").iterdir())[:40]
    pictures += [str(path) for path in sorted((data / "images").iterdir())]
    video = [str(data / "videos/intel_one_by_one_person.mp4")]
    for what, sources, streams in (("pictures", pictures, 1), ("video", video, 2)):
        asks: dict[str, tuple[Side, dict[str, object]]] = {
            f"Ultralytics {name}": (reference, {"model": name, "weights": str(weights)})
            for name in ("pytorch", "openvino")
        }
        for name, file in files.items():
            chosen: dict[str, object] = {"options": {**OURS.get(name, {}), "streams": streams}}
            asks[f"ours {name}"] = (ours, {"file": str(file), **chosen})
        each: dict[str, list[float]] = {name: [] for name in asks}
        for turn in range(rounds + 1):
            for name, (side, ask) in asks.items():
                done = side.ask(sources=sources, most=most if what == "video" else None, **ask)
                if turn:  # the first is to warm up
                    each[name].append(done["seconds"] / done["frames"] * 1e3)
        base = statistics.median(each["Ultralytics pytorch"])
        print(f"{what}: milliseconds a frame, median of {rounds} rounds (least)")
        for name, times in each.items():
            median = statistics.median(times)
            print(f"  {name:22} {median:6.1f} ({min(times):.1f})  {base / median:.2f} times")


def main() -> None:
    """Read the arguments, start both sides, ask them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("weights", type=Path, help="a .pt file")
    parser.add_argument("data", type=Path, help="the folder with coco, images and videos")
    parser.add_argument("--reference", required=True, help="the python of Ultralytics' environment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=200, help="of the video")
    parser.add_argument("--calibration", type=Path, help="a folder of pictures: int8 as well")
    parser.add_argument("--only", choices=["accuracy", "speed"])
    chosen = parser.parse_args()
    here = Path(__file__).parent
    reference = Side(chosen.reference, str(here / "peers/ultralytics_pose.py"))
    ours = Side(sys.executable, str(here / "yolo.py"), "--answer")

    with tempfile.TemporaryDirectory() as folder:
        from vitruvian.exports.export import export_checkpoint
        from vitruvian.models import yolopose

        weights = Path(folder, chosen.weights.name)  # Ultralytics exports beside the weights
        weights.write_bytes(chosen.weights.read_bytes())
        file = export_checkpoint(weights, Path(folder, "ours.onnx")).file
        files = dict.fromkeys(OURS, file)
        if chosen.calibration:
            model = yolopose.load(file)
            pictures = frames([str(path) for path in sorted(chosen.calibration.iterdir())], None)
            inputs = [model.prepare([frame], [model.letterbox(frame)]) for frame in pictures]
            out = Path(folder, "int8.xml")
            done = export_checkpoint(weights, out, precision="int8", calibration=inputs)
            print(f"int8: {len(inputs)} pictures, {done.apart[INT8]:.1f} pixels from f32")
            files[INT8] = done.file
        same = (chosen.data, weights, files, ours, reference)
        if chosen.only != "speed":
            accuracy(*same)
        if chosen.only != "accuracy":
            speed(*same, chosen.rounds, chosen.frames)


if __name__ == "__main__":
    if sys.argv[1:] == ["--answer"]:
        answer_for_us()
    else:
        main()
