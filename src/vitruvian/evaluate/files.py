"""Files of a validation: whole or not at all, also where the disk is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitruvian.errors import VitruvianError
from vitruvian.sink.part import Part


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write a file that appears at `path` afterwards; nothing is left of a failure.

    Raises:
        VitruvianError: it cannot be written.
    """
    part = Part(path)
    unfinished = part.begin()
    try:
        yield unfinished
        part.finish()
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise VitruvianError(f"cannot write '{path}': {error.strerror or error}") from None
        raise
