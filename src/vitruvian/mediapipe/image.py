"""`mp.Image` and `mp.ImageFormat`."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import numpy as np

MOST_BYTES = 1 << 30  # of an image file


class ImageFormat(enum.IntEnum):
    """What the numbers of an image are; the values are MediaPipe's."""

    SRGB = 1
    SRGBA = 2
    GRAY8 = 3
    GRAY16 = 4
    SRGB48 = 7
    SRGBA64 = 8
    VEC32F1 = 9
    SBGRA = 11
    VEC32F2 = 12

    __str__ = enum.Enum.__str__


_CHANNELS = {
    "uint8": {ImageFormat.GRAY8: 1, ImageFormat.SRGB: 3, ImageFormat.SRGBA: 4},
    "uint16": {ImageFormat.GRAY16: 1, ImageFormat.SRGB48: 3, ImageFormat.SRGBA64: 4},
    "float32": {ImageFormat.VEC32F1: 1, ImageFormat.VEC32F2: 2},
}


class Image:
    """An image, as tasks take and give it.

    Two deviations from MediaPipe: arrays need not be contiguous, and one whose shape is not that of
    its format is an error, not an image of other memory.
    """

    def __init__(self, image_format: ImageFormat, data: np.ndarray) -> None:
        """Copy an array.

        Args:
            image_format: the format.
            data: (H, W, channels of the format), or (H, W) for one; uint8, uint16 or float32.

        Raises:
            TypeError: not an array of one of these types.
            RuntimeError: the type is not one of the format.
            ValueError: the shape is not one of the format.
        """
        known = _CHANNELS.get(str(getattr(data, "dtype", "")))
        if not isinstance(data, np.ndarray) or known is None:
            got = data.dtype if isinstance(data, np.ndarray) else type(data).__name__
            raise TypeError(f"Image: want an array of uint8, uint16 or float32, got {got}")
        if image_format not in known:
            names = ", ".join(each.name for each in known)
            raise RuntimeError(f"{data.dtype} image data should be one of {names}")
        channels = known[image_format]
        data = data[..., 0] if channels == 1 and data.shape[2:] == (1,) else data
        if data.shape[2:] != ((channels,) if channels > 1 else ()) or data.ndim < 2:
            name = ImageFormat(image_format).name
            raise ValueError(f"Image: {name} wants {channels} channels, got shape {data.shape}")
        self._format, self.channels = ImageFormat(image_format), channels
        self._data = np.array(data, order="C")
        self._data.setflags(write=False)

    @classmethod
    def create_from_file(cls, file_name: str) -> Image:
        """Read an image file as 8 bits: as it is stored, whatever its EXIF orientation.

        Raises:
            RuntimeError: the file is missing, or not an image.
        """
        import cv2

        path = Path(file_name)
        try:
            if path.stat().st_size > MOST_BYTES:
                raise RuntimeError(f"Image decoding failed (larger than {MOST_BYTES}): {path}")
            coded = np.fromfile(path, np.uint8)
        except OSError:
            raise RuntimeError(f"Image decoding failed (can't fopen): {path}") from None
        read: Any = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED) if len(coded) else None
        if read is None:
            raise RuntimeError(f"Image decoding failed (unknown image type): {path}")
        if read.dtype == np.uint16:
            read = (read >> 8).astype(np.uint8)
        if read.dtype != np.uint8:
            raise RuntimeError(f"Image decoding failed (not 8 or 16 bits): {path}")
        if read.ndim == 2:
            return cls(ImageFormat.GRAY8, read)
        if read.shape[2] == 4:
            return cls(ImageFormat.SRGBA, cv2.cvtColor(read, cv2.COLOR_BGRA2RGBA))
        return cls(ImageFormat.SRGB, cv2.cvtColor(read, cv2.COLOR_BGR2RGB))

    @property
    def image_format(self) -> ImageFormat:
        """The format."""
        return self._format

    @property
    def width(self) -> int:
        """Pixels."""
        return self._data.shape[1]

    @property
    def height(self) -> int:
        """Pixels."""
        return self._data.shape[0]

    @property
    def step(self) -> int:
        """Bytes of a row."""
        return self._data.strides[0]

    def numpy_view(self) -> np.ndarray:
        """(H, W, channels), or (H, W) for one; read-only."""
        return self._data

    def __getitem__(self, index: Any) -> int | float:
        if self._data.ndim != len(index if isinstance(index, tuple) else (index,)):
            raise IndexError(f"Invalid index dimension: {len(index)}")
        return self._data[index].item()

    def is_contiguous(self) -> bool:
        """Always."""
        return True

    def is_empty(self) -> bool:
        """Whether it has no pixels."""
        return self._data.size == 0

    def uses_gpu(self) -> bool:
        """Never."""
        return False

    def __repr__(self) -> str:
        return f"<Image {self.width} x {self.height} {self._format.name}>"
