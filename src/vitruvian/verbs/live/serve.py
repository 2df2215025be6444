"""The verb `serve`, in the command line `live`: the live page, with its server and triggers."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitruvian.analysis.events import Options
from vitruvian.analysis.found import AnalysisSettings
from vitruvian.analysis.rules import LESSER, RULES, parse_rules
from vitruvian.errors import VitruvianError, note
from vitruvian.models.model import Model
from vitruvian.models.spec import ModelSpec
from vitruvian.sources.open import Source, open_source
from vitruvian.streams.wanted import Wanted, check_wanted
from vitruvian.verbs.analyze import WITHOUT_PIXELS, parse_space
from vitruvian.verbs.asked import asked_model
from vitruvian.verbs.groups import CameraWords, LiveWords, MachineWords, ModelWords, verb
from vitruvian.verbs.live.live_stream import Models, Setup
from vitruvian.verbs.live.triggers import Triggers

if TYPE_CHECKING:
    from vitruvian.verbs.api import OneModel
    from vitruvian.verbs.live.server import LiveServer

USUAL = [name for name in RULES if name not in (*LESSER, *WITHOUT_PIXELS)]


@verb
def serve(
    source: str | Path | int | None = None,
    model: OneModel | Sequence[OneModel] = "blazepose-full",
    words: ModelWords = ModelWords(),
    *,
    rules: str | None = None,
    space: str | None = None,
    minimum: float = 0.5,
    gap: float = 0.5,
    live: LiveWords = LiveWords(),
    wanted: Wanted = Wanted(confirm=False),
    camera: CameraWords = CameraWords(),
    machine: MachineWords = MachineWords(),
    lines: bool = False,
    on_event: Callable[[dict[str, Any]], object] | None = None,
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
    asked = AnalysisSettings(
        parse_rules(USUAL if rules is None else rules) if rules != "" else {},
        Options(minimum=minimum, gap=gap),
        angles=True,
        space=parse_space(space),
    )
    models = [model] if isinstance(model, str | ModelSpec) or callable(model) else list(model)
    specs = [asked_model(each, words, machine) for each in models]
    how = {"lines": lines, "on_event": on_event}
    with serving(source, specs, asked, live, wanted=wanted, camera=camera, **how) as server:
        note(f"open {server.url} (Ctrl-C ends it)")
        if live.browser and _has_desktop():
            webbrowser.open(server.url)
        server.wait()


@contextmanager
def serving(
    source: str | Path | int | None,
    specs: Sequence[ModelSpec | Model],
    asked: AnalysisSettings,
    live: LiveWords = LiveWords(),
    *,
    wanted: Wanted = Wanted(confirm=False),
    camera: CameraWords = CameraWords(),
    lines: bool = False,
    on_event: Callable[[dict[str, Any]], object] | None = None,
) -> Iterator[LiveServer]:
    """A server that runs inside the `with` statement; arguments as for `serve`.

    Raises:
        VitruvianError: as `serve`.
    """
    opened = None if source is None else _source(source)
    if live.record is not None:
        try:
            live.record.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VitruvianError(f"cannot use '{live.record}': {error.strerror}") from None
    given = camera.given()
    triggers = Triggers(
        lines=lines, webhook=live.webhook, osc=live.osc, run=live.run, on_event=on_event
    )
    try:
        # The libraries of the server take as long to import as a network takes to open.
        importing = threading.Thread(target=_import_server, name="vitruvian-import")
        importing.start()
        try:
            models = Models(specs)
        finally:
            importing.join()
        from vitruvian.verbs.live.server import LiveServer

        check_wanted(wanted, models.open(models.first))
        setup = Setup(models, asked, wanted, given, live.record, live.record_video, triggers)
        how: dict[str, Any] = {"clients": live.clients, "host": live.host, "port": live.port}
        how |= {"certfile": live.certfile, "keyfile": live.keyfile}
        with LiveServer(setup, source=opened, loop=live.loop, **how) as server:
            yield server
    finally:
        triggers.close()


def _import_server() -> None:
    with suppress(VitruvianError):  # an extra is missing: the second import says so
        import_module("vitruvian.verbs.live.server")


def _source(source: str | Path | int) -> Source:
    """The one source.

    Raises:
        VitruvianError: it is none, several, or images.
    """
    opened = open_source(source)
    if len(opened) != 1 or not opened[0].moving:
        raise VitruvianError(
            f"'{source}' is not one camera, stream or video; for files use `vitruvian predict`"
        )
    return opened[0]


def _has_desktop() -> bool:
    """Whether a browser has somewhere to open; a text browser would take the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
