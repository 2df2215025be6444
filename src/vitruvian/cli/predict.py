"""The command `predict`: estimate poses and write them."""

from __future__ import annotations

from vitruvian.cli.command import command, complain, failed
from vitruvian.sources.video import Span
from vitruvian.streams.wanted import Wanted
from vitruvian.verbs.groups import CameraWords, MachineWords, ModelWords, OutputWords


@command(save="video,json; plus plot for images in 3D")
def predict(
    source: list[str],
    model: str = "blazepose-full",
    words: ModelWords = ModelWords(),
    span: Span = Span(),
    output: OutputWords = OutputWords(),
    wanted: Wanted = Wanted(),
    camera: CameraWords = CameraWords(),
    machine: MachineWords = MachineWords(),
) -> None:
    """Detect people and estimate their 2D and 3D keypoints."""
    from vitruvian.verbs import api

    groups = {"words": words, "span": span, "output": output, "wanted": wanted}
    groups |= {"camera": camera, "machine": machine}
    done = api.predict(source, model, **groups, say=print, on_error=complain)
    failed(len(done.faults))
