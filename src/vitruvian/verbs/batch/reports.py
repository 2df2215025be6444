"""What a batch tells other programs: a log, and each event as it is found."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vitruvian.errors import VitruvianError, note, shown
from vitruvian.formats.atomic_file import WriteError, why
from vitruvian.verbs.batch.pieces import BatchTask


def duration(seconds: float) -> str:
    """A time in words, such as "12 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class BatchReports:
    """A line of JSON about each source in a file, and about each event to a command."""

    def __init__(self, log: Path | None, on_event: str | None) -> None:
        """Open the file; the command is started with the first event.

        Raises:
            WriteError: it cannot be written.
        """
        self._command = on_event
        self._listener: subprocess.Popen[str] | None = None
        try:
            self._log = None if log is None else log.open("a", encoding="utf-8")
        except OSError as error:
            raise WriteError(f"cannot write to '{shown(log, 100)}': {why(error)}") from None

    def write(self, task: BatchTask, **what: Any) -> None:
        """Log what became of a source, or of a piece of one."""
        if self._log is not None:
            about = {"name": task.row.name, "paths": task.row.paths}
            about |= {"part": task.part} if task.part else {}
            print(json.dumps({**about, **what}), file=self._log)
            self._log.flush()

    def send(self, event: Mapping[str, Any]) -> None:
        """Give an event to the command.

        Raises:
            VitruvianError: the command has ended.
        """
        if self._command is None:
            return
        if self._listener is None:
            self._listener = subprocess.Popen(
                self._command, shell=True, stdin=subprocess.PIPE, text=True
            )
        assert self._listener.stdin is not None
        try:
            self._listener.stdin.write(json.dumps(event) + "\n")
            self._listener.stdin.flush()
        except OSError:
            raise VitruvianError(
                f"the command of --on-event, '{shown(self._command)}', has ended; it must read "
                "all lines"
            ) from None

    def close(self) -> None:
        """Close the file, and wait for the command."""
        if self._listener is not None and self._listener.stdin is not None:
            with suppress(OSError):  # it has ended
                self._listener.stdin.close()
            if code := self._listener.wait():
                note(f"the command of --on-event ended with exit code {code}")
        if self._log is not None:
            self._log.close()
