"""Read and write OpenPose JSON: one file per frame with the 25 keypoints of BODY_25.

Third-party files may use other skeletons without naming them: the skeleton is inferred from the
number of keypoints, and for 25 from whether the supposed eyes and ears are near the nose; a note
reports the choice. Frame numbers are those in the file names.

Neck and MidHip, absent from most skeletons, are the midpoints of shoulders and hips, as in
OpenPose's own training data; such a derived keypoint has the lower of the two scores and is
listed under `vitruvian.derived`, our own key, ignored by other readers. Keypoints that are missing
or not in the skeleton are 0, 0, 0. Hands and faces have OpenPose's 21 and 70 keypoints. Where the
first people have them (a list that is not empty, even of zeros) the skeleton that is read has them,
too, after the body: body_25_hands_face.

Source: doc/02_output.md of OpenPose 1.7, and pose/poseParameters.cpp for the order of BODY_25;
Pose2Sim 0.10's skeletons.py for what it and Sports2D write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.mapping import Mapping
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import (
    BLAZEPOSE33,
    BODY25,
    BODY25B,
    BODY135,
    COCO17,
    COCO18,
    FACE70,
    HALPE26,
    HALPE68,
    HALPE136,
    ONE_HAND,
    WHOLEBODY133,
)
from vitruvian.documents import WHOLE, read_json, unreadable
from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.formats.atomic_file import AtomicFile
from vitruvian.formats.markers import Note
from vitruvian.formats.wire import Provenance
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import box_around

# Number of keypoints -> skeleton, in third-party files; BODY_25B also has 25.
BY_NUMBER = {
    len(table): table
    for table in (
        *(COCO17, COCO18, BODY25, HALPE26, BLAZEPOSE33, HALPE68, WHOLEBODY133, BODY135, HALPE136),
    )
}
# Besides the body: the part of a skeleton, and OpenPose's keypoints of it.
OTHERS = {
    "face": ("face", FACE70),
    "hand_left": ("left_hand", ONE_HAND["left"]),
    "hand_right": ("right_hand", ONE_HAND["right"]),
}
ENOUGH = 20  # people, from the first files with any, to tell BODY_25 from BODY_25B
FARTHEST = 1e9  # pixels
AT_ONCE = 256  # files
_NAME = re.compile(r"(.*?)[_.-]?([0-9]*)", re.DOTALL)  # stem and number of a frame


def frame_to_openpose(frame: Frame, poses: Poses, derived: Sequence[str] = ()) -> dict[str, Any]:
    """A frame as an OpenPose dict; `derived`: keypoints already derived."""
    way = Mapping.of(poses.skeleton, BODY25)
    there = way(poses)
    points = _points(there)
    parts = {
        key: _points(Mapping.of(poses.skeleton, table)(poses))
        for key, (part, table) in OTHERS.items()
        if part in poses.skeleton.parts
    }
    derived = [name for name in BODY25.keypoints if name in (*derived, *way.derived)]
    people = [
        {
            "person_id": [int(person)],
            "pose_keypoints_2d": points[row].ravel().tolist(),
            **{
                f"{key}_keypoints_2d": parts[key][row].ravel().tolist() if key in parts else []
                for key in OTHERS
            },
        }
        for row, person in enumerate(poses.person)
    ]
    ours = {"derived": derived, "skeleton": poses.skeleton.name, "time": round(frame.seconds, 6)}
    ours |= {"index": frame.index, "size": list(frame.size), "source": frame.source}
    return {"version": 1.3, "people": people, "vitruvian": ours}


def _points(poses: Poses) -> np.ndarray:
    """(N, K, 3) x, y, score; 0 where something is missing."""
    points = np.concatenate([poses.xy, poses.score[..., None]], axis=-1).astype(float)
    points[np.isnan(points).any(axis=-1)] = 0
    return np.round(points, 4)


class OpenPose:
    """Sink for a folder of `NAME_000000000000_keypoints.json`, one per frame."""

    def __init__(self, folder: Path, model: Provenance | None = None) -> None:
        """`model`: source of the poses; its options may list derived keypoints."""
        self.folder, self.paths = folder, list[Path]()
        self.derived = () if model is None else model.options.get("derived", ())
        self.stems: dict[str, str] = {}  # of each source

    def __enter__(self) -> OpenPose:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write the file of a frame."""
        part = AtomicFile(self._path(frame))
        part.begin().write_text(
            json.dumps(frame_to_openpose(frame, poses, self.derived)), encoding="utf-8"
        )
        part.finish()
        self.paths.append(part.path)

    def _path(self, frame: Frame) -> Path:
        return self.folder / f"{self._stem(frame.source)}_{frame.index:012}_keypoints.json"

    def _stem(self, source: str) -> str:
        """File name prefix of a source; a second source with the same name gets NAME-2."""
        if source not in self.stems:
            own = stem = re.sub(r"[^\w.+-]+", "_", Path(source).stem) or "frame"
            while own in self.stems.values():
                own = f"{stem}-{len(self.stems) + 1}"
            self.stems[source] = own
        return self.stems[source]

    def mark(self) -> int:
        """The number of files written."""
        return len(self.paths)

    def can_go_on(self, mark: int) -> bool:
        """Whether the folder of the files is still there."""
        return not mark or self.folder.is_dir()

    def go_on(self, mark: int, frames: Sequence[Frame] = ()) -> None:
        """Resume: sources keep the names they had in `frames`, already written."""
        for frame in frames:
            self.paths.append(self._path(frame))

    def __exit__(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class _File:
    path: Path
    stem: str
    number: int | None  # of its frame


@dataclass(frozen=True)
class _Read:
    """Parsed file."""

    ours: dict[str, Any]  # our `vitruvian` key
    points: list[np.ndarray]  # (K, 3) of each person's body
    parts: list[dict[str, np.ndarray]]  # of each person: key of `OTHERS` -> (P, 3)
    person: list[int]
    faces: int  # people without body


def derived_in(folder: str | Path) -> list[str]:
    """Derived keypoints, as listed in the first file of a folder."""
    path = _files(folder)[0].path
    derived = _read(path).ours.get("derived", [])
    if not isinstance(derived, list) or not all(isinstance(name, str) for name in derived):
        raise unreadable(path, "its vitruvian.derived is not a list of names")
    return derived


def _files(folder: str | Path, note: Note = lambda _: None) -> list[_File]:
    """Files in frame order."""
    try:
        every = [path for path in Path(folder).glob("*.json") if not path.name.startswith(".")]
    except OSError as error:
        raise VitruvianError(f"cannot read '{shown(folder, 100)}': {error.strerror}") from None
    named = [path for path in every if path.name.endswith("_keypoints.json")] or every
    files = []
    for path in named:
        name = path.name.removesuffix(".json").removesuffix("_keypoints")
        stem, digits = _NAME.fullmatch(name).groups()  # type: ignore[union-attr]
        if int(digits or 0) >= WHOLE:
            raise unreadable(path, f"frame {shown(digits, 40)} is beyond 64 bits")
        files.append(_File(path, stem, int(digits) if digits else None))
    if not files:
        raise VitruvianError(f"'{shown(folder, 100)}' has no files named *_keypoints.json")
    if len(named) < len(every):
        others = amount(len(every) - len(named), "file")
        note(f"ignored: {others} not named *_keypoints.json")
    return sorted(files, key=lambda each: (each.stem, each.number or 0, each.path.name))


def _read(path: Path) -> _Read:
    read = read_json(path, quick=True)
    people = read.get("people") if isinstance(read, dict) else None
    if not isinstance(people, list) or not all(isinstance(each, dict) for each in people):
        raise unreadable(path, "not OpenPose JSON: it has no list of people")
    points, person, faces = list[np.ndarray](), list[int](), 0
    parts = list[dict[str, np.ndarray]]()
    for each in people:
        body = each.get("pose_keypoints_2d", each.get("pose_keypoints"))
        if not body and isinstance(body, list):
            faces += 1
            continue
        array = _numbers(path, "pose_keypoints_2d", body)
        own = dict[str, np.ndarray]()
        for key, (_, table) in OTHERS.items():
            if given := each.get(f"{key}_keypoints_2d", each.get(f"{key}_keypoints")):
                own[key] = _numbers(path, f"{key}_keypoints_2d", given).astype(np.float32)
                if len(own[key]) != len(table):
                    raise unreadable(
                        path, f"{key}_keypoints_2d has {len(own[key])} keypoints, want {len(table)}"
                    )
        parts.append(own)
        found = array[array[:, 2] > 0, :2]
        if len(found) and np.abs(found).max() <= 1 and np.any(found % 1):
            raise unreadable(
                path,
                (
                    "its keypoints are between 0 and 1, want pixels; run OpenPose with "
                    "--keypoint_scale 0"
                ),
            )
        points.append(array.astype(np.float32))
        who = each.get("person_id", -1)
        who = who[0] if isinstance(who, list) and who else -1 if isinstance(who, list) else who
        if not _is(who, int, float) or not abs(who) < WHOLE or who != int(who):
            raise unreadable(path, f"its person_id is {shown(who, 40)}")
        person.append(int(who))
    ours = read.get("vitruvian", {})
    if not isinstance(ours, dict):
        raise unreadable(path, "its key vitruvian has an unknown form")
    return _Read(ours, points, parts, person, faces)


def _numbers(path: Path, key: str, given: Any) -> np.ndarray:
    """(K, 3) x, y, score; `VitruvianError` if it is something else."""
    numbers: list[Any] = given if isinstance(given, list) else [None]
    if len(numbers) % 3 or not set(map(type, numbers)) <= {int, float}:
        raise unreadable(path, f"not OpenPose JSON: {key} is not x, y, score per keypoint")
    if (farthest := max(map(abs, numbers))) > FARTHEST:
        raise unreadable(path, f"it has a keypoint at {shown(farthest, 20)} pixels")
    return np.array(numbers, np.float64).reshape(-1, 3)


def _parts_of(files: list[_File], table: Skeleton) -> tuple[str, ...]:
    """The keys of `OTHERS` that the first people have and the skeleton of the body does not."""
    first = next((each for file in files if (each := _read(file.path)).points), None)
    if first is None:
        return ()
    there = {key for own in first.parts for key in own}
    return tuple(
        key
        for key, (_, part) in OTHERS.items()
        if key in there and not set(part.keypoints) & set(table.keypoints)
    )


@cache
def with_hands_and_face(table: Skeleton, keys: tuple[str, ...]) -> Skeleton:
    """A body with hands and a face: BODY_25 with all is body_25_hands_face, 137 keypoints.

    Args:
        table: of the body.
        keys: of `OTHERS`.
    """
    if not keys:
        return table
    names, bones, sigmas = list(table.keypoints), list(table.bones), [table.sigmas]
    for part, own in (OTHERS[key] for key in keys):
        first = len(names)
        names += own.keypoints
        bones += [(a + first, b + first) for a, b in own.bones]
        sigmas.append(own.sigmas)
        wrist = part.replace("hand", "wrist")
        if part != "face" and wrist in table.places:
            bones.append((table[wrist], first))
    hands = [key.removeprefix("hand_") for key in keys if key != "face"]
    ends = ["hands"] if len(hands) > 1 else [f"{side}_hand" for side in hands]
    name = "_".join([table.name, *ends, *(["face"] if "face" in keys else [])])
    source = f"{table.source}; hands and face: {FACE70.source}"
    return Skeleton(name, source, tuple(names), tuple(bones), np.concatenate(sigmas))


def _is(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _whose(files: list[_File], note: Note) -> Skeleton:
    """The skeleton, inferred from the first people."""
    first = (each for file in files if (each := _read(file.path)).points)
    one = next(first, None)
    if one is None or one.ours:
        return BODY25
    k = len(one.points[0])
    if k not in BY_NUMBER:
        raise unreadable(
            files[0].path,
            f"{k} keypoints match no known skeleton; give --from-skeleton",
        )
    table = BY_NUMBER[k]
    if table is not BODY25:
        note(f"{k} keypoints are read as {table.name}; if not, give --from-skeleton")
        return table
    people = [*one.points]
    for more in first:
        if len(people) >= ENOUGH:
            break
        people += more.points
    far = {each: _head(each, people[:ENOUGH]) for each in (BODY25, BODY25B)}
    for table, other in ((BODY25, BODY25B), (BODY25B, BODY25)):
        if 2 * far[table] < far[other]:
            note(f"25 keypoints are read as {table.name}, by the positions of eyes and ears")
            return table
    note("25 keypoints are read as body_25, not body_25b; if not, give --from-skeleton")
    return BODY25


def _head(table: Skeleton, people: list[np.ndarray]) -> float:
    """Median distance of eyes and ears from the nose, pixels; NaN if none is found."""
    away = []
    for points in people:
        if len(points) == len(table) and points[table["nose"], 2] > 0:
            some = points[
                [table[f"{s}_{part}"] for s in ("left", "right") for part in ("eye", "ear")]
            ]
            some = some[some[:, 2] > 0]
            away += np.linalg.norm(some[:, :2] - points[table["nose"], :2], axis=-1).tolist()
    return float(np.median(away)) if away else np.nan


def read_openpose(
    folder: str | Path,
    fps: float | None = None,
    skeleton: Skeleton | None = None,
    note: Note = lambda _: None,
) -> Iterator[tuple[Frame, Poses]]:
    """Read the frames of a folder, in frame order.

    Bounding boxes enclose the keypoints. OpenPose's own files have no times; they follow from
    `fps`: at 30 fps, frame 120 is at 4 s, even if earlier frames are missing. People with a face
    but no body are skipped. Hands and a face, if the first people have them, follow the body.

    Args:
        folder: of `NAME_000000000000_keypoints.json`, or similar file names.
        fps: frames per second.
        skeleton: of the keypoints of the body, if known.
        note: called with assumptions and omissions.

    Raises:
        VitruvianError: there are no files, one is invalid, they are of several recordings, or
            `fps` is needed.
    """
    files = _files(folder, note)
    table = skeleton or _whose(files, note)
    keys = _parts_of(files, table)
    whole = with_hands_and_face(table, keys)
    ours = bool(_read(files[0].path).ours)
    stems = {file.stem for file in files}
    pictures = len(stems) == len(files) and len(files) > 1 and not ours
    if len(stems) > 1 and not ours and not pictures:
        names = ", ".join(shown(stem, 30) for stem in sorted(stems)[:4])
        raise VitruvianError(
            f"'{shown(folder, 100)}' holds frames of several recordings ({names}); give each its "
            "own folder"
        )
    numbers = [file.number for file in files]
    if None in numbers and len(files) > 1 and not pictures and not ours:
        raise unreadable(files[numbers.index(None)].path, "its name has no frame number")
    if len(set(numbers)) < len(files) and not pictures and not ours:
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise VitruvianError(f"'{shown(folder, 100)}' has two files for frame {twice}")
    faces, left_out = 0, set[str]()
    for first in range(0, len(files), AT_ONCE):
        some = [(file, _read(file.path)) for file in files[first : first + AT_ONCE]]
        rows = [row for file, read in some for row in _rows(file, read, table, keys)]
        points = np.array(rows, np.float32).reshape(-1, len(whole), 3)
        score = points[..., 2].clip(0, 1)
        xy = np.where((score > 0)[..., None], points[..., :2], np.float32(np.nan))
        box, body_score = box_around(xy), score[:, : len(table)].mean(axis=1)
        end = 0
        for file, read in some:
            faces += read.faces
            left_out.update(*read.parts)
            index, seconds = _when(file, read.ours, fps, pictures)
            size, source = _about(file, read.ours, str(folder) if not pictures else file.stem)
            frame = Frame(None, index, seconds, source, size=size)
            here = slice(end, end := end + len(read.points))
            person = np.array(read.person, np.int64)
            yield frame, Poses(whole, xy[here], score[here], box[here], body_score[here], person)
    if faces:
        note(f"{faces} with a face or hands but no body are ignored")
    if left_out := left_out.difference(keys):
        names = ", ".join(sorted(OTHERS[key][0].replace("_", " ") for key in left_out))
        why = f"{table.name} has them, or the first people do not"
        note(f"keypoints of {names} are ignored: {why}")


def _rows(file: _File, read: _Read, table: Skeleton, keys: tuple[str, ...]) -> Iterator[np.ndarray]:
    """(K, 3) of each person, with the keypoints of `keys`."""
    for body, own in zip(read.points, read.parts, strict=True):
        if len(body) != len(table):
            raise unreadable(
                file.path, f"a person has {len(body)} keypoints, {table.name} {len(table)}"
            )
        parts = [own.get(key, _nothing(key)) for key in keys]
        yield np.concatenate([body, *parts]) if parts else body


def _nothing(key: str) -> np.ndarray:
    """(P, 3) zeros, of a part that a person does not have."""
    return np.zeros((len(OTHERS[key][1]), 3), np.float32)


def _when(file: _File, ours: dict[str, Any], fps: float | None, picture: bool) -> tuple[int, float]:
    """Index and time (s) of a frame."""
    if picture:
        return 0, 0.0
    index = ours.get("index", file.number or 0)
    if not _is(index, int) or not 0 <= index < WHOLE:
        raise unreadable(file.path, "its vitruvian.index is invalid")
    seconds = ours.get("time", None if fps is None else index / fps)
    if seconds is None:
        raise VitruvianError(
            f"'{shown(file.path, 100)}' has no timestamp; give the frame rate with --fps"
        )
    if not _is(seconds, int, float) or not abs(seconds) < 1e12:
        raise unreadable(file.path, "its vitruvian.time is invalid")
    return index, float(seconds)


def _about(file: _File, ours: dict[str, Any], folder: str) -> tuple[tuple[int, int], str]:
    """Size and source of a frame."""
    size, source = ours.get("size", [0, 0]), ours.get("source", folder)
    if (
        not isinstance(size, list)
        or len(size) != 2
        or not all(_is(side, int) and 0 <= side < 1 << 20 for side in size)
        or not isinstance(source, str)
    ):
        raise unreadable(file.path, "its vitruvian.size or .source is invalid")
    return (size[0], size[1]), source
