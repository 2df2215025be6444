"""Runs that were stopped go on: killed, Ctrl-C, other options, changed and unreadable sources."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import refused
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.models.options import StreamDefaults
from vitruvian.sources.open import open_source
from vitruvian.sources.record import record_of, sources_of
from vitruvian.verbs import analyze
from vitruvian.verbs import resume as resuming
from vitruvian.verbs.analyze_report import AnalysisOutputs, AnalysisReport
from vitruvian.verbs.folder import LEDGERS, Ledger, ledger_of
from vitruvian.verbs.groups import AnalysisWords
from vitruvian.verbs.output_files import plan_outputs
from vitruvian.verbs.outputs import Save
from vitruvian.verbs.predict import write_poses


class Toy:
    """Finds one person, where follows from the frame; and is stopped at one of them."""

    name, runs_on, skeleton = "toy", "CPU", COCO17

    def __init__(self, stop: str = "", **options: Any) -> None:
        self.stop, self.seen, self.weights = stop, list[str](), {"toy.onnx": "0" * 64}
        self.options, self.wanted = options, StreamDefaults()

    def __call__(self, frames, look=None, /) -> list[Poses]:
        return [self._find(frame) for frame in frames]

    def _find(self, frame: Frame) -> Poses:
        what = f"{Path(frame.source).name} {frame.index}"
        if what == self.stop.removeprefix("kill "):
            if self.stop.startswith("kill"):
                time.sleep(0.5)  # what was found is written
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt
        self.seen.append(what)
        x = 4 + frame.index + float(frame.rgb.mean()) / 100
        xy = np.array([[[x + i, 2 * i + 3] for i in range(17)]], np.float32)
        box, one = np.array([[x, 3, x + 17, 40]], np.float32), np.ones(1, np.float32)
        who = np.array([-1])
        return Poses(
            COCO17, person=who, box=box, box_score=one, xy=xy, score=np.ones((1, 17), np.float32)
        )


def run(sources: list[Any], out: Path, save: str | None, resume: bool, model: Toy) -> list[str]:
    """What is said of it; faults last."""
    said, faults = list[str](), list[str]()
    opened, words = open_source(sources), Save.parse(save, "json,csv,coco")
    plans = plan_outputs(opened, out, words, overwrite=resume)
    write_poses(
        plans, model, out, words, resume=resume, say=said.append,
        on_error=lambda error: faults.append(str(error)),
    )  # fmt: skip
    return said + faults


def run_files(sources: list[Any], out: Path, save: str | None, resume: bool, model: Toy):
    """The files that it says were written."""
    opened, words = open_source(sources), Save.parse(save, "json,csv,coco")
    made = list[Path]()
    plans = plan_outputs(opened, out, words, overwrite=resume)
    write_poses(plans, model, out, words, resume=resume, say=print, on_error=print, written=made)
    return sorted(made)


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, but for ledgers."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name[0] != "."}


def killed(sources: list[Any], out: Path, save: str | None, at: str, resume: bool = False) -> None:
    """A run in a process of its own, which is killed at a frame."""
    here = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path[:0] = [{here!r}, {str(Path(here).parent)!r}]\n"
        "from pathlib import Path\nimport test_resume as t\nt.resuming.EVERY = 0.0\n"
        f"t.run({[str(s) for s in sources]!r}, Path({str(out)!r}), {save!r}, {resume}, "
        f"t.Toy('kill {at}'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def folder(picture, tmp_path) -> Path:
    """Six images."""
    for i, name in enumerate("abcdef"):
        picture(f"in/{name}.png", np.full((48, 64, 3), 20 * i, np.uint8))
    return tmp_path / "in"


@pytest.mark.parametrize("save", ["json,csv,coco", "json,video,openpose", "csv,parquet"])
def test_a_killed_run_through_pictures_ends_as_one_that_was_not(save, folder, tmp_path):
    if "parquet" in save:
        pytest.importorskip("pyarrow")
    whole, out = tmp_path / "whole", tmp_path / "out"
    run([folder], whole, save, False, Toy())
    killed([folder], out, save, "d.png 3")
    assert "poses.csv" not in files(out)
    assert "poses.jsonl" not in files(out)  # there is a .part
    model = Toy()
    run([folder], out, save, True, model)
    if "parquet" not in save:  # which is begun anew
        assert model.seen[0] in ("c.png 2", "d.png 3")
    assert {k: v for k, v in files(out).items() if not k.endswith("parquet")} == {
        k: v for k, v in files(whole).items() if not k.endswith("parquet")
    }
    assert set(files(out)) == set(files(whole))
    again = Toy()
    assert run([folder], out, save, True, again) == ["in: already complete"]
    assert not again.seen


@pytest.mark.parametrize("name", ["all.jsonl", "all.csv"])
def test_a_killed_run_into_one_file_keeps_the_videos_that_were_finished(name, video, tmp_path):
    clips = [video(f"{each}.mp4", [0.0, 0.1, 0.2]) for each in "abc"]
    run(clips, tmp_path / "whole" / name, None, False, Toy())
    out = tmp_path / "out" / name
    killed(clips, out, None, "b.mp4 1")
    model = Toy()
    said = run(clips, out, None, True, model)
    assert model.seen[0] == "b.mp4 0"
    assert "a.mp4: already complete" in said
    assert out.read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert run(clips, out, None, True, model) == [f"'{out}' is already complete"]


def test_a_video_that_was_killed_is_begun_anew_and_finished_ones_are_skipped(video, tmp_path):
    clips, out = [video(f"{each}.mp4", [0.0, 0.1, 0.2]) for each in "ab"], tmp_path / "out"
    run(clips, tmp_path / "whole", None, False, Toy())
    killed(clips, out, None, "b.mp4 1")
    killed(clips, out, None, "b.mp4 2", resume=True)  # once more
    model = Toy()
    assert run(clips, out, None, True, model)[0] == "a.mp4: already complete"
    assert model.seen == ["b.mp4 0", "b.mp4 1", "b.mp4 2"]
    assert files(out) == files(tmp_path / "whole")


def test_after_control_c_valid_files_are_known_to_be_unfinished(folder, video, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    clip = video("z.mp4", [0.0, 0.1, 0.2])
    run([folder, clip], whole, None, False, Toy())
    with pytest.raises(KeyboardInterrupt):
        run([folder, clip], out, None, False, Toy("d.png 3"))
    assert "poses.jsonl" in files(out)  # a valid file, of a part
    with pytest.raises(KeyboardInterrupt):
        run([folder, clip], out, None, True, Toy("z.mp4 2"))
    model = Toy()
    run([folder, clip], out, None, True, model)
    assert model.seen == ["z.mp4 0", "z.mp4 1", "z.mp4 2"]
    assert files(out) == files(whole)


def test_one_file_after_control_c_goes_on_behind_what_was_finished(video, tmp_path):
    clips = [video(f"{each}.mp4", [0.0, 0.1, 0.2]) for each in "ab"]
    run(clips, tmp_path / "whole.csv", None, False, Toy())
    out = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        run(clips, out, None, False, Toy("b.mp4 2"))
    assert out.exists()
    model = Toy()
    run(clips, out, None, True, model)
    assert model.seen == ["b.mp4 0", "b.mp4 1", "b.mp4 2"]
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_other_options_another_model_and_other_sources_are_refused(folder, picture, tmp_path):
    out = tmp_path / "out"
    run([folder], out, None, False, Toy(conf=0.5))
    with refused("was made with conf 0.5, and not 0.25", "--overwrite"):
        run([folder], out, None, True, Toy(conf=0.25))
    with refused("was made with save json,csv,coco, and not json"):
        run([folder], out, "json", True, Toy(conf=0.5))
    other = Toy(conf=0.5)
    other.weights = {"toy.onnx": "1" * 64}
    with refused("was made with different weights"):
        run([folder], out, None, True, other)
    picture("in/g.png", np.full((48, 60, 3), 7, np.uint8))
    with refused("was made with different sources, without '", "g.png'"):
        run([folder], out, None, True, Toy(conf=0.5))
    (folder / "g.png").unlink()
    (folder / "b.png").unlink()
    with refused("was made with more sources, among them '", "b.png'"):
        run([folder], out, None, True, Toy(conf=0.5))


@pytest.mark.parametrize(
    ("name", "one", "seen"),
    [("a.jsonl", "", 6), ("a.csv", "", 6), ("a", "poses.jsonl", 6), ("a", "a.jpg", 1)],
)
def test_what_is_finished_is_not_done_again_and_its_files_are_said(
    name, one, seen, folder, tmp_path
):
    out, model, saved = tmp_path / name, Toy(conf=0.5), "json,video" if one else None
    first = run_files([folder], out, saved, False, model)
    assert first == ([out] if not one else [out / each for each in sorted(files(out))])
    assert run_files([folder], out, saved, True, model) == first
    assert len(model.seen) == 6
    with refused("was made with conf 0.5, and not 0.25"):
        run([folder], out, saved, True, Toy(conf=0.25))
    file = out / one
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])  # half a file is not taken for a whole one
    with refused("has changed since it was written", "--overwrite", "another --out"):
        run([folder], out, saved, True, Toy(conf=0.5))
    file.unlink()  # and what is gone is made again
    model = Toy(conf=0.5)
    assert run_files([folder], out, saved, True, model) == first
    assert len(model.seen) == seen
    assert file.read_bytes() == whole


def test_what_was_made_without_a_ledger_is_not_resumed(folder, tmp_path):
    out = tmp_path / "out.csv"
    run([folder], out, None, False, Toy())
    for damage in ("", '{"save"', '{"conf": 1}\n\xff{\n', "[]\n"):
        ledger_of(out).write_bytes(damage.encode("latin-1"))
        with refused("exists, and its options are unknown", "--overwrite"):
            run([folder], out, None, True, Toy())
    out.unlink()
    run([folder], out, None, True, Toy())
    with ledger_of(out).open("a") as file:
        file.write('{"source": 7, "state": "done", "frames": [], "sinks": []}\n')
    with refused("out.csv.jsonl' is damaged", "--overwrite"):
        run([folder], out, None, True, Toy())


@pytest.mark.parametrize(
    ("save", "seen"),
    [
        ("json,csv,coco,openpose,video", "b"),
        ("csv,coco,video", "bcdef"),
        ("json,parquet", "abcdef"),
    ],
)
@pytest.mark.parametrize("stopped", [False, True])
def test_a_picture_that_changed_is_done_again(
    save, seen, stopped, folder, picture, tmp_path, capsys, monkeypatch
):
    if "parquet" in save:
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(resuming, "EVERY", 0.0)
    out, whole = tmp_path / "out", tmp_path / "whole"
    if stopped:
        with pytest.raises(KeyboardInterrupt):
            run([folder], out, save, False, Toy("e.png 4"))
    else:
        run([folder], out, save, False, Toy())
    picture("in/b.png", np.full((48, 60, 3), 250, np.uint8))
    model = Toy()
    run([folder], out, save, True, model)
    assert {name[0] for name in model.seen} == {*seen, *("ef" if stopped else "")}
    assert "b.png' changed; it is done again" in capsys.readouterr().err
    run([folder], whole, save, False, Toy())
    made, wanted = files(out), files(whole)
    assert made.keys() == wanted.keys()
    for name in made.keys() - {"poses.parquet"}:  # the picture comes last
        assert sorted(made[name].split(b"\n")) == sorted(wanted[name].split(b"\n")) or (
            name == "poses.json"
            and sorted(map(str, json.loads(made[name])))
            == sorted(map(str, json.loads(wanted[name])))
        )
    assert run([folder], out, save, True, Toy("a.png 0")) == ["in: already complete"]


def test_a_video_that_changed_is_done_again(video, tmp_path, capsys):
    clips, out = [video(f"{each}.mp4", [0.0, 0.1, 0.2]) for each in "abc"], tmp_path / "out"
    for name in ("out", "out.jsonl"):
        run(clips, tmp_path / name, None, False, Toy())
        video("b.mp4", [0.0, 0.2, 0.3, 0.4])
        model = Toy()
        said = run(clips, tmp_path / name, None, True, model)
        assert said[0] == "a.mp4: already complete"
        assert {name[0] for name in model.seen} == ({"b"} if name == "out" else {"b", "c"})
        assert "b.mp4' changed; it is done again" in capsys.readouterr().err
        video("b.mp4", [0.0, 0.1, 0.2])
    assert (out / "b.jsonl").read_text().count("\n") == 5


def test_what_could_not_be_read_is_tried_again(folder, tmp_path):
    bad, out = folder / "c.png", tmp_path / "out"
    good = bad.read_bytes()
    bad.write_bytes(good[:60])
    said = run([folder], out, None, False, Toy())
    assert any("c.png" in line for line in said)
    assert any("c.png" in line for line in run([folder], out, None, True, Toy()))
    stamp = bad.stat()
    bad.write_bytes(good[:60])
    os.utime(bad, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    model = Toy()
    run([folder], out, None, True, model)
    assert model.seen == []  # only the bad one is tried


def test_a_video_that_breaks_off_is_tried_again(video, tmp_path):
    path, out = video("a.mp4", [i / 10 for i in range(9)]), tmp_path / "out"
    path.write_bytes(b"no video")
    assert any("a.mp4" in line for line in run([path], out, None, False, Toy()))
    assert not out.exists()
    assert any("a.mp4" in line for line in run([path], out, None, True, Toy()))


def test_two_processes_do_not_write_the_same_files(folder, tmp_path):
    out = tmp_path / "out"
    with_lock = Ledger(ledger_of(out, "poses"), out / "poses", {})
    with_lock.open(overwrite=True)
    with refused("another process is writing it"):
        run([folder], out, None, True, Toy())
    with_lock.close(remove=True)
    assert not out.exists()


def test_half_a_line_of_a_ledger_is_ignored(tmp_path):
    path = ledger_of(tmp_path, "a")
    assert path.parent.name == LEDGERS
    first = Ledger(path, tmp_path / "a", {"conf": 0.5})
    first.open(overwrite=True)
    first.mark(source=0)
    first.close()
    with path.open("a") as file:
        file.write('{"finished": ["')
    second = Ledger(path, tmp_path / "a", {"conf": 0.5})
    second.open(resume=True)
    assert second.marks == [{"source": 0}]
    assert not second.finished
    second.close()
    assert [json.loads(line) for line in path.read_text().splitlines()][1:] == [{"source": 0}]


def test_what_is_live_is_not_resumed(tmp_path):
    class Live:
        name, moving, live = "camera:0", True, True

    with pytest.raises(VitruvianError, match="is live"):
        resuming.check_resumable([Live()], True)  # type: ignore[list-item]


@pytest.fixture
def always(tmp_path) -> str:
    """A rule that holds of everybody in every frame."""
    path = tmp_path / "mine.py"
    path.write_text("import numpy as np\ndef always(body):\n    return np.ones(len(body))\n")
    return f"{path}:always"


@pytest.mark.parametrize("how", ["video,plot", "", "html,svg"])
def test_an_analysis_that_was_stopped_ends_as_one_that_was_not(how, video, tmp_path, always):
    clips = [video(f"{each}.mp4", [i / 10 for i in range(9)]) for each in "abc"]

    def analyzed(out: Path, model: Toy, resume: bool = False, gap: float = 0.5) -> list[str]:
        asked = analyze.asked(
            AnalysisWords(rules=f"seated,{always}", angles=True, minimum=0.1, gap=gap)
        )
        report, sources = (
            AnalysisReport(out, asked, AnalysisOutputs.parse(how)),
            open_source(list(map(str, clips))),
        )
        said = list[str]()
        plans = analyze.plans(sources, report, None, overwrite=resume)
        jobs = analyze.jobs(sources, model, asked)
        analyze.write_analyses(jobs, plans, report, resume=resume, say=said.append, on_error=print)
        return said

    whole, out = tmp_path / "whole", tmp_path / "out"
    said = analyzed(whole, Toy())
    with pytest.raises(KeyboardInterrupt):
        analyzed(out, Toy("b.mp4 6"))
    with refused("was made with events", "gap=0.5", "--overwrite"):
        analyzed(out, Toy(), resume=True, gap=0.3)
    model = Toy()
    again = analyzed(out, model, resume=True)
    assert model.seen[0] == "b.mp4 0"
    assert "a.mp4: already complete" in again
    assert again[-1] == said[-1]  # of the rule, of all sources
    assert files(out) == files(whole)
    assert analyzed(out, model, resume=True) == [f"'{out}' is already complete"]
    if "html" in how:
        assert {"sheet_1.jpg", "report.html", "a_timeline.png", "c_timeline.svg"} <= {*files(out)}


def test_an_analysis_of_pictures_goes_on_where_it_was_stopped(
    folder, tmp_path, monkeypatch, always
):
    monkeypatch.setattr(resuming, "EVERY", 0.0)

    def analyzed(out: Path, model: Toy, source: Path = folder, resume: bool = False):
        settled = analyze.asked(AnalysisWords(rules=always, angles=True))
        save = AnalysisOutputs.parse("video,html")
        report, made = AnalysisReport(out, settled, save), list[Path]()
        record = record_of(str(source))
        sources = sources_of(record) if record else open_source(source)
        plans = analyze.plans(sources, report, record, overwrite=resume)
        jobs = analyze.jobs(sources, model, settled)
        if record:
            jobs = analyze.jobs_of(record, sources, settled, report.save)
        said, how = list[str](), {"resume": resume, "written": made, "on_error": print}
        analyze.write_analyses(jobs, plans, report, say=said.append, **how)
        return said, sorted(path.name for path in made)

    whole, out, model = tmp_path / "whole", tmp_path / "out", Toy()
    said, made = analyzed(whole, Toy())
    assert made == sorted(files(whole))
    with pytest.raises(KeyboardInterrupt):
        analyzed(out, Toy("d.png 3"))
    again = analyzed(out, model, resume=True)
    assert model.seen == ["d.png 3", "e.png 4", "f.png 5"]
    assert (again[0][-1], again[1]) == (said[-1], made)
    assert files(out) == files(whole)
    assert analyzed(out, Toy("a.png 0"), resume=True)[1] == made
    # A record, in which pictures may be counted otherwise.
    poses = tmp_path / "poses.jsonl"
    run([folder], poses, None, False, Toy())
    poses.write_text(poses.read_text().replace('"index":', '"index":1'))
    whole, out = tmp_path / "whole2", tmp_path / "out2"
    analyzed(whole, Toy(), poses)
    monkeypatch.setattr(AnalysisReport, "seen", stopped_after(3, AnalysisReport.seen))
    with pytest.raises(KeyboardInterrupt):
        analyzed(out, Toy(), poses)
    monkeypatch.undo()
    counted = list[str]()
    seen = AnalysisReport.seen
    monkeypatch.setattr(
        AnalysisReport,
        "seen",
        lambda self, frame, *a, **k: (counted.append(frame.source), seen(self, frame, *a, **k)),
    )
    analyzed(out, Toy(), poses, resume=True)
    assert len(counted) in (3, 4)
    assert files(out) == files(whole)


def stopped_after(times: int, function: Any) -> Any:
    """The same function, which is stopped when it is called once more."""
    left = iter(range(times))

    def stopping(*words: Any, **named: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return function(*words, **named)

    return stopping
