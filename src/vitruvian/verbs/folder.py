"""Ledgers of output files, their inputs and progress, so that an interrupted run can resume.

Beside its output files a run keeps a ledger, a small JSON Lines file. Its first line holds the
inputs: sources with size and time, the model with the hashes of its weights, options, version.
Every other line is a mark: what is finished so far. A killed process leaves at most one partial
line, which is ignored. Ledgers lie in `.vitruvian/` inside an output folder, or beside an output
file.

A file is complete only if its ledger says so: after Ctrl-C there are valid files of part of a
source under their final names, and the ledger tells them from complete ones.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from vitruvian.errors import VitruvianError, note, shown
from vitruvian.formats.atomic_file import WriteError, lock_file, name_with_end, why
from vitruvian.picture_files.content import page_of
from vitruvian.sources.open import Pictures, Source, VideoFile
from vitruvian.sources.record import Recorded

LEDGERS = ".vitruvian"  # folder of ledgers, inside an output folder or beside an output file
NO_MATTER = ("threads", "streams")  # options that change the speed, not the result
OTHER_OUT = "pass --overwrite, or another --out"


class Taken(WriteError):
    """Another process is writing the files."""


class Ledger:
    """The inputs and the progress of output files; locked while it is open."""

    def __init__(self, path: Path, about: Path, of: Mapping[str, Any]) -> None:
        """Nothing is read or written yet.

        Args:
            path: path of the ledger, see `ledger_of`.
            about: name in messages: the output file, or the first of several.
            of: inputs of the files, ready for JSON.
        """
        self.path, self.about = path, about
        self.of: dict[str, Any] = json.loads(json.dumps(of, default=str))
        self.marks: list[dict[str, Any]] = []  # of the interrupted run
        self.changed: frozenset[str] = frozenset()  # names of sources that changed since that run
        self._file: int | None = None
        self._made: list[Path] = []  # created folders

    def open(
        self,
        *,
        resume: bool = False,
        overwrite: bool = False,
        there: Iterable[Path] = (),
        again: bool = False,
    ) -> None:
        """Lock the ledger; continue from its marks if `resume`, else start over.

        Args:
            resume: continue existing files.
            overwrite: replace existing files.
            there: output files that must not be lost.
            again: sources that have changed become `changed`, to be done again, see `restart`;
                otherwise they are refused.

        Raises:
            WriteError: the ledger cannot be written, or another process is writing these files.
            VitruvianError: the files have other inputs, or exist without `resume` or `overwrite`.
        """
        try:
            folders = (self.path.parent, *self.path.parent.parents)
            self._made = [folder for folder in folders if not folder.exists()]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = lock_file(self.path)
        except BlockingIOError:
            raise Taken(
                f"cannot write '{shown(self.about, 100)}': another process is writing it; wait for "
                "it, or give another --out"
            ) from None
        except OSError as error:
            raise WriteError(f"cannot write '{shown(self.path, 100)}': {why(error)}") from None
        try:
            before = self._read() if resume and not overwrite else []
            if before:
                old = before[0]
                if again:
                    self.changed = _same_names(old.get("sources"), self.of.get("sources"))
                if self.changed:
                    old = {**old, "sources": self.of["sources"]}
                if difference := differs(old, self.of):
                    raise VitruvianError(
                        f"'{shown(self.about, 100)}' was made with {difference}; give the same "
                        f"again to resume it, {OTHER_OUT}"
                    )
                self.marks = before[1:]
                return
            exists = next((shown(path, 100) for path in there if os.path.lexists(path)), None)
            if exists is not None and not overwrite:
                raise VitruvianError(
                    f"'{exists}' exists, and its options are unknown; {OTHER_OUT}"
                    if resume
                    else f"'{exists}' exists; pass --resume to continue it, --overwrite, or "
                    "another --out"
                )
            self.restart()
        except BaseException:
            self.close()
            raise

    def _read(self) -> list[dict[str, Any]]:
        """The lines of the ledger; a partial last line is cut off."""
        assert self._file is not None
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        os.ftruncate(self._file, whole)
        try:
            lines = [json.loads(line) for line in data[:whole].splitlines()]
        except ValueError:
            return []
        return lines if all(isinstance(line, dict) for line in lines) else []

    def _write(self, line: Mapping[str, Any]) -> None:
        assert self._file is not None
        os.lseek(self._file, 0, os.SEEK_END)
        data = (json.dumps(line, separators=(",", ":"), default=str) + "\n").encode()
        try:
            if os.write(self._file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise WriteError(f"cannot write '{shown(self.path, 100)}': {why(error)}") from None

    def mark(self, **what: Any) -> None:
        """Append a line: everything that these values name is written."""
        self._write(what)

    def restart(self, marks: Iterable[dict[str, Any]] = ()) -> None:
        """Start over with these marks; the inputs are those of now."""
        assert self._file is not None
        self.marks = list(marks)
        os.ftruncate(self._file, 0)
        for line in (self.of, *self.marks):
            self._write(line)

    def say_again(self, names: Iterable[str], more: str = "") -> None:
        """Say which sources are done again, and why; `more` goes on after that."""
        first, *others = sorted(names)
        why = "changed" if first in self.changed else "lost its files"
        few = f" (and {len(others)} more)" if others else ""
        note(f"'{shown(first, 80)}'{few} {why}; it is done again{more}")

    def finish(self, paths: Iterable[Path], **what: Any) -> None:
        """Record that the run finished, with its files, and what else is to be known of it."""
        files = [
            [os.path.relpath(path, self.path.parent), path.stat().st_size]
            for path in dict.fromkeys(paths)
            if path.is_file()
        ]
        self.mark(finished=files, **what)

    def files(self) -> dict[Path, bool]:
        """The files of a finished run, and whether they exist; empty if it did not finish.

        Raises:
            VitruvianError: a file is not as it was written.
        """
        last = self.marks[-1] if self.marks else {}
        there: dict[Path, bool] = {}
        for name, size in last.get("finished", ()):
            path = Path(os.path.normpath(self.path.parent / name))
            there[path] = path.is_file()
            if there[path] and path.stat().st_size != size:
                raise VitruvianError(
                    f"'{shown(path, 100)}' has changed since it was written; {OTHER_OUT}"
                )
        return there

    @property
    def finished(self) -> bool:
        """Whether the run finished, its files still exist, and no source has changed."""
        last = self.marks[-1] if self.marks else {}
        return "finished" in last and not self.changed and all(self.files().values())

    def close(self, *, remove: bool = False) -> None:
        """Unlock the ledger; `remove`: delete it, with the folders made for it."""
        if self._file is None:
            return
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = None
        for folder in self._made if remove else ():
            with suppress(OSError):  # not empty
                folder.rmdir()


def ledger_of(out: Path, stem: str = "") -> Path:
    """The path of the ledger of one output file; with a `stem`, of files in a folder."""
    if stem:
        return name_with_end(out / LEDGERS / stem, ".jsonl")
    return name_with_end(out.parent / LEDGERS / out.name, ".jsonl")


def differs(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The first difference between old and new inputs, in words; or ""."""
    for key in dict.fromkeys((*new, *old)):
        before, now = old.get(key), new.get(key)
        if before == now:
            continue
        if key == "sources" and isinstance(before, list) and isinstance(now, list):
            return _changed(before, now)
        if key in ("weights", "data"):
            return f"different {key}"
        if key == "options" and isinstance(before, dict) and isinstance(now, dict):
            return differs(before, now)
        return f"{key} {shown(_words(before), 80)}, and not {shown(_words(now), 80)}"
    return ""


def _words(value: Any) -> str:
    """A ledger value in words."""
    if isinstance(value, dict):
        return " ".join(f"{key}={_words(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ",".join(map(_words, value)) or "nothing"
    return "none" if value is None else str(value)


def _same_names(before: Any, now: Any) -> frozenset[str]:
    """The sources that have changed, if they have the same names in the same order."""
    if not (isinstance(before, list) and isinstance(now, list)):
        return frozenset()
    if [each[:1] for each in before] != [each[:1] for each in now]:
        return frozenset()
    return frozenset(new[0] for old, new in zip(before, now, strict=True) if old != new)


def _changed(before: list[Any], now: list[Any]) -> str:
    """How the sources differ."""
    old = {each[0]: each for each in before if each}
    for name, *_ in (each for each in now if each):
        if name not in old:
            return f"different sources, without '{shown(name, 80)}'"
    names = {each[0] for each in now if each}
    for name in old:
        if name not in names:
            return f"more sources, among them '{shown(name, 80)}'"
    changed = [each[0] for each in now if old.get(each[0]) != each]
    if changed:
        return f"an older '{shown(changed[0], 80)}', which has changed since"
    return "different sources, or in a different order"


def identity(sources: Iterable[Source]) -> list[list[Any]]:
    """Name, size and time of every source file, to detect changes."""
    files: list[list[Any]] = []
    for source in sources:
        if isinstance(source, Pictures):
            files += map(stamped, source.paths)
        elif isinstance(source, VideoFile):
            files.append(stamped(source.address))
        elif isinstance(source, Recorded):
            files.append(stamped(source.record.path))
        else:
            files.append([source.name])
    return files


def stamped(path: str | Path) -> list[Any]:
    """A name; for a file, also its size in bytes and its modification time in nanoseconds."""
    file = page_of(path)[0]
    if not os.path.isfile(file):  # noqa: PTH113  # no error for odd names
        return [str(path)]
    about = file.stat()
    return [str(path), about.st_size, about.st_mtime_ns]


def as_json(value: Any) -> Any:
    """A value as stored in a ledger: dataclasses as objects, files with size and time."""
    if isinstance(value, Path):
        return stamped(value)
    if is_dataclass(value) and not isinstance(value, type):
        return as_json(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(each) for each in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def made_by(model: Any) -> dict[str, Any]:
    """Ledger entry of a model, or of another `Provenance`."""
    from vitruvian import __version__

    options = {key: value for key, value in model.options.items() if key not in NO_MATTER}
    return {
        "vitruvian": __version__,
        "model": model.name,
        "weights": dict(model.weights),
        "options": as_json(options),
    }
