"""The command `live`: a page in the browser with poses, angles and events in real time."""

from __future__ import annotations

from vitruvian.cli.command import command
from vitruvian.cli.words import ANALYSIS, INPUT, MODELS, Word
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.groups import CameraWords, LiveWords, MachineWords, ModelWords


@command(
    source=Word(
        str | None,
        INPUT,
        "Webcam (camera:0), rtsp:// or http:// stream, or video, which plays at its own pace. "
        "Without it, browsers send the frames of their cameras.",
        argument="SOURCE",
    ),
    model=Word(MODELS.type, MODELS.title, MODELS.help, "blazepose-full", MODELS.names),
    rules=Word(
        str | None,
        ANALYSIS,
        "Rules of events, comma-separated: arms_raised, seated, ...; a .toml file; a Python "
        "function, mine.py:NAME; or all.",
        "all that need no pixels",
    ),
    minimum=Word(float, ANALYSIS, "Seconds after which an event starts; 0: with its first frame."),
    gap=Word(float, ANALYSIS, "Seconds after which an event ends."),
    confirm=Word(
        bool,
        MODELS.title,
        "Track ids, and so events, only for confirmed people: 0.7 seconds after they are found.",
    ),
)
def live(
    source: str | None = None,
    model: list[str] | None = None,
    words: ModelWords = ModelWords(),
    rules: str | None = None,
    space: str | None = None,
    minimum: float = 0.5,
    gap: float = 0.5,
    live: LiveWords = LiveWords(),
    wanted: Wanted = Wanted(confirm=False),
    camera: CameraWords = CameraWords(),
    machine: MachineWords = MachineWords(),
) -> None:
    """Open a page with poses, angles and events in real time.

    Of several models the page offers a choice. Events are written to standard output, a line of
    JSON each. Ctrl-C ends it.
    """
    from vitruvian.verbs.live.serve import serve

    groups = {"words": words, "live": live, "wanted": wanted}
    groups |= {"camera": camera, "machine": machine}
    how = {"rules": rules, "space": space, "minimum": minimum, "gap": gap}
    serve(source, model or "blazepose-full", **groups, **how, lines=True)
