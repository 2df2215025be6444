"""Files that appear whole or not at all: written beside their place, moved there when done.

The unfinished file of `NAME` is `NAME.part`, and whoever writes it holds a lock on it: a second
writer is refused. The lock goes with its process, so that what a killed one has left behind is
taken over by the next. Where a file system knows no locks, its name has the number of the process.
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

LONGEST = 255  # bytes of a file's name, of nearly all file systems
# How file names whose bytes are no UTF-8 stand in files of text, which are UTF-8.
NO_TEXT = "backslashreplace"


class WriteError(VitruvianError):
    """A file cannot be written: nor can, most likely, what comes after it."""


class AtomicFile:
    """The unfinished file of `path`. Nothing is made until it is asked for."""

    def __init__(self, path: Path) -> None:
        """From here on, nobody else may put a file there."""
        self.path = path
        self._place = Path(os.path.realpath(path)) if path.is_symlink() else path
        self.unfinished = self._beside(".part")
        self._before = _stamp(self._place)
        self._release: weakref.finalize | None = None

    def _beside(self, end: str) -> Path:
        """The same name with another end; one that would be too long is cut, and stays its own."""
        name = self._place.name
        if len(os.fsencode(name + end)) > LONGEST:
            end = f"~{zlib.crc32(os.fsencode(name)):08x}{end}"
            name = os.fsencode(name)[: LONGEST - len(end)].decode(errors="ignore")
        return self._place.with_name(name + end)

    def begin(self, *, keep: bool = False) -> Path:
        """Where to write; its folder is made if need be.

        Args:
            keep: whether what a killed process has left there is wanted.

        Raises:
            WriteError: it cannot be made, it is no ordinary file, or somebody else writes it, or
                has done so since.
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
        """Move it into place, over what was there.

        Raises:
            WriteError: it is not there any more, or somebody else has put a file in its place.
        """
        assert self._release is not None
        alive = self._release.peek()
        assert alive is not None
        try:
            self._refuse()
            if not _is(alive[2][0], self.unfinished):
                self._take_over()
            if fcntl is None:  # Windows moves no open files
                self._release()
            self.unfinished.replace(self._place)
        except OSError as error:
            raise WriteError(f"cannot write '{shown(self.path, 100)}': {why(error)}") from None
        finally:
            self.leave()

    def _take_over(self) -> None:
        """The unfinished file is another one now: a library has put it there, or another process.

        Raises:
            WriteError: there is none, or it is another process's.
        """
        try:
            file = os.open(self.unfinished, os.O_RDWR)
        except FileNotFoundError:
            raise WriteError(
                f"cannot write '{shown(self.path, 100)}': its folder, or its unfinished file, was "
                "removed meanwhile"
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
            f"cannot write '{shown(self.path, 100)}': another process is writing it; wait for it, "
            "or give another --out"
        )

    def drop(self) -> None:
        """Take it away: there is nothing in it that is worth keeping."""
        if self._release is not None and self._release.alive:
            with suppress(OSError):
                self.unfinished.unlink()
        self.leave()

    def leave(self) -> None:
        """Leave it there as it is, for who looks, and for the next one who writes it."""
        if self._release is not None:
            self._release()
            self._release = None

    def _refuse(self) -> None:
        """Raise `WriteError` if what is at the path is not to be replaced."""
        now, name = _stamp(self._place), shown(self.path, 100)
        if now is not None and not stat.S_ISREG(now[0]):
            kind = "a folder" if stat.S_ISDIR(now[0]) else "a device or a pipe"
            raise WriteError(f"cannot write '{name}': it is {kind}; give another name")
        if now is not None and now != self._before:
            raise WriteError(
                f"cannot write '{name}': another process has written it meanwhile; give another "
                "--out"
            )

    def _locked(self) -> int:
        """A descriptor of the unfinished file, which is locked for as long as it is open."""
        while fcntl is not None:
            file = os.open(self.unfinished, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                raise self._taken() from None
            except OSError:  # this file system has none
                os.close(file)
                break
            if _is(file, self.unfinished):
                return file
            os.close(file)  # it has been finished since it was opened: that one was another file
        self.unfinished = self._beside(f".{os.getpid()}.part")
        return os.open(self.unfinished, os.O_RDWR | os.O_CREAT, 0o666)


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a file whose content is known, UTF-8 if it is text.

    Raises:
        WriteError: it cannot be written; then nothing is left of it.
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
    """Around writing: disk errors are one line, and Ctrl-C waits, see `stopping.hold_signals`.

    What goes wrong inside with files is of writing: in reading they are `VitruvianError`s.
    """
    try:
        with stopping.hold_signals(hold):
            yield
    except OSError as error:
        raise WriteError(
            f"cannot write to '{shown(out, 100)}': {why(error)}; what was written of an unfinished "
            "file is beside it, in .part"
        ) from None


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Around a job that changes files in a folder, which is made if need be.

    Raises:
        WriteError: it cannot be made, or another process is at work there.
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
        with suppress(OSError):  # this file system has no locks
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WriteError(
                    f"cannot write to '{shown(folder, 100)}': another process is at work there; "
                    "wait for it, or give another --out"
                ) from None
        yield
    finally:
        os.close(file)


def lock_file(path: Path) -> int:
    """A descriptor of a file, made if need be; locked for as long as it is open.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it cannot be opened.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise
        except OSError:  # this file system has no locks
            return file
        if fcntl is None or _is(file, path):
            return file
        os.close(file)  # it was removed since it was opened


def why(error: OSError) -> str:
    """What went wrong, in a few words; libraries of others leave out what the system says."""
    return error.strerror or (str(error).splitlines() or [type(error).__name__])[0]


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    """By which it is known whether a file has been written anew; None: there is none."""
    try:
        now = path.stat()
    except OSError:
        return None
    return now.st_mode, now.st_ino, now.st_size, now.st_mtime_ns


def _is(file: int, path: Path) -> bool:
    """Whether a descriptor is of the file that is at a path now."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
