"""What is done with the frames of one live stream: poses, analysis, messages, a recording."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vitruvian.analysis.angles import angle_names, has_parts
from vitruvian.analysis.changes import EventChange, LiveAnalyst
from vitruvian.analysis.found import AnalysisSettings, FrameAnalysis, state_label
from vitruvian.errors import VitruvianError, shown
from vitruvian.formats.wire import frame_to_dict
from vitruvian.frame import Frame
from vitruvian.models.load import family_of, open_model
from vitruvian.models.model import Model
from vitruvian.models.spec import ModelSpec
from vitruvian.streams.one_euro import BODY
from vitruvian.streams.stream import Given, Stream
from vitruvian.streams.wanted import Wanted, check_wanted
from vitruvian.verbs.outputs import open_sink

if TYPE_CHECKING:
    from vitruvian.body.poses import Poses

PEOPLE = (1, 2, 5)  # the maximum number of people, as a client may choose it
MASK_SIDE = 256  # pixels, the longer side of masks for the page; that of the network's crop
UNSHOWN = ("presence", "depth", "world", "error", "plausible", "raw")


@dataclass(frozen=True)
class Choice:
    """What a client chose; checked by `Models`."""

    model: str
    people: int | None = None  # None: as the model has it
    smooth: bool = True
    masks: bool = False

    @classmethod
    def of(cls, message: Any) -> Choice:
        """Read what a client sent.

        Raises:
            VitruvianError: it is no choice.
        """
        given = message if isinstance(message, dict) else {}
        model, people = given.get("model"), given.get("people")
        smooth, masks = given.get("smooth", True), given.get("masks", False)
        switches = type(smooth) is type(masks) is bool
        if isinstance(model, str) and type(people) in (int, type(None)) and switches:
            return cls(model, people, smooth, masks)
        raise VitruvianError(f"no choice of a model: {shown(message)}")


class Models:
    """The models that clients may choose, each opened when it is first chosen, and kept."""

    def __init__(self, specs: Sequence[ModelSpec | Model]) -> None:
        """Open the first one.

        Raises:
            VitruvianError: it cannot be opened.
        """
        self._specs = {
            each.label if isinstance(each, ModelSpec) else each.name: each for each in specs
        }
        self._opened: dict[tuple[str, int | None, bool], Model] = {}
        self._lock = threading.Lock()
        self.first = Choice(next(iter(self._specs)))
        self.open(self.first)

    def offers(self) -> list[dict[str, Any]]:
        """For the page: names, maximum numbers of people to choose from, and whether masks."""
        return [
            {"name": name, "people": self._people(name), "masks": self._masks(name)}
            for name in self._specs
        ]

    def _masks(self, name: str) -> bool:
        """Whether masks may be switched on and off."""
        spec = self._specs[name]
        switched = isinstance(spec, ModelSpec) and family_of(spec.name).takes("masks")
        return switched and not spec.options.get("masks")

    def _people(self, name: str) -> list[int]:
        """Only where each person costs time: models that follow people from frame to frame."""
        spec = self._specs[name]
        if not isinstance(spec, ModelSpec) or not family_of(spec.name).wanted.detect_every:
            return []
        own = spec.options.get("num_poses") or 1
        return sorted({*PEOPLE, own})

    def open(self, choice: Choice) -> Model:
        """The model of a choice.

        Raises:
            VitruvianError: it is not offered, or it cannot be opened.
        """
        name = choice.model
        spec = self._specs.get(name)
        if (
            spec is None
            or choice.people not in (None, *self._people(name))
            or (choice.masks and not self._masks(name))
        ):
            raise VitruvianError(f"{shown(name)} is not offered here as it was chosen")
        with self._lock:
            key = name, choice.people, choice.masks
            if key not in self._opened:
                own: dict[str, Any] = {"masks": True} if choice.masks else {}
                if choice.people is not None:
                    own["num_poses"] = choice.people
                if isinstance(spec, ModelSpec):
                    spec = replace(spec, options={**spec.options, **own})
                self._opened[key] = open_model(spec, [])
            return self._opened[key]


@dataclass(frozen=True)
class Setup:
    """What is the same for all streams of a server."""

    models: Models
    asked: AnalysisSettings
    wanted: Wanted
    camera: Given | None
    record: Path | None  # folder of recordings; None: nothing is stored
    video: bool  # whether a recording is also an annotated video
    on_event: Callable[[dict[str, Any]], None]


class LiveStream:
    """The state of one live stream, used by one thread at a time."""

    def __init__(self, setup: Setup, number: int, choice: Choice, send: Callable[[dict], None]):
        """Open the model of a choice.

        Args:
            setup: of the server.
            number: of the stream, for events and files.
            choice: model and options.
            send: called with messages about events, the model and the recording.

        Raises:
            VitruvianError: it is not offered, or cannot be opened.
        """
        self.setup, self.number, self.send = setup, number, send
        self.recording: Recording | None = None
        self._analyst = LiveAnalyst(setup.asked)
        self.choose(choice)

    def choose(self, choice: Choice) -> None:
        """Take another model; people get new track ids.

        Raises:
            VitruvianError: it is not offered, or cannot be opened.
        """
        model = self.setup.models.open(choice)
        wanted = self.setup.wanted
        if not choice.smooth:
            wanted = replace(wanted, smooth="no")
        check_wanted(wanted, model)
        self.stop_recording()
        self.close()
        self.choice, self.model = choice, model
        self._stream = Stream(model, wanted, camera=self.setup.camera)
        self._analyst = LiveAnalyst(self.setup.asked)
        self._shown = ""  # name of the skeleton that the page knows

    def __call__(self, frame: Frame) -> tuple[Poses, dict[str, Any]]:
        """The poses of the next frame, and the message with them."""
        poses = self._stream(frame)
        if poses.skeleton.name != self._shown:
            self._shown = poses.skeleton.name
            self.send(self._about(poses))
        if self.recording is not None:
            self.recording.write(frame, poses)
        return poses, self._message(frame, poses)

    def analyze(self, frame: Frame, poses: Poses) -> dict[str, Any]:
        """The message with what the people of the next frame do; tells its events before."""
        found, changes = self._analyst(frame, poses)
        self._tell(changes)
        return self._found(frame, poses, found)

    def _about(self, poses: Poses) -> dict[str, Any]:
        table, parts = poses.skeleton, has_parts(poses.skeleton)
        return {
            "type": "model",
            "name": self.choice.model,
            "people": self.choice.people or self.model.options.get("num_poses"),
            "smooth": self.choice.smooth,
            "masks": self.choice.masks,
            "skeleton": {
                "name": table.name,
                "keypoints": table.keypoints,
                "bones": table.bones,
                "parts": {part: own for part, own in table.parts.items() if part not in BODY},
            },
            "angles": {"2d": angle_names("2d", parts), "3d": angle_names("3d", parts)},
        }

    def _message(self, frame: Frame, poses: Poses) -> dict[str, Any]:
        message = frame_to_dict(frame, replace(poses, raw=None), self.choice.model)
        for row, person in enumerate(message["people"]):
            for name in UNSHOWN:
                person.pop(name, None)
            if poses.mask is not None:
                person["mask"] = run_lengths(poses.mask[row])
        del message["camera"], message["source"]
        return {"type": "poses", **message}

    def _found(self, frame: Frame, poses: Poses, found: FrameAnalysis) -> dict[str, Any]:
        people = []
        for row, number in enumerate(poses.person.tolist()):
            states = [label for label, _ in state_label(found, number, everything=False)]
            person = {"person": number, "states": states}
            if found.angles is not None:
                person["angles"] = [
                    None if np.isnan(angle) else round(angle, 1)
                    for angle in found.angles[row].tolist()
                ]
            people.append(person)
        return {
            "type": "found",
            "frame": frame.index,
            "time": frame.seconds,
            "space": found.space,
            "people": people,
        }

    def _tell(self, changes: Sequence[EventChange]) -> None:
        for change in changes:
            line = {**change.to_dict(), "stream": self.number}
            self.setup.on_event(line)
            self.send({"type": "event", **line})

    def start_recording(self) -> None:
        """Start to record.

        Raises:
            VitruvianError: the server does not record, or a file cannot be written.
        """
        if self.setup.record is None:
            raise VitruvianError("this server stores nothing; start it with --record DIR")
        if self.recording is None:
            self.recording = Recording(self.setup.record, self.number, self.model, self.setup.video)
        self.send({"type": "recording", "files": self.recording.names})

    def stop_recording(self) -> None:
        """Stop to record, if it does."""
        if self.recording is not None:
            recording, self.recording = self.recording, None
            recording.close()
            self.send({"type": "recording", "files": [], "saved": recording.names})

    def close(self) -> None:
        """End the events that last, and the recording."""
        self.stop_recording()
        self._tell(self._analyst.close())


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """(H, W) 0..1 for the page: where it is above one half, at most `MASK_SIDE` on a side.

    Lengths of runs that are outside and inside by turns, row after row, from outside on.
    """
    height, width = mask.shape
    scale = min(1.0, MASK_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    inside = (cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR) > 0.5).ravel()
    changes = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    runs = np.diff(changes, prepend=0, append=inside.size).tolist()
    return {"size": size, "runs": [0, *runs] if inside[0] else runs}


class Recording:
    """Files of one recording, with names of the server's own."""

    def __init__(self, folder: Path, number: int, model: Model, video: bool) -> None:
        """Open them.

        Raises:
            VitruvianError: one cannot be written.
        """
        stem = f"live_{time.strftime('%Y%m%d_%H%M%S')}_{number}"
        paths = [folder / f"{stem}.jsonl", *([folder / f"{stem}.mp4"] if video else [])]
        self.names = [path.name for path in paths]
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._sinks = [stack.enter_context(open_sink(path, model)) for path in paths]
            self._stack = stack.pop_all()

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write a frame."""
        for sink in self._sinks:
            sink.write(frame, poses)

    def close(self) -> None:
        """Finish the files."""
        self._stack.close()
