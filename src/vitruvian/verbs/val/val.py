"""Validation: models on pictures whose truth is known, and how good they are.

What a model finds is kept in a folder, picture by picture, so that a run that was stopped goes on
where it was; `settings.json` in it says of what it is, and of other settings it is refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.documents import read_json
from vitruvian.errors import VitruvianError, shown
from vitruvian.evaluate import doubts, oks
from vitruvian.evaluate import truth as truths
from vitruvian.evaluate.coco import results_of
from vitruvian.evaluate.fit import fitted
from vitruvian.evaluate.labels import Picture, Truth
from vitruvian.evaluate.recorded import in_common, on_truth, recorded
from vitruvian.evaluate.scores import Found, Scores, score
from vitruvian.formats.part import alone_in, write_whole
from vitruvian.formats.records import Record
from vitruvian.formats.wire import dump, header, to_dict
from vitruvian.frame import Frame
from vitruvian.models.load import FAMILIES, family_of, load, unnamed_keypoints
from vitruvian.models.model import Model, cores
from vitruvian.models.zoo import CATALOGUE
from vitruvian.sources.threads import BackgroundWriter
from vitruvian.stopping import held, interruptible
from vitruvian.stream.stream import Stream
from vitruvian.stream.wanted import Wanted
from vitruvian.verbs.outputs import Names
from vitruvian.verbs.progress import progress

MOST_RESAMPLES = 10000
NO_MATTER = ("threads", "streams")  # options that change how quickly, not what is found


@dataclass(frozen=True, eq=False)
class Result:
    """The truth, and how good each model is beside it."""

    truth: Truth
    scores: list[Scores]  # of each model, then of each file of results
    options: dict[str, dict[str, Any]]  # name of a model -> what it was loaded with
    notes: list[str]  # what a reader must know
    faults: int  # how many pictures could not be read


def ready(name: str, *, solid: bool = False, **options: Any) -> Model:
    """A model as validation wants it: `Family.for_ap`, but for what is in `options`; see `load`.

    Raises:
        VitruvianError: as `load`; or metres are asked for (`solid`), which it does not give.
    """
    family = family_of(name)
    if solid and not family.metres:
        able = ", ".join(row.name for row in CATALOGUE.values() if FAMILIES[row.family].metres)
        raise VitruvianError(
            f"{name} finds joints in pixels only, the data has them in metres; leave it out, or "
            f"take one of {able}"
        )
    options = {**family.for_ap, **options}
    if family.takes("streams") and options.get("threads") is None:
        options.setdefault("streams", cores())  # pictures side by side use all cores best
    return load(name, **options)


def val(
    data: str | Path,
    models: Sequence[str | Model | tuple[str, Mapping[str, Any]]] = (),
    *,
    results: Sequence[str | Path] = (),
    images: str | Path | None = None,
    split: str = "val",
    skeleton: str | None = None,
    common: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    resamples: int = 200,
    say: Callable[[str], None] = lambda _: None,
    complain: Callable[[VitruvianError], None] = lambda _: None,
    **options: Any,
) -> Result:
    """How good models are on pictures whose truth is known.

    Args:
        data: COCO's keypoint annotations, a YOLO-pose data set, joints in metres, or people.jsonl;
            see docs/val.md.
        models: names, loaded with `ready`, pairs of a name and options of its own, or models that
            are loaded already.
        results: files of COCO results, or records, made by whomever, to be compared as well.
        images: the folder of the pictures; beside the data.
        split: which part of the data, where it has parts.
        skeleton: of the labels' keypoints, a name or a .toml file, and of models that are given
            as files and do not name theirs; as the labels say, or else COCO's.
        common: score all on the keypoints that all of them have, not each on its own.
        out: a folder that keeps what is found; a run that was stopped goes on there.
        overwrite: begin anew, whatever is in `out`.
        resamples: how often pictures are drawn anew for the intervals; 0: without any.
        say: gets a line about each model.
        complain: gets what could not be read; those pictures are left out.
        options: of the models that are given by name; see `load`.

    Raises:
        VitruvianError: the data cannot be read, a model and it have nothing in common, or `out` is
            of other settings.
    """
    if not models and not results:
        raise VitruvianError("there is nothing to compare; give a model, or a file of results")
    if not 0 <= resamples <= MOST_RESAMPLES:
        raise VitruvianError(f"resamples is {resamples}, want 0 to {MOST_RESAMPLES}")
    known = truths.read(
        Path(data), images=None if images is None else Path(images), split=split, skeleton=skeleton
    )
    if models:
        truths.need_pictures(known)
        known = fitted(known)
    for fault in known.faults:
        complain(fault)
    free, notes, broken = Names(), list(known.notes), {str(fault) for fault in known.faults}
    found: dict[str, dict[int | str, Found]] = {}
    has: dict[str, list[bool]] = {}
    used: dict[str, dict[str, Any]] = {}

    def tell(fault: VitruvianError) -> None:
        broken.add(str(fault))
        complain(fault)

    with TemporaryDirectory() as nowhere, alone_in(folder := Path(out or nowhere)):
        kept = Kept(folder, known, overwrite=overwrite)
        for each in models:
            which, own = each if isinstance(each, tuple) else (each, {})
            model = which
            if isinstance(model, str):
                given = _keypoints_for(model, {**options, **own}, known, skeleton, notes)
                model = ready(model, solid=known.solid, **given)
            table = _table_of(model)
            name = free(f"{model.name}.jsonl")
            has[name], used[name] = in_common(model.name, table, known), model.options
            kept.admit(name, model)
            _find(name, model, known, kept, say, tell)
            found[name] = kept.read(name, known)
    for file in map(Path, results):
        name = free(file.name)
        if file.suffix.lower() == ".jsonl":
            found[name], has[name] = recorded(file, known, notes)
        else:
            found[name] = results_of(file, known, notes)
            has[name] = [True] * len(known.skeleton)
    if common:
        all_have = [all(each) for each in zip(*has.values(), strict=True)]
        has = dict.fromkeys(has, all_have)
    scores = [score(name, known, found[name], has[name], resamples) for name in found]
    return Result(known, scores, used, notes + _notes(known, scores), len(broken))


def _keypoints_for(
    name: str, options: Mapping[str, Any], truth: Truth, skeleton: str | None, notes: list[str]
) -> Mapping[str, Any]:
    """The options of a model, with the keypoints of a file that does not name them.

    If it has as many as the data, they are what the user says; or else COCO's, where the data has
    some of those, or the data's own.
    """
    if options.get("skeleton") is not None:
        return options
    counts, names = unnamed_keypoints(name), truth.skeleton.keypoints
    coco = len(COCO17) in counts and set(COCO17.keypoints) & {*names}
    if len(names) not in counts or (coco and skeleton is None):
        return options
    if skeleton is None:
        notes.append(
            f"'{shown(name, 60)}' does not name its {len(names)} keypoints: those of the data are "
            "taken, in their order"
        )
    return {**options, "skeleton": truth.skeleton}


def _table_of(model: Model) -> Skeleton:
    table = getattr(model, "skeleton", None)
    if not isinstance(table, Skeleton):
        raise VitruvianError(f"{model.name} does not say which skeleton it has")
    return table


def _notes(truth: Truth, scores: Sequence[Scores]) -> list[str]:
    """What the numbers do not say by themselves."""
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
                f"{each.name}: {gone} pictures are left out: they could not be read, or nothing is "
                "known of them"
            )
        notes += doubts.of_scores(truth, each)
    if len({each.keypoints for each in scores}) > 1:
        notes.append(
            "models that are scored on different keypoints cannot be compared; --common scores all "
            "on those that all have"
        )
    return notes


# What is found, and kept


class Kept:
    """The folder of a run: what was found so far, and with which settings."""

    def __init__(self, folder: Path, truth: Truth, *, overwrite: bool) -> None:
        """Open it.

        Raises:
            VitruvianError: it is of other data, or cannot be written.
        """
        self.folder, self._table = folder, folder / "settings.json"
        data = {"labels": truth.sha256, "pictures": [*truth.names.values()]}
        self._said: dict[str, Any] = {"data": data, "models": {}}
        self._fresh = overwrite
        if self._table.exists() and not overwrite:
            said = read_json(self._table)
            if not (isinstance(said, dict) and isinstance(said.get("models"), dict)):
                raise self._broken(self._table)
            if said.get("data") != data:
                raise VitruvianError(
                    f"'{folder}' is of other data than '{truth.source}'; give another --out, "
                    "or --overwrite"
                )
            self._said = said
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VitruvianError(f"cannot write to '{folder}': {error.strerror}") from None

    @staticmethod
    def _broken(file: Path) -> VitruvianError:
        return VitruvianError(f"cannot read '{file}'; give another --out, or --overwrite")

    def file(self, name: str) -> Path:
        """Of a model."""
        return self.folder / f"{name}.jsonl"

    def admit(self, name: str, model: Model) -> None:
        """Say what the model is.

        Raises:
            VitruvianError: what is here was found with other options.
        """
        options = {key: value for key, value in model.options.items() if key not in NO_MATTER}
        new = json.loads(json.dumps({"weights": model.weights, "options": options}, default=str))
        old = self._said["models"].get(name)
        if old is not None and old != new:
            before = old.get("options", {}) if isinstance(old, dict) else {}
            differs = [key for key in new["options"] if before.get(key) != options[key]]
            what = f"{differs[0]} {before.get(differs[0])}" if differs else "other weights"
            raise VitruvianError(
                f"'{self.file(name)}' was found with {what}; give another --out, or --overwrite"
            )
        if old is None or self._fresh:
            self.file(name).unlink(missing_ok=True)
        self._said["models"][name] = new
        write_whole(self._table, json.dumps(self._said, indent=1))

    def done(self, name: str) -> set[int]:
        """Which pictures are there, by their place; a line that was being written is cut off."""
        file = self.file(name)
        if not file.exists():
            return set()
        record = Record(file)
        try:
            record.append().close()
        except OSError as error:
            raise VitruvianError(f"cannot write '{file}': {error.strerror}") from None
        return {line["index"] for line, *_ in record.index()}

    def read(self, name: str, truth: Truth) -> dict[int | str, Found]:
        """Number of a picture -> who was found in it, with the keypoints of the truth."""
        found: dict[int | str, Found] = {}
        file = self.file(name)
        for frame, poses in Record(file) if file.exists() else ():
            try:
                number = truth.pictures[frame.index].number
            except IndexError:
                raise self._broken(file) from None
            found[number] = on_truth(poses, truth)
        return found


@dataclass(frozen=True, eq=False)
class _Source:
    """The pictures of a data set, with the cameras it knows of; a `Source`."""

    name: str
    todo: Sequence[tuple[int, Picture]]
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
    truth: Truth,
    kept: Kept,
    say: Callable[[str], None],
    complain: Callable[[VitruvianError], None],
) -> None:
    """Run a model on the pictures that it has not seen yet."""
    done = kept.done(name)
    source = _Source(name, [(i, each) for i, each in enumerate(truth.pictures) if i not in done])
    total = len(truth.pictures)
    if done:
        say(f"{name}: goes on in '{kept.file(name)}', {len(done)} of {total} pictures are done")
    if not source.todo:
        return
    began, frames = time.perf_counter(), 0
    try:
        with (
            held(),
            kept.file(name).open("a" if done else "w", encoding="utf-8", newline="") as file,
        ):
            if not done:
                file.write(dump(header(model, _table_of(model))))

            def write(frame: Frame, poses: Poses) -> None:
                file.write(dump(to_dict(frame, _likeliest(poses), model.name)))
                file.flush()

            with progress(name, len(source.todo)) as tick, BackgroundWriter(write) as later:
                stream = Stream(model, Wanted(absolute=truth.solid), moving=source.moving)
                pairs = stream.run(source, complain)
                for pair in interruptible(pairs):
                    later(*pair)
                    frames += 1
                    tick(frames)
    except KeyboardInterrupt:
        at = len(done) + frames
        say(f"{name}: stopped at {at} of {total} pictures; the same command goes on there")
        raise
    except OSError as error:
        kept.done(name)  # without the line that was being written
        raise VitruvianError(
            f"cannot write '{kept.file(name)}': {error.strerror}; the same command goes on there"
        ) from None
    seconds = time.perf_counter() - began
    say(f"{name}: {frames} pictures, {frames / seconds:.3g} pictures/s")


def _likeliest(poses: Poses) -> Poses:
    """Those who can count."""
    return poses.take(np.argsort(-poses.box_score, kind="stable")[: oks.MOST])
