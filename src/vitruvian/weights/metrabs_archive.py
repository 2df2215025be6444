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

import base64
import gzip
import io
import json
import math
import re
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.weights import checkpoint
from vitruvian.weights.unpickle import Fault, Inert, array, interpret

# The members and their maximum bytes. Model L has about 500 million, 580 joints 1.3 million.
MEMBERS = {
    "config.yaml": 1 << 16,
    "joint_info.npz": 1 << 22,
    "joint_transform_matrix.npy": 1 << 24,
    "skeleton_infos.pkl": 1 << 22,
}
WEIGHTS, MOST_WEIGHTS = "ckpt.pt", 1 << 31
MOST_FILES = 100  # in an archive
MOST_BYTES = 1 << 32  # total
MOST_JOINTS = 10_000
LONGEST_NAME = 80  # characters of a joint or a skeleton
BLOCK = 512  # bytes: the unit of a tar file


@dataclass(frozen=True)
class Config:
    """Settings that are not in the tensors, in our units."""

    side: int  # pixels of the crop
    stride: int  # crop pixels per heat map cell
    depth: int  # heat map cells along the depth axis
    box: float  # metres, side of the heat map cube
    centered: bool  # whether the strides are centred
    legacy: bool  # whether pixels get another shift, see `vitruvian.decode.volume`
    mix: float | None  # weight of 3D for joints in view; None: 0
    weak_perspective: bool


@dataclass(frozen=True, eq=False)
class JointTable:
    """The joints of a skeleton, as indices into all joints."""

    names: tuple[str, ...]  # the authors' abbreviations: "lsho"
    edges: tuple[tuple[int, int], ...]
    indices: tuple[int, ...]  # among all joints


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
                raise Fault("it is no .tar.gz, or damaged") from None
            for name in (*MEMBERS, WEIGHTS):
                if name not in found:
                    raise Fault(f"it has no {name}, which MeTRAbs' archives for PyTorch have")
            settings = config(_text(found["config.yaml"]))
            try:
                tensors = checkpoint.read(weights).tensors
            except VitruvianError as error:
                why = str(error).removeprefix(f"cannot read '{weights}': ")
                raise Fault(f"its {WEIGHTS}: {why}") from None
        points, edges = _points(found["joint_info.npz"])
        transform = _npy(found["joint_transform_matrix.npy"], "joint_transform_matrix.npy")
        if transform.dtype.kind != "f" or transform.ndim != 2 or len(transform) != len(points):
            raise Fault(
                f"its joint_transform_matrix.npy is {transform.shape} of {transform.dtype}, want "
                f"{len(points)} rows, one for each point"
            )
        if transform.shape[1] > MOST_JOINTS or not np.isfinite(transform).all():
            raise Fault("its joint_transform_matrix.npy is damaged")
        skeletons = _skeletons(found["skeleton_infos.pkl"], transform.shape[1])
        return Archive(settings, tensors, points, edges, transform.astype(np.float32), skeletons)
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror or error}") from None
    except Fault as fault:
        raise VitruvianError(f"cannot read '{path}': {fault}") from None


# The tar file


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
            raise Fault(f"its member {header.name[:80]!r} leads out of it: refused")
        if header.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            yield where.name, header.size
        elif header.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
            yield "", header.size
        elif header.type != tarfile.DIRTYPE:
            raise Fault(f"its member {header.name[:80]!r} is no file and no folder: refused")


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


# config.yaml


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Fault("its config.yaml is no text") from None


def scalars(text: str) -> dict[str, object]:
    """Top-level scalars (string, number, bool, null) of a YAML file, by name.

    Lists and nested values are skipped: published files have no setting there that we need.
    """
    found: dict[str, object] = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        value = rest.strip()
        if not colon or line[:1] in " \t-#\"'" or (rest and rest[0] not in " \t"):
            continue
        if value[:1] in ("'", '"'):
            end = value.find(value[0], 1)
            if end > 0:
                found[name.strip()] = value[1:end]
        else:
            value = "" if value.startswith("#") else value.split(" #")[0].rstrip()
            if value[:1] not in tuple("[{&*!|>") or not value:
                found[name.strip()] = _scalar(value)
    return found


def _scalar(value: str) -> object:
    """The value of an unquoted YAML 1.2 scalar."""
    words = {"true": True, "false": False, "null": None, "~": None, "": None}
    if value.lower() in words:
        return words[value.lower()]
    for number in (int, float):
        try:
            return number(value)
        except ValueError:
            continue
    return value


def config(text: str) -> Config:
    """Parse a `config.yaml`.

    Raises:
        Fault: settings are missing, or unlike those of any published network.
    """
    says = scalars(text)

    def take(name: str, low: float, high: float, default: float | None = None) -> float:
        value = says.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise Fault(f"its config.yaml says {name} is {value!r}, want a number")
        if not low <= value <= high:
            raise Fault(f"its config.yaml says {name} is {value}, want {low} to {high}")
        return value

    def flag(name: str, default: bool | None = None) -> bool:
        value = says.get(name, default)
        if not isinstance(value, bool):
            raise Fault(f"its config.yaml says {name} is {value!r}, want true or false")
        return value

    if says.get("affine_weights") is not None:
        raise Fault("its config.yaml has affine_weights; networks of latent points are not read")
    for name in ("transform_coords", "predict_all_and_latents"):
        if flag(name, default=False):
            raise Fault(f"its config.yaml has {name}; networks of latent points are not read")
    side, stride = take("proc_side", 64, 2048), take("stride_test", 1, 64, 32)
    if stride != 32 or side % 32:
        raise Fault(f"its maps are of stride {stride:g} at {side:g} pixels; only 32 is read")
    depth = take("depth", 1, 64)
    if int(side) != side or int(depth) != depth:
        raise Fault("its config.yaml has a depth or proc_side that is no whole number")
    mix = says.get("mix_3d_inside_fov", 0.5)
    return Config(
        int(side),
        int(stride),
        int(depth),
        take("box_size_mm", 100, 10_000) / 1000,
        flag("centered_stride"),
        # Missing only in published configurations that the authors' own code refuses.
        flag("legacy_centered_stride_bug", default=False),
        None if mix is None else take("mix_3d_inside_fov", 0, 1, 0.5),
        flag("weak_perspective", default=False),
    )


# Arrays


# The header of a .npy file; NumPy's own reader feeds it to Python's parser.
HEADER = re.compile(
    rb"\x93NUMPY[\1\2]\0(?:..|..\0\0)"
    rb"\{'descr': '([<>|][biufUO]\d{0,4})', 'fortran_order': (True|False), "
    rb"'shape': \(([\d, ]{0,80})\), \} *\n",
    re.DOTALL,
)


def _npy(data: bytes, name: str) -> np.ndarray:
    """The array of a .npy file; object arrays are read by `unpickle.array`."""
    try:
        header = HEADER.match(data)
        if header is None:
            raise ValueError("no such header")
        kind, raw = np.dtype(header[1].decode()), data[header.end() :]
        shape = tuple(int(size) for size in header[3].split(b",") if size.strip())
        if kind == np.dtype(object):
            made = _pickle(raw, name)
            if not isinstance(made, Inert):
                raise ValueError("no array")
            return array(made)
        if math.prod(shape) * kind.itemsize != len(raw):
            raise ValueError("another length than its header says")
        return np.frombuffer(raw, kind).reshape(shape, order="F" if header[2] == b"True" else "C")
    except (ValueError, TypeError, OverflowError):
        raise Fault(f"its {name} is damaged, or holds something else than numbers") from None


def _points(data: bytes) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """Names and edges of the points, from `joint_info.npz`."""
    arrays = {}
    # Exceptions of zipfile for damaged, encrypted or unsupported archives.
    damaged = (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError, ValueError)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in ("joint_names", "joint_edges"):
                info = archive.getinfo(f"{name}.npy")
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ValueError("NumPy writes no such")
                with archive.open(info) as stream:
                    raw = stream.read(MEMBERS["joint_info.npz"] + 1)
                if len(raw) > MEMBERS["joint_info.npz"]:
                    raise Fault(f"its {name} are longer than any")
                arrays[name] = _npy(raw, f"joint_info.npz {name}")
    except damaged:
        raise Fault("its joint_info.npz is damaged, or has no joint_names or joint_edges") from None
    names = _names(arrays["joint_names"], "joint_info.npz")
    return names, _edges(arrays["joint_edges"], len(names), "joint_info.npz")


def _list(value: object, where: str) -> list[Any]:
    """A list, tuple or array as a list; NumPy items as lists and numbers."""
    try:
        if isinstance(value, Inert):
            value = array(value)
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not isinstance(value, list | tuple) or len(value) > MOST_JOINTS:
            raise TypeError
        return [array(item).tolist() if isinstance(item, Inert) else item for item in value]
    except (ValueError, TypeError):
        raise Fault(f"its {where} has something else where joints are listed") from None


def _names(value: object, where: str) -> tuple[str, ...]:
    names = _list(value, where)
    if not names or not all(isinstance(name, str) and len(name) <= LONGEST_NAME for name in names):
        raise Fault(f"its {where} has names of joints that are no words")
    return tuple(names)


def _edges(value: object, joints: int, where: str) -> tuple[tuple[int, int], ...]:
    found = []
    for edge in _list(value, where):
        ends = _list(edge, where)
        if len(ends) != 2:
            raise Fault(f"its {where} has an edge of {len(ends)} ends")
        found.append((_number(ends[0], joints, where), _number(ends[1], joints, where)))
    return tuple(found)


def _number(value: object, joints: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < joints:
        raise Fault(f"its {where} counts a joint as {str(value)[:20]!r}, of {joints}")
    return value


def _pickle(data: bytes, where: str) -> object:
    """Unpickle to inert data."""
    try:
        return interpret(data)[0]
    except Fault as fault:
        raise Fault(f"its {where}: {fault}") from None
    except (ValueError, IndexError, KeyError, TypeError):
        raise Fault(f"its {where} is damaged") from None


def _skeletons(data: bytes, joints: int) -> dict[str, JointTable]:
    """The skeletons of `skeleton_infos.pkl`, whose indices are below `joints`."""
    where = "skeleton_infos.pkl"
    top = _pickle(data, where)
    if not isinstance(top, dict) or not top or len(top) > MOST_JOINTS:
        raise Fault(f"its {where} has no skeletons")
    found = {}
    for name, info in top.items():
        if not isinstance(name, str) or len(name) > LONGEST_NAME or not isinstance(info, dict):
            raise Fault(f"its {where} has something that is no skeleton")
        if missing := {"indices", "names", "edges"} - info.keys():
            raise Fault(f"its {where} has no {min(missing)} for {name!r}")
        names = _names(info["names"], where)
        indices = tuple(_number(i, joints, where) for i in _list(info["indices"], where))
        if len(indices) != len(names):
            raise Fault(f"its {where} has {len(names)} names for {len(indices)} joints of {name!r}")
        found[name] = JointTable(names, _edges(info["edges"], len(names), where), indices)
    return found


# Metadata of an exported network


def mirror(names: Sequence[str]) -> tuple[int, ...]:
    """Left-right swap of points by the first letter of their names, l or r.

    Points without a partner map to themselves.
    """
    number: Mapping[str, int] = {name: i for i, name in enumerate(names)}
    swap = {"l": "r", "r": "l"}
    return tuple(
        number.get(swap.get(name[:1], name[:1]) + name[1:], i) for i, name in enumerate(names)
    )


def pack(matrix: np.ndarray) -> str:
    """A matrix as one line of compressed JSON; published ones are mostly zeros."""
    data = zlib.compress(np.ascontiguousarray(matrix, "<f4").tobytes(), 9)
    return json.dumps({"shape": matrix.shape, "zlib_f4": base64.b64encode(data).decode()})


def unpack(text: str) -> np.ndarray:
    """The matrix that `pack` wrote, float32.

    Raises:
        ValueError, TypeError, KeyError: `pack` did not write it.
    """
    read = json.loads(text)
    rows, columns = (int(n) for n in read["shape"])
    if not (0 <= rows <= MOST_JOINTS and 0 <= columns <= MOST_JOINTS):
        raise ValueError(f"a matrix of {rows} x {columns}")
    try:
        data = zlib.decompressobj().decompress(
            base64.b64decode(read["zlib_f4"], validate=True), 4 * rows * columns + 1
        )
    except zlib.error as error:
        raise ValueError(str(error)) from None
    return np.frombuffer(data, "<f4").reshape(rows, columns).astype(np.float32)
