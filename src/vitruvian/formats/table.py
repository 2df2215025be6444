"""Table of the pose file formats, one row each, and a reader for all of them.

What a conversion loses follows from this table, as do the tables of docs/files.md.
Images, videos and 3D viewers have their rows in `verbs/outputs.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vitruvian.body.mapping import Mapping
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BODY25, as_skeleton
from vitruvian.body.track import Track
from vitruvian.documents import read_json
from vitruvian.errors import VitruvianError, shown, unknown
from vitruvian.formats import bvh, c3d, coco, mot, openpose, records, tables, trc
from vitruvian.formats.format import Format, Pairs, Reading, ReadOptions
from vitruvian.formats.markers import Note, assumed_up
from vitruvian.formats.one_person import OnePersonFiles
from vitruvian.frame import Frame

# What a file may store, and its name in messages.
HOLDS = {
    "pixels": "pixels",
    "metres": "metres",
    "world": "metres in the world",
    "presence": "presence and depth",
    "boxes": "boxes",
    "scores": "scores",
    "numbers": "track ids",
    "people": "all people in one file",
    "nobody": "frames without people",
    "times": "times",
    "uneven": "variable frame rate",
    "gaps": "missing keypoints",
    "skeleton": "custom keypoint names",
    "bones": "bones of a custom skeleton",
    "camera": "cameras",
}
# Only in a source, or during inference.
NOT_HELD = {"frames": "pixels of the frames", "maps": "heat maps"}
SMALL = 10_000_000  # bytes of an OpenPose frame; thousands of people fit
WAYS_OUT = {
    "pixels": "start from the records (.jsonl) of `vitruvian predict`",
    "metres": trc.IN_METRES,
    "boxes": "start from the records (.jsonl) of `vitruvian predict`",
    "maps": "write them at prediction: `vitruvian predict --save heatmaps`",
    "numbers": "start from the records (.jsonl) of a video",
}


_TABLE = (
    *("pixels", "metres", "world", "scores", "numbers", "people", "times", "uneven", "gaps"),
    "skeleton",
)
_POINTS = (("pixels", "metres"),)
_IN_METRES = (("metres",),)
_OURS = (
    "pixels from the top left corner, y down; metres from camera or hips, x right, y down, z "
    "forward"
)
_UPRIGHT = "x right, y up, z towards the camera; with `--up z` x right, y forward, z up"


def _poses_of(track: Track) -> Pairs:
    """The frames of a track."""
    for row, (index, seconds) in enumerate(zip(track.index, track.seconds, strict=True)):
        frame = Frame(None, int(index), float(seconds), track.source, size=track.size)
        yield frame, track.poses(row)


def _track(read: Callable[[Path, str | None, Note], Track]) -> Callable[..., Reading]:
    """A reader of a format that holds one track."""
    return lambda path, how: Reading(lambda note: _poses_of(read(path, how.up, note)))


def _upright(read: Callable[[Path, str, Note], Track]) -> Callable[..., Reading]:
    """The same for a format that does not store its up axis."""

    def with_y(path: Path, up: str | None, note: Note) -> Track:
        if up is None:
            note(assumed_up("y"))
        return read(path, up or "y", note)

    return _track(with_y)


FORMATS = {
    row.name: row
    for row in (
        Format(
            name="json",
            ends=(".jsonl",),
            about="records, one JSON line per frame",
            units=_OURS,
            holds=tuple(HOLDS),
            needs=(),
            write=lambda path, how: records.json_lines(path, how.model),
            read=lambda path, how: records.read(path),
        ),
        Format(
            name="csv",
            ends=(".csv",),
            about="one row per keypoint and person",
            units=_OURS,
            holds=_TABLE,
            needs=_POINTS,
            write=lambda path, how: tables.csv_table(path, how.model),
            read=lambda path, how: Reading(lambda note: tables.read_csv(path)),
        ),
        Format(
            name="parquet",
            ends=(".parquet",),
            about="the same rows; `table` extra",
            units=_OURS,
            holds=_TABLE,
            needs=_POINTS,
            write=lambda path, how: tables.Parquet(path, how.model),
            read=lambda path, how: Reading(lambda note: tables.read_parquet(path)),
        ),
        Format(
            name="coco",
            ends=(".json",),
            about="COCO results, 17 keypoints; also reads annotations",
            units="pixels from the top left corner, y down",
            holds=("pixels", "boxes", "scores", "people", "gaps"),
            needs=(("pixels",),),
            write=lambda path, how: coco.coco_results(path, how.model, how.pictures),
            read=lambda path, how: Reading(lambda note: coco.read_coco(path, how.fps, note)),
            room="pictures or a video",
            asks=("fps",),
            check=coco.need_coco17,
        ),
        Format(
            name="labels",
            ends=("_labels.json",),
            about="COCO annotations of images, any keypoints: for FiftyOne, CVAT, training",
            units="pixels from the top left corner, y down",
            holds=("pixels", "boxes", "people", "nobody", "gaps", "skeleton", "bones"),
            needs=(("pixels",),),
            write=lambda path, how: coco.coco_labels(path, how.pictures),
            read=lambda path, how: Reading(lambda note: coco.read_coco(path, how.fps, note)),
            room="pictures",
            asks=("fps",),
        ),
        Format(
            name="openpose",
            ends=("_openpose",),
            about="a folder of OpenPose JSON, one file per frame; writes BODY_25 with hands and "
            "face, reads others too",
            units="pixels from the top left corner, y down",
            holds=("pixels", "scores", "numbers", "people", "nobody", "times", "uneven", "gaps"),
            needs=(("pixels",),),
            write=lambda path, how: openpose.OpenPose(path, how.model),
            read=lambda path, how: Reading(
                lambda note: openpose.read_openpose(path, how.fps, how.skeleton, note),
                {"options": {"derived": openpose.derived_in(path)}},
            ),
            asks=("fps", "skeleton"),
            folder=True,
            check=lambda skeleton: Mapping.of(skeleton, BODY25),
        ),
        Format(
            name="mot",
            ends=(".txt",),
            about="MOT Challenge text, bounding boxes only",
            units="pixels, the first is (1, 1); frames from 1",
            holds=("boxes", "numbers", "people"),
            needs=(("boxes", "pixels"), ("numbers",)),
            write=lambda path, how: mot.mot(path, how.model),
            read=lambda path, how: Reading(lambda note: mot.mot_poses(path, how.fps, note)),
            room="video",
            asks=("fps",),
        ),
        Format(
            name="trc",
            ends=(".trc",),
            about="markers for OpenSim, one person per file",
            units=f"writes m, reads m, cm and mm; {_UPRIGHT}",
            holds=("metres", "numbers", "times", "uneven", "gaps", "skeleton"),
            needs=_IN_METRES,
            write=lambda path, how: OnePersonFiles(path, trc.write_trc, how.up),
            read=_upright(trc.read_trc),
            room="picture or video",
            asks=("up",),
            one_person=True,
        ),
        Format(
            name="c3d",
            ends=(".c3d",),
            about="markers for motion capture, one person per file; `c3d` extra",
            units=f"writes mm, reads m, cm and mm; {_UPRIGHT}; stores the up axis",
            holds=("metres", "numbers", "times", "gaps", "skeleton"),
            needs=_IN_METRES,
            write=lambda path, how: OnePersonFiles(path, c3d.writer(), how.up),
            read=_track(c3d.read_c3d),
            room="picture or video",
            asks=("up",),
            one_person=True,
        ),
        Format(
            name="bvh",
            ends=(".bvh",),
            about="skeletal animation, one person per file",
            units=f"m and degrees; {_UPRIGHT}",
            holds=("metres", "numbers", "times", "skeleton", "bones"),
            needs=_IN_METRES,
            write=lambda path, how: OnePersonFiles(path, bvh.write_bvh, how.up, bvh.as_tree),
            read=_upright(bvh.read_bvh),
            room="picture or video",
            asks=("up",),
            one_person=True,
            check=bvh.as_tree,
        ),
    )
}
MOST_FPS = 1e6  # frames per second, to compute times


def of_name(path: Path) -> Format:
    """Format of a file by its extension; without one, a folder of OpenPose JSON.

    Raises:
        VitruvianError: it is not a pose format.
    """
    kind = path.suffix.lower()
    if not kind:
        return FORMATS["openpose"]
    if kind in (".mot", ".sto"):
        raise VitruvianError(
            f"'{path}' is an OpenSim motion (joint angles); write .trc and run OpenSim inverse "
            "kinematics; for MOT Challenge boxes use .txt, or --from mot"
        )
    ends = {end: form for form in FORMATS.values() if form.suffix for end in form.ends}
    fits = [end for end in ends if path.name.lower().endswith(end)]
    if fits:
        return ends[max(fits, key=len)]
    known = " ".join(form.suffix for form in FORMATS.values() if form.suffix)
    raise VitruvianError(
        f"'{path}' has an unknown extension for poses; known: {known}, or a folder of OpenPose JSON"
    )


def recognised(path: Path, name: str | None = None) -> Format:
    """Format of an existing file: `name`, or detected by extension and content.

    Raises:
        VitruvianError: it is missing or not a pose format.
    """
    if name is not None and name not in FORMATS:
        raise unknown("format", name, FORMATS)
    if not path.exists():
        raise VitruvianError(f"cannot read '{path}': No such file or directory")
    if name is not None:
        return FORMATS[name]
    if path.is_dir():
        return FORMATS["openpose"]
    form = of_name(path)
    if form.suffix.endswith(".json") and _has_people(path):
        raise VitruvianError(
            f"'{path}' is one OpenPose frame; give its folder, '{path.parent}', or --from coco"
        )
    if form.folder:
        raise VitruvianError(f"'{path}' has no extension; give its format, such as --from mot")
    return form


def _has_people(path: Path) -> bool:
    """Whether it is an OpenPose frame: a small file with a number in its name."""
    if not path.stem.removesuffix("_keypoints")[-1:].isdecimal() or path.stat().st_size > SMALL:
        return False
    try:
        read = read_json(path)
    except VitruvianError:
        return False
    return isinstance(read, dict) and "people" in read


def lost(source: Format, target: Format) -> list[str]:
    """Parts of `HOLDS` in `source`, not in `target`."""
    gone = [part for part in HOLDS if part in source.holds and part not in target.holds]
    return [part for part in gone if part != "uneven" or "times" not in gone]


def refusal(source: Format, target: Format) -> str:
    """Error message if `source` cannot be converted to `target`, or ""."""
    for ways in target.needs:
        if ways != ("frames",) and not any(way in source.holds for way in ways):
            what = " or ".join((HOLDS | NOT_HELD)[way] for way in ways)
            why = f"{target.called} needs {what}, which {source.called} lacks"
            return f"{why}; {WAYS_OUT[ways[0]]}"
    return ""


def check_given(
    row: Format,
    path: Path,
    fps: float | None,
    up: str | None,
    skeleton: Skeleton | None,
    words: Sequence[str] = ("fps", "up", "skeleton"),
) -> None:
    """Raise `VitruvianError` for a wrong value, or one that a file of this format says itself.

    Args:
        row: format of the file.
        path: the file.
        fps: see `read`, as the next two.
        up: axis.
        skeleton: of its keypoints.
        words: what the three are called in messages.
    """
    if fps is not None and not 0 < fps <= MOST_FPS:
        raise VitruvianError(f"{words[0]} is {fps:g}, want more than 0, at most {MOST_FPS:g}")
    if up not in (None, *trc.UP):
        raise VitruvianError(f"{words[1]} is '{shown(up)}', want y or z")
    why = ("has its own timestamps", "is in image coordinates (y down)", "names its keypoints")
    given = {"fps": fps, "up": up, "skeleton": skeleton}
    for (name, value), reason, word in zip(given.items(), why, words, strict=True):
        if value is not None and name not in row.asks:
            raise VitruvianError(f"'{path}' {reason}; leave {word} out")


def read(
    path: str | Path,
    form: str | None = None,
    *,
    fps: float | None = None,
    up: str | None = None,
    skeleton: str | Path | Skeleton | None = None,
) -> Reading | records.Record:
    """Read poses: `for frame, poses in vit.read("out.jsonl")`.

    Args:
        path: .jsonl (records), .csv, .parquet, .trc, .c3d, .bvh, .json (COCO), .txt (MOT), or a
            folder of OpenPose JSON.
        form: format, a name of `FORMATS`; by default detected.
        fps: frames per second, for files without times.
        up: the axis that points up in .trc, .c3d and .bvh: y or z; by default as stored in a .c3d,
            or y.
        skeleton: of a folder of OpenPose JSON, a name, .toml file or `Skeleton`; by default
            inferred from the number of keypoints.

    Raises:
        VitruvianError: it is missing or invalid, or an option is needed.
    """
    path = Path(path)
    # A record may be a pipe, which can be read only once.
    record = form is None and path.suffix.lower() == ".jsonl"
    row = FORMATS["json"] if record else recognised(path, form)
    body = as_skeleton(skeleton)
    check_given(row, path, fps, up, body)
    assert row.read is not None
    return row.read(path, ReadOptions(fps, up, body))
