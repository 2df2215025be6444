"""Standard output and error of the command line, so that nothing that happens to them costs files.

A reader who has seen enough (`| head`), a terminal that is gone or a disk that is full ends no job:
what is printed is lost then, and at the end it is told.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO


class _Forgiving(io.RawIOBase):
    """A descriptor that is written to for as long as that goes well."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.error = descriptor, None

    def write(self, data: Any, /) -> int:
        """All of it, or, after the first error, nothing."""
        rest = memoryview(data)
        while rest and self.error is None:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except OSError as error:
                self.error = error
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)


class Outputs:
    """Both of them."""

    def __init__(self, out: _Forgiving) -> None:
        self.out = out

    def fault(self) -> str:
        """Why something that was printed did not arrive, where somebody would have read it."""
        sys.stdout.flush()
        error = self.out.error
        return "" if error is None or error.errno == errno.EPIPE else error.strerror or str(error)


def settle() -> Outputs:
    """Put `sys.stdout` and `sys.stderr` in order.

    Descriptors that are closed are opened on nothing: otherwise the next file would get their
    number, and what libraries print would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    raws = [_Forgiving(1), _Forgiving(2)]
    sys.stdout, sys.stderr = map(_text, raws, (sys.stdout, sys.stderr))
    return Outputs(raws[0])


def _text(raw: _Forgiving, before: TextIO | None) -> TextIO:
    """What is printed to it; what it cannot encode is written as escapes."""
    encoding = "utf-8" if before is None else before.encoding
    lines = raw.isatty() or raw.descriptor == 2
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=lines
    )
