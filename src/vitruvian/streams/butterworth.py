"""Butterworth: a zero-phase low-pass filter over a recording, forward and backward, without lag.

It needs future frames, so it is for recordings; `streams/one_euro.py` is for streams. Short
gaps are filled first; longer ones stay NaN, as does everything before the first and after the last
value. Times may be uneven: values are resampled to an even grid, filtered, and interpolated back.

Source: Winter 2009, "Biomechanics and Motor Control of Human Movement", 3.4.4.2: two passes of a
second-order filter, its cutoff corrected so that both together pass 71 % of the amplitude at the
cutoff. 6 Hz is his, for walking. Which gaps are filled is our choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError, note
from vitruvian.streams.windows import Pair, changed, put, windows

UNEVEN = 0.01  # of a step: times further off an even grid are resampled
FINER = 4  # grid steps per cutoff period, where frames are more than half a period apart
LEAST_HZ = 0.01  # minimum cutoff: a lower one takes longer than a recording to settle
LOWERED = 0.8  # of the Nyquist frequency: the default cutoff where it would be too high
DENSE = 64  # maximum grid steps per cutoff period, where times are uneven
HOLE = 2.5  # median steps: frames further apart than that and `gap` are filtered separately
SETTLED = 3.5  # cutoff periods after which a filter of order 2 has settled to 1e-6


@dataclass(frozen=True)
class Options:
    """Filter options."""

    cutoff_hz: float = 6.0  # higher frequencies are noise
    order: int = 4  # of both passes together, even
    gap: float = 0.2  # seconds; longer gaps are not filled

    def __post_init__(self) -> None:
        if not LEAST_HZ <= self.cutoff_hz < np.inf:
            raise VitruvianError(f"cutoff_hz is {self.cutoff_hz:g}, want {LEAST_HZ:g} Hz or more")
        if self.order not in (2, 4, 6, 8):
            raise VitruvianError(
                f"order is {self.order!r}, want 2, 4, 6 or 8 (both passes together)"
            )
        if not 0 <= self.gap < np.inf:
            raise VitruvianError(f"gap is {self.gap:g}, want seconds >= 0")


def smooth(track: Track, options: Options = Options(), *, few: bool = False) -> Track:
    """The track filtered: pixels, metres and box; the input is `raw`.

    A filled gap gets the lower of the two scores beside it.

    Raises:
        VitruvianError: the frame rate is too low for the cutoff, and `few` is false.
    """
    known = np.all(np.isfinite(track.xy), axis=-1)
    places = {n: filtered(track.seconds, at, options, few=few) for n, at in track.places.items()}
    score = track.score.copy()
    for k, column in enumerate(known.T):
        filled = np.isfinite(places["xy"][:, k]).all(axis=-1) & ~column
        if filled.any():
            rows, gaps = np.flatnonzero(column), np.flatnonzero(filled)
            after = np.searchsorted(rows, gaps)
            score[gaps, k] = np.minimum(score[rows[after - 1], k], score[rows[after], k])
    box = filtered(track.seconds, track.box, options, few=few)
    return replace(track, box=box, score=score, raw=track, **places)


def filtered(
    seconds: np.ndarray, values: np.ndarray, options: Options = Options(), *, few: bool = False
) -> np.ndarray:
    """(T, ...) float32 of (T, ...), each element filtered separately over (T,) increasing seconds.

    NaN are gaps. A single value, and a run of constant values, stay as they are. `few` allows a
    frame rate too low for the cutoff.
    """
    result = values.astype(np.float64).reshape(len(values), int(np.prod(values.shape[1:])))
    columns: dict[bytes, list[int]] = {}
    for i, column in enumerate(result.T):  # those with the same gaps together
        columns.setdefault(np.isfinite(column).tobytes(), []).append(i)
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    if few and 2 * step * options.cutoff_hz >= 1:
        step = 1 / (FINER * options.cutoff_hz)
    for pattern, which in columns.items():
        known = np.frombuffer(pattern, bool)
        for run in _runs(seconds, known, options.gap):
            part, given = slice(run[0], run[-1] + 1), result[run][:, which]
            result[part, which] = _filtered(seconds[part], seconds[run], given, step, options)
    return result.reshape(values.shape).astype(np.float32)


def _runs(seconds: np.ndarray, known: np.ndarray, gap: float) -> list[np.ndarray]:
    """Row indices with values, split where there are none for longer than `gap` seconds."""
    rows = np.flatnonzero(known)
    if len(rows) < 2:
        return [rows] if len(rows) else []
    apart, usual = np.diff(seconds[rows]), float(np.median(np.diff(seconds)))
    missing = (np.diff(rows) > 1) | (apart > HOLE * usual)  # NaN, or no frames at all
    long = apart > gap + 1e-6  # times are rounded to 1 us
    return np.split(rows, np.flatnonzero(missing & long) + 1)


def _filtered(
    wanted: np.ndarray, seconds: np.ndarray, values: np.ndarray, step: float, options: Options
) -> np.ndarray:
    """(W, C) at `wanted` seconds, of (S, C) values at (S,) seconds; grid step in seconds."""
    if len(seconds) < 2:
        return values
    from scipy.interpolate import Akima1DInterpolator
    from scipy.signal import butter, sosfiltfilt

    span = wanted[-1] - wanted[0]
    most = max(4 * len(wanted), int(span * DENSE * options.cutoff_hz))
    count = min(max(round(span / step), 1), most) + 1
    grid, step = np.linspace(wanted[0], wanted[-1], count, retstep=True)
    even = count == len(wanted) and np.abs(grid - wanted).max() < UNEVEN * step
    if not (even and len(seconds) == len(wanted)):
        values = Akima1DInterpolator(seconds, values, axis=0)(wanted if even else grid)
    nyquist = 0.5 / step
    if options.cutoff_hz >= nyquist:
        raise VitruvianError(
            f"a cutoff of {options.cutoff_hz:g} Hz needs more than {2 * options.cutoff_hz:g} "
            f"frames per second, got {2 * nyquist:g}; give a lower cutoff"
        )
    half = options.order // 2
    # Two passes have a power gain of (1 / (1 + w^2n))^2; it must be 1/2 at the cutoff.
    share = (np.sqrt(2) - 1) ** (1 / (2 * half))
    warped = np.tan(np.pi / 2 * options.cutoff_hz / nyquist) / share
    sections = butter(half, np.arctan(warped) * 2 / np.pi, output="sos")
    # Odd padding at both ends, long enough for the filter to settle.
    beyond = min(count - 1, int(np.ceil(SETTLED / options.cutoff_hz / step)))
    smoothed = sosfiltfilt(sections, values, axis=0, padtype="odd", padlen=beyond)
    return smoothed if even else Akima1DInterpolator(grid, smoothed, axis=0)(wanted)


def lowered(seconds: np.ndarray, options: Options) -> Options:
    """Options with a cutoff below the Nyquist frequency of frames at (T,) increasing seconds."""
    if len(seconds) < 2:
        return options
    nyquist = 0.5 / float(np.median(np.diff(seconds)))
    return options if options.cutoff_hz < nyquist else replace(options, cutoff_hz=LOWERED * nyquist)


class Butterworth:
    """Stream step that filters people; it needs future frames, see `WantsFuture`.

    It reads ahead by twice the `horizon` of a frame, so it differs from `smooth` of the whole by
    at most a millionth. Gaps are filled within people only: a person not found in a frame is not
    added to it.
    """

    def __init__(self, options: Options | None = None) -> None:
        """`options` None: the defaults, with a lower cutoff where the frame rate is too low for it.

        A lowered cutoff is reported on standard error. A given cutoff stays.
        """
        self.options, self.lowers = options or Options(), options is None

    def through(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """The same frames with filtered poses, the input in `raw`; any length of recording.

        Args:
            pairs: frames of a recording in order, people with track ids.

        Raises:
            VitruvianError: the frame rate at the start is too low for a given cutoff. Where it is
                too low later, hardly anything is filtered: noise cannot be told from motion.
        """
        options, few = self.options, False
        for window, part in windows(pairs, horizon(options)):
            if self.lowers and not few:
                fits = lowered(np.array([frame.seconds for frame, _ in window]), options)
                if fits is not options:
                    note(
                        f"frame rate too low for a cutoff of {self.options.cutoff_hz:g} Hz; used "
                        f"{fits.cutoff_hz:.3g} Hz"
                    )
                    options = fits
            people = changed(window, partial(smooth, options=options, few=few))
            few = few or bool(people)
            for i in part:
                yield window[i][0], put(window[i][1], i, people)


def horizon(options: Options) -> float:
    """Seconds before and after a frame that affect it: settling time of the filter, and a gap."""
    return SETTLED / options.cutoff_hz + options.gap
