"""Hands and faces on other bodies than BlazePose's, against those of holistic.

    python benchmarks/hands_of_bodies.py [MODEL ...] [--pictures N] [--frames N] [--out FOLDER]

People of ../shared's pictures are matched by their boxes (IoU 0.5); so are those of its videos,
frame by frame, where both follow. Of the hands that holistic finds: the share that is found here as
well; the share that is the same hand (its landmarks are within half a palm in the mean); and the
distance of their landmarks, median and 90th percentile, in palms: from the root to between the
bases of index and pinky. Extra: hands that holistic does not find, of as many as it finds. Faces:
the same, in distances of the outer corners of the eyes. With --out, a picture of each frame,
holistic on the left.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

import vitruvian as vit
from vitruvian.body.poses import Poses
from vitruvian.geometry.boxes import iou

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
PICTURES = ("coco/images", "pockets/images", "coco_pictures/images")
VIDEOS = ("sports2d_demo.mp4", "intel_one_by_one_person.mp4")
MODELS = (
    str(DATA.parent / "weights" / "yolov8n-pose.pt"),
    "vitruvian-2d",
    "vitruvian-3d",
    "vitruvian-3d,skeleton=coco17",
)
SAME_PERSON = 0.5  # IoU of boxes
SAME_HAND = 0.5  # palms, mean distance of the landmarks
LEAST = 8  # pixels, of a palm: smaller hands are no hands to measure
PARTS = ("left_hand", "right_hand", "face")


def lengths(xy: np.ndarray) -> np.ndarray:
    """(N,) pixels: palms of (N, 21, 2) landmarks, distances of the eyes of (N, 468, 2)."""
    if xy.shape[1] > 21:
        return np.linalg.norm(xy[:, 33] - xy[:, 263], axis=-1)
    return np.linalg.norm((2 * xy[:, 5] + xy[:, 17]) / 3 - xy[:, 0], axis=-1)


class Tally:
    """Hands, or faces, of many people."""

    def __init__(self) -> None:
        self.theirs = self.found = self.same = self.extra = 0
        self.apart: list[float] = []

    def add(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        """(P, 2) landmarks of one, NaN where not found."""
        here, there = (bool(np.isfinite(xy).all()) for xy in (ours, theirs))
        if there and lengths(theirs[None])[0] < LEAST:
            return
        self.theirs += there
        self.extra += here and not there
        if here and there:
            off = np.linalg.norm(ours - theirs, axis=-1).mean() / lengths(theirs[None])[0]
            self.found += 1
            self.same += off < SAME_HAND
            self.apart.append(float(off))

    def __str__(self) -> str:
        n = max(self.theirs, 1)
        median, most = np.percentile(self.apart or [np.nan], [50, 90])
        return (
            f"{self.theirs} found {self.found / n:.1%}, same {self.same / n:.1%}, apart "
            f"{median:.2f} and {most:.2f}, extra {self.extra / n:.1%}"
        )


def compare(ours: Poses, theirs: Poses, tallies: dict[str, Tally]) -> list[tuple[int, int]]:
    """Add the people that both see; their rows."""
    if not len(ours) or not len(theirs):
        return []
    shared = iou(theirs.box, ours.box)
    pairs = [
        (int(row.argmax()), i)
        for i, row in enumerate(shared)
        if row.max() >= SAME_PERSON and shared[:, row.argmax()].argmax() == i
    ]
    for mine, other in pairs:
        for part in PARTS:
            tally = tallies["face" if part == "face" else "hands"]
            tally.add(ours.part(part).xy[mine], theirs.part(part).xy[other])
    return pairs


def pictures(most: int) -> Iterator[vit.Frame]:
    """Of ../shared."""
    for folder in PICTURES:
        for path in islice(sorted((DATA / folder).glob("*.jpg")), most):
            yield vit.Frame.read(path)


def sheet(frame: vit.Frame, ours: Poses, theirs: Poses, out: Path) -> None:
    """The frame with both, side by side."""
    both = [vit.draw(frame, poses) for poses in (theirs, ours)]
    cv2.imwrite(str(out), np.hstack(both)[..., ::-1])


def main() -> None:
    """Read the words and print a line for each model and kind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--pictures", type=int, default=150, help="of each folder, at most")
    parser.add_argument("--frames", type=int, default=230, help="of each video, at most")
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    many = {"num_poses": 30, "find": "vitruvian-find"}
    whole = vit.load("holistic", **many)
    frames = list(pictures(words.pictures))
    theirs = [whole([frame])[0] for frame in frames]
    clips = [
        [
            *islice(
                vit.run(str(DATA / "videos" / name), "holistic", num_poses=8, confirm=False),
                words.frames,
            )
        ]
        if words.frames
        else []
        for name in VIDEOS
    ]
    for name in words.models:
        model = vit.load(name, hands=True, face=True)
        tallies = {"hands": Tally(), "face": Tally()}
        for frame, known in zip(frames, theirs, strict=True):
            (poses,) = model([frame])
            pairs = compare(poses, known, tallies)
            hands = known.xy[:, 33:75][[other for _, other in pairs]]
            if words.out and len(hands) and np.isfinite(hands).any():
                words.out.mkdir(parents=True, exist_ok=True)
                picture = words.out / f"{Path(name).stem}-{Path(str(frame.source)).stem}.jpg"
                sheet(frame, poses, known, picture)
        for kind, tally in tallies.items():
            print(f"{Path(name).name}, pictures, {kind}: {tally}", flush=True)
        tallies = {"hands": Tally(), "face": Tally()}
        for clip, video in zip(clips, VIDEOS, strict=True):
            if clip:
                mine = vit.run(
                    str(DATA / "videos" / video), name, hands=True, face=True, confirm=False
                )
                for (_, poses), (_, known) in zip(mine, clip, strict=False):
                    compare(poses, known, tallies)
        for kind, tally in tallies.items() if words.frames else ():
            print(f"{Path(name).name}, videos, {kind}: {tally}", flush=True)


if __name__ == "__main__":
    main()
