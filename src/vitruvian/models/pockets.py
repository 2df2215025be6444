"""Hands in pockets: the probability of each hand being in a pocket, or unknown.

A hand in a pocket cannot be seen, and a pose model gives it a wrist with fair confidence, so the
wrist alone cannot decide. Two kinds of evidence go into one logistic regression:

- where the arm is (`geometry`), in body scales, the right side mirrored;
- whether a hand can be seen at the end of the forearm: a small network classifies a patch of the
  image there (`patches`), rotated so that the forearm points down.

The poses are those of any model whose skeleton has shoulders, elbows, wrists and hips; vitruvian-2d
reads the same people once more, and the two readings are averaged. All files come with vitruvian;
`vitruvian.training.tasks.pockets` made them, docs/pockets.md says how good they are.

Before that, `hand_view` decides whether hand and pocket can be seen at all. A hand before or behind
the body is hidden from the other side, and models place its wrist at the hip: that is unknown.

Columns of all results: the subject's left hand, right hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from vitruvian.body.facing import facing, near_side, trunk_axes
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.body.state import SEEN
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry.crop import Crop
from vitruvian.geometry.regions import Regions
from vitruvian.models.alphapose import Joints, Options
from vitruvian.network.open import Network
from vitruvian.network.openvino import OpenVino

FILES = Path(__file__).parents[1] / "weights" / "shipped"
SIDES = ("left", "right")
LIMB = ("shoulder", "elbow", "wrist", "hip")
SHOULDER, ELBOW, WRIST, HIP = range(4)
BROAD = np.float32(1.3)  # shoulder widths that are as long as a torso
PATCH = (96, 128)  # width and height of a patch, pixels
REACH = 1.1  # body scales, the height of a patch
ALONG = 0.12  # body scales from the wrist to the middle of the patch, along the forearm
LEAN = 0.15  # how much of the trunk's direction is mixed into the forearm's, which may be short
READER = Options(pose_nms=False)  # of vitruvian-2d: everybody as they were given
LEAST = 8  # pixels, the height of the smallest person who is read
BEYOND = 0.1  # of a person's keypoints on each side: head, hands and feet reach beyond them
FOUND = 0.03  # score below which a keypoint is not found
CLEAR = (-4.0, 6.0)  # what the network's answer is limited to
UNSEEN = 2.0  # log odds below which it is not sure that there is a hand
# From where hands can be seen. Of 790 hidden hands of six people seen from behind
# (`benchmarks/events.py`), 95 % have a wrist less than 0.28 to 0.32 outside the hip by all models,
# and log odds of a hand of less than 1.3.
TOWARD = 0.6  # `facing` from which both hands are before the body: less than 53 degrees
BEHIND = -0.3  # `facing` below which people are seen from behind
BESIDE = 0.3  # body scales across the trunk from the hip, where a wrist is beside the body
IN_SIGHT = 1.5  # log odds of a hand, mean of both readings, from which there is one
PLAIN = 3.0  # from which the hand is in plain sight, so not in a pocket
SMALLEST = 40.0  # pixels, body scale: a hand is 10 then. The smallest in data/pockets are 38 to 53
HANGS = 0.5  # body scales that a knee is below its hip, at least: else the hand may be in the lap
THIGH = 0.8  # body scales, length of a thigh
HIDDEN, ASIDE, OPEN = range(3)  # what `hand_view` says


@dataclass(frozen=True, eq=False)
class Hands:
    """Probability of the hands of N people being in pockets."""

    inside: np.ndarray  # (N, 2) 0..1; NaN where hip, arm or hand are not in view
    out_to: float  # probability up to which a hand is out
    in_from: float  # probability from which it is in

    @property
    def state(self) -> np.ndarray:
        """(N, 2) "in", "out" or "unknown": not in view, or too close to call."""
        with np.errstate(invalid="ignore"):
            out, in_ = self.inside <= self.out_to, self.inside >= self.in_from
        return np.where(in_, "in", np.where(out, "out", "unknown"))


@dataclass(frozen=True, eq=False)
class Arms:
    """The arms of N people, as input of the features; right sides are mirrored to left sides.

    Points are pixels of the frame; in the right column x is negated.
    """

    xy: np.ndarray  # (N, 2, 4, 2) of each side the points in `LIMB`
    score: np.ndarray  # (N, 2, 4) 0..1
    scale: np.ndarray  # (N, 1) pixels, the body scale: torso, or 1.3 shoulder widths if longer
    down: np.ndarray  # (N, 2, 2) unit vector, from the shoulders to the hips

    @classmethod
    def of(cls, poses: Poses) -> Arms:
        """Read them from poses.

        Raises:
            VitruvianError: the skeleton lacks shoulders, elbows, wrists or hips.
        """
        at = np.array([[_keypoint(poses, f"{side}_{name}") for name in LIMB] for side in SIDES])
        score = poses.score[:, at]
        xy = np.where(score[..., None] < FOUND, np.nan, poses.xy[:, at]).astype(np.float32)
        xy[:, 1, :, 0] *= -1
        # Of the person as seen: x of the right side turned back.
        seen = xy * np.array([[1, 1], [-1, 1]], np.float32)[:, None]
        shoulders, hips = seen[:, :, SHOULDER].mean(axis=1), seen[:, :, HIP].mean(axis=1)
        length = np.linalg.norm(hips - shoulders, axis=-1, keepdims=True)
        width = np.linalg.norm(seen[:, 0, SHOULDER] - seen[:, 1, SHOULDER], axis=-1, keepdims=True)
        down = (hips - shoulders) / np.maximum(length, 1e-6)
        down = np.stack([down, down * np.array([-1, 1], np.float32)], axis=1)
        return cls(xy, score, np.maximum(length, BROAD * width), down)

    def local(self, vectors: np.ndarray) -> np.ndarray:
        """(N, 2, 2) vectors in pixels, as body scales: towards the mirror's right, and down."""
        right = np.stack([self.down[..., 1], -self.down[..., 0]], axis=-1)
        parts = [(vectors * axis).sum(axis=-1) for axis in (right, self.down)]
        return np.stack(parts, axis=-1) / np.maximum(self.scale, 1e-6)[..., None]


def _keypoint(poses: Poses, name: str) -> int:
    if name not in poses.skeleton.keypoints:
        raise VitruvianError(
            f"hands_in_pockets needs the keypoint {name}, which {poses.skeleton.name} does not "
            "have; use a model with whole-body keypoints"
        )
    return poses.skeleton[name]


# What `geometry` gives, in this order; then what `evidence` adds. Elbow angle, lengths, the way the
# body faces, fingers and depth were tried as well: with so few hands in pockets to learn from they
# made it worse, see docs/pockets.md.
GEOMETRY = (
    "wrist at hip",  # 1 at the hip, near 0 from 0.6 body scales on
    "wrist level with hip",  # 1 at the same height
    "wrist beside hip",  # body scales across the trunk
    "forearm down",  # cosine with the trunk
    "upper arm down",
    "wrist score",
)
SIGHT = ("hand in sight", "hand not in sight")
FEATURES = (*GEOMETRY, *SIGHT)


def geometry(arms: Arms) -> np.ndarray:
    """(N, 2, G) the features in `GEOMETRY`, the same for any size and for a mirrored image."""
    xy = arms.xy
    wrist = arms.local(xy[:, :, WRIST] - xy[:, :, HIP])
    upper = arms.local(xy[:, :, ELBOW] - xy[:, :, SHOULDER])
    fore = arms.local(xy[:, :, WRIST] - xy[:, :, ELBOW])
    away = np.linalg.norm(wrist, axis=-1)
    columns = [
        np.exp(-((away / 0.35) ** 2)),
        np.exp(-(((wrist[..., 1] + 0.02) / 0.2) ** 2)),
        np.abs(wrist[..., 0]),
        fore[..., 1] / (np.linalg.norm(fore, axis=-1) + 1e-6),
        upper[..., 1] / (np.linalg.norm(upper, axis=-1) + 1e-6),
        arms.score[..., WRIST],
    ]
    return np.stack(columns, axis=-1).astype(np.float32)


def evidence(table: np.ndarray, sight: np.ndarray) -> np.ndarray:
    """(N, 2, F) all `FEATURES`: those of `geometry`, and the network's answer.

    Args:
        table: (N, 2, G) from `geometry`.
        sight: (N, 2) log odds that a hand can be seen.
    """
    sight = np.clip(sight, *CLEAR)
    added = np.stack([sight, np.minimum(sight, UNSEEN)], axis=-1)
    return np.concatenate([table, added], axis=-1).astype(np.float32)


def arms_in_view(arms: Arms, size: tuple[int, int]) -> np.ndarray:
    """(N, 2) bool: whether shoulder, elbow, wrist and hip are found, the last two in the frame."""
    there = np.isfinite(arms.xy).all(axis=(2, 3)) & np.isfinite(arms.scale)
    with np.errstate(invalid="ignore"):
        at = arms.xy[:, :, [WRIST, HIP]] * np.array([[1, 1], [-1, 1]], np.float32)[:, None]
        inside = ((at >= 0) & (at <= np.array(size))).all(axis=(2, 3))
    return there & inside & (arms.scale >= 8)  # pixels: nothing can be seen of smaller people


def patches(arms: Arms, known: np.ndarray) -> list[Crop]:
    """Crops at the end of each known forearm, row by row.

    Crops of the frame, turned so that the forearm points down; not mirrored.
    """
    crops = []
    for n, side in zip(*np.nonzero(known), strict=True):
        scale = float(arms.scale[n, 0])
        _, elbow, wrist, _ = arms.xy[n, side]
        along = (wrist - elbow) / scale + LEAN * arms.down[n, side]
        along = along / max(float(np.linalg.norm(along)), 1e-6)
        middle = wrist + ALONG * scale * along
        if SIDES[side] == "right":
            middle, along = middle * (-1, 1), along * (-1, 1)
        extent = np.array([PATCH[0] / PATCH[1], 1], np.float32) * np.float32(REACH * scale)
        turn = float(np.arctan2(-along[0], along[1]))
        crops.append(Crop.turned(middle, extent, turn, PATCH, centre=0.5))
    return crops


def cut(frame: Frame, crops: list[Crop], known: np.ndarray) -> np.ndarray:
    """(M, 128, 96, 3) uint8 of `patches`, those of right hands mirrored; black outside."""
    sides = np.nonzero(known)[1]
    rows = np.zeros((len(crops), PATCH[1], PATCH[0], 3), np.uint8)
    for row, crop, side in zip(rows, crops, sides, strict=True):
        seen = frame.cut(crop, antialias=1)
        row[:] = seen[:, ::-1] if SIDES[side] == "right" else seen
    return rows


def hand_view(poses: Poses) -> np.ndarray:
    """(N, 2) what can be seen of the left hand and of the right hand, and of their pockets.

    `OPEN`: both. From the front both hands are, from the side the near one. `ASIDE`: the hand, as
    it is beside the body, but not its pocket. `HIDDEN`: neither, the body may hide the hand; also
    where it is not known which way the person faces.
    """
    arms, toward, near = Arms.of(poses), facing(poses), near_side(poses)
    with np.errstate(invalid="ignore"):
        across = arms.local(arms.xy[:, :, WRIST] - arms.xy[:, :, HIP])[..., 0]
        outward = np.where(
            abs(toward)[:, None] < -BEHIND, abs(across), np.sign(toward)[:, None] * across
        )
        aside = np.where(np.isnan(toward)[:, None], abs(across), outward) >= BESIDE
        open_ = (toward >= TOWARD)[:, None] | (
            (toward >= BEHIND)[:, None] & (near[:, None] == np.arange(len(SIDES)))
        )
    return np.where(open_, OPEN, np.where(aside, ASIDE, HIDDEN))


@dataclass(frozen=True, eq=False)
class HandReading:
    """The hands of N people by one model."""

    poses: Poses
    size: tuple[int, int]  # width and height of the frame, pixels
    sight: np.ndarray  # (N, 2) log odds that a hand can be seen; NaN where the arm is not in view

    @property
    def scale(self) -> np.ndarray:
        """(N,) pixels, body scale."""
        return Arms.of(self.poses).scale[:, 0]


@dataclass(frozen=True, eq=False)
class PocketDetector:
    """The networks and weights of `hands`."""

    sight: Network  # (M, 128, 96, 3) uint8 -> (M, 1) log odds that the hand can be seen
    reader: Network  # (N, 256, 192, 3) uint8 -> (N, 17, 64, 48) maps of COCO's keypoints
    weight: np.ndarray  # (F,) of `FEATURES`
    bias: float
    out_to: float  # see `Hands`
    in_from: float

    def look(self, frame: Frame, poses: Poses) -> tuple[HandReading, HandReading]:
        """What is seen in the image: by these poses, and by vitruvian-2d."""
        if not len(poses):
            nothing = HandReading(poses, frame.size, np.zeros((0, len(SIDES)), np.float32))
            return nothing, nothing
        again = read_again(frame, poses, self.reader)
        return self._read(frame, poses), self._read(frame, again)

    def _read(self, frame: Frame, poses: Poses) -> HandReading:
        arms = Arms.of(poses)
        known = arms_in_view(arms, frame.size)
        sight = np.full(known.shape, np.nan, np.float32)
        if known.any():
            (answer,) = self.sight(cut(frame, patches(arms, known), known))
            sight[known] = answer[:, 0]
        return HandReading(poses, frame.size, sight)

    def log_odds(self, reading: HandReading) -> np.ndarray:
        """(N, 2) that the hands are in pockets, by one reading alone; NaN where not in view."""
        features = evidence(geometry(Arms.of(reading.poses)), reading.sight)
        return features @ self.weight + np.float32(self.bias)

    def judge(self, first: HandReading, second: HandReading) -> Hands:
        """Probabilities from what `look` gave."""
        chances = [_chance(self.log_odds(reading)) for reading in (first, second)]
        chances[1] = np.where(np.isnan(chances[1]), chances[0], chances[1])
        inside = settle_hands(first, second, np.stack(chances), self.out_to, self.in_from)
        return Hands(inside.astype(np.float32), self.out_to, self.in_from)


def settle_hands(
    first: HandReading, second: HandReading, chances: np.ndarray, out_to: float, in_from: float
) -> np.ndarray:
    """(N, 2) probabilities of two readings as one; NaN where it cannot be told.

    A hand is in a pocket only if the pocket can be seen, the thigh hangs below it, both readings
    say so, and there is no hand in plain sight. It is out if the hand can be seen.

    Args:
        first: by the poses.
        second: by vitruvian-2d.
        chances: (2, N, 2) probabilities by each.
        out_to: see `Hands`.
        in_from: see `Hands`.
    """
    inside = chances.mean(axis=0)
    view = np.minimum(hand_view(first.poses), hand_view(second.poses))
    found = np.isfinite(Arms.of(second.poses).scale)
    view = np.where(found, view, hand_view(first.poses))
    with np.errstate(invalid="ignore"):
        sight = np.where(np.isnan(second.sight), first.sight, (first.sight + second.sight) / 2)
        seen = (view == ASIDE) | (sight >= IN_SIGHT)
        agree = (chances >= 0.5).all(axis=0) & (sight < PLAIN) & _thigh_hangs(first)
        told = np.where(view == OPEN, (inside < in_from) | agree, seen & (inside <= out_to))
        told &= (first.scale >= SMALLEST)[:, None]
    return np.where(told, inside, np.nan)


@cache
def detector() -> PocketDetector:
    """The one that comes with vitruvian; opened once."""
    table = json.loads((FILES / "hands_in_pockets.json").read_text(encoding="utf-8"))
    weight = np.array([table["weights"][name] for name in FEATURES], np.float32)
    return PocketDetector(
        OpenVino(FILES / "hand_in_sight.onnx"),
        OpenVino(FILES / "vitruvian-2d.onnx", outputs=[0]),
        weight,
        table["bias"],
        table["out_to"],
        table["in_from"],
    )


def read_again(frame: Frame, poses: Poses, reader: Network) -> Poses:
    """Estimate the keypoints of the same N people with vitruvian-2d.

    Args:
        frame: the image.
        poses: of any model; only the regions of the people are used.
        reader: see `PocketDetector`.
    """
    found = np.where((poses.score < FOUND)[..., None], np.nan, poses.xy)
    where = np.flatnonzero(np.isfinite(found).all(axis=2).sum(axis=1) >= 2)
    xy = np.full((len(poses), len(COCO17), 2), np.nan, np.float32)
    score = np.zeros(xy.shape[:2], np.float32)
    if len(where):
        low, high = np.nanmin(found[where], axis=1), np.nanmax(found[where], axis=1)
        size = np.maximum((high - low) * (1 + 2 * BEYOND), np.array([0, LEAST], np.float32))
        look = Regions.boxes(poses.box[where], poses.box_score[where])
        look = replace(look, centre=(low + high) / 2, size=size)
        head = Joints(reader, READER, COCO17, decode="local", antialias=1)
        crops = head.crops(frame, look)
        again = head.decode(frame, reader(head.prepare(frame, crops)), crops, look)
        xy[where], score[where] = again.xy, again.score
    return Poses(COCO17, xy, score, poses.box, poses.box_score, poses.person)


def hands(frame: Frame, poses: Poses, by: PocketDetector | None = None) -> Hands:
    """Which hands of the N people in an image are in pockets.

    Args:
        frame: the image, with its pixels.
        poses: of a model for whole bodies, in this image.
        by: the detector; None: the built-in one.
    """
    by = by or detector()
    return by.judge(*by.look(frame, poses))


def _thigh_hangs(reading: HandReading) -> np.ndarray:
    """(N, 2) bool: whether the knee is seen below the hip, or would be outside the frame."""
    poses, (up, _, scale) = reading.poses, trunk_axes(reading.poses)
    if not {"left_knee", "right_knee"} <= set(poses.skeleton.keypoints):
        return np.zeros((len(poses), len(SIDES)), bool)
    knees, hips = ([poses.skeleton[f"{side}_{name}"] for side in SIDES] for name in ("knee", "hip"))
    down = -up[:, None] * scale[:, None, None]
    with np.errstate(invalid="ignore"):
        drop = ((poses.xy[:, knees] - poses.xy[:, hips]) * -up[:, None]).sum(axis=-1)
        below = poses.xy[:, hips] + THIGH * down
        outside = ((below < 0) | (below > reading.size)).any(axis=-1)
        return outside | (drop >= HANGS * scale[:, None]) & (poses.score[:, knees] >= SEEN)


def _chance(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds))


def at_pocket_line(poses: Poses) -> np.ndarray:
    """(N, 2) 0..1, NaN where not found: how far a hand-tuned rule on the keypoints is fulfilled.

    The wrist is at the hip and the forearm points down; what `hands` is measured against.
    """
    table = geometry(Arms.of(poses))
    near = table[..., GEOMETRY.index("wrist at hip")]
    return near * np.clip(table[..., GEOMETRY.index("forearm down")], 0, 1)
