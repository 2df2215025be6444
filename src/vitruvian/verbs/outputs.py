"""Outputs: `--save`, the visual formats, and sinks by file extension."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError, unknown
from vitruvian.formats import one_person
from vitruvian.formats.format import Format, Sink, WriteOptions
from vitruvian.formats.table import FORMATS
from vitruvian.formats.wire import Provenance
from vitruvian.frame import Frame
from vitruvian.geometry.crop import Crop
from vitruvian.rendering.draw import VISIBLE
from vitruvian.rendering.film import AnnotatedPicture, AnnotatedVideo
from vitruvian.rendering.heatmaps import write_heatmaps
from vitruvian.rendering.page import Page
from vitruvian.rendering.rrd import Rerun
from vitruvian.rendering.view3d import View3D

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv")
IN_3D = "_3d"  # suffix of the name of 3D images and videos
_METRES = (("metres", "world"),)
# Valid names of `--save`, in the order of its help.
VIDEO = Format(
    name="video",
    ends=VIDEOS,
    of_picture=PICTURES,
    about="annotated video or image",
    units="pixels",
    holds=(),
    needs=(("frames",), ("pixels",)),
    write=lambda path, how: (
        AnnotatedPicture(path, how.visible)
        if _is_picture(path)
        else AnnotatedVideo(path, how.visible)
    ),
    room="video",
    frames=True,
)
PLOT = Format(
    name="plot",
    ends=tuple(IN_3D + kind for kind in (*VIDEOS, ".gif")),
    of_picture=tuple(IN_3D + kind for kind in (".png", *(k for k in PICTURES if k != ".png"))),
    about="3D view, a video or an image",
    units="metres",
    holds=(),
    needs=_METRES,
    write=lambda path, how: View3D(path, how.visible, moving=not _is_picture(path)),
    room="video",
)
HTML = Format(
    name="html",
    ends=(IN_3D + ".html", ".html"),
    about="interactive 3D viewer for a browser",
    units="metres",
    holds=(),
    needs=_METRES,
    write=lambda path, how: Page(path, how.visible),
    room="picture or video",
)
RERUN = Format(
    name="rerun",
    ends=(".rrd",),
    about="frames, keypoints and camera for the Rerun viewer; `rerun` extra",
    units="pixels and metres",
    holds=(),
    needs=(("pixels", "metres"),),
    write=lambda path, how: Rerun(path, how.visible),
    room="source",
    frames=True,
)
HEATMAPS = Format(
    name="heatmaps",
    ends=("_heatmaps",),
    about="a folder of heat maps, one image per person",
    units="cells",
    holds=(),
    needs=(("maps",), ("frames",)),
    write=lambda path, how: HeatMaps(path, how.moving),
    folder=True,
    frames=True,
)
SAVED = {row.name: row for row in (VIDEO, *FORMATS.values(), PLOT, HTML, RERUN, HEATMAPS)}


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


def format_of(path: Path) -> Format:
    """The format of a file, by its name.

    Raises:
        VitruvianError: unknown extension.
    """
    name = path.name.lower() if path.suffix else ""
    ends = {
        end: row for row in SAVED.values() if not row.folder for end in (*row.ends, *row.of_picture)
    }
    fits = [end for end in ends if name.endswith(end)]
    if fits:
        return ends[max(fits, key=len)]
    if name.endswith(".gif"):
        raise VitruvianError(
            f"'{path}' would be a 3D view, so name it '{path.stem}{IN_3D}.gif', or give an .mp4"
        )
    known = " ".join(dict.fromkeys(end for end in ends if end.startswith(".")))
    raise VitruvianError(f"cannot write '{path}': its extension is none of {known}")


def is_file(out: Path) -> bool:
    """Whether a name means a file, by a known extension; otherwise it means a folder."""
    if out.is_dir():
        return False
    try:
        format_of(out)
    except VitruvianError:
        return out.suffix.lower() == ".gif"
    return True


def need_folder(out: Path, what: str) -> None:
    """Raise `VitruvianError` for the name of one file, where several are written."""
    if is_file(out):
        raise VitruvianError(f"'{out}' is one file, {what} writes several; give a folder")


@dataclass(frozen=True)
class Save:
    """The formats written into an output folder, and the minimum score of keypoints drawn.

    `Save.parse("video,csv")` parses the option of the command line. By default, images also get a
    3D view if the model is 3D.
    """

    names: tuple[str, ...] = ("video", "json")  # of `SAVED`
    visible: float = VISIBLE  # 0..1
    chosen: bool = True  # whether the user named the formats

    def __post_init__(self) -> None:
        check_visible(self.visible)
        for name in self.names:
            if name not in SAVED:
                raise unknown("format to save", name, SAVED)

    @classmethod
    def parse(
        cls,
        words: str | None,
        default: str = "video,json",
        *,
        visible: float = VISIBLE,
        among: Iterable[str] = SAVED,
    ) -> Save:
        """Parse comma-separated formats; duplicates are dropped.

        Args:
            words: such as "video, json"; "" is nothing; None is `default`.
            default: formats if the user gives none.
            visible: 0..1, minimum score of the keypoints that are drawn.
            among: valid names; those that are no format name outputs that are always written.

        Raises:
            VitruvianError: unknown format.
        """
        said = default if words is None else words
        names = tuple(dict.fromkeys(filter(None, (word.strip() for word in said.split(",")))))
        for name in names:
            if name not in among:
                raise unknown("format to save", name, among)
        own = tuple(name for name in names if name in SAVED)  # the rest is always written
        return cls(own, visible, words is not None)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def formats(self) -> list[Format]:
        """The formats, in the order of the table."""
        return [row for row in SAVED.values() if row.name in self.names]


def written_formats(out: Path, save: Save) -> list[Format]:
    """The formats that are written: that of one file, or those that go into a folder."""
    return [format_of(out)] if is_file(out) else save.formats()


def needs_metres(out: Path, save: Save) -> bool:
    """Whether one of the formats needs 3D poses in metres."""
    rows = written_formats(out, save)
    return any("metres" in ways and "pixels" not in ways for row in rows for ways in row.needs)


def can_hold(out: Path, save: Save, skeleton: Skeleton) -> None:
    """Raise `VitruvianError` if one of the files cannot hold poses of a skeleton."""
    for row in written_formats(out, save):
        if row.check is not None:
            row.check(skeleton)


def open_sink(
    path: str | Path,
    model: Provenance | None = None,
    *,
    visible: float = VISIBLE,
    overwrite: bool = False,
    up: str = "y",
    pictures: Sequence[Path] = (),
) -> Sink:
    """A sink that writes one file; its extension selects the format.

    Args:
        path: .jsonl (records), .csv, .parquet (tables), .json (COCO results), _labels.json (COCO
            annotations of images), .txt (MOT), .trc, .c3d, .bvh (one person per file), .jpg or
            .png (annotated image), .mp4 (annotated video), .html (interactive 3D viewer), _3d.png,
            _3d.mp4 or _3d.gif (3D view), .rrd (Rerun).
        model: the model and its options, for the header of records.
        visible: 0..1, minimum score of the keypoints that are drawn.
        overwrite: replace an existing file.
        up: up axis of .trc, .c3d and .bvh, y or z.
        pictures: all images that will be written, if known: COCO image IDs follow from their names.

    Raises:
        VitruvianError: the file exists, or its extension is unknown.
    """
    path = Path(path)
    check_visible(visible)
    refuse_existing([path], overwrite)
    return format_of(path).write(path, WriteOptions(model, visible, up, tuple(pictures)))


def check_visible(visible: float) -> None:
    """Raise `VitruvianError` for a minimum score that is none."""
    if not 0 <= visible <= 1:
        raise VitruvianError(f"visible is {visible:g}, want a number from 0 to 1")


def _there(path: Path) -> list[Path]:
    """Files that writing to a path may replace."""
    if is_file(path) and path.suffix.lower() != ".gif" and format_of(path).one_person:
        return one_person.in_the_way(path)
    return [path] if path.exists() else []


def refuse_existing(paths: Sequence[Path], overwrite: bool, resume: bool = False) -> None:
    """Raise `VitruvianError` if one of the files exists and may not be overwritten.

    `resume`: whether the command has `--resume`, a way out.
    """
    there = [each for path in paths for each in _there(path)]
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        go_on = "--resume to continue it, " if resume else ""
        raise VitruvianError(
            f"'{there[0]}' exists{more}; pass {go_on}--overwrite, or another --out"
        )


class EachPicture:
    """A sink for images, each of which has its own files, such as an annotated copy."""

    def __init__(
        self,
        files: dict[str, list[tuple[Format, Path]]],
        options: WriteOptions,
        may: Sequence[Format] = (),
    ) -> None:
        """Nothing is written yet.

        Args:
            files: source of a frame -> its files.
            options: options of all files.
            may: formats that are skipped for poses without metres.
        """
        self.files, self.options, self.may, self.paths = files, options, may, list[Path]()

    def __enter__(self) -> EachPicture:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write the files of an image; if it has no people, only its annotated copy and 3D page.

        What an earlier run made of it, and this one does not, is deleted.
        """
        before, made = self.there(frame.source), len(self.paths)
        for row, path in self.files[frame.source]:
            if row not in (VIDEO, HTML) and not len(poses):
                continue
            if row in self.may and poses.xyz is None:
                continue
            with row.write(path, self.options) as sink:
                sink.write(frame, poses)
            self.paths += sink.paths
        for path in before:
            if path not in self.paths[made:]:
                path.unlink()

    def mark(self) -> None:
        """Do nothing: each file is complete by itself."""

    def can_go_on(self, mark: None) -> bool:
        """Always."""
        return True

    def go_on(self, mark: None, frames: Sequence[Frame] = ()) -> None:
        """The files of `frames` are written already."""
        self.paths += [path for frame in frames for path in self.there(frame.source)]

    def there(self, source: str) -> list[Path]:
        """The files of an image that exist."""
        return [path for _, path in self.files[source] if path.is_file()]

    def __exit__(self, *_: object) -> None:
        pass


class HeatMaps:
    """A folder with one image of the heat maps of each person in each frame."""

    CELL = 4  # pixels of the crop for each heat-map cell

    def __init__(self, folder: Path, moving: bool) -> None:
        """`moving`: whether frames are numbered."""
        self.folder, self.moving, self.name = folder, moving, Names()
        self.stems: dict[str, str] = {}
        self.paths: list[Path] = []

    def __enter__(self) -> HeatMaps:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write one image for each person, in the order of the poses."""
        if poses.maps is None or poses.seen is None or not len(poses):
            return
        if frame.source not in self.stems:
            self.stems[frame.source] = self.name(Path(frame.source).name)
        stem = self.stems[frame.source] + (f"_{frame.index:06}" if self.moving else "")
        height, width = poses.maps.shape[2:]
        for i, maps in enumerate(poses.maps):
            seen = poses.seen.take([i])
            size = (width * self.CELL, height * self.CELL)
            crop = Crop.turned(seen.centre[0], seen.size[0], seen.angle[0], size, centre=0)
            path = self.folder / f"{stem}_{i + 1}.png"
            cells = crop.from_frame(poses.xy[i]) / np.float32(self.CELL)
            names = poses.skeleton.keypoints
            write_heatmaps(path, crop.cut(frame.rgb), maps, names, cells, poses.score[i])
            self.paths.append(path)

    def __exit__(self, *_: object) -> None:
        pass


class Several:
    """Several sinks combined into one."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.sinks = sinks

    def __enter__(self) -> Several:
        self.stack = ExitStack()
        for sink in self.sinks:
            self.stack.enter_context(sink)
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write to each sink."""
        for sink in self.sinks:
            sink.write(frame, poses)

    def __exit__(self, *error: Any) -> None:
        self.stack.__exit__(*error)

    @property
    def paths(self) -> list[Path]:
        """The files written by all sinks."""
        return [path for sink in self.sinks for path in sink.paths]


class Names:
    """Unique stems for output files: `a.mp4` and `a.mov` become `a` and `a_2`."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def __call__(self, name: str) -> str:
        """A unique stem based on a file name, without characters that are awkward in paths."""
        stem = re.sub(r"[^\w.+ ()-]+", "_", Path(name).stem).strip("_. ") or "out"
        free, number = stem, 1
        while free.lower() in self.taken:
            number += 1
            free = f"{stem}_{number}"
        self.taken.add(free.lower())
        return free
