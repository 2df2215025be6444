"""3D training data: synthetic people with exact 3D ground truth, real people with 2D labels.

Both are cropped as in inference: by a virtual camera turned to the person.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BLAZEPOSE33, COCO17, HALPE26
from vitruvian.documents import read_bytes
from vitruvian.errors import VitruvianError, shown
from vitruvian.evaluate import truth as truths
from vitruvian.evaluate.fit import fit_labels_to_pictures
from vitruvian.evaluate.labels import GroundTruth
from vitruvian.geometry.camera import Camera
from vitruvian.geometry.crop import Crop
from vitruvian.picture_files.encode import encode_picture
from vitruvian.training.data import people, teacher
from vitruvian.training.data.augment import jitter_colours, random_erase

# For images of unknown cameras. Source: specs/metrabs.md 4.
UNKNOWN_DEG = 8.0
FILL = 0.9  # of the crop's side: longer side of the box, at inference
SURE = 0.5  # minimum visibility for the teacher's landmarks to be used
# BlazePose's landmarks by Halpe's names of the same joints.
_ALIKE = {
    **{name: BLAZEPOSE33[name] for name in COCO17.keypoints},
    "left_heel": BLAZEPOSE33["left_heel"],
    "right_heel": BLAZEPOSE33["right_heel"],
    "left_big_toe": BLAZEPOSE33["left_foot_index"],
    "right_big_toe": BLAZEPOSE33["right_foot_index"],
}
K = len(HALPE26)


@dataclass(frozen=True, eq=False)
class Person3D:
    """One person and their labels; unknown values are NaN."""

    jpeg: bytes  # encoded image
    box: np.ndarray  # (4,) x0 y0 x1 y1, pixels
    xy: np.ndarray  # (26, 2) float32 pixels
    xyz: np.ndarray  # (26, 3) float32 metres: from the camera, or the teacher's
    camera: Camera | None  # None: unknown, and xyz is the teacher's
    area: float = np.nan  # pixels, COCO's area

    @property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8; decoded on access, since all images together exceed memory."""
        decoded = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
        if decoded is None:
            raise VitruvianError(
                "an image of the people of the training data is damaged; generate it again"
            )
        return decoded


@dataclass(frozen=True)
class Augment3D:
    """Augmentation parameters, as in specs/metrabs.md 4 except `fill`."""

    fill: tuple[float, float] = (0.62, 1.08)  # of the crop's side: longer side of the box
    shift: float = 0.1  # maximum, of the crop's side
    turn_deg: float = 25.0  # maximum rotation
    gamma: tuple[float, float] = (0.6, 1.15)
    erase: float = 0.2  # probability of a random rectangle
    part: float = 0.12  # probability of cropping to the upper or lower part of the person


def read_synthetic(folder: Path, split: str) -> list[Person3D]:
    """Read the synthetic people of a folder, see `vitruvian.training.synth.synth`.

    Raises:
        VitruvianError: no such folder, or no person of that split in it.
    """
    try:
        lines = (folder / "people.jsonl").read_text(encoding="utf-8").splitlines()
        found = []
        for line in lines:
            row = json.loads(line)
            if row["split"] != split:
                continue
            x, y, w, h = row["box"]
            found.append(
                Person3D(
                    (folder / "crops" / row["file"]).read_bytes(),
                    np.array([x, y, x + w, y + h], np.float32),
                    np.array(row["keypoints"], np.float32)[:, :2],
                    np.array(row["xyz"], np.float32),
                    Camera(np.array(row["camera"]), tuple(row["size"])),
                )
            )
    except (OSError, ValueError, KeyError) as error:
        raise VitruvianError(f"cannot read people of '{folder}': {error}") from None
    if not found:
        raise VitruvianError(f"no person of the split '{split}' in '{folder}'")
    return found


def people_in_metres(truth: GroundTruth) -> list[Person3D]:
    """The people of data in metres, see `vitruvian.evaluate.truth`; keypoints by name."""
    found = []
    for picture in truth.pictures:
        jpeg = read_bytes(picture.path) if picture.counts.any() else b""
        for row in np.flatnonzero(picture.counts):
            assert picture.xyz is not None
            x, y, w, h = picture.box[row]
            box = np.array([x, y, x + w, y + h], np.float32)
            points = picture.xy[row], picture.xyz[row]
            xy, xyz = (by_halpe_names(each, truth.skeleton) for each in points)
            found.append(Person3D(jpeg, box, xy, xyz, picture.camera, float(picture.area[row])))
    return found


def people_in_pixels(truth: GroundTruth, cache_gb: float) -> list[Person3D]:
    """The people of data with 2D labels, with the part of the image around them.

    Args:
        truth: the data, in pixels of the pictures on disk.
        cache_gb: memory for pictures while they are read, GB.
    """
    found = []
    for person in people.PeopleOfPictures(truth, cache_gb):
        xy = np.where(person.seen[:, None], person.xy, np.nan)
        jpeg = encode_picture(person.rgb, ".jpg", quality=95)
        unknown = np.full((K, 3), np.nan, np.float32)
        points = by_halpe_names(xy, truth.skeleton)
        found.append(Person3D(jpeg, person.box, points, unknown, None, person.area))
    return found


def flat_labels(data: Path) -> GroundTruth:
    """2D labels to learn from, of any format of `vitruvian.evaluate.truth`.

    Raises:
        VitruvianError: they cannot be read, are in metres, or have none of the network's keypoints.
    """
    truth = truths.read(data, split="train")
    truths.check_pictures_exist(truth)
    if truth.solid or not set(truth.skeleton.keypoints) & set(HALPE26.keypoints):
        raise VitruvianError(
            f"real_data is '{shown(data, 80)}', want 2D labels with some of the keypoints of "
            f"{HALPE26.name}; give people in metres to --data"
        )
    return fit_labels_to_pictures(truth)


def by_halpe_names(points: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(K', D) points of a skeleton -> (26, D) float32 of Halpe's names; NaN where unknown.

    The middle of the hips, if it has no label, is that of both.
    """
    found = np.full((K, points.shape[-1]), np.nan, np.float32)
    for i, name in enumerate(skeleton.keypoints):
        if name in HALPE26.places:
            found[HALPE26[name]] = np.where(np.isfinite(points[i]).all(), points[i], np.nan)
    middle = found[[HALPE26["left_hip"], HALPE26["right_hip"]]].mean(axis=0)
    root = HALPE26["mid_hip"]
    found[root] = np.where(np.isfinite(found[root]), found[root], middle)
    return found


def rotation_of(person: Person3D, side: int) -> np.ndarray:
    """(3, 3) from the axes of the image's camera to those of the crop, without augmentation."""
    assert person.camera is not None
    return person.camera.look_at(person.box, side, roll=0.0, scale=FILL, mirror=False)[0]


def read_with_teacher(folder: Path, split: str, taught: Path | None) -> list[Person3D]:
    """Read COCO people, see `vitruvian.training.data.people`, with pseudo-labels of the teacher.

    Args:
        folder: images and labels.
        split: "train" or "val".
        taught: file of `vitruvian.training.data.teacher`; None: no 3D.
    """
    rows = people.read(folder, split)
    said = None if taught is None else teacher.read(taught, len(rows))
    found = []
    coco = [HALPE26[name] for name in COCO17.keypoints]
    for i, row in enumerate(rows):
        xy, xyz = np.full((K, 2), np.nan, np.float32), np.full((K, 3), np.nan, np.float32)
        xy[coco] = np.where(row.seen[:, None], row.xy, np.nan)
        hips = [HALPE26["left_hip"], HALPE26["right_hip"]]
        xy[HALPE26["mid_hip"]] = xy[hips].mean(axis=0)
        if said is not None and said.agrees[i]:
            for name, number in _ALIKE.items():
                if said.score[i, number] > SURE:
                    xyz[HALPE26[name]] = said.xyz[i, number]
            xyz[HALPE26["mid_hip"]] = xyz[hips].mean(axis=0)
        jpeg = (folder / "crops" / row.file).read_bytes()
        found.append(Person3D(jpeg, row.box, xy, xyz, None, row.area))
    return found


def training_sample_3d(
    person: Person3D, side: int, augment: Augment3D | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Crop]:
    """Crop one person to the network's input.

    Args:
        person: the person.
        side: of the crop, pixels.
        augment: augmentation; None: the box unchanged, filling `FILL` of the crop.
        rng: random number generator.

    Returns:
        (side, side, 3) uint8; (3, 3) intrinsics of the crop; (26, 2) pixels of the crop; (26, 3)
        metres in its axes; and the crop.
    """
    box, fill, roll, mirror = person.box, FILL, 0.0, False
    if augment is not None:
        fill = rng.uniform(*augment.fill)
        roll = np.radians(rng.uniform(-augment.turn_deg, augment.turn_deg))
        mirror = bool(rng.random() < 0.5)
        extent = (box[2:] - box[:2]).max()
        if rng.random() < augment.part:
            cut = rng.uniform(0.35, 0.8) * (box[3] - box[1])
            box = box.copy()
            if rng.random() < 0.7:
                box[3] = box[1] + cut
            else:
                box[1] = box[3] - cut
            extent = (box[2:] - box[:2]).max()
        angle, far = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random()) * augment.shift
        shift = far * extent / fill * np.array([np.cos(angle), np.sin(angle)], np.float32)
        box = box + np.tile(shift, 2)
    rgb = person.rgb
    camera = person.camera or Camera.view((rgb.shape[1], rgb.shape[0]), UNKNOWN_DEG)
    rotation, turned = camera.look_at(box, side, roll=roll, scale=fill, mirror=mirror)
    crop = Crop.turned_camera(camera, rotation, turned)
    image = crop.cut(rgb, antialias=1)
    xy = crop.from_frame(person.xy)
    if person.camera is None:  # as the teacher saw them, along the line of sight: only rolled
        cos, sin = np.cos(roll), np.sin(roll)
        rotation = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        rotation = np.diag([-1.0 if mirror else 1.0, 1, 1]) @ rotation
    xyz = (person.xyz @ rotation.T).astype(np.float32)
    if mirror:
        xy, xyz = xy[HALPE26.mirror], xyz[HALPE26.mirror]
    if augment is not None:
        gamma = rng.uniform(*augment.gamma)
        table = (np.arange(256) / 255) ** gamma * 255
        image = jitter_colours(cv2.LUT(image, table.astype(np.uint8)), rng)
        if rng.random() < augment.erase:
            image = random_erase(image, rng)
    return image, turned.matrix.astype(np.float32), xy, xyz, crop
