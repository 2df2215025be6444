"""Frame: one picture, with its place in time. Also the only home of picture files on the way in."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.geometry.camera import Camera

LONGEST_SIDE = 32766  # pixels; OpenCV's remap keeps positions in 16 bits


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture and when it was taken."""

    pixels: np.ndarray | None  # (H, W, 3) uint8 RGB; None for a frame read back from a record
    index: int = 0  # which one of its source, from 0
    seconds: float = 0.0  # since the start of the source, by its presentation time stamps
    source: str = ""  # file, camera or address
    camera: Camera | None = None
    size: tuple[int, int] = (0, 0)  # width and height; taken from the pixels where there are any

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels is None:
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

    @property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        if self.pixels is None:
            where = f"frame {self.index} of '{self.source}'"
            raise VitruvianError(
                f"{where} was read from a record and has no pixels; open the source"
            )
        return self.pixels

    @classmethod
    def read(cls, path: str | Path, index: int = 0) -> Frame:
        """A picture file as 8-bit RGB, whatever it was, turned as its EXIF orientation says.

        Raises:
            VitruvianError: it is missing, empty, no picture, cut short, or unreasonably large.
        """
        import cv2

        path = Path(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise VitruvianError(f"cannot read '{path}': {error.strerror}") from None
        if fault := _fault(data):
            raise VitruvianError(f"cannot read '{path}': {fault}")
        try:
            rgb = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error as error:
            raise VitruvianError(f"cannot read '{path}': {error.err}") from None
        if rgb is None:
            raise VitruvianError(f"cannot read '{path}': it is cut short, damaged, or no picture")
        return cls(rgb, index, source=str(path))


def _fault(data: bytes) -> str:
    """What is wrong with a picture file as far as can be told before it is unpacked."""
    from PIL import Image, UnidentifiedImageError

    if not data:
        return "it is empty"
    try:
        # A file of a few kB can claim any size; Pillow reads the size without unpacking, and
        # refuses more than 179 million pixels.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as picture:
                if picture.format == "TIFF" and "A" in picture.getbands():
                    return "OpenCV makes TIFF with transparency black; save it as PNG"
    except Image.DecompressionBombError:
        return "it claims more than 179 million pixels; make it smaller first"
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return ""  # OpenCV reads some that Pillow does not, and has the last word
    if data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data:
        return "it is cut short"  # OpenCV before 5 fills the rest with grey and says nothing
    return ""
