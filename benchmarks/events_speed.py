"""Speed of rules on a record: an hour at 30 frames/s with two people who walk, sit and raise arms.

    python benchmarks/events_speed.py                  # every rule without pixels
    python benchmarks/events_speed.py --rules seated --minutes 10 --profile

Prints times real time: of `vitruvian analyze` from the file to the tables, with reading it; and of
the rules alone. CPU seconds of this process count, because the machine may do other work.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import pstats
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import vitruvian as vit
from vitruvian.analysis.found import AnalysisSettings, Analyst
from vitruvian.analysis.rules import GESTURES, RULES, parse_rules
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame
from vitruvian.verbs.api import analyze

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from bodies import body, seen_as, turned

RATE, SIZE = 30.0, (1280, 720)
PART = 9000  # frames that are kept for the rules alone
DOES = ({}, {"hip": 85.0, "knee": 85.0}, {"shoulder": 165.0}, {"trunk": 40.0}, {"elbow": 80.0})


def scenes(skeleton=COCO17, count: int = 300) -> list[Poses]:
    """Two people; what each does changes every two seconds, with noise of a pixel."""
    rng, frames = np.random.default_rng(0), []
    for i in range(count):
        people = []
        for person in (1, 2):
            swing = 25 * np.sin(2 * np.pi * i / RATE + person)
            doing = DOES[(i // 60 + person) % 5] or {"left_hip": swing, "right_hip": -swing}
            xyz = turned(body(skeleton, **doing), "up", 60.0 * person)
            one = seen_as(skeleton, xyz, at=(400.0 * person, 360.0), person=person)
            noisy = (one.xy + rng.normal(0, 1, one.xy.shape)).astype(np.float32)
            people.append(vit.Poses(skeleton, noisy, one.score, one.box, one.box_score, one.person))
        frames.append(Poses.join(*people))
    return frames


def written(path: Path, minutes: float) -> Path:
    """The record; scenes repeat."""
    poses = scenes()
    with vit.open_sink(path) as sink:
        for i in range(round(minutes * 60 * RATE)):
            sink.write(Frame(None, i, i / RATE, "gone.mp4", size=SIZE), poses[i % len(poses)])
    return path


def main() -> None:
    """Write the record, time the command and the rules."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--minutes", type=float, default=60.0)
    words.add_argument("--rules", default=",".join(set(RULES) - {"hands_in_pockets", *GESTURES}))
    words.add_argument("--profile", action="store_true", help="of the command, by function")
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record = written(Path(folder) / "poses.jsonl", given.minutes)
        profile = cProfile.Profile() if given.profile else None
        began = time.process_time()
        if profile is not None:
            profile.enable()
        analyze(record, rules=given.rules, save="tables", out=Path(folder) / "out")
        if profile is not None:
            profile.disable()
        whole = time.process_time() - began
        began = time.process_time()
        frames = sum(1 for _ in vit.read(record))
        reading = time.process_time() - began
        part = list(itertools.islice(vit.read(record), PART))
        events = (Path(folder) / "out" / "events.jsonl").read_text().count("\n")
    analyst = Analyst(AnalysisSettings(parse_rules(given.rules)), moving=True)
    began = time.process_time()
    for frame, some in part:
        analyst(frame, some)
    analyst.close()
    alone = (time.process_time() - began) * frames / len(part)
    seconds = given.minutes * 60
    print(f"{given.rules}: {frames} frames, {events} events")
    for name, took in (("analyze", whole), ("reading the record", reading), ("rules", alone)):
        print(f"{name}: {took:.1f} s CPU, {seconds / took:.0f} times real time")
    if profile is not None:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
