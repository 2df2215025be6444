"""Compiled networks in the cache folder, so that the next process starts quickly.

Each entry is a file named by what it was made of: SHA-256 of its content, then the content. What is
damaged is not used; what cannot be written is left out, as without it everything works, later.
"""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from vitruvian.weights.download import cache_folder

MOST = 1 << 30  # bytes of all entries; the ones unused for longest are removed
SMALLEST, LARGEST = 1 << 18, 1 << 28  # bytes of one entry; small networks compile as quickly


def _folder() -> Path:
    return cache_folder() / "compiled"


def key(*made_of: object) -> str:
    """The name of an entry; `made_of` has a `repr` that says everything it depends on."""
    return hashlib.sha256(repr(made_of).encode()).hexdigest()


def read(name: str) -> bytes | None:
    """The content of an entry; None if there is none."""
    path = _folder() / name
    try:
        data = path.read_bytes()
        os.utime(path)
    except OSError:
        return None
    content = data[32:]
    return content if hashlib.sha256(content).digest() == data[:32] else None


def write(name: str, content: bytes) -> None:
    """Keep an entry, if possible."""
    if not SMALLEST <= len(content) <= LARGEST:
        return
    folder = _folder()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        _make_room(folder, len(content))
        number, part = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(part, folder / name)  # noqa: PTH105
        finally:
            Path(part).unlink(missing_ok=True)


def _make_room(folder: Path, size: int) -> None:
    known = [(path, path.stat()) for path in folder.iterdir()]
    known.sort(key=lambda entry: entry[1].st_mtime)
    over = sum(stat.st_size for _, stat in known) + size - MOST
    for path, stat in known:
        if over <= 0:
            return
        path.unlink(missing_ok=True)
        over -= stat.st_size
