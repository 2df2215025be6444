"""Convert results for other libraries: supervision KeyPoints, movement dataset, pandas DataFrame.

These libraries are optional; each is imported by the function that uses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError, pip_install
from vitruvian.frame import Frame


def to_supervision(poses: Poses) -> Any:
    """`supervision.KeyPoints` of all people: xy, confidence, and `tracker_id` in its data.

    Missing keypoints are (0, 0) with confidence 0.
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


def to_xarray(pairs: Iterable[tuple[Frame, Poses]], space: str = "2d") -> Any:
    """An `xarray.Dataset` of one source, in the layout of `movement` poses.

    `position` (time, space, keypoints, individuals) and `confidence` (time, keypoints,
    individuals), NaN where a person is absent; individuals are named by track id, people without
    one are left out. Times are those of the frames, `fps` is the median.

    Args:
        pairs: frames in order with their poses, as from `vitruvian.read` and `run`.
        space: "2d", pixels, or "3d", metres.

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
    dims = ("time", "space", "keypoints", "individuals")
    return xarray.Dataset(
        {"position": (dims, position), "confidence": (("time", *dims[2:]), confidence)},
        coords={
            "time": seconds,
            "space": axes,
            "keypoints": list(skeleton.keypoints),
            "individuals": [f"id_{person}" for person in people],
        },
        attrs={
            "fps": 1 / step,
            "time_unit": "seconds",
            "source_software": "vitruvian",
            "source_file": listed[0][0].source,
            "ds_type": "poses",
        },
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
