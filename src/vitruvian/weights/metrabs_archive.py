"""Read MeTRAbs' published PyTorch archives without PyTorch.

A .tar.gz with five files: `config.yaml`, `ckpt.pt` (the tensors), `joint_info.npz` (names and
edges of the points), `joint_transform_matrix.npy` (from the points to all joints) and
`skeleton_infos.pkl` (the joints of each skeleton). Needs neither torch nor a YAML library and
executes no code from the archive. Only `ckpt.pt` is written to disk, under a name of our own;
paths that lead out of the archive are refused all the same.

No published archive was available when this was written: the format is from the authors' code and
documentation (specs/metrabs.md 6).
"""

from __future__ import annotations

import gzip
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.weights import checkpoint
from vitruvian.weights.metrabs_config import Config, config
from vitruvian.weights.metrabs_joints import (
    MOST_INFO,
    MOST_JOINTS,
    JointTable,
    read_npy,
    read_points,
    read_skeletons,
)
from vitruvian.weights.unpickle import Fault

# The members and their maximum bytes. Model L has about 500 million, 580 joints 1.3 million.
MEMBERS = {
    "config.yaml": 1 << 16,
    "joint_info.npz": MOST_INFO,
    "joint_transform_matrix.npy": 1 << 24,
    "skeleton_infos.pkl": 1 << 22,
}
WEIGHTS, MOST_WEIGHTS = "ckpt.pt", 1 << 31
MOST_FILES = 100  # in an archive
MOST_BYTES = 1 << 32  # total
BLOCK = 512  # bytes: the unit of a tar file


@dataclass(frozen=True, eq=False)
class Archive:
    """The contents of an archive."""

    config: Config
    tensors: dict[str, np.ndarray]  # by dotted name, see `checkpoint.Checkpoint`
    points: tuple[str, ...]  # P names of the network's outputs
    edges: tuple[tuple[int, int], ...]  # between points
    transform: np.ndarray  # (P, Q) float32: points to all Q joints, multiplied from the right
    skeletons: dict[str, JointTable]  # by name; "" is all joints


def is_archive(path: Path) -> bool:
    """Whether a file name is that of such an archive."""
    return path.name.lower().endswith((".tar.gz", ".tgz"))


def read(path: Path) -> Archive:
    """Read an archive.

    Raises:
        VitruvianError: it is missing, damaged, not such an archive, or of an unknown network.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder, WEIGHTS)
            try:
                found = _unpack(path, weights)
            except (gzip.BadGzipFile, zlib.error, EOFError, tarfile.HeaderError):
                raise Fault("it is not a .tar.gz file, or it is damaged") from None
            for name in (*MEMBERS, WEIGHTS):
                if name not in found:
                    raise Fault(f"it has no {name}; want a MeTRAbs archive for PyTorch")
            settings = config(_text(found["config.yaml"]))
            try:
                tensors = checkpoint.read(weights).tensors
            except VitruvianError as error:
                why = str(error).removeprefix(f"cannot read '{weights}': ")
                raise Fault(f"its {WEIGHTS}: {why}") from None
        points, edges = read_points(found["joint_info.npz"])
        transform = read_npy(found["joint_transform_matrix.npy"], "joint_transform_matrix.npy")
        if transform.dtype.kind != "f" or transform.ndim != 2 or len(transform) != len(points):
            raise Fault(
                f"its joint_transform_matrix.npy is {transform.shape} of {transform.dtype}, want "
                f"{len(points)} rows, one for each point"
            )
        if transform.shape[1] > MOST_JOINTS or not np.isfinite(transform).all():
            raise Fault("its joint_transform_matrix.npy is damaged")
        skeletons = read_skeletons(found["skeleton_infos.pkl"], transform.shape[1])
        return Archive(settings, tensors, points, edges, transform.astype(np.float32), skeletons)
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror or error}") from None
    except Fault as fault:
        raise VitruvianError(f"cannot read '{path}': {fault}") from None


def _unpack(path: Path, weights: Path) -> dict[str, bytes]:
    """The members by base name; the tensors go to `weights`, and are b"" here."""
    found: dict[str, bytes] = {}
    left = MOST_BYTES
    with gzip.open(path) as stream:
        for count, (name, length) in enumerate(_headers(stream)):
            left -= length
            if count >= MOST_FILES or left < 0:
                raise Fault(f"it has more than {MOST_FILES} files or {MOST_BYTES >> 20} MiB")
            most = MOST_WEIGHTS if name == WEIGHTS else MEMBERS.get(name, length)
            if length > most:
                raise Fault(f"its {name} has {length} bytes, more than {most}")
            if name in found:
                raise Fault(f"it has {name} twice")
            if name == WEIGHTS:
                with weights.open("wb") as out:
                    _copy(stream, out, length)
                found[name] = b""
            elif name in MEMBERS:
                found[name] = _exactly(stream, length)
            else:
                _copy(stream, None, length)
            _exactly(stream, -length % BLOCK)
        while part := stream.read(1 << 20):  # padding; gzip verifies the checksum at the end
            left -= len(part)
            if left < 0:
                raise Fault(f"it has more than {MOST_BYTES >> 20} MiB")
    return found


def _headers(stream: gzip.GzipFile) -> Iterator[tuple[str, int]]:
    """Base name and length of every file; read its data before the next one.

    Headers are read one by one, as `tarfile.open` allocates as much memory as a header claims.
    Extended headers (times; names of more than 100 bytes, which no file here has) are skipped.
    """
    while any(block := _exactly(stream, BLOCK)):
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if header.size < 0:
            raise Fault("a length in it is negative")
        where = PurePosixPath(header.name.replace("\\", "/"))
        if where.is_absolute() or ".." in where.parts or ":" in header.name:
            raise Fault(f"its member {header.name[:80]!r} is outside the archive: refused")
        if header.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            yield where.name, header.size
        elif header.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
            yield "", header.size
        elif header.type != tarfile.DIRTYPE:
            raise Fault(f"its member {header.name[:80]!r} is neither a file nor a folder: refused")


def _exactly(stream: gzip.GzipFile, length: int) -> bytes:
    data = stream.read(length)
    if len(data) != length:
        raise EOFError
    return data


def _copy(stream: gzip.GzipFile, out: IO[bytes] | None, length: int) -> None:
    """Read `length` bytes, and write them to `out` unless it is None."""
    while length:
        part = _exactly(stream, min(length, 1 << 20))
        length -= len(part)
        if out is not None:
            out.write(part)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Fault("its config.yaml is not text") from None
