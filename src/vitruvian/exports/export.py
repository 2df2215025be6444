"""Export a checkpoint to a file for OpenVINO and ONNX Runtime, checked against PyTorch.

Batch size is dynamic (exports/families.py); metadata holds skeleton, input size, decoder and the
SHA-256 of the checkpoint.
"""

from __future__ import annotations

import copy
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
from vitruvian.errors import VitruvianError, pip_install, unknown
from vitruvian.exports.families import DECODE, graph
from vitruvian.exports.graph import PART, Graph, off
from vitruvian.exports.networks.ssd import PersonSsd, SameConv
from vitruvian.network.onnxruntime import OnnxRuntime
from vitruvian.network.openvino import OpenVino, import_openvino, openvino_core
from vitruvian.weights import checkpoint as checkpoints
from vitruvian.weights import metrabs_archive
from vitruvian.weights.download import sha256

# Precision of the weights. int8 also computes in int8; for f32 and f16 the runtime chooses, which
# may also be bf16.
PRECISIONS = ("f32", "f16", "int8")
OPSET = 17  # torch's TorchScript exporter: the dynamo one needs onnxscript


@dataclass(frozen=True)
class Exported:
    """An exported file, and its differences from torch per runtime."""

    file: Path
    apart: dict[str, float]  # by runtime: maximum, or for int8 the mean over detections
    unit: str  # unit of the differences: "px", or "of the largest number"


def check_export(
    out: Path, imgsz: int | None, precision: str, decode: str | None, *, calibrated: bool
) -> None:
    """Raise `VitruvianError` for options that no checkpoint can be exported with."""
    if precision not in PRECISIONS:
        raise unknown("precision of weights", precision, PRECISIONS)
    if out.suffix not in ((".xml",) if precision == "int8" else (".onnx", ".xml")):
        want = ".xml" if precision == "int8" else ".onnx or .xml"
        raise VitruvianError(f"cannot export to '{out}': want a name ending in {want}")
    if (precision == "int8") != calibrated:
        raise VitruvianError("calibration images are needed for int8, and only for int8")
    if imgsz is not None and not 32 <= imgsz <= 8192:
        raise VitruvianError(f"imgsz is {imgsz}, want a whole number from 32 to 8192")
    if decode is not None and decode not in DECODE:
        raise unknown("way to decode maps", decode, DECODE)


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
    """Export a checkpoint of YOLOv8-pose, AlphaPose, OSNet, MeTRAbs or BlazePose to ONNX or IR.

    Args:
        checkpoint: a .pt or .pth file, see `vitruvian.weights.checkpoint`, or a .tar.gz of
            MeTRAbs' authors, see `vitruvian.weights.metrabs_archive`.
        out: .onnx or .xml file; int8 needs .xml.
        imgsz: for YOLOv8, default image size in pixels; None: that of its training.
        precision: of the weights, a member of `PRECISIONS`; int8 is for YOLOv8 only.
        skeleton: of its keypoints; None: COCO's, or for AlphaPose that of its published networks
            with as many keypoints.
        decode: for AlphaPose, decoder of its maps, one of `vitruvian.exports.families.DECODE`;
            None: argmax where all published networks are trained for it.
        calibration: for int8, inputs of (1, 3, H, W) from `YoloPose.prepare`, of a few hundred
            representative images.

    Raises:
        VitruvianError: the checkpoint is not supported, its keypoints do not match the skeleton, or
            the decoder of its maps is unknown.
    """
    check_export(out, imgsz, precision, decode, calibrated=bool(len(calibration)))
    try:
        archive = metrabs_archive.is_archive(checkpoint)
        read = (metrabs_archive if archive else checkpoints).read(checkpoint)
        made = graph(read, skeleton=skeleton, decode=decode, imgsz=imgsz)
        if precision == "int8" and made.displacement is None:
            raise VitruvianError("int8 is for YOLOv8-pose only; f16 files are half as large")
    except VitruvianError as error:
        raise VitruvianError(f"cannot export '{checkpoint}': {error}") from None
    if precision == "f16":
        made.network.half().float()  # round as the file does, so that the check stays exact
    # One key for the hash would do, but YOLOv8-pose files have been written with the other.
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
            model = openvino_core().read_model(fresh)
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
    """Convert the graph to ONNX, with its metadata.

    Args:
        made: the graph.
        half: store weights as float16; runtimes cast them back once, at load time.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # see `OPSET`
        warnings.filterwarnings("ignore", "Constant folding")  # of paddings; runtimes do it
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


def read_onnx_tensors(file: Path) -> dict[str, np.ndarray]:
    """The weights in a file of `export_checkpoint` by name, as float32."""
    return {
        weights.name.removesuffix(".f16"): onnx.numpy_helper.to_array(weights).astype(np.float32)
        for weights in onnx.load(file).graph.initializer
    }


def write_person_ssd(network: PersonSsd, out: Path) -> float:
    """Write the person detector to ONNX with float16 weights, for square inputs of any size.

    Returns:
        The largest difference between OpenVINO and torch, relative to the largest value.

    Raises:
        ValueError: the difference is too large.
    """
    network.half().float()  # round as the file does
    side = 300
    plain = copy.deepcopy(network)
    for part in plain.modules():
        if isinstance(part, SameConv):  # the file says SAME_UPPER, below
            part.padding = (part.kernel_size[0] // 2,) * 2
    axes = {"frames": {0: "frames", 1: "height", 2: "width"}, "rows": {0: "frames", 1: "anchors"}}
    axes["logits"] = axes["rows"]
    about, example = {"family": "objectron"}, (torch.zeros(1, side, side, 3),)
    made = Graph(
        *("objectron", plain, about, example, ("frames",), ("rows", "logits"), axes, ""),
        lambda run, _: off(network, run, np.full((1, side, side, 3), 0.5, np.float32)),
    )
    model = to_onnx(made, half=True)
    for node in model.graph.node:
        sides = {each.name: each for each in node.attribute}
        if node.op_type == "Conv" and sides["kernel_shape"].ints[0] > 1:
            node.attribute.remove(sides["pads"])
            node.attribute.append(onnx.helper.make_attribute("auto_pad", "SAME_UPPER"))
    onnx.save(model, out)
    apart = made.check(OpenVino(out, side=side), "openvino")
    if not apart < PART:
        raise ValueError(f"OpenVINO is {apart} of the largest value different from PyTorch")
    return apart


def reread_person_ssd(file: Path) -> PersonSsd:
    """Load what `write_person_ssd` wrote.

    Raises:
        VitruvianError: the file is of another network.
    """
    network, state = PersonSsd(), {}
    for weights in onnx.load(file).graph.initializer:
        numbers = onnx.numpy_helper.to_array(weights).astype(np.float32)
        state[weights.name.removesuffix(".f16")] = torch.from_numpy(numbers)
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise VitruvianError(f"cannot read '{file}' as our person detector") from None
    return network.eval()


def import_nncf() -> Any:
    """Import nncf without its telemetry.

    NNCF 3.4 writes a user id to ~/intel on import, whatever NNCF_CI says. A None in sys.modules
    makes the import of its telemetry fail, which it handles.

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
        raise VitruvianError(f"int8 needs nncf; {pip_install('int8')}") from None
    finally:
        del sys.modules[telemetry]
        if before is not None:
            sys.modules[telemetry] = before
    return nncf


def quantise(file: Path, out: Path, calibration: Sequence[np.ndarray]) -> None:
    """Quantise a network to 8-bit weights and arithmetic; box decoding is not quantised."""
    openvino = import_openvino()
    nncf = import_nncf()
    nncf.set_log_level(logging.ERROR)
    head = r"/model\.\d+/(dfl/.*|Add|Sub|Mul|Div|Sigmoid|Concat|Slice|Split|Reshape|CumSum).*"
    model = nncf.quantize(
        openvino_core().read_model(file),
        nncf.Dataset(calibration),
        subset_size=len(calibration),
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(patterns=[head], validate=False),
    )
    openvino.save_model(model, out, compress_to_fp16=False)
