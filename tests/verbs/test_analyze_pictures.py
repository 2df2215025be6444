"""What one looks at after an analysis: timeline, contact sheet, plots and the page."""

import itertools
import json
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import vitruvian as vit
from bodies import body, seen_as
from commands import command, one_line, started
from pictures import opened
from recordings import CHAIR, SITS, SIZE, Actor, acting, recorded, table
from vitruvian.analysis.degrees import StateKey
from vitruvian.analysis.events import Event
from vitruvian.analysis.found import FrameAnalysis
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame
from vitruvian.rendering.contact_sheet import (
    CELL,
    COLUMNS,
    MOST,
    SheetCell,
    around_person,
    fitted,
    person_cell,
    sharpness,
    sheet_pages,
)
from vitruvian.rendering.lettering import font
from vitruvian.rendering.plot import LEAST, Cyclic, Plot
from vitruvian.rendering.report import jpeg_of
from vitruvian.rendering.timeline import BINS, CODES, GAP, KEPT, PEOPLE, Timeline
from vitruvian.verbs.analyze_sheet import ClearestFrames, EventSheet

ANALYZE = ("analyze", "--offline")
UP = {"shoulder": 165.0}
pytestmark = pytest.mark.usefixtures("elsewhere")


# Timeline


def timeline(*states: str, rate: float = 10.0) -> Timeline:
    """Of person 1, a letter for each frame: yes, no, unknown, absent."""
    made = Timeline("a.mp4", lambda rule, side: f"{side} {rule}".strip())
    letters = {"y": "yes", "n": "no", "u": "unknown"}
    for i, letter in enumerate("".join(states)):
        here = {(1, "seated", ""): letters[letter]} if letter in letters else {}
        made.add(i / rate, here)
    made.event((1, "seated", ""), 1.0, 2.0)
    assert made.figure() is not None
    return made


def at(made: Timeline, seconds: float, person: int = 1) -> str:
    return CODES[made.people[person].rows["seated", ""][int(seconds / made.step)]]


def test_a_timeline_has_every_state_where_it_was():
    made = timeline("n" * 10, "y" * 10, "u" * 10, "a" * 10, "n" * 10)
    shown = [at(made, seconds) for seconds in (0.5, 1.05, 1.9, 2.05, 2.9, 3.05, 3.9, 4.05)]
    assert shown == ["no", "yes", "yes", "unknown", "unknown", "absent", "absent", "no"]


def test_a_timeline_of_any_length_has_a_bounded_number_of_bins_and_loses_no_event():
    made = timeline("n" * 20_000, "y", "n" * 20_000)
    (line,) = made.people[1].rows.values()
    assert len(line) == BINS
    assert BINS * made.step >= 4000
    assert np.count_nonzero(line == CODES.index("yes")) == 1
    assert at(made, 2000) == "yes"
    assert np.count_nonzero(line) >= 4000 / made.step - 1


def test_frames_far_apart_do_not_draw_what_was_not_seen():
    made = timeline("yy", rate=0.1)
    assert at(made, GAP / 2) == "yes"
    assert at(made, GAP + 1) == "absent"


def test_a_crowd_is_cut_down_to_those_with_the_longest_events():
    made = Timeline("", lambda rule, side: rule)
    for i in range(10):
        made.add(i / 10, {(person, "seated", ""): "no" for person in range(1, 400)})
    for person in (7, 300):
        made.event((person, "seated", ""), 0, person)
    figure = made.figure()
    assert figure is not None
    assert len(made.people) <= KEPT
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(names) == PEOPLE
    assert {"person 7   seated", "person 300   seated"} <= set(names)
    assert sum("no events" in name for name in names) == PEOPLE - 2
    (legend,) = figure.legends
    assert legend.get_title().get_text() == f" ({399 - PEOPLE} more people)"


def test_of_who_has_no_events_it_is_shown_whether_that_is_known():
    made = Timeline("", lambda rule, side: rule)
    for i in range(20):
        says = "unknown" if i < 10 else "no"
        made.add(i / 10, {(1, "seated", ""): says, (1, "lying", ""): "unknown"})
    assert made.figure() is not None
    line = made.people[1].at_best()
    assert {CODES[line[int(s / made.step)]] for s in (0.1, 0.9)} == {"unknown"}
    assert {CODES[line[int(s / made.step)]] for s in (1.1, 1.9)} == {"no"}


def test_of_few_people_each_of_few_rules_has_a_row():
    made = Timeline("", lambda rule, side: f"{rule} {side}".strip())
    for i in range(20):
        states = {(1, "seated", ""): "no", (1, "hands_in_pockets", "left"): "unknown"}
        made.add(i / 10, states)
    figure = made.figure()
    assert figure is not None
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["person 1   hands_in_pockets left", "seated"]


def test_nobody_has_no_timeline():
    assert Timeline("", lambda rule, side: rule).figure() is None
    made = Timeline("", lambda rule, side: rule)
    made.add(0.0, {})
    assert made.figure() is None


# Contact sheet


def textured(size=SIZE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)


def found(poses: Poses, **degrees: float) -> FrameAnalysis:
    values = {name: np.full(len(poses), degree) for name, degree in degrees.items()}
    return FrameAnalysis(poses, values, {}, None, "3d")


def test_the_clearest_frame_is_where_it_holds_most_surely_large_and_sharp():
    one, key = seen_as(COCO17, body(COCO17), person=1), StateKey(1, "seated")
    small = seen_as(COCO17, body(COCO17), scale=40.0, person=1)
    faint = replace(one, score=one.score * np.float32(0.4))
    sharp, flat = textured(), np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
    tries = [(0.7, one, sharp), (1.0, small, sharp), (1.0, faint, sharp), (1.0, one, flat),
             (1.0, one, sharp), (0.8, one, sharp)]  # fmt: skip
    for order in itertools.permutations(range(len(tries)), len(tries)):
        if order[0] > 2:
            continue  # enough of them
        clearest = ClearestFrames(0.5)
        for index in order:
            degree, poses, pixels = tries[index]
            frame = Frame(pixels, index, float(index), "a")
            clearest.see(frame, found(poses, seated=degree), [key])
        assert clearest.best[key].seconds == 4.0
        event = Event("seated", 1, 0.0, 5.0, 1.0)
        assert clearest.take(event) is not None
        assert clearest.take(event) is None


def test_a_picture_of_another_time_is_not_that_of_an_event():
    one = seen_as(COCO17, body(COCO17), person=1)
    clearest = ClearestFrames(0.5)
    clearest.see(Frame(textured(), 0, 1.0), found(one, seated=1.0), [StateKey(1, "seated")])
    assert clearest.take(Event("seated", 1, 2.0, 3.0, 1.0)) is None


@pytest.mark.parametrize("size", [(640, 480), (480, 1200), (64, 48), (4000, 3000)])
@pytest.mark.parametrize("where", [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_a_person_is_cut_out_whole_and_inside_the_frame_where_that_fits(size, where):
    place = tuple(np.array(size) * where)
    poses = seen_as(COCO17, body(COCO17), at=place, scale=size[1] / 8)
    crop = around_person(poses, 0, size)
    assert crop is not None
    x0, y0, x1, y1 = crop.bounds()
    inside = np.clip(poses.xy[0], 0, size)
    assert (inside >= np.array([x0, y0]) - 1).all()
    assert (inside <= np.array([x1, y1]) + 1).all()
    if x1 - x0 <= size[0]:
        assert x0 >= -1
        assert x1 <= size[0] + 1
    picture, sharp = person_cell(Frame(textured(size)), poses, 0, 0.5)
    assert picture.shape == (CELL[1], CELL[0], 3)
    assert 0 < sharp <= 1


def test_who_has_no_place_has_an_empty_picture():
    poses = seen_as(COCO17, body(COCO17))
    nowhere = replace(poses, xy=np.full_like(poses.xy, np.nan), box=np.full_like(poses.box, np.nan))
    picture, sharp = person_cell(Frame(textured()), nowhere, 0, 0.5)
    assert (np.ptp(picture), sharp) == (0, 0.0)


def test_a_frame_without_contrast_is_not_sharp():
    assert sharpness(np.full((50, 50, 3), 99, np.uint8)) == 0
    blurred = cv2.GaussianBlur(textured(), (0, 0), 4)
    assert sharpness(blurred) < sharpness(textured()) / 2


def cells(*counts: int) -> list[SheetCell]:
    jpeg = jpeg_of(np.full((CELL[1], CELL[0], 3), 90, np.uint8))
    return [SheetCell(f"rule {i}", ("person 1", "a", "b"), jpeg)
            for i, count in enumerate(counts) for _ in range(count)]  # fmt: skip


def test_a_page_has_at_most_a_hundred_pictures_and_rules_begin_a_row():
    assert list(sheet_pages([])) == []
    (one,) = sheet_pages(cells(1))
    assert one.shape[1] < CELL[0] * 1.2
    full, rest = sheet_pages(cells(MOST + 1))
    assert full.shape[0] > MOST / COLUMNS * CELL[1]
    assert rest.shape[1] == one.shape[1]
    (rows,) = sheet_pages(cells(1, 1, 1))
    assert rows.shape[0] > 3 * CELL[1]
    assert rows.shape[1] == one.shape[1]


def test_long_names_are_cut_in_the_middle():
    short = fitted("a rule with a name that is sixty letters long, or even longer.mp4", 13, 210)
    assert font(13).getlength(short) <= 210
    assert short.startswith("a rule")
    assert short.endswith(".mp4")
    assert fitted("short", 13, 210) == "short"
    assert fitted("wide", 13, 1) == "..."


def test_pages_of_an_earlier_run_that_had_more_are_deleted_and_nothing_else(tmp_path):
    for name in ("sheet_2.jpg", "sheet_12.jpg", "sheet_a.jpg", "sheet_2.jpg.txt"):
        (tmp_path / name).write_text("old")
    sheet = EventSheet(tmp_path)
    with sheet.kept:
        sheet.add(Event("seated", 1, 0.0, 1.0, 0.8, "a.mp4"), np.zeros((280, 210, 3), np.uint8))
    sheet.write()
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert names == {"sheet_1.jpg", "sheet_a.jpg", "sheet_2.jpg.txt"}
    (cell,) = sheet.cells()
    assert cell.heading == "seated: 1 event"
    assert cell.lines == ("person 1", "seated", "0.0 to 1.0 s   0.80")


# All of them together


def kept(out: str = "out") -> list[dict]:
    """The pictures of the contact sheet."""
    path = Path(out, ".vitruvian", "sheet.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def as_events(out: str = "out") -> list[tuple[str, ...]]:
    rows = [row for row in table(f"{out}/events.csv") if row["state"] == "yes"]
    return sorted((row["rule"], row["person"], row["side"], row["start"]) for row in rows)


def as_pictures(out: str = "out") -> list[tuple[str, ...]]:
    return sorted((e["rule"], str(e["person"]), e["side"], str(e["start"])) for e in kept(out))


@pytest.mark.parametrize("of", ["video", "record"])
def test_each_event_of_a_video_has_its_picture_and_the_page_has_all(of, video):
    clip = video("clip.mp4", [i / 10 for i in range(40)], size=SIZE)
    poses = acting(SITS, [*[UP] * 12, *[{}] * 28])
    how = {"rules": "seated,arms_raised", "angles": True, "out": "out", "save": "html,pdf,svg"}
    if of == "video":
        done = vit.analyze(clip, Actor(poses), **how)
    else:
        done = vit.analyze(recorded(Path("p.jsonl"), poses, str(clip)), **how)
    names = {path.name for path in done.files}
    figures = {
        f"{name}.{kind}" for name in ("angles", "timeline") for kind in ("png", "pdf", "svg")
    }
    assert figures | {"sheet_1.jpg", "report.html"} <= names
    assert len(as_events()) == 3  # seated, and both arms
    assert as_pictures() == as_events()
    assert opened("out/sheet_1.jpg").shape[1] > 2 * CELL[0]
    assert opened("out/timeline.png").shape[1] == 2700
    assert Path("out/angles.pdf").read_bytes().startswith(b"%PDF")
    assert "left knee flexion" in Path("out/angles.svg").read_text()
    page = Path("out/report.html").read_text()
    assert page.count("data:image/jpeg") == 3
    assert page.count("data:image/png") == 2
    assert "seated: 1 of 2 people, 1.9 s" in page
    assert "held in 100% of 20 frames" in page
    assert not re.search(r"(src|href)=.?(https?:|//)", page)


def test_a_record_without_its_video_has_timeline_and_page_and_says_what_is_missing(tmp_path):
    record = recorded(tmp_path / "p.jsonl", acting(SITS))
    done = command(*ANALYZE, record, "--rules", "seated", "--save", "html", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "gone.mp4 was not found: no contact sheet" in done.stderr
    assert not Path("out/sheet_1.jpg").exists()
    page = Path("out/report.html").read_text()
    assert "Contact sheet" not in page
    assert page.count("data:image/png") == 1


def test_events_of_pictures_that_hold_have_one_each(picture):
    paths = [picture(f"{name}.png", textured()) for name in "ab"]
    model = Actor([*acting([CHAIR], [{}]), *acting([{}], [CHAIR])])
    vit.analyze(paths, model, rules="seated,arms_raised", save="sheet,html", out="out")
    assert as_events() == as_pictures() == [("seated", "1", "", "0.0"), ("seated", "2", "", "0.0")]
    assert [Path(one["source"]).name for one in kept()] == ["a.png", "b.png"]
    page = Path("out/report.html").read_text()
    assert page.count("data:image/jpeg") == 2
    assert "<th>start" not in page


def test_where_nothing_happens_there_is_no_sheet_and_the_page_says_so(video):
    clip = video("clip.mp4", [i / 10 for i in range(20)], size=SIZE)
    done = vit.analyze(clip, Actor(acting([{}] * 20)), rules="seated", save="html", out="out")
    assert "sheet_1.jpg" not in {path.name for path in done.files}
    page = Path("out/report.html").read_text()
    assert "There are none." in page
    assert "seated: 0 of 1 person" in page


def test_several_videos_have_a_timeline_each_and_share_a_sheet(video):
    clips = [video(f"{name}.mp4", [i / 10 for i in range(12)], size=SIZE) for name in "ab"]
    model = Actor(acting([CHAIR] * 24))
    vit.analyze(clips, model, rules="seated", save="html", out="out")
    assert {path.name for path in Path("out").glob("*.png")} == {"a_timeline.png", "b_timeline.png"}
    assert [Path(one["source"]).name for one in kept()] == ["a.mp4", "b.mp4"]
    page = Path("out/report.html").read_text()
    assert page.index("<h2>a.mp4</h2>") < page.index("<h2>b.mp4</h2>") < page.index("Contact sheet")


def test_markup_in_names_stays_text(video):
    clip = video("<b>&.mp4", [i / 10 for i in range(12)], size=SIZE)
    vit.analyze(clip, Actor(acting([CHAIR] * 12)), rules="seated", save="html", out="out")
    page = Path("out/report.html").read_text()
    assert "<b>&.mp4" not in page
    assert "&lt;b&gt;&amp;.mp4" in page


def test_a_portrait_video_and_a_stream_of_frames_without_track_ids_are_done(video):
    clip = video("tall.mp4", [i / 10 for i in range(12)], size=(270, 480))
    poses = acting([CHAIR] * 12)
    for one in poses:
        one.person[:] = -1
    vit.analyze(clip, Actor(poses), rules="seated", save="html,video", out="out", track=False)
    assert not Path("out/timeline.png").exists()
    assert "no track ids" in Path("out/report.html").read_text()


def test_control_c_leaves_a_sheet_and_a_page_of_what_was_done(video):
    video("clip.mp4", [i / 30 for i in range(400)], size=SIZE)
    Path("slow.py").write_text(
        "import time, numpy as np\n"
        "def slow(body):\n"
        "    time.sleep(0.02)\n"
        "    if body.frame.index == 150:\n"
        "        open('enough', 'w').close()\n"
        "    return (body.frame.index % 60 < 40) * np.ones(len(body))\n"
    )
    with vit.open_sink("p.jsonl") as sink:
        for i in range(400):
            (one,) = acting([{}])
            sink.write(Frame(None, i, i / 30, "clip.mp4", size=SIZE), one)
    words = ("p.jsonl", "--rules", "slow.py:slow", "--save", "html", "--out", "out")
    with started(*ANALYZE, *words) as process:
        while not Path("enough").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert as_pictures() == as_events()
    assert len(as_events()) >= 2
    assert "slow" in Path("out/report.html").read_text()
    assert not list(Path("out").rglob("*.part"))
    done = command(*ANALYZE, *words, "--resume")
    assert done.returncode == 0, done.stderr
    assert len(as_events()) == 7
    assert as_pictures() == as_events()


# Plots


def test_a_panel_says_how_many_cycles_its_mean_has_and_where_there_are_none():
    plot = Plot(("left_knee_flexion", "right_knee_flexion"))
    for person in (1, 2):
        plot.add(person, np.arange(90) / 10, np.zeros((90, 2)))
    alone = plot.figure()
    assert alone is not None
    assert [axes.get_title(loc="left") for axes in alone.axes] == [
        *("person 1, no cycles", "person 2, no cycles"),
    ]
    curves = np.tile(np.arange(101.0), (2, 1))
    plot.cycles(1, Cyclic("left_knee_flexion", 5, curves, np.ones((2, 101))))
    both = plot.figure()
    assert both is not None
    titles = [axes.get_title(loc="left") for axes in both.axes]
    assert "mean \N{PLUS-MINUS SIGN} SD, n = 5\ncycles of left knee flexion" in titles
    assert any("no cycles" in text.get_text() for axes in both.axes for text in axes.texts)


def test_who_is_there_for_less_than_a_second_has_no_panel():
    plot = Plot(("left_knee_flexion",))
    plot.add(1, [0.0, LEAST - 0.1], np.zeros((2, 1)))
    assert plot.figure() is None
    plot.add(1, [5.0, 5.2], np.zeros((2, 1)))
    assert plot.figure() is not None


def test_gaps_stay_gaps_and_zero_is_marked():
    plot = Plot(("left_knee_flexion",))
    values = np.full((50, 1), 30.0)
    values[20:30] = np.nan
    plot.add(1, np.arange(50) / 10, values)
    figure = plot.figure()
    assert figure is not None
    angle, zero = figure.axes[0].lines
    assert np.isnan(np.asarray(angle.get_ydata())[20:30]).all()
    assert np.asarray(zero.get_ydata()).tolist() == [0, 0]


def test_cycles_of_a_recording_are_a_table(tmp_path):
    bend = [{"knee": 30 - 30 * np.cos(2 * np.pi * i / 20), "hip": 5.0} for i in range(120)]
    record = recorded(tmp_path / "p.jsonl", acting(bend))
    vit.analyze(record, angle="knee", save="plot", out="out")
    rows = table("out/cycles.csv")
    assert {row["angle"] for row in rows} == {"left_knee_flexion", "right_knee_flexion"}
    assert len(rows) == 2 * 5
    for row in rows:
        assert float(row["end"]) - float(row["start"]) == pytest.approx(2, abs=0.11)
        assert float(row["range"]) == pytest.approx(60, abs=0.5)
        assert float(row["maximum"]) == pytest.approx(60, abs=0.5)


@pytest.mark.shared
@pytest.mark.weights
def test_a_walking_woman_has_three_strides(blazepose, shared):
    blazepose("full")
    clip = shared / "data" / "videos" / "sports2d_demo.mp4"
    vit.analyze(clip, num_poses=2, angles=True, save="tables", out="out")
    strides = [row for row in table("out/cycles.csv") if row["angle"] == row["reference"]]
    assert len(strides) == 3
    for row in strides:
        assert float(row["end"]) - float(row["start"]) == pytest.approx(1.23, abs=0.1)
        assert float(row["range"]) == pytest.approx(64, abs=5)


# Options


def test_only_the_people_asked_for_are_analyzed(video):
    clip = video("clip.mp4", [i / 10 for i in range(40)], size=SIZE)
    record = recorded(Path("p.jsonl"), acting(SITS, SITS, [{}] * 40), str(clip))
    done = command(
        *ANALYZE, record, "--rules", "seated", "--angles", "--person", "2,3", "-o", "out"
    )
    assert done.returncode == 0, done.stderr
    assert "seated: 1 of 2 people" in done.stdout
    assert {row["person"] for row in table("out/events.csv")} == {"2"}
    assert {row["person"] for row in table("out/angles.csv")} == {"2", "3"}
    found = list(vit.analyze_frames(record, rules="seated", person=2))
    assert {tuple(poses.person.tolist()) for _, poses, _ in found} == {(2,)}
    one_line(command(*ANALYZE, record, "--person", "7", "-o", "b", "--save", "tables"),
             "no frame has person 7", "1, 2, 3")  # fmt: skip


def test_thresholds_have_one_name_everywhere(tmp_path):
    """With metres of a thigh at 55 degrees: half way."""
    record = recorded(tmp_path / "p.jsonl", acting([{"hip": 55.0, "knee": 55.0}] * 20))
    words = (*ANALYZE, record, "--rules", "seated", "--save", "tables", "--out")
    command(*words, "a")
    command(*words, "b", "--on", "0.45")
    command(*words, "c", "--on", "0.45", "--off", "0.45", "--minimum", "3")
    assert [len(table(f"{out}/events.csv")) for out in "abc"] == [0, 1, 0]
    vit.analyze(record, rules="seated", save="tables", out="d", on=0.45)
    assert table("d/events.csv") == table("b/events.csv")
    events = [
        e for *_, one in vit.analyze_frames(record, rules="seated", on=0.45) for e in one.events
    ]
    assert len(events) == 1


@pytest.mark.parametrize("there", [[0], [7], [49], [0, 49]])
def test_only_values_between_gaps_are_dots(there):
    plot = Plot(("left_knee_flexion",))
    values = np.full((50, 1), np.nan)
    values[there] = values[20:30] = 30.0
    plot.add(1, np.arange(50) / 10, values)
    figure = plot.figure()
    assert figure is not None
    dots = next(line for line in figure.axes[0].lines if line.get_marker() == ".")
    assert np.asarray(dots.get_xdata()).tolist() == [i / 10 for i in there]
