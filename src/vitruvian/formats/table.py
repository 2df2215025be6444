"""The files that poses are kept in: what each holds and needs, and reading any of them.

What is lost on the way from one to another follows from this table, as do the tables of
docs/files.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.track import Track
from vitruvian.documents import read_json
from vitruvian.errors import VitruvianError, unknown
from vitruvian.formats import bvh, c3d, coco, mot, openpose, records, tables, trc
from vitruvian.formats.markers import Note, assumed_up
from vitruvian.frame import Frame

Pairs = Iterator[tuple[Frame, Poses]]
# What a file may hold, and how it is said that it is lost.
HOLDS = {
    "pixels": "pixels",
    "metres": "metres",
    "world": "metres in the world",
    "presence": "presence and depth",
    "boxes": "boxes",
    "scores": "scores",
    "numbers": "who is who",
    "people": "everyone in one file",
    "nobody": "frames with nobody",
    "times": "times",
    "uneven": "uneven times",
    "gaps": "what was not found",
    "skeleton": "keypoints of other names",
    "bones": "bones of a skeleton that is none of ours",
    "camera": "cameras",
}
SMALL = 10_000_000  # bytes of a frame of OpenPose; thousands of people have less
WAYS_OUT = {
    "pixels": "start from the records (.jsonl) of `vitruvian predict`",
    "metres": trc.IN_METRES,
    "boxes": "start from the records (.jsonl) of `vitruvian predict`",
    "numbers": "start from the records (.jsonl) of a video",
}


@dataclass(frozen=True)
class Form:
    """A kind of file."""

    name: str
    suffix: str  # "" of a folder
    about: str
    holds: tuple[str, ...]  # of `HOLDS`
    needs: tuple[tuple[str, ...], ...]  # of each one at least, to be written
    units: str

    @property
    def called(self) -> str:
        """As a user would say it."""
        return self.suffix or "a folder of OpenPose JSON"


_TABLE = (
    *("pixels", "metres", "world", "scores", "numbers", "people", "times", "uneven", "gaps"),
    "skeleton",
)
_POINTS = (("pixels", "metres"),)
_OURS = (
    "pixels from the top left corner, y down; metres from camera or hips, x right, y down, z away"
)
_UPRIGHT = "x right, y up, z towards the camera; with `--up z` x right, y away, z up"
FORMS = {
    form.name: form
    for form in (
        Form("records", ".jsonl", "records, one JSON line a frame", tuple(HOLDS), (), _OURS),
        Form("csv", ".csv", "a row for each keypoint of each person", _TABLE, _POINTS, _OURS),
        Form("parquet", ".parquet", "the same rows; `table` extra", _TABLE, _POINTS, _OURS),
        Form(
            "coco",
            ".json",
            "COCO results, 17 keypoints; annotations are read as well",
            ("pixels", "boxes", "scores", "people", "gaps"),
            (("pixels",),),
            "pixels from the top left corner, y down",
        ),
        Form(
            "openpose",
            "",
            "a folder of OpenPose JSON, one file a frame; writes BODY_25, reads others as well",
            ("pixels", "scores", "numbers", "people", "nobody", "times", "uneven", "gaps"),
            (("pixels",),),
            "pixels from the top left corner, y down",
        ),
        Form(
            "mot",
            ".txt",
            "MOT Challenge text, boxes alone",
            ("boxes", "numbers", "people"),
            (("boxes", "pixels"), ("numbers",)),
            "pixels, of which the first is (1, 1); frames from 1",
        ),
        Form(
            "trc",
            ".trc",
            "markers for OpenSim, one person a file",
            ("metres", "numbers", "times", "uneven", "gaps", "skeleton"),
            (("metres",),),
            f"writes m, reads m, cm and mm; {_UPRIGHT}",
        ),
        Form(
            "c3d",
            ".c3d",
            "markers for motion capture, one person a file; `c3d` extra",
            ("metres", "numbers", "times", "gaps", "skeleton"),
            (("metres",),),
            f"writes mm, reads m, cm and mm; {_UPRIGHT}; says which axis points up",
        ),
        Form(
            "bvh",
            ".bvh",
            "a tree of bones for animation, one person a file",
            ("metres", "numbers", "times", "skeleton", "bones"),
            (("metres",),),
            f"m and degrees; {_UPRIGHT}",
        ),
    )
}


def _upright(
    read: Callable[[Path, str, Note], Track],
) -> Callable[[Path, str | None, Note], Track]:
    """A reader of a format that has no word for the axis that points up."""

    def as_said(path: Path, up: str | None, note: Note) -> Track:
        if up is None:
            note(assumed_up("y"))
        return read(path, up or "y", note)

    return as_said


_TRACKS: dict[str, Callable[[Path, str | None, Note], Track]] = {
    "trc": _upright(trc.read_trc),
    "c3d": c3d.read_c3d,
    "bvh": _upright(bvh.read_bvh),
}
_TIMED: dict[str, Callable[[Path, float | None, Note], Pairs]] = {
    "mot": mot.mot_poses,
}
MOST_FPS = 1e6  # frames a second that times are worked out from
_TABLES: dict[str, Callable[[Path], Pairs]] = {
    "csv": tables.read_csv,
    "parquet": tables.read_parquet,
}


def of_name(path: Path) -> Form:
    """What a file is by its extension; a name without one is a folder of OpenPose JSON.

    Raises:
        VitruvianError: it is nothing that holds poses.
    """
    kind = path.suffix.lower()
    if kind in (".mot", ".sto"):
        raise VitruvianError(
            f"'{path}' would be OpenSim's motion: angles, which OpenSim itself finds in a .trc; "
            "boxes of MOT Challenge are .txt, or --from mot"
        )
    for form in FORMS.values():
        if form.suffix == kind:
            return form
    known = " ".join(form.suffix for form in FORMS.values() if form.suffix)
    raise VitruvianError(
        f"'{path}' is no file of poses by its name: {known}, or a folder of OpenPose JSON"
    )


def recognised(path: Path, name: str | None = None) -> Form:
    """What a file that is there is: as `name` says, or by its extension and content.

    Raises:
        VitruvianError: it is not there, or nothing that holds poses.
    """
    if name is not None and name not in FORMS:
        raise unknown("format", name, FORMS)
    if not path.exists():
        raise VitruvianError(f"cannot read '{path}': No such file or directory")
    if name is not None:
        return FORMS[name]
    if path.is_dir():
        return FORMS["openpose"]
    form = of_name(path)
    if form.name == "coco" and _has_people(path):
        raise VitruvianError(
            f"'{path}' is one frame of OpenPose; give its folder, '{path.parent}', or --from coco"
        )
    if not form.suffix:
        raise VitruvianError(f"'{path}' has no extension; say what it is: --from mot, for example")
    return form


def _has_people(path: Path) -> bool:
    """Whether it is a frame of OpenPose: a small file with a number in its name."""
    if not path.stem.removesuffix("_keypoints")[-1:].isdecimal() or path.stat().st_size > SMALL:
        return False
    try:
        read = read_json(path)
    except VitruvianError:
        return False
    return isinstance(read, dict) and "people" in read


def lost(source: Form, target: Form) -> list[str]:
    """What `source` may hold and `target` cannot, of `HOLDS`."""
    gone = [part for part in HOLDS if part in source.holds and part not in target.holds]
    return [part for part in gone if part != "uneven" or "times" not in gone]


def refusal(source: Form, target: Form) -> str:
    """Why one cannot become the other, as an error says it; "" if it can."""
    for ways in target.needs:
        if not any(way in source.holds for way in ways):
            what = " or ".join(HOLDS[way] for way in ways)
            why = f"{target.called} needs {what}, which {source.called} does not have"
            return f"{why}; {WAYS_OUT[ways[0]]}"
    return ""


class Reading:
    """Poses of a file: `header` says what made them, iterating gives pairs of frame and poses.

    `notes` are lines about what was assumed and what was left out, of what has been read so far.
    """

    def __init__(self, header: dict[str, Any], pairs: Callable[[Note], Pairs]) -> None:
        """`pairs` begins anew at each call."""
        self.header, self.pairs = header, pairs
        self.notes: list[str] = []

    def __iter__(self) -> Pairs:
        self.notes.clear()
        return self.pairs(self._note)

    def _note(self, line: str) -> None:
        if line not in self.notes:
            self.notes.append(line)


def read(
    path: str | Path,
    form: str | None = None,
    *,
    fps: float | None = None,
    up: str | None = None,
    skeleton: Skeleton | None = None,
) -> Reading | records.Record:
    """The poses of a file: `for frame, poses in vit.read("out.jsonl")`.

    Args:
        path: .jsonl (records), .csv, .parquet, .trc, .c3d, .bvh, .json (COCO), .txt (MOT), or a
            folder of OpenPose JSON.
        form: which of these it is, a name of `FORMS`, where its own name does not tell.
        fps: frames a second, of files that have no times.
        up: the axis that points up in .trc, .c3d and .bvh: y or z; by default what a .c3d says, or
            y.
        skeleton: whose keypoints a folder of OpenPose JSON has; by default that of their number.

    Raises:
        VitruvianError: it is missing, something else, or lacks what was not given.
    """
    path = Path(path)
    # A record may be a pipe, which is not looked into beforehand.
    record = form is None and path.suffix.lower() == ".jsonl"
    name = "records" if record else recognised(path, form).name
    if up is not None and name not in _TRACKS:
        raise VitruvianError(f"'{path}' has y down, as pictures have; leave out which axis is up")
    if skeleton is not None and name != "openpose":
        raise VitruvianError(f"'{path}' names its keypoints; leave out which skeleton it has")
    if fps is not None and name not in (*_TIMED, "coco", "openpose"):
        raise VitruvianError(f"'{path}' has times of its own; leave out the frames a second")
    if fps is not None and not 0 < fps <= MOST_FPS:
        raise VitruvianError(
            f"{fps:g} frames a second are none; want more than 0, at most {MOST_FPS:g}"
        )
    if name == "records":
        return records.read(path)
    if name in _TRACKS:
        return Reading({}, lambda note: _frames(_TRACKS[name](path, up, note)))
    if name in _TABLES:
        return Reading({}, lambda _: _TABLES[name](path))
    if name == "openpose":
        options = {"derived": openpose.derived_in(path)}
        return Reading(
            {"options": options}, lambda note: openpose.read_openpose(path, fps, skeleton, note)
        )
    if name == "coco":
        return Reading({}, lambda note: coco.read_coco(path, fps, note))
    return Reading({"options": {}}, lambda note: _TIMED[name](path, fps, note))


def _frames(track: Track) -> Pairs:
    for row, (index, seconds) in enumerate(zip(track.index, track.seconds, strict=True)):
        frame = Frame(None, int(index), float(seconds), track.source, size=track.size)
        yield frame, track.poses(row)
