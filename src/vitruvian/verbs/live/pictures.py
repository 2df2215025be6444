"""Images of the live page: decoded from untrusted messages, and encoded for viewers.

A message of a browser's camera is a header of 12 bytes, the number of the frame (uint32) and its
capture time in seconds (float64), little endian, and then a JPEG or WebP image. What a viewer gets
is the length of the JSON (uint32), the JSON, and a JPEG image.
"""

from __future__ import annotations

import io
import json
import math
import struct
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vitruvian.errors import VitruvianError
from vitruvian.picture_files.encode import encode_picture

HEADER = struct.Struct("<Id")
LENGTH = struct.Struct("<I")
LARGEST_MESSAGE = 2 << 20  # bytes
LARGEST_PICTURE = 1920 * 1088  # pixels, decoded
LATEST = 1e9  # seconds
SHOWN_SIDE = 960  # pixels, the longer side of images for viewers
QUALITY = 80  # of their JPEG


@dataclass(frozen=True)
class CodedFrame:
    """A frame as a client sent it."""

    number: int
    seconds: float  # of its capture, by the client's clock
    data: bytes  # JPEG or WebP

    @classmethod
    def parse(cls, message: bytes) -> CodedFrame:
        """Split a message.

        Raises:
            VitruvianError: it is too short, too long, or its time is not a number.
        """
        if not HEADER.size < len(message) <= LARGEST_MESSAGE:
            raise VitruvianError(
                f"a frame of {len(message)} bytes, want {HEADER.size + 1} to {LARGEST_MESSAGE}"
            )
        number, seconds = HEADER.unpack_from(message)
        if not (math.isfinite(seconds) and 0 <= seconds <= LATEST):
            raise VitruvianError("the capture time of a frame is not a number of seconds")
        return cls(number, seconds, message[HEADER.size :])

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8.

        Raises:
            VitruvianError: not a whole JPEG or WebP image, or too large.
        """
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
