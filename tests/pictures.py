"""Pictures and videos with known pixels, and what readers make of them."""

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from conftest import is_one_line
from vitruvian.frame import Frame
from vitruvian.sources.open import (
    Span,
    open_source,
)

# The table of EXIF 2.3: where the first row and the first column of the data belong.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def only_source(words: object) -> Any:
    """What words name, if it is one thing."""
    (source,) = open_source(words)  # type: ignore[arg-type]
    return source


def everything(words, **span) -> list:
    """All frames, and the errors between them."""
    return [item for source in open_source(words, Span(**span)) for item in source]


def only_error(words, *said: str) -> None:
    """Assert that nothing comes of it but one error with these words."""
    (error,) = everything(words)
    is_one_line(error, *said)


def close(frame: Frame, want: np.ndarray, most: float = 3) -> None:
    """Assert equality up to what lossy compression does to flat areas."""
    np.testing.assert_allclose(frame.rgb.astype(float), want, atol=most)


def blocks(*rows: tuple[int, ...]) -> np.ndarray:
    """(16 h, 16 w) uint8 of flat squares: those of JPEG and H.264, so that they stay flat."""
    return np.kron(np.array(rows, np.uint8), np.ones((16, 16), np.uint8))


COLOURS = np.stack(
    [blocks((200, 30, 90), (40, 60, 120)), blocks((10, 220, 70), (5, 60, 200))] * 2, axis=-1
)[..., :3]  # 32 x 48 x 3


@contextmanager
def usual_priority() -> Iterator[None]:
    """Encoding AV1 as root leaves a thread with real-time priority (SVT-AV1 4.1.0 of PyAV 18.1.0,
    findings/pyav_svtav1_realtime.sh): it gets the one it had.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


@usual_priority()
def tiles(path: Path, rgb: np.ndarray, side: int, codec: str) -> Path:
    """A photograph of tiles, as iPhones write them: ISO/IEC 23008-12, 6.6.2.3, a grid."""
    height, width = rgb.shape[:2]
    rows, columns = height // side, width // side
    samples, settings = [], b""
    for row in range(rows):
        for column in range(columns):
            tile = rgb[row * side : (row + 1) * side, column * side : (column + 1) * side]
            file = io.BytesIO()
            with av.open(file, "w", format="mp4") as out:
                stream: Any = out.add_stream(codec, rate=1)
                stream.width = stream.height = side
                stream.pix_fmt = "yuv420p"
                stream.options = {
                    "crf": "4",
                    "x265-params": "log-level=none:bframes=0",
                    "cpu-used": "8",
                }
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(tile), format="rgb24")
                out.mux(stream.encode(picture))
                out.mux(stream.encode(None))
            data = file.getvalue()
            kind = b"hvcC" if codec == "libx265" else b"av1C"
            at = data.index(kind) - 4
            settings = data[at : at + int.from_bytes(data[at : at + 4], "big")]
            at = data.index(b"mdat") - 4
            samples.append(data[at + 8 : at + int.from_bytes(data[at : at + 4], "big")])
    n = len(samples)
    coded, brand = (b"hvc1", b"heic") if codec == "libx265" else (b"av01", b"avif")
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    kinds = [(1, b"grid"), *((2 + i, coded) for i in range(n))]
    entries = [box(b"infe", struct.pack(">HH", i, 0), k, b"\0", version=2) for i, k in kinds]
    size = [
        box(b"ispe", struct.pack(">II", w, h), version=0)
        for w, h in ((width, height), (side, side))
    ]
    depth = box(b"pixi", bytes([3, 8, 8, 8]), version=0)
    shared = box(b"ipco", *size, settings, depth)
    ties = [struct.pack(">HB", 1, 2) + bytes([1, 4])]
    ties += [struct.pack(">HB", 2 + i, 3) + bytes([2, 0x80 | 3, 4]) for i in range(n)]
    links = struct.pack(">HH", 1, n) + b"".join(struct.pack(">H", 2 + i) for i in range(n))

    def meta(start: int) -> bytes:
        places, at = [], start
        for i, part in ((1, grid), *((2 + i, sample) for i, sample in enumerate(samples))):
            places.append(struct.pack(">HHHII", i, 0, 1, at, len(part)))
            at += len(part)
        return box(
            b"meta",
            box(b"hdlr", bytes(4), b"pict", bytes(12), b"\0", version=0),
            box(b"pitm", struct.pack(">H", 1), version=0),
            box(b"iinf", struct.pack(">H", n + 1), *entries, version=0),
            box(b"iref", box(b"dimg", links), version=0),
            box(b"iprp", shared, box(b"ipma", struct.pack(">I", n + 1), *ties, version=0)),
            box(b"iloc", bytes([0x44, 0]), struct.pack(">H", n + 1), *places, version=0),
            version=0,
        )

    begin = box(b"ftyp", brand, bytes(4), b"mif1", brand, b"miaf")
    start = len(begin) + len(meta(0)) + 8
    path.write_bytes(begin + meta(start) + box(b"mdat", grid, *samples))
    return path


def with_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write a display matrix into the track header (`tkhd`, ISO 14496-12 8.3.2) of an .mp4."""
    data = bytearray(path.read_bytes())
    box = data.index(b"tkhd")
    numbers = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    data[box + 44 : box + 80] = struct.pack(">9i", *numbers)
    path.write_bytes(data)
    return path


def box(kind: bytes, *parts: bytes, version: int | None = None) -> bytes:
    """A box of ISO's base format; a full one has a version."""
    head = b"" if version is None else bytes([version, 0, 0, 0])
    data = head + b"".join(parts)
    return struct.pack(">I", len(data) + 8) + kind + data


def opened(path: object) -> np.ndarray:
    """(H, W, 3) uint8 BGR of an image file."""
    image = cv2.imread(str(path))
    assert image is not None
    return image
