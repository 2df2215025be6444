"""People who act postures, as records of their true joints with noise, and labels of what they do.

    python benchmarks/acted.py /tmp/acted
    python benchmarks/events.py /tmp/acted --labels /tmp/acted

For what is rare in videos: hands in pockets, arms crossed, hands behind the back, sitting, lying, a
phone at the ear, and what looks similar. Each act is done by people of several proportions who face
eight directions and move, before a camera at 1 to 2.5 m that looks down at them. No model sees
them: they are for the geometry of the rules. `acted_pixels.jsonl` has keypoints in the image,
`acted_metres.jsonl` the same people also in metres with an uncertain depth.

Noise is --noise times that of COCO's annotators (its OKS sigmas), twice as large for hidden
keypoints, and lasts for some frames. A keypoint is hidden if it is behind the trunk, and its score
is 0.45 then.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import vitruvian as vit
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from bodies import named, turned

RATE, SIZE, FOCAL, AWAY = 5.0, (960, 720), 900.0, 4.5  # frames/s, pixels, pixels, metres
STANDS, CHANGES, ACTS, ABSENT = 1.5, 0.6, 3.0, 3.0  # seconds
UPPER, FORE = 0.30, 0.26  # metres, of `bodies`
YAWS = range(0, 360, 45)  # degrees; 0 faces the camera
LEAN, LEVEL = (
    (20.0, 32.0),
    (65.0, 80.0),
)  # degrees of the trunk from upright: see the labels' README
SIDES = ("left", "right")
Points = dict[str, np.ndarray]


@dataclass(frozen=True)
class Act:
    """What somebody does: angles of `bodies.named`, and where the hands go."""

    angles: dict[str, float] = field(default_factory=dict)  # degrees
    # Of the left hand, metres: outward, up and forward of its hip, or of the place named by `near`;
    # None hangs.
    hand: tuple[float, float, float] | None = None
    near: str = "hip"
    elbow: tuple[float, float, float] = (0.3, -1.0, -0.6)  # where the elbow points: the same axes
    both: bool = True  # whether the right hand does the same
    level: bool = False  # whether the body is laid on its back
    rolled: float = 0.0  # degrees about the line from feet to head
    says: tuple[str, ...] = ()  # the rules that hold


SIT = {"hip": 88.0, "knee": 85.0}
LAP = (0.0, 0.12, 0.25)
ACTS_: dict[str, Act] = {
    "stands": Act(),
    "walks": Act({"walk": 28.0}),
    "pockets": Act(hand=(0.09, 0.02, 0.05), elbow=(0.8, 0.0, -1.0), says=("hands_in_pockets",)),
    "one pocket": Act(
        hand=(0.09, 0.02, 0.05), elbow=(0.8, 0.0, -1.0), both=False, says=("hands_in_pockets",)
    ),
    "crosses arms": Act(hand=(-0.25, 0.3, 0.18), elbow=(0.6, -1.0, 0.2)),
    "hands behind the back": Act(hand=(-0.09, 0.03, -0.14), elbow=(0.8, 0.0, -1.0)),
    "hands clasped in front": Act(hand=(-0.1, 0.0, 0.2), elbow=(0.8, -0.3, -0.6)),
    "hands on hips": Act(hand=(0.14, 0.13, 0.02), elbow=(1.0, 0.0, -0.5), says=("hands_on_hips",)),
    "phone at the ear": Act(
        hand=(0.02, -0.1, 0.1), near="ear", elbow=(0.4, -1.0, 0.3), both=False,
        says=("using_phone",),
    ),
    "phone in the hands": Act(
        {"neck": 38.0}, hand=(-0.08, 0.25, 0.3), elbow=(0.3, -1.0, -0.3), says=("using_phone",)
    ),
    "points ahead": Act({"left_shoulder": 85.0}),
    "waves": Act({"left_shoulder_out": 150.0, "left_elbow": 20.0}, says=("arms_raised",)),
    "raises both arms": Act({"shoulder": 165.0}, says=("arms_raised",)),
    "holds arms out": Act({"shoulder_out": 88.0}),
    "bends": Act({"trunk": 45.0, "hip": 45.0}),
    "bends a little": Act({"trunk": 14.0, "hip": 14.0}),
    "sits": Act(SIT, hand=LAP, elbow=(0.4, -0.5, -1.0), says=("seated",)),
    "sits with hanging arms": Act(SIT, says=("seated",)),
    "sits back": Act(
        {**SIT, "trunk": -15.0, "hip": 75.0}, hand=LAP, elbow=(0.4, -0.5, -1.0), says=("seated",)
    ),
    "crouches": Act({"hip": 110.0, "knee": 125.0, "trunk": 20.0}, says=("seated",)),
    "lies on the back": Act(level=True, says=("lying",)),
    "lies on the side": Act({"hip": 25.0, "knee": 40.0}, level=True, rolled=90.0, says=("lying",)),
}  # fmt: skip


def bent_arm(shoulder: np.ndarray, wrist: np.ndarray, elbow_to: np.ndarray) -> Points:
    """Elbow and wrist of an arm that reaches for a place as far as it can."""
    to = wrist - shoulder
    length = min(max(np.linalg.norm(to), abs(UPPER - FORE) + 0.02), UPPER + FORE - 1e-3)
    along = to / np.linalg.norm(to)
    aside = elbow_to - (elbow_to @ along) * along
    aside /= np.linalg.norm(aside)
    down = (UPPER**2 - FORE**2 + length**2) / (2 * length)
    elbow = shoulder + down * along + np.sqrt(max(UPPER**2 - down**2, 0)) * aside
    return {"elbow": elbow, "wrist": shoulder + length * along}


def acted(act: Act, phase: float) -> np.ndarray:
    """(17, 3) metres from the middle of the hips, facing the camera; phase: radians of a stride."""
    angles = dict(act.angles)
    if swing := angles.pop("walk", 0.0) * np.sin(phase):
        angles |= {"left_hip": swing, "right_hip": -swing, "left_knee": max(-swing, 0)}
        angles |= {"right_knee": max(swing, 0), "left_shoulder": -swing, "right_shoulder": swing}
    at = named(**angles)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        if act.hand is None or (side == "right" and not act.both):
            continue
        axes = np.array([[sign, 0, 0], [0, -1, 0], [0, 0, -1]])
        place = at[f"{side}_{act.near}"] + np.array(act.hand) @ axes
        arm = bent_arm(at[f"{side}_shoulder"], place, np.array(act.elbow) @ axes)
        at |= {f"{side}_{part}": point for part, point in arm.items()}
    xyz = np.stack([at[name] for name in COCO17.keypoints])
    if act.level:
        xyz = turned(turned(xyz, "up", act.rolled), "left", 90.0)
        xyz[:, 1] += 0.75  # on the ground
    return xyz


def smooth_noise(rng: np.random.Generator, frames: int, shape: tuple[int, ...]) -> np.ndarray:
    """(T, ...) of deviation 1 that lasts for about four frames."""
    keep, found = 0.8, rng.normal(size=(frames, *shape))
    for i in range(1, frames):
        found[i] = keep * found[i - 1] + np.sqrt(1 - keep**2) * found[i]
    return found


def hidden_by_trunk(xyz: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(17,) bool: arms and face behind the trunk, seen from the camera."""
    corners = [COCO17[f"{side}_{part}"] for part in ("shoulder", "hip") for side in SIDES]
    middle, place = xy[corners].mean(axis=0), xyz[corners].mean(axis=0)
    wide = np.maximum(np.abs(xy[corners] - middle).max(axis=0), 0.12 * FOCAL / AWAY)
    left, right, left_hip, _ = xyz[corners]
    ahead = np.cross(left - right, left - left_hip)
    ahead *= -np.sign(ahead @ place) / np.linalg.norm(ahead)  # towards the camera
    behind = ((xyz - place) @ ahead < -0.06) | (xyz[:, 2] > place[2] + 0.15)
    hidden = (np.abs(xy - middle) <= wide).all(axis=1) & behind
    hidden[corners] = False
    head, nose = xyz[[COCO17["left_ear"], COCO17["right_ear"]]].mean(axis=0), xyz[COCO17["nose"]]
    for name in ("nose", "left_eye", "right_eye"):
        hidden[COCO17[name]] = nose[2] > head[2] + 0.03
    return hidden


@dataclass(frozen=True)
class Clip:
    """One person doing one act."""

    act: Act
    yaw: float  # degrees
    pitch: float  # degrees that the camera looks down
    sizes: np.ndarray  # (3,) of width, height and depth
    stride: float  # radians a second


Frames = Iterator[tuple[float, np.ndarray, np.ndarray, np.ndarray]]


def play(clip: Clip, rng: np.random.Generator) -> Frames:
    """Seconds, (17, 3) metres before the camera, (17, 2) pixels, (17,) whether hidden."""
    whole = 2 * (STANDS + CHANGES) + ACTS
    sway = smooth_noise(rng, round(whole * RATE), (1,))[:, 0]
    for i, sways in enumerate(sway):
        t = i / RATE
        into = np.clip(min(t - STANDS, whole - STANDS - t) / CHANGES, 0, 1)
        phase = clip.stride * t
        xyz = acted(Act() if into < 1 else clip.act, phase)
        if 0 < into < 1:
            xyz = (1 - into) * xyz + into * acted(clip.act, phase)
        xyz = turned(xyz * clip.sizes, "up", clip.yaw + 4 * sways)
        xyz = turned(xyz, "left", clip.pitch) + np.array([0.0, 0.1, AWAY])
        xy = xyz[:, :2] / xyz[:, 2:] * FOCAL + np.array(SIZE) / 2
        yield t, xyz, xy, hidden_by_trunk(xyz, xy)


def spans(clip: Clip, tilts: np.ndarray) -> Iterator[tuple[str, str, float, float, bool]]:
    """Rule, side, from, to, whether it is sure: what the person does."""
    begins, ends = STANDS + CHANGES, STANDS + CHANGES + ACTS
    for rule in clip.act.says:
        sides = ("left", "right") if clip.act.both else ("left",)
        if "left_shoulder_out" in clip.act.angles:
            sides = ("left",)
        for side in ("",) if rule in ("seated", "lying") else sides:
            yield rule, side, STANDS, begins, False
            yield rule, side, begins, ends, True
            yield rule, side, ends, ends + CHANGES, False
    kinds = [
        2 if LEAN[1] <= tilt <= LEVEL[0] else 1 if LEAN[0] <= tilt <= LEVEL[1] else 0
        for tilt in tilts
    ]
    at = 0
    for kind, run in itertools.groupby(kinds):
        count = len(list(run))
        if kind:
            yield "leaning", "", at / RATE, (at + count) / RATE, kind == 2
        at += count


def tilt_deg(xyz: np.ndarray, pitch: float) -> float:
    """Degrees of the true trunk from upright."""
    straight = turned(xyz, "left", -pitch)
    ends = [straight[[COCO17[f"{s}_{p}"] for s in ("left", "right")]].mean(axis=0)
            for p in ("shoulder", "hip")]  # fmt: skip
    trunk = ends[0] - ends[1]
    return float(np.degrees(np.arccos(-trunk[1] / np.linalg.norm(trunk))))


def one_pose(person: int, xy: np.ndarray, hidden: np.ndarray, noise: np.ndarray,
             xyz: np.ndarray | None, deep: np.ndarray) -> Poses:  # fmt: skip
    """The person as a model might see it."""
    box = np.concatenate([xy.min(axis=0), xy.max(axis=0)])
    size = np.sqrt(0.6 * np.prod(box[2:] - box[:2]))
    off = noise * (COCO17.sigmas * size * np.where(hidden, 2, 1))[:, None]
    seen = (xy + off).astype(np.float32)[None]
    metres = None
    if xyz is not None:
        hips = xyz[[COCO17["left_hip"], COCO17["right_hip"]]].mean(axis=0)
        metres = xyz - hips + np.column_stack([off / FOCAL * AWAY, deep])
        metres = metres.astype(np.float32)[None]
    score = np.where(hidden, 0.45, 0.9).astype(np.float32)[None]
    return Poses(
        COCO17, seen, score, box[None].astype(np.float32), np.full(1, 0.9, np.float32),
        np.array([person]), xyz=metres, origin=None if metres is None else "hips",
    )  # fmt: skip


def clips(rng: np.random.Generator) -> Iterator[Clip]:
    for act, yaw in itertools.product(ACTS_.values(), YAWS):
        sizes = np.append(rng.uniform(0.85, 1.15), rng.uniform(0.9, 1.05, 2))
        yield Clip(act, yaw + rng.uniform(-15, 15), rng.uniform(0, 25), sizes, rng.uniform(3, 6))


def write(out: Path, name: str, noisy: float, tell: Callable[[list[str]], None],
          state: Callable[[list[str]], None]) -> int:  # fmt: skip
    """One record; rows of labels go to `tell` (people) and `state`."""
    rng, start, index = np.random.default_rng(0), 0.0, 0
    metres = "metres" in name
    with vit.open_sink(out / name, overwrite=True) as sink:
        for person, clip in enumerate(clips(rng), 1):
            frames = list(play(clip, rng))
            noise = noisy * smooth_noise(rng, len(frames), (17, 2))
            deep = 0.06 * smooth_noise(rng, len(frames), (17,))
            for (t, xyz, xy, hidden), off, far in zip(frames, noise, deep, strict=True):
                pose = one_pose(person, xy, hidden, off, xyz if metres else None, far)
                sink.write(Frame(None, index, start + t, name, size=SIZE), pose)
                index += 1
            for t, _, xy, _ in frames[::2]:
                middle = (xy.min(axis=0) + xy.max(axis=0)) / 2
                tell([name, str(person), f"{start + t:.2f}", *(f"{v:.0f}" for v in middle)])
            tilts = np.array([tilt_deg(xyz, clip.pitch) for _, xyz, _, _ in frames])
            for rule, side, begins, ends, sure in spans(clip, tilts):
                times = (f"{start + begins:.2f}", f"{start + ends:.2f}")
                state([name, str(person), rule, side, *times, "yes", "yes" if sure else "no"])
            start += len(frames) / RATE + ABSENT
    return index


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument(
        "--noise", type=float, default=0.5, help="of COCO's annotators; default 0.5"
    )
    asked = parser.parse_args()
    out = asked.out
    out.mkdir(parents=True, exist_ok=True)
    with (
        (out / "people.csv").open("w", newline="") as people,
        (out / "states.csv").open("w", newline="") as states,
    ):
        tell, state = csv.writer(people).writerow, csv.writer(states).writerow
        tell(["video", "person", "seconds", "x", "y"])
        state(["video", "person", "rule", "side", "start", "end", "state", "sure"])
        for name in ("acted_pixels.jsonl", "acted_metres.jsonl"):
            print(f"{name}: {write(out, name, asked.noise, tell, state)} frames")


if __name__ == "__main__":
    main()
