"""Standard output and standard error that cannot abort a run.

A closed pipe (`| head`), a closed terminal or a full disk does not stop the job: what is printed
after that is dropped, and the failure is reported at the end.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO


class _Forgiving(io.RawIOBase):
    """A file descriptor that ignores all writes after the first error."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.error = descriptor, None

    def write(self, data: Any, /) -> int:
        """Write all of the data, or nothing after the first error."""
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


class StandardStreams:
    """Standard output and standard error of this process."""

    def __init__(self, out: _Forgiving) -> None:
        self.out = out

    def fault(self) -> str:
        """Why printed text was lost; "" if none was, or if the reader closed the pipe."""
        sys.stdout.flush()
        error = self.out.error
        return "" if error is None or error.errno == errno.EPIPE else error.strerror or str(error)


def settle() -> StandardStreams:
    """Replace `sys.stdout` and `sys.stderr` by streams that survive write errors.

    Closed descriptors 0 to 2 are opened on the null device. Otherwise the next file opened would
    get that number, and output of libraries would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    raws = [_Forgiving(1), _Forgiving(2)]
    sys.stdout, sys.stderr = map(_text, raws, (sys.stdout, sys.stderr))
    return StandardStreams(raws[0])


def _text(raw: _Forgiving, before: TextIO | None) -> TextIO:
    """A text stream over `raw`; characters that it cannot encode are written as escapes."""
    encoding = "utf-8" if before is None else before.encoding
    lines = raw.isatty() or raw.descriptor == 2
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=lines
    )
