"""BlazePose as a teacher: 3D pseudo-labels for people with 2D labels, and real postures.

`python -m vitruvian.training.data.teacher --coco FOLDER --out taught.npz`.

Source: the landmark network "heavy" of MediaPipe 0.10.21 (Apache-2.0), as `vitruvian.models` runs
it.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vitruvian.body.skeletons import BLAZEPOSE33, COCO17
from vitruvian.errors import VitruvianError, amount
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models import load
from vitruvian.training.data import people as folders
from vitruvian.training.data.people import Person2D

COCO = [BLAZEPOSE33[name] for name in COCO17.keypoints]  # indices of COCO's keypoints among the 33
LOOKS = 3  # crops per person: the bounding box, then twice from the landmarks
NARROW = 28  # minimum width of a background strip, pixels
AGREES = 0.06  # of the box diagonal: maximum mean distance from the labels


@dataclass(frozen=True, eq=False)
class TeacherPoses:
    """Poses of N people as estimated by the teacher."""

    xyz: np.ndarray  # (N, 33, 3) float32 metres from the hips; x right, y down, z away
    score: np.ndarray  # (N, 33) 0..1 visibility
    agrees: np.ndarray  # (N,) bool, whether its 2D matches the labels


def run_teacher(people: Sequence[Person2D], model: str = "blazepose-heavy") -> TeacherPoses:
    """Run the teacher on people, each in their own image.

    Args:
        people: with 2D labels, to check that the right person was found.
        model: name in the catalogue.
    """
    network = load.load(model, output_segmentation_masks=False)
    rows = []
    for person in people:
        frame = Frame(person.rgb)
        look = Regions.boxes(person.box[None], np.ones(1, np.float32)).squares()
        poses = None
        for _ in range(LOOKS):
            (poses,) = network([frame], [look])
            if not len(poses) or poses.look is None:
                break
            look = poses.look
        if poses is None or not len(poses) or poses.xyz is None:
            rows.append((np.full((33, 3), np.nan), np.zeros(33), False))
            continue
        off = np.linalg.norm(poses.xy[0, COCO] - person.xy, axis=-1)[person.seen]
        near = off.mean() < AGREES * np.linalg.norm(person.box[2:] - person.box[:2])
        rows.append((poses.xyz[0], poses.score[0], bool(near)))
    xyz, score, agrees = zip(*rows, strict=True)
    parts = np.array(xyz, np.float32), np.array(score, np.float32), np.array(agrees, bool)
    return TeacherPoses(*parts)


def read(file: Path, people: int | None = None) -> TeacherPoses:
    """Read a file of `write` and check the number of people.

    Raises:
        VitruvianError: it cannot be read, or is of another number of people.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            taught = TeacherPoses(stored["xyz"], stored["score"], stored["agrees"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise VitruvianError(f"cannot read '{file}': {error}") from None
    if people is not None and len(taught.xyz) != people:
        raise VitruvianError(
            f"'{file}' has {amount(len(taught.xyz), 'person', 'people')}, want {people}"
        )
    return taught


def write(taught: TeacherPoses, file: Path) -> None:
    """Write to .npz."""
    np.savez_compressed(file, xyz=taught.xyz, score=taught.score, agrees=taught.agrees)


def write_backgrounds(folder: Path, out: Path) -> int:
    """Write the image regions beside the people of a folder, as backgrounds for synthetic people.

    A narrow strip is mirrored repeatedly until about square. Strips narrower than 28 pixels are
    left out.

    Args:
        folder: images and labels, see `vitruvian.training.data.people`.
        out: output folder.

    Returns:
        Number of backgrounds.
    """
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for person in folders.read(folder, "train"):
        x0, y0, x1, y1 = person.box
        rgb = person.rgb
        left, top = rgb[:, : max(int(x0 - 2), 0)], rgb[: max(int(y0 - 2), 0)]
        right, below = rgb[:, int(x1 + 2) :], rgb[int(y1 + 2) :]
        strip = max((left, right, top, below), key=lambda part: min(part.shape[:2]))
        if min(strip.shape[:2]) < NARROW:
            continue
        while strip.shape[1] * 2 <= strip.shape[0] * 1.2:
            strip = np.hstack([strip, strip[:, ::-1]])
        while strip.shape[0] * 2 <= strip.shape[1] * 1.2:
            strip = np.vstack([strip, strip[::-1]])
        cv2.imwrite(str(out / person.file), cv2.cvtColor(strip, cv2.COLOR_RGB2BGR))
        count += 1
    return count


def main() -> None:
    """Command-line entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--coco", type=Path, required=True, help="see `vitruvian.training.data.people`"
    )
    parser.add_argument("--out", type=Path, required=True, help=".npz")
    parser.add_argument("--backgrounds", type=Path, help="a folder for files other than people")
    asked = parser.parse_args()
    taught = run_teacher(folders.read(asked.coco, "train"))
    write(taught, asked.out)
    if asked.backgrounds:
        write_backgrounds(asked.coco, asked.backgrounds)
    print(f"{asked.out}: {taught.agrees.mean():.0%} of {len(taught.agrees)} people agree")


if __name__ == "__main__":
    main()
