"""The main job: sources through a model into files, with progress, and a line about each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.errors import VitruvianError, note, shown
from vitruvian.formats import solo
from vitruvian.formats.openpose import OpenPose
from vitruvian.formats.part import WriteError, writing
from vitruvian.formats.repairs import Changes
from vitruvian.formats.wire import Provenance, with_options
from vitruvian.models.load import finds_near
from vitruvian.picture_files import page_of
from vitruvian.sources.open import Pictures, Source, Video
from vitruvian.sources.record import Recorded
from vitruvian.stream.stream import Stream
from vitruvian.stream.wanted import Wanted, defaults
from vitruvian.verbs import outputs
from vitruvian.verbs.find import Faults, Pairs, afterwards, all_of, amount, where, write_source
from vitruvian.verbs.outputs import Save, Sink
from vitruvian.verbs.track import made, over_again
from vitruvian.verbs.who import People

if TYPE_CHECKING:
    from vitruvian.body.skeleton import Skeleton
    from vitruvian.models.model import Model
    from vitruvian.stream.repair import Change
    from vitruvian.stream.stream import Given

REPAIRS = "_repairs.csv"  # behind the stem of what lies beside the list of what was mended


@dataclass
class Plan:
    """Which files one source gives."""

    source: Source
    tables: list[Path] = field(default_factory=list)
    video: list[Path] = field(default_factory=list)
    views: list[Path] = field(default_factory=list)  # of a video, in 3D
    folders: list[Path] = field(default_factory=list)  # of OpenPose JSON
    repairs: Path | None = None  # the list of what was mended
    pictures: dict[str, Path] = field(default_factory=dict)  # source of a frame -> picture of it

    def paths(self, save: Save) -> list[Path]:
        """All of them; those of pictures in which there is nobody will be fewer."""
        drawn = list(self.pictures.values()) if save.video else []
        views = [outputs.view_paths(path, save, moving=False) for path in self.pictures.values()]
        own = [*self.tables, *self.video, *self.views, *self.folders]
        return [*own, *drawn, *chain.from_iterable(views)]

    def open(self, about: Provenance, save: Save) -> Sink:
        """A sink for all of them."""
        how: dict[str, Any] = {
            "visible": save.visible,
            "overwrite": True,
            "pictures": pictures_of([self]),
        }
        sinks: list[Sink] = [
            outputs.open_sink(path, about, **how) for path in (*self.tables, *self.video)
        ]
        sinks += [outputs.open_view(path, save.visible) for path in self.views]
        sinks += [OpenPose(path) for path in self.folders]
        if self.pictures and (save.video or save.plot is not False or save.html):
            sinks.append(outputs.Pictures(self.pictures, save))
        return outputs.Several(sinks)


def pictures_of(plans: Sequence[Plan]) -> list[Path]:
    """The pictures among the sources."""
    return [path for p in plans if isinstance(p.source, Pictures) for path in p.source.paths]


def plan(
    sources: Sequence[Source], out: Path, save: Save, *, overwrite: bool, repair: bool = False
) -> list[Plan]:
    """Which files there will be; nothing is written yet.

    Args:
        sources: from `open_source`.
        out: a file for all of them, by its extension, or a folder.
        save: what goes into a folder.
        overwrite: whether files that exist may be replaced.
        repair: whether there will be a list of what was mended, beside the rest.

    Raises:
        VitruvianError: a file exists, would replace an input, or cannot hold what it should.
    """
    if save.rerun is not None and save.rerun.suffix.lower() != ".rrd":
        raise VitruvianError(f"'{save.rerun}' is no name for a recording; end it with .rrd")
    for name in (out, save.rerun):
        if name is not None and outputs.is_file(name):
            _fits(sources, name)
    if outputs.is_file(out):
        if save.more:
            more = ", ".join(save.more)
            raise VitruvianError(f"'{out}' is one file; for {more} beside it give a folder")
        plans = [Plan(source) for source in sources]
        if repair and len(sources) > 1:
            raise VitruvianError(
                f"'{out}' is one file, and there is a list of what was mended of each of "
                f"{len(sources)} sources; give a folder"
            )
        if repair:
            plans[0].repairs = out.with_name(f"{out.stem}{REPAIRS}")
        paths = [out]
    else:
        if out.exists() and not out.is_dir():
            raise VitruvianError(f"'{out}' is a file, and of no kind that can be written")
        plans = _folder(sources, out, save, repair)
        paths = [path for each in plans for path in each.paths(save)]
        if not paths and save.rerun is None:
            raise VitruvianError("nothing would be written; leave one of the --save options on")
    paths += [] if save.rerun is None else [save.rerun]
    paths += [each.repairs for each in plans if each.repairs is not None]
    pictures = [path for s in sources if isinstance(s, Pictures) for path in s.paths]
    inputs = {page_of(path)[0].resolve() for path in pictures}
    inputs |= {Path(s.address).resolve() for s in sources if isinstance(s, Video)}
    records = [s for s in sources if isinstance(s, Recorded)]
    inputs |= {s.record.path.resolve() for s in records} | {
        Path(s.source).resolve() for s in records
    }
    for path in paths:
        if path.resolve() in inputs:
            raise VitruvianError(f"'{path}' is an input; give another --out")
    outputs.refuse_existing(paths, overwrite)
    if save.heatmaps is not None:
        outputs.refuse_full(save.heatmaps, overwrite)
    return plans


def _fits(sources: Sequence[Source], out: Path) -> None:
    kind, moving = out.suffix.lower(), [source.moving for source in sources]
    pictures = sum(len(s.paths) for s in sources if isinstance(s, Pictures))
    if kind in outputs.PICTURES and (any(moving) or pictures != 1):
        raise VitruvianError(
            f"'{out}' holds one picture, the source is another thing; give a folder"
        )
    if kind in outputs.MOVING_3D and moving != [True]:
        raise VitruvianError(f"'{out}' holds one video, the source is another thing; give a folder")
    if kind == ".html" and (len(sources) != 1 or pictures > 1):
        raise VitruvianError(
            f"'{out}' holds one picture or video; for more give a folder and --save html"
        )
    if kind == ".txt" and moving != [True]:
        raise VitruvianError(
            f"'{out}' holds numbered people of one video, the source is another thing; "
            "give videos one by one, or a folder and --save mot"
        )
    if kind == ".json" and any(moving) and len(sources) > 1:
        raise VitruvianError(
            f"'{out}' holds people of pictures, or of one video, whose frames it numbers; for "
            "several give a folder and --save coco"
        )
    if kind in solo.WRITERS and (len(sources) != 1 or pictures > 1):
        raise VitruvianError(
            f"'{out}' holds one person of one picture or video; for more give a folder and "
            f"--save {kind[1:]}"
        )
    if kind == ".rrd" and len(sources) != 1:
        raise VitruvianError(f"'{out}' holds one source, these are {len(sources)}; give one")


def _folder(sources: Sequence[Source], out: Path, save: Save, repair: bool) -> list[Plan]:
    if "mot" in save.more and not any(source.moving for source in sources):
        raise VitruvianError("mot is for videos, but there are only pictures; leave it out")
    plans: list[Plan] = []
    tables = {".jsonl": save.json, ".csv": save.csv, ".parquet": save.parquet, ".json": save.coco}
    tables |= {f".{name}": True for name in save.more if name not in ("openpose", "mot")}
    name = outputs.Names()
    for source in sources:
        several = isinstance(source, Pictures) and len(source.paths) > 1
        stem = name("poses" if several else source.name)
        each = Plan(source, [out / f"{stem}{kind}" for kind, wanted in tables.items() if wanted])
        if "openpose" in save.more:
            each.folders = [out / f"{stem}_openpose"]
        if isinstance(source, Pictures):
            stems = [name(path.name) for path in source.paths] if several else [stem]
            pairs = zip(source.paths, stems, strict=True)
            each.pictures = {str(path): out / f"{s}.jpg" for path, s in pairs}
        else:
            each.video = [out / f"{stem}.mp4"] if save.video else []
            views = outputs.view_paths(out / f"{stem}.mp4", save, moving=True)
            free = name(views[0].name) if views else ""
            each.views = [path.with_stem(free) for path in views]
            each.tables += [out / f"{stem}.txt"] if "mot" in save.more else []
            each.repairs = out / f"{stem}{REPAIRS}" if repair else None
        plans.append(each)
    return plans


def write_poses(
    plans: Sequence[Plan],
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
    written: list[Path] | None = None,
) -> int:
    """Do it; returns how many things could not be read.

    Args:
        plans: from `plan`, with the same `out` and `save`.
        model: what finds the people.
        out: a file or a folder.
        save: what goes into a folder.
        camera: of the pictures, see `vitruvian.stream.stream.Stream`.
        wanted: what is done over time, and where metres are from.
        who: whether there is a line about each person of a video.
        most_said: whether the user said how many people there are at most.
        say: gets a line about each source when it is done.
        complain: gets what cannot be read; the rest is done nevertheless.
        written: gets the files.
    """
    fault, few = Faults(complain), _Few(model, most_said)
    _can_hold(out, save, getattr(model, "skeleton", None))
    wanted = (wanted or Wanted()).or_else(defaults(model))

    def find(each: Plan, tell: Callable[[Change], None], pixels: bool) -> Pairs:
        moving = each.source.moving
        stream = Stream(model, wanted, moving=moving, camera=camera, on_repair=tell)
        pairs = stream.run(each.source, fault, pixels=pixels)
        return all_of(each.source, few.watch(each.source, pairs), fault)

    about = with_options(model, **wanted.to_dict())
    _write(plans, about, out, save, find, who=who, say=say, fault=fault, written=written)
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
    plans: Sequence[Plan],
    out: Path,
    save: Save,
    wanted: Wanted,
    *,
    renumber: bool = False,
    say: Callable[[str], None] = print,
    written: list[Path] | None = None,
) -> None:
    """The same for the people of one record, see `vitruvian.verbs.track.over_again`."""
    recorded = plans[0].source
    assert isinstance(recorded, Recorded)

    def find(_: Plan, tell: Callable[[Change], None], pixels: bool) -> Pairs:
        return over_again(recorded, wanted, renumber=renumber, pixels=pixels, on_repair=tell)

    _can_hold(out, save, recorded.record.skeleton)
    about = made(recorded, wanted, renumber=renumber)
    _write(plans, about, out, save, find, who=True, say=say, written=written)


def _write(
    plans: Sequence[Plan],
    about: Provenance,
    out: Path,
    save: Save,
    find: Callable[[Plan, Callable[[Change], None], bool], Pairs],
    *,
    who: bool,
    say: Callable[[str], None],
    fault: Faults | None = None,
    written: list[Path] | None = None,
) -> None:
    """What `find` finds into all files.

    `find` is told of a plan, what gets what was mended, and whether frames must have pixels. With
    `fault`, which gets why, a source that does not fit into files of its own does not end the rest.
    """
    heat = outputs.Names()
    paths = [out] if outputs.is_file(out) else []
    paths += [save.rerun] if save.rerun is not None else []
    how: dict[str, Any] = {"visible": save.visible, "overwrite": True}
    how["pictures"] = pictures_of(plans)
    with (
        afterwards(say, wait=bool(paths)) as told,
        writing(out),
        outputs.Several([outputs.open_sink(p, about, **how) for p in paths]) as whole,
    ):
        for each in plans:
            own = [] if outputs.is_file(out) else [each.open(about, save)]
            if save.heatmaps is not None:
                own.append(outputs.HeatMaps(save.heatmaps, heat, each.source.moving))
            people = People() if who and each.source.moving else None
            changes = None if each.repairs is None else Changes(each.repairs)
            closed = outputs.Several([*own, *(s for s in (people, changes) if s is not None)])
            sink = outputs.Several([closed, whole])
            tell = (lambda change: None) if changes is None else changes.tell
            pixels = bool(each.pictures) or any(map(_drawn, [*each.video, *paths]))
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
                if written is not None:
                    written += sink.paths
                for line in people.lines() if people else []:
                    told(line)
                if changes is not None:
                    told(str(changes))


def _drawn(path: Path) -> bool:
    """Whether a file shows the frames themselves."""
    kind = path.suffix.lower()
    return kind == ".rrd" or (
        kind in (*outputs.PICTURES, *outputs.VIDEOS) and not outputs.is_view(path)
    )
