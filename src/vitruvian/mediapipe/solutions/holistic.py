"""`mp.solutions.holistic`: one person with hands and face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.frame import Frame
from vitruvian.mediapipe.absent import absent
from vitruvian.mediapipe.follow import OnePerson
from vitruvian.mediapipe.framework.formats.landmark_pb2 import (
    LandmarkList,
    NormalizedLandmark,
    NormalizedLandmarkList,
)
from vitruvian.mediapipe.solutions.face_mesh import FACEMESH_CONTOURS as FACEMESH_CONTOURS
from vitruvian.mediapipe.solutions.face_mesh import mesh_edges
from vitruvian.mediapipe.solutions.hands import HAND_CONNECTIONS as HAND_CONNECTIONS
from vitruvian.mediapipe.solutions.hands import HandLandmark as HandLandmark
from vitruvian.mediapipe.solutions.pose import POSE_CONNECTIONS as POSE_CONNECTIONS
from vitruvian.mediapipe.solutions.pose import PoseLandmark as PoseLandmark
from vitruvian.mediapipe.solutions.pose import (
    Solution,
    body_of,
    mask_of,
    of_complexity,
    places_of,
    share,
)
from vitruvian.models.load import load
from vitruvian.streams.parts import FollowParts

COMPLEXITY = ("holistic-lite", "holistic", "holistic-heavy")
HAND = len(HandLandmark)
LEFT = slice(len(PoseLandmark), len(PoseLandmark) + HAND)
RIGHT = slice(LEFT.stop, LEFT.stop + HAND)
FACE = slice(RIGHT.stop, None)


class HolisticOutputs(NamedTuple):
    """The result for an image; None: not found."""

    pose_landmarks: NormalizedLandmarkList | None
    pose_world_landmarks: LandmarkList | None
    left_hand_landmarks: NormalizedLandmarkList | None
    right_hand_landmarks: NormalizedLandmarkList | None
    face_landmarks: NormalizedLandmarkList | None
    segmentation_mask: np.ndarray | None  # (H, W) float32, 0..1; None also unless asked for


class Holistic(Solution):
    """MediaPipe's Holistic: its arguments and results."""

    def __init__(
        self,
        static_image_mode: bool = False,
        model_complexity: int = 1,
        smooth_landmarks: bool = True,
        enable_segmentation: bool = False,
        smooth_segmentation: bool = True,
        refine_face_landmarks: bool = False,
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
    ) -> None:
        """Load the networks; see `Pose`.

        Args:
            static_image_mode: whether images are unrelated; hands and faces are followed anyway,
                as in MediaPipe 0.10.21.
            model_complexity: 0, 1 or 2, of the body.
            smooth_landmarks: whether to smooth those of the body.
            enable_segmentation: whether to give masks.
            smooth_segmentation: has no effect.
            refine_face_landmarks: 478 landmarks of the face, with irises, not 468.
            min_detection_confidence: 0..1, of a body found.
            min_tracking_confidence: 0..1, of the presence of a body that is followed.
        """
        model: Any = load(
            of_complexity(model_complexity, COMPLEXITY),
            compat="solutions",
            conf=share(min_detection_confidence),
            presence=share(min_tracking_confidence),
            masks=bool(enable_segmentation),
            refine_face=bool(refine_face_landmarks),
        )
        follow = not static_image_mode
        super().__init__(OnePerson(model.body, follow=follow, smooth=bool(smooth_landmarks)))
        self._new_parts: Callable[[], FollowParts] = lambda: FollowParts(model.parts)
        self._parts = self._new_parts()

    def process(self, image: np.ndarray) -> HolisticOutputs:
        """The most prominent person; errors as of `Pose.process`."""
        body = self._person(image)
        one = replace(body, person=np.zeros(len(body), np.int64))
        poses = self._parts(Frame(image.astype(np.uint8, copy=False)), one)
        if not len(poses):
            return HolisticOutputs(None, None, None, None, None, None)
        left, right, face = (_part(poses, image, which) for which in (LEFT, RIGHT, FACE))
        return HolisticOutputs(*body_of(poses, image), left, right, face, mask_of(poses))

    def reset(self) -> None:
        """Forget the person who is followed."""
        super().reset()
        self._parts = self._new_parts()


def _part(poses: Poses, image: np.ndarray, which: slice) -> NormalizedLandmarkList | None:
    """A hand or the face, without visibility, as MediaPipe gives them."""
    if not np.isfinite(poses.xy[0, which]).all():
        return None
    places = places_of(poses, image, which)
    return NormalizedLandmarkList.of(NormalizedLandmark.of(place) for place in places)


def __getattr__(name: str) -> Any:
    return mesh_edges() if name == "FACEMESH_TESSELATION" else absent(__name__, name)
