"""The command line. A command reads words, calls one function, and prints what came back."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from vitruvian.errors import VitruvianError

app = typer.Typer(
    name="vitruvian",
    help="Find people in photos, videos and live streams, and say where their joints are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="The models: what there is, and their weights.", no_args_is_help=True)
app.add_typer(models_app, name="models")

Model = Annotated[str, typer.Option("--model", "-m", help="A name from `vitruvian models list`.")]
Offline = Annotated[
    bool, typer.Option("--offline", help="Never touch the network; like VITRUVIAN_OFFLINE=1.")
]
Name = Annotated[str, typer.Argument(help="A name from `vitruvian models list`.")]


def complain(error: VitruvianError) -> None:
    """One line to standard error."""
    print(f"vitruvian: {error}", file=sys.stderr, flush=True)


def main() -> NoReturn:
    """Run the command line; what the user can put right is one line and exit code 1."""
    try:
        app()
    except VitruvianError as error:
        complain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        print("vitruvian: stopped", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


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


def _go_offline(wanted: bool) -> None:
    if wanted:
        os.environ["VITRUVIAN_OFFLINE"] = "1"


def _options(pairs: list[str]) -> dict[str, object]:
    """`name=value` words; values as Python writes them, else as they stand."""
    from ast import literal_eval

    options: dict[str, object] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            raise VitruvianError(f"'{pair}' is no option; write it as name=value")
        words = {"true": "True", "false": "False", "none": "None"}
        try:
            options[name] = literal_eval(words.get(value.lower(), value))
        except (ValueError, SyntaxError):
            options[name] = value
    return options


# What a family calls the flags that all families share.
FLAGS = {
    "blazepose": {
        "num_poses": ("num_poses",),
        "conf": ("min_pose_detection_confidence", "min_pose_presence_confidence"),
        "track": ("track",),
        "smooth": ("smooth",),
        "masks": ("output_segmentation_masks",),
    },
    "yolopose": {
        "num_poses": ("num_poses",),
        "conf": ("conf",),
        "track": ("track",),
        "smooth": ("smooth",),
    },
    "alphapose": {
        "num_poses": ("num_poses",),
        "conf": ("conf",),
        "track": ("track",),
        "smooth": ("smooth",),
        "flip": ("flip",),
        "scales": ("scales",),
        "refine": ("refine",),
        "decode": ("decode",),
        "pose_nms": ("pose_nms",),
        "save_heatmaps": ("heatmaps",),
    },
}


def _flags(model: str, given: dict[str, object]) -> dict[str, object]:
    """The options of a model that these flags stand for."""
    from vitruvian.models.catalogue import family

    names = FLAGS[family(model)]
    for flag in given:
        if flag not in names:
            raise VitruvianError(f"{model} has no --{flag.replace('_', '-')}; leave it out")
    return {name: value for flag, value in given.items() for name in names[flag]}


@app.command()
def predict(
    source: Annotated[
        list[str],
        typer.Argument(
            help="Picture, folder, pattern, video, camera:0, rtsp:// or http:// stream, "
            "- for a list of paths on standard input, or sample (a built-in portrait)."
        ),
    ],
    model: Model = "blazepose-full",
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="A folder, or one file: .jsonl (records), .csv, .parquet, .json (COCO results), "
            ".jpg/.png (annotated picture), .mp4 (annotated video), .html (3D to be turned), "
            "_3d.png, _3d.mp4 or _3d.gif (view in 3D), .rrd (Rerun).",
        ),
    ] = Path("out"),
    find: Annotated[
        str | None,
        typer.Option(
            help="What finds the people: another model, such as yolov8n-pose, or a .json file of "
            "boxes.  [default: BlazePose's detector]",
            show_default=False,
        ),
    ] = None,
    num_poses: Annotated[
        int | None,
        typer.Option(
            help="People in a frame, at most.  [default: BlazePose 1, YOLOv8 300, AlphaPose 100]"
        ),
    ] = None,
    conf: Annotated[
        float | None,
        typer.Option(
            help="0..1: from where a person counts.  [default: BlazePose 0.5, YOLOv8 0.25; for "
            "AlphaPose as what finds the people]"
        ),
    ] = None,
    visible: Annotated[
        float, typer.Option(help="0..1: keypoints with this score or more are drawn.")
    ] = 0.5,
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
    masks: Annotated[bool, typer.Option("--masks", help="Find and draw who is where.")] = False,
    track: Annotated[
        bool, typer.Option(help="In videos: the same number for the same person.")
    ] = True,
    smooth: Annotated[
        bool | None,
        typer.Option(help="Smooth who is tracked (One-Euro).  [default: BlazePose yes, YOLOv8 no]"),
    ] = None,
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
    pose_nms: Annotated[
        bool, typer.Option(help="AlphaPose: merge people whose keypoints are the same.")
    ] = True,
    save_heatmaps: Annotated[
        Path | None,
        typer.Option(
            help="AlphaPose: a folder for pictures of each person's heat maps.", show_default=False
        ),
    ] = None,
    start: Annotated[float, typer.Option(help="Seconds: where to begin in a video.")] = 0.0,
    end: Annotated[
        float | None, typer.Option(help="Seconds: where to stop in a video.", show_default=False)
    ] = None,
    stride: Annotated[int, typer.Option(help="Every so manieth frame.")] = 1,
    max_frames: Annotated[
        int | None, typer.Option(help="Frames of each source, at most.", show_default=False)
    ] = None,
    skeleton: Annotated[
        str | None, typer.Option(help="Of your own network's keypoints: a name, or a .toml file.")
    ] = None,
    device: Annotated[str, typer.Option(help="CPU, GPU, NPU or AUTO.")] = "CPU",
    threads: Annotated[
        int | None,
        typer.Option(
            help="Of the networks.  [default: one a core; half as many for videos]",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Inside the networks: f32 (exact), bf16, f16.")
    ] = "f32",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="Any other option of the model, name=value; repeatable."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    offline: Offline = False,
) -> None:
    """Find the people in SOURCE and write where their joints are, in 2D and 3D."""
    _go_offline(offline)
    from vitruvian import pipeline
    from vitruvian.models.catalogue import in_3d
    from vitruvian.predict import plan
    from vitruvian.predict import predict as do
    from vitruvian.sink.files import Save, is_view
    from vitruvian.source import Span, open_source

    options: dict[str, object] = {"device": device, "precision": precision, "threads": threads}
    flags: dict[str, object] = {"num_poses": num_poses, "conf": conf, "smooth": smooth}
    flags |= {"masks": masks or None, "track": None if track else False, "flip": flip or None}
    flags |= {"scales": scales, "refine": refine, "decode": decode}
    flags["pose_nms"] = None if pose_nms else False
    flags["save_heatmaps"] = None if save_heatmaps is None else True
    options |= _flags(model, {name: value for name, value in flags.items() if value is not None})
    options |= {k: v for k, v in {"find": find, "skeleton": skeleton}.items() if v is not None}
    options |= _options(option or [])
    sources = open_source(source, Span(start, end, stride, max_frames))
    tables = (save_csv, save_parquet, save_coco)
    save = Save(
        *(save_video, save_json, save_plot, *tables, visible, save_heatmaps),
        html=save_html,
        rerun=save_rerun,
    )
    if save_plot or save_html or is_view(out):
        in_3d(model)
    plans = plan(sources, out, save, overwrite=overwrite)
    opened = pipeline.open_model(model, sources, **options)
    if do(plans, opened, out, save, complain=complain):
        raise typer.Exit(1)


@models_app.command("list")
def models_list() -> None:
    """All models, and whether their weights are here."""
    from vitruvian.models.catalogue import CATALOGUE
    from vitruvian.network import weights

    widest = max(map(len, CATALOGUE))
    for row in CATALOGUE.values():
        here = all(weights.here(file) for file in row.files)
        print(
            f"{row.name:{widest}} {row.gives}; {row.licence}; {'here' if here else 'not fetched'}"
        )


@models_app.command("info")
def models_info(name: Name) -> None:
    """All about one model: files, hashes, where they come from, licence."""
    from vitruvian.models.catalogue import entry

    row = entry(name)
    print(f"{row.name}: {row.about}\nfamily: {row.family}\nskeleton: {row.skeleton}")
    print(f"gives: {row.gives}\nlicence of the weights: {row.licence}")
    if row.decode is not None:
        print(f"maps are read by: {row.decode}\n{row.notice}")
    for file in row.files:
        print(f"file: {file.name}, sha256 {file.sha256 or 'not published'}")
        for source in file.sources:
            unchecked = "" if source.checked else " (no published hash)"
            inside = f": {source.member}" if source.member else ""
            print(f"  from: {source.package}{inside}{unchecked}")


@models_app.command("pull")
def models_pull(
    names: Annotated[list[str], typer.Argument(help="Names from `models list`, or all.")],
    offline: Offline = False,
) -> None:
    """Fetch the weights of models, so that they run offline later."""
    _go_offline(offline)
    from vitruvian.models.catalogue import CATALOGUE, entry, pull

    bad = 0
    for row in list(CATALOGUE.values()) if names == ["all"] else [entry(name) for name in names]:
        try:
            for path in pull(row.name):
                print(f"{row.name}: {path}")
        except VitruvianError as error:
            complain(error)
            bad += 1
    if bad:
        raise typer.Exit(1)


@models_app.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names; all that are here.")] = None,
) -> None:
    """Check the weights that are here against their published hashes."""
    from vitruvian.models.catalogue import entry, shelf
    from vitruvian.network import weights

    bad = 0
    for file in [file for name in names for file in entry(name).files] if names else shelf():
        try:
            path = weights.find(file)
        except VitruvianError as error:
            complain(error)
            bad += 1
            continue
        if path is None:
            print(f"{file.name}: not fetched")
            bad += names is not None
        elif path.name == file.name and file.sha256:
            print(f"{file.name}: as published")
        else:
            print(f"{path.name}: no published hash; sha256 {weights.sha256(path)}")
    if bad:
        raise typer.Exit(1)


@models_app.command("path")
def models_path(
    name: Annotated[str | None, typer.Argument(help="A name from `models list`.")] = None,
) -> None:
    """Where the weights are kept: the cache folder, or the files of one model."""
    from vitruvian.models.catalogue import entry
    from vitruvian.network import weights

    if name is None:
        print(weights.cache_folder())
        return
    for file in entry(name).files:
        print(weights.find(file) or weights.cache_folder() / file.name)


@app.command()
def export(
    model: Annotated[
        str, typer.Argument(help="yolov8n-pose and so on, or a checkpoint, .pt or .pth.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="A name that ends with .onnx or .xml.")],
    weights_file: Annotated[
        Path | None, typer.Option("--weights", help="The checkpoint, instead of the released one.")
    ] = None,
    imgsz: Annotated[
        int | None, typer.Option(help="Pixels, the side it runs at by default.", show_default=False)
    ] = None,
    precision: Annotated[str, typer.Option(help="Of the weights: f32, f16, int8.")] = "f32",
    calibrate: Annotated[
        Path | None, typer.Option(help="For int8: a folder of pictures like yours, some hundreds.")
    ] = None,
    skeleton: Annotated[
        str | None, typer.Option(help="Of its keypoints: a name, or a .toml file.")
    ] = None,
    decode: Annotated[
        str | None,
        typer.Option(
            help="For AlphaPose, how its maps are read: argmax, integral or combined.  "
            "[default: argmax for 17 and 26 keypoints]",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    offline: Offline = False,
) -> None:
    """Write a checkpoint as ONNX or OpenVINO IR, checked against torch.

    It may be of YOLOv8-pose, AlphaPose or, for re-identification, OSNet.
    """
    _go_offline(offline)
    from vitruvian.models.catalogue import export_file
    from vitruvian.sink.files import refuse_existing

    refuse_existing([out], overwrite)
    done = export_file(
        model if weights_file is None else str(weights_file),
        out,
        imgsz=imgsz,
        precision=precision,
        skeleton=skeleton,
        decode=decode,
        calibrate=calibrate,
    )
    apart = ", ".join(f"{name} {far:.2g} {done.unit}" for name, far in done.apart.items())
    print(f"{out}: {precision}, apart from torch: {apart}")


@app.command()
def doctor() -> None:
    """Say what this machine has, what is wrong, and what to do about it."""
    from vitruvian.doctor import examine

    bad = 0
    for finding in examine():
        print(f"{'ok ' if finding.good else 'BAD'} {finding.what}: {finding.found}")
        if not finding.good:
            bad += 1
            print(f"    -> {finding.way_out}")
    if bad:
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
