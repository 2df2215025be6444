"""Read PyTorch checkpoints without PyTorch and without executing code from the file.

Both formats that `torch.save` has written since 2017:

- zip archive (PyTorch 1.6, 2020, and newer): `<stem>/data.pkl`, a pickle of the objects, and
  `<stem>/data/<key>`, the raw data of each storage;
- legacy stream (older, or on request): five pickles (magic number, format version, system
  information, objects, storage keys); then, for each key in that order, the number of elements
  (8 bytes, little-endian) and the raw data.

The pickles are read by `vitruvian.weights.unpickle`, which cannot call anything.

Source: torch/serialization.py at v2.13 (`_save`, `_legacy_save`).
"""

from __future__ import annotations

import math
import mmap
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vitruvian.errors import VitruvianError
from vitruvian.weights.unpickle import Fault, Inert, Storage, Tensor, interpret

MOST_ENTRIES = 100_000  # parameters, buffers and modules
MOST_AXES = 8  # of a tensor
LONGEST_NAME = 500  # characters of a tensor's dotted name
PICKLE = b"\x80"  # first byte of a stream: a pickle of protocol 2 or later
BIG_ENDIAN = "its tensors are big-endian; save it again on a little-endian machine"
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001  # of a stream


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The contents of a checkpoint."""

    tensors: dict[str, np.ndarray]  # read-only, by dotted name, dtypes of the file
    attributes: dict[str, object] = field(default_factory=dict)  # of the module itself
    entries: dict[str, object] = field(default_factory=dict)  # next to the module or state dict


def read(path: Path) -> Checkpoint:
    """Read a checkpoint: a state dict, a module, or a dict that holds one as `ema` or `model`.

    If a dict has both, `ema` is used unless it is empty. Only tensors of the module are read, not
    those of an optimizer.

    Raises:
        VitruvianError: the file is missing, damaged, not a checkpoint, or refers to unsafe code.
    """
    try:
        with path.open("rb") as file:
            if file.read(1) == PICKLE:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    return _Reader(_Stream(data)).checkpoint()
            with zipfile.ZipFile(file) as archive:
                return _Reader(_Zip(archive, path.stat().st_size)).checkpoint()
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror or error}") from None
    except Fault as fault:
        raise VitruvianError(f"cannot read '{path}': {fault}") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError):
        # zipfile raises the last three for encrypted and unsupported archives.
        fault = "it is not a PyTorch checkpoint, or it is damaged"
        raise VitruvianError(f"cannot read '{path}': {fault}") from None


class _Form(Protocol):
    """A checkpoint file format."""

    top: object  # the unpickled object

    def raw(self, storage: Storage) -> bytes:
        """The raw bytes of a storage."""
        ...


class _Zip:
    """The members of a zip archive."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.archive = archive
        self.left = size  # bytes: guards against overlapping members
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Fault(f"it has {len(pickles)} files named data.pkl, want 1")
        self.root = pickles[0].removesuffix("data.pkl")
        if f"{self.root}byteorder" in archive.namelist():
            order = self.member("byteorder")
            if order != b"little":
                raise Fault(BIG_ENDIAN)
        self.top, _ = _interpret(self.member("data.pkl"))

    def member(self, name: str) -> bytes:
        """The bytes of one member; torch does not compress them."""
        try:
            info = self.archive.getinfo(self.root + name)
        except KeyError:
            raise Fault(f"it has no member {name[:80]!r}") from None
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > self.left:
            raise Fault(f"its member {name[:80]!r} is compressed or larger than the file")
        self.left -= info.file_size
        return self.archive.read(info)

    def raw(self, storage: Storage) -> bytes:
        """The bytes of a storage."""
        return self.member(f"data/{storage.key}")


class _Stream:
    """The legacy stream: five pickles, then the storages."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        for want in (MAGIC, VERSION):
            if _interpret(data)[0] != want:
                raise Fault("it is a pickle, but not a PyTorch checkpoint")
        machine, _ = _interpret(data)
        if not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise Fault(BIG_ENDIAN)
        self.top, storages = _interpret(data)
        keys, _ = _interpret(data)
        if not isinstance(keys, list) or len(keys) > MOST_ENTRIES:
            raise Fault("its list of storages is damaged")
        self.where: dict[str, slice] = {}
        at = data.tell()
        for key in keys:
            storage = storages.get(key) if isinstance(key, str) else None
            if storage is None or key in self.where:
                raise Fault("its list of storages is damaged")
            self.where[key] = slice(at + 8, at + 8 + storage.bytes)
            if int.from_bytes(data[at : at + 8], "little") != storage.numel:
                raise Fault(f"its storage {key[:80]!r} is cut short")
            at += 8 + storage.bytes
            if at > len(data):
                raise Fault(f"its storage {key[:80]!r} is cut short")

    def raw(self, storage: Storage) -> bytes:
        """The bytes of a storage."""
        if storage.key not in self.where:
            raise Fault(f"it has no storage {storage.key[:80]!r}")
        return self.data[self.where[storage.key]]


def _interpret(data: bytes | mmap.mmap) -> tuple[object, dict[str, Storage]]:
    try:
        return interpret(data)
    except (ValueError, IndexError, KeyError, TypeError):
        raise Fault("its pickle is damaged") from None


class _Reader:
    """Builds tensors from an unpickled file."""

    def __init__(self, form: _Form) -> None:
        self.form = form
        self.storages: dict[str, np.ndarray] = {}

    def checkpoint(self) -> Checkpoint:
        """The module or state dict inside."""
        top = self.form.top
        entries: dict[str, object] = {}
        if isinstance(top, dict) and not _is_state_dict(top):
            entries = {key: value for key, value in top.items() if isinstance(key, str)}
            held = (entries.get(key) for key in ("ema", "model", "state_dict"))
            top = next((value for value in held if value), None)
        if isinstance(top, dict) and _is_state_dict(top):
            return Checkpoint(self.tensors(top), {}, entries)
        if isinstance(top, Inert) and isinstance(top.state, dict):
            described = self.module(top)
            attributes = {key: value for key, value in top.state.items() if isinstance(key, str)}
            return Checkpoint(self.tensors(described), attributes, entries)
        raise Fault("it has no module or state dict, at the top level or as 'ema' or 'model'")

    def module(self, top: Inert) -> dict[str, object]:
        """Parameters and persistent buffers of a module and its children, by dotted name."""
        found: dict[str, object] = {}
        todo: list[tuple[str, object]] = [("", top)]
        left = MOST_ENTRIES  # modules may be shared, so paths can outnumber them
        while todo:
            prefix, module = todo.pop()
            state = module.state if isinstance(module, Inert) else None
            if not isinstance(state, dict) or "_modules" not in state:
                raise Fault(f"{prefix[:80]!r} in it is not a module")
            parameters, buffers, modules = (
                part if isinstance(part := state.get(name), dict) else {}
                for name in ("_parameters", "_buffers", "_modules")
            )
            passing = state.get("_non_persistent_buffers_set")
            passing = passing.state if isinstance(passing, Inert) else passing
            passing = passing if isinstance(passing, list) else []
            left -= 1 + len(parameters) + len(buffers) + len(modules) + len(passing)
            if left < 0 or len(prefix) > LONGEST_NAME:
                raise Fault(f"it has more than {MOST_ENTRIES} tensors and modules")
            kept = {name: value for name, value in buffers.items() if name not in passing}
            for name, value in (parameters | kept).items():
                if value is not None:
                    found[f"{prefix}{name}"] = value
            children = [(f"{prefix}{name}.", child) for name, child in modules.items() if child]
            todo.extend(reversed(children))
        return found

    def tensors(self, described: Mapping[Any, object]) -> dict[str, np.ndarray]:
        """The tensors of a state dict."""
        if len(described) > MOST_ENTRIES:
            raise Fault(f"it has more than {MOST_ENTRIES} tensors")
        return {name: self.tensor(name, value) for name, value in described.items()}

    def tensor(self, name: str, value: object) -> np.ndarray:
        """One tensor: a read-only view of its storage."""
        if not isinstance(value, Tensor):
            raise Fault(f"{name[:80]!r} is not a tensor")
        numbers = self.storage(value.storage)
        pairs = list(zip(value.shape, value.strides, strict=False))
        last = value.offset + sum((extent - 1) * stride for extent, stride in pairs)
        if (
            len(value.shape) != len(value.strides)
            or len(pairs) > MOST_AXES
            or min(value.offset, *value.shape, *value.strides, 0) < 0
            or math.prod(value.shape) > len(numbers)  # larger than its storage (stride 0)
            or max(*value.shape, 0, 0) > len(numbers)
            or (math.prod(value.shape) and last >= len(numbers))
        ):
            raise Fault(f"{name[:80]!r} reaches beyond its storage")
        steps = [stride * numbers.itemsize if extent > 1 else 0 for extent, stride in pairs]
        start = numbers[value.offset :]
        return np.lib.stride_tricks.as_strided(start, value.shape, steps, writeable=False)

    def storage(self, storage: Storage) -> np.ndarray:
        """The elements of a storage; bfloat16, which NumPy lacks, becomes float32."""
        if storage.key not in self.storages:
            data = self.form.raw(storage)
            if len(data) != storage.bytes:
                raise Fault(f"its storage {storage.key[:80]!r} is cut short")
            numbers = np.frombuffer(data, storage.numbers)
            if storage.kind == "torch.BFloat16Storage":
                numbers = (numbers.astype("<u4") << 16).view("<f4")
            self.storages[storage.key] = numbers
        return self.storages[storage.key]


def _is_state_dict(value: dict[Any, object]) -> bool:
    return bool(value) and all(
        isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in value.items()
    )
