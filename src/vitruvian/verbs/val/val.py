"""Validation: accuracy of models on annotated data.

Predictions are kept in a folder, image by image, so that an interrupted run can be resumed. With
another model, other options or other data this is refused, see `verbs.folder`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import COCO17
from vitruvian.documents import LONGEST_LINE
from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.evaluate import doubts, oks
from vitruvian.evaluate import truth as truths
from vitruvian.evaluate.coco import read_results
from vitruvian.evaluate.fit import fit_labels_to_pictures
from vitruvian.evaluate.labels import GroundTruth, LabelledPicture
from vitruvian.evaluate.recorded import people_of_record, poses_on_truth, shared_keypoints
from vitruvian.evaluate.scores import PredictedPeople, Scores, score_people
from vitruvian.formats.atomic_file import alone_in
from vitruvian.formats.records import Record, drop_frames
from vitruvian.formats.wire import dump, frame_to_dict, header
from vitruvian.frame import Frame
from vitruvian.models.load import FAMILIES, family_of, load, unnamed_keypoints
from vitruvian.models.model import Model, skeleton_of
from vitruvian.models.spec import ModelSpec
from vitruvian.models.zoo import CATALOGUE
from vitruvian.network.threads import cores
from vitruvian.stopping import hold_signals
from vitruvian.streams.stream import Stream
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.asked import asked_model
from vitruvian.verbs.find import each_frame
from vitruvian.verbs.folder import Ledger, ledger_of, made_by, stamped
from vitruvian.verbs.groups import MachineWords, ModelWords, verb
from vitruvian.verbs.outputs import Names, need_folder

MOST_RESAMPLES = 10000


@dataclass(frozen=True, eq=False)
class Validation:
    """The ground truth, and the scores of each model."""

    truth: GroundTruth
    scores: list[Scores]  # of each model, then of each results file
    options: Mapping[str, Mapping[str, Any]]  # model name -> its options
    notes: list[str]  # remarks for the reader
    faults: tuple[VitruvianError, ...]  # unreadable images, each once


def ready(name: str, *, solid: bool = False, **options: Any) -> Model:
    """Load a model for validation: `Family.for_ap`, overridden by `options`; see `load`.

    Raises:
        VitruvianError: as `load`; or `solid` (metres needed) for a model without metres.
    """
    family = family_of(name)
    if solid and not family.metres:
        able = ", ".join(row.name for row in CATALOGUE.values() if FAMILIES[row.family].metres)
        raise VitruvianError(
            f"{name} gives 2D keypoints only, but the data are 3D; leave it out, or use one of "
            f"{able}"
        )
    options = {**family.for_ap, **options}
    if family.takes("streams") and options.get("threads") is None:
        options.setdefault("streams", cores())  # images in parallel use all cores best
    return load(name, **options)


@verb
def val(
    data: str | Path,
    model: Sequence[str | ModelSpec | Model] | None = None,
    *,
    results: Sequence[str | Path] | None = None,
    images: str | Path | None = None,
    split: str = "val",
    words: ModelWords = ModelWords(),
    common: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    resamples: int = 200,
    say: Callable[[str], None] = lambda _: None,
    machine: MachineWords = MachineWords(),
    on_error: Callable[[VitruvianError], None] = lambda _: None,
) -> Validation:
    """Evaluate models on annotated data.

    Args:
        data: COCO keypoint annotations, a YOLO-pose dataset, joints in metres, or people.jsonl;
            see docs/val.md.
        model: names, with options after commas, specs, or loaded models.
        results: COCO result files or records, from any program, to be scored as well.
        images: folder of the images; by default beside the data.
        split: split of the dataset, if it has several.
        words: `find`, `num_poses`, `conf` of the models; and `skeleton`, a name or .toml file, of
            the annotated keypoints, and of model files that do not name theirs; by default that of
            the annotations, or else COCO's.
        common: score all models on their common keypoints, not each on its own.
        out: folder for the predictions.
        overwrite: start over, whatever is in `out`.
        resume: continue what is in `out`; finished images are skipped.
        resamples: number of bootstrap resamples for the intervals; 0: no intervals.
        machine: `device`, `threads`, `precision`.
        say: called with one line about each model.
        on_error: called with each read error; those images are left out.

    Raises:
        VitruvianError: the data cannot be read, a model shares no keypoints with it, or `out` has
            other settings.
    """
    models, results, skeleton = model or (), results or (), words.skeleton
    if out is not None:
        need_folder(Path(out), "a validation")
    if not models and not results:
        raise VitruvianError("nothing to evaluate; give --model, or --results")
    if not 0 <= resamples <= MOST_RESAMPLES:
        raise VitruvianError(f"resamples is {resamples}, want 0 to {MOST_RESAMPLES}")
    models = [
        _asked(each, words, machine) if isinstance(each, str | ModelSpec) else each
        for each in models
    ]
    known = truths.read(
        Path(data), images=None if images is None else Path(images), split=split, skeleton=skeleton
    )
    if models:
        truths.check_pictures_exist(known)
        known = fit_labels_to_pictures(known)
    for fault in known.faults:
        on_error(fault)
    free, notes = Names(), list(known.notes)
    broken = {str(fault): fault for fault in known.faults}
    found: dict[str, dict[int | str, PredictedPeople]] = {}
    has: dict[str, list[bool]] = {}
    used: dict[str, Mapping[str, Any]] = {}

    def tell(fault: VitruvianError) -> None:
        broken[str(fault)] = fault
        on_error(fault)

    with TemporaryDirectory() as nowhere, alone_in(folder := Path(out or nowhere)):
        for each in models:
            if isinstance(each, ModelSpec):
                given = _keypoints_for(each.name, each.options, known, skeleton, notes)
                opened = ready(each.name, solid=known.solid, **given)
            else:
                opened = each
            table = skeleton_of(opened)
            name = free(f"{opened.name}.jsonl")
            has[name], used[name] = shared_keypoints(opened.name, table, known), opened.options
            file = folder / f"{name}.jsonl"
            ledger = ledger_of_model(file, known, opened)
            ledger.open(resume=resume, overwrite=overwrite, there=[file], again=True)
            with closing(ledger):
                if overwrite:
                    file.unlink(missing_ok=True)
                if ledger.changed:
                    ledger.say_again(ledger.changed)
                    if file.exists():
                        drop_frames(file, ledger.changed)
                    ledger.restart()
                _find(name, opened, known, file, say, tell)
            found[name] = _kept(file, known)
    for file in map(Path, results):
        name = free(file.name)
        if file.suffix.lower() == ".jsonl":
            found[name], has[name] = people_of_record(file, known, notes)
        else:
            found[name] = read_results(file, known, notes)
            has[name] = [True] * len(known.skeleton)
    if common:
        all_have = [all(each) for each in zip(*has.values(), strict=True)]
        has = dict.fromkeys(has, all_have)
    scores = [score_people(name, known, found[name], has[name], resamples) for name in found]
    return Validation(known, scores, used, notes + _notes(known, scores), (*broken.values(),))


def _asked(model: str | ModelSpec, words: ModelWords, machine: MachineWords) -> ModelSpec | Model:
    """A model with those options for all models that it can have.

    One that finds people by itself takes no `find`, one that names its keypoints no `skeleton`.
    """
    spec = ModelSpec.of(model)
    family, own = family_of(spec.name), words
    if not family.takes("find"):
        own = replace(own, find=None)
    if not family.takes("skeleton") and not unnamed_keypoints(spec.name):
        own = replace(own, skeleton=None)
    return asked_model(spec, own, machine)


def _keypoints_for(
    name: str,
    options: Mapping[str, Any],
    truth: GroundTruth,
    skeleton: str | None,
    notes: list[str],
) -> Mapping[str, Any]:
    """The options of a model, with the keypoints of a file that does not name them.

    If it has as many as the data: the user's `skeleton`; or else COCO's, if the data has some of
    those; or else the data's own.
    """
    if options.get("skeleton") is not None:
        return options
    counts, names = unnamed_keypoints(name), truth.skeleton.keypoints
    coco = len(COCO17) in counts and set(COCO17.keypoints) & {*names}
    if len(names) not in counts or (coco and skeleton is None):
        return options
    if skeleton is None:
        notes.append(
            f"'{shown(name, 60)}' does not name its {len(names)} keypoints: assumed to be those "
            "of the data, in the same order"
        )
    return {**options, "skeleton": truth.skeleton}


def _notes(truth: GroundTruth, scores: Sequence[Scores]) -> list[str]:
    """Remarks that the metrics do not show."""
    notes = []
    for each in scores:
        if each.lacks:
            some = ", ".join(each.lacks[:6]) + (", ..." if each.lacks[6:] else "")
            notes.append(
                f"{each.name} is scored on {len(each.keypoints)} of {len(truth.skeleton)} "
                f"keypoints, without {some}"
            )
        if gone := len(truth.pictures) - len(each.pictures):
            notes.append(
                f"{each.name}: without {amount(gone, 'image')} that could not be read, or that "
                "have no result"
            )
        notes += doubts.explain_low_scores(truth, each)
    if len({each.keypoints for each in scores}) > 1:
        notes.append(
            "models scored on different keypoints cannot be compared; --common scores all on the "
            "keypoints they share"
        )
    return notes


# Predictions on disk


def ledger_of_model(file: Path, truth: GroundTruth, model: Model) -> Ledger:
    """The ledger of a model's predictions on a dataset, which are kept in `file`."""
    data = {"labels": truth.sha256, "pictures": [*truth.names.values()]}
    of = {"data": data, **made_by(model)}
    of["sources"] = [stamped(picture.path) for picture in truth.pictures]
    return Ledger(ledger_of(file.parent, file.stem), file, of)


def _done(file: Path) -> set[int]:
    """The indices of the images in an unfinished record; a partial last line is cut off."""
    if not file.exists():
        return set()
    with file.open("rb") as opened:
        if not opened.readline(LONGEST_LINE).endswith(b"\n"):
            return set()  # even the header is incomplete
    record = Record(file)
    try:
        record.append().close()
    except OSError as error:
        raise VitruvianError(f"cannot write '{file}': {error.strerror}") from None
    return {line["index"] for line, *_ in record.index()}


def _kept(file: Path, truth: GroundTruth) -> dict[int | str, PredictedPeople]:
    """Image id -> its predicted people, with the keypoints of the ground truth."""
    found: dict[int | str, PredictedPeople] = {}
    for frame, poses in Record(file) if file.exists() else ():
        if not 0 <= frame.index < len(truth.pictures):
            raise VitruvianError(f"cannot read '{file}'; give another --out, or --overwrite")
        found[truth.pictures[frame.index].number] = poses_on_truth(poses, truth)
    return found


@dataclass(frozen=True, eq=False)
class _Source:
    """The images of a dataset, with their known cameras; a `Source`."""

    name: str
    todo: Sequence[tuple[int, LabelledPicture]]
    moving = False
    live = False

    def __iter__(self) -> Iterator[Frame | VitruvianError]:
        for index, picture in self.todo:
            try:
                frame = Frame.read(picture.path, index)
                yield replace(frame, camera=picture.camera) if picture.camera else frame
            except VitruvianError as error:
                yield error

    def count(self) -> int:
        return len(self.todo)


def _find(
    name: str,
    model: Model,
    truth: GroundTruth,
    file: Path,
    say: Callable[[str], None],
    on_error: Callable[[VitruvianError], None],
) -> None:
    """Run a model on the images that are not done yet."""
    done = _done(file)
    source = _Source(name, [(i, each) for i, each in enumerate(truth.pictures) if i not in done])
    total = len(truth.pictures)
    if done:
        say(f"{name}: resumes '{file}', {len(done)} of {amount(total, 'image')} done")
    if not source.todo:
        return
    began, frames = time.perf_counter(), 0
    try:
        with hold_signals(), file.open("a" if done else "w", encoding="utf-8", newline="") as lines:
            if not done:
                lines.write(dump(header(model, skeleton_of(model))))

            def write(frame: Frame, poses: Poses) -> None:
                nonlocal frames
                lines.write(dump(frame_to_dict(frame, _likeliest(poses), model.name)))
                lines.flush()
                frames += 1

            stream = Stream(
                model, Wanted(absolute=truth.solid, confirm=False), moving=source.moving
            )
            each_frame(name, len(source.todo), stream.run(source, on_error), write)
    except KeyboardInterrupt:
        at = len(done) + frames
        say(f"{name}: stopped at {at} of {amount(total, 'image')}; --resume continues there")
        raise
    except OSError as error:
        _done(file)  # cuts off a partial last line
        raise VitruvianError(
            f"cannot write '{file}': {error.strerror}; --resume continues there"
        ) from None
    seconds = time.perf_counter() - began
    say(f"{name}: {amount(frames, 'image')}, {frames / seconds:.3g} images/s")


def _likeliest(poses: Poses) -> Poses:
    """The highest-scored people, as many as COCO evaluation counts."""
    return poses.take(np.argsort(-poses.box_score, kind="stable")[: oks.MOST])
