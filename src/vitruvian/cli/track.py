"""The command `track`: who is who in a video, or in a record of one."""

from __future__ import annotations

from pathlib import Path

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.words import INPUT, OVER_TIME, Word
from vitruvian.sources.video import Span
from vitruvian.stream.wanted import Wanted
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
        "Video, folder, camera:0, rtsp:// or http:// stream; or a video's record, .jsonl.",
        argument="SOURCE",
    ),
    again=Word(bool, OVER_TIME, "Of a record: tell people apart anew, by motion and pose."),
    num_poses="BlazePose 5, YOLOv8 300, others 100",
    save="video,json,mot; of records json,mot",
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
    """Number the people of a video, the same person the same.

    Says who was there when. SOURCE may be a video's record (.jsonl); then no model runs.
    """
    from vitruvian.verbs import api

    groups = {"words": words, "span": span, "output": output, "wanted": wanted}
    groups |= {"camera": camera, "machine": machine}
    done = api.track(source, model, again=again, **groups, say=print, on_error=complain)
    failed(len(done.faults))
