"""The models that can be trained: recipe and task of each.

Names come first, then families of `vitruvian.models.load`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitruvian.body.skeletons import HALPE26
from vitruvian.errors import VitruvianError
from vitruvian.models.load import family_of
from vitruvian.training.data.labelled import Data
from vitruvian.training.recipe import Recipe
from vitruvian.training.task import Task
from vitruvian.training.tasks.blazepose import BlazePoseRecipe, BlazePoseTask
from vitruvian.training.tasks.fastpose import FastPoseRecipe, FastPoseTask
from vitruvian.training.tasks.finder import FinderRecipe, FinderTask
from vitruvian.training.tasks.refinement import RefinementRecipe, RefinementTask
from vitruvian.training.tasks.vitruvian2d import Recipe2D, Vitruvian2DTask
from vitruvian.training.tasks.vitruvian3d import Recipe3D, Vitruvian3DTask
from vitruvian.training.tasks.yolopose import YoloRecipe, YoloTask
from vitruvian.weights.metadata import about


@dataclass(frozen=True)
class Trainable:
    """A kind of training run."""

    recipe: Recipe  # its defaults
    task: Callable[[Any, str, Data], Task]  # from recipe, model and data
    starts: Callable[[Any], bool]  # whether a recipe starts from the model's own weights
    boxes: bool = False  # whether it finds people, and learns from bounding boxes alone
    flat: bool = True  # whether it learns from 2D keypoints
    alone: bool = True  # whether the network is a model by itself


_FINDER = Trainable(FinderRecipe(), FinderTask, lambda _: True, boxes=True)
TRAINABLE = {
    "vitruvian-2d": Trainable(
        Recipe2D(), Vitruvian2DTask, lambda recipe: recipe.start == "released"
    ),
    "vitruvian-2d-lite": Trainable(
        Recipe2D(size="lite", start="backbone"), Vitruvian2DTask, lambda _: False
    ),
    "vitruvian-2d-pga": Trainable(RefinementRecipe(), RefinementTask, lambda _: False, alone=False),
    "vitruvian-3d": Trainable(
        Recipe3D(), Vitruvian3DTask, lambda recipe: recipe.start == "released", flat=False
    ),
    "vitruvian-find": _FINDER,
    "objectron": _FINDER,
    "alphapose": Trainable(FastPoseRecipe(), FastPoseTask, lambda recipe: recipe.start == "model"),
    "blazepose": Trainable(BlazePoseRecipe(), BlazePoseTask, lambda _: True),
    "yolopose": Trainable(YoloRecipe(), YoloTask, lambda recipe: recipe.start == "model"),
}


def trainable(model: str) -> Trainable:
    """How a model is trained.

    Args:
        model: a name of the catalogue, or a file.

    Raises:
        VitruvianError: no such model or file, or it cannot be trained.
    """
    found = TRAINABLE.get(model) or TRAINABLE.get(_kind_of(model))
    if found is None:
        raise VitruvianError(
            f"{model} cannot be trained; choose {', '.join(TRAINABLE)}, or a checkpoint of these"
        )
    return found


def _kind_of(model: str) -> str:
    """The key of `TRAINABLE` for a model: its family, or that of a run of one of our networks."""
    family, file = family_of(model).name, Path(model)
    if file.suffix == ".onnx":
        metadata = about(file)
        if family == "alphapose" and metadata.get("decode") == "local":
            return "vitruvian-2d"
        if family == "metrabs" and metadata.get("points") == json.dumps(HALPE26.keypoints):
            return "vitruvian-3d"
    return family
