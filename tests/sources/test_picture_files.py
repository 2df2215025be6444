"""Picture files of every kind: phones' photographs, films, pages, more than 8 bits; in folders."""

import json
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import refused
from pictures import COLOURS, UPRIGHT, close, everything, only_error, only_source, tiles
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame, picture_size
from vitruvian.geometry.camera import Camera
from vitruvian.picture_files import content, opened, pixels
from vitruvian.sources.open import MovingPicture, Pictures, Span, VideoFile, is_picture, open_source


def exif(orientation: int = 1, film_mm: int = 0) -> bytes:
    made = Image.Exif()
    made[0x0112] = orientation
    if film_mm:
        made.get_ifd(0x8769)[0xA405] = film_mm
    return made.tobytes()


def heif(path: Path, rgb: np.ndarray, **options) -> Path:
    """Write it as HEIC, as pillow-heif does, with EXIF and `irot` where it is turned."""
    written = pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(rgb))
    written.save(path, quality=-1, chroma=444, **options)
    return path


# Photographs of phones


@pytest.mark.parametrize(("suffix", "codec"), [("heic", "libx265"), ("avif", "libsvtav1")])
def test_a_photograph_of_tiles_is_read_whole(suffix, codec, tmp_path: Path):
    """FFmpeg alone sees a video of its first tile."""
    rgb = np.kron(COLOURS[::16, ::16][:2, :2], np.ones((64, 64, 1), np.uint8))
    path = tiles(tmp_path / f"photo.{suffix}", rgb, 64, codec)
    source = only_source(path)
    assert isinstance(source, Pictures)
    (frame,) = source
    assert isinstance(frame, Frame)
    assert frame.size == picture_size(path) == (128, 128)
    # Colours have half the resolution of brightness, and are soft at the edges: look inside.
    np.testing.assert_allclose(frame.rgb[4::8, 4::8].astype(float), rgb[4::8, 4::8], atol=6)


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="Linux only")
def test_tests_do_not_take_the_machine_from_others(tmp_path: Path):
    """Real-time priority of the AV1 encoder: PyAV 18.1.0, findings/pyav_svtav1_realtime.sh."""
    before = os.sched_getscheduler(0)
    tiles(tmp_path / "photo.avif", np.zeros((64, 64, 3), np.uint8), 64, "libsvtav1")
    assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize(("suffix", "codec"), [("heic", "libx265"), ("avif", "libsvtav1")])
def test_a_photograph_that_lacks_tiles_is_damaged(suffix, codec, tmp_path: Path):
    """Pillow and pi-heif have an error of their own for it."""
    path = tiles(tmp_path / f"photo.{suffix}", np.zeros((128, 128, 3), np.uint8), 64, codec)
    data = path.read_bytes()
    at = data.index(b"mdat") + 4
    path.write_bytes(data[: at + 2] + bytes([8, 8]) + data[at + 4 :])  # nine rows and columns
    only_error(path, path.name, "damaged")
    with refused("damaged"):
        picture_size(path)
        Frame.read(path)


@pytest.mark.shared
def test_the_four_tiles_of_an_avif_are_read_whole(shared):
    path = shared / "cases/bug_heic_tiles/four_tiles.avif"
    assert [frame.size for frame in everything(path)] == [(512, 512)]


@pytest.mark.parametrize("name", ["a.heic", "IMG_1.HEIC", "a.heif", "a.hif", "a.jpg", "a.mp4", "a"])
def test_a_photograph_of_a_phone_is_a_picture_by_its_content(name, tmp_path: Path):
    """IOS hands HEIC on as .JPG; what is inside counts."""
    (frame,) = everything(heif(tmp_path / name, COLOURS))
    close(frame, COLOURS, 3)
    assert frame.source == str(tmp_path / name)


def test_a_photograph_of_a_phone_says_its_camera(tmp_path: Path):
    path = heif(tmp_path / "a.heic", COLOURS, exif=exif(film_mm=26))
    camera = Frame.read(path).camera
    assert camera is not None
    want = Camera.with_film_focal((48, 32), 26)
    np.testing.assert_allclose(camera.matrix, want.matrix)
    again = Camera.from_exif(path)
    assert again is not None
    np.testing.assert_allclose(again.matrix, want.matrix)


@pytest.mark.parametrize(
    ("inside", "name"), [("PNG", "a.jpg"), ("JPEG", "a.png"), ("WEBP", "a.jpg"), ("AVIF", "a.jpeg")]
)
def test_a_picture_is_what_is_inside_whatever_its_name(inside, name, tmp_path: Path):
    Image.fromarray(COLOURS).save(tmp_path / name, inside, quality=100, lossless=True)
    (frame,) = everything(tmp_path / name)
    close(frame, COLOURS, 80 if inside in ("JPEG", "AVIF") else 0)  # colours at half resolution


# Which way is up

TURNED = [
    *(("jpg", {"quality": 100, "subsampling": 0}), ("png", {}), ("webp", {"lossless": True})),
    *(("avif", {"quality": 100, "subsampling": "4:4:4"}), ("tif", {}), ("heic", {})),
]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("suffix", "options"), TURNED, ids=[suffix for suffix, _ in TURNED])
def test_every_reader_turns_a_picture_alike(suffix, options, orientation, tmp_path: Path):
    """`Frame.read`, `picture_size` and the camera of EXIF data agree, in all eight ways."""
    path, data = tmp_path / f"a.{suffix}", exif(orientation, film_mm=30)
    if suffix == "heic":
        heif(path, COLOURS, exif=data)
    else:
        Image.fromarray(COLOURS).save(path, exif=data, **options)
    frame = Frame.read(path)
    want = UPRIGHT[orientation](COLOURS)
    close(frame, want, 4)
    assert frame.rgb.flags.c_contiguous
    assert picture_size(path) == frame.size == want.shape[1::-1]
    camera = Camera.from_exif(path)
    assert camera is not None
    assert frame.camera is not None
    assert camera.size == frame.camera.size == frame.size
    np.testing.assert_allclose(camera.matrix, frame.camera.matrix)


# More than 8 bits, and other kinds of pixels


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_values_of_few_bits_in_sixteen_are_not_black(bits, suffix, tmp_path: Path, capsys):
    """X-ray and industrial cameras keep 12 bits in 16."""
    values = (np.linspace(0, 1, 48 * 32).reshape(32, 48) * ((1 << bits) - 1)).astype(np.uint16)
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(values).save(path)
    (frame,) = everything(path)
    close(frame, np.stack([values >> (bits - 8)] * 3, axis=-1), 0)
    said = capsys.readouterr().err
    assert (f"read as {bits} bits" in said) == (bits < 16)
    assert said.count("\n") == (bits < 16)


def test_a_camera_of_twelve_bits_is_told_of_once(tmp_path: Path, capsys):
    for number in range(5):
        values = np.full((8, 8), 3000 + number, np.uint16)
        Image.fromarray(values).save(tmp_path / f"{number}.png")
    assert len(everything(tmp_path)) == 5
    assert capsys.readouterr().err.count("read as 12 bits") == 1


def test_colours_of_twelve_bits_are_not_black(tmp_path: Path):
    """OpenCV 5.0 has a TIFF of 16 bits wrong as RGB (findings/pictures_tiff.sh)."""
    import cv2

    values = COLOURS.astype(np.uint16) * 16
    for suffix in ("png", "tif"):
        path = tmp_path / f"deep.{suffix}"
        path.write_bytes(cv2.imencode(f".{suffix}", values[..., ::-1])[1].tobytes())
        close(Frame.read(path), COLOURS, 0)


@pytest.mark.parametrize("low", [0.0, -3.0])
def test_numbers_with_a_point_are_scaled(low, tmp_path: Path, capsys):
    values = np.linspace(low, low + 1, 48 * 32, dtype=np.float32).reshape(32, 48)
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path)
    close(Frame.read(path), np.stack([np.round((values - low) * 255)] * 3, axis=-1), 1)
    assert ("black to white" in capsys.readouterr().err) == bool(low)


def test_light_is_made_visible(tmp_path: Path, capsys):
    """Of .hdr the brightest pixels would be all there is."""
    import cv2

    light = np.linspace(0, 40, 48 * 32, dtype=np.float32).reshape(32, 48)
    path = tmp_path / "a.hdr"
    path.write_bytes(cv2.imencode(".hdr", np.stack([light] * 3, axis=-1))[1].tobytes())
    want = np.clip(light / np.percentile(light, 99.5), 0, 1) ** (1 / 2.2) * 255
    close(Frame.read(path), np.stack([want] * 3, axis=-1), 4)
    assert "mapped to white" in capsys.readouterr().err


def test_white_is_zero_where_a_tiff_says_so(tmp_path: Path):
    values = np.linspace(0, 65535, 48 * 32).reshape(32, 48).astype(np.uint16)
    for white_is_zero, want in ((False, values >> 8), (True, 255 - (values >> 8))):
        path = tmp_path / f"{white_is_zero}.tif"
        Image.fromarray(values).save(path, tiffinfo={262: 0 if white_is_zero else 1})
        close(Frame.read(path), np.stack([want] * 3, axis=-1), 0)


@pytest.mark.parametrize("mode", ["1", "P", "L", "LA"])
@pytest.mark.parametrize("suffix", ["png", "gif", "tif"])
def test_few_colours_are_colours(mode, suffix, tmp_path: Path):
    if (mode, suffix) == ("LA", "tif"):
        pytest.skip("TIFF with transparency is refused")
    picture = Image.fromarray(COLOURS)
    picture = picture.quantize(16) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / f"a.{suffix}")
    want = np.asarray(
        picture.convert("L").convert("RGB") if mode == "LA" else picture.convert("RGB")
    )
    close(Frame.read(tmp_path / f"a.{suffix}"), want, 0)


# Films

TIMES = [0.0, 0.04, 0.54, 0.74]


def film(path: Path, durations_ms: Sequence[int], form: str = "", **options) -> list[np.ndarray]:
    """Write images that stay for so long; returns them."""
    rgbs = [np.roll(COLOURS, 7 * i, axis=1) for i in range(len(durations_ms))]
    first, *more = map(Image.fromarray, rgbs)
    first.save(
        path, form or None, save_all=True, append_images=more, duration=durations_ms, **options
    )
    return rgbs


MOVING = [
    *(("a.gif", {}, 0), ("a.png", {}, 0), ("a.apng", {"form": "PNG"}, 0)),
    *(("a.webp", {"lossless": True}, 0), ("a.jpg", {"form": "WEBP", "lossless": True}, 0)),
    ("a.avif", {"quality": 100, "subsampling": "4:4:4"}, 4),
]


@pytest.mark.parametrize(("name", "options", "most"), MOVING, ids=[name for name, *_ in MOVING])
def test_a_picture_that_moves_is_a_film_with_its_times(name, options, most, tmp_path: Path):
    rgbs = film(tmp_path / name, [40, 500, 200, 100], **options)
    source = only_source(tmp_path / name)
    assert (source.name, source.moving, source.live, source.count()) == (name, True, False, 4)
    frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.seconds for frame in frames] == pytest.approx(TIMES)
    for frame, rgb in zip(frames, rgbs, strict=True):
        close(frame, rgb, most)
    assert not is_picture(str(tmp_path / name))
    assert [frame.index for frame in source] == [0, 1, 2, 3]  # again


def test_a_part_of_a_film_is_that_part(tmp_path: Path):
    film(tmp_path / "a.gif", [40, 500, 200, 100])
    span: dict[str, Any]
    for span, want in (
        ({"start": 0.1}, [2, 3]),
        ({"end": 0.6}, [0, 1, 2]),
        ({"stride": 2}, [0, 2]),
        ({"max_frames": 1}, [0]),
    ):
        assert [frame.index for frame in everything(tmp_path / "a.gif", **span)] == want
        source = open_source(tmp_path / "a.gif", Span(**span))[0]
        assert source.count() in (None, len(want))
    only_error_at = everything(tmp_path / "a.gif", start=9)
    assert [str(error).count("no frames from 9 s on") for error in only_error_at] == [1]


def test_a_delay_of_nothing_is_a_tenth_of_a_second(tmp_path: Path):
    """As in browsers and FFmpeg: many GIFs have none."""
    film(tmp_path / "a.gif", [0, 10, 20, 0])
    seconds = [frame.seconds for frame in everything(tmp_path / "a.gif")]
    assert seconds == pytest.approx([0, 0.1, 0.2, 0.22])


def test_a_picture_in_place_of_the_film_is_no_part_of_it(tmp_path: Path):
    """APNG: what viewers show that know no films."""
    rgbs = film(tmp_path / "a.png", [40, 500, 200], default_image=True)
    frames = everything(tmp_path / "a.png")
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.04])
    close(frames[0], rgbs[1], 0)


def test_what_is_seen_through_is_white_in_a_film(tmp_path: Path):
    clear = Image.new("RGBA", (48, 32), (0, 0, 0, 0))
    dots = []
    for i in range(3):
        dot = clear.copy()
        dot.paste((200, 30, 90, 255), (10 * i, 4, 10 * i + 8, 12))
        dots.append(dot)
    for name in ("a.gif", "a.png"):
        dots[0].save(
            tmp_path / name,
            save_all=True,
            append_images=dots[1:],
            duration=100,
            disposal=2,
        )
        for i, frame in enumerate(everything(tmp_path / name)):
            assert frame.rgb[0, 0].tolist() == [255, 255, 255]
            assert frame.rgb[6, 10 * i + 2].tolist() == [200, 30, 90]
            assert (frame.rgb != 255).any(axis=-1).sum() == 64  # that dot alone


def test_one_picture_is_no_film(tmp_path: Path):
    for name in ("a.gif", "a.webp", "a.png", "a.avif"):
        Image.fromarray(COLOURS).save(tmp_path / name)
        assert not only_source(tmp_path / name).moving


def test_a_film_cut_short_gives_what_is_there_and_then_an_error(tmp_path: Path, rng):
    rgbs = [Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)) for _ in range(6)]
    path = tmp_path / "a.gif"
    rgbs[0].save(path, save_all=True, append_images=rgbs[1:], duration=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    *frames, last = everything(path)
    assert isinstance(last, VitruvianError)
    assert 1 <= len(frames) < 6


def test_the_first_picture_of_a_film_is_said_to_be_that(tmp_path: Path, capsys):
    rgbs = film(tmp_path / "a.gif", [100, 100])
    close(Frame.read(tmp_path / "a.gif"), rgbs[0], 0)
    assert "it has 2 images, the first is used" in capsys.readouterr().err


# Pages


def scan(path: Path, n: int = 3) -> list[np.ndarray]:
    rgbs = [np.roll(COLOURS, 5 * i, axis=0) for i in range(n)]
    first, *more = map(Image.fromarray, rgbs)
    first.save(path, save_all=True, append_images=more)
    return rgbs


def test_pages_are_pictures(tmp_path: Path, capsys):
    rgbs = scan(tmp_path / "scan.tif")
    source = only_source(tmp_path / "scan.tif")
    assert (source.name, source.moving, source.count()) == ("scan.tif", False, 3)
    frames = list(source)
    assert [Path(frame.source).name for frame in frames] == [f"scan.tif[{i}]" for i in range(3)]
    for i, (frame, rgb) in enumerate(zip(frames, rgbs, strict=True)):
        close(frame, rgb, 0)
        close(Frame.read(f"{tmp_path}/scan.tif[{i}]"), rgb, 0)
        assert picture_size(Path(f"{tmp_path}/scan.tif[{i}]")) == frame.size
        assert is_picture(frame.source)
    assert [Path(f.source).name for f in everything(f"{tmp_path}/scan.tif[1]")] == ["scan.tif[1]"]
    assert not capsys.readouterr().err
    close(Frame.read(tmp_path / "scan.tif"), rgbs[0], 0)
    assert "it has 3 pages, the first is used" in capsys.readouterr().err
    only_error(f"{tmp_path}/scan.tif[7]", "no image 7")


def test_a_thumbnail_is_no_page(tmp_path: Path):
    """TIFF 6.0, NewSubfileType: 1 is a smaller copy."""
    small = Image.fromarray(COLOURS[::4, ::4])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(COLOURS).save(tmp_path / "a.tif", save_all=True, append_images=[small])
    with Image.open(tmp_path / "a.tif") as picture:
        picture.seek(1)
        tags: Any = picture
        marked = tags.tag_v2.get(254) == 1
    assert marked, "Pillow did not write the tag"
    (frame,) = everything(tmp_path / "a.tif")
    assert (frame.size, Path(frame.source).name) == ((48, 32), "a.tif")


def test_two_pictures_in_one_jpeg_are_one(tmp_path: Path):
    """MPO: phones keep a second look, depth or light beside a photograph."""
    first = Image.fromarray(COLOURS)
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[first.rotate(180)])
    (frame,) = everything(tmp_path / "a.jpg")
    close(frame, COLOURS, 80)


# What is none


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x00\x05\x16\x07" + bytes(100), "macOS"),
        (b"\xff\x0a" + bytes(100), "JPEG XL"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"<svg xmlns='x'/>", "SVG"),
        (b"8BPS" + bytes(100), "Photoshop"),
        (b"%PDF-1.7\n" + bytes(100), "PDF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "cut short"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    ],
    ids=["macos", "jxl", "html", "svg", "psd", "pdf", "lfs", "heic", "eps"],
)
def test_what_has_the_name_of_a_picture_is_said_to_be_what_it_is(data, said, tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(data)
    only_error(tmp_path / "a.jpg", "a.jpg", said)


def test_the_preview_in_a_raw_file_is_not_the_picture(tmp_path: Path):
    Image.fromarray(COLOURS).save(tmp_path / "a.tif", tiffinfo={50706: bytes([1, 4, 0, 0])})
    only_error(tmp_path / "a.tif", "camera raw file")
    Image.fromarray(COLOURS).save(tmp_path / "b.nef", "TIFF")
    only_error(tmp_path / "b.nef", "camera raw file")


@pytest.mark.skipif(os.name != "posix", reason="devices are files on POSIX")
def test_a_device_is_no_picture(tmp_path: Path):
    (tmp_path / "z.png").symlink_to("/dev/zero")
    only_error(tmp_path / "z.png", "it is a device")
    with refused("no images or videos", "pipes"):
        open_source(tmp_path)


def test_a_heic_whose_items_have_names_that_are_no_text_is_damaged(tmp_path: Path):
    """pi-heif 1.4.0 crashes on them, so it does not get them; what is text it gets."""
    data = heif(tmp_path / "a.heic", COLOURS, exif=exif(film_mm=26)).read_bytes()
    at = data.index(b"Exif", data.index(b"iinf"))
    with pytest.raises(UnicodeDecodeError):
        content.refuse_damaged_heif(data[:at] + b"\xff" + data[at + 1 :])
    (tmp_path / "a.heic").write_bytes(data[:at] + b"exif" + data[at + 4 :])
    assert len(everything(tmp_path / "a.heic")) == 1


@pytest.mark.parametrize("place", [8, 33], ids=["a chunk", "pixels"])
def test_a_png_that_claims_more_than_it_can_hold_is_refused_before_it_is_unpacked(place, tmp_path):
    """OpenCV takes as much memory as it claims."""
    Image.new("L", (64, 48)).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    if place == 8:
        data[16:24] = struct.pack(">II", 2048, 2048)
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    else:
        data[place : place + 4] = (1 << 20).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data)
    only_error(tmp_path / "a.png", "cut short, or damaged")
    Image.new("1", (2048, 2048)).save(tmp_path / "b.png")  # of 600 bytes
    (frame,) = everything(tmp_path / "b.png")
    assert frame.size == (2048, 2048)


def test_a_moving_picture_is_8k_at_most(tmp_path: Path, monkeypatch):
    """Pictures of a GIF can be larger than the file says at its beginning."""
    rest = [Image.fromarray(255 - COLOURS)]
    Image.fromarray(COLOURS).save(tmp_path / "a.gif", save_all=True, append_images=rest)
    assert len(everything(tmp_path / "a.gif")) == 2
    monkeypatch.setattr(pixels, "LARGEST_MOVING", 1000)
    only_error(tmp_path / "a.gif", "it is animated and has more than 1000 pixels")


def test_a_panorama_that_is_too_wide_says_how_wide_it_may_be(tmp_path: Path):
    Image.new("RGB", (40_000, 20)).save(tmp_path / "a.jpg")
    only_error(tmp_path / "a.jpg", "40000", "pixels")


# Folders


def test_a_folder_counts_as_people_do(picture, tmp_path: Path):
    for name in ("frame_10.png", "frame_2.png", "frame_1.png", "a2b10.png", "a2b9.png"):
        picture(f"in/{name}")
    want = ["a2b9.png", "a2b10.png", "frame_1.png", "frame_2.png", "frame_10.png"]
    for words in (tmp_path / "in", str(tmp_path / "in/*.png"), str(tmp_path / "**/*.png")):
        assert [path.name for path in only_source(words).paths] == want


def test_a_folder_says_what_it_leaves_out(picture, tmp_path: Path, capsys):
    picture("in/a.jpg")
    for name in ("._a.jpg", ".DS_Store", ".hidden.jpg", "Thumbs.db", "a.txt", "b.txt", "c.xmp"):
        (tmp_path / "in" / name).write_bytes(b"\0" * 9)
    (tmp_path / "in/deeper.jpg").mkdir()
    (tmp_path / "in/copied.jpg").write_bytes(b"\x00\x05\x16\x07" + bytes(4000))
    assert [path.name for path in only_source(tmp_path / "in").paths] == ["a.jpg"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for what in ("2 macOS", "3 hidden or system files", "2 .txt", "1 .xmp", "1 folders"):
        assert what in said


def test_a_folder_without_pictures_says_what_is_in_it(tmp_path: Path):
    with refused("no images or videos in", "pattern"):
        open_source(tmp_path)
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a")
    with refused("no images or videos in", "1 .jxl"):
        open_source(tmp_path)


def test_a_folder_of_photographs_of_a_phone_is_read(tmp_path: Path):
    for number in range(3):
        heif(tmp_path / f"IMG_{number}.HEIC", COLOURS)
    assert [frame.size for frame in everything(tmp_path)] == [(48, 32)] * 3


def test_a_name_with_a_colon_is_a_file(picture):
    for name in ("2024-05-01T12:30:00.png", "camera:1", "http:.png"):
        path = picture("in/a.png")
        path = path.rename(path.with_name(name))
        assert len(everything(path)) == 1


def test_a_camera_s_word_may_be_a_file_of_that_name(picture, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture("a.png").rename("camera:0")
    assert isinstance(only_source("./camera:0"), Pictures)


@pytest.mark.parametrize("name", ["s.jpg", "s.PNG?width=3", "a/b.heic"])
def test_a_picture_of_an_address_is_refused_with_the_way_out(name):
    with refused("is an image", "download it first"):
        open_source(f"http://127.0.0.1:9/{name}")
    assert isinstance(only_source("http://127.0.0.1:9/s.mjpg"), VideoFile)


# Names that are not UTF-8

LATIN = os.fsdecode(b"caf\xe9.png")


@pytest.fixture
def latin(picture, tmp_path: Path) -> Path:
    try:
        return picture("in/a.png", COLOURS).rename(tmp_path / "in" / LATIN)
    except (OSError, UnicodeError):
        pytest.skip("names are UTF-8 here")


def written(path: Path, source: Path, poses) -> Path:
    from vitruvian.verbs.outputs import open_sink

    with open_sink(path) as sink:
        sink.write(Frame.read(source), poses)
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "json", "parquet", "html", "trc"])
def test_a_name_of_any_bytes_goes_into_every_kind_of_file(suffix, latin, people, tmp_path: Path):
    from vitruvian.body.skeletons import COCO17

    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    poses = people(1, COCO17, everything=True)
    path = written(tmp_path / f"a.{suffix}", latin, poses)
    if suffix != "parquet":
        path.read_text(encoding="utf-8")
    if suffix == "jsonl":
        line = path.read_text().splitlines()[1]
        assert "\\udce9" in line
        assert Frame.read(json.loads(line)["source"]).size == (48, 32)


def test_one_name_of_any_bytes_stops_no_others(latin, picture, tmp_path: Path):
    picture("in/b.png", COLOURS)
    assert [frame.size for frame in everything(tmp_path / "in")] == [(48, 32)] * 2


def test_kinds_are_told_by_content(tmp_path: Path):
    path = tmp_path / "x"
    for data, want in (
        (b"", ""),
        (b"\xff\xd8\xff\xe0", "picture"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp42", "video"),
        (b"\x1aE\xdf\xa3", "video"),
        (b"\x00\x05\x16\x07", "macos"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "picture"),
        (b"\0\0\0\x18ftyphevc\0\0\0\0msf1hevc", "video"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "picture"),
        (b"GIF89a", "picture"),
    ):
        path.write_bytes(data)
        assert opened.kind(path) == want
    assert opened.kind(tmp_path / "none") == ""


def test_a_film_is_a_video_to_who_asks(tmp_path: Path):
    film(tmp_path / "a.gif", [100, 100])
    source = only_source(tmp_path / "a.gif")
    assert isinstance(source, MovingPicture)
    assert isinstance(source, VideoFile)


# Models


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([np.zeros((4, 4, 3), np.uint8)], "a list of ndarray; write model([vit.Frame.bgr(array)])"),
        (np.zeros((4, 4, 3), np.uint8), "got ndarray; write model([vit.Frame.bgr(array)])"),
        (Frame(np.zeros((4, 4, 3), np.uint8)), "got Frame; write model([frame])"),
        ("a.jpg", "write model([vit.Frame.read('a.jpg')])"),
        (["a.jpg"], "write model([vit.Frame.read('a.jpg')])"),
        (Path("a.jpg"), "write model([vit.Frame.read('a.jpg')])"),
        (None, "got NoneType"),
    ],
    ids=["arrays", "array", "frame", "name", "names", "path", "nothing"],
)
def test_a_model_says_what_it_wants(given, said):
    from vitruvian.models.top_down import TopDown

    with refused(said):
        TopDown.__call__(None, given)  # type: ignore[arg-type]


def test_a_read_error_is_not_told_as_one_of_writing(people):
    from vitruvian.sources.threads import readable, reread

    class Gone:
        name = "gone.mp4"

        def __iter__(self):
            raise OSError(5, "Input/output error")

    (error,) = readable(Gone())  # type: ignore[arg-type]
    assert str(error).startswith("cannot read 'gone.mp4'")
    assert "Input/output error" in str(error)
    with refused("when it is read again"):
        list(reread(Gone(), [(Frame(None, 0, source="gone.mp4", size=(4, 4)), people(1))]))  # type: ignore[arg-type]


# What is said of too few people


@pytest.mark.parametrize(
    ("counts", "options", "said"),
    [
        ([1, 1], {"num_poses": 1}, ["--num-poses 5"]),
        ([0, 1, 0], {"num_poses": 5}, ["nobody was found in 'a0.jpg' and 1 more of 3"]),
        ([0], {"num_poses": 1}, ["nobody was found in 'a0.jpg': BlazePose's detector"]),
        ([3, 2], {"num_poses": 5}, []),
        ([0], {"num_poses": 5, "find": "yolov8n-pose"}, []),
        ([5], {"num_poses": 5, "find": "boxes.json"}, []),
        ([0], {"num_poses": 100, "find": "blazepose-full"}, ["nobody was found"]),
    ],
    ids=str,
)
def test_too_few_people_are_explained(counts, options, said, people):
    from types import SimpleNamespace

    from vitruvian.verbs.predict import PeopleHints

    few = PeopleHints(SimpleNamespace(name="blazepose-full", options=options), most_said=False)  # type: ignore[arg-type]
    frames = [Frame(None, i, source=f"x/a{i}.jpg", size=(9, 9)) for i in range(len(counts))]
    source = Pictures(tuple(Path(frame.source) for frame in frames), Span())
    pairs = [(frame, people(n)) for frame, n in zip(frames, counts, strict=True)]
    assert list(few.watch(source, iter(pairs))) == pairs
    hints = list(few.hints())
    assert len(hints) == len(said)
    for hint, words in zip(hints, said, strict=True):
        assert words in hint


def test_who_said_how_many_is_not_told_again(people):
    from types import SimpleNamespace

    from vitruvian.verbs.predict import PeopleHints

    one = SimpleNamespace(name="blazepose-full", options={"num_poses": 1})
    few = PeopleHints(one, most_said=True)  # type: ignore[arg-type]
    list(few.watch(VideoFile("a.mp4", Span()), iter([(Frame(None, 0, size=(9, 9)), people(1))])))
    assert not list(few.hints())


def test_nobody_in_a_whole_video_is_said_once(people):
    from types import SimpleNamespace

    from vitruvian.verbs.predict import PeopleHints

    for counts, said in (([0, 0, 0], 1), ([0, 2, 0], 0)):
        model: Any = SimpleNamespace(name="blazepose-lite", options={"num_poses": 5})
        few = PeopleHints(model, most_said=False)
        pairs = [(Frame(None, i, size=(9, 9)), people(n)) for i, n in enumerate(counts)]
        list(few.watch(VideoFile("a.mp4", Span()), iter(pairs)))
        assert len(list(few.hints())) == said


def test_who_is_found_and_left_out_is_no_fault_of_the_detector(people):
    from types import SimpleNamespace

    from vitruvian.streams.confirm import Confirm
    from vitruvian.verbs.predict import PeopleHints

    model: Any = SimpleNamespace(name="blazepose-lite", options={"num_poses": 5})
    few, confirm = PeopleHints(model, most_said=False), Confirm()
    confirm(Frame(None, 0, size=(9, 9)), replace(people(1), person=np.zeros(1, np.int64)))
    nobody = iter([(Frame(None, 0, size=(9, 9)), people(0))])
    list(few.watch(VideoFile("a.mp4", Span()), nobody, confirm))
    assert not list(few.hints())
