r"""MeTRAbs: crops a second beside PyTorch, and milliseconds a picture.

    python benchmarks/metrabs.py ../shared/data/images/ultralytics_bus.jpg --find yolov8n-pose

The network, EfficientNetV2-S for crops of 256 pixels with 555 points as the published one, has
seeded weights: what it finds means nothing, how long it takes does. First it alone through
OpenVINO against the same weights in plain PyTorch, with as many threads, in turns, by the clock and
by the processor's time, which other work on the machine changes less. Then a whole picture, from
pixels to metres, with 1 and 5 people and 1 and 5 looks at each: whom the finder finds, repeated
somewhere else until there are enough, with the finder's time in it. `--model` does that with
another MeTRAbs file. Needs the extra train.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.decode.volume import Volume
from vitruvian.exports.export import export_checkpoint
from vitruvian.exports.networks import metrabs
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.load import load
from vitruvian.models.top_down import TopDown

POINTS = 555
PEOPLE, LOOKS = (1, 5), (1, 5)


def turns(rounds: int, runs: Mapping[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Median seconds of each run, by the clock and of the processor.

    They take turns, and the first round does not count.
    """
    clocks: dict[str, list[float]] = {name: [] for name in runs}
    processors: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start, busy = time.perf_counter(), time.process_time()
            run()
            if turn:
                clocks[name].append(time.perf_counter() - start)
                processors[name].append(time.process_time() - busy)
    pairs = zip(clocks.items(), processors.values(), strict=True)
    return {name: (statistics.median(a), statistics.median(b)) for (name, a), b in pairs}


def alone(file: Path, network: metrabs.Metrabs, threads: int, rounds: int) -> None:
    """Print crops a second of the network alone."""
    import torch

    from vitruvian.network.openvino import OpenVino

    torch.set_num_threads(threads)
    for batch in (1, 5):
        rows = np.random.default_rng(0).random((batch, 256, 256, 3), np.float32)
        runs: dict[str, Callable[[], tuple[np.ndarray, ...]]] = {}
        for precision in ("f32", "bf16"):
            opened = OpenVino(file, threads=threads, precision=precision)
            runs[f"OpenVINO {precision}"] = lambda opened=opened, rows=rows: opened(rows)

        @torch.inference_mode()
        def plain(rows: np.ndarray = rows) -> tuple[np.ndarray, ...]:
            maps = network(torch.from_numpy(rows).permute(0, 3, 1, 2))
            return tuple(part.numpy() for part in maps)

        runs["PyTorch f32"] = plain
        far = np.abs(runs["OpenVINO f32"]()[1] - plain()[1]).max()
        print(f"{batch} crops at a time, {threads} threads; f32 apart by {far:.1g}", flush=True)
        times = turns(rounds, runs)
        clock, processor = times["PyTorch f32"]
        for name, (seconds, busy) in times.items():
            print(
                f"  {name:14} {batch / seconds:6.1f} crops/s  {clock / seconds:.2f} times PyTorch, "
                f"{processor / busy:.2f} by the processor's time",
                flush=True,
            )


def repeated(found: Regions, people: int, size: tuple[int, int]) -> Regions:
    """That many regions: the found ones, the likeliest first, then again somewhere else."""
    if not len(found):
        raise SystemExit("the finder finds nobody in the picture; give one of people")
    again = found.take(np.arange(people) % len(found))
    shift = np.random.default_rng(0).uniform(-0.3, 0.3, (people, 2)) * size
    shift[: len(found)] = 0
    box = again.bounds() + np.tile(shift, 2).astype(np.float32)
    return Regions.boxes(box, again.score)


def whole(file: str, finder: str, picture: Frame, threads: int, rounds: int) -> None:
    """Print milliseconds of a picture, for some numbers of people and looks."""
    for looks in LOOKS:
        model = load(file, find=finder, num_aug=looks, threads=threads)
        assert isinstance(model, TopDown)
        for people in PEOPLE:
            times = turns(rounds, runs_of(model, picture, people))
            (whole_clock, whole_busy), (clock, _) = times["all"], times["finder"]
            print(
                f"{people} people, {looks} looks at each: {1000 * whole_clock:.0f} ms a picture, "
                f"{1000 * clock:.0f} of them the finder; {1000 * whole_busy:.0f} of the processor",
                flush=True,
            )


def runs_of(model: TopDown, picture: Frame, people: int) -> dict[str, Callable[[], object]]:
    """The finder alone, and the whole model with so many people in the picture."""
    find = model.find

    def whole_picture() -> None:
        model([picture], [repeated(found, people, picture.size) for found in find([picture])])

    return {"finder": lambda: find([picture]), "all": whole_picture}


def main() -> None:
    """Read the arguments, make the network, time it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("picture", type=Path, help="of people")
    parser.add_argument("--find", default="blazepose-full")
    parser.add_argument("--model", help="a MeTRAbs file or name, for whole pictures")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()

    import torch

    torch.manual_seed(0)
    network = metrabs.Metrabs(metrabs.MetrabsShape.of("efficientnetv2-s", POINTS)).eval()
    points = tuple(f"point_{i}" for i in range(POINTS))
    table = Skeleton("points", "seeded", points, (), np.full(POINTS, np.nan, np.float32))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, file = Path(folder, "seeded.pt"), Path(folder, "seeded.onnx")
        metrabs.save(network, checkpoint, Volume(), table)
        export_checkpoint(checkpoint, file)
        alone(file, network, chosen.threads, chosen.rounds)
        picture = Frame.read(chosen.picture)
        whole(chosen.model or str(file), chosen.find, picture, chosen.threads, chosen.rounds)


if __name__ == "__main__":
    main()
