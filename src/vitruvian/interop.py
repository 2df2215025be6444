"""What other libraries call a result: supervision's key points, movement's data set, a data frame.

None of them is needed by anything else here; each is imported by the function that gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame


def to_supervision(poses: Poses) -> Any:
    """`supervision.KeyPoints` of everyone: xy, confidence, and `tracker_id` in its data.

    What was not found is (0, 0) with confidence 0 there.
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


def to_xarray(tracks: Sequence[Track], space: str = "2d") -> Any:
    """An `xarray.Dataset` in the layout of `movement` 0.1 and later, of one source.

    `position` (time, space, keypoints, individuals) and `confidence` (time, keypoints,
    individuals), NaN where somebody is not; people are called by their numbers. Parts of one person
    come together. Times are those of the frames.

    Raises:
        VitruvianError: no tracks, several skeletons or sources, or no metres for "3d".
    """
    try:
        import xarray  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise _missing("xarray") from None
    if not tracks or len({(t.source, t.skeleton.name) for t in tracks}) != 1:
        raise VitruvianError("want tracks of one source and one skeleton, at least one")
    if space == "3d" and any(track.xyz is None for track in tracks):
        raise VitruvianError("these tracks have no metres; take space '2d'")
    index = np.unique(np.concatenate([track.index for track in tracks]))
    people = sorted({track.person for track in tracks})
    keypoints, axes = tracks[0].skeleton.keypoints, ["x", "y", "z"][: 2 + (space == "3d")]
    seconds = np.full(len(index), np.nan)
    shape = (len(index), len(axes), len(keypoints), len(people))
    position = np.full(shape, np.nan, np.float32)
    confidence = np.full((shape[0], *shape[2:]), np.nan, np.float32)
    for track in tracks:
        at, who = np.searchsorted(index, track.index), people.index(track.person)
        values = track.xy if space == "2d" else track.xyz
        assert values is not None
        seconds[at] = track.seconds
        position[at, :, :, who] = np.moveaxis(values, 1, 2)
        confidence[at, :, who] = np.where(track.present[:, None], track.score, np.nan)
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    dims = ("time", "space", "keypoints", "individuals")
    return xarray.Dataset(
        {"position": (dims, position), "confidence": (("time", *dims[2:]), confidence)},
        coords={
            "time": seconds,
            "space": axes,
            "keypoints": list(keypoints),
            "individuals": [f"id_{person}" for person in people],
        },
        attrs={
            "fps": 1 / step,
            "time_unit": "seconds",
            "source_software": "vitruvian",
            "source_file": tracks[0].source,
            "ds_type": "poses",
        },
    )


def to_pandas(pairs: Iterable[tuple[Frame, Poses]]) -> Any:
    """A `pandas.DataFrame` with a row for each keypoint of each person, as of `.csv` files."""
    try:
        import pandas  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise _missing("pandas") from None
    from vitruvian.sink.records import COLUMNS, rows

    listed = [row for frame, poses in pairs for row in rows(frame, poses)]
    return pandas.DataFrame(listed, columns=list(COLUMNS))


def _missing(library: str) -> VitruvianError:
    return VitruvianError(
        f"this needs {library}; install it with: pip install 'vitruvian[interop]'"
    )
