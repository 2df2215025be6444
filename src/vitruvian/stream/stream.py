"""The loop: source -> model -> steps -> (frame, poses), and the threads around it.

Three things go on at once: a thread reads ahead, the caller's thread runs the model, and, where
sinks are used, a thread writes behind. The queues between them are short, so memory does not grow
with the length of a video.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.body.poses import Poses
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.geometry import calibration
from vitruvian.geometry.camera import Camera
from vitruvian.models.model import Model, Streamed
from vitruvian.sources.threads import Ahead, again, readable

if TYPE_CHECKING:
    from vitruvian.sources.open import Source
    from vitruvian.stream.repair import Change
    from vitruvian.stream.wanted import OverTime


Given = Callable[[tuple[int, int]], Camera]  # of pictures of a size; see `calibration.given`


def steps(model: Model, smooth: bool | None = None) -> Callable[[Frame], Poses]:
    """A model and a fresh memory: poses of one frame after the other of one stream, numbered.

    With `smooth`, One-Euro's; None: as the model's options say.
    """
    from vitruvian.stream.follow import Follow, Followed

    options = model.options
    if smooth is None:
        smooth = bool(options.get("smooth", False))
    # What a detector need not find in every frame is followed from one to the next.
    if isinstance(model, Followed) and options.get("detect_every") and options.get("track", True):
        follow = Follow(
            model,
            every=options["detect_every"],
            overlap=options["same_from"],
            smooth=smooth,
        )
        return follow
    after = numbered(model, smooth)
    return lambda frame: after(frame, model([frame])[0])


def numbered(model: Model, smooth: bool) -> Callable[[Frame, Poses], Poses]:
    """A fresh memory for poses that were found frame by frame: who is who, and One-Euro."""
    if not model.options.get("track", True):
        return lambda frame, poses: poses
    from vitruvian.stream.identify import Identify
    from vitruvian.stream.one_euro import Smooth

    identify = Identify()
    if not smooth:
        return identify
    one_euro = Smooth()
    return lambda frame, poses: one_euro(identify(frame, poses), frame.seconds)


def in_front(
    model: Model, absolute: bool, *, steady: bool = True
) -> Callable[[Frame, Poses], Poses]:
    """A fresh memory for where people stand; with `absolute`, everyone is put before the camera."""
    from vitruvian.stream.placement import Absolute

    step = Absolute(place=absolute, steady=steady)

    def put(frame: Frame, poses: Poses) -> Poses:
        if absolute and poses.xyz is None:
            from vitruvian.models.zoo import CATALOGUE

            able = ", ".join(row.name for row in CATALOGUE.values() if "3D" in row.gives)
            raise VitruvianError(
                f"{model.name} gives no 3D, so nobody can be put in front of the camera; "
                f"leave absolute out, or take one of {able}"
            )
        return step(frame, poses)

    return put


def results(
    source: Source,
    model: Model,
    on_error: Callable[[VitruvianError], None],
    *,
    camera: Given | None = None,
    absolute: bool = False,
    over: OverTime | None = None,
    on_repair: Callable[[Change], None] = lambda change: None,
    pixels: bool = True,
) -> Iterator[tuple[Frame, Poses]]:
    """Every frame of a source with its poses; what cannot be read goes to `on_error`.

    What wants the future runs some seconds behind. No pixels are kept for that long: where they are
    wanted, the source is read a second time, as far behind.

    Args:
        source: from `open_source`.
        model: what finds the people.
        on_error: gets why a frame, or the rest of a source, is left out.
        camera: from `calibration.given`; without it, frames have the cameras they came with.
        absolute: whether people are put in front of it, see `run`.
        over: what is done with people over time; None: as the model's options say.
        on_repair: gets what was mended.
        pixels: whether frames must have them, also those of recordings that are repaired.
    """
    over = chosen(model, over)
    if not (over.offline and source.moving):
        step = in_front(model, absolute)
        smooth = over.smooth == "one-euro"
        for frame, poses in _found(source, model, on_error, camera, smooth):
            yield frame, step(frame, poses)
        return
    step = in_front(model, absolute, steady=over.smooth == "one-euro")
    pairs = _found(source, model, on_error, camera, smooth=False)
    bare = ((replace(frame, pixels=None), poses) for frame, poses in pairs)
    done = ((frame, step(frame, poses)) for frame, poses in over.stream(bare, on_repair))
    yield from again(source, done) if pixels else done


def chosen(model: Model, over: OverTime | None) -> OverTime:
    """What is done with people over time, where the model's options decide what is not said."""
    from vitruvian.stream.wanted import OverTime

    return (over or OverTime()).or_else(bool(model.options.get("smooth", False)))


def can_be(over: OverTime, sources: Sequence[Source], model: Model) -> None:
    """Raise `VitruvianError` if what is asked for over time cannot be had of these."""
    if over.asked and not model.options.get("track", True):
        raise VitruvianError(
            f"{over.asked} is for people who are numbered; let them be tracked, or leave it out"
        )
    if not over.offline:
        return
    for source in sources:
        if source.live:
            raise VitruvianError(
                f"{over.asked} wants what comes later, and {source.name} is live; "
                "take smooth one-euro, without repair"
            )
    if not any(source.moving for source in sources):
        raise VitruvianError(f"{over.asked} is for videos, but there are only pictures")
    for option in ("masks", "heatmaps"):
        if model.options.get(option):
            raise VitruvianError(
                f"{over.asked} would keep {option} for many frames; leave one of "
                "both out, or take smooth one-euro"
            )


def _found(
    source: Source,
    model: Model,
    on_error: Callable[[VitruvianError], None],
    camera: Given | None,
    smooth: bool,
) -> Iterator[tuple[Frame, Poses]]:
    """Every frame with its poses, numbered, and smoothed by One-Euro if `smooth`."""
    waiting: deque[Frame] = deque()

    def frames() -> Iterator[Frame]:
        for frame in Ahead(readable(source), newest=source.live):
            if isinstance(frame, VitruvianError):
                on_error(frame)
                continue
            if camera is not None:
                try:
                    frame = seen_by(camera, frame)
                except VitruvianError as error:
                    on_error(error)
                    if source.moving:
                        return  # its other frames are as large
                    continue
            waiting.append(frame)
            yield frame

    if isinstance(model, Streamed) and not source.live:
        after = numbered(model, smooth) if source.moving else lambda _, poses: poses
        for poses in model.stream(frames()):
            frame = waiting.popleft()
            yield frame, after(frame, poses)
        return
    step = steps(model, smooth) if source.moving else lambda frame: model([frame])[0]
    for poses in map(step, frames()):
        yield waiting.popleft(), poses


def seen_by(camera: Given, frame: Frame) -> Frame:
    """The frame, with the camera it is of.

    A video whose pixels are not square may be calibrated as it is shown, or as it is stored, which
    is how OpenCV reads it.

    Raises:
        VitruvianError: the camera's pictures have another shape.
    """
    try:
        return replace(frame, camera=camera(frame.size))
    except VitruvianError as error:
        stored = getattr(frame.pixels, "stored", frame.size)
        if stored != frame.size:
            with suppress(VitruvianError):
                return replace(frame, camera=camera(stored).stretched(frame.size))
        raise VitruvianError(f"cannot use '{frame.source}': {error}") from None


def run(
    source: str | Path | Sequence[str | Path],
    model: str | Model = "blazepose-full",
    *,
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
    on_repair: Callable[[Change], None] = lambda change: None,
    on_error: Callable[[VitruvianError], None] | None = None,
    on_source: Callable[[Source], None] = lambda source: None,
    **options: Any,
) -> Iterator[tuple[Frame, Poses]]:
    """Find the people in a source, frame by frame.

    Args:
        source: picture, folder, pattern, video, `camera:0`, stream address, `sample`, or several.
        model: a name of the catalogue, or a model from `load`.
        start: seconds, where to begin in a video.
        end: seconds, where to stop in a video.
        stride: every so manieth frame.
        max_frames: of each source.
        camera: that all of it was taken with, or its calibration file, see `Camera.read`. Without
            any, photographs say themselves, and otherwise 55 degrees are assumed.
        fov_deg: instead, the camera's field of view, across the longer side.
        focal: instead, its focal length, pixels.
        focal_mm: instead, its focal length on 35 mm film.
        absolute: whether metres are to be from the camera, also of models that give them from the
            hips: people are put where body and picture agree, see `vitruvian.stream.placement`.
        smooth: who is numbered: "one-euro" (or True), "butterworth", which runs some seconds behind
            and is not for live sources, or "no" (False). Unless it is given, as the model does.
        cutoff_hz: of Butterworth; 6 unless it is given, or less where frames are too few for it.
        repair: whether left and right exchanged for a moment, and short jumps, are mended; not of
            live sources.
        on_repair: is told of each change, before the frame it is in comes.
        on_error: is told what cannot be read. Without it, the rest is done first, and then raised.
        on_source: is told of each source before its first frame.
        options: of the model, see `vitruvian.models.load.load`.

    Returns:
        Pairs of frame and poses. In videos and streams people are told apart: `poses.person` is the
        same for the same person, unless `track=False`. Pictures have nothing to do with each other.

    Raises:
        VitruvianError: no such source or model, a wrong option, or something could not be read.
    """
    from vitruvian.models.load import open_model
    from vitruvian.sources.open import Span, open_source
    from vitruvian.stream.wanted import OverTime

    over = OverTime.of(smooth, cutoff_hz, repair)
    given = calibration.given(camera, fov_deg=fov_deg, focal=focal, focal_mm=focal_mm)
    sources = open_source(source, Span(start, end, stride, max_frames))
    opened = open_model(model, sources, **options)
    can_be(over, sources, opened)
    how: dict[str, Any] = {"camera": given, "absolute": absolute, "over": over}
    how["on_repair"] = on_repair
    faults: list[VitruvianError] = []

    def everything() -> Iterator[tuple[Frame, Poses]]:
        for each in sources:
            told = on_error or faults.append
            on_source(each)
            yield from results(each, opened, told, **how)
        if faults:
            more = f" (and {len(faults) - 1} more like it)" if len(faults) > 1 else ""
            raise VitruvianError(f"{faults[0]}{more}")

    return everything()
