"""`mp.tasks`: the Pose Landmarker."""

from vitruvian.mediapipe.tasks import python as python
from vitruvian.mediapipe.tasks.python import BaseOptions as BaseOptions
from vitruvian.mediapipe.tasks.python import vision as vision
