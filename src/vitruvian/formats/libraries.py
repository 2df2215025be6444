"""Results for other libraries, and theirs: supervision KeyPoints, movement data set, pandas table.

These libraries are optional; each is imported by the function that uses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import as_skeleton
from vitruvian.errors import VitruvianError, pip_install
from vitruvian.formats.trc import named
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import box_around

LATER = ("keypoint", "individual")  # movement's dimensions from 0.17; `keypoints`, ... before


def to_supervision(poses: Poses) -> Any:
    """`supervision.KeyPoints` of all people: xy, confidence, and `tracker_id` in its data.

    Missing keypoints are (0, 0) with confidence 0. It has no place for metres, which are left out.
    """
    try:
        import supervision  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise _missing("supervision") from None
    found = np.all(np.isfinite(poses.xy), axis=-1)
    return supervision.KeyPoints(
        xy=np.nan_to_num(poses.xy),
        keypoint_confidence=np.where(found, poses.score, np.float32(0)),
        detection_confidence=poses.box_score,
        class_id=np.zeros(len(poses), int),
        data={"tracker_id": poses.person, "class_name": np.array(["person"] * len(poses))},
    )


def from_supervision(points: Any, skeleton: str | Path | Skeleton = "coco17") -> Poses:
    """Poses of a `supervision.KeyPoints`; boxes are around the keypoints.

    What is at (0, 0), or has confidence 0, is missing. Without confidences all others have 1.

    Args:
        points: `supervision.KeyPoints` of one frame; `tracker_id` in its data is the track id.
        skeleton: which keypoints it has, in order; it has no names of them.

    Raises:
        VitruvianError: no such skeleton, or it has another number of keypoints.
    """
    table = as_skeleton(skeleton)
    n, k = len(points), len(table)
    xy, score = np.array(points.xy, np.float32), np.ones((n, k), np.float32)
    if n and xy.shape[1] != k:
        raise VitruvianError(f"KeyPoints have {xy.shape[1]} keypoints, {table.name} has {k}")
    xy = xy.reshape(n, k, 2)
    if points.keypoint_confidence is not None:
        score = np.array(points.keypoint_confidence, np.float32).reshape(n, k)
    missing = (xy == 0).all(axis=-1) | (score == 0)
    xy[missing], score = np.nan, np.where(missing, np.float32(0), score)
    sure = points.detection_confidence
    return Poses(
        table,
        xy=xy,
        score=score,
        box=box_around(xy),
        box_score=np.ones(n, np.float32) if sure is None else np.array(sure, np.float32),
        person=np.array(points.data.get("tracker_id", np.full(n, -1)), int),
    )


def to_xarray(
    pairs: Iterable[tuple[Frame, Poses]], space: str = "2d", *, movement: str = "0.15"
) -> Any:
    """An `xarray.Dataset` of one source, in the layout of `movement` poses.

    `position` (time, space, keypoints, individuals) and `confidence` (time, keypoints,
    individuals), NaN where a person is absent; individuals are named by track id, people without
    one are left out. Times are those of the frames, `fps` is the median.

    Args:
        pairs: frames in order with their poses, as from `vitruvian.read` and `run`.
        space: "2d", pixels, or "3d", metres.
        movement: its version; from 0.17 the dimensions are `keypoint` and `individual`.

    Raises:
        VitruvianError: no track ids, several skeletons or sources, or no metres for "3d".
    """
    try:
        import xarray  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise _missing("xarray") from None
    listed = list(pairs)
    people = sorted({who for _, poses in listed for who in poses.person.tolist() if who >= 0})
    if not people:
        raise VitruvianError("no track ids; want frames of a video with track=True")
    if len({frame.source for frame, _ in listed}) != 1:
        raise VitruvianError("want frames of one source, got several")
    skeleton = listed[0][1].skeleton
    if any(poses.skeleton != skeleton for _, poses in listed):
        raise VitruvianError("want poses of one skeleton, got several")
    axes = ["x", "y", "z"][: 2 + (space == "3d")]
    shape = (len(listed), len(axes), len(skeleton), len(people))
    position = np.full(shape, np.nan, np.float32)
    confidence = np.full((shape[0], *shape[2:]), np.nan, np.float32)
    for at, (_, poses) in enumerate(listed):
        values = poses.xy if space == "2d" else poses.xyz
        if values is None:
            raise VitruvianError("these poses have no 3D coordinates; use space '2d'")
        for row, who in enumerate(poses.person.tolist()):
            if who >= 0:
                position[at, :, :, people.index(who)] = values[row].T
                confidence[at, :, people.index(who)] = poses.score[row]
    seconds = np.array([frame.seconds for frame, _ in listed])
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    plural = [int(part) for part in re.findall(r"\d+", movement)[:2]] < [0, 17]
    dims = ("time", "space", *(("keypoints", "individuals") if plural else LATER))
    return xarray.Dataset(
        {"position": (dims, position), "confidence": (("time", *dims[2:]), confidence)},
        coords={
            "time": seconds,
            "space": axes,
            dims[2]: list(skeleton.keypoints),
            dims[3]: [f"id_{person}" for person in people],
        },
        attrs={
            "fps": 1 / step,
            "time_unit": "seconds",
            "source_software": "vitruvian",
            "source_file": listed[0][0].source,
            "ds_type": "poses",
        },
    )


def from_xarray(data: Any) -> Iterator[tuple[Frame, Poses]]:
    """Frames with their poses of a `movement` data set of poses, of any of its versions.

    movement reads and writes DeepLabCut, SLEAP, LightningPose, Anipose and NWB (ndx-pose).
    Individuals `id_7` are person 7, others are numbered from 1. Three axes are taken as metres
    from a camera, and `xy` is then NaN. Boxes are around the keypoints.

    Args:
        data: `xarray.Dataset` with `position` and, maybe, `confidence`.

    Raises:
        VitruvianError: it is not laid out as movement has it.
    """
    own = [name for name in LATER if f"{name}s" in getattr(data, "dims", ())]
    data = data.rename({f"{name}s": name for name in own}) if own else data
    wanted = {"time", "space", *LATER}
    if "position" not in data or set(data.position.dims) != wanted:
        raise VitruvianError(f"want a data set of movement: position with {sorted(wanted)}")
    skeleton = named("movement", [str(name) for name in data[LATER[0]].values])
    # NWB files have keypoints in alphabetical order, a skeleton in its own.
    data = data.sel({LATER[0]: list(skeleton.keypoints)})
    position = data.position.transpose("time", LATER[1], LATER[0], "space").values
    score = np.isfinite(position).all(axis=-1).astype(np.float32)
    if "confidence" in data:
        known = data.confidence.transpose("time", LATER[1], LATER[0]).values
        score = np.where(np.isnan(known), score, known).astype(np.float32) * (score > 0)
    names = [str(name) for name in data[LATER[1]].values]
    numbers = [int(name[3:]) if re.fullmatch(r"id_\d{1,9}", name) else -1 for name in names]
    people = np.array(numbers if -1 not in numbers else range(1, len(names) + 1))
    fps = data.attrs.get("fps") if data.attrs.get("time_unit") == "frames" else None
    source = str(data.attrs.get("source_file") or "")
    for index, seconds in enumerate(data.time.values.astype(float) / float(fps or 1)):
        here = np.isfinite(position[index]).all(axis=-1).any(axis=-1)
        points = position[index][here].astype(np.float32)
        metres = points.shape[-1] == 3
        xy = np.full((*points.shape[:2], 2), np.nan, np.float32) if metres else points
        xy = np.where(np.isfinite(xy).all(axis=-1, keepdims=True), xy, np.float32(np.nan))
        yield (
            Frame(None, index, float(seconds), source),
            Poses(
                skeleton,
                xy=xy,
                score=score[index][here],
                box=box_around(xy),
                box_score=np.ones(len(points), np.float32),
                person=people[here],
                xyz=points if metres else None,
                origin="camera" if metres else None,
            ),
        )


def to_pandas(pairs: Iterable[tuple[Frame, Poses]]) -> Any:
    """A `pandas.DataFrame`, one row per person and keypoint, as in `.csv` files."""
    try:
        import pandas  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise _missing("pandas") from None
    from vitruvian.formats.tables import COLUMNS, rows

    listed = [row for frame, poses in pairs for row in rows(frame, poses)]
    return pandas.DataFrame(listed, columns=list(COLUMNS))


def _missing(library: str) -> VitruvianError:
    return VitruvianError(f"this needs {library}; install it with: {pip_install('interop')}")
