"""The command line. A command reads words, calls one function, and prints what came back."""

from __future__ import annotations

import errno
import re
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from vitruvian import stopping
from vitruvian.cli import terminal
from vitruvian.cli.analyze import analyze
from vitruvian.cli.compare import benchmark, compare
from vitruvian.cli.convert import convert
from vitruvian.cli.models import export, models_app, synth
from vitruvian.cli.track import track
from vitruvian.cli.val import val
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
    NumPoses,
    Offline,
    Option,
    Overwrite,
    Precision,
    Repair,
    SkeletonName,
    Smooth,
    Sources,
    Start,
    Stride,
    Threads,
    Visible,
    complain,
    go_offline,
    nothing_beside,
    options_of,
)
from vitruvian.errors import VitruvianError, shown

STOPPED = 130  # Typer's exit code for every KeyboardInterrupt
# What no program can help, wherever it comes up.
NOT_OURS = {
    *(errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE),
    *(errno.ENOMEM, getattr(errno, "EDQUOT", errno.ENOSPC)),
    *(errno.ENAMETOOLONG, errno.EACCES, errno.ELOOP),
}

app = typer.Typer(
    name="vitruvian",
    help="Find people in photos, videos and live streams, and say where their joints are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # it takes "[default: 1]" for a tag, and leaves it out
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models_app, name="models")


def main() -> NoReturn:
    """Run the command line; what the user can put right is one line and exit code 1.

    After Ctrl-C, SIGTERM or SIGHUP the exit code is 128 and the number of the signal.
    """
    outputs = terminal.settle()
    stopping.handle_signals()
    code = _run()
    if code == STOPPED and (number := stopping.received_signal()):
        print("vitruvian: stopped", file=sys.stderr)
        code = 128 + number
    if fault := outputs.fault():
        complain(VitruvianError(f"cannot write to standard output: {fault}"))
        code = code or 1
    sys.exit(code)


def _run() -> int:
    """The exit code of a command."""
    try:
        if any(word == "" or re.fullmatch("--[a-z-]+=", word) for word in sys.argv[1:]):
            raise VitruvianError("one of the words is empty; is a variable of the shell not set?")
        app()
    except VitruvianError as error:
        complain(error)
        return 1
    except MemoryError:
        complain(VitruvianError("there is not enough memory; give smaller pictures, or fewer"))
        return 1
    except OSError as error:
        if error.errno not in NOT_OURS and _here():
            raise
        where = f"'{shown(error.filename, 100)}': " if error.filename else ""
        gone = "" if _here() else "; the current folder is gone, change to another one"
        complain(VitruvianError(f"{where}{error.strerror}{gone}"))
        return 1
    except stopping.Interrupted:
        return STOPPED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    return 0


def _here() -> bool:
    """Whether the current folder is still there."""
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _version(wanted: bool) -> None:
    if wanted:
        from vitruvian import __version__

        print(f"vitruvian {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    pass


@app.command()
def predict(
    context: typer.Context,
    source: Sources,
    model: Model = "blazepose-full",
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="A folder, or one file: .jsonl (records), .csv, .parquet, .json (COCO results), "
            ".txt (MOT), .trc, .c3d or .bvh (metres, a file for each person), .jpg/.png (annotated "
            "picture), .mp4 (annotated video), .html (3D to be turned), _3d.png, _3d.mp4 or "
            "_3d.gif (view in 3D), .rrd (Rerun).",
        ),
    ] = Path("out"),
    find: Find = None,
    num_poses: NumPoses = None,
    conf: Conf = None,
    visible: Visible = 0.5,
    save_video: Annotated[
        bool, typer.Option(help="Into a folder: the annotated picture or video.")
    ] = True,
    save_json: Annotated[bool, typer.Option(help="Into a folder: records, .jsonl.")] = True,
    save_plot: Annotated[
        bool | None,
        typer.Option(
            help="Into a folder: a view in 3D, picture or video; by default of pictures only.",
            show_default=False,
        ),
    ] = None,
    save_html: Annotated[
        bool, typer.Option("--save-html", help="Into a folder: 3D to be turned in a browser.")
    ] = False,
    save_rerun: Annotated[
        Path | None,
        typer.Option(
            help="A name that ends with .rrd: everything, for the Rerun viewer.", show_default=False
        ),
    ] = None,
    save_csv: Annotated[bool, typer.Option("--save-csv", help="Into a folder: a table.")] = False,
    save_parquet: Annotated[
        bool, typer.Option("--save-parquet", help="Into a folder: a Parquet table.")
    ] = False,
    save_coco: Annotated[
        bool, typer.Option("--save-coco", help="Into a folder: COCO results, .json.")
    ] = False,
    save: Annotated[
        str,
        typer.Option(
            help="Into a folder, more files: trc, c3d, bvh (metres of each person), openpose, or "
            "mot (numbered boxes of videos); several with commas.",
            show_default=False,
        ),
    ] = "",
    masks: Annotated[bool, typer.Option("--masks", help="Find and draw who is where.")] = False,
    track: Annotated[
        bool, typer.Option(help="In videos: the same number for the same person.")
    ] = True,
    smooth: Smooth = None,
    cutoff_hz: CutoffHz = None,
    repair: Repair = False,
    flip: Annotated[
        bool, typer.Option("--flip", help="AlphaPose: look at each person in a mirror as well.")
    ] = False,
    scales: Annotated[
        str | None,
        typer.Option(
            help="AlphaPose: look at each person in several sizes, such as 0.75,1,1.25.",
            show_default=False,
        ),
    ] = None,
    refine: Annotated[
        str | None,
        typer.Option(help="AlphaPose: pga, a second network that moves the keypoints."),
    ] = None,
    decode: Annotated[
        str | None,
        typer.Option(
            help="AlphaPose: how a checkpoint's maps are read: argmax, integral or combined.",
            show_default=False,
        ),
    ] = None,
    augment: Annotated[
        int | None,
        typer.Option(
            help="MeTRAbs: so many looks at each person, turned, scaled and mirrored; 5 is usual.  "
            "[default: 1]",
            show_default=False,
        ),
    ] = None,
    pose_nms: Annotated[
        bool, typer.Option(help="AlphaPose, MeTRAbs: everybody once, if found twice.")
    ] = True,
    save_heatmaps: Annotated[
        Path | None,
        typer.Option(
            help="AlphaPose: a folder for pictures of each person's heat maps.", show_default=False
        ),
    ] = None,
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
    """Find the people in SOURCE and write where their joints are, in 2D and 3D."""
    go_offline(offline)
    from vitruvian.geometry import calibration
    from vitruvian.models.load import need_metres, open_model
    from vitruvian.sources.open import Span, open_source
    from vitruvian.stream.wanted import Wanted, check_wanted
    from vitruvian.verbs.outputs import Save, in_metres, is_file, is_view
    from vitruvian.verbs.predict import plan
    from vitruvian.verbs.predict import predict as do

    if is_file(out):
        nothing_beside(context, out)
    said = {"smooth": smooth, "cutoff_hz": cutoff_hz, "repair": repair, "absolute": absolute}
    said["track"] = None if track else False
    flags: dict[str, object] = {"num_poses": num_poses, "conf": conf}
    flags |= {"masks": masks or None, "flip": flip or None}
    flags |= {"scales": scales, "refine": refine, "decode": decode, "augment": augment}
    flags["pose_nms"] = None if pose_nms else False
    flags["save_heatmaps"] = None if save_heatmaps is None else True
    common = {"device": device, "precision": precision, "threads": threads, "find": find}
    options = options_of(model, flags, option, skeleton=skeleton, **common)
    said = {name: value for name, value in said.items() if value is not None}
    wanted, options = Wanted.split(options | said)
    given = calibration.given(camera, fov_deg=fov_deg, focal=focal, focal_mm=focal_mm)
    sources = open_source(source, Span(start, end, stride, max_frames))
    tables = (save_csv, save_parquet, save_coco)
    kept = Save(
        *(save_video, save_json, save_plot, *tables, visible, save_heatmaps),
        html=save_html,
        rerun=save_rerun,
        more=tuple(filter(None, save.replace(" ", "").split(","))),
    )
    if save_plot or save_html or is_view(out) or in_metres(out, kept):
        need_metres(model)
    plans = plan(sources, out, kept, overwrite=overwrite, repair=repair)
    opened = open_model(model, sources, **options)
    check_wanted(wanted, opened, sources)
    how = {"camera": given, "wanted": wanted, "most_said": num_poses is not None}
    if do(plans, opened, out, kept, **how, complain=complain):
        raise typer.Exit(1)


for command in (track, analyze, compare, val, benchmark, convert, export, synth):
    app.command()(command)


@app.command()
def doctor() -> None:
    """Say what this machine has, what is wrong, and what to do about it."""
    from vitruvian.verbs.doctor import examine

    bad = 0
    for finding in examine():
        print(f"{'ok ' if finding.good else 'BAD'} {finding.what}: {finding.found}")
        if not finding.good:
            bad += 1
            print(f"    -> {finding.way_out}")
    if bad:
        raise typer.Exit(1)
