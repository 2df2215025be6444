r"""Who is who over time: `Identify` on sequences with known identities, and on real videos.

    python benchmarks/identify.py                                   # made-up people
    python benchmarks/identify.py --videos ../shared/data/videos/*.mp4 --model yolov8n-pose
    python benchmarks/identify.py --count                         # people counted, beside the truth

The people are stick figures that walk, seen by a detector that misses some, shakes all, and does
not see who is behind somebody else. Three ways: overlap of boxes alone, poses too, and appearance
too (a made-up embedding: another person is 0.5 away in cosine distance, the same about 0.1).

Each figure is `switches / IDF1 / pieces`, over all seeds: how often a person's number was another
than at the last numbered sighting; IDF1 in % (Ristani et al. 2016), a sighting without a number
counting as a miss; and how often a person's numbers were interrupted, by another or by none.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame
from vitruvian.streams.identify import Identify, Options

SIZE = (1280, 720)  # pixels of the made-up frames
HIDDEN = 0.6  # of a box covered by somebody in front from which a person is not detected
STICK = {  # keypoints at rest: aside and up, in heights, seen from the front
    "nose": (0, 0.93),
    "eye": (0.02, 0.95),
    "ear": (0.04, 0.94),
    "shoulder": (0.1, 0.82),
    "elbow": (0.12, 0.63),
    "wrist": (0.13, 0.47),
    "hip": (0.06, 0.52),
    "knee": (0.06, 0.28),
    "ankle": (0.06, 0.04),
}
SWING = {"elbow": -0.05, "wrist": -0.13, "knee": 0.06, "ankle": 0.17}  # heights, along the walk


@dataclass
class Walker:
    """Somebody whose feet are somewhere at each time."""

    feet: Callable[[float], tuple[float, float]]  # seconds -> pixels
    height: float  # pixels
    hidden: list[tuple[float, float]] = field(default_factory=list)  # seconds, from and to
    phase: float = 0.0  # of the step

    def pose(self, seconds: float) -> np.ndarray:
        """(17, 2) pixels."""
        x, y = self.feet(seconds)
        ahead = self.feet(seconds + 0.01)[0] - x
        stride = min(abs(ahead) / 0.01 / self.height, 1) * np.sign(ahead)  # no step where standing
        step = np.sin(2 * np.pi * 0.9 * seconds + self.phase) * stride
        points = []
        for name in COCO17.keypoints:
            side = {"left": 1, "right": -1}.get(name.split("_")[0], 0)
            part = name.split("_")[-1]
            aside, up = STICK[part]
            across = side * aside * (1 - 0.5 * abs(stride)) + side * SWING.get(part, 0) * step
            points.append((x + across * self.height, y - up * self.height))
        return np.array(points)


def box_of(xy: np.ndarray) -> np.ndarray:
    """(4,) around keypoints, a little larger, cut at the edges of the frame."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    margin = 0.06 * (high - low).max()
    box = np.concatenate([low - margin, high + margin])
    return np.clip(box, 0, [*SIZE, *SIZE])


@dataclass
class Scene:
    """Walkers, those in front last, for some seconds."""

    walkers: list[Walker]
    seconds: float
    missed: float = 0.02  # share of detections
    shake: float = 0.01  # heights, standard deviation of keypoints and of a box's sides

    def frames(
        self, rate: float, rng: np.random.Generator
    ) -> Iterator[tuple[Frame, Poses, np.ndarray]]:
        """Frame, what a detector finds in it, and who that is."""
        for index in range(int(self.seconds * rate)):
            seconds = index / rate
            true = [walker.pose(seconds) for walker in self.walkers]
            boxes = np.array([box_of(xy) for xy in true])
            seen = []
            for who, (walker, box) in enumerate(zip(self.walkers, boxes, strict=True)):
                away = any(start <= seconds < end for start, end in walker.hidden)
                narrow = (box[2:] - box[:2]).min() < 0.1 * walker.height  # out of the frame
                if not (away or narrow or rng.random() < self.missed):
                    front = boxes[who + 1 :]
                    both = np.minimum(box[2:], front[:, 2:]) - np.maximum(box[:2], front[:, :2])
                    covered = np.prod(np.clip(both, 0, None), axis=1) / np.prod(box[2:] - box[:2])
                    if not (covered > HIDDEN).any():
                        seen.append(who)
            rng.shuffle(seen)
            heights = np.array([self.walkers[who].height for who in seen])
            xy = np.array([true[who] for who in seen]).reshape(-1, 17, 2)
            xy = xy + rng.normal(0, self.shake, xy.shape) * heights[:, None, None]
            box = boxes[seen].reshape(-1, 4)
            box = box + rng.normal(0, self.shake, box.shape) * heights[:, None]
            n = len(seen)
            poses = Poses(
                COCO17,
                xy=xy.astype(np.float32),
                score=rng.uniform(0.6, 1, (n, 17)).astype(np.float32),
                box=box.astype(np.float32),
                box_score=rng.uniform(0.55, 0.95, n).astype(np.float32),
                person=np.full(n, -1),
            )
            yield Frame(None, index, seconds, "made up", size=SIZE), poses, np.array(seen, int)


def straight(x: float, speed: float, y: float = 600) -> Callable[[float], tuple[float, float]]:
    """On a line. x, y: pixels; speed: pixels a second."""
    return lambda t: (x + speed * t, y)


def crossing(speed: float, rng: np.random.Generator) -> Scene:
    """Two meet and pass. speed: heights a second, of each."""
    phases, pace = rng.uniform(0, 6, 2), speed * 300 * rng.uniform(0.8, 1.2, 2)
    meet, time = rng.uniform(500, 780), 450 / (speed * 300)
    back = Walker(straight(meet - pace[0] * time, pace[0], 590), 290, phase=phases[0])
    front = Walker(straight(meet + pace[1] * time, -pace[1]), 300, phase=phases[1])
    return Scene([back, front], 2 * time)


def occlusion(seconds: float, rng: np.random.Generator) -> Scene:
    """Somebody walks behind something; somebody else walks the other way, nearer, a while later."""
    pace, start = 300 * rng.uniform(0.5, 0.8), 2.5
    one = Walker(straight(100, pace), 300, [(start, start + seconds)], rng.uniform(0, 6))
    other = Walker(straight(1700, -pace, 650), 330, phase=rng.uniform(0, 6))
    return Scene([one, other], start + seconds + 2)


def turning(rng: np.random.Generator) -> Scene:
    """Two walk towards each other, meet out of sight, and go back where they came from."""
    pace, start, seconds = 300 * rng.uniform(0.5, 0.8), 2.0, 0.6
    there = start + seconds / 2

    def back(t: float) -> tuple[float, float]:
        return 600 - pace * abs(t - there) - 40, 600

    def on(t: float) -> tuple[float, float]:
        return 600 + pace * abs(t - there) + 40, 600

    hidden = [(start, start + seconds)]
    return Scene([Walker(back, 300, hidden), Walker(on, 300, hidden, 2.0)], start + seconds + 2)


def returning(rng: np.random.Generator) -> Scene:
    """One leaves for three seconds and comes back; meanwhile another comes in at the same place."""
    pace = 300 * rng.uniform(0.7, 0.9)

    def leaves(t: float) -> tuple[float, float]:
        return (1280 + pace * (t - 2), 600) if t < 3.75 else (1280 + pace * (5.5 - t), 600)

    other = Walker(straight(1280 + pace * 3.2, -pace, 620), 310, phase=rng.uniform(0, 6))
    return Scene([Walker(leaves, 300, phase=rng.uniform(0, 6)), other], 8)


def wandering(n: int, rng: np.random.Generator) -> Scene:
    """People who wander about, a tenth of whose detections are missing."""
    walkers = []
    for depth in np.sort(rng.uniform(0, 1, n)):
        height = 150 + 150 * depth
        walkers.append(
            Walker(_wander(height, 350 + 350 * depth, rng), height, [], rng.uniform(0, 6))
        )
    return Scene(walkers, 30, missed=0.1, shake=0.015)


def _wander(
    height: float, y: float, rng: np.random.Generator
) -> Callable[[float], tuple[float, float]]:
    """A smooth way about the frame: sums of slow waves."""
    period = rng.uniform(6, 20, (2, 3))
    phase, wide = rng.uniform(0, 2 * np.pi, (2, 3)), np.array([300, 150, 80])
    middle = rng.uniform(400, 880)

    def feet(t: float) -> tuple[float, float]:
        waves = np.sin(2 * np.pi * t / period + phase)
        return middle + float(waves[0] @ wide), y + 0.05 * height * float(waves[1].sum())

    return feet


SCENES: dict[str, Callable[[np.random.Generator], Scene]] = {
    **{f"crossing, {v:g} heights/s": (lambda rng, v=v: crossing(v, rng)) for v in (0.3, 0.6, 1, 2)},
    **{f"hidden for {t:g} s": (lambda rng, t=t: occlusion(t, rng)) for t in (0.2, 0.5, 1, 2)},
    "meet out of sight, turn back": turning,
    "one leaves, another comes, one returns": returning,
    "ten wander, 10 % missed": lambda rng: wandering(10, rng),
}


def embedding(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 32) what people look like: half of it is common to all."""
    unit = rng.normal(0, 1, (n + 1, 32))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit[:1] + unit[1:]


WAYS: dict[str, tuple[Options, bool]] = {
    "boxes": (Options(pose=0), False),
    "and poses": (Options(), False),
    "and appearance": (Options(), True),
}


def measure(
    scene: Scene, rate: float, options: Options, appears: bool, seed: int
) -> tuple[int, int, int, int]:
    """`totals` with the made-up embedding, or without appearance."""
    rng, noise = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    looks = embedding(len(scene.walkers), rng)
    shown = (lambda who: looks[who] + noise.normal(0, 0.09, (len(who), 32))) if appears else None
    return totals(scene, rate, options, shown, rng)


def totals(
    scene: Scene,
    rate: float,
    options: Options,
    looks: Callable[[np.ndarray], np.ndarray] | None,
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """Switches, pieces too many, twice the rightly identified sightings, and what to divide by.

    looks: (N,) who they are -> (N, D) embeddings, of each frame.
    """
    shown = np.zeros((0, 0))

    def appearance(frame: Frame, poses: Poses) -> np.ndarray:
        return shown

    identify = Identify(options, appearance if looks else None)
    last: dict[int, int] = {}  # person -> number when last numbered
    before: dict[int, int] = {}  # person -> number at the last sighting, or -1
    switches = pieces = 0
    counts: dict[tuple[int, int], int] = {}
    sightings = 0
    for frame, poses, who in scene.frames(rate, rng):
        shown = looks(who) if looks else shown
        got = identify(frame, poses)  # without those who were found twice
        kept = (poses.box[:, None] == got.box).all(axis=2).any(axis=1)
        for true, given in zip(who[kept].tolist(), got.person.tolist(), strict=True):
            sightings += 1
            if given > 0:
                counts[true, given] = counts.get((true, given), 0) + 1
                switches += last.get(true, given) != given
                last[true] = given
            pieces += given > 0 and before.get(true, given) != given
            before[true] = given
    table = np.zeros((len(scene.walkers), identify.given + 1))
    for (true, given), count in counts.items():
        table[true, given] = count
    right = int(table[linear_sum_assignment(-table)].sum())
    return switches, pieces, 2 * right, sightings + int(table.sum())


def made_up(seeds: int) -> None:
    print(f"{'':40}" + "".join(f"{f'{way}, {rate} /s':>22}" for rate in (10, 30) for way in WAYS))
    for name, make in SCENES.items():
        cells = []
        for rate in (10, 30):
            for options, appears in WAYS.values():
                each = [
                    measure(make(np.random.default_rng(seed)), rate, options, appears, seed)
                    for seed in range(seeds)
                ]
                switches, pieces, right, of = np.sum(each, axis=0)
                cells.append(f"{switches} / {100 * right / of:.1f} / {pieces}")
        print(f"{name:40}" + "".join(f"{cell:>22}" for cell in cells))


def real(videos: list[Path], model: str) -> None:
    import vitruvian as vit

    for video in videos:
        sightings: dict[int, list[float]] = {}
        for frame, poses in vit.run(video, model):
            for person in poses.person.tolist():
                sightings.setdefault(person, []).append(frame.seconds)
        print(video.name)
        for person, times in sorted(sightings.items()):
            name = f"person {person}" if person > 0 else "no number"
            print(f"  {name}: {len(times)} sightings from {times[0]:.1f} to {times[-1]:.1f} s")


SHARED = Path(__file__).parents[2] / "shared"
TRUTH = {"intel_one_by_one_person.mp4": 6, "sports2d_demo.mp4": 2}
COUNTING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("blazepose-full", {}),
    ("blazepose-full", {"num_poses": 3}),
    ("blazepose-full", {"num_poses": 3, "conf": 0.3}),
    ("blazepose-lite", {"num_poses": 3}),
    ("blazepose-heavy", {"num_poses": 3}),
    (str(SHARED / "weights" / "yolov8n-pose.pt"), {}),
    (str(SHARED / "weights" / "yolov8n-pose.pt"), {"conf": 0.1}),
    ("vitruvian-2d", {}),
    ("vitruvian-2d", {"conf": 0.2}),
    ("vitruvian-3d", {}),
    ("vitruvian-3d", {"conf": 0.2}),
)


def count() -> None:
    """People counted with each model, and frames with each: confirmed, and without confirmation."""
    import vitruvian as vit

    for name, options in COUNTING:
        model = vit.load(name, **options)
        for video, truth in TRUTH.items():
            cells = []
            for confirm in (True, False):
                frames: dict[int, int] = {}
                for _, poses in vit.run(SHARED / "data" / "videos" / video, model, confirm=confirm):
                    for who in poses.person[poses.person > 0].tolist():
                        frames[who] = frames.get(who, 0) + 1
                cells.append(f"{len(frames)} people, frames {sorted(frames.values())[::-1]}")
            said = " ".join(f"{key} {value:g}" for key, value in options.items())
            print(f"{Path(name).stem} {said}, {video}: truth {truth}, {cells[0]}", flush=True)
            print(f"    without confirmation {cells[1]}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--videos", type=Path, nargs="*", default=[])
    parser.add_argument("--model", default="yolov8n-pose")
    parser.add_argument("--count", action="store_true")
    given = parser.parse_args()
    if given.count:
        count()
    elif given.videos:
        real(given.videos, given.model)
    else:
        made_up(given.seeds)
