"""Pictures of every kind, videos with real timestamps, cameras, streams; and bad ones of each."""

import io
import struct
import sys
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from conftest import grey, is_one_line, refused
from pictures import COLOURS, UPRIGHT, close, everything, only_error, only_source
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.sources.open import PICTURES, VIDEOS, Pictures, Span, VideoFile, open_source

# Images


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "jp2", "ppm", "gif", "webp", "jpg"])
def test_a_picture_comes_as_it_is(suffix, picture):
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}
    path = picture(f"a.{suffix}", COLOURS, **options.get(suffix, {}))
    (frame,) = everything(path)
    close(frame, COLOURS, 3 if suffix == "jpg" else 0)
    assert frame.rgb.dtype == np.uint8
    assert (frame.size, frame.index, frame.seconds) == ((48, 32), 0, 0.0)
    assert frame.source == str(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_grey_becomes_three_times_the_same(suffix, picture):
    values = COLOURS[..., 0]
    (frame,) = everything(picture(f"grey.{suffix}", values, "L", **{"quality": 100}))
    close(frame, np.stack([values] * 3, axis=-1), 2 if suffix == "jpg" else 0)


def test_transparency_is_dropped(picture):
    rgba = np.concatenate([COLOURS, np.full((32, 48, 1), 7, np.uint8)], axis=-1)
    close(everything(picture("rgba.png", rgba, "RGBA"))[0], COLOURS, 0)
    # OpenCV multiplies that of a TIFF in, which would leave it nearly black.
    with refused("rgba.tif", "save it as PNG"):
        Frame.read(picture("rgba.tif", rgba, "RGBA"))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_become_eight(suffix, picture):
    """Within 1: from 65535 to 255 some divide by 257 and some drop the lower byte."""
    values = COLOURS[..., 0].astype("<u2") * 257
    want = np.stack([COLOURS[..., 0]] * 3, axis=-1)
    close(everything(picture(f"deep.{suffix}", values, "I;16"))[0], want, 1)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_printers_colours_become_red_green_blue(suffix, picture):
    """Without a profile black is 0: RGB = 255 - CMY."""
    cmyk = np.concatenate([255 - COLOURS, np.zeros((32, 48, 1), np.uint8)], axis=-1)
    close(everything(picture(f"cmyk.{suffix}", cmyk, "CMYK", **{"quality": 100}))[0], COLOURS, 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_orientation_says(orientation, picture):
    path = picture("exif.jpg", COLOURS, orientation=orientation, quality=100, subsampling=0)
    (frame,) = everything(path)
    close(frame, UPRIGHT[orientation](COLOURS))


@pytest.mark.parametrize(
    "name", ["a b.png", "Läufer übt.png", "走る人.png", "-.png", "CAPITALS.PNG"]
)
def test_a_file_may_have_any_name(name, picture):
    (frame,) = everything(picture(f"folder of mine/{name}", COLOURS))
    close(frame, COLOURS, 0)


def test_one_pixel_is_a_picture(picture):
    (frame,) = everything(picture("one.png", np.full((1, 1, 3), 9, np.uint8)))
    assert frame.rgb.tolist() == [[[9, 9, 9]]]


def png(width: int, height: int) -> bytes:
    """A PNG of 60-odd bytes that claims this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"this is a text about images\n", "not an image"),
        (bytes(3000), "not an image"),
        (b"\xff\xd8", "cannot read"),
        (b"\x89PNG\r\n\x1a\n", "cannot read"),
        (png(60_000, 60_000), "179 million pixels"),
        (png(1 << 30, 1), "pixels"),
        (png(40_000, 10), "cannot read"),
        (png(0, 10), "cannot read"),
    ],
    ids=["empty", "text", "zeros", "2 bytes", "8 bytes", "huge", "wide", "long", "no width"],
)
def test_what_is_no_picture_is_one_clear_line(data, said, suffix, tmp_path: Path, capfd):
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(data)
    only_error(path, str(path), said)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_picture_cut_short_is_one_clear_line(suffix, share, picture, rng, capfd):
    """Noise, so that what is missing is the image and not some header."""
    path = picture(f"short.{suffix}", rng.integers(0, 256, (64, 64, 3), np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    only_error(path, "cannot read", str(path))


def test_a_name_that_no_file_can_have_is_one_line(tmp_path: Path):
    with refused("too long", "aaa ... aaa"):
        open_source(tmp_path / ("a" * 300 + ".jpg"))


def test_a_missing_file_is_one_clear_line(tmp_path: Path):
    with refused("no such file or folder", str(tmp_path / "none.png")):
        open_source(tmp_path / "none.png")
    with refused("cannot read"):
        Frame.read(tmp_path / "none.png")


def test_a_bad_picture_among_good_ones_is_said_in_its_place(picture, tmp_path: Path):
    names = [picture("1.png", COLOURS), tmp_path / "2.png", picture("3.png", COLOURS)]
    names[1].touch()
    first, bad, last = everything(names)
    is_one_line(bad, "2.png", "it is empty")
    assert (first.index, last.index) == (0, 2)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 40_000, 3), np.uint8),
        [[1, 2, 3]],
    ],
    ids=["grey", "RGBA", "float", "empty", "too long", "list"],
)
def test_a_frame_refuses_what_is_no_rgb_picture(pixels):
    with refused("pixels" if np.shape(pixels) == (1, 40_000, 3) else "(H, W, 3) uint8 RGB"):
        Frame(pixels)


def test_a_frame_from_a_record_has_no_pixels_and_says_so():
    frame = Frame(None, 3, 0.1, "match.mp4", size=(640, 480))
    assert frame.size == (640, 480)
    with refused("frame 3 of 'match.mp4'", "no pixels"):
        _ = frame.rgb


# Words


def test_a_folder_gives_its_pictures_in_order_and_leaves_the_rest(picture, tmp_path: Path):
    for name in ("b.png", "a.jpg", "C.PNG"):
        picture(f"in/{name}")
    (tmp_path / "in" / "notes.txt").write_text("hello")
    picture("in/deeper/d.png")
    source = only_source(tmp_path / "in")
    assert [path.name for path in source.paths] == ["C.PNG", "a.jpg", "b.png"]
    assert [frame.index for frame in source] == [0, 1, 2]
    assert (source.name, source.count(), source.moving, source.live) == ("in", 3, False, False)


def test_a_folder_may_hold_both_pictures_and_videos(picture, video, tmp_path: Path):
    video("b.mp4")
    for name in ("a.png", "c.png", "d.png"):
        picture(name)
    sources = open_source(tmp_path)
    assert [source.name for source in sources] == ["a.png", "b.mp4", sources[2].name]
    assert [source.count() for source in sources] == [1, 5, 2]
    assert [source.moving for source in sources] == [False, True, False]


def test_a_pattern_gives_what_matches_also_in_deeper_folders(picture, tmp_path: Path):
    for name in ("a.png", "b.png", "c.jpg", "deeper/d.png"):
        picture(name)
    source = only_source(str(tmp_path / "*.png"))
    assert [path.name for path in source.paths] == ["a.png", "b.png"]
    source = only_source(str(tmp_path / "**" / "*.png"))
    assert [path.name for path in source.paths] == ["a.png", "b.png", "d.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(picture):
    source = only_source(picture("a[1].png"))
    assert source.count() == 1


def test_a_list_on_standard_input_is_read(picture, video, monkeypatch):
    lines = f"{picture('a.png')}\n\n  {picture('b c.png')}  \n{video('v.mp4')}\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert [source.name for source in open_source("-")][1] == "v.mp4"


def test_the_sample_is_a_portrait():
    (frame,) = everything("sample")
    assert frame.size == (512, 600)


def test_pictures_can_be_thinned_and_limited(picture):
    paths = [picture(f"{i}.png") for i in range(7)]
    assert [frame.index for frame in everything(paths, stride=3)] == [0, 3, 6]
    assert [frame.index for frame in everything(paths, stride=2, max_frames=2)] == [0, 2]
    assert open_source(paths, Span(stride=2, max_frames=2))[0].count() == 2


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("none.mp4", "no such file"),
        ("*.nothing", "nothing matches"),
        ("camera:front", "the first is camera:0"),
        ("camera:-1", "the first is camera:0"),
        ("camera:", "the first is camera:0"),
        ("empty", "no images or videos in"),
    ],
)
def test_words_that_name_nothing_are_one_clear_line(word, said, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").write_text("not an image")
    with refused(said, word):
        open_source(word)


def test_an_empty_list_is_one_clear_line(monkeypatch):
    """Nothing fails softly into an empty result."""
    with refused():
        open_source([])
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    with refused():
        open_source("-")


@pytest.mark.parametrize(
    "span",
    [
        {"start": -1},
        {"start": float("nan")},
        {"start": 2, "end": 2},
        {"end": -1},
        {"end": float("nan")},
        {"stride": 0},
        {"max_frames": 0},
    ],
    ids=str,
)
def test_a_span_that_is_none_is_one_clear_line(span):
    with refused("want"):
        Span(**span)


def test_pictures_have_no_start_or_end(picture):
    path = picture("a.png")
    for span in (Span(start=1), Span(end=1)):
        with refused("only images"):
            open_source(path, span)


def test_kinds_of_files_are_apart_and_written_small():
    assert not PICTURES & VIDEOS
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in PICTURES | VIDEOS)


# Videos

UNEVEN = (0.0, 0.04, 0.14, 0.15, 0.4, 0.41, 0.77, 1.2, 1.25, 1.9, 2.0, 2.5)


def close_times(frames: list[Frame], want) -> None:
    """Within 1 ms: the clock of the tiny videos."""
    np.testing.assert_allclose([frame.seconds for frame in frames], want, atol=1e-3)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_time_stamps_are_those_of_the_video_also_when_they_are_uneven(suffix, video):
    frames = everything(video(f"vfr.{suffix}", UNEVEN))
    close_times(frames, UNEVEN)
    assert [frame.index for frame in frames] == list(range(12))
    for frame in frames:
        close(frame, np.full((48, 64, 3), grey(frame.index)))


def test_a_video_starts_at_zero_whatever_its_first_time_stamp(video):
    close_times(everything(video("late.mkv", [5.0, 5.2, 5.3])), [0, 0.2, 0.3])


def test_a_video_can_be_read_twice(video):
    path = video()
    source = only_source(path)
    first, again = list(source), list(source)
    assert len(first) == len(again) == source.count() == 5
    np.testing.assert_array_equal(first[-1].rgb, again[-1].rgb)
    assert (source.name, source.moving, source.live) == ("clip.mp4", True, False)


@pytest.mark.parametrize("key_every", [1, 5, 100])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(
    "span",
    [
        {"start": 0.3},
        {"start": 0.4},
        {"end": 0.4},
        {"start": 1.21, "end": 2.0},
        {"stride": 3},
        {"start": 0.41, "stride": 2},
        {"max_frames": 4},
        {"start": 0.15, "end": 2.4, "stride": 2, "max_frames": 3},
    ],
    ids=str,
)
def test_a_part_of_a_video_has_the_frames_and_numbers_it_has_in_the_whole(
    span, suffix, key_every, video
):
    path = video(f"part.{suffix}", UNEVEN, key_every=key_every)
    chosen = Span(**span)
    want = [
        (i, seconds)
        for i, seconds in enumerate(UNEVEN)
        if seconds >= chosen.start
        and (chosen.end is None or seconds < chosen.end)
        and i % chosen.stride == 0
    ][: chosen.max_frames]
    frames = everything(path, **span)
    assert [frame.index for frame in frames] == [i for i, _ in want]
    close_times(frames, [seconds for _, seconds in want])
    for frame in frames:
        close(frame, np.full((48, 64, 3), grey(frame.index)))


def test_a_start_after_the_end_of_a_video_is_said(video):
    """Nothing fails softly into an empty result."""
    (error,) = everything(video(), start=100)
    is_one_line(error, "clip.mp4")


@pytest.mark.parametrize("clockwise_deg", [0, 90, 180, 270])
def test_a_video_is_turned_as_it_says(clockwise_deg, video):
    """Phones film sideways and write into the file how to hold it."""
    path = video("phone.mp4", [0.0], size=(48, 32), pictures=[COLOURS], clockwise_deg=clockwise_deg)
    (frame,) = everything(path)
    want = np.rot90(COLOURS, -clockwise_deg // 90)
    # Colour has half the resolution of brightness, so edges between squares are soft: look inside.
    assert frame.rgb.shape == want.shape
    np.testing.assert_allclose(frame.rgb[4::8, 4::8].astype(float), want[4::8, 4::8], atol=12)


def test_an_odd_size_stays(video):
    path = video("odd.mkv", [0.0], size=(50, 38))
    assert everything(path)[0].size == (50, 38)


def fast_start(path: Path) -> Path:
    """The same video with its index in front, so that it can be read when it is cut short."""
    import av

    out = path.with_name("fast_" + path.name)
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path)) as source, av.open(str(out), "w", options=options) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return out


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_video_cut_short_gives_its_frames_and_then_an_error(suffix, video, rng):
    pictures = list(rng.integers(0, 256, (20, 48, 64, 3), np.uint8))
    times = [i / 10 for i in range(20)]
    path = fast_start(video(f"whole.{suffix}", times, pictures=pictures))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    *frames, error = everything(path)
    is_one_line(error, str(path), "cut short")
    assert 5 <= len(frames) < 20
    assert [frame.index for frame in frames] == list(range(len(frames)))


def test_a_video_with_holes_gives_what_can_be_read_and_then_an_error(video, rng):
    pictures = list(rng.integers(0, 256, (20, 48, 64, 3), np.uint8))
    path = video("holes.mp4", [i / 10 for i in range(20)], pictures=pictures, key_every=1)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    *frames, error = everything(path)
    is_one_line(error, str(path), "damaged")
    assert len(frames) >= 10
    assert all(a.seconds < b.seconds for a, b in pairwise(frames))
    # A frame that follows the hole has the number it has in the whole video.
    assert [round(frame.seconds * 10) for frame in frames] == [frame.index for frame in frames]


@pytest.mark.parametrize("name", ["sound.wav", "sound.m4a", "sound.mp4"])
def test_sound_alone_has_no_video_stream(name, tmp_path: Path):
    import av

    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac" if name != "sound.wav" else "pcm_s16le", rate=16000)
        stream.layout = "mono"
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), "s16", "mono")
        silence.sample_rate = 16000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    only_error(path, str(path), "it has no video stream")


@pytest.mark.parametrize("name", ["bad.mp4", "bad.mkv", "bad.webm", "notes.txt", "noextension"])
@pytest.mark.parametrize("data", [b"", b"this is a text about videos\n" * 9, bytes(5000)])
def test_what_is_no_video_is_one_clear_line(name, data, tmp_path: Path):
    path = tmp_path / name
    path.write_bytes(data)
    only_error(path, "cannot read", str(path))


def test_a_playlist_in_a_file_opens_nothing_else(video, tmp_path: Path):
    """What came as one file must not make us read another, or ask another machine."""
    video("secret.mkv")
    path = tmp_path / "list.mp4"
    path.write_text("ffconcat version 1.0\nfile secret.mkv\n")
    only_error(path, "cannot read", str(path))


def test_a_video_whose_index_is_lost_is_one_clear_line(video):
    path = video()
    path.write_bytes(path.read_bytes()[:-300])
    only_error(path, "cannot read", "truncated")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_video_is_read_over_http(suffix, video, serve):
    path = video(f"clip.{suffix}", UNEVEN)
    address = serve({"/some/clip": path.read_bytes()}) + "/some/clip"
    source = only_source(address)
    frames = list(source)
    close_times(frames, UNEVEN)
    assert (source.name, source.live, frames[0].source) == ("clip", False, address)


def test_an_address_where_nothing_is_is_one_clear_line(serve):
    only_error(serve({}) + "/none.mp4", "cannot read", "404")
    only_error("rtsp://127.0.0.1:9/none", "cannot read", "rtsp://127.0.0.1:9/none")


def test_a_stream_is_live_and_nobody_knows_how_long():
    source = VideoFile("rtsp://127.0.0.1:9/cam", Span())
    assert (source.live, source.count(), source.moving) == (True, None, True)


# Cameras


class Camera:
    """Plays cv2.VideoCapture: three blue frames, then it is unplugged."""

    opened: list["Camera"]

    def __init__(self, number: int) -> None:
        self.number, self.left, self.released = number, 3, False
        Camera.opened.append(self)

    def isOpened(self) -> bool:
        return self.number < 2

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        blue = np.zeros((4, 6, 3), np.uint8)
        blue[..., 0] = 255  # OpenCV's order
        return (True, blue) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def camera(monkeypatch) -> type[Camera]:
    import cv2

    Camera.opened = []
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    return Camera


def test_a_camera_gives_frames_until_it_stops_and_says_so(camera):
    *frames, error = everything("camera:1")
    is_one_line(error, "camera:1 returned no more frames")
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert all((frame.rgb == (0, 0, 255)).all() for frame in frames)
    assert 0 <= frames[0].seconds < frames[1].seconds < frames[2].seconds
    assert [(c.number, c.released) for c in camera.opened] == [(1, True)]


def test_a_camera_is_let_go_when_nobody_wants_more(camera):
    assert len(everything("camera:0", max_frames=2)) == 2
    source = only_source("camera:0")
    frames = iter(source)
    next(frames)
    frames.close()
    assert [c.released for c in camera.opened] == [True, True]
    assert (source.name, source.live, source.moving, source.count()) == (
        "camera:0",
        True,
        True,
        None,
    )


def test_a_camera_that_is_not_there_is_one_clear_line(camera):
    only_error("camera:7", "cannot open camera:7", "no such camera")
    assert camera.opened[0].released


def test_every_source_can_be_iterated_again(picture, camera):
    for word in (picture("a.png"), "camera:0"):
        source = only_source(word)
        assert len(list(source)) == len(list(source)) > 0
    assert isinstance(open_source(picture("b.png"))[0], Pictures)
    assert not any(isinstance(item, VitruvianError) for item in everything(picture("c.png")))


@pytest.mark.parametrize(
    "box", [(10, 6, 30, 20), (-20, -5, 11, 13), (240.5, 230.2, 390, 370), (-9, 9, -2, 20)]
)
def test_a_part_of_a_video_frame_is_the_same_as_in_the_whole(box, video, rng):
    width, height = 320, 240
    noise = [rng.integers(0, 255, (height, width, 3), dtype=np.uint8) for _ in range(3)]
    path = video("noise.mp4", (0.0, 0.1, 0.2), size=(width, height), pictures=noise)
    for frame in everything(path):
        part, (x, y) = frame.part(np.array(box, float))
        assert part.size < width * height * 3
        h, w, _ = part.shape
        np.testing.assert_array_equal(part, frame.rgb[y : y + h, x : x + w])
        inside = np.clip(box, 0, [width, height, width, height])
        assert x <= inside[0]
        assert y <= inside[1]
        assert x + w >= inside[2]
        assert y + h >= inside[3]
        assert frame.part(np.array(box, float))[1] == (0, 0)  # all of it is there by now


def test_a_part_of_a_turned_video_is_the_whole(video):
    (frame,) = everything(video("clip.mp4", (0.0,), clockwise_deg=90))
    part, corner = frame.part(np.array([10, 10, 20, 20]))
    assert corner == (0, 0)
    assert part is frame.rgb
