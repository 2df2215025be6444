"""C3D: markers over time as motion-capture software reads them, one person a file; and back.

It needs ezc3d (the `c3d` extra). Axes as in TRC; millimetres, which programs take for granted; the
residual of a marker that is not there is -1. A C3D file has one rate and a first frame: frames
that are not at even times are put on an even grid.

Source: "The C3D File Format User Guide", Motion Lab Systems; ezc3d 1.7.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError
from vitruvian.sink.part import Part
from vitruvian.sink.trc import METRES, even, from_metres, metres, upward

MOST = 65535  # frames; ezc3d says nothing of those beyond


def _ezc3d() -> Any:
    try:
        import ezc3d  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise VitruvianError(
            "C3D files need ezc3d; install it with: pip install 'vitruvian[c3d]'"
        ) from None
    return ezc3d


def need_c3d() -> None:
    """Raise `VitruvianError` if ezc3d is missing."""
    _ezc3d()


def write_c3d(track: Track, path: str | Path, up: str = "y") -> None:
    """Write a track's metres.

    Raises:
        VitruvianError: it has none, there is no such axis, ezc3d is missing, or the file cannot be
            written.
    """
    library = _ezc3d()
    xyz = metres(track, "C3D") @ upward(up).T / METRES["mm"]
    seconds, xyz, rate = even(track.seconds, xyz)
    part = Part(Path(path))
    file = library.c3d()
    point = file["parameters"]["POINT"]
    point["RATE"]["value"] = [rate]
    point["UNITS"]["value"] = ["mm"]
    point["LABELS"]["value"] = list(track.skeleton.keypoints)
    known = np.isfinite(xyz).all(axis=-1).T
    whole = np.ones((4, len(track.skeleton), len(xyz)))
    whole[:3] = np.moveaxis(xyz, (0, 1, 2), (2, 1, 0))
    file["data"]["points"] = whole
    file["data"]["meta_points"]["residuals"] = np.where(known, 0.0, -1.0)[None]
    first = round(seconds[0] * rate) if len(xyz) else 0
    if first + len(xyz) >= MOST:
        raise VitruvianError(
            f"C3D counts frames to {MOST}, and person {track.person} of '{track.source}' is seen "
            f"until frame {first + len(xyz)}; write .trc"
        )
    file["header"]["points"]["first_frame"] = first
    file["header"]["points"]["last_frame"] = first + len(xyz) - 1
    unfinished = part.begin()
    file.write(str(unfinished))  # it adds an extension of its own
    unfinished.with_name(unfinished.name + ".c3d").replace(unfinished)
    part.finish()


def read_c3d(path: str | Path, up: str = "y") -> Track:
    """The track of a C3D file: metres with y down again, pixels NaN; skeletons as of TRC.

    `up` is the axis that points up in the file.

    Raises:
        VitruvianError: it is missing, no C3D file, or ezc3d is missing.
    """
    library = _ezc3d()
    path = Path(path)
    if not path.is_file():
        raise VitruvianError(f"cannot read '{path}': No such file")
    try:
        file = library.c3d(str(path))
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error}") from None
    point = file["parameters"]["POINT"]
    keypoints = [label.strip() for label in point["LABELS"]["value"]]
    unit = (list(point["UNITS"]["value"]) or ["mm"])[0].strip()
    if unit not in METRES:
        raise VitruvianError(f"cannot read '{path}': its unit is '{unit}', want m, cm or mm")
    xyz = np.moveaxis(file["data"]["points"][:3, : len(keypoints)], (0, 1, 2), (2, 1, 0))
    if len(xyz) >= MOST:
        raise VitruvianError(f"cannot read '{path}': it has {MOST} frames or more; want a .trc")
    gone = file["data"]["meta_points"]["residuals"][0, : len(keypoints)].T < 0
    xyz = np.where(gone[..., None], np.nan, xyz) * METRES[unit] @ upward(up)
    first = int(file["header"]["points"]["first_frame"])
    index = first + np.arange(len(xyz))
    seconds = index / float(point["RATE"]["value"][0])
    return from_metres(path, keypoints, seconds, index, xyz)
