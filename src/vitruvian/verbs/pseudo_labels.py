"""Pseudo-labels: what a teacher finds in unlabelled images and videos, as labels of people.

| file, in the folder `teacher` of a run | what |
|---|---|
| poses.jsonl | all that the teacher found, as of `vitruvian predict` |
| frames/ | frames of videos with people: what the student learns from |
| train.json, val.json | of it what is sure, as COCO annotations |
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import cv2
import numpy as np

from vitruvian.body.mapping import Mapping
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.evaluate.labels import FILLED, ONE_OF, GroundTruth, LabelledPicture
from vitruvian.formats.atomic_file import alone_in, write_whole
from vitruvian.formats.records import Record
from vitruvian.formats.wire import dump, frame_to_dict, header
from vitruvian.frame import Frame
from vitruvian.models.model import Model, skeleton_of
from vitruvian.picture_files.encode import encode_picture
from vitruvian.sources.open import Pictures, Source
from vitruvian.stopping import hold_signals
from vitruvian.streams.stream import Stream
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.folder import NO_MATTER

RECORD, TRAIN, VAL = "poses.jsonl", "train.json", "val.json"
THUMBNAIL = 64  # pixels: longer side of what frames are compared by
CHANGED = 12  # grey levels, 0..255: of a pixel of the thumbnail that has changed
# Of the thumbnail, what has to change for another frame: less than an arm of a person who is half
# as tall as the frame, more than the noise of cameras and codecs.
PART = 0.004
LEAST = 3  # sure keypoints of a person; with fewer only the bounding box is kept
# Of a header, what another version or machine may change.
ELSEWHERE = ("vitruvian", "runs_on", "options", *NO_MATTER)
QUALITY = 95  # of the JPEG files
REPORT = 10.0  # seconds between two lines of progress


class PseudoLabels(NamedTuple):
    """Labels, with notes of what was found."""

    train: GroundTruth
    val: GroundTruth  # kept apart, if asked for


class DistinctFrames:
    """A video without frames that are nearly the same as the one before them."""

    def __init__(self, source: Source, done: Collection[int] = ()) -> None:
        """`done`: numbers of frames that are left out as well."""
        self.source, self.done = source, done
        self.name, self.moving, self.live = source.name, source.moving, source.live
        self.skipped = 0

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        last: np.ndarray | None = None
        for frame in self.source:
            if isinstance(frame, VitruvianError):
                yield frame
                continue
            small = thumbnail(frame.rgb)
            if last is not None and not differ(small, last):
                self.skipped += 1
                continue
            last = small
            if frame.index not in self.done:
                yield frame

    def count(self) -> int | None:
        """At most so many frames."""
        return self.source.count()


def thumbnail(rgb: np.ndarray) -> np.ndarray:
    """(h, w) int16 grey of (H, W, 3) uint8, the longer side `THUMBNAIL`."""
    scale = THUMBNAIL / max(rgb.shape[:2])
    size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.int16)


def differ(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two thumbnails are of different frames."""
    return a.shape != b.shape or float((np.abs(a - b) > CHANGED).mean()) > PART


def record_teacher(
    model: Model,
    sources: Sequence[Source],
    folder: Path,
    *,
    of: dict[str, Any],
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Write `RECORD` and the frames of videos.

    Args:
        model: the teacher.
        sources: images and videos.
        folder: of these files.
        of: what else they are made of; kept in the header.
        resume: go on with a record that is there; nothing is done if `TRAIN` is there, too.
        say: called with lines about progress, and about what cannot be read.

    Raises:
        VitruvianError: the record is of another teacher or other data.
    """
    file = folder / RECORD
    first = {**header(model, skeleton_of(model)), **of}
    done: dict[str, set[int]] = {}
    with alone_in(folder), hold_signals():
        if resume and file.is_file():
            record = Record(file)
            before, now = made_of(record.header), made_of(json.loads(dump(first)))
            if changed := [name for name in now if before.get(name) != now[name]]:
                raise VitruvianError(
                    f"'{shown(folder, 80)}' is of another {changed[0]}: "
                    f"{shown(before.get(changed[0]), 60)}, not {shown(now[changed[0]], 60)}; "
                    "resume it with its own, or give another --out"
                )
            record.append().close()
            if (folder / TRAIN).is_file():
                return
            for line, *_ in record.index():
                done.setdefault(line["source"], set()).add(line["index"])
        else:
            write_whole(file, dump(first))
        with Record(file).append() as out:
            progress = _Progress(model.name, say)
            for number, source in enumerate(sources, 1):
                _record_source(model, source, number, folder, done, out, progress)


def made_of(header: dict[str, Any]) -> dict[str, Any]:
    """What decides on the poses of a record: its header without versions and machines."""
    options = header.get("options", {})
    said = {name: value for name, value in header.items() if name not in ELSEWHERE}
    said |= {name: value for name, value in options.items() if name not in ELSEWHERE}
    return said


class _Progress:
    """A line about progress from time to time."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.name, self.say = name, say
        self.began = self.told = time.monotonic()
        self.frames = self.people = 0

    def __call__(self, people: int) -> None:
        self.frames, self.people = self.frames + 1, self.people + people
        now = time.monotonic()
        if now - self.told > REPORT:
            self.told = now
            speed = self.frames / (now - self.began)
            self.say(
                f"{self.name}: {amount(self.frames, 'image')}, {self.people} people, "
                f"{speed:.1f} images/s"
            )


def _record_source(
    model: Model,
    source: Source,
    number: int,
    folder: Path,
    done: dict[str, set[int]],
    out: IO[str],
    progress: _Progress,
) -> None:
    """The lines of a source, without those of frames that are done."""
    which: Any = source
    if source.moving:
        which = DistinctFrames(source, done.get(getattr(source, "address", ""), ()))
    elif isinstance(source, Pictures):
        which = replace(source, paths=tuple(p for p in source.paths if str(p) not in done))
    stream = Stream(model, Wanted(track=False), moving=False)
    for frame, poses in stream.run(which, lambda error: progress.say(str(error))):
        file = None if source.moving else frame.source
        if len(poses) and not (file and Path(file).is_file()):
            stem = re.sub(r"\W+", "_", Path(frame.source).stem)[:60]
            file = f"frames/{number}_{stem}_{frame.index:06}.jpg"
            write_whole(folder / file, encode_picture(frame.rgb, ".jpg", quality=QUALITY))
        elif file:
            file = str(Path(file).absolute())
        out.write(dump({**frame_to_dict(frame, poses), "file": file, "moving": source.moving}))
        out.flush()
        progress(len(poses))
        with hold_signals(False):
            pass  # Ctrl-C is raised here, between two lines
    if isinstance(which, DistinctFrames) and which.skipped:
        progress.say(f"{which.name}: {amount(which.skipped, 'near-duplicate frame')} skipped")


def pseudo_labels(folder: Path, skeleton: Skeleton, sure: float, *, validate: bool) -> PseudoLabels:
    """The sure people of a record, as labels.

    Args:
        folder: of `record_teacher`.
        skeleton: of the labels; keypoints are found by name.
        sure: 0..1, score from which a keypoint is kept.
        validate: whether images are kept apart for validation.

    Raises:
        VitruvianError: nobody was found, or nothing is sure.
    """
    record = Record(folder / RECORD)
    assert record.skeleton is not None
    mapping = Mapping.of(record.skeleton, skeleton)
    least = min(LEAST, len(skeleton) - len(mapping.missing))
    pictures: list[LabelledPicture] = []
    film: dict[str, list[int | str]] = {}  # video -> its numbers
    empty = people = kept = thrown = bare = frames = 0
    for line, number, _ in record.index():
        frame, poses = record.frame(line, number)
        frames += 1
        empty += not len(poses)
        if line["file"] is None:
            continue
        poses = mapping(poses)
        own = labelled_picture(
            len(pictures) + 1,
            folder / line["file"],
            frame.size,
            poses.xy,
            poses.score,
            poses.box,
            sure,
            least,
        )
        if line["moving"]:
            film.setdefault(frame.source, []).append(own.number)
        pictures.append(own)
        known = np.isfinite(poses.xy).all(axis=-1)
        people += len(poses)
        kept += int(own.labelled.sum())
        thrown += int((known & ~own.labelled).sum())
        bare += int((~own.labelled.any(axis=1)).sum())
    name = shown(record.header.get("model"), 60)
    if not people:
        raise VitruvianError(
            f"{name} found nobody in {amount(frames, 'image')}; give images with people, another "
            f"--teacher, or a lower confidence: --teacher {name},conf=0.1"
        )
    if not kept:
        raise VitruvianError(
            f"{name} found {amount(people, 'person', 'people')}, but no keypoint with a score from "
            f"{sure:g}; lower --sure"
        )
    found = [
        f"{name} found {amount(people, 'person', 'people')} in {frames - empty} of "
        f"{amount(frames, 'image')}; {empty} without people",
        f"{kept} keypoints of {kept + thrown} kept, {thrown} thrown away: their score is below "
        f"{sure:g}, or they are outside of the image",
    ]
    if bare:
        found.append(
            f"{amount(bare, 'person', 'people')} with fewer than {least} sure keypoints: "
            "bounding boxes only"
        )
    if mapping.missing:
        found.append(f"{name} does not have {', '.join(mapping.missing)}: not learned from it")
    apart = _kept_apart(pictures, film) if validate else set[int | str]()
    against = f"the keypoints are what {name} found, not labels"
    if validate:
        found.append(
            f"validation is on {amount(len(apart), 'image')} kept apart, against what {name} "
            "found there; give labelled people to --val"
        )
    train = [picture for picture in pictures if picture.number not in apart]
    val = [picture for picture in pictures if picture.number in apart]
    return PseudoLabels(
        GroundTruth(name, skeleton, train, "", notes=found),
        GroundTruth(name, skeleton, val, "", notes=[against]),
    )


def labelled_picture(
    number: int,
    path: Path,
    size: tuple[int, int],
    xy: np.ndarray,
    score: np.ndarray,
    box: np.ndarray,
    sure: float,
    least: int,
) -> LabelledPicture:
    """N people as labels, keypoints weighted by their score.

    Args:
        number: of the picture.
        path: of the picture.
        size: width and height, pixels.
        xy: (N, K, 2) pixels, NaN where not found.
        score: (N, K) 0..1.
        box: (N, 4) x0 y0 x1 y1, pixels.
        sure: score from which a keypoint is kept.
        least: number of them from which a person is more than a bounding box.
    """
    n = len(box)
    with np.errstate(invalid="ignore"):
        inside = ((xy >= 0) & (xy <= size)).all(axis=-1)  # not of NaN
    labelled = inside & (score >= sure)
    labelled &= labelled.sum(axis=1, keepdims=True) >= least
    corners = np.clip(box.astype(np.float64), 0, np.tile(size, 2))
    whole = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    return LabelledPicture(
        number,
        path,
        np.where(labelled[..., None], xy, 0).astype(np.float64),
        labelled,
        whole,
        FILLED * whole[:, 2] * whole[:, 3],
        np.zeros(n, bool),
        np.full(n, np.nan),
        size=size,
        weight=np.clip(score, 0, 1).astype(np.float32),
    )


def _kept_apart(
    pictures: Sequence[LabelledPicture], film: dict[str, list[int | str]]
) -> set[int | str]:
    """Numbers of the pictures for validation: some by name, and the end of each video."""
    moving = {number for numbers in film.values() for number in numbers}
    apart: set[int | str] = {
        picture.number for picture in pictures if picture.number not in moving and picture.apart
    }
    for numbers in film.values():
        apart |= set(numbers[len(numbers) - len(numbers) // ONE_OF :])
    people = [picture.number for picture in pictures if picture.counts.any()]
    if len(people) < 2:
        raise VitruvianError(
            "only one image has sure people; give others to validate with to --val"
        )
    if not apart & set(people):
        apart.add(people[-1])
    if apart >= set(people):
        apart.discard(people[0])
    return apart
