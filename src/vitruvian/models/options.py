"""Options that check themselves: a field's type says what its value may be, and is checked once.

One vocabulary for every family: `num_poses` (people in a frame, at most), `conf` (confidence
threshold of a person), `find`, `skeleton`, `masks`, `augment` (views of each person), `precision`,
`runtime`, `threads`, `device`; and for streams `track`, `smooth`, `detect_every`, `same_from` (IoU
from which two regions show one person). Where others call the same thing otherwise, their word is
accepted: `SYNONYMS` of each class, such as MediaPipe's `min_tracking_confidence` for `same_from`,
`output_segmentation_masks` for `masks`, and MeTRAbs' `num_aug` for `augment`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

from vitruvian.errors import VitruvianError, unknown
from vitruvian.network import PRECISIONS

RUNTIMES = ("openvino", "onnxruntime")


@dataclass(frozen=True)
class Wants:
    """What a value must be, and how that is said."""

    good: Callable[[Any], bool]
    words: str


@dataclass(frozen=True)
class OneOf:
    """Names that a value may have."""

    known: tuple[str, ...]


def is_number(value: object) -> bool:
    """Whether it is an int or a float; True and False are neither."""
    return type(value) in (int, float)


def whole(least: int) -> Wants:
    """Whole numbers from the least."""
    good = lambda value: type(value) is int and value >= least  # noqa: E731
    return Wants(good, f"a whole number from {least}")


Share = Annotated[float, Wants(lambda v: is_number(v) and 0 <= v <= 1, "a number from 0 to 1")]
Count = Annotated[int, whole(1)]
OddOrZero = Annotated[int, whole(0), Wants(lambda v: v % 2 == 1 or v == 0, "an odd number or 0")]
Area = Annotated[float, Wants(lambda v: is_number(v) and v >= 0, "pixels squared from 0")]
Precision = Annotated[str, OneOf(tuple(PRECISIONS))]
Runtime = Annotated[str, OneOf(RUNTIMES)]


@cache
def _rules(cls: type) -> dict[str, tuple[bool, tuple[object, ...]]]:
    """Of each field whether it may be None, and what else it must be."""
    rules = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        optional = False
        if get_origin(hint) in (Union, types.UnionType):
            optional = type(None) in get_args(hint)
            (hint,) = (part for part in get_args(hint) if part is not type(None))
        rules[name] = optional, _PLAIN.get(hint, getattr(hint, "__metadata__", ()))
    return rules


_PLAIN: dict[object, tuple[object, ...]] = {
    bool: (Wants(lambda value: isinstance(value, bool), "True or False"),),
}


class Checked:
    """What a frozen dataclass of options inherits; see `Share` and the types beside it."""

    KIND: ClassVar[str] = "option"  # in errors: "no KIND named ..."
    SYNONYMS: ClassVar[Mapping[str, str]] = {}  # other names of fields

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            self.check(field.name, getattr(self, field.name))

    @classmethod
    def names(cls) -> list[str]:
        """Of its fields."""
        return [field.name for field in fields(cls)]  # type: ignore[arg-type]

    @classmethod
    def check(cls, name: str, value: object) -> None:
        """Raise `VitruvianError` if a field, or what else it is called, cannot have the value."""
        optional, rules = _rules(cls)[cls.SYNONYMS.get(name, name)]
        if value is None and optional:
            return
        for rule in rules:
            if isinstance(rule, OneOf) and value not in rule.known:
                raise unknown(name, str(value), rule.known)
            if isinstance(rule, Wants) and not rule.good(value):
                raise VitruvianError(f"{name} is {value!r}, want {rule.words}")

    @classmethod
    def of(cls, **given: Any) -> Self:
        """From names and values; a synonym is as good as the name.

        Raises:
            VitruvianError: no such option, one is given twice, or a value is out of range.
        """
        values: dict[str, Any] = {}
        for name, value in given.items():
            own = cls.SYNONYMS.get(name, name)
            if own not in cls.names():
                raise unknown(cls.KIND, name, [*cls.names(), *cls.SYNONYMS])
            if own in values:
                raise VitruvianError(f"{name} is {own}, which is given as well; leave one out")
            cls.check(name, value)
            values[own] = value
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Machine(Checked):
    """What computes a network."""

    precision: Precision = "f32"  # inside the networks: f32 (exact), bf16, f16
    threads: Count | None = None  # of the networks; None: one a core
    device: str = "CPU"  # as the runtime names it

    @property
    def each_once(self) -> bool:
        """Whether everybody is given once, so that people can be numbered."""
        return True


@dataclass(frozen=True, kw_only=True)
class EitherRuntime(Machine):
    """The same, of a family that runs on OpenVINO and on ONNX Runtime."""

    runtime: Runtime = "openvino"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.runtime == "onnxruntime" and self.precision != "f32":
            raise VitruvianError(
                f"ONNX Runtime has no precision '{self.precision}'; use f32, or runtime openvino"
            )


@dataclass(frozen=True, kw_only=True)
class StreamDefaults(Checked):
    """What a stream of a model's poses does unless it is told otherwise.

    The defaults of a family, or what its model was loaded with; see `vitruvian.stream.wanted`.
    """

    track: bool = True  # number people in videos and live streams, the same person the same
    smooth: bool = False  # One-Euro filters for each of those who are numbered
    # Frames, at least, between two detections while someone is followed, where people were being
    # looked at in those between; None: the finder sees each frame.
    detect_every: Count | None = None
    same_from: Share = 0.7  # 0..1, two regions that overlap more show one person

    SYNONYMS: ClassVar[Mapping[str, str]] = {"min_tracking_confidence": "same_from"}
