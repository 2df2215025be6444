"""Errors that the user can fix, in one line; any other exception is a bug of this package."""

import difflib
import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

MOST = 20  # maximum number of names that an error lists
LONGEST = 300  # maximum characters of a message; longer ones are shortened


class VitruvianError(Exception):
    """An error that the user can fix: what failed, on what value, and the way out.

    The message is one line of at most `most` characters. The CLI prints it and exits with code 1.
    """

    def __init__(self, message: object, most: int = LONGEST) -> None:
        super().__init__(shown(message, most))


def shown(value: object, most: int = 60) -> str:
    """A value as one printable line of at most `most` characters, shortened in the middle."""
    text = str(value)
    if len(text) > most:
        end = most * 2 // 5
        text = f"{text[: most - end - 5]} ... {text[-end:]}"
    # `isprintable` is false for line breaks, other control characters and lone surrogates.
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )[:most]


def amount(number: int, one: str, many: str = "") -> str:
    """A number with its noun: `3 people`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def note(text: object) -> None:
    """Print a note on assumptions or omissions: one line to standard error."""
    print(f"vitruvian: {shown(text, LONGEST)}", file=sys.stderr, flush=True)


def unknown(kind: str, name: str, known: Iterable[str]) -> VitruvianError:
    """An error for an unknown name, with the nearest known name."""
    known = sorted(known)
    name = shown(name)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    some = ", ".join(known[:MOST]) + (f" and {len(known) - MOST} more" if known[MOST:] else "")
    way_out = f"did you mean '{near[0]}'?" if near else f"known: {some}"
    return VitruvianError(f"no {kind} named '{name}'; {way_out}")


def pip_install(extra: str) -> str:
    """The command that adds an extra to vitruvian from where it was installed.

    A folder, file or repository has left its address in `direct_url.json`, an index nothing, so
    that `vitruvian[live]` is asked of an index only if vitruvian came from there.

    Source: PEP 610, https://packaging.python.org/specifications/direct-url/
    """
    from importlib.metadata import PackageNotFoundError, distribution  # 30 ms of every start

    try:
        text = distribution("vitruvian").read_text("direct_url.json")
    except PackageNotFoundError:  # its files are on Python's path, and no more
        return f"pip install '.[{extra}]' in a clone of vitruvian"
    if text is None:
        return f"pip install 'vitruvian[{extra}]'"
    origin = json.loads(text)
    url = origin["url"]
    if "dir_info" not in origin:
        if "vcs_info" in origin:
            url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
        return f"pip install {shlex.quote(f'vitruvian[{extra}] @ {url}')}"
    folder = unquote(urlsplit(url).path)
    if not Path(folder).is_dir():
        return f"pip install '.[{extra}]' in a clone of vitruvian"
    editable = "-e " if origin["dir_info"].get("editable") else ""
    return f"pip install {editable}{shlex.quote(f'{folder}[{extra}]')}"
