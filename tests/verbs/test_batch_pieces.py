"""Long videos in pieces: each frame is that of a single run, and everyone keeps the track id."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest

from commands import process, started
from conftest import TOY, need, stream_defaults
from toy_yolo import toy_yolo
from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.formats.records import Record
from vitruvian.frame import Frame
from vitruvian.sources.video import KeyFrames, Span, VideoFile
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.batch import batch as driver
from vitruvian.verbs.batch.join import match
from vitruvian.verbs.batch.pieces import CONTEXT, Piece, cut_pieces
from vitruvian.verbs.batch.work import RECORD, BatchSettings, Done, Job, Worker

SIZE = (96, 48)
COLOURS = ((250, 20, 20), (20, 20, 250))
SHAPE = np.array([[0, -6], [-4, 4], [4, 4]], np.float32)  # keypoints of TOY from the middle
RATE = 10


def crossing(seconds: float, person: int) -> float:
    """Where somebody is, 0..1: two go to and fro, and meet every ten seconds."""
    way = seconds / 10 % 2
    there = way if way < 1 else 2 - way
    return there if person == 0 else 1 - there


def film(
    path: Path,
    seconds: float = 40,
    *,
    times: Sequence[float] | None = None,
    there: Callable[[float, int], bool] = lambda at, person: True,
    **options: str,
) -> Path:
    """A video of two coloured people who cross each other."""
    times = [i / RATE for i in range(int(seconds * RATE))] if times is None else times
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=RATE)
        (stream.width, stream.height), stream.pix_fmt = SIZE, "yuv420p"
        stream.options = {"g": "20", "crf": "10", "preset": "ultrafast", **options}
        stream.codec_context.time_base = Fraction(1, 1000)
        for at in times:
            rgb = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
            for person, colour in enumerate(COLOURS):
                if there(at, person):
                    x = int(10 + (SIZE[0] - 20) * crossing(at, person))
                    rgb[6 + 14 * person : 26 + 14 * person, x - 6 : x + 6] = colour
            shown = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            shown.pts, shown.time_base = round(at * 1000), Fraction(1, 1000)
            file.mux(stream.encode(shown))
        file.mux(stream.encode(None))
    return path


class Colours:
    """A model that finds people by their colour, in each frame by itself."""

    name, runs_on, skeleton = "colours", "nothing", TOY

    def __init__(self) -> None:
        self.weights, self.options = dict[str, str](), dict[str, Any]()
        self.wanted = stream_defaults({})

    def __call__(self, frames: Sequence[Frame], look: Any = None) -> list[Poses]:
        return list(map(self.one, frames))

    def one(self, frame: Frame) -> Poses:
        red, _, blue = np.moveaxis(frame.rgb.astype(int), -1, 0)
        where = [np.argwhere(mask)[:, ::-1] for mask in (red - blue > 60, blue - red > 60)]
        middles = [each.mean(axis=0) for each in where if len(each) > 20]
        if not middles:
            return Poses.nobody(TOY)
        xy = np.stack([SHAPE + middle for middle in middles]).astype(np.float32)
        n = len(xy)
        box = np.concatenate([xy.min(axis=1) - 2, xy.max(axis=1) + 2], axis=1)
        score, person = np.full((n, 3), 0.9, np.float32), np.full(n, -1)
        return Poses(TOY, xy, score, box, np.full(n, 0.9, np.float32), person)


def worker(**settings: Any) -> Worker:
    """One that knows its model already."""
    one = Worker(BatchSettings("colours", **settings))
    one._models[True] = Colours()
    return one


def made(one: Worker, job: Job) -> Done:
    """What a worker did; errors are raised."""
    done = one(job)
    if isinstance(done, VitruvianError):
        raise done
    return done


def both_ways(
    path: Path,
    folder: Path,
    seconds: float,
    least: int = 2,
    options: Any = None,
    **settings: Any,
) -> tuple[Path, Path, tuple[Piece, ...]]:
    """The folders of a video done as a whole, and in pieces."""
    one = settings.pop("one", None) or worker(**settings)
    paths, options = (str(path),), options or {}
    made(one, Job("a", paths, options, folder / "whole"))
    planned = made(one, Job("a", paths, options, folder / "plan", cut=seconds))
    assert len(planned.pieces) >= least
    records = []
    for i, piece in enumerate(planned.pieces):
        made(one, Job("a", paths, options, folder / str(i), piece=piece))
        records.append((folder / str(i), piece))
    made(one, Job("a", paths, options, folder / "joined", records=tuple(records)))
    return folder / "whole", folder / "joined", planned.pieces


def same_record(one: Path, other: Path) -> None:
    """Assert that two records are equal, to the last digit."""
    lines, others = ((each / RECORD).read_text().splitlines() for each in (one, other))
    assert len(lines) == len(others) > 1
    for line, another in zip(lines, others, strict=True):
        assert json.loads(line) == json.loads(another)


KINDS: dict[str, dict[str, Any]] = {
    "a.mp4": {},
    "first_key_only.mp4": {"g": "10000", "x264-params": "scenecut=0:keyint=10000"},
    "b_frames.mp4": {"x264-params": "open-gop=1:bframes=3:scenecut=0:keyint=24"},
    "b_frames.mkv": {"x264-params": "bframes=3:b-pyramid=normal:keyint=50"},
    "a.ts": {"g": "12"},
    "uneven.mp4": {"times": [i / 10 + 0.037 * (i % 3) for i in range(400)]},
    "gap.mkv": {"times": [*(i / 10 for i in range(150)), *(35 + i / 10 for i in range(150))]},
}


@pytest.mark.parametrize("track", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_what_is_joined_is_what_one_run_gives(name: str, track: bool, tmp_path: Path):
    """To the last digit for a model without state, also the ids of people who cross at seams."""
    path = film(tmp_path / name, **KINDS[name])
    how = {"wanted": Wanted(track=track)}
    whole, joined, _ = both_ways(path, tmp_path, 13, 3, **how)
    same_record(whole, joined)
    people = {n for _, poses in Record(joined / RECORD) for n in poses.person.tolist()}
    assert people == (set(range(1, 1 + max(people))) if track else {-1})
    assert not track or len(people) < 6


def test_people_who_meet_at_a_seam_keep_their_ids(tmp_path: Path):
    path = film(tmp_path / "a.mp4")  # they meet at 5, 15, 25 and 35 s
    whole, joined, pieces = both_ways(path, tmp_path, 20)
    (seam,) = (piece.first for piece in pieces[1:])
    assert abs(seam - 20) < 2
    pieces = tuple(replace(piece, **at) for piece, at in zip(pieces, MEETING, strict=True))
    one = worker()
    for i, piece in enumerate(pieces):
        made(one, Job("a", (str(path),), {}, tmp_path / str(i), piece=piece))
    records = tuple((tmp_path / str(i), piece) for i, piece in enumerate(pieces))
    made(one, Job("a", (str(path),), {}, tmp_path / "again", records=records))
    same_record(whole, joined)
    same_record(whole, tmp_path / "again")
    assert {n for _, poses in Record(whole / RECORD) for n in poses.person.tolist()} == {1, 2}


MEETING = ({"end": 20.0}, {"start": 10.0, "first": 15.0})


def test_ids_count_by_first_appearance_in_the_whole(tmp_path: Path):
    """In the second piece the later one comes first; somebody is away while a piece begins."""

    def there(at: float, person: int) -> bool:
        return at > 12 if person == 0 else not 18 < at < 31

    path = film(tmp_path / "a.mp4", there=there)
    whole, joined, _ = both_ways(path, tmp_path, 13, 3)
    same_record(whole, joined)
    first = {n: f.seconds for f, poses in reversed([*Record(joined / RECORD)])
             for n in poses.person.tolist()}  # fmt: skip
    assert len(first) == 3
    assert sorted(first, key=lambda n: first[n]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("span", "options"),
    [(Span(stride=3), {}), (Span(start=3.33, end=36.1), {}), (Span(), {"start": 4, "end": 33.5})],
)
def test_a_part_and_a_stride_are_cut_like_the_whole(span: Span, options: Any, tmp_path: Path):
    path = film(tmp_path / "a.mp4", there=lambda at, person: True)
    whole, joined, _ = both_ways(path, tmp_path, 11, 2, options, span=span)
    same_record(whole, joined)


def test_files_beside_the_record_are_those_of_one_run(tmp_path: Path):
    need("pyarrow")
    import pyarrow.parquet as parquet

    path = film(tmp_path / "a.mp4")
    save = ("json", "csv", "mot", "video", "parquet")
    whole, joined, _ = both_ways(path, tmp_path, 20, save=save)
    names = sorted(each.name for each in whole.iterdir())
    assert sorted(each.name for each in joined.iterdir()) == names
    assert {"a.csv", "a.mp4", "a.txt"} <= set(names)
    for name in ("a.csv", "a.txt"):
        assert (joined / name).read_text() == (whole / name).read_text()
    one, other = (parquet.read_table(each / "keypoints.parquet") for each in (whole, joined))
    assert one.schema.equals(other.schema, check_metadata=True)
    frames, others = ([f.rgb for f in VideoFile(str(each / "a.mp4"), Span())
                       if isinstance(f, Frame)] for each in (whole, joined))  # fmt: skip
    assert len(frames) == len(others) == 400
    assert all(np.array_equal(*pair) for pair in zip(frames, others, strict=True))


@pytest.mark.parametrize("packet", [105, 185, 395])
def test_lost_frames_are_said(packet: int, tmp_path: Path):
    """Also those of a piece that is not the last, which is read up to its end and no further."""
    path = film(tmp_path / "a.mp4", g="10")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        places = [(each.pos or 0, each.size) for each in file.demux(video=0) if each.size]
    at, size = places[packet]
    data[at : at + size] = bytes(size)
    path.write_bytes(data)
    whole, joined, _ = both_ways(path, tmp_path, 20)
    same_record(whole, joined)
    assert len([*Record(joined / RECORD)]) == 399
    one, records = worker(), []
    for i, piece in enumerate(one._pieces(Job("a", (), {}, tmp_path, cut=20), [str(path)])):
        made(one, Job("a", (str(path),), {}, tmp_path / str(i), piece=piece))
        records.append((tmp_path / str(i), piece))
    (fault,) = made(one, Job("a", (str(path),), {}, tmp_path / "b", records=tuple(records))).faults
    assert "damaged" in fault
    assert "could not be decoded" in fault


@pytest.mark.shared
@pytest.mark.weights
def test_blazepose_in_pieces_is_as_near_as_its_regions_allow(
    shared: Path, blazepose: Callable[..., Any], tmp_path: Path
):
    """Where people are lost and found anew it is the same, elsewhere a few percent of a height.

    Each region comes from the last, so that a start in the middle never has quite the same ones.
    """
    path = shared / "data/videos/intel_one_by_one_person.mp4"
    one = Worker(BatchSettings("blazepose-lite"))
    one._models[True] = blazepose("lite")
    parts = {"start": 15.0, "end": 60.0}
    whole, joined, (_, piece) = both_ways(path, tmp_path, 22, 2, parts, one=one)
    same, off, seam = 0, list[float](), piece.first
    pairs = list(zip(Record(whole / RECORD), Record(joined / RECORD), strict=True))
    for (frame, poses), (other, others) in pairs:
        assert (frame.index, frame.seconds) == (other.index, other.seconds)
        assert frame.seconds < seam or abs(len(poses) - len(others)) < 2
        if poses.person.tolist() == others.person.tolist():
            same += 1
            height = poses.box[:, 3] - poses.box[:, 1]
            away = np.linalg.norm(poses.xy - others.xy, axis=2) / height[:, None]
            off += away[poses.score > 0.5].tolist()
    assert len(pairs) == 450
    assert same > 440
    assert np.median(off) < 0.01
    assert np.percentile(off, 95) < 0.04
    before = [pair for pair in pairs if pair[0][0].seconds < seam]
    assert all(np.array_equal(a.xy, b.xy, equal_nan=True) for (_, a), (_, b) in before)


# Where it is cut

FINE = KeyFrames(tuple(float(i) for i in range(0, 600, 2)), 18000, 599.97)


def test_pieces_cover_everything_once_and_begin_at_key_frames():
    pieces = cut_pieces(FINE, Span(), 100)
    assert len(pieces) == 6
    assert pieces[0] == Piece(0, 0, pieces[1].start + 2 * CONTEXT)
    assert pieces[-1].end is None
    for one, following in pairwise(pieces):
        assert following.start in FINE.times
        assert following.first == following.start + CONTEXT
        assert one.end == following.first + CONTEXT
        assert 80 < following.first - one.first < 120


@pytest.mark.parametrize("seconds", [1, 7, 19.9, 20, 30, 299, 401, 10_000])
def test_pieces_are_longer_than_what_they_have_in_common(seconds: float):
    for span in (Span(), Span(start=100), Span(start=31.7, end=333.3), Span(stride=30)):
        firsts = [piece.first for piece in cut_pieces(FINE, span, seconds)]
        assert len(firsts) != 1
        assert all(b - a > CONTEXT for a, b in pairwise(firsts))


def test_a_video_of_few_frames_has_longer_contexts():
    """People are confirmed after some frames at least."""
    slow = KeyFrames((0.0,), 600, 599.0)
    pieces = cut_pieces(slow, Span(), 100)
    assert len(pieces) == 6
    assert all(29 < piece.first - piece.start < 31 for piece in pieces[1:])
    assert cut_pieces(slow, Span(stride=10), 100) == ()  # pieces would be nothing but context


def test_what_cannot_be_joined_is_done_as_a_whole(tmp_path: Path):
    path = film(tmp_path / "a.mp4")
    for settings in (
        {"save": ("json", "heatmaps")},
        {"span": Span(max_frames=300)},
        {"wanted": Wanted(repair=True)},
    ):
        one = worker(**settings)
        one.settings = (
            replace(one.settings, save=("json",)) if "save" not in settings else one.settings
        )
        assert one._pieces(Job("a", (str(path),), {}, tmp_path / "b", cut=12), [str(path)]) == ()


# Who is who


def test_people_are_matched_by_the_frames_in_which_they_agree(people: Callable[..., Poses]):
    """Not by one frame alone, in which they are where the other one was."""
    here, there = people(1).xy, people(1).xy + 30
    before, after = [], []
    for i in range(9):
        frame = Frame(None, i, i / 10, "a.mp4", size=(96, 96))
        xy = np.concatenate([here, there])
        before.append((frame, people(2, xy=xy, person=np.array([4, 7]))))
        mixed = xy[::-1] if i == 4 else xy
        after.append((frame, people(2, xy=mixed, person=np.array([1, 9]))))
    assert match(before, after) == {4: 1, 7: 9}
    assert match(before[4:5], after[4:5]) == {4: 9, 7: 1}
    assert match(before, []) == match([], after) == {}
    nobody = [(frame, poses.take([])) for frame, poses in after]
    assert match(before, nobody) == {}
    away = [
        (frame, replace(poses, xy=poses.xy + 500, box=poses.box + 500)) for frame, poses in after
    ]
    assert match(before, away) == {}


# The batch


class Here:
    """Two workers of this process, who know their model; `before` each job may raise an error."""

    jobs: ClassVar[list[Job]] = []  # done, in order
    before: ClassVar[Callable[[Job], None]] = staticmethod(lambda job: None)

    def __init__(self, settings: BatchSettings, count: int) -> None:
        self.given = dict[str, Job]()
        self.worker = Worker(settings)
        self.worker._models[True] = Colours()

    def idle(self) -> list[str]:
        return [name for name in ("1", "2") if name not in self.given]

    def submit(self, worker: str, job: Job) -> None:
        self.given[worker] = job

    def done(self) -> list[tuple[str, Done | VitruvianError]]:
        name, job = next(iter(self.given.items()))
        del self.given[name]
        self.jobs.append(job)
        try:
            Here.before(job)
        except VitruvianError as error:
            return [(name, error)]
        return [(name, self.worker(job))]

    def close(self) -> None:
        pass


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> type[Here]:
    monkeypatch.setattr(driver, "WorkerProcesses", Here)
    monkeypatch.setattr(Here, "jobs", [])
    monkeypatch.setattr(Here, "before", staticmethod(lambda job: None))
    return Here


def run(path: Path, out: Path | str, cut: float | None = 13, **more: Any) -> driver.Batch:
    how = {"save": "json", "recursive": False, **more}
    return driver.batch([path], "vitruvian-2d", out=out, cut=cut, **how)


def kinds(jobs: Sequence[Job]) -> str:
    """w: whole, p: piece, j: joined."""
    return "".join("p" if each.piece else "j" if each.records else "w" for each in jobs)


def test_a_batch_gives_the_same_in_pieces(here: type[Here], tmp_path: Path):
    path, lines = film(tmp_path / "a.mp4"), list[str]()
    whole = run(path, tmp_path / "whole", 0)
    assert kinds(here.jobs) == "w"
    done = run(path, tmp_path / "out", say=lines.append, log=tmp_path / "log")
    assert kinds(here.jobs) == "wwpppj"
    assert (done.done, done.frames, done.failures) == (whole.done, whole.frames, 0) == (1, 400, 0)
    same_record(tmp_path / "whole" / "a.mp4", tmp_path / "out" / "a.mp4")
    assert any("3 pieces" in line for line in lines)
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["part"].split(" (")[0] for line in log] == [
        *("piece 1 of 3", "piece 2 of 3", "piece 3 of 3", "joining 3 pieces"),
    ]
    assert log[-1]["sha256"]
    assert not (tmp_path / "out" / ".vitruvian" / "batch-pieces").exists()
    assert run(path, tmp_path / "out").before == 1
    assert len(here.jobs) == 6


def test_pieces_count_in_the_progress(
    here: type[Here], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(driver, "EVERY", 0.0)
    path, lines = film(tmp_path / "a.mp4"), list[str]()
    done = run(path, tmp_path / "out", say=lines.append)
    told = [line for line in lines if "frames/s" in line]
    rates = [float(line.split(", ")[1].split()[0]) for line in told]
    assert rates[0] == 0 < min(rates[1:])  # it is looked for key frames; three pieces, the joining
    assert ["left" in line for line in told] == [False, True, True, True, True, False]
    assert done.frames == 400  # those that pieces share count once


def test_a_video_is_cut_by_itself_only_where_workers_would_wait(
    here: type[Here], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(driver, "AUTO", 20.0)
    (tmp_path / "in").mkdir()
    path = film(tmp_path / "in" / "a.mp4")
    run(path, tmp_path / "one", None)
    assert kinds(here.jobs) == "wppj"
    here.jobs.clear()
    for name in ("b.mp4", "c.mp4"):
        path.with_name(name).write_bytes(path.read_bytes())
    run(path.parent, tmp_path / "three", None)
    assert kinds(here.jobs).count("j") == 1  # the last one
    assert [job.cut for job in here.jobs if not job.piece and not job.records] == [0, 0, 20]


def test_a_piece_that_fails_is_tried_again_alone(here: type[Here], tmp_path: Path):
    path = film(tmp_path / "a.mp4")

    def once(job: Job) -> None:
        if job.piece and job.piece.start and kinds(here.jobs) == "wpp":
            raise VitruvianError("out of memory")

    here.before = staticmethod(once)
    assert run(path, tmp_path / "out").done == 1
    assert kinds(here.jobs) == "wppppj"


def test_a_source_fails_with_its_piece_and_goes_on_from_there(here: type[Here], tmp_path: Path):
    path = film(tmp_path / "a.mp4")

    def second(job: Job) -> None:
        if job.piece and job.piece.start and job.piece.end:
            raise VitruvianError("out of memory")

    here.before = staticmethod(second)
    done = run(path, tmp_path / "out")
    assert (done.done, done.failures) == (0, 1)
    assert done.failed["a.mp4"].startswith("piece 2 of 3 (")
    assert done.failed["a.mp4"].endswith("): out of memory")
    assert not (tmp_path / "out" / "a.mp4").exists()
    assert kinds(here.jobs) == "wpppp"

    here.jobs.clear()
    here.before = staticmethod(lambda job: None)
    assert run(path, tmp_path / "out").done == 1
    assert kinds(here.jobs) == "pj"
    run(path, tmp_path / "whole", 0)
    same_record(tmp_path / "whole" / "a.mp4", tmp_path / "out" / "a.mp4")


def test_pieces_go_through_a_store(here: type[Here], tmp_path: Path):
    """And are found there by the next run; none is left."""
    need("fsspec")
    path, store = film(tmp_path / "a.mp4"), tmp_path / "store"
    words: dict[str, Any] = {"state": tmp_path / "state"}

    def second(job: Job) -> None:
        if job.piece and job.piece.start and job.piece.end:
            raise VitruvianError("out of memory")

    here.before = staticmethod(second)
    assert run(path, store.as_uri(), **words).failures == 1
    assert not (store / "a.mp4").exists()
    assert len([*store.glob(f".vitruvian/batch-pieces/1/*/{RECORD}")]) == 2
    here.jobs.clear()
    here.before = staticmethod(lambda job: None)
    assert run(path, store.as_uri(), **words).done == 1
    assert kinds(here.jobs) == "pj"
    run(path, tmp_path / "whole", 0)
    same_record(tmp_path / "whole" / "a.mp4", store / "a.mp4")
    assert json.loads((store / "a.mp4" / "_SUCCESS").read_text())["sha256"]
    left = {each.name for each in (store / ".vitruvian").rglob("*") if each.is_file()}
    assert left == {"batch.claim", "batch.sqlite"}
    # What an interrupted run has left there is removed by one of another machine, too.
    here.before = staticmethod(second)
    run(path, store.as_uri(), overwrite=True, **words)
    here.before = staticmethod(lambda job: None)
    run(path, store.as_uri(), state=tmp_path / "other")
    assert not [*store.glob(".vitruvian/batch-pieces/*")]


@pytest.mark.parametrize("change", ["file", "settings", "overwrite"])
def test_pieces_of_something_else_are_not_used(here: type[Here], change: str, tmp_path: Path):
    path = film(tmp_path / "a.mp4")

    def joining(job: Job) -> None:
        if job.records:
            raise KeyboardInterrupt

    here.before = staticmethod(joining)
    with pytest.raises(KeyboardInterrupt):
        run(path, tmp_path / "out")
    here.before = staticmethod(lambda job: None)
    here.jobs.clear()
    more: dict[str, Any] = {}
    if change == "file":
        film(path, there=lambda at, person: person == 0)
    else:
        more = {"settings": {"visible": 0.4}, "overwrite": {"overwrite": True}}[change]
    assert run(path, tmp_path / "out", **more).done == 1
    assert kinds(here.jobs) == "wpppj"


def test_kill_9_loses_only_pieces_in_flight(tmp_path: Path):
    """At several moments, of real processes; what is joined in the end is what one run gives."""
    need("openvino")
    path, model = film(tmp_path / "a.mp4", 120), toy_yolo(tmp_path / "toy.xml")
    words = ("batch", path, "--model", model, "--offline", "--save", "json", "--workers", 2)
    kept = tmp_path / "out" / ".vitruvian" / "batch-pieces" / "1"
    for least in (1, 3):
        one = started(*words, "--out", tmp_path / "out", "--cut", 20)
        until = time.monotonic() + 240
        while len([each for each in kept.glob("*") if each.is_dir()]) < least:
            assert one.poll() is None, one.communicate()
            assert time.monotonic() < until
            time.sleep(0.01)
        one.kill()
        one.communicate()
    before = len([each for each in kept.glob("*") if each.is_dir()])
    log = tmp_path / "log"
    done = process(*words, "--out", tmp_path / "out", "--cut", 20, "--log", log)
    assert done.returncode == 0, done.stderr
    parts = [json.loads(line)["part"] for line in log.read_text().splitlines()]
    assert len(parts) == 6 - before + 1
    done = process(*words, "--out", tmp_path / "whole", "--cut", 0)
    assert done.returncode == 0, done.stderr
    same_record(tmp_path / "whole" / "a.mp4", tmp_path / "out" / "a.mp4")
