"""Kalman boxes: predicts N bounding boxes, each by a constant-velocity Kalman filter.

State: center x, y, aspect ratio (width / height), height, and their speeds. The four are
independent, so a covariance is three numbers for each: place, place and speed, speed.

Source: Wojke et al. 2017, "Simple Online and Realtime Tracking with a Deep Association Metric"
(DeepSORT), whose standard deviations these are. They are per frame, taken here as 1/30 s, with
continuous process noise: two short steps equal one long step, so 5 and 60 frames/s give the same
result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 30.0  # frames/s, for which the constants are meant
PLACE = 1 / 20  # of the height: noise of a measurement, and process noise per frame
SPEED = 1 / 160  # of the height per frame: process noise of the speed per frame
ASPECT, ASPECT_SPEED, ASPECT_SEEN = 1e-2, 1e-5, 1e-1  # same, aspect ratio; its measurement
LEAST = 1.0  # pixels, minimum side of a box
_LEAST = np.array([1e-3, LEAST])  # aspect and height of a prediction
ANYWHERE = 1e6  # pixels, standard deviation
CHI2_4, CHI2_2 = 9.4877, 9.2103  # squared Mahalanobis distances: 95 % of 4, 99 % of 2 numbers


@dataclass(frozen=True, eq=False)
class KalmanBoxes:
    """N moving boxes."""

    place: np.ndarray  # (N, 4) float64: x, y, aspect, height; pixels
    speed: np.ndarray  # (N, 4) the same per second
    spread: np.ndarray  # (N, 3, 4) covariances: place, place and speed, speed

    @classmethod
    def start(cls, box: np.ndarray) -> KalmanBoxes:
        """Initial state, with speed 0, from first detections. box: (N, 4) x0 y0 x1 y1."""
        place = box_place(box)
        spread = np.zeros((len(box), 3, 4))
        spread[:, 0] = _of(place, 2 * PLACE, ASPECT) ** 2
        spread[:, 2] = (_of(place, 10 * SPEED, ASPECT_SPEED) * RATE) ** 2
        return cls(place, np.zeros_like(place), spread)

    def after(self, seconds: float) -> KalmanBoxes:
        """Prediction some seconds later."""
        at, across, speed = self.spread[:, 0], self.spread[:, 1], self.spread[:, 2]
        moves = _of(self.place, PLACE, ASPECT) ** 2 * RATE  # per second
        turns = (_of(self.place, SPEED, ASPECT_SPEED) * RATE) ** 2 * RATE
        t, spread = seconds, np.empty_like(self.spread)
        spread[:, 0] = at + 2 * t * across + t**2 * speed + t * moves + t**3 / 3 * turns
        spread[:, 1] = across + t * speed + t**2 / 2 * turns
        spread[:, 2] = speed + t * turns
        place = self.place + t * self.speed
        place[:, 2:] = np.maximum(place[:, 2:], _LEAST)
        return KalmanBoxes(place, self.speed, spread)

    def seen(self, box: np.ndarray) -> KalmanBoxes:
        """Update with the measured boxes. box: (N, 4).

        A box of unexpected size has lost or gained at one side, which moves its center by half of
        that without motion: that is added to the noise of the center (not in DeepSORT).
        """
        at, across, speed = self.spread[:, 0], self.spread[:, 1], self.spread[:, 2]
        now = box_place(box)
        off, noise = now - self.place, self._noise()
        noise[:, 0] += (now[:, 2] * now[:, 3] - self.place[:, 2] * self.place[:, 3]) ** 2 / 4
        noise[:, 1] += off[:, 3] ** 2 / 4
        whole = at + noise
        gain, gain_speed = at / whole, across / whole
        spread = np.empty_like(self.spread)
        spread[:, 0], spread[:, 1] = at - gain * at, across - gain * across
        spread[:, 2] = speed - gain_speed * across
        return KalmanBoxes(self.place + gain * off, self.speed + gain_speed * off, spread)

    def distance(self, box: np.ndarray) -> np.ndarray:
        """(N, M, 4) squared Mahalanobis distances to (M, 4) boxes: x, y, aspect, height."""
        off = box_place(box)[None] - self.place[:, None]
        return off**2 / (self.spread[:, 0] + self._noise())[:, None]

    def unseen(self, anywhere: np.ndarray) -> KalmanBoxes:
        """State of unmatched people: their size cannot be predicted and stays.

        Place and speed of those in `anywhere`, (N,) bool, are unknown.
        """
        speed, spread = self.speed * [1, 1, 0, 0], self.spread.copy()
        speed[anywhere] = 0
        spread[anywhere, :2] = [[ANYWHERE**2], [0]]
        return KalmanBoxes(self.place, speed, spread)

    def scaled(self, across: float, down: float) -> KalmanBoxes:
        """Rescaled to another frame size, by factors of width and height."""
        by = np.array([across, down, across / down, down])
        return KalmanBoxes(self.place * by, self.speed * by, self.spread * by**2)

    def box(self) -> np.ndarray:
        """(N, 4) x0 y0 x1 y1."""
        middle, half = self.place[:, :2], self.place[:, 2:] / 2
        half[:, 0] *= self.place[:, 3]
        return np.concatenate([middle - half, middle + half], axis=1)

    def _noise(self) -> np.ndarray:
        """(N, 4) variances of a measurement."""
        return _of(self.place, PLACE, ASPECT_SEEN) ** 2

    def take(self, which: np.ndarray | slice) -> KalmanBoxes:
        """A subset: row indices, a slice, or a boolean mask."""
        return KalmanBoxes(self.place[which], self.speed[which], self.spread[which])

    @classmethod
    def join(cls, *parts: KalmanBoxes) -> KalmanBoxes:
        """Concatenate, in this order."""
        names = ("place", "speed", "spread")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def box_place(box: np.ndarray) -> np.ndarray:
    """(N, 4) x, y, aspect, height of (N, 4) x0 y0 x1 y1."""
    low, high = box[:, :2].astype(np.float64), box[:, 2:].astype(np.float64)
    place = np.concatenate([(low + high) / 2, np.maximum(high - low, LEAST)], axis=1)
    place[:, 2] /= place[:, 3]
    return place


def _of(place: np.ndarray, share: float, aspect: float) -> np.ndarray:
    """(N, 4) standard deviations: a share of the height; `aspect` for the aspect."""
    deviation = np.empty_like(place)
    deviation[:] = share * place[:, 3:]
    deviation[:, 2] = aspect
    return deviation
