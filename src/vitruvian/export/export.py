"""Export: from a checkpoint to a file that OpenVINO and ONNX Runtime open, checked against torch.

The file takes any number of pictures or of crops (export/families.py), and says what it is:
skeleton, size, how it is read, and the SHA-256 of the checkpoint it came from.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from vitruvian.body.skeleton import Skeleton
from vitruvian.errors import VitruvianError, unknown
from vitruvian.export.families import graph
from vitruvian.export.graph import Graph
from vitruvian.network import OnnxRuntime, OpenVino, import_openvino
from vitruvian.weights import checkpoint as checkpoints
from vitruvian.weights import metrabs_archive
from vitruvian.weights.download import sha256

# Of the weights in the file. int8 is also the arithmetic; that of f32 and f16 is the runtime's
# choice, where bf16 is one more.
PRECISIONS = ("f32", "f16", "int8")
OPSET = 17  # torch's TorchScript exporter: the dynamo one would need onnxscript as well


@dataclass(frozen=True)
class Exported:
    """A file, and how far each runtime is from torch with it."""

    file: Path
    apart: dict[str, float]  # by runtime: at most, or for int8 the mean over the people found
    unit: str  # of how far: "px", or "of the largest number"


def export_checkpoint(
    checkpoint: Path,
    out: Path,
    *,
    imgsz: int | None = None,
    precision: str = "f32",
    skeleton: Skeleton | None = None,
    decode: str | None = None,
    calibration: Sequence[np.ndarray] = (),
) -> Exported:
    """Write a checkpoint of YOLOv8-pose, AlphaPose, OSNet or MeTRAbs as ONNX, or OpenVINO's IR.

    Args:
        checkpoint: a .pt or .pth file, see `vitruvian.weights.checkpoint`, or of MeTRAbs' authors a
            .tar.gz, see `vitruvian.weights.metrabs_archive`.
        out: ends with .onnx or .xml; int8 is for .xml only.
        imgsz: for YOLOv8, pixels, the side it is run at unless told otherwise; None: that of its
            training.
        precision: of the weights, a member of `PRECISIONS`; int8 is for YOLOv8 only.
        skeleton: of its keypoints; None: COCO's, or for AlphaPose that of its published networks
            of as many keypoints.
        decode: for AlphaPose, how its maps are read, one of `vitruvian.export.families.DECODE`;
            None: argmax where all published networks are trained so.
        calibration: for int8, inputs of (1, 3, H, W) as `YoloPose.prepare` makes them, from
            pictures like those it will see: a few hundred.

    Raises:
        VitruvianError: it is no such checkpoint, its keypoints are not those of the skeleton, or
            it cannot be known how its maps are read.
    """
    if precision not in PRECISIONS:
        raise unknown("precision of weights", precision, PRECISIONS)
    if out.suffix not in ((".xml",) if precision == "int8" else (".onnx", ".xml")):
        want = ".xml" if precision == "int8" else ".onnx or .xml"
        raise VitruvianError(f"cannot export to '{out}': want a name that ends with {want}")
    if (precision == "int8") != bool(len(calibration)):
        raise VitruvianError("int8, and nothing else, needs pictures for calibration")
    try:
        archive = metrabs_archive.is_archive(checkpoint)
        read = (metrabs_archive if archive else checkpoints).read(checkpoint)
        made = graph(read, skeleton=skeleton, decode=decode, imgsz=imgsz)
        if precision == "int8" and made.displacement is None:
            raise VitruvianError("int8 is for YOLOv8-pose only; f16 files are half as large")
    except VitruvianError as error:
        raise VitruvianError(f"cannot export '{checkpoint}': {error}") from None
    if precision == "f16":
        made.network.half().float()  # torch rounds as the file does, so that the check stays exact
    # One name for the hash would do, but files of YOLOv8-pose have been written with the other.
    digest = "source_sha256" if made.family == "yolopose" else "sha256"
    made.about.update(
        {"precision": precision, "source": checkpoint.name, digest: sha256(checkpoint)}
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-")
    except OSError as error:
        raise VitruvianError(f"cannot write '{out}': {error.strerror}") from None
    apart: dict[str, float] = {}
    with temporary as folder:
        fresh = Path(folder, "network.onnx")
        onnx.save(to_onnx(made, half=precision == "f16"), fresh)
        if importlib.util.find_spec("onnxruntime"):
            apart["onnxruntime"] = made.check(OnnxRuntime(fresh), "onnxruntime")
        if out.suffix == ".xml":
            openvino = import_openvino()
            model = openvino.Core().read_model(fresh)
            fresh = fresh.with_suffix(".xml")
            openvino.save_model(model, fresh, compress_to_fp16=precision == "f16")
        apart["openvino"] = made.check(OpenVino(fresh), "openvino")
        if made.displacement and precision == "int8":
            fresh = fresh.with_name("int8.xml")
            quantise(fresh.with_name("network.onnx"), fresh, calibration)
            apart["openvino int8"] = made.displacement(OpenVino(fresh), calibration)
        if out.suffix == ".xml":
            fresh.with_suffix(".bin").replace(out.with_suffix(".bin"))
        fresh.replace(out)
    return Exported(out, apart, made.unit)


def to_onnx(made: Graph, half: bool) -> onnx.ModelProto:
    """The graph, with what it is written into its metadata.

    Args:
        made: the graph.
        half: store weights as float16, with a cast back that runtimes do once, as they open it.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # see `OPSET`
        torch.onnx.export(
            made.network,
            made.example,
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=list(made.inputs),
            output_names=list(made.outputs),
            dynamic_axes=made.axes,
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, made.about)
    if half:
        for weights in model.graph.initializer:
            if weights.data_type != onnx.TensorProto.FLOAT:
                continue
            name = weights.name
            numbers = onnx.numpy_helper.to_array(weights).astype(np.float16)
            weights.CopyFrom(onnx.numpy_helper.from_array(numbers, f"{name}.f16"))
            cast = onnx.helper.make_node("Cast", [f"{name}.f16"], [name], to=onnx.TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
    onnx.checker.check_model(model)
    return model


def import_nncf() -> Any:
    """The nncf module, without its telemetry.

    NNCF 3.4 makes a number of its user in ~/intel as it is imported, whatever NNCF_CI says. A None
    in sys.modules makes that part's import fail, which it expects.

    Raises:
        VitruvianError: it is not installed.
    """
    import_openvino()  # before nncf, so that its telemetry is not imported with it
    telemetry = "openvino_telemetry"
    before = sys.modules.get(telemetry)
    sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        import nncf
    except ImportError:
        raise VitruvianError("int8 needs nncf; pip install 'vitruvian[int8]'") from None
    finally:
        del sys.modules[telemetry]
        if before is not None:
            sys.modules[telemetry] = before
    return nncf


def quantise(file: Path, out: Path, calibration: Sequence[np.ndarray]) -> None:
    """Write a network of 8-bit weights and arithmetic; the decoding of boxes stays as it is."""
    openvino = import_openvino()
    nncf = import_nncf()
    nncf.set_log_level(logging.ERROR)
    head = r"/model\.\d+/(dfl/.*|Add|Sub|Mul|Div|Sigmoid|Concat|Slice|Split|Reshape|CumSum).*"
    model = nncf.quantize(
        openvino.Core().read_model(file),
        nncf.Dataset(calibration),
        subset_size=len(calibration),
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(patterns=[head], validate=False),
    )
    openvino.save_model(model, out, compress_to_fp16=False)
