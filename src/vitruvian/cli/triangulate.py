"""The command `triangulate`: people in metres from several calibrated cameras."""

from __future__ import annotations

from pathlib import Path

from vitruvian.cli.command import command, complain, failed
from vitruvian.cli.words import CAMERA, INPUT, OUT, OUTPUT, OVER_TIME, Word
from vitruvian.verbs.groups import MachineWords, ModelWords


@command(
    source=Word(
        list[str],
        INPUT,
        "A video of each camera; or saved poses of each: .jsonl, .csv, .parquet, or a folder of "
        "OpenPose JSON.",
        argument="SOURCE",
    ),
    rig=Word(
        Path,
        CAMERA,
        "Calibration file with the positions of all cameras: Pose2Sim or anipose (.toml), Qualisys "
        "(.qca.txt), Vicon (.xcp), OpenCV stereo, Kalibr or EasyMocap (.yaml).",
    ),
    cameras=Word(
        str | None,
        CAMERA,
        "Names in the rig of the views, in order: left,right.",
        "by the names of the files",
    ),
    sync=Word(
        str,
        OVER_TIME,
        "no: the files have one clock; movement: find how much later each starts from how people "
        "move; or seconds that are added to the times of each view: 0,0.12.",
    ),
    max_error=Word(
        float | None,
        CAMERA,
        "Reprojection error from which a view is left out of a keypoint, pixels.",
        "2 % of the longer side",
    ),
    mend_sides=Word(
        bool, OVER_TIME, "Exchange left and right where a view contradicts the others."
    ),
    bones=Word(bool, OVER_TIME, "Bones of one length over the recording."),
    cutoff_hz=Word(
        float | None, OVER_TIME, "Low-pass filter after triangulation (zero phase), Hz.", "none"
    ),
    fps=Word(float | None, INPUT, "Frame rate of saved poses without times."),
    up=Word(str, OUTPUT, "Up axis of .trc, .c3d and .bvh: y or z."),
    num_poses="BlazePose 5, YOLOv8 300, others 100",
    out=Word(
        Path, OUTPUT, "Output folder, or one file; its extension selects the format.", names=OUT
    ),
    save=Word(
        str | None,
        OUTPUT,
        "Output formats, comma-separated: json (one line per frame, .jsonl), csv, parquet, trc, "
        "c3d, bvh, html (interactive 3D viewer).",
        "json,trc",
    ),
)
def triangulate(
    source: list[str],
    rig: Path,
    model: str = "blazepose-full",
    cameras: str | None = None,
    sync: str = "no",
    max_error: float | None = None,
    mend_sides: bool = True,
    bones: bool = False,
    cutoff_hz: float | None = None,
    fps: float | None = None,
    up: str = "y",
    words: ModelWords = ModelWords(),
    machine: MachineWords = MachineWords(),
    out: Path = Path("triangulated"),
    save: str | None = None,
    overwrite: bool = False,
) -> None:
    """Triangulate people from several calibrated cameras.

    Each keypoint is computed from the views that agree, at least two; what fewer see is missing.
    Prints how well.
    """
    from vitruvian.verbs.triangulate import triangulate as do

    done = do(
        source,
        rig,
        model,
        cameras=cameras,
        sync=sync,
        max_error=max_error,
        mend_sides=mend_sides,
        bones=bones,
        cutoff_hz=cutoff_hz,
        fps=fps,
        up=up,
        words=words,
        machine=machine,
        out=out,
        save=save,
        overwrite=overwrite,
        say=print,
        on_error=complain,
    )
    failed(len(done.faults))
