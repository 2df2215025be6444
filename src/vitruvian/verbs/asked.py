"""From command-line or keyword options to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitruvian.errors import VitruvianError
from vitruvian.verbs.groups import MachineWords, ModelWords, shallow

if TYPE_CHECKING:
    from vitruvian.models.model import Model
    from vitruvian.models.spec import ModelSpec


def asked_model(
    model: str | ModelSpec | Model, words: ModelWords, machine: MachineWords, **more: object
) -> ModelSpec | Model:
    """A model with these options; those after its name come first.

    Raises:
        VitruvianError: the model has no such option, or a value is wrong.
    """
    from vitruvian.models.load import check_options, family_of
    from vitruvian.models.spec import ModelSpec

    given = {**shallow(words), **shallow(machine), **more}
    if not isinstance(model, str | ModelSpec):
        if said := [name for name, value in given.items() if value is not None]:
            raise VitruvianError(f"the model is already loaded; pass {', '.join(said)} to load()")
        return model
    spec = ModelSpec.of(model)
    family = family_of(spec.name)
    for name, value in given.items():
        if name == "heatmaps" and value and not family.takes(name):
            raise VitruvianError(f"{spec.name} has no heat maps; leave heatmaps out of --save")
        if value is not None and name not in ("find", "skeleton") and not family.takes(name):
            raise VitruvianError(f"{spec.name} has no --{name.replace('_', '-')}; leave it out")
    spec = spec.with_defaults(**given)
    check_options(spec.name, **spec.options)
    return spec
