"""Jitter and lag of what is raw, One-Euro (live) and Butterworth (recordings), side by side.

python benchmarks/smoothing.py                   a motion that is known, with noise
python benchmarks/smoothing.py poses.jsonl ...   and people of records, made with smoothing off

Jitter is the median |second difference|, pixels a frame^2; lag the shift in time, milliseconds, at
which a track fits best: the truth, or of records, what was raw; error the RMS distance from the
truth, pixels. The person of the known motion is 300 pixels high, at 30 frames a second; noise is of
2 pixels: white, and half of it like that of networks, which lasts for some frames.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

import vitruvian
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.body.track import Track, tracks
from vitruvian.frame import Frame
from vitruvian.streams import butterworth
from vitruvian.streams.one_euro import OneEuro

RATE, NOISE, SIZE = 30.0, 2.0, 300.0
Pairs = list[tuple[Frame, Poses]]


def one_euro(pairs: Pairs) -> Iterator[tuple[Frame, Poses]]:
    smooth = OneEuro()
    for frame, poses in pairs:
        yield frame, smooth(frame, poses)


def low_pass(cutoff_hz: float):
    return butterworth.Butterworth(butterworth.Options(cutoff_hz)).through


FILTERS = {
    "raw": lambda pairs: pairs,
    "One-Euro": one_euro,
    "Butterworth 6 Hz": low_pass(6.0),
    "Butterworth 3 Hz": low_pass(3.0),
}


def jitter(xy: np.ndarray) -> float:
    return float(np.nanmedian(np.linalg.norm(np.diff(xy, 2, axis=0), axis=-1)))


def lag_ms(xy: np.ndarray, truth: np.ndarray, seconds: np.ndarray) -> float:
    """By how much later xy is: the shift with the least squared distance, between frames too.

    Distances at whole frames, and the parabola through the least and its neighbours: moving a noisy
    track by parts of frames would smooth it.
    """
    shifts, n = range(-4, 9), len(xy)
    costs = [np.nanmean((xy[8 : n - 8] - truth[8 - s : n - 8 - s]) ** 2) for s in shifts]
    best = int(np.clip(np.argmin(costs), 1, len(costs) - 2))
    before, least, after = costs[best - 1 : best + 2]
    vertex = 0.5 * (before - after) / (before - 2 * least + after)
    return float(1000 * (shifts[best] + vertex) * np.median(np.diff(seconds)))


def motions(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """(T, 2) pixels of one wrist for 20 seconds."""
    t = np.arange(600) / RATE
    zero = np.zeros_like(t)
    steps = np.cumsum(rng.normal(0, 30, 20))[(t // 1).astype(int)]
    ease = np.convolve(np.pad(steps, 6, "edge"), np.hanning(13) / np.hanning(13).sum(), "valid")
    return {
        "at rest": np.stack([zero, zero], axis=1),
        "swaying, 0.5 Hz, 30 px": np.stack([30 * np.sin(np.pi * t), zero], axis=1),
        "walking, 1 Hz, 60 px": np.stack(
            [60 * np.sin(2 * np.pi * t), 15 * np.cos(4 * np.pi * t)], axis=1
        ),
        "waving, 3 Hz, 60 px": np.stack([60 * np.sin(6 * np.pi * t), zero], axis=1),
        "reaching, a place a second": np.stack([ease, ease / 2], axis=1),
    }


def noisy(path: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    white = rng.normal(0, NOISE / np.sqrt(2), path.shape)
    lasting = np.zeros_like(path)
    for i in range(1, len(path)):  # it forgets half of itself in two frames
        lasting[i] = 0.7 * lasting[i - 1] + rng.normal(0, NOISE / np.sqrt(2) * 0.71, 2)
    return path + white + lasting


def acted(path: np.ndarray) -> Pairs:
    """A person all of whose keypoints move so."""
    pairs = []
    for i, xy in enumerate(path):
        poses = Poses(
            COCO17,
            xy=np.tile(xy + 300, (1, 17, 1)).astype(np.float32),
            score=np.full((1, 17), 0.9, np.float32),
            box=np.array([[150, 150, 150 + SIZE, 150 + SIZE]], np.float32),
            box_score=np.ones(1, np.float32),
            person=np.ones(1, np.int64),
        )
        pairs.append((Frame(None, i, i / RATE, "motion"), poses))
    return pairs


def longest(pairs) -> Track:
    return max(tracks(pairs, longest=np.inf), key=len)


def main(records: list[str]) -> None:
    rng = np.random.default_rng(0)
    print("| motion | filter | jitter | lag, ms | error |\n|---|---|---|---|---|")
    for name, path in motions(rng).items():
        pairs = acted(noisy(path, rng))
        for filter_name, apply in FILTERS.items():
            track = longest(apply(pairs))
            xy = track.xy[:, 0] - 300
            error = float(np.sqrt(np.mean(np.sum((xy - path) ** 2, axis=1)[30:])))
            lag = f"{lag_ms(xy, path, track.seconds):.0f}" if path.any() else "-"
            print(f"| {name} | {filter_name} | {jitter(xy):.2f} | {lag} | {error:.2f} |")
    for record in records:
        pairs = [(replace(frame, pixels=None), poses) for frame, poses in vitruvian.read(record)]
        raw = longest(pairs)
        for filter_name, apply in FILTERS.items():
            track = next(t for t in tracks(apply(pairs), longest=np.inf) if len(t) == len(raw))
            lag = lag_ms(track.xy, raw.xy, raw.seconds)
            print(f"| {record} | {filter_name} | {jitter(track.xy):.2f} | {lag:.0f} | - |")


if __name__ == "__main__":
    main(sys.argv[1:])
