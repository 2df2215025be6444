"""Benchmark: stages that add up, cases in turns, an image of a crowd, and a story with weights."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import command
from conftest import refused
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.spec import ModelSpec, model_specs
from vitruvian.models.top_down import TopDown
from vitruvian.models.yolopose import Options, YoloPose
from vitruvian.verbs.benchmark import benchmark, machine, worker
from vitruvian.verbs.benchmark.benchmark import numbers
from vitruvian.verbs.benchmark.stages import STAGES, Stopwatch, parts, watched

PAUSE = 0.01  # seconds


class Clock:
    """Time that passes when it is told to, so that a busy machine changes nothing."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float = PAUSE) -> None:
        """Let some of it pass."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What everybody takes the time from in a test."""
    made = Clock()
    monkeypatch.setattr(time, "perf_counter", made)
    return made


class Slow:
    """A network that takes a while, and finds nobody."""

    runs_on = "a test"
    input_shape: tuple[int | None, ...] = (None, 3, 64, 64)

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        self.clock.wait()
        return (np.zeros((len(rows), 56, 4), np.float32),)


class SlowHead:
    """A head whose decoding asks a second network."""

    skeleton = COCO17

    def __init__(self, clock: Clock) -> None:
        self.clock, self.network, self.refiner = clock, Slow(clock), Slow(clock)

    def crops(self, frame: Frame, regions: Regions) -> list[Any]:
        return [None] * len(regions)

    def prepare(self, frame: Frame, crops: list[Any]) -> np.ndarray:
        self.clock.wait()
        return np.zeros((len(crops), 3, 8, 8), np.float32)

    def decode(self, frame: Frame, outputs: Any, crops: Any, look: Regions) -> Poses:
        self.refiner(outputs[0])
        self.clock.wait()
        return Poses.nobody(COCO17)


def seconds(model: Any, frame: Frame) -> dict[str, float]:
    """Of the stages of one look at one frame."""
    watch = Stopwatch()
    with watched(model, watch), watch("other"):
        model([frame])
    return watch.take()


def test_of_a_stage_in_another_the_time_is_counted_once(clock):
    watch = Stopwatch()
    with watch("decode"):
        clock.wait(1)
        with watch("network"):
            clock.wait(3)
        with watch("network"):
            clock.wait(4)
        clock.wait(5)
    clock.wait(100)
    taken = watch.take()
    assert (taken["decode"], taken["network"]) == (6, 7)
    assert sum(taken.values()) == 13
    assert not any(watch.take().values())


def test_a_stage_that_fails_is_over(clock):
    watch = Stopwatch()

    def fail() -> None:
        clock.wait(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), watch("decode"):
        fail()
    clock.wait(2)
    with watch("read"):
        clock.wait(4)
    taken = watch.take()
    assert (taken["decode"], taken["read"]) == (1, 4)


def test_the_parts_of_yolo_are_timed_and_left_as_they_were(frame, clock, monkeypatch):
    model = YoloPose(Slow(clock), Options(imgsz=64), name="slow")
    original = YoloPose.prepare

    def prepare(self: YoloPose, *given: Any) -> np.ndarray:
        clock.wait(3)
        return original(self, *given)

    monkeypatch.setattr(YoloPose, "prepare", prepare)
    before = dict(vars(model))
    taken = seconds(model, frame())
    assert taken == pytest.approx(dict.fromkeys(STAGES, 0) | {"network": PAUSE, "preprocess": 3})
    assert vars(model) == before


def test_the_refiner_is_a_network_though_decoding_asks_it(frame, clock):
    finder = YoloPose(Slow(clock), Options(imgsz=64))
    found = Regions.boxes(np.array([[0, 0, 9, 9]], np.float32), np.ones(1, np.float32))
    head: Any = SlowHead(clock)
    model: Any = TopDown(lambda frames: [found], head, 5)
    taken = seconds(model, frame())
    assert taken["network"] == pytest.approx(2 * PAUSE)
    assert taken["decode"] == pytest.approx(PAUSE)
    assert taken["preprocess"] == pytest.approx(PAUSE)
    assert taken["other"] == pytest.approx(0)
    model.find = finder.find
    assert parts(model) == [model, head, finder]
    assert seconds(model, frame())["network"] == pytest.approx(3 * PAUSE)
    assert "decode" not in vars(head)
    assert isinstance(finder.network, Slow)


def test_every_frame_of_a_source_has_its_stages_and_pictures_come_again(picture, clock):
    model: Any = YoloPose(Slow(clock), Options(imgsz=64))
    sources = worker.workload([str(picture("a.png"))], 5)
    found, taken = worker.staged(model, sources, 4, 60)
    assert (found, len(taken)) == (0, 4)
    assert all(set(each) == set(STAGES) for each in taken)
    assert [each["network"] for each in taken] == pytest.approx([PAUSE] * 4)
    whole = worker.end_to_end(model, sources, 3, 60)
    assert whole["frames"] == 3
    # One or two more may have been looked at ahead.
    assert 3 / 5 <= whole["frames_per_second"] * PAUSE <= 1.001


def test_what_takes_too_long_ends_after_one_frame(picture, clock):
    sources = worker.workload([str(picture("a.png"))], 5)
    model: Any = YoloPose(Slow(clock), Options(imgsz=64))
    assert len(worker.staged(model, sources, 4, PAUSE / 2)[1]) == 1
    assert worker.end_to_end(model, sources, 4, PAUSE / 2)["frames"] == 1


def test_a_video_is_not_gone_through_twice(video, clock):
    model: Any = YoloPose(Slow(clock), Options(imgsz=64))
    sources = worker.workload([str(video("a clip.mp4"))], 30)
    assert len(worker.staged(model, sources, 30, 60)[1]) == 5


def test_a_picture_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with refused("a.jpg"):
        list(worker.frames(worker.workload([str(tmp_path / "a.jpg")], 2)[0]))


def test_a_camera_cannot_be_measured():
    with refused("camera:0", "is live, so it cannot be measured"):
        worker.workload(["camera:0"], 3)


@pytest.mark.parametrize("people", [1, 2, 5, 20])
def test_a_crowd_is_of_whole_people_who_do_not_overlap(people, tmp_path):
    rgb = Frame.read(benchmark.crowd(people, tmp_path / "crowd.png")).rgb
    if people == 1:
        return
    assert rgb.shape == (720, 1280, 3)
    covered = (rgb != benchmark.GREY).any(axis=-1).sum()
    portrait = Frame.read(benchmark.crowd(1, tmp_path / "one.png")).rgb
    scale = np.sqrt(covered / people / np.prod(portrait.shape[:2]))
    across = [int(1280 // (portrait.shape[1] * scale)), int(720 // (portrait.shape[0] * scale))]
    assert across[0] * across[1] >= people


def fake(monkeypatch: pytest.MonkeyPatch, *broken: str) -> list[worker.Measurement]:
    """Measurements are made up, and written down; those of broken models fail."""
    asked: list[worker.Measurement] = []

    def ask(job: worker.Measurement) -> dict[str, Any]:
        asked.append(job)
        if job.model in broken:
            return {"error": "it is broken"}
        stages = [dict.fromkeys(STAGES, (i + 1) / 1000) for i in range(100)]
        numbers = {"frames_per_second": float(len(asked)), "cpu_seconds_per_frame": 0.5}
        about = {"runs_on": "CPU", "options": job.options, "peak_mb": float(len(asked))}
        return {"found": 2, "stages": stages, "start_seconds": 1.5, **numbers, **about}

    monkeypatch.setattr(benchmark, "_ask", ask)
    return asked


def test_models_take_turns_and_each_is_started_once_before(monkeypatch):
    asked = fake(monkeypatch)
    plan = benchmark.Plan(rounds=2, frames=7, seconds=3, warm_up=1)
    result = benchmark.benchmark(
        ["vitruvian-2d", "yolov8n-pose"], people=[3], size=[320, 640], plan=plan
    )
    assert [job.only_first for job in asked] == [True] * 2 + [False] * 6
    told = [(job.model, job.options.get("imgsz")) for job in asked[2:]]
    once = [("vitruvian-2d", None), ("yolov8n-pose", 320), ("yolov8n-pose", 640)]
    assert told == once + once[::-1]
    assert {job.frames for job in asked} == {7}
    assert [case.rounds for case in result.cases] == [[3, 8], [4, 7], [5, 6]]
    first = result.cases[0]
    assert first.frames_per_second == 5.5
    assert first.peak_mb == 8
    assert asdict(first.stages_ms["network"]) == {"median": 50.5, "p95": pytest.approx(95.05)}
    assert first.stages_ms["whole"].median == pytest.approx(6 * 50.5)
    json.dumps(asdict(result), allow_nan=False)


def test_a_benchmark_that_was_stopped_keeps_what_is_measured(monkeypatch, tmp_path):
    plan, models = benchmark.Plan(rounds=2), ["vitruvian-2d", "yolov8n-pose"]
    out, said = tmp_path / "out.json", list[str]()

    def measured(**how: Any) -> benchmark.Benchmark:
        return benchmark.benchmark(
            models, people=[3], out=out, say=said.append, **{"plan": plan, **how}
        )

    def stop(case: benchmark.Case, rounds: object) -> None:
        raise KeyboardInterrupt

    asked, case_result = fake(monkeypatch), benchmark.case_result
    monkeypatch.setattr(benchmark, "case_result", stop)  # after everything was measured
    with pytest.raises(KeyboardInterrupt):
        measured()
    assert len(asked) == 2 + 4
    assert not out.exists()
    monkeypatch.setattr(benchmark, "case_result", case_result)
    with refused("was made with", "plan", "--overwrite"):
        measured(resume=True, plan=benchmark.Plan(rounds=3))
    measured(resume=True)
    assert len(asked) == 2 + 4
    assert f"'{out}' resumes after 4 measurements" in said
    numbers = out.read_text()
    assert asdict(measured(resume=True)) == json.loads(numbers)
    assert said[-1] == f"'{out}' is already complete"
    with refused("exists", "--resume", "--overwrite"):
        measured()
    assert len(asked) == 2 + 4
    measured(overwrite=True)
    assert len(asked) == 2 * (2 + 4)


def test_blazepose_is_told_how_many_there_are(monkeypatch):
    asked = fake(monkeypatch)
    mine = ModelSpec("two at most", "blazepose-full", {"num_poses": 2})
    benchmark.benchmark(["blazepose-full", mine], people=[5], plan=benchmark.Plan(1))
    assert [job.options["num_poses"] for job in asked[2:]] == [5, 2]


def test_a_model_that_fails_does_not_stop_the_others(monkeypatch):
    asked = fake(monkeypatch, "vitruvian-3d")
    result = benchmark.benchmark(["vitruvian-3d", "vitruvian-2d"], people=[1, 5])
    assert [case.contender.label for case in result.cases] == ["vitruvian-2d"] * 2
    assert result.failed == {
        "vitruvian-3d, people 1": "it is broken",
        "vitruvian-3d, people 5": "it is broken",
    }
    assert [job.model for job in asked].count("vitruvian-3d") == 1


def test_the_table_has_a_row_a_case_and_the_columns_asked_for(monkeypatch):
    fake(monkeypatch)
    result = benchmark.benchmark(["yolov8n-pose"], people=[1], threads=[1, 2])
    head, *rows = benchmark.benchmark_table(result).split("\n\n")[0].splitlines()
    assert head.split()[:3] == ["model", "found", "threads"]
    assert "size" not in head
    assert [row.split()[4] for row in rows] == ["1", "2"]
    assert "50.5 (95.0)" in rows[0] or "50.5 (95.1)" in rows[0]
    assert machine.describe().cpu in benchmark.benchmark_table(result)


@pytest.mark.parametrize(("load", "noisy"), [(8.0, True), (0.1, False)])
def test_a_busy_machine_is_said(load, noisy):
    said = machine.machine_lines(replace(machine.describe(), load=load, cores=2))
    assert f"load average {load:g}" in said[-1]
    assert ("noisy" in said[-1]) is noisy


def test_memory_is_that_of_the_process():
    before = machine.peak_mb()
    assert before is not None
    full = np.ones(40_000_000, np.uint8)
    after = machine.peak_mb()
    assert after is not None
    assert after >= max(before, full.nbytes / 1e6)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"model": []}, ("--model",)),
        ({"model": ["vitruvian-2d"] * 2}, ("two models are named 'vitruvian-2d'",)),
        ({"model": ["vitruvian-2e"]}, ("did you mean 'vitruvian-2d'",)),
        ({"model": ["vitruvian-2d"], "size": [320]}, ("vitruvian-2d", "the input size is fixed")),
        ({"model": ["vitruvian-2d"], "threads": [0]}, ("threads is 0",)),
        ({"model": ["vitruvian-2d"], "people": [-1]}, ("people is -1",)),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_runs(given, parts, monkeypatch):
    asked = fake(monkeypatch)
    with refused(*parts):
        benchmark.benchmark(**given)
    assert not asked


@pytest.mark.parametrize(
    ("given", "part"), [({"rounds": 0}, "rounds is 0"), ({"seconds": 0}, "seconds is 0")]
)
def test_a_plan_of_nothing_is_refused(given, part):
    with refused(part):
        benchmark.Plan(**given)


def test_a_model_may_bring_options_of_its_own():
    one = ModelSpec.parse("../my/net.onnx,conf=0.1,rect=false")
    assert (one.name, one.options) == ("../my/net.onnx", {"conf": 0.1, "rect": False})
    assert one.label == "net.onnx (conf=0.1 rect=false)"
    assert [each.label for each in model_specs([one, "a/b.onnx"])] == [one.label, "b.onnx"]
    assert numbers("320,640", "size") == [320, 640]
    with refused("--size is 'a'"):
        numbers("a", "size")


def test_one_command_measures_a_model(tmp_path):
    out = tmp_path / "speed.json"
    words = ["benchmark", "--model", "vitruvian-2d"]
    words += ["--model", "vitruvian-2d,device=nothing", "--people", "1", "--rounds", "1"]
    words += ["--frames", "2", "--warm-up", "0", "--threads", "1", "--out", str(out)]
    done = command(*words, env={"VITRUVIAN_OFFLINE": "1"})
    assert done.returncode == 1  # the second one fails
    assert "device named 'nothing'" in done.stderr.splitlines()[-1]
    (case,) = json.loads(out.read_text())["cases"]
    assert case["found"] == 1
    assert case["frames"] == 2
    times = case["stages_ms"]
    assert all(times[stage]["median"] > 0 for stage in STAGES)
    assert times["network"]["median"] < times["whole"]["median"]
    assert 50 < case["peak_mb"] < 2000
    assert 0.1 < case["start_seconds"] < 120
    assert "vitruvian-2d" in done.stdout
    assert Path(out).with_suffix(".json.part").exists() is False
    again = command(*words, env={"VITRUVIAN_OFFLINE": "1"})
    assert again.returncode == 1
    assert "exists; pass --resume to continue it, --overwrite" in again.stderr
