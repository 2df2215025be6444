"""Posture rules: the degree, 0 to 1, to which a posture holds for each person; NaN if unknown.

A rule is a function of `Body`, the scale-free geometry of all people in a frame: angles, and
lengths in trunk lengths (mid-shoulder to mid-hip) or shoulder widths. It uses metres if available,
otherwise pixels, which hide some postures, such as leaning towards the camera. `RULES` are the
built-in ones; `analysis/rules.py` reads more from a file; `analysis/events.py` tracks them over
time.

Every threshold is a pair: the value from which a rule begins to hold, and that from which it fully
holds. They were tuned on images; docs/postures.md gives the data and the accuracy.

Rules of arms and hands have a degree per side: (N, 2), the subject's left, right.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vitruvian.analysis.angles import UP, BodyAngles, Space, angle_names, required_points
from vitruvian.analysis.points import BodyPoints, unit_vectors
from vitruvian.body.poses import Poses
from vitruvian.body.state import SEEN, State, states
from vitruvian.errors import VitruvianError, shown
from vitruvian.frame import Frame

if TYPE_CHECKING:
    from vitruvian.models.pockets import Hands

SIDES = ("left", "right")
HAND = ("wrist", "pinky", "index", "thumb")  # BlazePose's landmarks of a hand; others have a wrist


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
        self.score = poses.score
        if frame is not None and frame.size != (0, 0):
            outside = states(poses, frame.size) == State.OUT_OF_FRAME
            self.score = np.where(outside, np.float32(0), poses.score)
        self.points = BodyPoints(poses.skeleton, at, self.score, seen)
        camera = None if frame is None or self.space == "2d" else frame.camera
        self.up = np.array(UP[self.space]) if camera is None else camera.up
        self.lacks: dict[
            str, tuple[str, ...]
        ] = {}  # rule -> points that the skeleton does not have
        self.notes: dict[str, tuple[Evidence, ...]] = {}  # rule -> its evidence
        self.noted: list[Evidence] = []  # of the rule that is being evaluated

    def __len__(self) -> int:
        return len(self.poses)

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

    def _trunks(self, length: np.ndarray) -> np.ndarray:
        trunk = np.linalg.norm(self.points["mid_shoulder"] - self.points["mid_hip"], axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return length / np.where(trunk > 0, trunk, np.nan)


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


# The rules


def seated(body: Body) -> np.ndarray:
    """Thighs level and the trunk up: on a chair, on the ground, or crouching.

    With metres the thigh is 45 to 65 degrees from hanging down. In pixels, where it may point at
    the camera, the knee is less than 0.6 to 0.4 trunks below the hip (0.84 in who stands); and if
    the thigh looks long, the knee is bent or the shank level too: a lunge is not sitting.
    """

    def level(side: str) -> np.ndarray:
        hip, knee = f"{side}_hip", f"{side}_knee"
        if body.space == "3d":
            raised = 180 - body.tilt_deg(hip, knee)
            body.note(f"{side} thigh {{:.0f}}° from hanging down", raised)
            return ramp(raised, 45, 65)
        ankle, bent = f"{side}_ankle", body.angle_deg(f"{side}_knee_flexion")
        short = ramp(body.distance(hip, knee), 0.75, 0.55)
        shank = ramp(np.abs(body.above(knee, ankle)), 0.5, 0.3)
        below = body.above(hip, knee)
        body.note(f"{side} knee {{:.1f}} trunks below the hip", below)
        low = ramp(below, 0.6, 0.4)
        return all_of(low, any_of(short, shank, ramp(bent, 25, 45)))

    tilt = body.angle_deg("trunk_tilt")
    body.note("trunk {:.0f}° from upright", tilt)
    return all_of(all_known(*map(level, SIDES)), ramp(tilt, 65, 45))


def arms_raised(body: Body) -> np.ndarray:
    """A hand above its shoulder, towards the head, and the elbow not far below it."""

    def raised(side: str) -> np.ndarray:
        wrist, elbow, shoulder = (f"{side}_{part}" for part in ("wrist", "elbow", "shoulder"))
        height = body.above(wrist, shoulder, body.headward)
        body.note("wrist {:.1f} trunks above the shoulder", height, side)
        hand = ramp(height, 0.15, 0.4)
        return all_of(hand, ramp(body.above(elbow, shoulder, body.headward), -0.3, 0))

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
    """The trunk 20 to 32 degrees and more from upright, any way, and not level."""
    tilt = body.angle_deg("trunk_tilt")
    body.note("trunk {:.0f}° from upright", tilt)
    return all_of(ramp(tilt, 20, 32), ramp(tilt, 80, 65))


def hands_on_hips(body: Body) -> np.ndarray:
    """Not seated, a wrist at its hip and not before it, the bent elbow farther out than both."""
    standing = np.where(
        body.without_notes(seated) > 0.5, 0.0, 1.0
    )  # hands in the lap look the same

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
        at_side = ramp(body.above(wrist, hip, outward), 0, 0.1)
        bent = ramp(elbow_deg, 45, 65)
        out = ramp(body.above(elbow, shoulder, outward), 0.1, 0.2)
        beside = ramp(body.above(elbow, wrist, outward), 0.15, 0.25)
        return all_of(near, at_side, bent, out, beside, standing)

    return each_side(akimbo)


def using_phone(body: Body) -> np.ndarray:
    """A hand at its ear; or one held up before the trunk while the head is bent down to it.

    By posture alone: scratching an ear or reading a book looks the same.
    """

    def at_ear(side: str) -> np.ndarray:
        wrist, elbow = f"{side}_wrist", f"{side}_elbow"
        away = body.distance(wrist, f"{side}_ear")
        body.note("wrist {:.1f} trunks from the ear", away, side)
        near = ramp(away, 0.55, 0.35)
        bent = ramp(body.angle_deg(f"{elbow}_flexion"), 80, 105)
        below = ramp(body.above(elbow, f"{side}_shoulder", body.headward), 0.1, -0.1)
        return all_of(near, bent, below)

    def before(side: str) -> np.ndarray:
        wrist = f"{side}_wrist"
        elbow_deg, pitch = body.angle_deg(f"{side}_elbow_flexion"), body.angle_deg("head_pitch")
        body.note("elbow bent {:.0f}°", elbow_deg, side)
        body.note("head {:.0f}° down", -pitch, side)
        bent = ramp(elbow_deg, 55, 75)
        height = body.above(wrist, "mid_hip", body.headward)
        held = all_of(ramp(height, 0.15, 0.3), ramp(height, 1.0, 0.85))
        return all_of(bent, held, ramp(pitch, -18, -30))

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
    """A wrist at its hip, the forearm pointing down: without using the image."""
    from vitruvian.models.pockets import LIMB, at_pocket_line

    arm = [[body.points[f"{side}_{part}"] for part in LIMB] for side in SIDES]
    if body.points.lacks:
        return np.full((len(body), len(SIDES)), np.nan)
    away = each_side(lambda side: body.distance(f"{side}_wrist", f"{side}_hip"))
    body.note("wrist {:.1f} trunks from the hip", away)
    known = np.isfinite(arm).all(axis=(1, 3)).T
    return np.where(known, ramp(at_pocket_line(body.poses), *AT_POCKET), np.nan)


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
