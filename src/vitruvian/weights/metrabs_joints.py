"""The joints in MeTRAbs' published archives: names, edges and skeletons, from arrays and pickles.

Neither NumPy's readers nor `pickle` are used: no code of the file is executed.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitruvian.weights.unpickle import Fault, Inert, array, interpret

MOST_JOINTS = 10_000
MOST_INFO = 1 << 22  # bytes of names or edges
LONGEST_NAME = 80  # characters of a joint or a skeleton


@dataclass(frozen=True, eq=False)
class JointTable:
    """The joints of a skeleton, as indices into all joints."""

    names: tuple[str, ...]  # the authors' abbreviations: "lsho"
    edges: tuple[tuple[int, int], ...]
    indices: tuple[int, ...]  # among all joints


# The header of a .npy file; NumPy's own reader feeds it to Python's parser.
HEADER = re.compile(
    rb"\x93NUMPY[\1\2]\0(?:..|..\0\0)"
    rb"\{'descr': '([<>|][biufUO]\d{0,4})', 'fortran_order': (True|False), "
    rb"'shape': \(([\d, ]{0,80})\), \} *\n",
    re.DOTALL,
)


def read_npy(data: bytes, name: str) -> np.ndarray:
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
        raise Fault(f"its {name} is damaged, or does not contain numbers") from None


def read_points(data: bytes) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
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
                    raw = stream.read(MOST_INFO + 1)
                if len(raw) > MOST_INFO:
                    raise Fault(f"its {name} are too long")
                arrays[name] = read_npy(raw, f"joint_info.npz {name}")
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
        raise Fault(f"its {where} has an invalid list of joints") from None


def _names(value: object, where: str) -> tuple[str, ...]:
    names = _list(value, where)
    if not names or not all(isinstance(name, str) and len(name) <= LONGEST_NAME for name in names):
        raise Fault(f"its {where} has a joint name that is not text")
    return tuple(names)


def _edges(value: object, joints: int, where: str) -> tuple[tuple[int, int], ...]:
    found = []
    for edge in _list(value, where):
        ends = _list(edge, where)
        if len(ends) != 2:
            raise Fault(f"its {where} has an edge of {len(ends)} joints, want 2")
        found.append((_number(ends[0], joints, where), _number(ends[1], joints, where)))
    return tuple(found)


def _number(value: object, joints: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < joints:
        raise Fault(f"its {where} has joint {str(value)[:20]!r}, want an index below {joints}")
    return value


def _pickle(data: bytes, where: str) -> object:
    """Unpickle to inert data."""
    try:
        return interpret(data)[0]
    except Fault as fault:
        raise Fault(f"its {where}: {fault}") from None
    except (ValueError, IndexError, KeyError, TypeError):
        raise Fault(f"its {where} is damaged") from None


def read_skeletons(data: bytes, joints: int) -> dict[str, JointTable]:
    """The skeletons of `skeleton_infos.pkl`, whose indices are below `joints`."""
    where = "skeleton_infos.pkl"
    top = _pickle(data, where)
    if not isinstance(top, dict) or not top or len(top) > MOST_JOINTS:
        raise Fault(f"its {where} has no skeletons")
    found = {}
    for name, info in top.items():
        if not isinstance(name, str) or len(name) > LONGEST_NAME or not isinstance(info, dict):
            raise Fault(f"its {where} has an invalid skeleton")
        if missing := {"indices", "names", "edges"} - info.keys():
            raise Fault(f"its {where} has no {min(missing)} for {name!r}")
        names = _names(info["names"], where)
        indices = tuple(_number(i, joints, where) for i in _list(info["indices"], where))
        if len(indices) != len(names):
            raise Fault(f"its {where} has {len(names)} names for {len(indices)} joints of {name!r}")
        found[name] = JointTable(names, _edges(info["edges"], len(names), where), indices)
    return found
