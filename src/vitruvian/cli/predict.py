"""The command `predict`."""

from __future__ import annotations

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.model import in_flags, model_spec
from vitruvian.sources.video import Span
from vitruvian.stream.wanted import Wanted
from vitruvian.verbs.groups import CameraWords, MachineWords, ModelWords, OutputWords


@command(save="video,json; of pictures in 3D also plot")
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
    """Find people, and write their joints in 2D and 3D."""
    from vitruvian.models.load import need_metres, open_model
    from vitruvian.sources.open import open_source
    from vitruvian.stream.wanted import check_wanted
    from vitruvian.verbs.outputs import in_metres, is_view
    from vitruvian.verbs.predict import plan
    from vitruvian.verbs.predict import predict as do

    save = in_flags(output, "video,json")
    heatmaps = True if save.heatmaps else None
    spec = model_spec(model, words, machine, heatmaps=heatmaps)
    sources = open_source(source, span)
    if save.plot or save.html or is_view(output.out) or in_metres(output.out, save):
        need_metres(spec.name)
    plans = plan(sources, output.out, save, overwrite=output.overwrite, repair=wanted.repair)
    opened = open_model(spec, sources)
    check_wanted(wanted, opened, sources)
    most_said = words.num_poses is not None
    how = {"camera": camera.given(), "wanted": wanted, "most_said": most_said}
    failed(do(plans, opened, output.out, save, **how, complain=complain))
