"""People over time whose movements are known: tracks, models that act, and records of them."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import vitruvian as vit
from bodies import body, seen_as, turned
from conftest import stream_defaults
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, HALPE26
from vitruvian.body.track import Track, tracks
from vitruvian.frame import Frame
from vitruvian.streams.repaired import Repaired

RATE = 30.0


def walking(skeleton: Skeleton, turn: float = 60.0, steps: int = 120, noise: float = 0.5) -> Track:
    """One step a second, arms against the legs; noise in pixels. A trunk is 100 pixels long."""
    rng, poses = np.random.default_rng(1), []
    for i in range(steps):
        swing = np.sin(2 * np.pi * i / RATE)
        knee = 25 + 20 * np.cos(2 * np.pi * i / RATE)
        angles = {"left_hip": 25 * swing, "right_hip": -25 * swing, "elbow": 20.0}
        angles |= {"left_knee": knee, "right_knee": 50 - knee}
        angles |= {"left_shoulder": -25 * swing, "right_shoulder": 25 * swing}
        xyz = turned(body(skeleton, **angles), "up", turn) + np.array([0.04 * i, 0, 0])
        one = seen_as(skeleton, xyz)
        poses.append(replace(one, xy=(one.xy + rng.normal(0, noise, one.xy.shape)).astype("f4")))
    return one_track(poses, RATE)


FOOT = ("ankle", "heel", "foot_index", "big_toe", "small_toe")


HAND = ("wrist", "pinky", "index", "thumb")


LIMBS = {  # whole, or whole from a joint on, of what a skeleton has
    "leg": ("hip", "knee", *FOOT),
    "lower leg": ("knee", *FOOT),
    "arm": ("shoulder", "elbow", *HAND),
    "body": ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"),
}


def swapped(track: Track, rows: range, limb: str) -> tuple[Track, set[tuple[int, str]]]:
    """The track with keypoints exchanged, and which: row and name."""
    xy, score = track.xy.copy(), track.score.copy()
    xyz = None if track.xyz is None else track.xyz.copy()
    names = [f"{side}_{part}" for part in LIMBS[limb] for side in ("left", "right")]
    names = [name for name in names if name in track.skeleton.keypoints]
    if limb == "body":
        names = [
            n for n, s in zip(track.skeleton.keypoints, track.skeleton.sides, strict=True) if s
        ]
    ks = np.array([track.skeleton[name] for name in names])
    for t in rows:
        for values in (xy, score, xyz):
            if values is not None:
                values[t, ks] = values[t, track.skeleton.mirror[ks]]
    return replace(track, xy=xy, score=score, xyz=xyz), {(t, name) for t in rows for name in names}


def told(changes: list[Repaired], kind: str) -> set[tuple[int, str]]:
    return {(c.index, name) for c in changes if c.kind == kind for name in c.keypoints}


def one_track(poses: list[Poses], rate: float = 30.0, seconds: np.ndarray | None = None) -> Track:
    """The only person of these poses."""
    from vitruvian.frame import Frame

    times = np.arange(len(poses)) / rate if seconds is None else seconds
    frames = [Frame(None, i, t, "clip.mp4", size=(640, 480)) for i, t in enumerate(times.tolist())]
    (track,) = tracks(zip(frames, poses, strict=True))
    return track


SIZE = (640, 480)


CHAIR = {"hip": 85.0, "knee": 85.0}


# Frames per second are 10: stands for a second, sits for two, stands for a second.
SITS: list[dict[str, float] | None] = [*[{}] * 10, *[CHAIR] * 20, *[{}] * 10]


class Actor:
    """A model that gives made-up poses, frame after frame."""

    name, runs_on = "actor", "nothing"

    def __init__(self, poses: Sequence[Poses]) -> None:
        self.weights, self.options = dict[str, str](), {"track": False}
        self.wanted = stream_defaults(self.options)
        self.poses = iter(poses)

    def __call__(self, frames, look=None):
        return [next(self.poses) for _ in frames]


def acting(*people: Sequence[dict[str, float] | None], skeleton=COCO17) -> list[Poses]:
    """Frame by frame what people do, from the side; None: not there."""
    frames = []
    for doing in zip(*people, strict=True):
        here = [(number, angles) for number, angles in enumerate(doing, 1) if angles is not None]
        if not here:
            frames.append(Poses.nobody(skeleton, "hips"))
            continue
        bodies = [turned(body(skeleton, **angles), "up", 90) for _, angles in here]
        place = [seen_as(skeleton, one, at=(200.0 * n, 240.0), person=n)
                 for (n, _), one in zip(here, bodies, strict=True)]  # fmt: skip
        frames.append(Poses.join(*place))
    return frames


def recorded(path: Path, poses: Sequence[Poses], source: str = "gone.mp4") -> Path:
    """A record of it; `source` may be an image for each frame, as `{}.jpg`."""
    with vit.open_sink(path, Actor([])) as sink:
        for i, one in enumerate(poses):
            moving = "{}" not in source
            at = i / 10 if moving else 0.0
            sink.write(Frame(None, i, at, source.format(i), size=SIZE), one)
    return path


def table(path: str | Path) -> list[dict[str, str]]:
    """The rows of a .csv file."""
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


DOT = Skeleton.table("dot", "here", ("tip", "", np.nan))


WHOLE = (slice(0, 0), slice(0, 0))


def track(table: Skeleton = HALPE26, frames: int = 5, gap=WHOLE) -> Track:
    """Somebody at 30 frames a second, metres from the camera."""
    away = np.arange(frames)[:, None, None] * (0.1, 0, 0) + (0, 0, 5)
    xyz = np.stack([body(table, elbow=20.0, knee=5.0 * i) for i in range(frames)]) + away
    xyz[gap] = np.nan
    k = len(table)
    return Track(
        table,
        1,
        np.arange(frames) / 30,
        np.arange(frames),
        xy=np.full((frames, k, 2), np.nan, np.float32),
        score=np.array(np.isfinite(xyz).all(axis=-1), np.float32),
        box=np.full((frames, 4), np.nan, np.float32),
        xyz=xyz.astype(np.float32),
        origin="camera",
        source="walk.mp4",
    )
