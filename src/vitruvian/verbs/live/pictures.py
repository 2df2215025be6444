"""Images of the live page: decoded from untrusted messages, and encoded for viewers.

A message of a browser's camera is a header of 18 bytes, little endian: the number of the frame
(uint32), its capture time in seconds (float64), its format (uint8), whether Y, U and V use the full
range 0..255 (uint8), and the width and height of raw pixels (uint16 each, 0 for encoded ones); and
then the pixels: a JPEG or WebP image, or Y, U and V of BT.601 as the camera gives them, without
gaps between rows. What a viewer gets is the length of the JSON (uint32), the JSON, and a JPEG
image.
"""

from __future__ import annotations

import io
import json
import math
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from vitruvian.errors import VitruvianError
from vitruvian.picture_files.encode import encode_picture

HEADER = struct.Struct("<IdBBHH")
ENCODED = 0  # format of JPEG and WebP
# Raw formats, of 4:2:0: Y, and then U and V; or Y, and then U and V by turns.
RAW = {1: cv2.COLOR_YUV2RGB_I420, 2: cv2.COLOR_YUV2RGB_NV12}
LENGTH = struct.Struct("<I")
LARGEST_MESSAGE = 2 << 20  # bytes
LARGEST_PICTURE = 1920 * 1088  # pixels, decoded
# 0..255 -> the limited range that OpenCV converts: Y, and U and V. Source: BT.601, section 2.5.3.
LIMITED = [
    np.round(np.arange(256) * 219 / 255 + 16).astype(np.uint8),
    np.round((np.arange(256) - 128) * 224 / 255 + 128).astype(np.uint8),
]
LATEST = 1e9  # seconds
SHOWN_SIDE = 960  # pixels, the longer side of images for viewers
QUALITY = 80  # of their JPEG


@dataclass(frozen=True)
class SentFrame:
    """A frame as a client sent it."""

    number: int
    seconds: float  # of its capture, by the client's clock
    data: memoryview  # JPEG, WebP or raw pixels
    format: int = ENCODED  # or one of `RAW`
    full_range: bool = False  # of raw pixels; False: Y in 16..235, U and V in 16..240
    size: tuple[int, int] = (0, 0)  # of raw pixels

    @classmethod
    def parse(cls, message: bytes) -> SentFrame:
        """Split a message.

        Raises:
            VitruvianError: it is too short or too long, its time is not a number, its format is
                unknown, or raw pixels are not as many as their size says.
        """
        if not HEADER.size < len(message) <= LARGEST_MESSAGE:
            raise VitruvianError(
                f"a frame of {len(message)} bytes, want {HEADER.size + 1} to {LARGEST_MESSAGE}"
            )
        number, seconds, kind, full_range, *size = HEADER.unpack_from(message)
        if not (math.isfinite(seconds) and 0 <= seconds <= LATEST):
            raise VitruvianError("the capture time of a frame is not a number of seconds")
        data = memoryview(message)[HEADER.size :]
        if kind not in (ENCODED, *RAW) or full_range > 1:
            raise VitruvianError(f"a frame of the unknown format {kind}, range {full_range}")
        if kind in RAW:
            _check_raw(size, len(data))
        return cls(number, seconds, data, kind, bool(full_range), tuple(size))

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8.

        Raises:
            VitruvianError: not a whole JPEG or WebP image, or too large.
        """
        if self.format in RAW:
            return self._converted()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(io.BytesIO(self.data), formats=("JPEG", "WEBP")) as picture:
                    _check(picture)
                    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
        except VitruvianError:
            raise
        except Exception as error:  # Pillow raises many types for damaged files
            raise VitruvianError(
                f"a frame is not a whole JPEG or WebP image ({type(error).__name__})"
            ) from None

    def _converted(self) -> np.ndarray:
        width, height = self.size
        yuv = np.frombuffer(self.data, np.uint8).reshape(height * 3 // 2, width)
        if self.full_range:
            brightness, colours = (
                cv2.LUT(part, table)
                for part, table in zip(np.split(yuv, [height]), LIMITED, strict=True)
            )
            yuv = np.concatenate([brightness, colours])
        return cv2.cvtColor(yuv, RAW[self.format])


def _check_raw(size: Sequence[int], length: int) -> None:
    width, height = size
    if not (width and height) or width % 2 or height % 2 or width * height > LARGEST_PICTURE:
        raise VitruvianError(
            f"a raw frame of {width} x {height} pixels, want even numbers and at most "
            f"{LARGEST_PICTURE} in all"
        )
    if length != width * height * 3 // 2:
        raise VitruvianError(
            f"a raw frame of {width} x {height} pixels in {length} bytes, want "
            f"{width * height * 3 // 2}"
        )


def _check(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > LARGEST_PICTURE:
        raise VitruvianError(
            f"a frame of {width} x {height} pixels, want at most {LARGEST_PICTURE} in all"
        )
    # A small file may have thousands of scans, each of which is decoded over the whole image.
    if picture.info.get("progressive"):
        raise VitruvianError("a frame is a progressive JPEG; send baseline JPEG")


def encode_jpeg(rgb: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as JPEG, at most `SHOWN_SIDE` along its longer side."""
    return encode_picture(rgb, ".jpg", SHOWN_SIDE, QUALITY)


def message_json(message: dict[str, Any]) -> str:
    """One line, without NaN."""
    return json.dumps(message, allow_nan=False, separators=(",", ":"))


def packed(text: str, picture: bytes) -> bytes:
    """JSON and an image in one message."""
    words = text.encode()
    return LENGTH.pack(len(words)) + words + picture
