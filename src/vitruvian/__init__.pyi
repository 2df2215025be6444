"""The public names of vitruvian, for editors and type checkers.

Made by `python docs/generate.py` from the functions themselves.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from vitruvian.analysis.changes import EventChange as EventChange
from vitruvian.analysis.events import Event as Event
from vitruvian.body.poses import Poses as Poses
from vitruvian.body.skeleton import Skeleton as Skeleton
from vitruvian.errors import VitruvianError as VitruvianError
from vitruvian.formats.libraries import from_supervision as from_supervision, from_xarray as from_xarray, to_pandas as to_pandas, to_supervision as to_supervision, to_xarray as to_xarray
from vitruvian.formats.table import read as read
from vitruvian.frame import Frame as Frame
from vitruvian.geometry.camera import Camera
from vitruvian.models.load import load as load
from vitruvian.models.model import Model
from vitruvian.models.spec import ModelSpec
from vitruvian.rendering.draw import draw as draw
from vitruvian.rendering.page import plot3d as plot3d
from vitruvian.rendering.show import show as show
from vitruvian.sources.open import open_source as open_source
from vitruvian.sources.video import Span
from vitruvian.streams.run import run as run, stream as stream
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.analyze import analyze_frames as analyze_frames
from vitruvian.verbs.api import OnError, OneModel, Words
from vitruvian.verbs.batch.batch import Batch
from vitruvian.verbs.benchmark.benchmark import Benchmark, Plan
from vitruvian.verbs.calibrate import Calibration
from vitruvian.verbs.compare.result import Comparison
from vitruvian.verbs.convert import convert as convert
from vitruvian.verbs.distil import distil as distil
from vitruvian.verbs.doctor import doctor as doctor
from vitruvian.verbs.export import export as export
from vitruvian.verbs.groups import AnalysisWords, BatchWords, CameraWords, LiveWords, MachineWords, ModelWords, Outcome, OutputWords
from vitruvian.verbs.live.push import live as live
from vitruvian.verbs.outputs import open_sink as open_sink
from vitruvian.verbs.synth import synth as synth
from vitruvian.verbs.trace import Trace
from vitruvian.verbs.train import train as train
from vitruvian.verbs.triangulate import Triangulation
from vitruvian.verbs.val.val import Validation

__version__: str
__all__: list[str]
_PUBLIC: dict[str, str]

def analyze(
    source: Words,
    model: OneModel = 'blazepose-full',
    *,
    find: str | None = None,
    num_poses: int | None = None,
    conf: float | None = None,
    skeleton: str | None = None,
    hands: bool | None = None,
    face: bool | None = None,
    start: float = 0.0,
    end: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
    out: str | Path = Path('out'),
    save: str | Sequence[str] | None = None,
    visible: float = 0.5,
    resume: bool = False,
    overwrite: bool = False,
    rules: str | None = None,
    angles: bool = False,
    angle: str | None = None,
    space: str | None = None,
    minimum: float = 0.5,
    gap: float = 0.5,
    on: float = 0.6,
    off: float = 0.4,
    person: int | str | Sequence[int] | None = None,
    track: bool | None = None,
    confirm: bool = True,
    smooth: str | bool | None = None,
    cutoff_hz: float | None = None,
    repair: bool = False,
    absolute: bool = False,
    detect_every: int | None = None,
    same_from: float | None = None,
    camera: Camera | str | Path | None | CameraWords = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    say: Callable[[str], None] = ...,
    on_error: OnError = None,
    words: ModelWords = ...,
    span: Span = ...,
    output: OutputWords = ...,
    analysis: AnalysisWords = ...,
    wanted: Wanted = ...,
    machine: MachineWords = ...,
) -> Outcome:
    """Detect events with rules, and measure joint angles.

    SOURCE may also be a .jsonl file of `vitruvian predict`; then no model runs.

    Args:
        source: as for `predict`, or one `.jsonl` file.
        model: as for `predict`, and so are the other groups.
        words: the same.
        span: the same.
        output: the same; `save` takes tables, video, plot, pdf, svg, sheet, html and parquet.
        analysis: `rules`, `angles`, `angle`, `space`, `minimum`, `gap`, `on`, `off`, `person`.
        wanted: as for `predict`; for `.jsonl` only `smooth`, `cutoff_hz` and `repair`.
        camera: as for `predict`.
        machine: the same.
        say: called with one line about each source and each rule.
        on_error: as for `predict`.

    Raises:
        VitruvianError: as `predict`; unknown rule or angle; or an option has no effect.
    """

def batch(
    source: str | Path | Sequence[str | Path],
    model: str = 'blazepose-full',
    *,
    find: str | None = None,
    num_poses: int | None = None,
    conf: float | None = None,
    skeleton: str | None = None,
    hands: bool | None = None,
    face: bool | None = None,
    start: float = 0.0,
    end: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
    out: str | Path = Path('batch'),
    save: str | Sequence[str] | None = None,
    visible: float = 0.5,
    resume: bool = False,
    overwrite: bool = False,
    recursive: bool = False,
    workers: int | None = None,
    ray: str | None = None,
    cpus_per_worker: float = 1.0,
    gpus_per_worker: float = 0.0,
    shard: str | None = None,
    cut: float | None = None,
    attempts: int = 2,
    state: str | Path | None = None,
    summary: bool = False,
    on_event: str | None = None,
    log: str | Path | None = None,
    rules: str | None = None,
    angles: bool = False,
    angle: str | None = None,
    space: str | None = None,
    minimum: float = 0.5,
    gap: float = 0.5,
    on: float = 0.6,
    off: float = 0.4,
    person: int | str | Sequence[int] | None = None,
    track: bool | None = None,
    confirm: bool = True,
    smooth: str | bool | None = None,
    cutoff_hz: float | None = None,
    repair: bool = False,
    absolute: bool = False,
    detect_every: int | None = None,
    same_from: float | None = None,
    camera: Camera | str | Path | None | CameraWords = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    say: Callable[[str], None] = ...,
    words: ModelWords = ...,
    span: Span = ...,
    output: OutputWords = ...,
    how: BatchWords = ...,
    analysis: AnalysisWords = ...,
    wanted: Wanted = ...,
    machine: MachineWords = ...,
) -> Batch:
    """Detect people in thousands of images and videos, on all cores or a Ray cluster.

    Each source gets a folder in `out` with what `predict` and `analyze` write. A second run does
    only what is missing, has changed, or was made with other settings.

    Args:
        source: files, folders, patterns, lists (.txt), tables (.csv, .parquet), URLs that fsspec
            reads, `-`; or a list of these.
        model: model name or file, with options after commas.
        words: as for `predict`, and so are `span`, `wanted`, `camera`.
        span: the same.
        output: `out` (a folder, or a URL as text: `s3://bucket/results`), `save`, `visible`, and
            `overwrite`: do everything again.
        how: `recursive`, `workers`, `ray`, `cpus_per_worker`, `gpus_per_worker`, `shard`, `cut`,
            `attempts`, `state`, `summary`, `on_event`, `log`.
        analysis: as for `analyze`; without any of it, there is no analysis.
        wanted: as for `predict`.
        camera: the same.
        machine: `device`, `precision`; `threads` are those of each worker.
        say: called with lines about the run.

    Raises:
        VitruvianError: nothing to do, an option is wrong, or another batch writes to `out`.
    """

def benchmark(
    model: Sequence[str | ModelSpec] | None = None,
    source: str | Path | None = None,
    *,
    people: str | Sequence[int] = '1,5,20',
    size: str | Sequence[int] | None = None,
    threads: str | Sequence[int] | None = None,
    precision: str | Sequence[str] | None = None,
    rounds: int = 3,
    frames: int = 30,
    seconds: float = 10.0,
    warm_up: int = 25,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] = ...,
    plan: Plan = ...,
) -> Benchmark:
    """Benchmark models side by side.

    Args:
        model: catalogue names, files, or specs.
        source: images or a video; without it, images are composed from the built-in portrait.
        people: people in those images; numbers, or comma-separated text, as for the next three.
        size: input size `imgsz` of YOLOv8 models, pixels; the others have a fixed size.
        threads: threads of the networks.
        precision: network precision: f32, bf16, f16.
        plan: how much to measure.
        out: a `.json` file for the result.
        overwrite: replace an existing `out`.
        resume: keep the measurements of an interrupted run into `out`.
        say: called with one line about each finished measurement.

    Raises:
        VitruvianError: unknown model, or a number out of range; `out` exists, or holds other
            measurements.
    """

def calibrate(
    source: Sequence[str | Path],
    model: str | ModelSpec | Model = 'blazepose-full',
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
    sync: str = 'no',
    fps: float | None = None,
    find: str | None = None,
    num_poses: int | None = None,
    conf: float | None = None,
    skeleton: str | None = None,
    hands: bool | None = None,
    face: bool | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    out: str | Path = Path('rig.toml'),
    overwrite: bool = False,
    say: Callable[[str], None] = ...,
    words: ModelWords = ...,
    machine: MachineWords = ...,
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

def compare(
    source: str | Path | Sequence[str | Path],
    model: Sequence[str | ModelSpec] | None = None,
    out: str | Path = Path('comparison'),
    *,
    results: Sequence[str | Path] | None = None,
    start: float = 0.0,
    end: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
    camera: Camera | str | Path | None | CameraWords = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    visible: float = 0.5,
    overwrite: bool = False,
    resume: bool = False,
    on_error: Callable[[VitruvianError], None] | None = None,
    span: Span = ...,
) -> Comparison:
    """Compare models on the same source.

    Args:
        source: image, folder, glob pattern or video, or several.
        model: catalogue names, files, or specs.
        out: output folder.
        results: records (.jsonl) of the same source, from other programs.
        span: which frames; by default all.
        camera: `camera`, `fov_deg`, `focal` or `focal_mm`; by default from the images.
        visible: 0..1; keypoints with this score or more are drawn.
        overwrite: replace a comparison in the folder.
        resume: continue a comparison of the same source: finished records are kept, and models may
            be added.
        on_error: called with each error. Without it, the rest is done first, and then the first
            error is raised.

    Raises:
        VitruvianError: unknown source, model, option or record, fewer than two sides, or a folder
            with other content.
    """

def predict(
    source: Words,
    model: OneModel = 'blazepose-full',
    *,
    find: str | None = None,
    num_poses: int | None = None,
    conf: float | None = None,
    skeleton: str | None = None,
    hands: bool | None = None,
    face: bool | None = None,
    start: float = 0.0,
    end: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
    out: str | Path = Path('out'),
    save: str | Sequence[str] | None = None,
    visible: float = 0.5,
    resume: bool = False,
    overwrite: bool = False,
    track: bool | None = None,
    confirm: bool = True,
    smooth: str | bool | None = None,
    cutoff_hz: float | None = None,
    repair: bool = False,
    absolute: bool = False,
    detect_every: int | None = None,
    same_from: float | None = None,
    camera: Camera | str | Path | None | CameraWords = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    say: Callable[[str], None] = ...,
    on_error: OnError = None,
    words: ModelWords = ...,
    span: Span = ...,
    output: OutputWords = ...,
    wanted: Wanted = ...,
    machine: MachineWords = ...,
) -> Outcome:
    """Detect people, estimate their 2D and 3D keypoints, and write them.

    Words of a group are keywords of their own: `stride=2` is `span=Span(stride=2)`.

    Args:
        source: image, folder, glob pattern, video, webcam (`camera:0`), stream address, `sample`,
            or a list of these.
        model: model name or file, with options after commas, or a model from `load`.
        words: options of the model: `find`, `num_poses`, `conf`, `skeleton`.
        span: which frames: `start`, `end` (seconds), `stride`, `max_frames`.
        output: `out`, `save`, `visible`, `resume`, `overwrite`.
        wanted: tracking and smoothing: `track`, `smooth`, `cutoff_hz`, `repair`, `detect_every`,
            `same_from`; and `absolute`.
        camera: `camera`, `fov_deg`, `focal` (pixels) or `focal_mm`.
        machine: `device`, `threads`, `precision`.
        say: called with one line about each source.
        on_error: called with each read error. Without it, errors are raised at the end.

    Raises:
        VitruvianError: unknown source, model or option, a file exists, or cannot be read.
    """

def serve(
    source: str | Path | int | None = None,
    model: OneModel | Sequence[OneModel] = 'blazepose-full',
    *,
    find: str | None = None,
    num_poses: int | None = None,
    conf: float | None = None,
    skeleton: str | None = None,
    hands: bool | None = None,
    face: bool | None = None,
    rules: str | None = None,
    space: str | None = None,
    minimum: float = 0.5,
    gap: float = 0.5,
    host: str = '127.0.0.1',
    port: int = 8000,
    clients: int = 4,
    certfile: str | Path | None = None,
    keyfile: str | Path | None = None,
    loop: bool = False,
    record: str | Path | None = None,
    record_video: bool = False,
    webhook: str | None = None,
    osc: str | None = None,
    run: str | None = None,
    browser: bool = True,
    track: bool | None = None,
    confirm: bool = False,
    smooth: str | bool | None = None,
    cutoff_hz: float | None = None,
    repair: bool = False,
    absolute: bool = False,
    detect_every: int | None = None,
    same_from: float | None = None,
    camera: Camera | str | Path | None | CameraWords = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    lines: bool = False,
    on_event: Callable[[dict[str, Any]], object] | None = None,
    words: ModelWords = ...,
    live: LiveWords = ...,
    wanted: Wanted = ...,
    machine: MachineWords = ...,
) -> None:
    """Serve the live page until Ctrl-C; on the command line, `vitruvian live`.

    Args:
        source: webcam (`camera:0`), stream address or video, which plays at its own pace; None:
            browsers send the frames of their cameras.
        model: as for `predict`, or several, among which the page offers a choice.
        words: as for `predict`.
        rules: rules of posture events, see `analyze_frames`; None: all that need no pixels.
        space: "2d" or "3d" angles; None: as for `analyze_frames`.
        minimum: seconds after which an event starts; shorter ones are dropped.
        gap: seconds after which an event, or a person who is out of sight, ends.
        live: the server: `host`, `port`, `clients`, `certfile`, `keyfile`, `browser`, `loop`;
            recordings: `record`, `record_video`; and triggers: `webhook`, `osc`, `run`.
        wanted: as for `predict`, but `confirm` is off: people have track ids, and so events, at
            once.
        camera: as for `predict`.
        machine: the same.
        lines: whether events are written to standard output, as lines of JSON.
        on_event: called with each event, a dict of JSON, in a thread.

    Raises:
        VitruvianError: the extra `live` is missing, the port is in use, the source or a model
            cannot be opened, or an option is wrong.
    """

def trace(
    source: Any,
    keypoint: str,
    model: str | ModelSpec | Model = 'blazepose-full',
    *,
    frame: int = 0,
    person: int | None = None,
    find: str | None = None,
    num_poses: int | None = None,
    conf: float | None = None,
    skeleton: str | None = None,
    hands: bool | None = None,
    face: bool | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    track: bool | None = None,
    confirm: bool = True,
    smooth: str | bool | None = None,
    cutoff_hz: float | None = None,
    repair: bool = False,
    absolute: bool = False,
    detect_every: int | None = None,
    same_from: float | None = None,
    camera: Camera | str | Path | None | CameraWords = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    words: ModelWords = ...,
    wanted: Wanted = ...,
    machine: MachineWords = ...,
) -> Trace:
    """Trace one keypoint through every stage of a model and every step of a stream.

    Args:
        source: image or video, as for `run`.
        keypoint: name of the keypoint.
        model: model name or file, with options after commas, or a model from `load`.
        frame: frame index, from 0. A video is processed from its first frame up to this one.
        person: track id in a video; in images, a number from 1. Default: the highest score.
        words: options of the model: `find`, `num_poses`, `conf`, `skeleton`.
        out: output folder for `trace.csv`, `frame.png`, `crop.png` and `heatmap.png`.
        overwrite: replace existing files in `out`.
        wanted: tracking and smoothing, as for `predict`.
        camera: as for `predict`.
        machine: as for `predict`.

    Raises:
        VitruvianError: unknown keypoint, frame or person, or as `run`.
    """

def track(
    source: Words,
    model: OneModel = 'blazepose-full',
    again: bool = False,
    *,
    find: str | None = None,
    num_poses: int | None = None,
    conf: float | None = None,
    skeleton: str | None = None,
    hands: bool | None = None,
    face: bool | None = None,
    start: float = 0.0,
    end: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
    out: str | Path = Path('tracks'),
    save: str | Sequence[str] | None = None,
    visible: float = 0.5,
    resume: bool = False,
    overwrite: bool = False,
    track: bool | None = None,
    confirm: bool = True,
    smooth: str | bool | None = None,
    cutoff_hz: float | None = None,
    repair: bool = False,
    absolute: bool = False,
    detect_every: int | None = None,
    same_from: float | None = None,
    camera: Camera | str | Path | None | CameraWords = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    say: Callable[[str], None] = ...,
    on_error: OnError = None,
    words: ModelWords = ...,
    span: Span = ...,
    output: OutputWords = ...,
    wanted: Wanted = ...,
    machine: MachineWords = ...,
) -> Outcome:
    """Track people: each person keeps one track id through the video.

    Reports when each person is visible. SOURCE may be a .jsonl file of `predict`; then no model
    runs.

    Args:
        source: video, folder, webcam (`camera:0`) or stream address; or one `.jsonl` file.
        model: as for `predict`, and so are the other groups.
        words: the same.
        span: the same.
        output: the same.
        wanted: the same; for `.jsonl` only `smooth`, `cutoff_hz` and `repair`.
        again: for `.jsonl`: reassign track ids, by motion and pose.
        camera: as for `predict`.
        machine: the same.
        say: called with one line about each source and each person.
        on_error: as for `predict`.

    Raises:
        VitruvianError: as `predict`; or an option has no effect on a record.
    """

def triangulate(
    source: Sequence[str | Path],
    rig: str | Path,
    model: str | ModelSpec | Model = 'blazepose-full',
    *,
    cameras: str | Sequence[str] | None = None,
    sync: str = 'no',
    max_error: float | None = None,
    mend_sides: bool = True,
    bones: bool = False,
    cutoff_hz: float | None = None,
    fps: float | None = None,
    up: str = 'y',
    find: str | None = None,
    num_poses: int | None = None,
    conf: float | None = None,
    skeleton: str | None = None,
    hands: bool | None = None,
    face: bool | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    out: str | Path = Path('triangulated'),
    save: str | Sequence[str] | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = ...,
    on_error: Callable[[VitruvianError], None] | None = None,
    words: ModelWords = ...,
    machine: MachineWords = ...,
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

def val(
    data: str | Path,
    model: Sequence[str | ModelSpec | Model] | None = None,
    *,
    results: Sequence[str | Path] | None = None,
    images: str | Path | None = None,
    split: str = 'val',
    find: str | None = None,
    num_poses: int | None = None,
    conf: float | None = None,
    skeleton: str | None = None,
    hands: bool | None = None,
    face: bool | None = None,
    common: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    resamples: int = 200,
    say: Callable[[str], None] = ...,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    on_error: Callable[[VitruvianError], None] = ...,
    words: ModelWords = ...,
    machine: MachineWords = ...,
) -> Validation:
    """Evaluate models on annotated data.

    Args:
        data: COCO keypoint annotations, a YOLO-pose dataset, joints in metres, or people.jsonl;
            see docs/val.md.
        model: names, with options after commas, specs, or loaded models.
        results: COCO result files or records, from any program, to be scored as well.
        images: folder of the images; by default beside the data.
        split: split of the dataset, if it has several.
        words: `find`, `num_poses`, `conf` of the models; and `skeleton`, a name or .toml file, of
            the annotated keypoints, and of model files that do not name theirs; by default that of
            the annotations, or else COCO's.
        common: score all models on their common keypoints, not each on its own.
        out: folder for the predictions.
        overwrite: start over, whatever is in `out`.
        resume: continue what is in `out`; finished images are skipped.
        resamples: number of bootstrap resamples for the intervals; 0: no intervals.
        machine: `device`, `threads`, `precision`.
        say: called with one line about each model.
        on_error: called with each read error; those images are left out.

    Raises:
        VitruvianError: the data cannot be read, a model shares no keypoints with it, or `out` has
            other settings.
    """
