"""Regions of interest (ROI) around people: rectangles in the frame that may be rotated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

ENOUGH = 0.5  # of a person's keypoints; with fewer seen, the person is looked for where it was
REACH = 1.25  # of a person over the keypoints that are seen: the top of the head, hands and feet


@dataclass(frozen=True, eq=False)
class Regions:
    """N rotated rectangles, each around one person.

    The input of a top-down model, from a person detector, the previous frame or an annotation. The
    model adds its own margin when it makes crops of them.
    """

    centre: np.ndarray  # (N, 2) pixels of the frame
    size: np.ndarray  # (N, 2) pixels, width and height along the rectangle's own axes
    angle: np.ndarray  # (N,) radians, clockwise as seen; 0 is upright
    score: np.ndarray  # (N,) 0..1
    person: np.ndarray  # (N,) int64, track id of the person expected there, or -1

    @classmethod
    def none(cls) -> Regions:
        """No regions (N = 0)."""
        return cls.boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    @classmethod
    def boxes(cls, box: np.ndarray, score: np.ndarray) -> Regions:
        """Upright rectangles. box: (N, 4) x0 y0 x1 y1, pixels; score: (N,) 0..1."""
        corner, far = box[:, :2], box[:, 2:]
        n = len(box)
        angle, person = np.zeros(n, np.float32), np.full(n, -1, np.int64)
        return cls((corner + far) / 2, far - corner, angle, score, person)

    @classmethod
    def upright(
        cls, hips: np.ndarray, top: np.ndarray, score: np.ndarray, person: np.ndarray
    ) -> Regions:
        """Squares around bodies, rotated so that `top` is straight above `hips`.

        Args:
            hips: (N, 2) pixels of the frame, the middle of the hips: the middle of the square.
            top: (N, 2) pixels of the frame, half a side away from the hips.
            score: (N,) 0..1.
            person: (N,) track ids, or -1.

        Source: MediaPipe AlignmentPointsRectsCalculator with a target angle of 90 degrees.
        """
        x, y = np.moveaxis(top - hips, -1, 0)
        side = 2 * np.hypot(x, y)
        turn = np.pi / 2 - np.arctan2(-y, x)
        angle = turn - 2 * np.pi * np.floor((turn + np.pi) / (2 * np.pi))
        size = np.stack([side, side], axis=-1)
        return cls(hips, size, angle.astype(np.float32), score, person)

    def tops(self) -> np.ndarray:
        """(N, 2) pixels, midpoints of the upper edges: the inverse of `upright`."""
        up = np.stack([np.sin(self.angle), -np.cos(self.angle)], axis=-1)
        return self.centre + up * self.size[:, 1:] / 2

    def squares(self) -> Regions:
        """Squares with the longer side of each region: from boxes to squares around bodies."""
        side = self.size.max(axis=1, initial=0)
        return replace(self, size=np.stack([side, side], axis=-1))

    def boxes_of_bodies(self) -> Regions:
        """Regions three quarters as wide: from squares around bodies to boxes.

        The circle of BlazePose's detector goes around the whole body whatever the pose, so its
        diameter is about the height of a person who stands; three to four is how a top-down
        network that wants upright boxes sees a person.
        """
        return replace(self, size=self.size * np.array([0.75, 1], self.size.dtype))

    def following(self, xy: np.ndarray, seen: np.ndarray) -> Regions:
        """Regions of the same people in the next frame: around the visible keypoints.

        The rotation is kept; with few visible keypoints, the whole region is kept.

        Args:
            xy: (N, K, 2) pixels of the frame, of the people that these regions were of.
            seen: (N, K) bool; a keypoint that is NaN is not.
        """
        seen = seen & np.isfinite(xy).all(axis=-1)
        few = seen.mean(axis=1) < ENOUGH
        cos, sin = np.cos(self.angle)[:, None], np.sin(self.angle)[:, None]
        x, y = np.moveaxis(np.nan_to_num(xy) - self.centre[:, None], -1, 0)
        local = np.stack([cos * x + sin * y, cos * y - sin * x], axis=-1)
        local = np.where((seen | few[:, None])[..., None], local, np.nan)
        low, high = np.nanmin(local, axis=1), np.nanmax(local, axis=1)
        x, y = np.moveaxis((low + high) / 2, -1, 0)
        cos, sin = cos[:, 0], sin[:, 0]
        centre = self.centre + np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
        return replace(
            self,
            centre=np.where(few[:, None], self.centre, centre),
            size=np.where(few[:, None], self.size, (high - low) * np.float32(REACH)),
        )

    @classmethod
    def join(cls, *parts: Regions) -> Regions:
        """Concatenate regions."""
        names = ("centre", "size", "angle", "score", "person")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def __len__(self) -> int:
        return len(self.centre)

    def put(self, rows: np.ndarray, others: Regions) -> Regions:
        """With some rows in place of others, where those are; their scores and people stay."""
        changed = {name: getattr(self, name).copy() for name in ("centre", "size", "angle")}
        for name, values in changed.items():
            values[rows] = getattr(others, name)
        return replace(self, **changed)

    def take(self, which: np.ndarray | list[int] | slice) -> Regions:
        """A subset of the regions, by indices, a slice or a boolean mask."""
        return Regions(
            self.centre[which],
            self.size[which],
            self.angle[which],
            self.score[which],
            self.person[which],
        )

    def corners(self) -> np.ndarray:
        """(N, 4, 2) pixels: bottom left, top left, top right, bottom right, before rotation."""
        unit = np.array([[-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5], [0.5, 0.5]], self.size.dtype)
        local = self.size[:, None] * unit
        cos, sin = np.cos(self.angle)[:, None], np.sin(self.angle)[:, None]
        x = cos * local[..., 0] - sin * local[..., 1]
        y = sin * local[..., 0] + cos * local[..., 1]
        return self.centre[:, None] + np.stack([x, y], axis=-1)

    def bounds(self) -> np.ndarray:
        """(N, 4) x0 y0 x1 y1 pixels, axis-aligned bounding boxes."""
        corners = self.corners()
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=-1)


def turn_in_plane(points: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotate (N, K, 2) or (N, K, 3) points by (N,) radians, clockwise in the image.

    In the image about its corner, in 3D about the optical axis: a network that sees a turned crop
    gives points as in there; this restores their rotation in the frame.
    """
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y = points[..., 0], points[..., 1]
    turned = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
    return np.concatenate([turned, points[..., 2:]], axis=-1)
