"""A folder at a URL that fsspec reads and writes, such as one of a bucket.

Object stores have no renaming and no locks. So results are complete where their marker is: it is
removed before anything else changes and written last. A driver claims the folder by writing a
token to a file in it, and a file that changes says that the driver is running.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from vitruvian.errors import VitruvianError, pip_install, shown
from vitruvian.formats.atomic_file import WriteError, why, write_whole
from vitruvian.verbs.folder import LEDGERS

T = TypeVar("T")
# In the folder of complete results; what Hadoop and Spark call it. No output has a name like that.
MARKER = "_SUCCESS"
# Seconds before each further attempt to read or write; s3fs makes several of its own in each.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
BEAT = 15.0  # seconds between two signs that a driver is running
WATCH = 60.0  # seconds without one, after which it is not
LOOK = 1.0  # seconds between two looks meanwhile
COPY = 60.0  # seconds between two copies of the manifest, at least
SHARE = 50  # a copy may take this part of the time
FINAL = (PermissionError, FileNotFoundError, NotImplementedError)  # no attempt will help


def file_system(url: str, what: str = "read") -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Args:
        url: the URL.
        what: "read" or "write", for the message.

    Raises:
        VitruvianError: fsspec, or the package for this kind of URL, is missing.
    """
    try:
        import fsspec
    except ImportError:
        raise VitruvianError(
            f"'{shown(url, 100)}' needs fsspec; install it with: {pip_install('batch')}"
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise VitruvianError(f"cannot {what} '{shown(url, 100)}': {error}") from None
    system.invalidate_cache()  # what other processes have written since is seen
    return system, str(path)


class Store:
    """Files below a URL, by names relative to it, with `/` between folders.

    Whatever fails is tried again, unless that cannot help. Reading raises `VitruvianError`, writing
    and removing `WriteError`.
    """

    def __init__(self, url: str, *, patient: bool = True) -> None:
        """Nothing is read or written yet.

        Args:
            url: the URL of the folder.
            patient: whether there are further attempts.

        Raises:
            VitruvianError: see `file_system`.
        """
        self.url, self.patient = url.rstrip("/"), patient
        self.system, root = file_system(self.url, "write")
        self.root = root.rstrip("/")

    def path(self, name: str) -> str:
        """The path of a file in the file system."""
        return f"{self.root}/{name}"

    def read(self, name: str) -> bytes | None:
        """The content of a file; None: there is none."""
        return self._read(name, lambda path: self.system.cat_file(path), None)

    def get(self, name: str, file: Path) -> bool:
        """Download a file; whether it is there."""
        return self._read(name, lambda path: self.system.get_file(path, str(file)) or True, False)

    def get_folder(self, name: str, folder: Path) -> None:
        """Download the files of a folder, which has no others in it; the folder is made."""
        folder.mkdir(parents=True)
        for file in self.names(name):
            self.get(f"{name}/{file}", folder / file)

    def names(self, folder: str = "", depth: int | None = None) -> list[str]:
        """The names of all files below a folder, relative to it."""

        def find(path: str) -> list[str]:
            path = path.rstrip("/")
            self.system.invalidate_cache()
            found = [name[len(path) + 1 :] for name in self.system.find(path, maxdepth=depth)]
            self.system.invalidate_cache()  # which would hold all of it
            return found

        return self._read(folder, find, [])

    def modified(self, name: str) -> float:
        """When a file was written, seconds; 0 if the file system does not know."""
        try:
            return self.system.modified(self.path(name)).timestamp()
        except Exception:
            return 0.0

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        self._write(name, lambda path: self.system.pipe_file(path, content))

    def put(self, file: Path, name: str) -> None:
        """Upload a file."""
        self._write(name, lambda path: self.system.put_file(str(file), path))

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

        def remove(path: str) -> None:
            with suppress(FileNotFoundError):
                # Not `rm`, which takes brackets in names for patterns, and removes other files.
                self.system.rm_file(path)

        self._write(name, remove)

    def remove_folder(self, folder: str) -> None:
        """Remove all files below a folder, its marker first."""
        names = self.names(folder)
        for name in sorted(names, key=lambda name: name != MARKER):
            self.remove(f"{folder}/{name}")
        inside = {parent for name in names for parent in PurePosixPath(name).parents}
        for each in sorted({PurePosixPath(), *inside}, key=lambda path: -len(path.parts)):
            with suppress(Exception):  # only some file systems have folders
                self.system.rmdir(self.path(str(PurePosixPath(folder, each))))

    def _read(self, name: str, read: Callable[[str], T], none: T) -> T:
        try:
            return self._tried(lambda: read(self.path(name)))
        except FileNotFoundError:
            return none
        except Exception as error:  # each file system has its own kinds
            raise VitruvianError(self._line("read", name, error)) from None

    def _write(self, name: str, write: Callable[[str], Any]) -> None:
        """Write a file; where a file system has folders, they are made."""
        path = self.path(name)

        def with_folders() -> None:
            try:
                write(path)
            except FileNotFoundError:
                self._make(path.rpartition("/")[0])
                write(path)

        try:
            self._tried(with_folders)
        except Exception as error:
            raise WriteError(self._line("write", name, error)) from None

    def _tried(self, call: Callable[[], T]) -> T:
        """What it returns, after some attempts."""
        for pause in PAUSES if self.patient else ():
            try:
                return call()
            except FINAL:
                raise
            except Exception as error:
                if "Credential" in type(error).__name__:
                    raise
            time.sleep(pause)
        return call()

    def _make(self, folder: str) -> None:
        """Make a folder and those above it, but no bucket: `makedirs` would make one."""
        above = folder.rpartition("/")[0]
        if not above:
            return
        with suppress(FileExistsError):
            try:
                self.system.mkdir(folder, create_parents=False)
            except FileNotFoundError:
                self._make(above)
                self.system.mkdir(folder, create_parents=False)

    def _line(self, what: str, name: str, error: Exception) -> str:
        """One line about an error of a file system."""
        reason = why(error) if isinstance(error, OSError) else " ".join(str(error).split())
        where = shown(f"{self.url}/{name}" if name else self.url, 100)
        reason = shown(reason or type(error).__name__, 100)
        return f"cannot {what} '{where}': {reason}; check the URL and the credentials"


@dataclass(frozen=True)
class Upload:
    """Where a worker puts what it has made, in which store, and for which driver."""

    url: str
    folder: str  # in the store
    claim: str  # name of the file with the token of the driver
    token: str
    marked: bool = True  # whether a marker says that the folder is complete

    def open(self) -> Store:
        """The store, which this machine sees as the driver does.

        Raises:
            WriteError: it does not, or the driver may not write there any more.
        """
        try:
            store = Store(self.url)
            self.check(store)
        except VitruvianError as error:
            raise WriteError(f"{error} (on {socket.gethostname()})") from None
        return store

    def check(self, store: Store) -> None:
        """Raise an error if another driver has taken over, or this machine sees another store.

        Raises:
            WriteError: either of both.
        """
        text = store.read(self.claim)
        if text is None:
            raise WriteError(
                f"a worker does not see '{shown(f'{self.url}/{self.claim}', 150)}'; give an --out "
                "that is the same for all processes and machines"
            )
        if _claimed(text)["token"] != self.token:
            raise _taken(self.url, text)

    def send(self, store: Store, made: Path, about: Mapping[str, Any]) -> None:
        """Upload the files of a folder; others of this name are replaced.

        Args:
            store: the place.
            made: the folder.
            about: written to the marker, with the names and sizes of the files.

        Raises:
            WriteError: they cannot be uploaded, or `check`.
        """
        self.check(store)
        files = {
            path.relative_to(made).as_posix(): path
            for path in sorted(made.rglob("*"))
            if path.is_file()
        }
        before = store.names(self.folder)
        if MARKER in before:
            store.remove(f"{self.folder}/{MARKER}")
        for name, path in files.items():
            store.put(path, f"{self.folder}/{name}")
        for name in {*before} - {MARKER, *files}:
            store.remove(f"{self.folder}/{name}")
        if self.marked:
            self.check(store)
            sizes = {name: path.stat().st_size for name, path in files.items()}
            text = json.dumps({**about, "files": sizes}, indent=1)
            store.write(f"{self.folder}/{MARKER}", f"{text}\n".encode())


class Claim:
    """The right of one driver to write to a store, or of one shard of it."""

    def __init__(self, store: Store, name: str, state: Path) -> None:
        """Nothing is written yet.

        Args:
            store: the place.
            name: of the manifest, without its ending.
            state: folder of the manifest, on this machine.
        """
        self.store, self.name = store, name
        self.file, self._beat = (f"{LEDGERS}/{name}.{end}" for end in ("claim", "beat"))
        self.token = uuid.uuid4().hex
        self._text = json.dumps(
            {"token": self.token, "by": f"{socket.gethostname()}:{os.getpid()}"}
        )
        self._own = state / f"{name}.claims"  # tokens of drivers with this folder
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._held = False
        self._lost: WriteError | None = None

    def take(self, others: Callable[[str], bool], say: Callable[[str], None]) -> bool:
        """Claim the store; no process with this folder of states has it.

        Args:
            others: whether a manifest of some name may not be worked on meanwhile.
            say: called with a line if that takes long.

        Returns:
            Whether the driver before had this folder of states, so that they are up to date.

        Raises:
            WriteError: another driver has it, or it cannot be written.
        """
        known = {
            token
            for file in self._own.parent.glob("*.claims")
            for token in file.read_text("utf-8").split()
        }
        self._wait_for_others(others, known, say)
        text = self.store.read(self.file)
        before = _claimed(text)["token"]
        # First here: if this is killed in between, the token there is still known.
        write_whole(self._own, f"{before}\n{self.token}\n")
        self.store.write(self.file, self._text.encode())
        self.store.write(self._beat, b"0")
        self._held = True
        self.look()
        return before in known

    def _wait_for_others(
        self, others: Callable[[str], bool], known: set[str], say: Callable[[str], None]
    ) -> None:
        """Wait until drivers on other machines, which this one may not disturb, have ended.

        Raises:
            WriteError: one is running.
        """
        beats = dict[str, bytes]()
        for file in self.store.names(LEDGERS, 1):
            name, _, end = file.rpartition(".")
            if end == "claim" and (name == self.name or others(name)):
                text = self.store.read(f"{LEDGERS}/{file}")
                beat = self.store.read(f"{LEDGERS}/{name}.beat")
                claimed = _claimed(text)
                if beat is not None and claimed["token"] not in known:
                    beats[name] = beat
                    say(
                        f"'{shown(self.store.url, 100)}' may be in use by another batch "
                        f"({claimed['by']}); waiting up to {WATCH:.0f} s to see whether "
                        "it is still running"
                    )
        until = time.monotonic() + WATCH
        while beats and time.monotonic() < until:
            time.sleep(LOOK)
            for name, beat in [*beats.items()]:
                now = self.store.read(f"{LEDGERS}/{name}.beat")
                if now is None:
                    del beats[name]
                elif now != beat:
                    raise _taken(self.store.url, self.store.read(f"{LEDGERS}/{name}.claim"))

    def keep(self, copy: Callable[[], None]) -> None:
        """From now on, say regularly that this driver is running.

        Args:
            copy: also called regularly: copies the manifest to the store.
        """
        self._thread = threading.Thread(target=self._keep, args=(copy,), daemon=True)
        self._thread.start()

    def _keep(self, copy: Callable[[], None]) -> None:
        number, pause, copied = 0, COPY, time.monotonic()
        while not self._ended.wait(BEAT):
            try:
                self.look()
                number += 1
                self.store.write(self._beat, str(number).encode())
                if (began := time.monotonic()) > copied + pause:
                    copy()
                    copied = time.monotonic()
                    pause = max(COPY, SHARE * (copied - began))
            except VitruvianError:  # the next may succeed
                if self._lost is not None:
                    return

    def look(self) -> None:
        """Look into the store whether another driver has taken over.

        Raises:
            WriteError: it has.
        """
        text = self.store.read(self.file)
        if (text or b"").decode() != self._text:
            self._lost = _taken(self.store.url, text)
        self.check()

    def check(self) -> None:
        """Raise the error of `look`, which is called regularly."""
        if self._lost is not None:
            raise self._lost

    def leave(self) -> None:
        """Say that this driver has ended."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(BEAT)
        if self._held:
            with suppress(VitruvianError):  # it belongs to another now, or changes no more
                self.look()
                self.store.remove(self._beat)


def _claimed(text: bytes | None) -> dict[str, str]:
    """What is in the file of a claim; empty while it is being written, where that takes time."""
    with suppress(ValueError):
        return json.loads(text or b"")
    return {"token": "", "by": ""}


def _taken(url: str, text: bytes | None) -> WriteError:
    """The error of a store that has another claim, or none any more."""
    if text is None:
        return WriteError(
            f"'{shown(f'{url}/{LEDGERS}', 150)}' was removed while a batch was writing there"
        )
    return WriteError(
        f"'{shown(url, 100)}' is being written by another batch ({_claimed(text)['by'] or '?'}); "
        "wait for it, give each its own --shard of the same number, or another --out"
    )
