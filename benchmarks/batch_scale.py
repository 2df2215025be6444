"""Batches of very many sources: the driver's memory, and the time to scan a manifest.

    python benchmarks/batch_scale.py [--sources 1000,10000,100000] [--scan 1000000]

For each number of sources a process of its own runs a batch whose workers do nothing, and prints
its resident memory. Then a manifest of so many sources is made, all done, with a folder of results
each, and what a second start does before any work is timed, in two parts. The scan: all sources are
compared with the manifest (their files, options and settings, and whether the folder of results is
there), and the first that is to do is looked for. Finding: as many empty files, 1,000 in a folder,
are looked for below a folder.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from vitruvian.errors import VitruvianError
from vitruvian.verbs.batch import batch as verb
from vitruvian.verbs.batch.manifest import DONE, Manifest
from vitruvian.verbs.batch.results import FolderResults
from vitruvian.verbs.batch.sources import Item, items
from vitruvian.verbs.batch.work import BatchSettings, Done, Job
from vitruvian.verbs.groups import BatchWords

IN_FOLDER = 1000  # sources


class Idlers:
    """Workers that make an empty folder of each source."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}

    def idle(self) -> list[str]:
        """See `Workers`."""
        return [f"worker {i}" for i in range(4) if f"worker {i}" not in self.jobs]

    def submit(self, worker: str, job: Job) -> None:
        """See `Workers`."""
        job.folder.mkdir(parents=True)
        self.jobs[worker] = job

    def done(self) -> list[tuple[str, Done | VitruvianError]]:
        """See `Workers`."""
        ended: list[tuple[str, Done | VitruvianError]] = []
        ended += [(worker, Done("0" * 64, frames=1)) for worker in self.jobs]
        self.jobs.clear()
        return ended

    def close(self) -> None:
        """See `Workers`."""


class Run(verb._Run):
    """A batch with workers that do nothing."""

    def _hire(self, left: int) -> Idlers:
        return Idlers()


def sources(number: int) -> Iterator[Item]:
    for i in range(number):
        name = f"day {i // IN_FOLDER}/camera {i % IN_FOLDER}.mp4"
        yield Item(name, (f"/videos/{name}",), {}, f"{i} {i}")


def resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def drive(number: int, out: Path) -> None:
    """A batch of so many sources; prints the largest resident size."""
    before, began = resident_mb(), time.perf_counter()
    run = Run(out, BatchSettings("none"), BatchWords(), (1, 1), lambda _: None)
    try:
        run.plan(sources(number), again=False)
        done = run.do()
    finally:
        run.close()
    assert done.done == number
    print(
        f"{number:9,} sources: {resident_mb():.0f} MB at most, {before:.0f} MB before, "
        f"{time.perf_counter() - began:.0f} s",
        flush=True,
    )


class Timed:
    """Prints the seconds of what is inside, of the clock and of the CPU."""

    def __init__(self, number: int, what: str) -> None:
        self.text = f"{number:9,} sources {what}"

    def __enter__(self) -> None:
        self.began, self.cpu = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        seconds, cpu = time.perf_counter() - self.began, time.process_time() - self.cpu
        times = f"{seconds:.1f} s, {cpu:.1f} s of CPU"
        print(f"{self.text} in {times}, {resident_mb():.0f} MB", flush=True)


def scan(number: int, out: Path) -> None:
    """Time the second start of a batch of so many sources, all of them done."""
    results = FolderResults(out, "batch")
    path = results.state / "batch.sqlite"
    manifest = Manifest(path, "settings", "version")
    with Timed(number, "registered"):
        manifest.add(sources(number), results.has)
    manifest._base.execute("UPDATE sources SET state = ?", (DONE,))
    for item in sources(number):
        (out / item.name).mkdir(parents=True)
    manifest.close()
    manifest = Manifest(path, "settings", "version")
    with Timed(number, "scanned"):
        counts = manifest.add(sources(number), results.has)
        left, first = manifest.left(), next(manifest.todo(), None)
    manifest.close()
    assert (counts, left, first) == ({"done": number}, 0, None)


def find(number: int, videos: Path) -> None:
    """Time the search for so many files."""
    for item in sources(number):
        file = videos / item.name
        if not file.parent.exists():
            file.parent.mkdir(parents=True)
        file.touch()
    with Timed(number, "found"):
        found = sum(1 for _ in items([videos], recursive=True))
    assert found == number


def main() -> None:
    """Read the words, measure."""
    parser = argparse.ArgumentParser(description="Batches of very many sources")
    parser.add_argument("--sources", default="1000,10000,100000")
    parser.add_argument("--scan", type=int, default=1_000_000)
    parser.add_argument("--alone", choices=["drive", "scan", "find"], help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.alone is None:
        every = [("drive", number) for number in words.sources.split(",")]
        for what, number in [*every, ("scan", str(words.scan)), ("find", str(words.scan))]:
            more = ["--alone", what, "--sources", number]
            subprocess.run([sys.executable, __file__, *more], check=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        alone = {"drive": drive, "scan": scan, "find": find}[words.alone]
        alone(int(words.sources), Path(folder) / "out")


if __name__ == "__main__":
    main()
