"""Kalman boxes: where N boxes will be, by a Kalman filter of constant speed for each.

A box is its middle x, y, its width over its height, and its height. The four do not know of each
other, so a covariance is three numbers for each: of the place, of place and speed, of the speed.

Source: Wojke et al. 2017, "Simple Online and Realtime Tracking with a Deep Association Metric"
(DeepSORT), whose standard deviations these are. They are those of a step of one frame, taken here
as a thirtieth of a second, and the noise in between is continuous: two short steps are one long
step, so that 5 and 60 frames a second say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 30.0  # frames a second that the constants are meant for
PLACE = 1 / 20  # of the height: noise of a measurement, and of a frame's motion
SPEED = 1 / 160  # of the height a frame: noise of a frame's acceleration
ASPECT, ASPECT_SPEED, ASPECT_SEEN = 1e-2, 1e-5, 1e-1  # the same of the aspect; of a measurement
LEAST = 1.0  # pixels: sides of a box are not taken to be shorter
ANYWHERE = 1e6  # pixels, standard deviation
CHI2_4, CHI2_2 = 9.4877, 9.2103  # squared Mahalanobis distances: 95 % of 4, 99 % of 2 numbers


@dataclass(frozen=True, eq=False)
class KalmanBoxes:
    """N moving boxes."""

    place: np.ndarray  # (N, 4) float64: x, y, aspect, height; pixels
    speed: np.ndarray  # (N, 4) the same a second
    spread: np.ndarray  # (N, 3, 4) variances: of place, of place and speed, of speed

    @classmethod
    def start(cls, box: np.ndarray) -> KalmanBoxes:
        """Boxes seen for the first time, at rest as far as is known. box: (N, 4) x0 y0 x1 y1."""
        place = _place(box)
        spread = np.zeros((len(box), 3, 4))
        spread[:, 0] = _of(place, 2 * PLACE, ASPECT) ** 2
        spread[:, 2] = (_of(place, 10 * SPEED, ASPECT_SPEED) * RATE) ** 2
        return cls(place, np.zeros_like(place), spread)

    def after(self, seconds: float) -> KalmanBoxes:
        """Where they are some seconds later."""
        at, across, speed = np.moveaxis(self.spread, 1, 0)
        moves = _of(self.place, PLACE, ASPECT) ** 2 * RATE  # a second
        turns = (_of(self.place, SPEED, ASPECT_SPEED) * RATE) ** 2 * RATE
        t = seconds
        spread = [
            at + 2 * t * across + t**2 * speed + t * moves + t**3 / 3 * turns,
            across + t * speed + t**2 / 2 * turns,
            speed + t * turns,
        ]
        place = self.place + t * self.speed
        place[:, 2:] = np.maximum(place[:, 2:], [1e-3, LEAST])
        return KalmanBoxes(place, self.speed, np.stack(spread, axis=1))

    def seen(self, box: np.ndarray) -> KalmanBoxes:
        """Corrected by where they are seen now. box: (N, 4).

        A box that is not as large as expected has lost or won a side, and its middle has moved by
        half of that without anybody moving: so much less is its middle believed (not in DeepSORT).
        """
        at, across, speed = np.moveaxis(self.spread, 1, 0)
        now = _place(box)
        off, noise = now - self.place, self._noise()
        noise[:, 0] += (now[:, 2] * now[:, 3] - self.place[:, 2] * self.place[:, 3]) ** 2 / 4
        noise[:, 1] += off[:, 3] ** 2 / 4
        whole = at + noise
        gain, gain_speed = at / whole, across / whole
        spread = [at - gain * at, across - gain * across, speed - gain_speed * across]
        place = self.place + gain * off
        return KalmanBoxes(place, self.speed + gain_speed * off, np.stack(spread, axis=1))

    def distance(self, box: np.ndarray) -> np.ndarray:
        """(N, M, 4) squared Mahalanobis distances to M boxes, (M, 4); x, y, aspect, height."""
        off = _place(box)[None] - self.place[:, None]
        return off**2 / (self.spread[:, 0] + self._noise())[:, None]

    def unseen(self, anywhere: np.ndarray) -> KalmanBoxes:
        """The same of people out of sight, whose size cannot be foretold and stays.

        Some, (N,) bool, may by now be anywhere and go anywhere.
        """
        speed, spread = self.speed * [1, 1, 0, 0], self.spread.copy()
        speed[anywhere] = 0
        spread[anywhere, :2] = [[ANYWHERE**2], [0]]
        return KalmanBoxes(self.place, speed, spread)

    def scaled(self, across: float, down: float) -> KalmanBoxes:
        """The same in pictures of another size, so many times as wide and as high."""
        by = np.array([across, down, across / down, down])
        return KalmanBoxes(self.place * by, self.speed * by, self.spread * by**2)

    def box(self) -> np.ndarray:
        """(N, 4) x0 y0 x1 y1."""
        x, y, aspect, height = self.place.T
        half = np.stack([aspect * height, height], axis=1) / 2
        middle = np.stack([x, y], axis=1)
        return np.concatenate([middle - half, middle + half], axis=1)

    def _noise(self) -> np.ndarray:
        """(N, 4) variances of a measurement."""
        return _of(self.place, PLACE, ASPECT_SEEN) ** 2

    def take(self, which: np.ndarray | slice) -> KalmanBoxes:
        """Some of them: numbers of rows, a slice, or one truth value each."""
        return KalmanBoxes(self.place[which], self.speed[which], self.spread[which])

    @classmethod
    def join(cls, *parts: KalmanBoxes) -> KalmanBoxes:
        """All of them, in this order."""
        names = ("place", "speed", "spread")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _place(box: np.ndarray) -> np.ndarray:
    """(N, 4) x, y, aspect, height of (N, 4) x0 y0 x1 y1."""
    low, high = box[:, :2].astype(np.float64), box[:, 2:].astype(np.float64)
    width, height = np.maximum(high - low, LEAST).T
    return np.column_stack([(low + high) / 2, width / height, height])


def _of(place: np.ndarray, share: float, aspect: float) -> np.ndarray:
    """(N, 4) standard deviations: a share of the height, but for the aspect."""
    deviation = np.repeat(share * place[:, 3:], 4, axis=1)
    deviation[:, 2] = aspect
    return deviation
