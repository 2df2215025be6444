"""The words of the command line: what each option is called, and how its help reads.

A command's parameters are the library's own groups, see `vitruvian.verbs.groups`; `command` spreads
them over their fields, and takes the rest from the table here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

OUT = ("--out", "-o")
METAVARS = {list[str] | None: "<str>", list[Path] | None: "<path>"}
# Titles of the help, in their order.
INPUT, MODEL, OUTPUT, OVER_TIME = "Input", "Model", "Output", "Over time (videos)"
ANALYSIS, CAMERA, MACHINE, ROUNDS = "Analysis", "Camera", "Machine", "Rounds"
TITLES = (INPUT, MODEL, OUTPUT, ANALYSIS, OVER_TIME, CAMERA, ROUNDS, MACHINE)


@dataclass(frozen=True)
class Word:
    """An option, or an argument, of the command line."""

    type: Any
    title: str
    help: str
    default: str = ""  # as help tells it, where the default is None
    names: tuple[str, ...] = ()  # where they do not follow from the parameter
    argument: str = ""  # as usage calls it; "" for options

    def annotation(self, name: str, default: Any, told: str = "") -> Any:
        """The same for typer.

        Args:
            name: of the parameter.
            default: of it.
            told: what help says of the default, if anything else.
        """
        told = told or (self.default if default is None else "")
        help_ = f"{self.help}  [default: {told}]" if told else self.help
        if self.argument:
            argument = typer.Argument(
                help=help_, metavar=self.argument, rich_help_panel=self.title, show_default=False
            )
            return Annotated[self.type, argument]
        switch = (f"--{name.replace('_', '-')}",) if self.type is bool and default is False else ()
        shown = not told and default is not None and self.type is not bool
        option = typer.Option(
            *(self.names or switch),
            help=help_,
            rich_help_panel=self.title,
            show_default=shown,
            metavar=METAVARS.get(self.type),
        )
        return Annotated[self.type, option]


WORDS = {
    "source": Word(
        list[str],
        INPUT,
        "Picture, video, folder, pattern ('*.jpg'), camera:0, rtsp:// or http:// stream, - for "
        "paths on standard input, or sample (a built-in portrait).",
        argument="SOURCE",
    ),
    "start": Word(float, INPUT, "Seconds: where to begin in a video."),
    "data": Word(
        Path,
        INPUT,
        "COCO keypoint annotations (.json), a YOLO-pose data set (data.yaml or its folder), joints "
        "in metres (.json), or people.jsonl of `vitruvian synth`.",
    ),
    "images": Word(Path | None, INPUT, "The folder of the pictures.", "beside the data"),
    "split": Word(str, INPUT, "Which part of the data, where it has parts."),
    "results": Word(
        list[Path] | None,
        INPUT,
        "Records (.jsonl) of the same source, made before or by another program; repeatable.",
    ),
    "end": Word(float | None, INPUT, "Seconds: where to stop in a video."),
    "stride": Word(int, INPUT, "Every n-th frame only."),
    "max_frames": Word(int | None, INPUT, "Frames of each source, at most."),
    "model": Word(
        str,
        MODEL,
        "A name from `vitruvian models list`, or a file. Options of its own behind commas: "
        "vitruvian-2d,flip=true,scales=0.75,1.",
        names=("--model", "-m"),
    ),
    "find": Word(
        str | None,
        MODEL,
        "What finds people: another model (yolov8n-pose), or a .json file of bounding boxes.",
        "the model's own, or BlazePose's detector",
    ),
    "num_poses": Word(
        int | None, MODEL, "People in a frame, at most.", "BlazePose 1, YOLOv8 300, others 100"
    ),
    "conf": Word(
        float | None,
        MODEL,
        "0..1: confidence threshold of a person.",
        "BlazePose 0.5, YOLOv8 0.25, others as what finds people",
    ),
    "skeleton": Word(
        str | None,
        MODEL,
        "Keypoints of your own network: a name, or a .toml file. MeTRAbs: which of its skeletons, "
        "such as smpl_24.",
    ),
    "out": Word(
        Path,
        OUTPUT,
        "A folder; or one file, whose extension says its format.",
        names=OUT,
    ),
    "save": Word(
        str | None,
        OUTPUT,
        "What goes into the folder, with commas: video (annotated video or picture), json "
        "(records, .jsonl), csv, parquet, coco, openpose, mot, trc, c3d, bvh, plot (3D view), html "
        "(interactive 3D viewer), rerun, heatmaps (AlphaPose).",
    ),
    "visible": Word(float, OUTPUT, "0..1: keypoints with this score or more are drawn."),
    "overwrite": Word(bool, OUTPUT, "Replace files that exist."),
    "resume": Word(bool, OUTPUT, "Go on where a run that was stopped left off."),
    "track": Word(bool | None, OVER_TIME, "The same person has the same number.", "on"),
    "smooth": Word(
        str | None,
        OVER_TIME,
        "Filter: one-euro (also live), butterworth (zero phase; fills short gaps), or no.",
        "BlazePose one-euro, others no",
    ),
    "cutoff_hz": Word(float | None, OVER_TIME, "Cutoff of --smooth butterworth.", "6"),
    "repair": Word(
        bool, OVER_TIME, "Mend left-right swaps and short jumps, and list what was changed."
    ),
    "absolute": Word(bool, CAMERA, "Metres from the camera, not from the hips."),
    "detect_every": Word(
        int | None, OVER_TIME, "BlazePose: frames between detections, at least.", "5"
    ),
    "same_from": Word(
        float | None, OVER_TIME, "BlazePose: IoU from which two regions are one person.", "0.5"
    ),
    "camera": Word(
        str | None,
        CAMERA,
        "Calibration file: OpenCV, ROS, Kalibr or EasyMocap (.yaml, .json, .xml), Pose2Sim or "
        "anipose (.toml); rig.toml:left is one camera of several.",
        "as photographs say",
    ),
    "fov_deg": Word(
        float | None, CAMERA, "Instead: field of view across the longer side, degrees.", "55"
    ),
    "focal": Word(float | None, CAMERA, "Instead: focal length, pixels."),
    "focal_mm": Word(float | None, CAMERA, "Instead: focal length on 35 mm film."),
    "rules": Word(
        str | None,
        ANALYSIS,
        "What to look for, with commas: seated, hands_in_pockets, ...; a .toml file of thresholds; "
        "a function of your own, mine.py:NAME; or all.",
        "all; with --angles none",
    ),
    "angles": Word(bool, ANALYSIS, "Measure joint angles: a table, and a plot."),
    "angle": Word(
        str | None,
        ANALYSIS,
        "The same, and which are drawn and plotted: knee, left_hip, trunk_tilt, ...",
        "knee,elbow",
    ),
    "space": Word(
        str | None,
        ANALYSIS,
        "Of the angles: 2d (image plane) or 3d.",
        "3d where there are metres, but 2d of people seen from the side by one camera",
    ),
    "minimum": Word(float, ANALYSIS, "Seconds: shorter events are left out; 0 for all."),
    "gap": Word(float, ANALYSIS, "Seconds: an event goes on over gaps as short as this."),
    "common": Word(bool, ANALYSIS, "Score all models on the keypoints that all of them have."),
    "resamples": Word(int, ANALYSIS, "Bootstrap resamples for 95 % confidence intervals."),
    "device": Word(str | None, MACHINE, "CPU, GPU, NPU or AUTO.", "CPU"),
    "threads": Word(
        int | None, MACHINE, "Of the networks.", "one per core; BlazePose on videos half as many"
    ),
    "precision": Word(str | None, MACHINE, "Inside the networks: f32 (exact), bf16 or f16.", "f32"),
}
MODELS = Word(
    list[str] | None,
    MODEL,
    "A name from `vitruvian models list`, or a file; repeatable. Options of its own behind commas: "
    "blazepose-full,find=yolov8n-pose,num_poses=5.",
    names=("--model", "-m"),
)
