"""Export: from a checkpoint to a file that OpenVINO and ONNX Runtime open, checked against torch.

The file takes any number of pictures of any size whose sides are multiples of the stride, and says
what it is: skeleton, stride, classes, and the SHA-256 of the checkpoint it came from.
"""

from __future__ import annotations

import importlib.util
import io
import tempfile
import warnings
from collections.abc import Callable, Mapping
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

PRECISIONS = ("f32", "f16")  # of the weights in the file; the arithmetic is the runtime's choice
OPSET = 17  # torch's TorchScript exporter: the dynamo one would need onnxscript as well
PIXELS, SCORE = 0.05, 1e-3  # how far a runtime may be from torch: 100 times what was seen
# Batch, height and width of the pictures it is traced with, then checked with.
TRACED, CHECKED = (2, 3, 128, 192), ((1, 3, 256, 128), (3, 3, 128, 320))


@dataclass(frozen=True)
class Exported:
    """A file, and how far each runtime is from torch with it."""

    file: Path
    pixels: dict[str, float]  # by runtime: of the pictures it was checked with, the largest


def export(
    checkpoint: Path,
    out: Path,
    *,
    imgsz: int | None = None,
    precision: str = "f32",
    skeleton: Skeleton = COCO17,
) -> Exported:
    """Write a YOLOv8-pose checkpoint as ONNX, or as OpenVINO's IR.

    Args:
        checkpoint: a .pt file, see `vitruvian.network.checkpoint`.
        out: ends with .onnx or .xml.
        imgsz: pixels, the side it is run at unless told otherwise; None: that of its training.
        precision: of the weights, a member of `PRECISIONS`.
        skeleton: of its keypoints.

    Raises:
        VitruvianError: it is no such checkpoint, or its keypoints are not those of the skeleton.
    """
    if precision not in PRECISIONS:
        raise unknown("precision of weights", precision, PRECISIONS)
    if out.suffix not in (".onnx", ".xml"):
        raise VitruvianError(f"cannot export to '{out}': want a name that ends with .onnx or .xml")
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
    model = to_onnx(network, about, half=precision == "f16")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as folder:
        fresh = Path(folder, "network.onnx")
        onnx.save(model, fresh)
        runs: dict[str, Callable[..., tuple[np.ndarray, ...]]] = {}
        if importlib.util.find_spec("onnxruntime"):
            runs["onnxruntime"] = OnnxRuntime(fresh)
        if out.suffix == ".xml":
            openvino = import_openvino()
            network_ir = openvino.Core().read_model(fresh)
            fresh = fresh.with_suffix(".xml")
            openvino.save_model(network_ir, fresh, compress_to_fp16=precision == "f16")
        runs["openvino"] = OpenVino(fresh)
        pixels = {name: differences(network, run, name) for name, run in runs.items()}
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


def differences(network: yolo.Yolo, run: Callable[..., tuple[np.ndarray, ...]], name: str) -> float:
    """How far a runtime is from torch: pixels, at most.

    Raises:
        ValueError: too far.
    """
    rng = np.random.default_rng(0)
    scores = np.zeros(
        4 + network.shape.classes + network.shape.keypoints * network.shape.numbers, bool
    )
    scores[4 : 4 + network.shape.classes] = True
    if network.shape.numbers == 3:
        scores[4 + network.shape.classes + 2 :: 3] = True
    worst = 0.0
    for shape in CHECKED:
        images = rng.random(shape, np.float32)
        with torch.no_grad():
            want = network(torch.from_numpy(images)).numpy()
        (rows,) = run(images)
        apart = np.abs(rows - want)
        pixels, score = float(apart[:, ~scores].max()), float(apart[:, scores].max())
        if not (pixels < PIXELS and score < SCORE):
            raise ValueError(f"{name} is {pixels} pixels and {score} in score away from torch")
        worst = max(worst, pixels)
    return worst
