"""Records: one JSON line a frame, the wire format of everything here.

The first line of a `.jsonl` file is a header: schema, version, model, hashes of its weights,
options, skeleton. Every other line stands for itself, its camera included, so that what it says
can be projected again. Pixels to 1/10000, metres and scores to 1/1000000. Who was smoothed or
repaired has what was found beside it, under `raw`: of the parts that differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BOXES, SKELETONS, skeleton
from vitruvian.body.state import states
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.sink.growing import Text

SCHEMA = 1
PIXEL_DECIMALS, DECIMALS = 4, 6
# What a person of a record has besides a number -> decimals. `null` is a keypoint not found.
PARTS = {
    "box": PIXEL_DECIMALS,
    "box_score": DECIMALS,
    "xy": PIXEL_DECIMALS,
    "score": DECIMALS,
    "xyz": DECIMALS,
    "presence": DECIMALS,
    "depth": PIXEL_DECIMALS,
    "world": DECIMALS,
    "error": PIXEL_DECIMALS,
    "plausible": 0,
}


class About(Protocol):
    """What a record says of the model that made it."""

    name: str
    weights: dict[str, str]
    options: dict[str, Any]

    @property
    def runs_on(self) -> str:
        """The device, or provider, that truly computes it."""
        ...


@dataclass
class Made:
    """What made a record, with what was done over time among the options."""

    name: str
    weights: dict[str, str]
    options: dict[str, Any]
    runs_on: str

    @classmethod
    def of(cls, model: About, **more: Any) -> Made:
        """A model, and more options."""
        return cls(model.name, model.weights, model.options | more, model.runs_on)

    @classmethod
    def read(cls, header: dict[str, Any], **more: Any) -> Made:
        """What the header of a record says, and more options."""
        options = header.get("options", {}) | more
        weights = header.get("weights", {})
        return cls(header.get("model", ""), weights, options, header.get("runs_on", ""))


def header(model: About | None, table: Skeleton | None = None) -> dict[str, Any]:
    """The first line of a record; `table`: the skeleton of what follows."""
    from vitruvian import __version__

    line: dict[str, Any] = {"schema": SCHEMA, "vitruvian": __version__}
    if model is not None:
        line |= {"model": model.name, "weights": model.weights, "options": model.options}
        line["runs_on"] = model.runs_on
    return line if table is None else {**line, "skeleton": json.loads(table.to_json())}


def to_dict(frame: Frame, poses: Poses, model: str = "") -> dict[str, Any]:
    """One frame as the wire format has it; ready for JSON."""
    parts = _parts(poses)
    columns = {"person": poses.person.tolist(), **parts}
    columns["state"] = states(poses, frame.size).tolist()
    if poses.raw is not None:
        before = _parts(poses.raw)
        differ = [key for key in PARTS if before.get(key) != parts.get(key)]
        raw = {key: before.get(key, [None] * len(poses)) for key in differ}
        rows = zip(*raw.values(), strict=True) if raw else [()] * len(poses)
        columns["raw"] = [dict(zip(raw, row, strict=True)) for row in rows]
    people = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return {
        "source": frame.source,
        "index": frame.index,
        "time": round(frame.seconds, 6),
        "size": list(frame.size),
        "camera": _camera(frame, poses),
        "model": model,
        "skeleton": poses.skeleton.name,
        "origin": poses.origin,
        "people": people,
    }


def _parts(poses: Poses) -> dict[str, list[Any]]:
    """Those of `PARTS` that there are, an entry for each person."""
    parts: dict[str, list[Any]] = {}
    for key, decimals in PARTS.items():
        value = getattr(poses, key)
        if value is not None and value.dtype == bool:
            parts[key] = value.tolist()
        elif value is not None:
            parts[key] = _nested(np.round(value.astype(np.float64), decimals))
    return parts


def _camera(frame: Frame, poses: Poses) -> dict[str, Any] | None:
    """The camera of a frame; without one, what models assume, if the poses rest on it."""
    camera = frame.camera
    if camera is None and poses.origin == "camera" and all(frame.size):
        camera = Camera.view(frame.size)
    if camera is None:
        return None
    extrinsics = None if camera.extrinsics is None else camera.extrinsics.tolist()
    return {
        "known_by": camera.known_by,
        "matrix": camera.matrix.tolist(),
        "distortion": camera.distortion.tolist(),
        "extrinsics": extrinsics,
        "up": camera.up.tolist(),
    }


def _nested(values: np.ndarray) -> list[Any]:
    """Lists of numbers; `None` for each keypoint that is NaN."""
    if not np.isnan(values).any():
        return values.tolist()
    if values.ndim == 1:
        return [None if np.isnan(value) else float(value) for value in values]
    if values.ndim == 2:
        return [_nested(row) for row in values]
    return [[None if np.isnan(point).any() else point.tolist() for point in row] for row in values]


def from_dict(line: dict[str, Any], own: Skeleton | None = None) -> tuple[Frame, Poses]:
    """The frame, without pixels, and the poses of one line.

    `own` is the skeleton that the header describes; a line may name another one of ours.
    """
    named = own is not None and line["skeleton"] == own.name
    table = own if own is not None and named else skeleton(line["skeleton"])
    size = (line["size"][0], line["size"][1])
    camera = None if line.get("camera") is None else Camera(size=size, **line["camera"])
    frame = Frame(None, line["index"], line["time"], line["source"], camera, size)
    people = line["people"]
    if not people:
        return frame, Poses.nobody(table, line["origin"])
    parts = _arrays(people, len(table))
    person = np.array([each["person"] for each in people], np.int64)
    poses = Poses(table, person=person, origin=line["origin"], **parts)
    if "raw" in people[0]:
        raw = _arrays([each["raw"] for each in people], len(table))
        poses = replace(poses, raw=replace(poses, **raw))
    return frame, poses


def _arrays(people: list[dict[str, Any]], k: int) -> dict[str, Any]:
    """Those of `PARTS` that the people have, as arrays; None for one that nobody has."""
    shapes = {"box": (4,), "box_score": (), "error": (), "plausible": ()}
    shapes |= {"xy": (k, 2), "xyz": (k, 3), "world": (k, 3)}
    parts: dict[str, Any] = {}
    for key in PARTS:
        if key not in people[0]:
            continue
        shape, values = shapes.get(key, (k,)), [each[key] for each in people]
        if key != "error" and all(value is None for value in values):
            parts[key] = None
            continue
        kind = bool if key == "plausible" else np.float32
        parts[key] = np.array([_filled(value, shape) for value in values], kind)
    return parts


def _filled(value: Any, shape: tuple[int, ...]) -> Any:
    """The value with NaN in place of None."""
    if value is None:
        return np.full(shape[1:] if len(shape) > 1 else shape, np.nan)
    if not shape:
        return value
    if not value:
        return np.zeros((0, *shape[1:]))  # of no keypoints
    missing = np.full(shape[1:], np.nan) if len(shape) > 1 else np.nan
    return np.array([missing if part is None else part for part in value])


def described(table: Any) -> Skeleton | None:
    """The skeleton that a header describes, ours where it is the same; None of None.

    Raises:
        ValueError, TypeError, KeyError: it describes none.
    """
    if table is None:
        return None
    known = {**SKELETONS, BOXES.name: BOXES}.get(table["name"])
    bones = [tuple(bone) for bone in table["bones"]]
    if (
        known is not None
        and known.keypoints == tuple(table["keypoints"])
        and list(known.bones) == bones
    ):
        return known
    return Skeleton.from_json(json.dumps(table))


class Record:
    """A `.jsonl` file: `header` says what made it, iterating gives pairs of frame and poses."""

    def __init__(self, path: str | Path) -> None:
        """Open it and read the header.

        Raises:
            VitruvianError: it is missing, or no record of this version.
        """
        self.path = Path(path)
        try:
            with self.path.open(encoding="utf-8") as file:
                first = file.readline()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise VitruvianError(f"cannot read '{path}': {why}") from None
        self.header = self._json(first, 1)
        if self.header.get("schema") != SCHEMA:
            raise VitruvianError(
                f"cannot read '{path}': its first line is no header of schema {SCHEMA}; "
                "records are written by `vitruvian predict --out poses.jsonl`"
            )
        try:
            self.skeleton = described(self.header.get("skeleton"))
        except (ValueError, TypeError, KeyError) as error:
            raise VitruvianError(
                f"cannot read '{path}': its header describes no skeleton ({error!r})"
            ) from None

    def _json(self, line: str, number: int) -> dict[str, Any]:
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise VitruvianError(f"cannot read '{self.path}': line {number} is no JSON object")
        return value

    def __iter__(self) -> Iterator[tuple[Frame, Poses]]:
        with self.path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if number == 1:
                    continue
                try:
                    yield from_dict(self._json(line, number), self.skeleton)
                except (KeyError, TypeError, ValueError, IndexError) as error:
                    raise VitruvianError(
                        f"cannot read '{self.path}': line {number} is no frame ({error})"
                    ) from None


def read(path: str | Path) -> Record:
    """The poses of a `.jsonl` file: `for frame, poses in vit.read("out.jsonl")`."""
    return Record(path)


def json_lines(path: Path, model: About | None) -> Text:
    """A `.jsonl` file."""
    name, tables = "" if model is None else model.name, list[Skeleton]()

    def lines(frame: Frame, poses: Poses) -> str:
        table, line = poses.skeleton, dump(to_dict(frame, poses, name))
        if not tables:
            tables.append(table)
            return dump(header(model, table)) + line
        if table is not tables[0] and SKELETONS.get(table.name) is not table:
            raise VitruvianError(
                f"'{path}' is of the skeleton {tables[0].name}, and frame {frame.index} of "
                f"'{frame.source}' of {table.name}; write it into another file"
            )
        return line

    return Text(path, "", lines)


def dump(line: dict[str, Any]) -> str:
    """A line of a `.jsonl` file."""
    return json.dumps(line, allow_nan=False, separators=(",", ":")) + "\n"
