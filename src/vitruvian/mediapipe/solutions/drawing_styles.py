"""`mp.solutions.drawing_styles`: the default colours of poses."""

from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.mediapipe.absent import Absent, absent
from vitruvian.mediapipe.solutions.drawing_utils import WHITE_COLOR, DrawingSpec
from vitruvian.mediapipe.solutions.pose import PoseLandmark

LEFT, RIGHT = (0, 138, 255), (231, 217, 0)  # BGR, of MediaPipe 0.10.21


def get_default_pose_landmarks_style() -> dict[PoseLandmark, DrawingSpec]:
    """A colour for each side of the body."""
    colours = [
        LEFT if "left" in name else RIGHT if "right" in name else WHITE_COLOR
        for name in BLAZEPOSE33.keypoints
    ]
    return {PoseLandmark(i): DrawingSpec(colour) for i, colour in enumerate(colours)}


def __getattr__(name: str) -> Absent:
    return absent(__name__, name)
