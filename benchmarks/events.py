r"""Posture events against labels: precision, recall and false alarms by rule and model.

    python benchmarks/events.py ../shared/data --model yolov8n-pose --model blazepose-full
    python benchmarks/events.py ../shared/data --pictures
    python benchmarks/events.py ../shared/data --crops
    python benchmarks/events.py ../shared/data --hands
    python benchmarks/acted.py /tmp/acted
    python benchmarks/events.py /tmp/acted --labels /tmp/acted

Labels are in tests/analysis/labels (its README.md says what they mean). Models run once; records
and what the pocket detector sees are kept in --cache, so that rules can be run again at once.

An event is right if more of its time is labelled as such than not; it is left out if half of it is
labelled as not sure. One of a person without labels, or of whom it cannot be seen, is a false
alarm. Recall is over labels that last for the minimum of an event. Decided is the share of the
time with a sure label, yes or no, of the people who are found, that has the state yes or no.
`hands_at_pockets` and `hands_near_body` are held against the labels of hands in pockets. Records
in place of videos have no pixels, so none of `hands_in_pockets`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import pickle
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import vitruvian as vit
from vitruvian.analysis.events import Event, Options, State
from vitruvian.analysis.found import AnalysisSettings, Analyst, FrameAnalysis
from vitruvian.analysis.posture import pockets_rule
from vitruvian.analysis.rules import GESTURES, RULES
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.frame import Frame
from vitruvian.models import pockets
from vitruvian.sources.record import record_of, runs, sources_of, with_pixels
from vitruvian.training.data.hands import LabelledPerson, read_pockets

LABELS = Path(__file__).parents[1] / "tests" / "analysis" / "labels"
MODELS = ("yolov8n-pose", "blazepose-full", "blazepose-heavy", "vitruvian-2d")
JUDGED_BY = {"hands_at_pockets": "hands_in_pockets", "hands_near_body": "hands_in_pockets"}
PEOPLE = 6  # in a frame, at most
Label = tuple[float, float, str, bool]  # from, to, "yes", "no" or "hidden", whether it is sure


@dataclass
class Tally:
    """What was counted of one rule by one model."""

    right: int = 0
    wrong: int = 0
    found: int = 0  # labels, by an event
    there: int = 0  # labels
    decided: float = 0.0  # seconds, or people in pictures
    told: float = 0.0
    # confidence, whether it is right, and in which picture or of whom
    sure: list[tuple[float, bool, str]] = field(default_factory=list)

    def row(self, minutes: float | None) -> str:
        """As cells of a table."""
        cells = [
            f"{self.right} of {self.right + self.wrong}",
            f"{self.found} of {self.there}",
            f"{self.decided / self.told:.0%}" if self.told else "",
        ]
        if minutes is not None:
            cells.insert(2, f"{self.wrong / minutes:.2f}")
        return " | ".join(cells)


# Labels


def read_rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def read_places(folder: Path) -> dict[str, dict[int, np.ndarray]]:
    """Video -> person -> (T, 3) seconds, x, y of the middle of the box."""
    found: dict[str, dict[int, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for row in read_rows(folder / "people.csv"):
        place = [float(row[name]) for name in ("seconds", "x", "y")]
        found[row["video"]][int(row["person"])].append(place)
    return {v: {p: np.array(at) for p, at in who.items()} for v, who in found.items()}


def read_states(folder: Path) -> dict[tuple[str, int, str, str], list[Label]]:
    """Video, person, rule, side -> labels."""
    found = defaultdict(list)
    for row in read_rows(folder / "states.csv"):
        key = (row["video"], int(row["person"]), row["rule"], row["side"])
        times = float(row["start"]), float(row["end"])
        found[key].append((*times, row["state"], row["sure"] == "yes"))
    return found


def label_at(labels: list[Label], rule: str, second: float) -> tuple[str, bool]:
    """The label of a moment. Without one, a hand is hidden, and anything else is not done."""
    for start, end, state, sure in labels:
        if start <= second <= end:
            return state, sure
    return ("hidden", True) if rule == "hands_in_pockets" else ("no", True)


# Records


def kept(folder: Path) -> Path:
    """The cache of the present weights: vitruvian's own may be trained anew."""
    digest = hashlib.sha256()
    for file in sorted(pockets.FILES.iterdir()):
        digest.update(file.read_bytes())
    path = folder / digest.hexdigest()[:12]
    path.mkdir(parents=True, exist_ok=True)
    return path


def remembered(file: Path, make: Callable[[], Any]) -> Any:
    if not file.exists():
        made = make()
        file.with_suffix(".part").write_bytes(pickle.dumps(made))
        file.with_suffix(".part").rename(file)
    return pickle.loads(file.read_bytes())


def is_record(video: str | Path) -> bool:
    return Path(video).suffix == ".jsonl"


def record_of_video(video: Path, model: str, stride: int, folder: Path) -> Path:
    """The poses of a video by a model, as a record; a record is what it is."""
    if is_record(video):
        return video
    record = folder / f"{video.stem}-{Path(model).stem}-{stride}.jsonl"
    if not record.exists():
        vit.predict(video, model, stride=stride, num_poses=PEOPLE, out=record)
    return record


Look = dict[int, tuple[pockets.HandReading, pockets.HandReading]]  # by index of the frame


def look_at_hands(record: Path) -> Look:
    """What the pocket detector sees in each frame of a record."""
    opened = record_of(record)
    assert opened is not None
    seen: Look = {}
    for source, (_, pairs) in zip(sources_of(opened), runs(opened), strict=True):
        for frame, poses in with_pixels(source, pairs):
            first, second = pockets.detector().look(frame, poses)
            seen[frame.index] = (bare(first), bare(second))
    return seen


def bare(reading: pockets.HandReading) -> pockets.HandReading:
    """Without anything that fills a cache."""
    poses = reading.poses
    parts = (poses.skeleton, poses.xy, poses.score, poses.box, poses.box_score, poses.person)
    whole = Poses(*parts, xyz=poses.xyz, origin=poses.origin, presence=poses.presence)
    return pockets.HandReading(whole, reading.size, reading.sight)


def analysed(
    record: Path, look: Look, names: list[str], options: Options
) -> Iterator[tuple[Frame, FrameAnalysis]]:
    """A record with its states; events that end last are those of the last frame."""
    rules = {name: RULES[name] for name in names}
    if "hands_in_pockets" in rules:
        rules["hands_in_pockets"] = pockets_rule(
            lambda frame, poses: pockets.detector().judge(*look[frame.index])
        )
    analyst = Analyst(AnalysisSettings(rules, options), moving=True)
    held = None
    for frame, poses in vit.read(record):
        for one in analyst(frame, poses):
            if held is not None:
                yield held
            held = one
    rest, events = analyst.close()
    for one in rest:
        if held is not None:
            yield held
        held = one
    if held is not None:
        held[1].events.extend(events)
        yield held


# Videos


def who_is(places: dict[int, np.ndarray], tracks: dict[int, list[np.ndarray]]) -> dict[int, int]:
    """Track -> labelled person, where it mostly is within half a height of the labelled place.

    Args:
        places: from `read_places`.
        tracks: rows of seconds and box of each track.
    """
    named = {}
    for track, rows in tracks.items():
        votes: Counter[int] = Counter()
        for second, *box in rows:
            x0, y0, x1, y1 = box
            near = {}
            for person, at in places.items():
                if at[0, 0] - 1 <= second <= at[-1, 0] + 1:
                    x, y = (np.interp(second, at[:, 0], at[:, i]) for i in (1, 2))
                    apart = np.hypot((x0 + x1) / 2 - x, (y0 + y1) / 2 - y)
                    near[person] = apart / max(y1 - y0, 1)
            if near and min(near.values()) < 0.5:
                votes[min(near, key=lambda person: near[person])] += 1
        if votes and (best := votes.most_common(1)[0])[1] * 2 > len(rows):
            named[track] = best[0]
    return named


@dataclass
class VideoResult:
    """All that is known of one video by one model."""

    events: list[Event]
    named: dict[int, int]  # track -> person
    told: dict[tuple[int, str, str], list[tuple[float, State]]]  # track, rule, side -> states
    minutes: float  # of all people
    step: float  # seconds between frames


def run_video(video: Path, model: str, asked: argparse.Namespace, names: list[str],
              places: dict[int, np.ndarray]) -> VideoResult:  # fmt: skip
    folder, stride = kept(asked.cache), asked.stride
    record = record_of_video(video, model, stride, folder)
    look: Look = {}
    if "hands_in_pockets" in names:
        look = remembered(record.with_suffix(".pickle"), lambda: look_at_hands(record))
    events, tracks, told = list[Event](), defaultdict(list), defaultdict(list)
    seconds = []
    for frame, found in analysed(record, look, names, Options()):
        seconds.append(frame.seconds)
        events += found.events
        for person, box in zip(found.poses.person.tolist(), found.poses.box, strict=True):
            tracks[person].append(np.array([frame.seconds, *box]))
        for key, state in found.states.items():
            told[key.person, key.rule, key.side].append((frame.seconds, state))
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.0
    minutes = sum(map(len, tracks.values())) * step / 60
    return VideoResult(events, who_is(places, tracks), dict(told), minutes, step)


def judge_video(
    name: str, result: VideoResult, states: dict[tuple[str, int, str, str], list[Label]],
    tallies: dict[str, Tally], options: Options, show: bool,
) -> None:  # fmt: skip
    """Count the events and states of one video."""
    for event in sorted(result.events, key=lambda e: (e.rule, e.person, e.start)):
        rule = JUDGED_BY.get(event.rule, event.rule)
        person, tally = result.named.get(event.person), tallies[event.rule]
        labels = states.get((name, person or 0, rule, event.side), [])
        times = np.linspace(event.start, event.end, 50)
        says = [label_at(labels, rule, float(t)) for t in times]
        open_ = sum(not sure for _, sure in says)
        yes = sum(state == "yes" and sure for state, sure in says)
        verdict = "open" if open_ * 2 >= len(says) else "right"
        if verdict == "right" and yes * 2 < len(says) - open_:
            verdict = "wrong"
        tally.right += verdict == "right"
        tally.wrong += verdict == "wrong"
        if verdict != "open":
            who = f"{name} {person or f'track {event.person}'}"
            tally.sure.append((event.confidence, verdict == "right", who))
        if show:
            print(
                f"    {verdict:5} {event.rule} {event.side:5} person {person or '?'} "
                f"{event.start:.1f} to {event.end:.1f} s, {event.confidence:.2f}"
            )
    for rule, tally in tallies.items():
        judged = JUDGED_BY.get(rule, rule)
        for (video, person, of, side), labels in states.items():
            if (video, of) != (name, judged):
                continue
            mine = [
                e
                for e in result.events
                if e.rule == rule and e.side == side and result.named.get(e.person) == person
            ]
            for start, end, state, sure in labels:
                if state == "yes" and sure and end - start >= options.minimum:
                    covered = sum(max(0, min(e.end, end) - max(e.start, start)) for e in mine)
                    tally.there += 1
                    tally.found += covered * 2 >= end - start
    for (track, rule, side), rows in result.told.items():
        judged, person = JUDGED_BY.get(rule, rule), result.named.get(track)
        if person is None:
            continue
        labels = states.get((name, person, judged, side), [])
        for second, state in rows:
            says, sure = label_at(labels, judged, second)
            if sure and says != "hidden":
                tallies[rule].told += result.step
                tallies[rule].decided += result.step * (state != "unknown")


# Pictures


def posed_pictures(data: Path, model: str, folder: Path) -> dict[str, tuple[Any, Poses]]:
    """File -> size and poses of the labelled pictures."""

    def make() -> dict[str, tuple[Any, Poses]]:
        files = sorted({data / row["folder"] / "images" / f"{int(row['picture']):012d}.jpg"
                        for row in labelled_people(data)})  # fmt: skip
        found = {}
        for frame, poses in vit.run([str(file) for file in files], model):
            reading = pockets.HandReading(poses, frame.size, np.zeros((len(poses), 2)))
            found[frame.source] = frame.size, bare(reading).poses
        return found

    return remembered(folder / f"pictures-{Path(model).stem}.pickle", make)


@cache
def people_by_id(folder: Path) -> dict[int, dict[str, Any]]:
    found = json.loads((folder / "person_keypoints.json").read_text())["annotations"]
    return {each["id"]: each for each in found}


LABELLED = {"coco": 6, "coco_pictures": 8}  # folder -> keypoints that a labelled person has
TALL = 100  # pixels, longer side of the box of a labelled person


def labelled_people(data: Path) -> list[dict[str, Any]]:
    """Folder, picture and annotation of all people who were looked at."""
    return [
        {"folder": name, "picture": each["image_id"], "annotation": each}
        for name, least in LABELLED.items()
        for each in people_by_id(data / name).values()
        if not each.get("iscrowd")
        and each["num_keypoints"] >= least
        and max(each["bbox"][2:]) >= TALL
    ]


def matched(poses: Poses, annotation: dict[str, Any]) -> int | None:
    """The row of the nearest pose."""
    points = np.reshape(annotation["keypoints"], (17, 3)).astype(float)
    order = [poses.skeleton[name] for name in COCO17.keypoints]
    if not len(poses):
        return None
    apart = np.linalg.norm(poses.xy[:, order] - points[:, :2], axis=-1)[:, points[:, 2] > 0]
    apart = np.nan_to_num(apart, nan=np.inf).mean(axis=1) / np.sqrt(annotation["area"])
    return int(apart.argmin()) if apart.min() < 0.35 else None


def judge_pictures(data: Path, model: str, names: list[str], asked: argparse.Namespace) -> None:
    """Print a row for each rule: states of people in pictures, both sides together."""
    truth: dict[tuple[str, int, str], bool] = {}
    for row in read_rows(asked.labels / "pictures.csv"):
        key = (row["folder"], int(row["annotation"]), row["rule"])
        truth[key] = truth.get(key, False) or row["sure"] == "yes"
    posed = posed_pictures(data, model, kept(asked.cache))
    rules = {name: RULES[name] for name in names}
    analyst = Analyst(AnalysisSettings(rules), moving=False)
    tallies = {name: Tally() for name in rules}
    missed = 0
    found: dict[str, FrameAnalysis] = {}
    for file, (size, poses) in posed.items():
        ((_, found[file]),) = analyst(Frame(None, source=file, size=size), poses)
    for person in labelled_people(data):
        folder, annotation = person["folder"], person["annotation"]
        file = data / folder / "images" / f"{person['picture']:012d}.jpg"
        said = found[str(file)]
        row = matched(said.poses, annotation)
        missed += row is None
        for rule, tally in tallies.items():
            sure = truth.get((folder, annotation["id"], rule))
            if sure is False:
                continue
            tally.there += sure is True
            if row is None:
                continue
            sides = ("left", "right") if said.degrees[rule].ndim == 2 else ("",)
            states = [said.state(rule, side)[row] for side in sides]
            state = "yes" if "yes" in states else "unknown" if "unknown" in states else "no"
            tally.told, tally.decided = tally.told + 1, tally.decided + (state != "unknown")
            tally.found += sure is True and state == "yes"
            if state == "yes":
                tally.right, tally.wrong = tally.right + (sure is True), tally.wrong + (not sure)
                degree = float(np.nanmax(said.degrees[rule][row]))
                tally.sure.append((degree, sure is True, f"{person['picture']}"))
                if asked.show and not sure:
                    print(f"    wrong {rule} {folder} {person['picture']} {annotation['id']}")
            elif asked.show and sure:
                print(
                    f"    missed ({state}) {rule} {folder} {person['picture']} {annotation['id']}"
                )
    for rule, tally in tallies.items():
        print(f"| `{rule}` | {Path(model).stem} | {tally.row(None)} |")
    keep_sure(asked, "pictures", Path(model).stem, tallies)
    print(f"not found: {missed} of {len(labelled_people(data))}")


def judge_crops(data: Path, model: str, names: list[str], asked: argparse.Namespace) -> None:
    """Print a row for each rule: people of data/coco_people, in labels/crops.csv."""
    truth: dict[str, dict[str, str]] = defaultdict(dict)
    for row in read_rows(asked.labels / "crops.csv"):
        truth[row["file"]][row["rule"]] = row["state"]
    folder = data / "coco_people"
    people = map(json.loads, (folder / "people.jsonl").read_text().splitlines())
    known = {person["file"]: person for person in people if person["file"] in truth}
    rules, tallies = {name: RULES[name] for name in names}, {name: Tally() for name in names}
    analyst = Analyst(AnalysisSettings(rules), moving=False)
    for frame, poses in vit.run([str(folder / "crops" / file) for file in known], model):
        name = Path(frame.source).name
        row = matched(poses, known[name])
        ((_, said),) = analyst(Frame(None, source=frame.source, size=frame.size), poses)
        for rule, label in truth[name].items():
            if label == "unsure" or rule not in tallies:
                continue
            tally = tallies[rule]
            tally.there += label == "yes"
            if row is None:
                continue
            degrees = np.ravel(said.degrees[rule][row])
            sides = ("left", "right") if len(degrees) == 2 else ("",)
            states = [said.state(rule, side)[row] for side in sides]
            state = "yes" if "yes" in states else "unknown" if "unknown" in states else "no"
            tally.told, tally.decided = tally.told + 1, tally.decided + (state != "unknown")
            if state == "yes":
                tally.right, tally.wrong = (
                    tally.right + (label == "yes"),
                    tally.wrong + (label == "no"),
                )
                tally.found += label == "yes"
                tally.sure.append(
                    (float(np.nanmax(degrees)), label == "yes", str(known[name]["image_id"]))
                )
                if asked.show and label == "no":
                    print(f"    wrong {rule} {name} {np.nanmax(degrees):.2f}")
    for rule, tally in tallies.items():
        if tally.there:
            print(f"| `{rule}` | {Path(model).stem} | {tally.row(None)} |")
    keep_sure(asked, "pictures", Path(model).stem, tallies)


def judge_hands(data: Path, model: str) -> None:
    """Print a row of the shipped detector on each hand of data/pockets, on which it was trained."""
    people: dict[str, list[LabelledPerson]] = defaultdict(list)
    for person in read_pockets(data / "pockets"):
        people[str(person.file)].append(person)
    right = said = there = decided = told = 0
    for frame, poses in vit.run(list(people), model):
        states = pockets.hands(frame, poses).state
        for person in people[frame.source]:
            points = np.column_stack([person.points[:, :2], person.points[:, 2] > 0])
            area = 0.6 * np.prod(person.box[2:] - person.box[:2])
            row = matched(poses, {"keypoints": points, "area": area})
            for side, label in enumerate(person.labels):
                if label == "unknown":
                    continue
                state = "unknown" if row is None else states[row, side]
                told, decided = told + 1, decided + (state != "unknown")
                if state != "unknown":
                    right += state == label == "in"
                    said, there = said + (state == "in"), there + (label == "in")
    f1 = f"{2 * right / max(said + there, 1):.2f}"
    print(f"| {Path(model).stem} | {right} of {said} | {right} of {there} | {f1} "
          f"| {decided} of {told}, {decided / max(told, 1):.0%} |")  # fmt: skip


def keep_sure(asked: argparse.Namespace, kind: str, model: str, tallies: dict[str, Tally]) -> None:
    """Append what was said with which confidence to --sure, for `benchmarks/reliability.py`."""
    if asked.sure:
        new = not asked.sure.exists()
        with asked.sure.open("a", newline="", encoding="utf-8") as lines:
            write = csv.writer(lines)
            if new:
                write.writerow(["kind", "model", "rule", "who", "confidence", "right"])
            for rule, tally in tallies.items():
                if rule not in JUDGED_BY:
                    for confidence, right, who in tally.sure:
                        write.writerow([kind, model, rule, who, f"{confidence:.3f}", int(right)])


def reliability(name: str, sure: list[tuple[float, bool, str]]) -> None:
    """How often what is said with some confidence is right."""
    for low, high in ((0, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 1.01)):
        inside = [right for confidence, right, _ in sure if low <= confidence < high]
        if inside:
            print(f"{name} {low:.1f} to {min(high, 1):.1f}: {sum(inside)} of {len(inside)} right")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with the videos, or with coco")
    parser.add_argument("--labels", type=Path, default=LABELS)
    parser.add_argument("--model", action="append", help="name or file; several times for several")
    parser.add_argument("--rules", help="comma-separated; default: all")
    parser.add_argument("--video", help="only this one")
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--pictures", action="store_true", help="pictures instead of videos")
    parser.add_argument("--crops", action="store_true", help="labelled crops of coco_people")
    parser.add_argument("--hands", action="store_true", help="hands of data/pockets instead")
    parser.add_argument("--show", action="store_true", help="each event, and what is missed")
    parser.add_argument("--sure", type=Path, help="file.csv to append each confidence to")
    home = Path(tempfile.gettempdir()) / "vitruvian-events"
    parser.add_argument("--cache", type=Path, default=home)
    asked = parser.parse_args()
    names = asked.rules.split(",") if asked.rules else [n for n in RULES if n not in GESTURES]
    models = asked.model or list(MODELS)
    if asked.hands:
        print("| model | precision | recall | F1 | decided |\n|---|---|---|---|---|")
        for model in models:
            judge_hands(asked.data, model)
        return
    if asked.pictures or asked.crops:
        names = [name for name in names if name != "hands_in_pockets" and name not in JUDGED_BY]
        print("| rule | model | precision | recall | decided |\n|---|---|---|---|---|")
        for model in models:
            judge = judge_crops if asked.crops else judge_pictures
            judge(asked.data, model, names, asked)
        return
    places, states = read_places(asked.labels), read_states(asked.labels)
    files = {file.name: file for file in sorted(asked.data.rglob("*")) if file.name in places}
    videos = [video for video in places if not is_record(video)]
    jobs = [(Path(model).stem, model, videos) for model in models if videos]
    jobs += [(Path(video).stem, "", [video]) for video in places if is_record(video)]
    lines, sure = [], []
    for title, model, some in jobs:
        own = names if model else [name for name in names if name != "hands_in_pockets"]
        tallies, minutes = {name: Tally() for name in own}, 0.0
        for video in some:
            if asked.video in (None, video):
                if asked.show:
                    print(f"  {video}, {title}")
                result = run_video(files[video], model, asked, own, places[video])
                judge_video(video, result, states, tallies, Options(), asked.show)
                minutes += result.minutes
        lines += [
            f"| `{rule}` | {title} | {tally.row(minutes)} |" for rule, tally in tallies.items()
        ]
        lines.append(f"| | {title} | {minutes:.1f} person-minutes | | | |")
        keep_sure(asked, "videos" if model else "acted", title, tallies)
        sure += [
            one for rule, tally in tallies.items() if rule not in JUDGED_BY for one in tally.sure
        ]
    print("| rule | model | precision | recall | false alarms a person-minute | decided |")
    print("|---|---|---|---|---|---|")
    print("\n".join(lines))
    reliability("all", sure)


if __name__ == "__main__":
    main()
