"""Atomic file writes: written to a temporary file beside the target, then renamed.

The temporary file of `NAME` is `NAME.part`, locked by its writer: a second writer is refused. The
lock ends with its process, so the next writer takes over what a killed process left behind. On
file systems without locks, the process id is part of the name.
"""

from __future__ import annotations

import os
import stat
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vitruvian import stopping
from vitruvian.errors import VitruvianError, shown

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LONGEST = 255  # bytes of a file name, on nearly all file systems
# Error handler for file names that are not valid UTF-8, in UTF-8 text files.
NO_TEXT = "backslashreplace"


class WriteError(VitruvianError):
    """A file cannot be written; later writes will most likely fail too."""


class AtomicFile:
    """The temporary file of `path`. Nothing is created before `begin`."""

    def __init__(self, path: Path) -> None:
        """From now on, no other process may write `path`."""
        self.path = path
        self._place = Path(os.path.realpath(path)) if path.is_symlink() else path
        self.unfinished = name_with_end(self._place, ".part")
        self._before = _stamp(self._place)
        self._release: weakref.finalize | None = None

    def begin(self, *, keep: bool = False) -> Path:
        """Path of the temporary file, created if needed.

        Args:
            keep: whether to keep what a killed process wrote.

        Raises:
            WriteError: it cannot be created, `path` is not a regular file, or another process
                writes it or has written it.
        """
        if self._release is None:
            try:
                self._refuse()
                self._place.parent.mkdir(parents=True, exist_ok=True)
                file = self._locked()
                self._release = weakref.finalize(self, os.close, file)
                if not keep:
                    os.ftruncate(file, 0)
            except OSError as error:
                raise WriteError(f"cannot write '{shown(self.path, 100)}': {why(error)}") from None
        return self.unfinished

    def finish(self) -> None:
        """Rename it to its final name, replacing an existing file.

        Raises:
            WriteError: it is gone, or another process has written `path`.
        """
        assert self._release is not None
        alive = self._release.peek()
        assert alive is not None
        try:
            self._refuse()
            if not _is(alive[2][0], self.unfinished):
                self._take_over()
            if fcntl is None:  # Windows: no rename if open
                self._release()
            self.unfinished.replace(self._place)
        except OSError as error:
            raise WriteError(f"cannot write '{shown(self.path, 100)}': {why(error)}") from None
        finally:
            self.leave()

    def _take_over(self) -> None:
        """The temporary file was replaced, by a library or by another process.

        Raises:
            WriteError: it does not exist, or another process owns it.
        """
        try:
            file = os.open(self.unfinished, os.O_RDWR)
        except FileNotFoundError:
            raise WriteError(
                f"cannot write '{shown(self.path, 100)}': its folder or its .part file was "
                "removed while writing"
            ) from None
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._taken() from None
        finally:
            os.close(file)

    def _taken(self) -> WriteError:
        return WriteError(
            f"cannot write '{shown(self.path, 100)}': another process is writing it; wait, or "
            "give another --out"
        )

    def drop(self) -> None:
        """Delete the temporary file."""
        if self._release is not None and self._release.alive:
            with suppress(OSError):
                self.unfinished.unlink()
        self.leave()

    def leave(self) -> None:
        """Release the lock and keep the temporary file, for the next writer."""
        if self._release is not None:
            self._release()
            self._release = None

    def _refuse(self) -> None:
        """Raise `WriteError` if the file at the path must not be replaced."""
        now, name = _stamp(self._place), shown(self.path, 100)
        if now is not None and not stat.S_ISREG(now[0]):
            kind = "a folder" if stat.S_ISDIR(now[0]) else "a device or a pipe"
            raise WriteError(f"cannot write '{name}': it is {kind}; give another name")
        if now is not None and now != self._before:
            raise WriteError(
                f"cannot write '{name}': another process wrote it in the meantime; give another "
                "--out"
            )

    def _locked(self) -> int:
        """A descriptor of the temporary file, locked for as long as it is open."""
        while fcntl is not None:
            file = os.open(self.unfinished, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                raise self._taken() from None
            except OSError:  # file system without locks
                os.close(file)
                break
            if _is(file, self.unfinished):
                return file
            os.close(file)  # renamed by its writer since it was opened: no longer the same file
        self.unfinished = name_with_end(self._place, f".{os.getpid()}.part")
        return os.open(self.unfinished, os.O_RDWR | os.O_CREAT, 0o666)


def name_with_end(path: Path, end: str) -> Path:
    """The same name with a suffix; a name that is too long is truncated, but stays unique."""
    return path.with_name(shortened(path.name, end))


def shortened(name: str, end: str = "") -> str:
    """A name of a file with a suffix; one that is too long is truncated, but stays unique."""
    if len(os.fsencode(name + end)) > LONGEST:
        end = f"~{zlib.crc32(os.fsencode(name)):08x}{end}"
        name = os.fsencode(name)[: LONGEST - len(end)].decode(errors="ignore")
    return name + end


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a whole file atomically; text as UTF-8.

    Raises:
        WriteError: it cannot be written; then nothing is left behind.
    """
    part = AtomicFile(path)
    unfinished = part.begin()
    try:
        unfinished.write_bytes(data.encode(errors=NO_TEXT) if isinstance(data, str) else data)
    except OSError as error:
        raise WriteError(f"cannot write '{shown(path, 100)}': {why(error)}") from None
    else:
        part.finish()
    finally:
        part.drop()


@contextmanager
def writing(out: Path, *, hold: bool = True) -> Iterator[None]:
    """While writing: one-line disk errors, and Ctrl-C deferred, see `stopping.hold_signals`.

    Any `OSError` inside is a write error: readers raise `VitruvianError`.
    """
    try:
        with stopping.hold_signals(hold):
            yield
    except OSError as error:
        raise WriteError(
            f"cannot write to '{shown(out, 100)}': {why(error)}; the incomplete output is kept as "
            ".part"
        ) from None


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock a folder while a job changes files in it; it is created if needed.

    Raises:
        WriteError: it cannot be created, or another process locked it.
    """
    if folder.exists() and not folder.is_dir():
        raise WriteError(f"'{shown(folder, 100)}' is a file; give a folder to --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = None if fcntl is None else os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise WriteError(f"cannot write to '{shown(folder, 100)}': {why(error)}") from None
    if file is None or fcntl is None:
        yield
        return
    try:
        with suppress(OSError):  # file system without locks
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WriteError(
                    f"cannot write to '{shown(folder, 100)}': another process is writing there; "
                    "wait, or give another --out"
                ) from None
        yield
    finally:
        os.close(file)


def lock_file(path: Path, *, shared: bool = False) -> int:
    """A descriptor of a file, created if needed; locked while it is open.

    Args:
        path: the file.
        shared: others may lock it so at the same time.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it cannot be opened.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise
        except OSError:  # file system without locks
            return file
        if fcntl is None or _is(file, path):
            return file
        os.close(file)  # it was removed since it was opened


def why(error: OSError) -> str:
    """Short reason of an error; third-party libraries may leave out the system's message."""
    return error.strerror or (str(error).splitlines() or [type(error).__name__])[0]


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    """Mode, inode, size and mtime, to detect a rewritten file; None: no file."""
    try:
        now = path.stat()
    except OSError:
        return None
    return now.st_mode, now.st_ino, now.st_size, now.st_mtime_ns


def _is(file: int, path: Path) -> bool:
    """Whether a descriptor refers to the file now at a path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
