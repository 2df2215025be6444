"""`mediapipe.tasks.python`."""

from vitruvian.mediapipe.tasks.python import vision as vision
from vitruvian.mediapipe.tasks.python.base_options import BaseOptions as BaseOptions
