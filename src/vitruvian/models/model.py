"""Model: a stateless function from frames to poses. Family: what all models of one kind share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError, unknown
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models.options import Machine, StreamDefaults


class Model(Protocol):
    """The interface of every model."""

    name: str  # in the catalogue
    weights: dict[str, str]  # file -> SHA-256
    options: dict[str, Any]  # all it was loaded with, for records
    wanted: StreamDefaults  # what its streams do unless they are told otherwise

    @property
    def runs_on(self) -> str:
        """The device, or provider, that truly computes it."""
        ...

    def __call__(
        self, frames: Sequence[Frame], look: Sequence[Regions] | None = None, /
    ) -> list[Poses]:
        """Poses of each frame; `look`: regions of the people, if known."""
        ...


def skeleton_of(model: Model) -> Skeleton:
    """The skeleton of a model's poses.

    Raises:
        VitruvianError: it is a custom model without one.
    """
    table = getattr(model, "skeleton", None)
    if not isinstance(table, Skeleton):
        raise VitruvianError(f"{model.name} does not say which skeleton it has")
    return table


@runtime_checkable
class Streamed(Protocol):
    """A model for which frames are independent, so that several are computed in parallel."""

    def stream(self, frames: Iterable[Frame], /) -> Iterator[Poses]:
        """Everyone in each frame, in order."""
        ...


class AddParts(Protocol):
    """Adds the keypoints of parts, such as hands, to the bodies of a frame."""

    skeleton: Skeleton  # of the poses with parts
    smoothed: bool  # whether a stream that smooths bodies smooths these as well

    def __call__(self, frame: Frame, bodies: Poses, before: Poses | None = None, /) -> Poses:
        """The same people; `before`: what this gave for the previous frame of the same stream."""
        ...


@runtime_checkable
class InParts(Protocol):
    """A model of bodies and what is added to them: a stream tracks and smooths bodies first."""

    body: Model
    parts: AddParts


class Find(Protocol):
    """A person detector: regions of each frame, by descending score."""

    def __call__(self, frames: Sequence[Frame], /) -> list[Regions]:
        """Of any number of frames."""
        ...


class Glance(Protocol):
    """A quick look at a frame, in the background; call what it returns for what it saw."""

    def __call__(self, frame: Frame, /) -> Callable[[], Regions]:
        """Begin."""
        ...


@dataclass(frozen=True)
class Finder:
    """A person detector with its weights."""

    find: Find
    weights: Mapping[str, str]  # file -> SHA-256
    # Whether it has boxes only, also for who wants squares around bodies.
    upright: bool = False
    complete: bool = False  # whether it knows all people
    # The same, quicker and less exact, for whether there are several; see `Glance`.
    glance: Glance | None = None


@dataclass(frozen=True)
class Family:
    """What the rest of the house may know of a family of models; each file of a family has one.

    Nobody outside of `models/` knows a family by its name: what differs between them is a field
    here.
    """

    name: str
    # Name of a model or a file, options, skeleton, finder -> the model; see `load`.
    load: Callable[..., Any]
    options: type[Machine]
    # What it wants of a finder: nothing, as it finds people itself; boxes around people; or squares
    # around whole bodies.
    wants: Literal["nothing", "boxes", "bodies"]
    metres: bool  # whether its poses are in 3D
    found_by: str | None = None  # the model that finds people for it by default; None: it itself
    # Name of a model or a file, "boxes" or "bodies", options -> a finder; None: it finds nobody.
    finder: Callable[..., Finder] | None = None
    finds_near: bool = False  # whether its finder looks for people near the camera only
    wanted: StreamDefaults = field(default_factory=StreamDefaults)  # of its streams
    # Options where average precision is measured, which asks for people of low confidence as well,
    # and for everybody who can count: 20 an image.
    for_ap: Mapping[str, Any] = field(default_factory=dict)
    # Options where frames are unrelated pictures, unless one person is asked for.
    for_pictures: Mapping[str, Any] = field(default_factory=dict)
    tensors: tuple[str, ...] = ()  # how names of its checkpoints' tensors begin
    # Refuses the checkpoints of its relatives: takes a `Checkpoint` and its file.
    check: Callable[..., None] = lambda checkpoint, file: None
    # Checkpoint, skeleton, frames -> inputs of its network, for int8 weights; None: it has no int8.
    calibration_inputs: Callable[..., list[np.ndarray]] | None = None

    @property
    def stream_options(self) -> tuple[str, ...]:
        """Names of what its streams know; who finds people by itself does so in each frame."""
        return ("track", "smooth") if self.wants == "nothing" else tuple(StreamDefaults.names())

    @property
    def one_person(self) -> bool:
        """Whether it looks for one person only, unless it is told to look for more."""
        return self.takes("num_poses") and self.options.of().num_poses == 1  # type: ignore

    def takes(self, option: str) -> bool:
        """Whether its models have an option of this name."""
        if option == "find":
            return self.wants != "nothing"
        own = self.options.SYNONYMS.get(option, option) in self.options.names()
        return own or StreamDefaults.SYNONYMS.get(option, option) in self.stream_options

    def read(self, given: Mapping[str, Any]) -> tuple[Any, StreamDefaults]:
        """Options of a model, and what its streams do, from names and values.

        Raises:
            VitruvianError: no such option, with the nearest name, or a value out of range.
        """
        stream = [*self.stream_options, *StreamDefaults.SYNONYMS]
        stream = stream if self.wants != "nothing" else list(self.stream_options)
        known = [*self.options.names(), *self.options.SYNONYMS, *stream]
        for name in given:
            if name not in known:
                raise unknown(self.options.KIND, name, known)
        asked = StreamDefaults.of(**{name: given[name] for name in given if name in stream})
        options = self.options.of(**{name: given[name] for name in given if name not in stream})
        names = {StreamDefaults.SYNONYMS.get(name, name) for name in given if name in stream}
        wanted = replace(self.wanted, **{name: getattr(asked, name) for name in names})
        if not options.each_once and "track" not in names:
            wanted = replace(wanted, track=False)
        return options, wanted

    def recorded(self, wanted: StreamDefaults) -> dict[str, Any]:
        """What its streams do, for records."""
        return {name: asdict(wanted)[name] for name in self.stream_options}
