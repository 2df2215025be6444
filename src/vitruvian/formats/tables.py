"""Read and write tables, `.csv` and `.parquet`: one row per keypoint.

Bounding boxes, frame sizes, cameras and frames without people are not stored. On reading, a box
encloses the keypoints, and its score is their mean.

Spreadsheets and data frames edit tables: rows may be reordered or missing, integers become 1.0,
booleans TRUE. Unambiguous values are accepted; the rest is an error that names row and column.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.state import State, states
from vitruvian.documents import WHOLE, read_lines, read_text, unreadable
from vitruvian.errors import VitruvianError, pip_install, shown
from vitruvian.formats.growing import Rows, Text, as_text, csv_lines
from vitruvian.formats.trc import named
from vitruvian.formats.wire import DECIMALS, LARGEST, LATEST, PIXEL_DECIMALS, Provenance, header
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import box_around

METRES = ("x_m", "y_m", "z_m", "x_world_m", "y_world_m", "z_world_m")
SEVERAL = ("reprojection_px", "uncertainty_m", "views")  # of keypoints from several cameras
ABOUT = (
    "origin",
    "error",
    "plausible",
)  # of x_m y_m z_m: origin, reprojection error (px), whether plausible
COLUMNS = (
    *("source", "index", "time", "person", "keypoint", "x", "y", "score"),
    *(*METRES, *SEVERAL, *ABOUT, "state"),
)
WORDS = {state: state.name.lower() for state in State}
NEEDED = ("source", "index", "time", "person", "keypoint", "x", "y", "score")
Row = Sequence[Any]  # values of `COLUMNS`, None or "" if missing; and the row number in the file
SOURCE, INDEX, TIME, PERSON, KEYPOINT = range(5)
NUMBERS = slice(5, 8 + len(METRES) + len(SEVERAL))  # x, y, score, metres, several cameras
SCORE, (ORIGIN, ERROR, PLAUSIBLE) = 7, (COLUMNS.index(name) for name in ABOUT)
MISSING = {"", "nan", "-nan", "na", "n/a", "#n/a", "<na>", "null", "none"}  # pandas and Excel
# Excel writes booleans in the user's language.
TRUE = {"true", "1", "1.0", "wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar"}
FALSE = {"false", "0", "0.0", "falsch", "faux", "falso", "onwaar"}
MOST = 2_000_000  # rows to sort, all in memory: about 2 GB


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of any Parquet file, column -> value.

    Raises:
        VitruvianError: it is missing or no Parquet file, or no pyarrow.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise VitruvianError(
            f"'{path}' needs pyarrow; install it with: {pip_install('table')}"
        ) from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for part in file.iter_batches():
                yield from part.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise VitruvianError(f"cannot read '{path}': {shown(error, 100)}") from None


def utf8(name: str) -> str:
    r"""A name as valid UTF-8: other bytes of file names become the text `\udce9`."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _rounded(poses: Poses) -> np.ndarray:
    """(N, K, 12) `COLUMNS[NUMBERS]`, rounded; NaN if unknown."""
    nowhere = np.full((*poses.score.shape, 3), np.nan)
    parts = [np.round(poses.xy.astype(float), PIXEL_DECIMALS)]
    parts.append(np.round(poses.score[..., None].astype(float), DECIMALS))
    for xyz in (poses.xyz, poses.world):
        parts.append(nowhere if xyz is None else np.round(xyz.astype(float), DECIMALS))
    for name, digits in (("reprojection", PIXEL_DECIMALS), ("uncertainty", DECIMALS), ("views", 0)):
        values = getattr(poses, name)
        each = nowhere[..., :1] if values is None else np.round(values[..., None] * 1.0, digits)
        parts.append(each)
    return np.concatenate(parts, axis=-1)


def rows(frame: Frame, poses: Poses) -> Iterator[tuple[Any, ...]]:
    """One row of `COLUMNS` per person and keypoint; None for unknown values."""
    n, numbers = len(poses), _rounded(poses).tolist()
    error = np.full(n, np.nan) if poses.error is None else poses.error.astype(float)
    plausible = [None] * n if poses.plausible is None else poses.plausible.tolist()
    start = (utf8(frame.source), frame.index, round(frame.seconds, 6))
    names = [utf8(name) for name in poses.skeleton.keypoints]
    known = [[WORDS[state] for state in row] for row in states(poses, frame.size).tolist()]
    people = zip(poses.person.tolist(), numbers, error.tolist(), plausible, known, strict=True)
    for person, points, off, can_be, state in people:
        about = (poses.origin, None if off != off else round(off, PIXEL_DECIMALS), can_be)
        for keypoint, point, how in zip(names, points, state, strict=True):
            places = [None if v != v else v for v in point]
            places[-1] = None if places[-1] is None else int(places[-1])  # views
            yield (*start, person, keypoint, *places, *about, how)


def csv_table(path: Path, model: Provenance | None) -> Text:
    """A sink for `.csv`: one row per person and keypoint; none for frames without people."""
    return Text(path, ",".join(COLUMNS) + "\n", lambda frame, poses: csv_lines(rows(frame, poses)))


class Parquet(Rows):
    """A sink for `.parquet`; rows as in `csv_table`."""

    def __init__(self, path: Path, model: Provenance | None) -> None:
        kinds = {"source": "string", "keypoint": "string", "index": "int64", "person": "int64"}
        kinds |= {
            "views": "int64",
            "time": "float64",
            "origin": "string",
            "plausible": "bool",
            "state": "string",
        }
        super().__init__(path, {c: kinds.get(c, "float32") for c in COLUMNS}, header(model))

    def write(self, frame: Frame, poses: Poses) -> None:
        """Add the rows of a frame."""
        n = len(poses)
        error = [None] * n if poses.error is None else poses.error.astype(float).tolist()
        plausible = [None] * n if poses.plausible is None else poses.plausible.tolist()
        parts = _rounded(poses), error, plausible, states(poses, frame.size)
        start = utf8(frame.source), frame.index, round(frame.seconds, 6), poses.origin
        self.keep([(start, poses.skeleton.keypoints, poses.person, *parts)], poses.score.size)

    def columns(self) -> list[Any]:
        """See `Rows`; by columns this takes a fifth of the time that rows do."""
        if not self.kept:
            return super().columns()
        array, kinds = self.arrow.array, {each.name: each.type for each in self.schema}
        starts, names, person, numbers, error, plausible, state = zip(*self.kept, strict=True)
        # Of each row: its frame, and its person.
        people = [len(each) for each in person]
        joints = np.repeat([len(each) for each in names], people)
        at_person = np.repeat(np.arange(len(joints)), joints)
        at_frame = np.repeat(np.arange(len(people)), people)[at_person]
        columns: dict[str, Any] = {}
        of_frame = zip(
            ("source", "index", "time", "origin"), zip(*starts, strict=True), strict=True
        )
        for name, values in of_frame:
            columns[name] = array(values, kinds[name]).take(at_frame)
        columns["person"] = array(np.concatenate(person), kinds["person"]).take(at_person)
        every = chain.from_iterable(each * n for each, n in zip(names, people, strict=True))
        columns["keypoint"] = array(map(as_text, every), kinds["keypoint"])
        each_row = np.concatenate([part.reshape(-1, part.shape[-1]) for part in numbers])
        for name, values in zip(COLUMNS[NUMBERS], each_row.T.astype(np.float32), strict=True):
            missing = np.isnan(values)
            if name == "views":
                values = np.nan_to_num(values).astype(np.int64)
            columns[name] = array(values, mask=missing)
        off = [None if e is None or e != e else round(e, PIXEL_DECIMALS) for e in chain(*error)]
        columns["error"] = array(off, kinds["error"]).take(at_person)
        columns["plausible"] = array([*chain(*plausible)], kinds["plausible"]).take(at_person)
        known = array([*map(WORDS.get, State)], kinds["state"])
        columns["state"] = known.take(np.concatenate([part.ravel() for part in state]))
        return [columns[name] for name in kinds]


def read_csv(path: str | Path) -> Iterator[tuple[Frame, Poses]]:
    """Read a `.csv` table: the frames with people.

    The separator is a comma, semicolon or tab; unless it is a comma, 0,5 is a number too. Rows may
    be in any order. A keypoint without a row is missing. The skeleton is a built-in one
    if the keypoints match, otherwise one without bones.

    Raises:
        VitruvianError: it is missing or not such a table.
    """
    path = Path(path)
    text = None if path.is_file() else read_text(path)  # a pipe can be read once

    def rows() -> Iterator[Row]:
        if text is not None:
            yield from _csv_rows(path, io.StringIO(text, newline=""))
            return
        with closing(read_lines(path)) as lines:
            # Excel's "CSV (Macintosh)" ends lines with CR only.
            parts = (io.StringIO(x, newline="") if "\r" in x[:-2] else (x,) for x in lines)
            yield from _csv_rows(path, chain.from_iterable(parts))

    return _read(path, rows)


def _csv_rows(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    first, parting = next(lines, ""), ""
    if first.startswith("sep="):  # Excel's hint
        first, parting = next(lines, ""), first[4:5]
    parting = parting if parting.strip() else max(",;\t", key=first.count)
    reader = csv.reader(chain([first], lines), delimiter=parting)
    try:
        columns = [name.strip() for name in next(reader, [])]
        at = _columns(path, columns)
        comma = parting != ","
        for number, fields in enumerate(reader, 2):
            if not any(fields):
                continue  # Excel leaves empty rows
            if any(fields[len(columns) :]):
                raise ValueError(f"row {number} has {len(fields)} fields, want {len(columns)}")
            padding = [""] * (len(columns) - len(fields))
            fields = [*fields[: len(columns)], *padding, ""]  # the last: no column
            row = [fields[i] for i in at]
            if comma:
                row[TIME:KEYPOINT] = [value.replace(",", ".") for value in row[TIME:KEYPOINT]]
                row[NUMBERS] = [value.replace(",", ".") for value in row[NUMBERS]]
                row[ERROR] = row[ERROR].replace(",", ".")
            yield [*row, number]
    except csv.Error as error:
        raise unreadable(path, f"line {reader.line_num}: {error}") from None


def read_parquet(path: str | Path) -> Iterator[tuple[Frame, Poses]]:
    """Read a `.parquet` table, as `read_csv`; needs the `table` extra.

    Raises:
        VitruvianError: it is missing or not such a table, or no pyarrow.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise VitruvianError(
            f"'{path}' needs pyarrow; install it with: {pip_install('table')}"
        ) from None
    path = Path(path)

    def rows() -> Iterator[Row]:
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                names = file.schema_arrow.names
                _columns(path, names)
                known, number = [name for name in COLUMNS if name in names], 1
                for batch in file.iter_batches(columns=known):
                    columns = {name: batch.column(name).to_pylist() for name in known}
                    nothing = [None] * batch.num_rows
                    for row in zip(*(columns.get(c, nothing) for c in COLUMNS), strict=True):
                        yield (*row, number)
                        number += 1
        except (pyarrow.ArrowException, OSError) as error:
            why = getattr(error, "strerror", None) or f"it is not a Parquet file ({error})"
            raise unreadable(path, why) from None

    return _read(path, rows)


def _columns(path: Path, columns: Sequence[str]) -> list[int]:
    """Index of each of `COLUMNS`, -1 if missing."""
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise unreadable(path, f"it has no column '{missing[0]}'")
    twice = [name for name in COLUMNS if list(columns).count(name) > 1]
    if twice:
        raise unreadable(path, f"it has two columns '{twice[0]}'")
    return [columns.index(name) if name in columns else -1 for name in COLUMNS]


def _read(path: Path, rows: Callable[[], Iterator[Row]]) -> Iterator[tuple[Frame, Poses]]:
    try:
        keypoints, parted = _look(rows())
        skeleton = named(path.stem, keypoints)
        last: Frame | None = None
        for key, group in _sorted(rows()) if parted else _in_order(rows()):
            source, index, seconds = key
            if last and (last.source, last.seconds) == (source, seconds) and seconds:
                raise ValueError(
                    f"frames {last.index} and {index} are both at {seconds:g} s; "
                    "write times with more digits"
                )
            last = Frame(None, index, seconds, source)
            yield last, _poses(skeleton, _people(group, skeleton))
    except OSError as error:
        raise unreadable(path, error.strerror or error) from None
    except (ValueError, TypeError) as error:
        raise unreadable(path, f"it is not a table of poses ({error})") from None


def _look(rows: Iterator[Row]) -> tuple[list[str], bool]:
    """All keypoint names, and whether rows or frames need sorting."""
    names: dict[Any, None] = {}
    seen, parted, last = set[Any](), False, ("", 0, 0.0)
    for key, group in groupby(rows, key=lambda row: tuple(row[:PERSON])):
        parted = parted or key in seen
        seen.add(key)
        for at, row in enumerate(group):
            if not at:
                before, last = last, _frame(row)
                parted = parted or (before[0] == last[0] and last[1] < before[1])
            if row[KEYPOINT] not in names:
                if not isinstance(row[KEYPOINT], str) or not row[KEYPOINT]:
                    raise _wrong(row, KEYPOINT, "a name")
                names[row[KEYPOINT]] = None
    return list(names), parted


def _in_order(rows: Iterator[Row]) -> Iterator[tuple[tuple[str, int, float], list[Row]]]:
    """Each frame and its rows, which are adjacent."""
    for _, group in groupby(rows, key=lambda row: tuple(row[:PERSON])):
        listed = list(group)
        yield _frame(listed[0]), listed


def _sorted(rows: Iterator[Row]) -> Iterator[tuple[tuple[str, int, float], list[Row]]]:
    """The same for unsorted rows: sources in file order, each sorted by frame."""
    frames: dict[tuple[str, int, float], list[Row]] = {}
    sources: dict[str, int] = {}
    for number, row in enumerate(rows):
        if number == MOST:
            raise ValueError(
                f"rows of a frame are not contiguous, and there are more than {MOST}; sort them "
                "by source, index and person"
            )
        key = _frame(row)
        sources.setdefault(key[0], len(sources))
        frames.setdefault(key, []).append(row)
    for key in sorted(frames, key=lambda key: (sources[key[0]], *key[1:])):
        yield key, frames[key]


def _frame(row: Row) -> tuple[str, int, float]:
    source = "" if row[SOURCE] is None else row[SOURCE]
    if not isinstance(source, str):
        raise _wrong(row, SOURCE, "text")
    seconds = _number(row, TIME)
    if not abs(seconds) <= LATEST:
        raise _wrong(row, TIME, "seconds")
    return source, _whole(row, INDEX), seconds


def _people(rows: list[Row], skeleton: Skeleton) -> list[dict[str, Row]]:
    """The rows of each person of a frame, by keypoint.

    People without track ids follow one another, each in keypoint order.
    """
    people: dict[int, list[dict[str, Row]]] = {}
    order = {name: k for k, name in enumerate(skeleton.keypoints)}
    for row in rows:
        number = _whole(row, PERSON, missing=-1)
        own, name = people.setdefault(number, [{}]), row[KEYPOINT]
        if number < 0 and own[-1] and order[name] <= order[next(reversed(own[-1]))]:
            own.append({})
        if name in own[-1]:
            raise ValueError(
                f"row {row[-1]} repeats {name} of person {number} in frame {shown(row[INDEX])}"
            )
        own[-1][name] = row
    for own in people.values():
        most = max(sum(name in one for one in own) for name in order)
        if len(own) > most:
            raise ValueError(
                "people without ids, and rows not in keypoint order: cannot tell people apart in "
                f"frame {shown(rows[0][INDEX])} (row {rows[0][-1]})"
            )
    return [one for own in people.values() for one in own]


def _poses(skeleton: Skeleton, people: list[dict[str, Row]]) -> Poses:
    missing = [np.nan, np.nan, 0.0] + [np.nan] * len((*METRES, *SEVERAL))
    listed = [
        [_numbers(one[name]) if name in one else missing for name in skeleton.keypoints]
        for one in people
    ]
    values, firsts = np.array(listed, np.float64), [next(iter(one.values())) for one in people]
    error = np.array([_number(row, ERROR) for row in firsts])
    if (np.abs(values) > LARGEST).any() or (np.abs(error) > LARGEST).any():
        raise ValueError(f"row {firsts[0][-1]} or below: a number that is not finite, or too large")
    numbers = values.astype(np.float32)
    xy, xyz, world = numbers[..., :2], numbers[..., 3:6], numbers[..., 6:9]
    reprojection, uncertainty, views = (
        None if np.isnan(each).all() else np.ascontiguousarray(each)
        for each in np.moveaxis(numbers[..., 9:12], -1, 0)
    )
    origins = {row[ORIGIN] or None for row in firsts}
    origin = origins.pop()
    if origins or origin not in (None, "camera", "hips"):
        raise _wrong(
            firsts[0], ORIGIN, "camera, hips or nothing, the same for all people of a frame"
        )
    plausible = [_truth(row) for row in firsts]
    return Poses(
        skeleton,
        np.ascontiguousarray(xy),
        np.ascontiguousarray(numbers[..., 2]),
        box_around(xy),
        np.array([_mean(one) for one in people], np.float32),
        np.array([_whole(row, PERSON, missing=-1) for row in firsts], np.int64),
        xyz=None if origin is None else np.ascontiguousarray(xyz),
        origin=origin,
        world=None if np.isnan(world).all() else np.ascontiguousarray(world),
        error=None if np.isnan(error).all() else error.astype(np.float32),
        plausible=None if None in plausible else np.array(plausible, bool),
        reprojection=reprojection,
        uncertainty=uncertainty,
        views=None if views is None else np.nan_to_num(views).astype(np.int64),
    )


def _mean(one: dict[str, Row]) -> float:
    """Mean score of the keypoints with a row."""
    return float(np.mean([_number(row, SCORE) for row in one.values()]))


def _numbers(row: Row) -> list[float]:
    try:
        return [np.nan if v is None or v == "" else _float(v) for v in row[NUMBERS]]
    except (ValueError, TypeError):
        return [_number(row, at) for at in range(*NUMBERS.indices(len(COLUMNS)))]


def _float(value: Any) -> float:
    """A number or its text as float; rejects other types and Python syntax such as 1_000."""
    if type(value) is float:
        return value
    if type(value) is int or (isinstance(value, str) and "_" not in value):
        return float(value)
    raise TypeError("no number")


def _number(row: Row, at: int) -> float:
    """A number of a row, NaN if missing."""
    value = row[at]
    if value is None or (isinstance(value, str) and value.strip().casefold() in MISSING):
        return np.nan
    try:
        return _float(value)
    except (ValueError, TypeError, OverflowError):
        raise _wrong(row, at, "a number") from None


def _whole(row: Row, at: int, missing: int | None = None) -> int:
    value = row[at]
    if type(value) is int or (isinstance(value, str) and value.isdecimal() and len(value) < 19):
        return int(value)
    number = _number(row, at)
    if number != number and missing is not None:
        return missing
    if not (abs(number) < WHOLE and number.is_integer()):
        raise _wrong(row, at, "a whole number")
    return int(number)


def _truth(row: Row) -> bool | None:
    value = row[PLAUSIBLE]
    word = "" if value is None else str(value).strip().casefold()
    if word not in MISSING | TRUE | FALSE:
        raise _wrong(row, PLAUSIBLE, "true or false")
    return None if word in MISSING else word in TRUE


def _wrong(row: Row, at: int, want: str) -> ValueError:
    return ValueError(f"row {row[-1]}, {COLUMNS[at]}: '{shown(row[at])}', want {want}")
