"""PyTorch checkpoints, read without PyTorch and without running anything from the file.

A .pt file is a zip archive: `<stem>/data.pkl`, a pickle that describes the objects, and
`<stem>/data/<key>`, the raw numbers. A pickle is a program for a small stack machine, and its
danger is that it may call anything. The machine below has no way to call: it makes dicts, lists,
tuples, numbers and strings, it knows how a tensor is described, and everything else becomes
`Inert`, a record of what would have been called with what.

Source: pickletools of the Python standard library (the operations); torch/serialization.py and
torch/_utils.py at v2.13 (the archive, `_rebuild_tensor_v2`).
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.errors import VitruvianError

# Real files: 46 thousand operations and 397 tensors for yolov8n-pose, 130 thousand and 835 for
# x-p6, three times that with an optimizer.
MOST_OPERATIONS = 2_000_000
MOST_ENTRIES = 100_000  # parameters, buffers and modules
MOST_AXES = 8  # of a tensor
LONGEST_NAME = 500  # characters of a tensor's dotted name

STORAGES = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "bf16",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
# What else a checkpoint may name. None of it is imported: these become `Inert`.
KNOWN = {
    "__builtin__.getattr",  # an attribute `detect` of old heads, `forward_fuse` of fused files
    "__builtin__.set",
    "builtins.getattr",
    "builtins.set",
    "_codecs.encode",
    "collections.defaultdict",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "torch.Size",
    "torch.device",
    "torch.float16",
    "torch.float32",
    "torch.float64",
    "torch.int64",
} | {
    f"{module}.{name}"
    for module in ("pathlib", "pathlib._local")
    for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
}
KNOWN_BELOW = ("torch.nn.", "ultralytics.", "models.", "__main__.")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What was read."""

    tensors: dict[str, np.ndarray]  # read-only, by dotted name, in the file's types
    attributes: dict[str, object] = field(default_factory=dict)  # of the module itself
    entries: dict[str, object] = field(default_factory=dict)  # beside the module or state dict


@dataclass(frozen=True, eq=False, repr=False)
class Name:
    """A class or function that the file names."""

    path: str


@dataclass(eq=False, repr=False)
class Inert:
    """An object that is neither plain data nor a tensor: a record, never brought to life."""

    path: str  # of its class, or of the function that would have made it
    state: object = None  # for a module its `__dict__`


@dataclass(frozen=True, eq=False, repr=False)
class _Storage:
    dtype: str
    key: str
    numel: int


@dataclass(frozen=True, eq=False, repr=False)
class _Tensor:
    storage: _Storage
    offset: int  # numbers, from the start of the storage
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # numbers


class _Fault(Exception):
    """What is wrong with the file."""


def read(path: Path) -> Checkpoint:
    """A checkpoint: a state dict, a module, or a dict that holds one as `ema` or `model`.

    Of a dict with both, `ema` is taken unless it is empty. Only what belongs to the module is
    read: an optimizer's numbers stay on disk.

    Raises:
        VitruvianError: it is missing, damaged, not of this kind, or names what no checkpoint needs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _Archive(archive, path.stat().st_size).checkpoint()
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror or error}") from None
    except _Fault as fault:
        raise VitruvianError(f"cannot read '{path}': {fault}") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError):
        # zipfile raises the last three for encrypted and for exotic archives.
        fault = "it is no PyTorch checkpoint (a zip archive, PyTorch 1.6 or newer), or damaged"
        raise VitruvianError(f"cannot read '{path}': {fault}") from None


class _Archive:
    """The members of one .pt file."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.archive = archive
        self.left = size  # bytes: members that overlap cannot add up to more than the file
        self.storages: dict[str, np.ndarray] = {}
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _Fault(f"it holds {len(pickles)} files named data.pkl, want 1")
        self.root = pickles[0].removesuffix("data.pkl")
        if f"{self.root}byteorder" in archive.namelist():
            order = self.member("byteorder")
            if order != b"little":
                raise _Fault("its numbers are big-endian; save it again on an ordinary machine")

    def member(self, name: str) -> bytes:
        """The bytes of one member; torch stores them as they are."""
        try:
            info = self.archive.getinfo(self.root + name)
        except KeyError:
            raise _Fault(f"it has no member {name[:80]!r}") from None
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > self.left:
            raise _Fault(f"its member {name[:80]!r} is compressed or larger than the file")
        self.left -= info.file_size
        return self.archive.read(info)

    def checkpoint(self) -> Checkpoint:
        """The module or state dict inside."""
        try:
            top = interpret(self.member("data.pkl"))
        except (ValueError, IndexError, KeyError, TypeError):
            raise _Fault("its pickle is damaged") from None
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
        raise _Fault("it holds no module and no state dict, as itself or as 'ema' or 'model'")

    def module(self, top: Inert) -> dict[str, object]:
        """Parameters and persistent buffers of a module and of all inside it, by dotted name."""
        found: dict[str, object] = {}
        todo: list[tuple[str, object]] = [("", top)]
        left = MOST_ENTRIES  # modules may be shared, so there can be more ways in than modules
        while todo:
            prefix, module = todo.pop()
            state = module.state if isinstance(module, Inert) else None
            if not isinstance(state, dict) or "_modules" not in state:
                raise _Fault(f"{prefix[:80]!r} in it is not a module")
            parameters, buffers, modules = (
                part if isinstance(part := state.get(name), dict) else {}
                for name in ("_parameters", "_buffers", "_modules")
            )
            passing = state.get("_non_persistent_buffers_set")
            passing = passing.state if isinstance(passing, Inert) else passing
            passing = passing if isinstance(passing, list) else []
            left -= 1 + len(parameters) + len(buffers) + len(modules) + len(passing)
            if left < 0 or len(prefix) > LONGEST_NAME:
                raise _Fault(f"it has more than {MOST_ENTRIES} tensors and modules")
            kept = {name: value for name, value in buffers.items() if name not in passing}
            for name, value in (parameters | kept).items():
                if value is not None:
                    found[f"{prefix}{name}"] = value
            children = [(f"{prefix}{name}.", child) for name, child in modules.items() if child]
            todo.extend(reversed(children))
        return found

    def tensors(self, described: Mapping[Any, object]) -> dict[str, np.ndarray]:
        """The numbers of a state dict."""
        if len(described) > MOST_ENTRIES:
            raise _Fault(f"it has more than {MOST_ENTRIES} tensors")
        return {name: self.tensor(name, value) for name, value in described.items()}

    def tensor(self, name: str, value: object) -> np.ndarray:
        """The numbers of one tensor: a read-only view of its storage."""
        if not isinstance(value, _Tensor):
            raise _Fault(f"{name[:80]!r} is not a tensor")
        numbers = self.storage(value.storage)
        pairs = list(zip(value.shape, value.strides, strict=False))
        last = value.offset + sum((extent - 1) * stride for extent, stride in pairs)
        if (
            len(value.shape) != len(value.strides)
            or len(pairs) > MOST_AXES
            or min(value.offset, *value.shape, *value.strides, 0) < 0
            or math.prod(value.shape) > len(numbers)  # a tensor spread out over few numbers
            or max(*value.shape, 0, 0) > len(numbers)
            or (math.prod(value.shape) and last >= len(numbers))
        ):
            raise _Fault(f"{name[:80]!r} reaches beyond its numbers")
        steps = [stride * numbers.itemsize if extent > 1 else 0 for extent, stride in pairs]
        start = numbers[value.offset :]
        return np.lib.stride_tricks.as_strided(start, value.shape, steps, writeable=False)

    def storage(self, storage: _Storage) -> np.ndarray:
        """The numbers several tensors may share; bfloat16, which NumPy lacks, becomes float32."""
        if storage.key not in self.storages:
            data = self.member(f"data/{storage.key}")
            half = storage.dtype == "bf16"
            dtype = np.dtype("<u2" if half else storage.dtype)
            if len(data) != storage.numel * dtype.itemsize:
                raise _Fault(f"its storage {storage.key[:80]!r} is cut short")
            numbers = np.frombuffer(data, dtype)
            if half:
                numbers = (numbers.astype("<u4") << 16).view("<f4")
            self.storages[storage.key] = numbers
        return self.storages[storage.key]


def _is_state_dict(value: dict[Any, object]) -> bool:
    return bool(value) and all(
        isinstance(key, str) and isinstance(tensor, _Tensor) for key, tensor in value.items()
    )


def interpret(data: bytes) -> object:
    """What a pickle describes, protocols 2 to 5, with `Inert` and tensor records for objects.

    Raises:
        ValueError, IndexError, KeyError, TypeError: it is damaged.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, object] = {}

    def since_mark() -> list[Any]:
        at = marks.pop()
        items = stack[at:]
        del stack[at:]
        return items

    operations: Iterator[tuple[Any, Any, Any]] = pickletools.genops(data)
    for count, (operation, argument, _) in enumerate(operations):
        if count >= MOST_OPERATIONS:
            raise _Fault(f"its pickle has more than {MOST_OPERATIONS} operations")
        match operation.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case "NONE":
                stack.append(None)
            case "NEWTRUE":
                stack.append(True)
            case "NEWFALSE":
                stack.append(False)
            case (
                ("BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT")
                | ("BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8")
                | ("BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8")
            ):
                stack.append(argument)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(operation.name[-1])
                items = tuple(stack.pop() for _ in range(size))
                stack.append(items[::-1])
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "APPEND":
                item = stack.pop()
                _extend(stack[-1], [item])
            case "APPENDS" | "ADDITEMS":
                items = since_mark()
                _extend(stack[-1], items)
            case "SETITEM":
                item, key = stack.pop(), stack.pop()
                _update(stack[-1], [key, item])
            case "SETITEMS":
                items = since_mark()
                _update(stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_name(".".join(argument.split(" ", 1))))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                if not isinstance(name, str) or not isinstance(module, str):
                    raise _Fault("its pickle computes a name, which no checkpoint does")
                stack.append(_name(f"{module}.{name}"))
            case "BINPERSID":
                stack.append(_storage(*stack.pop()[1:]))
            case "REDUCE" | "NEWOBJ":
                arguments, called = stack.pop(), stack.pop()
                stack.append(_make(called, arguments))
            case "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], Inert):
                    stack[-1].state = state
            case other:
                raise _Fault(f"its pickle has the operation {other}, which no checkpoint needs")
    raise ValueError("no end")


def _extend(target: object, items: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif not isinstance(target, Inert):
        raise TypeError("not a list")


def _update(target: object, items: list[Any]) -> None:
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a tuple of tuples of ... can take for ever.
            if not isinstance(key, str | int):
                raise TypeError("not a key")
            target[key] = value
    elif not isinstance(target, Inert):
        raise TypeError("not a dict")


def _name(path: str) -> Name:
    known = path in STORAGES or path in _MAKE or path in KNOWN or path.startswith(KNOWN_BELOW)
    if not known:
        raise _Fault(f"it names {path[:80]!r}, which no checkpoint needs: refused")
    return Name(path)


def _make(called: object, arguments: object) -> object:
    """What calling a name would have given."""
    if not isinstance(called, Name) or not isinstance(arguments, tuple):
        raise _Fault("its pickle calls something that it made itself: refused")
    if called.path in _MAKE:
        return _MAKE[called.path](*arguments)
    # A set is a list here: nothing of a checkpoint that is used is looked up in one.
    is_set = called.path.endswith((".set", ".frozenset"))
    return Inert(called.path, arguments[0] if is_set and arguments else None)


def _storage(kind: Name, key: str, location: object, numel: int) -> _Storage:
    if not isinstance(kind, Name) or not isinstance(key, str) or not isinstance(numel, int):
        raise TypeError("not a storage")
    if kind.path not in STORAGES:
        raise _Fault(
            f"its numbers are of kind {kind.path[:80]!r}, which is none of torch's storages"
        )
    return _Storage(STORAGES[kind.path], key, numel)


def _tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
    whole = isinstance(shape, tuple) and isinstance(strides, tuple)
    if not isinstance(storage, _Storage) or not whole:
        raise TypeError("not a tensor")
    if not all(isinstance(number, int) for number in (offset, *shape, *strides)):
        raise TypeError("not a tensor")
    return _Tensor(storage, offset, shape, strides)


def _ordered_dict(*given: object) -> dict[object, object]:
    if given:
        raise TypeError("torch fills an OrderedDict after making it")
    return {}


_MAKE: dict[str, Any] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "collections.OrderedDict": _ordered_dict,
}
