"""The command that says what people do, and how their joints move."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from vitruvian.cli.words import (
    CameraFile,
    Conf,
    Device,
    End,
    Find,
    Focal,
    FocalMm,
    FovDeg,
    MaxFrames,
    Model,
    NumPoses,
    Offline,
    Option,
    Overwrite,
    Precision,
    SkeletonName,
    Sources,
    Start,
    Stride,
    Threads,
    Visible,
    complain,
    go_offline,
    options_of,
)
from vitruvian.errors import VitruvianError

# What may be said of a record: all else is of how people are found in pictures.
OF_RECORDS = {
    *("source", "out", "rules", "angles", "angle", "space", "minimum", "gap", "visible"),
    *("save_video", "save_plot", "save_parquet", "overwrite", "offline"),
    *("start", "end", "stride", "max_frames"),  # refused with a reason of their own
}


def analyze(
    context: typer.Context,
    source: Sources,
    model: Model = "blazepose-full",
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder.")] = Path("out"),
    rules: Annotated[
        str | None,
        typer.Option(
            help="What to look for, with commas: seated, hands_in_pockets, ...; a .toml file of "
            "thresholds; a function of your own, mine.py:NAME; or all.  [default: all; with "
            "--angles none]",
            show_default=False,
        ),
    ] = None,
    angles: Annotated[
        bool, typer.Option("--angles", help="Measure angles of joints: a table, and a plot.")
    ] = False,
    angle: Annotated[
        str | None,
        typer.Option(
            help="The same, and which are drawn and plotted: knee, left_hip, trunk_tilt, ...  "
            "[default: knee,elbow]",
            show_default=False,
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="Of the angles: 2d, in the picture, or 3d.  [default: 3d where there are metres, "
            "but 2d of who is seen from the side by one camera]",
            show_default=False,
        ),
    ] = None,
    minimum: Annotated[
        float, typer.Option(help="Seconds: what lasts for less did not happen; 0 for all.")
    ] = 0.5,
    gap: Annotated[
        float,
        typer.Option(help="Seconds: for so long it may not hold, or not be known, and yet go on."),
    ] = 0.5,
    find: Find = None,
    num_poses: NumPoses = None,
    conf: Conf = None,
    visible: Visible = 0.5,
    save_video: Annotated[bool, typer.Option(help="The annotated picture or video.")] = True,
    save_plot: Annotated[bool, typer.Option(help="Of videos: angles over time, .png.")] = True,
    save_parquet: Annotated[
        bool, typer.Option("--save-parquet", help="Events and angles as Parquet tables, too.")
    ] = False,
    camera: CameraFile = None,
    fov_deg: FovDeg = None,
    focal: Focal = None,
    focal_mm: FocalMm = None,
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
    """Say what the people in SOURCE do, and how their joints move.

    SOURCE may also be a record, .jsonl, of `vitruvian predict`: then no model runs.
    """
    go_offline(offline)
    from vitruvian.geometry import calibration
    from vitruvian.models.load import open_model
    from vitruvian.sources.open import Span, open_source
    from vitruvian.sources.record import record_of, sources_of
    from vitruvian.verbs import analyze
    from vitruvian.verbs.analyze_report import Report, Save

    asked = analyze.asked(rules, angles, angle, space, minimum=minimum, gap=gap)
    save = Save(save_video, save_plot, save_parquet, analyze.shown(angle, asked), visible)
    report, span = Report(out, asked, save), Span(start, end, stride, max_frames)
    record = record_of(source, span)
    _has_effect(context, asked.angles, bool(asked.rules), record is not None)
    sources = sources_of(record) if record else open_source(source, span)
    if not any(each.moving for each in sources):
        _refuse(context, ("save_plot", "minimum", "gap"), "is of videos, and these are pictures")
    plans = analyze.plans(sources, report, record, overwrite=overwrite)
    if record is not None:
        jobs = analyze.jobs_of(record, sources, asked, save)
    else:
        flags: dict[str, object] = {"num_poses": num_poses, "conf": conf}
        common = {"device": device, "precision": precision, "threads": threads, "find": find}
        options = options_of(model, flags, option, skeleton=skeleton, **common)
        given = calibration.given(camera, fov_deg=fov_deg, focal=focal, focal_mm=focal_mm)
        opened = open_model(model, sources, **options)
        jobs = analyze.jobs(sources, opened, asked, camera=given)
    if analyze.write(jobs, plans, report, complain=complain):
        raise typer.Exit(1)


def _has_effect(context: typer.Context, angles: bool, rules: bool, record: bool) -> None:
    """Raise `VitruvianError` if something was said that would change nothing."""
    if not angles:
        _refuse(context, ("save_plot", "space"), "is of angles; add --angles, or leave it out")
    if not rules:
        _refuse(context, ("minimum", "gap"), "is of rules; name some with --rules, or leave it out")
    if record:
        others = sorted(set(context.params) - OF_RECORDS)
        _refuse(
            context, others, "is of finding people, and a record has them already; leave it out"
        )


def _refuse(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Raise `VitruvianError` if the user said one of these."""
    for name in names:
        said = context.get_parameter_source(name)
        no = "no-" if context.params[name] is False else ""
        if said is not None and said.name != "DEFAULT":
            raise VitruvianError(f"--{no}{name.replace('_', '-')} {why}")
