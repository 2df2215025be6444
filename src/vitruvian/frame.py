"""Frame: one picture, with its place in time. Also the only home of picture files on the way in."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.geometry.camera import Camera


class Coded(Protocol):
    """Pixels as a video has them, not RGB yet: most of a frame is never looked at."""

    size: tuple[int, int]  # width and height, as shown

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, all of it."""
        ...

    def part(self, box: np.ndarray) -> tuple[np.ndarray, tuple[int, int]] | None:
        """(h, w, 3) uint8 that holds the box, and the pixel it begins at; None if not worth it."""
        ...


LONGEST_SIDE = 32766  # pixels; OpenCV's remap keeps positions in 16 bits


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture and when it was taken."""

    # (H, W, 3) uint8 RGB, or what can be made RGB; None for a frame read back from a record
    pixels: np.ndarray | Coded | None
    index: int = 0  # which one of its source, from 0
    seconds: float = 0.0  # since the start of the source, by its presentation time stamps
    source: str = ""  # file, camera or address
    camera: Camera | None = None  # None: nobody knows; `Camera.view(size)` is assumed
    size: tuple[int, int] = (0, 0)  # width and height; taken from the pixels where there are any

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels is None:
            return
        if not isinstance(pixels, np.ndarray) and hasattr(pixels, "part"):
            object.__setattr__(self, "size", pixels.size)
            return
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3:
            got = f"{getattr(pixels, 'shape', type(pixels).__name__)}"
            raise VitruvianError(
                f"a Frame wants (H, W, 3) uint8 RGB, got {got} {getattr(pixels, 'dtype', '')}; "
                "for other pictures use Frame.read, or np.stack([grey] * 3, axis=-1)"
            )
        if pixels.shape[2] != 3 or 0 in pixels.shape:
            raise VitruvianError(
                f"a Frame wants (H, W, 3) uint8 RGB, got {pixels.shape}; drop alpha with [..., :3]"
            )
        if max(pixels.shape) > LONGEST_SIDE:
            raise VitruvianError(
                f"'{self.source}' is {pixels.shape[1]} x {pixels.shape[0]} pixels, want at most "
                f"{LONGEST_SIDE} along a side; make it smaller first"
            )
        object.__setattr__(self, "size", (pixels.shape[1], pixels.shape[0]))

    @cached_property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        if self.pixels is None:
            where = f"frame {self.index} of '{self.source}'"
            raise VitruvianError(
                f"{where} was read from a record and has no pixels; open the source"
            )
        return self.pixels if isinstance(self.pixels, np.ndarray) else self.pixels.rgb()

    def part(self, box: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """The pixels in and around a box, or more than those; the same as in `rgb`.

        Args:
            box: (4,) x0 y0 x1 y1, pixels of the frame; it may reach beyond it.

        Returns:
            (h, w, 3) uint8, and the column and row of the frame that it begins at.
        """
        coded = self.pixels
        if coded is not None and not isinstance(coded, np.ndarray) and "rgb" not in vars(self):
            found = coded.part(box)
            if found is not None:
                return found
        return self.rgb, (0, 0)

    @classmethod
    def read(cls, path: str | Path, index: int = 0) -> Frame:
        """A picture file as 8-bit RGB, whatever it was, turned as its EXIF orientation says.

        Its camera is the one that its EXIF data tell of, if they do.

        Raises:
            VitruvianError: it is missing, empty, no picture, cut short, or unreasonably large.
        """
        import cv2

        path = Path(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise VitruvianError(f"cannot read '{path}': {error.strerror}") from None
        fault, focal = _examine(data)
        if fault:
            raise VitruvianError(f"cannot read '{path}': {fault}")
        try:
            rgb = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error as error:
            raise VitruvianError(f"cannot read '{path}': {error.err}") from None
        if rgb is None:
            raise VitruvianError(f"cannot read '{path}': it is cut short, damaged, or no picture")
        size = (rgb.shape[1], rgb.shape[0])
        camera = None if focal is None else Camera.with_focal(size, focal, "exif")
        return cls(rgb, index, source=str(path), camera=camera)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture file as `Frame.read` has it, without unpacking it.

    Raises:
        VitruvianError: it is missing, or no picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            across = picture.getexif().get(0x0112, 1) >= 5  # the tag Orientation: a quarter turn
            width, height = picture.size
            return (height, width) if across else (width, height)
    except UnidentifiedImageError:
        raise VitruvianError(f"cannot read '{path}': it is damaged, or no picture") from None
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror or error}") from None


def exif_orientation(path: Path) -> int:
    """How a picture file is to be turned, 1 to 8 as EXIF has it; 1 if it does not say."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            value = picture.getexif().get(0x0112, 1)
            return value if value in range(1, 9) else 1
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 1


def _examine(data: bytes) -> tuple[str, float | None]:
    """What is known of a picture file before it is unpacked.

    Returns:
        What is wrong with it, as far as can be told; "" for nothing.
        The focal length it was taken with, pixels; None if its EXIF data do not say.
    """
    from PIL import Image, UnidentifiedImageError

    from vitruvian.geometry.calibration import photo_focal

    focal = None
    if not data:
        return "it is empty", None
    try:
        # A file of a few kB can claim any size; Pillow reads the size without unpacking, and
        # refuses more than 179 million pixels.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as picture:
                if picture.format == "TIFF" and "A" in picture.getbands():
                    return "OpenCV makes TIFF with transparency black; save it as PNG", None
                focal = photo_focal(picture)
    except Image.DecompressionBombError:
        return "it claims more than 179 million pixels; make it smaller first", None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return "", None  # OpenCV reads some that Pillow does not, and has the last word
    if data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data:
        return "it is cut short", None  # OpenCV before 5 fills it with grey and says nothing
    return "", focal
