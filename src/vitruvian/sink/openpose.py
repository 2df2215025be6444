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
from collections.abc import Iterator
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.sink.part import Part

BODY25 = Skeleton.table(
    "body_25",
    "OpenPose 1.7, BODY_25",
    ("nose", "", nan),
    ("neck", "nose", nan),
    ("right_shoulder", "neck", nan),
    ("right_elbow", "right_shoulder", nan),
    ("right_wrist", "right_elbow", nan),
    ("left_shoulder", "neck", nan),
    ("left_elbow", "left_shoulder", nan),
    ("left_wrist", "left_elbow", nan),
    ("mid_hip", "neck", nan),
    ("right_hip", "mid_hip", nan),
    ("right_knee", "right_hip", nan),
    ("right_ankle", "right_knee", nan),
    ("left_hip", "mid_hip", nan),
    ("left_knee", "left_hip", nan),
    ("left_ankle", "left_knee", nan),
    ("right_eye", "nose", nan),
    ("left_eye", "nose", nan),
    ("right_ear", "right_eye", nan),
    ("left_ear", "left_eye", nan),
    ("left_big_toe", "left_ankle", nan),
    ("left_small_toe", "left_big_toe", nan),
    ("left_heel", "left_ankle", nan),
    ("right_big_toe", "right_ankle", nan),
    ("right_small_toe", "right_big_toe", nan),
    ("right_heel", "right_ankle", nan),
)
# What is not there by its own name: another name for it, or the two it is the middle of.
ALIASES = {
    "left_big_toe": ("left_foot_index",),
    "right_big_toe": ("right_foot_index",),
    "mid_hip": ("pelvis",),
}
MIDDLES = {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": ("left_hip", "right_hip")}


def body25(poses: Poses) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(N, 25, 2) pixels and (N, 25) scores in BODY_25's order, and which keypoints are derived."""
    n, known = len(poses), poses.skeleton.keypoints
    xy = np.full((n, 25, 2), np.nan, np.float32)
    score, derived = np.zeros((n, 25), np.float32), []
    for k, name in enumerate(BODY25.keypoints):
        own = next((way for way in (name, *ALIASES.get(name, ())) if way in known), None)
        if own is not None:
            parts = [poses[own]]
        elif name in MIDDLES and all(part in known for part in MIDDLES[name]):
            parts = [poses[part] for part in MIDDLES[name]]
            derived.append(name)
        else:
            continue
        xy[:, k] = np.mean([part.xy for part in parts], axis=0)
        score[:, k] = np.min([part.score for part in parts], axis=0)
    return xy, np.where(np.isnan(xy).any(axis=-1), np.float32(0), score), derived


def to_dict(frame: Frame, poses: Poses) -> dict[str, Any]:
    """One frame, as a file has it."""
    xy, score, derived = body25(poses)
    points = np.concatenate([np.nan_to_num(xy), score[..., None]], axis=-1).astype(float)
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

    def __init__(self, folder: Path) -> None:
        self.folder, self.paths = folder, list[Path]()

    def __enter__(self) -> OpenPose:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write the file of a frame."""
        stem = re.sub(r"[^\w.+-]+", "_", Path(frame.source).stem) or "frame"
        part = Part(self.folder / f"{stem}_{frame.index:012}_keypoints.json")
        part.begin().write_text(json.dumps(to_dict(frame, poses)), encoding="utf-8")
        part.finish()
        self.paths.append(part.path)

    def __exit__(self, *_: object) -> None:
        pass


def read_openpose(folder: str | Path) -> Iterator[tuple[Frame, Poses]]:
    """The frames of a folder, in the order of their names, with poses of `BODY25`.

    Files that OpenPose wrote have no times: a frame is its number, and its seconds are that too.

    Raises:
        VitruvianError: there are none, or one is something else.
    """
    files = sorted(Path(folder).glob("*_keypoints.json"))
    if not files:
        raise VitruvianError(f"'{folder}' has no files called *_keypoints.json")
    for number, path in enumerate(files):
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            people = read["people"]
            listed = [np.reshape(each["pose_keypoints_2d"], (25, 3)) for each in people]
            person = [int((each.get("person_id") or [-1])[0]) for each in people]
        except (ValueError, KeyError, TypeError) as error:
            raise VitruvianError(
                f"cannot read '{path}': no BODY_25 keypoints ({error!r})"
            ) from None
        ours = read.get("vitruvian", {})
        points = np.array(listed, np.float32).reshape(len(people), 25, 3)
        score = points[..., 2]
        xy = np.where((score > 0)[..., None], points[..., :2], np.float32(np.nan))
        low = np.min(xy, axis=1, initial=np.inf, where=~np.isnan(xy))
        high = np.max(xy, axis=1, initial=-np.inf, where=~np.isnan(xy))
        frame = Frame(
            None,
            ours.get("index", number),
            ours.get("time", float(number)),
            ours.get("source", str(folder)),
            size=tuple(ours.get("size", (0, 0))),
        )
        yield (
            frame,
            Poses(
                BODY25,
                xy=xy,
                score=score,
                box=np.concatenate([low, high], axis=1).astype(np.float32),
                box_score=score.mean(axis=1),
                person=np.array(person, np.int64),
            ),
        )
