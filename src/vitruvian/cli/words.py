"""Options of the command line: type, help section, help text and names of each.

A command's parameters are the dataclasses of `vitruvian.verbs.groups`; `command` turns each of
their fields into an option and takes its help from the table here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from vitruvian.errors import VitruvianError, shown

OUT = ("--out", "-o")
NUMBERS: dict[Any, type] = {int: int, int | None: int, float: float, float | None: float}
METAVARS: dict[Any, str] = {
    **{kind: f"<{number.__name__}>" for kind, number in NUMBERS.items()},
    **{list[str] | None: "<str>", list[Path] | None: "<path>"},
    **{list[str]: "<str>", list[Path]: "<path>"},
}
LARGEST = 1e12  # of all numbers: more than any count, size or time
# Sections of the help, in this order.
INPUT, MODEL, OUTPUT, OVER_TIME = "Input", "Model", "Output", "Over time (videos)"
ANALYSIS, CAMERA, MACHINE, ROUNDS = "Analysis", "Camera", "Machine", "Rounds"
SERVER, TRIGGERS = "Server", "Triggers"
TITLES = (INPUT, MODEL, OUTPUT, ANALYSIS, TRIGGERS, SERVER, OVER_TIME, CAMERA, ROUNDS, MACHINE)


@dataclass(frozen=True)
class Word:
    """One option, or positional argument, of the command line."""

    type: Any
    title: str
    help: str
    default: str = ""  # shown in the help where the default is None
    names: tuple[str, ...] = ()  # of the option, unless they follow from the parameter
    argument: str = ""  # its name in the usage line; "" for options

    def annotation(self, name: str, default: Any, told: str = "") -> Any:
        """The annotation that typer reads.

        Args:
            name: of the parameter.
            default: of the parameter.
            told: text that the help shows instead of the default.
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
            metavar="<path>" if self.names == OUT else METAVARS.get(self.type),
            parser=self._parser(name),
        )
        return Annotated[self.type, option]

    def _parser(self, name: str) -> Callable[[str], float] | None:
        """What reads a number; None: it is none.

        Its error names the option and the value, which those of Typer do not.
        """
        number = NUMBERS.get(self.type)
        if number is None:
            return None
        option = self.names[0] if self.names else f"--{name.replace('_', '-')}"
        kind = "a whole number" if number is int else "a number"

        def read(text: str) -> float:
            want = kind
            with suppress(ValueError):
                value = number(text)
                if abs(value) <= LARGEST:
                    return value
                want = kind if value != value else f"at most {LARGEST:g}"
            raise VitruvianError(f"{option} is '{shown(text)}', want {want}")

        return read


WORDS = {
    "source": Word(
        list[str],
        INPUT,
        "Image, video, folder, glob pattern ('*.jpg'), webcam (camera:0), rtsp:// or http:// "
        "stream, - (paths from standard input), or sample (a built-in portrait).",
        argument="SOURCE",
    ),
    "start": Word(float, INPUT, "Start time in a video, seconds."),
    "data": Word(
        Path,
        INPUT,
        "COCO keypoint annotations (.json), YOLO-pose dataset (data.yaml or its folder), 3D joints "
        "in metres (.json), or people.jsonl of `vitruvian synth`.",
    ),
    "images": Word(Path | None, INPUT, "Image folder.", "next to the annotations"),
    "split": Word(str, INPUT, "Split of the dataset, such as train, val or test."),
    "results": Word(
        list[Path] | None,
        INPUT,
        "Existing results (.jsonl) of the same source, from a previous run or another program; "
        "repeatable.",
    ),
    "recursive": Word(bool, INPUT, "Search subfolders, too."),
    "shard": Word(
        str | None,
        INPUT,
        "Do one part of the sources, such as 3/64: for jobs of another scheduler, which may share "
        "an output folder.",
        "all",
    ),
    "workers": Word(
        int | None,
        MACHINE,
        "Number of worker processes.",
        "one per core; with --ray, as many as there is room for",
    ),
    "ray": Word(
        str | None,
        MACHINE,
        "Run on Ray: the address of a cluster, auto (the one of this machine), or local.",
        "worker processes of this machine",
    ),
    "cpus_per_worker": Word(float, MACHINE, "CPUs of a worker, and threads of its inference."),
    "gpus_per_worker": Word(float, MACHINE, "With --ray: GPUs of a worker, also parts of one."),
    "cut": Word(
        float | None,
        MACHINE,
        "Length in seconds of the pieces in which several workers do one video; 0: never cut.",
        "about 300 where sources are fewer than workers",
    ),
    "attempts": Word(
        int, MACHINE, "Attempts at a source, or a piece, before it is set aside as failed."
    ),
    "state": Word(
        Path | None,
        OUTPUT,
        "Where --out is a URL: local folder for the manifest.",
        "one of the user, such as ~/.local/state/vitruvian/batch",
    ),
    "on_event": Word(
        str | None,
        OUTPUT,
        "Command that gets each event of --rules as a line of JSON on its standard input.",
        "none",
    ),
    "summary": Word(
        bool,
        OUTPUT,
        "Write summary.html and summary.json: counts, failures, events, slowest sources; of all "
        "shards in --out.",
    ),
    "log": Word(Path | None, OUTPUT, "File for a line of JSON about each source.", "none"),
    "end": Word(float | None, INPUT, "End time in a video, seconds."),
    "stride": Word(int, INPUT, "Process every n-th frame."),
    "max_frames": Word(int | None, INPUT, "Maximum number of frames per source."),
    "model": Word(
        str,
        MODEL,
        "Model name (see `vitruvian models list`) or file, with options after commas: "
        "vitruvian-2d,flip=true.",
        names=("--model", "-m"),
    ),
    "find": Word(
        str | None,
        MODEL,
        "Person detector: vitruvian-find, objectron, blazepose-full, yolov8n-pose, a training "
        "run, or boxes (.json).",
        "vitruvian-find; BlazePose on videos: its own",
    ),
    "num_poses": Word(
        int | None,
        MODEL,
        "Maximum number of people per frame.",
        "100; BlazePose on videos 1, YOLOv8 300",
    ),
    "conf": Word(
        float | None,
        MODEL,
        "Detection threshold of a person, 0..1.",
        "BlazePose 0.5, YOLOv8 0.25, others 0.35",
    ),
    "skeleton": Word(
        str | None,
        MODEL,
        "Skeleton of a custom network: a name, or a .toml file. MeTRAbs: one of its skeletons, "
        "such as smpl_24.",
    ),
    "hands": Word(bool | None, MODEL, "21 landmarks of each hand, too; holistic: on."),
    "face": Word(bool | None, MODEL, "468 landmarks of each face, too; holistic: on."),
    "out": Word(
        str,
        OUTPUT,
        "Output folder, or one file; its extension selects the format.",
        names=OUT,
    ),
    "save": Word(
        str | None,
        OUTPUT,
        "Output formats, comma-separated: video (annotated video or image), json (one line per "
        "frame, .jsonl), csv, parquet, coco, labels (COCO annotations), openpose, mot, trc, c3d, "
        "bvh, plot (3D view), html (interactive 3D viewer), rerun, heatmaps (AlphaPose).",
    ),
    "visible": Word(float, OUTPUT, "Minimum score of the keypoints that are drawn, 0..1."),
    "overwrite": Word(bool, OUTPUT, "Replace existing files."),
    "resume": Word(bool, OUTPUT, "Resume an interrupted run; finished work is skipped."),
    "track": Word(bool | None, OVER_TIME, "Assign track ids to people.", "on"),
    "confirm": Word(
        bool,
        OVER_TIME,
        "Track ids only for confirmed people: a body that keeps its proportions over some frames. "
        "Others, such as furniture taken for a person, are left out of recordings.",
    ),
    "smooth": Word(
        str | None,
        OVER_TIME,
        "Filter: one-euro (online), butterworth (zero-phase low-pass, offline; fills short gaps), "
        "or no.",
        "BlazePose one-euro, others no",
    ),
    "cutoff_hz": Word(
        float | None, OVER_TIME, "Filter with Butterworth, at this cutoff frequency, Hz.", "6"
    ),
    "repair": Word(
        bool, OVER_TIME, "Correct left-right swaps and short jumps, and list the corrections."
    ),
    "absolute": Word(bool, CAMERA, "3D coordinates relative to the camera, not to the hips."),
    "detect_every": Word(
        int | None, OVER_TIME, "BlazePose: minimum interval between detections, frames.", "5"
    ),
    "same_from": Word(
        float | None, OVER_TIME, "BlazePose: minimum IoU of two regions of one person.", "0.5"
    ),
    "camera": Word(
        str | None,
        CAMERA,
        "Calibration file of OpenCV, ROS, Kalibr, EasyMocap, Pose2Sim, anipose, Qualisys or Vicon; "
        "rig.toml:left selects a camera.",
        "EXIF of photos",
    ),
    "fov_deg": Word(
        float | None, CAMERA, "Or: field of view along the longer side, degrees.", "55"
    ),
    "focal": Word(float | None, CAMERA, "Or: focal length, pixels."),
    "focal_mm": Word(float | None, CAMERA, "Or: 35 mm equivalent focal length, mm."),
    "rules": Word(
        str | None,
        ANALYSIS,
        "Rules, comma-separated: seated, hands_in_pockets, fist, ...; a .toml file of "
        "thresholds; a Python function, mine.py:NAME; gestures (of hands and heads); or all.",
        "all; with --angles none",
    ),
    "angles": Word(bool, ANALYSIS, "Measure joint angles; writes a table and a plot."),
    "angle": Word(
        str | None,
        ANALYSIS,
        "Measure joint angles, and draw and plot these: knee, left_hip, trunk_tilt, ...",
        "knee,elbow",
    ),
    "space": Word(
        str | None,
        ANALYSIS,
        "Compute angles in 2d (image plane) or 3d.",
        "3d if the model is 3D, but 2d for people seen from the side by one camera",
    ),
    "minimum": Word(float, ANALYSIS, "Minimum duration of an event, seconds; 0 keeps all."),
    "gap": Word(float, ANALYSIS, "Longest gap within one event, seconds."),
    "on": Word(float, ANALYSIS, "Degree 0..1 to which a rule must hold for an event to begin."),
    "off": Word(float, ANALYSIS, "Degree 0..1 below which an event ends."),
    "person": Word(
        str | None, ANALYSIS, "Analyze only people with these track ids: 3, or 1,3.", "everybody"
    ),
    "common": Word(bool, ANALYSIS, "Evaluate only the keypoints that all models have."),
    "resamples": Word(int, ANALYSIS, "Bootstrap resamples for 95 % confidence intervals."),
    "host": Word(
        str, SERVER, "Address to listen on; other machines need the token in the printed address."
    ),
    "port": Word(int, SERVER, "Port; 0: any free one."),
    "clients": Word(int, SERVER, "Maximum number of browser cameras at once."),
    "certfile": Word(
        Path | None, SERVER, "Certificate (.pem) for HTTPS, which cameras of other machines need."
    ),
    "keyfile": Word(Path | None, SERVER, "Its key (.pem).", "in the certificate's file"),
    "browser": Word(bool, SERVER, "Open the page in a browser, if there is a desktop."),
    "loop": Word(bool, INPUT, "A video file starts again at its end."),
    "record": Word(
        Path | None,
        OUTPUT,
        "Folder for recordings (.jsonl), made while the page's record button is on.",
        "nothing is stored",
    ),
    "record_video": Word(bool, OUTPUT, "Recordings also as annotated video (.mp4)."),
    "webhook": Word(
        str | None, TRIGGERS, "Address that gets each event as a POST of JSON.", "none"
    ),
    "osc": Word(
        str | None,
        TRIGGERS,
        "HOST:PORT that gets each event as an OSC message: /vitruvian/EVENT, 1 or 0, person, "
        "side, stream.",
        "none",
    ),
    "run": Word(
        str | None,
        TRIGGERS,
        "Command that is run with each event, a line of JSON on its standard input.",
        "none",
    ),
    "device": Word(str | None, MACHINE, "CPU, GPU, NPU or AUTO.", "CPU"),
    "threads": Word(
        int | None,
        MACHINE,
        "Threads for inference.",
        "one per core; BlazePose on videos: half as many",
    ),
    "precision": Word(str | None, MACHINE, "Inference precision: f32 (exact), bf16 or f16.", "f32"),
}
MODELS = Word(
    list[str] | None,
    MODEL,
    "Model name (see `vitruvian models list`) or file, with options after commas: "
    "vitruvian-2d,flip=true,num_poses=5. Repeatable.",
    names=("--model", "-m"),
)
