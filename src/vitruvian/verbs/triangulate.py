"""Triangulate: people in metres from videos, or saved poses, of several calibrated cameras."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitruvian.body.poses import Poses
from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError, amount, shown
from vitruvian.formats import table
from vitruvian.formats.atomic_file import writing
from vitruvian.formats.format import WriteOptions
from vitruvian.formats.trc import upward
from vitruvian.formats.wire import Provenance, from_header, with_options
from vitruvian.frame import Frame
from vitruvian.geometry import calibration_files
from vitruvian.geometry.camera import Camera
from vitruvian.multiview.recording import CameraView, Options, Recording3D, triangulated
from vitruvian.streams import butterworth
from vitruvian.streams.identify import Identify
from vitruvian.streams.stream import through
from vitruvian.verbs.asked import asked_model
from vitruvian.verbs.groups import FaultList, MachineWords, ModelWords, quiet, verb
from vitruvian.verbs.outputs import Save, can_hold, is_file, refuse_existing, written_formats
from vitruvian.verbs.progress import progress

if TYPE_CHECKING:
    from vitruvian.models.model import Model
    from vitruvian.models.spec import ModelSpec

MODEL = "blazepose-full"
SEVERAL = 5  # num_poses for models whose default is one person
LONGEST_OFFSET = 10.0  # seconds that are looked for
POSES = {row.suffix for row in table.FORMATS.values()} - {""}
ALONE = 0.5  # seconds in one view only, from which it is said
CLOSEST, FARTHEST = 0.05, 100.0  # metres between cameras that are usual
GIANT = 5.0  # metres; nobody is as large
COVERED = 0.9  # of the time of the first view
AGREED = 0.1  # share of the frames with people in 3D, below which a view is doubted
Pairs = list[tuple[Frame, Poses]]


@dataclass(frozen=True)
class Triangulation:
    """What `triangulate` made."""

    recording: Recording3D
    files: tuple[Path, ...]
    faults: tuple[VitruvianError, ...] = ()  # read errors of videos; what was read is used


@verb
def triangulate(
    source: Sequence[str | Path],
    rig: str | Path,
    model: str | ModelSpec | Model = MODEL,
    *,
    cameras: str | Sequence[str] | None = None,
    sync: str = "no",
    max_error: float | None = None,
    mend_sides: bool = True,
    bones: bool = False,
    cutoff_hz: float | None = None,
    fps: float | None = None,
    up: str = "y",
    words: ModelWords = ModelWords(),
    machine: MachineWords = MachineWords(),
    out: str | Path = Path("triangulated"),
    save: str | Sequence[str] | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = quiet,
    on_error: Callable[[VitruvianError], None] | None = None,
) -> Triangulation:
    """People in metres from several calibrated cameras.

    People are tracked in each view, matched across views over time, and each keypoint is
    triangulated from the views that agree, at least two, at the times of the first view. Poses have
    `world` (metres, axes of the rig), `reprojection` (pixels), `uncertainty` (metres) and `views`;
    `xy` and `xyz` are as the first camera would see them.

    Args:
        source: a video, or a file of poses (`.jsonl` of `predict`, a folder of OpenPose JSON, ...),
            of each camera.
        rig: calibration file with all cameras and their positions, see `Camera.read`.
        model: for videos, as for `predict`.
        cameras: names in the rig of the views, in order; default: by the names of the files.
        sync: "no": times of the files are those of one clock; "movement": find offsets from how
            people move; or seconds that are added to the times of each view, such as "0,0.12".
        max_error: pixels: a view with a larger reprojection error is left out of a keypoint;
            default: 2 % of the longer side of the image.
        mend_sides: exchange left and right where a view contradicts the others.
        bones: bones of one length over the recording.
        cutoff_hz: low-pass filter (Butterworth, zero phase) after triangulation; default: none.
        fps: frame rate of poses without times.
        up: up axis of .trc, .c3d and .bvh: y or z.
        words: options of the model, as for `predict`.
        machine: the same.
        out: a file, its extension selects the format, or a folder.
        save: formats written into a folder; default: json,trc.
        overwrite: replace existing files.
        say: called with one line for each finding.
        on_error: called with each error of a video that is cut short or damaged; what was read of
            it is used. By default, the first is raised when everything is written.

    Raises:
        VitruvianError: fewer than two views, no camera for one, no positions in the rig, nobody
            seen by two cameras, or as `predict`.
    """
    paths = [Path(each) for each in ([source] if isinstance(source, (str, Path)) else source)]
    if len(paths) < 2:
        raise VitruvianError(f"{amount(len(paths), 'view')} given, want two cameras or more")
    out, named = Path(out), save if save is None or isinstance(save, str) else ",".join(save)
    wanted = Save.parse(named, "json,trc")
    targets = _targets(out, wanted)
    refuse_existing([path for _, path in targets], overwrite)
    upward(up)
    names = camera_names(paths, rig, cameras)
    placed = [_placed(rig, name) for name in names]
    offsets = view_offsets(sync, len(paths))
    how = Options(max_error=max_error, mend_sides=mend_sides, bones=bones)
    if max_error is not None and not 0 < max_error < np.inf:
        raise VitruvianError(f"max_error is {max_error:g}, want pixels above 0")
    filter_options = None if cutoff_hz is None else butterworth.Options(cutoff_hz=cutoff_hz)
    if not CLOSEST < (apart := _apart(placed)) < FARTHEST:
        say(f"warning: {_metres(apart)}")
    faults = FaultList(on_error)
    about, poses = poses_of(
        paths,
        model,
        words,
        machine,
        fps,
        faults.tell,
        lambda skeleton: can_hold(out, wanted, skeleton),
        lambda i, size: _of_size(rig, names[i], size, paths[i]),
    )
    views = []
    for path, name, pairs in zip(paths, names, poses, strict=True):
        size = one_size(path, pairs)
        views.append(CameraView(path.name, _of_size(rig, name, size, path), pairs))
    found = triangulated(
        views, how, offsets=offsets, find_offsets=LONGEST_OFFSET if sync == "movement" else None
    )
    refuse_unlikely(found, views)
    if filter_options is not None:
        found = _filtered(found, filter_options)
    for line in (*report(found, names, sync == "movement"), *doubts(found, views, names)):
        say(line)
    done = {"rig": str(rig), "cameras": names, "sync": sync, "max_error": max_error}
    done |= {"offsets": [None if each is None else each.seconds for each in found.offsets]}
    done |= {"mend_sides": mend_sides, "bones": bones, "cutoff_hz": cutoff_hz}
    about = with_options(about, triangulated=done)
    with writing(out):
        for row, path in targets:
            path.parent.mkdir(parents=True, exist_ok=True)
            with row.write(path, WriteOptions(about, up=up)) as sink:
                for i, frame in enumerate(found.frames):
                    sink.write(frame, found.poses(i))
            say(f"-> {', '.join(map(str, sink.paths))}")
    outcome = faults.outcome([path for _, path in targets])
    return Triangulation(found, outcome.files, outcome.faults)


def _targets(out: Path, save: Save) -> list[tuple[Any, Path]]:
    rows = written_formats(out, save)
    for row in rows:
        if row.frames:
            raise VitruvianError(
                f"triangulated people cannot be written as {row.name}; want a record (.jsonl), "
                "tables, .trc, .c3d, .bvh or .html"
            )
    if is_file(out):
        return [(rows[0], out)]
    return [(row, out / f"triangulated{row.ends[0]}") for row in rows]


def view_offsets(sync: str, count: int) -> list[float] | None:
    """Seconds of each view; None: to be found, or none."""
    if sync in ("no", "movement"):
        return None
    try:
        numbers = [float(word) for word in sync.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise VitruvianError(
            f"sync is '{shown(sync)}', want no, movement, or seconds of {count} views, such as "
            f"{','.join(['0', '0.12', '-0.3', '0'][: min(count, 4)])}"
        )
    return numbers


def _plain(name: str) -> str:
    """A name without signs, capitals and leading zeros of numbers: cam_01 and Cam1 are alike."""
    words = re.findall(r"[a-z]+|\d+", name.lower())
    return "".join(word.lstrip("0") or "0" if word.isdigit() else word for word in words)


def camera_names(
    paths: Sequence[Path], rig: str | Path, cameras: str | Sequence[str] | None
) -> list[str]:
    """The camera of each view."""
    try:
        known = list(calibration_files.read(Path(rig)))
    except calibration_files.SizeUnsaid:
        known = list(calibration_files.read(Path(rig), (1, 1)))
    if cameras is not None:
        given = cameras.split(",") if isinstance(cameras, str) else list(cameras)
        if len(given) != len(paths):
            raise VitruvianError(
                f"{amount(len(given), 'camera')} named for {amount(len(paths), 'view')}: "
                f"{shown(','.join(given), 100)}"
            )
        names = [word.strip() for word in given]
    else:
        names = []
        for path in paths:
            stem, fits = _plain(path.stem), list[str]()
            for far in (lambda a, b: a == b, lambda a, b: a.endswith(b), lambda a, b: b in a):
                fits = [name for name in known if _plain(name) and far(stem, _plain(name))]
                if fits:
                    break
            if len(fits) != 1:
                raise VitruvianError(
                    f"which camera is '{shown(path.name)}'? '{rig}' has {', '.join(known)}; name "
                    "files like cameras, or give the names in order: --cameras "
                    f"{','.join(known[: len(paths)])}"
                )
            names.append(fits[0])
    for name in names:
        if names.count(name) > 1:
            raise VitruvianError(f"camera '{shown(name)}' is given for two views")
    return names


def _placed(rig: str | Path, name: str, size: tuple[int, int] | None = None) -> Camera:
    """A camera of a rig, for images of a size, or of any if the rig does not tell.

    Raises:
        VitruvianError: no such camera, or without a position.
    """
    try:
        camera = Camera.read(rig, name, size)
    except calibration_files.SizeUnsaid:
        if size is not None:
            raise
        camera = Camera.read(rig, name, (1, 1))
    if camera.extrinsics is None:
        raise VitruvianError(f"'{rig}' has no position of camera '{name}' (rotation, translation)")
    return camera


def _of_size(rig: str | Path, name: str, size: tuple[int, int] | None, path: Path) -> Camera:
    if size is None:
        return Camera.read(rig, name)
    try:
        return _placed(rig, name, size).scaled(size)
    except VitruvianError as error:
        raise VitruvianError(f"'{shown(path.name)}': {error}") from None


def one_size(path: Path, pairs: Pairs) -> tuple[int, int] | None:
    """Width and height of the images of a view; None: not said."""
    sizes = {frame.size for frame, _ in pairs if all(frame.size)}
    if len(sizes) > 1:
        raise VitruvianError(f"'{path.name}' has frames of several sizes")
    return next(iter(sizes), None)


def _apart(cameras: Sequence[Camera]) -> float:
    """Metres, the largest distance of two cameras."""
    centres = np.stack([np.zeros(3) if (at := each.centre) is None else at for each in cameras])
    return float(np.linalg.norm(centres[:, None] - centres, axis=-1).max())


def _metres(apart: float) -> str:
    return f"the cameras are {apart:.3g} m apart at most; are positions in the rig in metres?"


def poses_of(
    paths: Sequence[Path],
    model: str | ModelSpec | Model,
    words: ModelWords,
    machine: MachineWords,
    fps: float | None,
    on_error: Callable[[VitruvianError], None],
    check: Callable[[Skeleton], object] = lambda skeleton: None,
    fits: Callable[[int, tuple[int, int]], object] = lambda i, size: None,
) -> tuple[Provenance, list[Pairs]]:
    """Provenance, and the tracked poses of each view.

    `check` may refuse their skeleton, and `fits` the size of a video, before models run. `on_error`
    is told of videos that are cut short.
    """
    whole = [path.resolve() for path in paths]
    for path, place in zip(paths, whole, strict=True):
        if whole.count(place) > 1:
            raise VitruvianError(f"'{path}' is given for two views")
    saved = [path.is_dir() or path.suffix.lower() in POSES for path in paths]
    if all(saved):
        readings = [table.read(path, fps=fps if _asks(path) else None) for path in paths]
        found = [_tracked(reading) for reading in readings]
        for _, poses in (pair for pairs in found for pair in pairs[:1]):
            check(poses.skeleton)
        return from_header(readings[0].header), found
    if any(saved):
        raise VitruvianError("give either videos or saved poses of all cameras, not both")
    from vitruvian.models.load import family_of, open_model
    from vitruvian.models.model import skeleton_of
    from vitruvian.models.spec import ModelSpec
    from vitruvian.sources.open import open_source
    from vitruvian.streams.stream import Stream
    from vitruvian.streams.wanted import Wanted

    sources = [each for path in paths for each in open_source(str(path))]
    if len(sources) != len(paths):
        raise VitruvianError(
            f"{amount(len(sources), 'video')} for {amount(len(paths), 'name')} of files; name each"
        )
    for each in sources:
        if not each.moving:
            raise VitruvianError(f"'{each.name}' is an image; give a video, or saved poses")
    for i, each in enumerate(sources):
        first = next(iter(each), None)
        if isinstance(first, VitruvianError):
            raise first
        if first is not None:
            fits(i, first.size)
    asked = asked_model(model, words, machine)
    if isinstance(asked, ModelSpec) and family_of(asked.name).one_person:
        asked = asked.with_defaults(num_poses=SEVERAL)
    opened, found = open_model(asked, sources), list[Pairs]()
    check(skeleton_of(opened))
    for each in sources:
        # Not confirmed in each view: other views do that, also in recordings that are too short.
        stream = Stream(opened, Wanted(track=True, smooth="no", confirm=False), moving=True)
        pairs: Pairs = []
        with progress(each.name, each.count()) as advance:
            for frame, poses in stream.run(each, on_error):
                pairs.append((replace(frame, pixels=None), replace(poses, mask=None, maps=None)))
                advance(len(pairs))
        found.append(pairs)
    return opened, found


def _asks(path: Path) -> bool:
    return "fps" in table.recognised(path).asks


def _tracked(reading: Iterable[tuple[Frame, Poses]]) -> Pairs:
    """The pairs; people get track ids if they have none."""
    pairs = [(frame, poses if poses.raw is None else poses.raw) for frame, poses in reading]
    if any((poses.person < 0).any() and len(poses) > 1 for _, poses in pairs):
        pairs = list(through([Identify()], pairs))
    return pairs


def _filtered(found: Recording3D, options: butterworth.Options) -> Recording3D:
    seconds = np.array([frame.seconds for frame in found.frames])
    people = [
        replace(person, world=butterworth.filtered(seconds, person.world, options))
        for person in found.people
    ]
    return replace(found, people=people)


def refuse_unlikely(found: Recording3D, views: Sequence[CameraView]) -> None:
    """Refuse a recording without people in 3D, or with giants.

    Raises:
        VitruvianError: says which it is.
    """
    apart = _apart([view.camera for view in views])
    if not found.people:
        for view in views:
            if not any(len(poses) for _, poses in view.pairs):
                raise VitruvianError(f"nobody is found in '{view.name}'")
        unit = "" if CLOSEST < apart < FARTHEST else f"; {_metres(apart)}"
        raise VitruvianError(
            "nobody is seen by two cameras at once; check the rig, the names of the cameras, and "
            f"whether the views run at the same time (--sync movement){unit}"
        )
    with np.errstate(invalid="ignore"):
        sizes = [_size(person.world) for person in found.people]
    largest = int(np.argmax(sizes))
    if sizes[largest] > GIANT:
        raise VitruvianError(
            f"person {largest + 1} is {sizes[largest]:.0f} m in size: {_metres(apart)}"
        )


def _size(world: np.ndarray) -> float:
    """Metres, the diagonal of the box around the keypoints of (T, K, 3), median over frames."""
    whole = np.isfinite(world[..., 0]).sum(axis=1) >= world.shape[1] / 2
    if not whole.any():
        return 0.0
    sides = np.nanmax(world[whole], axis=1) - np.nanmin(world[whole], axis=1)
    return float(np.median(np.linalg.norm(sides, axis=-1)))


def doubts(found: Recording3D, views: Sequence[CameraView], cameras: Sequence[str]) -> list[str]:
    """Lines about views that hardly help: nobody in them, too short, or against all others."""
    lines = list[str]()
    begin, end = found.frames[0].seconds, found.frames[-1].seconds
    late = 0.0 if found.offsets[0] is None else found.offsets[0].seconds
    begin, end = begin + late, end + late
    placed = np.any(
        [np.isfinite(each.world).any(axis=(1, 2)) for each in found.people], axis=0
    ).sum()
    for v, (view, camera, offset) in enumerate(zip(views, cameras, found.offsets, strict=True)):
        late = 0.0 if offset is None else offset.seconds
        first, last = (view.pairs[i][0].seconds + late for i in (0, -1))
        if min(last, end) - max(first, begin) < COVERED * (end - begin):
            lines.append(
                f"warning: {view.name} runs from {first:.1f} to {last:.1f} s, the first view from "
                f"{begin:.1f} to {end:.1f} s"
            )
        if not any(len(poses) for _, poses in view.pairs):
            lines.append(f"warning: nobody is found in {view.name}")
            continue
        agreed = np.any([person.used[:, v].any(axis=1) for person in found.people], axis=0).sum()
        alone = sum(count for (name, _), count in found.alone.items() if name == view.name)
        if agreed < AGREED * placed and alone > agreed:
            lines.append(
                f"warning: the people in {view.name} are nobody whom the others see: is it of "
                f"camera {camera} (--cameras), of the same time (--sync movement), not mirrored?"
            )
    return lines


def report(found: Recording3D, cameras: Sequence[str], synced: bool = False) -> list[str]:
    """Lines about people, views and offsets: what was found, and how well."""
    lines = list[str]()
    if synced:
        for name, offset in zip(found.views, found.offsets, strict=True):
            if offset is None:
                lines.append(f"{name}: its offset was not found; 0 s is assumed")
            else:
                lines.append(f"{name}: {offset}")
    seconds = np.array([frame.seconds for frame in found.frames])
    for number, person in enumerate(found.people, 1):
        known = np.isfinite(person.world[..., 0])
        there = np.flatnonzero(known.any(axis=1))
        if not len(there):
            continue
        span = f"{seconds[there[0]]:.1f} to {seconds[there[-1]]:.1f} s"
        share = known[there[0] : there[-1] + 1].mean()
        lines.append(
            f"person {number}: {span}, {100 * share:.0f} % of keypoints in 3D, reprojection error "
            f"{np.nanmedian(person.error):.1f} px, uncertainty "
            f"{1000 * np.nanmedian(person.uncertainty):.0f} mm (medians)"
        )
        for v, camera in enumerate(cameras):
            used = person.used[there, v].mean() / max(known[there].mean(), 1e-9)
            swapped = int(person.swapped[:, v].sum())
            more = f"; left and right exchanged in {amount(swapped, 'frame')}" if swapped else ""
            lines.append(f"  {camera}: agrees for {100 * used:.0f} % of them{more}")
    lines += _wrong_rig(found, cameras)
    rate = 1 / max(float(np.median(np.diff(seconds))), 1e-6) if len(seconds) > 1 else 1.0
    for (name, number), count in sorted(found.alone.items()):
        if count >= ALONE * rate:
            lines.append(
                f"track {number} of {name}: {amount(count, 'frame')} seen by no other camera, "
                "left out"
            )
    return lines


def _wrong_rig(found: Recording3D, cameras: Sequence[str]) -> list[str]:
    """A line about cameras that do not fit each other, by the person who is known best."""
    if not found.people or (lens := found.frames[0].camera) is None:
        return []
    person = max(found.people, key=lambda each: int(np.isfinite(each.error).sum()))
    wrong, pairs = person.beside.wrong(lens.matrix[0, 0])
    if not pairs:
        return []
    way_out = "calibrate the rig again, or see whether the clocks agree"
    if wrong is not None:
        others = [v for v in range(len(cameras)) if v != wrong]
        far = ", ".join(f"{cameras[v]} {person.beside.offset[wrong, v]:.0f}" for v in others)
        return [
            f"{cameras[wrong]} does not fit the others: its keypoints are beside their epipolar "
            f"lines by so many pixels (median): {far}; {way_out}"
        ]
    far = ", ".join(
        f"{cameras[u]} and {cameras[v]} {person.beside.offset[u, v]:.0f}" for u, v in pairs
    )
    return [
        "cameras do not fit each other: keypoints are beside the epipolar lines by so many pixels "
        f"(median): {far}; {way_out}"
    ]
