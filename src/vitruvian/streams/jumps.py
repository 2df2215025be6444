"""Keypoints that jump away and back in a track, see `repair`: found, and interpolated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vitruvian.body.track import Track
from vitruvian.streams.repaired import Options, Repaired, change_at, trunk_length


def mend_jumps(track: Track, options: Options) -> tuple[Track, list[Repaired]]:
    """The track without jumps, which are interpolated, and the changes."""
    if len(track) < 3:
        return track, []
    far = options.far * trunk_length(track)
    line = np.full_like(track.xy, np.nan)  # interpolated places
    weight = np.zeros(track.score.shape)  # 0..1 along the line
    ends = np.zeros((*track.score.shape, 2), np.int64)
    for k in range(len(track.skeleton)):
        rows = np.flatnonzero(np.isfinite(track.xy[:, k]).all(axis=-1))
        at, when = track.xy[rows, k], track.seconds[rows]
        backs, i = _backs(at, when, far, options), 1
        while i < len(rows) - 1:
            end = int(backs[i])
            for j in range(i, end):
                share = (when[j] - when[i - 1]) / (when[end] - when[i - 1])
                line[rows[j], k] = at[i - 1] + share * (at[end] - at[i - 1])
                weight[rows[j], k] = share
                ends[rows[j], k] = rows[i - 1], rows[end]
            i = max(end, i + 1)
    return _put(track, line, weight, ends)


def _backs(at: np.ndarray, when: np.ndarray, far: float, options: Options) -> np.ndarray:
    """(R,) of (R, 2) places: first row after a jump that begins at a row; that row if none."""
    backs = np.arange(len(at))
    for lasts in range(1, len(at) - 1):  # rows
        i = np.arange(1, len(at) - lasts)
        start, end = i - 1, i + lasts
        span = when[end] - when[start]
        soon = span <= options.jump + 1e-6
        if not soon.any():
            break
        way, off = at[end] - at[start], np.full(len(i), np.inf)
        for j in range(lasts):
            share = (when[i + j] - when[start]) / span
            off = np.minimum(
                off, np.linalg.norm(at[i + j] - at[start] - share[:, None] * way, axis=-1)
            )
        step = np.linalg.norm(way, axis=-1) / (lasts + 1)
        found = soon & (off > far) & (step < options.step * off) & (backs[i] == i)
        backs[i[found]] = end[found]
    return backs


def _put(
    track: Track, line: np.ndarray, weight: np.ndarray, ends: np.ndarray
) -> tuple[Track, list[Repaired]]:
    jumped = np.all(np.isfinite(line), axis=-1)
    if not jumped.any():
        return track, []
    xy, score = np.where(jumped[..., None], line, track.xy), track.score.copy()
    metres: dict[str, Any] = {name: at.copy() for name, at in track.places.items() if name != "xy"}
    for t, k in zip(*np.nonzero(jumped), strict=True):
        a, b = ends[t, k]
        score[t, k] = min(track.score[t, k], track.score[a, k], track.score[b, k])
        for name, at in metres.items():
            was = track.places[name]
            at[t, k] = was[a, k] + weight[t, k] * (was[b, k] - was[a, k])
    changes = []
    for t in np.flatnonzero(jumped.any(axis=1)):
        which = np.flatnonzero(jumped[t])
        moved = np.linalg.norm(xy[t, which] - track.xy[t, which], axis=-1)
        changes.append(change_at(track, int(t), "jump", which, moved))
    return replace(track, xy=xy, score=score, **metres), changes
