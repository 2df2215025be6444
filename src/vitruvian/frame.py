"""Frame: one picture, with its place in time. Picture files: see `vitruvian.picture_files`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vitruvian import picture_files
from vitruvian.errors import VitruvianError, note, shown
from vitruvian.geometry.camera import Camera
from vitruvian.geometry.crop import Crop
from vitruvian.picture_files import picture_size as picture_size


class Coded(Protocol):
    """Pixels as a video has them, not RGB yet: most of a frame is never looked at."""

    size: tuple[int, int]  # width and height, as shown

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, all of it."""
        ...

    def part(self, box: np.ndarray) -> tuple[np.ndarray, tuple[int, int]] | None:
        """(h, w, 3) uint8 that holds the box, and the pixel it begins at; None if not worth it."""
        ...


def checked(frames: Any) -> Sequence[Frame]:
    """The frames that a model is given: a list of `Frame`s.

    Raises:
        VitruvianError: they are something else.
    """
    several = isinstance(frames, Sequence) and not isinstance(frames, str)
    if several and all(isinstance(frame, Frame) for frame in frames):
        return frames
    one = next(frame for frame in frames if not isinstance(frame, Frame)) if several else frames
    way_out = "write model([vit.Frame.bgr(array)]) for OpenCV's order, vit.Frame(array) for RGB"
    if isinstance(one, (str, Path)):
        way_out = f"write model([vit.Frame.read({shown(str(one), 60)!r})]), or vit.run"
    elif isinstance(one, Frame):
        way_out = "write model([frame])[0]"
    got = type(frames).__name__ if one is frames else f"a list of {type(one).__name__}"
    raise VitruvianError(f"a model wants a list of vit.Frame, got {got}; {way_out}")


def _eight_bits(pixels: Any, who: str, order: str) -> np.ndarray:
    """The pixels, if they are (H, W, 3) uint8.

    Raises:
        VitruvianError: they are not, with what makes them so.
    """
    shape, dtype = getattr(pixels, "shape", None), getattr(pixels, "dtype", None)
    got = type(pixels).__name__ if shape is None else f"{shape} {dtype}"
    grey = isinstance(shape, tuple) and (len(shape) == 2 or shape[2:] == (1,))
    if not isinstance(pixels, np.ndarray):
        way_out = "use Frame.read for files, or np.asarray"
    elif 0 in pixels.shape:
        way_out = "it is empty: was there a picture at all?"
    elif pixels.dtype != np.uint8 and pixels.dtype.kind == "f":
        way_out = "of values from 0 to 1 make (255 * array).astype(np.uint8)"
    elif pixels.dtype != np.uint8:
        way_out = "bring it to 8 bits, or use Frame.read for files"
    elif grey:
        way_out = "of a grey picture make np.stack([grey] * 3, axis=-1), or use Frame.read"
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        way_out = "drop alpha with [..., :3]"
    elif pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels
    elif pixels.ndim == 3 and pixels.shape[0] == 3:
        way_out = "put the channels last: np.moveaxis(array, 0, -1)"
    elif pixels.ndim == 4:
        way_out = "it holds several pictures: make one Frame of each"
    else:
        way_out = "for other pictures use Frame.read"
    raise VitruvianError(f"a {who} wants (H, W, 3) uint8 {order}, got {got}; {way_out}")


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
        pixels = _eight_bits(pixels, "Frame", "RGB")
        if max(pixels.shape) > LONGEST_SIDE:
            raise VitruvianError(
                f"'{self.source}' is {pixels.shape[1]} x {pixels.shape[0]} pixels, want at most "
                f"{LONGEST_SIDE} along a side; make it smaller first"
            )
        object.__setattr__(self, "size", (pixels.shape[1], pixels.shape[0]))

    def __reduce__(self) -> tuple[object, ...]:
        """Frames of videos go to other processes as the pixels they are shown with."""
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
                f"{where} was read from a record and has no pixels; open the source"
            )
        if isinstance(self.pixels, np.ndarray):
            return self.pixels
        with self._decoding():
            return self.pixels.rgb()

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """What goes wrong inside is of the file, though it is only looked at much later."""
        try:
            yield
        except (OSError, ValueError, MemoryError, ArithmeticError, RuntimeError) as error:
            fault = f"{type(error).__name__}: {shown(error, 120)}"
            raise VitruvianError(
                f"cannot decode frame {self.index} of '{shown(self.source, 80)}': {fault}"
            ) from None

    def part(self, box: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """The pixels in and around a box, or more than those; the same as in `rgb`.

        Args:
            box: (4,) x0 y0 x1 y1, pixels of the frame; it may reach beyond it.

        Returns:
            (h, w, 3) uint8, and the column and row of the frame that it begins at.
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

        Of a video no more is decoded than the crop shows.
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
        """A frame of a picture as OpenCV has it: (H, W, 3) uint8, its channels blue, green, red.

        What `cv2.imread` and `cv2.VideoCapture.read` give; `Frame(array)` is for RGB.

        Raises:
            VitruvianError: it is no such picture.
        """
        import cv2

        rgb = cv2.cvtColor(_eight_bits(pixels, "Frame.bgr", "BGR"), cv2.COLOR_BGR2RGB)
        return cls(rgb, index, seconds, source, camera)

    @classmethod
    def read(cls, path: str | Path, index: int = 0) -> Frame:
        """A picture file as 8-bit RGB, whatever it was, turned as its EXIF orientation says.

        Its camera is the one that its EXIF data tell of, if they do. Of more than 8 bits the range
        that is used becomes black to white; of several pictures it is the first, or, of a TIFF,
        the page that `scan.tif[1]` names, from 0. What was assumed is said on standard error.

        Raises:
            VitruvianError: it is missing, empty, no picture, cut short, or unreasonably large.
        """
        frame, assumed = cls.read_and_say(path, index)
        if assumed:
            note(f"'{shown(path, 100)}': {assumed}")
        return frame

    @classmethod
    def read_and_say(cls, path: str | Path, index: int = 0) -> tuple[Frame, str]:
        """As `read`, and what was assumed; "" for nothing."""
        from vitruvian.geometry.calibration import photo_focal

        rgb, picture, assumed = picture_files.read(Path(path))
        size = (rgb.shape[1], rgb.shape[0])
        focal = None if picture is None else photo_focal(picture)
        camera = None if focal is None else Camera.with_focal(size, focal, "exif")
        return cls(rgb, index, source=str(path), camera=camera), assumed


def exif_orientation(path: Path) -> int:
    """How a picture file is to be turned, 1 to 8 as EXIF has it; 1 if it does not say."""
    try:
        with picture_files.opened(path) as picture:
            return picture_files.orientation(picture)
    except VitruvianError:
        return 1
