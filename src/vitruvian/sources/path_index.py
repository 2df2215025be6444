"""Path matching: the local file for a path from another machine, by the longest common suffix.

Labels, boxes and records name images by the paths of the machine that wrote them: another folder,
another system, a URL. The file name alone does not tell `s1/000001.jpg` from `s2/000001.jpg`.
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
    """Folders and file name of a path of any operating system, or of a URL.

    `..` is resolved and never leads above the first folder, so that the parts, joined to a folder,
    stay inside it. Empty for an invalid path.
    """
    try:
        if b"\0" in os.fsencode(name):
            return ()
    except UnicodeEncodeError:  # lone surrogate, as JSON may have
        return ()
    name = unicodedata.normalize("NFC", name)  # macOS decomposes umlauts
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
    """The file in a folder that matches the longest suffix of a path from another machine.

    Never outside the folder. If there is none, the path where it would be.

    Raises:
        VitruvianError: it is not a valid file name.
    """
    parts = path_parts(name)
    if not parts:
        raise VitruvianError(f"'{shown(name)}' is not a file name")
    for i in range(len(parts)):
        end = "/".join(parts[i:])
        for form in dict.fromkeys((end, unicodedata.normalize("NFD", end))):
            path = folder / form
            if os.path.isfile(path):  # noqa: PTH113  # no error for invalid names
                return path
    return folder.joinpath(*parts)


class PathIndex:
    """Finds the path in a list that matches another path."""

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
        """Index in the list of the path with the longest common suffix.

        None if no file name matches, or if it lies in a different folder of the list.

        Raises:
            VitruvianError: several match.
        """
        found = self._find(path)
        return None if found is None else found[0]

    def _find(self, path: str) -> tuple[int, int] | None:
        """Index in the list, and number of common parts."""
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
            what = f"'{a}' occurs twice" if a == b else f"it could be '{a}' or '{b}'"
            raise VitruvianError(
                f"'{shown(path, 70)}' is ambiguous: {what}; include folders in the names"
            )
        return best[0], most

    def assign(self, paths: Sequence[str]) -> list[int | None]:
        """`find` of each; if several match one path, the longest suffix wins.

        Raises:
            VitruvianError: as `find`; or there is a tie.
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
                    f"'{shown(self.paths[each[0]], 70)}'; include folders in the names"
                )
            places.append(each[0])
        return places

    def short(self) -> list[str]:
        """File names, with as many folders as make them unique."""
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
    """Number of common parts at the end of two paths."""
    n = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        n += 1
    return n
