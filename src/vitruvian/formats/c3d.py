"""Read and write C3D: markers over time for motion-capture software, one person per file.

Needs ezc3d (the `c3d` extra). Axes as in TRC; units are millimetres, which most software assumes;
a missing marker has the residual -1. A C3D file has one frame rate and a first frame: unevenly
timed frames are resampled to a constant rate.

Reading: the header is checked against the file size, and ezc3d, which can crash on damaged files,
runs in a subprocess with time and memory limits; it returns arrays, nothing is unpickled.
Writing: the stored data are verified, because ezc3d 1.7.2 does not report a full disk
(findings/ezc3d-full-disk.sh).

Source: "The C3D File Format User Guide", Motion Lab Systems; ezc3d 1.7.
"""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from vitruvian.body.track import Track
from vitruvian.documents import unreadable
from vitruvian.errors import VitruvianError, pip_install, shown
from vitruvian.formats.atomic_file import AtomicFile
from vitruvian.formats.markers import Note, assumed_up, without_zeros
from vitruvian.formats.one_person import WriteTrack
from vitruvian.formats.trc import METRES, UNITS, even, from_metres, metres, upward

MOST = 65535  # frames; ezc3d does not report overflow
BLOCK = 512  # bytes
FLOATS = {84: "<", 85: "<", 86: ">"}  # processor: Intel, DEC, MIPS -> byte order of integers
SIGN = {84: 15, 85: 13, 86: 12}  # byte of the header's scale factor with the sign bit
BUSY, PATIENCE = 10, 120  # seconds of CPU and wall time for ezc3d, plus
SLOWEST = 1e6  # bytes per second on top; laptops reach 20 times that
MEMORY = 700 << 20  # bytes for ezc3d, plus 40 per byte of the file
# Groups of "points" that are not positions: outputs in Vicon's Plug-in Gait Reference Guide.
NO_PLACES = ("ANGLES", "FORCES", "MOMENTS", "POWERS", "SCALARS", "REACTIONS")
OUTPUT = re.compile(r"(Angles|Force|Moment|Power|NormalisedGRF|GroundReaction\w+)$")


def _ezc3d() -> Any:
    try:
        import ezc3d  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise VitruvianError(
            f"C3D files need ezc3d; install it with: {pip_install('c3d')}"
        ) from None
    return ezc3d


def writer() -> WriteTrack:
    """Return `write_c3d`.

    Raises:
        VitruvianError: ezc3d is missing; checked before inference.
    """
    _ezc3d()
    return write_c3d


def write_c3d(track: Track, path: str | Path, up: str = "y") -> None:
    """Write a track's 3D keypoints.

    Raises:
        VitruvianError: no metres, an unknown axis, ezc3d is missing, or the file cannot be
            written.
    """
    library = _ezc3d()
    xyz = metres(track, "C3D") @ upward(up).T / METRES["mm"]
    seconds, xyz, rate = even(track.seconds, xyz)
    first = round(seconds[0] * rate) if len(xyz) else 0
    if first + len(xyz) >= MOST:
        raise VitruvianError(
            f"C3D stores at most {MOST} frames; person {track.person} of "
            f"'{shown(track.source, 100)}' goes on to frame {first + len(xyz)}; write .trc"
        )
    file = library.c3d()
    point = file["parameters"]["POINT"]
    point["RATE"]["value"] = [rate]
    point["UNITS"]["value"] = ["mm"]
    names = track.skeleton.keypoints
    point["LABELS"]["value"] = [name.encode("utf-8", "replace").decode() for name in names]
    file.add_parameter("POINT", "X_SCREEN", ["+X"])
    file.add_parameter("POINT", "Y_SCREEN", [f"+{up.upper()}"])
    known = np.isfinite(xyz).all(axis=-1).T
    whole = np.ones((4, len(track.skeleton), len(xyz)))
    whole[:3] = np.moveaxis(xyz, (0, 1, 2), (2, 1, 0))
    file["data"]["points"] = whole
    file["data"]["meta_points"]["residuals"] = np.where(known, 0.0, -1.0)[None]
    file["header"]["points"]["first_frame"] = first
    file["header"]["points"]["last_frame"] = first + len(xyz) - 1
    part = AtomicFile(Path(path))
    unfinished = part.begin()
    named = unfinished.with_name(unfinished.name + ".c3d")  # ezc3d appends its own extension
    try:
        file.write(str(unfinished))
        with named.open("rb+") as written:  # ezc3d ignores a full disk
            os.fsync(written.fileno())
        stored = np.fromfile(named, "<f4", whole.size, offset=_check(named))
        if not np.array_equal(
            stored.reshape(whole.T.shape)[..., :3][known.T], xyz[known.T].astype(np.float32)
        ):
            raise RuntimeError
        named.replace(unfinished)
    except (OSError, RuntimeError, ValueError, VitruvianError) as error:
        unfinished.unlink(missing_ok=True)
        named.unlink(missing_ok=True)
        why = getattr(error, "strerror", None) or "it was not written completely; is the disk full?"
        raise VitruvianError(f"cannot write '{shown(path, 100)}': {why}") from None
    part.finish()


def read_c3d(path: str | Path, up: str | None = None, note: Note = lambda _: None) -> Track:
    """Read the track of a C3D file: metres, y down, pixels NaN; skeletons as in `read_trc`.

    Angles, forces, moments and powers that some software stores as points are skipped.

    Args:
        path: the file.
        up: the axis that points up in it; None: from its POINT:Y_SCREEN, or y.
        note: called with assumptions and omissions.

    Raises:
        VitruvianError: it is missing or not C3D, or ezc3d is missing.
    """
    _ezc3d()
    path = Path(path)
    _check(path)
    about, xyz, gone = _read(path)
    point = {name: value for (group, name), value in about.items() if group == "POINT"}
    trial = {name: value for (group, name), value in about.items() if group == "TRIAL"}
    frames, first = len(xyz), int(about["HEADER", "FIRST"][0])
    start, end = (_long(trial.get(f"ACTUAL_{name}_FIELD")) for name in ("START", "END"))
    if frames >= MOST or (start and end and end - start + 1 > frames):
        raise unreadable(path, f"it has {MOST} frames or more; use a .trc")
    if start:
        first = start - 1
    scale = METRES[_unit(path, point, note)]
    labels = [str(label).strip() for label in _numbered(point, "LABELS")]
    if len(labels) < xyz.shape[1]:
        note(f"{xyz.shape[1] - len(labels)} of its points have no label")
    labels += [""] * xyz.shape[1]
    labels = [label or f"point_{k + 1}" for k, label in enumerate(labels[: xyz.shape[1]])]
    places = _places(point, labels, note)
    if not places:
        raise unreadable(path, "it has no markers")
    if about["HEADER", "ANALOG"][0]:
        note(f"its {about['HEADER', 'ANALOG'][0]} analog channels are ignored")
    rate = float((point.get("RATE") or [0.0])[0])
    if not (np.isfinite(rate) and rate > 0):
        raise unreadable(path, f"it has {rate:g} frames a second")
    points = np.where(gone[..., None], np.nan, xyz.astype(np.float64))[:, places] * scale
    if np.isinf(points).any():
        raise unreadable(path, "it has positions that are not finite")
    names = [labels[k] for k in places]
    points = without_zeros(points, names, note) @ upward(up or _up(path, point, note))
    index = first + np.arange(frames)
    return from_metres(path, names, index / rate, index, points, note=note)


def _unit(path: Path, point: dict[str, list[Any]], note: Note) -> str:
    said = str((point.get("UNITS") or [""])[0]).strip()
    if not said:
        note("it has no unit; millimetres are assumed")
    unit = UNITS.get(said.lower() or "mm")
    if unit is None:
        raise unreadable(path, f"its unit is '{shown(said, 40)}', want m, cm or mm")
    return unit


def _numbered(point: dict[str, list[Any]], name: str) -> list[Any]:
    """A list, split at 255 entries into LABELS, LABELS2, LABELS3 ..."""
    whole, number = list(point.get(name) or []), 2
    while f"{name}{number}" in point:
        whole += point[f"{name}{number}"] or []
        number += 1
    return whole


def _places(point: dict[str, list[Any]], labels: list[str], note: Note) -> list[int]:
    """Indices of 3D positions."""
    groups = {name: {str(each).strip() for each in _numbered(point, name)} for name in NO_PLACES}
    no_places = set().union(*groups.values())
    out = [label in no_places or bool(OUTPUT.search(label)) for label in labels]
    if any(out):
        first = labels[out.index(True)]
        note(f"{sum(out)} points that are not positions are ignored: {shown(first, 40)} ...")
    return [k for k, left in enumerate(out) if not left]


def _up(path: Path, point: dict[str, list[Any]], note: Note) -> str:
    said = str((point.get("Y_SCREEN") or [""])[0]).strip().upper()
    if not said:
        note(assumed_up("y"))
    axis = (said or "Y").removeprefix("+").lower()
    if axis not in ("y", "z"):
        raise unreadable(path, f"its Y_SCREEN(up axis) is {shown(said, 20)}; give --from-up")
    return axis


def _long(words: list[Any] | None) -> int:
    """A 32-bit number from two words, low word first; 0 if missing."""
    if not words or len(words) < 2:
        return 0
    low, high = (int(word) & 0xFFFF for word in words[:2])
    return (high << 16) + low


def _check(path: Path) -> int:
    """Byte offset of the data; `VitruvianError` if the header does not match the file."""
    try:
        with path.open("rb") as file:
            head = file.read(BLOCK)
            size = file.seek(0, os.SEEK_END)
            if len(head) < BLOCK or head[1] != 0x50 or not head[0]:
                raise unreadable(path, "it is not a C3D file (magic bytes)")
            at = (head[0] - 1) * BLOCK
            file.seek(at)
            section = file.read(4)
    except OSError as error:
        raise VitruvianError(f"cannot read '{shown(path, 100)}': {error.strerror}") from None
    if len(section) < 4 or section[3] not in FLOATS:
        raise unreadable(path, "it is not a C3D file: its parameters name no processor")
    processor = section[3]
    order = FLOATS[processor]
    points, analog, first, last = struct.unpack(f"{order}4H", head[2:10])
    (data,) = struct.unpack(f"{order}H", head[16:18])
    each = 4 if head[SIGN[processor]] & 0x80 else 2  # negative scale: stored as floats
    frames = last - first + 1
    if frames < 1:
        raise unreadable(path, f"it is not a C3D file: it has frames {first} to {last}")
    if data < head[0] + section[2]:
        raise unreadable(path, "it is damaged: its data overlap its parameters")
    begin = (data - 1) * BLOCK
    want = max(at + section[2] * BLOCK, begin + frames * (4 * points + analog) * each)
    if size < want:
        raise unreadable(path, f"it is truncated: its header says {want} bytes, it has {size}")
    return begin


def _read(path: Path) -> tuple[dict[tuple[str, str], list[Any]], np.ndarray, np.ndarray]:
    """Parameters, (F, K, 3) points in the file's unit and (F, K) missing points, from ezc3d."""
    patience = PATIENCE + path.stat().st_size / SLOWEST
    source = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
    with TemporaryDirectory(prefix="vitruvian-c3d-") as folder:
        out = Path(folder) / "read.npz"
        words = [
            sys.executable,
            "-P",
            "-m",
            "vitruvian.formats.c3d",
            str(path.absolute()),
            str(out),
        ]
        try:
            done = subprocess.run(
                words, env=env, capture_output=True, timeout=patience, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise unreadable(path, f"ezc3d did not finish within {patience:.0f} s") from None
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [""]
        if done.returncode == -getattr(signal, "SIGXCPU", 0):
            raise unreadable(path, "it is damaged: ezc3d reads beyond its end")
        if done.returncode < 0:
            raise unreadable(path, "it is damaged: ezc3d crashed on it")
        if done.returncode or not out.is_file():
            raise unreadable(path, f"it is not a C3D file, or damaged: {said[-1]}")
        with np.load(out, allow_pickle=False) as read:
            about = json.loads(str(read["about"]))
            return {(group, name): value for group, name, value in about}, read["xyz"], read["gone"]


def _in_a_process_of_its_own(source: str, out: str) -> None:
    """Read with ezc3d; the subprocess of `_read`."""
    size = Path(source).stat().st_size
    with suppress(ImportError, ValueError, OSError):  # Linux only
        import resource

        have = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        busy = BUSY + int(size / SLOWEST)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (busy, busy + 1))
        most = have + MEMORY + 40 * size
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    file = _ezc3d().c3d(source)
    header = file["header"]
    about: list[tuple[str, str, list[Any]]] = [
        ("HEADER", "FIRST", [int(header["points"]["first_frame"])]),
        ("HEADER", "ANALOG", [int(header["analogs"]["size"])]),
    ]
    for group in ("POINT", "TRIAL"):
        if group not in file["parameters"]:
            continue
        for name, parameter in file["parameters"][group].items():
            value = parameter.get("value") if isinstance(parameter, dict) else None
            if value is not None and np.ndim(value) == 1:
                about.append((group, name, [each if isinstance(each, str) else float(each)
                                            for each in value]))  # fmt: skip
    xyz = np.moveaxis(file["data"]["points"][:3], (0, 1, 2), (2, 1, 0)).astype(np.float32)
    gone = file["data"]["meta_points"]["residuals"][0].T < 0
    np.savez(out, about=np.array(json.dumps(about)), xyz=xyz, gone=gone[:, : xyz.shape[1]])


if __name__ == "__main__":
    try:
        _in_a_process_of_its_own(*sys.argv[1:3])
    except Exception as fault:  # reported to the parent process
        sys.exit(str(fault) or type(fault).__name__)
