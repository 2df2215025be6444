"""TRC: markers over time as OpenSim reads them, one person a file, metres; and back.

OpenSim's axes are x, y up, z: ours with y and z turned about x, so that up is up; forward is not
turned to x, nobody knows where that is. A marker that is not there is an empty field. A TRC file
has one rate: frames are written at their own times, and the rate is the median.

Source: "Marker (.trc) Files" of the OpenSim documentation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import SKELETONS
from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError
from vitruvian.sink.part import Part

Y_UP = np.array([1.0, -1.0, -1.0])
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def write_trc(track: Track, path: str | Path) -> None:
    """Write a track's metres.

    Raises:
        VitruvianError: it has none, or the file cannot be written.
    """
    xyz = metres(track, "TRC") * Y_UP
    k, rate = len(track.skeleton), frame_rate(track.seconds)
    start = int(track.index[0]) + 1 if len(track) else 1
    head = [
        f"PathFileType\t4\t(X/Y/Z)\t{Path(path).name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame"
        "\tOrigNumFrames",
        f"{rate:.6g}\t{rate:.6g}\t{len(track)}\t{k}\tm\t{rate:.6g}\t{start}\t{len(track)}",
        "Frame#\tTime\t" + "\t\t\t".join(track.skeleton.keypoints) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{i}" for i in range(1, k + 1) for axis in "XYZ"),
    ]
    lines = []
    for number, seconds, points in zip(track.index, track.seconds, xyz, strict=True):
        values = ["" if np.isnan(value) else f"{value:.6f}" for value in points.ravel()]
        lines.append("\t".join([str(int(number) + 1), f"{seconds:.6f}", *values]))
    part = Part(Path(path))
    part.begin().write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    part.finish()


def read_trc(path: str | Path) -> Track:
    """The track of a TRC file: metres with y down again, pixels NaN.

    The skeleton is one of ours if the markers are its keypoints; otherwise one without bones that
    has these markers.

    Raises:
        VitruvianError: it is missing, or no TRC file.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        head = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
        keypoints = [name for name in lines[3].rstrip("\t").split("\t")[2:] if name]
        rows = [line.split("\t") for line in lines[5:] if line.strip()]
        values = np.array(
            [[float(cell) if cell.strip() else np.nan for cell in _cells(row, keypoints)]
             for row in rows]
        ).reshape(len(rows), 2 + 3 * len(keypoints))  # fmt: skip
        scale = METRES[head["Units"].strip()]
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror}") from None
    except (ValueError, IndexError, KeyError) as error:
        raise VitruvianError(f"cannot read '{path}': it is no TRC file ({error!r})") from None
    xyz = values[:, 2:].reshape(len(rows), len(keypoints), 3) * scale * Y_UP
    index = values[:, 0].astype(np.int64) - 1
    return from_metres(path, keypoints, values[:, 1], index, xyz)


def _cells(row: list[str], keypoints: list[str]) -> list[str]:
    """As many as there are numbers: trailing ones may be left out, or one more be empty."""
    want = 2 + 3 * len(keypoints)
    return (row + [""] * want)[:want]


# What files of metres share


def metres(track: Track, what: str) -> np.ndarray:
    """(T, K, 3) float64, x right, y down, z away; `VitruvianError` if there are none."""
    if track.xyz is None:
        raise VitruvianError(
            f"{what} needs metres, which person {track.person} of '{track.source}' does not have; "
            "use a model that gives xyz"
        )
    return track.xyz.astype(np.float64)


def frame_rate(seconds: np.ndarray) -> float:
    """Frames a second, the median; of one frame alone 1."""
    return 1.0 / float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0


def named(stem: str, keypoints: list[str]) -> Skeleton:
    """Our skeleton with just these keypoints, in its own order, or a new one, without bones."""
    for table in SKELETONS.values():
        if len(table) == len(keypoints) and set(table.keypoints) == set(keypoints):
            return table
    return Skeleton.table(stem, "the names in a file", *((name, "", np.nan) for name in keypoints))


def from_metres(
    path: Path, keypoints: list[str], seconds: np.ndarray, index: np.ndarray, xyz: np.ndarray
) -> Track:
    """A track of (T, K, 3) metres alone, whose keypoints have these names; scores are 1 or 0.

    The skeleton is `named`, and keypoints are put in its order.
    """
    skeleton = named(path.stem, keypoints)
    xyz = xyz[:, [keypoints.index(name) for name in skeleton.keypoints]]
    known = np.all(np.isfinite(xyz), axis=-1)
    return Track(
        skeleton,
        1,
        seconds.astype(np.float64),
        index,
        xy=np.full((*xyz.shape[:2], 2), np.nan, np.float32),
        score=known.astype(np.float32),
        box=np.full((len(xyz), 4), np.nan, np.float32),
        xyz=xyz.astype(np.float32),
        origin="camera",
        source=str(path),
    )
