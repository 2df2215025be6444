"""Windows: a recording in chunks, so that non-causal steps keep only a few seconds in memory.

Each part comes with a window that overlaps its neighbours on both sides, by as much as a frame
depends on. Tracks are cut from the window, changed, and put back into the frames of the part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.track import Track, tracks
from vitruvian.frame import Frame

Pair = tuple[Frame, Poses]
Changed = dict[int, tuple[np.ndarray, Track]]  # person -> row of each frame in the track; the track


def windows(pairs: Iterable[Pair], reach: float) -> Iterator[tuple[list[Pair], range]]:
    """Overlapping windows of a recording, and the range of their part: each frame is in one part.

    A part has `reach` seconds of context on both sides, as far as the source goes; at most three
    times that is held in memory. Another source, or a time that is not later, ends a window.
    """
    held: list[Pair] = []
    done = 0  # frames of `held` already in a part; kept as context
    for pair in pairs:
        before = held[-1][0] if held else None
        if before and (pair[0].source != before.source or pair[0].seconds <= before.seconds):
            yield held, range(done, len(held))
            held, done = [], 0
        held.append(pair)
        if pair[0].seconds - held[done][0].seconds >= 2 * reach:
            until = pair[0].seconds - reach
            ready = next(i for i, (frame, _) in enumerate(held) if frame.seconds > until)
            yield held, range(done, ready)
            first = next(i for i, (frame, _) in enumerate(held) if frame.seconds >= until - reach)
            held, done = held[first:], ready - first
    if held:
        yield held, range(done, len(held))


def changed(window: list[Pair], change: Callable[[Track], Track]) -> Changed:
    """All tracks of a window, after `change`."""
    found: Changed = {}
    seconds = np.array([frame.seconds for frame, _ in window])
    bare = ((frame, replace(poses, raw=None)) for frame, poses in window)
    for track in tracks(bare, gap=np.inf, longest=np.inf):
        found[track.person] = np.searchsorted(track.seconds, seconds), change(track)
    return found


def put(poses: Poses, at: int, people: Changed) -> Poses:
    """Poses of frame `at` of the window, with the changed tracks; `raw` is the input."""
    if not (poses.person >= 0).any():
        return poses
    names = [n for n in ("xy", "score", "box", "xyz", "world") if getattr(poses, n) is not None]
    values: dict[str, Any] = {name: getattr(poses, name).copy() for name in names}
    for row, person in enumerate(poses.person.tolist()):
        if person < 0:
            continue
        rows, track = people[person]
        for name in names:
            new = getattr(track, name)
            if new is not None:
                values[name][row] = new[rows[at]]
    return replace(poses, raw=poses if poses.raw is None else poses.raw, **values)
