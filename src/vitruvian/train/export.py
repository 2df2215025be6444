"""Export: from a checkpoint to a file that OpenVINO and ONNX Runtime open, checked against torch.

The file takes any number of pictures of any size whose sides are multiples of the stride, and says
what it is: skeleton, stride, classes, and the SHA-256 of the checkpoint it came from.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from vitruvian.body.skeleton import Skeleton
from vitruvian.body.skeletons import COCO17
from vitruvian.errors import VitruvianError, unknown
from vitruvian.network import checkpoint as checkpoints
from vitruvian.network.runtimes import OnnxRuntime, OpenVino, import_openvino
from vitruvian.network.weights import sha256
from vitruvian.train.networks import yolo

# Of the weights in the file. int8 is also the arithmetic; that of f32 and f16 is the runtime's
# choice, where bf16 is one more.
PRECISIONS = ("f32", "f16", "int8")
Run = Callable[[np.ndarray], tuple[np.ndarray, ...]]
OPSET = 17  # torch's TorchScript exporter: the dynamo one would need onnxscript as well
PIXELS, SCORE = 0.05, 1e-3  # how far a runtime may be from torch: 100 times what was seen
# Batch, height and width of the pictures it is traced with, then checked with.
TRACED, CHECKED = (2, 3, 128, 192), ((1, 3, 256, 128), (3, 3, 128, 320))


@dataclass(frozen=True)
class Exported:
    """A file, and how far each runtime is from torch with it."""

    file: Path
    pixels: dict[str, float]  # by runtime: at most, or for int8 the mean over the people found


def export(
    checkpoint: Path,
    out: Path,
    *,
    imgsz: int | None = None,
    precision: str = "f32",
    skeleton: Skeleton = COCO17,
    calibration: Sequence[np.ndarray] = (),
) -> Exported:
    """Write a YOLOv8-pose checkpoint as ONNX, or as OpenVINO's IR.

    Args:
        checkpoint: a .pt file, see `vitruvian.network.checkpoint`.
        out: ends with .onnx or .xml; int8 is for .xml only.
        imgsz: pixels, the side it is run at unless told otherwise; None: that of its training.
        precision: of the weights, a member of `PRECISIONS`.
        skeleton: of its keypoints.
        calibration: for int8, inputs of (1, 3, H, W) as `YoloPose.prepare` makes them, from
            pictures like those it will see: a few hundred.

    Raises:
        VitruvianError: it is no such checkpoint, or its keypoints are not those of the skeleton.
    """
    if precision not in PRECISIONS:
        raise unknown("precision of weights", precision, PRECISIONS)
    if out.suffix not in ((".xml",) if precision == "int8" else (".onnx", ".xml")):
        want = ".xml" if precision == "int8" else ".onnx or .xml"
        raise VitruvianError(f"cannot export to '{out}': want a name that ends with {want}")
    if (precision == "int8") != bool(len(calibration)):
        raise VitruvianError("int8, and nothing else, needs pictures for calibration")
    read = checkpoints.read(checkpoint)
    try:
        network = yolo.load(read.tensors, len(skeleton)).fold()
    except VitruvianError as error:
        raise VitruvianError(f"cannot export '{checkpoint}': {error}") from None
    if precision == "f16":
        network.half().float()  # torch rounds as the file does, so that the check stays exact
    about = {
        "task": "pose",
        "stride": str(network.strides[-1]),
        "imgsz": str([imgsz or trained_at(read, network)] * 2),
        "names": str(classes(read, network)),
        "kpt_shape": str([network.shape.keypoints, network.shape.numbers]),
        "skeleton": skeleton.to_json(),
        "precision": precision,
        "source": checkpoint.name,
        "source_sha256": sha256(checkpoint),
    }
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-")
    except OSError as error:
        raise VitruvianError(f"cannot write '{out}': {error.strerror}") from None
    pixels: dict[str, float] = {}
    with temporary as folder:
        fresh = Path(folder, "network.onnx")
        onnx.save(to_onnx(network, about, half=precision == "f16"), fresh)
        if importlib.util.find_spec("onnxruntime"):
            pixels["onnxruntime"] = check(network, OnnxRuntime(fresh), "onnxruntime")
        if out.suffix == ".xml":
            openvino = import_openvino()
            model = openvino.Core().read_model(fresh)
            fresh = fresh.with_suffix(".xml")
            openvino.save_model(model, fresh, compress_to_fp16=precision == "f16")
        pixels["openvino"] = check(network, OpenVino(fresh), "openvino")
        if precision == "int8":
            fresh = fresh.with_name("int8.xml")
            quantise(fresh.with_name("network.onnx"), fresh, calibration)
            pixels["openvino int8"] = displacement(network, OpenVino(fresh), calibration)
        if out.suffix == ".xml":
            fresh.with_suffix(".bin").replace(out.with_suffix(".bin"))
        fresh.replace(out)
    return Exported(out, pixels)


def trained_at(read: checkpoints.Checkpoint, network: yolo.Yolo) -> int:
    """Pixels: the side of the pictures it was trained with, or the family's usual one."""
    arguments = read.entries.get("train_args")
    imgsz = arguments.get("imgsz") if isinstance(arguments, dict) else None
    if isinstance(imgsz, list | tuple) and imgsz:
        imgsz = imgsz[0]
    usual = 1280 if network.strides[-1] == 64 else 640
    return imgsz if isinstance(imgsz, int) and 32 <= imgsz <= 8192 else usual


def classes(read: checkpoints.Checkpoint, network: yolo.Yolo) -> dict[int, str]:
    """Names of its classes, by number."""
    names = read.attributes.get("names")
    given = names if isinstance(names, dict) else {0: "person"}
    return {i: str(given.get(i, f"class{i}"))[:80] for i in range(network.shape.classes)}


def to_onnx(network: yolo.Yolo, about: Mapping[str, str], half: bool) -> onnx.ModelProto:
    """The graph, with what it is written into its metadata.

    Args:
        network: folded.
        about: the metadata.
        half: store weights as float16, with a cast back that runtimes do once, as they open it.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # see `OPSET`
        torch.onnx.export(
            network,
            (torch.zeros(TRACED),),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["output0"],
            dynamic_axes={
                "images": {0: "batch", 2: "height", 3: "width"},
                "output0": {0: "batch", 2: "anchors"},
            },
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, dict(about))
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


def quantise(file: Path, out: Path, calibration: Sequence[np.ndarray]) -> None:
    """Write a network of 8-bit weights and arithmetic; the decoding of boxes stays as it is."""
    openvino = import_openvino()  # before nncf, so that its telemetry is not imported with it
    os.environ["NNCF_CI"] = "1"  # nncf's own switch for its telemetry
    try:
        import nncf
    except ImportError:
        raise VitruvianError("int8 needs nncf; pip install 'vitruvian[int8]'") from None
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


def apart(
    network: yolo.Yolo, run: Run, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far a runtime is from torch, and where there is something.

    Returns:
        (F, P, A) of what is in pixels, (F, S, A) of what is a score, (F, A) torch's best score.
    """
    with torch.no_grad():
        want = network(torch.from_numpy(images)).numpy()
    (rows,) = run(images)
    shape = network.shape
    points = np.arange(shape.keypoints * shape.numbers) % shape.numbers == 2
    score = np.concatenate([np.zeros(4, bool), np.ones(shape.classes, bool), points])
    difference = np.abs(rows - want)
    best = want[:, 4 : 4 + shape.classes].max(axis=1)
    return difference[:, ~score], difference[:, score], best


def check(network: yolo.Yolo, run: Run, name: str) -> float:
    """How far a runtime is from torch: pixels, at most.

    Raises:
        ValueError: too far.
    """
    rng = np.random.default_rng(0)
    worst = 0.0
    for shape in CHECKED:
        pixels, score, _ = apart(network, run, rng.random(shape, np.float32))
        if not (pixels.max() < PIXELS and score.max() < SCORE):
            raise ValueError(f"{name} is {pixels.max()} pixels, {score.max()} in score off torch")
        worst = max(worst, float(pixels.max()))
    return worst


def displacement(network: yolo.Yolo, run: Run, images: Sequence[np.ndarray]) -> float:
    """Pixels, the mean over whatever torch finds in pictures; NaN if it finds nothing."""
    moved = []
    for image in images[:20]:
        pixels, _, best = apart(network, run, image)
        moved.append(pixels.transpose(0, 2, 1)[best > 0.5].ravel())
    moved = np.concatenate(moved)
    return float(moved.mean()) if len(moved) else math.nan
