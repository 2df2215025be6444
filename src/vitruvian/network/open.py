"""A network by the name of its runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vitruvian.network.onnxruntime import OnnxRuntime
from vitruvian.network.openvino import OpenVino

Network = Callable[..., tuple[np.ndarray, ...]]


def open_network(
    file: Path,
    runtime: str = "openvino",
    *,
    outputs: Sequence[int] | None = None,
    device: str = "CPU",
    precision: str = "f32",
    threads: int | None = None,
    streams: int = 1,
) -> OpenVino | OnnxRuntime:
    """Open a network with "openvino" or "onnxruntime"; see `OpenVino` and `OnnxRuntime`.

    ONNX Runtime has f32 only, and computes all outputs.
    """
    if runtime == "onnxruntime":
        return OnnxRuntime(file, device=device, threads=threads, streams=streams)
    return OpenVino(
        file,
        outputs=outputs,
        device=device,
        precision=precision,
        threads=threads,
        streams=streams,
    )
