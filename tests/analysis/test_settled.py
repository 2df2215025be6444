"""Recordings: what is told of a frame is what events and tables say of it, and nothing lags."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

import vitruvian as vit
from bodies import body, seen_as, turned
from conftest import grey, refused
from recordings import CHAIR, SITS, SIZE, Actor, acting, recorded, table
from vitruvian.analysis.events import Options, StateKey
from vitruvian.analysis.found import AnalysisSettings, Analyst
from vitruvian.analysis.rules import RULES
from vitruvian.analysis.view import depth_is_estimated
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.sources.open import Span, VideoFile, open_source
from vitruvian.sources.record import record_of, sources_of
from vitruvian.verbs import analyze
from vitruvian.verbs.analyze_files import Analysis
from vitruvian.verbs.analyze_report import AnalysisOutputs, AnalysisReport
from vitruvian.verbs.groups import AnalysisWords

UP: dict[str, float] = {"shoulder": 165.0}
NAN = float("nan")
pytestmark = pytest.mark.usefixtures("elsewhere")


def told(
    degrees: Sequence[float | None], options: Options, *, live: bool = False, rate: float = 10.0
):
    """State of each frame with the person, and the events, of how far a rule holds; None: away."""
    one, at = seen_as(COCO17, body(COCO17)), [0.0]
    asked = AnalysisSettings({"rule": lambda b: np.full(len(b), at[0])}, options)
    analyst, given, most = Analyst(asked, moving=True, live=live), [], 0
    for i, degree in enumerate(degrees):
        poses = Poses.nobody(COCO17, "hips") if degree is None else one
        at[0] = NAN if degree is None else degree
        given += analyst(Frame(None, i, i / rate, "a.mp4", size=SIZE), poses)
        most = max(most, len(analyst.waiting))
    rest, left = analyst.close()
    given += rest
    assert [frame.index for frame, _ in given] == list(range(len(degrees)))
    assert most <= (options.minimum + options.gap) * rate + 3
    events = [event for _, found in given for event in found.events] + left
    states = {
        frame.seconds: found.states[StateKey(1, "rule")]
        for frame, found in given
        if len(found.poses)
    }
    return states, events


@pytest.mark.parametrize("minimum", [0.0, 0.3, 1.2])
@pytest.mark.parametrize("gap", [0.0, 0.35, 0.5])
def test_yes_is_told_in_the_frames_of_events_and_in_no_other(minimum, gap):
    rng = np.random.default_rng(7)
    count = 0
    for _ in range(20):
        lengths, levels = rng.integers(1, 12, 25), rng.choice([0, 0.5, 0.7, 1, NAN, -1], 25)
        runs = np.repeat(levels, lengths).tolist()
        degrees = [None if level == -1 else level for level in runs]
        states, events = told(degrees, Options(minimum=minimum, gap=gap))
        for at, state in states.items():
            inside = any(event.start <= at <= event.end for event in events)
            assert (state == "yes") == inside, at
        count += len(events)
    assert count > 20


def test_a_short_raise_is_told_only_if_the_user_lowers_the_minimum():
    """15 frames of 30 a second: from the first to the last are 0.467 s."""
    degrees = [0.0] * 30 + [1.0] * 15 + [0.0] * 30
    states, events = told(degrees, Options(), rate=30)
    assert not events
    assert set(states.values()) == {"no"}
    states, (event,) = told(degrees, Options(minimum=0.4), rate=30)
    assert list(states.values()) == ["no"] * 30 + ["yes"] * 15 + ["no"] * 30
    assert (event.start, event.end) == (1.0, pytest.approx(44 / 30))
    states, (event,) = told([0.0, 1.0, 0.0], Options(minimum=0))
    assert list(states.values()) == ["no", "yes", "no"]


def test_live_states_lag_and_a_recordings_do_not():
    degrees = [0.0] * 10 + [1.0] * 10 + [0.0] * 10
    settled, _ = told(degrees, Options())
    lagging, _ = told(degrees, Options(), live=True)
    assert list(settled.values()) == ["no"] * 10 + ["yes"] * 10 + ["no"] * 10
    assert list(lagging.values()).index("yes") > 10
    assert list(lagging.values())[20] == "yes"


def test_a_short_doubt_beside_a_no_is_none_and_a_long_one_is_told_from_its_first_frame():
    short, _ = told([0.0] * 5 + [NAN] * 3 + [0.0] * 5 + [0.5] + [1.0] * 9, Options())
    assert list(short.values()) == ["no"] * 14 + ["yes"] * 9
    long, _ = told([0.0] * 5 + [NAN] * 9 + [0.0] * 5, Options())
    assert list(long.values()) == ["no"] * 5 + ["unknown"] * 9 + ["no"] * 5
    assert set(told([NAN] * 3, Options())[0].values()) == {"unknown"}


def test_frames_farther_apart_than_the_gap_all_count():
    """With --stride: what holds from one frame to the next goes on, but not for more than 2 s."""
    _, events = told([1.0] * 5 + [0.0] + [1.0], Options(minimum=0), rate=0.5)
    assert [(event.start, event.end) for event in events] == [(0.0, 8.0), (12.0, 12.0)]
    _, events = told([1.0] * 3, Options(minimum=0), rate=0.25)
    assert [event.start for event in events] == [0.0, 4.0, 8.0]
    _, events = told([1.0] * 9 + [0.0] + [1.0] * 9, Options(gap=0))
    assert [(event.start, event.end) for event in events] == [(0.0, 0.8), (1.0, 1.8)]


def test_another_source_and_a_time_that_is_not_later_begin_anew():
    one, asked = (
        seen_as(COCO17, body(COCO17)),
        AnalysisSettings({"rule": lambda b: np.ones(len(b))}),
    )
    analyst, given = Analyst(asked, moving=True), []
    for name, at in [("a", 0.0), ("a", 0.9), ("a", 0.1), ("b", 0.2), ("b", 1.2)]:
        given += analyst(Frame(None, 0, at, name), one)
    given += analyst.close()[0]
    assert [(frame.source, frame.seconds) for frame, _ in given] == [
        *(("a", 0.0), ("a", 0.9), ("a", 0.1), ("b", 0.2), ("b", 1.2)),
    ]


def test_masks_are_not_kept_so_states_are_told_at_once():
    one = seen_as(COCO17, body(COCO17))
    masked = replace(one, mask=np.zeros((1, 4, 4), np.float32))
    analyst = Analyst(AnalysisSettings({"rule": lambda b: np.ones(len(b))}), moving=True)
    assert not analyst(Frame(None, 0, 0.0), one)
    frames = [frame for frame, _ in analyst(Frame(None, 1, 0.1), masked)]
    assert [frame.index for frame in frames] == [0, 1]


# Film, events and table of one analysis


def test_film_events_and_table_agree_frame_by_frame(video, monkeypatch):
    """Arms go up and down; each image of the film is of its own frame and says what it does."""
    clip = video("clip.mp4", [i / 10 for i in range(40)], size=SIZE)
    poses = acting([*[{}] * 10, *[UP] * 4, *[{}] * 10, *[UP] * 10, *[{}] * 6])
    said: list[tuple[int, bool, float]] = []
    paint = Analysis.paint

    def watched(self, frame, poses, visible):
        assert self.found is not None
        yes = self.found.state("arms_raised", "left") == ["yes"]
        said.append((frame.index, yes, float(frame.rgb[0, 0, 0])))
        assert abs(said[-1][2] - grey(frame.index)) < 4
        return paint(self, frame, poses, visible)

    monkeypatch.setattr(Analysis, "paint", watched)
    asked = analyze.asked(AnalysisWords(rules="arms_raised", angle="elbow"))
    sources = open_source(clip)
    report = AnalysisReport(Path("out"), asked, AnalysisOutputs.parse("video,plot"))
    plans = analyze.plans(sources, report, None, overwrite=False)
    assert not analyze.write_analyses(
        analyze.jobs(sources, Actor(poses), asked), plans, report, on_error=print
    )
    event = next(row for row in table("out/events.csv") if row["side"] == "left")
    raised = [index for index, yes, _ in said if yes]
    assert [index for index, *_ in said] == list(range(40))
    assert raised == list(range(24, 34))
    assert (float(event["start"]), float(event["end"])) == (2.4, 3.3)
    with av.open("out/clip.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == 40


@pytest.mark.parametrize("angles", [False, True])
def test_python_gives_frames_with_their_own_pixels_and_settled_states(video, angles):
    clip = video("clip.mp4", [i / 10 for i in range(40)], size=SIZE)
    poses = acting([*[{}] * 10, *[UP] * 4, *[{}] * 26])
    how = {"rules": "arms_raised", "angles": angles, "minimum": 0.2}
    found = list(vit.analyze_frames(clip, Actor(poses), **how))
    assert [frame.index for frame, *_ in found] == list(range(40))
    assert all(abs(frame.rgb.mean() - grey(frame.index)) < 4 for frame, *_ in found)
    yes = [frame.index for frame, _, one in found if one.state("arms_raised", "right") == ["yes"]]
    assert yes == [10, 11, 12, 13]
    assert {(e.start, e.end) for *_, one in found for e in one.events} == {(1.0, 1.3)}
    again = list(vit.analyze_frames(recorded(Path("r.jsonl"), poses, str(clip)), **how))
    assert [one.states for *_, one in again] == [one.states for *_, one in found]


def test_what_cannot_be_read_again_is_drawn_as_it_comes_and_that_is_said(monkeypatch, video):
    clip = video("clip.mp4", [i / 10 for i in range(40)], size=SIZE)
    monkeypatch.setattr(VideoFile, "live", True)
    source = VideoFile(str(clip), Span())
    asked = analyze.asked(AnalysisWords(rules="seated"))
    report = AnalysisReport(Path("out"), asked, AnalysisOutputs.parse("video,plot"))
    (plan,) = analyze.plans([source], report, None, overwrite=False)
    with report, Analysis(report, asked, plan) as sink:
        for frame, poses in zip(source, acting(SITS), strict=True):
            assert isinstance(frame, Frame)
            sink.write(frame, poses)
            assert sink.found is not None
            assert not sink.analyst.waiting
    assert "the drawing lags" in " ".join(sink.remarks())
    assert Path("out/clip.mp4").exists()


def test_a_record_that_breaks_off_gives_what_was_before(tmp_path):
    record = recorded(tmp_path / "p.jsonl", acting([CHAIR] * 12))
    record.write_text(record.read_text()[:-200])
    found = []
    with refused("p.jsonl", "line 13"):
        found += [one for *_, one in vit.analyze_frames(record, rules="seated")] or found
    for triple in _until(vit.analyze_frames(record, rules="seated")):
        found.append(triple[2])
    assert len(found) == 11
    assert [(event.start, event.end) for event in found[-1].events] == [(0.0, 1.0)]


def _until(triples):
    """Those before the error."""
    try:
        yield from triples
    except VitruvianError:
        return


def test_a_video_that_is_bad_does_not_end_the_others(video):
    good = [video(f"{name}.mp4", [i / 10 for i in range(12)], size=SIZE) for name in "ac"]
    Path("b.mp4").write_bytes(good[0].read_bytes()[:900])
    sources = open_source([good[0], "b.mp4", good[1]])
    asked = analyze.asked(AnalysisWords(rules="seated", angles=True))
    report = AnalysisReport(Path("out"), asked, AnalysisOutputs.parse("video"))
    plans = analyze.plans(sources, report, None, overwrite=False)
    faults: list[VitruvianError] = []
    model = Actor(acting([CHAIR] * 24))
    jobs = analyze.jobs(sources, model, asked)
    assert analyze.write_analyses(jobs, plans, report, on_error=faults.append) == 1
    assert "b.mp4" in str(faults[0])
    assert [Path(row["source"]).name for row in table("out/events.csv")] == ["a.mp4", "c.mp4"]
    assert Path("out/c.mp4").exists()


# Where angles are measured


def walker(turn: float, **about: object) -> Poses:
    poses = seen_as(COCO17, turned(body(COCO17, knee=40.0), "up", turn))
    return replace(poses, **about)  # type: ignore[arg-type]


def measured(poses: Poses, *, moving: bool = True, space=None):
    analyst = Analyst(AnalysisSettings({}, angles=True, space=space), moving=moving)
    given = [pair for i in range(12) for pair in analyst(Frame(None, i, i / 10, size=SIZE), poses)]
    return [found for _, found in [*given, *analyst.close()[0]]]


@pytest.mark.parametrize("moving", [True, False])
@pytest.mark.parametrize(("turn", "space"), [(90, "2d"), (-80, "2d"), (0, "3d"), (180, "3d")])
def test_who_is_seen_from_the_side_is_measured_in_2d_where_metres_are_guessed(turn, space, moving):
    flat = walker(turn)
    assert flat.xyz is not None
    crooked = replace(flat, xyz=flat.xyz * np.array([1, 1, 0.5], np.float32))  # depth is wrong
    found = measured(crooked, moving=moving)
    assert {one.spaces for one in found} == {(space,)}
    knee = found[0].angle_deg("left_knee")[0]
    if space == "2d":
        assert knee == pytest.approx(40, abs=1.5)
    assert np.isnan(found[0].angle_deg("left_hip_abduction")[0]) == (space == "2d")
    assert {one.spaces for one in measured(crooked, moving=moving, space="3d")} == {("3d",)}


def test_metres_that_are_measured_are_used_from_every_side():
    """Of markers (.trc, .c3d) there are no pixels; MeTRAbs measures depth from the camera."""
    side = walker(90)
    assert side.xyz is not None
    camera = replace(side, origin="camera", xyz=side.xyz + np.array([0, 0, 4], np.float32))
    markers = replace(camera, xy=np.full_like(side.xy, np.nan))
    for poses in (camera, markers):
        assert not depth_is_estimated(poses)
        assert {one.spaces for one in measured(poses)} == {("3d",)}
    placed = replace(camera, depth=np.zeros_like(side.score))  # BlazePose's, put before a camera
    assert {one.spaces for one in measured(placed)} == {("2d",)}


def test_people_of_one_film_are_measured_as_each_is_seen_and_files_say_so(tmp_path):
    poses = [Poses.join(walker(90), replace(walker(0), person=np.array([2]))) for _ in range(30)]
    record = recorded(tmp_path / "p.jsonl", poses)
    asked = analyze.asked(AnalysisWords(rules="", angles=True))
    save = AnalysisOutputs.parse("plot,parquet")
    report = AnalysisReport(Path("out"), asked, save)
    found = record_of(record)
    assert found is not None
    sources = sources_of(found)
    plans = analyze.plans(sources, report, found, overwrite=False)
    jobs = analyze.jobs_of(found, sources, asked, save)
    assert not analyze.write_analyses(jobs, plans, report, on_error=print)
    rows = table("out/angles.csv")
    assert {(row["person"], row["space"]) for row in rows} == {("1", "2d"), ("2", "3d")}
    moved = {(row["person"], row["space"]) for row in table("out/motion.csv") if row["min"]}
    assert moved == {("1", "2d"), ("2", "3d")}
    import pyarrow.parquet as parquet

    columns = parquet.read_table("out/angles.parquet").to_pydict()
    assert columns["space"] == [row["space"] for row in rows]
    drawn = [one.spaces for *_, one in vit.analyze_frames(record, rules="", angles=True)]
    assert set(drawn) == {("2d", "3d")}


def test_what_is_drawn_of_an_angle_is_what_the_table_has(tmp_path):
    """Also where the side somebody faces is told by the frames around."""
    turns = [*np.linspace(75, 105, 20), *np.linspace(105, 75, 20)]
    poses = [walker(float(turn)) for turn in turns]
    for one in poses[7:9]:
        one.score[0, [COCO17["nose"], COCO17["left_ear"]]] = 0  # which way is not told
    record = recorded(tmp_path / "p.jsonl", poses)
    found = [one for *_, one in vit.analyze_frames(record, rules="", angles=True)]
    track = next(iter(vit_tracks(record)))
    from vitruvian.analysis import motion
    from vitruvian.analysis.angles import angle_names

    wanted = motion.angles_over_time_deg(track, "2d")
    for name in ("left_hip_flexion", "left_knee_flexion", "trunk_lean"):
        drawn = [one.angle_deg(name)[0] for one in found]
        np.testing.assert_allclose(drawn, wanted[:, angle_names("2d").index(name)], atol=1e-3)
    assert np.isfinite(found[7].angle_deg("left_hip_flexion")[0])


def vit_tracks(record: Path):
    from vitruvian.body.track import tracks

    return tracks(iter(vit.read(record)))


@pytest.mark.shared
@pytest.mark.weights
def test_a_walk_from_the_side_straightens_the_knee(blazepose, shared):
    """A woman walks by: in BlazePose's metres her knee is never below 20 degrees."""
    blazepose("full")
    clip = shared / "data" / "videos" / "sports2d_demo.mp4"
    how = {"start": 2.4, "max_frames": 75, "num_poses": 2, "rules": "", "angles": True}
    knees: dict[int, list[float]] = {}
    spaces: dict[int, set[str]] = {}
    for _, poses, found in vit.analyze_frames(clip, **how):
        for row, person in enumerate(poses.person.tolist()):
            knees.setdefault(person, []).append(found.angle_deg("left_knee")[row])
            spaces.setdefault(person, set()).add(found.spaces[row])
    walks = max((p for p in knees if spaces[p] == {"2d"}), key=lambda p: len(knees[p]))
    assert len(knees[walks]) > 50
    assert np.nanpercentile(knees[walks], 5) < 12


# What cannot be worked out


MARKERS = Skeleton.table("rig", "tests", ("A", "", 0.1), ("B", "A", 0.1))
HEADLESS = Skeleton.table(
    "legs", "tests", *((f"{s}_{p}", "", 0.1) for s in ("left", "right") for p in ("hip", "knee"))
)


def done(record: Path, *words: str):
    """`vitruvian analyze` in this process: exit code, standard output, errors, remarks."""
    from typer.testing import CliRunner

    from vitruvian.cli.app import app

    got = CliRunner().invoke(app, ["analyze", str(record), *words, "--out", "out", "--offline"])
    error = got.exception if isinstance(got.exception, VitruvianError) else None
    if got.exception is not None and error is None and not isinstance(got.exception, SystemExit):
        raise got.exception
    return got.exit_code, got.stdout, [*got.stderr.splitlines(), *([str(error)] if error else [])]


def standing(skeleton: Skeleton, count: int = 12) -> list[Poses]:
    return [seen_as(skeleton, body(skeleton)) for _ in range(count)]


@pytest.mark.parametrize(
    "words", [("--angles",), ("--rules", "seated"), ("--rules", "all", "--angles")]
)
def test_where_nothing_can_be_worked_out_it_says_so_and_fails(tmp_path, words):
    record = recorded(tmp_path / "p.jsonl", standing(MARKERS))
    code, _, said = done(record, *words, "--save", "tables")
    assert code == 1
    (line,) = [line for line in said if "(from keypoints only)" not in line]
    assert "nothing can be computed" in line
    assert "'A, B'" in line or "A, B" in line
    assert len(line) <= 320


def test_what_cannot_be_worked_out_is_listed(tmp_path):
    record = recorded(tmp_path / "p.jsonl", standing(HEADLESS))
    words = ("--rules", "seated,arms_raised", "--angles", "--space", "3d", "--save", "tables")
    code, _, said = done(record, *words)
    assert code == 0  # thighs that hang are not seated
    assert "angles cannot be computed from legs: left_knee_flexion" in said[0]
    assert "arms_raised cannot be evaluated: there is no left_elbow" in said[1]
    Path("out/events.csv").unlink()
    record = recorded(tmp_path / "q.jsonl", standing(COCO17))
    words = ("--rules", "seated", "--angles", "--space", "2d", "--save", "tables", "--overwrite")
    code, _, said = done(record, *words)
    assert code == 0
    (line,) = said
    assert "6 of 32 angles cannot be computed from coco17: left_wrist_flexion" in line


def test_a_portrait_is_no_missing_keypoint(tmp_path):
    """The hips are not seen, but they have a name: that is unknown, and no failure."""
    poses = standing(COCO17)
    for one in poses:
        one.score[:, COCO17["left_hip"] :] = 0
    record = recorded(tmp_path / "p.jsonl", poses)
    code, out, said = done(record, "--rules", "seated", "--save", "tables")
    assert (code, said) == (0, [])
    assert "100% unknown" in out


def test_events_are_a_parquet_table_as_well(tmp_path):
    import pyarrow.parquet as parquet

    record = recorded(tmp_path / "p.jsonl", acting(SITS))
    assert done(record, "--rules", "seated", "--save", "parquet")[0] == 0
    (event,) = parquet.read_table("out/events.parquet").to_pylist()
    assert (event["rule"], event["person"], event["start"]) == ("seated", 1, 1.0)
    assert not Path("out/angles.parquet").exists()


def test_what_was_too_short_is_counted(tmp_path):
    record = recorded(tmp_path / "p.jsonl", acting([*[{}] * 9, *[CHAIR] * 3, *[{}] * 9]))
    _, out, _ = done(record, "--rules", "seated", "--save", "tables")
    assert "0 of 1 person, 0.0 s, 0% unknown; 1 shorter than 0.5 s not counted" in out
    _, out, _ = done(
        record, "--rules", "seated", "--save", "tables", "--overwrite", "--minimum", "0.1"
    )
    assert "1 of 1 person, 0.2 s" in out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--angles", "--save", "sheet"), ("--save sheet", "--rules")),
        (("--angles", "--on", "0.7"), ("--on", "--rules")),
        (("--on", "0.3"), ("off is 0.4", "on is 0.3")),
        (("--person", "a"), ("person is 'a'", "track ids")),
        (("--person", "1,,2"), ("person is '1,,2'",)),
        (("--space", "2d"), ("--space", "--angles")),
        (("--angles", "--minimum", "0.1"), ("--minimum", "--rules")),
        (("--model", "yolov8n-pose"), ("--model", "no model runs on a record")),
        (("--num-poses", "3"), ("--num-poses", "record")),
        (("--detect-every", "2"), ("--detect-every", "record")),
        (("--smooth", "no", "--cutoff-hz", "3"), ("cutoff_hz (3)", "not no")),
        (("--minimum", "inf"), ("--minimum is 'inf'", "1e+12")),
        (("--gap", "nan"), ("--gap is 'nan'",)),
    ],
)
def test_what_would_have_no_effect_is_refused(tmp_path, words, parts):
    record = recorded(tmp_path / "p.jsonl", acting(SITS))
    code, _, said = done(record, *words)
    assert code == 1
    assert not Path("out").exists()
    for part in parts:
        assert part in said[-1]


@pytest.mark.parametrize(
    ("command", "words", "part"),
    [
        (
            "predict",
            ("--out", "a.jsonl", "--save", "csv"),
            "for --save csv give a folder",
        ),
        (
            "predict",
            ("--out", "a.csv", "--save", "json,plot"),
            "for --save json,plot give a folder",
        ),
        ("predict", ("--out", "a", "--save", "mot"), "only images"),
        ("analyze", ("--save", "plot", "--angles"), "--save plot is for videos"),
        ("analyze", ("--minimum", "1"), "--minimum is for videos"),
    ],
)
def test_a_save_switch_without_effect_is_refused(command, words, part):
    from typer.testing import CliRunner

    from vitruvian.cli.app import app

    got = CliRunner().invoke(app, [command, "sample", "--model", "vitruvian-2d", *words])
    with refused(part):
        assert got.exception is not None
        raise got.exception
    assert not list(Path().iterdir())


def test_an_angle_of_metres_alone_is_measured_in_3d(tmp_path):
    record = recorded(tmp_path / "p.jsonl", acting([{}] * 12))
    done(record, "--angle", "left_hip_abduction", "--save", "tables")
    rows = table("out/angles.csv")
    assert {row["space"] for row in rows} == {"3d"}
    assert all(row["left_hip_abduction_deg"] for row in rows)


def test_every_rule_can_be_told_of_a_body_without_arms():
    """Rules that need what is not there do not end those that do not."""
    armless = Skeleton.table(
        "armless",
        "tests",
        *((f"{s}_{p}", "", 0.1) for s in ("left", "right")
          for p in ("shoulder", "hip", "knee", "ankle")),
    )  # fmt: skip
    rules = {name: rule for name, rule in RULES.items() if name != "hands_near_body"}
    poses = seen_as(armless, body(armless))
    ((_, found),) = Analyst(AnalysisSettings(rules), moving=False)(
        Frame(np.zeros((*SIZE[::-1], 3), np.uint8)), poses
    )
    assert found.degrees["seated"][0] == 0
    assert np.isnan(found.degrees["hands_in_pockets"]).all()
    assert "left_elbow" in found.lacks["hands_at_pockets"]
    assert not found.lacks["seated"]


# Timing: what is told of each frame, and the table, whatever the frames come from


def uneven(count: int) -> list[float]:
    """Times of a variable frame rate: 8 to 40 frames a second, milliseconds."""
    steps = np.random.default_rng(4).choice([0.025, 0.033, 0.05, 0.125], count)
    return np.round(np.cumsum(steps) - steps[0], 3).tolist()


@pytest.mark.parametrize("of", ["video", "record", "record without its video"])
@pytest.mark.parametrize("times", ["even", "variable"])
@pytest.mark.parametrize("stride", [1, 3])
def test_states_and_events_agree_to_the_frame(of, times, stride, video):
    """Arms go up at frame 20 and down after frame 59; once they are up for four frames only."""
    seconds = [i / 25 for i in range(100)] if times == "even" else uneven(100)
    does = [UP if 20 <= i < 60 or 70 <= i < 74 else {} for i in range(100)]
    clip = video("clip.mp4", seconds, size=SIZE)
    every = range(0, 100, stride)
    poses = acting([does[i] for i in every])
    how = {"rules": "arms_raised", "save": "tables", "out": "out", "minimum": 0.4, "gap": 0.2}
    frames = {key: how[key] for key in ("rules", "minimum", "gap")}
    source: str | Path = clip
    if of == "video":
        vit.analyze(clip, Actor(poses), stride=stride, **how)
        found = list(vit.analyze_frames(clip, Actor(poses), stride=stride, **frames))
    else:
        source = clip if of == "record" else "gone.mp4"
        with vit.open_sink("p.jsonl") as sink:
            for i, one in zip(every, poses, strict=True):
                sink.write(Frame(None, i, seconds[i], str(source), size=SIZE), one)
        vit.analyze("p.jsonl", **how)
        found = list(vit.analyze_frames("p.jsonl", **frames))
    assert [frame.index for frame, *_ in found] == list(every)
    held = [i for i in every if 20 <= i < 60]
    for side in ("left", "right"):
        yes = [frame for frame, _, one in found if one.state("arms_raised", side) == ["yes"]]
        assert [frame.index for frame in yes] == held
        (row,) = [row for row in table("out/events.csv") if row["side"] == side]
        assert float(row["start"]) == pytest.approx(seconds[held[0]], abs=1e-3)
        assert float(row["end"]) == pytest.approx(seconds[held[-1]], abs=1e-3)
        assert (yes[0].seconds, yes[-1].seconds) == (
            *(pytest.approx(float(row["start"])), pytest.approx(float(row["end"]))),
        )
        assert int(row["frames"]) == len(held)
