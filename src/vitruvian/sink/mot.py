"""MOT text: boxes with numbers, as MOTChallenge evaluates tracking; and back.

A line: frame, id, left, top, width, height, confidence, -1, -1, -1. Frames, ids and positions count
from 1 there: the corner of the picture, here (0, 0), is (1, 1). Who has no number is not written.

Source: Milan et al. 2016, "MOT16: A Benchmark for Multi-Object Tracking", 4.1 and table 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BOXES
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.sink.growing import Text
from vitruvian.sink.records import About


def lines(frame: Frame, poses: Poses) -> str:
    """The lines of a frame."""
    rows = []
    for person, box, score in zip(poses.person, poses.box, poses.box_score, strict=True):
        if person >= 0 and np.isfinite(box).all():
            left, top, right, bottom = box.astype(float)
            size = f"{left + 1:.2f},{top + 1:.2f},{right - left:.2f},{bottom - top:.2f}"
            rows.append(f"{frame.index + 1},{person},{size},{score:.4f},-1,-1,-1\n")
    return "".join(rows)


def mot(path: Path, model: About | None = None) -> Text:
    """A `.txt` file of MOT, as a sink."""
    return Text(path, "", lines)


def read_mot(path: str | Path) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Of each frame in which there is somebody: its index from 0, numbers, boxes, scores.

    (N,) int64; (N, 4) x0 y0 x1 y1 pixels; (N,) 0..1.

    Raises:
        VitruvianError: it is missing, or no such text.
    """
    path = Path(path)
    rows = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            values = [float(value) for value in line.split(",")]
            if len(values) < 7:
                raise ValueError(f"line {number} has {len(values)} numbers, want 7 or more")
            rows.append(values[:7])
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror}") from None
    except ValueError as error:
        raise VitruvianError(f"cannot read '{path}': it is no MOT text ({error})") from None
    rows.sort(key=lambda row: row[0])
    for at, group in groupby(rows, key=lambda row: row[0]):
        values = np.array(list(group))
        corner = values[:, 2:4] - 1
        box = np.concatenate([corner, corner + values[:, 4:6]], axis=1).astype(np.float32)
        yield int(at) - 1, values[:, 1].astype(np.int64), box, values[:, 6].astype(np.float32)


def mot_poses(path: str | Path, fps: float | None = None) -> Iterator[tuple[Frame, Poses]]:
    """Frames with boxes that have no keypoints, of the skeleton `BOXES`. `fps`: frames a second.

    Raises:
        VitruvianError: as `read_mot`, or `fps` is not given, which the text does not have.
    """
    for index, person, box, score in read_mot(path):
        if fps is None:
            raise VitruvianError(f"'{path}' has no times; pass --fps, its frames a second")
        nothing = np.zeros((len(person), 0), np.float32)
        xy = np.zeros((len(person), 0, 2), np.float32)
        yield (
            Frame(None, index, index / fps, str(path)),
            Poses(BOXES, xy, nothing, box, score, person),
        )
