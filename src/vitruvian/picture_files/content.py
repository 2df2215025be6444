"""What an image file is by its first bytes, and why some are refused before they are decoded."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from vitruvian.documents import LARGEST, read_bytes, unreadable

PAGE = re.compile(r"(?P<file>.+)\[(?P<page>\d{1,6})\]", re.DOTALL)
HEAD = 4096  # bytes at the start of a file that identify its format
BOMB = "its header says more than 179 million pixels; make it smaller first"
TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
LARGEST_STILL = 178_956_970  # pixels; Pillow's limit
# PNG: DEFLATE expands one byte to at most 1032; colour type -> channels.
DEFLATED = 1032
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Brands of ISO/IEC 23008-12; AVIF has those of the second line as well.
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIF |= {b"mif1", b"mif2", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
# Magic bytes of files that have the names of images but cannot be read, and what to do.
OTHER_KINDS = (
    (b"\x00\x05\x16\x07", "it is macOS metadata of another file (._NAME), not an image"),
    (b"\xff\x0a", "JPEG XL is not supported; save it as JPEG or PNG"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL is not supported; save it as JPEG or PNG"),
    (b"8BPS", "it is a Photoshop file; save it as JPEG or PNG"),
    (b"%PDF", "it is a PDF; save its pages as images"),
    (b"%!PS", "it is PostScript; save it as PNG"),
    (b"version https://git-lfs", "Git LFS has not fetched it yet: git lfs pull"),
)
# Raw files of cameras: TIFF readers only find a small preview in them.
CAMERA_RAW = "it is a camera raw file; save it as JPEG or TIFF"
_RAW_NAMES = re.compile(
    r"\.(3fr|arw|cr[23]|dcr|dng|erf|iiq|kdc|mef|mos|n[er][fw]|orf|pef|ra[fw]|rw[2l]|sr[2fw]|x3f)",
    re.I,
)


def page_of(path: str | Path) -> tuple[Path, int | None]:
    """Split off the page: `scan.tif[1]` is the second page of `scan.tif`; None: no page."""
    match = PAGE.fullmatch(str(path))
    if match is None or os.path.exists(path):  # noqa: PTH110  # no error for odd names
        return Path(path), None
    return Path(match["file"]), int(match["page"])


def file_brands(head: bytes) -> set[bytes]:
    """Brands of an ISO base media file (HEIF, AVIF, MP4); empty for other files."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def is_heif(brands: set[bytes]) -> bool:
    """Whether the brands are those of HEIF (HEIC), not AVIF."""
    return bool(brands & _HEIF) and not brands & AVIF_BRANDS


def picture_bytes(file: Path) -> bytes:
    """Read a whole image file; devices are refused."""
    try:
        about = file.stat()
        if stat.S_ISREG(about.st_mode) and about.st_size <= LARGEST:
            return file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise unreadable(file, getattr(error, "strerror", None) or error) from None
    if stat.S_ISCHR(about.st_mode) or stat.S_ISBLK(about.st_mode):
        raise unreadable(file, "it is a device, not a file")
    return read_bytes(file)  # bounded, since a pipe may never end


def refuse_unread(data: bytes, path: Path) -> None:
    """Raise `VitruvianError` for formats that are not supported."""
    if not data:
        raise unreadable(path, "it is empty")
    if data.startswith(b"\x89PNG"):
        _refuse_png(data, path)
    for start, why in OTHER_KINDS:
        if data.startswith(start):
            raise unreadable(path, why)
    if _RAW_NAMES.fullmatch(path.suffix):
        raise unreadable(path, CAMERA_RAW)
    if data[:HEAD].lstrip()[:15].lower().startswith((b"<!doctype html", b"<html", b"<svg")):
        raise unreadable(path, "it is a web page or an SVG drawing, not a raster image")


def _refuse_png(data: bytes, path: Path) -> None:
    """Raise `VitruvianError` for a PNG that claims more pixels than it can hold (memory bomb).

    Its chunks must lie within the file, and its size must be possible at DEFLATE's best ratio.
    """
    head, at = data[16:26].ljust(10, b"\0"), 8
    while at + 12 <= len(data) and data[at + 4 : at + 8] != b"IEND":
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    pixels = int.from_bytes(head[:4], "big") * int.from_bytes(head[4:8], "big")
    if pixels > LARGEST_STILL:
        raise unreadable(path, BOMB)
    if at > len(data) or pixels * head[8] * CHANNELS.get(head[9], 1) / 8 > DEFLATED * len(data):
        raise unreadable(path, "it is cut short, or damaged")


def refuse_damaged_heif(data: bytes) -> None:
    """Raise `ValueError` if its item table holds invalid UTF-8: pi-heif 1.4.0 crashes on it.

    ISO/IEC 14496-12, 8.11.6: entries of version 2 and 3 are an id of 2 or 4 bytes, 2 more bytes,
    a type of 4 characters, and zero-terminated strings.
    """
    at = data.find(b"iinf")
    table = data[at + 4 : max(at - 4, 0) + int.from_bytes(data[max(at - 4, 0) : at], "big")]
    for entry in table.split(b"infe")[1:]:
        # The last 4 bytes are the size of the next one.
        text = entry[10 if entry[:1] == b"\3" else 8 :]
        text[:-4].decode()
