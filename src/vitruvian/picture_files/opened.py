"""Open image files with Pillow and pi-heif: format, pages, size and EXIF orientation.

Nothing is decoded here; see `vitruvian.picture_files.pixels`.
"""

from __future__ import annotations

import io
import math
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.documents import unreadable
from vitruvian.errors import VitruvianError
from vitruvian.picture_files.content import (
    AVIF_BRANDS,
    BOMB,
    HEAD,
    OTHER_KINDS,
    TIFF_HEADS,
    file_brands,
    is_heif,
    page_of,
    picture_bytes,
    refuse_damaged_heif,
)

if TYPE_CHECKING:
    from PIL.Image import Image

# Formats that Pillow may try. Not EPS, which starts other programs, nor rare formats.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF")
MOVING = ("GIF", "PNG", "WEBP", "AVIF")  # formats that can be animated
QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
CUT_SHORT = "it is cut short, damaged, or not an image"
# Exceptions of Pillow and pi-heif for damaged files: none are documented, all were observed.
DAMAGED = (OSError, ValueError, SyntaxError, LookupError, TypeError, struct.error)
DAMAGED += (EOFError, ArithmeticError, RuntimeError, AssertionError)


def kind(path: Path) -> str:
    """Kind of a file by its content: "picture", "moving", "pages", "video", "macos" or "".

    "moving" is an animated image, "pages" a multi-page TIFF, "macos" a metadata file of macOS
    (._NAME). "" is unknown or unreadable.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return ""
        with path.open("rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError):
        return ""
    if head.startswith(OTHER_KINDS[0][0]):
        return "macos"
    if head.startswith(b"\xff\xd8\xff"):
        return "" if path.suffix.lower() in (".mjpeg", ".mjpg") else "picture"
    webp, tiff = head[:4] == b"RIFF" and head[8:12] == b"WEBP", head[:4] in TIFF_HEADS
    brands = file_brands(head)
    if is_heif(brands):
        # The first brand is the main one; of image sequences, which are a video track.
        return "video" if head[8:12] in (b"msf1", b"hevc", b"hevx") else "picture"
    if head.startswith(b"\x1aE\xdf\xa3") or (brands and not brands & AVIF_BRANDS):
        return "video"  # Matroska, or MP4 and its relatives
    if head.startswith(b"\x89PNG") and b"IDAT" in head and b"acTL" not in head:
        return "picture"
    if webp and not (head[12:16] == b"VP8X" and head[20:21] and head[20] & 2):
        return "picture"
    if not (webp or tiff or brands or head.startswith((b"GIF8", b"\x89PNG"))):
        return ""
    try:
        with open_as(path, path) as picture:
            if tiff:
                return "pages" if len(page_numbers(picture)) > 1 else "picture"
            return "moving" if len(film_numbers(picture)) > 1 else "picture"
    except VitruvianError:
        return "picture"  # the error is raised when it is read


def pages(path: Path) -> list[Path]:
    """The pages of a TIFF, each as `scan.tif[0]`; without thumbnails and masks."""
    with open_as(path, path) as picture:
        return [path.with_name(f"{path.name}[{page}]") for page in page_numbers(picture)]


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file as read by `read_picture`, without decoding it.

    Raises:
        VitruvianError: the file is missing or not an image.
    """
    file, page = page_of(path)
    with open_as(file, path) as picture:
        if page:
            seek_picture(picture, page, path)
        return upright(picture)


@contextmanager
def opened(path: Path) -> Iterator[Image]:
    """Open an image file with Pillow, without decoding it.

    Raises:
        VitruvianError: the file is missing or not an image.
    """
    with open_as(page_of(path)[0], path) as picture:
        yield picture


def upright(picture: Image) -> tuple[int, int]:
    """Width and height of an open image, with its EXIF orientation applied."""
    width, height = picture.size
    if picture.format == "TIFF":  # versions of Pillow differ in whether they swap its size
        tags: Any = picture
        width, height = int(tags.tag_v2[256]), int(tags.tag_v2[257])
    return (height, width) if orientation(picture) in QUARTER_TURNS else (width, height)


def orientation(picture: Image) -> int:
    """EXIF orientation, 1..8, ignoring XMP; 1 if missing, and for HEIF (decoded upright)."""
    if picture.format == "HEIF":
        return 1
    # Pillow decodes a whole PNG to look for EXIF data at its end, where no software writes them.
    if picture.format == "PNG" and not {"exif", "Raw profile type exif"} & picture.info.keys():
        return 1
    for name in ("xmp", "XML:com.adobe.xmp"):
        picture.info.pop(name, None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tags that are damaged
            found = picture.getexif().get(0x0112, 1)
    except DAMAGED:
        return 1  # damaged; the image may be whole
    return found if found in range(2, 9) else 1


class UnknownPicture(VitruvianError):
    """Pillow does not recognise the format."""


@contextmanager
def open_as(file: Path | io.BytesIO, path: Path) -> Iterator[Any]:
    """Open a file or its bytes with Pillow or pi-heif; `path` is for error messages."""
    import PIL.Image

    try:
        # A file of a few kB can claim any size; Pillow reads the size without decoding, and
        # refuses more than 179 million pixels.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if isinstance(file, Path):
                with file.open("rb") as begun:
                    head = begun.read(HEAD)
            else:
                head = file.getvalue()[:HEAD]
            if is_heif(file_brands(head)):
                picture = _heif(file)
            else:
                picture = PIL.Image.open(file, formats=FORMATS)
    except PIL.Image.DecompressionBombError:
        raise unreadable(path, BOMB) from None
    except PIL.UnidentifiedImageError:
        raise UnknownPicture(str(unreadable(path, CUT_SHORT))) from None
    except DAMAGED as error:
        why = getattr(error, "strerror", None) or CUT_SHORT
        raise UnknownPicture(str(unreadable(path, why))) from None
    with picture, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tags that are damaged, and large images
        yield picture


def import_heif() -> Any:
    """Import pi-heif, which reads HEIC photos of phones.

    Raises:
        VitruvianError: it is not installed or does not load.
    """
    try:
        import pi_heif
    except ImportError as error:
        raise VitruvianError(
            f"HEIC and HEIF need pi-heif, which does not load ({error}); pip install pi-heif"
        ) from None
    return pi_heif


def _heif(file: Path | io.BytesIO) -> Any:
    """Open the primary image of a HEIF file; thumbnails and depth maps are ignored."""
    import PIL.Image

    data = file.getvalue() if isinstance(file, io.BytesIO) else picture_bytes(file)
    refuse_damaged_heif(data)
    picture = import_heif().HeifImageFile(io.BytesIO(data))
    if not picture.info.get("primary"):  # pi-heif then fell back to another
        picture.close()
        raise ValueError
    if math.prod(picture.size) > 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0):
        raise PIL.Image.DecompressionBombError
    return picture


def page_numbers(picture: Any) -> list[int]:
    """Indices of the pages of a TIFF, without thumbnails and masks."""
    found = []
    try:
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            if not int(picture.tag_v2.get(254, 0)) & 5:  # NewSubfileType
                found.append(number)
        picture.seek(0)
    except DAMAGED:
        pass  # truncated after these pages
    return found or [0]


def film_numbers(picture: Any) -> range:
    """Indices of the frames of an animation: an animated PNG may have a separate default image."""
    if picture.format not in MOVING:
        return range(1)
    try:
        whole = getattr(picture, "n_frames", 1)
    except DAMAGED:
        return range(1)
    return range(1 if picture.info.get("default_image") and whole > 1 else 0, whole)


def seek_picture(picture: Any, number: int, path: Path) -> None:
    """Go to a page or frame of a file; `VitruvianError` if it is missing or damaged."""
    import PIL.Image

    try:
        picture.seek(number)
    except PIL.Image.DecompressionBombError:
        raise unreadable(path, BOMB) from None
    except DAMAGED:
        raise unreadable(path, f"it has no image {number}, or is cut short there") from None
