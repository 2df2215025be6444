"""Posture rules: the degree, 0 to 1, to which a posture holds for each person; NaN if unknown.

A rule is a function of `Body`, the scale-free geometry of all people in a frame: angles, and
lengths in trunk lengths (mid-shoulder to mid-hip) or shoulder widths. It uses metres if available,
otherwise pixels, which hide some postures, such as leaning towards the camera. `RULES` are the
built-in ones; `analysis/rules.py` reads more from a file; `analysis/events.py` tracks them over
time.

Every threshold is a pair: the value from which a rule begins to hold, and that from which it fully
holds. They were tuned on images; docs/postures.md gives the data and the accuracy.

Unknown is an answer. Of people who are too small nothing is known, and no keypoint that a bone
cannot reach, or that is a guess at the edge of the image. Which way a person faces is decided first
(`body/facing.py`): from behind, a hand before the body is hidden, and where a model puts its wrist
says nothing.

Rules of arms and hands have a degree per side: (N, 2), the subject's left, right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vitruvian.analysis.angles import UP, BodyAngles, Space, angle_names, required_points
from vitruvian.analysis.points import BodyPoints, unit_vectors
from vitruvian.analysis.view import depth_is_estimated
from vitruvian.body.facing import OBLIQUE, facing, trunk_axes
from vitruvian.body.poses import Poses
from vitruvian.body.state import SEEN, VISIBLE, State, on_edge, states
from vitruvian.errors import VitruvianError, shown
from vitruvian.frame import Frame

if TYPE_CHECKING:
    from vitruvian.models.pockets import Hands

SIDES = ("left", "right")
HAND = ("wrist", "pinky", "index", "thumb")  # BlazePose's landmarks of a hand; others have a wrist
SMALLEST = 20.0  # pixels, length of the trunk of the smallest person: about 75 from head to foot
# Longest a bone can look, in trunk lengths (or 1.3 shoulder widths). Of 500 people of COCO val2017
# (data/coco, data/coco_pictures) 99.5 % are below 0.96, 0.83, 1.37, 1.47.
LONGEST = {
    ("shoulder", "elbow"): 1.0,
    ("elbow", "wrist"): 0.9,
    ("hip", "knee"): 1.45,
    ("knee", "ankle"): 1.5,
}


class Evidence(NamedTuple):
    """What a rule has measured or seen."""

    words: str
    side: str  # the subject's "left" or "right"; "" of both, or the whole body
    values: np.ndarray  # (N,) or (N, 2)


class Body:
    """Geometry of the N people in one frame, the input of rules."""

    def __init__(self, poses: Poses, frame: Frame | None = None, seen: float = SEEN) -> None:
        """Compute the geometry of poses.

        Args:
            poses: of any family.
            frame: for rules that need the image; its camera, if known, gives the up direction.
                Keypoints outside of it are guesses of the model, and treated as unknown.
            seen: 0..1, score below which a keypoint is not known.
        """
        self.poses, self.frame, self.seen = poses, frame, seen
        self.space: Space = "2d" if poses.xyz is None else "3d"
        at = poses.xy if poses.xyz is None else poses.xyz
        doubtful = _unlikely(poses)
        if frame is not None and frame.size != (0, 0):
            doubtful |= states(poses, frame.size) == State.OUT_OF_FRAME
            doubtful |= on_edge(poses, frame.size) & (poses.score < VISIBLE)
        self.score = np.where(doubtful, np.float32(0), poses.score)
        self.points = BodyPoints(poses.skeleton, at, self.score, seen)
        camera = None if frame is None or self.space == "2d" else frame.camera
        self.up = np.array(UP[self.space]) if camera is None else camera.up
        # Whether up is known in metres: those of one image lean where its camera looks down.
        placed = camera is not None and (
            camera.extrinsics is not None or not np.array_equal(camera.up, UP["3d"])
        )
        self.measured = self.space == "3d" and (placed or not depth_is_estimated(poses))
        self.lacks: dict[
            str, tuple[str, ...]
        ] = {}  # rule -> points that the skeleton does not have
        self.notes: dict[str, tuple[Evidence, ...]] = {}  # rule -> its evidence
        self.noted: list[Evidence] = []  # of the rule that is being evaluated

    def __len__(self) -> int:
        return len(self.poses)

    @cached_property
    def in_pixels(self) -> Body:
        """The same people without metres."""
        return Body(replace(self.poses, xyz=None, origin=None), self.frame, self.seen)

    @cached_property
    def facing(self) -> np.ndarray:
        """(N,) 1 towards the camera, 0 aside, -1 away from it; NaN if unknown."""
        return facing(self.poses)

    @property
    def doubtful(self) -> np.ndarray:
        """(N,) bool, whether trunk and head contradict each other in the image."""
        _, _, scale = trunk_axes(self.poses)
        return np.isnan(self.facing) & np.isfinite(scale)

    def visible(self, *names: str) -> np.ndarray:
        """(N,) bool, whether the model is sure of all of these keypoints."""
        known = self.points.skeleton.places
        at = [place for name in names for place in known.get(name, ())]
        return np.all(self.score[:, at] >= VISIBLE, axis=1)

    @cached_property
    def _angles(self) -> BodyAngles:
        return BodyAngles(self.points, self.space, tuple(self.up))

    def angle_deg(self, name: str) -> np.ndarray:
        """(N,) an angle of `analysis/angles.py`; NaN also for one that only metres have."""
        missing = (point for point in required_points(name) if not self.points.has(point))
        self.points.lacks.update(missing)
        if name not in angle_names(self.space):
            return np.full(len(self), np.nan)
        return self._angles.deg(name)

    def note(self, words: str, values: np.ndarray, side: str = "") -> None:
        """Add to the evidence of an event, in words; a rule may call it several times.

        Args:
            words: "elbow bent {:.0f}°" takes the median of the values in the frames in which the
                rule holds; "hand seen" the share of those in which it is true.
            values: (N,) numbers or booleans, NaN if unknown; (N, 2) of left and right.
            side: if they are for the subject's "left" or "right" alone.

        Raises:
            VitruvianError: the words or the values do not fit.
        """
        values = np.asarray(values, np.float64)
        try:
            words.format(0.0)
            fits = values.shape in ((len(self),), (len(self), len(SIDES)))
        except (ValueError, LookupError):
            fits = False
        if not fits or side not in ("", *SIDES):
            raise VitruvianError(
                f"note({shown(repr(words))}) of {values.shape} values, side {side!r}; want words "
                f"with at most one field, such as {{:.1f}}, and {len(self)} values"
            )
        self.noted.append(Evidence(words, side, values))

    def without_notes(self, rule: Rule) -> np.ndarray:
        """The degree by a rule that is part of another one, without a part in its evidence."""
        kept = len(self.noted)
        degree = rule(self)
        del self.noted[kept:]
        return degree

    def distance(self, a: str, b: str) -> np.ndarray:
        """(N,) distance between two points, in trunk lengths."""
        return self._trunks(np.linalg.norm(self.points[a] - self.points[b], axis=-1))

    def above(self, a: str, b: str, along: np.ndarray | None = None) -> np.ndarray:
        """(N,) how far a is above b, in trunks; or farther along some other (N, D) direction."""
        up = self.up if along is None else along
        return self._trunks(((self.points[a] - self.points[b]) * up).sum(axis=-1))

    @property
    def headward(self) -> np.ndarray:
        """(N, D) of length 1, from the hips to the shoulders."""
        return self.direction("mid_hip", "mid_shoulder")

    def direction(self, a: str, b: str) -> np.ndarray:
        """(N, D) of length 1, from one point to another."""
        return unit_vectors(self.points[b] - self.points[a])

    def tilt_deg(self, a: str, b: str) -> np.ndarray:
        """(N,) 0..180 degrees between up and the direction from a to b."""
        cos = (self.direction(a, b) * self.up).sum(axis=-1)
        return np.degrees(np.arccos(np.clip(cos, -1, 1)))

    def bend_deg(self, a: str, joint: str, b: str) -> np.ndarray:
        """(N,) 0..180 degrees, how far the line from a over a joint to b is from straight."""
        cos = (self.direction(joint, a) * self.direction(joint, b)).sum(axis=-1)
        return 180 - np.degrees(np.arccos(np.clip(cos, -1, 1)))

    def lower_foot(self) -> np.ndarray:
        """(N, D) the lower of the known ankles, on which people stand; or knees; NaN if neither."""
        found = np.full_like(self.points["mid_hip"], np.nan)
        for joint in ("ankle", "knee"):
            left, right = (self.points[f"{side}_{joint}"] for side in SIDES)
            deeper = ((left - right) * self.up).sum(axis=-1) < 0
            lower = np.where((deeper | np.isnan(right[:, 0]))[:, None], left, right)
            lower = np.where(np.isnan(lower), right, lower)
            found = np.where(np.isnan(found), lower, found)
        return found

    def _trunks(self, length: np.ndarray) -> np.ndarray:
        trunk = np.linalg.norm(self.points["mid_shoulder"] - self.points["mid_hip"], axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return length / np.where(trunk > 0, trunk, np.nan)


def _unlikely(poses: Poses) -> np.ndarray:
    """(N, K) bool: keypoints of who is too small, and the far ends of impossible bones."""
    _, _, scale = trunk_axes(poses)
    with np.errstate(invalid="ignore"):
        doubtful = np.broadcast_to((scale < SMALLEST)[:, None], poses.score.shape).copy()
        own = poses.skeleton.places
        for (near, far), longest in LONGEST.items():
            for side in SIDES:
                ends = own.get(f"{side}_{near}"), own.get(f"{side}_{far}")
                if None in ends:
                    continue
                a, b = (poses.xy[:, list(end or ())].mean(axis=1) for end in ends)
                length = np.linalg.norm(a - b, axis=-1)
                doubtful[:, list(ends[1] or ())] |= (length > longest * scale)[:, None]
    return doubtful


# (N,) 0..1, NaN where it cannot be told; (N, 2) of what left and right do each for itself.
Rule = Callable[[Body], np.ndarray]


# Degrees, and how they are put together


def ramp(value: np.ndarray, begins: float, holds: float) -> np.ndarray:
    """(N,) 0 at `begins` and beyond, 1 at `holds` and beyond, linear between; NaN stays."""
    return np.clip((value - begins) / (holds - begins), 0, 1)


def all_of(*degrees: np.ndarray) -> np.ndarray:
    """(N,) minimum (fuzzy and); 0 if any is 0, even if others are unknown."""
    stacked = np.stack(degrees)
    unsure = np.where((stacked == 0).any(axis=0), 0.0, np.nan)
    return np.where(np.isnan(stacked).any(axis=0), unsure, stacked.min(axis=0))


def any_of(*degrees: np.ndarray) -> np.ndarray:
    """(N,) maximum of the known (fuzzy or); NaN if none is, or it is 0 and some are unknown."""
    stacked = np.stack(degrees)
    most = np.max(stacked, axis=0, initial=0.0, where=~np.isnan(stacked))
    return np.where(np.isnan(stacked).any(axis=0) & (most == 0), np.nan, most)


def each_side(degree: Callable[[str], np.ndarray]) -> np.ndarray:
    """(N, 2) of the left and of the right side."""
    return np.stack([degree(side) for side in SIDES], axis=-1)


def all_known(*degrees: np.ndarray) -> np.ndarray:
    """(N,) minimum of the known; NaN if none is known."""
    stacked = np.stack(degrees)
    least = np.min(stacked, axis=0, initial=1.0, where=~np.isnan(stacked))
    return np.where(np.isnan(stacked).all(axis=0), np.nan, least)


def unknown_where(mask: np.ndarray, degree: np.ndarray) -> np.ndarray:
    """(N,) the degree, but NaN where it is more than 0 and the evidence cannot be seen."""
    return np.where(mask & (degree > 0), np.nan, degree)


# The rules


def seated(body: Body) -> np.ndarray:
    """Thighs level and the trunk up: on a chair, on the ground, or crouching.

    With metres the thigh is 45 to 65 degrees from hanging, and 40 to 60 from the line of the trunk:
    seen by a camera that looks down, who stands has level thighs, but a level trunk too. In pixels
    the knee is less than 0.6 to 0.4 trunks below the hip, and either the thigh is long and level,
    or it points at the camera: the shank is 1.4 to 2 times as high; or the knee is as high as the
    hip. Unknown if the knees are not visible.
    """

    def level(side: str) -> np.ndarray:
        hip, knee, ankle = f"{side}_hip", f"{side}_knee", f"{side}_ankle"
        if body.space == "3d":
            bent, raised = (
                body.bend_deg(f"{side}_shoulder", hip, knee),
                180 - body.tilt_deg(hip, knee),
            )
            body.note(f"{side} thigh {{:.0f}}° from hanging down", raised)
            degree = all_of(ramp(raised, 45, 65), ramp(bent, 40, 60))
        else:
            drop, length = body.above(hip, knee), body.distance(hip, knee)
            body.note(f"{side} knee {{:.1f}} trunks below the hip", drop)
            shank = body.above(knee, ankle)
            tilt = np.degrees(np.arccos(np.clip(drop / np.maximum(length, 1e-6), -1, 1)))
            along = all_of(ramp(tilt, 45, 65), ramp(length, 0.35, 0.5))
            toward = all_of(ramp(shank / np.maximum(drop, 0.1), 1.4, 2), ramp(shank, 0.4, 0.55))
            low = ramp(drop, 0.6, 0.4)
            degree = all_of(low, any_of(along, toward, ramp(drop, 0.15, 0)))
        return np.where(body.visible(hip, knee), degree, np.nan)

    tilt = body.angle_deg("trunk_tilt")
    body.note("trunk {:.0f}° from upright", tilt)
    return all_of(all_known(*map(level, SIDES)), ramp(tilt, 65, 45))


def arms_raised(body: Body) -> np.ndarray:
    """A hand above its shoulder, towards the head and upward, and the elbow not far below it.

    Who lies or bends over reaches ahead. A hand at the ear, on an arm bent by 120 degrees and more,
    telephones or scratches.
    """

    def raised(side: str) -> np.ndarray:
        wrist, elbow, shoulder = (f"{side}_{part}" for part in ("wrist", "elbow", "shoulder"))
        height = body.above(wrist, shoulder, body.headward)
        body.note("wrist {:.1f} trunks above the shoulder", height, side)
        hand = all_of(ramp(height, 0.15, 0.4), ramp(body.above(wrist, shoulder), 0, 0.15))
        degree = all_of(hand, ramp(body.above(elbow, shoulder, body.headward), -0.3, 0))
        ear = f"{side}_ear"
        if not body.points.has(ear):
            return degree
        at_ear = all_of(
            ramp(body.angle_deg(f"{elbow}_flexion"), 100, 120),
            ramp(body.distance(wrist, ear), 0.5, 0.35),
            ramp(body.above(wrist, ear, body.headward), 0.2, 0.1),
        )
        return np.minimum(degree, 1 - np.nan_to_num(at_ear))

    return each_side(raised)


def lying(body: Body) -> np.ndarray:
    """Trunk and legs level; unknown if the legs are not visible."""

    def level(a: str, b: str) -> np.ndarray:
        off = np.abs(90 - body.tilt_deg(a, b))
        part = {"mid": "trunk", "lef": "left thigh", "rig": "right thigh"}[a[:3]]
        body.note(f"{part} {{:.0f}}° from level", off)
        return ramp(off, 40, 25)

    legs = all_known(level("left_hip", "left_knee"), level("right_hip", "right_knee"))
    return all_of(level("mid_hip", "mid_shoulder"), legs)


def leaning(body: Body) -> np.ndarray:
    """The trunk 20 to 32 degrees and more from upright, any way, and not level.

    It is also 8 to 16 degrees from the line of the legs: in an image that is tilted, or at the edge
    of a wide view, all of a body leans. Where the legs are not seen, it is 28 to 40 from upright.
    By metres that a model estimates from one image, people lean if the camera looks down: these
    count in pixels, or from 26 to 38 degrees from the legs.
    """
    if body.space == "2d" or body.measured:
        degree = _lean(body, 8, 16)
    else:
        degree = any_of(_lean(body.in_pixels, 8, 16), _lean(body, 26, 38))
    return np.where(body.doubtful, np.nan, degree)


def _lean(body: Body, begins: float, holds: float) -> np.ndarray:
    """(N,) the same, with degrees from the line of the legs."""
    tilt = body.angle_deg("trunk_tilt")
    body.note("trunk {:.0f}° from upright", tilt)
    legs = unit_vectors(body.points["mid_hip"] - body.lower_foot())
    apart = np.degrees(np.arccos(np.clip((legs * body.headward).sum(axis=-1), -1, 1)))
    own = np.where(np.isnan(apart), ramp(tilt, 28, 40), ramp(apart, begins, holds))
    return all_of(ramp(tilt, 20, 32), own, ramp(tilt, 80, 65))


def hands_on_hips(body: Body) -> np.ndarray:
    """Not seated, a wrist at its hip and not before it, the bent elbow farther out than both.

    Where the legs are not seen it is unknown: who sits or stands at a table and holds something
    looks the same. From behind the wrist must be seen beside the hip; from the side it cannot be
    told.
    """
    sits = body.without_notes(seated)
    standing = np.where(np.isnan(sits), np.nan, sits <= 0.5)
    behind = body.facing <= -OBLIQUE
    aside = (np.abs(body.facing) <= OBLIQUE) | body.doubtful

    def akimbo(side: str) -> np.ndarray:
        wrist, elbow, shoulder, hip = (
            f"{side}_{part}" for part in ("wrist", "elbow", "shoulder", "hip")
        )
        other = "right" if side == "left" else "left"
        outward = body.direction(f"{other}_shoulder", shoulder)
        away, elbow_deg = body.distance(wrist, hip), body.angle_deg(f"{elbow}_flexion")
        body.note("wrist {:.1f} trunks from the hip", away, side)
        body.note("elbow bent {:.0f}°", elbow_deg, side)
        near = ramp(away, 0.55, 0.4)
        beside_hip = body.above(wrist, hip, outward)
        bent = ramp(elbow_deg, 45, 65)
        out = ramp(body.above(elbow, shoulder, outward), 0.1, 0.2)
        beside = ramp(body.above(elbow, wrist, outward), 0.15, 0.25)
        degree = all_of(near, ramp(beside_hip, 0, 0.1), bent, out, beside, standing)
        hidden = behind & ~(beside_hip >= BESIDE) | aside | ~body.visible(wrist, elbow)
        return unknown_where(hidden, degree)

    return each_side(akimbo)


BESIDE = 0.25  # trunks that a wrist is outside its hip, from which it is seen from behind


def using_phone(body: Body) -> np.ndarray:
    """A hand at its ear; or one held up before the trunk while the head is bent down to it.

    By posture alone: scratching an ear or reading a book looks the same. What is held before the
    trunk is seen from the front and from the side.
    """
    behind = (body.facing <= -OBLIQUE) | body.doubtful

    def at_ear(side: str) -> np.ndarray:
        wrist, elbow = f"{side}_wrist", f"{side}_elbow"
        away = body.distance(wrist, f"{side}_ear")
        body.note("wrist {:.1f} trunks from the ear", away, side)
        near = ramp(away, 0.5, 0.3)
        bent = ramp(body.angle_deg(f"{elbow}_flexion"), 90, 115)
        below = ramp(body.above(elbow, f"{side}_shoulder", body.headward), 0.1, -0.1)
        return unknown_where(~body.visible(wrist, elbow), all_of(near, bent, below))

    def before(side: str) -> np.ndarray:
        wrist = f"{side}_wrist"
        elbow_deg, pitch = body.angle_deg(f"{side}_elbow_flexion"), body.angle_deg("head_pitch")
        body.note("elbow bent {:.0f}°", elbow_deg, side)
        body.note("head {:.0f}° down", -pitch, side)
        bent = ramp(elbow_deg, 55, 75)
        height = body.above(wrist, "mid_hip", body.headward)
        held = all_of(ramp(height, 0.15, 0.3), ramp(height, 1.0, 0.85))
        degree = all_of(bent, held, ramp(pitch, -18, -30))
        return unknown_where(behind | ~body.visible(wrist, "nose"), degree)

    return each_side(lambda side: any_of(at_ear(side), before(side)))


NEAR_X, NEAR_Z = (0.7, 0.5), (0.6, 0.4)  # shoulder widths


def hands_near_body(body: Body) -> np.ndarray:
    """The rule this project starts from: a hand is little aside of, and before, its shoulder.

    The differences of x and of z between shoulder and hand are below thresholds, in shoulder
    widths. It needs metres, of any origin.
    """
    apart = shoulder_to_hand(body)
    if apart.shape[-1] == 2:
        return np.full(apart.shape[:2], np.nan)
    body.note("hand {:.1f} shoulder widths aside of the shoulder", apart[..., 0])
    body.note("hand {:.1f} shoulder widths before or behind it", apart[..., 2])
    return all_of(ramp(apart[..., 0], *NEAR_X), ramp(apart[..., 2], *NEAR_Z))


def shoulder_to_hand(body: Body) -> np.ndarray:
    """(N, 2, D) shoulder widths along each axis between shoulder and hand, of left and right.

    The hand is the middle of MediaPipe's landmarks of it, or the wrist.
    """
    points = body.points
    width = np.linalg.norm(points["left_shoulder"] - points["right_shoulder"], axis=-1)
    found = []
    for side in SIDES:
        parts = [f"{side}_{part}" for part in HAND if points.has(f"{side}_{part}")]
        hand = np.mean([points[part] for part in parts or [f"{side}_wrist"]], axis=0)
        found.append(np.abs(hand - points[f"{side}_shoulder"]))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack(found, axis=1) / np.where(width > 0, width, np.nan)[:, None, None]


AT_POCKET = (0.5, 0.7)  # of `pockets.at_pocket_line`


def hands_at_pockets(body: Body) -> np.ndarray:
    """A wrist at its hip, the forearm pointing down: without using the image.

    Unknown where the body hides the hand, or its pocket, see `models/pockets.py`.
    """
    from vitruvian.models.pockets import LIMB, OPEN, at_pocket_line, hand_view

    arm = [[body.points[f"{side}_{part}"] for part in LIMB] for side in SIDES]
    if body.points.lacks:
        return np.full((len(body), len(SIDES)), np.nan)
    away = each_side(lambda side: body.distance(f"{side}_wrist", f"{side}_hip"))
    body.note("wrist {:.1f} trunks from the hip", away)
    known = np.isfinite(arm).all(axis=(1, 3)).T
    degree = np.where(known, ramp(at_pocket_line(body.poses), *AT_POCKET), np.nan)
    return unknown_where(hand_view(body.poses) < OPEN, degree)


def hands_in_pockets(body: Body) -> np.ndarray:
    """A hand is in a pocket, by `models/pockets.py`, from the pose and the pixels of the frame."""
    from vitruvian.models.pockets import hands

    return pockets_rule(hands)(body)


def pockets_rule(hands: Callable[[Frame, Poses], Hands]) -> Rule:
    """The rule above by any detector; between 0.4 and 0.6 where that is too close to call."""

    def rule(body: Body) -> np.ndarray:
        if body.frame is None:
            raise VitruvianError("hands_in_pockets needs the image; pass the frame to Body as well")
        from vitruvian.models.pockets import LIMB

        _ = [body.points[f"{side}_{part}"] for part in LIMB for side in SIDES]
        if body.points.lacks:
            return np.full((len(body), len(SIDES)), np.nan)
        found = hands(body.frame, body.poses)
        body.note("chance {:.2f} of being in a pocket", found.inside)
        return np.interp(found.inside, [0, found.out_to, found.in_from, 1], [0, 0.4, 0.6, 1])

    rule.__name__ = "hands_in_pockets"
    return rule


def of_keypoints(rule: Rule) -> Rule:
    """Declare that a rule reads no pixels, and tells of each person by that person alone."""
    rule.of_keypoints = True  # type: ignore[attr-defined]
    return rule


def is_of_keypoints(rule: Rule) -> bool:
    """Whether a rule was declared to read no pixels; of functions of users it is not known."""
    return getattr(rule, "of_keypoints", False)


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        *map(of_keypoints, (seated, arms_raised, lying, leaning, hands_on_hips, using_phone)),
        *(hands_in_pockets, of_keypoints(hands_at_pockets), of_keypoints(hands_near_body)),
    )
}
# Weaker versions of other rules: not included in `all`.
LESSER = ("hands_at_pockets", "hands_near_body")
