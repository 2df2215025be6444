"""One measurement of vitruvian in a process of its own, for `all.py`: prints one JSON object.

    python benchmarks/ours.py '{"what": "video", "model": "blazepose-full", "source": "a.mp4"}'

Only names that last are used, so that the same script measures an older commit (`all.py --base`).
What is timed starts when the model is loaded and used once, and ends when the last line is written.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLOCK = time.perf_counter()


def timed(work: Callable[[], int]) -> dict[str, Any]:
    """Seconds, CPU seconds, and memory of some work, which returns its number of frames."""
    began, cpu = time.perf_counter(), time.process_time()
    frames = work()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"frames": frames, "seconds": took, "cpu": cpu, "rss_mb": rss}


def video(job: dict[str, Any]) -> dict[str, Any]:
    """A video, or a folder of pictures, into a file of JSON lines."""
    import vitruvian as vit
    from vitruvian.models.load import open_model
    from vitruvian.sources.open import open_source

    model = open_model(job["model"], open_source(job["source"]), **job.get("options", {}))
    first = job.get("first")
    if first:
        model([vit.Frame.read(first)])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.jsonl")

        def work() -> int:
            vit.predict(job["source"], model, out=out)
            return 0

        done = timed(work)
        lines = [json.loads(line) for line in out.read_text().splitlines()[1:]]
    people = sum(len(line["people"]) for line in lines)
    return {**done, "frames": len(lines), "people": people}


def pictures(job: dict[str, Any]) -> dict[str, Any]:
    """Each picture on its own, from file to poses; the first one warms up."""
    import vitruvian as vit

    model = vit.load(job["model"], **job.get("options", {}))
    paths = job["sources"]
    model([vit.Frame.read(paths[0])])
    times: list[float] = []

    def work() -> int:
        for path in paths:
            start = time.perf_counter()
            model([vit.Frame.read(path)])
            times.append(time.perf_counter() - start)
        return len(times)

    return {**timed(work), "times": times}


def people(job: dict[str, Any]) -> dict[str, Any]:
    """A picture again and again, with so many regions in it, where nobody must be found."""
    import numpy as np

    import vitruvian as vit
    from vitruvian.geometry.regions import Regions

    model = vit.load(job["model"], **job.get("options", {}))
    frame, n = vit.Frame.read(job["sources"][0]), job["people"]
    low = np.random.default_rng(0).uniform(0, 0.5, (n, 2)) * frame.size
    box = np.concatenate([low, low + np.multiply(frame.size, (0.15, 0.5))], axis=1)
    look = Regions.boxes(box.astype(np.float32), np.ones(n, np.float32))
    for _ in range(25):  # frequent numbers of people are compiled
        model([frame], [look])

    def work() -> int:
        for _ in range(job["frames"]):
            model([frame], [look])
        return job["frames"]

    return timed(work)


def start(job: dict[str, Any]) -> dict[str, Any]:
    """From the start of the process to the first poses of a picture."""
    import vitruvian as vit

    model = vit.load(job["model"])
    model([vit.Frame.read(job["sources"][0])])
    return {**timed(lambda: 1), "seconds": time.perf_counter() - CLOCK, "cpu": time.process_time()}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    what = {"video": video, "pictures": pictures, "people": people, "start": start}
    print(json.dumps(what[asked["what"]](asked)))
