"""vitruvian-3d as a task of the training loop: MeTRAbs heads on the BlazePose backbone.

Each batch mixes synthetic people with exact 3D ground truth, and real people with 2D labels and 3D
pseudo-labels of a teacher. First the heads on a frozen backbone, then both; the first layers of the
backbone, most of the work on a CPU, stay frozen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vitruvian.body.skeletons import HALPE26
from vitruvian.decode.absolute import MIX, view_limits
from vitruvian.decode.volume import Volume
from vitruvian.errors import VitruvianError, shown
from vitruvian.evaluate import metrics
from vitruvian.evaluate.scores import ROOT, PredictedPeople
from vitruvian.exports.export import export_checkpoint
from vitruvian.exports.networks import metrabs
from vitruvian.models.ready import is_network_file
from vitruvian.training import losses3d, reconstruction
from vitruvian.training.data import people3d
from vitruvian.training.data.draw import draw_person
from vitruvian.training.data.labelled import Data, data_report
from vitruvian.training.recipe import Recipe
from vitruvian.training.schedule import keep_freed_memory, rescale_weights
from vitruvian.training.task import (
    Batch,
    DataReport,
    Figure,
    Forward,
    Group,
    LossTerm,
    sample_rng,
)
from vitruvian.training.tasks.starts3d import (
    VOLUME,
    blazepose_encoder,
    initial_network_3d,
    released_network_3d,
    trained_network_3d,
)

FROZEN_BLOCKS = 3  # of the encoder, up to stride 8: most of its backward pass
STATISTICS = 32  # people to restore batch norms with
SHOWN = 12  # validation people whose predictions are drawn


@dataclass(frozen=True)
class Recipe3D(Recipe):
    """Training parameters of vitruvian-3d; an epoch is `steps` batches of random people."""

    epochs: int = 156
    steps: int = 100  # batches of an epoch
    batch: int = 32
    start: str = "released"  # or backbone: BlazePose's only; or a weights.pt of an earlier run
    real: int = 8  # people with 2D labels in a batch of each process
    real_data: str = ""  # 2D labels of real people, in any format of `--data`
    taught: str = ""  # 3D pseudo-labels of a teacher for them, if they are a people.jsonl:
    # `vitruvian.training.data.teacher`
    cache_gb: float = 2.0  # memory for pictures while they are read, GB
    head_epochs: int = 3  # first epochs, with a frozen backbone
    backbone_rate: float = 2e-3  # relative to the weights of a channel: `rescale_weights`
    clip: float = 5.0
    precision: str = "bf16"
    validate_every: int = 10
    shape: float = 3.0  # loss weight of root-relative poses
    direct: float = 1.0  # loss weight of the coordinates of the 2D heat maps
    heat: float = 0.02  # loss weight of the 2D heat maps
    absolute: float = 0.2  # loss weight of absolute positions
    absolute_from: int = 3  # first epoch with the absolute loss
    flat: float = 0.5  # loss weight of 2D labels of real people
    teacher: float = 1.5  # loss weight of the teacher's pseudo-labels
    resamples: int = 100  # bootstrap resamples of the validation's intervals


class Sample3D(NamedTuple):
    """A crop of one person, as `people3d.training_sample_3d` has it."""

    rgb: np.ndarray  # (S, S, 3) uint8
    matrix: np.ndarray  # (3, 3) intrinsics of the crop
    xy: np.ndarray  # (26, 2) pixels of the crop, NaN where unknown
    xyz: np.ndarray  # (26, 3) metres, NaN where unknown
    exact: bool  # whether xyz is camera ground truth, not the teacher's
    placed: bool  # whether absolute positions count


class Vitruvian3DTask:
    """Metres of single people."""

    lower_is_better = True

    def __init__(self, recipe: Recipe3D, model: str, data: Data) -> None:
        """Read the people.

        Args:
            recipe: training parameters.
            model: "vitruvian-3d", or the network of an earlier run.
            data: people in metres, such as those of `vitruvian synth`; keypoints by Halpe's names.

        Raises:
            VitruvianError: the data has no metres, or no hips, which poses are relative to.
        """
        self.recipe, self.model, self.data = recipe, model, data
        for truth in data:
            if not truth.solid or not {"left_hip", "right_hip"} <= set(truth.skeleton.keypoints):
                raise VitruvianError(
                    f"'{shown(truth.source, 80)}' has no joints in metres with left_hip and "
                    "right_hip; give such people to --data, and 2D labels to --set real_data=FILE"
                )
        self.made = people3d.people_in_metres(data.training)
        self.kept = people3d.people_in_metres(data.validation)
        self.real, self.real_report = [], list[str]()
        if recipe.taught:
            taught, file = Path(recipe.taught), Path(recipe.real_data)
            folder = file if file.is_dir() else file.parent
            self.real = people3d.read_with_teacher(folder, "train", taught)
        elif recipe.real_data:
            flat = people3d.flat_labels(Path(recipe.real_data))
            self.real_report = [*flat.notes, *map(str, flat.faults)]
            self.real = people3d.people_in_pixels(flat, recipe.cache_gb)
        if not 0 <= recipe.real < recipe.batch:
            raise VitruvianError(f"real is {recipe.real}, want 0 to below batch")

    def report(self) -> DataReport:
        """See `Task`."""
        report = data_report(self.data)
        if self.recipe.real_data:
            where = shown(self.recipe.real_data, 100)
            report.lines.append(f"real people with 2D labels: {len(self.real)} from '{where}'")
        report.suspicious.extend(self.real_report)
        return report

    def order(self, epoch: int) -> Sequence[int]:
        """Random people, as many real ones in each batch; those come after the synthetic ones."""
        recipe, made = self.recipe, len(self.made)
        rng = np.random.default_rng([recipe.seed, epoch])
        real = recipe.real if self.real else 0
        found: list[int] = []
        for _ in range(recipe.steps):
            some = rng.choice(made, recipe.batch - real, replace=made < recipe.batch)
            others = made + rng.choice(len(self.real), real) if real else np.zeros(0, int)
            found += rng.permutation(np.concatenate([some, others])).tolist()
        return found

    def sample(self, index: int, epoch: int) -> Sample3D:
        """See `Task`."""
        rng = sample_rng(self.recipe.seed, epoch, index)
        person = self.made[index] if index < len(self.made) else self.real[index - len(self.made)]
        augment = people3d.Augment3D()
        rgb, matrix, xy, xyz, _ = people3d.training_sample_3d(person, VOLUME.side, augment, rng)
        placed = epoch >= self.recipe.absolute_from
        return Sample3D(rgb, matrix, xy, xyz, person.camera is not None, placed)

    def collate(self, samples: Sequence[Sample3D]) -> Batch:
        """Crops and labels of N people; 0 where unknown."""
        return collate_3d(samples)

    def draw(self, sample: Sample3D) -> np.ndarray:
        """See `Task`."""
        known = np.where(np.isfinite(sample.xy).all(axis=-1), np.float32(1), np.float32(0))
        return draw_person(sample.rgb, sample.xy, known, HALPE26)

    def network(self) -> nn.Module:
        """See `Task`."""
        network = self._initial()
        encoder = blazepose_encoder(network)
        first = encoder.stem, encoder.depthwise, encoder.project, *encoder.blocks[:FROZEN_BLOCKS]
        for module in first:
            module.requires_grad_(False)
        rescale_weights(encoder)
        keep_freed_memory()
        return network

    def _initial(self) -> metrabs.Metrabs:
        """The network of `start`."""
        start = self.recipe.start
        if start == "released" and is_network_file(self.model):  # of an earlier run
            start = str(Path(self.model).with_name("weights.pt"))
        if start == "backbone":
            return initial_network_3d()
        if start == "released":
            every = max(1, len(self.made) // STATISTICS)
            some = [self.sample(i, 0) for i in range(0, len(self.made), every)[:STATISTICS]]
            return released_network_3d(self.collate(some)["crops"].float() / 255)
        return trained_network_3d(start)

    def groups(self, network: nn.Module) -> Sequence[Group]:
        """Heads and backbone."""
        assert isinstance(network, metrabs.Metrabs)
        recipe, encoder = self.recipe, blazepose_encoder(network)
        backbone = [p for p in encoder.parameters() if p.requires_grad]
        others = {id(p) for p in encoder.parameters()}
        head = [p for p in network.parameters() if id(p) not in others]
        return [
            Group(head, recipe.rate, recipe.decay),
            Group(backbone, recipe.backbone_rate, since=recipe.head_epochs),
        ]

    def loss(self, network: Forward, batch: Batch) -> Mapping[str, LossTerm]:
        """See `training_loss_3d`."""
        flat, deep = network(batch["crops"].float() / 255)
        return training_loss_3d(self.recipe, flat, deep, batch, VOLUME)

    def validate(self, network: nn.Module) -> Mapping[str, Figure]:
        """Errors in metres, with ground-truth boxes."""
        found = predict_people_3d(network, self.kept)
        xyz = np.concatenate([each.xyz for each in found if each.xyz is not None])
        truth = np.stack([person.xyz for person in self.kept])
        errors = {
            "MPJPE": metrics.mpjpe(xyz, truth, HALPE26, ROOT),
            "PA-MPJPE": metrics.pa_mpjpe(xyz, truth),
            "absolute MPJPE": metrics.mpjpe_absolute(xyz, truth),
        }
        resamples = self.recipe.resamples
        return {name: mean_error(values, resamples) for name, values in errors.items()}

    def pictures(self, network: nn.Module) -> Sequence[np.ndarray]:
        """See `Task`."""
        some = self.kept[:: max(1, len(self.kept) // SHOWN)][:SHOWN]
        found = predict_people_3d(network, some)
        return [
            draw_person(person.rgb, each.xy[0], np.ones(len(HALPE26), np.float32), HALPE26)
            for person, each in zip(some, found, strict=True)
        ]

    def export(self, network: nn.Module, file: Path) -> None:
        """Write the network, and the weights.pt that it is made of."""
        assert isinstance(network, metrabs.Metrabs)
        weights = file.with_name("weights.pt")
        metrabs.save(network, weights, VOLUME, HALPE26, fill=people3d.FILL)
        export_checkpoint(weights, file)


def mean_error(errors: np.ndarray, resamples: int) -> Figure:
    """The mean of (N, K) errors, NaN skipped, with the interval of resampled people."""
    each = np.nanmean(errors[np.isfinite(errors).any(axis=1)], axis=1)
    if not len(each):
        return Figure(np.nan)
    draws = np.random.default_rng(0).integers(len(each), size=(resamples, len(each)))
    if not resamples:
        return Figure(float(each.mean()))
    low, high = np.percentile(each[draws].mean(axis=1), [2.5, 97.5])
    return Figure(float(each.mean()), float(low), float(high))


def collate_3d(samples: Sequence[Sample3D]) -> Batch:
    """A batch of N crops; 0 where unknown.

    Returns:
        crops: (N, 3, S, S) uint8. matrix: (N, 3, 3). xy: (N, 26, 2) pixels. flat: (N, 26) bool,
        known xy. xyz: (N, 26, 3) metres. solid: (N, 26) bool, known xyz. exact, placed: (N,) bool.
    """
    rgb, matrix, xy, xyz, exact, placed = (np.stack(part) for part in zip(*samples, strict=True))
    rows = {
        "crops": rgb.transpose(0, 3, 1, 2),
        "matrix": matrix.astype(np.float32),
        "xy": np.nan_to_num(xy).astype(np.float32),
        "flat": np.isfinite(xy).all(axis=-1),
        "xyz": np.nan_to_num(xyz).astype(np.float32),
        "solid": np.isfinite(xyz).all(axis=-1),
        "exact": exact,
        "placed": placed,
    }
    return {name: torch.from_numpy(np.ascontiguousarray(row)) for name, row in rows.items()}


def predicted_joints(
    flat: Tensor, deep: Tensor, matrix: Tensor, volume: Volume, mix: Tensor | float
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode the maps: (N, K, 2) pixels, (N, K, 3) metres, (N, K, 3) metres from the camera."""
    xy, xyz = metrabs.places_of_maps(flat, deep, volume)
    low, high = view_limits(volume.side, volume.stride, centred=volume.centered)
    inside = ((xy >= low) & (xy <= high)).all(-1)
    found = reconstruction.reconstruct_absolute(
        reconstruction.camera_rays(xy, matrix), xyz, inside, mix=mix
    )
    return xy, xyz, found


def training_loss_3d(
    recipe: Recipe3D, flat: Tensor, deep: Tensor, batch: Batch, volume: Volume
) -> dict[str, LossTerm]:
    """Loss terms of one batch, see `collate_3d`."""
    matrix, target, truth = batch["matrix"], batch["xy"], batch["xyz"]
    known, solid, exact = batch["flat"], batch["solid"], batch["exact"]
    side, stride = volume.side, volume.stride
    mix = torch.rand(len(matrix), device=matrix.device)
    xy, xyz, found = predicted_joints(flat, deep, matrix, volume, mix)
    low, high = view_limits(side, stride, border=0.25)
    inside = known & ((target >= low) & (target <= high)).all(-1)
    off = (xy - target).abs().mean(-1)
    direct = torch.where(inside, off, 0).sum() / inside.sum().clamp_min(1) * (losses3d.BOX / side)
    cells = (target - volume.start - 0.5) / stride
    heat = losses3d.softmax_heatmap_loss(flat, cells, inside)
    e, r = exact, ~exact
    at = {"centred": volume.centered, "stride": stride}
    shape = losses3d.root_relative_loss(found[e], truth[e], solid[e])
    seen = losses3d.projection_loss(found[e], truth[e], solid[e], matrix[e], side, **at)
    place = losses3d.absolute_loss(found[e], truth[e], solid[e])
    level = losses3d.projection_loss_2d(found[r], target[r], known[r], matrix[r], side, **at)
    taught = losses3d.teacher_loss(xyz[r], truth[r], solid[r])
    absolute = recipe.absolute if bool(batch["placed"].all()) else 0.0
    joints, people = inside.sum(), solid[e].sum()
    terms = {
        "shape": (recipe.shape * shape, people),
        "seen": (seen, people),
        "place": (absolute * place, people),
        "direct": (recipe.direct * direct, joints),
        "heat": (recipe.heat * heat, joints),
        "flat": (recipe.flat * level, known[r].sum()),
        "taught": (recipe.teacher * taught, solid[r].sum()),
    }
    return {
        name: LossTerm(mean * number.clamp_min(1), number) for name, (mean, number) in terms.items()
    }


def predict_people_3d(
    network: nn.Module, people: Sequence[people3d.Person3D], batch: int = 32
) -> list[PredictedPeople]:
    """The pose of each person in their own image, from the ground-truth boxes."""
    device, still = next(network.parameters()).device, np.random.default_rng(0)
    found = []
    for start in range(0, len(people), batch):
        some = people[start : start + batch]
        cut = [people3d.training_sample_3d(p, VOLUME.side, None, still) for p in some]
        crops = np.stack([each[0] for each in cut]).transpose(0, 3, 1, 2)
        matrix = torch.from_numpy(np.stack([each[1] for each in cut])).to(device)
        with torch.no_grad():
            flat, deep = network(torch.from_numpy(crops).to(device).float() / 255)
            xy, _, xyz = predicted_joints(flat, deep, matrix, VOLUME, MIX)
        points, metres = xy.float().cpu().numpy(), xyz.float().cpu().numpy()
        for person, each, crop_xy, crop_xyz in zip(some, cut, points, metres, strict=True):
            turn = people3d.rotation_of(person, VOLUME.side)
            found.append(
                PredictedPeople(
                    each[4].to_frame(crop_xy)[None], np.ones(1), (crop_xyz @ turn)[None]
                )
            )
    return found
