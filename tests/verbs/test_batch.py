"""`vitruvian batch` from end to end, with a network that costs nothing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

import vitruvian as vit
from commands import Done, command, one_line, process, started, wait_for
from conftest import need, refused
from toy_yolo import toy_yolo
from vitruvian.verbs.batch.batch import Batch
from vitruvian.verbs.batch.work import RECORD


@pytest.fixture(autouse=True)
def inside(tmp_path) -> None:
    (tmp_path / "in").mkdir()


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Path:
    return toy_yolo(tmp_path_factory.mktemp("toy") / "toy.xml")


@pytest.fixture
def run(toy, tmp_path) -> Callable[..., Done]:
    """`run("in", "--rules", "seated")`: the command with one worker, into tmp_path/out."""

    def run(*words, **how) -> Done:
        every = ["batch", "--model", toy, "--workers", 1, "--save", "json"]
        return command(*every, "--out", tmp_path / "out", *words, cwd=tmp_path, **how)

    return run


def records(out: Path) -> dict[str, list[dict]]:
    """The lines of each record, by the name of its source."""
    return {
        path.parent.relative_to(out).as_posix(): [
            json.loads(line) for line in path.read_text().splitlines()
        ]
        for path in sorted(out.rglob(RECORD))
    }


def left_behind(out: Path) -> list[str]:
    """What is in the folder besides the results, the manifest and its lock."""
    own = [p for p in (out / ".vitruvian").iterdir() if p.suffix not in (".sqlite", ".lock")]
    return [str(p) for p in (*own, *out.rglob("*.part"), *out.rglob("*-journal"))]


def frames(lines: list[dict]) -> list[dict]:
    return [line for line in lines if "index" in line]


def test_sources_of_all_kinds_are_each_done_or_set_aside(run, video, tmp_path):
    """Portrait phone video, nobody, 1 x 1 pixels, cut off, empty, text: one bad stops no other."""
    video("in/a.mp4")
    video("in/phone.mp4", clockwise_deg=90)
    video("in/dark.mp4", size=(64, 64), pictures=[np.zeros((64, 64, 3), np.uint8)] * 5)
    whole = video("in/whole.mkv", [i / 30 for i in range(60)]).read_bytes()
    (tmp_path / "in/cut.mkv").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in/empty.mp4").touch()
    (tmp_path / "in/text.mp4").write_text("no video at all\n" * 100)
    cv2.imwrite(str(tmp_path / "in/dot.png"), np.full((1, 1, 3), 200, np.uint8))
    done = run("in", "--log", "log.jsonl")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    for name in ("empty.mp4", "text.mp4"):
        assert len([line for line in lines if line.startswith(f"vitruvian: {name}: ")]) == 1
    assert "Traceback" not in done.stderr
    assert "8 sources, 6 done" in done.stdout
    assert "2 failed" in done.stdout
    made = records(tmp_path / "out")
    assert set(made) == {"a.mp4", "phone.mp4", "dark.mp4", "cut.mkv", "whole.mkv", "dot.png"}
    assert len(frames(made["whole.mkv"])) == 60
    assert 0 < len(frames(made["cut.mkv"])) < 60
    assert len(frames(made["dark.mp4"])) == 5
    assert left_behind(tmp_path / "out") == []
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {line["name"]: line["state"] for line in log}["text.mp4"] == "failed"
    assert sum(line["state"] == "retry" for line in log) == 2
    assert next(line for line in log if line["name"] == "dark.mp4")["people"] == 0
    # The second start does the failed ones again, and nothing else.
    again = run("in")
    assert "2 failed before, 6 done before" in again.stderr
    assert "0 done" in again.stdout
    assert again.returncode == 1


def test_a_second_start_does_what_has_changed(run, video, tmp_path):
    clip = video("in/a.mp4")
    video("in/b.mp4")
    assert run("in").returncode == 0
    before = (tmp_path / "out/a.mp4" / RECORD).stat().st_mtime_ns
    os.utime(clip)
    done = run("in")
    assert "1 changed, 1 done before" in done.stderr
    assert "0 done" in done.stdout
    assert (tmp_path / "out/a.mp4" / RECORD).stat().st_mtime_ns == before
    video("in/a.mp4", times=(0.0, 0.1))
    done = run("in", "--log", "log.jsonl")
    assert "1 done in" in done.stdout
    assert len(frames(records(tmp_path / "out")["a.mp4"])) == 2
    done = run("in", "--stride", 2)
    assert "2 made with other settings" in done.stderr
    assert len(frames(records(tmp_path / "out")["b.mp4"])) == 3
    assert "2 to be done again" in run("in", "--stride", 2, "--overwrite").stderr


def test_a_changed_file_of_rules_is_another_setting(run, video, tmp_path):
    video("in/a.mp4")
    rule = '[rules.bent]\nall = [{ angle = "left_knee_flexion", above = 90 }]\n'
    (tmp_path / "mine.toml").write_text(rule)
    assert run("in", "--rules", "mine.toml").returncode == 0
    assert "1 done before" in run("in", "--rules", "mine.toml").stderr
    (tmp_path / "mine.toml").write_text(rule.replace("90", "100"))
    assert "1 made with other settings" in run("in", "--rules", "mine.toml").stderr


def test_a_table_gives_each_video_its_own_part(run, video, tmp_path):
    video("in/a.mp4", times=[i / 10 for i in range(20)])
    (tmp_path / "in/all.csv").write_text(
        "path,start,end,name\na.mp4,0.5,1,first\na.mp4,1,,second half\n"
    )
    assert run("in/all.csv").returncode == 0
    made = {name: len(frames(lines)) for name, lines in records(tmp_path / "out").items()}
    assert made == {"first": 5, "second half": 10}


def test_shards_share_a_folder_and_leave_nothing_out(run, video, tmp_path):
    for i in range(4):
        video(f"in/{i}.mp4", times=(0.0, 0.1))
    for k in (1, 2):
        assert run("in", "--shard", f"{k}/2").returncode in (0, 1)
    assert set(records(tmp_path / "out")) == {f"{i}.mp4" for i in range(4)}
    one_line(run("in", "--shard", "3/2"), "shard is '3/2'", "3/64")


def test_images_are_done_in_groups_and_an_added_one_leaves_no_old_group(run, picture, tmp_path):
    for i in range(3):
        picture(f"in/{i}.png")
    assert run("in").returncode == 0
    assert set(records(tmp_path / "out")) == {"0.png and 2 more"}
    picture("in/3.png")
    assert run("in").returncode == 0
    assert set(records(tmp_path / "out")) == {"0.png and 3 more"}
    assert not (tmp_path / "out/0.png and 2 more").exists()
    run("in", "--stride", 2, "--max-frames", 1, "--out", "all")  # these are for videos
    assert len(frames(records(tmp_path / "all")["0.png and 3 more"])) == 4


ALWAYS = """
def always(body):
    return [1.0] * len(body)
"""


def test_events_go_to_a_command_as_they_are_found(run, video, tmp_path):
    video("in/a.mp4", times=[i / 10 for i in range(20)])
    (tmp_path / "mine.py").write_text(ALWAYS)
    done = run("in", "--rules", "seated,mine.py:always", "--on-event", "cat > events.jsonl")
    assert done.returncode == 0
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert events
    assert {event["source"] for event in events} == {str(tmp_path / "in/a.mp4")}
    written = (tmp_path / "out/a.mp4/events.jsonl").read_text().splitlines()
    assert [event["rule"] for event in events] == [json.loads(line)["rule"] for line in written]
    done = run("in", "--rules", "mine.py:always", "--on-event", "cat > /dev/null; exit 3")
    assert "exit code 3" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--attempts", "0"], ["attempts is 0"]),
        (["--workers", "0"], ["workers is 0"]),
        (["--log", "no/such/log"], ["cannot write to 'no/such/log'"]),
        (["--fov-deg", "400"], ["400"]),
        (["--conf", "2"], ["conf"]),
        (["--rules", "nosuch"], ["no rule named 'nosuch'"]),
        (["--save", "nosuch"], ["nosuch"]),
        (["--cpus-per-worker", "-1"], ["cannot be negative"]),
    ],
)
def test_a_wrong_option_is_one_line_before_any_work(words, said, run, video):
    video("in/a.mp4")
    one_line(run("in", *words), *said)


def test_a_folder_that_cannot_be_made_is_one_line(toy, video, tmp_path):
    video("in/a.mp4")
    (tmp_path / "out").write_text("a file")
    done = command("batch", tmp_path / "in", "--model", toy, "--out", tmp_path / "out")
    one_line(done, "cannot write to", "out")


def test_a_model_that_cannot_be_loaded_ends_it_at_once(video, tmp_path):
    video("in/a.mp4")
    video("in/b.mp4")
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    words = ["--model", tmp_path / "broken.onnx", "--out", tmp_path / "out", "--workers", 1]
    done = command("batch", tmp_path / "in", *words, "--quiet")
    one_line(done, "broken.onnx")


def test_results_are_those_of_predict_and_do_not_depend_on_the_folder(toy, video, tmp_path):
    clip = video("in/a.mp4")
    done = process(
        "batch",
        "../in",
        "--model",
        os.path.relpath(toy, tmp_path / "in"),
        "--out",
        "../out",
        "--workers",
        1,
        cwd=tmp_path / "in",
    )
    assert done.returncode == 0, done.stderr
    vit.predict(clip, str(toy), out=tmp_path / "one.jsonl")
    one = [json.loads(line) for line in (tmp_path / "one.jsonl").read_text().splitlines()]
    for line in (pair := [frames(records(tmp_path / "out")["a.mp4"]), frames(one)])[0] + pair[1]:
        assert Path(line.pop("source")).samefile(clip)
    assert pair[0] == pair[1]


SCRIPT = """
import sys, vitruvian as vit
done = vit.batch(sys.argv[1], sys.argv[2], out=sys.argv[3], workers=1, save=["json"])
print(done.sources, done.done, done.failures, done.frames)
"""


def test_a_script_needs_no_guard(toy, video, tmp_path):
    """Spawned processes import the program of the first: it would run again in each."""
    video("in/a.mp4")
    (tmp_path / "mine.py").write_text(SCRIPT)
    words = [sys.executable, "mine.py", tmp_path / "in", toy, "out"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "1 1 0 5", done.stderr
    assert done.stderr == ""


def test_batch_from_python_says_what_it_did(toy, video, tmp_path):
    need("fsspec")
    video("in/a.mp4")
    said: list[str] = []
    words = {"out": tmp_path / "out", "workers": 1, "save": "json"}
    url = (tmp_path / "in").as_uri()
    done = vit.batch([url], str(toy), **words, say=said.append)
    assert isinstance(done, Batch)
    assert (done.sources, done.done, done.before, done.failures, done.frames) == (1, 1, 0, 0, 5)
    assert said[0] == "1 source: 1 new"
    assert not (tmp_path / "out/a.mp4/.vitruvian").exists()  # the copy of the file
    assert vit.batch([url], str(toy), **words).before == 1
    with refused("no such file"):
        vit.batch(tmp_path / "nowhere", str(toy), **words)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_with_nothing_half_written(name, toy, video, tmp_path):
    video("in/0.mp4", times=(0.0, 0.1))
    for i in range(1, 4):
        video(f"in/{i}.mp4", [k / 30 for k in range(150)])
    out = tmp_path / "out"
    words = ["batch", tmp_path / "in", "--model", toy, "--out", out, "--workers", 2]
    with started(*words) as running:
        wait_for(lambda: (out / "0.mp4").is_dir())
        children = psutil.Process(running.pid).children(recursive=True)
        assert children
        running.send_signal(getattr(signal, name))
        assert running.wait(60) == 128 + getattr(signal, name)
        assert running.stderr is not None
        said = running.stderr.read().splitlines()
    assert said[-1] == "vitruvian: stopped"
    assert not [line for line in said if "Traceback" in line]
    assert psutil.wait_procs(children, 20)[1] == []
    assert left_behind(out) == []
    for lines in records(out).values():
        assert len(frames(lines)) in (2, 150)
    done = command(*words)
    assert done.returncode == 0
    assert len(records(out)) == 4


def test_a_worker_that_is_killed_loses_its_own_job_alone(toy, video, tmp_path):
    for i in range(3):
        video(f"in/{i}.mp4", [k / 30 for k in range(100)])
    out = tmp_path / "out"
    words = ["batch", tmp_path / "in", "--model", toy, "--out", out, "--workers", 1]
    with started(*words, "--log", tmp_path / "log.jsonl") as running:
        wait_for(lambda: (out / "0.mp4").is_dir())
        workers(running.pid)[0].kill()
        said, errors = running.communicate(timeout=200)
    assert running.returncode == 0, errors
    assert "3 sources, 3 done" in said
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["error"] for line in log if line["state"] == "retry"] == [
        "the worker process died (killed, or out of memory)"
    ]


def workers(pid: int) -> list[psutil.Process]:
    """The processes that a batch has started to work for it."""
    every = psutil.Process(pid).children(recursive=True)
    return [p for p in every if "spawn_main" in " ".join(p.cmdline())]
