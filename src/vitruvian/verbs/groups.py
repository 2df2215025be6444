"""Groups: what belongs together of the words of a verb, and flat keywords spread over them.

A verb such as `predict` takes a handful of groups, each a frozen dataclass: `Span`, `Wanted`,
`CameraWords`, ... The command line and Python callers give their fields instead: `--stride 2`,
`stride=2`. So each field stands once, with its type and its default.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vitruvian.errors import VitruvianError, unknown

if TYPE_CHECKING:
    from vitruvian.geometry.camera import Camera

R = TypeVar("R")
VISIBLE = 0.5  # keypoints with this score are drawn


@dataclass(frozen=True)
class ModelWords:
    """Options that most models have; None: as the model has it."""

    find: str | None = None  # what finds the people: another model, or a file of boxes
    num_poses: int | None = None  # people in a frame, at most
    conf: float | None = None  # 0..1, confidence threshold of a person
    skeleton: str | None = None  # of the keypoints: a name, or a .toml file


@dataclass(frozen=True)
class MachineWords:
    """What models run on; None: as the model has it."""

    device: str | None = None  # CPU, GPU, NPU or AUTO
    threads: int | None = None  # of the networks
    precision: str | None = None  # inside the networks: f32, bf16 or f16


@dataclass(frozen=True)
class CameraWords:
    """The camera that all of a source was taken with, said in one of four ways, or not at all."""

    camera: Camera | str | Path | None = None  # or its calibration file
    fov_deg: float | None = None  # degrees, across the longer side
    focal: float | None = None  # focal length, pixels
    focal_mm: float | None = None  # focal length on 35 mm film

    def given(self) -> Any:
        """The camera of a picture of a size, see `vitruvian.geometry.calibration.given`."""
        from vitruvian.geometry import calibration

        return calibration.given(**{each.name: getattr(self, each.name) for each in fields(self)})

    def of(self) -> list[Any]:
        """The same for a ledger: a file with its size and time."""
        from vitruvian.verbs.folder import stamped

        camera: Any = self.camera
        if isinstance(camera, (str, Path)):
            camera = stamped(camera)
        elif camera is not None:
            camera = camera.matrix.tolist()
        return [camera, self.fov_deg, self.focal, self.focal_mm]


@dataclass(frozen=True)
class OutputWords:
    """What is written, and where."""

    out: Path = Path("out")  # a folder, or one file
    save: str | None = None  # names of formats with commas; None: what the verb writes by default
    visible: float = VISIBLE  # 0..1, keypoints with this score or more are drawn
    resume: bool = False  # go on where a run that was stopped left off
    overwrite: bool = False  # replace files that exist

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", Path(self.out))
        if self.save is not None and not isinstance(self.save, str):
            object.__setattr__(self, "save", ",".join(self.save))

    @property
    def resumes(self) -> bool:
        """Whether files that exist are continued."""
        return self.resume and not self.overwrite

    @property
    def replaces(self) -> bool:
        """Whether files may exist."""
        return self.resume or self.overwrite

    def words(self, default: str) -> list[str]:
        """The names of `save`, or else those of `default`."""
        return (default if self.save is None else self.save).split(",")


@dataclass(frozen=True)
class AnalysisWords:
    """What `analyze` looks for, and how it measures."""

    rules: str | None = None  # names of rules, or files, with commas; None: all, unless angles
    angles: bool = False  # measure joint angles
    angle: str | None = None  # the same, and which are drawn and plotted
    space: str | None = None  # of the angles: 2d, 3d
    minimum: float = 0.5  # seconds, shorter events are left out
    gap: float = 0.5  # seconds, an event goes on over gaps as short as this


@dataclass(frozen=True)
class Outcome:
    """What a verb has written."""

    files: tuple[Path, ...]
    faults: tuple[VitruvianError, ...] = ()  # what could not be read; the rest is done


class FaultList(list[VitruvianError]):
    """Faults, and who is told of each; without that, the first is raised at the end."""

    def __init__(self, on_error: Callable[[VitruvianError], None] | None) -> None:
        super().__init__()
        self.on_error = on_error

    def tell(self, fault: VitruvianError) -> None:
        """Another one."""
        self.append(fault)
        if self.on_error is not None:
            self.on_error(fault)

    def outcome(self, files: Sequence[Path]) -> Outcome:
        """What was done.

        Raises:
            VitruvianError: something went wrong, and nobody was told.
        """
        if self and self.on_error is None:
            more = f" (and {len(self) - 1} more like it)" if len(self) > 1 else ""
            raise VitruvianError(f"{self[0]}{more}")
        return Outcome(tuple(dict.fromkeys(files)), tuple(self))


def quiet(line: str) -> None:
    """What is done with lines about progress, where nobody asks for them."""


def given_words(*groups: Any) -> list[str]:
    """The names of fields that are not as they are by default."""
    return [
        each.name
        for group in groups
        for each in fields(group)
        if getattr(group, each.name) != each.default
    ]


def flat_parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function, where a group stands for its fields.

    A group is a parameter whose default is an instance of a dataclass; the defaults of its fields
    are those of the instance.
    """
    flat: dict[str, inspect.Parameter] = {}
    only = inspect.Parameter.KEYWORD_ONLY
    for name, each in inspect.signature(function).parameters.items():
        if not is_group(each):
            flat[name] = each
            continue
        for field in fields(each.default):
            value = getattr(each.default, field.name)
            flat[field.name] = inspect.Parameter(
                field.name, only, default=value, annotation=field.type
            )
    # Python wants those that may stand without their name first.
    return dict(sorted(flat.items(), key=lambda pair: pair[1].kind))


def is_group(parameter: inspect.Parameter) -> bool:
    """Whether a parameter is a group."""
    return is_dataclass(parameter.default) and not isinstance(parameter.default, type)


def gather(function: Callable[..., Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """Flat words as the keywords that a function takes.

    Raises:
        VitruvianError: there is no such word, or a group is given as well as one of its fields.
    """
    parameters = inspect.signature(function).parameters
    left, gathered = dict(words), dict[str, Any]()
    for name, each in parameters.items():
        if not is_group(each):
            continue
        if isinstance(left.get(name), type(each.default)):  # the whole of it
            gathered[name] = left.pop(name)
        own = {f.name: left.pop(f.name) for f in fields(each.default) if f.name in left}
        if name in gathered and own:
            raise VitruvianError(f"{name} holds {', '.join(own)}; give one of both")
        if own:
            gathered[name] = type(each.default)(**{**shallow(each.default), **own})
    for name, value in left.items():
        if name not in parameters:
            raise unknown(f"word of {function.__name__}", name, flat_parameters(function))
        gathered[name] = value
    return gathered


def shallow(group: Any) -> dict[str, Any]:
    """Field -> value of a group."""
    return {each.name: getattr(group, each.name) for each in fields(group)}


def verb(function: Callable[..., R]) -> Callable[..., R]:
    """The function with flat keywords; groups are taken as well, whole.

    What `inspect.signature` and `help` show are the flat keywords.
    """

    @functools.wraps(function)
    def flat(*words: Any, **named: Any) -> R:
        return function(*words, **gather(function, named))

    parameters = [*flat_parameters(function).values()]
    flat.__signature__ = inspect.signature(function).replace(parameters=parameters)  # type: ignore[attr-defined]
    return flat
