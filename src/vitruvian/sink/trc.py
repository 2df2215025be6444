"""TRC: markers over time as OpenSim reads them, one person a file, metres; and back.

OpenSim's axes are x, y up, z: ours turned about x, so that up is up; forward is not turned to x,
nobody knows where that is. Laboratories often have z up. A marker that is not there is an empty
field. A TRC file has one rate: frames are written at their own times, and the rate is the median.

Source: "Marker (.trc) Files" of the OpenSim documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import SKELETONS
from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError
from vitruvian.sink.part import NO_TEXT, Part

# Which axis points up -> (3, 3) from our axes, x right, y down, z away.
UP = {
    "y": np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]]),
    "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}
IN_METRES = "find people with a model in 3D, such as blazepose-full, vitruvian-3d or metrabs-s"
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def write_trc(track: Track, path: str | Path, up: str = "y") -> None:
    """Write a track's metres.

    Raises:
        VitruvianError: it has none, there is no such axis, or the file cannot be written.
    """
    xyz = metres(track, "TRC") @ upward(up).T
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
    part.begin().write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8", errors=NO_TEXT)
    part.finish()


def read_trc(path: str | Path, up: str = "y") -> Track:
    """The track of a TRC file: metres with y down again, pixels NaN.

    The skeleton is one of ours if the markers are its keypoints; otherwise one without bones that
    has these markers. `up` is the axis that points up in the file.

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
    xyz = values[:, 2:].reshape(len(rows), len(keypoints), 3) * scale @ upward(up)
    index = values[:, 0].astype(np.int64) - 1
    return from_metres(path, keypoints, values[:, 1], index, xyz)


def _cells(row: list[str], keypoints: list[str]) -> list[str]:
    """As many as there are numbers: trailing ones may be left out, or one more be empty."""
    want = 2 + 3 * len(keypoints)
    return (row + [""] * want)[:want]


# What files of metres share


def upward(axis: str) -> np.ndarray:
    """(3, 3) of `UP`; `VitruvianError` for another axis."""
    if axis not in UP:
        raise VitruvianError(f"up is '{axis}', want y or z")
    return UP[axis]


def metres(track: Track, what: str) -> np.ndarray:
    """(T, K, 3) float64, x right, y down, z away; `VitruvianError` if there are none."""
    if track.xyz is None:
        raise VitruvianError(
            f"{what} needs metres, which person {track.person} of '{track.source}' does not have; "
            f"{IN_METRES}"
        )
    return track.xyz.astype(np.float64)


def frame_rate(seconds: np.ndarray) -> float:
    """Frames a second, the median; of one frame alone 1."""
    return 1.0 / float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0


def even(seconds: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """What was measured now and then, at even times: for files that know only a rate.

    A frame that is near enough to its place, a twentieth of a step, stays as it is; others are
    put on the line between their neighbours, if those are two steps apart or less.

    Args:
        seconds: (T,) increasing.
        values: (T, ...).

    Returns:
        (F,) seconds, (F, ...) values, NaN where nothing is near, and frames a second.
    """
    rate = frame_rate(seconds)
    if not len(seconds):
        return seconds, values, rate
    grid = seconds[0] + np.arange(round((seconds[-1] - seconds[0]) * rate) + 1) / rate
    after = np.searchsorted(seconds, grid).clip(1 if len(seconds) > 1 else 0, len(seconds) - 1)
    before = np.maximum(after - 1, 0)
    step = seconds[after] - seconds[before]
    along = np.divide(grid - seconds[before], step, out=np.zeros_like(grid), where=step > 0)
    shape = (len(grid), *(1,) * (values.ndim - 1))
    lines = values[before] + along.reshape(shape) * (values[after] - values[before])
    nearest = np.where(along > 0.5, after, before)
    near = np.abs(seconds[nearest] - grid) * rate < 0.05
    lines[step * rate > 2.05] = np.nan
    lines[near] = values[nearest[near]]
    return grid, lines, rate


def named(
    stem: str, keypoints: Sequence[str], bones: Sequence[tuple[int, int]] | None = None
) -> Skeleton:
    """Our skeleton with just these keypoints, or a new one with these bones, if they are known.

    Two of ours have the same keypoints in another order: their order decides, or their bones.
    """
    pairs = None if bones is None else {(keypoints[a], keypoints[b]) for a, b in bones}

    def has(table: Skeleton) -> bool:
        names = table.keypoints
        own = {(names[a], names[b]) for a, b in table.bones}
        return set(names) == set(keypoints) and (pairs is None or own == pairs)

    like = [table for table in SKELETONS.values() if len(table) == len(keypoints) and has(table)]
    like = [table for table in like if table.keypoints == tuple(keypoints)] or like
    if len(like) == 1:
        return like[0]
    sigmas = np.full(len(keypoints), np.nan, np.float32)
    source = "the names in a file"
    return Skeleton(stem, source, tuple(keypoints), tuple(bones or ()), sigmas)


def from_metres(
    path: Path,
    keypoints: list[str],
    seconds: np.ndarray,
    index: np.ndarray,
    xyz: np.ndarray,
    bones: Sequence[tuple[int, int]] | None = None,
) -> Track:
    """A track of (T, K, 3) metres alone, whose keypoints have these names; scores are 1 or 0.

    The skeleton is `named`, and keypoints are put in its order.
    """
    skeleton = named(path.stem, keypoints, bones)
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
