"""What old programs import in place of `mediapipe`: the same calls and numbers for bodies.

import vitruvian.mediapipe as mp

It is MediaPipe 0.10.21's interface to BlazePose, run by vitruvian: on any Python and NumPy that
vitruvian runs on, without telemetry. Here are `mp.solutions.pose`, `holistic`, `drawing_utils` and
`drawing_styles`, `mp.tasks.vision.PoseLandmarker`, `mp.Image`, and landmarks as messages; whatever
else MediaPipe has says so where it is used. Docs: docs/mediapipe.md.
"""

import sys
from types import ModuleType

from vitruvian.mediapipe import framework as framework
from vitruvian.mediapipe import solutions as solutions
from vitruvian.mediapipe import tasks as tasks
from vitruvian.mediapipe.framework import formats as formats
from vitruvian.mediapipe.image import Image as Image
from vitruvian.mediapipe.image import ImageFormat as ImageFormat
from vitruvian.mediapipe.tasks.python import base_options, containers, vision

__version__ = "0.10.21"  # of the interface

# Where MediaPipe has the same -> the module here.
_ALSO = {
    "python.solutions": solutions,
    "python.solutions.pose": solutions.pose,
    "python.solutions.drawing_utils": solutions.drawing_utils,
    "python.solutions.drawing_styles": solutions.drawing_styles,
    "python.solutions.holistic": solutions.holistic,
    "python.solutions.hands": solutions.hands,
    "python.solutions.face_mesh": solutions.face_mesh,
    "python.solutions.pose_connections": solutions.pose,
    "python.solutions.hands_connections": solutions.hands,
    "python.solutions.face_mesh_connections": solutions.face_mesh,
    "solutions.pose_connections": solutions.pose,
    "solutions.hands_connections": solutions.hands,
    "solutions.face_mesh_connections": solutions.face_mesh,
    "tasks.components.containers.landmark": containers,
    "tasks.python.components.containers.landmark": containers,
    "tasks.python.components.containers.rect": containers,
    "tasks.python.core.base_options": base_options,
    "tasks.python.vision.pose_landmarker": vision,
    "tasks.python.vision.drawing_utils": solutions.drawing_utils,
    "tasks.python.vision.drawing_styles": solutions.drawing_styles,
    "tasks.python.vision.core.vision_task_running_mode": vision,
    "tasks.python.vision.core.image_processing_options": vision,
}


def _also() -> None:
    """Make those modules importable, and attributes of the ones that they are in."""
    for path, module in _ALSO.items():
        parent, name = sys.modules[__name__], __name__
        *folders, last = path.split(".")
        for folder in folders:
            name = f"{name}.{folder}"
            if name not in sys.modules:
                sys.modules[name] = ModuleType(name)
                setattr(parent, folder, sys.modules[name])
            parent = sys.modules[name]
        sys.modules.setdefault(f"{name}.{last}", module)
        setattr(parent, last, module)


_also()
