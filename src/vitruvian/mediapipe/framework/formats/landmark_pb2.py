"""Landmarks as MediaPipe's messages have them, without protocol buffers.

What programs do with them: make them, read and set fields (float32), `HasField`, `CopyFrom`, lists
that are filled with `extend` and `add`, compare, print, pickle. They are not serialized.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any, ClassVar, Self, SupportsIndex


class _Message:
    """What a landmark and a list of them have in common."""

    __slots__ = ("_set",)
    FIELDS: ClassVar[tuple[str, ...]]
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, **fields: Any) -> None:
        object.__setattr__(self, "_set", {})
        for name, value in fields.items():
            if name not in self.FIELDS:
                raise ValueError(self._no_field(name))
            if value is not None:
                self._take(name, value)

    def _take(self, name: str, value: Any) -> None:
        raise NotImplementedError

    def _no_field(self, name: str) -> str:
        return f'Protocol message {type(self).__name__} has no "{name}" field.'

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        object.__setattr__(self, "_set", state[1]["_set"])

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._set == other._set  # type: ignore

    def ListFields(self) -> list[tuple[_Field, Any]]:
        """The fields that are set, each with its value."""
        return [(_Field(name), self._set[name]) for name in self.FIELDS if self._set.get(name)]

    def Clear(self) -> None:
        """Unset all fields."""
        self._set.clear()

    def CopyFrom(self, other: Self) -> None:
        """Become equal to another message of the same type."""
        if other is not self:
            self._same_type("CopyFrom", other)
            self.Clear()
            self.MergeFrom(other)

    def MergeFrom(self, other: Any) -> None:
        """Take the fields that are set in another message of the same type."""
        raise NotImplementedError

    def _same_type(self, what: str, other: object) -> None:
        if type(other) is not type(self):
            want, got = type(self).__name__, type(other).__name__
            raise TypeError(
                f"Parameter to {what}() must be instance of same class: expected {want} got {got}."
            )

    def __repr__(self) -> str:
        return str(self)


class _Field:
    """The name of a field, as `ListFields` gives it."""

    def __init__(self, name: str) -> None:
        self.name = name


class Landmark(_Message):
    """A point: metres, of the body where the hips are the origin."""

    __slots__ = ()
    FIELDS = ("x", "y", "z", "visibility", "presence")
    x: float
    y: float
    z: float
    visibility: float  # 0..1
    presence: float  # 0..1

    @classmethod
    def of(cls, values: Iterable[float], *visibility: float) -> Self:
        """From x, y and z, and visibility if known, which are float32 already."""
        made = cls()
        made._set.update(zip(cls.FIELDS, (*values, *visibility), strict=False))
        return made

    def _take(self, name: str, value: Any) -> None:
        self._set[name] = ctypes.c_float(value).value

    def __getattr__(self, name: str) -> float:
        if name not in self.FIELDS:
            raise AttributeError(name)
        return self._set.get(name, 0.0)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.FIELDS:
            raise AttributeError(self._no_field(name))
        self._take(name, value)

    def ListFields(self) -> list[tuple[_Field, Any]]:
        """The fields that are set, each with its value."""
        return [(_Field(name), self._set[name]) for name in self.FIELDS if name in self._set]

    def HasField(self, name: str) -> bool:
        """Whether a field is set."""
        if name not in self.FIELDS:
            raise ValueError(self._no_field(name))
        return name in self._set

    def ClearField(self, name: str) -> None:
        """Unset a field."""
        if name not in self.FIELDS:
            raise ValueError(self._no_field(name))
        self._set.pop(name, None)

    def MergeFrom(self, other: Any) -> None:
        """Take the fields that are set in another landmark of the same type."""
        self._same_type("MergeFrom", other)
        self._set.update(other._set)

    def __str__(self) -> str:
        return "".join(f"{field.name}: {_text(value)}\n" for field, value in self.ListFields())


def _text(value: float) -> str:
    """A float32 in as few digits as tell it from its neighbours: six, or else nine."""
    short = f"{value:.6g}"
    same = value != value or ctypes.c_float(float(short)).value == value
    return short if same else f"{value:.9g}"


class NormalizedLandmark(Landmark):
    """A point of an image: x and y in widths and heights, z in widths."""

    __slots__ = ()


class _Landmarks(list[Any]):
    """The landmarks of a list; what is put in is copied."""

    def __init__(self, kind: type[Landmark]) -> None:
        super().__init__()
        self.kind = kind

    def _copied(self, value: Any) -> Landmark:
        if isinstance(value, dict):
            return self.kind(**value)
        if not isinstance(value, Landmark):
            raise TypeError(f"Expected a message object, but got {value!r}.")
        copy = self.kind()
        copy.MergeFrom(value)
        return copy

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError("does not support assignment")

    def add(self, **fields: Any) -> Any:
        """Append a new landmark and return it."""
        super().append(self.kind(**fields))
        return self[-1]

    def append(self, value: Any, /) -> None:
        """Append a copy."""
        super().append(self._copied(value))

    def insert(self, index: SupportsIndex, value: Any, /) -> None:
        """Insert a copy."""
        super().insert(index, self._copied(value))

    def extend(self, values: Iterable[Any] | None, /) -> None:
        """Append copies."""
        super().extend([self._copied(value) for value in values or ()])

    def MergeFrom(self, other: Iterable[Any]) -> None:
        """Append copies."""
        self.extend(other)

    def __reduce__(self) -> tuple[Any, ...]:
        return _filled, (self.kind, list(self))


def _filled(kind: type[Landmark], values: list[Landmark]) -> _Landmarks:
    made = _Landmarks(kind)
    made.extend(values)
    return made


class LandmarkList(_Message):
    """Landmarks of one body, in metres."""

    __slots__ = ()
    FIELDS = ("landmark",)
    KIND: ClassVar[type[Landmark]] = Landmark

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._set.setdefault("landmark", _Landmarks(self.KIND))

    @classmethod
    def of(cls, landmarks: Iterable[Landmark]) -> Self:
        """Of landmarks that nobody else has."""
        made = cls()
        list.extend(made.landmark, landmarks)
        return made

    @property
    def landmark(self) -> _Landmarks:
        """The landmarks."""
        return self._set["landmark"]

    @landmark.setter
    def landmark(self, value: object) -> None:
        raise AttributeError(
            'Assignment not allowed to message, map, or repeated field "landmark" in protocol '
            "message object."
        )

    def _take(self, name: str, value: Any) -> None:
        self._set[name] = _filled(self.KIND, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.FIELDS:
            raise AttributeError(self._no_field(name))
        object.__setattr__(self, name, value)

    def Clear(self) -> None:
        """Remove all landmarks."""
        self.landmark.clear()

    def MergeFrom(self, other: Any) -> None:
        """Append copies of the landmarks of another list of the same type."""
        self._same_type("MergeFrom", other)
        self.landmark.extend(other.landmark)

    def __str__(self) -> str:
        lines = ("  ".join(["", *str(each).splitlines(True)]) for each in self.landmark)
        return "".join(f"landmark {{\n{line}}}\n" for line in lines)


class NormalizedLandmarkList(LandmarkList):
    """Landmarks of one body, in the image."""

    __slots__ = ()
    KIND = NormalizedLandmark
