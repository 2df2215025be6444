"""OpenPose JSON: one file a frame with the 25 keypoints of BODY_25; and back.

Neck and MidHip, which most skeletons do not have, are the middles of shoulders and hips, as they
are in OpenPose's own training data; a point that is so derived has the lower score of the two,
and is named under `vitruvian.derived`, a key of ours that other readers pass over. What a
skeleton does not have is 0, 0, 0, as is what was not found.

Source: doc/02_output.md of OpenPose 1.7, and pose/poseParameters.cpp for the order of BODY_25.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.mapping import Mapping
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BODY25
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import around
from vitruvian.sink.part import Part
from vitruvian.sink.records import About


def to_dict(frame: Frame, poses: Poses, derived: Sequence[str] = ()) -> dict[str, Any]:
    """One frame, as a file has it; `derived` are keypoints that are so already."""
    way = Mapping.of(poses.skeleton, BODY25)
    there = way(poses)
    points = np.concatenate([there.xy, there.score[..., None]], axis=-1).astype(float)
    points[np.isnan(points).any(axis=-1)] = 0
    derived = [name for name in BODY25.keypoints if name in (*derived, *way.derived)]
    people = [
        {
            "person_id": [int(person)],
            "pose_keypoints_2d": np.round(values, 4).ravel().tolist(),
            "face_keypoints_2d": [],
            "hand_left_keypoints_2d": [],
            "hand_right_keypoints_2d": [],
        }
        for person, values in zip(poses.person, points, strict=True)
    ]
    ours = {"derived": derived, "skeleton": poses.skeleton.name, "time": round(frame.seconds, 6)}
    ours |= {"index": frame.index, "size": list(frame.size), "source": frame.source}
    return {"version": 1.3, "people": people, "vitruvian": ours}


class OpenPose:
    """A folder of `NAME_000000000000_keypoints.json`, one a frame, as a sink."""

    def __init__(self, folder: Path, model: About | None = None) -> None:
        """`model`: what made the poses; what its options name as derived is so."""
        self.folder, self.paths = folder, list[Path]()
        self.derived = () if model is None else model.options.get("derived", ())

    def __enter__(self) -> OpenPose:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write the file of a frame."""
        stem = re.sub(r"[^\w.+-]+", "_", Path(frame.source).stem) or "frame"
        part = Part(self.folder / f"{stem}_{frame.index:012}_keypoints.json")
        part.begin().write_text(json.dumps(to_dict(frame, poses, self.derived)), encoding="utf-8")
        part.finish()
        self.paths.append(part.path)

    def __exit__(self, *_: object) -> None:
        pass


def derived_in(folder: str | Path) -> list[str]:
    """Which keypoints the first file of a folder names as derived."""
    return _read(_files(folder)[0])[0].get("derived", [])


def _files(folder: str | Path) -> list[Path]:
    files = sorted(Path(folder).glob("*_keypoints.json"))
    if not files:
        raise VitruvianError(f"'{folder}' has no files called *_keypoints.json")
    return files


def _read(path: Path) -> tuple[dict[str, Any], np.ndarray, list[int]]:
    """Of a file: what we wrote of the frame, (N, 25, 3) points, and numbers of people."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        people = read["people"]
        listed = [np.reshape(each["pose_keypoints_2d"], (25, 3)) for each in people]
        person = [int((each.get("person_id") or [-1])[0]) for each in people]
        ours = {**read.get("vitruvian", {})}
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VitruvianError(f"cannot read '{path}': no BODY_25 keypoints ({error!r})") from None
    return ours, np.array(listed, np.float32).reshape(len(people), 25, 3), person


def read_openpose(folder: str | Path, fps: float | None = None) -> Iterator[tuple[Frame, Poses]]:
    """The frames of a folder, in the order of their names, with poses of `BODY25`.

    Boxes are around the keypoints. Files that OpenPose itself wrote have no times, which `fps`,
    frames a second, gives them.

    Raises:
        VitruvianError: there are none, one is something else, or times are not known.
    """
    for number, path in enumerate(_files(folder)):
        ours, points, person = _read(path)
        seconds = ours.get("time", None if fps is None else number / fps)
        if seconds is None:
            raise VitruvianError(f"'{path}' has no time; pass --fps, its frames a second")
        score = points[..., 2]
        xy = np.where((score > 0)[..., None], points[..., :2], np.float32(np.nan))
        size, source = tuple(ours.get("size", (0, 0))), ours.get("source", str(folder))
        frame = Frame(None, ours.get("index", number), seconds, source, size=size)
        box, numbers = around(xy), np.array(person, np.int64)
        yield frame, Poses(BODY25, xy, score, box, score.mean(axis=1), numbers)
