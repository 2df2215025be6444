"""One measurement in a separate process, so that memory and start time are its own.

`python -m vitruvian.verbs.benchmark.worker JOB` with a `Measurement` as JSON. It prints one
line at its first result, which the parent process times, and then one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from typing import Any

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.models.load import open_model
from vitruvian.models.model import Model
from vitruvian.rendering.draw import draw
from vitruvian.sources.open import Pictures, Source, Span, open_source
from vitruvian.sources.threads import BackgroundWriter
from vitruvian.streams.stream import Stream
from vitruvian.verbs.benchmark import machine
from vitruvian.verbs.benchmark.stages import Stopwatch, watched

FIRST = "first result"


@dataclass(frozen=True)
class Measurement:
    """What to measure."""

    model: str  # a catalogue name, or a file
    options: dict[str, Any]
    sources: list[str]
    frames: int  # maximum of measured frames
    seconds: float  # time limit of each part
    warm_up: int  # uncounted frames before
    only_first: bool = False  # only load the model, and get one result


def measure(job: Measurement, first: Callable[[], None]) -> dict[str, Any]:
    """Load the model, warm up, and measure twice: stage by stage, and end to end.

    Args:
        job: what to measure.
        first: called at the first result.

    Returns:
        `stages`, seconds of each stage of each frame; `found`, mean number of people per frame;
        `frames_per_second` and `cpu_seconds_per_frame` of reading, inference and drawing in
        parallel threads, as in `vitruvian predict`; `peak_mb`; device and options of the model.
    """
    sources = workload(job.sources, max(job.frames, job.warm_up))
    model = open_model(job.model, sources, **job.options)
    begun = chain.from_iterable(frames(source) for source in sources)
    frame = next(begun, None)
    if frame is None:
        raise VitruvianError(f"there are no frames in {', '.join(job.sources)}")
    step = Stream(model, moving=any(source.moving for source in sources))
    draw(frame, step(frame))
    first()
    if job.only_first:
        return {}
    until = time.perf_counter() + job.seconds
    for frame in islice(begun, job.warm_up):
        draw(frame, step(frame))
        if time.perf_counter() > until:
            break
    sources = workload(job.sources, job.frames)
    found, stages = staged(model, sources, job.frames, job.seconds)
    whole = end_to_end(model, sources, job.frames, job.seconds)
    about = {"runs_on": model.runs_on, "options": model.options, "peak_mb": machine.peak_mb()}
    return {"found": found, "stages": stages, **whole, **about}


def workload(words: Sequence[str], most: int) -> list[Source]:
    """The sources; images are repeated to give that many frames.

    Raises:
        VitruvianError: a source is live, so that it cannot be measured twice.
    """
    made: list[Source] = []
    for source in open_source(words, Span(max_frames=most)):
        if source.live:
            raise VitruvianError(f"{source.name} is live, so it cannot be measured; give a file")
        if isinstance(source, Pictures):
            source = Pictures(tuple(islice(cycle(source.paths), most)), Span())
        made.append(source)
    return made


def frames(source: Source) -> Iterator[Frame]:
    """The frames of a source; read errors are raised."""
    for frame in source:
        if isinstance(frame, VitruvianError):
            raise frame
        yield frame


def staged(
    model: Model, sources: Sequence[Source], most: int, seconds: float
) -> tuple[float, list[dict[str, float]]]:
    """Measure the stages one after another, with a stopwatch.

    Args:
        model: loaded and warmed up.
        sources: the input.
        most: maximum number of frames.
        seconds: time limit.

    Returns:
        Mean number of people per frame.
        Seconds of each stage, for each frame.
    """
    watch, taken, people = Stopwatch(), list[dict[str, float]](), 0
    until = time.perf_counter() + seconds
    with watched(model, watch):
        for source in sources:
            step, each = Stream(model, moving=source.moving), frames(source)
            while len(taken) < most and (not taken or time.perf_counter() < until):
                with watch("read"):
                    frame = next(each, None)
                if frame is None:
                    break
                with watch("other"):
                    poses = step(frame)
                with watch("draw"):
                    draw(frame, poses)
                people += len(poses)
                taken.append(watch.take())
            watch.take()  # discards the time of finding the end of the source
    return people / max(len(taken), 1), taken


def end_to_end(
    model: Model, sources: Sequence[Source], most: int, seconds: float
) -> dict[str, float]:
    """Measure the pipeline: reading ahead, drawing behind, frames in parallel."""
    done, began, cpu = 0, time.perf_counter(), time.process_time()
    with BackgroundWriter(_draw) as behind:
        for source in sources:
            for frame, poses in Stream(model, moving=source.moving).run(source, _refuse):
                behind(frame, poses)
                done += 1
                if done >= most or time.perf_counter() - began > seconds:
                    break
    took = time.perf_counter() - began
    return {
        "frames": done,
        "frames_per_second": done / took,
        "cpu_seconds_per_frame": (time.process_time() - cpu) / max(done, 1),
    }


def _draw(frame: Frame, poses: Poses) -> None:
    draw(frame, poses)


def _refuse(error: VitruvianError) -> None:
    raise error


def main() -> None:
    """Run the job of the command line."""
    job = Measurement(**json.loads(sys.argv[1]))
    try:
        done = measure(job, lambda: print(FIRST, flush=True))
    except VitruvianError as error:
        done = {"error": str(error)}
    print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
