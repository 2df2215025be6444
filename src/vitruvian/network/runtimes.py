"""The only home of OpenVINO: a network is a function from arrays to arrays."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.errors import unknown

Network = Callable[..., tuple[np.ndarray, ...]]

# What `precision` may be, in OpenVINO's words. f32 is exact; the others round inside the network.
PRECISIONS = {"f32": "f32", "bf16": "bf16", "f16": "f16"}


def import_openvino() -> Any:
    """The openvino module, without its telemetry.

    `import openvino` also imports openvino.tools.ovc, a model converter that we do not use, which
    sends an event to Google Analytics as it is imported. A None in sys.modules makes that import
    fail, which openvino expects; it is taken out again for those who want the converter.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    converter = "openvino.tools.ovc"
    sys.modules[converter] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        del sys.modules[converter]
    return openvino


class OpenVino:
    """A .tflite, .onnx or .xml file with one input (N, ...), as a function.

    Called with an array of N rows it gives a tuple of arrays of N rows. It may be called from
    several threads: each has an infer request of its own.
    """

    def __init__(
        self,
        file: Path,
        *,
        outputs: Sequence[int] | None = None,
        device: str = "CPU",
        precision: str = "f32",
        threads: int | None = None,
        batch: bool = True,
    ) -> None:
        """Open a file.

        Args:
            file: the network.
            outputs: which of its outputs, in this order; what only the others need is not computed.
            device: CPU, GPU, NPU, AUTO, as OpenVINO names them.
            precision: a key of `PRECISIONS`.
            threads: how many; None is one a core.
            batch: whether several rows may go through at once. A network that folds its rows into
                another axis (BlazePose's detector does) must be run row by row.
        """
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        openvino = import_openvino()
        self._core = openvino.Core()
        known = [*self._core.available_devices, "AUTO"]
        if device.split(".")[0].split(":")[0] not in {name.split(".")[0] for name in known}:
            raise unknown("device", device, known)
        model = self._core.read_model(file)
        if outputs is not None:
            kept = [model.outputs[i].get_node() for i in outputs]
            model = openvino.Model(kept, model.get_parameters())
        self._model, self._batch, self._device, self._file = model, batch, device, file
        # OpenVINO takes bf16 by itself where the processor has it: f32 must be asked for.
        self._settings: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        }
        if threads is not None and device == "CPU":
            self._settings["INFERENCE_NUM_THREADS"] = threads
            self._settings["ENABLE_CPU_PINNING"] = False
        # A batch of one is compiled apart: it is a fifth faster than a free one.
        self._one = self._compile(1)
        self._many: Any = None
        self._lock = threading.Lock()
        self._requests = threading.local()

    def _compile(self, rows: int) -> Any:
        shape = list(self._model.inputs[0].partial_shape)
        shape[0] = rows
        self._model.reshape({self._model.inputs[0]: shape})
        return self._core.compile_model(self._model, self._device, self._settings)

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """N rows in, N rows out of every output; N may be 0."""
        if len(rows) == 0:
            shapes = [list(output.shape)[1:] for output in self._one.outputs]
            return tuple(np.zeros([0, *shape], np.float32) for shape in shapes)
        if len(rows) == 1:
            results = self._run("one", self._one, rows)
        elif self._batch:
            with self._lock:
                if self._many is None:
                    self._many = self._compile(-1)
            results = self._run("many", self._many, rows)
        else:
            single = [self._run("one", self._one, rows[i : i + 1]) for i in range(len(rows))]
            results = tuple(np.concatenate(parts) for parts in zip(*single, strict=True))
        if any(len(result) != len(rows) for result in results):
            shapes = [result.shape for result in results]
            raise ValueError(f"{self._file.name}: {len(rows)} rows in, {shapes} out")
        return results

    def _run(self, name: str, compiled: Any, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        request = getattr(self._requests, name, None)
        if request is None:
            request = compiled.create_infer_request()
            setattr(self._requests, name, request)
        results = request.infer([rows], share_inputs=True, share_outputs=True)
        return tuple(np.array(results[i]) for i in range(len(results)))  # the request is used again

    @property
    def runs_on(self) -> str:
        """The device that truly runs it, as OpenVINO says."""
        return ", ".join(self._one.get_property("EXECUTION_DEVICES"))
