"""Translate keypoint and marker names of other programs: RKnee, r_knee, RKNE, KneeRight.

Names stay as a file has them; `places` says which of them are where ours are. A marker on the skin
is taken for the joint under it: of a knee that has one on each side the middle, otherwise the one.

Source: OpenPose 1.7, pose/poseParameters.cpp; Pose2Sim 0.10 and Sports2D, skeletons.py, and the
markers of Pose2Sim's and OpenCap's augmenter (r_knee_study); Vicon, Plug-in Gait Reference Guide;
OpenSim's models gait2392 (R.Knee.Lat) and Rajagopal 2016 (RLFC); Qualisys' CAST marker set
(R_FLE); Kinect's joints (KneeRight); bones of BVH as Mixamo, CMU, Rokoko and Rigify call them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SIDES = {
    **dict.fromkeys(("left", "l", "lt"), "left"),
    **dict.fromkeys(("right", "r", "rt"), "right"),
}
# Ours -> what others call the same part of a side, small letters without anything in between.
_PARTS = {
    "eye": "eye",
    "eye_inner": "eyeinner",
    "eye_outer": "eyeouter",
    "ear": "ear",
    "mouth": "mouth",
    "shoulder": "shoulder sjc",
    "elbow": "elbow ejc",
    "wrist": "wrist wjc",
    "hand": "hand",
    "pinky": "pinky",
    "index": "index",
    "thumb": "thumb",
    "middle_1": "fin",
    "hip": "hip hjc",
    "knee": "knee kjc",
    "ankle": "ankle ajc",
    "heel": "heel hee cal calc fcc",
    "toe": "toe",
    "big_toe": "bigtoe toetip",
    "small_toe": "smalltoe 5meta mt5 fm5",
    "foot_index": "footindex",
    "collar": "collar clavicle",
    # Markers on the skin, which are no keypoints of ours.
    "acromion": "acromion acromium acr sho sae",
    "elbow_lateral": "elb elbowlat lelbow lel hle",
    "elbow_medial": "elbm elbowmed melbow mel hme",
    "wrist_thumb": "wra wristlat lwrist rsp faradius",
    "wrist_little": "wrb wristmed mwrist usp faulna",
    "asis": "asi asis ias",
    "psis": "psi psis ips",
    "knee_lateral": "kne kneelat lfc fle",
    "knee_medial": "knm kneemed mknee mfc fme mkne",
    "ankle_lateral": "ank anklelat lmal fal",
    "ankle_medial": "med anklemed mankle mmal tam mank",
}
_MIDDLE = {
    "nose": "nose",
    "neck": "neck upperneck",
    "head": "head",
    "head_top": "headtop tophead",
    "mid_hip": "midhip chip mhip hip hips",
    "pelvis": "pelvis",
    "sacrum": "sacr sacrum sacral vsacral",
}
# Bones are called by where they begin, and are told by two of them that nothing else has.
_BONES = {
    "hip": "upleg thigh",
    "knee": "leg shin",
    "ankle": "foot",
    "toe": "toebase toe",
    "collar": "shoulder",
    "shoulder": "arm upperarm",
    "elbow": "forearm",
    "wrist": "hand",
}
_STUDY = {"knee": "knee_lateral", "ankle": "ankle_lateral", "shoulder": "acromion"}
# Ours -> other ways to have it, the best first; of two the middle.
_WAYS = {
    "shoulder": (("acromion",),),
    "elbow": (("elbow_lateral", "elbow_medial"), ("elbow_lateral",)),
    "wrist": (("wrist_thumb", "wrist_little"),),
    "knee": (("knee_lateral", "knee_medial"), ("knee_lateral",)),
    "ankle": (("ankle_lateral", "ankle_medial"), ("ankle_lateral",)),
}


def _by_spelling(table: dict[str, str]) -> dict[str, str]:
    return {spelling: ours for ours, spellings in table.items() for spelling in spellings.split()}


_PART, _CENTRE, _BONE = _by_spelling(_PARTS), _by_spelling(_MIDDLE), _by_spelling(_BONES)


def _parted(name: str) -> tuple[str, str]:
    """The side, or "", and the rest in small letters: "Subject:R.Knee.Lat" -> right, kneelat."""
    name = name.rpartition(":")[2].strip()
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)
    small = [word.lower() for word in words]
    study = small[-1:] == ["study"]
    small = small[: len(small) - study]
    for at in (0, -1):
        if len(small) > 1 and small[at] in SIDES:
            side = SIDES[small.pop(at)]
            return side, "".join(small) + ("_study" if study else "")
    whole = "".join(small)
    # "RKNE", "RHip", "lknee"; "rear" alone may be what is behind.
    if whole[:1] in ("l", "r") and whole[1:] in _PART and name != "rear":
        return SIDES[whole[0]], whole[1:] + ("_study" if study else "")
    return "", whole


def known_as(name: str, bones: bool = False) -> str:
    """What a name means, in our words, such as right_knee or left_asis; "" if that is not known.

    Args:
        name: of a keypoint, a marker or a joint.
        bones: whether it is one of `are_bones`.
    """
    side, part = _parted(name)
    if not side:
        return _CENTRE.get(part, "")
    own = part.removesuffix("_study")
    ours = _STUDY.get(own) if own != part else None
    ours = ours or (_BONE.get(own) if bones else None) or _PART.get(own, "")
    if ours == "mouth":  # MediaPipe's order
        return f"mouth_{side}"
    return ours and f"{side}_{ours}"


def are_bones(names: Sequence[str]) -> bool:
    """Whether joints are called by the bones that begin there: LeftUpLeg and LeftLeg."""
    parts = {part for side, part in map(_parted, names) if side}
    return {"upleg", "leg"} <= parts or {"thigh", "shin"} <= parts


def known_names(names: Sequence[str]) -> list[str]:
    """Each name in our words, as it is where its meaning is not known."""
    bones = are_bones(names)
    return [known_as(name, bones) or name for name in names]


def places(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Our name of a place -> the number of the keypoint that is there, or of two it is between.

    A keypoint is also known by its own name.
    """
    known: dict[str, tuple[int, ...]] = {}
    for k, word in enumerate(known_names(names)):
        known.setdefault(word, (k,))
    for k, name in reversed([*enumerate(names)]):
        known[name] = (k,)
    for side in ("left", "right"):
        for part, ways in _WAYS.items():
            listed = (tuple(f"{side}_{each}" for each in way) for way in ways)
            way = next((way for way in listed if all(each in known for each in way)), None)
            if way is not None:
                known.setdefault(f"{side}_{part}", tuple(known[each][0] for each in way))
    return known
