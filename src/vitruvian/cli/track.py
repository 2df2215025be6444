"""The command line's `track`: who is who in a video, or in a record of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitruvian.cli.words import (
    CameraFile,
    Conf,
    CutoffHz,
    Device,
    End,
    Find,
    Focal,
    FocalMm,
    FovDeg,
    MaxFrames,
    Model,
    Offline,
    Option,
    Overwrite,
    Precision,
    Repair,
    SkeletonName,
    Smooth,
    Start,
    Stride,
    Threads,
    Visible,
    complain,
    go_offline,
    nothing_beside,
    options_of,
)
from vitruvian.errors import VitruvianError

SEVERAL = 5  # people that BlazePose follows here; of itself it follows one
# What may be said of a record: all else is of how people are found in pictures.
OF_RECORDS = {
    *("source", "out", "smooth", "cutoff_hz", "repair", "again", "visible", "overwrite", "offline"),
    *("save_video", "save_json", "save_csv", "save_mot"),
}


def track(
    context: typer.Context,
    source: Annotated[
        list[str],
        typer.Argument(
            help="Video, folder, camera:0, rtsp:// or http:// stream; or a video's record, .jsonl."
        ),
    ],
    model: Model = "blazepose-full",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A folder, or one file as for `predict`.")
    ] = Path("tracks"),
    smooth: Smooth = None,
    cutoff_hz: CutoffHz = None,
    repair: Repair = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Of a record: tell people apart anew, by motion and pose."),
    ] = False,
    find: Find = None,
    num_poses: Annotated[
        int | None,
        typer.Option(help=f"People in a frame, at most.  [default: BlazePose {SEVERAL}]"),
    ] = None,
    conf: Conf = None,
    visible: Visible = 0.5,
    save_video: Annotated[
        bool | None,
        typer.Option(
            help="Into a folder: the annotated video; by default not of records.",
            show_default=False,
        ),
    ] = None,
    save_json: Annotated[bool, typer.Option(help="Into a folder: records, .jsonl.")] = True,
    save_mot: Annotated[
        bool, typer.Option(help="Into a folder: numbered boxes, MOT text, .txt.")
    ] = True,
    save_csv: Annotated[bool, typer.Option("--save-csv", help="Into a folder: a table.")] = False,
    camera: CameraFile = None,
    fov_deg: FovDeg = None,
    focal: Focal = None,
    focal_mm: FocalMm = None,
    absolute: Annotated[
        bool, typer.Option("--absolute", help="Metres from the camera, not from the hips.")
    ] = False,
    start: Start = 0.0,
    end: End = None,
    stride: Stride = 1,
    max_frames: MaxFrames = None,
    skeleton: SkeletonName = None,
    device: Device = "CPU",
    threads: Threads = None,
    precision: Precision = "f32",
    option: Option = None,
    overwrite: Overwrite = False,
    offline: Offline = False,
) -> None:
    """Number the people of SOURCE, the same person the same, and say who was there when."""
    go_offline(offline)
    from vitruvian.geometry import calibration
    from vitruvian.models.load import family_of, open_model
    from vitruvian.sources import record
    from vitruvian.sources.open import Span, open_source
    from vitruvian.stream.wanted import Wanted, check_wanted
    from vitruvian.verbs.outputs import Save, is_file
    from vitruvian.verbs.predict import plan, predict, track_record
    from vitruvian.verbs.track import can_be

    over, folder = Wanted(None, smooth, cutoff_hz, repair), not is_file(out)
    if not folder:
        nothing_beside(context, out)
    of_record = _is_record(context, source, again)
    drawn = not of_record if save_video is None else save_video
    save = Save(
        drawn,
        save_json,
        False,
        save_csv,
        visible=visible,
        more=("mot",) if save_mot and folder else (),
    )
    if of_record:
        recorded = record.open_record(source[0])
        can_be(recorded, over, renumber=again)
        plans = plan([recorded], out, save, overwrite=overwrite, repair=repair)
        track_record(plans, out, save, over, renumber=again)
        return
    most_said = num_poses is not None
    if num_poses is None and family_of(model).one_person:
        num_poses = SEVERAL
    common = {"device": device, "precision": precision, "threads": threads, "find": find}
    flags = {"num_poses": num_poses, "conf": conf}
    options = options_of(model, flags, option, skeleton=skeleton, **common)
    said = {"smooth": smooth, "cutoff_hz": cutoff_hz, "repair": repair, "absolute": absolute}
    said = {name: value for name, value in said.items() if value is not None}
    wanted, options = Wanted.split(options | said)
    given = calibration.given(camera, fov_deg=fov_deg, focal=focal, focal_mm=focal_mm)
    sources = open_source(source, Span(start, end, stride, max_frames))
    if not any(each.moving for each in sources):
        raise VitruvianError("there are only pictures, and nobody to follow through them")
    plans = plan(sources, out, save, overwrite=overwrite, repair=repair)
    opened = open_model(model, sources, **options)
    check_wanted(wanted, opened, sources)
    how = {"camera": given, "wanted": wanted, "who": True}
    how["most_said"] = most_said
    if predict(plans, opened, out, save, **how, complain=complain):
        raise typer.Exit(1)


def _is_record(context: typer.Context, source: list[str], again: bool) -> bool:
    """Whether the source is a record, about which all that was said can be said."""
    records = [word for word in source if Path(word).suffix.lower() == ".jsonl"]
    if not records and again:
        raise VitruvianError("--again is for records; the people of a video have no numbers yet")
    if not records:
        return False
    if len(source) > 1:
        raise VitruvianError(f"'{records[0]}' is a record; give one, and nothing beside it")
    for name in sorted(set(context.params) - OF_RECORDS):
        said = context.get_parameter_source(name)
        if said is not None and said.name != "DEFAULT":
            raise VitruvianError(
                f"'{records[0]}' holds people who were found already; "
                f"leave --{name.replace('_', '-')} out"
            )
    return True
