"""Repair: corrects short left/right swaps and keypoints that jump away and back (outliers).

Only clear errors, and never silently: every change is in the list that comes with the track, and
the input is its `raw`. Lengths are in trunks (shoulder center to hip center, median of the track),
so that they hold for people of any size in the image.

- Swap: from one frame to the next, keypoints of a left/right pair fit the previous place of the
  other side, not their own; and back, within `swap` seconds. The most likely sequence is taken.
  A real turn of the body passes through a moment where left and right coincide, so that exchanging
  them never fits better. First arms, legs and head are checked, then the whole body, then limbs
  below a joint, always as a whole: an ankle is not swapped without its toes. A limb is not swapped
  against the evidence of its own joints, or if trunk or legs would then cross more often.
- Hands: those whose roots are at the wrist of the other side are exchanged, in each frame.
- Jump: a keypoint is far off the line between its places before and after, and leaves it in one
  step, within `jump` seconds. It is interpolated on that line.

A swap that begins or ends outside the track has one end only, and is kept: motion does not tell
which half is right. So is one that lasts too long. Both are in the list, as `LEFT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.track import Track
from vitruvian.streams.jumps import mend_jumps
from vitruvian.streams.repaired import LEFT, Options, Repaired
from vitruvian.streams.swaps import mend_hands, mend_swaps, swaps_left
from vitruvian.streams.windows import Pair, changed, put, windows

REACH = 3.0  # seconds of context on both sides


def repair(track: Track, options: Options = Options()) -> tuple[Track, list[Repaired]]:
    """The corrected track, with the input as `raw`, and the list of changes, by time."""
    mended, swaps = mend_swaps(track, options)
    mended, hands = mend_hands(mended, options)
    mended, jumps = mend_jumps(mended, options)
    changed = [*swaps, *hands, *jumps]
    changes = sorted([*changed, *swaps_left(mended, options)], key=lambda c: (c.index, c.kind))
    return (replace(mended, raw=track) if changed else track), changes


class Repair:
    """Stream step that corrects swaps and jumps; it needs future frames, see `WantsFuture`."""

    def __init__(
        self,
        on_repair: Callable[[Repaired], None] = lambda change: None,
        options: Options = Options(),
    ) -> None:
        """`on_repair` gets every change, before its frame is yielded."""
        self.on_repair, self.options = on_repair, options

    def through(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """The same frames with corrected poses, the input in their `raw`; any length of recording.

        Args:
            pairs: frames of a recording in order, people with track ids.
        """
        for window, part in windows(pairs, REACH):
            changes: dict[int, list[Repaired]] = {}  # by the index of their frame
            people = changed(window, partial(self._mend, changes))
            for i in part:
                frame, poses = window[i]
                for change in (here := changes.get(frame.index, [])):
                    self.on_repair(change)
                mended = any(change.kind != LEFT for change in here)
                yield (
                    frame,
                    _swap_depth(put(poses, i, people), here) if mended else poses,
                )

    def _mend(self, changes: dict[int, list[Repaired]], track: Track) -> Track:
        mended, new = repair(track, self.options)
        for change in new:
            changes.setdefault(change.index, []).append(change)
        return mended


def _swap_depth(poses: Poses, changes: list[Repaired]) -> Poses:
    """With fields that a track lacks swapped as well: BlazePose's depth and presence."""
    names = [n for n in ("depth", "presence") if getattr(poses, n) is not None]
    values: dict[str, Any] = {name: getattr(poses, name).copy() for name in names}
    for change in changes if names else []:
        if change.kind == "swap":
            ks = np.array([poses.skeleton[name] for name in change.keypoints])
            rows = poses.person == change.person
            for each in values.values():
                each[np.ix_(rows, ks)] = each[np.ix_(rows, poses.skeleton.mirror[ks])]
    return replace(poses, **values)
