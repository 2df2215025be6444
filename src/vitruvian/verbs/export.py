"""Export: a model or a checkpoint as a file for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitruvian.body.skeletons import as_skeleton
from vitruvian.body.skeletons import skeleton as skeleton_named
from vitruvian.errors import VitruvianError
from vitruvian.frame import Frame
from vitruvian.models.load import FAMILIES, family_of
from vitruvian.models.ready import exporter, is_checkpoint, is_network_file
from vitruvian.models.zoo import entry
from vitruvian.verbs.outputs import refuse_existing
from vitruvian.weights import download

if TYPE_CHECKING:
    from vitruvian.exports.export import Exported

MOST_PICTURES = 300  # for calibration


def export(
    model: str,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    imgsz: int | None = None,
    precision: str = "f32",
    skeleton: str | None = None,
    decode: str | None = None,
    calibrate: str | Path | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model or a checkpoint as .onnx or .xml, see `vitruvian.exports.export`.

    Args:
        model: a catalogue model whose weights are a checkpoint, or a .pt, .pth or .tar.gz file of
            any family.
        out: .onnx or .xml.
        imgsz: input size, pixels.
        precision: weight precision: f32, f16, int8.
        skeleton: its keypoints: a name or a .toml file.
        decode: heat-map decoder, for AlphaPose.
        calibrate: for int8, a folder of calibration images.
        weights: a checkpoint to use instead of the released one.
        overwrite: replace an existing `out`.

    Raises:
        VitruvianError: no such model or checkpoint, or `out` exists.
    """
    name, out = model if weights is None else str(weights), Path(out)
    refuse_existing([out], overwrite)
    row = None if is_network_file(name) else entry(name)
    files = [file for file in row.files if is_checkpoint(Path(file.name))] if row else []
    if row and not files:
        raise VitruvianError(f"{name} is not a checkpoint; its file runs without export")
    # Refuses a file of no known family.
    family = family_of(name) if row is None else FAMILIES[row.family]
    write, table = exporter(name), as_skeleton(skeleton)
    from vitruvian.exports.export import check_export  # needs torch, which exporter looks for

    check_export(out, imgsz, precision, decode, calibrated=calibrate is not None)
    if row is None:
        checkpoint = Path(name)
    else:
        (checkpoint,) = download.fetch(files, notice=row.notice)
        if not family.metres:  # a 3D archive states these itself
            table, decode = table or skeleton_named(row.skeleton), decode or row.decode
    inputs: list[np.ndarray] = []
    if calibrate is not None:
        pictures = sorted(
            p for p in Path(calibrate).glob("*") if p.suffix.lower() in (".jpg", ".png")
        )
        if not pictures:
            raise VitruvianError(f"no .jpg or .png in '{calibrate}' to calibrate with")
        if family.calibration_inputs is None:
            raise VitruvianError("int8 is for YOLOv8-pose only; f16 files are half as large")
        frames = map(Frame.read, pictures[:MOST_PICTURES])
        inputs = family.calibration_inputs(checkpoint, table, frames)
    return write(
        checkpoint,
        out,
        imgsz=imgsz,
        precision=precision,
        skeleton=table,
        decode=decode,
        calibration=inputs,
    )
