"""From the name of a file, or of a folder, to the sinks that write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from vitruvian.body.mapping import Mapping
from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import BODY25
from vitruvian.errors import VitruvianError, unknown
from vitruvian.formats import solo
from vitruvian.formats.bvh import parents
from vitruvian.formats.coco import coco_results, need_coco17
from vitruvian.formats.mot import mot
from vitruvian.formats.records import json_lines
from vitruvian.formats.tables import Parquet, csv_table
from vitruvian.formats.wire import Provenance
from vitruvian.frame import Frame
from vitruvian.geometry.crop import Crop
from vitruvian.show.draw import VISIBLE, draw
from vitruvian.show.film import Picture, Video, write_picture
from vitruvian.show.heatmaps import write_heatmaps
from vitruvian.show.page import Page
from vitruvian.show.rrd import Rerun
from vitruvian.show.view3d import View


class Sink(Protocol):
    """Where poses go."""

    @property
    def paths(self) -> list[Path]:
        """What has been written."""
        ...

    def __enter__(self) -> Sink: ...

    def write(self, frame: Frame, poses: Poses) -> None:
        """Take the poses of one frame."""
        ...

    def __exit__(self, *_: object) -> None: ...


TABLES: dict[str, Callable[[Path, Provenance | None], Sink]] = {
    ".jsonl": json_lines,
    ".csv": csv_table,
    ".parquet": Parquet,
    ".json": coco_results,
    ".txt": mot,
}
MORE = ("trc", "c3d", "bvh", "openpose", "mot")  # what else goes into a folder, where asked for
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv")
IN_3D = "_3d"  # how the name of a picture or video ends that shows people in 3D
MOVING_3D = (*VIDEOS, ".gif")
KINDS = (*TABLES, *solo.WRITERS, *PICTURES, *VIDEOS, ".gif", ".html", ".rrd")


def is_file(out: Path) -> bool:
    """Whether a name means a file, by its extension; otherwise it means a folder."""
    return out.suffix.lower() in KINDS and not out.is_dir()


def is_view(out: Path) -> bool:
    """Whether a name means a file that shows people in 3D."""
    kind = out.suffix.lower()
    return kind == ".html" or (out.stem.endswith(IN_3D) and kind in (*PICTURES, *MOVING_3D))


def in_metres(out: Path, save: Save) -> bool:
    """Whether a file, or something of what goes into a folder, is of metres alone."""
    kinds = [f".{name}" for name in save.more] if not is_file(out) else [out.suffix.lower()]
    return any(kind in solo.WRITERS for kind in kinds)


def can_hold(out: Path, save: Save, skeleton: Skeleton) -> None:
    """Raise `VitruvianError` if one of the files cannot hold people of a skeleton."""
    kinds = {".json": save.coco, ".bvh": "bvh" in save.more, "openpose": "openpose" in save.more}
    if is_file(out):
        kinds = dict.fromkeys(kinds, False) | {out.suffix.lower(): True}
    if kinds[".json"]:
        need_coco17(skeleton)
    if kinds[".bvh"]:
        parents(skeleton)
    if kinds["openpose"]:
        Mapping.of(skeleton, BODY25)


def refuse_full(folder: Path, overwrite: bool) -> None:
    """Raise `VitruvianError` if it is no folder, or holds files and those may be overwritten."""
    if folder.exists() and not folder.is_dir():
        raise VitruvianError(f"'{folder}' is a file; give a folder to --save-heatmaps")
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise VitruvianError(
            f"'{folder}' is not empty; pass --overwrite, or another folder to --save-heatmaps"
        )


def open_sink(
    path: str | Path,
    model: Provenance | None = None,
    *,
    visible: float = VISIBLE,
    overwrite: bool = False,
    up: str = "y",
    pictures: Sequence[Path] = (),
) -> Sink:
    """A sink that writes one file; its extension says what it holds.

    Args:
        path: .jsonl (records), .csv, .parquet (tables), .json (COCO results), .txt (MOT), .trc,
            .c3d, .bvh (one person a file), .jpg or .png (annotated picture), .mp4 (annotated
            video), .html (3D to be turned), _3d.png, _3d.mp4 or _3d.gif (view in 3D), .rrd (Rerun).
        model: what made the poses, for the header of records.
        visible: 0..1, the score from which keypoints are drawn.
        overwrite: whether the file may exist.
        up: the axis that points up in .trc, .c3d and .bvh, y or z.
        pictures: all that will be written to it, if that is known: COCO's numbers of pictures
            follow from their names.

    Raises:
        VitruvianError: it exists, or nothing is known of its extension.
    """
    path = Path(path)
    _check_visible(visible)
    refuse_existing([path], overwrite)
    kind = path.suffix.lower()
    if kind == ".json":
        return coco_results(path, model, pictures)
    if kind in TABLES:
        return TABLES[kind](path, model)
    if kind in solo.WRITERS:
        return solo.Solo(path, model, up=up)
    if is_view(path):
        return open_view(path, visible)
    if kind == ".rrd":
        return Rerun(path, visible)
    if kind in PICTURES:
        return Picture(path, visible)
    if kind in VIDEOS:
        return Video(path, visible)
    if kind == ".gif":
        raise VitruvianError(
            f"'{path}' would be a view in 3D; name it '{path.stem}{IN_3D}.gif', or give an .mp4"
        )
    raise VitruvianError(f"cannot write '{path}': its extension is none of {' '.join(KINDS)}")


def _check_visible(visible: float) -> None:
    if not 0 <= visible <= 1:
        raise VitruvianError(f"visible is {visible:g}, want a number from 0 to 1")


def _there(path: Path) -> list[Path]:
    """Files that writing to a path may replace."""
    if path.suffix.lower() in solo.WRITERS:
        return solo.in_the_way(path)
    return [path] if path.exists() else []


def open_view(path: Path, visible: float = VISIBLE) -> Page | View:
    """A sink for people in 3D: an .html page, a picture, a video or a .gif."""
    kind = path.suffix.lower()
    return Page(path, visible) if kind == ".html" else View(path, visible, moving=kind in MOVING_3D)


def refuse_existing(paths: Sequence[Path], overwrite: bool) -> None:
    """Raise `VitruvianError` if one of the files is there and may not be overwritten."""
    there = [each for path in paths for each in _there(path)]
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise VitruvianError(f"'{there[0]}' exists{more}; pass --overwrite, or another --out")


@dataclass(frozen=True)
class Save:
    """What goes into an output folder."""

    video: bool = True  # annotated picture or video
    json: bool = True  # records, .jsonl
    plot: bool | None = None  # 3D picture or video; None: of pictures only, where there is 3D
    csv: bool = False
    parquet: bool = False
    coco: bool = False
    visible: float = VISIBLE
    heatmaps: Path | None = None  # into which folder pictures of heat maps go
    html: bool = False  # 3D that can be turned, .html
    rerun: Path | None = None  # into which .rrd file everything goes
    more: tuple[str, ...] = ()  # of MORE

    def __post_init__(self) -> None:
        _check_visible(self.visible)
        for name in self.more:
            if name not in MORE:
                raise unknown("file to save", name, MORE)


class Pictures:
    """Annotated pictures and views in 3D in a folder, one of each for every picture."""

    def __init__(self, names: dict[str, Path], save: Save) -> None:
        """`names`: source of a frame -> path of its annotated picture."""
        self.names, self.save, self.paths = names, save, list[Path]()

    def __enter__(self) -> Pictures:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Draw and write them; where there is nobody, there is nothing to see in 3D."""
        path = self.names[frame.source]
        if self.save.video:
            write_picture(path, draw(frame, poses, self.save.visible))
            self.paths.append(path)
        if self.save.plot is None and poses.xyz is None:
            return
        for view in view_paths(path, self.save, moving=False) if len(poses) else ():
            with open_view(view, self.save.visible) as sink:
                sink.write(frame, poses)
            self.paths += sink.paths

    def __exit__(self, *_: object) -> None:
        pass


class HeatMaps:
    """A picture of the heat maps of each person in each frame, in a folder of their own."""

    CELL = 4  # pixels of the crop that is shown, for a cell of the maps

    def __init__(self, folder: Path, name: Names, moving: bool) -> None:
        """`name`: the stems that are free in the folder. `moving`: whether frames are numbered."""
        self.folder, self.name, self.moving = folder, name, moving
        self.stems: dict[str, str] = {}
        self.paths: list[Path] = []

    def __enter__(self) -> HeatMaps:
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Write one picture a person, in the order of the poses."""
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


def view_paths(drawn: Path, save: Save, *, moving: bool) -> list[Path]:
    """Where the views in 3D of an annotated picture or video go."""
    wanted = save.plot if moving else save.plot is not False
    kinds = {".mp4" if moving else ".png": wanted, ".html": save.html}
    return [drawn.with_name(drawn.stem + IN_3D + kind) for kind, want in kinds.items() if want]


class Several:
    """Several sinks as one."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.sinks = sinks

    def __enter__(self) -> Several:
        self.stack = ExitStack()
        for sink in self.sinks:
            self.stack.enter_context(sink)
        return self

    def write(self, frame: Frame, poses: Poses) -> None:
        """Give it to each."""
        for sink in self.sinks:
            sink.write(frame, poses)

    def __exit__(self, *error: object) -> None:
        self.stack.__exit__(*error)  # type: ignore[arg-type]

    @property
    def paths(self) -> list[Path]:
        """What has been written by all of them."""
        return [path for sink in self.sinks for path in sink.paths]


class Names:
    """Stems of output files that are free: `a.mp4` and `a.mov` become `a` and `a_2`."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def __call__(self, name: str) -> str:
        """A stem like that of a file name, without characters that are awkward in paths."""
        stem = re.sub(r"[^\w.+ ()-]+", "_", Path(name).stem).strip("_. ") or "out"
        free, number = stem, 1
        while free.lower() in self.taken:
            number += 1
            free = f"{stem}_{number}"
        self.taken.add(free.lower())
        return free
