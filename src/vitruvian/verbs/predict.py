"""The main job: sources through a model into files, with progress, and a line about each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.errors import VitruvianError, note, shown
from vitruvian.formats.wire import with_options
from vitruvian.models.load import finds_near
from vitruvian.sources.open import Source
from vitruvian.sources.record import Recorded
from vitruvian.stream.stream import Stream
from vitruvian.stream.wanted import Wanted, defaults
from vitruvian.verbs.find import (
    Faults,
    Finder,
    FindOutputs,
    Pairs,
    amount,
    find_into_files,
    until_error,
)
from vitruvian.verbs.output_files import OutputFiles, pictures_of
from vitruvian.verbs.outputs import Save, can_hold, format_of, is_file, open_sink
from vitruvian.verbs.track import made, over_again

if TYPE_CHECKING:
    from vitruvian.body.skeleton import Skeleton
    from vitruvian.models.model import Model
    from vitruvian.stream.repair import Repaired
    from vitruvian.stream.stream import Given


def write_poses(
    plans: Sequence[OutputFiles],
    model: Model,
    out: Path,
    save: Save,
    *,
    camera: Given | None = None,
    wanted: Wanted | None = None,
    who: bool = False,
    most_said: bool = True,
    resume: bool = False,
    of: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
    on_error: Callable[[VitruvianError], None],
    written: list[Path] | None = None,
) -> int:
    """Do it; returns how many things could not be read.

    Args:
        plans: from `plan_outputs`, with the same `out` and `save`.
        model: what finds the people.
        out: a file or a folder.
        save: what goes into a folder.
        camera: of the pictures, see `vitruvian.stream.stream.Stream`.
        wanted: what is done over time, and where metres are from.
        who: whether there is a line about each person of a video.
        most_said: whether the user said how many people there are at most.
        resume: whether files of a run that was stopped are continued, and finished ones kept.
        of: what else files depend on, such as the camera: of other ones they are not continued.
        say: gets a line about each source when it is done.
        on_error: gets what cannot be read; the rest is done nevertheless.
        written: gets the files.
    """
    fault, few = Faults(on_error), _Few(model, most_said)
    _can_hold(out, save, getattr(model, "skeleton", None))
    wanted = (wanted or Wanted()).or_else(defaults(model))

    def people_of(source: Source, tell: Callable[[Repaired], None], pixels: bool) -> Pairs:
        stream = Stream(model, wanted, moving=source.moving, camera=camera, on_repair=tell)
        pairs = stream.run(source, fault, pixels=pixels)
        return until_error(source, few.watch(source, pairs), fault)

    about = with_options(model, **wanted.to_dict())
    files = [] if written is None else written
    outputs = FindOutputs(out, save, about, _of(save, of), resume, who, say, files)
    _into_files(plans, people_of, outputs, fault)
    for hint in few.hints():
        note(hint)
    fault.sum_up(len(plans))
    return fault.count


class _Few:
    """Where BlazePose's detector finds people: whether it found nobody, or as many as it may."""

    def __init__(self, model: Model, most_said: bool) -> None:
        self.near = finds_near(model)
        self.most = None if most_said else model.options.get("num_poses")
        self.pictures, self.empty, self.full = 0, list[str](), False

    def watch(self, source: Source, pairs: Pairs) -> Pairs:
        """The same pairs. A video counts as one: whether anybody is in it."""
        before = self.pictures
        people = 0
        for frame, poses in pairs:
            self.full |= len(poses) == self.most
            people = max(people, len(poses))
            if not source.moving:
                self.pictures += 1
                self.empty += [] if len(poses) else [Path(frame.source).name]
            yield frame, poses
            if source.moving and before == self.pictures:
                self.pictures += 1
        if source.moving and self.pictures > before and not people:
            self.empty.append(source.name)

    def hints(self) -> Iterator[str]:
        """What to try."""
        if self.near and self.empty:
            names = f"'{shown(self.empty[0], 60)}'"
            if len(self.empty) > 1:
                names += f" and {len(self.empty) - 1} more of {self.pictures}"
            yield (
                f"nobody was found in {names}: BlazePose's detector looks for people near the "
                "camera; try --find yolov8n-pose, or --conf 0.3"
            )
        if self.near and self.full:
            people = amount(self.most or 0, "person", "people")
            yield (
                f"{people} at a time at most, and that many were found; if there are more, try "
                f"--num-poses {max(5, 2 * (self.most or 0))}, or --find yolov8n-pose with it"
            )


def _can_hold(out: Path, save: Save, skeleton: Skeleton | None) -> None:
    """Raise `VitruvianError` if a file cannot hold what will be found, as far as that is known."""
    if skeleton is not None:
        can_hold(out, save, skeleton)


def _of(save: Save, more: Mapping[str, Any] | None) -> dict[str, Any]:
    """What files depend on besides the model and the sources."""
    return {"save": list(save.names), "visible": save.visible, **(more or {})}


def track_record(
    plans: Sequence[OutputFiles],
    out: Path,
    save: Save,
    wanted: Wanted,
    *,
    renumber: bool = False,
    resume: bool = False,
    say: Callable[[str], None] = print,
    written: list[Path] | None = None,
) -> None:
    """The same for the people of one record, see `vitruvian.verbs.track.over_again`."""
    recorded = plans[0].source
    assert isinstance(recorded, Recorded)

    def people_of(_: Source, tell: Callable[[Repaired], None], pixels: bool) -> Pairs:
        return over_again(recorded, wanted, renumber=renumber, pixels=pixels, on_repair=tell)

    _can_hold(out, save, recorded.record.skeleton)
    about = made(recorded, wanted, renumber=renumber)
    files = [] if written is None else written
    outputs = FindOutputs(out, save, about, _of(save, None), resume, True, say, files)
    _into_files(plans, people_of, outputs)


def _into_files(
    plans: Sequence[OutputFiles], finder: Finder, outputs: FindOutputs, fault: Faults | None = None
) -> None:
    """What is found in each source into all files."""
    out, save = outputs.out, outputs.save
    pictures = pictures_of([each.source for each in plans])
    how: dict[str, Any] = {"visible": save.visible, "overwrite": True, "pictures": pictures}
    whole = [partial(open_sink, out, outputs.about, **how)] if is_file(out) else []
    shown = bool(whole) and format_of(out).frames
    find_into_files(plans, finder, outputs, whole, lambda each: shown or each.frames(), fault)
