"""Groups: options of the verbs as dataclasses, and flat keywords that are gathered into them.

A verb such as `predict` takes a few groups, each a frozen dataclass: `Span`, `Wanted`,
`CameraWords`, ... The command line and Python callers pass their fields: `--stride 2`, `stride=2`.
So each option is defined once, with its type and its default.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vitruvian.errors import VitruvianError, shown, unknown

if TYPE_CHECKING:
    from vitruvian.geometry.camera import Camera

R = TypeVar("R")
TAKES = "takes"  # in the metadata of a field: the type that a keyword may have, if wider
VISIBLE = 0.5  # minimum score of the keypoints that are drawn


@dataclass(frozen=True)
class ModelWords:
    """Options that most models have; None: default of the model."""

    find: str | None = None  # person detector: another model, or a .json file of bounding boxes
    num_poses: int | None = None  # maximum number of people per frame
    conf: float | None = None  # 0..1, confidence threshold for a person detection
    skeleton: str | None = None  # a name, or a .toml file
    hands: bool | None = None  # also look for 21 landmarks of each hand
    face: bool | None = None  # also look for a face mesh


@dataclass(frozen=True)
class MachineWords:
    """Options of inference; None: default of the model."""

    device: str | None = None  # CPU, GPU, NPU or AUTO
    threads: int | None = None  # for inference
    precision: str | None = None  # of inference: f32, bf16 or f16


@dataclass(frozen=True)
class CameraWords:
    """The camera of a source, given in one of four ways, or not at all."""

    camera: Camera | str | Path | None = None  # or its calibration file
    fov_deg: float | None = None  # degrees, field of view along the longer side
    focal: float | None = None  # focal length, pixels
    focal_mm: float | None = None  # 35 mm equivalent focal length, mm

    def given(self) -> Any:
        """Function image size -> camera, see `vitruvian.geometry.calibration.given`."""
        from vitruvian.geometry import calibration

        return calibration.given(**{each.name: getattr(self, each.name) for each in fields(self)})

    def of(self) -> list[Any]:
        """The same for the ledger of a folder; a file with its size and modification time."""
        from vitruvian.verbs.folder import stamped

        camera: Any = self.camera
        if isinstance(camera, (str, Path)):
            camera = stamped(camera)
        elif camera is not None:
            camera = camera.matrix.tolist()
        return [camera, self.fov_deg, self.focal, self.focal_mm]


@dataclass(frozen=True)
class OutputWords:
    """Output location and formats."""

    # A folder, or one file; a URL, which only a batch writes to, stays text.
    out: str | Path = Path("out")
    # Comma-separated formats; None: default of the verb.
    save: str | None = field(default=None, metadata={TAKES: "str | Sequence[str] | None"})
    visible: float = VISIBLE  # 0..1, minimum score of the keypoints that are drawn
    resume: bool = False  # resume an interrupted run
    overwrite: bool = False  # replace existing files

    def __post_init__(self) -> None:
        if isinstance(self.out, Path) and re.match("[a-z0-9+]{2,}:$", (*self.out.parts, "")[0]):
            raise VitruvianError(
                f"'{shown(self.out, 100)}' was a URL before it became a Path; give it as text"
            )
        if "://" not in str(self.out):
            object.__setattr__(self, "out", Path(self.out))
        if self.save is not None and not isinstance(self.save, str):
            object.__setattr__(self, "save", ",".join(self.save))

    @property
    def path(self) -> Path:
        """The folder or file.

        Raises:
            VitruvianError: it is a URL.
        """
        if isinstance(self.out, str):
            raise VitruvianError(
                f"'{shown(self.out, 100)}' is a URL, and only a batch writes to those; give a "
                "folder or a file to --out"
            )
        return self.out

    @property
    def resumes(self) -> bool:
        """Whether existing files are continued."""
        return self.resume and not self.overwrite

    @property
    def replaces(self) -> bool:
        """Whether output files may exist."""
        return self.resume or self.overwrite

    def words(self, default: str) -> list[str]:
        """The names of `save`, or else those of `default`."""
        return (default if self.save is None else self.save).split(",")


@dataclass(frozen=True)
class AnalysisWords:
    """Options of `analyze`: rules, joint angles and events."""

    rules: str | None = None  # comma-separated rules or files; None: all, unless angles
    angles: bool = False  # measure joint angles
    angle: str | None = None  # the same, and the angles that are drawn and plotted
    space: str | None = None  # of the angles: 2d, 3d
    minimum: float = 0.5  # seconds, minimum duration of an event
    gap: float = 0.5  # seconds, longest gap within one event
    on: float = 0.6  # 0..1, degree from which an event begins
    off: float = 0.4  # 0..1, degree below which it ends
    # Track ids, such as "1,3"; None: everybody.
    person: str | None = field(default=None, metadata={TAKES: "int | str | Sequence[int] | None"})

    def __post_init__(self) -> None:
        given: Any = self.person
        if given is not None and not isinstance(given, str):
            given = given if isinstance(given, Iterable) else [given]
            object.__setattr__(self, "person", ",".join(map(str, given)))

    def people(self) -> tuple[int, ...]:
        """The track ids; empty for everybody.

        Raises:
            VitruvianError: one is none.
        """
        words = [] if self.person is None else [word.strip() for word in self.person.split(",")]
        for word in words:
            if not (word.isdecimal() and word.isascii() and len(word) < 19):
                raise VitruvianError(
                    f"person is '{shown(self.person)}', want track ids, such as 1,3"
                )
        return tuple(dict.fromkeys(map(int, words)))


@dataclass(frozen=True)
class BatchWords:
    """How a batch is done."""

    recursive: bool = False  # search subfolders
    workers: int | None = None  # None: one per core; with Ray as many as there is room for
    ray: str | None = None  # address of a Ray cluster, auto or local; None: processes, without Ray
    cpus_per_worker: float = 1.0  # also the threads of inference of each
    gpus_per_worker: float = 0.0
    shard: str | None = None  # 3/64: the third of 64 parts of the sources
    # Seconds, length of the pieces in which a long video is done by several workers; 0: never cut;
    # None: about 300, if there are fewer sources than workers.
    cut: float | None = None
    attempts: int = 2  # of a source or piece, before it is set aside
    # Folder for the manifests of batches whose output is a URL; None: one of the user.
    state: Path | None = field(default=None, metadata={TAKES: "str | Path | None"})
    summary: bool = False  # write summary.html and summary.json about everything in the folder
    on_event: str | None = None  # command that gets each posture event as a line of JSON
    # File for a line of JSON about each source.
    log: Path | None = field(default=None, metadata={TAKES: "str | Path | None"})

    def __post_init__(self) -> None:
        for name in ("state", "log"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(path))


@dataclass(frozen=True)
class LiveWords:
    """The server of the live page, and what events set off."""

    host: str = "127.0.0.1"  # any other than a loopback address needs a token, which is made
    port: int = 8000  # 0: any free one
    clients: int = 4  # browser cameras at once
    certfile: Path | None = field(default=None, metadata={TAKES: "str | Path | None"})  # .pem
    keyfile: Path | None = field(default=None, metadata={TAKES: "str | Path | None"})  # .pem
    loop: bool = False  # a video file starts again at its end
    # Folder of recordings; None: nothing is stored.
    record: Path | None = field(default=None, metadata={TAKES: "str | Path | None"})
    record_video: bool = False  # recordings also as annotated .mp4
    webhook: str | None = None  # address that gets each event as JSON
    osc: str | None = None  # HOST:PORT that gets each event as an OSC message
    run: str | None = None  # command that is run with each event as JSON on its standard input
    browser: bool = True  # open the page in a browser, where there is a desktop

    def __post_init__(self) -> None:
        for name in ("certfile", "keyfile", "record"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        if not 0 <= self.port < 65536:
            raise VitruvianError(f"port is {self.port}, want 0 to 65535")
        if not 1 <= self.clients <= 100:
            raise VitruvianError(f"clients is {self.clients}, want 1 to 100")
        if self.keyfile is not None and self.certfile is None:
            raise VitruvianError("keyfile needs certfile")
        if self.record_video and self.record is None:
            raise VitruvianError("record_video needs record, the folder of recordings")


@dataclass(frozen=True)
class Outcome:
    """Result of a verb: the files written, and errors."""

    files: tuple[Path, ...]
    faults: tuple[VitruvianError, ...] = ()  # read errors; everything else was processed


class FaultList(list[VitruvianError]):
    """Errors, each passed to `on_error`; without `on_error`, the first is raised at the end."""

    def __init__(self, on_error: Callable[[VitruvianError], None] | None) -> None:
        super().__init__()
        self.on_error = on_error

    def tell(self, fault: VitruvianError) -> None:
        """Add an error."""
        self.append(fault)
        if self.on_error is not None:
            self.on_error(fault)

    def outcome(self, files: Sequence[Path]) -> Outcome:
        """The result of the verb.

        Raises:
            VitruvianError: there are errors, and no `on_error`.
        """
        if self and self.on_error is None:
            more = f" (and {len(self) - 1} more like it)" if len(self) > 1 else ""
            raise VitruvianError(f"{self[0]}{more}")
        return Outcome(tuple(dict.fromkeys(files)), tuple(self))


def quiet(line: str) -> None:
    """Ignore a line about progress."""


def given_words(*groups: Any) -> list[str]:
    """Names of the fields that differ from their defaults."""
    return [
        each.name
        for group in groups
        for each in fields(group)
        if getattr(group, each.name) != each.default
    ]


def flat_parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function, with each group replaced by its fields.

    A group is a parameter whose default is an instance of a dataclass; the defaults of its fields
    are those of the instance.
    """
    flat: dict[str, inspect.Parameter] = {}
    only = inspect.Parameter.KEYWORD_ONLY
    for name, each in inspect.signature(function).parameters.items():
        if not is_group(each):
            flat[name] = each
            continue
        for own in fields(each.default):
            value, kind = getattr(each.default, own.name), own.metadata.get(TAKES, own.type)
            flat[own.name] = inspect.Parameter(own.name, only, default=value, annotation=kind)
    # Positional parameters must come first.
    return dict(sorted(flat.items(), key=lambda pair: pair[1].kind))


def is_group(parameter: inspect.Parameter) -> bool:
    """Whether a parameter is a group."""
    return is_dataclass(parameter.default) and not isinstance(parameter.default, type)


def gather(function: Callable[..., Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """Gather flat keywords into the groups that a function takes.

    Raises:
        VitruvianError: unknown keyword, or a group is given together with one of its fields.
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
            raise VitruvianError(f"{name} already has {', '.join(own)}; give one of the two")
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
    """Decorator: the function takes flat keywords, or whole groups.

    `inspect.signature` and `help` show the flat keywords.
    """

    @functools.wraps(function)
    def flat(*words: Any, **named: Any) -> R:
        return function(*words, **gather(function, named))

    parameters = [*flat_parameters(function).values()]
    flat.__signature__ = inspect.signature(function).replace(parameters=parameters)  # type: ignore[attr-defined]
    return flat
