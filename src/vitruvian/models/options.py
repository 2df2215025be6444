"""Validated model options: each field's type annotation gives the allowed values.

Options shared by all families: `num_poses` (maximum people per frame), `conf` (confidence threshold
of a person), `find`, `skeleton`, `hands` and `face` (parts added to bodies), `masks`, `augment`
(augmented views per person), `precision`, `runtime`, `threads`, `device`; and for streams `track`,
`smooth`, `detect_every`, `same_from` (IoU threshold for two regions of one person). Names of other
tools are accepted, see `SYNONYMS` of each class: MediaPipe's `min_tracking_confidence` for
`same_from`, `output_segmentation_masks` for `masks`, MeTRAbs' `num_aug` for `augment`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

from vitruvian.errors import VitruvianError, unknown
from vitruvian.network.openvino import PRECISIONS

RUNTIMES = ("openvino", "onnxruntime")


@dataclass(frozen=True)
class Wants:
    """A condition on a value, and its wording in errors."""

    good: Callable[[Any], bool]
    words: str


@dataclass(frozen=True)
class OneOf:
    """The allowed names of a value."""

    known: tuple[str, ...]


def is_number(value: object) -> bool:
    """Whether it is an int or float, but not a bool."""
    return type(value) in (int, float)


def whole(least: int) -> Wants:
    """Integers >= `least`."""
    good = lambda value: type(value) is int and value >= least  # noqa: E731
    return Wants(good, f"a whole number from {least}")


Share = Annotated[float, Wants(lambda v: is_number(v) and 0 <= v <= 1, "a number from 0 to 1")]
Count = Annotated[int, whole(1)]
OddOrZero = Annotated[int, whole(0), Wants(lambda v: v % 2 == 1 or v == 0, "an odd number or 0")]
Side = Annotated[
    int, Wants(lambda v: type(v) is int and 1 <= v <= 8192, "a whole number from 1 to 8192")
]
Area = Annotated[float, Wants(lambda v: is_number(v) and v >= 0, "pixels squared from 0")]
Precision = Annotated[str, OneOf(tuple(PRECISIONS))]
Runtime = Annotated[str, OneOf(RUNTIMES)]


@cache
def _rules(cls: type) -> dict[str, tuple[bool, tuple[object, ...]]]:
    """Per field, whether it may be None, and its rules."""
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
    """Base of frozen option dataclasses; field types: `Share` and those next to it."""

    KIND: ClassVar[str] = "option"  # in errors: "no KIND named ..."
    SYNONYMS: ClassVar[Mapping[str, str]] = {}  # synonym -> field name

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            self.check(field.name, getattr(self, field.name))

    @classmethod
    def names(cls) -> list[str]:
        """Field names."""
        return [field.name for field in fields(cls)]  # type: ignore[arg-type]

    @classmethod
    def check(cls, name: str, value: object) -> None:
        """Raise `VitruvianError` if a field, or its synonym, cannot have the value."""
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
        """Create from names or synonyms and values.

        Raises:
            VitruvianError: unknown option, duplicate option, or value out of range.
        """
        values: dict[str, Any] = {}
        for name, value in given.items():
            own = cls.SYNONYMS.get(name, name)
            if own not in cls.names():
                raise unknown(cls.KIND, name, [*cls.names(), *cls.SYNONYMS])
            if own in values:
                raise VitruvianError(f"{name} is {own}, which is also given; leave one out")
            cls.check(name, value)
            values[own] = value
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Machine(Checked):
    """Inference hardware and precision."""

    precision: Precision = "f32"  # of inference: f32 (exact), bf16, f16
    threads: Count | None = None  # of inference; None: one per core
    streams: Count = 1  # number of unrelated frames computed in parallel
    device: str = "CPU"  # the runtime's device name

    @property
    def each_once(self) -> bool:
        """Whether each person appears once per frame, as tracking requires."""
        return True


@dataclass(frozen=True, kw_only=True)
class PoseOptions(Machine):
    """The same, and the parts that are added to bodies, see `vitruvian.models.holistic`."""

    # Whether to look for hands and faces, too; None: as the model's name says.
    hands: bool | None = None
    face: bool | None = None
    refine_face: bool = False  # another network of the face: better eyes and lips, and irises
    hand_presence: Share = 0.5  # threshold of a hand's presence
    face_conf: Share = 0.5  # detection threshold of a face
    face_nms_iou: Share = 0.3  # IoU threshold of non-maximum suppression of faces
    face_presence: Share = 0.5  # threshold of a face's presence

    SYNONYMS: ClassVar[Mapping[str, str]] = {
        "refine_face_landmarks": "refine_face",
        "min_hand_landmarks_confidence": "hand_presence",
        "min_face_detection_confidence": "face_conf",
        "min_face_suppression_threshold": "face_nms_iou",
        "min_face_landmarks_confidence": "face_presence",
    }


@dataclass(frozen=True, kw_only=True)
class EitherRuntime(PoseOptions):
    """The same, for families that run on OpenVINO or ONNX Runtime."""

    runtime: Runtime = "openvino"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.runtime == "onnxruntime" and self.precision != "f32":
            raise VitruvianError(
                f"ONNX Runtime has no precision '{self.precision}'; use f32, or runtime openvino"
            )


@dataclass(frozen=True, kw_only=True)
class StreamDefaults(Checked):
    """Default options of a stream of a model's poses.

    From the family, or from loading the model; see `vitruvian.streams.wanted`.
    """

    track: bool = True  # assign track ids to people in videos and live streams
    smooth: bool = False  # One-Euro filter for each tracked person
    # Run the person detector at most every n-th frame while people are tracked, where frames
    # in between search around them; None: on every frame.
    detect_every: Count | None = None
    same_from: Share = 0.7  # 0..1, IoU above which two regions show one person

    SYNONYMS: ClassVar[Mapping[str, str]] = {"min_tracking_confidence": "same_from"}
