"""The entry points `vit.stream` (your own frames) and `vit.run` (images, videos, live streams)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry import calibration
from vitruvian.geometry.camera import Camera
from vitruvian.models.model import Model
from vitruvian.sources.frames import FrameMaker
from vitruvian.streams.repaired import Repaired
from vitruvian.streams.stream import Stream
from vitruvian.streams.wanted import Wanted, check_wanted

if TYPE_CHECKING:
    from vitruvian.sources.open import Source


def stream(
    model: str | Model = "blazepose-full",
    *,
    fps: float | None = None,
    order: str | None = None,
    camera: Camera | str | Path | None = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    **options: Any,
) -> Stream:
    """Estimate poses in a video or live stream whose frames you read yourself.

        stream = vit.stream("blazepose-full", num_poses=2)
        while (read := capture.read())[0]:  # cv2.VideoCapture
            poses = stream(vit.Frame.bgr(read[1]))

    The stream keeps state between frames: track ids, regions and filters, as in `run`; a model from
    `load` keeps none. Open one stream per video.

    Args:
        model: model name, or a model from `load`.
        fps: frame rate. Not needed for frames with `seconds`, or with `stream(frame, seconds)`.
            Without any of these the wall clock is used, which suits a webcam but not a file.
        order: channel order of arrays, "bgr" (OpenCV) or "rgb"; with it, `stream(array)` works
            without `Frame.bgr(array)` or `Frame(array)`.
        camera: the camera, or its calibration file, see `Camera.read`.
        fov_deg: or its field of view along the longer side, degrees.
        focal: or its focal length, pixels.
        focal_mm: or its 35 mm equivalent focal length, mm.
        options: of the model; and `track`, `smooth`, `absolute`, `detect_every`, `same_from`, see
            `vitruvian.streams.wanted.Wanted`.

    Raises:
        VitruvianError: unknown model or option, or an option that needs later frames.
    """
    from vitruvian.models.load import open_model

    given = calibration.given(camera, fov_deg=fov_deg, focal=focal, focal_mm=focal_mm)
    make = FrameMaker(fps=fps, order=order)
    wanted, options = Wanted.split(options)
    opened = open_model(model, [], **options)
    check_wanted(wanted, opened)
    return Stream(opened, wanted, camera=given, make=make)


def run(
    source: Any,
    model: str | Model = "blazepose-full",
    *,
    fps: float | None = None,
    order: str | None = None,
    start: float = 0.0,
    end: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
    camera: Camera | str | Path | None = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    absolute: bool = False,
    smooth: str | bool | None = None,
    cutoff_hz: float | None = None,
    repair: bool = False,
    on_repair: Callable[[Repaired], None] = lambda change: None,
    on_error: Callable[[VitruvianError], None] | None = None,
    on_source: Callable[[Source], None] = lambda source: None,
    **options: Any,
) -> Iterator[tuple[Frame, Poses]]:
    """Estimate poses in images, videos or live streams, frame by frame.

    Args:
        source: image, folder, glob pattern, video, webcam (`camera:0` or 0), stream address,
            `sample`, or a list of these. Or your own frames: a `Frame` or an array; a list of them
            (one video); or a generator of them, prefetched in another thread.
        model: model name, or a model from `load`.
        fps: frame rate of frames without timestamps. A list needs it; a generator uses the wall
            clock without it.
        order: channel order of arrays: "bgr" (OpenCV) or "rgb".
        start: start time in a video, seconds.
        end: end time in a video, seconds.
        stride: process every n-th frame.
        max_frames: maximum number of frames per source.
        camera: the camera of all sources, or its calibration file, see `Camera.read`. By default
            the EXIF data of photos is used, or else a field of view of 55 degrees.
        fov_deg: or the camera's field of view along the longer side, degrees.
        focal: or its focal length, pixels.
        focal_mm: or its 35 mm equivalent focal length, mm.
        absolute: 3D coordinates relative to the camera, also for models that give them relative to
            the hips, see `vitruvian.streams.placement`.
        smooth: filter for tracked people: "one-euro" (or True), "butterworth" (offline, delayed by
            some seconds; not for live sources), or "no" (False). Default: the model family's.
        cutoff_hz: cutoff frequency of Butterworth; 6 by default, or less if the frame rate is too
            low for it.
        repair: correct short left-right swaps and short jumps of keypoints; not for live sources.
        on_repair: called with each correction, before its frame is returned.
        on_error: called with each read error. Without it, errors are raised at the end.
        on_source: called with each source before its first frame.
        options: of the model, see `vitruvian.models.load.load`.

    Returns:
        Pairs of frame and poses. In videos and live streams people are tracked: `poses.person` is
        the track id, unless `track=False`. Images are independent of each other.

    Raises:
        VitruvianError: unknown source, model or option, or something cannot be read.
    """
    from vitruvian.models.load import open_model
    from vitruvian.sources.open import Span, open_source

    said = {"smooth": smooth, "cutoff_hz": cutoff_hz, "repair": repair, "absolute": absolute}
    wanted, options = Wanted.split(options | said)
    given = calibration.given(camera, fov_deg=fov_deg, focal=focal, focal_mm=focal_mm)
    sources = open_source(source, Span(start, end, stride, max_frames), fps=fps, order=order)
    opened = open_model(model, sources, **options)
    check_wanted(wanted, opened, sources)
    faults: list[VitruvianError] = []

    def everything() -> Iterator[tuple[Frame, Poses]]:
        for each in sources:
            told = on_error or faults.append
            on_source(each)
            one = Stream(opened, wanted, moving=each.moving, camera=given, on_repair=on_repair)
            yield from one.run(each, told)
        if faults:
            more = f" (and {len(faults) - 1} more similar)" if len(faults) > 1 else ""
            raise VitruvianError(f"{faults[0]}{more}")

    return everything()
