"""Wire format: one frame and its poses as a JSON object, and the header of a record.

Each line is self-contained and includes the camera, so 3D keypoints can be reprojected. Pixels
to 1/10000, metres and scores to 1/1000000. Smoothed or repaired people keep the original values
that differ under `raw`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BOXES, SKELETONS, skeleton
from vitruvian.body.state import states
from vitruvian.documents import WHOLE
from vitruvian.errors import VitruvianError, shown
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera

SCHEMA = 1
PIXEL_DECIMALS, DECIMALS = 4, 6
# Fields of a person besides the track id -> decimals. `null` is a missing keypoint.
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
    "reprojection": PIXEL_DECIMALS,
    "uncertainty": DECIMALS,
    "views": 0,
}
NEEDED = ("box", "box_score", "xy", "score")  # required for every person
LARGEST = 1e15  # pixels or metres on reading; its square still fits float32
LATEST = 1e10  # seconds, 300 years; beyond it, frame intervals lose precision
LARGEST_SIDE = 1 << 30  # pixels of a frame, on reading


class Provenance(Protocol):
    """The source of poses: a model, or its description in a record header."""

    name: str
    weights: dict[str, str]  # file -> SHA-256
    options: dict[str, Any]  # of the model and of temporal processing

    @property
    def runs_on(self) -> str:
        """The device or provider that actually runs it."""
        ...


@dataclass
class _Provenance:
    name: str
    weights: dict[str, str]
    options: dict[str, Any]
    runs_on: str


def with_options(model: Provenance, **more: Any) -> Provenance:
    """A model with additional options, of temporal processing."""
    return _Provenance(model.name, model.weights, model.options | more, model.runs_on)


def from_header(header: dict[str, Any], **more: Any) -> Provenance:
    """Provenance from a record header, with more options."""
    options = header.get("options", {}) | more
    weights = header.get("weights", {})
    return _Provenance(header.get("model", ""), weights, options, header.get("runs_on", ""))


def header(model: Provenance | None, table: Skeleton | None = None) -> dict[str, Any]:
    """The first line of a record; `table`: the skeleton of its poses."""
    from vitruvian import __version__

    line: dict[str, Any] = {"schema": SCHEMA, "vitruvian": __version__}
    if model is not None:
        line |= {"model": model.name, "weights": model.weights, "options": model.options}
        line["runs_on"] = model.runs_on
    return line if table is None else {**line, "skeleton": json.loads(table.to_json())}


def frame_to_dict(frame: Frame, poses: Poses, model: str = "") -> dict[str, Any]:
    """One frame in the wire format, ready for JSON."""
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
    """The available `PARTS`, one entry per person."""
    parts: dict[str, list[Any]] = {}
    for key, decimals in PARTS.items():
        value = getattr(poses, key)
        if value is not None and value.dtype == bool:
            parts[key] = value.tolist()
        elif value is not None:
            parts[key] = _nested(np.round(value.astype(np.float64), decimals))
    return parts


def _camera(frame: Frame, poses: Poses) -> dict[str, Any] | None:
    """The camera of a frame, or the default camera if the poses were computed with it."""
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
    """Lists of numbers; `None` for each NaN keypoint."""
    if not np.isnan(values).any():
        return values.tolist()
    if values.ndim == 1:
        return [None if np.isnan(value) else float(value) for value in values]
    if values.ndim == 2:
        return [_nested(row) for row in values]
    return [[None if np.isnan(point).any() else point.tolist() for point in row] for row in values]


def from_dict(line: dict[str, Any], own: Skeleton | None = None) -> tuple[Frame, Poses]:
    """The frame, without pixels, and the poses of one line.

    `own`: the skeleton described in the header; a line may name another built-in one.

    Raises:
        VitruvianError: invalid frame.
    """
    try:
        frame, people, origin = _frame(line), line["people"], line["origin"]
        named = own is not None and line["skeleton"] == own.name
        table = own if own is not None and named else skeleton(line["skeleton"])
        if origin not in (None, "camera", "hips"):
            raise ValueError(f"its origin is {shown(origin)}, want camera, hips or null")
        if not isinstance(people, list) or not all(isinstance(each, dict) for each in people):
            raise TypeError("its people are not a list of objects")
        if not people:
            return frame, Poses.nobody(table, origin)
        parts = {**dict.fromkeys(NEEDED), **_arrays(people, len(table))}
        person = [each["person"] for each in people]
        if not all(type(number) is int and abs(number) < WHOLE for number in person):
            raise TypeError(f"a track id is not a whole number: {shown(person)}")
        lacking = [key for key in NEEDED if parts[key] is None]
        if lacking:
            raise ValueError(f"its people have no '{lacking[0]}'")
        poses = Poses(table, person=np.array(person, np.int64), origin=origin, **parts)
        if "raw" in people[0]:
            raw = _arrays([each["raw"] for each in people], len(table))
            if any(raw.get(key, ()) is None for key in NEEDED):
                raise ValueError("the raw part of its people is incomplete")
            poses = replace(poses, raw=replace(poses, **raw))
    except KeyError as error:
        raise VitruvianError(f"it has no {error}") from None
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise VitruvianError(error) from None
    return frame, poses


def from_dicts(
    lines: Sequence[dict[str, Any]], own: Skeleton | None = None
) -> list[tuple[Frame, Poses]] | None:
    """As `from_dict`, of several lines at once, which is faster.

    None if they differ in what they have, or one is invalid: then take one by one.
    """
    try:
        people = [each for line in lines for each in line["people"]]
        first, origin = people[0].keys(), lines[0]["origin"]
        alike = all(each.keys() == first for each in people)
        alike &= all(
            line["origin"] == origin and line["skeleton"] == lines[0]["skeleton"] for line in lines
        )
        if not alike or "raw" in first or own is None or lines[0]["skeleton"] != own.name:
            return None
        nothing = {key: sum(each[key] is None for each in people) for key in PARTS if key in first}
        if any(count not in (0, len(people)) for count in nothing.values()):
            return None
        parts: dict[str, Any] = {**dict.fromkeys(NEEDED), **_arrays(people, len(own))}
        if any(parts[key] is None for key in NEEDED):
            return None
        found, at = list[tuple[Frame, Poses]](), 0
        for line in lines:
            here = line["people"]
            if not here:
                found.append((_frame(line), Poses.nobody(own, origin)))
                continue
            person = [each["person"] for each in here]
            if not all(type(number) is int and abs(number) < WHOLE for number in person):
                return None
            rows = slice(at, at + len(here))
            some: dict[str, Any] = {k: None if v is None else v[rows] for k, v in parts.items()}
            some["person"] = np.array(person, np.int64)
            found.append((_frame(line), Poses(own, origin=origin, **some)))
            at += len(here)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError):
        return None
    return found


def _frame(line: dict[str, Any]) -> Frame:
    """The frame of a line, without pixels."""
    source, index, time, size = (line[key] for key in ("source", "index", "time", "size"))
    if not isinstance(source, str):
        raise TypeError(f"its source is {shown(source)}, want a string")
    if type(index) is not int or abs(index) >= WHOLE:
        raise TypeError(f"its index is {shown(index)}, want a whole number")
    if type(time) not in (int, float) or not abs(time) <= LATEST:
        raise TypeError(f"its time is {shown(time)}, want seconds")
    if type(size) is not list or [type(side) for side in size] != [int, int]:
        raise TypeError(f"its size is {shown(size)}, want width and height")
    if not all(0 <= side <= LARGEST_SIDE for side in size):
        raise ValueError(f"its size is {shown(size)}, want 0 to {LARGEST_SIDE}")
    camera, wide_tall = line.get("camera"), (size[0], size[1])
    if camera is not None and not isinstance(camera, dict):
        raise TypeError(f"its camera is {shown(camera)}, want an object or null")
    if camera is not None and not isinstance(camera.get("known_by", ""), str):
        raise TypeError("its camera source is not a string")
    camera = None if camera is None else Camera(size=wide_tall, **camera)
    return Frame(None, index, float(time), source, camera, wide_tall)


def _arrays(people: list[dict[str, Any]], k: int) -> dict[str, Any]:
    """The `PARTS` present, as arrays; None for a part that is null for all people.

    Raises:
        TypeError, ValueError: invalid values, or a number that is not finite.
    """
    shapes = {"box": (4,), "box_score": (), "error": (), "plausible": ()}
    shapes |= {"xy": (k, 2), "xyz": (k, 3), "world": (k, 3)}
    parts: dict[str, Any] = {}
    for key in PARTS:
        if key not in people[0]:
            continue
        values = [each[key] for each in people]
        if key not in ("error", "box_score") and values.count(None) == len(values):
            parts[key] = None
        else:
            parts[key] = _array(key, values, shapes.get(key, (k,)))
    numbers = [key for key, part in parts.items() if part is not None and key != "plausible"]
    if not numbers:
        return parts
    together = np.concatenate([parts[key].ravel() for key in numbers])
    if (np.abs(together) > LARGEST).any():
        raise ValueError(f"a number is not finite, or larger than {LARGEST:g}")
    together, at = together.astype(np.float32), 0
    for key in numbers:
        size, shape = parts[key].size, parts[key].shape
        parts[key], at = together[at : at + size].reshape(shape), at + size
    return parts


def _array(key: str, values: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    """(N, *shape) numbers or booleans of N people; NaN for None.

    Raises:
        TypeError, ValueError: invalid values.
    """
    if not shape:
        filled = [np.nan if value is None else value for value in values]
    elif not shape[0]:  # no keypoints
        filled = np.zeros((len(values), *shape)) if not any(values) else values
    elif any(None in value for value in values):
        missing = [np.nan] * shape[1] if len(shape) > 1 else np.nan
        filled = [[missing if part is None else part for part in value] for value in values]
    else:
        filled = values
    array = np.array(filled)
    if array.shape != (len(values), *shape):
        raise ValueError(f"{key} is {array.shape}, want {(len(values), *shape)}")
    if array.dtype.kind not in ("b" if key == "plausible" else "fiu"):
        raise TypeError(f"{key} has a value of the wrong type, or beyond 64 bits")
    return array


def described(table: Any) -> Skeleton | None:
    """The skeleton in a header, the built-in one if equal; None for None.

    Raises:
        ValueError, TypeError, KeyError: invalid skeleton.
    """
    if table is None:
        return None
    if not isinstance(table, dict):
        raise TypeError("want an object")
    if table["name"] == BOXES.name and not table["keypoints"]:
        return BOXES
    own = Skeleton.from_json(json.dumps(table))
    known = SKELETONS.get(own.name)
    if known is not None and (known.keypoints, known.bones) == (own.keypoints, own.bones):
        return known
    return own


def dump(line: dict[str, Any]) -> str:
    """A line of a `.jsonl` file."""
    return json.dumps(line, allow_nan=False, separators=(",", ":")) + "\n"
