"""Posture rules: the degree, 0 to 1, to which a posture holds for each person; NaN if unknown.

A rule is a function of `Body`, the scale-free geometry of all people in a frame: angles, and
lengths in trunk lengths (mid-shoulder to mid-hip) or shoulder widths. It uses metres if available,
otherwise pixels, which hide some postures, such as leaning towards the camera. Rules on hands and
heads are in `analysis/gestures.py`; `analysis/rules.py` knows all of them by name, and reads more
from a file; `analysis/events.py` tracks them over time.

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
from functools import cached_property, lru_cache, reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vitruvian.analysis.angles import UP, BodyAngles, Space, angle_names, required_points
from vitruvian.analysis.hands import HandShapes
from vitruvian.analysis.points import BodyPoints, dot, lengths, unit_vectors
from vitruvian.analysis.view import depth_is_estimated
from vitruvian.body.facing import OBLIQUE, facing, trunk_axes
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.state import SEEN, VISIBLE, guessed
from vitruvian.errors import VitruvianError, shown
from vitruvian.frame import Frame

if TYPE_CHECKING:
    from vitruvian.models.pockets import Hands

SIDES = ("left", "right")
Pair = tuple[str, str]  # a point or an angle of both sides, left and right
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


def _pair(part: str) -> Pair:
    return f"left_{part}", f"right_{part}"


SHOULDERS, ELBOWS, WRISTS, HIPS = map(_pair, ("shoulder", "elbow", "wrist", "hip"))
KNEES, ANKLES, EARS = map(_pair, ("knee", "ankle", "ear"))
BENT_ELBOWS = _pair("elbow_flexion")


class Evidence(NamedTuple):
    """What a rule has measured or seen."""

    words: str
    side: str  # the subject's "left" or "right"; "" of both, or the whole body
    values: np.ndarray  # (N,) or (N, 2)


class Body:
    """Geometry of the N people in one frame, the input of rules."""

    def __init__(
        self,
        poses: Poses,
        frame: Frame | None = None,
        seen: float = SEEN,
        *,
        like: Body | None = None,
    ) -> None:
        """Compute the geometry of poses.

        Args:
            poses: of any family.
            frame: for rules that need the image; its camera, if known, gives the up direction.
                Keypoints outside of it are guesses of the model, and treated as unknown.
            seen: 0..1, score below which a keypoint is not known.
            like: the same people and frame with metres, if known: what is doubtful is decided in
                pixels, so it is the same.
        """
        self.poses, self.frame, self.seen = poses, frame, seen
        self.space: Space = "2d" if poses.xyz is None else "3d"
        at = poses.xy if poses.xyz is None else poses.xyz
        self._axes = trunk_axes(poses) if like is None else like._axes
        self.score = self._sure() if like is None else like.score
        self.points = BodyPoints(poses.skeleton, at, self.score, seen)
        camera = None if frame is None or self.space == "2d" else frame.camera
        self.up = np.array(UP[self.space]) if camera is None else camera.up
        # Whether up is known in metres: those of one image lean where its camera looks down.
        placed = camera is not None and (
            camera.extrinsics is not None or not np.array_equal(camera.up, UP["3d"])
        )
        self.measured = self.space == "3d" and (placed or not depth_is_estimated(poses))
        # Points that the skeleton does not have, by rule.
        self.lacks: dict[str, tuple[str, ...]] = {}
        self.notes: dict[str, tuple[Evidence, ...]] = {}  # rule -> its evidence
        self.noted: list[Evidence] = []  # of the rule that is being evaluated
        # Degrees, and points that were missing, by rules that other rules need.
        self._known: dict[Rule, tuple[np.ndarray, frozenset[str]]] = {}

    def __len__(self) -> int:
        return len(self.poses)

    def _sure(self) -> np.ndarray:
        """(N, K) the scores; 0 of keypoints that are doubtful."""
        doubtful = _unlikely(self.poses, self._axes[2])
        if self.frame is not None and self.frame.size != (0, 0):
            doubtful |= guessed(self.poses, self.frame.size)
        return np.where(doubtful, np.float32(0), self.poses.score)

    @cached_property
    def in_pixels(self) -> Body:
        """The same people without metres."""
        flat = replace(self.poses, xyz=None, origin=None)
        return Body(flat, self.frame, self.seen, like=self)

    @cached_property
    def hands(self) -> HandShapes:
        """The shapes of the hands, of skeletons that have fingers."""
        return HandShapes(self)

    @property
    def scale(self) -> np.ndarray:
        """(N,) pixels, length of the trunk, or 1.3 shoulder widths; NaN if unknown."""
        return self._axes[2]

    @cached_property
    def facing(self) -> np.ndarray:
        """(N,) 1 towards the camera, 0 aside, -1 away from it; NaN if unknown."""
        return facing(self.poses, self._axes)

    @cached_property
    def doubtful(self) -> np.ndarray:
        """(N,) bool, whether trunk and head contradict each other in the image."""
        return np.isnan(self.facing) & np.isfinite(self._axes[2])

    def visible(self, *names: str | Pair, least: float = VISIBLE) -> np.ndarray:
        """(N,) bool, whether the model is sure of all of these keypoints; (2, N) of pairs.

        Args:
            names: of keypoints; those that the skeleton does not have do not count.
            least: 0..1, the least score.
        """
        if any(isinstance(name, tuple) for name in names):
            sides = (name if isinstance(name, tuple) else (name, name) for name in names)
            return np.stack([self.visible(*own, least=least) for own in zip(*sides, strict=True)])
        known = self.points.skeleton.places
        at = [place for name in names for place in known.get(str(name), ())]
        return np.logical_and.reduce(self.score[:, at] >= least, axis=1)

    @property
    def legs_from(self) -> float:
        """0..1, score from which legs are seen: models with a presence place those that are not."""
        return self.seen if self.poses.presence is None else VISIBLE

    def _at(self, name: str | Pair) -> np.ndarray:
        """(N, D) where a point is; (2, N, D) of a pair."""
        return self.points[name] if isinstance(name, str) else self.points.stack(name)

    @cached_property
    def _angles(self) -> BodyAngles:
        return BodyAngles(self.points, self.space, tuple(self.up), image=self.in_pixels.points)

    def angle_deg(self, name: str | Pair) -> np.ndarray:
        """(N,) an angle of `analysis/angles.py`; (2, N) of a pair.

        NaN also for one that only metres have.
        """
        names = (name,) if isinstance(name, str) else name
        for each in names:
            self.points.need(required_points(each))
        known = all(each in angle_names(self.space, parts=True) for each in names)
        found = self._angles.deg(*names) if known else np.full((len(names), len(self)), np.nan)
        return found[0] if isinstance(name, str) else found

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
            _formatted(words)
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
        if rule not in self._known:
            kept, lacks = len(self.noted), set(self.points.lacks)
            self.points.lacks.clear()
            self._known[rule] = rule(self), frozenset(self.points.lacks)
            self.points.lacks.update(lacks)
            del self.noted[kept:]
        degree, lacks = self._known[rule]
        self.points.lacks.update(lacks)
        return degree

    def keep(self, rule: Rule, degree: np.ndarray) -> None:
        """Keep the degree by a rule that has just been evaluated for `without_notes`."""
        self._known[rule] = degree, frozenset(self.points.lacks)

    def distance(self, a: str | Pair, b: str | Pair) -> np.ndarray:
        """(N,) distance between two points, in trunk lengths; (2, N) of pairs."""
        return self._trunks(lengths(self._at(a) - self._at(b)))

    def above(self, a: str | Pair, b: str | Pair, along: np.ndarray | None = None) -> np.ndarray:
        """(N,) how far a is above b, in trunks; or farther along some other (N, D) direction.

        (2, N) of pairs.
        """
        return self._trunks(dot(self._at(a) - self._at(b), self.up if along is None else along))

    @cached_property
    def headward(self) -> np.ndarray:
        """(N, D) of length 1, from the hips to the shoulders."""
        return self.direction("mid_hip", "mid_shoulder")

    def direction(self, a: str | Pair, b: str | Pair) -> np.ndarray:
        """(N, D) of length 1, from one point to another; (2, N, D) of pairs."""
        return unit_vectors(self._at(b) - self._at(a))

    def tilt_deg(self, a: str | Pair, b: str | Pair) -> np.ndarray:
        """(N,) 0..180 degrees between up and the direction from a to b; (2, N) of pairs."""
        cos = dot(self.direction(a, b), self.up)
        return np.degrees(np.arccos(_clipped(cos, -1, 1)))

    def bend_deg(self, a: str | Pair, joint: str | Pair, b: str | Pair) -> np.ndarray:
        """(N,) 0..180 degrees, how far the line from a over a joint to b is from straight.

        (2, N) of pairs.
        """
        cos = dot(self.direction(joint, a), self.direction(joint, b))
        return 180 - np.degrees(np.arccos(_clipped(cos, -1, 1)))

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

    @cached_property
    def _trunk(self) -> np.ndarray:
        """(N,) length of the trunk, pixels or metres; NaN if unknown."""
        trunk = lengths(self.points["mid_shoulder"] - self.points["mid_hip"])
        return np.where(trunk > 0, trunk, np.nan)

    def _trunks(self, length: np.ndarray) -> np.ndarray:
        self.points.need(("mid_shoulder", "mid_hip"))
        with np.errstate(invalid="ignore", divide="ignore"):
            return length / self._trunk


@lru_cache(1024)
def _formatted(words: str) -> str:
    """What `str.format` makes of words of a note; raises what it raises."""
    return words.format(0.0)


@lru_cache(64)
def _bones(skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The B bones of a skeleton that have a longest length.

    Returns:
        (2, 2, B) near and far keypoints: of each end two that it is the middle of, or one twice;
        (B,) trunk lengths; (B, K) bool, the far ends.
    """
    own, ends, longest = skeleton.places, list[tuple[int, ...]](), list[float]()
    for (near, far), length in LONGEST.items():
        for side in SIDES:
            a, b = own.get(f"{side}_{near}"), own.get(f"{side}_{far}")
            if a is not None and b is not None:
                ends.append((a[0], a[-1], b[0], b[-1]))
                longest.append(length)
    both = np.array(ends, np.intp).reshape(-1, 2, 2).transpose(1, 2, 0)
    far_ends = (both[1][..., None] == np.arange(len(skeleton))).any(axis=0)
    return both, np.array(longest), far_ends


def _unlikely(poses: Poses, scale: np.ndarray) -> np.ndarray:
    """(N, K) bool: keypoints of who is too small, and the far ends of impossible bones.

    `scale`: (N,) pixels, the length of the trunk.
    """
    ends, longest, far_ends = _bones(poses.skeleton)
    at = poses.xy[:, ends]  # (N, 2, 2, B, 2)
    middles = (at[:, :, 0] + at[:, :, 1]) / 2
    too_long = lengths(middles[:, 0] - middles[:, 1]) > longest * scale[:, None]
    return (too_long @ far_ends) | (scale < SMALLEST)[:, None]


def _clipped(value: np.ndarray, least: float, most: float) -> np.ndarray:
    """`np.clip` without its checks."""
    return np.minimum(np.maximum(value, least), most)


# (N,) 0..1, NaN where it cannot be told; (N, 2) of what left and right do each for itself.
Rule = Callable[[Body], np.ndarray]


# Degrees, and how they are put together


def ramp(value: np.ndarray, begins: float, holds: float) -> np.ndarray:
    """(N,) 0 at `begins` and beyond, 1 at `holds` and beyond, linear between; NaN stays."""
    return _clipped((value - begins) / (holds - begins), 0, 1)


def all_of(*degrees: np.ndarray) -> np.ndarray:
    """(N,) minimum (fuzzy and); 0 if any is 0, even if others are unknown."""
    return np.where(reduce(np.fmin, degrees) == 0, 0.0, reduce(np.minimum, degrees))


def any_of(*degrees: np.ndarray) -> np.ndarray:
    """(N,) maximum of the known (fuzzy or); NaN if none is, or it is 0 and some are unknown."""
    most = reduce(np.fmax, degrees)
    return np.where(most > 0, most, reduce(np.maximum, degrees))


def all_known(*degrees: np.ndarray) -> np.ndarray:
    """(N,) minimum of the known; NaN if none is known."""
    return reduce(np.fmin, degrees)


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
    hip. Unknown if the knees are not visible, and where no ankle and only one knee is: of who is
    cut off at the thighs, models invent it.
    """
    if body.space == "3d":
        bent, raised = body.bend_deg(SHOULDERS, HIPS, KNEES), 180 - body.tilt_deg(HIPS, KNEES)
        told = ("{} thigh {{:.0f}}° from hanging down", raised)
        thighs = all_of(ramp(raised, 45, 65), ramp(bent, 40, 60))
    else:
        drop, length = body.above(HIPS, KNEES), body.distance(HIPS, KNEES)
        told = ("{} knee {{:.1f}} trunks below the hip", drop)
        shank = body.above(KNEES, ANKLES)
        tilt = np.degrees(np.arccos(_clipped(drop / np.maximum(length, 1e-6), -1, 1)))
        along = all_of(ramp(tilt, 45, 65), ramp(length, 0.35, 0.5))
        toward = all_of(ramp(shank / np.maximum(drop, 0.1), 1.4, 2), ramp(shank, 0.4, 0.55))
        low = ramp(drop, 0.6, 0.4)
        thighs = all_of(low, any_of(along, toward, ramp(drop, 0.15, 0)))
    least = body.legs_from
    thighs = np.where(body.visible(HIPS, KNEES, least=least), thighs, np.nan)
    knees, ankles = (body.visible(pair, least=least) for pair in (KNEES, ANKLES))
    thighs = np.where(knees.all(axis=0) | ankles.any(axis=0), thighs, np.nan)
    tilt = body.angle_deg("trunk_tilt")
    body.note("trunk {:.0f}° from upright", tilt)
    for side, values in zip(SIDES, told[1], strict=True):
        body.note(told[0].format(side), values)
    return all_of(all_known(*thighs), ramp(tilt, 65, 45))


def arms_raised(body: Body) -> np.ndarray:
    """A hand above its shoulder, towards the head and upward, and the elbow not far below it.

    The line from shoulder to hand rises by 5 to 17 degrees, both from level and from square to the
    trunk: an arm held out is not raised, however short a trunk looks, and who lies or bends over
    reaches ahead. A hand at the ear, on an arm bent by 120 degrees and more, telephones or
    scratches.
    """
    height = body.above(WRISTS, SHOULDERS, body.headward)
    body.note("wrist {:.1f} trunks above the shoulder", height.T)
    reach = body.direction(SHOULDERS, WRISTS)
    rise = np.minimum(dot(reach, body.headward), dot(reach, body.up))  # sines
    hand = all_of(ramp(height, 0.15, 0.4), ramp(rise, *np.sin(np.radians((5, 17)))))
    degree = all_of(hand, ramp(body.above(ELBOWS, SHOULDERS, body.headward), -0.3, 0))
    seen = [body.points.has(ear) for ear in EARS]
    if not any(seen):
        return degree.T
    lacks = set(body.points.lacks)
    at_ear = all_of(
        ramp(body.angle_deg(BENT_ELBOWS), 100, 120),
        ramp(body.distance(WRISTS, EARS), 0.5, 0.35),
        ramp(body.above(WRISTS, EARS, body.headward), 0.2, 0.1),
    )
    body.points.lacks.intersection_update(lacks)
    phones = np.where(np.array(seen)[:, None], np.nan_to_num(at_ear), 0.0)
    return np.minimum(degree, 1 - phones).T


def lying(body: Body) -> np.ndarray:
    """Trunk and legs level, and in a line; unknown if the legs are not visible.

    Who bends down with bent knees has both level too, but folded.
    """
    trunk = np.abs(90 - body.tilt_deg("mid_hip", "mid_shoulder"))
    thighs = np.abs(90 - body.tilt_deg(HIPS, KNEES))
    for side, values in zip(SIDES, thighs, strict=True):
        body.note(f"{side} thigh {{:.0f}}° from level", values)
    body.note("trunk {:.0f}° from level", trunk)
    legs = all_of(ramp(thighs, 40, 25), ramp(body.bend_deg(SHOULDERS, HIPS, KNEES), 110, 85))
    return all_of(ramp(trunk, 40, 25), all_known(*legs))


def leaning(body: Body) -> np.ndarray:
    """The trunk 20 to 32 degrees and more from upright, any way, and not level.

    Who sits or lies back, with thighs more level than the trunk is bent from them, reclines.
    It is also 8 to 16 degrees from the line of the legs: in an image that is tilted, or at the edge
    of a wide view, all of a body leans. Where the legs are not seen, it is 28 to 40 from upright.
    Metres that a model estimates from one image make many lean who sit, and all if the camera looks
    down: these count in pixels, or from 27 to 40 degrees from the legs if both thighs hang; else it
    is unknown.
    """
    if body.space == "2d" or body.measured:
        degree = _lean(body, 8, 16)
    else:
        degree, deep = _lean(body.in_pixels, 8, 16), _lean(body, 27, 40)
        stands = (180 - body.tilt_deg(HIPS, KNEES) < 40).all(axis=0)
        doubt = np.where((degree == 0) & (deep > 0), np.nan, degree)
        degree = np.where(stands, any_of(degree, deep), doubt)
    return np.where(body.doubtful, np.nan, degree)


def _lean(body: Body, begins: float, holds: float) -> np.ndarray:
    """(N,) the same, with degrees from the line of the legs."""
    tilt = body.angle_deg("trunk_tilt")
    body.note("trunk {:.0f}° from upright", tilt)
    legs = unit_vectors(body.points["mid_hip"] - body.lower_foot())
    apart = np.degrees(np.arccos(_clipped(dot(legs, body.headward), -1, 1)))
    own = np.where(np.isnan(apart), ramp(tilt, 28, 40), ramp(apart, begins, holds))
    back = 180 - body.tilt_deg(HIPS, KNEES) - body.bend_deg(SHOULDERS, HIPS, KNEES)
    reclines = np.nan_to_num(all_known(*ramp(back, 10, 25)))
    return all_of(ramp(tilt, 20, 32), own, ramp(tilt, 80, 65), 1 - reclines)


def hands_on_hips(body: Body) -> np.ndarray:
    """Both wrists beside their hips and not before them, the bent elbows above and farther out.

    One hand alone is unknown: most that look so hold something. So is who has no hanging thighs,
    and sits or stands at a table. From behind a wrist must be seen beside the hip; from the side it
    cannot be told.
    """
    thighs = all_known(*ramp(body.above(HIPS, KNEES), 0.5, 0.65))
    stands = np.where(thighs > 0.5, 1.0, np.nan)
    behind = body.facing <= -OBLIQUE
    aside = (np.abs(body.facing) <= OBLIQUE) | body.doubtful

    outward = body.direction((SHOULDERS[1], SHOULDERS[0]), SHOULDERS)
    away, elbow_deg = body.distance(WRISTS, HIPS), body.angle_deg(BENT_ELBOWS)
    body.note("wrist {:.1f} trunks from the hip", away.T)
    body.note("elbow bent {:.0f}°", elbow_deg.T)
    beside_hip = body.above(WRISTS, HIPS, outward)
    parts = (  # from where each arm, and from where both on average
        (away, (0.7, 0.6), (0.6, 0.5)),
        (beside_hip, (-0.1, 0.0), (0.08, 0.15)),
        (body.above(WRISTS, HIPS, body.headward), (-0.08, 0.0), (0.05, 0.15)),
        (elbow_deg, (30, 45), (50, 62)),
        (body.above(ELBOWS, SHOULDERS, outward), (0.0, 0.08), (0.12, 0.2)),
        (body.above(ELBOWS, WRISTS, outward), (-0.05, 0.05), (0.08, 0.16)),
        (body.above(ELBOWS, WRISTS, body.headward), (0.05, 0.15), (0.17, 0.27)),
    )
    upright = ramp(body.angle_deg("trunk_tilt"), 25, 15)
    each = all_of(*(ramp(value, *own) for value, own, _ in parts), upright, stands)
    hidden = behind & ~(beside_hip >= BESIDE) | aside | ~body.visible(WRISTS, ELBOWS)
    each = unknown_where(hidden, each)
    both = all_of(*(ramp(value.mean(axis=0), *full) for value, _, full in parts), *each)
    return np.where(each > 0, np.where(both > 0, both, np.nan), each).T


BESIDE = 0.25  # trunks that a wrist is outside its hip, from which it is seen from behind


def using_phone(body: Body) -> np.ndarray:
    """A hand at its ear, the elbow hanging; unknown where one is held before the bent head.

    By posture alone: scratching an ear looks the same. The elbow hangs and the trunk is upright:
    players who hold a bat or throw have it up. Both hands at the ears hold a camera or the head.
    What a hand before the trunk holds cannot be told: of ten who look at it, nine hold no phone.
    """
    away = body.distance(WRISTS, EARS)
    body.note("wrist {:.1f} trunks from the ear", away.T)
    elbow_deg = body.angle_deg(BENT_ELBOWS)
    body.note("elbow bent {:.0f}°", elbow_deg.T)
    below = ramp(body.above(ELBOWS, SHOULDERS, body.headward), -0.08, -0.2)
    upright = ramp(body.angle_deg("trunk_tilt"), 28, 18)
    at_ear = all_of(ramp(away, 0.5, 0.3), ramp(elbow_deg, 90, 115), below, upright)
    at_ear = all_of(at_ear, 1 - np.nan_to_num(at_ear[::-1]))
    at_ear = unknown_where(~body.visible(WRISTS, ELBOWS), at_ear)

    height = body.above(WRISTS, "mid_hip", body.headward)
    held = all_of(ramp(height, 0.15, 0.3), ramp(height, 1.0, 0.85))
    before = all_of(ramp(elbow_deg, 55, 75), held, ramp(body.angle_deg("head_pitch"), -18, -30))
    return np.where((before > 0) & (at_ear == 0), np.nan, any_of(at_ear, before)).T


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
    width = lengths(points["left_shoulder"] - points["right_shoulder"])
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
    body.note("wrist {:.1f} trunks from the hip", body.distance(WRISTS, HIPS).T)
    known = np.isfinite(arm).all(axis=(1, 3)).T
    degree = np.where(known, ramp(at_pocket_line(body.poses), *AT_POCKET), np.nan)
    return unknown_where(hand_view(body.poses) < OPEN, degree)


FOUND_HAND = 0.9  # 0..1, score of a hand from which it is surely there


def hands_in_pockets(body: Body) -> np.ndarray:
    """A hand is in a pocket, by `models/pockets.py`, from the pose and the pixels of the frame."""
    from vitruvian.models.pockets import hands

    return pockets_rule(hands)(body)


def pockets_rule(hands: Callable[[Frame, Poses], Hands]) -> Rule:
    """The rule above by any detector; between 0.4 and 0.6 where that is too close to call.

    Where the detector does not know, and the model finds hands, a hand that was surely found is
    out: of 44 in pockets none was.
    """

    def rule(body: Body) -> np.ndarray:
        if body.frame is None:
            raise VitruvianError("hands_in_pockets needs the image; pass the frame to Body as well")
        from vitruvian.models.pockets import LIMB

        _ = [body.points[f"{side}_{part}"] for part in LIMB for side in SIDES]
        if body.points.lacks:
            return np.full((len(body), len(SIDES)), np.nan)
        found = hands(body.frame, body.poses)
        body.note("chance {:.2f} of being in a pocket", found.inside)
        degree = np.interp(found.inside, [0, found.out_to, found.in_from, 1], [0, 0.4, 0.6, 1])
        if not all(f"{side}_index_1" in body.poses.skeleton.places for side in SIDES):
            return degree
        seen = (body.hands.known & (body.hands.score >= FOUND_HAND)).T
        body.note("hand found", seen)
        close = ~((degree <= 0.4) | (degree >= 0.6))
        return np.where(close & seen, 0.0, degree)

    rule.__name__ = "hands_in_pockets"
    return rule


def of_keypoints(rule: Rule) -> Rule:
    """Declare that a rule reads no pixels, and tells of each person by that person alone."""
    rule.of_keypoints = True  # type: ignore[attr-defined]
    return rule


def is_of_keypoints(rule: Rule) -> bool:
    """Whether a rule was declared to read no pixels; of functions of users it is not known."""
    return getattr(rule, "of_keypoints", False)
