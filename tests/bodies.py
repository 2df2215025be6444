"""A body whose angles are chosen, for tests: keypoints of any skeleton, in metres.

Axes are the camera's: x right, y down, z away. The body stands upright and faces -z, the camera, so
its left is +x; `turned` turns it. Lengths are those of an adult of 1.75 m, rounded.
"""

from __future__ import annotations

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton

LEFT, UP, FORWARD = np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([0, 0, -1.0])


def rotation_about(axis: np.ndarray, angle_deg: float) -> np.ndarray:
    """(3, 3) the rotation about an axis of length 1. Source: Rodrigues."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(angle_deg)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def turned(xyz: np.ndarray, about: str = "up", angle_deg: float = 0.0) -> np.ndarray:
    """(..., 3) turned about "up" (to the subject's left), "left" (backward) or "forward"."""
    axis = {"up": UP, "left": LEFT, "forward": FORWARD}[about]
    return xyz @ rotation_about(axis, angle_deg).T


# Forward of hanging down is a turn about the left-right axis; this is its sense.
def _swing(vector: np.ndarray, forward_deg: float) -> np.ndarray:
    return rotation_about(LEFT, -forward_deg) @ vector


def named(**angles_deg: float) -> dict[str, np.ndarray]:
    """Where every point is, by name, metres from the middle of the hips.

    Angles: `trunk` (forward), `neck` (forward, against the trunk), and of both sides, or of one as
    `left_knee`: `hip` and `shoulder` (forward, against the trunk), `hip_out`, `shoulder_out`,
    `knee`, `elbow` (bent), `ankle` (toes up).
    """

    def of(name: str, side: str = "") -> float:
        return angles_deg.get(f"{side}_{name}", angles_deg.get(name, 0.0))

    lean = of("trunk")
    trunk = lambda v: _swing(v, -lean)  # noqa: E731  # upright things lean the other way round
    at: dict[str, np.ndarray] = {"mid_hip": np.zeros(3)}
    at["mid_shoulder"] = trunk(0.5 * UP)
    head = at["mid_shoulder"] + trunk(_swing(0.2 * UP, -of("neck")))
    ahead = trunk(_swing(FORWARD, -of("neck")))
    at["mid_ear"], at["nose"] = head, head + 0.1 * ahead
    upward = trunk(_swing(UP, -of("neck")))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        out = sign * LEFT
        at[f"{side}_ear"] = head + 0.08 * out
        at[f"{side}_eye"] = head + 0.08 * ahead + 0.03 * out + 0.03 * upward
        at[f"{side}_shoulder"] = at["mid_shoulder"] + 0.17 * out
        at[f"{side}_hip"] = 0.12 * out
        arm = trunk(_limb(out, of("shoulder", side), of("shoulder_out", side)))
        at[f"{side}_elbow"] = at[f"{side}_shoulder"] + 0.3 * arm
        lower = _bent(arm, of("elbow", side), trunk(FORWARD), 1.0)
        at[f"{side}_wrist"] = at[f"{side}_elbow"] + 0.26 * lower
        at[f"{side}_finger"] = at[f"{side}_wrist"] + 0.09 * lower
        thigh = trunk(_limb(out, of("hip", side), of("hip_out", side)))
        at[f"{side}_knee"] = at[f"{side}_hip"] + 0.42 * thigh
        shank = _bent(thigh, of("knee", side), trunk(FORWARD), -1.0)
        at[f"{side}_ankle"] = at[f"{side}_knee"] + 0.42 * shank
        foot = _bent(shank, 90 + of("ankle", side), trunk(FORWARD), 1.0)
        at[f"{side}_heel"] = at[f"{side}_ankle"] + 0.05 * shank - 0.05 * foot
        at[f"{side}_toe"] = at[f"{side}_heel"] + 0.22 * foot
    return at


def _limb(out: np.ndarray, forward_deg: float, out_deg: float) -> np.ndarray:
    """(3,) hanging down, swung forward, then lifted outward by an angle to that plane."""
    swung, up = _swing(-UP, forward_deg), np.radians(out_deg)
    return np.cos(up) * swung + np.sin(up) * out


def _bent(along: np.ndarray, angle_deg: float, forward: np.ndarray, sense: float) -> np.ndarray:
    """(3,) `along` turned towards forward (sense 1) or backward (-1), in the plane of both."""
    normal = np.cross(along, forward)
    if np.linalg.norm(normal) < 1e-6:  # pointing forward already: as for something hanging
        normal = np.cross(-UP, FORWARD)
    return rotation_about(normal / np.linalg.norm(normal), sense * angle_deg) @ along


_ALIASES = {
    **{"pelvis": "mid_hip", "neck": "mid_shoulder", "head": "mid_ear", "head_top": "mid_ear"},
    **{"left_hand": "left_finger", "right_hand": "right_finger", "spine": "mid_hip"},
}


def body(skeleton: Skeleton, **angles_deg: float) -> np.ndarray:
    """(K, 3) metres; keypoints that `named` does not have are near the one they are likest."""
    at = named(**angles_deg)

    def place(keypoint: str) -> np.ndarray:
        name = _ALIASES.get(keypoint, keypoint)
        if name in at:
            return at[name]
        side = "left" if "left" in name else "right" if "right" in name else ""
        for part, point in (("toe", "toe"), ("foot_index", "toe"), ("heel", "heel"),
                            ("index", "finger"), ("pinky", "finger"), ("thumb", "finger"),
                            ("hand", "finger"), ("middle", "finger"), ("ring", "finger"),
                            ("eye", "eye"),
                            ("mouth", "eye"), ("collar", "shoulder")):  # fmt: skip
            if side and part in name:
                return at[f"{side}_{point}"]
        return at["mid_hip" if name.startswith(("spine", "mid_hip")) else "nose"]

    return np.stack([place(keypoint) for keypoint in skeleton.keypoints])


def seen_as(
    skeleton: Skeleton,
    xyz: np.ndarray,
    *,
    scale: float = 200.0,
    at: tuple[float, float] = (320.0, 240.0),
    score: float | np.ndarray = 0.9,
    person: int = 1,
) -> Poses:
    """Poses of (K, 3) or (N, K, 3) metres, seen from far away: `scale` pixels a metre."""
    xyz = np.asarray(xyz, np.float64)
    xyz = xyz[None] if xyz.ndim == 2 else xyz
    xy = (xyz[..., :2] * scale + at).astype(np.float32)
    n, k = xy.shape[:2]
    box = np.concatenate([np.nanmin(xy, axis=1), np.nanmax(xy, axis=1)], axis=1)
    return Poses(
        skeleton,
        xy=xy,
        score=np.broadcast_to(np.asarray(score, np.float32), (n, k)).copy(),
        box=box,
        box_score=np.full(n, 0.9, np.float32),
        person=np.arange(person, person + n),
        xyz=xyz.astype(np.float32),
        origin="hips",
    )
