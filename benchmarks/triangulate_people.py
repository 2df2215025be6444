"""Several people in several views: who is found, who is exchanged, how much is there, how exact.

    python benchmarks/triangulate_people.py [--scene circling ...] [--seeds 1]
    python benchmarks/triangulate_people.py --records POSES --rig Calib_qualisys.toml

The first makes people up: noise that stays for some frames, keypoints that another body hides are
missing, guessed, or put on the other body, and nobody is detected who is hidden; each view is
tracked as `predict` does. The second composes two people from the records of one person, cam01 to
cam04.jsonl in the folder POSES: the person as triangulated, and the same turned about the vertical,
moved, and some frames later; each with the residuals that the model had in that camera. It prints
for each scene:

    found     people found / true people (seen by two views for half a second)
    extra     people found who are nobody, or somebody twice
    switched  how often a true person goes on under another number
    there     share of keypoints that are in 3D, of all people and frames that two views see
    off       median and 95th percentile of the error, mm
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

import vitruvian as vit
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame
from vitruvian.geometry import calibration_files
from vitruvian.geometry.boxes import iou
from vitruvian.geometry.camera import Camera
from vitruvian.multiview.recording import CameraView, Recording3D, triangulated
from vitruvian.streams.identify import Identify
from vitruvian.streams.stream import through

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import rigs  # pyright: ignore[reportMissingImports]

FAR = 0.5  # metres, mean over keypoints: farther off is not that person
SPHERES = {  # what hides: between two keypoints, so many spheres, of so many metres
    ("shoulder", "hip"): (4, 0.13),
    ("hip", "knee"): (3, 0.08),
    ("knee", "ankle"): (3, 0.06),
    ("shoulder", "elbow"): (2, 0.05),
    ("elbow", "wrist"): (2, 0.04),
}


@dataclass
class Scene:
    """A made-up recording."""

    people: Callable[[np.ndarray], np.ndarray]  # seconds -> (P, T, 17, 3); NaN: not there
    cameras: int = 4
    radius: float = 4.0
    length: float = 8.0  # seconds
    rates: Sequence[float] = (30.0,)  # of the cameras in turn
    noise: float = 3.0  # pixels
    wrong: float = 0.0  # share of keypoints that are outliers
    lost: float = 0.0  # share of frames without anybody
    late: Sequence[float] = ()  # seconds that each camera starts later
    find: bool = False  # the offsets are looked for
    change: Callable[[list[CameraView]], list[CameraView]] = lambda views: views  # detections
    exchange: Callable[[list[CameraView]], list[CameraView]] = lambda views: views  # tracks
    placed: Callable[[list[Camera]], list[Camera]] = lambda placed: placed
    unseen: Sequence[tuple[int, int]] = field(default_factory=tuple)  # camera, person


def path(*points: tuple[float, float], over: float = 8.0, later: float = 0.0, **more):
    """Somebody who walks from point to point, looking ahead; before and after, who stands there."""
    knots, at_knots = np.linspace(0, over, len(points)) + later, np.array(points, float)

    def made(seconds: np.ndarray) -> np.ndarray:
        def place(when: np.ndarray) -> np.ndarray:
            return np.stack([np.interp(when, knots, at_knots[:, i]) for i in (0, 1)], axis=1)

        inside = seconds.clip(knots[0] + 0.1, knots[-1] - 0.1)
        ahead = place(inside + 0.2) - place(inside - 0.2)
        turn = np.unwrap(np.arctan2(-ahead[:, 0], ahead[:, 1]))
        return rigs.body(seconds, place(seconds), turn, **more)

    return made


def circle(radius: float, start: float, speed: float = 1.0, **more):
    """Somebody who walks in a circle; radians and radians/s."""

    def made(seconds: np.ndarray) -> np.ndarray:
        angle = start + speed * seconds
        place = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return rigs.body(seconds, place, angle if speed > 0 else angle + np.pi, **more)

    return made


def at(x: float, y: float, turn: float, **more):
    """Somebody who stays in one place, and sways a little."""
    more = {"swing": 0.3, **more}

    def made(seconds: np.ndarray) -> np.ndarray:
        sway = 0.03 * np.sin(0.8 * seconds[:, None] + np.array([turn, 1 + turn]))
        angle = turn + 0.1 * np.sin(0.5 * seconds + x)
        return rigs.body(seconds, np.array([x, y]) + sway, angle, **more)

    return made


def during(begin: float, end: float, made, *, but: tuple[float, float] = (0, 0)):
    """The same, only for a while."""

    def some(seconds: np.ndarray) -> np.ndarray:
        there = (seconds >= begin) & (seconds < end) & ~((seconds >= but[0]) & (seconds < but[1]))
        return np.where(there[:, None, None], made(seconds), np.nan)

    return some


def all_of(*made):
    return lambda seconds: np.stack([each(seconds) for each in made])


def _spheres(table: Skeleton, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, T, S, 3) centres and (S,) metres."""
    centres, sizes = [people[:, :, table["nose"]]], [0.1]
    for (a, b), (count, size) in SPHERES.items():
        for side in ("left", "right"):
            one, two = (people[:, :, table[f"{side}_{part}"]] for part in (a, b))
            for share in np.linspace(0, 1, count):
                centres.append(one + share * (two - one))
                sizes.append(size)
    return np.stack(centres, axis=2), np.array(sizes)


def hidden(camera: Camera, table: Skeleton, people: np.ndarray) -> np.ndarray:
    """(P, T, K) by whom a keypoint is hidden; -1: by nobody."""
    centres, sizes = _spheres(table, people)
    assert camera.centre is not None
    origin = camera.centre
    by = np.full(people.shape[:3], -1)
    for p in range(len(people)):
        line = people[p] - origin  # (T, 17, 3)
        far = np.linalg.norm(line, axis=-1, keepdims=True)
        line = line / far
        for q in range(len(people)):
            if p == q:
                continue
            to = centres[q] - origin  # (T, S, 3)
            along = np.einsum("tkc,tsc->tks", line, to)
            off = np.sqrt(np.maximum((to**2).sum(-1)[:, None] - along**2, 0))
            by[p][((off < sizes) & (along < far - 0.05)).any(axis=2)] = q
    return by


def smooth_noise(rng: np.random.Generator, shape: Sequence[int], keep: float) -> np.ndarray:
    """(T, ...) of standard deviation 1, each like the one before by `keep`."""
    found = rng.normal(size=shape)
    for i in range(1, len(found)):
        found[i] = keep * found[i - 1] + np.sqrt(1 - keep**2) * found[i]
    return found


def seen(
    camera: Camera, name: str, scene: Scene, seconds: np.ndarray, late: float,
    rng: np.random.Generator, skip: Sequence[int],
) -> CameraView:  # fmt: skip
    """What a model finds of made-up people."""
    people = scene.people(seconds + late)
    count, t, k, _ = people.shape
    noise = smooth_noise(rng, (t, count, k, 2), 0.8).swapaxes(0, 1)
    far = np.linalg.norm(people.mean(axis=2) - camera.centre, axis=-1)[..., None, None]
    noise *= scene.noise * np.minimum(2, scene.radius / far)
    outliers = rng.random(noise.shape[:3]) < scene.wrong
    noise[outliers] += rng.normal(0, 80, (int(outliers.sum()), 2))
    score = rng.uniform(0.7, 0.95, (count, t, k))
    score[list(skip)] = 0
    score[:, rng.random(t) < scene.lost] = 0
    return detected(camera, name, COCO17, people, noise, score, seconds, rng)


def detected(
    camera: Camera, name: str, table: Skeleton, people: np.ndarray, noise: np.ndarray,
    score: np.ndarray, seconds: np.ndarray, rng: np.random.Generator,
) -> CameraView:  # fmt: skip
    """A view of (P, T, K, 3) people: boxes and keypoints, without track ids.

    `noise` (P, T, K, 2) is in pixels, NaN where missing; `score` is (P, T, K).
    """
    count, t, k, _ = people.shape
    by, score = hidden(camera, table, people), score.copy()
    xy = camera.project(camera.from_world(people))
    found = xy + noise
    coarse = smooth_noise(rng, (t, count, k, 2), 0.95).swapaxes(0, 1)
    kind = smooth_noise(rng, (t, count, k), 0.95).swapaxes(0, 1)
    for p in range(count):
        behind = (by[p] >= 0) & (score[p] > 0)
        guessed, taken = behind & (kind[p] > 0), behind & (kind[p] < -0.7)
        other = np.take_along_axis(found, np.maximum(by[p], 0)[None, ..., None], axis=0)[0]
        found[p] = np.where(guessed[..., None], found[p] + 15 * coarse[p], found[p])
        found[p] = np.where(taken[..., None], other, found[p])
        score[p] = np.where(behind, np.where(guessed, 0.35, np.where(taken, 0.55, 0.03)), score[p])
    outside = (xy < 0).any(axis=-1) | (xy >= np.array(camera.size)).any(axis=-1)
    gone = outside | (score < 0.05) | ~np.isfinite(found).all(axis=-1)
    found[gone], score[gone] = np.nan, 0
    clear = (~gone & (by < 0)).sum(axis=2)
    there = (clear >= 5) | ((clear >= 3) & (kind[:, :, 0] > 0))
    shown = np.where((score > 0.3)[..., None], found, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        box = np.concatenate([np.nanmin(shown, 2), np.nanmax(shown, 2)], -1)
    there &= np.isfinite(box).all(axis=-1)
    pairs = list[tuple[Frame, Poses]]()
    for i, time in enumerate(seconds):
        rows = sorted(np.flatnonzero(there[:, i]), key=lambda p: -clear[p, i])
        kept = list[int]()
        for p in rows:  # of two boxes that are nearly the same, a detector keeps one
            if not kept or iou(box[[p], i], box[kept, i]).max() < 0.7:
                kept.append(int(p))
        own = score[kept, i].astype(np.float32)
        poses = Poses(
            table, found[kept, i].astype(np.float32), own, box[kept, i].astype(np.float32),
            own.max(axis=1, initial=0), np.full(len(kept), -1, np.int64),
        )  # fmt: skip
        pairs.append((Frame(None, i, float(time), f"{name}.mp4", size=camera.size), poses))
    return CameraView(name, camera, pairs)


def in_views(cameras: Sequence[Camera], table: Skeleton, truth: np.ndarray) -> np.ndarray:
    """(V, P, T) bool, whether a camera sees five keypoints at least."""
    found = []
    for camera in cameras:
        xy = camera.project(camera.from_world(truth))
        inside = (xy >= 0).all(axis=-1) & (xy < np.array(camera.size)).all(axis=-1)
        found.append((inside & (hidden(camera, table, truth) < 0)).sum(axis=2) >= 5)
    return np.stack(found)


def made(scene: Scene, seed: int) -> tuple[list[CameraView], np.ndarray, np.ndarray]:
    """The views, tracked; (P, T, 17, 3) at the times of the first; (P, T) by how many views."""
    rng = np.random.default_rng(seed)
    views = list[CameraView]()
    cameras = scene.placed(rigs.cameras(scene.cameras, scene.radius))
    for v, camera in enumerate(cameras):
        rate = scene.rates[v % len(scene.rates)]
        late = scene.late[v] if v < len(scene.late) else 0.0
        seconds = np.arange(round(scene.length * rate)) / rate
        skip = [p for u, p in scene.unseen if u == v]
        views.append(seen(camera, f"cam{v}", scene, seconds, late, rng, skip))
    seconds = np.array([frame.seconds for frame, _ in views[0].pairs])
    truth = scene.people(seconds + (scene.late[0] if scene.late else 0))
    by = in_views(cameras, COCO17, truth)
    for v, p in scene.unseen:
        by[v, p] = False
    views = scene.change(views)
    views = [replace(view, pairs=list(through([Identify()], view.pairs))) for view in views]
    return scene.exchange(views), truth, by.sum(axis=0)


@dataclass
class Result:
    """How well people were found."""

    true: int
    found: int
    extra: int
    switched: int
    there: float
    off: np.ndarray  # metres

    def __str__(self) -> str:
        middle, most = (
            (1000 * np.percentile(self.off, [50, 95])) if len(self.off) else (np.nan,) * 2
        )
        return (
            f"{self.found} / {self.true} | {self.extra} | {self.switched} | "
            f"{100 * self.there:.0f} % | {middle:.0f} mm | {most:.0f} mm"
        )


def judged(found: Recording3D, truth: np.ndarray, by: np.ndarray, least: int = 15) -> Result:
    """Against (P, T, K, 3) and (P, T) the number of views that see each."""
    count, t = by.shape
    worlds = np.stack([p.world for p in found.people]) if found.people else None
    must = by >= 2
    who, own = np.full((count, t), -1), list[np.ndarray]()
    present = 0
    claimed = np.zeros((0 if worlds is None else len(worlds), t), bool)
    for i in range(t if worlds is not None else 0):
        assert worlds is not None
        far = np.linalg.norm(worlds[:, None, i] - truth[None, :, i], axis=-1)  # (N, P, K)
        with np.errstate(invalid="ignore"):
            known = np.isfinite(far)
            mean = np.where(known, far, 0).sum(2) / np.maximum(known.sum(2), 1)
        mean[known.sum(2) < 3] = np.inf
        cost = np.minimum(mean, 10)
        rows, columns = linear_sum_assignment(cost)
        for n, p in zip(rows, columns, strict=True):
            if mean[n, p] < FAR:
                who[p, i] = n
                claimed[n, i] = True
                off = far[n, p]
                own.append(off[np.isfinite(off)])
                present += int(np.isfinite(off).sum()) * bool(must[p, i])
    switched = 0
    for p in range(count):
        numbers = who[p][who[p] >= 0]
        # A change counts when it stays for three frames.
        steady = [
            n for n, a, b in zip(numbers, numbers[1:], numbers[2:], strict=False) if n == a == b
        ]
        switched += int((np.diff(steady) != 0).sum())
    true = int((must.sum(axis=1) >= least).sum())
    reached = int(
        (((who >= 0) & must).sum(axis=1) >= 0.5 * must.sum(axis=1))[must.sum(1) >= least].sum()
    )
    mine = {int(np.bincount(n).argmax()) for p in range(count) if len(n := who[p][who[p] >= 0])}
    shown = 0 if worlds is None else sum(np.isfinite(w[..., 0]).any(1).sum() >= 3 for w in worlds)
    extra = shown - len(mine)
    k = truth.shape[2]
    off = np.concatenate(own) if own else np.zeros(0)
    return Result(true, reached, extra, switched, present / max(1, must.sum() * k), off)


# What goes wrong in a view


def exchanged(*changes: tuple[int, float, float]):
    """Track ids 1 and 2 of a camera exchanged from a time to another."""

    def change(views: list[CameraView]) -> list[CameraView]:
        for v, begin, end in changes:
            pairs = []
            for frame, poses in views[v].pairs:
                if begin <= frame.seconds < end:
                    other = np.where(
                        poses.person == 1, 2, np.where(poses.person == 2, 1, poses.person)
                    )
                    poses = replace(poses, person=other)
                pairs.append((frame, poses))
            views[v] = replace(views[v], pairs=pairs)
        return views

    return change


def more(poses: Poses, xy: np.ndarray, score: float) -> Poses:
    """With one more person."""
    own = xy.astype(np.float32)[None]
    box = np.concatenate([own[0].min(0), own[0].max(0)])[None]
    other = Poses(
        COCO17, own, np.full(own.shape[:2], score, np.float32), box,
        np.full(1, score, np.float32), np.full(1, -1, np.int64),
    )  # fmt: skip
    return Poses.join(poses, other) if len(poses) else other


def poster(camera: int, at_pixels: tuple[float, float] = (200, 150)):
    """Somebody painted on the wall of one view."""

    def change(views: list[CameraView]) -> list[CameraView]:
        rng = np.random.default_rng(9)
        figure = rigs.BODY
        xy = np.zeros((17, 2))
        for k, name in enumerate(COCO17.keypoints):
            x, _, z = figure[name.split("_")[-1]]
            xy[k] = (x if name.startswith("left") else -x, 1.7 - z)
        xy = 220 * xy + at_pixels
        pairs = [
            (frame, more(poses, xy + rng.normal(0, 1, xy.shape), 0.8))
            for frame, poses in views[camera].pairs
        ]
        views[camera] = replace(views[camera], pairs=pairs)
        return views

    return change


def doubled(camera: int, share: float = 0.5):
    """A second detection of the first person of a view, 12 pixels off."""

    def change(views: list[CameraView]) -> list[CameraView]:
        rng, pairs = np.random.default_rng(9), []
        on = smooth_noise(rng, (len(views[camera].pairs),), 0.9) > 1 - 2 * share
        for i, (frame, poses) in enumerate(views[camera].pairs):
            if on[i] and len(poses) and np.isfinite(poses.xy[0]).all():
                poses = more(poses, poses.xy[0] + 12 + rng.normal(0, 12, (17, 2)), 0.5)
            pairs.append((frame, poses))
        views[camera] = replace(views[camera], pairs=pairs)
        return views

    return change


def sides(camera: int, begin: float, end: float):
    """Left and right of everybody in a view exchanged."""

    def change(views: list[CameraView]) -> list[CameraView]:
        rows = [i for i, (f, _) in enumerate(views[camera].pairs) if begin <= f.seconds < end]
        views[camera] = rigs.swap_sides(views[camera], rows)
        return views

    return change


def opposite(cameras: list[Camera]) -> list[Camera]:
    """The first of four, and the one across."""
    return [cameras[0], cameras[2]]


CROSSING = all_of(
    path((-1.8, 0.15), (1.8, 0.15), over=6), path((1.8, -0.2), (-1.8, -0.2), over=6, phase=1)
)
CIRCLING = all_of(circle(0.45, 0), circle(0.45, np.pi, phase=1.0))
THREE = all_of(
    path((-1.8, 0.1), (1.8, 0.1)), path((1.8, -0.3), (-1.8, -0.3), phase=1.0),
    path((0.2, -1.8), (0.2, 1.8), phase=2.0, size=0.9),
)  # fmt: skip
SIX = all_of(*(  # each is 0.8 s later in the middle
    path((2 * np.cos(a) - 0.25 * (i - 2), 2 * np.sin(a)),
         (-2 * np.cos(a) - 0.25 * (i - 2), -2 * np.sin(a)),
         over=8.0, later=0.8 * (i - 2.5), phase=a, size=0.9 + 0.03 * i)
    for i, a in enumerate(np.arange(6) * np.pi / 3)
))  # fmt: skip
FILE = all_of(*(path((-2 + 0.7 * i, 0.2), (-0.4 + 0.7 * i, 0.2), phase=i) for i in range(3)))
TOGETHER = all_of(at(-0.2, 0, -np.pi / 2), at(0.2, 0.05, np.pi / 2, size=0.95))
HUGGING = all_of(at(-0.13, 0, -np.pi / 2), at(0.13, 0.05, np.pi / 2, size=0.95))
SITTING = all_of(*(at(0.6 * i - 0.6, 0, 0.2 * i, sits=True, swing=0.1) for i in range(3)))
COMING = all_of(
    during(1.5, 6.3, path((-1.5, 0.5), (1.5, 0.5))), path((1.2, -0.5), (-1.2, -0.5), phase=1.0)
)
BACK = all_of(
    during(0, 12, path((-1, 0.6), (1, 0.6), (-1, 0.6), over=12), but=(4, 7)),
    path((1.2, -0.5), (-1.2, -0.5), over=12, phase=1.0),
)
SCENES = {
    "crossing, 2 cameras": Scene(CROSSING, 2),
    "crossing, 2 opposite cameras": Scene(CROSSING, 4, placed=opposite),
    "crossing, 3 cameras": Scene(CROSSING, 3),
    "crossing": Scene(CROSSING),
    "crossing, 8 cameras": Scene(CROSSING, 8),
    "3 crossing, 2 cameras": Scene(THREE, 2, 5.0),
    "3 crossing": Scene(THREE, 4, 5.0),
    "6 crossing": Scene(SIX, 4, 5.5),
    "6 crossing, 8 cameras": Scene(SIX, 8, 5.5),
    "3 in a file, 2 cameras": Scene(FILE, 2),
    "3 in a file": Scene(FILE),
    "circling, 2 cameras": Scene(CIRCLING, 2),
    "circling, 3 cameras": Scene(CIRCLING, 3),
    "circling": Scene(CIRCLING),
    "0.4 m apart, 2 cameras": Scene(TOGETHER, 2),
    "0.4 m apart": Scene(TOGETHER),
    "hugging": Scene(HUGGING),
    "3 sitting": Scene(SITTING),
    "late and early": Scene(COMING),
    "away and back": Scene(BACK, length=12.0),
    "one in 1 camera only": Scene(CROSSING, unseen=[(0, 1), (1, 1), (3, 1)]),
    "one not in 2 cameras": Scene(CROSSING, unseen=[(0, 1), (3, 1)]),
    "ids exchanged in 2 views": Scene(
        CIRCLING, exchange=exchanged((1, 2.0, 9), (2, 4.3, 9), (2, 6, 9))
    ),
    "ids exchanged, 2 cameras": Scene(CIRCLING, 2, exchange=exchanged((1, 2.3, 5.2))),
    "ids exchanged in all but one": Scene(
        CIRCLING, exchange=exchanged((1, 2.5, 9), (2, 2.5, 9), (3, 2.5, 9))
    ),
    "seen double": Scene(CIRCLING, change=doubled(1)),
    "a poster": Scene(CIRCLING, change=poster(1)),
    "posters in 2 views": Scene(CIRCLING, change=lambda v: poster(2, (600, 200))(poster(1)(v))),
    "sides exchanged for 1 s": Scene(CIRCLING, change=sides(1, 3, 4)),
    "noise 5 px, outliers 5 %": Scene(CIRCLING, noise=5, wrong=0.05),
    "frames missing 15 %": Scene(CIRCLING, lost=0.15),
    "30, 60, 25 frames/s": Scene(CIRCLING, rates=(30, 60, 25)),
    "offsets": Scene(CIRCLING, rates=(30, 60, 25), late=(0, 0.43, -1.2, 2.0), find=True),
    "offsets, crossing": Scene(CROSSING, late=(0, 0.1, -0.5, 1.0), find=True),
    "offsets, 2 cameras": Scene(THREE, 2, 5.0, late=(0, 0.7), find=True),
    "5 frames/s": Scene(CIRCLING, rates=(5,)),
    "5 frames/s, crossing": Scene(CROSSING, rates=(5,)),
    "all at once": Scene(
        THREE, 4, 5.0, rates=(30, 25), noise=4, wrong=0.03, lost=0.05,
        late=(0, 0.2, -0.4, 0), find=True,
        change=lambda v: sides(3, 2, 3)(poster(1)(doubled(2)(v))),
    ),
}  # fmt: skip


def recorded(
    folder: Path,
    rig: Path,
    paths: Sequence[tuple[float, np.ndarray, np.ndarray, float]],
    seconds: float = 5.0,
    seed: int = 0,
) -> tuple[list[CameraView], np.ndarray, np.ndarray]:
    """Several times the one person of the records cam01 to cam04.jsonl, to and fro.

    Each of `paths`: radians about the vertical; metres from where the person was, at the begin and
    the end, (2,); seconds later.
    """
    rng = np.random.default_rng(seed)
    placed = list(calibration_files.read(rig).values())
    views = list[CameraView]()
    for v, camera in enumerate(placed):
        pairs = list(vit.read(folder / f"cam0{v + 1}.jsonl"))
        views.append(CameraView(f"cam0{v + 1}", camera.scaled(pairs[0][0].size), pairs))
    found = triangulated(views)
    person = max(found.people, key=lambda p: np.isfinite(p.world).sum())
    t, k = person.error.shape
    world = person.world.copy()
    for n in range(k):  # missing ones are where they were before, or come next
        known = np.isfinite(world[:, n, 0])
        for axis in range(3):
            world[:, n, axis] = np.interp(
                np.arange(t), np.flatnonzero(known), world[known, n, axis]
            )
    rate = 1 / float(np.median(np.diff([f.seconds for f in found.frames])))
    count = round(seconds * rate)
    middle = np.median(
        world[:, [found.skeleton["left_hip"], found.skeleton["right_hip"]]], axis=(0, 1)
    )
    rows, people = [], []
    for turn, begin, end, late in paths:
        row = np.arange(count) + round(late * rate)
        row = np.abs((row + t - 1) % (2 * t - 2) - (t - 1))  # to and fro
        c, s = np.cos(turn), np.sin(turn)
        own = (world[row] - middle) @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + middle
        share = np.linspace(0, 1, count)[:, None]
        own[..., :2] += (begin + share * (end - begin))[:, None]
        people.append(own)
        rows.append(row)
    truth = np.stack(people)
    made_views = list[CameraView]()
    for view in views:
        camera, xy, score = view.camera, np.full((t, k, 2), np.nan), np.zeros((t, k))
        shown = camera.project(camera.from_world(world))
        for i, (_, poses) in enumerate(view.pairs):
            if len(poses):
                far = np.linalg.norm(poses.xy - shown[i], axis=-1)
                best = int(np.nanargmin(np.nanmedian(far, axis=1)))
                if np.nanmedian(far[best]) < 100:
                    xy[i], score[i] = poses.xy[best], poses.score[best]
        score = np.where(np.isfinite(xy[..., 0]), score, 0)
        depth = camera.from_world(world)[..., 2].mean(axis=1)
        near = np.stack([
            depth[row] / camera.from_world(own)[..., 2].mean(axis=1)
            for row, own in zip(rows, truth, strict=True)
        ])  # fmt: skip
        noise = np.stack([(xy - shown)[row] for row in rows]) * near[..., None, None]
        scores = np.stack([score[row] for row in rows])
        times = np.arange(count) / rate
        made_views.append(
            detected(camera, view.name, found.skeleton, truth, noise, scores, times, rng)
        )
    by = in_views([view.camera for view in views], found.skeleton, truth).sum(axis=0)
    views = [replace(v, pairs=list(through([Identify()], v.pairs))) for v in made_views]
    return views, truth, by


def _xy(x: float, y: float) -> np.ndarray:
    return np.array([x, y])


RECORDED = {  # turned, from, to, seconds later
    "2 people 1 m apart": [(0, _xy(0, 0), _xy(0, 0), 0), (2.0, _xy(0.7, 0.7), _xy(0.7, 0.7), 0.4)],
    "2 people 0.5 m apart": [
        (0, _xy(0, 0), _xy(0, 0), 0), (2.0, _xy(0.5, 0), _xy(0.5, 0), 0.4)
    ],
    "2 people passing": [
        (0, _xy(-1.2, 0), _xy(1.2, 0), 0), (3.0, _xy(1.2, 0.35), _xy(-1.2, 0.35), 0.7)
    ],
    "2 people passing the other way": [
        (0.5, _xy(0, -1), _xy(0, 1), 0), (3.6, _xy(0.3, 1), _xy(0.3, -1), 0.7)
    ],
    "3 people passing": [
        (0, _xy(-1.2, 0), _xy(1.2, 0), 0), (3.0, _xy(1.2, 0.35), _xy(-1.2, 0.35), 0.7),
        (1.5, _xy(0.2, -1.2), _xy(0.2, 1.2), 1.1),
    ],
}  # fmt: skip


def measured(scene: Scene, seed: int) -> tuple[Result, Recording3D]:
    views, truth, by = made(scene, seed)
    found = triangulated(views, find_offsets=4.0 if scene.find else None)
    return judged(found, truth, by), found


def line(name: str, results: Sequence[Result]) -> str:
    """A row of the table."""
    one = Result(
        sum(r.true for r in results), sum(r.found for r in results),
        sum(r.extra for r in results), sum(r.switched for r in results),
        float(np.mean([r.there for r in results])), np.concatenate([r.off for r in results]),
    )  # fmt: skip
    return f"| {name} | {one} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", action="append", default=[], help="part of its name")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--records", type=Path, help="folder of the poses of one person")
    parser.add_argument("--rig", type=Path)
    asked = parser.parse_args()
    print(
        "| scene | found | extra | switched | there | off | 95 % |\n|---|---|---|---|---|---|---|"
    )
    if asked.records:
        for name, paths in RECORDED.items():
            results = []
            for seed in range(asked.seeds):
                views, truth, by = recorded(asked.records, asked.rig, paths, seed=seed)
                results.append(judged(triangulated(views), truth, by))
            print(line(name, results), flush=True)
        return
    for name, scene in SCENES.items():
        if asked.scene and not any(part in name for part in asked.scene):
            continue
        results = [measured(scene, seed) for seed in range(asked.seeds)]
        print(line(name, [result for result, _ in results]), flush=True)


if __name__ == "__main__":
    main()
