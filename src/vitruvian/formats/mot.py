"""Read and write MOT text: bounding boxes with track ids, for MOTChallenge tracking metrics.

A line: frame, id, left, top, width, height, confidence, -1, -1, -1. Frames, ids and pixels count
from 1: the image corner, here (0, 0), is (1, 1). People without a track id are not written.

Also read: ground truth with nine columns, the last three a flag, a class and a visibility;
files without confidence; a header line; spaces or tabs as separators; frames from 0; and
detections, all with id -1.

Source: Milan et al. 2016, "MOT16: A Benchmark for Multi-Object Tracking", 4.1 and tables 5 and 6.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BOXES
from vitruvian.documents import read_lines, unreadable
from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.formats.growing import Text
from vitruvian.formats.markers import Note
from vitruvian.formats.wire import LARGEST, Provenance
from vitruvian.frame import Frame

COLUMNS = 7  # frame, id, left, top, width, height, confidence
ANNOTATED = 9  # columns of ground truth: the seventh is a flag, the eighth a class
PEOPLE = (1, 2, 7)  # classes: pedestrian, person on vehicle, static person
MOST = 1 << 31  # frames and ids
ONE_VIDEO = "MOT text holds one video; give a folder and --save mot"


def mot_lines(frame: Frame, poses: Poses) -> str:
    """Lines of one frame."""
    rows = []
    for person, box, score in zip(poses.person, poses.box, poses.box_score, strict=True):
        if person >= 0 and np.isfinite(box).all():
            left, top, right, bottom = box.astype(float)
            size = f"{left + 1:.2f},{top + 1:.2f},{right - left:.2f},{bottom - top:.2f}"
            rows.append(f"{frame.index + 1},{person},{size},{score:.4f},-1,-1,-1\n")
    return "".join(rows)


def mot(path: Path, model: Provenance | None = None) -> Text:
    """A sink for MOT text (`.txt`); a second video is an error."""
    sources = set[str]()

    def of_one(frame: Frame, poses: Poses) -> str:
        sources.add(frame.source)
        if len(sources) > 1:
            raise VitruvianError(
                f"'{path}' cannot hold '{shown(frame.source)}' as well: {ONE_VIDEO}"
            )
        return mot_lines(frame, poses)

    return Text(path, "", of_one)


def read_mot(
    path: str | Path, note: Note = lambda _: None
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """For each frame with people: its index from 0, track ids, boxes, scores.

    (N,) int64, -1 if unknown; (N, 4) x0 y0 x1 y1 pixels; (N,) as in the file, 1 if it has none.
    Of ground truth only the evaluated people: flag not 0, class in `PEOPLE`; `note` gets the
    number of skipped rows, and whether frames count from 0.

    Raises:
        VitruvianError: it is missing or not MOT text.
    """
    path = Path(path)
    values, left = array("d"), 0
    with closing(read_lines(path)) as all_lines:
        for number, line in enumerate(all_lines, 1):
            try:
                row = _row(line, number)
                values.extend(row or ())
                left += row is None
            except (ValueError, OverflowError) as error:
                raise unreadable(path, f"it is not MOT text ({error})") from None
    rows = np.array(values).reshape(-1, COLUMNS)
    if not len(rows) and left:
        raise unreadable(
            path,
            "all rows are ignored: flag 0, or class not a person (1, 2, 7)",
        )
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    first = 0 if len(rows) and rows[0, 0] == 0 else 1  # some count frames from 0
    if left:
        note(f"ignored {amount(left, 'row')} (flag 0, or class not a person: 1, 2, 7)")
    if first == 0:
        note("its frames start at 0")
    starts = np.flatnonzero(np.diff(rows[:, 0], prepend=-1))
    for part in np.split(rows, starts[1:]) if len(rows) else ():
        numbers, corner = part[:, 1].astype(np.int64), part[:, 2:4] - 1
        known = np.sort(numbers[numbers >= 0])
        if (np.diff(known) == 0).any():
            twice = known[:-1][np.diff(known) == 0][0]
            raise unreadable(path, f"id {twice} is twice in frame {part[0, 0]:.0f}")
        box = np.concatenate([corner, corner + part[:, 4:6]], axis=1).astype(np.float32)
        yield int(part[0, 0]) - first, numbers, box, part[:, 6].astype(np.float32)


def _row(line: str, number: int) -> list[float] | None:
    """The seven numbers of a line; [] for an empty or header line, None for an ignored row."""
    line = line.strip().rstrip(",;")
    parting = next((mark for mark in ";," if mark in line), None)
    words = line.split(parting)
    names = number == 1 and len(words) > 1 and all(word.strip()[:1].isalpha() for word in words)
    if not line or line.startswith("#") or names:
        return []
    try:  # decimal commas are allowed unless the separator is a comma
        row = [float(word if parting == "," else word.replace(",", ".")) for word in words]
    except ValueError:
        raise ValueError(f"line {number} is not a list of numbers") from None
    if len(row) < COLUMNS - 1:
        raise ValueError(f"line {number} has {len(row)} numbers, want 7 or more")
    if not all(abs(value) <= LARGEST for value in row):
        raise ValueError(f"line {number} has a number that is not finite, or too large")
    if len(row) == ANNOTATED and row[7] != -1 and (row[6] == 0 or row[7] not in PEOPLE):
        return None
    row = [*row, 1.0][:COLUMNS] if len(row) < COLUMNS else row[:COLUMNS]
    if row[6] == -1:  # unknown
        row[6] = 1.0
    at, who, wide, tall = row[0], row[1], row[4], row[5]
    if not (at.is_integer() and who.is_integer() and 0 <= at < MOST and -1 <= who < MOST):
        raise ValueError(f"line {number} has frame {at:g} and id {who:g}, want whole numbers")
    if wide < 0 or tall < 0:
        raise ValueError(f"line {number} has a bounding box of {wide:g} x {tall:g} pixels")
    return row


def mot_poses(
    path: str | Path, fps: float | None = None, note: Note = lambda _: None
) -> Iterator[tuple[Frame, Poses]]:
    """Frames with boxes without keypoints (skeleton `BOXES`). `fps`: frames per second.

    Raises:
        VitruvianError: as `read_mot`, or `fps` is missing, which MOT does not store.
    """
    for index, person, box, score in read_mot(path, note):
        if fps is None:
            raise VitruvianError(f"'{path}' has no timestamps; give its frame rate with --fps")
        nothing = np.zeros((len(person), 0), np.float32)
        xy = np.zeros((len(person), 0, 2), np.float32)
        yield (
            Frame(None, index, index / fps, str(path)),
            Poses(BOXES, xy, nothing, box, score, person),
        )
