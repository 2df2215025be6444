"""`vit.live`: push frames from your own capture loop; poses, posture events and angles in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.analysis.changes import EventChange, LiveAnalyst
from vitruvian.analysis.events import Options
from vitruvian.analysis.found import AnalysisSettings
from vitruvian.analysis.rules import parse_rules
from vitruvian.geometry import calibration
from vitruvian.geometry.camera import Camera
from vitruvian.models.load import open_model
from vitruvian.models.model import Model
from vitruvian.streams.live import Live
from vitruvian.streams.wanted import Wanted

if TYPE_CHECKING:
    from vitruvian.body.poses import Poses
    from vitruvian.frame import Frame


def live(
    model: str | Model,
    on_result: Callable[..., None],
    *,
    order: str | None = None,
    rules: str | Iterable[str] | None = None,
    angles: bool = False,
    minimum: float = 0.5,
    gap: float = 0.5,
    on_event: Callable[[EventChange], object] | None = None,
    camera: Camera | str | Path | None = None,
    fov_deg: float | None = None,
    focal: float | None = None,
    focal_mm: float | None = None,
    absolute: bool = False,
    smooth: str | bool | None = None,
    **options: Any,
) -> Live:
    """Push frames from your own capture loop and get poses in a callback, see `Live`.

    With `rules`, `angles` or `on_event`, each frame is also analyzed.

    Args:
        model: as for `run`.
        on_result: called with frame and poses, in the worker thread; of analyzed frames also with
            their `FrameAnalysis`.
        order: channel order of arrays: "bgr" (OpenCV) or "rgb".
        rules: rules of posture events, as for `analyze_frames`.
        angles: whether to measure joint angles.
        minimum: seconds after which an event starts; shorter ones are dropped.
        gap: seconds after which an event, or a person who is out of sight, ends.
        on_event: called with each event that starts or ends, and with each person who enters or
            leaves, in the worker thread, before `on_result` of the same frame. Only people with a
            track id count: 0.7 seconds after they are first found, or at once with
            `confirm=False`.
        camera: as for `run`, and so are the others.
        fov_deg: the same.
        focal: the same.
        focal_mm: the same.
        absolute: the same.
        smooth: the same.
        options: those of `load`, and `track`, `confirm`, `detect_every`, `same_from`.
    """
    given = calibration.given(camera, fov_deg=fov_deg, focal=focal, focal_mm=focal_mm)
    wanted, options = Wanted.split(options | {"absolute": absolute, "smooth": smooth})
    parsed = {} if rules is None else parse_rules(rules)
    opened = open_model(model, [], **options)
    how: dict[str, Any] = {"order": order, "wanted": wanted, "camera": given}
    if not (parsed or angles or on_event):
        return Live(opened, on_result, **how)
    analyst = LiveAnalyst(AnalysisSettings(parsed, Options(minimum=minimum, gap=gap), angles))

    def tell(changes: Iterable[EventChange]) -> None:
        if on_event is not None:
            for change in changes:
                on_event(change)

    def analyzed(frame: Frame, poses: Poses) -> None:
        found, changes = analyst(frame, poses)
        tell(changes)
        on_result(frame, poses, found)

    return Live(opened, analyzed, **how, on_end=lambda: tell(analyst.close()))
