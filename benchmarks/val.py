r"""`vitruvian val`: how much of its time the network has, and how long the evaluation takes.

    python benchmarks/val.py ../shared/data/coco --pictures 2000

The pictures of the folder, again and again under other numbers until there are so many. First a
model looks at `--seen` of them, and the time in its network is counted; then everything that comes
after, from the files that were found to the page, is timed with what was found in all of them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from vitruvian.evaluate import truth
from vitruvian.models.top_down import TopDown
from vitruvian.verbs.val import show
from vitruvian.verbs.val.val import ledger_of_model, ready, val


class Clock:
    """A network, and for how long it computed: how many calls at a time, and at least one."""

    def __init__(self, network: Any) -> None:
        self.network, self.lock, self.running = network, threading.Lock(), 0
        self.calls = self.busy = self.since = 0.0

    def _turn(self, by: int) -> None:
        with self.lock:
            now = time.perf_counter()
            self.calls += self.running * (now - self.since)
            self.busy += (self.running > 0) * (now - self.since)
            self.running, self.since = self.running + by, now

    def __call__(self, *inputs: Any) -> Any:
        """Compute."""
        self._turn(1)
        try:
            return self.network(*inputs)
        finally:
            self._turn(-1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)


def repeated(said: dict[str, Any], most: int) -> dict[str, Any]:
    """COCO's annotations of the same pictures again and again, under other numbers."""
    images, people = [], []
    for number in range(1, most + 1):
        image = said["images"][(number - 1) % len(said["images"])]
        images.append({**image, "id": number})
        for row in said["annotations"]:
            if row["image_id"] == image["id"]:
                people.append({**row, "image_id": number, "id": len(people) + 1})
    return {**said, "images": images, "annotations": people}


def looked(name: str, data: Path, pictures: Path, out: Path) -> Path:
    """Run the model, and print how much of the time its network has; returns its record."""
    model: Any = ready(name)
    runs = model.head if isinstance(model, TopDown) else model
    runs.network = clock = Clock(runs.network)
    began, processor = time.perf_counter(), time.process_time()
    result = val(data, [model], images=pictures, out=out, resamples=0)
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    streams = model.options.get("streams", 1)
    print(
        f"{name}: {len(result.truth.pictures)} pictures in {seconds:.1f} s ({processor:.1f} s of "
        f"the processor); in the network {clock.busy / seconds:.0%} of the time, "
        f"{clock.calls / seconds:.2f} calls at a time of {streams}"
    )
    return out / f"{model.name}.jsonl"


def evaluated(name: str, data: Path, pictures: Path, records: Path, out: Path) -> None:
    """Time everything that comes after the model."""
    began = time.process_time()
    known = truth.read(data, images=pictures)
    read = time.process_time()
    lines = records.read_text().splitlines()
    n = len(lines) - 1
    model: Any = ready(name)
    kept = out / f"{model.name}.jsonl"
    ledger = ledger_of_model(kept, known, model)
    ledger.open()
    ledger.close()
    with kept.open("w") as file:
        print(lines[0], file=file)
        for index in range(len(known.pictures)):
            line = json.loads(lines[1 + index % n])
            print(json.dumps({**line, "index": index}), file=file)
    start, clock = time.process_time(), time.perf_counter()
    # It reads and compares.
    result = val(data, [model], images=pictures, out=out, resume=True)
    scored = time.process_time()
    show.write_validation(result, out)
    end, clock = time.process_time(), time.perf_counter() - clock
    people = result.scores[0].groups[0].people
    ap = result.scores[0].overall["AP"].value
    print(
        f"{len(known.pictures)} pictures, {people} people, AP {ap:.4f}: {end - start:.1f} s of the "
        f"processor ({clock:.1f} s by the clock): reading the annotations {read - began:.1f}, "
        f"comparing {scored - start - (read - began):.1f}, the page {end - scored:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="coco of the shared data")
    parser.add_argument("--model", default="yolov8n-pose")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--seen", type=int, default=150, help="by the model")
    asked = parser.parse_args()
    said = json.loads((asked.data / "person_keypoints.json").read_text())
    pictures = asked.data / "images"
    with tempfile.TemporaryDirectory() as folder:
        some, all_of_them = Path(folder, "some.json"), Path(folder, "all.json")
        for file, most in ((some, asked.seen), (all_of_them, asked.pictures)):
            file.write_text(json.dumps(repeated(said, most)))
        records = looked(asked.model, some, pictures, Path(folder, "some"))
        evaluated(asked.model, all_of_them, pictures, records, Path(folder, "all"))


if __name__ == "__main__":
    main()
