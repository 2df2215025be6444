"""Packages that contain weights: downloading them with the clients of their registries.

No other module accesses the network, and this one only if `download.fetch` misses a file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from vitruvian.errors import pip_install


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


class Failed(Exception):
    """One source failed; there may be others."""


def download_package(package: Package, folder: Path) -> Path:
    """Download a package into a folder, with a progress bar; returns the file.

    Raises:
        Failed: it is not there, or the way to it is barred.
    """
    with _progress(package, folder):
        return _CLIENTS[package.kind](package, folder)


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
        raise Failed(said[-1].strip() if said else f"exit code {done.returncode}")


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
        raise Failed("npm is not installed (it comes with Node.js)")
    _run(
        [
            *(npm, "pack", "--silent", "--cache", str(folder / "npm")),
            f"{package.name}@{package.version}",
        ],
        folder,
    )
    return _only(folder, "*.tgz")


def _trust(address: str) -> None:
    """Raise `Failed` for URLs that are neither https nor localhost."""
    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise Failed("only https is trusted")


def _url(package: Package, folder: Path) -> Path:
    # Imported here: they take longer than a network that was compiled before.
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Trusted(HTTPRedirectHandler):
        """Applies `_trust` to redirects."""

        def redirect_request(
            self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
        ) -> Request | None:
            _trust(newurl)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    _trust(package.name)
    archive = folder / "archive"
    try:
        with (
            build_opener(Trusted).open(package.name, timeout=30) as answer,
            archive.open("wb") as out,
        ):
            shutil.copyfileobj(answer, out)
    except (URLError, HTTPException, OSError) as error:
        raise Failed(str(getattr(error, "reason", error))) from None
    return archive


def _gdrive(package: Package, folder: Path) -> Path:
    """Download a file of Google Drive with gdown, which handles its virus-scan and quota pages."""
    try:
        import gdown  # type: ignore[import-not-found]
    except ImportError:
        raise Failed(f"gdown is not installed; {pip_install('alphapose')}") from None
    archive = folder / "archive"
    try:
        got = gdown.download(id=package.name, output=str(archive), quiet=True)
    except Exception as error:  # gdown and its HTTP client have no common base class
        raise Failed(" ".join(str(error).split()) or type(error).__name__) from None
    if got is None or not archive.is_file():
        raise Failed("Google Drive refused it: download quota exceeded, or the file is gone")
    return archive


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise Failed(f"expected one {pattern}, got {len(found)}")
    return found[0]


_CLIENTS = {"pypi": _pypi, "npm": _npm, "url": _url, "gdrive": _gdrive}


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


# Exceptions of zipfile and tarfile for damaged, truncated, encrypted or foreign files.
UNREADABLE = (
    *(KeyError, OSError, EOFError, RuntimeError),
    *(zlib.error, zipfile.BadZipFile, tarfile.TarError),
)


@contextmanager
def opened_member(archive: Path, name: str) -> Iterator[IO[bytes]]:
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
