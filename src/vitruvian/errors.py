"""What the user can put right, in one line; anything else that is raised is our own bug."""

import difflib
import sys
from collections.abc import Iterable

MOST = 20  # names that an error lists
LONGEST = 300  # characters of a message; what is longer, a value of a file as a rule, is cut


class VitruvianError(Exception):
    """Says what failed, on what value, and the way out. The CLI prints it and exits with 1.

    A message is one line of at most `most` characters, whatever the values in it are.
    """

    def __init__(self, message: object, most: int = LONGEST) -> None:
        super().__init__(shown(message, most))


def shown(value: object, most: int = 60) -> str:
    """A value as one line of at most `most` characters, with what it begins and ends with."""
    text = str(value)
    if len(text) > most:
        end = most * 2 // 5
        text = f"{text[: most - end - 5]} ... {text[-end:]}"
    # `isprintable` is false for line breaks, other control characters and lone surrogates.
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )[:most]


def note(text: object) -> None:
    """Say what was assumed or left out: one line to standard error."""
    print(f"vitruvian: {shown(text, LONGEST)}", file=sys.stderr, flush=True)


def unknown(kind: str, name: str, known: Iterable[str]) -> VitruvianError:
    """An error for a name that is in no table, with the nearest name that is."""
    known = sorted(known)
    name = shown(name)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    some = ", ".join(known[:MOST]) + (f" and {len(known) - MOST} more" if known[MOST:] else "")
    way_out = f"did you mean '{near[0]}'?" if near else f"known: {some}"
    return VitruvianError(f"no {kind} named '{name}'; {way_out}")
