"""From words to the options of a model, and to what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vitruvian.errors import VitruvianError, unknown
from vitruvian.verbs.groups import MachineWords, ModelWords, OutputWords, shallow

if TYPE_CHECKING:
    from vitruvian.models.model import Model
    from vitruvian.models.spec import ModelSpec
    from vitruvian.verbs.outputs import Save

SAVED = ("video", "json", "csv", "parquet", "coco", "plot", "html", "rerun", "heatmaps")


def asked_model(
    model: str | ModelSpec | Model, words: ModelWords, machine: MachineWords, **more: object
) -> ModelSpec | Model:
    """A model with the options that these words stand for; those behind its name come first.

    Raises:
        VitruvianError: it has no such option.
    """
    from vitruvian.models.load import family_of
    from vitruvian.models.spec import ModelSpec

    given = {**shallow(words), **shallow(machine), **more}
    if not isinstance(model, str | ModelSpec):
        if said := [name for name, value in given.items() if value is not None]:
            raise VitruvianError(f"the model is loaded already; give {', '.join(said)} to load()")
        return model
    spec = ModelSpec.of(model)
    family = family_of(spec.name)
    for name, value in given.items():
        if name == "heatmaps" and value and not family.takes(name):
            raise VitruvianError(f"{spec.name} has no heat maps; leave heatmaps out of --save")
        if value is not None and name not in ("find", "skeleton") and not family.takes(name):
            raise VitruvianError(f"{spec.name} has no --{name.replace('_', '-')}; leave it out")
    return spec.with_defaults(**given)


def asked_files(output: OutputWords, default: str, *, plot: bool | None = None) -> Save:
    """What `--save` asks for."""
    from vitruvian.verbs.outputs import MORE, Save, is_file

    words = [word for word in (part.strip() for part in output.words(default)) if word]
    for word in words:
        if word not in (*SAVED, *MORE):
            raise unknown("format to save", word, (*SAVED, *MORE))
    if output.save is not None and is_file(output.out):
        raise VitruvianError(
            f"'{output.out}' is one file; for --save {output.save} beside it give a folder"
        )
    folder = output.out if not is_file(output.out) else Path()
    return Save(
        **{name: name in words for name in ("video", "json", "csv", "parquet", "coco", "html")},
        plot=plot if output.save is None else "plot" in words,
        visible=output.visible,
        heatmaps=folder / "heatmaps" if "heatmaps" in words else None,
        rerun=folder / "poses.rrd" if "rerun" in words else None,
        more=() if is_file(output.out) else tuple(word for word in words if word in MORE),
    )
