"""The skeletons in use, one table each.

A row: keypoint, the earlier keypoints it is joined to, OKS sigma.
"""

from math import nan

from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import unknown

COCO17 = Skeleton.table(
    "coco17",
    "COCO keypoint task: order and bones of the annotation's category, the evaluator's sigmas",
    ("nose", "", 0.026),
    ("left_eye", "nose", 0.025),
    ("right_eye", "nose left_eye", 0.025),
    ("left_ear", "left_eye", 0.035),
    ("right_ear", "right_eye", 0.035),
    ("left_shoulder", "left_ear", 0.079),
    ("right_shoulder", "right_ear left_shoulder", 0.079),
    ("left_elbow", "left_shoulder", 0.072),
    ("right_elbow", "right_shoulder", 0.072),
    ("left_wrist", "left_elbow", 0.062),
    ("right_wrist", "right_elbow", 0.062),
    ("left_hip", "left_shoulder", 0.107),
    ("right_hip", "right_shoulder left_hip", 0.107),
    ("left_knee", "left_hip", 0.087),
    ("right_knee", "right_hip", 0.087),
    ("left_ankle", "left_knee", 0.089),
    ("right_ankle", "right_knee", 0.089),
)

BLAZEPOSE33 = Skeleton.table(
    "blazepose33",
    "MediaPipe 0.10.21, mediapipe/python/solutions/pose.py (PoseLandmark) and pose_connections.py",
    ("nose", "", nan),
    ("left_eye_inner", "nose", nan),
    ("left_eye", "left_eye_inner", nan),
    ("left_eye_outer", "left_eye", nan),
    ("right_eye_inner", "nose", nan),
    ("right_eye", "right_eye_inner", nan),
    ("right_eye_outer", "right_eye", nan),
    ("left_ear", "left_eye_outer", nan),
    ("right_ear", "right_eye_outer", nan),
    ("mouth_left", "", nan),
    ("mouth_right", "mouth_left", nan),
    ("left_shoulder", "", nan),
    ("right_shoulder", "left_shoulder", nan),
    ("left_elbow", "left_shoulder", nan),
    ("right_elbow", "right_shoulder", nan),
    ("left_wrist", "left_elbow", nan),
    ("right_wrist", "right_elbow", nan),
    ("left_pinky", "left_wrist", nan),
    ("right_pinky", "right_wrist", nan),
    ("left_index", "left_wrist left_pinky", nan),
    ("right_index", "right_wrist right_pinky", nan),
    ("left_thumb", "left_wrist", nan),
    ("right_thumb", "right_wrist", nan),
    ("left_hip", "left_shoulder", nan),
    ("right_hip", "right_shoulder left_hip", nan),
    ("left_knee", "left_hip", nan),
    ("right_knee", "right_hip", nan),
    ("left_ankle", "left_knee", nan),
    ("right_ankle", "right_knee", nan),
    ("left_heel", "left_ankle", nan),
    ("right_heel", "right_ankle", nan),
    ("left_foot_index", "left_ankle left_heel", nan),
    ("right_foot_index", "right_ankle right_heel", nan),
)

SKELETONS = {skeleton.name: skeleton for skeleton in (COCO17, BLAZEPOSE33)}


def skeleton(name: str) -> Skeleton:
    """The skeleton of that name; `VitruvianError` if there is none."""
    if name not in SKELETONS:
        raise unknown("skeleton", name, SKELETONS)
    return SKELETONS[name]
