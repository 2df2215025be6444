"""`mp.solutions.drawing_styles`: the default colours of bodies, hands and faces."""

from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.mediapipe.absent import Absent, absent
from vitruvian.mediapipe.solutions.drawing_utils import WHITE_COLOR, DrawingSpec
from vitruvian.mediapipe.solutions.face_mesh import (
    FACEMESH_CONTOURS,
    FACEMESH_IRISES,
    FACEMESH_LEFT_EYE,
    FACEMESH_LEFT_EYEBROW,
    FACEMESH_LEFT_IRIS,
    FACEMESH_RIGHT_EYE,
    FACEMESH_RIGHT_EYEBROW,
)
from vitruvian.mediapipe.solutions.hands import HAND_CONNECTIONS, HandLandmark
from vitruvian.mediapipe.solutions.pose import PoseLandmark

# BGR, of MediaPipe 0.10.21
LEFT, RIGHT = (0, 138, 255), (231, 217, 0)  # of a body
RED, GREEN, GREY = (48, 48, 255), (48, 255, 48), (128, 128, 128)
FINGERS = ((180, 229, 255), (128, 64, 128), (0, 204, 255), GREEN, (192, 101, 21))  # from the thumb
# A landmark of each line around an eye, and above and below an eyebrow: the subject's left, right.


def get_default_pose_landmarks_style() -> dict[PoseLandmark, DrawingSpec]:
    """A colour for each side of the body."""
    colours = [
        LEFT if "left" in name else RIGHT if "right" in name else WHITE_COLOR
        for name in BLAZEPOSE33.keypoints
    ]
    return {PoseLandmark(i): DrawingSpec(colour) for i, colour in enumerate(colours)}


def get_default_hand_landmarks_style() -> dict[HandLandmark, DrawingSpec]:
    """A colour for the palm and each finger."""
    return {i: DrawingSpec(_of_finger(i, RED), -1, 5) for i in HandLandmark}


def get_default_hand_connections_style() -> dict[tuple[int, int], DrawingSpec]:
    """A colour for the palm and each finger."""
    return {
        bone: DrawingSpec(GREY, 3)
        if bone[1] in (5, 9, 13, 17) or bone[0] == 0
        else DrawingSpec(_of_finger(bone[1], GREY))
        for bone in HAND_CONNECTIONS
    }


def _of_finger(landmark: int, palm: tuple[int, int, int]) -> tuple[int, int, int]:
    """Fingers have four landmarks each, of which the first is the palm's."""
    finger, joint = divmod(landmark - 1, 4)
    return palm if landmark == 0 or joint == 0 else FINGERS[finger]


def get_default_face_mesh_contours_style(i: int = 0) -> dict[tuple[int, int], DrawingSpec]:
    """A colour for each eye and its brow, white for the rest; only style 0 is here."""
    if i != 0:
        raise ValueError(f"face mesh contours style is {i}, want 0")
    left = FACEMESH_LEFT_EYE | FACEMESH_LEFT_EYEBROW
    right = FACEMESH_RIGHT_EYE | FACEMESH_RIGHT_EYEBROW
    return {
        bone: DrawingSpec(GREEN if bone in left else RED if bone in right else WHITE_COLOR)
        for bone in FACEMESH_CONTOURS
    }


def get_default_face_mesh_iris_connections_style() -> dict[tuple[int, int], DrawingSpec]:
    """A colour for each iris."""
    return {
        bone: DrawingSpec(GREEN if bone in FACEMESH_LEFT_IRIS else RED) for bone in FACEMESH_IRISES
    }


def get_default_face_mesh_tesselation_style() -> DrawingSpec:
    """Thin and grey."""
    return DrawingSpec(GREY, 1)


def __getattr__(name: str) -> Absent:
    return absent(__name__, name)
