"""The command `track`: who is who in a video, or in a record of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.model import model_spec
from vitruvian.cli.words import INPUT, OVER_TIME, Word
from vitruvian.errors import VitruvianError
from vitruvian.sources.video import Span
from vitruvian.stream.wanted import Wanted
from vitruvian.verbs.groups import (
    CameraWords,
    MachineWords,
    ModelWords,
    OutputWords,
    given_words,
)

OF_RECORDS = ("smooth", "cutoff_hz", "repair")  # of `Wanted`, what is done to a record
SEVERAL = 5  # people that BlazePose follows here; of itself it follows one


@command(
    source=Word(
        list[str],
        INPUT,
        "Video, folder, camera:0, rtsp:// or http:// stream; or a video's record, .jsonl.",
        argument="SOURCE",
    ),
    again=Word(bool, OVER_TIME, "Of a record: tell people apart anew, by motion and pose."),
    num_poses=f"BlazePose {SEVERAL}, YOLOv8 300, others 100",
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

    Says who was there when.
    """
    from vitruvian.models.load import family_of, open_model
    from vitruvian.sources import record
    from vitruvian.sources.open import open_source
    from vitruvian.stream.wanted import check_wanted
    from vitruvian.verbs.output_files import plan_outputs
    from vitruvian.verbs.outputs import Save
    from vitruvian.verbs.predict import predict, track_record
    from vitruvian.verbs.track import can_be

    said = given_words(words, span, camera, machine)
    said += [name for name in given_words(wanted) if name not in OF_RECORDS]
    said += ["model"] * (model != "blazepose-full")
    if wanted.track is False:
        raise VitruvianError("track numbers people; leave --no-track out, or take `predict`")
    of_record = _is_record(source, said, again)
    default = "json,mot" if of_record else "video,json,mot"
    save = Save.parse(output.save, default, visible=output.visible)
    how: dict[str, Any] = {"overwrite": output.replaces, "repair": wanted.repair}
    if of_record:
        recorded = record.open_record(source[0])
        can_be(recorded, wanted, renumber=again)
        plans = plan_outputs([recorded], output.out, save, **how)
        track_record(plans, output.out, save, wanted, renumber=again, resume=output.resumes)
        return
    spec = model_spec(model, words, machine)
    if family_of(spec.name).one_person:
        spec = spec.with_defaults(num_poses=SEVERAL)
    sources = open_source(source, span)
    if not any(each.moving for each in sources):
        raise VitruvianError("there are only pictures, and nobody to follow through them")
    plans = plan_outputs(sources, output.out, save, **how)
    opened = open_model(spec, sources)
    check_wanted(wanted, opened, sources)
    how = {"camera": camera.given(), "wanted": wanted, "who": True}
    how["most_said"] = words.num_poses is not None
    how |= {"resume": output.resumes, "of": {"camera": camera.of(), "span": span}}
    failed(predict(plans, opened, output.out, save, **how, on_error=complain))


def _is_record(source: list[str], said: list[str], again: bool) -> bool:
    """Whether the source is a record, about which all that was said can be said."""
    records = [word for word in source if Path(word).suffix.lower() == ".jsonl"]
    if not records and again:
        raise VitruvianError("--again is for records; the people of a video have no numbers yet")
    if not records:
        return False
    if len(source) > 1:
        raise VitruvianError(f"'{records[0]}' is a record; give one, and nothing beside it")
    for name in said:
        raise VitruvianError(
            f"'{records[0]}' holds people who were found already; "
            f"leave --{name.replace('_', '-')} out"
        )
    return True
