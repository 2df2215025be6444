"""The skeletons in use, one table each.

A row: keypoint, the earlier keypoints it is joined to, OKS sigma. Faces and hands, which several
tables share, are made by functions.
"""

from collections.abc import Iterable, Sequence
from math import nan
from pathlib import Path

from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError, unknown

Row = tuple[str, str, float]

_COCO: tuple[Row, ...] = (
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

COCO17 = Skeleton.table(
    "coco17",
    "COCO keypoint task: order and bones of the annotation's category, the evaluator's sigmas",
    *_COCO,
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


def _line(names: Sequence[str], closed: bool = False) -> list[tuple[str, str]]:
    """Keypoints that are each joined to the one before; a closed line ends where it began."""
    joined = ["", *names[:-1]]
    if closed:
        joined[-1] += f" {names[0]}"
    return list(zip(names, joined, strict=True))


def _arc(name: str, pairs: int, *middle: str) -> list[str]:
    """From the subject's right through the middle to the left: right_x_1 .. m .. left_x_1."""
    right = [f"right_{name}_{i}" for i in range(1, pairs + 1)]
    return [*right, *middle, *(f"left_{keypoint[6:]}" for keypoint in reversed(right))]


def _face(sigmas: Iterable[float]) -> list[Row]:
    """68 keypoints in the order of iBUG 300-W, which Halpe and COCO-WholeBody share."""
    brows = _arc("brow", 5)
    eye = ["outer", "upper_outer", "upper_inner", "inner", "lower_inner", "lower_outer"]
    other = [eye[i] for i in (3, 2, 1, 0, 5, 4)]  # each eye is listed from the subject's right
    lip = ["left_lip_4", "left_lip_5", "lip_bottom", "right_lip_5", "right_lip_4"]
    mouth = ["left_mouth_3", "mouth_bottom", "right_mouth_3"]
    lines = [
        _line(_arc("jaw", 8, "chin")),
        _line(brows[:5]),
        _line(brows[5:]),
        _line([f"nose_bridge_{i}" for i in range(1, 5)]),
        _line(_arc("nostril", 2, "nose_base")),
        _line([f"right_eye_{part}" for part in eye], closed=True),
        _line([f"left_eye_{part}" for part in other], closed=True),
        _line([*_arc("lip", 3, "lip_top"), *lip], closed=True),
        _line([*_arc("mouth", 2, "mouth_top"), *mouth], closed=True),
    ]
    flat = (keypoint for line in lines for keypoint in line)
    return [(*keypoint, sigma) for keypoint, sigma in zip(flat, sigmas, strict=True)]


def _hand(side: str, wrist: str, sigmas: Iterable[float]) -> list[Row]:
    """21 keypoints: the root of the hand, then each finger from its base to its tip.

    The root is annotated at the wrist, apart from the body's `wrist`, to which it is joined.
    """
    keypoints = [(f"{side}hand", wrist)]
    for finger in ("thumb", "index", "middle", "ring", "pinky"):
        line = _line([f"{side}{finger}_{i}" for i in range(1, 5)])
        keypoints += [(line[0][0], f"{side}hand"), *line[1:]]
    return [(*keypoint, sigma) for keypoint, sigma in zip(keypoints, sigmas, strict=True)]


def _hands(sigmas: Sequence[float]) -> list[Row]:
    return _hand("left_", "left_wrist", sigmas) + _hand("right_", "right_wrist", sigmas)


_HALPE = "Halpe Full-Body: its order; sigmas and bones of the body as AlphaPose c60106d has them"
_HALPE_BODY: tuple[Row, ...] = (
    ("nose", "", 0.026),
    ("left_eye", "nose", 0.025),
    ("right_eye", "nose", 0.025),
    ("left_ear", "left_eye", 0.035),
    ("right_ear", "right_eye", 0.035),
    ("left_shoulder", "", 0.079),
    ("right_shoulder", "", 0.079),
    ("left_elbow", "left_shoulder", 0.072),
    ("right_elbow", "right_shoulder", 0.072),
    ("left_wrist", "left_elbow", 0.062),
    ("right_wrist", "right_elbow", 0.062),
    ("left_hip", "", 0.107),
    ("right_hip", "", 0.107),
    ("left_knee", "left_hip", 0.087),
    ("right_knee", "right_hip", 0.087),
    ("left_ankle", "left_knee", 0.089),
    ("right_ankle", "right_knee", 0.089),
    ("head_top", "", 0.08),
    ("neck", "left_shoulder right_shoulder head_top", 0.08),
    ("mid_hip", "left_hip right_hip neck", 0.08),
    ("left_big_toe", "", 0.089),
    ("right_big_toe", "", 0.089),
    ("left_small_toe", "", 0.089),
    ("right_small_toe", "", 0.089),
    ("left_heel", "left_ankle left_big_toe left_small_toe", 0.089),
    ("right_heel", "right_ankle right_big_toe right_small_toe", 0.089),
)
_HALPE_HANDS = _hands([0.025] * 21)

HALPE26 = Skeleton.table("halpe26", _HALPE, *_HALPE_BODY)
HALPE68 = Skeleton.table("halpe68", f"{_HALPE}; no face", *_HALPE_BODY, *_HALPE_HANDS)
HALPE136 = Skeleton.table("halpe136", _HALPE, *_HALPE_BODY, *_face([0.025] * 68), *_HALPE_HANDS)

# fmt: off
_FACE_SIGMAS = (
    0.042, 0.043, 0.044, 0.043, 0.040, 0.035, 0.031, 0.025, 0.020, 0.023, 0.029, 0.032, 0.037,
    0.038, 0.043, 0.041, 0.045, 0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013,
    0.015, 0.009, 0.007, 0.007, 0.007, 0.012, 0.009, 0.008, 0.016, 0.010, 0.017, 0.011, 0.009,
    0.011, 0.009, 0.007, 0.013, 0.008, 0.011, 0.012, 0.010, 0.034, 0.008, 0.008, 0.009, 0.008,
    0.008, 0.007, 0.010, 0.008, 0.009, 0.009, 0.009, 0.007, 0.007, 0.008, 0.011, 0.008, 0.008,
    0.008, 0.010, 0.008,
)
_HAND_SIGMAS = (
    0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024, 0.022, 0.026,
    0.017, 0.021, 0.021, 0.032, 0.020, 0.019, 0.022, 0.031,
)
# fmt: on
_WHOLEBODY = "COCO-WholeBody: order of data_format.md, sigmas of evaluation/myeval_wholebody.py"

WHOLEBODY133 = Skeleton.table(
    "wholebody133",
    f"{_WHOLEBODY}; bones of the body are COCO's",
    *_COCO,
    ("left_big_toe", "", 0.068),
    ("left_small_toe", "", 0.066),
    ("left_heel", "left_ankle left_big_toe left_small_toe", 0.066),
    ("right_big_toe", "", 0.092),
    ("right_small_toe", "", 0.094),
    ("right_heel", "right_ankle right_big_toe right_small_toe", 0.094),
    *_face(_FACE_SIGMAS),
    *_hands(_HAND_SIGMAS),
)
HAND21 = Skeleton.table("hand21", f"{_WHOLEBODY}; one hand", *_hand("", "", _HAND_SIGMAS))

# MeTRAbs' skeletons, under the names its users know; the order is that of each data set.
_METRABS = "specs/metrabs.md 5, the order of MeTRAbs 8b2b116; bones along the body"

SMPL24 = Skeleton.table(
    "smpl_24",
    _METRABS,
    ("pelvis", "", nan),
    ("left_hip", "pelvis", nan),
    ("right_hip", "pelvis", nan),
    ("spine_1", "pelvis", nan),
    ("left_knee", "left_hip", nan),
    ("right_knee", "right_hip", nan),
    ("spine_2", "spine_1", nan),
    ("left_ankle", "left_knee", nan),
    ("right_ankle", "right_knee", nan),
    ("spine_3", "spine_2", nan),
    ("left_toe", "left_ankle", nan),
    ("right_toe", "right_ankle", nan),
    ("neck", "spine_3", nan),
    ("left_collar", "spine_3", nan),
    ("right_collar", "spine_3", nan),
    ("head", "neck", nan),
    ("left_shoulder", "left_collar", nan),
    ("right_shoulder", "right_collar", nan),
    ("left_elbow", "left_shoulder", nan),
    ("right_elbow", "right_shoulder", nan),
    ("left_wrist", "left_elbow", nan),
    ("right_wrist", "right_elbow", nan),
    ("left_hand", "left_wrist", nan),
    ("right_hand", "right_wrist", nan),
)
H36M17 = Skeleton.table(
    "h36m_17",
    _METRABS,
    ("pelvis", "", nan),
    ("right_hip", "pelvis", nan),
    ("right_knee", "right_hip", nan),
    ("right_ankle", "right_knee", nan),
    ("left_hip", "pelvis", nan),
    ("left_knee", "left_hip", nan),
    ("left_ankle", "left_knee", nan),
    ("spine", "pelvis", nan),
    ("neck", "spine", nan),
    ("head", "neck", nan),
    ("head_top", "head", nan),
    ("left_shoulder", "neck", nan),
    ("left_elbow", "left_shoulder", nan),
    ("left_wrist", "left_elbow", nan),
    ("right_shoulder", "neck", nan),
    ("right_elbow", "right_shoulder", nan),
    ("right_wrist", "right_elbow", nan),
)
COCO19 = Skeleton.table(
    "coco_19",
    f"{_METRABS}; it is CMU Panoptic's order, not COCO's",
    ("neck", "", nan),
    ("nose", "neck", nan),
    ("pelvis", "neck", nan),
    ("left_shoulder", "neck", nan),
    ("left_elbow", "left_shoulder", nan),
    ("left_wrist", "left_elbow", nan),
    ("left_hip", "pelvis", nan),
    ("left_knee", "left_hip", nan),
    ("left_ankle", "left_knee", nan),
    ("right_shoulder", "neck", nan),
    ("right_elbow", "right_shoulder", nan),
    ("right_wrist", "right_elbow", nan),
    ("right_hip", "pelvis", nan),
    ("right_knee", "right_hip", nan),
    ("right_ankle", "right_knee", nan),
    ("left_eye", "nose", nan),
    ("left_ear", "left_eye", nan),
    ("right_eye", "nose", nan),
    ("right_ear", "right_eye", nan),
)
MPI_INF_3DHP17 = Skeleton.table(
    "mpi_inf_3dhp_17",
    _METRABS,
    ("head_top", "", nan),
    ("neck", "", nan),
    ("right_shoulder", "neck", nan),
    ("right_elbow", "right_shoulder", nan),
    ("right_wrist", "right_elbow", nan),
    ("left_shoulder", "neck", nan),
    ("left_elbow", "left_shoulder", nan),
    ("left_wrist", "left_elbow", nan),
    ("right_hip", "", nan),
    ("right_knee", "right_hip", nan),
    ("right_ankle", "right_knee", nan),
    ("left_hip", "", nan),
    ("left_knee", "left_hip", nan),
    ("left_ankle", "left_knee", nan),
    ("pelvis", "right_hip left_hip", nan),
    ("spine", "pelvis neck", nan),
    ("head", "neck head_top", nan),
)

BODY25 = Skeleton.table(
    "body_25",
    "OpenPose 1.7, BODY_25",
    ("nose", "", nan),
    ("neck", "nose", nan),
    ("right_shoulder", "neck", nan),
    ("right_elbow", "right_shoulder", nan),
    ("right_wrist", "right_elbow", nan),
    ("left_shoulder", "neck", nan),
    ("left_elbow", "left_shoulder", nan),
    ("left_wrist", "left_elbow", nan),
    ("mid_hip", "neck", nan),
    ("right_hip", "mid_hip", nan),
    ("right_knee", "right_hip", nan),
    ("right_ankle", "right_knee", nan),
    ("left_hip", "mid_hip", nan),
    ("left_knee", "left_hip", nan),
    ("left_ankle", "left_knee", nan),
    ("right_eye", "nose", nan),
    ("left_eye", "nose", nan),
    ("right_ear", "right_eye", nan),
    ("left_ear", "left_eye", nan),
    # OpenPose's order: arms and legs are right first, the feet left first.
    ("left_big_toe", "left_ankle", nan),
    ("left_small_toe", "left_big_toe", nan),
    ("left_heel", "left_ankle", nan),
    ("right_big_toe", "right_ankle", nan),
    ("right_small_toe", "right_big_toe", nan),
    ("right_heel", "right_ankle", nan),
)
_OPENPOSE = "OpenPose 1.7, pose/poseParameters.cpp"
_BODY25B: tuple[Row, ...] = (
    *_COCO,
    ("neck", "", nan),
    ("head_top", "neck", nan),
    ("left_big_toe", "left_ankle", nan),
    ("left_small_toe", "left_big_toe", nan),
    ("left_heel", "left_ankle", nan),
    ("right_big_toe", "right_ankle", nan),
    ("right_small_toe", "right_big_toe", nan),
    ("right_heel", "right_ankle", nan),
)
BODY25B = Skeleton.table(
    "body_25b", f"{_OPENPOSE}, BODY_25B; its neck is the upper one; body as COCO's", *_BODY25B
)
COCO18 = Skeleton.table(
    "coco_18",
    f"{_OPENPOSE}, COCO",
    ("nose", "", nan),
    ("neck", "nose", nan),
    *[
        (f"{side}_{part}", above.format(side), nan)
        for parts in (
            (("shoulder", "neck"), ("elbow", "{}_shoulder"), ("wrist", "{}_elbow")),
            (("hip", "neck"), ("knee", "{}_hip"), ("ankle", "{}_knee")),
        )
        for side in ("right", "left")
        for part, above in parts
    ],
    ("right_eye", "nose", nan),
    ("left_eye", "nose", nan),
    ("right_ear", "right_eye", nan),
    ("left_ear", "left_eye", nan),
)
BODY135 = Skeleton.table(
    "body_135",
    f"{_OPENPOSE}, BODY_135: as body_25b, then hands without their roots, a face and pupils",
    *_BODY25B,
    *[
        (name, f"{side}_wrist" if above.endswith("_hand") else above, nan)
        for side in ("left", "right")
        for name, above, _ in _hand(f"{side}_", "", [nan] * 21)[1:]
    ],
    *_face([nan] * 68),
    ("right_pupil", "", nan),
    ("left_pupil", "", nan),
)
# Of whom nothing is known but where they are: files of boxes.
BOXES = Skeleton.table("boxes", "boxes without keypoints, as MOT text has them")

# What MeTRAbs' files call keypoints in the middle, and those of a side: "lsho", "rsho".
_MIDDLE = {
    **{"pelv": "pelvis", "spin": "spine", "spi1": "spine_1", "spi2": "spine_2", "spi3": "spine_3"},
    **{"neck": "neck", "head": "head", "htop": "head_top", "nose": "nose"},
}
_SIDED = {
    **{"hip": "hip", "kne": "knee", "ank": "ankle", "toe": "toe", "eye": "eye", "ear": "ear"},
    **{"cla": "collar", "sho": "shoulder", "elb": "elbow", "wri": "wrist", "han": "hand"},
}


def spelled_out(short: str) -> str:
    """A name of MeTRAbs' files in words: "lsho" is left_shoulder, "lsho_smpl" left_shoulder_smpl.

    Names of which nobody has told us the words stay as they are.
    """
    first, *rest = short.split("_")
    side = {"l": "left", "r": "right"}.get(first[:1])
    if first in _MIDDLE:
        return "_".join([_MIDDLE[first], *rest])
    if side and first[1:] in _SIDED:
        return "_".join([side, _SIDED[first[1:]], *rest])
    return short


def conversion(source: Skeleton, target: Skeleton) -> list[int]:
    """For each keypoint of `target` its number in `source`, as an index of an axis of keypoints.

    A keypoint is found by its name. Data sets do not agree where a hip or a head is: what is picked
    is still where `source` has it.

    Raises:
        VitruvianError: `source` does not have them all.
    """
    if missing := [name for name in target.keypoints if name not in source.keypoints]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise VitruvianError(
            f"no conversion from {source.name} to {target.name}: it has no {missing[0]}{more}"
        )
    return [source[name] for name in target.keypoints]


SKELETONS = {
    table.name: table
    for table in (
        *(COCO17, BLAZEPOSE33, HALPE26, HALPE68, HALPE136, WHOLEBODY133, HAND21),
        *(SMPL24, H36M17, COCO19, MPI_INF_3DHP17, BODY25, BODY25B, COCO18, BODY135),
    )
}


def skeleton(name: str) -> Skeleton:
    """The skeleton of that name; `VitruvianError` if there is none."""
    if name not in SKELETONS:
        raise unknown("skeleton", name, SKELETONS)
    return SKELETONS[name]


def find_skeleton(which: str) -> Skeleton:
    """The skeleton of that name, or of a .toml file; `VitruvianError` if there is none."""
    path = Path(which)
    return Skeleton.read(path) if path.suffix.lower() == ".toml" else skeleton(which)
