"""Weights: download once from the authors' release, verify the hash, cache.

No other module accesses the network, and this one only if a file is missing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from vitruvian.errors import VitruvianError

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
class Package:
    """A downloadable package that contains weights."""

    kind: str  # "pypi", "npm", "url" or "gdrive"
    name: str  # of the package, the URL, or the file id of Google Drive
    version: str
    bytes: int | None  # size, for the progress bar; None if unknown

    def __str__(self) -> str:
        if self.kind == "gdrive":
            return f"https://drive.google.com/file/d/{self.name}"
        place = {"pypi": " from the Python package index", "npm": " from the npm registry"}
        return f"{self.name} {self.version}".strip() + place.get(self.kind, "")


@dataclass(frozen=True)
class WeightSource:
    """One source of a weights file."""

    package: Package
    member: str  # path inside the package; "" if the package is the file itself
    checked: bool = True  # False if this source's file differs and has no published hash


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
                f"{file.name} is not in the cache and VITRUVIAN_OFFLINE forbids downloading it; "
                + _by_hand(file),
                LISTED,
            )
        for source in file.sources:
            wanted = [other for other in (*files, *keep) if _missing(other)]
            try:
                _fetch_package(source.package, wanted)
            except _Failed as failed:
                tried.append(f"{source.package}: {failed}")
            if find(file) is not None:
                break
        else:
            raise VitruvianError(
                f"cannot fetch {file.name}; tried {'; '.join(tried)}; {_by_hand(file)}", LISTED
            )
    return [path for file in files if (path := find(file)) is not None]


def _missing(file: File) -> bool:
    try:
        return find(file) is None
    except VitruvianError:
        return False  # another file has its name: `fetch` of that file raises it


class _Failed(Exception):
    """One source failed; there may be others."""


def _by_hand(file: File) -> str:
    source = file.sources[0]
    what = (
        f"take {source.member} out of {source.package}"
        if source.member
        else f"fetch {source.package}"
    )
    return f"to do it by hand: {what} and put it at '{cache_folder() / file.name}'"


def _fetch_package(package: Package, wanted: Sequence[File]) -> None:
    """Download a package and keep the wanted files in it."""
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        folder = tempfile.mkdtemp(dir=cache, prefix=FETCH)
    except OSError as error:
        raise VitruvianError(
            f"cannot write to the cache folder '{cache}': {error.strerror}; "
            "set VITRUVIAN_CACHE to a folder that can be written"
        ) from None
    try:
        with _in_use(Path(folder)), _progress(package, Path(folder)):
            archive = _FETCH[package.kind](package, Path(folder))
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
        with _member(archive, source.member) as member, fresh.open("wb") as out:
            left = MOST_BYTES
            while chunk := member.read(1 << 20):
                if (left := left - len(chunk)) < 0:
                    raise _Failed(f"{source.member} is larger than {MOST_BYTES} bytes")
                out.write(chunk)
    except _UNREADABLE as error:
        why = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise _Failed(f"no {source.member} in it ({why})") from None
    checked = source.checked and file.sha256 is not None
    if checked and (found := sha256(fresh)) != file.sha256:
        wrong = f"has sha256 {found[:12]}…, want {str(file.sha256)[:12]}…"
        raise _Failed(f"{source.member} {wrong}: refused")
    name = file.name if checked or file.sha256 is None else unchecked_name(file)
    fresh.replace(cache_folder() / name)


# Exceptions of zipfile and tarfile for damaged, truncated, encrypted or foreign files.
_UNREADABLE = (
    *(KeyError, OSError, EOFError, RuntimeError),
    *(zlib.error, zipfile.BadZipFile, tarfile.TarError),
)


@contextmanager
def _member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    """One file inside a zip (wheel, .task) or a tar (npm); nothing else is extracted."""
    if not name:
        with archive.open("rb") as whole:
            yield whole
        return
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened, opened.open(name) as member:
            yield member
        return
    with tarfile.open(archive) as opened:
        member = opened.extractfile(name)
        if member is None:
            raise KeyError(name)
        with member:
            yield member


def _run(command: list[str], folder: Path, **environment: str) -> None:
    """Run a package client; the last line of its output is the reason of a failure."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        said = [line for line in lines if "ERROR" in line or "npm error" in line] or lines
        raise _Failed(said[-1].strip() if said else f"exit code {done.returncode}")


def _pypi(package: Package, folder: Path) -> Path:
    """A wheel for Linux and Python 3.11 on any platform: it is only a container."""
    _run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"),
            *("--disable-pip-version-check", "--only-binary=:all:", "--python-version", "3.11"),
            *("--platform", "manylinux_2_28_x86_64", "--dest", str(folder)),
            f"{package.name}=={package.version}",
        ],
        folder,
        TMPDIR=str(folder),  # so that the progress bar sees the file grow
    )
    return _only(folder, "*.whl")


def _npm(package: Package, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise _Failed("npm is not installed (it comes with Node.js)")
    _run(
        [
            *(npm, "pack", "--silent", "--cache", str(folder / "npm")),
            f"{package.name}@{package.version}",
        ],
        folder,
    )
    return _only(folder, "*.tgz")


def _trust(address: str) -> None:
    """Raise `_Failed` for URLs that are neither https nor localhost."""
    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise _Failed("only https is trusted")


class _Trusted(HTTPRedirectHandler):
    """Applies `_trust` to redirects."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        _trust(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _url(package: Package, folder: Path) -> Path:
    _trust(package.name)
    archive = folder / "archive"
    try:
        with (
            build_opener(_Trusted).open(package.name, timeout=30) as answer,
            archive.open("wb") as out,
        ):
            shutil.copyfileobj(answer, out)
    except (URLError, HTTPException, OSError) as error:
        raise _Failed(str(getattr(error, "reason", error))) from None
    return archive


def _gdrive(package: Package, folder: Path) -> Path:
    """Download a file of Google Drive with gdown, which handles its virus-scan and quota pages."""
    try:
        import gdown  # type: ignore[import-not-found]
    except ImportError:
        raise _Failed("gdown is not installed; pip install 'vitruvian[alphapose]'") from None
    archive = folder / "archive"
    try:
        got = gdown.download(id=package.name, output=str(archive), quiet=True)
    except Exception as error:  # gdown and its HTTP client have no common base class
        raise _Failed(" ".join(str(error).split()) or type(error).__name__) from None
    if got is None or not archive.is_file():
        raise _Failed("Google Drive refused it: download quota exceeded, or the file is gone")
    return archive


_FETCH = {"pypi": _pypi, "npm": _npm, "url": _url, "gdrive": _gdrive}


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise _Failed(f"expected one {pattern}, got {len(found)}")
    return found[0]


@contextmanager
def _progress(package: Package, folder: Path) -> Iterator[None]:
    """Progress bar on a terminal, one line elsewhere; measures the size of `folder`."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        size = f" ({package.bytes / 1e6:.0f} MB)" if package.bytes else ""
        print(f"fetching {package}{size}", file=sys.stderr, flush=True)
        yield
        return
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(TextColumn(f"fetching {package}"), *columns, console=console) as bar:
        task = bar.add_task("", total=package.bytes)
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.1):
                there = _bytes_below(folder)
                bar.update(task, completed=min(there, package.bytes or there))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
            bar.update(task, completed=package.bytes)
        finally:
            done.set()
            watcher.join()


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue  # moved meanwhile
    return total
