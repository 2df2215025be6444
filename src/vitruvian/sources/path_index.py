"""Which file a path written elsewhere means: the one that shares the longest end of the path.

Labels, boxes and records name pictures as the machine that wrote them did: another folder, another
system, an address. The name alone does not tell `s1/000001.jpg` from `s2/000001.jpg`.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from vitruvian.errors import VitruvianError, shown


def path_parts(name: str) -> tuple[str, ...]:
    """Folders and name of a path as any system, or an address, writes it.

    `..` is worked out and never leads above the first folder, so that the parts, joined to a
    folder, stay in it. None are left of a path that cannot be one.
    """
    try:
        if b"\0" in os.fsencode(name):
            return ()
    except UnicodeEncodeError:  # half a character, as JSON may have
        return ()
    name = unicodedata.normalize("NFC", name)  # macOS writes an umlaut as two characters
    address = re.match(r"[A-Za-z][A-Za-z0-9+.-]+://[^/]*", name)
    if address:
        name = unquote(re.split(r"[?#]", name[address.end() :])[0]).replace("\0", "")
    parts: list[str] = []
    for part in re.split(r"[\\/]+", name):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return tuple(parts)


def find_below(folder: Path, name: str) -> Path:
    """The file in a folder that a path of another place means: its longest end that is there.

    Never outside the folder. If there is none, where it would be.

    Raises:
        VitruvianError: it cannot be the name of a file.
    """
    parts = path_parts(name)
    if not parts:
        raise VitruvianError(f"'{shown(name)}' is no name of a file")
    for i in range(len(parts)):
        end = "/".join(parts[i:])
        for form in dict.fromkeys((end, unicodedata.normalize("NFD", end))):
            path = folder / form
            if os.path.isfile(path):  # noqa: PTH113  # no error for what no file can be called
                return path
    return folder.joinpath(*parts)


class PathIndex:
    """Finds the path of a list that another path means."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)
        self._parts = [path_parts(path) for path in paths]
        self._named: dict[str, list[int]] = defaultdict(list)
        self._at: dict[int, set[str]] = defaultdict(set)  # place from the end -> folders there
        for i, parts in enumerate(self._parts):
            if parts:
                self._named[parts[-1]].append(i)
            for place, part in enumerate(reversed(parts)):
                self._at[place].add(part)

    def find(self, path: str) -> int | None:
        """The place in the list of the path that shares the longest end with this one.

        None if no name is the same, or if it lies in another folder of those in the list.

        Raises:
            VitruvianError: there are several.
        """
        found = self._find(path)
        return None if found is None else found[0]

    def _find(self, path: str) -> tuple[int, int] | None:
        """The place in the list, and how many parts are shared."""
        parts = path_parts(path)
        best: list[int] = []
        most = 0
        for i in self._named.get(parts[-1], ()) if parts else ():
            common = _shared(parts, self._parts[i])
            if common >= most:
                best = [*best, i] if common == most else [i]
                most = common
        if not best:
            return None
        more = most < len(parts) and any(most < len(self._parts[i]) for i in best)
        if more and parts[-most - 1] in self._at[most]:
            return None  # the folder is one of the list's, and this file is in another
        if len(best) > 1:
            a, b = (shown(self.paths[i], 70) for i in best[:2])
            what = f"there are two '{a}'" if a == b else f"it could be '{a}' or '{b}'"
            raise VitruvianError(
                f"'{shown(path, 70)}' is not told apart: {what}; write names with their folders"
            )
        return best[0], most

    def assign(self, paths: Sequence[str]) -> list[int | None]:
        """`find` of each; if several mean the same one, it is whose that shares most.

        Raises:
            VitruvianError: as `find`; or several share as much.
        """
        found = [self._find(path) for path in paths]
        most: dict[int, int] = {}
        for each in found:
            if each is not None:
                most[each[0]] = max(most.get(each[0], 0), each[1])
        taken: dict[int, str] = {}
        places: list[int | None] = []
        for path, each in zip(paths, found, strict=True):
            if each is None or each[1] < most[each[0]]:
                places.append(None)
                continue
            first = taken.setdefault(each[0], path)
            if path_parts(first) != path_parts(path):
                raise VitruvianError(
                    f"'{shown(first, 70)}' and '{shown(path, 70)}' would both be "
                    f"'{shown(self.paths[each[0]], 70)}'; write names with their folders"
                )
            places.append(each[0])
        return places

    def short(self) -> list[str]:
        """The names alone; with as many folders as tell them apart where they are the same."""
        names = [""] * len(self.paths)
        for same in self._named.values():
            left, n = same, 1
            while left:
                ends = {i: self._parts[i][-n:] for i in left}
                often = Counter(ends.values())
                done = [i for i in left if often[ends[i]] == 1 or n >= len(self._parts[i])]
                for i in done:
                    names[i] = "/".join(ends[i])
                left, n = [i for i in left if i not in {*done}], n + 1
        return names


def _shared(a: Sequence[str], b: Sequence[str]) -> int:
    """How many parts two paths share at their ends."""
    n = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        n += 1
    return n
