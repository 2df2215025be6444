"""Joint and segment angles in degrees per frame, defined in one table: `TABLE`.

An angle is between a direction of the body and another one, or the vertical. Forward is where the
person faces, so flexion is positive on both sides and in both walking directions:

- in 3D forward is left times up: the line of hips and shoulders, and the trunk (or the vertical);
- in 2D the person must be seen from the side, `facing_direction` tells which one. Angles that need
  forward are NaN from the front or behind; angles that need the subject's left, and lines from left
  to right, are NaN from the side.

Up is the image's up, in 3D against the camera's y axis, unless given.

Angles of fingers and of the face are only for skeletons that have them: `parts`. Those of a face
are from its keypoints in pixels in 2D and in 3D, see `analysis/head.py`.

Source: each row states its convention. "ISB" is Wu et al. 2002 (hip, ankle) and 2005 (shoulder,
elbow), Journal of Biomechanics 35 and 38, as far as keypoints allow: they do not give the rotation
of a segment about its own axis. "Sports2D" is the documentation of Sports2D 0.8, whose points are
the same; its segment angles are from the horizontal and counterclockwise in the image, these are
from the vertical and forward, so that left and right and both walking directions agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

from vitruvian.analysis.hands import FINGERS
from vitruvian.analysis.head import FACE_DEG, face_deg, has_face
from vitruvian.analysis.points import BodyPoints, cross, dot, lengths, unit_vectors
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.state import SEEN
from vitruvian.errors import VitruvianError, unknown

Space = Literal["2d", "3d"]
Way = Literal["bend", "between", "foot", "swing", "tilt", "side", "out", "turn", "spread", "face"]
UP: dict[Space, tuple[float, ...]] = {"2d": (0.0, -1.0), "3d": (0.0, -1.0, 0.0)}
FROM_THE_SIDE = 0.5  # maximum shoulder distance in profile, in trunk lengths; from the front 0.7
FACING = 0.08  # minimum length of nose or foot across the trunk, same unit; in profile 0.2, 0.4
SHORTEST = 0.2  # minimum part of a direction in the plane of its angle: 0.2 is 12 degrees


@dataclass(frozen=True)
class Angle:
    """A row of the table."""

    name: str
    way: Way
    # Two: a direction, first to second; three: a joint, the middle one; four: two directions.
    points: tuple[str, ...]
    to: str  # reference direction: "trunk", "vertical", or none
    down: bool  # whether it is zero pointing down
    zero: str
    positive: str
    range_deg: tuple[int, int]  # possible values
    spaces: tuple[Space, ...]
    source: str
    odd: bool = False  # whether mirroring the body changes the sign
    part: str = ""  # "hand" or "face"; "" of the body

    @property
    def view(self) -> str:
        """Required view of the person in 2D: "side", "front" (or behind), "" for any."""
        if self.odd and not self.part:
            return "front"
        return "side" if self.way in ("swing", "tilt", "foot") else ""


_BOTH: tuple[Space, ...] = ("2d", "3d")
_3D: tuple[Space, ...] = ("3d",)


def _rows() -> list[Angle]:
    rows = []
    for side in ("left", "right"):
        hip, knee, ankle, heel, toe, shoulder, elbow, wrist, finger = (
            f"{side}_{part}"
            for part in (
                *("hip", "knee", "ankle", "heel", "toe"),
                *("shoulder", "elbow", "wrist", "finger"),
            )
        )
        isb, sports = "ISB, Sports2D", "Sports2D, from the vertical"
        rows += [
            Angle(f"{knee}_flexion", "bend", (hip, knee, ankle), "", False,
                  "straight", "flexion, direction unknown", (0, 180), _BOTH, isb),
            Angle(f"{elbow}_flexion", "bend", (shoulder, elbow, wrist), "", False,
                  "straight", "flexion, direction unknown", (0, 180), _BOTH, isb),
            Angle(f"{wrist}_flexion", "bend", (elbow, wrist, finger), "", False,
                  "straight", "flexion, direction unknown", (0, 180), _BOTH, "ISB"),
            Angle(f"{ankle}_dorsiflexion", "foot", (heel, toe, ankle, knee), "", False,
                  "foot perpendicular to the shank", "toes towards the shin", (-90, 90), _BOTH,
                  isb),
            Angle(f"{hip}_flexion", "swing", (hip, knee), "trunk", True,
                  "thigh in line with the trunk", "thigh forward", (-180, 180), _BOTH, isb),
            Angle(f"{hip}_abduction", "out", (hip, knee), "trunk", True,
                  "thigh in the sagittal plane", "outward", (-90, 90), _3D, "ISB"),
            Angle(f"{shoulder}_flexion", "swing", (shoulder, elbow), "trunk", True,
                  "arm along the trunk", "arm forward", (-180, 180), _BOTH, isb),
            Angle(f"{shoulder}_abduction", "out", (shoulder, elbow), "trunk", True,
                  "arm in the sagittal plane", "outward", (-90, 90), _3D, "ISB"),
            Angle(f"{shoulder}_elevation", "between", (shoulder, elbow), "trunk", True,
                  "arm along the trunk", "away from it, any direction", (0, 180), _BOTH, "ISB"),
            Angle(f"{side}_thigh", "swing", (hip, knee), "vertical", True,
                  "hanging down", "knee forward", (-180, 180), _BOTH, sports),
            Angle(f"{side}_shank", "swing", (knee, ankle), "vertical", True,
                  "hanging down", "ankle forward", (-180, 180), _BOTH, sports),
            Angle(f"{side}_foot", "tilt", (heel, toe), "vertical", False,
                  "level", "toes up", (-90, 90), _BOTH, "Sports2D"),
            Angle(f"{side}_upper_arm", "swing", (shoulder, elbow), "vertical", True,
                  "hanging down", "elbow forward", (-180, 180), _BOTH, sports),
            Angle(f"{side}_forearm", "swing", (elbow, wrist), "vertical", True,
                  "hanging down", "wrist forward", (-180, 180), _BOTH, sports),
        ]  # fmt: skip
    trunk, hips, shoulders = (
        ("mid_hip", "mid_shoulder"),
        ("right_hip", "left_hip"),
        ("right_shoulder", "left_shoulder"),
    )
    neck, head = ("mid_shoulder", "mid_ear"), ("mid_ear", "nose")
    left = "left end higher"
    rows += [
        Angle("trunk_lean", "swing", trunk, "vertical", False,
              "upright", "forward", (-180, 180), _BOTH, "Sports2D, from the vertical"),
        Angle("trunk_side_lean", "side", trunk, "vertical", False,
              "upright", "to the subject's left", (-180, 180), _BOTH, "Sports2D", odd=True),
        Angle("trunk_tilt", "between", trunk, "vertical", False,
              "upright", "any direction", (0, 180), _BOTH, "inclination, as from an inclinometer"),
        Angle("neck_flexion", "swing", neck, "trunk", False,
              "ears above the shoulders, along the trunk", "forward", (-180, 180), _BOTH, "ISB"),
        Angle("neck_side_bend", "side", neck, "trunk", False,
              "ears above the shoulders", "to the subject's left", (-180, 180), _BOTH, "ISB",
              odd=True),
        Angle("head_pitch", "tilt", head, "trunk", False,
              "ears to nose perpendicular to the trunk", "nose up", (-90, 90), _BOTH, "ISB"),
        Angle("head_turn", "turn", head, "trunk", False,
              "nose straight ahead of the shoulders", "to the subject's left", (-180, 180), _3D,
              "ISB", odd=True),
        Angle("pelvis_obliquity", "tilt", hips, "vertical", False,
              "level", left, (-90, 90), _BOTH, "Sports2D: pelvis", odd=True),
        Angle("shoulders_obliquity", "tilt", shoulders, "vertical", False,
              "level", left, (-90, 90), _BOTH, "Sports2D: shoulders", odd=True),
    ]  # fmt: skip
    return rows


def _finger_rows() -> list[Angle]:
    """Flexion of the joints of fingers, and spread between them."""
    rows = list[Angle]()
    for side in ("left", "right"):
        bases, roots = dict[str, tuple[str, str]](), f"{side}_hand_root"
        for finger in FINGERS:
            chain = (roots, *(f"{side}_{finger}_{joint}" for joint in range(1, 5)))
            joints = ("cmc", "mcp", "ip") if finger == "thumb" else ("mcp", "pip", "dip")
            # Of the thumb the metacarpal, of the others the first phalanx.
            bases[finger] = chain[1], chain[2]
            for i, joint in enumerate(joints):
                rows.append(
                    Angle(f"{side}_{finger}_{joint}_flexion", "bend", chain[i : i + 3], "", False,
                          "straight", "flexion, direction unknown", (0, 180), _BOTH, "ISB",
                          part="hand")
                )  # fmt: skip
        # Of the thumb against the metacarpal of the index finger.
        bases["index_metacarpal"] = roots, f"{side}_index_1"
        pairs = (("thumb", "index_metacarpal"), *pairwise(FINGERS[1:]))
        for one, other in pairs:
            name = f"{side}_{one}_{other.removesuffix('_metacarpal')}_spread"
            rows.append(
                Angle(name, "spread", (*bases[one], *bases[other]), "", False,
                      "parallel", "apart, direction unknown", (0, 180), _BOTH, "ISB", part="hand")
            )  # fmt: skip
    return rows


def _face_rows() -> list[Angle]:
    """Yaw, pitch and roll of a face, from the line of sight."""
    seen, source = "the camera's line of sight", "canonical face of MediaPipe, scaled orthographic"
    return [
        Angle("face_yaw", "face", (), seen, False, "facing the camera", "to the subject's left",
              (-180, 180), _BOTH, source, odd=True, part="face"),
        Angle("face_pitch", "face", (), seen, False, "facing the camera", "up",
              (-90, 90), _BOTH, source, part="face"),
        Angle("face_roll", "face", (), seen, False, "upright in the image",
              "towards the subject's left shoulder", (-180, 180), _BOTH, source, odd=True,
              part="face"),
    ]  # fmt: skip


TABLE: tuple[Angle, ...] = (*_rows(), *_finger_rows(), *_face_rows())
_BY_NAME = {angle.name: angle for angle in TABLE}


def angle_definitions(space: Space, parts: bool = False) -> tuple[Angle, ...]:
    """The A angle definitions of a space; `parts`: those of fingers and of the face as well."""
    return tuple(angle for angle in TABLE if space in angle.spaces and (parts or not angle.part))


@cache
def angle_names(space: Space = "2d", parts: bool = False) -> tuple[str, ...]:
    """The A names, in the order of the columns of `angles_deg`; those of `parts` are last."""
    return tuple(angle.name for angle in angle_definitions(space, parts))


def has_parts(skeleton: Skeleton) -> bool:
    """Whether a skeleton has fingers or a face."""
    return bool({"left_hand", "right_hand", "face"} & skeleton.parts.keys())


def match_angles(words: str | Sequence[str], space: Space = "2d") -> tuple[str, ...]:
    """Expand words to angle names: a name of the table, or the beginning or end of one.

    `left_knee` is `left_knee_flexion`; `knee` is that of both sides; `trunk` is `trunk_lean`: the
    first match in the table.

    Raises:
        VitruvianError: no such angle in this space.
    """
    words = words.split(",") if isinstance(words, str) else words
    known, found = angle_names(space, parts=True), list[str]()
    for word in filter(None, (word.strip() for word in words)):
        if word not in known and any(angle.name == word for angle in TABLE):
            raise VitruvianError(f"{word} needs 3D coordinates in metres; use a 3D model")
        begins = [next((n for n in known if n == w or n.startswith(f"{w}_")), "")
                  for w in (word, f"left_{word}", f"right_{word}")]  # fmt: skip
        meant = [word] if word in known else begins[:1] if begins[0] else [*filter(None, begins)]
        if not meant:
            body = angle_names(space)
            joints = {name.split("_")[1] for name in body if name.startswith("left_")}
            raise unknown("angle", word, [*known, *joints])
        found += [name for name in meant if name not in found]
    return tuple(found)


def required_points(name: str) -> tuple[str, ...]:
    """The points that define an angle; empty for an unknown name."""
    angle = _BY_NAME.get(name)
    if angle is None:
        return ()
    return (*angle.points, *(("mid_hip", "mid_shoulder") if angle.to else ()))


def available_angles(skeleton: Skeleton, space: Space = "2d") -> tuple[str, ...]:
    """The angles whose points a skeleton has, of parts as well; all others are always NaN."""
    zero = np.zeros((0, len(skeleton), 2))
    points = BodyPoints(skeleton, zero, zero[..., 0])
    return tuple(
        angle.name
        for angle in angle_definitions(space, parts=True)
        if (
            has_face(points)
            if angle.part == "face"
            else all(map(points.has, required_points(angle.name)))
        )
    )


def expected_angles(skeleton: Skeleton, space: Space, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """The angles of the body, of the parts that a skeleton has, and those that are asked for."""
    own = {part.rpartition("_")[2] for part in skeleton.parts}
    definitions = angle_definitions(space, parts=True)
    return tuple(a.name for a in definitions if not a.part or a.part in own or a.name in asked)


def angles_deg(
    poses: Poses,
    space: Space = "2d",
    *,
    seen: float = SEEN,
    up: Sequence[float] | None = None,
    parts: bool = False,
) -> np.ndarray:
    """(N, A) float32 degrees, a column for each of `angle_names(space)`; NaN where unknown.

    Args:
        poses: all people in a frame.
        space: "2d" from `xy`, "3d" from `xyz`.
        seen: 0..1, confidence threshold of keypoints.
        up: the upward direction, in pixels or metres; for a tilted camera, `camera.up`.
        parts: whether to measure fingers and the face as well: `angle_names(space, parts)`.

    Raises:
        VitruvianError: 3D is requested and the poses have none.
    """
    at = body_coordinates(poses, space)
    return angles_of_points_deg(
        poses.skeleton, at, poses.score, space, seen, up, parts=parts, xy=poses.xy
    )


def body_coordinates(poses: Poses, space: Space) -> np.ndarray:
    """(N, K, D) `xy` or `xyz`; `VitruvianError` if there is no `xyz`."""
    if space == "2d":
        return poses.xy
    if poses.xyz is None:
        raise VitruvianError(
            f"3D angles need xyz, which these poses of {poses.skeleton.name} do not have; use a "
            "3D model, or 2d"
        )
    return poses.xyz


def angles_of_points_deg(
    skeleton: Skeleton,
    at: np.ndarray,
    score: np.ndarray,
    space: Space,
    seen: float = SEEN,
    up: Sequence[float] | None = None,
    facing: np.ndarray | None = None,
    *,
    parts: bool = False,
    xy: np.ndarray | None = None,
) -> np.ndarray:
    """(N, A) as `angles_deg`, of N bodies or of one body in N frames.

    Args:
        skeleton: of the K keypoints.
        at: (N, K, D) pixels or metres.
        score: (N, K) 0..1.
        space: "2d" or "3d"; D is 2 or 3.
        seen: confidence threshold of keypoints.
        up: (D,) the upward direction.
        facing: (N,) as `facing_direction` returns, if known from elsewhere.
        parts: whether to measure fingers and the face as well.
        xy: (N, K, 2) pixels, for the face.
    """
    points = BodyPoints(skeleton, at, score, seen)
    image = points if space == "2d" or xy is None else BodyPoints(skeleton, xy, score, seen)
    angles = BodyAngles(points, space, up, facing, image)
    return angles.deg(*angle_names(space, parts)).T.astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Group:
    """A angles that are computed together."""

    # "bend" is also of "foot" and "spread", "between" of "tilt", "swing" of "side" and "turn".
    way: Way
    rows: np.ndarray  # (A,) their places in the result
    points: tuple[str, ...]  # A first points, then A second ones and so on
    turn: np.ndarray  # (A, 1) radians and
    sign: np.ndarray  # (A, 1) -1 or 1: the angle is turn + sign * the one between two directions
    trunk: np.ndarray  # (A, 1, 1) bool, whether it is from the trunk, else from the vertical
    down: np.ndarray  # (A, 1, 1) -1 where it is zero pointing down, else 1
    outward: np.ndarray  # (A, 1, 1) 1 where out is the subject's left, else -1
    kinds: np.ndarray  # (A, 1, 1) 0 swing, 1 side, 2 turn
    views: np.ndarray  # (A, 1) 1 if it must be seen from the side, 2 from the front, 0 from any


_TOGETHER: dict[Way, tuple[Way, ...]] = {
    "bend": ("bend", "foot", "spread"),
    "between": ("between", "tilt"),
    "swing": ("swing", "side", "turn"),
    "out": ("out",),
}


@cache
def _groups(names: tuple[str, ...]) -> tuple[_Group, ...]:
    """The groups of some angles, without those of a face."""
    groups = []
    for way, ways in _TOGETHER.items():
        rows = [row for row, name in enumerate(names) if _BY_NAME[name].way in ways]
        own = [_BY_NAME[names[row]] for row in rows]
        if not own:
            continue
        # Both directions of a bend begin in its joint.
        ends = [(a.points[1], a.points[0], a.points[1], a.points[2]) if a.way == "bend"
                else a.points for a in own]  # fmt: skip
        turns = {"bend": np.pi, "foot": np.pi / 2, "tilt": np.pi / 2}
        column = (len(own), 1, 1)
        groups.append(
            _Group(
                way,
                np.array(rows),
                tuple(point for points in zip(*ends, strict=True) for point in points),
                np.array([[turns.get(a.way, 0.0)] for a in own]),
                np.array([[-1.0 if a.way in turns else 1.0] for a in own]),
                np.array([a.to == "trunk" for a in own]).reshape(column),
                np.array([-1.0 if a.down else 1.0 for a in own]).reshape(column),
                np.array([1.0 if a.points[0].startswith("left") else -1.0 for a in own])
                .reshape(column),
                np.array([max(("swing", "side", "turn").index(a.way), 0)
                          if way == "swing" else 0 for a in own]).reshape(column),
                np.array([[("", "side", "front").index(a.view)] for a in own]),
            )
        )  # fmt: skip
    return tuple(groups)


class BodyAngles:
    """The angles of N bodies, each computed when it is asked for."""

    def __init__(
        self,
        points: BodyPoints,
        space: Space,
        up: Sequence[float] | None = None,
        facing: np.ndarray | None = None,
        image: BodyPoints | None = None,
    ) -> None:
        """Of points in a space; `up` and `facing` as for `angles_of_points_deg`.

        `image`: the points in pixels, for faces.
        """
        self.points, self.space, self.facing, self.image = points, space, facing, image
        vertical = np.asarray(up or UP[space], float)
        vertical = vertical / max(float(np.linalg.norm(vertical)), 1e-9)
        self.vertical = np.broadcast_to(vertical, points.at.shape[::2])
        self._found: dict[tuple[str, ...], np.ndarray] = {}

    def deg(self, *names: str) -> np.ndarray:
        """(A, N) angles of this space by their whole names, degrees; NaN where unknown."""
        if names not in self._found:
            found = np.empty((len(names), len(self.points.at)))
            for group in _groups(names):
                found[group.rows] = self._radians(group)
            found = np.degrees(found)
            for row, name in enumerate(names):
                if name in FACE_DEG:
                    found[row] = self._face[FACE_DEG.index(name)]
            self._found[names] = found
        return self._found[names]

    @cached_property
    def _face(self) -> np.ndarray:
        """(3, N) degrees, yaw, pitch and roll."""
        if self.image is None or self.image.at.shape[-1] != 2:
            return np.full((len(FACE_DEG), len(self.points.at)), np.nan)
        return face_deg(self.image)

    def _radians(self, group: _Group) -> np.ndarray:
        """(A, N) the angles of a group."""
        count, stacked = len(group.rows), self.points.stack(group.points)
        points = stacked.reshape(len(stacked) // count, count, *stacked.shape[1:])
        if group.way == "bend":
            value = _between(points[1] - points[0], points[3] - points[2])
            return self._where_seen(group, group.turn + group.sign * value)
        along = unit_vectors(points[1] - points[0])
        if group.way == "out":
            outward = self._sideways(group.trunk) * group.outward
            return np.arcsin(np.clip(dot(along, outward), -1, 1))
        zero = np.where(group.trunk, self.trunk, self.vertical) * group.down
        if group.way == "between":
            value = group.turn + group.sign * _between(along, zero)
            return self._where_seen(group, value)
        to = self._ahead(group.trunk)
        if group.kinds.any():
            left = self._sideways(group.trunk)
            zero = np.where(group.kinds == 2, to, zero)
            to = np.where(group.kinds == 0, to, left)
        return self._where_seen(group, _in_plane(along, to, zero))

    def _where_seen(self, group: _Group, value: np.ndarray) -> np.ndarray:
        """NaN where the view of the person does not show an angle."""
        if self.space == "3d" or not group.views.any():
            return value
        hidden = (group.views == 1) & np.isnan(self.toward)
        hidden |= (group.views == 2) & np.isnan(self.leftward)
        return np.where(hidden, np.nan, value)

    @cached_property
    def trunk(self) -> np.ndarray:
        """(N, D) of length 1, from the hips to the shoulders."""
        return unit_vectors(self.points["mid_shoulder"] - self.points["mid_hip"])

    @cached_property
    def toward(self) -> np.ndarray:
        """(N,) as `facing_direction`."""
        return facing_of_points(self.points) if self.facing is None else self.facing

    @cached_property
    def leftward(self) -> np.ndarray:
        """(N,) 1 if the subject's left is on the right of the image, -1 if not, NaN."""
        return _left(self.points)

    @cached_property
    def _line(self) -> np.ndarray:
        """(N, 3) of length 1, from the subject's right to left."""
        shoulders = unit_vectors(self.points["left_shoulder"] - self.points["right_shoulder"])
        hips = unit_vectors(self.points["left_hip"] - self.points["right_hip"])
        return unit_vectors(shoulders + hips)

    def _ahead(self, of_trunk: np.ndarray) -> np.ndarray:
        """(A, N, D) forward, perpendicular to the trunk or the vertical."""
        return np.where(of_trunk, *self._forward)

    def _sideways(self, of_trunk: np.ndarray) -> np.ndarray:
        """(A, N, D) the subject's left, perpendicular to the trunk or the vertical."""
        return np.where(of_trunk, *self._left)

    @cached_property
    def _axes(self) -> np.ndarray:
        """(2, N, D) the trunk and the vertical."""
        return np.stack([self.trunk, self.vertical])

    @cached_property
    def _forward(self) -> np.ndarray:
        """(2, N, D) forward, perpendicular to the trunk and to the vertical."""
        if self.space == "2d":
            return self.toward[:, None] * _across(self._axes)
        return unit_vectors(cross(self._line, self._axes))

    @cached_property
    def _left(self) -> np.ndarray:
        """(2, N, D) the subject's left, perpendicular to the trunk and to the vertical."""
        if self.space == "2d":
            return self.leftward[:, None] * _across(self._axes)
        return cross(self._axes, self._forward)


def _in_plane(direction: np.ndarray, to: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """(A, N) radians from `zero` towards `to`; NaN for directions almost normal to that plane."""
    a, b = dot(direction, to), dot(direction, zero)
    return np.where(np.hypot(a, b) >= SHORTEST, np.arctan2(a, b), np.nan)


def _between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, N) radians 0..pi between (A, N, D) directions; accurate near 0 and pi, unlike arccos.

    Source: Kahan, "How Futile are Mindless Assessments of Roundoff", 2006, section 12.
    """
    a, b = unit_vectors(a), unit_vectors(b)
    return 2 * np.arctan2(lengths(a - b), lengths(a + b))


_QUARTER = np.array([-1.0, 1.0])


def _across(axis: np.ndarray) -> np.ndarray:
    """(..., 2) rotated by 90 degrees clockwise in the image: up becomes right."""
    return axis[..., ::-1] * _QUARTER


def facing_direction(
    skeleton: Skeleton, xy: np.ndarray, score: np.ndarray, seen: float = SEEN
) -> np.ndarray:
    """(N,) 1 for people who face right in the image, -1 left, NaN if ambiguous.

    For people who are not upright "right" is 90 degrees clockwise from where the head is. Views
    from the front or behind, with shoulders wide relative to the trunk, are ambiguous. From the
    side it is the direction of the feet, heel to toe; if the skeleton has no toes, or they are not
    seen, of the head, from ears to nose.

    Args:
        skeleton: of the K keypoints.
        xy: (N, K, 2) pixels.
        score: (N, K) 0..1.
        seen: confidence threshold of keypoints.
    """
    return facing_of_points(BodyPoints(skeleton, xy, score, seen))


def apparent_shoulder_width(points: BodyPoints) -> np.ndarray:
    """(N,) distance of the shoulders in the image, across the trunk, in trunk lengths."""
    return np.abs(_width(points))


_FEET = ("left_toe", "right_toe", "left_heel", "right_heel")


def facing_of_points(points: BodyPoints) -> np.ndarray:
    """(N,) as `facing_direction`, of points in pixels."""
    trunk = points["mid_shoulder"] - points["mid_hip"]
    length, right = lengths(trunk), _across(unit_vectors(trunk))
    ends = points.stack(_FEET)
    feet = ends[:2] - ends[2:]
    known = np.logical_and.reduce(np.isfinite(feet), axis=-1)
    count = np.add.reduce(known, axis=0)
    foot = (
        np.add.reduce(np.where(known[..., None], feet, 0), axis=0) / np.maximum(count, 1)[:, None]
    )
    nose = points["nose"] - (points["left_ear"] + points["right_ear"]) / 2
    along = np.stack([dot(foot, right), dot(nose, right)]) / np.maximum(length, 1e-9)
    clear = np.abs(along) >= FACING
    says = np.where(clear[0] & (count > 0), along[0], np.where(clear[1], along[1], np.nan))
    return np.where(np.abs(_width(points)) < FROM_THE_SIDE, np.sign(says), np.nan)


def _left(points: BodyPoints) -> np.ndarray:
    """(N,) 1 if the subject's left is on the right of the image, -1 if not, NaN from the side."""
    width = _width(points)
    return np.where(np.abs(width) >= FROM_THE_SIDE, np.sign(width), np.nan)


def _width(points: BodyPoints) -> np.ndarray:
    """(N,) from right to left shoulder across the trunk, in trunk lengths; negative from behind."""
    trunk = points["mid_shoulder"] - points["mid_hip"]
    length = np.maximum(lengths(trunk), 1e-9)
    line = points["left_shoulder"] - points["right_shoulder"]
    return dot(line, _across(unit_vectors(trunk))) / length
