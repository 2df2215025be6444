"""Train: learn a model, or fine-tune one, on labelled data of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.documents import read_toml
from vitruvian.errors import VitruvianError, pip_install, shown, unknown
from vitruvian.models.ready import short_name
from vitruvian.models.spec import network_of_run
from vitruvian.verbs.groups import quiet
from vitruvian.verbs.val import show
from vitruvian.verbs.val.val import val

if TYPE_CHECKING:
    from vitruvian.training.recipe import Recipe
    from vitruvian.verbs.val.val import Validation

RECIPES = Path(__file__).parents[1] / "training" / "recipes"


@dataclass(frozen=True)
class Training:
    """A finished run."""

    folder: Path  # see `vitruvian.training.folder`
    model: Path  # the trained network, for `load`
    figures: Mapping[str, Sequence[float]]  # name -> value, low and high of the exported weights


def train(
    model: str,
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    val: str | Path | None = None,
    images: str | Path | None = None,
    skeleton: str | None = None,
    recipe: str | Path | Recipe | None = None,
    settings: Sequence[str] | None = None,
    resume: bool = False,
    say: Callable[[str], None] = quiet,
) -> Training:
    """Train or fine-tune a model on labelled data; needs the extra `train`.

    The result is a folder that is a model: `load(out)`, `predict --model OUT`; or that is a person
    detector: `load(model, find=out)`, `predict --find OUT`.

    Args:
        model: what to train, and start from: see `vitruvian.training.trainable`; a name, a file, or
            the folder of an earlier run.
        data: COCO keypoint annotations, a YOLO-pose dataset, joints in metres, or people.jsonl; see
            docs/val.md. Several are learned from together.
        out: folder of the run, see `vitruvian.training.folder`.
        val: the same for validation; default: the split `val` of `data`, or else one picture of
            ten.
        images: folder of the images; by default beside the labels.
        skeleton: of the labels' keypoints, a name or a .toml file; default: as in the labels.
        recipe: training parameters: a .toml file, the name of a recipe of this package, or a
            `Recipe`; default: those of the model.
        settings: `name=value` of the recipe, which come first.
        resume: continue an interrupted run.
        say: called with lines about progress.

    Raises:
        VitruvianError: the extra is missing, the model cannot be trained, the data or the recipe
            cannot be read, or as `vitruvian.training.fit.fit`.
    """
    need_training()
    from vitruvian.training.card import box_lines, model_card
    from vitruvian.training.data.labelled import read_data, write_coco, write_metres
    from vitruvian.training.fit import fit
    from vitruvian.training.folder import RunFolder
    from vitruvian.training.trainable import trainable

    out, model = Path(out), network_of_run(model)
    kind = trainable(model)
    chosen = chosen_recipe(recipe, kind.recipe, out, resume).with_settings(settings or ())
    read = read_data(
        [Path(file) for file in ([data] if isinstance(data, str | Path) else data)],
        None if val is None else Path(val),
        images=None if images is None else Path(images),
        skeleton=skeleton,
        boxes=kind.boxes,
    )
    task = kind.task(chosen, model, read)
    progress = fit(task, out, resume=resume, say=say)
    line = progress.kept_line(chosen.keep)
    done = Training(out, out / "model.onnx", line["figures"])
    if os.environ.get("RANK", "0") != "0":  # of several processes, the first writes
        return done
    before = model if kind.starts(chosen) else None
    if kind.boxes:
        lines = box_lines([model, str(out)], read.validation)
    elif not kind.alone:
        lines = []
    else:
        write = write_metres if read.validation.solid else write_coco
        write(read.validation, out / "validation.json")
        lines = show.validation_lines(_report(out, before, say))
    card = model_card(task, short_name(model), progress, lines, out)
    RunFolder(out).write_text("README.md", card)
    use = f"; use it with --{'find' if kind.boxes else 'model'} {out}" if kind.alone else ""
    say(f"wrote '{shown(done.model, 100)}'{use}")
    return done


def need_training() -> None:
    """Raise `VitruvianError` if the extra `train` is not installed."""
    try:
        import_module("vitruvian.training.trainable")
    except ImportError as error:
        raise VitruvianError(
            f"training needs {error.name}; install it with: {pip_install('train')}"
        ) from None


def chosen_recipe(
    given: str | Path | Recipe | None, usual: Recipe, out: Path, resume: bool
) -> Recipe:
    """The recipe of a run: a resumed one has its own, unless one is given."""
    if given is None:
        file = out / "recipe.toml"
        return usual.changed(read_toml(file)) if resume and file.is_file() else usual
    if not isinstance(given, str | Path):
        return given
    file = Path(given)
    if not file.suffix:
        file = RECIPES / f"{given}.toml"
        if not file.is_file():
            raise unknown("recipe", str(given), (path.stem for path in RECIPES.glob("*.toml")))
    return usual.changed(read_toml(file), f"'{file}': ")


def _report(out: Path, before: str | None, say: Callable[[str], None]) -> Validation:
    """The report of `vitruvian val`, of the model before and after."""
    how: dict[str, Any] = {"out": out / "val", "overwrite": True}
    models = [str(out)]
    labels = out / "validation.json"
    if before is not None:
        try:
            result = val(labels, [before, *models], **how)
        except VitruvianError as error:
            say(f"{before} is not evaluated: {error}")
            result = val(labels, models, **how)
    else:
        result = val(labels, models, **how)
    show.write_validation(result, out / "val")
    return result
