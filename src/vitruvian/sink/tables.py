"""Tables, `.csv` and `.parquet`: a row for each keypoint; and these rows as frames and poses again.

Boxes, sizes of frames, cameras and frames without anybody are not in them. A box that is read back
is around the keypoints, its score their mean.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.state import State, states
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import around
from vitruvian.sink.growing import Rows, Text, csv_lines
from vitruvian.sink.records import DECIMALS, PIXEL_DECIMALS, About, header
from vitruvian.sink.trc import named

METRES = ("x_m", "y_m", "z_m", "x_world_m", "y_world_m", "z_world_m")
ABOUT = ("origin", "error", "plausible")  # of x_m y_m z_m: from where; whether it can be believed
COLUMNS = (
    *("source", "index", "time", "person", "keypoint", "x", "y", "score"),
    *(*METRES, *ABOUT, "state"),
)
WORDS = {state: state.name.lower() for state in State}
Row = dict[str, Any]  # column -> what it says; None or "" where it says nothing
NEEDED = ("source", "index", "time", "person", "keypoint", "x", "y", "score")


def rows(frame: Frame, poses: Poses) -> Iterator[tuple[Any, ...]]:
    """One row of `COLUMNS` for each keypoint of each person; None for what is not known."""
    n, k = poses.score.shape
    nowhere = np.full((n, k, 3), np.nan)
    parts = [np.round(poses.xy.astype(float), PIXEL_DECIMALS)]
    parts.append(np.round(poses.score[..., None].astype(float), DECIMALS))
    for xyz in (poses.xyz, poses.world):
        parts.append(nowhere if xyz is None else np.round(xyz.astype(float), DECIMALS))
    numbers = np.concatenate(parts, axis=-1).tolist()
    error = np.full(n, np.nan) if poses.error is None else poses.error.astype(float)
    plausible = [None] * n if poses.plausible is None else poses.plausible.tolist()
    start = (frame.source, frame.index, round(frame.seconds, 6))
    known = [[WORDS[state] for state in row] for row in states(poses, frame.size).tolist()]
    people = zip(poses.person.tolist(), numbers, error.tolist(), plausible, known, strict=True)
    for person, points, off, can_be, state in people:
        about = (poses.origin, None if off != off else round(off, PIXEL_DECIMALS), can_be)
        for keypoint, point, how in zip(poses.skeleton.keypoints, points, state, strict=True):
            places = (None if v != v else v for v in point)
            yield (*start, person, keypoint, *places, *about, how)


def csv_table(path: Path, model: About | None) -> Text:
    """A `.csv` file: a row for each keypoint of each person. Frames with nobody have no rows."""
    return Text(path, ",".join(COLUMNS) + "\n", lambda frame, poses: csv_lines(rows(frame, poses)))


class Parquet(Rows):
    """A `.parquet` file of the same rows as `csv_table`."""

    def __init__(self, path: Path, model: About | None) -> None:
        kinds = {"source": "string", "keypoint": "string", "index": "int64", "person": "int64"}
        kinds |= {"time": "float64", "origin": "string", "plausible": "bool", "state": "string"}
        super().__init__(path, {c: kinds.get(c, "float32") for c in COLUMNS}, header(model))

    def write(self, frame: Frame, poses: Poses) -> None:
        """Add the rows of a frame."""
        self.add(rows(frame, poses))


def read_csv(path: str | Path) -> Iterator[tuple[Frame, Poses]]:
    """The frames of a `.csv` table that have somebody in them.

    The skeleton is one of ours if the keypoints are its own; otherwise one without bones.

    Raises:
        VitruvianError: it is missing, or no such table.
    """

    def rows() -> Iterator[Row]:
        with Path(path).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            _has(path, reader.fieldnames or ())
            yield from reader

    return _read(Path(path), rows)


def read_parquet(path: str | Path) -> Iterator[tuple[Frame, Poses]]:
    """The same of a `.parquet` table, which needs the `table` extra.

    Raises:
        VitruvianError: it is missing, no such table, or pyarrow is missing.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise VitruvianError(
            f"'{path}' needs pyarrow; install it with: pip install 'vitruvian[table]'"
        ) from None

    def rows() -> Iterator[Row]:
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                _has(path, file.schema_arrow.names)
                for batch in file.iter_batches():
                    yield from batch.to_pylist()
        except pyarrow.ArrowException as error:
            raise VitruvianError(f"cannot read '{path}': it is no Parquet file ({error})") from None

    return _read(Path(path), rows)


def _has(path: str | Path, columns: Iterable[str]) -> None:
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise VitruvianError(f"cannot read '{path}': it has no column '{missing[0]}'")


def _read(path: Path, rows: Callable[[], Iterator[Row]]) -> Iterator[tuple[Frame, Poses]]:
    try:
        skeleton: Skeleton | None = None
        for frame, group in groupby(rows(), key=_frame):
            people = list(_people(group))
            if skeleton is None:
                skeleton = named(path.stem, [row["keypoint"] for row in people[0]])
            yield _without_pixels(frame), _poses(skeleton, people)
    except OSError as error:
        raise VitruvianError(f"cannot read '{path}': {error.strerror}") from None
    except (ValueError, TypeError, KeyError, UnicodeDecodeError) as error:
        raise VitruvianError(f"cannot read '{path}': it is no table of poses ({error})") from None


def _frame(row: Row) -> tuple[str, int, float]:
    return row["source"], int(row["index"]), float(row["time"])


def _without_pixels(key: tuple[str, int, float]) -> Frame:
    return Frame(None, key[1], key[2], key[0])


def _people(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows of each person of a frame; without numbers, one begins where a keypoint returns."""
    one: list[Row] = []
    for row in rows:
        if one and (row["person"] != one[0]["person"] or row["keypoint"] == one[0]["keypoint"]):
            yield one
            one = []
        one.append(row)
    yield one


def _poses(skeleton: Skeleton, people: list[list[Row]]) -> Poses:
    listed = []
    for rows in people:
        by_name = {row["keypoint"]: row for row in rows}
        if len(rows) != len(skeleton) or set(by_name) != set(skeleton.keypoints):
            raise ValueError(f"a person has {len(rows)} keypoints, want those of {skeleton.name}")
        listed.append([by_name[name] for name in skeleton.keypoints])

    def column(*names: str) -> np.ndarray:
        """(N, K, columns), NaN where nothing is said."""
        values = [[[_number(row.get(name)) for name in names] for row in one] for one in listed]
        return np.array(values, np.float32)

    xy, score = column("x", "y"), column("score")[..., 0]
    xyz, world = column(*METRES[:3]), column(*METRES[3:])
    origin = listed[0][0].get("origin") or None
    error = column("error")[:, 0, 0]
    plausible = [one[0].get("plausible") for one in listed]
    known = all(value not in (None, "") for value in plausible)
    return Poses(
        skeleton,
        xy,
        score,
        around(xy),
        score.mean(axis=1),
        np.array([int(one[0]["person"]) for one in listed], np.int64),
        xyz=None if origin is None else xyz,
        origin=origin,
        world=None if np.isnan(world).all() else world,
        error=None if np.isnan(error).all() else error,
        plausible=np.array([str(value) == "True" for value in plausible]) if known else None,
    )


def _number(value: Any) -> float:
    return np.nan if value in (None, "") else float(value)
