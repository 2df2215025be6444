"""Plan the output files of sources, and check for conflicts, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from vitruvian.errors import VitruvianError
from vitruvian.formats.format import Format, Sink, WriteOptions
from vitruvian.formats.wire import Provenance
from vitruvian.picture_files.content import page_of
from vitruvian.sources.open import Pictures, Source
from vitruvian.sources.record import Recorded
from vitruvian.sources.video import VideoFile
from vitruvian.verbs.outputs import (
    HTML,
    IN_3D,
    PLOT,
    VIDEO,
    EachPicture,
    Names,
    Save,
    Several,
    format_of,
    is_file,
    refuse_existing,
)

REPAIRS = "_repairs.csv"  # suffix after the stem of the other outputs
BESIDE = (VIDEO, PLOT, HTML)  # one file per image; so do `one_person` files
# What a file can hold, as named in error messages.
ROOMS = {
    "source": "one source",
    "picture": "one image",
    "picture or video": "one image or video",
    "video": "one video",
    "pictures": "images; extract the frames of a video first",
    "pictures or a video": "images, or one video, whose frames it numbers",
}


@dataclass
class OutputFiles:
    """The output files of one source."""

    source: Source
    files: list[tuple[Format, Path]] = field(default_factory=list)  # of all its frames
    pictures: dict[str, list[tuple[Format, Path]]] = field(default_factory=dict)  # of each image
    repairs: Path | None = None  # the table of repairs

    def paths(self) -> list[Path]:
        """All paths; images without people get fewer files."""
        return [path for _, path in (*self.files, *chain.from_iterable(self.pictures.values()))]

    def video(self, source: str | None = None) -> Path | None:
        """The annotated video, or the annotated copy of an image."""
        files = self.files if source is None else self.pictures.get(source, [])
        return next((path for row, path in files if row is VIDEO), None)

    def frames(self) -> bool:
        """Whether frames need pixels, because they are drawn."""
        files = chain(self.files, *self.pictures.values())
        return any(row.frames for row, _ in files)

    def open(self, about: Provenance, save: Save) -> Sink:
        """A sink for all files."""
        pictures = tuple(pictures_of([self.source]))
        how = WriteOptions(about, save.visible, pictures=pictures, moving=self.source.moving)
        sinks: list[Sink] = [row.write(path, how) for row, path in self.files]
        if self.pictures:
            sinks.append(EachPicture(self.pictures, how, () if save.chosen else (PLOT,)))
        return Several(sinks)


def pictures_of(sources: Sequence[Source]) -> list[Path]:
    """The images among sources."""
    return [path for source in sources if isinstance(source, Pictures) for path in source.paths]


def plan_outputs(
    sources: Sequence[Source], out: Path, save: Save, *, overwrite: bool, repair: bool = False
) -> list[OutputFiles]:
    """Plan the output files of each source; nothing is written yet.

    Args:
        sources: from `open_source`.
        out: one file for all of them, format by extension, or a folder.
        save: formats written into a folder.
        overwrite: replace existing files.
        repair: also write a table of repairs.

    Raises:
        VitruvianError: a file exists, would replace an input, or cannot hold its content.
    """
    if is_file(out):
        check_room(out, sources)
        if save.chosen:
            more = f"for --save {','.join(save.names)} give a folder"
            more = more if save.names else "leave --save out, or give a folder"
            raise VitruvianError(f"'{out}' is one file; {more}")
        plans = [OutputFiles(source) for source in sources]
        if repair and len(sources) > 1:
            raise VitruvianError(
                f"'{out}' is one file, but --repair writes one table for each of {len(sources)} "
                "sources; give a folder"
            )
        if repair:
            plans[0].repairs = out.with_name(f"{out.stem}{REPAIRS}")
        paths = [out]
    else:
        if out.exists() and not out.is_dir():
            raise VitruvianError(f"'{out}' is an existing file, not a folder; give another --out")
        plans = _in_folder(sources, out, save, repair)
        paths = [path for each in plans for path in each.paths()]
        if not paths:
            raise VitruvianError("nothing would be written; name something with --save")
    paths += [each.repairs for each in plans if each.repairs is not None]
    inputs = {page_of(path)[0].resolve() for path in pictures_of(sources)}
    inputs |= {Path(s.address).resolve() for s in sources if isinstance(s, VideoFile)}
    records = [s for s in sources if isinstance(s, Recorded)]
    inputs |= {s.record.path.resolve() for s in records} | {
        Path(s.source).resolve() for s in records
    }
    for path in paths:
        if path.resolve() in inputs:
            raise VitruvianError(f"'{path}' is an input; give another --out")
    refuse_existing(paths, overwrite, resume=True)
    return plans


def check_room(out: Path, sources: Sequence[Source]) -> None:
    """Raise `VitruvianError` if one file cannot hold the poses of these sources."""
    row, moving = format_of(out), [source.moving for source in sources]
    pictures = len(pictures_of(sources))
    room = row.room
    if any(out.name.lower().endswith(end) for end in row.of_picture):
        room = "picture"
    fits = {
        "anything": True,
        "source": len(sources) == 1,
        "picture": moving == [False] and pictures == 1,
        "picture or video": len(sources) == 1 and pictures <= 1,
        "video": moving == [True],
        "pictures": not any(moving),
        "pictures or a video": not any(moving) or len(sources) == 1,
    }
    if not fits[room]:
        person = "one person of " if row.one_person else ""
        person = "people with track ids of " if row.name == "mot" else person
        raise VitruvianError(
            f"'{out}' holds {person}{ROOMS[room]}; for other sources give a folder and "
            f"--save {row.name}"
        )


def _in_folder(sources: Sequence[Source], out: Path, save: Save, repair: bool) -> list[OutputFiles]:
    rows, moving = save.formats(), [source.moving for source in sources]
    if "mot" in save and not any(moving):
        raise VitruvianError("mot is for videos, but there are only images; leave it out")
    if "labels" in save and any(moving):
        raise VitruvianError(
            "labels are of images, but there is a video; leave it out, or extract its frames first"
        )
    plans: list[OutputFiles] = []
    name = Names()
    for source in sources:
        several = isinstance(source, Pictures) and len(source.paths) > 1
        stem = name("poses" if several else source.name)
        each = OutputFiles(source)
        if isinstance(source, Pictures):
            stems = [name(path.name) for path in source.paths] if several else [stem]
            own = [*rows, *(() if save.chosen else (PLOT,))]
            own = [row for row in own if row in BESIDE or (several and row.one_person)]
            for path, free in zip(source.paths, stems, strict=True):
                ends = [(row, (row.of_picture or row.ends)[0]) for row in own]
                each.pictures[str(path)] = [(row, out / f"{free}{end}") for row, end in ends]
            rest = [row for row in rows if row not in own and row.name != "mot"]
            each.files = [(row, out / f"{stem}{row.ends[0]}") for row in rest]
        else:
            solid = any(row.ends[0].startswith(IN_3D) for row in rows)
            free = name(stem + IN_3D) if solid else ""
            for row in rows:
                end = row.ends[0]
                solid = end.startswith(IN_3D)
                each.files.append(
                    (row, out / (free + end.removeprefix(IN_3D) if solid else stem + end))
                )
            each.repairs = out / f"{stem}{REPAIRS}" if repair else None
        plans.append(each)
    return plans
