"""`mp.solutions.face_mesh`: connections of the landmarks of a face; no model."""

from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np

from vitruvian.body.skeletons import FACE, FACE_LINES, REFINED_FACE
from vitruvian.mediapipe.absent import absent

FACEMESH_NUM_LANDMARKS, FACEMESH_NUM_LANDMARKS_WITH_IRISES = FACE, REFINED_FACE
_PARTS = {
    part: frozenset(bone for line in lines for bone in pairwise(line))
    for part, lines in FACE_LINES.items()
}
FACEMESH_LIPS, FACEMESH_FACE_OVAL = _PARTS["lips"], _PARTS["face_oval"]
FACEMESH_LEFT_EYE, FACEMESH_RIGHT_EYE = _PARTS["left_eye"], _PARTS["right_eye"]
FACEMESH_LEFT_EYEBROW, FACEMESH_RIGHT_EYEBROW = _PARTS["left_eyebrow"], _PARTS["right_eyebrow"]
FACEMESH_LEFT_IRIS, FACEMESH_RIGHT_IRIS = _PARTS["left_iris"], _PARTS["right_iris"]
FACEMESH_IRISES = FACEMESH_LEFT_IRIS | FACEMESH_RIGHT_IRIS
FACEMESH_CONTOURS = frozenset().union(*_PARTS.values()) - FACEMESH_IRISES


@cache
def mesh_edges() -> frozenset[tuple[int, int]]:
    """The edges of the face mesh (MediaPipe 0.10.21, Apache-2.0), both ways where it has both."""
    with files("vitruvian.mediapipe.solutions").joinpath("face_mesh.npy").open("rb") as file:
        return frozenset((a, b) for a, b in np.load(file, allow_pickle=False).tolist())


def __getattr__(name: str) -> Any:
    return mesh_edges() if name == "FACEMESH_TESSELATION" else absent(__name__, name)
