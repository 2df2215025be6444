"""The main job: sources through a model into files, with progress, and a line about each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.errors import VitruvianError, note, shown
from vitruvian.formats.part import WriteError, writing
from vitruvian.formats.repairs import Changes
from vitruvian.formats.wire import Provenance, with_options
from vitruvian.models.load import finds_near
from vitruvian.sources.open import Source
from vitruvian.sources.record import Recorded
from vitruvian.stream.stream import Stream
from vitruvian.stream.wanted import Wanted, defaults
from vitruvian.verbs import outputs
from vitruvian.verbs.find import Faults, Pairs, afterwards, all_of, amount, where, write_source
from vitruvian.verbs.output_files import OutputFiles, pictures_of
from vitruvian.verbs.outputs import Save
from vitruvian.verbs.track import made, over_again
from vitruvian.verbs.who import People

if TYPE_CHECKING:
    from vitruvian.body.skeleton import Skeleton
    from vitruvian.models.model import Model
    from vitruvian.stream.repair import Change
    from vitruvian.stream.stream import Given


def predict(
    plans: Sequence[OutputFiles],
    model: Model,
    out: Path,
    save: Save,
    *,
    camera: Given | None = None,
    wanted: Wanted | None = None,
    who: bool = False,
    most_said: bool = True,
    say: Callable[[str], None] = print,
    complain: Callable[[VitruvianError], None],
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
        say: gets a line about each source when it is done.
        complain: gets what cannot be read; the rest is done nevertheless.
    """
    fault, few = Faults(complain), _Few(model, most_said)
    _can_hold(out, save, getattr(model, "skeleton", None))
    wanted = (wanted or Wanted()).or_else(defaults(model))

    def find(each: OutputFiles, tell: Callable[[Change], None], pixels: bool) -> Pairs:
        moving = each.source.moving
        stream = Stream(model, wanted, moving=moving, camera=camera, on_repair=tell)
        pairs = stream.run(each.source, fault, pixels=pixels)
        return all_of(each.source, few.watch(each.source, pairs), fault)

    about = with_options(model, **wanted.to_dict())
    _write(plans, about, out, save, find, who=who, say=say, fault=fault)
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
        outputs.can_hold(out, save, skeleton)


def track_record(
    plans: Sequence[OutputFiles],
    out: Path,
    save: Save,
    wanted: Wanted,
    *,
    renumber: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """The same for the people of one record, see `vitruvian.verbs.track.over_again`."""
    recorded = plans[0].source
    assert isinstance(recorded, Recorded)

    def find(_: OutputFiles, tell: Callable[[Change], None], pixels: bool) -> Pairs:
        return over_again(recorded, wanted, renumber=renumber, pixels=pixels, on_repair=tell)

    _can_hold(out, save, recorded.record.skeleton)
    about = made(recorded, wanted, renumber=renumber)
    _write(plans, about, out, save, find, who=True, say=say)


def _write(
    plans: Sequence[OutputFiles],
    about: Provenance,
    out: Path,
    save: Save,
    find: Callable[[OutputFiles, Callable[[Change], None], bool], Pairs],
    *,
    who: bool,
    say: Callable[[str], None],
    fault: Faults | None = None,
) -> None:
    """What `find` finds into all files.

    `find` is told of a plan, what gets what was mended, and whether frames must have pixels. With
    `fault`, which gets why, a source that does not fit into files of its own does not end the rest.
    """
    paths = [out] if outputs.is_file(out) else []
    pictures = pictures_of([each.source for each in plans])
    how: dict[str, Any] = {"visible": save.visible, "overwrite": True, "pictures": pictures}
    with (
        afterwards(say, wait=bool(paths)) as told,
        writing(out),
        outputs.Several([outputs.open_sink(p, about, **how) for p in paths]) as whole,
    ):
        for each in plans:
            own = [] if outputs.is_file(out) else [each.open(about, save)]
            people = People() if who and each.source.moving else None
            changes = None if each.repairs is None else Changes(each.repairs)
            closed = outputs.Several([*own, *(s for s in (people, changes) if s is not None)])
            sink = outputs.Several([closed, whole])
            tell = (lambda change: None) if changes is None else changes.tell
            pixels = each.frames() or any(outputs.format_of(path).frames for path in paths)
            try:
                said = write_source(each.source, find(each, tell, pixels), sink, closed)
            except WriteError:
                raise
            except VitruvianError as error:
                if fault is None or paths or len(plans) == 1:
                    raise
                fault(error)
                continue
            if said:
                told(f"{said} -> {where(sink.paths)}")
                for line in people.lines() if people else []:
                    told(line)
                if changes is not None:
                    told(str(changes))
