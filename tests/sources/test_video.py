"""Videos as people have them: every container, odd timestamps, turned, wide, joined, damaged."""

import gc
import pickle
import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.error import PatchWelcomeError
from av.stream import Disposition

from conftest import is_one_line
from pictures import with_matrix
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.sources.clock import FrameClock
from vitruvian.sources.open import Span, VideoFile, open_source

SIZE = (64, 48)


def grey(index: int) -> int:
    """0..255, how grey a frame of `film` is."""
    return 50 + 2 * index % 150


def film(
    path: Path,
    codec: str = "libx264",
    fmt: str | None = None,
    *,
    rate: float | Fraction = 25,
    frames: int = 100,
    size: tuple[int, int] = SIZE,
    pixels: str = "yuv420p",
    aspect: Fraction | None = None,
    stamps: list[int] | None = None,
    picture: np.ndarray | None = None,
    noise: int = 0,
    **options: str,
) -> Path:
    """Write a film whose frame i is as grey as `grey(i)`, or shows `picture`.

    Stamps are in thousandths of a second.
    """
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", format=fmt) as file:
        stream: Any = file.add_stream(codec, rate=Fraction(rate), options=options)
        (stream.width, stream.height), stream.pix_fmt = size, pixels
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(frames):
            shade = rng.integers(-noise, noise + 1, (size[1], size[0], 1)) + grey(i)
            rgb = np.repeat(shade.astype(np.uint8), 3, axis=2)
            shown = av.VideoFrame.from_ndarray(rgb if picture is None else picture, format="rgb24")
            if stamps is not None:
                shown.pts, shown.time_base = stamps[i], Fraction(1, 1000)
            file.mux(stream.encode(shown))
        file.mux(stream.encode(None))
    return path


def read(path: Path | str, **span: Any) -> tuple[list[Frame], list[Any]]:
    """Frames, and errors, of a video."""
    items = list(VideoFile(str(path), Span(**span)))
    errors = [item for item in items if isinstance(item, VitruvianError)]
    return [item for item in items if isinstance(item, Frame)], errors


def places(frames: list[Frame]) -> list[tuple[int, float]]:
    """Numbers and times."""
    return [(frame.index, frame.seconds) for frame in frames]


def is_grey_as(frame: Frame, index: int, most: float = 5) -> None:
    """Assert that it is frame `index` of `film`."""
    assert abs(float(frame.rgb.mean()) - grey(index)) < most


def all_there(path: Path, count: int, rate: float, most: float = 2e-3) -> None:
    """Assert that every frame is there, at its time, with its image."""
    frames, errors = read(path)
    assert not errors
    assert [frame.index for frame in frames] == list(range(count))
    np.testing.assert_allclose([f.seconds for f in frames], np.arange(count) / rate, atol=most)
    for frame in frames:
        is_grey_as(frame, frame.index)


# Every container, and parts of it

OPEN = "open-gop=1:bframes=3:scenecut=0:keyint=12"
X265 = {"x265-params": "log-level=none:keyint=24:open-gop=1"}
KINDS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "a.mp4": ("libx264", None, {}),
    "open.mp4": ("libx264", None, {"x264-params": OPEN}),
    "a.ts": ("libx264", "mpegts", {"g": "12"}),
    "open.ts": ("libx264", "mpegts", {"x264-params": OPEN}),
    "refresh.ts": ("libx264", "mpegts", {"g": "25", "x264-params": "intra-refresh=1:bframes=0"}),
    "long.ts": ("libx264", "mpegts", {"g": "1000"}),
    "a.m2ts": ("libx264", "mpegts", {"mpegts_m2ts_mode": "1"}),
    "b.ts": ("mpeg2video", "mpegts", {"g": "12", "bf": "2"}),
    "a.mpg": ("mpeg2video", "mpeg", {"g": "12"}),
    # Not flat: of several tiny images in a packet, FFmpeg guesses the times, also twice the same.
    "b.mpg": ("mpeg2video", "mpeg", {"g": "12", "bf": "2", "noise": 40, "qmax": "4"}),
    "b.vob": ("mpeg2video", "vob", {"g": "12", "bf": "2", "noise": 40, "qmax": "4"}),
    "a.mkv": ("libx264", None, {"g": "12"}),
    "hidden.webm": ("libvpx", None, {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "30"}),
    "a.flv": ("libx264", None, {"g": "12"}),
    "a.wmv": ("wmv2", None, {}),
    "a.mxf": ("mpeg2video", None, {"g": "12", "bf": "2"}),
    "hevc.ts": ("libx265", "mpegts", X265),
    "plain.avi": ("mpeg4", None, {"g": "12"}),
    "b.avi": ("mpeg4", None, {"g": "12", "bf": "2"}),
    "h264.avi": ("libx264", None, {"bf": "2"}),
    "photos.mov": ("mjpeg", None, {"pixels": "yuvj420p"}),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_part_has_the_frames_numbers_and_times_it_has_in_the_whole(name, tmp_path: Path):
    """Seeking would lose the frames up to the next key frame in .ts, .mts, .mpg and .vob."""
    codec, fmt, options = KINDS[name]
    path = film(tmp_path / name, codec, fmt, **options)
    all_there(path, 100, 25, 0.021 if name in ("b.mpg", "b.vob") else 2e-3)
    whole, _ = read(path)
    for start in (0.02, 0.5, 2.4, 3.9):
        part, errors = read(path, start=start, end=start + 0.4)
        assert places(part) == [p for p in places(whole) if start <= p[1] < start + 0.4]
        assert part
        assert not errors
        for frame in part:
            is_grey_as(frame, frame.index)


def test_a_start_behind_the_end_says_where_that_is(tmp_path: Path):
    (error,) = read(film(tmp_path / "a.ts", fmt="mpegts"), start=9)[1]
    is_one_line(error, "no frames from 9 s on", "it ends at 3.96 s")


# Times


def test_recordings_joined_in_one_file_go_on_in_time_and_it_is_said(tmp_path: Path, capsys):
    data = film(tmp_path / "a.ts", fmt="mpegts", frames=25).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(data * 3)
    frames, errors = read(path)
    assert not errors
    np.testing.assert_allclose([f.seconds for f in frames], np.arange(75) / 25, atol=1e-6)
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "joined" in said
    assert "frame 25" in said
    part, _ = read(path, start=1.5, end=2)
    assert places(part) == [p for p in places(frames) if 1.5 <= p[1] < 2]


def test_frames_with_the_time_stamp_of_the_one_before_are_kept_between_it_and_the_next(
    tmp_path: Path, capsys
):
    stamps = [40 * (i - (i % 10 == 7)) for i in range(40)]
    path = film(tmp_path / "a.mkv", frames=40, stamps=stamps, bf="0")
    frames, errors = read(path)
    assert not errors
    assert len(frames) == 40
    assert all(a.seconds < b.seconds for a, b in pairwise(frames))
    real = [frame.seconds for frame in frames if frame.index % 10 != 7]
    np.testing.assert_allclose(real, [s / 1000 for i, s in enumerate(stamps) if i % 10 != 7])
    said = capsys.readouterr().err
    assert "4 frames whose timestamps do not increase" in said
    part, _ = read(path, start=0.5)
    assert places(part) == [p for p in places(frames) if p[1] >= 0.5]


@pytest.mark.parametrize(
    "stamps",
    [[5.0] * 50, [None] * 50, [0.0, 0.04] * 20, [0.0, 1.0, 0.9, 1.1], list(range(9)) * 2],
    ids=["all the same", "none", "to and fro", "one too late", "joined"],
)
def test_time_goes_forward_whatever_stamps_do(stamps):
    clock, times = FrameClock(0.04), []
    for stamp in stamps:
        clock.tick(stamp)
        times.append(clock.seconds)
    assert times[0] == 0
    assert all(a < b for a, b in pairwise(times))
    assert clock.index == len(stamps) - 1


@pytest.mark.parametrize(
    ("first", "name", "fmt"),
    [
        (7_000_000, "late.ts", "mpegts"),
        (-200, "early.mkv", None),
        (95_443_700, "wrap.ts", "mpegts"),
    ],
    ids=["late", "negative", "past 2^33 ticks"],
)
def test_time_begins_at_zero_whatever_the_first_time_stamp(first, name, fmt, tmp_path: Path):
    path = film(tmp_path / name, fmt=fmt, stamps=[first + 40 * i for i in range(100)])
    all_there(path, 100, 25)


def test_dropped_frames_leave_a_gap(tmp_path: Path):
    stamps = [round((i + i // 10) * 1001 / 30) for i in range(100)]
    frames, _ = read(film(tmp_path / "a.mp4", stamps=stamps))
    np.testing.assert_allclose([f.seconds for f in frames], np.array(stamps) / 1000, atol=1e-3)


RAW: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a.h264": ("libx264", "h264", {}),
    "a.hevc": ("libx265", "hevc", {"x265-params": "log-level=none"}),
    "a.m2v": ("mpeg2video", "mpeg2video", {"bf": "2"}),
    "a.m1v": ("mpeg1video", "mpeg1video", {}),
}


@pytest.mark.parametrize("name", RAW)
def test_a_raw_stream_has_the_frame_rate_that_it_says(name, tmp_path: Path, capsys):
    codec, fmt, options = RAW[name]
    path = film(tmp_path / name, codec, fmt, rate=50, **options)
    all_there(path, 100, 50, 1e-9)
    part, _ = read(path, start=1, end=1.2)
    assert [frame.index for frame in part] == list(range(50, 60))
    assert not capsys.readouterr().err


def test_a_raw_stream_that_says_no_frame_rate_is_taken_for_25_and_it_is_said(
    tmp_path: Path, capsys
):
    path = film(tmp_path / "a.mjpeg", "mjpeg", "mjpeg", rate=50, pixels="yuvj420p")
    all_there(path, 100, 25, 1e-9)
    assert "25 frames per second are assumed" in capsys.readouterr().err


def test_empty_packets_do_not_end_a_video(tmp_path: Path):
    """Where nothing changed, recorders write chunks of 0 bytes: the frame before is shown on."""
    path = film(tmp_path / "a.avi", "mpeg4", bf="0", frames=50)
    with av.open(str(path)) as file, av.open(str(tmp_path / "e.avi"), "w") as out:
        stream = out.add_stream_from_template(file.streams.video[0])
        for packet in file.demux(file.streams.video[0]):
            if packet.dts is None:
                continue
            packet.stream = stream
            if packet.dts in (10, 11, 30):
                empty = av.Packet()
                empty.stream, empty.dts, empty.pts = stream, packet.dts, packet.dts
                empty.time_base = packet.time_base
                packet = empty
            out.mux(packet)
    frames, errors = read(tmp_path / "e.avi")
    assert not errors
    kept = [i for i in range(50) if i not in (10, 11, 30)]
    np.testing.assert_allclose([f.seconds * 25 for f in frames], kept, atol=1e-6)


# As players show it


def corners() -> np.ndarray:
    """(48, 64, 3) uint8: red, green, blue and white."""
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:24, :32], rgb[:24, 32:], rgb[24:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    rgb[24:, 32:] = 255
    return rgb


HELD = {
    "as it is": ((1, 0, 0, 1), lambda a: a),
    "mirrored": ((-1, 0, 0, 1), lambda a: a[:, ::-1]),
    "upside down": ((-1, 0, 0, -1), lambda a: a[::-1, ::-1]),
    "mirrored, upside down": ((1, 0, 0, -1), lambda a: a[::-1]),
    "clockwise": ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),
    "against the clock": ((0, -1, 1, 0), lambda a: np.rot90(a)),
    "sideways, mirrored": ((0, 1, 1, 0), lambda a: a.swapaxes(0, 1)),
    "the other way": ((0, -1, -1, 0), lambda a: a[::-1, ::-1].swapaxes(0, 1)),
}


def looks_like(rgb: np.ndarray, want: np.ndarray) -> None:
    """Assert equality inside of flat areas."""
    assert rgb.shape == want.shape
    np.testing.assert_allclose(rgb[4::8, 4::8].astype(float), want[4::8, 4::8], atol=12)


@pytest.mark.parametrize("held", HELD)
def test_a_video_is_turned_and_mirrored_as_players_do(held, tmp_path: Path):
    matrix, shown = HELD[held]
    path = film(tmp_path / "a.mp4", frames=3, picture=corners(), pixels="yuv444p", crf="0")
    frame = read(with_matrix(path, *matrix))[0][0]
    want = shown(corners())
    looks_like(frame.rgb, want)
    assert frame.size == want.shape[1::-1]
    part, (x, y) = frame.part(np.array([4, 4, 20, 20], float))
    looks_like(part, want[y : y + part.shape[0], x : x + part.shape[1]])


def widened(rgb: np.ndarray, width: int) -> np.ndarray:
    """By the nearest column."""
    columns = (np.arange(width) + 0.5) * rgb.shape[1] / width
    return rgb[:, columns.astype(int)]


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("a.mp4", "as it is"),
        ("a.mp4", "clockwise"),
        ("a.mp4", "mirrored"),
        ("a.mp4", "the other way"),
        ("a.mkv", "as it is"),
        ("a.ts", "as it is"),
    ],
)
@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(3, 2), Fraction(3, 4)], ids=str)
def test_pixels_that_are_not_square_become_square(aspect, name, held, tmp_path: Path):
    """The file says it in .mp4 and .mkv, the coded images in .ts."""
    path, kind = tmp_path / name, "mpegts" if name == "a.ts" else None
    film(path, fmt=kind, frames=30, picture=corners(), aspect=aspect, bf="0")
    matrix, shown = HELD[held]
    if held != "as it is":
        with_matrix(path, *matrix)
    frame = read(path)[0][0]
    want = shown(widened(corners(), round(64 * aspect)))
    assert frame.size == want.shape[1::-1]
    assert frame.rgb.shape == want.shape
    inside = np.abs(frame.rgb.astype(float) - want).max(axis=-1) < 24
    assert inside.mean() > 0.85
    part, (x, y) = frame.part(np.array([4, 4, 20, 20], float))
    np.testing.assert_array_equal(part, frame.rgb[y : y + part.shape[0], x : x + part.shape[1]])


def test_television_changes_the_shape_of_its_pixels_in_mid_film(tmp_path: Path):
    """4:3, then 16:9, of as many pixels; images come out of the decoder some packets later."""
    data = b""
    for shape in (Fraction(4, 3), Fraction(16, 9)):
        path = tmp_path / f"{shape.numerator}.m2v"
        aspect = shape * Fraction(48, 64)
        film(path, "mpeg2video", "mpeg2video", frames=20, aspect=aspect, bf="2", g="10")
        data += path.read_bytes()
    (tmp_path / "a.m2v").write_bytes(data)
    frames, errors = read(tmp_path / "a.m2v")
    assert not errors
    assert [frame.size for frame in frames] == [(64, 48)] * 20 + [(85, 48)] * 20


@pytest.mark.parametrize(
    ("across", "high", "said"),
    [
        (1000, 1, "pixel aspect ratio of 1000"),
        (1, 1000, "pixel aspect ratio of 0.001"),
        (0, 1, ""),
        (1, 0, ""),
        (1281, 1280, ""),
    ],
)
def test_pixels_of_a_shape_that_cannot_be_are_square_and_it_is_said(
    across, high, said, tmp_path: Path, capsys
):
    path = film(tmp_path / "a.mp4", frames=3, aspect=Fraction(2))
    data, shape = path.read_bytes(), struct.pack(">II", across, high)
    at = data.index(b"pasp")
    path.write_bytes(data[: at + 4] + shape + data[at + 12 :])
    frames, errors = read(path)
    assert not errors
    err = capsys.readouterr().err
    # Where the file says nothing that can be, the coded images do.
    assert {frame.size for frame in frames} == {(128, 48) if 0 in (across, high) else SIZE}
    assert err.count("\n") == bool(said)
    assert said in err


def test_a_calibration_of_the_stored_pixels_fits_the_square_ones(tmp_path: Path):
    """OpenCV, and what calibrates with it, reads a 1440 x 1080 video as it is stored."""
    from vitruvian.geometry import calibration
    from vitruvian.streams.stream import seen_by

    frame = read(film(tmp_path / "a.mp4", frames=1, aspect=Fraction(4, 3)))[0][0]
    matrix = np.array([[60, 0, 32], [0, 80, 24], [0, 0, 1.0]])
    given = calibration.given(Camera(matrix, SIZE))
    assert given is not None
    camera = seen_by(given, frame).camera
    assert camera is not None
    assert camera.size == frame.size == (85, 48)
    np.testing.assert_allclose(camera.matrix[0, 0], 60 * 85 / 64)
    np.testing.assert_allclose(camera.matrix[1, 1], 80)


@pytest.mark.parametrize(
    ("codec", "name", "pixels"),
    [
        ("libx265", "deep.mp4", "yuv420p10le"),
        ("prores_ks", "alpha.mov", "yuva444p10le"),
        ("ffv1", "rgb.mkv", "bgr0"),
        ("libvpx-vp9", "alpha.webm", "yuva420p"),
        ("ffv1", "grey.mkv", "gray"),
    ],
)
def test_other_pixels_become_8_bit_rgb(codec, name, pixels, tmp_path: Path):
    options: dict[str, Any] = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    frames, errors = read(film(tmp_path / name, codec, frames=5, pixels=pixels, **options))
    assert not errors
    assert len(frames) == 5
    for frame in frames:
        assert frame.rgb.shape == (48, 64, 3)
        is_grey_as(frame, frame.index)


# Which stream


def together(path: Path, *films: Path, cover: bool = False) -> Path:
    """The videos of several films in one file; the first one as its cover, if asked for."""
    with av.open(str(path), "w") as out:
        inputs = [av.open(str(each)) for each in films]
        streams = [out.add_stream_from_template(each.streams.video[0]) for each in inputs]
        if cover:
            streams[0].disposition = Disposition.attached_pic
        for file, stream in zip(inputs, streams, strict=True):
            for packet in file.demux():
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
            file.close()
    return path


def test_a_cover_is_no_video(tmp_path: Path, capsys):
    """Phones and shops put an image into films, and music has one and no film."""
    plain = film(tmp_path / "plain.mp4", frames=5)
    cover = film(tmp_path / "c.mp4", "mjpeg", frames=1, size=(640, 480), pixels="yuvj420p")
    frames, errors = read(together(tmp_path / "a.mp4", cover, plain, cover=True))
    assert not errors
    assert [frame.size for frame in frames] == [SIZE] * 5
    assert not capsys.readouterr().err


def test_of_several_videos_in_a_file_the_largest_is_read_and_it_is_said(tmp_path: Path, capsys):
    small = film(tmp_path / "small.mkv", frames=5)
    large = film(tmp_path / "large.mkv", frames=5, size=(320, 240))
    frames, errors = read(together(tmp_path / "a.mkv", small, large))
    assert not errors
    assert [frame.size for frame in frames] == [(320, 240)] * 5
    assert "has 2 video streams; stream 2 (320 x 240) is used" in capsys.readouterr().err


# Other sizes in mid-film


def grown(tmp_path: Path) -> Path:
    """20 frames of 64 x 48 pixels, then 20 of 160 x 80, as they come by radio."""
    data = b"".join(
        film(tmp_path / f"{size[0]}.ts", fmt="mpegts", frames=20, size=size).read_bytes()
        for size in (SIZE, (160, 80))
    )
    (tmp_path / "grown.ts").write_bytes(data)
    return tmp_path / "grown.ts"


def test_a_video_may_change_its_size(tmp_path: Path, capsys):
    frames, errors = read(grown(tmp_path))
    assert not errors
    assert [frame.size for frame in frames] == [SIZE] * 20 + [(160, 80)] * 20
    assert all(a.seconds < b.seconds for a, b in pairwise(frames))
    for frame in frames:
        is_grey_as(frame, frame.index % 20)
        part, _ = frame.part(np.array([2, 2, 12, 12], float))
        assert abs(float(part.mean()) - grey(frame.index % 20)) < 5
    assert "changes from 64 x 48 to 160 x 80 pixels at frame 20" in capsys.readouterr().err


def test_a_film_of_a_video_that_changes_its_size_keeps_the_first_one(tmp_path: Path):
    from vitruvian.body.poses import Poses
    from vitruvian.body.skeletons import BOXES
    from vitruvian.rendering.film import AnnotatedVideo as Film

    nobody = Poses.nobody(BOXES)
    path = tmp_path / "out.mp4"
    with Film(path) as out:
        for frame in read(grown(tmp_path))[0]:
            out.write(frame, nobody)
    drawn, errors = read(path)
    assert not errors
    assert [frame.size for frame in drawn] == [SIZE] * 40
    last = drawn[-1].rgb.astype(float)
    assert np.abs(last[10:38] - grey(19)).max() < 12  # 160 x 80 fitted into 64 x 48: 64 x 32
    assert last[:6].max() < 12


# Names, and what must not be opened


@pytest.mark.parametrize(
    "name",
    ["2024-05-01T12:30:00.mp4", "cam:1.mp4", "concat:a.mp4", "what?.mp4", "100%d.mp4", "-.mp4"],
)
def test_a_video_may_have_any_name(name, tmp_path: Path, monkeypatch):
    film(tmp_path / "plain.mp4", frames=3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for word in (name, f"./{name}"):
        (source,) = open_source(word)
        assert len([item for item in source if isinstance(item, Frame)]) == 3
        assert source.name == name


def test_a_file_called_as_a_camera_is_opened_by_its_path(tmp_path: Path, monkeypatch):
    for name in ("camera:0", "camera:front"):
        film(tmp_path / "plain.mp4", frames=3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert open_source("camera:0")[0].live
    for word in ("./camera:0", "camera:front"):
        frames = [item for item in open_source(word)[0] if isinstance(item, Frame)]
        assert len(frames) == 3


SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
LISTS = {
    "ffconcat": "ffconcat version 1.0\nfile secret.mkv\n",
    "sdp": SDP + "a=rtpmap:96 H264/90000\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nsecret.ts\n#EXT-X-ENDLIST\n",
    "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
}


@pytest.mark.parametrize("suffix", ["mp4", "same"])
@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_other_files_or_hosts_opens_none(kind, suffix, tmp_path: Path, monkeypatch):
    film(tmp_path / "secret.mkv", frames=3)
    film(tmp_path / "secret.ts", fmt="mpegts", frames=30)
    path = tmp_path / f"list.{kind if suffix == 'same' else suffix}"
    path.write_text(LISTS[kind])
    frames, errors = read(path)
    assert not frames
    is_one_line(*errors, "cannot read", str(path))


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/a.mp4", "https://a.example/b", "rtsp://127.0.0.1:9/c", "udp://@:9"],
)
def test_offline_no_address_is_asked(address, monkeypatch):
    monkeypatch.setenv("VITRUVIAN_OFFLINE", "1")
    (source,) = open_source(address)
    (error,) = source
    is_one_line(error, address, "--offline")
    assert source.count() is None


# Damaged and odd


def test_a_title_in_any_encoding_is_no_fault(tmp_path: Path):
    path = film(tmp_path / "a.avi", "mpeg4", frames=5)
    with av.open(str(path)) as file, av.open(str(tmp_path / "b.avi"), "w") as out:
        out.metadata["title"] = "Xame"
        stream = out.add_stream_from_template(file.streams.video[0])
        for packet in file.demux(file.streams.video[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    data = (tmp_path / "b.avi").read_bytes()
    assert b"Xame" in data
    path.write_bytes(data.replace(b"Xame", b"\xe9t\xe9\xff"))
    frames, errors = read(path)
    assert not errors
    assert len(frames) == 5


def damaged(tmp_path: Path, how: str) -> Path:
    """A video that cannot be read, in one way."""
    path = tmp_path / {"codec": "a.avi", "cut": "a.mkv", "samples": "a.mp4"}.get(how, "a.y4m")
    if how == "codec":
        path.write_bytes(film(path, "mpeg4", frames=9).read_bytes().replace(b"FMP4", b"ZZZZ"))
    elif how == "cut":  # before the first cluster
        path.write_bytes(film(path, frames=9).read_bytes().partition(b"\x1f\x43\xb6\x75")[0])
    elif how == "samples":
        data = film(path, frames=9).read_bytes()
        none = data.replace(b"stts\0\0\0\0\0\0\0\1", b"stts\0\0\0\0\0\0\0\0")
        path.write_bytes(none.replace(b"stsz", b"xxxx"))
    else:
        data = film(path, "rawvideo", "yuv4mpegpipe", frames=9).read_bytes()
        path.write_bytes(data.replace(b"FRAME", b"FRAMX", 3))
    return path


@pytest.mark.parametrize("span", [{}, {"start": 0.2}], ids=["whole", "part"])
@pytest.mark.parametrize("how", ["codec", "cut", "samples", "marks"])
def test_a_video_that_cannot_be_read_is_one_clear_line(how, span, tmp_path: Path):
    path = damaged(tmp_path, how)
    frames, (error,) = read(path, **span)
    assert not frames
    is_one_line(error, "cannot read", str(path))


def test_whatever_the_reader_raises_is_one_clear_line(tmp_path: Path, monkeypatch):
    """PyAV passes on errors of many kinds, of FFmpeg and of Python."""
    import vitruvian.sources.video

    path = film(tmp_path / "a.mp4", frames=3)
    kinds = [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ValueError("a"), MemoryError()]
    kinds += [AttributeError("width"), OverflowError("b"), PatchWelcomeError(1, "c")]
    for kind in kinds:

        def broken(*_: object, error: Exception = kind) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(vitruvian.sources.video.VideoFile, "_choose", broken)
            frames, (error,) = read(path)
        assert not frames
        is_one_line(error, "cannot read", str(path))


def test_one_frame_is_a_video(tmp_path: Path):
    frames, errors = read(film(tmp_path / "a.mp4", frames=1))
    assert places(frames) == [(0, 0.0)]
    assert not errors


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_frames_may_outlive_their_video(count, tmp_path: Path):
    """PyAV 19 refuses to ask a stream of a file that is closed; 18.1 reads what is gone."""
    path = film(tmp_path / "a.mp4", frames=count, size=(320, 240))
    frames = list(VideoFile(str(path), Span()))
    assert len(frames) == count
    for frame in frames:
        assert isinstance(frame, Frame)
        part, (x, y) = frame.part(np.array([10, 10, 60, 60], float))
        assert part.shape[1] < 320
        np.testing.assert_array_equal(part, frame.rgb[y:, x:][: part.shape[0], : part.shape[1]])


def test_an_interlaced_video_is_read_and_it_is_said(tmp_path: Path, capsys):
    options: dict[str, Any] = {"flags": "+ildct+ilme", "top": "1"}
    path = film(tmp_path / "a.mpg", "mpeg2video", "mpeg", frames=20, **options)
    frames, errors = read(path)
    assert not errors
    assert len(frames) == 20
    assert capsys.readouterr().err.count("is interlaced") <= 1


@pytest.mark.parametrize("quarters", range(4))
def test_a_picture_with_data_that_pyav_has_no_name_for_is_turned_all_the_same(quarters):
    """PyAV gives none of the data beside an image then: 3D views of phones, EXIF of MJPEG."""
    from vitruvian.sources.coded import display_rotation

    class Odd:
        rotation = (0, 90, 180, -90)[quarters]  # against the clock

        @property
        def side_data(self) -> None:
            raise ValueError("29 is not a valid Type")

    across, sideways, upside_down = display_rotation(Odd())
    rgb = corners().swapaxes(0, 1) if across else corners()
    rgb = rgb[:, ::-1] if sideways else rgb
    rgb = rgb[::-1] if upside_down else rgb
    np.testing.assert_array_equal(rgb, np.rot90(corners(), quarters))


def test_a_picture_is_read_from_an_address(tmp_path: Path, serve):
    from PIL import Image

    for kind in ("jpg", "png"):
        Image.fromarray(corners()).save(tmp_path / f"a.{kind}", quality=95)
        address = serve({f"/a.{kind}": (tmp_path / f"a.{kind}").read_bytes()}) + f"/a.{kind}"
        frames, errors = read(address)
        assert not errors
        assert [frame.size for frame in frames] == [SIZE]


def test_frames_of_a_video_go_to_other_processes(video):
    frame = next(iter(VideoFile(str(video()), Span())))
    assert isinstance(frame, Frame)
    sent = pickle.loads(pickle.dumps(frame))
    assert (sent.index, sent.seconds, sent.source, sent.size) == (0, 0.0, frame.source, frame.size)
    np.testing.assert_array_equal(sent.rgb, frame.rgb)


def test_pixels_are_freed_with_their_frame(video):
    """Not by the garbage collector, hundreds of frames later; see findings/pyav_side_data.sh."""
    source = VideoFile(str(video(times=[i / 10 for i in range(30)])), Span())

    def pictures() -> int:
        return sum(type(each).__name__ == "VideoFrame" for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = pictures()
        most = max(pictures() - before for _ in source)
    finally:
        gc.enable()
    assert most < 5
