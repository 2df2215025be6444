"""The command `calibrate`: lenses from a board, places of cameras from a board or from people."""

from __future__ import annotations

from pathlib import Path

from vitruvian.cli.command import command
from vitruvian.cli.words import CAMERA, INPUT, OUT, OUTPUT, OVER_TIME, Word
from vitruvian.verbs.groups import MachineWords, ModelWords


@command(
    source=Word(
        list[str],
        INPUT,
        "Of each camera: a video, or a folder of images, of a board or of people; or saved poses "
        "(.jsonl, .csv, .parquet, a folder of OpenPose JSON).",
        argument="SOURCE",
    ),
    board=Word(
        str | None,
        CAMERA,
        "chessboard:9x6 (inner corners) or charuco:5x7 (squares).",
        "none: people place the cameras",
    ),
    square_mm=Word(float | None, CAMERA, "Side of a square of the printed board, millimetres."),
    marker_mm=Word(float | None, CAMERA, "ChArUco: side of a marker, millimetres."),
    dictionary=Word(str | None, CAMERA, "ChArUco: dictionary of the markers: 4x4_50, 5x5_100, ..."),
    intrinsics=Word(
        Path | None,
        CAMERA,
        "Calibration file with the lenses, such as that of a run with --board.",
        "with people: focal lengths are estimated",
    ),
    place=Word(
        bool,
        CAMERA,
        "Find where cameras stand, too; --no-place: lenses only, of cameras that saw the board one "
        "after another.",
    ),
    cameras=Word(str | None, CAMERA, "Names, in order: left,right.", "by the names of the files"),
    height=Word(float | None, CAMERA, "Scale: body height of the person seen most, metres."),
    length=Word(
        str | None,
        CAMERA,
        "Scale: metres between two keypoints or cameras: left_hip,left_knee=0.43.",
    ),
    fov_deg=Word(
        float | None,
        CAMERA,
        "First guess of the field of view along the longer side, degrees.",
        "55",
    ),
    up=Word(
        str | None,
        CAMERA,
        "people (ankles to shoulders), board (it lies on the floor at first), or an axis of the "
        "first camera: --up=-y if it is level.",
        "people, with a board -y",
    ),
    sync=Word(
        str,
        OVER_TIME,
        "no: the files have one clock; movement: find how much later each starts from how people "
        "move; or seconds that are added to the times of each view: 0,0.12.",
    ),
    fps=Word(float | None, INPUT, "Frame rate of saved poses without times."),
    num_poses="BlazePose 5, YOLOv8 300, others 100",
    out=Word(Path, OUTPUT, "Calibration file, .toml; pictures are written beside it.", names=OUT),
)
def calibrate(
    source: list[str],
    model: str = "blazepose-full",
    board: str | None = None,
    square_mm: float | None = None,
    marker_mm: float | None = None,
    dictionary: str | None = None,
    intrinsics: Path | None = None,
    place: bool = True,
    cameras: str | None = None,
    height: float | None = None,
    length: str | None = None,
    fov_deg: float | None = None,
    up: str | None = None,
    sync: str = "no",
    fps: float | None = None,
    words: ModelWords = ModelWords(),
    machine: MachineWords = MachineWords(),
    out: Path = Path("rig.toml"),
    overwrite: bool = False,
) -> None:
    """Calibrate cameras with a printed board, or with people.

    A board gives the lenses, and with several cameras their places; people give the places.
    Prints how well.
    """
    from vitruvian.verbs.calibrate import calibrate as do

    do(
        source,
        model,
        board=board,
        square_mm=square_mm,
        marker_mm=marker_mm,
        dictionary=dictionary,
        intrinsics=intrinsics,
        place=place,
        cameras=cameras,
        height=height,
        length=length,
        fov_deg=fov_deg,
        up=up,
        sync=sync,
        fps=fps,
        words=words,
        machine=machine,
        out=out,
        overwrite=overwrite,
        say=print,
    )
