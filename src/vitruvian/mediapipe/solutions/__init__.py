"""`mp.solutions`: poses, and how to draw them. What is not here says so where it is used."""

import sys

from vitruvian.mediapipe.absent import AbsentModule
from vitruvian.mediapipe.solutions import drawing_styles as drawing_styles
from vitruvian.mediapipe.solutions import drawing_utils as drawing_utils
from vitruvian.mediapipe.solutions import pose as pose

for _name in (
    *("face_detection", "face_mesh", "face_mesh_connections", "hands", "hands_connections"),
    *("holistic", "objectron", "selfie_segmentation"),
):
    _module = AbsentModule(f"{__name__}.{_name}", "Not here, see vitruvian.mediapipe.absent.")
    globals()[_name] = sys.modules[_module.__name__] = _module
sys.modules[f"{__name__}.holistic"].__dict__.update(
    POSE_CONNECTIONS=pose.POSE_CONNECTIONS, PoseLandmark=pose.PoseLandmark
)
