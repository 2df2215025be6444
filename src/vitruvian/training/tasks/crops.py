"""Keypoints of single people, from an upright crop of each: what tasks with heat maps share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np
from torch import nn

from vitruvian.evaluate.scores import PredictedPeople, score_people
from vitruvian.exports.networks.vitruvian2d import SIZE, STRIDE
from vitruvian.training.data.augment import Augment, person_crop
from vitruvian.training.data.draw import draw_person
from vitruvian.training.data.labelled import Data, data_report
from vitruvian.training.data.people import (
    CropSample,
    PeopleOfPictures,
    collate_crops,
    person_crop_of,
    training_sample,
)
from vitruvian.training.recipe import Recipe
from vitruvian.training.task import Batch, DataReport, Figure, sample_rng, shuffled

CELLS = (SIZE[0] // STRIDE, SIZE[1] // STRIDE)  # of a heat map, across and down
SHOWN = 12  # validation people whose predictions are drawn
BATCH = 32  # people per forward pass of the validation


@dataclass(frozen=True)
class CropRecipe(Recipe):
    """Training parameters of networks that see one person."""

    sigma: float = 2.0  # of the target heat maps, cells
    scale: float = 0.3
    turn_deg: float = 40.0
    half_body: float = 0.3
    proposal: float = 0.5
    cut: float = 0.0
    blur: float = 0.0
    cache_gb: float = 2.0  # memory for pictures, GB
    resamples: int = 100  # bootstrap resamples of the validation's intervals

    @property
    def augment(self) -> Augment:
        """Data augmentation of this recipe."""
        return self.part(Augment)


R = TypeVar("R", bound=CropRecipe)


class CropTask(Generic[R]):
    """People, crops of them, and how well their keypoints are found.

    A task has a network of its own, and `predict`.
    """

    lower_is_better = False
    ANTIALIAS: ClassVar[int] = 1  # of crops, see `Crop.cut`: as inference has them

    def __init__(self, recipe: R, model: str, data: Data) -> None:
        """Read the people.

        Args:
            recipe: training parameters.
            model: what is trained.
            data: labelled people.
        """
        self.recipe: R = recipe
        self.model, self.data = model, data
        self.skeleton = data.training.skeleton
        self.people = PeopleOfPictures(data.training, recipe.cache_gb)
        self.kept = PeopleOfPictures(data.validation, recipe.cache_gb / 2)

    def report(self) -> DataReport:
        """See `Task`."""
        return data_report(self.data)

    def order(self, epoch: int) -> Sequence[int]:
        """See `Task`."""
        return shuffled(len(self.people), self.recipe.seed, epoch).tolist()

    def sample(self, index: int, epoch: int) -> CropSample:
        """See `Task`."""
        rng = sample_rng(self.recipe.seed, epoch, index)
        return training_sample(
            self.people[index],
            SIZE,
            STRIDE,
            self.recipe.augment,
            rng,
            self.skeleton,
            antialias=self.ANTIALIAS,
        )

    def collate(self, samples: Sequence[CropSample]) -> Batch:
        """Crops, targets, and which of them are known."""
        return collate_crops(samples, CELLS, self.recipe.sigma)

    def draw(self, sample: CropSample) -> np.ndarray:
        """See `Task`."""
        xy = sample.xy * STRIDE + 0.5
        return draw_person(sample.rgb, xy, sample.weight, self.skeleton)

    def predict(self, network: nn.Module, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, H, W, 3) uint8 -> (N, K, 2) cells and (N, K) scores, as the exported network."""
        raise NotImplementedError

    def predict_people(
        self, network: nn.Module, people: PeopleOfPictures
    ) -> dict[int | str, PredictedPeople]:
        """Image id -> its people, from their true boxes; scored by their mean keypoint."""
        rows: dict[int | str, list[tuple[np.ndarray, float]]] = {
            picture.number: [] for picture in people.truth.pictures
        }
        for start in range(0, len(people), BATCH):
            some = range(start, min(start + BATCH, len(people)))
            looks = [person_crop(people.box(i), SIZE) for i in some]
            crops = np.stack([person_crop_of(people[i], SIZE, self.ANTIALIAS) for i in some])
            xy, score = self.predict(network, crops)
            for i, look, cells, each in zip(some, looks, xy, score, strict=True):
                at = look.to_frame(np.nan_to_num(cells) * STRIDE)
                rows[people.number(i)].append((at, float(each.mean())))
        k = len(people.truth.skeleton)
        return {
            number: PredictedPeople(
                np.array([xy for xy, _ in found]).reshape(len(found), k, 2),
                np.array([score for _, score in found]),
            )
            for number, found in rows.items()
        }

    def validate(self, network: nn.Module) -> Mapping[str, Figure]:
        """OKS-AP with ground-truth boxes, and PCK."""
        found = self.predict_people(network, self.kept)
        has, resamples = [True] * len(self.skeleton), self.recipe.resamples
        scores = score_people(self.model, self.data.validation, found, has, resamples)
        return {name: Figure(*scores.overall[name]) for name in ("AP", "AP50", "PCK")}

    def pictures(self, network: nn.Module) -> Sequence[np.ndarray]:
        """See `Task`."""
        every = max(1, len(self.kept) // SHOWN)
        drawn = []
        for i in range(0, len(self.kept), every)[:SHOWN]:
            rgb = person_crop_of(self.kept[i], SIZE, self.ANTIALIAS)
            xy, score = self.predict(network, rgb[None])
            drawn.append(draw_person(rgb, xy[0] * STRIDE + 0.5, score[0], self.skeleton))
        return drawn
