"""BlazePose's landmark network as a task of the training loop: own people, its 33 landmarks.

`vitruvian train --model blazepose-full` starts from the official network. Keypoints of the data
supervise the landmarks of the same names; all else (other landmarks, depth, metres, visibility,
masks) is kept by distillation from the official network, which stays frozen, as do the first
layers up to stride 8, most of the work on a CPU: both networks share them, unless training
begins with another backbone.

Heat maps and offsets train the features; the regressor, which uses these, has no gradient with
respect to them. The official file has heat maps, but no offsets: a layer for these is added in
training, and left out of the result.

Source: Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking".
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vitruvian.body.mapping import Mapping as KeypointMapping
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BLAZEPOSE33
from vitruvian.errors import VitruvianError, shown
from vitruvian.evaluate.recorded import poses_on_truth, shared_keypoints
from vitruvian.evaluate.scores import PredictedPeople, score_people
from vitruvian.exports.export import export_checkpoint, read_onnx_tensors
from vitruvian.exports.networks import blazepose as networks
from vitruvian.frame import Frame
from vitruvian.geometry.regions import Regions
from vitruvian.models import blazepose, ready
from vitruvian.training.data.aligned import (
    AlignedSample,
    AlignmentAugment,
    LandmarkLabels,
    aligned_sample,
    box_region,
    collate_aligned,
    crop_of,
    labelled_region,
    landmark_labels,
)
from vitruvian.training.data.draw import draw_person
from vitruvian.training.data.labelled import Data, data_report
from vitruvian.training.data.people import PeopleOfPictures, Person2D
from vitruvian.training.losses_landmarks import LandmarkWeights, Supervised, landmark_losses
from vitruvian.training.recipe import Recipe
from vitruvian.training.schedule import channels_last, keep_freed_memory, rescale_weights
from vitruvian.training.task import (
    Batch,
    DataReport,
    Figure,
    Forward,
    Group,
    LossTerm,
    sample_rng,
    shuffled,
)
from vitruvian.training.tasks import starts2d
from vitruvian.weights import checkpoint

LOOKS = 2  # at a person, from the bounding box on: as in the pipeline
MASKS = 16  # one crop of so many also learns the mask, which is half of the work
FITTED = 64  # people that the heat maps of another backbone are fitted on
ELSEWHERE = 0.01  # weight of cells where nothing is, in that fit
SHOWN = 12  # validation people whose predictions are drawn


@dataclass(frozen=True)
class BlazePoseRecipe(Recipe):
    """Training parameters of BlazePose's landmark network."""

    backbone: str = ""  # begin with that of vitruvian-2d, or of a weights.pt of it
    batch: int = 16
    epochs: int = 10
    rate: float = 6e-4  # relative to the weights of a channel: `rescale_weights`
    encoder_rate: float = 1.5e-4  # the same of the encoder, on which all else depends
    offset_rate: float = 1e-3  # of the offsets' layer
    warmup: int = 50
    clip: float = 0.0  # Adam's steps are bounded, and the terms' gradients of unlike size
    ema: float = 0.99
    sigma: float = 1.5  # of the target heat maps, cells of 4 pixels
    scale: float = 0.1
    shift: float = 0.1
    turn_deg: float = 8.0
    rough: float = 0.25
    elsewhere: float = 0.05
    mirror: float = 0.5
    erase: float = 0.3
    heat: float = 1.0  # this and the next: weights of the losses
    offsets: float = 1.0
    points: float = 10.0
    depth: float = 3.0
    seen: float = 0.2
    there: float = 0.2
    world: float = 10.0
    metres: float = 50.0
    mask: float = 1.0
    kept: float = 0.5
    cache_gb: float = 2.0  # memory for pictures, GB
    resamples: int = 100  # bootstrap resamples of the validation's intervals

    @property
    def augment(self) -> AlignmentAugment:
        """Data augmentation of this recipe."""
        return self.part(AlignmentAugment)

    @property
    def weights(self) -> LandmarkWeights:
        """Weights of the losses of this recipe."""
        return self.part(LandmarkWeights)


class InTraining(nn.Module):
    """The landmark network with offsets."""

    def __init__(self, network: networks.LandmarkNetwork) -> None:
        super().__init__()
        self.network = network
        self.offsets = networks.same_conv(network.backbone.size.decoder, 2 * networks.POINTS)
        for parameter in self.offsets.parameters():
            nn.init.zeros_(parameter)

    def forward(self, early: tuple[Tensor, Tensor, Tensor]) -> Supervised:
        """Features of the first layers for N crops -> outputs; masks of a few."""
        features = self.network.backbone.decode(early)
        landmarks = self.network.answer(features, masks=-(-len(early[0]) // MASKS))
        return Supervised(landmarks, self.offsets(features.decoded))


class Found(NamedTuple):
    """What the network finds of the P people of a data set, from their bounding boxes."""

    poses: list[Poses]  # of one person each
    regions: list[Regions]  # that were looked at
    apart: np.ndarray  # (P, 33) metres between its landmarks and the official network's


class BlazePoseTask:
    """Landmarks of single people."""

    lower_is_better = False

    def __init__(self, recipe: BlazePoseRecipe, model: str, data: Data) -> None:
        """Read the people and the official network.

        Args:
            recipe: training parameters.
            model: a BlazePose model, or the weights.pt or model.onnx of a run.
            data: labelled people.

        Raises:
            VitruvianError: no keypoint of the data is a landmark, or the precision is not f32.
        """
        if recipe.precision != "f32":
            raise VitruvianError(
                f"precision is '{recipe.precision}', but BlazePose needs f32: in bf16 its metres "
                "are 0.14 m off"
            )
        self.recipe, self.model, self.data = recipe, model, data
        self.mapping = KeypointMapping.of(data.training.skeleton, BLAZEPOSE33)
        self.has = shared_keypoints(model, BLAZEPOSE33, data.validation)
        self.people = PeopleOfPictures(data.training, recipe.cache_gb)
        self.kept = PeopleOfPictures(data.validation, recipe.cache_gb / 2)
        self.start, size = read_start(model)
        if recipe.backbone:
            self.start.backbone.load_state_dict(backbone_of(recipe.backbone, size).state_dict())
        official = networks.read(ready.pull(f"blazepose-{size}")[1], size).requires_grad_(False)
        self.teacher = channels_last(official)
        self.shared = same_early_layers(self.start.backbone, official.backbone)
        self.looker = copy.deepcopy(official)  # on the CPU, where samples are prepared
        self._regions: dict[int, Regions] = {}  # of people whose labels do not tell

    def report(self) -> DataReport:
        """See `Task`."""
        report = data_report(self.data)
        missing = set(self.mapping.missing)
        named = [name for name in BLAZEPOSE33.keypoints if name not in missing]
        report.lines.append(
            f"{len(named)} of {len(BLAZEPOSE33)} landmarks have labels: {', '.join(named)}; the "
            "others are kept from the official network"
        )
        if self.mapping.left_out:
            some = ", ".join(self.mapping.left_out[:8])
            report.suspicious.append(f"keypoints that are no landmarks are not learned: {some}")
        return report

    def order(self, epoch: int) -> Sequence[int]:
        """See `Task`."""
        return shuffled(len(self.people), self.recipe.seed, epoch).tolist()

    def region(self, index: int, person: Person2D, labels: LandmarkLabels) -> Regions:
        """The region of a training person, from the labels or else the official network's look."""
        region = labelled_region(labels)
        if region is None:
            if index not in self._regions:
                start = box_region(person.box)
                look = look_at(self.looker, [person], [start]).poses[0].look
                assert look is not None
                self._regions[index] = look
            region = self._regions[index]
        return region

    def sample(self, index: int, epoch: int) -> AlignedSample:
        """See `Task`."""
        rng = sample_rng(self.recipe.seed, epoch, index)
        person = self.people[index]
        labels = landmark_labels(person, self.mapping)
        region = self.region(index, person, labels)
        return aligned_sample(person, labels, region, self.recipe.augment, rng)

    def collate(self, samples: Sequence[AlignedSample]) -> Batch:
        """Crops and labels, see `collate_aligned`."""
        return collate_aligned(samples, self.recipe.sigma)

    def draw(self, sample: AlignedSample) -> np.ndarray:
        """See `Task`."""
        xy = sample.labels.xy[: len(BLAZEPOSE33)]
        known = np.asarray(np.isfinite(xy).all(axis=-1) & sample.person, np.float32)
        return draw_person(sample.rgb, xy, known, BLAZEPOSE33)

    def network(self) -> nn.Module:
        """See `Task`."""
        network = self.start.requires_grad_(True)
        if self.recipe.backbone:
            some = self.order(0)[:FITTED]
            crops = self.collate([self.sample(i, 0) for i in some])["crops"]
            fit_maps(network, self.teacher, crops.float() * (1 / 255))
        for part in early_layers(network.backbone):
            part.requires_grad_(False)
        rescale_weights(network)
        keep_freed_memory()
        return InTraining(network)

    def groups(self, network: nn.Module) -> Sequence[Group]:
        """The encoder; the rest of the landmark network; offsets."""
        assert isinstance(network, InTraining)
        own, recipe = network.network, self.recipe
        decoder = {id(parameter) for parameter in own.backbone.lateral.parameters()}
        encoder = [p for p in own.backbone.parameters() if id(p) not in decoder]
        first = {id(p) for p in encoder}
        rest = [p for p in own.parameters() if id(p) not in first]
        return [
            Group([p for p in encoder if p.requires_grad], recipe.encoder_rate),
            Group(rest, recipe.rate),
            Group(list(network.offsets.parameters()), recipe.offset_rate),
        ]

    def loss(self, network: Forward, batch: Batch) -> Mapping[str, LossTerm]:
        """See `landmark_losses`."""
        crops = batch["crops"].float() * (1 / 255)
        teacher = self.teacher.to(crops.device)
        with torch.no_grad():
            early = own_early = teacher.backbone.early(crops)
            if not self.shared:
                own_early = self.start.backbone.early(crops)
        own: Supervised = network(own_early)
        with torch.no_grad():
            features = teacher.backbone.decode(early)
            taught = teacher.answer(features, masks=len(own.landmarks.mask))
        return landmark_losses(own, taught, batch, self.recipe.weights)

    # Validation

    def found(self, network: nn.Module, which: Sequence[int]) -> Found:
        """Some of the validation people, as the pipeline sees them from their bounding boxes."""
        assert isinstance(network, InTraining)
        teacher = self.teacher.to(next(network.parameters()).device)
        parts = []
        for start in range(0, len(which), self.recipe.batch):
            people = [self.kept[i] for i in which[start : start + self.recipe.batch]]
            looks = [box_region(person.box) for person in people]
            parts.append(look_at(network.network, people, looks, teacher))
        return Found(
            [pose for part in parts for pose in part.poses],
            [region for part in parts for region in part.regions],
            np.concatenate([part.apart for part in parts]),
        )

    def validate(self, network: nn.Module) -> Mapping[str, Figure]:
        """OKS-AP from ground-truth boxes, PCK, and how far metres are from the official ones."""
        found, truth = self.found(network, range(len(self.kept))), self.data.validation
        rows: dict[int | str, list[PredictedPeople]] = {each.number: [] for each in truth.pictures}
        for i, pose in enumerate(found.poses):
            person, box = self.kept[i].box, self.kept.box(i)
            scale = (box[2:] - box[:2]) / (person[2:] - person[:2])
            xy = box[:2] + (pose.xy - person[:2]) * scale
            rows[self.kept.number(i)].append(poses_on_truth(replace(pose, xy=xy), truth))
        people = {number: together(some, len(truth.skeleton)) for number, some in rows.items()}
        scores = score_people(self.model, truth, people, self.has, self.recipe.resamples)
        names = ["AP", "AP50", "PCK"] + ["MPJPE"] * truth.solid
        figures = {name: Figure(*scores.overall[name]) for name in names}
        return figures | {"metres apart": Figure(float(found.apart.mean()))}

    def pictures(self, network: nn.Module) -> Sequence[np.ndarray]:
        """See `Task`."""
        which = range(0, len(self.kept), max(1, len(self.kept) // SHOWN))[:SHOWN]
        found, drawn = self.found(network, which), []
        for i, pose, region in zip(which, found.poses, found.regions, strict=True):
            crop = crop_of(region)
            rgb = crop.cut(self.kept[i].rgb, replicate=True)
            xy, score = crop.from_frame(pose.xy[0]), pose.score.ravel()
            drawn.append(draw_person(rgb, xy, score, BLAZEPOSE33))
        return drawn

    def export(self, network: nn.Module, file: Path) -> None:
        """Write the network, and the weights.pt that it is made of."""
        assert isinstance(network, InTraining)
        weights = file.with_name("weights.pt")
        torch.save(network.network.state_dict(), weights)
        export_checkpoint(weights, file)


def early_layers(backbone: networks.BlazePoseBackbone) -> list[nn.Module]:
    """The layers of `BlazePoseBackbone.early`."""
    blocks = list(backbone.blocks)[: backbone.size.taps[1] + 1]
    return [backbone.stem, backbone.depthwise, backbone.project, *blocks]


@torch.no_grad()
def fit_maps(
    network: networks.LandmarkNetwork, teacher: networks.LandmarkNetwork, crops: Tensor
) -> None:
    """Give the heat maps of another backbone a start: those of the teacher, by least squares.

    Cells count by the teacher's probability, and a little elsewhere.

    Args:
        network: whose layer of the heat maps is changed.
        teacher: the official network.
        crops: (N, 3, 256, 256) 0..1.
    """
    features = network.backbone(crops).decoded
    x = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1]).double()
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    maps = teacher(crops).maps.permute(0, 2, 3, 1).reshape(len(x), -1).double()
    for k, (logit, likely) in enumerate(zip(maps.T, torch.sigmoid(maps).T, strict=True)):
        use = (likely + ELSEWHERE)[:, None]
        found = torch.linalg.lstsq(x.T @ (x * use), x.T @ (logit[:, None] * use)).solution[:, 0]
        network.maps.weight[k, :, 0, 0].copy_(found[:-1])
        network.maps.bias[k].copy_(found[-1])  # type: ignore[index]


def same_early_layers(one: networks.BlazePoseBackbone, other: networks.BlazePoseBackbone) -> bool:
    """Whether two backbones have the same first layers, which training does not change."""
    pairs = zip(early_layers(one), early_layers(other), strict=True)
    states = ((a.state_dict(), b.state_dict()) for a, b in pairs)
    return all(torch.equal(a[name], b[name]) for a, b in states for name in a)


def backbone_of(weights: str, size: str) -> networks.BlazePoseBackbone:
    """The backbone of vitruvian-2d, or of a weights.pt of it.

    Raises:
        VitruvianError: the file cannot be read, or the backbone has another size.
    """
    backbone = starts2d.teacher_network(weights).backbone
    if backbone.size is not networks.SIZES[size]:
        raise VitruvianError(
            f"backbone '{shown(weights, 80)}' has another size than blazepose-{size}"
        )
    return backbone


def read_start(model: str) -> tuple[networks.LandmarkNetwork, str]:
    """The network that training starts from, and its size.

    Args:
        model: a name of the catalogue, or the weights.pt or model.onnx of a run.

    Raises:
        VitruvianError: it cannot be read.
    """
    if not ready.is_network_file(model):
        size = model.removeprefix("blazepose-")
        return networks.read(ready.pull(model)[1], size), size
    path = Path(model)
    if ready.is_checkpoint(path):
        tensors = dict(checkpoint.read(path).tensors)
    elif path.suffix == ".onnx":
        stored = read_onnx_tensors(path)
        tensors = {name.removeprefix("network."): each for name, each in stored.items()}
    else:
        raise VitruvianError(
            f"cannot start from '{shown(model, 80)}'; give the weights.pt or model.onnx of a run"
        )
    network = networks.load(tensors)
    size = next(name for name, size in networks.SIZES.items() if size is network.backbone.size)
    return network, size


def look_at(
    network: networks.LandmarkNetwork,
    people: Sequence[Person2D],
    regions: Sequence[Regions],
    teacher: networks.LandmarkNetwork | None = None,
) -> Found:
    """Look at people `LOOKS` times, as the pipeline does, whether their presence is sure or not.

    Args:
        network: what looks.
        people: P people.
        regions: where to look first, one for each.
        teacher: to compare metres with; None: not compared.
    """
    device = next(network.parameters()).device
    outputs: tuple[np.ndarray, ...] = ()
    apart = np.zeros((len(people), len(BLAZEPOSE33)))
    head = blazepose.Landmarks(lambda _: outputs, blazepose.Options())
    head.presence = -1.0
    frames, looks, poses = [Frame(person.rgb) for person in people], list(regions), []
    for look in range(LOOKS):
        regions = looks
        crops = [head.crops(*pair) for pair in zip(frames, regions, strict=True)]
        rows = [head.prepare(*pair) for pair in zip(frames, crops, strict=True)]
        x = torch.from_numpy(np.concatenate(rows)).to(device).permute(0, 3, 1, 2)
        with torch.no_grad():
            early = network.backbone.early(x)
            points, presence, _, maps, world = network.answer(network.backbone.decode(early), 0)
            if teacher is not None and look == LOOKS - 1:
                want = teacher.answer(teacher.backbone(x), 0).world
                away = (world - want).reshape(len(people), networks.POINTS, 3)
                apart = torch.linalg.vector_norm(away, dim=-1).cpu().numpy()[:, : len(BLAZEPOSE33)]
        found = (points, torch.sigmoid(presence), world, maps.permute(0, 2, 3, 1))
        outputs = tuple(each.float().cpu().numpy() for each in found)
        poses = [
            head.decode(frame, [each[i : i + 1] for each in outputs], crop, region)
            for i, (frame, crop, region) in enumerate(zip(frames, crops, regions, strict=True))
        ]
        looks = [pose.look for pose in poses if pose.look is not None]
    return Found(poses, list(regions), apart)


def together(people: Sequence[PredictedPeople], keypoints: int) -> PredictedPeople:
    """The predicted people of a picture as one record."""
    if not people:
        return PredictedPeople(np.zeros((0, keypoints, 2)), np.zeros(0))
    xyz = [each.xyz for each in people if each.xyz is not None]
    return PredictedPeople(
        np.concatenate([each.xy for each in people]),
        np.concatenate([each.score for each in people]),
        np.concatenate(xyz),
    )
