r"""Do features that the networks compute anyway tell people apart? What `Identify` could be given.

    python benchmarks/appearance.py [--data ../shared/data] [--yolo ../shared/weights/...pt]

Candidates are functions as `Identify(appearance=...)` takes them: numbers for each person, compared
by cosine distance. Colours: the histogram of the box in docs/start.md, of the torso, and of five
parts of the body. Features: means over the same five parts of a layer of the pose network or of
the person finder. Each number is standardised, by mean and spread over people of COCO's training
split. Thresholds are the distances that 1, 0.1 and 0.01 % of pairs of these people are below.

The first table: AUC of pairs of sightings in a video; rank-1 in % of sightings at the end of a
visit, by the first half of all visits, and in other cameras; milliseconds a person for a layer,
without the network, or for all colours. The second: ids of visitors who come back; ids given and
changes of id in two videos; switches / IDF1 in scenes of `identify.py` with these looks. There a
threshold is for matches by appearance only, or also forbids matches by motion ("for both").

Sightings are vitruvian-2d's, where shoulders and hips are seen; who is who was seen by eye.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

import vitruvian as vit
from appearance_features import (  # pyright: ignore[reportMissingImports]
    Layers,
    Looks,
    Sighting,
    coco_people,
    colours,
    networks,
    parts,
)
from identify import SCENES, totals  # pyright: ignore[reportMissingImports]
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame
from vitruvian.streams.identify import Identify, Options

STATISTICS = 600  # people of COCO
LEVELS = (0.01, 0.001, 0.0001)  # of pairs of different people, share that is below the threshold
START = 0.02  # the threshold in docs/start.md
ANY = 2.0  # the largest cosine distance
# Candidates in the second table.
TRIED = (
    "colours",
    "vitruvian-2d, stride 4",
    "vitruvian-2d, stride 16, 64",
    "yolov8n-pose, /model.6",
)
# Video -> every n-th frame, and seconds apart from which two sightings of a person count as a pair.
VIDEOS = {
    "videos/intel_one_by_one_person.mp4": (3, 2.0),
    "videos/sports2d_demo.mp4": (2, 1.0),
    "videos/mmpose_demo.mp4": (1, 0.15),
    **{f"pose2sim/single_balancing/videos/cam0{i}.mp4": (5, 0.0) for i in (1, 2, 3, 4)},
}
# Person -> video, and frame, x and y of the middle of the person, linear in between.
PEOPLE: dict[str, dict[str, list[tuple[int, int, int]]]] = {
    "visitor 1": {"intel": [(64, 357, 324), (104, 447, 198), (180, 480, 205), (197, 700, 250)]},
    "visitor 2": {"intel": [(229, 290, 355), (269, 458, 186), (429, 462, 188), (449, 700, 250)]},
    "visitor 3": {"intel": [(508, 372, 279), (548, 473, 193), (681, 500, 195), (697, 700, 250)]},
    "visitor 4": {"intel": [(747, 260, 362), (787, 434, 208), (848, 480, 208), (867, 724, 268)]},
    "visitor 5": {"intel": [(929, 433, 289), (969, 452, 186), (1175, 452, 186), (1196, 700, 250)]},
    "visitor 6": {
        "intel": [(1239, 333, 314), (1279, 437, 198), (1340, 445, 198), (1358, 700, 250)]
    },
    "athlete": {
        "sports2d": [
            *[(0, 657, 273), (30, 633, 242), (75, 629, 261), (90, 643, 207), (120, 726, 213)],
            *[(135, 784, 170), (195, 1116, 801), (210, 1245, 762), (225, 1524, 720)],
        ]
    },
    "walker": {"sports2d": [(38, 1530, 742), (113, 882, 720), (203, 54, 656)]},
    "white top": {"mmpose": [(0, 834, 353), (2, 883, 360), (4, 884, 358)]},
    "black jacket": {"mmpose": [(0, 521, 234), (2, 550, 244), (4, 525, 246)]},
    "backpack": {"mmpose": [(0, 475, 224), (4, 469, 229)]},
    "striped top": {"mmpose": [(0, 632, 253), (4, 634, 253)]},
    "white shirt": {"mmpose": [(1, 800, 248), (4, 800, 249)]},
    "shorts": {"mmpose": [(1, 193, 180), (3, 181, 188)]},
    "cap": {
        "cam01": [(0, 416, 778), (50, 428, 806), (75, 576, 926), (99, 576, 926)],
        "cam02": [(0, 567, 812), (25, 536, 792), (50, 463, 795), (75, 540, 825), (99, 540, 825)],
        "cam03": [(0, 636, 898), (25, 520, 856), (50, 492, 841), (75, 401, 846), (99, 401, 846)],
        "cam04": [(0, 404, 995), (25, 513, 909), (50, 610, 930), (75, 507, 900), (99, 507, 900)],
    },
    "mask": {
        "cam01": [(0, 69, 522), (99, 69, 522)],
        "cam02": [(0, 795, 673), (99, 795, 673)],
    },
}
HARD = ("one leaves, another comes, one returns", "ten wander, 10 % missed")


def video_name(path: str) -> str:
    """What `PEOPLE` calls it."""
    return Path(path).stem.split("_")[0]


def sightings(data: Path, model: Any) -> list[Sighting]:
    """Everyone of `PEOPLE` where shoulders and hips are seen."""
    found: list[Sighting] = []
    for path, (every, _) in VIDEOS.items():
        for frame in vit.open_source(data / path)[0]:
            assert isinstance(frame, Frame)
            if frame.index % every == 0:
                # The pixels are kept; a video's own would be overwritten.
                frame = replace(frame, pixels=frame.rgb.copy(), source=video_name(path))
                (poses,) = model([frame])
                found += named(frame, poses)
    return found


def named(frame: Frame, poses: Poses) -> list[Sighting]:
    """Those poses of a frame that are somebody of `PEOPLE`: nearest to where the person is."""
    middle = (poses.box[:, :2] + poses.box[:, 2:]) / 2
    height = poses.box[:, 3] - poses.box[:, 1]
    rows = []
    for who, places in PEOPLE.items():
        way = np.array(places.get(frame.source, []), float)
        if not len(way) or not len(poses) or not way[0, 0] <= frame.index <= way[-1, 0]:
            continue
        at = [np.interp(frame.index, way[:, 0], way[:, axis]) for axis in (1, 2)]
        off = np.linalg.norm(middle - at, axis=1)
        row = int(off.argmin())
        if off[row] < 0.3 * height[row] and "torso" in parts(poses[row]):
            rows.append(Sighting(who, frame, poses[row]))
    return rows


def looked(each: Sequence[Sighting], look: Callable[[Sighting], Looks]) -> Looks:
    """Candidate -> (S, D) of S sightings."""
    rows = [look(one) for one in each]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


@dataclass(frozen=True)
class Candidate:
    """Looks of all sightings, of length 1 each, and the distance below which two are the same."""

    looks: np.ndarray  # (S, D)
    threshold: float
    different: float = ANY  # `Options.different`

    def options(self) -> Options:
        """Of `Identify`."""
        return Options(appearance=self.threshold, different=self.different)


def candidates(rows: np.ndarray, people: np.ndarray) -> list[Candidate]:
    """Standardise by people of COCO, each another one; what is not seen is as usual: 0.

    Args:
        rows: (S, D) of the sightings.
        people: (P, D) of the people of COCO.

    Returns:
        The same looks with the threshold of each of `LEVELS`.
    """
    middle, spread = np.nanmean(people, axis=0), np.nanstd(people, axis=0) + 1e-6

    def unit(numbers: np.ndarray) -> np.ndarray:
        numbers = np.nan_to_num((numbers - middle) / spread)
        return numbers / np.maximum(np.linalg.norm(numbers, axis=1, keepdims=True), 1e-9)

    strangers = unit(people)
    apart = 1 - (strangers @ strangers.T)[np.triu_indices(len(strangers), 1)]
    looks = unit(rows)
    return [Candidate(looks, float(np.quantile(apart, level))) for level in LEVELS]


def auc(same: np.ndarray, others: np.ndarray) -> float:
    """Area under the ROC curve: how often a distance of the same is below one of others."""
    ranks = rankdata(np.concatenate([same, others]))
    return 1 - (ranks[: len(same)].sum() / len(same) - (len(same) + 1) / 2) / len(others)


def distances(
    each: Sequence[Sighting], looks: np.ndarray, video: str, apart: float
) -> tuple[np.ndarray, np.ndarray]:
    """Of pairs of sightings in a video: of the same person, so many seconds apart; of others."""
    rows = np.flatnonzero([s.frame.source == video for s in each]).tolist()
    who = np.array([each[row].who for row in rows])
    seconds = np.array([each[row].frame.seconds for row in rows])
    first, second = np.triu_indices(len(rows), 1)
    off = (1 - looks[rows] @ looks[rows].T)[first, second]
    alike = who[first] == who[second]
    later = np.abs(seconds[first] - seconds[second]) >= apart
    return off[alike & later], off[~alike]


def nearest(
    each: Sequence[Sighting],
    looks: np.ndarray,
    known: Callable[[Sighting, Sighting], bool],
    asked: Callable[[Sighting], bool],
) -> float:
    """Rank-1 in %: sightings that are nearest to the mean look of their own person.

    Args:
        each: the sightings.
        looks: (S, D) theirs.
        known: whether a sighting is known where another one is asked for.
        asked: whether a sighting is asked for.
    """
    who = np.array([s.who for s in each])
    right: list[bool] = []
    for row in np.flatnonzero([asked(s) for s in each]).tolist():
        there = np.array([known(s, each[row]) for s in each])
        names = np.unique(who[there])
        if who[row] in names:
            means = np.array([looks[there & (who == name)].mean(axis=0) for name in names])
            means /= np.linalg.norm(means, axis=1, keepdims=True)
            right.append(names[(means @ looks[row]).argmax()] == who[row])
    return 100 * float(np.mean(right))


def comes_back(each: Sequence[Sighting], one: Candidate | None) -> tuple[int, int, int]:
    """A visitor, nobody, another one, nobody, the first again: right ids, wrong ids, of how many.

    The first comes for 3 s, from the start of the visit, and for the last 3 s of it; the other for
    1.8 s. Between them nobody is there for 3.3 s, for longer than motion predicts. Right: the first
    has the same id again. Wrong: the other has it, or the first has the other's.
    """
    visits = [
        [row for row, s in enumerate(each) if s.who == who]
        for who, places in PEOPLE.items()
        if "intel" in places
    ]
    gap: list[int] = [-1] * 11
    right = wrong = pairs = 0
    for first, other in permutations(visits, 2):
        rows = [*first[:10], *gap, *other[:6], *gap, *first[-10:]]
        seconds = [0.3 * step for step in range(len(rows))]
        ids = identified(each, [[row] if row >= 0 else [] for row in rows], seconds, one)
        came, went, again = ids[9], ids[15], ids[16:]
        right += sum(number == came for number in again) > 5
        wrong += came in ids[10:16] or went in again
        pairs += 1
    return right, wrong, pairs


def identified(
    each: Sequence[Sighting],
    steps: Sequence[Sequence[int]],
    seconds: Sequence[float],
    one: Candidate | None,
) -> list[int]:
    """Ids of sightings, in order.

    Args:
        each: all sightings.
        steps: which of them are in each frame.
        seconds: of each frame.
        one: their looks; None: without appearance.
    """
    frames = iter(steps)

    def look(frame: Frame, poses: Poses) -> np.ndarray:
        return one.looks[list(next(frames))] if one is not None else np.zeros((len(poses), 0))

    options = Options() if one is None else replace(one.options(), forget=20)
    identify = Identify(options, None if one is None else look)
    ids: list[int] = []
    for step, (rows, at) in enumerate(zip(steps, seconds, strict=True)):
        size = each[rows[0]].frame.size if rows else (768, 432)
        there = [replace(each[row].poses, person=np.full(1, -1)) for row in rows]
        poses = Poses.join(*there) if there else Poses.nobody(COCO17)
        ids += identify(Frame(None, step, at, "", size=size), poses).person.tolist()
    return ids


def in_order(each: Sequence[Sighting], video: str, one: Candidate | None) -> str:
    """Ids given in a video, and how often somebody's changed."""
    rows: dict[float, list[int]] = {}
    for row, s in enumerate(each):
        if s.frame.source == video:
            rows.setdefault(s.frame.seconds, []).append(row)
    ids = identified(each, list(rows.values()), list(rows), one)
    last: dict[str, int] = {}
    switches = 0
    order = [each[row].who for part in rows.values() for row in part]
    for who, number in zip(order, ids, strict=True):
        switches += number > 0 and last.setdefault(who, number) != number
        last[who] = number if number > 0 else last.get(who, number)
    return f"{len({number for number in ids if number > 0})} / {switches}"


def in_scenes(each: Sequence[Sighting], one: Candidate | None, seeds: int) -> list[str]:
    """Made-up scenes whose people look like the sightings: switches and IDF1, in %."""
    options = Options() if one is None else one.options()
    people = [[row for row, s in enumerate(each) if s.who == who] for who in PEOPLE]
    cells = []
    for name in HARD:
        sums = []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            cast = [people[who] for who in rng.permutation(len(people))]

            def looks(
                who: np.ndarray, rng: Any = rng, cast: Any = cast, one: Any = one
            ) -> np.ndarray:
                return one.looks[[rng.choice(cast[number]) for number in who]]

            scene = SCENES[name](np.random.default_rng(seed))
            shown = None if one is None else looks
            sums.append(totals(scene, 10, options, shown, np.random.default_rng(seed)))
        switches, _, right, of = np.sum(sums, axis=0)
        cells.append(f"{switches} / {100 * right / of:.1f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    shared = Path(__file__).parent.parent.parent / "shared"
    parser.add_argument("--data", type=Path, default=shared / "data")
    parser.add_argument("--yolo", type=Path, help="a checkpoint of YOLOv8-pose")
    parser.add_argument("--seeds", type=int, default=6)
    given = parser.parse_args()

    each = sightings(given.data, vit.load("vitruvian-2d"))
    people = coco_people(given.data, "train", STATISTICS)
    print(f"{len(each)} sightings of {len({s.who for s in each})} people", flush=True)
    ends = {
        who: (min(frames), max(frames))
        for who in PEOPLE
        if (frames := [s.frame.index for s in each if s.who == who])
    }

    def share(one: Sighting) -> float:
        start, end = ends[one.who]
        return (one.frame.index - start) / max(end - start, 1)

    apart = {video_name(path): seconds for path, (_, seconds) in VIDEOS.items()}
    report("AUC: intel", "sports2d", "mmpose", "rank-1: leaving", "cameras", "ms")
    found: dict[str, list[Candidate]] = {}
    plain: list[Candidate] = []
    for look in [colours, *networks(given.yolo)]:
        began = time.perf_counter()
        rows, others = looked(each, look), looked(people, look)
        spent = (time.perf_counter() - began) / (len(each) + len(people))
        if isinstance(look, Layers):
            spent = float(np.median(look.pooling))
        if look is colours:
            box = rows["colours, box"]
            box = box / np.linalg.norm(box, axis=1, keepdims=True)
            plain = [Candidate(box, t, Options().different) for t in (Options().appearance, START)]
        for name in rows:
            found[name] = candidates(rows[name], others[name])
            looks = found[name][0].looks
            cells = [
                f"{100 * auc(*distances(each, looks, video, apart[video])):.1f}"
                for video in ("intel", "sports2d", "mmpose")
            ]
            leaving = nearest(
                each,
                looks,
                lambda known, asked: known.frame.source == "intel" and share(known) < 0.5,
                lambda asked: asked.frame.source == "intel" and share(asked) > 0.8,
            )
            cameras = nearest(
                each,
                looks,
                lambda known, asked: known.frame.source != asked.frame.source,
                lambda asked: asked.frame.source.startswith("cam"),
            )
            report(*cells, f"{leaving:.1f}", f"{cameras:.1f}", f"{1000 * spent:.1f}", name=name)

    report("threshold", "same, others below", "right, wrong ids", "intel", "sports2d", *HARD)
    report("", "", *over_time(each, None, given.seeds), name="motion and pose")
    for one in plain:
        ids = over_time(each, one, given.seeds)
        report(f"{one.threshold:g}", "", *ids, name="docs/start.md, not standardised")
    for name, ones in found.items():
        if name.startswith(TRIED):
            for one in [replace(ones[0], different=ones[0].threshold), *ones]:
                pairs = distances(each, one.looks, "intel", apart["intel"])
                below = [f"{100 * (part < one.threshold).mean():.0f} %" for part in pairs]
                also = "" if one.different == ANY else " for both"
                cells = [f"{one.threshold:.2f}{also}", ", ".join(below)]
                report(*cells, *over_time(each, one, given.seeds), name=name)


def over_time(each: Sequence[Sighting], one: Candidate | None, seeds: int) -> list[str]:
    """What becomes of track ids."""
    right, wrong, of = comes_back(each, one)
    videos = [in_order(each, video, one) for video in ("intel", "sports2d")]
    return [f"{right}, {wrong} of {of}", *videos, *in_scenes(each, one, seeds)]


def report(*cells: str, name: str = "") -> None:
    """A row of a table."""
    print(" | ".join([name, *cells]), flush=True)


if __name__ == "__main__":
    main()
