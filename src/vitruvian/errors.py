"""What the user can put right, in one line; anything else that is raised is our own bug."""

import difflib
from collections.abc import Iterable

MOST = 20  # names that an error lists


class VitruvianError(Exception):
    """Says what failed, on what value, and the way out. The CLI prints it and exits with 1."""


def unknown(kind: str, name: str, known: Iterable[str]) -> VitruvianError:
    """An error for a name that is in no table, with the nearest name that is."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    some = ", ".join(known[:MOST]) + (f" and {len(known) - MOST} more" if known[MOST:] else "")
    way_out = f"did you mean '{near[0]}'?" if near else f"known: {some}"
    return VitruvianError(f"no {kind} named '{name}'; {way_out}")
