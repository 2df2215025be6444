"""Frame: one image with its index, time and camera. Image files: see `vitruvian.picture_files`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vitruvian.errors import VitruvianError, note, shown
from vitruvian.geometry.camera import Camera
from vitruvian.geometry.crop import Crop
from vitruvian.picture_files.encode import encode_picture
from vitruvian.picture_files.opened import opened, orientation
from vitruvian.picture_files.opened import picture_size as picture_size
from vitruvian.picture_files.pixels import read_picture


class Coded(Protocol):
    """Pixels in a video's own format (YUV): converted to RGB only where needed."""

    size: tuple[int, int]  # width and height, as shown

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, the whole frame."""
        ...

    def part(self, box: np.ndarray) -> tuple[np.ndarray, tuple[int, int]] | None:
        """(h, w, 3) uint8 that contains the box, and its top left pixel; None if not faster."""
        ...


def checked(frames: Any) -> Sequence[Frame]:
    """Check that a model's input is a list of `Frame`s.

    Raises:
        VitruvianError: it is not; the message says what to write instead.
    """
    several = isinstance(frames, Sequence) and not isinstance(frames, str)
    if several and all(isinstance(frame, Frame) for frame in frames):
        return frames
    one = next(frame for frame in frames if not isinstance(frame, Frame)) if several else frames
    way_out = "write model([vit.Frame.bgr(array)]) for BGR (OpenCV), vit.Frame(array) for RGB"
    if isinstance(one, (str, Path)):
        way_out = f"write model([vit.Frame.read({shown(str(one), 60)!r})]), or vit.run"
    elif isinstance(one, Frame):
        way_out = "write model([frame])[0]"
    got = type(frames).__name__ if one is frames else f"a list of {type(one).__name__}"
    raise VitruvianError(f"a model wants a list of vit.Frame, got {got}; {way_out}")


def _eight_bits(pixels: Any, who: str, order: str) -> np.ndarray:
    """Check that pixels are (H, W, 3) uint8.

    Raises:
        VitruvianError: they are not; the message says how to convert them.
    """
    shape, dtype = getattr(pixels, "shape", None), getattr(pixels, "dtype", None)
    got = type(pixels).__name__ if shape is None else f"{shape} {dtype}"
    grey = isinstance(shape, tuple) and (len(shape) == 2 or shape[2:] == (1,))
    if not isinstance(pixels, np.ndarray):
        way_out = "use Frame.read for files, or np.asarray"
    elif 0 in pixels.shape:
        way_out = "it is empty; check that the image was read"
    elif pixels.dtype != np.uint8 and pixels.dtype.kind == "f":
        way_out = "for values from 0 to 1 use (255 * array).astype(np.uint8)"
    elif pixels.dtype != np.uint8:
        way_out = "convert it to 8 bits, or use Frame.read for files"
    elif grey:
        way_out = "for a grey image use np.stack([grey] * 3, axis=-1), or use Frame.read"
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        way_out = "drop alpha with [..., :3]"
    elif pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels
    elif pixels.ndim == 3 and pixels.shape[0] == 3:
        way_out = "put the channels last: np.moveaxis(array, 0, -1)"
    elif pixels.ndim == 4:
        way_out = "it holds several images; make one Frame per image"
    else:
        way_out = "for other formats use Frame.read"
    raise VitruvianError(f"a {who} wants (H, W, 3) uint8 {order}, got {got}; {way_out}")


IN_CELL = 640  # pixels, the longer side in a notebook, which stores it as PNG
LONGEST_SIDE = 32766  # pixels; OpenCV's remap keeps positions in 16 bits


@dataclass(frozen=True, eq=False)
class Frame:
    """An image (RGB) with its index, time, source and camera."""

    # (H, W, 3) uint8 RGB, or encoded pixels of a video; None for a frame read from a record
    pixels: np.ndarray | Coded | None
    index: int = 0  # frame number in its source, from 0
    seconds: float = 0.0  # since the start of the source: presentation timestamp (PTS)
    source: str = ""  # file, camera or URL
    camera: Camera | None = None  # None: unknown; `Camera.view(size)` is assumed
    size: tuple[int, int] = (0, 0)  # width and height; from the pixels, or the camera, if given

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels is None:
            if self.camera is not None and not all(self.size):
                object.__setattr__(self, "size", self.camera.size)
            return
        if not isinstance(pixels, np.ndarray) and hasattr(pixels, "part"):
            object.__setattr__(self, "size", pixels.size)
            return
        pixels = _eight_bits(pixels, "Frame", "RGB")
        if max(pixels.shape) > LONGEST_SIDE:
            raise VitruvianError(
                f"'{self.source}' is {pixels.shape[1]} x {pixels.shape[0]} pixels, want at most "
                f"{LONGEST_SIDE} along a side; make it smaller first"
            )
        object.__setattr__(self, "size", (pixels.shape[1], pixels.shape[0]))

    def __repr__(self) -> str:
        what = f"{self.size[0]} x {self.size[1]}" + (", no pixels" if self.pixels is None else "")
        where = f", source={shown(self.source)!r}" if self.source else ""
        return f"Frame({what}, index={self.index}, seconds={self.seconds:g}{where})"

    def _repr_png_(self) -> bytes | None:
        return None if self.pixels is None else encode_picture(self.rgb, ".png", IN_CELL)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle frames of videos with their RGB pixels."""
        pixels = self.pixels
        if pixels is not None and not isinstance(pixels, np.ndarray):
            pixels = self.rgb
        return Frame, (pixels, self.index, self.seconds, self.source, self.camera, self.size)

    @cached_property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        if self.pixels is None:
            where = f"frame {self.index} of '{self.source}'"
            raise VitruvianError(
                f"{where} was read from a record and has no pixels; open its source instead"
            )
        if isinstance(self.pixels, np.ndarray):
            return self.pixels
        with self._decoding():
            return self.pixels.rgb()

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """Report errors of lazy decoding as errors of the source."""
        try:
            yield
        except (OSError, ValueError, MemoryError, ArithmeticError, RuntimeError) as error:
            fault = f"{type(error).__name__}: {shown(error, 120)}"
            raise VitruvianError(
                f"cannot decode frame {self.index} of '{shown(self.source, 80)}': {fault}"
            ) from None

    def part(self, box: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """A part of `rgb` that contains at least the box.

        Args:
            box: (4,) x0 y0 x1 y1, pixels of the frame; it may extend beyond the frame.

        Returns:
            (h, w, 3) uint8, and the column and row of its top left pixel in the frame.
        """
        coded = self.pixels
        if coded is not None and not isinstance(coded, np.ndarray) and "rgb" not in vars(self):
            with self._decoding():
                found = coded.part(box)
            if found is not None:
                return found
        return self.rgb, (0, 0)

    def cut(self, crop: Crop, *, replicate: bool = False, antialias: int = 0) -> np.ndarray:
        """(height, width, 3) uint8 RGB of a crop of this frame; see `Crop.cut`.

        Only the pixels that the crop needs are converted to RGB.
        """
        rgb, corner = self.part(crop.bounds())
        return crop.within(corner).cut(rgb, replicate=replicate, antialias=antialias)

    @classmethod
    def bgr(
        cls,
        pixels: np.ndarray,
        index: int = 0,
        seconds: float = 0.0,
        source: str = "",
        camera: Camera | None = None,
    ) -> Frame:
        """A frame from an OpenCV image: (H, W, 3) uint8 in BGR order.

        For the output of `cv2.imread` and `cv2.VideoCapture.read`; `Frame(array)` takes RGB.

        Raises:
            VitruvianError: the array has another shape or type.
        """
        import cv2

        rgb = cv2.cvtColor(_eight_bits(pixels, "Frame.bgr", "BGR"), cv2.COLOR_BGR2RGB)
        return cls(rgb, index, seconds, source, camera)

    @classmethod
    def read(cls, path: str | Path, index: int = 0) -> Frame:
        """Read an image file as 8-bit RGB, with its EXIF orientation applied.

        The camera is derived from the EXIF data, if present. Images of more than 8 bits are scaled
        to 8 bits by the range that they use. Of a file with several images the first is read;
        `scan.tif[1]` is page 1 of a TIFF, counted from 0. Assumptions are reported on standard
        error.

        Raises:
            VitruvianError: the file is missing, empty, not an image, truncated, or too large.
        """
        frame, assumed = cls.read_and_say(path, index)
        if assumed:
            note(f"'{shown(path, 100)}': {assumed}")
        return frame

    @classmethod
    def read_and_say(cls, path: str | Path, index: int = 0) -> tuple[Frame, str]:
        """As `read`, with the assumptions that were made; "" if none."""
        from vitruvian.geometry.calibration import photo_focal

        rgb, picture, assumed = read_picture(Path(path))
        size = (rgb.shape[1], rgb.shape[0])
        focal = None if picture is None else photo_focal(picture)
        camera = None if focal is None else Camera.with_focal(size, focal, "exif")
        return cls(rgb, index, source=str(path), camera=camera), assumed


def exif_orientation(path: Path) -> int:
    """EXIF orientation of an image file, 1 to 8; 1 if it has none."""
    try:
        with opened(path) as picture:
            return orientation(picture)
    except VitruvianError:
        return 1
