"""Butterworth: a low-pass filter over a recording, forward and backward, so that nothing lags.

It needs the future, so it is for recordings; `stream/one_euro.py` is for streams. Gaps that are
short are filled first, longer ones stay NaN, and so does all beyond the first and the last value.
Times need not be even: values are filtered on an even grid, and read off at their own times.

Source: Winter 2009, "Biomechanics and Motor Control of Human Movement", 3.4.4.2: two passes of a
second-order filter, whose cutoff is corrected so that both together let 71 % of the amplitude pass
at the cutoff. 6 Hz is his, for walking. Which gaps are filled is our choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from vitruvian.body.track import Track
from vitruvian.errors import VitruvianError, note
from vitruvian.stream.windows import Pair, changed, put, windows

UNEVEN = 0.01  # of a step: times that are off an even grid by more are resampled
FINER = 4  # steps of a grid in a period of the cutoff, where frames are farther apart than half
LEAST_HZ = 0.01  # a cutoff: what is slower takes longer than a recording to settle
LOWERED = 0.8  # of what the frames can show, a cutoff that nobody chose and that is too high
DENSE = 64  # steps of a grid in a period of the cutoff, at most, where times are uneven
HOLE = 2.5  # usual steps: frames farther apart, and than `gap`, do not know of each other
SETTLED = 3.5  # cutoff periods after which a filter of order 2 has forgotten all but 1e-6


@dataclass(frozen=True)
class Options:
    """What can be asked of it."""

    cutoff_hz: float = 6.0  # what is faster is noise
    order: int = 4  # of both passes together, even
    gap: float = 0.2  # seconds; without values for longer, a gap is not filled

    def __post_init__(self) -> None:
        if not LEAST_HZ <= self.cutoff_hz < np.inf:
            raise VitruvianError(f"cutoff_hz is {self.cutoff_hz:g}, want {LEAST_HZ:g} Hz or more")
        if self.order not in (2, 4, 6, 8):
            raise VitruvianError(
                f"order is {self.order!r}, want 2, 4, 6 or 8: both passes together"
            )
        if not 0 <= self.gap < np.inf:
            raise VitruvianError(f"gap is {self.gap:g}, want seconds, not less than 0")


def smooth(track: Track, options: Options = Options(), *, few: bool = False) -> Track:
    """The track filtered: pixels, metres and box; that which came in is `raw`.

    A gap filled has the score of what is beside it, the lower one.

    Raises:
        VitruvianError: there are too few frames a second for the cutoff, unless `few` may be.
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
    """(T, ...) float32 of (T, ...), each element by itself, filtered over (T,) increasing seconds.

    NaN are gaps. One value alone, and a run of values with no motion, stay as they are. `few` says
    that there may be too few frames a second for the cutoff.
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
    """Numbers of rows with values, parted where there are none for longer than `gap` seconds."""
    rows = np.flatnonzero(known)
    if len(rows) < 2:
        return [rows] if len(rows) else []
    apart, usual = np.diff(seconds[rows]), float(np.median(np.diff(seconds)))
    missing = (np.diff(rows) > 1) | (apart > HOLE * usual)  # NaN, or no frames at all
    long = apart > gap + 1e-6  # times are written to a microsecond
    return np.split(rows, np.flatnonzero(missing & long) + 1)


def _filtered(
    wanted: np.ndarray, seconds: np.ndarray, values: np.ndarray, step: float, options: Options
) -> np.ndarray:
    """(W, C) at `wanted` seconds, of (S, C) values at (S,) seconds; a grid has `step` seconds."""
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
            f"frames a second, these are {2 * nyquist:g}; give a lower cutoff"
        )
    half = options.order // 2
    # Two passes let (1 / (1 + w^2n))^2 of the power pass; at the cutoff that shall be a half.
    share = (np.sqrt(2) - 1) ** (1 / (2 * half))
    warped = np.tan(np.pi / 2 * options.cutoff_hz / nyquist) / share
    sections = butter(half, np.arctan(warped) * 2 / np.pi, output="sos")
    # Beyond its ends a run goes on, turned about its end, until the filter has settled.
    beyond = min(count - 1, int(np.ceil(SETTLED / options.cutoff_hz / step)))
    smoothed = sosfiltfilt(sections, values, axis=0, padtype="odd", padlen=beyond)
    return smoothed if even else Akima1DInterpolator(grid, smoothed, axis=0)(wanted)


def lowered(seconds: np.ndarray, options: Options) -> Options:
    """The same with a cutoff that frames at (T,) increasing seconds can show; higher ones stay."""
    if len(seconds) < 2:
        return options
    nyquist = 0.5 / float(np.median(np.diff(seconds)))
    return options if options.cutoff_hz < nyquist else replace(options, cutoff_hz=LOWERED * nyquist)


class Butterworth:
    """The step of a stream that filters people; it wants what comes later, see `WantsFuture`.

    It reads ahead by twice as much as a frame can depend on, `horizon`; so it differs from `smooth`
    of the whole by no more than a millionth. Gaps are filled inside people only: who was not found
    in a frame is not put there.
    """

    def __init__(self, options: Options | None = None) -> None:
        """`options` None: the usual ones, but for a lower cutoff where frames are too few for it.

        That the cutoff is lowered is said on standard error. A cutoff that is given stays.
        """
        self.options, self.lowers = options or Options(), options is None

    def through(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """The same frames with poses filtered, `raw` beside them; of a recording of any length.

        Args:
            pairs: frames of a recording in order, with numbered people.

        Raises:
            VitruvianError: it begins with too few frames a second for a cutoff that was given.
                Where there are too few later, hardly anything is filtered: what would be noise
                cannot be told.
        """
        options, few = self.options, False
        for window, part in windows(pairs, horizon(options)):
            if self.lowers and not few:
                fits = lowered(np.array([frame.seconds for frame, _ in window]), options)
                if fits is not options:
                    note(
                        "too few frames a second for Butterworth's "
                        f"{self.options.cutoff_hz:g} Hz; smoothed with {fits.cutoff_hz:.3g} Hz"
                    )
                    options = fits
            people = changed(window, partial(smooth, options=options, few=few))
            few = few or bool(people)
            for i in part:
                yield window[i][0], put(window[i][1], i, people)


def horizon(options: Options) -> float:
    """Seconds before and after a frame that it depends on: the filter's memory, and a gap."""
    return SETTLED / options.cutoff_hz + options.gap
