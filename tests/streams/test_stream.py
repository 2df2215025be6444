"""The loop and its threads: order, errors, the newest image, bounded memory."""

import gc
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import vitruvian as vit
from conftest import stream_defaults, streamed
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.top_down import Started
from vitruvian.sources.open import Pictures, Span, open_source
from vitruvian.sources.threads import AHEAD, BackgroundWriter, Prefetch
from vitruvian.streams import follow
from vitruvian.streams.live import Live
from vitruvian.streams.stream import Stream
from vitruvian.streams.wanted import Wanted

RGB = np.zeros((4, 4, 3), np.uint8)


class Seen:
    """A model that finds nobody and keeps the frames it saw."""

    most = 1
    runs_on = "nothing"

    def __init__(self) -> None:
        self.name, self.weights, self.seen = "seen", dict[str, str](), list[Frame]()
        self.options = {"detect_every": 5, "same_from": 0.5, "smooth": True}
        self.wanted = stream_defaults(self.options)

    def find(self, frames):
        return [Regions.none() for _ in frames]

    def start(self, frame, look):
        return Started(frame, look, lambda: None, lambda: self([frame], [look])[0])

    def __call__(self, frames, look=None):
        self.seen += [frame for frame in frames if look is None or frame not in self.seen]
        return [Poses.nobody(BLAZEPOSE33, "hips") for _ in frames]


def test_read_ahead_keeps_the_order_and_is_bounded():
    made = []

    def items():
        for i in range(50):
            made.append(i)
            yield i

    ahead = iter(Prefetch(items()))
    got = [next(ahead)]
    # The thread can have made what was taken, what waits, and one more in its hands.
    assert len(made) <= 1 + AHEAD + 1
    assert [*got, *ahead] == list(range(50))


def test_an_error_while_reading_ahead_is_raised_where_items_are_taken():
    def items():
        yield 1
        raise OSError("unplugged")

    ahead = iter(Prefetch(items()))
    assert next(ahead) == 1
    with pytest.raises(OSError, match="unplugged"):
        next(ahead)


def test_who_stops_taking_stops_the_reading():
    stopped = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            stopped.set()

    source = items()
    ahead = Prefetch(source)
    taken = iter(ahead)
    next(taken)
    taken.close()  # type: ignore[attr-defined]
    assert not ahead._thread.is_alive()
    source.close()
    assert stopped.is_set()


def test_the_newest_item_wins_where_old_ones_are_not_wanted():
    go, all_made = threading.Event(), threading.Event()

    def items():
        yield 0
        go.wait()
        yield from range(1, 100)
        all_made.set()

    ahead = Prefetch(items(), newest=True)
    taken = iter(ahead)
    assert next(taken) == 0
    go.set()
    all_made.wait()
    assert next(taken) == 99


def test_writing_behind_keeps_the_order_and_raises_what_went_wrong():
    done = []
    with BackgroundWriter(done.append) as write:
        for i in range(20):
            write(i)
    assert done == list(range(20))

    def fail(_):
        raise VitruvianError("disk full")

    with pytest.raises(VitruvianError, match="disk full"), BackgroundWriter(fail) as write:
        write(1)


def test_an_error_of_the_loop_is_not_hidden_by_one_of_the_writing():
    def fail(_):
        raise VitruvianError("disk full")

    def stopped() -> None:
        with BackgroundWriter(fail) as write:
            write(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()


def test_one_bad_picture_does_not_stop_the_rest(tmp_path, picture):
    good = [picture("a.png"), picture("c.png")]
    bad = tmp_path / "b.png"
    bad.write_bytes(b"no picture")
    source = Pictures((good[0], bad, good[1]), Span())
    faults: list[VitruvianError] = []
    got = [frame.source for frame, _ in streamed(source, Seen(), faults.append)]
    assert got == [str(path) for path in good]
    assert len(faults) == 1
    assert "b.png" in str(faults[0])


def test_without_somebody_to_tell_a_bad_picture_is_raised_in_the_end(tmp_path, picture):
    picture("a.png")
    (tmp_path / "b.png").write_bytes(b"")
    pairs = vit.run(tmp_path, Seen())
    assert Path(next(pairs)[0].source).name == "a.png"
    with pytest.raises(VitruvianError, match=r"b\.png.*it is empty"):
        next(pairs)


class Passing:
    """A model that finds two people who walk towards each other, in an order that changes."""

    name, weights, runs_on = "passing", dict[str, str](), "nothing"

    def __init__(self, **options) -> None:
        self.options, self.wanted = options, stream_defaults(options)

    def __call__(self, frames, look=None):
        return [self.people(frame) for frame in frames]

    def people(self, frame: Frame) -> Poses:
        places = np.array([[200 + 4 * frame.index, 300], [800 - 4 * frame.index, 310]])
        if frame.index % 2:
            places = places[::-1]
        half = np.array([40, 100])
        box = np.concatenate([places - half, places + half], axis=1).astype(np.float32)
        shape = np.linspace(0, 1, 33)[:, None] * [80, 200]
        score = np.full((2, 33), 0.9, np.float32)
        xy = (box[:, None, :2] + shape).astype(np.float32)
        return Poses(BLAZEPOSE33, xy, score, box, score[:, 0], np.full(2, -1))


class PassingSideBySide(Passing):
    def stream(self, frames):
        return (self.people(frame) for frame in frames)


@dataclass(frozen=True)
class Clip:
    """Sixty frames of two seconds, or as many images."""

    moving: bool = True
    live: bool = False
    name: str = "clip"

    def __iter__(self):
        return (Frame(None, i, i / 30, "clip", size=(1000, 600)) for i in range(60))

    def count(self):
        return 60


def wrong(error: VitruvianError) -> None:
    raise error


def told(source: Clip, model: Passing) -> list[list[int]]:
    """The numbers of who comes from the left and of who comes from the right, frame by frame."""
    pairs = streamed(source, model, wrong)
    return [poses.person[:: -1 if frame.index % 2 else 1].tolist() for frame, poses in pairs]


@pytest.mark.parametrize("kind", [Passing, PassingSideBySide])
def test_in_a_video_each_keeps_a_number_whatever_finds_them(kind):
    model = kind()
    for _ in range(2):  # and nothing is kept from the first
        assert set(map(tuple, told(Clip(), model))) == {(1, 2)}


@pytest.mark.parametrize("kind", [Passing, PassingSideBySide])
def test_pictures_have_nothing_to_do_with_each_other(kind):
    assert told(Clip(moving=False), kind()) == [[-1, -1]] * 60


@pytest.mark.parametrize("kind", [Passing, PassingSideBySide])
def test_nobody_is_tracked_who_shall_not_be(kind):
    assert told(Clip(), kind(track=False, smooth=True)) == [[-1, -1]] * 60


@pytest.mark.parametrize("kind", [Passing, PassingSideBySide])
@pytest.mark.parametrize("smooth", [False, True])
def test_who_has_a_number_is_smoothed_if_asked_for(kind, smooth):
    for frame, poses in streamed(Clip(), kind(smooth=smooth), wrong):
        if not smooth:
            assert poses.raw is None
            continue
        assert poses.raw is not None
        found = kind().people(frame)
        np.testing.assert_array_equal(poses.raw.xy, found.xy)
        np.testing.assert_array_equal(poses.box, found.box)
        assert np.abs(poses.xy - found.xy).max() < 10  # and not taken for each other
        assert frame.index == 0 or (poses.xy != found.xy).any()


def test_a_model_that_is_followed_need_not_be():
    """Each frame is then looked at as if it were an image."""
    looks = []

    class Looked(Seen):
        def __call__(self, frames, look=None):
            looks.append(look)
            return super().__call__(frames, look)

    model = Looked()
    model.wanted = stream_defaults({"track": False})
    list(streamed(Clip(), model, wrong))
    assert looks == [None] * 60


@pytest.mark.parametrize("kind", [Passing, PassingSideBySide])
def test_who_is_seen_live_keeps_a_number(kind):
    step = Stream(kind(), Wanted(smooth=False, confirm=False))
    for frame in Clip():
        assert step(frame).person.tolist() == ([2, 1] if frame.index % 2 else [1, 2])


def test_a_loaded_model_takes_no_options(picture):
    with pytest.raises(VitruvianError, match="give num_poses to load"):
        vit.run(picture("a.png"), Seen(), num_poses=2)


def test_what_is_no_model_is_one_line():
    with pytest.raises(VitruvianError, match="int is not a model; give a name"):
        vit.stream(3)  # type: ignore[arg-type]


def test_live_gives_results_in_order_and_drops_what_is_old():
    model, got = Seen(), []
    first, go = threading.Event(), threading.Event()

    def on_result(frame, poses):
        got.append(frame.seconds)
        first.set()
        go.wait()

    with Live(model, on_result) as live:
        live.push(Frame(RGB), 0.0)
        first.wait()
        for i in range(1, 50):
            live.push(Frame(RGB), i / 10)
        go.set()
    assert got == [0.0, 4.9]
    assert (live.pushed, live.done) == (50, 2)


@pytest.mark.parametrize("seconds", [1.0, 0.5, float("nan"), float("inf")])
def test_live_wants_increasing_times(seconds):
    with Live(Seen(), lambda *_: None) as live:
        live.push(Frame(RGB), 1.0)
        with pytest.raises(VitruvianError, match="timestamps must increase"):
            live.push(Frame(RGB), seconds)


def test_an_exception_of_the_callback_reaches_the_user():
    failed = threading.Event()

    def on_result(frame, poses):
        failed.set()
        raise RuntimeError("mine")

    live = Live(Seen(), on_result)
    live.push(Frame(RGB), 0.0)
    failed.wait()
    with pytest.raises(RuntimeError, match="mine"):
        live.close()
    live.close()
    with pytest.raises(VitruvianError, match="closed"):
        live.push(Frame(RGB), 1.0)


def test_a_live_stream_that_is_dropped_ends_its_thread():
    live = Live(Seen(), lambda *_: None)
    live.push(Frame(RGB), 0.0)
    thread = live._newest._thread
    del live
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_live_may_be_closed_from_the_callback():
    done = threading.Event()

    def on_result(frame, poses):
        live.close()
        done.set()

    live = Live(Seen(), on_result)
    live.push(Frame(RGB), 0.0)
    assert done.wait(10)
    live.close()


@pytest.mark.weights
@pytest.mark.shared
def test_a_video_is_followed_and_each_person_keeps_a_number(blazepose, shared):
    video = shared / "data" / "videos" / "sports2d_demo.mp4"
    pairs = list(vit.run(video, blazepose("full", num_poses=2, threads=1), start=2.0, end=4.0))
    assert [frame.index for frame, _ in pairs] == list(range(60, 120))
    assert pairs[0][0].seconds == pytest.approx(2.0)
    # One of the two is found in here; a detection beside her is not somebody else.
    assert all(poses.person.tolist() == [1] for _, poses in pairs)
    assert all(poses.raw is not None for _, poses in pairs if len(poses))


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.parametrize(("most", "name"), [(1, "sports2d_demo"), (4, "intel_one_by_one_person")])
def test_the_next_frame_is_begun_early_with_the_same_results(
    most, name, blazepose, shared, monkeypatch
):
    """One by one, no next frame is known."""
    video = shared / "data" / "videos" / f"{name}.mp4"
    span = Span(11, 13) if most > 1 else Span(0, 1)
    model, (source,) = blazepose("lite", num_poses=most), open_source(str(video), span)
    guessed: list[bool] = []
    same = follow._same
    monkeypatch.setattr(follow, "_same", lambda a, b: guessed.append(same(a, b)) or guessed[-1])
    errors: list[VitruvianError] = []
    wanted = Wanted(confirm=False)
    each, together = Stream(model, wanted), list(Stream(model, wanted).run(source, errors.append))
    assert not errors
    assert guessed.count(True) > 0.25 * len(together)
    for (_, a), frame in zip(together, source, strict=True):
        assert isinstance(frame, Frame)
        b = each(frame)
        for part in ("xy", "score", "person", "xyz", "depth", "presence", "box"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))


@pytest.mark.weights
@pytest.mark.shared
def test_smoothing_takes_jitter_away(blazepose, shared):
    """Accelerations of what is smoothed are smaller than those of what the network says."""
    video = shared / "data" / "videos" / "sports2d_demo.mp4"
    pairs = [poses for _, poses in vit.run(video, blazepose("full", threads=1), max_frames=60)]
    kept = [poses for poses in pairs if len(poses) and poses.person[0] == pairs[-1].person[0]]
    for what, share, apart in (("xy", 0.9, 5), ("xyz", 0.75, 0.02)):
        smooth = np.stack([getattr(poses, what)[0] for poses in kept])
        raw = np.stack([getattr(poses.raw, what)[0] for poses in kept])
        jitter = [np.median(np.abs(np.diff(values, 2, axis=0))) for values in (smooth, raw)]
        assert jitter[0] < share * jitter[1]
        assert np.abs(smooth - raw).mean() < apart


@pytest.mark.weights
def test_a_frame_is_not_changed_by_looking_at_it(blazepose):
    rgb = np.random.default_rng(0).integers(0, 255, (120, 90, 3), dtype=np.uint8)
    frame = Frame(rgb.copy())
    blazepose("full")([frame])
    np.testing.assert_array_equal(frame.rgb, rgb)
    assert replace(frame, index=3).size == (90, 120)
