"""The command `predict`."""

from __future__ import annotations

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.model import model_spec
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
    from vitruvian.verbs.output_files import plan_outputs
    from vitruvian.verbs.outputs import Save, needs_metres
    from vitruvian.verbs.predict import predict as do

    save = Save.parse(output.save, visible=output.visible)
    spec = model_spec(model, words, machine, heatmaps=True if "heatmaps" in save else None)
    sources = open_source(source, span)
    if needs_metres(output.out, save):
        need_metres(spec.name)
    there = {"overwrite": output.replaces, "repair": wanted.repair}
    plans = plan_outputs(sources, output.out, save, **there)
    opened = open_model(spec, sources)
    check_wanted(wanted, opened, sources)
    most_said = words.num_poses is not None
    how = {"camera": camera.given(), "wanted": wanted, "most_said": most_said}
    how |= {"resume": output.resumes, "of": {"camera": camera.of(), "span": span}}
    failed(do(plans, opened, output.out, save, **how, on_error=complain))
