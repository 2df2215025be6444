"""`vitruvian analyze` and `vit.analyze`: what people do and their angles, end to end."""

import gc
import json
import shutil
import signal
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import vitruvian as vit
from bodies import body, seen_as
from commands import command, one_line, started
from conftest import grey, refused
from pictures import opened
from recordings import CHAIR, SITS, SIZE, Actor, acting, recorded, table
from vitruvian.analysis import angles
from vitruvian.analysis.events import Options
from vitruvian.analysis.found import AnalysisSettings, state_phrase
from vitruvian.analysis.rules import RULES, parse_rules
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.body.track import LONGEST
from vitruvian.frame import Frame
from vitruvian.rendering.annotate import Annotator, Arc, Line, Note
from vitruvian.rendering.draw import COLOURS, draw
from vitruvian.rendering.plot import KEPT, PEOPLE, POINTS, TALL, Plot, Series
from vitruvian.rendering.timeline import BINS
from vitruvian.sources.open import Span, VideoFile
from vitruvian.sources.record import open_record
from vitruvian.verbs.analyze_files import Analysis, AnalysisPlan
from vitruvian.verbs.analyze_report import AnalysisOutputs, AnalysisReport
from vitruvian.verbs.output_files import OutputFiles

ANALYZE = ("analyze", "--offline")
pytestmark = pytest.mark.usefixtures("elsewhere")


# What it says, of people who do what is known


def test_a_record_of_who_sits_for_two_seconds_says_so(tmp_path):
    record = recorded(tmp_path / "poses.jsonl", acting(SITS))
    done = command(*ANALYZE, record, "--rules", "seated,lying", "--angles", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "gone.mp4: 40 frames, 1 person" in done.stdout
    assert done.stdout.splitlines()[1:] == [
        "seated: 1 of 1 person, 1.9 s, 0% unknown",
        "lying: 0 of 1 person, 0.0 s, 0% unknown",
    ]
    assert "gone.mp4 was not found: no annotated copy, no contact sheet" in done.stderr
    names = {"events.jsonl", "events.csv", "angles.csv", "motion.csv", "cycles.csv"}
    names |= {"angles.png", "timeline.png"}
    assert {path.name for path in Path("out").glob("[!.]*")} == names
    (event,) = table("out/events.csv")
    assert event == {
        **{"source": "gone.mp4", "model": "actor", "version": vit.__version__, "person": "1"},
        **{"rule": "seated", "side": "", "state": "yes", "start": "1.0", "end": "2.9"},
        **{"frames": "20", "confidence": "1.0", "evidence": event["evidence"]},
    }
    thighs = "left thigh 85° from hanging down; right thigh 85° from hanging down"
    upright = "trunk 0° from upright"
    assert event["evidence"] == f"held in 100% of 20 frames; {upright}; {thighs}"
    (line,) = map(json.loads, Path("out/events.jsonl").read_text().splitlines())
    assert {key: str(value) for key, value in line.items()} == event
    rows = table("out/angles.csv")
    assert [float(row["time"]) for row in rows] == pytest.approx([i / 10 for i in range(40)])
    assert float(rows[20]["left_knee_flexion_deg"]) == pytest.approx(85, abs=0.1)
    assert float(rows[20]["left_hip_flexion_deg"]) == pytest.approx(85, abs=0.1)
    assert float(rows[0]["left_knee_flexion_deg"]) == pytest.approx(0, abs=0.1)
    knee = next(row for row in table("out/motion.csv") if row["measure"] == "left_knee_flexion")
    assert (knee["unit"], knee["frames"]) == ("deg", "40")
    assert float(knee["range"]) == pytest.approx(85, abs=0.1)
    assert float(knee["peak_speed"]) == pytest.approx(85 / 2 * 10, abs=1)  # in 0.1 s, halved
    wrist = next(row for row in table("out/motion.csv") if row["measure"] == "left_ankle")
    assert (wrist["unit"], wrist["range"]) == ("m", "")
    assert float(wrist["peak_speed"]) > 1
    assert opened("out/angles.png").std() > 10


def test_pictures_have_the_states_of_everybody_in_them(tmp_path):
    poses = acting([CHAIR, {}], [{"left_shoulder": 165.0}, None])
    record = recorded(tmp_path / "poses.jsonl", poses, "{}.jpg")
    done = command(*ANALYZE, record, "--rules", "seated,arms_raised", "--angles", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "2 images, 3 people" in done.stdout
    assert "seated: 1 of 3 people, 0% unknown" in done.stdout
    assert "arms_raised: 1 of 3 people, 0% unknown" in done.stdout
    states = {
        (row["source"], row["person"], row["rule"], row["side"]): row["state"]
        for row in table("out/events.csv")
    }
    assert len(states) == 3 * 3
    assert states["0.jpg", "1", "seated", ""] == "yes"
    assert states["0.jpg", "2", "seated", ""] == states["1.jpg", "1", "seated", ""] == "no"
    assert states["0.jpg", "2", "arms_raised", "left"] == "yes"
    assert states["0.jpg", "2", "arms_raised", "right"] == "no"
    assert {row["frames"] for row in table("out/events.csv")} == {"1"}
    rows = table("out/angles.csv")
    assert [(row["source"], row["person"]) for row in rows] == [
        ("0.jpg", "1"), ("0.jpg", "2"), ("1.jpg", "1")]  # fmt: skip
    assert not Path("out/angles.png").exists()  # there is no time in images


def test_nobody_is_an_answer(tmp_path):
    record = recorded(tmp_path / "poses.jsonl", acting([None] * 5))
    done = command(*ANALYZE, record, "--rules", "all", "--angles", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "seated: 0 of 0 people, 0.0 s, 0% unknown" in done.stdout
    assert table("out/events.csv") == table("out/angles.csv") == table("out/motion.csv") == []
    assert Path("out/events.csv").read_text().startswith("source,model,version,person,rule,side")
    assert Path("out/events.jsonl").read_text() == ""
    assert not Path("out/angles.png").exists()


def test_who_leaves_and_comes_back_has_two_events_and_a_gap(tmp_path):
    poses = acting([CHAIR] * 10 + [None] * 30 + [CHAIR] * 10, [{}] * 50)
    record = recorded(tmp_path / "poses.jsonl", poses)
    done = command(*ANALYZE, record, "--rules", "seated", "--angles", "--out", "out")
    assert "seated: 1 of 2 people, 1.8 s, 0% unknown" in done.stdout
    rows = [row for row in table("out/angles.csv") if row["person"] == "1"]
    assert len(rows) == 20
    assert [row["start"] for row in table("out/events.csv")] == ["0.0", "4.0"]


def test_one_frame_is_enough(tmp_path):
    record = recorded(tmp_path / "poses.jsonl", acting([CHAIR]))
    done = command(*ANALYZE, record, "--rules", "seated", "--angles", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert len(table("out/angles.csv")) == 1
    assert table("out/events.csv") == []
    knee = next(row for row in table("out/motion.csv") if row["measure"] == "left_knee_flexion")
    assert (knee["range"], knee["peak_speed"]) == ("0.0", "")


def test_people_without_numbers_are_said_to_have_none(tmp_path):
    poses = acting([CHAIR] * 10)
    for one in poses:
        one.person[:] = -1
    done = command(*ANALYZE, recorded(tmp_path / "p.jsonl", poses), "--rules", "seated")
    assert "no track ids, so there are no events" in done.stdout


def test_a_record_of_several_sources_is_taken_apart(tmp_path):
    both = tmp_path / "both.jsonl"
    recorded(both, acting([CHAIR] * 12), "a.mp4")
    other = recorded(tmp_path / "b.jsonl", acting([CHAIR] * 12), "b.mp4")
    both.write_text(both.read_text() + "".join(other.read_text().splitlines(True)[1:]))
    done = command(*ANALYZE, both, "--rules", "seated", "--angles", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert [row["source"] for row in table("out/events.csv")] == ["a.mp4", "b.mp4"]
    assert Path("out/a_angles.png").exists()
    assert Path("out/b_angles.png").exists()


def test_a_record_made_of_another_programs_file_needs_no_video(tmp_path):
    Path("walk.trc").write_text("markers")
    record = recorded(tmp_path / "poses.jsonl", acting(SITS), source="walk.trc")
    done = command(*ANALYZE, record, "--angles", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "walk.trc has no images: no annotated copy" in done.stderr
    assert len(table("out/angles.csv")) == 40


# What rules see


def test_a_record_is_opened_again_where_its_source_is_there(tmp_path, video):
    """The user's own rule says how bright the frame is, which is different in each."""
    clip = video("clip.mp4", [i / 10 for i in range(12)], size=SIZE)
    Path("mine.py").write_text(
        "import numpy as np\n"
        "def bright(body):\n"
        "    print('seen', round(float(body.frame.rgb.mean())))\n"
        "    return np.ones(len(body))\n"
    )
    poses = acting([{}] * 12)
    with vit.open_sink("p.jsonl") as sink:
        for i in range(0, 12, 3):  # as with --stride 3
            sink.write(Frame(None, i, i / 10, str(clip), size=SIZE), poses[i])
    done = command(*ANALYZE, "p.jsonl", "--rules", "mine.py:bright", "--out", "out")
    assert done.returncode == 0, done.stderr
    seen = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("seen")]
    assert seen == pytest.approx([grey(i) for i in range(0, 12, 3)], abs=3)
    assert "bright: 1 of 1 person, 0.9 s" in done.stdout
    with av.open("out/clip.mp4") as container:
        drawn = [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)]
    assert len(drawn) == 4
    assert np.ptp(drawn[0]) > 150  # there is somebody on the grey


def test_without_pixels_another_rule_stands_in_and_that_is_said(tmp_path):
    record = recorded(tmp_path / "poses.jsonl", acting([{}] * 12))
    done = command(*ANALYZE, record, "--rules", "hands_in_pockets", "--out", "out")
    assert done.returncode == 0, done.stderr
    said = "hands_at_pockets (from keypoints only) replaces hands_in_pockets"
    (line,) = done.stderr.splitlines()
    assert said in line
    assert "hands_at_pockets: 1 of 1 person" in done.stdout  # arms hang: to keypoints that is all
    assert "hands_in_pockets" not in done.stdout
    assert {row["rule"] for row in table("out/events.csv")} == {"hands_at_pockets"}


@pytest.mark.parametrize("suffix", ["mp4", "jpg"])
def test_a_source_that_no_file_can_be_called_is_not_here(tmp_path, suffix):
    path = recorded(tmp_path / "a.jsonl", acting([{}, {}]), f"{'x' * 300}.{suffix}")
    assert len(list(vit.analyze_frames(path))) == 2
    with refused("which does not exist"):
        open_record(recorded(tmp_path / "b.jsonl", acting([{}]), "x" * 300)).video()


def test_a_source_that_is_another_one_by_now_is_refused(tmp_path, video):
    clip = video("clip.mp4", [0.0, 0.1], size=(64, 48))
    record = recorded(tmp_path / "poses.jsonl", acting([{}] * 2), str(clip))
    done = command(*ANALYZE, record, "--rules", "seated", "--out", "out")
    one_line(done, "clip.mp4", "has no frame 0 of", "when it is read again")


def test_a_users_own_rules_come_from_toml_and_python(tmp_path):
    Path("own.toml").write_text(
        "[rules.deep]\nall = [{ angle = 'left_knee_flexion', above = 60 }]\n"
    )
    Path("mine.py").write_text(
        "import numpy as np\n"
        "def hand(body):\n"
        "    return np.stack([np.ones(len(body)), np.zeros(len(body))], axis=-1)\n"
    )
    record = recorded(tmp_path / "poses.jsonl", acting(SITS))
    done = command(*ANALYZE, record, "--rules", "own.toml,mine.py:hand,seated", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "deep: 1 of 1 person, 1.9 s" in done.stdout
    assert "hand: 1 of 1 person, left 3.9 s, 0% unknown" in done.stdout


# What is refused

BROKEN = "import numpy as np\ndef bad(body):\n    return body.nothing\nmany = 3\n"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("p.jsonl", "--rules", "seatd"), ("no rule named 'seatd'; did you mean 'seated'?",)),
        (("p.jsonl", "--rules", "mine.py"), ("name its function", "'mine.py:NAME'")),
        (("p.jsonl", "--rules", "mine.py:gone"), ("'mine.py' has no function 'gone'",)),
        (("p.jsonl", "--rules", "mine.py:many"), ("'mine.py' has no function 'many'",)),
        (("p.jsonl", "--rules", "no.py:f"), ("cannot read 'no.py': No such file",)),
        (("p.jsonl", "--rules", "no.toml"), ("cannot read 'no.toml'",)),
        (("p.jsonl", "--rules", "mine.py:bad"), ("the rule 'bad' of 'mine.py' failed", "nothing")),
        (("p.jsonl", "--angle", "kneee"), ("no angle named 'kneee'; did you mean 'knee'?",)),
        (("p.jsonl", "--angles", "--space", "4d"), ("space is '4d', want 2d or 3d",)),
        (("p.jsonl", "--minimum", "-1"), ("minimum is -1.0",)),
        (("p.jsonl", "--save", "csv"), ("always written; leave csv out",)),
        (("p.jsonl", "--out", "a.csv"), ("'a.csv' is one file", "give a folder")),
        (("p.jsonl", "sample"), ("'p.jsonl' is a record; give it as the only source",)),
        (("p.jsonl", "--start", "3"), ("'p.jsonl' is a record", "completely")),
        (("gone.jsonl",), ("cannot read 'gone.jsonl'",)),
        (("missing.mp4",), ("cannot read 'missing.mp4'",)),
        (("sample", "--model", "blazepose-ful"), ("did you mean 'blazepose-full'",)),
    ],
)
def test_what_the_user_got_wrong_is_one_line(words, parts):
    recorded(Path("p.jsonl"), acting([{}] * 2))
    Path("mine.py").write_text(BROKEN)
    done = command(*ANALYZE, *words, *(() if "--out" in words else ("--out", "out")))
    lines = [line for line in done.stderr.splitlines() if "was not found" not in line]
    assert done.returncode == 1, done.stderr
    assert len(lines) == 1, done.stderr
    for part in parts:
        assert part in lines[0]


def test_a_second_run_keeps_the_first_unless_it_may_replace_it(tmp_path):
    record = recorded(tmp_path / "poses.jsonl", acting(SITS))
    line = (*ANALYZE, record, "--rules", "seated", "--out", "out")
    assert command(*line).returncode == 0
    before = Path("out/events.csv").read_bytes()
    one_line(command(*line), "events.jsonl' exists", "--overwrite")
    assert Path("out/events.csv").read_bytes() == before
    assert command(*line, "--overwrite").returncode == 0


def test_a_record_is_never_replaced(tmp_path):
    Path("out").mkdir()
    record = recorded(Path("out/events.jsonl"), acting(SITS))
    before = record.read_bytes()
    done = command(*ANALYZE, record, "--rules", "seated", "--out", "out", "--overwrite")
    one_line(done, "'out/events.jsonl' is an input")
    assert record.read_bytes() == before


def test_a_record_that_breaks_off_is_done_up_to_there(tmp_path):
    record = recorded(tmp_path / "poses.jsonl", acting(SITS))
    record.write_text(record.read_text()[:-200])
    done = command(*ANALYZE, record, "--rules", "seated", "--out", "out", "--save", "tables")
    one_line(done, "poses.jsonl", "line 41")
    assert len(table("out/events.csv")) == 1


def test_control_c_keeps_what_was_done(tmp_path):
    """A rule that takes its time, so that there is one to press it in."""
    Path("slow.py").write_text(
        "import time, numpy as np\n"
        "def slow(body):\n"
        "    time.sleep(0.02)\n"
        "    if body.frame.index == 30:\n"
        "        open('enough', 'w').close()\n"
        "    return np.ones(len(body))\n"
    )
    recorded(Path("p.jsonl"), acting([{}] * 2000))
    words = ("p.jsonl", "--rules", "slow.py:slow", "--angles", "--out", "out")
    with started(*ANALYZE, *words) as process:
        while not Path("enough").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        told, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped" in said
    assert "slow: 1 of 1 person" in told
    (event,) = table("out/events.csv")
    rows = table("out/angles.csv")
    assert 30 < len(rows) < 2000
    assert int(event["frames"]) == len(rows)
    assert not list(Path("out").glob("*.part"))


# Memory


def test_an_hour_takes_no_more_memory_than_ten_minutes(tmp_path):
    """A frame every two seconds: 1800 of them. Of none of them the pixels are kept."""
    asked = AnalysisSettings(parse_rules("seated,arms_raised"), angles=True)
    report = AnalysisReport(tmp_path / "out", asked, AnalysisOutputs.parse("plot"))
    plan = AnalysisPlan(
        OutputFiles(VideoFile("long.mp4", Span())),
        (tmp_path / "out" / "timeline.png",),
        (tmp_path / "out" / "angles.png",),
    )
    poses = acting([CHAIR, {}], [{}, {}])
    pixels: list[weakref.ref] = []
    with report, Analysis(report, asked, plan) as analysis:
        for i in range(1800):
            frame = Frame(np.zeros((4, 4, 3), np.uint8), i, i * 2.0, "long.mp4")
            pixels.append(weakref.ref(frame))
            analysis.write(frame, poses[i // 400 % 2])
            rows = [len(one.rows) for one in analysis.tracks.growing.values()]
            assert max(rows) <= LONGEST / 2 + 1
        gc.collect()
        assert sum(ref() is not None for ref in pixels) <= 1  # the last one
    assert analysis.timeline is not None
    lines = [line for one in analysis.timeline.people.values() for line in one.rows.values()]
    assert {len(line) for line in lines} == {BINS}
    assert len(table(tmp_path / "out/angles.csv")) == 2 * 1800
    assert len(table(tmp_path / "out/motion.csv")) > 0


def test_a_line_of_any_length_has_a_bounded_number_of_points():
    series, values = Series(), np.sin(np.arange(100_000) / 900)
    for i, value in enumerate(values):
        series.add(i / 50, np.array([value, -value]))
    assert POINTS / 2 <= len(series.seconds) == len(series.low) == len(series.high) <= POINTS + 1
    assert np.max(series.high) == values.max()
    assert np.min(series.low, axis=0)[0] == values.min()
    at = np.searchsorted(series.seconds, 1000.0)
    assert series.low[at][0] - 0.05 < np.sin(1000 * 50 / 900) < series.high[at][0] + 0.05
    assert series.seconds == sorted(series.seconds)


def test_of_many_people_those_who_were_there_longest_are_plotted(tmp_path):
    plot = Plot(("left_knee_flexion",))
    for person in range(200):
        plot.add(person, np.arange(2 + (person == 7)), np.zeros((2 + (person == 7), 1)))
    assert len(plot.people) <= KEPT
    assert 7 in plot.people
    figure = plot.figure()
    assert figure is not None
    assert len(figure.axes) == PEOPLE
    assert any(axes.get_title(loc="left").startswith("person 7,") for axes in figure.axes)


@pytest.mark.parametrize("banded", [(), (1,), (2,), (1, 2)])
def test_the_axis_of_time_is_right_below_what_is_plotted(banded):
    """Of people with events and people without."""
    plot = Plot(("left_knee_flexion",))
    for person in (1, 2):
        plot.add(person, np.arange(9), np.arange(9.0)[:, None])
    for person in banded:
        plot.band(person, "seated", "", 2, 5)
    figure = plot.figure()
    assert figure is not None
    assert figure.get_figheight() == pytest.approx(2 * (TALL + 0.3) + 0.7 + 0.18 * len(banded))
    assert len(figure.axes) == 2 + len(banded)
    shown = [axes for axes in figure.axes if axes.get_xlabel() == "seconds"]
    assert shown == [figure.axes[-1]]


# In Python


def test_found_says_states_angles_and_events_frame_by_frame(tmp_path):
    record = recorded(tmp_path / "poses.jsonl", acting(SITS, [{}] * 40))
    triples = list(vit.analyze_frames(record, rules="seated", angles=True))
    assert len(triples) == 40
    frame, poses, found = triples[20]
    assert frame.index == 20
    assert poses.person.tolist() == [1, 2]
    assert found.state("seated") == ["yes", "no"]
    assert found.angle_deg("left_knee") == pytest.approx([85, 0], abs=0.2)
    events = [event for *_, found in triples for event in found.events]
    assert [(event.rule, event.person, event.start) for event in events] == [("seated", 1, 1.0)]
    with refused("no angle named 'knees'"):
        found.angle_deg("knees")


def test_what_the_end_ends_comes_with_the_last_frame(tmp_path):
    record = recorded(tmp_path / "poses.jsonl", acting([CHAIR] * 10))
    *_, (_, _, last) = vit.analyze_frames(record, rules=["seated"], when=Options(minimum=0.2))
    (event,) = last.events
    assert isinstance(event, vit.Event)
    assert (event.start, event.end, event.frames) == (0.0, 0.9, 10)


def test_a_source_and_a_model_are_analyzed_as_a_record_is(video):
    clip = video("clip.mp4", [i / 10 for i in range(40)], size=SIZE)
    found = [found for *_, found in vit.analyze_frames(clip, Actor(acting(SITS)), rules="seated")]
    (event,) = [event for one in found for event in one.events]
    assert (event.start, event.end) == (1.0, pytest.approx(2.9))
    with refused("angles were not computed"):
        found[0].angle_deg("left_knee")


def test_as_many_people_as_the_maximum_are_said(video, capsys):
    clip = video("clip.mp4", [i / 10 for i in range(40)], size=SIZE)
    for most, said in ((1, 1), (2, 0)):
        model = Actor(acting(SITS))
        model.name, model.options = "blazepose-full", {"track": False, "num_poses": most}
        vit.analyze(clip, model, rules="seated", save="html", out=f"out{most}")
        assert capsys.readouterr().err.count("found 1 person, the maximum") == said
        assert "Poses of blazepose-full, vitruvian" in Path(f"out{most}/report.html").read_text()


def test_people_in_a_picture_have_numbers_and_nobody_has_none(picture):
    paths = [picture(name, np.full((480, 640, 3), 90, np.uint8)) for name in ("a.png", "b.png")]
    model = Actor([*acting([CHAIR], [{}]), Poses.nobody(COCO17, "hips")])
    (_, both, found), (_, nobody, none) = vit.analyze_frames(
        paths, model, rules="seated", angles=True
    )
    assert both.person.tolist() == [1, 2]
    assert [event.state for event in found.events] == ["yes", "no"]
    assert (len(nobody), none.events) == (0, [])
    assert none.angles is not None
    assert none.angles.shape == (0, len(angles.angle_names("3d")))


def test_a_record_takes_no_options_of_models(tmp_path):
    record = recorded(tmp_path / "poses.jsonl", acting(SITS))
    with refused("has no effect on a record", "num_poses"):
        vit.analyze_frames(record, num_poses=2)


@pytest.mark.parametrize("words", [{"cutoff_hz": 1.5}, {"smooth": "one-euro"}, {"repair": True}])
def test_a_record_is_filtered_as_track_does(tmp_path, words):
    def measured(path: Path, **words: Any) -> np.ndarray:
        all_of = vit.analyze_frames(path, angles=True, rules="", **words)
        return np.array([found.angles for _, _, found in all_of], float)

    record = recorded(tmp_path / "poses.jsonl", acting(SITS))
    vit.track(record, out=tmp_path / "again", save="json", **words)
    [again] = (tmp_path / "again").glob("*.jsonl")
    got, as_is = measured(record, **words), measured(record)
    np.testing.assert_allclose(got, measured(again), atol=0.05)  # records have rounded numbers
    assert np.allclose(got, as_is, atol=0.05, equal_nan=True) == ("repair" in words)
    options = [f"--{name.replace('_', '-')}" for name in words]
    options += [str(value) for value in words.values() if value is not True]
    done = command(*ANALYZE, record, "--angles", "--save", "tables", "--out", "out", *options)
    assert done.returncode == 0, done.stderr
    knee = [float(row["left_knee_flexion_deg"]) for row in table(Path("out/angles.csv"))]
    column = angles.angle_names("2d").index("left_knee_flexion")
    np.testing.assert_allclose(knee, got[:, 0, column], atol=0.01)


def test_a_smoothed_record_is_not_repaired_without_a_word_on_smoothing(tmp_path):
    vit.track(recorded(tmp_path / "p.jsonl", acting(SITS)), out=tmp_path / "again", save="json",
              smooth="butterworth")  # fmt: skip
    [again] = (tmp_path / "again").glob("*.jsonl")
    with refused("is smoothed", "--smooth"):
        vit.analyze_frames(again, repair=True)
    done = command(*ANALYZE, again, "--repair", "--out", "out")
    assert (done.returncode, Path("out").exists()) == (1, False)
    assert "is smoothed" in done.stderr


def test_words_for_angles_are_names_or_how_they_begin():
    assert angles.match_angles("left_knee") == ("left_knee_flexion",)
    assert angles.match_angles("knee,trunk_tilt") == (
        *("left_knee_flexion", "right_knee_flexion", "trunk_tilt"),
    )
    assert angles.match_angles(["left_hip_abduction"], "3d") == ("left_hip_abduction",)
    with refused("left_hip_abduction needs 3D coordinates"):
        angles.match_angles("left_hip_abduction", "2d")


@pytest.mark.parametrize("rule", [*RULES, "deep_squat"])
def test_every_rule_can_be_said_in_words(rule):
    sided = "hand" in rule or "arms" in rule or "phone" in rule
    for side in ("left", "right") if sided else ("",):
        words = {state_phrase(rule, side, state) for state in ("yes", "no", "unknown")}
        assert len(words) == 3
        for word in words:
            assert "{" not in word
            assert "_" not in word
            assert side in word


# What is drawn


def drawn(poses: Poses, size: tuple[int, int] = SIZE, **options) -> np.ndarray:
    return draw(Frame(np.full((size[1], size[0], 3), 128, np.uint8)), poses, **options)


def test_what_is_occluded_is_drawn_as_a_ring_and_only_if_wanted():
    poses, k = seen_as(COCO17, body(COCO17)), COCO17["left_wrist"]
    sure = drawn(poses)
    poses.score[0, k] = 0.4
    x, y = np.floor(poses.xy[0, k]).astype(int)
    assert tuple(sure[y, x]) == COLOURS["left"]
    hidden, plain = drawn(poses, hidden=True), drawn(poses)
    assert tuple(hidden[y, x]) == (255, 255, 255)
    assert (
        (np.abs(hidden[y - 6 : y + 7, x - 6 : x + 7].astype(int) - COLOURS["left"]) < 60)
        .all(-1)
        .any()
    )
    assert tuple(plain[y, x]) != (255, 255, 255)


@pytest.mark.parametrize("way", [(0, 300), (0, -600), (500, 0), (-700, 0), (5e6, 5e6)])
def test_what_is_out_of_the_frame_is_a_triangle_on_the_nearest_edge(way):
    poses = seen_as(COCO17, body(COCO17))
    poses.xy[0, COCO17["left_ankle"]] += way
    poses.score[0] = 0
    poses.score[0, COCO17["left_ankle"]] = 0.9
    marked = (drawn(poses, hidden=True) == COLOURS["left"]).all(axis=-1)
    rows, columns = np.nonzero(marked)
    assert len(rows) > 10
    far = min(rows.min(), columns.min(), SIZE[1] - 1 - rows.max(), SIZE[0] - 1 - columns.max())
    assert far < 6
    assert not (drawn(poses) == COLOURS["left"]).all(axis=-1).any()


def note(person: int, box: Sequence[float], *texts: str, arcs: Sequence[Arc] = ()) -> Note:
    lines = tuple(Line(text, "yes") for text in texts)
    return Note(person, np.array(box, np.float32), lines, tuple(arcs))


@pytest.mark.parametrize("size", [(48, 32), (320, 240), (3840, 2160)])
def test_tags_fit_on_small_and_large_pictures(size):
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    wide, tall = size
    box = (0.4 * wide, 0.4 * tall, 0.6 * wide, 0.9 * tall)
    arc = Arc(np.array([0.5 * wide, 0.6 * tall]), np.array([0.0, 0.1 * tall]),
              np.array([0.1 * wide, 0.0]), "90°")  # fmt: skip
    Annotator()(image, [note(1, box, "seated", "left hand: in pocket", arcs=[arc])])
    changed = (image != 128).any(axis=-1)
    assert changed.sum() > 100
    if size[0] >= 320:
        assert changed.mean() < 0.3
        kept = image[int(0.42 * tall) : int(0.5 * tall), int(0.45 * wide) : int(0.55 * wide)]
        assert (kept == 128).mean() > 0.9  # the head is left free


def test_tags_of_people_who_stand_together_do_not_cover_each_other(monkeypatch):
    boxes = [(150 + 70 * i, 120, 240 + 70 * i, 460) for i in range(4)]
    places: list[tuple[np.ndarray, int]] = []
    place = Annotator._place
    monkeypatch.setattr(
        Annotator, "_place", lambda *words: places.append(place(*words)) or places[-1]
    )
    image = np.full((480, 640, 3), 128, np.uint8)
    Annotator()(image, [note(i, box, "seated") for i, box in enumerate(boxes)])
    for i, (a, _) in enumerate(places):
        for b, _ in places[:i]:
            shared = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            assert (shared <= 0).any()


def test_nobody_and_somebody_without_a_place_are_annotated_as_nothing():
    image = np.full((48, 64, 3), 128, np.uint8)
    Annotator()(image, [])
    Annotator()(image, [note(1, (np.nan,) * 4, "seated")])
    assert (image == 128).all()


# Real images and videos


def test_the_sample_through_the_command_line():
    """With the weights that come with vitruvian: nothing has to be fetched."""
    words = ("sample", "--model", "vitruvian-2d", "--rules", "seated,hands_in_pockets")
    done = command(*ANALYZE, *words, "--angles", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("grace_hopper.jpg: 1 image, 1 person, ")
    states = [(row["rule"], row["side"], row["state"]) for row in table("out/events.csv")]
    assert states == [  # a portrait: neither hips nor hands are in it
        ("seated", "", "unknown"),
        ("hands_in_pockets", "left", "unknown"),
        ("hands_in_pockets", "right", "unknown"),
    ]
    (row,) = table("out/angles.csv")
    assert row["left_knee_flexion_deg"] == "" or float(row["left_knee_flexion_deg"]) >= 0
    changed = np.abs(opened("out/grace_hopper.jpg").astype(int) - opened(row["source"])).max(-1)
    assert 0.02 < (changed > 60).mean() < 0.5


@pytest.mark.weights
@pytest.mark.shared
def test_hands_in_a_real_picture_are_in_pockets_and_a_broken_one_is_told(blazepose, shared):
    blazepose("full")
    Path("pictures").mkdir()
    images = shared / "data" / "pockets" / "images"
    for name in ("000000354547.jpg", "000000069213.jpg"):
        shutil.copy(images / name, Path("pictures") / name)
    Path("pictures/broken.jpg").write_bytes((images / "000000354547.jpg").read_bytes()[:3000])
    rules = "hands_in_pockets,seated"
    one = ("--num-poses", "1")  # there are others behind them
    done = command(*ANALYZE, "pictures", *one, "--rules", rules, "--angles", "--out", "out")
    one_line(done, "broken.jpg", "cut short")
    assert "pictures: 2 images, 2 people" in done.stdout
    assert "hands_in_pockets: 2 of 2 people, 25% unknown" in done.stdout
    assert "seated: 0 of 2 people" in done.stdout
    assert len(table("out/angles.csv")) == 2
    assert opened("out/000000354547.jpg").shape == opened(images / "000000354547.jpg").shape


@pytest.mark.weights
@pytest.mark.shared
def test_arms_that_are_raised_in_a_real_video_are_an_event(blazepose, shared):
    """A man does jumping jacks: his arms are up from 1.7 to 2.2 s, as one sees in the video."""
    blazepose("full")
    source = shared / "data" / "videos" / "sports2d_demo.mp4"
    words = ("--start", "1.4", "--max-frames", "36", "--rules", "arms_raised", "--angle", "elbow")
    done = command(*ANALYZE, source, *words, "--minimum", "0.3", "--out", "out")
    assert done.returncode == 0, done.stderr
    events = table("out/events.csv")
    assert {event["side"] for event in events} == {"left", "right"}
    for event in events:
        assert float(event["start"]) == pytest.approx(1.7, abs=0.15)
        assert float(event["end"]) == pytest.approx(2.2, abs=0.15)
    with av.open("out/sports2d_demo.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == 36
    assert 30 < len(table("out/angles.csv")) <= 36  # not before he has a number
    assert opened("out/angles.png").shape[1] == 2160  # 300 dpi
