"""Where a batch puts its results: a folder, or a store behind a URL.

In a folder, workers write beside the results, and the driver renames what is done. To a store,
workers upload what they have made in a temporary folder of their machine.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from vitruvian.errors import VitruvianError, shown
from vitruvian.formats.atomic_file import WriteError, why, write_whole
from vitruvian.verbs.batch.manifest import Manifest, ManifestError, share_sources
from vitruvian.verbs.batch.pieces import BatchTask, put_folder
from vitruvian.verbs.batch.store import MARKER, Claim, Store, Upload
from vitruvian.verbs.batch.summary import read_events, summarize, summary_files, write_summary
from vitruvian.verbs.batch.temporary import sweep
from vitruvian.verbs.folder import LEDGERS

FEW = 16  # names in a folder that are looked for one by one
AT_ONCE = 16  # files that are read from a store at the same time


class Results(Protocol):
    """The place of the results of a batch, or of one shard of it."""

    state: Path  # folder of the manifest, and of the plans of videos in pieces

    @property
    def out(self) -> Path | str:
        """The folder, or its URL."""
        ...

    def prepare(self) -> None:
        """Called when no other process of this machine can open the manifest."""
        ...

    def begin(self, manifest: Manifest) -> None:
        """Called when the manifest is open."""
        ...

    def has(self, name: str) -> bool:
        """Whether there are results of this name."""
        ...

    def target(self, task: BatchTask) -> tuple[str, dict[str, Any]]:
        """Where a worker puts what it makes in this attempt, and the fields of `Job` for that."""
        ...

    def put(self, made: str, task: BatchTask) -> None:
        """What a worker has made becomes the results of a source."""
        ...

    def keep(self, made: str, record: Path) -> None:
        """What a worker has made becomes the record of a piece."""
        ...

    def drop(self, made: str) -> None:
        """What a worker has made is not used."""
        ...

    def remove(self, name: str) -> None:
        """Remove results."""
        ...

    def remove_pieces(self, row: str) -> None:
        """Remove what there is of the pieces of a video, besides its folder in `state`."""
        ...

    def check(self) -> None:
        """Raise an error if another driver has taken over."""
        ...

    def end(self, *, summary: bool) -> None:
        """All is done; maybe write the summary of all shards."""
        ...

    def close(self) -> None:
        """Called at the end, also after an error, before the manifest is closed."""
        ...


class FolderResults:
    """Results in a folder of this machine, or of a file system that all machines share."""

    def __init__(self, out: Path, name: str) -> None:
        """The folder is made.

        Args:
            out: the folder.
            name: of the manifest, without its ending.

        Raises:
            WriteError: it cannot be made.
        """
        self.out = out.absolute()  # workers may have another current folder
        self.state = self.out / LEDGERS
        _make(self.state)
        self._works = self.state / f"{name}-work"
        self._work: Path | None = None  # of this run, while no other can write there
        # For `has`: the folder that it was last asked about, how often, and what is in it.
        self._parent, self._asked = "", 0
        self._names: frozenset[str] | None = None

    def prepare(self) -> None:
        """See `Results`."""

    def begin(self, manifest: Manifest) -> None:
        """See `Results`."""
        # Of this manifest alone, so what is there is left of a process that was killed. A new one
        # each time: workers of that process may write for another moment.
        shutil.rmtree(self._works, ignore_errors=True)
        self._works.mkdir(exist_ok=True)
        self._work = Path(tempfile.mkdtemp(dir=self._works))

    def has(self, name: str) -> bool:
        """See `Results`. A folder is listed once it was asked for `FEW` names in a row."""
        parent, _, leaf = name.rpartition("/")
        if parent != self._parent:
            self._parent, self._asked, self._names = parent, 0, None
        if self._names is not None:
            return leaf in self._names
        self._asked += 1
        if self._asked > FEW:
            with suppress(OSError):
                self._names = frozenset(each.name for each in os.scandir(f"{self.out}/{parent}"))
        return os.access(f"{self.out}/{name}", os.F_OK)  # a quarter of the time of `Path.is_dir`

    def target(self, task: BatchTask) -> tuple[str, dict[str, Any]]:
        """See `Results`."""
        assert self._work is not None
        folder = self._work / task.folder
        return str(folder), {"folder": folder}

    def put(self, made: str, task: BatchTask) -> None:
        """See `Results`."""
        put_folder(Path(made), self.out / task.row.name, Path(f"{made}-old"))

    def keep(self, made: str, record: Path) -> None:
        """See `Results`."""
        put_folder(Path(made), record, Path(f"{made}-old"))

    def drop(self, made: str) -> None:
        """See `Results`."""
        shutil.rmtree(made, ignore_errors=True)

    def remove(self, name: str) -> None:
        """See `Results`."""
        shutil.rmtree(self.out / name, ignore_errors=True)

    def remove_pieces(self, row: str) -> None:
        """See `Results`."""

    def check(self) -> None:
        """See `Results`."""

    def end(self, *, summary: bool) -> None:
        """See `Results`."""
        if summary:
            write_summary(self.out)

    def close(self) -> None:
        """See `Results`."""
        if self._work is not None:
            shutil.rmtree(self._works, ignore_errors=True)


class StoreResults:
    """Results behind a URL; the manifest is on this machine, and copied there regularly."""

    def __init__(self, url: str, name: str, state: Path | None, say: Callable[[str], None]) -> None:
        """Nothing is written there yet.

        Args:
            url: the place.
            name: of the manifest, without its ending.
            state: folder of the manifest on this machine; None: one in the user's folder.
            say: called with lines about the run.

        Raises:
            VitruvianError: the package for this kind of URL is missing.
            WriteError: the folder of the manifest cannot be made.
        """
        self._store = Store(url, patient=False)  # what is wrong with it is said at once
        self.out, self._name, self._say = self._store.url, name, say
        self.state = state_folder(self._store, state)
        _make(self.state)
        self._claim = Claim(self._store, name, self.state)
        self._pieces = f"{LEDGERS}/{name}-pieces"
        self._manifest: Manifest | None = None
        self._copying, self._ended = threading.Lock(), False
        self._complete: set[str] | None = None  # names of results

    def prepare(self) -> None:
        """Take the manifest of the driver before, if that was another machine's.

        Raises:
            WriteError: another driver has the store, or it cannot be written.
        """
        before = self._claim.take(lambda name: share_sources(name, self._name), self._say)
        self._store.patient = True
        if before:
            return
        self._store.remove_folder(self._pieces)
        shutil.rmtree(self.state / f"{self._name}-pieces", ignore_errors=True)
        path = self.state / f"{self._name}.sqlite"
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        part = path.with_name(f"{path.name}.part")
        if self._store.get(f"{LEDGERS}/{path.name}", part):
            part.replace(path)
        part.unlink(missing_ok=True)

    def begin(self, manifest: Manifest) -> None:
        """See `Results`."""
        self._manifest = manifest
        self._say(f"manifest: {manifest.path}")
        self._claim.keep(self._copy)

    def _copy(self) -> None:
        """Copy the manifest to the store.

        Raises:
            WriteError: that fails.
        """
        assert self._manifest is not None
        self._claim.look()
        part = self._manifest.path.with_suffix(".copy")
        with self._copying:
            try:
                part.unlink(missing_ok=True)
                self._manifest.copy(part)
            except (OSError, ManifestError) as error:
                raise WriteError(f"cannot write '{shown(part, 100)}': {error}") from None
            self._store.put(part, f"{LEDGERS}/{self._manifest.path.name}")
            part.unlink()

    def has(self, name: str) -> bool:
        """See `Results`: whether its marker is there; all are listed at once."""
        if self._complete is None:
            end = f"/{MARKER}"
            names = self._store.names()
            self._complete = {name.removesuffix(end) for name in names if name.endswith(end)}
        return name in self._complete

    def target(self, task: BatchTask) -> tuple[str, dict[str, Any]]:
        """See `Results`."""
        folder, piece = task.row.name, task.video is not None and task.piece is not None
        if piece:  # its own each time, since nothing tells whether one is complete
            folder = f"{self._pieces}/{task.row.id}/{self._claim.token[:8]}-{task.folder}"
        claim = self._claim
        upload = Upload(self._store.url, folder, claim.file, claim.token, marked=not piece)
        return folder, {"folder": Path(task.folder), "upload": upload}

    def put(self, made: str, task: BatchTask) -> None:
        """See `Results`: the worker has done it."""

    def keep(self, made: str, record: Path) -> None:
        """See `Results`: a file names its folder in the store."""
        write_whole(record, made)

    def drop(self, made: str) -> None:
        """See `Results`: a piece is removed with the others of its video."""

    def remove(self, name: str) -> None:
        """See `Results`."""
        self._store.remove_folder(name)

    def remove_pieces(self, row: str) -> None:
        """See `Results`."""
        self._store.remove_folder(f"{self._pieces}/{row}")
        if not self._store.names(self._pieces):  # `rmdir` of some file systems removes files, too
            self._store.remove_folder(self._pieces)

    def check(self) -> None:
        """See `Results`."""
        self._claim.check()

    def end(self, *, summary: bool) -> None:
        """See `Results`."""
        self._copy()
        self._ended = True
        if not summary:
            return
        with tempfile.TemporaryDirectory() as folder:
            for name in self._store.names(LEDGERS, 1):
                if name.startswith("batch") and name.endswith(".sqlite"):
                    file, seconds = Path(folder) / name, self._store.modified(f"{LEDGERS}/{name}")
                    self._store.get(f"{LEDGERS}/{name}", file)
                    os.utime(file, (seconds, seconds))  # the last one counts
            found = summarize(Path(folder), self._events)
        for name, text in summary_files(str(self.out), found).items():
            self._store.write(name, text.encode())

    def _events(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            files = pool.map(self._store.read, (f"{name}/events.jsonl" for name in names))
            for text in files:
                yield from read_events((text or b"").decode())

    def close(self) -> None:
        """See `Results`."""
        if self._manifest is not None and not self._ended:
            with suppress(VitruvianError):  # another error is why it ends
                self._copy()
        self._claim.leave()
        sweep()  # what killed workers of this machine have left


def _make(folder: Path) -> None:
    """Make a folder.

    Raises:
        WriteError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        where = shown(error.filename or folder, 100)
        raise WriteError(f"cannot write to '{where}': {why(error)}") from None


def state_folder(store: Store, folder: Path | None) -> Path:
    """Where on this machine the manifest of a store is.

    Args:
        store: the place of the results.
        folder: for those of all stores; None: the one for states of programs, of the user.
    """
    import platformdirs

    if folder is None:
        folder = Path(platformdirs.user_state_dir("vitruvian", appauthor=False)) / "batch"
    name = re.sub(r"[^\w.]+", "-", store.root).strip("-")[-60:]
    return folder.absolute() / f"{name}-{hashlib.sha256(store.url.encode()).hexdigest()[:8]}"
