"""Temporary folders of jobs, also of those whose process was killed."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitruvian.formats.atomic_file import fcntl, lock_file

PREFIX = "vitruvian-batch-"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder, removed at the end; a file beside it is locked as long as it is used."""
    sweep()
    path = Path(tempfile.gettempdir()) / f"{PREFIX}{uuid.uuid4().hex}"
    lock = path.with_suffix(".lock")
    file = lock_file(lock)
    try:
        path.mkdir(0o700)
        yield path
    finally:
        _remove(path, lock, file)


def sweep() -> None:
    """Remove the folders of processes that are gone."""
    if fcntl is None:  # nothing tells which these are
        return
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*.lock"):
        try:
            file = lock_file(lock)
        except OSError:  # in use, or of another user
            continue
        _remove(lock.with_suffix(""), lock, file)


def _remove(path: Path, lock: Path, file: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    lock.unlink(missing_ok=True)
    os.close(file)
