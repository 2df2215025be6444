"""`mp.solutions`: poses, whole bodies, and how to draw them.

What is not here says so where it is used.
"""

import sys

from vitruvian.mediapipe.absent import AbsentModule
from vitruvian.mediapipe.solutions import drawing_styles as drawing_styles
from vitruvian.mediapipe.solutions import drawing_utils as drawing_utils
from vitruvian.mediapipe.solutions import face_mesh as face_mesh
from vitruvian.mediapipe.solutions import hands as hands
from vitruvian.mediapipe.solutions import holistic as holistic
from vitruvian.mediapipe.solutions import pose as pose

for _name in ("face_detection", "objectron", "selfie_segmentation"):
    _module = AbsentModule(f"{__name__}.{_name}", "Not here, see vitruvian.mediapipe.absent.")
    globals()[_name] = sys.modules[_module.__name__] = _module
