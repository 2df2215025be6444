"""Convert a file of poses to another format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.body.mapping import Mapping
from vitruvian.body.poses import Poses
from vitruvian.body.skeletons import BODY25, COCO17, SKELETONS, as_skeleton
from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.formats import one_person, table, trc
from vitruvian.formats.format import Sink, WriteOptions
from vitruvian.formats.wire import Provenance, from_header
from vitruvian.frame import Frame
from vitruvian.picture_files.content import page_of
from vitruvian.sources.open import is_picture, of_file
from vitruvian.sources.threads import reread
from vitruvian.sources.video import Span
from vitruvian.verbs import outputs

if TYPE_CHECKING:
    from vitruvian.body.skeleton import Skeleton
    from vitruvian.formats.format import Format


POSES_ALONE = {row.suffix for row in table.FORMATS.values()} - {""}
UNSEEN = {"scores", "uneven"}  # of `table.HOLDS`, not detectable in frames: always reported


@dataclass
class Conversion:
    """The result of a conversion."""

    source: Format
    target: Format
    frames: int = 0
    people: set[int] = field(default_factory=set)  # track ids; -1: people without one
    had: set[str] = field(default_factory=set)  # of `table.HOLDS`, fields found in frames
    derived: list[str] = field(default_factory=list)  # keypoints computed as midpoints of others
    missing: list[str] = field(default_factory=list)  # keypoints that the source lacks
    left_out: list[str] = field(default_factory=list)  # keypoints that are not written
    notes: list[str] = field(default_factory=list)  # assumptions and omissions
    paths: list[Path] = field(default_factory=list)

    @property
    def lost(self) -> list[str]:
        """Fields found in the source that the output cannot hold; in words."""
        gone = table.lost(self.source, self.target) if self.target.holds else []
        return [table.HOLDS[part] for part in gone if part in self.had or part in UNSEEN]

    def count(self, frame: Frame, poses: Poses) -> None:
        """Record which fields a frame has."""
        self.frames += 1
        self.people |= {*poses.person.tolist()}
        found = {
            "pixels": bool(np.isfinite(poses.xy).any()),
            "boxes": bool(np.isfinite(poses.box).any()),
            "metres": poses.xyz is not None,
            "world": poses.world is not None,
            "presence": poses.presence is not None or poses.depth is not None,
            "numbers": bool((poses.person >= 0).any()),
            "people": len(poses) > 1 or len(self.people) > 1,
            "nobody": not len(poses),
            "gaps": any(np.isnan(at).any() for at in (poses.xy, poses.xyz) if at is not None),
            "camera": frame.camera is not None,
            "times": frame.seconds > 0,
            "skeleton": not {*poses.skeleton.keypoints} <= {*COCO17.keypoints},
            "bones": bool(poses.skeleton.bones)
            and poses.skeleton != SKELETONS.get(poses.skeleton.name),
        }
        self.had |= {part for part, there in found.items() if there}


def convert(
    source: str | Path,
    out: str | Path,
    *,
    form: str | None = None,
    skeleton: str | Path | Skeleton | None = None,
    person: int | None = None,
    fps: float | None = None,
    from_up: str | None = None,
    up: str | None = None,
    from_skeleton: str | Path | Skeleton | None = None,
    overwrite: bool = False,
) -> Conversion:
    """Convert a file of poses; the output is complete or not written at all.

    Args:
        source: any file that `vitruvian.read` reads.
        out: output file, format by extension; without one, a folder of OpenPose JSON. Visual
            formats: .html, _3d.png, _3d.mp4, _3d.gif, .rrd; and annotated .mp4 or .jpg, if the
            original video or image is at its recorded path or beside `source`. If a file can hold
            one video or image and there are several, each gets its own: `out_NAME.html`.
        form: format of the source, one of `table.FORMATS`, if its name does not tell.
        skeleton: keypoints to write, matched by name: a name, .toml file or `Skeleton`.
        person: track id of the only person to write.
        fps: frames per second, for a source without times.
        from_up: up axis of a .trc, .c3d or .bvh source.
        up: up axis of a .trc, .c3d or .bvh `out`.
        from_skeleton: keypoints of a source that is a folder of OpenPose JSON, in the same ways.
        overwrite: replace existing files.

    Raises:
        VitruvianError: the source cannot be read, lacks what `out` needs, or `out` exists.
    """
    source, out = Path(source), Path(out)
    want, had = as_skeleton(skeleton), as_skeleton(from_skeleton)
    if up not in (None, *trc.UP):
        raise VitruvianError(f"--up is '{shown(up)}', want y or z")
    if person is not None and person < 0:
        raise VitruvianError(f"--person is {person}, want a track id, a whole number from 0")
    done = Conversion(table.recognised(source, form), _target(out))
    words = ("--fps", "--from-up", "--from-skeleton")
    table.check_given(done.source, source, fps, from_up, had, words)
    _refuse(done, source, out, up, overwrite)
    reading = table.read(source, form, fps=fps, up=from_up, skeleton=had)
    pairs = iter(reading)
    first = next(pairs, None)
    if first is None:
        raise VitruvianError(f"there is nobody in '{source}'; nothing was written")
    if done.target.name == "openpose":
        want = want or BODY25
    about = _about(done, reading.header, source, first[1].skeleton, want)
    unfinished = out
    above = next(folder for folder in out.absolute().parents if folder.is_dir())
    try:
        with TemporaryDirectory(prefix=".vitruvian-", dir=above) as folder:
            unfinished = Path(folder) / out.name
            sink = _OfSources(done.target, unfinished, WriteOptions(about, up=up or "y"))
            poses_of = _chosen(done, chain([first], pairs), source, want, person)
            with sink:
                for frame, poses in _seen(done, poses_of, source, out):
                    sink.write(frame, poses)
            if not sink.paths:
                raise VitruvianError(f"there is nobody in '{source}'; nothing was written")
            places = sink.places(out)
            if sink.several and not overwrite and (there := [p for p in places if p.exists()]):
                raise VitruvianError(f"'{there[0]}' exists; pass --overwrite, or another name")
            if done.target.name == "openpose":
                for old in out.glob("*_keypoints.json"):
                    old.unlink()
            for place, path in places.items():
                place.parent.mkdir(parents=True, exist_ok=True)
                path.replace(place)
                done.paths.append(place)
            done.notes += getattr(reading, "notes", [])
            if done.target.folder and not out.name.lower().endswith(done.target.ends):
                done.notes.append(
                    f"'{out.name}' has no extension, so it is written as {done.target.called}"
                )
    except OSError as error:
        raise VitruvianError(f"cannot write '{out}': {error.strerror}") from None
    except VitruvianError as error:  # report the final file name
        made, wanted = (str(path.with_suffix("")) for path in (unfinished, out))
        raise VitruvianError(str(error).replace(made, wanted)) from None
    return done


def _target(out: Path) -> Format:
    """The output format, by file name; without an extension, a folder."""
    if not out.suffix:
        folders = [row for row in outputs.SAVED.values() if row.folder]
        named = [row for row in folders if out.name.lower().endswith(row.ends)]
        return named[0] if named else table.FORMATS["openpose"]
    views = [row for row in outputs.SAVED.values() if row.name not in table.FORMATS]
    ends = [".gif", *(end for row in views for end in (*row.ends, *row.of_picture))]
    seen = out.name.lower().endswith(tuple(ends))
    return outputs.format_of(out) if seen else table.of_name(out)


class _OfSources:
    """A sink with one file, or one for each source if the format holds only one source."""

    def __init__(self, row: Format, path: Path, options: WriteOptions) -> None:
        """`path`: of the file, in a temporary folder."""
        self.row, self.path, self.options = row, path, options
        self.apart = row.room in ("source", "picture or video", "video")
        self.names, self.source, self.sink = outputs.Names(), "", None
        self.sinks: list[tuple[str, Sink]] = []  # name of the source, and its sink

    def __enter__(self) -> _OfSources:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write to the file of the frame's source."""
        if self.sink is None or (self.apart and frame.source != self.source):
            self.close()
            self.source, name = frame.source, self.names(Path(frame.source).name)
            path = self.path.parent / str(len(self.sinks)) / self.path.name
            sink = self.row.write(path, replace(self.options, moving=not is_picture(frame.source)))
            self.sink = sink.__enter__()
            self.sinks.append((name, sink))
        self.sink.write(frame, poses)

    def close(self, *error: object) -> None:
        """Close the file of the current source."""
        sink, self.sink = self.sink, None
        if sink is not None:
            sink.__exit__(*(error or (None, None, None)))

    def __exit__(self, *error: object) -> None:
        self.close(*error)

    @property
    def paths(self) -> list[Path]:
        """The files written."""
        return [path for _, sink in self.sinks for path in sink.paths]

    @property
    def several(self) -> bool:
        """Whether there are files of several sources."""
        return sum(bool(sink.paths) for _, sink in self.sinks) > 1

    def places(self, out: Path) -> dict[Path, Path]:
        """Final path of each file -> its current path."""
        own = (*self.row.ends, *self.row.of_picture)
        end = max((e for e in own if out.name.lower().endswith(e)), key=len, default="")
        base = out.name[: len(out.name) - len(end)]
        places = {}
        for at, (name, sink) in enumerate(self.sinks):
            for path in sink.paths:
                inside = path.relative_to(self.path.parent / str(at))
                if self.several and self.apart:
                    inside = Path(f"{base}_{name}{inside.name[len(base) :]}")
                places[out.parent / inside] = path
        return places


def _seen(
    done: Conversion, pairs: Iterator[tuple[Frame, Poses]], file: Path, out: Path
) -> Iterator[tuple[Frame, Poses]]:
    """The same pairs, with pixels where they are drawn and the source still exists.

    Raises:
        VitruvianError: the source is missing and needed; or `out` is a video and the source an
            image, or the reverse.
    """
    row = done.target
    for source, group in groupby(pairs, lambda pair: pair[0].source):
        still = is_picture(source)
        if row.of_picture and still != out.name.lower().endswith(row.of_picture):
            other = (row.of_picture if still else row.ends)[0]
            kind = "an image" if still else "a video"
            name = out.stem.removesuffix(outputs.IN_3D) + other
            raise VitruvianError(f"'{shown(source)}' is {kind}; name the file '{shown(name)}'")
        places = (Path(source), file.with_name(Path(source).name))
        here = next((p for p in places if os.path.isfile(page_of(p)[0])), None)  # noqa: PTH113
        if here is not None and here.suffix.lower() in POSES_ALONE:
            here = None
        if not row.frames:
            yield from group
        elif here is not None:
            yield from _with_pixels(done, here, group, still=still)
        elif ("frames",) in row.needs:
            raise VitruvianError(
                f"'{shown(out.name)}' needs the images, and '{shown(source, 100)}' does not "
                f"exist; put it next to '{shown(file.name)}', or write .html or _3d.mp4"
            )
        else:
            done.notes.append(f"'{shown(source, 100)}' does not exist; written without images")
            yield from group


def _with_pixels(
    done: Conversion, path: Path, pairs: Iterator[tuple[Frame, Poses]], *, still: bool
) -> Iterator[tuple[Frame, Poses]]:
    """The same pairs with pixels; of a video also frames that a table has no rows for."""
    if not still:
        first = next(pairs)
        nobody = None if "nobody" in done.source.holds else Poses.nobody(first[1].skeleton)
        shown_alone = 0
        for frame, poses in reread(of_file(str(path), Span()), chain([first], pairs), nobody):
            shown_alone += poses is nobody
            yield frame, poses
        if shown_alone:
            what = amount(shown_alone, "frame")
            done.notes.append(
                f"{what} of '{shown(path.name, 100)}' have no rows: nobody is drawn there"
            )
        return
    for frame, poses in pairs:
        read = Frame.read(path, frame.index)
        if all(frame.size) and read.size != frame.size:
            raise VitruvianError(
                f"'{path}' is {read.size[0]} x {read.size[1]} pixels, but the poses are from "
                f"{frame.size[0]} x {frame.size[1]} pixels"
            )
        yield replace(frame, pixels=read.pixels, size=read.size), poses


def _refuse(done: Conversion, source: Path, out: Path, up: str | None, overwrite: bool) -> None:
    """Raise `VitruvianError` for an impossible conversion, before anything is read."""
    why = table.refusal(done.source, done.target)
    if why:
        raise VitruvianError(f"'{shown(source, 100)}' cannot become '{shown(out.name)}': {why}")
    if out.resolve() == source.resolve():
        raise VitruvianError(f"'{out}' is the input; give another name")
    one = done.target.one_person
    if up is not None and not one:
        raise VitruvianError(f"'{out}' has y down, as in images; leave --up out")
    there = one_person.in_the_way(out) if one else [out] if out.exists() else []
    if done.target.name == "openpose" and out.is_dir():
        there = [out] if any(out.iterdir()) else []
    if there and out.is_dir() != (done.target.name == "openpose") and out.exists():
        kind = "a folder" if out.is_dir() else "a file"
        raise VitruvianError(f"'{out}' is {kind}; give another name")
    if there and not overwrite:
        raise VitruvianError(f"'{there[0]}' exists; pass --overwrite, or another name")


def _about(
    done: Conversion, header: dict[str, Any], source: Path, had: Skeleton, want: Skeleton | None
) -> Provenance:
    """Provenance of the source and of this conversion."""
    more: dict[str, Any] = {"converted_from": str(source)}
    if want is not None and want != had:
        way = Mapping.of(had, want)
        before = header.get("options", {}).get("derived", ())
        derived = {*way.derived, *before}
        done.derived = [name for name in want.keypoints if name in derived]
        done.missing, done.left_out = way.missing, way.left_out
        more |= {"skeleton_from": had.name, "derived": done.derived, "missing": done.missing}
    return from_header(header, **more)


def _chosen(
    done: Conversion,
    pairs: Iterator[tuple[Frame, Poses]],
    source: Path,
    skeleton: Skeleton | None,
    person: int | None,
) -> Iterator[tuple[Frame, Poses]]:
    """The people to write, with the keypoints to write."""
    way, everybody = None, set[int]()
    for frame, poses in pairs:
        everybody |= {*poses.person.tolist()}
        if person is not None:
            poses = poses.take(poses.person == person)
        done.count(frame, poses)
        if skeleton is not None:
            if way is None or way.source != poses.skeleton:
                way = Mapping.of(poses.skeleton, skeleton)
            poses = way(poses)
        yield frame, poses
    if person is not None and person not in everybody:
        known = (
            ", ".join(str(number) for number in sorted(everybody) if number >= 0) or "no numbers"
        )
        raise VitruvianError(f"there is no person {person} in '{source}'; there are: {known}")
