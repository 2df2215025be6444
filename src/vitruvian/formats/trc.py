"""Read and write TRC: markers over time for OpenSim, one person per file, metres.

OpenSim's y axis points up: our axes are rotated about x; they are not rotated further to make x
point forward, as forward is unknown. Laboratories often use z up. A missing marker is `nan`, and
a blank line follows the header, both as OpenSim 4.6 writes them: it rejects lines that end in
empty fields, and pyomeca 2026.0.2 takes the first frame for the blank line. A TRC file has one
rate: frames keep their own times, and the rate is the median.

Source: "Marker (.trc) Files" of the OpenSim documentation; OpenSim 4.6's TRCFileAdapter.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import SKELETONS
from vitruvian.body.track import Track
from vitruvian.documents import read_bytes, unreadable
from vitruvian.errors import VitruvianError, shown
from vitruvian.formats.atomic_file import NO_TEXT, AtomicFile
from vitruvian.formats.markers import (
    Note,
    not_known,
    note_lying,
    numbered,
    with_hips,
    without_zeros,
)

# Up axis -> (3, 3) rotation from our axes, x right, y down, z away.
UP = {
    "y": np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]]),
    "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}
IN_METRES = "use a 3D model, such as blazepose-full, vitruvian-3d or metrabs-s"
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
UNITS = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), "m"),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), "cm"),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), "mm"),
}
FARTHEST = 1e6  # metres; larger positions are invalid
MOST_HERTZ, LATEST = 1e6, 1e12  # frames per second; s
MOST_NUMBERS = 1e8  # of a resampled file; 0.8 GB
MOST_TEXT = 1 << 28  # bytes of a marker text file: a day of 30 markers at 100 fps


def write_trc(track: Track, path: str | Path, up: str = "y") -> None:
    """Write a track's 3D keypoints.

    Raises:
        VitruvianError: no metres, an unknown axis, or the file cannot be written.
    """
    xyz = metres(track, "TRC") @ upward(up).T
    k, rate = len(track.skeleton), frame_rate(track.seconds)
    start = int(track.index[0]) + 1 if len(track) else 1
    labels = [re.sub(r"[\t\r\n]+", "_", name) for name in track.skeleton.keypoints]
    head = [
        f"PathFileType\t4\t(X/Y/Z)\t{shown(Path(path).name, 200)}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame"
        "\tOrigNumFrames",
        f"{rate:.6g}\t{rate:.6g}\t{len(track)}\t{k}\tm\t{rate:.6g}\t{start}\t{len(track)}",
        "Frame#\tTime\t" + "\t\t\t".join(labels) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{i}" for i in range(1, k + 1) for axis in "XYZ"),
        "",
    ]
    line = "%d\t%.6f" + "\t%.6f" * (3 * k)
    points = zip(track.index + 1, track.seconds, xyz.reshape(len(track), -1).tolist(), strict=True)
    lines = [line % (number, seconds, *values) for number, seconds, values in points]
    write_text(Path(path), [*head, *lines])


def read_trc(path: str | Path, up: str = "y", note: Note = lambda _: None) -> Track:
    """Read the track of a TRC file: metres, y down, pixels NaN.

    The skeleton is a built-in one if the markers match its keypoints; otherwise a new one without
    bones. Fields are separated by tabs, commas, semicolons or spaces. Missing markers are empty,
    `nan`, or 0 0 0 if the marker is elsewhere in other frames.

    Args:
        path: the file.
        up: the axis that points up in it.
        note: called with assumptions.

    Raises:
        VitruvianError: it is missing or not TRC.
    """
    path = Path(path)
    lines = re.split(r"\r\n|\n|\r", decoded(read_bytes(path, MOST_TEXT)))
    at = next((i for i, line in enumerate(lines[:20]) if _frames_follow(line)), None)
    if at is None:
        raise unreadable(path, "it is not a TRC file: no header line starts with Frame#")
    part = next((each for each in "\t,;" if each in lines[at]), None)
    head = _header(lines[:at], part)
    scale = METRES.get(UNITS.get(head.get("units", "").lower(), ""))
    if scale is None:
        said = shown(head["units"], 40) if head.get("units") else "not there"
        raise unreadable(path, f"its Units are {said}, want m, cm or mm")
    names = _labels(lines[at].split(part)[2:])
    if not names:
        raise unreadable(path, "it is not a TRC file: no marker names after Frame# and Time")
    rows = [(i, line) for i, line in enumerate(lines[at + 1 :], at + 2) if line.strip(" \t,;")]
    if rows and re.search(r"\b[xX]\d", rows[0][1]):
        rows = rows[1:]  # X1 Y1 Z1 ..., optional
    values = np.full((len(rows), 2 + 3 * len(names)), np.nan)
    for row, (number, line) in enumerate(rows):
        try:
            numbers = _numbers(line, part, values.shape[1], last=row == len(rows) - 1)
        except ValueError as error:
            raise unreadable(path, f"it is not a TRC file: line {number} {error}") from None
        values[row, : len(numbers)] = numbers
    for key, count, what in (("nummarkers", len(names), "markers"), ("numframes", len(rows), "")):
        if head.get(key, "").isdecimal() and int(head[key][:18]) != count:
            note(f"its header says {shown(head[key], 20)} {what or 'frames'}, it has {count}")
    seconds, index = _times(path, values[:, 0], values[:, 1], head.get("datarate", ""), note)
    xyz = values[:, 2:].reshape(len(rows), len(names), 3) * scale
    xyz = without_zeros(xyz, names, note)
    return from_metres(path, names, seconds, index, xyz @ upward(up), note=note)


def decoded(data: bytes) -> str:
    """Decode bytes; paths in the header may use a legacy code page."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _frames_follow(line: str) -> bool:
    return re.match(r"\s*\"?frame\s*#?\"?[\t,; ]+\"?time", line, re.IGNORECASE) is not None


def _header(lines: list[str], part: str | None) -> dict[str, str]:
    """Lower-case keys and their values, from the lines above Frame#."""
    for keys, values in pairwise(lines):
        if "units" in keys.lower():
            split = part if part and part in keys else None
            names = [key.strip(' "').lower() for key in keys.split(split)]
            return dict(
                zip(names, (value.strip(' "') for value in values.split(split)), strict=False)
            )
    return {}


def _labels(cells: list[str]) -> list[str]:
    """Marker names: every third cell, or all if there are no empty cells."""
    cells = [cell.strip(' "') for cell in cells]
    while cells and not cells[-1]:
        cells.pop()
    if any(cell for i, cell in enumerate(cells) if i % 3):
        return [cell for cell in cells if cell]
    return [cell or f"marker_{i + 1}" for i, cell in enumerate(cells[::3])]


def _numbers(line: str, part: str | None, want: int, last: bool) -> list[float]:
    """The numbers of a line, NaN for empty fields; `ValueError` if invalid."""
    cells = [cell.strip(' "') for cell in (line.split(part) if part else line.split())]
    while len(cells) > want and not cells[-1]:
        cells.pop()
    if len(cells) > want:
        raise ValueError(f"has {len(cells)} values, want {want}: 2, and 3 per marker")
    if last and len(cells) < want and (len(cells) - 2) % 3 and cells[-1]:
        raise ValueError("is truncated")
    if part is None and len(cells) < want:
        raise ValueError(
            f"has {len(cells)} values, want {want}; space-separated values cannot be empty"
        )
    numbers = []
    for cell in cells:
        value = float(cell if part == "," else cell.replace(",", ".")) if cell else np.nan
        if np.isinf(value):
            raise ValueError(f"has {shown(cell, 20)}, which is not a position")
        numbers.append(value)
    return numbers


def _times(
    path: Path, frames: np.ndarray, seconds: np.ndarray, rate: str, note: Note
) -> tuple[np.ndarray, np.ndarray]:
    """(T,) increasing seconds and (T,) frame numbers from 0."""
    if not len(frames):
        return seconds, frames.astype(np.int64)
    try:
        hertz = float(rate.replace(",", "."))
    except ValueError:
        hertz = np.nan
    known = 0 < hertz < MOST_HERTZ
    seconds = np.where(np.abs(seconds) < LATEST, seconds, np.nan)
    counted = np.isfinite(frames).all() and (np.diff(frames) > 0).all()
    if not counted or np.abs(frames).max() >= 1e15:
        frames = np.arange(1.0, len(frames) + 1)
        note("its frame numbers do not increase; frames are renumbered from 1")
    steps = np.diff(frames)
    if known and len(frames) > 1 and np.isfinite(seconds).all():
        ratio = (seconds[-1] - seconds[0]) * hertz / (frames[-1] - frames[0])
        if (np.diff(seconds) == steps).all() and hertz > 1.5:
            seconds = seconds / hertz
            note(
                f"its column Time holds frame numbers; its rate of {hertz:g} frames per second is "
                "used"
            )
        elif 990 < ratio < 1010:
            seconds = seconds / 1000
            note("its column Time is in milliseconds")
        elif ratio > 0 and abs(ratio - 1) > 0.02:
            note(f"its timestamps give {hertz / ratio:.4g} frames per second, its header {hertz:g}")
    if not np.isfinite(seconds).all() or not (np.diff(seconds) > 0).all():
        if not known:
            raise unreadable(path, "its timestamps do not increase, and it has no frame rate")
        seconds = (frames - 1 if frames[0] >= 1 else frames) / hertz
        note(f"its timestamps do not increase; its rate of {hertz:g} frames per second is used")
    return seconds, (frames - 1 if frames[0] >= 1 else frames).astype(np.int64)


# Shared by 3D formats


def write_text(path: Path, lines: Sequence[str]) -> None:
    """Write lines atomically as UTF-8; `VitruvianError` if it cannot be written."""
    part = AtomicFile(path)
    text = "\n".join(lines) + "\n"
    try:
        part.begin().write_bytes(text.encode("utf-8", NO_TEXT))
    except OSError as error:
        part.unfinished.unlink(missing_ok=True)
        raise VitruvianError(f"cannot write '{shown(path, 100)}': {error.strerror}") from None
    part.finish()


def upward(axis: str) -> np.ndarray:
    """(3, 3) from `UP`; `VitruvianError` if unknown."""
    if axis not in UP:
        raise VitruvianError(f"up is '{axis}', want y or z")
    return UP[axis]


def metres(track: Track, what: str) -> np.ndarray:
    """(T, K, 3) float64, x right, y down, z away; `VitruvianError` if missing."""
    if track.xyz is None:
        raise VitruvianError(
            f"{what} needs 3D coordinates, which person {track.person} of '{track.source}' does "
            f"not have; {IN_METRES}"
        )
    return track.xyz.astype(np.float64)


def frame_rate(seconds: np.ndarray) -> float:
    """Median frames per second; 1 for a single frame."""
    return 1.0 / float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0


def even_grid(seconds: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """(F,) evenly spaced seconds from first to last, and frames per second.

    Args:
        seconds: (T,) increasing, at least one.
        size: numbers per frame.

    Raises:
        VitruvianError: too many for memory: the track has a gap of days.
    """
    rate = frame_rate(seconds)
    count = (seconds[-1] - seconds[0]) * rate + 1
    if not count * size <= MOST_NUMBERS:
        raise VitruvianError(
            f"from {seconds[0]:g} to {seconds[-1]:g} s are {count:.3g} frames at {rate:.3g} a "
            "second, too many for one file; write .trc"
        )
    return seconds[0] + np.arange(round(count)) / rate, rate


def even(seconds: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Resample to a constant frame rate, for formats that store only a rate.

    A frame within a twentieth of a step of its grid time is kept; others are linearly
    interpolated between their neighbours, if those are at most two steps apart.

    Args:
        seconds: (T,) increasing.
        values: (T, ...).

    Returns:
        (F,) seconds, (F, ...) values, NaN in gaps, and frames per second.
    """
    if not len(seconds):
        return seconds, values, 1.0
    grid, rate = even_grid(seconds, values[0].size)
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
    """The built-in skeleton with exactly these keypoints, or a new one with the bones given.

    Two built-in ones have the same keypoints in another order: the order or the bones decide.
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
    note: Note = lambda _: None,
) -> Track:
    """A track of (T, K, 3) metres, without pixels, with these keypoint names; scores 1 or 0.

    The skeleton comes from `named`, and keypoints are put in its order. Duplicate names become
    `thigh_2`, and so on.

    Raises:
        VitruvianError: a position is implausibly far away.
    """
    keypoints = numbered(keypoints, note)
    if np.any(np.abs(xyz) > FARTHEST):
        raise unreadable(path, f"it has a position {np.nanmax(np.abs(xyz)):.3g} m away")
    keypoints, xyz = with_hips(keypoints, xyz, note)
    skeleton = named(path.stem, keypoints, bones)
    if skeleton.name not in SKELETONS:
        not_known(keypoints, note)
    note_lying(keypoints, xyz, note)
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
