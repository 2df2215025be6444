"""Distil: a student learns what a teacher says about unlabelled images and videos."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vitruvian.body.mapping import Mapping
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17, as_skeleton
from vitruvian.body.skeletons import skeleton as skeleton_named
from vitruvian.errors import VitruvianError, shown
from vitruvian.evaluate import truth
from vitruvian.models.load import family_of, for_pictures, load
from vitruvian.models.model import skeleton_of
from vitruvian.models.spec import ModelSpec
from vitruvian.models.zoo import CATALOGUE
from vitruvian.network.threads import cores
from vitruvian.sources.open import Pictures, Source, open_source
from vitruvian.sources.video import Span
from vitruvian.stopping import Interrupted
from vitruvian.verbs.groups import quiet
from vitruvian.verbs.pseudo_labels import TRAIN, VAL, PseudoLabels, pseudo_labels, record_teacher
from vitruvian.verbs.train import Training, chosen_recipe, need_training, train

if TYPE_CHECKING:
    from vitruvian.models.model import Model
    from vitruvian.training.recipe import Recipe

SURE = 0.5  # score from which a keypoint of the teacher is kept
STRIDE = 10  # of videos, every n-th frame
WAIT = 1.0  # seconds between two looks of other processes for the labels of the first


def distil(
    teacher: str | ModelSpec | Model,
    student: str,
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    labels: str | Path | None = None,
    val: str | Path | None = None,
    skeleton: str | None = None,
    sure: float = SURE,
    stride: int = STRIDE,
    recipe: str | Path | Recipe | None = None,
    settings: Sequence[str] | None = None,
    resume: bool = False,
    say: Callable[[str], None] = quiet,
) -> Training:
    """Train a student on what a teacher finds in unlabelled images; needs the extra `train`.

    The teacher runs once; keypoints of which it is sure become labels, weighted by their scores,
    and are kept in `out`/teacher, see `vitruvian.verbs.pseudo_labels`. Then `train` goes on. A
    student of the family of vitruvian-2d also learns the heat maps of a teacher that is one.

    Args:
        teacher: model name or file, with options after commas, or a model from `load`.
        student: what to train, and start from, as for `train`.
        data: unlabelled images and videos: folder, pattern, file, or a list of these.
        out: folder of the run.
        labels: labelled people to learn from as well, in any format of `train`.
        val: labelled people to validate with; default: images that are kept apart, and the end of
            each video, with the teacher's keypoints.
        skeleton: of the student's keypoints, a name or a .toml file; default: that of `labels`, or
            else the student's own. Keypoints are taken from the teacher by name.
        sure: 0..1, score from which a keypoint of the teacher is kept.
        stride: of videos, every n-th frame; near-duplicates among these are skipped.
        recipe: as for `train`.
        settings: as for `train`.
        resume: continue an interrupted run; the teacher does not run again.
        say: called with lines about progress.

    Raises:
        VitruvianError: the two share no keypoint, the teacher finds nobody, `out` has a run
            already, or as `train`.
    """
    need_training()
    from vitruvian.training.trainable import trainable

    out, folder = Path(out), Path(out, "teacher")
    kind = trainable(student)
    if not kind.flat:
        raise VitruvianError(
            f"{student} does not learn from keypoints alone; train it with `vitruvian train`"
        )
    if not 0 <= sure <= 1:
        raise VitruvianError(f"sure is {sure:g}, want a score from 0 to 1")
    if not resume and (folder.exists() or (out / "state.pt").exists()):
        raise VitruvianError(
            f"'{shown(out, 100)}' has a run already; continue it with --resume, or give another "
            "--out"
        )
    chosen = chosen_recipe(recipe, kind.recipe, out, resume).with_settings(settings or ())
    table = _student_skeleton(student, skeleton, labels)
    if os.environ.get("RANK", "0") == "0":  # of several processes, the first runs the teacher
        sources = _sources(data, stride)
        model = _open_teacher(teacher)
        Mapping.of(skeleton_of(model), table)  # before anything is written
        words = [data] if isinstance(data, str | Path) else data
        of = {"data": [str(word) for word in words], "stride": stride}
        try:
            record_teacher(model, sources, folder, of=of, resume=resume, say=say)
        except Interrupted:
            say("stopped while the teacher was running; continue: --resume")
            raise
        _write_labels(pseudo_labels(folder, table, sure, validate=val is None), folder, say)
    while not (folder / TRAIN).is_file():
        time.sleep(WAIT)
    from vitruvian.training.tasks.starts2d import weights_of_maps

    maps = weights_of_maps(teacher, table)
    if maps and getattr(chosen, "teacher", maps) == "":
        chosen = chosen.changed({"teacher": maps})
        say(f"the heat maps of {maps} are learned as well")
    return train(
        student,
        [folder / TRAIN] if labels is None else [labels, folder / TRAIN],
        out,
        val=folder / VAL if val is None else val,
        skeleton=skeleton,
        recipe=chosen,
        resume=resume,
        say=say,
    )


def _student_skeleton(student: str, given: str | None, labels: str | Path | None) -> Skeleton:
    """The skeleton that the student learns."""
    if (named := as_skeleton(given)) is not None:
        return named
    if labels is not None:
        return truth.read(Path(labels), split="train").skeleton
    if student in CATALOGUE:
        return skeleton_named(CATALOGUE[student].skeleton)
    if Path(student).exists():
        return skeleton_of(load(student))
    return COCO17  # a size of vitruvian-2d, see `vitruvian.training.trainable`


def _write_labels(made: PseudoLabels, folder: Path, say: Callable[[str], None]) -> None:
    from vitruvian.training.data.labelled import write_coco

    if made.val.pictures:
        write_coco(made.val, folder / VAL)
    write_coco(made.train, folder / TRAIN)  # the last one: now the teacher is done
    for line in made.train.notes:
        say(line)


def _sources(data: str | Path | Sequence[str | Path], stride: int) -> list[Source]:
    """Images all, videos with a stride.

    Raises:
        VitruvianError: nothing there, or a live source.
    """
    sources: list[Source] = []
    for source in open_source(data, Span(stride=stride)):
        if source.live:
            raise VitruvianError(f"{source.name} is live; record it to a file, and give that")
        sources.append(replace(source, span=Span()) if isinstance(source, Pictures) else source)
    return sources


def _open_teacher(teacher: str | ModelSpec | Model) -> Model:
    """The teacher, for unrelated images; with mirrored views if its family has them."""
    if not isinstance(teacher, str | ModelSpec):
        return teacher
    spec = ModelSpec.of(teacher)
    flip = True if family_of(spec.name).takes("flip") else None
    return load(spec.with_defaults(flip=flip, streams=cores(), **for_pictures(spec.name, {})))
