"""MeTRAbs: joints in pixels and in metres from the camera, of each person in a crop.

Somebody else finds the people. For each, and for each of several looks at the same person, a camera
is turned to the box; what it would see is the crop. The network's 2D maps say where joints are in
it, its 3D maps where they are in a cube of 2.2 metres that is nowhere; that both are true at once
says where the person stands (`decode/absolute.py`). Turned back, and projected by the frame's own
camera, that gives pixels, also of joints beyond the edge of the picture.

Source: our own, from the behaviour of MeTRAbs at 8b2b116 (specs/metrabs.md, 1, 2 and 5). Sarandi et
al. 2021, "MeTRAbs: Metric-Scale Truncation-Robust Heatmaps for Absolute 3D Human Pose Estimation".
Deviations: people do not change each other's depth (`batch_rms`), and nobody is an answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.decode import absolute, heatmap
from vitruvian.decode.volume import Volume
from vitruvian.errors import VitruvianError, unknown
from vitruvian.frame import Frame
from vitruvian.geometry.camera import Camera
from vitruvian.geometry.crop import Crop
from vitruvian.geometry.regions import Regions
from vitruvian.models.model import Family, Find, Finder
from vitruvian.models.options import Count, EitherRuntime, Share, Wants
from vitruvian.models.ready import (
    converted,
    is_checkpoint,
    is_network_file,
    pull_files,
    short_name,
)
from vitruvian.models.top_down import TopDown
from vitruvian.models.zoo import DEFAULT, entry
from vitruvian.network import Network, open_network
from vitruvian.weights.metrabs_archive import unpack

USUAL = "smpl_24"  # the skeleton that is given where the file has it
OUT = 0.4  # what the score of a joint is multiplied by where the network cannot have seen it
SEEN = 0.5  # score from which a joint says where to look for its person next
MARGIN = 48  # pixels around a crop that its sampling may look at, where a frame is halved
STEP = 16  # pixels: parts of a frame begin at a multiple, so that halving meets the same pixels


Name = Annotated[str, Wants(lambda v: isinstance(v, str), "one of the file's by name")]


@dataclass(frozen=True, kw_only=True)
class Options(EitherRuntime):
    """What can be asked of MeTRAbs' networks."""

    num_poses: Count = 100  # people in a frame, at most, the likeliest
    conf: Share | None = None  # 0..1, a person counts from here; None: as the finder has it
    augment: Count = 1  # views of each person: 1 is the fastest, 5 the reference's default
    average: bool = True  # over the views; False: each is a person of its own, and has no number
    skeleton: Name | None = None  # one of the file's; None: smpl_24, or else its first
    # Samples along each side of a crop's pixel; None: as the file was trained, the published ones 1
    antialias: Count | None = None
    mix: Share | None = None  # 0..1, share of the 3D in joints in view; None: as the file says
    batch_rms: bool = False  # as the reference: a person's depth depends on who else is there
    pose_nms: bool = True  # everybody once: who is like somebody likelier is left out
    suppress_implausible: bool = False  # leave out whose `Poses.plausible` is not
    batch: Count = 64  # crops that the network gets at once, at most

    KIND: ClassVar[str] = "MeTRAbs option"
    SYNONYMS: ClassVar[Mapping[str, str]] = {"num_aug": "augment"}

    @property
    def each_once(self) -> bool:
        """Whether everybody is given once, so that people can be numbered."""
        return self.average


@dataclass(frozen=True)
class TestTimeView:
    """One way to look at a person."""

    roll: float  # radians: the camera is rolled so far clockwise
    scale: float  # 1.1 shows the person a tenth larger
    mirror: bool
    gamma: float  # less is brighter


def views_at_test_time(count: int) -> list[TestTimeView]:
    """The reference's looks at a person, in its order. Source: specs/metrabs.md, 5.4."""
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
    """How to read a network, as its file says."""

    volume: Volume
    mirror: np.ndarray  # (P,) of each point its number on the other side
    skeleton: Skeleton
    joints: np.ndarray  # (P, K) float32: keypoints are the points by it, on the right
    mix: float = absolute.MIX
    weak: bool = False  # whether people are placed as if they were flat
    antialias: int = 1  # of the crops it was trained with
    fill: float = 1.0  # of the crop's side, by the longer side of a person's box

    @classmethod
    def read(cls, about: Mapping[str, str], skeleton: str | None = None) -> HeadSpec:
        """What `export/metrabs.py` wrote.

        Args:
            about: metadata of the file.
            skeleton: one of its skeletons; None: see `USUAL`.

        Raises:
            ValueError, TypeError, LookupError: something else wrote it.
            VitruvianError: it has no such skeleton.
        """
        points, tables = len(json.loads(about["points"])), json.loads(about["skeletons"])
        name = skeleton or (USUAL if USUAL in tables else next(iter(tables)))
        if name not in tables:
            raise unknown("skeleton in the file", name, tables)
        transform = np.eye(points, dtype=np.float32)
        if "transform" in about:
            transform = unpack(about["transform"])
        mirror = np.array(json.loads(about["mirror"]), np.int64)
        if not len(transform) == len(mirror) == points or not set(mirror) <= set(range(points)):
            raise ValueError("points")
        table = Skeleton.from_json(tables[name]["table"])
        joints = transform[:, tables[name]["indices"]]
        if joints.shape[1] != len(table):
            raise ValueError("as many indices as keypoints")
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
    """MeTRAbs from a file that `vitruvian export` wrote.

    Args:
        file: .onnx, or for OpenVINO .xml. Input: (N, S, S, 3) float32 RGB, 0..1. Outputs: logits2d
            (N, P, h, w) and logits3d (N, P, D, h, w).
        find: what finds the people: boxes.
        options: see `Options`.
        name: of the model in the catalogue, for records.
        weights: name and SHA-256 of the finder's files, for records.

    Raises:
        VitruvianError: it cannot be opened, is no such file, or has no such skeleton.
    """
    network = open_network(
        file,
        options.runtime,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
    )
    try:
        spec = HeadSpec.read(network.metadata, options.skeleton)
    except (ValueError, TypeError, LookupError):
        raise VitruvianError(f"'{file}' does not say what it is; export it anew") from None
    side = spec.volume.side
    if network.input_shape != (None, side, side, 3):
        raise VitruvianError(
            f"'{file}' has an input of {network.input_shape}, want (N, {side}, {side}, 3); export "
            "it anew"
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
    """A model of the catalogue or a file; `vitruvian.models.load.load` is for users."""
    path = Path(name)
    if not is_network_file(name):
        _, *files = entry(name).files
        (path,) = pull_files(entry(name), files)
    elif is_checkpoint(path):
        path = converted(path)
    return load(path, finder.find, options, name=short_name(name), weights=finder.weights)


@dataclass(frozen=True, eq=False)
class PersonView:
    """A look at one person."""

    rotation: np.ndarray  # (3, 3) from the axes of the frame's camera to those of the turned one
    camera: Camera  # the turned one; its picture is the crop
    crop: Crop


@dataclass(frozen=True, eq=False)
class CropJoints:
    """What the network says of M crops, of P points each."""

    xy: np.ndarray  # (M, P, 2) pixels of the crop, from the 2D maps
    xyz: np.ndarray  # (M, P, 3) metres from the turned camera
    inside: np.ndarray  # (M, P) bool, whether `xy` can be believed
    sure: np.ndarray  # (M, P) 0..1, see `Bodies.decode`


class Bodies:
    """The network on crops of each person."""

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
        parts = np.abs(spec.joints)  # how far each keypoint is made of each point
        self.share = parts / np.maximum(parts.sum(axis=0), np.float32(1e-9))
        volume = spec.volume
        self.limits = absolute.view_limits(volume.side, volume.stride, centred=volume.centered)
        self.limbs, self.lengths = absolute.limbs(self.skeleton.keypoints)

    @staticmethod
    def camera(frame: Frame) -> Camera:
        """Of a frame: what it says, or 55 degrees across its longer side."""
        return (frame.camera or Camera.view(frame.size)).scaled(frame.size)

    def views(self, frame: Frame, regions: Regions) -> list[PersonView]:
        """All looks at the first region, then all at the second, and so on."""
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
        """What cameras turned to each region see, one for each look."""
        return [view.crop for view in self.views(frame, regions)]

    def prepare(self, frame: Frame, crops: Sequence[Crop]) -> np.ndarray:
        """(M, S, S, 3) float32 RGB 0..1; black outside."""
        side = self.spec.volume.side
        rows = np.empty((len(crops), side, side, 3), np.float32)
        for i, crop in enumerate(crops):
            rgb, corner = _part(frame, crop)
            gamma = self.looks[i % len(self.looks)].gamma
            rows[i] = crop.within(corner).light(rgb, gamma, self.antialias)
        return rows

    def read(self, outputs: Sequence[np.ndarray], cameras: Sequence[Camera]) -> CropJoints:
        """What the network's M rows say, each before the camera that is turned so.

        Args:
            outputs: (M, P, h, w) and (M, P, D, h, w) logits.
            cameras: M, turned.
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
        """The network's M rows about one frame -> everyone there.

        `Poses.xyz` is the mean of all looks, and so is `Poses.xy`, the projections of what each of
        them gives: NaN for what would be behind the camera, outside the picture where it lies.

        `Poses.score` is how concentrated the 2D maps are (`heatmap.concentration`), the mean of all
        looks, times 0.4 where the joint is beyond the edge of the crop, and again beyond that of
        the frame: what the network cannot have seen has less than 0.5. A joint that is made of
        several points has their mean, by how far it is made of them. The reference has no scores.

        `Poses.error` is how far the points are, projected, from where the 2D maps have them, in the
        frame, over those in view of a crop. Half of each is taken from the 2D maps (`mix`), so that
        it is about half of what 2D and 3D disagree by. `Poses.plausible` is the reference's three
        tests; that of bones is made of those limbs whose names the skeleton has.

        `Poses.box` is the finder's, as far as it is in the frame.
        """
        camera, views = self.camera(frame), self.views(frame, look)
        read = self.read(outputs, [view.camera for view in views])
        # What is left in a mirror is the right.
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
        return poses


def _each(ways: Sequence[Callable[[np.ndarray], np.ndarray]], rows: np.ndarray) -> np.ndarray:
    """(M, P, 2): each of (M, P, ...) rows by its own way."""
    found = [way(row) for way, row in zip(ways, rows, strict=True)]
    return np.reshape(found, (*rows.shape[:2], 2))


def _ordered(rows: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(M, P, ...) with the points of each row as (M, P) numbers say."""
    return rows[np.arange(len(rows))[:, None], order]


def _part(frame: Frame, crop: Crop) -> tuple[np.ndarray, tuple[int, int]]:
    """What a crop needs of a frame, see `Frame.part`, so that it is cut as of the whole frame."""
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
    found_by=DEFAULT,
    tensors=("heatmap_heads.conv_final.",),
)
