"""Metadata of exported network files: read without loading the network; matrices as text."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import numpy as np

from vitruvian.errors import VitruvianError

# Field numbers of ModelProto.metadata_props, and of key and value in its entries: onnx.proto.
METADATA, KEY, VALUE = 14, 1, 2
MOST_BYTES = 1 << 20  # per entry
MOST_ROWS = 10_000  # and columns, of a matrix


def about(file: Path) -> dict[str, str]:
    """The metadata of an .onnx file, or of OpenVINO's IR (.xml) made from one.

    Raises:
        VitruvianError: it is missing, or neither of these.
    """
    try:
        with file.open("rb") as opened:
            if file.suffix.lower() == ".xml":
                return _ir(opened)
            return dict(_onnx(opened))
    except OSError as error:
        raise VitruvianError(f"cannot read '{file}': {error.strerror}") from None
    except (ValueError, LookupError, ElementTree.ParseError):  # LookupError: unknown encoding
        fault = "it is damaged, or not a network"
        raise VitruvianError(f"cannot open '{file}': {fault}") from None


def _ir(file: IO[bytes]) -> dict[str, str]:
    entries = ElementTree.parse(file).getroot().find("rt_info/framework")
    return {} if entries is None else {e.tag: e.attrib["value"] for e in entries}


def _onnx(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """The metadata entries; skips the graph and its weights."""
    end = file.seek(0, 2)
    file.seek(0)
    while file.tell() < end:
        field, size = _field(file)
        if file.tell() + size > end:
            raise ValueError("cut short")
        if field != METADATA:
            file.seek(size, 1)
            continue
        if size > MOST_BYTES:
            raise ValueError("unreasonably large")
        stop, entry = file.tell() + size, {KEY: b"", VALUE: b""}
        while file.tell() < stop:
            part, length = _field(file)
            if length > stop - file.tell():
                raise ValueError("cut short")
            entry[part] = file.read(length)
        yield entry[KEY].decode(), entry[VALUE].decode()


def _field(file: IO[bytes]) -> tuple[int, int]:
    """The next field's number and payload length in bytes (0 for a varint)."""
    tag = _varint(file)
    kind = tag & 7
    if kind == 0:
        _varint(file)
        return tag >> 3, 0
    return tag >> 3, {1: lambda: 8, 2: lambda: _varint(file), 5: lambda: 4}[kind]()


def _varint(file: IO[bytes]) -> int:
    """A protobuf varint: groups of seven bits, lowest first."""
    number = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)[0]
        number |= (byte & 127) << shift
        if byte < 128:
            return number
    raise ValueError("a number of more than 64 bits")


def pack_matrix(matrix: np.ndarray) -> str:
    """A matrix as one line of compressed JSON; published ones are mostly zeros."""
    data = zlib.compress(np.ascontiguousarray(matrix, "<f4").tobytes(), 9)
    return json.dumps({"shape": matrix.shape, "zlib_f4": base64.b64encode(data).decode()})


def unpack_matrix(text: str) -> np.ndarray:
    """The matrix that `pack_matrix` wrote, float32.

    Raises:
        ValueError, TypeError, KeyError: `pack_matrix` did not write it.
    """
    read = json.loads(text)
    rows, columns = (int(n) for n in read["shape"])
    if not (0 <= rows <= MOST_ROWS and 0 <= columns <= MOST_ROWS):
        raise ValueError(f"a matrix of {rows} x {columns}")
    try:
        data = zlib.decompressobj().decompress(
            base64.b64decode(read["zlib_f4"], validate=True), 4 * rows * columns + 1
        )
    except zlib.error as error:
        raise ValueError(str(error)) from None
    return np.frombuffer(data, "<f4").reshape(rows, columns).astype(np.float32)
