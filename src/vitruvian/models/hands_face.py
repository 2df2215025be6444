"""Hands and faces (MediaPipe Holistic): regions, networks, and what they see.

Three points of a body give a rough square around a hand, which a network corrects; the bounds of
its head give one in which a detector finds the face. In a stream, a square around the landmarks of
the previous frame takes the place of the new one if it is near enough: what looks for hands and
faces gets those landmarks, and remembers nothing itself.

Source: MediaPipe 0.10.21, mediapipe/modules/holistic_landmark, hand_landmark, face_detection and
face_landmark (graphs, .pbtxt), as described in specs/holistic.md. Deviation: of several faces in a
square the one nearest to its middle is the person's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vitruvian.body.skeletons import FACE, REFINED_FACE
from vitruvian.decode import anchors, heatmap
from vitruvian.frame import Frame
from vitruvian.geometry.boxes import weighted_nms
from vitruvian.geometry.crop import Crop
from vitruvian.geometry.regions import Regions, turn_in_plane
from vitruvian.network.mediapipe_ops import LEFT_EYE, LIPS, RIGHT_EYE
from vitruvian.network.open import Network

# Indices of the outputs of the hands' network that are needed: landmarks, presence, metres.
HAND_OUTPUTS = (0, 1, 3)
RECROP, HAND, DETECTOR, MESH = 256, 224, 128, 192  # pixels, sides of the networks' inputs
GRIDS = ((16, 2), (8, 6))  # strides 8 and three layers of stride 16: face_detection_short_range
HAND_POINTS, IRIS = 21, 5  # landmarks of a hand, and of an iris
DEPTH = np.float32(0.4)  # normalisation of a hand's z: hand_landmark_cpu.pbtxt
# What lies in the palm, and finger bases: hand_landmarks_to_rect_calculator.cc
PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]


@dataclass(frozen=True)
class Near:
    """How near the previous landmarks must be to take the place of what is found anew.

    Source: roi_tracking_calculator.cc with hand_tracking.pbtxt, face_tracking.pbtxt.
    """

    turn_deg: float  # difference of the angles
    shift: float  # of the middles, along the region's axes, in its sides
    size: float  # difference of the sides, in its sides
    inside: float  # of the region, scaled: it has all previous landmarks inside


NEAR_HAND, NEAR_FACE = Near(40, 0.2, 0.4, 0.9), Near(15, 0.1, 0.3, 0.8)
# How near to the rough square, which is larger, they must be to do without a look for a new one;
# and the score from which the part was surely there. Not MediaPipe's, which looks in each frame.
SURELY_HAND, SURELY_FACE, SURE = Near(90, 0.3, 0.7, 1.2), Near(30, 0.2, 0.7, 1.0), 0.9


@dataclass(frozen=True, eq=False)
class PartLandmarks:
    """M hands or faces."""

    xyz: np.ndarray  # (M, P, 3) pixels of the frame; NaN where not found
    score: np.ndarray  # (M,) 0..1, 0 where not found
    world: np.ndarray | None = None  # (M, P, 3) metres, axes as the camera's


Look = Callable[[], PartLandmarks]  # waits for the networks


def _placed(cut: Crop, local: np.ndarray, side: int, width: np.ndarray) -> np.ndarray:
    """(P, 3) pixels of a crop -> (P, 3) pixels of the frame."""
    depth = local[:, 2:] * np.float32(width / side)
    return np.concatenate([cut.to_frame(local[:, :2]), depth], axis=1)


def _points(p0: np.ndarray, p1: np.ndarray, target: float) -> np.ndarray:
    """(M,) radians by which to turn the direction from p0 to p1, (M, 2) pixels, to `target`."""
    x, y = np.moveaxis(p1 - p0, -1, 0)
    turn = (np.float32(target) - np.arctan2(-y, x)).astype(np.float64)
    return (turn - 2 * np.pi * np.floor((turn + np.pi) / (2 * np.pi))).astype(np.float32)


def _square(
    centre: np.ndarray, size: np.ndarray, angle: np.ndarray, scale: float, shift: float = 0.0
) -> Regions:
    """Squares of the longer sides, scaled, and moved by `shift` heights along their axis.

    Source: RectTransformationCalculator.
    """
    along = np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
    centre = centre + np.float32(shift) * size[:, 1:] * along
    side = size.max(axis=1) * np.float32(scale)
    n = len(centre)
    ones, nobody = np.ones(n, np.float32), np.full(n, -1, np.int64)
    return Regions(centre, np.stack([side, side], axis=-1), angle, ones, nobody)


def _bounds(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest of (M, P, 2); the greatest is at least 0, as in the reference."""
    return points.min(axis=1), np.maximum(points.max(axis=1), 0)


def hand_from_body(points: np.ndarray) -> Regions:
    """Rough squares around hands, from (M, 3, 2) pixels: wrist, pinky and index of the body.

    Source: hand_detections_from_pose_to_rects_calculator.cc.
    """
    wrist, pinky, index = np.moveaxis(points, 1, 0)
    middle = (2 * index + pinky) / 3
    side = 2 * np.hypot(*np.moveaxis(middle - wrist, -1, 0))
    turn = _points(wrist, middle, np.pi / 2)
    return _square(middle, np.stack([side, side], axis=-1), turn, 2.7, -0.1)


def hand_from_landmarks(points: np.ndarray) -> Regions:
    """Squares around hands, from (M, 21, 2) pixels, their landmarks in the previous frame.

    Source: hand_landmarks_to_rect_calculator.cc.
    """
    base = ((points[:, 5] + points[:, 13]) / 2 + points[:, 9]) / 2
    turn = _points(points[:, 0], base, np.pi / 2)
    low, high = _bounds(points[:, PALM])
    middle = (low + high) / 2
    low, high = _bounds(turn_in_plane(points[:, PALM] - middle[:, None], -turn))
    centre = middle + turn_in_plane(((low + high) / 2)[:, None], turn)[:, 0]
    return _square(centre, high - low, turn, 2.0, -0.1)


def face_from_body(points: np.ndarray, eyes: np.ndarray) -> Regions:
    """Rough squares around faces, from (N, P, 2) pixels of heads and (N, 2, 2) right, left eye."""
    low, high = _bounds(points)
    return _square((low + high) / 2, high - low, _points(eyes[:, 0], eyes[:, 1], 0.0), 3.0)


def face_from_landmarks(points: np.ndarray) -> Regions:
    """Squares around faces, from (N, P, 2) pixels, their landmarks in the previous frame."""
    low, high = _bounds(points)
    return _square((low + high) / 2, high - low, _points(points[:, 33], points[:, 263], 0.0), 1.5)


def still_near(new: Regions, old: Regions, points: np.ndarray, near: Near) -> np.ndarray:
    """(M,) bool, whether the region of the previous landmarks takes the place of the new one.

    Args:
        new: of this frame.
        old: around the previous landmarks.
        points: (M, P, 2) pixels, the previous landmarks; NaN: none, which is False.
        near: the limits.
    """
    turn = np.degrees(old.angle - new.angle)
    turn = np.abs(np.where(np.abs(turn) > 180, turn - np.sign(turn) * 360, turn))
    middles = np.stack([new.centre, old.centre], axis=1)
    middle, other = np.moveaxis(turn_in_plane(middles, -new.angle), 1, 0)
    local = np.abs(turn_in_plane(points, -new.angle) - middle[:, None])
    with np.errstate(invalid="ignore"):
        inside = (local < near.inside * new.size[:, None] / 2).all(axis=(1, 2))
        there = np.abs(other - middle) <= near.shift * new.size
        alike = np.abs(old.size - new.size) <= near.size * new.size
        return (turn <= near.turn_deg) & there.all(axis=1) & alike.all(axis=1) & inside


def _followed(
    new: Regions,
    points: np.ndarray,
    around: Callable[[np.ndarray], Regions],
    near: Near,
) -> tuple[Regions, np.ndarray]:
    """Regions to look at: new ones, or those around the previous landmarks, (M, P, 2) or NaN.

    And (M,) bool, which are such.
    """
    followed: np.ndarray = np.asarray(np.isfinite(points).all(axis=(1, 2)))
    rows = np.flatnonzero(followed)
    if not len(rows):
        return new, followed
    old = around(points[rows])
    kept = still_near(new.take(rows), old, points[rows], near)
    followed[rows] = kept
    return new.put(rows[kept], old.take(kept)), followed


def _crops(regions: Regions, side: int) -> list[Crop]:
    rows = zip(regions.centre, regions.size, regions.angle, strict=True)
    return [Crop.turned(*row, (side, side), centre=0) for row in rows]


def _started(
    network: Network, frame: Frame, crops: Sequence[Crop], *, signed: bool = False
) -> Callable[[], tuple[np.ndarray, ...]]:
    """The network begins to look at crops, in the background if it can; call for its outputs.

    Pixels are 0..1, replicated outside of the frame; or -1..1, and black.
    """
    width, height = crops[0].size
    rows = np.empty((len(crops), height, width, 3), np.float32)
    for row, crop in zip(rows, crops, strict=True):
        cut = frame.cut(crop, replicate=not signed)
        np.multiply(cut, np.float32(2 / 255 if signed else 1 / 255), out=row)
    if signed:
        rows -= np.float32(1)
    start: Any = getattr(network, "start", None)
    return start(rows, beside=True) if start else partial(network, rows)


def _or_again(
    look: Look, followed: np.ndarray, again: Callable[[np.ndarray], PartLandmarks]
) -> Look:
    """The look; those who were followed and lost, (M,) bool, are looked for once more."""

    def result() -> PartLandmarks:
        part = look()
        lost = np.flatnonzero(followed & (part.score == 0))
        if len(lost):
            found = again(lost)
            part.xyz[lost], part.score[lost] = found.xyz, found.score
            if part.world is not None:
                part.world[lost] = found.world
        return part

    return result


class HandLandmarks:
    """Finds the landmarks of hands."""

    def __init__(self, recrop: Network, landmarks: Network, presence: float = 0.5) -> None:
        """Put the networks together; `presence`: 0..1, threshold of a hand's presence."""
        self.recrop, self.landmarks, self.presence = recrop, landmarks, presence

    def start(
        self, frame: Frame, rough: Regions, before: np.ndarray, sure: np.ndarray
    ) -> Callable[[], Look]:
        """Begin to look for M hands.

        Args:
            frame: the image.
            rough: of `hand_from_body`.
            before: (M, 21, 2) pixels, landmarks in the previous frame; NaN: there are none.
            sure: (M,) bool, whether those are believed without a look for the hand.

        Returns:
            What goes on, and gives what waits for the result.
        """
        believed = np.where(sure[:, None, None], before, np.nan)
        regions, followed = _followed(rough, believed, hand_from_landmarks, SURELY_HAND)
        again = partial(self._again, frame, rough, before)
        rows = np.flatnonzero(~followed)
        if not len(rows):
            return lambda: _or_again(self.look(frame, regions), followed, again)
        crops = _crops(rough.take(rows), RECROP)
        wait = _started(self.recrop, frame, crops)

        def follow() -> Look:
            new = self.corrected(wait()[0], crops)
            new, _ = _followed(new, before[rows], hand_from_landmarks, NEAR_HAND)
            return _or_again(self.look(frame, regions.put(rows, new)), followed, again)

        return follow

    def _again(
        self, frame: Frame, rough: Regions, before: np.ndarray, lost: np.ndarray
    ) -> PartLandmarks:
        """What is in new regions of these rows."""
        return self.start(frame, rough.take(lost), before[lost], np.zeros(len(lost), bool))()()

    def corrected(self, output: np.ndarray, crops: Sequence[Crop]) -> Regions:
        """Squares around hands, of (M, 1, 1, 4) middles and points below them, pixels of crops."""
        local = output.reshape(len(crops), 2, 2)
        ends = np.stack([crop.to_frame(row) for crop, row in zip(crops, local, strict=True)])
        side = 2 * np.hypot(*np.moveaxis(ends[:, 1] - ends[:, 0], -1, 0))
        turn = _points(ends[:, 0], ends[:, 1], -np.pi / 2)
        return _square(ends[:, 0], np.stack([side, side], axis=-1), turn, 1.0, -0.1)

    def look(self, frame: Frame, regions: Regions) -> Look:
        """Begin to look at these regions; call for what is there."""
        crops = _crops(regions, HAND)
        wait = _started(self.landmarks, frame, crops)
        return lambda: self.decode(wait(), crops, regions)

    def decode(
        self, outputs: Sequence[np.ndarray], crops: Sequence[Crop], regions: Regions
    ) -> PartLandmarks:
        """Decode the network's rows.

        Outputs: (M, 63) 21 times x y z in pixels of the crop; (M, 1) presence, 0..1; (M, 63) metres
        from about the middle of the hand.
        """
        n = len(crops)
        local, world = (output.reshape(n, HAND_POINTS, 3) for output in (outputs[0], outputs[2]))
        local = local * np.array([1, 1, 1 / DEPTH], np.float32)
        rows = zip(crops, local, regions.size[:, 0], strict=True)
        xyz = np.stack([_placed(crop, row, HAND, width) for crop, row, width in rows])
        score = outputs[1][:, 0]
        there = score > self.presence
        turned = turn_in_plane(world, regions.angle)
        xyz, turned = (np.where(there[:, None, None], part, np.nan) for part in (xyz, turned))
        return PartLandmarks(xyz, np.where(there, score, 0), turned)


class FaceLandmarks:
    """Finds the landmarks of faces."""

    anchors = anchors.points(GRIDS)

    def __init__(
        self,
        detector: Network,
        mesh: Network,
        *,
        refined: bool = False,
        conf: float = 0.5,
        nms_iou: float = 0.3,
        presence: float = 0.5,
    ) -> None:
        """Put the networks together.

        Args:
            detector: of faces.
            mesh: of the landmarks.
            refined: whether it is the one with attention.
            conf: 0..1, detection threshold.
            nms_iou: IoU threshold of non-maximum suppression.
            presence: 0..1, threshold of a face's presence.
        """
        self.detector, self.mesh, self.refined = detector, mesh, refined
        self.conf, self.nms_iou, self.presence = conf, nms_iou, presence
        self.points = REFINED_FACE if refined else FACE

    def start(
        self, frame: Frame, rough: Regions, before: np.ndarray, sure: np.ndarray
    ) -> Callable[[], Look]:
        """Begin to look for N faces; as for hands, with `face_from_body` and (N, P, 2)."""
        believed = np.where(sure[:, None, None], before, np.nan)
        regions, followed = _followed(rough, believed, face_from_landmarks, SURELY_FACE)
        again = partial(self._again, frame, rough, before)
        rows = np.flatnonzero(~followed)
        if not len(rows):
            return lambda: _or_again(self.look(frame, regions), followed, again)
        crops = _crops(rough.take(rows), DETECTOR)
        wait = _started(self.detector, frame, crops, signed=True)

        def follow() -> Look:
            outputs = zip(*wait(), crops, strict=True)
            found = [self.detected(*parts) for parts in outputs]
            faces = [face for face in found if face is not None]
            there = rows[[face is not None for face in found]]
            every = regions
            if faces:
                new, _ = _followed(_around(faces), before[there], face_from_landmarks, NEAR_FACE)
                every = regions.put(there, new)
            there = np.union1d(there, np.flatnonzero(followed))
            xyz = np.full((len(rough), self.points, 3), np.nan, np.float32)
            score = np.zeros(len(rough), np.float32)
            if not len(there):
                return lambda: PartLandmarks(xyz, score)
            look = self.look(frame, every.take(there))

            def result() -> PartLandmarks:
                part = look()
                xyz[there], score[there] = part.xyz, part.score
                return PartLandmarks(xyz, score)

            return _or_again(result, followed, again)

        return follow

    def _again(
        self, frame: Frame, rough: Regions, before: np.ndarray, lost: np.ndarray
    ) -> PartLandmarks:
        """What is in new regions of these rows."""
        return self.start(frame, rough.take(lost), before[lost], np.zeros(len(lost), bool))()()

    def detected(self, rows: np.ndarray, logits: np.ndarray, crop: Crop) -> np.ndarray | None:
        """(6, 2) pixels of the frame, keypoints of the face nearest to the crop's middle, if any.

        Args:
            rows: (896, 16) pixels of the crop from the anchors: x y w h, then x y of right eye,
                left eye, nose, mouth, right ear and left ear.
            logits: (896, 1).
            crop: of the detector.
        """
        score = heatmap.sigmoid(np.clip(logits[:, 0], -100, 100))
        keep = score >= self.conf
        boxes = anchors.decode(rows[keep], self.anchors[keep], DETECTOR)
        boxes, _ = weighted_nms(boxes, score[keep], self.nms_iou)
        if not len(boxes):
            return None
        away = np.abs(boxes[:, :2] + boxes[:, 2:4] - 1).max(axis=1)
        points = boxes[np.argmin(away), 4:].reshape(6, 2)
        return crop.to_frame(points * np.float32(DETECTOR))

    def look(self, frame: Frame, regions: Regions) -> Look:
        """Begin to look at these regions; call for what is there."""
        crops = _crops(regions, MESH)
        wait = _started(self.mesh, frame, crops)
        return lambda: self.decode(wait(), crops, regions)

    def decode(
        self, outputs: Sequence[np.ndarray], crops: Sequence[Crop], regions: Regions
    ) -> PartLandmarks:
        """Decode the network's rows.

        Outputs: (N, 1, 1, 1404) 468 times x y z in pixels of the crop; then, of the one with
        attention, lips, eyes and irises; last, presence before the sigmoid.
        """
        n = len(crops)
        local = outputs[0].reshape(n, FACE, 3)
        if self.refined:
            local = with_irises(local, [part.reshape(n, -1, 2) for part in outputs[1:6]])
        rows = zip(crops, local, regions.size[:, 0], strict=True)
        xyz = np.stack([_placed(crop, row, MESH, width) for crop, row, width in rows])
        score = heatmap.sigmoid(outputs[-1].reshape(n))
        there = score > self.presence
        return PartLandmarks(np.where(there[:, None, None], xyz, np.nan), np.where(there, score, 0))


def _around(keypoints: Sequence[np.ndarray]) -> Regions:
    """Squares around faces, from the (6, 2) keypoints of each.

    Source: face_detection_front_detections_to_roi.pbtxt.
    """
    points = np.stack(keypoints)
    low, high = points.min(axis=1), points.max(axis=1)
    turn = _points(points[:, 0], points[:, 1], 0.0)
    return _square((low + high) / 2, high - low, turn, 2.0, -0.1)


def with_irises(mesh: np.ndarray, parts: Sequence[np.ndarray]) -> np.ndarray:
    """(N, 478, 3): a mesh with what was found anew: x and y of lips and eyes, and irises.

    Args:
        mesh: (N, 468, 3).
        parts: (N, P, 2) of lips, left eye, right eye, left iris, right iris, in the unit of the
            mesh.

    Source: LandmarksRefinementCalculator; depth of an iris is the mean of that of its eye.
    """
    mesh = np.concatenate([mesh, np.empty((len(mesh), 2 * IRIS, 3), mesh.dtype)], axis=1)
    for which, part in zip((LIPS, LEFT_EYE, RIGHT_EYE), parts[:3], strict=True):
        mesh[:, list(which), :2] = part
    for i, eye in enumerate((LEFT_EYE, RIGHT_EYE)):
        iris = slice(FACE + i * IRIS, FACE + (i + 1) * IRIS)
        mesh[:, iris, :2] = parts[3 + i]
        depth = mesh[:, list(eye[:16]), 2].mean(axis=1, dtype=np.float64)
        mesh[:, iris, 2] = depth[:, None]
    return mesh
