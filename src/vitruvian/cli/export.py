"""The command `export`: a checkpoint as ONNX or OpenVINO IR."""

from __future__ import annotations

from pathlib import Path

from vitruvian.cli.command import command
from vitruvian.cli.words import INPUT, OUT, OUTPUT, Word


@command(
    model=Word(
        str,
        INPUT,
        "yolov8n-pose and so on, or a checkpoint: .pt, .pth or MeTRAbs' .tar.gz.",
        argument="MODEL",
    ),
    out=Word(Path, OUTPUT, "A name that ends with .onnx or .xml.", names=OUT),
    weights=Word(Path | None, INPUT, "The checkpoint, instead of the released one."),
    imgsz=Word(int | None, OUTPUT, "Input size, pixels of a side."),
    precision=Word(str, OUTPUT, "Of the weights: f32, f16 or int8."),
    calibrate=Word(Path | None, OUTPUT, "For int8: a folder of some hundred pictures like yours."),
    skeleton=Word(str | None, INPUT, "Its keypoints: a name, or a .toml file."),
    decode=Word(
        str | None,
        INPUT,
        "How its heat maps are decoded, where it does not say: argmax, integral or combined.",
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

    The file is checked against PyTorch. The checkpoint may be of YOLOv8-pose, AlphaPose, MeTRAbs
    or, for re-identification, OSNet.
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
    print(f"{out}: {precision}, apart from torch: {apart}")
