"""The command `track`: track people through a video, or through saved results of one."""

from __future__ import annotations

from pathlib import Path

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.words import INPUT, OVER_TIME, Word
from vitruvian.sources.video import Span
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.groups import (
    CameraWords,
    MachineWords,
    ModelWords,
    OutputWords,
)


@command(
    source=Word(
        list[str],
        INPUT,
        "Video, folder, webcam (camera:0), rtsp:// or http:// stream; or .jsonl results.",
        argument="SOURCE",
    ),
    again=Word(bool, OVER_TIME, ".jsonl results: reassign track ids, by motion and pose."),
    num_poses="BlazePose 5, YOLOv8 300, others 100",
    save="video,json,mot; for .jsonl results json,mot",
)
def track(
    source: list[str],
    model: str = "blazepose-full",
    words: ModelWords = ModelWords(),
    span: Span = Span(),
    output: OutputWords = OutputWords(out=Path("tracks")),
    wanted: Wanted = Wanted(),
    again: bool = False,
    camera: CameraWords = CameraWords(),
    machine: MachineWords = MachineWords(),
) -> None:
    """Track people: each keeps one track id through the video.

    Prints when each person is visible. SOURCE may be a .jsonl file of `vitruvian predict`; then
    no model runs.
    """
    from vitruvian.verbs import api

    groups = {"words": words, "span": span, "output": output, "wanted": wanted}
    groups |= {"camera": camera, "machine": machine}
    done = api.track(source, model, again=again, **groups, say=print, on_error=complain)
    failed(len(done.faults))
