"""Shapes of hands: how fingers are bent, how far tips are apart, which way the palm faces.

From 21 keypoints of a hand, named as in COCO-WholeBody, in metres if the poses have them, else in
pixels. Lengths are in palms, from the root of the hand at the wrist to the knuckle of the middle
finger. A hand is known if all of its keypoints are, it is large enough, fits its body and its
wrist, and is not the other hand found twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitruvian.analysis.points import dot, lengths, unit_vectors

if TYPE_CHECKING:
    from vitruvian.analysis.posture import Body

SIDES = ("left", "right")
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
SMALLEST = 10.0  # pixels, longer one of length and width of the smallest palm
# Of that, in trunk lengths, smallest and largest: 0.15 to 0.2 of adults; hands held towards the
# camera look larger.
FITS = (0.05, 0.6)
AT_WRIST = 1.2  # palms that the root of a hand may be from the wrist of the body
TWICE = 0.5  # palms between the keypoints of both hands, on average, below which they are one
SURE = 0.75  # 0..1, score of a hand below which it may be something else


def hand_points(side: str) -> tuple[str, ...]:
    """The names of the 21 points of a hand: root, then each finger from its base to its tip."""
    return (
        f"{side}_hand_root",
        *(f"{side}_{finger}_{joint}" for finger in FINGERS for joint in range(1, 5)),
    )


class HandShapes:
    """The hands of N people; each array is (2, N, ...), left and right, NaN where not known."""

    def __init__(self, body: Body) -> None:
        """Measure the hands of a body."""
        names = [name for side in SIDES for name in hand_points(side)]
        at, image = (
            np.stack(np.split(points.stack(names), len(SIDES))).transpose(0, 2, 1, 3)
            for points in (body.points, body.in_pixels.points)
        )  # (2, N, 21, D)
        knuckles = [body.poses.skeleton.places.get(f"{side}_index_1", ()) for side in SIDES]
        # (2, N) 0..1
        self.score = np.stack(
            [body.score[:, own].min(axis=1, initial=1.0) for own in map(list, knuckles)]
        )
        self.known = np.isfinite(at).all(axis=(2, 3)) & self._sound(body, image)
        self.known &= self.score >= SURE
        at = np.where(self.known[..., None, None], at, np.nan)
        image = np.where(self.known[..., None, None], image, np.nan)
        palm = lengths(at[:, :, 9] - at[:, :, 0])
        self.palm = np.where(palm > 0, palm, np.nan)  # metres or pixels
        # (2, N, 5) degrees of all joints of each finger together: 0 is straight.
        self.curl_deg = np.stack([self._curl(at, finger) for finger in range(5)], axis=-1)
        # (2, N, 5) palms from the root to each tip; a straight finger has about 1.8.
        self.reach = lengths(at[:, :, 4::4] - at[:, :, :1]) / self.palm[..., None]
        self.pinch = lengths(at[:, :, 4] - at[:, :, 8]) / self.palm  # (2, N) palms
        size = self._size(image)
        self.pinch_in_image = lengths(image[:, :, 4] - image[:, :, 8]) / size  # (2, N) palms
        self.toward = self._toward(image)

    @staticmethod
    def _size(image: np.ndarray) -> np.ndarray:
        """(2, N) pixels, the longer one of length and width of each palm."""
        length = lengths(image[:, :, 9] - image[:, :, 0])
        return np.maximum(length, lengths(image[:, :, 5] - image[:, :, 17]))

    @staticmethod
    def _sound(body: Body, image: np.ndarray) -> np.ndarray:
        """(2, N) bool, whether hands in the image, (2, N, 21, 2) pixels, can be what they seem."""
        size, poses = HandShapes._size(image), body.poses
        wrists = [poses.skeleton.places.get(f"{side}_wrist", ()) for side in SIDES]
        with np.errstate(invalid="ignore", divide="ignore"):
            sound = size >= SMALLEST
            sound &= ~(size / body.scale < FITS[0]) & ~(size / body.scale > FITS[1])
            away = np.zeros(size.shape)
            if all(wrists):
                for side, own in enumerate(wrists):
                    apart = poses.xy[:, own].mean(axis=1) - image[side, :, 0]
                    away[side] = lengths(apart) / size[side]
            sound &= away <= AT_WRIST
            apart = lengths(image[0] - image[1]).mean(axis=-1) / size.max(axis=0)
            sound &= ~((apart < TWICE) & (away > away[::-1]))
        return sound

    @staticmethod
    def _curl(at: np.ndarray, finger: int) -> np.ndarray:
        """(2, N) degrees, the sum of the bends of the joints of a finger."""
        chain = at[:, :, [0, *range(1 + 4 * finger, 5 + 4 * finger)]]
        along = unit_vectors(np.diff(chain, axis=2))
        cos = dot(along[:, :, 1:], along[:, :, :-1])
        return np.degrees(np.arccos(np.minimum(np.maximum(cos, -1), 1))).sum(axis=-1)

    @staticmethod
    def _toward(image: np.ndarray) -> np.ndarray:
        """(2, N) above 0 if the palm faces the camera, below if the back of the hand does.

        Twice the area, in squared palms, of the triangle of the root and the knuckles of index and
        pinky in the image; about 0.6 of a palm seen from the front, 0 from the edge.
        """
        index, pinky = image[:, :, 5] - image[:, :, 0], image[:, :, 17] - image[:, :, 0]
        turn = index[..., 1] * pinky[..., 0] - index[..., 0] * pinky[..., 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return turn / HandShapes._size(image) ** 2 * np.array([[-1.0], [1.0]])
