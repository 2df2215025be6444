"""Benchmark: time of each stage of each model on this machine, side by side.

Every measurement runs in a process of its own, and the models alternate: round after round,
every second round in reverse order, so that other load on the machine affects all of them alike.
A first run of each model is not counted; it downloads, converts and caches what it needs.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.documents import read_json, unreadable
from vitruvian.errors import VitruvianError, amount
from vitruvian.formats.atomic_file import write_whole
from vitruvian.frame import Frame
from vitruvian.models.load import check_options, family_of
from vitruvian.models.spec import ModelSpec, model_specs
from vitruvian.rendering.film import write_picture
from vitruvian.sources.open import open_source, sample
from vitruvian.verbs.benchmark import machine
from vitruvian.verbs.benchmark.stages import STAGES
from vitruvian.verbs.benchmark.worker import FIRST, Measurement
from vitruvian.verbs.folder import Ledger, as_json, identity, ledger_of
from vitruvian.verbs.groups import verb

CANVAS, GREY = (1280, 720), 114  # pixels and grey level of an image with several people
ASKED = ("size", "threads", "precision")  # fields of a case that can have several values


@dataclass(frozen=True, eq=False)
class Case:
    """One row of the table."""

    contender: ModelSpec
    people: int | None = None  # in the composed image; None: the user's source
    size: int | None = None  # input size; None: the model's own
    threads: int | None = None
    precision: str | None = None

    def options(self) -> dict[str, Any]:
        """All options of the model."""
        options = dict(self.contender.options)
        if self.people and family_of(self.contender.name).one_person:
            options.setdefault("num_poses", self.people)
        asked = {"imgsz": self.size, "threads": self.threads, "precision": self.precision}
        return options | {name: value for name, value in asked.items() if value is not None}

    def __str__(self) -> str:
        asked = {"people": self.people, "size": self.size, "threads": self.threads}
        words = [f"{name} {value}" for name, value in asked.items() if value is not None]
        words += [] if self.precision is None else [self.precision]
        return ", ".join([self.contender.label, *words])


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    rounds: int = 3
    frames: int = 30  # maximum in each round
    seconds: float = 10.0  # maximum for each part of a round
    warm_up: int = 25  # frames: a network is compiled for a size after 20 of them

    def __post_init__(self) -> None:
        for name in ("rounds", "frames"):
            if getattr(self, name) < 1:
                raise VitruvianError(f"{name} is {getattr(self, name)}, want a number from 1")
        if self.warm_up < 0:
            raise VitruvianError(f"warm_up is {self.warm_up}, want a number from 0")
        if not self.seconds > 0:
            raise VitruvianError(f"seconds is {self.seconds:g}, want more than 0")


@dataclass(frozen=True)
class StageTime:
    """Milliseconds of a frame, over all frames of all rounds."""

    median: float
    p95: float


@dataclass(frozen=True)
class CaseResult:
    """One case: times over all frames of all rounds; else the median of the rounds."""

    contender: ModelSpec
    people: int | None  # as in `Case`, and so are the next three
    size: int | None  # pixels
    threads: int | None
    precision: str | None
    runs_on: str  # device
    options: dict[str, Any]  # all options of the model
    found: float  # mean number of people per frame
    frames: int
    stages_ms: dict[str, StageTime]  # of each of `STAGES`, and of their sum, `whole`
    frames_per_second: float
    cpu_seconds_per_frame: float  # of all cores
    start_seconds: float  # from the start of a process to its first result
    rounds: list[float]  # frames per second of each round
    peak_mb: float | None  # 1e6 bytes, highest of all rounds; None: unknown


@dataclass(frozen=True)
class Benchmark:
    """Models side by side on this machine; the `.json` file is the same, field by field."""

    machine: machine.LoadedMachine
    plan: Plan
    source: str | None  # None: made images
    cases: list[CaseResult]
    failed: dict[str, str]  # case -> why it could not be measured

    @classmethod
    def read(cls, path: Path) -> Benchmark:
        """Read the `.json` file of a benchmark.

        Raises:
            VitruvianError: it cannot be read, or is something else.
        """
        said = read_json(path)
        try:
            for case in said["cases"]:
                case["contender"] = ModelSpec(**case["contender"])
                case["stages_ms"] = {k: StageTime(**v) for k, v in case["stages_ms"].items()}
            said["cases"] = [CaseResult(**case) for case in said["cases"]]
            said["machine"] = machine.LoadedMachine(**said["machine"])
            return cls(**{**said, "plan": Plan(**said["plan"])})
        except (AttributeError, KeyError, TypeError):
            raise unreadable(path, "it is not a benchmark result") from None


def numbers(words: str | Sequence[int] | None, option: str) -> Sequence[int]:
    """Parse `320,640` into numbers; None gives an empty sequence."""
    try:
        if isinstance(words, str):
            return [int(word) for word in words.split(",")] if words else []
        return words or []
    except ValueError:
        raise VitruvianError(f"--{option} is '{words}', want numbers such as 1,2") from None


@verb
def benchmark(
    model: Sequence[str | ModelSpec] | None = None,
    source: str | Path | None = None,
    *,
    people: str | Sequence[int] = "1,5,20",
    size: str | Sequence[int] | None = None,
    threads: str | Sequence[int] | None = None,
    precision: str | Sequence[str] | None = None,
    plan: Plan = Plan(),
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Benchmark:
    """Benchmark models side by side.

    Args:
        model: catalogue names, files, or specs.
        source: images or a video; without it, images are composed from the built-in portrait.
        people: people in those images; numbers, or comma-separated text, as for the next three.
        size: input size `imgsz` of YOLOv8 models, pixels; the others have a fixed size.
        threads: threads of the networks.
        precision: network precision: f32, bf16, f16.
        plan: how much to measure.
        out: a `.json` file for the result.
        overwrite: replace an existing `out`.
        resume: keep the measurements of an interrupted run into `out`.
        say: called with one line about each finished measurement.

    Raises:
        VitruvianError: unknown model, or a number out of range; `out` exists, or holds other
            measurements.
    """
    everyone = model_specs(model or ())
    inside = precision.split(",") if isinstance(precision, str) else precision or ()
    cases = list(
        _cases(
            *(everyone, source, numbers(people, "people")),
            *(numbers(size, "size"), numbers(threads, "threads"), inside),
        )
    )
    sources = [] if source is None else open_source(source)
    if out is None:
        if resume:
            raise VitruvianError("resume continues a file; give out")
        return _measure(cases, source, plan, say, {}, lambda *_: None)
    out = Path(out)
    if out.suffix.lower() != ".json":
        raise VitruvianError(f"'{out}' is not a .json file; end the name with .json")
    here = {name: v for name, v in asdict(machine.describe()).items() if name != "load"}
    of = {"plan": asdict(plan), "cases": list(map(str, cases)), "machine": here}
    of["sources"] = identity(sources)
    ledger = Ledger(ledger_of(out), out, as_json(of))
    ledger.open(resume=resume, overwrite=overwrite, there=[out])
    remove = not ledger.marks
    try:
        if ledger.finished:
            say(f"'{out}' is already complete")
            return Benchmark.read(out)
        kept = {(m["round"], m["case"]): m["answer"] for m in ledger.marks if "answer" in m}
        if kept:
            say(f"'{out}' resumes after {amount(len(kept), 'measurement')}")

        def keep(number: int, case: str, answer: dict[str, Any]) -> None:
            nonlocal remove
            remove = False
            ledger.mark(round=number, case=case, answer=answer)

        result = _measure(cases, source, plan, say, kept, keep)
        write_whole(out, json.dumps(asdict(result), indent=1) + "\n")
        if not result.failed:  # else the failed ones are retried
            ledger.finish([out])
        return result
    finally:
        ledger.close(remove=remove)


def _measure(
    cases: Sequence[Case],
    source: str | Path | None,
    plan: Plan,
    say: Callable[[str], None],
    kept: Mapping[tuple[int, str], dict[str, Any]],
    keep: Callable[[int, str, dict[str, Any]], None],
) -> Benchmark:
    """Run the measurements; `kept` are finished ones, by round and case, `keep` gets new ones."""
    about, failed = machine.describe(), dict[Case, str]()
    with tempfile.TemporaryDirectory() as folder:
        made = {
            case.people: crowd(case.people, Path(folder) / f"{case.people} people.jpg")
            for case in cases
            if case.people
        }
        jobs = {
            case: Measurement(
                case.contender.name,
                case.options(),
                [str(source if case.people is None else made[case.people])],
                **{name: value for name, value in asdict(plan).items() if name != "rounds"},
            )
            for case in cases
        }
        for case in {case.contender: case for case in reversed(cases)}.values():
            if (plan.rounds - 1, str(case)) in kept:
                continue
            answer = _ask(Measurement(**{**asdict(jobs[case]), "only_first": True}))
            if "error" in answer:
                failed |= {c: answer["error"] for c in cases if c.contender == case.contender}
        rounds: dict[Case, list[dict[str, Any]]] = {case: [] for case in cases}
        for number in range(plan.rounds):
            for case in cases if number % 2 == 0 else reversed(cases):
                if case in failed:
                    continue
                before = kept.get((number, str(case)))
                answer = before or _ask(jobs[case])
                if "error" in answer:
                    failed[case] = answer["error"]
                    continue
                rounds[case].append(answer)
                if before is not None:
                    continue
                keep(number, str(case), answer)
                told = f"round {number + 1} of {plan.rounds}: {case}"
                say(f"{told}, {answer['frames_per_second']:.3g} frames/s")
    return Benchmark(
        machine.LoadedMachine(**vars(about), load_at_end=machine.load()),
        plan,
        None if source is None else str(source),
        [case_result(case, rounds[case]) for case in cases if case not in failed],
        {str(case): why for case, why in failed.items()},
    )


def _cases(
    everyone: Sequence[ModelSpec],
    source: str | Path | None,
    people: Sequence[int],
    sizes: Sequence[int],
    threads: Sequence[int],
    precisions: Sequence[str],
) -> Iterator[Case]:
    """Every valid combination, once."""
    for name, numbers in {"people": people, "size": sizes, "threads": threads}.items():
        wrong = [number for number in numbers if number < 1]
        if wrong:
            raise VitruvianError(f"{name} is {wrong[0]}, want a whole number from 1")
    sized = {one: family_of(one.name).takes("imgsz") for one in everyone}
    if sizes and not any(sized.values()):
        names = ", ".join(one.label for one in everyone)
        raise VitruvianError(
            f"{names}: the input size is fixed; leave --size out, or add a YOLOv8 model"
        )
    crowds: Sequence[int | None] = people if source is None else [None]
    for crowd, one in product(crowds, everyone):
        own = sizes if sized[one] else []
        for rest in product(own or [None], threads or [None], precisions or [None]):
            case = Case(one, crowd, *rest)
            check_options(one.name, **case.options())
            yield case


def crowd(people: int, path: Path) -> Path:
    """Write an image with that many copies of the portrait side by side, as large as they fit."""
    import cv2

    portrait = Frame.read(sample()).rgb
    if people == 1:
        write_picture(path, portrait)
        return path
    tall, wide = portrait.shape[:2]
    # Scale of the portrait, for each number of columns.
    scales = {
        columns: min(CANVAS[0] / columns / wide, CANVAS[1] / -(-people // columns) / tall)
        for columns in range(1, people + 1)
    }
    columns = max(scales, key=lambda columns: scales[columns])
    size = (max(int(wide * scales[columns]), 1), max(int(tall * scales[columns]), 1))
    small = cv2.resize(portrait, size, interpolation=cv2.INTER_AREA)
    canvas = np.full((CANVAS[1], CANVAS[0], 3), GREY, np.uint8)
    for number in range(people):
        y, x = size[1] * (number // columns), size[0] * (number % columns)
        canvas[y : y + size[1], x : x + size[0]] = small
    write_picture(path, canvas)
    return path


def _ask(job: Measurement) -> dict[str, Any]:
    """Measure in a process of its own; `start_seconds` is the time from start to first result."""
    line = [sys.executable, "-m", "vitruvian.verbs.benchmark.worker", json.dumps(asdict(job))]
    began, start, last = time.perf_counter(), 0.0, ""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(line, stdout=subprocess.PIPE, stderr=errors, text=True) as work,
    ):
        assert work.stdout
        for last in work.stdout:
            if last.strip() == FIRST:
                start = time.perf_counter() - began
        if work.wait():
            errors.seek(0)
            why = "".join(errors.read().strip().splitlines()[-1:])
            return {"error": f"its process ended with {work.returncode}: {why}"}
    return {**json.loads(last), "start_seconds": start}


def case_result(case: Case, rounds: Sequence[dict[str, Any]]) -> CaseResult:
    """Sum up the rounds of a case."""
    frames = [frame for each in rounds for frame in each["stages"]]
    times = {stage: np.array([frame[stage] for frame in frames]) * 1e3 for stage in STAGES}
    times["whole"] = np.sum(list(times.values()), axis=0)
    middle = {
        name: statistics.median(each[name] for each in rounds)
        for name in ("frames_per_second", "cpu_seconds_per_frame", "start_seconds")
    }
    peaks = [each["peak_mb"] for each in rounds if each["peak_mb"] is not None]
    stages = {
        stage: StageTime(
            round(float(np.median(values)), 3), round(float(np.quantile(values, 0.95)), 3)
        )
        for stage, values in times.items()
    }
    return CaseResult(
        **vars(case),
        runs_on=rounds[0]["runs_on"],
        options=rounds[0]["options"],
        found=round(statistics.mean(each["found"] for each in rounds), 2),
        frames=len(frames),
        stages_ms=stages,
        **{name: round(value, 5) for name, value in middle.items()},
        rounds=[round(each["frames_per_second"], 3) for each in rounds],
        peak_mb=max(peaks) if peaks else None,
    )


NOTE = """\
found: people in a frame, of those in it. read to draw, in ms: median (p95) of a frame, one thing
after the other; other: what the model does between its parts, following and smoothing; whole: all
of it. frames/s and CPU ms (of a frame, all cores): reading, finding and drawing beside each other,
as predict does it. MB: the most memory it had. start s: from the start of a process to its first
result. -: the model's own."""


def benchmark_table(result: Benchmark) -> str:
    """The result as text: one row per case, then the meaning of the columns, and the machine."""
    cases = result.cases
    asked = [name for name in ASKED if any(getattr(case, name) is not None for case in cases)]
    end = ("frames/s", "CPU ms", "MB", "start s")
    cells = [["model", "found", *asked, *STAGES, "whole", *end]]
    for case in cases:
        crowd = "" if case.people is None else f" of {case.people}"
        cells.append(
            [
                case.contender.label,
                f"{case.found:g}{crowd}",
                *("-" if (value := getattr(case, name)) is None else str(value) for name in asked),
                *(f"{t.median:.1f} ({t.p95:.1f})" for t in case.stages_ms.values()),
                f"{case.frames_per_second:.3g}",
                f"{case.cpu_seconds_per_frame * 1e3:.3g}",
                "-" if case.peak_mb is None else f"{case.peak_mb:.0f}",
                f"{case.start_seconds:.2f}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
    about = machine.machine_lines(result.machine)
    return "\n".join([*(line.rstrip() for line in lines), "", NOTE, "", *about])
