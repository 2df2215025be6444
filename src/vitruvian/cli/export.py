"""The command `export`: PyTorch checkpoints to ONNX or OpenVINO IR."""

from __future__ import annotations

from pathlib import Path

from vitruvian.cli.command import command
from vitruvian.cli.words import INPUT, OUT, OUTPUT, Word


@command(
    model=Word(
        str,
        INPUT,
        "Model name, such as yolov8n-pose, or checkpoint: .pt, .pth or MeTRAbs' .tar.gz.",
        argument="MODEL",
    ),
    out=Word(Path, OUTPUT, "Output file, .onnx or .xml (OpenVINO IR).", names=OUT),
    weights=Word(Path | None, INPUT, "Checkpoint to use instead of the released one."),
    imgsz=Word(int | None, OUTPUT, "Input size (side of the square), pixels."),
    precision=Word(str, OUTPUT, "Precision of the weights: f32, f16 or int8."),
    calibrate=Word(Path | None, OUTPUT, "int8: folder of a few hundred calibration images."),
    skeleton=Word(str | None, INPUT, "Skeleton of the checkpoint: a name, or a .toml file."),
    decode=Word(
        str | None,
        INPUT,
        "Heat map decoding, if the checkpoint does not specify it: argmax, integral or combined.",
        "argmax for 17 and 26 keypoints",
    ),
)
def export(
    model: str,
    out: Path,
    weights: Path | None = None,
    imgsz: int | None = None,
    precision: str = "f32",
    calibrate: Path | None = None,
    skeleton: str | None = None,
    decode: str | None = None,
    overwrite: bool = False,
) -> None:
    """Export a checkpoint to ONNX or OpenVINO IR.

    The result is compared with PyTorch. Supported: YOLOv8-pose, AlphaPose, MeTRAbs, and OSNet for
    re-identification.
    """
    from vitruvian.verbs.export import export as write

    done = write(
        model,
        out,
        weights=weights,
        imgsz=imgsz,
        precision=precision,
        calibrate=calibrate,
        skeleton=skeleton,
        decode=decode,
        overwrite=overwrite,
    )
    apart = ", ".join(f"{name} {far:.2g} {done.unit}" for name, far in done.apart.items())
    print(f"{out}: {precision}, maximum difference from PyTorch: {apart}")
