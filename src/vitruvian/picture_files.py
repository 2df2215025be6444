"""Picture files: what they are by their content, as 8-bit RGB, turned as they are to be seen.

OpenCV unpacks what it reads rightly and fastest; Pillow, with pi-heif for photographs of phones,
the rest. Which way is up, how large it is, and what EXIF data say come from Pillow alone.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.documents import LARGEST, read_bytes, unreadable
from vitruvian.errors import VitruvianError

if TYPE_CHECKING:
    from PIL.Image import Image

# What Pillow may take a file for. Not among them: EPS, which starts other programs, and rarities.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF")
MOVING = ("GIF", "PNG", "WEBP", "AVIF")  # formats that hold pictures with times
QUARTER_TURNS = (5, 6, 7, 8)  # of EXIF's orientations
PAGE = re.compile(r"(?P<file>.+)\[(?P<page>\d{1,6})\]", re.DOTALL)
HEAD = 4096  # bytes that tell what a file is
BOMB = "it claims more than 179 million pixels; make it smaller first"
CUT_SHORT = "it is cut short, damaged, or no picture"
# Pixels of a GIF, PNG or WebP that are shown for less are shown for a tenth of a second, as
# browsers and FFmpeg (libavformat/gifdec.c: min_delay 2, default_delay 10) do.
SHORTEST_MS, INSTEAD_MS = 20, 100
DEPTHS = (8, 10, 12, 14)  # bits that cameras have, kept in 16
WHITE = 99.5  # percent of the pixels of a picture in linear light that are darker than white
# What Pillow and pi-heif raise of files that are damaged; they promise none, and all of these came.
DAMAGED = (OSError, ValueError, SyntaxError, LookupError, TypeError, struct.error)
DAMAGED += (EOFError, ArithmeticError, RuntimeError, AssertionError)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
LARGEST_STILL = 178_956_970  # pixels; Pillow's limit
LARGEST_MOVING = 36_000_000  # pixels of a picture that moves, 8K; each takes 30 bytes a pixel
# Of a PNG: 1032 bytes at most come out of one of DEFLATE's; colour type -> values of a pixel.
DEFLATED = 1032
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Brands of ISO/IEC 23008-12; AVIF has those of the second line as well.
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIF |= {b"mif1", b"mif2", b"msf1"}
_AVIF = {b"avif", b"avis"}
# How a picture is turned to be seen, EXIF 2.3: of (H, W, 3).
_TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
# How files begin that are no pictures but have their names, and what to do about them.
_OTHERS = (
    (b"\x00\x05\x16\x07", "it is what macOS keeps about another file (._NAME), no picture"),
    (b"\xff\x0a", "JPEG XL is not read; save it as JPEG or PNG"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL is not read; save it as JPEG or PNG"),
    (b"8BPS", "it is Photoshop's; save it as JPEG or PNG"),
    (b"%PDF", "it is a PDF; save its pages as pictures"),
    (b"%!PS", "it is PostScript; save it as PNG"),
    (b"version https://git-lfs", "Git LFS has not fetched it yet: git lfs pull"),
)
# Raw files of cameras; what TIFF readers find in them is a small preview.
_RAW = "it is the raw file of a camera; save it as JPEG or TIFF"
_RAW_NAMES = re.compile(
    r"\.(3fr|arw|cr[23]|dcr|dng|erf|iiq|kdc|mef|mos|n[er][fw]|orf|pef|ra[fw]|rw[2l]|sr[2fw]|x3f)",
    re.I,
)
_DNG_VERSION = 50706  # a tag of TIFF


def page_of(path: str | Path) -> tuple[Path, int | None]:
    """A file and which of its pages: `scan.tif[1]` is the second of `scan.tif`; None: no page."""
    match = PAGE.fullmatch(str(path))
    if match is None or os.path.exists(path):  # noqa: PTH110  # no error for odd names
        return Path(path), None
    return Path(match["file"]), int(match["page"])


def kind(path: Path) -> str:
    """What a regular file is by how it begins: "picture", "moving", "pages", "video", "macos", "".

    "moving" is of pictures with times, "pages" of several that are to be seen each on its own,
    "macos" what macOS keeps about another file. "" is unknown: also what cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return ""
        with path.open("rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError):
        return ""
    if head.startswith(_OTHERS[0][0]):
        return "macos"
    if head.startswith(b"\xff\xd8\xff"):
        return "" if path.suffix.lower() in (".mjpeg", ".mjpg") else "picture"
    webp, tiff = head[:4] == b"RIFF" and head[8:12] == b"WEBP", head[:4] in _TIFF
    brands = _brands(head)
    if _is_heif(brands):
        # The first of them is the main one: of pictures in a row, which are a video's track.
        return "video" if head[8:12] in (b"msf1", b"hevc", b"hevx") else "picture"
    if head.startswith(b"\x1aE\xdf\xa3") or (brands and not brands & _AVIF):
        return "video"  # Matroska, or MP4 and its relatives
    if head.startswith(b"\x89PNG") and b"IDAT" in head and b"acTL" not in head:
        return "picture"
    if webp and not (head[12:16] == b"VP8X" and head[20:21] and head[20] & 2):
        return "picture"
    if not (webp or tiff or brands or head.startswith((b"GIF8", b"\x89PNG"))):
        return ""
    try:
        with _opened(path, path) as picture:
            if tiff:
                return "pages" if len(_pages(picture)) > 1 else "picture"
            return "moving" if len(_shown(picture)) > 1 else "picture"
    except VitruvianError:
        return "picture"  # reading it says what is wrong


def pages(path: Path) -> list[Path]:
    """The pages of a TIFF, each as `scan.tif[0]`; without thumbnails and masks."""
    with _opened(path, path) as picture:
        return [path.with_name(f"{path.name}[{page}]") for page in _pages(picture)]


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture file as `read` has it, without unpacking it.

    Raises:
        VitruvianError: it is missing, or no picture.
    """
    file, page = page_of(path)
    with _opened(file, path) as picture:
        if page:
            _seek(picture, page, path)
        return upright(picture)


@contextmanager
def opened(path: Path) -> Iterator[Image]:
    """A picture file as Pillow has it, not unpacked.

    Raises:
        VitruvianError: it is missing, or no picture.
    """
    with _opened(page_of(path)[0], path) as picture:
        yield picture


def upright(picture: Image) -> tuple[int, int]:
    """Width and height of a picture that is not unpacked, turned as it is to be seen."""
    width, height = picture.size
    if picture.format == "TIFF":  # some versions of Pillow say how large it will be, some not
        tags: Any = picture
        width, height = int(tags.tag_v2[256]), int(tags.tag_v2[257])
    return (height, width) if orientation(picture) in QUARTER_TURNS else (width, height)


def orientation(picture: Image) -> int:
    """1..8, as EXIF data say, not XMP; 1 where they do not, and of HEIF, which comes turned."""
    if picture.format == "HEIF":
        return 1
    # Pillow unpacks a whole PNG to look for EXIF data at its end, where nobody writes them.
    if picture.format == "PNG" and not {"exif", "Raw profile type exif"} & picture.info.keys():
        return 1
    for name in ("xmp", "XML:com.adobe.xmp"):
        picture.info.pop(name, None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tags that are damaged
            found = picture.getexif().get(0x0112, 1)
    except DAMAGED:
        return 1  # damaged; the picture may be whole
    return found if found in _TURNS else 1


def read(path: Path) -> tuple[np.ndarray, Image | None, str]:
    """A picture file, unpacked.

    Returns:
        (H, W, 3) uint8 RGB, turned as it is to be seen. Transparency of a GIF is on white, that of
        others is dropped.
        The same as Pillow has it, for its EXIF data; None if Pillow does not know it.
        What was assumed, for the user; "" for nothing.

    Raises:
        VitruvianError: it is missing, empty, no picture, cut short, or unreasonably large.
    """
    file, page = page_of(path)
    data = _bytes(file)
    _refuse(data, path)
    try:
        with _opened(io.BytesIO(data), path) as picture:
            return _read(picture, data, page, path)
    except _Unknown as error:
        if _brands(data[:HEAD]):
            raise VitruvianError(str(error)) from None
    # OpenCV reads some that Pillow does not, and has the last word.
    values, linear = _unpacked(data, path), data.startswith((b"#?", b"v/1\x01"))
    rgb, note = _eight_bits(values, linear=linear)
    return rgb, None, note


def _read(
    picture: Image, data: bytes, page: int | None, path: Path
) -> tuple[np.ndarray, Image, str]:
    """`read` of what Pillow knows."""
    tags: Any = getattr(picture, "tag_v2", {})
    if _DNG_VERSION in tags:
        raise unreadable(path, _RAW)
    if picture.format == "TIFF" and "A" in picture.getbands():
        raise unreadable(path, "OpenCV makes TIFF with transparency black; save it as PNG")
    if data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data:
        # OpenCV before 5 fills it with grey and says nothing.
        raise unreadable(path, "it is cut short")
    numbers, note = _pages(picture) if picture.format == "TIFF" else _shown(picture), ""
    if page is not None:
        _seek(picture, page, path)
    elif len(numbers) > 1:
        what = "pages" if picture.format == "TIFF" else "pictures"
        note = f"it has {len(numbers)} {what}, of which this is the first"
    number = page if page is not None else numbers[0]
    mode, way = picture.mode, orientation(picture)
    if picture.format == "TIFF":
        alone = mode in ("LAB", "I", "F")  # OpenCV has these wrong, or not at all
        way = 1  # both turn a TIFF, whatever they are told
    else:
        alone = picture.format in ("GIF", "AVIF", "HEIF")
        alone |= (picture.format, mode) == ("JPEG2000", "CMYK")
    if alone:
        if number and page is None:
            _seek(picture, number, path)
        values = _loaded(picture, path)
    else:
        values = _unpacked(data, path, number if picture.format == "TIFF" else 0)
    rgb, scaled = _eight_bits(values)
    if values.dtype != np.uint8 and tags.get(262) == 0:  # WhiteIsZero, which both leave as it is
        rgb = 255 - rgb
    rgb = np.ascontiguousarray(_TURNS[way](rgb)) if way in _TURNS else rgb
    return rgb, picture, "; ".join(filter(None, (note, scaled)))


def film(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """Every picture of a GIF, PNG, WebP or AVIF that moves, as it is shown, transparency on white.

    Yields:
        (H, W, 3) uint8 RGB, and the seconds from the first one on when it is shown.

    Raises:
        VitruvianError: it is missing, no such film, or cut short.
    """
    seconds = 0.0
    with _opened(path, path) as picture:
        way, numbers = orientation(picture), _shown(picture)
        for number in numbers:
            _seek(picture, number, path)
            rgb = _loaded(picture, path)
            yield np.ascontiguousarray(_TURNS[way](rgb)) if way in _TURNS else rgb, seconds
            shown_ms = float(picture.info.get("duration") or 0)
            if picture.format != "AVIF" and not shown_ms >= SHORTEST_MS:
                shown_ms = INSTEAD_MS
            seconds += shown_ms / 1000


def film_length(path: Path) -> int:
    """How many pictures `film` gives."""
    with _opened(path, path) as picture:
        return len(_shown(picture))


class _Unknown(VitruvianError):
    """Pillow does not know it."""


@contextmanager
def _opened(file: Path | io.BytesIO, path: Path) -> Iterator[Any]:
    """What Pillow or pi-heif make of a file or its bytes; errors speak of `path`."""
    import PIL.Image

    try:
        # A file of a few kB can claim any size; Pillow reads the size without unpacking, and
        # refuses more than 179 million pixels.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if isinstance(file, Path):
                with file.open("rb") as begun:
                    head = begun.read(HEAD)
            else:
                head = file.getvalue()[:HEAD]
            if _is_heif(_brands(head)):
                picture = _heif(file)
            else:
                picture = PIL.Image.open(file, formats=FORMATS)
    except PIL.Image.DecompressionBombError:
        raise unreadable(path, BOMB) from None
    except PIL.UnidentifiedImageError:
        raise _Unknown(str(unreadable(path, CUT_SHORT))) from None
    except DAMAGED as error:
        why = getattr(error, "strerror", None) or CUT_SHORT
        raise _Unknown(str(unreadable(path, why))) from None
    with picture, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tags that are damaged, and large pictures
        yield picture


def import_heif() -> Any:
    """What reads photographs of phones.

    Raises:
        VitruvianError: it is not installed, or does not load.
    """
    try:
        import pi_heif
    except ImportError as error:
        raise VitruvianError(
            f"HEIC and HEIF need pi-heif, which does not load ({error}); pip install pi-heif"
        ) from None
    return pi_heif


def _heif(file: Path | io.BytesIO) -> Any:
    """A HEIF picture; its thumbnails, depth maps and other pictures are left alone."""
    import PIL.Image

    data = file.getvalue() if isinstance(file, io.BytesIO) else _bytes(file)
    _refuse_heif(data)
    picture = import_heif().HeifImageFile(io.BytesIO(data))
    if not picture.info.get("primary"):  # pi-heif takes another one where the main one is damaged
        picture.close()
        raise ValueError
    if math.prod(picture.size) > 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0):
        raise PIL.Image.DecompressionBombError
    return picture


def _brands(head: bytes) -> set[bytes]:
    """What a file of ISO's base format (HEIF, AVIF, MP4) says it is; nothing of other files."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def _is_heif(brands: set[bytes]) -> bool:
    return bool(brands & _HEIF) and not brands & _AVIF


def _pages(picture: Any) -> list[int]:
    """Which pictures of a TIFF are pages: not those that are smaller copies of others, or masks."""
    found = []
    try:
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            if not int(picture.tag_v2.get(254, 0)) & 5:  # NewSubfileType
                found.append(number)
        picture.seek(0)
    except DAMAGED:
        pass  # cut short behind the pages that are there
    return found or [0]


def _shown(picture: Any) -> range:
    """Which pictures of a file are the film: a PNG may have another one in place of all of them."""
    if picture.format not in MOVING:
        return range(1)
    try:
        whole = getattr(picture, "n_frames", 1)
    except DAMAGED:
        return range(1)
    return range(1 if picture.info.get("default_image") and whole > 1 else 0, whole)


def _seek(picture: Any, number: int, path: Path) -> None:
    import PIL.Image

    try:
        picture.seek(number)
    except PIL.Image.DecompressionBombError:
        raise unreadable(path, BOMB) from None
    except DAMAGED:
        raise unreadable(path, f"it has no picture {number}, or is cut short there") from None


def _loaded(picture: Image, path: Path) -> np.ndarray:
    """A picture as Pillow unpacks it: (H, W, 3) uint8, or (H, W) of more than 8 bits."""
    import PIL.Image

    moves = picture.format == "GIF" or getattr(picture, "n_frames", 1) > 1
    if picture.format in MOVING and moves and math.prod(picture.size) > LARGEST_MOVING:
        raise unreadable(
            path, f"it is animated and has more than {LARGEST_MOVING} pixels, or is damaged"
        )
    try:
        picture.load()
        if picture.mode.startswith("I") or picture.mode == "F":
            return np.asarray(picture)
        if picture.format in MOVING and moves and picture.has_transparency_data:
            above = picture.convert("RGBA")
            below = PIL.Image.new("RGBA", above.size, "white")
            return np.array(PIL.Image.alpha_composite(below, above))[..., :3].copy()
        return np.array(picture.convert("RGB"))
    except PIL.Image.DecompressionBombError:
        raise unreadable(path, BOMB) from None
    except DAMAGED:
        raise unreadable(path, CUT_SHORT) from None


def _unpacked(data: bytes, path: Path, page: int = 0) -> np.ndarray:
    """(H, W, 3) as OpenCV unpacks it, of as many bits as it has, turned only if it is a TIFF."""
    import cv2

    array, tiff = np.frombuffer(data, np.uint8), data[:4] in _TIFF
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    if tiff:  # OpenCV 5.0 leaves 16 bits of a TIFF unset as RGB (findings/pictures_tiff.sh)
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    try:
        if page:
            _, found = cv2.imdecodemulti(array, flags, range=(page, page + 1))
            values = found[0] if found else None
        else:
            values = cv2.imdecode(array, flags)
    except cv2.error as error:
        raise unreadable(path, error.err) from None
    if values is None:
        raise unreadable(path, CUT_SHORT)
    if values.ndim == 2:
        return np.stack([values] * 3, axis=-1)
    return np.ascontiguousarray(values[..., ::-1]) if tiff else values


def _eight_bits(values: np.ndarray, *, linear: bool = False) -> tuple[np.ndarray, str]:
    """(H, W, 3) uint8 of values of any kind, and what was assumed; `linear`: they are light."""
    if values.dtype == np.uint8:
        return values, ""
    note = ""
    whole = np.issubdtype(values.dtype, np.integer)
    finite = np.where(np.isfinite(values), values, 0) if not whole else values
    low, high = float(finite.min()), float(finite.max())
    if whole and low >= 0 and high < 1 << 16:
        bits = next((bits for bits in DEPTHS if high < 1 << bits), 16)
        if bits < 16 and high > 0:
            note = f"its 16-bit values reach {high:.0f} at most and are taken as {bits} bits"
        scaled = finite >> (bits - 8)
    elif linear:
        white = float(np.percentile(finite, WHITE)) or 1.0
        scaled = np.clip(finite / white, 0, 1) ** (1 / 2.2) * 255
        note = f"its values are light: {white:.3g} is taken as white"
    elif not whole and low >= 0 and 0 < high <= 1:
        scaled = finite * 255
    else:
        scaled = (finite.astype(np.float64) - low) * (255 / max(high - low, 1e-30))
        note = f"its values from {low:.4g} to {high:.4g} are taken as black to white"
    rgb = (scaled if whole and scaled.dtype != np.float64 else np.round(scaled)).astype(np.uint8)
    return rgb if rgb.ndim == 3 else np.stack([rgb] * 3, axis=-1), note


def _bytes(file: Path) -> bytes:
    """All of a picture file; a device is none."""
    try:
        about = file.stat()
        if stat.S_ISREG(about.st_mode) and about.st_size <= LARGEST:
            return file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise unreadable(file, getattr(error, "strerror", None) or error) from None
    if stat.S_ISCHR(about.st_mode) or stat.S_ISBLK(about.st_mode):
        raise unreadable(file, "it is a device, no file")
    return read_bytes(file)  # bounded: a pipe may never end


def _refuse(data: bytes, path: Path) -> None:
    """Raise `VitruvianError` if it is known to be none that is read."""
    if not data:
        raise unreadable(path, "it is empty")
    if data.startswith(b"\x89PNG"):
        _refuse_png(data, path)
    for start, why in _OTHERS:
        if data.startswith(start):
            raise unreadable(path, why)
    if _RAW_NAMES.fullmatch(path.suffix):
        raise unreadable(path, _RAW)
    if data[:HEAD].lstrip()[:15].lower().startswith((b"<!doctype html", b"<html", b"<svg")):
        raise unreadable(path, "it is a web page or an SVG drawing, not a raster image")


def _refuse_png(data: bytes, path: Path) -> None:
    """Raise `VitruvianError` for a PNG that claims more than it can hold: OpenCV takes gigabytes.

    Its chunks must be within the file, and its pixels must be able to come out of so many bytes.
    """
    head, at = data[16:26].ljust(10, b"\0"), 8
    while at + 12 <= len(data) and data[at + 4 : at + 8] != b"IEND":
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    pixels = int.from_bytes(head[:4], "big") * int.from_bytes(head[4:8], "big")
    if pixels > LARGEST_STILL:
        raise unreadable(path, BOMB)
    if at > len(data) or pixels * head[8] * CHANNELS.get(head[9], 1) / 8 > DEFLATED * len(data):
        raise unreadable(path, "it is cut short, or damaged")


def _refuse_heif(data: bytes) -> None:
    """Raise `ValueError` if its table of items holds what is no text: pi-heif 1.4.0 crashes on it.

    ISO/IEC 14496-12, 8.11.6: entries of version 2 and 3 are a number of 2 or 4 bytes, 2 more, and
    then a kind of 4 characters, and texts that end in a zero.
    """
    at = data.find(b"iinf")
    table = data[at + 4 : max(at - 4, 0) + int.from_bytes(data[max(at - 4, 0) : at], "big")]
    for entry in table.split(b"infe")[1:]:
        # The last 4 bytes are the size of the next one.
        text = entry[10 if entry[:1] == b"\3" else 8 :]
        text[:-4].decode()
