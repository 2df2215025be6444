"""Inference with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vitruvian.errors import VitruvianError, pip_install, unknown
from vitruvian.network.silence import silence
from vitruvian.network.threads import cores

# Names of `device` -> execution providers of ONNX Runtime. Those other than the CPU's come with
# other builds of it (onnxruntime-gpu, onnxruntime-directml; CoreML with that for macOS).
PROVIDERS = {
    "CPU": "CPUExecutionProvider",
    "CUDA": "CUDAExecutionProvider",
    "COREML": "CoreMLExecutionProvider",
    "DIRECTML": "DmlExecutionProvider",
}


def import_onnxruntime() -> Any:
    """The onnxruntime module, without its telemetry.

    Its builds since 1.32 write a device id and a database below the user's cache folder as they are
    imported, and some seconds later send events to Microsoft; `disable_telemetry_events()` stops
    neither. This variable does, if set before the import (Privacy.md of ONNX Runtime).
    """
    silence()
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # of older builds for Windows
    return onnxruntime


class OnnxRuntime:
    """Run an .onnx file with ONNX Runtime; see `OpenVino`."""

    def __init__(
        self, file: Path, *, device: str = "CPU", threads: int | None = None, streams: int = 1
    ) -> None:
        """Open a file.

        Args:
            file: the network.
            device: a key of `PROVIDERS`.
            threads: number of threads per call; None: one per core.
            streams: number of parallel calls, from as many threads; they share the cores.

        Raises:
            VitruvianError: ONNX Runtime is missing, can't use that device, or can't read the file.
        """
        try:
            onnxruntime = import_onnxruntime()
        except ImportError:
            raise VitruvianError(f"ONNX Runtime is not installed; {pip_install('onnx')}") from None
        here = {k: v for k, v in PROVIDERS.items() if v in onnxruntime.get_available_providers()}
        if device not in here:
            raise unknown("device of this ONNX Runtime", device, here)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: the rest is raised, or not useful
        if threads is None and streams > 1:
            threads = max(cores() // streams, 1)
        options.intra_op_num_threads = threads or 0
        providers = list(dict.fromkeys([here[device], PROVIDERS["CPU"]]))
        try:
            self._session = onnxruntime.InferenceSession(file, options, providers=providers)
        except Exception as error:  # its exceptions have no common class of their own
            fault = str(error).splitlines()[0]
            raise VitruvianError(f"cannot open '{file}': {fault}") from None
        self.runs_on = self._session.get_providers()[0]
        if self.runs_on != here[device]:
            raise VitruvianError(
                f"ONNX Runtime fell back from {device} to {self.runs_on}; use device CPU, or "
                "check the driver"
            )
        inputs = self._session.get_inputs()
        if any(port.type not in ("tensor(float)", "tensor(uint8)") for port in inputs):
            raise VitruvianError(f"cannot open '{file}': want inputs of float32 or uint8")
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.input_shape = tuple(n if isinstance(n, int) else None for n in inputs[0].shape)
        self._inputs = [port.name for port in inputs]

    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Infer N rows: arrays of N rows in and out; N may be 0."""
        if len(inputs[0]) == 0:  # some operations of ONNX Runtime refuse it
            shapes = [output.shape for output in self._session.get_outputs()]
            sizes = [[n if isinstance(n, int) else 0 for n in shape] for shape in shapes]
            return tuple(np.zeros([0, *size[1:]], np.float32) for size in sizes)
        given = dict(zip(self._inputs, inputs, strict=True))
        results = tuple(np.asarray(part) for part in self._session.run(None, given))
        if any(len(result) != len(inputs[0]) for result in results):
            raise ValueError(f"{len(inputs[0])} rows in, {[r.shape for r in results]} out")
        return results
