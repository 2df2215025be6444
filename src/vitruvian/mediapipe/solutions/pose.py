"""`mp.solutions.pose`: one person in pictures, or followed through a video."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple, Self

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.frame import Frame
from vitruvian.mediapipe.follow import OnePerson
from vitruvian.mediapipe.framework.formats.landmark_pb2 import (
    Landmark,
    LandmarkList,
    NormalizedLandmark,
    NormalizedLandmarkList,
)
from vitruvian.models.load import load

COMPLEXITY = ("blazepose-lite", "blazepose-full", "blazepose-heavy")
STEP = 0.033_333  # seconds from frame to frame, whatever the video

POSE_CONNECTIONS = frozenset(BLAZEPOSE33.bones)


class PoseLandmark(enum.IntEnum):
    """The 33 landmarks, those of `BLAZEPOSE33`."""

    NOSE = 0
    LEFT_EYE_INNER = 1
    LEFT_EYE = 2
    LEFT_EYE_OUTER = 3
    RIGHT_EYE_INNER = 4
    RIGHT_EYE = 5
    RIGHT_EYE_OUTER = 6
    LEFT_EAR = 7
    RIGHT_EAR = 8
    MOUTH_LEFT = 9
    MOUTH_RIGHT = 10
    LEFT_SHOULDER = 11
    RIGHT_SHOULDER = 12
    LEFT_ELBOW = 13
    RIGHT_ELBOW = 14
    LEFT_WRIST = 15
    RIGHT_WRIST = 16
    LEFT_PINKY = 17
    RIGHT_PINKY = 18
    LEFT_INDEX = 19
    RIGHT_INDEX = 20
    LEFT_THUMB = 21
    RIGHT_THUMB = 22
    LEFT_HIP = 23
    RIGHT_HIP = 24
    LEFT_KNEE = 25
    RIGHT_KNEE = 26
    LEFT_ANKLE = 27
    RIGHT_ANKLE = 28
    LEFT_HEEL = 29
    RIGHT_HEEL = 30
    LEFT_FOOT_INDEX = 31
    RIGHT_FOOT_INDEX = 32


class SolutionOutputs(NamedTuple):
    """The result for an image."""

    pose_landmarks: NormalizedLandmarkList | None  # None: nobody
    pose_world_landmarks: LandmarkList | None  # metres, from the hips
    segmentation_mask: np.ndarray | None  # (H, W) float32, 0..1; None unless asked for


class Solution:
    """What Pose and Holistic have in common: one person, and 30 frames per second."""

    def __init__(self, follow: OnePerson) -> None:
        """`follow`: gives the person."""
        self._follow: OnePerson | None = follow
        self._frames = 0

    def _person(self, image: np.ndarray) -> Poses:
        """The person in the next image."""
        if self._follow is None:
            raise ValueError("_graph is None in SolutionBase: it is closed")
        if len(image.shape) < 3:
            raise IndexError(f"image has shape {image.shape}, want (H, W, 3)")
        if image.shape[2:] != (3,):
            raise ValueError("Input image must contain three channel rgb data.")
        if not np.can_cast(image.dtype, np.uint8, "safe"):
            raise TypeError(
                f"Cannot cast array data from {image.dtype!r} to {np.dtype(np.uint8)!r} according "
                "to the rule 'safe'"
            )
        if image.size == 0:
            raise RuntimeError(f"ROI width and height must be > 0: the image is {image.shape}")
        self._frames += 1
        frame = Frame(image.astype(np.uint8, copy=False))
        return self._follow(frame, self._frames * STEP)

    def reset(self) -> None:
        """Forget the person who is followed."""
        if self._follow is not None:
            self._follow.reset()
            self._frames = 0

    def close(self) -> None:
        """Give the networks back; nothing can be processed afterwards."""
        if self._follow is None:
            raise ValueError("Closing SolutionBase._graph which is already None")
        self._follow = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class Pose(Solution):
    """MediaPipe's Pose: its arguments and results."""

    def __init__(
        self,
        static_image_mode: bool = False,
        model_complexity: int = 1,
        smooth_landmarks: bool = True,
        enable_segmentation: bool = False,
        smooth_segmentation: bool = True,
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
    ) -> None:
        """Load the networks.

        Args:
            static_image_mode: whether images are unrelated.
            model_complexity: 0, 1 or 2: lite, full, heavy.
            smooth_landmarks: whether to smooth them over the frames of a video.
            enable_segmentation: whether to give masks.
            smooth_segmentation: has no effect, as in MediaPipe 0.10.21.
            min_detection_confidence: 0..1, of a person found.
            min_tracking_confidence: 0..1, of the presence of a person who is followed.

        Raises:
            ValueError: no such complexity.
            TypeError: a value of another type.
            VitruvianError: the weights are not available.
        """
        model: Any = load(
            of_complexity(model_complexity, COMPLEXITY),
            compat="solutions",
            conf=share(min_detection_confidence),
            presence=share(min_tracking_confidence),
            masks=bool(enable_segmentation),
        )
        follow = not static_image_mode
        super().__init__(OnePerson(model, follow=follow, smooth=bool(smooth_landmarks)))

    def process(self, image: np.ndarray) -> SolutionOutputs:
        """The most prominent person.

        Args:
            image: (H, W, 3) uint8, RGB.

        Raises:
            ValueError: the image has not 3 channels, or it is closed.
            TypeError: the image is not of 8 bits.
            RuntimeError: the image is empty.
        """
        poses = self._person(image)
        if not len(poses):
            return SolutionOutputs(None, None, None)
        return SolutionOutputs(*body_of(poses, image), mask_of(poses))


def body_of(poses: Poses, image: np.ndarray) -> tuple[NormalizedLandmarkList, LandmarkList]:
    """Landmarks of the first person: in the image, and in metres."""
    assert poses.xyz is not None
    scores, body = poses.score[0].tolist(), slice(len(PoseLandmark))
    return (
        NormalizedLandmarkList.of(
            map(NormalizedLandmark.of, places_of(poses, image, body), scores)
        ),
        LandmarkList.of(map(Landmark.of, poses.xyz[0, body].tolist(), scores)),
    )


def places_of(poses: Poses, image: np.ndarray, which: slice) -> list[list[float]]:
    """Positions x y z of some keypoints of the first person, in widths and heights of the image."""
    assert poses.depth is not None
    height, width, _ = image.shape
    size = np.array([width, height, width], np.float32)
    return (np.column_stack([poses.xy[0, which], poses.depth[0, which]]) / size).tolist()


def mask_of(poses: Poses) -> np.ndarray | None:
    """(H, W) of the first person, read-only; None if not asked for."""
    if poses.mask is None:
        return None
    mask = poses.mask[0]
    mask.setflags(write=False)
    return mask


def of_complexity(value: object, names: tuple[str, ...]) -> str:
    """The model of a complexity: 0, 1 or 2."""
    if not isinstance(value, int | np.integer):
        raise TypeError(f"model_complexity is {value!r}, want 0, 1 or 2")
    if value not in (0, 1, 2):
        raise ValueError(f"model_complexity is {value}, want 0, 1 or 2")
    return names[value]


def share(value: float) -> float:
    """MediaPipe takes any number as a threshold; those outside of 0..1 are as good as these."""
    return min(max(float(np.float32(value)), 0.0), 1.0)
