"""Decode image files to 8-bit RGB, with their EXIF orientation applied.

OpenCV, the fastest, decodes the formats that it reads correctly; Pillow, with pi-heif for HEIC
photos, decodes the rest.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.documents import unreadable
from vitruvian.errors import VitruvianError
from vitruvian.picture_files.content import (
    BOMB,
    CAMERA_RAW,
    HEAD,
    TIFF_HEADS,
    file_brands,
    page_of,
    picture_bytes,
    refuse_unread,
)
from vitruvian.picture_files.opened import (
    CUT_SHORT,
    DAMAGED,
    MOVING,
    UnknownPicture,
    film_numbers,
    open_as,
    orientation,
    page_numbers,
    seek_picture,
)

if TYPE_CHECKING:
    from PIL.Image import Image

# Frames of a GIF, PNG or WebP with a shorter duration are shown for a tenth of a second, as
# browsers and FFmpeg (libavformat/gifdec.c: min_delay 2, default_delay 10) do.
SHORTEST_MS, INSTEAD_MS = 20, 100
DEPTHS = (8, 10, 12, 14)  # bit depths of cameras, stored in 16 bits
WHITE = 99.5  # percentile of an image in linear light that becomes white
LARGEST_MOVING = 36_000_000  # pixels of an animated image, 8K; decoding takes 30 bytes a pixel
# EXIF 2.3 orientation -> (H, W, 3) upright.
_TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
_DNG_VERSION = 50706  # TIFF tag


def read_picture(path: Path) -> tuple[np.ndarray, Image | None, str]:
    """Decode an image file.

    Returns:
        (H, W, 3) uint8 RGB, with the EXIF orientation applied. Transparent GIFs are composited on
        white; in other formats alpha is dropped.
        The Pillow image, for its EXIF data; None if Pillow does not recognise the format.
        Assumptions, for the user; "" if none.

    Raises:
        VitruvianError: the file is missing, empty, not an image, truncated, or too large.
    """
    file, page = page_of(path)
    data = picture_bytes(file)
    refuse_unread(data, path)
    try:
        with open_as(io.BytesIO(data), path) as picture:
            return _read_known(picture, data, page, path)
    except UnknownPicture as error:
        if file_brands(data[:HEAD]):
            raise VitruvianError(str(error)) from None
    # OpenCV reads some formats that Pillow does not.
    values, linear = _unpacked(data, path), data.startswith((b"#?", b"v/1\x01"))
    rgb, note = _eight_bits(values, linear=linear)
    return rgb, None, note


def _read_known(
    picture: Image, data: bytes, page: int | None, path: Path
) -> tuple[np.ndarray, Image, str]:
    """`read_picture` for formats that Pillow recognises."""
    tags: Any = getattr(picture, "tag_v2", {})
    if _DNG_VERSION in tags:
        raise unreadable(path, CAMERA_RAW)
    if picture.format == "TIFF" and "A" in picture.getbands():
        raise unreadable(path, "OpenCV reads TIFF with transparency as black; save it as PNG")
    if data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data:
        # OpenCV before 5 silently fills the missing part with grey.
        raise unreadable(path, "it is cut short")
    numbers, note = page_numbers(picture) if picture.format == "TIFF" else film_numbers(picture), ""
    if page is not None:
        seek_picture(picture, page, path)
    elif len(numbers) > 1:
        what = "pages" if picture.format == "TIFF" else "images"
        note = f"it has {len(numbers)} {what}, the first is used"
    number = page if page is not None else numbers[0]
    mode, way = picture.mode, orientation(picture)
    if picture.format == "TIFF":
        alone = mode in ("LAB", "I", "F")  # OpenCV reads these wrongly, or not at all
        way = 1  # both always apply the orientation of a TIFF
    else:
        alone = picture.format in ("GIF", "AVIF", "HEIF")
        alone |= (picture.format, mode) == ("JPEG2000", "CMYK")
    if alone:
        if number and page is None:
            seek_picture(picture, number, path)
        values = _loaded(picture, path)
    else:
        values = _unpacked(data, path, number if picture.format == "TIFF" else 0)
    rgb, scaled = _eight_bits(values)
    if values.dtype != np.uint8 and tags.get(262) == 0:  # WhiteIsZero, which neither inverts
        rgb = 255 - rgb
    rgb = np.ascontiguousarray(_TURNS[way](rgb)) if way in _TURNS else rgb
    return rgb, picture, "; ".join(filter(None, (note, scaled)))


def film(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """Iterate over the frames of an animated GIF, PNG, WebP or AVIF, composited on white.

    Yields:
        (H, W, 3) uint8 RGB, and its time in seconds since the first frame.

    Raises:
        VitruvianError: the file is missing, not an animation, or truncated.
    """
    seconds = 0.0
    with open_as(path, path) as picture:
        way, numbers = orientation(picture), film_numbers(picture)
        for number in numbers:
            seek_picture(picture, number, path)
            rgb = _loaded(picture, path)
            yield np.ascontiguousarray(_TURNS[way](rgb)) if way in _TURNS else rgb, seconds
            shown_ms = float(picture.info.get("duration") or 0)
            if picture.format != "AVIF" and not shown_ms >= SHORTEST_MS:
                shown_ms = INSTEAD_MS
            seconds += shown_ms / 1000


def film_length(path: Path) -> int:
    """Number of frames of `film`."""
    with open_as(path, path) as picture:
        return len(film_numbers(picture))


def _loaded(picture: Image, path: Path) -> np.ndarray:
    """Decode with Pillow: (H, W, 3) uint8, or (H, W) of more than 8 bits."""
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
    """Decode with OpenCV: (H, W, 3) in the file's bit depth; only TIFF with orientation applied."""
    import cv2

    array, tiff = np.frombuffer(data, np.uint8), data[:4] in TIFF_HEADS
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    if tiff:  # OpenCV 5.0 leaves 16-bit TIFF uninitialised as RGB (findings/pictures_tiff.sh)
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
    """Convert values to (H, W, 3) uint8, with the assumptions; `linear`: values in linear light."""
    if values.dtype == np.uint8:
        return values, ""
    note = ""
    whole = np.issubdtype(values.dtype, np.integer)
    finite = np.where(np.isfinite(values), values, 0) if not whole else values
    low, high = float(finite.min()), float(finite.max())
    if whole and low >= 0 and high < 1 << 16:
        bits = next((bits for bits in DEPTHS if high < 1 << bits), 16)
        if bits < 16 and high > 0:
            note = f"its 16-bit values reach {high:.0f} at most and are read as {bits} bits"
        scaled = finite >> (bits - 8)
    elif linear:
        white = float(np.percentile(finite, WHITE)) or 1.0
        scaled = np.clip(finite / white, 0, 1) ** (1 / 2.2) * 255
        note = f"its values are linear light: {white:.3g} is mapped to white"
    elif not whole and low >= 0 and 0 < high <= 1:
        scaled = finite * 255
    else:
        scaled = (finite.astype(np.float64) - low) * (255 / max(high - low, 1e-30))
        note = f"its values from {low:.4g} to {high:.4g} are mapped to black to white"
    rgb = (scaled if whole and scaled.dtype != np.float64 else np.round(scaled)).astype(np.uint8)
    return rgb if rgb.ndim == 3 else np.stack([rgb] * 3, axis=-1), note
