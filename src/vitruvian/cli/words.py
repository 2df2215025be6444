"""Words that several commands of the command line share."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from vitruvian.errors import VitruvianError

Model = Annotated[str, typer.Option("--model", "-m", help="A name from `vitruvian models list`.")]
Sources = Annotated[
    list[str],
    typer.Argument(
        help="Picture, folder, pattern, video, camera:0, rtsp:// or http:// stream, "
        "- for a list of paths on standard input, or sample (a built-in portrait)."
    ),
]
Find = Annotated[
    str | None,
    typer.Option(
        help="What finds the people: another model, such as yolov8n-pose, or a .json file of "
        "boxes.  [default: BlazePose's detector]",
        show_default=False,
    ),
]
NumPoses = Annotated[
    int | None,
    typer.Option(
        help="People in a frame, at most.  [default: BlazePose 1, YOLOv8 300, AlphaPose and "
        "MeTRAbs 100]"
    ),
]
Conf = Annotated[
    float | None,
    typer.Option(
        help="0..1: from where a person counts.  [default: BlazePose 0.5, YOLOv8 0.25; for "
        "AlphaPose and MeTRAbs as what finds the people]"
    ),
]
Visible = Annotated[float, typer.Option(help="0..1: keypoints with this score or more are drawn.")]
CameraFile = Annotated[
    str | None,
    typer.Option(
        help="Calibration file of the camera: OpenCV's, ROS's, Kalibr's or EasyMocap's .yaml, "
        ".json or .xml, Pose2Sim's or anipose's .toml; rig.toml:left is one of several cameras "
        "in it.  [default: as photographs say]",
        show_default=False,
    ),
]
FovDeg = Annotated[
    float | None,
    typer.Option(
        help="Instead, degrees: the camera's field of view, across the longer side.  "
        "[default: 55, if nobody knows]",
        show_default=False,
    ),
]
Focal = Annotated[
    float | None,
    typer.Option(help="Instead, pixels: the camera's focal length.", show_default=False),
]
FocalMm = Annotated[
    float | None,
    typer.Option(help="Instead: its focal length on 35 mm film.", show_default=False),
]
Start = Annotated[float, typer.Option(help="Seconds: where to begin in a video.")]
End = Annotated[
    float | None, typer.Option(help="Seconds: where to stop in a video.", show_default=False)
]
Stride = Annotated[int, typer.Option(help="Every so manieth frame.")]
MaxFrames = Annotated[
    int | None, typer.Option(help="Frames of each source, at most.", show_default=False)
]
Smooth = Annotated[
    str | None,
    typer.Option(
        help="Who is numbered, in videos: one-euro (also live), butterworth (zero phase; fills "
        "short gaps), or no.  [default: BlazePose one-euro, others no]",
        show_default=False,
    ),
]
CutoffHz = Annotated[
    float | None,
    typer.Option(help="Of --smooth butterworth: what is faster is noise.  [default: 6]"),
]
Repair = Annotated[
    bool,
    typer.Option(
        "--repair",
        help="In videos: mend left and right exchanged, and short jumps; lists what it changed.",
    ),
]
SkeletonName = Annotated[
    str | None,
    typer.Option(
        help="Of your own network's keypoints: a name, or a .toml file. MeTRAbs: which of its "
        "skeletons, such as smpl_24 or coco_19.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(help="CPU, GPU, NPU or AUTO.")]
Threads = Annotated[
    int | None,
    typer.Option(
        help="Of the networks.  [default: one a core; half as many for videos]",
        show_default=False,
    ),
]
Precision = Annotated[str, typer.Option(help="Inside the networks: f32 (exact), bf16, f16.")]
Option = Annotated[
    list[str] | None,
    typer.Option("--option", help="Any other option of the model, name=value; repeatable."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where a run that was stopped left off.")
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Never touch the network; like VITRUVIAN_OFFLINE=1.")
]


def complain(error: VitruvianError) -> None:
    """One line to standard error."""
    print(f"vitruvian: {error}", file=sys.stderr, flush=True)


def go_offline(wanted: bool) -> None:
    """Never touch the network from here on, if that is wanted."""
    if wanted:
        os.environ["VITRUVIAN_OFFLINE"] = "1"


def nothing_beside(context: typer.Context, out: object) -> None:
    """Raise `VitruvianError` if the user wants files beside `out`, which is one file.

    Not `--save-rerun` and `--save-heatmaps`, which say themselves where they go.
    """
    for name, value in context.params.items():
        said = context.get_parameter_source(name)
        own = name in ("save_rerun", "save_heatmaps")
        if name.startswith("save_") and value and not own and said and said.name != "DEFAULT":
            raise VitruvianError(
                f"'{out}' is one file; for --{name.replace('_', '-')} beside it give a folder"
            )


def options_of(
    model: str, flags: Mapping[str, object], option: list[str] | None, **common: object
) -> dict[str, object]:
    """The options of a model that these words stand for.

    Args:
        model: its name.
        flags: names of flags; None is left to the model.
        option: words of `--option`.
        **common: what every model may be given, such as `device`; None is left to the model.

    Raises:
        VitruvianError: the model has no such flag, or a word is no option.
    """
    from vitruvian.models.load import family_of
    from vitruvian.models.spec import parse_options

    asked = {flag: value for flag, value in flags.items() if value is not None}
    for flag in asked:
        if not family_of(model).takes(flag.replace("save_", "")):
            raise VitruvianError(f"{model} has no --{flag.replace('_', '-')}; leave it out")
    options = {name: value for name, value in common.items() if value is not None}
    options |= {flag.replace("save_", ""): value for flag, value in asked.items()}
    return options | parse_options(option or [])
