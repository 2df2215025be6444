"""Safe unpickling: read a pickle without executing code from it.

A pickle is a program for a stack machine that may call anything. The interpreter below cannot call:
it builds dicts, lists, tuples, numbers and strings, and recognises PyTorch tensors; everything else
becomes `Inert`, a record of the call and its arguments. `array` converts the records of NumPy
arrays.

Source: pickletools of the Python standard library (opcodes); torch/serialization.py and
torch/_utils.py at v2.13 (persistent ids, `_rebuild_tensor_v2`); NumPy 2.x output.
"""

from __future__ import annotations

import math
import mmap
import pickletools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

# Real files: 46 thousand opcodes and 397 tensors for yolov8n-pose, 130 thousand and 835 for
# x-p6, three times that with an optimizer.
MOST_OPERATIONS = 2_000_000

STORAGES = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "<u2",  # not a NumPy type
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
# Other names allowed in a checkpoint. None is imported: they become `Inert`.
KNOWN = {
    "__builtin__.getattr",  # `detect` of old heads, `forward_fuse` of fused files
    "__builtin__.set",
    "builtins.getattr",
    "builtins.set",
    "_codecs.encode",
    "collections.defaultdict",
    "numpy.dtype",
    "numpy.ndarray",
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
# Constructors of NumPy arrays and scalars, before and since NumPy 2.
_ARRAYS = {
    f"numpy.{core}.{name}": name.rpartition(".")[2]
    for core in ("core", "_core")
    for name in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")
}
KNOWN |= _ARRAYS.keys()
KNOWN_BELOW = ("torch.nn.", "ultralytics.", "models.", "__main__.")


@dataclass(frozen=True, eq=False, repr=False)
class Name:
    """A class or function named in the file."""

    path: str


@dataclass(eq=False, repr=False)
class Inert:
    """A record of an object that is neither plain data nor a tensor; never instantiated."""

    path: str  # its class, or the function that would have made it
    state: object = None  # for a module, its `__dict__`
    arguments: tuple[Any, ...] = ()  # of that call


@dataclass(frozen=True, repr=False)
class Storage:
    """A data buffer that several tensors may share."""

    kind: str  # a key of `STORAGES`
    key: str
    numel: int

    @property
    def numbers(self) -> np.dtype:
        """Data type in the file."""
        return np.dtype(STORAGES[self.kind])

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return self.numel * self.numbers.itemsize


@dataclass(frozen=True, eq=False, repr=False)
class Tensor:
    """A view of a storage."""

    storage: Storage
    offset: int  # elements, from the start of the storage
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # elements


class Fault(Exception):
    """The file is invalid; the reason."""


def interpret(data: bytes | mmap.mmap) -> tuple[object, dict[str, Storage]]:
    """Interpret a pickle (protocols 2 to 5); objects become `Inert` and `Tensor` records.

    Args:
        data: the pickle; an mmap is read from its position, and left at the pickle's end.

    Returns:
        The object, and all storages by key.

    Raises:
        ValueError, IndexError, KeyError, TypeError: it is damaged.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, object] = {}
    storages: dict[str, Storage] = {}

    def since_mark() -> list[Any]:
        at = marks.pop()
        items = stack[at:]
        del stack[at:]
        return items

    # An mmap works as a file: it has `read`, `readline` and `tell`.
    operations: Iterator[tuple[Any, Any, Any]] = pickletools.genops(data)  # type: ignore[arg-type]
    for count, (operation, argument, _) in enumerate(operations):
        if count >= MOST_OPERATIONS:
            raise Fault(f"its pickle has more than {MOST_OPERATIONS} operations")
        match operation.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop(), storages
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
                | ("BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8")
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
                    raise Fault("its pickle computes a name: refused")
                stack.append(_name(f"{module}.{name}"))
            case "BINPERSID":
                made = _persistent(*stack.pop())
                if isinstance(made, Storage) and storages.setdefault(made.key, made) != made:
                    raise TypeError("two storages of one key")
                stack.append(made)
            case "REDUCE" | "NEWOBJ":
                arguments, called = stack.pop(), stack.pop()
                stack.append(_make(called, arguments))
            case "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], Inert):
                    stack[-1].state = state
            case other:
                raise Fault(f"its pickle has the operation {other}, which no checkpoint needs")
    raise ValueError("no end")


def _extend(target: object, items: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif not isinstance(target, Inert):
        raise TypeError("not a list")


def _update(target: object, items: list[Any]) -> None:
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing deeply nested tuples can take forever.
            if not isinstance(key, str | int):
                raise TypeError("not a key")
            target[key] = value
    elif not isinstance(target, Inert):
        raise TypeError("not a dict")


def _name(path: str) -> Name:
    known = path in STORAGES or path in _MAKE or path in KNOWN or path.startswith(KNOWN_BELOW)
    if not known:
        raise Fault(f"it names {path[:80]!r}, which no checkpoint needs: refused")
    return Name(path)


def _make(called: object, arguments: object) -> object:
    """The result of a call, as data or a record."""
    if not isinstance(called, Name) or not isinstance(arguments, tuple):
        raise Fault("its pickle calls an object that it created: refused")
    if called.path in _MAKE:
        return _MAKE[called.path](*arguments)
    # A set becomes a list: nothing used from a checkpoint is looked up in one.
    is_set = called.path.endswith((".set", ".frozenset"))
    return Inert(called.path, arguments[0] if is_set and arguments else None, arguments)


def _persistent(what: str, kind: object, key: object, *rest: object) -> Storage | Name:
    """Resolve a persistent id: a storage, or in streams the class of a module."""
    if what == "module" and isinstance(kind, Name):  # followed by its file and source code
        return kind
    _location, numel, *view = rest
    if what != "storage" or not isinstance(kind, Name) or not isinstance(key, str):
        raise TypeError("not a storage")
    if not isinstance(numel, int) or numel < 0 or view not in ([], [None]):
        raise TypeError("not a storage")
    if kind.path not in STORAGES:
        raise Fault(f"its tensors are in {kind.path[:80]!r}, which is not a known torch storage")
    return Storage(kind.path, key, numel)


def _tensor(
    storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> Tensor:
    whole = isinstance(shape, tuple) and isinstance(strides, tuple)
    if not isinstance(storage, Storage) or not whole:
        raise TypeError("not a tensor")
    if not all(isinstance(number, int) for number in (offset, *shape, *strides)):
        raise TypeError("not a tensor")
    return Tensor(storage, offset, shape, strides)


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


def array(record: Inert) -> np.ndarray:
    """The NumPy array, or 0-d array for a scalar, of a record.

    Numbers and strings; object arrays hold the interpreted pickle items.

    Raises:
        ValueError, TypeError: it is damaged, or of another type.
    """
    match _ARRAYS.get(record.path):
        case "_reconstruct":
            _version, shape, kind, fortran, data = _tuple(record.state, 5)
        case "_frombuffer":
            data, kind, shape, order = _tuple(record.arguments, 4)
            fortran = order == "F"
        case "scalar":
            kind, data = _tuple(record.arguments, 2)
            shape, fortran = (), False
        case _:
            raise TypeError("no array")
    if not isinstance(shape, tuple) or not all(
        isinstance(n, int) and 0 <= n < 1 << 31 for n in shape
    ):
        raise TypeError("no shape")
    numbers = _dtype(kind)
    if numbers == np.dtype(object):
        if not isinstance(data, list) or len(data) != math.prod(shape):
            raise ValueError("another number of objects than its shape says")
        flat = np.empty(len(data), object)
        flat[:] = data
    else:
        if isinstance(data, Inert) and data.path == "_codecs.encode":  # protocol 2
            text, coding = _tuple(data.arguments, 2)
            data = text.encode("latin1") if isinstance(text, str) and coding == "latin1" else None
        whole = isinstance(data, bytes | bytearray)
        if not whole or len(data) != math.prod(shape) * numbers.itemsize:
            raise ValueError("another number of bytes than its shape says")
        flat = np.frombuffer(data, numbers)
    return flat.reshape(shape, order="F" if fortran else "C")


def _tuple(value: object, length: int) -> tuple[Any, ...]:
    if not isinstance(value, tuple) or len(value) != length:
        raise TypeError("no array")
    return value


def _dtype(record: object) -> np.dtype:
    """The dtype of an array; stricter than NumPy."""
    if not isinstance(record, Inert) or record.path != "numpy.dtype" or not record.arguments:
        raise TypeError("no type")
    name = record.arguments[0]
    if not isinstance(name, str) or not re.fullmatch(
        r"([biu][1248]|f[248]|U[1-9]\d{0,3}|O8)", name
    ):
        raise TypeError("no type of numbers or texts")
    order = record.state[1] if isinstance(record.state, tuple) and len(record.state) > 1 else "|"
    return np.dtype(f">{name}" if order == ">" else name)
