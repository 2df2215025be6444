"""The main job: run a model on sources and write files, with progress and a summary line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.errors import VitruvianError, amount, note, shown
from vitruvian.formats.wire import Provenance, with_options
from vitruvian.models.load import finds_near
from vitruvian.sources.open import Source
from vitruvian.sources.record import Recorded
from vitruvian.sources.threads import reread
from vitruvian.streams.confirm import Confirm
from vitruvian.streams.stream import Stream
from vitruvian.streams.wanted import Wanted, defaults
from vitruvian.verbs.find import (
    Faults,
    Finder,
    FindOutputs,
    Pairs,
    find_into_files,
    until_error,
)
from vitruvian.verbs.groups import quiet
from vitruvian.verbs.output_files import OutputFiles, pictures_of
from vitruvian.verbs.outputs import Save, can_hold, format_of, is_file, open_sink
from vitruvian.verbs.track import made, over_again

if TYPE_CHECKING:
    from vitruvian.body.skeleton import Skeleton
    from vitruvian.models.model import Model
    from vitruvian.streams.repaired import Repaired
    from vitruvian.streams.stream import Given


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
    """Write the poses of all sources; returns the number of read errors.

    Args:
        plans: from `plan_outputs`, with the same `out` and `save`.
        model: the pose model.
        out: a file or a folder.
        save: formats written into a folder.
        camera: camera of the images, see `vitruvian.streams.stream.Stream`.
        wanted: tracking, smoothing, repair, and absolute 3D.
        who: whether to print a line about each person of a video.
        most_said: whether the user set the maximum number of people.
        resume: continue files of an interrupted run, and keep finished ones.
        of: other inputs, such as the camera; if they differ, files are not continued.
        say: called with one line about each finished source.
        on_error: called with each read error; the rest is still done.
        written: list that receives the files.
    """
    fault, few = Faults(on_error), PeopleHints(model, most_said)
    _can_hold(out, save, getattr(model, "skeleton", None))
    wanted = (wanted or Wanted()).or_else(defaults(model))

    def people_of(source: Source, tell: Callable[[Repaired], None], pixels: bool) -> Pairs:
        stream = Stream(model, wanted, moving=source.moving, camera=camera, on_repair=tell)
        pairs = stream.run(source, fault, pixels=pixels)
        return until_error(source, few.watch(source, pairs, stream.confirm), fault)

    about = with_options(model, **wanted.to_dict())
    files = [] if written is None else written
    outputs = FindOutputs(out, save, about, _of(save, of), resume, who, say, files)
    _into_files(plans, people_of, outputs, fault)
    for hint in few.hints():
        note(hint)
    fault.sum_up(len(plans))
    return fault.count


class PeopleHints:
    """Hints for BlazePose's detector: no people found, or as many as `num_poses` allows."""

    def __init__(self, model: Model, most_said: bool) -> None:
        self.near = finds_near(model)
        self.most = None if most_said else model.options.get("num_poses")
        self.pictures, self.empty, self.full = 0, list[str](), False

    def watch(self, source: Source, pairs: Pairs, confirm: Confirm | None = None) -> Pairs:
        """The same pairs. A video counts as one image, empty if no frame has people.

        Who was found, and left out by `confirm`, counts as found: that says so itself.
        """
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
        nobody = not people and (confirm is None or not confirm.tracks)
        if source.moving and self.pictures > before and nobody:
            self.empty.append(source.name)

    def hints(self) -> Iterator[str]:
        """Options to try."""
        if self.near and self.empty:
            names = f"'{shown(self.empty[0], 60)}'"
            if len(self.empty) > 1:
                names += f" and {len(self.empty) - 1} more of {self.pictures}"
            yield (
                f"nobody was found in {names}: BlazePose's detector looks for people near the "
                "camera; try --find vitruvian-find, or --conf 0.3"
            )
        if self.near and self.full:
            people = amount(self.most or 0, "person", "people")
            yield (
                f"found {people}, the maximum; if there are more, try --num-poses "
                f"{max(5, 2 * (self.most or 0))}, also with --find vitruvian-find"
            )


def _can_hold(out: Path, save: Save, skeleton: Skeleton | None) -> None:
    """Raise `VitruvianError` if a file cannot hold the poses, as far as the skeleton is known."""
    if skeleton is not None:
        can_hold(out, save, skeleton)


def _of(save: Save, more: Mapping[str, Any] | None) -> dict[str, Any]:
    """Inputs of the files besides the model and the sources."""
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
    """Write the poses of one record, see `vitruvian.verbs.track.over_again`."""
    recorded = plans[0].source
    assert isinstance(recorded, Recorded)

    def people_of(_: Source, tell: Callable[[Repaired], None], pixels: bool) -> Pairs:
        return over_again(recorded, wanted, renumber=renumber, pixels=pixels, on_repair=tell)

    _can_hold(out, save, recorded.record.skeleton)
    about = made(recorded, wanted, renumber=renumber)
    files = [] if written is None else written
    outputs = FindOutputs(out, save, about, _of(save, None), resume, True, say, files)
    _into_files(plans, people_of, outputs)


def write_joined(
    plans: Sequence[OutputFiles],
    joined: Callable[[], Pairs],
    about: Provenance,
    out: Path,
    save: Save,
    *,
    on_error: Callable[[VitruvianError], None],
    written: list[Path],
) -> None:
    """Write poses that are known already to the files of their video.

    Args:
        plans: of the one source, from `plan_outputs`, with the same `out` and `save`.
        joined: gives the frames, without pixels, and their poses.
        about: the model and options behind the poses.
        out: a folder.
        save: formats written into it.
        on_error: called with each read error; the rest is still done.
        written: list that receives the files.
    """
    fault = Faults(on_error)

    def people_of(source: Source, tell: Callable[[Repaired], None], pixels: bool) -> Pairs:
        pairs = joined()
        return until_error(source, reread(source, pairs) if pixels else pairs, fault)

    outputs = FindOutputs(out, save, about, _of(save, None), say=quiet, written=written)
    _into_files(plans, people_of, outputs, fault)


def _into_files(
    plans: Sequence[OutputFiles], finder: Finder, outputs: FindOutputs, fault: Faults | None = None
) -> None:
    """Write the poses of each source to all its files."""
    out, save = outputs.out, outputs.save
    pictures = pictures_of([each.source for each in plans])
    how: dict[str, Any] = {"visible": save.visible, "overwrite": True, "pictures": pictures}
    whole = [partial(open_sink, out, outputs.about, **how)] if is_file(out) else []
    shown = bool(whole) and format_of(out).frames
    find_into_files(plans, finder, outputs, whole, lambda each: shown or each.frames(), fault)
