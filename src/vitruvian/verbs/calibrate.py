"""Calibrate: lenses from a board, and where cameras stand from a board or from people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.formats.atomic_file import write_whole, writing
from vitruvian.geometry.camera import ASSUMED_DEG, Camera
from vitruvian.geometry.rig_toml import rig_toml
from vitruvian.multiview.boards import (
    CELLS,
    Board,
    BoardFinder,
    BoardView,
    Lens,
    calibrate_lens,
    covered,
    place_by_board,
)
from vitruvian.multiview.people_rig import Known, Placing, place_cameras
from vitruvian.multiview.recording import CameraView
from vitruvian.multiview.sync import FLAT
from vitruvian.rendering.rig_plot import SeenPoints, write_coverage, write_setup
from vitruvian.sources.open import open_source
from vitruvian.verbs.groups import MachineWords, ModelWords, quiet, verb
from vitruvian.verbs.outputs import refuse_existing
from vitruvian.verbs.progress import progress
from vitruvian.verbs.triangulate import (
    LONGEST_OFFSET,
    MODEL,
    POSES,
    camera_names,
    one_size,
    poses_of,
    view_offsets,
)

if TYPE_CHECKING:
    from vitruvian.models.model import Model
    from vitruvian.models.spec import ModelSpec

MOST = 150  # frames of a video in which the board is looked for
FEW = 0.3  # coverage by people, below which it is told
UNSURE = 0.02  # standard deviation of a position, of the distance from the first camera
LEANING = np.radians(8)


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` made."""

    cameras: Mapping[str, Camera]
    lenses: Mapping[str, Lens]  # of cameras whose lens was calibrated
    placing: Placing | None  # None: lenses only
    warnings: Sequence[str]
    files: tuple[Path, ...]


@verb
def calibrate(
    source: Sequence[str | Path],
    model: str | ModelSpec | Model = MODEL,
    *,
    board: str | None = None,
    square_mm: float | None = None,
    marker_mm: float | None = None,
    dictionary: str | None = None,
    intrinsics: str | Path | None = None,
    place: bool = True,
    cameras: str | Sequence[str] | None = None,
    height: float | None = None,
    length: str | None = None,
    fov_deg: float | None = None,
    up: str | None = None,
    sync: str = "no",
    fps: float | None = None,
    words: ModelWords = ModelWords(),
    machine: MachineWords = MachineWords(),
    out: str | Path = Path("rig.toml"),
    overwrite: bool = False,
    say: Callable[[str], None] = quiet,
) -> Calibration:
    """Calibrate cameras: lenses from a board, places from the same board or from people.

    Writes a calibration file that `triangulate` reads, in metres with z up, and beside it pictures:
    where corners or keypoints were seen, and the set-up from above and from the side.

    Args:
        source: of each camera, a video (or a folder of images) of a board or of people; or saved
            poses. Several cameras must see the same board, or the same people, at the same time.
        model: that finds the people.
        board: "chessboard:9x6" (inner corners) or "charuco:5x7" (squares); None: people.
        square_mm: side of a square of the printed board, measured.
        marker_mm: side of a marker, ChArUco only.
        dictionary: of the markers, ChArUco only: 4x4_50, 5x5_100, ...
        intrinsics: calibration file of the lenses; None: from the board, or, with people, focal
            lengths are estimated, without distortion.
        place: False, with a board: lenses only, of cameras that saw it one after another.
        cameras: names, in order; default: by the names of the files, or those of `intrinsics`.
        height: metres, body height of the person seen most, for the scale.
        length: "left_hip,left_knee=0.43" or "cam01,cam02=2.31": a length in metres, for the scale.
        fov_deg: field of view along the longer side from which focal lengths are estimated.
        up: "people" (from ankles to shoulders; default with people), "board" (it lies on the floor
            in the first view), or an axis of the first camera: "-y" (it is level; default with a
            board).
        sync: as for `triangulate`.
        fps: frame rate of poses without times.
        words: options of the model, as for `predict`.
        machine: the same.
        out: the calibration file.
        overwrite: replace existing files.
        say: called with one line for each finding.

    Raises:
        VitruvianError: the sizes of the board or what gives the scale are missing, too little is
            seen, or the views do not agree.
    """
    paths = [Path(each) for each in ([source] if isinstance(source, (str, Path)) else source)]
    out = Path(out)
    if out.suffix.lower() != ".toml":
        raise VitruvianError(f"a calibration is written as .toml, not '{shown(out.name)}'")
    pictures = out.with_name(f"{out.stem}_coverage.png"), out.with_name(f"{out.stem}_setup.png")
    refuse_existing([out, *pictures], overwrite)
    ups = ("people",) if board is None else ("board",)
    if up is not None and up not in (*ups, *(s + a for s in ("", "-", "+") for a in "xyz")):
        raise VitruvianError(
            f"up is '{shown(up)}', want {ups[0]} or an axis of the first camera: -y if it is level"
        )
    offsets = view_offsets(sync, len(paths))
    if intrinsics is not None:
        names = camera_names(paths, intrinsics, cameras)
    else:
        names = _names(paths, cameras)
    with writing(out):
        if board is not None:
            if height is not None or length is not None or sync == "movement":
                raise VitruvianError(
                    "a board gives the scale, and its clocks are given: leave out --height, "
                    "--length and --sync movement"
                )
            asked = Board.of(board, square_mm, marker_mm, dictionary)
            done = _by_board(
                paths, names, asked, intrinsics, offsets, up or "-y" if place else None, say
            )
        else:
            known = _known(height, length, names)
            done = _by_people(
                paths, names, intrinsics, known, up or "people", offsets, sync == "movement",
                fov_deg, model, words, machine, fps, say,
            )  # fmt: skip
        found, lenses, placing, seen, warnings = done
        for line in warnings:
            say(f"warning: {line}")
        placed = placing is not None
        about = {"errors_px": [round(float(np.sqrt((s.errors**2).mean())), 3) for s in seen]}
        told = {"from": "board" if board else "people", **about}
        if placing is not None:
            told["assumed"] = list(placing.told)
        write_whole(out, rig_toml(found, told))
        write_coverage(pictures[0], seen)
        if placed:
            write_setup(pictures[1], dict(found), placing.world)
    files = (out, *pictures) if placed else (out, pictures[0])
    say(f"-> {', '.join(map(str, files))}")
    return Calibration(found, lenses, placing, warnings, files)


Done = tuple[dict[str, Camera], dict[str, Lens], Placing | None, list[SeenPoints], list[str]]


def _names(paths: Sequence[Path], cameras: str | Sequence[str] | None) -> list[str]:
    if cameras is not None:
        names = cameras.split(",") if isinstance(cameras, str) else list(cameras)
        names = [name.strip() for name in names]
        if len(names) != len(paths):
            raise VitruvianError(
                f"{amount(len(names), 'camera')} named for {amount(len(paths), 'view')}: "
                f"{shown(','.join(names), 100)}"
            )
    else:
        names = [path.stem for path in paths]
    for name in names:
        if names.count(name) > 1 or not name:
            raise VitruvianError(
                f"two cameras are called '{shown(name)}'; name them in order: --cameras left,right"
            )
    return names


def _known(height: float | None, length: str | None, names: Sequence[str]) -> Known:
    """What gives the scale."""
    if (height is None) == (length is None):
        raise VitruvianError(
            "what gives the scale? give one of --height 1.78 (metres, of the person seen most) and "
            f"--length left_hip,left_knee=0.43 (or {','.join([*names, 'left', 'right'][:2])}=2.31)"
        )
    if height is not None:
        if not 0.4 < height < 2.8:
            raise VitruvianError(f"height is {height:g}, want metres")
        return Known(height)
    assert length is not None
    ends, _, text = length.partition("=")
    both = [end.strip() for end in ends.split(",")]
    try:
        metres = float(text)
    except ValueError:
        metres = 0.0
    if len(both) != 2 or both[0] == both[1] or not 0 < metres < 1000:
        raise VitruvianError(
            f"length is '{shown(length)}', want two keypoints or cameras and metres: "
            "left_hip,left_knee=0.43"
        )
    return Known(metres, (both[0], both[1]))


def _by_board(
    paths: Sequence[Path],
    names: Sequence[str],
    board: Board,
    intrinsics: str | Path | None,
    offsets: Sequence[float] | None,
    up: str | None,
    say: Callable[[str], None],
) -> Done:
    """Lenses; and places, unless `up` is None."""
    looked = [
        _boards(path, board, late)
        for path, late in zip(paths, offsets or [0.0] * len(paths), strict=True)
    ]
    lenses, found, warnings = dict[str, Lens](), dict[str, Camera](), list[str]()
    for name, (views, size, _, _) in zip(names, looked, strict=True):
        if intrinsics is None:
            lens = lenses[name] = calibrate_lens(views, board, size, name)
            found[name] = lens.camera
            warnings += lens.warnings
            fx, fy = np.diag(lens.camera.matrix)[:2]
            say(
                f"{name}: board in {amount(len(views), 'image')}, {len(lens.used)} used, "
                f"reprojection error {np.sqrt((lens.errors**2).mean()):.2f} px (RMS), focal length "
                f"{fx:.1f} x {fy:.1f} px (to {100 * lens.focal_off:.2g} %), corners in "
                f"{100 * lens.coverage:.0f} % of the image"
            )
        else:
            found[name] = _camera_of(intrinsics, name, size)
            if not views:
                raise VitruvianError(f"the board is not found in '{name}'; check --board")
    placing = None
    if len(paths) > 1 and up is not None:
        step = max(step for _, _, step, _ in looked)
        placing = place_by_board(
            list(found.values()), [views for views, *_ in looked], board, names, step / 2, up
        )
        found = dict(zip(names, placing.cameras, strict=True))
        warnings += _told(placing, names, say)
    seen = list[SeenPoints]()
    for v, (name, (*_, image)) in enumerate(zip(names, looked, strict=True)):
        if name in lenses:
            xy, errors = np.concatenate([w.xy for w in lenses[name].used]), lenses[name].errors
        else:
            if placing is None:
                raise VitruvianError(
                    "the lenses are known and nothing is to be placed: nothing is left to calibrate"
                )
            xy, errors = placing.seen[v], placing.errors[v]
        seen.append(_seen(name, found[name], xy, errors, image))
    return found, lenses, placing, seen, warnings


def _camera_of(intrinsics: str | Path, name: str, size: tuple[int, int] | None) -> Camera:
    camera = Camera.read(intrinsics, name, size)
    return replace(camera if size is None else camera.scaled(size), extrinsics=None)


def _seen(
    name: str, camera: Camera, xy: np.ndarray, errors: np.ndarray, image: np.ndarray | None
) -> SeenPoints:
    across, down = CELLS
    cells = (across, down) if camera.size[0] >= camera.size[1] else (down, across)
    return SeenPoints(name, camera, xy, errors, covered(xy, camera.size), cells, image)


def _boards(
    path: Path, board: Board, late: float
) -> tuple[list[BoardView], tuple[int, int], float, np.ndarray | None]:
    """Views of the board, image size, seconds between two images, and an image with the board."""
    finder, views = BoardFinder(board), list[BoardView]()
    size: tuple[int, int] | None = None
    image, step, tried = None, 1.0, 0
    for source in open_source(str(path)):
        count = source.count() or 0
        every = max(1, -(-count // MOST)) if source.moving else 1
        times = list[float]()
        with progress(source.name, count or None) as advance:
            for index, frame in enumerate(source):
                if isinstance(frame, VitruvianError):
                    raise frame
                advance(index + 1)
                # Images have no clock: those with the same number belong together.
                seconds = frame.seconds if source.moving else float(index)
                times.append(seconds)
                if index % every:
                    continue
                if size not in (None, frame.size):
                    raise VitruvianError(f"'{path}' has images of several sizes; give one camera")
                size, tried = frame.size, tried + 1
                pixels = frame.rgb
                view = finder(pixels, seconds + late)
                if view is not None:
                    views.append(view)
                    image = pixels if image is None else image
        if source.moving and len(times) > 1:
            step = float(np.median(np.diff(times)))
    if size is None:
        raise VitruvianError(f"'{path}' has no images")
    return views, size, step, image


def _by_people(
    paths: Sequence[Path],
    names: Sequence[str],
    intrinsics: str | Path | None,
    known: Known,
    up: str,
    offsets: Sequence[float] | None,
    movement: bool,
    fov_deg: float | None,
    model: str | ModelSpec | Model,
    words: ModelWords,
    machine: MachineWords,
    fps: float | None,
    say: Callable[[str], None],
) -> Done:
    if len(paths) < 2:
        raise VitruvianError(
            "people place two cameras or more; one camera is calibrated with a board: "
            "--board chessboard:9x6 --square-mm 25"
        )
    Camera.view((1, 1), fov_deg)  # a wrong one is refused before anything is done
    _, poses = poses_of(paths, model, words, machine, fps, lambda fault: say(f"warning: {fault}"))
    views, guessed = list[CameraView](), list[str]()
    for path, name, pairs in zip(paths, names, poses, strict=True):
        size = one_size(path, pairs)
        if intrinsics is not None:
            camera = _camera_of(intrinsics, name, size)
        elif size is None:
            raise VitruvianError(f"'{path.name}' has no image size; give --intrinsics with it")
        else:
            camera = Camera.view(size, fov_deg)
            guessed.append(name)
        views.append(CameraView(name, camera, pairs))
    placing = place_cameras(
        views, known, up, zooms=bool(guessed), offsets=offsets,
        find_offsets=LONGEST_OFFSET if movement else None,
    )  # fmt: skip
    found = dict(zip(names, placing.cameras, strict=True))
    warnings = list[str]()
    if guessed:
        start = ASSUMED_DEG if fov_deg is None else fov_deg
        say(
            f"focal lengths are estimated from {start:g} degrees, without lens distortion; a board "
            "is better (--intrinsics)"
        )
    if movement:
        for name, offset in zip(names, placing.offsets, strict=True):
            assert offset is not None
            if offset.sharpness > FLAT:
                raise VitruvianError(
                    f"{name}: its offset was not found (sharpness {offset.sharpness:.2f}); let "
                    "people clap or jump, or give --sync seconds"
                )
            say(f"{name}: {offset}")
    warnings += _told(placing, names, say)
    seen = [
        _seen(name, found[name], placing.seen[v], placing.errors[v], _first_image(paths[v]))
        for v, name in enumerate(names)
    ]
    warnings += [
        f"{each.name}: keypoints in {100 * each.coverage:.0f} % of the image; let people walk about"
        for each in seen
        if each.coverage < FEW
    ]
    return found, {}, placing, seen, warnings


def _first_image(path: Path) -> np.ndarray | None:
    """The first frame of a video; None for saved poses."""
    if path.is_dir() or path.suffix.lower() in POSES:
        return None
    first = next(iter(next(iter(open_source(str(path))))))
    return None if isinstance(first, VitruvianError) else first.rgb


def _told(placing: Placing, names: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """Say where each camera is; what is not sure enough."""
    warnings = list[str]()
    for line in placing.told:
        say(line)
    centres = [camera.centre for camera in placing.cameras]
    for v, (name, camera) in enumerate(zip(names, placing.cameras, strict=True)):
        errors, far = placing.errors[v], float(np.linalg.norm(centres[v] - centres[0]))
        focal = f", focal length {camera.matrix[0, 0]:.0f} px" if placing.zoom[v] else ""
        focal += f" (to {100 * placing.zoom[v]:.1f} %)" if placing.zoom[v] else ""
        sure = (
            f", {far:.3f} m from {names[0]} (to {1000 * placing.place[v]:.0f} mm, "
            f"{np.degrees(placing.turn[v]):.2f} degrees)"
            if v
            else ""
        )
        place = ", ".join(f"{x:.2f}" for x in centres[v])
        say(
            f"{name}: at {place} m{sure}{focal}; reprojection error {np.median(errors):.2f} px "
            f"(median of {len(errors)} points)"
        )
        if v and placing.place[v] > UNSURE * far:
            warnings.append(
                f"{name}: its position is known to {1000 * placing.place[v]:.0f} mm of {far:.2f} m "
                "only; more movement, over more of the image, helps"
            )
    return warnings
