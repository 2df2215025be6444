"""MeTRAbs: joints in pixels and in metres from the camera, of each person in a crop.

A separate person detector gives the bounding boxes. For each person, and each view of test-time
augmentation, a virtual camera is rotated to the centre of the box; its image is the crop. The 2D
heat maps give the joints in pixels of the crop, the 3D heat maps give them in metres in a cube of
2.2 metres, relative to each other; together they determine the distance of the person
(`decode/absolute.py`). Rotated back and projected with the frame's own camera, this gives pixels,
also of joints outside the image.

Source: our own, from the behaviour of MeTRAbs at 8b2b116 (specs/metrabs.md, 1, 2 and 5). Sarandi et
al. 2021, "MeTRAbs: Metric-Scale Truncation-Robust Heatmaps for Absolute 3D Human Pose Estimation".
Deviations: the depth of one person does not depend on the others (`batch_rms`), and an empty frame
is a valid result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.similar import each_once
from vitruvian.body.skeleton import Skeleton
from vitruvian.decode import absolute, heatmap
from vitruvian.decode.volume import Volume
from vitruvian.errors import VitruvianError, unknown
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.geometry.crop import Crop
from vitruvian.geometry.regions import Regions
from vitruvian.models.model import Family, Find, Finder
from vitruvian.models.options import Count, EitherRuntime, PoseOptions, Share, Wants
from vitruvian.models.ready import (
    converted,
    is_checkpoint,
    is_network_file,
    pull_files,
    short_name,
)
from vitruvian.models.top_down import TopDown
from vitruvian.models.zoo import EVERYBODY, entry
from vitruvian.network.open import Network, open_network
from vitruvian.weights.metadata import unpack_matrix

USUAL = "smpl_24"  # the default skeleton, if the file has it
OUT = 0.4  # factor on the score of a joint outside the crop or the frame
SEEN = 0.5  # joint score threshold for predicting the person's next region
MARGIN = 48  # pixels around a crop that sampling may read, where a frame is halved
# Duplicates, see `each_once`: on 128 images of ../shared/data/coco_pictures, of vitruvian-3d's 183
# wrong poses these leave out 41, and three of the 174 right ones.
APART, ONE_HEAD = 0.9, 0.5
STEP = 16  # pixels: parts of a frame begin at a multiple, so that halving meets the same pixels


Name = Annotated[str, Wants(lambda v: isinstance(v, str), "a skeleton name of the file")]


@dataclass(frozen=True, kw_only=True)
class Options(EitherRuntime):
    """Options of MeTRAbs models."""

    num_poses: Count = 100  # maximum number of people per frame, by score
    conf: Share | None = None  # 0..1, detection threshold; None: the detector's default
    augment: Count = 1  # test-time augmentation: views per person; 5 is the reference's default
    average: bool = True  # over the views; False: each view is a pose of its own, without an id
    skeleton: Name | None = None  # of the file; None: smpl_24, or the first one
    # Samples along each side of a crop's pixel; None: as in training, 1 for published networks
    antialias: Count | None = None
    mix: Share | None = None  # 0..1, weight of 3D for joints in view; None: from the file
    batch_rms: bool = False  # as the reference: depth depends on the other people
    pose_nms: bool = True  # pose NMS: drop duplicates with a lower score
    suppress_implausible: bool = False  # drop poses that are not `Poses.plausible`
    batch: Count = 64  # batch size: maximum number of crops per network call

    KIND: ClassVar[str] = "MeTRAbs option"
    SYNONYMS: ClassVar[Mapping[str, str]] = {**PoseOptions.SYNONYMS, "num_aug": "augment"}

    @property
    def each_once(self) -> bool:
        """Whether each person is returned once, so that people can be tracked."""
        return self.average


@dataclass(frozen=True)
class TestTimeView:
    """One view of test-time augmentation."""

    roll: float  # radians, roll of the camera, clockwise
    scale: float  # zoom: 1.1 shows the person 10% larger
    mirror: bool
    gamma: float  # gamma below 1 is brighter


def views_at_test_time(count: int) -> list[TestTimeView]:
    """The reference's views of a person, in its order. Source: specs/metrabs.md, 5.4."""
    if count == 1:
        return [TestTimeView(0.0, 1.0, False, 0.8)]
    half = count // 2
    scale = *np.linspace(0.8, 1, half, endpoint=False), *np.linspace(1, 1.1, count - half)
    mirror = (np.arange(count) - half) % 2 == 1
    roll, gamma = np.radians(np.linspace(-25, 25, count)), np.linspace(0.6, 1, count)
    rows = zip(roll.tolist(), scale, mirror.tolist(), gamma.tolist(), strict=True)
    return [TestTimeView(*row) for row in rows]


@dataclass(frozen=True, eq=False)
class HeadSpec:
    """How to decode a network, from the metadata of its file."""

    volume: Volume
    mirror: np.ndarray  # (P,) index of each point on the other side of the body
    skeleton: Skeleton
    joints: np.ndarray  # (P, K) float32: points @ joints are the keypoints
    mix: float = absolute.MIX
    weak: bool = False  # whether people are placed by weak perspective
    antialias: int = 1  # of the training crops
    fill: float = 1.0  # longer side of a person's box, relative to the crop's side

    @classmethod
    def read(cls, about: Mapping[str, str], skeleton: str | None = None) -> HeadSpec:
        """Read the metadata written by `exports/metrabs.py`.

        Args:
            about: metadata of the file.
            skeleton: one of its skeletons; None: see `USUAL`.

        Raises:
            ValueError, TypeError, LookupError: the metadata is damaged or foreign.
            VitruvianError: it has no such skeleton.
        """
        points, tables = len(json.loads(about["points"])), json.loads(about["skeletons"])
        name = skeleton or (USUAL if USUAL in tables else next(iter(tables)))
        if name not in tables:
            raise unknown("skeleton in the file", name, tables)
        transform = np.eye(points, dtype=np.float32)
        if "transform" in about:
            transform = unpack_matrix(about["transform"])
        mirror = np.array(json.loads(about["mirror"]), np.int64)
        if not len(transform) == len(mirror) == points or not set(mirror) <= set(range(points)):
            raise ValueError("points")
        table = Skeleton.from_json(tables[name]["table"])
        joints = transform[:, tables[name]["indices"]]
        if joints.shape[1] != len(table):
            raise ValueError("one index per keypoint")
        return cls(
            Volume(**json.loads(about["volume"])),
            mirror,
            table,
            joints,
            json.loads(about["mix"]) or 0.0,
            json.loads(about["weak_perspective"]),
            int(about.get("antialias", "1")),
            float(about.get("fill", "1")),
        )


def load(
    file: Path,
    find: Find,
    options: Options = Options(),
    *,
    name: str = "",
    weights: Mapping[str, str] | None = None,
) -> TopDown:
    """Load MeTRAbs from a file written by `vitruvian export`.

    Args:
        file: .onnx, or for OpenVINO .xml. Input: (N, S, S, 3) float32 RGB, 0..1. Outputs: logits2d
            (N, P, h, w) and logits3d (N, P, D, h, w).
        find: the person detector, which gives bounding boxes.
        options: see `Options`.
        name: of the model in the catalogue, for records.
        weights: name and SHA-256 of the finder's files, for records.

    Raises:
        VitruvianError: the file cannot be opened, is not a MeTRAbs network, or lacks the skeleton.
    """
    network = open_network(
        file,
        options.runtime,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        streams=options.streams,
    )
    try:
        spec = HeadSpec.read(network.metadata, options.skeleton)
    except (ValueError, TypeError, LookupError):
        raise VitruvianError(f"'{file}' has no metadata of this package; export it again") from None
    side = spec.volume.side
    if network.input_shape != (None, side, side, 3):
        raise VitruvianError(
            f"'{file}' has an input of {network.input_shape}, want (N, {side}, {side}, 3); export "
            "it again"
        )
    head = Bodies(network, options, spec)
    return TopDown(
        find,
        head,
        options.num_poses,
        batch=options.batch,
        name=name,
        weights={**(weights or {}), file.name: network.metadata.get("sha256", "")},
        options={**asdict(options), "skeleton": spec.skeleton.name, "antialias": head.antialias},
    )


def _by_name(
    name: str, options: Options, skeleton: str | Path | Skeleton | None, finder: Finder
) -> TopDown:
    """Load a catalogue model or a file; the public function is `vitruvian.models.load.load`."""
    path = Path(name)
    if not is_network_file(name):
        _, *files = entry(name).files
        (path,) = pull_files(entry(name), files)
    elif is_checkpoint(path):
        path = converted(path)
    return load(path, finder.find, options, name=short_name(name), weights=finder.weights)


@dataclass(frozen=True, eq=False)
class PersonView:
    """One view of one person."""

    rotation: np.ndarray  # (3, 3) from the frame's camera to the rotated camera
    camera: Camera  # the rotated camera; its image is the crop
    crop: Crop


@dataclass(frozen=True, eq=False)
class CropJoints:
    """Decoded network output of M crops with P points each."""

    xy: np.ndarray  # (M, P, 2) pixels of the crop, from the 2D maps
    xyz: np.ndarray  # (M, P, 3) metres, relative to the rotated camera
    inside: np.ndarray  # (M, P) bool, whether the point is inside the crop, so that `xy` is valid
    sure: np.ndarray  # (M, P) 0..1, see `Bodies.decode`


class Bodies:
    """Runs the network on crops of each person."""

    def __init__(self, network: Network, options: Options, spec: HeadSpec) -> None:
        """Read a network.

        Args:
            network: (N, S, S, 3) float32 RGB 0..1 -> (N, P, h, w) and (N, P, D, h, w) logits.
            options: see `Options`.
            spec: how to read it.
        """
        self.network, self.options, self.spec = network, options, spec
        self.skeleton = spec.skeleton
        self.looks = views_at_test_time(options.augment)
        self.antialias = options.antialias or spec.antialias
        self.mix = spec.mix if options.mix is None else options.mix
        parts = np.abs(spec.joints)  # weight of each point in each keypoint
        self.share = parts / np.maximum(parts.sum(axis=0), np.float32(1e-9))
        volume = spec.volume
        self.limits = absolute.view_limits(volume.side, volume.stride, centred=volume.centered)
        self.limbs, self.lengths = absolute.limbs(self.skeleton.keypoints)

    @staticmethod
    def camera(frame: Frame) -> Camera:
        """The camera of a frame; by default a field of view of 55 degrees on its longer side."""
        return (frame.camera or Camera.view(frame.size)).scaled(frame.size)

    def views(self, frame: Frame, regions: Regions) -> list[PersonView]:
        """All views of the first region, then all of the second, and so on."""
        camera, side = self.camera(frame), self.spec.volume.side
        found = []
        for box in regions.bounds():
            for look in self.looks:
                scale = look.scale * self.spec.fill
                how = {"roll": look.roll, "scale": scale, "axis": side / 2 + 0.5}
                rotation, turned = camera.look_at(box, side, mirror=look.mirror, **how)
                crop = Crop.turned_camera(camera, rotation, turned)
                found.append(PersonView(rotation, turned, crop))
        return found

    def crops(self, frame: Frame, regions: Regions) -> list[Crop]:
        """Crops of the cameras rotated to each region, one per view."""
        return [view.crop for view in self.views(frame, regions)]

    def prepare(self, frame: Frame, crops: Sequence[Crop]) -> np.ndarray:
        """(M, S, S, 3) float32 RGB 0..1; black outside the frame."""
        side = self.spec.volume.side
        rows = np.empty((len(crops), side, side, 3), np.float32)
        for i, crop in enumerate(crops):
            rgb, corner = _part(frame, crop)
            gamma = self.looks[i % len(self.looks)].gamma
            rows[i] = crop.within(corner).light(rgb, gamma, self.antialias)
        return rows

    def read(self, outputs: Sequence[np.ndarray], cameras: Sequence[Camera]) -> CropJoints:
        """Decode M rows of the output, each relative to its rotated camera.

        Args:
            outputs: (M, P, h, w) and (M, P, D, h, w) logits.
            cameras: the M rotated cameras.
        """
        flat, deep = outputs
        volume, side = self.spec.volume, self.spec.volume.side
        xy = volume.pixels(heatmap.soft_argmax_2d(flat))
        body = volume.metres(heatmap.soft_argmax_3d(deep))
        rays = _each([camera.rays for camera in cameras], xy.astype(np.float64))
        inside = absolute.within_view(xy, self.limits)
        how = {"weak": self.spec.weak, "batch_rms": self.options.batch_rms}
        xyz = absolute.absolute_pose(rays, body, inside, mix=self.mix, **how)
        at = _each([camera.project for camera in cameras], xyz)
        shown = np.all((at >= 0) & (at <= side), axis=-1)
        sure = heatmap.concentration(flat) * np.where(shown, np.float32(1), np.float32(OUT))
        return CropJoints(xy, xyz, inside, sure)

    def decode(
        self, frame: Frame, outputs: Sequence[np.ndarray], crops: Sequence[Crop], look: Regions
    ) -> Poses:
        """Decode the network's M rows of one frame into poses.

        `Poses.xyz` is the mean over all views; `Poses.xy` is the mean of their projections: NaN
        behind the camera, and outside the image where the joint is.

        `Poses.score` is the concentration of the 2D heat maps (`heatmap.concentration`), averaged
        over the views, times 0.4 if the joint is outside the crop, and again if outside the frame:
        joints the network cannot have seen score below 0.5. A joint defined by several points has
        their weighted mean. The reference has no scores.

        `Poses.error` is the mean reprojection error in pixels of the frame: the distance of the
        projected points from the 2D heat maps' points, over those inside a crop. Since half of each
        point comes from the 2D maps (`mix`), it is about half of the disagreement of 2D and 3D.
        `Poses.plausible` is the reference's three tests; the one on bone lengths uses the limbs
        that the skeleton names.

        `Poses.box` is the detector's bounding box, clipped to the frame.
        """
        camera, views = self.camera(frame), self.views(frame, look)
        read = self.read(outputs, [view.camera for view in views])
        # Left and right are swapped in a mirrored view.
        mirrored = np.tile([each.mirror for each in self.looks], len(look))[:, None]
        order = np.where(mirrored, self.spec.mirror, np.arange(len(self.spec.mirror)))
        at = _each([crop.to_frame for crop in crops], read.xy)
        at, inside, sure = (_ordered(part, order) for part in (at, read.inside, read.sure))
        rotation = np.reshape([view.rotation for view in views], (-1, 3, 3))
        points = _ordered(read.xyz @ rotation, order)
        off = np.linalg.norm(camera.project(points) - at, axis=-1)
        bodies = (points.transpose(0, 2, 1) @ self.spec.joints).transpose(0, 2, 1)

        per = len(self.looks) if self.options.average else 1
        look = look.take(np.repeat(np.arange(len(look)), len(self.looks) // per))
        off, inside, sure, bodies = (
            part.reshape(len(look), per, *part.shape[1:]) for part in (off, inside, sure, bodies)
        )
        xy = camera.project(bodies).mean(axis=1).astype(np.float32)
        xyz = bodies.mean(axis=1).astype(np.float32)
        score = sure.mean(axis=1) @ self.share
        within = np.all((xy >= 0) & (xy <= frame.size), axis=-1)
        score = np.where(within, score, score * np.float32(OUT))
        score = np.where(np.isfinite(xy).all(axis=-1), score, np.float32(0))
        box, edge = look.bounds(), np.array(frame.size * 2, np.float32)
        known = inside & np.isfinite(off)
        error = np.where(known, off, 0).sum(axis=(1, 2)) / np.maximum(known.sum(axis=(1, 2)), 1)
        plausible = absolute.views_agree(bodies.swapaxes(0, 1))
        plausible &= absolute.bones_fit(xyz, self.limbs, self.lengths) & absolute.in_box(xy, box)
        poses = Poses(
            self.skeleton,
            xy=xy,
            score=score,
            box=np.minimum(np.maximum(box, 0), edge),
            box_score=look.score,
            person=look.person,
            xyz=xyz,
            origin="camera",
            world=None if camera.extrinsics is None else camera.to_world(xyz),
            error=np.where(known.any(axis=(1, 2)), error, np.nan).astype(np.float32),
            plausible=plausible,
            look=look.following(xy, score >= SEEN),
        )
        if self.options.suppress_implausible:
            poses = poses.take(plausible)
        if self.options.pose_nms and self.options.average and poses.xyz is not None:
            poses = poses.take(absolute.unique(poses.xyz, poses.box_score))
            best_first = np.argsort(-poses.box_score, kind="stable")
            poses = each_once(poses, APART, best_first, ONE_HEAD)
        return poses


def _each(ways: Sequence[Callable[[np.ndarray], np.ndarray]], rows: np.ndarray) -> np.ndarray:
    """(M, P, 2): each of (M, P, ...) rows by its own way."""
    found = [way(row) for way, row in zip(ways, rows, strict=True)]
    return np.reshape(found, (*rows.shape[:2], 2))


def _ordered(rows: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(M, P, ...) with the points of each row reordered by (M, P) indices."""
    return rows[np.arange(len(rows))[:, None], order]


def _part(frame: Frame, crop: Crop) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of a frame that a crop needs (`Frame.part`), with the same result as the whole."""
    more = np.array([-MARGIN - STEP, -MARGIN - STEP, MARGIN, MARGIN])
    rgb, (left, top) = frame.part(crop.bounds() + more)
    x, y = -left % STEP, -top % STEP
    return rgb[y:, x:], (left + x, top + y)


FAMILY = Family(
    "metrabs",
    _by_name,
    Options,
    wants="boxes",
    metres=True,
    found_by=EVERYBODY,
    for_ap={"conf": 0.1},
    tensors=("heatmap_heads.conv_final.",),
)
