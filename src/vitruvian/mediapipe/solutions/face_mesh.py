"""`mp.solutions.face_mesh`: connections of the landmarks of a face; no model."""

from vitruvian.body.skeletons import BLAZEPOSE33, FACE, HOLISTIC, REFINED_FACE
from vitruvian.mediapipe.absent import Absent, absent

FACEMESH_NUM_LANDMARKS, FACEMESH_NUM_LANDMARKS_WITH_IRISES = FACE, REFINED_FACE
FIRST = len(BLAZEPOSE33)  # of the face's keypoints in a body with a face
_BONES = {
    (a - FIRST, b - FIRST) for a, b in HOLISTIC[False, REFINED_FACE].bones if min(a, b) >= FIRST
}
FACEMESH_IRISES = frozenset(bone for bone in _BONES if min(bone) >= FACE)
FACEMESH_CONTOURS = frozenset(_BONES - FACEMESH_IRISES)


def __getattr__(name: str) -> Absent:
    return absent(__name__, name)
