"""The manifest of a batch: every source and what became of it, in an SQLite file.

A row is changed before a source is worked on and after its results are in place, so that a process
that is killed at any moment leaves sources marked `running`, which the next start does again. The
file is locked while it is open.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from vitruvian.errors import VitruvianError, shown
from vitruvian.formats.atomic_file import WriteError, lock_file, why
from vitruvian.sources.open import is_picture
from vitruvian.verbs.batch.sources import Item

OTHER_NAMES = (
    "give the folder above them with --recursive, a quoted pattern, or a table with a column name"
)
PAGE = 500  # rows of a query: below SQLite's limit of variables of old versions, 999
TODO, RUNNING, DONE, FAILED = "todo", "running", "done", "failed"
# Done before, but size or time of a file have changed since: it is done again if its content has.
CHECK = "check"
TABLE = """
CREATE TABLE IF NOT EXISTS sources (
    id INTEGER PRIMARY KEY,
    name TEXT UNIQUE NOT NULL,
    paths TEXT NOT NULL,
    options TEXT NOT NULL,
    stamp TEXT NOT NULL,
    settings TEXT NOT NULL,
    version TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    sha256 TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    notes TEXT NOT NULL DEFAULT '',
    frames INTEGER NOT NULL DEFAULT 0,
    people INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0,
    worker TEXT NOT NULL DEFAULT '',
    finished REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS states ON sources (state, id);
"""
_encode = json.JSONEncoder(sort_keys=True).encode  # `json.dumps` makes one at each call
ManifestError = sqlite3.Error  # the disk is full, or somebody else has changed the file
FORMAT = zlib.crc32(TABLE.encode()) >> 1  # the file's user_version


@dataclass(frozen=True)
class Row:
    """A source to be worked on."""

    id: int
    name: str  # of its folder, relative to the output
    paths: tuple[str, ...]
    options: dict[str, Any]
    attempts: int  # so far
    sha256: str  # of the content that its folder was made of, if only that is to be checked; or ""


class Manifest:
    """Sources and their states."""

    def __init__(
        self,
        path: Path,
        settings: str,
        version: str,
        *,
        out: str = "",
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """Open or create a manifest.

        Args:
            path: the file; the folder exists.
            settings: what the results depend on besides the sources.
            version: of vitruvian.
            out: the place of the results, for messages; that two folders up by default.
            prepare: called when no other process can open the file, before it is opened.

        Raises:
            WriteError: another process has opened it, or it cannot be written.
            VitruvianError: it is no manifest.
        """
        self.path, self.settings, self.version = path, settings, version
        self._last = 0  # largest row id of the sources that were added
        self._here = bytearray()  # bit per row id: whether it is among the sources of this run
        try:
            self._lock = lock_file(path.with_suffix(".lock"))
            try:
                for other in path.parent.glob("batch*.lock"):
                    if share_sources(other.stem, path.stem):
                        os.close(lock_file(other, shared=True))
            except BaseException:
                os.close(self._lock)
                raise
        except BlockingIOError:
            raise WriteError(
                f"'{shown(out or path.parent.parent, 100)}' is being written by another batch; "
                "wait for it, give each its own --shard of the same number, or another --out"
            ) from None
        except OSError as error:
            raise WriteError(f"cannot write '{shown(path, 100)}': {why(error)}") from None
        try:
            prepare()
        except BaseException:
            os.close(self._lock)
            raise
        try:
            self._base = sqlite3.connect(path, isolation_level=None)
            # No wait for the disk at each change: that takes 0.1 s where others write, too. What a
            # process has written outlasts it all the same.
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            ((made_for,),) = self._base.execute("PRAGMA user_version")
            if made_for not in (0, FORMAT):
                raise sqlite3.DatabaseError("another version of vitruvian has made it")
            self._base.executescript(f"{TABLE} PRAGMA user_version = {FORMAT};")
        except sqlite3.Error as error:
            os.close(self._lock)
            raise VitruvianError(
                f"cannot use '{shown(path, 100)}': {error}; give another --out"
            ) from None

    def close(self) -> None:
        """Close and unlock the file."""
        self._base.close()
        os.close(self._lock)

    def copy(self, path: Path) -> None:
        """Copy it, from any thread, while it is being changed."""
        with closing(sqlite3.connect(self.path)) as base, closing(sqlite3.connect(path)) as copy:
            base.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file

    # The sources of a run

    def add(
        self, items: Iterable[Item], there: Callable[[str], bool], *, again: bool = False
    ) -> Counter[str]:
        """Register sources; what is done, and unchanged, and whose folder is there, stays done.

        Args:
            items: the sources.
            there: whether there is a folder of results, by its name.
            again: do everything again.

        Returns:
            How many are `new`, `changed`, `lost` (their folder), `settings` (made with others),
            `failed` or `unfinished` before, `again` and `done`.

        Raises:
            VitruvianError: the folders of two would be the same, or one inside of the other.
        """
        counts, items = Counter[str](), iter(items)
        while page := list(islice(items, PAGE)):
            with _transaction(self._base):
                self._add(page, there, again, counts)
        if counts["new"]:
            self._refuse_nested()
        return counts

    def _refuse_nested(self) -> None:
        for outer, inner in self._base.execute(
            # '0' is the character after '/'.
            "SELECT a.id, b.id FROM sources a JOIN sources b "
            "ON b.name > a.name || '/' AND b.name < a.name || '0'"
        ):
            if self.here(outer) and self.here(inner):
                (two,) = self._base.execute(
                    "SELECT a.name, a.paths, b.name, b.paths FROM sources a JOIN sources b "
                    "ON a.id = ? AND b.id = ?",
                    (outer, inner),
                )
                raise VitruvianError(
                    f"the results of '{shown(json.loads(two[3])[0], 80)}' would be inside of those "
                    f"of '{shown(json.loads(two[1])[0], 80)}'; {OTHER_NAMES}"
                )

    def _add(
        self,
        page: Sequence[Item],
        there: Callable[[str], bool],
        again: bool,
        counts: Counter[str],
    ) -> None:
        known = self._known([item.name for item in page])
        for item in page:
            own = item.options
            now = (_texts(item.paths), _encode(own) if own else "{}", item.stamp, True)
            row = known.get(item.name)
            if row is None:
                cursor = self._base.execute(
                    "INSERT INTO sources (name, paths, options, stamp, settings, version, state) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (item.name, *now[:3], self.settings, self.version, TODO),
                )
                counts["new"] += 1
                known[item.name] = (item.name, cursor.lastrowid, *now, TODO)
                self._mark(cursor.lastrowid or 0)
                continue
            if self._mark(row[1]):
                raise VitruvianError(
                    f"two sources would both be written to '{shown(item.name, 100)}': "
                    f"'{shown(json.loads(row[2])[0], 80)}' and '{shown(item.paths[0], 80)}'; "
                    f"{OTHER_NAMES}"
                )
            state, what = self._state(row, now, there, again)
            counts[what] += 1
            if state != row[6] or row[2:6] != now:
                self._base.execute(
                    "UPDATE sources SET paths = ?, options = ?, stamp = ?, settings = ?, "
                    "version = ?, state = ?, attempts = 0 WHERE id = ?",
                    (*now[:3], self.settings, self.version, state, row[1]),
                )
        self._last = max(self._last, *(known[item.name][1] for item in page))

    def _known(self, names: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """The rows of some names, maybe also of others, by name."""
        query = (
            "SELECT name, id, paths, options, stamp, settings = ? AND version = ?, state "
            "FROM sources WHERE "
        )
        now = (self.settings, self.version)
        # Most often sources come in the order in which they were registered: reading rows in their
        # order takes a quarter of the time of looking for names.
        rows = self._base.execute(
            f"{query} id > ? ORDER BY id LIMIT ?", (*now, self._last, len(names))
        )
        known = {row[0]: row for row in rows}
        if others := [name for name in names if name not in known]:
            marks = ",".join("?" * len(others))
            rows = self._base.execute(f"{query} name IN ({marks})", (*now, *others))
            known |= {row[0]: row for row in rows}
        return known

    def _state(
        self,
        row: Sequence[Any],
        now: tuple[str, str, str, bool],
        there: Callable[[str], bool],
        again: bool,
    ) -> tuple[str, str]:
        """The state of a known source now, and why, see `add`."""
        name, _, paths, options, stamp, settings, before = row
        if before == FAILED:
            return TODO, "failed"
        if before not in (DONE, CHECK):
            return TODO, "unfinished"
        if again:
            return TODO, "again"
        if options != now[1] or not settings:
            return TODO, "settings"
        if not there(name):
            return TODO, "lost"
        if before == CHECK or paths != now[0] or stamp != now[2]:
            return CHECK, "changed"
        return DONE, "done"

    def _mark(self, row: int) -> bool:
        """Mark a row as being among the sources of this run; whether it was already."""
        byte, bit = divmod(row, 8)
        if byte >= len(self._here):
            self._here.extend(bytes(max(byte + 1 - len(self._here), len(self._here))))
        before = self._here[byte]
        self._here[byte] = after = before | 1 << bit
        return before == after

    def here(self, row: int) -> bool:
        """Whether a row is among the sources of this run."""
        byte, bit = divmod(row, 8)
        return byte < len(self._here) and bool(self._here[byte] >> bit & 1)

    # Work

    def todo(self) -> Iterator[Row]:
        """Sources to do, in order."""
        after = 0
        while page := self._base.execute(
            "SELECT id, name, paths, options, attempts, sha256, state FROM sources "
            "WHERE state IN (?, ?) AND id > ? ORDER BY id LIMIT ?",
            (TODO, CHECK, after, PAGE),
        ).fetchall():
            after = page[-1][0]
            for row, name, paths, options, attempts, sha256, state in page:
                if self.here(row):
                    files, own = tuple(json.loads(paths)), json.loads(options)
                    known = sha256 if state == CHECK else ""
                    yield Row(row, name, files, own, attempts, known)

    def key(self, row: int) -> str:
        """What the results of a source depend on, as text; empty if they are there, or it is not.

        Pieces of a video are of use as long as this is the same.
        """
        found = self._base.execute(
            "SELECT paths, options, stamp, settings, version FROM sources "
            "WHERE id = ? AND state != ?",
            (row, DONE),
        ).fetchone()
        return "" if found is None else json.dumps(found)

    def left(self) -> int:
        """How many sources of this run are to do."""
        rows = self._base.execute(
            "SELECT id FROM sources WHERE state IN (?, ?, ?)", (TODO, CHECK, RUNNING)
        )
        return sum(self.here(row) for (row,) in rows)

    def start(self, row: Row, worker: str) -> None:
        """Mark a source as being worked on."""
        self._base.execute(
            "UPDATE sources SET state = ?, attempts = attempts + 1, worker = ? WHERE id = ?",
            (RUNNING, worker, row.id),
        )

    def finish(self, row: Row, **what: Any) -> None:
        """Mark a source as done, failed or to be retried; `what`: columns."""
        names = ", ".join(f"{name} = ?" for name in what)
        self._base.execute(f"UPDATE sources SET {names} WHERE id = ?", (*what.values(), row.id))

    def replaced(self) -> Iterator[tuple[int, str]]:
        """Groups of images that are in other groups now: ids and names, to be forgotten.

        That is what is left when images were added to a folder, or removed.
        """
        groups: dict[int, tuple[str, set[str]]] = {}
        owners: dict[str, int] = {}  # image -> group
        for row, name, paths in self._base.execute("SELECT id, name, paths FROM sources"):
            if not self.here(row) and is_picture((images := json.loads(paths))[0]):
                groups[row] = name, set(images)
                owners |= dict.fromkeys(images, row)
        if not groups:
            return
        moved = set[int]()
        for (paths,) in self.rows("paths", "WHERE state = 'done'"):
            for image in json.loads(paths):
                if (row := owners.get(image)) is not None:
                    groups[row][1].discard(image)
                    moved.add(row)
        for row in moved:
            name, elsewhere = groups[row]
            if not any("://" in image or Path(image).exists() for image in elsewhere):
                yield row, name

    def forget(self, row: int) -> None:
        """Delete a source."""
        self._base.execute("DELETE FROM sources WHERE id = ?", (row,))

    # Results

    def rows(self, columns: str, rest: str = "") -> Iterator[tuple[Any, ...]]:
        """Columns of the sources of this run; `rest`: SQL, such as an order."""
        for row in self._base.execute(f"SELECT id, {columns} FROM sources {rest}"):
            if self.here(row[0]):
                yield row[1:]


def read_manifests(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of all manifests of a folder, by column; a source that several have comes once.

    Raises:
        VitruvianError: one cannot be read.
    """
    paths = sorted(folder.glob("batch*.sqlite"), key=lambda path: -path.stat().st_mtime)
    known, several = set[str](), len({_parts(path.stem) for path in paths}) > 1
    for path in paths:
        base = None
        try:
            base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            base.row_factory = sqlite3.Row
            for row in base.execute("SELECT * FROM sources ORDER BY id"):
                if row["name"] not in known:
                    yield dict(row)
                if several:  # shards of another number: the last that was written counts
                    known.add(row["name"])
        except sqlite3.Error as error:
            raise VitruvianError(f"cannot read '{shown(path, 100)}': {error}") from None
        finally:
            if base is not None:
                base.close()


def share_sources(one: str, other: str) -> bool:
    """Whether manifests of these names are of different numbers of shards: they share sources."""
    return _parts(one) != _parts(other)


def _parts(name: str) -> str:
    """Of how many shards a manifest is one."""
    return name.rpartition("-of-")[2] if "-of-" in name else "1"


def _texts(paths: Sequence[str]) -> str:
    """Paths as JSON; one alone takes a third of the time as a text."""
    return f"[{_encode(paths[0])}]" if len(paths) == 1 else _encode(paths)


class _transaction:
    """Everything inside is written together, or not at all."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self.base = base

    def __enter__(self) -> None:
        self.base.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.base.execute("COMMIT")
            return
        with suppress(sqlite3.Error):  # of an error that has ended it
            self.base.execute("ROLLBACK")
