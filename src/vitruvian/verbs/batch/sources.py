"""The sources of a batch: files in folders, patterns, lists and tables, also in the cloud.

A video is a source, and so are the images of a folder in groups. A group ends at an image whose
name happens to have a certain checksum, so that an image that is added or removed changes its own
group only.

Most paths are texts here: there may be a million of them, and each `Path` takes microseconds.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from vitruvian.errors import VitruvianError, shown, unknown
from vitruvian.formats.atomic_file import shortened
from vitruvian.formats.tables import parquet_rows, utf8
from vitruvian.sources.open import PICTURES, VIDEOS, is_clutter, is_picture, natural, natural_name
from vitruvian.sources.video import STREAMS
from vitruvian.verbs.batch.store import file_system
from vitruvian.verbs.folder import LEDGERS, stamped

GROUP = 64  # images in a group, on average
MEDIA = PICTURES | VIDEOS
LISTS = (".txt", ".csv", ".parquet")
# Columns of a table besides `path`, and what reads them; `name`: of the folder of the results.
COLUMNS: Mapping[str, Callable[[Any], Any]] = {
    "start": float,
    "end": float,
    "camera": str,
    "fov_deg": float,
    "name": str,
}


@dataclass(frozen=True)
class Item:
    """A source: one video, or images of a folder."""

    name: str  # of the folder of its results, relative to the output, with / between folders
    paths: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)  # its own, see `COLUMNS`
    stamp: str = ""  # sizes and times of its files


@dataclass(frozen=True)
class _Found:
    """A file."""

    path: str  # or a URL
    below: str  # its path relative to the folder that was given
    stamp: str
    options: dict[str, Any] = field(default_factory=dict)
    named: bool = False  # by the user, so it is a source of its own


def items(words: Sequence[str | Path], *, recursive: bool = False) -> Iterator[Item]:
    """The sources of paths, in the order in which they are given.

    Args:
        words: files, folders, patterns, `-` (paths from standard input), lists of paths (.txt, one
            a line), tables (.csv, .parquet) with a column `path` and columns of `COLUMNS`; or URLs
            of files and folders that fsspec reads.
        recursive: whether subfolders are searched.

    Raises:
        VitruvianError: nothing is there, or a list or table cannot be read.
    """
    for word in map(str, words):
        none = True
        for item in _grouped(_files(word, recursive)):
            none = False
            yield item
        if none:
            more = "" if recursive else "; subfolders are searched with --recursive"
            raise VitruvianError(f"no images or videos in '{shown(word, 150)}'{more}")


def in_shard(item: Item, shard: tuple[int, int]) -> bool:
    """Whether a source is in a part of all, the first of n is (1, n)."""
    return zlib.crc32(item.name.encode(errors="surrogateescape")) % shard[1] == shard[0] - 1


def _grouped(files: Iterable[_Found]) -> Iterator[Item]:
    """Videos, and groups of the images of a folder that follow each other."""
    for (pictures, folder, *_), some in groupby(files, _kind):
        if not pictures:
            for file in some:
                yield Item(_safe(file.below), (file.path,), file.options, file.stamp)
            continue
        group: list[_Found] = []
        for file in some:
            group.append(file)
            if zlib.crc32(file.below.encode(errors="surrogateescape")) % GROUP == 0:
                yield _group(folder, group)
                group = []
        if group:
            yield _group(folder, group)


def _kind(file: _Found) -> tuple[bool, str, str]:
    """What files of one group have in common."""
    if file.named or _extension(file.path) in VIDEOS or not is_picture(file.path):
        return False, "", ""
    return True, str(PurePosixPath(file.below).parent), json.dumps(file.options)


def _group(folder: str, group: Sequence[_Found]) -> Item:
    first = PurePosixPath(group[0].below).name
    name = first if len(group) == 1 else f"{first} and {len(group) - 1} more"
    stamps = hashlib.sha256("\n".join(file.stamp for file in group).encode()).hexdigest()
    paths = tuple(file.path for file in group)
    return Item(_safe(f"{folder}/{name}"), paths, group[0].options, stamps)


def _safe(name: str) -> str:
    """A name that stays inside of the output folder."""
    name = utf8(name).replace(os.sep, "/").replace("\0", "_")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    parts = ["up" if part == ".." else part.lstrip(".") or "_" for part in parts]
    return "/".join(map(shortened, parts)) or "_"


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _files(word: str, recursive: bool) -> Iterator[_Found]:
    if word == "-":
        lines = (line.strip() for line in sys.stdin)
        yield from (found for line in lines if line for found in _files(line, recursive))
        return
    if word.startswith(STREAMS) or word.startswith("camera:"):
        raise VitruvianError(
            f"'{shown(word, 100)}' is a camera or a stream, and a batch takes files; use predict"
        )
    if "://" in word:
        yield from _remote(word, recursive)
        return
    path = Path(word).expanduser()
    if path.is_dir():
        yield from _below(str(path.absolute()), "", recursive)
    elif path.suffix.lower() in LISTS and path.is_file():
        yield from _listed(path, recursive)
    elif path.is_file():
        yield _found(str(path.absolute()), path.name)
    elif any(sign in word for sign in "*?["):
        matches = map(Path, glob.iglob(word, recursive=True))
        base, is_result = Path(glob_base(word)), cache(_is_result)
        some = [
            match
            for match in matches
            if match.is_file() and not is_clutter(match.name) and not is_result(match.parent, base)
        ]
        for match in sorted(some, key=natural):
            if match.suffix.lower() in MEDIA:
                yield _found(str(match.absolute()), match.relative_to(base).as_posix())
    else:
        raise VitruvianError(f"cannot read '{shown(word, 200)}': no such file or folder")


def _is_result(folder: Path, base: Path) -> bool:
    """Whether a folder below another is inside of the results of an earlier run."""
    between = [folder, *folder.parents]
    return any((each / LEDGERS).exists() for each in between[: -len([base, *base.parents])])


def glob_base(pattern: str) -> str:
    """The folder before the first part of a pattern that has a wildcard."""
    parts = []
    for part in Path(pattern).parts[:-1]:
        if any(sign in part for sign in "*?["):
            break
        parts.append(part)
    return os.path.join(*parts) if parts else "."


def _found(path: str, below: str) -> _Found:
    try:
        about = os.stat(path)
    except OSError as error:
        raise VitruvianError(f"cannot read '{shown(path, 150)}': {error.strerror}") from None
    return _Found(path, below, f"{about.st_size} {about.st_mtime_ns}")


def _below(folder: str, below: str, recursive: bool) -> Iterator[_Found]:
    """The files of a folder, then those of its subfolders; each folder is listed once.

    There may be a million of them, so they are names, not paths.

    Args:
        folder: absolute path.
        below: what its files' own `below` begins with.
        recursive: whether subfolders are searched.
    """
    try:
        here = sorted(os.listdir(folder), key=natural_name)
    except OSError as error:
        raise VitruvianError(f"cannot read '{shown(folder, 150)}': {error.strerror}") from None
    folders = []
    for name in here:
        if is_clutter(name):
            continue
        path = os.path.join(folder, name)
        if _extension(name) in MEDIA and os.path.isfile(path):
            yield _found(path, below + name)
        elif recursive and os.path.isdir(path) and not os.path.islink(path):
            if os.path.exists(os.path.join(path, LEDGERS)):
                continue  # results of an earlier run
            folders.append(name)
    for name in folders:
        yield from _below(os.path.join(folder, name), f"{below}{name}/", recursive)


def _listed(file: Path, recursive: bool) -> Iterator[_Found]:
    """The files of a list or a table; relative paths are relative to its folder."""
    for row in _rows(file):
        if None in row:
            raise VitruvianError(f"'{shown(file, 100)}' has a line with more values than columns")
        # A value that is not itself is NaN, how pandas writes that there is none.
        some = {key: value for key, value in row.items() if value == value}
        words = {key.strip(): value for key, value in some.items() if value not in ("", None)}
        word = words.pop("path", None)
        if word is None:
            raise VitruvianError(f"'{shown(file, 100)}' has no column path, or it is empty")
        options: dict[str, Any] = {}
        for key, value in words.items():
            if key not in COLUMNS:
                raise unknown(f"column of '{shown(file, 60)}'", key, ("path", *COLUMNS))
            try:
                options[key] = COLUMNS[key](value)
            except ValueError:
                raise VitruvianError(
                    f"'{shown(file, 100)}': {key} is '{shown(value)}', want a number"
                ) from None
        if "camera" in options:
            options |= _camera(file.parent, options["camera"])
        name = options.pop("name", None)
        remote = "://" in str(word)
        own = os.path.expanduser(str(word))
        where = str(word) if remote else os.path.join(file.parent, own)
        if not remote and _extension(where) in LISTS:
            raise VitruvianError(
                f"'{shown(file, 100)}' names '{shown(word, 100)}', another list; give both as "
                "sources"
            )
        folder = not remote and os.path.isdir(where)
        for found in _files(where, recursive):
            below = found.below
            if name is not None:
                below = f"{name}/{below}" if folder else name
            elif not (remote or folder or os.path.isabs(own)):
                # By its path as it is listed: names of files alone are often the same.
                below = str(word).replace(os.sep, "/")
            yield _Found(found.path, below, found.stamp, options, name is not None)


def _camera(folder: Path, word: str) -> dict[str, Any]:
    """The options of a camera of a table, whose path is relative to a folder: `rig.toml:left`."""
    file, colon, part = word.rpartition(":")
    for name, more in ((word, ""), (file, colon + part)):
        path = folder.absolute() / name
        if name and path.is_file():
            # With its size and time: another content is another setting.
            return {"camera": f"{path}{more}", "camera_file": stamped(path)}
    return {}


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    kind = file.suffix.lower()
    if kind == ".parquet":
        yield from parquet_rows(file)
        return
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            if kind == ".csv":
                yield from csv.DictReader(lines)
                return
            for line in lines:
                if line.strip() and not line.startswith("#"):
                    yield {"path": line.strip()}
    except (OSError, csv.Error) as error:
        raise VitruvianError(f"cannot read '{shown(file, 100)}': {error}") from None


# In the cloud


def _remote(url: str, recursive: bool) -> Iterator[_Found]:
    system, path = file_system(url)
    try:
        single = system.isfile(path)
        depth = None if recursive else 1
        some = {path: system.info(path)} if single else system.find(path, depth, detail=True)
        if not some and not system.exists(path):
            raise FileNotFoundError("no such file or folder")
    except Exception as error:  # each file system has its own kinds
        raise VitruvianError(f"cannot read '{shown(url, 150)}': {shown(error, 100)}") from None
    base = str(PurePosixPath(path).parent) if single else path
    below, inside = f"{path.rstrip('/')}/", f"/{LEDGERS}/"
    results = {each.split(inside)[0] + "/" for each in some if inside in each} - {below}
    for each in sorted(some, key=lambda name: natural(Path(name))):
        place = PurePosixPath(each)
        if not single and (
            place.suffix.lower() not in MEDIA
            or place.name.startswith(".")
            or each.startswith(tuple(results))
        ):
            continue
        about = some[each]
        changed = next(
            (about[key] for key in ("ETag", "etag", "mtime", "LastModified") if key in about), ""
        )
        below = place.relative_to(PurePosixPath(base)).as_posix()
        yield _Found(str(system.unstrip_protocol(each)), below, f"{about['size']} {changed}")
