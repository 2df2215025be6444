"""From words to the options of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitruvian.errors import VitruvianError
from vitruvian.verbs.groups import MachineWords, ModelWords, shallow

if TYPE_CHECKING:
    from vitruvian.models.spec import ModelSpec


def model_spec(model: str, words: ModelWords, machine: MachineWords, **more: object) -> ModelSpec:
    """A model with the options that these words stand for; those behind its name come first.

    Raises:
        VitruvianError: it has no such option.
    """
    from vitruvian.models.load import family_of
    from vitruvian.models.spec import ModelSpec

    spec = ModelSpec.parse(model)
    given = {**shallow(words), **shallow(machine), **more}
    family = family_of(spec.name)
    for name, value in given.items():
        if name == "heatmaps" and value and not family.takes(name):
            raise VitruvianError(f"{spec.name} has no heat maps; leave heatmaps out of --save")
        if value is not None and name not in ("find", "skeleton") and not family.takes(name):
            raise VitruvianError(f"{spec.name} has no --{name.replace('_', '-')}; leave it out")
    return spec.with_defaults(**given)
